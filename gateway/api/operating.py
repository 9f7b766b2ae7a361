"""Calls that look round and, for administrators, that run the gateway."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.accept import may_page
from gateway.api import answers, bodies, standing
from gateway.api.bodies import ExplainQuery, LinkOrder, NothingBody, TargetsQuery
from gateway.api.calls import Call, around, refuse
from gateway.api.ports import BEARABLE, Api, LinkStatus, Mode
from gateway.api.problems import KINDS, shown
from gateway.api.reading import read
from gateway.api.submitting import CLASSES, Words
from gateway.api.times import instant_of
from gateway.errors import Fault, SubmissionError
from gateway.model import Instant, LinkName, MessageClass, rfc3339, seconds_between
from gateway.settings.kinds import show_rate
from gateway.settings.types import ClientSettings, Settings
from gateway.web import Response, json_response

MAX_TARGETS = 200  # ours: more than a person reads
MAX_STUCK = 200


async def livez(api: Api, call: Call) -> Response:
    return json_response(answers.Live())


async def readyz(api: Api, call: Call) -> Response:
    health = api.operations.health()
    ready = BEARABLE.issuperset(health.codes)
    answer = answers.Ready(ready=ready, reasons=health.codes)
    return json_response(answer, 200 if ready else 503)


async def metrics(api: Api, call: Call) -> Response:
    content_type, page = api.metrics.exposition(call.request.header("accept") or "")
    return Response(headers=(("Content-Type", content_type),), body=page)


async def health(api: Api, call: Call) -> Response:
    now = api.operations.health()
    return json_response(
        answers.HealthAnswer(
            ready=now.ready,
            codes=now.codes,
            reasons=now.reasons,
            version=now.version,
            generation=now.generation,
            durability=now.durability,
            started_at=rfc3339(now.started_at),
            up_seconds=max(0, int(seconds_between(now.started_at, api.env.now()))),
            backlog=now.backlog,
        )
    )


async def whoami(api: Api, call: Call) -> Response:
    name = call.client.name
    granted = _granted(api.operations.settings(), call)
    return json_response(
        answers.Whoami(
            client=name,
            administrator=call.client.administrator,
            may_page=granted.may_page,
            classes=tuple(c.token for c in granted.classes),  # type: ignore[misc]  # the tokens are the words
            rate=None if granted.rate is None else show_rate(granted.rate),
            left=None if call.client.administrator else api.operations.left(name),
        )
    )


def _granted(settings: Settings, call: Call) -> ClientSettings:
    """What the settings grant the caller; everything to an administrator."""
    if call.client.administrator:
        return ClientSettings(may_page=("everyone", "*"))
    return settings.clients.get(call.client.name, ClientSettings(classes=()))


async def targets(api: Api, call: Call) -> Response:
    query: TargetsQuery = call.query
    settings = api.operations.settings()
    wanted = query.q.casefold()
    found = sorted(
        (
            target
            for target in _may_page(settings, _granted(settings, call))
            if wanted in target.name.casefold() or wanted in target.says.casefold()
        ),
        key=lambda target: target.name,
    )
    return json_response(answers.Targets(targets=tuple(found[:MAX_TARGETS]), more=len(found) > MAX_TARGETS))


def _may_page(settings: Settings, granted: ClientSettings) -> Iterator[answers.Target]:
    for name, person in settings.people.items():
        if may_page(settings, granted, name):
            yield answers.Target(name=name, kind="person", says=person.name)
    for name, members in settings.groups.items():
        if may_page(settings, granted, name):
            people = "1 member" if len(members) == 1 else f"{len(members)} members"
            yield answers.Target(name=name, kind="group", says=f"{name}: {people}")
    for carrier in settings.carriers:
        if may_page(settings, granted, f"{carrier}:*"):
            yield answers.Target(name=f"{carrier}:*", kind="carrier", says=f"any address at {carrier}")
    for grant in granted.may_page:
        carrier, colon, address = grant.partition(":")
        if colon and address != "*":
            yield answers.Target(name=grant, kind="address", says=f"{address} at {carrier}")


async def problem(api: Api, call: Call) -> Response:
    kind = KINDS.get(call.key)
    if kind is None:
        raise refuse("not-found", "There is no such kind of problem.")
    return json_response(kind)


# ---------------------------------------------------------------- administrators


async def links(api: Api, call: Call) -> Response:
    return json_response(standing.links_of(around(api)))


async def suspend(api: Api, call: Call) -> Response:
    return await _order(api, call, "suspended")


async def resume(api: Api, call: Call) -> Response:
    return await _order(api, call, "open")


async def drain(api: Api, call: Call) -> Response:
    return await _order(api, call, "draining")


async def _order(api: Api, call: Call, mode: Mode) -> Response:
    body = read(call.request, LinkOrder)
    name = _link(api, call).link
    words = Words(api.operations.settings().limits, [])
    why = words.maybe("why", body.why, bodies.MAX_NOTE)
    words.settle()
    await api.lanes.set_mode(name, mode, call.client.name, why)
    api.bell.ring(name)
    return json_response(standing.link_of(_link(api, call), around(api)))


async def probe(api: Api, call: Call) -> Response:
    read(call.request, NothingBody)
    is_line = call.key in api.operations.settings().lines
    name = LinkName(call.key) if is_line else _link(api, call).link
    found = await api.lanes.probe(name)
    return json_response(
        answers.Probed(link=name, reached=found.reached, says=found.says, capabilities=found.capabilities)
    )


async def transcript(api: Api, call: Call) -> Response:
    name = _link(api, call).link
    return json_response(answers.LinkTranscript(link=name, lines=api.lanes.transcript(name)))


def _link(api: Api, call: Call) -> LinkStatus:
    for status in api.lanes.status():
        if status.link == LinkName(call.key):
            return status
    raise refuse("unknown-link", f"There is no link {shown(call.key)}.")


async def stuck(api: Api, call: Call) -> Response:
    rows = await api.records.messages(client=None, state="needs_you", limit=MAX_STUCK, before=None)
    return json_response(standing.stuck_of(rows, around(api)))


async def reload(api: Api, call: Call) -> Response:
    read(call.request, NothingBody)
    generation = await api.operations.reload()
    warnings = api.operations.settings().warnings
    many = (
        ""
        if not warnings
        else ", with a warning"
        if len(warnings) == 1
        else f", with {len(warnings)} warnings"
    )
    return json_response(
        answers.Reloaded(
            generation=generation, warnings=warnings, says=f"Settings {generation} are in effect{many}."
        )
    )


async def explain(api: Api, call: Call) -> Response:
    query: ExplainQuery = call.query
    at = api.env.wall() if query.at is None else _at(query.at)
    message_class: MessageClass = CLASSES[query.message_class]
    a = around(api)
    return json_response(
        answers.Explained(
            target=query.target,
            message_class=query.message_class,
            at=rfc3339(at),
            plan=tuple(
                answers.ExplainedLeg(
                    at=rfc3339(leg.at),
                    person=leg.person,
                    device=leg.device,
                    address=leg.address,
                    link=leg.link,
                    why=leg.why,
                    says=f"{a.time(leg.at)} {a.whose(leg.person, leg.device, leg.address)}"
                    f" by {a.way(leg.link)}: {leg.why}",
                )
                for leg in api.operations.explain(query.target, message_class, at)
            ),
        )
    )


def _at(text: str) -> Instant:
    try:
        at = instant_of(text)
    except ValueError:
        at = None
    if at is None:
        fault = Fault(
            pointer="?at",
            code="query.value",
            detail="at must be a time with zone, like 2026-11-22T02:00:00Z.",
            given=shown(text),
        )
        raise SubmissionError(400, fault.code, fault.detail, faults=(fault,))
    return at
