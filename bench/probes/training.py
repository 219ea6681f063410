"""A probe: its network, its losses, what it recognises. `bench.probes.fitting` trains it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.device import to_device
from bench.probes import text
from bench.probes.examples import Batch, Example, batches
from bench.probes.fitting import Learner
from bench.probes.inputs import Inputs
from bench.probes.networks import Classifier, Recogniser
from bench.probes.settings import Settings


class Probe(Learner):
    """A probe of `task` ("asr" or a classification) on `inputs`, trained with one seed."""

    what = "probe"
    settings: Settings

    def __init__(self, task: str, inputs: Inputs, classes: int, settings: Settings, seed: int, device: str = "cpu") -> None:
        network = Recogniser if task == "asr" else Classifier
        kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
        super().__init__(inputs, lambda: network(inputs, classes, settings), settings, seed, device, kind)
        self.task = task

    @property
    def crop(self) -> int:
        """Frames of the stretch; a recogniser reads whole utterances."""
        return self.settings.crop if self.task != "asr" else 0

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch, as the network gives it."""
        return self._loss(self.network(batch.tokens, batch.features, batch.lengths), batch)

    def _loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch: CTC per character, or negative log-likelihood."""
        if self.task != "asr":
            labels = to_device(torch.tensor([int(example.target) for example in batch.examples]), self.device)
            return nn.functional.nll_loss(scores, labels)
        spelt = [torch.tensor(text.encode(str(example.target))) for example in batch.examples]
        each = torch.ctc_loss(
            scores.transpose(0, 1), to_device(torch.cat(spelt), self.device), tuple(batch.lengths.tolist()),  # type: ignore[arg-type]
            tuple(len(one) for one in spelt), blank=text.BLANK, reduction=0, zero_infinity=True,
        )  # fmt: skip
        # The mean as torch takes it, which would wait for the device to bring the lengths there.
        characters = torch.tensor([max(1, len(one)) for one in spelt], dtype=each.dtype)
        return (each / to_device(characters, self.device)).mean()

    def predict(self, examples: Sequence[Example]) -> dict[str, str | int]:
        """Utterance -> text (by beam search where the settings say so) or class."""
        return self._evaluate(examples, self.settings.beam)[0]

    @torch.inference_mode()
    def _evaluate(self, examples: Sequence[Example], beam: int = 0) -> tuple[dict[str, str | int], float]:
        """Outputs, and the mean loss per utterance."""
        self.network.eval()
        found: dict[str, str | int] = {}
        best: list[tuple[Batch, Tensor]] = []
        total = torch.zeros((), device=self.device)
        for batch in batches(examples, self.inputs, self.settings.batch, self.device):
            scores = self.network(batch.tokens, batch.features, batch.lengths)
            total += self._loss(scores, batch) * len(batch.examples)
            if beam and self.task == "asr":
                texts = beam_search(scores, batch.lengths, beam)
                found |= {example.utterance: said for example, said in zip(batch.examples, texts, strict=True)}
            else:
                best.append((batch, scores.argmax(-1)))
        # Brought over once all of them are on their way.
        for batch, classes in best:
            for example, row, length in zip(batch.examples, classes.cpu().tolist(), batch.lengths.tolist(), strict=True):
                found[example.utterance] = text.greedy(row[:length]) if self.task == "asr" else row
        return found, float(total) / len(examples)

    def validate(self, examples: Sequence[Example]) -> tuple[float, float]:
        """(error, loss): corpus word or character error rate, or share of wrong labels; mean loss per utterance."""
        outputs, loss = self._evaluate(examples)
        if self.task != "asr":
            return sum(outputs[e.utterance] != e.target for e in examples) / len(examples), loss
        import jiwer

        rate = jiwer.wer if self.settings.validate == "wer" else jiwer.cer
        wanted = [text.normalise(str(example.target)) for example in examples]
        return float(rate(wanted, [str(outputs[example.utterance]) for example in examples])), loss


def beam_search(scores: Tensor, lengths: Tensor, width: int) -> list[str]:
    """CTC beam search without a language model (speechbrain's), as DASB decodes: scores [B, N, classes] -> texts."""
    from speechbrain.decoders.ctc import CTCBeamSearcher

    searcher = CTCBeamSearcher(blank_index=text.BLANK, vocab_list=["", *text.ALPHABET], beam_size=width, space_token=" ", topk=1)
    found = searcher(scores.cpu(), lengths / scores.shape[1])
    return [" ".join(hypotheses[0].text.split()) for hypotheses in found]
