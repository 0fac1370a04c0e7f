"""The verb that searches options of a job."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import show
from .solve import Gpus, Scheduler, Settings, Workers, load_job

if TYPE_CHECKING:
    from ..jobs.tuning import Tuned


def tune(
    data: Annotated[Path, typer.Argument(help="Dataset, a Zarr group.", show_default=False)],
    over: Annotated[
        list[str],
        typer.Option(
            metavar="OPTION=LOW:HIGH|A,B,...",
            help="What to search: a range (LOW:HIGH:log by factors) or values; may be repeated.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Best job to write, for reconstruct --config.")] = Path(
        "best.toml"
    ),
    trials: Annotated[int, typer.Option(min=1, help="Reconstructions in all.")] = 24,
    batch: Annotated[int, typer.Option(min=2, help="Trials that are asked for together.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of what is proposed.")] = 0,
    preset: Annotated[str | None, typer.Option(help="low-dose, medium or high-dose.")] = None,
    config: Annotated[Path | None, typer.Option(help="Job as TOML, see 'ptychodask config'.")] = None,
    settings: Settings = None,
    workers: Workers = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
    top: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another search.")] = False,
) -> None:
    """Search options by the electrons that are held out, and say where the data cannot tell.

    Started again after any end, or with more trials, it goes on: finished ones are in OUTPUT.journal.

    Examples:

        ptychodask tune scan.zarr --over object.thickness=50:200

        ptychodask tune scan.zarr --over object.thickness=50:200 --over object.slices=1,2,4,8 --trials 40 --workers 4

        ptychodask tune scan.zarr --over probe.defocus=400:800 -o focus.toml
    """
    job = load_job(config, settings, preset, workers, scheduler, gpus)
    from .. import api

    try:
        with nullcontext(False) if as_json else show.steps("tune") as progress:
            found = api.tune(
                data,
                over,
                job,
                output=output,
                trials=trials,
                batch=batch,
                seed=seed,
                overwrite=overwrite,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise show.Interrupted("finished trials are kept, the same command goes on") from None
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=1))
        return
    _show(found, top)
    written = output.with_suffix(".toml")
    show.console.print(f"{written}: ptychodask reconstruct {data} -o result.zarr --config {written}", soft_wrap=True)


def _show(found: Tuned, top: int) -> None:
    show.columns(found.columns(), top, breaks=" .", best=True)
    for line in found.verdicts:
        show.console.print(line, soft_wrap=True)
