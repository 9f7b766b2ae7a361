"""What every adapter must do, whatever its protocol (delivery semantics 5), played in the simulated world.

``PROPERTIES`` are the facts that must hold for every exercise; each takes one and raises AssertionError naming
the case. ``failures`` plays them all. What is watched in every scene besides, ``scene`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import formatEvent, globalLogPublisher

from adapters.scene import CANARY, GRACE, Act, Example, Exercise, Scene, case, saying
from gateway.adapters.base import Enquiring, Evidence, Probing, Session
from gateway.env.simulated import Weather
from gateway.model import Page
from gateway.outcome import About, InDoubt, Later, NotSent, Outcome, Refused, Taken, token_of
from gateway.settings.types import LinkSettings

CLOSE_LIMIT = 30.0  # seconds for a goodbye: what the house has for stopping (delivery semantics 10.4)
ENDINGS: tuple[Literal["close", "reset", "silence"], ...] = ("close", "reset", "silence")


FOREIGN = (  # what answers on a wrong port, valid in none of our protocols
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"\x15\x03\x03\x00\x02\x02\x46",  # a TLS alert
    b"* OK IMAP4rev1 ready\r\n",
    b"\x00\xff\xfe\r\n\x00\r\n",
    b"\r\n\r\n",
)


def _good(exercise: Exercise, settings: LinkSettings | None = None) -> Scene:
    """A good dialogue without goodbye."""
    scene = Scene(exercise, settings)

    async def story() -> None:
        session = await scene.opened()
        outcome = await scene.submit(session, exercise.page())
        assert isinstance(outcome, Taken), f"{outcome}"
        await scene.env.sleep(1.0)
        assert not session.lost.called or session.left == 0, "lost after a good page"

    scene.play(story())
    return scene


def _by_bytes(scene: Scene) -> type[Outcome]:
    """What a dialogue that ended early must mean: Taken if the whole good answer was heard; else doubt, if
    the point of no return was written."""
    commit = scene.exercise.commit
    if scene.taps and scene.heard >= scene.ends.get(commit, 1 << 40):
        return Taken
    return InDoubt if scene.committed else NotSent


def good_dialogue(exercise: Exercise) -> None:
    """Pages are taken once each, over one connection while it takes more; the far end sees text and address of
    each, only."""
    for settings in exercise.ways:
        scene = _good(exercise, settings)
        assert scene.paging in exercise.sequences, f"steps of a page: {scene.paging}"
        first, second = exercise.page(0), exercise.page(1)
        assert scene.pages == [(first.address, first.text)], f"the far end saw {scene.pages}"
        assert scene.session is not None
        session = scene.play(scene.ready(scene.session))
        outcome = scene.play(scene.submit(session, second))
        assert isinstance(outcome, Taken), f"second page: {outcome}"
        assert scene.pages[1:] == [(second.address, second.text)], f"the far end saw {scene.pages}"


def cut_anywhere(exercise: Exercise) -> None:
    """After a cut at any byte in either direction a page is in doubt if, and only if, its point of no return
    was written and its answer was not heard whole."""
    for settings in exercise.ways:
        good = _good(exercise, settings)
        for ending in ENDINGS:
            for side, total in (("cut_heard", good.heard), ("cut_sent", len(good.wrote))):
                for n in range(total + 1):
                    with case(side, n, ending):
                        _cut(Scene(exercise, settings, weather=Weather(**{side: n, "ending": ending})))


def _cut(scene: Scene) -> None:
    async def story() -> None:
        outcome = await scene.one_page()
        expected = _by_bytes(scene)
        assert type(outcome) is expected, f"{expected.__name__} expected, not {outcome}"
        await scene.env.sleep(1.0)
        if scene.session is not None and (scene.gone or not isinstance(outcome, Taken)):
            await scene.is_over(scene.session)
        assert len(scene.pages) <= 1, f"the far end saw {scene.pages}"

    scene.play(story())


def table(exercise: Exercise) -> None:
    """Every answer means what the adapter's table says, and every row of it has an example."""
    rows = {words: meaning for words, meaning, _ in exercise.adapter.answers}
    for example in exercise.examples:
        with case(example):
            assert example.row in rows, f"no row {example.row!r} in ADAPTER.answers"
            meaning = rows[example.row].replace(" ", "").lower()
            said = token_of(_instance(example.outcome)).replace("_", "")
            assert said in meaning, f"its row says {rows[example.row]!r}"
            for word in (example.about and example.about.value, example.level and example.level.token):
                assert word is None or word in rows[example.row], f"its row says {rows[example.row]!r}"
            example.check(_exemplary(exercise, example))
    missing = rows.keys() - {example.row for example in exercise.examples}
    assert not missing, f"rows without an example: {sorted(missing)}"


