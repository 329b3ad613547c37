"""Methods that only older notebooks call. A model has them all; each is a name for something that has a better one.

The weight methods work on a state dict: they give one back and leave the model as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from cleanlens.components.attention import Attention
    from cleanlens.hook_points import Hook, HookedRootModule, HookFunction, HookPoint
    from cleanlens.hooked_transformer import HookedTransformer

StateDict = dict[str, Tensor]


class OlderHook:
    """What a function attached to a hook point was called."""

    fn: Callable[..., Any]
    level: int | None

    @property
    def user_hook(self) -> Callable[..., Any]:
        """The function."""
        return self.fn

    @property
    def context_level(self) -> int | None:
        """In how many `hooks()` contexts it was attached."""
        return self.level


class OlderHookPoint:
    """What else a hook point can do.

    Attributes:
        hook_conversion: how hooks see the activation, see `enable_reshape`.
    """

    hook_conversion: Any = None

    def extra_repr(self: "HookPoint") -> str:
        counts = {"fwd": len(self.fwd_hooks), "bwd": len(self.bwd_hooks)}
        name = [] if self.name is None else [f"name={self.name!r}"]
        return ", ".join(name + [f"{n} {dir}" for dir, n in counts.items() if n])

    def enable_reshape(self: "HookPoint", hook_conversion: Any = None) -> None:
        """Let hooks see `hook_conversion.convert(activation)`; what they return passes through its `revert`.

        None: hooks see the activation itself again.
        """
        self.hook_conversion = hook_conversion

    def seen_as(self: "HookPoint", hook: "Hook") -> list["HookPoint"]:
        """What a hook gets as its hook point: this one, or one for each of its `alias_names`."""
        points = []
        for name in hook.alias_names or ():
            points.append(type(self)())
            points[-1].name, points[-1].ctx = name, self.ctx
        return points or [self]


class HookIntrospectionMixin:
    """For anything that has its hook points in a `hook_dict`."""

    hook_dict: dict[str, "HookPoint"]

    def list_hooks(
        self, name_filter: Any = None, dir: Any = "both", including_permanent: bool = True
    ) -> dict[str, list["Hook"]]:
        """The hooks now attached, by name of their hook point; points without any are left out.

        Args:
            name_filter: of which hook points: a name, a list of names, a function of names; None for all.
        """
        if isinstance(name_filter, str):
            name_filter = [name_filter]
        allowed = self.hook_dict if name_filter is None else name_filter
        wanted = allowed if callable(allowed) else allowed.__contains__
        found = {
            name: [
                hook
                for hooks in point._lists(dir)
                for hook in hooks
                if including_permanent or not hook.is_permanent
            ]
            for name, point in self.hook_dict.items()
            if wanted(name)
        }
        return {name: hooks for name, hooks in found.items() if hooks}


class OlderHookMethods:
    """What a HookedRootModule was asked for before version 2."""

    def add_caching_hooks(
        self: "HookedRootModule",
        names_filter: Any = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        cache: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Attach caching hooks that stay until `reset_hooks`; returns the dictionary they fill."""
        cache, fwd, bwd = self.get_caching_hooks(names_filter, incl_bwd, device, remove_batch_dim, cache)
        directions: Any = ("fwd", "bwd")
        for direction, pairs in zip(directions, (fwd, bwd)):
            for name, fn in pairs:
                self.add_hook(name, fn, direction)
        return cache

    def cache_all(
        self: "HookedRootModule",
        cache: dict[str, Tensor],
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
    ) -> None:
        """Fill this dictionary in every run until `reset_hooks`; now `add_caching_hooks`, or `run_with_cache`."""
        self.add_caching_hooks(None, incl_bwd, device, remove_batch_dim, cache)

    def cache_some(
        self: "HookedRootModule",
        cache: dict[str, Tensor],
        names: Callable[[str], bool],
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
    ) -> None:
        """The same for the hook points whose names this function selects."""
        self.add_caching_hooks(names, incl_bwd, device, remove_batch_dim, cache)

    def check_hooks_to_add(
        self: "HookedRootModule",
        hook_point: "HookPoint",
        hook_point_name: str,
        hook: "HookFunction",
        dir: str = "fwd",
        is_permanent: bool = False,
        prepend: bool = False,
    ) -> None:
        """Whether there is a hook point of this name; KeyError when not."""
        self._find(hook_point_name)

    def check_and_add_hook(
        self: "HookedRootModule",
        hook_point: "HookPoint",
        hook_point_name: str,
        hook: "HookFunction",
        dir: Any = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> None:
        """Attach a hook to a hook point, checked."""
        self.check_hooks_to_add(hook_point, hook_point_name, hook, dir, is_permanent, prepend)
        hook_point.add_hook(hook, dir, is_permanent, level, prepend)

    def _enable_hook_with_name(self: "HookedRootModule", name: str, hook: "HookFunction", dir: Any) -> None:
        """Attach a hook to this one for as long as the context lasts that we are inside of."""
        self.mod_dict[name].add_hook(hook, dir=dir, level=self.context_level)  # type: ignore[operator]

    def _enable_hooks_for_points(
        self: "HookedRootModule", hook_points: Any, enabled: Callable[[str], bool], hook: Any, dir: Any
    ) -> None:
        """The same for those of these (name, hook point) pairs whose names this function selects."""
        for name, point in hook_points:
            if enabled(name):
                point.add_hook(hook, dir=dir, level=self.context_level)

    def _enable_hook(self: "HookedRootModule", name: Any, hook: "HookFunction", dir: Any) -> None:
        """One of the two."""
        if callable(name):
            self._enable_hooks_for_points(self.hook_dict.items(), name, hook, dir)
        else:
            self._enable_hook_with_name(name, hook, dir)


class OlderEntry:
    """What the keys and values of one layer were called."""

    keys: Tensor
    values: Tensor
    length: int

    @property
    def past_keys(self) -> Tensor:
        """The keys that have been read so far, `[batch length head d_head]`."""
        return self.keys[:, : self.length]

    @property
    def past_values(self) -> Tensor:
        """The values that have been read so far."""
        return self.values[:, : self.length]


class OlderAttention:
    """The steps of attention by their former names."""

    cfg: Any

    def calculate_qkv_matrices(
        self: "Attention", query_input: Tensor, key_input: Tensor, value_input: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, through their hook points."""
        q, k, v = self.queries(query_input), self.keys(key_input), self.values(value_input)
        return self.hook_q(q), self.hook_k(k), self.hook_v(v)

    def calculate_attention_scores(self: "Attention", q: Tensor, k: Tensor) -> Tensor:
        """How well each query fits each key, before anything is hidden."""
        return self.scores(
            q, k, torch.ones(1, dtype=torch.bool, device=q.device).expand(q.shape[1], k.shape[1])
        )

    def apply_causal_mask(
        self, attn_scores: Tensor, past_kv_pos_offset: int = 0, attention_mask: Tensor | None = None
    ) -> Tensor:
        """The scores with minus infinity for keys behind the query, and for padding (0 in the mask)."""
        n_queries, n_keys = attn_scores.shape[-2:]
        if n_queries + past_kv_pos_offset != n_keys:
            raise ValueError(f"{n_queries} queries after {past_kv_pos_offset} positions, but {n_keys} keys")
        allowed = torch.ones(n_queries, n_keys, dtype=torch.bool, device=attn_scores.device).tril(
            past_kv_pos_offset
        )
        if attention_mask is not None:
            allowed = allowed & attention_mask[:, None, None, :].bool()
        return attn_scores.masked_fill(~allowed, float("-inf"))

    def calculate_z_scores(self: "Attention", v: Tensor, pattern: Tensor) -> Tensor:
        """The values mixed by the pattern, through the hook point."""
        return self.hook_z(self.mixed(pattern, v))


class OlderMethods(OlderHookMethods):
    """What a HookedTransformer was asked for, beyond what everybody needs."""

    # ---------------------------------------------------------------- the embedding, step by step

    def input_to_embed(
        self: "HookedTransformer",
        input: Any,
        prepend_bos: bool | None = None,
        padding_side: Any = None,
        attention_mask: Tensor | None = None,
        past_kv_cache: Any = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """What `forward` starts with: the residual stream that enters the first block, the tokens, the position
        embeddings of a shortformer (else None), and the mask of padding (None when there is none)."""
        tokens, attention_mask = self._read_tokens(input, prepend_bos, padding_side, attention_mask)
        resid, seen = self._embed(tokens, attention_mask, past_kv_cache)
        shortformer = seen[1] if len(seen) > 1 else None
        return resid, tokens, shortformer, attention_mask

    def get_pos_offset(self: "HookedTransformer", past_kv_cache: Any, batch_size: int) -> int:
        """How many tokens this cache holds already; 0 without one."""
        return 0 if past_kv_cache is None else past_kv_cache.length  # of every row alike

    def get_residual(
        self: "HookedTransformer",
        embed: Tensor,
        pos_offset: int,
        prepend_bos: bool = True,
        attention_mask: Tensor | None = None,
        tokens: Tensor | None = None,
        return_shortformer_pos_embed: bool = True,
        device: Any = None,
    ) -> Any:
        """The residual stream that enters the first block, from token embeddings."""
        kind, positions = self.cfg.positional_embedding_type, torch.zeros(())
        if self.cfg.embeds_positions:
            tokens = (
                torch.ones(embed.shape[:2], dtype=torch.int64, device=embed.device)
                if tokens is None
                else tokens
            )
            positions = self.hook_pos_embed(self.pos_embed(tokens, pos_offset, attention_mask))
        residual = embed + positions if kind == "standard" else embed
        if not return_shortformer_pos_embed:
            return residual
        return residual, positions if kind == "shortformer" else None

    # ---------------------------------------------------------------- what a full cache holds

    def set_use_attn_result(self: "HookedTransformer", use_attn_result: bool) -> None:
        """Keep each head's output, `attn.hook_result`, in a full cache; costs n_heads times the memory."""
        self.cfg.use_attn_result = use_attn_result

    def set_use_split_qkv_input(self: "HookedTransformer", use_split_qkv_input: bool) -> None:
        """Keep each head's own residual for q, k and v, `hook_{q,k,v}_input`, in a full cache."""
        self.cfg.use_split_qkv_input = use_split_qkv_input

    def set_use_attn_in(self: "HookedTransformer", use_attn_in: bool) -> None:
        """Keep each head's own residual, `hook_attn_in`, in a full cache."""
        self.cfg.use_attn_in = use_attn_in

    def set_use_hook_mlp_in(self: "HookedTransformer", use_hook_mlp_in: bool) -> None:
        """Keep the residual that the MLP reads, `hook_mlp_in`, in a full cache."""
        if use_hook_mlp_in and self.cfg.attn_only:
            raise ValueError("hook_mlp_in: this model's blocks have no MLP")
        self.cfg.use_hook_mlp_in = use_hook_mlp_in

    # ---------------------------------------------------------------- devices

    def mps(self: "HookedTransformer") -> "HookedTransformer":
        """Move to Apple's GPU."""
        return self.to("mps")

    def move_model_modules_to_device(self: "HookedTransformer") -> None:
        """Move everything to `cfg.device`."""
        self.to(self.cfg.device)

    # ---------------------------------------------------------------- texts like those it was trained on

    def load_sample_training_dataset(self: "HookedTransformer", **kwargs: Any) -> Any:
        """10,000 texts like those that the model was trained on, from the hub; they stay in `self.dataset`.

        Raises:
            ValueError: it is not known what the model was trained on.
        """
        from cleanlens.published.utils import get_dataset

        name = (self.cfg.original_architecture or "").lower(), self.cfg.model_name.lower()
        kinds = {
            "neel": "c4_code",
            "gpt2": "owt",
            "opt": "owt",
            "neo": "pile",
            "gptj": "pile",
            "pythia": "pile",
        }
        kinds |= {"solu": "c4_code", "gelu": "c4_code", "attn-only": "c4_code"}
        found = [kind for part, kind in kinds.items() if part in " ".join(name)]
        if not found:
            raise ValueError(
                f"it is not known what {self.cfg.model_name!r} was trained on; use utils.get_dataset(name)"
            )
        self.dataset = get_dataset(found[0], **kwargs)
        return self.dataset

    def sample_datapoint(
        self: "HookedTransformer",
        tokenize: bool = False,
        prepend_bos: bool | None = None,
        padding_side: Any = None,
    ) -> Any:
        """One of these texts, drawn at random, or its tokens."""
        dataset = getattr(self, "dataset", None) or self.load_sample_training_dataset()
        text = dataset[int(torch.randint(len(dataset), ()))]["text"]
        return self.to_tokens(text, prepend_bos, padding_side) if tokenize else text

    # ---------------------------------------------------------------- weights in a state dict

    def fill_missing_keys(self: "HookedTransformer", state_dict: StateDict) -> StateDict:
        """The state dict with the model's own weights where it has none."""
        return {**self.state_dict(), **state_dict}

    def fold_layer_norm(
        self: "HookedTransformer",
        state_dict: StateDict,
        fold_biases: bool = True,
        center_weights: bool = True,
    ) -> StateDict:
        """See `weight_processing.fold_layer_norm`; both steps belong to it and cannot be left out."""
        if not (fold_biases and center_weights):
            raise ValueError(
                "fold_layer_norm: without its bias, or without centring, the model would not be the same"
            )
        return _on_a_copy(self, state_dict, fold_ln=True)

    def center_writing_weights(self: "HookedTransformer", state_dict: StateDict) -> StateDict:
        """See `weight_processing.center_writing`."""
        return _on_a_copy(self, state_dict, center_writing_weights=True)

    def center_unembed(self: "HookedTransformer", state_dict: StateDict) -> StateDict:
        """See `weight_processing.center_unembedding`."""
        return _on_a_copy(self, state_dict, center_unembed=True)

    def fold_value_biases(self: "HookedTransformer", state_dict: StateDict) -> StateDict:
        """See `weight_processing.fold_value_bias`."""
        return _on_a_copy(self, state_dict, fold_value_biases=True)

    def refactor_factored_attn_matrices(self: "HookedTransformer", state_dict: StateDict) -> StateDict:
        """See `published.refactor.refactor_attention`."""
        return _on_a_copy(self, state_dict, refactor_factored_attn_matrices=True)


def _on_a_copy(model: "HookedTransformer", state_dict: StateDict, **flags: bool) -> StateDict:
    """The weights after this step of processing, done on a model of their own."""
    raw = any(name.endswith(("ln1.w", "ln_final.w")) for name in state_dict)
    kind = {"LNPre": "LN", "RMSPre": "RMS"} if raw else {}
    norm = model.cfg.normalization_type
    cfg = replace(
        model.cfg,
        normalization_type=kind.get(norm or "", norm),
        init_weights=False,
        device="cpu",
        seed=None,
        tokenizer_name=None,
    )
    copy = type(model)(cfg, move_to_device=False)
    copy.load_state_dict({**copy.state_dict(), **state_dict})
    off = (
        "fold_ln",
        "center_writing_weights",
        "center_unembed",
        "fold_value_biases",
        "refactor_factored_attn_matrices",
    )
    copy.process_weights_(**{**dict.fromkeys(off, False), **flags})
    return {name: tensor.to(model.cfg.device) for name, tensor in copy.state_dict().items()}
