"""A small gateway in memory for the tests of the API: what the other rooms would do, in few words."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from gateway.adapters.base import Accepted, Client, Findings, Submission
from gateway.api.ports import Api, Health, LastFailure, LinkStatus, PathDown, PlannedLeg, Resting
from gateway.api.routes import make_router
from gateway.bell import Bell
from gateway.env.simulated import BOOT, SimulatedEnv, run
from gateway.errors import Conflict, SubmissionError
from gateway.lifecycle import State
from gateway.lines import LineStatus, Trouble
from gateway.model import (
    Content,
    DeliveryKey,
    IncidentKey,
    Instant,
    Leg,
    LinkName,
    MessageClass,
    MessageKey,
    PublicId,
    Ref,
    later,
)
from gateway.notify import Tested
from gateway.observe import Metrics
from gateway.outcome import Level
from gateway.settings.types import (
    Carrier,
    ClassSettings,
    ClientSettings,
    LinkSettings,
    Listen,
    Person,
    Rate,
    Settings,
    Site,
)
from gateway.store.base import DeliveryRow, EventRow, IncidentRow, MessageRow
from gateway.web import Peer, Request, Response, Stream

UID = 991
WEB, PHONE, SMS = LinkName("spok.web"), LinkName("spok.phone"), LinkName("sms.smpp")
T0 = BOOT


def settings(**changes: Any) -> Settings:
    one = ClassSettings(
        deadline=900.0,
        next_leg_after=10.0,
        waits=(0.0, 5.0),
        step_wait=120.0,
        until=Level.HANDED_OVER,
        in_doubt="resend",
    )
    plain = Settings(
        site=Site(name="St Anne", zone="Europe/Paris"),
        listen=Listen(),
        clients={
            "monitoring": ClientSettings(
                may_page=("alice", "heart-team", "sms:*"), rate=Rate(count=60, per=60)
            ),
            "ward": ClientSettings(may_page=("everyone",), networks=("10.1.7.0/24",)),
        },
        classes=dict.fromkeys(MessageClass, one),
        texts={"default": ("{text}",)},
        carriers={
            "spok": Carrier(
                links={
                    "web": LinkSettings(adapter="wctp"),
                    "phone": LinkSettings(adapter="tap", path="phone"),
                }
            ),
            "sms": Carrier(links={"smpp": LinkSettings(adapter="smpp")}),
        },
        plans={},
        people={
            "alice": Person(name="Alice Moreau", devices={"pager": "spok:5551212"}),
            "carol": Person(name="Carol Diaz"),
            "bob": Person(name="Bob Ferrand", devices={"mobile": "sms:+33612345678"}),
        },
        groups={"heart-team": ("alice", "bob")},
    )
    return msgspec.structs.replace(plain, **changes)


def delivery(key: int, **changes: Any) -> DeliveryRow:
    plain = DeliveryRow(
        delivery=DeliveryKey(key),
        leg=0,
        person="alice",
        device="pager",
        address="5551212",
        link=WEB,
        state=State.WAITING,
        level=Level.STORED,
        due=T0,
        deadline=later(T0, 900),
        tries=0,
        connects=0,
        doubts=0,
        dup_risk=False,
        reason=None,
        code=None,
        why=None,
        setback=None,
        opened_at=T0,
        changed_at=T0,
    )
    return msgspec.structs.replace(plain, **changes)


def event(n: int, kind: str, seconds: float = 0.0, delivery: int | None = None, **data: Any) -> EventRow:
    key = None if delivery is None else DeliveryKey(delivery)
    return EventRow(n=n, at=later(T0, seconds), kind=kind, delivery=key, data=data)


def message(key: int, ref: str | None, **changes: Any) -> MessageRow:
    """An open critical message of monitoring to Alice, then Bob; one copy waits."""
    plain = MessageRow(
        message=MessageKey(key),
        public_id=PublicId(f"01jdb7q5t0{key:016d}"),
        ref=None if ref is None else Ref(ref),
        client="monitoring",
        to=("heart-team",),
        content=Content(text="Cath lab 2: STEMI in 10 min"),
        message_class=MessageClass.CRITICAL,
        until=Level.ACKNOWLEDGED,
        at=T0,
        expires=None,
        ending=None,
        level=Level.STORED,
        accepted_by=None,
        accepted_at=None,
        incident=IncidentKey(key + 1000),
        incident_key=None,
        incident_due=later(T0, 120),
        plan=(
            Leg(person="alice", device="pager", address="5551212", link=WEB),
            Leg(person="alice", device="pager", address="5551212", link=PHONE, place=1, path="phone"),
            Leg(track=1, person="bob", device="mobile", address="+33612345678", link=SMS),
        ),
        deliveries=(delivery(key * 10),),
        timeline=(event(1, "stored", to=["heart-team"]),),
    )
    return msgspec.structs.replace(plain, **changes)


class Shelf:
    """Records and DeskRoom over a dictionary of rows."""

    def __init__(self, *rows: MessageRow) -> None:
        self.rows = {row.message: row for row in rows}
        self.links: list[tuple[str, str, str, str | None]] = []
        self.done: list[tuple[Any, ...]] = []

    def put(self, row: MessageRow) -> None:
        self.rows[row.message] = row

    def change(self, key: MessageKey, **changes: Any) -> None:
        self.rows[key] = msgspec.structs.replace(self.rows[key], **changes)

    async def message(self, key: str, *, client: str | None) -> MessageRow | None:
        for row in self.rows.values():
            if key in (row.public_id, row.ref) and client in (None, row.client):
                return row
        return None

    async def messages(
        self, *, client: str | None, state: str, limit: int, before: MessageKey | None
    ) -> tuple[MessageRow, ...]:
        def wanted(row: MessageRow) -> bool:
            if client not in (None, row.client) or (before is not None and row.message >= before):
                return False
            held = any(d.state is State.HELD for d in row.deliveries)
            return {
                "open": row.ending is None,
                "ended": row.ending is not None,
                "needs_you": held or row.ending == "unanswered",
                "all": True,
            }[state]

        found = sorted(filter(wanted, self.rows.values()), key=lambda row: -row.message)
        return tuple(msgspec.structs.replace(row, timeline=()) for row in found[:limit])

    async def incident(self, key: str, *, client: str | None, limit: int) -> IncidentRow | None:
        mine = [row for row in self.rows.values() if client in (None, row.client)]
        found = [row for row in mine if key in (row.incident_key, row.public_id, row.ref)]
        if not found or found[0].incident is None:
            return None
        main = found[0]
        assert main.incident is not None
        return IncidentRow(
            incident=main.incident,
            client=main.client,
            key=main.incident_key,
            message_class=main.message_class,
            begun_at=main.at,
            ending=main.ending,
            ended_at=None,
            first=main.public_id,
            main=main,
            messages=(msgspec.structs.replace(main, timeline=()),),
            count=1,
        )

    def _of(self, incident: IncidentKey) -> MessageRow:
        return next(row for row in self.rows.values() if row.incident == incident)

    async def resolve(
        self, incident: IncidentKey, *, by: str, recorded_by: str, why: str | None, now: Instant
    ) -> bool:
        row = self._of(incident)
        if row.ending is not None:
            return False
        self.done.append(("resolve", by, recorded_by, why))
        over = event(len(row.timeline) + 1, "resolved", by=by, why=why)
        self.change(row.message, ending="cancelled", timeline=(*row.timeline, over))
        return True

    async def mute(
        self,
        incident: IncidentKey,
        *,
        until: Instant | None,
        even_critical: bool,
        by: str,
        recorded_by: str,
        now: Instant,
    ) -> None:
        self.done.append(("mute", by, recorded_by, even_critical))
        self.change(self._of(incident).message, muted_until=until)

    async def counts(self) -> tuple[Any, ...]:
        return ()

    async def link_modes(self) -> dict[LinkName, tuple[str, str, str | None]]:
        return {}

    async def acknowledge(
        self, message: MessageKey, *, by: str, note: str | None, recorded_by: str, now: Instant
    ) -> str:
        row = self.rows[message]
        if row.accepted_by is not None:
            return row.accepted_by
        if row.ending is not None:
            raise Conflict("it ended without")
        self.done.append(("acknowledge", by, note, recorded_by))
        self.change(message, accepted_by=by, accepted_at=now, ending="confirmed", level=Level.ACKNOWLEDGED)
        return by

    async def cancel(self, message: MessageKey, *, by: str, why: str | None, now: Instant) -> bool:
        row = self.rows[message]
        if row.ending is not None:
            return False
        stopped = event(len(row.timeline) + 1, "stopped", by=by, why=why)
        self.change(message, ending="cancelled", timeline=(*row.timeline, stopped))
        return True

    async def retry(self, message: MessageKey, *, by: str, now: Instant, deadline: Instant) -> int:
        self.done.append(("retry", by, deadline - now))
        return sum(d.state is State.FAILED for d in self.rows[message].deliveries)

    async def pause(self, message: MessageKey, *, by: str, now: Instant) -> int:
        self.done.append(("pause", by))
        return 1

    async def resume(self, message: MessageKey, *, by: str, now: Instant) -> int:
        self.done.append(("continue", by))
        return 0

    async def decide(self, message: MessageKey, *, again: bool, by: str, now: Instant) -> int:
        self.done.append(("decide", again, by))
        return 1

    async def set_link(self, *args: Any, **rest: Any) -> None:
        raise AssertionError("the lanes do that")

    async def drop_link(self, link: LinkName, now: Instant) -> int:
        return 0


class Desk:
    """Reception, the lanes and the operations of a gateway that does as it is told."""

    def __init__(self) -> None:
        self.now_settings = settings()
        self.submissions: list[tuple[Client, Submission]] = []
        self.error: Exception | None = None
        self.replay = False
        self.ready = True
        self.orders: list[tuple[str, str, str, str | None]] = []
        self.reload_error: Exception | None = None
        self.down: tuple[PathDown, ...] = ()
        self.modem_lines = (
            LineStatus(
                name="modem-1",
                pool="modems",
                in_use=False,
                trouble=Trouble(
                    code="no-dialtone",
                    why="the modem says NO DIALTONE",
                    since=T0,
                    calls=4,
                    moved=3,
                    rests_until=later(T0, 60),
                ),
            ),
            LineStatus(name="modem-2", pool="modems", in_use=True),
        )
        self.links = (
            LinkStatus(
                link=WEB,
                adapter="wctp",
                carrier="spok",
                path="internet",
                ceiling=Level.HANDED_OVER,
                state="resting",
                breaker=Resting(failures=5, until=later(T0, 40)),
                waiting={MessageClass.CRITICAL: 1, MessageClass.NORMAL: 2},
                oldest_at=T0,
            ),
            LinkStatus(
                link=PHONE,
                adapter="tap",
                carrier="spok",
                path="phone",
                ceiling=Level.HANDED_OVER,
                state="down",
                last_failure=LastFailure(at=T0, says="no dial tone", times=4),
            ),
            LinkStatus(
                link=SMS,
                adapter="smpp",
                carrier="sms",
                path="internet",
                ceiling=Level.ON_DEVICE,
                state="working",
                last_taken_at=T0,
            ),
        )

    # Reception

    def identify(self, credential: str, address: str | None = None) -> Client | None:
        known = {"m-token": "monitoring", "w-token": "ward"}.get(credential)
        if known is None or (known == "ward" and address != "10.1.7.9"):
            return None
        return Client(name=known)

    async def submit(self, client: Client, submission: Submission) -> Accepted:
        if self.error is not None:
            raise self.error
        self.submissions.append((client, submission))
        body = {
            "id": "01jdb7q5t0" + "0" * 16,
            "ref": "7K3M",
            "state": "open",
            "outcome": None,
            "level": "stored",
            "durability": "disk",
            "says": "Saved. Paging Alice Moreau now.",
            "class": "critical",
            "until": "acknowledged",
            "expires_at": None,
            "url": "/v1/messages/01jdb7q5t0" + "0" * 16,
            "console": None,
            "plan": [],
            "warnings": [],
        }
        return Accepted(id=PublicId(body["id"]), ref=Ref("7K3M"), body=body, replay=self.replay)

    async def standing(self, client: Client, key: str) -> dict[str, Any] | None:
        return None

    async def report(self, link: LinkName, evidence: Any) -> None:
        raise AssertionError("not of the API")

    # Lanes

    def status(self) -> tuple[LinkStatus, ...]:
        return self.links

    def lines(self) -> tuple[LineStatus, ...]:
        return self.modem_lines

    def paths_down(self) -> tuple[PathDown, ...]:
        return self.down

    async def set_mode(self, link: LinkName, mode: Any, by: str, why: str | None) -> None:
        self.orders.append((link, mode, by, why))
        state = {"open": "idle"}.get(mode, mode)
        self.links = tuple(
            msgspec.structs.replace(s, mode=mode, state=state, by=by, why=why) if s.link == link else s
            for s in self.links
        )

    def transcript(self, link: LinkName) -> tuple[str, ...]:
        return ("2026-11-21T02:15:09.000Z < 220 ready\\r\\n",)

    async def probe(self, link: LinkName) -> Findings:
        return Findings(reached=True, says="It answers.", capabilities={"version": "1.3"})

    # Operations

    async def reload(self) -> int:
        if self.reload_error is not None:
            raise self.reload_error
        self.now_settings = settings(generation=2, warnings=("a gap in a rota",))
        return 2

    def settings(self) -> Settings:
        return self.now_settings

    def explain(self, target: str, message_class: MessageClass, at: Instant) -> tuple[PlannedLeg, ...]:
        if target not in self.now_settings.people:
            raise SubmissionError(422, "unknown-target", f"{target} is not a target")
        return (
            PlannedLeg(at=at, person=target, device="pager", address="5551212", link=WEB, why="first device"),
        )

    def health(self) -> Health:
        return Health(
            ready=self.ready,
            codes=() if self.ready else ("store-full",),
            reasons=() if self.ready else ("The disk is nearly full.",),
            version="0.1.0",
            generation=self.now_settings.generation,
            durability="disk",
            started_at=T0,
            backlog=3,
        )

    # Webhooks

    async def test(self, client: str) -> Tested | None:
        if client != "monitoring":
            return None
        return Tested(id="msg_test_1", status=200, why=None, seconds=0.25)

    def left(self, client: str) -> int | None:
        return 59


class Paths:
    """Cuts, and what was ordered."""

    def __init__(self) -> None:
        self.orders: list[tuple[Any, ...]] = []

    def cut(self, path: str, *, seconds: float | None, refuse: bool) -> None:
        self.orders.append(("cut", path, seconds, refuse))

    def mend(self, path: str) -> None:
        self.orders.append(("mend", path))


class ApiWorld:
    """An API over a Shelf and a Desk, and a caller."""

    def __init__(self, *, demo: bool = True) -> None:
        self.env = SimulatedEnv(7)
        self.paths = Paths()
        self.shelf = Shelf(
            message(1, "7K3M", incident_key="INC0012345"),
            message(2, "7K9T", deliveries=(delivery(20, state=State.HELD, doubts=2, due=None),)),
            message(
                3,
                "7KCP",
                ending="failed",
                incident_due=None,
                deliveries=(delivery(30, state=State.FAILED, why="unknown pager 5551212", code="550"),),
            ),
            message(4, "7KDD", client="ward"),
        )
        self.desk = Desk()
        self.bell = Bell()
        self.api = Api(
            env=self.env,
            reception=self.desk,
            records=self.shelf,
            desk=self.shelf,
            bell=self.bell,
            lanes=self.desk,
            operations=self.desk,
            webhooks=self.desk,
            metrics=Metrics("0.1.0"),
            uid=UID,
            cuts=self.paths if demo else None,
        )
        self.router = make_router(self.api)
        self.requests = 0

    def request(
        self,
        method: str,
        url: str,
        body: Any = b"",
        *,
        token: str | None = "m-token",
        uid: int | None = None,
        address: str | None = "10.1.7.9",
        **headers: str,
    ) -> Request:
        parts = urlsplit(url)
        fields = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
        if token is not None and uid is None:
            fields.setdefault(b"authorization", f"Bearer {token}".encode())
        self.requests += 1
        number = self.requests
        return Request(
            method=method,
            path=unquote(parts.path),
            query=parse_qs(parts.query, keep_blank_values=True),
            fields=fields,
            body=body if isinstance(body, bytes) else msgspec.json.encode(body),
            peer=Peer(uid=uid) if uid is not None else Peer(address=address),
            make_id=lambda: f"r-{number}",
        )

    def send(self, request: Request) -> Response:
        answer = run(self.env.world, self.router(request))
        if isinstance(answer, Stream):
            answer = run(self.env.world, _whole(answer))
        assert isinstance(answer, Response)
        return answer

    def call(self, method: str, url: str, body: Any = b"", **rest: Any) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        answer = self.send(self.request(method, url, body, **rest))
        return answer.status, msgspec.json.decode(answer.body)

    def problem(self, body: Any, url: str = "/v1/messages", **rest: Any) -> tuple[int, str]:
        """Status and code of the answer to a POST that is refused; nothing was submitted."""
        status, answer = self.call("POST", url, body, **rest)
        assert status >= 400, answer
        assert answer["stored"] is False
        assert self.desk.submissions == []
        return status, answer["code"]


def main() -> None:
    """Serve it on a free port of this machine, and print the port."""
    from twisted.internet import reactor

    from gateway.api.problems import problem_response
    from gateway.web import HttpServer

    world = ApiWorld()
    server = HttpServer(
        handler=world.router,
        clock=reactor,
        wall=world.env.wall,
        make_id=lambda: "r-1",
        problem=problem_response,
    )
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()


async def _whole(stream: Stream) -> Response:
    """A stream that ends by itself, read to its end."""
    body = b"".join([chunk async for chunk in stream.chunks])
    return Response(status=stream.status, headers=stream.headers, body=body)
