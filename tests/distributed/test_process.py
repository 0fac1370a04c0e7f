"""Where nothing can be computed, that is said at once: in forked children, and while a script is imported."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest
from tiny_scan import write_scan

from ptychodask import InputError
from ptychodask.distributed import process
from ptychodask.distributed.process import check_process


def _child(how, results):
    try:
        check_process()
        results.put("computes")
    except InputError as error:
        results.put(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(("how", "told"), [("fork", "get_context('spawn')"), ("spawn", "computes")])
def test_a_process_forked_from_one_that_has_computed_says_so(how, told):
    check_process()
    context = multiprocessing.get_context(how)
    results = context.SimpleQueue()
    child = context.Process(target=_child, args=(how, results))
    child.start()
    child.join(60)
    assert child.exitcode == 0 and told in results.get()
    assert not process._forked


SCRIPT = """
import ptychodask
ptychodask.reconstruct("scan.zarr", client=None)
"""
PARENT = """
import multiprocessing, sys

def nothing():
    pass

if __name__ == "__main__":
    import runpy
    sys.modules["__main__"].__file__ = sys.argv[1]
    sys.modules["__main__"].__spec__ = None
    child = multiprocessing.get_context("spawn").Process(target=print)
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""


def test_a_child_that_imports_an_unguarded_script_says_so_in_one_line(tmp_path):
    script, parent = tmp_path / "script.py", tmp_path / "parent.py"
    script.write_text(SCRIPT)
    parent.write_text(PARENT)
    done = subprocess.run([sys.executable, parent, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("ptychodask: a new process imports this script") and done.stderr.count("\n") == 1
    assert "if __name__ == '__main__':" in done.stderr


UNGUARDED = """
import ptychodask
print("the script runs", flush=True)
result = ptychodask.reconstruct(
    "scan.zarr", {"engine": {"workers": 2}}
)
"""


@pytest.mark.distributed
def test_an_unguarded_script_is_refused_before_its_processes_are_started(tmp_path):
    """They would do again all that it does before the call, and tell it in a traceback each."""
    write_scan(tmp_path / "scan.zarr", (2, 2))
    (tmp_path / "script.py").write_text(UNGUARDED)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout == "the script runs\n" and done.returncode == 1
    assert done.stderr.count("Traceback") == 1 and done.stderr.count("if __name__ == '__main__'") == 1
    assert done.stderr.splitlines()[-1].startswith("ptychodask._errors.InputError: line 4 of script.py would be run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.zarr", "script.py"]


@pytest.mark.parametrize(
    ("refused", "calls"),
    [
        (True, "check_script()"),
        (True, "def work():\n    check_script()\nwork()"),
        (False, "if __name__ == '__main__':\n    check_script()"),
        (False, "try:\n    check_script()\nfinally:\n    pass"),  # who knows
        (False, "import threading\nstarted = threading.Thread(target=check_script)\nstarted.start()"),
        (False, "exec(compile('check_script()', '<stdin>', 'exec'))"),  # typed at a prompt after the script
    ],
)
def test_only_a_call_outside_of_all_blocks_is_refused(tmp_path, refused, calls):
    (tmp_path / "script.py").write_text(f"from ptychodask.distributed.process import check_script\n{calls}\n")
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == refused and ("would be run again by every process" in done.stderr) == refused


def test_what_is_no_script_is_not_refused(tmp_path):
    """Children import neither what is typed nor the ``__main__`` of a package."""
    code = "from ptychodask.distributed.process import check_script\ncheck_script()\n"
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(code)
    for arguments in (["-c", code], ["-m", "package"]):
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
