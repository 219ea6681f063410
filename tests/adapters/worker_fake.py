"""A foreign codec of one token a sample, which misbehaves when the sound says so: see `Fake.encode`."""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from bench.coding.codes import Tokens

PACKAGES = ("numpy",)


class Fake:
    sample_rate, frame, delay = 8000, 4, 0
    feature_rate_hz = 8000.0

    def __init__(self, settings):
        self.settings = settings

    def encode(self, wave):
        """The first sample tells what to do."""
        what = round(float(wave[0]) * 100)
        print("the package says hello")
        if what == 1:
            print("the reason is this", file=sys.stderr, flush=True)
            os._exit(7)
        if what == 2:
            time.sleep(60)
        if what == 3:
            raise ValueError("this sound is not liked")
        if what == 4:
            os.kill(os.getpid(), 9)
        if what == 5:
            # The stream of answers is a copy of descriptor 1, the highest that is a pipe.
            for descriptor in range(3, 64):
                try:
                    os.write(descriptor, b"no frame at all, only words")
                except OSError:
                    continue
        if what == 6:
            return (Tokens("samples", 8000.0, (256,), np.zeros((3, 1), np.int32)),)
        if what == 7:
            sum(i * i for i in range(3_000_000))
        indices = np.clip(np.round(np.asarray(wave) * 127) + 128, 0, 255).astype(np.int32)
        return (Tokens("samples", 8000.0, (256,), indices[:, None]),)

    def decode(self, codes):
        if codes.tokens[0].indices[0, 0] == 255:
            return np.full(5, np.nan, np.float32).reshape(5, 1)[:0]
        return (codes.tokens[0].indices[:, 0].astype(np.float32) - 128) / 127

    def features(self, wave):
        return np.asarray(wave)[:, None] * np.array([1.0, 2.0], np.float32)

    def codebooks(self):
        return {"samples": [((np.arange(256) - 128) / 127)[:, None]]}


class Converting(Fake):
    def convert(self, source, enrolment):
        return source * float(len(enrolment))


def load(settings, files, seed, device):
    if settings.get("fault") == "load":
        raise RuntimeError("there is no such model")
    if settings.get("fault") == "exit":
        print("goodbye", file=sys.stderr, flush=True)
        sys.exit(3)
    return Converting(settings) if settings.get("converts") else Fake(settings)
