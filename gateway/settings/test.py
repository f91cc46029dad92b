"""What tests change. The engines are real: tests/engines.py starts them and sets their addresses first."""

from gateway.settings.base import *

LOCAL = ALLOW_PRIVATE_UPSTREAMS = ALLOW_PRIVATE_WEBHOOKS = True
DEBUG = False
SITE_URL = "http://127.0.0.1:8000"
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # speed, nothing else
DATABASES["default"]["OPTIONS"].pop("pool", None)
SECURE_SSL_REDIRECT = False
STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}  # no collectstatic
SERVESTATIC_USE_FINDERS = True
