# SPDX-License-Identifier: Apache-2.0
"""Whether a difference between the canary's two arms is significant. Pure.

Requests are not independent: a database hiccup fails all requests for seconds, and a client's errors cluster. A test that treats
them as independent aborts good releases. So both arms are compared within short blocks of time, which share such events, and the
significance follows from the variation between blocks, not from the number of requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.sluice.stack.plugins.module_utils.canary import log
from ansible_collections.sluice.stack.plugins.module_utils.canary.log import Counts

# Below this many groups of blocks their variance is not reliable.
LEAST_GROUPS = 10
# Where an interval for any number of looks is narrowest: half an hour of blocks of 5 s.
NARROWEST = 360
Rows = list[tuple[float, float]]  # a block's part of a mean: value times weight, and weight


@dataclass(frozen=True)
class Cell:
    """One arm's requests of a block and service; latency as (bucket, requests), in the order of buckets."""

    requests: int = 0
    errors: int = 0
    latency: tuple[tuple[int, int], ...] = ()
    timed: int = 0

    @classmethod
    def of(cls, data: log.Cell) -> Cell:
        """A cell of the counts."""
        latency = tuple(sorted((int(key), number) for key, number in data["latency"].items()))
        return cls(data["requests"], data["errors"], latency, sum(number for _unused, number in latency))


Strata = Sequence[Sequence[tuple[Cell, Cell]]]  # by block and service: the new and the old arm's cell


def strata_of(counts: Counts) -> Strata:
    """Blocks in the order of time, each with its services' cells of both arms."""
    new, old = (
        {
            block: {name: Cell.of(cell) for name, cell in services.items()}
            for block, services in counts["arms"][arm].items()
        }
        for arm in log.ARMS
    )
    result = []
    for block in sorted({*new, *old}, key=int):
        mine, others = new.get(block, {}), old.get(block, {})
        result.append([(mine.get(name, Cell()), others.get(name, Cell())) for name in sorted({*mine, *others})])
    return result


@dataclass(frozen=True)
class Estimate:
    """A mean over blocks, its standard error, and the degrees of freedom of its t."""

    value: float
    error: float
    freedom: int

    def above(self, bound: float) -> float:
        """The p-value of "it is not above ``bound``", one-sided."""
        distance = self.value - bound
        if self.error == 0:  # all blocks are equal
            return 0.0 if distance > 0 else 1.0
        return t_tail(distance / self.error, self.freedom)

    def below(self, bound: float) -> float:
        """The p-value of "it is not below ``bound``", one-sided."""
        return Estimate(-self.value, self.error, self.freedom).above(-bound)


