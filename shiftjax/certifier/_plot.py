"""The picture of a certificate: what each output pixel reads, and which of them are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shiftjax._arithmetic import ceil_div
from shiftjax._figure import new_figure

if TYPE_CHECKING:
    from shiftjax.certifier._axis_certificate import AxisCertificate
    from shiftjax.certifier._certificate import Certificate

READ, KEPT, LOST = "#4c78a8", "#1a7f37", "#c9c9c9"
ROWS = 48  # outputs of a panel at most


def draw(certificate: Certificate) -> Any:
    """A row of panels for each axis of each output: fields on the left, the exact window on the right."""
    named = [(leaf.name, axis) for leaf in certificate.leaves for axis in leaf.axes]
    figure = new_figure(10, 0.6 + sum(_height(axis) for _, axis in named))
    heights = [_height(axis) for _, axis in named]
    panels = figure.subplots(len(named), 2, squeeze=False, width_ratios=(3, 2), height_ratios=heights)
    for (fields, window), (name, axis) in zip(panels, named, strict=True):
        _draw_fields(fields, axis, f"{name} " if len(certificate.leaves) > 1 else "")
        _draw_window(window, axis)
    figure.suptitle(f"What {certificate.function} reads, proved for input {certificate.shape}")
    return figure


def _shown(axis: AxisCertificate) -> int:
    """Outputs of a panel: two turns of the phases, to see how they repeat, or as many as can be told apart."""
    return min(2 * axis.phases if axis.phases > 1 else 6, ROWS)


def _height(axis: AxisCertificate) -> float:
    return 1.5 + 0.09 * _shown(axis)


def _draw_fields(panel: Any, axis: AxisCertificate, name: str) -> None:
    turns = [divmod(i, axis.phases) for i in range(_shown(axis))]
    first = [axis.period * m + axis.lo[r] for m, r in turns]
    last = [axis.period * m + axis.hi[r] for m, r in turns]
    rows = range(len(turns))
    widths = [b - a + 1 for a, b in zip(first, last, strict=True)]
    panel.barh(rows, widths, left=[a - 0.5 for a in first], height=0.8, color=READ, alpha=0.75, label="is read")
    own = [float(axis.offset + axis.stride * i) for i in rows]
    panel.plot(own, rows, "|", color="black", markersize=6, label="the output's own place")
    for turn in range(1, ceil_div(len(turns), axis.phases)):
        panel.axhline(turn * axis.phases - 0.5, color="black", linewidth=0.8, linestyle=(0, (2, 2)))
    panel.invert_yaxis()
    panel.set_xlabel("input pixel")
    panel.set_ylabel("output pixel")
    panel.set_title(
        f"{name}axis {axis.input_axis}: moving the image by {axis.period} px moves the output by {axis.phases} px",
        fontsize=9,
    )
    panel.legend(fontsize=8, loc="lower left")  # later outputs read further right


def _draw_window(panel: Any, axis: AxisCertificate) -> None:
    start, stop = axis.exact
    panel.barh([0], [axis.out], color=LOST, height=0.5, label="depends on the image's border")
    panel.barh([0], [max(0, stop - start)], left=[start], color=KEPT, height=0.5, label=f"exact: {start} to {stop}")
    panel.set_yticks([])
    panel.set_ylim(-1, 1.6)
    panel.set_xlabel("output pixel")
    panel.set_title(f"{max(0, stop - start)} of {axis.out} output pixels are those of a larger image", fontsize=9)
    panel.legend(fontsize=8, loc="upper right")
