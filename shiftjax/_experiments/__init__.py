"""The experiments of the paper, and what they need beyond the library."""
