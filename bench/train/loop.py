"""The training loop of every recipe: generator and discriminators, averages, checkpoints, validation, stop on NaN.

Devices and processes are accelerate's business; the loop is the same on a laptop and under `accelerate launch`. Several
processes train on batches of their own and take the mean of their gradients.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.models.blocks.discriminators import adversarial_loss, discriminator_loss, feature_matching_loss
from bench.train import checkpoint
from bench.train.data import Batch, Prefetch
from bench.train.ema import MovingAverage, export
from bench.train.precision import faster
from bench.train.recipe import Recipe, build_discriminator, judged_part
from bench.train.schedule import Clock, Schedule
from bench.train.settings import RecipeCard, as_table

if TYPE_CHECKING:
    from accelerate import Accelerator


class Diverged(BenchError):
    """The loss is no number any more; the last good checkpoint is kept."""


WAVES = ("real", "fake", "unpaired")
"""What a recipe's forward returns beside losses."""
Validate = Callable[[Recipe], dict[str, float]]
Report = Callable[[dict[str, Any]], None]


@dataclass
class Trained:
    """What a run leaves: its records (one dict for each logged step or validation) and the folder they lie in."""

    history: list[dict[str, Any]]
    folder: Path
    steps: int
    seconds: float


class Loop:
    """One training run in `folder`: state.pt (checkpoint), log.jsonl, weights.safetensors (best by validation or last),
    discriminator.safetensors.

    recipe: the network with its losses. draw: batch number -> Batch. validate: called on the averaged weights.
    report: gets each record. Raises Diverged, CheckpointMismatch.
    """

    def __init__(
        self,
        card: RecipeCard,
        recipe: Recipe,
        draw: Callable[[int], Batch],
        folder: Path,
        validate: Validate | None = None,
        report: Report | None = None,
        data_sha256: str = "",
        accelerator: Accelerator | None = None,
    ) -> None:
        self.card, self.draw, self.folder = card, draw, folder
        self.validate, self.report, self.data_sha256 = validate, report, data_sha256
        if not (card.run.steps or card.run.minutes):
            raise BenchError("a run needs an end: set run.steps or run.minutes")
        self.accelerator = accelerator or _accelerator()
        if self.accelerator.num_processes > 1 and not card.run.steps:
            raise BenchError("several processes end together only after a number of steps: set run.steps")
        self.device = self.accelerator.device
        opt = card.optimiser
        self.recipe = recipe.to(self.device)
        self.judges = build_discriminator(card.discriminator)
        self.optimiser = _adam(recipe.groups(), opt.lr, card)
        self.judges_optimiser: torch.optim.Optimizer | None = None
        if self.judges is not None:
            self.judges = self.judges.to(self.device)
            self.judges_optimiser = _adam([{"params": list(self.judges.parameters())}], opt.discriminator_lr or opt.lr, card)
        self.average = MovingAverage(self.recipe, card.run.average) if card.run.average else None
        self.schedule = Schedule(opt)
        self.clock = Clock(card.run)
        self.precision: str = card.run.precision
        self.history: list[dict[str, Any]] = []
        self.best = -math.inf
        self.waited_s = 0.0

    @property
    def first(self) -> bool:
        """Whether this process, of those that train together, is the one that writes and tells."""
        return bool(self.accelerator.is_main_process)

    @property
    def checkpoint_path(self) -> Path:
        """Where the state of the run is kept."""
        return self.folder / "state.pt"

    def run(self, resume: bool = False) -> Trained:
        """Train to the end of the budget; with `resume` from the folder's checkpoint, if there is one."""
        if not self.first:
            return self._run(resume)
        with checkpoint.alone(self.folder):
            return self._run(resume)

    def _run(self, resume: bool) -> Trained:
        torch.manual_seed(self.card.run.seed + self.accelerator.process_index)
        if resume and self.checkpoint_path.is_file():
            self._restore()
        if self.precision == "auto":
            crop = self.card.discriminator.crop if self.card.discriminator else 0
            self.precision = self._agreed(faster(self.recipe, self.judges, self.draw(0), crop, self.device))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock = Clock(self.card.run, self.clock.step, self.clock.seconds)
        count, place = self.accelerator.num_processes, self.accelerator.process_index
        batches = Prefetch(lambda number: self.draw(number * count + place), self.clock.step)
        self._start_alike()
        saved = validated = time.monotonic()
        self.recipe.train()
        means = Means()
        mark, mark_step, self.waited_s = time.monotonic(), self.clock.step, 0.0
        ended = self.clock.done
        try:
            while not ended:
                before = time.monotonic()
                batch = batches.next()
                self.waited_s += time.monotonic() - before
                losses = self._step(batch)
                self.clock.step += 1
                means.add(losses)
                now = time.monotonic()
                # Read once: the step that is recorded as the last is the last.
                ended = self.clock.done
                if self.clock.step % self.card.run.log_every == 0 or self.clock.step == 1 or ended:
                    rate = (self.clock.step - mark_step) / max(now - mark, 1e-9)
                    self._log(means.take(), rate, self.waited_s / max(now - mark, 1e-9), batch)
                    mark, mark_step, self.waited_s = now, self.clock.step, 0.0
                every = self.card.run.validate_every_s
                if self.validate and every and now - validated >= every:
                    self._validate()
                    validated = mark = time.monotonic()
                    mark_step = self.clock.step
                if now - saved >= self.card.run.checkpoint_every_s:
                    self._save()
                    saved = time.monotonic()
        finally:
            batches.close()
        if self.validate:
            self._validate()
        else:
            self._export("weights")
        self._save()
        self._keep_judges()
        return Trained(self.history, self.folder, self.clock.step, self.clock.elapsed())

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        card, progress = self.card, self.clock.progress
        factor = self.schedule.scale(progress, self.clock.step)
        _set_rate(self.optimiser, card.optimiser.lr * factor)
        wave = torch.from_numpy(batch.waves).to(self.device)
        extra = {k: v.to(self.device) for k, v in self.recipe.extra(batch).items()}
        if batch.heard is not None:
            extra["heard"] = torch.from_numpy(batch.heard).to(self.device)
        with self._autocast():
            losses = self.recipe(wave, progress, extra)
            judge = card.discriminator if self.judges is not None and "fake" in losses else None
            if judge is not None and progress >= judge.start:
                losses.update(self._judge(losses["real"], losses["fake"], losses.get("unpaired"), factor))
        total = sum((v for k, v in losses.items() if k not in WAVES and not k.startswith("_")), torch.zeros(()))
        assert isinstance(total, Tensor)
        shown = {k: v.detach() for k, v in losses.items() if k not in WAVES}
        if not torch.isfinite(total):
            bad = [name for name, value in shown.items() if not torch.isfinite(value).all()]
            raise Diverged(self._where(f"loss {', '.join(bad) or 'total'} is not finite"))
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        self._share_gradients(self.recipe)
        norm = nn.utils.clip_grad_norm_(self.recipe.trainable(), card.optimiser.clip or 1e9)
        if not torch.isfinite(norm):
            raise Diverged(self._where("the gradient is not finite"))
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.recipe, self.clock.step)
        return {**shown, "_norm": norm}

    def _judge(self, real: Tensor, fake: Tensor, unpaired: Tensor | None, factor: float) -> dict[str, Tensor]:
        """One discriminator step, then what the generator pays. real, fake [B, T]; unpaired [B' <= B, T] or none."""
        settings, judges, optimiser = self.card.discriminator, self.judges, self.judges_optimiser
        assert settings is not None and judges is not None and optimiser is not None
        _set_rate(optimiser, (self.card.optimiser.discriminator_lr or self.card.optimiser.lr) * factor)
        pairs = len(real)
        if unpaired is not None:
            # At the level of the speech whose words they are.
            real, fake = torch.cat([real, real[: len(unpaired)]]), torch.cat([fake, unpaired])
        real, fake = judged_part(real.detach(), fake, settings.crop, settings.level)
        real = real[:pairs]
        said_real, said_fake = judges(torch.cat([real, fake.detach()])).split(pairs)
        loss = discriminator_loss(said_real, said_fake, settings.reduce)
        optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self._share_gradients(judges)
        optimiser.step()
        judges.requires_grad_(False)
        said = judges(fake)
        judges.requires_grad_(True)
        # The maps of the real wave are those from before the discriminator's step: one pass saved, one step stale.
        return {
            "adversarial": settings.adversarial * adversarial_loss(said, settings.reduce, settings.clipped),
            "features": settings.features * feature_matching_loss(said_real.detached(), said.split(pairs)[0], settings.relative),
            "_discriminator": loss.detach(),
        }

    def _start_alike(self) -> None:
        """Give every process the weights of the first."""
        if self.accelerator.num_processes > 1:
            for module in filter(None, (self.recipe, self.judges)):
                for tensor in (*module.parameters(), *module.buffers()):
                    torch.distributed.broadcast(tensor.data, 0)

    def _agreed(self, choice: str) -> str:
        """The first process's choice."""
        choices = [choice]
        if self.accelerator.num_processes > 1:
            torch.distributed.broadcast_object_list(choices, 0)
        return choices[0]

    def _share_gradients(self, module: nn.Module) -> None:
        """Put the mean over processes in place of each gradient: one message, since discriminators are passed twice a step,
        where a wrapper that sends while it goes back (DDP) loses count."""
        if self.accelerator.num_processes > 1:
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            flat = torch.cat([g.flatten() for g in gradients])
            torch.distributed.all_reduce(flat)
            flat /= self.accelerator.num_processes
            parts = flat.split([g.numel() for g in gradients])
            torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])

    def _where(self, what: str) -> str:
        path = self.checkpoint_path
        kept = f"the last good checkpoint is {path}" if path.is_file() else "there is no checkpoint yet"
        return f"training stopped at step {self.clock.step}: {what}; {kept}. Lower optimiser.lr or check the data"

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _log(self, losses: dict[str, float], rate: float, waiting: float, batch: Batch) -> None:
        samples = batch.waves.size * self.accelerator.num_processes
        record = {
            "step": self.clock.step,
            "seconds": round(self.clock.elapsed(), 1),
            "progress": round(self.clock.progress, 4),
            "lr": self.optimiser.param_groups[0]["lr"],
            "rate": rate,
            "audio_s_per_s": rate * samples / self.recipe.rate_hz,
            "left_s": round(self.clock.left_s(rate), 1),
            "waiting": round(waiting, 4),
            "losses": {k: round(v, 6) for k, v in losses.items()},
        }
        self._record(record)

    def _record(self, record: dict[str, Any]) -> None:
        self.history.append(record)
        if self.first:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
            if self.report:
                self.report(record)

    def _validate(self) -> None:
        if not self.first or self.validate is None:
            return
        with self.averaged(), torch.no_grad():
            random = torch.get_rng_state()
            scores = self.validate(self.recipe)
            torch.set_rng_state(random)
            score = scores.get("quality", math.nan)
            self.schedule.validated(-score)
            # Averages lag at first: the newest is kept unless it is clearly worse than the best so far.
            if not score < self.best:
                self.best = score
                self._export("weights")
        self._export("last")
        self._record(
            {
                "step": self.clock.step,
                "seconds": round(self.clock.elapsed(), 1),
                "scores": scores,
                "facts": self.recipe.facts(),
            }
        )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the recipe holds its averaged weights and is in evaluation mode."""
        own = None
        if self.average is not None:
            own = self.average.swap_in(self.recipe)
        self.recipe.eval()
        try:
            yield
        finally:
            self.recipe.train()
            if own is not None and self.average is not None:
                self.average.swap_out(self.recipe, own)

    def _export(self, name: str) -> None:
        if self.first:
            with self.averaged():
                export(self.folder / f"{name}.safetensors", self.recipe, self.card, self.clock)

    def _keep_judges(self) -> None:
        """discriminator.safetensors in float16, for discriminator.initial of a later run."""
        if self.judges is not None and self.first:
            from safetensors.torch import save_file

            tensors = {k: v.detach().cpu().half().contiguous() for k, v in self.judges.state_dict().items()}
            with checkpoint.whole(self.folder / "discriminator.safetensors") as beside:
                save_file(tensors, beside)

    def _save(self) -> None:
        if not self.first:
            return
        checkpoint.save(
            self.checkpoint_path,
            {
                "fingerprint": self.card.fingerprint,
                "card": json.dumps(as_table(self.card)),
                "recipe": self.recipe.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "judges": self.judges.state_dict() if self.judges is not None else None,
                "judges_optimiser": self.judges_optimiser.state_dict() if self.judges_optimiser else None,
                "average": self.average.state() if self.average else None,
                "schedule": self.schedule.state(),
                "random": checkpoint.random_state(),
                "step": self.clock.step,
                "seconds": self.clock.elapsed(),
                "best": self.best,
                "precision": self.precision,
                "history": json.dumps(self.history),
                "data": self.data_sha256,
            },
        )

    def _restore(self) -> None:
        state = checkpoint.load(self.checkpoint_path, self.card.fingerprint, str(self.card.path))
        self.recipe.load_state_dict(state["recipe"])
        try:
            self.optimiser.load_state_dict(state["optimiser"])
        except ValueError as error:
            raise checkpoint.CheckpointMismatch(
                f"{self.checkpoint_path}: it trained other parameters ({error}); use the recipe card it was made with, "
                "or another --out folder"
            ) from error
        if self.judges is not None and self.judges_optimiser is not None:
            self.judges.load_state_dict(state["judges"])
            self.judges_optimiser.load_state_dict(state["judges_optimiser"])
        if self.average is not None and state["average"] is not None:
            self.average.restore(state["average"])
        self.schedule.restore(state["schedule"])
        checkpoint.restore_random_state(state["random"])
        if place := self.accelerator.process_index:
            # The checkpoint holds the draws of the first process only.
            torch.manual_seed(self.card.run.seed + place + 1_000_003 * state["step"])
        self.clock = Clock(self.card.run, state["step"], state["seconds"])
        self.best, self.precision = state["best"], state["precision"]
        self.history = json.loads(state["history"])
        if state["data"] != self.data_sha256 and self.report:
            self.report({"note": "the training data has changed since the checkpoint"})


def _adam(parameters: list[dict[str, Any]], lr: float, card: RecipeCard) -> torch.optim.Optimizer:
    opt = card.optimiser
    if opt.weight_decay:
        return torch.optim.AdamW(parameters, lr, opt.betas, weight_decay=opt.weight_decay, fused=True)
    return torch.optim.Adam(parameters, lr, opt.betas, fused=True)


def _set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get("factor", 1.0)


def _accelerator() -> Accelerator:
    from accelerate import Accelerator

    return Accelerator(cpu=not torch.cuda.is_available())


class Means:
    """Mean of each loss since it was last taken; summed on the device, so that no step waits for the numbers."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        """Take in the losses of one step."""
        for name, value in losses.items():
            total, count = self.sums.get(name, (torch.zeros((), device=value.device), 0))
            self.sums[name] = (total + value.detach(), count + 1)

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: float(total) / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means
