"""The fault table: `python -m proofs_tests.volume.fault_table [TRIES]` injects faults of many kinds and counts.

A fault is survived if the run that meets it ends in the right result or in a clear error, and if the same call, once
the cause is mended, ends in the right result. Where a mixture of two works would be the only result, it must refuse.
Right is what an undisturbed run gives, bit for bit.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import zarr

from proofs_tests.volume.code_volumes import segmented, smooth_codes
from proofs_tests.volume.harm import (
    HARMS,
    READS,
    WRITES,
    Dead,
    at_once,
    chunks,
    failing,
    faults,
    killed,
    new_memory,
)
from proofs_tests.volume.small import expected, net, plan, volume
from shiftjax.volume import VolumeError, new_target, open_prediction, predict_volume
from shiftjax.volume._storage import claim, journal
from shiftjax.volume._storage.claim import Claim

SHAPE, TILE = (8, 8, 16), (4, 8, 8)  # four tiles
IMAGE, OTHER = volume(SHAPE), volume(SHAPE, 5)
NET, OTHER_NET = net(), net(net().args[0] + 1)
PLAN, RIGHT = plan(NET, SHAPE, TILE), expected(IMAGE)
CODES = smooth_codes((8, 8))
MOST_WRITES = {"predict": 26, "segment": 60}  # of an undisturbed run, about: moments are drawn from so many
ALL = (slice(None),) * 3


class Unsurvived(AssertionError):
    """What must not happen to a run."""


class World:
    """A folder of its own, a source in it, and the two works."""

    def __init__(self, folder: Path, rng: random.Random, client: Any = None) -> None:
        self.rng, self.client, self.folder = rng, client, folder
        self.source, self.target = folder / "in.zarr", folder / "o"
        zarr.create_array(self.source, data=IMAGE, chunks=(4, 4, 8))
        self.zarr_format = rng.choice([2, 3])

    def predict(self, **options: Any) -> Any:
        """What a prediction gives."""
        known = {"fn": NET, "source": self.source, "target": new_target(self.target, zarr_format=self.zarr_format)}
        return predict_volume(**{**known, "plan": PLAN, "progress": False, **options})

    def segment(self) -> Any:
        """What a segmentation gives."""
        return segmented(CODES, (5, 5), new_target(self.target, zarr_format=self.zarr_format)).labels

    def work(self, name: str) -> Any:
        """One of the two."""
        return self.predict() if name == "predict" else self.segment()

    @property
    def array(self) -> Path:
        """The folder of the target's array."""
        return self.target / "0"


RESULTS: dict[str, Any] = {"predict": RIGHT, "segment": None}


def right(name: str) -> np.ndarray:
    """What an undisturbed run gives."""
    if RESULTS[name] is None:
        with tempfile.TemporaryDirectory() as folder:
            RESULTS[name] = World(Path(folder), random.Random(0)).work(name)[:]
    return RESULTS[name]


def expect(found: Any, name: str, when: str) -> None:
    """Refuses another result."""
    if not np.array_equal(found[:], right(name)):
        raise Unsurvived(f"wrong pixels {when}")


def meets(world: World, name: str, *around: Any, must_refuse: bool = False) -> None:
    """A run within a fault, and the same call after it."""
    with ExitStack() as stack:
        for each in around:
            stack.enter_context(each)
        try:
            found = world.work(name)
        except (VolumeError, Dead):
            found = None
    if found is not None:
        expect(found, name, "without an error")
        if must_refuse:
            raise Unsurvived("not refused")
    expect(world.work(name), name, "by the same call afterwards")


def refuses(call: Callable[[], Any]) -> None:
    """A call that must end in a clear error."""
    try:
        call()
    except VolumeError:
        return
    raise Unsurvived("not refused")


def killed_somewhere(name: str, *, torn: bool = False) -> Callable[[World], None]:
    return lambda w: meets(w, name, killed(w.rng.randrange(MOST_WRITES[name]), torn=torn))


def killed_in_memory(w: World) -> None:
    w.target = new_memory()  # type: ignore[assignment]
    with killed(w.rng.randrange(20)), suppress(VolumeError, Dead):
        w.predict()
    expect(w.predict(), "predict", "by the same call afterwards")


