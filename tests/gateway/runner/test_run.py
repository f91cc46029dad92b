"""`make run` from the first start to the last: Dana, who operates Turnpike, on her own machine."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.runner.processes import wait_for
from tests.gateway.runner.session import Session
from tests.processes import any_port

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def dana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Dana has typed `make run`, and it is ready."""
    session = Session(tmp_path_factory.mktemp("dana") / "var", any_port())
    session.start()
    yield session
    if not session.ended():
        session.stop()


def curl_line(session: Session) -> str:
    """The line that is printed for pasting."""
    return next(line for line in session.said().splitlines() if line.startswith("curl "))


def test_danas_first_call_is_the_printed_line_pasted_into_a_shell(dana: Session) -> None:
    done = subprocess.run(
        ["sh", "-c", curl_line(dana)], capture_output=True, text=True, timeout=60, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] > 0


def test_danas_shell_reads_the_demo_keys(dana: Session) -> None:
    script = '. "$0"; echo "$TURNPIKE_URL $TURNPIKE_PRO_KEY $TURNPIKE_FREE_KEY $TURNPIKE_ENTERPRISE_KEY"'
    command = ["sh", "-eu", "-c", script, str(dana.var / "demo.env")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == dana.url
    assert len({key for key in said[1:] if key.startswith("tp_live_")}) == 3


@pytest.mark.parametrize("name", ["demo.env", "run.env", "secrets.env"])
def test_files_with_secrets_are_for_dana_only(dana: Session, name: str) -> None:
    assert stat.S_IMODE((dana.var / name).stat().st_mode) == 0o600


def test_dana_types_make_run_again_in_another_terminal_and_hears_where_it_runs(dana: Session) -> None:
    second = dana.once()
    assert second.returncode == 0
    assert dana.process is not None
    expected = (
        f"Turnpike is already running at {dana.url} (pid {dana.process.pid}). Stop it with make stop.\n"
    )
    assert second.stdout == expected


def test_a_worker_that_dies_is_started_again(dana: Session) -> None:
    worker = main_process(dana, "gateway.celery worker")
    os.kill(worker, signal.SIGKILL)
    assert wait_for(lambda: "worker ended (signal 9); starting it again in 1 s" in dana.said(), 10)
    assert wait_for(lambda: main_process(dana, "gateway.celery worker") not in (0, worker), 10)


def test_the_machine_fails_and_at_the_next_start_everything_is_as_it_was(dana: Session) -> None:
    assert dana.process is not None
    before = curl_line(dana)
    dana.stop(signal.SIGKILL)
    assert wait_for(lambda: not dana.processes(), 15), dana.processes()
    assert dana.start() < 60
    assert curl_line(dana) == before
    assert dana.stop(signal.SIGINT) == 0
    assert dana.processes() == {}


def test_make_stop_when_nothing_runs_says_so(tmp_path: Path) -> None:
    done = Session(tmp_path / "var", 8001).once("stop")
    assert (done.returncode, done.stdout) == (0, "Turnpike is not running.\n")


def main_process(session: Session, command: str) -> int:
    """The leader among the processes with that command; 0 when there is none."""
    pids = [pid for pid, words in session.processes().items() if command in words and os.getpgid(pid) == pid]
    return pids[0] if pids else 0
