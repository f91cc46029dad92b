"""A form that may be sent once: a reload or a double click that sends it again is recognised.

The token is in the form, the used ones in the session. Two requests in the same instant may both pass: what
must never happen twice (a charge) is guarded by the database, not here.
"""

import secrets

from django.http import HttpRequest

FIELD = "once"
_SESSION_KEY = "used_forms"
_KEPT = 20


def new_token() -> str:
    """Return a token for a form's hidden field `once`."""
    return secrets.token_urlsafe(12)


def first_time(request: HttpRequest) -> bool:
    """Note that this form was sent and tell whether it is the first time. A form without a token always is."""
    token = request.POST.get(FIELD, "")
    used: list[str] = request.session.get(_SESSION_KEY, [])
    if not token:
        return True
    if token in used:
        return False
    request.session[_SESSION_KEY] = [*used, token][-_KEPT:]
    return True