def _instance(outcome: type[Outcome]) -> Outcome:
    about = {"about": About.PAGE} if outcome in (Refused, Later) else {}
    return outcome(code="", why="", **about)


def _exemplary(exercise: Exercise, example: Example, **how: Any) -> Outcome:
    """What becomes of a page when the far end answers as *example* says."""
    act = saying(example.answer, **{"ends": example.ends} | how)
    scene = Scene(
        exercise, example.settings, acts={example.at: [act]} if example.at else {}, weather=example.weather
    )
    page = exercise.page(replies=example.replies)
    outcome: Outcome = scene.play(scene.one_page(page, believe=True))
    return outcome


def pieces(exercise: Exercise) -> None:
    """An answer that comes in pieces, however small, means what it means whole."""
    for example in exercise.examples:
        if example.answer is None or not example.one:
            continue
        cuts: list[dict[str, Any]] = [{"split": n} for n in range(1, len(example.answer))]
        for how in [*cuts, {"drip": 0.01}]:
            with case(example, how):
                example.check(_exemplary(exercise, example, **how))
    for settings in exercise.ways:
        scene = Scene(exercise, settings, weather=Weather(segment=1))
        with case("byte by byte in both directions"):
            outcome = scene.play(scene.one_page())
            assert isinstance(outcome, Taken), f"{outcome}"


def cut_answers(exercise: Exercise) -> None:
    """An answer of which the last byte is missing is no answer."""
    for example in exercise.examples:
        if not example.answer or not example.one:
            continue
        for n in range(len(example.answer)):
            for ends in ("close", "reset", "") if n in (0, 3, len(example.answer) - 1) else ("close",):
                part = replace(example, answer=example.answer[:n], ends=ends)
                with case(part):
                    scene = Scene(
                        exercise, part.settings, acts={part.at: [saying(part.answer, ends=part.ends)]}
                    )
                    outcome = scene.play(scene.one_page())
                    expected = InDoubt if scene.committed else NotSent
                    assert type(outcome) is expected, f"{expected.__name__} expected, not {outcome}"


def foreign_answers(exercise: Exercise) -> None:
    """What is no answer of this protocol is never a yes and never a no."""
    for settings in exercise.ways:
        good = _good(exercise, settings)
        for step in dict.fromkeys(good.steps):
            for answer in (*FOREIGN, *exercise.foreign):
                with case(answer, "to", step):
                    scene = Scene(exercise, settings, acts={step: [saying(answer)]})
                    outcome = scene.play(scene.one_page())
                    expected = InDoubt if scene.committed else NotSent
                    assert type(outcome) is expected, f"{expected.__name__} expected, not {outcome}"


def doubled_answers(exercise: Exercise) -> None:
    """An answer that comes twice is never taken for the answer to something else."""
    for settings in exercise.ways:
        good = _good(exercise, settings)
        refuse = saying(exercise.refused)
        for step in dict.fromkeys(good.steps):
            with case("two answers to", step):
                twice = Act(like=lambda good, heard: good * 2)
                acts = [twice, refuse] if step == exercise.commit else [twice]
                scene = Scene(exercise, settings, acts={exercise.commit: [refuse], step: acts})
                _untaken(scene, first=step == exercise.commit)
        with case("an answer again, later"):
            scene = Scene(exercise, settings, acts={exercise.commit: [Act(), refuse]})
            _untaken(scene, first=True, unasked=good.goods[exercise.commit])


