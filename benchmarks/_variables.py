"""Weights of a network, drawn on the host: `init` would have to be compiled."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import shiftjax as sj


def drawn_variables(net: sj.UNet) -> Any:
    """Variables that keep the signal's size, for images of one channel."""
    size = [axis[0][0] for axis in net.legal_sizes(1)]
    shapes = jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *size, 1), np.float32))
    rng = np.random.default_rng(0)

    def draw(leaf: Any) -> np.ndarray:
        fan = max(1, int(np.prod(leaf.shape[:-1])))
        return (rng.normal(size=leaf.shape) * np.sqrt(2 / fan)).astype(np.float32)

    return jax.tree.map(draw, shapes)
