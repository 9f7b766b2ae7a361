"""Adapters with one mistake each, derived from knock, and the property that must find it.

What is listed here is what the suite is proven to see; a mistake that once got through is added first.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger

from adapters import knock
from adapters.scene import Exercise
from gateway.adapters.base import Evidence, Findings
from gateway.model import Page
from gateway.outcome import About, CarrierRef, InDoubt, NotSent, Outcome, Refused, Taken

log = Logger()


class TakesForeignAnswers(knock.KnockSession):
    def meaning(self, answer: bytes | None) -> Outcome:
        outcome = super().meaning(answer)
        return Taken(code="OK") if isinstance(outcome, InDoubt) and answer is not None else outcome


class TakesCutAnswers(knock.KnockSession):
    def disconnected(self) -> None:
        if self.buffer:
            self.answered(self.buffer)
        super().disconnected()


class TakesChunksForLines(knock.KnockSession):
    def received(self, data: bytes) -> None:
        if self.waiting is None:
            self.end()
        self.answered(data.strip())


class SendsAgainAfterSilence(knock.KnockSession):
    async def ask(self, line: bytes | None, limit: float) -> bytes | None:
        is_page = line is not None and line.startswith(b"PAGE")
        again = self.link.env.clock.callLater(limit / 2, lambda: is_page and self.write(line))
        try:
            return await super().ask(line, limit)
        finally:
            if again.active():
                again.cancel()


class TwoInOneSlot(knock.KnockSession):
    async def submit(self, page: Page) -> Outcome:
        if self.waiting is not None:
            self.waiting = None
        return await super().submit(page)


class DoubtsBeforeThePoint(knock.KnockSession):
    async def submit(self, page: Page) -> Outcome:
        return (
            InDoubt(code="lost", why="the conversation is over") if self.over else await super().submit(page)
        )


class DeniesAfterThePoint(knock.KnockSession):
    def meaning(self, answer: bytes | None) -> Outcome:
        return NotSent(code="lost", why="gone") if answer is None else super().meaning(answer)


class RaisesOnReset(knock.KnockSession):
    def disconnected(self) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.errback(ConnectionLost())
        super().disconnected()


class LostNeverFires(knock.KnockSession):
    def end(self) -> None:
        fired, self.lost = self.lost, Deferred()
        super().end()
        self.lost = fired


class CloseHangs(knock.KnockSession):
    async def close(self) -> None:
        if not self.over and self.waiting is None:
            await self.ask(b"BYE", 900.0)
        await super().close()


class LeavesWithoutGoodbye(knock.KnockSession):
    async def close(self) -> None:
        self.end()
        await super().close()


class LeavesTimers(knock.KnockSession):
    async def close(self) -> None:
        self.link.env.clock.callLater(900.0, self.end)
        await super().close()


class BuffersWithoutEnd(knock.KnockSession):
    def received(self, data: bytes) -> None:
        if b"\r\n" in self.buffer + data:
            super().received(data)
        else:
            self.buffer += data


class TakesLateAnswers(knock.KnockSession):
    def received(self, data: bytes) -> None:
        if self.waiting is not None:
            super().received(data)

    async def ask(self, line: bytes | None, limit: float) -> bytes | None:
        late = self.link.env.clock.callLater(limit - 0.1, self.answered, None)
        try:
            return await super().ask(line, limit)
        finally:
            if late.active():
                late.cancel()

    def meaning(self, answer: bytes | None) -> Outcome:
        if answer is None and not self.over:
            return InDoubt(code="no-answer", why="no answer to PAGE")
        return super().meaning(answer)


class KeepsWhatComesEarly(knock.KnockSession):
    def received(self, data: bytes) -> None:
        self.buffer += data
        self.next_line()

    def next_line(self) -> None:
        line, end, rest = self.buffer.partition(b"\r\n")
        if len(line) > knock.MAX_LINE or len(self.buffer) > 10 * knock.MAX_LINE:
            self.end()
        elif end and self.waiting is not None:
            self.buffer = rest
            self.answered(line)

    async def ask(self, line: bytes | None, limit: float) -> bytes | None:
        self.link.env.clock.callLater(0, self.next_line)
        return await super().ask(line, limit)


class KeepsWhatComesBehind(knock.KnockSession):
    def received(self, data: bytes) -> None:
        self.buffer += data
        self.next_line()

    def next_line(self) -> None:
        line, end, rest = self.buffer.partition(b"\r\n")
        if self.waiting is None or len(line) > knock.MAX_LINE:
            self.end()
        elif end:
            self.buffer = rest
            self.answered(line)

    async def ask(self, line: bytes | None, limit: float) -> bytes | None:
        if self.buffer:
            self.link.env.clock.callLater(0, self.next_line)
        return await super().ask(line, limit)


class EachByteBuysTime(knock.KnockSession):
    heard = 0.0

    def received(self, data: bytes) -> None:
        self.heard = self.link.env.clock.seconds()
        super().received(data)

    async def ask(self, line: bytes | None, limit: float) -> bytes | None:
        def check() -> None:
            quiet = self.link.env.clock.seconds() - self.heard
            if quiet >= limit:
                self.end()
            elif self.waiting is asked[0]:
                self.link.env.clock.callLater(limit - quiet + 0.01, check)

        self.heard = self.link.env.clock.seconds()
        self.link.env.clock.callLater(0, lambda: asked.append(self.waiting))
        asked: list[object] = []
        self.link.env.clock.callLater(limit, check)
        return await super().ask(line, 10_000.0)


class IsImpatient(knock.KnockSession):
    async def ask(self, line: bytes | None, limit: float) -> bytes | None:
        return await super().ask(line, min(limit, 5.0))


class SaysWhatTheTextSays(knock.KnockSession):
    async def submit(self, page: Page) -> Outcome:
        if self.over or self.waiting is not None or not knock.ID.fullmatch(page.address):
            return await super().submit(page)
        return self.meaning(await self.ask(self.line(page), self.link.answer_timeout))

    def line(self, page: Page) -> bytes:
        return f"PAGE {page.address} {page.text}".encode("latin-1", "replace")


class SendsTheLastText(knock.KnockSession):
    last = ""

    def line(self, page: Page) -> bytes:
        self.last = self.last or page.text
        return super().line(msgspec.structs.replace(page, text=self.last))


class AddsToTheText(knock.KnockSession):
    def line(self, page: Page) -> bytes:
        return super().line(page) + b" from gateway"


class CountsItsTries(knock.KnockSession):
    tries = 0

    def line(self, page: Page) -> bytes:
        CountsItsTries.tries += 1
        return super().line(page) + b" %d" % self.tries


class QuotesTheCarrier(knock.KnockSession):
    def meaning(self, answer: bytes | None) -> Outcome:
        outcome = super().meaning(answer)
        return outcome if answer is None else msgspec.structs.replace(outcome, why=answer.decode("latin-1"))


class LogsTheText(knock.KnockSession):
    def line(self, page: Page) -> bytes:
        log.info("paging {address}", address=page.address, text=page.text)
        return super().line(page)


class BelievesItsOwnTable(knock.KnockSession):
    def meaning(self, answer: bytes | None) -> Outcome:
        if answer == b"NOID":
            return Refused(about=About.LINK, code="NOID", why="unknown id")
        return super().meaning(answer)


class AsksInBetween(knock.KnockSession):
    async def enquire(self, ref: CarrierRef) -> tuple[Evidence, ...]:
        self.waiting = None
        return await super().enquire(ref)


class ConnectsAgain(knock.KnockLink):
    async def connect(self, session: knock.KnockSession) -> None:
        try:
            await super().connect(session)
        except Exception:
            await super().connect(session)


class IgnoresOpenTimeout(knock.KnockLink):
    @property
    def open_timeout(self) -> float:
        return 60.0

    @open_timeout.setter
    def open_timeout(self, seconds: float) -> None: ...


class StaysAfterCancel(knock.KnockLink):
    async def open(self) -> object:
        opened: Deferred[object] = Deferred()
        Deferred.fromCoroutine(super().open()).addBoth(lambda it: opened.called or opened.callback(it))
        return await opened


class ProbesWithAPage(knock.KnockLink):
    async def probe(self) -> Findings:
        session = await self.open()
        if isinstance(session, NotSent):
            return Findings(reached=False, says=session.why)
        await session.submit(knock.EXERCISE.page())
        await session.close()
        return Findings(reached=True, says="took a page")


def exercise_of(defect: type[knock.KnockSession] | type[knock.KnockLink]) -> Exercise:
    """Knock's exercise, for an adapter with this *defect*."""
    link = defect
    if issubclass(defect, knock.KnockSession):
        link = type(defect.__name__, (knock.KnockLink,), {"session": defect})
    adapter = msgspec.structs.replace(knock.ADAPTER, make_link=link)
    return replace(knock.EXERCISE, adapter=adapter)


