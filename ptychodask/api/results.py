"""Functions of results: figures, correlation, defects, local structure, files for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import _arguments as arguments
from .._errors import InputError
from ..io.atomic import check_output
from ..io.kinds import picture as picture_kind
from .asked import as_result

if TYPE_CHECKING:
    import ase
    import xarray as xr

    from ..analysis.frc import FRC
    from ..analysis.sites import Structure
    from ..io.result import Result


def report(result: Result | str | Path, output: str | Path | None = None, *, overwrite: bool = False) -> dict[str, Any]:
    """Draw a result as one picture (where ``output`` is given) and return its figures.

    Parameters
    ----------
    result : Result or path
    output : path, optional
        Of the picture, whose ending says what is written: ``.png``, ``.pdf``, ``.svg``, ``.jpg``, ``.tif``, ``.webp``
        or ``.eps``; none draws nothing.
    overwrite : bool
        Replace an existing picture.

    Returns
    -------
    dict
        ``resolution_angstrom`` and ``resolution_by``, how it was got; loss, validation, how the loss compares with that
        of Poisson noise around the model (``fit``, ``loss_excess`` in nats per pattern with its standard error), probe
        diameters, what a spectral prior keeps of the contrast of a lone spot (``contrast_kept``, by its sigma in
        angstrom), and, where the dataset holds a truth, correlation, NRMSE, SSIM, slope and ring correlation with it.
        Numbers that do not exist are None, and ``remarks`` says why.

    Raises
    ------
    InputError
        No result, or an output that exists or cannot be written, before anything is drawn.
    OSError
        The disk is full: an existing picture is as it was.
    """
    overwrite = arguments.switch(overwrite, "overwrite")
    target = None if output is None else arguments.path(output, "output")
    if target is not None:
        check_output(target, picture_kind(target), overwrite)
    # matplotlib takes its time to import, and most calls draw nothing
    from ..jobs.figures import report_data
    from ..viz.report import draw_report, report_figures

    data = report_data(as_result(result))
    return report_figures(data) if target is None else draw_report(data, target, overwrite=overwrite)


def ring_correlation(
    first: Result | xr.DataArray | str | Path,
    second: Result | xr.DataArray | str | Path,
    *,
    margin_angstrom: float = 3.3,
    criterion: Literal["half-bit", "1/7", "truth"] = "half-bit",
) -> FRC:
    """Correlation of two phases by spatial frequency, such as those of two halves of the electrons.

    Both lose their plane and are tapered by a Hann window. **It shows what both images share**: of two halves that is
    the specimen, and whatever a prior or a wrong geometry puts into both alike.

    Parameters
    ----------
    first, second : Result, path of one, or DataArray (y, x)
        In one frame, coordinates in angstrom; the second is put on the pixels of the first. The area is the scan of
        the first result less the margin, or all of an array.
    margin_angstrom : float
        Left away at every edge of a scan.
    criterion : {"half-bit", "1/7", "truth"}
        The threshold: for two halves half-bit (van Heel & Schatz 2005) or 1/7; 0.5 where the second image is the truth.

    Returns
    -------
    FRC
        ``q`` in 1/angstrom, ``frc``, ``threshold`` and ``resolution_angstrom``, which is nan where the curve never
        rises above the threshold.

    Raises
    ------
    InputError
        The images do not share the area.

    Examples
    --------
    >>> ptychodask.ring_correlation("half-1.zarr", "half-2.zarr").resolution_angstrom
    """
    from ..analysis.compare import RING_WIDTH, on_grid
    from ..analysis.frc import ring_correlation as correlate
    from ..analysis.spectrum import crop_to_scan, pixel_size

    margin = arguments.number(margin_angstrom, "margin_angstrom", "angstrom at the edge of the scan", 0, 1e4)
    import xarray as xr

    opened = None if isinstance(first, xr.DataArray) else as_result(first)
    area = first if opened is None else crop_to_scan(opened.phase, opened.positions.values, margin)
    other = second if isinstance(second, xr.DataArray) else as_result(second).phase
    assert isinstance(area, xr.DataArray)
    spacing = pixel_size(area)
    pixel_size(other)
    for axis in ("y", "x"):
        low, high = float(other[axis][0]), float(other[axis][-1])
        if low > float(area[axis][0]) + spacing[0] or high < float(area[axis][-1]) - spacing[0]:
            raise InputError(
                f"the second image covers {axis} = {low:.1f} to {high:.1f} A, the first {float(area[axis][0]):.1f} to"
                f" {float(area[axis][-1]):.1f} A: use a larger margin, or images of one frame"
            )
    return correlate(
        area.values.astype(float), on_grid(other, area), spacing, criterion=criterion, ring_width=RING_WIDTH,
        tukey_alpha=1.0,
    )  # fmt: skip


def misfit(result: Result | str | Path) -> xr.Dataset:
    """Where counts and model do not fit each other, on the detector and over the scan, in standard deviations.

    Parameters
    ----------
    result : Result or path
        Whose dataset is still where it was.

    Returns
    -------
    xarray.Dataset
        See :func:`ptychodask.jobs.misfit.misfit_of`: ``detector (ky, kx)`` and ``scan (scan_y, scan_x)``.

    Raises
    ------
    InputError
        No result, or the dataset is not there.

    Examples
    --------
    >>> ptychodask.misfit("result.zarr").detector.plot()
    """
    from ..jobs.misfit import misfit_of

    return misfit_of(as_result(result))


def defects(result: Result | str | Path) -> xr.Dataset:
    """Where a specimen differs from its lattice, in units of the noise, for a result of the spectral prior.

    Parameters
    ----------
    result : Result or path

    Returns
    -------
    xarray.Dataset
        See :func:`ptychodask.analysis.defects.defect_map`: maps ``z`` of missing and added matter at three scales,
        places of the maxima from the highest on, and how many maxima above a threshold noise alone would give.

    Raises
    ------
    InputError
        No result, or one without a lattice and a residual.

    Examples
    --------
    >>> result = ptychodask.reconstruct("scan.zarr", {"object": {"regularisation": "spectral"}})
    >>> found = ptychodask.defects(result)
    >>> print(found[["place_y", "place_x", "place_z", "place_kind"]].isel(place=slice(5)).to_dataframe())
    """
    from ..analysis.defects import defect_map
    from ..jobs.kept import noise_of

    opened = as_result(result)
    residual, lattice, noise = opened.residual, opened.lattice, noise_of(opened)
    if residual is None or lattice is None or noise is None or noise.residual == 0:
        raise InputError(
            f"{opened.path} has no residual beside its lattice: reconstruct with object.regularisation = spectral and"
            " object.residual above 0"
        )
    return defect_map(residual, lattice, opened.positions.values, noise)


def local_structure(
    result: Result | xr.DataArray | str | Path,
    output: str | Path | None = None,
    *,
    structure: ase.Atoms | str | Path | None = None,
    resolution_angstrom: float | None = None,
    overwrite: bool = False,
) -> xr.Dataset:
    """Lattice, motifs, strain and columns of a crystal, each with its error.

    Parameters
    ----------
    result : Result, path of one, or DataArray (y, x)
        A phase in rad with coordinates in angstrom, or a result. With one of the spectral prior, noise follows of the
        dose, the information and the prior; else it is read off the image.
    output : path, optional
        Of a picture, whose ending says what is written.
    structure : ase.Atoms, name or path, optional
        What the crystal should be, as :func:`simulate` has it: clusters, linkers and channels are then compared with
        it. Without one, the peaks and hollows of the mean of the cells are compared with their like.
    resolution_angstrom : float, optional
        Of the strain: the sigma of the Gaussian that every value is a mean of.
    overwrite : bool
        Replace an existing picture.

    Returns
    -------
    xarray.Dataset
        See :func:`ptychodask.analysis.local.local_structure`.

    Raises
    ------
    InputError
        No lattice is found, the field is too small for a mean of cells, or the structure does not fit the image.

    Examples
    --------
    >>> found = ptychodask.local_structure("result.zarr", "structure.png", structure="nu-1000")
    >>> found.sel(site=found.site_stands_out)[["site_kind", "site_y", "site_x", "site_z"]].to_dataframe()
    """
    target = None if output is None else arguments.path(output, "output")
    overwrite = arguments.switch(overwrite, "overwrite")
    if target is not None:
        check_output(target, picture_kind(target), overwrite)
    if resolution_angstrom is not None:
        told = "sigma of the strain's Gaussian in angstrom"
        resolution_angstrom = arguments.number(resolution_angstrom, "resolution_angstrom", told, above=0, high=1e4)
    import numpy as np
    import xarray as xr

    from ..analysis.local import local_structure as analyse
    from ..analysis.spectrum import pixel_size
    from ..jobs.kept import transfer_of_result

    own = None if structure is None else _structure(structure)
    about: dict[str, Any]
    if isinstance(result, xr.DataArray):
        steps, shape = pixel_size(result), result.shape
        positions = np.array([[float(result[a][n]) for a in ("y", "x")] for n in (0, -1)])
        found = analyse(result, positions, structure=own, resolution=resolution_angstrom)
        about = {"title": f"{shape[0]} x {shape[1]} pixels of {steps[0]:.3g} Å"}
    else:
        opened = as_result(result)
        found = analyse(
            opened.phase.load(), opened.positions.values, transfer=transfer_of_result(opened), structure=own,
            resolution=resolution_angstrom,
        )  # fmt: skip
        dose = opened.described.dose_per_square_angstrom
        about = {"title": Path(opened.path).name, "dose_per_square_angstrom": float(dose or "nan")}
    found.attrs |= about
    if target is not None:
        from ..viz.structure import draw_local_structure

        draw_local_structure(found, target, overwrite=overwrite)
    return found


def _structure(structure: ase.Atoms | str | Path) -> Structure:
    """Atoms of a crystal, its cell rectangular."""
    import numpy as np

    from ..analysis.sites import Structure
    from ..viz.atoms import atoms_of

    atoms = atoms_of(structure)
    cell = atoms.cell.array
    if abs(cell * (1 - np.eye(3))).max() > 1e-3:
        raise InputError(
            "the structure's cell is not rectangular: give the path of its file, which is cut to one, or an orthogonal"
            " super-cell with the beam along z"
        )
    return Structure(atoms.numbers, atoms.positions, cell.diagonal())


def export(
    result: Result | str | Path,
    output: str | Path,
    *,
    slices: bool = False,
    layout: Literal["ptychodask", "py4dstem", "ptyrad"] = "ptychodask",
    overwrite: bool = False,
) -> Path:
    """Write a result for other programs, by the ending of ``output``.

    Parameters
    ----------
    result : Result or path
    output : path
        ``.tif``, ``.tiff``: the phase as float32 with its scale, for ImageJ and the like. ``.mrc``: the same for
        programs of electron microscopy. ``.zarr``: the same as OME-Zarr 0.5. ``.h5``, ``.hdf5``: phase, object, probe
        and positions.
    slices : bool
        Images: the phase of every slice instead of the sum.
    layout : {"ptychodask", "py4dstem", "ptyrad"}
        Of HDF5: arrays with units and dimension scales; EMD 1.0, which ``py4DSTEM.read`` opens; groups as in a
        reconstruction of PtyRAD.
    overwrite : bool
        Replace an existing file of the same kind.

    Raises
    ------
    InputError
        No result, or an output that exists or cannot be written.
    OSError
        The disk is full: an existing file is as it was.
    """
    from ..io import export as own
    from ..io import layouts
    from ..model.optics import wavelength
    from ..physics.constraints import phase_of

    output, slices = arguments.path(output, "output"), arguments.switch(slices, "slices")
    overwrite = arguments.switch(overwrite, "overwrite")
    opened, ending = as_result(result), output.suffix.lower()
    hdf5 = ending in (".h5", ".hdf5")
    if layout not in ("ptychodask", "py4dstem", "ptyrad"):
        layouts.refuse_layout(layout)
    if layout != "ptychodask" and not hdf5:
        raise InputError(f"{output}: layout = {layout!r} is one of HDF5: let the name end in .h5")
    if hdf5 and slices:
        raise InputError(f"{output}: HDF5 holds every slice anyway: leave slices out")
    thickness = opened.config.object.thickness_angstrom
    depth = None if thickness is None else thickness / opened.object.sizes["slice"]
    if not hdf5:
        phase = opened.object.copy(data=phase_of(opened.object.values)) if slices else opened.phase
        if ending in (".tif", ".tiff"):
            return own.export_tiff(phase, output, overwrite=overwrite)
        if ending == ".mrc":
            return layouts.export_mrc(phase, output, depth=depth or 1.0, overwrite=overwrite)
        if ending == ".zarr":
            return layouts.export_zarr(phase, output, depth=depth, overwrite=overwrite)
        raise InputError(f"{output}: the ending {ending!r} is not known, use .tif, .mrc, .zarr or .h5")
    arrays = {name: getattr(opened, name) for name in ("phase", "object", "probe", "positions")}
    said = opened.described
    if layout == "ptyrad":
        if said.energy_ev is None:
            raise InputError(f"{opened.path} does not say its energy: reconstruct again")
        facts = {"wavelength_angstrom": wavelength(said.energy_ev), "slice_thickness_angstrom": depth or 0.0}
        return layouts.export_ptyrad(
            opened.object, opened.probe, opened.positions.values, facts, output, overwrite=overwrite
        )
    if layout == "py4dstem":
        known = ("energy_ev", "semi_angle_mrad", "defocus_angstrom", "dose_per_square_angstrom")
        facts = {name: float(value) for name in known if (value := getattr(said, name)) is not None}
        return layouts.export_py4dstem(arrays, facts, output, overwrite=overwrite)
    return own.export_hdf5(arrays, opened.attributes, output, overwrite=overwrite)
