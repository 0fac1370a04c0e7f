"""The verb doctor."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from . import show
from .solve import Gpus, Scheduler, Settings, Workers, engine_overrides


def doctor(
    workers: Workers = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print versions, cores, memory, devices and what would be used; exit code 1 if something is wrong.

    Examples:

        ptychodask doctor

        ptychodask doctor --gpus all

        ptychodask doctor --scheduler tcp://10.0.0.1:8786 --json
    """
    from rich.table import Table
    from rich.text import Text

    from .. import api
    from ..model.config import JobConfig

    job = JobConfig.load(overrides=[*(settings or []), *engine_overrides(workers, gpus, scheduler)])
    found = api.doctor(job)
    if as_json:
        checks = [asdict(check) for check in found.checks]
        typer.echo(json.dumps({"ok": found.ok, "use": found.use, "checks": checks}, indent=2, ensure_ascii=False))
        raise typer.Exit(0 if found.ok else 1)
    table = Table(box=None, show_header=False, pad_edge=False)
    topic = ""
    marks = {True: ("ok", "green"), False: ("no", "bold red"), None: ("", "")}
    for check in found.checks:
        table.add_row(
            check.topic if check.topic != topic else "",
            check.name,
            check.value,
            Text(*marks[check.ok]),
            Text(check.remark, style="red" if check.ok is False else "dim"),
        )
        topic = check.topic
    show.console.print(table)
    show.console.print(f"would use: {found.use}", soft_wrap=True)
    failed = [check.name for check in found.checks if check.ok is False]
    if failed:
        show.console.print(f"wrong: {', '.join(failed)}", soft_wrap=True, style="red")
    raise typer.Exit(0 if found.ok else 1)
