"""Rules over a carrier's answers: the first that matches counts, and no rule invents a success."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.rules import _may_mean
from gateway.model import Instant, later
from gateway.outcome import About, InDoubt, Later, NotSent, Outcome, Refused, Taken
from gateway.rules import MOST_WORDS, first_match, glob_matches, ruled
from gateway.settings.types import Rule
from tests.gateway.test_settings import BASE, load_text, mistakes

NOW = Instant(1_800_000_000_000_000)
QUOTA = Refused(about=About.ADDRESS, code="550", why="PAGE: Quota exceeded")


def meant(outcome: Outcome, *rules: Rule, protocol: str = "snpp", link: str = "web") -> Outcome:
    return ruled(rules, outcome, protocol=protocol, link=link, now=NOW).outcome


def test_the_first_rule_that_matches_counts() -> None:
    """In the order of the file, and the words say which one it was."""
    rules = (
        Rule(code="421", means="refuse_link"),
        Rule(code="550", match="*quota*", means="later"),
        Rule(code="5*", means="refuse_page"),
    )
    found = ruled(rules, QUOTA, protocol="snpp", link="web", now=NOW)
    assert found.number == 2
    assert found.outcome == Later(about=About.PAGE, code="550", why="PAGE: Quota exceeded [rule 2: later]")


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ("later", (Later, About.PAGE)),
        ("later_link", (Later, About.LINK)),
        ("refuse_page", (Refused, About.PAGE)),
        ("refuse_address", (Refused, About.ADDRESS)),
        ("refuse_link", (Refused, About.LINK)),
    ],
)
def test_what_a_rule_may_mean(means: str, expected: tuple[type, About]) -> None:
    """Five words; whatever the table said before."""
    for said in (QUOTA, Later(about=About.LINK, code="421", why="busy")):
        found = meant(said, Rule(means=means))  # type: ignore[arg-type]
        assert isinstance(found, Refused | Later)
        assert (type(found), found.about) == expected


@pytest.mark.parametrize(
    "outcome",
    [Taken(code="250"), NotSent(code="550", why="quota"), InDoubt(code="550", why="quota")],
)
def test_nothing_but_a_no_or_a_later_is_touched(outcome: Outcome) -> None:
    """A success stays one, a doubt stays one, and what never got there was never answered."""
    found = ruled(
        (Rule(means="refuse_page", pause_link=60.0),), outcome, protocol="snpp", link="web", now=NOW
    )
    assert (found.outcome, found.number, found.pause_until) == (outcome, None, None)


def test_a_pause_is_the_link_s_and_the_page_s_next_try() -> None:
    """`pause_link: 60s`: nothing goes out by the link, and this page is not tried before."""
    found = ruled((Rule(means="later", pause_link=60.0),), QUOTA, protocol="snpp", link="web", now=NOW)
    assert found.pause_until == later(NOW, 60)
    assert isinstance(found.outcome, Later)
    assert found.outcome.not_before == later(NOW, 60)
    said = Later(about=About.PAGE, code="421", why="", not_before=later(NOW, 300))
    longer = meant(said, Rule(means="later", pause_link=60.0))
    assert isinstance(longer, Later)
    assert longer.not_before == later(NOW, 300)  # the carrier's own word counts if it is later


def test_a_rule_may_be_for_one_link_or_one_protocol() -> None:
    """`link` and `protocol`."""
    for rule in (Rule(means="later", link="other"), Rule(means="later", protocol="smtp")):
        assert meant(QUOTA, rule) == QUOTA
    for rule in (Rule(means="later", link="web"), Rule(means="later", protocol="snpp")):
        assert isinstance(meant(QUOTA, rule), Later)


def test_long_answers_are_looked_at_in_part() -> None:
    """What a carrier may say is bounded, and so is looking at it."""
    assert (
        first_match((Rule(match="*end", means="later"),), "1", "x" * MOST_WORDS + "end", protocol="", link="")
        is None
    )


@given(st.text("ab*[?.", max_size=8), st.text("abAB[?.", max_size=12))
@settings(max_examples=200)
def test_a_star_stands_for_anything_and_all_else_for_itself(glob: str, text: str) -> None:
    """As the plain reading of it as a regular expression, in linear time (B87)."""
    expected = re.fullmatch(".*".join(map(re.escape, glob.casefold().split("*"))), text.casefold(), re.DOTALL)
    assert glob_matches(glob, text) is (expected is not None)


def test_b87_no_pattern_takes_long() -> None:
    """Stars without end against words without end: one pass over both."""
    assert not glob_matches("*a" * 100 + "b", "a" * MOST_WORDS)


WITH = BASE.replace("  spok:\n", "  spok:\n    rules: [{}]\n", 1)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{code: 550}", 'carriers.spok.rules[0].means: is missing. Write `means: later, later_link, refuse_page'),
        ("{means: taken}", 'carriers.spok.rules[0].means: "taken" is not known here.'),
        ("{means: later, link: wbe}", 'carriers.spok.rules[0].link: this carrier has no link "wbe".'),
        ("{means: later, protocol: tap}", 'carriers.spok.rules[0].protocol: no link of this carrier speaks "tap".'),
        ("{means: later, pause_link: 0s}", "carriers.spok.rules[0].pause_link: \"0s\" is too small."),
        ("{means: later, regex: a+}", "carriers.spok.rules[0].regex: is not a setting."),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be(written: str, said: str) -> None:
    """Each mistake names the rule, the key and what to write."""
    found = mistakes(WITH.replace("{}", written, 1))
    assert any(said in line for line in found), found


def test_rules_are_read_in_order() -> None:
    """Codes are text: no quoting rules."""
    text = WITH.replace(
        "{}", '{code: 550, match: "*quota*", means: later, pause_link: 60s}, {means: refuse_page}', 1
    )
    first, second = load_text(text).carriers["spok"].rules
    assert first == Rule(code="550", match="*quota*", means="later", pause_link=60.0)
    assert (second.code, second.match) == ("*", "*")


def test_a_row_names_the_codes_between_two() -> None:
    """``600 to 603`` names 602 too; what is no number is in no row."""
    row = "Failure 600 to 603, 12x"
    assert [code for code in ("599", "600", "602", "604", "123", "x", "", "6.2") if _may_mean(row, code)] == [
        "600",
        "602",
        "123",
    ]
