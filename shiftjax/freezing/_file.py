"""The file that statistics are kept in: a NumPy archive of plain arrays, one of them a page of JSON."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, shown, told

if TYPE_CHECKING:
    from shiftjax.freezing._frozen import Frozen

FORMAT = 1
PAGE = "about"


def write_statistics(
    frozen: Frozen, path: Any, *, passes: int | None = None, image: str = "", name: str = "path"
) -> None:
    """Writes all values, and what they are of.

    Args:
        frozen: the function with its statistics.
        path: of the file, which is replaced at once.
        passes: of a measurement that goes on, how many are finished; values of later ones are zeros.
        image: what tells the image from others.
        name: of the argument that the path was given as.

    Raises:
        ValueError: it cannot be written.
    """
    check_path(name, path)
    listed = [(one.operation, one.source, list(one.shape)) for one in frozen.cut.statistics]
    page = {
        "format": FORMAT,
        "network": frozen.cut.key(frozen.fn),
        "image_shape": list(frozen.image_shape),
        "dtype": str(frozen.cut.dtype),
        "sample": frozen.sample,
        "remark": frozen.remark,
        "statistics": listed,
        "passes": frozen.cut.passes if passes is None else passes,
        "image": image,
    }
    values = {f"value_{k}": _stored(value) for k, value in enumerate(frozen.values)}
    part = Path(f"{path}.part")
    arrays: dict[str, Any] = {PAGE: np.frombuffer(json.dumps(page).encode(), np.uint8), **values}
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(part, path)
    except OSError as error:
        fail(name, "a file that can be written", f"{shown(str(path))} ({told(error)})")


def read_statistics(path: Any, name: str = "path") -> tuple[dict[str, Any], list[np.ndarray]]:
    """What was written.

    Args:
        path: of the file.
        name: of the argument that it was given as.

    Raises:
        ValueError: no such file, or something else.
    """
    check_path(name, path)
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            page = json.loads(archive[PAGE].tobytes())
            values = [archive[f"value_{k}"] for k in range(len(page["statistics"]))]
        readable = page["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        readable = False
    if not readable:
        expected = f"statistics of format {FORMAT}, as `save` writes them"
        fail(name, expected, f"none at {shown(str(path))}", "freeze them again")
    return page, values


def check_path(name: str, path: Any) -> None:
    """Refuses anything but the path of a file."""
    try:
        good = isinstance(path, str | Path) and bool(str(path)) and not Path(path).is_dir()
    except (OSError, ValueError):  # too long, or with characters that no path has
        good = False
    if not good:
        fail(name, "the path of a file", shown(path))
    if not Path(path).absolute().parent.is_dir():
        fail(name, "a file in a folder that there is", shown(str(path)), "make the folder first")


def _stored(value: Any) -> np.ndarray:
    """In a type that NumPy knows; of short floats float32 holds all values."""
    host = np.asarray(value)
    if jnp.issubdtype(host.dtype, jnp.floating) and host.dtype.itemsize < 4:
        return host.astype(np.float32)
    return host


def described(shape: Any, dtype: str) -> jax.ShapeDtypeStruct:
    """The image that was measured."""
    return jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))
