"""Asking for the address of the watcher outside: the one place that does so."""

from __future__ import annotations

from gateway import __version__
from gateway.env import Env
from gateway.web.client import Unanswered, call

WITHIN = 5.0  # seconds for all of it; a stop waits for it


async def ping(env: Env, url: str) -> str | None:
    """GET *url* once, without following redirects: None if the answer is 2xx, else why not.

    The address is a secret, so what is returned names its host at the most.
    """
    try:
        answer = await call(env, "GET", url, (("User-Agent", f"gateway/{__version__}"),), limit=WITHIN)
    except Unanswered as error:
        return str(error)
    return None if 200 <= answer.status < 300 else f"it answers {answer.status}"
