"""Every rule, one by one: what it says is what the operation does, and each of its corruptions would be caught."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from proofs_tests.certifier.cases import CASES, Case
from proofs_tests.certifier.demonstration import objections
from proofs_tests.certifier.evidence import Evidence, failures, measure, smaller
from shiftjax.certifier import Certificate, CertificationError, _jaxpr, certify
from shiftjax.certifier import _interpret as interpret
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.values import Image
from shiftjax.certifier._rules import TABLE

SHIFTS = 8


def trace(case: Case) -> Any:
    return jax.make_jaxpr(case.fn)(jax.ShapeDtypeStruct(case.shape, case.dtype))


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations, those of inner programs included."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield eqn
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                if hasattr(getattr(inner, "jaxpr", inner), "eqns"):
                    yield from equations(inner)


def proof(case: Case) -> Certificate:
    return certify(case.fn, jax.ShapeDtypeStruct(case.shape, case.dtype))


@functools.cache
def evidence(index: int) -> list[Evidence]:
    case = CASES[index]
    return measure(case.fn, case.shape, 1, proof(case).outputs[0].axes[0].output_axis, case.dtype, SHIFTS)


def refuted(index: int, cert: Certificate) -> list[str]:
    """The claims of a certificate that do not stand up."""
    found = zip(cert.outputs, evidence(index), strict=True)
    return [claim for one, seen in found for claim in failures(one.axes[0], seen)]


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])
def test_a_rule_says_what_the_operation_does(index: int) -> None:
    """Period, receptive field with its ends, exact window: measured on every pixel of a small image."""
    case = CASES[index]
    used = {eqn.primitive for eqn in equations(trace(case))}
    assert {_jaxpr.primitive(name) for name in case.primitives} <= used
    cert = proof(case)
    assert refuted(index, cert) == []
    assert all(stop - start >= 6 for one in cert.outputs for start, stop in [one.axes[0].exact])
    for one, seen in zip(cert.outputs, evidence(index), strict=True):
        assert not one.axes[0].minimal or smaller(one.axes[0], seen) is None
        assert objections(case.fn, one) == []


def test_every_rule_has_a_case() -> None:
    """No rule is taken on trust; names that this JAX does not have are left out."""
    covered = {name for case in CASES for name in case.primitives}
    here = {name for name in TABLE if _jaxpr.primitive(name) is not None}
    assert here - covered == UNCOVERED & here


# Primitives that no function of `jax.lax` or `jax.numpy` leaves in a forward pass.
UNCOVERED = {"add_any", "eq_to", "le_to", "lt_to", "closed_call", "pvary"}


def corrupt(axis: domain.Axis, how: str) -> domain.Axis:
    """One axis, told wrongly."""
    if how == "lo":
        return dataclasses.replace(axis, lo=tuple(b + 1 for b in axis.lo))
    if how == "hi":
        return dataclasses.replace(axis, hi=tuple(b - 1 for b in axis.hi))
    if how == "start":
        return dataclasses.replace(axis, exact=(axis.exact[0] - 1, axis.exact[1]))
    if how == "stop":
        return dataclasses.replace(axis, exact=(axis.exact[0], axis.exact[1] + 1))
    return dataclasses.replace(domain.with_phases(axis, 2 * axis.phases), period=axis.period)


def corrupted(apply: Callable[..., Any], how: str) -> Callable[..., Any]:
    """A rule that tells the first image axis of its results wrongly."""

    def value(result: Any) -> Any:
        if not isinstance(result, Image):
            return result
        at = next((k for k, tag in enumerate(result.axes) if isinstance(tag, domain.Axis)), None)
        if at is None:
            return result
        axes = tuple(
            corrupt(t, how) if k == at and isinstance(t, domain.Axis) else t for k, t in enumerate(result.axes)
        )
        return dataclasses.replace(result, axes=axes)

    def wrong(*args: Any) -> Any:
        found = apply(*args)
        return [value(v) for v in found] if isinstance(found, list) else value(found)

    return wrong


@pytest.mark.parametrize("how", ["lo", "hi", "start", "stop", "period"])
def test_a_corrupted_rule_is_caught(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Each rule in turn is made to lie; the cases that use it must notice."""
    true = interpret.rules()
    missed = []
    for name in TABLE:
        primitive = _jaxpr.primitive(name)
        users = [k for k, case in enumerate(CASES) if name in case.primitives]
        if primitive is None or not users:
            continue
        lie = dataclasses.replace(true[primitive], apply=corrupted(true[primitive].apply, how))
        monkeypatch.setattr(interpret, "rules", lambda p=primitive, r=lie: {**true, p: r})
        if not any(caught(k) for k in users):
            missed.append(name)
        monkeypatch.undo()
    assert missed == []


def caught(index: int) -> bool:
    """Whether a certificate is refused now, or refuted by what was measured."""
    try:
        return bool(refuted(index, proof(CASES[index])))
    except (CertificationError, AssertionError, ValueError):
        return True


def without(name: str, value: int) -> Callable[..., Any]:
    """The window rule, blind to one of its parameters."""
    true = domain.window
    return lambda axis, out, **kwargs: true(axis, out, **{**kwargs, name: value})


BLIND = {
    "size": without("size", 1),
    "stride": without("stride", 1),
    "dilation": without("dilation", 1),
    "base": without("base", 1),
    "left": without("left", 0),
}


@pytest.mark.parametrize("name", BLIND)
def test_a_blind_window_rule_is_caught(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The rule of all windows needs each of its parameters."""
    windows = [k for k, case in enumerate(CASES) if case.primitives[0] in {"conv_general_dilated", "reduce_window_sum"}]
    assert not any(refuted(k, proof(CASES[k])) for k in windows)
    monkeypatch.setattr(domain, "window", BLIND[name])
    assert any(caught(k) for k in windows)


def test_a_join_that_forgets_an_operand_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where images meet, the field is the hull of both."""
    joins = [k for k, case in enumerate(CASES) if case.name in {"add", "mul", "concatenate channels"}]
    for one in (0, -1):
        monkeypatch.setattr(domain, "join", lambda axes, one=one: axes[one])
        assert all(caught(k) for k in joins)


def test_the_dtype_does_not_matter() -> None:
    """The same function of floats and of integers has the same certificate."""
    case = CASES[0]
    one, two = (certify(lambda x: jnp.abs(x[:, 1:]), jax.ShapeDtypeStruct(case.shape, d)) for d in ("int32", "float32"))
    assert one.axes == two.axes
