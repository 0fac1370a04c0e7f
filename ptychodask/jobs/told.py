"""What a run says of itself: at its start, and in its result."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import metadata
from typing import Any

from ..distributed.cluster import Client, describe
from ..events import Started
from ..io.selected import described
from .damage import left_out_attributes
from .experiment import Experiment
from .recipe import Decisions, Recipe
from .run import Run
from .showing import Showing


def opening(
    experiment: Experiment, remarks: tuple[str, ...], recipe: Recipe, client: Client, shown: Showing
) -> Started:
    """The event that begins a run."""
    return Started(
        patterns=experiment.patterns,
        electrons_per_pattern=experiment.electrons_per_pattern,
        slices=experiment.slices,
        modes=experiment.config.probe.modes,
        iterations=experiment.config.solver.iterations,
        remarks=(*remarks, *filter(None, [shown.remark])),
        page=shown.link,
        container=recipe.decided.container,
        pattern_bytes=recipe.decided.pattern_bytes,
        **describe(client),
    )


def _geometry(decided: Decisions) -> dict[str, str]:
    """What was found of the geometry."""
    its = decided.geometry
    if its is None:
        return {}
    return {"geometry": json.dumps(asdict(its))}


def _scans(experiment: Experiment) -> dict[str, str]:
    """Of several scans, what each is and where it lies."""
    if not experiment.further:
        return {}
    told = [
        {
            "data": scan.info.path,
            "data_fingerprint": scan.info.fingerprint,
            "offset_angstrom": list(offset),
            "electrons_per_pattern": scan.electrons_per_pattern,
            "dose_per_square_angstrom": scan.dose,
            "defocus_angstrom": scan.microscope.defocus_angstrom,
        }
        for scan, offset in zip(experiment.scans, ((0.0, 0.0), *experiment.shifts), strict=True)
    ]
    return {"scans": json.dumps(told)}


def attributes(remarks: tuple[str, ...], run: Run) -> dict[str, Any]:
    """What the result says of how it was made."""
    experiment, log, decided = run.experiment, run.log, run.recipe.decided
    dataset = experiment.info
    versions = {name: metadata.version(name) for name in ("ptychodask", "numpy", "scipy", "dask", "zarr")}
    return {
        "versions": json.dumps(versions),
        "data": dataset.path,
        "data_fingerprint": dataset.fingerprint,
        "selection": described(dataset.selection),
        "iteration": log.chosen,
        "finish": run.experiment.split_iterations[1],
        "stopped_because": log.reason,
        "restarts": log.restarts,
        "initial_loss": log.entries[0]["loss"],
        "initial_validation": log.entries[0]["validation"],
        "electrons_per_pattern": experiment.electrons_per_pattern,
        "dose_per_square_angstrom": experiment.dose,
        **left_out_attributes(decided.damaged, decided.excluded),
        **run.excess.attributes,
        "container": decided.container,
        "bytes_per_pattern": decided.pattern_bytes,
        "slices": experiment.slices,
        "energy_ev": dataset.microscope.energy_ev,
        "semi_angle_mrad": dataset.microscope.semi_angle_mrad,
        "defocus_angstrom": experiment.microscope.defocus_angstrom,
        **_scans(experiment),
        **_geometry(decided),
        "remarks": json.dumps(list(remarks)),
        "warnings": json.dumps(log.warnings),
    }
