"""BERT's embeddings: token, position and token type (which of two sentences), added up and normalized (Devlin et al.
2019, section 3)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cleanlens.components.embed import Embed
from cleanlens.components.layer_norm import LayerNorm
from cleanlens.components.pos_embed import PosEmbed
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint


class TokenTypeEmbed(nn.Module):
    """Each token type's row of `W_token_type [2 d_model]`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_token_type = nn.Parameter(torch.empty(2, cfg.d_model, dtype=cfg.dtype))

    def forward(self, token_type_ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_token_type[token_type_ids]


class BertEmbed(nn.Module):
    """ln(embed(tokens) + pos_embed(tokens) + token_type_embed(token_type_ids))."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.embed = Embed(cfg)
        self.pos_embed = PosEmbed(cfg)
        self.token_type_embed = TokenTypeEmbed(cfg)
        self.ln = LayerNorm(cfg)
        self.hook_embed = HookPoint()  # [batch pos d_model]
        self.hook_pos_embed = HookPoint()  # [batch pos d_model]
        self.hook_token_type_embed = HookPoint()  # [batch pos d_model]

    def forward(
        self, tokens: Int[Tensor, "batch pos"], token_type_ids: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_model"]:
        embed = self.hook_embed(self.embed(tokens))
        pos_embed = self.hook_pos_embed(self.pos_embed(tokens))
        token_type_embed = self.hook_token_type_embed(self.token_type_embed(token_type_ids))
        return self.ln(embed + pos_embed + token_type_embed)
