"""The choices that GPT-2 does not know: what other families add to the config. All of them are off by default."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(kw_only=True)
class FamilyConfig:
    """The fields of HookedTransformerConfig that families other than GPT-2 need."""

    n_key_value_heads: int | None = None  # heads of keys and values that groups of heads share; None: n_heads
    gated_mlp: bool = False  # the MLP has a gate: act_fn(x W_gate) * x W_in
    parallel_attn_mlp: bool = False  # attention and MLP read the same residual stream
    final_rms: bool = False  # RMSNorm before the unembedding, whatever the blocks have
    use_qk_norm: bool = False  # RMSNorm on each head's queries and keys, before they are rotated
    use_local_attn: bool = False  # the layers that attn_types calls "local" see window_size positions
    window_size: int | None = None  # positions that such a layer's query sees, its own included
    attn_types: list[str] | None = None  # "global" or "local", for each layer
    rotary_dim: int | None = None  # entries of queries and keys that are rotated; None: d_head, if "rotary"
    rotary_base: float = 10000.0  # larger: slower rotations
    rotary_adjacent_pairs: bool = False  # pairs are neighbours, not an entry of each half
    rotary_scaling_factor: float = 1.0  # all rotations are this much slower
    use_NTK_by_parts_rope: bool = False  # slow rotations are slowed, fast ones kept (Llama 3.1)
    NTK_by_parts_low_freq_factor: float = 1.0  # turns in the original context below which all is slowed
    NTK_by_parts_high_freq_factor: float = 4.0  # turns above which nothing is
    NTK_by_parts_factor: float = 8.0  # by how much
    NTK_original_ctx_len: int = 8192  # the original context
    tie_word_embeddings: bool = False  # the unembedding was the embedding when the model was trained

    # Options of published configs that nothing here builds: each may be given as it is here, and not otherwise.
    n_devices: int = 1  # layers on several devices
    load_in_4bit: bool = False  # bitsandbytes' weights
    num_experts: int | None = None  # a mixture of experts
    experts_per_token: int | None = None  # the same
    post_embedding_ln: bool = False  # a LayerNorm on the embedding (BLOOM)
    use_normalization_before_and_after: bool = False  # Gemma 2's norms around each layer
    attn_scores_soft_cap: float = -1.0  # a bound on scores (Gemma 2)
    output_logits_soft_cap: float = -1.0  # a bound on logits (Gemma 2)
    relative_attention_max_distance: int | None = None  # T5's positions
    relative_attention_num_buckets: int | None = None  # the same
    decoder_start_token_id: int | None = None  # T5's decoder
    use_hook_tokens: bool = False  # a hook point on the tokens
    trust_remote_code: bool = False  # code that comes with weights is never run

    def _check_families(self: Any) -> None:
        """Raise ValueError where these contradict one another or the fields of HookedTransformerConfig, or ask for
        what is not built."""
        for name in NOT_BUILT:
            if (value := getattr(self, name)) != (off := getattr(FamilyConfig, name)):
                raise ValueError(
                    f"config: {name} = {value!r} is not built here, only {off!r}. What blocks can be made of is in "
                    "cleanlens/components"
                )
        if self.gated_mlp and self.is_layer_norm_activation():
            raise ValueError(f"config: act_fn = {self.act_fn!r} has a LayerNorm, which gated_mlp does not")
        if self.positional_embedding_type == "rotary":
            self.rotary_dim = self.d_head if self.rotary_dim is None else self.rotary_dim
            if self.rotary_dim % 2 or not 0 < self.rotary_dim <= self.d_head:
                raise ValueError(
                    f"config: rotary_dim = {self.rotary_dim}; it must be even, positive and at most d_head = {self.d_head}"
                )
        groups = self.n_key_value_heads
        if groups is not None and (groups < 1 or self.n_heads % groups):
            raise ValueError(
                f"config: n_heads = {self.n_heads} is not a multiple of n_key_value_heads = {groups}"
            )
        if self.use_local_attn:
            types = self.attn_types or []
            if len(types) < self.n_layers or not set(types) <= {"global", "local"}:
                raise ValueError(
                    f"config: attn_types = {self.attn_types}; with use_local_attn it must say 'global' or 'local' for "
                    f"each of the {self.n_layers} layers"
                )
            if self.window_size is None or self.window_size < 1:
                raise ValueError(f"config: window_size = {self.window_size}; it must be positive")
        if self.use_qk_norm and self.positional_embedding_type != "rotary":
            raise ValueError("config: use_qk_norm is built for rotary attention only")
        if self.parallel_attn_mlp and (self.attn_only or self.positional_embedding_type == "shortformer"):
            raise ValueError(
                "config: parallel_attn_mlp needs an MLP, and positions other than a shortformer's"
            )

    @property
    def embeds_positions(self: Any) -> bool:
        """Whether positions have an embedding of their own, W_pos; others are in the attention."""
        return self.positional_embedding_type in ("standard", "shortformer")

    def is_layer_norm_activation(self: Any) -> bool:
        """Whether the MLP has a LayerNorm behind its activation function, as in the SoLU models."""
        return self.act_fn is not None and self.act_fn.endswith("_ln")


_NAMES = [field.name for field in fields(FamilyConfig)]
NOT_BUILT = _NAMES[_NAMES.index("n_devices") :]