def _untaken(scene: Scene, *, first: bool = False, unasked: bytes = b"") -> None:
    """The page is taken that comes *first*, if one does; not the one that is refused, whatever else is said."""

    async def story() -> None:
        opened = await scene.open()
        if isinstance(opened, NotSent):
            return
        if first:
            outcome = await scene.submit(opened, scene.exercise.page(0))
            assert isinstance(outcome, Taken | InDoubt), f"first page: {outcome}"
        scene.far[0].transport.write(unasked)
        await scene.env.sleep(1.0)
        outcome = await scene.submit(opened, scene.exercise.page(1))
        assert not isinstance(outcome, Taken), f"{outcome}, by an answer that was not to it"

    scene.play(story())


def early_answers(exercise: Exercise) -> None:
    """An answer that comes before its question is not its answer."""
    for settings in exercise.ways:
        good = _good(exercise, settings)
        yes = good.goods[exercise.commit]
        for step in dict.fromkeys(good.steps):
            if step == exercise.commit:
                continue
            with case("a yes right behind the answer to", step):
                acts = {step: [saying(good.goods[step] + yes)], exercise.commit: [saying(exercise.refused)]}
                _untaken(Scene(exercise, settings, acts=acts))
        with case("a yes while idle"):
            scene = Scene(exercise, settings, acts={exercise.commit: [saying(exercise.refused)]})
            _untaken(scene, unasked=yes)


def late_answers(exercise: Exercise) -> None:
    """An answer that comes after its time is not the answer to the next page."""
    late = exercise.dialogue + 5.0
    no = saying(exercise.refused, after=exercise.answer_timeout / 2)
    for settings in exercise.ways:
        scene = Scene(exercise, settings, acts={exercise.commit: [Act(after=late), no]})
        scene.play(_late(scene, late))


async def _late(scene: Scene, late: float) -> None:
    outcome = await scene.one_page()
    assert isinstance(outcome, InDoubt), f"{outcome} before the answer came"
    assert scene.session is not None
    await scene.env.sleep(max(0.0, late - scene.env.clock.seconds() - 0.1))
    if scene.session.lost.called:
        await scene.is_over(scene.session)
    else:
        outcome = await scene.submit(scene.session, scene.exercise.page(1))
        assert isinstance(outcome, Refused | NotSent), f"second page: {outcome}"


def no_answer(exercise: Exercise) -> None:
    """Silence ends in time: NotSent before the point of no return, doubt after it, and nothing is repeated."""
    for settings in exercise.ways:
        good = _good(exercise, settings)
        for step in dict.fromkeys(good.steps):
            with case("no answer to", step):
                scene = Scene(exercise, settings, acts={step: [saying(None)]})
                outcome = scene.play(scene.one_page())
                expected = InDoubt if step == exercise.commit else NotSent
                assert type(outcome) is expected, f"{expected.__name__} expected, not {outcome}"
                took = scene.env.clock.seconds()
                assert took <= exercise.answer_timeout + GRACE or step in good.opening, f"it took {took:g} s"
                assert len(scene.pages) <= 1, f"the far end saw {scene.pages}"


def patience(exercise: Exercise) -> None:
    """A slow yes within the configured time is a yes."""
    waits = [(exercise.commit, 0.9 * exercise.answer_timeout)]
    waits += [(step, 0.8 * exercise.open_timeout) for step in _good(exercise).opening[:1]]
    for step, wait in waits:
        with case(f"{wait:g} s until the answer to", step):
            scene = Scene(exercise, acts={step: [Act(after=wait)]})
            outcome = scene.play(scene.one_page())
            assert isinstance(outcome, Taken), f"{outcome}"


def slots(exercise: Exercise) -> None:
    """Never more pages are on the wire than the session has slots."""
    scene = Scene(exercise, acts={exercise.commit: [Act(after=2.0)] * 64})

    async def story() -> None:
        session = await scene.opened()
        pages = [exercise.page(n) for n in range(session.slots + 1)]
        results: list[Any] = []
        for page in pages:
            Deferred.fromCoroutine(session.submit(page)).addBoth(results.append)
        await scene.env.sleep(1.0)
        begun = [page for page in pages if exercise.encode(page.text) in scene.wrote]
        assert len(begun) <= session.slots, f"{len(begun)} pages under way in {session.slots} slots"
        await scene.env.sleep(exercise.dialogue)
        assert len(results) == len(pages), "a submit did not end"
        taken = [result for result in results if isinstance(result, Taken)]
        assert len(taken) >= session.slots, f"taken of {session.slots} slots: {results}"
        assert len(taken) == len(scene.pages), f"{results}, but the far end saw {scene.pages}"

    scene.play(story())


