"""Holm and Benjamini-Hochberg on worked examples and by their laws."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import benjamini_hochberg, holm


def test_holm_by_hand() -> None:
    # sorted .005 .01 .03 .04: times 4, 3, 2, 1 = .02 .03 .06 .04, then never falling
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_by_hand() -> None:
    # sorted .005 .01 .03 .04: times 4/1, 4/2, 4/3, 4/4 = .02 .02 .04 .04
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_benjamini_and_hochbergs_own_example() -> None:
    # JRSS B 1995, section 3.1: four of fifteen are rejected at q = 0.05, three by Bonferroni-type steps
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert (benjamini_hochberg(p) <= 0.05).sum() == 4
    assert (holm(p) <= 0.05).sum() == 3


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_laws(adjust) -> None:
    p = np.random.default_rng(0).random(40) ** 3
    adjusted = adjust(p)
    assert np.all(adjusted >= p) and np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)
    mix = np.random.default_rng(1).permutation(40)
    assert np.allclose(adjust(p[mix]), adjusted[mix])
    assert adjust([0.03]) == pytest.approx([0.03])
    assert len(adjust([])) == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust([0.1, np.nan])


def test_holm_is_never_laxer_than_benjamini_hochberg() -> None:
    p = np.random.default_rng(2).random(30)
    assert np.all(holm(p) >= benjamini_hochberg(p) - 1e-15)
