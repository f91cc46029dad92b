"""Where a call comes from: only what our own proxies say is believed."""

import pytest

from accounts.client_address import client_address
from accounts.restrictions import read_networks

PROXIES = read_networks(["10.0.0.0/8", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        # Mallory writes the header herself, and nobody trusts her.
        ("198.51.100.7", [b"203.0.113.9"], "198.51.100.7"),
        ("10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        # Behind two of our proxies: what stands left of the first untrusted address is anybody's word.
        ("10.0.0.1", [b"1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", [b"1.1.1.1", b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"1.1.1.1, 203.0.113.9", b"10.0.0.2"], "203.0.113.9"),
        # All are ours: the call began inside.
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("::ffff:10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("2001:db8:1::1", [b"2001:db8:2::9"], "2001:db8:2::9"),
        # Nonsense from a proxy of ours is no address, and not the proxy's either.
        ("10.0.0.1", [b"unknown"], None),
        ("10.0.0.1", [b"203.0.113.9:4711"], None),
        ("10.0.0.1", [b""], None),
        (None, [b"203.0.113.9"], None),  # a unix socket
        ("", [], None),
    ],
)
def test_the_client_is_what_trusted_proxies_say(
    peer: str | None, forwarded: list[bytes], found: str | None
) -> None:
    assert client_address(peer, forwarded, PROXIES) == found


def test_without_proxies_of_our_own_nobody_is_believed() -> None:
    assert client_address("10.0.0.1", [b"203.0.113.9"], ()) == "10.0.0.1"
