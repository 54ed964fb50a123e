"""What does the library do on a GPU or TPU that is lent for minutes? One run, what matters most first.

    python benchmarks/accelerator.py --out DIR --minutes 6

Needs jax, flax, optax, chex and numpy, and uses what there is of torch, scikit-learn, orbax and zarr; the package need
not be installed (`PYTHONPATH=.`). After every part `results.json` and `results.md` in DIR are written anew. A part that
fails says so, and the others go on. `--tiny` tries all of it on a CPU, in sizes that measure nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch shares the card's memory

STARTED = time.monotonic()
PACKAGES = ("jax", "jaxlib", "flax", "torch", "numpy")


def machine() -> dict[str, str | int]:
    """What the figures are of."""
    import jax

    import shiftjax

    def found(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "missing"

    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "platform": jax.default_backend(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        **{package: found(package) for package in PACKAGES},
        "shiftjax": shiftjax.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def parts() -> dict[str, tuple[Callable[..., None], float, str]]:
    """Name -> what measures, the share of the time then left that it may take, and its title."""
    from _accelerator import claims, experiments, limits, losses, networks, replicas, tiles

    return {
        "limits": (limits.measure, 0.2, "The device's limits"),
        "claims": (claims.measure, 0.2, "The claims on the device"),
        "networks": (networks.measure, 0.5, "U-Nets beside PyTorch"),
        "losses": (losses.measure, 0.25, "Loss and mean shift"),
        "replicas": (replicas.measure, 0.45, "Replicas side by side"),
        "tiles": (tiles.measure, 0.5, "Tiles against their bound"),
        "volume": (tiles.measure_volume, 0.3, "A volume from memory to storage"),
        "torch-compile": (networks.measure_torch_compile, 0.4, "U-Nets beside PyTorch's compiler"),
        "experiments": (experiments.measure, 1.0, "The paper's experiments"),
    }


def main() -> None:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of checkpoints and volumes; by default one that is removed")
    parser.add_argument("--minutes", type=float, default=6.0, help="for all of it")
    parser.add_argument("--parts", nargs="+", help="by default all, in their order")
    parser.add_argument("--tiny", action="store_true", help="sizes that a CPU runs in seconds")
    options = parser.parse_args()
    from _accelerator.session import Session

    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        session = Session(
            options.out, work, minutes=options.minutes - (time.monotonic() - STARTED) / 60, tiny=options.tiny
        )
        session.machine = dict(machine())
        session.say(", ".join(f"{name} {value}" for name, value in session.machine.items()))
        known = parts()
        for name in options.parts or known:
            if name not in known:
                sys.exit(f"--parts: expected some of {', '.join(known)}, found {name}")
            measure, share, title = known[name]
            session.part(title, measure, share)
        session.say("finished")


if __name__ == "__main__":
    main()
