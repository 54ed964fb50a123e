"""Images and labels: read, checked, scaled, cut into windows, and varied."""
