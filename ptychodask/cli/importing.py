"""The verb that makes a dataset of a detector's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .._errors import InputError
from . import show
from .files import takes_file


@takes_file
def import_file(
    file: Annotated[Path, typer.Argument(help="File of a detector or another program.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Dataset to write, a Zarr group.", show_default=False)],
    dataset: Annotated[str | None, typer.Option(help="Name of the array in the file.")] = None,
    dwell: Annotated[float | None, typer.Option(help="Timepix3: microseconds per position.")] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Take a file that ends too early as far as it goes.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Local worker processes; threads by default.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing dataset.")] = False,
    **said: Any,
) -> None:
    """Make a dataset of a detector's file, and say what was taken from where.

    What the file says of the experiment is used, options come before it. Formats and how they are orientated:
    docs/import.md.

    Examples:

        ptychodask import scan_x128_y128.raw -o scan.zarr --gain 150 --semi-angle 20 --angular-step 0.8

        ptychodask import scan_x128_y128.raw -o scan.zarr --count --semi-angle 20 --angular-step 0.8

        ptychodask import scan.mib -o scan.zarr --energy 300 --semi-angle 10 --step 1.05 --angular-step 0.2

        ptychodask import scan.bin -o scan.zarr --dtype '<u2' --offset 512 --gap 16 --scan 64 64 --energy 200
    """
    if scheduler is not None and workers is not None:
        raise InputError("--workers starts processes and --scheduler uses those of a cluster: give one of them")
    from .. import api

    with show.steps("import") as progress:
        made = api.import_data(
            file,
            output,
            dataset=dataset,
            dwell_us=dwell,
            allow_partial=allow_partial,
            client=scheduler,
            workers=workers,
            overwrite=overwrite,
            **said,
            progress=progress,
        )
    show.rows(made.path, made.rows())
    for note in made.notes:
        show.console.print(f"note: {note}", soft_wrap=True)
