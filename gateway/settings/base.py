"""Turnpike's settings: complete and driven by the environment. Production is this file plus variables.

`.env.example` lists every variable with its meaning. `tests` use `gateway.settings.test`, which changes
only what tests need. Rules that span several settings are system checks: `gateway/checks.py`.
"""

from pathlib import Path
from typing import Any

import django_stubs_ext
from csp.constants import NONCE, NONE, SELF
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from accounts.restrictions import read_networks
from gateway.settings.env import ROOT, VAR, env, versioned

django_stubs_ext.monkeypatch()  # lets generic classes of Django be written with their type

BASE_DIR: Path = ROOT
VAR_DIR: Path = VAR

# --- What this installation is -------------------------------------------------------------------
# LOCAL is set by `make run`: plain http, mail into files, demo accounts. Never in production.
LOCAL: bool = env.bool("TURNPIKE_LOCAL", default=False)
DEBUG: bool = env.bool("DEBUG", default=False)
SITE_URL: str = env.str("SITE_URL", default="http://127.0.0.1:8000").rstrip("/")
SECRET_KEY: str = env.str("SECRET_KEY")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
# Proxies whose X-Forwarded-For is believed, as addresses or CIDR ranges. Keys may be limited to client addresses.
TRUSTED_PROXIES = read_networks(env.list("TRUSTED_PROXIES", default=[]))
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[SITE_URL])

# --- Rooms ---------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "gateway.apps.GatewayConfig",
    "billing.apps.BillingConfig",
    "accounts.apps.AccountsConfig",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "gateway.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_cotton.apps.SimpleAppConfig",
    "simple_history",
    "csp",
]

# Screens and the management API only. Calls never pass here: see gateway/asgi.py.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "gateway.middleware.RequestIdMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "accounts.middleware.CurrentAccountMiddleware",
]

ROOT_URLCONF = "gateway.urls"
ASGI_APPLICATION = "gateway.asgi.application"
WSGI_APPLICATION = "gateway.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "gateway" / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django_cotton.cotton_loader.Loader",
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "builtins": ["django_cotton.templatetags.cotton", "gateway.templatetags.turnpike"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "accounts.context.current_account",
            ],
        },
    }
]
COTTON_DIR = "cotton"

# --- Engines -------------------------------------------------------------------------------------
DATABASES: dict[str, Any] = {"default": env.db_url("DATABASE_URL")}
# Under ASGI a persistent connection per thread leaks; psycopg's pool is the supported way.
DATABASES["default"]["CONN_MAX_AGE"] = 0
DATABASES["default"].setdefault("OPTIONS", {})
if env.bool("DATABASE_POOL", default=True):
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 8, "timeout": 5}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

METER_REDIS_URL: str = env.str("METER_REDIS_URL")  # holds, counters, the usage stream: durable
# A meter that takes longer than this to answer is away: new calls get 503, settlements wait on disk.
METER_TIMEOUT_SECONDS: float = env.float("METER_TIMEOUT_SECONDS", default=0.3)
# How long the hold of a call outlives its process; the call itself renews it three times in that time.
HOLD_SECONDS: float = env.float("HOLD_SECONDS", default=30.0)
# What each process may let through for one paid account while the meter is away: gateway/leases.py has the formula.
METER_LEASE_CALLS: int = env.int("METER_LEASE_CALLS", default=600)
METER_LEASE_MINOR_UNITS: int = env.int("METER_LEASE_MINOR_UNITS", default=100)
# The largest answer that is kept, sealed, for a repeat with the same Idempotency-Key.
IDEMPOTENCY_ANSWER_BYTES: int = env.int("IDEMPOTENCY_ANSWER_BYTES", default=1_000_000)
REDIS_URL: str = env.str("REDIS_URL")  # broker, cache, sessions: may be lost
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

# --- Upstreams -----------------------------------------------------------------------------------
MODEL_URL: str = env.str("MODEL_URL", default="").rstrip("/")  # the local inference server
HF_TOKEN: str = env.str("HF_TOKEN", default="")
METRICS_TOKEN: str = env.str("METRICS_TOKEN", default="")
HF_BILL_TO: str = env.str("HF_BILL_TO", default="")
# How long an upstream may stay silent: before its first byte, and between two pieces of a stream.
UPSTREAM_SILENCE_SECONDS: float = env.float("UPSTREAM_SILENCE_SECONDS", default=60.0)
# The Hub, as huggingface_hub names its variable: where `sync_catalog` reads which models are served.
HF_ENDPOINT: str = env.str("HF_ENDPOINT", default="https://huggingface.co").rstrip("/")
# Whether upstreams may live on private addresses and speak plain http: a model server in the same cluster.
# Where customers bring their own, this would let them reach into it.
ALLOW_PRIVATE_UPSTREAMS: bool = env.bool("ALLOW_PRIVATE_UPSTREAMS", default=LOCAL)
# Whether customers' webhooks may lead to private addresses and plain http: for trying them on one machine only.
ALLOW_PRIVATE_WEBHOOKS: bool = env.bool("ALLOW_PRIVATE_WEBHOOKS", default=LOCAL)
# Hosts besides the known ones (gateway/provider_tasks/table.py) from which providers' result files are fetched.
PROVIDER_RESULT_HOSTS: list[str] = env.list("PROVIDER_RESULT_HOSTS", default=[])
HF_ROUTER_URL: str = env.str("HF_ROUTER_URL", default="https://router.huggingface.co").rstrip("/")

