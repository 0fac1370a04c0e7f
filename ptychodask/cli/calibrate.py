"""The verb that finds the geometry of a scan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import InputError
from . import show

if TYPE_CHECKING:
    from ..calibration.table import Calibration


def calibrate(
    data: Annotated[Path, typer.Argument(help="Dataset, a Zarr group.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Picture to write: .png, .pdf, .svg, .jpg, ...")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write scan, focus and the disk's place into the dataset; its counts stay.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the values as JSON.")] = False,
    thickness: Annotated[
        float | None, typer.Option(help="Specimen thickness, angstrom, if the dataset does not say it.")
    ] = None,
    defocus: Annotated[float | None, typer.Option(help="Known defocus, angstrom; positive is underfocus.")] = None,
    c12: Annotated[float | None, typer.Option(help="Known twofold astigmatism, angstrom.")] = None,
    phi12: Annotated[float | None, typer.Option(help="Its angle, rad.")] = None,
    rotation: Annotated[float | None, typer.Option(help="Known rotation, degrees.")] = None,
    transpose: Annotated[
        bool | None, typer.Option("--transpose/--no-transpose", help="Known: rows and columns exchanged, or not.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Known scale of the scan; found, but the nominal one is written, by default.")
    ] = None,
    asymmetry: Annotated[float | None, typer.Option(help="Known asymmetry of the scan.")] = None,
    shear: Annotated[float | None, typer.Option(help="Known shear of the scan.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local worker processes; threads by default.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing picture.")] = False,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Take what this result of the dataset refined, and look at no counts.")
    ] = None,
) -> None:
    """Find disk, orientation, scan and focus from the counts, at about 100 electrons per pattern.

    What is given is taken as known, all the rest is found by the weak-phase likelihood. What is right by how much:
    docs/calibrate.md.

    Positions are x = A nominal in angstrom, (y, x) in the axes of the detector, y downwards: A = R diag(c (1 + a/2), c
    (1 - a/2)) [(1, g), (0, 1)] with scale c, asymmetry a, shear g and R = [(cos, -sin), (sin, cos)] of the rotation.
    With transpose, rows and columns of the patterns are exchanged first, and all other numbers are those of the
    exchanged patterns. A flipped detector is a transposed one, turned by 90 degrees.

    chi = pi lambda (-defocus k^2 + C12 cos(2 phi12) (kx^2 - ky^2) + 2 C12 sin(2 phi12) kx ky), wave exp(-i chi): a
    positive defocus is underfocus. It is that of the entrance surface where the thickness is known (--thickness, or the
    dataset), else that of the middle of the specimen. centre and semi-angle are those of the disk, pixels from 0.

    Examples:

        ptychodask calibrate scan.zarr -o scan.png

        ptychodask calibrate scan.zarr --thickness 50 --write

        ptychodask calibrate scan.zarr --no-transpose --rotation -12 --json

        ptychodask calibrate scan.zarr --from result.zarr --write
    """
    if scheduler is not None and workers is not None:
        raise InputError("--workers starts processes and --scheduler uses those of a cluster: give one of them")
    if from_ is not None:
        _take_back(data, from_, write, as_json)
        return
    from contextlib import nullcontext

    from .. import api

    with nullcontext(False) if as_json else show.steps("calibrate") as progress:
        made = api.calibrate(
            data,
            scheduler,  # type: ignore[arg-type]
            output=output,
            write=write,
            thickness_angstrom=thickness,
            defocus_angstrom=defocus,
            c12_angstrom=c12,
            phi12_rad=phi12,
            rotation_degrees=rotation,
            transpose=transpose,
            scale=scale,
            asymmetry=asymmetry,
            shear=shear,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(made.as_dict(), indent=2))
        return
    _tell(made)
    if write:
        show.console.print(f"{data}: written, 'ptychodask reconstruct' uses it", soft_wrap=True)


def _take_back(data: Path, result: Path, write: bool, as_json: bool) -> None:
    from .._geometry import geometry_lines
    from ..jobs.taken_back import take_back

    values = take_back(data, result, write)
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for line in geometry_lines(values):
        show.console.print(line, soft_wrap=True)
    if write:
        show.console.print(f"{data}: written, 'ptychodask reconstruct' uses it", soft_wrap=True)


def _tell(made: Calibration) -> None:
    from rich.table import Table

    table = Table(title=made.path, title_justify="left", box=None, header_style="bold")
    for name in ("", "value", "error", "dataset", "how"):
        table.add_column(name, no_wrap=name != "how")
    for line in made.lines():
        table.add_row(*line)
    show.console.print(table)
    for note in made.notes:
        show.console.print(f"note: {note}", soft_wrap=True)
