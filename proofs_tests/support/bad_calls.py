"""Bad calls, drawn with a seed: each public function answers with one clear sentence, or does the right thing.

`python -m proofs_tests.support.bad_calls COUNT SEED` prints those that do not, as JSON. It is a program of its own so
that functions are called as users call them, without the shape checks of the tests in front of them.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

import shiftjax as sj
from proofs_tests.support.bad_values import hostile, never
from proofs_tests.support.doors import ASSERTS, Door, Fresh, doors

LONGEST = 1200  # characters of a sentence
PRINTED = re.compile(r"array\(|\[\[|\d\.? +\d\.? +\d|nan +nan")  # an array that was printed


def faults(door: Door, changed: dict[str, Any]) -> str:
    """What is wrong with the answer to a call; empty where nothing is."""
    given = {
        name: value.make() if isinstance(value, Fresh) else value for name, value in {**door.good, **changed}.items()
    }
    try:
        door.call(**given)
    except AssertionError as error:
        return "" if door.name in ASSERTS else f"AssertionError: {error}"
    except sj.training.TrainingDivergedError:
        return ""
    except (ValueError, TypeError, sj.VolumeError, sj.CertificationError) as error:
        return sentence_faults(error)
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    wrong = [
        name for name, value in changed.items() if not (_is_good(name, value) or door.takes.get(name, never)(value))
    ]
    return f"taken without a word: {', '.join(wrong)}" if wrong else ""


def _is_good(name: str, value: Any) -> bool:
    """Whether a value that was drawn happens to be right."""
    return (
        name == "key" and isinstance(value, jax.Array) and value.shape == () and value.dtype == jax.random.key(0).dtype
    )


def sentence_faults(error: Exception) -> str:
    """What an error lacks to be one clear sentence of the library."""
    text = str(error)
    own = isinstance(error, sj.VolumeError | sj.CertificationError) or (text.startswith("`") and "expected" in text)
    if not own:
        return f"not the library's: {type(error).__name__}: {text[:200]}"
    if "\n" in text or len(text) > LONGEST:
        return f"not one sentence: {text[:200]}"
    return f"an array is printed: {text[:200]}" if PRINTED.search(text) else ""


def draw(rng: np.random.Generator, every: list[Door]) -> tuple[Door, dict[str, Any], str]:
    """A function, its changed arguments, and how they are called."""
    door = every[rng.integers(len(every))]
    names = list(rng.choice(list(door.good), size=min(len(door.good), 1 + (rng.random() < 0.2)), replace=False))
    values = hostile()
    chosen = {str(name): str(rng.choice(list(values))) for name in names}
    words = f"{door.name}({', '.join(f'{name}={value}' for name, value in chosen.items())})"
    return door, {name: values[value] for name, value in chosen.items()}, words


def main(count: int, seed: int) -> list[str]:
    """The calls with faults."""
    rng, found = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        every = list(doors(Path(folder)))
        for door in every:
            assert not faults(door, {}), door.name  # the control: what is good is taken
        for _ in range(count):
            door, changed, words = draw(rng, every)
            fault = faults(door, changed)
            if fault:
                found.append(f"{words}: {fault}")
        os.chdir("/")
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    answer = main(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write("\n" + json.dumps(answer))
