"""A program without calls: the programs that it calls are written out, so that it is one list of equations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._interpret import rules
from shiftjax.certifier._jaxpr import Call, Program


class Variable:
    """A variable of a flat program. Those of JAX would not do: calls of one function share them."""

    __slots__ = ("aval",)

    def __init__(self, aval: Any) -> None:
        self.aval = aval


class Flat:
    """A flat program.

    Attributes:
        program: its equations.
        maker: for each variable that an equation makes, that equation.
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    @cached_property
    def maker(self) -> dict[Variable, Call]:
        return {result: call for call in self.program.calls for result in call.results}

    def needed(self, wanted: Iterable[Any], known: Callable[[Variable], bool]) -> tuple[list[Call], list[Variable]]:
        """The equations that compute wanted values, in order, and the known variables that these start from."""
        todo = [atom for atom in wanted if _jaxpr.literal(atom) is None]
        seen: dict[Variable, None] = {}
        while todo:
            atom = todo.pop()
            if atom not in seen:
                seen[atom] = None
                if not known(atom) and atom in self.maker:
                    todo += [o for o in self.maker[atom].operands if _jaxpr.literal(o) is None]
        calls = [c for c in self.program.calls if any(r in seen and not known(r) for r in c.results)]
        return calls, [atom for atom in seen if known(atom)]

    def run(self, known: Mapping[Variable, Any], wanted: Sequence[Any]) -> list[Any]:
        """Wanted values, computed or traced from known ones."""
        env = dict(known)
        calls, _ = self.needed(wanted, env.__contains__)

        def read(atom: Any) -> Any:
            value = _jaxpr.literal(atom)
            return env[atom] if value is None else np.asarray(value, atom.aval.dtype)

        for call in calls:
            results = _jaxpr.bind(call, [read(atom) for atom in call.operands])
            for atom, value in zip(call.results, results, strict=True):
                env.setdefault(atom, value)
        return [read(atom) for atom in wanted]


def flatten(program: Program) -> Flat:
    """A program with its calls written out, and otherwise unchanged."""
    constants: list[tuple[Variable, Any]] = []
    calls: list[Call] = []

    def walk(inner: Program, operands: Sequence[Any], info: Any) -> list[Any]:
        held = [Variable(atom.aval) for atom, _ in zip(inner.inputs, inner.constants, strict=False)]
        constants.extend(zip(held, map(_kept, inner.constants), strict=True))
        env: dict[Any, Any] = dict(zip(inner.inputs, [*held, *operands], strict=True))

        def read(atom: Any) -> Any:
            return atom if _jaxpr.literal(atom) is not None else env[atom]

        for call in inner.calls:
            here = call.info if info is None or _jaxpr.source(call.info) else info
            read_in = tuple(read(atom) for atom in call.operands)
            called = inlined(call)
            if called is None:
                results: Sequence[Any] = [Variable(atom.aval) for atom in call.results]
                calls.append(replace(call, operands=read_in, results=tuple(results), info=here))
            else:
                results = walk(_jaxpr.program(called), read_in, here)
            env.update(zip(call.results, results, strict=True))
        return [read(atom) for atom in inner.outputs]

    inputs = [Variable(atom.aval) for atom in program.inputs[len(program.constants) :]]
    outputs = walk(program, inputs, None)
    held, values = zip(*constants, strict=True) if constants else ((), ())
    return Flat(Program((*held, *inputs), tuple(values), tuple(calls), tuple(outputs)))


def _kept(value: Any) -> Any:
    """A constant as it is now: NumPy's arrays may be written to later."""
    return value.copy() if isinstance(value, np.ndarray) else value


def inlined(call: Call) -> Any | None:
    """The program that a call runs once; None for other operations.

    A function with a rule of differentiation of its own keeps it, unless there is a reduction inside.
    """
    rule = rules().get(call.primitive)
    if rule is None or not rule.call or "mesh" in call.params:
        return None
    called = call.params.get("jaxpr", call.params.get("call_jaxpr"))
    return None if call.name.startswith("custom") and not _reduces(called) else called


def _reduces(jaxpr: Any) -> bool:
    """Whether a program has reductions, at any depth."""
    return any(
        call.name.startswith("reduce") or any(map(_reduces, _jaxpr.programs(call.params)))
        for call in _jaxpr.program(jaxpr).calls
    )
