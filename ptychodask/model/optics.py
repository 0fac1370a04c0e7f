"""Electron optics: wavelength, interaction constant, the microscope and its aberrations.

Formulas and signs: kinematics of the electron from CODATA constants; aberrations in Krivanek's notation,
``chi = (2 pi / lambda) sum 1/(n+1) C_nm theta^(n+1) cos(m (phi - phi_nm))`` and a probe ``exp(-i chi)``.
``C10 = -defocus``, and a positive defocus is underfocus: the cross-over lies below the entrance surface.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .._errors import InputError

REST_ENERGY_EV = 510_998.95
HC_EV_ANGSTROM = 12_398.41984

_ORDERS = (
    (1, 0),
    (1, 2),
    (2, 1),
    (2, 3),
    (3, 0),
    (3, 2),
    (3, 4),
    (4, 1),
    (4, 3),
    (4, 5),
    (5, 0),
    (5, 2),
    (5, 4),
    (5, 6),
)
COEFFICIENTS = tuple(f"C{n}{m}" for n, m in _ORDERS)
ANGLES = tuple(f"phi{n}{m}" for n, m in _ORDERS if m > 0)


def wavelength(energy_ev: float) -> float:
    """Relativistic de Broglie wavelength in angstrom of an electron of ``energy_ev``."""
    return HC_EV_ANGSTROM / math.sqrt(energy_ev * (2 * REST_ENERGY_EV + energy_ev))


def interaction_constant(energy_ev: float) -> float:
    """sigma in rad / (V angstrom): the phase that a projected potential of 1 V angstrom gives."""
    factor = (REST_ENERGY_EV + energy_ev) / (2 * REST_ENERGY_EV + energy_ev)
    return 2 * math.pi / (wavelength(energy_ev) * energy_ev) * factor


@dataclass(frozen=True)
class Microscope:
    """The illumination.

    Parameters
    ----------
    energy_ev : float
        Beam energy in eV.
    semi_angle_mrad : float
        Convergence semi-angle in mrad.
    aberrations : mapping
        Krivanek coefficients: ``C10, C12, C21, ...`` in angstrom, ``phi12, phi21, ...`` in rad.
        ``C10`` is minus the defocus.
    """

    energy_ev: float
    semi_angle_mrad: float
    aberrations: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.energy_ev) and 1e3 <= self.energy_ev <= 5e6):
            raise InputError(f"energy_ev = {self.energy_ev}: give the beam energy in eV, 1e3 to 5e6 (300 kV is 300e3)")
        if not (math.isfinite(self.semi_angle_mrad) and 0 < self.semi_angle_mrad < 200):
            raise InputError(
                f"semi_angle_mrad = {self.semi_angle_mrad}: give the convergence semi-angle in mrad, above"
                " 0 and below 200"
            )
        for name, value in self.aberrations.items():
            if name not in COEFFICIENTS + ANGLES:
                raise InputError(
                    f"aberration {name!r} is not known: use {', '.join(COEFFICIENTS)} (angstrom) or"
                    f" {', '.join(ANGLES)} (rad)"
                )
            if not math.isfinite(value):
                raise InputError(f"aberration {name} = {value}: give a finite number")
        object.__setattr__(self, "aberrations", MappingProxyType(dict(self.aberrations)))

    def __reduce__(self):  # a mapping proxy cannot be pickled
        return (Microscope, (self.energy_ev, self.semi_angle_mrad, dict(self.aberrations)))

    @property
    def wavelength(self) -> float:
        """Wavelength in angstrom."""
        return wavelength(self.energy_ev)

    @property
    def semi_angle(self) -> float:
        """Convergence semi-angle in rad."""
        return self.semi_angle_mrad * 1e-3

    @property
    def defocus_angstrom(self) -> float:
        """Defocus in angstrom, positive for underfocus."""
        return -float(self.aberrations.get("C10", 0.0))

    @property
    def depth_of_field(self) -> float:
        """lambda / alpha^2 in angstrom."""
        return self.wavelength / self.semi_angle**2
