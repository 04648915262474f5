"""A small real web server that webhooks are sent to, and the clock turned forward."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.utils import timezone

from annotation.models import Webhook


class Listener:
    """A small real web server. `answers` are given in turn, the last one for ever; a callable answers by itself."""

    def __init__(self) -> None:
        self.answers: list[int | Callable[[BaseHTTPRequestHandler], None]] = [200]
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.num_at_once = self.most_at_once = 0
        lock = threading.Lock()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    listener.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    answer = listener.answers[min(len(listener.got), len(listener.answers)) - 1]
                    listener.num_at_once += 1
                    listener.most_at_once = max(listener.most_at_once, listener.num_at_once)
                try:
                    if callable(answer):
                        answer(self)
                    else:
                        reply(self, answer, b"answered " * 1000)
                finally:
                    with lock:
                        listener.num_at_once -= 1

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks?to=us"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _body in self.got]


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def come_due(webhook: Webhook) -> None:
    """As if the time until the next attempt had passed."""
    now = timezone.now()
    webhook.deliveries.waiting().update(next_attempt_at=now)
    Webhook.objects.filter(pk=webhook.pk).update(rests_until=now, busy_until=now)
