"""Constants that run along the image, treated as images: how they are computed tells where they vary.

The number of pixels in each window of a pooling, or a mask of the border, varies near the ends of the image and nowhere
else. Its values show that at one size only. The rules that follow an image show it at every size, without computing a
value: a uniform constant is an image that reads nothing and is the same after every shift. What windows, pads and
slices make of it has an exact window, and names of its ends, like anything that they make of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf, lcm

from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis, End, Mismatch
from shiftjax.certifier._domain.bordered import Form
from shiftjax.certifier._domain.constants import Known
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.tags import AxisTag
from shiftjax.certifier._domain.values import Constant, Image, Value
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules.table import Equation, Record

DEEPEST = 200  # equations in a chain
KEEPING = frozenset(  # operations whose first operand has the axes of the result
    ["reduce_window_sum", "reduce_window_max", "reduce_window_min", "reduce_window", "pad", "slice", "rev"]
)
Along = Mapping[int, Axis]  # array axis of a constant -> the axis of an image that lies along it


def lift(eqn: Equation, value: Constant, along: Along, pointwise: frozenset[str]) -> Image | None:
    """A constant as an image; None where it is made of something that is not uniform, or by unknown operations.

    Args:
        eqn: where it meets the image.
        value: the constant.
        along: which of its axes run along the image.
        pointwise: names of the operations that look at one index at a time.
    """
    lifting = _Lifting(pointwise)
    image = lifting.made(value, along, 0)
    if image is not None:
        eqn.record.assumptions.extend(lifting.record.assumptions)
    return image


def beside(tag: Axis, constant: Axis) -> Axis:
    """The axis of an image joined with that of a constant, which repeats after its phases, whatever the image does."""
    phases = domain.tracked(lcm(tag.phases, constant.phases))
    nothing = (inf,) * phases, (-inf,) * phases
    period = int(phases * tag.stride)
    moved = replace(
        constant, image=tag.image, pixels=tag.pixels, period=period, phases=phases, lo=nothing[0], hi=nothing[1]
    )
    return domain.join([tag, moved])


def shows_all(value: Constant, along: Along) -> bool:
    """Whether to look at the values first, as they are known and few: long along one axis of the image at most.

    They tell more than the derivation: that what differs with the size is multiplied by zero, for instance.
    """
    if sum(value.shape[k] > 1 for k in along) > 1:
        return False
    return all(value.uniform(k) or (isinstance(value, Known) and value.form(k) is not None) for k in along)


class _Lifting:
    """One constant being lifted, with all that it is made of."""

    def __init__(self, pointwise: frozenset[str]) -> None:
        self.record = Record()
        self._pointwise = pointwise
        self._done: dict[tuple[int, tuple[tuple[int, int], ...]], Image | None] = {}

    def made(self, value: Constant, along: Along, depth: int) -> Image | None:
        """By the rule of the equation that made it."""
        if value.made is None or depth > DEEPEST:
            return None
        eqn, operands, out = value.made
        sources = _sources(eqn, along, self._pointwise)
        if sources is None or eqn.rule is None or eqn.rule.control:
            return None
        values: list[Value] = []
        for operand, own in zip(operands, sources, strict=True):
            image = self._lifted(operand, own, depth + 1) if own and operand.shape else operand
            if image is None:
                return None
            values.append(image)
        if not any(isinstance(v, Image) for v in values):
            return None
        eqn = replace(eqn, record=self.record)
        try:
            found = _spread(eqn, values[0], along) if eqn.name == "broadcast_in_dim" else eqn.rule.apply(eqn, *values)
        except (CertificationError, Mismatch):
            return None
        result = found[out] if isinstance(found, list) else found
        if not isinstance(result, Image) or result.detached:
            return None
        follows = all(isinstance(tag, Axis) if k in along else tag is None for k, tag in enumerate(result.axes))
        return result if follows else None

    def _lifted(self, value: Constant, along: Along, depth: int) -> Image | None:
        done = id(value), tuple((k, tag.image) for k, tag in along.items())
        if done not in self._done:
            image = None if shows_all(value, along) else self.made(value, along, depth)
            if image is None:
                uniform = all(_derivation(value).uniform(k) for k in along)
                image = _uniform(value, along) if uniform else self._repeating(value, along)
            self._done[done] = image
        return self._done[done]

    def _repeating(self, value: Constant, along: Along) -> Image | None:
        """By its values, where they repeat except at the ends."""
        if not isinstance(value, Known):
            return None
        found = {k: Form(0, 1, 0, value.shape[k]) if value.uniform(k) else value.form(k) for k in along}
        forms = {k: form for k, form in found.items() if form is not None}
        if len(forms) < len(found):
            return None
        ends = value.ends(forms)
        axes: list[AxisTag] = [None] * len(value.shape)
        for k, form in forms.items():
            axes[k] = domain.narrowed(_plain(value.shape[k], along[k], form.period), form.left, form.right, ends)
        self.record.assumptions.append(
            f"a constant of shape {value.shape} continues in larger images as it does in its middle, with its "
            f"{'beginning' if any(f.left for f in forms.values()) else 'end'} as it is"
        )
        return Image(value.shape, tuple(axes), digest("repeating", value.key({k: f.middle for k, f in forms.items()})))


def _derivation(value: Constant) -> Constant:
    """All that is known of a constant without its value."""
    return value.derivation if isinstance(value, Known) else value


def _plain(size: int, along: Axis, period: int = 1) -> Axis:
    """An axis that reads nothing, and repeats."""
    nothing, end = ((inf,) * period, (-inf,) * period), End("uniform")
    return Axis(along.image, along.pixels, size, period, period, *nothing, (0, size), 0, size, border=(end, end))


def _uniform(value: Constant, along: Along) -> Image:
    axes = tuple(_plain(n, along[k]) if k in along else None for k, n in enumerate(value.shape))
    return Image(value.shape, axes, digest("uniform", _derivation(value).key(dict.fromkeys(along, 1))))


def _spread(eqn: Equation, operand: Value, along: Along) -> Image:
    """out[.., i, ..] = a[i]: along the new axes it is uniform."""
    assert isinstance(operand, Image)
    axes: list[AxisTag] = [_plain(n, along[k]) if k in along else None for k, n in enumerate(eqn.shape)]
    for j, k in enumerate(eqn.params["broadcast_dimensions"]):
        if operand.axes[j] is not None:
            axes[k] = operand.axes[j]
    sizes = tuple(None if k in along else n for k, n in enumerate(eqn.shape))
    how = "spread", eqn.params["broadcast_dimensions"], sizes
    spread = Image(eqn.shape, tuple(axes), digest(*how, operand.map), operand.offset)
    return spread.with_borders(*how)


def _sources(eqn: Equation, along: Along, pointwise: frozenset[str]) -> Sequence[Along] | None:
    """For each operand, which of its axes lie along the image where these of the result do; None if that is unknown."""
    shapes = eqn.call.in_shapes
    others: list[Along] = [{}] * (len(shapes) - 1)
    if eqn.name in pointwise:
        return [along] * len(shapes)
    if eqn.name == "concatenate":  # along the image the longest part is the image, and the others are borders
        beside = eqn.params["dimension"]
        longest = max(shape[beside] for shape in shapes)
        return [along if beside not in along or shape[beside] == longest else {} for shape in shapes]
    if eqn.name in KEEPING:
        return [along, *others]
    if eqn.name == "broadcast_in_dim":
        placed = enumerate(eqn.params["broadcast_dimensions"])
        return [{j: along[k] for j, k in placed if k in along and shapes[0][j] == eqn.shape[k]}, *others]
    if eqn.name == "transpose":
        return [{old: along[k] for k, old in enumerate(eqn.params["permutation"]) if k in along}]
    if eqn.name == "conv_general_dilated":
        lhs, _, out = eqn.params["dimension_numbers"]
        own = dict(zip((out[0], *out[2:]), (lhs[0], *lhs[2:]), strict=True))
        return [{own[k]: tag for k, tag in along.items()}, {}] if set(along) <= set(own) else None
    if eqn.name in ("dynamic_update_slice", "scatter"):
        return _written(eqn, along)
    if eqn.name in ("squeeze", "reshape"):
        kept = [[k for k, n in enumerate(shape) if n != 1] for shape in (shapes[0], eqn.shape)]
        if [shapes[0][k] for k in kept[0]] != [eqn.shape[k] for k in kept[1]] or not set(along) <= set(kept[1]):
            return None
        return [{kept[0][kept[1].index(k)]: tag for k, tag in along.items()}]
    return None


def _written(eqn: Equation, along: Along) -> Sequence[Along] | None:
    """The same, of an update: a block of more than half of the array runs along the image, else the array does."""
    shape = eqn.call.in_shapes[0]
    others: list[Along] = [{} for _ in eqn.call.in_shapes[1:]]
    at, axes = 1, {k: k for k in range(len(shape))}
    if eqn.name == "scatter":
        numbers = eqn.params["dimension_numbers"]
        windows = [k for k in axes if k not in (*numbers.inserted_window_dims, *numbers.operand_batching_dims)]
        at, axes = 2, dict(zip(windows, numbers.update_window_dims, strict=True))
    update = eqn.call.in_shapes[at]
    if all(k in axes and 2 * update[axes[k]] > shape[k] for k in along):
        own: list[Along] = [{}, *others]
        own[at] = {axes[k]: tag for k, tag in along.items()}
        return own
    return [along, *others]
