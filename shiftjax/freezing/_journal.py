"""What finished passes have measured, kept in a file: whoever is interrupted goes on after the last of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from shiftjax._checks import fail
from shiftjax.freezing._file import check_path, read_statistics, write_statistics
from shiftjax.freezing._frozen import Frozen


@dataclass(frozen=True)
class Journal:
    """The journal of one measurement.

    Attributes:
        frozen: the function, without values.
        path: of the file; None for none.
        image: what tells the image from others.
    """

    frozen: Frozen
    path: str | Path | None
    image: str

    def finished(self) -> tuple[int, list[Any]]:
        """How many passes are finished, and the values known.

        Raises:
            ValueError: the file is of another image or function, or no journal.
        """
        nothing = 0, list(self.frozen.values)
        if self.path is None:
            return nothing
        check_path("journal", self.path)
        if not Path(self.path).exists():
            return nothing
        page, stored = read_statistics(self.path, "journal")
        if (page["network"], page["image"]) != (self.frozen.cut.key(self.frozen.fn), self.image):
            fail(
                "journal",
                "passes of the same call",
                "passes over another image, or of another function",
                "name a new file",
            )
        passes = page["passes"]
        known = zip(self.frozen.cut.statistics, stored, self.frozen.values, strict=True)
        return passes, [
            jnp.asarray(value.astype(one.dtype)) if one.stage <= passes else unknown for one, value, unknown in known
        ]

    def write(self, passes: int, values: Sequence[Any]) -> None:
        """Keeps what is known after so many passes; of what is not, zeros."""
        if self.path is not None:
            about: dict[str, Any] = {"passes": passes, "image": self.image, "name": "journal"}
            write_statistics(self.frozen.given(values), self.path, **about)
