"""The verb plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import show
from .solve import Scheduler, Settings, Workers, load_job


def plan(
    data: Annotated[Path, typer.Argument(help="Dataset, a Zarr group.", show_default=False)],
    preset: Annotated[str | None, typer.Option(help="low-dose, medium or high-dose.")] = None,
    config: Annotated[Path | None, typer.Option(help="Job as TOML, see 'ptychodask config'.")] = None,
    settings: Settings = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Predict memory, bytes and time of a reconstruction, from a few patterns; exit code 2 if it cannot fit.

    Examples:

        ptychodask plan scan.zarr

        ptychodask plan scan.zarr --config job.toml --workers 4

        ptychodask plan scan.zarr --set engine.cache_gib=0.5 --set object.slices=8

        ptychodask plan scan.zarr --workers 8 --set engine.tile_pixels=1000
    """
    job = load_job(config, settings, preset, workers, scheduler)
    from rich.table import Table
    from rich.text import Text

    from .. import api
    from ..jobs.plan import refuse

    made = api.plan(data, job)
    table = Table(title=str(data), title_justify="left", box=None, show_header=False)
    for label, value, remark, fits in made.rows():
        word, colour = {True: ("ok  ", "green"), False: ("no  ", "red"), None: ("", "")}[fits]
        table.add_row(label, value, Text.assemble((word, colour), remark))
    show.console.print(table)
    refuse(made)
