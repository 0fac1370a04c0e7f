"""Before the first iteration, workers are asked: do they see this dataset, can they write where the result will be?

They read the counts, and write checkpoints and result themselves. Asked are all that are there; one that joins later is
taken at its word.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import InputError
from .._processor import processor
from ..distributed.site import site_of
from ..io.atomic import hidden_beside, remove
from ..io.dataset import DatasetInfo, dataset_info


@dataclass(frozen=True)
class Answer:
    """What a worker says: what is wrong, and what it left for the client to find."""

    trouble: str = ""
    left: tuple[str, ...] = ()


def check_places(client: Any, dataset: DatasetInfo, outputs: Sequence[Path]) -> None:
    """Ask every worker for the dataset and for the folders of outputs.

    Parameters
    ----------
    client : distributed.Client
        One whose workers are threads of this process is not asked.
    dataset : DatasetInfo
        As this process sees it.
    outputs : sequence of Path
        What workers will write: each leaves something beside them, which this process has to find and to remove.

    Raises
    ------
    InputError
        Naming the worker's address, the path and the remedy.
    """
    if site_of(client).in_process:
        return
    names = [str(output) for output in outputs]
    answers = client.run(ask, dataset.path, str(dataset.attributes["fingerprint"]), names, on_error="return")
    try:
        for address, answer in sorted(answers.items()):
            if isinstance(answer, OSError):
                continue  # it died, or cannot be reached: the cluster's affair
            trouble = answer.trouble or _not_here(answer.left) if isinstance(answer, Answer) else _no_answer(answer)
            if trouble:
                raise InputError(f"worker {address} {trouble}")
    except BaseException:  # there may be more, also on a file system of its own
        left = [path for answer in answers.values() if isinstance(answer, Answer) for path in answer.left]
        client.run(clear, left, on_error="ignore")
        raise


def _no_answer(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return f"cannot run ptychodask ({type(error).__name__}: {text}): install the version of this process there"


def _not_here(left: tuple[str, ...]) -> str:
    """Why what a worker left cannot be found and removed by this process; nothing where it can."""
    for path in map(Path, left):
        if not path.exists():
            return (
                f"writes to another {path.parent} than this process: give an output that all workers can write, on a"
                " file system that all machines share"
            )
        try:
            remove(path)
        except OSError as error:
            return (
                f"writes files in {path.parent} that this process cannot remove ({error.strerror}): run workers and"
                " this process as one user"
            )
    return ""


def ask(data: str, fingerprint: str, outputs: list[str]) -> Answer:
    """On a worker: read the dataset, and leave a folder with a file beside every output."""
    trouble = _unreadable(data, fingerprint)
    if trouble:
        return Answer(trouble)
    left: list[str] = []
    for output in map(Path, outputs):
        path = hidden_beside(output)
        try:
            path.mkdir()
            left.append(str(path))
            (path / "asked").write_bytes(b"x")
        except OSError as error:
            clear(left)
            return Answer(
                f"cannot write in {output.parent} ({error.strerror}): give an output that all workers can write, on a"
                " file system that all machines share"
            )
    return Answer(left=tuple(left))


def _unreadable(data: str, fingerprint: str) -> str:
    remedy = "put it where all workers can read it, on a file system that all machines share"
    try:
        found = dataset_info(data, whole=False).fingerprint
        chunk = next((p for p in (Path(data) / "counts" / "c").rglob("*") if p.is_file()), None)
        if chunk is not None:
            with chunk.open("rb") as file:
                file.read(1)
    except (InputError, OSError) as error:
        return f"cannot read the dataset ({' '.join(str(error).split())}): {remedy}"
    if found != fingerprint:
        return f"sees another dataset at {data} (fingerprint {found}, here {fingerprint}): {remedy}"
    return ""


def clear(paths: list[str]) -> None:
    """On a worker: remove what was left, if it is still there."""
    for path in map(Path, paths):
        with suppress(OSError):
            remove(path)


def other_processors(client: Any, backend: str, wanted: str) -> str:
    """A warning where workers are of another kind of processor than the one that a run's bits belong to, or nothing."""
    if site_of(client).in_process:
        found = {processor(backend)}
    else:
        answers = client.run(processor, backend, on_error="ignore")  # one that has died is the cluster's affair
        found = set(answers.values())
    if not (others := sorted(found - {wanted})):
        return ""
    return (
        f"the run was started on {wanted}, and goes on on {others[0]}: its image is as good, but its bits are not those"
        " of one kind of processor alone"
    )
