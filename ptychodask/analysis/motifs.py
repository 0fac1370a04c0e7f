"""Is every motif of a crystal in its place? Amplitudes of clusters, linkers and channels, with their significance.

The image less the mean of its cells is compared with the motifs of all sites. A motif's template m is the sum of its
atoms, each a Gaussian of weight Z, whose width, and the phase of every kind, fit the mean of the cells best; without a
structure, the mean about a peak, above the level between the molecules. A channel's is that of the clusters, since what
may stand there is one of them. A change c of a site is seen as c H m with noise of power H^2 n (``transfer``), so

    raw = M^T F^-1[1 / (H n)] F y,     G = M^T F^-1[1 / n] F M

are what the weighted least squares need (``stepwise``). c is free of what the prior takes away: -1 is a motif that is
not there, +1 a channel with a whole cluster, counted from the level at which most of its translates stand. Its standard
error is widened where the sites of its kind scatter more than noise does; p is two-sided; ``stands out`` keeps the
share of false ones among those named below 5 % (Benjamini & Hochberg, J. R. Stat. Soc. B 57, 289 (1995)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft, linalg, sparse
from scipy.signal.windows import tukey
from scipy.special import erfc

from .._errors import InputError
from .._tables import counted
from .average import CellMean
from .noise import Conditions
from .sites import Motif, Placed
from .spectrum import pixel_size
from .stepwise import Differences, differences, stands_out

Floats = NDArray[np.floating]

VACUUM = 2.0
"""Percentile of the mean of the cells that is the level between the molecules."""
EDGE = 3.0
"""Angstrom at the rim of the scan where there is less light."""
_SOFT = 0.8
"""Angstrom: softness of the border of a template."""
_SIDE = 6.0
"""Angstrom by which a template's box is larger than its motif."""
_MANY = 8
"""Sites of a kind that have a scatter of their own."""
_CLEARLY, _SURE = 0.25, 0.1
"""Of a motif: a level below it is that of places without, where its standard error is less than that."""
_FULLEST = 0.9
"""Quantile of what sites of a kind have that stands for the fullest."""
_ALIKE = 1.0
"""Angstrom: sites that are nearer, less lattice vectors, are translates of each other."""
MOST = 4000
"""Sites that are fitted at once."""


@dataclass(frozen=True)
class Site:
    """A motif somewhere in the image, (y, x) in angstrom; ``parent`` numbers the motifs of one cell."""

    kind: str
    place: Floats
    parent: int


def sites_in(placed: Placed, image: xr.DataArray) -> list[Site]:
    """Every site of a structure whose middle, and most of it, lies in the image."""
    low, high = (np.array([float(image.y[n]), float(image.x[n])]) for n in (0, -1))
    corners = np.array([(y, x) for y in (low[0], high[0]) for x in (low[1], high[1])]) - placed.origin
    along = corners @ np.linalg.inv(placed.cell)
    first, last = np.floor(along.min(axis=0)).astype(int) - 1, np.ceil(along.max(axis=0)).astype(int) + 1
    found = []
    for n, motif in enumerate(placed.motifs):
        seen = [motif] if len(motif.atoms) else [m for m in placed.motifs if m.guest]
        margin = max(EDGE, 0.9 * max(m.radius for m in seen))
        at = placed.origin + motif.place @ placed.turn
        for i in range(first[0], last[0] + 1):
            for j in range(first[1], last[1] + 1):
                place = at + np.array([i, j]) @ placed.cell
                if (place >= low + margin).all() and (place <= high - margin).all():
                    found.append(Site(motif.kind, place, n))
    if len(found) > MOST:
        raise InputError(f"{len(found)} sites lie in the image (at most {MOST}): crop it")
    if len(found) < 3:
        raise InputError(f"the image shows {counted(len(found), 'site')} of the structure: scan a larger field")
    return sorted(found, key=lambda s: (s.kind, s.place[0], s.place[1]))


