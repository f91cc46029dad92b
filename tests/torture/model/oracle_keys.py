"""What the scripts must do with an Idempotency-Key: a mark, told from the hold of the call that has it."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.torture.model.oracle import Between, Hold


@dataclass
class Mark:
    """A key that was claimed. Times in ms, as in `Hold`."""

    rid: str
    print: str
    stream: bool
    until: Between  # a claim without a hold counts until then
    ends: Between  # the mark itself is gone
    state: str = "open"  # open | answered


class Keys:
    """The keys of one account."""

    def __init__(self, hold_ms: int, holds: Mapping[str, Hold]) -> None:
        self.marks: dict[str, Mark] = {}
        self._hold_ms = hold_ms
        self._holds = holds

    def answer(self, name: str, rid: str, print_: str, now: Between) -> str | None:
        """What a claim must hear: NEW, OTHER, BUSY or DONE; FREED for a NEW that takes the key from another call.
        None where a deadline is too near to tell."""
        mark = self._alive(name, now)
        if mark is None or mark.rid == rid:
            return None if self._is_near(name, now) else "NEW"
        if mark.print != print_:
            return "OTHER"
        hold = self._holds.get(mark.rid)
        if hold is not None:
            return {"open": "BUSY", "done": "DONE", "void": "FREED"}[hold.state]
        if mark.state == "answered":
            return "DONE"
        return {True: "FREED", False: "BUSY", None: None}[_has_come(mark.until, now)]

    def is_known(self, name: str, now: Between) -> bool | None:
        """Whether the mark is there; None where that cannot be told."""
        return None if self._is_near(name, now) else self._alive(name, now) is not None

    def claimed(self, name: str, rid: str, print_: str, now: Between, seconds: int, stream: bool) -> None:
        """A claim was told NEW."""
        early, late = now.early // 1000, now.late // 1000
        until = Between(early + self._hold_ms, late + self._hold_ms)
        ends = Between(early + seconds * 1000, late + seconds * 1000)
        self.marks[name] = Mark(rid, print_, stream, until, ends)

    def pass_time(self, ms: int) -> None:
        """Let time pass."""
        for mark in self.marks.values():
            mark.until = Between(mark.until.early - ms, mark.until.late - ms)
            mark.ends = Between(mark.ends.early - ms, mark.ends.late - ms)

    def _alive(self, name: str, now: Between) -> Mark | None:
        mark = self.marks.get(name)
        return None if mark is None or _has_come(mark.ends, now) else mark

    def _is_near(self, name: str, now: Between) -> bool:
        return name in self.marks and _has_come(self.marks[name].ends, now) is None


def _has_come(deadline: Between, now: Between) -> bool | None:
    """Whether a deadline (ms) lies before now (µs); None where that cannot be told."""
    if deadline.late * 1000 < now.early - 5_000:
        return True
    return None if deadline.early * 1000 <= now.late + 5_000 else False
