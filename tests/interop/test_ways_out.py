"""The daemon with two ways out, both of them processes: one dies, both die, answers are lost, texts are too long."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests import independent_wctp as w
from tests.crash.rig import Process, free_port, marked, until
from tests.interop.site import Carrier, Site, ending

pytestmark = pytest.mark.peers

LIMITS = "breaker: {failures: 1, unanswered: 1, rests: [1s, 1s]}, open_timeout: 1s, answer_timeout: 1s"
WAYS = """\
carriers:
  all:
    links:
      web: {{adapter: wctp, url: "http://127.0.0.1:{web}/wctp", sender_id: st-anne, {link}}}
      net: {{adapter: snpp, at: "127.0.0.1:{net}", {link}}}
"""


class Ways:
    """A gateway whose one carrier is reached by WCTP, then by SNPP."""

    def __init__(self, folder: Path, link: str = LIMITS, *words: str) -> None:
        self.web = Carrier(folder, "web", "wctp", *words)
        self.net = Carrier(folder, "net", "snpp", *words)
        self.site = Site(folder, WAYS.format(web=self.web.port, net=self.net.port, link=link))

    @property
    def processes(self) -> tuple[Process, ...]:
        return self.site.daemon, self.web.process, self.net.process

    def works(self, link: str) -> bool:
        """Whether the way is the first choice again."""
        return self.site.link(link)["state"] in ("working", "idle")


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    made = Ways(tmp_path)
    with ending(*made.processes):
        yield made


class Swallows:
    """A port that takes connections and never says a word; *full*: whose queue is full, so that none is made."""

    def __init__(self, port: int, *, full: bool) -> None:
        self._ears = socket.create_server(("127.0.0.1", port), backlog=0)
        self._callers: list[socket.socket] = []
        while full:
            caller = socket.socket()
            caller.settimeout(0.2)
            self._callers.append(caller)
            try:
                caller.connect(("127.0.0.1", port))
            except TimeoutError:
                break

    def close(self) -> None:
        for one in (self._ears, *self._callers):
            one.close()


@pytest.mark.parametrize("weather", ["nobody listens", "connections are swallowed", "nobody answers"])
def test_f33_a_critical_page_leaves_by_the_other_way(ways: Ways, weather: str) -> None:
    """Exactly one copy, and `gateway why` tells it in sentences; the first way is used again after its rest."""
    site, web, net = ways.site, ways.web, ways.net
    wall = None if weather == "nobody listens" else Swallows(web.port, full=weather.startswith("conn"))
    try:
        net.start()
        site.start()
        key = site.page("all:5551212", "Cath lab 2")
        assert site.status(key)["level"] == "handed_over"
    finally:
        if wall is not None:
            wall.close()
    # who answers nothing may have it: then it is a copy, and says so
    doubt = weather == "nobody answers"
    assert net.texts == ["Cath lab 2 (copy 2)" if doubt else "Cath lab 2"]
    said = site.command("why", key)
    assert said.returncode == 0
    for sentence in (
        "Not sure that ALL (web) took it for 5551212" if doubt else "Could not reach ALL (web) for 5551212",
        "Paging 5551212 by ALL (net)",
        "ALL (net) took it for 5551212.",
    ):
        assert sentence in said.stdout, said.stdout
    web.start()
    until(lambda: ways.works("all.web"), "WCTP is the first choice again", pause=0.2)
    key = site.page("all:5551212", "Cath lab 3")
    assert site.status(key)["deliveries"][0]["link"] == "all.web"
    assert [text for text in web.texts if "Cath lab 3" in text] == ["Cath lab 3"]
    assert not [text for text in net.texts if "Cath lab 3" in text]


CLASSES = ("bulk", "normal", "urgent", "critical")
RATE = 10  # pages a second
SLACK = 2  # pages that a noisy machine may push from one moment into the next


def keeps(rate: int, times: list[float]) -> bool:
    """Whether no second sees more than *rate* of *times*."""
    return all(sum(start <= at < start + 1 for at in times) <= rate + SLACK for start in times)


def test_thirty_pages_after_both_ways_were_dead(tmp_path: Path) -> None:
    """All go out, each once, critical first; and no second sees more of them over a link than its rate."""
    ways = Ways(tmp_path, f"{LIMITS}, rate: {RATE}/s")
    site = ways.site
    with ending(*ways.processes):
        site.start()
        pages = {f"page {n} {CLASSES[n % 4]}": CLASSES[n % 4] for n in range(30)}
        keys = [site.page("all:5551212", text, name) for text, name in pages.items()]
        until(lambda: not ways.works("all.web") and not ways.works("all.net"), "both rest", pause=0.2)
        ways.web.start()
        ways.net.start()
        for key in keys:
            assert site.status(key)["level"] == "handed_over"
        copies = [*ways.web.copies, *ways.net.copies]
        assert sorted(copy.text for copy in copies) == sorted(pages)
        for carrier in (ways.web, ways.net):
            times = [datetime.fromisoformat(copy.at).timestamp() for copy in carrier.copies]
            assert keeps(RATE, times), times
            classes = [pages[text] for text in carrier.texts]
            last = max((n for n, name in enumerate(classes) if name == "critical"), default=-1)
            print(carrier.process.name, classes)
            assert set(classes[: last + 1]) <= {"critical"}, classes


# ---------------------------------------------------------------- texts

TEXT = ("Ward 4 \U0001f525 bed 7: é 38 °C, " + "code blue " * 3) * 100
TEXT = TEXT[:5000]
HOW = {"cut": "", "split": "too_long: split, parts: 3", "refuse": "too_long: refuse"}
SHOWN = 240


def too_long(web: int, net: int) -> str:
    """One carrier for each protocol and each way to treat what is too long."""
    carriers = ""
    for how, more in HOW.items():
        carriers += f"  web-{how}: {{links: {{web: {{adapter: wctp, sender_id: st-anne, max_chars: {SHOWN}"
        carriers += f', url: "http://127.0.0.1:{web}/wctp", {more}}}}}}}\n'
        carriers += f"  net-{how}: {{links: {{net: {{adapter: snpp, max_chars: {SHOWN}"
        carriers += f', at: "127.0.0.1:{net}", {more}}}}}}}\n'
    return f"carriers:\n{carriers}"


def test_a_text_of_5000_characters_arrives_as_it_was_announced(tmp_path: Path) -> None:
    """Cut, in three parts, or as the short form: what the dry run shows is what the pager shows."""
    web = Carrier(tmp_path, "web", "wctp", "--max-chars", str(SHOWN), "--no-truncate")
    net = Carrier(tmp_path, "net", "snpp")
    names = [f"{protocol}-{how}" for protocol in ("web", "net") for how in HOW]
    grants = ", ".join(f'"{name}:*"' for name in names)
    site = Site(tmp_path, too_long(web.port, net.port), may_page=grants)
    with ending(site.daemon, web.process, net.process):
        web.start()
        net.start()
        site.start()
        for number, name in enumerate(names):
            carrier, _, how = name.partition("-")
            pin = f"555000{number}"
            body = {"to": f"{name}:{pin}", "text": TEXT, "class": "urgent"}
            announced = site.ask("/v1/messages?dry_run=true", body)
            stored = site.ask("/v1/messages", body)
            assert stored["warnings"] == announced["warnings"]
            assert site.status(stored["id"])["level"] == "handed_over"
            shown = [copy.text for copy in (web if carrier == "web" else net).copies if copy.pager == pin]
            (pages,) = announced["pages"]
            assert shown == pages["texts"]
            assert pages["cut"] is True
            _as_said(how, shown, {one["code"]: one["detail"] for one in announced["warnings"]})


def _as_said(how: str, shown: list[str], warnings: dict[str, str]) -> None:
    """The warnings are true of what the pager shows, which is nowhere more than it can show."""
    assert all(len(text) <= SHOWN and text.isascii() for text in shown)
    assert "[fire]" in shown[0]
    assert "characters-replaced" in warnings
    assert f"{sum(map(len, shown))} characters" in warnings["text-cut"]
    assert shown[-1].endswith("...")
    if how == "split":
        assert [text[:4] for text in shown] == ["1/3 ", "2/3 ", "3/3 "]
        assert "3 parts" in warnings["text-split"]
    else:
        assert len(shown) == 1 and "text-split" not in warnings
        assert (len(shown[0]) < 80) == (how == "refuse")  # the form {short}


# ---------------------------------------------------------------- killed on the way

ONE_WAY = """\
classes: {{critical: {{waits: [0s, 300ms], next_leg_after: 1s}}}}
carriers:
  all: {{links: {{way: {{{way}, {link}}}}}}}
