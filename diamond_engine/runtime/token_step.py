"""A step of dreams that are made of tokens: the world model of IRIS, one token after the other.

Shapes: B dreams, L context length, K tokens a frame, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diamond_engine.contexts import StartContexts
from diamond_engine.frames import from_numpy
from diamond_engine.networks import Tokenizer, TokenTransformer
from diamond_engine.networks.token_transformer import KeyValues
from diamond_engine.runtime.frame_step import Memory, OnStage, push

Choose = Callable[[Tensor], Tensor]
"""Chooses a class for every row of logits ``(B, K)``: int64 ``(B,)``."""


@dataclass(frozen=True)
class TokenMemory(Memory):
    """``Memory`` and what the transformer has seen. Frames are reconstructions, ``(B, L, C, H, W)``."""

    tokens: Tensor
    """Of the newest frame, int64 ``(B, K)``."""
    cache: KeyValues
    """Of all frames up to the newest, and the actions between them."""

    @property
    def tensors(self) -> list[Tensor]:
        """See ``Memory.tensors``."""
        return [*super().tensors, self.tokens, *self.cache.tensors]

    def begin(self, where: Tensor, start: TokenMemory) -> None:
        """See ``Memory.begin``."""
        super().begin(where, start)
        self.tokens[where] = start.tokens
        self.cache.take(np.flatnonzero(where.cpu().numpy()).tolist(), start.cache)


class TokenStep:
    """Draws the next frame of every dream token by token, and its reward and end: a ``FrameStep``.

    Where the transformer could not see another block, it goes on from the newest frame alone: all before is forgotten.
    """

    recordable = False

    def __init__(
        self,
        tokenizer: Tokenizer,
        transformer: TokenTransformer,
        choose: Choose,
        on_stage: OnStage,
        judges: bool = True,
    ) -> None:
        """``choose`` draws all that is foretold; rewards and ends only where ``judges``."""
        self.tokenizer, self.transformer, self.judges = tokenizer, transformer, judges
        self._choose, self._on_stage = choose, on_stage

    def begin(self, start: StartContexts) -> TokenMemory:
        """See ``FrameStep.begin``."""
        device = self.transformer.pos_emb.weight.device
        frames = from_numpy(start.frames, device)
        count, length = frames.shape[:2]
        tokens = self.tokenizer.encode(frames.flatten(0, 1)).tokens
        shown = self.tokenizer.decode(tokens).reshape(frames.shape)
        tokens = tokens.reshape(count, length, -1)
        actions = torch.zeros((count, length), dtype=torch.int64, device=device)
        actions[:, :-1] = torch.as_tensor(start.actions, dtype=torch.int64, device=device)
        cache = self.transformer.cache(count)
        self.transformer.advance(torch.cat((tokens, actions[..., None]), dim=2).flatten(1)[:, :-1], cache)
        rewards = torch.zeros(count, device=device)
        return TokenMemory(shown, actions, rewards, rewards.bool(), tokens[:, -1].clone(), cache)

    def draw(self, memory: TokenMemory) -> None:
        """See ``FrameStep.draw``."""
        transformer, cache = self.transformer, memory.cache
        self._make_room(memory)
        output = transformer.advance(memory.actions[:, -1:], cache)[:, 0]
        if self.judges:
            memory.rewards.copy_(self._choose(transformer.head_rewards(output)) - 1)
            memory.ends.copy_(self._choose(transformer.head_ends(output)))
        for i in range(transformer.cfg.tokens):
            token = self._choose(transformer.head_observations(output))
            memory.tokens[:, i] = token
            output = transformer.advance(token[:, None], cache)[:, 0]
        frame = self.tokenizer.decode(memory.tokens)
        self._on_stage("dynamics", frame)
        push(memory.frames, frame)
        push(memory.actions, torch.zeros_like(memory.actions[:, -1]))

    def _make_room(self, memory: TokenMemory) -> None:
        """For a block in every sequence."""
        cfg, cache = self.transformer.cfg, memory.cache
        full = np.flatnonzero((cache.sizes + cfg.block > cfg.positions).numpy()).tolist()
        if full:
            anew = self.transformer.cache(len(full))
            self.transformer.advance(memory.tokens[full], anew)
            cache.take(full, anew)
