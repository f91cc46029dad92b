"""A newcomer's way in a real browser: sign-up, code, key, call, usage, plan, statement, PDF. Nothing is faked."""

import io
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from gateway.runner.lock import ROOT
from tests.factories import CHAT_MODEL, PASSWORD
from tests.flows.conftest import Window
from tests.live import Process, Web, eventually

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.timeout(180)]
OpenWindow = Callable[..., Window]
ARRIVES = 30_000  # milliseconds until a call is through stream, ledger and roll-up on a busy machine


def test_grace_signs_up_makes_a_call_and_opens_the_pdf_of_what_she_owes(
    model_web: Web, background: dict[str, Process], live_database: dict[str, str], open_window: OpenWindow
) -> None:
    email = f"grace-{uuid.uuid4().hex[:8]}@example.com"
    window = open_window(model_web.url)
    page = window.page

    sign_up(window, email)
    secret = create_the_first_key(page)
    call_as_the_page_says(page, secret)
    call_from_python_as_the_page_says(page)
    read_the_usage(window)
    take_pro(window)
    number = close_the_running_month(live_database, email)
    read_the_statement(window, number)
    assert window.complaints == []


def sign_up(window: Window, email: str) -> None:
    """From the landing page to the first step, with the code from the mail that the installation wrote."""
    page = window.page
    window.open("/")
    page.get_by_role("main").get_by_role("link", name="Create account").click()
    page.get_by_label("E-mail", exact=False).fill(email)
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.locator("main form").get_by_role("button", name="Create account").click()
    page.get_by_label("Code", exact=False).wait_for()
    mail = page.context.new_page()
    mail.goto(window.origin + "/mail/")
    newest = mail.locator("section", has_text=email).first.locator("pre").inner_text()
    mail.close()
    page.get_by_label("Code", exact=False).fill(code_in(newest))
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Make your first call")).to_be_visible()


def code_in(mail: str) -> str:
    """The code stands on a line of its own."""
    found = re.search(r"^\s*([0-9A-Z]{3,}(?:-[0-9A-Z]{3,})?)\s*$", mail, re.MULTILINE)
    assert found, f"There is no code in this mail:\n{mail}"
    return found[1]


def create_the_first_key(page: Page) -> str:
    """Press the button; the secret is masked until revealed, and Copy puts it on the clipboard."""
    expect(page.get_by_text("Waiting for your first request")).to_be_visible()
    page.get_by_role("button", name="Create key").click()
    box = page.get_by_role("group", name="Your new key")
    expect(box).to_contain_text("••••")
    box.get_by_role("button", name="Copy").click()
    expect(box.get_by_role("button", name="Copied")).to_be_visible()
    secret: str = page.evaluate("navigator.clipboard.readText()")
    box.get_by_role("button", name="Reveal").click()
    expect(box).to_contain_text(secret)
    return secret


def call_as_the_page_says(page: Page, secret: str) -> None:
    """Copy the curl line, run it in a shell as it is, and see the waiting panel turn."""
    panel = page.get_by_role("tabpanel").first
    page.locator("[data-tabs]").filter(has=panel).get_by_role("button", name="Copy").click()
    line: str = page.evaluate("navigator.clipboard.readText()")
    assert secret in line
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"].strip()
    result = page.locator("#result")
    expect(result).to_contain_text("Your call went through", timeout=ARRIVES)
    expect(result).to_contain_text(CHAT_MODEL)
    expect(result).to_contain_text(f"{answer['usage']['prompt_tokens']} in")


def call_from_python_as_the_page_says(page: Page) -> None:
    """Run what the two Python tabs say, as it is."""
    for name in ("Python · openai", "Python · huggingface_hub"):
        page.get_by_role("tab", name=name).click()
        code = page.get_by_role("tabpanel", name=name).inner_text()
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def read_the_usage(window: Window) -> None:
    """Her three calls, in the table and in the list; and on a reload no secret anywhere."""
    window.open("/start/")
    assert not re.search(r"tp_live_[0-9A-Za-z]{27}_", window.page.content())
    window.open("/usage/")
    row = window.page.get_by_role("row", name=re.compile("SmolLM2-135M-Instruct 3 0 "))

    def counted() -> bool:
        window.page.reload()
        return row.count() == 1

    eventually(counted, "the usage page counts three calls", ARRIVES / 1000)
    expect(window.page.get_by_role("region", name="Latest calls")).to_contain_text("200")


def take_pro(window: Window) -> None:
    """Upgrade on the billing page, so that there is something to pay."""
    page = window.page
    window.open("/billing/")
    page.get_by_role("link", name="Change to Pro").click()
    page.get_by_role("button", name="Change to Pro now").click()
    expect(page.get_by_text("You are on Pro now.")).to_be_visible()


def close_the_running_month(env: dict[str, str], email: str) -> str:
    """Close an interim statement, as an operator does; return its number. $9.00: the usage is in the credit."""
    command = [sys.executable, "manage.py", "close_period", f"{datetime.now(UTC):%Y-%m}"]
    options = ["--account", email, "--until", "now", "--json"]
    done = subprocess.run(
        command + options, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    (row,) = json.loads(done.stdout)
    assert (row["total_minor"], row["state"]) == (900, "finalized")
    return str(row["number"])


def read_the_statement(window: Window, number: str) -> None:
    """The list, the lines and the PDF say the same number and total."""
    page = window.page
    window.open("/billing/statements/")
    expect(page.get_by_role("row", name=re.compile(number))).to_contain_text("$9.00")
    page.get_by_role("link", name=number, exact=True).click()
    expect(page.get_by_role("row", name=re.compile("^Total"))).to_contain_text("$9.00")
    link = page.get_by_role("link", name="Download PDF").get_attribute("href")
    pdf = page.request.get(f"{window.origin}{link}")
    assert pdf.headers["content-type"] == "application/pdf"
    text = "".join(sheet.extract_text() for sheet in PdfReader(io.BytesIO(pdf.body())).pages)
    assert number in text
    assert "$9.00" in text
