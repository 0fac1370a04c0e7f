"""What dataset and job say together, each fact once: microscope, specimen, canvas, blocks, tiles. Loads no solver."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._errors import InputError
from ..analysis.sampling import SamplingReport, sampling_report
from ..io.dataset import DatasetInfo, dataset_facts
from ..io.selected import positions_of
from ..model.blocks import Block, Box, boxes_of, joined_shards, make_blocks
from ..model.config import AUTO_OBJECT_GIB, LARGEST_TILE, JobConfig
from ..model.optics import Microscope, defocus_of
from ..model.places import PlaceRules
from ..model.prior import Information, Spectral, sharper_from, window_side
from ..model.refining import Refine, Refined
from ..model.scan import Canvas, Detector, make_canvas
from ..model.tiles import Rect, Tile, make_tiles
from ..physics.constraints import (
    FURTHER,
    AmplitudeBound,
    Constraint,
    CoupledSlices,
    IdenticalSlices,
    LateralBlur,
    PositivePhase,
    reach_of,
)
from ..physics.views import windows_of
from .geometry import place_rules, refine_rules, room_to_move

THINNEST = 0.5
"""Angstrom. The potential of an atom is about 1 angstrom deep: thinner slices divide atoms, and are work and unknowns
for nothing."""
TANGENT_ABOVE = 4
"""Free slices above which the tangent step is worth its extra pass."""


@dataclass(frozen=True)
class Experiment:
    """A dataset, or what is selected of it, and a job on it.

    Parameters
    ----------
    info : DatasetInfo
    config : JobConfig
    """

    info: DatasetInfo
    config: JobConfig
    geometry: Refined | None = None
    """What was found of it, in place of what the dataset says."""
    refines: bool = False
    """Is it being refined?"""
    padded: int = 0
    """Side to which patterns are padded with a rim that no detector saw; 0 for none."""
    further: tuple[DatasetInfo, ...] = ()
    """Further scans of the same area, each with a probe of its own; ``info`` is the first."""
    offsets: tuple[tuple[float, float], ...] = ()
    """Where the frames of their positions begin in that of the first (y, x), angstrom, once that was found."""
    placed: tuple[Canvas, np.ndarray] | None = None
    """Of one of several scans: the canvas of all, and its own positions on it."""

    # -- several scans -----------------------------------------------------------------------------------------------

    @property
    def infos(self) -> tuple[DatasetInfo, ...]:
        """All datasets."""
        return (self.info, *self.further)

    @cached_property
    def scans(self) -> tuple[Experiment, ...]:
        """Every scan as an experiment of its own, on the canvas of all."""
        if not self.further:
            return (self,)
        ends = np.cumsum([math.prod(info.scan_shape) for info in self.infos])[:-1]
        alone = replace(self, further=(), offsets=())
        parts = zip(self.infos, np.split(self.centres, ends), strict=True)
        return tuple(replace(alone, info=info, placed=(self.canvas, centres)) for info, centres in parts)

    @property
    def shifts(self) -> tuple[tuple[float, float], ...]:
        """Of every further scan, its offset (y, x) in angstrom: found, or said by the job; else 0."""
        return self.offsets or self.config.data.offsets or ((0.0, 0.0),) * len(self.further)

    @property
    def shifts_known(self) -> bool:
        """Is it known where further scans lie?"""
        return bool(self.offsets or self.config.data.offsets)

    @property
    def patterns(self) -> int:
        """Positions of all scans."""
        return sum(math.prod(info.scan_shape) for info in self.infos)

    # -- microscope and specimen -------------------------------------------------------------------------------------

    @cached_property
    def microscope(self) -> Microscope:
        """The dataset's microscope with what the job replaces."""
        microscope, defocus = self.info.microscope, self.config.probe.defocus_angstrom
        replaced: dict[str, float] = {}
        if defocus is not None:
            replaced["C10"] = 0.0 - defocus_of(defocus, "probe.defocus_angstrom")
        if self.geometry is not None:
            replaced |= self.geometry.aberrations
        return replace(microscope, aberrations={**microscope.aberrations, **replaced}) if replaced else microscope

    @cached_property
    def detector(self) -> Detector:
        """The dataset's detector, with what is padded."""
        return replace(self.info.detector, pixels=self.padded) if self.padded else self.info.detector

    @property
    def thickness(self) -> float | None:
        """Thickness in angstrom from the job, else from the dataset, else None."""
        return self.config.object.thickness_angstrom or self.info.attributes.get("thickness_angstrom")

    @cached_property
    def slices(self) -> int:
        """Number of slices S: the job's, else one per half depth of field of the thickness.

        Raises
        ------
        InputError
            If the job wants several of an unknown thickness, or thinner ones than an atom.
        """
        wanted, thickness = self.config.object.slices, self.thickness
        if wanted is None:
            half = 0.5 * self.info.microscope.depth_of_field
            return 1 if thickness is None else max(1, math.ceil(thickness / half))
        if wanted > 1 and thickness is None:
            raise InputError(
                f"object.slices = {wanted} needs the thickness, which the dataset does not say:"
                " set object.thickness_angstrom, or object.slices = 1"
            )
        if thickness is not None and wanted > 1 and thickness / wanted < THINNEST:
            raise InputError(
                f"object.slices = {wanted} for {thickness:g} A are slices of {thickness / wanted:.2g} A, at least"
                f" {THINNEST:g} A are allowed: set object.slices to at most {max(1, math.floor(thickness / THINNEST))},"
                " or leave it unset"
            )
        return wanted

    @cached_property
    def sampling(self) -> SamplingReport:
        """Sampling, dose, probe and positions; reads no counts.

        Recorded positions are compared with the scan where all of it is used: a selection may turn it round, or leave
        gaps, and so may a calibration.
        """
        info = self.info
        compared = info.selection is None or bool(info.selection.positions)
        report = sampling_report(
            self.microscope,
            info.detector.pixels,
            info.detector.angular_step_mrad,
            info.scan_step,
            info.scan_shape,
            self.electrons_per_pattern,
            slices=self.slices,
            modes=self.config.probe.modes,
            thickness_angstrom=self.thickness,
            positions=positions_of(info, recorded=True).reshape(*info.scan_shape, 2) if compared else None,
        )
        return replace(report, facts=dataset_facts(info))

    # -- object ------------------------------------------------------------------------------------------------------

    @cached_property
    def _placed(self) -> tuple[Canvas, np.ndarray]:
        if self.placed is not None:
            return self.placed
        pixels, wavelength = self.detector.pixels, self.microscope.wavelength
        positions, pixel = positions_of(self.info), self.detector.pixel_angstrom(wavelength)
        if self.geometry is not None:
            positions = self.geometry.placed(positions)
        if self.further:
            others = [positions_of(info) + np.array(by) for info, by in zip(self.further, self.shifts, strict=True)]
            positions = np.concatenate([positions, *others])
        if self.refines:
            return make_canvas(positions, pixels, pixel, 4 + room_to_move(self.config, positions, pixel))
        return make_canvas(positions, pixels, pixel, 4 + self._room)

    @property
    def canvas(self) -> Canvas:
        """The object's canvas."""
        return self._placed[0]

    @property
    def centres(self) -> np.ndarray:
        """Positions [J, 2] in canvas pixels, one scan after the other."""
        return self._placed[1]

    @property
    def _room(self) -> int:
        """Pixels that patterns may go, each on its own."""
        rules = self.places
        return 0 if rules is None else math.ceil(rules.limit) + 1  # their mean is taken out after that bound

    @property
    def places(self) -> PlaceRules | None:
        """How patterns move each on its own; not while the geometry of all is refined."""
        return (
            None if self.refines else place_rules(self.config, self.detector.pixel_angstrom(self.microscope.wavelength))
        )

    @cached_property
    def refine(self) -> Refine | None:
        """What moves of the geometry while it is refined."""
        if not self.refines:
            return None
        pixels = self.detector.pixels
        return refine_rules(self.config, self.info, self.microscope, self.canvas, self.centres, pixels)

    @property
    def object_dtype(self) -> np.dtype:
        """Real or complex phases."""
        return np.dtype(np.float32 if self.config.object.kind == "phase" else np.complex64)

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """On the object after every update: amplitude bound, positivity, lateral blur, what else the job lists, then
        coupling of the slices."""
        rules, found = self.config.object, list[Constraint]()
        if rules.kind == "complex" and rules.amplitude_max is not None:
            found.append(AmplitudeBound(rules.amplitude_max))
        if rules.positivity:
            found.append(PositivePhase())
        if rules.blur_angstrom > 0:
            found.append(LateralBlur(rules.blur_angstrom / self.canvas.pixel))
        found += [FURTHER[said.kind](said, self.canvas.pixel) for said in rules.further]
        if rules.regularisation == "spectral":  # keeps slices identical
            return tuple(found)
        if rules.coupling == "identical":
            found.append(IdenticalSlices())
        elif rules.coupling == "gaussian" and self.slices > 1 and self.thickness:
            found.append(CoupledSlices(rules.coupling_sigma_angstrom * self.slices / self.thickness))
        return tuple(found)

    @cached_property
    def spectral(self) -> Spectral | None:
        """The object's spectral prior, where the job wants one.

        Raises
        ------
        InputError
            For data that are no counted electrons: their noise is not known.
        """
        rules = self.config.object
        if rules.regularisation != "spectral":
            return None
        if not self.counts_are_whole:
            raise InputError(
                f"object.regularisation = spectral needs whole electrons, the counts are {self.info.dtype}: count them,"
                " or set object.regularisation = blur"
            )
        return Spectral(
            side=self._window,
            pixel=self.canvas.pixel,
            floor=rules.aperiodic_floor,
            sharpen_at=sharper_from(self.split_iterations[0]),
            residual=rules.residual,
            residual_at=self.config.solver.iterations - 1,
            eases=self.config.solver.rounds_per_iteration == 1 and not self.refines,
        )

    @cached_property
    def _window(self) -> int:
        """Side in pixels of the windows in which spectra are measured."""
        field = float(np.ptp(self.centres, axis=0).min())
        return window_side(self.detector.pixels, self.config.object.spectral_window, field, self.canvas.shape)

    def information(self, begins_finish: int | None) -> Information | None:
        """How it is measured what the electrons carry: at the start of each stage of the spectral prior, or with a blur
        in the first update of a finish, which begins at ``begins_finish``; None where that cannot be known: for counts
        that are no electrons, and where an update takes a part of the blocks."""
        if not self.counts_are_whole or self.config.solver.rounds_per_iteration > 1:
            return None
        spectral, begins = self.spectral, () if begins_finish is None else (begins_finish,)
        at = begins if spectral is None else (0, spectral.sharpen_at)
        cutoff = 0.6 * self.microscope.semi_angle / self.microscope.wavelength
        return Information(self._window, self.canvas.pixel, cutoff, at)

    @property
    def margin(self) -> int:
        """Pixels around a tile that its next object depends on."""
        return reach_of(self.constraints) if self.spectral is None else self.spectral.side

    @property
    def split_iterations(self) -> tuple[int, int]:
        """Largest number of iterations of the fit, and number of those of the finish."""
        total = self.config.solver.iterations
        finish = 0 if self.train_fraction is None else min(self.config.solver.finish, total // 2)
        return total - finish, finish

    @cached_property
    def tile_side(self) -> int | None:
        """Side of the object's tiles in pixels, None where the object stays whole: from the scan and the job alone.

        With a bound on memory, the largest side whose tile with its halo takes a quarter of it, so that a worker can
        hold some tiles besides what is on its way.
        """
        engine, n = self.config.engine, self.detector.pixels
        bound = AUTO_OBJECT_GIB if engine.object_gib == "auto" else engine.object_gib
        if engine.tile_pixels is not None or bound is None:
            return engine.tile_pixels
        # object and anchor of the state that is looked at, of the next and of the best; gradient and direction;
        # illumination and weight, which are real, and as much in a merge; benchmarks/tiles.py: 49 bytes for phases
        pixel_bytes = self.slices * (8 * self.object_dtype.itemsize + 4 * 4)
        if math.prod(self.canvas.shape) * pixel_bytes <= bound * 2**30:
            return None
        halo = n + 2 * self.margin
        side = int(math.sqrt(bound * 2**30 / 4 / pixel_bytes)) - halo
        if side < n:
            least = 4 * (n + halo) ** 2 * pixel_bytes / 2**30
            raise InputError(f"engine.object_gib = {bound:g} holds no tile of {n} pixels: use at least {least:.3g}")
        return min(side, LARGEST_TILE)

    # -- scan --------------------------------------------------------------------------------------------------------

    @property
    def excluded(self) -> tuple[Box, ...]:
        """Positions that the job lists as not to be used, by their numbers in the store; in the scan of a selection."""
        listed, selection = self.config.data.exclude, self.info.selection
        boxes = () if listed is None or listed == "misfired" else boxes_of(listed)
        return boxes if selection is None else selection.places(boxes)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The scan's blocks, without what the job leaves out."""
        return self.blocks_without(())

    def blocks_without(
        self, left_out: tuple[Box, ...], on_device: bool = False, of_further: tuple[tuple[Box, ...], ...] = ()
    ) -> tuple[Block, ...]:
        """The scan's blocks, the job's or else whole shards of the dataset, without what is left out by the job or
        besides; larger ones for a device.

        Of a selection, the job's are counted within it, and the shards in the store: a shard is read by one block.
        Those of further scans follow, without what is left out ``of_further`` ones.
        """
        if not self.further:
            return self._blocks_without(left_out, on_device)
        out = (left_out, *(of_further or ((),) * len(self.further)))
        parts = [scan._blocks_without(boxes, on_device) for scan, boxes in zip(self.scans, out, strict=True)]
        numbered = ((block, s) for s, part in enumerate(parts) for block in part)
        return tuple(replace(block, index=i, scan=s) for i, (block, s) in enumerate(numbered))

    def _blocks_without(self, left_out: tuple[Box, ...], on_device: bool) -> tuple[Block, ...]:
        info, left_out = self.info, self.excluded + left_out
        if self.config.engine.block is not None:
            return make_blocks(info.scan_shape, self.config.engine.block, left_out)
        least = max(1, self.config.solver.rounds_per_iteration) if on_device else 0
        sides = joined_shards(info.scan_shape, info.shard, least)
        if info.selection is not None:
            sides = info.selection.stored_sides(sides)
        return make_blocks(info.scan_shape, sides, left_out, info.selection)

    def windows(self, blocks: tuple[Block, ...]) -> list[Rect]:
        """Part of the canvas that every block touches."""
        scans, pixels = self.scans, self.detector.pixels
        its = ((block, scans[block.scan]) for block in blocks)
        found = (windows_of([block], scan.centres, scan.info.scan_shape, pixels)[0] for block, scan in its)
        return [window.grown(self._room, self.canvas.shape) for window in found]

    def tiles(self, blocks: tuple[Block, ...]) -> tuple[Tile, ...]:
        """The object's tiles for a scan in blocks; a whole object is one."""
        shape = self.canvas.shape
        return make_tiles(shape, self.tile_side or max(shape), self.windows(blocks), self.margin)

    # -- method ------------------------------------------------------------------------------------------------------

    @property
    def counts_are_whole(self) -> bool:
        """Only whole electrons can be thinned for validation."""
        return np.dtype(self.info.dtype).kind == "u"

    @property
    def electrons_per_pattern(self) -> float:
        """Of the electrons that the job uses, in the mean."""
        whole = float(self.info.attributes["electrons_per_pattern"])
        if self.further:
            all_ = ((scan, math.prod(scan.scan_shape)) for scan in self.infos)
            whole = sum(float(s.attributes["electrons_per_pattern"]) * n for s, n in all_) / self.patterns
        return whole if self.config.data.half is None else whole / 2

    @property
    def dose(self) -> float:
        """Of the electrons that the job uses, per square angstrom; of several scans, where all of them are."""
        whole = sum(float(info.attributes["dose_per_square_angstrom"]) for info in self.infos)
        return whole if self.config.data.half is None else whole / 2

    @property
    def train_fraction(self) -> float | None:
        """Share of the electrons to train on, None where nothing is held out."""
        held = self.config.solver.validation_fraction
        return None if held is None or not self.counts_are_whole else 1 - held

    @cached_property
    def searches_line(self) -> bool:
        """Does every iteration search along its direction (the tangent step) instead of taking the pooled step over S?

        Pooled steps are the more pessimistic the more slices move independently; slices that are tied together move as
        one, and there the pooled step is right. A Gaussian coupling leaves about one free slice to two sigma.
        """
        if self.config.object.regularisation == "spectral":
            return False
        if self.config.solver.step_rule != "auto":
            return self.config.solver.step_rule == "tangent"
        rules = self.config.object
        free: float = 1 if rules.coupling == "identical" else self.slices
        if rules.coupling == "gaussian":
            free = min(self.slices, (self.thickness or 0.0) / (2 * rules.coupling_sigma_angstrom))
        return free > TANGENT_ABOVE
