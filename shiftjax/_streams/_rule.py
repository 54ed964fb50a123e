"""The table of rules, and what they have in common.

A rule says how an operation is computed on a part of its operands: it is given the operation and the streamed axis, and
returns what is read of every operand and how the operation is done on that. An operation without a rule is refused, and
so is all that a rule does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from shiftjax._streams._lookup import Lookup
from shiftjax._streams._read import SAME, Read
from shiftjax._streams._refusal import NotStreamable
from shiftjax.certifier import Along, Array, Operation

Ends = tuple[int, int]  # zeros before and after what is read, in base positions
Run = Callable[[Sequence[Any], Sequence[Ends], int], Any]  # values of the operands, their ends, indices of the result


@dataclass(frozen=True)
class Rule:
    """How one operation is streamed.

    Attributes:
        reads: per operand what is read of it, None for a constant.
        run: gives the result, or a list of results.
        aligned: per operand the axis of a constant that lies along the streamed one, None for others.
        outside: what an operand holds beyond its ends, from the values of all operands and its number; None where
            nothing is read there.
        located: in place of `run`, of what is done otherwise at the ends: given the values, how many indices of the
            result, the first of them, and by how many the result is longer than where it was traced.
        ends: in words or numbers what is done at the ends by `located`.
    """

    reads: tuple[Read | Lookup | None, ...]
    run: Run
    aligned: tuple[int | None, ...]
    outside: Callable[[Sequence[Any], int], Any] | None = None
    located: Callable[[Sequence[Any], int, Any, int], Any] | None = None
    ends: Any = None


RULES: dict[str, Callable[[Operation, Array, int], Rule]] = {}


def rule(primitives: str) -> Callable[[Any], Any]:
    """Enters a rule into the table: of an operation, its result, and the number of the image axis."""

    def enter(make: Any) -> Any:
        RULES.update(dict.fromkeys(primitives.split(), make))
        return make

    return enter


def refuse(op: Operation, reason: str) -> NoReturn:
    raise NotStreamable(f"{reason}: `{op.name}` at {op.source}")


def place(op: Operation, array: Array, k: int) -> Along:
    """Where an array runs along the streamed axis."""
    along = array.along(k)
    if along is None or along.stride < 0:
        refuse(op, "it runs backwards along the axis, or no longer along it" if along else "the axis is taken apart")
    return along


def sizes(array: Array, along: Along, count: int) -> tuple[int, ...]:
    """The shape of `count` indices of an array."""
    shape = list(array.shape)
    shape[along.axis] = along.before * count * along.after
    return tuple(shape)


def index_by_index(op: Operation, run: Run, aligned: int | None = None) -> Rule:
    """Output i reads index i of all operands."""
    arrays = [isinstance(operand, Array) for operand in op.operands]
    own = [aligned if not a and len(c.shape) > 0 else None for a, c in zip(arrays, op.operands, strict=True)]
    return Rule(tuple(SAME if a else None for a in arrays), run, tuple(own))


def bound(op: Operation, **changed: Any) -> Callable[..., Any]:
    """The operation itself, with some parameters changed."""
    return lambda *values: op.primitive.bind(*values, **{**op.params, **changed})
