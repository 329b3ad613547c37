"""Chapter 01, The transformer from scratch: GPT-2, piece by piece, and its use."""

from ...exercise import Chapter
from . import (
    attention,
    attention_pattern,
    causal_mask,
    embed,
    generate,
    layer_norm,
    loss,
    mlp,
    next_token_probs,
    pos_embed,
    train_step,
    transformer,
    transformer_block,
)

chapter = Chapter(
    "01",
    "transformer",
    "The transformer from scratch",
    [
        layer_norm.ex,
        embed.ex,
        pos_embed.ex,
        causal_mask.ex,
        attention_pattern.ex,
        attention.ex,
        mlp.ex,
        transformer_block.ex,
        transformer.ex,
        loss.ex,
        train_step.ex,
        next_token_probs.ex,
        generate.ex,
    ],
)
