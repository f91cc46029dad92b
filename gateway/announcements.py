"""News that a cache in some gateway process must hear: a key was revoked, a plan changed, prices changed.

Writers publish after their commit; every process listens. A lost message costs at most the cache's time to
live. When the listener itself loses its connection, it empties the caches on the way back in.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import redis as sync_redis
import redis.asyncio as aioredis
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from redis.exceptions import RedisError

from accounts.models import Account, ApiKey, Membership
from billing.models import (
    Budget,
    CreditGrant,
    Dunning,
    EntitlementOverride,
    PlanVersion,
    PriceVersion,
    Subscription,
    UnitPrice,
)
from gateway.meter import connect_blocking
from gateway.models import CatalogModel, Serving, Upstream

CHANNEL = "tp:news"
EVERYBODY = "*"  # every account: a plan version, prices or the catalog changed
_log = structlog.get_logger(__name__)


@cache
def _publisher() -> "sync_redis.Redis":
    return connect_blocking(settings.METER_REDIS_URL, timeout=0.5)


def announce(account_id: str) -> None:
    """Tell every gateway process, after the commit, that something about an account changed."""
    transaction.on_commit(lambda: _publish(account_id))


def _publish(account_id: str) -> None:
    try:
        _publisher().publish(CHANNEL, account_id)
    except RedisError as failure:  # the caches' time to live takes over
        _log.warning("announcement lost", account=account_id, error=str(failure))


def _account_changed(instance: Model, **_: Any) -> None:
    account_id = instance.pk if isinstance(instance, Account) else getattr(instance, "account_id")  # noqa: B009
    announce(str(account_id))


def _everything_changed(**_: Any) -> None:
    announce(EVERYBODY)


def connect_signals() -> None:
    """Called once, when Django is ready."""
    one_account: tuple[type[Model], ...] = (
        Account,
        ApiKey,
        Budget,
        CreditGrant,
        Dunning,
        EntitlementOverride,
        Membership,  # its budgets count while it lasts
        Subscription,
    )
    everything: tuple[type[Model], ...] = (
        PlanVersion,
        PriceVersion,
        UnitPrice,
        CatalogModel,
        Serving,
        Upstream,
    )
    for signal in (post_save, post_delete):
        for model in one_account:
            signal.connect(_account_changed, sender=model, dispatch_uid=f"news-{model.__name__}")
        for model in everything:
            signal.connect(_everything_changed, sender=model, dispatch_uid=f"news-{model.__name__}")


async def listen(client: "aioredis.Redis", forget: Callable[[str | None], Any]) -> None:
    """Call `forget` with an account id, or with None for everybody, whenever there is news. Until cancelled."""
    while True:
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(CHANNEL)
                forget(None)
                async for message in channel.listen():
                    if message["type"] == "message":
                        name = message["data"].decode()
                        forget(None if name == EVERYBODY else name)
        except RedisError:
            forget(None)
            await asyncio.sleep(0.5)
