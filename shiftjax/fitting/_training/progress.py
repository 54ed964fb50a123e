"""What a run says on the standard error: a bar with the time left, and a sentence where something happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from shiftjax._extras import require


class Progress:
    """A bar of training steps; a terminal or a log that breaks does not stop the run.

    Args:
        shown: whether anything is shown.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown and sys.stderr is not None  # else it would go to the standard output
        self._bar: Any = None

    def say(self, sentence: str) -> None:
        """A line, above the bar if there is one."""
        if self._shown:
            with suppress(OSError, ValueError, AttributeError):
                if self._bar is None:
                    print(f"shiftjax: {sentence}", file=sys.stderr, flush=True)
                else:
                    self._bar.write(f"shiftjax: {sentence}", file=sys.stderr)

    @contextmanager
    def steps(self, done: int, total: int | None) -> Iterator[Progress]:
        """Within it there is a bar; a total that is not known yet is set by `expect`."""
        if self._shown:
            with suppress(OSError, ValueError):
                self._bar = require("tqdm", "train").tqdm(total=total, initial=done, desc="fit", unit="step")
        try:
            yield self
        finally:
            self._safely("close")
            self._bar = None

    def expect(self, total: int) -> None:
        """Sets the number of steps in all."""
        if self._bar is not None:
            self._bar.total = total

    def update(self, count: int, loss: float) -> None:
        """Counts steps."""
        self._safely("set_postfix", loss=f"{loss:.3g}", refresh=False)
        self._safely("update", count)

    def _safely(self, name: str, *words: Any, **options: Any) -> None:
        if self._bar is not None:
            with suppress(OSError, ValueError):
                getattr(self._bar, name)(*words, **options)
