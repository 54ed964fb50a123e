"""A run on a machine that is lent for minutes: what is measured is kept at once, and no part takes the others' time."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _accelerator.tables import Row, page, short

GRACE = 40.0  # seconds after the end of the run until it is cut off, whatever it does


class TimeUp(BaseException):
    """The time of a part, or of the run, is over; no `except Exception` on the way stops it."""


class Session:
    """One run; a context manager.

    Attributes:
        out: the folder of the results, `results.json` and `results.md`, written anew with every row.
        work: the folder of all else, such as checkpoints.
        tiny: whether everything is small enough for a CPU in seconds, to try the programs, not to measure.
        machine: what the figures are of, by name; under "limits" what the device can do at most.
    """

    def __init__(self, out: Path, work: Path, *, minutes: float, tiny: bool, machine: Row) -> None:
        self.out, self.work, self.tiny, self.machine = out, work, tiny, machine
        for folder in (out, work):
            folder.mkdir(parents=True, exist_ok=True)
        self._start = time.monotonic()
        self._end = self._part_end = self._start + 60 * minutes
        self._parts: list[Row] = []
        self._cut = threading.Timer(60 * minutes + GRACE, self._cut_off)  # a compilation hears no alarm

    def __enter__(self) -> Session:
        self._cut.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._cut.cancel()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float:
        """Seconds that the part at work still has."""
        return min(self._part_end, self._end) - time.monotonic()

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"[{self.seconds:6.1f} s] {text}", flush=True)

    def row(self, **values: Any) -> None:
        """Adds a row to the table of the part at work."""
        self._parts[-1]["rows"].append(values)
        self.say("  " + ", ".join(f"{name} {short(value)}" for name, value in values.items()))
        self._write()

    def note(self, text: str) -> None:
        """Adds a remark under the table of the part at work."""
        self._parts[-1]["notes"].append(text)
        self.say("  " + text)

    def need(self, seconds: float) -> None:
        """Ends the part where what comes next would not be finished."""
        if self.left < seconds:
            raise TimeUp

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """One measurement, whose failure is reported and spoils no other."""
        try:
            yield
        except Exception as error:
            self.note(f"{name} failed: {_reason(error)}")
            traceback.print_exc(file=sys.stdout)

    def part(self, title: str, run: Callable[[Session], None], share: float) -> None:
        """Runs a part for at most a share of the time that is left."""
        left = self._end - time.monotonic()
        part: Row = {"part": title, "rows": [], "notes": [], "seconds": 0.0, "state": "cut off"}
        self._parts.append(part)
        if left < 2:
            part["state"] = "not run: no time left"
        else:
            begun = self.seconds
            self.say(f"{title}, at most {share * left:.0f} s")
            self._part_end = time.monotonic() + share * left
            part["state"] = self._run(run)
            self._part_end = self._end
            part["seconds"] = self.seconds - begun
        self.say(f"{title}: {part['state']}, {part['seconds']:.0f} s")
        self._write()

    def _run(self, run: Callable[[Session], None]) -> str:
        def ring(number: int, frame: object) -> None:
            raise TimeUp

        before = signal.signal(signal.SIGALRM, ring)  # for what does not look at the clock itself
        signal.setitimer(signal.ITIMER_REAL, max(1.0, self.left) + 1)
        try:
            run(self)
        except TimeUp:
            return "stopped: its time was over"
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            return f"failed: {_reason(error)}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return "done"

    def _cut_off(self) -> None:
        self.say("cut off")
        os._exit(3)

    def _write(self) -> None:
        result = {"machine": self.machine, "tiny": self.tiny, "seconds": self.seconds, "parts": self._parts}
        _replace(self.out / "results.json", json.dumps(result, indent=1, default=float) + "\n")
        _replace(self.out / "results.md", page(self.machine, self._parts))


def _reason(error: BaseException) -> str:
    """In one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _replace(path: Path, text: str) -> None:
    """Writes a file completely or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    os.replace(draft, path)
