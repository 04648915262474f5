"""A small real server that speaks OpenAI's chat completions: it answers in capitals, or as it is told to."""

import contextlib
import json
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
            record = {"choices": [{"message": message, "finish_reason": finish}], "usage": {"completion_tokens": 3}}
            content = json.dumps(record).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

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
