"""BERT with hooks: a text with gaps to logits for what stands in each place."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cleanlens.activation_cache import ActivationCache
from cleanlens.components import BertBlock, BertEmbed, BertMLMHead, Unembed, visible
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookedRootModule, HookPoint
from cleanlens.utils import get_device
from cleanlens.weights import Weights


class HookedEncoder(Weights, HookedRootModule):
    """A bidirectional transformer of BERT's kind (Devlin et al. 2019), with the head for masked language modelling.

    `HookedEncoder.from_pretrained("bert-base-cased")` has trained weights. Normalization stands behind each layer, on
    the residual stream itself, so the stream is not a sum of what layers wrote, and weights cannot be processed.

    Attributes:
        cfg: the architecture; its `attention_dir` is "bidirectional", whatever was given.
        tokenizer: a Hugging Face tokenizer, or None.
        embed, blocks, mlm_head, unembed: the components.
    """

    def __init__(
        self,
        cfg: HookedTransformerConfig | dict[str, Any],
        tokenizer: Any = None,
        move_to_device: bool = True,
        **options: Any,
    ):
        super().__init__()
        self.cfg = cfg = replace(HookedTransformerConfig.unwrap(cfg), attention_dir="bidirectional")
        self.tokenizer = tokenizer
        if cfg.d_vocab < 1 and tokenizer is not None:
            cfg.d_vocab = cfg.d_vocab_out = len(tokenizer)
        if cfg.d_vocab < 1:
            raise ValueError("config: d_vocab is missing; give it, or a tokenizer to take it from")

        self.embed = BertEmbed(cfg)
        self.hook_full_embed = HookPoint()  # [batch pos d_model]
        self.blocks: Any = nn.ModuleList(BertBlock(cfg, layer) for layer in range(cfg.n_layers))
        self.mlm_head = BertMLMHead(cfg)
        self.unembed = Unembed(cfg)
        if cfg.init_weights:
            with torch.no_grad():
                for weight in self.parameters():
                    if weight.ndim > 1:
                        weight.normal_(0.0, cfg.initializer_range)
        device = cfg.device or str(get_device())
        cfg.device = "cpu"  # where the weights are now; to() keeps it true
        if move_to_device:
            self.to(device)
        self.setup()

    @classmethod
    def from_pretrained(cls, model_name: str | None = None, **options: Any) -> "HookedEncoder":
        """A trained model by name; the options are those of `cleanlens.loading.load_pretrained`, less what processes
        weights."""
        from cleanlens.loading.pretrained import load_pretrained  # loading stands above the model it fills

        raw = dict.fromkeys(
            ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), False
        )
        return load_pretrained(cls, model_name, **{**raw, **options})

    from_pretrained_no_processing = from_pretrained

    def forward(
        self,
        input: str | Sequence[str] | Int[Tensor, "*batch pos"],
        return_type: Literal["logits", "predictions"] | None = "logits",
        token_type_ids: Int[Tensor, "*batch pos"] | None = None,
        one_zero_attention_mask: Int[Tensor, "*batch pos"] | None = None,
    ) -> Any:
        """Run the model.

        Args:
            input: a text or texts with `[MASK]` in them, or tokens `[pos]` or `[batch pos]`.
            return_type: "logits" `[batch pos d_vocab]`; "predictions", the likeliest words for each `[MASK]`; None.
            token_type_ids: 0 for the first sentence, 1 for the second; None: the tokenizer's, or all 0.
            one_zero_attention_mask: 0 for padding; None: the tokenizer's, or all 1.
        """
        if isinstance(input, Tensor):
            tokens = input if input.ndim == 2 else input[None]
        else:
            tokens, types, mask = self.to_tokens(input)
            token_type_ids = types if token_type_ids is None else token_type_ids
            one_zero_attention_mask = mask if one_zero_attention_mask is None else one_zero_attention_mask
        resid = self.encoder_output(tokens, token_type_ids, one_zero_attention_mask)
        if return_type is None:
            return None
        logits = self.unembed(self.mlm_head(resid))
        if return_type == "logits":
            return logits
        if return_type != "predictions":
            raise ValueError(f"return_type = {return_type!r}; it must be 'logits', 'predictions' or None")
        return self._predictions(tokens.to(logits.device), logits)

    def encoder_output(
        self,
        tokens: Int[Tensor, "batch pos"],
        token_type_ids: Int[Tensor, "*batch pos"] | None = None,
        one_zero_attention_mask: Int[Tensor, "*batch pos"] | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream behind the last block; arguments as for `forward`.

        Raises:
            ValueError: tokens out of range, or too many.
        """
        tokens = tokens.to(self.cfg.device)
        length = tokens.shape[1]
        if length > self.cfg.n_ctx:
            raise ValueError(
                f"{length} tokens are too many: the model has {self.cfg.n_ctx} positions (n_ctx)"
            )
        if tokens.numel() == 0 or tokens.min() < 0 or tokens.max() >= self.cfg.d_vocab:
            raise ValueError(f"tokens must be from 0 to {self.cfg.d_vocab - 1}, and not none at all")
        types = (
            torch.zeros_like(tokens) if token_type_ids is None else token_type_ids.to(tokens).view_as(tokens)
        )
        mask = one_zero_attention_mask
        mask = mask if mask is None else mask.to(tokens).view_as(tokens)
        resid = self.hook_full_embed(self.embed(tokens, types))
        seen = visible(length, length, mask, "bidirectional", tokens.device)
        for block in self.blocks:
            resid = block(resid, None, seen)
        return resid

    def to_tokens(
        self, input: str | Sequence[str], move_to_device: bool = True, truncate: bool = True
    ) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
        """Tokens, token types and the mask of what is not padding, as BERT's tokenizer makes them.

        Raises:
            ValueError: the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError(
                "turning text into tokens needs a tokenizer and this model has none; pass tokens"
            )
        length = self.cfg.n_ctx if truncate else None
        texts = input if isinstance(input, str) else list(input)
        encoded = self.tokenizer(
            texts, return_tensors="pt", padding=True, truncation=truncate, max_length=length
        )
        tokens = encoded["input_ids"]
        types = encoded.get("token_type_ids", torch.zeros_like(tokens))
        device = self.cfg.device if move_to_device else None
        return tokens.to(device), types.to(device), encoded["attention_mask"].to(device)

    def _predictions(self, tokens: Tensor, logits: Tensor) -> str | list[str]:
        if self.tokenizer is None:
            raise ValueError("predictions are words, which need a tokenizer, and this model has none")
        best = logits[tokens == self.tokenizer.mask_token_id].argmax(dim=-1)
        words = [self.tokenizer.decode([i]) for i in best.tolist()]
        return words[0] if len(words) == 1 else [f"Prediction {i}: {word}" for i, word in enumerate(words)]

    def run_with_cache(  # type: ignore[override]
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Run the model and keep its activations; see `HookedRootModule.run_with_cache` for the options."""
        output, cache = super().run_with_cache(*model_args, remove_batch_dim=remove_batch_dim, **kwargs)
        if not return_cache_object:
            return output, cache
        return output, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)  # type: ignore[arg-type]

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        """Token embedding."""
        return self.embed.embed.W_E

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        """Position embedding."""
        return self.embed.pos_embed.W_pos

    def _apply(self, fn: Callable, recurse: bool = True) -> "HookedEncoder":
        """Every move or cast of the module ends here: keep cfg true."""
        super()._apply(fn, recurse)
        self.cfg.device, self.cfg.dtype = str(self.W_E.device), self.W_E.dtype
        return self
