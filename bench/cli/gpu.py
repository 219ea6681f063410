"""`bench doctor --gpu`: does a GPU compute what the CPU computes, and how fast? Ends in a report, a verdict and an exit code.

Codecs and metrics with a network run on both; a probe is trained on both; a small resynthesis runs with both lanes. What
has no weights here runs with random ones of its true shapes, and says so. Whisper small then has no tokenizer either: the
features of its encoder and its greedy ids are compared.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import adapters, cards, data, metrics, provenance, writing
from bench import device as devices
from bench.cards import Point
from bench.coding import codec
from bench.engine import systems
from bench.engine.clock import Clock
from bench.engine.plan import Plan
from bench.engine.runner import Runner
from bench.errors import BenchError
from bench.fetch import weights
from bench.metrics import Metric, MetricFailure, Signal
from bench.presence import ENVIRONMENT, PACKAGE, presence
from bench.results import rows as row_files
from bench.store import Store
from bench.tasks import options

TOKENS = 0.999
"""Share of tokens that must be equal: sums in another order bring a latent across a border now and then."""
WAVES = 1e-3
"""Largest difference of waves decoded from the same codes, as a share of the peak."""
SCORES = 1e-3
"""Largest difference of scores and embeddings, as a share of the larger of 1 and the CPU's."""
LOSSES = 1e-3
"""Largest difference of a probe's first losses, as a share of the CPU's."""
SIZES = (4, 16, 64)
"""How many times the utterances are in the growing batches whose speed is measured."""
FOLDER = Path("results") / "gpu"
COLUMNS = ("stoi", "distillmos", "sim_resemblyzer")
"""Of the small resynthesis: metrics with a network and without, whose weights come with packages."""


@dataclass(frozen=True)
class Check:
    """One comparison. state: ok, bad or skipped; found: its figures; speed: cells of the throughput table."""

    what: str
    state: str
    found: str
    speed: dict[str, str] = field(default_factory=dict)


def checks(
    where: str, speech: Sequence[Any], codecs: Sequence[str] | None = None, names: Sequence[str] | None = None
) -> Iterator[Check]:
    """Everything on the device `where` against the CPU. speech: utterances; codecs, names: None for all with a network."""
    devices.full_precision()
    for point in _points(codecs):
        yield _told(f"codec {point.name}", lambda point=point: _codec(point, where, speech))  # type: ignore[misc]
    for metric in sorted((m for m in metrics.every() if m.device), key=lambda m: m.name):
        if names is None or metric.name in names:
            yield _told(f"metric {metric.name}", lambda metric=metric: _metric(metric, where, speech))  # type: ignore[misc]
    yield _told("probe", lambda: _probe(where))
    yield _told("resynthesis with two lanes", lambda: _resynthesis(where, speech))


def _told(what: str, work: Callable[[], Check]) -> Check:
    """What `work` finds; a fault of one check leaves the others theirs."""
    try:
        return work()
    except BenchError as error:
        return Check(what, "skipped", str(error))
    except Exception as error:
        return Check(what, "bad", f"{type(error).__name__}: {error}".splitlines()[0])


def _points(names: Sequence[str] | None) -> list[Point]:
    """One point of every family that has a network and can run here, with weights if any point has them."""
    if names is not None:
        return [cards.resolve(name) for name in names]
    found = []
    for card in cards.readable()[0]:
        points = [p for p in card.points.values() if p.needs_weights and presence(p).state not in (ENVIRONMENT, PACKAGE)]
        points.sort(key=lambda p: not weights.available(p, "nano"))
        found += points[:1]
    return found


