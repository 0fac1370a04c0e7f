"""What is being reconstructed, as frozen data: a new one for every iteration, nothing is changed in place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .._array import Array, held_bytes, namespace
from .places import Places
from .refining import Refining
from .scan import Affine


@dataclass(frozen=True)
class Model:
    """Object, probe and what moved the scan: all that a block needs, besides the problem, to predict its patterns.

    Parameters
    ----------
    object : array [S, Oy, Ox]
        Phase phi of every slice in rad, transmission ``exp(i phi)``: real for a pure phase object; complex where the
        modulus ``exp(-Im phi)`` moves as well. The phase itself is kept and not the transmission, so that it is
        continuous wherever it passes pi. Slice 0 is the entrance.
    probe : complex array [M, N, N]
        Incoherent modes at the entrance surface, centred at N/2, by falling power.
        ``sum |probe|^2`` is the mean number of electrons in a pattern. Where several scans see the object, those of the
        first scan, those of the second, and so on.
    background : float
        Electrons per pixel that no wave explains.
    iteration : int
        Updates made so far.
    corner : (int, int)
        Canvas pixel of the object's first pixel: not (0, 0) where ``object`` is a part of the canvas.
    moved : Affine or None
        Where the geometry is refined, what its map of the scan has made of the problem's positions, which stay on the
        workers: a model travels in every iteration.
    places : Places or None
        Where every pattern moves on its own, how far it has come from there.
    """

    object: Array
    probe: Array
    background: float = 0.0
    iteration: int = 0
    corner: tuple[int, int] = (0, 0)
    moved: Affine | None = None
    places: Places | None = None

    __sizeof__ = held_bytes

    def of_scan(self, scan: int, scans: int) -> Model:
        """What a block of one of ``scans`` scans sees: their object, and its own probe."""
        return replace(self, probe=own_modes(self.probe, scan, scans))

    def part(self, view: tuple[slice, slice]) -> tuple[slice, slice, slice]:
        """Index of a window of the canvas in the object, all slices.

        Raises
        ------
        ValueError
            Where it is not all there: compiled kernels would read and write beyond the object.
        """
        found = tuple(slice(its.start - at, its.stop - at) for its, at in zip(view, self.corner, strict=True))
        height, width = self.object.shape[-2:]
        if any(its.start < 0 or its.stop > size for its, size in zip(found, (height, width), strict=True)):
            told = " x ".join(f"{its.start}:{its.stop}" for its in found)
            raise ValueError(f"views on {told} pixels are not in the object of {height} x {width}: positions are wrong")
        return slice(None), found[0], found[1]


@dataclass(frozen=True)
class State:
    """The model with what the solver remembers between iterations.

    Parameters
    ----------
    model : Model
    anchor : array [S, Oy, Ox]
        The object before extrapolation (Nesterov's x where ``model.object`` is y); at the end of a run with the
        spectral prior, the lattice without the residual.
    momentum : int
        Iterations since the last restart; -1 when acceleration is off.
    damping : float
        Factor on every step, halved after a divergence.
    information : float64 array or None
        t on rings (see ``solver.information``), once it is measured.
    loss : float or None
        Of the state before, in nats, where it is to be compared with this one's.
    geometry : Refining or None
        While the geometry is refined, how far it has come.
    """

    model: Model
    anchor: Array
    momentum: int = 0
    damping: float = 1.0
    information: Array | None = None
    geometry: Refining | None = None
    loss: float | None = None

    __sizeof__ = held_bytes


@dataclass(frozen=True)
class TileState:
    """Object and anchor on the core of a tile, both [S, h, w].

    Probe and the rest are in a State that all tiles share, whose object has no pixels.
    """

    object: Array
    anchor: Array

    __sizeof__ = held_bytes


def own_modes(modes: Array, scan: int, scans: int) -> Array:
    """Of the modes of all ``scans`` scans [K * M, N, N], those of one [M, N, N]."""
    count = len(modes) // scans
    return modes[scan * count : (scan + 1) * count]


def is_pure_phase(object_: Array) -> bool:
    """True where the modulus is 1 throughout."""
    return object_.dtype.kind == "f"


def transmission(object_: Array) -> Array:
    """Complex transmission ``exp(i phi)`` of the slices."""
    xp = namespace(object_)
    out = xp.empty(object_.shape, dtype=xp.result_type(object_.dtype, xp.complex64))
    xp.cos(object_.real, out=out.real)
    xp.sin(object_.real, out=out.imag)
    if not is_pure_phase(object_):
        out *= xp.exp(-object_.imag)
    return out


def on_phase(transmission: Array, gradient: Array, light: Array) -> tuple[Array, Array]:
    """Sums over patterns with respect to a complex phase, from those with respect to its transmission O, all [S, h, w].

    ``dO = i O dphi`` makes of the gradient g ``conj(i O) g`` and of the curvature W ``|O|^2 W``.
    """
    power = transmission.real**2 + transmission.imag**2
    return -1j * transmission.conj() * gradient, power * light
