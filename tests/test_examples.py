"""The examples under docs/examples run as their READMEs say, against the models that ship, and are worth it.

JavaScript runs where there is Node, bash where there are curl and jq; else skipped, or failed with
REQUIRE_NODE=1 and REQUIRE_ALL=1.
"""

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.runner.lock import ROOT
from tests.clients.cells import NEWS
from tests.clients.world import people_in_each_case
from tests.factories import Person, make_person
from tests.live import Web

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

EXAMPLES = ROOT / "docs" / "examples"
FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
SECONDS = 120
# What runs a program, by its ending, and which variable makes its absence a failure.
RUN_BY = {".py": ([sys.executable], ""), ".mjs": (["node"], "REQUIRE_NODE"), ".sh": (["bash"], "REQUIRE_ALL")}
ENDINGS = pytest.mark.parametrize("ending", RUN_BY)


def program(folder: str, ending: str) -> list[str]:
    """Return the command of an example in one language. Skips, or fails, where this machine cannot run it."""
    (found,) = (EXAMPLES / folder).glob(f"*{ending}")
    command, variable = RUN_BY[ending]
    needed = ["curl", "jq"] if ending == ".sh" else []
    missing = [name for name in (command[0], *needed) if not shutil.which(name)]
    if missing:
        insists = os.environ.get(variable) == "1"
        (pytest.fail if insists else pytest.skip)(
            f"{' and '.join(missing)} not found: {found.name} was not run"
        )
    return [*command, str(found)]


def run(command: list[str], web: Web, key: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run an example as a customer would, with nothing but the address and a key."""
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TURNPIKE_URL": web.url, "TURNPIKE_PRO_KEY": key}
    return subprocess.run(
        [*command, *words], env=env, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def lines_of(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return what it printed. It must have ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def alice(person: Callable[..., Person]) -> Person:
    """Alice is on Pro."""
    return person("Alice", "pro")


@ENDINGS
def test_a_shop_recommends_the_coat_to_somebody_who_asks_in_korean(
    ending: str, model_web: Web, alice: Person
) -> None:
    lines = lines_of(
        run(program("product-recommendation", ending), model_web, alice.secret, "따뜻한 겨울 코트")
    )
    assert len(lines) == 3
    assert "패딩 코트" in lines[0]
    assert "Wool winter coat" in "\n".join(lines)


@ENDINGS
def test_a_shop_recommends_running_shoes_for_a_marathon(ending: str, model_web: Web, alice: Person) -> None:
    lines = lines_of(
        run(
            program("product-recommendation", ending),
            model_web,
            alice.secret,
            "shoes",
            "for",
            "a",
            "marathon",
        )
    )
    assert "Running shoes" in lines[0]


@ENDINGS
def test_a_banks_bot_finds_what_to_do_about_a_stolen_card(ending: str, model_web: Web, alice: Person) -> None:
    question = "My wallet was stolen and my card was in it. What now?"
    lines = lines_of(run(program("customer-service-bot", ending), model_web, alice.secret, question))
    assert lines[0].split(maxsplit=1) == ["Entry:", "How do I block a lost or stolen card?"]
    assert "Block it in the app" in lines[1]
    model = "\n".join(lines[2:]).removeprefix("Model:")
    assert len(model.split()) >= 5


@ENDINGS
def test_a_clinic_sorts_its_notes_and_finds_the_case_most_alike(
    ending: str, model_web: Web, alice: Person
) -> None:
    lines = lines_of(run(program("record-analysis", ending), model_web, alice.secret))
    topics = {line.split("  ")[0]: line.split("  ")[1].rpartition(" ")[0] for line in lines}
    heart, skin, injury = "a heart problem", "a skin problem", "an injury"
    assert topics == {
        "A-101": heart, "A-102": skin, "A-103": injury, "A-104": heart, "A-105": skin, "A-106": injury,
    }  # fmt: skip
    assert lines[1].endswith("most like A-105")


@ENDINGS
def test_a_tutor_answers_two_questions_and_remembers_the_first(
    ending: str, model_web: Web, alice: Person
) -> None:
    questions = ("What is photosynthesis?", "Which gas does it need?")
    text = "\n".join(lines_of(run(program("tutor-chat", ending), model_web, alice.secret, *questions)))
    assert "plants" in text
    assert all(f"> {question}" in text for question in questions)
    used = [(int(sent), int(came)) for sent, came in re.findall(r"\[(\d+) tokens in, (\d+) out\]", text)]
    (first_sent, first_came), (second_sent, _) = used
    assert second_sent >= first_sent + first_came  # the answer is in what is sent next


@pytest.fixture(scope="module")
def refused_keys(live_database: dict[str, str]) -> dict[str, str]:
    """The keys of Mallory (revoked), Bob (month used up) and Carol (minute used up), by status."""
    return people_in_each_case(lambda name, plan="free": make_person(f"{name}-{uuid.uuid4().hex[:8]}", plan))


@ENDINGS
@pytest.mark.parametrize("status", ["401", "402", "429"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_mallory_bob_and_carol_read_why_they_are_refused(
    folder: str, status: str, ending: str, model_web: Web, refused_keys: dict[str, str]
) -> None:
    done = run(program(folder, ending), model_web, refused_keys[status], "Hello?")
    code, words = NEWS[status]
    assert done.returncode == 1
    assert words in done.stderr
    assert status in done.stderr or code in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_example_says_what_it_shows_and_how_to_run_it(folder: str) -> None:
    here = EXAMPLES / folder
    readme = (here / "README.md").read_text(encoding="utf-8")
    assert 20 <= len(readme.splitlines()) <= 40
    for path in _programs(here):
        assert path.name in readme
    assert "var/demo.env" in readme


def _programs(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix in RUN_BY]
