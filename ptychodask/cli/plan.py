"""The verb plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import show
from .solve import Gpus, MaskDamaged, Scheduler, Settings, Workers, load_job


def plan(
    data: Annotated[Path, typer.Argument(help="Dataset, a Zarr group.", show_default=False)],
    preset: Annotated[str | None, typer.Option(help="low-dose, medium or high-dose.")] = None,
    config: Annotated[Path | None, typer.Option(help="Job as TOML, see 'ptychodask config'.")] = None,
    settings: Settings = None,
    workers: Workers = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
    mask_damaged: MaskDamaged = False,
) -> None:
    """Predict memory, bytes and time of a reconstruction, from a few patterns; exit code 2 if it cannot fit.

    Examples:

        ptychodask plan scan.zarr

        ptychodask plan scan.zarr --config job.toml --workers 4

        ptychodask plan scan.zarr --set engine.cache_gib=0.5 --set object.slices=8

        ptychodask plan scan.zarr --workers 8 --set engine.tile_pixels=1000
    """
    job = load_job(config, settings, preset, workers, scheduler, gpus, mask_damaged)
    from .. import api
    from ..jobs.plan import refuse

    made = api.plan(data, job)
    show.rows(data, made.rows())
    refuse(made)
