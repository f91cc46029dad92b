"""The upstream of every gateway: nginx, answering the same chat completion each time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.runner.processes import Program
from tests.bench.load import MODEL, Target
from tests.bench.processes import answers, bare_environment, free_port, serving

_MESSAGE = {"role": "assistant", "content": "Hello from the upstream, dear caller."}
ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1790000000,
    "model": MODEL,
    "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20},
}
# One process; connections are never closed for age or number; nothing is written to disk.
_CONFIG = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, *, core: int) -> Iterator[Target]:
    """Run the upstream on `core`. It asks for no key."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, answer=json.dumps(ANSWER)))
    url = f"http://127.0.0.1:{port}"
    program = Program("nginx", ["nginx", "-p", str(folder), "-c", str(config)])
    with serving(program, core=core, ready=answers(url), folder=folder, env=bare_environment()) as pid:
        yield Target("nginx", url, "none", pid)
