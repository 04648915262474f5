"""One person's browser on the wire: a kept connection, cookies, forms. Standard library only, and cheap on purpose.

The generator shares two cores with the server and the database, so what it costs is taken from what it measures.
"""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlencode

FIELD = re.compile(
    r'<input type="hidden" name="([^"]+)" (?:value="([^"]*)")?|<textarea name="([^"]+)"([^>]*)>([^<]*)</textarea>'
)


@dataclass
class Answer:
    status: int
    headers: bytes
    body: str

    def header(self, name: bytes) -> str:
        found = re.search(rb"(?im)^" + name + rb": (.*)\r$", self.headers)
        return found[1].decode() if found else ""


@dataclass
class Browser:
    """`ask` sends one request and reads its whole answer; the connection and the cookies are kept."""

    host: str
    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    num_connections: int = 0

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, b"", headers)

    async def post(self, path: str, fields: dict[str, str] | list[tuple[str, str]], **headers: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return await self.ask("POST", path, urlencode(fields, quote_via=quote_plus).encode(), headers)

    async def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Accept-Encoding: identity"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in {**self.headers, **headers}.items()]
        lines += [f"Cookie: {cookies}"] if cookies else []
        lines += [f"Content-Length: {len(body)}"] if method != "GET" else []
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        try:
            return await self._exchange(request)
        except (ConnectionError, asyncio.IncompleteReadError):
            if self.writer is None:
                raise
            self.writer = None  # a server may close a kept connection at any time: a browser asks again on a new one
            return await self._exchange(request)

    async def _exchange(self, request: bytes) -> Answer:
        if self.writer is None or self.reader is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=1 << 22)
            self.num_connections += 1
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        body = await self._body(head.lower())
        for name, value in re.findall(rb"(?im)^set-cookie: ([^=]+)=([^;\r]*)", head):
            self.cookies[name.decode()] = value.decode()
        if b"\nconnection: close" in head.lower():
            self.writer.close()
            self.writer = None
        return Answer(int(head[9:12]), head, body.decode())

    async def _body(self, head: bytes) -> bytes:
        assert self.reader
        if found := re.search(rb"\ncontent-length: (\d+)", head):
            return await self.reader.readexactly(int(found[1]))
        if b"\ntransfer-encoding: chunked" not in head:
            return b""
        parts = []
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return b"".join(parts)


def form_fields(page: str) -> dict[str, str]:
    """What a browser would send of the form without a choice made: hidden fields and texts (no radios, no boxes)."""
    fields = {}
    for hidden, value, area, attributes, text in FIELD.findall(page):
        if hidden:
            fields[hidden] = html.unescape(value)
        elif " disabled" not in attributes:
            text = text.removeprefix("\r\n").removeprefix("\n")  # HTML drops the first line break
            fields[area] = html.unescape(text).replace("\r\n", "\n").replace("\n", "\r\n")
    return fields
