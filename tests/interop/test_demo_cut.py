"""``gateway sim cut internet`` against a real ``gateway demo``: pages wait, and leave once it is mended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.sim.truth import read_truth
from tests.crash.rig import HOME, LIMIT, until

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("curl")]
ENVIRON = {**os.environ, "PYTHONPATH": str(HOME)}


class Demo:
    """A demo in *folder*, and the commands that people type there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        with self.out.open("wb") as out:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "gateway", "demo"],
                cwd=folder,
                env=ENVIRON,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def run(self, *words: str, code: int = 0) -> Any:
        """What a command prints for programs."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words, "--json"],
            cwd=self.folder,
            env=ENVIRON,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def standing(self, key: str, wait: int) -> Any:
        """How a page stands once the carrier has it, or after *wait* seconds."""
        socket = str(self.folder / ".demo" / "gateway.db.sock")
        url = f"http://demo/v1/messages/{key}?wait={wait}&until=handed_over"
        curl = ["curl", "-sS", "--max-time", str(int(LIMIT)), "--unix-socket", socket, url]
        return json.loads(subprocess.run(curl, capture_output=True, check=True, timeout=2 * LIMIT).stdout)

    def texts(self) -> list[str]:
        """What reached Bob's pager."""
        return [
            copy.text
            for copy in read_truth(self.folder / ".demo" / "pagers.jsonl")
            if copy.pager == "5551213"
        ]

    def end(self) -> None:
        self.running.send_signal(signal.SIGINT)
        try:
            self.running.wait(LIMIT)
        finally:
            self.running.kill()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One for all: it shows its own pages first, and that takes half a minute."""
    demo = Demo(tmp_path_factory.mktemp("demo"))
    try:
        until(lambda: " Break " in demo.out.read_text(), "the demo has shown its pages", 90.0)
        yield demo
    finally:
        demo.end()


def test_a_page_leaves_once_the_internet_is_mended(demo: Demo) -> None:
    """Not before: it stands as stored, and nothing new is on the pager."""
    before = demo.texts()
    cut = demo.run("sim", "cut", "internet", "--for", "1h")
    assert (cut["cut"], cut["links"]) == (True, ["acme.web", "metro.net", "mail.relay"])
    page = demo.run("send", "bob", "while it was cut", "--class", "urgent", "--no-wait")
    waits = demo.standing(page["id"], 3)
    assert (waits["state"], waits["level"]) == ("open", "stored")
    assert demo.texts() == before
    assert demo.run("sim", "mend", "internet")["cut"] is False
    assert demo.standing(page["id"], 30)["level"] != "stored"
    (text,) = demo.texts()[len(before) :]
    assert text.startswith("while it was cut")


def test_only_what_the_demo_has_can_be_cut(demo: Demo) -> None:
    """A path without a way out is cut all the same; a time that is none is refused."""
    assert demo.run("sim", "cut", "cell", "--refuse")["says"].endswith("no way out uses it.")
    assert demo.run("sim", "cut", "phone", "--for", "soon", code=5)["code"] == "cut.for"
