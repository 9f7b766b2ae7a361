"""SMTP and LMTP: pages as mail through a relay (RFC 5321, 2033), with reports that come back (RFC 3464).

``settings`` is what an administrator writes, ``link`` the way out, ``answers`` the table of what a server
says, ``envelope`` the address that reports come to, ``bounces`` the door for them.
"""

from __future__ import annotations

from gateway.adapters.base import AdapterSpec, ListenerSpec
from gateway.adapters.smtp.answers import ANSWERS
from gateway.adapters.smtp.bounces import BounceDoor
from gateway.adapters.smtp.link import ANSWER_TIMEOUT, OPEN_TIMEOUT, SmtpLink, measured
from gateway.adapters.smtp.settings import SmtpListen, SmtpSettings, own_of

ADAPTER = AdapterSpec(
    name="smtp",
    settings=SmtpSettings,
    make_link=SmtpLink,
    ceiling=lambda settings: own_of(settings).ceiling,
    measure=measured,
    answers=ANSWERS,
    listener=ListenerSpec(
        settings=SmtpListen,
        make=BounceDoor,
        needed_by=lambda settings: own_of(settings).bounce_address and "bounce_address",
    ),
    open_timeout=OPEN_TIMEOUT,
    answer_timeout=ANSWER_TIMEOUT,
)