def killed_again_and_again(w: World) -> None:
    for _ in range(4):
        with killed(w.rng.randrange(MOST_WRITES["predict"])), suppress(VolumeError, Dead):
            w.predict()
    expect(w.predict(), "predict", "by the same call afterwards")


def disk(places: Any, code: int, chance: float, name: str) -> Callable[[World], None]:
    def meet(w: World) -> None:
        after = w.rng.randrange(MOST_WRITES[name])
        meets(w, name, at_once(), faults(places, failing(chance, code, w.rng, after=after)))

    return meet


def harmed(name: str, choose: Callable[[World], list[Path]], *harms: str) -> Callable[[World], None]:
    """Files of a finished target are harmed."""

    def meet(w: World) -> None:
        w.work(name)
        path = w.rng.choice(choose(w))
        HARMS[w.rng.choice(harms)](path, w.rng)
        expect(w.work(name), name, "by the same call afterwards")

    return meet


def harmed_on_the_way(w: World) -> None:
    """Intermediate results of a segmentation that was killed are harmed."""
    with killed(w.rng.randrange(12, MOST_WRITES["segment"])), suppress(VolumeError, Dead):
        w.segment()
    left = [path for path in w.target.rglob("*") if path.is_file() and path.parent.name == "intermediates"]
    for path in w.rng.sample(left, min(2, len(left))):
        if path.stat().st_size > 1:
            HARMS[w.rng.choice(list(HARMS))](path, w.rng)
    expect(w.segment(), "segment", "by the same call afterwards")


def journals(w: World) -> list[Path]:
    return list(w.target.rglob("journal/*.json"))


def damaged_source(w: World) -> None:
    """A chunk of the source cannot be decoded, from some moment on."""
    path = w.rng.choice(chunks(w.source))
    data = path.read_bytes()

    def harm(tile: np.ndarray) -> bool:
        path.write_bytes(b"\xff" * 20)
        return True

    with suppress(VolumeError):
        expect(w.predict(where=harm, batch_size=1), "predict", "without an error")
    path.write_bytes(data)
    expect(w.predict(), "predict", "by the same call afterwards")


def missing_source(w: World) -> None:
    """A chunk of the source is missing for a while: refused, or what is read as nothing is computed again."""
    path = w.rng.choice(chunks(w.source))
    data = path.read_bytes()
    path.unlink()
    refuses(lambda: w.predict(missing="error", where=None))
    w.target = w.folder / "p"
    w.predict(region=(slice(0, 4), slice(None), slice(None)))
    path.write_bytes(data)
    with suppress(VolumeError):
        expect(w.predict(), "predict", "with the chunk back")
    w.target = w.folder / "q"
    expect(w.predict(), "predict", "in a new target")


def other_source(w: World) -> None:
    w.predict(region=(slice(0, 4), slice(None), slice(None)))
    array: Any = zarr.open_array(w.source, mode="r+")
    changed = IMAGE.copy()
    z, y, x = (w.rng.randrange(n) for n in SHAPE)
    changed[z, y, x] ^= 1
    array[:] = changed
    refuses(w.predict)
    array[:] = IMAGE
    expect(w.predict(), "predict", "with the source back")


def outage(w: World) -> None:
    """An array whose reads fail for a while."""

    class Failing:
        shape, dtype = SHAPE, IMAGE.dtype

        def __getitem__(self, index: Any) -> np.ndarray:
            if w.rng.random() < 0.3:
                raise OSError(errno.EIO, "Input/output error")
            return IMAGE[index]

    with at_once():
        expect(w.predict(source=Failing()), "predict", "without an error")


def replaced_source(w: World) -> None:
    def replace(tile: np.ndarray) -> bool:
        shutil.rmtree(w.source, ignore_errors=True)
        if w.rng.random() < 0.5:
            zarr.create_array(w.source, data=IMAGE.view(np.int8), chunks=(4, 4, 8), overwrite=True)
        return True

    with suppress(VolumeError):
        expect(w.predict(where=replace, batch_size=1), "predict", "without an error")
    zarr.create_array(w.source, data=IMAGE, chunks=(4, 4, 8), overwrite=True)
    expect(w.predict(), "predict", "with the source back")


