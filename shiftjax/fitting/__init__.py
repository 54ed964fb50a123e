"""Your own images: from labelled ones to a network with all that turns an image of any size into labels."""

from shiftjax.fitting._fit import fit as fit
from shiftjax.fitting._load import load_model as load_model
from shiftjax.fitting._load import pretrained as pretrained
from shiftjax.fitting._model import Model as Model
