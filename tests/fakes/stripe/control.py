"""The control API, under /_fake: move the clock, plan faults, look at everything. JSON in, JSON out.

GET  /_fake/state                    clock, counts, faults, violations
POST /_fake/advance                  {"seconds": 3600} or {"days": 30} or {"to": unix seconds}
POST /_fake/faults                   see faults.py; {"clear": true} first forgets what was planned
POST /_fake/outage                   {"hours": 25}: from now, on the fake's clock
POST /_fake/settings                 see world.SETTINGS
POST /_fake/deliver                  deliver everything that waits, also what was dropped
POST /_fake/hold                     {"on": true}: deliver nothing by itself
POST /_fake/send                     {"event", "payload", "when", "secret"}: one post, forged if you like
POST /_fake/endpoint                 {"url", "secret"}: an endpoint for every event, with a secret of your own
POST /_fake/roll                     {"endpoint", "secret"}: a second secret
POST /_fake/checkout/{id}/complete   {"number": "4242424242424242", "country": "KR"}
POST /_fake/invoice/{id}/authenticate   the customer passes 3-D Secure
POST /_fake/dispute                  {"payment_intent", "reason"}: the bank takes a payment back
POST /_fake/dispute/{id}/close       {"won": true}
POST /_fake/edit                     {"id", "fields": {…}}: somebody edits an object, as nobody can through the API
POST /_fake/reset                    {"now": unix seconds}: as at the start, with a clock that stands still
GET  /_fake/objects/{name}           every object of a name, as it is
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.stripe import checkout, collecting, disputes, webhooks
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.world import DAY, HOUR, Object

if TYPE_CHECKING:
    from tests.fakes.stripe.server import Fake


def routes(fake: Fake) -> list[web.RouteDef]:
    """Return the addresses."""
    desk = _Desk(fake)
    posts = {
        "advance": desk.advance, "faults": desk.plan, "outage": desk.outage, "settings": desk.settings,
        "deliver": desk.deliver, "hold": desk.hold, "send": desk.send, "roll": desk.roll, "reset": desk.reset,
        "endpoint": desk.endpoint, "checkout/{id}/complete": desk.complete,
        "invoice/{id}/authenticate": desk.authenticate, "dispute": desk.dispute,
        "dispute/{id}/close": desk.close_dispute, "edit": desk.edit,
    }  # fmt: skip
    gets = {"state": desk.state, "objects/{name}": desk.objects}
    return [
        *(web.post(f"/_fake/{path}", work) for path, work in posts.items()),
        *(web.get(f"/_fake/{path}", work) for path, work in gets.items()),
    ]


class _Desk:
    def __init__(self, fake: Fake) -> None:
        self.fake, self.world = fake, fake.world

    async def state(self, request: web.Request) -> web.Response:
        judge = self.world.judge
        return web.json_response(
            {
                "now": self.world.now(), "requests": self.fake.requests, "validated_requests": judge.requests,
                "validated_objects": judge.objects, "violations": judge.violations,
                "faults": self.fake.faults.as_dict(), "webhooks_sent": self.fake.postman.sent,
                "webhooks_accepted": self.fake.postman.accepted, "waiting": len(self.world.deliveries),
                "in_flight": sum(one["answer"] is None for one in self.world.idempotency.values()),
                "settings": self.world.settings,
            }
        )  # fmt: skip

    async def advance(self, request: web.Request) -> web.Response:
        given = await _given(request)
        until = given.get("to") or self.world.now() + given.get("days", 0) * DAY + given.get("seconds", 0)
        await self.fake.agenda.advance(int(until))
        return web.json_response({"now": self.world.now()})

    async def plan(self, request: web.Request) -> web.Response:
        given = await _given(request)
        if given.get("clear"):
            self.fake.faults.clear()
        try:
            self.fake.faults.plan(given)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.fake.faults.as_dict())

    async def outage(self, request: web.Request) -> web.Response:
        hours = (await _given(request)).get("hours", 0)
        self.fake.faults.outage_until = self.world.now() + int(hours * HOUR)
        return web.json_response(self.fake.faults.as_dict())

    async def settings(self, request: web.Request) -> web.Response:
        given = await _given(request)
        if unknown := set(given) - set(self.world.settings):
            return web.json_response({"error": f"unknown settings: {', '.join(unknown)}"}, status=400)
        self.world.settings |= given
        return web.json_response(self.world.settings)

    async def deliver(self, request: web.Request) -> web.Response:
        tried = await self.fake.postman.deliver(everything=True)
        return web.json_response({"tried": tried, "waiting": len(self.world.deliveries)})

    async def hold(self, request: web.Request) -> web.Response:
        self.fake.postman.on_hold = bool((await _given(request)).get("on", True))
        return web.json_response({"on_hold": self.fake.postman.on_hold})

    async def send(self, request: web.Request) -> web.Response:
        given = await _given(request)
        event = given.pop("event")
        if "payload" in given:
            given["payload"] = given["payload"].encode()
        found = {}
        for endpoint in list(self.world.every("webhook_endpoint", status="enabled")):
            found[endpoint["id"]] = await self.fake.postman.post(endpoint, event, **given)
        return web.json_response({"statuses": found})

    async def roll(self, request: web.Request) -> web.Response:
        given = await _given(request)
        return web.json_response(
            {"secret": webhooks.roll(self.world, given["endpoint"], given.get("secret"))}
        )

    async def reset(self, request: web.Request) -> web.Response:
        now = (await _given(request)).get("now")
        async with self.fake.agenda.at_rest():
            self.world.reset(now)
            self.fake.faults.__init__()  # type: ignore[misc]
            self.fake.postman.on_hold = False
        return web.json_response({"now": self.world.now()})

    async def endpoint(self, request: web.Request) -> web.Response:
        given = await _given(request)
        made = webhooks.create(self.world, {"url": given["url"], "enabled_events": ["*"]})
        self.world.objects[made["id"]]["_secrets"] = [given["secret"]]
        return web.json_response({"id": made["id"]})

    async def complete(self, request: web.Request) -> web.Response:
        try:
            made = checkout.complete(self.world, request.match_info["id"], await _given(request))
        except Refusal as refusal:
            return web.json_response(refusal.body("req_page"), status=refusal.status)
        return web.json_response(self.world.render(made))

    async def authenticate(self, request: web.Request) -> web.Response:
        invoice = self.world.get("invoice", request.match_info["id"])
        refusal = collecting.attempt(
            self.world, invoice, collecting.method_of(self.world, invoice), there=True
        )
        if refusal:
            return web.json_response(refusal.body("req_page"), status=refusal.status)
        return web.json_response(self.world.render(invoice))

    async def dispute(self, request: web.Request) -> web.Response:
        given = await _given(request)
        made = disputes.open_dispute(self.world, given["payment_intent"], given.get("reason", "fraudulent"))
        return web.json_response(self.world.render(made))

    async def close_dispute(self, request: web.Request) -> web.Response:
        won = bool((await _given(request)).get("won"))
        return web.json_response(
            self.world.render(disputes.close(self.world, request.match_info["id"], won=won))
        )

    async def edit(self, request: web.Request) -> web.Response:
        given = await _given(request)
        found = self.world.objects[given["id"]]
        found |= given["fields"]
        return web.json_response(self.world.render(found))

    async def objects(self, request: web.Request) -> web.Response:
        found = [self._whole(one) for one in self.world.every(request.match_info["name"])]
        return web.json_response(found)

    def _whole(self, one: Object) -> Object:
        shown = self.world.render(one)
        if "_lines" in one:
            data = [self.world.render(self.world.objects[key]) for key in one["_lines"]]
            shown["lines"] |= {"data": data, "has_more": False}
        return shown


async def _given(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    found: dict[str, Any] = json.loads(body) if body else {}
    return found
