"""The object in tiles: iterations that are put together by hand equal those of the whole object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import small_problem

from ptychodask.model.state import State, TileState
from ptychodask.model.tiles import Rect, deal, make_tiles
from ptychodask.physics import constraints as c
from ptychodask.physics.views import windows_of
from ptychodask.solver.settings import ProbeRules
from ptychodask.solver.tiled import TiledLsqMl
from ptychodask.solver.unknowns.object import ObjectSums


def tiles_of(case, side):
    problem = case.problem
    windows = windows_of(case.blocks, problem.centres, problem.scan_shape, problem.pixels)
    return make_tiles(problem.canvas.shape, side, windows, c.reach_of(problem.settings.constraints))


def in_tiles(case, side):
    """The algorithm, and the start cut into tiles and what they share."""
    tiles = tiles_of(case, side)
    algorithm = TiledLsqMl(case.algorithm, tiles, case.model.object.dtype)
    whole = case.start()
    states = []
    for tile in tiles:
        rows, columns = tile.core.inside((0, 0))
        states.append(TileState(whole.model.object[:, rows, columns], whole.anchor[:, rows, columns]))
    nothing = whole.model.object[:, :0, :0]
    return algorithm, states, State(replace(whole.model, object=nothing), nothing, whole.momentum, whole.damping)


def one_iteration(case, algorithm, states, shared, tiles=None):
    """An update from all blocks of the tiles."""
    tiles = algorithm.tiles if tiles is None else tiles
    models, updates = [], []
    for t, tile in enumerate(tiles):
        frames = [algorithm.lend(u, states[u], t) for u in tile.lenders]
        models.append(algorithm.assemble(t, states[t], shared, frames))
        parts = [algorithm.partial(case.blocks[b], case.patterns[b], models[t], False) for b in tile.blocks]
        updates.append(algorithm.merge(parts) if parts else None)
    totals = algorithm.merge([algorithm.totals(u) for u in updates])
    sums = [algorithm.collect(t, [algorithm.give(updates[u], t) for u in tiles[t].givers]) for t in range(len(tiles))]
    brightest = algorithm.highest([algorithm.peak(t, s) for t, s in enumerate(sums)])
    pooled = [algorithm.pool(t, states[t], shared, models[t], s, brightest) for t, s in enumerate(sums)]
    move = algorithm.step(pooled, shared, totals)
    line = line_sums(case, algorithm, tiles, models, sums, brightest, move) if case.algorithm.searches_line else None
    following = [
        algorithm.advance_tile(t, states[t], shared, models[t], sums[t], brightest, move, line)
        for t in range(len(tiles))
    ]
    return following, algorithm.advance_shared(shared, move, line), totals


def line_sums(case, algorithm, tiles, models, sums, brightest, move):
    """The tangent sums of all blocks, each along its tile's part of the direction."""
    own = [algorithm.direction(t, s, brightest) for t, s in enumerate(sums)]
    lines = []
    for t, tile in enumerate(tiles):
        if not tile.blocks:
            continue
        along = algorithm.assemble_direction(t, own[t], [algorithm.lend(u, own[u], t) for u in tile.lenders])
        assert along.shape == models[t].object.shape
        lines += [algorithm.line_search(case.blocks[b], case.patterns[b], models[t], along, move) for b in tile.blocks]
    return algorithm.merge(lines)


def together(case, tiles, parts):
    out = np.full((case.problem.slices, *case.problem.canvas.shape), np.nan, parts[0].dtype)
    for tile, part in zip(tiles, parts, strict=True):
        rows, columns = tile.core.inside((0, 0))
        out[:, rows, columns] = part
    return out


