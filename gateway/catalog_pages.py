"""The catalog's screens: which models there are, what they cost, who serves them. Open to everybody."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.currencies import DEFAULT_CURRENCY
from accounts.models import Account, Membership
from gateway.catalog import router_is_configured
from gateway.catalog_history import changes_of, first_token_times, price_history
from gateway.catalog_rows import (
    Row,
    State,
    load_prices,
    load_reaches,
    load_rows,
    snapshot_day,
)
from gateway.task_snippets import snippets_for

ROWS_A_PAGE = 50
Measure = Callable[[Row], Decimal | int | None]


@dataclass(frozen=True)
class Search:
    """What the address asks for: all of the list's state."""

    words: str
    task: str
    provider: str
    plan: str
    here: bool
    sort: str

    def finds(self, row: Row) -> bool:
        """Tell whether a row is asked for."""
        return (
            all(word in row.listed.model_id.lower() for word in self.words.lower().split())
            and self.task in ("", *row.listed.tasks)
            and self.provider in ("", *row.providers)
            and self.plan in ("", *(reach.slug for reach in row.plans))
            and (not self.here or row.state == State.LIVE)
        )

    @property
    def is_narrow(self) -> bool:
        """Tell whether anything but the order is asked for."""
        return bool(self.words or self.task or self.provider or self.plan or self.here)


@require_GET
def catalog(request: HttpRequest) -> HttpResponse:
    """The list: search, filters and order stand in the address."""
    account, search = _account(request), _search(request)
    currency, reaches = _currency(account), load_reaches(account)
    rows = load_rows(currency, reaches, load_prices())
    found = _sorted([row for row in rows if search.finds(row)], search.sort)
    page = Paginator(found, ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "search": search,
        "chips": _chips(search, request.GET, {reach.slug: reach.name for reach in reaches}),
        "tasks": sorted({task for row in rows for task in row.listed.tasks}),
        "providers": sorted({name for row in rows for name in row.providers}),
        "reaches": reaches,
        "currency": currency,
        "page": page,
        "count": len(found),
        "total": len(rows),
    }
    return _render(request, "catalog/list.html", context | _snapshot(rows))


@require_GET
def model(request: HttpRequest, model_id: str) -> HttpResponse:
    """One model: facts, every way with its price, how prices and ways changed, and how to call it."""
    account = _account(request)
    currency, prices = _currency(account), load_prices()
    found = load_rows(currency, load_reaches(account), prices, Q(model_id=model_id))
    if not found:
        return _render(request, "catalog/unknown.html", {"model_id": model_id[:200]}, status=404)
    row, waits = found[0], first_token_times(model_id)
    context = {
        "row": row,
        "currency": currency,
        "ways": [(priced, waits.get(priced.way_key)) for priced in row.ways],
        "prices": price_history(row, currency),
        "changes": changes_of(model_id),
        "snippets": [] if row.deprecated_at else snippets_for(model_id, row.listed.tasks),
    }
    return _render(request, "catalog/model.html", context | _snapshot(found))


def _render(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """Answer in the console's frame to who is signed in, in the public one to everybody else."""
    frame = "console.html" if request.user.is_authenticated else "public.html"
    return render(request, template, context | {"frame": frame}, status=status)


def _account(request: HttpRequest) -> Account | None:
    membership: Membership | None = request.membership  # type: ignore[attr-defined]
    return membership.account if membership else None


def _currency(account: Account | None) -> str:
    return account.currency if account else DEFAULT_CURRENCY


def _snapshot(rows: Iterable[Row]) -> dict[str, Any]:
    """What the banner says, where there is one: the snapshot's day, and whether its models can be called."""
    day = snapshot_day(rows)
    return {"snapshot_day": day, "has_token": router_is_configured()} if day else {}


def _search(request: HttpRequest) -> Search:
    asked = request.GET
    return Search(
        words=asked.get("q", "").strip()[:200],
        task=asked.get("task", ""),
        provider=asked.get("provider", ""),
        plan=asked.get("plan", ""),
        here=asked.get("here") == "1",
        sort=asked.get("sort", ""),
    )


def _chips(search: Search, asked: QueryDict, plan_names: dict[str, str]) -> list[tuple[str, str]]:
    """The filters in force, as (words, the address without it)."""
    words = {
        "q": f"“{search.words}”" if search.words else "",
        "task": search.task,
        "provider": search.provider,
        "plan": plan_names.get(search.plan, search.plan),
        "here": _("Can be called here") if search.here else "",
    }
    return [(text, _without(asked, name)) for name, text in words.items() if text]


def _without(asked: QueryDict, name: str) -> str:
    rest = asked.copy()
    for gone in (name, "page"):
        rest.pop(gone, None)
    return f"?{rest.urlencode()}"


def _input(row: Row) -> Decimal | None:
    return row.cheapest.input_nano if row.cheapest else None


def _output(row: Row) -> Decimal | None:
    return row.cheapest.output_nano if row.cheapest else None


_MEASURES: dict[str, Measure] = {
    "input": _input,
    "output": _output,
    "context": lambda row: row.listed.context_length,
}


def _sorted(rows: list[Row], sort: str) -> list[Row]:
    """Order the rows: `name`, `input`, `output`, `context`, with `-` downwards; else what can be called first."""
    down, by = sort.startswith("-"), sort.removeprefix("-")
    rows = sorted(rows, key=_name)
    if by == "name":
        return rows[::-1] if down else rows
    measure = _MEASURES.get(by)
    if measure is None:
        order = list(State)
        return sorted(rows, key=lambda row: order.index(row.state))
    # What has no figure comes last, whichever way round.
    figured = [(value, row) for row in rows if (value := measure(row)) is not None]
    ordered = [row for _value, row in sorted(figured, key=lambda pair: pair[0], reverse=down)]
    return ordered + [row for row in rows if measure(row) is None]


def _name(row: Row) -> str:
    return row.listed.model_id.lower()