def score_sites(
    image: xr.DataArray, mean: CellMean, sites: Sequence[Site], placed: Placed, noise: Conditions
) -> xr.Dataset:
    """Change of every site.

    Parameters
    ----------
    image : (y, x)
        Rad, inside the scan.
    mean : CellMean
    sites : sequence of Site
    placed : Placed
        The motifs of one cell.
    noise : Conditions

    Returns
    -------
    xarray.Dataset
        By ``site``: ``site_y``, ``site_x`` (angstrom), ``site_kind``, ``site_change`` (in units of the motif),
        ``site_sigma``, ``site_z``, ``site_p``, ``site_stands_out``. By ``kind``: ``kind_sigma``, the median standard
        error, and ``kind_kept``, the share of the contrast of one such motif that the image keeps where it is there
        once (nan where it is not known). Attribute ``scatter``: that of all sites over the error that noise gives them.
    """
    steps, shape = pixel_size(image), (image.sizes["y"], image.sizes["x"])
    left = np.asarray(image.values, float) - mean.on(image).values
    taper = np.outer(*(tukey(n, min(1.0, 2 * EDGE / (n * d))) for n, d in zip(shape, steps, strict=True)))
    filtered = noise.whitened((left - left.mean()) * taper, steps)
    reach = max(m.radius for m in placed.motifs) + _SIDE
    side = int(2 * math.ceil(reach / min(steps)))
    inverse = 1 / noise.white((side, side), steps)
    gain = noise.gain((side, side), steps)
    rows, weighted, kept = [], [], []
    for site in sites:
        corner, template = _template(site, placed, mean, image, side, steps)
        transform = fft.rfft2(template)
        power = np.abs(transform) ** 2
        kept.append(float((power * gain).sum() / max(power.sum(), 1e-300)))
        rows.append(_sparse(template, corner, shape))
        weighted.append(_sparse(fft.irfft2(transform * inverse, (side, side)), corner, shape))
    templates, filters = sparse.vstack(rows).tocsr(), sparse.vstack(weighted).tocsr()
    gram = np.asarray((filters @ templates.T).todense())
    gram = (gram + gram.T) / 2
    kinds, own = np.array([s.kind for s in sites]), _translates(sites, mean)
    told = differences(templates @ filtered.ravel(), gram, own)
    empty = np.isin(kinds, [m.kind for m in placed.motifs if not len(m.atoms)])
    guest = np.isin(kinds, [m.kind for m in placed.motifs if m.guest])
    if any(len(m.weights) for m in placed.motifs):
        reference = templates @ _without_transfer(mean.on(image).values * taper, noise, steps)
        offset, full = _against_structure(reference, gram, told, own, kinds, guest, empty)
    else:
        offset, full = np.zeros(len(own)), _whole_of_translates(told, own, guest, empty)
    change = told.change / full + offset
    sigma = told.sigma * _widened(told, kinds) / full
    z = np.nan_to_num(change / sigma)
    p = erfc(np.abs(z) / math.sqrt(2))
    names = list(dict.fromkeys(kinds.tolist()))
    share = np.array([np.mean([k for k, own in zip(kept, kinds, strict=True) if own == name]) for name in names])
    found = xr.Dataset(
        {
            "site_y": ("site", np.array([s.place[0] for s in sites])),
            "site_x": ("site", np.array([s.place[1] for s in sites])),
            "site_kind": ("site", kinds),
            "site_change": ("site", change),
            "site_sigma": ("site", sigma),
            "site_z": ("site", z),
            "site_p": ("site", p),
            "site_stands_out": ("site", stands_out(p)),
            "kind_sigma": ("kind", np.array([np.median(sigma[kinds == n]) for n in names])),
            "kind_kept": ("kind", share if noise.counted else np.full(len(names), np.nan)),
        },
        {"kind": names},
        {"scatter": told.scatter},
    )
    for name in ("site_y", "site_x"):
        found[name].attrs["units"] = "angstrom"
    return found


def _widened(told: Differences, kinds: NDArray[np.str_]) -> Floats:
    """By what the error of every site is larger than noise makes it: the scatter of its kind, or of all, at least 1."""
    wider = np.full(len(kinds), max(told.scatter, 1.0))
    for kind in np.unique(kinds):
        its = (kinds == kind) & told.plain
        if its.sum() >= _MANY:
            scatter = 1.4826 * float(np.median(np.abs(told.change[its] / told.sigma[its])))
            wider[kinds == kind] = np.maximum(wider[kinds == kind], scatter)
    return wider


def _without_transfer(values: Floats, noise: Conditions, steps: tuple[float, float]) -> Floats:
    """As the matched filter wants an image that the prior leaves as it is: the mean of the cells."""
    shape = (values.shape[0], values.shape[1])
    return fft.irfft2(fft.rfft2(values - values.mean()) / noise.white(shape, steps), shape).ravel()


