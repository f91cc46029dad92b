"""The table of failures in README.md names tests that are there."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_each_test_that_the_table_names_is_there() -> None:
    named = re.findall(r"`(\w+\.py)::(\w+)`", (HERE / "README.md").read_text())
    missing = [(file, name) for file, name in named if f"def {name}(" not in (HERE / file).read_text()]
    assert missing == []
    assert len(named) > 40
