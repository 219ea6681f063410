"""Views of rows: leaderboard, plots, comparison, gate. Nothing here computes a score."""
