"""The spool directory: messages that were written while no gateway ran, taken in as if posted.

A file is the body of ``POST /v1/messages`` with ``idempotency_key`` and ``spooled_at``, from which its
``expires_in`` counts. It is removed after its message is on disk; a crash in between repeats it under the
same key, which creates nothing new. Whoever owns the file is the client, as on the control socket: a page
that was stored before its caller heard so is not stored again. (Only the gateway's own user can write the
folder, and root.) A file that can never be taken in is renamed to ``….refused`` and told in the log.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from twisted.logger import Logger

from gateway.adapters.base import Client, Reception, Submission
from gateway.api.calls import user_name
from gateway.api.submitting import submission_of
from gateway.api.times import instant_of
from gateway.bell import Bell
from gateway.env import Env
from gateway.errors import StoreFull, SubmissionError
from gateway.model import Instant, seconds_between
from gateway.settings.types import Limits
from gateway.waiting import Rounds
from gateway.web import Request

log = Logger()

EVERY = 2.0  # seconds between looks
AT_ONCE = 100  # files a look: the doors have their turn in between


class Spool:
    """Watches one folder."""

    def __init__(self, folder: Path, reception: Reception, limits: Limits, bell: Bell, env: Env) -> None:
        self._folder = folder
        self._reception = reception
        self._limits = limits
        self._env = env
        self._rounds = Rounds("spool", self._round, bell, env)
        self.start = self._rounds.start
        self.stop = self._rounds.stop

    async def _round(self) -> float:
        await self.look()
        return EVERY

    async def look(self) -> int:
        """Take in what lies there, oldest name first; how many became messages."""
        taken = 0
        for name in self._env.files.names(self._folder, ".json")[:AT_ONCE]:
            if self._rounds.stopping or not await self._take(self._folder / name):
                break
            taken += 1
        return taken

    async def _take(self, path: Path) -> bool:
        """Whether to go on with the next file: not while the gateway is full or stopping."""
        try:
            posted, spooled_at = _as_posted(self._env.files.read(path))
            submission = self._aged(submission_of(posted, self._limits, dry_run=False)[0], spooled_at)
            client = Client(name=user_name(self._env.files.owner(path)), administrator=True)
            await self._reception.submit(client, submission)
        except SubmissionError as error:
            if error.status >= 500 or error.status in (409, 429):
                return False  # stays: its turn comes
            self._env.files.rename(path, path.with_name(path.name + ".refused"))
            log.error("spooled file refused: {file}: {why}", file=path.name, why=error.code)
            return True
        except StoreFull:
            return False
        self._env.files.remove(path)
        log.info("spooled file taken in: {file}", file=path.name)
        return True

    def _aged(self, submission: Submission, since: Instant | None) -> Submission:
        """*submission* with the time that it lay here taken off; raises if nothing is left of it."""
        if submission.expires_in is None or since is None:
            return submission
        left = submission.expires_in - max(0.0, seconds_between(since, self._env.wall()))
        if left <= 0:
            raise SubmissionError(422, "deadline.past", "it expired before the gateway ran")
        return msgspec.structs.replace(submission, expires_in=left)


def _as_posted(data: bytes) -> tuple[Request, Instant | None]:
    """The request that the file stands for, and since when it waits; whatever is wrong with it, the reader
    of bodies will say."""
    fields: dict[bytes, bytes] = {}
    since: Instant | None = None
    try:
        document = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        spooled_at = document.pop("spooled_at", None)
        if spooled_at is not None:
            since = instant_of(msgspec.json.decode(spooled_at, type=str))
        key = document.pop("idempotency_key", None)
        if key is not None:
            fields[b"idempotency-key"] = msgspec.json.decode(key, type=str).encode()
        data = msgspec.json.encode(document)
    except ValueError:  # msgspec's errors are ValueErrors too
        pass
    return Request(method="POST", path="/v1/messages", fields=fields, body=data), since
