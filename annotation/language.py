"""The language of the pages: the person's choice, on every device they log in on; else the browser's own."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import translation


def speak_as_chosen(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware behind the login: who has chosen gets their language in any browser.

    The browser's own choice (a cookie) is for whoever is not logged in or has never chosen: in a browser that several
    people use it may be another's.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        chosen = getattr(request.user, "language", "")
        if chosen and translation.check_for_language(chosen):
            translation.activate(chosen)
            request.LANGUAGE_CODE = chosen
        return get_response(request)

    return middleware
