"""Runs a program on abstract values. Every call gets an environment of its own: JAX shares jaxprs between calls."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from shiftjax.certifier import _jaxpr as adapter
from shiftjax.certifier._closed_over import name_of
from shiftjax.certifier._constants import fold
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.values import Image, Known, Unknown, Value, digest
from shiftjax.certifier._rules import TABLE, Equation, Record, Rule

UNKNOWN = "Write it with operations that the certifier knows, or compute it outside the network."
MISMATCH = "Bring both to the same grid of the image first (crop, pool or upsample), or certify them apart."


@functools.cache
def rules() -> dict[Any, Rule]:
    """The table, keyed by primitive object: two primitives may share a name."""
    found = {adapter.primitive(name): entry for name, entry in TABLE.items()}
    found.pop(None, None)
    return found


def run(
    program: adapter.Program, values: Sequence[Value], record: Record, outer: Equation | None = None
) -> list[Value]:
    """The abstract results of a program."""
    given = [constant(c, record) for c in program.constants]
    env: dict[Any, Value] = dict(zip(program.inputs, [*given, *values], strict=True))

    def read(atom: Any) -> Value:
        value = adapter.literal(atom)
        return env[atom] if value is None else constant(value, record, adapter.dtype(atom))

    for call in program.calls:
        results = _step(call, [read(atom) for atom in call.operands], record, outer)
        env.update(zip(call.results, results, strict=True))
    return [read(atom) for atom in program.outputs]


def constant(value: Any, record: Record, dtype: Any = None) -> Value:
    """An array that the program holds: known if it can be read. Those with elements to name are kept for the record."""
    if id(value) in record.constants:
        return record.constants[id(value)][1]
    host = adapter.concrete(value)
    if host is None:
        return Unknown(tuple(np.shape(value)), digest("unread", object()))
    known = Known.of(host if dtype is None else host.astype(dtype, copy=False))
    if host.ndim:
        known.origin = name_of(value, host, record.names) or f"constant {len(record.constants)}"
        record.constants[id(value)] = (value, known)
    return known


def _step(call: adapter.Call, operands: list[Value], record: Record, outer: Equation | None) -> list[Value]:
    eqn = _equation(call, record, outer)
    if call.effects:
        eqn.refuse("it has effects", "Certify a pure function: no printing, callbacks or references.")
    rule = rules().get(call.primitive)
    images = [v for v in operands if isinstance(v, Image)]
    if not images and (rule is None or not rule.control):
        return eqn.fold(operands)
    if rule is None:
        eqn.refuse("the certifier has no rule for this operation", UNKNOWN)
    if strange := set(call.params) - rule.params:
        eqn.refuse(f"its parameters {sorted(strange)} are new to the certifier", UNKNOWN)
    if not (rule.void or rule.control) and (void := next((v.void for v in images if v.void), None)):
        raise void.why
    try:
        found = rule.apply(eqn, *operands)
    except domain.Mismatch as mismatch:
        eqn.refuse(str(mismatch), MISMATCH)
    results = list(found) if isinstance(found, list | tuple) else [found]
    results = [Known.of(np.zeros(v.shape)) if 0 in v.shape else v for v in results]  # no elements, no dependence
    _check(eqn, images, results)
    if not rule.control:
        _note(eqn, images, results)
    return results


def _equation(call: adapter.Call, record: Record, outer: Equation | None) -> Equation:
    """The equation as rules see it, able to run programs of its own."""

    def enter(program: adapter.Program, values: Sequence[Value]) -> list[Value]:
        return run(program, values, record, eqn)

    def constants(values: Sequence[Value]) -> list[Value]:
        return list(fold(eqn, [v for v in values if not isinstance(v, Image)]))

    eqn = Equation(call, record, enter, constants, outer)
    return eqn


def _check(eqn: Equation, images: Sequence[Image], results: Sequence[Value]) -> None:
    """What every rule must keep: the traced shapes, each image axis exactly once, exact indices inside the array."""
    for result, shape in zip(results, eqn.call.out_shapes, strict=True):
        if result.shape != shape:
            eqn.refuse(f"the rule expects shape {result.shape}, the trace has {shape}", UNKNOWN)
        if not images or not isinstance(result, Image):
            continue
        if sorted(domain.images(result.axes)) != sorted(domain.images(images[0].axes)):
            eqn.refuse("an image axis is lost or doubled", "Keep each image axis exactly once.")
        for n, tag in zip(result.shape, result.axes, strict=True):
            if isinstance(tag, domain.Axis) and not 0 <= tag.start <= tag.stop <= n:
                eqn.refuse(f"the rule takes {tag.start} .. {tag.stop} of {n} indices for exact", UNKNOWN)


def _note(eqn: Equation, images: Sequence[Image], results: Sequence[Value]) -> None:
    """Keeps for the page what changed how the image is read."""
    first = next((r for r in results if isinstance(r, Image)), None)
    if first is None or not images or isinstance(first.void, domain.Void):
        return
    before = {image.axes for image in images}
    if len(before) > 1 or any(tag not in images[0].axes for tag in first.axes if tag is not None):
        eqn.record.steps.append((eqn, first))
