"""Scores of a segmentation or an embedding against the truth and against the grid of tiles.

All of them run on the host, take NumPy or JAX arrays, batch first, and take equal ids in different images of a batch
for different objects.
"""

from shiftjax.metrics._average_precision import average_precision
from shiftjax.metrics._distinct import distinct_embeddings
from shiftjax.metrics._seams import SeamDisagreement, seam_disagreement
from shiftjax.metrics._split_merge import SplitMerge, split_merge_counts

__all__ = [
    "SeamDisagreement",
    "SplitMerge",
    "average_precision",
    "distinct_embeddings",
    "seam_disagreement",
    "split_merge_counts",
]
