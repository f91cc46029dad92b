"""Runs the meter's scripts by their digest: loaded once, and again where the meter has lost them.

On a cluster each node has a line of its own: a node that is away holds up nobody but its own accounts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio as aioredis
from redis.exceptions import NoScriptError

from gateway.cluster import MeterCluster
from gateway.meter import line_of
from gateway.meter_line import Line, packed

_FOLDER = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True)
class _Script:
    text: str
    sha: str


class Scripts:
    """The scripts in `gateway/lua`, by file name, on one server or a cluster."""

    def __init__(self, client: "aioredis.Redis | MeterCluster") -> None:
        self._scripts = {path.stem: _read(path) for path in _FOLDER.glob("*.lua")}
        # Asked once: redis-py's classes make `isinstance` slow, and every call runs two scripts.
        self._cluster = client if isinstance(client, MeterCluster) else None
        self._line = None if isinstance(client, MeterCluster) else line_of(client)

    async def run(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run a script and return its answer. RedisError if the meter is away or the script failed."""
        script = self._scripts[name]
        command = packed("EVALSHA", script.sha, len(keys), *keys, *args)
        if self._line is not None:
            return await _ask(self._line, script, command)
        assert self._cluster is not None
        return await self._cluster.follow(keys[0], lambda node: _ask(line_of(node), script, command))


async def _ask(line: Line, script: _Script, command: bytes) -> Any:
    try:
        return await line.ask(command)
    except NoScriptError:  # the meter restarted or was flushed: the script ran nothing, so it may run again
        await line.ask(packed("SCRIPT", "LOAD", script.text))
        return await line.ask(command)


def _read(path: Path) -> _Script:
    text = path.read_text()
    return _Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
