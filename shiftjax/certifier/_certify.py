"""The front door of the certifier."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax

from shiftjax._checks import fail, images, shown, told
from shiftjax._network import network
from shiftjax.certifier import _jaxpr
from shiftjax.certifier._axis_certificate import AxisCertificate
from shiftjax.certifier._certificate import Certificate, Constant, LeftOut, Misalignment, Output, Step
from shiftjax.certifier._closed_over import innermost, names
from shiftjax.certifier._domain.axis import Axis, whole
from shiftjax.certifier._domain.constants import Known, Unknown
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.values import Image, Result, Value, proved
from shiftjax.certifier._interpret import Interpreter
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._rules import Equation, Record
from shiftjax.certifier._rules.table import program_name
from shiftjax.certifier._witnesses.search import with_witnesses

SINGLE = "Return an array that keeps every image axis."


def certify(
    fn: Callable[[Any], Any],
    x: Any,
    *,
    spatial_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> Certificate:
    """Proves how a function of an image tiles, from its jaxpr alone: nothing is run.

    Args:
        fn: any callable of one array, or a function without arguments that returns one. If it is a pytree
            (`jax.tree_util.Partial(net.apply, variables)`, an Equinox module), its array leaves are parameters: the
            proof holds for any values of them, and `jax.ShapeDtypeStruct` leaves will do. Of arrays that it closes over
            it holds for the values that they have.
        x: the image, mostly `(batch, *space, channel)`, or a `jax.ShapeDtypeStruct` of its shape.
        spatial_axes: the axes of `x` that are space; by default all but the first and the last.
        output_axes: which axes of every output these must be, in the same order; by default any.

    Returns:
        The certificate, for the shape of `x`: period, receptive field per phase, exact window, capacity. Outputs that
        have no proof are named in `left_out` where others have one.

    Raises:
        CertificationError: where no output has a proof; it names the operation and the source line.
        ValueError: bad arguments, or an error that `fn` itself raises for an image of this shape.

    Example:
        >>> import jax
        >>> cert = certify(lambda x: x[:, ::2], jax.ShapeDtypeStruct((1, 8, 3), "float32"))
        >>> cert.period, cert.axes[0].phases, cert.axes[0].exact
        ((2,), 1, (0, 4))
    """
    if not all(isinstance(n, int) for n in getattr(x, "shape", ())):
        reason = f"its shape {tuple(map(str, x.shape))} is symbolic"
        raise CertificationError("input", "unknown", reason, "Certify it at sizes in numbers; `same_map` compares two.")
    images("x", x, least=1)
    fn = network("fn", fn)
    spatial = _spatial(x.shape, spatial_axes)
    expected = None if output_axes is None else _integers("output_axes", output_axes)
    traced = traced_function(fn, x)
    if not traced.outputs:
        raise CertificationError("output", "unknown", "the function returns no array", SINGLE)
    record = Record(names=names(fn))
    parameters: list[Value] = [
        Unknown(shape, digest("parameter", k, shape, dtype)) for k, (shape, dtype) in enumerate(traced.parameter_shapes)
    ]
    tags = tuple(whole(spatial.index(k), n) if k in spatial else None for k, n in enumerate(x.shape))
    channels = tuple(None if k in spatial else n for k, n in enumerate(x.shape))
    image = Image(tuple(x.shape), tags, digest("image", channels, spatial, str(x.dtype)), finite=True)
    results = Interpreter(record).run(traced.program, [*parameters, image])
    outputs: list[Output] = []
    left_out: list[LeftOut] = []
    refusals: list[CertificationError] = []
    for k, (name, value) in enumerate(zip(traced.outputs, results, strict=True)):
        try:
            outputs.append(_output(name, value, spatial, x.shape, expected))
        except CertificationError as refusal:
            refusals.append(refusal)
            left_out.append(LeftOut(k, name, str(refusal)))
    if not outputs:
        raise refusals[0]
    known = all(output.knows_its_ends for output in outputs)
    certificate = Certificate(
        function=_name(fn),
        shape=tuple(x.shape),
        dtype=str(x.dtype),
        leaves=tuple(outputs),
        left_out=tuple(left_out),
        parameters=traced.parameters,
        constants=tuple(_constant(known) for _, known in record.constants.values()),
        assumptions=tuple(dict.fromkeys(record.assumptions)),
        approximations=tuple(dict.fromkeys(record.approximations)),
        border_approximations=tuple(dict.fromkeys(record.border_approximations)),
        misaligned=tuple(Misalignment(eqn.name, eqn.source, axis, shift) for eqn, axis, shift in record.misaligned),
        steps=tuple(_step(eqn, result, len(spatial)) for eqn, result in record.steps),
        program="" if known else program_name(traced.program),
    )

    def again(shape: tuple[int, ...]) -> Certificate:
        return certify(fn, jax.ShapeDtypeStruct(shape, x.dtype), spatial_axes=spatial, output_axes=output_axes)

    return with_witnesses(certificate, fn, again)


def traced_function(fn: Callable[[Any], Any], x: Any) -> _jaxpr.Traced:
    """The function as a program; whatever the function itself raises, as one sentence."""
    try:
        return _jaxpr.trace(fn, x)
    except CertificationError:
        raise
    except (Exception, SystemExit) as error:
        if hasattr(error, "legal"):  # a network that names the sizes it takes
            raise
        expected = f"a JAX function of an image {tuple(x.shape)}, {x.dtype}"
        raise ValueError(f"`fn`: expected {expected}, found one that raises {told(error)}.") from error


def _spatial(shape: tuple[int, ...], axes: Sequence[int] | None) -> tuple[int, ...]:
    """The spatial axes, checked and counted from the front."""
    rank = len(shape)
    if axes is None and rank < 3:
        fail("x", "an image (batch, *space, channel)", f"shape {shape}", "or name the axes of space by `spatial_axes`")
    chosen = tuple(range(1, rank - 1)) if axes is None else _integers("spatial_axes", axes)
    if any(not -rank <= k < rank for k in chosen) or len({k % rank for k in chosen}) != len(chosen) or not chosen:
        fail("spatial_axes", f"different axes of an array of shape {shape}, at least one", shown(axes))
    return tuple(k % rank for k in chosen)


def _integers(name: str, axes: Any) -> tuple[int, ...]:
    try:
        return tuple(map(operator.index, axes))
    except TypeError:
        fail(name, "integers, one per image axis", shown(axes))


def _name(fn: Any) -> str:
    """A short name for the function."""
    inner = innermost(fn)
    owner = type(getattr(inner, "__self__", None)).__name__
    name = getattr(inner, "__qualname__", type(inner).__name__)
    return f"{owner}.{name.rsplit('.', 1)[-1]}" if hasattr(inner, "__self__") else name


def _constant(known: Known) -> Constant:
    return Constant(known.origin, known.shape, str(known.value.dtype), known.key())


def _output(
    name: str, value: Result, spatial: tuple[int, ...], shape: tuple[int, ...], expected: Sequence[int] | None
) -> Output:
    """The public numbers of one output."""
    what = f"output {name}" if name else "output"
    (value,) = proved([value])
    if not isinstance(value, Image):
        raise CertificationError(what, "unknown", "the output does not depend on the image", SINGLE)
    if value.broken:
        raise value.broken.why
    value = _attached(value, spatial)
    if value.detached:
        raise CertificationError(what, "unknown", "the output is a slice of the image: an image axis is gone", SINGLE)
    by_image = {tag.image: k for k, tag in enumerate(value.axes) if isinstance(tag, Axis)}
    if len(by_image) != len(spatial):
        raise CertificationError(what, "unknown", "the output ends with flattened image axes", SINGLE)
    if any(tag.period < 0 for tag in value.axes if isinstance(tag, Axis)):
        raise CertificationError(what, "unknown", "the output is a mirror image", "Mirror it back at the end.")
    order = tuple(by_image[k] for k in range(len(spatial)))
    if expected is not None and tuple(k + len(value.shape) if k < 0 else k for k in expected) != order:
        reason = f"the image axes end at {order} of the output, not at {tuple(expected)}"
        raise CertificationError(what, "unknown", reason, "Transpose the output, or leave `output_axes` out.")
    axes = tuple(_axis(value, k, shape[spatial[j]], spatial[j]) for j, k in enumerate(order))
    along = [value.axes[k] for k in order]
    borders = tuple(
        (a.settled().name, b.settled().name) for a, b in (tag.border for tag in along if isinstance(tag, Axis))
    )
    return Output(name, value.shape, axes, value.name, borders)


def _attached(value: Image, spatial: tuple[int, ...]) -> Image:
    """An image axis of one pixel that a reshape took away, put back where it lies in the input."""
    for loop, axis in value.detached:
        along = spatial[axis.image]
        if along < len(value.shape) and value.shape[along] == 1 and value.axes[along] is None:
            value = value.without(along).attach(along, loop=loop, image=axis.image) or value
    return value


def _axis(value: Image, output_axis: int, size: int, input_axis: int) -> AxisCertificate:
    tag = value.axes[output_axis]
    assert isinstance(tag, Axis)
    lo, hi = _finite(tag)
    return AxisCertificate(
        period=tag.period,
        phases=tag.phases,
        lo=lo,
        hi=hi,
        exact=tag.exact,
        start=tag.start,
        stop=tag.stop,
        size=size,
        out=value.shape[output_axis],
        input_axis=input_axis,
        output_axis=output_axis,
    )


def _finite(tag: Axis) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The bounds as integers: a phase that reads nothing gets an empty field where another phase begins."""
    reading = {r for r in range(tag.phases) if tag.lo[r] <= tag.hi[r]}
    at = int(tag.lo[min(reading)]) if reading else 0
    lo = tuple(int(tag.lo[r]) if r in reading else at for r in range(tag.phases))
    hi = tuple(int(tag.hi[r]) if r in reading else at - 1 for r in range(tag.phases))
    return lo, hi


def _step(eqn: Equation, image: Image, ndim: int) -> Step:
    axes = [axis for k in range(ndim) if (axis := image.along(k)) is not None]
    return Step(
        operation=eqn.name,
        source=eqn.source,
        scope=eqn.scope,
        stride=tuple(str(tag.stride) for tag in axes),
        period=tuple(abs(tag.period) for tag in axes),
        phases=tuple(tag.phases for tag in axes),
        field=tuple(max(0, *(int(h - lo + 1) for lo, h in zip(*_finite(tag), strict=True))) for tag in axes),
        exact=tuple(tag.exact for tag in axes),
    )
