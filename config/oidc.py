"""The OpenID Connect services that people may log in with, from the environment.

    OIDC_PROVIDERS=corp,google
    OIDC_CORP_ISSUER=https://id.example.org      OIDC_CORP_CLIENT_ID=…      OIDC_CORP_CLIENT_SECRET=…
    OIDC_CORP_NAME="Our directory"               optional: what the button says

At the service, register {address}/account/oidc/corp/login/callback/ as the redirect address.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured


def providers(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """What allauth calls APPS. Raises ImproperlyConfigured with a sentence for what is missing or will not do."""
    names = [name.strip() for name in environment.get("OIDC_PROVIDERS", "").split(",") if name.strip()]
    return [provider(name, environment) for name in names]


def provider(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ImproperlyConfigured(f"OIDC_PROVIDERS: {name!r} must be small letters, digits and underscores.")
    prefix = f"OIDC_{name.upper()}_"
    values = {key: environment.get(prefix + key, "").strip() for key in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET")}
    if missing := [prefix + key for key, value in values.items() if not value]:
        raise ImproperlyConfigured(f"OIDC_PROVIDERS names {name}: set {' and '.join(missing)} too.")
    issuer = urlsplit(values["ISSUER"])
    # What comes over plain http proves nothing, so only a service on this very machine may speak it.
    is_here = issuer.hostname in {"localhost", "127.0.0.1", "::1"}
    if issuer.scheme != "https" and not (issuer.scheme == "http" and is_here):
        raise ImproperlyConfigured(f"{prefix}ISSUER must begin with https://, got {values['ISSUER']!r}.")
    return {
        "provider_id": name,
        "name": environment.get(prefix + "NAME", "").strip() or name,
        "client_id": values["CLIENT_ID"],
        "secret": values["CLIENT_SECRET"],
        "settings": {"server_url": values["ISSUER"].rstrip("/"), "scope": ["openid", "profile", "email"]},
    }
