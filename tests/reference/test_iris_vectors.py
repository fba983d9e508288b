"""Every group of the IRIS reference vectors: tokenizer, transformer, cache, losses, imagination."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diamond_engine.checkpoints import load_strictly
from diamond_engine.frames import to_uint8
from diamond_engine.networks import Tokenizer, TokenizerConfig, TokenTransformer, TokenTransformerConfig
from diamond_engine.networks.token_transformer import TokenBatch, token_loss
from diamond_engine.networks.tokenizer import tokenizer_loss
from diamond_engine.runtime.token_step import TokenMemory, TokenStep
from tests.reference.vectors import DATA, Vectors, assert_close, assert_gradient_close

VECTORS = Vectors("iris", Path(os.environ.get("IRIS_REFERENCE_VECTORS", DATA / "iris")))
COVERED = {"tokenizer", "tokenizer_loss", "world_model", "kv_cache", "world_model_loss", "imagination"}


def tokenizer_config() -> TokenizerConfig:
    """The sizes of the vectors' tokenizer."""
    meta = VECTORS.meta["encoder_decoder"]
    return TokenizerConfig(
        img_channels=meta["in_channels"],
        img_size=meta["resolution"],
        channels=meta["ch"],
        multipliers=tuple(meta["ch_mult"]),
        res_blocks=meta["num_res_blocks"],
        attention_sizes=tuple(meta["attn_resolutions"]),
        latent_channels=meta["z_channels"],
        code_size=VECTORS.meta["embed_dim"],
        vocabulary=VECTORS.meta["vocab_size"],
    )


def transformer_config() -> TokenTransformerConfig:
    """The sizes of the vectors' world model."""
    meta = VECTORS.meta["world_model"]
    return TokenTransformerConfig(
        num_actions=VECTORS.meta["num_actions"],
        vocabulary=VECTORS.meta["vocab_size"],
        tokens=meta["tokens_per_block"] - 1,
        max_blocks=meta["max_blocks"],
        layers=meta["num_layers"],
        heads=meta["num_heads"],
        width=meta["embed_dim"],
        dropout=meta["embed_pdrop"],
    )


@pytest.fixture
def tokenizer() -> Tokenizer:
    network = Tokenizer(tokenizer_config())
    load_strictly(network, VECTORS.components["tokenizer"], "vectors")
    return network.eval()


@pytest.fixture
def transformer() -> TokenTransformer:
    network = TokenTransformer(transformer_config())
    load_strictly(network, VECTORS.components["transformer"], "vectors")
    return network.eval()


def signed(images: Tensor) -> Tensor:
    """[0, 1] → [-1, 1]."""
    return images * 2 - 1


def test_every_group_is_covered() -> None:
    assert set(VECTORS.groups) == COVERED


@torch.no_grad()
def test_tokenizer(tokenizer: Tokenizer) -> None:
    g = VECTORS.groups["tokenizer"]
    encoded = tokenizer.encode(signed(g["obs"]))
    assert_close(encoded.latents, g["z"])
    assert_close(encoded.quantised, g["z_quantized"])
    assert torch.equal(encoded.tokens, g["tokens"])
    assert_close(tokenizer.draw(encoded.quantised), signed(g["reconstruction"]), 2e-4)
    assert_close(tokenizer(signed(g["obs"])), signed(g["encode_decode"]), 2e-4)


def test_tokenizer_loss(tokenizer: Tokenizer) -> None:
    g = VECTORS.groups["tokenizer_loss"]
    losses, _ = tokenizer_loss(tokenizer, signed(VECTORS.groups["tokenizer"]["obs"]))
    assert_close(losses.reconstruction, g["reconstruction"])
    assert_close(losses.commitment, g["commitment"])
    losses.total.backward()
    assert_gradient_close(tokenizer.encoder.conv_in.weight.grad, g["grad_conv_in"])
    assert_gradient_close(tokenizer.embedding.weight.grad, g["grad_embedding"])


