"""A run on a machine that is lent for minutes: what is measured is kept at once, and no part takes the others' time."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class TimeUp(Exception):
    """The time of a part, or of the run, is over."""


class Session:
    """One run.

    Attributes:
        out: the folder of the results, `results.json` and `results.md`.
        work: the folder of all else, such as checkpoints.
        tiny: whether everything is small enough for a CPU in seconds, to try the programs, not to measure.
    """

    def __init__(self, out: Path, work: Path, *, minutes: float, tiny: bool) -> None:
        self.out, self.work, self.tiny = out, work, tiny
        for folder in (out, work):
            folder.mkdir(parents=True, exist_ok=True)
        self._start = time.monotonic()
        self._end = self._part_end = self._start + 60 * minutes
        self.machine: Row = {}
        self._parts: list[Row] = []

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
        self.say("  " + ", ".join(f"{name} {_short(value)}" for name, value in values.items()))

    def note(self, text: str) -> None:
        """Adds a remark under the table of the part at work."""
        self._parts[-1]["notes"].append(text)
        self.say("  " + text)

    def need(self, seconds: float) -> None:
        """Refuses to begin what will not be finished."""
        if self.left < seconds:
            raise TimeUp

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """One measurement, whose failure is reported and spoils no other."""
        try:
            yield
        except (TimeUp, KeyboardInterrupt):
            raise
        except Exception as error:
            self.note(f"{name} failed: {_reason(error)}")
            traceback.print_exc(file=sys.stdout)

    def part(self, title: str, run: Callable[[Session], None], share: float) -> None:
        """Runs a part for at most a share of the time that is left, and writes all results down."""
        left = self._end - time.monotonic()
        self._parts.append({"part": title, "rows": [], "notes": [], "seconds": 0.0, "state": "not run: no time left"})
        begun = self.seconds
        if left > 2:
            self.say(f"{title}, at most {share * left:.0f} s")
            self._part_end = time.monotonic() + share * left
            self._parts[-1]["state"] = self._run(run)
            self._part_end = self._end
        self._parts[-1]["seconds"] = self.seconds - begun
        self.say(f"{title}: {self._parts[-1]['state']} in {self._parts[-1]['seconds']:.0f} s")
        self._write()

    def _run(self, run: Callable[[Session], None]) -> str:
        def ring(number: int, frame: object) -> None:
            raise TimeUp

        before = signal.signal(signal.SIGALRM, ring)  # for what does not look at the clock itself
        signal.setitimer(signal.ITIMER_REAL, max(1.0, self.left) + 1)
        try:
            run(self)
            return "done"
        except TimeUp:
            return "stopped: its time was over"
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            return f"failed: {_reason(error)}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _write(self) -> None:
        result = {"machine": self.machine, "tiny": self.tiny, "seconds": self.seconds, "parts": self._parts}
        _replace(self.out / "results.json", json.dumps(result, indent=1, default=float) + "\n")
        _replace(self.out / "results.md", self._page())

    def _page(self) -> str:
        lines = [", ".join(f"{name} {value}" for name, value in self.machine.items()), ""]
        for part in self._parts:
            lines += [f"## {part['part']}", "", f"{part['state']}, {part['seconds']:.0f} s", ""]
            lines += _tables(part["rows"])
            lines += [f"- {note}" for note in part["notes"]] + [""] * bool(part["notes"])
        return "\n".join(lines)


def _tables(rows: list[Row]) -> list[str]:
    """A Markdown table for each run of rows with the same columns."""
    lines: list[str] = []
    columns: list[str] = []
    for row in rows:
        if list(row) != columns:
            columns = list(row)
            lines += [""] * bool(lines) + ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        lines.append("| " + " | ".join(_short(value) for value in row.values()) + " |")
    return [*lines, ""] if lines else []


def _short(value: Any) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:.0f}"
        if isinstance(value, float) and value == value
        else str(value)
    )


def _reason(error: BaseException) -> str:
    """In one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _replace(path: Path, text: str) -> None:
    """Writes a file completely or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    os.replace(draft, path)
