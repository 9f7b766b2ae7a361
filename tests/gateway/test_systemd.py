"""Our supervisor: what it says by environment variables, what we say by datagrams, and when we fall silent."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from gateway.env.real import RealEnv
from gateway.env.simulated import SimulatedEnv
from gateway.env.systemd import Systemd
from gateway.settings.types import Durability
from gateway.store.sqlite import open_store
from gateway.watchdog import Watchdog, status_line


@pytest.fixture(params=["a path", "an abstract name"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Where to say something, and a socket that hears it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears:
        if request.param == "a path":
            name = str(tmp_path / "notify")
            ears.bind(name)
        else:
            name = f"@gateway-test-{os.getpid()}"
            ears.bind("\0" + name[1:])
        ears.settimeout(20)
        yield name, ears


def test_what_is_said_is_one_datagram(supervisor: tuple[str, socket.socket]) -> None:
    """A line each, to a path or to an abstract name."""
    name, ears = supervisor
    Systemd({"NOTIFY_SOCKET": name}, 1).say("READY=1", "STATUS=Takes pages")
    assert ears.recv(4096) == b"READY=1\nSTATUS=Takes pages"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 200])
def test_saying_something_never_fails(address: str) -> None:
    """With no supervisor, or none that listens, it is nothing."""
    Systemd({"NOTIFY_SOCKET": address}, 1).say("READY=1")
    Systemd({}, 1).say("READY=1")


def test_a_supervisor_that_does_not_listen_blocks_nobody(supervisor: tuple[str, socket.socket]) -> None:
    """What its queue does not take is lost."""
    name, _ = supervisor
    ours = Systemd({"NOTIFY_SOCKET": name}, 1)
    for _ in range(5_000):
        ours.say("WATCHDOG=1")


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "60000000", "NOTIFY_SOCKET": ""}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_if_it_names_us_or_nobody(
    environ: dict[str, str], watchdog: float | None
) -> None:
    """In seconds; nonsense is no watchdog."""
    assert Systemd({"NOTIFY_SOCKET": "/run/notify", **environ}, 7).watchdog == watchdog


def test_sockets_for_another_process_are_not_ours() -> None:
    """LISTEN_PID names somebody else, or nobody."""
    assert Systemd({"LISTEN_PID": "8", "LISTEN_FDS": "1"}, 7).sockets == {}
    assert Systemd({"LISTEN_FDS": "1"}, 7).sockets == {}


@pytest.mark.parametrize("text", ["a\nREADY=1", "x" * 500, "a\x00b"])
def test_a_status_is_one_line(text: str) -> None:
    """Whatever a carrier said that ended up in a reason: it adds no assignment of its own."""
    line = status_line(text)
    assert line.startswith("STATUS=")
    assert line.isprintable()
    assert len(line) <= 207


@pytest_twisted.ensureDeferred
async def test_a_socket_that_was_not_handed_over_cannot_be_listened_at(tmp_path: Path) -> None:
    """The message says what there is; a socket that does not listen is refused too."""
    from twisted.internet import reactor

    env = RealEnv(reactor)
    with pytest.raises(CannotListenError, match="handed over none"):
        await env.net.listen("systemd:http", Factory())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        env.net._sockets = {"http": other.fileno()}  # type: ignore[attr-defined]
        with pytest.raises(CannotListenError, match="does not listen"):
            await env.net.listen("systemd:http", Factory())


# ---------------------------------------------------------------- the watchdog


class Watched:
    """A watchdog on a clock of the test's, and everything that it looks at."""

    watchdog: float | None = 4.0

    def __init__(self) -> None:
        self.clock = Clock()
        self.commit_age = 0.0
        self.overdue: tuple[str, ...] = ()
        self.heard: list[str] = []
        self.said: list[str] = []
        self.dog = Watchdog(
            self, self.clock, lambda: self.commit_age, lambda: self.overdue, lambda: "Takes pages"
        )
        globalLogPublisher.addObserver(self._logged)

    def say(self, *lines: str) -> None:
        self.heard += lines

    def _logged(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "gateway.watchdog":
            self.said.append(formatEvent(event))

    def fed(self, seconds: int = 2) -> int:
        """How often it is fed within so many quiet seconds."""
        self.heard.clear()
        self.clock.pump([0.5] * 2 * seconds)
        return self.heard.count("WATCHDOG=1")


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.dog.stop()
    globalLogPublisher.removeObserver(made._logged)
    assert made.clock.getDelayedCalls() == []


def test_it_is_fed_while_all_is_well(watched: Watched) -> None:
    """Well within the time that systemd allows, now and then with a line for people."""
    watched.dog.start()
    assert watched.fed(12) == 12
    assert watched.heard.count("STATUS=Takes pages") == 2


def test_a_reactor_that_was_blocked_is_not_a_sign_of_life(watched: Watched) -> None:
    """F20: five seconds late, nothing is fed; on time again, it is. Each is said once."""
    watched.dog.start()
    watched.fed()
    watched.heard.clear()
    watched.clock.advance(6)
    assert watched.heard == []
    assert watched.said == ["watchdog not fed: the reactor is 5.0 s late"]
    assert watched.fed() == 2
    assert watched.said[1:] == ["watchdog fed again after 1.0 s"]


def test_a_commit_that_does_not_end(watched: Watched) -> None:
    """From 10 s on the gateway promises nothing any more: it had better be started again."""
    watched.dog.start()
    watched.commit_age = 9.9
    assert watched.fed() == 2
    watched.commit_age = 10.0
    assert watched.fed(60) == 0
    assert watched.said == ["watchdog not fed: a commit is not finished after 10 s"]


def test_a_lane_that_gives_no_sign_of_life(watched: Watched) -> None:
    """One is enough."""
    watched.dog.start()
    watched.overdue = ("spok.web",)
    assert watched.fed(60) == 0
    assert watched.said == ["watchdog not fed: no sign of life from spok.web"]


def test_without_a_watchdog_nothing_ticks(watched: Watched) -> None:
    """Started by hand, there is nobody to feed."""
    watched.watchdog = None
    watched.dog.start()
    assert watched.clock.getDelayedCalls() == []


# ---------------------------------------------------------------- what it looks at


def test_the_age_of_a_commit_counts_from_when_it_could_begin(tmp_path: Path) -> None:
    """0 while nothing is to be written; with a disk that hangs it grows, and each commit begins anew."""
    env = SimulatedEnv()
    clock = env.world.clock
    opened: list[Any] = []
    from twisted.internet.defer import Deferred

    Deferred.fromCoroutine(
        open_store(tmp_path / "gateway.db", env, durability=Durability(min_free=0))
    ).addCallback(opened.append)
    clock.advance(10)
    (store,) = opened
    assert store.oldest_commit_age == 0.0
    env.work_time = (30.0, 30.0)
    for _ in range(2):
        Deferred.fromCoroutine(store.housekeeping.forget_keys(env.now(), 1))
    clock.advance(12)
    assert store.oldest_commit_age == pytest.approx(12, abs=0.1)
    clock.advance(24)
    assert store.oldest_commit_age == pytest.approx(6, abs=0.1)
    env.work_time = (0.001, 0.001)
    clock.advance(100)
    assert store.oldest_commit_age == 0.0
    Deferred.fromCoroutine(store.close())
    clock.advance(10)
