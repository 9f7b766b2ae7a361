"""What an SNPP link may be told by its settings."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.snpp import SnppSettings
from gateway.settings.types import Secret


def objections(**keys: Any) -> list[tuple[str, bool]]:
    settings = SnppSettings(**({"at": "127.0.0.1:444"} | keys))
    return [(one.key, one.warning) for one in settings.check()]


@pytest.mark.parametrize("name", ["two words", "", "é", "x" * 65, "a\r\nSEND"])
def test_a_login_that_the_wire_cannot_carry_is_refused_when_it_is_written(name: str) -> None:
    """Not at three in the morning, when the link opens."""
    assert objections(login=name) == [("login", False)]
    assert objections(login="ok", password=Secret(name)) == [("password", False)]


def test_a_password_in_clear_to_another_machine_is_a_warning() -> None:
    """SNPP has no protection of its own."""
    assert objections(login="ok", password=Secret("s3cret")) == []
    assert objections(at="pager.example.net:444", login="ok", password=Secret("s3cret")) == [
        ("password", True)
    ]
    assert objections(at="pager.example.net:444", tls="required", login="ok", password=Secret("s3cret")) == []


def test_a_password_without_a_login_is_a_mistake() -> None:
    """LOGIn needs a name first."""
    assert objections(password=Secret("s3cret")) == [("password", False)]
