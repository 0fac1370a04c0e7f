"""How a run makes, keeps and stores states: in tiles, lest a worker hold the object; a whole object is one tile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..distributed.cluster import cluster_trouble
from ..distributed.iterate import Job, Pass, new_name
from ..distributed.rounds import Places, places_of
from ..distributed.tiled import InTiles, tiled_passes
from ..io.atomic import replacing
from ..io.checkpoint import load_shared, load_tile
from ..io.kinds import RESULT
from ..model.blocks import Block
from . import tasks
from .experiment import Experiment
from .recipe import Recipe

Cut = Callable[[int, Any], Any]


def states_of(client: Any, experiment: Experiment, blocks: tuple[Block, ...]) -> States:
    """As the job says."""
    tiles, shape = experiment.tiles(blocks), (experiment.slices, *experiment.canvas.shape)
    return States(client, tasks.TilePlan(tiles, shape, experiment.object_dtype, tiles[0].core.shape), blocks)


@dataclass(frozen=True)
class States:
    """A state is a bundle of futures, one of every tile; files are written tile by tile, then renamed here.

    ``key`` is a prefix for the keys of tasks.
    """

    client: Any
    plan: tasks.TilePlan
    blocks: tuple[Block, ...]

    @property
    def places(self) -> Places:
        """Where tiles and blocks live now."""
        return places_of(self.client, self.plan.tiles, self.blocks)

    def initial(self, recipe: Recipe, algorithm: Any, key: str) -> Any:
        shared = self.client.submit(tasks.initial_shared, recipe, algorithm, key=key, pure=False)
        return InTiles(self._each(tasks.initial_tile, key, lambda t: (algorithm, t)), shared)

    def load(self, path: str, key: str) -> Any:
        tiles = self._each(load_tile, key, lambda t: (path, self.plan.tiles[t].core))
        return InTiles(tiles, self.client.submit(load_shared, path, key=key, pure=False))

    def save(self, path: str, state: Any, key: str) -> str:
        plan = self.plan
        if len(plan.tiles) == 1:  # in one task, before blocks that are in flight: the run waits for it
            stored = (path, state.tiles[0], state.shared)
            return self.client.submit(tasks.store_checkpoint, *stored, key=key, pure=False, priority=1).result()
        try:
            with replacing(path, None) as part:
                maps = (plan.shape, plan.dtype, plan.chunk)
                made = self.client.submit(tasks.store_shared, str(part), state.shared, *maps, key=key, pure=False)
                for trouble in [made.result(), *self._write(tasks.store_tile_state, str(part), state, key)]:
                    if trouble:
                        raise OSError(trouble)
        except OSError as error:
            if cluster_trouble(error):
                raise
            return " ".join(str(error).split())
        return ""

    def recover(self, algorithm: Any, state: Any, damping: float, key: str) -> Any:
        shared = self.client.submit(tasks.recover, algorithm, state.shared, damping, key=key, pure=False)
        return InTiles(self._each(tasks.recover_tile, key, lambda t: (algorithm, state.tiles[t])), shared)

    def finish_from(self, algorithm: Any, state: Any, key: str) -> Any:
        shared = self.client.submit(tasks.finish_from, algorithm, state.shared, key=key, pure=False)
        return InTiles(state.tiles, shared)

    def passes(
        self, job: Job, state: Any, first: int, last: int, *, attempt: int = 0, cut: Cut | None = None, every: int = 10
    ) -> Generator[Pass, None, None]:
        return tiled_passes(job, self.plan.tiles, state, first, last, attempt=attempt, cut=cut, cut_every=every)

    def store(
        self,
        path: Path,
        recipe: Recipe,
        state: Any,
        entries: Sequence[Mapping[str, Any]],
        attributes: dict[str, Any],
        overwrite: bool,
    ) -> None:
        algorithm = self.client.submit(tasks.build_tiled, recipe, pure=False)
        if len(self.plan.tiles) == 1:
            whole = (algorithm, state.tiles[0], state.shared, recipe, entries, attributes, overwrite)
            self.client.submit(tasks.store_result, str(path), *whole, pure=False).result()
            return
        with replacing(path, RESULT, overwrite) as part:
            arguments = (recipe, self.plan, entries, attributes)
            self.client.submit(
                tasks.create_tiled_result, str(part), algorithm, state.shared, *arguments, pure=False
            ).result()
            self._write(tasks.store_tile, str(part), state, f"{new_name()}-store")

    def _each(
        self, function: Callable[..., Any], key: str, arguments: Callable[[int], tuple[Any, ...]]
    ) -> tuple[Any, ...]:
        """A task of every tile where the tile lives."""
        places = self.places.tiles
        return tuple(
            self.client.submit(
                function,
                *arguments(t),
                key=f"{key}-tile{t}",
                workers=[place] if place else None,
                allow_other_workers=bool(place),
                pure=False,
            )
            for t, place in enumerate(places)
        )

    def _write(self, function: Callable[..., Any], path: str, state: Any, key: str) -> list[Any]:
        """Every tile into its part of the arrays at ``path``."""
        written = self._each(function, key, lambda t: (path, self.plan.tiles[t].core, state.tiles[t]))
        for done in written:
            done.exception()  # all have ended: none may write where another's error has things removed
        return [done.result() for done in written]
