"""Webhook endpoints, the list of events, and deliveries: signed, retried, and dropped or doubled on purpose."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator

import aiohttp

from tests.fakes.stripe import invoices
from tests.fakes.stripe.faults import Faults
from tests.fakes.stripe.rendering import listing, render
from tests.fakes.stripe.world import Object, World, apply

_SECONDS = 20


def create(world: World, params: Object) -> Object:
    """POST /v1/webhook_endpoints: the only answer that has the secret."""
    made = world.new(
        "webhook_endpoint", "we", url=params["url"], enabled_events=params["enabled_events"], status="enabled",
        api_version=params.get("api_version"), description=params.get("description"), metadata={},
    )  # fmt: skip
    made["_secrets"] = [f"whsec_{hashlib.sha256(made['id'].encode()).hexdigest()[:32]}"]
    apply(made, params)
    return made | {"secret": made["_secrets"][0]}


def update(world: World, params: Object, endpoint: str) -> Object:
    """POST /v1/webhook_endpoints/{webhook_endpoint}."""
    found = world.get("webhook_endpoint", endpoint)
    apply(found, params, "url", "enabled_events", "description")
    if "disabled" in params:
        found["status"] = "disabled" if params["disabled"] else "enabled"
    return found


def delete(world: World, params: Object, endpoint: str) -> Object:
    """DELETE /v1/webhook_endpoints/{webhook_endpoint}."""
    return world.remove(world.get("webhook_endpoint", endpoint))


def retrieve(world: World, params: Object, endpoint: str) -> Object:
    """GET /v1/webhook_endpoints/{webhook_endpoint}."""
    return world.get("webhook_endpoint", endpoint)


def every(world: World, params: Object) -> Object:
    """GET /v1/webhook_endpoints."""
    return listing(world, "/v1/webhook_endpoints", world.every("webhook_endpoint"), params)


def roll(world: World, endpoint: str, secret: str | None = None) -> str:
    """Give an endpoint a new secret beside its last one: both sign, as during a rotation. Return the new one."""
    found = world.get("webhook_endpoint", endpoint)
    fresh = secret or f"whsec_{hashlib.sha256(world.new_id('roll').encode()).hexdigest()[:32]}"
    found["_secrets"] = [fresh, *found["_secrets"][:1]]
    return fresh


def event(world: World, params: Object, given: str) -> Object:
    """GET /v1/events/{id}."""
    return world.get("event", given)


def events(world: World, params: Object) -> Object:
    """GET /v1/events: `delivery_success=false` are those that some endpoint has not answered with 2xx."""
    types = params.get("types") or ([params["type"]] if "type" in params else None)
    wanted = params.get("delivery_success")
    found = [
        one
        for one in world.every("event")
        if (types is None or one["type"] in types or any(_covers(kind, one["type"]) for kind in types))
        and wanted in (None, one["pending_webhooks"] == 0)
    ]
    return listing(world, "/v1/events", found, params)


def _covers(pattern: str, kind: str) -> bool:
    return pattern.endswith(".*") and kind.startswith(pattern[:-1])


# --- deliveries ---------------------------------------------------------------------------------------------


def signature(payload: bytes, secrets: list[str], when: int) -> str:
    """Return the Stripe-Signature header: one v1 for each secret."""
    signed = f"{when}.".encode() + payload
    made = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={when}", *(f"v1={one}" for one in made)])


class Postman:
    """Takes what waits in `world.deliveries` to its endpoint."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world, self.faults = world, faults
        self.on_hold = False
        self.sent = 0
        self.accepted = 0
        self._session: aiohttp.ClientSession | None = None
        self._round = asyncio.Lock()

    async def deliver(self, *, everything: bool = False) -> int:
        """Deliver what is due (with `everything`, also what waits for its next try); return how many were tried."""
        async with self._round:
            due = [one for one in self.world.deliveries if everything or one["at"] <= self.world.now()]
            due = [one for one in due if not one.get("dropped") or everything]
            if len(due) > 1 and self.faults.happens("webhook_reorder"):
                self.faults.shuffle(due)
            for one in due:
                await self._take(one)
            self.world.deliveries = [one for one in self.world.deliveries if not one["done"]]
            return len(due)

    @contextlib.asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Hold while nothing is delivered."""
        async with self._round:
            yield

    async def _take(self, one: Object) -> None:
        endpoint = self.world.objects.get(one["endpoint"])
        if endpoint is None or endpoint["status"] != "enabled":
            one["done"] = True
            return
        if not one["attempts"] and self.faults.happens("webhook_drop"):
            one |= {"dropped": True, "attempts": 1}
            return
        if not one["attempts"] and self.faults.happens("webhook_late"):
            one |= {"attempts": 1, "at": self.world.now() + 60}
            return
        times = 2 if self.faults.happens("webhook_duplicate") else 1
        for _ in range(times):
            status = await self.post(endpoint, one["event"])
        self._note(one, 200 <= status < 300)

    def _note(self, one: Object, accepted: bool) -> None:
        event = self.world.objects[one["event"]]
        one["attempts"] += 1
        if accepted:
            one["done"] = True
            event["pending_webhooks"] -= 1
            if event["type"] == "invoice.created" and not event["pending_webhooks"]:
                invoice = self.world.objects.get(event["data"]["object"]["id"])
                if invoice:
                    invoices.heard(self.world, invoice)
            return
        waits = self.world.settings["webhook_retry_seconds"]
        if one["attempts"] > len(waits):
            one["done"] = True  # given up after three days; the event stays `delivery_success=false`
        else:
            one["at"] = self.world.now() + waits[one["attempts"] - 1]

    async def post(self, endpoint: Object, event: str, **forged: object) -> int:
        """Post an event to an endpoint; return its status, 0 if it does not answer.

        `forged`: `payload` and `when` and `secret` replace the true ones, for tests of what is refused.
        """
        payload = forged.get("payload") or json.dumps(render(self.world, self.world.objects[event])).encode()
        assert isinstance(payload, bytes)
        secrets = [str(forged["secret"])] if "secret" in forged else endpoint["_secrets"]
        when = int(str(forged.get("when", int(time.time()))))
        headers = {
            "Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (fake)",
            "Stripe-Signature": signature(payload, secrets, when),
        }  # fmt: skip
        self.sent += 1
        try:
            async with (await self._client()).post(endpoint["url"], data=payload, headers=headers) as answer:
                await answer.read()
                self.accepted += answer.status // 100 == 2
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS))
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
