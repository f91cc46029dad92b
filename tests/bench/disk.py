"""What the disk takes for a write that must stay: the least that an admission and a settlement take, each."""

import os
import tempfile
import time
from pathlib import Path

_BYTES = 1_000  # about what a script leaves in the meter's log: ADR 0039
_APPENDS = 600
_GAP_SECONDS = 0.005  # 200 a second, as 100 calls a second make them


def synced_append_ms(folder: Path) -> tuple[float, float]:
    """Append and `fdatasync`, as Valkey does with `appendfsync always`; return milliseconds at p50 and p99."""
    took = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as log:
        for _ in range(_APPENDS):
            time.sleep(_GAP_SECONDS)
            began = time.perf_counter()
            log.write(b"x" * _BYTES)
            os.fdatasync(log.fileno())
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return round(took[_APPENDS // 2], 2), round(took[int(_APPENDS * 0.99)], 2)
