"""Every benchmark runs, at its smallest size, and writes its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(p.name for p in FOLDER.glob("*.py") if '__name__ == "__main__"' in p.read_text())
SIMULATE = {
    "advise.py",
    "best_image.py",
    "calibration.py",
    "geometry.py",
    "defects.py",
    "defects_model.py",
    "counting.py",
    "first_day.py",
    "first_look.py",
    "gpu_loop.py",
    "live_page.py",
    "local_structure.py",
    "low_dose.py",
    "infinite_dose.py",
    "raw_to_image.py",
    "rounds.py",
    "simulation.py",
    "thickness.py",
    "time_to_image.py",
    "watching.py",
}
WORKERS = {"faults.py", "first_look.py", "out_of_core.py"}
"""Their worker processes import the main module again: each is run in a process of its own."""

# reads one JSON list per line: a script and its arguments; answers with a JSON string: empty, or what went wrong
ONE_AFTER_ANOTHER = """
import contextlib, io, json, runpy, sys, traceback
for line in sys.stdin:
    sys.argv = json.loads(line)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            runpy.run_path(sys.argv[0], run_name="__main__")
        answer = ""
    except BaseException:
        answer = said.getvalue() + traceback.format_exc()
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def shared():
    """A process beside this one that runs a script; the imports, half of the time, are paid for once."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n{ONE_AFTER_ANOTHER}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def run(*arguments: str) -> str:
            print(json.dumps(arguments), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline() or '"the process died"')

        try:
            yield run
        finally:
            process.kill()


def alone(*arguments: str) -> str:
    """Run a script as a person does; what went wrong, or nothing."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or f"exit code {done.returncode}"


def marked(script: str) -> object:
    return pytest.param(script, marks=[pytest.mark.distributed] if script in WORKERS else [])


@pytest.mark.slow
@pytest.mark.parametrize("script", [marked(script) for script in SCRIPTS])
def test_smoke(script, tmp_path, request):
    if script in SIMULATE:
        pytest.importorskip("abtem")
    out = tmp_path / "result.json"
    run = alone if script in WORKERS else request.getfixturevalue("shared")
    trouble = run(str(FOLDER / script), "--tiny", "--out", str(out))
    assert not trouble, trouble[-2000:]
    record = json.loads(out.read_text())
    assert record["benchmark"] == Path(script).stem
    assert record["tiny"] and record["result"]
    assert record["machine"]["versions"]["ptychodask"] != "absent"


def test_a_script_that_fails_is_noticed(shared, tmp_path):
    """And the next one runs even so."""
    broken, good = tmp_path / "broken.py", tmp_path / "good.py"
    broken.write_text("import sys; sys.exit('no such thing')")
    good.write_text("import sys; assert __name__ == '__main__' and sys.argv[1:] == ['--tiny']")
    for run in (shared, alone):
        assert "no such thing" in run(str(broken))
        assert run(str(good), "--tiny") == ""
        assert "AssertionError" in run(str(good))


@pytest.mark.parametrize("path", sorted((FOLDER / "results").glob("*.json")), ids=lambda p: p.name)
def test_committed_results_are_real_runs(path):
    record = json.loads(path.read_text())
    assert not record["tiny"] and record["machine"]["commit"]
    assert (FOLDER / f"{record['benchmark']}.py").exists()
