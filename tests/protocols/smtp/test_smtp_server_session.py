"""The server's side, and the bad input it stands (rows B48 to B53, B57, B58 of the catalogue)."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_fakes import ANN, CONTENT, Lead, Talk, letter, to

from protocols.smtp import codec
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.messages import Reply

HELLO = b"EHLO client.example.org\r\n"
MAIL = b"MAIL FROM:<bob@example.org>\r\n"
RCPT = b"RCPT TO:<ann@example.net>\r\n"
DOT = b"\r\n.\r\n"
PLAIN = b"AUTH PLAIN " + b64encode(b"\0ann\0s3cret") + b"\r\n"


def test_a_message_from_greeting_to_goodbye() -> None:
    """As a pipelining client says it, DATA last."""
    talk = Talk()
    assert talk.greeting == b"220 gw.example.net ESMTP\r\n"
    offer = talk.say(HELLO).decode().split("\r\n")
    assert offer[0] == "250-gw.example.net"
    assert {line[4:] for line in offer[1:-1]} == {
        *("PIPELINING", "SIZE 262144", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    }
    assert talk.codes(MAIL + RCPT + b"DATA\r\n") == [250, 250, 354]
    assert talk.codes(b"Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n") == [250, 221]
    assert talk.hung_up
    [message] = talk.messages
    assert (message.sender, message.recipients) == ("bob@example.org", to(ANN))
    assert message.content == b"Subject: x\r\n\r\n.dot\r\n"
    assert message.helo == "client.example.org"


def test_wishes_for_reports_reach_the_application() -> None:
    """Where DSN is offered, for whoever simulates a server that reports."""
    talk = Talk(dsn=True)
    assert b"DSN\r\n" in talk.say(HELLO)
    talk.say(b"MAIL FROM:<bob@example.org> RET=HDRS ENVID=pg+2B17\r\n")
    talk.say(
        b"RCPT TO:<ann@example.net> NOTIFY=SUCCESS ORCPT=rfc822;ann+2B1@example.org\r\nDATA\r\nx\r\n.\r\n"
    )
    [message] = talk.messages
    assert (message.ret, message.envid) == (m.Ret.HDRS, "pg+17")
    wish = frozenset({m.Notify.SUCCESS})
    assert message.recipients == to(ANN, notify=wish, original=m.Mailbox("ann+1@example.org"))


def test_lmtp_answers_for_each_recipient() -> None:
    """In the order of RCPT; one answer of the application goes for all, a refused text too."""
    talk = Talk(lmtp=True)
    assert talk.codes(b"EHLO x\r\n") == [500]
    talk.will(s.MessageAsked, (Reply(250), Reply(452, ("4.2.2 full",))), Reply(451))
    both = ("ann@example.net", "bob@example.net")
    assert talk.entered(*both).codes(b"x" + DOT) == [250, 452]
    assert talk.entered(*both).codes(b"x" + DOT) == [451, 451]
    assert talk.entered(*both).codes(b"x\0" + DOT) == [550, 550]
    assert Talk().codes(b"LHLO x\r\n") == [500]


def test_too_few_answers_by_lmtp_are_no_success_for_the_rest() -> None:
    """The others may try again."""
    talk = Talk(lmtp=True).will(s.MessageAsked, (Reply(250), Reply(250)))
    assert talk.entered(*(f"a{i}@example.net" for i in range(3))).codes(b"x" + DOT) == [250, 250, 451]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (MAIL, 503),
        (HELLO + RCPT, 503),
        (HELLO + b"DATA\r\n", 503),
        (HELLO + MAIL + MAIL, 503),
        (HELLO + MAIL + b"DATA\r\n", 503),
        (HELLO + MAIL + b"RSET\r\n" + RCPT, 503),
        (HELLO + MAIL + HELLO + RCPT, 503),
        (HELLO + b"STARTTLS\r\n", 503),
        (b"NOOP\r\n", 250),
        (b"VRFY ann\r\n", 252),
        (b"EXPN list\r\n", 252),
        (b"HELP\r\n", 214),
        (b"HELO x\r\n", 250),
        (HELLO + b"ETRN x\r\n", 500),
        (HELLO + b"MAIL FROM:<a@b> ENVID=x RET=HDRS\r\n", 555),
        (HELLO + MAIL + b"RCPT TO:<ann@example.net> NOTIFY=NEVER\r\n", 555),
        (HELLO + b"MAIL FROM:<a@b> SIZE=1 BODY=7BIT AUTH=<>\r\n", 250),
        (b"NOOP\n", 500),
        (b"NO\rOP\r\n", 500),
        (b"N\0OP\r\n", 500),
    ],
)
def test_what_may_be_said_when(said: bytes, code: int) -> None:
    """503 out of turn; a command ends with CR LF and nothing else."""
    assert Talk().codes(said)[-1] == code


# The catalogue


def test_b48_a_line_without_end_is_dropped_and_the_client_with_it() -> None:
    """500, close, and at no time more than 4 kB of it are kept."""
    talk = Talk()
    out = b""
    for _ in range(160):
        out += talk.say(b"x" * 65_536)
        assert talk.session._splitter.waiting <= 4096
    assert out.startswith(b"500 ")
    assert out.count(b"\r\n") == 1
    assert talk.hung_up


def test_b48_a_text_line_without_end_is_dropped_too() -> None:
    """Its end and the dot are still heard, and it is refused; beyond all measure the client is dropped."""
    talk = Talk(size=10_000_000).entered()
    for _ in range(100):
        assert talk.say(b"x" * 65_536) == b""
        assert talk.session._splitter.waiting <= 4096
    assert talk.codes(DOT) == [550]
    talk = Talk().entered()
    out = b"".join(talk.say(b"x" * 65_536) for _ in range(200))
    assert out.startswith(b"552 5.3.4 ")
    assert talk.hung_up


def test_b49_recipients_from_the_101st_on_hear_452() -> None:
    """And the first hundred get the message."""
    talk = Talk()
    talk.say(HELLO + MAIL)
    codes = [talk.codes(b"RCPT TO:<a%d@example.net>\r\n" % i) for i in range(5000)]
    assert codes == [[250]] * 100 + [[452]] * 4900
    assert b"452 4.5.3 " in talk.say(RCPT)
    assert talk.codes(b"DATA\r\nx\r\n.\r\n") == [354, 250]
    assert len(talk.messages[0].recipients) == 100


@pytest.mark.parametrize(
    "to_", ["x@example.org", "x@sub.example.net", "x%example.org@[192.0.2.1]", "x@example.net.org"]
)
def test_b50_other_domains_are_not_relayed(to_: str) -> None:
    """Whoever asks, logged in or not; letter case does not matter."""
    talk = Talk(auth=True, secure=True)
    assert talk.codes(HELLO + PLAIN + MAIL)[1:] == [235, 250]
    assert talk.say(b"RCPT TO:<" + to_.encode() + b">\r\n") == b"550 5.7.1 Relay denied\r\n"
    assert talk.codes(b"RCPT TO:<ann@EXAMPLE.net>\r\n") == [250]
    assert len([one for one in talk.asked if isinstance(one, s.RecipientAsked)]) == 1


def test_b51_a_message_too_big_is_refused_by_its_size_and_by_its_octets() -> None:
    """552 5.3.4 at MAIL, or after the dot where SIZE lied; the next message is taken."""
    talk = Talk(size=1000)
    talk.say(HELLO)
    assert talk.say(b"MAIL FROM:<> SIZE=1001\r\n").startswith(b"552 5.3.4")
    talk.entered(mail=b"MAIL FROM:<> SIZE=10\r\n")
    assert talk.say((b"x" * 98 + b"\r\n") * 11) == b""
    assert talk.say(b".\r\n").startswith(b"552 5.3.4")
    assert talk.messages == []
    assert talk.entered().codes((b"x" * 98 + b"\r\n") * 10 + b".\r\n") == [250]


SMUGGLED = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\n", b"\r\n\0.\r\n"]
INSIDE = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\nevil\r\n"


@pytest.mark.parametrize("end", SMUGGLED)
def test_b52_only_crlf_dot_crlf_ends_a_text(end: bytes) -> None:
    """What comes behind any other form is text, and the whole is refused."""
    talk = Talk().entered()
    assert talk.say(b"hello" + end + INSIDE) == b""
    assert talk.say(b"\r\n.\r\n").startswith(b"550 5.5.2")
    assert talk.messages == []


@pytest.mark.parametrize("end", [form for form in SMUGGLED if b"\0" not in form])
def test_b52_a_text_is_mended_where_the_rules_say_so(end: bytes) -> None:
    """Then it is one message with whole line ends, and no dot line that another server would take for the end."""
    talk = Talk(mend=True).entered()
    assert talk.codes(b"hello" + end + INSIDE + b"\r\n.\r\n") == [250]
    [message] = talk.messages
    assert b"evil" in message.content
    assert codec.data_block(message.content).count(b"\r\n.\r\n") == 1


@settings(max_examples=80)
@given(
    st.lists(
        st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"x", b"DATA", b"\0", b"\xff"]), max_size=30
    ).map(b"".join),
    st.integers(1, 9),
    st.booleans(),
)
def test_b52_any_text_ends_where_it_should_and_nowhere_else(text: bytes, step: int, mend: bool) -> None:
    """One answer, at the first CRLF.CRLF of the stream, whatever the cuts."""
    talk = Talk(mend=mend).entered(mail=b"MAIL FROM:<> BODY=8BITMIME\r\n")
    stream = text + b"\r\n.\r\n"
    end = (b"\r\n" + stream).index(b"\r\n.\r\n") + 3
    for at in range(0, end - 1, step):
        assert talk.say(stream[at : min(at + step, end - 1)]) == b""
    assert talk.session.stage is s.Stage.TEXT
    assert len(talk.codes(stream[end - 1 : end])) == 1
    assert talk.session.stage is s.Stage.COMMANDS
    assert len(talk.messages) <= 1


def test_b53_what_was_not_declared_is_refused() -> None:
    """BDAT, an address that needs SMTPUTF8, eight bits without BODY=8BITMIME."""
    talk = Talk()
    assert talk.codes(HELLO + b"BDAT 5 LAST\r\n")[-1] == 500
    assert talk.codes("MAIL FROM:<jörg@example.org>\r\n".encode()) == [553]
    assert talk.codes(MAIL + "RCPT TO:<jörg@example.net>\r\n".encode()) == [250, 553]
    assert talk.entered().codes("ü".encode() + DOT) == [554]
    assert talk.entered(mail=b"MAIL FROM:<> BODY=8BITMIME\r\n").codes("ü".encode() + DOT) == [250]
    utf8 = talk.entered("jörg@example.net", mail="MAIL FROM:<jörg@example.org> SMTPUTF8\r\n".encode())
    assert utf8.codes("ü".encode() + DOT) == [250]
    assert talk.messages[-1].recipients == to(m.mailbox("jörg@example.net"))


def test_b57_what_came_in_clear_behind_starttls_is_discarded() -> None:
    """And all that was learnt before: EHLO has to be said again."""
    talk = Talk(starttls=True, tls_needed=True)
    assert b"STARTTLS" in talk.say(HELLO)
    assert talk.codes(MAIL) == [530]
    assert talk.codes(b"STARTTLS\r\n" + HELLO + MAIL + b"RCPT TO:<ann@exa") == [220]
    assert talk.secured == 1
    assert talk.codes(MAIL) == [503]
    offer = talk.say(HELLO)
    assert b"STARTTLS" not in offer
    assert talk.codes(MAIL + RCPT + b"DATA\r\nx\r\n.\r\n") == [250, 250, 354, 250]
    assert talk.messages[0].secure


def test_b58_auth_without_tls_is_refused() -> None:
    """538, and it is not offered; the password is not looked at."""
    talk = Talk(auth=True, starttls=True)
    assert b"AUTH" not in talk.say(HELLO)
    assert talk.say(PLAIN).startswith(b"538 5.7.11")
    assert talk.codes(b"AUTH LOGIN\r\n") == [538]
    assert talk.asked == []


def test_b58_the_eleventh_error_ends_it() -> None:
    """421 in place of its own reply; a message taken between them forgives."""
    talk = Talk()
    for _ in range(10):
        assert talk.codes(b"XYZ\r\n") == [500]
    assert talk.codes(b"XYZ\r\nNOOP\r\n") == [421]
    assert talk.hung_up
    talk = Talk()
    assert talk.codes(b"XYZ\r\n" * 10) == [500] * 10
    assert talk.entered().codes(b"x" + DOT + b"XYZ\r\n") == [250, 500]


# AUTH


@pytest.mark.parametrize(
    "said",
    [
        [PLAIN],
        [b"AUTH PLAIN\r\n", PLAIN[11:]],
        [b"AUTH LOGIN\r\n", b"YW5u\r\n", b"czNjcmV0\r\n"],
        [b"AUTH LOGIN YW5u\r\n", b"czNjcmV0\r\n"],
    ],
)
def test_the_forms_of_auth(said: list[bytes]) -> None:
    """All ask the application the same."""
    talk = Talk(auth=True, login_needed=True, secure=True)
    assert b"AUTH PLAIN LOGIN" in talk.say(HELLO)
    assert talk.codes(MAIL) == [530]
    codes = [talk.codes(line) for line in said]
    assert codes == [[334]] * (len(said) - 1) + [[235]]
    assert talk.asked == [s.LoginAsked(user=m.Secret("ann"), password=m.Secret("s3cret"))]
    assert "s3cret" not in repr(talk.asked)
    assert talk.codes(PLAIN) == [503]
    assert talk.codes(MAIL) == [250]


def test_auth_that_fails() -> None:
    """Cancelled, unreadable, wrong; the third wrong one ends it."""
    talk = Talk(auth=True, secure=True).will(s.LoginAsked, *[Reply(535, ("5.7.8 no",))] * 3)
    talk.say(HELLO)
    assert talk.codes(b"AUTH LOGIN\r\n*\r\n") == [334, 501]
    assert talk.codes(b"AUTH LOGIN\r\n!!\r\n") == [334, 501]
    assert talk.codes(b"AUTH LOGIN\r\nYW5u\n") == [334, 500]
    assert talk.codes(PLAIN + PLAIN) == [535, 535]
    assert talk.session.login is None
    assert talk.codes(PLAIN) == [421]
    assert Talk(secure=True).codes(HELLO + PLAIN)[-1] == 502


# The rest


@pytest.mark.parametrize(
    ("data", "what"), [(b"\x16\x03\x01", "TLS"), (b"\x00", "binary"), (b"GET / HTTP/1.1\r\n", "HTTP")]
)
def test_other_protocols_are_known_at_once(data: bytes, what: str) -> None:
    """421, close."""
    talk = Talk()
    assert talk.codes(data) == [421]
    assert (talk.foreign, talk.hung_up) == ([what], True)


def test_a_recipient_named_twice_is_one() -> None:
    """And the application decides about each one."""
    talk = Talk().will(s.RecipientAsked, Reply(250), Reply(550, ("5.1.1 who",)))
    assert talk.codes(HELLO + MAIL + RCPT + RCPT + b"RCPT TO:<x@example.net>\r\n")[2:] == [250, 250, 550]
    assert talk.codes(b"DATA\r\nx\r\n.\r\n") == [354, 250]
    assert talk.messages[0].recipients == to(ANN)


def test_while_an_answer_is_due_what_comes_waits() -> None:
    """In order; too much of it ends the conversation."""
    session = Talk().session
    session.receive(HELLO + MAIL)
    assert isinstance(session.receive(RCPT + b"DATA\r\n")[-1], s.RecipientAsked)
    assert session.receive(b"x\r\n") == []
    said = session.answer(Reply(250))
    assert [event.data[:3] for event in said] == [b"250", b"354"]
    assert isinstance(session.receive(b".\r\n" + b"NOOP\r\n" * 100)[-1], s.MessageAsked)
    assert isinstance(session.receive(b"x" * 70_000)[-1], s.Hangup)


def test_without_an_answer_to_the_dot_nothing_is_said() -> None:
    """421 would claim that nothing was taken; the client decides what its silence means."""
    session = Talk().entered().session
    session.receive(b"x\r\n.\r\n")
    assert session.abandon() == [s.Hangup()]


@settings(max_examples=60)
@given(
    st.lists(
        st.binary(max_size=40)
        | st.sampled_from([HELLO, MAIL, RCPT, b"DATA\r\n", DOT, PLAIN, b"STARTTLS\r\n"]),
        max_size=15,
    )
)
def test_any_client_at_all(said: list[bytes]) -> None:
    """Nothing raises, and only what was asked for is taken."""
    talk = Talk(auth=True, starttls=True)
    for data in said:
        talk.say(data)
    assert all(message.recipients for message in talk.messages)


@pytest.mark.parametrize("lmtp", [False, True])
def test_our_client_and_our_server_understand_each_other(lmtp: bool) -> None:
    """With STARTTLS and AUTH; a dot in the text comes out as it went in."""
    login = m.Login(user=m.Secret("ann"), password=m.Secret("s3cret"))
    talk = Talk(starttls=True, auth=True, lmtp=lmtp)
    lead = Lead(starttls=s.StartTls.REQUIRED, login=login, lmtp=lmtp)
    content = m.Content(CONTENT + b".\r\n..\r\n.x\r\n")
    lead.hear(talk.greeting)
    at = 0
    while at < len(lead.wrote) or lead.session.phase in (s.Phase.IDLE, s.Phase.READY):
        if lead.session.phase is s.Phase.IDLE:
            if talk.messages:
                break
            lead.submit(letter(content=content))
        if lead.session.phase is s.Phase.READY:
            lead.commit()
        at += 1
        lead.hear(talk.say(lead.wrote[at - 1]))
    assert lead.result.taken == to(ANN)
    assert talk.messages[0].content == content
    assert (talk.messages[0].login, talk.messages[0].secure) == ("ann", True)
