"""The links at the top of every page: what the person may see, and where they are."""

from typing import NamedTuple

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.template import Context
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from annotation.models import Membership, Role, User

register = template.Library()


class Link(NamedTuple):
    address: str
    label: str
    is_open: bool


class Navigation(NamedTuple):
    home: str
    links: list[Link]
    user: User | None


def address_of(name: str) -> str | None:
    """None while no page has that name: the error page must not fail because of a link on it."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


@register.simple_tag(takes_context=True)
def navigation(context: Context) -> Navigation:
    """The page 500.html is drawn without a request, and so without links."""
    request: HttpRequest | None = context.get("request")
    home = address_of("annotation:home") or "/"
    user = getattr(request, "user", None)
    if request is None or not isinstance(user, User):
        return Navigation(home, [], None)
    names = [("annotation:home", _("Projects"))]
    if user.is_superuser or Membership.objects.filter(user=user, is_paused=False, role__gte=Role.REVIEWER).exists():
        names += [
            ("training:dashboard", _("Dashboard")),
            ("training:runs", _("Runs")),
            ("training:models", _("Models")),
        ]
    links = [
        Link(address, label, is_open(request.path, address=address))
        for name, label in names
        if (address := address_of(name))
    ]
    return Navigation(home, links, user)


@register.simple_tag(takes_context=True)
def account_tabs(context: Context) -> list[Link]:
    """The pages of one's own account."""
    path = context["request"].path
    names = [
        ("annotation:account", _("Account")),
        ("account_email", _("E-mail")),
        ("account_change_password", _("Password")),
        ("mfa_index", _("Second factor")),
        ("usersessions_list", _("Sessions")),
        ("annotation:tokens", _("API tokens")),
    ]
    if settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]:
        names.append(("socialaccount_connections", _("Services")))
    home = reverse(names[0][0])
    links = [(reverse(name), label) for name, label in names]
    return [Link(to, label, path == to or (to != home and path.startswith(to))) for to, label in links]


def is_open(path: str, *, address: str) -> bool:
    if address == "/":
        return path == "/" or path.startswith("/projects/")
    return path.startswith(address)
