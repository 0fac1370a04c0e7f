"""The fixed part of a reconstruction: geometry, mask, propagators and settings. Every worker builds it once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._array import Array, fft2, ifft2, namespace
from ..model.blocks import Block
from ..model.refining import Refine
from ..model.scan import Canvas
from ..model.state import Model
from ..physics.likelihood import Likelihood
from ..physics.views import shift_ramps
from .settings import ProbeRules, Settings


@dataclass(frozen=True)
class Problem:
    """What does not change between iterations.

    Parameters
    ----------
    canvas : Canvas
    scan_shape : (int, int)
    centres : float64 array [J, 2]
        Probe centres (y, x) in canvas pixels, as the run begins with them.
    weights : float array [N, N]
        Detector mask, corner-centred, 1 = use.
    propagators : complex array [S - 1, N, N]
    mean_counts : float
        Mean training electrons per pattern in the pixels in use.
    settings : Settings
    """

    canvas: Canvas
    scan_shape: tuple[int, int]
    centres: np.ndarray
    weights: np.ndarray
    propagators: np.ndarray
    mean_counts: float
    settings: Settings
    stored_pixels: int = 0
    """Side of the patterns as they are stored, where they are padded; else 0."""
    off: np.ndarray | None = None
    """Distance [J, 2] (y, x) in pixels of the disk of every pattern from zero angle, where it differs between them."""
    probes: tuple[ProbeRules, ...] = ()
    """Where several scans see the object, the rules of the probe of each; all else here is the first one's."""

    def __post_init__(self) -> None:
        if len(self.centres) != self.scan_shape[0] * self.scan_shape[1]:
            raise ValueError(f"{len(self.centres)} positions for a scan of {self.scan_shape}")

    @property
    def pixels(self) -> int:
        """Side N of pattern and probe."""
        return self.weights.shape[0]

    @property
    def slices(self) -> int:
        """Number of slices S."""
        return len(self.propagators) + 1

    @cached_property
    def used_pixels(self) -> float:
        """Number of detector pixels that the mask uses."""
        return float(self.weights.sum(dtype=np.float64))

    @cached_property
    def likelihood(self) -> Likelihood:
        """The likelihood with epsilon in electrons per pixel; asked for once per pattern."""
        return Likelihood(self.settings.residual, self.settings.epsilon * (self.mean_counts / self.used_pixels))

    def check(self, model: Model) -> None:
        """Compiled kernels trust shapes: a model of another problem would make them read and write beyond it.

        Raises
        ------
        ValueError
            If slices or pixels are not those of the problem.
        """
        n, found = self.pixels, (model.object.shape[0], *model.probe.shape[1:])
        if found != (self.slices, n, n):
            raise ValueError(
                f"a model of {found[0]} slices and {found[1]} x {found[2]} pixels is not of this problem, which has"
                f" {self.slices} and {n} x {n}"
            )

    def positions(self, model: Model, block: Block | None = None) -> np.ndarray:
        """Probe centres (y, x) in canvas pixels of a block's patterns, or of all, where the model's geometry puts them,
        float64 [B, 2]."""
        chosen = slice(None) if block is None else block.flat(self.scan_shape)
        centres = self.centres[chosen]
        if model.moved is not None:
            centres = model.moved(centres)
        return centres if model.places is None else centres + model.places.off[chosen]

    def probe_moves(self, updates: int) -> bool:
        """Does the update after so many change the probe?"""
        start = self.settings.probe_rules.update_start
        return start is not None and updates >= start * self.settings.rounds

    def places_move(self, updates: int) -> bool:
        """Does the update after so many move patterns, each on its own?"""
        rules = self.settings.places
        return rules is not None and updates >= rules.begins

    def refines(self, updates: int) -> Refine | None:
        """What the update after so many changes of the geometry, or None."""
        rules = self.settings.refine
        return rules if rules is not None and rules.moves(updates) else None


def shifted_probes(spectra: Array, fractions: np.ndarray) -> tuple[Array, Array]:
    """Probes [B, M, N, N] at sub-pixel positions from the modes' spectra [M, N, N], and the ramps [B, N, N]."""
    ramps = shift_ramps(fractions, spectra.shape[-1], namespace(spectra), spectra.dtype)
    return ifft2(spectra[None] * ramps[:, None], overwrite=True), ramps


def probe_spectra(probe: Array) -> Array:
    """Spectra of the modes [M, N, N]."""
    return fft2(probe)
