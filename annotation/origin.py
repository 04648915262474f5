"""Where a request came from, for the audit log: middleware around every request."""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from annotation.models import asked_from


def remember_origin(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        with asked_from(address_of(request)):
            return get_response(request)

    return middleware


def address_of(request: HttpRequest) -> str | None:
    """The address of who asks. Behind our proxy it is the last one of X-Forwarded-For: what stands before it was sent
    by the asker, who may write there what they like. None when nothing there is an address (a Unix socket)."""
    address = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY:
        address = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))  # the database knows no zones (fe80::1%eth0)
    except ValueError:
        return None
