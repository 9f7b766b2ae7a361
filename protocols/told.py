"""Why a connection failed or ended, in words for the person who reads them at night."""

from __future__ import annotations

from twisted.internet import error
from twisted.python.failure import Failure

_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (error.ConnectionRefusedError, "nobody listens there (connection refused)"),
    (error.NoRouteError, "no route to that address"),
    (error.TCPTimedOutError, "no answer to the connection attempt"),
    (error.TimeoutError, "no answer to the connection attempt"),
    (error.DNSLookupError, "the name is not known"),
    (error.UnknownHostError, "the name is not known"),
    (error.ConnectionDone, "the other side hung up"),
    (error.ConnectionLost, "the connection broke"),
    (error.ConnectionAborted, "we gave the connection up"),
)


def told(failure: Failure) -> str:
    """One clause without the words of a library, unless it knows more than we do (TLS, for example)."""
    problem = failure.value
    for kind, words in _WORDS:
        if isinstance(problem, kind):
            return words
    said = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {said}" if said else type(problem).__name__
