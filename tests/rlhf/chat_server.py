"""A small real server that speaks OpenAI's chat completions: it answers in capitals, whole or letter by letter, or as
it is told to."""

import contextlib
import json
import select
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Chat(BaseHTTPRequestHandler):
    """Answers with the last message in capitals, after whatever its server is told to do first."""

    server: "Server"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.counting:
            self.server.asked.append((self.path, self.headers.get("Authorization"), body))
            status, content, headers = self.server.first.pop(0) if self.server.first else (200, b"", {})
        if status == 200 and not content:
            message = {"role": "assistant", "content": body["messages"][-1]["content"].upper()}
            finish = "length" if "5" in message["content"] else "stop"
            if body.get("stream") and self.server.streams:
                self.stream(message["content"], finish, counts="stream_options" in body)
                return
            record = {"choices": [{"message": message, "finish_reason": finish}], "usage": {"completion_tokens": 3}}
            content = json.dumps(record).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def stream(self, text: str, finish: str, *, counts: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.tell({"choices": [{"delta": {"role": "assistant"}}]})
        for letter in text:
            if not self.may_go_on():
                return
            self.tell({"choices": [{"delta": {"content": letter}}]})
        self.tell({"choices": [{"delta": {}, "finish_reason": finish}]})
        if counts:
            self.tell({"choices": [], "usage": {"completion_tokens": len(text)}})
        self.wfile.write(b"data: [DONE]\n\n")

    def tell(self, event: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n")

    def may_go_on(self) -> bool:
        """At once, or when the test lets one more letter out; False when nobody listens any more."""
        while self.server.letters and not self.server.letters.acquire(timeout=0.01):
            if select.select([self.connection], [], [], 0)[0] and self.is_closed():
                self.server.hung_up.release()
                return False
        return True

    def is_closed(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Chat)
        self.counting = threading.Lock()
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        self.first: list[tuple[int, bytes, dict[str, str]]] = []
        """What the first requests get, instead of an answer."""
        self.streams = True
        """Whether it knows how to, where it is asked to."""
        self.letters: threading.Semaphore | None = None
        """Where it is given, a streamed letter leaves for each release."""
        self.hung_up = threading.Semaphore(0)
        """Released for each stream whose listener went away."""

    @contextlib.contextmanager
    def running(self) -> "Iterator[Server]":
        with self:
            thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield self
            self.shutdown()
            thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"
