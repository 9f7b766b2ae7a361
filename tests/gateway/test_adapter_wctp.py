"""WCTP links and their door: settings, what a page says on the wire, who gets in, and what is evidence."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Coroutine
from datetime import UTC, datetime
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_fakes import surroundings
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from gateway.adapters.base import Doorway, Enquiring, Evidence, Fetching, Findings, Probing
from gateway.adapters.wctp import ADAPTER, WctpListen, WctpSettings, reports
from gateway.adapters.wctp.link import _texts, make_link, measured
from gateway.env import Address
from gateway.env.simulated import World, run
from gateway.errors import StoreFailed
from gateway.model import DeliveryKey, LinkName, MessageClass, Page, PublicId, later
from gateway.outcome import InDoubt, Level, NotSent, Refused, Taken
from gateway.settings.types import LinkSettings, Secret, TlsListen
from gateway.web import HttpServer, Peer, Request, Response
from protocols.wctp import codec
from protocols.wctp import messages as m

AT, CARRIER = "10.9.0.1:8088", "wctp.example:80"
WEB, OTHER = LinkName("metro.web"), LinkName("spok.web")
DEVICE, REF = "5550104477", "8h2k0qzt-1f"
SECRET = "0123456789abcdef"


def own(**keys: Any) -> WctpSettings:
    return WctpSettings(**({"url": "https://wctp.example/wctp", "sender_id": "st-anne"} | keys))


def link(**keys: Any) -> LinkSettings:
    return LinkSettings(adapter="wctp", own=own(**({"answers": "push"} | keys)))


def page(**changes: Any) -> Page:
    fields: dict[str, Any] = {
        "delivery": DeliveryKey(31),
        "public_id": PublicId("0" * 26),
        "correlation": REF,
        "address": DEVICE,
        "text": "Ward 4 bed 7",
        "message_class": MessageClass.URGENT,
        "expires": later(World().boot, 3600.0),
    }
    return Page(**fields | changes)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({}, []),
        ({"sender_id": " "}, [("sender_id", False)]),
        (
            {"sender_id": "a\nb", "send_responses_to": "x" * 300},
            [("sender_id", False), ("send_responses_to", False)],
        ),
        ({"security_code": Secret("a\nb")}, [("security_code", False)]),
        ({"version": "wctp-dtd-v9r9"}, [("version", False)]),
        ({"version": "WCTP-DTD-V1R2"}, []),
        ({"doctype": "http://dtd.example/wctp dtd"}, [("doctype", False)]),
        ({"doctype": "http://dtd.example/wctp.dtd"}, []),
        ({"mode": "transient", "security_code_in": "security_code"}, [("security_code_in", False)]),
        (
            {"mode": "transient", "security_code": Secret("a"), "misc_info": Secret("b")},
            [("misc_info", False)],
        ),
        ({"security_code": Secret("a"), "misc_info": Secret("b")}, []),
        ({"answers": "query"}, [("answers", False)]),
        ({"mode": "transient", "answers": "push"}, [("answers", False)]),
        ({"mode": "transient", "answers": "poll"}, [("answers", False)]),
        ({"mode": "transient", "answers": "query", "notify_read": True}, []),
        ({"notify_delivered": True}, [("notify_delivered", False)]),
        ({"poller_id": "x"}, [("poller_id", False)]),
        ({"answers": "poll", "poller_id": "x", "poll_code": Secret("y")}, []),
        ({"login": "a"}, [("login", False)]),
        ({"password": Secret("a")}, [("password", False)]),
        ({"login": "a:b", "password": Secret("c")}, [("login", False)]),
        ({"url": "http://wctp.example/wctp"}, [("url", True)]),
        ({"url": "http://127.0.0.1/wctp", "security_code": Secret("a")}, []),
        ({"url": "http://[::1]:8080/wctp"}, []),
        ({"url": "http://127.0.0.1/wctp", "ca_file": "x.pem"}, [("ca_file", False)]),
        ({"url": "https://wctp.example/wctp#x"}, [("url", False)]),
    ],
)
def test_what_a_link_may_say_of_itself(keys: dict[str, Any], wrong: list[tuple[str, bool]]) -> None:
    """What cannot work is a mistake; what travels in clear is a warning."""
    assert [(one.key, one.warning) for one in own(**keys).check()] == wrong


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({}, [("secret", False)]),
        ({"secret": Secret(SECRET)}, []),
        ({"secret": Secret("short")}, [("secret", False)]),
        ({"secret": Secret("with/a/slash/in/it")}, [("secret", False)]),
        ({"networks": ("192.0.2.0/24",)}, [("networks", True)]),
        ({"networks": ("192.0.2.0/24", "127.0.0.1")}, []),
        ({"networks": ("192.0.2.0/24",), "at": "0.0.0.0:80"}, []),
        ({"networks": ("::/0",), "at": "[::1]:80"}, []),
        ({"security_code": Secret("K7")}, []),
        ({"security_code": Secret("K7"), "at": "0.0.0.0:80"}, [("at", True)]),
        (
            {"security_code": Secret("K7"), "at": "0.0.0.0:443", "tls": TlsListen(cert="c", key=Secret("k"))},
            [],
        ),
        ({"networks": ("127.0.0.0/8",), "path": "wctp"}, [("path", False)]),
    ],
)
def test_what_the_door_may_say_of_itself(keys: dict[str, Any], wrong: list[tuple[str, bool]]) -> None:
    """A door that anybody could come in by does not open."""
    assert [(one.key, one.warning) for one in WctpListen(**keys).check()] == wrong


@pytest.mark.parametrize(
    ("keys", "level"),
    [
        ({}, Level.HANDED_OVER),
        ({"answers": "push"}, Level.HANDED_OVER),
        ({"answers": "poll", "notify_queued": True}, Level.IN_PROGRESS),
        ({"answers": "push", "notify_queued": True, "notify_delivered": True}, Level.ON_DEVICE),
        ({"mode": "transient", "answers": "query", "notify_read": True}, Level.READ),
    ],
)
def test_the_ceiling_is_what_is_asked_for(keys: dict[str, Any], level: Level) -> None:
    """And only where an answer can come back."""
    assert ADAPTER.ceiling(LinkSettings(adapter="wctp", own=own(**keys))) is level


def test_only_links_that_poll_fetch_and_only_those_that_query_ask() -> None:
    """The lane looks at what a link can do."""
    carrier = Carrier()
    for keys, fetches in (({"answers": "poll"}, True), ({"answers": "push"}, False)):
        made = carrier.link(**keys)
        assert isinstance(made, Fetching) is fetches
        assert isinstance(made, Probing)
        assert not isinstance(carrier.run(made.open()), Enquiring)
    assert isinstance(carrier.run(carrier.link(mode="transient", answers="query").open()), Enquiring)


def test_a_text_goes_out_in_the_characters_of_the_devices() -> None:
    """Plain ones unless the link says otherwise; XML carries any, and no controls."""
    assert measured(link(max_chars=20))("Hôpital €\nlit 4").texts == ("Hopital EUR\nlit 4",)
    measure = measured(link(max_chars=20, charset="utf-8"))
    assert measure("Hôpital ✚\nlit 4").texts == ("Hôpital ✚\nlit 4",)
    parts = measure("a\tb\x07c\r\nd")
    assert codec.text_of(parts.texts[0]) == parts.texts[0]
    assert parts.fits
    assert not measure("x" * 21).fits


# ---------------------------------------------------------------- what is said


class Carrier:
    """A far end that keeps what it was sent and says *answer*, or that the page was taken."""

    def __init__(self) -> None:
        self.world = World()
        self.env = self.world.env("10.9.0.1")
        self.heard: list[Request] = []
        self.answer: Response | None = None
        env = self.world.env("wctp.example")
        server = HttpServer(clock=env.clock, handler=self._take, wall=env.wall, make_id=lambda: "theirs")
        env.net.listen(CARRIER, server)

    async def _take(self, request: Request) -> Response:
        self.heard.append(request)
        confirmed = codec.write(m.Confirmation(result=m.success("taken")))
        return self.answer or Response(body=confirmed)

    def link(self, **keys: Any) -> Any:
        told = LinkSettings(adapter="wctp", own=own(**({"url": "http://wctp.example/wctp?F=x"} | keys)))
        return make_link(WEB, told, surroundings(self.env))

    def run(self, story: Coroutine[Any, Any, Any]) -> Any:
        return run(self.world, story)

    def send(self, sent: Page | None = None, **keys: Any) -> tuple[Any, Request, m.Document]:
        """What becomes of a page, the request that carried it, and what it says."""

        async def story() -> Any:
            session = await self.link(**keys).open()
            outcome = await session.submit(sent or page())
            await session.close()
            return outcome

        outcome = self.run(story())
        read = codec.read(self.heard[-1].body)
        assert isinstance(read, m.Document), read
        return outcome, self.heard[-1], read


def test_an_enterprise_page_on_the_wire() -> None:
    """Every knob of a carrier has its place in the document."""
    outcome, request, read = Carrier().send(
        security_code=Secret("K7-blue-91"),
        misc_info=Secret("acct 4"),
        send_responses_to="st-anne.example",
        allow_response=False,
        allow_truncation=True,
        preformatted=True,
        notify_queued=True,
        notify_delivered=True,
        notify_read=True,
        answers="push",
        deliver_before=True,
        version="1.1",
    )
    said = read.operation
    assert isinstance(said, m.SubmitRequest)
    assert said.originator == m.Originator(
        sender_id=m.WctpId("st-anne"),
        security_code=m.WctpSecret("K7-blue-91"),
        misc_info=m.WctpSecret("acct 4"),
    )
    control = said.control
    assert control.message_id == reports.message_id(WEB, REF, DEVICE)
    assert control.send_responses_to == "st-anne.example"
    assert (control.allow_response, control.allow_truncation, control.preformatted) == (False, True, True)
    assert control.notify_when_queued and control.notify_when_delivered and control.notify_when_read
    assert control.priority is m.Priority.HIGH
    assert control.deliver_before == datetime(2027, 1, 1, 1, tzinfo=UTC)
    assert said.payload == m.Alphanumeric(text=m.WctpText("Ward 4 bed 7"))
    assert (read.spelling, read.doctype) == ("wctp-dtd-v1r1", codec.DOCTYPES[m.Version.V1_1])
    assert (request.method, request.path, request.query) == ("POST", "/wctp", {"F": ["x"]})
    assert request.header("content-type") == "text/xml; charset=utf-8"
    assert request.header("connection") == "close"
    assert isinstance(outcome, Taken)
    assert [(one.scope, one.ref, one.enquire_at) for one in outcome.refs] == [(WEB, REF, None)]


def test_a_transient_page_on_the_wire() -> None:
    """No messageID, the password in miscInfo, and no reference where the carrier gave no number."""
    outcome, request, read = Carrier().send(
        mode="transient",
        answers="query",
        security_code=Secret("K7"),
        doctype="none",
        declaration="plain",
        version="WCTP-DTD-V1R3",
        login="gw",
        password=Secret("open sesame"),
    )
    assert isinstance(read.operation, m.SubmitClientMessage)
    assert read.operation.originator.misc_info == "K7"
    assert (read.doctype, read.spelling) == (None, "WCTP-DTD-V1R3")
    assert request.body.startswith(b'<?xml version="1.0"?>\n<wctp-Operation')
    assert request.header("authorization") == "Basic Z3c6b3BlbiBzZXNhbWU="
    assert request.header("content-type") == "text/xml"
    assert isinstance(outcome, Taken) and outcome.refs == ()


@pytest.mark.parametrize(
    ("cls", "word"),
    [
        (MessageClass.CRITICAL, m.Priority.HIGH),
        (MessageClass.URGENT, m.Priority.HIGH),
        (MessageClass.NORMAL, m.Priority.NORMAL),
        (MessageClass.BULK, m.Priority.LOW),
    ],
)
def test_the_class_is_told_as_priority(cls: MessageClass, word: m.Priority) -> None:
    """Unless a carrier does not want it."""
    for told, expected in ((True, word), (False, m.Priority.NORMAL)):
        _, _, read = Carrier().send(page(message_class=cls), priority=told)
        assert isinstance(read.operation, m.SubmitRequest)
        assert read.operation.control.priority is expected


def test_replies_go_as_choices_or_behind_the_text() -> None:
    """Choices where devices have them; numbered where there is room, and it is said where there is none."""
    asked = page(replies=("OK", "Busy"))
    for keys, text, choices in (
        ({"choices": "mcr"}, "Ward 4 bed 7", ["OK", "Busy"]),
        ({"choices": "mcr", "version": "1.0"}, "Ward 4 bed 7", ["OK", "Busy"]),
        ({"choices": "text"}, "Ward 4 bed 7 1) OK 2) Busy", []),
        ({"choices": "text", "max_chars": 20}, "Ward 4 bed 7", []),
        ({"choices": "off"}, "Ward 4 bed 7", []),
    ):
        outcome, _, read = Carrier().send(asked, **keys)
        payload = read.operation.payload  # type: ignore[union-attr]
        assert payload.text == text
        assert [one.text for one in getattr(payload, "choices", ())] == choices
        assert outcome.warning == ("the page's replies had no room" if "max_chars" in keys else None)


def test_an_address_that_cannot_be_said_is_refused_before_anything_is_sent() -> None:
    """About the address, and the session takes the next page."""
    carrier = Carrier()

    async def story() -> Any:
        session = await carrier.link().open()
        return await session.submit(page(address="x\ny")), await session.submit(page())

    refused, taken = carrier.run(story())
    assert isinstance(refused, Refused) and refused.about.value == "address"
    assert isinstance(taken, Taken)
    assert len(carrier.heard) == 1


def test_a_kept_connection_carries_page_after_page() -> None:
    """Until the carrier ends it; then it is lost and takes nothing."""
    carrier = Carrier()

    async def story() -> Any:
        session = await carrier.link(persistent=True).open()
        outcomes = [await session.submit(page()) for _ in range(3)]
        carrier.answer = Response(status=200, body=b"<html>")
        outcomes.append(await session.submit(page()))
        return [*outcomes, await session.submit(page())], session.lost.called

    outcomes, lost = carrier.run(story())
    assert [type(one) for one in outcomes] == [Taken, Taken, Taken, InDoubt, NotSent]
    assert lost


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    """HTTP 1.0 servers: the document says itself whether it is whole."""
    whole = codec.write(m.Confirmation(result=m.success("taken")))
    for body, expected in ((whole, Taken), (whole[:-30], InDoubt)):
        world = World()

        class Old(Protocol):
            said = body

            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + self.said)
                self.transport.loseConnection()

        env = world.env("wctp.example")
        env.net.listen(CARRIER, Factory.forProtocol(Old))
        told = LinkSettings(adapter="wctp", own=own(url="http://wctp.example/wctp", http="1.0"))
        made = make_link(WEB, told, surroundings(world.env("10.9.0.1")))

        async def story(made: Any = made) -> Any:
            return await (await made.open()).submit(page())

        assert isinstance(run(world, story()), expected)


@pytest.mark.parametrize(
    ("answer", "reached", "says"),
    [
        (m.Confirmation(result=m.failure(m.Code.OPERATION_NOT_SUPPORTED, "what?")), True, "does not tell"),
        (
            m.VersionResponse(
                responder=m.WctpId("metro"), result=(m.DtdSupport(dtd_name=m.WctpId("wctp-dtd-v1r2")),)
            ),
            True,
            "as metro",
        ),
    ],
)
def test_a_probe_asks_for_the_versions_and_enters_nothing(
    answer: m.Operation, reached: bool, says: str
) -> None:
    """Not to know the question is no fault; who cannot be reached is."""
    carrier = Carrier()
    carrier.answer = Response(body=codec.write(answer))
    found = carrier.run(carrier.link().probe())
    assert isinstance(found, Findings)
    assert (found.reached, says in found.says) == (reached, True)
    assert [type(codec.read(one.body).operation) for one in carrier.heard] == [m.VersionQuery]  # type: ignore[union-attr]
    assert carrier.run(carrier.link(version="1.0").probe()).reached
    assert len(carrier.heard) == 1
    assert not carrier.run(carrier.link(url="http://nowhere.example/").probe()).reached


@settings(max_examples=25, deadline=None)
@given(
    st.text("abcdefghijklmnop <>&\"'é", min_size=12, max_size=40),
    st.from_regex(r"[A-Za-z0-9&<\"']{8,20}", fullmatch=True),
)
def test_nothing_private_stands_in_a_transcript(text: str, code: str) -> None:
    """Text, codes and passwords are hidden in the very form in which they go over the wire."""
    carrier = Carrier()
    made = carrier.link(security_code=Secret(code), login="gw", password=Secret(code))

    async def story() -> Any:
        session = await made.open()
        await session.submit(page(text=text, replies=("Yes, coming",)))
        return session.transcript()

    shown = "\n".join((*carrier.run(story()), *made.transcript()))
    assert "wctp-SubmitRequest" in shown
    for hidden in (text.strip(), code, "Yes, coming"):
        assert hidden not in shown
        assert hidden.replace("&", "&amp;").replace("<", "&lt;") not in shown


@pytest.mark.parametrize("how", ["whole", "no head", "too much", "cut", "chunks", "utf-16", "two answers"])
def test_what_people_answer_is_in_no_transcript_however_it_comes(how: str) -> None:
    """Answers that are no HTTP, too long, cut, in pieces or in another encoding have texts in them too."""
    hidden = "Room four is taken by someone else"
    polled = m.PollResponse(
        messages=(
            m.PolledMessage(
                sequence=m.WctpId("1"),
                content=m.MessageReply(header=header(), payload=m.Alphanumeric(text=m.WctpText(hidden))),
            ),
        )
    )
    body = codec.write(polled, codec.asking())
    if how == "utf-16":
        body = body.decode().replace("utf-8", "utf-16").replace("UTF-8", "utf-16").encode("utf-16")
    whole = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    cut = body.index(b"wctp-Alpha") + 40 if how != "utf-16" else 0
    chunks = b"".join(f"{len(one):x}\r\n".encode() + one + b"\r\n" for one in (body[:cut], body[cut:], b""))
    wire = {
        "no head": body,
        "too much": whole.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 300_000 + b"\r\n\r\n"),
        "cut": whole[: whole.index(hidden.encode()) + 24] if how == "cut" else b"",
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
        "two answers": whole + whole,
    }.get(how, whole)
    world = World()

    class Far(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(wire)
            self.transport.loseConnection()

    world.env("wctp.example").net.listen(CARRIER, Factory.forProtocol(Far))
    told = LinkSettings(adapter="wctp", own=own(url="http://wctp.example/wctp", answers="poll"))
    made: Any = make_link(WEB, told, surroundings(world.env("10.9.0.1")))
    with contextlib.suppress(AssertionError):  # there is nobody to report to
        run(world, made.fetch())
    shown = "\n".join(made.transcript())
    assert "PollForMessages" in shown and " < " in shown
    plain = shown.replace("\\x00", "")
    assert not any(word in plain for word in ("Room", "four", "taken", "someone"))


def test_a_document_that_never_ends_its_texts_takes_no_time() -> None:
    """Looking for what must be hidden takes one look."""
    for document in (b"<wctp-Choice" * 20_000, b"<wctp-Choice>" * 20_000, b"<wctp-Choice>x</" * 16_000):
        before = process_time()
        list(_texts(document))
        assert process_time() - before < 2.0


def test_a_carrier_that_quotes_a_page_of_several_lines_is_not_repeated() -> None:
    """It says them as one line."""
    carrier = Carrier()
    said = m.failure(m.Code.TOO_LONG, "cannot say: Mr Novak HIV test room 4")
    carrier.answer = Response(body=codec.write(m.Confirmation(result=said)))
    outcome, _, _ = carrier.send(page(text="Mr Novak\nHIV test\nroom 4"))
    assert "Novak" not in outcome.why and "HIV" not in outcome.why


# ---------------------------------------------------------------- names and devices


def test_a_message_id_leads_to_link_and_device() -> None:
    """At most 32 characters; only the device that was paged, over the link that paged it."""
    links = {WEB: link(), OTHER: link()}
    name = reports.message_id(WEB, "8h2k0qzt-fffffffffffffff", DEVICE)
    assert len(name) == 32
    for device in (DEVICE, "+5550104477", "555 010-4477", "(555) 010.4477"):
        found = reports.whose(name, (device,), links)
        assert found is not None and (found.link, found.ref) == (WEB, "8h2k0qzt-fffffffffffffff")
    assert reports.whose(name.upper(), (None, DEVICE), links) is not None
    assert reports.whose(name, ("5550104478", None, ""), links) is None
    assert reports.whose(name, (DEVICE,), {OTHER: link()}) is None
    for other in ("", "-", name[:-1], "7", "x" * 300):
        assert reports.whose(other, (DEVICE,), links) is None


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_name_and_no_device_breaks_the_reader(name: str, device: str) -> None:
    """Whatever a carrier writes there."""
    assert reports.whose(name, (device,), {WEB: link()}) is None


# ---------------------------------------------------------------- the door


class Door:
    """A door in a simulated world, and a carrier that comes to it. *trouble*: what the store raises."""

    def __init__(self, **keys: Any) -> None:
        self.world = World()
        self.links = {WEB: link(), OTHER: link(choices="text")}
        self.heard: list[tuple[LinkName, Evidence]] = []
        self.trouble: Exception | None = None
        assert ADAPTER.listener is not None
        self.env = self.world.env("10.9.0.1")
        self.door = ADAPTER.listener.make(
            WctpListen(**({"at": AT, "secret": Secret(SECRET)} | keys)),
            Doorway(
                links=lambda: self.links,
                env=self.env,
                reception=self,  # type: ignore[arg-type]  # report is all that a door asks for
            ),
        )
        self.run(self.door.start())

    async def report(self, name: LinkName, evidence: Evidence) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.heard.append((name, evidence))

    def run(self, story: Coroutine[Any, Any, Any]) -> Any:
        return run(self.world, story)

    def say(self, data: bytes, comes_from: str = "192.0.2.7") -> bytes:
        """What is answered to *data*, which is followed by the end of our side."""
        heard = bytearray()
        gone: Deferred[None] = Deferred()

        class Raw(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(data)

            def dataReceived(self, data: bytes) -> None:
                heard.extend(data)

            def connectionLost(self, reason: Any = None) -> None:
                gone.callback(None)

        async def story() -> None:
            host, _, port = AT.rpartition(":")
            env = self.world.env(comes_from)
            await env.net.client(Address(host=host, port=int(port)), open_timeout=5.0).connect(
                Factory.forProtocol(Raw)
            )
            await gone

        self.run(story())
        return bytes(heard)

    def connections(self) -> int:
        """How many were made or tried, by anybody."""
        return sum("connect" in line for line in self.world.recent)

    def post(self, body: bytes, path: str = f"/wctp/{SECRET}", **how: Any) -> tuple[int, m.Document]:
        """HTTP status and document that answer a POST of *body*."""
        head = f"POST {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        answer = self.say(head + body, **how)
        assert b"Content-Type: text/xml; charset=utf-8\r\n" in answer
        read = codec.read(answer.partition(b"\r\n\r\n")[2])
        assert isinstance(read, m.Document), answer
        return int(answer[9:12]), read

    def result(self, body: bytes, **how: Any) -> tuple[int, int | None]:
        """HTTP status and WCTP code."""
        status, read = self.post(body, **how)
        assert isinstance(read.operation, m.Confirmation)
        assert read.operation.result.text and read.operation.result.detail
        return status, read.operation.result.code


def header(**changes: Any) -> m.ResponseHeader:
    fields: dict[str, Any] = {
        "originator": m.Originator(sender_id=m.WctpId(DEVICE)),
        "control": m.MessageControl(message_id=m.MessageId("r1")),
        "recipient": m.Recipient(recipient_id=m.WctpId("st-anne")),
        "response_to": reports.message_id(WEB, REF, DEVICE),
    }
    return m.ResponseHeader(**fields | changes)


def status(event: m.Event | m.Failure = m.Event.DELIVERED, dialect: Any = None, **changes: Any) -> bytes:
    result = event if isinstance(event, m.Failure) else m.Notification(event=event)
    return codec.write(m.StatusInfo(header=header(**changes), result=result), dialect or codec.asking())


def reply(text: str = "OK", payload: m.Payload | None = None, **changes: Any) -> bytes:
    said = payload or m.Alphanumeric(text=m.WctpText(text))
    return codec.write(m.MessageReply(header=header(**changes), payload=said), codec.asking())


@pytest.mark.parametrize(
    ("event", "state", "level", "setback"),
    [
        (m.Event.QUEUED, "queued", Level.IN_PROGRESS, None),
        (m.Event.DELIVERED, "delivered", Level.ON_DEVICE, None),
        (m.Event.READ, "read", Level.READ, None),
        (m.failure(m.Code.EXPIRED, "too late"), "failed 501", None, "501 too late"),
    ],
)
def test_what_a_status_proves(event: Any, state: str, level: Level | None, setback: str | None) -> None:
    """No more than was said."""
    door = Door()
    assert door.result(status(event)) == (200, 200)
    ((name, one),) = door.heard
    assert (name, one.scope, one.ref) == (WEB, WEB, REF)
    assert (one.state, one.level, one.setback) == (state, level, setback)


def test_a_type_nobody_knows_proves_nothing() -> None:
    """It is taken, so that it does not come again."""
    door = Door()
    assert door.result(status().replace(b"DELIVERED", b"IHEPCDCALLBACKSTART")) == (200, 200)
    assert [one.level for _, one in door.heard] == [None]


def test_a_reply_is_a_persons_answer() -> None:
    """On one line; a number is a choice only where the replies went out numbered."""
    door = Door()
    assert door.result(reply("  on\n my way ")) == (200, 200)
    assert door.result(reply("2")) == (200, 200)
    numbered = reports.message_id(OTHER, REF, DEVICE)
    assert door.result(reply("2)", response_to=numbered)) == (200, 200)
    told = [(name, one.reply, one.choice, one.level) for name, one in door.heard]
    assert told == [
        (WEB, "on my way", None, Level.READ),
        (WEB, "2", None, Level.READ),
        (OTHER, "2)", 2, Level.READ),
    ]
    assert len({one.state for _, one in door.heard}) == 3


def test_b35_what_is_no_wctp_is_told_so() -> None:
    """301 for what is not well-formed, 302 for what is no document of WCTP, 300 for what is not served."""
    door = Door()
    for body, code in (
        (b"", 301),
        (b"hello", 301),
        (status()[:-30], 301),
        (b"<html></html>", 302),
        (b"<wctp-Operation wctpVersion='1.3'/>", 302),
        (b"<wctp-Operation wctpVersion='1.3'><wctp-Nonsense/></wctp-Operation>", 300),
    ):
        assert door.result(body) == (200, code), body
    assert door.heard == []


def test_b36_the_usual_doctype_is_accepted_and_not_fetched() -> None:
    """Real carriers send it; what it names is a text."""
    door = Door()
    assert b"<!DOCTYPE" in status()
    assert door.result(status()) == (200, 200)
    assert door.connections() == 1  # the carrier, to us


BOMB = b'<!DOCTYPE wctp-Operation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "doctype",
    [
        BOMB,
        b"<!DOCTYPE wctp-Operation []>",
        b'<!DOCTYPE wctp-Operation [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE wctp-Operation [<!ENTITY % x SYSTEM "http://169.254.169.254/"> %x;]>',
    ],
)
def test_b37_b38_entities_are_refused_unread(doctype: bytes) -> None:
    """302 before anything is expanded; no file, no connection."""
    door = Door()
    body = re.sub(rb"<!DOCTYPE[^>]*>", lambda _: doctype, reply("&b;"))
    assert door.result(body) == (200, 302)
    assert door.connections() == 1


@pytest.mark.parametrize(
    "inside",
    [
        b"<wctp-a>" * 30_000,
        b"<wctp-a b='" + b"x" * 200_000 + b"'/>",
        b"<wctp-a " + b" ".join(b"a%d='1'" % n for n in range(10_000)) + b"/>",
    ],
)
def test_b39_depth_and_attributes_are_limited(inside: bytes) -> None:
    """302, whatever would have come after it."""
    assert Door().result(b"<wctp-Operation wctpVersion='1.3'>" + inside) == (200, 302)


def test_b40_other_encodings_are_read_as_declared() -> None:
    """UTF-16 without a mark, Latin-1 that is none but is declared; UTF-7 is no encoding here."""
    text = re.sub(r"<\?xml.*\?>\n", "", reply("Zoë").decode())
    for data, code in (
        (('<?xml version="1.0" encoding="UTF-16"?>' + text).encode("utf-16-le"), 200),
        (('<?xml version="1.0" encoding="iso-8859-1"?>' + text).encode("iso-8859-1"), 200),
        (('<?xml version="1.0" encoding="iso-8859-1"?>' + text).encode("utf-8"), 200),
        (('<?xml version="1.0" encoding="utf-7"?>' + text).encode("utf-7"), 301),
    ):
        assert Door().result(data) == (200, code), data[:60]


def test_b41_an_unknown_version_is_told_so_and_a_known_one_is_echoed() -> None:
    """303; a carrier hears its own spelling."""
    door = Door()
    assert door.result(status().replace(b'wctpVersion="wctp-dtd-v1r3"', b'wctpVersion="wctp-dtd-v7r7"')) == (
        200,
        303,
    )
    for spelling in ("WCTP-DTD-V1R3", "1.0", "wctp-dtd-v1r1.dtd"):
        body = status(dialect=codec.Dialect(spelling=spelling))
        assert door.post(body)[1].spelling == spelling


def test_b42_who_must_not_come_in_is_told_so_in_wctp() -> None:
    """401 for another way in, 402 for another code, 504 for what is no page of ours to this device."""
    door = Door(security_code=Secret("K7-blue-91"), networks=("192.0.2.0/24",))
    known = m.Originator(sender_id=m.WctpId(DEVICE), security_code=m.WctpSecret("K7-blue-91"))
    stranger = m.Originator(sender_id=m.WctpId("5550109999"), security_code=m.WctpSecret("K7-blue-91"))
    good = status(originator=known)
    for path in ("/wctp", "/wctp/", f"/other/{SECRET}", f"/wctp/{SECRET.upper()}", f"/wctp/{SECRET}x", "/"):
        assert door.result(good, path=path) == (404, 401), path
    assert door.result(good, comes_from="198.51.100.7") == (404, 401)
    assert door.result(status()) == (200, 402)
    assert door.result(status(originator=stranger)) == (200, 504)
    assert door.result(status(originator=known, response_to=m.MessageId("20261121-000042"))) == (200, 504)
    assert door.heard == []
    assert door.result(status(originator=stranger, on_behalf_of=m.WctpId(DEVICE))) == (200, 200)
    for path in (f"/WCTP/{SECRET}", f"/wctp/{SECRET}/?F=generic"):
        assert door.result(good, path=path) == (200, 200), path


@pytest.mark.parametrize(
    ("comes_from", "status"), [("192.0.2.7", 200), ("::ffff:192.0.2.7", 200), ("::ffff:192.0.3.7", 404)]
)
def test_a_network_is_known_again_at_a_door_for_both_kinds_of_addresses(comes_from: str, status: int) -> None:
    """At ``[::]:8088`` an IPv4 address comes as one of IPv6."""
    door = Door(networks=("192.0.2.0/24",))
    request = Request(method="POST", path=f"/wctp/{SECRET}", body=reply(), peer=Peer(address=comes_from))
    assert door.run(door.door._handle(request)).status == status  # type: ignore[attr-defined]


def test_b42_only_links_whose_answers_come_back_are_pushed_about() -> None:
    """A link that asks, or wants nothing, has no pages here; nor has one that left the settings."""
    door = Door()
    for keys, code in (({"answers": "poll"}, 200), ({"answers": "none"}, 504)):
        door.links = {WEB: link(**keys)}
        assert door.result(status()) == (200, code)
    door.links = {}
    assert door.result(status()) == (200, 504)


def test_b43_the_times_of_a_report_decide_nothing_but_must_be_times() -> None:
    """Nothing is to be delivered, and carriers copy the page's own times there: past or contradictory, a
    person's answer is taken. What is no time at all is 405."""
    past = datetime(2001, 1, 1, tzinfo=UTC)
    control = m.MessageControl(
        message_id=m.MessageId("r1"), deliver_before=past, deliver_after=datetime(2002, 1, 1, tzinfo=UTC)
    )
    door = Door()
    assert door.result(reply(control=control)) == (200, 200)
    assert door.result(reply(control=control).replace(b"2001-01-01", b"2001-13-01")) == (200, 405)
    assert len(door.heard) == 1