def replaced_array(w: World) -> None:
    w.predict(region=(slice(0, 4), slice(None), slice(None)))
    path = w.array / ("zarr.json" if w.zarr_format == 3 else ".zarray")
    kept = path.read_bytes()
    kind = "data_type" if w.zarr_format == 3 else "dtype"
    change: dict[str, Any] = w.rng.choice(
        [{kind: "int16" if w.zarr_format == 3 else "<i2"}, {"shape": [2, 5, 8, 16]}, {"fill_value": 3}]
    )
    path.write_text(json.dumps({**json.loads(kept), **change}))
    refuses(w.predict)
    path.write_bytes(kept)
    expect(w.predict(), "predict", "with the array back")


def other_work(w: World) -> None:
    """Another network, plan or preprocessing for a target that was begun."""
    w.predict(region=(slice(0, 4), slice(None), slice(None)))
    other: dict[str, Any] = w.rng.choice(
        [
            {"fn": OTHER_NET},
            {"plan": plan(NET, SHAPE, (8, 8, 8))},
            {"preprocess": lambda image: image.astype(jnp.int32) * 2},
            {"source": OTHER},
        ]
    )
    refuses(lambda: w.predict(**other))
    expect(w.predict(), "predict", "by the first work")


def other_versions(w: World) -> None:
    w.predict(region=(slice(0, 4), slice(None), slice(None)))
    with patch.object(jax, "__version__", "99.0"):
        refuses(w.predict)
    expect(w.predict(), "predict", "by the first versions")


def second_writer(w: World) -> None:
    """A second program comes while the first is at work."""
    begun, go_on, found = threading.Event(), threading.Event(), []

    def hold(tile: np.ndarray) -> bool:
        begun.set()
        return go_on.wait(60)

    first = threading.Thread(target=lambda: found.append(w.predict(where=hold, batch_size=1)))
    first.start()
    begun.wait(60)
    try:
        refuses(w.predict)
    finally:
        go_on.set()
        first.join(60)
    expect(found[0], "predict", "by the first program")


def late_writer(w: World) -> None:
    """An owner that was paused for longer than its lease comes back."""
    begun, go_on = threading.Event(), threading.Event()

    def pause(tile: np.ndarray) -> bool:
        begun.set()
        return go_on.wait(60)

    def first() -> None:
        with suppress(VolumeError):
            w.predict(where=pause, batch_size=1)

    who = claim._who
    with (
        patch.object(claim, "_who", lambda: {**who(), "started": "0"}),
        patch.object(Claim, "_renew", lambda self: None),
    ):
        late = threading.Thread(target=first)
        late.start()
        begun.wait(60)
    found = w.predict()
    go_on.set()
    late.join(60)
    expect(found, "predict", "by the second program")
    expect(w.predict(), "predict", "after the first one came back")


def unfinished(w: World) -> None:
    """A prediction that was killed is opened, or segmented."""
    with killed(w.rng.randrange(4, 16)), suppress(VolumeError, Dead):
        w.predict()
    with suppress(VolumeError):
        expect(open_prediction(w.target), "predict", "as if finished")
    expect(w.predict(), "predict", "by the same call afterwards")


def broken_terminal(w: World) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as broken, patch.object(sys, "stderr", broken):
        expect(w.predict(progress=True), "predict", "with a broken terminal")
        with suppress(OSError):
            broken.close()


