"""Statement -> PDF by typst, from the template beside this file. No system library, no network, ~20 ms.

The template gets the words and figures as JSON and never as source: whatever a customer is called, it is
printed and not run. The same statement in the same state always gives the same bytes.
"""

import functools
import json
from pathlib import Path
from typing import Any

import typst
from django.utils import translation

from billing.models import CreditNote, Statement
from billing.pdf.content import content_of, language_of
from billing.pdf.credit_note import content_of_note

HERE = Path(__file__).parent


def statement_pdf(statement: Statement, language: str | None = None) -> bytes:
    """Return the statement as a PDF in `language` ("en", "ko"), or in the account owner's if not given."""
    with translation.override(language or language_of(statement.account)):
        content = content_of(statement)
    return render(content)


def credit_note_pdf(note: CreditNote, language: str | None = None) -> bytes:
    """Return the credit note as a PDF in `language` ("en", "ko"), or in the account owner's if not given."""
    with translation.override(language or language_of(note.account)):
        content = content_of_note(note)
    return render(content)


def render(content: dict[str, Any], **options: Any) -> bytes:
    """Compile the template with what it shows. `options` go to typst (`format="png"`, to look at it)."""
    result: bytes = typst.compile(
        str(HERE / "statement.typ"),
        root=str(HERE),
        font_paths=_fonts(),
        sys_inputs={"content": json.dumps(content)},
        **options,
    )
    return result


@functools.cache
def _fonts() -> Any:
    """The fonts that ship with this file and no others, so that every machine makes the same PDF."""
    return typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(HERE / "fonts")]
    )
