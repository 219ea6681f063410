"""Where adapters outside this package find `bench.coding.codes` by its former name. New ones: `from bench import Codes`."""

from bench.coding.codes import Codes, Packets, Tokens, Vector

__all__ = ["Codes", "Packets", "Tokens", "Vector"]
