"""What can the device do at most? Every other part is held against these numbers, measured, not promised."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from _accelerator.session import Session
from _accelerator.timing import compiled, of_jax, seconds_per_call

# How JAX calls them. On a GPU its default for float32 is TF32: float32 in memory, 10 bits of mantissa in products.
PRECISIONS = {"float32": "highest", "TF32": "tensorfloat32", "bfloat16": "bfloat16"}


def dtype(precision: str) -> Any:
    """Of the arrays that are computed with."""
    return jnp.bfloat16 if precision == "bfloat16" else jnp.float32


def measure(session: Session) -> None:
    """FLOP/s of a matrix product, bytes/s of a copy and over the bus, and what a call costs."""
    limits = session.machine.setdefault("limits", {})
    for precision in PRECISIONS:
        with session.attempt(f"product in {precision}"):
            limits[precision] = flops = _product(session, precision)
            session.row(limit=f"matrix product, {precision}", value=flops / 1e12, unit="TFLOP/s")
    with session.attempt("copy"):
        limits["bytes"] = rate = _copy(session)
        session.row(limit="copy, read and written", value=rate / 1e9, unit="GB/s")
    with session.attempt("transfers"):
        to_device, to_host = _transfers(session)
        session.row(limit="host to device", value=to_device / 1e9, unit="GB/s")
        session.row(limit="device to host", value=to_host / 1e9, unit="GB/s")
    with session.attempt("launch"):
        queued, waited = _launch()
        limits["launch"] = queued
        session.row(limit="call of an empty program, queued", value=1e6 * queued, unit="us")
        session.row(limit="call of an empty program, waited for", value=1e6 * waited, unit="us")


def _product(session: Session, precision: str) -> float:
    side = 256 if session.tiny else 8192
    keys = jax.random.split(jax.random.key(0), 2)
    a, b = (jax.random.normal(key, (side, side), jnp.float32).astype(dtype(precision)) for key in keys)
    with jax.default_matmul_precision(PRECISIONS[precision]):
        product, _ = compiled(jnp.matmul, a, b)
    return 2 * side**3 / seconds_per_call({"product": of_jax(lambda: product(a, b))})["product"]


def _copy(session: Session) -> float:
    x = jnp.ones(2**18 if session.tiny else 2**26, jnp.float32)
    copy, _ = compiled(lambda x: x + 1, x)
    return 2 * x.nbytes / seconds_per_call({"copy": of_jax(lambda: copy(x))})["copy"]


def _transfers(session: Session) -> tuple[float, float]:
    host = np.ones(2**18 if session.tiny else 2**26, np.float32)
    device = jax.devices()[0]
    there = jax.block_until_ready(jax.device_put(host, device))
    bump, _ = compiled(lambda x: x + 1, there)
    # A fresh array every time: JAX keeps the copy on the host of one that was fetched.
    calls = {
        "to device": of_jax(lambda: jax.device_put(host, device)),
        "computed": of_jax(lambda: bump(there)),
        "fetched": (lambda: np.asarray(bump(there)), lambda _: None),
    }
    seconds = seconds_per_call(calls, turns=3)
    return host.nbytes / seconds["to device"], host.nbytes / max(seconds["fetched"] - seconds["computed"], 1e-9)


def _launch() -> tuple[float, float]:
    x = jnp.zeros(8)
    empty, _ = compiled(lambda x: x + 1, x)
    queued = seconds_per_call({"call": of_jax(lambda: empty(x))})["call"]
    waited = seconds_per_call({"call": (lambda: jax.block_until_ready(empty(x)), lambda _: None)})["call"]
    return queued, waited
