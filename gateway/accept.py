"""The door's other side: grants, refusals, duplicates, the plan of the first step, durable, then yes.

What can never be sent is refused here, while somebody listens. After ``submit`` returns, the message is on
stable storage and will end in exactly one outcome.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from gateway.adapters.base import Accepted, Client, Submission
from gateway.bell import Bell
from gateway.env import REF_ALPHABET, Env, public_id
from gateway.errors import Conflict, Fault, SubmissionError
from gateway.model import Instant, Leg, LinkName, MessageClass, PublicId, Ref, later, rfc3339, seconds_between
from gateway.observe import Metrics
from gateway.outcome import Level
from gateway.pacing import Bucket
from gateway.people.escalate import first_legs, open_leg
from gateway.render import Display, Rendered, render
from gateway.route import ALL_WELL, NoSuchTarget, Outlook, Recipient, expand, legs, unknown_target
from gateway.settings.kinds import in_networks
from gateway.settings.types import ClientSettings, Settings
from gateway.store.base import Intake, NewIncident, NewMessage

log = Logger()

REF_CANDIDATES = 6  # of four characters; then three longer ones: 234,256 references are open at the most
LONGER_REF_CANDIDATES = 3
TRY_OTHERS = 3  # names that a refusal suggests
PATIENCE = 5.0  # seconds for the disk (F08): whoever waits longer should try another way, with the same key
OVERLOAD_RETRY = 5.0  # seconds a refused client should wait when the queue is full


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """What accept needs to know of a link: how it shows texts, and how far it can prove."""

    display: Display
    ceiling: Level


class Accept:
    """Takes submissions of all doors."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        links: Callable[[], dict[LinkName, LinkView]],
        outlook: Callable[[], Outlook],
        intake: Intake,
        durability: str,
        bell: Bell,
        env: Env,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._links = links
        self._outlook = outlook
        self._intake = intake
        self._durability = durability
        self._bell = bell
        self._env = env
        self._metrics = metrics
        self._buckets: dict[str, tuple[ClientSettings, Bucket]] = {}
        self._running: set[tuple[str, str]] = set()
        self._tokens: tuple[int, dict[bytes, str]] = (0, {})
        self.draining = False

    # -------------------------------------------------------------- who

    def identify(self, credential: str, address: str | None = None) -> Client | None:
        """The client whose token this is, if it may come from *address*; see Reception."""
        settings = self._settings()
        if self._tokens[0] != settings.generation:
            known = {
                bytes.fromhex(digest): name
                for name, client in settings.clients.items()
                for digest in client.token_sha256
            }
            self._tokens = (settings.generation, known)
        name = self._tokens[1].get(sha256(credential.encode("utf-8", "surrogatepass")).digest())
        if name is None or not _may_come_from(settings.clients[name], address):
            return None
        return Client(name=name)

    def grants(self, client: Client) -> ClientSettings:
        """What *client* may do; an administrator may do everything."""
        if client.administrator:
            return ClientSettings(may_page=("everyone", "*"))
        return self._settings().clients[client.name]

    def left(self, name: str) -> int | None:
        """How many messages client *name* may submit at this moment; None if its rate is not limited."""
        grants = self._settings().clients.get(name)
        if grants is None or grants.rate is None:
            return None
        return self._bucket(name, grants, self._env.now()).left(self._env.now())

    # -------------------------------------------------------------- what

    async def submit(self, client: Client, submission: Submission) -> Accepted:
        """Check, plan, put on disk, answer; see Reception."""
        if self.draining:
            raise SubmissionError(503, "draining", "the gateway is stopping", retry_after=OVERLOAD_RETRY)
        if submission.idempotency_key is None:
            return await self._submit(client, submission)
        if submission.dry_run:
            return await self._known(client, submission) or await self._submit(client, submission)
        running = (client.name, submission.idempotency_key)
        if running in self._running:
            raise SubmissionError(
                409, "idempotency-key-running", "a request with this key is being served", retry_after=1.0
            )
        self._running.add(running)
        try:
            return await self._known(client, submission) or await self._submit(client, submission)
        finally:
            self._running.discard(running)

    async def _known(self, client: Client, submission: Submission) -> Accepted | None:
        """The first answer under the same key; None if there was none."""
        assert submission.idempotency_key is not None
        known = await self._intake.remembered(client.name, submission.idempotency_key, self._env.now())
        if known is None:
            return None
        if known[0] != submission.request_hash:
            raise _other_content()
        return _accepted(known[1].answer, known[1].public_id, known[1].ref, replay=True)

    async def _submit(self, client: Client, submission: Submission) -> Accepted:
        settings = self._settings()
        now = self._env.now()
        grants = self.grants(client)
        message_class = _class_of(submission, grants)
        recipients = self._recipients(settings, grants, client, submission)
        until = submission.until
        if until is None:
            until = settings.classes[message_class].until
        start, expires = _times(submission, settings, now)
        outlook = self._outlook() if start <= now else ALL_WELL  # how things are then nobody knows
        plan = legs(settings, recipients, message_class, outlook)
        _refuse_unreachable(recipients, plan)
        shown = self._shown(client, submission, message_class, plan)
        warnings = self._warnings(shown, message_class, until)
        if not submission.dry_run:
            self._admit(client, grants, settings, message_class, now)
        alone = len(plan) == 1 and until <= Level.HANDED_OVER and submission.incident is None
        of_class = settings.classes[message_class]
        opened = tuple(
            open_leg(plan, index, message_class, of_class, start, expires)
            for index in first_legs(plan, message_class, outlook)
        )
        id_ = public_id(self._env)
        ends = expires if expires is not None else opened[0].deadline
        answer = self._answer(settings, id_, message_class, until, recipients, plan, start, ends, warnings)
        if submission.dry_run:
            answer["says"] = f"Nothing was saved. {answer['says'].removeprefix('Saved. ')}"
            pages = [
                {"link": link, "texts": one.texts, "cut": one.cut, "replaced": one.replaced}
                for link, one in shown.items()
            ]
            answer |= {"id": None, "ref": None, "url": None, "pages": pages}
            return Accepted(id=id_, ref=None, body=answer)
        new = NewMessage(
            public_id=id_,
            client=client.name,
            to=submission.to,
            content=submission.content,
            message_class=message_class,
            until=until,
            at=now,
            expires=expires,
            deliveries=opened,
            incident=None
            if alone
            else NewIncident(
                key=submission.incident,
                plan=plan,
                due=later(start, of_class.next_leg_after or of_class.deadline),
            ),
            refs=self._refs() if until is Level.ACKNOWLEDGED or message_class.pressing else (),
            idempotency_key=submission.idempotency_key,
            request_hash=submission.request_hash,
            answer=msgspec.json.encode(answer) if submission.idempotency_key is not None else b"",
        )
        storing = Deferred.fromCoroutine(self._intake.accept(new))
        storing.addTimeout(PATIENCE, self._env.clock)  # type: ignore[arg-type]  # Clock is IReactorTime
        try:
            stored = await storing
        except Conflict:
            raise _other_content() from None
        except TimeoutError:
            self._metrics.submissions.labels("slow").inc()
            raise SubmissionError(
                503, "store-slow", f"the disk has not answered for {PATIENCE:g} s", retry_after=PATIENCE
            ) from None
        self._env.failpoint("T1")
        if stored.replay:
            return _accepted(stored.answer, stored.public_id, stored.ref, replay=True)
        self._metrics.submissions.labels("accepted").inc()
        if not stored.joined:
            for delivery in opened:
                self._bell.ring(delivery.link)
            if not alone:
                self._bell.ring("pursue")
        else:
            self._bell.ring("pursue")
            answer["says"] = "Saved. It belongs to an alert that is open already."
        return Accepted(id=id_, ref=stored.ref, body=answer | {"ref": stored.ref})

    def _recipients(
        self, settings: Settings, grants: ClientSettings, client: Client, submission: Submission
    ) -> tuple[Recipient, ...]:
        """Everyone the message is for, each once; raises with every fault at once."""
        if not submission.to:
            raise _faulty(422, Fault(pointer="#/to", code="to.empty", detail="name at least one target"))
        if len(submission.to) > settings.limits.recipients:
            raise _faulty(
                422,
                Fault(
                    pointer="#/to",
                    code="to.too_many",
                    detail=f"at most {settings.limits.recipients} targets, {len(submission.to)} were given",
                ),
            )
        found: dict[tuple[str | None, str | None, str | None], Recipient] = {}
        unknown: list[Fault] = []
        forbidden: list[Fault] = []
        for position, target in enumerate(submission.to):
            pointer = f"#/to/{position}"
            result = expand(settings, target, pointer)
            if isinstance(result, NoSuchTarget):
                unknown.append(_with_suggestions(result.fault, settings, grants))
            elif not may_page(settings, grants, _granted_as(settings, target, result)):
                direct = ":" in target
                forbidden.append(
                    msgspec.structs.replace(
                        unknown_target(target, pointer), code="scope.carrier" if direct else "scope.recipient"
                    )
                )
            else:
                for one in result:
                    found.setdefault((one.person, one.carrier, one.address), one)
        if unknown:
            first = unknown[0]
            detail = first.detail
            if first.code == "unknown-target":
                detail = f"'{first.given}' is not a target that '{client.name}' may page"
            raise SubmissionError(422, first.code, detail, faults=(*unknown, *forbidden))
        if forbidden:
            raise SubmissionError(
                403,
                forbidden[0].code,
                f"'{client.name}' may not page '{forbidden[0].given}'",
                faults=tuple(forbidden),
            )
        return tuple(found.values())

    def _shown(
        self, client: Client, submission: Submission, message_class: MessageClass, plan: tuple[Leg, ...]
    ) -> dict[LinkName, Rendered]:
        """What each link of *plan* makes of the text; the reference is not known yet."""
        links = self._links()
        return {
            link: render(
                submission.content,
                links[link].display,
                message_class=message_class,
                ref=None,
                sender=client.name,
            )
            for link in dict.fromkeys(leg.link for leg in plan)
        }

    def _warnings(
        self, shown: dict[LinkName, Rendered], message_class: MessageClass, until: Level
    ) -> list[dict[str, str]]:
        """What the sender should know before it matters: texts that change on their way, proofs that cannot
        come."""
        links = self._links()
        warnings: list[dict[str, str]] = []
        named = until is Level.ACKNOWLEDGED or message_class.pressing
        for link, rendered in shown.items():
            warnings += _changes(link, links[link].display, rendered, named=named)
        if Level.HANDED_OVER < until < Level.ACKNOWLEDGED and all(
            links[link].ceiling < until for link in shown
        ):
            detail = f"no link of this plan can prove '{until.token}'"
            warnings.append({"code": "until-not-provable", "detail": detail})
        return warnings

    def _admit(
        self,
        client: Client,
        grants: ClientSettings,
        settings: Settings,
        message_class: MessageClass,
        now: Instant,
    ) -> None:
        """Rate of the client, then room in the queue for the class (delivery semantics 10.3)."""
        if grants.rate is not None:
            bucket = self._bucket(client.name, grants, now)
            if not bucket.left(now):
                self._metrics.submissions.labels("over_rate").inc()
                raise SubmissionError(
                    429,
                    "rate",
                    f"'{client.name}' may submit {grants.rate.count:g} in {grants.rate.per:g} s",
                    retry_after=seconds_between(now, bucket.next_at(now)),
                )
            bucket.take()
        share = self._intake.backlog / settings.limits.queue
        if share >= settings.classes[message_class].admission:
            self._metrics.submissions.labels("full").inc()
            raise SubmissionError(
                503,
                "queue-full",
                f"the queue is {share:.0%} full: no room for class {message_class.token}",
                retry_after=OVERLOAD_RETRY,
            )

    def _bucket(self, name: str, grants: ClientSettings, now: Instant) -> Bucket:
        """The client's bucket; a new one when its settings changed."""
        assert grants.rate is not None
        kept = self._buckets.get(name)
        if kept is None or kept[0].rate != grants.rate:
            kept = self._buckets[name] = (grants, Bucket(grants.rate, now))
        return kept[1]

    def _answer(
        self,
        settings: Settings,
        id_: PublicId,
        message_class: MessageClass,
        until: Level,
        recipients: tuple[Recipient, ...],
        plan: tuple[Leg, ...],
        start: Instant,
        ends: Instant,
        warnings: list[dict[str, str]],
    ) -> dict[str, Any]:
        """The body of the positive answer, but for the reference."""
        names = [_name_of(settings, one) for one in recipients]
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        at = rfc3339(start)
        when = "now" if start <= self._env.now() else f"at {at}"
        return {
            "id": id_,
            "state": "open",
            "outcome": None,
            "level": Level.STORED.token,
            "durability": self._durability,
            "says": f"Saved. Paging {shown} {when}.",
            "class": message_class.token,
            "until": until.token,
            "expires_at": rfc3339(ends),
            "url": f"/v1/messages/{id_}",
            "plan": [
                {
                    "at": at,
                    "to": one.person or f"{one.carrier}:{one.address}",
                    "devices": _first_devices(plan, track),
                    "why": "named directly"
                    if one.via == one.person or one.person is None
                    else f"in {one.via}",
                }
                for track, one in enumerate(recipients)
            ],
            "warnings": warnings,
        }

    def _refs(self) -> tuple[Ref, ...]:
        """Candidates for a reference; the store takes the first that is free."""
        drawn = self._env.random.getrandbits(256)  # once for all: 42 letters of 22 need 188 bits
        refs = []
        for length in [4] * REF_CANDIDATES + [6] * LONGER_REF_CANDIDATES:
            ref = ""
            for _ in range(length):
                drawn, letter = divmod(drawn, len(REF_ALPHABET))
                ref += REF_ALPHABET[letter]
            refs.append(Ref(ref))
        return tuple(refs)


