"""What Turnpike is set beside, each as its makers start it, in front of the same upstream.

Installed by the bench itself into `.bench/` (git-ignored) from PyPI and npm, pinned here; nginx is Debian's.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import metadata
from pathlib import Path

from gateway.runner.processes import Program
from tests.bench.load import MODEL, Target
from tests.bench.processes import BENCH_DIR, BenchError, answers, bare_environment, free_port, serving
from tests.packages import NotInstalled, node_packages, python_packages

_HERE = Path(__file__).parent
_KEY = "sk-bench-key-of-a-peer"
# Fair to LiteLLM: no debug log, production mode, and no wait for a price list from the network.
_LITELLM = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
# What each has switched on, for docs/benchmarks.md.
SWITCHED_ON = {
    "direct": "nothing: the upstream itself",
    "nginx": "one worker as reverse proxy, connections to the upstream kept; no key",
    "relay": "nothing: a bare ASGI callable on uvicorn that passes bytes on (for streams)",
    "turnpike": "key, all limits, hold, settlement synced to disk (`appendfsync always`), usage event, price",
    "rolter": "a virtual key; one route; no Redis, so no limits, budgets or logs",
    "portkey": "nothing: no keys, no metering",
    "litellm": "a master key; no database, so no usage is recorded",
}

Peer = Callable[..., AbstractContextManager[Target]]


def versions() -> dict[str, str]:
    """The pinned releases."""
    lines = (_HERE / "requirements-litellm.txt").read_text().splitlines()
    rolter = (_HERE / "requirements-rolter.txt").read_text()
    portkey = json.loads((_HERE / "portkey" / "package.json").read_text())["dependencies"]
    return {
        "litellm": next(line.split("==")[1].split()[0] for line in lines if line.startswith("litellm==")),
        "rolter": rolter.split("rolter==")[1].split()[0],
        "portkey": portkey["@portkey-ai/gateway"],
        "uvicorn": metadata.version("uvicorn"),
    }


@contextmanager
def nginx_proxy(folder: Path, *, upstream: str, core: int) -> Iterator[Target]:
    """nginx as reverse proxy: the practical limit of any gateway on one core."""
    port, home = free_port(), folder / "nginx-proxy"
    home.mkdir()
    config = home / "nginx.conf"
    config.write_text(
        _NGINX.format(folder=home, port=port, upstream=upstream.removeprefix("http://").rstrip("/"))
    )
    program = Program("nginx-proxy", ["nginx", "-p", str(home), "-c", str(config)])
    url = f"http://127.0.0.1:{port}"
    with serving(
        program, core=core, ready=answers(f"{url}/alive"), folder=folder, env=bare_environment()
    ) as pid:
        yield Target("nginx", url, "none", pid)


@contextmanager
def relay(folder: Path, *, upstream: str, core: int) -> Iterator[Target]:
    """The bare relay of tests/bench/bare_relay.py on the same server: what Python costs that only passes bytes on."""
    port = free_port()
    program = Program("relay", _server("tests.bench.bare_relay:application", port))
    env = bare_environment() | {"BENCH_UPSTREAM": upstream}
    url = f"http://127.0.0.1:{port}"
    with serving(program, core=core, ready=answers(f"{url}/alive"), folder=folder, env=env) as pid:
        yield Target("relay", url, "none", pid)


@contextmanager
def rolter(folder: Path, *, upstream: str, core: int) -> Iterator[Target]:
    """The Rust gateway: `rolter gateway` with a file."""
    programs = _installed(python_packages, BENCH_DIR / "rolter", _HERE / "requirements-rolter.txt")
    port, config = free_port(), folder / "rolter.toml"
    config.write_text(_ROLTER.format(port=port, upstream=upstream, model=MODEL, key=_KEY))
    program = Program("rolter", [str(programs / "rolter"), "gateway", "--config", str(config)])
    env = bare_environment() | {
        "ROLTER_KEY_PEPPER": "a-pepper-for-the-bench-and-nothing-else",
        "RUST_LOG": "error",
    }
    url = f"http://127.0.0.1:{port}"
    with serving(program, core=core, ready=_any_answer(url), folder=folder, env=env) as pid:
        yield Target("rolter", url, _KEY, pid)


@contextmanager
def portkey(folder: Path, *, upstream: str, core: int) -> Iterator[Target]:
    """Portkey's gateway on Node. It has no keys; the upstream is named by headers of each call."""
    home = _installed(node_packages, BENCH_DIR / "portkey", _HERE / "portkey")
    start = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    port = free_port()
    program = Program("portkey", ["node", str(start), f"--port={port}", "--headless"])
    env = bare_environment() | {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"}
    url = f"http://127.0.0.1:{port}"
    with serving(program, core=core, ready=_any_answer(url), folder=folder, env=env) as pid:
        yield Target("portkey", url, _KEY, pid, headers)


@contextmanager
def litellm(folder: Path, *, upstream: str, core: int) -> Iterator[Target]:
    """LiteLLM's proxy: `litellm --config`, one worker."""
    programs = _installed(python_packages, BENCH_DIR / "litellm", _HERE / "requirements-litellm.txt")
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(json.dumps(_litellm_config(upstream)))  # JSON is YAML
    arguments = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    program = Program("litellm", [str(programs / "litellm"), *arguments])
    url = f"http://127.0.0.1:{port}"
    ready = answers(f"{url}/health/liveliness")
    with serving(program, core=core, ready=ready, folder=folder, env=bare_environment() | _LITELLM) as pid:
        yield Target("litellm", url, _KEY, pid)


def _installed(install: Callable[[Path, Path], Path], folder: Path, what: Path) -> Path:
    try:
        return install(folder, what)
    except NotInstalled as failure:
        raise BenchError(str(failure)) from failure


def _server(application: str, port: int) -> list[str]:
    flags = ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--ws", "none"]
    flags += [
        "--http",
        "gateway.server:Protocol",
        "--no-access-log",
        "--no-proxy-headers",
        "--log-level",
        "warning",
    ]
    return [str(Path(sys.executable).parent / "uvicorn"), *flags, application]


def _any_answer(url: str) -> Callable[[], bool]:
    """A question for `serving`: does it speak HTTP yet, whatever it says?"""
    return answers(url, whatever=True)


def _litellm_config(upstream: str) -> dict[str, object]:
    parameters = {"model": f"openai/{MODEL}", "api_base": f"{upstream}/v1", "api_key": "unused"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "general_settings": {"master_key": _KEY},
        "litellm_settings": {"set_verbose": False},
    }


_NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream model {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location /alive {{ return 200 'alive'; }}
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
_ROLTER = """\
[server]
host = "127.0.0.1"
port = {port}
[[providers]]
name = "bench"
kind = "openai_compatible"
api_base = "{upstream}"
[[routes]]
model = "{model}"
strategy = "round_robin"
[[routes.targets]]
provider = "bench"
model = "{model}"
[[virtual_keys]]
key = "{key}"
name = "bench"
models = []
"""
