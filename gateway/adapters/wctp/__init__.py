"""WCTP: pages as XML over HTTP (versions 1.0 to 1.3), with receipts and replies by push, poll or query.

``settings`` is what an administrator writes, ``link`` the way out, ``answers`` the table of what a carrier
says, ``reports`` what comes back about a page, ``door`` the way in for what carriers push.
"""

from __future__ import annotations

from gateway.adapters.base import AdapterSpec, ListenerSpec
from gateway.adapters.wctp.answers import ANSWERS
from gateway.adapters.wctp.door import PushDoor
from gateway.adapters.wctp.link import ANSWER_TIMEOUT, ENQUIRY_WAITS, OPEN_TIMEOUT, make_link, measured
from gateway.adapters.wctp.settings import WctpListen, WctpSettings, own_of

ADAPTER = AdapterSpec(
    name="wctp",
    settings=WctpSettings,
    make_link=make_link,
    ceiling=lambda settings: own_of(settings).ceiling,
    measure=measured,
    answers=ANSWERS,
    listener=ListenerSpec(
        settings=WctpListen,
        make=PushDoor,
        needed_by=lambda settings: "answers" if own_of(settings).answers == "push" else None,
    ),
    enquiry_waits=ENQUIRY_WAITS,
    open_timeout=OPEN_TIMEOUT,
    answer_timeout=ANSWER_TIMEOUT,
)
