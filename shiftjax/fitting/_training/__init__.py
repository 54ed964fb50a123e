"""Training: one step, the loop around it, its record, and what it is judged by."""
