"""Programs of other people that the tests here talk to."""

import os
import shutil
import subprocess

import pytest

from tests.peers import missing


@pytest.fixture(scope="session")
def net_snpp() -> None:
    """Skipped with a reason where Net::SNPP is not installed; a failure where the environment says CI=true."""
    look = ["perl", "-MNet::SNPP::Server", "-e", "1"]
    if shutil.which("perl") is None or subprocess.run(look, capture_output=True).returncode:
        missing("Net::SNPP is not installed (Debian package libnet-snpp-perl)")


@pytest.fixture(scope="session")
def curl() -> None:
    """The same for curl."""
    if shutil.which("curl") is None:
        missing("curl is not installed (Debian package curl)")


@pytest.fixture(scope="session")
def postfix() -> None:
    """The same for Postfix, which only root can start."""
    if shutil.which("postfix") is None:
        missing("postfix is not installed (Debian package postfix)")
    if os.getuid() != 0:
        missing("a private Postfix can be started by root only")


@pytest.fixture(scope="session")
def swaks() -> None:
    """The same for swaks."""
    if shutil.which("swaks") is None:
        missing("swaks is not installed (Debian package swaks)")


@pytest.fixture(scope="session")
def systemd_analyze() -> None:
    """The same for systemd-analyze, from the version on that looks at units which are not installed."""
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed (Debian package systemd)")
    found = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True).stdout
    if int(found.split()[1].partition("~")[0].partition(".")[0]) < 250:
        missing("systemd-analyze is older than 250")


@pytest.fixture(scope="session")
def socket_activate() -> None:
    """The same for systemd's launcher that hands sockets over."""
    if shutil.which("systemd-socket-activate") is None:
        missing("systemd-socket-activate is not installed (Debian package systemd)")


@pytest.fixture(scope="session")
def socat() -> None:
    """The same for socat."""
    if shutil.which("socat") is None:
        missing("socat is not installed (Debian package socat)")


@pytest.fixture(scope="session")
def ser2net() -> None:
    """The same for ser2net."""
    if shutil.which("ser2net") is None:
        missing("ser2net is not installed (Debian package ser2net)")