def next_page(exercise: Exercise) -> None:
    """After any answer the session is lost, or takes the next page and nothing but it."""
    for example in exercise.examples:
        with case(example):
            acts = {example.at: [saying(example.answer, ends=example.ends)]} if example.at else {}
            scene = Scene(exercise, example.settings, acts=acts, weather=example.weather)
            scene.play(_then_another(scene))


async def _then_another(scene: Scene) -> None:
    await scene.one_page(believe=True)
    if scene.session is not None:
        await _goes_on(scene, scene.session)


async def _goes_on(scene: Scene, session: Session) -> None:
    await scene.env.sleep(1.0)
    assert not scene.gone or session.lost.called, "the connection is gone and lost did not fire"
    if session.lost.called:
        await scene.is_over(session)
        return
    seen, page = len(scene.pages), scene.exercise.page(1)
    outcome = await scene.submit(session, page)
    assert isinstance(outcome, Taken), f"next page: {outcome}"
    assert scene.pages[seen:] == [(page.address, page.text)], f"the far end saw {scene.pages[seen:]}"


def closing(exercise: Exercise) -> None:
    """``close`` says goodbye; afterwards, in bounded time, connection and timers are gone, whatever the far
    end does."""
    bye = exercise.goodbye
    scenes: dict[str, tuple[Scene, float | None]] = {
        "idle": (Scene(exercise), None),
        "the network silent": (Scene(exercise), None),
        "a page under way": (Scene(exercise, acts={exercise.commit: [saying(None)]}), 1.0),
        "a page just begun": (Scene(exercise, acts={exercise.commit: [saying(None)]}), 0.0),
    }
    if bye is not None:
        for answer in (None, b"x" * 500, b"\r\n" * 9):
            scenes[f"{answer!r} to goodbye"] = Scene(exercise, acts={bye: [saying(answer)]}), None
        scenes["goodbye without end"] = Scene(exercise, acts={bye: [saying(b"", flood=b"x")]}), None
    for name, (scene, under_way) in scenes.items():
        with case(name):
            scene.play(_closed(scene, under_way, silent=name == "the network silent"))
            if name == "idle" and bye is not None:
                assert scene.steps[-1] == bye, f"no goodbye was said: {scene.steps}"


async def _closed(scene: Scene, under_way: float | None, *, silent: bool) -> None:
    session = await scene.opened()
    if silent:
        scene.world.part("carrier")
    outcomes: list[Any] = []
    if under_way is not None:
        Deferred.fromCoroutine(scene.submit(session, scene.exercise.page())).addBoth(outcomes.append)
        await scene.env.sleep(under_way)
    began = scene.env.clock.seconds()
    try:
        await session.close()
    except Exception as error:
        raise AssertionError(f"close raised {error!r}") from error
    took = scene.env.clock.seconds() - began
    assert took <= CLOSE_LIMIT, f"close took {took:g} s"
    await scene.env.sleep(0.1)
    scene.nothing_is_left()
    if under_way is not None:
        assert outcomes, "the page under way has no outcome"
        assert isinstance(outcomes[0], NotSent | InDoubt), f"the page under way: {outcomes[0]}"
    await scene.is_over(session)
    await session.close()  # again: nothing happens


def lost(exercise: Exercise) -> None:
    """``lost`` fires, once and soon, when the far end goes away while nothing is under way."""
    for how in ("loseConnection", "abortConnection"):
        for pages in (0, 1):
            with case(how, f"after {pages} pages"):
                scene = Scene(exercise)
                scene.play(_left_alone(scene, how, pages))


