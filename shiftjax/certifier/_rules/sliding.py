"""Loops over slices of an image axis, each turn of which does the same to another slice: followed once.

The program of a turn is taken apart. `index` computes where the turn reads, `reads` are the slices that it takes of
images that are the same at every turn, `same` depends on nothing but these slices (most of the work), and `rest` fills
an array with the results.

`same` is one function, whatever the turn. It is certified by itself along the loop's axis, as a function of slices: if
its period is 1 at stride 1 and its results are exact throughout, then moving the slices by n indices moves the results
by n. So its results at one turn give those at any other, as long as all indices of the slices are exact. A turn that
reads other indices is followed in full, and so is the `rest` of every turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._domain.constants import Known
from shiftjax.certifier._domain.values import Image, Value
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules.chance import CHANCE, runs_any
from shiftjax.certifier._rules.indexing import clamped_start
from shiftjax.certifier._rules.moved import as_image, ends_move, further, is_exact
from shiftjax.certifier._rules.table import Equation, Interpreter

FILLING = frozenset({"dynamic_update_slice", "scatter"})
Starts = list[tuple[int, ...]]  # of every read, along every axis of its array
Values = dict[Any, Value]  # of variables


@dataclass(frozen=True)
class _Parts:
    """A program taken apart, as this file's docstring says; each part returns what later ones need."""

    index: _jaxpr.Program
    reads: tuple[_jaxpr.Call, ...]
    same: _jaxpr.Program
    rest: _jaxpr.Program


@dataclass(frozen=True)
class _Turn:
    """A turn whose slices are exact throughout: where it reads, the slices, and the results of `same` on them."""

    starts: Starts
    slices: list[Value]
    results: list[Value]