def _changes(link: LinkName, display: Display, shown: Rendered, *, named: bool) -> list[dict[str, str]]:
    """What *link* does to the text, as warnings; *named*: the message will have a reference, too."""
    found: list[tuple[str, str]] = []
    size = sum(map(len, shown.texts))
    if shown.withheld and display.shows == "tone":
        found.append(("text-replaced", "its devices show no text: they only sound"))
    elif shown.withheld:
        also = " and the reference" if named and any("{ref}" in form for form in display.forms) else ""
        found.append(("text-replaced", f"the text does not go there: it gets '{shown.texts[0]}'{also}"))
    elif shown.cut:
        end = shown.texts[-1][-40:]
        found.append(("text-cut", f"takes less text: it gets {size} characters, '{end}' at the end"))
    if len(shown.texts) > 1:
        found.append(("text-split", f"takes less text at a time: it gets {len(shown.texts)} parts"))
    if shown.transliterated or shown.replaced:
        changed = shown.transliterated + shown.replaced
        count = "1 character" if changed == 1 else f"{changed} characters"
        lost = f", {shown.replaced} of them lost" if shown.replaced else ""
        detail = f"cannot show {count} of the text as written{lost}: {size} characters go out"
        found.append(("characters-replaced", detail))
    return [{"code": code, "detail": f"{link}: {detail}"} for code, detail in found]


