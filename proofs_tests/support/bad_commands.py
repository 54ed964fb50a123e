"""Bad command lines, drawn with a seed: one line on the standard error, and never exit code 0 where nothing was made.

`python -m proofs_tests.support.bad_commands COUNT SEED` prints those that are answered otherwise, as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import zarr

from shiftjax.__main__ import main

MODULE = """
import jax.numpy as jnp
def smear(x): return x[:, 1:-1] + x[:, 2:]
def same(x): return x * 1.0
def mean(x): return x - jnp.mean(x, axis=(1, 2), keepdims=True)
def raises(x): raise RuntimeError("mine\\nown")
def nothing(x): return None
def exits(x): raise SystemExit(0)
number = 3
"""
SCRIPT = "import sys\ndef net(x): return x\nsys.exit()\n"
NETS = (
    "bad_net:smear",
    "bad_net:same",
    "bad_net:none",
    "bad_net:number",
    "bad_net:raises",
    "bad_net:nothing",
    "bad_net:exits",
    "bad_net:mean",
    "bad_script:net",
    "no_module:x",
    "bad_net:",
    ":",
    "os:remove",
    "json:dumps",
)
PLACES = (
    "",
    "/",
    "/dev/null",
    "none.zarr",
    "in.zarr",
    "text.txt",
    "in.zarr/zarr.json",
    "out.zip",
    "out.tif",
    "*",
    "~",
    "s3://nowhere/x",
    "nosuch://x",
    "simplecache::http://127.0.0.1:9/x",
    "memory://x",
    "x" * 5000,
    "text.txt/x",
)
INTEGERS = ("0", "-1", "1", "3", "99", "1.5", "9" * 30, "9" * 5000, "nan", "")
FITTING: dict[str, tuple[str, ...]] = {  # values of the right kind, for options that others would not reach
    **dict.fromkeys(("--net", "--preprocess"), NETS),
    **dict.fromkeys(("--where", "--mask", "--plan"), PLACES),
    **dict.fromkeys(("--level", "--channel", "--levels", "--foreground", "--min-size", "--seed"), INTEGERS),
    **dict.fromkeys(("--where-level", "--where-channel", "--mask-level", "--mask-channel"), INTEGERS),
    **dict.fromkeys(("--axes", "--where-axes", "--mask-axes"), ("yx", "xy", "zyx", "zy", "tc", "yy", "YX", "", "c")),
    **dict.fromkeys(("--shape", "--tile"), ("1,8,8,1", "4", "8,8", "0,8", "1", "1,8", "1,2,3,4,5", "9" * 30)),
    **dict.fromkeys(("--dtype", "--target-dtype"), ("int8", "float64", "bfloat16", "complex64", "S3", "O", ">f4", "")),
    "--spatial": ("1,2", "2,1", "1,1", "0", "9", "-1", "1,2,3"),
    "--memory": ("1", "1KiB", "1TiB", "9" * 400, "0", "1.5e3"),
    "--pad": ("reflect", "edge", "constant", "wrap"),
    "--normalize": ("1,99", "99,1", "0,0", "0,100", "-1,50", "0,1000", "nan,1"),
    "--region": ("0:4,0:4", ":,:", "4:4,:", "9:,:", "0:8", "::,:", "-1:,:", "9" * 40 + ":,:"),
    "--bandwidth": ("0", "-1", "nan", "inf", "1e300", "1e-300", "0.1"),
    "--name": ("", "a/b", "..", ".", "x" * 5000, "a b", "*"),
    "--zarr-format": ("2", "3", "4"),
    "--wait": ("0", "-1", "nan", "inf", "1e300"),
    "--missing": ("fill", "error", "zeros"),
    "--verify": ("all", "none", "some"),
}  # fmt: skip
ANY = ["", "abc", "0", "-1", "1.5", "nan", "1e300", "1,2", "8,8", "a,b", ",", ":", "yx", "float32", "2GiB", "[]", "{}"]
VALUES = [*ANY, "9" * 5000, "\u00e9", "x" * 5000, *NETS, *PLACES]
COMMANDS: dict[str, tuple[list[str], list[str]]] = {  # good words, and options with a value
    "certify": (["bad_net:smear", "--shape", "1,8,8,1"], ["--shape", "--spatial", "--dtype"]),
    "check": (["bad_net:smear", "--shape", "1,8,8,1"], ["--shape", "--spatial", "--dtype"]),
    "plan": (
        ["--net", "bad_net:smear", "in.zarr", "--tile", "4"],
        ["--net", "--tile", "--memory", "--pad", "--dtype", "--axes", "--level", "--channel", "--shape"],
    ),
    "predict": (
        ["--net", "bad_net:smear", "in.zarr", "OUT", "--tile", "4", "--quiet"],
        ["--net", "--tile", "--memory", "--pad", "--dtype", "--axes", "--level", "--channel", "--plan", "--normalize",
         "--preprocess", "--where", "--where-axes", "--where-level", "--where-channel", "--region", "--target-dtype",
         "--zarr-format", "--levels", "--wait", "--missing", "--verify"],
    ),
    "segment": (
        ["in.zarr", "OUT", "--bandwidth", "1", "--tile", "4", "--quiet"],
        ["--net", "--tile", "--memory", "--pad", "--dtype", "--axes", "--level", "--channel", "--plan", "--normalize",
         "--preprocess", "--bandwidth", "--mask", "--mask-axes", "--mask-level", "--mask-channel", "--foreground",
         "--min-size", "--name", "--seed", "--wait", "--missing", "--verify"],
    ),
}  # fmt: skip


def run(words: list[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as exit:  # of the parser of arguments
            code = exit.code if isinstance(exit.code, int) else 1
    return code, out.getvalue(), err.getvalue()


def faults(words: list[str], made: Path | None) -> str:
    """What is wrong with the answer to a command line; empty where nothing is."""
    try:
        code, out, err = run(words)
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    if code == 0:
        return "" if made is None or made.exists() or _named(words, made) else "exit code 0, and nothing was made"
    if "Traceback" in err or not (err.strip() or out.strip()):
        return f"exit code {code} with {err[-200:]!r}"
    usage = err.startswith("usage:")  # of the parser of arguments, which says how the command is called
    if err.count("\n") > 1 and not usage:
        return f"more than one line: {err[:300]!r}"
    return "" if len(err) < 8000 else f"{len(err)} characters"


def _named(words: list[str], made: Path) -> bool:
    """Whether another target was named in place of the good one, and is there."""
    return any(Path(word).is_dir() and word not in ("in.zarr", "/", "~", "") for word in words) and not made.exists()


def draw(rng: np.random.Generator, number: int) -> tuple[list[str], Path | None]:
    """A command line with one or two words changed, and the target that it should make."""
    command = str(rng.choice(list(COMMANDS)))
    good, options = COMMANDS[command]
    target = Path(f"out{number}.zarr")
    words = [str(target) if word == "OUT" else word for word in good]
    for _ in range(1 + (rng.random() < 0.3)):
        option = str(rng.choice(options))
        if rng.random() < 0.8:
            fitting = FITTING[option] if rng.random() < 0.8 else VALUES
            words += [f"{option}={rng.choice(fitting)}"]
        else:
            words[rng.integers(len(words))] = str(rng.choice(VALUES))
    return [command, *words], target if command in ("predict", "segment") else None


def examine(count: int, seed: int) -> list[str]:
    """The command lines with faults."""
    rng, found = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        Path("bad_net.py").write_text(MODULE)
        Path("bad_script.py").write_text(SCRIPT)
        Path("text.txt").write_text("mine")
        zarr.create_array("in.zarr", data=np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32))
        for command, (good, _) in COMMANDS.items():  # the control: what is good is done
            words = [command, *("good.zarr" if word == "OUT" else word for word in good)]
            assert run(words)[0] == 0, words
            Path("good.zarr").rename(f"good_{command}.zarr") if Path("good.zarr").exists() else None
        for number in range(count):
            words, made = draw(rng, number)
            fault = faults(words, made)
            if fault:
                found.append(f"{[word if len(word) < 60 else '...' for word in words]}: {fault}")
        os.chdir("/")
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    answer = examine(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write("\n" + json.dumps(answer))
