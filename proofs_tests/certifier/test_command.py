"""`python -m shiftjax certify`: 0 and the page, 1 and the refusal, 2 for bad usage."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shiftjax.__main__ import main
from shiftjax.certifier import Certificate

NETS = "proofs_tests.certifier.nets"


def test_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", f"{NETS}:pool", "--shape", "1,8,8,1"]) == 0
    assert "reduce_window_max" in capsys.readouterr().out


def test_a_function_that_returns_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", f"{NETS}:small_unet", "--shape", "1,20,20,1", "--json"]) == 0
    assert Certificate.from_json(capsys.readouterr().out).period == (2, 2)


def test_space_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", "jax.nn:relu", "--shape", "3,8,8", "--spatial", "1,2", "--json"]) == 0
    assert len(Certificate.from_json(capsys.readouterr().out).axes) == 2


def test_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    target = ["certify", "jax.nn:softmax", "--shape", "1,8,8"]
    assert main(target) == 0  # over channels
    assert main(["certify", "jax.numpy:cumsum", "--shape", "1,8,8,1"]) == 1
    assert "No certificate: `" in capsys.readouterr().out
    assert main(["certify", "jax.numpy:cumsum", "--shape", "1,8,8,1", "--json"]) == 1
    assert set(json.loads(capsys.readouterr().out)["refused"]) == {"primitive", "source", "reason", "advice"}


@pytest.mark.parametrize(
    "words",
    [
        ["certify", f"{NETS}:nothing", "--shape", "1,8,8,1"],
        ["certify", "no.such.module:net", "--shape", "1,8,8,1"],
        ["certify", f"{NETS}", "--shape", "1,8,8,1"],
        ["certify", f"{NETS}:NHWC", "--shape", "1,8,8,1"],
        ["certify", f"{NETS}:pool", "--shape", "1,8,8,1", "--dtype", "floaty"],
        ["certify", f"{NETS}:pool", "--shape", "1,8,8,1", "--spatial", "7"],
        ["certify", f"{NETS}:pool", "--shape", "8,8"],
        ["certify", f"{NETS}:small_unet", "--shape", "1,2,2,1"],
    ],
)
def test_bad_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("python -m shiftjax certify: ")


@pytest.mark.parametrize("words", [[], ["certify"], ["fly"], ["certify", f"{NETS}:pool", "--shape", "1,x"]])
def test_bad_arguments(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2


def test_as_a_program() -> None:
    """Through the interpreter, from the project's root."""
    command = [sys.executable, "-m", "shiftjax", "certify", "jax.nn:relu", "--shape", "1,8,8,1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Certificate of relu" in done.stdout
