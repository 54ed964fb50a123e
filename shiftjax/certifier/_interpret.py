"""Runs a program on abstract values. Every call gets an environment of its own: JAX shares jaxprs between calls."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._closed_over import name_of
from shiftjax.certifier._constants import fold
from shiftjax.certifier._domain.axis import Axis, Mismatch
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.values import Image, Refused, Result, Value, proved
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules import TABLE, Equation, Record, Rule
from shiftjax.certifier._rules.chance import has_effects

UNKNOWN = "Write it with operations that the certifier knows, or compute it outside the network."
EFFECTS = "Certify a pure function: no callbacks with results and no references."
REPORT = "This is a fault of the certifier: please report it. Until then, write it with other operations."
MISMATCH = "Bring both to the same grid of the image first (crop, pool or upsample), or certify them apart."


@functools.cache
def rules() -> dict[Any, Rule]:
    """The table, keyed by primitive object: two primitives may share a name."""
    by_primitive = {_jaxpr.primitive(name): entry for name, entry in TABLE.items()}
    by_primitive.pop(None, None)  # those that this JAX does not have
    return by_primitive


class Interpreter:
    """Interprets programs and keeps what is learnt in a record.

    A refusal stops only what is computed from the refused value, so that each output of a function is judged by itself.
    """

    every_turn = False

    def __init__(self, record: Record) -> None:
        self._record = record

    def run(self, program: _jaxpr.Program, values: Sequence[Result], outer: Equation | None = None) -> list[Result]:
        """The abstract results of a program; `outer` is the call that runs it."""
        constants = [self._constant(c) for c in program.constants]
        env: dict[Any, Result] = dict(zip(program.inputs, [*constants, *values], strict=True))

        def read(atom: Any) -> Result:
            value = _jaxpr.literal(atom)
            return env[atom] if value is None else self._constant(value, _jaxpr.dtype(atom))

        for call in program.calls:
            results = self._apply(call, [read(atom) for atom in call.operands], outer)
            env.update(zip(call.results, results, strict=True))
        return [read(atom) for atom in program.outputs]

    def prove(self, program: _jaxpr.Program, values: Sequence[Value], outer: Equation) -> list[Value]:
        """As `run`, where each result is needed.

        Raises:
            CertificationError: one of them was refused.
        """
        return proved(self.run(program, values, outer))

    def fold(self, eqn: Equation, values: Sequence[Value]) -> list[Value]:
        """The results of an equation whose operands are all constants."""
        if has_effects(eqn.call):
            eqn.refuse("it has effects", EFFECTS)
        return list(fold(eqn, [v for v in values if not isinstance(v, Image)]))

    def _constant(self, value: Any, dtype: Any = None) -> Value:
        """An array that the program holds: known if it can be read. The record keeps those with elements to name."""
        constants = self._record.constants
        if id(value) in constants:
            return constants[id(value)][1]
        host = _jaxpr.concrete(value)
        if host is None:
            return Unknown(tuple(np.shape(value)), digest("unread", _jaxpr.key_data(value)))
        known = Known.of(host if dtype is None else host.astype(dtype, copy=False))
        if host.ndim:
            known.origin = name_of(value, host, self._record.names) or f"constant {len(constants)}"
            constants[id(value)] = (value, known)
        return known

    def _apply(self, call: _jaxpr.Call, operands: list[Result], outer: Equation | None) -> list[Result]:
        """The results of one equation, or its refusal in their place."""
        rule = rules().get(call.primitive)
        eqn = Equation(call, self._record, rule, outer)
        try:
            if rule is not None and (new := set(call.params) - rule.parameters):
                eqn.refuse(f"its parameters {sorted(new)} are new to the certifier", UNKNOWN)
            if rule is not None and rule.call:
                return list(rule.apply(self, eqn, *operands))
            return list(self._results(eqn, rule, proved(operands)))
        except CertificationError as refusal:
            why = refusal
        except Mismatch as mismatch:
            why = eqn.refusal(str(mismatch), MISMATCH)
        except Exception as error:  # in doubt refuse: a rule that fails has proved nothing
            why = eqn.refusal(f"its rule fails ({type(error).__name__}: {error})", REPORT)
        return [Refused(shape, why) for shape in call.out_shapes]

    def _results(self, eqn: Equation, rule: Rule | None, operands: list[Value]) -> list[Value]:
        """The results of one equation, by its rule."""
        call = eqn.call
        if not call.results:
            return []  # a print, or a write into memory, which nobody may read
        if call.effects and not (rule and rule.control):
            eqn.refuse("it has effects", EFFECTS)
        images = [v for v in operands if isinstance(v, Image)]
        if not images and (rule is None or not rule.control):
            return self.fold(eqn, operands)
        if rule is None:
            eqn.refuse("the certifier has no rule for this operation", UNKNOWN)
        passes_broken = rule.moves_axes_only or rule.control
        if not passes_broken and (broken := next((v.broken for v in images if v.broken), None)):
            raise broken.why
        applied = rule.apply(self, eqn, *operands) if rule.control else rule.apply(eqn, *operands)
        results = applied if isinstance(applied, list) else [applied]
        results = [
            Known.of(np.zeros(v.shape, dtype)) if 0 in v.shape and not dtype.startswith("key<") else v
            for v, dtype in zip(results, call.out_dtypes, strict=True)
        ]  # arrays without elements depend on nothing
        _check(eqn, images, results)
        if not rule.control:
            _note(eqn, images, results)
        return results


def _check(eqn: Equation, images: Sequence[Image], results: Sequence[Value]) -> None:
    """What the results of every rule must have: the traced shapes, each image axis once, exact indices in the array."""
    for result, shape in zip(results, eqn.call.out_shapes, strict=True):
        if result.shape != shape:
            eqn.refuse(f"the rule expects shape {result.shape}, the trace has {shape}", REPORT)
        if not images or not isinstance(result, Image):
            continue
        if result.image_axes != images[0].image_axes:
            eqn.refuse("an image axis is lost or doubled", "Keep each image axis exactly once.")
        for n, tag in zip(result.shape, result.axes, strict=True):
            if isinstance(tag, Axis) and not (
                tag.size == n and 0 <= tag.exact[0] <= tag.exact[1] <= n and 0 <= tag.start <= n and 0 <= tag.stop <= n
            ):
                eqn.refuse(f"the rule takes {tag} for an axis of {n} indices", REPORT)


def _note(eqn: Equation, images: Sequence[Image], results: Sequence[Value]) -> None:
    """Records a step that changes how the image is read, for the table of `explain`."""
    first = next((r for r in results if isinstance(r, Image)), None)
    if first is None or first.broken:
        return
    before = {image.axes for image in images}
    if len(before) > 1 or any(tag not in images[0].axes for tag in first.axes if tag is not None):
        eqn.record.steps.append((eqn, first))
