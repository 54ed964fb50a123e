"""Where tiles lie: windows, the tiles along an axis, the steps of a stream, and what is kept of outputs."""
