"""Statistics of the whole image, measured once: norms over space, global pooling, squeeze-and-excite."""

from shiftjax.freezing._freeze import freeze_statistics as freeze_statistics
from shiftjax.freezing._frozen import Frozen as Frozen
from shiftjax.freezing._frozen import FrozenStatistic as FrozenStatistic
from shiftjax.freezing._saving import load_statistics as load_statistics
