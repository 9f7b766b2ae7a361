"""Modem lines: pools, calls, trouble, and what is wrong with them as they are written."""

from __future__ import annotations

from typing import Any

import pytest
from link_fakes import Reports, surroundings
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from gateway.adapters.tap import ADAPTER, TapSettings
from gateway.app.adapters import specs
from gateway.env.simulated import SimulatedEnv, Weather, World, run
from gateway.errors import SettingsError
from gateway.lines import Lines, NoLine, with_parity
from gateway.model import DeliveryKey, LinkName, MessageClass, Page, PublicId, later
from gateway.outcome import InDoubt, NotSent, Taken
from gateway.settings import load
from gateway.settings.types import LineSettings, LinkSettings, Secret
from protocols.modem.messages import Heard, Word
from protocols.tap import messages as m
from tests.stories.phone import Phone

NUMBER, OTHER = "18005550100", "18005550101"
A, B = "/dev/serial/by-id/usb-A", "/dev/serial/by-id/usb-B"


class Office(Phone):
    """A machine with two modems, and the telephone network."""

    def __init__(self) -> None:
        super().__init__(World())
        self.env: SimulatedEnv = self.world.env("gateway")
        self.reports = Reports()
        self.lines = {
            "modem-1": LineSettings(pool="modems", serial=A, prefix="9,"),
            "modem-2": LineSettings(pool="modems", serial=B, prefix="9,"),
        }
        self.around = surroundings(self.env, self.lines, self.reports)
        for path in (A, B):
            self.plug(path)

    def link(self, *numbers: str, **own: Any) -> Any:
        settings = TapSettings(lines="modems", dial=numbers or (NUMBER, OTHER), **own)
        own = LinkSettings(adapter="tap", path="phone", own=settings)
        return ADAPTER.make_link(LinkName("spok.phone"), own, self.around)

    def text(self, n: int = 0) -> Page:
        return Page(
            delivery=DeliveryKey(n),
            public_id=PublicId(f"{n:026}"),
            correlation=f"c{n}",
            address="5551212",
            text=f"Bed {n}",
            message_class=MessageClass.URGENT,
            expires=later(self.env.now(), 600.0),
        )

    def play(self, story: Any) -> Any:
        return run(self.world, story)


@pytest.fixture
def office() -> Office:
    return Office()


async def sent(session: Any, page: Page) -> Any:
    outcome = await session.submit(page)
    await session.close()
    return outcome


def test_a_page_goes_out_by_a_modem(office: Office) -> None:
    """The port is opened, the modem set up, the number dialled behind its prefix; the terminal has the page, and
    afterwards the line is free again."""
    link = office.link()

    async def story() -> None:
        for n in range(2):
            outcome = await sent(await link.open(), office.text(n))
            assert isinstance(outcome, Taken), outcome
            assert outcome.refs
            assert office.env.clock.seconds() < 30 * (n + 1)

    office.play(story())
    assert office.dialled == [f"9,{NUMBER}"] * 2
    assert [(page.pager, page.text) for _, page in office.pages] == [
        ("5551212", "Bed 0"),
        ("5551212", "Bed 1"),
    ]


WORDS = {
    Word.BUSY: ("busy", OTHER),
    Word.NO_ANSWER: ("no-answer", OTHER),
    Word.NO_CARRIER: ("no-carrier", OTHER),
    Word.VOICE: ("voice", OTHER),
    Word.NO_DIALTONE: ("no-dialtone", NUMBER),
}


@pytest.mark.parametrize("word", WORDS)
def test_what_the_modem_says_is_told_apart(office: Office, word: Word) -> None:
    """A number that does not lead to a terminal gives way to the next one; a dead line does not blame it."""
    code, then = WORDS[word]
    says = [Heard(word=word)]
    office.says = lambda number: says.pop() if says else None
    link = office.link()

    async def story() -> None:
        failed = await link.open()
        assert isinstance(failed, NotSent)
        assert failed.code == code
        assert isinstance(await sent(await link.open(), office.text()), Taken)

    office.play(story())
    assert office.dialled == [f"9,{NUMBER}", f"9,{then}"]


def test_a_person_is_not_rung_up_again_and_again(office: Office) -> None:
    """A number where a person answered is not dialled for an hour; every other one is."""
    office.says = lambda number: Heard(word=Word.VOICE)
    link = office.link()

    async def story() -> list[str]:
        codes = []
        for _ in range(6):
            codes.append((await link.open()).code)
            await office.env.sleep(60.0)
        await office.env.sleep(3600.0)
        await link.open()
        return codes

    assert office.play(story()) == ["voice"] * 6
    assert office.dialled == [f"9,{NUMBER}", f"9,{OTHER}", f"9,{NUMBER}"]


def test_a_number_that_was_a_terminal_is_tried_again_soon(office: Office) -> None:
    """Modems mishear: where a terminal was before, a person is believed for a minute only."""
    says = [Heard(word=Word.VOICE), None]
    office.says = lambda number: says.pop() if says else None
    link = office.link(NUMBER)

    async def story() -> None:
        assert isinstance(await sent(await link.open(), office.text()), Taken)
        await office.env.sleep(5.0)
        assert (await link.open()).code == "voice"
        assert (await link.open()).code == "voice"
        assert len(office.dialled) == 2
        await office.env.sleep(61.0)
        assert isinstance(await sent(await link.open(), office.text(1)), Taken)

    office.play(story())


def test_a_line_with_trouble_gives_way_to_the_others(office: Office) -> None:
    """No dial tone on the first line: the next calls go by the second, until the first one has rested."""
    first: list[str] = []

    def dead(number: str) -> Heard:
        first.append(number)
        return Heard(word=Word.NO_DIALTONE)

    office.plug(A, dead)
    link = office.link()

    async def story() -> None:
        assert (await link.open()).code == "no-dialtone"
        for n in range(2):
            assert isinstance(await sent(await link.open(), office.text(n)), Taken)
        assert len(first) == 1
        failing, stands_in = office.around.lines.status()
        assert failing.trouble is not None
        assert (failing.trouble.code, failing.trouble.calls, failing.trouble.moved) == ("no-dialtone", 1, 2)
        assert (failing.trouble.lasting, stands_in.trouble) == (False, None)
        await office.env.sleep(61.0)
        office.plug(A)
        assert isinstance(await sent(await link.open(), office.text(3)), Taken)
        assert office.around.lines.status()[0].trouble is None

    office.play(story())


def test_a_port_is_used_again_soon_after_it_is_plugged_in(office: Office) -> None:
    """Unplugged in the middle of a call; missing; and within five seconds after it is back it is dialled by."""
    del office.lines["modem-2"]
    link = office.link()

    async def story() -> None:
        session = await link.open()
        office.world.unplug(A)
        await office.env.sleep(0.1)
        assert session.lost.called
        assert isinstance(await session.submit(office.text()), NotSent)
        await session.close()
        missing = await link.open()
        assert (missing.code, A in missing.why) == ("port-missing", True)
        office.plug(A)
        assert isinstance(await sent(await link.open(), office.text()), Taken)

    office.play(story())


def test_one_call_at_a_time(office: Office) -> None:
    """A second call by the same line waits until the first one is over, or is told so."""
    del office.lines["modem-2"]
    one, other = office.link(), office.link()

    async def story() -> None:
        session = await one.open()
        waiting = Deferred.fromCoroutine(other.open())
        await office.env.sleep(20.0)
        assert not waiting.called
        await session.close()
        second = await waiting
        third = await one.open()
        assert third.code == "line-busy"
        await second.close()

    office.play(story())


def test_another_program_on_the_port(office: Office) -> None:
    """Whoever has the port is left alone; the call is not sent."""
    lines = dict(office.lines)
    del office.lines["modem-2"]

    async def story() -> None:
        held = await Lines(lambda: lines, office.env).take("modems", within=0.0)
        assert not isinstance(held, NoLine)
        assert not isinstance(await held.call(NUMBER), NoLine)
        refused = await office.link().open()
        assert refused.code == "port-busy"
        await held.put_back()

    office.play(story())


def test_what_a_terminal_takes_back_at_log_off(office: Office) -> None:
    """RS after EOT is a setback of the page of this call, or of each of them: it is not said which."""
    office.regret = m.answer_of(511, control=m.Control.RS)
    link = office.link()

    async def story(pages: int) -> list[str]:
        session = await link.open()
        refs = []
        for n in range(pages):
            refs += [ref.ref for ref in (await session.submit(office.text(n))).refs]
        await session.close()
        return refs

    for pages in (1, 3):
        office.reports.heard.clear()
        refs = office.play(story(pages))
        assert [one.ref for one in office.reports.heard] == refs
        assert len(set(refs)) == pages
        assert all("511" in (one.setback or "") for one in office.reports.heard)


def test_a_full_call_costs_a_page_nothing(office: Office) -> None:
    """112 to a page after others: the next call takes it at once; 112 to the first one is a failure."""
    full = m.answer_of(112)
    office.answers = [m.answer_of(211), full, full]
    link = office.link()

    async def story() -> list[NotSent]:
        session = await link.open()
        assert isinstance(await session.submit(office.text()), Taken)
        again = await session.submit(office.text(1))
        assert session.left == 0
        await session.close()
        return [again, await sent(await link.open(), office.text(1))]

    assert [(one.code, one.again) for one in office.play(story())] == [
        ("call-limit", True),
        ("call-limit", False),
    ]


def test_a_lost_answer_is_asked_for_once_and_then_a_doubt(office: Office) -> None:
    """The terminal answers nobody: the same block twice, never more; nobody knows whether it was taken."""
    office.silent = True
    outcome = office.play(_only_one(office))
    assert isinstance(outcome, InDoubt)
    assert len(office.pages) == 1  # our terminal knows a repeated block; another one may take two


async def _only_one(office: Office) -> Any:
    return await sent(await office.link().open(), office.text())


def test_what_was_said_is_kept_without_texts_and_secrets(office: Office) -> None:
    """The dialogue of a page can be looked at: logon, answers, and … for what is nobody's business."""
    office.answers = [m.Answer(m.Control.ACK, (m.Message(211, ("Bed 0 for sesame51 is taken",)),))]
    link = office.link(password=Secret("sesame51"))

    async def story() -> str:
        session = await link.open()
        outcome = await session.submit(office.text())
        said = [*session.transcript(), *link.transcript(), repr(outcome)]
        await session.close()
        return "\n".join(said)

    said = office.play(story())
    assert "ID=" in said and "211" in said and "PG1" in said
    assert "Bed 0" not in said and "sesame51" not in said


def test_unplugged_at_every_byte(office: Office) -> None:
    """Wherever the plug is pulled: what was not sent is called so, and what was taken too."""
    del office.lines["modem-2"]
    link = office.link(NUMBER)

    async def story(weather: Weather) -> type:
        office.world.set_weather(A, weather)
        office.pages.clear()
        opened = await link.open()
        outcome = opened if isinstance(opened, NotSent) else await sent(opened, office.text())
        await office.env.sleep(30.0)
        if isinstance(outcome, NotSent):
            assert not office.pages, weather
        elif isinstance(outcome, Taken):
            assert len(office.pages) == 1, weather
        else:
            assert isinstance(outcome, InDoubt), outcome
        return type(outcome)

    for ending in ("reset", "close"):
        for side in ("cut_sent", "cut_heard"):
            cuts = (Weather(ending=ending, **{side: n}) for n in range(400))
            met = []
            for weather in cuts:
                met.append(office.play(story(weather)))
                if met[-5:] == [Taken] * 5:  # the call was over before
                    break
            assert met[0] is NotSent
            assert met[-1] is Taken
            assert InDoubt in met


def test_probe_of_a_line(office: Office) -> None:
    """The port opens, the modem answers, there is a dial tone; nothing is dialled, and the line is free again."""
    lines = Lines(lambda: office.lines, office.env)

    async def story() -> None:
        found = await lines.probe("modem-1")
        assert isinstance(found, dict)
        assert (found["modem"], found["dial tone"]) == ("answers", "yes")
        office.world.unplug(B)
        missing = await lines.probe("modem-2")
        assert isinstance(missing, NoLine)
        assert missing.code == "port-missing"
        assert isinstance(await lines.take("modems", within=0.0), object)

    office.play(story())
    assert office.dialled == []


def test_a_line_is_free_whatever_became_of_who_talked(office: Office) -> None:
    """Also if that one breaks when it hears of the end: nobody could dial by the line any more."""
    lines = Lines(lambda: office.lines, office.env)

    class Breaks(Protocol):
        def connectionLost(self, reason: Any = None) -> None:
            raise ZeroDivisionError

    office.lines["modem-1"] = LineSettings(pool="modems", serial=A, modem=False)
    del office.lines["modem-2"]

    async def story() -> None:
        line = await lines.take("modems", within=0.0)
        assert not isinstance(line, NoLine)
        endpoint = await line.call("")
        assert not isinstance(endpoint, NoLine)
        await endpoint.connect(Factory.forProtocol(Breaks))
        wire = line._watched._wire
        assert wire is not None
        with pytest.raises(ZeroDivisionError):
            wire.connectionLost()
        await line.put_back()
        assert office.env.clock.seconds() < 1.0
        assert not isinstance(await lines.take("modems", within=0.0), NoLine)

    office.play(story())


def test_a_line_is_free_though_its_port_never_closes(office: Office) -> None:
    """A server of TLS that does not say goodbye, a driver that hangs: it is given up after half a minute."""
    lines = Lines(lambda: office.lines, office.env)
    del office.lines["modem-2"]

    async def story() -> None:
        line = await lines.take("modems", within=0.0)
        assert not isinstance(line, NoLine)
        line._watched.wire(Protocol())  # one that is never told that it is gone
        waiting = Deferred.fromCoroutine(line.put_back())
        await office.env.sleep(60.0)
        assert waiting.called
        assert not isinstance(await lines.take("modems", within=0.0), NoLine)

    office.play(story())


def test_probe_of_a_link_is_a_whole_call(office: Office) -> None:
    """Up to the go-ahead; no page."""
    found = office.play(office.link().probe())
    assert (found.reached, found.capabilities["version"], found.capabilities["line"]) == (
        True,
        "1.8",
        "modem-1",
    )
    assert office.pages == []


def test_parity_bits_are_reckoned() -> None:
    """An even number of ones in every byte, or an odd one; a CR with even parity is 8D."""
    assert with_parity(b"\r\x03A", 0) == b"\x8d\x03A"
    assert with_parity(b"\r\x03A", 1) == b"\x0d\x83\xc1"
    for odd in (0, 1):
        assert all(one.bit_count() % 2 == odd for one in with_parity(bytes(range(128)), odd))
    assert with_parity(bytes(range(128, 256)), 0) == with_parity(bytes(range(128)), 0)


# As they are written

SETTINGS = """
clients: {monitoring: {may_page: [everyone]}}
people: {alice: {name: Alice, devices: {pager: "spok:5551212"}}}
carriers: {spok: {links: {phone: LINK}}}
lines:
  modem-1: {pool: modems, serial: /dev/serial/by-id/usb-A, prefix: "9,"}
  modem-2: LINE
"""
GOOD_LINK = "{adapter: tap, lines: modems, dial: [18005550100]}"
GOOD_LINE = "{pool: modems, rfc2217: 10.1.2.9:4001}"


def mistakes(link: str = GOOD_LINK, line: str = GOOD_LINE, device: str = "5551212") -> str:
    text = SETTINGS.replace("LINK", link).replace("LINE", line).replace("5551212", device)
    try:
        load(text, specs(), file="gateway.yaml", read=lambda path: b"sesame", environ={"P": "se same"})
    except SettingsError as error:
        return str(error)
    return ""


def test_lines_and_a_link_that_dials_by_them() -> None:
    """A site's own lines; a link that dials out needs the telephone, and nobody has to say so."""
    assert mistakes() == ""
    text = SETTINGS.replace("LINK", GOOD_LINK).replace("LINE", GOOD_LINE)
    settings = load(text, specs(), file="gateway.yaml", read=lambda path: b"", environ={})
    assert settings.carriers["spok"].links["phone"].path == "phone"
    assert settings.lines["modem-2"] == LineSettings(pool="modems", rfc2217="10.1.2.9:4001")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{pool: modems, serial: /dev/serial/by-id/usb-A}", "lines.modem-2.serial: this port is also at lines.modem-1.serial"),
        ("{pool: modems}", "lines.modem-2.serial: says nowhere where the line is"),
        ("{pool: modems, serial: /dev/x, tcp: 'a:1'}", "lines.modem-2.tcp: stands beside serial"),
        ("{pool: modems, serial: COM1}", "lines.modem-2.serial: is not the path of a port"),
        ("{pool: modems, serial: /dev/x, init: ATD911}", "lines.modem-2.init: modem command is not AT and settings"),
        ("{pool: modems, serial: /dev/x, prefix: '9;'}", "lines.modem-2.prefix: dial prefix or suffix has ';' at position 2"),
        ("{pool: modems, serial: /dev/x, prefix: '9,1'}", 'dial: "18005550100" by line modem-2: phone number begins with 911'),
        ("{pool: modems, serial: /dev/x, never_dial: ['1800']}", "begins with 1800, which is never dialled"),
        ("{pool: modems, serial: /dev/x, framing: 8N1, software_parity: true}", "8N1 has no parity"),
        ("{pool: modems, serial: /dev/x, tls_name: a}", "lines.modem-2.tls_name: is of no use without tls"),
    ],
)  # fmt: skip
def test_mistakes_of_lines(line: str, said: str) -> None:
    """Each is named with its place."""
    assert said in mistakes(line=line)


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("{adapter: tap, lines: modem, dial: [18005550100]}", 'links.phone.lines: there is no pool "modem". There are: modems.'),
        ("{adapter: tap, lines: modems}", "links.phone.dial: is missing: its lines are modems"),
        ("{adapter: tap}", "links.phone.lines: a link has either lines or at"),
        ("{adapter: tap, lines: modems, at: 'tcp:a:1', dial: [18005550100]}", "a link has either lines or at"),
        ("{adapter: tap, at: 'a:1'}", "links.phone.at: is neither tcp: nor tls:"),
        ("{adapter: tap, at: 'tcp:a'}", "links.phone.at: is not host:port"),
        ("{adapter: tap, at: 'tcp:a:1', password: {env: P}}", "links.phone.password: cannot be a password of TAP"),
        ("{adapter: tap, at: 'tcp:a:1', max_chars: 240}", "links.phone.max_chars: does not fit into one block of 250"),
        *(
            (f"{{adapter: tap, lines: modems, dial: ['{number}']}}", why)
            for number, why in (
                ("1800555;0100", "has ';' at position 8"),
                ("1800^5550100", "has '^' at position 5"),
                ("18005550100@", "has '@' at position 12"),
                ("W18005550100", "has 'W' at position 1"),
                ("18005550100!", "has '!' at position 12"),
                ("18005550100&F", "has '&' at position 12"),
                ("+1+2", "has '+' at position 3"),
                ("+18005550100", "begins with +, and no rule says what that becomes"),
                ("112", "3 digits"),
                ("911555000", "begins with 911"),
            )
        ),
    ],
)  # fmt: skip
def test_mistakes_of_links(link: str, said: str) -> None:
    """A number that cannot be dialled is refused when the file is read, with the position of what is wrong."""
    assert said in mistakes(link=link)


def test_a_remedy_is_about_what_is_wrong() -> None:
    """A prefix that cannot be dialled does not blame the number; an ordinary number can be let through."""
    assert "links.phone.dial" not in mistakes(line="{pool: modems, serial: /dev/x, prefix: '9;'}")
    said = mistakes(link="{adapter: tap, lines: modems, dial: ['112555000']}")
    assert "write its beginning into may_dial of the line" in said


@pytest.mark.parametrize("address", ["12AT", "123,456", "1" * 40])
def test_b71_a_device_that_cannot_be_said_is_found_in_the_settings(address: str) -> None:
    """A call would be made for it in vain."""
    assert "people.alice.devices.pager: TAP cannot say it: pager ID" in mistakes(device=address)
