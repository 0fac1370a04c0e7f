"""The verb that says what two halves of the electrons agree on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import show
from .solve import Gpus, Scheduler, Workers


def halves(
    result: Annotated[Path, typer.Argument(help="Result of all electrons, a Zarr group.", show_default=False)],
    data: Annotated[Path | None, typer.Option(help="Where its dataset is now, if it was moved.")] = None,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="A scan of vacuum too: what its halves share is no specimen.")
    ] = False,
    workers: Workers = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the curve as JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make them anew where the result has them.")] = False,
) -> None:
    """Reconstruct both halves of the electrons, and say to which resolution they agree.

    Every electron goes to one half by lot; both are reconstructed with the job of the result, which takes about twice
    its time, and are added to it: its report then shows the curve. What is interrupted goes on with the same command.

    Examples:

        ptychodask halves result.zarr

        ptychodask halves result.zarr --vacuum --workers 4
    """
    from .. import api
    from ..analysis.halves import told

    given = {"workers": workers, "gpus": gpus, "scheduler": scheduler}
    engine = {name: value for name, value in given.items() if value is not None}
    try:
        with show.reconstruction() as progress:
            found = api.halves(
                result, data, vacuum=vacuum, engine=engine, overwrite=overwrite, progress=False if as_json else progress
            )
    except KeyboardInterrupt:
        raise show.Interrupted("what is finished is kept, the same command goes on") from None
    if as_json:
        plain = {name: [None if v != v else v for v in found[name].values.tolist()]
                 for name in ("frequency", "frc", "threshold", "half_bit", "frc_full", "vacuum")}  # fmt: skip
        limits = {n: None if float(found[n]) != float(found[n]) else float(found[n])
                  for n in ("resolution_angstrom", "peak_angstrom")}  # fmt: skip
        typer.echo(json.dumps({**limits, "told": told(found), **plain}, indent=1))
        return
    for line in told(found):
        show.console.print(line, soft_wrap=True)
    show.console.print(f"the curve is in the report: ptychodask report {result} --overwrite", soft_wrap=True)
