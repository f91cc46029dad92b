"""Side-by-side speed: `python -m tests.bench.gateways --help`."""
