"""The pooled reward/end model has the interface of the paper's."""

import torch

from diamond_engine.networks import RewardEndModel, RewardEndModelConfig

POOLED = RewardEndModelConfig(num_actions=3, lstm_dim=16, cond_channels=4, channels=(4, 8), img_size=16, pooled=True)


@torch.no_grad()
def test_shapes_and_state_carry_over() -> None:
    torch.manual_seed(0)
    model = RewardEndModel(POOLED).eval()
    obs, act = torch.rand(2, 4, 3, 16, 16), torch.randint(3, (2, 4))
    rewards, ends, _ = model(obs[:, :-1], act[:, :-1], obs[:, 1:])
    assert rewards.shape == (2, 3, 3)
    assert ends.shape == (2, 3, 2)
    _, _, state = model(obs[:, :2], act[:, :2], obs[:, 1:3])
    last, _, _ = model(obs[:, 2:3], act[:, 2:3], obs[:, 3:], state)
    torch.testing.assert_close(last[:, 0], rewards[:, 2])
