"""The ASGI application that the server runs: `uvicorn --http gateway.server:Protocol gateway.asgi:application`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings.base")

from typing import cast

from django.core.asgi import get_asgi_application

django = get_asgi_application()  # before anything that imports models

from gateway.entry import App, Entry  # noqa: E402

application = Entry(cast(App, django))
