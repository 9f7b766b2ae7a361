"""Documents of our own for the tests of WCTP, and a count of the steps that reading takes."""

import sys
from collections.abc import Callable
from pathlib import Path

from protocols.wctp import messages as m

EXAMPLES = Path(__file__).parent / "examples"


def example(name: str) -> bytes:
    return (EXAMPLES / name).read_bytes()


def all_examples() -> list[str]:
    files = (one for one in EXAMPLES.rglob("*") if one.is_file())
    return sorted(str(one.relative_to(EXAMPLES)) for one in files)


def submit(
    text: str = "Freezer 9 at -51C",
    *,
    version: str = 'wctpVersion="wctp-dtd-v1r3"',
    originator: str = '<wctp-Originator senderID="noc" securityCode="K7-blue-91"/>',
    control: str = '<wctp-MessageControl messageID="m-1"/>',
    recipient: str = '<wctp-Recipient recipientID="5550104477"/>',
    payload: str | None = None,
    prolog: str = "",
) -> bytes:
    """A wctp-SubmitRequest of which any part can be put in another way."""
    payload = f"<wctp-Alphanumeric>{text}</wctp-Alphanumeric>" if payload is None else payload
    return (
        f"{prolog}<wctp-Operation {version}><wctp-SubmitRequest><wctp-SubmitHeader>"
        f"{originator}{control}{recipient}</wctp-SubmitHeader><wctp-Payload>{payload}</wctp-Payload>"
        f"</wctp-SubmitRequest></wctp-Operation>"
    ).encode()


def request(read: m.Document | m.Unreadable) -> m.SubmitRequest:
    """The wctp-SubmitRequest that was read."""
    assert isinstance(read, m.Document), read
    assert isinstance(read.operation, m.SubmitRequest)
    return read.operation


def refusal(read: m.Document | m.Unreadable) -> m.Unreadable:
    assert isinstance(read, m.Unreadable), read
    return read


def steps(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, *work* calls."""
    count = 0

    def seen(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
