"""One HTTP request to one webhook: to a checked address, no redirects, bounded in time and in what is read."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import NamedTuple

from django.utils.translation import gettext_noop as _
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import SSLError as CertificateError

from annotation.webhooks.addresses import Target, target_of
from annotation.webhooks.sentences import Refused, Sentence

CONNECT_SECONDS = 5.0
MOST_ADDRESSES = 4
"""Of one host that are tried."""
TOTAL_SECONDS = 15.0
"""From the first connection tried to the last byte in; the specification advises 15 to 30 seconds."""
EXCERPT = 2000
"""Bytes of the answer that are read and kept."""


class Outcome(NamedTuple):
    """status_code None: no answer came, and `error` says why."""

    status_code: int | None
    excerpt: str
    error: Sentence
    milliseconds: int

    @property
    def is_delivered(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


def send(url: str, *, body: bytes, headers: Mapping[str, str], total_seconds: float = TOTAL_SECONDS) -> Outcome:
    """Post the body. Whatever goes wrong becomes a sentence; nothing is raised for it."""
    started = time.monotonic()
    status_code, excerpt, error = None, "", Sentence()
    try:
        status_code, excerpt = _post(target_of(url), body, headers, total_seconds=total_seconds)
        error = _told(status_code)
    except Refused as refused:
        error = refused.sentence
    except CertificateError as wrong:
        error = Sentence(_("The host's certificate could not be verified: %(reason)s"), {"reason": str(wrong)})
    except (HTTPError, HTTPException, OSError) as failed:
        if isinstance(failed, TimeoutError) or time.monotonic() - started >= total_seconds:
            error = Sentence(_("No answer within %(seconds)d seconds."), {"seconds": int(total_seconds)})
        else:  # “Connection refused”, without urllib3's frame
            reason = getattr(failed.__cause__, "strerror", None) or failed
            error = Sentence(_("The connection failed: %(reason)s"), {"reason": str(reason)})
    return Outcome(status_code, excerpt, error, round((time.monotonic() - started) * 1000))


def _told(status_code: int) -> Sentence:
    if 300 <= status_code < 400:
        return Sentence(_("It answered with a redirect, which is not followed: enter the final address."))
    if status_code >= 400:
        return Sentence(_("It answered with status %(status)d."), {"status": status_code})
    return Sentence()


def _post(target: Target, body: bytes, headers: Mapping[str, str], *, total_seconds: float) -> tuple[int, str]:
    with _Deadline(total_seconds) as deadline, contextlib.closing(_connected(target, deadline)) as connection:
        host = f"[{target.host}]" if ":" in target.host else target.host
        is_usual = target.port == {"http": 80, "https": 443}[target.scheme]
        named = {"Host": host if is_usual else f"{host}:{target.port}", **headers}
        connection.request("POST", target.path, body=body, headers=named, preload_content=False)
        response = connection.getresponse()
        excerpt = response.read(EXCERPT, decode_content=False)
        return response.status, excerpt.decode(errors="replace").replace("\0", "")


def _connected(target: Target, deadline: _Deadline) -> HTTPConnection:
    """To the first address that answers; the certificate is that of the host's name."""
    failed: Exception = OSError("no address")
    for address in target.addresses[:MOST_ADDRESSES]:
        seconds = min(CONNECT_SECONDS, deadline.left())
        connection: _Watched
        if target.scheme == "https":
            connection = _WatchedTLS(
                address, target.port, timeout=seconds, cert_reqs="CERT_REQUIRED",
                server_hostname=target.host, assert_hostname=target.host,
            )  # fmt: skip
        else:
            connection = _Watched(address, target.port, timeout=seconds)
        connection.deadline = deadline
        try:
            connection.connect()
        except CertificateError:
            raise
        except (HTTPError, OSError) as error:
            failed = error
            connection.close()
        else:
            connection.timeout = deadline.left()
            assert connection.sock is not None
            connection.sock.settimeout(connection.timeout)
            return connection
    raise failed


class _Deadline:
    """Cuts the connection when the time is up: a socket's own timeout starts anew with every byte that drips in."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self.sock: socket.socket | None = None
        self.timer = threading.Timer(seconds, self._cut)
        self.timer.daemon = True

    def __enter__(self) -> _Deadline:
        self.timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.timer.cancel()
        self._forget()

    def left(self) -> float:
        """Seconds. Raises TimeoutError when there are none."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def watch(self, sock: socket.socket) -> None:
        """Of a copy: TLS takes the socket itself away before it shakes hands, which must be cut too."""
        self._forget()
        self.sock = sock.dup()
        self.left()

    def _cut(self) -> None:
        if self.sock is not None:
            with contextlib.suppress(OSError):  # it has just been closed
                self.sock.shutdown(socket.SHUT_RDWR)

    def _forget(self) -> None:
        if self.sock is not None:
            self.sock.close()


class _Watched(HTTPConnection):
    deadline: _Deadline

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self.deadline.watch(sock)
        return sock


class _WatchedTLS(_Watched, HTTPSConnection):
    pass
