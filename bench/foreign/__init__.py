"""Codecs in a Python of their own: what runs in that Python (`serve`, `workers`), and how the two talk (`frames`).

Everything here runs in environments that other packages chose: nothing beyond numpy, `bench.coding.codes` and the standard
library of Python 3.10 is imported.
"""
