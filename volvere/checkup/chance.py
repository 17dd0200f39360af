"""What chance leaves open: exact intervals of a ratio of two rates, and of a correlation. Pure, by the standard library.

A ratio of two Poisson rates, given how many events there were in all, is a question about a share: how many of them fell into the
second period. So its exact interval is the binomial one (Clopper, Pearson 1934), carried over (Przyborowski, Wilenski 1940;
Lehmann, Testing Statistical Hypotheses, 4.5). Frictions come in bunches, so that the true interval is wider than this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import atanh, exp, inf, lgamma, log, log1p, sqrt, tanh
from statistics import NormalDist, StatisticsError, correlation

from volvere.checkup.model import Interval

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


def rate_ratio(events: int, exposure: int, events_before: int, exposure_before: int) -> Interval | None:
    """The interval of (events / exposure) / (events_before / exposure_before). None where there is nothing to compare."""
    total = events + events_before
    if total == 0 or exposure == 0 or exposure_before == 0:
        return None
    share = clopper_pearson(events, total)

    def ratio(p: float) -> float | None:
        return p / (1 - p) * exposure_before / exposure if p < 1 else None

    return Interval(ratio(share[0]) or 0.0, ratio(share[1]))


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    """The exact interval of a share of which k of n were seen."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if k == 0 else _solve(lambda p: _at_most(n - k, n, 1 - p) - tail)
    high = 1.0 if k == n else _solve(lambda p: tail - _at_most(k, n, p))
    return low, high


def _solve(rising: Callable[[float], float]) -> float:
    """Where a function that rises over [0, 1] is nought, to the last digits."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def _at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) of a binomial X: the incomplete beta function I(1 - p; n - k, k + 1)."""
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    return incomplete_beta(n - k, k + 1, 1 - p)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Abramowitz, Stegun 26.5.8; Lentz's method)."""
    if x > (a + 1) / (a + b + 2):  # where it converges slowly
        return 1 - incomplete_beta(b, a, 1 - x)
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + step * d) or tiny)
            c = (1 + step / c) or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x) if x > 0 else -inf
    return exp(front) * fraction / a


def pearson(pairs: Sequence[tuple[float, float]]) -> tuple[float, Interval] | None:
    """Pearson's correlation with Fisher's interval (1921). None where it has none: fewer than 4 pairs, or no variation."""
    if len(pairs) < 4:
        return None
    try:
        r = correlation([x for x, _ in pairs], [y for _, y in pairs])
    except StatisticsError:
        return None
    if abs(r) >= 1:
        return r, Interval(r, r)
    half = _Z / sqrt(len(pairs) - 3)
    return r, Interval(tanh(atanh(r) - half), tanh(atanh(r) + half))
