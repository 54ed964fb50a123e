"""Networks of other libraries as functions of images `(batch, *space, channel)`.

`from_torch` takes a PyTorch module as it is, `open_model` a file. What comes back is a `Network`: a JAX function whose
weights are pytree leaves, so that whatever takes a function takes it too. PyTorch is imported when it is first used.
"""

from shiftjax.translation._error import TranslationError as TranslationError
from shiftjax.translation._network import Network as Network
from shiftjax.translation._open import from_torch as from_torch
from shiftjax.translation._open import open_model as open_model
from shiftjax.translation._open import translated as translated
