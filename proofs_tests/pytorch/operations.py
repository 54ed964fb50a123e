"""Families of ATen operations, and the comparison of PyTorch's result with that of the table."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from proofs_tests.pytorch import drawn_numbers, drawn_windows
from shiftjax.translation._torch._operations.norms import Normed
from shiftjax.translation._torch._operations.pooling import Places
from shiftjax.translation._torch.exported import function_of
from shiftjax.translation._torch.interpret import _arrays
from shiftjax.translation._torch.tensors import to_numpy

ROUNDING = 2e-5  # of the largest value


def check(target: Any, *args: Any, **options: Any) -> None:
    """The table's result has PyTorch's shape, and its numbers up to rounding."""
    expected = target(*args, **options)
    function = function_of(target)
    assert function is not None, target
    found = function(*map(_arrays, args), **{key: _arrays(value) for key, value in options.items()})
    several = isinstance(expected, list | tuple)
    for own, other in zip(found if several else [found], expected if several else [expected], strict=True):
        own = own.result if isinstance(own, Normed) else own
        if own is not None and not isinstance(own, Places):  # neither is asked for by what is translated
            compare(own, to_numpy(other))


def compare(translated: jax.Array, expected: np.ndarray) -> None:
    """Equal, up to the rounding of sums in another order."""
    found = np.asarray(translated)
    assert found.shape == expected.shape
    if expected.dtype.kind in "biu":
        assert np.array_equal(found, expected)
    elif expected.size:
        found, rounding = found.astype(expected.dtype), max(ROUNDING, 2 * np.finfo(expected.dtype).eps)
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-6)
        assert np.allclose(found, expected, rtol=0, atol=rounding * scale, equal_nan=True)


FAMILIES = {
    "convolution": drawn_windows.convolution(),
    "transposed": drawn_windows.transposed(),
    "pooling": drawn_windows.pooling(),
    "adaptive": drawn_windows.adaptive(),
    "resizing": drawn_windows.resizing(),
    "norm": drawn_windows.norm(),
    "unary": drawn_numbers.unary(),
    "activation": drawn_numbers.activation(),
    "binary": drawn_numbers.binary(),
    "reduction": drawn_numbers.reduction(),
    "layout": drawn_numbers.layout(),
    "product": drawn_numbers.product(),
}


def run(call: tuple[Any, ...]) -> None:
    """Checks a drawn call: an operation, its arguments, and its options if the last is a dictionary."""
    target, *args = call
    options = args.pop() if args and isinstance(args[-1], dict) else {}
    check(target, *args, **options)
