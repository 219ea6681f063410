"""Where adapters outside this package find `bench.coding.codec` by its former name. New ones: `from bench import Codec`."""

from bench.coding.codec import Codec, check_wave, decode, encode, roundtrip

__all__ = ["Codec", "check_wave", "decode", "encode", "roundtrip"]
