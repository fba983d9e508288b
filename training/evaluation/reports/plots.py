"""Plots of a suite against Table 1 of the paper (PNG). Needs matplotlib, the extra ``plots``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path
from training.evaluation.scores.aggregates import Estimate
from training.evaluation.scores.benchmark import DIAMOND
from training.evaluation.scores.suite import PROFILE_THRESHOLDS, SuiteResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
NAME = "these runs"
"""The suite in the legends."""
OURS, PAPER, OTHERS, GUIDE = "#c2410c", "#1d4ed8", "#64748b", "#cbd5e1"
"""Colours of the suite, of the paper's runs, of the other columns, and of guiding lines."""
TITLES = {
    "mean": "Mean ↑",
    "median": "Median ↑",
    "iqm": "Interquartile mean ↑",
    "optimality_gap": "Optimality gap ↓",
    "superhuman": "Games above human ↑",
}


def write_plots(folder: Path, result: SuiteResult) -> list[Path]:
    """Writes ``aggregates.png``, ``games.png``, ``profile.png`` and ``improvement.png``.

    Raises ``DiamondError`` where matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise DiamondError("plots need matplotlib: pip install 'diamond-engine[plots]'") from error
    draw: dict[str, Callable[[SuiteResult], Figure]] = {
        "aggregates": aggregates_plot,
        "games": games_plot,
        "profile": profile_plot,
        "improvement": improvement_plot,
    }
    paths = [folder / f"{plot}.png" for plot in draw]
    for path, make in zip(paths, draw.values(), strict=True):
        figure = make(result)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)
    return paths


def aggregates_plot(result: SuiteResult) -> Figure:
    """One panel an aggregate, one row a method."""
    figure = _figure(12, 0.35 * len(result.columns) + 1.7)
    axes = figure.subplots(1, len(TITLES), sharey=True)
    rows = {**result.columns, NAME: result.aggregates}
    for panel, (aggregate, title) in zip(axes, TITLES.items(), strict=True):
        _aggregate_panel(panel, [(method, estimates.get(aggregate)) for method, estimates in rows.items()])
        panel.set_title(title, fontsize=10, loc="left")
    figure.suptitle(
        f"Atari 100k, human-normalised, {len(result.games)} games (Table 1 has only means of the grey methods, "
        "from which neither interquartile mean nor optimality gap follow)",
        fontsize=10,
    )
    return figure


def _aggregate_panel(axes: Axes, rows: list[tuple[str, Estimate | None]]) -> None:
    known = [estimate for _, estimate in rows if estimate is not None]
    for place, (method, estimate) in enumerate(rows):
        if estimate is not None:
            _interval(axes, place, estimate, _colour(method))
    axes.set_yticks(range(len(rows)), [method for method, _ in rows])
    most = max(estimate.high or estimate.value for estimate in known)
    axes.set_xlim(min(0, *(estimate.value for estimate in known)), 1.08 * max(0.1, most))
    axes.grid(axis="x", color=GUIDE, linewidth=0.6)
    _plain(axes)


def games_plot(result: SuiteResult) -> Figure:
    """Every run of every game, and the paper's mean."""
    games = sorted(result.games, key=lambda game: float(game.normalised.mean()))
    figure = _figure(8, 0.26 * len(games) + 1.6)
    axes = figure.subplots()
    places = np.arange(len(games))
    axes.barh(places, [game.normalised.mean() for game in games], color=OURS, alpha=0.35, label=f"{NAME}, mean")
    for place, game in zip(places, games, strict=True):
        axes.plot(game.normalised, np.full(len(game.normalised), place), ".", color=OURS, markersize=4)
    axes.plot(
        [game.paper.mean() for game in games], places, "|", color=PAPER, markersize=11, label=f"{DIAMOND} (paper)"
    )
    axes.axvline(1, color=OTHERS, linewidth=0.8, linestyle="--", label="human")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks([0, 0.5, 1, 2, 5, 10], ["0", "0.5", "1", "2", "5", "10"])
    axes.set_yticks(places, [game.game for game in games], fontsize=8)
    axes.set_xlim(left=min(-0.1, *(float(game.normalised.min()) - 0.05 for game in games)))
    axes.set_ylim(-0.7, len(games) - 0.3)
    axes.set_xlabel("human-normalised score (linear up to 1, then logarithmic)")
    axes.legend(frameon=False, loc="lower right")
    _plain(axes)
    return figure


def profile_plot(result: SuiteResult) -> Figure:
    """Share of the runs above every score."""
    figure = _figure(7, 4.2)
    axes = figure.subplots()
    curves = ((f"{DIAMOND} (paper)", result.paper_profile, PAPER), (NAME, result.profile, OURS))
    for label, curve, colour in curves:
        axes.plot(PROFILE_THRESHOLDS, [estimate.value for estimate in curve], color=colour, label=label)
        if curve[0].low is not None:
            lows, highs = ([getattr(estimate, end) for estimate in curve] for end in ("low", "high"))
            axes.fill_between(PROFILE_THRESHOLDS, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.axvline(1, color=OTHERS, linewidth=0.8, linestyle="--", label="human")
    axes.set_xlim(0, PROFILE_THRESHOLDS[-1])
    axes.set_ylim(0, 1)
    axes.set_xlabel("human-normalised score τ")
    axes.set_ylabel("share of runs above τ")
    axes.legend(frameon=False)
    axes.grid(color=GUIDE, linewidth=0.6)
    _plain(axes)
    return figure


def improvement_plot(result: SuiteResult) -> Figure:
    """Chance that a run scores more than another method on a game."""
    figure = _figure(6, 0.35 * len(result.improvement) + 1.2)
    axes = figure.subplots()
    for place, (method, estimate) in enumerate(result.improvement.items()):
        _interval(axes, place, estimate, _colour(method))
    axes.axvline(0.5, color=OTHERS, linewidth=0.8, linestyle="--")
    axes.set_xlim(0, 1)
    axes.set_yticks(range(len(result.improvement)), list(result.improvement))
    axes.set_xlabel(f"probability that one of {NAME} scores more on a game")
    axes.grid(axis="x", color=GUIDE, linewidth=0.6)
    _plain(axes)
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _interval(axes: Axes, place: int, estimate: Estimate, colour: str) -> None:
    if estimate.low is not None and estimate.high is not None:
        axes.barh(place, estimate.high - estimate.low, left=estimate.low, height=0.5, color=colour, alpha=0.35)
    axes.plot(estimate.value, place, "|", color=colour, markersize=13, markeredgewidth=2)


def _colour(method: str) -> str:
    return OURS if method == NAME else PAPER if method == DIAMOND else OTHERS


def _plain(axes: Axes) -> None:
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
