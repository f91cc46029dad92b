"""What the documents say is so: codes, variables, bounds, links; and the README's snippets run as they are written.

A snippet is run if an HTML comment stands before it: `<!-- test: words -->`, where the words must come out.
"""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from gateway import errors
from gateway.errors import Refusal
from gateway.runner.environment import Plan, write_demo_env
from gateway.seeding import seed_demo
from tests.live import Process, Web

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")}
    | {file for room in ("gateway", "billing", "accounts", "tests") for file in (ROOT / room).rglob("*.md")}
    - set((ROOT / "gateway" / "static").rglob("*.md"))
)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
AFTER = "after `Retry-After`"


# --- Error codes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class CodeRow:
    """A row of the table of codes."""

    statuses: set[int]
    retry: str


def table(document: str, heading: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the first table under a heading."""
    text = (ROOT / document).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 2, f"{document} has no table under {heading!r}"
    for row in rows[2:]:
        yield [cell.strip() for cell in row.strip("|").split("|")]


def documented_codes() -> dict[str, CodeRow]:
    """Return the table of docs/errors.md by code."""
    return {
        code.strip("`"): CodeRow({int(status) for status in statuses.split(",")}, retry)
        for statuses, code, _, _, retry in table("docs/errors.md", "Codes")
    }


def made_refusals() -> list[Refusal]:
    """Return one refusal of each function in gateway/errors.py, and those made in place elsewhere."""
    makers = [made for _, made in inspect.getmembers(errors, inspect.isfunction) if _makes_refusals(made)]
    assert len(makers) > 15, "the functions of gateway/errors.py are not found"
    return [maker(**_samples(maker)) for maker in makers] + list(_refusals_in_place())


def _makes_refusals(function: Callable[..., object]) -> bool:
    public = not function.__name__.startswith("_")
    return public and function.__annotations__.get("return") is Refusal


def _samples(maker: Callable[..., Refusal]) -> dict[str, object]:
    """Return an argument for each parameter that needs one."""
    values = {str: "x", int: 7, datetime: datetime(2026, 12, 1, tzinfo=UTC)}
    needed = [
        parameter
        for parameter in inspect.signature(maker).parameters.values()
        if parameter.default is parameter.empty
    ]
    return {parameter.name: values[parameter.annotation] for parameter in needed}


def _refusals_in_place() -> Iterator[Refusal]:
    """Find `Refusal(503, "code", …)` outside gateway/errors.py."""
    for file in set((ROOT / "gateway").rglob("*.py")) - {ROOT / "gateway" / "errors.py"}:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name("Refusal") | ast.Attribute(attr="Refusal"),
                    args=[ast.Constant(int(status)), ast.Constant(str(code)), *_],
                ):
                    yield Refusal(status, code, "")


def test_every_error_code_is_documented_and_every_documented_one_exists() -> None:
    assert {refusal.code for refusal in made_refusals()} == set(documented_codes())


def test_each_code_has_the_status_that_is_documented() -> None:
    documented = documented_codes()
    wrong = {
        made.code: made.status
        for made in made_refusals()
        if made.status not in documented[made.code].statuses
    }
    assert wrong == {}


def test_retry_after_is_documented_where_it_is_sent_and_nowhere_else() -> None:
    documented = documented_codes()
    assert {row.retry for row in documented.values()} == {"no", "yes", AFTER}
    sent = {refusal.code for refusal in made_refusals() if refusal.retry_after is not None}
    assert sent == {code for code, row in documented.items() if row.retry == AFTER}


def test_codes_of_records_only_are_the_codes_that_the_gateway_writes() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "gateway").glob("*.py"))
    codes = [code.strip("`") for code, _, _ in table("docs/errors.md", "In your records only")]
    assert codes
    assert [code for code in codes if f'"{code}"' not in sources] == []
    assert not set(codes) & set(documented_codes())


# --- Variables and bounds ------------------------------------------------------------------------


def variables() -> set[str]:
    """Return the variables that .env.example explains."""
    return set(re.findall(r"^# ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_variable_of_the_example_is_read_by_somebody() -> None:
    readers = [ROOT / "Procfile", ROOT / "docker-compose.yml", ROOT / "tests" / "engines.py"]
    readers += [*(ROOT / "gateway" / "settings").glob("*.py"), *(ROOT / "gateway" / "runner").glob("*.py")]
    read = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", "".join(file.read_text() for file in readers)))
    assert variables() - read == set()


def test_every_variable_that_the_readme_explains_is_in_the_example() -> None:
    explained = {
        name for first, _ in table("README.md", "Configuration") for name in re.findall(r"`(\w+)`", first)
    }
    assert len(explained) > 4
    assert explained <= variables()


@pytest.mark.parametrize(("bound", "where"), [row[1:] for row in table("docs/limits.md", "What is bounded")])
def test_a_documented_bound_is_the_one_in_the_code(bound: str, where: str) -> None:
    module, _, name = where.strip("`").rpartition(".")
    number, _, unit = bound.partition(" ")
    scale = {"MiB": 1024 * 1024, "KiB": 1024}.get(unit, 1)
    assert getattr(import_module(module), name) == int(number.replace(",", "")) * scale


# --- Links and decisions -------------------------------------------------------------------------


def links(document: Path) -> list[str]:
    """Return where the links of a document lead to, but for other sites."""
    text = FENCED.sub("", document.read_text())
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.relative_to(ROOT)} links to {link}, which is not there"
        assert not anchor or anchor in anchors(target), f"{link} has no such heading"


def test_decisions_are_numbered_listed_and_of_one_form() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert len({page.name[:4] for page in pages}) == len(
        pages
    )  # branches draw numbers beforehand, so gaps may be
    assert {page.name for page in pages} == set(links(ROOT / "docs" / "adr" / "README.md"))
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {page.name[:4]} ")
        for section in ("Context", "Decision", "Consequences", "Alternatives"):
            assert f"\n## {section}\n" in text, f"{page.name} has no section {section}"


# --- Snippets ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snippet:
    """A block of code that a document promises to work."""

    where: str
    language: str
    expected: str
    code: str


def snippets() -> list[Snippet]:
    """Return every block that is marked as a test."""
    marked = re.compile(r"^<!-- test(?:: (.+?))? -->\n```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        assert len(re.findall(r"^<!-- test\b", text, re.MULTILINE)) == len(marked.findall(text)), document
        for match in marked.finditer(text):
            line = text.count("\n", 0, match.start(3))
            where = f"{document.relative_to(ROOT)}:{line}"
            found.append(Snippet(where, match[2], match[1] or "", match[3]))
    return found


@pytest.fixture(scope="module")
def installation(
    model_web: Web,
    background: dict[str, Process],
    live_database: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder as a reader has it after `make run`: var/demo.env, manage.py and .venv, with all processes running."""
    folder = tmp_path_factory.mktemp("turnpike")
    var = folder / "var"
    var.mkdir()
    write_demo_env(Plan({"TURNPIKE_VAR": str(var)}, frozenset(), model_web.url), seed_demo().as_json())
    (folder / "manage.py").symlink_to(ROOT / "manage.py")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.mark.model
@pytest.mark.parametrize("snippet", snippets(), ids=lambda snippet: snippet.where)
def test_a_snippet_runs_as_it_is_written(
    snippet: Snippet, installation: Path, live_database: dict[str, str]
) -> None:
    if "curl" in snippet.code and not shutil.which("curl"):
        assert not os.environ.get("REQUIRE_ALL"), "curl is missing; install it"
        pytest.skip("curl is missing; install it to run the README's curl lines")
    if snippet.language == "python":
        with_keys = 'set -a; . var/demo.env; exec "$0" -c "$1"'
        command = ["bash", "-euc", with_keys, sys.executable, snippet.code]
    else:
        command = ["bash", "-euo", "pipefail", "-c", snippet.code]
    run = subprocess.run(
        command, cwd=installation, env=live_database, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert snippet.expected in run.stdout, run.stdout


def test_the_readme_shows_each_client_and_the_first_invoice() -> None:
    """The readers' way in stays tested: taking a mark away fails here."""
    code = "".join(snippet.code for snippet in snippets() if snippet.where.startswith("README.md"))
    for words in (
        '"stream": true',
        "OpenAI(",
        "InferenceClient(",
        "stream=True",
        "embeddings.create",
        "close_period",
    ):
        assert words in code