@torch.no_grad()
def test_transformer(transformer: TokenTransformer) -> None:
    g = VECTORS.groups["world_model"]
    foretold = transformer(g["tokens"])
    assert_close(foretold.outputs, g["output_sequence"])
    assert_close(foretold.tokens, g["logits_observations"])
    assert_close(foretold.rewards, g["logits_rewards"])
    assert_close(foretold.ends, g["logits_ends"])


@torch.no_grad()
def test_cache(transformer: TokenTransformer) -> None:
    tokens, g = VECTORS.groups["world_model"]["tokens"], VECTORS.groups["kv_cache"]
    block = transformer.cfg.block
    cache = transformer.cache(len(tokens))
    first = transformer.advance(tokens[:, : block - 1], cache)
    assert_close(transformer.head_observations(first[:, :-1]), g["observation_logits_of_first_block"])
    after = transformer.advance(tokens[:, block - 1 : block], cache)
    assert_close(after, g["after_action"])
    assert_close(transformer.head_observations(after), g["first_token"])
    assert_close(transformer.head_rewards(after), g["rewards"])
    assert_close(transformer.head_ends(after), g["ends"])
    following = g["next_eight"].shape[1]
    assert_close(transformer.advance(tokens[:, block : block + following], cache), g["next_eight"])


def test_transformer_loss(transformer: TokenTransformer, tokenizer: Tokenizer) -> None:
    g = VECTORS.groups["world_model_loss"]
    frames = signed(g["observations"])
    with torch.no_grad():
        tokens = tokenizer.encode(frames.flatten(0, 1)).tokens.unflatten(0, frames.shape[:2])
    losses = token_loss(transformer, TokenBatch(tokens, g["actions"], g["rewards"], g["ends"], g["mask_padding"]))
    assert_close(losses.tokens, g["loss_obs"])
    assert_close(losses.reward, g["loss_rewards"])
    assert_close(losses.end, g["loss_ends"])
    assert_close(losses.total, g["total"])
    losses.total.backward()
    assert_gradient_close(transformer.transformer.blocks[0].attn.key.weight.grad, g["grad_first_key"])
    assert_gradient_close(transformer.pos_emb.weight.grad, g["grad_pos_emb"])


@torch.no_grad()
def test_imagination(transformer: TokenTransformer, tokenizer: Tokenizer) -> None:
    g = VECTORS.groups["imagination"]
    draws = iter(g["draws"].unbind(1))
    step = TokenStep(tokenizer, transformer, lambda logits: next(draws), lambda stage, frame: None)
    memory = started(step, g["start"])
    tokens, frames = [memory.tokens.clone()], [memory.shown.clone()]
    for i, action in enumerate(g["actions"].unbind(1)):
        memory.actions[:, -1] = action
        step.draw(memory)
        assert memory.cache.sizes.tolist() == [g["cache_sizes"][i]] * len(action)
        assert torch.equal(memory.rewards, g["rewards"][:, i])
        assert torch.equal(memory.ends, g["ends"][:, i])
        tokens.append(memory.tokens.clone())
        frames.append(memory.shown.clone())
    assert next(draws, None) is None
    assert torch.equal(torch.stack(tokens, dim=1), g["tokens"])
    shown = to_uint8(torch.stack(frames[::2], dim=1)).movedim(-1, -3)
    assert (shown.int() - g["frames"].int()).abs().max() <= 1


def started(step: TokenStep, frames: Tensor) -> TokenMemory:
    """Dreams that start from one frame each, ``(B, C, H, W)`` in [0, 1], not rounded to 8 bits."""
    frames = signed(frames)
    tokens = step.tokenizer.encode(frames).tokens
    cache = step.transformer.cache(len(frames))
    step.transformer.advance(tokens, cache)
    rewards = torch.zeros(len(frames))
    actions = torch.zeros((len(frames), 1), dtype=torch.int64)
    return TokenMemory(step.tokenizer.decode(tokens)[:, None], actions, rewards, rewards.bool(), tokens, cache)