def t_tail(t: float, freedom: int) -> float:
    """P(T > t) of Student's t with a whole number of degrees of freedom.

    Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, cosine) if freedom % 2 else (1.0, 1.0)
    for k in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    inside = sine * total if freedom % 2 == 0 else (angle + (sine * total if freedom > 1 else 0.0)) * 2 / math.pi
    tail = max(0.0, (1 - inside) / 2)
    return tail if t >= 0 else 1 - tail


def mean(rows: Sequence[tuple[float, float]]) -> Estimate | None:
    """The weighted mean of blocks with a standard error from their spread; None with fewer than two blocks.

    A ratio of sums: sum(value x weight) / sum(weight). Its variance is taken from the blocks' residuals (Cochran, Sampling
    Techniques, 3rd ed. 1977, ch. 6; the same as the cluster-robust one of Liang and Zeger, Biometrika 73 (1986) 13-22), with the factor
    G/(G-1) and Student's t for few blocks (Cameron and Miller, Journal of Human Resources 50 (2015) 317-372, section VI). G is
    Kish's effective number, sum(w)^2/sum(w^2) (Survey Sampling, 1965): of blocks that carry most of the weight there are fewer.
    """
    rows = [row for row in rows if row[1] > 0]
    weight = sum(row[1] for row in rows)
    blocks = int(weight**2 / sum(row[1] ** 2 for row in rows) + 1e-9) if rows else 0
    if blocks < 2:
        return None
    value = sum(row[0] for row in rows) / weight
    spread = sum((part - value * share) ** 2 for part, share in rows)
    return Estimate(value, math.sqrt(spread * blocks / (blocks - 1)) / weight, blocks - 1)


def estimates(rows: Sequence[tuple[float, float]]) -> list[Estimate]:
    """Estimate the mean with standard errors from single blocks, and from groups of 2, 4, 8, … neighbours.

    Events longer than a block make neighbours alike and their variance too small: longer blocks show it (batch means: Conway, Management
    Science 10 (1963) 47-61). A test holds when it holds for every length.
    """
    found = []
    size = 1
    while size == 1 or len(rows) // size >= LEAST_GROUPS:
        groups = [rows[begin : begin + size] for begin in range(0, len(rows), size)]
        one = mean([(sum(row[0] for row in group), sum(row[1] for row in group)) for group in groups])
        if one:
            found.append(one)
        size *= 2
    return found


def surely(found: Iterable[Estimate], test: Callable[[Estimate], float]) -> float:
    """Return the largest p-value over all lengths of blocks; 1 without any."""
    return max((test(one) for one in found), default=1.0)


def error_rows(strata: Strata, even: bool = True) -> Rows:
    """The difference of the error shares, new minus old, per block.

    Within a block and service with n1 and n0 requests the difference has the weight n1 n0 / (n1 + n0) of Mantel and
    Haenszel's common risk difference (Greenland and Robins, Biometrics 41 (1985) 55-68; weights of Cochran, Biometrics 10
    (1954) 417-451): what hits both arms of a block alike cancels.

    With ``even`` a block with more failures than usual has less weight, by the binomial variance p(1 - p) of its share p over both arms (inverse
    variance, as for any mean of values with unequal variance): a hiccup that fails half of a block's requests makes its difference random.
    This favours no arm, since p does not depend on the arm of the errors. Without ``even``, the mean is what clients saw.
    """
    usual = _variance(pair for block in strata for pair in block)
    rows = []
    for block in strata:
        value = weight = 0.0
        here = _variance(block)
        trust = usual / here if even and here > usual else 1.0
        for new, old in block:
            n1, n0 = new.requests, old.requests
            if n1 and n0:
                value += trust * (new.errors * n0 - old.errors * n1) / (n1 + n0)
                weight += trust * n1 * n0 / (n1 + n0)
        rows.append((value, weight))
    return rows


def _variance(pairs: Iterable[tuple[Cell, Cell]]) -> float:
    """p(1 - p) of the share p of errors over both arms."""
    cells = [cell for pair in pairs for cell in pair]
    share = sum(cell.errors for cell in cells) / max(1, sum(cell.requests for cell in cells))
    return float(share * (1 - share))


def latency_rows(strata: Strata, shift: int = 0) -> Rows:
    """By how much "the new one is the slower one of two requests" is likelier than even, per block: -0.5 to 0.5.

    Wilcoxon's rank test in the form of Mann and Whitney, on buckets (ties count half), joined over blocks and services with the weights
    n1 n0 / (n1 + n0 + 1) of van Elteren (Bulletin of the International Statistical Institute 37 (1960) 351-361). With
    ``shift`` the old requests count as that many buckets slower.
    """
    rows = []
    for block in strata:
        value = weight = 0.0
        for new, old in block:
            n1, n0 = new.timed, old.timed
            if n1 and n0:
                value += _slower(new, old, shift) / (n1 + n0 + 1)
                weight += n1 * n0 / (n1 + n0 + 1)
        rows.append((value, weight))
    return rows


def _slower(new: Cell, old: Cell, shift: int) -> float:
    """Pairs in which the new request is the slower one, ties by half, minus half of all pairs."""
    values, below, index, won = old.latency, 0, 0, 0.0
    for key, number in new.latency:
        while index < len(values) and values[index][0] + shift < key:
            below += values[index][1]
            index += 1
        tied = values[index][1] if index < len(values) and values[index][0] + shift == key else 0
        won += number * (below + tied / 2)
    return won - new.timed * old.timed / 2


def always(found: Sequence[Estimate], alpha: float) -> tuple[float, float] | None:
    """Return an interval that holds the true value at every look at once with a chance of 1 - ``alpha``; None without an estimate.

    A confidence sequence, so that one may look as often as one likes and stop when one likes: the asymptotic one of Waudby-Smith, Arbour, Sinha,
    Kennedy and Ramdas (Annals of Statistics 52 (2024) 2613-2640, theorem 2.2), from Robbins' normal mixture. Its rho is chosen (their appendix B.2)
    to be narrowest at NARROWEST blocks. It needs a first look that is not too early: the verdict's ``min_blocks``. Of all lengths of blocks the widest counts.
    """
    if not found:
        return None
    rho = (2 * math.log(1 / alpha) + math.log(1 + 2 * math.log(1 / alpha))) / NARROWEST
    # Of longer blocks there are fewer; the time they cover is the same.
    blocks = found[0].freedom + 1
    reach = 2 * (blocks * rho + 1) / (blocks * rho) * math.log(math.sqrt(blocks * rho + 1) / alpha)
    half = max(one.error for one in found) * math.sqrt(reach)
    return found[0].value - half, found[0].value + half
