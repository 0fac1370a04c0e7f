"""How a run makes, keeps and stores states: whole ones, a future each, or in tiles, so that no worker holds the object.

Both keep the same checkpoints and write the same results; a run does not see which of the two it has.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..distributed.cluster import cluster_trouble
from ..distributed.iterate import Job, Pass, new_name, passes
from ..distributed.rounds import places_of
from ..distributed.tiled import InTiles, tiled_passes
from ..io.atomic import replacing
from ..io.checkpoint import load_shared, load_state, load_tile
from ..io.dataset import DatasetInfo
from ..io.kinds import RESULT
from . import tasks
from .setup import Recipe, tile_side

Cut = Callable[[int, Any], Any]


class States(Protocol):
    """States are opaque; ``key`` is a prefix for the keys of tasks; ``places`` are those of blocks, None for the usual
    ones."""

    def places(self) -> list[str] | None: ...
    def algorithm(self, recipe: Recipe, key: str) -> Any: ...
    def initial(self, recipe: Recipe, algorithm: Any, key: str) -> Any: ...
    def load(self, path: str, key: str) -> Any: ...
    def save(self, path: str, state: Any, key: str) -> str: ...
    def recover(self, algorithm: Any, state: Any, damping: float, key: str) -> Any: ...
    def finish_from(self, algorithm: Any, state: Any, key: str) -> Any: ...
    def passes(
        self, job: Job, state: Any, first: int, last: int, *, attempt: int = 0, cut: Cut | None = None, every: int = 10
    ) -> Generator[Pass, None, None]: ...
    def store(
        self, path: Path, recipe: Recipe, state: Any, entries: Sequence[Mapping[str, Any]], attributes: dict[str, Any],
        overwrite: bool,
    ) -> None: ...  # fmt: skip


def states_of(client: Any, info: DatasetInfo, recipe: Recipe) -> States:
    """As the job says."""
    if tile_side(info, recipe.job) is None:
        return Whole(client)
    return Tiled(client, client.submit(tasks.plan_tiles, recipe, pure=False).result())


@dataclass(frozen=True)
class Whole:
    """A state is a future of a State."""

    client: Any

    def places(self) -> list[str] | None:
        return None

    def algorithm(self, recipe: Recipe, key: str) -> Any:
        return self.client.submit(tasks.build_algorithm, recipe, key=key, pure=False)

    def initial(self, recipe: Recipe, algorithm: Any, key: str) -> Any:
        return self.client.submit(tasks.initial_state, recipe, algorithm, key=key, pure=False)

    def load(self, path: str, key: str) -> Any:
        return self.client.submit(load_state, path, key=key, pure=False)

    def save(self, path: str, state: Any, key: str) -> str:
        # before blocks that are in flight: the run waits for it
        return self.client.submit(tasks.store_checkpoint, path, state, key=key, pure=False, priority=1).result()

    def recover(self, algorithm: Any, state: Any, damping: float, key: str) -> Any:
        return self.client.submit(tasks.recover, algorithm, state, damping, key=key, pure=False)

    def finish_from(self, algorithm: Any, state: Any, key: str) -> Any:
        return self.client.submit(tasks.finish_from, algorithm, state, key=key, pure=False)

    def passes(
        self, job: Job, state: Any, first: int, last: int, *, attempt: int = 0, cut: Cut | None = None, every: int = 10
    ) -> Generator[Pass, None, None]:
        return passes(job, state, first, last, attempt=attempt, cut=cut, cut_every=every)

    def store(
        self,
        path: Path,
        recipe: Recipe,
        state: Any,
        entries: Sequence[Mapping[str, Any]],
        attributes: dict[str, Any],
        overwrite: bool,
    ) -> None:
        algorithm = self.client.submit(tasks.build_algorithm, recipe, pure=False)
        arguments = (recipe, entries, attributes, overwrite)
        self.client.submit(tasks.store_result, str(path), algorithm, state, *arguments, pure=False).result()


@dataclass(frozen=True)
class Tiled:
    """A state is a bundle of futures, one of every tile; files are written tile by tile, then renamed here."""

    client: Any
    plan: tasks.TilePlan

    def places(self) -> list[str] | None:
        of_tiles = places_of(self.client, self.plan.patterns)
        of_blocks = {b: of_tiles[tile.index] for tile in self.plan.tiles for b in tile.blocks}
        return [of_blocks[b] for b in range(len(of_blocks))]

    def algorithm(self, recipe: Recipe, key: str) -> Any:
        return self.client.submit(tasks.build_tiled, recipe, key=key, pure=False)

    def initial(self, recipe: Recipe, algorithm: Any, key: str) -> Any:
        shared = self.client.submit(tasks.initial_shared, recipe, algorithm, key=key, pure=False)
        return InTiles(self._each(tasks.initial_tile, key, lambda t: (algorithm, t)), shared)

    def load(self, path: str, key: str) -> Any:
        tiles = self._each(load_tile, key, lambda t: (path, self.plan.tiles[t].core))
        return InTiles(tiles, self.client.submit(load_shared, path, key=key, pure=False))

    def save(self, path: str, state: Any, key: str) -> str:
        plan = self.plan
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
        places = places_of(self.client, self.plan.patterns)
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
