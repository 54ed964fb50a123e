"""How each operation is computed on a part of its operands: what it reads along the axis, and its parameters there.

A rule is given an operation and the streamed axis, and returns what is read of every operand and how the operation is
done on that. An operation without a rule is refused, and so is all that a rule does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import jax.numpy as jnp
from jax import lax

from shiftjax._streams._read import SAME, Read
from shiftjax._streams._refusal import NotStreamable
from shiftjax.certifier import Along, Array, Constant, Operation

Ends = tuple[int, int]  # zeros before and after what is read, in base positions
Run = Callable[[Sequence[Any], Sequence[Ends], int], Any]  # values of the operands, their ends, indices of the result


@dataclass(frozen=True)
class Rule:
    """How one operation is streamed.

    Attributes:
        reads: per operand what is read of it, None for a constant.
        run: gives the result, or a list of results.
        aligned: per operand the axis of a constant that lies along the streamed one, None for others.
    """

    reads: tuple[Read | None, ...]
    run: Run
    aligned: tuple[int | None, ...]


RULES: dict[str, Callable[[Operation, Array, int], Rule]] = {}


def rule(primitives: str) -> Callable[[Any], Any]:
    """Enters a rule into the table: of an operation, its result, and the number of the image axis."""

    def enter(make: Any) -> Any:
        RULES.update(dict.fromkeys(primitives.split(), make))
        return make

    return enter


def refuse(op: Operation, reason: str) -> NoReturn:
    raise NotStreamable(f"{reason}: `{op.name}` at {op.source}")


def place(op: Operation, array: Array, k: int) -> Along:
    """Where an array runs along the streamed axis."""
    along = array.along(k)
    if along is None or along.stride < 0:
        refuse(op, "it runs backwards along the axis, or no longer along it" if along else "the axis is taken apart")
    return along


def sizes(array: Array, along: Along, count: int) -> tuple[int, ...]:
    """The shape of `count` indices of an array."""
    shape = list(array.shape)
    shape[along.axis] = along.before * count * along.after
    return tuple(shape)


def rule_of(op: Operation, result: Array, k: int) -> Rule:
    """The rule of an operation."""
    if op.pointwise:
        return _pointwise(op, result, k)
    if op.name not in RULES:
        refuse(op, "the streams have no rule for this operation")
    return RULES[op.name](op, result, k)


def _index_by_index(op: Operation, run: Run, aligned: int | None = None) -> Rule:
    """Output i reads index i of all operands."""
    arrays = [isinstance(operand, Array) for operand in op.operands]
    own = [aligned if not a and len(c.shape) > 0 else None for a, c in zip(arrays, op.operands, strict=True)]
    return Rule(tuple(SAME if a else None for a in arrays), run, tuple(own))


def _bound(op: Operation, **changed: Any) -> Callable[..., Any]:
    """The operation itself, with some parameters changed."""
    return lambda *values: op.primitive.bind(*values, **{**op.params, **changed})


def _pointwise(op: Operation, result: Array, k: int) -> Rule:
    along = place(op, result, k)
    if along.before * along.after != 1 and any(
        isinstance(c, Constant) and c.shape and c.shape[along.axis] != 1 for c in op.operands
    ):
        refuse(op, "a constant lies along flattened image axes")

    def run(values: Sequence[Any], _: Sequence[Ends], count: int) -> Any:
        return _bound(op)(*values)

    return _index_by_index(op, run, along.axis)


@rule(
    "transpose squeeze rev tile stack unstack top_k approx_top_k fft sort argmax argmin "
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor reduce "
    "cumsum cumprod cummax cummin cumlogsumexp bitcast_convert_type"
)
def _across(op: Operation, result: Array, k: int) -> Rule:
    """What happens along other axes, so that no parameter knows the size of the streamed one."""
    _no_constant(op)
    if op.name == "rev" and place(op, op.operands[0], k).axis in op.params["dimensions"]:  # type: ignore[arg-type]
        refuse(op, "it runs backwards along the axis")
    return _index_by_index(op, lambda values, _, __: _bound(op)(*values))


def _no_constant(op: Operation) -> None:
    """Refuses constants, but for numbers such as what a reduction starts from."""
    if any(isinstance(c, Constant) and c.shape for c in op.operands):
        refuse(op, "a constant meets the image in a way that is not streamed")


@rule("broadcast_in_dim")
def _broadcast(op: Operation, result: Array, k: int) -> Rule:
    along = place(op, result, k)
    return _index_by_index(op, lambda values, _, n: _bound(op, shape=sizes(result, along, n))(values[0]))


@rule("reshape")
def _reshape(op: Operation, result: Array, k: int) -> Rule:
    """Along the axis: as it was, (n, f) -> n f, or n -> (n / f, f)."""
    (image,) = op.operands
    assert isinstance(image, Array)
    if op.params["dimensions"] is not None:
        refuse(op, "a reshape transposes")
    before, after = place(op, image, k), place(op, result, k)
    ratio = before.stride / after.stride
    if ratio >= 1 and ratio.denominator == 1:
        read = Read(size=int(ratio), base=int(ratio), left=int(ratio) - 1)  # output j reads element j // ratio
    elif ratio.numerator == 1:
        read = Read(size=ratio.denominator, stride=ratio.denominator)
    else:
        refuse(op, "a reshape cuts the axis unevenly")
    return Rule((read,), lambda values, _, n: jnp.reshape(values[0], sizes(result, after, n)), (None,))


@rule("concatenate")
def _concatenate(op: Operation, result: Array, k: int) -> Rule:
    along = place(op, result, k)
    if along.axis == op.params["dimension"]:
        refuse(op, "arrays of different maps are put end to end along the axis")
    if along.before * along.after != 1 and any(isinstance(c, Constant) for c in op.operands):
        refuse(op, "a constant lies along flattened image axes")
    return _index_by_index(op, lambda values, _, n: _bound(op)(*values), along.axis)


@rule("dot_general")
def _contraction(op: Operation, result: Array, k: int) -> Rule:
    (summed, shared) = op.params["dimension_numbers"]
    constant = any(isinstance(c, Constant) for c in op.operands)
    for side, operand in enumerate(op.operands):
        if isinstance(operand, Array):
            axis = place(op, operand, k).axis
            if axis in summed[side]:
                refuse(op, "a product sums along the axis")
            if constant and axis in shared[side]:
                refuse(op, "a constant meets the image in a way that is not streamed")
    return _index_by_index(op, lambda values, _, n: _bound(op)(*values))


@rule("slice")
def _slice(op: Operation, result: Array, k: int) -> Rule:
    starts, stops = (list(op.params[name]) for name in ("start_indices", "limit_indices"))
    return _sliced(op, result, k, starts, stops, list(op.params["strides"] or [1] * len(starts)))


@rule("dynamic_slice")
def _dynamic_slice(op: Operation, result: Array, k: int) -> Rule:
    known = [s.value if isinstance(s, Constant) else None for s in op.operands[1:]]
    if any(value is None for value in known):
        refuse(op, "the start of a slice is not known")
    (image, *_), lengths = op.operands, op.params["slice_sizes"]
    starts = [
        min(max(int(s), 0), n - m)  # type: ignore[arg-type]
        for s, n, m in zip(known, image.shape, lengths, strict=True)
    ]
    made = _sliced(op, result, k, starts, [a + n for a, n in zip(starts, lengths, strict=True)], [1] * len(starts))
    rest = (None,) * len(known)
    return Rule((*made.reads, *rest), made.run, (None, *rest))


def _sliced(op: Operation, result: Array, k: int, starts: list[int], stops: list[int], steps: list[int]) -> Rule:
    image = op.operands[0]
    assert isinstance(image, Array)
    along = place(op, image, k)
    whole = (starts[along.axis], stops[along.axis], steps[along.axis]) == (0, image.shape[along.axis], 1)
    if along.before * along.after != 1 and not whole:
        refuse(op, "flattened image axes are sliced")
    read = Read(stride=steps[along.axis], left=-starts[along.axis])

    def run(values: Sequence[Any], _: Sequence[Ends], count: int) -> Any:
        first, last = list(starts), list(stops)
        first[along.axis], last[along.axis] = 0, values[0].shape[along.axis]
        return lax.slice(values[0], first, last, steps)

    return Rule((read,), run, (None,))


@rule("split")
def _split(op: Operation, result: Array, k: int) -> Rule:
    if place(op, result, k).axis == op.params["axis"]:
        start = sum(op.params["sizes"][: op.result])
        read = Read(left=-start)
        return Rule((read,), lambda values, _, n: [values[0]] * (op.result + 1), (None,))
    return _index_by_index(op, lambda values, _, n: _bound(op)(*values))


@rule("pad")
def _pad(op: Operation, result: Array, k: int) -> Rule:
    along = place(op, result, k)
    config = list(op.params["padding_config"])
    left, right, interior = config[along.axis]
    if along.before * along.after != 1 and (left, right, interior) != (0, 0, 0):
        refuse(op, "flattened image axes are padded")

    def run(values: Sequence[Any], ends: Sequence[Ends], count: int) -> Any:
        config[along.axis] = (*ends[0], interior)
        return _bound(op, padding_config=tuple(config))(*values)

    return Rule((Read(base=interior + 1, left=left), None), run, (None, None))


@rule("conv_general_dilated")
def _convolution(op: Operation, result: Array, k: int) -> Rule:
    p, kernel = op.params, op.operands[1]
    lhs, rhs, out = p["dimension_numbers"]
    image = op.operands[0]
    assert isinstance(image, Array)
    axis = place(op, image, k).axis
    if axis == lhs[0]:
        return _index_by_index(op, lambda values, _, n: _bound(op)(*values))
    d = lhs.index(axis) - 2
    read = Read(
        size=kernel.shape[rhs[2 + d]],
        stride=p["window_strides"][d],
        dilation=p["rhs_dilation"][d],
        base=p["lhs_dilation"][d],
        left=p["padding"][d][0],
    )
    # Padding along the streamed axis falls away; where it was the only one, another axis gets a row of it: XLA's CPU
    # backend computes 2-D convolutions without padding in a slower form (`nets/_correlation.py`), and says so by it.
    others = [e for e in range(len(p["padding"])) if e != d]
    unpadded = any(p["padding"][d]) and not any(any(p["padding"][e]) for e in others)
    spare = others[0] if others and unpadded else None

    def run(values: Sequence[Any], ends: Sequence[Ends], count: int) -> Any:
        padding = list(p["padding"])
        padding[d] = ends[0]
        if spare is None:
            return _bound(op, padding=tuple(padding))(*values)
        padding[spare] = (0, p["window_strides"][spare])
        target = out[2 + spare]
        return lax.slice_in_dim(_bound(op, padding=tuple(padding))(*values), 0, result.shape[target], axis=target)

    return Rule((read, None), run, (None, None))


@rule("reduce_window_max reduce_window_min reduce_window_sum reduce_window")
def _pooling(op: Operation, result: Array, k: int) -> Rule:
    p, along = op.params, place(op, result, k)
    axis = along.axis
    read = Read(
        size=p["window_dimensions"][axis],
        stride=p["window_strides"][axis],
        dilation=p["window_dilation"][axis],
        base=p["base_dilation"][axis],
        left=p["padding"][axis][0],
    )
    if along.before * along.after != 1 and read != SAME:
        refuse(op, "flattened image axes are pooled")
    images = [isinstance(operand, Array) for operand in op.operands]
    if not all(a or not c.shape for a, c in zip(images, op.operands, strict=True)):
        refuse(op, "a constant meets the image in a way that is not streamed")

    def run(values: Sequence[Any], ends: Sequence[Ends], count: int) -> Any:
        padding = list(p["padding"])
        padding[axis] = ends[0]
        return _bound(op, padding=tuple(padding))(*values)

    return Rule(tuple(read if a else None for a in images), run, (None,) * len(images))


@rule("dynamic_update_slice")
def _update(op: Operation, result: Array, k: int) -> Rule:
    """A part is overwritten that is as long as the array along the streamed axis."""
    along = place(op, result, k)
    operand, update, *starts = op.operands
    if operand.shape[along.axis] != update.shape[along.axis] or along.before * along.after != 1:
        refuse(op, "a part of the axis is overwritten")
    made = _index_by_index(op, lambda values, _, n: _bound(op)(*values), along.axis)
    return Rule(made.reads, made.run, (*made.aligned[:2], *(None for _ in starts)))


@rule("gather")
def _gather(op: Operation, result: Array, k: int) -> Rule:
    """Looked up along other axes."""
    image, indices = op.operands
    if not isinstance(image, Array) or isinstance(indices, Array):
        refuse(op, "indices depend on the image")
    along = place(op, image, k)
    lengths = list(op.params["slice_sizes"])
    numbers = op.params["dimension_numbers"]
    if lengths[along.axis] != image.shape[along.axis] or along.axis in numbers.operand_batching_dims:
        refuse(op, "the image is looked up along the axis")

    def run(values: Sequence[Any], _: Sequence[Ends], count: int) -> Any:
        lengths[along.axis] = along.before * count * along.after
        return _bound(op, slice_sizes=tuple(lengths))(*values)

    return _index_by_index(op, run)