def test_b44_ids_must_be_ids() -> None:
    """302 for a messageID that is missing, has a kilobyte, or holds markup."""
    door = Door()
    good = status(control=m.MessageControl(message_id=m.MessageId("r1-id")))
    for body in (
        good.replace(b' messageID="r1-id"', b""),
        good.replace(b"r1-id", b"x" * 1024),
        good.replace(b"r1-id", b"&lt;b&gt;"),
        re.sub(rb' responseToMessageID="[^"]*"', b"", good),
        re.sub(rb'responseToMessageID="[^"]*"', b'responseToMessageID="' + b"x" * 1024 + b'"', good),
    ):
        assert door.result(body) == (200, 302)
    assert door.heard == []


def test_b45_the_same_push_again_is_the_same_evidence() -> None:
    """Success again; scope, ref and state are those of the first one. Another reply is another one."""
    door = Door()
    for body in (
        reply(),
        reply(),
        reply(control=m.MessageControl(message_id=m.MessageId("r2"))),
        status(),
        status(),
    ):
        assert door.result(body) == (200, 200)
    states = [(one.scope, one.ref, one.state) for _, one in door.heard]
    assert len(states) == 5
    assert len(set(states)) == 3


def test_b46_garbage_in_transparent_data_is_told_so() -> None:
    """430: base64 that is none, and octets that are no text. Text in base64 is a reply."""
    door = Door()
    good = reply(payload=m.TransparentData(data=b"on my way"))
    assert door.result(good) == (200, 200)
    assert [one.reply for _, one in door.heard] == ["on my way"]
    assert door.result(good.replace(b"b24gbXkgd2F5", b"b24gb!!!")) == (200, 430)
    assert door.result(reply(payload=m.TransparentData(data=b"\xff\xfe\0x"))) == (200, 430)


