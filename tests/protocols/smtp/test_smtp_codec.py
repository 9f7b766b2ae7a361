"""Addresses, commands, replies and xtext: bytes to values and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_fakes import ANN, BOB, US

from protocols.smtp import codec
from protocols.smtp import messages as m
from protocols.smtp.messages import Kind, Reply

# Values


@pytest.mark.parametrize(
    "good",
    [
        "ann@example.net",
        "a.b+c=d@x",
        "#-!$%&'*/?^_`{|}~@example.net",
        '"a b\\"c"@example.net',
        "ann@[192.0.2.1]",
        "ann@[IPv6:2001:db8::1]",
        "x" * 64 + "@example.net",
    ],
)
def test_an_address_that_may_be_written(good: str) -> None:
    """RFC 5321 4.1.2, and it takes itself apart."""
    assert m.Mailbox(good).local + "@" + m.Mailbox(good).domain == good
    assert m.Utf8Mailbox(good) == good


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ann",
        "@example.net",
        "ann@",
        "a b@example.net",
        "ann@exa mple.net",
        ".a@example.net",
        "a..b@example.net",
        "a.@example.net",
        "ann@example..net",
        "ann@-example.net",
        "<ann@example.net>",
        "ann@example.net>\r\nRCPT TO:<bob@example.net",
        "ann@example.net\n",
        "ann\0@example.net",
        '"a\nb"@example.net',
        '"a"b"@example.net',
        "ann,bob@example.net",
        "ann;@example.net",
        "ann@example.net SIZE=1",
        "x" * 65 + "@example.net",
        "ann@" + "x" * 64 + ".net",
        "a@" + ".".join(["x" * 60] * 5),
        "ann\x7f@example.net",
        "ann\x85@example.net",
        "ann\u2028@example.net",
        "\ud800@example.net",
    ],
)
def test_an_address_that_may_not_be_written(bad: str) -> None:
    """In neither of the two forms."""
    for kind in (m.Mailbox, m.Utf8Mailbox):
        with pytest.raises(m.InvalidValue, match="address"):
            kind(bad)


def test_unicode_addresses_are_a_type_of_their_own() -> None:
    """They need SMTPUTF8."""
    assert m.mailbox("jörg@exämple.net") == "jörg@exämple.net"
    with pytest.raises(m.InvalidValue):
        m.Mailbox("jörg@example.net")
    with pytest.raises(m.InvalidValue, match="64"):
        m.Utf8Mailbox("ö" * 33 + "@example.net")


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (m.Domain, "a b"),
        (m.Domain, "a\r\nb"),
        (m.Domain, "x" * 256),
        (m.EnvelopeId, "a b"),
        (m.EnvelopeId, "a\n"),
        (m.EnvelopeId, "+" * 34),
        (m.MessageId, "a@b"),
        (m.MessageId, "<a@b>\r\n"),
        (m.MessageId, "<a b@c>"),
        (m.Secret, "a\0b"),
        (m.Secret, "a\r\nb"),
        (m.Secret, ""),
    ],
)
def test_other_values_are_checked_too(kind: type, bad: str) -> None:
    """What cannot be in one word of a line is refused."""
    with pytest.raises(m.InvalidValue):
        kind(bad)


def test_a_secret_does_not_show() -> None:
    """Not in the repr of what holds it."""
    assert "hunter" not in repr(m.Login(user=m.Secret("hunter1"), password=m.Secret("hunter2")))


def test_a_transaction_has_between_1_and_100_recipients_all_different() -> None:
    """RFC 5321 4.5.3.1.8 promises room for a hundred."""
    many = tuple(m.Recipient(address=m.Mailbox(f"a{i}@x")) for i in range(101))
    for bad in ((), many, (m.Recipient(address=ANN), m.Recipient(address=ANN, notify=frozenset()))):
        with pytest.raises(m.InvalidValue, match="recipients"):
            m.Transaction(sender=None, recipients=bad, content=m.Content(b""))


# Replies


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"250 ok\r\n", Reply(250, ("ok",))),
        (b"250\r\n", Reply(250, ("",))),
        (b"250 \n", Reply(250, ("",))),
        (b"250-a\r\n250-\r\n250 c\r\n", Reply(250, ("a", "", "c"))),
        ("550 5.1.1 kein Gerät\r\n".encode(), Reply(550, ("5.1.1 kein Gerät",))),
        (b"550 caf\xe9 \x1b[31m\r\n", Reply(550, ("café  [31m",))),
    ],
)
def test_replies_are_read_whole_and_byte_by_byte(data: bytes, reply: Reply) -> None:
    """Controls become blanks, and what is not UTF-8 is Latin-1."""
    assert codec.ReplyDecoder().receive(data) == [reply]
    decoder = codec.ReplyDecoder()
    assert [one for octet in data for one in decoder.receive(bytes([octet]))] == [reply]
    assert not decoder.pending


@pytest.mark.parametrize(
    "bad",
    [
        *(b"\r\n", b"hello\r\n", b"25 ok\r\n", b"2500 ok\r\n", b"150 ok\r\n", b"650 ok\r\n", b"250ok\r\n"),
        *(b"250-a\r\n550 b\r\n", b"250-a\r\n" * 201, b"250 " + b"x" * 2050 + b"\r\n", b"x" * 5000),
    ],
)
def test_what_is_no_reply_is_garbled(bad: bytes) -> None:
    """And memory stays bounded."""
    assert isinstance(codec.ReplyDecoder().receive(bad)[-1], codec.Garbled)


LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40).map(str.strip)
REPLIES = st.builds(Reply, st.integers(200, 599), st.lists(LINES, min_size=1, max_size=5).map(tuple))


@settings(max_examples=60)
@given(st.lists(REPLIES, max_size=4), st.integers(1, 30))
def test_replies_round_trip_whatever_the_cuts(replies: list[Reply], step: int) -> None:
    """What is written is read again."""
    data = b"".join(map(codec.encode_reply, replies))
    decoder = codec.ReplyDecoder()
    read = [one for at in range(0, len(data), step) for one in decoder.receive(data[at : at + step])]
    assert read == [
        Reply(one.code, tuple(line.encode().strip().decode() for line in one.lines)) for one in replies
    ]


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_nonsense_from_a_server_never_raises(chunks: list[bytes]) -> None:
    """It becomes replies or `Garbled`."""
    decoder = codec.ReplyDecoder()
    for chunk in chunks:
        for one in decoder.receive(chunk):
            assert isinstance(one, Reply | codec.Garbled)


@pytest.mark.parametrize(
    ("code", "text", "kind", "enhanced"),
    [
        (250, "2.1.5 ok", Kind.DONE, "2.1.5"),
        (251, "will forward", Kind.DONE, None),
        (221, "bye", Kind.INFORMATION, None),
        (354, "go", Kind.GO_ON, None),
        (334, "VXNlcm5hbWU6", Kind.GO_ON, None),
        (421, "4.3.2 closing", Kind.TEMPORARY, "4.3.2"),
        (450, "greylisted", Kind.TEMPORARY, None),
        (452, "4.5.3 too many", Kind.TEMPORARY, "4.5.3"),
        (499, "?", Kind.TEMPORARY, None),
        (500, "?", Kind.OURS, None),
        (530, "5.7.0 login", Kind.OURS, "5.7.0"),
        (535, "5.7.8 wrong", Kind.OURS, "5.7.8"),
        (555, "parameter", Kind.OURS, None),
        (521, "no mail", Kind.PERMANENT, None),
        (550, "4.2.2 who is right", Kind.PERMANENT, None),
        (552, "5.2.2", Kind.PERMANENT, "5.2.2"),
        (599, "5.1.1x", Kind.PERMANENT, None),
    ],
)
def test_codes_by_class(code: int, text: str, kind: Kind, enhanced: str | None) -> None:
    """The first digit decides where a code is not known; an enhanced code that contradicts it is dropped."""
    reply = Reply(code, (text,))
    assert (reply.kind, reply.enhanced) == (kind, enhanced)


def test_an_offer_is_read_in_any_case_and_in_the_old_form() -> None:
    """What postfix says, and an AUTH with an equals sign beside the one without."""
    said = b"250-mx\r\n250-size 10240000\r\n250-AUTH PLAIN\r\n250-AUTH=LOGIN\r\n250 chunking\r\n"
    [reply] = codec.ReplyDecoder().receive(said)
    offer = codec.offer_of(reply)
    assert (offer.size, offer.mechanisms, "CHUNKING" in offer) == (10240000, {"PLAIN", "LOGIN"}, True)
    assert codec.offer_of(Reply(250, ("mx", "SIZE", ""))).size == 0
    assert codec.offer_of(Reply(250, ("mx", "SIZE 9x"))).size == 0


# Commands

NOTIFY = st.none() | st.frozensets(st.sampled_from(m.Notify))
MAILBOXES = st.sampled_from([ANN, BOB, m.Mailbox('"a >b"@x'), m.Utf8Mailbox("jörg@exämple.net")])
SECRETS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40).map(
    m.Secret
)
IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=33).map(m.EnvelopeId)
COMMANDS = st.one_of(
    st.builds(
        m.Mail,
        sender=st.none() | MAILBOXES,
        size=st.none() | st.integers(0, 10**9),
        eight_bit=st.booleans(),
        utf8=st.booleans(),
        ret=st.none() | st.sampled_from(m.Ret),
        envid=st.none() | IDS,
    ),
    st.builds(m.Rcpt, to=MAILBOXES, notify=NOTIFY, original=st.none() | MAILBOXES),
    st.builds(m.AuthPlain, user=SECRETS, password=SECRETS),
    st.builds(m.AuthLogin, user=st.none() | SECRETS),
    st.sampled_from([m.Ehlo(domain=US), m.Helo(domain=US), m.Lhlo(domain=m.Domain("[IPv6:::1]"))]),
    st.sampled_from(
        [m.Data(), m.Rset(), m.Quit(), m.Noop(), m.StartTls(), m.Vrfy(), m.Help(), m.AuthPlain()]
    ),
)


@settings(max_examples=120)
@given(COMMANDS)
def test_commands_round_trip(command: m.Sayable) -> None:
    """And are one line each."""
    line = codec.encode_command(command)
    assert line.count(b"\r") == line.count(b"\n") == 1
    assert line.endswith(b"\r\n")
    assert codec.decode_command(line[:-2]) == command


@settings(max_examples=120)
@given(
    st.binary(max_size=80)
    | st.builds(
        bytes.__add__, st.sampled_from([b"MAIL FROM:<", b"RCPT TO:<a@b> ", b"AUTH PLAIN "]), st.binary()
    )
)
def test_nonsense_from_a_client_never_raises(line: bytes) -> None:
    """It becomes a command, known or not."""
    assert codec.decode_command(line) is not None


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL", 501),
        (b"MAIL FROM:", 501),
        (b"MAIL FROM:ann@x", 501),
        (b"MAIL TO:<ann@x>", 501),
        (b"MAIL FROM:<ann@x> SIZE", 501),
        (b"MAIL FROM:<ann@x> SIZE=-1", 501),
        (b"MAIL FROM:<ann@x> SIZE=1 SIZE=2", 501),
        (b"MAIL FROM:<ann@x> BODY=BINARYMIME", 501),
        (b"MAIL FROM:<ann@x> SMTPUTF8=1", 501),
        (b"MAIL FROM:<ann@x> XYZ=1", 555),
        (b"MAIL FROM:<ann@x>SIZE=1", 501),
        (b"RCPT TO:<>", 501),
        (b"RCPT TO:<ann>", 501),
        (b"RCPT TO:<ann@x> NOTIFY=NEVER,SUCCESS", 501),
        (b"RCPT TO:<ann@x> NOTIFY=", 501),
        (b"RCPT TO:<ann@x> ORCPT=ann", 501),
        (b"AUTH CRAM-MD5", 504),
        (b"AUTH PLAIN !!!", 501),
        (b"AUTH PLAIN AAAA", 501),
        (b"EHLO", 501),
        (b"EHLO a b", 501),
        (b"DATA now", 501),
        (b"STARTTLS x", 501),
    ],
)
def test_a_malformed_command_has_its_reply(line: bytes, code: int) -> None:
    """501 for syntax, 555 for a parameter nobody offered, 504 for a mechanism."""
    command = codec.decode_command(line)
    assert isinstance(command, m.Malformed)
    assert command.reply.code == code


def test_forgiven_forms() -> None:
    """A blank behind the colon, letter case, a source route."""
    assert codec.decode_command(b"mail from: <ann@example.net>") == m.Mail(sender=ANN)
    assert codec.decode_command(b"RcPt tO:<@a,@b:ann@example.net> notify=success") == m.Rcpt(
        to=ANN, notify=frozenset({m.Notify.SUCCESS})
    )


@settings(max_examples=60)
@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_xtext_round_trips(text: str) -> None:
    """And holds no blank, no plus but its own, no equals sign."""
    coded = codec.xtext(text)
    assert codec.unxtext(coded) == text
    assert all(33 <= ord(char) <= 126 and char != "=" for char in coded)
