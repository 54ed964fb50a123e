"""Names of derivations are safe by default: whatever a rule does not know to be without effect enters the name.

Every parameter of every rule's case is changed, one at a time. The proof must then fail, or its certificate must say
something else; the same certificate would be the proof of another map.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proofs_tests.certifier.cases import CASES, Case
from proofs_tests.certifier.test_rules import proof, trace
from shiftjax.certifier import Certificate, _interpret, _jaxpr, certify
from shiftjax.certifier._rules import TABLE


def changed(value: Any) -> Iterator[Any]:
    """Other values of the same type."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, enum.Enum):
        yield from (other for other in type(value) if other != value)
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        yield np.dtype(np.int16)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from (dataclasses.replace(value, **{field.name: v}) for v in changed(getattr(value, field.name)))
    elif isinstance(value, tuple):
        for k, entry in enumerate(value):
            entries = ([*value[:k], other, *value[k + 1 :]] for other in changed(entry))
            yield from (type(value)(*e) if hasattr(value, "_fields") else tuple(e) for e in entries)
        if not value:
            yield (0,)
    elif _jaxpr.is_program(value):
        yield jax.make_jaxpr(lambda *numbers: tuple(3 * n for n in numbers[: len(value.outvars)]))(*value.in_avals)
    else:
        yield "another value"


def certificate(case: Case, primitive: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the certifier says where every equation of a primitive has another value of one parameter."""
    true = _jaxpr.program

    def program(jaxpr: Any) -> _jaxpr.Program:
        read = true(jaxpr)
        calls = tuple(
            dataclasses.replace(c, params={**c.params, name: value}) if c.primitive is primitive else c
            for c in read.calls
        )
        return dataclasses.replace(read, calls=calls)

    with monkeypatch.context() as patch:
        patch.setattr(_jaxpr, "program", program)
        try:
            return statement(proof(case))
        except Exception:  # the changed equation may be nonsense, which no rule must accept quietly
            return None


SIZES = frozenset({"limit_indices", "sizes", "slice_sizes", "new_sizes"})  # of the result, whose shape the trace has
ENDS = frozenset({"padding", "padding_config"})  # (left, right, ..): where the array ends is its size too


def changes(name: str, value: Any) -> Iterator[Any]:
    """Other values of a parameter that make another map, sizes along the image apart."""
    for other in changed(value):
        if name not in SIZES and not (name in ENDS and _only_ends_differ(value, other)):
            yield other


def _only_ends_differ(value: Any, other: Any) -> bool:
    return all((a[0], *a[2:]) == (b[0], *b[2:]) for a, b in zip(value, other, strict=True))


def statement(cert: Certificate) -> Any:
    return cert.fingerprint, [one.axes for one in cert.outputs]


def unnoticed(case: Case, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Parameters of a case whose change neither stops the proof nor changes the certificate."""
    true = statement(proof(case))
    rules = _interpret.rules()
    for eqn in trace(case).eqns:
        rule = rules.get(eqn.primitive)
        if rule is None or rule.control or eqn.primitive.name not in case.primitives:
            continue
        for name in set(eqn.params) - rule.inert:
            for value in changes(name, eqn.params[name]):
                if certificate(case, eqn.primitive, name, value, monkeypatch) == true:
                    yield f"{eqn.primitive.name}: {name}={value!r}"


BORDERS = ("set block",)  # what is written there is no part of the map


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in BORDERS], ids=repr)
def test_every_parameter_counts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the rule declares it inert, which the next test keeps few."""
    assert list(unnoticed(case, monkeypatch)) == []


def test_inert_parameters_are_few() -> None:
    """Each is where or how something is computed, a hint, a size that the result has anyway, or another parameter."""
    inert = {name for rule in TABLE.values() if not rule.control for name in rule.inert}
    assert inert == {
        *("sharding", "out_sharding", "devices", "srcs", "copy_semantics"),  # where
        *("layout", "context_mesh", "unconstrained_dims", "axes"),  # where, of `sharding_constraint` and `pvary`
        *("weak_type", "name", "indices_are_sorted", "unique_indices"),  # hints
        *("shape", "computation", "consts", "update_consts"),  # told by other parameters, or refused unless empty
    }


def test_control_a_rule_that_forgets_a_parameter_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were any named parameter inert, some case would not notice its change."""
    true = _interpret.rules()
    for name, parameter in (("cumsum", "reverse"), ("argmax", "index_dtype"), ("transpose", "permutation")):
        primitive = _jaxpr.primitive(name)
        rule = true[primitive]
        forgetful = dataclasses.replace(rule, named=rule.named - {parameter}, inert=rule.inert | {parameter})
        monkeypatch.setattr(_interpret, "rules", lambda p=primitive, r=forgetful: {**true, p: r})
        case = next(case for case in CASES if name in case.primitives)
        listed = dataclasses.replace(forgetful, inert=rule.inert)
        monkeypatch.setattr(_interpret, "rules", lambda p=primitive, r=listed: {**true, p: r})
        with pytest.raises(Exception, match="new to the certifier"):  # a parameter of no kind stops the proof
            proof(case)
        monkeypatch.undo()


def test_a_loop_of_constants_has_one_name_at_every_trace() -> None:
    """Where rounding leaves a constant unknown, it is named by the operations that made it, loops among them."""

    def by_a_rounded_number(x: jax.Array) -> jax.Array:
        made = jax.lax.fori_loop(0, 3, lambda _, a: a / 3 + 0.1, jnp.arange(4, dtype=np.float16))
        return x * (jnp.sqrt(made)[0] >= 0.5)

    image = jax.ShapeDtypeStruct((1, 9, 1), np.float32)
    first, second = (certify(lambda x: by_a_rounded_number(x), image) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    other = certify(lambda x: by_a_rounded_number(x) + by_a_rounded_number(x + 1), image)  # control
    assert other.fingerprint != first.fingerprint
