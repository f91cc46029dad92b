"""Everything the fake knows, as plain dictionaries in Stripe's own form.

An object is stored as Stripe would answer it, with two differences: what expands is stored as an id, and a field
that begins with `_` is ours and is never answered. Lists within an object (`invoice.lines`, `subscription.items`)
are ids in `_lines` and `_items`; `rendering.py` makes the answer.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from tests.fakes.stripe import specification
from tests.fakes.stripe.errors import Refusal, missing

Object = dict[str, Any]
HOUR, DAY = 3600, 86_400

SETTINGS: dict[str, Any] = {
    "draft_seconds": HOUR,  # a renewal's draft is finalised so long after invoice.created got its 2xx …
    "draft_seconds_without_webhook": 72 * HOUR,  # … and so long after it was made, if it got none
    "retry_days": [3, 5, 7],  # a payment that failed is tried again so many days after the last try
    "after_retries": {"subscription": "cancel", "invoice": "open"},  # or past_due, unpaid; or uncollectible
    "tax_percent": {
        "KR": "10",
        "DE": "19",
        "GB": "20",
        "JP": "10",
        "US": "8.25",
    },  # of Stripe Tax, by country
    "minimum": {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50, "krw": 500},  # the smallest charge, minor units
    "webhook_retry_seconds": [10, 60, 300, HOUR, 6 * HOUR, DAY, 2 * DAY],
    "fee_percent": "2.9",
    "fee_fixed": {"usd": 30, "eur": 25, "gbp": 20, "jpy": 0, "krw": 0},
}


class World:
    """The objects, the clock and the events of one fake Stripe."""

    def __init__(self, tag: str = "test", now: int | None = None) -> None:
        self.tag = tag
        self.frozen = now  # None: the clock runs with the machine's, plus `offset`
        self.offset = 0
        self.counter = 0
        self.objects: dict[str, Object] = {}
        self.order: dict[str, list[str]] = {}  # object name -> ids, oldest first
        self.settings = {key: _copied(value) for key, value in SETTINGS.items()}
        self.deliveries: list[Object] = []
        self.idempotency: dict[str, Object] = {}
        self.request: Object | None = None  # {"id", "idempotency_key"} of the request that is being answered
        self.judge = specification.Judge()
        self.render = self._renderer()

    def reset(self, now: int | None) -> None:
        """Forget everything but what was judged and how we are set up, and begin at `now`."""
        kept = self.judge, self.settings.get("url", ""), self.tag
        self.__init__(self.tag, now)  # type: ignore[misc]
        self.judge, self.settings["url"], self.tag = kept

    def _renderer(self) -> Callable[[Object], Object]:
        from tests.fakes.stripe.rendering import render  # which imports this module

        return lambda given: render(self, given)

    # --- time ---------------------------------------------------------------------------------------------

    def now(self, clock: str | None = None) -> int:
        """Return the time in Unix seconds: the fake's, or a test clock's."""
        if clock:
            return int(self.objects[clock]["frozen_time"])
        return self.frozen if self.frozen is not None else int(time.time()) + self.offset

    def set_time(self, when: int, clock: str | None = None) -> None:
        """Move a clock forward; it never goes back."""
        when = max(when, self.now(clock))
        if clock:
            self.objects[clock]["frozen_time"] = when
        elif self.frozen is not None:
            self.frozen = when
        else:
            self.offset += when - self.now()

    def time_of(self, given: Object) -> int:
        """Return the time by the clock that an object lives by: its own, or its customer's."""
        clock = given.get("test_clock")
        customer = given.get("customer")
        if clock is None and customer in self.objects:
            clock = self.objects[customer].get("test_clock")
        return self.now(clock if clock in self.objects else None)

    # --- objects ------------------------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """Return the next id. They are the same for the same tag and the same requests."""
        self.counter += 1
        return f"{prefix}_{self.tag}{self.counter:08d}"

    def new(self, name: str, prefix: str, /, **fields: Any) -> Object:
        """Make and keep an object of Stripe's `name`."""
        made = specification.blank(name)
        made |= {"id": fields.pop("id", None) or self.new_id(prefix), "object": name, "livemode": False}
        if "livemode" not in specification.document()["objects"][name]["properties"]:
            del made["livemode"]
        made |= fields
        if not fields.get("created") and "created" in made:
            made["created"] = self.time_of(made)
        self.objects[made["id"]] = made
        self.order.setdefault(name, []).append(made["id"])
        return made

    def get(self, name: str, given: str, param: str | None = None) -> Object:
        """Return an object by its id; Refusal if there is none (with `param`, as a wrong parameter)."""
        found = self.objects.get(given)
        if found is None or found["object"] != name or found.get("deleted"):
            raise missing(name, given, param)
        return found

    def every(self, name: str, /, **where: Any) -> Iterator[Object]:
        """Return the objects of a name, oldest first, whose fields are as said."""
        for key in list(self.order.get(name, ())):
            found = self.objects[key]
            if not found.get("deleted") and all(found.get(field) == value for field, value in where.items()):
                yield found

    def remove(self, given: Object) -> Object:
        """Delete an object for good; return what Stripe answers then."""
        gone = {"id": given["id"], "object": given["object"], "deleted": True}
        del self.objects[given["id"]]
        self.order[given["object"]].remove(given["id"])
        return gone

    def copy(self) -> "World":
        """Return a copy in which things can be tried: it has no endpoints and tells nobody."""
        shadow = World(self.tag, self.now())
        shadow.counter, shadow.settings = self.counter, self.settings
        kept = {
            key: one
            for key, one in self.objects.items()
            if one["object"] not in ("event", "webhook_endpoint")
        }
        shadow.objects = orjson.loads(orjson.dumps(kept))
        shadow.order = {name: list(ids) for name, ids in self.order.items()}
        shadow.order |= {"event": [], "webhook_endpoint": []}
        return shadow

    # --- events -------------------------------------------------------------------------------------------

    def emit(self, kind: str, given: Object, previous: Object | None = None) -> Object:
        """Make the event `kind` about an object as it is now, and queue it for every endpoint that wants it."""
        shown = self.render(given)
        self.judge.object(str(given["object"]), shown)
        data: Object = {"object": shown}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self.new(
            "event", "evt", type=kind, data=data, api_version=specification.version(),
            request=self.request or {"id": None, "idempotency_key": None}, created=self.time_of(given),
        )  # fmt: skip
        wanting = [end for end in self.every("webhook_endpoint", status="enabled") if _wants(end, kind)]
        event["pending_webhooks"] = len(wanting)
        for endpoint in wanting:
            self.deliveries.append(
                {
                    "event": event["id"],
                    "endpoint": endpoint["id"],
                    "attempts": 0,
                    "at": self.now(),
                    "done": False,
                }
            )
        return event


def _wants(endpoint: Object, kind: str) -> bool:
    return "*" in endpoint["enabled_events"] or kind in endpoint["enabled_events"]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return list(value) if isinstance(value, list) else value


def apply(given: Object, params: Object, *fields: str) -> None:
    """Write the given parameters into an object. An empty text empties the field; metadata is merged."""
    for field in fields:
        if field in params:
            given[field] = None if params[field] == "" else params[field]
    if "metadata" in params:
        given["metadata"] = merged(given.get("metadata") or {}, params["metadata"])


def merged(old: Object, new: Object | str) -> Object:
    """Merge metadata as Stripe does: an empty value removes its key, an empty text removes all."""
    if new == "":
        return {}
    assert isinstance(new, dict)
    both = {**old, **new}
    return {key: str(value) for key, value in both.items() if value not in ("", None)}


def require(params: Object, *fields: str) -> None:
    """Refuse a request without these parameters, where Stripe's document leaves them optional."""
    for field in fields:
        if field not in params:
            raise Refusal(f"Missing required param: {field}.", code="parameter_missing", param=field)
