"""What a run has done so far, and, in a folder, what it goes on from after a crash.

The folder holds run.json, checkpoints, the best model to go on from, and one that can be loaded at any time: the best
so far, or after Ctrl-C what there was then. What belongs to a step is written in this order: the checkpoint, the model
if it is the best, run.json.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from shiftjax._checks import fail
from shiftjax.fitting._saving import BEGUN, PAGE, as_folder, write_page
from shiftjax.training import Checkpoints

try:
    import fcntl
except ImportError:  # Windows, where two runs in one folder are not kept apart
    fcntl = None  # type: ignore[assignment]

FORMAT = 1  # of run.json
STATES, BEST = "checkpoints", "best"  # folders


class Entry(NamedTuple):
    """A validation: the step after which it was, the mean loss since the last one, and AP50."""

    step: int
    loss: float
    score: float


class Record:
    """The history of a run and its best weights, in memory or in a folder as well.

    Args:
        folder: of the run; None for memory alone.
        config: what decides the run; another run's folder is refused.
        resume: whether to go on with a run in the folder, or to begin it anew.

    Raises:
        ValueError: the folder holds something else, or another run.
    """

    def __init__(self, folder: Any, config: Mapping[str, Any], *, resume: bool) -> None:
        self.folder: Path | None = None if folder is None else as_folder(folder, "out")
        self.config = json.loads(json.dumps(config))
        self.history: list[Entry] = []
        self.total: int | None = None
        self.finished = False
        self.best: Any = None
        self._checkpoints: Checkpoints | None = None
        self._alone: int | None = None
        if self.folder is not None:
            try:
                self._open(self.folder, resume)
            except BaseException:
                self.close()
                raise

    def _open(self, folder: Path, resume: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._alone = _alone(folder)
        page = folder / BEGUN
        if page.exists() and resume:
            self._read(page)
        elif page.exists():
            page.unlink()
            _remove(folder)
        elif any(entry.name != page.with_suffix(".tmp").name for entry in folder.iterdir()):
            fail("out", "a new folder, or that of a run", f"other files in {folder}", "choose another")
        self._checkpoints = Checkpoints(folder / STATES)
        self._write()

    def _read(self, page: Path) -> None:
        try:
            begun = json.loads(page.read_text())
            known = begun["format"] == FORMAT
            config = begun["config"]
        except (OSError, ValueError, KeyError, TypeError):
            known, config = False, {}
        if not known:
            fail("out", f"a run of format {FORMAT}, which this version writes", f"another in {page.parent}")
        other = sorted(k for k in config.keys() | self.config.keys() if config.get(k) != self.config.get(k))
        if other:
            mend = "repeat them, choose another folder, or say `resume=False` to begin anew"
            fail("out", f"the run that {page.parent} was begun with", f"other {', '.join(other)}", mend)
        self.history = [Entry(**entry) for entry in begun["history"]]
        self.total, self.finished = begun["total"], begun["finished"]

    def _write(self) -> None:
        if self.folder is not None:
            page = {"format": FORMAT, "config": self.config, "total": self.total, "finished": self.finished}
            history = [entry._asdict() for entry in self.history]
            write_page(self.folder / BEGUN, {**page, "history": history})

    @property
    def top(self) -> float:
        """The best score so far; below all scores where there is none."""
        return max((entry.score for entry in self.history), default=-1.0)

    def stale(self, margin: float) -> int:
        """How many of the last validations in a row were worse than the best one by more than a margin."""
        good = [k for k, entry in enumerate(self.history, 1) if entry.score >= self.top - margin]
        return len(self.history) - max(good, default=0)

    def restored(self, state: Any) -> Any:
        """The newest state that was saved; the one given where there is none."""
        if self._checkpoints is None or self._checkpoints.latest is None:
            self.history = []
            return state
        restored = self._checkpoints.restore(state)
        self.history = [entry for entry in self.history if entry.step <= int(restored.step)]
        return jax.tree.map(jax.numpy.asarray, restored)

    def begin(self, total: int) -> None:
        """Enters how many steps there will be."""
        self.total = total
        self._write()

    def save(self, step: int, state: Any) -> None:
        """Saves a state to go on from."""
        if self._checkpoints is not None:
            self._checkpoints.save(step, state)

    def enter(self, entry: Entry, variables: Any, keep: Callable[[Any], None]) -> None:
        """Enters a validation; weights that are the best so far are kept."""
        if entry.score >= self.top:  # of equal ones the last: its learning rate was lower
            self.best = jax.device_get(variables)
            keep(self.best)
        self.history.append(entry)
        self._write()

    def finish(self) -> None:
        """Says that there is nothing to go on with, and removes the checkpoints."""
        self.finished = True
        self._write()
        self.close()
        if self.folder is not None:
            _remove(self.folder)

    def close(self) -> None:
        """Ends the writing of checkpoints, and lets others write the folder."""
        if self._checkpoints is not None:
            self._checkpoints.__exit__(None, None, None)
            self._checkpoints = None
        if self._alone is not None:
            os.close(self._alone)
            self._alone = None

    @property
    def best_folders(self) -> list[Path]:
        """Where the best model is kept: to go on from, and to be used; none in memory."""
        return [] if self.folder is None else [self.folder / BEST, self.folder]

    @property
    def has_model(self) -> bool:
        """Whether the folder holds the best model so far."""
        return self.folder is not None and (self.folder / PAGE).exists()


def _remove(folder: Path) -> None:
    """Removes what a run goes on from."""
    for name in (STATES, BEST):
        shutil.rmtree(folder / name, ignore_errors=True)


def _alone(folder: Path) -> int | None:
    """Keeps other runs out of a folder until what is returned is closed, or the process ends, however it does.

    Raises:
        ValueError: another run is under way there.
    """
    if fcntl is None:
        return None
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        fail("out", "a folder in which no other run is under way", str(folder), "wait for it, or choose another")
    except OSError:  # a file system without such locks
        pass
    return opened
