"""The verb that makes a dataset of a detector's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._errors import InputError
from . import show

FormatName = Annotated[str | None, typer.Option(help="Name of the format, if it is not what the file looks like.")]
Scan = Annotated[tuple[int, int] | None, typer.Option(help="Scan positions y and x.")]
Energy = Annotated[float | None, typer.Option(help="Beam energy, keV.")]
SemiAngle = Annotated[float | None, typer.Option(help="Convergence semi-angle, mrad.")]
Step = Annotated[float | None, typer.Option(help="Scan step, angstrom.")]
AngularStep = Annotated[float | None, typer.Option(help="Angle per detector pixel, mrad; by the disk.")]
Defocus = Annotated[float | None, typer.Option(help="Defocus, angstrom; positive is underfocus.")]
Aberrations = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Krivanek coefficient, angstrom or rad; may be repeated."),
]
Gain = Annotated[float | None, typer.Option(help="ADU per electron, of a detector that does not count.")]
Dtype = Annotated[str | None, typer.Option(help="Raw: type of the values, such as <u2.")]
Offset = Annotated[int, typer.Option(help="Raw: bytes before the first frame.")]
Gap = Annotated[int, typer.Option(help="Raw: bytes between two frames.")]
DetectorShape = Annotated[tuple[int, int] | None, typer.Option(help="Raw: pixels ky and kx of a frame.")]
Flip = Annotated[bool, typer.Option("--flip", help="Reverse the rows of every pattern.")]
Transpose = Annotated[bool, typer.Option("--transpose", help="Then exchange its rows and columns.")]
Rotate180 = Annotated[bool, typer.Option("--rotate180", help="Then turn it by 180 degrees.")]
Count = Annotated[bool, typer.Option("--count", help="Find the peaks of electrons in the values, and count them.")]
Tables = Annotated[Path | None, typer.Option(help="EMPAD-G2: folder with the tables of the sensor.")]
Dark = Annotated[Path | None, typer.Option(help="Frames without beam: a .npy file; EMPAD-G2: a scan.")]
Crop = Annotated[int | None, typer.Option(help="Keep the middle of the detector, so many pixels square.")]
Bin = Annotated[int, typer.Option(help="Then add so many pixels along each axis.")]
Pad = Annotated[int | None, typer.Option(help="Then put it into so many pixels square, the rim masked.")]
MaskSaturated = Annotated[bool, typer.Option("--mask-saturated", help="Leave out pixels at the detector's limit.")]
MaskFile = Annotated[Path | None, typer.Option(help=".npy file of the detector pixels to use, non-zero for use.")]


def import_file(
    file: Annotated[Path, typer.Argument(help="File of a detector or another program.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Dataset to write, a Zarr group.", show_default=False)],
    format: FormatName = None,
    scan: Scan = None,
    energy: Energy = None,
    semi_angle: SemiAngle = None,
    step: Step = None,
    angular_step: AngularStep = None,
    defocus: Defocus = None,
    aberration: Aberrations = None,
    gain: Gain = None,
    count: Count = False,
    gain_map: Annotated[Path | None, typer.Option(help=".npy file (ky, kx) by which values are divided.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the array in the file.")] = None,
    dtype: Dtype = None,
    offset: Offset = 0,
    gap: Gap = 0,
    detector: DetectorShape = None,
    tables: Tables = None,
    dark: Dark = None,
    dwell: Annotated[float | None, typer.Option(help="Timepix3: microseconds per position.")] = None,
    crop: Crop = None,
    bin: Bin = 1,
    pad: Pad = None,
    flip: Flip = False,
    transpose: Transpose = False,
    rotate180: Rotate180 = False,
    mask: MaskFile = None,
    mask_saturated: MaskSaturated = False,
    mask_bad: Annotated[
        bool | None,
        typer.Option("--mask-bad/--keep-bad", help="Leave out hot and dead pixels; by default with --count."),
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Take a file that ends too early as far as it goes.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Local worker processes; threads by default.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing dataset.")] = False,
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
    from .data import coefficients

    with show.steps("import") as progress:
        made = api.import_data(
            file,
            output,
            format=format,
            scan_shape=scan,
            energy_ev=None if energy is None else energy * 1e3,
            semi_angle_mrad=semi_angle,
            defocus_angstrom=defocus,
            angular_step_mrad=angular_step,
            scan_step_angstrom=step,
            aberrations=coefficients(aberration or []),
            gain_adu=gain,
            count=count,
            gain_map=gain_map,
            dataset=dataset,
            dtype=dtype,
            offset=offset,
            gap=gap,
            detector_shape=detector,
            tables=tables,
            dark=dark,
            dwell_us=dwell,
            crop=crop,
            bin=bin,
            pad=pad,
            flip=flip,
            transpose=transpose,
            rotate180=rotate180,
            mask=mask,
            mask_saturated=mask_saturated,
            mask_bad=mask_bad,
            allow_partial=allow_partial,
            client=scheduler,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    show.rows(made.path, made.rows())
    for note in made.notes:
        show.console.print(f"note: {note}", soft_wrap=True)
