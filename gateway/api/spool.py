"""The spool directory: messages that were written while no gateway ran, taken in as if posted.

A file is the body of ``POST /v1/messages`` with ``idempotency_key`` (and ``spooled_at``, which is for
people). It is removed after its message is on disk; a crash in between repeats it under the same key, which
creates nothing new. A file that can never be taken in is renamed to ``….refused`` and told in the log.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.adapters.base import Client, Reception
from gateway.api.submitting import submission_of
from gateway.bell import Bell
from gateway.env import Env
from gateway.errors import StoreFailed, StoreFull, SubmissionError
from gateway.settings.types import Limits
from gateway.waiting import first_of
from gateway.web import Request

log = Logger()

EVERY = 2.0  # seconds between looks
AT_ONCE = 100  # files a look: the doors have their turn in between
SPOOL = Client(name="spool", administrator=True)  # only the gateway's own user may write the folder (0700)


class Spool:
    """Watches one folder."""

    def __init__(self, folder: Path, reception: Reception, limits: Limits, bell: Bell, env: Env) -> None:
        self._folder = folder
        self._reception = reception
        self._limits = limits
        self._bell = bell
        self._env = env
        self._stopping = False
        self._done: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._done = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Finish the file that is being taken in."""
        self._stopping = True
        self._bell.ring("spool")
        if self._done is not None:
            await self._done

    async def _run(self) -> None:
        while not self._stopping:
            rung = self._bell.wait("spool")
            try:
                await self.look()
            except StoreFailed:
                return
            except Exception:  # the edge of the room
                log.failure("the spool directory cannot be read; again in {wait} s", wait=EVERY)
            await first_of(rung, self._env.sleep(EVERY))

    async def look(self) -> int:
        """Take in what lies there, oldest name first; how many became messages."""
        taken = 0
        for name in self._env.files.names(self._folder, ".json")[:AT_ONCE]:
            if self._stopping or not await self._take(self._folder / name):
                break
            taken += 1
        return taken

    async def _take(self, path: Path) -> bool:
        """Whether to go on with the next file: not while the gateway is full or stopping."""
        try:
            submission = submission_of(_as_posted(self._env.files.read(path)), self._limits, dry_run=False)[0]
            await self._reception.submit(SPOOL, submission)
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


def _as_posted(data: bytes) -> Request:
    """The request that the file stands for; whatever is wrong with it, the reader of bodies will say."""
    fields: dict[bytes, bytes] = {}
    try:
        document = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        document.pop("spooled_at", None)
        key = document.pop("idempotency_key", None)
        if key is not None:
            fields[b"idempotency-key"] = msgspec.json.decode(key, type=str).encode()
        data = msgspec.json.encode(document)
    except msgspec.MsgspecError:
        pass
    return Request(method="POST", path="/v1/messages", fields=fields, body=data)
