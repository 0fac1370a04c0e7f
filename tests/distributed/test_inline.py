"""A run inside one task: the same bits as on a cluster, and errors where they are asked for."""

from __future__ import annotations

import pytest
from tiny_scan import bits, write_scan

import ptychodask
from ptychodask.distributed.inline import Inline
from ptychodask.distributed.maps import run_all
from ptychodask.io.dataset import dataset_info
from ptychodask.io.result import open_result
from ptychodask.jobs.launch import start


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("inline") / "scan.zarr")


@pytest.mark.parametrize(
    "job",
    [
        {"solver": {"iterations": 6}},
        {"solver": {"iterations": 4, "finish": 1, "rounds_per_iteration": 2}, "engine": {"tile_pixels": 24}},
        {"solver": {"iterations": 3, "finish": 0, "step_rule": "tangent"}},
    ],
    ids=["whole", "tiles", "tangent"],
)
def test_same_bits_as_on_a_cluster(scan, tmp_path, job):
    config = ptychodask.JobConfig.parse(job)
    for name, client in (("inline", Inline()), ("cluster", None)):
        start(dataset_info(scan), config, tmp_path / name, False, client, [lambda event: None])
    inline, cluster = (open_result(tmp_path / name) for name in ("inline", "cluster"))
    assert bits(inline) == bits(cluster)
    assert inline.history["loss"].tolist() == cluster.history["loss"].tolist()


def test_values_are_computed_when_they_are_wanted_and_once():
    client, made = Inline(), []
    first = client.submit(lambda: made.append(1) or 2)
    second = client.submit(lambda values: sum(values) * 10, [first, 3])
    assert made == [] and second.result() == second.result() == 50 and made == [1]
    wrong = client.submit(lambda: 1 / 0)
    assert isinstance(wrong.exception(), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        client.submit(abs, wrong).result()


def test_calls_of_a_map_are_made_in_order():
    seen = []
    assert run_all(Inline(), [(abs, (-1,)), (abs, (-2,))], lambda done, of: seen.append((done, of))) == [1, 2]
    assert seen == [(0, 2), (1, 2), (2, 2)]
