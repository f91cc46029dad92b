"""One `make run` from preflight to Ctrl-C."""

import json
import os
import shlex
import signal
import tempfile
import urllib.error
import urllib.request
from typing import Any

from gateway.local_model.models import CHAT_MODEL
from gateway.runner import fake_stripe, leftovers, postgres, preflight, procfile, valkey
from gateway.runner.console import Console
from gateway.runner.environment import Plan, make_plan, read_dotenv, write_demo_env, write_run_env
from gateway.runner.lock import ROOT, RunLock, already_running, var_folder
from gateway.runner.processes import Program
from gateway.runner.supervisor import Child, StartError, Stopped, Supervisor

OK, FAILED, MISSING = 0, 1, 3  # exit codes

# (to stop it, when we are killed). PostgreSQL's SIGTERM waits for clients, its SIGINT does not. Celery's
# SIGTERM waits for running tasks without limit, its SIGQUIT waits `worker_soft_shutdown_timeout` and gives
# them back to the broker, which is gone when we are killed; its pool ends by itself when it ends.
_SIGNALS = {"db": (signal.SIGINT, signal.SIGINT), "worker": (signal.SIGQUIT, signal.SIGKILL)}
_USUAL = (signal.SIGTERM, signal.SIGTERM)
_STOP_STAGES = (("beat", "worker", "web"), ("model", "stripe"), ("cache", "meter", "db"))


def run() -> int:
    """Bring everything up, say so, and stay until somebody asks to stop. Returns the exit code."""
    var = var_folder(os.environ)
    os.environ["TURNPIKE_VAR"] = str(var)
    console, lock = Console(), RunLock(var)
    problem = preflight.var_problem(var)
    if problem:
        console.plain(problem)
        return MISSING
    if not lock.acquire():
        console.plain(already_running(lock.holder() or {}))
        return OK
    if leftovers.end(var / "run" / "children.json"):
        console.progress("ended what the last run had left behind")
    read_dotenv()
    plan = make_plan(os.environ)
    problems = preflight.problems(plan)
    for problem in problems:
        console.plain(problem)
    if problems:
        return MISSING
    lock.describe(plan.url)
    return _supervise(plan, console)


def _supervise(plan: Plan, console: Console) -> int:
    supervisor = Supervisor(plan.env, ROOT, plan.var, console)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.ask_to_stop)
    try:
        demo = _bring_up(supervisor, plan, console)
        console.progress("ready")
        console.plain(summary(plan, demo))
        supervisor.watch()
    except Stopped:
        return OK
    except StartError as error:
        console.plain(f"\n{error}")
        return FAILED
    finally:
        console.progress("stopping")
        supervisor.stop_all(_STOP_STAGES)
        console.progress("stopped")
    return OK


def _bring_up(supervisor: Supervisor, plan: Plan, console: Console) -> dict[str, Any]:
    """Start everything in order; returns what `manage.py seed --json` said."""
    programs = programs_of(plan)
    write_run_env(plan)
    first = [name for name in programs if name in plan.embedded or name == "stripe"]
    if first:
        console.progress(f"starting {', '.join(first)}")
    began = {name: supervisor.start(programs[name]) for name in first}
    _wait_for_engines(supervisor, plan, began)
    console.progress("migrating the database")
    supervisor.run_once(_manage("migrate", "--no-input"), seconds=300)
    # web reads the catalog when it starts, so a new installation seeds first; later ones need not wait.
    early = ("web",) if (plan.var / "demo.env").exists() else ()
    last = [supervisor.start(programs[name]) for name in early]
    console.progress("seeding plans, prices and demo accounts")
    demo = _seed(supervisor)
    write_demo_env(plan, demo)
    if fake_stripe.is_wanted(plan.env):
        supervisor.run_once(_manage("sync_plans"), seconds=60)
    console.progress("starting web, worker, beat")
    last += [supervisor.start(programs[name]) for name in ("web", "worker", "beat") if name not in early]
    supervisor.wait_until("web", last, lambda: _answers(f"{plan.url}/health/ready"), 120)
    return demo


def _seed(supervisor: Supervisor) -> dict[str, Any]:
    with tempfile.TemporaryFile() as answer:  # holds keys, so it has no name in any folder
        supervisor.run_once(_manage("seed", "--json"), 120, answer)
        answer.seek(0)
        return dict(json.load(answer))


def _wait_for_engines(supervisor: Supervisor, plan: Plan, began: dict[str, Child]) -> None:
    ready = {
        "db": lambda: postgres.is_ready(plan.var / "db", began["db"].pid),
        "meter": lambda: valkey.is_ready(plan.env["METER_REDIS_URL"]),
        "cache": lambda: valkey.is_ready(plan.env["REDIS_URL"]),
        "model": lambda: _answers(f"{plan.env['MODEL_URL']}/health"),
        "stripe": lambda: fake_stripe.answers(plan.env),
    }
    for name, child in began.items():
        # A first start makes the database; a start after a crash replays logs.
        supervisor.wait_until(name, [child], ready[name], 60)


def programs_of(plan: Plan) -> dict[str, Program]:
    """The processes of the Procfile that this run starts: all, less what `.env` replaces."""
    listed = procfile.read(ROOT / "Procfile", plan.env)
    replaced = {"db", "meter", "cache", "model"} - plan.embedded
    programs = {
        name: Program(name, argv, *_SIGNALS.get(name, _USUAL))
        for name, argv in listed.items()
        if name not in replaced
    }
    if fake_stripe.is_wanted(plan.env):
        programs["stripe"] = fake_stripe.program(plan.env, plan.url, plan.var)
    return programs


def _manage(command: str, *arguments: str) -> Program:
    return Program(command, ("python", "manage.py", command, *arguments), stop_seconds=2.0)


def _answers(url: str) -> bool:
    """Whether GET answers 200 within a second."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


_SUMMARY = """
Turnpike is ready at {url}

Sign in at {url}/accounts/login/
{people}
  Operator     {admin_user}  password {admin_password}  at {url}/admin/

Mail is written into {var}/mail
The keys are in {var}/demo.env
{stripe}
Make your first call:

{curl}

Ctrl-C stops everything.
"""


def summary(plan: Plan, demo: dict[str, Any]) -> str:
    """What a person needs next: the address, how to sign in, and a line that works when pasted."""
    people = (
        f"  {user['plan'].capitalize():<12} {user['email']}  password {user['password']}"
        for user in demo["users"]
    )
    return _SUMMARY.format(
        url=plan.url,
        var=plan.var,
        people="\n".join(people),
        admin_user=demo["admin_user"],
        admin_password=demo["admin_password"],
        curl=curl_line(plan.url, demo["pro_key"]),
        stripe=fake_stripe.summary(plan.env),
    )


def curl_line(url: str, key: str) -> str:
    """A chat call as one line for a POSIX shell."""
    body = {
        "model": CHAT_MODEL,
        "messages": [{"role": "user", "content": "Say hello in one sentence."}],
        "max_tokens": 50,
    }
    return shlex.join(
        (
            "curl",
            f"{url}/v1/chat/completions",
            "-H",
            f"Authorization: Bearer {key}",
            "-H",
            "Content-Type: application/json",
            "-d",
            json.dumps(body),
        )
    )
