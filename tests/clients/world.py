"""What the matrix runs against: a gateway before a router that does every task, and people in each situation."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from accounts.keys import revoke_key
from billing.models import PriceVersion, UnitPrice
from billing.period import BillingPeriod
from billing.pricing import Unit
from gateway.dialects import CHAT, COMPLETION, EMBEDDING, IMAGE, SPEECH, TRANSCRIPTION
from gateway.meter_keys import keys_of
from gateway.models import CatalogModel, Dialect, Serving, Upstream
from tests.clients.cells import TASKS
from tests.factories import Person

UPSTREAM_TOKEN = "hf_the_upstreams_own_token_that_no_customer_may_see"
FREE_REQUESTS, FREE_CALLS = 20, 1000
PER_COMPUTE_SECOND, PER_TOKEN = Decimal("0.00012"), Decimal("0.0000001")


@dataclass(frozen=True)
class World:
    """Where to call, and with whose key each case comes about."""

    url: str
    fake_url: str
    keys: dict[str, str]


def list_models(fake_url: str) -> None:
    """Write `tests/any-<task>` at a router, and `tests/any-openai` at a server of OpenAI's form."""
    router = _upstream("tests-router", Dialect.HF_ROUTER, fake_url)
    for task in (*TASKS, CHAT):
        _list(f"tests/any-{task}", [task], router, "hf-inference")
    tasks = [CHAT, COMPLETION, EMBEDDING, IMAGE, SPEECH, TRANSCRIPTION]
    _list("tests/any-openai", tasks, _upstream("tests-openai", Dialect.OPENAI, fake_url), "")
    _price("tests/any-*", {Unit.COMPUTE_SECOND: PER_COMPUTE_SECOND})
    for name in ("tests/any-openai", f"tests/any-{CHAT}"):
        _price(name, {Unit.INPUT_TOKEN: PER_TOKEN, Unit.OUTPUT_TOKEN: PER_TOKEN})


def unlist_models() -> None:
    """Take them out of the catalog again: the next tests have one of their own."""
    for row in Upstream.objects.filter(slug__in=("tests-router", "tests-openai")):
        row.enabled = False
        row.save()


def _upstream(slug: str, dialect: Dialect, url: str) -> Upstream:
    row, _ = Upstream.objects.update_or_create(
        slug=slug, defaults={"name": slug, "dialect": dialect, "base_url": url}
    )
    row.set_secret(UPSTREAM_TOKEN)
    row.save()
    return row


def _list(model_id: str, tasks: list[str], upstream: Upstream, provider: str) -> None:
    model, _ = CatalogModel.objects.get_or_create(model_id=model_id, defaults={"tasks": tasks})
    Serving.objects.get_or_create(model=model, upstream=upstream, provider=provider, task="")


def _price(model: str, rates: dict[Unit, Decimal]) -> None:
    if PriceVersion.objects.filter(model=model).exists():
        return
    version = PriceVersion.objects.create(model=model, source="the tests' own", effective_from=timezone.now())
    for unit, price in rates.items():
        UnitPrice.objects.create(version=version, unit=unit, price=price, upstream_cost=price / 2)


def people_in_each_case(person: Callable[..., Person]) -> dict[str, str]:
    """Return the key by which each case comes about.

    Alice's calls work. Mallory's key is revoked. Bob has used his month's calls. Carol has used up her minute,
    and goes on doing so: the calls that the meter remembers of her lie ten minutes ahead.
    """
    alice, mallory = person("Alice", "enterprise"), person("Mallory")
    revoke_key(mallory.key)
    bob, carol = person("Bob"), person("Carol")
    period = BillingPeriod.containing(timezone.now())
    with redis.Redis.from_url(settings.METER_REDIS_URL) as meter:
        quota = keys_of(str(bob.account.pk)).quota(period.key)
        meter.hset(quota, mapping={"seeded": 1, "calls": FREE_CALLS})
        later = (int(timezone.now().timestamp()) + 600) * 1_000_000
        fill: dict[Any, float] = {f"call-{number}": later for number in range(FREE_REQUESTS)}
        meter.zadd(keys_of(str(carol.account.pk)).minute, fill)
    keys = {"success": alice, "401": mallory, "402": bob, "429": carol, "mid-stream": alice}
    return {case: someone.secret for case, someone in keys.items()}


def check_that_keys_stayed_apart(world: World, seen: list[dict[str, Any]], shown: list[str]) -> None:
    """No customer's key reached the upstream, the upstream's token reached no customer."""
    if not seen:
        pytest.fail("the upstream saw nothing, so this proves nothing")
    for call in seen:
        assert call["headers"]["authorization"] == f"Bearer {UPSTREAM_TOKEN}"
        assert not any(key in str(call) for key in world.keys.values())
    assert not any(UPSTREAM_TOKEN in text for text in shown)
