"""Statistics of the whole image: where a program reduces over space, and the program given what it found there."""
