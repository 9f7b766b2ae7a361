"""The command line ``gateway``: one module for each group of commands.

``surface`` is what all commands have in common, ``place`` finds the gateway that is meant, ``daemon`` talks
to it, ``trouble`` holds the exit codes and errors that say what to do, ``words`` what people read instead
of tokens, ``screen`` what is printed. Processes are short and blocking, so sockets and clocks are used as
they are; nothing here is imported by the daemon.
"""

from __future__ import annotations

import os
import sys

import click

import gateway
from gateway.cli import carriers, looking, queue, running, sending, sim, starting
from gateway.cli.trouble import NOTHING_RUNS, OUR_MISTAKE

_SECTIONS = {
    "Begin": (starting.demo, starting.init, starting.token, sim.sim),
    "Run": (running.run, running.check, running.reload, running.schema),
    "Page": (sending.send, sending.ack, looking.explain),
    "Look": (looking.stuck, looking.why, looking.status),
    "Intervene": (queue.queue, carriers.carriers, carriers.probe),
}


class _Sections(click.Group):
    """Lists commands by what one wants to do."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [str(command.name) for commands in _SECTIONS.values() for command in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(c.name), c.get_short_help_str(90)) for c in commands], col_max=12)


@click.group(
    cls=_Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="REF is the four characters on the pager, for example 7K3M. Every command has --json and --help.",
)
@click.version_option(gateway.__version__, message="gateway %(version)s")
def cli() -> None:
    """Get an urgent message to a person, and prove it.

    \b
    Examples:
      gateway demo
      gateway send alice "Call 4411" --class urgent
      gateway stuck
    """


for _commands in _SECTIONS.values():
    for _command in _commands:
        cli.add_command(_command)


def main() -> None:
    """The program. Ends with an exit code of ``trouble.EXIT_CODES``; never with a traceback."""
    try:
        code = cli.main(prog_name="gateway", standalone_mode=False)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        code = 130  # 128 + SIGINT, as shells have it
    except BrokenPipeError:  # `gateway queue list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # 128 + SIGPIPE
    except ModuleNotFoundError as error:
        click.echo(f"gateway: {error.name} is not installed.", err=True)
        click.echo("  → Install the gateway again: pip install gateway", err=True)
        code = NOTHING_RUNS
    except Exception as error:  # our bug: say so; a traceback helps only who asks for it
        if os.environ.get("GATEWAY_TRACE"):
            raise
        click.echo(f"gateway: a mistake of the program itself: {type(error).__name__}: {error}", err=True)
        click.echo("  → Run it again with GATEWAY_TRACE=1 and report what it prints.", err=True)
        code = OUR_MISTAKE
    sys.exit(code if isinstance(code, int) else 0)
