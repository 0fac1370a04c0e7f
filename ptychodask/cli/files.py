"""Options of a detector's file, which several verbs have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .._errors import InputError


def in_kev(energy: float | None) -> float | None:
    """A beam energy as the command line has it."""
    if energy is not None and not 1 <= energy <= 5000:
        raise InputError(f"--energy {energy:g}: give the beam energy in keV, 1 to 5000 (300 for 300 kV)")
    return energy


def of_file(
    format: Annotated[
        str | None, typer.Option(help="Name of the format, if it is not what the file looks like.")
    ] = None,
    scan: Annotated[tuple[int, int] | None, typer.Option(help="Scan positions y and x.")] = None,
    energy: Annotated[float | None, typer.Option(help="Beam energy, keV.", callback=in_kev)] = None,
    semi_angle: Annotated[float | None, typer.Option(help="Convergence semi-angle, mrad.")] = None,
    step: Annotated[float | None, typer.Option(help="Scan step, angstrom.")] = None,
    angular_step: Annotated[float | None, typer.Option(help="Angle per detector pixel, mrad; by the disk.")] = None,
    defocus: Annotated[float | None, typer.Option(help="Defocus, angstrom; positive is underfocus.")] = None,
    aberration: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Krivanek coefficient, angstrom or rad; may be repeated."),
    ] = None,
    gain: Annotated[float | None, typer.Option(help="ADU per electron, of a detector that does not count.")] = None,
    gain_map: Annotated[Path | None, typer.Option(help=".npy file (ky, kx) by which values are divided.")] = None,
    count: Annotated[
        bool, typer.Option("--count", help="Find the peaks of electrons in the values, and count them.")
    ] = False,
    dtype: Annotated[str | None, typer.Option(help="Raw: type of the values, such as <u2.")] = None,
    offset: Annotated[int, typer.Option(help="Raw: bytes before the first frame.")] = 0,
    gap: Annotated[int, typer.Option(help="Raw: bytes between two frames.")] = 0,
    detector: Annotated[tuple[int, int] | None, typer.Option(help="Raw: pixels ky and kx of a frame.")] = None,
    tables: Annotated[Path | None, typer.Option(help="EMPAD-G2: folder with the tables of the sensor.")] = None,
    dark: Annotated[Path | None, typer.Option(help="Frames without beam: a .npy file; EMPAD-G2: a scan.")] = None,
    crop: Annotated[int | None, typer.Option(help="Keep the middle of the detector, so many pixels square.")] = None,
    bin: Annotated[int, typer.Option(help="Then add so many pixels along each axis.")] = 1,
    pad: Annotated[int | None, typer.Option(help="Then put it into so many pixels square, the rim masked.")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Reverse the rows of every pattern.")] = False,
    transpose: Annotated[bool, typer.Option("--transpose", help="Then exchange its rows and columns.")] = False,
    rotate180: Annotated[bool, typer.Option("--rotate180", help="Then turn it by 180 degrees.")] = False,
    mask: Annotated[
        Path | None, typer.Option(help=".npy file of the detector pixels to use, non-zero for use.")
    ] = None,
    mask_saturated: Annotated[
        bool, typer.Option("--mask-saturated", help="Leave out pixels at the detector's limit.")
    ] = False,
    mask_bad: Annotated[
        bool | None,
        typer.Option("--mask-bad/--keep-bad", help="Leave out hot and dead pixels; by default with --count."),
    ] = None,
) -> dict[str, Any]:
    """What options say of a file and of the experiment, as :func:`ptychodask.import_data` takes it."""
    from .data import coefficients

    return {
        "format": format,
        "scan_shape": scan,
        "energy_ev": None if energy is None else energy * 1e3,
        "semi_angle_mrad": semi_angle,
        "scan_step_angstrom": step,
        "angular_step_mrad": angular_step,
        "defocus_angstrom": defocus,
        "aberrations": coefficients(aberration or []),
        "gain_adu": gain,
        "gain_map": gain_map,
        "count": count,
        "dtype": dtype,
        "offset": offset,
        "gap": gap,
        "detector_shape": detector,
        "tables": tables,
        "dark": dark,
        "crop": crop,
        "bin": bin,
        "pad": pad,
        "flip": flip,
        "transpose": transpose,
        "rotate180": rotate180,
        "mask": mask,
        "mask_saturated": mask_saturated,
        "mask_bad": mask_bad,
    }


def takes_file(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb, whose ``**said`` gets what the options of :func:`of_file` say; in its help they come behind what it
    requires."""
    own, shared = (_parameters(function) for function in (verb, of_file))
    own = [its for its in own if its.kind is not inspect.Parameter.VAR_KEYWORD]
    place = next(i for i, its in enumerate(own) if its.default is not inspect.Parameter.empty)
    names = {its.name for its in shared}

    @wraps(verb)
    def run(**given: Any) -> None:
        said = of_file(**{name: value for name, value in given.items() if name in names})
        verb(**{name: value for name, value in given.items() if name not in names}, **said)

    together = [*own[:place], *shared, *own[place:]]
    run.__signature__ = inspect.Signature(together)  # type: ignore[attr-defined]
    run.__annotations__ = {its.name: its.annotation for its in together}
    return run


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """With their types, not the text of them."""
    types = get_type_hints(function, include_extras=True)
    return [its.replace(annotation=types[its.name]) for its in inspect.signature(function).parameters.values()]