BLUR = (c.PositivePhase(), c.LateralBlur(1.3))
BOUND = (c.AmplitudeBound(1.05), c.LateralBlur(1.3))
CASES = {
    "free": {"accelerate": True},
    "blurred": {"constraints": BLUR, "accelerate": True, "probe_rules": ProbeRules(1, True, None), "M": 2},
    "identical": {"constraints": (*BLUR, c.IdenticalSlices()), "S": 3, "accelerate": True},
    "coupled": {"constraints": (*BLUR, c.CoupledSlices(0.8)), "S": 3, "background": 0.5, "mask": True},
    "complex": {
        "constraints": BOUND, "kind": "complex", "S": 2,
        "accelerate": True, "probe_rules": ProbeRules(0, False, None),
    },
    "tangent": {
        "constraints": BLUR, "S": 3, "M": 2, "accelerate": True, "probe_rules": ProbeRules(2, True, None),
        "tangent_stride": 3,
    },
    "tangent, complex": {
        "constraints": BOUND, "kind": "complex", "S": 2,
        "tangent_stride": 2, "background": 0.5, "probe_rules": ProbeRules(None, False, None),
    },
}  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("side", [11, 24])
@pytest.mark.parametrize("name", CASES)
def test_iterations_in_tiles_equal_those_of_the_whole_object(name, side, backend):
    exact = backend == "numpy"
    dtype = np.float64 if exact else np.float32
    case = small_problem(dtype=dtype, backend=backend, scan=(5, 6), tile=(2, 2), **CASES[name])
    algorithm, states, shared = in_tiles(case, side)
    assert len(algorithm.tiles) >= 4
    whole = case.start()
    for _ in range(5):
        whole, update = case.step(whole)
        states, shared, totals = one_iteration(case, algorithm, states, shared)
    bound = 1e-9 if exact else 1e-5
    pairs = [
        (whole.model.object, together(case, algorithm.tiles, [s.object for s in states])),
        (whole.anchor, together(case, algorithm.tiles, [s.anchor for s in states])),
        (whole.model.probe, shared.model.probe),
    ]
    for expected, found in pairs:
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, atol=bound * abs(expected).max(), rtol=0)
    assert totals.sums.loss == pytest.approx(update.sums.loss, rel=bound)
    assert shared.momentum == whole.momentum and shared.model.iteration == 5
    assert shared.model.background == pytest.approx(whole.model.background, rel=10 * bound, abs=1e-12)
    # the comparison would notice a step that was not taken
    assert abs(whole.model.object - case.model.object).max() > 1e-2 * abs(case.model.object).max()


@pytest.mark.parametrize("stride", [0, 2])
@pytest.mark.parametrize("side", [11, 24])
def test_rounds_in_tiles_equal_those_of_the_whole_object(side, stride):
    """Four rounds of nine blocks: tiles without a block in a round are there too."""
    rules = {"constraints": BLUR, "accelerate": True, "probe_rules": ProbeRules(1, True, None)}
    case = small_problem(scan=(5, 6), tile=(2, 2), M=2, S=2, rounds=4, tangent_stride=stride, **rules)
    algorithm, states, shared = in_tiles(case, side)
    whole = case.start()
    for _ in range(2):
        for turn in range(4):
            numbers = range(turn, len(case.blocks), 4)
            own = [case.blocks[b] for b in numbers], [case.patterns[b] for b in numbers]
            whole, update = replace(case, blocks=own[0], patterns=own[1]).step(whole)
            dealt = deal(algorithm.tiles, numbers)
            assert any(full.blocks and not its.blocks for its, full in zip(dealt, algorithm.tiles, strict=True))
            states, shared, totals = one_iteration(case, algorithm, states, shared, dealt)
            assert totals.sums.loss == pytest.approx(update.sums.loss, rel=1e-9)
            assert totals.sums.patterns == sum(b.size for b in own[0])
    found = together(case, algorithm.tiles, [s.object for s in states])
    np.testing.assert_allclose(found, whole.model.object, atol=1e-9)
    np.testing.assert_allclose(shared.model.probe, whole.model.probe, atol=1e-9 * abs(whole.model.probe).max())
    assert shared.model.iteration == whole.model.iteration == 8


def test_all_tiles_take_the_step_of_one_line_search():
    """The same sums as from the whole direction, and a step that is neither the pooled one nor clipped."""
    case = small_problem(scan=(5, 6), tile=(2, 2), S=3, tangent_stride=2)
    algorithm, states, shared = in_tiles(case, 24)
    whole = case.start()
    move = case.algorithm.direction(whole, case.update())
    pairs = list(zip(case.blocks, case.patterns, strict=True))
    line = case.algorithm.merge([case.algorithm.line_search(b, p, case.model, move) for b, p in pairs])
    states, _, _ = one_iteration(case, algorithm, states, shared)
    step = line.sums.line_numerator / line.sums.line_denominator
    assert 0.1 / 3 < step < 1.5 and abs(step - move.object_step / 3).min() > 0.01
    found = together(case, algorithm.tiles, [s.object for s in states])
    np.testing.assert_allclose(found, case.model.object + step * move.object, atol=1e-12)


