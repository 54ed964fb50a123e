"""What of the PyTorch networks of the field is translated, equal to PyTorch, certified, and exact in tiles?

Packages are asked where they are installed: `pip install monai dynamic-network-architectures pytorch3dunet
segmentation-models-pytorch timm torch-em careamics instanseg-torch cellseg-models-pytorch spandrel "cellpose<4"`.
Networks are small and have random weights. `--only WORD` chooses, `--out FILE` keeps a line of JSON per network, from
which a run goes on. What takes longer than `--seconds` is left out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from _field import Entry, by_module, entries, made, of_several_fields
from _off_grid import draw, off_grid

import shiftjax as sj
from shiftjax._checks import told

Row = dict[str, Any]
ONE = "one tile"  # as which tiles are told of that are none
LARGEST = {2: 700, 3: 128}  # pixels per axis of an image that is tiled in three, or more; a larger one in two
WHOLE = {2: (256, 256), 3: (64, 64, 64)}  # of one whose statistics are frozen
OF_WINDOWS = {"SwinUNETR": (448, 448)}  # which needs windows of 7 px that are whole at each of its levels
FIXED = ("UNETR", "vit_tiny, features")  # which take one size of the image


def measured(entry: Entry, seconds: int) -> Row:
    """A line of the table."""
    row: Row = {"name": entry.name, "package": entry.package}
    begin = time.perf_counter()
    module = made(entry)
    net = sj.from_torch(module)
    image = np.random.default_rng(0).normal(size=entry.shape).astype(np.float32)
    try:
        row["error"] = largest_difference(jax.tree.leaves(net(image)), by_module(module, image))
    except Exception as error:
        return {**row, "not translated": told(error)}
    try:
        certificate = sj.certify(net, jax.ShapeDtypeStruct(entry.shape, "float32"))
        axes = certificate.axes
        row.update(
            period=[axis.period for axis in axes],
            field=[axis.field for axis in axes],
            margin=[axis.exact[0] if axis.exact[0] < axis.exact[1] else "-" for axis in axes],
            out=[axis.out for axis in axes],
        )
    except sj.CertificationError as refusal:
        row.update(refused=refusal.source, operation=refusal.primitive, reason=refusal.reason)
        row["frozen"] = within(seconds, lambda: frozen(entry, module, net))
    else:
        shape = (1, *of_several_fields(entry, certificate), entry.shape[-1])
        image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        whole = by_module(module, image)
        row["tiles"] = within(seconds, lambda: tiles(module, net, image, whole))
        row["off grid"] = off_grid(entry, certificate)
        one = row["tiles"].startswith(ONE)  # which of a large image would be a large one
        row["redundancy"] = "" if one else within(seconds, lambda: redundancy(entry, net))
    row["seconds"] = round(time.perf_counter() - begin, 1)
    return row


def completed(row: Row, entry: Entry, seconds: int) -> Row:
    """A line that was measured before something else was, with that."""
    net, row = sj.from_torch(made(entry)), dict(row)
    if "redundancy" not in row:
        row["redundancy"] = within(seconds, lambda: redundancy(entry, net))
    if "off grid" not in row:
        row["off grid"] = off_grid(entry, sj.certify(net, jax.ShapeDtypeStruct(entry.shape, "float32")))
    return row


def tiles(module: Any, net: sj.translation.Network, image: np.ndarray, whole: list[np.ndarray]) -> str:
    """Tiles computed by PyTorch beside PyTorch's whole image."""
    sizes = image.shape[1:-1]
    parts = 3 if max(sizes) <= LARGEST[len(sizes)] else 2
    try:
        plan = sj.plan_tiles(net, image.shape, pad=None, tile=tuple(n // parts for n in sizes))
        tiled = jax.tree.leaves(sj.predict_tiled(net, image, plan))
    except Exception as error:
        return told(error)[:120]
    count = int(np.prod(plan.grid))
    if count == 1:
        return f"{ONE}: how far its border reaches is not proved"
    return f"{count} of {' x '.join(map(str, plan.tile_input))} px: {largest_difference(tiled, whole):.0e}"


def frozen(entry: Entry, module: Any, net: sj.translation.Network) -> str:
    """What a refused network says after its statistics are frozen, and its tiles beside PyTorch's whole image."""
    ndim = len(entry.shape) - 2
    least = OF_WINDOWS.get(entry.name, WHOLE[ndim])
    shape = (1, *(max(n, m) for n, m in zip(entry.shape[1:-1], least, strict=True)), entry.shape[-1])
    if entry.name in FIXED:
        shape = entry.shape
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    whole = by_module(module, image)
    tile = tuple(n // 2 for n in shape[1:-1])
    try:
        measured = sj.freeze_statistics(net, image, tile=tile, progress=False)
        plan = sj.plan_tiles(measured, shape, pad=None, tile=tile)
        tiled = jax.tree.leaves(sj.predict_tiled(measured, image, plan))
    except sj.CertificationError as refusal:
        return f"refused at `{_short(refusal.source)}`: {refusal.reason}"
    except ValueError as error:
        return told(error)[:160]
    difference = largest_difference(tiled, whole)
    by = "" if not measured.why_jax else ", by JAX"
    count = f"{int(np.prod(plan.grid))} tiles" if np.prod(plan.grid) > 1 else "one tile (its field is the image)"
    return f"certified, {measured.cut.passes} passes; {count}{by}: {difference:.0e}"


def redundancy(entry: Entry, net: sj.translation.Network) -> str:
    """Pixels computed for one of the image, of a plan within 1 GiB."""
    large = {2: 4096, 3: 512}[len(entry.shape) - 2]
    shape = (1, *(n + (large - n) // 32 * 32 for n in entry.shape[1:-1]), entry.shape[-1])
    try:
        plan = sj.plan_tiles(net, shape, pad=None, memory_bytes="1GiB")
    except (ValueError, sj.CertificationError) as error:
        return told(error)[:120]
    return f"{plan.redundancy:.2f}"


class _Late(BaseException):
    """Raised where the time is over; nobody between takes it for an error of theirs."""


def within(seconds: int, measure: Callable[[], str]) -> str:
    """What is measured, if it takes no longer."""

    def late(*_: Any) -> None:
        raise _Late

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of this process, however busy the machine is
    try:
        return measure()
    except _Late:
        return f"not within {seconds} s"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def largest_difference(found: list[Any], expected: list[np.ndarray]) -> float:
    """Of the largest value."""
    pairs = zip(found, expected, strict=True)
    return max(float(np.abs(np.asarray(a) - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in pairs)


def table(rows: list[Row]) -> Iterator[str]:
    """The rows as a page."""
    tiles = "tiles by PyTorch beside its whole image"
    begin = "| network | package | equal to PyTorch within | verdict | period | field | margin | redundancy"
    yield f"{begin} | crop off the grid | {tiles}, or after freezing |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        if "not translated" in row:
            yield f"| {row['name']} | {row['package']} | - | not translated: {row['not translated']} | | | | | | |"
            continue
        verdict = f"refused at `{_short(row['refused'])}`" if "refused" in row else "certified"
        numbers = [" x ".join(map(str, row.get(key, []))) for key in ("period", "field", "margin")]
        begin = f"| {row['name']} | {row['package']} | {row['error']:.0e} | {verdict} |"
        last = str(row.get("tiles", row.get("frozen", "not measured after freezing")))
        last = "not within the time that it was given" if "_Late" in last else last  # as a module's error tells it
        crop = row.get("off grid")
        off = "" if "period" not in row else "-" if crop is None or set(row["period"]) == {1} else f"{crop[1]:.2g}"
        yield f"{begin} {' | '.join(numbers)} | {row.get('redundancy', '')} | {off} | {last} |"


def _short(source: str) -> str:
    """A line of a package, from the package's name on."""
    return re.sub(r"^.*(site-packages/|(?=benchmarks/))", "", source)


SIZE = "true: with `align_corners=True` the weights of an upsampling depend on the image's size"
EVERYWHERE = "true: attention over all pixels"
PYRAMID = "true: means over parts of the image whose number is fixed, so that their sizes are the image's"
CAUSES = {  # of refusals that freezing does not lift, as they are found when each is looked at
    "U-Net, bilinear, align_corners=True": SIZE,
    "BasicUNet, batch norm, upsample=nontrainable": SIZE,
    "PAN, resnet18": SIZE,
    "FPN, resnet18": SIZE,
    "DeepLabV3, resnet18": SIZE,
    "DeepLabV3Plus, resnet18": SIZE,
    "Unet, efficientnet-b0": "not decided: the passes for its many means took longer than was waited for",
    "UNETR": f"{EVERYWHERE}, and a place for each",
    "vit_tiny, features": f"{EVERYWHERE}, and a place for each",
    "Segformer, mit_b0": EVERYWHERE,
    "MAnet, resnet18": EVERYWHERE,
    "PSPNet, resnet18": PYRAMID,
    "UPerNet, resnet18": PYRAMID,
}


INTRODUCTION = """# PyTorch networks of the field, and what is proved of them

By `python benchmarks/networks_of_the_field.py`, {date}, PyTorch {torch}, JAX {jax}, on a CPU. Networks are as their
packages make them, small, with random weights and statistics. Of {total} networks {translated} are translated,
all equal to PyTorch within {error:.0e} of the largest output; {certified} are certified, {refused} refused at the
line that is named.

*Period* and *field* (the receptive field) are in pixels of the image, the *margin* in pixels of the output: as far as
padding inside the network reaches from the border, "-" where it reaches all over this image. The *redundancy* is pixels
computed for one of a large image, of a plan within 1 GiB; blank where it was not measured. *Off the grid* says how far
a crop that begins half a period off differs from the whole image, where its border does not reach: root mean square, in
standard deviations of the output, for an image of blobs and weights that carry signals of one size through all levels,
as training leaves them. A crop that begins a whole period off differs by {control:.0e} at most, over all networks. The
last column compares the tiles that the module computes, of an image that is not padded (`pad=None`), with what it
computes of the whole image, again by the largest difference over the largest value. Of a refused network it says
whether it is certified after `shiftjax.freeze_statistics`, and its tiles then; where its field is as large as the image
there is one tile alone. {earlier} lines, those without `seconds` in `benchmarks/results`, are taken from the page as
it was before, but for the crops, and were measured earlier by the same versions.

"""
FIGURE = """
## How wrong is a crop off the grid?

![For each network, the difference of a crop from the whole image]({name})

Colours are periods; black lines are crops on the grid, for which it is rounding at most, and drawn at 1e-8 where it is
nothing at all. Half a period off, a network with learned upsampling differs from itself by about as much as its output
varies; nearest and linear upsampling leave a part of that.

## The networks

"""


def page(rows: list[Row], figure: str | None = None) -> str:
    """The table as a page of the documentation, which shows a figure at that address."""
    translated = [row for row in rows if "error" in row]
    begin = INTRODUCTION.format(
        date=datetime.date.today(),
        torch=torch.__version__,
        jax=jax.__version__,
        total=len(rows),
        translated=len(translated),
        error=max(row["error"] for row in translated),
        certified=sum("period" in row for row in rows),
        refused=sum("refused" in row for row in rows),
        earlier=sum("seconds" not in row for row in rows),
        control=max((row["off grid"][0] for row in rows if row.get("off grid")), default=0.0),
    )
    if figure is not None:
        begin += FIGURE.format(name=figure)
    return begin + "\n".join(table(rows)) + "\n" + "\n".join(causes(rows)) + "\n"


def causes(rows: list[Row]) -> Iterator[str]:
    """What is known of each refusal that freezing does not lift."""
    yield "\n## What stays refused\n"
    yield "A refusal is *true* where no tiling gives the whole image, and *false* where one does that is not proved.\n"
    for row in rows:
        after = row.get("frozen", "")
        if "refused" in row and (row["name"] in CAUSES or after) and not after.startswith("certified"):
            cause = CAUSES.get(row["name"], "not looked at")
            yield f"- {row['name']} ({row['package']}): {cause}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a word of the network's or the package's name")
    parser.add_argument("--out", type=Path, help="lines of JSON, read and added to")
    parser.add_argument("--page", type=Path, help="file for the table, such as docs/networks_of_the_field.md")
    parser.add_argument("--figure", type=Path, help="picture of crops off the grid")
    parser.add_argument("--seconds", type=int, default=60, help="that a tiling, a freezing or a plan may take")
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    done = {(row["name"], row["package"]): row for row in map(json.loads, lines)}
    rows = []
    for entry in entries():
        if options.only.lower() not in f"{entry.name} {entry.package}".lower():
            continue
        key = (entry.name, entry.package)
        row = done.get(key)
        if row is None:
            row = measured(entry, options.seconds)
        elif "period" in row:
            row = completed(row, entry, options.seconds)
        if row != done.get(key) and options.out:
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
        done[key] = row
        rows.append(done[key])
        print(list(table([done[key]]))[-1], flush=True)
    print(page(rows).partition("\n| ")[0])
    if options.figure:
        draw(rows, options.figure)
    if options.page:
        figure = options.figure and os.path.relpath(options.figure, options.page.parent)
        options.page.write_text(page(rows, figure))


if __name__ == "__main__":
    main()