def _granted_as(settings: Settings, target: str, meant: tuple[Recipient, ...]) -> str:
    """The name under which *target* is granted: a code stands for its person."""
    named = ":" in target or target in settings.people or target in settings.groups
    return target if named else meant[0].person or target


def may_page(settings: Settings, grants: ClientSettings, target: str) -> bool:
    """Whether *grants* cover *target*: its name, ``everyone`` (all names), ``carrier:*``, or ``*`` (all)."""
    for granted in grants.may_page:
        if granted in ("*", target):
            return True
        if ":" in target:
            if granted.endswith(":*") and target.startswith(granted[:-1]):
                return True
        elif granted == "everyone" or (
            granted in settings.groups and any(one.person == target for one in _members_of(settings, granted))
        ):
            return True
    return False


def _members_of(settings: Settings, group: str) -> tuple[Recipient, ...]:
    found = expand(settings, group, "#")
    return () if isinstance(found, NoSuchTarget) else found


def _with_suggestions(fault: Fault, settings: Settings, grants: ClientSettings) -> Fault:
    if fault.code != "unknown-target" or fault.given is None:
        return fault
    names = [n for n in (*settings.people, *settings.groups) if may_page(settings, grants, n)]
    close = difflib.get_close_matches(fault.given, names, n=TRY_OTHERS)
    return msgspec.structs.replace(fault, try_=tuple(close))


