# SPDX-License-Identifier: Apache-2.0
"""The canary verdict: is the new release worse than the old one was in the same time? Pure.

Requests are not independent: a database hiccup fails all of some seconds, a client's errors come together. A test that takes them for
independent aborts releases that are as good as the old one. So both arms are compared within short blocks of time, where they
share what happens, and how sure the difference is follows from how much it varies from block to block, not from the number of requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import canary_log
from ansible_collections.sluice.stack.plugins.module_utils.canary_log import Counts
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
# Below this many groups of blocks their spread says too little about the next one.
LEAST_GROUPS = 10
Verdict = dict[str, Any]
Rows = list[tuple[float, float]]  # a block's part of a mean: value times weight, and weight


@dataclass(frozen=True)
class Cell:
    """One arm's requests of a block and service; latency as (bucket, requests), in the order of buckets."""

    requests: int = 0
    errors: int = 0
    latency: tuple[tuple[int, int], ...] = ()
    timed: int = 0

    @classmethod
    def of(cls, data: canary_log.Cell) -> Cell:
        """A cell of the counts."""
        latency = tuple(sorted((int(key), number) for key, number in data["latency"].items()))
        return cls(data["requests"], data["errors"], latency, sum(number for _, number in latency))


Strata = Sequence[Sequence[tuple[Cell, Cell]]]  # by block and service: the new and the old arm's cell


class SettingsError(Exception):
    """A setting is unknown, of a wrong type or out of its range; the message names it."""


@dataclass(frozen=True)
class Settings:
    """What the verdict is judged by; shares are 0 to 1, alphas the chance of a false alarm in the whole canary."""

    # Requests of each arm below which nothing is compared. With the other defaults and four looks, 1 % errors that become
    # 3 % are found with this many in at least 95 of 100 windows.
    min_requests: int = 5000
    # Blocks in which both arms had requests. Four minutes are several times what a visitor in trouble keeps trying: the
    # verdict takes what happens in different parts of a window for independent.
    min_blocks: int = 48
    # As in canary_window.
    block_seconds: float = 5.0
    # How often the canary is judged, all steps and repeated windows together: each alpha is divided by it.
    looks: int = 4
    error_alpha: float = 0.02
    latency_alpha: float = 0.02
    # For the two guards together.
    guard_alpha: float = 0.01
    # A smaller increase of the error share never fails; the larger one must be ruled out to pass.
    error_increase_matters: float = 0.005
    error_increase_refused: float = 0.015
    # The same for latency, as a factor.
    slowdown_matters: float = 1.2
    slowdown_refused: float = 1.5
    # The chance that a window passes although the release is as bad as what is refused.
    pass_alpha: float = 0.05
    # The guards: for the new release alone, whatever the old one does.
    max_error_share: float = 0.05
    max_p99_seconds: float = 5.0
    # Requests of the new release below which the guards are silent.
    min_guard_requests: int = 50

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Settings:
        """Settings from a mapping, defaults for what it leaves out. Raises SettingsError."""
        kinds: dict[str, type] = {field.name: type(field.default) for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in data.items():
            if name not in kinds:
                raise SettingsError(f"canary setting {name} is not known: {did_you_mean(name, kinds)}")
            try:
                parsed = float(str(value))
                values[name] = kinds[name](parsed)
                if values[name] != parsed:
                    raise ValueError
            except (ValueError, OverflowError) as error:
                wanted = "a whole number" if kinds[name] is int else "a number"
                raise SettingsError(f"canary setting {name} is {value!r}: it has to be {wanted}") from error
            if not 0 < values[name] < math.inf:
                raise SettingsError(f"canary setting {name} is {value!r}: it has to be above 0")
            if (name.endswith("_alpha") or name == "max_error_share" or name.startswith("error_")) and values[
                name
            ] >= 1:
                raise SettingsError(f"canary setting {name} is {value!r}: it is a share, 0 to 1")
            if name.startswith("slowdown_") and values[name] < 1:
                raise SettingsError(f"canary setting {name} is {value!r}: it is a factor, at least 1")
        settings = cls(**values)
        for name in ("error_increase", "slowdown"):
            matters, refused = getattr(settings, f"{name}_matters"), getattr(settings, f"{name}_refused")
            if matters >= refused:
                raise SettingsError(
                    f"canary setting {name}_matters is {matters:g}: it has to be below {name}_refused, {refused:g}"
                )
        return settings


@dataclass(frozen=True)
class Estimate:
    """A mean over blocks, its standard error, and the degrees of freedom of its t."""

    value: float
    error: float
    freedom: int

    def above(self, bound: float) -> float:
        """The p-value of "it is not above ``bound``", one-sided."""
        distance = self.value - bound
        if self.error == 0:  # every block says exactly the same
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
    """The mean with standard errors from the blocks as they are, and from 2, 4, 8, … neighbours taken together.

    What lasts longer than a block makes neighbours alike, and their spread too small: longer blocks show it (batch means: Conway, Management
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
    """The largest p-value over all lengths of blocks; 1 without any."""
    return max((test(one) for one in found), default=1.0)


def error_rows(strata: Strata, even: bool = True) -> Rows:
    """The difference of the error shares, new minus old, per block.

    Within a block and service with n1 and n0 requests the difference has the weight n1 n0 / (n1 + n0) of Mantel and
    Haenszel's common risk difference (Greenland and Robins, Biometrics 41 (1985) 55-68; weights of Cochran, Biometrics 10
    (1954) 417-451): what hits both arms of a block alike cancels.

    With ``even`` a block in which more fails than usual has less weight, by the binomial variance p(1 - p) of its share p over both arms (inverse
    variance, as for any mean of unequally sure values): a hiccup that fails half of a block's requests makes its difference a throw of dice.
    This favours no arm, since p does not say in which arm the errors were. Without, the mean is what visitors saw.
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


