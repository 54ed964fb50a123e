"""Scores of a segmentation or an embedding against the truth and against the grid of tiles.

All of them run on the host, take NumPy or JAX arrays, batch first, and take equal ids in different images of a batch
for different objects.
"""

from shiftjax.metrics._average_precision import average_precision as average_precision
from shiftjax.metrics._distinct import distinct_embeddings as distinct_embeddings
from shiftjax.metrics._seams import SeamDisagreement as SeamDisagreement
from shiftjax.metrics._seams import seam_disagreement as seam_disagreement
from shiftjax.metrics._split_merge import SplitMerge as SplitMerge
from shiftjax.metrics._split_merge import split_merge_counts as split_merge_counts
