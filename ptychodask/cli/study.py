"""The verb for many conditions at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import show
from .solve import Scheduler, Workers

if TYPE_CHECKING:
    import xarray as xr

MOST_ROWS = 60


def study(
    document: Annotated[Path, typer.Argument(help="The study as TOML.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Store to write, a Zarr group.", show_default=False)],
    picture: Annotated[
        Path | None, typer.Option(help="Picture to draw: .png, .pdf, ...; by default OUTPUT.png.", show_default=False)
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    yes: Annotated[bool, typer.Option("--yes", help="Start, however many conditions there are.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another study, and its picture.")] = False,
) -> None:
    r"""Simulate and reconstruct many conditions, and compare them.

    A study is a TOML file:

        \[simulate]
        material = "zif-8"
        thickness_angstrom = 34

        \[axes]
        semi_angle_mrad = \[5, 10, 15, 21]
        dose_per_square_angstrom = \[inf, 1000, 100]

    Started again after any end, it does only what is missing. Options, lists of conditions, results: docs/study.md.

    Examples:

        ptychodask study study.toml -o study.zarr --workers 2

        ptychodask study study.toml -o study.zarr --picture figure.pdf --yes
    """
    from .. import api
    from ..io.atomic import resolved

    target = picture if picture is not None else resolved(output).with_suffix(".png")
    # a study that goes on, or that stands, draws its picture again
    redraws = picture is None and target.exists()
    said: list[str] = []
    with show.steps("study") as bar:

        def progress(label: str, done: int, of: int) -> None:
            if not said:
                said.append(label)
                show.console.print(f"{done} of {of} conditions are there; to do: {label}", soft_wrap=True)
            bar("conditions", done, of)

        found = api.study(
            document,
            output,
            overwrite=overwrite,
            yes=yes,
            workers=workers,
            client=scheduler,
            progress=progress,
        )
    _show(found, output)
    from ..viz.study import draw_study

    draw_study(found, target, overwrite=overwrite or redraws)
    show.console.print(f"{output}: written, with {target}", soft_wrap=True)


def _show(found: xr.Dataset, output: Path) -> None:
    from ..analysis.conditions import columns, notes

    wide = [(title.replace(" A", " Å"), texts) for title, texts in columns(found)]
    show.console.print(str(output), soft_wrap=True)
    show.columns(wide, MOST_ROWS)
    count = len(wide[0][1])
    if count > MOST_ROWS:
        show.console.print(f"note: {count - MOST_ROWS} more are in {output}", soft_wrap=True)
    for text in notes(found):
        show.warning(text)
