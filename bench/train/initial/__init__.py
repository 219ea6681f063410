"""Where training starts: weights that are set from another network or from statistics of speech, not drawn at random."""
