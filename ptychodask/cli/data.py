"""Verbs about data: simulate, info, export."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .._errors import InputError
from . import show
from .files import in_kev


def simulate(
    output: Annotated[Path, typer.Argument(help="Dataset to write, a Zarr group.", show_default=False)],
    material: Annotated[
        str, typer.Option(help="zif-8, nu-1000, nu-901, zr-btb, mapbi3, sod-zmof, or a structure file.")
    ] = "nu-1000",
    thickness: Annotated[float, typer.Option(help="Specimen thickness, angstrom.")] = 50.0,
    energy: Annotated[float, typer.Option(help="Beam energy, keV.", callback=in_kev)] = 300.0,
    semi_angle: Annotated[float, typer.Option(help="Convergence semi-angle, mrad.")] = 10.0,
    defocus: Annotated[
        str, typer.Option(help="Defocus, angstrom; positive is underfocus. 400,800 for two scans, OUTPUT-1 and -2.")
    ] = "600",
    split_dose: Annotated[
        bool, typer.Option("--split-dose", help="Several scans: share the dose, instead of each having it.")
    ] = False,
    offset: Annotated[
        tuple[float, float],
        typer.Option(help="Several scans: unrecorded shift y and x of each against the one before, angstrom."),
    ] = (0.0, 0.0),
    aberration: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Krivanek coefficient, angstrom or rad, e.g. C30=1e7; may be repeated."
        ),
    ] = None,
    step: Annotated[float, typer.Option(help="Scan step, angstrom.")] = 1.05,
    scan: Annotated[tuple[int, int], typer.Option(help="Scan positions y and x.")] = (64, 64),
    detector: Annotated[int, typer.Option(help="Detector pixels along a side.")] = 128,
    angular_step: Annotated[float, typer.Option(help="Angle per detector pixel, mrad.")] = 0.47,
    dose: Annotated[float, typer.Option(help="Electrons per square angstrom; inf for no noise.")] = 100.0,
    tilt: Annotated[tuple[float, float], typer.Option(help="Lean y and x of the columns, mrad.")] = (
        0.0,
        0.0,
    ),
    position_error: Annotated[float, typer.Option(help="RMS error of the recorded positions, angstrom.")] = 0.0,
    phonons: Annotated[int, typer.Option(help="Frozen-phonon configurations; 0 keeps atoms still.")] = 0,
    source_size: Annotated[
        float, typer.Option(help="Standard deviation of the source's image, angstrom; takes 9 to 100 times longer.")
    ] = 0.0,
    focal_spread: Annotated[
        float, typer.Option(help="Standard deviation of the defocus, angstrom; takes 3 to 15 times longer.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of noise, position errors and phonons.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Local worker processes; threads by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing dataset.")] = False,
) -> None:
    """Simulate a 4D-STEM scan of a crystal, with its ground truth.

    Examples:

        ptychodask simulate zif8.zarr --material zif-8 --thickness 34 --scan 48 48

        ptychodask simulate perovskite.zarr --material mapbi3 --thickness 204 --semi-angle 15 --dose 150

        ptychodask simulate mine.zarr --material crystal.cif --dose inf

        ptychodask simulate pair.zarr --defocus 400,800 --split-dose --offset 3.2 -0.8
    """
    from .. import api

    found, foci = coefficients(aberration or []), _defoci(defocus)
    if len(foci) == 1 and (split_dose or offset != (0.0, 0.0)):
        raise InputError("--split-dose and --offset are for several scans: give several defoci, --defocus 400,800")
    outputs = [output] if len(foci) == 1 else [_numbered(output, s) for s in range(1, len(foci) + 1)]
    for scan_, (path, its) in enumerate(zip(outputs, foci, strict=True)):
        with show.steps("simulate") as progress:
            api.simulate(
                path,
                material,
                thickness_angstrom=thickness,
                energy_ev=energy * 1e3,
                semi_angle_mrad=semi_angle,
                defocus_angstrom=its,
                aberrations=found,
                scan_shape=scan,
                scan_step_angstrom=step,
                detector_pixels=detector,
                angular_step_mrad=angular_step,
                dose_per_square_angstrom=dose / len(foci) if split_dose else dose,
                seed=seed + scan_,
                tilt_mrad=tilt,
                position_error_angstrom=position_error,
                offset_angstrom=(scan_ * offset[0], scan_ * offset[1]),
                phonons=phonons,
                source_size_angstrom=source_size,
                focal_spread_angstrom=focal_spread,
                workers=workers,
                overwrite=overwrite,
                progress=progress,
            )
        attributes = api.open_dataset(path).attrs
        dose_text = "without noise" if math.isinf(dose) else f"{attributes['dose_per_square_angstrom']:.4g} e/Å²"
        show.console.print(
            f"{path}: {material} ({attributes['specimen_status']}), {attributes['thickness_angstrom']:.4g} Å"
            f" thick, {scan[0]} x {scan[1]}"
            f" positions, {attributes['electrons_per_pattern']:.4g} electrons per pattern, {dose_text}",
            soft_wrap=True,
        )


def _defoci(text: str) -> list[float]:
    """Defoci of one scan or of several."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--defocus {text}: give a number in angstrom, or several with commas between, such as 400,800"
        ) from None


def _numbered(output: Path, number: int) -> Path:
    return output.with_name(f"{output.stem}-{number}{output.suffix}")


def coefficients(texts: list[str]) -> dict[str, float]:
    """Aberrations from ``NAME=VALUE``."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if name in found:
            raise InputError(f"--aberration {name} is given twice: say it once")
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f"--aberration {text!r}: write NAME=VALUE, for instance C30=1e7") from None
    return found


def info(data: Annotated[Path, typer.Argument(help="Dataset, a Zarr group.", show_default=False)]) -> None:
    """Shape, dose, probe, overlap, box, Nyquist and positions of a dataset, with a warning where one is violated.

    Examples:

        ptychodask info scan.zarr
    """
    from .. import api

    sampling = api.info(data)
    show.rows(data, sampling.rows())
    for warning in sampling.warnings:
        show.warning(warning)


class Layout(StrEnum):
    """Of an HDF5 file."""

    ptychodask = "ptychodask"
    py4dstem = "py4dstem"
    ptyrad = "ptyrad"


def export(
    result: Annotated[Path, typer.Argument(help="Result, a Zarr group.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="What to write: .tif, .mrc, .zarr or .h5", show_default=False)
    ],
    slices: Annotated[bool, typer.Option("--slices", help="Images: every slice instead of the sum.")] = False,
    layout: Annotated[Layout, typer.Option("--layout", help="HDF5: whose layout.")] = Layout.ptychodask,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
) -> None:
    """Export the phase with its scale (TIFF, MRC, OME-Zarr), or object, probe and positions (HDF5).

    Examples:

        ptychodask export result.zarr -o phase.tif

        ptychodask export result.zarr -o result.h5 --layout py4dstem
    """
    from .. import api

    path = api.export(result, output, slices=slices, layout=layout.value, overwrite=overwrite)
    show.console.print(f"{path}: written", soft_wrap=True)
