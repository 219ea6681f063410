"""What `bench list` and `bench show` print: cards, and everything that can be derived of an operating point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench import cards
from bench.cards import Card, Point
from bench.cli import scores
from bench.errors import BadCard, BenchError, UnknownName
from bench.fetch import weights
from bench.presence import presence
from bench.report.design import design
from bench.tasks import cards as task_cards

if TYPE_CHECKING:
    from bench.adapters.process import ForeignCodec
from bench.tasks import options


@dataclass(frozen=True)
class Listing:
    """What is listed, and the cards that could not be read."""

    text: str
    faults: Sequence[BadCard] = ()

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"broken: {fault}" for fault in self.faults)])


def listing(what: str) -> Listing:
    """Tables of codecs, tasks, metrics, data sets, or all of them. Imports no torch."""
    sections = {"codecs": _codecs, "tasks": _tasks, "metrics": _metrics, "data": _data}
    if what == "all":
        made = {name: make() for name, make in sections.items()}
        text = "\n\n".join(f"{name.upper()}\n{part.text}" for name, part in made.items())
        return Listing(text, [fault for part in made.values() for fault in part.faults])
    if what not in sections:
        raise UnknownName("listing", what, [*sections, "all"])
    return sections[what]()


def table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...]) -> str:
    """Plain aligned columns."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]]
    return "\n".join(lines)


def _codecs() -> Listing:
    found, faults = cards.readable()
    if not found and not faults:
        raise BenchError(f"{cards.CODECS}: no cards of codecs there; run in a checkout, or set BENCH_CODECS to its codecs/")
    rows = []
    for card in found:
        for point in card.points.values():
            rate = f"{point.bitrate_kbps:g}" if point.bitrate_kbps is not None else "-"
            rows.append((point.name, rate, _rate_khz(point), card.kind, str(presence(point)), card.title))
    return Listing(table(rows, ("codec", "kbps", "kHz", "kind", "here", "title")), faults)


def _rate_khz(point: Point) -> str:
    rates = dict.fromkeys((point.sample_rate, point.output_rate))
    return " to ".join(f"{rate / 1000:g}" for rate in rates)


def _tasks() -> Listing:
    found, faults = task_cards.readable()
    return Listing(table([(card.task, card.summary) for card in found], ("task", "what it does")), faults)


def _metrics() -> Listing:
    from bench import metrics

    arrows = {"higher": "up", "lower": "down", "neither": ""}
    rows = [
        (name, column.title, column.unit, arrows[column.better], metrics.find(name).version)
        for name, column in sorted(metrics.columns().items())
    ]
    return Listing(table(rows, ("column", "title", "unit", "better", "version")))


def _data() -> Listing:
    from bench import data

    return Listing(table([(name, data.summary(name)) for name in data.names()], ("data", "what it is")))


def show(name: str, want: str | None = None, measure: bool = False) -> str:
    """Everything known of an operating point, a whole family, a metric column or a task.

    measure: load the codec's network and count its parameters and multiply-adds, which takes seconds.
    """
    if name in task_cards.paths():
        card = task_cards.load(name)
        return f"{card.title}: {card.summary}\nprotocol: {card.protocol}\nmodule: {card.module}\ndata: {dict(card.data)}"
    family = name.partition("@")[0]
    if family not in cards.paths():
        return _show_metric(name)
    if "@" not in name and "default" not in cards.load(family).points and len(cards.load(family).points) > 1:
        return _show_family(cards.load(family))
    point = cards.resolve(name)
    known = "\n".join(f"{key:<26}{value}" for key, value in facts(point, want, measure))
    bases = dict.fromkeys((options.RESULTS, options.COMMITTED))
    return known + "\n" + scores.text(list(scores.ours(point, [base for base in bases if base.is_dir()])))


def _show_metric(name: str) -> str:
    from importlib import import_module

    from bench import metrics

    try:
        metric = metrics.find(name)
    except UnknownName:
        known = [*(p.name for p in cards.all_points()), *cards.paths(), *metrics.names(), *task_cards.paths()]
        raise UnknownName("codec, metric or task", name, known) from None
    module = metrics.module_of(metric)
    return f"{name} (version {metric.version}, module {module})\n\n{import_module(module).__doc__}"


def _show_family(card: Card) -> str:
    lines = [
        f"{card.title} ({card.family}): {card.summary}",
        f"paper {card.paper}",
        f"licence {card.licence}",
        "",
        "operating points:"
        if not card.precisions
        else f"operating points (weights in fewer bits: {', '.join(f'NAME+{one}' for one in card.precisions)}):",
    ]
    return "\n".join(
        [
            *lines,
            *(f"  {p.name:<24}{'' if p.bitrate_kbps is None else f'{p.bitrate_kbps:g} kbps'}" for p in card.points.values()),
        ]
    )


def facts(point: Point, want: str | None = None, measure: bool = False) -> Iterator[tuple[str, str]]:
    """(key, text) pairs: identity, rates derived from the streams, weights; with `measure` what the network itself measures."""
    card = point.card
    yield point.name, card.title
    yield "kind", f"{card.kind}{', causal' if card.causal else ''}"
    yield "summary", point.summary or card.summary
    yield "paper", card.paper or "-"
    yield "url", card.url or "-"
    yield "licence", card.licence
    yield "sample rate", f"{point.sample_rate} Hz"
    if point.output_rate != point.sample_rate:
        yield "output rate", f"{point.output_rate} Hz"
    yield "here", str(presence(point))
    yield from _rates(point)
    if point.latency_ms is not None:
        yield "latency", f"{point.latency_ms:g} ms algorithmic"
    if point.params_m is not None:
        yield "parameters", f"{point.params_m:g} M (official size)"
    if point.macs_g is not None:
        yield "MACs", f"{point.macs_g:g} G per second of audio (as reported)"
    for key, value in {**card.facts, **point.facts}.items():
        yield key.replace("_", " "), str(value)
    yield "settings", ", ".join(f"{key}={value}" for key, value in point.settings.items()) or "-"
    yield from _weights(point, want, measure)
    for entry in card.reported:
        if entry.point == point.point:
            printed = ", ".join(f"{column} {value:g}" for column, value in entry.scores.items())
            where = ", ".join(part for part in (entry.data, entry.condition, entry.line) if part)
            yield "reported", f"{printed}  ({where}; {entry.source}{'; ' + entry.note if entry.note else ''})"


