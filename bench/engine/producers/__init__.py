"""Who makes the wave that is scored: a codec's resynthesis, a conversion, audio that somebody else decoded, a task's own network.

A producer is a small picklable value. It says what it needs of an utterance, which waves it gives by name, what these depend
on, and makes them. The engine keys, runs, stores and scores whatever it gives; a task of another package brings its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bench.batches import out_of_memory
from bench.coding.codec import OwnProcess
from bench.engine.clock import Clock
from bench.engine.records import Record
from bench.errors import BadAudio, in_words, is_interrupt
from bench.speech import Utterance

if TYPE_CHECKING:
    from bench.engine.keys import Keys
    from bench.engine.systems import System

Made = Mapping[str, Record]
"""Output name -> record. A producer of one wave calls it "" (see `Producer.outputs`)."""
NEEDS = ("audio", "text", "enrolment")


@dataclass(frozen=True)
class Producer(ABC):
    """What makes waves. Attributes are the contract.

    id, version: in the key of every wave; the version is raised when the arithmetic changes. needs: of "audio", "text",
    "enrolment", what an utterance must have. outputs: names of the waves. role: what rows call this use of a system.
    """

    role: str = ""

    id: ClassVar[str]
    version: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset({"audio"})
    outputs: ClassVar[tuple[str, ...]] = ("",)

    @abstractmethod
    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        """What the waves of `item` depend on besides the system: recordings (see `Keys`), texts, settings."""

    @abstractmethod
    def make(self, items: Sequence[Utterance], codec: Any, clock: Clock) -> list[Made]:
        """The waves of `items`, one mapping each with every name of `outputs`. May raise: the items are then tried alone."""

    def has_what_it_needs(self, item: Utterance) -> bool:
        """Whether `item` brings all of `needs`."""
        there = {"audio": item.path is not None, "text": item.text is not None, "enrolment": bool(item.enrolment)}
        return all(there[need] for need in self.needs)


def usual(system: System) -> Producer:
    """How `system` takes part in a table of resynthesis: through its codec, or as audio that was decoded elsewhere."""
    from bench.engine.producers.published import PublishedAudio
    from bench.engine.producers.resynthesis import Resynthesis

    if system.point.adapter == "published":
        return PublishedAudio(folder=str(system.point.settings["path"]), sample_rate=system.point.sample_rate)
    return Resynthesis()


def make_each(producer: Producer, items: Sequence[Utterance], codec: Any, clock: Clock) -> list[Made | Exception]:
    """`producer.make` over items, a failure in the place of what could not be made.

    Any fault but memory that ran out for several, which is raised, tries the items alone, so that the guilty one fails
    alone. A codec that asks to exit has failed.
    """
    before = codec.resources["cpu_s"] if isinstance(codec, OwnProcess) else 0.0
    try:
        made = producer.make(items, codec, clock)
        if len(made) == len(items):
            return [*(_with_process(made, codec, before) if isinstance(codec, OwnProcess) else made)]
        raise BadAudio(f"{len(made)} records came back for {len(items)} utterances")
    except BaseException as error:
        if is_interrupt(error):
            raise
        if len(items) == 1:
            return [_told(error)]
        if out_of_memory(error):
            raise
    return [one for item in items for one in make_each(producer, [item], codec, clock)]


def _with_process(made: Sequence[Made], codec: OwnProcess, before: float) -> list[Made]:
    """The records with what the codec's process spent on them, shared out by duration, and the most memory that it has held."""
    lasts = sum(record["seconds"] for one in made for record in one.values())
    rate = (codec.resources["cpu_s"] - before) / lasts if lasts else 0.0
    peak = {"value": codec.resources["peak_bytes"] / 2**20}

    def told(record: Record) -> Record:
        seconds = record["seconds"]
        process = {"process_cpu": {"value": rate, "num": rate * seconds, "den": seconds}, "process_peak": peak}
        return {**record, "facts": {**record.get("facts", {}), **process}}

    return [{name: told(record) for name, record in one.items()} for one in made]


def _told(error: BaseException) -> Exception:
    if isinstance(error, SystemExit):
        return RuntimeError(f"the codec asked to exit with code {error.code}")
    return error if isinstance(error, Exception) else RuntimeError(in_words(error))
