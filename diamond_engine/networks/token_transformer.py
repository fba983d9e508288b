"""The world model of IRIS: a transformer over the tokens of frames and actions (Micheli et al., 2023).

A block is the K tokens of a frame, then the action taken at it. The outputs at the action and at all but the last
token foretell the next frame's tokens one by one; those at actions also the reward and the end.
Shapes: B batch, T positions, N blocks, K tokens a frame, V kinds of tokens, D width, H heads, d = D / H.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond_engine.networks.reward_end import END_CLASSES, REWARD_CLASSES

INIT_STD = 0.02
IGNORED = -100
"""Label of what is not to be foretold."""


@dataclass(frozen=True)
class TokenTransformerConfig:
    """Architecture of ``TokenTransformer``; the defaults are those of the published Atari models."""

    num_actions: int
    """Size of the discrete action set."""
    vocabulary: int = 512
    """Kinds of tokens V."""
    tokens: int = 16
    """Tokens K of a frame."""
    max_blocks: int = 20
    """Frames, each with its action, that it sees at most."""
    layers: int = 10
    """Layers of attention and MLP."""
    heads: int = 4
    """Heads H of attention."""
    width: int = 256
    """Width D."""
    dropout: float = 0.1
    """Share of embeddings, of attention and of every layer's result that training leaves out."""

    @property
    def block(self) -> int:
        """Positions of a block."""
        return self.tokens + 1

    @property
    def positions(self) -> int:
        """Positions it sees at most."""
        return self.block * self.max_blocks


