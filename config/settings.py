"""Every setting, from the environment; with none set, a clone runs on a laptop.

A bad value stops the start with a sentence that says what to change. docs/deploy.md lists the variables.
"""

import os
from pathlib import Path

import dj_database_url
from csp.constants import SELF, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured

from config.oidc import providers
from config.postgres import Postgres
from config.valkey import Valkey

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("PLUMBLINE_VAR", BASE_DIR / "var")).resolve()
"""Everything the product writes: database, broker, runs, models. Nothing else of the checkout changes."""


def flag(name: str, default: bool) -> bool:
    value = os.environ.get(name, "1" if default else "0").strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off", ""}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, got {value!r}.")


def number(name: str, default: int) -> int:
    value = os.environ.get(name, str(default)).strip()
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number from 1 on, got {value!r}.")
    return int(value)


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


# --- Who may reach it -------------------------------------------------------------------------------------------

IS_LAPTOP = flag("DEBUG", default=True)
"""One person trying it out on their own machine: demo logins, plain http, a secret key that everybody knows."""
DEBUG = IS_LAPTOP and flag("TRACEBACKS", default=False)
"""Django's own debug pages show tracebacks, which people should never see; developers ask for them: TRACEBACKS=1."""
LAPTOP_SECRET_KEY = "plumbline-on-a-laptop-only"
SECRET_KEY = os.environ.get("SECRET_KEY", LAPTOP_SECRET_KEY)
if not IS_LAPTOP and SECRET_KEY == LAPTOP_SECRET_KEY:
    raise ImproperlyConfigured("DEBUG is off: set SECRET_KEY to a long random text of your own.")
SECRET_KEY_FALLBACKS = words("SECRET_KEY_FALLBACKS")
"""Former keys, newest first: what was signed or encrypted with them can still be read."""
ALLOWED_HOSTS = words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1],.localhost" if IS_LAPTOP else "")
if not IS_LAPTOP and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("DEBUG is off: set ALLOWED_HOSTS to the host names people use, separated by commas.")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")

# HTTPS is on wherever DEBUG is off, unless a trusted network says otherwise.
HTTPS = flag("HTTPS", default=not IS_LAPTOP)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_ENGINE = "annotation.sessions"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
BEHIND_PROXY = flag("BEHIND_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
# Without a proxy that says how people came, every request looks like plain http and would be sent round for ever.
SECURE_SSL_REDIRECT = HTTPS and BEHIND_PROXY
SECURE_HSTS_SECONDS = 60 * 60 * 24 * 365 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# The two that would speak for host names beside ours: whoever owns the domain decides that, at the proxy.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# --- What it is made of -----------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "annotation",
    "training",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",  # allauth's pages say times with it
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.policy.Middleware",  # CSPMiddleware, for less
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "annotation.logins.Middleware",  # AuthenticationMiddleware, with one statement less
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "annotation.origin.remember_origin",
    "annotation.language.speak_as_chosen",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# Scripts: our own files only. Styles: our own files; pages with charts replace style-src for themselves
# (@csp_update(CHART_PAGE_CSP)), because Bokeh writes style attributes.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": [SELF],
        "frame-ancestors": ["'none'"],
    }
}
CHART_PAGE_CSP = {"style-src": [UNSAFE_INLINE]}

# --- People -----------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "annotation.User"
AUTHENTICATION_BACKENDS = ["annotation.logins.Backend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "annotation:home"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# How people come in: annotation/accounts.py holds the rules, allauth the pages, templates/allauth/ their look.
OPEN_SIGNUP = flag("OPEN_SIGNUP", default=False)
"""Whether anybody may make an account; without it, only who was invited."""
ACCOUNT_ADAPTER = "annotation.accounts.AccountAdapter"
ACCOUNT_FORMS = {"login": "annotation.forms.account.LoginForm", "signup": "annotation.forms.account.SignupForm"}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_CHANGE_EMAIL = True  # one address a person, replaced when the new one is confirmed
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Plumbline] "
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # else our server writes to whomever a stranger names
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_SESSION_REMEMBER = True
# A team behind one network address logs in within the same minute of the morning: more than allauth would let.
ACCOUNT_RATE_LIMITS = {"login": "120/m/ip", "login_failed": "20/m/ip,5/5m/key"}
MFA_ADAPTER = "annotation.accounts.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = IS_LAPTOP
MFA_TOTP_TOLERANCE = 1
SOCIALACCOUNT_ADAPTER = "annotation.accounts.SocialAccountAdapter"
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": providers(os.environ)}}
SOCIALACCOUNT_EMAIL_AUTHENTICATION = SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True

EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased'}.EmailBackend"
EMAIL_FILE_PATH = VAR_DIR / "mail"
"""Without EMAIL_HOST nothing is sent: each message becomes a file here."""
EMAIL_PORT = int(os.environ.get("EMAIL_PORT", "587"))
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_USER", ""), os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_SSL = EMAIL_PORT == 465
EMAIL_USE_TLS = flag("EMAIL_USE_TLS", default=not EMAIL_USE_SSL)
EMAIL_TIMEOUT = 10
SITE_ADDRESS = os.environ.get("SITE_ADDRESS", f"http://127.0.0.1:{os.environ.get('PORT', '8000')}").rstrip("/")
"""Where people find the site: what mails link to that no request asked for."""
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("EMAIL_FROM", "plumbline@localhost")

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
"""Only those whose catalogue in locale/ is complete: a choice that leaves half a page as it is would be no choice."""
LOCALE_PATHS = [VAR_DIR / "locale"]
"""Compiled at every start from locale/ (config/catalogues.py)."""
TIME_ZONE = os.environ.get("TIME_ZONE", "UTC")
USE_TZ = True

