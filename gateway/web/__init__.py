"""Our HTTP/1.1 server seam: ``handler(request) -> response``, nothing else of HTTP reaches the rooms.

    messages   the values: Request, Response, Stream, Peer, Limits, the problem document
    framing    bytes in, whole requests or flaws out; no clock, no transport
    router     (method, path) to a handler
    connection one client: order of answers, deadlines, back-pressure, closing politely
    server     the Twisted factory: who may connect, the clock, stopping

Two readers look at every request: ours finds where a head, a body or a chunk ends and checks each octet
of the head; `httptools` (the parser of Node.js) splits the fields and follows the framing. Where the two
disagree about the end of a message, the request is refused. ``docs/decisions/0002-http-server.md`` says why.
"""

from gateway.web.messages import (
    Answer,
    Fields,
    Limits,
    Peer,
    Problem,
    Request,
    Response,
    Stream,
    json_response,
    problem_response,
)
from gateway.web.router import Route, Router
from gateway.web.server import Handler, HttpServer

__all__ = [
    "Answer",
    "Fields",
    "Handler",
    "HttpServer",
    "Limits",
    "Peer",
    "Problem",
    "Request",
    "Response",
    "Route",
    "Router",
    "Stream",
    "json_response",
    "problem_response",
]
