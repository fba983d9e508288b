"""Results of ``measure_play`` as a flat report and as tables."""

from __future__ import annotations

from rich.table import Table

from training.evaluation.metrics import Share
from training.evaluation.play.ball_events import EventFidelity
from training.evaluation.play.closed_loop import FEWEST_TO_RANK, ClosedLoop, Side
from training.evaluation.play.measurement import Play
from training.evaluation.play.moving_pixels import MovingPixels
from training.evaluation.play.one_ball import OneBall
from training.evaluation.play.sharpness import Sharpness
from training.evaluation.reports.report import Report, shown
from training.evaluation.scores.aggregates import Estimate

PER = 1000
"""Steps for which rewards are shown to a person."""


def play_report(play: Play) -> Report:
    """Everything, by plain names; intervals end in ``_low`` and ``_high``, numbers of things in ``_n``."""
    report: Report = {}
    if play.closed_loop is not None:
        report |= _closed_loop_report(play.closed_loop)
    for event in play.events:
        report |= _event_report(event)
    if play.one_ball is not None:
        for side, things in (("dream", play.one_ball.dreamed), ("real", play.one_ball.real)):
            report |= {f"{side}_{name}": value for name, value in vars(things).items() if name != "frames"}
            report[f"{side}_frames_watched"] = things.frames
    for at in play.moving_pixels:
        report[f"moving_pixels_dream_{at.step}"] = at.dreamed
        report[f"moving_pixels_repeated_{at.step}"] = at.repeated
        report[f"moving_pixels_{at.step}_n"] = at.n
    for at in play.sharpness:
        report[f"{at.stage}_sharpness_{at.step}"] = at.ratio
        report[f"{at.stage}_sharpness_{at.step}_n"] = at.n
    return report


def play_tables(play: Play) -> list[Table | str]:
    """One table for every part that was measured, each with what it says in words."""
    parts: list[Table | str] = []
    if play.closed_loop is not None:
        parts += [_players_table(play.closed_loop), *_correlation_lines(play.closed_loop)]
    if play.events:
        parts.append(_events_table(play.events))
    if play.one_ball is not None:
        parts.append(_one_ball_table(play.one_ball))
    if play.moving_pixels:
        parts.append(_moving_table(play.moving_pixels))
    if play.sharpness:
        parts.append(_sharpness_table(play.sharpness))
    return parts


def _closed_loop_report(loop: ClosedLoop) -> Report:
    report: Report = {
        "return_rank_correlation": loop.return_correlation,
        "return_rank_correlation_n": loop.returns_ranked,
        "reward_rank_correlation": loop.reward_correlation,
        "reward_rank_correlation_n": len(loop.players),
    }
    for player in loop.players:
        for side, found in (("dream", player.dreamed), ("real", player.real)):
            name = f"{side}_{_slug(player.name)}"
            report |= {
                f"{name}_steps": found.steps,
                f"{name}_ends": found.ends,
                f"{name}_points_for": found.gained,
                f"{name}_points_against": found.lost,
                **_interval(f"{name}_steps_between_ends", found.steps_between_ends),
                **_interval(f"{name}_reward_per_step", found.reward_per_step),
                **_interval(f"{name}_return_per_life", found.return_per_life),
            }
    return report


def _interval(name: str, estimate: Estimate | None) -> Report:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _event_report(event: EventFidelity) -> Report:
    name = _slug(event.kind)
    report: Report = {f"{name}_n": event.n}
    for step, share in event.near.items():
        report |= _share(f"{name}_ball_near_{step}", share)
    for said, share in (("told", event.told), ("made_up", event.made_up)):
        report |= {} if share is None else _share(f"{name}_{said}", share)
    return report


def _share(name: str, share: Share) -> Report:
    low, high = share.interval or (None, None)
    return {name: share.value, f"{name}_low": low, f"{name}_high": high, f"{name}_n": share.n}


def _slug(name: str) -> str:
    return name.replace(" ", "_")


