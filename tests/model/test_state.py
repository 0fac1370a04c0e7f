"""States and what travels with them tell Dask their size."""

from __future__ import annotations

import numpy as np
import pytest
from dask.sizeof import sizeof

from ptychodask.distributed.iterate import Parcel
from ptychodask.model.state import Model, State, TileState
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.update import Sums, Update


def test_dask_sees_the_arrays():
    object_, probe = np.zeros((4, 100, 100), np.float32), np.zeros((2, 64, 64), np.complex64)
    model = Model(object_, probe)
    assert sizeof(model) >= object_.nbytes + probe.nbytes
    assert sizeof(State(model, object_)) >= 2 * object_.nbytes
    assert 2 * object_.nbytes <= sizeof(TileState(object_, object_)) < 2.1 * object_.nbytes
    update = Update(Sums(), ObjectSums((0, 0), object_, object_))
    assert 2 * object_.nbytes <= sizeof(Parcel(update, 0, 0)) < 2.1 * object_.nbytes


@pytest.mark.parametrize("view", [(-1, 7, 2, 10), (0, 8, 5, 13), (4, 13, 2, 10), (-(2**63), -(2**63) + 8, 0, 8)])
def test_a_part_that_the_object_does_not_have_is_refused(view):
    """A slice from -1 would be empty, and compiled kernels would write beyond it."""
    y0, y1, x0, x1 = view
    model = Model(np.zeros((1, 12, 12), np.float32), np.zeros((1, 8, 8), np.complex64))
    with pytest.raises(ValueError, match="not in the object of 12 x 12: positions are wrong"):
        model.part((slice(y0, y1), slice(x0, x1 + 20)))
    there = Model(np.zeros((1, 12, 12), np.float32), model.probe, corner=(3, 4))
    assert there.part((slice(3, 11), slice(8, 16))) == (slice(None), slice(0, 8), slice(4, 12))
