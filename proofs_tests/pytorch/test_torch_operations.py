"""Every operation of the table gives what PyTorch gives, over random options; wrong tables are noticed."""

from __future__ import annotations

import inspect

import jax.numpy as jnp
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from proofs_tests.pytorch.corners import CORNERS
from proofs_tests.pytorch.operations import FAMILIES, run
from proofs_tests.support.profiles import examples
from shiftjax.translation._torch._operations import convolutions, norms, pooling, resizing
from shiftjax.translation._torch._operations.table import OPERATIONS


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_operations_equal_torch(family, data):
    run(data.draw(FAMILIES[family]))


def test_corners_equal_torch(monkeypatch):
    for call in CORNERS.values():
        run(call)
    obvious = {  # the controls
        "sign of NaN": ("sign", jnp.sign),
        "threshold of NaN": ("threshold", lambda x, least, value: jnp.where(x > least, x, value)),
        "bytes": ("_to_copy", lambda x, *, dtype: jnp.trunc(x).astype(dtype)),
        "smallest entry as a norm": ("linalg_vector_norm", lambda x, p, dim: jnp.sum(jnp.abs(x) ** p, 1) ** (1 / p)),
        "nothing of NaN": ("addmm", lambda x, first, second, *, beta: beta * x + first @ second),
    }
    for name, (operation, function) in obvious.items():
        monkeypatch.setitem(OPERATIONS, operation, function)
        with pytest.raises(AssertionError):
            run(CORNERS[name])


@pytest.mark.parametrize("mutant", ["mirror", "ceil", "count", "eps", "edge", "groups"])
def test_wrong_tables_are_noticed(mutant, monkeypatch):
    """Each mutant is a mistake that is easily made; the family's own draws must tell."""
    family = {"mirror": "transposed", "groups": "transposed", "ceil": "pooling", "count": "pooling", "eps": "norm"}.get(
        mutant, "resizing"
    )
    if mutant == "mirror":
        monkeypatch.setattr(convolutions.jnp, "flip", lambda x, axes: x)
    elif mutant == "groups":
        monkeypatch.setattr(
            convolutions.jnp, "swapaxes", lambda x, a, b: x.reshape(x.shape[0], x.shape[2], x.shape[1], *x.shape[3:])
        )
    elif mutant == "ceil":
        honest = pooling._count
        monkeypatch.setattr(pooling, "_count", lambda n, k, s, p, d, ceil: honest(n, k, s, p, d, False))
    elif mutant == "count":
        monkeypatch.setattr(pooling, "_counts", lambda window, *, padded: [window.kernel] * window.count)
    elif mutant == "eps":
        honest_norm = norms._standardized
        monkeypatch.setattr(norms, "_standardized", lambda x, axes, eps: honest_norm(x, axes, 0.0))
    else:
        monkeypatch.setattr(
            resizing,
            "_edges",
            lambda x, axis, a, b: jnp.pad(x, [(a, b) if k == axis else (0, 0) for k in range(x.ndim)]),
        )

    # Not shrunk: that something is noticed is all that is asked.
    @settings(max_examples=2 * examples(), derandomize=True, database=None, phases=[Phase.generate])
    @given(FAMILIES[family])
    def judged(call):
        run(call)

    with pytest.raises(Exception):  # noqa: B017, PT011 (an assertion, or shapes that do not fit)
        judged()


def test_arguments_are_those_of_the_operations():
    """In their order and with their defaults, for every overload that a function stands for."""
    wrong: list[tuple[object, ...]] = []
    for name, function in OPERATIONS.items():
        packet, _, overload = name.partition(".")
        operation = getattr(torch.ops.aten, packet, None)
        if operation is None or (overload and overload not in operation.overloads()):
            wrong.append((name, "no such operation"))
            continue
        own = list(inspect.signature(function).parameters.values())
        positional = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
        if any(p.kind is p.VAR_POSITIONAL for p in own):
            continue
        for one in [overload] if overload else operation.overloads():
            arguments = [a for a in getattr(operation, one)._schema.arguments if not a.kwarg_only]
            for mine, theirs in zip(positional, arguments, strict=False):
                if (packet[:4], one, mine.name) == ("conv", "padding", "padding"):
                    continue  # "valid" there, which is 0
                has = theirs.has_default_value()
                if mine.default is not mine.empty and has and not _same(mine.default, theirs.default_value):
                    wrong.append((name, one, mine.name, mine.default, theirs.default_value))
    assert wrong == []


def _same(mine, theirs):
    if isinstance(theirs, list | tuple):
        return tuple(theirs) == (tuple(mine) if isinstance(mine, list | tuple) else (mine,) * len(theirs)) or not theirs
    return mine == theirs
