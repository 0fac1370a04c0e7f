"""The run's end of its page: an observer of events that tells the scheduler, and gets a picture while one is looked at.

All that waits is in a thread of its own, so the run waits for nobody. What it sends of an iteration is a handful of
numbers. A picture is a task on the newest state, asked for only while a page is open, and so seldom that pictures take
less than :data:`SHARE` of the workers' time. It adds nothing to a state, so the run's bits are those of one without.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

from .._geometry import geometry_lines
from ..events import Checkpointed, Iterated, Pictured, Refined, Restarted, Stored, Waiting, Warned
from . import tab
from .board import Message
from .picture import Frame, picture, piece

SHARE = 0.004
"""Of the workers' time that pictures may take."""
TOLD_SECONDS = 1.0
"""Between two messages to an open page: the scheduler takes some 10 ms for each."""
LEAST_SECONDS = 0.5
"""Between two pictures."""
PICTURE_SECONDS = 60.0
"""That a picture is waited for."""
BETWEEN_SECONDS = 0.5
"""Between two looks for a state where there is none for a while."""
RETRY_SECONDS = 10.0
"""After a picture that failed."""
CLOSE_SECONDS = 5.0
"""That the end of a run waits for what it still has to say."""


def row_of(event: Iterated, work: int, elapsed: float) -> dict[str, Any]:
    """What a page keeps of an iteration: ``work`` counts updates of fit and finish, ``elapsed`` seconds."""
    row = {**asdict(event), "work": work, "elapsed": elapsed, "more": dict(event.more or {})}
    row["by_worker"] = [asdict(worker) for worker in event.by_worker]
    return row


