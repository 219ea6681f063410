"""Trials of voice conversion: who is converted to whom, with which recording as enrolment, against what it is scored.

FocalCodec protocol (arXiv 2502.04465, section 4.3): for every sentence that several speakers read, in the order of the
speakers, each is converted to the next; the enrolment is the longest other recording of the target, the reference the
target's own recording of the sentence. FreeCodec protocol (arXiv 2412.01053): any source to one of six target voices, of
which one prompt is known; what is said is scored against the source, the voice against the prompt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from bench import data
from bench.errors import BenchError
from bench.speech import Dataset, Utterance
from bench.store import key_of

ARROW = "->"
TARGET, SOURCE, IMPOSTOR = "target", "source", "impostor"
"""Recordings of a trial: what is wanted, what was said, and the same words by a third speaker."""
PUBLISHED = "published:"
SOURCES, PROMPTS_PER_GENDER = 200, 3
# The prompts of the FreeCodec authors' demo: three women, three men of VCTK.
PROMPTS = ("p244_008", "p257_023", "p294_016", "p254_023", "p258_228", "p278_023")


@dataclass(frozen=True)
class Trial:
    """One conversion. target: the voice's recording that scores refer to; impostor: the same words (or any, where
    nobody else read them) by a third speaker."""

    id: str
    source: Utterance
    enrolment: Path
    target: Path
    speaker: str
    impostor: Path | None

    @property
    def utterance(self) -> Utterance:
        """The trial as what a codec hears (the source), whose voice it is to have, and what it is scored against."""
        said = self.source
        recordings = {TARGET: self.target, SOURCE: said.recording()}
        if self.impostor is not None:
            recordings[IMPOSTOR] = self.impostor
        return Utterance(
            self.id, said.path, self.speaker, said.text, said.language, licence=said.licence, reference=self.target,
            enrolment=(self.enrolment,), aligned=False, recordings=recordings,
        )  # fmt: skip


@dataclass(frozen=True)
class Trials:
    """A list of trials as a data set; `parallel`: the target's recording says what the source says."""

    dataset: Dataset
    trials: Mapping[str, Trial]
    parallel: bool


def make(source: str, protocol: str, seconds: Callable[[Path], float]) -> Trials:
    """The trials that `source` gives under `protocol` (focalcodec, freecodec).

    source: a data set; for freecodec also SOURCES->TARGETS, two of them; `published:PATH#vc` is a list of its own.
    seconds: duration of a recording.
    """
    if ARROW in source:
        left, right = (part.strip() for part in source.split(ARROW, 1))
        return one_to_any(data.load(left), data.load(right), seconds)
    if source.startswith(PUBLISHED):
        return of_published(data.load(source if "#" in source else f"{source}#vc"))
    dataset = data.load(source)
    if protocol == "freecodec":
        return one_to_any(dataset, dataset, seconds)
    return chain(dataset, seconds)


def chain(dataset: Dataset, seconds: Callable[[Path], float]) -> Trials:
    """Sentence by sentence, speaker i to speaker i + 1. Speakers of a single recording cannot be enrolled: left out."""
    own: dict[str, list[Utterance]] = defaultdict(list)
    for u in dataset:
        own[u.speaker].append(u)
    sentences: dict[str, list[Utterance]] = defaultdict(list)
    for u in sorted(dataset, key=lambda u: (u.speaker, u.id)):
        if u.extra.get("parallel", True) and len(own[u.speaker]) > 1:
            sentences[_sentence(u)].append(u)
    found = []
    for sentence in sorted(sentences):
        readers = sentences[sentence]
        for place, (source, target) in enumerate(pairwise(readers)):
            if source.speaker == target.speaker:
                continue
            others = [u.recording() for u in own[target.speaker] if u.id != target.id]
            third = [u for u in rotated(readers, place + 2) if u.speaker not in (source.speaker, target.speaker)]
            found.append(Trial(
                f"{source.id}_to_{target.speaker}", source, max(others, key=lambda path: (seconds(path), str(path))),
                target.recording(), target.speaker, third[0].path if third else None,
            ))  # fmt: skip
    if not found:
        raise BenchError(
            f"{dataset.name}: no sentence is read by two speakers who each have another recording; "
            "conversion needs such a set (embedded, vctk), or --protocol freecodec"
        )
    return _trials(dataset.name, dataset, found, parallel=True)


