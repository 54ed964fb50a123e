"""How strips of an image are computed as streams, a step at a time."""
