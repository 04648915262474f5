"""A small OpenID Connect service on loopback, for tests: discovery, keys, the code flow with PKCE, signed id_tokens.

It checks what a real one checks (client, secret, redirect address, code used once, code verifier), and keeps what it
refused. Whoever asks is logged in there at once, as the person in `claims`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "plumbline", "a secret of the client"


class Provider(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signing_key: Any = self.key
        self.algorithm = "RS256"
        self.claims: dict[str, Any] = {"sub": "1"}
        self.told_at_userinfo: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.audience, self.says_issuer = CLIENT, self.issuer
        self.refused: list[str] = []

    def id_token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.says_issuer, "aud": self.audience, "iat": now, "exp": now + 300, **self.claims}
        return jwt.encode(claims, self.signing_key, algorithm=self.algorithm, headers={"kid": "1"})


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        there = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(there.query).items()}
        issuer = self.server.issuer
        if there.path == "/.well-known/openid-configuration":
            paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            addresses = {name: issuer + path for name, path in paths.items()} | {"userinfo_endpoint": issuer + "/me"}
            self.answer(
                {"issuer": issuer, "token_endpoint_auth_methods_supported": ["client_secret_post"], **addresses}
            )
        elif there.path == "/keys":
            key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.server.key.public_key()))
            self.answer({"keys": [key | {"kid": "1", "use": "sig", "alg": "RS256"}]})
        elif there.path == "/authorize":
            if asked.get("code_challenge_method") != "S256" or "openid" not in asked.get("scope", ""):
                self.refuse("no PKCE, or not asked for openid")
                return
            code = secrets.token_urlsafe()
            self.server.codes[code] = asked
            self.send_response(302)
            self.send_header(
                "Location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            )
            self.end_headers()
        elif there.path == "/me" and self.headers["Authorization"] == "Bearer access":
            self.answer(self.server.claims | self.server.told_at_userinfo)
        else:
            self.refuse(self.path)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sent = {key: values[0] for key, values in parse_qs(body).items()}
        asked = self.server.codes.pop(sent.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest())
        if asked is None or asked["code_challenge"] != challenge.rstrip(b"=").decode():
            self.refuse("an unknown code, or another's verifier")
        elif (sent["client_id"], sent["client_secret"]) != (CLIENT, SECRET):
            self.refuse("a wrong secret")
        elif sent["redirect_uri"] != asked["redirect_uri"]:
            self.refuse("another redirect address")
        else:
            self.answer({"access_token": "access", "token_type": "Bearer", "id_token": self.server.id_token()})

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, why: str) -> None:
        self.server.refused.append(why)
        self.answer({"error": "invalid_request"}, status=400)


@contextmanager
def running() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.serve_forever)
    thread.start()
    yield provider
    provider.shutdown()
    thread.join()
    provider.server_close()