# --- Who may enter -------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = reverse_lazy("get-started")
ACCOUNT_LOGOUT_REDIRECT_URL = reverse_lazy("home")
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.forms.SignupForm"  # adds the currency
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""  # allauth would write the host: "[127.0.0.1:8000] …"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
API_KEY_PEPPERS: dict[int, bytes] = versioned("API_KEY_PEPPERS", env.str("API_KEY_PEPPERS"))
# Seal the tokens of upstreams and the secrets of webhooks. Where it is not set, the secret key stands in: do not
# rotate that one then.
ENCRYPTION_KEYS: dict[int, bytes] = versioned(
    "ENCRYPTION_KEYS", env.str("ENCRYPTION_KEYS", default=f"1:{SECRET_KEY}")
)

# --- Money ---------------------------------------------------------------------------------------
STRIPE_SECRET_KEY: str = env.str("STRIPE_SECRET_KEY", default="")
# Signing secrets of the webhook endpoint: two while one is rotated, either may sign.
STRIPE_WEBHOOK_SECRETS: list[str] = [
    secret.strip() for secret in env.str("STRIPE_WEBHOOK_SECRET", default="").split(",") if secret.strip()
]
STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", default="").rstrip("/")  # empty: Stripe itself
# Stripe's own pages that our forms lead to: Checkout and the portal, or the fake's.
STRIPE_PAGES: list[str] = (
    [STRIPE_API_BASE] if STRIPE_API_BASE else ["https://checkout.stripe.com", "https://billing.stripe.com"]
)
STRIPE_TAX: bool = env.bool("STRIPE_TAX", default=False)
# After a period ends, how long late usage may still arrive before its statement is frozen.
CLOSE_GRACE_SECONDS: int = env.int("CLOSE_GRACE_SECONDS", default=3600)
SELLER_NAME: str = env.str("SELLER_NAME", default="Turnpike")
SELLER_ADDRESS: str = env.str("SELLER_ADDRESS", default="")

# --- Mail ----------------------------------------------------------------------------------------
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", default="Turnpike <hello@turnpike.example>")
if LOCAL and not env.str("EMAIL_URL", default=""):
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = VAR_DIR / "mail"
else:
    vars().update(env.email_url("EMAIL_URL", default="smtp://localhost:25"))
EMAIL_TIMEOUT = 10  # a mail server that hangs must not hold a worker

# --- Screens -------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ko", "한국어")]
LOCALE_PATHS = [BASE_DIR / "gateway" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "gateway" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if LOCAL
        else "servestatic.storage.CompressedManifestStaticFilesStorage"
    },
}
SERVESTATIC_USE_FINDERS = LOCAL
SERVESTATIC_AUTOREFRESH = False

# --- Security ------------------------------------------------------------------------------------
_https = SITE_URL.startswith("https://")
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=_https)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if _https else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _https
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_AGE = 31_536_000  # the menu is asked once, not once a session
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": [],
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF, *(STRIPE_PAGES if STRIPE_SECRET_KEY else [])],
        "frame-ancestors": [NONE],
    },
}

# --- The management API --------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "gateway.drf_authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "gateway.drf_errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Turnpike",
    "DESCRIPTION": "One key, one meter and one invoice for Hugging Face inference.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,  # the choices are words that say themselves
    "ENUM_NAME_OVERRIDES": {
        "KeyStatus": "gateway.api_keys.STATUSES",
        "AccountKind": "accounts.models.Account.Kind",
        "InvoiceKind": "billing.models.Statement.Kind",
        "InvoiceLineKind": "billing.models.StatementLine.Kind",
        "InvoiceState": "gateway.api_invoices.STATES",
        "MemberRole": "accounts.models.Role",
        "QuoteStatus": "gateway.api_quotes.STATUSES",
    },
}

# --- Work in the background: settings and reasons in gateway/celery.py ---------------------------
CELERY_BROKER_URL = REDIS_URL

# --- Seeing what happens -------------------------------------------------------------------------
LOG_LEVEL: str = env.str("LOG_LEVEL", default="INFO")
LOG_FORMAT: str = env.str("LOG_FORMAT", default="console" if LOCAL else "json")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "console": {"()": "gateway.logs.console_formatter"},
        "json": {"()": "gateway.logs.json_formatter"},
    },
    "handlers": {"default": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["default"], "level": LOG_LEVEL},
    # A line for each of the ticks of each second would bury everything else.
    "loggers": {
        name: {"level": "WARNING"}
        for name in ("celery.beat", "celery.worker.strategy", "celery.app.trace", "httpx2", "stripe")
    },
}
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Turnpike",
    "SITE_HEADER": "Turnpike",
    "SITE_SUBHEADER": _("Operator"),
    "SITE_ICON": "gateway.admin_site.icon",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "gateway.admin_site.icon"}],
    "STYLES": ["gateway.admin_site.stylesheet"],
    "ENVIRONMENT": "gateway.admin_site.environment",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "DASHBOARD_CALLBACK": "billing.dashboard.dashboard",
    "SIDEBAR": {"navigation": "gateway.admin_site.navigation"},
    "ACCOUNT": {"navigation": "gateway.admin_site.account_links"},
    # Slate greys and one amber, as on every other screen. Amber begins where white on it can be read (600: 5.0:1).
    "COLORS": {
        "base": {
            "50": "#f8fafc",
            "100": "#f1f5f9",
            "200": "#e2e8f0",
            "300": "#cbd5e1",
            "400": "#94a3b8",
            "500": "#64748b",
            "600": "#475569",
            "700": "#334155",
            "800": "#1e293b",
            "900": "#0f172a",
            "950": "#0a1020",
        },
        "primary": {
            "50": "#fffbeb",
            "100": "#fef3c7",
            "200": "#fde68a",
            "300": "#fcd34d",
            "400": "#fbbf24",
            "500": "#f59e0b",
            "600": "#b45309",
            "700": "#92400e",
            "800": "#78350f",
            "900": "#5f2c0c",
            "950": "#451a03",
        },
    },
}