def _codec(point: Point, where: str, speech: Sequence[Any]) -> Check:
    kinds = [kind for kind in ("official", "nano") if weights.available(point, kind)]
    chosen = weights.resolve(point, kinds[0] if kinds else "random")
    cpu, other = adapters.load(point, chosen, "cpu"), adapters.load(point, chosen, where)
    waves = [item.read(cpu.sample_rate)[0] for item in speech]
    wanted, found = codec.encode(cpu, waves), codec.encode(other, waves)
    same = [np.mean(_tokens(one) == _tokens(two)) for one, two in zip(wanted, found, strict=True)]
    lengths = [len(wave) for wave in waves]
    pairs = list(zip(codec.decode(cpu, wanted, lengths), codec.decode(other, wanted, lengths), strict=True))
    worst = max(float(np.abs(one - two).max()) / max(1e-3, float(np.abs(one).max())) for one, two in pairs)
    equal = float(np.mean(same))
    state = "ok" if equal >= TOKENS and worst <= WAVES else "bad"
    told = f"{chosen.label} weights; tokens equal {equal:.2%} (at least {TOKENS:.1%}), "
    told += f"waves within {worst:.1e} (at most {WAVES:g})"
    return Check(f"codec {point.name}", state, told, _codec_speed(other, where, waves))


def _tokens(codes: Any) -> np.ndarray:
    return np.concatenate([part.indices.reshape(-1) for part in codes.tokens])


def _codec_speed(loaded: Any, where: str, waves: Sequence[np.ndarray]) -> dict[str, str]:
    """Audio seconds per second at batch 1 and at the best of growing batches; most memory."""
    seconds = sum(map(len, waves)) / loaded.sample_rate
    clock, best = Clock(where), {"encode": (0.0, 1), "decode": (0.0, 1)}
    sizes = [1, *(SIZES if loaded.together else ())]
    speeds: dict[str, str] = {}
    _reset(where)
    for size in sizes:
        some = list(waves) * size if size > 1 else list(waves)
        groups = [some] if size > 1 else [[wave] for wave in some]
        try:
            sent, encode_s = clock.time(lambda groups=groups: [codec.encode(loaded, group) for group in groups])  # type: ignore[misc]
            _, decode_s = clock.time(lambda sent=sent: [codec.decode_whole(loaded, one) for one in sent])  # type: ignore[misc]
        except Exception as error:
            if not isinstance(error, MemoryError) and "out of memory" not in str(error).lower():
                raise
            devices.release()
            break
        for name, spent in (("encode", encode_s), ("decode", decode_s)):
            speed = seconds * max(1, size) / max(spent, 1e-9)
            if size == 1:
                speeds[f"{name}, batch 1"] = f"{speed:.1f}"
            best[name] = max(best[name], (speed, len(groups[0])))
    speeds |= {f"{name}, best batch": f"{speed:.1f} ({size})" for name, (speed, size) in best.items()}
    return speeds | {"memory, MiB": _memory(where)}


def _metric(metric: Metric, where: str, speech: Sequence[Any]) -> Check:
    if metric.place(where) != where:
        return Check(f"metric {metric.name}", "skipped", f"runs on the CPU: onnxruntime cannot use {where} here")
    if (absent := _absent(metric)) and (metric.network is None or metric.network.random is None):
        return Check(f"metric {metric.name}", "skipped", absent)
    with _random(metric.network, where) if absent else contextlib.nullcontext("its own weights") as ran:
        return _scored(metric, where, speech, ran)


def _absent(metric: Metric) -> str:
    """Why the metric's weights cannot be had here; empty where they can."""
    try:
        metric.weights()
    except BenchError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _random(network: Any, where: str) -> Iterator[str]:
    """The network with one draw of random weights in both places, until the end."""
    import copy

    import torch

    from bench.metrics import networks

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = network.random()
    networks.keep(network, "cpu", made)
    # Deep copies, since a device's module takes over the tensors that it is moved with.
    networks.keep(network, where, copy.deepcopy(made).to(where))
    try:
        yield "random weights of the true shapes"
    finally:
        networks.drop(network)


def _scored(metric: Metric, where: str, speech: Sequence[Any], ran: str) -> Check:
    signals = [Signal(item.read_reference(metric.rate_hz)[0], metric.rate_hz, item.text, item.language) for item in speech]
    wanted = metric.analyse_on("cpu", signals)
    clock = Clock(where)
    metric.analyse_on(where, signals[:1], batched=True)
    _reset(where)
    found, spent = clock.time(lambda: metric.analyse_on(where, signals, batched=True))
    worst = max(_apart(one, two) for one, two in zip(wanted, found, strict=True))
    worst = max(worst, _encoded_apart(metric, where, signals))
    speed = sum(len(signal.wave) for signal in signals) / metric.rate_hz / max(spent, 1e-9)
    told = f"{ran}; scores within {worst:.1e} (at most {SCORES:g})"
    cells = {"scoring, best batch": f"{speed:.1f}", "memory, MiB": _memory(where)}
    return Check(f"metric {metric.name}", "ok" if worst <= SCORES else "bad", told, cells)


