"""Mean shift on the accelerator: from embeddings to codes."""

from shiftjax.clustering._mean_shift import Clusters as Clusters
from shiftjax.clustering._mean_shift import mean_shift as mean_shift
from shiftjax.clustering._nearest import nearest_codes as nearest_codes
from shiftjax.clustering._rounding import HELD as HELD
from shiftjax.clustering._rounding import is_moved as is_moved