class Page:
    """Shows one run on the dashboard of its scheduler, until it is closed.

    Parameters
    ----------
    client : distributed.Client
    about : dict
        What stays: ``title``, ``patterns``, ``slices``, ...; plain values.
    frame : callable
        Gives what is shown of the object.
    newest : callable
        Gives the newest pass, whose state are futures of its tiles and of what they share, or None.
    takers : sequence of callable
        Who gets the pictures in this process, whether a page is open or not.
    tells : bool
        Tell the scheduler.

    Attributes
    ----------
    trouble : str
        Why there is no page on the dashboard; nothing is sent then.
    """

    def __init__(
        self,
        client: Any,
        about: dict[str, Any],
        frame: Callable[[], Frame],
        newest: Callable[[], Any],
        takers: Sequence[Callable[[Pictured], Any]] = (),
        tells: bool = True,
    ) -> None:
        self._client, self._frame, self._newest, self._takers = client, frame, newest, takers
        self._run = uuid.uuid4().hex
        self._queue: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._work, self._elapsed = -1, 0.0
        self._after, self._drawn = 0.0, -1
        self.trouble = self._begin(about) if tells else ""
        self._tells = tells and not self.trouble
        self._thread: threading.Thread | None = None
        if self._tells:
            client.subscribe_topic(tab.TOPIC, self._opened)
        if self._tells or takers:
            self._thread = threading.Thread(target=self._serve, name="ptychodask-page", daemon=True)
            self._thread.start()

    def _begin(self, about: dict[str, Any]) -> str:
        try:
            return str(self._client.run_on_scheduler(tab.begin, self._run, about))
        except Exception as error:  # whatever a scheduler that somebody else started says: the run goes on
            return " ".join(f"{type(error).__name__}: {error}".split())[:200]

    def _opened(self, event: Any) -> None:
        self._queue.put({"kind": "look"})

    def _say(self, text: str) -> None:
        self._queue.put({"kind": "text", "text": text})

    # -- events of the run -----------------------------------------------------------------------------------------

    def iterated(self, event: Iterated) -> None:
        if event.stage == "geometry":  # before the image: no work on it
            self._elapsed += event.seconds
            return
        self._work, self._elapsed = self._work + 1, self._elapsed + event.seconds
        self._queue.put({"kind": "row", "row": row_of(event, self._work, self._elapsed)})

    def refined(self, event: Refined) -> None:
        for line in geometry_lines(event.values):
            self._say(f"geometry: {line}" if event.settled else f"geometry at the start: {line}")

    def restarted(self, event: Restarted) -> None:
        self._queue.put({"kind": "back", "stage": "fit", "to": event.iteration})
        self._work = event.iteration - 1
        self._say(f"diverged ({event.trouble}): back to iteration {event.iteration}, steps x {event.damping:g}")

    def stored(self, event: Stored) -> None:
        self._say(f"checkpoint of iteration {event.iteration} ({event.stage})")

    def checkpointed(self, event: Checkpointed) -> None:
        self._say(f"interrupted: a resumed run goes on from iteration {event.iteration}")

    def warned(self, event: Warned) -> None:
        self._say(f"warning: {event.text}")

    def waiting(self, event: Waiting) -> None:
        self._say(event.text)

    def close(self, text: str) -> None:
        """Say how the run ended, and send what is left."""
        if self._thread is None:
            return
        self._queue.put({"kind": "end", "text": text})
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)
        with suppress(Exception):  # the scheduler may be gone, or was never told
            self._client.unsubscribe_topic(tab.TOPIC)

    # -- the thread ------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Send what is told, all that waits at once; then get a picture, if one is looked at and it is time."""
        goes_on, watched = True, False
        wait: float | None = None
        last = -TOLD_SECONDS
        while goes_on:
            messages = self._waiting(wait, last + TOLD_SECONDS if watched else 0.0)
            goes_on = None not in messages
            told = [message for message in messages if message is not None and message["kind"] != "look"]
            try:
                if messages and self._tells:
                    watched = tab.tell(self._client, self._run, told)
                    last = time.monotonic()
                wait = self._look() if (watched or self._takers) and goes_on else None
            except Exception:  # a lost scheduler is the run's affair, which says so
                return

    def _waiting(self, wait: float | None, until: float) -> list[Message | None]:
        """All that is told, once something is or after so many seconds; what is told until then goes with it, but the
        end, which does not wait."""
        messages: list[Message | None] = []
        with suppress(queue.Empty):
            messages.append(self._queue.get(timeout=wait))
            while None not in messages:
                messages.append(self._queue.get(timeout=max(0.0, until - time.monotonic())))
        return messages

    def _look(self) -> float | None:
        """Get a picture of the newest state, unless there is one; seconds after which to try again."""
        seen, work = self._newest(), self._work
        if work == self._drawn:
            return None
        if seen is None:  # between the stages: the next one has a state before anybody says so
            return BETWEEN_SECONDS
        if seen.iteration == 0:  # vacuum is no picture
            return None
        if (wait := self._after - time.monotonic()) > 0:
            return wait
        began = time.monotonic()
        try:
            made = self._picture_of(seen.state)
        except Exception as error:
            if self._client.status != "running":
                raise
            self._after = began + RETRY_SECONDS
            text = f"no picture of iteration {seen.iteration}: {type(error).__name__}"
            self._tell({"kind": "text", "text": text})
            return RETRY_SECONDS
        threads = sum(self._client.nthreads().values()) or 1
        self._after, self._drawn = began + max(LEAST_SECONDS, made["seconds"] / SHARE / threads), work
        told = {**made, "iteration": seen.iteration, "work": work}
        self._tell({"kind": "picture", "picture": told})
        for take in self._takers:
            take(Pictured(seen.iteration, told))
        return None

    def _tell(self, message: Message) -> None:
        if self._tells:
            tab.tell(self._client, self._run, [message])

    def _picture_of(self, state: Any) -> dict[str, Any]:
        """Made where tiles are, before blocks that wait; a worker's loss may make it take long."""
        submit = partial(self._client.submit, pure=False, priority=10)
        frame = self._frame()
        pieces = [submit(piece, tile, frame, index) for index, tile in enumerate(state.tiles)]
        made = submit(picture, pieces, state.shared, frame).result(timeout=PICTURE_SECONDS)
        return dict(made)