def _encoded_apart(metric: Metric, where: str, signals: Sequence[Signal]) -> float:
    """Of a network that writes texts of random weights: largest difference of what its encoder makes of the first signal."""
    import torch

    if metric.network is None or not hasattr(metric.network.on("cpu"), "encoded"):
        return 0.0
    row = torch.from_numpy(np.ascontiguousarray(metric.network.read(signals[0])[0]))[None]
    one, two = (metric.network.on(place).encoded(row.to(place)).cpu().numpy() for place in ("cpu", where))
    return _apart({"encoded": one}, {"encoded": two})


def _apart(one: Any, two: Any) -> float:
    """Largest difference of two analyses, infinite where one failed or another text was heard."""
    if isinstance(one, MetricFailure) or isinstance(two, MetricFailure):
        same = isinstance(one, MetricFailure) and isinstance(two, MetricFailure) and one.kind == two.kind
        return 0.0 if same else float("inf")
    worst = 0.0
    for key, value in one.items():
        if isinstance(value, str):
            worst = max(worst, 0.0 if value == two[key] else float("inf"))
            continue
        a, b = np.asarray(value, np.float64), np.asarray(two[key], np.float64)
        worst = max(worst, float(np.abs(a - b).max()) / max(1.0, float(np.abs(a).max())) if a.shape == b.shape else float("inf"))
    return worst


def _probe(where: str) -> Check:
    """A recogniser of random tokens: first losses on both, and whether both learn."""
    from bench.probes import text
    from bench.probes.examples import Example, batches
    from bench.probes.inputs import Inputs
    from bench.probes.settings import settings
    from bench.probes.training import Probe

    random = np.random.default_rng(0)
    made = Inputs("tokens", 50.0, sizes=(64,), tables=(None,))
    made.tokens = {f"u{n}": random.integers(0, 64, (40 + 5 * n, 1)).astype(np.int32) for n in range(8)}
    examples = [Example(name, "a b c") for name in made.tokens]
    chosen = settings("embedded", "asr").override({"dropout": 0.0})
    losses: dict[str, list[float]] = {}
    for place in ("cpu", where):
        probe = Probe("asr", made, text.CLASSES, chosen, 0, place)
        # Both places may be a CPU: each then overwrites the other with the same numbers.
        losses[place] = [probe.step(batch) for _ in range(5) for batch in batches(examples, made, 8, place)]
    worst = max(abs(a - b) / abs(a) for a, b in zip(losses["cpu"], losses[where], strict=True))
    learns = losses[where][-1] < losses[where][0]
    word = "it learns" if learns else "it does not learn"
    told = f"losses within {worst:.1e} (at most {LOSSES:g}) over {len(losses[where])} steps; {word}"
    return Check("probe", "ok" if worst <= LOSSES and learns else "bad", told)


def _resynthesis(where: str, speech: Sequence[Any]) -> Check:
    """The engine with both lanes against one lane on the CPU: the same rows, and how busy the device was."""
    from bench.speech import Dataset

    dataset = Dataset("gpu-check", tuple(speech))
    columns = tuple(name for name in COLUMNS if _here(name))
    found: dict[bool, np.ndarray] = {}
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        for lanes, place in ((False, "cpu"), (True, where)):
            chosen = tuple(systems.systems(["focalcodec@50"], device=place))
            plan = Plan("resynthesis", chosen, dataset, columns, device=place, two_lanes=lanes, always=())
            start = time.perf_counter()
            with Store(Path(folder) / f"{len(found)}.sqlite") as store, _Busy(lanes and devices.kind(where) == "cuda") as busy:
                runner = Runner(plan, store)
                runner.run()
                frame = row_files.frame(plan, store, runner.failures)
            spent = time.perf_counter() - start
            frame = frame[frame["column"].isin(columns)].sort_values(["column", "utterance"])
            found[lanes] = frame["value"].to_numpy(np.float64, na_value=np.nan)
    one, two = found[False], found[True]
    worst = float(np.abs(one - two).max()) if one.shape == two.shape and one.size else float("inf")
    good = np.isfinite(worst) and worst <= 0.05
    told = f"{one.size} scores within {worst:.1e} (at most 0.05: another token moves a score); {spent:.1f} s, device {busy}"
    return Check("resynthesis with two lanes", "ok" if good else "bad", told)


