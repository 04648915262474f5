"""Where a webhook may be sent: an admin of a project must not reach into the network that the server stands in.

A name is resolved once, every address it has is checked, and the connection is made to a checked address: a name that
changes between the look and the connection (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils.translation import gettext_noop as _

from annotation.webhooks.sentences import Refused

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = {"http": 80, "https": 443}
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that was given out for the public net; the rest holds old and local spellings of private addresses."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Target(NamedTuple):
    """scheme: http or https. path: with its query. addresses: those of the host, in the resolver's order."""

    scheme: str
    host: str
    port: int
    path: str
    addresses: list[str]


def check_url(url: str) -> SplitResult:
    """Raise Refused, a ValueError with a sentence for what can be seen to be wrong without asking anybody."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused(_("This is no web address: write one such as https://example.org/hooks.")) from None
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise Refused(_("The address must begin with https:// or http:// and name a host."))
    if parts.username is not None or parts.password is not None:
        raise Refused(_("Leave the user name and password out of the address: the signature proves who sends."))
    if parts.fragment:
        raise Refused(_("Leave out what stands behind the # in the address: it is never sent."))
    literal = _literal(parts.hostname)
    if literal is not None:
        _require_public(literal)
    return parts


def target_of(url: str) -> Target:
    """Where to connect. Raises Refused with a sentence: a bad address, an unknown host, one that is private."""
    parts = check_url(url)
    host = parts.hostname or ""
    port = parts.port or PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused(_("The host “%(host)s” is not known."), host=host) from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        _require_public(ipaddress.ip_address(address))
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    return Target(parts.scheme, host, port, path if path.startswith("/") else f"/{path}", addresses)


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _require_public(address: IPAddress) -> None:
    if settings.WEBHOOKS_MAY_BE_PRIVATE or _is_public(address):
        return
    sentence = _("%(address)s is not a public address: webhooks may not reach into this server's own network.")
    raise Refused(sentence, address=str(address))


def _is_public(address: IPAddress) -> bool:
    """Global, and not an IPv6 spelling of an IPv4 address that is not. Teredo counts as private: nobody serves it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(address.packed[-4:])
        if inner is not None:
            return _is_public(inner)
        if address not in GLOBAL_UNICAST or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast
