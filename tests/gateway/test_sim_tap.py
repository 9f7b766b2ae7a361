"""The simulated TAP terminal, called by our own entry device, through our own modem where it has one.

On the simulated clock: minutes of line time pass in milliseconds.
"""

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from gateway.env import Address
from gateway.env.simulated import SimulatedEnv, run
from gateway.sim.tap import Dialling, Refusal, SimulatedTap, TapQuirks, Way
from gateway.sim.truth import Truth
from protocols.modem.client import Modem
from protocols.modem.messages import Connected, DialString, NotConnected, PhoneNumber, Ready, Word
from protocols.modem.session import Manner as ModemManner
from protocols.tap import codec
from protocols.tap import messages as m
from protocols.tap import session as s
from protocols.tap.client import Conversation
from protocols.tap.messages import Farewell, InDoubt, Later, NotSent, Page, PagerId, Refused, Taken
from protocols.timed import Drained, at_once, paced

NUMBER = DialString(number=PhoneNumber("18005550100"))
HERE = Address(host="127.0.0.1", port=10001)


def page(text: str = "hello world", pager: str = "5551234") -> Page:
    return Page(pager=PagerId(pager), fields=codec.fields_of(text))


class Scene:
    """A terminal with *quirks*, and who calls it."""

    def __init__(self, baud: int | None = None, modem: bool = False, **quirks: Any) -> None:
        self.env = SimulatedEnv()
        self.baud = baud
        self.truth = Truth()
        self.terminal = SimulatedTap(self.env, TapQuirks(**quirks), self.truth, baud=baud, modem=modem)
        self.run(self.terminal.listen(str(HERE)))

    def run(self, coroutine: Coroutine) -> Any:
        return run(self.env.world, coroutine)

    @property
    def now(self) -> float:
        return self.env.clock.seconds()

    def endpoint(self) -> Any:
        return self.env.net.client(HERE, open_timeout=10.0)

    def caller(self, **how: Any) -> Conversation:
        """Our entry device on a direct line."""
        return Conversation(self.endpoint(), self.env.clock, drained=self.drained(), **how)

    def drained(self) -> Drained:
        """What the caller knows of the line's speed."""
        return paced(self.env.clock, self.baud) if self.baud else at_once

    def open(self, **how: Any) -> s.Opened | s.NotOpened:
        """How the first step of a call goes."""

        async def opening() -> Any:
            call = self.caller(**how)
            opened = await call.open()
            await call.quit()
            return opened

        return self.run(opening())

    def call(self, *pages: Page, **how: Any) -> list[m.Result | Farewell]:
        """One call: what became of each page, and how it ended."""

        async def calling() -> list[Any]:
            call = self.caller(**how)
            opened = await call.open()
            assert isinstance(opened, s.Opened), opened
            results: list[Any] = [await call.submit(one) for one in pages]
            return [*results, await call.quit()]

        return self.run(calling())

    def kinds(self, *pages: Page, **how: Any) -> list[type]:
        return [type(one) for one in self.call(*pages, **how)[:-1]]

    @property
    def texts(self) -> list[str]:
        return [copy.text for copy in self.truth.copies]


def test_a_page_reaches_the_pager_and_is_answered() -> None:
    """The truth is written before the yes, with pager and text; the terminal names its edition of TAP."""
    scene = Scene()
    assert scene.open().version == "1.8"
    assert scene.kinds(page("one"), page("two", "5559999")) == [Taken, Taken]
    assert [(copy.pager, copy.text, copy.answered) for copy in scene.truth.copies] == [
        ("5551234", "one", True),
        ("5559999", "two", True),
    ]


# The line


@pytest.mark.parametrize("baud", [300, 1200, 9600])
def test_octets_need_the_time_of_the_line(baud: int) -> None:
    """Ten bits for each, in both directions: a page takes as long as its block and its answer."""
    scene = Scene(baud=baud)

    async def paging() -> float:
        call = scene.caller()
        await call.open()
        began = scene.now
        assert isinstance(await call.submit(page("x" * 200)), Taken)
        took = scene.now - began
        await call.quit()
        return took

    block = codec.encode_page(page("x" * 200))[0]
    line = (len(block) + len(b"211 page accepted\r\x06")) * 10 / baud
    assert line <= scene.run(paging()) <= line + 0.1


def test_a_way_is_no_slower_for_late_timers_and_no_faster_for_early_ones() -> None:
    """A kilobyte at 1200 baud takes 8.53 seconds, in the order in which it was put."""
    clock, came = Clock(), bytearray()
    way = Way(clock, 1200, came.extend)
    way.put(b"a" * 1000)
    way.put(b"b" * 24)
    for _ in range(85):  # a machine that looks at its timers ten times a second
        clock.advance(0.1)
        assert abs(len(came) - clock.seconds() * 120) <= 120 * 0.1 + 2
    clock.advance(0.1)
    assert bytes(came) == b"a" * 1000 + b"b" * 24
    assert not clock.getDelayedCalls()


def test_a_way_that_is_stopped_hands_on_nothing_more() -> None:
    """And leaves no timer."""
    clock, came = Clock(), bytearray()
    way = Way(clock, 300, came.extend)
    way.put(b"hello")
    way.stop()
    clock.advance(10)
    assert came == b""
    assert not clock.getDelayedCalls()


def test_a_caller_who_does_not_wait_for_the_line_is_dropped() -> None:
    """Minutes of octets at once: nothing is kept of them."""
    scene = Scene(baud=300)

    class Pourer(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"\r" * 100_000)

        def connectionLost(self, reason: object = None) -> None:
            lost.callback(scene.now)

    async def pouring() -> float:
        began = scene.now
        await scene.endpoint().connect(Factory.forProtocol(Pourer))
        return await lost - began

    lost: Deferred = Deferred()
    assert scene.run(pouring()) < 1


@pytest.mark.parametrize("parity", ["even", "odd"])
def test_parity_on_the_eighth_bit_is_no_obstacle(parity: str) -> None:
    """Serial servers pass it through; our side masks it."""
    scene = Scene(parity=parity)
    raw: list[bytes] = []
    heard = scene.terminal.factory.buildProtocol(None)
    heard.transport = type("Wire", (), {"write": lambda self, data: raw.append(data)})()
    heard._arrived(b"ID=")
    wanted = 0 if parity == "even" else 1
    assert [octet.bit_count() % 2 for octet in b"".join(raw)] == [wanted] * 3
    assert scene.kinds(page()) == [Taken]


# The modem in front


def dialled(scene: Scene, *pages: Page) -> tuple[list[Any], Any]:
    """What the modem said until it connected, at most five times, and what became of the pages."""

    async def calling() -> tuple[list[Any], Any]:
        said: list[Any] = []
        for _ in range(5):
            modem = Modem(scene.endpoint(), scene.env.clock, manner=ModemManner(dtr=False))
            assert await modem.open() == Ready()
            result = await modem.dial(NUMBER)
            said.append(result.word if isinstance(result, NotConnected) else result)
            if isinstance(result, Connected):
                call = Conversation(modem, scene.env.clock, drained=scene.drained())
                assert isinstance(await call.open(), s.Opened)
                results = [await call.submit(one) for one in pages]
                await call.quit()
                return said, results
            await modem.hang_up()
        return said, None

    return scene.run(calling())


def test_a_terminal_is_called_through_its_modem() -> None:
    """Set up, dial, page, log off; the modem says the speed of the line."""
    scene = Scene(modem=True, baud=2400)
    said, results = dialled(scene, page("by phone"))
    assert said == [Connected(speed=2400, text="CONNECT 2400")]
    assert isinstance(results[0], Taken)
    assert scene.texts == ["by phone"]


def test_the_modem_says_no_for_so_many_calls() -> None:
    """In the order told; then somebody answers."""
    quirks = (Dialling(result="BUSY", calls=2), Dialling(result="NO CARRIER", calls=1))
    scene = Scene(modem=True, dialling=quirks)
    said, results = dialled(scene, page())
    assert said[:3] == [Word.BUSY, Word.BUSY, Word.NO_CARRIER]
    assert isinstance(said[3], Connected)
    assert isinstance(results[0], Taken)


@pytest.mark.parametrize("word", [Word.NO_DIALTONE, Word.NO_ANSWER, Word.VOICE])
def test_the_modem_says_no_for_ever(word: Word) -> None:
    """Where no count is told."""
    said, results = dialled(Scene(modem=True, dialling=(Dialling(result=word.value),)))
    assert (said, results) == ([word] * 5, None)


def test_hanging_up_in_a_block_is_told_by_the_modem() -> None:
    """NO CARRIER in the stream: nothing was sent."""
    scene = Scene(modem=True, baud=1200, drop_in_block=5)
    _, results = dialled(scene, page())
    assert isinstance(results[0], NotSent)
    assert "NO CARRIER" in results[0].why
    assert scene.texts == []


# Waking and logging on


@pytest.mark.parametrize("prompt", ["plain", "lines", "split", "repeated", "garbled", "unasked"])
@pytest.mark.parametrize("baud", [None, 1200])
def test_however_id_comes_we_log_on(prompt: str, baud: int | None) -> None:
    """With line ends, in pieces, three times, unreadable at first, without a CR."""
    scene = Scene(prompt=prompt, baud=baud)
    assert scene.kinds(page(), page("again")) == [Taken, Taken]


def test_a_terminal_that_takes_twelve_seconds_to_wake() -> None:
    """Ours waits for it; one that says three CRs does not."""
    scene = Scene(slow_id=12.0)
    began = scene.now
    assert isinstance(scene.open(), s.Opened)
    assert scene.now - began >= 12
    assert isinstance(scene.open(timing=s.Timing(wakes=3)), s.NotOpened)


def test_a_megabyte_before_id() -> None:
    """Ours gives up at two hundred lines; fewer are skipped."""
    failed = Scene(banner=1_000_000).open()
    assert isinstance(failed, s.NotOpened)
    assert (failed.step, failed.why) == ("ID=", "the terminal says more than 200 lines")
    assert isinstance(Scene(banner=10_000).open(), s.Opened)


@pytest.mark.parametrize(("logon", "code"), [("refused", 509), ("dropped", None)])
def test_a_logon_that_is_refused(logon: str, code: int | None) -> None:
    """A wrong password, or ESC EOT without a word."""
    failed = Scene(logon=logon).open()
    assert isinstance(failed, s.NotOpened)
    assert failed.step == "LOGON"
    assert failed.answer.code == code


def test_a_password() -> None:
    """The right one or none of the call."""
    right = s.Manner(logon=m.Automatic(password=m.Password("000000")))
    scene = Scene(password="000000")
    assert scene.open().answer.code == 509
    assert isinstance(scene.open(manner=right), s.Opened)


@pytest.mark.parametrize("go_ahead", ["wrong", "missing"])
def test_no_go_ahead(go_ahead: str) -> None:
    """The call is given up, and nothing was sent."""
    failed = Scene(go_ahead=go_ahead).open()
    assert isinstance(failed, s.NotOpened)
    assert failed.step == "GO"


def test_a_go_ahead_alone_will_do() -> None:
    """Without the ACK before it."""
    assert isinstance(Scene(go_ahead="alone").open(), s.Opened)


def test_an_old_terminal_says_no_codes() -> None:
    """Nor a version; its yes counts."""
    scene = Scene(codes=False, welcome="Hello", refusals=(Refusal(pager="5559999", code=511),))
    results = scene.call(page(), page("x", "5559999"))
    assert [type(one) for one in results[:2]] == [Taken, Refused]
    assert results[0].answer.code is None


# Pages


def test_blocks_that_arrive_damaged_are_sent_again() -> None:
    """Two damaged, then good: one page; more than we try: later, and nobody was paged."""
    scene = Scene(nak_first=2)
    assert scene.kinds(page(), page("next")) == [Taken, Taken]
    assert scene.texts == ["hello world", "next"]
    scene = Scene(nak_first=100)
    results = scene.call(page())
    assert isinstance(results[0], Later)
    assert results[0].answer.code == 514
    assert scene.texts == []


@pytest.mark.parametrize(
    ("beyond", "kind", "code"), [("rs", Refused, 513), ("nak", Later, None)], ids=["rs", "nak"]
)
def test_a_block_beyond_the_limit(beyond: str, kind: type, code: int | None) -> None:
    """Refused by 513, or never understood; a caller that knows the limit goes on in a second block."""
    scene = Scene(block_limit=230, beyond=beyond)
    [result, _] = scene.call(page("x" * 240))
    assert type(result) is kind
    assert result.answer.code == code
    assert scene.texts == []
    assert scene.kinds(page("x" * 240), manner=s.Manner(body=230)) == [Taken]
    assert scene.texts == ["x" * 240]


@pytest.mark.parametrize("full", ["112", "113", "ack", "hang-up"])
def test_a_call_that_takes_nine_pages(full: str) -> None:
    """However it is told: the tenth was not sent, and a call of nine ends well."""
    scene = Scene(pages=9, full=full)
    results = scene.call(*(page(f"page {n}") for n in range(11)))
    assert [type(one) for one in results[:-1]] == [Taken] * 9 + [NotSent] * 2
    assert results[9].limit == (full != "hang-up")
    assert len(scene.texts) == 9
    assert scene.call(*(page(f"page {n}") for n in range(9)))[-1].taken == 9


def test_a_pager_that_is_refused() -> None:
    """The others are not."""
    scene = Scene(refusals=(Refusal(pager="5559999", code=511), Refusal(pager="5558888", code=512)))
    results = scene.call(page("a"), page("b", "5559999"), page("c", "5558888"), page("d"))
    assert [type(one) for one in results[:-1]] == [Taken, Refused, Later, Taken]
    assert scene.texts == ["a", "d"]


def test_a_lost_yes_is_a_doubt_and_one_copy() -> None:
    """The same block said again is no second page; without that, and with the line, it is a doubt."""
    scene = Scene(mute=1)
    assert scene.kinds(page()) == [Taken]
    assert scene.texts == ["hello world"]
    scene = Scene(mute=1)
    assert scene.kinds(page(), manner=s.Manner(repeats=0)) == [InDoubt]
    assert [copy.answered for copy in scene.truth.copies] == [False]
    scene = Scene(lose_answer=4)
    assert scene.kinds(page(), page("never")) == [InDoubt, NotSent]
    assert scene.texts == ["hello world"]


def test_a_line_that_drops_in_a_block() -> None:
    """Nobody was paged; on a line that takes its time it is known in time."""
    scene = Scene(baud=1200, drop_in_block=12)
    assert scene.kinds(page()) == [NotSent]
    assert scene.texts == []
    scene = Scene(drop_in_block=12)
    assert scene.kinds(page()) == [InDoubt]
    assert scene.texts == []


def test_lines_of_text_before_each_answer() -> None:
    """Twenty are read; what has no end is not."""
    scene = Scene(lines=20)
    assert scene.kinds(page(), page("two")) == [Taken, Taken]
    assert isinstance(Scene(lines=1000).open(), s.NotOpened)


def test_a_slow_terminal_asks_for_patience() -> None:
    """111 after six seconds, and the yes after forty."""
    scene = Scene(delay=40.0)
    began = scene.now
    assert scene.kinds(page()) == [Taken]
    assert scene.now - began >= 40


def test_a_terminal_that_lies() -> None:
    """Says yes; nothing reaches the pager."""
    scene = Scene(silent=True)
    assert scene.kinds(page()) == [Taken]
    assert scene.texts == []


# Logging off


def test_a_page_that_is_taken_back_at_log_off() -> None:
    """RS after everything was accepted."""
    farewell = Scene(regret=True).call(page())[-1]
    assert farewell.taken == 1
    assert farewell.refusal.code == 511


@pytest.mark.parametrize(
    ("goodbye", "least", "most"), [("said", 0, 2), ("hang-up", 0, 2), ("silent", 10, 60)]
)
def test_without_a_goodbye_what_was_taken_stays_taken(goodbye: str, least: float, most: float) -> None:
    """The line drops at once, or never by itself."""
    scene = Scene(goodbye=goodbye)
    began = scene.now
    assert scene.call(page())[-1].taken == 1
    assert least <= scene.now - began <= most


def test_only_the_first_calls_go_wrong() -> None:
    """Then the terminal is as it should be."""
    scene = Scene(calls=1, logon="dropped")
    assert isinstance(scene.open(), s.NotOpened)
    assert scene.kinds(page()) == [Taken]


# All at once


def small(top: int) -> st.SearchStrategy:
    return st.sampled_from([0, 0, 0, 1, top])


@settings(max_examples=60, deadline=None)
@given(
    quirks=st.fixed_dictionaries(
        {},
        optional={
            "parity": st.sampled_from(["even", "odd"]),
            "banner": small(5000),
            "slow_id": st.sampled_from([0.5, 15.0]),
            "prompt": st.sampled_from(["lines", "split", "repeated", "garbled", "unasked"]),
            "codes": st.just(False),
            "go_ahead": st.just("alone"),
            "lines": small(30),
            "nak_first": small(3),
            "block_limit": st.sampled_from([60, 230]),
            "beyond": st.just("nak"),
            "pages": st.sampled_from([1, 2]),
            "full": st.sampled_from(["112", "113", "ack", "hang-up"]),
            "drop_in_block": st.sampled_from([3, 30]),
            "refusals": st.sampled_from(
                [(Refusal(pager=None, code=code, share=0.5),) for code in (504, 506, 511, 512, 516)]
            ),
            "delay": st.sampled_from([1.0, 20.0, 70.0]),
            "mute": small(3),
            "lose_answer": st.sampled_from([0, 5, 18]),
            "lose_share": st.just(0.5),
            "goodbye": st.sampled_from(["hang-up", "silent"]),
            "baud": st.sampled_from([300, 1200]),
        },
    )
)
def test_whatever_goes_wrong_our_result_is_true(quirks: dict[str, Any]) -> None:
    """Taken was taken, once. Refused, later and not sent never reached anybody. In doubt: once at most."""
    scene = Scene(**quirks)
    pages = [page(text) for text in ("one", "two " + "x" * 80, "three " + "y" * 300)]

    async def calling() -> list[m.Result]:
        call = scene.caller()
        await call.open()
        results = [await call.submit(one) for one in pages]
        await call.quit()
        return results

    results = scene.run(calling())
    scene.run(_later(scene))
    for one, result in zip(pages, results, strict=True):
        copies = scene.texts.count(str(one.fields[0]))
        match result:
            case Taken():
                assert copies == 1
            case InDoubt():
                assert copies <= 1
            case _:
                assert copies == 0


async def _later(scene: Scene) -> None:
    """A terminal may still be busy with a page whose caller is gone."""
    await scene.env.sleep(300.0)
