"""A run continues as if it had never stopped, survives damage, and never keeps broken weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diamond_engine.configs import defaults, plain
from diamond_engine.errors import DiamondError, UsageError
from tests.training.trainers import MakeTrainer, denoiser_trainer, metrics_of, reward_end_trainer
from training.components.denoiser import DenoiserTrainingConfig
from training.runs.facts import check_continues
from training.runs.progress import make_console
from training.runs.run import Run


def _run(folder: Path, **options: Any) -> Run:
    return Run(folder, {"seed": 0}, make_console(), log_every=1, **options)


def _train(folder: Path, make: MakeTrainer, episodes: Path, updates: int) -> dict[str, Any]:
    trainer = make(episodes)
    _run(folder).train(trainer, updates, None, folder / "world")
    return trainer.state_dict()


@pytest.mark.parametrize("make", [denoiser_trainer, reward_end_trainer])
def test_stopping_halfway_changes_nothing(make: MakeTrainer, episode_folder: Path, tmp_path: Path) -> None:
    straight = _train(tmp_path / "straight", make, episode_folder, 6)
    _train(tmp_path / "resumed", make, episode_folder, 3)
    resumed = _train(tmp_path / "resumed", make, episode_folder, 6)
    assert [row["step"] for row in metrics_of(tmp_path / "straight")] == [1, 2, 3, 4, 5, 6]
    assert metrics_of(tmp_path / "resumed") == metrics_of(tmp_path / "straight")
    for key, value in straight["network"].items():
        assert torch.equal(resumed["network"][key], value), key
    if "ema" in straight:
        assert all(map(torch.equal, resumed["ema"]["average"], straight["ema"]["average"]))


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(
    episode_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = _train(tmp_path / "straight", denoiser_trainer, episode_folder, 6)
    _train(tmp_path / "run", denoiser_trainer, episode_folder, 2)
    _train(tmp_path / "run", denoiser_trainer, episode_folder, 4)
    newest = tmp_path / "run" / "checkpoints" / "step_00000004.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    state = _train(tmp_path / "run", denoiser_trainer, episode_folder, 6)
    assert "step_00000004.pt is damaged" in capsys.readouterr().err
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "straight")
    assert all(torch.equal(state["network"][key], value) for key, value in straight["network"].items())


def test_other_settings_are_refused(tmp_path: Path) -> None:
    Run(tmp_path, {"seed": 0, "batch_size": 4}, make_console())
    with pytest.raises(UsageError, match=r"other settings \(batch_size\)"):
        Run(tmp_path, {"seed": 0, "batch_size": 8}, make_console())


def test_a_setting_that_is_newer_than_the_run_may_have_its_default(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Optimiser:
        rate: float
        decay: int = 0

    @dataclass(frozen=True)
    class Training:
        optimiser: Optimiser
        crop: int = 0
        weights: tuple[float, ...] = (0.5, 0.5)

    def opened(config: Training) -> None:
        Run(tmp_path, plain(config), make_console(), defaults=defaults(config))

    Run(tmp_path, {"optimiser": {"rate": 0.1}}, make_console())
    opened(Training(Optimiser(0.1)))
    for newer, named in (
        (Training(Optimiser(0.1, decay=9)), "optimiser.decay"),
        (Training(Optimiser(0.1), crop=32), "crop"),
        (Training(Optimiser(0.1), weights=(1.0,)), "weights"),
        (Training(Optimiser(0.2)), "optimiser.rate"),
    ):
        with pytest.raises(UsageError, match=rf"other settings \({named}\)"):
            opened(newer)


def test_a_world_model_run_from_before_a_setting_continues(episode_folder: Path, tmp_path: Path) -> None:
    """What ``world-model`` asks of a folder, with the settings that came last."""
    config = DenoiserTrainingConfig()
    settings = {"game": "Breakout", "seed": 0, **plain(config)}
    Run(tmp_path, settings, make_console())
    path = tmp_path / "config.yaml"
    kept = [line for line in path.read_text().splitlines(True) if line.split(":")[0] not in ("balanced", "first_share")]
    path.write_text("".join(kept))
    check_continues(tmp_path, settings, defaults(config))
    with pytest.raises(UsageError, match=r"other settings \(balanced\)"):
        check_continues(tmp_path, {**settings, "balanced": True}, defaults(config))


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: [", "a: &a [1]\nb: *a\n", "\x00"])
def test_damaged_settings_are_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(DiamondError, match=r"config\.yaml is damaged"):
        check_continues(tmp_path, {"seed": 0}, {})


def test_other_settings_are_named_where_they_are(tmp_path: Path) -> None:
    Run(tmp_path, {"denoiser": {"optimiser": {"epsilon": 1e-8}}}, make_console())
    with pytest.raises(UsageError, match=r"\(denoiser.optimiser.epsilon\)"):
        Run(tmp_path, {"denoiser": {"optimiser": {"epsilon": 1e-6}}}, make_console())


def test_a_checkpoint_of_another_version_is_told(episode_folder: Path, tmp_path: Path) -> None:
    _train(tmp_path, denoiser_trainer, episode_folder, 1)
    with pytest.raises(DiamondError, match="written by another version"):
        _train(tmp_path, reward_end_trainer, episode_folder, 2)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    outer = _Counter()
    outer.update = lambda: _run(tmp_path).train(_Counter(), 1, None, tmp_path / "world")
    with pytest.raises(DiamondError, match="another process is at work in"):
        _run(tmp_path).train(outer, 1, None, tmp_path / "world")


def test_time_budget_stops_and_the_next_call_goes_on(episode_folder: Path, tmp_path: Path) -> None:
    for expected in (1, 2):
        run = _run(tmp_path)
        run.train(denoiser_trainer(episode_folder), 10, 0.0, tmp_path / "world")
        assert run.step == expected


def test_snapshots_and_exports_carry_their_provenance(tmp_path: Path) -> None:
    trainer = _Counter()
    _run(tmp_path, facts=lambda: {"hardware": "abacus"}, snapshots_every=2).train(trainer, 5, None, tmp_path / "world")
    assert [(folder.name, provenance["updates"]) for folder, provenance in trainer.exports] == [
        ("updates_000002", 2),
        ("updates_000004", 4),
        ("world", 5),
    ]
    assert all(provenance["hardware"] == "abacus" for _, provenance in trainer.exports)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_loss_stops_before_anything_is_saved(tmp_path: Path, value: float) -> None:
    trainer = _Counter()
    _run(tmp_path).train(trainer, 2, None, tmp_path / "world")
    trainer.grad_norm = value
    with pytest.raises(DiamondError, match=r"grad_norm is .* at update 3 of .*step_00000002.pt"):
        Run(tmp_path, {"seed": 0}, make_console(), log_every=100).train(trainer, 3, None, tmp_path / "world")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000002.pt"]
    assert [provenance["updates"] for _, provenance in trainer.exports] == [2]


class _Counter:
    """A trainer without a network."""

    def __init__(self) -> None:
        self.grad_norm = 1.0
        self.exports: list[tuple[Path, dict[str, Any]]] = []

    def update(self) -> dict[str, Tensor]:
        return {"loss": torch.tensor(1.0), "grad_norm": torch.tensor(self.grad_norm)}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state == {}

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        self.exports.append((folder, provenance))
