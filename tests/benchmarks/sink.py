"""The smallest SNPP terminal that takes everything: ``python -m tests.benchmarks.sink PORT [DELAY]``.

It checks nothing, so that its share of the machine is small. ``COUN`` answers how many pages it took;
``WHEN`` answers with the steady time (s) at which the PAGEr line of each pager that begins with 9 came in,
and ``250`` at the end.
"""

from __future__ import annotations

import sys
import time

from gateway.env.real import install_reactor

reactor = install_reactor()

from twisted.internet.protocol import Factory, Protocol  # noqa: E402

DELAY = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
YES = b"250 yes\r\n"
taken = 0
seen: dict[str, float] = {}


class Terminal(Protocol):
    """One caller."""

    def connectionMade(self) -> None:
        self.rest = b""
        self.in_text = False
        self.transport.setTcpNoDelay(True)
        self.transport.write(b"220 sink\r\n")

    def dataReceived(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\r\n")
        for line in lines:
            self.line(line)

    def line(self, line: bytes) -> None:
        global taken
        verb = line[:4].upper()
        if self.in_text:
            if line == b".":
                self.in_text = False
                self.transport.write(YES)
        elif verb == b"PAGE":
            if line[5:6] == b"9":
                seen[line[5:].decode()] = time.monotonic()
            self.transport.write(YES)
        elif verb == b"DATA":
            self.in_text = True
            self.transport.write(b"354 go on\r\n")
        elif verb == b"SEND":
            taken += 1
            if DELAY:
                reactor.callLater(DELAY, self.transport.write, YES)
            else:
                self.transport.write(YES)
        elif verb == b"QUIT":
            self.transport.write(b"221 bye\r\n")
            self.transport.loseConnection()
        elif verb == b"COUN":
            self.transport.write(b"250 %d\r\n" % taken)
        elif verb == b"WHEN":
            self.transport.write("".join(f"{pager} {at}\r\n" for pager, at in seen.items()).encode() + YES)
        else:
            self.transport.write(YES)


reactor.listenTCP(int(sys.argv[1]), Factory.forProtocol(Terminal), interface="127.0.0.1", backlog=200)
reactor.run()
