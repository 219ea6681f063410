"""The decoders of synthesis: tokens and speaker vectors of the training part, then one training for each system and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import definitions, device, metrics
from bench.coding.codes import Codes
from bench.engine import executors
from bench.engine.executors import Executor, ExecutorOptions, Needs
from bench.engine.keys import metric_key
from bench.engine.plan import Line
from bench.engine.runner import Runner
from bench.engine.systems import System
from bench.errors import BenchError
from bench.probes.division import Division
from bench.probes.inputs import Inputs
from bench.probes.synthesis import jobs, streams
from bench.probes.synthesis.jobs import Job, VoiceJob
from bench.probes.synthesis.settings import Settings
from bench.speech import Utterance
from bench.store import key_of
from bench.tasks import coded, trainings

FOLDER = "synthesis"
"""In the folder that every worker sees: decoders, and the state of trainings under way."""
_VOICES = 32
"""Recordings of one job for speaker vectors."""


@dataclass(frozen=True)
class Trained:
    """A decoder of one system and seed: `result` is what `bench.probes.synthesis.jobs.run` told."""

    system: System
    seed: int
    job: Job
    result: Mapping[str, Any]


Able = Sequence[tuple[Line, Mapping[str, str]]]
"""Lines that can be trained on, each with the keys of the coded records of its training and validation parts."""


def able(runner: Runner, division: Division) -> tuple[Able, list[str]]:
    """The lines whose training part is coded and holds tokens to write; why the others are left out (`coded.able`)."""
    needed = _needed(runner, division)
    return coded.able(runner.plan.lines, lambda line: _keys(runner, line, needed))


def _needed(runner: Runner, division: Division) -> list[Utterance]:
    return [u for u in runner.plan.dataset if u.id in {*division.train, *division.valid}]


def train(runner: Runner, lines: Able, division: Division, chosen: Settings, seeds: Sequence[int]) -> list[Trained]:
    """Every decoder of `lines` (see `able`); what is trained already, and still lies there, is only looked up."""
    plan, store = runner.plan, runner.store
    folder = executors.shared(plan.executor, store) / FOLDER
    needed = _needed(runner, division)
    voice = _voice_keys(runner, chosen.voice, needed)
    place = plan.device.split(":")[0]
    found: list[Trained] = []
    with trainings.scratch(plan, store) as scratch:
        heard = scratch / "voices.npz"
        for number, (line, keys) in enumerate(lines):
            about = (line.system.key, list(keys.values()), list(voice.values()), division.sha256, chosen.asdict())
            identity = definitions.get(jobs.DEFINITION).identity
            for seed in seeds:
                key = key_of("synthesis", *about, identity, seed, place)
                job = Job(scratch / f"{number}.npz", heard, division, chosen, seed, folder, key, plan.device)
                found.append(Trained(line.system, seed, job, store.get(key) or {}))
        due = [one for one in found if not _there(one)]
        if not due:
            return found
        for line, keys in lines:
            paths = {one.job.inputs for one in due if one.system.key == line.system.key}
            if paths:
                _inputs(runner, line, keys).save(paths.pop())
        away = not device.is_cpu(plan.device)
        workers = 0 if away else plan.workers
        with executors.make(plan.executor, ExecutorOptions(workers, device.all_of(plan.device) if away else ())) as executor:
            _voices(runner, executor, chosen.voice, needed, voice).save(heard)
            jobs_due = [one.job for one in due]
            results = trainings.run(jobs.run, jobs_due, plan, store, executor, label="synthesis decoders", stage="synthesis")
    return [Trained(one.system, one.seed, one.job, results.get(one.job.key, one.result)) for one in found]


def _there(one: Trained) -> bool:
    return bool(one.result) and jobs.sha256(one.job.weights) == one.result["weights_sha256"]


def _keys(runner: Runner, line: Line, needed: Sequence[Utterance]) -> dict[str, str]:
    """Keys of the coded records. Raises BenchError where one could not be coded, or holds no tokens to write."""
    keys = coded.keys(runner, line, needed)
    record = runner.store.get(keys[needed[0].id])
    if record is None or "codes" not in record:
        raise BenchError(f"{line.system.name}: its codes are not in the store; run with KEEP=audio or KEEP=codes")
    streams.check(line.system.name, Codes.from_bytes(record["codes"]))
    return keys


def _inputs(runner: Runner, line: Line, keys: Mapping[str, str]) -> Inputs:
    return streams.inputs(line.system.name, coded.codes(runner, keys), coded.tables(coded.loaded(line.system)))


def _voice_keys(runner: Runner, voice: str, needed: Sequence[Utterance]) -> dict[str, str]:
    of_metric = metric_key(metrics.find(voice), runner.store, runner.plan.device)
    return {u.id: key_of("speaker vector", of_metric, runner.schedule.keys.reference(u)) for u in needed}


def _voices(runner: Runner, executor: Executor, voice: str, needed: Sequence[Utterance], keys: Mapping[str, str]) -> Inputs:
    """Speaker vectors [1, D] of utterances, each computed once ever."""
    plan, store = runner.plan, runner.store
    there = store.has_many(list(keys.values()))
    missing = [u for u in needed if keys[u.id] not in there]
    needs: Needs = "cpu" if device.is_cpu(plan.device) else "gpu"
    pending: dict[Future[Any], VoiceJob] = {}
    for start in range(0, len(missing), _VOICES):
        job = VoiceJob(voice, tuple(missing[start : start + _VOICES]), plan.device)
        pending[executor.submit(jobs.voices, job, needs)] = job
    executor.flush()
    for future in as_completed(pending):
        for u, vector in zip(pending[future].utterances, future.result(), strict=True):
            store.put(keys[u.id], "voice", {"vector": vector})
    made = Inputs("voices", 0.0)
    made.features = {name: np.asarray(record["vector"], np.float32)[None] for name, record in coded.records(runner, keys)}
    return made
