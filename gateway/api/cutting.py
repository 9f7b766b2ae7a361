"""Cutting a demo off, so that people can see what a gateway does then."""

from __future__ import annotations

from gateway.api import answers, says
from gateway.api.bodies import CutBody, MendBody
from gateway.api.calls import Call, around, refuse
from gateway.api.ports import Api, Cuts
from gateway.api.problems import shown
from gateway.api.reading import read
from gateway.api.submitting import Words
from gateway.api.times import maybe, seconds_of
from gateway.model import LinkName, later
from gateway.web import Response, json_response

MAX_CUT = 86_400.0  # seconds; ours: more is no rehearsal


async def cut(api: Api, call: Call) -> Response:
    body = read(call.request, CutBody)
    cuts = _cuts(api)
    seconds = None if body.for_ is None else seconds_of(body.for_)
    if body.for_ is not None and (seconds is None or not 0 < seconds <= MAX_CUT):
        words = Words(api.operations.settings().limits, [])
        what = f"for must be seconds, or like 60s, more than 0 and at most {MAX_CUT / 3600:g}h."
        words.fault("for", "cut.for", what, shown(body.for_), ("60s",))
        words.settle()
    until = None if seconds is None else later(api.env.now(), seconds)
    cuts.cut(body.path, seconds=seconds, refuse=body.refuse)
    links = _links(api, body.path)
    shown_until = None if until is None else around(api).time(until)
    return json_response(
        answers.CutPath(
            path=body.path,
            cut=True,
            until=maybe(until),
            links=links,
            says=says.of_cut(body.path, links, shown_until, body.refuse),
        )
    )


async def mend(api: Api, call: Call) -> Response:
    body = read(call.request, MendBody)
    _cuts(api).mend(body.path)
    links = _links(api, body.path)
    for link in links:
        api.bell.ring(link)
    return json_response(
        answers.CutPath(
            path=body.path, cut=False, until=None, links=links, says=says.of_mended(body.path, links)
        )
    )


def _cuts(api: Api) -> Cuts:
    if api.cuts is None:
        raise refuse("not-a-demo", "This gateway talks to real carriers; only a demo can be cut.")
    return api.cuts


def _links(api: Api, path: str) -> tuple[LinkName, ...]:
    return tuple(link.link for link in api.lanes.status() if link.path == path)
