"""Bounces and other reports: what they say, whoever wrote them, and what is none."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_fakes import ANN, BOB, SENDER

from protocols.smtp import messages as m
from protocols.smtp import report as r
from protocols.smtp.report import Action, Notice, RecipientReport, Report, read, write

AT = datetime(2026, 11, 21, 18, 12, 32, tzinfo=UTC)
ID = m.MessageId("<r1@mx.local.test>")

FAILED = b"""\
From: Mail Delivery System <MAILER-DAEMON@mx.local.test>
Subject: Undelivered Mail Returned to Sender
To: pager+18@pager.test
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="B/mx.local.test"

This is a MIME-encapsulated message.

--B/mx.local.test
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.local.test.

--B/mx.local.test
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.local.test
Original-Envelope-Id: pg18.1
X-Postfix-Queue-ID: CA3642620C1
Arrival-Date: Sat, 21 Nov 2026 18:12:32 +0000 (UTC)

Final-Recipient: rfc822; nobody@remote.test
Original-Recipient: rfc822;no+2Bbody@remote.test
Action: failed
Status: 5.1.1
Remote-MTA: dns; 127.0.0.1
Diagnostic-Code: smtp; 550 5.1.1
    unknown pager

--B/mx.local.test
Content-Type: text/rfc822-headers

Return-Path: <pager+18@pager.test>
Message-ID: <18.1@pager.test>
Subject: Bed 4

