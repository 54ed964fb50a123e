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

import shiftjax as sj
from proofs_tests.fitting.small import discs
from proofs_tests.support.bad_values import Taken, anything, count, either, never, numbers, one, real

ASSERTS = ("testing.assert_periodic_equivariant", "testing.assert_stitches")  # they answer by AssertionError

KEY = jax.random.key(0)
LABELS = np.repeat(np.arange(8), 8).reshape(1, 8, 8).astype(np.int32)
EMBEDDING = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype(np.float32)
IMAGE, DESCRIBED = np.ones((1, 8, 8, 1), np.float32), jax.ShapeDtypeStruct((1, 8, 8, 1), "float32")
STORED = np.arange(64, dtype=np.float32).reshape(8, 8)
LARGER = jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.int32)
NONE, NUMBER, SHARE, WIDE = one(None), real(-1e-9), real(-1e-9, 1), real(-1e-9, 1e18)
OPTIONAL_COUNT = either(NONE, count(1, 64))
PATHS = one("abc", "1", "a/b", "'1'")


@dataclass(frozen=True)
class Door:
    """A public function.

    Attributes:
        name: in `shiftjax`.
        call: the function.
        good: arguments that it takes; `Fresh` ones are made anew for every call.
        takes: what else an argument may be.
    """

    name: str
    call: Callable[..., Any]
    good: dict[str, Any]
    takes: dict[str, Taken] = field(default_factory=dict)


@dataclass(frozen=True)
class Fresh:
    """An argument that is made anew for every call."""

    make: Callable[[], Any]


def smear(image: Any) -> Any:
    """A small network: valid, period 1."""
    return image[:, 1:-1] + image[:, 2:]


def below_the_largest(image: Any) -> Any:
    """A network with a statistic of the whole image."""
    return image - image.max((1, 2), keepdims=True)


def same(image: Any) -> Any:
    """A network that does nothing."""
    return image


def pair(value: Any) -> bool:
    """One size per axis of a plane."""
    return isinstance(value, list) and value == [1, 2]


def picture(value: Any) -> bool:
    """An image of floats, of which nobody looks whether they are numbers."""
    return isinstance(value, np.ndarray) and value.shape == (1, 8, 8, 1) and value.dtype == np.float32


def image_like(value: Any) -> bool:
    """Anything with the axes of an image."""
    return getattr(value, "ndim", len(getattr(value, "shape", ()))) >= 3 and not isinstance(value, np.ma.MaskedArray)


def sizes(value: Any) -> bool:
    """Positive integers, one or more."""
    listed = isinstance(value, list | tuple | range) and len(value) > 0
    return listed and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value)


def plane(value: Any) -> bool:
    """Two positive integers."""
    return sizes(value) and len(value) == 2


def empty(value: Any) -> bool:
    """A list of nothing."""
    return isinstance(value, list | tuple) and not value


def zero(value: Any) -> bool:
    """No share."""
    return isinstance(value, int) and value == 0


def a_type(value: Any) -> bool:
    """The type among the values."""
    return value is int


def doors(folder: Path) -> Iterator[Door]:
    """All of them.

    Args:
        folder: for what is written.
    """
    yield from _objects()
    yield from _tiles()
    yield from _volumes(folder)
    yield from _generators()
    yield from _networks(folder)
    yield from _fitted(folder)


