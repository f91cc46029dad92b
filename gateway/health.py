"""Is it alive, is it ready? `/health/live` is answered in gateway/entry.py and touches no engine."""

import urllib.request
from collections.abc import Callable
from urllib.error import URLError

import psycopg
import redis
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse

from gateway.meter import connect_blocking

SECONDS = 2.0


def ready(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if every engine answers, else 503; the body says which one does not, and nothing else."""
    found = {name: _state(look) for name, look in _CHECKS.items()}
    status = 200 if all(state == "ok" for state in found.values()) else 503
    return JsonResponse(found, status=status, headers={"Cache-Control": "no-store"})


def live(_request: HttpRequest) -> JsonResponse:
    """Answer where the lean entry is not in front."""
    return JsonResponse({"live": "ok"})


def _state(look: Callable[[], str]) -> str:
    try:
        return look()
    except (psycopg.Error, redis.RedisError, URLError, OSError) as failure:
        return f"away ({type(failure).__name__})"


def _ledger() -> str:
    # Not through Django's pool: that waits for a server which accepts connections and then says nothing.
    parameters = connection.get_connection_params() | {"connect_timeout": int(SECONDS)}
    parameters.pop("pool", None)
    with psycopg.connect(**parameters) as ledger:
        ledger.execute("SELECT 1")
    return "ok"


def _redis(url: str) -> str:
    with connect_blocking(url, timeout=SECONDS) as client:
        client.ping()  # of a cluster: every node
    return "ok"


def _model() -> str:
    if not settings.MODEL_URL:
        return "ok"
    with urllib.request.urlopen(settings.MODEL_URL + "/health", timeout=SECONDS):  # noqa: S310 - our own address
        return "ok"


_CHECKS: dict[str, Callable[[], str]] = {
    "ledger": _ledger,
    "meter": lambda: _redis(settings.METER_REDIS_URL),
    "cache": lambda: _redis(settings.REDIS_URL),
    "model": _model,
}
