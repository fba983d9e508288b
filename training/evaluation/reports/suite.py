"""Results of a suite as a flat report for machines and as tables for people."""

from __future__ import annotations

from rich.table import Table

from training.evaluation.reports.report import Report, shown
from training.evaluation.scores.aggregates import AGGREGATES, Estimate
from training.evaluation.scores.benchmark import DIAMOND, STATED_MEANS, table1
from training.evaluation.scores.suite import PROFILE_THRESHOLDS, SuiteResult, SuiteScores

REPORTED_THRESHOLDS = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Scores of the performance profile that a report holds."""


def suite_report(scores: SuiteScores, result: SuiteResult) -> Report:
    """``iqm``, ``iqm_low``, ``iqm_high`` and so on, ``STORM_mean``, ``improvement_over_STORM``, ``profile_1.0`` (share
    of runs above 1), and ``Pong_runs``, ``Pong_score``, ``Pong_human_normalised`` for every game.
    """
    report: Report = {
        "games": len(result.games),
        "missing_games": len(table1()) - len(result.games),
        "runs": sum(len(game.scores) for game in result.games),
        "unfinished": len(scores.unfinished),
    }
    for name, estimate in result.aggregates.items():
        report |= _entries(name, estimate)
    for column, estimates in result.columns.items():
        for name, estimate in estimates.items():
            report |= _entries(f"{column}_{name}", estimate, known=estimate.low is not None)
    if len(result.games) == len(table1()):
        report |= {f"{column}_mean_stated": mean for column, mean in STATED_MEANS.items()}
    for column, estimate in result.improvement.items():
        report |= _entries(f"improvement_over_{column}", estimate)
    for threshold, estimate in zip(PROFILE_THRESHOLDS, result.profile, strict=True):
        if threshold in REPORTED_THRESHOLDS:
            report |= _entries(f"profile_{threshold}", estimate)
    for game in result.games:
        report[f"{game.game}_runs"] = len(game.scores)
        report[f"{game.game}_score"] = float(game.scores.mean())
        report[f"{game.game}_human_normalised"] = float(game.normalised.mean())
    return report


def _entries(name: str, estimate: Estimate, known: bool = True) -> Report:
    """The value and, where it is ``known``, its interval."""
    interval: Report = {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {name: estimate.value, **(interval if known else {})}


def games_table(result: SuiteResult) -> Table:
    """One row a game: its runs, their mean score, and the mean that the paper reports."""
    table = Table("game", "runs", "score", "human-normalised", f"{DIAMOND} (paper)", title="final scores")
    for game in result.games:
        table.add_row(
            game.game,
            str(len(game.scores)),
            f"{game.scores.mean():,.1f}",
            shown(float(game.normalised.mean())),
            f"{table1()[game.game].published[DIAMOND]:,.1f}",
        )
    return table


def aggregates_table(result: SuiteResult) -> Table:
    """One row a method: the suite with its 95 % intervals, then the columns of Table 1."""
    title = f"human-normalised, {len(result.games)} games"
    table = Table("", "mean", "median", "IQM", "optimality gap", "above human", title=title)
    rows = {"these runs": result.aggregates, **result.columns}
    for label, estimates in rows.items():
        table.add_row(label, *(_cell(name, estimates.get(name)) for name in AGGREGATES))
    return table


def stated_means(result: SuiteResult) -> list[str]:
    """A line for each mean that the paper states otherwise than its table of scores gives it; of all games only."""
    if len(result.games) < len(table1()):
        return []
    return [
        f"{column}: the scores of Table 1, which are rounded, give the mean "
        f"{result.columns[column]['mean'].value:.3f}; the paper states {stated:.3f}"
        for column, stated in STATED_MEANS.items()
    ]


def improvement_table(result: SuiteResult) -> Table:
    """One row a column of Table 1."""
    table = Table("over", "probability of improvement")
    for column, estimate in result.improvement.items():
        table.add_row(column, _cell("improvement", estimate))
    return table


def _cell(name: str, estimate: Estimate | None) -> str:
    """Such as ``0.641`` above ``0.58–0.71``."""
    if estimate is None:
        return "–"
    value, end = ("{:.0f}", "{:.0f}") if name == "superhuman" else ("{:.3f}", "{:.2f}")
    if estimate.low is None or estimate.high is None:
        return value.format(estimate.value)
    return f"{value.format(estimate.value)}\n{end.format(estimate.low)}–{end.format(estimate.high)}"
