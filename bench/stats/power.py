"""How small a change can be seen: standard error to visible effect, effect to number of utterances."""

from __future__ import annotations

import math


def smallest_visible(se: float, df: float = math.inf, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true loss that a one-sided test at `alpha` shows with probability `power`: (t_alpha + t_power) se.

    se: standard error of the paired difference. The result has its unit.
    """
    from scipy import stats

    if not math.isfinite(se):
        return float("nan")
    if math.isinf(df):
        return float((stats.norm.isf(alpha) + stats.norm.isf(1 - power)) * se)
    return float((stats.t.isf(alpha, max(df, 1)) + stats.t.isf(1 - power, max(df, 1))) * se)


def utterances_needed(sd: float, margin: float, alpha: float = 0.05, power: float = 0.9) -> int:
    """Utterances for a one-sided test of `margin`: (z_alpha + z_power)^2 sd^2 / margin^2; sd of paired differences."""
    from scipy import stats

    if margin <= 0 or sd < 0:
        raise ValueError("the margin must be positive and the standard deviation not negative")
    return math.ceil((stats.norm.isf(alpha) + stats.norm.isf(1 - power)) ** 2 * (sd / margin) ** 2)
