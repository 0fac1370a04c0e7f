"""Functions of datasets: simulate or import, look, calibrate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _arguments as arguments
from .._errors import InputError
from ..analysis.sampling import SamplingReport
from ..distributed.process import check_process
from ..io.atomic import check_output
from ..io.kinds import picture as picture_kind
from ..model.config import JobConfig
from .asked import as_config, asked_for
from .progress import counting

if TYPE_CHECKING:
    import xarray as xr

    from ..calibration.table import Calibration
    from ..distributed.cluster import Client
    from ..jobs.importing.table import Imported
    from ..simulation.run import Steps


def info(
    data: str | Path | xr.Dataset, config: JobConfig | dict[str, Any] | str | Path | None = None
) -> SamplingReport:
    """Sampling, dose and probe of a dataset, with warnings where a criterion is violated; reads no counts.

    Parameters
    ----------
    data, config
        As for :func:`reconstruct`.

    Examples
    --------
    >>> print(ptychodask.info("scan.zarr"))
    >>> ptychodask.info("scan.zarr").warnings
    """
    from ..jobs.experiment import Experiment

    with asked_for(data) as dataset:
        return Experiment(dataset, as_config(config)).sampling


def simulate(path: str | Path, material: str, *, progress: Steps | bool | None = None, **options: Any) -> Path:
    """See :func:`ptychodask.simulation.run.simulate`; ``progress`` may be True for a bar, or False for nothing."""
    from ..simulation import run as simulation

    check_process()
    with counting(progress, f"simulate {material}") as shown:
        return simulation.simulate(path, material, progress=shown, **options)


def import_data(
    path: str | Path, output: str | Path, *, progress: Steps | bool | None = None, **options: Any
) -> Imported:
    """See :func:`ptychodask.jobs.importing.run.import_data`; ``progress`` may be True for a bar, or False for nothing.

    Examples
    --------
    >>> made = ptychodask.import_data("scan.mib", "scan.zarr", scan_shape=(256, 256), energy_ev=300e3,
    ...                               semi_angle_mrad=10, angular_step_mrad=0.2, scan_step_angstrom=1.05)
    >>> print(made)
    """
    from ..jobs.importing import run as importing

    check_process()
    with counting(progress, "import") as shown:
        return importing.import_data(path, output, progress=shown, **options)


def calibrate(
    data: str | Path | xr.Dataset,
    client: Client | None = None,
    *,
    output: str | Path | None = None,
    write: bool = False,
    thickness_angstrom: float | None = None,
    defocus_angstrom: float | None = None,
    c12_angstrom: float | None = None,
    phi12_rad: float | None = None,
    rotation_degrees: float | None = None,
    transpose: bool | None = None,
    scale: float | None = None,
    asymmetry: float | None = None,
    shear: float | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Steps | bool | None = None,
) -> Calibration:
    """Find the geometry of a scan from its counts, at about 100 electrons per pattern: disk, orientation, scan, focus.

    Positions ``x_j = A nominal_j`` in angstrom are (y, x) in the axes of the detector, ``A = R(rotation) diag(c (1 +
    a/2), c (1 - a/2)) [[1, g], [0, 1]]`` with scale c, asymmetry a, shear g and ``R = [[cos, -sin], [sin, cos]]``. With
    ``transpose``, rows and columns of every pattern are exchanged first, and all other numbers are those of the
    exchanged patterns; a flipped detector is a transposed one that is turned by 90 degrees. A positive defocus is
    underfocus; it is that of the entrance surface where the thickness is known, else that of the middle of the
    specimen. ``phi12`` and aberrations as :class:`Microscope` has them.

    Parameters
    ----------
    data, client
        As for :func:`reconstruct`; threads of this process by default.
    output : path, optional
        Of a picture: disk, likelihood, phase.
    write : bool
        Write scan, aberrations and the place of the disk into the dataset, which a reconstruction then uses. Counts and
        recorded positions stay as they are; the attribute ``calibration`` says what was found, and what was recorded.
    thickness_angstrom : float, optional
        Of the specimen; by default what the dataset says.
    defocus_angstrom, c12_angstrom, phi12_rad, rotation_degrees, transpose, scale, asymmetry, shear : optional
        What is known, and not to be found. The scale is found and reported, but what is written has the nominal one
        unless it is given.
    workers : int, optional
        Local processes.
    overwrite : bool
        Replace an existing picture.
    progress : callable or bool, optional
        As for :func:`import_data`.

    Returns
    -------
    Calibration
        ``values[name]`` with ``value``, ``sigma``, ``how`` and what the dataset ``said``; ``as_dict()``; printed, a
        table.

    Raises
    ------
    InputError
        No disk, or one at the edge; positions that are no raster; a scan from which no geometry can be told; a dataset
        that cannot be written.

    Examples
    --------
    >>> found = ptychodask.calibrate("scan.zarr")
    >>> print(found)
    >>> found["defocus_angstrom"], found.values["rotation_degrees"].sigma
    """
    from ..calibration.run import calibrate as run

    check_process()
    write, overwrite = arguments.switch(write, "write"), arguments.switch(overwrite, "overwrite")
    target = None if output is None else arguments.path(output, "output")
    if target is not None:
        check_output(target, picture_kind(target), overwrite)
    if workers is not None:
        workers = arguments.whole(workers, "workers", "the number of processes, or leave it out for threads", 1, 10_000)
    if client is not None:
        from ..distributed.cluster import a_place

        client = a_place(client)
    known = {
        "defocus_angstrom": defocus_angstrom, "c12_angstrom": c12_angstrom, "phi12_rad": phi12_rad,
        "rotation_degrees": rotation_degrees, "transpose": transpose, "scale": scale, "asymmetry": asymmetry,
        "shear": shear,
    }  # fmt: skip
    options: dict[str, Any] = {
        "workers": workers, "write": write, "thickness_angstrom": thickness_angstrom, **known,
    }  # fmt: skip
    with asked_for(data) as dataset, counting(progress, "calibrate") as shown:
        made = run(dataset, client, progress=shown, **options)
    if target is not None:
        from ..viz.calibration import draw_calibration

        draw_calibration(made, target, overwrite=overwrite)
    return made


def view(
    data: str | Path | xr.Dataset,
    output: str | Path | None = None,
    *,
    annuli: Sequence[tuple[float, float]] = (),
    masks: Mapping[str, Any] | None = None,
    defocus_angstrom: float | None = None,
    upsample: int | None = None,
    mask_damaged: bool = False,
    client: Client | str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Steps | bool | None = None,
) -> xr.Dataset:
    """Images of a scan without a reconstruction, by one pass over its counts.

    Parameters
    ----------
    data : path or xarray.Dataset
        As for :func:`reconstruct`; of an opened one, what is selected of it.
    output : path, optional
        What to write, by its ending: ``.png``, ``.pdf``, ``.svg``, ``.jpg``, ``.webp`` or ``.eps`` for a picture of all
        images; ``.h5`` or ``.hdf5`` for the images with units and scales; ``.tif`` or ``.tiff`` for those of the scan's
        pixels as a stack with its scale, in the order of the Dataset.
    annuli : sequence of (float, float)
        Inner and outer angle in mrad of further detectors.
    masks : mapping of array [N, N]
        Weights of further detectors by their names, zero angle in the centre.
    defocus_angstrom : float, optional
        For parallax, instead of the dataset's; positive is underfocus, at the entrance surface.
    upsample : int, optional
        Pixels of the parallax image along a scan step; by default 2 where rays are spread over several steps, else 1.
    mask_damaged : bool
        Leave positions out whose chunks are damaged: NaN.
    client, workers
        Where to run: a client, or so many local processes, or threads of this process. Any give the same bits.
    overwrite : bool
        Replace an existing output of the same kind.
    progress : callable or bool, optional
        As for :func:`import_data`.

    Returns
    -------
    xarray.Dataset
        ``bf, abf, adf``, the further detectors and ``electrons`` (all pixels) in electrons per pattern; ``com_y`` and
        ``com_x`` in mrad; ``icom`` in rad; each (y, x) with coordinates in angstrom. ``parallax`` and
        ``parallax_phase`` (fine_y, fine_x), where there is a defocus. ``pattern`` (ky, kx), the mean one.
        ``attrs["notes"]`` says what is missing or approximate, and why.

    Raises
    ------
    InputError
        Bad input, before counts are read; counts that are damaged.

    Examples
    --------
    >>> images = ptychodask.view("scan.zarr", "overview.png", annuli=[(20, 60)])
    >>> images.adf.plot()
    """
    from ..distributed.cluster import a_place
    from ..jobs.viewing import run, save
    from ..jobs.viewing.wanted import Wanted

    check_process()
    overwrite = arguments.switch(overwrite, "overwrite")
    target = None if output is None else save.checked(arguments.path(output, "output"), overwrite)
    if workers is not None:
        workers = arguments.whole(workers, "workers", "the number of processes, or leave it out for threads", 1, 10_000)
    if upsample is not None:
        upsample = arguments.whole(upsample, "upsample", "pixels along a scan step", 1, 8)
    if isinstance(annuli, str) or not hasattr(annuli, "__len__"):
        raise InputError(f"annuli = {arguments.shown(annuli)}: give a list of (inner, outer) in mrad")
    damage = arguments.switch(mask_damaged, "mask_damaged")
    further = arguments.mapping(masks, "masks", "weights of the detector pixels by names")
    with asked_for(data, whole=not damage) as info:
        wanted = Wanted(info, tuple(annuli), further, defocus_angstrom, upsample, damage)
        with counting(progress, "view") as shown:
            images = run.view(wanted, a_place(client), workers, shown)
    if target is not None:
        save.save(images, target, overwrite)
    return images
