"""The verb that says which optics to set."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import InputError
from . import show
from .data import coefficients
from .files import in_kev

if TYPE_CHECKING:
    from ..jobs.advising import Advice


def advise(
    material: Annotated[
        str,
        typer.Argument(
            help="zif-8, nu-1000, nu-901, zr-btb, mapbi3, sod-zmof, or a structure file.", show_default=False
        ),
    ],
    thickness: Annotated[float, typer.Option(help="Specimen thickness, angstrom.")] = 50.0,
    dose: Annotated[float, typer.Option(help="Electrons per square angstrom.")] = 100.0,
    resolution: Annotated[float, typer.Option(help="Wanted resolution, angstrom.")] = 2.0,
    energy: Annotated[float, typer.Option(help="Beam energy, keV.", callback=in_kev)] = 300.0,
    detector: Annotated[int, typer.Option(help="Detector pixels along a side, after binning.")] = 128,
    semi_angles: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Semi-angles to compare, mrad; 5 to 25 by default.")
    ] = None,
    defoci: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Defoci to compare, angstrom; 0 to 2000 by default.")
    ] = None,
    aberration: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Krivanek coefficient of the lens, e.g. C30=1e7; may be repeated."),
    ] = None,
    step: Annotated[float | None, typer.Option(help="Scan step, angstrom; half the resolution by default.")] = None,
    frames: Annotated[float, typer.Option(help="Frames of the detector per second, for the beam current.")] = 1000.0,
    check: Annotated[
        int, typer.Option(min=0, help="Simulate and reconstruct so many of the best, half a minute each.")
    ] = 0,
    top: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
) -> None:
    """Rank semi-angles and defoci by what their electrons carry of a specimen.

    The correlation is the most that the best linear estimate could reach with a known geometry: believe the order, not
    the number. How it is computed and how far it was tried: docs/advise.md.

    Examples:

        ptychodask advise nu-1000 --thickness 50 --dose 100

        ptychodask advise mine.cif --semi-angles 8,10,12 --defoci 400,800,1200 --aberration C30=1e7

        ptychodask advise zif-8 --thickness 34 --check 3
    """
    options = {
        "semi_angles_mrad": _numbers("--semi-angles", semi_angles),
        "defoci_angstrom": _numbers("--defoci", defoci),
    }
    aberrations = coefficients(aberration or [])
    from .. import api

    with nullcontext(False) if as_json else show.steps("advise") as progress:
        made = api.advise(
            material,
            thickness_angstrom=thickness,
            dose_per_square_angstrom=dose,
            resolution_angstrom=resolution,
            energy_ev=energy * 1e3,
            detector_pixels=detector,
            aberrations=aberrations,
            scan_step_angstrom=step,
            frames_per_second=frames,
            check=check,
            progress=progress,
            **{name: values for name, values in options.items() if values is not None},
        )
    if as_json:
        typer.echo(json.dumps(made.as_dict(), indent=1))
        return
    _show(made, top)


def _show(made: Advice, top: int) -> None:
    from rich.table import Table

    task = made.task
    table = Table(
        title=f"{made.material}, {made.thickness_angstrom:.4g} Å thick, {task.dose:g} e/Å², to"
        f" {task.resolution_angstrom:g} Å",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    columns = made.columns()
    for title, _ in columns:
        table.add_column(title.replace(" A", " Å").replace(" ", "\n"), justify="right", no_wrap=True)
    best = made.optics.index(made.recommended)
    shown = list(range(min(top, len(made.optics))))
    for i in shown + ([best] if best not in shown else []):
        table.add_row(*(texts[i] for _, texts in columns), style="bold" if i == best else None)
    show.console.print(table)
    if made.refused:
        show.console.print(f"note: {len(made.refused)} left out; {made.refused[0]}", soft_wrap=True)
    if made.remark:
        show.warning(made.remark)
    show.console.print(made.in_words(), soft_wrap=True)
    if pairs := made.about_pairs():
        show.console.print(pairs, soft_wrap=True)


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text!r}: write numbers with commas between them, for instance 5,10,15") from None
