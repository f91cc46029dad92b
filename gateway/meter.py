"""Connections to the meter: one Redis or Valkey server, or a cluster of them.

    redis://:password@host:6379/0                         one server (rediss:// with TLS)
    unix://:password@/path/of/its/socket?db=0             the same, on this machine
    redis+cluster://:password@host1:6379,host2:6379       a cluster, by any of its nodes (rediss+cluster:// with TLS)

Whatever redis-py would try again by itself is off: a script might run twice unseen, and a meter that does not
answer must be noticed at once. All trouble surfaces as `RedisError`, whose other name is `MeterUnavailable`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import redis as blocking
import redis.asyncio as aioredis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from gateway.cluster import MeterCluster
from gateway.meter_line import Greet, Line, greet_on_connect

CONNECT_SECONDS = 1.0
# Beside the line that scripts take. Rebuilding counters for hundreds of accounts at once, as in the first minute of a
# period, must wait its turn for one of these: redis-py's plain pool would fail it, as if the meter were away.
MOST_CONNECTIONS = 32
_SCHEMES = ("redis+cluster", "rediss+cluster")


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """What a cluster's address says."""

    nodes: Sequence[tuple[str, int]]
    username: str | None
    password: str | None
    tls: bool


class Client(aioredis.Redis):
    """redis-py's client of one server, and beside it the line that scripts take."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.line = Line(self.connection_pool)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        self.line.close()
        await super().aclose(close_connection_pool)


def line_of(client: "aioredis.Redis") -> Line:
    """Return the line of a client that `connect` made."""
    return cast(Client, client).line


class BlockingMeterCluster(blocking.RedisCluster):
    """redis-py's cluster for code that is not async, with one family of exceptions for all that may fail."""

    def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run one command on the node that has its key."""
        try:
            return super().execute_command(*args, **kwargs)  # type: ignore[no-untyped-call]
        except RedisClusterException as failure:
            raise Disconnected(str(failure)) from failure


def is_cluster(url: str) -> bool:
    """Tell whether an address names a cluster."""
    return url.partition("://")[0] in _SCHEMES


def read_cluster_address(url: str) -> ClusterAddress:
    """Read `redis+cluster://[user][:password]@host:port,host:port`. ValueError if it is not one."""
    parts = urlsplit(url)
    login, _, places = parts.netloc.rpartition("@")
    nodes = [_place(place) for place in places.split(",") if place]
    if parts.scheme not in _SCHEMES or not nodes or parts.path.strip("/") not in ("", "0"):
        raise ValueError("A cluster's address is redis+cluster://:password@host:port,host:port")
    name, _, password = login.partition(":")
    tls = parts.scheme.startswith("rediss")
    return ClusterAddress(nodes, unquote(name) or None, unquote(password) or None, tls)


def connect(url: str, *, timeout: float | None, greet: Greet | None = None) -> "aioredis.Redis":
    """Open a pool to the meter, without silent retries.

    `greet` hears of each new connection which server it leads to, and may refuse it by raising a RedisError: redis-py
    connects anew by itself, and the server may have been replaced by an empty one meanwhile.

    `timeout` in seconds is for each answer, and a third of it for connecting: a call that meets a frozen server while
    it connects waits for both. None waits for ever, as a listener must. A cluster's client has the
    same methods for everything that is done with it here, so it passes as one.
    """
    waits: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout / 3 if timeout else CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "health_check_interval": 0,
    }
    if greet is not None:
        waits["redis_connect_func"] = partial(greet_on_connect, greet)
    if not is_cluster(url):
        return _client(url, waits)
    address = read_cluster_address(url)
    waits |= {"username": address.username, "password": address.password}
    cluster = MeterCluster(address.nodes, lambda host, port: _client(_url_of(address, host, port), waits))
    return cast("aioredis.Redis", cluster)


def _client(url: str, waits: dict[str, Any]) -> Client:
    """Make a client of one server. Who finds all its connections in use waits as long as for an answer."""
    pool = aioredis.BlockingConnectionPool.from_url(
        url, max_connections=MOST_CONNECTIONS, timeout=waits["socket_timeout"], **waits
    )
    return cast(Client, Client.from_pool(pool))


def _url_of(address: ClusterAddress, host: str, port: int) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"{'rediss' if address.tls else 'redis'}://{host}:{port}"


def connect_blocking(url: str, *, timeout: float) -> "blocking.Redis":
    """Open a pool for code that is not async, without silent retries. `timeout` in seconds. RedisError if a cluster
    is away: unlike a single server, it is asked at once."""
    waits: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    if not is_cluster(url):
        return blocking.Redis.from_url(url, **waits)
    address = read_cluster_address(url)
    nodes = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]
    login = {"username": address.username, "password": address.password, "ssl": address.tls}
    options = {"require_full_coverage": False} | login | waits
    try:
        cluster = BlockingMeterCluster(startup_nodes=nodes, **options)
    except RedisClusterException as failure:
        raise Disconnected(str(failure)) from failure
    return cast("blocking.Redis", cluster)


def _place(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{place!r} is not host:port.")
    return host.strip("[]"), int(port)


def slot_of(key: str) -> int:
    """Return the slot, from 0 to 16383, that a key has in a cluster."""
    return key_slot(key.encode())