def test_b47_an_address_in_a_push_is_never_connected_to() -> None:
    """sendResponsesToID, senderID of whoever answers for the device, the DOCTYPE."""
    door = Door()
    control = m.MessageControl(
        message_id=m.MessageId("r1"), send_responses_to=m.WctpId("http://169.254.169.254/")
    )
    originator = m.Originator(sender_id=m.WctpId("http://10.0.0.1/wctp"))
    body = status(control=control, originator=originator, on_behalf_of=m.WctpId(DEVICE))
    assert door.result(body) == (200, 200)
    assert door.connections() == 1


def test_the_versions_are_told_and_nothing_else_is_served() -> None:
    """300 for every other operation, a device's own messages among them."""
    door = Door()
    _, read = door.post(codec.write(m.VersionQuery(inquirer=m.WctpId("metro")), codec.asking()))
    assert isinstance(read.operation, m.VersionResponse)
    assert [one.dtd_name for one in read.operation.result] == list(codec.NAMES_OF_VERSIONS.values())  # type: ignore[union-attr]
    assert read.operation.inquirer == "metro"
    originated = m.SubmitRequest(
        originator=m.Originator(sender_id=m.WctpId(DEVICE)),
        control=m.MessageControl(message_id=m.MessageId("1")),
        recipient=m.Recipient(recipient_id=m.WctpId("st-anne")),
        payload=m.Alphanumeric(text=m.WctpText("hello")),
    )
    for operation in (
        originated,
        m.ReturnToSvc(address=m.WctpId("http://10.0.0.1/wctp")),
        m.Confirmation(result=m.success("?")),
        m.PollForMessages(poller_id=m.WctpId("x")),
    ):
        assert door.result(codec.write(operation, codec.asking())) == (200, 300)
    assert door.heard == []


