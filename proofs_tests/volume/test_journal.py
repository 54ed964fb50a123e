"""A journal never believes what was not written whole, whatever the moment at which it was torn."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from shiftjax.volume import VolumeError
from shiftjax.volume._storage.journal import Journal


@pytest.fixture(params=["disk", "memory"])
def folder(request, tmp_path):
    return str(tmp_path / "journal") if request.param == "disk" else f"memory://{uuid.uuid4().hex}/journal"


def written(folder, *flushes):
    for entries in flushes:
        journal = Journal(folder, seconds=1e9)
        for entry in entries:
            journal.add(entry)
        journal.flush()


def test_finds_what_was_flushed(folder):
    assert Journal(folder).finished == set()
    written(folder, [3, 1], ["a/b", 7])
    assert Journal(folder).finished == {1, 3, 7, "a/b"}


def test_control_what_was_not_flushed_is_not_found(folder):
    journal = Journal(folder, seconds=1e9)
    journal.add(5)
    assert journal.finished == {5}
    assert Journal(folder).finished == set()


def test_flushes_by_itself(folder):
    Journal(folder, seconds=0).add(5)
    assert Journal(folder).finished == {5}


def test_torn_at_any_byte(tmp_path):
    folder = tmp_path / "journal"
    written(str(folder), [1, 2], [3])
    first, second = sorted(folder.iterdir())
    whole = second.read_bytes()
    for length in range(len(whole)):
        second.write_bytes(whole[:length])
        assert Journal(str(folder)).finished == {1, 2}, length
    second.write_bytes(whole)
    assert Journal(str(folder)).finished == {1, 2, 3}
    first.write_bytes(b"")
    assert Journal(str(folder)).finished == {3}


def test_changed_at_any_byte(tmp_path):
    folder = tmp_path / "journal"
    written(str(folder), [17])
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert Journal(str(folder)).finished <= {17}, at


def test_goes_on_after_a_torn_object(tmp_path):
    folder = tmp_path / "journal"
    written(str(folder), [1], [2])
    sorted(folder.iterdir())[1].write_bytes(b"{")
    written(str(folder), [3])
    assert len(list(folder.iterdir())) == 3
    assert Journal(str(folder)).finished == {1, 3}


def test_two_at_once_lose_nothing(folder):
    one, other = Journal(folder, seconds=0), Journal(folder, seconds=0)
    one.add(1)
    other.add(2)
    assert Journal(folder).finished == {1, 2}


def test_a_failed_flush_is_told_and_keeps_its_entries(tmp_path):
    folder = tmp_path / "journal"
    folder.write_text("in the way")
    journal = Journal(str(folder), seconds=1e9)
    journal.add(1)
    with pytest.raises(VolumeError, match=r"cannot write the journal .*journal \(\w+: .*\)$") as stopped:
        journal.flush()
    assert isinstance(stopped.value.__cause__, OSError)
    assert set(journal.unwritten) == {1}
    Path(folder).unlink()
    journal.flush()
    assert Journal(str(folder)).finished == {1}


def test_a_journal_that_cannot_be_read_or_cleared_is_told(tmp_path, monkeypatch):
    journal = Journal(str(tmp_path / "journal"), seconds=0)
    journal.add(1)

    def broken(*args, **options):
        raise PermissionError("not yours")

    monkeypatch.setattr(type(journal._folder), "remove", broken)
    with pytest.raises(VolumeError, match=r"cannot clear the journal .*not yours"):
        journal.clear()
    monkeypatch.setattr(type(journal._folder), "get", broken)
    with pytest.raises(VolumeError, match=r"cannot read the journal .*not yours"):
        Journal(str(tmp_path / "journal"))
