"""Images of a scan as a file: a picture of all, or the images themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...io.atomic import check_output
from ...io.kinds import HDF5, TIFF, Content, picture

if TYPE_CHECKING:
    import xarray as xr

_KINDS = {".h5": HDF5, ".hdf5": HDF5, ".tif": TIFF, ".tiff": TIFF}


def checked(output: Path, overwrite: bool) -> Path:
    """The output, if it can be written."""
    return check_output(output, _kind(output), overwrite)


def _kind(output: Path) -> Content:
    return _KINDS.get(output.suffix.lower()) or picture(output)


def save(images: xr.Dataset, target: Path, overwrite: bool) -> None:
    """Write them."""
    from ...io.export import export_hdf5, export_tiff

    kind = _kind(target)
    if kind is HDF5:
        export_hdf5({str(name): image for name, image in images.items()}, images.attrs, target, overwrite=overwrite)
    elif kind is TIFF:
        export_tiff(stack_of(images), target, overwrite=overwrite)
    else:
        from ...viz.overview import draw_overview  # matplotlib takes its time to import

        draw_overview(images, target, overwrite=overwrite)


def stack_of(images: xr.Dataset) -> xr.DataArray:
    """Images (image, y, x) that have the scan's pixels, in the order of the Dataset."""
    its = images[[name for name in images.data_vars if images[name].dims == ("y", "x")]]
    return its.to_dataarray("image").drop_vars("image")
