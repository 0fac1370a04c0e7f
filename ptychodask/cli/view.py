"""The verb that shows a scan without a reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._errors import InputError
from . import show


def view(
    data: Annotated[Path, typer.Argument(help="Dataset, a Zarr group.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="What to write: a picture (.png, .pdf, ...), .h5 or .tif; DATA.png by default."
        ),
    ] = None,
    annulus: Annotated[
        list[str] | None,
        typer.Option(metavar="INNER,OUTER", help="A further detector, angles in mrad; may be repeated."),
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A further detector, weights (ky, kx) in a .npy file; may be repeated."),
    ] = None,
    defocus: Annotated[float | None, typer.Option(help="For parallax, angstrom; positive is underfocus.")] = None,
    upsample: Annotated[
        int | None, typer.Option(min=1, max=8, help="Pixels of the parallax image along a scan step.")
    ] = None,
    mask_damaged: Annotated[
        bool, typer.Option("--mask-damaged", help="Leave out positions whose chunks are damaged or missing.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Local worker processes; threads by default.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
) -> None:
    """Look at a scan: bright and dark field, centre of mass, parallax, in one pass over the counts.

    What the images are and how they are made: docs/view.md.

    Examples:

        ptychodask view scan.zarr

        ptychodask view scan.zarr -o overview.pdf --annulus 20,60 --annulus 60,120

        ptychodask view scan.zarr -o images.h5 --defocus 650 --workers 4
    """
    if scheduler is not None and workers is not None:
        raise InputError("--workers starts processes and --scheduler uses those of a cluster: give one of them")
    annuli = [_angles(text) for text in annulus or []]
    masks = dict(_mask(text) for text in mask or [])
    from .. import api

    output = data.with_suffix(".png") if output is None else output
    with show.steps("view") as progress:
        images = api.view(
            data,
            output,
            annuli=annuli,
            masks=masks,
            defocus_angstrom=defocus,
            upsample=upsample,
            mask_damaged=mask_damaged,
            client=scheduler,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    for note in images.attrs["notes"]:
        show.console.print(f"note: {note}", soft_wrap=True)
    size = " x ".join(str(images.sizes[axis]) for axis in ("y", "x"))
    names = ", ".join(str(name) for name in images.data_vars)
    mean = float(images.electrons.mean())
    show.console.print(f"{output}: {names}; {size} pixels, {mean:.4g} electrons per pattern", soft_wrap=True)


def _angles(text: str) -> tuple[float, float]:
    try:
        inner, outer = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--annulus {text!r}: write INNER,OUTER in mrad, for instance 20,60") from None
    return inner, outer


def _mask(text: str) -> tuple[str, object]:
    name, mark, file = text.partition("=")
    if not mark:
        raise InputError(f"--mask {text!r}: write NAME=FILE, for instance ring=ring.npy")
    import numpy as np

    try:
        return name, np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"--mask {text}: {file} cannot be read ({error}): give a .npy file of (ky, kx)") from None
