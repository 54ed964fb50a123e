"""Training: one pure step, and a loop that runs it in the form each backend compiles best, with checkpoints."""

# ruff: noqa: E402
from shiftjax._extras import require as _require

for _package in ("chex", "optax"):  # before the modules import them, so that a missing one is named in one sentence
    _require(_package, "train")

from shiftjax.training._backend import stack as stack
from shiftjax.training._backend import unstack as unstack
from shiftjax.training._checkpoint import Checkpoints as Checkpoints
from shiftjax.training._loop import History as History
from shiftjax.training._loop import TrainingDivergedError as TrainingDivergedError
from shiftjax.training._loop import train as train
from shiftjax.training._step import SampleBatch as SampleBatch
from shiftjax.training._step import State as State
from shiftjax.training._step import initial_state as initial_state
from shiftjax.training._step import make_step as make_step
