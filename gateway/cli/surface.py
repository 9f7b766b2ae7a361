"""What every command has: --json, where the gateway is, and how the command ends."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, NoReturn

import click

from gateway.cli import place
from gateway.cli.daemon import Daemon
from gateway.cli.place import Place
from gateway.cli.trouble import Trouble

CLASSES = click.Choice(["critical", "urgent", "normal", "bulk"])
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AT = re.compile(r"(?:(?P<day>[A-Za-z]{3})[a-z]*\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})", re.ASCII)


class Surface:
    """One call of a command. *json* says that a program reads the output."""

    def __init__(self, *, as_json: bool, settings: Path | None, control: Path | None) -> None:
        self.json = as_json
        self.settings = settings
        self._control = control

    @functools.cached_property
    def place(self) -> Place:
        """The gateway that is meant; raises Trouble if there is none here."""
        return place.find(self.settings, self._control)

    @functools.cached_property
    def daemon(self) -> Daemon:
        return Daemon(self.place)

    @property
    def zone(self) -> tzinfo:
        return place.zone_of(self.place.zone)

    def end(self, code: int) -> NoReturn:
        """End with *code*."""
        raise click.exceptions.Exit(code)


def on_file(function: Callable[..., None]) -> Callable[..., None]:
    """For commands that look at the settings file: ``--settings`` and ``--json``."""

    @click.option(
        "--settings",
        type=click.Path(path_type=Path),
        envvar="GATEWAY_SETTINGS",
        help="Settings file. Default: $GATEWAY_SETTINGS, ./gateway.yaml, /etc/gateway/gateway.yaml.",
    )
    @alone
    @functools.wraps(function)
    def command(at: Surface, *args: Any, settings: Path | None, **values: Any) -> None:
        at.settings = settings
        function(at, *args, **values)

    return command


def on_daemon(function: Callable[..., None]) -> Callable[..., None]:
    """For commands that talk to the gateway: also ``--socket``."""

    @click.option(
        "--socket",
        "control",
        type=click.Path(path_type=Path),
        envvar="GATEWAY_SOCKET",
        help="Control socket. Default: $GATEWAY_SOCKET, else where the settings say.",
    )
    @on_file
    @functools.wraps(function)
    def command(at: Surface, *args: Any, control: Path | None, **values: Any) -> None:
        at._control = control
        function(at, *args, **values)

    return command


def alone(function: Callable[..., None]) -> Callable[..., None]:
    """For commands that need neither: ``--json`` only."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON value, for programs.")
    @functools.wraps(function)
    def command(*args: Any, as_json: bool, **values: Any) -> None:
        for name, value in values.items():
            if isinstance(value, str) and not value.isascii():
                _must_be_text(name, value)
        at = Surface(as_json=as_json, settings=None, control=None)
        try:
            function(at, *args, **values)
        except Trouble as trouble:
            trouble.as_json = as_json
            raise

    return command


def _must_be_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:  # the bytes of the command line were not of this locale's encoding
        raise click.BadParameter("It is not UTF-8 text.", param_hint=name.upper()) from None


def moment_of(text: str, zone: tzinfo, now: datetime) -> datetime:
    """What people mean by ``03:00``, ``Sun 03:00`` (both: the next one), ``2026-11-22 03:00`` or RFC 3339.

    Raises click.BadParameter.
    """
    text = text.strip()
    match = _AT.fullmatch(text)
    try:
        if match is None:
            at = datetime.fromisoformat(text)
            return at if at.tzinfo is not None else at.replace(tzinfo=zone)
        local = now.astimezone(zone)
        at = local.replace(
            hour=int(match["hour"]), minute=int(match["minute"]), second=0, microsecond=0, fold=0
        )
        if match["day"] is not None:
            at += timedelta(days=(_DAYS.index(match["day"].lower()) - at.weekday()) % 7)
            return at if at >= local else at + timedelta(days=7)
        return at if at >= local else at + timedelta(days=1)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is not a time. Write 03:00, 'Sun 03:00', '2026-11-22 03:00' or 2026-11-22T02:00:00Z.",
            param_hint="--at",
        ) from None


def utc(at: datetime) -> str:
    """*at* as the API reads it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
