"""The table of rules, and the equation as a rule sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, NoReturn, Protocol, runtime_checkable

from shiftjax.certifier import _jaxpr
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain import offset as offsets
from shiftjax.certifier._domain.constants import Known
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.tags import AxisTag, image_axes
from shiftjax.certifier._domain.values import Constant, Image, Result, Value
from shiftjax.certifier._refusal import CertificationError


@dataclass(frozen=True)
class Rule:
    """What one primitive does to images.

    Attributes:
        apply: `apply(eqn, *operands)` gives the result or a list of results; a control rule is given the interpreter
            first.
        named: parameters that enter the name of every result as they are.
        per_axis: parameters with an entry for each axis; the rule itself puts what matters of them into the name.
        inert: parameters that do not change any value.
        control: whether it runs other programs, so that it is asked even where no operand depends on the image.
        call: whether it does nothing but run one program once; operands and results may then be refused ones.
        moves_axes_only: whether it only moves axes, so that it may be given axes that no longer follow the image.
    """

    apply: Callable[..., Any]
    named: frozenset[str]
    per_axis: frozenset[str]
    inert: frozenset[str]
    control: bool
    call: bool
    moves_axes_only: bool

    @cached_property
    def parameters(self) -> frozenset[str]:
        return self.named | self.per_axis | self.inert


SLICES = "Slice both alike, or keep the image axis: `x[:, i : i + 1]`."
TABLE: dict[str, Rule] = {}


def rule(
    primitives: str,
    *,
    named: str = "",
    per_axis: str = "",
    inert: str = "",
    control: bool = False,
    call: bool = False,
    moves_axes_only: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enters a function into the table.

    Every parameter of the primitives must be listed as one of three kinds, and a parameter that is not listed stops
    the proof. So a parameter that was forgotten, or that a newer JAX adds, can make a proof impossible, never false.

    Args:
        primitives: their names.
        named: parameters that enter the name of the result as they are. In doubt, a parameter is of this kind.
        per_axis: parameters with an entry for each axis. Entries along image axes are sizes or positions, and must not
            enter the name as they are; the rule passes what matters of them as `key` to `eqn.image`.
        inert: parameters that change no value: where and how something is computed.
        control: the function takes the interpreter as its first argument, to run the programs among its parameters.
        call: the same, and it runs one program, once: operands and results may be refused ones.
        moves_axes_only: the function only moves axes, whatever they run along.
    """

    def enter(apply: Callable[..., Any]) -> Callable[..., Any]:
        by_name, by_axis, without_effect = (frozenset(names.split()) for names in (named, per_axis, inert))
        entry = Rule(apply, by_name, by_axis, without_effect, control or call, call, moves_axes_only)
        TABLE.update(dict.fromkeys(primitives.split(), entry))
        return apply

    return enter