def judge(counts: Counts | None, settings: Settings, missing: Mapping[str, str] | None = None) -> Verdict:
    """The verdict over counts, of one edge or added up: decision, reasons (one line each) and samples.

    ``counts`` is None when no edge answered; ``missing`` are edges that gave none, with the reason: without them nothing
    passes. One ``fail`` fails, else one ``inconclusive`` makes it inconclusive. Only worse counts: all tests are one-sided. Their false alarms
    are held down over tests and looks by dividing (Bonferroni; Dunn, JASA 56 (1961) 52-64). Raises SettingsError when the counts
    have other blocks than the settings.
    """
    found: list[tuple[str, str]] = [
        (INCONCLUSIVE, f"edge: {host} was not counted: {reason}") for host, reason in sorted((missing or {}).items())
    ]
    samples: dict[str, Any] = {}
    if counts is None:
        found.append((INCONCLUSIVE, "edge: none was counted"))
    else:
        if counts["block_seconds"] != settings.block_seconds:
            raise SettingsError(
                f"canary setting block_seconds is {settings.block_seconds:g}, and canary_window counted in blocks of "
                f"{counts['block_seconds']:g} s: give both the same"
            )
        strata = _strata(counts)
        samples = {arm: _sample(strata, index) for index, arm in enumerate(canary_log.ARMS)}
        samples["blocks"] = sum(1 for block in strata if any(new.requests and old.requests for new, old in block))
        found += _guards(strata, samples, settings)
        few = _too_few(samples, settings)
        found += (
            [(INCONCLUSIVE, few)] if few else [_errors(strata, samples, settings), _latency(strata, samples, settings)]
        )
    decisions = {decision for decision, _ in found}
    decision = next(one for one in (FAIL, INCONCLUSIVE, PASS) if one in decisions)
    return {"decision": decision, "reasons": [f"{one}: {text}" for one, text in found], "samples": samples}


def conclude(found: Verdict, before: Verdict, *, last: bool) -> Verdict:
    """The run's verdict after the canary's: a fail ends the run, and so does a last look that is inconclusive."""
    if found["decision"] == PASS or (found["decision"] == INCONCLUSIVE and not last):
        return before
    against = [reason for reason in found["reasons"] if reason.startswith(found["decision"])]
    worse = "the new release is worse" if found["decision"] == FAIL else "too little is known to go on"
    hint = (
        ""
        if found["decision"] == FAIL
        else ". Give it longer with app_canary.looks, or go on with -e release_promote=true"
    )
    message = f"{worse}: {'; '.join(against)}{hint}"
    return {**before, "ok": False, "step": "canary", "message": message, "failed": {}}


def _strata(counts: Counts) -> Strata:
    """Blocks in the order of time, each with its services' cells of both arms."""
    new, old = (
        {
            block: {name: Cell.of(cell) for name, cell in services.items()}
            for block, services in counts["arms"][arm].items()
        }
        for arm in canary_log.ARMS
    )
    result = []
    for block in sorted({*new, *old}, key=int):
        mine, others = new.get(block, {}), old.get(block, {})
        result.append([(mine.get(name, Cell()), others.get(name, Cell())) for name in sorted({*mine, *others})])
    return result


def _sample(strata: Strata, arm: int) -> dict[str, Any]:
    """An arm's requests, errors, and quantiles of latency in seconds, None without any."""
    cells = [pair[arm] for block in strata for pair in block]
    latency: dict[int, int] = {}
    for cell in cells:
        for key, number in cell.latency:
            latency[key] = latency.get(key, 0) + number
    return {
        "requests": sum(cell.requests for cell in cells),
        "errors": sum(cell.errors for cell in cells),
        "median": _quantile(latency, 0.5),
        "p99": _quantile(latency, 0.99),
    }


def _quantile(latency: Mapping[int, int], share: float) -> float | None:
    """The end of the bucket below which ``share`` of the requests are, in seconds."""
    keys = sorted(latency)
    wanted = share * sum(latency.values())
    for key, reached in zip(keys, accumulate(latency[key] for key in keys), strict=True):
        if reached >= wanted:
            return round(canary_log.bucket_end(key), 4)
    return None


def _too_few(samples: Mapping[str, Any], settings: Settings) -> str | None:
    numbers = {arm: samples[arm]["requests"] for arm in canary_log.ARMS}
    if min(numbers.values()) >= settings.min_requests and samples["blocks"] >= settings.min_blocks:
        return None
    return (
        f"sample: {numbers['new']} requests to the new release, {numbers['old']} to the old one (of {settings.min_requests} each), "
        f"both in {samples['blocks']} blocks of {settings.block_seconds:g} s (of {settings.min_blocks}): too few to compare"
    )


def _errors(strata: Strata, samples: Mapping[str, Any], settings: Settings) -> tuple[str, str]:
    even, visible = estimates(error_rows(strata)), estimates(error_rows(strata, even=False))
    value = visible[0].value if visible else 0.0
    worse = surely(even, lambda one: one.above(0))
    shares = {arm: samples[arm]["errors"] / samples[arm]["requests"] for arm in canary_log.ARMS}
    text = (
        f"errors: {shares['new']:.2%} of {samples['new']['requests']} requests, old {shares['old']:.2%} of {samples['old']['requests']}; "
        f"in the same time {value * 100:+.2f} points (p = {worse:.2g} that it is not more)"
    )
    if worse < settings.error_alpha / settings.looks and value > settings.error_increase_matters:
        return FAIL, text
    # What visitors see, hiccups and all, has to be harmless too.
    harmless = surely([*even, *visible], lambda one: one.below(settings.error_increase_refused))
    if harmless < settings.pass_alpha:
        return PASS, text
    return (
        INCONCLUSIVE,
        f"{text}; {settings.error_increase_refused * 100:+.2f} points are not ruled out (p = {harmless:.2g})",
    )


def _latency(strata: Strata, samples: Mapping[str, Any], settings: Settings) -> tuple[str, str]:
    found = estimates(latency_rows(strata))
    worse = surely(found, lambda one: one.above(0))
    # Factors as whole buckets, towards the cautious side each: to fail a little more is needed, and to pass too.
    matters = canary_log.bucket(settings.slowdown_matters * canary_log.FIRST_BUCKET_SECONDS)
    refused = math.floor(math.log(settings.slowdown_refused) / math.log(canary_log.BUCKET_RATIO) + 1e-9)
    value = found[0].value if found else 0.0
    new, old = (samples[arm] for arm in canary_log.ARMS)
    text = (
        f"latency: median {_seconds(new['median'])}, p99 {_seconds(new['p99'])}, old {_seconds(old['median'])} and {_seconds(old['p99'])}; "
        f"in the same time slower in {0.5 + value:.1%} of pairs (p = {worse:.2g} that it is not more than half)"
    )
    if worse < settings.latency_alpha / settings.looks:
        slower = mean(latency_rows(strata, matters))
        if slower and slower.value > 0:
            return FAIL, text
    harmless = surely(estimates(latency_rows(strata, refused)), lambda one: one.below(0))
    if harmless < settings.pass_alpha:
        return PASS, text
    return INCONCLUSIVE, f"{text}; {settings.slowdown_refused:g} times slower is not ruled out (p = {harmless:.2g})"


def _guards(strata: Strata, samples: Mapping[str, Any], settings: Settings) -> list[tuple[str, str]]:
    """The new release's share of errors, and of requests slower than p99 may be, against what is allowed.

    Both are shares per block with the standard error from between blocks, so a burst of a few seconds does not prove that
    the release is over the limit; it only keeps the window from passing. The p99 is above S when more than 1 % are slower than S.
    """
    new = samples["new"]
    if new["requests"] < settings.min_guard_requests:
        return []
    limit = canary_log.bucket(settings.max_p99_seconds)
    errors: Rows = []
    slow: Rows = []
    for block in strata:
        cells = [pair[0] for pair in block]
        errors.append((sum(cell.errors for cell in cells), sum(cell.requests for cell in cells)))
        above = sum(number for cell in cells for key, number in cell.latency if key > limit)
        slow.append((above, sum(cell.timed for cell in cells)))
    share = new["errors"] / new["requests"]
    return [
        _guard(
            errors,
            settings.max_error_share,
            settings,
            f"guard: {share:.2%} of the new release's {new['requests']} requests failed, {settings.max_error_share:.2%} are allowed",
        ),
        _guard(
            slow,
            0.01,
            settings,
            f"guard: the new release's p99 is {_seconds(new['p99'])}, {_seconds(canary_log.bucket_end(limit))} are allowed",
        ),
    ]


def _guard(rows: Rows, limit: float, settings: Settings, text: str) -> tuple[str, str]:
    weight = sum(row[1] for row in rows)
    if not weight or sum(row[0] for row in rows) / weight <= limit:
        return PASS, text
    sure = surely(estimates(rows), lambda one: one.above(limit))
    decision = FAIL if sure < settings.guard_alpha / 2 / settings.looks else INCONCLUSIVE
    return decision, f"{text} (p = {sure:.2g} that it is chance)"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g} s"