def _class_of(submission: Submission, grants: ClientSettings) -> MessageClass:
    wanted = submission.message_class
    if wanted is None:
        normal = MessageClass.NORMAL
        return normal if normal in grants.classes else grants.classes[-1]
    if wanted not in grants.classes:
        allowed = ", ".join(one.token for one in grants.classes)
        raise SubmissionError(
            403,
            "scope.class",
            f"class {wanted.token} is not granted; granted: {allowed}",
            faults=(
                Fault(
                    pointer="#/class",
                    code="scope.class",
                    detail=f"granted: {allowed}",
                    given=wanted.token,
                    try_=tuple(one.token for one in grants.classes),
                ),
            ),
        )
    return wanted


def _times(submission: Submission, settings: Settings, now: Instant) -> tuple[Instant, Instant | None]:
    """When sending starts and when the message is no longer worth having; raises for what cannot be."""
    longest = settings.limits.expires
    start = now
    if submission.not_before is not None and submission.not_before > now:
        if submission.not_before > later(now, longest):
            raise _faulty(
                422,
                Fault(
                    pointer="#/not_before",
                    code="deadline.too_far",
                    detail=f"at most {longest / 86400:g} days from now",
                ),
            )
        start = submission.not_before
    if submission.expires_in is None:
        return start, None
    if submission.expires_in <= 0:
        raise _faulty(
            422, Fault(pointer="#/expires_in", code="deadline.past", detail="must be more than 0 seconds")
        )
    if submission.expires_in > longest:
        raise _faulty(
            422,
            Fault(
                pointer="#/expires_in",
                code="deadline.too_far",
                detail=f"at most {longest / 86400:g} days, {submission.expires_in:g} s were given",
            ),
        )
    expires = later(now, submission.expires_in)
    if expires <= start:
        raise _faulty(
            422,
            Fault(pointer="#/expires_in", code="deadline.past", detail="it would expire before not_before"),
        )
    return start, expires


