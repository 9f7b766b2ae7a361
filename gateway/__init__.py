"""The gateway: gets an urgent message to a person, and proves it.

The folder listing is the floor plan. A message walks the rooms in this order:

    api            doors: words of the outside become a Submission
    accept         grants, refusals at the door, the plan, durable, then yes
    store          the record
    route, render  legs of a person for a class; the text that fits a link
    dispatch       one lane per link: take the best due delivery, begin, submit, conclude
    attempt        one try, reads as a sentence
    adapters       their words to ours, one table per carrier protocol
    retry          what follows an outcome
    receipt        evidence raises the level; human answers
    pursue         the next move: next leg, next person, done
    notify         clients are told

Beside the walk: ``watch``, ``loop``, ``tell`` and ``watchdog`` (whether the gateway itself works, and who
hears of it when not), ``lines`` (modems: who has one, and how to call by it), ``env`` (the seam to time,
chance, network, serial ports and disk), ``settings`` (what the administrator wrote), ``web`` (our HTTP server
seam), ``sim`` (simulated carriers), ``app`` (the only place that builds things), ``cli``.
``docs/architecture.md`` says which way imports may point.
"""

__version__ = "0.1.0"
