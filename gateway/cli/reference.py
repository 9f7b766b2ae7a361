"""Prints ``docs/reference/commands.md`` from the commands: ``python -m gateway.cli.reference``; with the word
``carriers`` the page of the catalogue."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

from gateway.cli import cli
from gateway.cli.catalogue import listed
from gateway.cli.trouble import EXIT_CODES

_INTRO = """\
# Commands

This page is printed from the program: `python -m gateway.cli.reference > docs/reference/commands.md`.

Commands talk to the running gateway over its control socket. Which gateway: `--socket`, else
`$GATEWAY_SOCKET`, else as the settings file says (`site.control`, or beside the database). Which settings
file: `--settings`, else `$GATEWAY_SETTINGS`, else `./gateway.yaml`, else that of a demo that runs in this
folder (`./.demo/gateway.yaml`), else `/etc/gateway/gateway.yaml`.

With `--json` a command prints one JSON value on standard output: the API's own object, for errors too
(an error that does not come from the API has `code`, `detail` and `remedy`, and `details` where there are
several, as in settings with mistakes). Colours are used on a terminal only, and never with `NO_COLOR`.

A REF is the four characters on the pager (`7K3M`) or the id of a page; capitals do not matter.

## Exit codes

| code | meaning |
|---|---|
"""


def commands_page() -> str:
    """The page, as Markdown."""
    rows = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES)
    return _INTRO + rows + "".join(_command("gateway", cli, None))


def _command(path: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=path.rsplit(" ", 1)[-1], parent=parent)
    yield f"\n## {path}\n\n"
    yield f"```\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n\n"
    yield _text(command) + "\n"
    options = [p for p in command.params if isinstance(p, click.Option) and p.opts != ["--version"]]
    if options:
        yield "\n| option | meaning |\n|---|---|\n"
        for option in options:
            record = option.get_help_record(context)
            assert record is not None
            names, meaning = (cell.replace("|", "\\|") for cell in record)
            yield f"| `{names}` | {meaning} |\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _command(f"{path} {name}", command.commands[name], context)


def _text(command: click.Command) -> str:
    """The help, with its unwrapped paragraphs as code blocks."""
    parts = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            title, _, block = paragraph[2:].partition("\n")
            parts.append(f"{title}\n\n```\n{inspect.cleandoc(block)}\n```")
        else:
            parts.append(paragraph)
    return "\n\n".join(parts)


def carriers_page() -> str:
    """``docs/reference/carriers.md``, as Markdown: ``python -m gateway.cli.reference carriers``."""
    rows = "".join(
        f"| `{x.tag}` | {x.standing()} | {x.country} | {x.name} | {', '.join(x.protocols)} |"
        f" {'; '.join(dict.fromkeys(fact.source for fact in x.facts))} |\n"
        for x in listed()
    )
    return f"""\
# Carriers of the catalogue

This page is printed from `config/carriers/`:
`python -m gateway.cli.reference carriers > docs/reference/carriers.md`.
What the words mean and how to use an entry: [how to](../howto/carriers.md). `gateway carriers show NAME`
prints every fact of one with its source. Nothing here was tried by us unless it says so.

| use | status | country | carrier | ways in | sources of its status |
|---|---|---|---|---|---|
{rows}"""


if __name__ == "__main__":
    print(carriers_page() if sys.argv[1:] == ["carriers"] else commands_page(), end="")
