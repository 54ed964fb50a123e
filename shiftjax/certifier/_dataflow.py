"""How the arrays of a function are made of each other: the certifier's walk over the equations, written down.

For code that computes a function in another order than it was written in, as a stream does. Calls, branches by platform
and loops that the certifier follows turn by turn are written out, so that only operations on arrays are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import jax
import numpy as np

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._domain import offset as offsets
from shiftjax.certifier._domain.axis import Axis, whole
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.pattern import regular
from shiftjax.certifier._domain.tags import Flattened
from shiftjax.certifier._domain.values import Image, Refused, Result
from shiftjax.certifier._interpret import Interpreter, rules
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules import TABLE, Equation, Record
from shiftjax.certifier._rules.indexing import indices_read


@dataclass(frozen=True)
class Along:
    """Where and how an array runs along one image axis.

    Attributes:
        axis: the array axis that does.
        before: size of what is flattened into that axis and varies slower than the image axis; 1 where nothing is.
        after: size of what varies faster; 1 where nothing does.
        stride: image pixels per index; negative where it runs backwards.
        period: image pixels after which the array is computed in the same way again.
    """

    axis: int
    before: int
    after: int
    stride: Fraction
    period: int


class Array:
    """An array that depends on the image.

    Attributes:
        shape: its sizes.
        dtype: name of its type.
        map: digest of the map from the image, whichever part of the map's output the array holds.
    """

    def __init__(self, image: Image, dtype: str) -> None:
        self._image = image
        self.shape, self.dtype, self.map = image.shape, dtype, image.map

    def along(self, image_axis: int) -> Along | None:
        """How it runs along an image axis; None where it does not follow it."""
        for k, tag in enumerate(self._image.axes):
            parts = tag.parts if isinstance(tag, Flattened) else ((self.shape[k], tag),)
            for j, (_, one) in enumerate(parts):
                if isinstance(one, Axis) and one.image == image_axis:
                    before, after = (prod(n for n, _ in side) for side in (parts[:j], parts[j + 1 :]))
                    return Along(k, before, after, one.stride, abs(one.period))
        return None

    def continues(self, other: Array, image_axis: int, by: int) -> bool:
        """Whether it continues another array: index 0 of it is index `by` of the other, along one image axis.

        This is about their maps: what either array holds at its ends may differ.
        """
        along = other.along(image_axis)
        if along is None or self.map != other.map:
            return False
        moved = offsets.plus(other._image.offset, {image_axis: by * along.stride})
        return dict(moved) == dict(self._image.offset)


class Constant:
    """An array that does not depend on the image.

    Attributes:
        shape: its sizes.
        value: its elements where they are known exactly, else None.
    """

    def __init__(self, value: Known | Unknown) -> None:
        self._value = value
        self.shape = value.shape
        self.value: np.ndarray | None = value.value if isinstance(value, Known) and value.exact else None

    def form(self, axis: int) -> tuple[int, int, int] | None:
        """How it runs along an axis: (elements before those that repeat, their period in elements, elements after).

        None where that is not proved.
        """
        if self._value.uniform(axis):
            return 0, 1, 0
        if isinstance(self._value, Known):
            form = self._value.form(axis)
            return None if form is None else (form.left, form.period, form.right)
        period = self._value.period(axis)
        return None if period is None else (0, period, 0)

    def same(self, other: Constant) -> bool:
        """Whether it is surely the same array as another one."""
        return self._value.key() == other._value.key()


@dataclass(frozen=True)
class Operation:
    """What an array is computed by.

    Attributes:
        primitive: JAX's object for it.
        params: its parameters.
        operands: the arrays and constants that it takes.
        result: which of its results the array is.
        source: "file:line" of the user's code.
        pointwise: whether it reads all operands at the index that it computes.
        lookup: of a gather of single indices that are known and regular: the elements that outputs `0 .. q - 1` read,
            how many elements further along the next q outputs read, and whether all outputs do so and read what is
            there; None for all else.
    """

    primitive: Any
    params: dict[str, Any]
    operands: tuple[Array | Constant, ...]
    result: int
    source: str
    pointwise: bool
    lookup: tuple[tuple[int, ...], int, bool] | None

    @property
    def name(self) -> str:
        """Name of the primitive."""
        return self.primitive.name


class Dataflow:
    """The outputs of a function, and what each array on the way to them is computed by.

    Attributes:
        image: the image.
        outputs: one per output of the function; None for one without a proof.
        parameters: shape and type of each.
    """

    def __init__(self, fn: Callable[[Any], Any], x: Any) -> None:
        """Traces a function of `(batch, *space, channel)`.

        Raises:
            CertificationError: no output has a proof.
        """
        traced = _jaxpr.trace(fn, x)
        self.parameters = traced.parameter_shapes
        self._walk = _Walk(Record())
        self._parameters: list[Result] = [
            Unknown(shape, digest("parameter", k)) for k, (shape, _) in enumerate(traced.parameter_shapes)
        ]
        rank = len(x.shape)
        tags = tuple(whole(k - 1, n) if 0 < k < rank - 1 else None for k, n in enumerate(x.shape))
        self._input = Image(tuple(x.shape), tags, digest("image"), finite=True)
        results = self._walk.run(traced.program, [*self._parameters, self._input])
        dtypes = [str(_jaxpr.dtype(atom)) for atom in traced.program.outputs]
        self._arrays: dict[int, Array] = {}
        self.outputs = [
            self._array(value, dtype) if isinstance(value, Image) and not value.broken else None
            for value, dtype in zip(results, dtypes, strict=True)
        ]
        self.image = self._array(self._input, str(x.dtype))

    def operation(self, array: Array) -> Operation:
        """What an array other than the image is computed by.

        Raises:
            CertificationError: it is made inside a loop, or by something that was refused.
        """
        made = self._walk.made.get(id(array._image))
        if made is None:
            raise CertificationError("loop", "unknown", "an array is made inside a loop", "Write it without the loop.")
        operands: list[Array | Constant] = []
        for value, dtype in zip(made.operands, made.eqn.call.in_dtypes, strict=True):
            if isinstance(value, Refused):
                raise value.why
            operands.append(self._array(value, dtype) if isinstance(value, Image) else Constant(value))
        return Operation(
            primitive=made.eqn.call.primitive,
            params=made.eqn.params,
            operands=tuple(operands),
            result=made.result,
            source=made.eqn.source,
            pointwise=made.eqn.rule is not None and made.eqn.rule.apply is TABLE["add"].apply,
            lookup=_lookup(made),
        )

    def evaluate(self, constants: Sequence[Constant], parameters: Sequence[Any]) -> list[Any]:
        """The values of constants, from those of the function's parameters in the order of its leaves.

        Raises:
            CertificationError: one of them is made inside a loop.
        """
        values: dict[int, Any] = {id(p): value for p, value in zip(self._parameters, parameters, strict=True)}

        def value_of(constant: Result) -> Any:
            if id(constant) not in values:
                values[id(constant)] = computed(constant)
            return values[id(constant)]

        def computed(constant: Result) -> Any:
            made = self._walk.made.get(id(constant))
            if isinstance(constant, Known) and (constant.exact or made is None):
                return constant.value
            if made is None:
                raise CertificationError("loop", "unknown", "a constant is made inside a loop", "Compute it outside.")
            call = made.eqn.call
            results = call.primitive.bind(*map(jax.numpy.asarray, map(value_of, made.operands)), **call.params)
            return results[made.result] if call.primitive.multiple_results else results

        return [value_of(constant._value) for constant in constants]

    def _array(self, image: Image, dtype: str) -> Array:
        return self._arrays.setdefault(id(image), Array(image, dtype))


@dataclass(frozen=True)
class _Made:
    """Which result of which equation a value is."""

    eqn: Equation
    operands: tuple[Result, ...]
    result: int


def _lookup(made: _Made) -> tuple[tuple[int, ...], int, bool] | None:
    """The regular indices that a gather reads along one axis of the image, as its rule found them."""
    if made.eqn.name != "gather":
        return None
    image, indices = made.operands
    axes = made.eqn.params["dimension_numbers"].start_index_map
    if not isinstance(image, Image) or not isinstance(indices, Known) or len(axes) != 1 or len(indices.shape) != 2:
        return None
    total = image.shape[axes[0]]
    read = indices_read(str(made.eqn.params["mode"]), indices, total)
    pattern = regular(read)
    if pattern is None:
        return None
    throughout = (pattern.start, pattern.stop) == (0, len(read)) and 0 <= min(read) <= max(read) < total
    return pattern.first, pattern.step, throughout


class _Walk(Interpreter):
    """Keeps what every value is made by. Of branches for several platforms it takes the one that runs here."""

    every_turn = True

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.made: dict[int, _Made] = {}
        self._kept: list[Result] = []  # so that no other value gets the same id

    def _apply(self, call: _jaxpr.Call, operands: list[Result], outer: Equation | None) -> list[Result]:
        eqn = Equation(call, self._record, rules().get(call.primitive), outer)
        if (form := _jaxpr.form_on(call.params, jax.default_backend())) is not None:
            return self.run(_jaxpr.program(form), operands[1:], eqn)
        results = super()._apply(call, operands, outer)
        for k, value in enumerate(results):
            self._kept.append(value)
            if not any(value is operand for operand in operands):
                self.made.setdefault(id(value), _Made(eqn, tuple(operands), k))
        return results
