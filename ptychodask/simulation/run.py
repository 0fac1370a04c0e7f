"""Simulate a dataset on Dask: the potential once, then scan tiles in parallel, each written as one shard."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .._errors import InputError
from ..distributed.cluster import connect
from ..distributed.maps import run_all
from ..io.atomic import check_output, replacing
from ..io.tiles import Layout, TileSummary, create_skeleton, seal, write_tile, write_truth
from ..model.blocks import Block, default_tile
from ..model.optics import Microscope
from ..model.scan import Detector, raster, step_pair
from ..physics.probe import frame_power, make_probe
from .materials import materials
from .noise import poisson_counts
from .scattering import Experiment, diffraction_patterns, potential_slices, projected_phase, transmission
from .specimen import Specimen, crystal_thickness

if TYPE_CHECKING:
    from ..distributed.cluster import Client

NOISE_FREE_ELECTRONS = 1e4
FRAME_LIMIT = 0.08
"""Power of the probe outside the inner 80 % of the box that is refused: it would wrap around."""
JITTER_STREAM = 3


def simulate(
    path: str | Path,
    material: str,
    *,
    thickness_angstrom: float = 50.0,
    energy_ev: float = 300e3,
    semi_angle_mrad: float = 10.0,
    defocus_angstrom: float = 600.0,
    aberrations: Mapping[str, float] | None = None,
    scan_shape: tuple[int, int] = (64, 64),
    scan_step_angstrom: float | tuple[float, float] = 1.05,
    detector_pixels: int = 128,
    angular_step_mrad: float = 0.47,
    dose_per_square_angstrom: float = 100.0,
    seed: int = 0,
    tilt_mrad: tuple[float, float] = (0.0, 0.0),
    position_error_angstrom: float = 0.0,
    phonons: int = 0,
    phonon_sigma_angstrom: float = 0.1,
    slice_thickness_angstrom: float = 2.0,
    chunks: tuple[int, int] | None = None,
    client: Client | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Simulate a 4D-STEM scan with its ground truth.

    Parameters
    ----------
    path : path
        Of the new dataset.
    material : str
        ``zif-8``, ``nu-1000``, ``nu-901``, ``zr-btb``, ``mapbi3``, ``sod-zmof``, or a structure file that ASE reads
        (beam along +z).
    thickness_angstrom : float
        Wanted thickness; the specimen is the nearest number of whole repeats along the beam.
    energy_ev, semi_angle_mrad, defocus_angstrom : float
        Illumination; positive defocus is underfocus, counted from the entrance surface.
    aberrations : mapping, optional
        Further Krivanek coefficients, ``C30`` etc. in angstrom, ``phi12`` etc. in rad.
    scan_shape : (int, int)
        Positions (y, x).
    scan_step_angstrom : float or (float, float)
    detector_pixels, angular_step_mrad : int, float
        Side of the detector and angle per pixel.
    dose_per_square_angstrom : float
        Electrons per square angstrom. ``inf`` leaves out the noise and scales patterns to 1e4 electrons.
    seed : int
        Of noise, position errors and phonons.
    tilt_mrad : (float, float)
        Lean (y, x) of the atomic columns.
    position_error_angstrom : float
        RMS error per axis of the recorded positions; the true ones go to the truth.
    phonons, phonon_sigma_angstrom : int, float
        Frozen-phonon configurations, and their RMS displacement per axis; 0 keeps atoms still.
    slice_thickness_angstrom : float
        Of the simulation's multislice.
    chunks : (int, int), optional
        Scan positions per shard.
    client, workers
        Where to run: a client, or so many local processes, or threads of this process.
    overwrite : bool
        Replace an existing dataset.
    progress : callable, optional
        Called with a label, the number of finished and of all steps.

    Returns
    -------
    Path

    Notes
    -----
    Potentials come from abTEM (Lobato, neutral isolated atoms, infinite projections). Approximations are listed in
    :mod:`ptychodask.simulation.scattering`. The specimen is the crystal cut to the canvas of the scan with a margin, so
    every probe window lies in it; edges of the crystal are not in view.

    Examples
    --------
    >>> ptychodask.simulate("zif8.zarr", "zif-8", thickness_angstrom=34, scan_shape=(48, 48))
    """
    path = check_output(path, overwrite)
    step = step_pair(scan_step_angstrom)
    if min(scan_shape) < 1 or not all(math.isfinite(s) and s > 0 for s in step):
        raise InputError(f"scan of {scan_shape} positions at step {step} A: both must be above 0")
    if math.isnan(dose_per_square_angstrom) or dose_per_square_angstrom <= 0:
        raise InputError(
            f"dose_per_square_angstrom = {dose_per_square_angstrom}: give electrons per square angstrom,"
            " above 0, or inf"
        )
    if not (math.isfinite(slice_thickness_angstrom) and slice_thickness_angstrom > 0):
        raise InputError(
            f"slice_thickness_angstrom = {slice_thickness_angstrom}: give a thickness above 0, 1 to 4 is usual"
        )
    microscope = Microscope(energy_ev, semi_angle_mrad, {"C10": -defocus_angstrom, **(aberrations or {})})
    detector = Detector(detector_pixels, angular_step_mrad)
    if semi_angle_mrad > detector.max_angle_mrad:
        raise InputError(
            f"semi_angle_mrad = {semi_angle_mrad} exceeds the detector's {detector.max_angle_mrad:.4g}"
            " mrad: use more pixels or a larger angular_step_mrad"
        )
    box = microscope.wavelength / (angular_step_mrad * 1e-3)
    if (outside := frame_power(microscope, detector_pixels, box / detector_pixels)) > FRAME_LIMIT:
        raise InputError(
            f"{outside:.1%} of the probe is outside 80 % of the {box:.1f} A box of the patterns (at most"
            f" {FRAME_LIMIT:.0%}):"
            " use less defocus or a smaller angular_step_mrad"
        )
    _at_least_zero(
        phonons=phonons,
        phonon_sigma_angstrom=phonon_sigma_angstrom,
        position_error_angstrom=position_error_angstrom,
        seed=seed,
    )
    if workers is not None and workers < 1:
        raise InputError(f"workers = {workers}: give at least 1 process, or leave it out for threads")
    if not all(math.isfinite(t) and abs(t) < 200 for t in tilt_mrad):
        raise InputError(f"tilt_mrad = {tuple(tilt_mrad)}: give the lean of the columns in mrad, below 200")
    specimen = Specimen(material, thickness_angstrom, phonons, phonon_sigma_angstrom, seed)
    thickness = crystal_thickness(specimen)
    noisy = math.isfinite(dose_per_square_angstrom)
    electrons = dose_per_square_angstrom * step[0] * step[1] if noisy else NOISE_FREE_ELECTRONS
    recorded = raster(scan_shape, step)
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, JITTER_STREAM << 32], dtype=np.uint64)))
    true = recorded + position_error_angstrom * rng.normal(size=recorded.shape)
    tilt = (tilt_mrad[0] * 1e-3, tilt_mrad[1] * 1e-3)
    experiment = Experiment(
        specimen, microscope, detector, true.reshape(-1, 2), electrons, slice_thickness_angstrom, tilt
    )
    # bright pixels of a pattern reach a few times the mean of its disk
    disk = max(1.0, math.pi * (semi_angle_mrad / angular_step_mrad) ** 2)
    dtype = ("uint16" if electrons / disk > 20 else "uint8") if noisy else "float32"
    layout = Layout(scan_shape, detector, microscope, step, dtype, chunks or default_tile(scan_shape))
    attributes = {
        "source": "ptychodask.simulate",
        "specimen": material,
        "specimen_status": next((m.status for m in materials() if m.name == material), "file"),
        "thickness_angstrom": thickness,
        "tilt_mrad": [float(t) for t in tilt_mrad],
        "seed": seed,
        "phonons": phonons,
    }
    report = progress or (lambda label, done, of: None)
    with replacing(path, overwrite) as temporary:
        scratch = temporary.with_name(temporary.name + ".potential")
        try:
            scratch.mkdir(parents=True)
            create_skeleton(temporary, layout, recorded, None)
            with connect(client=client, workers=workers) as dask_client:
                count = max(1, phonons)
                potentials = [(_store_transmission, (experiment, c, str(scratch))) for c in range(count)]
                if phonons:  # the truth is the crystal at rest
                    still = replace(experiment, specimen=replace(specimen, phonons=0))
                    potentials.append((_store_transmission, (still, count, str(scratch))))
                *_, truth = run_all(dask_client, potentials, lambda done, of: report("potential", done, of))
                noise = seed if noisy else None
                tiles = run_all(
                    dask_client,
                    [
                        (_write_tile, (str(temporary), b, experiment, str(scratch), count, noise, layout))
                        for b in layout.blocks()
                    ],
                    lambda done, of: report("patterns", done, of),
                )
            seal(temporary, layout, tiles, attributes)
            write_truth(temporary, truth)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return path


