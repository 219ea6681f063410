"""One file per task; each runs alone: python -m bench.tasks.resynthesis."""
