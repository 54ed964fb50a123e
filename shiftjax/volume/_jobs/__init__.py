"""Jobs: which tiles of a volume are computed, by whom, and which of them are finished."""
