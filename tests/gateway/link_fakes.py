"""What a link is built with, for tests of one link alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.adapters.base import Evidence, Surroundings
from gateway.env import Env
from gateway.lines import Lines
from gateway.model import LinkName
from gateway.settings.types import LineSettings


class Reports:
    """A Reception that keeps what is reported; nobody submits."""

    def __init__(self) -> None:
        self.heard: list[Evidence] = []

    async def report(self, link: LinkName, evidence: Evidence) -> None:
        self.heard.append(evidence)


def surroundings(
    env: Env, lines: Mapping[str, LineSettings] | None = None, reception: Any = None
) -> Surroundings:
    return Surroundings(env=env, reception=reception or Reports(), lines=Lines(lambda: lines or {}, env))