@dataclass
class Sliding:
    """A loop over slices, followed turn by turn except for what all turns have in common."""

    interpreter: Interpreter
    eqn: Equation
    inputs: tuple[Any, ...]  # that each turn is given
    fixed: Values  # the same at every turn
    parts: _Parts
    known: _Turn | None = None
    moves: dict[int, bool] = field(default_factory=dict)  # whether `same` moves as its slices do, by image axis
    ends: dict[int, bool] = field(default_factory=dict)  # whether the ends of its results do

    def turn(self, values: Sequence[Value]) -> list[Value]:
        """The results of the next turn.

        Raises:
            CertificationError: one of them, or what they are made of, was refused.
        """
        env = {**self.fixed, **dict(zip(self.inputs, values, strict=True))}
        self._run(self.parts.index, env)
        starts = self._starts(env)
        results = self._moved(starts) if starts else None
        if results is None:
            slices = self._read(env)
            results = self._same(slices)
            if starts and self.known is None:
                self.known = _Turn(starts, slices, results)
        env.update(zip(self.parts.same.outputs, results, strict=True))
        return self._run(self.parts.rest, env)

    def _run(self, part: _jaxpr.Program, env: Values) -> list[Value]:
        results = self.interpreter.prove(part, [env[v] for v in part.inputs], self.eqn)
        env.update((v, r) for v, r in zip(part.outputs, results, strict=True) if _jaxpr.literal(v) is None)
        return results

    def _read(self, env: Values) -> list[Value]:
        results = tuple(read.results[0] for read in self.parts.reads)
        return self._run(_program(self.parts.reads, results), dict(env))

    def _same(self, slices: Sequence[Value]) -> list[Value]:
        read = dict(zip((read.results[0] for read in self.parts.reads), slices, strict=True))
        return self._run(self.parts.same, {**self.fixed, **read})

    def _starts(self, env: Values) -> Starts | None:
        """Where a turn reads; None if that is unknown, or if some index there is not exact."""
        starts: Starts = []
        for read in self.parts.reads:
            image = env[read.operands[0]]
            assert isinstance(image, Image)
            own = []
            for k, (atom, size) in enumerate(zip(read.operands[1:], read.params["slice_sizes"], strict=True)):
                total, tag = image.shape[k], image.axes[k]
                if size == total:
                    own.append(0)
                    continue
                literal = _jaxpr.literal(atom)
                value = env[atom] if literal is None else Known.of(literal)
                if not isinstance(value, Known) or not value.exact:
                    return None
                start = clamped_start(self.eqn, value, size, total, spatial=True)
                assert start is not None
                if tag is not None and not (
                    isinstance(tag, Axis) and tag.exact[0] <= start <= start + size <= tag.exact[1]
                ):
                    return None
                own.append(start)
            starts.append(tuple(own))
        return starts

    def _moved(self, starts: Starts) -> list[Value] | None:
        """What `same` gives for these slices, from what it gave for the known ones; None if that does not follow."""
        if self.known is None:
            return None
        moves = {self._move(*pair) for pair in enumerate(zip(self.known.starts, starts, strict=True))}
        if len(moves) != 1 or None in moves:  # all slices must move alike
            return None
        ((along, by),) = [move for move in moves if move is not None]
        if along not in self.moves:
            self.moves[along] = self._moves_along(along)
        if not self.moves[along]:
            return None
        return [further(v, along, by, ends=self.ends[along]) for v in self.known.results]

    def _move(self, read: int, starts: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[int, int] | None:
        """Along which image axis a slice has moved, and by how many indices; None if not along exactly one."""
        assert self.known is not None
        image = self.known.slices[read]
        moved = [(k, new - old) for k, (old, new) in enumerate(zip(*starts, strict=True)) if new != old]
        if len(moved) != 1 or not isinstance(image, Image):
            return None
        ((k, by),) = moved
        tag = image.axes[k]
        return (tag.image, by) if isinstance(tag, Axis) else None

    def _moves_along(self, along: int) -> bool:
        """Whether `same` moves by an index where its slices do.

        Sound, because it is certified for slices that are images themselves along this axis: period 1 and stride 1 say
        that `same` of slices further along is its result further along.
        """
        assert self.known is not None
        strides = {v.strides.get(along) for v in [*self.known.slices, *self.known.results] if isinstance(v, Image)}
        if len(strides) != 1 or None in strides:
            return False
        mark = self.eqn.record.mark()
        try:
            alone = self._same([as_image(v, along) for v in self.known.slices])
        except CertificationError:
            return False
        finally:
            self.eqn.record.back_to(mark)
        pairs = list(zip(self.known.results, alone, strict=True))
        self.ends[along] = self._known_from_both_ends(along) and all(ends_move(v, own, along) for v, own in pairs)
        return all(is_exact(v, along) and is_exact(own, along, alone=True) for v, own in pairs)

    def _known_from_both_ends(self, along: int) -> bool:
        """Whether what the slices are cut from is known, wherever it is exact, from either end of this axis."""
        arrays = [self.fixed[read.operands[0]] for read in self.parts.reads]
        axes = [array.along(along) for array in arrays if isinstance(array, Image)]
        return all(axis and axis.start <= axis.exact[0] and axis.exact[1] <= axis.stop for axis in axes)


def slide(
    interpreter: Interpreter, eqn: Equation, program: _jaxpr.Program, fixed: Sequence[Value], start: Sequence[Value]
) -> Sliding | None:
    """A loop that runs `program`, taken apart; None if it does not read slices of something fixed.

    Args:
        interpreter: that runs programs.
        eqn: the loop.
        program: of a turn; its inputs are `fixed`, what is carried, and whatever else a turn is given.
        fixed: operands that are the same at every turn.
        start: what is carried, at the start.
    """
    if _by_chance(program):
        return None
    count = len(program.constants)
    held = interpreter.prove(_program((), program.inputs[:count], constants=program.constants), [], eqn)
    given = program.inputs[count + len(fixed) :]
    known = dict(zip(program.inputs, [*held, *fixed], strict=False))
    kept = zip(given, start, program.outputs, strict=False)
    known.update((v, value) for v, value, after in kept if v is after)  # carried, but never changed
    once: list[_jaxpr.Call] = []
    for call in program.calls:
        if all(v in known or v in _results(once) for v in _variables(call)):
            once.append(call)
    results = tuple(_results(once))
    values = interpreter.prove(_program(once, results), [known[v] for v in _program(once, results).inputs], eqn)
    known.update(zip(results, values, strict=True))
    parts = _taken_apart(program, known, given, once)
    return Sliding(interpreter, eqn, given, known, parts) if parts else None


def _taken_apart(
    program: _jaxpr.Program, fixed: Values, given: Sequence[Any], once: Sequence[_jaxpr.Call]
) -> _Parts | None:
    where: set[Any] = {v for v in given if _jaxpr.shape(v) == () and v not in fixed}  # what says where a turn reads
    constants = {v for v, value in fixed.items() if not isinstance(value, Image)}
    sliced: set[Any] = set()
    index: list[_jaxpr.Call] = []
    reads: list[_jaxpr.Call] = []
    same: list[_jaxpr.Call] = []
    rest: list[_jaxpr.Call] = []
    for call in program.calls:
        if call in once:
            continue
        operands = _variables(call)
        if operands <= where | constants:
            index.append(call)
            where |= set(call.results)
        elif (
            call.name == "dynamic_slice"
            and _reads_fixed(call, fixed)
            and operands - {call.operands[0]} <= where | constants
        ):
            reads.append(call)
            sliced |= set(call.results)
        elif operands <= sliced | constants:
            same.append(call)
            sliced |= set(call.results)
        else:
            rest.append(call)
    asked = {v for call in rest for v in _variables(call)} | _named(program.outputs)
    starts = {v for read in reads for v in _named(read.operands[1:])}
    # A moved result may have no names of ends. Nobody asks for them where it fills an array, but other code may.
    if not same or any(call.name not in FILLING for call in rest) or sliced & _named(program.outputs):
        return None
    return _Parts(
        _program(index, [v for v in _results(index) if v in asked | starts]),
        tuple(reads),
        _program(same, [v for v in _results([*reads, *same]) if v in asked]),
        _program(rest, program.outputs),
    )


def _reads_fixed(call: _jaxpr.Call, fixed: Values) -> bool:
    array = call.operands[0]
    return _jaxpr.literal(array) is None and isinstance(fixed.get(array), Image)


def _program(calls: Sequence[_jaxpr.Call], outputs: Sequence[Any], constants: Sequence[Any] = ()) -> _jaxpr.Program:
    """These calls as a program, whose inputs are all that they, or its outputs, read and do not make."""
    read = [v for call in calls for v in call.operands if _jaxpr.literal(v) is None]
    read += [v for v in outputs if _jaxpr.literal(v) is None]
    made = _results(calls)
    return _jaxpr.Program(
        tuple(v for v in dict.fromkeys(read) if v not in made), tuple(constants), tuple(calls), tuple(outputs)
    )


def _results(calls: Iterable[_jaxpr.Call]) -> dict[Any, None]:
    """The variables that these calls make, in order."""
    return dict.fromkeys(v for call in calls for v in call.results)


def _variables(call: _jaxpr.Call) -> set[Any]:
    return _named(call.operands)


def _named(atoms: Iterable[Any]) -> set[Any]:
    return {v for v in atoms if _jaxpr.literal(v) is None}


def _by_chance(program: _jaxpr.Program) -> bool:
    """Whether something in a program, at any depth, may differ from turn to turn, or be seen outside."""
    return any(call.effects or runs_any(call, CHANCE) for call in program.calls)
