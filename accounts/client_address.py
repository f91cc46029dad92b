"""Where a call comes from: the address of the connection, or what a proxy that we trust says of it."""

from collections.abc import Iterable, Sequence

from accounts.restrictions import Network, read_address


def client_address(
    peer: str | None, forwarded_for: Iterable[bytes], proxies: Sequence[Network]
) -> str | None:
    """Return the client's address, or None where it is not known (a unix socket, nonsense from a proxy).

    `peer` is the other end of the connection; `forwarded_for` the X-Forwarded-For headers in their order. They are
    read from the right, as far as the trusted proxies reach: whatever stands left of that, anybody may have written.
    """
    hops = [part.strip() for line in forwarded_for for part in line.decode("latin-1").split(",")]
    address = peer
    while hops and _is_trusted(address, proxies):
        address = hops.pop()
    found = read_address(address)
    return None if found is None else str(found)


def _is_trusted(address: str | None, proxies: Sequence[Network]) -> bool:
    found = read_address(address)
    return found is not None and any(found in network for network in proxies)
