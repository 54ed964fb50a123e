"""Do the claims hold on this device: moved images, and tiles, give the same pixels?

In int32, where sums wrap around, bit for bit. Not every backend convolves int32; so also in float32 on small whole
numbers, which it adds exactly if the algorithm only adds and multiplies them. Last in floating point as it is used,
where the error is measured, beside that of half a period, which must be larger by far.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _variables import drawn_variables
from jax.tree_util import Partial

import shiftjax as sj
from _accelerator.limits import PRECISIONS, dtype
from _accelerator.session import Session

SIZE = 80  # pixels per axis of the image
NET: dict[str, Any] = {"features": 8, "factors": (2, 2), "crop": None}


def measure(session: Session) -> None:
    """A row for each arithmetic."""
    shape = jax.ShapeDtypeStruct((1, SIZE, SIZE, 1), jnp.int32)
    integers = sj.UNet(3, **NET, param_dtype=jnp.int32)
    with session.attempt("int32"):
        from shiftjax.testing import integer_variables

        _row(session, "int32", integers, integer_variables(jax.random.key(1), integers, shape), np.int32)
    floats = sj.UNet(3, **NET)
    shapes = jax.eval_shape(floats.init, jax.random.key(0), jax.ShapeDtypeStruct(shape.shape, jnp.float32))
    with session.attempt("whole numbers"), jax.default_matmul_precision("highest"):
        _row(session, "float32, whole numbers", floats, _few_whole_numbers(shapes), np.float32)
    variables = jax.device_put(drawn_variables(floats))
    for precision, setting in PRECISIONS.items():
        with session.attempt(precision), jax.default_matmul_precision(setting):
            _row(session, precision, floats.clone(dtype=dtype(precision)), variables, None)


def _row(session: Session, name: str, net: sj.UNet, variables: Any, kind: Any) -> None:
    """The largest differences, in units of the output's standard deviation; 0 means bit for bit."""
    apply = Partial(net.apply, variables)
    (period, _), rng = net.period, np.random.default_rng(0)

    def image(side: int) -> np.ndarray:
        shape = (1, side, side, 1)
        return rng.normal(size=shape).astype(np.float32) if kind is None else rng.integers(0, 4, shape).astype(kind)

    picture = image(SIZE)
    plan = sj.plan_tiles(apply, picture.shape, tile=4 * period, dtype=picture.dtype)
    run, (size, _) = jax.jit(apply), plan.padded_space
    large = image(size + period)

    def moved(shift: int) -> np.ndarray:
        return np.asarray(run(large[:, shift : shift + size, shift : shift + size])).astype(np.float64)

    first = moved(0)
    spread = float(np.std(first))

    def difference(shift: int) -> float:
        return float(np.abs(first[:, shift:, shift:] - moved(shift)[:, :-shift, :-shift]).max()) / spread

    whole = np.asarray(run(jnp.pad(picture, plan.pad_width, mode=plan.pad or "reflect")))[plan.whole_crop].astype(
        np.float64
    )
    stitched = sj.predict_tiled(apply, picture, plan).astype(np.float64)
    session.row(
        arithmetic=name,
        **{
            "one period": difference(period),
            "half a period": difference(period // 2),
            "tiles": float(np.abs(stitched - whole).max()) / float(np.std(whole)),
            "proved": plan.equals_whole,
        },
    )


def _few_whole_numbers(shapes: Any) -> Any:
    """Two weights of 1 or -1 for each output channel, so that no sum leaves the whole numbers that float32 holds."""
    rng = np.random.default_rng(2)

    def draw(leaf: Any) -> np.ndarray:
        if len(leaf.shape) == 1:
            return rng.integers(0, 2, leaf.shape).astype(np.float32)
        rows = np.zeros((int(np.prod(leaf.shape[:-1])), leaf.shape[-1]), np.float32)
        for column in rows.T:
            column[rng.choice(len(rows), min(2, len(rows)), replace=False)] = rng.choice([-1, 1, 1], min(2, len(rows)))
        return rows.reshape(leaf.shape)

    return jax.tree.map(draw, shapes)
