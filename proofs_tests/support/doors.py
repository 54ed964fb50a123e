"""Every public function with arguments that it takes, and what else each argument may be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

import shiftjax as sj
import shiftjax.testing
import shiftjax.training
from proofs_tests.support.bad_values import Taken, anything, count, either, numbers, one, real

ASSERTS = ("testing.assert_periodic_equivariant", "testing.assert_stitches")  # they answer by AssertionError


@dataclass(frozen=True)
class Door:
    """A public function.

    Attributes:
        name: in `shiftjax`.
        call: the function.
        good: arguments that it takes; a callable of none with the attribute `fresh` makes one anew.
        takes: what else an argument may be.
    """

    name: str
    call: Callable[..., Any]
    good: dict[str, Any]
    takes: dict[str, Taken] = field(default_factory=dict)


def fresh(make: Callable[[], Any]) -> Callable[[], Any]:
    """An argument that is made anew for every call."""
    make.fresh = True  # type: ignore[attr-defined]
    return make


def pair(value: Any) -> bool:
    """One size per axis of a plane."""
    return isinstance(value, list) and value == [1, 2]


def picture(value: Any) -> bool:
    """An image of floats, of which nobody looks whether they are numbers."""
    return isinstance(value, np.ndarray) and value.shape == (1, 8, 8, 1) and value.dtype == np.float32


def smear(image: Any) -> Any:
    """A small network: valid, period 1."""
    return image[:, 1:-1] + image[:, 2:]


def doors(folder: Path) -> Iterator[Door]:
    """All of them.

    Args:
        folder: for what is written.
    """
    number = itertools.count()
    place = fresh(lambda: str(folder / f"target{next(number)}"))
    key, labels = jax.random.key(0), np.repeat(np.arange(8), 8).reshape(1, 8, 8).astype(np.int32)
    embedding = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype(np.float32)
    image, struct = np.ones((1, 8, 8, 1), np.float32), jax.ShapeDtypeStruct((1, 8, 8, 1), "float32")
    plan, same = sj.plan_tiles(smear, (1, 8, 8, 1), tile=4), sj.plan_tiles(lambda x: x, (1, 8, 8, 2), tile=4)
    stored = np.arange(64, dtype=np.float32).reshape(8, 8)
    net = sj.UNet(2, features=2, factors=((2, 2),), convs=1)
    truth = numbers((3,), "iu")
    yield Door(
        "average_precision", sj.average_precision, {"true": labels, "pred": labels, "iou": 0.5}, {"iou": real(0, 1)}
    )
    yield Door(
        "split_merge_counts",
        sj.split_merge_counts,
        {"true": labels, "pred": labels, "tau": 0.05},
        {"tau": real(-1e-9, 1)},
    )
    yield Door("relabel", sj.relabel, {"labels": labels}, {"labels": numbers(kinds="iu")})
    yield Door(
        "connected_components",
        sj.connected_components,
        {"codes": labels, "background": 0},
        {"codes": numbers(range(2, 33), "iu"), "background": count(-(2**63))},
    )
    yield Door(
        "drop_small",
        sj.drop_small,
        {"labels": labels, "min_size": 2},
        {"labels": numbers(range(2, 33), "iu"), "min_size": count(0)},
    )
    yield Door(
        "distinct_embeddings",
        sj.distinct_embeddings,
        {"embedding": embedding, "labels": labels, "tolerance": 0.1},
        {"tolerance": real(-1e-9)},
    )
    yield Door(
        "seam_disagreement",
        sj.seam_disagreement,
        {"found": labels, "plan": plan, "true": labels},
        {"true": one(None)},
    )
    yield Door(
        "mean_shift",
        sj.mean_shift,
        {"embedding": embedding, "bandwidth": 0.5, "seeds": 10, "key": key, "kernel": "flat", "mask": labels > 3,
         "max_centroids": 5, "max_iter": 10, "tol": 1e-3},
        {"bandwidth": real(1e-18, 1e18), "seeds": count(1), "key": one(None), "kernel": one("flat", "gaussian"),
         "mask": one(None), "max_centroids": either(one(None), count(1)), "max_iter": count(1),
         "tol": real(-1e-9), "embedding": lambda v: False},
    )  # fmt: skip
    yield Door(
        "discriminative_loss",
        sj.discriminative_loss,
        {"embedding": embedding, "labels": labels, "max_instances": 8, "delta_var": 0.5, "delta_dist": 1.5,
         "alpha": 1.0, "beta": 1.0, "gamma": 1e-3, "background": "push"},
        {"max_instances": count(8, 10**9), "background": one("instance", "ignore", "push"), "embedding": picture,
         **dict.fromkeys(("delta_var", "delta_dist", "alpha", "beta", "gamma"), real(-1e-9, 3e38))},
    )  # fmt: skip
    yield Door(
        "certify",
        sj.certify,
        {"fn": smear, "x": struct, "spatial_axes": (1, 2), "output_axes": (1, 2)},
        {"spatial_axes": one(None), "output_axes": one(None), "x": lambda v: getattr(v, "shape", ()) == (1, 2**20, 2**20, 1)
         or (getattr(v, "ndim", 0) >= 3 and hasattr(v, "dtype"))},
    )  # fmt: skip
    yield Door(
        "plan_tiles",
        sj.plan_tiles,
        {"fn": smear, "image_shape": (1, 8, 8, 1), "tile": 4, "pad": "edge", "spatial_axes": (1, 2), "dtype": "float32",
         "memory_bytes": 10**8, "illegal_tile": False},
        {"tile": either(one(None), count(1), pair),
         "memory_bytes": either(one(None), count(10**4)), "pad": one("reflect", "edge", "constant"),
         "spatial_axes": either(one(None), pair), "illegal_tile": one(True)},
    )  # fmt: skip
    yield Door(
        "predict_tiled",
        sj.predict_tiled,
        {"fn": smear, "image": image, "plan": plan, "batch_size": 1, "devices": None, "mesh": None},
        {"batch_size": either(one(None), count(1, 64)), "devices": one(None), "mesh": one(None)},
    )
    yield Door(
        "predict_volume",
        sj.predict_volume,
        {"fn": smear, "source": stored, "target": place, "plan": plan, "axes": "yx", "channel": None, "preprocess": None,
         "where": None, "region": None, "resume": True, "progress": False, "client": None, "batch_size": None,
         "devices": None, "mesh": None},
        {"axes": one(None), "channel": one(None), "preprocess": one(None), "where": one(None), "region": one(None),
         "resume": one(True), "progress": one(True), "client": one(None), "batch_size": either(one(None), count(1, 64)),
         "devices": one(None), "mesh": one(None), "target": one("abc", "1", "a/b", "x" * 5000)},
    )  # fmt: skip
    yield Door(
        "segment_volume",
        sj.segment_volume,
        {"embedding": embedding[0], "target": place, "plan": same, "bandwidth": 0.5, "foreground": None, "min_size": 0,
         "key": key, "channels": slice(None), "codebook": np.eye(2, dtype=np.float32), "samples": 50, "seeds": 20,
         "axes": "yxc", "name": "a", "resume": True, "progress": False, "client": None},
        {"bandwidth": real(1e-18, 1e18), "foreground": one(None), "min_size": count(0),
         "channels": lambda v: isinstance(v, slice) or (isinstance(v, range | list | tuple) and list(v) in ([0], [1], [0, 1])),
         "codebook": either(one(None), numbers((2,), "fiub")), "samples": count(1), "seeds": count(1), "axes": one(None),
         "name": one("abc", "1"), "resume": one(True), "progress": one(True), "client": one(None),
         "target": one("abc", "1", "a/b", "x" * 5000)},
    )  # fmt: skip
    yield Door(
        "volume.open_source",
        sj.volume.open_source,
        {"source": stored, "axes": "yx", "level": 0, "channel": None, "planes": False, "storage_options": None},
        {
            "source": either(numbers((2,), "fiubc"), picture),
            "axes": one(None),
            "channel": one(None),
            "storage_options": one(None),
        },
    )
    yield Door(
        "volume.new_target",
        sj.volume.new_target,
        {"path": place, "dtype": "float32", "zarr_format": 3, "levels": 2, "storage_options": None},
        {"path": one("abc", "1", "a/b", "x" * 5000), "dtype": either(one(None), lambda v: v is int), "levels":
         either(one(None), count(1, 32)), "zarr_format": either(one(None), count(2, 3)),
         "storage_options": lambda v: v is None or v == {}},
    )  # fmt: skip
    yield Door(
        "volume.normalize",
        sj.volume.normalize,
        {"source": stored, "low": 1, "high": 99, "axes": "yx", "channel": None},
        {"low": real(-1e-9, 98), "high": real(1, 100), "axes": one(None), "channel": one(None)},
    )
    yield Door("volume.open_prediction", sj.volume.open_prediction, {"target": place, "output": ""})
    yield Door(
        "lattice_capacity",
        sj.lattice_capacity,
        {"period": (4, 4), "lattice": (2, 3)},
        {"period": lambda v: isinstance(v, list | tuple) and len(v) == 2 and all(isinstance(n, int) and n > 0 for n in v),
         "lattice": lambda v: (isinstance(v, list | tuple) and len(v) == 2 and all(isinstance(n, int) and n > 0 for n in v))
         or (isinstance(v, np.ndarray) and v.shape == (2, 2) and v.dtype.kind == "i")},
    )  # fmt: skip
    sizes = lambda v: (
        isinstance(v, list | tuple | range) and len(v) > 0 and all(isinstance(n, int) and n > 0 for n in v)
    )
    yield Door("theory.capacity", sj.theory.capacity, {"period": (4, 4)}, {"period": sizes})
    yield Door("theory.training_window", sj.theory.training_window, {"period": (4, 4)}, {"period": sizes})
    two = {"period": sizes, "stride": either(count(1), sizes), "window": either(count(1), sizes)}
    yield Door("theory.legal_tile", sj.theory.legal_tile, {"stride": (4, 4), "period": (4, 4)}, two)
    yield Door("theory.sees_every_neighbour", sj.theory.sees_every_neighbour, {"window": (5, 5), "period": (4, 4)}, two)
    yield Door(
        "theory.share_one_phase",
        sj.theory.share_one_phase,
        {"stride": (4, 4), "period": (4, 4), "grid": (2, 2)},
        {**two, "grid": either(count(1), sizes)},
    )
    yield Door(
        "theory.nearest_capacity",
        sj.theory.nearest_capacity,
        {"factors": (2, 2), "pitch": 3},
        {"factors": either(sizes, lambda v: v in ([], ())), "pitch": count(1)},
    )
    space = lambda v: (
        isinstance(v, list | tuple) and 0 < len(v) <= 3 and all(isinstance(n, int) and 0 < n < 99 for n in v)
    )
    yield Door("synthetic.constant", sj.synthetic.constant, {"shape": (8, 8)}, {"shape": space})
    disc = {"shape": (20, 20), "pitch": 10, "radius": 3, "origin": None}
    of_disc = {"shape": space, "pitch": count(5, 2**30), "radius": real(0, 5), "origin": either(one(None), count(-(2**31), 2**31), space,
               lambda v: v == (-1, -1) if isinstance(v, tuple) else False)}  # fmt: skip
    yield Door("synthetic.disc_lattice", sj.synthetic.disc_lattice, disc, of_disc)
    yield Door("synthetic.disc_count", sj.synthetic.disc_count, disc, of_disc)
    yield Door(
        "synthetic.elastic",
        sj.synthetic.elastic,
        {"key": key, "image": image, "labels": labels, "spacing": 4, "jitter": 0.2},
        {"spacing": count(1), "jitter": real(-1e-9), "image": picture},
    )
    yield Door(
        "synthetic.noise",
        sj.synthetic.noise,
        {"key": key, "image": image, "variance": 0.1},
        {"variance": real(-1e-9), "image": picture},
    )
    yield Door(
        "synthetic.random_crop",
        sj.synthetic.random_crop,
        {"key": key, "image": image, "labels": labels, "size": 4},
        {"size": either(count(1, 8), pair), "image": picture},
    )
    yield Door(
        "synthetic.nuclei",
        sj.synthetic.nuclei,
        {"key": key, "shape": (40, 40), "count": 2, "radius": 5, "touching": 0.3, "blur": 1.0, "photons": 60, "read_noise": 0.02},
        {"shape": lambda v: False, "count": either(one(None), count(1, 20)), "radius": real(1.99, 20), "touching": real(-1e-9, 1),
         "blur": real(-1e-9, 10), "photons": real(0, 1e6), "read_noise": real(-1e-9)},
    )  # fmt: skip
    yield Door(
        "UNet",
        sj.UNet,
        {"out_channels": 2, "ndim": 2, "features": 2, "growth": 2, "factors": ((2, 2),), "convs": 1, "decoder_convs": 1,
         "kernel_size": 3, "head_kernel_size": 1, "activation": jax.nn.relu, "padding": "VALID", "upsample": "learned",
         "norm": None, "crop": "top", "dtype": None, "param_dtype": jnp.float32},
        {**dict.fromkeys(("out_channels", "features", "growth", "convs"), count(1, 2**31)), "ndim": count(1, 3),
         "decoder_convs": either(one(None), count(1, 2**31)), "factors": either(sizes, lambda v: v in ((), [])),
         "kernel_size": either(count(1, 2**31), pair),
         "head_kernel_size": either(count(1, 2**31), pair),
         "activation": callable, "norm": one(None), "crop": one(None), "dtype": either(one(None), lambda v: v is int),
         "param_dtype": lambda v: v is int},
    )  # fmt: skip
    yield Door(
        "UNet.legal_sizes",
        net.legal_sizes,
        {"wish": 20},
        {"wish": either(count(1), pair)},
    )
    yield Door("TilePlan.from_json", sj.TilePlan.from_json, {"text": plan.to_json()})
    yield Door("Certificate.from_json", sj.Certificate.from_json, {"text": plan.certificate.to_json()})
    yield Door(
        "testing.assert_periodic_equivariant",
        sj.testing.assert_periodic_equivariant,
        {"fn": smear, "x": struct, "period": 1, "key": key},
        {"period": either(one(None), count(1), pair), "key": one(None),
         "x": lambda v: getattr(v, "ndim", 0) >= 3 and v.size > 0},
    )  # fmt: skip
    yield Door(
        "testing.assert_stitches",
        sj.testing.assert_stitches,
        {"fn": smear, "plan": plan, "key": key},
        {"key": one(None)},
    )
    yield Door(
        "testing.examine",
        sj.testing.examine,
        {"fn": smear, "x": struct, "key": key},
        {"key": one(None), "x": lambda v: getattr(v, "ndim", 0) >= 3},
    )
    small = jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.int32)
    yield Door(
        "testing.integer_variables",
        sj.testing.integer_variables,
        {"key": key, "net": net, "x": small},
        {"x": lambda v: getattr(v, "ndim", 0) == 4},
    )
    yield Door(
        "testing.splitting_map",
        sj.testing.splitting_map,
        {"labels": labels[0], "period": (2, 2), "push": 3.0},
        {"labels": numbers((2,), "iu"), "period": sizes, "push": real(0, 3e38)},
    )
    yield Door(
        "testing.phase_code",
        sj.testing.phase_code,
        {"net": net, "x": small},
        {"x": lambda v: getattr(v, "ndim", 0) == 4},
    )
    yield Door(
        "testing.injective",
        sj.testing.injective,
        {"x": image},
        {
            "x": lambda v: isinstance(
                v, int | float | complex | list | tuple | range | np.ndarray | np.generic | jax.Array
            )
        },
    )
    yield Door(
        "training.Checkpoints",
        shiftjax.training.Checkpoints,
        {"folder": place, "keep": 2},
        {"folder": one("abc", "1", "a/b"), "keep": count(1)},
    )
    optimizer = optax.sgd(0.1)
    yield Door(
        "training.initial_state",
        shiftjax.training.initial_state,
        {"key": key, "net": net, "optimizer": optimizer, "image": jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.float32)},
    )
    sample: Any = lambda k: (jnp.ones((1, 20, 20, 1)), jnp.zeros((1, 12, 12), int))  # noqa: E731
    loss: Any = lambda e, lab: e.sum()  # noqa: E731
    good_step = {"net": net, "optimizer": optimizer, "sample": sample, "loss": loss}
    yield Door("training.make_step", shiftjax.training.make_step, good_step, {"sample": callable, "loss": callable})
    state = shiftjax.training.initial_state(key, net, optimizer, jnp.ones((1, 20, 20, 1)))
    yield Door("training.stack", shiftjax.training.stack, {"states": [state]})
    stacked = shiftjax.training.stack([state])
    yield Door("training.unstack", shiftjax.training.unstack, {"states": stacked})
    yield Door(
        "training.train",
        shiftjax.training.train,
        {"step": shiftjax.training.make_step(**good_step), "states": stacked, "steps": 0, "checkpoints": None, "every": 5,
         "progress": None},
        {"steps": count(0, 3), "checkpoints": one(None), "every": count(1), "progress": lambda v: isinstance(v, str) or v is None,
         "step": callable},
    )  # fmt: skip
    yield Door(
        "volume.Recompute",
        sj.volume.Recompute,
        {"fn": smear, "source": stored},
        dict.fromkeys(("fn", "source"), anything),
    )


__all__ = ["ASSERTS", "Door", "Partial", "doors", "fresh"]
