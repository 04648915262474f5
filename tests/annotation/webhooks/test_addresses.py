"""Where webhooks may be sent: never into a private network, unless the installation says so."""

from __future__ import annotations

from typing import Any

import pytest

from annotation import actions, webhooks
from annotation.models import Project
from annotation.webhooks.addresses import target_of
from tests.annotation.webhooks.conftest import ALL
from tests.annotation.webhooks.listener import Listener


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://0.0.0.0/",
        "http://0/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://127.1/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://[fec0::1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[::ffff:0:127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:7f00:1::]/",
        "http://[2001:db8::1]/",
        "http://[5f00::1]/",
    ],
)
def test_private_addresses_are_refused(url: str, settings: Any) -> None:
    settings.WEBHOOKS_MAY_BE_PRIVATE = False
    with pytest.raises(ValueError, match=r"public address|not known"):
        target_of(url)


def test_a_private_address_is_not_even_connected_to(project: Project, listener: Listener, settings: Any) -> None:
    hook = actions.add_webhook(project, url=listener.url, events=ALL, by=None)
    settings.WEBHOOKS_MAY_BE_PRIVATE = False
    sent = actions.send_test(hook)
    webhooks.deliver_due()
    assert listener.got == []
    assert "not a public address" in sent.attempts.get().error_in_words
    with pytest.raises(ValueError, match="not a public address"):
        actions.add_webhook(project, url=listener.url, events=ALL, by=None)


def test_a_public_address_is_let_through(settings: Any) -> None:
    settings.WEBHOOKS_MAY_BE_PRIVATE = False
    target = target_of("https://93.184.215.14:8443/a/b?c=d")
    assert target == ("https", "93.184.215.14", 8443, "/a/b?c=d", ["93.184.215.14"])


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "ftp://example.org/", "file:///etc/passwd", "https://", "http://:80/", "http://a:b:c/"),
        *("https://user:password@example.org/", "https://example.org/#part", "http://example.org:0/", "http://[::1/"),
        "https://example.org/" + "x" * 500,
    ],
)
def test_what_is_no_web_address_is_refused_in_a_sentence(project: Project, url: str) -> None:
    with pytest.raises(ValueError, match=r"address"):
        actions.add_webhook(project, url=url, events=ALL, by=None)
