"""The content security policy on every answer. Most have the usual one: it is put together once, not each time."""

from __future__ import annotations

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class Middleware(CSPMiddleware):
    """django-csp's, which is left all that its decorators have touched or that asked for a nonce."""

    usual = ""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if (
            hasattr(request, "_csp_nonce")
            or HEADER in response
            or any(name.startswith("_csp") for name in vars(response))
        ):
            return super().process_response(request, response)
        self.usual = self.usual or build_policy()
        response[HEADER] = self.usual
        return response
