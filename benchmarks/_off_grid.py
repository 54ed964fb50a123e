"""How wrong is a crop that begins between whole periods?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from _field import Entry, by_module, made, of_several_fields
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

import shiftjax as sj


def off_grid(entry: Entry, certificate: sj.Certificate) -> tuple[float, float] | None:
    """How far crops of an image of blobs differ from the whole, where their border does not reach.

    At whole periods, and at halves of them; in standard deviations of the output, root mean square. None where the
    output is one value per period, so that no crop can begin elsewhere.
    """
    period = [axis.period for axis in certificate.axes]
    sizes = of_several_fields(entry, certificate)
    noise = np.random.default_rng(2).normal(size=(1, *sizes, entry.shape[-1]))
    image = gaussian_filter(noise, (0, *(4 for _ in sizes), 0))
    image = (image / image.std() + 0.1 * noise).astype(np.float32)
    module = trained_like(entry, image)
    (whole,) = by_module(module, image)
    crop_shape = (1, *(n - 2 * p for n, p in zip(sizes, period, strict=True)), entry.shape[-1])
    axes = sj.certify(sj.from_torch(module), jax.ShapeDtypeStruct(crop_shape, "float32")).axes
    found = []
    for begins in (period, [p // 2 for p in period]):
        crop, inside, beside = image, [slice(None)], [slice(None)]
        for axis, (begin, p, proved) in enumerate(zip(begins, period, axes, strict=True), 1):
            crop = np.take(crop, range(begin, begin + image.shape[axis] - 2 * p), axis)
            shift, rest = divmod(begin * (whole.shape[axis] - proved.out), 2 * p)
            if rest:
                return None
            inside.append(slice(*proved.exact))
            beside.append(slice(proved.exact[0] + shift, proved.exact[1] + shift))
        (alone,) = by_module(module, crop)
        alone, within_whole = alone[tuple(inside)], whole[tuple(beside)]
        assert alone.size
        found.append(float(np.sqrt(np.mean((alone - within_whole) ** 2)) / within_whole.std()))
    return found[0], found[1]


def trained_like(entry: Entry, image: Any) -> Any:
    """The network with signals of one size through all of its levels, as training leaves them.

    As packages make them, convolutions shrink what they are given, and the deepest levels hardly reach the output.
    Weights are as large as keeps their size instead, and batch norms have the statistics of an image, `(1, *space,
    channel)`.
    """
    module = made(entry)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.modules.conv._ConvNd):
                taps = part.weight[0, 0].numel()
                inputs = taps * part.in_channels / part.groups
                if part.transposed:  # which gives every output pixel some of them
                    inputs /= np.prod(part.stride)
                part.weight.normal_(std=(2 / inputs) ** 0.5)
            if getattr(part, "running_var", None) is not None:
                part.momentum = None  # the mean of all that is seen
                part.reset_running_stats()
                part.train()
        module(torch.from_numpy(np.moveaxis(image, -1, 1)).contiguous())
    return module.eval()


def draw(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """How wrong a crop off the grid is, a line per network, beside its control."""
    shown = sorted(
        (row for row in rows if row.get("off grid") and max(row["period"]) > 1), key=lambda r: r["off grid"][1]
    )
    figure = Figure(figsize=(8, 1 + 0.17 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    periods = sorted({max(row["period"]) for row in shown})
    for period in periods:
        lines = [(k, row) for k, row in enumerate(shown) if max(row["period"]) == period]
        axes.plot([r["off grid"][1] for _, r in lines], [k for k, _ in lines], "o", label=f"off by half of {period} px")
    # rounding, or nothing at all, which a logarithmic axis cannot show
    axes.plot([max(r["off grid"][0], 1e-8) for r in shown], range(len(shown)), "k|", label="off by a whole period")
    axes.set(
        xscale="log",
        xlabel="difference from the whole image, in standard deviations",
        yticks=range(len(shown)),
        yticklabels=[f"{row['name']} ({row['package']})" for row in shown],
    )
    axes.tick_params(axis="y", labelsize=6)
    axes.grid(alpha=0.3)
    axes.legend(loc="center", fontsize=8)
    figure.savefig(file)