@dataclass
class Record:
    """What is learnt on the way, in order."""

    names: list[tuple[str, Any]] = field(default_factory=list)  # of closed-over arrays
    constants: dict[int, tuple[Any, Known]] = field(default_factory=dict)
    steps: list[tuple[Equation, Image]] = field(default_factory=list)
    misaligned: list[tuple[Equation, int, Fraction]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    approximations: list[str] = field(default_factory=list)  # what holds up to rounding only
    border_approximations: list[str] = field(default_factory=list)  # likewise, but only at the image's border

    def mark(self) -> list[int]:
        """The present length of the derivation, for `back_to`."""
        return [len(entries) for entries in self._derivation]

    def back_to(self, mark: Sequence[int]) -> None:
        """Forgets what has been derived since `mark`, after an attempt that failed."""
        for entries, count in zip(self._derivation, mark, strict=True):
            del entries[count:]

    @property
    def _derivation(self) -> tuple[list[Any], ...]:
        return self.steps, self.misaligned, self.assumptions, self.approximations, self.border_approximations


@dataclass(frozen=True)
class Equation:
    """One equation as a rule sees it: a primitive, its parameters, and the shapes of its operands and results."""

    call: _jaxpr.Call
    record: Record
    rule: Rule | None
    outer: Equation | None  # the call whose program this equation belongs to

    @property
    def name(self) -> str:
        return self.call.name

    @property
    def params(self) -> dict[str, Any]:
        return self.call.params

    @property
    def shape(self) -> tuple[int, ...]:
        return self.call.out_shapes[0]

    @property
    def dtype(self) -> str:
        return self.call.out_dtypes[0]

    @property
    def source(self) -> str:
        """ "file:line" of the user's code; that of the call around it where JAX's own functions made the equation."""
        own, around = _jaxpr.source(self.call.info), self.outer.source if self.outer else "unknown"
        # What an operator of this library is made of, where something else than a network of this library calls it.
        if own.startswith(_jaxpr.NETWORKS) and around != "unknown" and not around.startswith(_jaxpr.NETWORKS):
            return around
        return own or around

    @property
    def scope(self) -> str:
        """Path of the module, as Linen names it."""
        own = _jaxpr.scope(self.call.info)
        return "/".join(s for s in (self.outer.scope if self.outer else "", own) if s)

    def refusal(self, reason: str, advice: str) -> CertificationError:
        shapes = ", ".join(str(s) for s in self.call.in_shapes)
        return CertificationError(self.name, self.source, f"{reason} (operands {shapes})", advice)

    def refuse(self, reason: str, advice: str) -> NoReturn:
        raise self.refusal(reason, advice)

    def image(
        self,
        axes: Sequence[AxisTag],
        operands: Sequence[Image | str],
        key: Any = None,
        *,
        out: int = 0,
        moves: bool = False,
        turns: Mapping[int, Fraction] = offsets.NONE,
    ) -> Image:
        """A result, named by the primitive, its named parameters, the names of its operands, and `key`.

        Args:
            axes: what each axis of the result runs along.
            operands: images, and the names of constants.
            key: what matters of the parameters per axis, and whatever else the rule itself knows to matter.
            out: which result of the primitive.
            moves: whether the result moves along when all operands do, by whole steps of the result. Then it has their
                common offset, and only what is left of each operand's enters the name.
            turns: for an image axis along which only whole repetitions of a pattern move the result, their length in
                image pixels.

        Raises:
            CertificationError: the operands are cut from the image along different axes.
        """
        assert self.rule is not None
        assert key is not None or not self.rule.per_axis, f"the rule of `{self.name}` names no parameter per axis"
        shape, dtype = self.call.out_shapes[out], self.call.out_dtypes[out]
        images = [operand for operand in operands if isinstance(operand, Image)]
        result = Image(shape, tuple(axes), "", detached=self.detached(images))
        steps = {**result.strides, **turns}
        offset = offsets.whole_steps(images[0].offset, steps) if moves and images else {}
        names = tuple(
            replace(o, offset=offsets.minus(o.offset, offset)).name if isinstance(o, Image) else o for o in operands
        )
        along = tuple((k, image) for k, tag in enumerate(axes) for image in image_axes([tag]))
        detached = tuple(axis.image for _, axis in result.detached)
        step = (self.name, self.named_parameters(), out, dtype, result.channels, along, detached)
        result = replace(result, map=digest(*step, names, key), offset=offset)
        result = result if moves else result.settled()
        return result.with_borders(*step, [o for o in operands if isinstance(o, str)], key)

    def detached(self, images: Sequence[Image]) -> tuple[tuple[int, domain.Axis], ...]:
        """The axes from which the result is detached: all operands must be the same index along them."""
        if len({image.slice_of for image in images}) > 1:
            self.refuse("two arrays meet of which one is a slice of the image and the other is not", SLICES)
        columns = zip(*(image.detached for image in images), strict=True)
        return tuple((column[0][0], domain.join([axis for _, axis in column])) for column in columns)

    def named_parameters(self) -> dict[str, Any]:
        """The parameters that enter names as they are."""
        assert self.rule is not None
        return plain_parameters({k: v for k, v in self.params.items() if k in self.rule.named})


def plain_parameters(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as they enter names, programs among them equation by equation."""
    return {name: _plain(value) for name, value in params.items()}


def _plain(value: Any) -> Any:
    if _jaxpr.is_program(value):
        return _program_name(value)
    if type(value) in (tuple, list) and any(map(_jaxpr.is_program, value)):
        return tuple(map(_plain, value))
    return _jaxpr.nameable(value)


def _program_name(jaxpr: Any) -> str:
    """Digest of a program: its operations, how they are connected, and every array that it holds at any depth."""
    return program_name(_jaxpr.program(jaxpr))


def program_name(program: _jaxpr.Program) -> str:
    """The same of a program as the certifier has it."""
    numbers = {variable: k for k, variable in enumerate(program.inputs)}

    def name(atom: Any) -> Any:
        value = _jaxpr.literal(atom)
        return numbers[atom] if value is None else _constant_name(value)

    equations = []
    for call in program.calls:
        if not call.results:
            continue  # a print, which computes nothing; its function is like no other
        operands = tuple(map(name, call.operands))
        for result in call.results:
            numbers[result] = len(numbers)
        named = {k: _plain(v) for k, v in call.params.items() if _counts(TABLE.get(call.name), k, v)}
        equations.append((call.name, named, operands, call.out_shapes, call.out_dtypes))
    constants = tuple(map(_constant_name, program.constants))
    return digest("program", equations, constants, tuple(map(name, program.outputs)))


def _counts(rule: Rule | None, name: str, value: Any) -> bool:
    """Whether a parameter matters for what a program computes; of a control rule, the programs and numbers do."""
    if rule is None or name not in rule.inert:
        return True
    return rule.control and any(_jaxpr.is_program(v) or isinstance(v, int) for v in _entries(value))


def _entries(value: Any) -> tuple[Any, ...]:
    return tuple(value) if type(value) in (tuple, list) else (value,)


def _constant_name(value: Any) -> Any:
    host = _jaxpr.concrete(value)
    return _jaxpr.key_data(value) if host is None else host


@runtime_checkable
class Interpreter(Protocol):
    """What control rules may ask for.

    Attributes:
        every_turn: whether the equations of every turn of a loop are wanted, and not only its results.
    """

    every_turn: bool

    def run(self, program: _jaxpr.Program, values: Sequence[Result], outer: Equation) -> list[Result]:
        """The results of a program that an equation runs, refused ones among them."""

    def prove(self, program: _jaxpr.Program, values: Sequence[Value], outer: Equation) -> list[Value]:
        """The results of a program that an equation runs, all of which are needed."""

    def fold(self, eqn: Equation, values: Sequence[Value]) -> list[Value]:
        """The results of an equation whose operands are all constants."""


def split_operands(values: Sequence[Value]) -> tuple[list[Image], list[Constant]]:
    """The operands that depend on the image, and the others."""
    images = [v for v in values if isinstance(v, Image)]
    return images, [v for v in values if not isinstance(v, Image)]
