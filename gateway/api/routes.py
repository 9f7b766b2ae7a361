"""Everything that can be called, as one table: method, path, who may, what is sent, what comes back.

A call that is not in the table does not exist, and one that does not say who may make it cannot be
written. The OpenAPI document and the tests of roles and examples read the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from gateway.adapters.base import Client
from gateway.api import answers, batch, bodies, cutting, incidents, messages, operating, webhooks
from gateway.api.bodies import NoQuery
from gateway.api.calls import Call, Example, Route, Who, authenticate, refuse
from gateway.api.openapi import document
from gateway.api.ports import Api
from gateway.api.problems import problem_response, response_to
from gateway.api.reading import read_query
from gateway.errors import Conflict, SettingsError, StoreFailed, StoreFull, SubmissionError
from gateway.web import Answer, Request, Response, Router, json_response

_HELLO = {"to": "alice", "text": "hello from curl"}
_TWO = [{"key": "a-1", **_HELLO}, {"key": "a-2", "to": "bob", "text": "hello from curl"}]
_EVERYTHING = {
    "to": ["heart-team"],
    "text": "Cath lab 2: STEMI in 10 min",
    "callback": "4411",
    "class": "critical",
    "until": "acknowledged",
    "expires_in": "20m",
    "not_before": None,
    "incident": "INC0012345",
    "details": "for devices with room",
    "urls": [{"text": "ticket", "href": "https://itsm.example/INC0012345"}],
    "replies": ["OK", "On my way", "Cannot"],
    "labels": {"ward": "C3"},
}
_SUBMIT = (
    "to.empty",
    "to.too_many",
    "text.empty",
    "text.too_long",
    "text.control_char",
    "address.not_ascii",
    "address.control_char",
    "address.pattern",
    "deadline.syntax",
    "deadline.no_zone",
    "deadline.past",
    "deadline.too_far",
    "idempotency_key.invalid",
    "idempotency-key-reused",
    "idempotency-key-running",
    "unknown-target",
    "no-device",
    "scope.recipient",
    "scope.carrier",
    "scope.class",
    "rate",
    "queue-full",
    "draining",
    "store-full",
    "store-failed",
)


async def _openapi(api: Api, call: Call) -> Response:
    return json_response(document(ROUTES))


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/messages",
        who=Who.CLIENT,
        call=messages.submit,
        says="Submit a message",
        query=bodies.SubmitQuery,
        body=bodies.MessageBody,
        answer=answers.Submitted,
        status=202,
        problems=_SUBMIT,
        examples=(
            Example(name="least", path="/v1/messages", body=_HELLO, status=202),
            Example(
                name="everything",
                path="/v1/messages",
                headers={"Idempotency-Key": "7f0c1a52"},
                body=_EVERYTHING,
                status=202,
            ),
            Example(name="dry run", path="/v1/messages?dry_run=true", body=_HELLO, status=200),
            Example(name="nobody", path="/v1/messages", body={"to": [], "text": "hello"}, status=422),
            Example(
                name="misspelt", path="/v1/messages", body=_HELLO | {"prioritty": "critical"}, status=400
            ),
        ),
    ),
    Route(
        method="POST",
        path="/v1/messages/batch",
        who=Who.CLIENT,
        call=batch.submit,
        says="Submit up to 1000 messages, each taken or refused on its own",
        query=bodies.BatchQuery,
        body=bodies.BatchBody,
        answer=answers.BatchAnswer,
        lines=(bodies.ItemBody, answers.BatchResult),
        problems=("field.empty", "field.too_many", "idempotency_key.invalid", "batch-refused", "rate"),
        examples=(
            Example(name="two", path="/v1/messages/batch", body={"messages": _TWO}, status=200),
            Example(
                name="all or nothing",
                path="/v1/messages/batch?all_or_nothing=true",
                body={"messages": _TWO},
                status=200,
            ),
            Example(name="none", path="/v1/messages/batch", body={"messages": []}, status=422),
        ),
    ),
    Route(
        method="GET",
        path="/v1/messages",
        who=Who.CLIENT,
        call=messages.listing,
        says="List messages, newest first: your own, or everybody's for an administrator",
        query=bodies.ListQuery,
        answer=answers.Messages,
        examples=(Example(name="open", path="/v1/messages?state=open&limit=10", status=200),),
    ),
    Route(
        method="GET",
        path="/v1/messages/{id}",
        who=Who.CLIENT,
        call=messages.status,
        says="Where a message stands, by id or reference; may wait for it",
        query=bodies.StatusQuery,
        answer=answers.Status,
        problems=("not-found",),
        examples=(
            Example(name="by reference", path="/v1/messages/{open}", status=200),
            Example(name="wait", path="/v1/messages/{ended}?wait=60&until=acknowledged", status=200),
            Example(name="unknown", path="/v1/messages/ZZZZ", status=404),
        ),
    ),
    Route(
        method="GET",
        path="/v1/messages/{id}/events",
        who=Who.CLIENT,
        call=messages.events,
        says="The timeline of a message; with `Accept: text/event-stream` as it grows",
        query=bodies.EventsQuery,
        answer=answers.Events,
        streams=True,
        problems=("not-found",),
        examples=(
            Example(name="later ones", path="/v1/messages/{open}/events?after=1", status=200),
            Example(
                name="stream",
                path="/v1/messages/{ended}/events",
                headers={"Accept": "text/event-stream"},
                status=200,
            ),
        ),
    ),
    Route(
        method="POST",
        path="/v1/messages/{id}/acknowledge",
        who=Who.CLIENT,
        call=messages.acknowledge,
        says="A named human has it: nothing more is begun",
        query=NoQuery,
        body=bodies.AcknowledgeBody,
        answer=answers.Done,
        problems=("not-found", "person-required", "unknown-person", "already-ended"),
        examples=(
            Example(
                name="by phone",
                path="/v1/messages/{open}/acknowledge",
                body={"by": "bob", "note": "on his way", "recorded_by": "dana"},
                status=200,
            ),
            Example(name="nobody", path="/v1/messages/{open}/acknowledge", body={}, status=422),
        ),
    ),
    Route(
        method="POST",
        path="/v1/messages/{id}/cancel",
        who=Who.CLIENT,
        call=messages.cancel,
        says="Stop a message; what is being sent just now may still arrive",
        query=NoQuery,
        body=bodies.CancelBody,
        answer=answers.Done,
        problems=("not-found",),
        examples=(
            Example(
                name="false alarm",
                path="/v1/messages/{open}/cancel",
                body={"why": "false alarm"},
                status=200,
            ),
        ),
    ),
    Route(
        method="POST",
        path="/v1/messages/{id}/retry",
        who=Who.ADMINISTRATOR,
        call=messages.retry,
        says="Send again what ended without being taken",
        query=NoQuery,
        body=bodies.NothingBody,
        answer=answers.Done,
        problems=("not-found", "conflict"),
        examples=(Example(name="again", path="/v1/messages/{ended}/retry", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/messages/{id}/pause",
        who=Who.ADMINISTRATOR,
        call=messages.pause,
        says="Keep back what waits, until it is continued",
        query=NoQuery,
        body=bodies.NothingBody,
        answer=answers.Done,
        problems=("not-found",),
        examples=(Example(name="pause", path="/v1/messages/{open}/pause", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/messages/{id}/continue",
        who=Who.ADMINISTRATOR,
        call=messages.go_on,
        says="Continue what was paused",
        query=NoQuery,
        body=bodies.NothingBody,
        answer=answers.Done,
        problems=("not-found",),
        examples=(Example(name="continue", path="/v1/messages/{open}/continue", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/messages/{id}/decide",
        who=Who.ADMINISTRATOR,
        call=messages.decide,
        says="Answer for what may have gone: send again (may come twice), or leave it",
        query=NoQuery,
        body=bodies.DecideBody,
        answer=answers.Done,
        problems=("not-found",),
        examples=(
            Example(name="again", path="/v1/messages/{held}/decide", body={"again": True}, status=200),
        ),
    ),
    Route(
        method="GET",
        path="/v1/messages/{id}/why",
        who=Who.ADMINISTRATOR,
        call=messages.why,
        says="The story of a message in sentences",
        query=NoQuery,
        answer=answers.Why,
        problems=("not-found",),
        examples=(Example(name="why", path="/v1/messages/{open}/why", status=200),),
    ),
    Route(
        method="GET",
        path="/v1/incidents/{key}",
        who=Who.CLIENT,
        call=incidents.status,
        says="All that was sent for one trouble, by your own name for it or by any of its messages",
        query=NoQuery,
        answer=answers.Incident,
        problems=("not-found", "conflict"),
        examples=(
            Example(name="by its name", path="/v1/incidents/INC0012345", status=200),
            Example(name="by a message", path="/v1/incidents/{open}", status=200),
            Example(name="unknown", path="/v1/incidents/INC0", status=404),
        ),
    ),
    Route(
        method="POST",
        path="/v1/incidents/{key}/acknowledge",
        who=Who.CLIENT,
        call=incidents.acknowledge,
        says="A named human has all of it: nothing more is begun",
        query=NoQuery,
        body=bodies.AcknowledgeBody,
        answer=answers.IncidentDone,
        problems=("not-found", "conflict", "person-required", "unknown-person", "already-ended"),
        examples=(
            Example(name="ours", path="/v1/incidents/INC0012345/acknowledge", body={"by": "bob"}, status=200),
        ),
    ),
    Route(
        method="POST",
        path="/v1/incidents/{key}/resolve",
        who=Who.CLIENT,
        call=incidents.resolve,
        says="The trouble is over: what waits stops, nobody else is paged",
        query=NoQuery,
        body=bodies.ResolveBody,
        answer=answers.IncidentDone,
        problems=("not-found", "conflict", "unknown-person"),
        examples=(
            Example(
                name="by itself",
                path="/v1/incidents/INC0012345/resolve",
                body={"why": "disk was changed"},
                status=200,
            ),
        ),
    ),
    Route(
        method="POST",
        path="/v1/incidents/{key}/mute",
        who=Who.CLIENT,
        call=incidents.mute,
        says="Page nobody else for a while",
        query=NoQuery,
        body=bodies.MuteBody,
        answer=answers.IncidentDone,
        problems=(
            *("not-found", "conflict", "person-required", "unknown-person"),
            *("already-ended", "critical-not-muted", "mute.for"),
        ),
        examples=(
            Example(
                name="half an hour",
                path="/v1/incidents/INC0012345/mute",
                body={"for": "30m", "by": "bob", "even_critical": True},
                status=200,
            ),
            Example(
                name="critical",
                path="/v1/incidents/INC0012345/mute",
                body={"for": "30m", "by": "bob"},
                status=409,
            ),
        ),
    ),
    Route(
        method="GET",
        path="/v1/whoami",
        who=Who.CLIENT,
        call=operating.whoami,
        says="Who you are to the gateway, and what you may do",
        query=NoQuery,
        answer=answers.Whoami,
        examples=(Example(name="whoami", path="/v1/whoami", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/webhooks/test",
        who=Who.CLIENT,
        call=webhooks.test,
        says="Send a test to your webhook at once, and say what came of it",
        query=NoQuery,
        body=bodies.WebhookTestBody,
        answer=answers.WebhookTested,
        problems=("no-webhook", "forbidden", "rate"),
        examples=(
            Example(name="test", path="/v1/webhooks/test", body={}, status=200),
            Example(name="somebody else's", path="/v1/webhooks/test", body={"client": "ward"}, status=403),
        ),
    ),
    Route(
        method="GET",
        path="/v1/targets",
        who=Who.CLIENT,
        call=operating.targets,
        says="Whom you may page",
        query=bodies.TargetsQuery,
        answer=answers.Targets,
        examples=(Example(name="search", path="/v1/targets?q=ali", status=200),),
    ),
    Route(
        method="GET",
        path="/v1/health",
        who=Who.CLIENT,
        call=operating.health,
        says="How the gateway does",
        query=NoQuery,
        answer=answers.HealthAnswer,
        examples=(Example(name="health", path="/v1/health", status=200),),
    ),
    Route(
        method="GET",
        path="/metrics",
        who=Who.CLIENT,
        call=operating.metrics,
        says="Figures for Prometheus",
        query=NoQuery,
        answer=str,
        media="text/plain",
        examples=(Example(name="scrape", path="/metrics", status=200),),
    ),
    Route(
        method="GET",
        path="/v1/links",
        who=Who.ADMINISTRATOR,
        call=operating.links,
        says="The ways out, and how they do",
        query=NoQuery,
        answer=answers.Links,
        examples=(Example(name="links", path="/v1/links", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/links/{link}/suspend",
        who=Who.ADMINISTRATOR,
        call=operating.suspend,
        says="Switch a link off at once; its pages wait or go another way",
        query=NoQuery,
        body=bodies.LinkOrder,
        answer=answers.Link,
        problems=("unknown-link",),
        examples=(
            Example(
                name="suspend", path="/v1/links/spok.web/suspend", body={"why": "they asked us"}, status=200
            ),
            Example(name="unknown", path="/v1/links/spok.fax/suspend", status=404),
        ),
    ),
    Route(
        method="POST",
        path="/v1/links/{link}/resume",
        who=Who.ADMINISTRATOR,
        call=operating.resume,
        says="Switch a link on again",
        query=NoQuery,
        body=bodies.LinkOrder,
        answer=answers.Link,
        problems=("unknown-link",),
        examples=(Example(name="resume", path="/v1/links/spok.web/resume", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/links/{link}/drain",
        who=Who.ADMINISTRATOR,
        call=operating.drain,
        says="Let a link finish what it has, and give it nothing more",
        query=NoQuery,
        body=bodies.LinkOrder,
        answer=answers.Link,
        problems=("unknown-link",),
        examples=(Example(name="drain", path="/v1/links/spok.web/drain", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/links/{link}/probe",
        who=Who.ADMINISTRATOR,
        call=operating.probe,
        says="Look at the far end of a link, or at a modem line, without sending a message",
        query=NoQuery,
        body=bodies.NothingBody,
        answer=answers.Probed,
        problems=("unknown-link",),
        examples=(Example(name="probe", path="/v1/links/spok.web/probe", status=200),),
    ),
    Route(
        method="GET",
        path="/v1/links/{link}/transcript",
        who=Who.ADMINISTRATOR,
        call=operating.transcript,
        says="What was said over a link lately, without texts and secrets",
        query=NoQuery,
        answer=answers.LinkTranscript,
        problems=("unknown-link",),
        examples=(Example(name="transcript", path="/v1/links/spok.web/transcript", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/sim/cut",
        who=Who.ADMINISTRATOR,
        call=cutting.cut,
        says="Cut a path of a demo, to see what happens",
        query=NoQuery,
        body=bodies.CutBody,
        answer=answers.CutPath,
        problems=("not-a-demo", "cut.for", "field.missing", "field.value"),
        examples=(
            Example(
                name="for a minute", path="/v1/sim/cut", body={"path": "internet", "for": "60s"}, status=200
            ),
            Example(
                name="until mended", path="/v1/sim/cut", body={"path": "phone", "refuse": True}, status=200
            ),
            Example(name="for how long", path="/v1/sim/cut", body={"path": "lan", "for": 0}, status=422),
        ),
    ),
    Route(
        method="POST",
        path="/v1/sim/mend",
        who=Who.ADMINISTRATOR,
        call=cutting.mend,
        says="Mend a path of a demo",
        query=NoQuery,
        body=bodies.MendBody,
        answer=answers.CutPath,
        problems=("not-a-demo", "field.missing", "field.value"),
        examples=(Example(name="mend", path="/v1/sim/mend", body={"path": "internet"}, status=200),),
    ),
    Route(
        method="GET",
        path="/v1/stuck",
        who=Who.ADMINISTRATOR,
        call=operating.stuck,
        says="What needs somebody, and what waits by itself",
        query=NoQuery,
        answer=answers.Stuck,
        examples=(Example(name="stuck", path="/v1/stuck", status=200),),
    ),
    Route(
        method="POST",
        path="/v1/reload",
        who=Who.ADMINISTRATOR,
        call=operating.reload,
        says="Read the settings anew; with a mistake in them nothing changes",
        query=NoQuery,
        body=bodies.NothingBody,
        answer=answers.Reloaded,
        problems=("settings-invalid",),
        examples=(Example(name="reload", path="/v1/reload", status=200),),
    ),
    Route(
        method="GET",
        path="/v1/explain",
        who=Who.ADMINISTRATOR,
        call=operating.explain,
        says="Whom a target reaches, by what, when and why",
        query=bodies.ExplainQuery,
        answer=answers.Explained,
        problems=("unknown-target",),
        examples=(
            Example(
                name="at night",
                path="/v1/explain?target=alice&class=urgent&at=2026-11-22T02:00:00Z",
                status=200,
            ),
        ),
    ),
    Route(
        method="GET",
        path="/livez",
        who=Who.ANYONE,
        call=operating.livez,
        says="Whether the process answers",
        query=NoQuery,
        answer=answers.Live,
        examples=(Example(name="livez", path="/livez", status=200),),
    ),
    Route(
        method="GET",
        path="/readyz",
        who=Who.ANYONE,
        call=operating.readyz,
        says="Whether the gateway can be relied on; 503 with the reasons if not",
        query=NoQuery,
        answer=answers.Ready,
        examples=(Example(name="readyz", path="/readyz", status=200),),
    ),
    Route(
        method="GET",
        path="/openapi.json",
        who=Who.ANYONE,
        call=_openapi,
        says="This description",
        query=NoQuery,
        answer=answers.Document,
        examples=(Example(name="openapi", path="/openapi.json", status=200),),
    ),
    Route(
        method="GET",
        path="/problems/{code}",
        who=Who.ANYONE,
        call=operating.problem,
        says="What a problem means; where its type points",
        query=NoQuery,
        answer=answers.ProblemKind,
        problems=("not-found",),
        examples=(Example(name="one", path="/problems/json.duplicate_key", status=200),),
    ),
)


def make_router(api: Api) -> Router:
    """The handler of the native API, for ``gateway.web.HttpServer`` over TCP and over the control socket."""
    router = Router(problem_response)
    for route in ROUTES:
        router.add(route.method, route.path, _door(api, route))
    return router


def _door(api: Api, route: Route) -> Callable[..., Coroutine[Any, Any, Answer]]:
    """*route* with all that comes before and after: who may, the query, and errors as documents."""

    async def answer(request: Request, **names: str) -> Answer:
        try:
            client = NOBODY if route.who is Who.ANYONE else authenticate(api, request)
            if route.who is Who.ADMINISTRATOR and not client.administrator:
                raise refuse("forbidden", "This call is for administrators, by the gateway's control socket.")
            query = read_query(request, route.query)
            key = next(iter(names.values()), "")
            return await route.call(api, Call(request=request, client=client, query=query, key=key))
        except (SubmissionError, Conflict, StoreFull, StoreFailed, SettingsError) as error:
            return response_to(error, request.request_id)

    return answer


NOBODY = Client(name="")
