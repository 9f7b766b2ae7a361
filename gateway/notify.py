"""Clients are told: signed webhooks (Standard Webhooks), each receiver at its own pace.

A notice is a row that was written with its event; it is gone only after the receiver answered 2xx, or was
given up. So a kill at any instant repeats at most what was under way, under the same ``webhook-id``, and
loses nothing. Notices of one message are told one after the other; other messages do not wait for them.

Each client has a teller of its own, and no receiver, however slow, dead or wrong, holds up another one or
anything that is sent. A receiver that fails is left alone for a while (``RESTS``) and then asked with one
notice; each notice has its own times to be tried at (``WAITS``). One that answers 410 is asked no more.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from http import HTTPStatus
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway import __version__
from gateway.bell import Bell
from gateway.env import Env, public_id
from gateway.errors import SubmissionError
from gateway.model import SECOND, Instant, later, seconds_between
from gateway.observe import Metrics
from gateway.settings.receivers import key_of, refusal
from gateway.settings.types import Settings, Tell
from gateway.store.base import Gone, MessageRow, Notice, NoticesRoom, Records, Telling
from gateway.waiting import LOOK_EVERY, Rounds
from gateway.web.client import Unanswered, call

log = Logger()

WAITS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds after the first, second, … try of a notice that failed, as Standard Webhooks proposes; each is
up to ``JITTER`` longer or shorter. After the tenth try it is given up."""
JITTER = 0.1
KEPT = 84 * 3600.0  # seconds: all of WAITS at their longest; what was not told until then is given up
RESTS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds a receiver is left alone after the first, second, … failure in a row; the last repeats."""
AWAY = 3  # failures in a row after which it is its receiver that is away, and not one notice that is wrong
ANSWER_LIMIT = 20.0  # seconds of one call, connecting included; Standard Webhooks: 15 to 30
LONGEST_RETRY_AFTER = 86_400.0  # seconds of a Retry-After that are believed
SLOTS = 4  # notices of one client under way
CALLS = 32  # notices of all clients under way
GIVE_UP_EVERY = 60.0  # seconds
BITE = 500  # notices that one unit gives up


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call: the *status* that was answered, None if none was; *why* it counts as not told,
    None if it was told."""

    id: str
    status: int | None
    why: str | None
    seconds: float
    retry_after: float | None = None


