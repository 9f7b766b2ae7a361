"""A receiver's check of a webhook, written from the Standard Webhooks text and nothing of ours.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE = 300  # seconds that a timestamp may be off


class Forged(Exception):
    """The message is not to be believed."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The message's id, if one of its signatures is by *secret* and it is fresh."""
    try:
        message = headers["webhook-id"]
        timestamp = headers["webhook-timestamp"]
        signatures = headers["webhook-signature"].split(" ")
    except KeyError as error:
        raise Forged(f"there is no {error}") from None
    if "." in message or not message:
        raise Forged("the id would make the signed text ambiguous")
    if not timestamp.isdigit() or abs(now - int(timestamp)) > TOLERANCE:
        raise Forged("the timestamp is too old or too new")
    prefix = "whsec_"
    key = base64.b64decode(secret[len(prefix) :] if secret.startswith(prefix) else secret)
    signed = message.encode() + b"." + timestamp.encode() + b"." + body
    expected = hmac.new(key, signed, hashlib.sha256).digest()
    for signature in signatures:
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(base64.b64decode(value), expected):
            return message
    raise Forged("no signature is by this secret")
