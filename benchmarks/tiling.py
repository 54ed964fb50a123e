"""What does tiling cost, against the least it could cost?

    python benchmarks/tiling.py [memory] [throughput] [streams] [monai]

- memory: peak resident memory of `predict_volume` while the volume grows 16-fold; it should stay flat.
- throughput: tile-and-stitch against the bound that the plan's redundancy sets, which is the time of the whole image in
  one pass times the redundancy; both in one process, taking turns. Then plans within 2 GiB: redundancy, estimated and
  resident memory.
- streams: tiles and strips that are streamed along the first axis, planned for one large image and the same memory:
  input pixels per output pixel, and nanoseconds per pixel of that image, from a few calls of either in one process,
  taking turns. Error against a tile in one piece, in units of its standard deviation.
- monai: `sliding_window_inference` at its defaults with a same-padded PyTorch twin of the same weights, and shiftjax
  within the memory that it took: seconds, and error against the whole image in units of its standard deviation.

Every measurement of memory has a process of its own, and counts what is resident beyond the imports and the image;
beside MONAI and in strips, beyond the compiler too.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from _timing import time_alternating
from _variables import drawn_variables

import shiftjax as sj

GIB = 2**30
BUDGET = 2 * GIB
NETS: dict[str, dict[str, Any]] = {
    "2-D, l=4, 16 features": {},
    "3-D, l=3, 8 features": {"features": 8, "factors": (2, 2, 2), "ndim": 3},
    "small": {"features": 4, "factors": (2, 2), "convs": 1},
}
LARGE = {"2-D, l=4, 16 features": 20000, "3-D, l=3, 8 features": 2000}  # pixels per axis
WHOLE = {"2-D, l=4, 16 features": 2000, "3-D, l=3, 8 features": 160}  # pixels per axis that still fit in one piece


def network(name: str, **changes: Any) -> tuple[sj.UNet, Any]:
    """A network and its weights."""
    net = sj.UNet(3, **{**NETS[name], **changes})
    return net, drawn_variables(net)


def function(name: str, **changes: Any) -> Callable[[Any], Any]:
    net, variables = network(name, **changes)
    return jax.tree_util.Partial(net.apply, variables)


def peak() -> int:
    """Most bytes ever resident in this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident(run: Callable[[], Any]) -> float:
    """MiB that a run takes beyond what is resident before it, the second time, when all is compiled.

    XLA's compiler takes about 100 MiB, once; no estimate counts that. Freed memory is given back first.
    """
    run()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    status = lambda name: int(Path("/proc/self/status").read_text().split(name)[1].split()[0]) / 2**10  # noqa: E731
    before = status("VmRSS:")
    run()
    return status("VmHWM:") - before


