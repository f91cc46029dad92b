"""What came of it: a row an upstream, a column a step."""

from collections.abc import Iterator

STEPS = ("added", "chat", "stream", "plain stream", "refusal", "revoked key")
_verdicts: dict[str, dict[str, str]] = {}


def note(server: str, step: str, verdict: str) -> None:
    """Remember how a step went: "ok", "FAILED", "skipped"."""
    _verdicts.setdefault(server, {})[step] = verdict


def lines() -> Iterator[str]:
    """The table as text, if anything was tried."""
    if not _verdicts:
        return
    yield f"{'upstream':16}" + "".join(f"{step:>14}" for step in STEPS)
    for server, found in _verdicts.items():
        yield f"{server:16}" + "".join(f"{found.get(step, '-'):>14}" for step in STEPS)


def counts() -> dict[str, int]:
    """Return how many steps passed, failed and were skipped."""
    verdicts = [verdict for found in _verdicts.values() for verdict in found.values()]
    return {kind: verdicts.count(kind) for kind in ("ok", "FAILED", "skipped")}
