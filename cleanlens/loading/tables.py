"""What the families other than GPT-2 share: their weights are those of torch's own layers, told apart by a table."""

import re
from collections.abc import Iterator, Mapping

from einops import rearrange
from torch import Tensor

from cleanlens.config import HookedTransformerConfig

EMBEDDINGS = ("W_E", "W_pos", "W_token_type")


def by_table(
    name: str,
    tensor: Tensor,
    cfg: HookedTransformerConfig,
    tied: bool,
    names: Mapping[str, str],
    layers: str,
    block_names: Mapping[str, str],
) -> Iterator[tuple[str, Tensor]]:
    """Our names and tensors (views, nothing is copied) for one of Hugging Face's.

    Args:
        name: Hugging Face's.
        tied: the file has no unembedding; the embedding serves as one too.
        names: Hugging Face's names outside of the layers -> ours.
        layers: a regular expression for what stands before the number of a layer.
        block_names: Hugging Face's names within a layer -> ours.

    Raises:
        KeyError: neither table has this name.
    """
    block = re.fullmatch(rf"{layers}(\d+)\.(.+)", name)
    if block is None:
        ours = names[name]
        yield ours, in_our_shape(ours, tensor, cfg)
        if ours.endswith("embed.W_E") and tied:
            yield "unembed.W_U", tensor.T
        return
    ours = block_names[block.group(2)]
    yield f"blocks.{block.group(1)}.{ours}", in_our_shape(ours, tensor, cfg)


def in_our_shape(ours: str, tensor: Tensor, cfg: HookedTransformerConfig) -> Tensor:
    """A weight of torch's Linear, `[out in]`, of its Embedding or of a norm, as the parameter of this name has it."""
    leaf = ours.rpartition(".")[2].removeprefix("_")
    if leaf in ("W_Q", "W_K", "W_V"):
        return rearrange(tensor, "(head d_head) d_model -> head d_model d_head", d_head=cfg.d_head)
    if leaf in ("b_Q", "b_K", "b_V"):
        return rearrange(tensor, "(head d_head) -> head d_head", d_head=cfg.d_head)
    if leaf == "W_O":
        return rearrange(tensor, "d_model (head d_head) -> head d_head d_model", d_head=cfg.d_head)
    return tensor.T if leaf[0] == "W" and leaf not in EMBEDDINGS else tensor
