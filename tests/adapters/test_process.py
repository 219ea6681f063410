"""A codec in a process of its own: what it gives, what it tells, and every way in which it can fail."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import adapters, cards, environments, presence
from bench.adapters.process import ChildFailed, ForeignCodec
from bench.coding.codec import Converts, HasCodebooks, HasFeatures, decode, encode, roundtrip
from bench.engine.clock import Clock
from bench.errors import BadCard, BenchError
from bench.fetch import weights
from bench.foreign import frames

WORKER = Path(__file__).parent / "worker_fake.py"


def point(**settings: Any) -> cards.Point:
    """An operating point whose codec runs `worker_fake.py` in this very Python."""
    return cards.Point(
        family="fake", point="default", adapter="process", kind="neural", sample_rate=8000,
        settings={"worker": str(WORKER), "limit_s": 20, **settings}, bitrate_kbps=None, streams=(), weights={},
        interpreter=sys.executable,
    )  # fmt: skip


def load(**settings: Any) -> Any:
    return adapters.load(point(**settings), weights.Weights("random"))


@pytest.fixture(scope="module")
def codec() -> Iterator[Any]:
    made = load()
    yield made
    made.close()


def sound(first: float = 0.0, length: int = 400) -> NDArray[np.float32]:
    wave = np.sin(np.arange(length) / 7).astype(np.float32) * 0.5
    wave[0] = first / 100
    return wave


def test_waves_and_codes_go_there_and_back(codec: Any) -> None:
    waves = [sound(), sound(length=7), sound(length=400)[::-1].copy()]
    codes = encode(codec, waves)
    assert [message.num_samples for message in codes] == [400, 8, 400]
    for wave, decoded in zip(waves, decode(codec, codes, [len(wave) for wave in waves]), strict=True):
        np.testing.assert_allclose(decoded, wave, atol=0.5 / 127 + 1e-6)
    alone = [encode(codec, [wave])[0].sha256 for wave in waves]
    assert [message.sha256 for message in codes] == alone
    assert encode(codec, []) == [] and codec.decode([]) == []


def test_a_long_wave_fills_no_pipe(codec: Any) -> None:
    """Far more than a pipe holds, in both directions at once."""
    wave = np.tile(sound(), 5000)
    np.testing.assert_allclose(roundtrip(codec, wave)[1], wave, atol=0.5 / 127 + 1e-6)


def test_what_the_child_tells_of_itself(codec: Any) -> None:
    assert (codec.sample_rate, codec.frame, codec.min_samples, codec.delay, codec.output_rate) == (8000, 4, 1, 0, 8000)
    assert codec.report["versions"]["numpy"] == np.__version__
    assert codec.report["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert len(codec.report["code_sha256"]) == 64
    before = dict(codec.resources)
    encode(codec, [sound(7)])
    assert 0.05 < codec.resources["cpu_s"] - before["cpu_s"] < 20
    assert codec.resources["peak_bytes"] > 10 * 2**20
    # The engine's clock counts what the child spent, which this process cannot see.
    _, seconds = Clock("cpu").time(lambda: encode(codec, [sound(7)]))
    assert seconds > 0.05


def test_show_tells_what_the_process_spends() -> None:
    from bench.cli import show

    for settings in ({}, {"converts": True}):
        told = show.process_facts(load(**settings))
        assert float(told["peak memory"].split()[0]) > 10 and told["versions"].startswith(f"numpy {np.__version__}, python")
        assert " to load, " in told["CPU seconds"] and len(told["code"]) == 16
    assert show.network_facts(point(), "random").keys() == told.keys()


def test_powers_are_those_of_the_worker(codec: Any) -> None:
    assert isinstance(codec, HasFeatures) and isinstance(codec, HasCodebooks) and not isinstance(codec, Converts)
    wave = sound()
    np.testing.assert_array_equal(codec.features(wave), wave[:, None] * np.array([1, 2], np.float32))
    np.testing.assert_allclose(codec.codebooks()["samples"][0][:, 0], (np.arange(256) - 128) / 127, rtol=1e-6)
    converting = load(converts=True)
    assert isinstance(converting, Converts)
    np.testing.assert_array_equal(converting.convert(wave, [wave, wave]), 2 * wave)
    converting.close()


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (1, r"it ended with code 7\. Its standard error ends: .*the reason is this"),
        (4, "it was killed by signal 9"),
        (5, "it wrote to its standard output what is no answer"),
        (6, None),
    ],
)
def test_a_child_that_fails_fails_alone(codec: Any, first: float, said: str | None) -> None:
    good = encode(codec, [sound()])[0].sha256
    if said is None:
        assert encode(codec, [sound(first)])[0].tokens[0].indices.shape == (3, 1)
    else:
        with pytest.raises(ChildFailed, match=said):
            encode(codec, [sound(first)])
    assert encode(codec, [sound()])[0].sha256 == good, "the next request has a new child"


def test_the_engine_counts_the_failure_of_one_utterance(codec: Any, tmp_path: Path) -> None:
    import soundfile

    from bench.engine.producers import make_each
    from bench.engine.producers.resynthesis import Resynthesis
    from bench.speech import Utterance

    items = []
    for number, first in enumerate((0, 1, 0)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, sound(first), 8000, subtype="FLOAT")
        items.append(Utterance(str(number), path, "speaker"))
    made = make_each(Resynthesis(), items, codec, Clock("cpu"))
    assert [isinstance(one, Exception) for one in made] == [False, True, False]
    assert isinstance(made[1], ChildFailed) and made[1].kind == "codec_error" and "the reason is this" in str(made[1])


def test_rows_tell_what_the_process_spends(codec: Any, tmp_path: Path) -> None:
    """Its CPU seconds and memory stand in the record, as facts: of a run in a batch as of one alone; no other codec has them."""
    import soundfile

    from bench.adapters.identity import load as identity
    from bench.columns import every_column
    from bench.engine.producers import make_each
    from bench.engine.producers.resynthesis import Resynthesis
    from bench.results.rows import _engine_rows
    from bench.speech import Utterance

    items = []
    for number, (first, length) in enumerate(((7, 8000), (0, 24000))):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, sound(first, length), 8000, subtype="FLOAT")
        items.append(Utterance(str(number), path, "speaker"))
    before = codec.resources["cpu_s"]
    both: list[Any] = make_each(Resynthesis(), items, codec, Clock("cpu"))
    spent = codec.resources["cpu_s"] - before
    told = [{row["column"]: row for row in _engine_rows({}, one[""], ("", ""))} for one in both]
    for name in ("process_cpu", "process_peak"):
        assert every_column()[name].role == "fact"
    assert spent > 0.05
    assert sum(rows["process_cpu"]["num"] for rows in told) == pytest.approx(spent)
    assert [rows["process_cpu"]["den"] for rows in told] == [1.0, 3.0]
    assert told[0]["process_cpu"]["value"] == pytest.approx(spent / 4)
    assert {rows["process_peak"]["value"] for rows in told} == {codec.resources["peak_bytes"] / 2**20}
    ours: Any = make_each(Resynthesis(), items, identity(cards.resolve("identity"), weights.Weights("none"), "cpu"), Clock("cpu"))
    assert "facts" not in ours[0][""]


def test_an_error_of_the_codec_is_told_and_the_child_lives(codec: Any) -> None:
    process = codec._child.process.pid
    with pytest.raises(ChildFailed, match="fake: ValueError: this sound is not liked"):
        encode(codec, [sound(3)])
    encode(codec, [sound()])
    assert codec._child.process.pid == process


def test_a_child_that_hangs_is_ended() -> None:
    codec = load(limit_s=1.5)
    with pytest.raises(ChildFailed, match=r"it gave no answer within 1\.5 s"):
        encode(codec, [sound(2)])
    encode(codec, [sound()])
    codec.close()


def test_a_child_that_cannot_load_is_told(tmp_path: Path) -> None:
    for fault, said in (("load", "RuntimeError: there is no such model"), ("exit", "ended with code 3.*goodbye")):
        with pytest.raises(ChildFailed, match=said):
            load(fault=fault)
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_package\n")
    with pytest.raises(ChildFailed, match="ModuleNotFoundError: No module named 'no_such_package'"):
        load(worker=str(broken))
    loud = tmp_path / "loud"
    loud.write_text(f'#!/bin/sh\necho "a greeting of the shell"\nexec {sys.executable} "$@"\n')
    loud.chmod(0o755)
    with pytest.raises(ChildFailed, match=r"standard output what is no answer.*a greeting"):
        adapters.load(dataclasses.replace(point(), interpreter=str(loud)), weights.Weights("random"))


def test_answers_of_another_shape_are_refused(codec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [good] = encode(codec, [sound()])
    data, other = good.to_bytes(), encode(codec, [sound(length=8)])[0].to_bytes()
    for lengths, payload, said in (
        ([len(data)] * 2, data * 2, "for 1 utterances"),
        ([len(data)], data[:-1], "for 1 utterances"),
        ([len(data) - 1], data[:-1], "codes that are none"),
        ([len(other)], other, "codes of 8 samples at 8000 Hz for 400 at 8000"),
    ):
        answer = ({"lengths": lengths, "cpu_s": 0, "peak_bytes": 0}, payload)
        monkeypatch.setattr(type(codec._child), "ask", lambda *_, answer=answer: answer)
        with pytest.raises(ChildFailed, match=said):
            encode(codec, [sound()])
        monkeypatch.undo()


def test_frames() -> None:
    import io

    message = frames.pack({"a": 1}, b"xyz")
    stream = io.BytesIO(message + message)
    assert frames.read(stream) == ({"a": 1}, b"xyz") and frames.read(stream) == ({"a": 1}, b"xyz")
    assert frames.read(stream) is None
    for bad in (message[:5], message[:-1], b"hello, this is text that is long enough"):
        with pytest.raises(frames.BadFrame):
            frames.read(io.BytesIO(bad))
    with pytest.raises(frames.BadFrame, match="too long"):
        frames.sizes(frames.MAGIC + b"\xff" * 12)


def test_cards_of_codecs_with_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = cards.resolve("encodec-package@1.5")
    assert named.needs_environment and presence.presence(named).state == presence.ENVIRONMENT
    with pytest.raises(BenchError, match="bench env make encodec-package"):
        adapters.load(named, weights.Weights("random"))
    with pytest.raises(BenchError, match="bench env make encodec-package"):
        environments.identity(named)
    with pytest.raises(BadCard, match="setting 'worker' is missing"):
        environments.worker(dataclasses.replace(named, settings={}))
    with pytest.raises(BadCard, match=r"no worker file .*nobody"):
        environments.worker(dataclasses.replace(named, settings={"worker": "nobody"}))
    with pytest.raises(BenchError, match="names no requirements"):
        environments.make(point())
    with pytest.raises(BenchError, match="interpreter '/no/python' is not there"):
        environments.python(dataclasses.replace(point(), interpreter="/no/python"))


def test_another_environment_or_worker_is_another_identity(tmp_path: Path) -> None:
    first = environments.identity(point())
    assert first == environments.identity(point()) and len(first) == 64
    changed = tmp_path / "worker_fake.py"
    changed.write_text(WORKER.read_text() + "\n# more\n")
    assert environments.identity(point(worker=str(changed))) != first


def test_an_environment_is_made_locked_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an index: an environment whose packages are this Python's. Then one that cannot be had leaves nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environments, "_install", lambda base, place, _: environments._run(
        [base, "-m", "venv", "--without-pip", "--system-site-packages", str(place)], "cannot be made"))  # fmt: skip
    wanted = dataclasses.replace(point(), requirements=("nothing==1",), interpreter="")
    said: list[str] = []
    place = environments.make(wanted, said.append)
    assert (place / "lock.txt").is_file() and "packages" in said[-1] and environments.here(wanted)
    environments.make(wanted, said.append)
    assert said[-1].endswith("GB)") and "is there" in said[-1]
    assert environments.remove(wanted) and not environments.remove(wanted) and not environments.here(wanted)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(environments.shutil, "which", lambda _: None)
    with pytest.raises(BenchError, match=r"cannot be filled: ERROR"):
        environments.make(dataclasses.replace(wanted, requirements=("no-such-package-at-all==1",)), said.append)
    assert not environments.folder(wanted).exists()


def own_environment(name: str) -> pytest.MarkDecorator:
    family = name.partition("@")[0]
    return pytest.mark.skipif(not environments.here(cards.resolve(name)), reason=f"needs: bench env make {family}")


def same_codes_and_waves(ours: Any, theirs: Any, waves: list[NDArray[np.float32]]) -> None:
    """Equal codes, which are not all the same; from these, waves within rounding; the same tables."""
    here, there = encode(ours, waves), encode(theirs, waves)
    for one, other in zip(here, there, strict=True):
        assert len(np.unique(one.tokens[0].indices)) > 10
        np.testing.assert_array_equal(one.tokens[0].indices, other.tokens[0].indices)
    lengths = [len(wave) for wave in waves]
    for one, other in zip(decode(ours, here, lengths), decode(theirs, here, lengths), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5 * float(np.abs(one).max()))
    np.testing.assert_array_equal(ours.codebooks()["codes"][1], theirs.codebooks()["codes"][1])
    theirs.close()


@own_environment("encodec-package@1.5")
def test_encodec_in_its_own_environment_equals_the_adapter_in_this_one(tmp_path: Path) -> None:
    """The same random weights under both names."""
    import torch

    from tests.adapters.conftest import voiced_bursts

    ours: Any = adapters.load(cards.resolve("encodec@1.5"), weights.Weights("random", seed=5))
    waves = [voiced_bursts(24000, seconds, seed) for seconds, seed in ((0.7, 1), (1.3, 2))]
    with torch.no_grad():
        # Tables around the encoder's own outputs: a random network's would always give the same entry.
        latent = torch.from_numpy(ours.features(waves[1][: 97 * 320]))
        torch.manual_seed(6)
        for layer in ours.network.quantizer.layers[:2]:
            layer.codebook.embed.copy_(latent.mean(0) + latent.std(0) * torch.randn_like(layer.codebook.embed))
            latent = latent - latent.mean(0)
    state = {published(key): value for key, value in ours.network.state_dict().items()}
    torch.save(state, tmp_path / "encodec.th")
    named = cards.resolve("encodec-package@1.5")
    theirs: Any = adapters.load(named, weights.resolve(named, path=tmp_path / "encodec.th"))
    assert isinstance(theirs, ForeignCodec) and theirs.report["versions"]["encodec"] == "0.1.1"
    same_codes_and_waves(ours, theirs, waves)


@own_environment("dac-package@1")
def test_dac_in_its_own_environment_equals_the_adapter_in_this_one(tmp_path: Path) -> None:
    """The same random weights, convolutions normalised by weight in the package."""
    import torch

    from tests.adapters.conftest import voiced_bursts

    ours: Any = adapters.load(cards.resolve("dac@1"), weights.Weights("random", seed=5))
    state: dict[str, torch.Tensor] = {}
    for key, value in ours.network.state_dict().items():
        name = published_dac(key)
        if name.endswith(".weight") and ".codebook." not in name:
            state[name + "_v"], state[name + "_g"] = value, value.flatten(1).norm(dim=1)[:, None, None]
        else:
            state[name] = value
    torch.save({"state_dict": state}, tmp_path / "dac.pth")
    named = cards.resolve("dac-package@1")
    theirs: Any = adapters.load(named, weights.resolve(named, path=tmp_path / "dac.pth"))
    assert isinstance(theirs, ForeignCodec) and theirs.report["versions"]["descript-audio-codec"] == "1.0.0"
    same_codes_and_waves(ours, theirs, [voiced_bursts(16000, seconds, seed) for seconds, seed in ((0.7, 1), (1.3, 2))])


def published_dac(name: str) -> str:
    """A tensor's name in `transformers`' DAC -> in the package's."""
    import re

    if name.startswith("quantizer."):
        return name
    half, _, rest = name.partition(".")
    stack, first = ("block", 0) if half == "encoder" else ("model", 1)
    inner = {"snake1": "0", "conv1": "1", "snake2": "2", "conv2": "3"}
    whole = re.fullmatch(r"(conv1|snake1|conv2)\.(\w+)", rest)
    if whole:
        return f"{half}.{stack}.{({'conv1': 0, 'snake1': 5, 'conv2': 6})[whole[1]]}.{whole[2]}"
    block, part, tail = re.fullmatch(r"block\.(\d+)\.(\w+)\.(.+)", rest).groups()  # type: ignore[union-attr]
    place = f"{half}.{stack}.{int(block) + 1}.block"
    if part.startswith("res_unit"):
        layer, _, leaf = tail.partition(".")
        return f"{place}.{int(part[-1]) - 1 + 2 * first}.block.{inner[layer]}.{leaf}"
    return f"{place}.{({'snake1': 3, 'conv1': 4} if half == 'encoder' else {'snake1': 0, 'conv_t1': 1})[part]}.{tail}"


def published(name: str) -> str:
    """A tensor's name in `transformers`' EnCodec -> in the package's."""
    import re

    name = re.sub(r"\.parametrizations\.weight\.original([01])$", lambda m: f".weight_{'gv'[int(m[1])]}", name)
    name = re.sub(r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook.", name)
    name = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", name)
    upward = r"^decoder\.model\.(3|6|9|12)\.conv\."
    return re.sub(upward, r"decoder.model.\1.convtr.convtr.", name) if re.match(upward, name) else re.sub(
        r"\.conv\.(weight|weight_g|weight_v|bias)$", r".conv.conv.\1", name)  # fmt: skip