def sign(tell: Tell, id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one ``v1`` signature a secret, the new one's first."""
    signed = b"%b.%d.%b" % (id.encode("ascii"), timestamp, body)
    secrets = [secret for secret in (tell.secret, tell.old_secret) if secret is not None]
    macs = [hmac.digest(key_of(secret), signed, "sha256") for secret in secrets]
    return " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs)


def id_of(notice: Notice) -> str:
    """Its ``webhook-id``: the same whenever it is repeated."""
    return f"msg_{notice.public_id}_{notice.n}"


class Notify:
    """Tells clients what the settings say. *body* writes a notice, *test_body* the test of a client."""

    def __init__(
        self,
        notices: NoticesRoom,
        records: Records,
        body: Callable[[Notice, MessageRow], bytes],
        test_body: Callable[[str], bytes],
        bell: Bell,
        env: Env,
        metrics: Metrics,
    ) -> None:
        self._notices = notices
        self._records = records
        self._body = body
        self._test_body = test_body
        self._bell = bell
        self._env = env
        self._metrics = metrics
        self._calls = DeferredSemaphore(CALLS)
        self._tellers: dict[str, _Teller] = {}
        self._rounds = Rounds("notify", self._give_up, bell, env)

    async def start(self, settings: Settings) -> None:
        """From now on events leave notices, and notices are told. Before anything is sent."""
        await self.settle(settings)
        self._rounds.start()

    async def settle(self, settings: Settings) -> None:
        """Who is told, and of what, is from now on what *settings* say."""
        wanted = {name: one.tell for name, one in settings.clients.items() if one.tell is not None}
        if wanted == {name: teller.tell for name, teller in self._tellers.items()}:
            return
        about = {name: frozenset(tell.about) for name, tell in wanted.items()}
        await self._notices.interest(about, self._ring)
        for name in self._tellers.keys() - wanted.keys():
            await self._tellers.pop(name).stop()
        gone = await self._notices.all_gone()
        for name, tell in wanted.items():
            was = gone.get(name)
            if was is not None and was.place != _place(tell):
                await self._notices.back(name, self._env.now())
                was = None
            known = self._tellers.get(name)
            if known is None:
                self._tellers[name] = known = _Teller(self, name, tell)
                known.gone = was
                known.start()
            elif known.tell != tell:
                known.tell, known.gone = tell, was
                known.forgive()

    async def stop(self) -> None:
        """What is under way is dropped: it will be told again at the next start."""
        await self._rounds.stop()
        for teller in list(self._tellers.values()):
            await teller.stop()

    def troubles(self) -> Iterator[str]:
        """Whom nothing can be told, in sentences for health."""
        for name, teller in self._tellers.items():
            if teller.gone is not None:
                yield f"{name} is told nothing: {teller.gone.why}"
            elif teller.failures >= AWAY:
                yield f"{name} cannot be told: {teller.why}"

    async def test(self, client: str) -> Tested | None:
        """Send a ``webhook.test`` at once; None if *client* has no receiver. If it is told, a receiver
        that was gone or resting is asked again. SubmissionError 429 while another test is under way."""
        teller = self._tellers.get(client)
        if teller is None:
            return None
        if teller.testing:  # or one client could take all CALLS for itself
            raise SubmissionError(429, "rate", "A test is under way already.", retry_after=ANSWER_LIMIT)
        teller.testing = True
        try:
            tested = await teller.call(f"msg_test_{public_id(self._env)}", self._test_body(client))
        finally:
            teller.testing = False
        if tested.why is None:
            if teller.gone is not None:
                await self._notices.back(client, self._env.now())
                teller.gone = None
            teller.forgive()
        return tested

    def _ring(self, clients: Iterable[str]) -> None:
        for client in clients:
            self._bell.ring(_room(client))

    async def _give_up(self) -> float:
        now = self._env.now()
        count = await self._notices.lapse(later(now, -KEPT), now, BITE)
        if count:
            log.error("notices given up: {count}, nobody could be told in time", count=count)
            self._metrics.notices.labels("given_up").inc(count)
        return 0.0 if count == BITE else GIVE_UP_EVERY


class _Teller:
    """One client's receiver: what is due is told, a few at a time."""

    def __init__(self, house: Notify, client: str, tell: Tell) -> None:
        self.client = client
        self.tell = tell
        self.room = _room(client)
        self.gone: Gone | None = None
        self.failures = 0
        self.why = ""
        self.testing = False
        self._house = house
        self._env = house._env
        self._notices = house._notices
        self._failing_since = self._rests_until = Instant(0)
        self._under_way: set[Deferred[Tested]] = set()
        self._stopped = False
        self._rounds = Rounds(self.room, self._look, house._bell, house._env)
        self.start = self._rounds.start

    async def stop(self) -> None:
        self._stopped = True
        for calling in list(self._under_way):
            calling.cancel()
        await self._rounds.stop()

    def _over(self) -> bool:
        return self._stopped

    def forgive(self) -> None:
        """It works, or is another one: ask it again now."""
        self.failures, self._rests_until = 0, Instant(0)
        self._house._bell.ring(self.room)

    async def _look(self) -> float:
        now = self._env.now()
        if self.gone is not None or self._over():
            return LOOK_EVERY
        if now < self._rests_until:
            return seconds_between(now, self._rests_until)
        due = await self._notices.due(self.client, now, 1 if self.failures else SLOTS)
        if not due:
            coming = await self._notices.next_due(self.client)
            return LOOK_EVERY if coming is None else min(LOOK_EVERY, seconds_between(now, coming))
        telling = [Deferred.fromCoroutine(self._tell(notice)) for notice in due]
        results: list[tuple[bool, Any]] = await DeferredList(telling, consumeErrors=True)
        if self._over():
            return LOOK_EVERY
        told: list[Tested] = []
        for _, result in results:
            if isinstance(result, Failure):
                result.raiseException()
            elif result is not None:
                told.append(result)
        await self._settle(told, now)
        return 0.0

    async def _settle(self, told: list[Tested], began: Instant) -> None:
        """What the calls since *began* say about the receiver."""
        now = self._env.now()
        if any(one.why is None for one in told):
            if self.failures >= AWAY:
                count = await self._notices.reached(self.client, self._failing_since, now)
                log.info("receiver of {client} answers again", client=self.client, due=count)
            self.failures = 0
        elif told:
            if not self.failures:
                self._failing_since = began
            rest = RESTS[min(self.failures, len(RESTS) - 1)]
            self.failures += 1
            self.why = told[-1].why or ""
            self._rests_until = later(now, max([rest, *(one.retry_after or 0.0 for one in told)]))
            if self.failures == AWAY:
                log.warn("receiver of {client} cannot be told: {why}", client=self.client, why=self.why)

    async def _tell(self, notice: Notice) -> Tested | None:
        """Tell one notice and record how it went; None: it says nothing about the receiver."""
        row = await self._house._records.message(notice.public_id, client=None)
        if row is None:  # nothing deletes one; whoever did by hand must not stop the others
            await self._again(notice, "its message is not on record", None)
            return None
        try:
            body = self._house._body(notice, row)
        except Exception:  # our mistake in words must not stop the others
            log.failure("a notice of {message} could not be written", message=notice.public_id)
            await self._again(notice, "a mistake of the gateway; its log says which", None)
            return None
        tested = await self.call(id_of(notice), body)
        if self._over():
            return None
        self._env.failpoint("told")
        if tested.why is None:
            self._house._metrics.notices.labels("told").inc()
            await self._conclude(Telling(notice=notice.key, at=self._env.now(), how="told"))
        elif tested.status == HTTPStatus.GONE:
            await self._leave(tested.why)
        else:
            await self._again(notice, tested.why, tested.retry_after)
        return tested

    async def _again(self, notice: Notice, why: str, retry_after: float | None) -> None:
        """It failed once more."""
        now = self._env.now()
        self._house._metrics.notices.labels("failed").inc()
        if notice.tries >= len(WAITS):
            log.error(
                "not told, and given up: {kind} of {message} to {client}: {why}",
                kind=notice.kind,
                message=notice.public_id,
                client=self.client,
                why=why,
            )
            self._house._metrics.notices.labels("given_up").inc()
            await self._conclude(Telling(notice=notice.key, at=now, how="given_up", why=why))
            return
        wait = WAITS[notice.tries] * (1 + JITTER * (2 * self._env.random.random() - 1))
        due = later(now, max(wait, retry_after or 0.0))
        await self._conclude(Telling(notice=notice.key, at=now, how="later", due=due, why=why))

    async def _conclude(self, telling: Telling) -> None:
        await self._notices.conclude(telling)

    async def _leave(self, why: str) -> None:
        """It answered 410: nothing more until somebody tests it or it moves. What waits is kept."""
        if self.gone is not None:
            return
        self.gone = Gone(place=_place(self.tell), why=why, at=self._env.now())
        log.error("receiver of {client} is gone: {why}", client=self.client, why=why)
        await self._notices.gone(self.client, self.gone)

    async def call(self, id: str, body: bytes) -> Tested:
        """One signed call; never raises but what the store raises."""
        tell = self.tell
        calling = Deferred.fromCoroutine(self._call(tell, id, body))
        self._under_way.add(calling)
        try:
            return await calling
        except CancelledError:
            return Tested(id=id, status=None, why="the gateway stopped calling it", seconds=0.0)
        finally:
            self._under_way.discard(calling)

    async def _call(self, tell: Tell, id: str, body: bytes) -> Tested:
        env, plain = self._env, tell.url.startswith("http:")
        await self._house._calls.acquire()
        began = env.clock.seconds()
        try:
            timestamp = env.wall() // SECOND
            headers = (
                ("Content-Type", "application/json"),
                ("User-Agent", f"gateway/{__version__}"),
                ("webhook-id", id),
                ("webhook-timestamp", str(timestamp)),
                ("webhook-signature", sign(tell, id, timestamp, body)),
            )
            answer = await call(
                env,
                "POST",
                tell.url,
                headers,
                body,
                refusal=lambda address: refusal(address, tell.allow, plain=plain),
                limit=ANSWER_LIMIT,
                ca_file=tell.ca_file,
            )
        except Unanswered as error:
            took = env.clock.seconds() - began
            return Tested(id=id, status=None, why=str(error), seconds=took)
        finally:
            self._house._calls.release()
        return Tested(
            id=id,
            status=answer.status,
            why=None if 200 <= answer.status < 300 else _of_status(answer.status),
            seconds=env.clock.seconds() - began,
            retry_after=_retry_after(answer.fields.get("retry-after"), env.wall()),
        )


def _room(client: str) -> str:
    """Where its bell is rung."""
    return f"notify {client}"


def _of_status(status: int) -> str:
    try:
        said = f"it answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"it answered {status}"
    return said + ("; redirects are not followed" if 300 <= status < 400 else "")


def _retry_after(text: str | None, wall: Instant) -> float | None:
    """Seconds of a ``Retry-After`` (RFC 9110 10.2.3), within reason; None if there is none to be read."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - wall / SECOND
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _place(tell: Tell) -> str:
    """Tells one receiver from another without showing where it is."""
    return blake2b(tell.url.encode(), digest_size=8).hexdigest()
