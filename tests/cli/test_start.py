"""Ctrl-C while the command line is still being imported is one line, too."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

AT_AN_IMPORT = """
import signal, sys
module = sys.argv[1]

class Interrupt:
    def find_spec(self, name, *rest):
        if name == module:
            signal.raise_signal(signal.SIGINT)

{before}
sys.meta_path.insert(0, Interrupt())
from ptychodask.cli import main
sys.argv = ["ptychodask", "--version"]
main()
"""


@pytest.mark.parametrize("module", ["ptychodask.cli.app", "typer", "ptychodask.cli.solve"])
def test_ctrl_c_at_an_import_is_one_line(module):
    code = AT_AN_IMPORT.format(before="")
    done = subprocess.run([sys.executable, "-c", code, module], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (128 + signal.SIGINT, "interrupted\n", "")


def test_where_ctrl_c_is_ignored_it_stays_so():
    """As a shell has it for what it starts in the background."""
    code = AT_AN_IMPORT.format(before="signal.signal(signal.SIGINT, signal.SIG_IGN)")
    done = subprocess.run([sys.executable, "-c", code, "typer"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("ptychodask ")


def test_when_all_is_imported_ctrl_c_is_an_exception_again():
    code = (
        "import signal, sys; sys.argv = ['ptychodask', '--version']\n"
        "from ptychodask.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.exit(signal.getsignal(signal.SIGINT) is not signal.default_int_handler)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


SIGNALLED = """
import gc, os, signal, sys, time
from ptychodask.cli import app as module
def arrives(*_):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.1)
class Thrown:
    __del__ = arrives
def run(**options):
    {event}
    time.sleep(20)
module.app = run
module.main()
"""


@pytest.mark.parametrize("event", ["Thrown()", "gc.callbacks.append(arrives); gc.collect()"])
@pytest.mark.parametrize(("name", "expected"), [("SIGTERM", (143, "terminated\n")), ("SIGINT", (130, "interrupted\n"))])
def test_a_signal_where_python_forgets_exceptions_is_not_forgotten(event, name, expected):
    """While an object is thrown away, and while the garbage is collected (the scheduler watches that)."""
    code = SIGNALLED.format(name=name, event=event)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == expected


IMPORTING = """
import os, signal, sys, time
from ptychodask.cli import app as module
def run(**options):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)
    except KeyboardInterrupt:
        raise ImportError("initialization failed") from None
module.app = run
try:
    module.main()
finally:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
"""


def test_what_an_import_makes_of_an_interrupt_is_one_line_and_so_is_a_second_interrupt():
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


CLOSING = """
import asyncio, gc
from ptychodask.cli import app as module
def run(**options):
    loop = asyncio.new_event_loop()
    for error in (TimeoutError("Timeout"), ValueError("of ours")):
        loop.create_future().set_exception(error)
    gc.collect()
module.app = run
module.main()
"""


def test_a_wait_that_nobody_waits_for_is_not_shown():
    done = subprocess.run([sys.executable, "-c", CLOSING], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "of ours" in done.stderr and "Timeout" not in done.stderr
