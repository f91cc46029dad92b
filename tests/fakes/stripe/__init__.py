"""Our own stateful fake Stripe: `python -m tests.fakes.stripe --port 12111`. The map is in README.md."""
