"""How tiles are chosen: sizes that are legal, fit into memory and cost least."""
