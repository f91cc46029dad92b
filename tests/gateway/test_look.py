"""What every screen promises: readable colours, no inline style, both languages, error pages that stand alone."""

import gettext
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import Client, RequestFactory, override_settings
from django.utils.translation import override
from django.views.csrf import csrf_failure
from django.views.defaults import page_not_found, permission_denied, server_error

from gateway import reference
from gateway.templatetags.frame import RAIL

ROOT: Path = settings.BASE_DIR
CSS = (ROOT / "gateway/static/src/turnpike.css").read_text()
KOREAN = ROOT / "gateway/locale/ko/LC_MESSAGES"
TEMPLATES = [
    file
    for room in ("gateway", "accounts", "billing")
    for file in (ROOT / room / "templates").rglob("*.html")
    if not {"admin", "mail"} & set(file.relative_to(ROOT).parts)  # no policy of ours reaches a mail program
]
TEXTS = [
    "color-base-content",
    "muted",
    "color-accent",
    "color-info",
    "color-success",
    "color-warning",
    "color-error",
]
GROUNDS = ["color-base-100", "color-base-200", "quiet"]
FILLS = ["primary", "secondary", "accent", "neutral", "info", "success", "warning", "error"]


def palette(theme: str) -> dict[str, str]:
    block = next(part for part in re.findall(r"\{([^{}]*)\}", CSS) if f'name: "{theme}"' in part)
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["turnpike-light", "turnpike-dark"])
def test_every_text_colour_reads_at_4_5_to_1_on_every_ground(theme: str) -> None:
    colours = palette(theme)
    pairs = [(text, ground) for text in TEXTS for ground in GROUNDS]
    pairs += [(f"color-{fill}-content", f"color-{fill}") for fill in FILLS]
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("theme", ["turnpike-light", "turnpike-dark"])
def test_chart_series_and_control_borders_stand_out_at_3_to_1(theme: str) -> None:
    colours = palette(theme)
    drawn = [*(f"series-{n}" for n in range(1, 7)), "control"]
    assert {name for name in drawn if contrast(colours[name], colours["color-base-100"]) < 3} == set()


def test_the_built_stylesheet_holds_both_themes_and_asks_nobody_else() -> None:
    built = (ROOT / "gateway/static/turnpike.css").read_text()
    for theme in ("turnpike-light", "turnpike-dark"):
        assert palette(theme)["color-base-200"] in built
    assert re.findall(r"url\((?![\"']?data:)[^)]*\)|@import", built) == []


def test_no_template_needs_what_the_content_security_policy_refuses() -> None:
    refused = re.compile(r"\sstyle=[\"']|\son[a-z]+=[\"']|javascript:|<style|<script(?![^>]*\bsrc=)")
    found = {str(file.relative_to(ROOT)): refused.findall(file.read_text()) for file in TEMPLATES}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_every_icon_that_a_screen_names_is_there() -> None:
    drawn = {file.stem for file in (ROOT / "gateway/static/vendor/lucide").glob("*.svg")}
    naming = re.compile(r"(?:{% icon |<c-icon name=|<c-empty icon=)[\"']([\w-]+)")
    named = {icon for file in TEMPLATES for icon in naming.findall(file.read_text())}
    named |= {icon for _, _, icon in RAIL}
    assert named - drawn == set()
    assert len(named) > 20


def test_minji_finds_no_english_sentence_in_the_korean_catalogue() -> None:
    with (KOREAN / "django.po").open("rb") as file:
        catalogue = read_po(file, locale="ko")
    left = [m.id for m in catalogue if m.id and (m.fuzzy or not m.string or not all(m.string))]
    assert left == []


def test_the_compiled_korean_is_that_of_the_source() -> None:
    with (KOREAN / "django.po").open("rb") as file:
        source = {m.id: m.string for m in read_po(file, locale="ko") if m.id and isinstance(m.id, str)}
    with (KOREAN / "django.mo").open("rb") as compiled:
        translations = gettext.GNUTranslations(compiled)
    assert {text: translations.gettext(text) for text in source} == source


def request_of(path: str) -> HttpRequest:
    request = RequestFactory().get(path)
    request.request_id = "01a2099e-569f-7792-a4b1-21000f2382a3"  # type: ignore[attr-defined]
    return request


def test_the_500_page_stands_without_a_context_or_a_database() -> None:
    body = server_error(request_of("/usage/")).content.decode()
    assert "Something broke on our side" in body
    assert "{%" not in body
    assert "{{" not in body


def test_the_404_403_and_csrf_pages_say_what_to_do_and_name_the_request() -> None:
    request = request_of("/nothing/")
    for answer, words in [
        (page_not_found(request, Exception("x")), "There is nothing at this address"),
        (permission_denied(request, Exception("Ask Alice.")), "Ask Alice."),
        (csrf_failure(request), "This form is too old"),
    ]:
        body = answer.content.decode()
        assert words in body
        assert "01a2099e-569f-7792-a4b1-21000f2382a3" in body


@override_settings(DEBUG=False)
def test_a_fault_answers_with_the_500_page_and_its_request_id(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault() -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(reference, "endpoints", fault)
    monkeypatch.setattr(reference, "first_model", lambda: "m")
    client.raise_request_exception = False
    answer = client.get("/docs/")
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.content.decode()


def test_minji_reads_the_404_page_in_korean() -> None:
    with override("ko"):
        body = page_not_found(request_of("/nothing/"), Exception()).content.decode()
    assert '<html lang="ko"' in body
    assert "이 주소에는 아무것도 없습니다" in body


def test_erin_sees_each_recovery_code_on_a_line_of_its_own() -> None:
    codes = {"unused_codes": ["4f1a90c2", "77be01dd"], "can_view_codes": True}
    body = render_to_string("mfa/recovery_codes/index.html", codes)
    assert "<code>4f1a90c2\n77be01dd</code>" in body


def test_the_api_reference_lists_each_call_with_its_own_body() -> None:
    bodies = {
        endpoint.path: [field.name for field in endpoint.body_fields] for endpoint in reference.endpoints()
    }
    assert bodies["/v1/chat/completions"][:2] == ["model", "messages"]
    assert bodies["/v1/embeddings"][:2] == ["model", "input"]
    assert bodies["/hf-inference/models/{model_id}"][0] == "inputs"