def _objects() -> Iterator[Door]:
    pred = {"true": LABELS, "pred": LABELS}
    labelled = numbers(range(2, 33), "iu")
    yield Door("average_precision", sj.average_precision, {**pred, "iou": 0.5}, {"iou": real(0, 1)})
    yield Door("split_merge_counts", sj.split_merge_counts, {**pred, "tau": 0.05}, {"tau": SHARE})
    yield Door("relabel", sj.relabel, {"labels": LABELS}, {"labels": labelled})
    good: dict[str, Any] = {"codes": LABELS, "background": 0}
    yield Door(
        "connected_components", sj.connected_components, good, {"codes": labelled, "background": count(-(2**63))}
    )
    good = {"labels": LABELS, "min_size": 2}
    yield Door("drop_small", sj.drop_small, good, {"labels": labelled, "min_size": count(0)})
    good = {"embedding": EMBEDDING, "labels": LABELS, "tolerance": 0.1}
    yield Door("distinct_embeddings", sj.distinct_embeddings, good, {"tolerance": NUMBER})
    plan = sj.plan_tiles(smear, (1, 8, 8, 1), tile=4)
    drawn = {"labels": LABELS, "plan": plan}
    yield Door("plot.seams", sj.plot.seams, drawn, {"labels": labelled, "true": NONE})
    yield Door("plot.labels", sj.plot.labels, {"labels": LABELS}, {"labels": labelled, "image": NONE})
    seen = {"embedding": image_like, "foreground": NONE}
    yield Door("plot.embedding", sj.plot.embedding, {"embedding": EMBEDDING}, seen)
    yield Door(
        "seam_disagreement", sj.seam_disagreement, {"found": LABELS, "plan": plan, "true": LABELS}, {"true": NONE}
    )
    good = {"embedding": EMBEDDING, "bandwidth": 0.5, "seeds": 10, "key": KEY, "kernel": "flat", "mask": LABELS > 3}
    good |= {"max_centroids": 5, "max_iter": 10, "tol": 1e-3}
    takes: dict[str, Taken] = {"bandwidth": real(1e-18, 1e18), "seeds": count(1), "key": NONE, "mask": NONE}
    takes |= {"kernel": one("flat", "gaussian"), "max_centroids": either(NONE, count(1, 10**8)), "max_iter": count(1)}
    yield Door("mean_shift", sj.mean_shift, good, {**takes, "tol": NUMBER})
    good = {"embedding": EMBEDDING, "bandwidth": 0.5, "foreground": LABELS > 2, "min_size": 2}
    takes = {"bandwidth": real(1e-18, 1e18), "foreground": NONE, "min_size": count(0), "embedding": picture}
    yield Door("instances", sj.instances, good, takes)
    good = {"embedding": EMBEDDING, "labels": LABELS, "max_instances": 8, "delta_var": 0.5, "delta_dist": 1.5}
    good |= {"alpha": 1.0, "beta": 1.0, "gamma": 1e-3, "background": "push"}
    takes = dict.fromkeys(("delta_var", "delta_dist", "alpha", "beta", "gamma"), WIDE)
    takes |= {"max_instances": count(8, 10**7), "background": one("instance", "ignore"), "embedding": picture}
    yield Door("discriminative_loss", sj.discriminative_loss, good, takes)


def _tiles() -> Iterator[Door]:
    good: dict[str, Any] = {"fn": smear, "x": DESCRIBED, "spatial_axes": (1, 2), "output_axes": (1, 2)}
    listed = either(NONE, pair, lambda value: type(value).__name__ == "list_iterator")
    yield Door("certify", sj.certify, good, {"x": image_like, "spatial_axes": listed, "output_axes": listed})
    good = {"fn": smear, "image_shape": (1, 8, 8, 1), "tile": 4, "pad": "edge", "spatial_axes": (1, 2)}
    good |= {"dtype": "float32", "memory_bytes": 10**8, "illegal_tile": False, "stream": None}
    takes: dict[str, Taken] = {"tile": either(NONE, count(1), pair), "memory_bytes": either(NONE, count(10**4))}
    takes |= {
        "pad": either(NONE, one("reflect", "constant")),
        "spatial_axes": either(NONE, pair),
        "illegal_tile": one(True),
        "stream": either(one(True, False), count(0, 1)),
    }
    yield Door("plan_tiles", sj.plan_tiles, good, takes)
    plan = sj.plan_tiles(smear, (1, 8, 8, 1), tile=4)
    good = {"fn": smear, "image": IMAGE, "plan": plan, "batch_size": 1, "devices": None, "mesh": None}
    takes = {"batch_size": OPTIONAL_COUNT, "devices": NONE, "mesh": NONE}
    yield Door("predict_tiled", sj.predict_tiled, good, takes)
    good = {"fn": below_the_largest, "image": IMAGE, "plan": None, "tile": 4, "memory_bytes": None, "pad": None}
    good |= {"region": None, "axes": None, "channel": None, "preprocess": None}
    good |= {"journal": None, "progress": False, "client": None}
    takes = {
        "image": picture,
        "client": NONE,
        "memory_bytes": either(NONE, lambda value: isinstance(value, int) and value > 2**20),
    }
    takes |= {"tile": either(NONE, count(1), plane), "pad": either(NONE, one("reflect", "edge", "constant"))}
    takes |= {"plan": NONE, "region": NONE, "axes": NONE, "channel": NONE, "progress": one(True)}
    takes |= {"journal": either(NONE, PATHS), "preprocess": NONE, "client": NONE}
    yield Door("freeze_statistics", sj.freeze_statistics, good, takes)
    yield Door("TilePlan.from_json", sj.TilePlan.from_json, {"text": plan.to_json()})
    yield Door("Certificate.from_json", sj.Certificate.from_json, {"text": plan.certificate.to_json()})
    lattice = either(plane, numbers((2,), "iu"))
    good = {"period": (4, 4), "lattice": (2, 3)}
    yield Door("lattice_capacity", sj.lattice_capacity, good, {"period": plane, "lattice": lattice})
    yield Door("theory.capacity", sj.theory.capacity, {"period": (4, 4)}, {"period": sizes})
    yield Door("theory.training_window", sj.theory.training_window, {"period": (4, 4)}, {"period": sizes})
    two: dict[str, Taken] = {"period": sizes} | dict.fromkeys(("stride", "window", "grid"), either(count(1), sizes))
    yield Door("theory.legal_tile", sj.theory.legal_tile, {"stride": (4, 4), "period": (4, 4)}, two)
    yield Door("theory.sees_every_neighbour", sj.theory.sees_every_neighbour, {"window": (5, 5), "period": (4, 4)}, two)
    good = {"stride": (4, 4), "period": (4, 4), "grid": (2, 2)}
    yield Door("theory.share_one_phase", sj.theory.share_one_phase, good, two)
    takes = {"factors": either(sizes, empty), "pitch": count(1)}
    yield Door("theory.nearest_capacity", sj.theory.nearest_capacity, {"factors": (2, 2), "pitch": 3}, takes)


