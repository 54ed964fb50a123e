"""Draws of operations on numbers, on layouts, and of reductions and products."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

from proofs_tests.pytorch.drawing import Draw, aten, small, tensor

SPECIAL = {  # whose numbers lie elsewhere
    **dict.fromkeys(("log", "log10", "log2", "sqrt", "rsqrt", "log1p", "reciprocal"), (0.1, 3)),
    **dict.fromkeys(("acos", "asin", "atanh"), (-0.9, 0.9)),
    "tan": (-1, 1),
}


@st.composite
def unary(draw: Draw) -> tuple[Any, ...]:
    from shiftjax.translation._torch._operations.elementwise import ONE

    name = draw(st.sampled_from(sorted(ONE)))
    if name in ("bitwise_not", "logical_not"):
        return getattr(aten, name).default, tensor(draw, 3, 4) > 0
    low, high = SPECIAL.get(name, (-4, 4))
    return getattr(aten, name).default, tensor(draw, 3, 4, low=low, high=high)


@st.composite
def activation(draw: Draw) -> tuple[Any, ...]:
    x, a = tensor(draw, 2, 4, 3, low=-5, high=5), draw(st.floats(0.1, 2))
    calls: list[tuple[Any, ...]] = [
        (aten.leaky_relu.default, x, a),
        (aten.elu.default, x, a),
        (aten.elu.default, x, a, 1.5, 0.5),
        (aten.celu.default, x, a),
        (aten.gelu.default, x),
        (aten.softplus.default, x, a, 3.0),
        (aten.hardtanh.default, x, -a, a / 2),
        (aten.hardshrink.default, x, a),
        (aten.softshrink.default, x, a),
        (aten.threshold.default, x, a, -1.0),
        (aten.glu.default, x, 1),
        (aten.prelu.default, x, tensor(draw, draw(st.sampled_from([1, 4])))),
        (aten.clamp.default, x, -a, a),
        (aten.clamp.default, x, a, -a),
        (aten.clamp.default, x, None, a),
        (aten.clamp.Tensor, x, tensor(draw, 2, 4, 3), None),
        (aten.nan_to_num.default, x),
        (aten.softmax.int, x, draw(small(-3, 2))),
        (aten.log_softmax.int, x, draw(small(-3, 2))),
        (aten.cumsum.default, x, draw(small(-3, 2))),
        (aten.round.default, x),
    ]
    return draw(st.sampled_from(calls))


@st.composite
def binary(draw: Draw) -> tuple[Any, ...]:
    from shiftjax.translation._torch._operations.elementwise import TWO

    shapes = [(2, 3, 4), (3, 1), (1,), (4,)]
    x, y = tensor(draw, *draw(st.sampled_from(shapes))), tensor(draw, *draw(st.sampled_from(shapes)), low=0.3)
    name = draw(st.sampled_from([*sorted(TWO), "add", "sub", "rsub", "div", "where", "lerp", "addcmul", "addcdiv"]))
    if name.startswith(("logical", "bitwise")):
        return getattr(aten, name).Tensor if name[0] == "b" else getattr(aten, name).default, x > 0, y > 1
    if name in ("add", "sub", "rsub"):
        return getattr(aten, name).Tensor, x, y, *({"alpha": draw(st.sampled_from([1, 2, 0.5]))},)
    if name == "div":
        mode = draw(st.sampled_from([None, "floor", "trunc"]))
        return aten.div.Tensor_mode, x, y, {"rounding_mode": mode}
    if name == "where":
        return aten.where.self, y > 1, x, y
    if name == "lerp":
        return aten.lerp.Scalar, x, torch.broadcast_to(y, torch.broadcast_shapes(x.shape, y.shape)), 0.3
    if name in ("addcmul", "addcdiv"):
        return getattr(aten, name).default, x, x, y, {"value": draw(st.sampled_from([1, 0.5]))}
    if name == "pow":
        return aten.pow.Tensor_Tensor, x.abs() + 0.1, y
    if name in ("remainder", "fmod", "floor_divide") and draw(st.booleans()):
        operation = getattr(aten, name)
        return (operation.default if name == "floor_divide" else operation.Tensor), (8 * x).int(), (4 * y).int() + 1
    packet, _, overload = name.partition(".")
    operation = getattr(aten, packet)
    chosen = overload or ("Tensor" if "Tensor" in operation.overloads() else "default")
    return getattr(operation, chosen), x, y


@st.composite
def reduction(draw: Draw) -> tuple[Any, ...]:
    x = tensor(draw, 2, 3, 4)
    dims = draw(st.sampled_from([[0], [1, 2], [-1], [0, 1, 2]]))
    keep, one = draw(st.booleans()), draw(small(-3, 2))
    calls: list[tuple[Any, ...]] = [
        (aten.sum.dim_IntList, x, dims, keep),
        (aten.mean.dim, x, dims, keep),
        (aten.sum.default, x),
        (aten.mean.default, x),
        (aten.amax.default, x, dims, keep),
        (aten.amin.default, x, dims, keep),
        (aten.max.dim, x, one, keep),
        (aten.min.dim, x, one, keep),
        (aten.argmax.default, x, one, keep),
        (aten.argmin.default, x, one, keep),
        (aten.var.correction, x, dims, {"correction": draw(st.sampled_from([0, 1])), "keepdim": keep}),
        (aten.std.correction, x, [1, 2], {"correction": 1, "keepdim": keep}),
        (aten.var_mean.correction, x, [2], {"correction": 0, "keepdim": keep}),
        (aten.linalg_vector_norm.default, x, draw(st.sampled_from([1, 2, 3, float("inf")])), dims, keep),
        (aten.prod.dim_int, x, one, keep),
        (aten.any.dim, x > 0, one, keep),
        (aten.all.dim, x > 0, one, keep),
    ]
    return draw(st.sampled_from(calls))


@st.composite
def layout(draw: Draw) -> tuple[Any, ...]:
    x = tensor(draw, 1, 4, 6, 5)
    dim, k = draw(small(-4, 3)), draw(small(0, 3))
    start, end, step = draw(small(-7, 7)), draw(small(-7, 9)), draw(small(1, 3))
    part = aten.slice.Tensor(x, dim, start, end, step)
    pads = [draw(small(-1, 3)) for _ in range(4)]
    inside = [max(p, 0) for p in pads]
    calls: list[tuple[Any, ...]] = [
        (aten.view.default, x, [2, -1, 3]),
        (aten.permute.default, x, draw(st.permutations(range(4)))),
        (aten.transpose.int, x, dim, k),
        (aten.flatten.using_ints, x, 1, k or -1),
        (aten.squeeze.default, x),
        (aten.squeeze.dim, x, dim),
        (aten.squeeze.dims, x, sorted({0, k})),
        (aten.unsqueeze.default, x, draw(small(-5, 4))),
        (aten.expand.default, x, [3, -1, 6, 5]),
        (aten.expand.default, x, [2, 3, 4, -1, 5]),
        (aten.repeat.default, x, [2, 1, 1, 2, 1]),
        (aten.repeat_interleave.self_int, x, 2, dim),
        (aten.cat.default, [x, x + 1, torch.zeros(0)], dim),
        (aten.stack.default, [x, x + 1], dim),
        (aten.split.Tensor, x, 2, dim),
        (aten.split_with_sizes.default, x, [1, 3, 2], 2),
        (aten.chunk.default, x, 3, dim),
        (aten.unbind.int, x, dim),
        (aten.slice.Tensor, x, dim, start, end, step),
        (aten.slice_scatter.default, x, torch.zeros_like(part), dim, start, end, step),
        (aten.select.int, x, 2, draw(small(-6, 5))),
        (aten.select_scatter.default, x, torch.zeros(1, 4, 5), 2, draw(small(-6, 5))),
        (aten.narrow.default, x, 2, draw(small(-3, 3)), 2),
        (aten.flip.default, x, [dim]),
        (aten.roll.default, x, [2, -1], [2, 3]),
        (aten.roll.default, x, [start]),
        (aten.constant_pad_nd.default, x, pads, 1.5),
        (aten.pad.default, x, inside, draw(st.sampled_from(["reflect", "replicate", "circular"]))),
        (aten.reflection_pad2d.default, x, inside),
        (aten.replication_pad2d.default, x, inside),
        (aten.pixel_shuffle.default, x, 2),
        (aten.pixel_unshuffle.default, tensor(draw, 1, 2, 4, 6), 2),
        (aten.index.Tensor, x, [None, torch.tensor([2, 0, -1])]),
        (aten.index_select.default, x, 2, torch.tensor([5, 0, 3])),
        (aten.gather.default, x, 1, torch.randint(0, 4, (1, 2, 6, 3))),
        (aten.copy.default, x, tensor(draw, 6, 1)),
        (aten.masked_fill.Scalar, x, x > 0, -1.0),
        (aten._to_copy.default, x, {"dtype": torch.int32}),
    ]
    return draw(st.sampled_from(calls))


@st.composite
def product(draw: Draw) -> tuple[Any, ...]:
    a, b, v = tensor(draw, 2, 3, 4), tensor(draw, 2, 4, 5), tensor(draw, 4)
    q, k = tensor(draw, 1, 2, 5, 4), tensor(draw, 1, 2, 6, 4)
    calls: list[tuple[Any, ...]] = [
        (aten.linear.default, a, tensor(draw, 6, 4), tensor(draw, 6)),
        (aten.linear.default, a, tensor(draw, 6, 4)),
        (aten.matmul.default, a, b),
        (aten.matmul.default, a, v),
        (aten.mm.default, a[0], b[0]),
        (aten.bmm.default, a, b),
        (aten.addmm.default, tensor(draw, 5), a[0], b[0], {"beta": 0.5, "alpha": 2}),
        (aten.baddbmm.default, tensor(draw, 2, 3, 5), a, b, {"beta": 2, "alpha": 0.5}),
        (aten.einsum.default, "bij,bjk->bik", [a, b]),
        (aten.scaled_dot_product_attention.default, q, k, k),
        (aten.scaled_dot_product_attention.default, q, k, k, tensor(draw, 5, 6), {"scale": 0.3}),
        (aten.scaled_dot_product_attention.default, q, k, k, tensor(draw, 5, 6) > -1),
        (aten.embedding.default, a[0], torch.tensor([[2, 0]])),
    ]
    return draw(st.sampled_from(calls))
