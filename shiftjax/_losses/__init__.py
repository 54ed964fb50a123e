"""The discriminative loss of De Brabandere, Neven and Van Gool, without a loop over instances."""

from shiftjax._losses._discriminative import BACKGROUNDS as BACKGROUNDS
from shiftjax._losses._discriminative import DiscriminativeParts as DiscriminativeParts
from shiftjax._losses._discriminative import discriminative_loss as discriminative_loss