def _volumes(folder: Path) -> Iterator[Door]:
    number = itertools.count()
    place = Fresh(lambda: str(folder / f"target{next(number)}"))
    plan, of_embedding = sj.plan_tiles(smear, (1, 8, 8, 1), tile=4), sj.plan_tiles(same, (1, 8, 8, 2), tile=4)
    switches: dict[str, Taken] = {"resume": one(True), "progress": one(True), "accept_versions": one(True)}
    switches |= {"client": NONE, "target": PATHS, "axes": NONE, "verify": one(None, True)}
    options: dict[str, Any] = {"resume": True, "progress": False, "client": None, "accept_versions": False}
    options |= {"missing": "fill", "verify": False}
    good = {"fn": smear, "source": STORED, "target": place, "plan": plan, "axes": "yx", "channel": None}
    good |= {"preprocess": None, "where": None, "region": None, "batch_size": None, "devices": None, "mesh": None}
    takes: dict[str, Taken] = dict.fromkeys(("channel", "preprocess", "where", "region", "devices", "mesh"), NONE)
    takes["batch_size"] = OPTIONAL_COUNT
    yield Door("predict_volume", sj.predict_volume, {**good, **options}, {**switches, **takes})
    good = {"embedding": EMBEDDING[0], "target": place, "plan": of_embedding, "bandwidth": 0.5, "foreground": None}
    good |= {"min_size": 0, "key": KEY, "channels": slice(None), "codebook": np.eye(2, dtype=np.float32)}
    good |= {"samples": 50, "seeds": 20, "axes": "yxc", "name": "a"}
    mask = either(NONE, lambda value: isinstance(value, np.ndarray) and value.shape == (1, 8, 8, 1))
    takes = {"bandwidth": real(1e-18, 1e18), "foreground": mask, "min_size": count(0), "samples": count(1)}
    takes |= {"channels": lambda value: isinstance(value, slice), "codebook": either(NONE, numbers((2,), "fiub"))}
    takes |= {"seeds": count(1), "name": one("abc", "1", "'1'")}
    yield Door("segment_volume", sj.segment_volume, {**good, **options}, {**switches, **takes})
    good = {"source": STORED, "axes": "yx", "level": 0, "channel": None, "planes": False, "storage_options": None}
    takes = {"source": either(numbers((2, 4), "fiubc"), picture), "level": count(0, 0)}
    takes |= dict.fromkeys(("axes", "channel", "storage_options", "region"), NONE)
    more: dict[str, Any] = {"missing": "fill", "region": None, "wait": 0}
    yield Door("volume.open_source", sj.volume.open_source, {**good, **more}, {**takes, "wait": NUMBER})
    good = {"path": place, "dtype": "float32", "zarr_format": 3, "levels": 2, "storage_options": None}
    takes = {"path": PATHS, "dtype": either(NONE, a_type), "levels": either(NONE, count(1, 32))}
    takes |= {"zarr_format": either(NONE, count(2, 3)), "storage_options": lambda value: value is None or value == {}}
    yield Door("volume.new_target", sj.volume.new_target, good, takes)
    good = {"source": STORED, "low": 1, "high": 99, "axes": "yx", "channel": None}
    takes = {"low": real(-1e-9, 98), "high": real(1, 100), "axes": NONE, "channel": NONE}
    yield Door("volume.normalize", sj.volume.normalize, good, takes)
    made = str(folder / "made")
    sj.predict_volume(smear, STORED, made, plan, axes="yx", progress=False)
    good = {"target": made, "output": "", "region": None, "wait": 0}
    yield Door(
        "volume.open_prediction", sj.volume.open_prediction, good, {"region": NONE, "wait": NUMBER, "output": one("")}
    )
    anyhow: dict[str, Taken] = dict.fromkeys(("fn", "source"), anything)
    yield Door("volume.Recompute", sj.volume.Recompute, {"fn": smear, "source": STORED}, anyhow)


