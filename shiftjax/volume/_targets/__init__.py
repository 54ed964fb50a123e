"""What is written: arrays with their metadata, and what binds a target to the run that writes it."""
