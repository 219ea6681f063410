"""Length rules of the protocols: what stands where the decoded wave has ended."""

from __future__ import annotations

import numpy as np
import pytest

from bench.engine import pairing, records
from bench.errors import UnknownName

WAVE = np.linspace(0.1, 0.9, 160).astype(np.float32)


def record(missing: int) -> dict:
    """A codec's output that ends `missing` samples early, as the engine records it at 16 kHz."""
    fitted = np.concatenate([WAVE[: 160 - missing], np.zeros(missing, np.float32)])
    return records.audio_record(fitted, 16000, -missing)


@pytest.mark.parametrize("rule", pairing.RULES)
def test_a_complete_wave_is_left_alone_by_every_rule(rule: str) -> None:
    reference, decoded = pairing.pair(WAVE, record(0), 16000, rule)
    np.testing.assert_array_equal(reference, WAVE)
    np.testing.assert_allclose(decoded, WAVE, atol=2**-15)


def test_each_rule_fills_a_missing_end_in_its_own_way() -> None:
    made = {rule: pairing.pair(WAVE, record(40), 16000, rule) for rule in pairing.RULES}
    assert {rule: (len(a), len(b)) for rule, (a, b) in made.items()} == {
        "zeros": (160, 160), "replicate": (160, 160), "cut": (120, 120), "as decoded": (160, 120),
    }  # fmt: skip
    assert not made["zeros"][1][120:].any()
    np.testing.assert_array_equal(made["replicate"][1][120:], np.full(40, made["replicate"][1][119]))
    for _, decoded in made.values():
        np.testing.assert_allclose(decoded[:120], WAVE[:120], atol=2**-15)


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(UnknownName, match="replicate"):
        pairing.check("replicat")