def _generators() -> Iterator[Door]:
    yield Door("synthetic.constant", sj.synthetic.constant, {"shape": (8, 8)}, {"shape": sizes})
    good: dict[str, Any] = {"shape": (20, 20), "pitch": 10, "radius": 3, "origin": None}
    takes: dict[str, Taken] = {"shape": plane, "pitch": count(5), "radius": real(0, 5)}
    takes["origin"] = either(NONE, count(-(2**31)), pair, lambda value: isinstance(value, tuple) and value == (-1, -1))
    yield Door("synthetic.disc_lattice", sj.synthetic.disc_lattice, good, takes)
    yield Door("synthetic.disc_count", sj.synthetic.disc_count, good, takes)
    drawn: dict[str, Any] = {"key": KEY, "image": IMAGE}
    takes = {"spacing": count(1), "jitter": NUMBER, "image": picture, "variance": NUMBER}
    good = {**drawn, "labels": LABELS, "spacing": 4, "jitter": 0.2}
    yield Door("synthetic.elastic", sj.synthetic.elastic, good, takes)
    yield Door("synthetic.noise", sj.synthetic.noise, {**drawn, "variance": 0.1}, takes)
    takes["size"] = either(count(1, 8), pair)
    yield Door("synthetic.random_crop", sj.synthetic.random_crop, {**drawn, "labels": LABELS, "size": 4}, takes)
    good = {"key": KEY, "shape": (40, 40), "count": 2, "radius": 5, "touching": 0.3, "blur": 1.0, "photons": 60}
    takes = {"count": either(NONE, count(1, 20)), "radius": real(1.99, 20), "touching": SHARE, "blur": real(-1e-9, 40)}
    takes |= {"photons": real(0), "read_noise": NUMBER}
    yield Door("synthetic.nuclei", sj.synthetic.nuclei, {**good, "read_noise": 0.02}, takes)


