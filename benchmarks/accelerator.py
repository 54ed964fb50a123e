"""What does the library do on a GPU or TPU that is lent for minutes? One run, what matters most first.

    python benchmarks/accelerator.py --out DIR --minutes 6

Needs jax, flax, optax, chex and numpy, and uses what there is of torch, scikit-learn, orbax and zarr; the package need
not be installed (`PYTHONPATH=.`). After every part `results.json` and `results.md` in DIR are written anew. A part that
fails says so, and the others go on; what is at work 40 seconds after the time is cut off. `--tiny` tries all of it on
a CPU, in sizes that measure nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch shares the card's memory

STARTED = time.monotonic()
PARTS: tuple[str, ...] = ("limits", "networks", "claims", "losses", "layers", "replicas", "tiles", "volume")
PARTS += ("torch-compile", "experiments")
PACKAGES = ("jax", "jaxlib", "flax", "torch", "numpy")


def machine() -> dict[str, Any]:
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
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "none"),
        "date": time.strftime("%Y-%m-%d"),
    }


def parts() -> dict[str, tuple[Callable[..., None], float, str]]:
    """In the order of `PARTS`: what measures, the share of the time then left that it may take, and its title."""
    from _accelerator import claims, experiments, layers, limits, losses, networks, replicas, tiles

    listed: list[tuple[Callable[..., None], float, str]] = [
        (limits.measure, 0.2, "The device's limits"),
        (networks.measure, 0.5, "U-Nets beside PyTorch"),
        (claims.measure, 0.25, "The claims on the device"),
        (losses.measure, 0.25, "Loss and mean shift"),
        (layers.measure, 0.3, "Replicas in one layer"),
        (replicas.measure, 0.45, "Replicas side by side"),
        (tiles.measure, 0.5, "Tiles against their bound"),
        (tiles.measure_volume, 0.3, "A volume from memory to storage"),
        (networks.measure_torch_compile, 0.4, "U-Nets beside PyTorch's compiler"),
        (experiments.measure, 1.0, "The paper's experiments"),
    ]
    return dict(zip(PARTS, listed, strict=True))


def main() -> None:
    """Runs the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of checkpoints and volumes; by default one that is removed")
    parser.add_argument("--minutes", type=float, default=6.0, help="for all of it")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="by default all, in their order")
    parser.add_argument("--tiny", action="store_true", help="sizes that a CPU runs in seconds")
    options = parser.parse_args()
    from _accelerator.session import Session

    with tempfile.TemporaryDirectory() as folder:
        minutes = options.minutes - (time.monotonic() - STARTED) / 60  # imports count
        work = options.work or Path(folder)
        with Session(options.out, work, minutes=minutes, tiny=options.tiny, machine=machine()) as session:
            run(session, options.parts)


def run(session: Any, names: list[str] | None) -> None:
    """The parts of these names, or all."""
    session.say(", ".join(f"{name} {value}" for name, value in session.machine.items()))
    known = parts()
    for name in names or known:
        measure, share, title = known[name]
        session.part(title, measure, share)
    session.say("finished")


if __name__ == "__main__":
    main()
