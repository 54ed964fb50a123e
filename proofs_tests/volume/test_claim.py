"""One writer at a time: a claim is had by one process, told to all others, and taken over when its owner is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import zarr

from proofs_tests.volume.small import expected, net, plan, volume
from shiftjax.volume import VolumeError, predict_volume
from shiftjax.volume._storage import claim as claiming
from shiftjax.volume._storage.claim import Claim, holder
from shiftjax.volume._storage.folder import LocalFolder, open_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["disk", "memory"])
def folder(request, tmp_path):
    return str(tmp_path / "claim") if request.param == "disk" else f"memory://{uuid.uuid4().hex}/claim"


@pytest.fixture
def soon(monkeypatch):
    """Claims lapse within a moment."""
    monkeypatch.setattr(claiming, "LEASE", 0.2)
    monkeypatch.setattr(claiming, "BEAT", 0.05)


def claimed(folder):
    return Claim(folder, "the target")


def of_another(**entries):
    """Claims made within it look like those of another process or machine."""
    who = claiming._who
    return patch.object(claiming, "_who", lambda: {**who(), **entries})


ELSEWHERE = {"host": "elsewhere", "machine": ["elsewhere", "1", "2"]}


def test_the_second_is_told_who_since_when_and_what_to_do(folder):
    with claimed(folder) as first:
        with pytest.raises(
            VolumeError, match=rf"process {os.getpid()} of .+ on .+, since 20.+ wait until it has ended"
        ):
            claimed(folder).__enter__()
        assert holder(open_folder(folder)) == first.token
    with claimed(folder) as second:
        assert holder(open_folder(folder)) == second.token != first.token
    assert open_folder(folder).names() == []


def race(folder, count=16):
    """Threads that all try at the same moment; how many got the claim."""
    start, won = threading.Barrier(count), []

    def attempt():
        start.wait()
        try:
            claimed(folder).__enter__()
            won.append(1)
        except VolumeError:
            pass

    threads = [threading.Thread(target=attempt) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(won)


def test_one_of_many_gets_it(folder):
    assert race(folder) == 1


def test_one_of_many_takes_over_from_the_dead(folder):
    with of_another(started="0"):
        claimed(folder).__enter__()
    assert race(folder) == 1


def test_control_without_creating_once_several_get_it(tmp_path, monkeypatch):
    def careless(self, name, data):
        if name in self.names():
            return False
        time.sleep(0.01)
        self.put(name, data)
        return True

    monkeypatch.setattr(LocalFolder, "create", careless)
    assert race(str(tmp_path / "claim")) > 1


def test_the_claim_of_another_machine_lapses(folder, soon):
    with of_another(**ELSEWHERE):
        first = claimed(folder).__enter__()
    first._ended.set()  # it stops to renew
    with pytest.raises(VolumeError, match="on elsewhere"):
        claimed(folder).__enter__()
    time.sleep(0.3)
    with claimed(folder) as second:
        assert holder(open_folder(folder)) == second.token


@pytest.mark.parametrize("renewed", [1e6, "a", None])
def test_it_lapses_whatever_its_clock_said(renewed, folder, soon):
    """Of a machine whose clock was days ahead when it was lost: nobody waits for those days."""
    with of_another(**ELSEWHERE):
        first = claimed(folder).__enter__()
    first._ended.set()
    entries = {**first._content, "renewed": time.time() + renewed if renewed == 1e6 else renewed}
    open_folder(folder).put("1", json.dumps(entries).encode())
    with claimed(folder) as second:
        assert holder(open_folder(folder)) == second.token


def test_who_is_ahead_by_the_clock_and_alive_keeps_it(folder, soon):
    with of_another(**ELSEWHERE):
        first = claimed(folder).__enter__()
    with (
        patch.object(time, "time", lambda began=time.time: began() - 1e6),
        pytest.raises(VolumeError, match="elsewhere"),
    ):
        claimed(folder).__enter__()
    first.__exit__()


def test_what_was_given_back_is_not_renewed(tmp_path, soon):
    """A renewal that is under way when the work ends: it would make the target wait for a lease that nobody has."""
    first, begun, go_on = claimed(str(tmp_path / "claim")), threading.Event(), threading.Event()
    read = claiming._read

    def slowly(folder, number):
        found = read(folder, number)
        if threading.current_thread().name == "claim" and not begun.is_set():
            begun.set()
            assert go_on.wait(60)
        return found

    with patch.object(claiming, "_read", slowly):
        first.__enter__()
        assert begun.wait(60)
        ends = threading.Thread(target=first.__exit__)
        ends.start()
        time.sleep(0.05)
        go_on.set()
        ends.join(60)
    time.sleep(0.2)
    assert open_folder(first.uri).names() == []


def test_it_does_not_lapse_while_it_is_renewed(folder, soon):
    with of_another(**ELSEWHERE):
        first = claimed(folder).__enter__()
    first._content["renewed"] -= 1e6  # its clock is behind
    time.sleep(0.3)
    with pytest.raises(VolumeError, match="on elsewhere"):
        claimed(folder).__enter__()
    first.__exit__()


def test_who_was_paused_finds_that_it_was_taken_over(folder, soon):
    with of_another(**ELSEWHERE):
        late = claimed(folder).__enter__()
    late.check()
    with of_another(started="0"), patch.object(claiming, "_has_ended", lambda claim: True):
        claimed(folder).__enter__()
    time.sleep(0.3)
    with pytest.raises(VolumeError, match="was taken over by process"):
        late.check()


def test_a_damaged_claim_is_no_obstacle(tmp_path, soon):
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim" / "3").write_bytes(b"{")
    with claimed(str(tmp_path / "claim")):
        assert [path.name for path in (tmp_path / "claim").iterdir()] == ["4"]


def test_two_programs_at_once(tmp_path):
    """The first one is another process, which is at work; then it is killed, and nobody waits for its lease."""
    zarr.create_array(tmp_path / "in.zarr", data=volume())
    command = [sys.executable, "-m", "proofs_tests.volume.stopped", str(tmp_path / "in.zarr"), str(tmp_path / "o")]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "JAX_PLATFORMS": "cpu"}) as process:
        while not list(tmp_path.glob("o/0/journal/*.json")):
            assert process.poll() is None
            time.sleep(0.005)
        with pytest.raises(VolumeError, match=f"being written by process {process.pid} of"):
            predict_volume(net(), tmp_path / "in.zarr", tmp_path / "o", plan(), progress=False)
        process.kill()
    made = predict_volume(net(), tmp_path / "in.zarr", tmp_path / "o", plan(), progress=False)
    np.testing.assert_array_equal(made[:], expected(volume()))


def test_an_owner_that_comes_back_late_writes_the_same(tmp_path, soon):
    """Paused in the middle, taken over, and woken when the other has finished."""
    paused, go_on, said = threading.Event(), threading.Event(), []
    source, planned = volume(), plan()

    def pause(tile):
        if not paused.is_set():
            paused.set()
            assert go_on.wait(60)
        return True

    def first():
        try:
            predict_volume(net(), source, tmp_path / "o", planned, where=pause, progress=False, batch_size=1)
        except VolumeError as error:
            said.append(str(error))

    with patch.object(Claim, "_renew", lambda self: None), of_another(**ELSEWHERE):
        late = threading.Thread(target=first)
        late.start()
        assert paused.wait(60)
    time.sleep(0.3)
    made = predict_volume(net(), source, tmp_path / "o", planned, progress=False)
    go_on.set()
    late.join(60)
    np.testing.assert_array_equal(made[:], expected(source))


def test_a_claim_that_was_made_and_could_not_be_read_is_given_back(tmp_path, monkeypatch):
    """Otherwise the same program would wait for itself."""
    read, calls = claiming._read, []

    def fails_after_it_is_made(folder, number):
        calls.append(threading.current_thread())
        if calls.count(threading.main_thread()) == 2 and calls[-1] is threading.main_thread():  # others renew theirs
            raise OSError(5, "EIO")
        return read(folder, number)

    place = str(tmp_path / "claim")
    monkeypatch.setattr(claiming, "_read", fails_after_it_is_made)
    with pytest.raises(VolumeError, match="EIO"):
        claimed(place).__enter__()
    monkeypatch.setattr(claiming, "_read", read)
    with claimed(place) as second:
        assert holder(open_folder(place)) == second.token


def test_giving_back_leaves_a_claim_that_another_takes_in_that_moment(tmp_path, monkeypatch):
    folder = str(tmp_path / "claim")
    first = claimed(folder).__enter__()
    asked = claiming.holder

    def taken_over_meanwhile(*words):
        found = asked(*words)
        open_folder(folder).create("2", json.dumps({"token": "another"}).encode())
        return found

    monkeypatch.setattr(claiming, "holder", taken_over_meanwhile)
    first.__exit__()
    assert asked(open_folder(folder)) == "another"
    monkeypatch.undo()
    with claimed(folder + " too") as second:  # control: without another, all is given back
        pass
    assert second.token != holder(open_folder(folder + " too"))
    assert holder(open_folder(folder + " too")) is None
