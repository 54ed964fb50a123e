"""Draws `docs/images/nuclei.png`: what the model for nuclei that comes along finds in a real image; keeps its score.

usage: python docs/draw_nuclei.py [--image FILE.tif --labels FILE.tif]

By default the image that the package `stardist` brings (`pip install --no-deps stardist`); the model has seen only
simulated nuclei.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import shiftjax as sj
from shiftjax._colours import label_colours
from shiftjax._experiments.nuclei import load
from shiftjax._figure import new_figure, stamp

FILE = Path(__file__).parent / "images" / "nuclei.png"
NUMBERS = Path(__file__).parent / "results" / "nuclei.json"


def main() -> None:
    """Segments, scores, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="a real image, TIFF")
    parser.add_argument("--labels", type=Path, help="its labels, TIFF")
    options = parser.parse_args()
    known = load(options.image, options.labels)
    found = sj.pretrained("nuclei").segment(known.image)
    score = sj.average_precision(known.labels[None], found[None])
    figure = new_figure(12, 4.3)
    shown = {
        "a real image": known.image.clip(0, 1) ** 0.6,  # so that the dim ones are seen
        f'found by sj.pretrained("nuclei"): {found.max()}': label_colours(found),
        f"true: {known.labels.max()}; AP50 {score:.2f}": label_colours(known.labels),
    }
    for panel, (title, picture) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        panel.imshow(picture, cmap="gray", interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.set_title(title, fontsize=11)
    numbers = {"found": int(found.max()), "true": int(known.labels.max()), "AP50": score}
    figure.savefig(FILE, dpi=80, metadata=stamp(numbers))
    NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
