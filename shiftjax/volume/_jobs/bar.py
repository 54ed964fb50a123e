"""The bar of a run; a terminal or a log that breaks does not stop it."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import Any

from shiftjax import _patience
from shiftjax._extras import require


class Bar:
    """A bar of tiles that is shown as long as there is somebody to show it to.

    Args:
        total: tiles.
        done: of them, before this run.
        title: what is counted.
        shown: whether to show it.
    """

    def __init__(self, *, total: int, done: int, title: str, shown: bool) -> None:
        self._bar: Any = None
        if shown and sys.stderr is not None:  # as of a program without a console
            tqdm = require("tqdm", "volume").tqdm
            with suppress(OSError, ValueError):  # a pipe without a reader, a closed file
                self._bar = tqdm(total=total, initial=done, desc=title, unit=" tiles")
        self._moved = False
        self._waiting = threading.Timer(_patience.PATIENCE, self._call, ("set_postfix_str", "compiling ..."))
        self._waiting.daemon = True
        if self._bar is not None and done < total:
            self._waiting.start()

    def update(self) -> None:
        """Counts a tile."""
        if not self._moved:
            self._moved = True
            self._waiting.cancel()
            self._call("set_postfix_str", "", refresh=False)
        self._call("update")

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._waiting.cancel()
        self._call("close")

    def _call(self, name: str, *arguments: Any, **options: Any) -> None:
        if self._bar is not None:
            try:
                getattr(self._bar, name)(*arguments, **options)
            except (OSError, ValueError):
                self._bar.disable = True  # so that it does not try once more when it is thrown away
                self._bar = None
