"""Noise levels of a large loss do not drown those of a small one."""

import pytest
import torch

from training.components.level_weights import LevelWeights

HIGH, LOW = 5.0, 0.002


def weights_after(batches: int, losses: dict[float, float]) -> tuple[LevelWeights, dict[float, float]]:
    weights = LevelWeights()
    sigma = torch.tensor(list(losses), dtype=torch.float32)
    given = torch.zeros(len(losses))
    for _ in range(batches):
        given = weights(sigma, torch.tensor(list(losses.values())))
    return weights, dict(zip(losses, given.tolist(), strict=True))


def test_levels_weigh_as_their_loss_is_small() -> None:
    _, given = weights_after(3, {HIGH: 0.01, LOW: 0.2})
    assert given == {HIGH: pytest.approx(1.0), LOW: pytest.approx(0.05)}


def test_the_mean_follows_a_loss_that_falls() -> None:
    weights, _ = weights_after(1, {HIGH: 0.01, LOW: 0.2})
    sigma, falling = torch.tensor([HIGH, LOW]), torch.tensor([0.01, 0.02])
    given = [weights(sigma, falling)[1].item() for _ in range(1000)]
    assert given == sorted(given)
    assert given[0] < 0.06
    assert given[-1] == pytest.approx(0.5, abs=0.01)


def test_levels_beyond_the_bins_count_with_the_nearest() -> None:
    _, given = weights_after(1, {1e-9: 0.5, 1e9: 0.25})
    assert given == {1e-9: pytest.approx(0.5), 1e9: pytest.approx(1.0)}


def test_what_is_learned_from_continues_after_a_pause() -> None:
    weights, _ = weights_after(2, {HIGH: 0.01, LOW: 0.2})
    resumed = LevelWeights()
    resumed.load_state_dict(weights.state_dict())
    sigma, losses = torch.tensor([HIGH, LOW]), torch.tensor([0.05, 0.1])
    assert torch.equal(resumed(sigma, losses), weights(sigma, losses))