def _against_structure(
    raw: Floats, gram: Floats, told: Differences, own: NDArray[np.integer], kinds: NDArray[np.str_],
    guest: NDArray[np.bool_], empty: NDArray[np.bool_],
) -> tuple[Floats, Floats]:  # fmt: skip
    """What the level of every site is away from what should be there, 0 or a whole motif; and the size of a whole one.

    What the mean of the cells has at a site, and the level there, add up to what most of its translates have, and with
    its change to what it has itself. A whole motif is the median of those of its kind that have at least half of the
    fullest: the mean has less, where some are missing. Where most translates lack their motif, or most channels are
    filled, the level is clearly that of what should not be.
    """
    columns = np.equal.outer(own, np.arange(len(told.levels))).astype(float)
    has = linalg.pinvh(columns.T @ gram @ columns) @ (columns.T @ raw) + told.levels
    offset, full = np.zeros(len(own)), np.ones(len(own))
    for kind in np.unique(kinds):
        its = kinds == kind
        channel = bool(empty[its].any())
        like = guest if channel else its
        known = (has[own] + np.nan_to_num(told.change))[like]
        high = float(np.quantile(known, _FULLEST)) if len(known) else 0.0
        if high <= 0:
            continue
        whole = float(np.median(known[known > high / 2]))
        full[its] = whole
        state = has[own[its]] / whole
        sure = told.sigma[its] / whole / np.sqrt(np.bincount(own)[own[its]]) < _SURE
        wrong = sure & ((state > 1 - _CLEARLY) if channel else (state < _CLEARLY))
        offset[its] = np.where(wrong, 1.0 if channel else -1.0, 0.0)
    return offset, full


def _whole_of_translates(
    told: Differences, own: NDArray[np.integer], guest: NDArray[np.bool_], empty: NDArray[np.bool_]
) -> Floats:
    """The size of a whole motif where no structure says what should be there; of a hollow, that of the highest peaks.

    A template is the mean of the translates, so that a site has 1, its level and its change of it. Only translates are
    compared, whatever peaks beside them are like: no level is wrong.
    """
    has = 1 + told.levels[own] + np.nan_to_num(told.change)
    full = np.ones(len(own))
    for label in np.unique(own):
        its = own == label
        like = has[guest if empty[its].any() else its]
        high = float(np.quantile(like, _FULLEST)) if len(like) else 0.0
        if high > 0:
            full[its] = np.median(like[like > high / 2])
    return full


def _translates(sites: Sequence[Site], mean: CellMean) -> NDArray[np.integer]:
    """Number of the site of the primitive cell that each is: those that lattice vectors lead to have one level.

    What is planted in some of them is in the mean of the cells at all of them, and at no other site.
    """
    places = (np.array([s.place for s in sites]) - mean.origin) @ mean.lattice.reciprocal.T
    own: list[tuple[str, Floats]] = []
    numbers = []
    for site, place in zip(sites, places, strict=True):
        for n, (kind, first) in enumerate(own):
            away = place - first - np.rint(place - first)
            if kind == site.kind and np.hypot(*(away @ mean.lattice.basis)) < _ALIKE:
                numbers.append(n)
                break
        else:
            numbers.append(len(own))
            own.append((site.kind, place))
    return np.array(numbers)


def _sparse(values: Floats, corner: tuple[int, int], shape: tuple[int, int]) -> sparse.csr_array:
    """A box of an image as a row of all its pixels; what hangs over is cut off."""
    y, x = (np.arange(values.shape[n]) + corner[n] for n in range(2))
    iy, ix = (y >= 0) & (y < shape[0]), (x >= 0) & (x < shape[1])
    index = (y[iy][:, None] * shape[1] + x[ix][None]).ravel()
    data = values[np.ix_(iy, ix)].ravel()
    return sparse.csr_array((data, (np.zeros(len(data), int), index)), shape=(1, shape[0] * shape[1]))


def _template(
    site: Site, placed: Placed, mean: CellMean, image: xr.DataArray, side: int, steps: tuple[float, float]
) -> tuple[tuple[int, int], Floats]:
    """Corner (pixels) of the box of a site, and what a whole motif looks like there."""
    first = np.array([float(image.y[0]), float(image.x[0])])
    corner = np.rint((site.place - first) / steps).astype(int) - side // 2
    y, x = (first[n] + (corner[n] + np.arange(side)) * steps[n] - site.place[n] for n in range(2))
    motif = placed.motifs[site.parent]
    seen = (
        [motif] if len(motif.atoms) else [m for m in placed.motifs if m.guest]
    )  # the clusters of the cell, moved here
    values = np.mean([_seen(m, y, x, placed, mean) for m in seen], axis=0)
    return (int(corner[0]), int(corner[1])), values


def _seen(motif: Motif, y: Floats, x: Floats, placed: Placed, mean: CellMean) -> Floats:
    """A whole motif at places y and x from its middle."""
    if len(motif.weights):
        (ay, ax), width = (motif.atoms @ placed.turn).T, placed.blur
        rows, columns = (np.exp(-((v[:, None] - at) ** 2) / (2 * width**2)) for v, at in ((y, ay), (x, ax)))
        return (rows * (placed.phases[motif.kind] / (2 * np.pi * width**2) * motif.weights)) @ columns.T
    away = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)
    mask = np.exp(-(np.maximum(np.hypot(away[..., 0], away[..., 1]) - motif.reach, 0) ** 2) / (2 * _SOFT**2))
    values = mean.at(placed.origin + motif.place @ placed.turn + away) - np.percentile(mean.mean, VACUUM)
    return mask * np.maximum(values, 0)
