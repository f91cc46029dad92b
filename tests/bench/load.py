"""One burst of calls by `wrk -t1`, with 32 connections for a worker, pinned to a core, and what came back."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import BenchError, cpu_seconds, run

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
CALL = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello in one word."}], "max_tokens": 8}
CONNECTIONS = 32
_DRAIN_SECONDS = 3  # after the burst, for the answers still on their way; wrk counts whole seconds
_SCRIPT = Path(__file__).with_name("chat.lua")


@dataclass(frozen=True)
class Target:
    """Where calls go: base URL without /v1, the bearer key, and the leader of the server's processes."""

    name: str
    url: str
    key: str
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)  # beside the key and the type


@dataclass(frozen=True)
class Burst:
    """What wrk counted. `seconds` runs from the first call sent to the last answer."""

    ok: int
    refused: int
    sent: int
    seconds: float
    p50_ms: float
    p99_ms: float
    socket_errors: int
    statuses: str = ""
    cpu_seconds: float = 0.0  # of the server that was asked

    @property
    def rate(self) -> float:
        """Calls answered 2xx per second."""
        return self.ok / self.seconds if self.seconds > 0 else 0.0

    @property
    def cpu_micros(self) -> float:
        """CPU time of the server per answered call, in microseconds."""
        return self.cpu_seconds / self.ok * 1e6 if self.ok else 0.0

    @property
    def clean(self) -> bool:
        """Whether every call that was sent was answered 2xx, with no socket error."""
        return 0 < self.ok == self.sent and not self.refused and not self.socket_errors

    def __str__(self) -> str:
        """One line with everything, and what went wrong if anything did."""
        share = self.cpu_seconds / self.seconds if self.seconds > 0 else 0.0
        cpu = f"{self.cpu_micros:,.0f} µs CPU a call, {share:.0%} of its core"
        text = f"{self.rate:,.0f} calls/s, p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, {cpu}"
        if self.clean:
            return text
        unanswered = self.sent - self.ok - self.refused
        wrong = f"{self.refused} not 2xx, {unanswered} unanswered, {self.socket_errors} socket errors"
        return f"{text} ({wrong}: {self.statuses.strip()})"


def burst(target: Target, *, core: int, seconds: float, connections: int = CONNECTIONS) -> Burst:
    """Send chat completions for `seconds`. Raises BenchError when wrk itself fails."""
    whole = int(seconds) + _DRAIN_SECONDS
    wrk = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", f"{whole}s", "-s", str(_SCRIPT)]
    command = ["taskset", "-c", str(core), *wrk, f"{target.url}/v1/chat/completions"]
    given = {"BENCH_KEY": target.key, "BENCH_SECONDS": str(seconds), "BENCH_BODY": json.dumps(CALL)}
    given["BENCH_HEADERS"] = "".join(f"{name}: {value}\n" for name, value in target.headers.items())
    before = cpu_seconds(target.pid)
    output = run(command, env=os.environ | given, timeout=whole + 30)
    return parsed(output, cpu=cpu_seconds(target.pid) - before)


def parsed(output: str, *, cpu: float = 0.0) -> Burst:
    """Read the line that chat.lua prints at the end. Raises BenchError when it is not there."""
    for line in output.splitlines():
        if line.startswith("BENCH "):
            return Burst(**json.loads(line.removeprefix("BENCH ")), cpu_seconds=cpu)
    raise BenchError(
        "wrk printed no figures. Install Debian's wrk: its LuaJIT has the ffi that chat.lua needs."
    )
