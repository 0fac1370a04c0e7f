"""The verb that follows a file while a scan is written into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import show
from .files import takes_file
from .solve import Gpus, Scheduler, Settings, Workers, load_job


@takes_file
def watch(
    file: Annotated[
        Path,
        typer.Argument(help="What is being written, a file or a dataset; it may appear later.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Result to write, a Zarr group.", show_default=False)],
    data: Annotated[Path | None, typer.Option(help="Dataset to write; RESULT-scan.zarr by default.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Picture of what is there; RESULT-live.png by default.")] = None,
    finish: Annotated[
        str, typer.Option(help="exact: the result of import and reconstruct; warm: sooner, from the object so far.")
    ] = "exact",
    patience: Annotated[float, typer.Option(help="Seconds without growth after which the file has ended.")] = 60.0,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Find rotation, defocus and the rest as 'ptychodask calibrate' does.")
    ] = False,
    dwell: Annotated[float | None, typer.Option(help="Timepix3: microseconds per position.")] = None,
    preset: Annotated[str | None, typer.Option(help="low-dose, medium or high-dose.")] = None,
    config: Annotated[Path | None, typer.Option(help="Job as TOML, see 'ptychodask config'.")] = None,
    settings: Settings = None,
    workers: Workers = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace result and dataset, and drop what an interrupt left.")
    ] = False,
    **said: Any,
) -> None:
    """See the image while the microscope still scans.

    Follows a file of frames (EMPAD, Merlin, .npy, raw) or hits (Timepix3), or a dataset to which another process
    appends, imports the rows that are whole, iterates over them, and draws what is there; at the end of the scan it
    writes dataset and result. docs/watch.md. Options of a file are those of 'ptychodask import', without
    --allow-partial, which is always so, and --dataset, as HDF5 and .npz files cannot be followed.

    Examples:

        ptychodask watch scan.mib -o result.zarr --scan 256 256 --energy 300 --semi-angle 10 --step 1.05

        ptychodask watch scan.zarr -o result.zarr

        ptychodask watch scan_x128_y128.raw -o result.zarr --count --energy 300 --semi-angle 20 --step 0.4 --finish warm

    Ctrl-C, SIGTERM and a kill lose nothing: the same command goes on.
    """
    from .. import api

    job = load_job(config, settings, preset, workers, scheduler, gpus)
    try:
        with show.reconstruction() as progress:
            result = api.watch(
                file,
                output,
                job,
                data=data,
                picture=output.with_name(f"{output.stem}-live.png") if picture is None else picture,
                finish=finish,  # type: ignore[arg-type]  # which says what may be given
                patience_seconds=patience,
                calibrate=calibrate,
                overwrite=overwrite,
                progress=progress,
                dwell_us=dwell,
                **said,
            )
    except KeyboardInterrupt:
        raise show.Interrupted("the same command goes on") from None
    figures = api.report(result)
    show.remarks(figures)
    show.console.print(f"{output}: {show.summary(result, figures)}", soft_wrap=True)
