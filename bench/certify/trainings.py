"""Small trainings that certify the definitions of probes, of restoration and of synthesis: case -> outputs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.certify import cases
from bench.certify.outputs import Cases, of_numbers
from bench.coding.codes import Codes, Tokens


def probe_inputs() -> Cases:
    """Frames and mean of the log-mels that a probe reads."""
    from bench.probes import inputs

    found: Cases = {}
    for case in cases.waves():
        features = inputs.log_mel(cases.at(case, 16_000))
        found[case] = {"log-mel": of_numbers({"frames": len(features), "mean": float(features.mean())})}
    return found


def probe() -> Cases:
    """Small trainings: a classifier of two codebooks, and a recogniser of log-mel features."""
    from bench.probes import inputs as reading
    from bench.probes import text
    from bench.probes.examples import Example
    from bench.probes.settings import Settings
    from bench.probes.training import Probe

    rng = np.random.default_rng(0)
    tokens = reading.Inputs("toy", 50.0, sizes=(8, 8), tables=(None, None))
    speech = reading.Inputs("speech", reading.MEL_RATE_HZ)
    kinds, words = [], []
    for index in range(12):
        first = 2 * (index % 3) + rng.integers(0, 2, 9 + index)
        tokens.tokens[str(index)] = np.stack([first, rng.integers(0, 8, 9 + index)], axis=1).astype(np.int32)
        kinds.append(Example(str(index), index % 3))
        speech.features[str(index)] = rng.standard_normal((30 + index, 6)).astype(np.float32)
        words.append(Example(str(index), "to be"[: 1 + index % 5]))
    small = Settings("tiny", hidden=8, layers=1, learning_rate=1e-2, batch=4, epochs=2, clip=1.0, embedding_dim=8)
    found: Cases = {}
    for task, given, examples, classes in (("si", tokens, kinds, 3), ("asr", speech, words, text.CLASSES)):
        probe = Probe(task, given, classes, replace(small, order="shuffled"), 0)
        with tempfile.TemporaryDirectory() as folder:
            probe.fit(examples[:8], examples[8:10], Path(folder) / "checkpoint.pt")
        outputs = {name: str(value) for name, value in probe.predict(examples[10:]).items()}
        sums = {name: float(value.double().sum()) for name, value in probe.network.state_dict().items()}
        found[task] = {"outputs": of_numbers(outputs), "weights": of_numbers(sums)}
    return found


def restoration() -> Cases:
    """Small heads of one and of two sources on two codebooks, trained for two epochs, and what they predict."""
    from bench.probes.examples import Example
    from bench.probes.restoration import pairs
    from bench.probes.restoration.settings import Settings
    from bench.probes.restoration.training import Head

    rng = np.random.default_rng(0)

    def some(frames: int) -> Codes:
        streams = (
            Tokens("tokens", 50.0, (8, 8), rng.integers(0, 8, (frames, 2))),
            Tokens("slow", 12.5, (4,), rng.integers(0, 4, (-(-frames // 4), 1))),
        )
        return Codes(streams, 320 * frames, 16_000)

    small = Settings("tiny", dim=8, attention_heads=2, ffn=16, layers=1, kernel=3, learning_rate=1e-2, batch=2, epochs=2,
                     clip=1.0, embedding_dim=8, order="shuffled", crop_s=0.2)  # fmt: skip
    examples = [Example(str(index), "") for index in range(6)]
    table = [rng.standard_normal((8, 3)).astype(np.float32)] * 2
    found: Cases = {}
    for sources, output in ((1, "linear"), (2, "table")):
        heard = {example.utterance: some(12 + index) for index, example in enumerate(examples)}
        said = {name: [some(12 + int(name)) for _ in range(sources)] for name in heard}
        made = pairs.from_codes("toy", heard, said, {"tokens": table})
        head = Head(made, replace(small, output=output), 0)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            head.fit(examples[:4], examples[4:5], Path(folder) / "checkpoint.pt")
        told = {
            f"{name} {source} {stream}": str(rows.tolist())
            for name, several in head.predict(examples[5:]).items()
            for source, streams in enumerate(several)
            for stream, rows in enumerate(streams)
        }
        sums = {name: float(value.double().sum()) for name, value in head.network.state_dict().items()}
        found[f"{sources} of {output}"] = {"tokens": of_numbers(told), "weights": of_numbers(sums)}
    return found


def synthesis() -> Cases:
    """Small decoders of two codebooks, trained for two epochs, and what they then write of one text."""
    import torch

    from bench.probes import inputs as reading
    from bench.probes import text
    from bench.probes.examples import Example
    from bench.probes.synthesis.sampling import generate, generators
    from bench.probes.synthesis.settings import Settings
    from bench.probes.synthesis.training import Trainer

    rng = np.random.default_rng(0)
    tokens = reading.Inputs("toy", 25.0, sizes=(8, 8), tables=(None, None))
    voices = reading.Inputs("voices", 0.0)
    examples = [Example(str(index), "to be"[: 2 + index]) for index in range(4)]
    for index, example in enumerate(examples):
        tokens.tokens[example.utterance] = rng.integers(0, 8, (5 + index, 2)).astype(np.int32)
        voices.features[example.utterance] = rng.standard_normal((1, 6)).astype(np.float32)
    small = Settings(
        "tiny", layers=1, width=16, feed_forward=32, heads=2, text_width=8, embedding_dim=8, learning_rate=1e-2, batch=2,
        epochs=2, clip=1.0, length="stop",
    )  # fmt: skip
    found: Cases = {}
    for pattern in ("flatten", "delay"):
        chosen = replace(small, pattern=pattern)
        made = Trainer(tokens, voices, chosen, 0)
        with tempfile.TemporaryDirectory() as folder:
            made.fit(examples, examples, Path(folder) / "checkpoint.pt")
        made.network.eval()
        voice, letters = torch.from_numpy(voices.features["0"][0]), torch.tensor(text.encode("to"))
        written = generate(made.network, voice, letters, chosen, generators(2, "toy"), 6)
        sums = {name: float(value.double().sum()) for name, value in made.network.state_dict().items()}
        told = {str(number): one.tolist() for number, one in enumerate(written)}
        found[pattern] = {"tokens": of_numbers(told), "weights": of_numbers(sums)}
    return found
