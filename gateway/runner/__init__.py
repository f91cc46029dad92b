"""`make run`: everything Turnpike needs as one foreground process on one machine. Imports no Django.

__main__.py      the command line: run, stop, status
install.py       makes .venv (runs before anything is installed: standard library only)
preflight.py     what must hold before anything starts, one clear line each
environment.py   .env, secrets, addresses -> the variables that every process gets
procfile.py      the Procfile -> programs
session.py       one run from preflight to Ctrl-C
fake_stripe.py   `make run STRIPE=fake`
engines.py       the command that becomes one engine; postgres.py, valkey.py, wheels.py do the work
processes.py     one child process: start, read, stop, die with the parent
supervisor.py    all of them: ready in order, restarted when they die, stopped in reverse
leftovers.py     what a killed run left behind
lock.py          one running installation per var folder
console.py       prefixed lines and log files
"""