def _rates(point: Point) -> Iterator[tuple[str, str]]:
    if point.bitrate_kbps is not None:
        yield "bitrate", f"{point.bitrate_kbps:g} kbps nominal"
    running, once, tokens = 0.0, 0.0, 0.0
    for stream in point.streams:
        sizes, bits, rate = stream.sizes, stream.frame_bits, stream.rate_hz
        running, once = (running + rate * bits, once) if rate else (running, once + bits)
        tokens += rate * len(sizes)
        books = " x ".join(dict.fromkeys(str(size) for size in sizes))
        count = f"{len(sizes)} x {books}" if sizes else "continuous"
        yield (
            f"stream {stream.name}",
            f"{f'{rate:g} Hz' if rate else 'once per utterance'}, {count}, {bits:g} bits a frame",
        )
    if point.streams:
        extra = f" + {once:g} bits per utterance" if once else ""
        yield "rate from streams", f"{running / 1000:g} kbps{extra}, {tokens:g} tokens/s"


def _weights(point: Point, want: str | None, measure: bool) -> Iterator[tuple[str, str]]:
    if not point.needs_weights:
        yield "weights", "none needed"
        return
    for kind, entry in point.weights.items():
        shipped = entry.get("file", ())
        shipped = shipped if isinstance(shipped, str) else ", ".join(shipped)
        where = shipped or entry.get("repo") or entry.get("url") or ", ".join(entry.get("urls", ()))
        state = "here" if weights.available(point, kind) else "not here"
        yield f"weights {kind}", f"{where}{'@' + entry['revision'] if 'revision' in entry else ''} ({state})"
        if entry.get("voices"):
            yield f"voices {kind}", f"part of the training speech is of {', '.join(entry['voices'])}"
        size = design(f"{point.name} [{kind}]").params_m
        if size is not None and kind != "official":
            yield f"parameters {kind}", f"{size:.3g} M (numbers in its files)"
    if measure and (
        want == "random"
        or ((want or weights.choose(point)) in weights.KINDS and weights.available(point, want or weights.choose(point)))
    ):
        kind = want or weights.choose(point)
        try:
            for key, value in network_facts(point, kind).items():
                yield f"{key} [{kind}]", value
        except BenchError as error:
            yield f"network [{kind}]", str(error)


def network_facts(point: Point, kind: str) -> Mapping[str, str]:
    """Parameters and multiply-adds of the network itself with these weights: loads the codec."""
    from bench import adapters
    from bench.adapters.process import ForeignCodec
    from bench.coding.codec import HasNetwork

    # Weights in fewer bits are as many: they are counted in float32.
    point = replace(point, settings={key: value for key, value in point.settings.items() if key != "precision"})
    codec = adapters.load(point, weights.resolve(point, kind), "cpu")
    if isinstance(codec, ForeignCodec):
        return process_facts(codec)
    if not isinstance(codec, HasNetwork):
        return {}
    networks = codec.networks()
    count = {name: sum(p.numel() for p in module.parameters()) for name, module in networks.items()}
    parts = ", ".join(f"{name} {number / 1e6:.2f} M" for name, number in count.items())
    made = {"parameters": f"{sum(count.values()) / 1e6:.2f} M ({parts})"}
    macs = multiply_adds(codec)
    ways = {"": "one by one", "equal": "utterances of equal length together", "all": "utterances of any length together"}
    made["batches on a device"] = ways[codec.together]
    return made | {"MACs": f"{macs / 1e9:.3f} G per second of audio (counted: matrix products, convolutions, attention)"}


def process_facts(codec: ForeignCodec, seconds: float = 1.0) -> Mapping[str, str]:
    """What a codec in a process of its own tells of itself, and spends on `seconds` of a tone, coded and decoded."""
    import numpy as np

    from bench.coding.codec import Converts, roundtrip

    before = float(codec.resources["cpu_s"])
    time = np.arange(round(codec.sample_rate * seconds)) / codec.sample_rate
    wave = (0.1 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    if isinstance(codec, Converts):
        codec.convert(wave, [wave])
    else:
        roundtrip(codec, wave)
    spent, peak = float(codec.resources["cpu_s"]) - before, codec.resources["peak_bytes"] / 2**20
    codec.close()
    return {
        "versions": ", ".join(f"{name} {version}" for name, version in codec.report["versions"].items()),
        "code": codec.report["code_sha256"][:16],
        "CPU seconds": f"{before:.1f} to load, {spent / seconds:.2f} per second of audio (told by its process)",
        "peak memory": f"{peak:.0f} MiB (told by its process)",
    }


def multiply_adds(codec: Any, seconds: float = 1.0) -> float:
    """Multiply-adds per second of audio of encode and decode, by torch's operator counter (1 MAC = 2 FLOP)."""
    import numpy as np
    from torch.utils.flop_counter import FlopCounterMode

    from bench.coding.codec import roundtrip

    wave = np.random.default_rng(0).normal(0, 0.05, round(codec.sample_rate * seconds)).astype(np.float32)
    with FlopCounterMode(display=False) as counter:
        roundtrip(codec, wave)
    return counter.get_total_flops() / 2 / seconds
