"""What do replicas side by side cost in one layer: as grouped convolutions, as `vmap` makes them, and as products?

A layer of 8 replicas, each with a kernel of its own, and its gradients; beside them one replica alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from _accelerator.session import Session
from _accelerator.timing import compiled, of_jax, seconds_per_call
from shiftjax.nets import _correlation, _forms

REPLICAS = 8
LAYERS = {"50^2, 8 to 8": (50, 8, 8), "21^2, 16 to 16": (21, 16, 16), "202^2, 16 to 16": (202, 16, 16)}
TINY = {"9^2, 2 to 2": (9, 2, 2)}


def measure(session: Session) -> None:
    """A row for each layer."""
    for name, sizes in (TINY if session.tiny else LAYERS).items():
        session.need(3)
        with session.attempt(name):
            _layer(session, name, *sizes)


def _layer(session: Session, name: str, side: int, channels: int, features: int) -> None:
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (REPLICAS, 1, side, side, channels))
    kernel = jax.random.normal(keys[1], (REPLICAS, 3, 3, channels, features)) / (9 * channels) ** 0.5

    def gradients(form: Callable[..., Any]) -> Callable[..., Any]:
        return jax.grad(lambda x, kernel: jnp.sum(form(x, kernel, padding="VALID") ** 2), argnums=(0, 1))

    direct, product = gradients(_forms.direct), gradients(_correlation._one_product)
    programs = {
        "one": (direct, x[0], kernel[0]),
        "one, product": (product, x[0], kernel[0]),
        "grouped": (jax.vmap(direct), x, kernel),
        "products": (jax.vmap(product), x, kernel),
        "in turn": (partial(jax.lax.map, lambda both: direct(*both)), (x, kernel)),
    }
    with ThreadPoolExecutor(len(programs)) as pool:
        ready = dict(zip(programs, pool.map(lambda job: compiled(*job)[0], programs.values()), strict=True))
    calls = {how: of_jax(partial(ready[how], *arguments)) for how, (_, *arguments) in programs.items()}
    seconds = seconds_per_call(calls)
    session.row(layer=name, replicas=REPLICAS, **{f"{how} us": 1e6 * taken for how, taken in seconds.items()})
