"""Disposition notifications: what mail programs report about a message, and how it is asked for."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_fakes import ANN, SENDER

from protocols.smtp import messages as m
from protocols.smtp import report
from protocols.smtp.mail import Letter, compose
from protocols.smtp.mdn import Disposition, Mode, Notification, read

ID = m.MessageId("<17.1@gw.example.net>")

SHOWN = b"""\
From: Ann Example <ann@example.net>
To: pager+17@gw.example.net
Subject: Read: Bed 4
Content-Type: multipart/report; report-type=disposition-notification;
 boundary="M"

--M
Content-Type: text/plain

Your message was displayed.

--M
Content-Type: message/disposition-notification

Reporting-UA: pc4.example.net; Mail 9.1
Original-Recipient: rfc822;ann@example.net
Final-Recipient: rfc822; Ann@example.net
Original-Message-ID: <17.1@gw.example.net>
Disposition: manual-action/MDN-sent-manually; displayed

--M
Content-Type: text/rfc822-headers

Message-ID: <other@gw.example.net>

--M--
"""

READ = Notification(
    disposition=Disposition.DISPLAYED,
    message_id=ID,
    final="Ann@example.net",
    original="ann@example.net",
    action=Mode.MANUAL,
    sending=Mode.MANUAL,
    agent="pc4.example.net; Mail 9.1",
)


def with_disposition(said: bytes) -> bytes:
    return SHOWN.replace(b"manual-action/MDN-sent-manually; displayed", said)


def test_a_notification_that_a_message_was_displayed() -> None:
    """With LF and with CR LF; it is no delivery report, and a delivery report is none of these."""
    assert read(SHOWN) == READ
    assert read(SHOWN.replace(b"\n", b"\r\n")) == READ
    assert report.read(SHOWN) is None
    assert read(SHOWN.replace(b"disposition-notification", b"delivery-status")) is None


@pytest.mark.parametrize("disposition", Disposition)
@pytest.mark.parametrize("action", Mode)
def test_every_disposition_and_mode_is_known(disposition: Disposition, action: Mode) -> None:
    """In any case."""
    said = f"{action.value}-action/MDN-sent-automatically; {disposition.value}"
    for way in (said, said.upper(), said.lower().replace("; ", ";"), said + " (by a rule)"):
        notification = read(with_disposition(way.encode()))
        assert (notification.disposition, notification.action) == (disposition, action)
        assert notification.sending is Mode.AUTOMATIC


@pytest.mark.parametrize(
    ("said", "modifiers"),
    [
        (b"displayed/error", ("error",)),
        (b"displayed / Error, warning", ("error", "warning")),
        (b"displayed", ()),
    ],
)
def test_modifiers_and_a_disposition_without_modes(said: bytes, modifiers: tuple[str, ...]) -> None:
    """What is not said is None; an Error field is kept."""
    notification = read(with_disposition(said + b"\nError: no screen\n  here"))
    assert notification.modifiers == modifiers
    assert (notification.action, notification.sending, notification.error) == (None, None, "no screen here")


def test_whose_message_it_was_may_be_in_the_part_brought_back() -> None:
    """Where Original-Message-ID is missing; where it is there, it counts."""
    lacking = SHOWN.replace(b"Original-Message-ID: <17.1@gw.example.net>\n", b"")
    assert read(lacking).message_id == "<other@gw.example.net>"
    assert read(lacking.partition(b"--M\nContent-Type: text/rfc822")[0]).message_id is None


@pytest.mark.parametrize("said", [b"", b"denied", b"manual-action; displayed", b"x/y; displayed", b"read"])
def test_a_disposition_that_is_not_known_is_no_evidence(said: bytes) -> None:
    """Nothing is guessed."""
    assert read(with_disposition(said)) is None


def test_the_utf8_form() -> None:
    """RFC 6533: message/global-disposition-notification."""
    data = SHOWN.replace(b"message/disposition", b"message/global-disposition")
    data = data.replace(b"rfc822; Ann@", rb"utf-8; \x{C4}nn@")
    assert read(data).final == "Änn@example.net"


def test_a_letter_asks_for_a_notification() -> None:
    """One field, and only where the writer wants it."""
    at = datetime(2026, 11, 21, tzinfo=UTC)
    letter = {"sender": ANN, "message_id": ID, "at": at, "text": "Bed 4"}
    assert b"Disposition" not in compose(Letter(**letter))
    asked = compose(Letter(**letter, tell_read=SENDER))
    assert b"\r\nDisposition-Notification-To: <pager+17@gw.example.net>\r\n" in asked


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":;<>()"), min_size=1)


@settings(max_examples=60)
@given(st.sampled_from(Disposition), st.sampled_from(Mode), st.sampled_from(Mode), WORDS, WORDS)
def test_what_a_program_says_is_read(
    disposition: Disposition, action: Mode, sending: Mode, left: str, agent: str
) -> None:
    """Every field."""
    said = f"{action.value}-action/MDN-sent-{sending.value}ly; {disposition.value}".encode()
    data = with_disposition(said.replace(b"automaticly", b"automatically"))
    data = data.replace(b"<17.1@", f"<{left}@".encode()).replace(b"Mail 9.1", agent.encode())
    notification = read(data)
    assert notification.disposition is disposition
    assert (notification.action, notification.sending) == (action, sending)
    assert notification.message_id == f"<{left}@gw.example.net>"[:500]
    assert notification.agent == f"pc4.example.net; {agent}"[:500]


@settings(max_examples=80)
@given(st.binary(max_size=200), st.integers(0, len(SHOWN)), st.integers(0, 60))
def test_broken_notifications_never_raise(noise: bytes, at: int, gone: int) -> None:
    """Cut, or with anything in the middle."""
    for data in (SHOWN[:at] + noise + SHOWN[at + gone :], SHOWN[:at], noise):
        assert read(data) is None or isinstance(read(data), Notification)


def test_size_is_bounded() -> None:
    """A notification of ten megabytes is read up to its limits, and no text in it is long."""
    long = read(SHOWN.replace(b"Mail 9.1", b"x" * 10_000).replace(b"--M--", b"y\n" * 5_000_000))
    assert len(long.agent) == 500
