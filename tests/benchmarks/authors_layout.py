"""A package with the modules, names and signatures that ``--against`` knows; its networks are as small as can be."""

from pathlib import Path

FILES = {
    "models/__init__.py": "",
    "models/diffusion/__init__.py": """
from dataclasses import dataclass

import torch
from torch import nn

import nowhere_installed
from nowhere_installed.logging import log


@dataclass
class InnerModelConfig:
    img_channels: int
    num_steps_conditioning: int
    channels: list
    num_actions: int = None


@dataclass
class DenoiserConfig:
    inner_model: InnerModelConfig
    sigma_data: float


class Denoiser(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        assert type(cfg.inner_model.channels) is list
        self.conv = nn.Conv2d(cfg.inner_model.img_channels * (cfg.inner_model.num_steps_conditioning + 1), 3, 1)


@dataclass
class DiffusionSamplerConfig:
    num_steps_denoising: int
    sigma_max: float = 5


class DiffusionSampler:
    def __init__(self, denoiser, cfg):
        self.denoiser, self.cfg = denoiser, cfg

    def sample(self, obs, act):
        x = torch.randn_like(obs[:, -1]) * self.cfg.sigma_max
        for _ in range(self.cfg.num_steps_denoising):
            x = self.denoiser.conv(torch.cat((obs.flatten(1, 2), x), dim=1)).tanh()
        return x, [x]
""",
    "models/rew_end_model.py": """
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class RewEndModelConfig:
    lstm_dim: int
    img_size: int
    num_actions: int


class RewEndModel(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, cfg.lstm_dim, batch_first=True), nn.Linear(cfg.lstm_dim, 5)

    def predict_rew_end(self, obs, act, next_obs, hx_cx=None):
        x, hx_cx = self.lstm(torch.cat((obs, next_obs), dim=2).mean((3, 4)), hx_cx)
        logits = self.head(x)
        return logits[..., :3], logits[..., 3:], hx_cx
""",
    "models/actor_critic.py": """
from dataclasses import dataclass

from torch import nn

from envs import WorldModelEnv


@dataclass
class ActorCriticConfig:
    lstm_dim: int
    num_actions: int
    down: list


class ActorCritic(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.lstm, self.actor = nn.LSTMCell(3, cfg.lstm_dim), nn.Linear(cfg.lstm_dim, cfg.num_actions)

    def predict_act_value(self, obs, hx_cx):
        hx, cx = self.lstm(obs.mean((2, 3)), hx_cx)
        return self.actor(hx), hx[:, 0], (hx, cx)
""",
    "envs/__init__.py": "from .world_model_env import WorldModelEnv",
    "envs/world_model_env.py": """
from dataclasses import dataclass

import torch

from models.diffusion import DiffusionSampler, DiffusionSamplerConfig


@dataclass
class WorldModelEnvConfig:
    horizon: int
    num_batches_to_preload: int
    diffusion_sampler: DiffusionSamplerConfig


class WorldModelEnv:
    def __init__(self, denoiser, rew_end_model, data_loader, cfg, return_denoising_trajectory=False):
        self.sampler, self.rew_end_model = DiffusionSampler(denoiser, cfg.diffusion_sampler), rew_end_model
        self.loader, self.num_envs = iter(data_loader), data_loader.batch_sampler.batch_size

    def reset(self):
        batch = next(self.loader)
        self.obs, self.act = batch.obs, batch.act
        assert len(self.obs) == len(self.act) == self.num_envs
        self.state = self.rew_end_model.predict_rew_end(self.obs[:, :-1], self.act[:, :-1], self.obs[:, 1:])[2]
        return self.obs[:, -1], {}

    def reset_dead(self, dead):
        raise AssertionError("dreams are to go on")

    def step(self, act):
        self.act[:, -1] = act
        frame, _ = self.sampler.sample(self.obs, self.act)
        last = self.obs[:, -1:], self.act[:, -1:], frame[:, None]
        *_, self.state = self.rew_end_model.predict_rew_end(*last, self.state)
        self.obs = torch.cat((self.obs[:, 1:], frame[:, None]), dim=1)
        self.reset_dead(torch.ones(self.num_envs, dtype=torch.bool))
        return frame, None, None, None, {}
""",
}


def write_authors_layout(folder: Path) -> Path:
    """The package, in a folder ``src``."""
    source = folder / "src"
    for name, text in FILES.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return source
