"""Every benchmark runs, at its smallest size, and writes its JSON."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(p.name for p in FOLDER.glob("*.py") if '__name__ == "__main__"' in p.read_text())
SIMULATE = {
    "advise.py",
    "best_image.py",
    "calibration.py",
    "geometry.py",
    "geometry_large.py",
    "geometry_plantings.py",
    "high_dose.py",
    "defects.py",
    "defects_model.py",
    "drift.py",
    "counting.py",
    "first_day.py",
    "first_look.py",
    "forced.py",
    "gpu_loop.py",
    "live_page.py",
    "local_structure.py",
    "low_dose.py",
    "pair.py",
    "infinite_dose.py",
    "raw_to_image.py",
    "resolution.py",
    "refine_cost.py",
    "rounds.py",
    "simulation.py",
    "study_busy.py",
    "thickness.py",
    "time_to_image.py",
    "watching.py",
}
WORKERS = {"faults.py", "geometry_large.py", "out_of_core.py", "scaling_model.py"}
"""These start worker processes."""
OTHER_KEYS = {
    "defects.py": {"false_lattice", "vacuum_over_crystal_rms", "vacuum_rms"},
    "gpu_per_pattern.py": {"copy_gigabytes_per_second", "counted", "cupy", "rows"},  # with a device or without
    "infinite_dose.py": {"kind"},  # younger than the result that is committed
    "local_structure.py": {"zif-8"},
    "resolution.py": {"vacuum"},
    "scaling.py": {"two_processes_speed_up"},
    "tiles.py": {"memory", "whole_over_tiles"},
}
"""What only the tiny result of a script may have, or only the one that is committed: a tiny run leaves parts out."""

# reads one JSON list per line: a script and its arguments; answers with a JSON string: empty, or what went wrong
ONE_AFTER_ANOTHER = """
import contextlib, io, json, runpy, sys, traceback
from forked import fork_workers
fork_workers()
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


class Beside:
    """A process that runs scripts, one after another; the imports, half of the time, are paid for once.

    Where a test ends before its answer came, the next one has a new process: it would take that answer for its own.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def __call__(self, *arguments: str) -> str:
        self.process = self.process or started()
        try:
            print(json.dumps(arguments), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline() or '"the process died"')
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None


def started() -> subprocess.Popen:
    found = f"import sys; sys.path[:0] = {[str(FOLDER), str(FOLDER.parent / 'tests')]!r}"
    command = [sys.executable, "-c", f"{found}\n{ONE_AFTER_ANOTHER}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def shared():
    """Runs a script, and says what went wrong, or nothing."""
    beside = Beside()
    yield beside
    beside.end()


def alone(*arguments: str) -> str:
    """Run a script as a person does; what went wrong, or nothing."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or f"exit code {done.returncode}"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where scripts that keep their datasets do so: what one has simulated is there for the next."""
    return tmp_path_factory.mktemp("kept")


def marked(script: str) -> object:
    return pytest.param(script, marks=[pytest.mark.distributed] if script in WORKERS else [])


@pytest.mark.slow
@pytest.mark.parametrize("script", [marked(script) for script in SCRIPTS])
def test_smoke(script, tmp_path, shared, kept):
    if script in SIMULATE:
        pytest.importorskip("abtem")
    out = tmp_path / "result.json"
    data = ["--data", str(kept)] if "keeps_data=True" in (FOLDER / script).read_text() else []
    trouble = shared(str(FOLDER / script), "--tiny", "--out", str(out), *data)
    assert not trouble, trouble[-2000:]
    record = json.loads(out.read_text())
    assert record["benchmark"] == Path(script).stem
    assert record["tiny"] and record["result"]
    assert record["machine"]["versions"]["ptychodask"] != "absent"
    assert not (bad := not_finite(record["result"])), f"write None where there is no number: {bad}"
    committed = FOLDER / "results" / f"{Path(script).stem}.json"
    if committed.exists():
        expected = keys(json.loads(committed.read_text())["result"])
        assert keys(record["result"]) ^ expected <= OTHER_KEYS.get(script, set())


def keys(result: dict | list) -> set[str]:
    """Names at the top of a result: of its parts, or of the columns of its rows."""
    return set(result) if isinstance(result, dict) else set().union(*result)


def not_finite(value: object, at: str = "result") -> list[str]:
    """Where numbers are NaN or infinite."""
    if isinstance(value, dict):
        return [bad for name, its in value.items() for bad in not_finite(its, f"{at}.{name}")]
    if isinstance(value, list):
        return [bad for number, its in enumerate(value) for bad in not_finite(its, f"{at}[{number}]")]
    return [f"{at} = {value}"] if isinstance(value, float) and not math.isfinite(value) else []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_found(bad):
    result = {"rows": [{"seconds": 1.0, "speed": None}, {"seconds": bad}], "note": "nan"}
    assert not_finite(json.loads(json.dumps(result))) == [f"result.rows[1].seconds = {bad}"]
    assert keys(result) == {"rows", "note"} and keys(result["rows"]) == {"seconds", "speed"}


def test_a_script_that_fails_is_noticed(shared, tmp_path):
    """And the next one runs even so."""
    broken, good = tmp_path / "broken.py", tmp_path / "good.py"
    broken.write_text("import sys; sys.exit('no such thing')")
    good.write_text("import sys; assert __name__ == '__main__' and sys.argv[1:] == ['--tiny']")
    for run in (shared, alone):
        assert "no such thing" in run(str(broken))
        assert run(str(good), "--tiny") == ""
        assert "AssertionError" in run(str(good))


def test_an_answer_that_nobody_waited_for_is_not_that_of_the_next(shared, tmp_path, monkeypatch):
    slow, good = tmp_path / "slow.py", tmp_path / "good.py"
    slow.write_text("import sys; sys.exit('late')")
    good.write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(json, "loads", Mock(side_effect=TimeoutError))
        with pytest.raises(TimeoutError):
            shared(str(slow))
    assert shared(str(good)) == ""


@pytest.mark.parametrize("path", sorted((FOLDER / "results").glob("*.json")), ids=lambda path: path.name)
def test_committed_results_are_real_runs(path):
    record = json.loads(path.read_text())
    assert not record["tiny"] and record["machine"]["commit"]
    assert not record["machine"]["commit"].endswith("-dirty"), "run it on what is committed"
    assert (FOLDER / f"{record['benchmark']}.py").exists()
