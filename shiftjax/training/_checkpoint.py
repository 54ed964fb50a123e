"""Checkpoints of a run in a folder, written by Orbax, each with a digest beside it that is checked when it is read."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import jax
import numpy as np

from shiftjax._checks import fail, integer, shown
from shiftjax._extras import require

WRITTEN = "a state of this net, as it was written"
DIGESTS = "digests"  # the folder beside the states; Orbax looks at folders named by a number only


class Checkpoints:
    """The newest states of a run in a folder, each written completely or not at all; a context manager.

    Beside the states, `digests/STEP.json` holds the digest of the state, which is written before it, and of its files,
    which is written after them. So a process may be killed at any moment, and a state of which one bit has changed is
    refused.

    Args:
        folder: created where it does not exist.
        keep: how many of the newest states stay.

    Raises:
        ValueError: `folder` is a file or no path, or `keep` is not positive.
        ImportError: Orbax is not installed.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2):
        if not isinstance(folder, str | Path) or not str(folder) or "\0" in str(folder):
            fail("folder", "a path", shown(folder))
        keep = integer("keep", keep, least=1)
        try:
            self.folder = Path(folder).resolve()
            self.folder.exists()
        except OSError as error:  # a name that the file system does not take
            fail("folder", "a path", f"one that is none here ({error.strerror})")
        if self.folder.exists() and not self.folder.is_dir():
            fail("folder", "a folder", f"the file {self.folder}")
        self._orbax = require("orbax.checkpoint", "train")
        # Not asynchronous: after Ctrl-C the state must be complete when the process ends. A killed run may leave the
        # folder of an unfinished checkpoint behind, which the next one removes.
        options = self._orbax.CheckpointManagerOptions(
            max_to_keep=keep, create=True, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self._manager = self._orbax.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Writes the state after `step` steps, unless it is the latest one already.

        Args:
            step: number of steps taken.
            state: a pytree of arrays.
        """
        if step != self.latest:
            digests = {"state": _state_digest(state)}
            self._write_digests(step, digests)
            self._manager.save(step, args=self._orbax.args.StandardSave(state))
            self._write_digests(step, {**digests, "files": _files_digest(self.folder / str(step))})
            kept = {f"{kept}.json" for kept in self._manager.all_steps()}
            for path in (self.folder / DIGESTS).iterdir():
                if path.name not in kept:
                    path.unlink()

    def restore(self, like: Any) -> Any:
        """Reads the newest state.

        Args:
            like: a pytree of arrays of the same shapes and types.

        Returns:
            The state, a pytree like `like`.

        Raises:
            ValueError: there is none, or it is broken, or has changed since it was written, or is of another net.
        """
        if self.latest is None:
            fail("checkpoints", f"a saved state in {self.folder}", "none", "train first")
        folder = self.folder / str(self.latest)
        digests = self._read_digests(self.latest)
        if "files" in digests and digests["files"] != _files_digest(folder):
            _refuse(folder, WRITTEN, "files of which some bits have changed since")
        shapes = jax.eval_shape(lambda: like)
        try:
            state = self._manager.restore(self.latest, args=self._orbax.args.StandardRestore(shapes))
        except Exception as error:  # Orbax raises many types; to the user they all mean the same
            reason = " ".join(str(error).split())[:200]
            found = f"one that cannot be read ({type(error).__name__}: {reason})"
            _refuse(folder, WRITTEN, found, error)
        if _state_digest(state) != digests["state"]:
            _refuse(folder, WRITTEN, "one of which some bits have changed since")
        return state

    def _write_digests(self, step: int, digests: dict[str, str]) -> None:
        path = self.folder / DIGESTS / f"{step}.json"
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(".tmp")
        with draft.open("w") as file:
            json.dump(digests, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)

    def _read_digests(self, step: int) -> dict[str, str]:
        path = self.folder / DIGESTS / f"{step}.json"
        try:
            digests = dict(json.loads(path.read_text()))
            return {"state": str(digests["state"]), **digests}
        except (OSError, ValueError, KeyError, TypeError) as error:
            _refuse(self.folder / str(step), f"its digest in {path}", "none that can be read", error)


def _refuse(checkpoint: Path, expected: str, found: str, error: Exception | None = None) -> NoReturn:
    mend = "delete that folder to go on from an earlier checkpoint, or start another run"
    raise ValueError(f"checkpoint {checkpoint}: expected {expected}, found {found}; {mend}") from error


def _state_digest(state: Any) -> str:
    """SHA-256 of the arrays of a pytree, with their places in it."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        array = np.asarray(jax.device_get(leaf))
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape} ".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _files_digest(folder: Path) -> str:
    """SHA-256 of all files in a folder, with their names."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size} ".encode())
        total.update(path.read_bytes())
    return total.hexdigest()
