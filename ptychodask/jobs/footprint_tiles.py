"""What a job holds and exchanges where its object is in tiles, in bytes: counted from their rectangles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..distributed.iterate import share
from ..model.tiles import Rect, Tile, deal
from .footprint import REAL, Footprint


def exchanged_bytes(shapes: Footprint) -> int:
    """Frames between different tiles in an iteration: of the object, of the sums and, for a line search, of the
    direction; in every round. As many as the history then says."""
    rounds, blocks = shapes.config.solver.rounds_per_iteration, len(shapes.blocks)
    if rounds == 1:
        return _exchanged(shapes, shapes.tiles)
    return sum(_exchanged(shapes, deal(shapes.tiles, share(blocks, rounds, turn))) for turn in range(rounds))


def _exchanged(shapes: Footprint, tiles: Sequence[Tile]) -> int:
    lent, given = (sum(each(tiles, tile) for tile in tiles) for each in (_lent, _given))
    along = sum(_lent(tiles, tile) for tile in tiles if tile.blocks) if shapes.searches_line else 0
    return shapes.slices * ((lent + along) * shapes.object_item + given * (shapes.object_item + REAL))


def _lent(tiles: Sequence[Tile], to: Tile) -> int:
    """Pixels of a tile's reach that others own."""
    return _common((tiles[u].core for u in to.lenders), to.reach)


def _given(tiles: Sequence[Tile], to: Tile) -> int:
    """Pixels of a tile's work area that updates of others touch, those that several touch as often."""
    return _common((tiles[u].lit for u in to.givers if u != to.index), to.work)


def _common(rects: Iterable[Rect | None], area: Rect) -> int:
    parts = (rect.common(area) for rect in rects if rect is not None)
    return sum(part.area for part in parts if part is not None)


def held_in_tiles(shapes: Footprint, workers: int, threads: int) -> dict[str, int]:
    """Of the object and of what is computed of it, in the worker that holds most."""
    shares = shapes.tile_shares(workers)
    return max((_held(shapes, share, threads) for share in shares), key=lambda held: sum(held.values()))


def _held(shapes: Footprint, own: Sequence[Tile], threads: int) -> dict[str, int]:
    """All tiles of a worker wait together for the step, with their models, updates, sums and directions."""
    slices, item = shapes.slices, shapes.object_item
    core, reach, largest = (
        slices * pixels
        for pixels in (
            sum(t.core.area for t in own),
            sum(t.reach.area for t in own),
            max(t.work.area for t in own),
        )
    )
    frames = slices * sum(_lent(shapes.tiles, t) * item + _given(shapes.tiles, t) * (item + REAL) for t in own)
    sums = sum(shapes.maps_bytes(rect) for t in own for rect in (t.lit, t.work) if rect is not None)
    along = (core + reach) * item if shapes.searches_line else 0
    busy = [list(t.windows) for t in own if t.blocks]
    waiting = max((shapes.waiting_bytes(windows, 1) for windows in busy), default=0)
    return {
        "states": shapes.states * (2 * core * item + shapes.shared_bytes),
        "models and sums of tiles": reach * item + sums + along,
        "frames on their way": 2 * frames,  # here, and where they go
        "the step from update to state": min(threads, len(own)) * shapes.advance_bytes(largest),
        "updates on their way": min(2, len(busy)) * waiting,  # the last of a tile, and the first of the next one
    }
