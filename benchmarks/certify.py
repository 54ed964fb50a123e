"""How long does a certificate take, beside the trace that it reads, and does that depend on the image's size?"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from _timing import time_alternating
from jax.tree_util import Partial

import shiftjax as sj


def functions(net: sj.UNet, side: int) -> dict[str, Callable[[], Any]]:
    """The trace alone, and the certificate, which traces too."""
    x = jax.ShapeDtypeStruct((1, *(side,) * net.ndim, 1), jnp.float32)
    fn = Partial(net.apply, jax.eval_shape(net.init, jax.random.key(0), x))

    def trace() -> Any:
        return jax.make_jaxpr(lambda f, v: f(v))(fn, x)

    return {"trace": trace, "certify": partial(sj.certify, fn, x)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print("| four-level U-Net | trace, ms | trace and proof, ms | proof, ms |\n|---|---|---|---|")
    for ndim, side in ((2, 236), (2, 1004), (3, 236), (3, 1004)):
        seconds = time_alternating(functions(sj.UNet(3, ndim=ndim, factors=((2,) * ndim,) * 4), side), options.repeats)
        trace, total = (1e3 * seconds[name] for name in ("trace", "certify"))
        print(f"| {ndim}-D, {side}^{ndim} | {trace:.0f} | {total:.0f} | {total - trace:.0f} |", flush=True)


if __name__ == "__main__":
    main()
