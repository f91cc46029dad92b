"""From a stored object to what Stripe would answer: lists filled in, ids expanded; pages of lists; searches."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.world import Object, World

_FIRST = 10  # so many of a list come within its object


def render(world: World, given: Object, expand: Iterable[str] = ()) -> Object:
    """Return a copy of an object as Stripe answers it."""
    shown: Object = orjson.loads(orjson.dumps({key: part for key, part in given.items() if key[0] != "_"}))
    fill, key = _LISTS.get(given["object"], (None, ""))
    if fill and key in given:
        fill(world, given, shown)
    for path in expand:
        _expand(world, shown, path.split("."), path)
    return shown


def page(url: str, data: list[Object], *, more: bool = False) -> Object:
    """Return a list object."""
    return {"object": "list", "data": data, "has_more": more, "url": url}


def listing(
    world: World, url: str, found: Iterable[Object], params: Object, *, newest_first: bool = True
) -> Object:
    """Return the page of a list that limit, starting_after, ending_before and created ask for."""
    every = [one for one in found if _in_range(one.get("created", 0), params.get("created"))]
    if newest_first:
        every.reverse()
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise Refusal("Invalid integer: limit must be between 1 and 100.", param="limit")
    ids = [one["id"] for one in every]
    if before := params.get("ending_before"):
        end = _index(ids, before, "ending_before")
        start = max(0, end - limit)
        more = start > 0
    else:
        after = params.get("starting_after")
        start = _index(ids, after, "starting_after") + 1 if after else 0
        end = min(start + limit, len(ids))
        more = end < len(ids)
    inner = [path.removeprefix("data.") for path in params.get("expand", [])]
    return page(url, [render(world, one, inner) for one in every[start:end]], more=more)


def _index(ids: list[str], cursor: str, param: str) -> int:
    if cursor not in ids:
        raise Refusal(f"No such object: '{cursor}'", code="resource_missing", param=param)
    return ids.index(cursor)


def _in_range(value: int, wanted: Any) -> bool:
    if wanted is None:
        return True
    if not isinstance(wanted, dict):
        return value == int(wanted)
    checks: dict[str, Callable[[int, int], bool]] = {
        "gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__
    }  # fmt: skip
    return all(checks[name](value, int(bound)) for name, bound in wanted.items())


# --- lists within objects -----------------------------------------------------------------------------------


def _invoice_lines(world: World, given: Object, shown: Object) -> None:
    lines = [render(world, world.objects[key]) for key in given["_lines"][:_FIRST]]
    shown["lines"] = page(f"/v1/invoices/{given['id']}/lines", lines, more=len(given["_lines"]) > _FIRST)


def _subscription_items(world: World, given: Object, shown: Object) -> None:
    items = [render(world, world.objects[key]) for key in given["_items"]]
    shown["items"] = page(f"/v1/subscription_items?subscription={given['id']}", items)


def _credit_note_lines(world: World, given: Object, shown: Object) -> None:
    lines = [render(world, world.objects[key]) for key in given["_lines"][:_FIRST]]
    url = f"/v1/credit_notes/{given['id']}/lines"
    shown["lines"] = page(url, lines, more=len(given["_lines"]) > _FIRST)


_LISTS: dict[str, tuple[Callable[[World, Object, Object], None], str]] = {
    "invoice": (_invoice_lines, "_lines"),
    "subscription": (_subscription_items, "_items"),
    "credit_note": (_credit_note_lines, "_lines"),
}

# --- expanding ----------------------------------------------------------------------------------------------


def _whole(world: World, name: str, url: str, **where: Any) -> Object:
    return page(url, [render(world, one) for one in world.every(name, **where)])


def _session_items(world: World, shown: Object) -> Object:
    return page(
        f"/v1/checkout/sessions/{shown['id']}/line_items", list(world.objects[shown["id"]]["_line_items"])
    )


def _confirmation_secret(world: World, shown: Object) -> Object | None:
    intent = world.objects.get(world.objects[shown["id"]].get("_intent") or "")
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None


# (object, field) that an answer has only when it is asked for
_ON_REQUEST: dict[tuple[str, str], Callable[[World, Object], Any]] = {
    ("customer", "subscriptions"): lambda world, shown: _whole(
        world, "subscription", f"/v1/customers/{shown['id']}/subscriptions", customer=shown["id"]
    ),
    ("customer", "tax_ids"): lambda world, shown: _whole(
        world, "tax_id", f"/v1/customers/{shown['id']}/tax_ids", customer=shown["id"]
    ),
    ("customer", "tax"): lambda world, shown: _tax_of(world, shown),
    ("customer", "invoice_credit_balance"): lambda world, shown: (
        {shown["currency"]: shown["balance"]} if shown["currency"] else {}
    ),
    ("charge", "refunds"): lambda world, shown: _whole(
        world, "refund", f"/v1/charges/{shown['id']}/refunds", charge=shown["id"]
    ),
    ("invoice", "payments"): lambda world, shown: _whole(
        world, "invoice_payment", f"/v1/invoices/{shown['id']}/payments", invoice=shown["id"]
    ),
    ("invoice", "confirmation_secret"): _confirmation_secret,
    ("checkout.session", "line_items"): _session_items,
}


def _tax_of(world: World, shown: Object) -> Object:
    country = (shown.get("address") or {}).get("country")
    known = country in world.settings["tax_percent"]
    place = {"country": country, "source": "billing_address", "state": None} if known else None
    return {
        "automatic_tax": "supported" if known else "unrecognized_location", "ip_address": None, "location": place,
        "provider": "stripe",
    }  # fmt: skip


def _expand(world: World, shown: Any, path: list[str], whole: str) -> None:
    if isinstance(shown, list):
        for one in shown:
            _expand(world, one, path, whole)
        return
    if shown is None:
        return
    head, *rest = path
    if not isinstance(shown, dict):
        raise Refusal(f"This property cannot be expanded ({whole}).", param="expand")
    on_request = _ON_REQUEST.get((str(shown.get("object")), head))
    if on_request and not shown.get(head):
        shown[head] = on_request(world, shown)
    elif head not in shown:
        raise Refusal(f"This property cannot be expanded ({whole}).", param="expand")
    elif isinstance(shown[head], str):
        found = world.objects.get(shown[head])
        if found is None:
            raise Refusal(f"This property cannot be expanded ({whole}).", param="expand")
        shown[head] = render(world, found)
    if rest:
        _expand(world, shown[head], rest, whole)


# --- searching ----------------------------------------------------------------------------------------------

_TERM = re.compile(
    r"""(-?)(metadata\[["'][^"']+["']\]|[a-z_.]+)\s*(:|<=|>=|<|>|~)\s*("[^"]*"|'[^']*'|[\w-]+)"""
)


