"""Evidence from carriers: on record before the carrier is answered, then the level climbs."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace
from twisted.logger import Logger

from gateway.adapters.base import Evidence
from gateway.bell import Bell
from gateway.env import Env
from gateway.model import LinkName, seconds_between
from gateway.observe import Metrics
from gateway.settings.types import Settings
from gateway.store.base import EvidenceRoom

log = Logger()


class Receipt:
    """The way up for what carriers report about pages they took."""

    def __init__(
        self, evidence: EvidenceRoom, settings: Callable[[], Settings], bell: Bell, env: Env, metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self._evidence = evidence
        self._settings = settings
        self._bell = bell
        self._env = env

    async def report(self, link: LinkName, evidence: Evidence) -> None:
        """Record *evidence* (T4); unmatched evidence is kept until its submit concludes, at most 7 d.

        A person's answer that accepts is an acknowledgement, in the same unit.
        """
        if evidence.reply is not None:
            evidence = replace(evidence, accepting=self._settings().replies.accept)
        matched = await self._evidence.report(link, evidence, self._env.now())
        self._env.failpoint("T4")
        log.info(
            "receipt {how}: {state} over {link}",
            how=matched.how,
            state=evidence.state,
            link=link,
            delivery=matched.delivery,
        )
        if matched.raised is not None:
            seconds = seconds_between(matched.since, self._env.now())
            self._metrics.reached(matched.raised, matched.message_class, seconds)
        if matched.message is not None:
            self._bell.ring(matched.message)
            self._bell.ring("pursue")
