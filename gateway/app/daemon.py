"""The daemon: a reactor, a store, a house; signals; and one exit code that says why it ended."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.app.adapters import specs
from gateway.app.files import as_before, control_socket, load, spool_folder, store_path
from gateway.env.systemd import Systemd
from gateway.errors import GatewayError, SettingsError, StoreRefused

log = Logger()

EXIT_STORE = 74  # sysexits.h EX_IOERR: the disk failed; nothing that was promised is lost
EXIT_IN_USE = 75  # EX_TEMPFAIL: another process has the store, or a port is taken
EXIT_SETTINGS = 78  # EX_CONFIG
KEPT_DESCRIPTORS = 256  # for carriers, the store and logs, whatever comes in (delivery semantics 10.2)
GOODBYES = 15.0  # seconds beyond drain_timeout after which a stop is cut off


def run(path: Path, *, announce: Callable[[str], None] = lambda line: None, adopt_older: bool = False) -> int:
    """Run the gateway with the settings in *path* until it is told to stop; the exit code.

    Raises SettingsError before anything is started. *announce* is told one line when the doors are open.
    *adopt_older* takes a database that is older than the one last seen here.
    """
    supervisor = Systemd(os.environ, os.getpid())  # before Twisted's endpoints, whose import takes LISTEN_*
    settings = load(path)
    from gateway.env.real import RealEnv, install_reactor  # the reactor is chosen here, before any import

    reactor = install_reactor()
    from gateway.app.house import House
    from gateway.observe import begin_logging
    from gateway.store.sqlite import open_store

    env = RealEnv(reactor, supervisor=supervisor)
    lines = begin_logging(sys.stderr, clock=env.clock)
    ended: list[int] = []
    houses: list[House] = []

    def end(code: int) -> None:
        if not ended:
            ended.append(code)
            with suppress(ReactorNotRunning):  # it may be stopping already
                reactor.stop()

    def disk_failed(why: str) -> None:
        log.critical("store failed: {why}", why=why)
        end(EXIT_STORE)

    async def begin() -> None:
        database = store_path(settings, path)
        store = await open_store(database, env, durability=settings.durability, adopt_older=adopt_older)
        store.failed.addCallback(disk_failed)
        house = House(
            settings,
            lambda generation: load(path, generation, in_use=as_before(houses[0].settings())),
            specs(),
            store,
            env,
            control=control_socket(settings, path),
            spool=spool_folder(settings, path),
            limit_connections=max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - KEPT_DESCRIPTORS),
        )
        houses.append(house)
        lines.count_drops(house.metrics.log_dropped.inc)
        await house.start()
        for warning in settings.warnings:
            log.warn("settings: {warning}", warning=warning)
        if store.recovered is not None:
            log.warn("the store was recovered: {what}", what=store.recovered)
        secure = settings.listen.http is not None and settings.listen.http.tls is not None
        doors = ", ".join(_shown(address, secure) for address in house.addresses)
        announce(f"Gateway up: {doors}; store {database}")

    def failed(failure: Failure) -> None:
        error = failure.value
        if isinstance(error, StoreRefused):
            code = error.exit_code
        elif isinstance(error, OSError) or type(error).__name__ == "CannotListenError":
            code = EXIT_IN_USE
        else:
            code = EXIT_STORE
        if isinstance(error, GatewayError | OSError) or code == EXIT_IN_USE:
            sys.stderr.write(f"gateway: {error}\n")
        else:
            log.failure("the start failed", failure=failure)
        end(code)

    async def finish() -> None:
        for house in houses:
            await house.stop()

    def shutdown() -> Deferred[None]:
        stopping = Deferred.fromCoroutine(finish())
        drain = max((house.settings().drain_timeout for house in houses), default=0.0)
        stopping.addTimeout(drain + GOODBYES, reactor)
        return stopping.addErrback(cut_off)

    def cut_off(failure: Failure) -> None:
        log.failure("the stop was cut off", failure=failure)
        ended[:] = [EXIT_STORE]  # what was begun is in doubt at the next start: not a stop in order

    async def reload() -> None:
        for house in houses:
            try:
                await house.reload()
            except SettingsError as error:
                for mistake in error.mistakes:
                    log.error("settings not reloaded: {mistake}", mistake=str(mistake))

    def started() -> None:
        Deferred.fromCoroutine(begin()).addErrback(failed)
        signal.signal(
            signal.SIGHUP,
            lambda *_: reactor.callFromThread(
                lambda: Deferred.fromCoroutine(reload()).addErrback(
                    lambda failure: log.failure("reload failed", failure=failure)
                )
            ),
        )

    os.umask(0o077)
    reactor.callWhenRunning(started)
    reactor.addSystemEventTrigger("before", "shutdown", shutdown)
    reactor.run()
    return ended[0] if ended else 0


def _shown(address: object, secure: bool) -> str:
    name = getattr(address, "name", None)
    if name is not None:
        return f"unix:{os.fsdecode(name)}"
    return f"http{'s' if secure else ''}://{getattr(address, 'host', '?')}:{getattr(address, 'port', '?')}"
