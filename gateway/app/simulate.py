"""A simulated carrier as a process of its own: ``gateway sim snpp``, ``smtp``, ``wctp``, ``tap``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.app.daemon import EXIT_IN_USE
from gateway.env import Env, Port
from gateway.sim.smtp import SimulatedSmtp, SmtpQuirks
from gateway.sim.snpp import SimulatedSnpp, SnppQuirks
from gateway.sim.tap import SimulatedTap, TapQuirks
from gateway.sim.truth import Truth
from gateway.sim.wctp import SimulatedWctp, WctpQuirks


class Simulated(Protocol):
    """A simulated carrier."""

    async def listen(self, at: str) -> Port: ...


def snpp(quirks: SnppQuirks, *, at: str, log: Path | None, as_json: bool) -> int:
    """A paging terminal; see ``_serve``."""
    return _serve("snpp", lambda env, truth: SimulatedSnpp(env, quirks, truth), at, log, as_json)


def smtp(quirks: SmtpQuirks, *, reports_to: str | None, at: str, log: Path | None, as_json: bool) -> int:
    """A mail relay, which brings reports to *reports_to*; see ``_serve``."""
    return _serve("smtp", lambda env, truth: SimulatedSmtp(env, quirks, truth, reports_to), at, log, as_json)


def wctp(quirks: WctpQuirks, *, push_to: str | None, at: str, log: Path | None, as_json: bool) -> int:
    """A WCTP gateway, which tells enterprises at *push_to*; see ``_serve``."""
    return _serve("wctp", lambda env, truth: SimulatedWctp(env, quirks, truth, push_to), at, log, as_json)


def tap(quirks: TapQuirks, *, baud: int | None, modem: bool, at: str, log: Path | None, as_json: bool) -> int:
    """A paging terminal on a line of *baud*, with a *modem* before it or without; see ``_serve``."""
    return _serve(
        "tap", lambda env, truth: SimulatedTap(env, quirks, truth, baud=baud, modem=modem), at, log, as_json
    )


def _serve(
    protocol: str, make: Callable[[Env, Truth], Simulated], at: str, log: Path | None, as_json: bool
) -> int:
    """Serve until stopped; the exit code. One line on standard output says where it listens."""
    from gateway.env.real import RealEnv, install_reactor

    reactor = install_reactor()
    from gateway.observe import begin_logging

    env = RealEnv(reactor)
    begin_logging(sys.stderr, clock=env.clock, level="warn")
    codes: list[int] = []
    os.umask(0o077)  # the log names pagers and texts
    truth = Truth(log)

    async def begin() -> None:
        port = await make(env, truth).listen(at)
        reactor.addSystemEventTrigger("before", "shutdown", port.stopListening)
        host = port.getHost()
        where = os.fsdecode(host.name or b"") if isinstance(host, UNIXAddress) else f"{host.host}:{host.port}"
        line = (
            msgspec.json.encode({"protocol": protocol, "at": where, "log": None if log is None else str(log)})
            if as_json
            else f" Simulated {protocol.upper()} carrier at {where}. Ctrl-C ends it.".encode()
        )
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()

    def failed(failure: Failure) -> None:
        sys.stderr.write(f"gateway sim {protocol}: {failure.getErrorMessage()}\n")
        codes.append(EXIT_IN_USE)
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(begin()).addErrback(failed))
    reactor.run()
    truth.close()
    return codes[-1] if codes else 0