def rotated(items: Sequence[Utterance], shift: int) -> list[Utterance]:
    """`items` from place `shift` on, then those before it."""
    shift %= max(1, len(items))
    return [*items[shift:], *items[:shift]]


def _sentence(u: Utterance) -> str:
    return str(u.extra.get("sentence") or u.text or u.id)


def one_to_any(sources: Dataset, targets: Dataset, seconds: Callable[[Path], float]) -> Trials:
    """Up to 200 sources, chosen by a hash of their ids, in turn to the six prompts, never to their own speaker."""
    prompts = _prompts(targets, seconds)
    said = list(sources)
    if targets is sources:
        # Sentences of one's own, where there are enough: what everybody reads is easy.
        own = [u for u in sources if not u.extra.get("parallel", False)]
        said = own if len(own) > len(prompts) else said
        said = [u for u in said if u not in prompts]
    said = sorted(said, key=lambda u: key_of("conversion source", u.id))[:SOURCES]
    found = []
    for place, source in enumerate(said):
        others = [prompt for prompt in rotated(prompts, place) if prompt.speaker != source.speaker]
        prompt, *rest = others
        name = f"{source.id}_to_{prompt.id}"
        impostor = rest[0].path if rest else None
        found.append(Trial(name, source, prompt.recording(), prompt.recording(), prompt.speaker, impostor))
    name = f"{sources.name} to {len(prompts)} voices"
    if targets is not sources:
        name += f" of {targets.name}"
    return _trials(name, sources, found, parallel=False)


def _prompts(targets: Dataset, seconds: Callable[[Path], float]) -> list[Utterance]:
    """The demo's six prompts where they are there; else of three women and three men the longest recording each."""
    known = {u.id: u for u in targets}
    if all(name in known for name in PROMPTS):
        return [known[name] for name in PROMPTS]
    by_gender: dict[str, list[str]] = defaultdict(list)
    for speaker in sorted(targets.speakers, key=lambda name: key_of("target voice", name)):
        by_gender[next(str(u.gender) for u in targets if u.speaker == speaker)].append(speaker)
    chosen = [name for gender in ("female", "male") for name in by_gender[gender][:PROMPTS_PER_GENDER]]
    rest = [name for names in by_gender.values() for name in names if name not in chosen]
    chosen += rest[: 2 * PROMPTS_PER_GENDER - len(chosen)]
    if len(chosen) < 2:
        raise BenchError(f"{targets.name}: conversion needs at least two target speakers, it has {len(chosen)}")
    return [max((u for u in targets if u.speaker == name), key=lambda u: (seconds(u.recording()), u.id)) for name in chosen]


def of_published(dataset: Dataset) -> Trials:
    """The conversions of a folder: what is said is scored against the source, the voice against the prompt."""
    prompts = {u.extra["target_speaker"]: u.extra["target"] for u in dataset}
    found = []
    for u in dataset:
        target, speaker = u.extra["target"], u.extra["target_speaker"]
        third = [path for name, path in sorted(prompts.items()) if name not in (speaker, u.speaker)]
        found.append(Trial(u.id, u, target, target, speaker, third[0] if third else None))
    return _trials(dataset.name, dataset, found, parallel=False)


def _trials(name: str, like: Dataset, found: Sequence[Trial], *, parallel: bool) -> Trials:
    utterances = tuple(trial.utterance for trial in found)
    listed = replace(like, name=name, utterances=utterances, condition="clean")
    return Trials(listed, {trial.id: trial for trial in found}, parallel)
