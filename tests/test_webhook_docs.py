"""docs/webhooks.md: its events are the code's, and its snippets verify what we send, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.webhooks.delivery import WAITS
from accounts.webhooks.events import EVENTS, body_of
from accounts.webhooks.sender import TOTAL_SECONDS
from accounts.webhooks.signing import headers, new_secret

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "webhooks.md").read_text()
Verify = Callable[[str, dict[str, str], str], bool]


def snippet(language: str) -> str:
    """The code under the mark of a language."""
    found = re.search(rf"<!-- webhook: {language} -->\n```\w+\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, language
    return found[1]


def run(command: list[str], given: dict[str, Any]) -> bool:
    """Run a verifier as a program of its own and return what it says."""
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return bool(json.loads(done.stdout.lower()))


def in_python(secret: str, sent: dict[str, str], body: str) -> bool:
    """Verify with the Python snippet."""
    ask = "\nimport json, sys\ngiven = json.load(sys.stdin)\n"
    ask += "print(verify(given['secret'], given['headers'], given['body'].encode()))"
    return run(
        [sys.executable, "-c", snippet("python") + ask], {"secret": secret, "headers": sent, "body": body}
    )


def in_node(secret: str, sent: dict[str, str], body: str) -> bool:
    """Verify with the Node snippet."""
    ask = "\nconst given = JSON.parse(require('node:fs').readFileSync(0));"
    ask += "console.log(verify(given.secret, given.headers, given.body));"
    return run(["node", "-e", snippet("node") + ask], {"secret": secret, "headers": sent, "body": body})


@pytest.fixture(params=[in_python, in_node], ids=["python", "node"])
def verify(request: pytest.FixtureRequest) -> Verify:
    """Each snippet in turn."""
    if request.param is in_node and not shutil.which("node"):
        assert not os.environ.get("REQUIRE_ALL"), "node is missing; install it"
        pytest.skip("node is missing; install it to run the Node snippet")
    found: Verify = request.param
    return found


def message(secret: str, at: datetime | None = None) -> tuple[dict[str, str], str]:
    """A message as we send it, with letters beyond ASCII."""
    body = body_of("key.created", {"name": "가게"})
    return headers([secret], "msg_1", at or timezone.now(), body), body


def test_a_snippet_takes_what_we_sign(verify: Verify) -> None:
    secret = new_secret()
    assert verify(secret, *message(secret))


def test_a_snippet_refuses_a_changed_body_another_secret_and_an_old_message(verify: Verify) -> None:
    secret = new_secret()
    sent, body = message(secret)
    assert not verify(secret, sent, body.replace("가게", "상점"))
    assert not verify(new_secret(), sent, body)
    assert not verify(secret, sent | {"webhook-id": "msg_2"}, body)
    assert not verify(secret, *message(secret, timezone.now() - timedelta(minutes=6)))
    assert not verify(secret, *message(secret, timezone.now() + timedelta(minutes=6)))
    assert not verify(secret, sent | {"webhook-signature": "v1,"}, body)


def test_a_snippet_takes_a_message_of_a_rotation_with_either_secret(verify: Verify) -> None:
    new, old = new_secret(), new_secret()
    body = body_of("key.created", {})
    both = headers([new, old], "msg_1", timezone.now(), body)
    assert verify(new, both, body)
    assert verify(old, both, body)


def test_the_events_of_the_page_are_those_of_the_code_and_each_is_told_by_somebody() -> None:
    table = DOCUMENT.partition("\n## Events\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)) == set(EVENTS)
    sources = "".join(
        file.read_text() for room in ("accounts", "billing") for file in (ROOT / room).rglob("*.py")
        if file.name != "events.py"
    )  # fmt: skip
    assert [event for event in EVENTS if f'"{event}"' not in sources] == []


def test_the_schedule_of_the_page_is_that_of_the_code() -> None:
    words = "5 seconds, 5 minutes, half an hour, 2, 5, 10, 14, 20 and 24 hours"
    assert words in DOCUMENT
    hours = [2, 5, 10, 14, 20, 24]
    short = [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)]
    assert short + [timedelta(hours=count) for count in hours] == WAITS
    assert TOTAL_SECONDS == 10
