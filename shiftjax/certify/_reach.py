"""Which bounds are attained for generic parameters. Only the claim that a period is minimal rests on this.

Each function answers for one operation; in doubt the answer is `Reach.NO`, which makes no claim. Dead activations are
set aside, as everywhere in the theory.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from shiftjax.certify import _domain as domain
from shiftjax.certify._domain import Axis, Tag
from shiftjax.certify._values import Generic, Image, Known, Reach, Unknown, Value

# Functions of one variable that vary with it; several of them over a half line only, as ReLU does.
VARYING = frozenset(
    "abs acosh asin asinh acos atan atanh bessel_i0e bessel_i1e cbrt convert_element_type copy cos cosh digamma erf "
    "erf_inv erfc exp exp2 expm1 lgamma log log1p logistic name neg reduce_precision rsqrt sin sinh sqrt square "
    "stop_gradient tan tanh".split()
)
ADDING = frozenset("add add_any sub".split())
SCALING = frozenset("mul div".split())
CHOOSING = frozenset("max min".split())


def leaves(values: Sequence[Value]) -> frozenset[int]:
    """The parameters that enter beside the image."""
    return frozenset().union(*(v.leaves for v in values if isinstance(v, Unknown)))


def moved(image: Image, axes: Sequence[Tag], *, every: bool = False) -> Reach:
    """The reach where elements are only moved; `every` where channels may be lost on the way."""
    if any(isinstance(tag, Axis) and domain.empty(tag) for tag in axes):
        return Reach.NO
    return image.reach if image.reach is Reach.EACH or not every else Reach.NO


def kernel(image: Image, weight: Value, axes: Sequence[Tag], *, mixes: bool) -> Reach:
    """A product with weights that vary independently and enter for the first time; `mixes` joins all channels."""
    if not (isinstance(weight, Unknown) and weight.generic is Generic.FREE) or weight.leaves & image.leaves:
        return Reach.NO
    reach = moved(image, axes)
    return Reach.EACH if mixes and reach else reach


def pooling(name: str, image: Image, axes: Sequence[Tag], windows: dict[int, Any]) -> Reach:
    """A maximum keeps what it reads; a sum keeps it where no two of its terms share an end, so none can cancel."""
    channels = any(tag is None and w[0]["size"] * w[0]["stride"] > 1 for tag, w in zip(axes, windows.values()))
    reach = moved(image, axes, every=channels)
    if name != "reduce_window_sum":
        return reach
    for k, (window, _) in windows.items():
        tag = image.axes[k]
        if window["size"] > 1 and not (isinstance(tag, Axis) and _distinct(tag, window)):
            return Reach.NO
    return reach


def _distinct(axis: Axis, window: dict[str, int]) -> bool:
    if window["base"] != 1:
        return False
    for j in range(axis.phases):
        first = j * window["stride"] - window["left"]
        taps = range(first, first + window["size"] * window["dilation"], window["dilation"])
        lo, hi = zip(*map(axis.field, taps), strict=True)
        if len(set(lo)) < len(lo) or len(set(hi)) < len(hi):
            return False
    return True


def pointwise(name: str, params: dict[str, Any], values: Sequence[Value], axes: Sequence[Tag]) -> Reach:
    images = [v for v in values if isinstance(v, Image)]
    constants = [v for v in values if not isinstance(v, Image)]
    if name == "select_n":
        return _choice(values, axes)
    if len(images) == 1 and _varies(name, params, constants, images[0]):
        return images[0].reach
    if len(images) == 2 and not constants and (name in CHOOSING or (name in ADDING | SCALING and _independent(images))):
        return joined(images)
    return Reach.NO


def joined(images: Sequence[Image]) -> Reach:
    """Where the operands cannot cancel, both ends of the hull are read if each operand reads its own."""
    return min(image.reach for image in images)


def _varies(name: str, params: dict[str, Any], constants: Sequence[Value], image: Image) -> bool:
    if name in VARYING:
        return "int" not in str(params.get("new_dtype", "")) and "bool" not in str(params.get("new_dtype", ""))
    if name == "integer_pow":
        return params["y"] != 0
    if name in ADDING:
        return True
    if name in CHOOSING | {"clamp"}:
        return all(isinstance(v, Known) and not np.isnan(v.squashed).any() for v in constants)
    return name in SCALING and all(_nonzero(v, image) for v in constants)


def _nonzero(value: Value, image: Image) -> bool:
    if isinstance(value, Known):
        return bool((value.squashed != 0).all() and np.isfinite(value.squashed.astype(np.float64)).all())
    return isinstance(value, Unknown) and value.generic is not Generic.NO and not value.leaves & image.leaves


def _independent(images: Sequence[Image]) -> bool:
    """Whether each of two images has a parameter of its own, or the ends of their fields never coincide."""
    a, b = images
    if a.leaves - b.leaves or b.leaves - a.leaves:
        return True
    return all(_apart(s, t) for s, t in zip(a.axes, b.axes, strict=True) if s is not None)


def _apart(s: Tag, t: Tag) -> bool:
    if not (isinstance(s, Axis) and isinstance(t, Axis)):
        return False
    phases = domain.join([s, t]).phases
    (slo, shi), (tlo, thi) = s.fields(phases), t.fields(phases)
    return all(a != b for a, b in zip((*slo, *shi), (*tlo, *thi), strict=True))


def _choice(values: Sequence[Value], axes: Sequence[Tag]) -> Reach:
    """A choice equals one of its cases nearby, so it reads what they read, if its predicate reads no further."""
    _, *cases = values
    images = [v for v in cases if isinstance(v, Image)]
    if not images or any(a.axes != b.axes for a, b in combinations(images, 2)) or tuple(axes) != images[0].axes:
        return Reach.NO
    return joined(images)


def constant(name: str, operands: Sequence[Value]) -> tuple[Generic, frozenset[int]]:
    """How a value computed from parameters varies with them."""
    unknown = [v for v in operands if isinstance(v, Unknown)]
    known = [v for v in operands if isinstance(v, Known)]
    through = frozenset().union(*(v.leaves for v in unknown))
    shared = any(a.leaves & b.leaves for a, b in combinations(unknown, 2))
    plain = name in VARYING - {"cos", "sin"} | ADDING or (name in SCALING and all(map(_finite_nonzero, known)))
    if shared or not plain or any(v.generic is Generic.NO for v in unknown):
        return Generic.NO, through
    return max(v.generic for v in unknown), through


def _finite_nonzero(value: Known) -> bool:
    return bool((value.squashed != 0).all())
