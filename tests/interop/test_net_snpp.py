"""Net::SNPP 1.17 (Debian: libnet-snpp-perl), both ends, over loopback: their server, their client."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.client import Conversation
from protocols.snpp.messages import PagerId, Recipient, Reply, SnppText, Transaction
from protocols.snpp.server import Caller, SnppFactory

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("net_snpp")]

THEIR_SERVER = Path(__file__).with_name("net_snpp_server.pl")

# Our client, their server


@pytest.fixture
def their_server() -> Iterator[tuple[int, subprocess.Popen]]:
    """The port of a Net::SNPP::Server, and the process, which prints the pages it takes."""
    process = subprocess.Popen(
        ["perl", str(THEIR_SERVER), "0"], stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    )
    yield int(process.stdout.readline()), process
    process.kill()
    process.wait()
    process.stdout.close()


def conversation(port: int, **how: object) -> Conversation:
    from twisted.internet import reactor

    return Conversation(HostnameEndpoint(reactor, "127.0.0.1", port), reactor, **how)


def page(text: str, *recipients: Recipient, **more: object) -> Transaction:
    return Transaction(recipients=recipients, text=tuple(SnppText(line) for line in text.split("\n")), **more)


@pytest_twisted.ensureDeferred
async def test_pages_of_our_client_arrive_at_net_snpp_server(
    their_server: tuple[int, subprocess.Popen],
) -> None:
    """One line, several with dots, several recipients with one refused, two-way with choices; then QUIT."""
    port, process = their_server
    ours = conversation(port)
    assert isinstance(await ours.open(), s.Opened)
    a = Recipient(pager=PagerId("5551212"), pin=m.SnppSecret("1111"))
    b = Recipient(pager=PagerId("5553434"), level=3, hold=datetime(2030, 12, 31, 12, tzinfo=UTC))
    short = Recipient(pager=PagerId("12"))

    assert (await ours.submit(page("Disk full", a))).taken
    assert process.stdout.readline() == "5551212|1111|Disk full|||\n"

    result = await ours.submit(page("one\n.two\n..\nthree", a, short, b, subject=SnppText("db1")))
    assert result.taken
    assert result.accepted == ("5551212", "5553434")
    assert [(one.pager, one.reply.code) for one in result.refusals] == [("12", 550)]
    assert [(one.verb, one.reply.code) for one in result.skipped] == [("LEVE", 500)]
    assert (
        process.stdout.readline() == r"5551212|1111|one\x0a.two\x0a..\x0athree\x0a|db1|301231120000|" + "\n"
    )
    assert process.stdout.readline() == r"5553434|1|one\x0a.two\x0a..\x0athree\x0a|db1|301231120000|" + "\n"

    refused = await ours.submit(page("nobody", short))
    assert (refused.reply.code, refused.step, refused.committed) == (550, "PAGE", False)

    choices = (m.McResponse(code="01", text="yes"), m.McResponse(code="02", text="no"))
    two_way = await ours.submit(
        page("Restart?", a, two_way=m.TwoWayOptions(ack_read=True, responses=choices))
    )
    assert two_way.taken
    assert two_way.reply.code == 960
    assert two_way.reply.tag.isdigit()
    assert two_way.reply.passcode.isdigit()
    assert [one.verb for one in two_way.skipped] == ["ACKR"]
    # Their server keeps the code in front of the response it stores.
    assert process.stdout.readline() == "5551212|1111|Restart?|||01=01 yes,02=02 no\n"

    assert (await ours.status("1", "2")).code == 500
    assert (await ours.ping(PagerId("5551212"))).code == 250
    assert (await ours.help()).code == 250
    await ours.quit()


@pytest_twisted.ensureDeferred
async def test_a_login_that_net_snpp_server_does_not_know(their_server: tuple[int, subprocess.Popen]) -> None:
    """500 to LOGI: the conversation does not open, and the next one without a login does."""
    port, _ = their_server
    refused = conversation(port, login=m.Login(login=m.SnppWord("ops")))
    result = await refused.open()
    assert isinstance(result, s.NotOpened)
    assert (result.step, result.reply.code) == ("LOGI", 500)
    await refused.quit()
    ours = conversation(port)
    assert isinstance(await ours.open(), s.Opened)
    await ours.quit()


# Their client, our server


class House:
    """An application that takes everything but one pager."""

    def __init__(self) -> None:
        self.pages: list[m.Received] = []

    async def login(self, who: Caller, asked: s.LoginAsked) -> Reply:
        return Reply(250, "in") if asked.password == "s3cret" else Reply(550, "Login incorrect")

    async def check_pager(self, who: Caller, asked: s.PagerAsked) -> Reply:
        if asked.recipient.pager == "404":
            return Reply(550, "Unknown pager")
        return Reply(850, "Unit online") if asked.two_way else Reply(250, "Pager ID accepted")

    async def send(self, who: Caller, page: m.Received) -> Reply:
        self.pages.append(page)
        return m.tagged_reply(960, "1795283", "482913", "Queued") if page.two_way else Reply(250, "Queued")

    async def status(self, who: Caller, asked: s.StatusAsked) -> Reply:
        return Reply(860, "00001 261121174400+0 Delivered")

    async def ping(self, who: Caller, asked: s.PingAsked) -> Reply:
        return Reply(820, "17 Downtown")

    async def kill(self, who: Caller, asked: s.KillAsked) -> Reply:
        return Reply(250, "Tag removed")


class Run(ProcessProtocol):
    """A program, its output, and its end."""

    def __init__(self) -> None:
        self.out = b""
        self.ended: Deferred[bytes] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.out += data

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if reason.check(ProcessDone):
            self.ended.callback(self.out)
        else:
            reason.trap(ProcessTerminated)
            self.ended.errback(AssertionError(self.out.decode("latin-1")))


async def run_perl(house: House, script: str, **rules: object) -> list[str]:
    """What *script* prints, one item per line, talking as ``$s`` to our server."""
    from twisted.internet import reactor

    factory = SnppFactory(house, reactor, lambda: datetime.now(UTC), rules=s.ServerRules(**rules))
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    try:
        start = "use Net::SNPP; $| = 1; my $s = Net::SNPP->new('127.0.0.1', Port => $ARGV[0], Timeout => 20) or die;"
        note = "sub note { print join(' ', map { defined $_ ? $_ : 'undef' } @_), qq(\\n) }"
        run = Run()
        reactor.spawnProcess(
            run, "perl", ["perl", "-e", start + note + script, str(listening.getHost().port)], env=os.environ
        )
        return (await run.ended.addTimeout(60, reactor)).decode().splitlines()
    finally:
        await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_net_snpp_send_reaches_our_server_with_its_late_options() -> None:
    """Its one-call send() enters the options after the text; they still count."""
    house = House()
    said = await run_perl(
        house,
        """
        note($s->send(Pager => [5551212, 5553434], Message => 'Disk  full', Hold => 1924948800,
                      Coverage => 'north', Alert => 1, ServiceLevel => 2), $s->code);
        note($s->quit ? 1 : 0);
        """,
    )
    assert said[0] == "1 250"
    options = {
        "level": 2,
        "alert": True,
        "coverage": SnppText("north"),
        "hold": datetime(2030, 12, 31, 12, tzinfo=UTC),
    }
    assert house.pages == [
        m.Received(
            recipients=tuple(Recipient(pager=PagerId(one), **options) for one in ("5551212", "5553434")),
            text="Disk  full",
        )
    ]


@pytest_twisted.ensureDeferred
async def test_net_snpp_login_data_with_dots_and_refusals() -> None:
    """530 before the login, 550 for the wrong one, 503 for a second text; dots arrive as they were."""
    house = House()
    said = await run_perl(
        house,
        r"""
        note('early', $s->pager_id(1) ? 1 : 0, $s->code);
        note('wrong', $s->login('ops', 'nope') ? 1 : 0, $s->code);
        note('right', $s->login('ops', 's3cret'), $s->code);
        note('404', $s->pager_id('404') ? 1 : 0, $s->code);
        note('pager', $s->pager_id('5551212'), $s->code);
        note('call', $s->caller_id('ward 3'), $s->code);
        note('data', $s->data("one\n.two\n..\n\nthree\n"), $s->code);
        note('mess', $s->content('again') ? 1 : 0, $s->code);
        note('send', $s->send, $s->code);
        note('site', $s->site('x') ? 1 : 0, $s->code);
        note('xwho', $s->xwho ? 1 : 0, $s->code);
        note('help', scalar(() = $s->help), $s->code);
        note('reset', $s->reset, $s->code);
        note('after', $s->pager_id(1) ? 1 : 0, $s->code);
        """,
        login_needed=True,
    )
    assert said == [
        "early 0 530",
        "wrong 0 550",
        "right 1 250",
        "404 0 550",
        "pager 1 250",
        "call 1 250",
        "data 1 250",
        "mess 0 503",
        "send 1 250",
        "site 0 500",
        "xwho 0 500",
        "help 12 250",
        "reset 1 250",
        "after 0 530",
    ]
    [got] = house.pages
    assert (got.text, got.caller_id, got.login) == ("one\n.two\n..\n\nthree", "ward 3", "ops")


@pytest_twisted.ensureDeferred
async def test_net_snpp_two_way() -> None:
    """Tag and pass code of SEND, status, choices without a reply type, its broken `RTYP 1`, ping, kill."""
    house = House()
    said = await run_perl(
        house,
        """
        note('2way', $s->two_way, $s->code);
        note('noqueue', $s->noqueue, $s->code);
        note('expire', $s->expire_time(4), $s->code);
        note('ack', $s->read_ack(1), $s->code);
        note('rtype', $s->reply_type('yesno') ? 1 : 0, $s->code);
        note('pager', $s->pager_id('5551212') ? 1 : 0, $s->code);
        note('text', $s->content('Restart?'), $s->code);
        note('choice', $s->message_response('01', 'yes please'), $s->code);
        note('send', ($s->send_two_way)[0, 1, 3]);
        note('status', ($s->message_status(1795283, 482913))[0, 1, 2, 4]);
        $s->ping('5551212'); note('ping', $s->code);
        note('kill', $s->_KTAG(1795283, 482913), $s->code);
        """,
    )
    assert said == [
        "2way 1 250",
        "noqueue 1 250",
        "expire 1 250",
        "ack 1 250",
        "rtype 0 550",
        "pager 0 850",
        "text 1 250",
        "choice 1 250",
        "send 1795283 482913 9",
        "status 00001 261121174400 +0 860",
        "ping 820",
        "kill 1 250",
    ]
    assert house.pages[0].two_way == m.TwoWayOptions(
        no_queue=True,
        expire_hours=4,
        ack_read=True,
        reply=m.ReplyKind.MULTICHOICE,
        responses=(m.McResponse(code="01", text="yes please"),),
    )
