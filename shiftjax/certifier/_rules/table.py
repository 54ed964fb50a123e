"""The table of rules and what a rule sees of its equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NoReturn

from shiftjax.certifier import _jaxpr as adapter
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain import offset as _shift
from shiftjax.certifier._domain.values import DEAD, Constant, Image, Known, Life, Value, digest
from shiftjax.certifier._refusal import CertificationError


@dataclass(frozen=True)
class Rule:
    """What one primitive does to images, and the parameters that the rule knows of."""

    apply: Callable[..., Any]
    params: frozenset[str]
    control: bool  # runs other programs, so it is asked even where no operand depends on the image
    void: bool  # moves axes about without looking at them


TABLE: dict[str, Rule] = {}


def rule(names: str, *, params: str = "", control: bool = False, void: bool = False) -> Callable[..., Any]:
    """Enters a function into the table under the names of its primitives; all their parameters must be listed."""

    def enter(apply: Callable[..., Any]) -> Callable[..., Any]:
        for name in names.split():
            TABLE[name] = Rule(apply, frozenset(params.split()), control, void)
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


@dataclass(frozen=True)
class Equation:
    """One equation as a rule sees it."""

    call: adapter.Call
    record: Record
    run: Callable[[adapter.Program, Sequence[Value]], list[Value]]
    fold: Callable[[Sequence[Value]], list[Value]]
    outer: Equation | None  # the call that runs this equation

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
        return adapter.source(self.call.info) or (self.outer.source if self.outer else "unknown")

    @property
    def scope(self) -> str:
        """Path of the module, as Linen names it."""
        own = adapter.scope(self.call.info)
        return "/".join(s for s in (self.outer.scope if self.outer else "", own) if s)

    def text(self, name: str) -> str:
        """A program among the parameters, as text: the scalar body of a reduction. Text does not show arrays."""
        if adapter.holds_arrays(self.params[name]):
            self.refuse("its scalar function closes over arrays", "Close over plain numbers only.")
        return adapter.text(self.params[name])

    def refuse(self, reason: str, advice: str) -> NoReturn:
        shapes = ", ".join(str(s) for s in self.call.in_shapes)
        raise CertificationError(self.name, self.source, f"{reason} (operands {shapes})", advice)

    def image(
        self,
        axes: Sequence[domain.Tag],
        operands: Sequence[Image | str],
        *key: Any,
        life: Life = DEAD,
        out: int = 0,
        moves: bool = False,
    ) -> Image:
        """An output named by this primitive, the names of its operands and the rule's own key, which must hold every
        parameter that matters except sizes along image axes.

        `moves` says that, were all operands read further along by a whole number of steps of the output, the output
        would be so too; then their common shift is the output's, and only what is left of it enters the name.
        """
        shape, dtype = self.call.out_shapes[out], self.call.out_dtypes[out]
        found = Image(shape, tuple(axes), "")
        images = [o for o in operands if isinstance(o, Image)]
        shift = _shift.whole(images[0].shift, found.strides) if moves and images else {}
        names = tuple(
            replace(o, shift=_shift.minus(o.shift, shift)).name if isinstance(o, Image) else o for o in operands
        )
        tags = tuple((k, i) for k, tag in enumerate(axes) for i in domain.images([tag]))
        found = replace(found, map=digest(self.name, out, dtype, found.channels, tags, names, key), shift=shift)
        return replace(found, life=life if life.base else replace(life, base=found.name))


def split_operands(values: Sequence[Value]) -> tuple[list[Image], list[Constant]]:
    """The operands that depend on the image, and the others."""
    images = [v for v in values if isinstance(v, Image)]
    return images, [v for v in values if not isinstance(v, Image)]
