"""How often the gate's rule is wrong, by simulation: false alarms at most 5 %, and its power.

Six metrics with the gate's margins, and spreads of paired differences as two near neighbours among codecs show them;
differences of one utterance are correlated between metrics, and speakers differ.
"""

from __future__ import annotations

import numpy as np
import pytest
from simulation import simulate_gate

# PESQ-WB, STOI, ESTOI, UTMOS, DistillMOS, Sim
MARGIN = (0.02, 0.002, 0.004, 0.02, 0.02, 0.002)
SPREAD = (0.06, 0.006, 0.009, 0.12, 0.08, 0.012)
HEAVY = np.random.default_rng(3).standard_t(3, size=20_000)
DESIGN = {"sd": SPREAD, "margin": MARGIN, "correlation": 0.3, "draws": 1000}


@pytest.mark.parametrize(("speakers", "per_speaker"), [(12, 2), (24, 2), (24, 5), (40, 12)])
@pytest.mark.parametrize("shape", ["normal", "heavy tails"])
def test_false_alarms_stay_under_five_percent(
    speakers: int, per_speaker: int, shape: str, record_property: pytest.RecordProperty
) -> None:
    noise = HEAVY if shape == "heavy tails" else None
    rates = simulate_gate(
        [0.0] * 6, speakers=speakers, per_speaker=per_speaker, speaker_sd=0.5, trials=1000, seed=5, noise=noise, **DESIGN
    )
    record_property("false_alarms", rates.blocked)
    record_property("undecided", rates.undecided)
    print(f"{speakers} x {per_speaker}, {shape}: false alarms {rates.blocked:.1%}, undecided {rates.undecided:.1%}")
    assert rates.blocked <= 0.05


def test_single_metric_at_margin_zero_keeps_its_level() -> None:
    rates = simulate_gate([0.0], [0.1], [0.0], 24, 5, trials=3000, draws=1000, seed=1)
    assert rates.blocked == pytest.approx(0.05, abs=0.012)  # three standard errors of 3000 trials


@pytest.mark.parametrize(("loss", "least"), [(1, 0.80), (2, 0.99), (3, 1.0)])
def test_power_on_the_small_benchmark(loss: int, least: float, record_property: pytest.RecordProperty) -> None:
    """Every metric worse by `loss` margins, 24 speakers x 2 utterances."""
    rates = simulate_gate([-loss * m for m in MARGIN], speakers=24, per_speaker=2, trials=500, seed=2, **DESIGN)
    record_property("power", rates.blocked)
    print(f"24 x 2, all six worse by {loss} margins: power {rates.blocked:.1%}")
    assert rates.blocked >= least


def test_power_when_one_metric_alone_suffers(record_property: pytest.RecordProperty) -> None:
    """STOI alone falls by two margins on 24 speakers x 5 utterances; Holm over six metrics still sees it."""
    shift = [0.0] * 6
    shift[1] = -2 * MARGIN[1]
    rates = simulate_gate(shift, speakers=24, per_speaker=5, trials=500, seed=3, **DESIGN)
    record_property("power", rates.blocked)
    print(f"24 x 5, STOI alone worse by 2 margins: power {rates.blocked:.1%}")
    assert rates.blocked >= 0.99


def test_losses_well_inside_the_margins_rarely_block_a_large_set() -> None:
    rates = simulate_gate([-0.1 * m for m in MARGIN], speakers=40, per_speaker=60, trials=200, seed=4, **DESIGN)
    assert rates.blocked <= 0.01 and rates.undecided <= 0.01
