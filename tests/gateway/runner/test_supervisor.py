"""The supervisor with small programs: who dies is started again, who is stopped leaves nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.runner import leftovers
from gateway.runner.console import Console
from gateway.runner.processes import Program, spawn, wait_for
from gateway.runner.supervisor import StartError, Stopped, Supervisor

# Starts a child of its own, as web and worker do, and both sleep.
PARENT = (
    "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print('up', flush=True); time.sleep(60)"
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor of nothing yet; in the end it stops what a test left."""
    supervisor = Supervisor(os.environ, tmp_path, tmp_path, Console())
    yield supervisor
    supervisor.stop_all(())


def python(name: str, code: str) -> Program:
    """A program of a few words of Python."""
    return Program(name, (sys.executable, "-c", code), stop_seconds=2.0)


def group_is_gone(pid: int) -> bool:
    """Whether no process of that group runs."""
    command = ["ps", "-o", "stat=", "-g", str(pid)]
    states = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return all(state.startswith("Z") for state in states)


def test_a_program_that_ends_is_started_again_after_a_pause_that_grows(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.start(python("brief", "print('hello')"))
    threading.Timer(4.5, supervisor.ask_to_stop).start()
    with pytest.raises(Stopped):
        supervisor.watch()
    said = capsys.readouterr().out
    assert said.count("brief   | hello") == 3
    assert [f"starting it again in {seconds} s" in said for seconds in (1, 2, 4)] == [True, True, True]


def test_stopping_ends_the_children_of_the_children(supervisor: Supervisor, tmp_path: Path) -> None:
    child = supervisor.start(python("parent", PARENT))
    supervisor.wait_until("parent", [child], lambda: "up" in child.log.tail(), 10)
    supervisor.stop_all((("parent",),))
    assert group_is_gone(child.pid)
    assert not (tmp_path / "run" / "children.json").exists()


def test_a_program_that_does_not_listen_is_killed_in_the_end(supervisor: Supervisor) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = supervisor.start(python("deaf", deaf))
    supervisor.wait_until("deaf", [child], lambda: "deaf" in child.log.tail(), 10)
    began = time.monotonic()
    supervisor.stop_all((("deaf",),))
    assert 1.5 < time.monotonic() - began < 5
    assert group_is_gone(child.pid)


def test_an_engine_that_does_not_come_up_shows_the_end_of_its_log(supervisor: Supervisor) -> None:
    child = supervisor.start(
        python("engine", "import sys; sys.exit('\\n'.join(f'line {n}' for n in range(30)))")
    )
    with pytest.raises(StartError) as caught:
        supervisor.wait_until("engine", [child], lambda: False, 10)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("engine ended while starting. The end of ")
    assert lines[1:] == [f"  line {number}" for number in range(20, 30)]


def test_a_command_that_fails_says_how(supervisor: Supervisor) -> None:
    with pytest.raises(StartError, match=r"migrate failed \(exit code 7\)"):
        supervisor.run_once(python("migrate", "raise SystemExit(7)"), 10)


def test_what_a_killed_run_left_behind_is_ended_by_the_next(tmp_path: Path) -> None:
    orphan = spawn(python("orphan", PARENT), os.environ, tmp_path, stdout=subprocess.DEVNULL)
    leftovers.note(tmp_path / "children.json", [orphan.pid])
    assert leftovers.end(tmp_path / "children.json") == 1
    orphan.wait()
    assert wait_for(lambda: group_is_gone(orphan.pid), 5)


def test_a_process_id_that_belongs_to_somebody_else_now_is_left_alone(tmp_path: Path) -> None:
    stranger = spawn(python("stranger", PARENT), os.environ, tmp_path, stdout=subprocess.DEVNULL)
    file = tmp_path / "children.json"
    leftovers.note(file, [stranger.pid])
    file.write_text(file.read_text().replace('"started": "', '"started": "9'))
    assert leftovers.end(file) == 0
    assert stranger.poll() is None
    os.killpg(stranger.pid, signal.SIGKILL)
    stranger.wait()
