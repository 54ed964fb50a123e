"""Calls of operations in the corners of their options, where PyTorch's rule is not the one that comes to mind."""

from __future__ import annotations

from typing import Any

import torch

from proofs_tests.pytorch.drawing import aten

nan, inf = float("nan"), float("inf")
numbers = torch.linspace(-2, 2, 60).reshape(1, 2, 6, 5)
odd = torch.tensor([nan, 1.0, -1.0, inf, -inf, 0.0])
half = torch.full((1, 2, 48, 48), 95.0).half() + numbers[..., :1, :1].half()
ramp = torch.linspace(0, 1, 48).half()
rows = torch.ones(5, 6, dtype=torch.bool)
rows[0] = False
query = numbers[:, :, :, :4]

CORNERS: dict[str, tuple[Any, ...]] = {
    "sign of NaN": (aten.sign.default, odd),
    "threshold of NaN": (aten.threshold.default, odd, 0.5, -1.0),
    "soft shrinkage of NaN": (aten.softshrink.default, odd, 0.5),
    "random ReLU in eval mode": (aten.rrelu_with_noise_functional.default, numbers, numbers, 0.1, 0.4),
    "sigmoid of integers": (aten.sigmoid.default, torch.tensor([-3, 0, 2], dtype=torch.int32)),
    "bytes": (aten._to_copy.default, torch.tensor([-300.7, -0.5, 255.9, 300.7, 70000.0]), {"dtype": torch.uint8}),
    "variance without a degree of freedom": (aten.var.correction, numbers, [3], {"correction": 7}),
    "smallest entry as a norm": (aten.linalg_vector_norm.default, numbers, -inf, [1]),
    "number of entries as a norm": (aten.linalg_vector_norm.default, numbers.round(), 0, [1]),
    "mean of a window in half precision": (aten.avg_pool2d.default, half, [48, 48]),
    "variance in half precision": (aten.var.correction, half * numbers[:, :1, :1, :1].half() * ramp, [2, 3]),
    "length in half precision": (aten.linalg_vector_norm.default, half, 2, [2, 3]),
    "mirrored and taken off": (aten.pad.default, numbers, [-2, 3, 0, 0], "reflect"),
    "flat number": (aten.flatten.using_ints, torch.tensor(1.0)),
    "one index": (aten.index_select.default, numbers, 1, torch.tensor(1)),
    "nothing of NaN": (aten.addmm.default, torch.full((6, 6), nan), numbers[0, 0], numbers[0, 0].T, {"beta": 0}),
    "attention to nothing": (aten.scaled_dot_product_attention.default, query[..., :5, :], query, query, rows),
    "nearest of a factor near 1": (aten.upsample_nearest2d.vec, numbers, None, [1.1, 1.1]),
    "nearest of a factor near 1, in 1-D": (aten.upsample_nearest1d.vec, numbers[0], None, [1.1]),
    "nearest of a factor near 2, in 1-D": (aten.upsample_nearest1d.vec, numbers[0], None, [2.01]),
    "nearest of a factor near 2": (aten.upsample_nearest2d.vec, numbers, None, [2.01, 2.01]),
    "linear of a factor near 1": (aten.upsample_bilinear2d.vec, numbers, None, False, [1.1, 1.1]),
    "one factor of two": (aten.upsample_bilinear2d.default, numbers, [15, 10], False, 2.6, None),
}
