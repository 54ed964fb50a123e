"""How long do the loss and mean shift take, beside a twin in PyTorch on the device and scikit-learn on the host?"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax
import numpy as np

import shiftjax as sj
from _accelerator.session import Session
from _accelerator.timing import compiled, of_jax, seconds_per_call


def measure(session: Session) -> None:
    """A row for each size."""
    for instances, side in ((5, 32), (20, 32)) if session.tiny else ((50, 256), (500, 256), (500, 1024)):
        session.need(2)
        with session.attempt(f"loss of {instances} instances"):
            _loss(session, instances, side, channels=16)
    for side, seeds in ((32, 10),) if session.tiny else ((1024, 1000), (128, 200)):
        session.need(2)
        with session.attempt(f"mean shift of {side}^2 pixels"):
            _mean_shift(session, side, seeds)


def _loss(session: Session, instances: int, side: int, channels: int) -> None:
    from loss_vs_instances import image, in_torch, torch

    embedding, labels = image(instances, side, channels)
    x, ids = jax.device_put((embedding, labels))
    loss = jax.value_and_grad(partial(sj.discriminative_loss, max_instances=instances), has_aux=True)
    program, seconds = compiled(loss, x, ids)
    calls = {"jax": of_jax(lambda: program(x, ids))}
    (value, _), gradient = program(x, ids)
    error = float("nan")
    if torch is not None:
        device = "cpu" if jax.default_backend() == "cpu" else "cuda"
        run = in_torch(embedding, labels, instances, device)  # fetches the value, so it waits for every call
        theirs, twin = run()
        twin = twin.cpu().numpy().reshape(embedding.shape)
        error = float(np.abs(twin - gradient).max() / np.abs(twin).max())
        if not (np.isclose(theirs, value, rtol=1e-3) and error < 1e-2):
            raise AssertionError(f"the twin computes another loss: {theirs} and {float(value)}, gradients {error:.2g}")
        calls["torch"] = (run, lambda _: None)
        calls["jax, waited for"] = (lambda: jax.block_until_ready(program(x, ids)), lambda _: None)
    taken = seconds_per_call(calls)
    session.row(
        loss=f"{side}^2 x {channels}, forward and backward",
        instances=instances,
        **{f"{name} ms": 1e3 * taken.get(name, float("nan")) for name in ("jax", "jax, waited for", "torch")},
        **{
            "torch/JAX": taken.get("torch", float("nan")) / taken.get("jax, waited for", taken["jax"]),
            "compiled in s": seconds,
            "difference": error,
        },
    )


def _mean_shift(session: Session, side: int, seeds: int) -> None:
    from mean_shift import pixels

    x = pixels(side, 8)
    flat = x.reshape(-1, 8)
    positions = flat[np.random.default_rng(1).choice(len(flat), seeds, replace=False)]
    there = jax.device_put(x)

    def ours() -> Any:
        return jax.block_until_ready(sj.mean_shift(there, bandwidth=1.2, seeds=positions, kernel="flat"))

    begun = time.perf_counter()
    clusters = ours()
    first = time.perf_counter() - begun
    seconds = seconds_per_call({"jax": (ours, lambda _: None)}, turns=3)["jax"]
    theirs, equal = float("nan"), "not run"
    if side <= 128 and session.left > 10:  # scikit-learn takes minutes for more
        from sklearn.cluster import MeanShift

        begun = time.perf_counter()
        peer = MeanShift(bandwidth=1.2, seeds=positions.astype(np.float64)).fit(flat.astype(np.float64))
        theirs = time.perf_counter() - begun
        centroids = np.asarray(clusters.centroids)[np.asarray(clusters.valid)]
        found = peer.cluster_centers_
        equal = str(centroids.shape == found.shape and bool(np.allclose(centroids, found, atol=1e-3)))
    session.row(
        **{
            "mean shift": f"{side}^2 x 8",
            "seeds": seeds,
            "centroids": int(clusters.valid.sum()),
            "JAX ms": 1e3 * seconds,
            "scikit-learn ms": 1e3 * theirs,
            "compiled in s": first - seconds,
            "equal centroids": equal,
        }
    )
