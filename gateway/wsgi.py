"""The screens and the management API over WSGI. Calls need `gateway.asgi`: they stream."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings.base")
application = get_wsgi_application()