def search(world: World, url: str, name: str, params: Object) -> Object:
    """Return what a search query finds. Stripe's may lag by a minute; ours does not."""
    query = params["query"]
    terms = _TERM.findall(query)
    if not terms or re.sub(r"\s+(AND|OR)\s+|\s", "", _TERM.sub("", query)):
        raise Refusal(f"We were unable to parse your search query: {query}", param="query")
    fits = any if " OR " in query else all
    found = [one for one in world.every(name) if fits(_matches(one, *term) for term in terms)]
    found.reverse()
    limit = params.get("limit", 10)
    start = int(params.get("page", 0))
    shown = [render(world, one) for one in found[start : start + limit]]
    more = start + limit < len(found)
    following = str(start + limit) if more else None
    return {"object": "search_result", "url": url, "data": shown, "has_more": more, "next_page": following}


def _matches(one: Object, minus: str, field: str, sign: str, wanted: str) -> bool:
    wanted = wanted.strip("\"'")
    if field.startswith("metadata["):
        value: Any = (one.get("metadata") or {}).get(field[10:-2])
    else:
        value = one
        for part in field.split("."):
            value = (value or {}).get(part)
    if sign == ":":
        right = value is not None and _as_text(value) == wanted
    elif sign == "~":
        right = value is not None and wanted.lower() in str(value).lower()
    else:
        right = value is not None and _in_range(int(value), {_SIGNS[sign]: wanted})
    return right != bool(minus)


_SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
