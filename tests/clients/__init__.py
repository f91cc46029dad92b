"""Every client works unchanged: each real client, each of its features, its success and its bad news.

`python -m tests.clients` runs them all and prints a matrix. See docs/clients.md.
"""
