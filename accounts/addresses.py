"""Which addresses outside may be spoken to: ones on the open internet, unless the operator allows private ones.

Looked at twice, since a name that was public yesterday may lead inside today: when an address is saved
(`check_address`), to say what is wrong with it, and on every connection (`public_socket`). Used for
customers' webhooks here, and for upstreams by `gateway/addresses.py`.
"""

import ipaddress
import socket
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.utils.translation import gettext as _

# Ranges through which an IPv6 address leads to an IPv4 one: 6to4 (RFC 3056), NAT64 (RFC 6052, 8215).
_TUNNELS = [ipaddress.ip_network(net) for net in ("2002::/16", "64:ff9b::/96", "64:ff9b:1::/48")]


def split_address(url: str) -> SplitResult:
    """Take an http or https address apart. ValueError, in words for whoever typed it, if it is none."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        valid = False
    if not valid:
        raise ValueError(_("This is no address. Write it as https://host/path."))
    return parts


def leads_inside(parts: SplitResult) -> bool:
    """Look the host up and tell whether any of its addresses is not public. ValueError if there is no such host."""
    return not all(is_public(found) for found in _resolve(parts.hostname or "", parts.port or 443))


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the open internet: not loopback, private, link-local, or a tunnel to one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return is_public(str(found.ipv4_mapped))
        if any(found in net for net in _TUNNELS):
            return False
    return found.is_global and not found.is_multicast


def public_socket(info: tuple[int, int, int, str, Any]) -> socket.socket:
    """Make the socket for a connection to `getaddrinfo`'s row `info`. OSError if it leads inside.

    The place where the address is final: nothing is looked up between this check and the connection.
    """
    family, kind, protocol, _name, address = info
    if not is_public(address[0]):
        raise PermissionError("this address leads inside")
    return socket.socket(family, kind, protocol)


def _resolve(host: str, port: int) -> set[str]:
    try:
        return {str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):  # UnicodeError: a label that IDNA refuses
        raise ValueError(_("There is no host called %s.") % host) from None
