"""YourTTS through coqui-tts, 16 kHz: conversion of a voice; it is no codec.

The weights are one folder as released: model.pth or model_file.pth, config.json, and what config.json names, which may be
paths of the machine that it was trained on: the files of these names beside it are meant.
"""

from __future__ import annotations

import json
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
    network = by_name.get("model.pth") or by_name.get("model_file.pth")
    if network is None or "config.json" not in by_name:
        raise ValueError(f"the weights need config.json and model.pth or model_file.pth; there are {', '.join(sorted(by_name))}")
    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "config.json"
        config.write_text(json.dumps(beside(json.loads(by_name["config.json"].read_text()), by_name)))
        program = TTS(model_path=str(network), config_path=str(config), progress_bar=False)
    return YourTTS(program.to(device))


def beside(value: Any, by_name: Mapping[str, Path]) -> Any:
    """A configuration with every path that ends in the name of one of these files led to that file."""
    if isinstance(value, dict):
        return {key: beside(inner, by_name) for key, inner in value.items()}
    if isinstance(value, list):
        return [beside(inner, by_name) for inner in value]
    return str(by_name[Path(value).name]) if isinstance(value, str) and Path(value).name in by_name else value