async def _left_alone(scene: Scene, how: str, pages: int) -> None:
    session = await scene.opened()
    fired: list[object] = []
    session.lost.addBoth(fired.append)
    for n in range(pages):
        await scene.submit(session, scene.exercise.page(n))
    await scene.env.sleep(1.0)
    assert not fired or session.left == 0, "lost although nothing happened"
    getattr(scene.far[0].transport, how)()
    await scene.env.sleep(1.0)
    assert fired == [None], f"lost fired: {fired}"
    await scene.is_over(session)
    await session.close()
    await scene.env.sleep(0.1)
    scene.nothing_is_left()


def limits_of_bytes(exercise: Exercise) -> None:
    """Whatever has no end is not taken in without end: a banner, a line, an answer, talk while idle."""
    good = _good(exercise)
    for start, piece in (*exercise.endless, (b"", b"x"), (b"", b"\r\n"), (b"", b"\0")):
        for step in dict.fromkeys(good.steps):
            with case(start, "and", piece, "without end at", step):
                scene = Scene(exercise, acts={step: [saying(start, flood=piece)]})
                outcome = scene.play(scene.one_page())
                assert not isinstance(outcome, Taken), f"{outcome}"
        with case(start, "and", piece, "without end while idle"):
            scene = Scene(exercise)
            scene.play(scene.opened())
            scene.far[0].speak(start, Act(flood=piece))
            scene.play(scene.rest(10.0))
            scene.bounded()


def limits_of_time(exercise: Exercise) -> None:
    """A far end that says a byte a second, for ever, holds nobody longer than the limits say."""
    for settings in exercise.ways:
        good = _good(exercise, settings)
        for start, piece in (*exercise.endless, (b"", b"x")):
            for step in dict.fromkeys(good.steps):
                with case(start, "and", piece, "a byte a second at", step):
                    scene = Scene(exercise, settings, acts={step: [saying(start, drip=1.0, flood=piece)]})
                    outcome = scene.play(scene.one_page())
                    assert isinstance(outcome, NotSent | InDoubt), f"{outcome}"
        with case("every answer in slow bytes"):
            slow = Act(drip=exercise.answer_timeout * 0.3)
            scene = Scene(exercise, settings, acts={step: [slow] for step in good.paging})
            scene.play(scene.one_page())


def open_once(exercise: Exercise) -> None:
    """A link tries to connect once; what does not come about is NotSent with a code, and leaves nothing."""
    scenes = {
        "refused": Scene(exercise, weather=Weather(refuse=True)),
        "blackhole": Scene(exercise, weather=Weather(blackhole=True)),
        "unknown host": Scene(exercise, weather=Weather(unknown=True)),
    }
    for step in _good(exercise).opening:
        scenes[f"no answer to {step}"] = Scene(exercise, acts={step: [saying(None)]})
    for name, scene in scenes.items():
        with case(name):
            outcome = scene.play(scene.one_page())
            assert isinstance(outcome, NotSent), f"{outcome}"
            scene.play(scene.rest(120.0))
            assert scene.connects == 1, f"it connected {scene.connects} times"
            if scene.session is None:
                scene.nothing_is_left()


HOSTILE_TEXTS = (
    "x\r\nSEND\r\nPAGE 666\r\n",
    "x\nBYE\n",
    "\r\n.\r\nQUIT\r\n",
    "\n.\n..\n.x",
    ".",
    "\r",
    "\0\x01\x1b[2J\x7f",
    "\x85SEND\u2028QUIT\u2029",
    "٣٤٥ ¼ é 日本 \U0001f6a8 \ud800",
    "",
    " ",
    "x" * 10_000,
    "\n" * 500,
)
HOSTILE_ADDRESSES = (
    "5551212\r\nSEND",
    "5551212\n",
    "5551212\rQUIT",
    "5551212 x",
    "5551212\0",
    "\x1b[2J",
    "٣٤٥",
    "５５５",
    "",
    " ",
    "5" * 10_000,
    "\ud800",
)


def hostile_words(exercise: Exercise) -> None:
    """No text and no address says anything to the far end but itself."""
    pages = [exercise.page(text=text) for text in HOSTILE_TEXTS]
    pages += [exercise.page(address=address) for address in HOSTILE_ADDRESSES]
    pages += [exercise.page(sender=text, replies=(text, text)) for text in HOSTILE_TEXTS]
    for settings in exercise.ways:
        for page in pages:
            with case(f"{page.address[:30]!r} {page.text[:30]!r} {page.sender!r:.30}"):
                scene = Scene(exercise, settings)
                scene.play(_hostile(scene, page))


