"""YourTTS through coqui-tts, 16 kHz: conversion of a voice; it is no codec.

The weights are one folder as released: model.pth and config.json, with what config.json names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from TTS.api import TTS

PACKAGES = ("coqui-tts", "torch")


class YourTTS:
    sample_rate = 16000

    def __init__(self, program: Any) -> None:
        self.program = program

    def convert(self, source: np.ndarray, enrolment: Sequence[np.ndarray]) -> np.ndarray:
        """What `source` [T] says in the voice of the enrolment; its end is cut or filled to [T]."""
        torch.manual_seed(0)  # it draws noise: equal input gives equal waves
        with tempfile.TemporaryDirectory() as place:
            files = []
            for number, wave in enumerate((source, *enrolment)):
                files.append(f"{place}/{number}.wav")
                soundfile.write(files[-1], wave, self.sample_rate, subtype="FLOAT")
            made = self.program.synthesizer.tts(speaker_wav=files[1:], source_wav=files[0], speaker_name=None)
        wave = np.asarray(made, np.float32).reshape(-1)[: len(source)]
        return np.pad(wave, (0, len(source) - len(wave)))

    def encode(self, wave: np.ndarray) -> Any:
        raise TypeError("YourTTS converts voices and sends no codes; run it by TASK=vc")

    def decode(self, codes: Any) -> Any:
        raise TypeError("YourTTS converts voices and decodes no codes; run it by TASK=vc")


def load(settings: Mapping[str, Any], files: Mapping[str, Path], seed: int, device: str) -> YourTTS:
    if not files:
        raise ValueError("YourTTS has no random weights here; give WEIGHTS=FOLDER with model.pth and config.json")
    by_name = {path.name: path for path in files.values()}
    program = TTS(model_path=str(by_name["model.pth"]), config_path=str(by_name["config.json"]), progress_bar=False)
    return YourTTS(program.to(device))
