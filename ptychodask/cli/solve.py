"""Verbs that reconstruct: demo, config, reconstruct, resume, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import InputError
from . import show

if TYPE_CHECKING:
    from ..model.config import JobConfig

Settings = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="SECTION.NAME=VALUE", help="Set one option; may be repeated."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Local worker processes; threads of this process by default.")]
Gpus = Annotated[str | None, typer.Option(metavar="all|0,1", help="One worker per CUDA device: all, or their numbers.")]
Scheduler = Annotated[str | None, typer.Option(help="Address of a running Dask scheduler, tcp://... or tls://...")]

MaskDamaged = Annotated[
    bool, typer.Option("--mask-damaged", help="Leave out positions whose chunks are damaged or missing.")
]


def engine_overrides(workers: int | None, gpus: str | None, scheduler: str | None) -> list[str]:
    """Where to run, as overrides of a job."""
    place = {"workers": workers, "gpus": gpus, "scheduler": scheduler}
    return [f"engine.{name}={value}" for name, value in place.items() if value is not None]


def config(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema instead.")] = False,
    preset: Annotated[str, typer.Option(help="low-dose, medium or high-dose.")] = "low-dose",
) -> None:
    """Print a commented default job, or its JSON schema.

    Examples:

        ptychodask config > job.toml

        ptychodask config --preset high-dose

        ptychodask config --schema
    """
    from ..model.config import JobConfig, commented_default

    JobConfig.parse({"preset": preset})
    typer.echo(json.dumps(JobConfig.model_json_schema(), indent=2) if schema else commented_default(preset).rstrip())


def load_job(
    config: Path | None,
    settings: list[str] | None,
    preset: str | None,
    workers: int | None,
    scheduler: str | None,
    gpus: str | None = None,
    mask_damaged: bool = False,
) -> JobConfig:
    """The job that options describe."""
    from ..model.config import JobConfig  # half a second, for which no help text has to wait

    overrides = [*(settings or []), *engine_overrides(workers, gpus, scheduler)]
    overrides += ["data.on_damage=mask"] if mask_damaged else []
    return JobConfig.load(config, overrides, preset)


def reconstruct(
    data: Annotated[
        list[Path], typer.Argument(help="Dataset, a Zarr group; or several scans of one area.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Result to write, a Zarr group.", show_default=False)],
    preset: Annotated[str | None, typer.Option(help="low-dose, medium or high-dose.")] = None,
    config: Annotated[Path | None, typer.Option(help="Job as TOML, see 'ptychodask config'.")] = None,
    settings: Settings = None,
    workers: Workers = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
    mask_damaged: MaskDamaged = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing result.")] = False,
) -> None:
    """Reconstruct object and probe.

    Examples:

        ptychodask reconstruct scan.zarr -o result.zarr

        ptychodask reconstruct scan.zarr -o result.zarr --set object.slices=4 --set object.thickness_angstrom=34

        ptychodask reconstruct scan.zarr -o result.zarr --config job.toml --workers 4

        ptychodask reconstruct scan.zarr -o result.zarr --gpus all

        ptychodask reconstruct near.zarr far.zarr -o result.zarr

    Ctrl-C, SIGTERM (exit code 143) and a closed terminal (129) leave a checkpoint, as do the loss of the cluster and a
    full disk; go on with: ptychodask resume result.zarr
    """
    job = load_job(config, settings, preset, workers, scheduler, gpus, mask_damaged)
    from .. import api

    _solve(
        lambda progress: api.reconstruct(
            data if len(data) > 1 else data[0], job, output=output, overwrite=overwrite, progress=progress
        ),
        output,
    )


def resume(
    output: Annotated[
        Path, typer.Argument(help="The result that the interrupted run was to write.", show_default=False)
    ],
    data: Annotated[Path | None, typer.Option(help="Where the dataset is now, if it was moved.")] = None,
    workers: Workers = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
) -> None:
    """Continue an interrupted run; the result has the same bits as if it had not been interrupted.

    They are those of one kind of processor: where it runs on another one than at the start, it says so.

    A run that is finished is left as it is, with exit code 0.

    Examples:

        ptychodask resume result.zarr

        ptychodask resume result.zarr --workers 4

        ptychodask resume result.zarr --data /elsewhere/scan.zarr
    """
    from .. import api

    given = {"workers": workers, "gpus": gpus, "scheduler": scheduler}
    engine = {name: value for name, value in given.items() if value is not None}
    _solve(lambda progress: api.resume(output, data=data, engine=engine, progress=progress), output)


def _solve(run: Any, output: Path) -> None:
    from .. import api

    try:
        with show.reconstruction() as progress:
            result = run(progress)
    except KeyboardInterrupt:
        if _holds_a_run(output):
            raise show.Interrupted(f"{output} resumes with: ptychodask resume {output}") from None
        raise
    _tell(output, result, api.report(result))


def _holds_a_run(output: Path) -> bool:
    """Is there anything to resume? Not where the interrupt came before the run had its folder, whose it ever is."""
    from ..io.checkpoint import RunFolder

    try:
        return RunFolder.of(output).identity() is not None
    except InputError:
        return False


def _tell(path: Path, result: Any, figures: dict[str, Any]) -> None:
    show.remarks(figures)
    show.console.print(f"{path}: {show.summary(result, figures)}", soft_wrap=True)


def report(
    result: Annotated[Path, typer.Argument(help="Result, a Zarr group.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Picture to write: .png, .pdf, .svg, .jpg, ...; RESULT.png by default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON and draw only with -o.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing picture.")] = False,
) -> None:
    """Draw a result as one picture, and print its figures.

    Examples:

        ptychodask report result.zarr

        ptychodask report result.zarr -o figure.pdf --overwrite

        ptychodask report result.zarr --json
    """
    from .. import api

    if output is None and not as_json:
        output = result.with_suffix(".png")
    opened = api.open_result(result)
    figures = api.report(opened, output, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    assert output is not None
    _tell(output, opened, figures)
    for text in opened.warnings:
        show.warning(text)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for dataset, result and picture.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A smaller scan, under a minute.")] = False,
    workers: Workers = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in that folder.")] = False,
) -> None:
    """From a crystal to an atomic image: NU-1000 at 100 electrons per square angstrom.

    Simulates the metal-organic framework along [001] (10 mrad, 60 nm defocus, step 1.05 A), reconstructs it and
    draws the report. Under 4 minutes on 2 cores.

    Examples:

        ptychodask demo

        ptychodask demo --quick --out /tmp/demo
    """
    from .. import api
    from ..io.atomic import check_output, check_outside, resolved
    from ..io.kinds import DATASET, RESULT, picture

    out = resolved(out)
    check_outside(out / "any")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made ({error.strerror}): choose another folder with --out") from None
    scan, result, page = out / "nu-1000.zarr", out / "nu-1000-result.zarr", out / "nu-1000.png"
    for path, kind in ((scan, DATASET), (result, RESULT), (page, picture(page))):
        check_output(path, kind, overwrite)
    side = 40 if quick else 64
    with show.steps("simulate NU-1000") as progress:
        api.simulate(
            scan,
            "nu-1000",
            thickness_angstrom=50,
            scan_shape=(side, side),
            workers=workers,
            overwrite=overwrite,
            slice_thickness_angstrom=4.0 if quick else 2.0,
            progress=progress,
        )
    from ..model.config import JobConfig

    job = JobConfig.parse(
        {
            "object": {"slices": 2},
            "solver": {"iterations": 12} if quick else {},
            "engine": {"workers": workers},
        }
    )
    with show.reconstruction() as progress:
        reconstructed = api.reconstruct(scan, job, output=result, overwrite=overwrite, progress=progress)
    _tell(page, reconstructed, api.report(reconstructed, page, overwrite=overwrite))
