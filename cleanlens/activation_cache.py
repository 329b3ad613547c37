"""Everything one run of the model computed, by name, and the algebra of the residual stream on it.

The residual stream is a sum: embeddings, plus what each head wrote, plus what each MLP wrote, plus biases.
The methods here take it apart in several ways. What they return has the components on its first axis.
"""

import difflib
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import TYPE_CHECKING, Any, Literal

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens.hook_points import pos_dim
from cleanlens.published.neurons import NeuronResults
from cleanlens.utils import InputError, Slice, SliceInput, get_act_name, remove_batch_dim

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer

Stack = Float[Tensor, "component *batch_and_pos d_model"]


class ActivationCache(NeuronResults):
    """A dictionary of activations that also understands short names.

    `cache["blocks.0.attn.hook_pattern"]`, `cache["pattern", 0]`, `cache["resid_post", -1]` (layers count
    from the end), `cache["normalized", 0, "ln2"]`, `cache["embed"]`, `cache["scale"]` (the final LayerNorm's).

    Attributes:
        cache_dict: names to tensors.
        model: the model they come from.
        has_batch_dim: whether the first axis of each tensor is the batch.
    """

    def __init__(self, cache_dict: dict[str, Tensor], model: "HookedTransformer", has_batch_dim: bool = True):
        self.cache_dict, self.model, self.has_batch_dim = cache_dict, model, has_batch_dim

    # ---------------------------------------------------------------- a dictionary

    def __getitem__(self, key: str | tuple) -> Tensor:
        name = self.full_name(key)
        if name not in self.cache_dict:
            closest = difflib.get_close_matches(name, self.cache_dict, n=1, cutoff=0.0)
            hint = f"; the closest is {closest[0]!r}" if closest else ""
            raise KeyError(
                f"{name!r} is not among the {len(self.cache_dict)} cached activations{hint}. "
                "Was it left out by names_filter or stop_at_layer?"
            )
        return self.cache_dict[name]

    def full_name(self, key: str | tuple) -> str:
        """The name in `cache_dict` that a key stands for."""
        if isinstance(key, str):
            return key if key in self.cache_dict else get_act_name(key)
        name, layer, *rest = key
        if layer is not None and not isinstance(layer, str):
            # NumPy's integers and tensors of one number too.
            layer = int(layer) + (self.model.cfg.n_layers if layer < 0 else 0)
        return get_act_name(name, layer, *rest)

    def __len__(self) -> int:
        return len(self.cache_dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self.cache_dict)

    def __contains__(self, key: Any) -> bool:
        return self.full_name(key) in self.cache_dict

    def keys(self) -> KeysView[str]:
        """The full names."""
        return self.cache_dict.keys()

    def values(self) -> ValuesView[Tensor]:
        """The tensors."""
        return self.cache_dict.values()

    def items(self) -> ItemsView[str, Tensor]:
        """Names and tensors."""
        return self.cache_dict.items()

    def __repr__(self) -> str:
        return f"ActivationCache with keys {list(self.keys())}"

    def to(self, device: torch.device | str, move_model: bool = False) -> "ActivationCache":
        """Move every tensor (and the model) to a device, in place; returns itself."""
        self.cache_dict = {name: tensor.to(device) for name, tensor in self.items()}
        if move_model:
            self.model.to(device)
        return self

    def toggle_autodiff(self, mode: bool = False) -> None:
        """Switch automatic differentiation on or off everywhere, not only for this cache."""
        torch.set_grad_enabled(mode)

    def remove_batch_dim(self) -> "ActivationCache":
        """Drop the batch axis, in place, when it has one entry; returns itself."""
        if self.has_batch_dim:
            if self.batch_size != 1:
                raise InputError(
                    f"remove_batch_dim: the cache has batch size {self.batch_size}; it must be 1"
                )
            self.cache_dict = {name: remove_batch_dim(tensor) for name, tensor in self.items()}
            self.has_batch_dim = False
        return self

    def apply_slice_to_batch_dim(self, batch_slice: Slice | SliceInput) -> "ActivationCache":
        """A new cache with these entries of the batch; an int drops the batch axis."""
        if not self.has_batch_dim:
            raise ValueError("apply_slice_to_batch_dim: this cache has no batch axis")
        batch_slice, batch = Slice.unwrap(batch_slice), self.batch_size
        sliced = {name: batch_slice.apply(x, dim=0) if len(x) == batch else x for name, x in self.items()}
        return ActivationCache(sliced, self.model, has_batch_dim=batch_slice.mode != "int")

    # ---------------------------------------------------------------- the residual stream as a sum

    def _layer(self, layer: int | None) -> int:
        """A layer counted from the start; None and -1 mean after the last."""
        n_layers = self.model.cfg.n_layers
        if layer is None or layer == -1:
            return n_layers
        layer = int(layer)
        if not 0 <= layer <= n_layers:
            raise ValueError(f"layer = {layer}; it must be from 0 to {n_layers}, or -1 for after the last")
        return layer

    def _at(self, key: str | tuple, pos_slice: Slice) -> Tensor:
        """A cached activation at these positions."""
        return pos_slice.apply(self[key], dim=pos_dim(self.full_name(key)))

    def _reads_mid(self, mlp_input: bool) -> bool:
        """Whether what is read is behind the layer's attention; a parallel block's MLP reads what stands before it."""
        return mlp_input and not self.model.cfg.parallel_attn_mlp

    def _resid_before(self, layer: int, pos_slice: Slice) -> Tensor:
        """The residual stream that enters this layer; for n_layers, what leaves the last."""
        return self._at(("resid_post", layer - 1) if layer else ("resid_pre", 0), pos_slice)

    def _finish(
        self,
        components: list[Tensor],
        labels: list[str],
        layer: int,
        mlp_input: bool,
        apply_ln: bool,
        pos_slice: Slice,
        return_labels: bool,
    ) -> Any:
        stack = torch.stack(components) if components else self._resid_before(0, pos_slice)[None][:0]
        if apply_ln:
            stack = self.apply_ln_to_stack(stack, layer, mlp_input=mlp_input, pos_slice=pos_slice)
        return (stack, labels) if return_labels else stack

    def _norm_before(self, layer: int, mlp_input: bool) -> tuple[Any, Tensor]:
        """The normalization that reads the stream at this layer, and the scale that it had."""
        if layer == self.model.cfg.n_layers:
            return self.model.ln_final, self["ln_final.hook_scale"]
        which = "ln2" if mlp_input else "ln1"
        return getattr(self.model.blocks[layer], which), self[f"blocks.{layer}.{which}.hook_scale"]

    def accumulated_resid(
        self,
        layer: int | None = None,
        incl_mid: bool = False,
        apply_ln: bool = False,
        pos_slice: Slice | SliceInput = None,
        mlp_input: bool = False,
        return_labels: bool = False,
    ) -> Stack | tuple[Stack, list[str]]:
        """The residual stream as it stood before each layer up to this one: what the logit lens reads.

        nostalgebraist 2020, "interpreting GPT: the logit lens".

        Args:
            layer: the last one included; None or -1 for the end of the model.
            incl_mid: also between attention and MLP of each layer.
            apply_ln: with the LayerNorm that reads at `layer`, see `apply_ln_to_stack`.
            mlp_input: also include the input of this layer's MLP.
            return_labels: `0_pre`, `0_mid`, ..., `final_post`.

        Returns:
            `[component batch pos d_model]`, and the labels when asked.
        """
        last, pos_slice = self._layer(layer), Slice.unwrap(pos_slice)
        stack, labels = [], []
        for i in range(last + 1):
            stack.append(self._resid_before(i, pos_slice))
            labels.append("final_post" if i == self.model.cfg.n_layers else f"{i}_pre")
            if (incl_mid and i < last) or (self._reads_mid(mlp_input) and i == last):
                stack.append(self._at(("resid_mid", i), pos_slice))
                labels.append(f"{i}_mid")
        return self._finish(stack, labels, last, mlp_input, apply_ln, pos_slice, return_labels)

    def decompose_resid(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        mode: Literal["all", "mlp", "attn"] = "all",
        apply_ln: bool = False,
        pos_slice: Slice | SliceInput = None,
        incl_embeds: bool = True,
        return_labels: bool = False,
    ) -> Stack | tuple[Stack, list[str]]:
        """What each layer wrote to the stream that enters `layer`: embeddings, attention outs, MLP outs.

        With mode "all" and embeddings the sum over components is that residual stream. Arguments as for
        `accumulated_resid`; labels `embed`, `pos_embed`, `0_attn_out`, `0_mlp_out`, ...
        """
        last, pos_slice = self._layer(layer), Slice.unwrap(pos_slice)
        keys: list[tuple[str, str | tuple]] = []
        if incl_embeds:
            keys.append(("embed", "embed"))
            if self.model.cfg.positional_embedding_type == "standard":  # others are not in the stream
                keys.append(("pos_embed", "pos_embed"))
        for i in range(last):
            if mode in ("all", "attn"):
                keys.append((f"{i}_attn_out", ("attn_out", i)))
            if mode in ("all", "mlp") and not self.model.cfg.attn_only:
                keys.append((f"{i}_mlp_out", ("mlp_out", i)))
        if self._reads_mid(mlp_input) and mode in ("all", "attn"):
            keys.append((f"{last}_attn_out", ("attn_out", last)))
        stack = [self._at(key, pos_slice) for _, key in keys]
        labels = [label for label, _ in keys]
        return self._finish(stack, labels, last, mlp_input, apply_ln, pos_slice, return_labels)

    def compute_head_results(self) -> None:
        """Add every head's output, `blocks.L.attn.hook_result [batch pos head d_model]`, to the cache."""
        for layer, block in enumerate(self.model.blocks):
            name = f"blocks.{layer}.attn.hook_result"
            if name not in self.cache_dict:
                z = self["z", layer]
                self.cache_dict[name] = einsum(
                    z, block.attn.W_O, "... head d_head, head d_head d_model -> ... head d_model"
                )

    def stack_head_results(
        self,
        layer: int | None = -1,
        return_labels: bool = False,
        incl_remainder: bool = False,
        pos_slice: Slice | SliceInput = None,
        apply_ln: bool = False,
    ) -> Stack | tuple[Stack, list[str]]:
        """What every head before `layer` wrote, without b_O: `[layers*heads batch pos d_model]`.

        Args:
            incl_remainder: one more component, everything that the heads did not write, so that the sum is
                the residual stream.
            Others as for `accumulated_resid`; labels `L0H0`, `L0H1`, ...
        """
        last, pos_slice = self._layer(layer), Slice.unwrap(pos_slice)
        stack: list[Tensor] = []
        for i in range(last):
            if ("result", i) in self:
                result = self._at(("result", i), pos_slice)
            else:
                result = einsum(
                    self._at(("z", i), pos_slice),
                    self.model.blocks[i].attn.W_O,
                    "... head d_head, head d_head d_model -> ... head d_model",
                )
            stack += rearrange(result, "... head d_model -> head ... d_model").unbind(0)
        labels = [f"L{i}H{h}" for i in range(last) for h in range(self.model.cfg.n_heads)]
        if incl_remainder:
            total = self._resid_before(last, pos_slice)
            stack.append(total - sum(stack) if stack else total)
            labels.append("remainder")
        return self._finish(stack, labels, last, False, apply_ln, pos_slice, return_labels)

    def stack_activation(
        self, activation_name: str, layer: int | None = -1, sublayer_type: str | None = None
    ) -> Float[Tensor, "layer ..."]:
        """One activation of all layers before `layer`, stacked."""
        return torch.stack([self[activation_name, i, sublayer_type] for i in range(self._layer(layer))])

    # ---------------------------------------------------------------- reading the stream

    def apply_ln_to_stack(
        self,
        residual_stack: Stack,
        layer: int | None = None,
        mlp_input: bool = False,
        pos_slice: Slice | SliceInput = None,
        batch_slice: Slice | SliceInput = None,
        has_batch_dim: bool = True,
        recompute_ln: bool = False,
    ) -> Stack:
        """Each component as the LayerNorm of this layer passes it on.

        The scale is the one that the whole stream had in the cached run, held fixed: only so is LayerNorm
        linear, and the parts still add up. They sum to LayerNorm's output, less its bias, which belongs to
        no component.

        Args:
            layer: whose LayerNorm; None or -1 for the final one.
            mlp_input: this layer's ln2 instead of its ln1.
            pos_slice, batch_slice: the positions and batch entries that the stack is already restricted to.
            has_batch_dim: whether the stack has a batch axis.
            recompute_ln: treat each component as if it were the whole stream: its own scale, and the bias too.
                The logit lens on `accumulated_resid` reads it so. For the final LayerNorm only.
        """
        if self.model.cfg.normalization_type is None:
            return residual_stack
        last = self._layer(layer)
        if recompute_ln and last == self.model.cfg.n_layers:
            return self.model.ln_final(residual_stack)
        ln, scale = self._norm_before(last, mlp_input)
        scale = Slice.unwrap(pos_slice).apply(scale, dim=-2)
        if self.has_batch_dim:
            scale = Slice.unwrap(batch_slice).apply(scale, dim=0)
        if self.has_batch_dim and not has_batch_dim and scale.ndim == residual_stack.ndim:
            scale = scale[0]
        if ln.centres:
            residual_stack = residual_stack - residual_stack.mean(dim=-1, keepdim=True)
        normalized = residual_stack / scale
        return normalized * ln.w if hasattr(ln, "w") else normalized

    def logit_attrs(
        self,
        residual_stack: Stack,
        tokens: str | int | Int[Tensor, "..."],
        incorrect_tokens: str | int | Int[Tensor, "..."] | None = None,
        pos_slice: Slice | SliceInput = None,
        batch_slice: Slice | SliceInput = None,
        has_batch_dim: bool = True,
    ) -> Float[Tensor, "component *batch_and_pos"]:
        """How much each component adds to the logit of `tokens`, or to its difference from `incorrect_tokens`.

        Direct logit attribution: what the component, through the final LayerNorm with its scale held
        fixed, contributes along the tokens' columns of W_U. It cannot see what a component does by way of
        later layers. b_U belongs to no component.

        Args:
            tokens: one for all, one per batch entry, or one per batch entry and position.
            Others as for `apply_ln_to_stack`.
        """
        directions = self._directions(tokens, residual_stack, has_batch_dim)
        if incorrect_tokens is not None:
            directions = directions - self._directions(incorrect_tokens, residual_stack, has_batch_dim)
        scaled = self.apply_ln_to_stack(
            residual_stack, -1, pos_slice=pos_slice, batch_slice=batch_slice, has_batch_dim=has_batch_dim
        )
        return (scaled * directions).sum(dim=-1)

    def _directions(self, tokens: Any, stack: Stack, has_batch_dim: bool) -> Tensor:
        directions = self.model.tokens_to_residual_directions(tokens)
        if directions.ndim == 2 and stack.ndim == 4 and has_batch_dim:
            return directions[:, None]  # one token per batch entry, the same at every position
        return directions
