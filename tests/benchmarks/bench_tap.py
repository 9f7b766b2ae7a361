"""How busy a TAP line is inside a call: the share of the time in which octets are on it, in either direction.

    python -m tests.benchmarks.bench_tap [--pages 25]

Our entry device calls the simulated terminal on the simulated clock, where the line is the only thing that
takes time, besides one to two milliseconds each way to the serial server. What is missing from 100 % is
waiting that a faster program could avoid. Ten bits for each octet. Prints figures; asserts nothing.
"""

from __future__ import annotations

import argparse

from gateway.env import Address
from gateway.env.simulated import SimulatedEnv, Weather, run
from gateway.sim.tap import SimulatedTap, TapQuirks
from gateway.sim.truth import Truth
from protocols.tap import codec
from protocols.tap.client import Conversation
from protocols.tap.messages import Page, PagerId, Taken
from protocols.tap.session import Opened
from protocols.timed import paced
from tests.benchmarks.daemon import machine

WHOLE = len(b"211 page accepted\r\x06")  # the CR behind it crosses the next block
PART = len(b"211 part taken\r\x06")
HERE = Address(host="127.0.0.1", port=10001)


def page(number: int, length: int) -> Page:
    """Page *number*, of *length* characters."""
    return Page(pager=PagerId("5551234"), fields=codec.fields_of(f"{number:<4}".ljust(length, "x")))


def busy(baud: int, pages: list[Page]) -> tuple[float, float]:
    """Seconds from the first block to the last ACK in one call, and how many of them the line was busy."""
    env = SimulatedEnv()
    terminal = SimulatedTap(env, TapQuirks(), Truth(), baud=baud)

    async def calling() -> float:
        env.world.weather = Weather(latency=(0.001, 0.002))
        await terminal.listen(str(HERE))
        endpoint = env.net.client(HERE, open_timeout=10.0)
        call = Conversation(endpoint, env.clock, drained=paced(env.clock, baud))
        if not isinstance(await call.open(), Opened):
            raise SystemExit("the terminal did not take the logon")
        began = env.clock.seconds()
        for one in pages:
            if not isinstance(await call.submit(one), Taken):
                raise SystemExit("a page was not taken")
        took = env.clock.seconds() - began
        await call.quit()
        return took

    took = run(env.world, calling())
    blocks = [codec.encode_page(page) for page in pages]
    octets = sum(sum(map(len, of)) + PART * (len(of) - 1) + WHOLE for of in blocks)
    return took, octets * 10 / baud


def main() -> None:
    """All rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=25)
    chosen = parser.parse_args()
    print(machine())
    print(f"a call of {chosen.pages} pages\n{'baud':>6}{'text':>6}{'s':>9}{'pages/min':>11}{'line busy':>11}")
    for baud in (300, 1200, 2400, 9600):
        for text in (40, 200, 600):
            took, line = busy(baud, [page(number, text) for number in range(chosen.pages)])
            bar = "  (must >= 90 %)" if baud == 1200 else ""
            rate = chosen.pages / took * 60
            print(f"{baud:6}{text:6}{took:9.2f}{rate:11.1f}{line / took:11.1%}{bar}")


if __name__ == "__main__":
    main()
