"""The verb that compares every motif of a crystal with its like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import show


def structure(
    result: Annotated[Path, typer.Argument(help="Result, a Zarr group.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Picture (.png, .pdf, ...); RESULT-structure.png by default.")
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="What the crystal should be: a material, or a structure file with c along the beam.",
        ),
    ] = None,
    resolution: Annotated[
        float | None, typer.Option(help="Of the strain: sigma of its Gaussian in angstrom.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
) -> None:
    """Find what is not as it should be in a crystal: clusters, linkers, channels, strain and columns, with errors.

    How each is found, and what 100 e/Å² can show: docs/local_structure.md.

    Examples:

        ptychodask structure result.zarr

        ptychodask structure result.zarr -o structure.pdf --structure nu-1000

        ptychodask structure result.zarr -o structure.png --structure crystal.cif --resolution 15
    """
    from .. import api
    from ..viz.structure import lines_of, told_of

    output = result.with_name(f"{result.stem}-structure.png") if output is None else output
    found = api.local_structure(
        result, output, structure=structure, resolution_angstrom=resolution, overwrite=overwrite
    )
    for line in lines_of(found):
        show.console.print(line, soft_wrap=True)
    told = found.sel(site=found.site_stands_out)
    for n in abs(told.site_z).argsort().values[::-1]:
        site = told.isel(site=n)
        show.console.print(
            f"  {site.site_kind.item()} at y, x = {site.site_y.item():.1f}, {site.site_x.item():.1f} Å:"
            f" {site.site_change.item():+.2f} ± {site.site_sigma.item():.2f} of one, {site.site_z.item():+.1f} σ",
            soft_wrap=True,
        )
    show.console.print(f"{output}: {told_of(found)}", soft_wrap=True)
