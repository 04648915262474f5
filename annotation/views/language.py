"""/i18n/setlang/ : the language menu."""

from typing import Any

from django.conf import settings
from django.http import HttpResponseBase
from django.views.i18n import set_language as set_in_browser

from annotation.models import User


def set_language(request: Any) -> HttpResponseBase:
    """Django's own, which keeps the choice in this browser; the account keeps it for the others."""
    response = set_in_browser(request)
    chosen = request.POST.get("language", "")
    if request.method == "POST" and request.user.is_authenticated and chosen in dict(settings.LANGUAGES):
        User.objects.filter(pk=request.user.pk).update(language=chosen)
    return response