def fastest(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest of three runs, and what it gave."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


def in_new_process(task: str, *arguments: Any) -> dict[str, Any]:
    """Runs one task of this file in a new process."""
    command = [sys.executable, __file__, "--task", task, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def memory() -> None:
    """Prints a row for each size of the volume."""
    print("predict_volume, 2-D, small net, tiles of at most 256 MiB: peak resident memory as the volume grows")
    print(f"{'pixels':>16}{'tiles':>8}{'MiB':>8}{'against the smallest':>22}")
    rows = [in_new_process("memory", side) for side in (2500, 5000, 10000)]
    for row in rows:
        print(f"{row['pixels']:16}{row['tiles']:8}{row['mib']:8.0f}{row['mib'] / rows[0]['mib']:22.3f}")


def task_memory(side: str) -> dict[str, Any]:
    import zarr

    n, fn = int(side), function("small")
    plan = sj.plan_tiles(fn, (1, n, n, 1), tile=512)
    with tempfile.TemporaryDirectory() as folder:
        source = zarr.create_array(Path(folder, "in.zarr"), shape=(n, n), chunks=(500, 500), dtype="float32")
        rng = np.random.default_rng(0)
        for row in range(0, n, 500):
            source[row : row + 500] = rng.normal(size=(min(500, n - row), n)).astype(np.float32)
        sj.predict_volume(fn, str(Path(folder, "in.zarr")), str(Path(folder, "out.zarr")), plan, progress=False)
    return {"pixels": n * n, "tiles": int(np.prod(plan.grid)), "mib": peak() / 2**20}


def throughput() -> None:
    """Prints a row for each network, twice: what tiling costs, and what fits within 2 GiB."""
    head = f"{'network':24}{'image':>12}{'tile reads':>16}{'redundancy':>12}"
    print(f"{head}{'whole, s':>10}{'tiled, s':>10}{'of the bound':>14}")
    for name, side in WHOLE.items():
        row = in_new_process("throughput", name, side)
        share = row["whole"] * row["redundancy"] / row["tiled"]
        print(
            f"{name:24}{str(side) + '^' + str(row['ndim']):>12}{row['reads']:>16}{row['redundancy']:12.2f}"
            f"{row['whole']:10.2f}{row['tiled']:10.2f}{share:14.2f}"
        )
    print("\nplans within 2 GiB, and what two of their tiles took")
    print(f"{'network':24}{'image':>12}{'tile reads':>16}{'redundancy':>12}{'estimate, MiB':>14}{'resident, MiB':>15}")
    for name, side in LARGE.items():
        row = in_new_process("resident", name, side)
        print(
            f"{name:24}{str(side) + '^' + str(row['ndim']):>12}{row['reads']:>16}{row['redundancy']:12.2f}"
            f"{row['estimate']:14.0f}{row['resident']:15.0f}"
        )


BUDGETS = {"2-D, l=4, 16 features": (256, 2048), "3-D, l=3, 8 features": (256, 2048)}  # MiB
TIMED = 256  # MiB: larger plans are only made, and their memory measured


def streams() -> None:
    """Prints a row for each network, memory, and way to compute it."""
    head = f"{'network':24}{'image':>12}{'MiB':>6}  {'':8}{'a call reads':>18}{'redundancy':>12}{'estimate, MiB':>15}"
    print(f"{head}{'resident, MiB':>15}{'ns per pixel':>14}{'of the tiles':>14}{'error':>10}")
    for name, side in LARGE.items():
        for budget in BUDGETS[name]:
            rows = in_new_process("streams", name, side, budget)
            for way, row in rows.items():
                resident = in_new_process("strips", name, side, budget, way)["resident"]
                timed = f"{row['ns']:14.0f}{row['ns'] / rows['tiles']['ns']:14.2f}" if "ns" in row else f"{'':28}"
                print(
                    f"{name:24}{str(side) + '^' + str(row['ndim']):>12}{budget:6}  {way:8}{row['reads']:>18}"
                    f"{row['redundancy']:12.2f}{row['estimate']:15.0f}{resident:15.0f}{timed}"
                    f"{row.get('error', 0):10.1e}"
                )


def planned(fn: Callable[[Any], Any], shape: tuple[int, ...], budget: int, way: str) -> sj.TilePlan:
    """For a large image, in tiles or in strips along the first axis."""
    return sj.plan_tiles(fn, shape, memory_bytes=budget * 2**20, stream=0 if way == "stream" else False)


def few_calls(fn: Callable[[Any], Any], large: sj.TilePlan) -> tuple[sj.TilePlan, np.ndarray]:
    """The plan of an image of a few tiles, or of one strip of a few steps, and the image."""
    space = [n * (1 if k or large.stream is None else 8) for k, n in enumerate(large.tile_output)]
    image = np.random.default_rng(0).normal(size=(1, *space, 1)).astype(np.float32)
    return sj.plan_tiles(fn, image.shape, tile=large.tile_output, stream=large.stream), image


def calls(plan: sj.TilePlan) -> int:
    """How many tiles or steps are computed, those of a stream included that fill it."""
    return round(plan.redundancy * np.prod(plan.image_shape[1:-1]) / np.prod(plan.tile_input))


def task_streams(name: str, side: str, budget: str) -> dict[str, Any]:
    fn, ndim = function(name), NETS[name].get("ndim", 2)
    shape = (1, *(int(side),) * ndim, 1)
    plans = {way: planned(fn, shape, int(budget), way) for way in ("tiles", "stream")}
    rows: dict[str, Any] = {
        way: {
            "ndim": ndim,
            "reads": " x ".join(map(str, plan.tile_input)),
            "redundancy": plan.redundancy,
            "estimate": (plan.memory or 0) / 2**20,
        }
        for way, plan in plans.items()
    }
    if int(budget) > TIMED:
        return rows
    small = {way: few_calls(fn, plan) for way, plan in plans.items()}
    runs: dict[str, Callable[[], Any]] = {
        way: lambda plan=plan, image=image: sj.predict_tiled(fn, image, plan)  # type: ignore[misc]
        for way, (plan, image) in small.items()
    }
    seconds = time_alternating(runs, repeats=3)
    for way, plan in plans.items():
        rows[way]["ns"] = 1e9 * seconds[way] / calls(small[way][0]) * calls(plan) / int(side) ** ndim
    tile, image = small["tiles"]
    strip = sj.plan_tiles(fn, image.shape, tile=tile.tile_output[0] // 4, stream=0)
    whole = sj.predict_tiled(fn, image, tile)
    rows["stream"]["error"] = _error(sj.predict_tiled(fn, image, strip), whole)
    return rows


def task_strips(name: str, side: str, budget: str, way: str) -> dict[str, Any]:
    fn, ndim = function(name), NETS[name].get("ndim", 2)
    plan, image = few_calls(fn, planned(fn, (1, *(int(side),) * ndim, 1), int(budget), way))
    # The memory of the result is the caller's: not counted.
    return {"resident": resident(lambda: sj.predict_tiled(fn, image, plan)) - image.size * 12 / 2**20}


def task_throughput(name: str, side: str) -> dict[str, Any]:
    fn, ndim = function(name), NETS[name].get("ndim", 2)
    image = np.random.default_rng(0).normal(size=(1, *(int(side),) * ndim, 1)).astype(np.float32)
    half = -(-int(side) // 32) * 16  # of the image, in whole periods: without a wish, all of it would be one tile
    plan = sj.plan_tiles(fn, image.shape, tile=half)
    run = jax.jit(lambda image: fn(image)[plan.whole_crop])
    padded = np.pad(image, plan.pad_width, mode="reflect")
    whole: dict[str, Callable[[], Any]] = {
        "whole": lambda: jax.block_until_ready(run(padded)),
        "tiled": lambda: sj.predict_tiled(fn, image, plan),
    }
    seconds = time_alternating(whole, repeats=3)
    # In one pass the network reads the padded border as well: counted per pixel of the image, as redundancy is.
    least = seconds["whole"] * image.size / padded.size
    return {
        "whole": least,
        "tiled": seconds["tiled"],
        "redundancy": plan.redundancy,
        "ndim": image.ndim - 2,
        "reads": " x ".join(map(str, plan.tile_input)),
    }


def task_resident(name: str, side: str) -> dict[str, Any]:
    fn, ndim = function(name), NETS[name].get("ndim", 2)
    large = sj.plan_tiles(fn, (1, *(int(side),) * ndim, 1), memory_bytes=BUDGET)
    *rest, last = large.tile_output
    image = np.random.default_rng(0).normal(size=(1, *rest, 2 * last, 1)).astype(np.float32)
    plan = sj.plan_tiles(fn, image.shape, tile=large.tile_output, memory_bytes=BUDGET)
    result = np.ones((*image.shape[:-1], 3), np.float32)  # the memory of the result is the caller's: not counted
    before = peak()
    del result
    sj.predict_tiled(fn, image, plan)
    assert plan.memory is not None
    return {
        "ndim": ndim,
        "reads": " x ".join(map(str, large.tile_input)),
        "redundancy": large.redundancy,
        "estimate": plan.memory / 2**20,
        "resident": (peak() - before) / 2**20,
    }


def monai() -> None:
    """Prints a row for MONAI and eight for shiftjax; all results are counted in the memory."""
    side = 1536
    theirs = in_new_process("monai", side)
    rows = [("MONAI 96^2, overlap 0.25", theirs)]
    for memory, bytes_ in (("in that memory", int(theirs["resident"] * 2**20)), ("in 512 MiB", 2**29)):
        rows += [
            (f"{way}, {padding}, {memory}", in_new_process("ours", side, bytes_, way, padding))
            for padding in ("SAME", "VALID")
            for way in ("tiles", "stream")
        ]
    print(f"2-D, l=4, 16 features, same number of parameters, image of {side}^2")
    print(f"{'':34}{'s':>8}{'resident, MiB':>15}{'error':>12}")
    for label, row in rows:
        print(f"{label:34}{row['seconds']:8.2f}{row['resident']:15.0f}{row['error']:12.1e}")


def task_ours(side: str, budget: str, way: str, padding: str) -> dict[str, Any]:
    """With `padding` "SAME" the network is that of MONAI's side, and its image is not padded; else it is our own."""
    fn, pad = function("2-D, l=4, 16 features", padding=padding), None if padding == "SAME" else "reflect"
    image = np.random.default_rng(0).normal(size=(1, int(side), int(side), 1)).astype(np.float32)
    plan = sj.plan_tiles(fn, image.shape, memory_bytes=int(budget), pad=pad, stream=0 if way == "stream" else False)
    used = resident(lambda: sj.predict_tiled(fn, image, plan))
    seconds, stitched = fastest(lambda: sj.predict_tiled(fn, image, plan))
    whole = np.asarray(jax.jit(fn)(np.pad(image, plan.pad_width, mode="reflect")))[plan.whole_crop]
    return {
        "seconds": seconds,
        "resident": used,
        "error": _error(stitched, whole),
        "redundancy": plan.redundancy,
        "reads": " x ".join(map(str, plan.tile_input)),
        "estimate": (plan.memory or 0) / 2**20,
    }


def task_monai(side: str) -> dict[str, Any]:
    import _unet_twin
    import torch
    from monai.inferers import sliding_window_inference

    torch.set_num_threads(os.cpu_count() or 1)
    net, variables = network("2-D, l=4, 16 features")
    params = _unet_twin.parameters(variables["params"], torch.channels_last)
    image = np.random.default_rng(0).normal(size=(1, 1, int(side), int(side))).astype(np.float32)
    x = torch.from_numpy(image)

    def apply(x: Any) -> Any:
        return _same_padded(torch, net, params, x)

    with torch.no_grad():
        stitched = np.asarray(sliding_window_inference(x, (96, 96), 4, apply))
        used = resident(lambda: sliding_window_inference(x, (96, 96), 4, apply))
        seconds, _ = fastest(lambda: sliding_window_inference(x, (96, 96), 4, apply))
        whole = apply(x).numpy()
    return {"seconds": seconds, "resident": used, "error": _error(stitched, whole)}


def _same_padded(torch: Any, net: sj.UNet, params: dict[str, Any], x: Any) -> Any:
    """The network as most people build it: zero padding everywhere, so that the output has the input's size."""
    functional = torch.nn.functional

    def double(x: Any, name: str) -> Any:
        for i in range(net.convs):
            x = functional.relu(functional.conv2d(x, *params[f"{name}_conv_{i}"], padding="same"))
        return x

    skips = []
    for level in range(len(net.factors)):
        skips.append(double(x, f"encoder_{level}"))
        x = functional.max_pool2d(skips[-1], 2)
    x = double(x, "bottom")
    for level in reversed(range(len(net.factors))):
        x = functional.conv_transpose2d(x, *params[f"up_{level}"], stride=2)
        x = double(torch.cat([skips[level], x], 1), f"decoder_{level}")
    return functional.conv2d(x, *params["head"])


def _error(stitched: np.ndarray, whole: np.ndarray) -> float:
    """The largest, in units of the whole's standard deviation."""
    return float(np.abs(stitched - whole).max() / whole.std())


def main() -> None:
    """Runs the parts that are named, or all."""
    tasks: dict[str, Callable[..., dict[str, Any]]] = {
        "memory": task_memory,
        "throughput": task_throughput,
        "resident": task_resident,
        "streams": task_streams,
        "strips": task_strips,
    }
    tasks |= {"monai": task_monai, "ours": task_ours}
    if sys.argv[1:2] == ["--task"]:
        print(json.dumps(tasks[sys.argv[2]](*sys.argv[3:])))
        return
    parts = {"memory": memory, "throughput": throughput, "streams": streams, "monai": monai}
    for name in sys.argv[1:] or parts:
        parts[name]()
        print()


if __name__ == "__main__":
    main()
