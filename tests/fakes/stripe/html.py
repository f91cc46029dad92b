"""The bare bones of the hosted pages: no scripts, nothing from elsewhere."""

from datetime import UTC, datetime
from html import escape

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f6f6f4;color:#1c1c1a}
header{background:#b3261e;color:#fff;padding:1rem 1.5rem}header strong{font-size:1.5rem;display:block}
main{max-width:40rem;margin:0 auto;padding:1.5rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.4rem .5rem;border-bottom:1px solid #ccc;overflow-wrap:break-word}
button,input,select{font:inherit;padding:.5rem .75rem;min-height:44px;box-sizing:border-box}
input,select{width:100%}button{background:#1c1c1a;color:#fff;border:0;border-radius:.4rem;cursor:pointer}
form{margin:.5rem 0}label{display:block;margin:.75rem 0 .25rem}.bad{color:#b3261e;font-weight:bold}
td form{display:inline}
@media(prefers-color-scheme:dark){a{color:#9cc3ff}body{background:#1c1c1a;color:#eee}button{background:#eee;color:#1c1c1a}}
"""
_ZERO = ("krw", "jpy", "vnd", "clp")


def whole(title: str, body: str, text: dict[str, str], lang: str, problem: str = "") -> str:
    """Return a page that says first what it is."""
    said = f'<p class="bad" role="alert">{escape(problem)}</p>' if problem else ""
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><header><strong>{text['fake']}</strong>"
        f"{text['fake_more']}</header><main><h1>{escape(title)}</h1>{said}{body}</main></body></html>"
    )


def money(amount: int | None, currency: str | None) -> str:
    """Return an amount as people write it."""
    if amount is None or currency is None:
        return ""
    shown = f"{amount:,}" if currency in _ZERO else f"{amount / 100:,.2f}"
    return f"{shown} {currency.upper()}"


def day(when: int | None) -> str:
    """Return a date."""
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M} UTC" if when else ""


def table(rows: list[list[str]], none: str) -> str:
    """Return rows of cells that are HTML already."""
    if not rows:
        return f"<p>{none}</p>"
    return (
        "<table>"
        + "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        + "</table>"
    )


def button(action: str, label: str, **fields: str) -> str:
    """Return a form with one button."""
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items()
    )
    return f'<form method="post" action="{escape(action)}">{hidden}<button>{escape(label)}</button></form>'


_CARDS = (
    ("4242424242424242", "ok"), ("4000000000000341", "later"), ("4000000000000002", "declines"),
    ("4000000000009995", "funds"), ("4000002760003184", "asks"),
)  # fmt: skip
_COUNTRIES = ("US", "KR", "JP", "GB", "DE", "AQ")


def card_form(action: str, label: str, text: dict[str, str], *, email: bool, **fields: str) -> str:
    """Return the form that asks for one of the test cards."""
    cards = "".join(
        f'<option value="{number}">{number[:4]} … {number[-4:]}: {text[what]}</option>'
        for number, what in _CARDS
    )
    places = "".join(f"<option>{code}</option>" for code in _COUNTRIES)
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items()
    )
    asked = (
        f'<label for="email">{text["email"]}</label><input id="email" name="email" type="email">'
        if email
        else ""
    )
    return (
        f'<form method="post" action="{escape(action)}">{hidden}{asked}'
        f'<label for="number">{text["card"]}</label><select id="number" name="number">{cards}</select>'
        f'<label for="country">{text["country"]}</label><select id="country" name="country">{places}</select>'
        f"<p><button>{escape(label)}</button></p></form>"
    )
