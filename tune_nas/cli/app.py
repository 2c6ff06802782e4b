"""The typer application: its commands, and one-line errors for everything that a user can fix."""

from __future__ import annotations

import io
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from tune_nas import __version__
from tune_nas.cli import (
    analyses,
    benchmark,
    bodies,
    catalog,
    extend_command,
    inspection,
    networks,
    report_command,
    run_commands,
    run_overview,
    selections,
    ui,
    upkeep_commands,
)


class OneLineErrors(TyperGroup):
    """The group of all commands; bad input ends with one line on stderr and status 2."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command line and exit with its status.

        Exceptions that a user did not cause pass through, with their traceback.
        """
        sys.stdout = sys.stdout or io.StringIO()  # None if a shell has closed it
        sys.stderr = sys.stderr or io.StringIO()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # the encoding of a terminal may lack λ
                stream.reconfigure(errors="replace")
        try:
            status = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as error:
            line = bodies.error_line.error_line(error)
            if line is None:
                raise
            if line:
                print(f"tune-nas: {line}", file=sys.stderr)
            sys.exit(2)
        sys.exit(status if isinstance(status, int) else 0)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tune-nas {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=OneLineErrors,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _tune_nas(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Sweeps over differentiable neural architecture search.

    NAME is a shipped trial, sweep or space (see `tune-nas list`) or the path of a YAML file.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("sweep")(run_commands.sweep)
app.command("search")(run_commands.search)
app.command("retrain")(run_commands.retrain)
app.command("resume")(run_commands.resume)
app.command("extend")(extend_command.extend)
app.command("runs")(run_overview.runs)
app.command("status")(run_overview.status)
app.command("stop")(run_overview.stop)
app.command("rename")(upkeep_commands.rename)
app.command("rm")(upkeep_commands.rm)
app.command("clean")(upkeep_commands.clean)
app.command("doctor")(upkeep_commands.doctor)
app.command("predict")(networks.predict)
app.command("export")(networks.export)
app.command("select")(selections.select)
app.command("analyze")(analyses.analyze)
app.command("analyse", hidden=True)(analyses.analyze)  # until version 0.2
app.command("report")(report_command.report)
app.command("compare")(report_command.compare)
app.command("list")(catalog.list_)
app.command("show")(catalog.show)
app.command("inspect")(inspection.inspect)
app.command("ui")(ui.ui)
app.add_typer(benchmark.app, name="benchmark")


def main() -> NoReturn:
    """Run the command line; the entry point of the ``tune-nas`` script."""
    try:
        app()
        raise SystemExit
    finally:  # the process is ending and must not be interrupted again
        signal.signal(signal.SIGINT, signal.SIG_IGN)
