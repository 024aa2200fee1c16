"""Quantiles and tails of the distributions that intervals and tests are made of."""

from __future__ import annotations

import math
import sys
from functools import cache
from statistics import NormalDist


@cache
def normal_quantile(probability: float) -> float:
    """The value that a standard normal variable stays below with this probability."""
    return NormalDist().inv_cdf(probability)


@cache
def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """The value that Student's t stays below with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The value that a Beta(a, b) variable stays below with this probability."""
    from scipy.special import betaincinv

    return float(betaincinv(a, b, probability))


def normal_distribution(value: float) -> float:
    """The probability that a standard normal variable stays below the value."""
    return math.erfc(-value / math.sqrt(2)) / 2


def t_tails(t: float, degrees_of_freedom: float) -> float:
    """The two-sided p of Student's t, in (0, 1]."""
    from scipy.special import stdtr

    return positive(2 * float(stdtr(degrees_of_freedom, -abs(t))))


def chi_square_tail(value: float, degrees_of_freedom: int) -> float:
    """The p of a chi-square statistic, in (0, 1]."""
    from scipy.special import chdtrc

    return positive(float(chdtrc(degrees_of_freedom, value)))


def positive(p: float) -> float:
    """A p that a float cannot hold is the smallest that it can: no finite data show that something is impossible."""
    return min(1.0, max(p, sys.float_info.min))