def _at_least_zero(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} = {value}: give a finite number, at least 0")


def _store_transmission(experiment: Experiment, configuration: int, folder: str) -> xr.Dataset:
    """Keep the transmission of one configuration on disk, where tiles map only the window that they need.

    Returns the truth that belongs to these atoms.
    """
    slices, thicknesses = [], []
    projected: np.ndarray | float = 0.0
    for dz, potential in potential_slices(experiment, configuration):
        slices.append(transmission(experiment, potential))
        thicknesses.append(dz)
        projected = projected + potential
    np.save(Path(folder) / f"transmission-{configuration}.npy", np.stack(slices))
    np.save(Path(folder) / f"thickness-{configuration}.npy", np.array(thicknesses))
    return _truth(experiment, np.asarray(projected))


def _write_tile(
    path: str,
    block: Block,
    experiment: Experiment,
    folder: str,
    configurations: int,
    seed: int | None,
    layout: Layout,
) -> TileSummary:
    indices = block.flat(layout.scan_shape)
    intensities: Any = 0
    for c in range(configurations):
        slices = np.load(Path(folder) / f"transmission-{c}.npy", mmap_mode="r")
        thicknesses = np.load(Path(folder) / f"thickness-{c}.npy")
        intensities = intensities + diffraction_patterns(experiment, indices, slices, thicknesses)
    intensities = intensities / configurations
    counts = intensities.astype(np.float32) if seed is None else poisson_counts(intensities, indices, seed)
    return write_tile(Path(path), block, counts.reshape(block.y1 - block.y0, block.x1 - block.x0, *counts.shape[1:]))


def _truth(experiment: Experiment, projected: np.ndarray) -> xr.Dataset:
    canvas, phase = projected_phase(experiment, projected)
    n = experiment.detector.pixels
    probe = make_probe(experiment.microscope, n, canvas.pixel, experiment.electrons)[None].astype(np.complex64)
    centred = (np.arange(n) - n // 2) * canvas.pixel
    angstrom = {"units": "angstrom"}
    return xr.Dataset(
        {
            "phase": (
                ("y", "x"),
                phase,
                {"units": "rad", "long_name": "sigma times the projected potential"},
            ),
            "probe": (("mode", "probe_y", "probe_x"), probe),
            "positions": (("position", "axis"), experiment.positions, angstrom),
        },
        {
            "y": ("y", canvas.coordinates(0), angstrom),
            "x": ("x", canvas.coordinates(1), angstrom),
            "probe_y": ("probe_y", centred, angstrom),
            "probe_x": ("probe_x", centred, angstrom),
        },
    )
