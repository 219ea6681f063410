"""The networks, in plain torch, usable alone: they know nothing of the rest of the bench."""
