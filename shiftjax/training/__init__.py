"""Training: one pure step, and a loop that runs it as the backend likes, with checkpoints."""

from shiftjax.training._checkpoint import Checkpoints as Checkpoints
from shiftjax.training._loop import History as History
from shiftjax.training._loop import TrainingDivergedError as TrainingDivergedError
from shiftjax.training._loop import train as train
from shiftjax.training._step import State as State
from shiftjax.training._step import initial_state as initial_state
from shiftjax.training._step import make_step as make_step