def _here(column: str) -> bool:
    try:
        return all(path.exists() for path in metrics.find(column).weights())
    except BenchError:
        return False


class _Busy:
    """Share of the time that the GPU computes, by nvidia-smi, five times a second."""

    def __init__(self, wanted: bool) -> None:
        self._smi = shutil.which("nvidia-smi") if wanted else None
        self._share: float | None = None

    def __enter__(self) -> _Busy:
        if self._smi:
            words = [self._smi, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
            self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._smi:
            self._process.terminate()
            seen = [int(word) for word in self._process.communicate()[0].split() if word.isdigit()]
            self._share = float(np.mean(seen)) if seen else None

    def __str__(self) -> str:
        return "utilisation not known" if self._share is None else f"busy {self._share:.0f} % of the time"


def _reset(where: str) -> None:
    if devices.kind(where) == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(where)


def _memory(where: str) -> str:
    if devices.kind(where) != "cuda":
        return "-"
    import torch

    return f"{torch.cuda.max_memory_allocated(where) / 2**20:.0f}"


def report(card: str, found: Sequence[Check]) -> str:
    """The report as Markdown; its last line is the verdict."""
    names = list(dict.fromkeys(name for check in found for name in check.speed))
    lines = [f"# {card}", "", f"torch {provenance.package_version('torch')}, CPU {provenance.cpu_name()}, commit "
             f"{provenance.git_commit()}; float32 products: {devices.PRECISION}.", "", "## Equal to the CPU", "",
             "| check | state | found |", "|---|---|---|"]  # fmt: skip
    lines += [f"| {check.what} | {check.state} | {check.found.replace('|', '/')} |" for check in found]
    lines += ["", "## Throughput", "", "Audio seconds per second; in brackets the utterances in a batch.", "",
              f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]  # fmt: skip
    lines += [f"| {c.what} | {' | '.join(c.speed.get(n, '') for n in names)} |" for c in found if c.speed]
    return "\n".join([*lines, "", verdict(found), ""])


def verdict(found: Sequence[Check]) -> str:
    """One line: whether the device may be used, and what was not checked."""
    count = {state: sum(check.state == state for check in found) for state in ("ok", "bad", "skipped")}
    word = "The device does not compute what the CPU computes" if count["bad"] else "The device computes what the CPU computes"
    failed = "; ".join(check.what for check in found if check.state == "bad")
    bad = f"{count['bad']} failed{f' ({failed})' if failed else ''}"
    return f"{word}: {count['ok']} checks passed, {bad}, {count['skipped']} could not be made here."


def run(wanted: str = "cuda", folder: Path = FOLDER, *, count: int = 8, **only: Any) -> int:
    """Check `wanted`, write FOLDER/<card>.md, tell the verdict; 0 when nothing failed. Raises UnknownName, NoDevice."""
    import torch

    asked = options.device(wanted, "", "nothing was checked: run this where nvidia-smi shows that card")
    where = "cuda:0" if asked == "cuda" else asked
    writing.check_folder(folder, "run it where that folder can be written")
    card = torch.cuda.get_device_name(where) if where.startswith("cuda") else f"CPU {provenance.cpu_name()}"
    found: list[Check] = []
    for check in checks(where, data.load("embedded").limit(count).utterances, **only):
        print(f"[{check.state:^7}] {check.what}: {check.found}", flush=True)
        found.append(check)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{'-'.join(''.join(c if c.isalnum() else ' ' for c in card.lower()).split())}.md"
    path.write_text(report(card, found), encoding="utf-8")
    print(f"{verdict(found)}\nreport: {path}")
    return int(any(check.state == "bad" for check in found))