async def _hostile(scene: Scene, page: Page) -> None:
    session = await scene.opened()
    outcome = await scene.submit(session, page)
    if isinstance(outcome, Taken):
        assert scene.paging in scene.exercise.sequences, f"the far end heard {scene.paging}"
        assert [address for address, _ in scene.pages] == [page.address], f"the far end saw {scene.pages}"
    else:
        assert isinstance(outcome, Refused), f"{outcome}"
        assert outcome.about is not About.LINK, f"{outcome}"
        assert not scene.pages, f"refused, but the far end saw {scene.pages}"
    seen, usual = len(scene.pages), scene.exercise.page()
    outcome = await scene.submit(await scene.ready(session), usual)
    assert isinstance(outcome, Taken), f"the page after it: {outcome}"
    assert scene.pages[seen:] == [(usual.address, usual.text)], f"the far end saw {scene.pages}"


def discretion(exercise: Exercise) -> None:
    """Texts and secrets are in no outcome and no log, not even if the far end repeats them."""
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    try:
        for settings in exercise.ways:
            good = _good(exercise, settings)
            for step in dict.fromkeys(good.steps):
                for act in (
                    Act(like=lambda good, heard: exercise.echo(heard)),
                    Act(like=lambda good, heard: heard),
                    Act(like=lambda good, heard: good + heard),
                    Act(like=lambda good, heard: exercise.echo(heard)[:-2] + b" not\r\n", ends="close"),
                ):
                    with case("the far end repeats at", step):
                        scene = Scene(exercise, settings, acts={step: [act]})
                        _discreet(exercise, repr(scene.play(scene.one_page(believe=True))))
        for event in events:
            _discreet(exercise, f"{formatEvent(event)} {event!r}")
    finally:
        globalLogPublisher.removeObserver(events.append)


def _discreet(exercise: Exercise, told: str) -> None:
    for word in (CANARY, *exercise.secrets):
        assert word not in told, f"{word!r} is told: {told}"


def cancelling(exercise: Exercise) -> None:
    """Who stops waiting for ``open`` leaves nothing behind; a page given up has no late answer."""
    scenes = {"connecting": Scene(exercise, weather=Weather(blackhole=True))}
    for step in _good(exercise).opening:
        scenes[step] = Scene(exercise, acts={step: [saying(None)]})
        scenes[f"late {step}"] = Scene(exercise, acts={step: [Act(after=0.75 * exercise.open_timeout)]})
    for name, scene in scenes.items():
        with case("open given up at", name):
            scene.play(_open_given_up(scene))
    with case("a page given up"):
        acts = {exercise.commit: [Act(after=5.0), saying(exercise.refused, after=2.0)]}
        scene = Scene(exercise, acts=acts)
        scene.play(_page_given_up(scene))


async def _open_given_up(scene: Scene) -> None:
    results: list[object] = []
    under_way = Deferred.fromCoroutine(scene.link.open())
    under_way.addBoth(results.append)
    await scene.env.sleep(scene.exercise.open_timeout / 2)
    under_way.cancel()
    await scene.env.sleep(GRACE)
    assert results, "it goes on"
    await scene.env.sleep(CLOSE_LIMIT)
    scene.nothing_is_left()


async def _page_given_up(scene: Scene) -> None:
    session = await scene.opened()
    under_way = Deferred.fromCoroutine(session.submit(scene.exercise.page()))
    under_way.addErrback(lambda failure: failure.trap(CancelledError))
    await scene.env.sleep(1.0)
    under_way.cancel()
    await scene.env.sleep(3.5)
    outcome = await scene.submit(session, scene.exercise.page(1))
    assert isinstance(outcome, Refused | NotSent), f"next page: {outcome}"


