"""/account/oidc/<service>/login/ : logging in with a service by OpenID Connect; the pages and the flow are allauth's.

What differs: the id_token's signature is checked against the service's published keys in the code flow, too. The
standard allows leaving that out where the token came over TLS from the service itself; then whoever stands between
(a proxy that opens TLS, a name that was taken over) could log in as anybody.
"""

from __future__ import annotations

from typing import Any

import jwt
from allauth.account.internal.decorators import login_not_required
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import Http404, HttpRequest, HttpResponse

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""With a private and a public key. Never one that the token names: HS256 would take the public key for a secret."""
SECONDS = 10
"""For the service to answer with its keys."""
CLOCKS_APART = 60
"""Seconds."""


class Adapter(OpenIDConnectOAuth2Adapter):
    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> SocialLogin:
        """Raises OAuth2Error, which allauth shows as a login that failed."""
        if not kwargs["response"].get("id_token"):
            raise OAuth2Error("The service sent no id_token: is it an OpenID Connect service?")
        login = super().complete_login(request, app, token, **kwargs)
        said = login.account.extra_data
        if "userinfo" in said and said["userinfo"].get("sub") != said["id_token"]["sub"]:
            raise OAuth2Error("userinfo speaks of another person than the id_token")  # OpenID Connect Core, 5.3.2
        return login

    def _decode_id_token(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        try:
            keys = jwt.PyJWKClient(self.openid_config["jwks_uri"], timeout=SECONDS)
            claims: dict[str, Any] = jwt.decode(
                id_token,
                keys.get_signing_key_from_jwt(id_token),
                algorithms=ALGORITHMS,
                issuer=self.openid_config["issuer"],
                audience=app.client_id,
                leeway=CLOCKS_APART,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except (jwt.PyJWTError, ValueError) as error:  # ValueError: keys that are no JSON
            raise OAuth2Error("Invalid id_token") from error
        return claims


@login_not_required
def openid_connect_login(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _answered(OAuth2LoginView, request, provider_id)


@login_not_required
def openid_connect_callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _answered(OAuth2CallbackView, request, provider_id)


def _answered(view: type[OAuth2LoginView | OAuth2CallbackView], request: HttpRequest, provider_id: str) -> HttpResponse:
    try:
        answer: HttpResponse = view.adapter_view(Adapter(request, provider_id))(request)
    except SocialApp.DoesNotExist:
        raise Http404 from None
    return answer