def _networks(folder: Path) -> Iterator[Door]:
    number = itertools.count()
    net, few = sj.UNet(2, features=2, factors=((2, 2),), convs=1), count(1, 2**16)
    good: dict[str, Any] = {"out_channels": 2, "ndim": 2, "features": 2, "growth": 2, "factors": ((2, 2),), "convs": 1}
    good |= {"decoder_convs": 1, "kernel_size": 3, "head_kernel_size": 1, "activation": jax.nn.relu, "crop": "top"}
    good |= {"padding": "VALID", "upsample": "learned", "norm": None, "dtype": None, "param_dtype": jnp.float32}
    takes: dict[str, Taken] = dict.fromkeys(("out_channels", "features", "growth", "convs"), few)
    takes |= {"ndim": count(1, 8), "decoder_convs": either(NONE, few), "factors": either(sizes, empty)}
    takes |= dict.fromkeys(("kernel_size", "head_kernel_size", "wish"), either(count(1), pair))
    takes |= {"activation": callable, "norm": NONE, "crop": NONE, "dtype": either(NONE, a_type)}
    yield Door("UNet", sj.UNet, good, {**takes, "param_dtype": either(NONE, a_type)})
    yield Door("UNet.legal_sizes", net.legal_sizes, {"wish": 20}, takes)
    asserted: dict[str, Taken] = {"key": NONE, "x": image_like, "period": either(NONE, count(1, 2**20), pair)}
    good = {"fn": smear, "x": DESCRIBED, "period": 1, "key": KEY}
    yield Door(ASSERTS[0], sj.testing.assert_periodic_equivariant, good, asserted)
    plan = sj.plan_tiles(smear, (1, 8, 8, 1), tile=4)
    yield Door(ASSERTS[1], sj.testing.assert_stitches, {"fn": smear, "plan": plan, "key": KEY}, asserted)
    yield Door("testing.examine", sj.testing.examine, {"fn": smear, "x": DESCRIBED, "key": KEY}, asserted)
    good = {"key": KEY, "net": net, "x": LARGER}
    yield Door("testing.integer_variables", sj.testing.integer_variables, good, {"x": image_like})
    yield Door("testing.phase_code", sj.testing.phase_code, {"net": net, "x": LARGER}, {"x": image_like})
    good = {"labels": LABELS[0], "period": (2, 2), "push": 3.0}
    takes = {"labels": numbers((2,), "iu"), "period": plane, "push": real(0, 1e18)}
    yield Door("testing.splitting_map", sj.testing.splitting_map, good, takes)
    yield Door("testing.injective", sj.testing.injective, {"x": IMAGE}, {"x": lambda value: np.size(value) >= 0})
    place = Fresh(lambda: str(folder / f"run{next(number)}"))
    takes = {"folder": PATHS, "keep": count(1)}
    yield Door("training.Checkpoints", sj.training.Checkpoints, {"folder": place, "keep": 2}, takes)
    optimizer, image = optax.sgd(0.1), jax.ShapeDtypeStruct(LARGER.shape, jnp.float32)
    good = {"key": KEY, "net": net, "optimizer": optimizer, "image": image}
    yield Door("training.initial_state", sj.training.initial_state, good)
    state = sj.training.initial_state(**good)
    made: dict[str, Any] = {"net": net, "optimizer": optimizer, "sample": _sample, "loss": _loss}
    yield Door("training.make_step", sj.training.make_step, made, dict.fromkeys(("sample", "loss"), callable))
    yield Door("training.stack", sj.training.stack, {"states": [state]})
    stacked = Fresh(lambda: sj.training.stack([state]))  # training gives its memory away
    yield Door("training.unstack", sj.training.unstack, {"states": stacked})
    good = {"step": sj.training.make_step(**made), "states": stacked, "steps": 0, "checkpoints": None, "every": 5}
    takes = {"steps": count(0, 3), "checkpoints": NONE, "every": count(1), "step": never}
    takes["progress"] = lambda value: value is None or isinstance(value, str)
    yield Door("training.train", sj.training.train, {**good, "progress": None}, takes)


def _fitted(folder: Path) -> Iterator[Door]:
    number = itertools.count()
    place = Fresh(lambda: str(folder / f"fit{next(number)}"))
    image, labels = discs((24, 24), radius=3, pitch=8)
    net = sj.UNet(2, features=2, factors=(), convs=1)
    good: dict[str, Any] = {
        "images": image,
        "labels": labels,
        "net": net,
        "steps": 1,
        "minutes": 1,
        "key": KEY,
        "start": None,
    }
    good |= {"validation": False, "augment": False, "window": 8, "batch": 1, "rate": 1e-3, "out": None}
    good |= {"axes": None, "channel": None}
    takes: dict[str, Taken] = {"steps": count(1, 10), "minutes": real(0, 10**6), "validation": either(NONE, zero)}
    takes |= {"window": either(NONE, count(1), pair), "batch": count(1, 4096), "rate": real(0, 1), "out": PATHS}
    takes |= dict.fromkeys(("augment", "resume", "progress"), one(True))
    takes |= dict.fromkeys(("net", "start", "axes", "channel"), NONE)
    switches = {"resume": True, "progress": False}
    yield Door("fit", sj.fit, {**good, **switches}, {**takes, "key": NONE, "out": either(NONE, PATHS)})
    model = sj.fit(**{**good, **switches})
    made = place.make()
    model.save(made)
    frozen = folder / "frozen.npz"
    sj.freeze_statistics(below_the_largest, IMAGE, progress=False).save(frozen)
    yield Door("load_statistics", sj.load_statistics, {"fn": below_the_largest, "path": frozen}, {"path": PATHS})
    yield Door("load_model", sj.load_model, {"folder": made, "net": None}, {"net": NONE, "folder": PATHS})
    yield Door("pretrained", sj.pretrained, {"name": "nuclei"})


def _sample(key: Any) -> tuple[Any, Any]:
    return jnp.ones(LARGER.shape), jnp.zeros((1, 12, 12), int)


def _loss(embedding: Any, labels: Any) -> Any:
    return (embedding**2).sum()
