"""The application: its verbs, and how errors and interrupts leave it."""

from __future__ import annotations

import errno
import logging
import signal
import sys
import warnings
from typing import Any, NoReturn

import typer

from .._errors import DivergenceError, InputError, StoppedError
from .._warnings import PtychodaskWarning
from . import (
    advise,
    calibrate,
    data,
    doctor,
    halves,
    importing,
    plan,
    show,
    solve,
    structure,
    study,
    tune,
    view,
    watching,
)  # fmt: skip
from .ends import ENDS, ignore, interrupting

app = typer.Typer(
    name="ptychodask",
    help="Electron ptychography at 100 electrons per square angstrom, on Dask.\n\nStart with: ptychodask demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(solve.demo)
app.command()(data.simulate)
app.command()(advise.advise)
app.command()(study.study)
app.command()(tune.tune)
app.command("import")(importing.import_file)
app.command()(watching.watch)
app.command()(data.info)
app.command()(calibrate.calibrate)
app.command()(view.view)
app.command()(solve.config)
app.command()(plan.plan)
app.command()(solve.reconstruct)
app.command()(solve.resume)
app.command()(solve.report)
app.command()(halves.halves)
app.command()(structure.structure)
app.command()(data.export)
app.command()(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        from .. import __version__

        typer.echo(f"ptychodask {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    pass


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)


def _show_warnings() -> None:
    """Our own warnings as one line each; a run's come with its events."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if issubclass(category, PtychodaskWarning):
            typer.echo(f"warning: {message}", err=True)
        else:
            shown(message, category, *rest, **named)

    warnings.showwarning = show  # type: ignore[assignment]
    warnings.simplefilter("always", PtychodaskWarning)


def _is_news(record: logging.LogRecord) -> bool:
    """Not what asyncio logs of a connection that is closed as the time of its wait runs out: nobody waits any more."""
    return not (record.exc_info and isinstance(record.exc_info[1], TimeoutError))


def main() -> NoReturn:
    """Run the command line; every failure is one line.

    Exit codes: 2 bad input; 1 a divergence, or a fault that stopped the run (it can be resumed); 130 Ctrl-C; 143
    SIGTERM; 129 SIGHUP.
    """
    _show_warnings()
    logging.getLogger("asyncio").addFilter(_is_news)
    with interrupting() as received:
        _run(received)


def _run(received: list[signal.Signals]) -> NoReturn:
    def leave(how: str = "") -> NoReturn:
        """Say in the last line that it was no error, and how to go on."""
        if received:  # a second Ctrl-C would end what says how to go on
            ignore()
        number = received[0] if received else signal.SIGINT
        typer.echo(f"{ENDS.get(number, 'interrupted')}{': ' if how else ''}{how}", err=True)
        sys.exit(128 + number)

    try:
        code = app(standalone_mode=False) or 0
        if code == 130:  # what typer makes of an interrupt
            leave()
        sys.exit(code)
    except InputError as error:
        _fail(" ".join(str(error).split()), 2)
    except (DivergenceError, StoppedError) as error:
        _fail(" ".join(str(error).split()), 1)
    except show.Interrupted as error:
        leave(str(error))
    except KeyboardInterrupt:
        leave()
    except Exception as error:
        if received:  # what an extension that was just being imported makes of an interrupt
            leave()
        # click's own complaints (a misspelled verb or option, a missing argument): their class depends on typer's
        # version
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            text = " ".join(error.format_message().split())
            if not text:  # no verb was given, and the help is on the screen
                sys.exit(2)
            _fail(f"{text.rstrip('.')} (see --help)", 2)
        if type(error).__name__ == "Abort":  # what older versions make of one
            leave()
        if isinstance(error, OSError):  # of the disk, or of the network
            remedy = ": make room and try again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            _fail(" ".join(f"{str(error) or type(error).__name__}{remedy}".split()), 1)
        raise
