# SPDX-License-Identifier: Apache-2.0
"""The canary verdict: is the new release worse than the old one at the same time? Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.canary import log
from ansible_collections.sluice.stack.plugins.module_utils.canary.log import Counts
from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings, SettingsError
from ansible_collections.sluice.stack.plugins.module_utils.canary.statistics import (
    Rows,
    Strata,
    error_rows,
    estimates,
    latency_rows,
    mean,
    strata_of,
    surely,
)

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
Verdict = dict[str, Any]
# What the two arms are called in the reasons.
RELEASES = ("the new release", "the old one")


def judge(
    counts: Counts | None,
    settings: Settings,
    missing: Mapping[str, str] | None = None,
    names: tuple[str, str] = RELEASES,
) -> Verdict:
    """Return the verdict on counts, of one edge or added up: decision, reasons (one line each) and samples.

    ``counts`` is None when no edge answered; ``missing`` maps edges without counts to the reason: without them nothing
    passes. ``names`` are what the reasons call both arms. One ``fail`` fails, else one ``inconclusive`` makes it inconclusive. All tests are
    one-sided: only a worse release fails.
    Their alphas are divided by the number of tests and checks (Bonferroni; Dunn, JASA 56 (1961) 52-64). Raises SettingsError when
    the counts have other blocks than the settings.
    """
    found: list[tuple[str, str]] = [
        (INCONCLUSIVE, f"edge: {host} was not counted: {reason}") for host, reason in sorted((missing or {}).items())
    ]
    samples: dict[str, Any] = {}
    if counts is None:
        found.append((INCONCLUSIVE, "edge: no edge was counted"))
    else:
        if counts["block_seconds"] != settings.block_seconds:
            raise SettingsError(
                f"canary setting block_seconds is {settings.block_seconds:g}, and canary_window counted in blocks of "
                f"{counts['block_seconds']:g} s: set both to the same"
            )
        strata = strata_of(counts)
        samples = {arm: _sample(strata, index) for index, arm in enumerate(log.ARMS)}
        samples["blocks"] = sum(1 for block in strata if any(new.requests and old.requests for new, old in block))
        found += _guards(strata, samples, settings, names[0])
        few = _too_few(samples, settings, names)
        found += (
            [(INCONCLUSIVE, few)] if few else [_errors(strata, samples, settings), _latency(strata, samples, settings)]
        )
    decisions = {decision for decision, _unused in found}
    decision = next(one for one in (FAIL, INCONCLUSIVE, PASS) if one in decisions)
    return {"decision": decision, "reasons": [f"{one}: {text}" for one, text in found], "samples": samples}


def conclude(found: Verdict, before: Verdict, *, last: bool) -> Verdict:
    """The run's verdict after the canary's: a fail ends the run, and so does an inconclusive last check."""
    if found["decision"] == PASS or (found["decision"] == INCONCLUSIVE and not last):
        return before
    against = [reason for reason in found["reasons"] if reason.startswith(found["decision"])]
    worse = "the new release is worse" if found["decision"] == FAIL else "the data is not sufficient to continue"
    hint = (
        ""
        if found["decision"] == FAIL
        else ". Allow more checks with app_canary.checks, or continue with -e release_promote=true"
    )
    message = f"{worse}: {'; '.join(against)}{hint}"
    return {**before, "ok": False, "step": "canary", "message": message, "failed": {}}


def _sample(strata: Strata, arm: int) -> dict[str, Any]:
    """Return an arm's requests, errors, and quantiles of latency in seconds, None without any."""
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
            return round(log.bucket_end(key), 4)
    return None


def _too_few(samples: Mapping[str, Any], settings: Settings, names: tuple[str, str]) -> str | None:
    numbers = {arm: samples[arm]["requests"] for arm in log.ARMS}
    if min(numbers.values()) >= settings.min_requests and samples["blocks"] >= settings.min_blocks:
        return None
    return (
        f"sample: {numbers['new']} requests to {names[0]}, {numbers['old']} to {names[1]} (of {settings.min_requests} each), "
        f"both in {samples['blocks']} blocks of {settings.block_seconds:g} s (of {settings.min_blocks}): too few to compare"
    )


def _errors(strata: Strata, samples: Mapping[str, Any], settings: Settings) -> tuple[str, str]:
    even, visible = estimates(error_rows(strata)), estimates(error_rows(strata, even=False))
    value = visible[0].value if visible else 0.0
    worse = surely(even, lambda one: one.above(0))
    shares = {arm: samples[arm]["errors"] / samples[arm]["requests"] for arm in log.ARMS}
    text = (
        f"errors: {shares['new']:.2%} of {samples['new']['requests']} requests, old {shares['old']:.2%} of {samples['old']['requests']}; "
        f"in the same time {value * 100:+.2f} points (p = {worse:.2g} that it is not more)"
    )
    if worse < settings.error_alpha / settings.checks and value > settings.error_increase_matters:
        return FAIL, text
    # What clients see, hiccups included, must be harmless too.
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
    # Factors rounded to whole buckets, each to the cautious side: stricter for a fail and for a pass.
    matters = log.bucket(settings.slowdown_matters * log.FIRST_BUCKET_SECONDS)
    refused = math.floor(math.log(settings.slowdown_refused) / math.log(log.BUCKET_RATIO) + 1e-9)
    value = found[0].value if found else 0.0
    new, old = (samples[arm] for arm in log.ARMS)
    text = (
        f"latency: median {_seconds(new['median'])}, p99 {_seconds(new['p99'])}, old {_seconds(old['median'])} and {_seconds(old['p99'])}; "
        f"in the same time slower in {0.5 + value:.1%} of pairs (p = {worse:.2g} that it is not more than half)"
    )
    if worse < settings.latency_alpha / settings.checks:
        slower = mean(latency_rows(strata, matters))
        if slower and slower.value > 0:
            return FAIL, text
    harmless = surely(estimates(latency_rows(strata, refused)), lambda one: one.below(0))
    if harmless < settings.pass_alpha:
        return PASS, text
    return INCONCLUSIVE, f"{text}; {settings.slowdown_refused:g} times slower is not ruled out (p = {harmless:.2g})"


def _guards(strata: Strata, samples: Mapping[str, Any], settings: Settings, name: str) -> list[tuple[str, str]]:
    """Compare the new arm's share of errors, and of requests slower than the p99 limit, with the allowed ones.

    Both are shares per block with the standard error from between blocks, so a burst of a few seconds does not prove that
    the release is over the limit; it only keeps the window from passing. The p99 is above S when more than 1 % are slower than S.
    """
    new = samples["new"]
    if new["requests"] < settings.min_guard_requests:
        return []
    limit = log.bucket(settings.max_p99_seconds)
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
            f"guard: {share:.2%} of {name}'s {new['requests']} requests failed, {settings.max_error_share:.2%} are allowed",
        ),
        _guard(
            slow,
            0.01,
            settings,
            f"guard: {name}'s p99 is {_seconds(new['p99'])}, {_seconds(log.bucket_end(limit))} are allowed",
        ),
    ]


def _guard(rows: Rows, limit: float, settings: Settings, text: str) -> tuple[str, str]:
    weight = sum(row[1] for row in rows)
    if not weight or sum(row[0] for row in rows) / weight <= limit:
        return PASS, text
    sure = surely(estimates(rows), lambda one: one.above(limit))
    decision = FAIL if sure < settings.guard_alpha / 2 / settings.checks else INCONCLUSIVE
    return decision, f"{text} (p = {sure:.2g} that it is chance)"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g} s"
