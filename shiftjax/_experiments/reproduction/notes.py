"""What a reader of the table should know of a row: how it departs from the paper, and why."""

from __future__ import annotations

from collections.abc import Mapping

WHOLE = (
    "Discs that the training window cuts do not count in the loss: in a window of three discs a side they are most of "
    "all, and as what is left of a cut disc looks different, networks lowered the loss by cutting discs in pieces."
)
IMAGES = (
    "Tiles of a valid network read what its plan says; of the same-padded one they read 8 px or more beyond what is "
    "kept, as is usual. The segmentation is that of small networks after few steps, whose own errors outnumber those "
    "at seams, so that false splits need not dip at whole periods; what tiles do to the output itself shows in every "
    "network."
)
SAME = (
    "The centre differs from the paper's account, and `sj.certify` proves why: the receptive field of this network "
    "spans 40 px, so in an image of 40 px no output pixel is out of the border's reach. In front of the last two "
    "convolutions 4 pixels per axis are, which is what the 4 px count."
)
_SMALL: Mapping[str, str] = {
    "const_inp_same": SAME,
    "fl_spaced": WHOLE,
    "fl-1_spaced_learned": WHOLE,
    "fl-1_spaced_fixed": WHOLE,
    "spheres_no_noise": WHOLE,
    "spheres_noise": (
        f"{WHOLE} Discs get the embedding of the noise they show, which varies from disc to disc without steps and "
        "also within a disc: neighbours are told apart by their means, but mean shift as narrow as in the other rows "
        "still cuts discs, on no grid, hence the low AP50; in seed 0, where AP50 is 0.99, codes hardly vary within a "
        "disc. The stitched output equals the whole image's."
    ),
    "spheres_noise_wrong_crop": (
        f"{WHOLE} In all seeds but one the embedding jumps more at seams than the whole image's does there; with the "
        "right crop the same networks show no excess. The network of seed 0 has learnt to ignore the phase: off the "
        "grid, too, its output is the whole image's within 2e-5 standard deviations. Seams cut fewer discs than in the "
        "rows on tiles, since codes of noise depend on the phase only in part: five of the seeds stay below 0.5."
    ),
    "tile_consistent": (
        "In every seed the stitched output equals the whole image's up to rounding. Where discs are split, the whole "
        "image's output splits them in the same places: the network has not learned enough, and tiling adds nothing."
    ),
    "tile_inconsistent_too_small": (
        "Clustered with half the bandwidth of `tile_consistent`, as in the paper. With the same one mean shift takes "
        "all for one cluster in most of the seeds: the embedding of a disc slopes from one tile to the next, and what "
        "is one cluster has no seams to count."
    ),
    "window_sweep": (
        "The step is sharp: a window of one period leaves the embedding jumping at every line of the period, in every "
        "seed, and one pixel more takes most of the jump away. To see seams is not yet to learn to avoid them: in a "
        "window of two periods, which hardly shows a disc of 7 px whole, most networks do not learn to tell discs "
        "apart, and jump; with three periods all learn."
    ),
    "codes_by_level": (
        "The bound is reached, and never passed: every network tells all phases of its period apart, however many "
        "levels it has. Embeddings count as different from a distance of 0.001 on."
    ),
    "codes_by_dimension": (
        "In one and three dimensions the bound is reached as it is in two, and never passed: 64 embeddings by two "
        "levels in three dimensions, and by three levels in two."
    ),
    "neighbouring_windows": (
        "Nine windows of a period, put together from nine crops, train as one window of three periods does: no jump at "
        "the period's lines in any seed, and the same discs found. Windows a pixel smaller leave jumps of about half "
        "of what one window of a period alone leaves, in every seed: which neighbours a crop has, it never sees."
    ),
    "other_sampling": (
        "Networks padded with zeros and cropped to what these do not reach, which `sj.certify` proves. Without strides "
        "there is one code, as every disc looks the same. A blur before the stride and linear upsampling leave the "
        "period at 4 px, and training finds it: all neighbours are told apart, though by fewer codes, some of which "
        "vary within a disc. Off the grid its output differs less than the others' do, and cuts as many discs. What "
        "polyphase sampling keeps is chosen for a whole image, so that the output moves along with it by any pixel, "
        "yet discs of one image are told apart by phase; tiles choose for themselves, and even tiles of whole periods "
        "do not match until all keep what the whole image chose."
    ),
    "images_nuclei": IMAGES,
    "images_bacteria": IMAGES,
    "images_simulated": IMAGES,
    "fl_spaced_elastic": (
        f"{WHOLE} Control points are 10 px apart, since discs are half as far apart as the paper's. Codes vary within "
        "a disc, so that mean shift as narrow as in the other rows cuts discs, on no grid, hence the low AP50; twice "
        "as wide it takes all discs for one code in half of the seeds."
    ),
}
_PAPER: Mapping[str, str] = {
    "const_inp_learned": (
        "The period is the paper's, but fewer embeddings are told apart: wherever all 3 units of the last layer are "
        "zero the embedding is the bias of the head, which 25 of the 256 phases share here, to the bit. With 8 "
        "features, in the small size, all are told apart in every seed."
    ),
    "const_inp_same": SAME,
}
NOTES: Mapping[str, Mapping[str, str]] = {"small": _SMALL, "paper": _PAPER}  # by size