def test_the_direction_that_is_lent_is_needed():
    """Blocks at the rim of a core see views beyond it: without frames of the direction the sums would be others."""
    case = small_problem(scan=(5, 6), tile=(2, 2), S=3, tangent_stride=2)
    algorithm, states, shared = in_tiles(case, 24)

    class Alone(TiledLsqMl):
        def assemble_direction(self, index, direction, frames):
            nothing = [replace(f, object=0 * f.object) for f in frames]
            return super().assemble_direction(index, direction, nothing)

    expected, _, _ = one_iteration(case, algorithm, states, shared)
    found, _, _ = one_iteration(case, Alone(algorithm.solver, algorithm.tiles, algorithm.object_dtype), states, shared)
    assert abs(found[0].object - expected[0].object).max() > 1e-3 * abs(expected[0].object).max()


def test_the_margin_is_needed():
    """Without it the blur at the rim of a core would look at mirrored pixels: the test above would fail."""
    case = small_problem(scan=(5, 6), tile=(2, 2), constraints=BLUR)
    algorithm, states, shared = in_tiles(case, 24)
    short = tuple(replace(t, work=t.core) for t in algorithm.tiles)
    algorithm = replace(algorithm, tiles=short)
    whole, _ = case.step(case.start())
    states, _, _ = one_iteration(case, algorithm, states, shared)
    found = together(case, short, [s.object for s in states])
    assert abs(found - whole.model.object).max() > 1e-3 * abs(whole.model.object).max()


def test_a_restart_of_the_momentum_is_decided_by_all_tiles():
    """One tile where the momentum rises and one where it falls: both follow the sum."""
    case = small_problem(scan=(5, 6), tile=(2, 2), accelerate=True)
    algorithm, states, shared = in_tiles(case, 24)
    shared = replace(shared, momentum=3)
    rng = np.random.default_rng(2)
    states = [replace(s, anchor=s.object + 0.1 * rng.standard_normal(s.object.shape)) for s in states]
    whole = case.start()
    anchor = together(case, algorithm.tiles, [s.anchor for s in states])
    whole, _ = case.step(replace(whole, anchor=anchor, momentum=3))
    states, after, _ = one_iteration(case, algorithm, states, shared)
    assert after.momentum == whole.momentum
    np.testing.assert_allclose(
        together(case, algorithm.tiles, [s.object for s in states]), whole.model.object, atol=1e-9
    )


def test_frames_hold_nothing_but_the_common_pixels():
    case = small_problem(scan=(5, 6), tile=(2, 2))
    algorithm, states, _ = in_tiles(case, 24)
    tile = algorithm.tiles[0]
    lender = tile.lenders[0]
    frame = algorithm.lend(lender, states[lender], 0)
    common = algorithm.tiles[lender].core.common(tile.reach)
    assert frame.corner == common.corner and frame.object.shape[1:] == common.shape
    assert frame.object.base is None and frame.nbytes == 8 * common.area


def test_windows_of_the_blocks_are_those_that_their_updates_have():
    case = small_problem(scan=(5, 6), tile=(2, 2), constraints=BLUR)
    tiles = tiles_of(case, 1000)
    assert len(tiles) == 1 and len(tiles[0].blocks) == len(case.blocks)
    merged = case.update()[ObjectSums]
    height, width = merged.gradient.shape[1:]
    (y, x) = merged.corner
    assert tiles[0].lit == Rect(y, y + height, x, x + width)
    assert tiles[0].work == tiles[0].core
    assert c.reach_of(BLUR) == c.blur_reach(1.3) == 6 and c.reach_of(()) == c.blur_reach(0.0) == 0
    small = tiles_of(case, 24)
    assert small[0].work.shape == (small[0].core.shape[0] + 6, small[0].core.shape[1] + 6)