def _players_table(loop: ClosedLoop) -> Table:
    """Two rows for every player; rewards of both signs only where there are any below 0."""
    points = any(side.lost for player in loop.players for side in (player.dreamed, player.real))
    titles = ["steps between ends", f"reward / {PER:,} steps", "return a life"]
    titles += ["points"] if points else []
    table = Table("player", "", *titles, title="dream and real game, with 95 % intervals")
    for player in loop.players:
        table.add_row(player.name, "dream", *_side_cells(player.dreamed, points))
        table.add_row("", "real", *_side_cells(player.real, points), end_section=True)
    return table


def _side_cells(side: Side, points: bool) -> list[str]:
    between, earned, returned = side.steps_between_ends, side.reward_per_step, side.return_per_life
    lived = _estimate(between, 1) if between else f"no end in {side.steps:,}"
    cells = [lived, _estimate(earned, 1, PER), _estimate(returned, 2)]
    return [*cells, f"{side.gained}:{side.lost}"] if points else cells


def _estimate(estimate: Estimate | None, digits: int, factor: float = 1.0) -> str:
    """Such as ``64.1 (58.0–71.2)``; ``?`` for an end at which nothing ended in a bootstrap sample."""
    if estimate is None:
        return "–"
    value = f"{factor * estimate.value:,.{digits}f}"
    low, high = ("?" if end is None else f"{factor * end:,.{digits}f}" for end in (estimate.low, estimate.high))
    return f"{value} ({low}–{high})"


def _correlation_lines(loop: ClosedLoop) -> list[str]:
    if loop.return_correlation is None:
        returns = (
            f"not ranked by their return: {loop.returns_ranked} of {len(loop.players)} players have ends on both sides "
            f"and returns that differ, {FEWEST_TO_RANK} are needed"
        )
    else:
        returns = (
            f"rank correlation of the return a life over {loop.returns_ranked} players: {loop.return_correlation:.2f}"
        )
    if loop.reward_correlation is None:
        return [returns]
    return [returns, f"of the reward a step over {len(loop.players)} players: {loop.reward_correlation:.2f}"]


def _events_table(events: list[EventFidelity]) -> Table:
    """A row for every step of every kind of event, and for what is rewarded or ends."""
    title = "real events dreamed: the ball within 3 pixels of the real one, reward or end"
    table = Table("event", "dreams", "what", "of", "share", "95 % interval", title=title)
    for event in events:
        rows = {f"ball after {step}": share for step, share in event.near.items()}
        rows |= {name: share for name, share in (("in time", event.told), ("made up", event.made_up)) if share}
        for row, (name, share) in enumerate(rows.items(), start=1):
            label = (event.kind, str(event.n)) if row == 1 else ("", "")
            interval = "–" if share.interval is None else "{:.2f}–{:.2f}".format(*share.interval)
            table.add_row(*label, name, str(share.n), shown(share.value), interval, end_section=row == len(rows))
    return table


def _one_ball_table(found: OneBall) -> Table:
    title = f"share of {found.dreamed.frames:,} frames, nothing ends the dream"
    table = Table("", "dream", "real", title=title)
    for name in (name for name in vars(found.real) if name != "frames"):
        label = name.replace("_", " ")
        table.add_row(label, shown(float(getattr(found.dreamed, name))), shown(float(getattr(found.real, name))))
    return table


def _moving_table(pixels: list[MovingPixels]) -> Table:
    table = Table("step", "dreams", "dream", "repeated frame", title="share of moving pixels within 16 levels")
    for at in pixels:
        table.add_row(str(at.step), str(at.n), shown(at.dreamed), shown(at.repeated))
    return table


def _sharpness_table(found: list[Sharpness]) -> Table:
    table = Table("stage", "step", "dreams", "gradient energy (real = 1)", title="sharpness beside recordings")
    for at in found:
        table.add_row(at.stage, str(at.step), str(at.n), shown(at.ratio))
    return table
