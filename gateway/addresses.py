"""Which addresses an upstream may have: ones on the open internet, unless the operator allows private ones.

Looked at twice: when an upstream is saved, and on every connection to a customer's own upstream. What is
public, and why twice: `accounts/addresses.py`.
"""

import socket
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from accounts import addresses


def check_address(url: str) -> None:
    """ValueError, in words for whoever typed it, if `url` cannot be an upstream's address here."""
    parts = addresses.split_address(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError(_("Leave name and password out of the address; give the token as the secret."))
    if parts.query or parts.fragment:
        raise ValueError(_("Leave out everything from the ? or # on: paths are added to this address."))
    if settings.ALLOW_PRIVATE_UPSTREAMS:
        return
    if parts.scheme != "https":
        raise ValueError(_("Use https://, so that the token cannot be read on its way."))
    if addresses.leads_inside(parts):
        words = _(
            "%s is a private address. Set ALLOW_PRIVATE_UPSTREAMS if model servers may be inside your network."
        )
        raise ValueError(words % parts.hostname)


def public_socket(info: tuple[int, int, int, str, Any]) -> socket.socket:
    """Make the socket for a connection to `getaddrinfo`'s row `info`. OSError if a customer's upstream leads inside."""
    if settings.ALLOW_PRIVATE_UPSTREAMS:
        return socket.socket(*info[:3])
    return addresses.public_socket(info)
