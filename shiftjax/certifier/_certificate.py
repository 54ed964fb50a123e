"""What a proof leaves behind: plain numbers that compare, print short and travel as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from shiftjax import theory
from shiftjax.certifier._axis_certificate import AxisCertificate
from shiftjax.certifier._domain.naming import digest

FORMAT = 4


@dataclass(frozen=True)
class Step:
    """One line of the derivation, per image axis."""

    operation: str
    source: str
    scope: str
    stride: tuple[str, ...]
    period: tuple[int, ...]
    phases: tuple[int, ...]
    field: tuple[int, ...]
    exact: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Misalignment:
    """Two joined branches whose receptive fields are not centred on each other: legal, but rarely meant.

    Attributes:
        axis: the image axis.
        shift: input pixels from the first branch's centre to the second's.
    """

    operation: str
    source: str
    axis: int
    shift: Fraction


@dataclass(frozen=True)
class Constant:
    """An array that the function closes over; the proof holds for its value, which `digest` names."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    digest: str


@dataclass(frozen=True)
class Output:
    """One output array.

    Attributes:
        name: its name in the pytree.
        shape: of the array.
        axes: one entry per spatial axis of the input.
        fingerprint: digest of its derivation, sizes along image axes left out.
        borders: per spatial axis, digests of how the image's left and right end are treated, with places counted from
            that end; empty where nothing is known of them.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[AxisCertificate, ...]
    fingerprint: str
    borders: tuple[tuple[str, str], ...]

    @property
    def knows_its_ends(self) -> bool:
        """Whether each pixel is exact or of a border window, and all ends have names.

        A name says nothing of pixels in between, which neither window holds.
        """
        return all(axis.covered for axis in self.axes) and all(name for ends in self.borders for name in ends)


@dataclass(frozen=True)
class LeftOut:
    """An output array of which nothing is proved: its place among the leaves of the pytree, its name, and why."""

    place: int
    name: str
    why: str


@dataclass(frozen=True, repr=False)
class Certificate:
    """A proof about one function at one input shape, in exact (real or integer) arithmetic.

    Attributes:
        function: name of the function.
        shape: of the input.
        dtype: of the input.
        leaves: one entry per output array that has a proof.
        left_out: the output arrays without a proof, where others have one; tiling leaves them out too.
        parameters: names of the array leaves of the function; the proof holds whatever their values.
        constants: arrays that the function closes over; the proof holds for these values.
        assumptions: what the proof takes for granted about larger images.
        approximations: what holds up to rounding only, with a bound: rounded weights of a resizing. Tiles then need not
            equal the whole bit for bit.
        border_approximations: likewise, what concerns the border windows alone.
        misaligned: joins of branches that are not centred on each other.
        steps: the derivation.
        program: digest of the function as it was traced for this shape, where of some pixels at the ends of the image
            nothing is known; empty elsewhere, where the names of the ends tell functions apart.
    """

    function: str
    shape: tuple[int, ...]
    dtype: str
    leaves: tuple[Output, ...]
    left_out: tuple[LeftOut, ...] = ()
    parameters: tuple[str, ...] = ()
    constants: tuple[Constant, ...] = ()
    assumptions: tuple[str, ...] = ()
    approximations: tuple[str, ...] = ()
    border_approximations: tuple[str, ...] = ()
    misaligned: tuple[Misalignment, ...] = ()
    steps: tuple[Step, ...] = ()
    program: str = ""

    @property
    def outputs(self) -> tuple[Certificate, ...]:
        """A certificate for each output array that has a proof, in the order of the pytree's leaves."""
        return tuple(dataclasses.replace(self, leaves=(leaf,)) for leaf in self.leaves)

    @property
    def places(self) -> tuple[int, ...]:
        """For each of `leaves`, its place among the leaves of the pytree that the function returns."""
        missing = {one.place for one in self.left_out}
        return tuple(k for k in range(len(self.leaves) + len(missing)) if k not in missing)

    @property
    def axes(self) -> tuple[AxisCertificate, ...]:
        """One entry per spatial axis of the input.

        Raises:
            AttributeError: the function has several outputs; ask each of `outputs`.
        """
        return self._single.axes

    @property
    def _single(self) -> Output:
        if len(self.leaves) != 1:
            raise AttributeError(f"the function has {len(self.leaves)} outputs: use `outputs[i]`")
        return self.leaves[0]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output. Only for a single one, as `axes`."""
        return self._single.shape

    @property
    def output_axes(self) -> tuple[int, ...]:
        """Which axes of the output the spatial axes are. Only for a single output, as `axes`."""
        return tuple(axis.output_axis for axis in self.axes)

    @property
    def period(self) -> tuple[int, ...]:
        """Input pixels by which the image may be moved, per axis. Only for a single output, as `axes`."""
        return tuple(axis.period for axis in self.axes)

    @property
    def capacity(self) -> int:
        """Upper bound on the embeddings of same-looking objects: the product of the periods."""
        return theory.capacity(self.period)

    @property
    def training_window(self) -> tuple[int, ...]:
        """Output pixels, per axis, of the smallest training window that sees every pair of neighbouring phases."""
        return theory.training_window([axis.phases for axis in self.axes])

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the derivation without sizes along image axes: where two shapes have one, they are of one map."""
        return "-".join(leaf.fingerprint for leaf in self.leaves)

    @cached_property
    def version(self) -> str:
        """Digest of the fingerprint, and of how the ends of the image are treated: what the function is."""
        return digest(self.fingerprint, [leaf.borders for leaf in self.leaves], *filter(None, [self.program]))

    @property
    def knows_its_ends(self) -> bool:
        """Whether all that the function does at the ends of the image is known, so that `same_map` speaks of it."""
        return all(leaf.knows_its_ends for leaf in self.leaves)

    def same_map(self, other: Certificate, *, borders: bool = False) -> bool:
        """Whether both are of one map of an infinite image, so that exact outputs at the same place agree.

        Parameters are compared by their place in the function, never by value.

        Args:
            other: a certificate of the same function, or of another one.
            borders: whether both must treat the ends of the image alike, too. Then outputs before `stop` agree where
                both images begin alike, and outputs from `start` on, counted from the end, where both end alike.

        Returns:
            True if that is proved; False says that it is not, for the two may still agree.
        """
        own, others = ((c.fingerprint, c.places, len(c.left_out), c.parameters) for c in (self, other))
        if not borders or own != others:
            return own == others
        ends = [[pair for leaf in c.leaves for pair in leaf.borders] for c in (self, other)]
        return ends[0] == ends[1] and all(name for pair in ends[0] for name in pair)

    def __repr__(self) -> str:
        outputs = "; ".join(
            f"period {tuple(a.period for a in leaf.axes)}, phases {tuple(a.phases for a in leaf.axes)}, "
            f"field {tuple(a.field for a in leaf.axes)}, exact {tuple(a.exact for a in leaf.axes)}"
            for leaf in self.leaves
        )
        return f"<Certificate of {self.function} at {self.shape}: {outputs}>"

    def explain(self) -> str:
        """A page for people: the derivation as a table, and what it means."""
        from shiftjax.certifier._page import page

        return page(self)

    def plot(self) -> Any:
        """A picture: what each output pixel reads, and which are exact, per axis; a `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib, of the extra `plot`, is missing.
        """
        from shiftjax.certifier._plot import draw

        return draw(self)

    def to_json(self, *, witnesses: bool = True) -> str:
        """The certificate as JSON text. Witnesses are looked for first, which may take seconds, unless told not to."""
        leaves = [{**vars(leaf), "axes": [axis.plain(witnesses) for axis in leaf.axes]} for leaf in self.leaves]
        rest = dataclasses.asdict(dataclasses.replace(self, leaves=()))
        return json.dumps({"format": FORMAT, **rest, "leaves": leaves}, default=str, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Reads what `to_json` wrote. A claim without a witness in the text counts as not shown.

        Raises:
            ValueError: the text is no certificate of this format.
        """
        try:
            return cls._from_plain(_tuples(json.loads(text)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"`text`: expected a certificate of format {FORMAT}, found something else.") from error

    @classmethod
    def _from_plain(cls, data: dict[str, Any]) -> Certificate:
        if data.pop("format", None) != FORMAT:
            raise KeyError("format")
        leaves = [{**leaf, "axes": tuple(map(AxisCertificate.from_plain, leaf["axes"]))} for leaf in data["leaves"]]
        data["leaves"] = tuple(Output(**leaf) for leaf in leaves)
        data["left_out"] = tuple(LeftOut(**one) for one in data["left_out"])
        data["misaligned"] = tuple(Misalignment(**{**m, "shift": Fraction(m["shift"])}) for m in data["misaligned"])
        data["constants"] = tuple(Constant(**c) for c in data["constants"])
        data["steps"] = tuple(Step(**step) for step in data["steps"])
        return cls(**data)


def _tuples(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
