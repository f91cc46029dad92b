"""Routes and lifetime of the server."""

import asyncio
import contextlib
import signal
import socket
import time
from pathlib import Path

from aiohttp import web

from gateway.local_model import openai_api, tasks
from gateway.local_model.engines import ENGINES, STARTED, Engines
from gateway.local_model.errors import answer_errors

MAX_BODY_BYTES = 8 * 1024 * 1024
GOODBYE_SECONDS = 0.3
"""How long running calls may still finish after SIGTERM; aiohttp waits twice as long, then cancels them."""

STOP_SECONDS = 1.5


async def health(request: web.Request) -> web.Response:
    """GET /health: 200 once both models are loaded, 503 before."""
    if request.app[ENGINES].ready:
        return web.json_response({"status": "ok"})
    return web.json_response({"status": "loading"}, status=503, headers={"Retry-After": "1"})


def make_app(engines: Engines) -> web.Application:
    """All routes, over engines that may still be loading."""
    app = web.Application(middlewares=[answer_errors], client_max_size=MAX_BODY_BYTES)
    app[ENGINES] = engines
    app[STARTED] = int(time.time())
    app.router.add_get("/health", health)
    app.router.add_get("/v1/models", openai_api.list_models)
    app.router.add_post("/v1/chat/completions", openai_api.chat_completions)
    app.router.add_post("/v1/completions", openai_api.completions)
    app.router.add_post("/v1/embeddings", openai_api.embeddings)
    app.router.add_post("/models/{org}/{name}", tasks.run_task)
    app.router.add_post("/models/{org}/{name}/pipeline/{task}", tasks.run_task)
    app.router.add_post("/models/{org}/{name}/v1/chat/completions", tasks.run_chat)
    return app


async def serve(listener: socket.socket, weights: Path, threads: int) -> None:
    """Answer on `listener` until SIGTERM or SIGINT; returns within about a second of it.

    A handler is cancelled when its client leaves, which cancels the engine's work for it. The signals are
    taken over only once the models are loaded: loading holds the GIL, and until then their default ends the
    process at once.
    """
    start = time.perf_counter()
    engines = Engines()
    runner = web.AppRunner(
        make_app(engines), handler_cancellation=True, access_log=None, shutdown_timeout=GOODBYE_SECONDS
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    await engines.load(weights, threads)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    host, port = listener.getsockname()[:2]
    print(f"local model ready on http://{host}:{port} in {time.perf_counter() - start:.1f} s", flush=True)
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_stop(runner, engines), STOP_SECONDS)


async def _stop(runner: web.AppRunner, engines: Engines) -> None:
    await runner.cleanup()
    await engines.close()
