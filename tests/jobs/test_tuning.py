"""A search goes on after any end to the same trials, and its best job can be run."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("optuna")

from tiny_scan import write_scan

import ptychodask
from ptychodask import InputError, JobConfig
from ptychodask.io.result import open_result
from ptychodask.jobs import trials

OVER = {"object.thickness_angstrom": (50, 200), "object.slices": [1, 2]}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("tuning") / "scan.zarr", (5, 5), chunks=(5, 5), electrons=3000.0)


@pytest.fixture
def _parabola(monkeypatch):
    """In place of reconstructions: 120 angstrom in two slices are best; they end in an order of their own."""

    def tried(info, job, values, scratch):
        thickness, slices = values["object.thickness_angstrom"], values.get("object.slices", 2)
        time.sleep(0.001 * (thickness % 40))
        if thickness > 190:
            return {"remark": "diverged", "seconds": 1.0}
        nats = 1e4 + (thickness - 120) ** 2 / 200 + 5 * (2 - slices)
        return {"nats": nats, "validation": nats / 25, "iterations": 3, "seconds": 1.0}

    monkeypatch.setattr(trials, "tried", tried)


@pytest.mark.usefixtures("_parabola")
def test_trials_do_not_depend_on_workers_or_interrupts(scan, tmp_path):
    whole = ptychodask.tune(scan, OVER, trials=11, batch=4, progress=False)

    def stop(label, done, of):
        if done == 6:
            raise KeyboardInterrupt

    one = {"engine": {"threads": 1}}
    with pytest.raises(KeyboardInterrupt):
        ptychodask.tune(scan, OVER, one, output=tmp_path / "best.toml", trials=11, batch=4, progress=stop)
    assert not (tmp_path / "best.toml").exists()
    told = []
    again = ptychodask.tune(
        scan, OVER, one, output=tmp_path / "best.toml", trials=8, batch=4, progress=lambda *step: told.append(step[1:])
    )
    assert told[0] == (6, 8) and set(told) == {(6, 8), (7, 8), (8, 8)}
    more = ptychodask.tune(scan, OVER, one, output=tmp_path / "best.toml", trials=11, batch=4, progress=False)
    assert str(again.trials) == str(whole.trials[:8]) and str(more.trials) == str(whole.trials)
    assert [t.values for t in whole.trials] != [
        t.values for t in ptychodask.tune(scan, OVER, trials=11, batch=4, seed=1, progress=False).trials
    ]


@pytest.mark.usefixtures("_parabola")
def test_the_best_job_is_written_and_others_are_not_replaced(scan, tmp_path):
    over, target = {"object.thickness_angstrom": (50, 200)}, tmp_path / "best.toml"
    job = {"object": {"slices": 2, "thickness_angstrom": 80}}
    found = ptychodask.tune(scan, over, job, output=target, trials=8, batch=8, progress=False)
    tried = [trial.values["object.thickness_angstrom"] for trial in found.trials]
    assert tried == pytest.approx([80, *np.linspace(50, 200, 7)])  # the job's own, then at equal distances
    assert found.best.values == {"object.thickness_angstrom": 125.0}
    assert "smallest at 120 +- 10" in found.verdicts[0]
    assert found.trials[-1].remark == "diverged" and found.as_dict()["trials"][-1]["nats"] is None
    assert JobConfig.load(target) == found.config and found.config.object.thickness_angstrom == 125
    assert target.read_text().startswith("# ptychodask tune: trial 4 of 8\n")
    with pytest.raises(InputError, match="has trials of another search"):
        ptychodask.tune(scan, over, job, output=target, trials=8, batch=4, progress=False)
    other = ptychodask.tune(scan, over, job, output=target, trials=4, batch=4, overwrite=True, progress=False)
    assert len(other.trials) == 4
    mine = tmp_path / "mine.toml"
    mine.write_text("[object]\n")
    with pytest.raises(InputError, match=r"mine\.toml exists and is a file with other content"):
        ptychodask.tune(scan, over, output=mine, overwrite=True, progress=False)
    (tmp_path / "notes.journal").write_text("mine\n")
    with pytest.raises(InputError, match="is in the way of the trials"):
        ptychodask.tune(scan, over, output=tmp_path / "notes.toml", progress=False)


def test_a_search_of_real_reconstructions(scan, tmp_path):
    part = ptychodask.open_dataset(scan).isel(scan_y=slice(0, 4))
    job = {"solver": {"iterations": 3, "finish": 1}, "object": {"thickness_angstrom": 20, "regularisation": "blur"}}
    over = {"object.slices": [1, 1000]}  # the second are thinner than an atom
    found = ptychodask.tune(part, over, job, batch=2, progress=False)
    good, wrong = found.trials  # no combination of choices is tried twice
    assert good.nats > 0 and good.seconds > 0 and "slices of 0.02 A" in wrong.remark
    assert good.iterations == 2 and good.unfinished
    assert found.verdicts[-1].startswith("1 of 2 trials still gained at their last iteration")
    result = ptychodask.reconstruct(part, found.config, output=tmp_path / "r.zarr", progress=False)
    same = open_result(tmp_path / "r.zarr").history
    assert good.validation == same["validation"][result.iteration - 1]


@pytest.mark.parametrize(
    ("over", "job", "message"),
    [
        (
            OVER,
            {"solver": {"validation_fraction": None}},
            r"nothing is held out .* \(solver.validation_fraction is unset",
        ),
        ({"object.slices": (0, 4)}, {}, "object.slices = 0"),
        ({"object.kind": ["phase", "fase"]}, {}, "object.kind = 'fase'"),
        ({"object.slcies": (1, 4)}, {}, "did you mean object.slices"),
    ],
)
def test_bad_input_is_one_line(scan, tmp_path, over, job, message):
    with pytest.raises(InputError, match=message) as error:
        ptychodask.tune(scan, over, job, output=tmp_path / "best.toml", progress=False)
    assert "\n" not in str(error.value) and not list(tmp_path.glob("best*"))


def test_without_the_extra_it_says_what_to_install(scan):
    code = (
        "import sys; sys.modules['optuna'] = None\nimport ptychodask\n"
        f"try: ptychodask.tune({str(scan)!r}, ['object.slices=1,2'], progress=False)\n"
        "except ptychodask.InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("pip install 'ptychodask[tune]'\n") and done.stdout.count("\n") == 1
