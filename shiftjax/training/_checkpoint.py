"""Checkpoints of a run in a folder, written by Orbax."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import jax

from shiftjax._checks import fail, integer, shown
from shiftjax._extras import require


class Checkpoints:
    """The newest states of a run in a folder, each written completely or not at all; a context manager.

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
            self._manager.save(step, args=self._orbax.args.StandardSave(state))

    def restore(self, like: Any) -> Any:
        """Reads the newest state.

        Args:
            like: a pytree of arrays of the same shapes and types.

        Returns:
            The state, a pytree like `like`.

        Raises:
            ValueError: there is none, or it is broken, or of another net.
        """
        if self.latest is None:
            fail("checkpoints", f"a saved state in {self.folder}", "none", "train first")
        shapes = jax.eval_shape(lambda: like)
        try:
            return self._manager.restore(self.latest, args=self._orbax.args.StandardRestore(shapes))
        except Exception as error:  # Orbax raises many types; to the user they all mean the same
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"checkpoint {self.folder / str(self.latest)}: expected a state of this net, found one that cannot be "
                f"read ({type(error).__name__}: {reason}); delete that folder to go on from an earlier checkpoint, or "
                "start another run"
            ) from error
