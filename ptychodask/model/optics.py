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
from typing import Any

from .._arguments import mapping, number, shown
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

SMALLEST_SEMI_ANGLE = 0.1
"""mrad; below it the angle is in rad."""
SMALLEST_FOCUS, LARGEST_FOCUS = 1e-3, 1e6
"""angstrom, of C10 and C12 that are not 0; outside of these the length is in another unit."""
SMALLEST_HIGHER, LARGEST_HIGHER = 1e-2, 1e10
"""The same of the further coefficients: 0.01 angstrom to 1 m."""


def wavelength(energy_ev: float) -> float:
    """Relativistic de Broglie wavelength in angstrom of an electron of ``energy_ev``."""
    return HC_EV_ANGSTROM / math.sqrt(energy_ev * (2 * REST_ENERGY_EV + energy_ev))


def energy_of(wavelength: float) -> float:
    """Energy in eV of an electron of ``wavelength`` angstrom."""
    return math.hypot(REST_ENERGY_EV, HC_EV_ANGSTROM / wavelength) - REST_ENERGY_EV


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
        energy = number(self.energy_ev, "energy_ev", "the beam energy in eV (300 kV is 300e3)", 1e3, 5e6)
        angle = number(
            self.semi_angle_mrad,
            "semi_angle_mrad",
            "the convergence semi-angle in mrad, not in rad",
            SMALLEST_SEMI_ANGLE,
            200,
        )
        aberrations = mapping(self.aberrations, "aberrations", "Krivanek coefficients")
        object.__setattr__(self, "energy_ev", energy)
        object.__setattr__(self, "semi_angle_mrad", angle)
        checked = {name: _coefficient(name, value) for name, value in aberrations.items()}
        object.__setattr__(self, "aberrations", MappingProxyType(checked))

    @classmethod
    def of(
        cls,
        energy_ev: Any,
        semi_angle_mrad: Any,
        defocus_angstrom: Any,
        aberrations: Mapping[str, float] | None = None,
    ) -> Microscope:
        """From what is known at the microscope: the defocus and the further coefficients.

        Parameters
        ----------
        energy_ev, semi_angle_mrad : float
            Beam energy in eV, convergence semi-angle in mrad.
        defocus_angstrom : float
            Positive for underfocus; ``C10`` is its negative.
        aberrations : mapping, optional
            Further Krivanek coefficients in angstrom and rad; ``C10`` may only repeat the defocus.

        Raises
        ------
        InputError
            For a value out of bounds, a C10 that says another defocus, or an angle without its coefficient.

        Examples
        --------
        >>> ptychodask.Microscope.of(300e3, 10, defocus_angstrom=600, aberrations={"C30": 1e7}).depth_of_field
        """
        defocus = defocus_of(defocus_angstrom)
        given = mapping(aberrations, "aberrations", "Krivanek coefficients")
        further = {name: _coefficient(name, value) for name, value in given.items()}
        if "C10" in further and further["C10"] != -defocus:
            raise InputError(
                f"aberrations hold C10 = {further['C10']:g} beside defocus_angstrom = {defocus:g}, and C10 is minus the"
                f" defocus: leave C10 out and give defocus_angstrom = {-further['C10']:g}, if that is meant"
            )
        for name in further:
            if name in ANGLES and f"C{name[3:]}" not in further:
                raise InputError(
                    f"aberration {name} is the angle of C{name[3:]}, which is not given: give both or neither"
                )
        return cls(energy_ev, semi_angle_mrad, {"C10": 0.0 - defocus, **further})

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
        return 0.0 - float(self.aberrations.get("C10", 0.0))

    @property
    def depth_of_field(self) -> float:
        """lambda / alpha^2 in angstrom."""
        return self.wavelength / self.semi_angle**2


def _coefficient(name: str, value: Any) -> float:
    """A coefficient within bounds that tell wrong units."""
    if name not in COEFFICIENTS + ANGLES:
        raise InputError(
            f"aberration {name!r} is not known: use {', '.join(COEFFICIENTS)} (angstrom) or {', '.join(ANGLES)} (rad)"
        )
    if name in ANGLES:
        return number(
            value, f"aberration {name}", "its angle in rad, not in mrad or degrees", -2 * math.pi, 2 * math.pi
        )
    least, most = (SMALLEST_FOCUS, LARGEST_FOCUS) if name[1] == "1" else (SMALLEST_HIGHER, LARGEST_HIGHER)
    found = number(value, f"aberration {name}", "its length in angstrom", -most, most)
    if 0 < abs(found) < least:
        raise InputError(
            f"aberration {name} = {shown(value)}: give its length in angstrom (1 nm is 10, 1 um is 1e4), 0 or at least"
            f" {least:g}; is this in m?"
        )
    return found


def defocus_of(value: Any, name: str = "defocus_angstrom") -> float:
    """A defocus within the bounds of C10."""
    wanted = "the defocus in angstrom, positive for underfocus"
    found = number(value, name, wanted, -LARGEST_FOCUS, LARGEST_FOCUS)
    if 0 < abs(found) < SMALLEST_FOCUS:
        raise InputError(
            f"{name} = {shown(value)}: give {wanted} (1 nm is 10), 0 or at least {SMALLEST_FOCUS:g}; is this in m?"
        )
    return found
