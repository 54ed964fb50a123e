"""Values that somebody may give by mistake: of another kind, out of range, without a meaning, or far too large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class Nameless:
    """An object whose repr is broken."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def exits(image: Any) -> Any:
    """A function that ends the program."""
    raise SystemExit(0)


def hostile() -> dict[str, Any]:
    """The values by name; made anew, since some are used up."""
    return {
        "None": None,
        "True": True,
        "-1": -1,
        "0": 0,
        "3": 3,
        "1.5": 1.5,
        "nan": float("nan"),
        "inf": float("inf"),
        "-inf": -float("inf"),
        "1e300": 1e300,
        "1e-300": 1e-300,
        "10**9": 10**9,
        "10**30": 10**30,
        "-2**63": -(2**63),
        "10**5000": 10**5000,
        "1j": 1j,
        "'abc'": "abc",
        "''": "",
        "'1'": "1",
        "'a/b'": "a/b",
        "'\\0'": "\0",
        "long text": "x" * 5000,
        "b'x'": b"x",
        "[]": [],
        "()": (),
        "{}": {},
        "{1}": {1},
        "[1, 2]": [1, 2],
        "(-1, -1)": (-1, -1),
        "('a', 'b')": ("a", "b"),
        "[None]": [None],
        "ragged": [[1], [1, 2]],
        "[[10**400]]": [[10**400]],
        "range(3)": range(3),
        "slice": slice(None),
        "zeros(2)": np.zeros(2),
        "zeros(0)": np.zeros(0),
        "zeros((0, 3))": np.zeros((0, 3)),
        "nan array": np.full((1, 8, 8, 1), np.nan, np.float32),
        "array of text": np.array(["a", "b"]),
        "array of objects": np.array([None, {}], object),
        "structured array": np.zeros((4, 4), [("a", "f4")]),
        "masked array": np.ma.masked_array(np.ones((1, 8, 8)), mask=True),
        "array of dates": np.zeros((2, 2), "datetime64[s]"),
        "complex array": np.ones((1, 8, 8, 1), np.complex64),
        "array of 20 axes": np.zeros((1,) * 20, np.float32),
        "zeros((2, 2)) int": np.zeros((2, 2), int),
        "np.float32(nan)": np.float32("nan"),
        "np.int8(-3)": np.int8(-3),
        "np.array(2)": np.array(2),
        "jnp.ones(2)": jnp.ones(2),
        "key": jax.random.key(0),
        "two keys": jax.random.split(jax.random.key(0)),
        "a type": int,
        "an object": object(),
        "no repr": Nameless(),
        "lambda: None": lambda: None,
        "lambda x: None": lambda x: None,
        "a function that raises": lambda x: 1 / 0,
        "a function that exits": exits,
        "an iterator": iter([1, 2]),
        "ShapeDtypeStruct": jax.ShapeDtypeStruct((1, 8), "float32"),
        "huge ShapeDtypeStruct": jax.ShapeDtypeStruct((1, 2**20, 2**20, 1), "float32"),
    }


Taken = Callable[[Any], bool]  # of a value: whether it may be taken


def whole(value: Any) -> bool:
    """Whether this is an integer, of Python or NumPy."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, np.ndarray | np.integer | jax.Array) and value.shape == () and value.dtype.kind in "iu"
    )


def count(least: int, most: int = 2**62) -> Taken:
    """Integers from `least` to `most`."""
    return lambda value: whole(value) and least <= int(value) <= most


def real(above: float, most: float = float("inf")) -> Taken:
    """Numbers above `above`, at most `most`."""

    def taken(value: Any) -> bool:
        plain = whole(value) or isinstance(value, float | np.floating)
        return plain and above < float(value) <= most and float(value) < float("inf")

    return lambda value: taken(value) if not (isinstance(value, int) and abs(value) > 10**300) else False


def one(*values: Any) -> Taken:
    """These values."""
    return lambda value: isinstance(value, str | bool | None.__class__) and value in values


def numbers(ndims: Sequence[int] = tuple(range(33)), kinds: str = "fiub") -> Taken:
    """Arrays, or lists, of finite numbers."""

    def taken(value: Any) -> bool:
        if isinstance(value, np.ma.MaskedArray | str | bytes | dict | set | jax.ShapeDtypeStruct):
            return False
        try:
            array = np.asarray(value)
            kind = "f" if jnp.issubdtype(array.dtype, jnp.floating) else array.dtype.kind
            return kind in kinds and array.ndim in ndims and array.size > 0 and bool(np.isfinite(array).all())
        except Exception:
            return False

    return taken


def either(*kinds: Taken) -> Taken:
    """What any of these takes."""
    return lambda value: any(kind(value) for kind in kinds)


def anything(value: Any) -> bool:
    """Whatever it is."""
    return True


def never(value: Any) -> bool:
    """Nothing else."""
    return False
