"""Draws `docs/images/seams.png` and `tile_sizes.png`, and keeps the numbers that they and README.md show.

usage: python docs/draw_seams.py [seams] [tile_sizes]

Each is a run of `scripts/train_synthetic.py`; its metrics become `docs/results/NAME.json`, which the tests compare with
README.md, with the figure, and with the settings of the experiments.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from shiftjax._cli.train_synthetic import main as run
from shiftjax._experiments.settings import DEFAULT, SWEEP

DOCS = Path(__file__).parent
EXPERIMENTS = {"seams": DEFAULT, "tile_sizes": SWEEP}


def main() -> int:
    """Runs the experiments that are named, or both."""
    for name in sys.argv[1:] or EXPERIMENTS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            if code := run(["--experiment", EXPERIMENTS[name], "--out", str(out)]):
                return code
            shutil.copyfile(out / "metrics.json", DOCS / "results" / f"{name}.json")
            shutil.copyfile(out / "figure.png", DOCS / "images" / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
