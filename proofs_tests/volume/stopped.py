"""A run in a process of its own, which tests kill: `python -m proofs_tests.volume.stopped source target [fault]`."""

from __future__ import annotations

import resource
import sys
import time

from proofs_tests.volume.small import net, plan
from shiftjax.volume import VolumeError, predict_volume
from shiftjax.volume._jobs.writer import Writer
from shiftjax.volume._storage import journal
from shiftjax.volume._storage.journal import NOTHING
from shiftjax.volume._targets.target import Target


class Slowly:
    """As a test of the input: passes all tiles, but takes its time; lets files grow to `most` bytes from then on."""

    def __init__(self, most):
        self.most = most

    def __call__(self, tile):
        if self.most:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.most, self.most))
        time.sleep(0.02)
        return True


def journal_before_writing():
    """A fault that the tests must find: tiles are journaled when they are queued, and writing hangs."""
    put = Writer.put

    def early(self, tile, images, reading):
        self._finish(tile, NOTHING)
        put(self, tile, images, reading)

    setattr(Writer, "put", early)  # noqa: B010 - a method may not be assigned to, say type checkers
    setattr(Target, "write", lambda self, *args, **options: time.sleep(1000))  # noqa: B010


def main(source, target, fault=""):
    journal.SECONDS = 0.05
    if fault == "journal before writing":
        journal_before_writing()
    fn = net()
    planned = plan(fn)
    slowly = Slowly(int(fault.split()[-1]) if fault.startswith("files of at most ") else 0)
    print("begun", flush=True)
    try:
        predict_volume(fn, source, target, planned, where=slowly, batch_size=1, progress=False)
    except VolumeError as error:
        print(error, flush=True)
        return 1
    print("finished", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