class Slow:
    """As a test of the input: passes all tiles, and tells which process is at work."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __call__(self, tile: np.ndarray) -> bool:
        (Path(self.folder) / str(os.getpid())).touch()
        time.sleep(0.05)
        return True


def killed_worker(w: World) -> None:
    """A worker of a cluster is killed by `kill -9` while it computes."""
    seen = w.folder / "seen"
    seen.mkdir()

    def kill() -> None:
        until = time.monotonic() + 30
        while not list(seen.iterdir()) and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(w.rng.uniform(0, 0.1))
        for path in list(seen.iterdir())[:1]:
            with suppress(ProcessLookupError):
                os.kill(int(path.name), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        expect(w.predict(client=w.client, where=Slow(seen), batch_size=1), "predict", "on the cluster")
    except VolumeError:
        expect(w.predict(), "predict", "by the same call afterwards")
    killer.join()


DAMAGE = ("empty", "zeroed", "truncated", "flipped")
KINDS: dict[str, Callable[[World], None]] = {
    "killed between two writes, predict": killed_somewhere("predict"),
    "killed between two writes, segment": killed_somewhere("segment"),
    "killed within a write, predict": killed_somewhere("predict", torn=True),
    "killed within a write, segment": killed_somewhere("segment", torn=True),
    "killed again and again": killed_again_and_again,
    "killed, memory store": killed_in_memory,
    "full disk, predict": disk(WRITES, errno.ENOSPC, 1.0, "predict"),
    "full disk, segment": disk(WRITES, errno.ENOSPC, 1.0, "segment"),
    "disk full now and then": disk(WRITES, errno.ENOSPC, 0.2, "predict"),
    "read errors that pass": disk(READS, errno.EIO, 0.2, "predict"),
    "write errors that pass": disk(WRITES, errno.EIO, 0.2, "segment"),
    "read errors that stay": disk(READS, errno.EACCES, 1.0, "segment"),
    "target chunk lost": harmed("predict", lambda w: chunks(w.array), "gone"),
    "target chunk damaged": harmed("predict", lambda w: chunks(w.array), *DAMAGE),
    "label chunk lost or damaged": harmed("segment", lambda w: chunks(w.target / "labels" / "instances" / "0"), *HARMS),
    "journal lost or damaged": harmed("predict", journals, *HARMS),
    "intermediates lost or damaged": harmed_on_the_way,
    "results lost or damaged": harmed("segment", lambda w: list(w.target.rglob("results/*")), *HARMS),
    "source chunk damaged": damaged_source,
    "source chunk missing": missing_source,
    "source changed in one voxel": other_source,
    "source unreadable now and then": outage,
    "source replaced while it is read": replaced_source,
    "target's array replaced": replaced_array,
    "another work": other_work,
    "another version of jax": other_versions,
    "a second writer": second_writer,
    "a writer that comes back late": late_writer,
    "an unfinished result is opened": unfinished,
    "a broken terminal": broken_terminal,
    "a worker killed": killed_worker,
}


class Row(NamedTuple):
    """A line of the table."""

    kind: str
    tries: int
    survived: int
    first_failure: str


@contextmanager
def small_cluster() -> Any:
    """A client of two workers, each a process; None where dask is not installed."""
    try:
        import distributed
    except ImportError:
        yield None
        return
    options: Any = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@contextmanager
def nobody() -> Any:
    """No cluster."""
    yield None


def table(tries: int, *, kinds: str = "", seed: int = 0, show: Callable[[str], object] = print) -> list[Row]:
    """Injects so many faults of every kind, and shows a line for each.

    Args:
        tries: of every kind.
        kinds: only those whose names have these words in them.
        seed: of the moments and places.
        show: told each line.
    """
    rows = []
    with patch.object(journal, "SECONDS", 0.0), small_cluster() as client:
        for kind, inject in KINDS.items():
            if kinds not in kind or (inject is killed_worker and client is None):
                continue
            survived, failure = 0, ""
            for number in range(tries):
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        inject(World(Path(folder), random.Random(f"{seed} {kind} {number}"), client))
                        survived += 1
                    except Exception as error:
                        failure = failure or f"try {number}: {type(error).__name__}: {error}"
            rows.append(Row(kind, tries, survived, failure))
            show(f"{kind:36}{tries:7}{survived:10}  {failure[:200]}")
    show(f"{f'{len(rows)} kinds':36}{sum(r.tries for r in rows):7}{sum(r.survived for r in rows):10}")
    return rows


if __name__ == "__main__":
    print(f"{'kind of fault':36}{'tries':>7}{'survived':>10}")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    sys.exit(any(row.survived < row.tries for row in table(count, kinds=" ".join(sys.argv[2:]))))
