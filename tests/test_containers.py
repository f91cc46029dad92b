"""The containers, the Procfile, `.env.example` and the settings tell the same story.

No Docker engine is needed: the files are parsed and held against each other.
"""

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.runner import postgres, procfile, valkey
from gateway.runner.lock import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROCESSES = procfile.read(ROOT / "Procfile", {})
OURS = ("model", "web", "worker", "beat")  # our own code; the others are engines from somebody's image
LISTENS = ("--host", "--port", "--schedule")  # what may differ between a machine and a container


def documented() -> set[str]:
    """The variables that `.env.example` explains."""
    return set(re.findall(r"^# ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def without_addresses(command: list[str]) -> list[str]:
    """The command less the options whose values depend on where it runs."""
    dropped = {index + step for index, word in enumerate(command) if word in LISTENS for step in (0, 1)}
    return [word for index, word in enumerate(command) if index not in dropped]


def command_of(service: str) -> list[str]:
    """A service's command with its variables at their defaults."""
    return procfile.expand(SERVICES[service]["command"], {})


def test_compose_has_the_processes_of_the_procfile_and_one_migration() -> None:
    assert set(SERVICES) == {*PROCESSES, "migrate"}
    assert list(PROCESSES) == ["db", "meter", "cache", "model", "web", "worker", "beat"]


@pytest.mark.parametrize("name", OURS)
def test_a_container_runs_the_command_of_the_procfile(name: str) -> None:
    assert without_addresses(command_of(name)) == without_addresses(PROCESSES[name])


def test_the_image_on_its_own_is_the_web_process() -> None:
    command = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert command is not None
    assert yaml.safe_load(command[1]) == command_of("web")


@pytest.mark.parametrize("kind", ["meter", "cache"])
def test_a_valkey_in_a_container_keeps_data_as_the_embedded_one_does(kind: str) -> None:
    words = shlex.split(SERVICES[kind]["command"])
    given = {word[2:]: value for word, value in pairwise(words) if word.startswith("--")}
    embedded = {name: value.strip('"') for name, value in valkey.SETTINGS[kind].items()}
    assert {name: given.get(name) for name in embedded} == embedded


def test_the_meter_loses_nothing() -> None:
    settings = valkey.SETTINGS["meter"]
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")
    assert settings["maxmemory-policy"] == "noeviction"


def test_both_postgresqls_are_of_one_version_and_sort_alike() -> None:
    assert SERVICES["db"]["image"].startswith(f"postgres:{postgres.MAJOR}-")
    assert shlex.split(SERVICES["db"]["environment"]["POSTGRES_INITDB_ARGS"]) == list(postgres.LOCALE)


def test_every_variable_of_compose_and_procfile_is_documented() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "Procfile").read_text()
    assert set(re.findall(r"(?<!\$)\$\{(\w+)[:}]", text)) <= documented()


def test_every_variable_that_the_settings_read_is_documented() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "gateway" / "settings").glob("*.py"))
    read = set(re.findall(r"""env(?:\.\w+)?\(\s*["'](\w+)["']|environ\.get\(["'](\w+)["']""", sources))
    names = {name for pair in read for name in pair if name}
    assert "DATABASE_URL" in names, "the pattern no longer finds what the settings read"
    assert names <= documented()


def test_every_variable_that_make_run_reads_is_documented() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "gateway" / "runner").glob("*.py"))
    read = set(re.findall(r"""(?:given|env|environ)\.get\(["']([A-Z]\w+)["']""", sources))
    assert {"PORT", "NO_COLOR"} <= read, "the pattern no longer finds what the runner reads"
    assert read - {"PATH"} <= documented()


def test_nothing_documented_is_read_by_nobody() -> None:
    folders = (ROOT / "gateway" / "settings", ROOT / "gateway" / "runner", ROOT / "tests")
    files = [
        ROOT / "docker-compose.yml",
        ROOT / "Procfile",
        *(file for room in folders for file in room.glob("*.py")),
    ]
    text = "".join(file.read_text() for file in files)
    assert [name for name in sorted(documented()) if name not in text] == []


def test_what_containers_require_is_marked_so() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    paragraphs = (ROOT / ".env.example").read_text().split("\n\n")
    marked = {
        name
        for paragraph in paragraphs
        if re.search(r"[Rr]equired\s+(# )?in containers", paragraph.replace("\n# ", " "))
        for name in re.findall(r"^# ?([A-Z][A-Z0-9_]+)=", paragraph, re.MULTILINE)
    }
    assert required == marked


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"], "the root file system is read-only"
    assert service["init"]
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] if name not in {"meter", "cache"} else True
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not service["user"].startswith(("0", "root"))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_a_container_that_stays_has_a_health_check_and_time_to_stop(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert check.keys() >= {"interval", "timeout", "retries", "start_period"}
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["stop_grace_period"].endswith("s")


def test_streams_may_end_before_web_is_killed() -> None:
    seconds = int(command_of("web")[command_of("web").index("--timeout-graceful-shutdown") + 1])
    assert int(SERVICES["web"]["stop_grace_period"].removesuffix("s")) > seconds


def test_migration_runs_once_and_before_our_processes() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert "migrate --no-input" in SERVICES["migrate"]["command"]
    for name in ("web", "worker", "beat"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_only_web_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:${PORT:-8000}:8000"]}


def test_data_is_in_named_volumes() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])
    assert mounted >= {"db", "meter", "web"}


def test_no_image_is_of_an_unnamed_version() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [image for image, _ in re.findall(r"^FROM (\S+)( AS \w+)?$", DOCKERFILE, re.MULTILINE)]
    for image in images:
        assert ":" in image
        assert "latest" not in image


def test_the_image_is_built_from_locked_packages_and_runs_as_nobody_special() -> None:
    assert DOCKERFILE.count("pip install --require-hashes") == 2
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert SERVICES["web"]["user"] == "10001:10001"
    assert "HEALTHCHECK" in DOCKERFILE
    assert {"compilemessages", "collectstatic"} <= set(DOCKERFILE.split())


def test_the_image_gets_only_what_the_dockerfile_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = set(re.findall(r"^COPY (?!--from)(\S.*) \S+$", DOCKERFILE, re.MULTILINE))
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert {name for names in copied for name in names.split()} == allowed
    assert all((ROOT / name).exists() for name in allowed)
    assert Path(ROOT / "docker-compose.yml").read_text().count("version:") == 0
