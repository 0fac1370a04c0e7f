"""Simulate a dataset on Dask: the potential once, then the shards of the dataset in parallel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .. import _arguments as arguments
from ..distributed.cluster import a_place, connect
from ..distributed.maps import run_all
from ..io.atomic import check_output, remove
from ..io.kinds import DATASET
from ..io.writer import DatasetWriter
from ..io.written import ShardSummary, write_shard
from ..model.blocks import Block
from ..model.place import Place
from ..physics.probe import make_probe
from .noise import poisson_counts
from .prepared import prepare
from .scattering import Experiment, diffraction_patterns, potential_slices, projected_phase, transmission

if TYPE_CHECKING:
    from ..distributed.cluster import Client

Steps = Callable[[str, int, int], None]
"""Called with a label, the number of finished and of all steps."""


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
    offset_angstrom: tuple[float, float] = (0.0, 0.0),
    phonons: int = 0,
    phonon_sigma_angstrom: float = 0.1,
    source_size_angstrom: float = 0.0,
    focal_spread_angstrom: float = 0.0,
    slice_thickness_angstrom: float = 2.0,
    chunks: tuple[int, int] | None = None,
    client: Client | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Steps | bool | None = None,
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
        Further Krivanek coefficients, ``C30`` etc. in angstrom, ``phi12`` etc. in rad; ``C10`` comes from the defocus.
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
    offset_angstrom : (float, float)
        Shift (y, x) of the scan over the specimen, of which the recorded positions do not know: a second scan of the
        same area, as a microscope records it. The truth is in the specimen's frame.
    phonons, phonon_sigma_angstrom : int, float
        Frozen-phonon configurations, and their RMS displacement per axis; 0 keeps atoms still.
    source_size_angstrom, focal_spread_angstrom : float
        Partial coherence: standard deviations of the source's image in the specimen, along each axis, and of the
        defocus. Patterns are summed over their points, so it takes as many times longer (9 to 200).
    slice_thickness_angstrom : float
        Of the simulation's multislice.
    chunks : (int, int), optional
        Scan positions per shard.
    client, workers
        Where to run: a client, or so many local processes, or threads of this process.
    overwrite : bool
        Replace an existing dataset.
    progress : callable or bool, optional
        Called with a label, the number of finished and of all steps. True shows a bar, False nothing; by default a bar
        in a notebook or a terminal.

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
    target = check_output(arguments.path(path, "path"), DATASET, arguments.switch(overwrite, "overwrite"))
    arguments.function(progress, "progress", ("label", "done", "of"))
    if workers is not None:
        workers = arguments.whole(workers, "workers", "the number of processes, or leave it out for threads", 1, 10_000)
    client = a_place(client)
    made = prepare(
        material,
        target.parent,
        thickness_angstrom=thickness_angstrom,
        energy_ev=energy_ev,
        semi_angle_mrad=semi_angle_mrad,
        defocus_angstrom=defocus_angstrom,
        aberrations=aberrations,
        scan_shape=scan_shape,
        scan_step_angstrom=scan_step_angstrom,
        detector_pixels=detector_pixels,
        angular_step_mrad=angular_step_mrad,
        dose_per_square_angstrom=dose_per_square_angstrom,
        seed=seed,
        tilt_mrad=tilt_mrad,
        position_error_angstrom=position_error_angstrom,
        offset_angstrom=offset_angstrom,
        phonons=phonons,
        phonon_sigma_angstrom=phonon_sigma_angstrom,
        source_size_angstrom=source_size_angstrom,
        focal_spread_angstrom=focal_spread_angstrom,
        slice_thickness_angstrom=slice_thickness_angstrom,
    )
    experiment, phonons = made.experiment, made.experiment.specimen.phonons
    report = progress if callable(progress) else (lambda label, done, of: None)
    with DatasetWriter(
        target,
        made.scan_shape,
        experiment.microscope,
        experiment.detector,
        made.step,
        dtype=made.dtype,
        chunks=chunks,
        attributes=made.attributes,
        overwrite=overwrite,
    ) as writer:
        scratch = writer.folder / "potential"
        scratch.mkdir()
        with connect(client, place=Place(workers=workers)) as dask_client:
            count = max(1, phonons)
            potentials = [(_store_transmission, (experiment, c, str(scratch))) for c in range(count)]
            if phonons:  # the truth is the crystal at rest
                still = replace(experiment, specimen=replace(experiment.specimen, phonons=0))
                potentials.append((_store_transmission, (still, count, str(scratch))))
            *_, truth = run_all(dask_client, potentials, lambda done, of: report("potential", done, of))
            shards = [
                (_write_shard, (str(writer.folder), b, experiment, str(scratch), count, made.noise, made.scan_shape))
                for b in writer.blocks
            ]
            writer.add(run_all(dask_client, shards, lambda done, of: report("patterns", done, of)))
        remove(scratch)
        writer.write_truth(truth)
    return target


def _store_transmission(experiment: Experiment, configuration: int, folder: str) -> xr.Dataset:
    """Keep the transmission of one configuration on disk, of which every shard maps only the window that they need.

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


def _write_shard(
    path: str,
    block: Block,
    experiment: Experiment,
    folder: str,
    configurations: int,
    seed: int | None,
    scan_shape: tuple[int, int],
) -> ShardSummary:
    indices = block.flat(scan_shape)
    intensities: Any = 0
    for c in range(configurations):
        slices = np.load(Path(folder) / f"transmission-{c}.npy", mmap_mode="r")
        thicknesses = np.load(Path(folder) / f"thickness-{c}.npy")
        intensities = intensities + diffraction_patterns(experiment, indices, slices, thicknesses)
    intensities = intensities / configurations
    counts = intensities.astype(np.float32) if seed is None else poisson_counts(intensities, indices, seed)
    return write_shard(Path(path), block, counts.reshape(block.y1 - block.y0, block.x1 - block.x0, *counts.shape[1:]))


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
