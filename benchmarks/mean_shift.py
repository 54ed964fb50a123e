"""How long does mean shift take beside scikit-learn's, and how much memory does a large image need?

The flat kernel and the same seeds on both sides, which must find the same centroids and labels.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from typing import Any

import jax
import numpy as np
from _timing import time_alternating

from shiftjax.clustering import Clusters, mean_shift

MIB = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss counts bytes there and kilobytes elsewhere


def pixels(side: int, channels: int, clusters: int = 50) -> np.ndarray:
    """Embeddings like those of a trained network: tight clusters and a few pixels in between."""
    rng = np.random.default_rng(0)
    centres = 4 * rng.normal(size=(clusters, channels))
    x = centres[rng.integers(0, clusters, side**2)] + 0.3 * rng.normal(size=(side**2, channels))
    stray = rng.random(side**2) < 0.02
    x[stray] = 6 * rng.normal(size=(stray.sum(), channels))
    return x.astype(np.float32).reshape(side, side, channels)


def peak() -> float:
    """Largest memory of the process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def large() -> None:
    """The memory of one large image; run before everything else, because a peak never falls."""
    x = jax.block_until_ready(jax.device_put(pixels(1024, 8)))
    mean_shift(x[:64, :64], bandwidth=0.5, seeds=10).labels.block_until_ready()
    before = peak()
    start = time.perf_counter()
    clusters = jax.block_until_ready(mean_shift(x, bandwidth=0.5, seeds=1000))
    seconds = time.perf_counter() - start
    print(
        f"1024^2 x 8, Gaussian, 1000 seeds: {int(clusters.valid.sum())} centroids in {seconds:.1f} s with compilation; "
        f"{peak() - before:.0f} MiB beside the image of {x.nbytes / 2**20:.0f} MiB",
        flush=True,
    )


def beside_scikit_learn(side: int, channels: int, seeds: int, repeats: int) -> None:
    from sklearn.cluster import MeanShift

    x = pixels(side, channels)
    flat = x.reshape(-1, channels)
    start = flat[np.random.default_rng(1).choice(len(flat), seeds, replace=False)]
    results: dict[str, Any] = {}

    def ours() -> None:
        results["shiftjax"] = jax.block_until_ready(mean_shift(x, bandwidth=1.2, seeds=start, kernel="flat"))

    def theirs() -> None:
        results["sklearn"] = MeanShift(bandwidth=1.2, seeds=start.astype(np.float64)).fit(flat.astype(np.float64))

    seconds = time_alternating({"shiftjax": ours, "sklearn": theirs}, repeats)
    clusters: Clusters = results["shiftjax"]
    centroids = np.asarray(clusters.centroids)[np.asarray(clusters.valid)]
    peer = results["sklearn"]
    equal = centroids.shape == peer.cluster_centers_.shape and np.allclose(centroids, peer.cluster_centers_, atol=1e-3)
    different = np.mean(np.asarray(clusters.labels).reshape(-1) - 1 != peer.labels_) if equal else np.nan
    print(
        f"{f'{side}^2 x {channels}':>10} {seeds:6} {len(centroids):10} {seconds['shiftjax']:11.3f}"
        f" {seconds['sklearn']:10.2f} {seconds['sklearn'] / seconds['shiftjax']:6.0f}x"
        f" {'equal' if equal else 'DIFFER':>10} {different:13.1e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-large", action="store_true", help="leave out the large image")
    options = parser.parse_args()
    if not options.no_large:
        large()
    print(f"{'pixels':>10} {'seeds':>6} {'centroids':>10} {'shiftjax, s':>11} {'sklearn, s':>10} {'ratio':>7}", end="")
    print(f" {'centroids':>10} {'other labels':>13}")
    for side, channels, seeds in ((128, 3, 1000), (128, 8, 1000), (256, 3, 200)):
        beside_scikit_learn(side, channels, seeds, options.repeats)


if __name__ == "__main__":
    main()
