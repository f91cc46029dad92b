"""The HTTP side: who may ask, is it valid, was it asked before, what goes wrong on purpose; then the work."""

import asyncio
import contextlib
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes.stripe import control, idempotency, pages, routes, specification, state
from tests.fakes.stripe.agenda import Agenda
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.faults import Faults
from tests.fakes.stripe.rendering import render
from tests.fakes.stripe.webhooks import Postman
from tests.fakes.stripe.world import Object, World

_TICK_SECONDS = 0.05
_SAVE_SECONDS = 1.0


class Fake:
    """One fake Stripe: its world, its faults, its postman and its agenda."""

    def __init__(self, world: World, file: Path | None = None) -> None:
        self.world, self.file = world, file
        self.faults = Faults()
        self.postman = Postman(world, self.faults)
        self.agenda = Agenda(world, self.postman)
        self.work = routes.table(self.agenda)
        self.requests = 0
        self._saved = (-1, -1, -1, -1)

    def app(self) -> web.Application:
        """Return the server."""
        app = web.Application(client_max_size=8 * 1024 * 1024)
        for operation in sorted(self.work, key=lambda one: "{" in one):  # /search before /{customer}
            verb, path = operation.split()
            app.router.add_route(verb, path, self._answerer(operation))
        app.add_routes(control.routes(self))
        app.add_routes(pages.routes(self))
        app.router.add_route("*", "/v1/{rest:.*}", self._unknown)
        app.cleanup_ctx.append(self._ticking)
        return app

    async def _ticking(self, app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._tick())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await self.postman.close()
        self._save()

    def _save(self) -> None:
        seen = (self.requests, self.world.counter, self.postman.sent, self.world.offset)
        if self.file and seen != self._saved:
            state.save(self.world, self.file)
            self._saved = seen

    async def _tick(self) -> None:
        saved = 0.0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if time.monotonic() > saved + _SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
            try:
                await self.agenda.advance(self.world.now())
            except Exception:
                self.world.judge.violations.append(f"the agenda broke:\n{traceback.format_exc()}")
                await asyncio.sleep(1)

    def _answerer(self, operation: str) -> Any:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await _Exchange(self, request, operation).answer()

        return answer

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        self.world.judge.refuse(f"{request.method} {request.path}")
        refusal = Refusal(f"Unrecognized request URL ({request.method}: {request.path}).", 404)
        return web.json_response(refusal.body("req_unknown"), status=404)


class _Exchange:
    """One request on its way through."""

    def __init__(self, fake: Fake, request: web.Request, operation: str) -> None:
        self.fake, self.request, self.operation = fake, request, operation
        self.world = fake.world
        fake.requests += 1
        self.id = f"req_{self.world.tag}{fake.requests:08d}"
        self.key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        self.fault = ""

    async def answer(self) -> web.StreamResponse:
        """Answer, or break off as the faults will."""
        body = await self.request.read()
        faults = self.fake.faults
        if self.world.now() < faults.outage_until:
            faults.fire("outage")
            return self._cut(reset=True)
        self.fault = faults.for_request(self.request.method, self.request.path)
        if self.fault in ("cut_before", "reset_before"):
            return self._cut(reset=self.fault == "reset_before")
        try:
            status, document, replayed = await self._stored_or_fresh(body)
        except Refusal as refusal:
            status, document, replayed = refusal.status, refusal.body(self.id), False
        if self.fault in ("cut_after", "reset_after"):
            return self._cut(reset=self.fault == "reset_after")
        return self._respond(status, document, replayed)

    async def _stored_or_fresh(self, body: bytes) -> tuple[int, Object, bool]:
        self._authenticate()
        if self.fault == "rate_limit":
            raise Refusal("Too many requests hit the API too quickly.", 429, code="rate_limit")
        params = self._params(body)
        if self.key:
            if len(self.key) > 255:
                raise Refusal("Idempotency keys may have 255 characters at most.", kind="idempotency_error")
            found = idempotency.seen(
                self.world, self.key, f"{self.request.method} {self.request.path}", params
            )
            if found:
                return found["status"], found["body"], True
        if self.fault == "slow":
            await asyncio.sleep(self.fake.faults.slow_seconds)
        status, document = self._work(params)
        if self.key:
            idempotency.keep(self.world, self.key, status, document, self.id)
        return status, document, False

    def _authenticate(self) -> None:
        given = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not given.startswith(("sk_test_", "rk_test_")):
            hint = (
                "This is a fake: give it sk_test_ and anything."
                if given
                else "You did not provide an API key."
            )
            raise Refusal(f"Invalid API Key provided. {hint}", 401)
        version = self.request.headers.get("Stripe-Version", specification.version())
        if version != specification.version():
            self.world.judge.refuse(f"Stripe-Version {version}")
            raise Refusal(f"Invalid Stripe API version: {version}")

    def _params(self, body: bytes) -> Object:
        encoded = self.request.query_string
        if self.request.method != "GET" and body:
            encoded = body.decode()
        params: Object = specification.decode(self.operation, encoded)
        if wrong := self.world.judge.request(self.operation, params):
            raise Refusal(
                f"Not valid under Stripe's specification: {'; '.join(wrong)}", code="parameter_unknown"
            )
        return params

    def _work(self, params: Object) -> tuple[int, Object]:
        """Do what is asked; nothing else runs meanwhile."""
        if self.fault == "error_before":
            return self._broken()
        self.world.request = {"id": self.id, "idempotency_key": self.key}
        try:
            made = self.fake.work[self.operation](self.world, params, *self.request.match_info.values())
            document = self._shown(made, params)
        except Refusal as refusal:
            return refusal.status, refusal.body(self.id)
        except Exception:
            self.world.judge.violations.append(f"{self.operation} broke:\n{traceback.format_exc()}")
            return self._broken()
        finally:
            self.world.request = None
        if self.fault == "error_after":
            return self._broken()
        if wrong := self.world.judge.answer(self.operation, document):
            bad = Refusal(f"The fake's own answer is not valid: {'; '.join(wrong)}", code="fake_is_wrong")
            return 400, bad.body(self.id)
        return 200, document

    def _shown(self, made: Object, params: Object) -> Object:
        if made.get("object") in ("list", "search_result") or made.get("deleted"):
            return made
        return render(self.world, made, params.get("expand", ()))

    def _broken(self) -> tuple[int, Object]:
        return 500, Refusal("An unknown error occurred.", 500, "api_error").body(self.id)

    def _cut(self, *, reset: bool) -> web.StreamResponse:
        transport = self.request.transport
        if transport is not None:
            if reset:
                transport.abort()
            else:
                transport.close()
        return web.Response()

    def _respond(self, status: int, document: Object, replayed: bool) -> web.Response:
        headers = {"Request-Id": self.id, "Stripe-Version": specification.version()}
        if self.key:
            headers["Idempotency-Key"] = self.key
            headers["Original-Request"] = self.id
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        return web.json_response(document, status=status, headers=headers)
