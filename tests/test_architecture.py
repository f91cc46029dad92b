"""The arrows between rooms hold, and each contract in pyproject.toml notices when its arrow is turned round."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("gateway", "billing", "accounts")

# For each contract: a file, and an import that it must not have.
PLANTED = {
    "Rooms: gateway may use billing, billing may use accounts, never back": (
        "accounts/ids.py",
        "import billing.money",
    ),
    "Gateway: a call reads from top to bottom": ("gateway/errors.py", "import gateway.admission"),
    "Billing: edges, then workflows, then rows, then arithmetic": (
        "billing/models/usage.py",
        "import billing.invoicing",
    ),
    "Money arithmetic is plain Python": ("billing/pricing.py", "import django.conf"),
    "Few files speak to Redis": ("gateway/settlement.py", "import redis"),
    "Few files speak HTTP to anybody outside": ("gateway/health.py", "import aiohttp"),
    "Only upstream.py speaks HTTP to upstreams": ("gateway/settlement.py", "import gateway.http_client"),
    "Only billing.payments may import stripe": ("billing/invoicing.py", "import stripe"),
    "The runner and the local model need no Django": ("gateway/runner/lock.py", "import django.conf"),
    "A call passes no DRF": ("gateway/threads.py", "import rest_framework.views"),
    "Tasks are doorbells: nobody imports them": ("billing/views/usage.py", "import billing.tasks"),
    "The product does not know its tests": ("accounts/keys.py", "import tests.factories"),
}


def broken_contracts(folder: Path) -> list[str]:
    """Run import-linter on the checkout in `folder` and return the names of the contracts that do not hold."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    lines = [line.strip() for line in run.stdout.splitlines()]
    # «name BROKEN», and where a contract ignores an import, «name BROKEN (1 ignored import)».
    broken = [line.partition(" BROKEN")[0] for line in lines if " BROKEN" in line]
    assert any(line.startswith("Contracts:") for line in lines), run.stdout + run.stderr
    assert bool(broken) == (run.returncode != 0)
    return broken


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second checkout, Python files only, for the violations."""
    folder = tmp_path_factory.mktemp("house")
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            target = folder / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    assert broken_contracts(folder) == []
    return folder


@pytest.fixture
def planted(copy: Path, contract: str) -> Iterator[Path]:
    """The second checkout with the contract's violation in it."""
    name, line = PLANTED[contract]
    file = copy / name
    before = file.read_text()
    file.write_text(f"{before}\n{line}\n")
    yield copy
    file.write_text(before)


def test_every_arrow_points_the_right_way() -> None:
    assert broken_contracts(ROOT) == []


@pytest.mark.parametrize("contract", PLANTED)
def test_an_arrow_turned_round_is_reported(contract: str, planted: Path) -> None:
    assert contract in broken_contracts(planted)


def test_every_contract_has_its_violation() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert {contract["name"] for contract in linter["contracts"]} == set(PLANTED)
