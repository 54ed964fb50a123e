"""The certificate as a page for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftjax.certifier._axis_certificate import AxisCertificate

if TYPE_CHECKING:
    from shiftjax.certifier._certificate import Certificate, Step

HEADER = ("operation", "source", "module", "stride", "period", "field", "exact")
LONGEST = 40  # rows of the table before its middle is left out


def page(cert: Certificate) -> str:
    """The derivation as a table, then what it means, in paragraphs."""
    parts = [
        f"Certificate of {cert.function} for input {cert.shape}, {cert.dtype}: sizes in input pixels unless said.",
        _table(cert.steps),
        *("\n".join(_meaning(one)) for one in cert.outputs),
        *_provisos(cert),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(steps: Sequence[Step]) -> str:
    rows = [HEADER, *map(_row, steps)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * n for n in widths))
    if len(lines) > LONGEST:
        left_out = len(lines) - LONGEST
        lines[LONGEST // 2 : LONGEST // 2 + left_out] = [f"... {left_out} more rows ..."]
    return "\n".join(lines)


def _row(step: Step) -> tuple[str, ...]:
    file, _, line = step.source.rpartition(":")
    return (
        step.operation,
        f"{Path(file).name}:{line}" if file else step.source,
        step.scope.rsplit("/", 1)[-1],
        _short(step.stride),
        _short(step.period),
        _short(step.field),
        _short([f"{a}..{b - 1}" if a < b else "none" for a, b in step.exact]),
    )


def _short(values: Sequence[Any]) -> str:
    """One entry for all axes if they agree."""
    texts = [str(v) for v in values]
    return texts[0] if len(set(texts)) == 1 else " x ".join(texts)


def _meaning(cert: Certificate) -> list[str]:
    """What one output's numbers say about tiles, training and capacity."""
    axes = cert.axes
    period, phases = [a.period for a in axes], [a.phases for a in axes]
    first = f"Moving the image by {_px(period)} moves the output by {_px(phases)}{_minimal(axes)}."
    lines = [f"Output {cert.leaves[0].name}: {first}" if cert.leaves[0].name else first]
    if any(a.exact[0] >= a.exact[1] for a in axes):
        return [
            *lines,
            "No output pixel is free of padding at this size, so this says nothing; certify a larger image.",
        ]
    out, read, before, after = zip(*map(_tile, axes), strict=True)
    return [
        *lines,
        f"The receptive field spans up to {_px([a.field for a in axes])}, depending on the phase.",
        f"Tiles may be any multiple of {_px(phases)} of output; {_px(out)} of it read {_px(read)} of input, "
        f"from {_px(before)} before to {_px(after)} after their own place.",
        f"Of the {_px([a.out for a in axes])} of output, {_px([a.exact[1] - a.exact[0] for a in axes])} are exact: "
        f"from {_px([a.exact[0] for a in axes])} on, free of padding.",
        f"Up to the border: a tile at the image's start gives the image's own output before "
        f"{_px([a.stop for a in axes])}, a tile at its end from {_px([a.start for a in axes])} on.",
        f"A training window needs at least {_px(cert.training_window)} of output to see every pair of neighbours.",
        _capacity(cert.capacity) + (f" The phases of the output number {prod(phases)}." if phases != period else ""),
    ]


def _capacity(bound: int) -> str:
    if bound == 1:
        return "Same-looking objects all get the same embedding: the map is fully shift equivariant."
    return f"Up to {bound} same-looking objects get embeddings of their own."


def _minimal(axes: Sequence[AxisCertificate]) -> str:
    """Whether a smaller shift would do, as far as there is one."""
    asked = [axis for axis in axes if axis.period > 1]
    if not all(axis.minimal for axis in asked):
        return "; whether a smaller shift does too was not shown"
    if not asked:
        return ""
    witnesses = [axis.witness("minimal") for axis in asked]
    whose = "for some values of the parameters " if any(map(any, (w.drawn for w in witnesses))) else ""
    return f", and {whose}no smaller shift does: images of shape {witnesses[0].shape} show it"


def _px(values: Sequence[Any]) -> str:
    return f"{_short(values)} px"


def _tile(axis: AxisCertificate) -> tuple[int, int, int, int]:
    """One period of output: its size, the input it reads, and how far that reaches beyond its place on either side."""
    start, stop = axis.reads(0, axis.phases)
    return axis.phases, stop - start, max(0, axis.offset - start), max(0, stop - axis.offset - axis.period)


def _provisos(cert: Certificate) -> list[str]:
    """What the proof rests on."""
    found = ["This holds in exact arithmetic, for this input shape; `same_map` compares two shapes."]
    if cert.parameters:
        found.append(f"It holds for any values of the {len(cert.parameters)} parameters.")
    if cert.constants:
        names = ", ".join(f"{c.name} {c.shape}" for c in cert.constants[:8])
        more = f" and {len(cert.constants) - 8} more" if len(cert.constants) > 8 else ""
        found.append(f"It holds for these values closed over: {names}{more}.")
    found += [f"Left out: output {one.name}, of which nothing is proved: {one.why}" for one in cert.left_out]
    found += [f"Assumed: {text}." for text in cert.assumptions]
    found += [f"Only approximately: {text}." for text in (*cert.approximations, *cert.border_approximations)]
    found += [
        f"Check the `{m.operation}` at {m.source}: its branches are centred {float(abs(m.shift)):g} px apart "
        f"along image axis {m.axis}."
        for m in cert.misaligned
    ]
    return ["\n".join(found)]
