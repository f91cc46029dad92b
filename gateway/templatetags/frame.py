"""What the frame around a screen asks: places, theme, request id, and how a form field looks."""

from typing import Any, NamedTuple

import structlog
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select, Textarea
from django.http import HttpRequest
from django.template import Context
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

THEMES = {"light": "turnpike-light", "dark": "turnpike-dark"}


class Place(NamedTuple):
    """One line of the rail."""

    url: str
    label: str | Promise
    icon: str
    current: bool


# Route name, words, icon, in the order of the rail.
RAIL = [
    ("get-started", _("Get started"), "rocket"),
    ("playground", _("Playground"), "message-square"),
    ("catalog", _("Models"), "boxes"),
    ("keys", _("Keys"), "key-round"),
    ("usage", _("Usage"), "chart-column"),
    ("requests", _("Requests"), "list"),
    ("billing", _("Billing"), "credit-card"),
    ("team", _("Team"), "users"),
    ("settings", _("Settings"), "settings"),
    ("docs", _("Docs"), "book-open"),
]


def rail(context: Context) -> list[Place]:
    """The places of the console whose route exists; the others are left out, not linked to nothing."""
    path = context["request"].path if "request" in context else ""
    places = []
    for route, label, icon in RAIL:
        if url := url_or_empty(route):
            places.append(Place(url, label, icon, path == url or path.startswith(url.rstrip("/") + "/")))
    return places


def url_or_empty(route: str, *args: Any) -> str:
    """The address of a named route, or "" where this installation does not have it."""
    try:
        return reverse(route, args=args)
    except NoReverseMatch:
        return ""


def theme(context: Context) -> str:
    """The daisyUI theme that the reader chose (cookie `theme`: light or dark), or "" to follow the system."""
    request: HttpRequest | None = context.get("request")
    return THEMES.get(request.COOKIES.get("theme", ""), "") if request else ""


class SortState(NamedTuple):
    """What a column head says (`aria-sort`, "" when the column is not sortable) and where its link leads."""

    aria: str
    next: str


def sort_state(context: Context, column: str) -> SortState:
    """Read `?sort=` for one column: a first click sorts downwards (largest first), a second one upwards."""
    request: HttpRequest | None = context.get("request")
    chosen = request.GET.get("sort", "") if request and column else ""
    if not column:
        return SortState("", "")
    if chosen == f"-{column}":
        return SortState("descending", column)
    return SortState("ascending" if chosen == column else "none", f"-{column}")


def request_id(context: Context) -> str:
    """The id of this request, for error pages. Works without a context, as Django's 500 page has none."""
    request = context.get("request")
    known = getattr(request, "request_id", "") or structlog.contextvars.get_contextvars().get(
        "request_id", ""
    )
    return str(known)


_CLASSES: list[tuple[type, str]] = [
    (CheckboxSelectMultiple, "checkbox checkbox-sm"),
    (RadioSelect, "radio radio-sm"),
    (CheckboxInput, "checkbox checkbox-sm"),
    (Select, "select"),
    (Textarea, "textarea"),
]


def widget(field: BoundField, autofocus: bool = False, has_help: object = False) -> SafeString:
    """Draw a form field's control in our look, tied to its help and its error (`<id>_help`, `<id>_error`).

    `has_help` (anything truthy) says that the page shows a help of its own.
    """
    kind = next((css for type_, css in _CLASSES if isinstance(field.field.widget, type_)), "input")
    ids = [f"{field.auto_id}_help"] * bool(has_help or field.help_text)
    ids += [f"{field.auto_id}_error"] * bool(field.errors)
    # allauth repeats each label inside its control; a placeholder vanishes while one types, so none is drawn.
    classes = f"{kind} {field.field.widget.attrs.get('class', '')}".strip()
    attrs: dict[str, Any] = {"placeholder": False, "class": classes}
    if ids:
        attrs["aria-describedby"] = " ".join(ids)
    if field.errors:
        attrs["aria-invalid"] = "true"
    if autofocus:
        attrs["autofocus"] = True
    return field.as_widget(attrs=attrs)


def is_tick(field: BoundField) -> bool:
    """Whether the label stands to the right of a single checkbox instead of above the control."""
    return isinstance(field.field.widget, CheckboxInput)


def is_ticks(field: BoundField) -> bool:
    """Whether several may be ticked: then each has a label of its own."""
    return isinstance(field.field.widget, CheckboxSelectMultiple)
