"""States and what travels with them tell Dask their size."""

from __future__ import annotations

import numpy as np
from dask.sizeof import sizeof

from ptychodask.distributed.iterate import Parcel
from ptychodask.model.state import Model, State, TileState
from ptychodask.solver.update import ObjectSums, Sums, Update


def test_dask_sees_the_arrays():
    object_, probe = np.zeros((4, 100, 100), np.float32), np.zeros((2, 64, 64), np.complex64)
    model = Model(object_, probe, np.zeros((10, 2)))
    assert sizeof(model) >= object_.nbytes + probe.nbytes + 160
    assert sizeof(State(model, object_)) >= 2 * object_.nbytes
    assert 2 * object_.nbytes <= sizeof(TileState(object_, object_)) < 2.1 * object_.nbytes
    update = Update(Sums(), ObjectSums((0, 0), object_, object_))
    assert 2 * object_.nbytes <= sizeof(Parcel(update, 0, 0)) < 2.1 * object_.nbytes
