"""Where nothing can be computed, that is said at once: in forked children, and while a script is imported."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

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
