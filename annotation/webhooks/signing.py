"""Signatures of Standard Webhooks: v1, the HMAC-SHA256 of “id.timestamp.body” under a secret written whsec_….

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
NUM_BYTES = 32


def new_secret() -> str:
    """256 random bits; the specification asks for 24 to 64 bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NUM_BYTES)).decode()


def signature(keys: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The header's value: one signature for each secret, so that receivers may know either while it is changed."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_sign(key, signed)}" for key in keys)


def _sign(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