DEFECTS: dict[type[knock.KnockSession] | type[knock.KnockLink], str] = {
    TakesForeignAnswers: "foreign_answers",
    TakesCutAnswers: "cut_answers",
    TakesChunksForLines: "pieces",
    SendsAgainAfterSilence: "no_answer",
    TwoInOneSlot: "slots",
    DoubtsBeforeThePoint: "cut_anywhere",
    DeniesAfterThePoint: "cut_anywhere",
    RaisesOnReset: "cut_anywhere",
    LostNeverFires: "lost",
    CloseHangs: "closing",
    LeavesWithoutGoodbye: "closing",
    LeavesTimers: "closing",
    BuffersWithoutEnd: "limits_of_bytes",
    TakesLateAnswers: "late_answers",
    KeepsWhatComesEarly: "early_answers",
    KeepsWhatComesBehind: "doubled_answers",
    EachByteBuysTime: "limits_of_time",
    IsImpatient: "patience",
    SaysWhatTheTextSays: "hostile_words",
    SendsTheLastText: "next_page",
    AddsToTheText: "good_dialogue",
    CountsItsTries: "same_words",
    QuotesTheCarrier: "discretion",
    LogsTheText: "discretion",
    BelievesItsOwnTable: "table",
    AsksInBetween: "enquiring",
    ConnectsAgain: "open_once",
    IgnoresOpenTimeout: "open_once",
    StaysAfterCancel: "cancelling",
    ProbesWithAPage: "probing",
}
