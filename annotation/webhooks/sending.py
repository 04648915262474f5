"""One HTTP request to one webhook: to a checked address, no redirects, bounded in time and in what is read."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import NamedTuple

from django.utils.translation import gettext as _
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import SSLError as CertificateError
from urllib3.util import Timeout

from annotation.webhooks.addresses import Target, target_of

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
"""From the first byte out to the last one in; the specification advises 15 to 30 seconds."""
EXCERPT = 2000
"""Bytes of the answer that are read and kept."""


class Outcome(NamedTuple):
    """status_code None: no answer came, and `error` says why."""

    status_code: int | None
    excerpt: str
    error: str
    milliseconds: int

    @property
    def is_delivered(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


def send(url: str, *, body: bytes, headers: Mapping[str, str], total_seconds: float = TOTAL_SECONDS) -> Outcome:
    """Post the body. Whatever goes wrong becomes a sentence; nothing is raised for it."""
    started = time.monotonic()
    status_code, excerpt, error = None, "", ""
    try:
        status_code, excerpt = _post(target_of(url), body, headers, total_seconds=total_seconds)
        error = _told(status_code)
    except ValueError as refused:
        error = str(refused)
    except CertificateError as wrong:
        error = _("The host's certificate could not be verified: %(reason)s") % {"reason": wrong}
    except (HTTPError, HTTPException, OSError) as failed:
        took_too_long = isinstance(failed, TimeoutError) or time.monotonic() - started >= total_seconds
        error = _("No answer within %(seconds)d seconds.") % {"seconds": total_seconds} if took_too_long else ""
        reason = getattr(failed.__cause__, "strerror", None) or failed  # “Connection refused”, without urllib3's frame
        error = error or _("The connection failed: %(reason)s") % {"reason": reason}
    return Outcome(status_code, excerpt, error, round((time.monotonic() - started) * 1000))


def _told(status_code: int) -> str:
    if 300 <= status_code < 400:
        return _("It answered with a redirect, which is not followed: enter the final address.")
    if status_code >= 400:
        return _("It answered with status %(status)d.") % {"status": status_code}
    return ""


def _post(target: Target, body: bytes, headers: Mapping[str, str], *, total_seconds: float) -> tuple[int, str]:
    connection = _connected(target)
    with contextlib.closing(connection), _deadline(connection, total_seconds):
        host = f"[{target.host}]" if ":" in target.host else target.host
        is_usual = target.port == {"http": 80, "https": 443}[target.scheme]
        named = {"Host": host if is_usual else f"{host}:{target.port}", **headers}
        connection.request("POST", target.path, body=body, headers=named, preload_content=False)
        response = connection.getresponse()
        excerpt = response.read(EXCERPT, decode_content=False)
        return response.status, excerpt.decode(errors="replace").replace("\0", "")


def _connected(target: Target) -> HTTPConnection:
    """To the first address that answers; the certificate is that of the host's name."""
    failed: Exception = OSError("no address")
    for address in target.addresses:
        timeout = Timeout(connect=CONNECT_SECONDS, read=TOTAL_SECONDS)
        connection: HTTPConnection
        if target.scheme == "https":
            connection = HTTPSConnection(
                address, target.port, timeout=timeout.connect_timeout, cert_reqs="CERT_REQUIRED",
                server_hostname=target.host, assert_hostname=target.host,
            )  # fmt: skip
        else:
            connection = HTTPConnection(address, target.port, timeout=timeout.connect_timeout)
        try:
            connection.connect()
        except CertificateError:
            raise
        except (HTTPError, OSError) as error:
            failed = error
            connection.close()
        else:
            connection.timeout = TOTAL_SECONDS
            assert connection.sock is not None
            connection.sock.settimeout(TOTAL_SECONDS)
            return connection
    raise failed


@contextlib.contextmanager
def _deadline(connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """Cut the connection when the time is up: a socket's own timeout starts anew with every byte that drips in."""

    def cut() -> None:
        sock = connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # it has just been closed
                sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
