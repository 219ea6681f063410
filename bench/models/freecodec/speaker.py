"""Frozen speaker encoders: one vector for a clip. Their weights are no part of FreeCodec's files.

The paper takes a pretrained ECAPA-TDNN on a mel spectrogram; which one, its width and whether it was trained on are not
said. Inferred: speechbrain's spkrec-ecapa-voxceleb (80 mel bands, 192-d), frozen. Resemblyzer's 256-d GE2E encoder is
our second choice, for places without a model hub: its weights come with the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.models.blocks.mel import slaney_filters

Wave = NDArray[np.float32]


class SpeakerEncoder(Protocol):
    """dim: values of the vector. embed: wave [T] at 16 kHz -> float32 [dim]; never fails, whatever T >= 1."""

    dim: int

    def embed(self, wave: Wave) -> Wave:
        """wave [T] at 16 kHz -> the speaker's vector [dim]."""


def enrol(encoder: SpeakerEncoder, waves: Sequence[Wave]) -> Wave:
    """One vector [dim] of several clips of a speaker: the mean of their directions, with their mean length."""
    if not waves:
        raise ValueError("a speaker needs at least one enrolment wave")
    vectors = np.stack([encoder.embed(wave) for wave in waves])
    if len(vectors) == 1:
        return vectors[0]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = (vectors / np.maximum(lengths, 1e-12)).mean(0)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12) * lengths.mean()).astype(np.float32)


class ResemblyzerSpeaker(nn.Module):
    """Resemblyzer 0.1.4 (GE2E, Wan et al. 2018, Apache-2.0) with the weights inside its package.

    Level raised to -30 dBFS, silence cut by the WebRTC detector, mel powers in windows of 1.6 s through an LSTM, mean
    of the windows' vectors, unit length. Where no speech is found the whole clip is embedded; digital silence gives the
    zero vector.
    """

    dim = 256
    filters: Tensor
    window: Tensor

    def __init__(self, path: Path | None = None) -> None:
        """path: a checkpoint other than the package's. Raises ModuleNotFoundError without the package."""
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        self.register_buffer("filters", slaney_filters(16000, 400, 40), persistent=False)
        self.register_buffer("window", torch.hann_window(400), persistent=False)
        state = torch.load(path or _package_weights(), map_location="cpu", weights_only=True)["model_state"]
        self.load_state_dict({key: value for key, value in state.items() if not key.startswith("similarity")})
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def embed(self, wave: Wave) -> Wave:
        """wave [T] at 16 kHz -> unit vector [256]."""
        speech = trim_silence(raise_level(wave))
        if len(speech) < 480:
            speech = raise_level(wave)
        starts = _window_starts(len(speech))
        padded = np.pad(speech, (0, max(0, (starts[-1] + 160) * 160 - len(speech))))
        mel = self._mel(torch.from_numpy(padded).to(self.window.device, non_blocking=True))
        windows = torch.stack([mel[start : start + 160] for start in starts])
        _, (hidden, _) = self.lstm(windows)
        vectors = F.normalize(F.relu(self.linear(hidden[-1])), dim=1)
        if not np.any(wave):
            return np.zeros(self.dim, np.float32)
        return F.normalize(vectors.mean(0), dim=0).cpu().numpy()

    def _mel(self, wave: Tensor) -> Tensor:
        # powers without logarithm, centred, zeros beyond the ends: [T] -> [frames, 40]
        spectrum = torch.stft(wave, 400, 160, window=self.window, center=True, pad_mode="constant", return_complex=True)
        return (self.filters @ (spectrum.real.square() + spectrum.imag.square())).T


def _package_weights() -> Path:
    from importlib.util import find_spec

    spec = find_spec("resemblyzer")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("Resemblyzer's weights come with its package: pip install resemblyzer==0.1.4")
    return Path(spec.origin).parent / "pretrained.pt"


def raise_level(wave: Wave, dbfs: float = -30.0) -> Wave:
    """Amplify a wave [T] that is softer than `dbfs` (RMS); louder ones and digital silence stay."""
    rms = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
    gain = 10.0 ** (dbfs / 20.0) / rms if rms > 0 else 1.0
    return (wave * max(1.0, gain)).astype(np.float32)


def trim_silence(wave: Wave) -> Wave:
    """What the WebRTC detector (mode 3, 30 ms) takes for speech, its flags smoothed and widened: [T] -> [T']."""
    import webrtcvad

    frames = len(wave) // 480
    if not frames:
        return wave[:0]
    wave = wave[: frames * 480]
    pcm = np.round(np.clip(wave, -1.0, 1.0) * 32767.0).astype("<i2").reshape(frames, 480)
    detector = webrtcvad.Vad(3)
    flags = np.array([detector.is_speech(frame.tobytes(), 16000) for frame in pcm], np.float64)
    smooth = np.convolve(np.pad(flags, (3, 4)), np.ones(8) / 8, "valid")
    # numpy rounds halves to even: exactly 4 of 8 is silence
    kept = np.round(smooth)
    wide = np.convolve(kept, np.ones(7))[3:-3] > 0
    return wave[np.repeat(wide, 480)]


def _window_starts(samples: int) -> list[int]:
    # windows of 160 mel frames every 77; the last is dropped when less than three quarters full, unless it is the only
    frames = -(-(samples + 1) // 160)
    starts = list(range(0, max(1, frames - 160 + 77 + 1), 77))
    filled = (samples - starts[-1] * 160) / (160 * 160)
    return starts[:-1] if filled < 0.75 and len(starts) > 1 else starts


class EcapaSpeaker(nn.Module):
    """ECAPA-TDNN (Desplanques et al. 2020) as built by speechbrain: 80 mel bands, mean-normalised, 192-d.

    path: `embedding_model.ckpt` of speechbrain/spkrec-ecapa-voxceleb; None = random weights. channels: widths of the
    five stages. Clips shorter than 0.1 s are repeated up to it.
    """

    def __init__(
        self, path: Path | None = None, dim: int = 192, channels: Sequence[int] = (1024, 1024, 1024, 1024, 3072)
    ) -> None:
        """Raises ValueError if the file's tensors are not those of this network."""
        super().__init__()
        from speechbrain.lobes.features import Fbank
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

        self.dim = dim
        self.mel = Fbank(n_mels=80)
        self.network = ECAPA_TDNN(80, lin_neurons=dim, channels=list(channels))
        if path is not None:
            state = torch.load(path, map_location="cpu", weights_only=True)
            try:
                self.network.load_state_dict(state)
            except RuntimeError as error:
                raise ValueError(f"{path} does not hold a {dim}-d ECAPA-TDNN of speechbrain: {error}") from error
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def embed(self, wave: Wave) -> Wave:
        """wave [T] at 16 kHz -> [dim]."""
        if len(wave) < 1600:
            wave = np.resize(wave, 1600)
        features = self.mel(torch.from_numpy(wave)[None].to(next(self.network.parameters()).device, non_blocking=True))
        features = features - features.mean(1, keepdim=True)
        return self.network(features)[0, 0].cpu().numpy()
