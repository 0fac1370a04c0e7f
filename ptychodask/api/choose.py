"""Functions of many reconstructions: which optics, which conditions, which options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _arguments as arguments
from ..distributed.process import check_process
from ..io.atomic import check_output
from ..model.config import JobConfig
from .asked import as_config, asked_for
from .progress import counting
from .scratch import scratch

if TYPE_CHECKING:
    import xarray as xr

    from ..distributed.cluster import Client
    from ..jobs.advising import Advice
    from ..jobs.tuning import Tuned
    from ..simulation.run import Steps


def advise(material: str | Path, *, progress: Steps | bool | None = None, **options: Any) -> Advice:
    """See :func:`ptychodask.jobs.advising.advise`; ``progress`` may be True for a bar, or False for nothing.

    Examples
    --------
    >>> print(ptychodask.advise("zif-8", thickness_angstrom=34, dose_per_square_angstrom=100))
    """
    from ..jobs import advising

    check_process()
    with counting(progress, f"advise {material}") as shown:
        return advising.advise(str(material), progress=shown, **options)


def study(
    document: str | Path | Mapping[str, Any],
    output: str | Path,
    *,
    picture: str | Path | None = None,
    overwrite: bool = False,
    progress: Steps | bool | None = None,
    **options: Any,
) -> xr.Dataset:
    """See :func:`ptychodask.jobs.studying.run.study`; ``progress`` may be True for a bar, or False for nothing.

    ``picture`` is a path where images, error curves and resolution are drawn on one page.

    Examples
    --------
    >>> axes = {"semi_angle_mrad": [5, 10, 21], "dose_per_square_angstrom": [30, 100, 300]}
    >>> found = ptychodask.study({"simulate": {"material": "zif-8"}, "axes": axes}, "study.zarr", picture="study.png")
    """
    from ..io import kinds
    from ..jobs.studying import run as studying

    check_process()
    target = None if picture is None else arguments.path(picture, "picture")
    if target is not None:
        check_output(target, kinds.picture(target), arguments.switch(overwrite, "overwrite"))
    with counting(progress, "study") as shown:
        found = studying.study(document, output, overwrite=overwrite, progress=shown, **options)
    if target is not None:
        from ..viz.study import draw_study

        draw_study(found, target, overwrite=overwrite)
    return found


def tune(
    data: str | Path | xr.Dataset,
    over: Mapping[str, Any] | Sequence[str],
    config: JobConfig | dict[str, Any] | str | Path | None = None,
    client: Client | None = None,
    *,
    output: str | Path | None = None,
    trials: int = 24,
    batch: int = 8,
    seed: int = 0,
    overwrite: bool = False,
    progress: Steps | bool | None = None,
) -> Tuned:
    """Search options of a job by what reconstructions lose of the electrons that are held out of them.

    Trials run side by side, each on one thread of the cluster. They are asked for in batches: what is tried does not
    depend on the number of workers. The first batch has the job's own values and, along a lone range, values at equal
    distances; later ones come from optuna's Parzen estimator.

    Parameters
    ----------
    data, config, client
        As for :func:`reconstruct`; ``config.engine`` says where to run the trials.
    over : dict or list of text
        ``{"object.thickness_angstrom": (50, 200), "object.slices": [1, 2, 4]}``: a tuple is a range, a list has values;
        or texts such as ``"object.thickness=50:200"`` and ``"solver.epsilon=0.01:1:log"``.
    output : path, optional
        Of the best job, as TOML. Beside it, ``OUTPUT.journal`` keeps all trials: a search that was killed, or that gets
        more ``trials``, goes on.
    trials, batch : int
        In all, and asked for at a time.
    seed : int
        Of what is proposed.
    overwrite : bool
        Replace another search at ``output``.
    progress : callable or bool, optional
        Called with a label, the number of finished and of all trials; True shows a bar, False nothing.

    Returns
    -------
    Tuned
        ``best``, ``config`` (the job of the best trial), ``verdicts`` (what the data say of each option, and where they
        cannot tell), ``trials``.

    Raises
    ------
    InputError
        For options that cannot be searched over, data of which nothing is held out, or without the extra ``tune``.

    Examples
    --------
    >>> found = ptychodask.tune("scan.zarr", {"object.thickness_angstrom": (50, 200)}, output="best.toml")
    >>> print(found)
    >>> ptychodask.reconstruct("scan.zarr", found.config)
    """
    from ..distributed.cluster import a_place
    from ..io.kinds import JOB
    from ..jobs import tuning
    from ..model.search import options_of

    check_process()
    job, options, overwrite = as_config(config), options_of(over), arguments.switch(overwrite, "overwrite")
    trials = arguments.whole(trials, "trials", "the number of trials", 1, 100_000)
    batch = arguments.whole(batch, "batch", "the number of trials that are asked for together", 2, 1000)
    seed = arguments.whole(seed, "seed", "the key of what is proposed")
    arguments.function(None if isinstance(progress, bool) else progress, "progress", ("label", "done", "of"))
    client = a_place(client)
    target = None if output is None else check_output(arguments.path(output, "output"), JOB, True)
    with asked_for(data, whole=job.data.on_damage == "stop") as dataset, counting(progress, "tune") as shown:
        journal = (target or scratch() / "best.toml").with_suffix(".journal")
        return tuning.tune(
            dataset, options, job, journal, target=target, trials=trials, batch=batch, seed=seed, client=client,
            overwrite=overwrite, progress=shown,
        )  # fmt: skip