def _refuse_unreachable(recipients: tuple[Recipient, ...], plan: tuple[Leg, ...]) -> None:
    reachable = {leg.track for leg in plan}
    missing = [one.via for track, one in enumerate(recipients) if track not in reachable]
    if missing:
        raise _faulty(
            422,
            Fault(
                pointer="#/to",
                code="no-device",
                detail=f"no device of {', '.join(missing)} is in the plan for this class",
                given=missing[0],
            ),
        )


def _first_devices(plan: tuple[Leg, ...], track: int) -> list[str]:
    devices = (
        leg.device or leg.link.partition(".")[0] for leg in plan if leg.track == track and leg.item == 0
    )
    return list(dict.fromkeys(devices))


def _name_of(settings: Settings, recipient: Recipient) -> str:
    if recipient.person is not None:
        return settings.people[recipient.person].name
    return f"{recipient.carrier}:{recipient.address}"


def _may_come_from(client: ClientSettings, address: str | None) -> bool:
    """Whether *address* is in one of the client's networks; an IPv4 address on a dual-stack door counts."""
    if not client.networks or address is None:
        return True
    return in_networks(address, client.networks)


def _faulty(status: int, fault: Fault) -> SubmissionError:
    return SubmissionError(status, fault.code, fault.detail, faults=(fault,))


def _other_content() -> SubmissionError:
    return SubmissionError(
        422, "idempotency-key-reused", "this Idempotency-Key was used for a request with other content"
    )


def _accepted(answer: bytes, id_: PublicId, ref: Ref | None, *, replay: bool) -> Accepted:
    body: dict[str, Any] = msgspec.json.decode(answer)
    return Accepted(id=id_, ref=ref, body=body | {"ref": ref}, replay=replay)
