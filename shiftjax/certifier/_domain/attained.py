"""Which bounds are attained for generic parameters. Only the claims `attained` and `minimal` rest on this.

Each function answers for one operation; in doubt the answer is `DEAD`, which makes no claim. A value is alive if both
ends of its fields matter for some images, whatever the generic parameters; dead activations are set aside, as
everywhere in the theory. What a chain of activations does to a value is followed on a few sample numbers, and its
form by rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from shiftjax.certifier._domain import activations as _curves
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, Tag
from shiftjax.certifier._domain.values import DEAD, Form, Generic, Image, Known, Life, Reach, Unknown, Value

ADDING = frozenset({"add", "add_any", "sub"})
SCALING = frozenset({"mul", "div"})
AFFINE = frozenset({"add", "sub", "mul", "neg", "copy", "convert_element_type"})
POSITIVE = frozenset({"sqrt", "rsqrt", "exp", "square", "integer_pow", "div", "logistic", "tanh"})

ROUNDING = 1e-9  # of samples


def fresh(dtype: str, name: str) -> Life:
    """The image itself, which takes any number if its dtype holds them."""
    return Life(Reach.EACH if dtype != "bool" else Reach.NO, free="float" in dtype or dtype in _curves.WIDE, base=name)


def settled(life: Life) -> Life:
    """The value as the start of a new chain: alive if the chain before did not flatten it."""
    if not life.reach or life.curve is None:
        return replace(life, base="", curve=None) if life.reach else DEAD
    finite = np.sort(life.curve[np.isfinite(life.curve)])
    steps = np.diff(finite) > ROUNDING * np.maximum(1, np.abs(finite[1:]))
    distinct = len(finite) == len(life.curve) and steps.all()
    if not (steps.any() if life.free else distinct and life.form >= Form.UNEVEN):
        return DEAD
    return replace(life, base="", curve=None, form=Form.LINE, free=life.free and life.form is Form.LINE)


def moved(image: Image, axes: Sequence[Tag], *, every: bool = False) -> Life:
    """Where elements are only moved about; `every` where channels may be lost on the way."""
    life = settled(image.life)
    if any(isinstance(tag, Axis) and domain.empty(tag) for tag in axes):
        return DEAD
    return DEAD if every and life.reach is not Reach.EACH else replace(life, kin=())


def sliced(image: Image, axes: Sequence[Tag], strides: Sequence[int], *, every: bool) -> Life:
    """Slices of one array with one phase are translates of each other."""
    life = moved(image, axes, every=every)
    one = all(tag.phases == 1 for tag in image.axes if isinstance(tag, Axis))
    channels = tuple(n if tag is None else None for n, tag in zip(image.shape, image.axes, strict=True))
    translates = one and life.reach and not every
    return replace(life, kin=("slices", image.name, tuple(strides), channels)) if translates else life


def parted(image: Image, axes: Sequence[Tag], inner: Sequence[int]) -> Life:
    """After a split, the parts have fields of their own inside the hull; with one phase they are translates."""
    life = moved(image, axes)
    one = all(tag.phases == 1 for tag in image.axes if isinstance(tag, Axis))
    kin = ("parts", tuple(inner), life.reach) if one else ()
    return replace(limited(life, Reach.SOME), kin=kin) if life.reach else DEAD


def reduced(name: str, image: Image, gone: Sequence[int]) -> Life:
    """A maximum or a sum of all translates that a split made reads all that they read."""
    life = settled(image.life)
    whole = life.kin[:2] == ("parts", tuple(gone)) and name in {"reduce_max", "reduce_min", "reduce_sum"}
    return replace(life, reach=life.kin[2], kin=()) if life.reach and whole else DEAD


def limited(life: Life, reach: Reach) -> Life:
    return replace(life, reach=min(life.reach, reach)) if life.reach and reach else DEAD


def kernel(image: Image, weight: Value, axes: Sequence[Tag], *, mixes: bool) -> Life:
    """A product with weights that vary independently and enter for the first time; `mixes` joins all channels."""
    if not (isinstance(weight, Unknown) and weight.generic is Generic.FREE) or weight.leaves & image.life.leaves:
        return DEAD
    life = moved(image, axes)
    if not life.reach:
        return DEAD
    reach = Reach.EACH if mixes else life.reach
    return Life(reach, life.leaves | weight.leaves, life.gates | weight.leaves, free=True)


def pooling(name: str, image: Image, axes: Sequence[Tag], windows: dict[int, Any]) -> Life:
    """A maximum of translates keeps what they read; a sum does where no two of its terms share an end to cancel."""
    moves = zip(image.axes, windows.values(), strict=True)
    channels = any(tag is None and w["size"] * w["stride"] > 1 for tag, (w, _) in moves)
    life = moved(image, axes, every=channels)
    if channels or not life.reach:
        return DEAD
    for k, (window, _) in windows.items():
        tag = image.axes[k]
        if window["size"] == 1:
            continue
        if not isinstance(tag, Axis) or (tag.phases > 1 if name != "reduce_window_sum" else not _distinct(tag, window)):
            return DEAD
    return life


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


def pointwise(name: str, params: dict[str, Any], values: Sequence[Value], dtype: str) -> Life:
    """A chain of activations goes on; otherwise a constant is laid on, or two images are joined."""
    images = [v for v in values if isinstance(v, Image)]
    first = images[0].life
    if not all(image.life.reach or image.life.curve is not None for image in images):
        return DEAD
    curve = _curves.follow(name, params, values, dtype) if len({image.life.base for image in images}) == 1 else None
    if curve is not None:
        form = _curves.form(name, params, values)
        return replace(first, curve=curve, form=form, kin=() if first.kin[:1] == ("slices",) else first.kin)
    if "int" in dtype and name == "div":
        return DEAD
    constants = [v for v in values if not isinstance(v, Image)]
    if (
        len(images) == 1
        and len(constants) == 1
        and (name in ADDING | {"mul"} or (name == "div" and images[0] is values[0]))
    ):
        return _laid_on(name, constants[0], settled(first))
    if len(images) == 2 and not constants:
        return _met(name, *images)
    return DEAD


def _laid_on(name: str, constant: Value, life: Life) -> Life:
    """A constant added keeps a value alive, a factor does unless it is zero."""
    if isinstance(constant, Known):
        value = constant.squashed.astype(np.float64)
        fine = np.isfinite(value).all() and (name in ADDING or (value != 0).all())
        return replace(life, kin=()) if fine and life.reach else DEAD
    if not isinstance(constant, Unknown) or constant.generic is Generic.NO or constant.leaves & life.leaves:
        return DEAD
    if not life.reach:
        return DEAD
    return replace(life, leaves=life.leaves | constant.leaves, free=life.free or name in ADDING, kin=())


def _met(name: str, one: Image, two: Image) -> Life:
    a, b = settled(one.life), settled(two.life)
    if not (a.reach and b.reach):
        return DEAD
    if name in {"max", "min"} and a.kin and a.kin == b.kin:
        return replace(a, reach=min(a.reach, b.reach), free=a.free and b.free)
    if name in ADDING | SCALING and _independent(a, b):
        return replace(_both([a, b]), free=name in ADDING and (a.free or b.free))
    return DEAD


def _independent(a: Life, b: Life) -> bool:
    """Whether all of one value passes a product with weights that do not enter the other, so they cannot cancel."""
    return bool(a.gates - b.leaves or b.gates - a.leaves)


def _both(lives: Sequence[Life]) -> Life:
    return Life(
        min(life.reach for life in lives),
        frozenset().union(*(life.leaves for life in lives)),
        frozenset.intersection(*(life.gates for life in lives)),
        free=all(life.free for life in lives),
    )


def stacked(values: Sequence[Value], axes: Sequence[Tag]) -> Life:
    """Images side by side along channels: every end of the hull is read by some of them."""
    lives = [settled(v.life) for v in values if isinstance(v, Image)]
    if len(lives) < len(values) or not all(life.reach for life in lives):
        return DEAD
    same = all(isinstance(v, Image) and v.axes == tuple(axes) for v in values)
    return limited(_both(lives), Reach.EACH if same else Reach.SOME)


def constant(name: str, params: dict[str, Any], operands: Sequence[Value]) -> tuple[Generic, frozenset[int]]:
    """How a value computed from parameters varies with them."""
    unknown = [v for v in operands if isinstance(v, Unknown)]
    through = frozenset().union(*(v.leaves for v in unknown))
    if any(a.leaves & b.leaves for a, b in combinations(unknown, 2)) or name not in AFFINE | POSITIVE:
        return Generic.NO, through
    known = [v for v in operands if isinstance(v, Known)]
    if name in SCALING and not all((v.squashed != 0).all() for v in known):
        return Generic.NO, through
    if name == "convert_element_type" and not np.issubdtype(params["new_dtype"], np.inexact):
        return Generic.NO, through
    least = min((v.generic for v in unknown), default=Generic.NO)
    most = max((v.generic for v in unknown), default=Generic.NO)
    return (most if name in AFFINE else Generic.EACH) if least else Generic.NO, through
