"""The table of ATen operations, a family per file. PyTorch itself is not needed here."""

from shiftjax.translation._torch._operations import activations as activations
from shiftjax.translation._torch._operations import convolutions as convolutions
from shiftjax.translation._torch._operations import elementwise as elementwise
from shiftjax.translation._torch._operations import indexing as indexing
from shiftjax.translation._torch._operations import layout as layout
from shiftjax.translation._torch._operations import norms as norms
from shiftjax.translation._torch._operations import pooling as pooling
from shiftjax.translation._torch._operations import products as products
from shiftjax.translation._torch._operations import reductions as reductions
from shiftjax.translation._torch._operations import resizing as resizing
from shiftjax.translation._torch._operations.table import OPERATIONS as OPERATIONS
from shiftjax.translation._torch._operations.table import Unsupported as Unsupported
