"""A simulated SNPP carrier as a process of its own: ``python -m tests.crash.carrier --port 10444 --log truth.jsonl``.

Every page that reaches a pager is one line of the log, handed to the system before the gateway is answered,
so killing this process loses none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.env.real import RealEnv, install_reactor


def main() -> None:
    """Serve until killed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--log", type=Path, required=True)
    options.add_argument("--delay", type=float, default=0.0, help="seconds before SEND is answered")
    options.add_argument("--read-after", type=float, help="seconds after which MSTAtus says: read")
    chosen = options.parse_args()

    reactor = install_reactor()
    from twisted.internet.defer import Deferred

    from gateway.sim.snpp import Progress, SimulatedSnpp, SnppQuirks
    from gateway.sim.truth import Truth

    progress = () if chosen.read_after is None else (Progress(after=chosen.read_after, code=870),)
    quirks = SnppQuirks(delay=chosen.delay, progress=progress)
    carrier = SimulatedSnpp(RealEnv(reactor), quirks, Truth(chosen.log))

    async def listen() -> None:
        await carrier.listen(f"127.0.0.1:{chosen.port}")

    def failed(failure: object) -> None:
        print(failure, flush=True)
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(listen()).addErrback(failed))
    reactor.run()


if __name__ == "__main__":
    main()
