#!/usr/bin/env python
"""Turnpike's command line: `python manage.py help` lists what it can do."""

import os
import sys


def main() -> None:
    """Hand the arguments to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings.base")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as failure:
        sys.exit(
            f"{failure}. `make run` sets everything for this machine; .env.example says what else you can set."
        )


if __name__ == "__main__":
    main()
