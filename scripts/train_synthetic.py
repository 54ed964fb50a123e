"""The experiments of the paper: train on synthetic images, stitch tiles, and see where seams come from.

Without options: trains one network at a window larger than its period and one at a window of one period, stitches both
with legal and illegal tiles, prints a table, and writes metrics.json and figure.png. Under two minutes on two cores.
"""

from shiftjax._cli.train_synthetic import main

if __name__ == "__main__":
    raise SystemExit(main())
