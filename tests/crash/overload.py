"""Too much of everything: reloads, slow callers, logs that nobody reads, an hour's pages at once
(faults-and-threats F50, F51, F53, F56, F57).

    python -m tests.crash.overload reloads --times 1000
    python -m tests.crash.overload connections --times 10000
    python -m tests.crash.overload outage --times 100000

Each prints what it saw. ``tests/crash/test_overload.py`` runs the same functions, smaller.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import os
import resource
import signal
import socket
import sys
import tempfile
import termios
import threading
import time
from array import array
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

from tests.crash.kill import drain
from tests.crash.rig import LINK, TOKEN, Answer, Rig, until

DRAINS = 30.0  # seconds (delivery semantics 10.4)
MEMORY = 512 << 20  # bytes of resident memory (faults-and-threats F57)
PIPE = 16384  # bytes of the pipe that nobody reads; a last page of it the kernel keeps for one writer
RATE = 400  # pages a second that the carrier of an outage allows

_numbers = count(1)


def submit(rig: Rig, to: str = "solo:5550200", message_class: str = "urgent") -> Answer | None:
    """One message with a text of its own; None if nobody answers."""
    try:
        return rig.submit(to, f"page {next(_numbers)}", message_class)
    except (OSError, http.client.HTTPException):
        return None


class Pressure:
    """Clients that submit without pause and keep the ids that they were given."""

    def __init__(self, rig: Rig, clients: int = 4) -> None:
        self._rig = rig
        self._stop = threading.Event()
        self.accepted: list[str] = []
        self.refused: list[int] = []
        self._threads = [threading.Thread(target=self._submit, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Pressure:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _submit(self) -> None:
        while not self._stop.is_set():
            answer = submit(self._rig, f"duo:{5550300 + next(_numbers) % 100}", "normal")
            if answer is None:
                time.sleep(0.02)
            elif answer.status == 202:
                self.accepted.append(answer.json["id"])
            else:
                self.refused.append(answer.status)


# ---------------------------------------------------------------- F50, F51: reload and stop under load


def reloads(folder: Path, times: int) -> str:
    """SIGHUPs under load, every tenth with a broken file: nothing is lost, doubled, in doubt or refused, a
    broken file changes nothing, and no carrier is called anew because of them."""
    with Rig(folder) as rig:
        rig.start_carriers("a", "b")
        rig.start()
        good = rig.settings.read_text()
        with Pressure(rig) as pressure:
            for turn in range(1, times + 1):
                broken = turn % 10 == 0
                rig.settings.write_text(
                    "carriers: [this is no carrier"
                    if broken
                    else good.replace("name: Rig", f"name: Rig {turn}")
                )
                rig.gateway.signal(signal.SIGHUP)
                loaded = 1 + turn - turn // 10
                until(lambda loaded=loaded: _generation(rig) == loaded, "the settings count")  # type: ignore[misc]
                until(lambda turn=turn: _complaints(rig) >= turn // 10, "a broken file is told")  # type: ignore[misc]
        rig.settings.write_text(good)
        assert set(pressure.refused) == set()
        drain(rig)
        assert rig.count("SELECT coalesce(sum(doubts), 0) FROM delivery") == 0
        texts = [copy.text for copy in rig.truth()]
        assert len(texts) == len(set(texts)) == len(pressure.accepted)
        return (
            f"{times} reloads, {times // 10} of them with a broken file, {len(pressure.accepted)} pages"
            " meanwhile: 0 refused, lost, doubled or in doubt"
        )


def _complaints(rig: Rig) -> int:
    return rig.gateway.log.read_text().count("settings not reloaded")


def _generation(rig: Rig) -> int:
    found: int = rig.call("GET", "/v1/health").json["generation"]
    return found


def stop(folder: Path, accepted: int) -> str:
    """SIGTERM under load: what is begun finishes, nothing is in doubt, exit 0 in time; the next start sends
    the rest, once."""
    with Rig(folder, delay=0.1) as rig:
        rig.start_carriers("a", "b")
        rig.start()
        with Pressure(rig) as pressure:
            until(lambda: len(pressure.accepted) >= accepted, f"{accepted} messages are accepted")
            rig.gateway.signal(signal.SIGTERM)
            assert rig.gateway.ended(DRAINS + 15) == 0, rig.gateway.tail()
        assert set(pressure.refused) <= {503}
        assert rig.count("SELECT count(*) FROM delivery WHERE state = 1 OR doubts > 0") == 0
        rig.start()
        drain(rig)
        assert rig.count("SELECT coalesce(sum(doubts), 0) FROM delivery") == 0
        texts = [copy.text for copy in rig.truth()]
        assert len(texts) == len(set(texts)) >= len(pressure.accepted)
        return f"stopped with {len(pressure.accepted)} accepted: 0 in doubt, lost or doubled"


# ---------------------------------------------------------------- F53: a log that takes nothing


def unread_log(folder: Path, pages: int) -> str:
    """Nobody reads the log any more: pages go out as before, its lines wait, and are dropped when there are
    too many of them."""
    with Rig(folder) as rig:
        rig.start_carriers("a", "b")
        pipe = folder / "log"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE)
            rig.start(prefix=["sh", "-c", f'exec "$@" 2>{pipe}', "sh"])
            sent = _pages(rig, pages)
            waiting = array("i", [0])
            fcntl.ioctl(reader, termios.FIONREAD, waiting)
            dropped = _metric(rig, "gateway_log_dropped_total")
        finally:
            os.close(reader)
        assert waiting[0] > PIPE - 2 * 4096, f"{waiting[0]} bytes: the pipe was not full: nothing was tested"
        assert set(sent) == {"confirmed"}
        return f"{pages} pages confirmed with the log's pipe full, {dropped:.0f} lines dropped and counted"


def full_log(disk: Path, folder: Path, pages: int) -> str:
    """The disk of the log is full: the same."""
    with Rig(folder) as rig:
        rig.start_carriers("a", "b")
        rig.start(prefix=["sh", "-c", f'exec "$@" 2>>{disk / "log"}', "sh"])
        sent = _pages(rig, pages)
        dropped = _metric(rig, "gateway_log_dropped_total")
        assert dropped > 0, "the log took everything: nothing was tested"
        assert set(sent) == {"confirmed"}
        return f"{pages} pages confirmed, {dropped:.0f} lines of the log dropped and counted"


def _pages(rig: Rig, count: int) -> list[str]:
    """The outcomes of *count* pages, while a broken settings file is complained of as often."""
    rig.settings.write_text("carriers: [this is no carrier")
    accepted = []
    for _ in range(count):
        answer = submit(rig, f"duo:{5550300 + next(_numbers) % 100}", "urgent")
        assert answer is not None
        assert answer.status == 202, answer.json
        accepted.append(answer.json["id"])
        rig.gateway.signal(signal.SIGHUP)
    return [rig.status(id_, wait=30)["outcome"] for id_ in accepted]


def _metric(rig: Rig, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", rig.http, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        text = connection.getresponse().read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


# ---------------------------------------------------------------- F56: everything at once after an outage


def outage(folder: Path, queued: int) -> str:
    """No carrier for as long as *queued* pages come in; then it is back: living critical pages go first, and
    never more a second than it allows."""
    link = f"rate: {RATE}/s, {LINK}"
    with Rig(folder, link=link) as rig:
        rig.start()
        for number in range(0, queued, 500):
            _batch(rig, min(500, queued - number), "normal")
        page = {"to": "solo:5550200", "class": "critical", "until": "handed_over"}
        critical = [
            rig.call("POST", "/v1/messages", page | {"text": f"page {next(_numbers)}"}).json["id"]
            for _ in range(20)
        ]
        rig.start_carriers("a")
        back = time.monotonic()
        for id_ in critical:
            assert rig.status(id_, wait=30, level="handed_over")["level"] == "handed_over"
        first = time.monotonic() - back
        drain(rig)
        took = time.monotonic() - back
        at = sorted(datetime.fromisoformat(copy.at).timestamp() for copy in rig.truth())
        texts = {copy.text for copy in rig.truth()}
        assert len(texts) == len(at) == queued + 20
        most = max(_in_each_second(at))
        # a burst of one second's worth is allowed; pages are timed when they arrive, not when they left
        assert most <= 2.1 * RATE, f"{most} pages in one second"
        return (
            f"{queued} pages waited; after the carrier was back 20 critical ones were out in {first:.1f} s, all in"
            f" {took:.0f} s, at most {most} in any second (allowed {RATE} and a burst of as many)"
        )


def _batch(rig: Rig, count: int, message_class: str) -> None:
    threads = [
        threading.Thread(
            target=lambda: [submit(rig, "solo:5550200", message_class) for _ in range(count // 4)]
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)


def _in_each_second(at: list[float]) -> Iterator[int]:
    first = 0
    for last, now in enumerate(at):
        while at[first] <= now - 1.0:
            first += 1
        yield last - first + 1


# ---------------------------------------------------------------- F57: callers that do nothing


def connections(folder: Path, number: int) -> str:
    """*number* callers from many addresses that say little or nothing, and come again when they are shed: the
    memory stays bounded and critical pages are taken as if nobody else were there."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most[1], number + 500), most[1]))
    with Rig(folder) as rig:
        rig.start_carriers("a")
        rig.start()
        callers: list[socket.socket] = []
        refused = 0
        try:
            for n in range(number):
                caller = socket.socket()
                caller.settimeout(5)
                caller.bind((f"127.1.{n // 200 % 200}.{1 + n % 200}", 0))
                try:
                    caller.connect(("127.0.0.1", rig.http))
                    if n % 2:
                        caller.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-")
                except OSError:
                    refused += 1
                callers.append(caller)
            took = []
            for _ in range(50):
                began = time.monotonic()
                answer = submit(rig, "solo:5550200", "critical")
                took.append(time.monotonic() - began)
                assert answer is not None, "a critical page found no way in"
                assert answer.status == 202, answer.json
            memory = _resident(rig.gateway.pid)
        finally:
            for caller in callers:
                caller.close()
        assert memory <= MEMORY, f"{memory >> 20} MiB resident"
        took.sort()
        return (
            f"{number} callers: {memory >> 20} MiB resident; 50 critical pages taken, median"
            f" {took[25] * 1e3:.0f} ms, slowest {took[-1] * 1e3:.0f} ms"
        )


def _resident(pid: int) -> int:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("reloads", "stop", "connections", "outage"))
    parser.add_argument("--times", type=int, required=True, help="reloads, pages or connections")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overload-") as folder:
        print(globals()[chosen.what](Path(folder), chosen.times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
