"""Training: one pure step, and a loop that runs it as the backend likes, with checkpoints."""

from shiftjax.training.checkpoint import Checkpoints as Checkpoints
from shiftjax.training.loop import History as History
from shiftjax.training.loop import TrainingDivergedError as TrainingDivergedError
from shiftjax.training.loop import train as train
from shiftjax.training.step import State as State
from shiftjax.training.step import initial_state as initial_state
from shiftjax.training.step import make_step as make_step
