"""Every benchmark runs, at its smallest size, and writes its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(p.name for p in FOLDER.glob("*.py") if '__name__ == "__main__"' in p.read_text())
SIMULATE = {"low_dose.py", "infinite_dose.py", "time_to_image.py"}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_smoke(script, tmp_path):
    if script in SIMULATE:
        pytest.importorskip("abtem")
    out = tmp_path / "result.json"
    run = subprocess.run(
        [sys.executable, str(FOLDER / script), "--tiny", "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    record = json.loads(out.read_text())
    assert record["tiny"] and record["result"]
    assert record["machine"]["versions"]["ptychodask"] != "absent"


@pytest.mark.parametrize("path", sorted((FOLDER / "results").glob("*.json")), ids=lambda p: p.name)
def test_committed_results_are_real_runs(path):
    record = json.loads(path.read_text())
    assert not record["tiny"] and record["machine"]["commit"]
    assert (FOLDER / f"{record['benchmark']}.py").exists()
