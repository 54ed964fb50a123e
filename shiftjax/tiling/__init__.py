"""Exact tile-and-stitch for any function that the certifier can read.

`plan_tiles` makes a `TilePlan`, which `predict_tiled` follows in memory. For images that are stored elsewhere there is
`run_tiles`, which asks for the input of each tile (`TilePlan.read_input` pads the image's border) and gives its output.
"""

from shiftjax.tiling._geometry.stream_axis import StreamAxis as StreamAxis
from shiftjax.tiling._geometry.tile_output import TileOutput as TileOutput
from shiftjax.tiling._hosted import computed_by as computed_by
from shiftjax.tiling._padding import PADS as PADS
from shiftjax.tiling._padding import read_window as read_window
from shiftjax.tiling._padding import zero_outside as zero_outside
from shiftjax.tiling._pipeline import check_function as check_function
from shiftjax.tiling._pipeline import run_tiles as run_tiles
from shiftjax.tiling._plan import TileIndex as TileIndex
from shiftjax.tiling._plan import TilePlan as TilePlan
from shiftjax.tiling._planning.planner import plan_tiles as plan_tiles
from shiftjax.tiling._predict import predict_tiled as predict_tiled
from shiftjax.tiling._streaming.strips import in_strips as in_strips
