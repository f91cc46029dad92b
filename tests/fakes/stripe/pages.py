"""The hosted pages: Checkout, the portal, an invoice, and the fake's own front page. Plain, and honest about it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from tests.fakes.stripe import cards, checkout, collecting, html, setups, subscriptions
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.html import button, day, money, table
from tests.fakes.stripe.texts import TEXTS, language
from tests.fakes.stripe.world import Object

if TYPE_CHECKING:
    from tests.fakes.stripe.server import Fake


def routes(fake: Fake) -> list[web.RouteDef]:
    """Return the addresses."""
    pages = _Pages(fake)
    return [
        web.get("/_fake/", pages.front),
        web.get("/_fake", pages.front),
        web.post("/_fake/move", pages.move),
        web.get("/_fake/checkout/{id}", pages.checkout),
        web.post("/_fake/checkout/{id}", pages.pay_checkout),
        web.get("/_fake/portal/{id}", pages.portal),
        web.post("/_fake/portal/{id}", pages.act_in_portal),
        web.get("/_fake/invoice/{id}", pages.invoice),
        web.get("/_fake/invoice/{id}/pdf", pages.invoice),
        web.post("/_fake/invoice/{id}", pages.pay_invoice),
    ]


class _Pages:
    def __init__(self, fake: Fake) -> None:
        self.fake, self.world = fake, fake.world

    def _page(
        self, request: web.Request, title: str, body: str, problem: str = "", asked: str = ""
    ) -> web.Response:
        lang = self._language(request, asked)
        shown = html.whole(TEXTS[lang].get(title, title), body, TEXTS[lang], lang, problem)
        return web.Response(text=shown, content_type="text/html", status=402 if problem else 200)

    def _language(self, request: web.Request, asked: str = "") -> str:
        return language(asked, request.headers.get("Accept-Language", ""))

    def _find(self, name: str, request: web.Request) -> Object:
        try:
            return self.world.get(name, request.match_info["id"])
        except Refusal as refusal:
            raise web.HTTPNotFound(text=str(refusal)) from refusal

    # --- the front page -------------------------------------------------------------------------------------

    async def front(self, request: web.Request) -> web.Response:
        """Clock, counts, subscriptions and invoices."""
        text = TEXTS[self._language(request)]
        judge = self.world.judge
        steps = (("3600", "hour"), ("86400", "day"), (str(31 * 86_400), "month_on"))
        buttons = "".join(button("/_fake/move", text[label], seconds=seconds) for seconds, label in steps)
        wrong = (
            f'<p class="bad">{text["wrong"]}: {escape(judge.violations[-1])}</p>' if judge.violations else ""
        )
        subscribed = [
            [one["id"], one["status"], day(subscriptions.period_end(self.world, one))]
            for one in self.world.every("subscription")
        ]
        body = (
            f"<h2>{text['clock']}</h2><p>{day(self.world.now())}</p>{buttons}"
            f"<p>{judge.requests} + {judge.objects} {text['judged']}.</p>"
            f"<p>{len(self.world.deliveries)} {text['waiting']}.</p>"
            f"{wrong}<h2>{text['subscriptions']}</h2>{table(subscribed, text['none'])}"
            f"<h2>{text['invoices']}</h2>{table(self._invoice_rows(None), text['none'])}"
        )
        return self._page(request, "fake", body)

    async def move(self, request: web.Request) -> web.Response:
        """A button of the clock."""
        seconds = int(str((await request.post())["seconds"]))
        await self.fake.agenda.advance(self.world.now() + seconds)
        raise web.HTTPSeeOther("/_fake/")

    def _invoice_rows(self, customer: str | None) -> list[list[str]]:
        where = {"customer": customer} if customer else {}
        found = list(self.world.every("invoice", **where))[-50:]
        return [
            [
                f'<a href="/_fake/invoice/{one["id"]}">{one["number"] or one["id"]}</a>', one["status"],
                money(one["total"], one["currency"]), day(one["created"]),
            ]
            for one in reversed(found)
        ]  # fmt: skip

    # --- checkout -------------------------------------------------------------------------------------------

    async def checkout(self, request: web.Request, problem: str = "") -> web.Response:
        """What is bought, and the form for the card."""
        session = self._find("checkout.session", request)
        lang = self._language(request, session["locale"] or "")
        text = TEXTS[lang]
        if session["status"] != "open":
            return self._page(request, "checkout", f"<p>{text['done']}</p>", asked=lang)
        rows = [[escape(item["description"]), self._price(item, text)] for item in session["_line_items"]]
        rows.append([text["total"], money(session["amount_total"], session["currency"])])
        label = {"subscription": "subscribe", "payment": "pay", "setup": "save"}[session["mode"]]
        form = html.card_form(request.path, text[label], text, email=not session["customer"])
        back = (
            f'<p><a href="{escape(session["cancel_url"])}">{text["back"]}</a></p>'
            if session["cancel_url"]
            else ""
        )
        shown = "" if session["mode"] == "setup" else table(rows, "")
        return self._page(request, "checkout", shown + form + back, problem, lang)

    def _price(self, item: Object, text: dict[str, str]) -> str:
        recurring = item["price"]["recurring"]
        every = (
            f" {text['per']} {text.get(recurring['interval'], recurring['interval'])}" if recurring else ""
        )
        return money(item["amount_total"], item["currency"]) + every

    async def pay_checkout(self, request: web.Request) -> web.Response:
        """The card is tried; a good one leads back to where the session came from."""
        session = self._find("checkout.session", request)
        given = {key: str(value) for key, value in (await request.post()).items()}
        try:
            checkout.complete(self.world, session["id"], given)
        except Refusal as refusal:
            return await self.checkout(request, str(refusal))
        raise web.HTTPSeeOther(session["success_url"].replace("{CHECKOUT_SESSION_ID}", quote(session["id"])))

    # --- the portal -----------------------------------------------------------------------------------------

    async def portal(self, request: web.Request, problem: str = "") -> web.Response:
        """Cards, subscriptions, invoices."""
        session = self._find("billing_portal.session", request)
        lang = self._language(request, session["locale"] or "")
        text = TEXTS[lang]
        customer = self.world.get("customer", session["customer"])
        body = (
            f"<h2>{text['cards']}</h2>{table(self._cards(request, customer, text), text['none'])}"
            f"{html.card_form(request.path, text['add'], text, email=False, do='add')}"
            f"<h2>{text['subscriptions']}</h2>{table(self._subscriptions(request, customer, text), text['none'])}"
            f"<h2>{text['invoices']}</h2>{table(self._invoice_rows(customer['id']), text['none'])}"
        )
        if session["return_url"]:
            body += f'<p><a href="{escape(session["return_url"])}">{text["back"]}</a></p>'
        return self._page(request, "portal", body, problem, lang)

    def _cards(self, request: web.Request, customer: Object, text: dict[str, str]) -> list[list[str]]:
        chosen = customer["invoice_settings"]["default_payment_method"]
        rows = []
        for one in self.world.every("payment_method", customer=customer["id"]):
            use = (
                text["default"]
                if one["id"] == chosen
                else button(request.path, text["use"], do="use", id=one["id"])
            )
            remove = button(request.path, text["remove"], do="remove", id=one["id"])
            rows.append([f"{one['card']['brand']} … {one['card']['last4']}", use, remove])
        return rows

    def _subscriptions(self, request: web.Request, customer: Object, text: dict[str, str]) -> list[list[str]]:
        rows = []
        for one in self.world.every("subscription", customer=customer["id"]):
            if one["status"] in subscriptions.OVER:
                continue
            act = "resume" if one["cancel_at_period_end"] else "cancel"
            when = f"{text['ends' if act == 'resume' else 'until']} {day(subscriptions.period_end(self.world, one))}"
            rows.append([one["status"], when, button(request.path, text[act], do=act, id=one["id"])])
        return rows

    async def act_in_portal(self, request: web.Request) -> web.Response:
        """A button of the portal."""
        session = self._find("billing_portal.session", request)
        given = {key: str(value) for key, value in (await request.post()).items()}
        try:
            self._act(session["customer"], given)
        except Refusal as refusal:
            return await self.portal(request, str(refusal))
        flow = session["flow"] or {}
        redirect = (flow.get("after_completion") or {}).get("redirect")
        raise web.HTTPSeeOther(redirect["return_url"] if redirect else request.path)

    def _act(self, customer: str, given: dict[str, str]) -> None:
        match given["do"]:
            case "add":
                intent = setups.create(self.world, {"customer": customer})
                method = cards.make(self.world, given["number"])
                setups.confirm(self.world, {"payment_method": method["id"]}, intent["id"], there=True)
                self._charge(customer, method["id"])
            case "use":
                self._charge(customer, given["id"])
            case "remove":
                cards.detach(self.world, {}, given["id"])
            case "cancel" | "resume":
                wanted = {"cancel_at_period_end": given["do"] == "cancel"}
                subscriptions.update(self.world, wanted, given["id"])

    def _charge(self, customer: str, method: str) -> None:
        """From now on this card is charged, also for subscriptions that had one of their own."""
        from tests.fakes.stripe.customers import update

        update(self.world, {"invoice_settings": {"default_payment_method": method}}, customer)
        for one in self.world.every("subscription", customer=customer):
            if one["status"] not in subscriptions.OVER and one["default_payment_method"]:
                subscriptions.update(self.world, {"default_payment_method": method}, one["id"])

    # --- an invoice -----------------------------------------------------------------------------------------

    async def invoice(self, request: web.Request, problem: str = "") -> web.Response:
        """Its lines, and a way to pay what is due."""
        found = self._find("invoice", request)
        text = TEXTS[self._language(request)]
        rows = [
            [escape(line["description"] or ""), money(line["amount"], found["currency"])]
            for line in (self.world.objects[key] for key in found["_lines"])
        ]
        rows.append([text["total"], money(found["total"], found["currency"])])
        body = table(rows, text["none"]) + f"<p>{found['status']}</p>"
        if found["status"] == "open":
            path = f"/_fake/invoice/{found['id']}"
            body += button(path, text["authenticate"], do="confirm")
            body += html.card_form(path, text["pay"], text, email=False, do="pay")
        else:
            body += f"<p>{text['nothing_due']}</p>"
        return self._page(request, f"{text['invoice']} {found['number'] or found['id']}", body, problem)

    async def pay_invoice(self, request: web.Request) -> web.Response:
        """The customer is there: they confirm the card that is on file, or give another."""
        found = self._find("invoice", request)
        given = await request.post()
        method = collecting.method_of(self.world, found)
        try:
            if given["do"] == "pay":
                method = cards.make(self.world, str(given["number"]))
            if refusal := collecting.attempt(self.world, found, method, there=True):
                raise refusal
        except Refusal as refusal:
            return await self.invoice(request, str(refusal))
        raise web.HTTPSeeOther(request.path)
