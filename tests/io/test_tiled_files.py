"""Checkpoints and results written tile by tile have the form, and the values, of those written at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptychodask import InputError, JobConfig, open_result
from ptychodask.io.checkpoint import create_state, load_shared, load_state, load_tile, save_state, save_tile
from ptychodask.io.result import create_result, write_object, write_result
from ptychodask.model.scan import Affine, Canvas
from ptychodask.model.state import Model, State, TileState
from ptychodask.model.tiles import make_tiles

TILES = make_tiles((12, 14), 5, [], 0)
PLACES = np.array([[6.0, 6.0], [6.0, 8.0]])
ENTRIES = [{"iteration": 1, "stage": "fit", "updates": 1, "loss": 2.5, "validation": 0.1, "seconds": 1.0}]


def whole(dtype=np.float32):
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 2, 12, 14)) * (1 if np.dtype(dtype).kind == "f" else 1 + 0.3j)
    maps[:, 0, :5, :5] = 0  # a tile of zeros is data as well
    probe = (rng.standard_normal((2, 8, 8)) + 1j).astype(np.complex64)
    model = Model(
        maps[0].astype(dtype), probe, 0.1, 7, moved=Affine(np.array([[1 / 3, 0.1], [0.0, 1.0]]), np.array([6.0, 7.0]))
    )
    return State(model, maps[1].astype(dtype), 3, 0.25)


def cut(state):
    """The parts of a state: one of every tile, and what they share."""
    parts = []
    for tile in TILES:
        rows, columns = tile.core.inside((0, 0))
        parts.append(TileState(state.model.object[:, rows, columns], state.anchor[:, rows, columns]))
    nothing = state.model.object[:, :0, :0]
    return parts, replace(state, model=replace(state.model, object=nothing), anchor=nothing)


def save_in_tiles(path, state):
    parts, shared = cut(state)
    create_state(str(path), shared, state.model.object.shape, state.model.object.dtype, TILES[0].core.shape)
    for tile, part in zip(TILES, parts, strict=True):
        save_tile(str(path), tile.core, part)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("save", [save_in_tiles, lambda path, state: save_state(str(path), state)])
def test_states_come_back_whole_or_in_tiles_however_they_were_written(tmp_path, dtype, save):
    state, path = whole(dtype), tmp_path / "state.zarr"
    save(path, state)
    back = load_state(str(path))
    np.testing.assert_array_equal(back.model.object, state.model.object)
    np.testing.assert_array_equal(back.anchor, state.anchor)
    parts, shared = cut(state)
    for tile, part in zip(TILES, parts, strict=True):
        found = load_tile(str(path), tile.core)
        assert found.object.dtype == dtype
        np.testing.assert_array_equal(found.object, part.object)
        np.testing.assert_array_equal(found.anchor, part.anchor)
    found = load_shared(str(path))
    assert found.model.object.shape == found.anchor.shape == (2, 0, 0) and found.model.object.dtype == dtype
    np.testing.assert_array_equal(found.model.probe, shared.model.probe)
    np.testing.assert_array_equal(found.model.moved.matrix, shared.model.moved.matrix)
    np.testing.assert_array_equal(found.model.moved.centre, shared.model.moved.centre)
    assert (found.model.background, found.model.iteration, found.momentum, found.damping) == (0.1, 7, 3, 0.25)


@pytest.mark.parametrize("map_", ["object", "anchor"])
def test_a_tile_that_was_not_written_is_noticed(tmp_path, map_):
    path = tmp_path / "state.zarr"
    save_in_tiles(path, whole())
    (path / map_ / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load_tile(str(path), TILES[0].core)


def test_a_missing_checkpoint_is_an_input_error(tmp_path):
    for load in (load_shared, lambda path: load_tile(path, TILES[0].core)):
        with pytest.raises(InputError, match="cannot be read"):
            load(str(tmp_path / "absent.zarr"))


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_a_result_in_tiles_is_that_of_the_whole_object(tmp_path, dtype):
    state, canvas, config = whole(dtype), Canvas((12, 14), 0.5, (-3.0, 10.0)), JobConfig()
    parts, shared = cut(state)
    rest = (canvas, (1, 2), config, ENTRIES, {"iteration": 2})
    create_result(tmp_path / "tiles.zarr", shared.model, PLACES, np.dtype(dtype), TILES[0].core.shape, *rest)
    for tile, part in zip(TILES, parts, strict=True):
        write_object(tmp_path / "tiles.zarr", tile.core, part.object)
    write_result(tmp_path / "whole.zarr", state.model, PLACES, *rest, False)
    found, expected = open_result(tmp_path / "tiles.zarr"), open_result(tmp_path / "whole.zarr")
    for name in ("object", "probe", "positions", "phase"):
        assert getattr(found, name).identical(getattr(expected, name)), name
    assert found.attributes == expected.attributes and found.history[0] == expected.history[0]
