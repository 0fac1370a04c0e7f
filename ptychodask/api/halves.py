"""What two halves of the electrons agree on: the figure that a resolution is read from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _arguments as arguments
from ..distributed.process import check_process
from .asked import as_result, asked_for
from .progress import observing

if TYPE_CHECKING:
    import xarray as xr

    from ..distributed.cluster import Client
    from ..io.result import Result


def halves(
    result: Result | str | Path,
    data: str | Path | xr.Dataset | None = None,
    client: Client | None = None,
    *,
    vacuum: bool = False,
    engine: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: Any = None,
) -> xr.Dataset:
    """Reconstruct two halves of the electrons, each on its own, and say what they agree on.

    Every electron goes to one of two halves by lot: of Poisson counts both are Poisson, and independent. Both are
    reconstructed with the job of the result. Their phases are added to the result, whose report then shows the curve;
    a result that has them is only read. What is interrupted goes on with the same call. **It takes about twice the
    time of the result**: half of the electrons is hardly less work.

    Parameters
    ----------
    result : Result or path
        Of all electrons.
    data : path or Dataset, optional
        Its dataset, where it was moved or only a part of it was used.
    client : distributed.Client, optional
        Where to run; by default as the result's job says.
    vacuum : bool
        The same for a scan of vacuum with the same probe, positions and electrons: what its halves agree on is no
        specimen, and nothing is claimed below. As long again.
    engine : dict, optional
        Replaces options of the job's engine, such as ``{"workers": 4}``.
    overwrite : bool
        Make them anew where the result has them.
    progress
        As for :func:`reconstruct`.

    Returns
    -------
    xarray.Dataset
        See :func:`ptychodask.analysis.halves.agreement`: ``frc`` and its ``threshold`` by ``frequency``,
        ``resolution_angstrom``, ``peak_angstrom``.

    Raises
    ------
    InputError
        No result, one of a half, or a dataset that is not there or another one.

    Examples
    --------
    >>> found = ptychodask.halves("result.zarr")
    >>> float(found.resolution_angstrom)
    >>> ptychodask.plots.halves(found)
    """
    from ..analysis.halves import agreement_of
    from ..distributed.cluster import a_place
    from ..jobs.halves import make_halves

    check_process()
    opened, client = as_result(result), a_place(client)
    vacuum, overwrite = arguments.switch(vacuum, "vacuum"), arguments.switch(overwrite, "overwrite")
    options = arguments.mapping(engine, "engine", "options of config.engine")
    known = opened.halves
    if overwrite or known is None or (vacuum and "vacuum_first" not in known):
        with observing(progress) as observers:
            if data is None:
                make_halves(opened, None, vacuum=vacuum, engine=options, client=client, observers=observers)
            else:
                whole = opened.config.data.on_damage == "stop"
                with asked_for(data, whole=whole) as dataset:
                    make_halves(opened, dataset, vacuum=vacuum, engine=options, client=client, observers=observers)
        known = opened.halves
    assert known is not None
    return agreement_of(known)
