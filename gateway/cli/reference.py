"""Prints ``docs/reference/commands.md`` from the commands: ``python -m gateway.cli.reference``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from gateway.cli import cli
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


if __name__ == "__main__":
    print(commands_page(), end="")
