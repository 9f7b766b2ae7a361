"""A path is cut, as in the demo: what is on its way, what comes next, and what happens when it is mended."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost, NoRouteError, TimeoutError
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from gateway.env import Address
from gateway.env.simulated import World, run
from gateway.outcome import Level
from gateway.sim.cut import Cuttable
from tests.stories.conftest import Tell
from tests.stories.world import DIRECT, ONE, PAGER, TWO, URGENT, Story

FAR = Address(host="far.example", port=25)


class Wire:
    """A machine with a cuttable network, and another that it calls."""

    def __init__(self) -> None:
        self.world = World()
        self.env = self.world.env("near.example")
        self.net = Cuttable(self.env)
        self.net.ways["internet"] = {str(FAR), "other.example:1"}
        self.lost: list[type[BaseException]] = []
        wire = self

        class Talk(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                wire.lost.append(type(reason.value))

        self.factory = Factory.forProtocol(Talk)
        far = self.world.env("far.example")

        async def listen() -> None:
            for port in (25, 26):
                await far.net.listen(f"far.example:{port}", self.factory)

        run(self.world, listen())

    def connect(self, address: Address = FAR) -> list[Any]:
        """What comes of it, once something has."""
        came: list[Any] = []
        endpoint = self.net.client(address, open_timeout=10.0)
        self.connecting = endpoint.connect(self.factory)
        self.connecting.addBoth(lambda it: came.append(it.type if isinstance(it, Failure) else "connected"))
        return came

    def later(self, seconds: float) -> None:
        self.world.clock.advance(seconds)


def test_what_is_open_breaks_at_both_ends() -> None:
    """And only what goes by that path."""
    wire = Wire()
    wire.connect()
    elsewhere = wire.connect(Address(host="far.example", port=26))
    wire.later(1)
    wire.net.cut("phone", seconds=None, refuse=False)
    wire.later(1)
    assert (wire.lost, elsewhere) == ([], ["connected"])
    wire.net.cut("internet", seconds=None, refuse=False)
    wire.later(1)
    assert len(wire.lost) == 2
    assert ConnectionLost in wire.lost  # the far end heard no goodbye


def test_new_connections_hang_until_their_time_is_over() -> None:
    """As where packets are lost; what hangs may be given up before."""
    wire = Wire()
    wire.net.cut("internet", seconds=None, refuse=False)
    came = wire.connect()
    wire.later(9.9)
    assert came == []
    wire.later(0.2)
    assert came == [TimeoutError]
    came = wire.connect()
    wire.connecting.cancel()
    assert came == [CancelledError]
    wire.net.mend("internet")
    wire.later(1)
    assert (came, wire.lost) == ([CancelledError], [])


def test_new_connections_may_be_refused_at_once() -> None:
    """As where there is no route; other paths go on."""
    wire = Wire()
    wire.net.cut("internet", seconds=None, refuse=True)
    assert wire.connect() == [NoRouteError]
    came = wire.connect(Address(host="far.example", port=26))
    wire.later(1)
    assert came == ["connected"]


def test_a_cut_ends_by_itself_or_when_it_is_mended() -> None:
    """What hangs is connected then; a second cut begins anew."""
    wire = Wire()
    wire.net.cut("internet", seconds=5.0, refuse=False)
    came = wire.connect()
    wire.later(4)
    wire.net.cut("internet", seconds=5.0, refuse=False)
    wire.later(4)
    assert came == []
    wire.later(2)
    assert came == ["connected"]
    wire.net.cut("internet", seconds=None, refuse=False)
    came = wire.connect()
    wire.net.mend("internet")
    wire.net.mend("internet")
    wire.later(1)
    assert came == ["connected"]


def test_a_connection_made_while_its_path_is_cut_breaks_at_once() -> None:
    """Nothing slips through."""
    wire = Wire()
    came = wire.connect()
    wire.net.cut("internet", seconds=None, refuse=False)
    wire.later(1)
    assert (came, len(wire.lost)) == (["connected"], 2)


# ---------------------------------------------------------------- a gateway


def cuttable(story: Story, **ways: set[str]) -> Cuttable:
    """The node's network, before anything was connected."""
    net = story.env.net = Cuttable(story.env)
    net.ways |= ways
    return net


@pytest.mark.parametrize("refuse", [False, True])
def test_a_page_waits_for_the_only_way_out(tell: Tell, refuse: bool) -> None:
    """Nothing leaves while it is cut; after mending it does, once."""
    story = tell(DIRECT, terminals={ONE: {}})
    net = cuttable(story, internet={ONE})
    story.page("alice", text="before")
    story.forward(5)
    net.cut("internet", seconds=None, refuse=refuse)
    sent = story.page("alice", text="meanwhile")
    story.forward(minutes=3)
    assert story.look(sent).level is Level.STORED
    assert story.copies(PAGER, "meanwhile") == []
    net.mend("internet")
    story.wait_for(lambda: story.copies(PAGER, "meanwhile"), limit=150)
    assert len(story.copies()) == 2


def test_a_page_takes_another_path(tell: Tell) -> None:
    """The Internet is cut: the phone line is next."""
    story = tell(terminals={ONE: {}, TWO: {}})
    cuttable(story, internet={ONE}, phone={TWO}).cut("internet", seconds=None, refuse=False)
    story.page("alice", message_class=URGENT)
    story.wait_for(lambda: story.copies(PAGER), limit=60)
    assert [copy.by for copy in story.copies()] == [TWO]
