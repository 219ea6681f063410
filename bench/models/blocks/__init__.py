"""Network blocks that more than one codec uses."""
