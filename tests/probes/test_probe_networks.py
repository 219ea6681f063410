"""Padding changes nothing, codebooks start from the codec's tables, every protocol's network runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.coding.codes import Codes, Packets, Tokens, Vector
from bench.errors import BadCodes, UnknownName
from bench.probes import text
from bench.probes.inputs import Inputs, from_codes, has_tokens, log_mel, stretch
from bench.probes.networks import BiLSTM, Classifier, Front, Recogniser, statistics
from bench.probes.settings import PROTOCOLS, Settings, settings
from bench.probes.training import beam_search

TINY = Settings("tiny", hidden=6, embedding_dim=5)


def message(frames: int, seed: int, *, vector: bool = False) -> Codes:
    """Like FreeCodec: content at 50 Hz, prosody at an eighth of it, the speaker once."""
    rng = np.random.default_rng(seed)
    content = Tokens("content", 50.0, (16,), rng.integers(0, 16, (frames, 1)))
    prosody = Tokens("prosody", 6.25, (4,), rng.integers(0, 4, (-(-frames // 8), 1)))
    once = Vector("speaker", rng.normal(size=3)) if vector else Tokens("speaker", 0.0, (9, 9), [[1, 2]])
    return Codes((content, prosody, once), frames * 320, 16000)


@pytest.mark.parametrize("make", [Recogniser, Classifier])
@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("pooling", ["linear", "attention"])
def test_padded_batch_equals_single(make: type, vector: bool, pooling: str) -> None:
    inputs = from_codes("toy", {"a": message(23, 0, vector=vector), "b": message(9, 1, vector=vector)})
    torch.manual_seed(0)
    network = make(inputs, 7, replace(TINY, pooling=pooling)).eval()

    def run(names: list[str]) -> torch.Tensor:
        lengths = torch.tensor([inputs.length(name) for name in names])
        pad = torch.nn.utils.rnn.pad_sequence
        tokens = pad([torch.from_numpy(inputs.tokens[n]).long() for n in names], batch_first=True)
        features = pad([torch.from_numpy(inputs.features[n]) for n in names], batch_first=True) if vector else None
        out: torch.Tensor = network(tokens, features, lengths)
        return out

    both = run(["a", "b"])
    for row, name in enumerate(("a", "b")):
        alone = run([name])[0]
        padded = both[row, : len(alone)] if make is Recogniser else both[row]
        torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)


def test_bidirectional_lstm_equals_torch_on_packed_sequences() -> None:
    """The two-kernel form is torch's own bidirectional LSTM with the same weights."""
    torch.manual_seed(0)
    ours = BiLSTM(4, replace(TINY, layers=2, dropout=0.0)).eval()
    theirs = torch.nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True).eval()
    for layer in range(2):
        for suffix, part in (("", ours.forwards[layer]), ("_reverse", ours.backwards[layer])):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, f"{name}_l{layer}{suffix}").data.copy_(getattr(part, f"{name}_l0"))
    x, lengths = torch.randn(3, 11, 4), torch.tensor([11, 4, 1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    found = ours(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[row, :length], expected[row, :length], atol=1e-6, rtol=1e-5)


def test_statistics_of_true_frames() -> None:
    x = torch.tensor([[[1.0], [3.0], [99.0]], [[2.0], [2.0], [2.0]]])
    out = statistics(x, torch.tensor([2, 3]))
    torch.testing.assert_close(out, torch.tensor([[2.0, 1.0], [2.0, 1e-4]]), atol=1e-4, rtol=0)


def test_embeddings_start_from_the_codebooks() -> None:
    table = np.random.default_rng(0).normal(size=(16, 13)).astype(np.float32)
    codes = {"a": Codes((Tokens("tokens", 50.0, (16,), [[3], [5]]),), 640, 16000)}
    front = Front(from_codes("toy", codes, {"tokens": [table]}), TINY)
    assert front.width == 13
    out = front(torch.tensor([[[3], [5]]]), None)
    np.testing.assert_allclose(out[0].detach().numpy(), table[[3, 5]], atol=1e-6)
    assert front.books[0].weight.requires_grad


def test_linear_pooling_is_one_weight_per_codebook() -> None:
    """FocalCodec's pooling: codebooks of one width, one learned scalar each, no further layer."""
    codes = {"a": Codes((Tokens("codes", 50.0, (4, 4, 4), [[0, 1, 2]]),), 320, 16000)}
    front = Front(from_codes("toy", codes), TINY)
    names = [name for name, _ in front.named_parameters()]
    assert names == ["books.0.weight", "books.1.weight", "books.2.weight", "weights.weight"]
    assert front.weights.weight.shape == (1, 3)


def test_streams_are_held_in_time() -> None:
    inputs = from_codes("toy", {"a": message(20, 0)})
    tokens = inputs.tokens["a"]
    assert tokens.shape == (20, 4) and inputs.sizes == (16, 4, 9, 9)
    assert (tokens[:, 2:] == [1, 2]).all()
    prosody = message(20, 0).part("prosody").indices[:, 0]
    assert set(tokens[:7, 1]) == {prosody[0]}
    assert (stretch(prosody[:, None], 20)[-1] == prosody[-1]).all()


def test_vector_is_a_continuous_input() -> None:
    inputs = from_codes("toy", {"a": message(10, 0, vector=True)})
    assert inputs.features["a"].shape == (10, 3) and inputs.feature_dim == 3


def test_packets_are_no_tokens() -> None:
    packets = Codes((Packets("packets", 50.0, (b"ab", b"cd")),), 640, 16000)
    assert not has_tokens(packets)
    assert not has_tokens(Codes((packets.parts[0], Tokens("level", 0.0, (8,), [[1]])), 640, 16000))
    assert has_tokens(message(4, 0))
    with pytest.raises(BadCodes, match="no tokens"):
        from_codes("opus@6", {"a": packets})


def test_inputs_survive_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    table = np.ones((16, 3), np.float32)
    made = from_codes("toy", {"a": message(20, 0, vector=True), "b": message(3, 1, vector=True)}, {"content": [table]})
    made.save(tmp_path / "x.npz")
    read = Inputs.load(tmp_path / "x.npz")
    assert (read.name, read.rate_hz, read.sizes) == (made.name, made.rate_hz, made.sizes)
    for kind in ("tokens", "features"):
        for name, array in getattr(made, kind).items():
            np.testing.assert_array_equal(getattr(read, kind)[name], array)
    np.testing.assert_array_equal(read.tables[0], table)
    assert read.tables[1] is None


def test_log_mel_keeps_time_and_forgets_the_level() -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    mel = log_mel(wave)
    assert mel.shape == (51, 160)
    np.testing.assert_allclose(log_mel(wave * np.float32(0.5)), mel, atol=1e-3)


def test_ecapa_of_the_dasb_protocol() -> None:
    inputs = from_codes("toy", {"a": message(40, 0)})
    network = Classifier(inputs, 4, replace(settings("dasb", "ser"), width=16, embedding_dim=16, channels=24)).eval()
    out = network(torch.from_numpy(inputs.tokens["a"]).long()[None], None, torch.tensor([40]))
    assert out.shape == (1, 4)
    torch.testing.assert_close(out.exp().sum(), torch.tensor(1.0))


def test_beam_search_agrees_with_greedy_on_sure_scores() -> None:
    wanted = text.encode("a dog's")
    best = [0, *[part for index in wanted for part in (index, index, 0)]]
    scores = torch.full((2, len(best), text.CLASSES), -12.0)
    scores[:, range(len(best)), best] = -1e-4
    assert beam_search(scores, torch.tensor([len(best), 4]), 143) == ["a dog's", "a"]
    assert text.greedy(best) == "a dog's"


def test_text_normalisation() -> None:
    assert text.normalise("It's 42, O'Neill!") == "it's four two o'neill"
    assert text.normalise("well-known") == "well known"
    assert text.encode("az") == [3, 28] and text.CLASSES == 29
    assert text.greedy([3, 3, 0, 3, 1, 1, 28]) == "aa z"


def test_protocols() -> None:
    published = settings("focalcodec", "si")
    assert (published.learning_rate, published.betas, published.weight_decay) == (1e-4, (0.9, 0.98), 0.01)
    assert (published.batch, published.epochs, published.clip, published.hidden) == (16, 100, 0.01, 512)
    assert (published.anneal, published.improvement, published.patience) == (0.9, 0.0025, 1)
    assert settings("dasb", "asr").beam == 143 and settings("dasb", "ser").encoder == "ecapa"
    assert all(set(tasks) == {"asr", "si", "ser"} for tasks in PROTOCOLS.values())
    with pytest.raises(UnknownName, match="focalcodec"):
        settings("focalcodek", "si")
    with pytest.raises(UnknownName, match="epochs"):
        published.override({"epoch": 3})