# --- Data -------------------------------------------------------------------------------------------------------

POSTGRES = Postgres(VAR_DIR / "postgres")
DATABASE = dj_database_url.parse(os.environ.get("DATABASE_URL") or POSTGRES.url("plumbline"))
DATABASES = {
    "default": {
        **DATABASE,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # annotation.statements prepares the few that run for every label; Django's own cursors never prepare. They are
        # planned once, for any project: a plan for one that is newer than the statistics takes its tasks for a handful,
        # reads them all, and looks so cheap that PostgreSQL would plan it anew for every label.
        "OPTIONS": {
            "options": "-c plan_cache_mode=force_generic_plan",
            **DATABASE.get("OPTIONS", {}),
            "prepare_threshold": 5,
        },
    }
}
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database: postgresql://user:password@host/name.")

# In the database, because the web's processes must count together: what limits the logins lies here.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        "KEY_FUNCTION": "config.cache_keys.hashed",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    },
}

UPLOADS_DIR = VAR_DIR / "uploads"
"""Files on their way in. Nothing under it is ever served."""
UPLOAD_MAX_BYTES = number("UPLOAD_MAX_MB", 2048) * 10**6
FILE_UPLOAD_HANDLERS = ["annotation.uploads.Uploads"]
RUNS_DIR = VAR_DIR / "runs"
MODELS_DIR = VAR_DIR / "models"

# --- Programs: the API and webhooks -----------------------------------------------------------------------------

API_REQUESTS_PER_MINUTE = number("API_REQUESTS_PER_MINUTE", 600)
"""Of one token. Above it: 429, with the seconds to wait."""
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
"""Bytes of a request's body, files aside; for the API as for forms."""
WEBHOOKS_MAY_BE_PRIVATE = flag("WEBHOOKS_MAY_BE_PRIVATE", default=IS_LAPTOP)
"""Whether webhooks may name addresses of private networks. Off, an admin cannot reach into the server's own network."""

# --- Servers of models ------------------------------------------------------------------------------------------

LOCAL_MODEL_SERVERS = ("http://127.0.0.1:11434/v1", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8001/v1")
"""Ollama's own port, llama.cpp's, and one for vLLM beside a site on 8000."""
MODEL_SERVERS = words("MODEL_SERVERS", ",".join(LOCAL_MODEL_SERVERS) if IS_LAPTOP else "")
"""OpenAI-compatible servers that generate runs and chats may ask. No admin of a project can make the workers ask any
other, so none of them reaches into the network or at the keys (MODEL_SERVER_KEYS, read by the trainer alone)."""

# --- Static files -----------------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "config.bokeh_static.BokehFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if IS_LAPTOP
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
# On a laptop files are served from where they lie, so an edited style sheet shows at the next reload.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = IS_LAPTOP

# --- Long work --------------------------------------------------------------------------------------------------

VALKEY = Valkey(VAR_DIR / "valkey")
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL") or VALKEY.url()
CELERY_TASK_IGNORE_RESULT = True
"""The truth about every job is its row in PostgreSQL; a message carries only the id."""
CELERY_TASK_DEFAULT_QUEUE = "default"
# Where versions are sent, and with which right; without a token the page says so.
HUB_ENDPOINT = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
HUB_TOKEN = os.environ.get("HF_TOKEN", "")

CELERY_TASK_ROUTES = {
    "training.tasks.execute_run": {"queue": "training"},
    "training.tasks.write_answer": {"queue": "chat"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "sweep-stale-runs": {"task": "training.tasks.sweep_stale_runs", "schedule": 15.0},
    "sweep-chats": {"task": "training.tasks.sweep_chats", "schedule": 15.0, "options": {"expires": 15}},
    # A message that no worker took in time is dropped: the next one does its work.
    "deliver-webhooks": {"task": "config.tasks.deliver_webhooks", "schedule": 5.0, "options": {"expires": 5}},
    "prune-webhooks": {"task": "config.tasks.prune_webhooks", "schedule": 3600.0},
    "prune-uploads": {"task": "config.tasks.prune_uploads", "schedule": 3600.0},
    "top-up-repeats": {"task": "config.tasks.top_up_repeats", "schedule": 300.0, "options": {"expires": 300}},
}
RUN_HEARTBEAT_TIMEOUT = 60
"""Seconds without a heartbeat after which a running run counts as abandoned by its worker."""
RUN_REDELIVERY_SECONDS = 300
"""Seconds after which the message of a run that is still queued is sent again; a second message does no harm."""
RUN_CANCEL_GRACE = 120
"""Seconds a cancelled trainer has to finish its step and write a checkpoint before it is killed."""
RUN_SHUTDOWN_GRACE = 30
"""The same when the worker is told to stop; below the launcher's own patience."""
CHAT_WRITERS = number("CHAT_WRITERS", 2)
"""Answers of chats that a worker writes at once, and so the models it holds for them at most."""
CHAT_IDLE_SECONDS = number("CHAT_IDLE_SECONDS", 60)
"""How long a model stays loaded after its last answer."""
CHAT_HEARTBEAT_TIMEOUT = 15
"""Seconds without a heartbeat after which an answer's worker counts as lost."""
CHAT_REDELIVERY_SECONDS = 30
"""Seconds after which the message of an answer that still waits is sent again; a second message does no harm."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    # What was refused (403, 404) is no error of ours, and Django would log each with its traceback.
    "loggers": {"django.request": {"level": "ERROR"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "INFO")},
}