--B/mx.local.test--
"""

READ = Report(
    recipients=(
        RecipientReport(
            final="nobody@remote.test",
            action=Action.FAILED,
            status="5.1.1",
            original="no+body@remote.test",
            diagnostic="smtp; 550 5.1.1 unknown pager",
            remote="127.0.0.1",
        ),
    ),
    envid="pg18.1",
    reporter="mx.local.test",
    message_id="<18.1@pager.test>",
)


def test_a_failure_reported_by_postfix() -> None:
    """With LF and with CR LF."""
    assert read(FAILED) == READ
    assert read(FAILED.replace(b"\n", b"\r\n")) == READ


@pytest.mark.parametrize("action", Action)
def test_every_action_is_known(action: Action) -> None:
    """In any case."""
    for said in (action.value, action.value.capitalize(), action.value.upper() + " (see below)"):
        report = read(FAILED.replace(b"Action: failed", b"Action: " + said.encode()))
        assert report.recipients[0].action is action


def test_the_utf8_form() -> None:
    """RFC 6533: message/global-delivery-status, and addresses in either writing."""
    data = FAILED.replace(b"message/delivery-status", b"message/global-delivery-status")
    for said in ("utf-8; ünïcode@remote.test", r"utf-8; \x{FC}n\x{EF}code@remote.test"):
        report = read(data.replace(b"rfc822; nobody@remote.test", said.encode()))
        assert report.recipients[0].final == "ünïcode@remote.test"


def test_what_a_report_may_lack() -> None:
    """ENVID, original recipient, status with a comment, report-type, the message that is brought back."""
    data = FAILED.replace(b"Original-Envelope-Id: pg18.1\n", b"").replace(
        b" report-type=delivery-status;", b""
    )
    data = data.replace(b"Original-Recipient: rfc822;no+2Bbody@remote.test\n", b"")
    data = data.replace(b"Status: 5.1.1", b"Status: 5.1.1 (bad mailbox)")
    data = data[: data.index(b"--B/mx.local.test\nContent-Type: text/rfc822-headers")]
    report = read(data)
    assert (report.envid, report.message_id) == (None, None)
    assert (report.recipients[0].original, report.recipients[0].status) == (None, "5.1.1")


def test_a_whole_message_brought_back() -> None:
    """message/rfc822 has the Message-ID in its header; a Message-ID in its text does not count."""
    data = FAILED.replace(b"text/rfc822-headers", b"message/rfc822")
    assert read(data).message_id == "<18.1@pager.test>"
    data = data.replace(
        b"Message-ID: <18.1@pager.test>\nSubject: Bed 4\n", b"Subject: Bed 4\n\nMessage-ID: <x@y>\n"
    )
    assert read(data).message_id is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [("a+18@x", "a+18@x"), ("a+2B18@x", "a+18@x"), ("a+3Db@x", "a=b@x"), ("a+4Ab@x", "a+4Ab@x")],
)
def test_plus_signs_of_an_original_recipient(said: str, meant: str) -> None:
    """Reported with xtext or without; a plus address is not taken for a coded control character."""
    report = read(FAILED.replace(b"no+2Bbody@remote.test", said.encode()))
    assert report.recipients[0].original == meant


def test_a_report_without_its_first_block() -> None:
    """Recipients are still found."""
    head, rest = FAILED.split(b"Reporting-MTA", 1)
    report = read(head + rest[rest.index(b"Final-Recipient") :])
    assert report.recipients == READ.recipients


@pytest.mark.parametrize("coding", [b"base64", b"quoted-printable"])
def test_a_coded_status_part(coding: bytes) -> None:
    """RFC 3464 wants 7bit; some code it."""
    head, rest = FAILED.split(b"Content-Type: message/delivery-status\n\n")
    body, tail = rest.split(b"\n--B/mx.local.test\n", 1)
    coded = base64.encodebytes(body) if coding == b"base64" else body.replace(b":", b"=3A")
    data = head + b"Content-Type: message/delivery-status\nContent-Transfer-Encoding: " + coding + b"\n\n"
    assert read(data + coded + b"\n--B/mx.local.test\n" + tail) == READ


def test_a_report_wrapped_by_a_list() -> None:
    """One multipart further in."""
    data = b"Content-Type: multipart/mixed; boundary=L\n\n--L\n" + FAILED + b"--L\n\nfooter\n--L--\n"
    assert read(data) == READ


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Subject: hello\n\nhello\n",
        b"Subject: out of office\nAuto-Submitted: auto-replied\n\nback on Monday\n",
        FAILED.replace(b"report-type=delivery-status", b"report-type=disposition-notification"),
        FAILED.replace(b"Action: failed", b"Action: exploded"),
        FAILED.replace(b"multipart/report", b"multipart/mixed"),
        b"Content-Type: multipart/report\n\n--\n",
        b'Content-Type: multipart/report; boundary="\n\n--\n',
    ],
)
def test_what_is_no_report(data: bytes) -> None:
    """Is None: a person may look at it, a machine draws no conclusion."""
    assert read(data) is None


def test_depth_parts_and_size_are_bounded() -> None:
    """Five hundred messages in one another, a hundred thousand parts, ten megabytes: read in bounded work."""
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(500))
    assert read(deep + FAILED) is None
    wide = b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n\nx\n" * 100_000
    assert read(wide) is None
    assert read(b"Subject: x\n" + b" y\n" * 300_000) is None
    many = b"\nFinal-Recipient: rfc822; a@b\nAction: failed\n" * 3000
    report = read(
        FAILED.replace(
            b"\n--B/mx.local.test\nContent-Type: text/rfc822",
            many + b"\n--B/mx.local.test\nContent-Type: text/rfc822",
        )
    )
    assert len(report.recipients) == r.MAX_RECIPIENTS
    assert read(FAILED.replace(b"unknown pager", b"x" * 100_000)).recipients[0].diagnostic.endswith("xx")


def test_a_notice_cannot_hold_a_line_end() -> None:
    """Its status is checked, its diagnostic text cleaned, and the header it brings back is lines of its own."""
    said = {"reporter": m.Domain("mx.local.test"), "to": SENDER, "message_id": ID, "at": AT}
    with pytest.raises(m.InvalidValue, match="status"):
        Notice(recipients=((ANN, Action.FAILED, "5.1.1\r\nAction: delivered", ""),), **said)
    data = write(Notice(recipients=((ANN, Action.FAILED, "5.1.1", "no\r\n\r\nAction: delivered"),), **said))
    assert [one.action for one in read(data).recipients] == [Action.FAILED]


STATUS = st.sampled_from(["2.0.0", "4.4.7", "5.1.1", "5.7.999"])
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
NOTICES = st.builds(
    Notice,
    reporter=st.just(m.Domain("mx.local.test")),
    to=st.just(SENDER),
    message_id=st.just(ID),
    at=st.just(AT),
    recipients=st.lists(
        st.tuples(st.sampled_from([ANN, BOB, m.Mailbox("a+18=c@x")]), st.sampled_from(Action), STATUS, WORDS),
        min_size=1,
        max_size=4,
    ).map(tuple),
    original=st.sampled_from([(), (m.Mailbox("a+18=c@x"),)]),
    envid=st.none() | WORDS.map(m.EnvelopeId),
    header=st.sampled_from([b"", b"Message-ID: <a@b>\r\nSubject: x\r\n", b"Message-ID: <a@b>\n"]),
)


@settings(max_examples=60)
@given(NOTICES)
def test_what_is_written_is_read(notice: Notice) -> None:
    """Every field of it; plus signs in final recipients are not xtext and stay."""
    report = read(write(notice))
    assert report.envid == notice.envid
    assert report.message_id == ("<a@b>" if notice.header else None)
    assert [(one.action, one.status) for one in report.recipients] == [one[1:3] for one in notice.recipients]
    assert [one.final for one in report.recipients] == [one[0] for one in notice.recipients]
    assert [one.diagnostic for one in report.recipients] == [f"smtp; {one[3]}" for one in notice.recipients]
    assert report.recipients[0].original == (notice.original[0] if notice.original else None)


@settings(max_examples=80)
@given(st.binary(max_size=200), st.integers(0, len(FAILED)), st.integers(0, 60))
def test_broken_reports_never_raise(noise: bytes, at: int, gone: int) -> None:
    """Cut, or with anything in the middle."""
    for data in (FAILED[:at] + noise + FAILED[at + gone :], FAILED[:at], noise):
        assert read(data) is None or isinstance(read(data), Report)