def test_what_http_refuses_has_a_body_of_wctp() -> None:
    """405 with Allow, 413 before the body is read, 400 for what is no HTTP."""
    door = Door()
    for said, code, failure in (
        (f"GET /wctp/{SECRET} HTTP/1.0\r\n\r\n", b"405", 300),
        (f"POST /wctp/{SECRET} HTTP/1.0\r\nContent-Length: 300000\r\n\r\n", b"413", 302),
        ("nonsense\r\n\r\n", b"400", 301),
    ):
        answer = door.say(said.encode())
        assert answer[9:12] == code
        assert (b"\r\nAllow: POST\r\n" in answer) is (code == b"405")
        read = codec.read(answer.partition(b"\r\n\r\n")[2])
        assert isinstance(read, m.Document) and isinstance(read.operation, m.Confirmation)
        assert read.operation.result.code == failure


def test_a_report_that_cannot_be_recorded_comes_again() -> None:
    """606 until it is on record; then success."""
    door = Door()
    door.trouble = StoreFailed("the disk is gone")
    assert door.result(status()) == (200, 606)
    door.trouble = None
    assert door.result(status()) == (200, 200)
    assert len(door.heard) == 1


def test_stopping_answers_what_was_read() -> None:
    """A report under way is recorded and answered; the port is closed."""
    door = Door()
    slow: Deferred[None] = Deferred()
    record = door.report

    async def slowly(name: LinkName, evidence: Evidence) -> None:
        await slow
        await record(name, evidence)

    door.report = slowly  # type: ignore[method-assign]
    door.world.clock.callLater(1.0, lambda: Deferred.fromCoroutine(door.door.stop()))
    door.world.clock.callLater(3.0, slow.callback, None)
    assert door.result(status()) == (200, 200)
    assert len(door.heard) == 1
    assert AT not in door.world.listeners
