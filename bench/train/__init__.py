"""Recipes that make weights for the networks of bench/models, and the loop that runs them.

`python -m bench.train focalcodec --config nano --out runs/focal` trains; see `bench.train.command`.
"""