"""
ADAPTERS = {
    "wctp": 'adapter: wctp, sender_id: st-anne, url: "http://127.0.0.1:{port}/wctp"',
    "snpp": 'adapter: snpp, at: "127.0.0.1:{port}"',
}
PATIENT = "too_long: split, parts: 3, breaker: {rests: [1s]}"


@pytest.mark.parametrize("protocol", ADAPTERS)
def test_killed_while_the_answer_is_outstanding(tmp_path: Path, protocol: str) -> None:
    """The page may be there: after the restart there is one more copy at most, and it is marked."""
    carrier = Carrier(tmp_path, "carrier", protocol, "--delay", "1")
    way = ADAPTERS[protocol].format(port=carrier.port)
    site = Site(tmp_path, ONE_WAY.format(way=way, link=PATIENT))
    with ending(site.daemon, carrier.process):
        carrier.start()
        site.start()
        key = site.page("all:5551212", "bed 4")
        site.reaches(key, lambda now: now["deliveries"][0]["state"] == "begun", "it is under way")
        site.daemon.kill()
        site.start()
        found = site.status(key)
        assert (found["level"], found["deliveries"][0]["doubts"]) == ("handed_over", 1)
        until(lambda: "bed 4 (copy 2)" in carrier.texts, "the copy is there")
        assert carrier.texts.count("bed 4 (copy 2)") == 1
        assert carrier.texts.count("bed 4") <= 1
        assert len(carrier.texts) <= 2


@pytest.mark.parametrize("protocol", ADAPTERS)
def test_killed_between_two_parts(tmp_path: Path, protocol: str) -> None:
    """Every part arrives; each that was sent since the try began comes once more at most, marked."""
    carrier = Carrier(tmp_path, "carrier", protocol, "--delay", "0.5")
    way = ADAPTERS[protocol].format(port=carrier.port)
    site = Site(tmp_path, ONE_WAY.format(way=way, link=PATIENT))
    text = "bed 4 " * 90
    with ending(site.daemon, carrier.process):
        carrier.start()
        announced = site_start_and_dry_run(site, text)
        assert len(announced) == 3
        key = site.page("all:5551212", text)
        until(lambda: carrier.copies, "the first part is there")
        site.daemon.kill()
        site.start()
        assert site.status(key)["level"] == "handed_over"
        texts = carrier.texts
        print(texts)
        for part in announced:
            copies = [one for one in texts if one.startswith(part[:4])]
            plain = marked(copies)[False]
            assert plain <= 1 and 1 <= len(copies) <= 2, copies
        assert any(" (copy 2)" in one for one in texts if one.startswith("1/3"))


def site_start_and_dry_run(site: Site, text: str) -> list[str]:
    """Start it; the texts that it would send."""
    site.start()
    body = {"to": "all:5551212", "text": text, "class": "critical"}
    (pages,) = site.ask("/v1/messages?dry_run=true", body)["pages"]
    return list(pages["texts"])


# ---------------------------------------------------------------- answers come back

ANSWERS = """\
carriers:
  push: {{links: {{web: {{adapter: wctp, url: "http://127.0.0.1:{push}/wctp", sender_id: st-anne, answers: push,
         notify_queued: true, notify_delivered: true}}}}}}
  poll: {{links: {{web: {{adapter: wctp, url: "http://127.0.0.1:{kept}/wctp", sender_id: st-anne, answers: poll,
         notify_queued: true, notify_delivered: true, poll_interval: 1s}}}}}}
  query: {{links: {{web: {{adapter: wctp, url: "http://127.0.0.1:{kept}/wctp", sender_id: desk3, answers: query,
         mode: transient, notify_queued: true, notify_delivered: true}}}}}}
"""
LEVELS = ("in_progress", "on_device", "read", "acknowledged")


class Answering:
    """A gateway that takes pushes, a carrier that pushes, one that is asked."""

    def __init__(self, folder: Path) -> None:
        door, secret = free_port(), folder / "door"
        secret.write_text("a-secret-of-the-carrier-only")
        secret.chmod(0o600)
        pushes = ("--push-to", f"http://127.0.0.1:{door}/wctp/{secret.read_text()}")
        progress = ("--progress", "0:queued", "--progress", "0.3:delivered", "--progress", "0.6:reply:OK")
        self.push = Carrier(folder, "push", "wctp", *progress, *pushes)
        self.kept = Carrier(folder, "kept", "wctp", *progress)
        self.site = Site(
            folder,
            ANSWERS.format(push=self.push.port, kept=self.kept.port),
            may_page='"push:*", "poll:*", "query:*"',
            doors=f', wctp: {{at: "127.0.0.1:{door}", secret: {{file: {secret}}}}}',
        )


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Answering]:
    made = Answering(tmp_path)
    with ending(made.site.daemon, made.push.process, made.kept.process):
        made.push.start()
        made.kept.start()
        yield made


def climbed(found: Any) -> list[str]:
    """The levels of its timeline, in order."""
    return [one["level"] for one in found["timeline"] if one["what"] == "level"]


def test_levels_climb_and_an_answer_acknowledges(answering: Answering) -> None:
    """Pushed, polled and asked for: on the device, then "OK", which is somebody's yes."""
    site = answering.site
    site.start()
    keys = {
        how: site.page(f"{how}:5551212", f"bed {how}", until="acknowledged")
        for how in ("push", "poll", "query")
    }
    for how, key in keys.items():
        found = site.status(key, "acknowledged")
        assert (found["outcome"], found["accepted_by"]) == ("confirmed", f"{how}:5551212"), found
        levels = climbed(found)
        assert "on_device" in levels and levels == sorted(levels, key=LEVELS.index)
        assert [one["what"] for one in found["timeline"]].count("reply") == 1