def same_words(exercise: Exercise) -> None:
    """A second try of a delivery says the same ids as the first."""
    said = []
    for acts in ({exercise.commit: [saying(None)]}, {}):
        scene = Scene(exercise, acts=acts)
        opened = scene.play(scene.open())
        before = len(scene.wrote)
        scene.play(scene.submit(opened, exercise.page()))
        page = scene.wrote[before:]
        said.append([page] if exercise.ids is None else exercise.ids.findall(page))
    assert said[0], "no ids were said"
    assert said[0] == said[1], f"first {said[0]}, then {said[1]}"


def enquiring(exercise: Exercise) -> None:
    """``enquire`` ends in time, never raises, disturbs no page, and believes whole answers only."""
    for settings in exercise.ways:
        good = Scene(exercise, settings)
        evidence = good.play(_enquired(good))
        if evidence is None:
            continue
        assert evidence, "a good answer proves nothing"
        step, said = good.steps[-1], good.goods[good.steps[-1]]
        answers: list[tuple[bytes | None, str]] = [(None, ""), (None, "close"), (None, "reset")]
        answers += [(answer, "") for answer in (*FOREIGN, *exercise.foreign)]
        answers += [(said[:n], "close") for n in range(len(said))]
        for answer, ends in answers:
            with case(answer, "to", step, ends):
                scene = Scene(exercise, settings, acts={step: [saying(answer, ends=ends)]})
                evidence = scene.play(_enquired(scene))
                assert evidence == (), f"{evidence}"
                assert scene.session is not None
                scene.play(_goes_on(scene, scene.session))
        with case("while a page is under way"):
            scene = Scene(exercise, settings, acts={exercise.commit: [Act(), Act(after=3.0)]})
            scene.play(_enquired(scene, under_way=True))


async def _enquired(scene: Scene, *, under_way: bool = False) -> tuple[Evidence, ...] | None:
    """What an enquiry about a first page brings; None if there is nothing to ask."""
    session = await scene.opened()
    outcome = await scene.submit(session, scene.exercise.page(0))
    if not isinstance(session, Enquiring) or not isinstance(outcome, Taken) or not outcome.refs:
        return None
    ref, results = outcome.refs[0], []
    session = await scene.ready(session)
    if under_way:
        Deferred.fromCoroutine(session.submit(scene.exercise.page(1))).addBoth(results.append)
        await scene.env.sleep(1.0)
    began = scene.env.clock.seconds()
    evidence = await session.enquire(ref)
    took = scene.env.clock.seconds() - began
    assert took <= scene.exercise.dialogue + GRACE, f"it took {took:g} s"
    assert all((one.scope, one.ref) == (ref.scope, ref.ref) for one in evidence), f"{evidence} about {ref}"
    await scene.env.sleep(scene.exercise.dialogue if under_way else 0.0)
    assert not under_way or isinstance(results and results[0], Taken), f"the page under way: {results}"
    return evidence


def probing(exercise: Exercise) -> None:
    """``probe`` enters nothing, leaves nothing and never raises."""
    for settings in exercise.ways:
        for step in ("", *_good(exercise, settings).opening):
            scene = Scene(exercise, settings, acts={step: [saying(None)]})
            if not isinstance(scene.link, Probing):
                return
            with case("no answer to", step or "nothing"):
                findings = scene.play(scene.link.probe())
                assert findings.reached is not bool(step), f"{findings}"
                assert not exercise.ponr(scene.wrote), f"it wrote {scene.wrote!r}"
                scene.play(scene.rest(CLOSE_LIMIT))
                scene.nothing_is_left()


PROPERTIES: tuple[tuple[str, Callable[[Exercise], None]], ...] = tuple(
    (check.__name__, check)
    for check in (
        good_dialogue,
        table,
        cut_anywhere,
        cut_answers,
        pieces,
        foreign_answers,
        doubled_answers,
        early_answers,
        late_answers,
        no_answer,
        patience,
        slots,
        next_page,
        closing,
        lost,
        limits_of_bytes,
        limits_of_time,
        open_once,
        hostile_words,
        discretion,
        cancelling,
        same_words,
        enquiring,
        probing,
    )
)


def failures(exercise: Exercise) -> dict[str, str]:
    """The properties that do not hold for *exercise*, each with its first case that failed."""
    found = {}
    for name, check in PROPERTIES:
        try:
            check(exercise)
        except AssertionError as error:
            found[name] = str(error)
    return found
