"""A world of IRIS: a tokenizer and a transformer (Micheli et al., 2023).

Its folder holds ``world.yaml``, ``tokenizer.safetensors``, ``transformer.safetensors`` and what every world may have.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from diamond_engine.checkpoints import StateDict, built
from diamond_engine.class_sampling import Source, sample_class
from diamond_engine.contexts import StartContexts
from diamond_engine.errors import UsageError
from diamond_engine.games import Game
from diamond_engine.networks import ActorCritic, Tokenizer, TokenizerConfig, TokenTransformer, TokenTransformerConfig
from diamond_engine.runtime import OnStage, Runtime, TokenStep
from diamond_engine.world_model import Preset, World, WorldConfig, wrong_actions, wrong_judge

IRIS = "iris"


@dataclass(frozen=True)
class TokenPreset(Preset):
    """How tokens, rewards and ends are drawn."""

    temperature: float = 1.0
    """Logits are divided by it: below 1 what is likely is drawn more often than it is foretold."""

    def with_steps(self, steps: int | None = None, upsampler_steps: int | None = None) -> Self:
        """See ``Preset.with_steps``: there are none."""
        if steps is not None or upsampler_steps is not None:
            raise UsageError("a world of IRIS draws tokens: it has no denoising steps to choose")
        return self


TOKEN_PRESETS = {"quality": TokenPreset()}


@dataclass(frozen=True, kw_only=True)
class TokenWorldConfig(WorldConfig):
    """What ``world.yaml`` holds of a world of IRIS."""

    kind: str = IRIS
    presets: dict[str, TokenPreset] = field(default_factory=lambda: dict(TOKEN_PRESETS))
    tokenizer: TokenizerConfig
    """Frames to tokens and back."""
    transformer: TokenTransformerConfig
    """What foretells tokens, rewards and ends."""
    context_frames: int = 4
    """Frames that a dream starts from. IRIS starts from one, which does not say where things are moving."""

    @property
    def components(self) -> dict[str, Any]:
        """See ``WorldConfig.components``."""
        return {"tokenizer": self.tokenizer, "transformer": self.transformer, "actor_critic": self.actor_critic}

    @property
    def context_length(self) -> int:
        """See ``WorldConfig.context_length``."""
        return self.context_frames

    @property
    def num_actions(self) -> int:
        """See ``WorldConfig.num_actions``."""
        return self.transformer.num_actions

    def network_calls(self, preset: Preset) -> int:
        """One for the action, and one for every token."""
        return self.transformer.block

    def problem(self, game: Game) -> str | None:
        """See ``WorldConfig.problem``."""
        tokenizer, transformer = self.tokenizer, self.transformer
        if (tokenizer.tokens, tokenizer.vocabulary) != (transformer.tokens, transformer.vocabulary):
            return "the tokenizer and the transformer are for other tokens"
        if transformer.width % transformer.heads:
            return f"a width of {transformer.width} for {transformer.heads} heads"
        if self.context_frames > transformer.max_blocks:
            return f"contexts of {self.context_frames} frames, the transformer sees {transformer.max_blocks}"
        if any(preset.temperature == 0 for preset in self.presets.values()):
            return "a temperature is more than 0"
        if self.default_preset not in self.presets:
            return f"it has no preset {self.default_preset}"
        return wrong_actions(self, game, (transformer, self.actor_critic)) or wrong_judge(
            self, {"tokenizer": tokenizer, "actor_critic": self.actor_critic}
        )

    def build(
        self,
        states: dict[str, StateDict],
        origin: str,
        contexts: StartContexts | None,
        dtype: torch.dtype = torch.float32,
    ) -> TokenWorld:
        """See ``WorldConfig.build``."""
        agent = self.actor_critic
        return TokenWorld(
            config=self,
            tokenizer=built(Tokenizer, self.tokenizer, "tokenizer", states, origin, dtype),
            transformer=built(TokenTransformer, self.transformer, "transformer", states, origin, dtype),
            actor_critic=None if agent is None else built(ActorCritic, agent, "actor_critic", states, origin, dtype),
            contexts=contexts,
        )


@dataclass(frozen=True, kw_only=True)
class TokenWorld(World):
    """A loaded world of IRIS."""

    config: TokenWorldConfig
    tokenizer: Tokenizer
    transformer: TokenTransformer
    judging: bool = True
    """Whether rewards and ends are drawn."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        """See ``World.networks``."""
        agent = {} if self.actor_critic is None else {"actor_critic": self.actor_critic}
        return {"tokenizer": self.tokenizer, "transformer": self.transformer, **agent}

    @property
    def judges(self) -> bool:
        """See ``World.judges``."""
        return self.judging

    def unjudged(self) -> Self:
        """See ``World.unjudged``."""
        return replace(self, judging=False)

    def frame_step(self, runtime: Runtime, preset: Preset, source: Source, on_stage: OnStage) -> TokenStep:
        """See ``World.frame_step``."""
        if not isinstance(preset, TokenPreset):
            raise UsageError(f"{self.config.name} is a world of IRIS: a sampler of diffusion does not draw its frames")

        def choose(logits: Tensor) -> Tensor:
            return sample_class(logits / preset.temperature, source)

        tokenizer, transformer = runtime.for_inference(self.tokenizer), runtime.for_inference(self.transformer)
        return TokenStep(tokenizer, transformer, choose, on_stage, self.judging)


def iris_world_config(game: Game) -> TokenWorldConfig:
    """The published architecture for a game."""
    return TokenWorldConfig(
        name=game.world,
        game=game.name,
        frame_rate=game.frame_rate,
        frame_height=game.frame_height,
        frame_width=game.frame_width,
        controls=game.controls,
        tokenizer=TokenizerConfig(),
        transformer=TokenTransformerConfig(num_actions=len(game.actions)),
    )
