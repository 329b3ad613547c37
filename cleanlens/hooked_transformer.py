"""The model: tokens to logits, with every activation in between open to hooks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cleanlens.activation_cache import ActivationCache
from cleanlens.components import Embed, PosEmbed, Unembed, block_for, final_norm_for, visible
from cleanlens.config import HookedTransformerConfig
from cleanlens.generation import Generation
from cleanlens.hook_points import HookedRootModule, HookPoint
from cleanlens.key_value_cache import HookedTransformerKeyValueCache
from cleanlens.published.methods import OlderMethods
from cleanlens.tokenization import PaddingSide, Tokenization, infer_mask, named_tokenizer
from cleanlens.utils import get_device, lm_cross_entropy_loss
from cleanlens.weight_processing import process_weights_
from cleanlens.weights import Weights

# What the original library's files hold in addition.
NOT_WEIGHTS = ("attn.mask", "attn.IGNORE", "attn.rotary_sin", "attn.rotary_cos")
Input = str | Sequence[str] | Tensor


class Output(NamedTuple):
    """What `return_type="both"` returns."""

    logits: Float[Tensor, "batch pos d_vocab"]
    loss: Float[Tensor, ""] | Float[Tensor, "batch pos-1"]


class HookedTransformer(Tokenization, Generation, Weights, OlderMethods, HookedRootModule):
    """A decoder-only transformer, GPT-2 or one of its relatives.

    resid = embed(tokens) + pos_embed(tokens); every block adds to it; logits = unembed(ln_final(resid)).

    `HookedTransformer(cfg)` has random weights; `HookedTransformer.from_pretrained(name)` has trained ones.

    Attributes:
        cfg: the architecture, see `HookedTransformerConfig`.
        tokenizer: a Hugging Face tokenizer, by default the one that `cfg.tokenizer_name` names; or None.
        embed, pos_embed, blocks, ln_final, unembed: the components.
    """

    def __init__(
        self,
        cfg: HookedTransformerConfig | dict[str, Any],
        tokenizer: Any = None,
        move_to_device: bool = True,
        default_padding_side: PaddingSide | None = None,
    ):
        super().__init__()
        self.cfg = cfg = HookedTransformerConfig.unwrap(cfg)
        self.tokenizer: Any = None
        if tokenizer is None and cfg.tokenizer_name is not None:
            tokenizer = named_tokenizer(cfg.tokenizer_name)
        if tokenizer is not None:
            self.set_tokenizer(tokenizer)
        if default_padding_side is not None:
            cfg.default_padding_side = default_padding_side
        if cfg.d_vocab < 1:
            raise ValueError("config: d_vocab is missing; give it, or a tokenizer to take it from")

        self.embed = Embed(cfg)
        self.hook_embed = HookPoint()  # [batch pos d_model]
        if cfg.embeds_positions:  # others are in the attention
            self.pos_embed = PosEmbed(cfg)
            self.hook_pos_embed = HookPoint()  # [batch pos d_model]
        self.blocks: Any = nn.ModuleList(block_for(cfg, layer) for layer in range(cfg.n_layers))
        self.ln_final = final_norm_for(cfg)
        self.unembed = Unembed(cfg)
        if cfg.init_weights:
            self.init_weights()
        device, cfg.device = (
            cfg.device or str(get_device()),
            "cpu",
        )  # where the weights are now; to() keeps it true
        if move_to_device:
            self.to(device)
        self.setup()

    # ---------------------------------------------------------------- forward

    def forward(
        self,
        input: Input,
        return_type: Literal["logits", "loss", "both"] | None = "logits",
        loss_per_token: bool = False,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        start_at_layer: int | None = None,
        tokens: Int[Tensor, "batch pos"] | None = None,
        shortformer_pos_embed: Float[Tensor, "#batch pos d_model"] | None = None,
        attention_mask: Int[Tensor, "batch pos"] | None = None,
        stop_at_layer: int | None = None,
        past_kv_cache: HookedTransformerKeyValueCache | None = None,
    ) -> Any:
        """Run the model.

        Args:
            input: a text, texts, tokens `[pos]` or `[batch pos]`, or, with `start_at_layer`, a residual
                `[batch pos d_model]`.
            return_type: "logits" `[batch pos d_vocab]`; "loss", in nats; "both"; None to compute neither.
            loss_per_token: the loss of every prediction, `[batch pos-1]`, instead of their mean.
            prepend_bos, padding_side: for texts, see `to_tokens`.
            start_at_layer: begin with this block; input is the residual stream that enters it.
            tokens: with `start_at_layer`, the tokens that the residual came from; needed for the loss.
            shortformer_pos_embed: with `start_at_layer` in a shortformer, instead of the model's own positions.
            attention_mask: 0 for padding. None: known for texts, inferred for tokens (`infer_mask`). Padding
                is neither attended to nor counted in the loss.
            stop_at_layer: end before this block and return the residual that would have entered it.
                Negative layers count from the end.
            past_kv_cache: what earlier tokens left; the new ones are added.

        Raises:
            ValueError: tokens out of range, too many of them, an empty input, a residual of wrong shape.
            TypeError: tokens that are not integers, or a residual where tokens belong.
        """
        layers = range(self.cfg.n_layers)[
            self._layer_index(start_at_layer, 0) : self._layer_index(stop_at_layer, self.cfg.n_layers)
        ]
        if start_at_layer is None:
            tokens, attention_mask = self._read_tokens(input, prepend_bos, padding_side, attention_mask)
            resid, seen = self._embed(tokens, attention_mask, past_kv_cache)
        else:
            resid, seen, attention_mask = self._read_residual(
                input, tokens, shortformer_pos_embed, attention_mask, padding_side, past_kv_cache
            )
        for layer in layers:
            past_kv = None if past_kv_cache is None else past_kv_cache[layer]
            resid = self.blocks[layer](resid, past_kv, *seen)
        if stop_at_layer is not None:
            return resid
        resid = self.ln_final(resid)
        if return_type is None:
            return None
        logits = self.unembed(resid)
        if return_type == "logits":
            return logits
        if return_type not in ("loss", "both"):
            raise ValueError(f"return_type = {return_type!r}; it must be 'logits', 'loss', 'both' or None")
        if tokens is None:
            raise ValueError("the loss needs tokens; with start_at_layer give them as tokens=...")
        loss = self.loss_fn(logits, tokens, attention_mask, per_token=loss_per_token)
        return loss if return_type == "loss" else Output(logits, loss)

    def loss_fn(
        self,
        logits: Float[Tensor, "batch pos d_vocab"],
        tokens: Int[Tensor, "batch pos"],
        attention_mask: Int[Tensor, "batch pos"] | None = None,
        per_token: bool = False,
    ) -> Float[Tensor, ""] | Float[Tensor, "batch pos-1"]:
        """Next-token loss, see `utils.lm_cross_entropy_loss`."""
        return lm_cross_entropy_loss(logits, tokens.to(logits.device), attention_mask, per_token)

    def _layer_index(self, layer: int | None, default: int) -> int:
        if layer is None:
            return default
        n_layers = self.cfg.n_layers
        if not -n_layers <= layer <= n_layers:
            raise ValueError(f"layer {layer} does not exist; the model has {n_layers} layers, from 0")
        return layer % n_layers if layer < 0 else layer

    def _read_tokens(
        self,
        input: Input,
        prepend_bos: bool | None,
        padding_side: PaddingSide | None,
        attention_mask: Tensor | None,
    ) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"] | None]:
        """Tokens and the mask of what is padding (None when nothing is), checked."""
        device, side = self.cfg.device, padding_side or self.cfg.default_padding_side
        if isinstance(input, Tensor):
            tokens = input
            if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
                raise TypeError(
                    f"expected tokens (integers), got {tokens.dtype} of shape {list(tokens.shape)}; "
                    "a residual needs start_at_layer"
                )
            if tokens.ndim not in (1, 2) or tokens.numel() == 0:
                raise ValueError(
                    f"tokens have shape {list(tokens.shape)}; expected [pos] or [batch pos], not empty"
                )
            tokens = (tokens if tokens.ndim == 2 else tokens[None]).long()
            if tokens.min() < 0 or tokens.max() >= self.cfg.d_vocab:
                raise ValueError(
                    f"tokens go from {tokens.min()} to {tokens.max()}; the vocabulary has 0 to {self.cfg.d_vocab - 1}"
                )
            pad_id = getattr(self.tokenizer, "pad_token_id", None)
            if attention_mask is None and pad_id is not None:
                attention_mask = infer_mask(tokens, pad_id, side)
        else:
            tokens, text_mask = self._to_tokens_and_mask(input, prepend_bos, side)
            if attention_mask is None and not text_mask.all():
                attention_mask = text_mask
        if attention_mask is not None:
            if attention_mask.shape != tokens.shape:
                raise ValueError(
                    f"attention_mask has shape {list(attention_mask.shape)}; the tokens have {list(tokens.shape)}"
                )
            attention_mask = attention_mask.to(device).long()
        return tokens.to(device), attention_mask

    def _embed(
        self,
        tokens: Int[Tensor, "batch pos"],
        attention_mask: Int[Tensor, "batch pos"] | None,
        past_kv_cache: HookedTransformerKeyValueCache | None,
    ) -> tuple[Float[Tensor, "batch pos d_model"], tuple[Tensor, ...]]:
        """The residual stream that enters the first block, and what all blocks are told: which keys each query may
        look at, and in a shortformer the embeddings of the positions."""
        past, attention_mask = self._with_past(tokens, attention_mask, past_kv_cache)
        total = past + tokens.shape[1]
        if total > self.cfg.n_ctx:
            raise ValueError(f"{total} tokens are too many: the model has {self.cfg.n_ctx} positions (n_ctx)")
        embed = self.hook_embed(self.embed(tokens))
        mask = visible(tokens.shape[1], total, attention_mask, self.cfg.attention_dir, tokens.device)
        if not self.cfg.embeds_positions:
            return embed, (mask,)
        pos_embed = self.hook_pos_embed(self.pos_embed(tokens, past, attention_mask))
        if self.cfg.positional_embedding_type == "shortformer":
            return embed, (mask, pos_embed)
        return embed + pos_embed, (mask,)

    def _with_past(
        self, tokens: Tensor, attention_mask: Tensor | None, cache: HookedTransformerKeyValueCache | None
    ) -> tuple[int, Tensor | None]:
        """How many tokens came before, and the mask of all tokens (None when none is padding)."""
        if cache is None:
            return 0, attention_mask
        past = cache.length
        if attention_mask is None:
            attention_mask = torch.ones(tokens.shape[:2], dtype=torch.int64, device=tokens.device)
        total = cache.append_attention_mask(attention_mask)
        return past, None if total.all() else total

    def _read_residual(
        self,
        input: Input,
        tokens: Tensor | None,
        pos_embed: Tensor | None,
        attention_mask: Tensor | None,
        padding_side: PaddingSide | None,
        past_kv_cache: HookedTransformerKeyValueCache | None,
    ) -> tuple[Float[Tensor, "batch pos d_model"], tuple[Tensor, ...], Tensor | None]:
        if not isinstance(input, Tensor) or not input.is_floating_point():
            given = str(input.dtype) if isinstance(input, Tensor) else type(input).__name__
            raise TypeError(
                f"start_at_layer needs a residual [batch pos d_model], got {given}; "
                "leave start_at_layer out to begin from tokens"
            )
        if input.ndim != 3 or input.shape[-1] != self.cfg.d_model or input.numel() == 0:
            raise ValueError(
                f"the residual has shape {list(input.shape)}; expected [batch pos d_model] with d_model = "
                f"{self.cfg.d_model}"
            )
        if tokens is not None:
            _, attention_mask = self._read_tokens(tokens, None, padding_side, attention_mask)
        past, key_mask = self._with_past(input, attention_mask, past_kv_cache)
        length = input.shape[1]
        mask = visible(length, past + length, key_mask, self.cfg.attention_dir, input.device)
        if self.cfg.positional_embedding_type != "shortformer":
            return input, (mask,), attention_mask
        if pos_embed is None:
            pos_embed = self.pos_embed(torch.zeros_like(input[..., 0], dtype=torch.int64), past, key_mask)
        return input, (mask, self.hook_pos_embed(pos_embed)), attention_mask

    # ---------------------------------------------------------------- caching

    def run_with_cache(  # type: ignore[override]
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Run the model and keep its activations; see `HookedRootModule.run_with_cache` for the options.

        With `return_type=None` the run ends after the last layer that a wanted activation is in.

        Args:
            return_cache_object: an `ActivationCache`; False gives the plain dictionary.
        """
        wants_nothing_else = (
            kwargs.get("return_type", "logits") is None
            and kwargs.get("stop_at_layer") is None
            and not kwargs.get("incl_bwd")
            and not any(point.fwd_hooks for point in self.hook_points())
        )
        if wants_nothing_else:
            kwargs["stop_at_layer"] = self._first_layer_not_needed(kwargs.get("names_filter"))
        output, cache = super().run_with_cache(*model_args, remove_batch_dim=remove_batch_dim, **kwargs)
        if wants_nothing_else:
            output = None
        if not return_cache_object:
            return output, cache
        return output, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)

    def may_edit_in_place(self) -> bool:
        """Only by a hook: the forward pass itself overwrites nothing."""
        return self.has_editing_hooks()

    def _first_layer_not_needed(self, names_filter: Any) -> int | None:
        """The layer at which a run that only fills this cache can stop; None for a run to the end."""
        last = -1
        for name in self._names(names_filter):
            if name.startswith(("ln_final", "unembed")):
                return None
            if name.startswith("blocks."):
                last = max(last, self.hook_dict[name].layer())
        return last + 1

    # ---------------------------------------------------------------- options

    def inactive_hooks(self) -> dict[str, str]:
        """Hook points that are called only when somebody attaches to them, as long as the option is off that puts
        them into a full cache; and the call that switches it on."""
        options = {
            "attn.hook_result": "use_attn_result",
            "hook_q_input": "use_split_qkv_input",
            "hook_k_input": "use_split_qkv_input",
            "hook_v_input": "use_split_qkv_input",
            "hook_attn_in": "use_attn_in",
            "hook_mlp_in": "use_hook_mlp_in",
        }
        return {
            f"blocks.{layer}.{name}": f"model.set_{option}(True)"
            for name, option in options.items()
            if not getattr(self.cfg, option)
            for layer in range(self.cfg.n_layers)
        }

    # ---------------------------------------------------------------- weights in and out

    @classmethod
    def from_pretrained(
        cls, model_name: str | None = None, *options: Any, **more: Any
    ) -> "HookedTransformer":
        """A trained model by name; the options and their order are those of `loading.load_pretrained`."""
        from cleanlens.loading.pretrained import load_pretrained  # loading stands above the model it fills

        return load_pretrained(cls, model_name, *options, **more)

    @classmethod
    def from_pretrained_no_processing(
        cls,
        model_name: str | None = None,
        fold_ln: bool = False,
        center_writing_weights: bool = False,
        center_unembed: bool = False,
        refactor_factored_attn_matrices: bool = False,
        fold_value_biases: bool = False,
        dtype: str | torch.dtype = "float32",
        default_prepend_bos: bool | None = None,
        default_padding_side: PaddingSide | None = None,
        **options: Any,
    ) -> "HookedTransformer":
        """The same with the weights as they were trained: no folding, no centring unless asked for."""
        return cls.from_pretrained(
            model_name,
            fold_ln,
            center_writing_weights,
            center_unembed,
            refactor_factored_attn_matrices,
            fold_value_biases=fold_value_biases,
            dtype=dtype,
            default_prepend_bos=default_prepend_bos,
            default_padding_side=default_padding_side,
            **options,
        )

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Copy in weights by name. Masks and tables that published files carry beside them are computed here."""
        weights = {name: value for name, value in state_dict.items() if not name.endswith(NOT_WEIGHTS)}
        return super().load_state_dict(weights, strict, assign)

    def process_weights_(self, **flags: bool) -> None:
        """Rewrite the weights in place; the flags are those of `weight_processing.process_weights_`."""
        process_weights_(self, **flags)

    def load_and_process_state_dict(self, state_dict: dict[str, Tensor], **flags: bool) -> None:
        """Copy in raw weights, then process them."""
        self.load_state_dict(state_dict)
        process_weights_(self, **flags)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Fill every weight matrix at random by `cfg.init_mode`; biases stay 0 and gains 1.

        `gpt2`: normal, standard deviation `initializer_range` (Radford et al. 2019). `xavier_*` and
        `kaiming_*`: by fan-in and fan-out, with gain `initializer_range` (Glorot & Bengio 2010; He et al. 2015).
        `muP`: normal, 1/sqrt(fan_in) inside, 1/fan_in at the unembedding (Yang et al. 2022, table 3).
        """
        scale, mode = self.cfg.initializer_range, self.cfg.init_mode
        for name, weight in self.named_parameters():
            path, _, leaf = name.rpartition(".")
            leaf = leaf.removeprefix("_")
            if not leaf.startswith("W_"):
                continue
            fan_in, fan_out = _fans(leaf, weight)
            is_embedding = path in ("embed", "pos_embed")
            spread = {
                "gpt2": scale,
                "xavier": scale * (2 / (fan_in + fan_out)) ** 0.5,
                "kaiming": scale * (1 / fan_in) ** 0.5,
                "muP": scale * (1.0 if is_embedding else 1 / fan_in if leaf == "W_U" else fan_in**-0.5),
            }[mode.split("_")[0]]
            if mode.endswith("uniform"):
                weight.uniform_(-(3**0.5) * spread, 3**0.5 * spread)  # the same variance
            else:
                weight.normal_(0.0, spread)

    def _apply(self, fn: Callable, recurse: bool = True) -> "HookedTransformer":
        """Every move or cast of the module (`to`, `cuda`, `cpu`, `half`, ...) ends here: keep cfg true."""
        super()._apply(fn, recurse)
        self.cfg.device, self.cfg.dtype = str(self.embed.W_E.device), self.embed.W_E.dtype
        return self


def _fans(name: str, weight: Tensor) -> tuple[int, int]:
    """How many numbers go into one output of this weight, and come out of one input."""
    if name == "W_O":
        return weight.shape[0] * weight.shape[1], weight.shape[2]
    if name in ("W_Q", "W_K", "W_V"):
        return weight.shape[1], weight.shape[0] * weight.shape[2]
    return weight.shape[0], weight.shape[1]