class KeyValues:
    """Keys and values of what B sequences consist of so far; they may be of different lengths."""

    def __init__(self, cfg: TokenTransformerConfig, batch_size: int, like: Tensor) -> None:
        """None so far; of the device and precision of ``like``."""
        shape = (cfg.layers, batch_size, cfg.heads, cfg.positions, cfg.width // cfg.heads)
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.sizes = torch.zeros(batch_size, dtype=torch.int64)
        """Positions of every sequence that are filled ``(B,)``, on the CPU."""

    @property
    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [self.keys, self.values, self.sizes]

    def take(self, rows: list[int], source: KeyValues) -> None:
        """The sequences ``rows`` become those of ``source``, one after the other."""
        length = int(source.sizes.max())
        self.keys[:, rows, :, :length] = source.keys[:, :, :, :length]
        self.values[:, rows, :, :length] = source.values[:, :, :, :length]
        self.sizes[rows] = source.sizes

    def slots(self, count: int) -> Slots:
        """Where the next ``count`` positions of every sequence go."""
        first, longest = int(self.sizes[0]), int(self.sizes.max())
        device, alike = self.keys.device, int(self.sizes.min()) == longest
        starts = (self.sizes[:1] if alike else self.sizes).to(device)
        positions = starts[:, None] + torch.arange(count, device=device)
        length = longest + count
        seen = None
        if not (alike and count == 1):
            seen = (torch.arange(length, device=device) <= positions[..., None])[:, None]
        return Slots(positions, slice(first, first + count) if alike else None, length, seen)

    def add(self, layer: int, keys: Tensor, values: Tensor, slots: Slots) -> tuple[Tensor, Tensor]:
        """Fills slots of a layer ``(B, H, T, d)``; returns all keys and values up to the last, ``(B, H, S, d)``."""
        for kept, new in ((self.keys[layer], keys), (self.values[layer], values)):
            if slots.alike is not None:
                kept[:, :, slots.alike] = new
            else:
                rows = torch.arange(len(new), device=new.device)[:, None]
                kept[rows, :, slots.positions] = new.transpose(1, 2)
        return self.keys[layer, :, :, : slots.length], self.values[layer, :, :, : slots.length]


class Slots(NamedTuple):
    """Places in ``KeyValues``."""

    positions: Tensor
    """Of every new entry, ``(B, T)``, or ``(1, T)`` where all sequences are as long."""
    alike: slice | None
    """The same, where all sequences are as long."""
    length: int
    """Positions S that are filled then, in the longest sequence."""
    seen: Tensor | None
    """What each of the new positions may look at, bool ``(B or 1, 1, T, S)``; None: everything."""


class CausalAttention(nn.Module):
    """Attention to what came before. ``(B, T, D)`` → same; with ``cache``, as the positions that follow those in it."""

    def __init__(self, cfg: TokenTransformerConfig) -> None:
        super().__init__()
        self.heads, self.dropout = cfg.heads, cfg.dropout
        self.key, self.query, self.value = (nn.Linear(cfg.width, cfg.width) for _ in range(3))
        self.proj = nn.Linear(cfg.width, cfg.width)

    def forward(self, x: Tensor, layer: int, cache: KeyValues | None, slots: Slots | None) -> Tensor:
        q, k, v = (
            part(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        if cache is None or slots is None:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        else:
            k, v = cache.add(layer, k, v, slots)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=slots.seen)
        return F.dropout(self.proj(y.transpose(1, 2).flatten(2)), self.dropout, self.training)


class TransformerLayer(nn.Module):
    """Attention, then an MLP, each on the normalised input and added to it. ``(B, T, D)`` → same."""

    def __init__(self, cfg: TokenTransformerConfig) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(cfg.width), nn.LayerNorm(cfg.width)
        self.attn = CausalAttention(cfg)
        self.mlp = nn.Sequential(
            nn.Linear(cfg.width, 4 * cfg.width), nn.GELU(), nn.Linear(4 * cfg.width, cfg.width), nn.Dropout(cfg.dropout)
        )

    def forward(self, x: Tensor, layer: int, cache: KeyValues | None, slots: Slots | None) -> Tensor:
        x = x + self.attn(self.ln1(x), layer, cache, slots)
        return x + self.mlp(self.ln2(x))


class Transformer(nn.Module):
    """All layers and a last norm. ``(B, T, D)`` → same."""

    def __init__(self, cfg: TokenTransformerConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(TransformerLayer(cfg) for _ in range(cfg.layers))
        self.ln_f = nn.LayerNorm(cfg.width)

    def forward(self, x: Tensor, cache: KeyValues | None = None, slots: Slots | None = None) -> Tensor:
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, cache, slots)
        return self.ln_f(x)


class Embedder(nn.Module):
    """Tokens ``(B, T)`` from position ``first`` on → ``(B, T, D)``: table 0 is of actions, 1 of tokens of frames."""

    def __init__(self, cfg: TokenTransformerConfig) -> None:
        super().__init__()
        self.block = cfg.block
        self.embedding_tables = nn.ModuleList(
            nn.Embedding(count, cfg.width) for count in (cfg.num_actions, cfg.vocabulary)
        )

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        actions, frames = self.embedding_tables
        split = self.block - 1
        positions = range(first, first + tokens.shape[1])
        at_actions = [i for i, position in enumerate(positions) if position % self.block == split]
        if len(at_actions) == len(positions):
            return actions(tokens)
        if not at_actions:
            return frames(tokens)
        blank = tokens.clone()
        blank[:, at_actions] = 0
        embedded = frames(blank)
        embedded[:, at_actions] = actions(tokens[:, at_actions]).to(embedded.dtype)
        return embedded


class Head(nn.Module):
    """What the outputs ``(…, D)`` foretell: logits ``(…, classes)``."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head_module = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head_module(x)


class Foretold(NamedTuple):
    """What is foretold of whole blocks."""

    outputs: Tensor
    """Of the transformer, ``(B, N (K + 1), D)``."""
    tokens: Tensor
    """Logits of the tokens that follow, ``(B, N K, V)``: of every frame's tokens but the first of all."""
    rewards: Tensor
    """Logits of −1, 0, +1, ``(B, N, 3)``."""
    ends: Tensor
    """Logits, ``(B, N, 2)``."""


class TokenTransformer(nn.Module):
    """Foretells tokens, rewards and ends.

    ``forward``: frames' tokens and actions in turn, int64 ``(B, N (K + 1))``, from the first position on. ``advance``
    goes on from a cache instead, and leaves the choice of what is foretold to the caller.
    """

    def __init__(self, cfg: TokenTransformerConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.pos_emb = nn.Embedding(cfg.positions, cfg.width)
        self.embedder = Embedder(cfg)
        self.transformer = Transformer(cfg)
        self.head_observations = Head(cfg.width, cfg.vocabulary)
        self.head_rewards = Head(cfg.width, REWARD_CLASSES)
        self.head_ends = Head(cfg.width, END_CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INIT_STD)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Foretold:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        embedded = self.embedder(tokens) + self.pos_emb(positions)
        y = self.transformer(F.dropout(embedded, self.cfg.dropout, self.training))
        at_actions, at_next = head_positions(self.cfg, tokens.shape[1] // self.cfg.block, tokens.device)
        return Foretold(
            y,
            self.head_observations(y[:, at_next]),
            self.head_rewards(y[:, at_actions]),
            self.head_ends(y[:, at_actions]),
        )

    def cache(self, batch_size: int) -> KeyValues:
        """An empty one."""
        return KeyValues(self.cfg, batch_size, self.pos_emb.weight)

    def advance(self, tokens: Tensor, cache: KeyValues) -> Tensor:
        """Adds ``(B, T)``, tokens of frames and actions, to the cache; outputs ``(B, T, D)``.

        All sequences must be at the same position of a block.
        """
        slots = cache.slots(tokens.shape[1])
        x = self.embedder(tokens, int(cache.sizes[0])) + self.pos_emb(slots.positions)
        y = self.transformer(x, cache, slots)
        cache.sizes += tokens.shape[1]
        return y


def head_positions(cfg: TokenTransformerConfig, blocks: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Positions of actions ``(N,)`` and of what foretells a token ``(N K,)``: all but every frame's last token."""
    positions = torch.arange(blocks * cfg.block, device=device)
    place = positions % cfg.block
    return positions[place == cfg.tokens], positions[place != cfg.tokens - 1]


@dataclass(frozen=True)
class TokenBatch:
    """Segments to learn from, of N steps; what is padding comes last."""

    tokens: Tensor
    """Of the frames, int64 ``(B, N, K)``."""
    actions: Tensor
    """int64 ``(B, N)``."""
    rewards: Tensor
    """``(B, N)``; only their sign is learnt."""
    ends: Tensor
    """Whether the episode ended with the step, ``(B, N)``: once a segment at most."""
    mask: Tensor
    """False for padding, bool ``(B, N)``."""
    is_frame: Tensor | None = None
    """Where the frame is real, ``(B, N)``: also after an end, where nothing was done any more; None: as ``mask``."""


@dataclass(frozen=True)
class TokenLosses:
    """Scalars; ``total`` is the one to differentiate."""

    total: Tensor
    tokens: Tensor
    reward: Tensor
    end: Tensor


def token_loss(transformer: TokenTransformer, batch: TokenBatch) -> TokenLosses:
    """Cross-entropies of the next tokens, of reward signs and of ends, each a mean over what is not padding."""
    sequence = torch.cat((batch.tokens, batch.actions[..., None]), dim=2).flatten(1)
    foretold = transformer(sequence)
    padding = ~batch.mask
    no_frame = padding if batch.is_frame is None else ~batch.is_frame
    tokens = batch.tokens.masked_fill(no_frame[..., None], IGNORED).flatten(1)[:, 1:]
    rewards = (batch.rewards.sign().long() + 1).masked_fill(padding, IGNORED)
    ends = batch.ends.long().masked_fill(padding, IGNORED)
    losses = [
        F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)
        for logits, labels in ((foretold.tokens[:, :-1], tokens), (foretold.rewards, rewards), (foretold.ends, ends))
    ]
    return TokenLosses(losses[0] + losses[1] + losses[2], *losses)