def test_killed_between_a_push_and_its_answer(answering: Answering) -> None:
    """Somebody's yes is on disk before the carrier hears yes: killed in between, nothing is lost or counted twice."""
    site = answering.site
    site.start("T4:3")  # queued, delivered, and the answer
    key = site.page("push:5551212", "bed 4", until="acknowledged")
    site.daemon.ended()
    site.start()
    found = site.status(key, "acknowledged")
    assert found["outcome"] == "confirmed", found
    assert climbed(found) == list(dict.fromkeys(climbed(found)))
    assert [one["what"] for one in found["timeline"]].count("reply") == 1
    assert answering.push.texts == ["bed 4"]


def test_a_push_that_is_repeated_after_a_crash_counts_once(tmp_path: Path) -> None:
    """The carrier heard no yes, and says it again to the gateway that was started again."""
    door = tmp_path / "door"
    door.write_text("a-secret-of-the-carrier-only")
    door.chmod(0o600)
    port = free_port()
    url = f"http://127.0.0.1:{port}/wctp/{door.read_text()}"
    doors = f', wctp: {{at: "127.0.0.1:{port}", secret: {{file: {door}}}}}'
    with w.Carrier(senders={"st-anne": None}) as carrier:
        way = (
            f'adapter: wctp, sender_id: st-anne, answers: push, notify_delivered: true, url: "{carrier.url}"'
        )
        site = Site(tmp_path, ONE_WAY.format(way=way, link="max_chars: 240"), doors=doors)
        with ending(site.daemon):
            site.start("T4:1")
            key = site.page("all:5551212", "bed 4", until="acknowledged")
            assert carrier.wait(lambda: bool(carrier.taken)), carrier.refusals()
            (taken,) = carrier.taken
            for what, level in (("DELIVERED", "on_device"), ("reply:OK", "acknowledged")):
                said = carrier.operation_of(taken, what, f"c-{level}")
                assert not w.post(url, said, taken.version).accepted
                site.daemon.ended()
                site.start("T4:2")  # the repeat, then the next news
                assert w.post(url, said, taken.version).accepted
                found = site.status(key, level)
                assert found["level"] == level
            events = [one["what"] for one in found["timeline"]]
            assert (climbed(found).count("on_device"), events.count("reply")) == (1, 1)
            assert len(carrier.taken) == 1
