"""Pages that are printed from the code say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app.adapters import specs
from gateway.lifecycle import as_table

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- printed from the code: begin -->\n", "<!-- end -->\n"


def printed(page: Path) -> str:
    """The part of a page that is printed from the code."""
    _, begin, rest = page.read_text().partition(BEGIN)
    text, end, _ = rest.partition(END)
    assert begin, f"{page} has no line {BEGIN!r}"
    assert end, f"{page} has no line {END!r}"
    return text


def answers_table(name: str) -> str:
    """An adapter's table of answers as Markdown."""
    rows = "".join(f"| {theirs} | {ours} | {why} |\n" for theirs, ours, why in specs()[name].answers)
    return "| they answer | for us it is | because |\n|---|---|---|\n" + rows


def test_the_states_page_is_the_table_of_the_code() -> None:
    """docs/reference/states.md is lifecycle.LIFE, row by row."""
    assert printed(DOCS / "reference" / "states.md") == as_table()


@pytest.mark.parametrize("name", sorted(specs()))
def test_each_protocol_page_has_its_adapters_answers(name: str) -> None:
    """docs/protocols/<name>.md shows the very table by which answers are read."""
    assert printed(DOCS / "protocols" / f"{name}.md") == answers_table(name)


def test_every_link_of_the_docs_leads_somewhere() -> None:
    """No page points at a page that is not there."""
    import re

    missing = [
        f"{page.relative_to(DOCS.parent)} -> {target}"
        for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []
