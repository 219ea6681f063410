"""Training speech: whole corpora held in memory as 16-bit samples, random crops of them, light augmentation.

Batch number k of a run is a pure function of (seed, k), so that a resumed run draws what an unbroken one would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench import audio
from bench.distortions import add_noise, mix, narrow_band, reverberation
from bench.errors import BenchError, DataMissing
from bench.toml import Record

if TYPE_CHECKING:
    from bench.speech import Dataset, Utterance


class InputAugmentation(Record, frozen=True):
    """What stands between the target, which stays as it is, and what the encoder hears of it: room, others, noise, channel.

    rt60_s: (low, high) reverberation time in seconds, with probability room_chance. noise_db: (low, high) signal-to-noise ratio
    of added noise, with probability noise_chance; one time in two the noise is the other utterances of the batch. band_hz:
    (low, high) sampling rate of a narrower channel, with probability band_chance. tilt_db: as in `Augmentation`.
    """

    rt60_s: tuple[float, float] = (0.1, 0.6)
    room_chance: float = 0.0
    noise_db: tuple[float, float] = (5.0, 25.0)
    noise_chance: float = 0.0
    band_hz: tuple[float, float] = (6800.0, 13000.0)
    band_chance: float = 0.0
    tilt_db: float = 6.0
    tilt_chance: float = 0.0

    @property
    def any(self) -> bool:
        """Whether the encoder ever hears anything but the target."""
        return max(self.room_chance, self.noise_chance, self.band_chance, self.tilt_chance) > 0


class Augmentation(Record, frozen=True):
    """How crops are varied. Input and target stay the same signal, a codec should keep what it hears, but for `input`.

    gain_db: (low, high), uniform. speed: (low, high) factor of pitch and tempo together, or None; with probability
    speed_chance. tilt_db: largest spectral tilt over the band, with probability tilt_chance. noise_db: (low, high)
    signal-to-noise ratio of added coloured noise, with probability noise_chance.
    """

    gain_db: tuple[float, float] = (0.0, 0.0)
    speed: tuple[float, float] = (1.0, 1.0)
    speed_chance: float = 0.0
    tilt_db: float = 0.0
    tilt_chance: float = 0.0
    noise_db: tuple[float, float] = (20.0, 40.0)
    noise_chance: float = 0.0
    input: InputAugmentation = InputAugmentation()


class Corpus:
    """Utterances at one rate, int16 in memory, each with the name of its speaker.

    rate_hz: sampling rate of every utterance. Raises DataMissing for an empty list and BenchError for a file of another
    rate unless `resample`.
    """

    def __init__(self, utterances: Iterable[Utterance], rate_hz: int = 16000, resample: bool = False) -> None:
        self.rate_hz = rate_hz
        self.ids: list[str] = []
        self.speakers: list[str] = []
        self.waves: list[NDArray[np.int16]] = []
        for utterance in utterances:
            wave, rate = utterance.read()
            if rate != rate_hz:
                if not resample:
                    raise BenchError(
                        f"{utterance.path}: {rate} Hz, but the recipe trains at {rate_hz} Hz; "
                        "set data.resample = true to convert while loading"
                    )
                wave = audio.resample(wave, rate, rate_hz)
            self.ids.append(utterance.id)
            self.speakers.append(utterance.speaker)
            self.waves.append(audio.to_pcm16(wave))
        if not self.waves:
            raise DataMissing("the training data holds no utterances; check data.sources of the recipe")

    @property
    def seconds(self) -> float:
        """Duration of all waves, s."""
        return sum(len(wave) for wave in self.waves) / self.rate_hz

    @property
    def sha256(self) -> str:
        """Hash of ids and lengths: tells whether a resumed run still reads the same list."""
        text = "\n".join(f"{name} {len(wave)}" for name, wave in zip(self.ids, self.waves, strict=True))
        return hashlib.sha256(text.encode()).hexdigest()

    def wave(self, index: int) -> NDArray[np.float32]:
        """Utterance `index` as float32 [T] in [-1, 1]."""
        return self.waves[index].astype(np.float32) / 32768.0


@dataclass(frozen=True)
class Batch:
    """waves: float32 [B, T]; where: index in the corpus of each item; number: which batch of the run.

    heard: what the encoder is to hear instead of `waves`, [B, T], where that differs.
    """

    waves: NDArray[np.float32]
    where: tuple[int, ...]
    number: int = 0
    heard: NDArray[np.float32] | None = None


class Crops:
    """Random crops of a corpus, [batch, samples] each; items are drawn in proportion to their length times `weights`.

    Utterances shorter than a crop are zero-padded at the end. Batch k depends on (seed, k) alone.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch: int,
        samples: int,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.corpus, self.batch, self.samples, self.seed = corpus, batch, samples, seed
        self.augmentation = augmentation or Augmentation()
        lengths = np.array([len(wave) for wave in corpus.waves], np.float64)
        chances = lengths * (np.ones(len(lengths)) if weights is None else np.asarray(weights, np.float64))
        self.chances = chances / chances.sum()

    def draw(self, number: int) -> Batch:
        """Batch `number` (0, 1, ...)."""
        rng = np.random.default_rng([self.seed, number])
        where = rng.choice(len(self.chances), self.batch, p=self.chances)
        waves = np.stack([self._crop(self.corpus.waves[i], rng) for i in where])
        heard = None
        if self.augmentation.input.any:
            # Draws of its own: the targets are the same with and without.
            random = np.random.default_rng([self.seed, number, 1])
            heard = np.stack([self._heard(place, waves, random) for place in range(self.batch)])
        return Batch(waves, tuple(int(i) for i in where), number, heard)

    def _heard(self, place: int, waves: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """Item `place` of the targets `waves` [B, T] as the encoder hears it, [T], in time with it and not above full scale."""
        settings, rate = self.augmentation.input, self.corpus.rate_hz
        wave = waves[place]
        if random.random() < settings.room_chance:
            wave = reverberation(wave, rate, float(random.uniform(*settings.rt60_s)), random)
        if random.random() < settings.noise_chance:
            snr_db, others = float(random.uniform(*settings.noise_db)), np.delete(waves, place, axis=0)
            if len(others) and random.random() < 0.5:
                wave = mix(wave, np.roll(others, int(random.integers(wave.size)), axis=1).sum(0), snr_db)
            else:
                wave = add_noise(wave, snr_db, random)
        if random.random() < settings.tilt_chance:
            wave = tilt(wave, float(random.uniform(-settings.tilt_db, settings.tilt_db)))
        if random.random() < settings.band_chance:
            # Whole hundreds of Hz: the resampler is slow at odd ratios.
            wave = narrow_band(wave, rate, 100 * round(float(random.uniform(*settings.band_hz)) / 100), random)
        return (wave * min(1.0, 0.99 / max(float(np.abs(wave).max()), 1e-9))).astype(np.float32)

    def _crop(self, wave: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.float32]:
        settings = self.augmentation
        factor = 1.0
        if rng.random() < settings.speed_chance:
            factor = float(rng.uniform(*settings.speed))
        wanted = int(np.ceil(self.samples * factor))
        start = int(rng.integers(0, max(1, len(wave) - wanted + 1)))
        crop = wave[start : start + wanted].astype(np.float32) / 32768.0
        if factor != 1.0:
            crop = change_speed(crop, factor)
        if len(crop) < self.samples:
            crop = np.pad(crop, (0, self.samples - len(crop)))
        crop = crop[: self.samples]
        if rng.random() < settings.tilt_chance:
            crop = tilt(crop, float(rng.uniform(-settings.tilt_db, settings.tilt_db)))
        if rng.random() < settings.noise_chance:
            crop = add_noise(crop, float(rng.uniform(*settings.noise_db)), rng)
        low, high = settings.gain_db
        gain = 10.0 ** (float(rng.uniform(low, high)) / 20.0) if high > low else 10.0 ** (low / 20.0)
        peak = float(np.abs(crop).max(initial=0.0))
        return (crop * min(gain, 0.99 / peak if peak > 0 else gain)).astype(np.float32)


def change_speed(wave: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Play `factor` times faster: pitch and tempo together. float32 [T] -> [about T / factor]."""
    import soxr

    return soxr.resample(wave, factor * 10000.0, 10000.0, quality="MQ")


def tilt(wave: NDArray[np.float32], slope_db: float) -> NDArray[np.float32]:
    """Weigh the spectrum by a straight line in dB over log frequency: 0 dB at the lowest bin, `slope_db` at the top."""
    spectrum = np.fft.rfft(wave)
    position = np.log1p(np.arange(len(spectrum), dtype=np.float64))
    gains = 10.0 ** (slope_db * position / position[-1] / 20.0)
    return np.fft.irfft(spectrum * gains, len(wave)).astype(np.float32)


class Prefetch:
    """Draws the next batch in a thread while the current one trains."""

    def __init__(self, draw: Callable[[int], Batch], first: int) -> None:
        self._draw = draw
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="crops")
        self._number = first
        self._next: Future[Batch] = self._pool.submit(draw, first)

    def next(self) -> Batch:
        """The batch that is due; the one after it is started."""
        batch = self._next.result()
        self._number += 1
        self._next = self._pool.submit(self._draw, self._number)
        return batch

    def close(self) -> None:
        """Stop reading ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def held_out(dataset: Sequence[Utterance], speakers: int) -> tuple[list[Utterance], list[Utterance]]:
    """Split by voice: (training, held out); held out are all utterances of `speakers` voices, picked by hash of name."""
    names = sorted({u.speaker for u in dataset}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    if speakers >= len(names) and speakers:
        raise BenchError(f"data.held_out = {speakers}, but there are only {len(names)} speakers; lower it")
    kept_back = set(names[:speakers])
    return [u for u in dataset if u.speaker not in kept_back], [u for u in dataset if u.speaker in kept_back]


def load(sources: Sequence[str]) -> list[Dataset]:
    """The data sets named by `sources`, written as everywhere in the bench: "librispeech:PATH#train-clean-100"."""
    from bench import data

    return [data.load(source) for source in sources]
