"""The residual stream down to single neurons, for an ActivationCache: many, large, and seldom asked for all at once."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from cleanlens.utils import Slice, SliceInput

if TYPE_CHECKING:
    from cleanlens.activation_cache import ActivationCache

Projected = Float[Tensor, "component ..."]  # components, or how far along each of some directions they go
Directions = Float[Tensor, "d_model"] | Float[Tensor, "d_model n"]


class NeuronResults:
    """What single neurons wrote, and every part of the residual stream down to them; and how parts are read along
    some directions only (`project_output_onto`)."""

    cache_dict: dict[str, Tensor]

    @property
    def batch_size(self) -> int:
        """How many sequences it holds; something that belongs to all of them alike is there once."""
        sizes = Counter(len(tensor) for tensor in self.cache_dict.values())
        return sizes.most_common(1)[0][0] if sizes else 1

    def projection(
        self: "ActivationCache", onto: Tensor, layer: int, mlp_input: bool, apply_ln: bool, pos_slice: Any
    ) -> Any:
        """How a component x is read along directions: `matrix` and `scale`, for x @ matrix / scale.

        LayerNorm before the projection, its scale held fixed, is linear: centring and gain go into the matrix,
        so that no component has to be held in d_model numbers.
        """
        if not apply_ln or self.model.cfg.normalization_type is None:
            return onto, 1.0
        ln, scale = self._norm_before(layer, mlp_input)
        gain = getattr(ln, "w", torch.ones_like(onto[..., 0] if onto.ndim == 2 else onto))
        matrix = onto * (gain if onto.ndim == 1 else gain[:, None])
        matrix = matrix - matrix.mean(dim=0) if ln.centres else matrix
        scale = pos_slice.apply(scale, dim=-2)
        return matrix, scale if onto.ndim == 2 else scale[..., 0]

    def get_neuron_results(
        self: "ActivationCache",
        layer: int,
        neuron_slice: Slice | SliceInput = None,
        pos_slice: Slice | SliceInput = None,
        project_output_onto: Directions | None = None,
    ) -> Float[Tensor, "*batch_and_pos neuron d_model"] | Float[Tensor, "..."]:
        """What each neuron of one layer wrote: its activation times its row of W_out.

        Args:
            project_output_onto: a direction `[d_model]`, or several `[d_model n]`: only how far along each of
                them a neuron wrote, without ever holding all that it wrote. The last axis is then n, or gone.
        """
        neuron_slice = Slice.unwrap(neuron_slice)
        post = neuron_slice.apply(self._at(("post", layer), Slice.unwrap(pos_slice)), dim=-1)
        written = neuron_slice.apply(self.model.blocks[layer].mlp.W_out, dim=0)
        if project_output_onto is None:
            return post[..., None] * written
        written = written @ project_output_onto
        return post * written if project_output_onto.ndim == 1 else post[..., None] * written

    def stack_neuron_results(
        self: "ActivationCache",
        layer: int | None = -1,
        pos_slice: Slice | SliceInput = None,
        neuron_slice: Slice | SliceInput = None,
        return_labels: bool = False,
        incl_remainder: bool = False,
        apply_ln: bool = False,
        project_output_onto: Directions | None = None,
    ) -> Projected | tuple[Projected, list[str]]:
        """What every neuron before `layer` wrote, without b_out; labels `L0N0`, ...

        Large: layers * d_mlp components. Give a `neuron_slice`, a `pos_slice`, or directions to project onto (see
        `get_neuron_results`; with `apply_ln` after LayerNorm).
        """
        last, pos_slice, neuron_slice = (
            self._layer(layer),
            Slice.unwrap(pos_slice),
            Slice.unwrap(neuron_slice),
        )
        if neuron_slice.mode == "int":  # keep the axis of neurons
            neuron_slice = Slice([neuron_slice.slice])
        neurons = neuron_slice.indices(self.model.cfg.d_mlp)
        labels = [f"L{i}N{n}" for i in range(last) for n in neurons]
        onto, matrix, scale = project_output_onto, None, 1.0
        if onto is not None:
            matrix, scale = self.projection(onto, last, False, apply_ln, pos_slice)
        at = -1 if onto is not None and onto.ndim == 1 else -2  # the axis of neurons
        stack: list[Tensor] = []
        for i in range(last):
            stack += self.get_neuron_results(i, neuron_slice, pos_slice, matrix).movedim(at, 0).unbind(0)
        if incl_remainder:
            total = self._resid_before(last, pos_slice)
            total = total if matrix is None else total @ matrix
            stack.append(total - sum(stack) if stack else total)
            labels.append("remainder")
        if onto is None:
            return self._finish(stack, labels, last, False, apply_ln, pos_slice, return_labels)
        projected = (
            torch.stack(stack) / scale if stack else (self._resid_before(0, pos_slice) @ onto)[None][:0]
        )
        return (projected, labels) if return_labels else projected

    def get_full_resid_decomposition(
        self: "ActivationCache",
        layer: int | None = None,
        mlp_input: bool = False,
        expand_neurons: bool = True,
        apply_ln: bool = False,
        pos_slice: Slice | SliceInput = None,
        return_labels: bool = False,
        project_output_onto: Directions | None = None,
    ) -> Projected | tuple[Projected, list[str]]:
        """Every head, every neuron (or MLP), embed, pos_embed and the summed biases: nothing is left out.

        `project_output_onto` as in `stack_neuron_results`.
        """
        last, pos_slice, onto = self._layer(layer), Slice.unwrap(pos_slice), project_output_onto
        reads_mid = self._reads_mid(mlp_input)
        stack, labels = self.stack_head_results(
            last + int(reads_mid), pos_slice=pos_slice, return_labels=True
        )
        embeds, embed_labels = self.decompose_resid(0, pos_slice=pos_slice, return_labels=True)
        bias = self.model.accumulated_bias(last, reads_mid, include_mlp_biases=expand_neurons)
        first, rest = [stack], [embeds, bias.expand_as(embeds[:1])]
        if not self.model.cfg.attn_only and not expand_neurons:
            mlps, mlp_labels = self.decompose_resid(
                last, mode="mlp", pos_slice=pos_slice, incl_embeds=False, return_labels=True
            )
            first, labels = [stack, mlps], [*labels, *mlp_labels]
        scale: Any = 1.0
        if onto is not None:
            onto, scale = self.projection(onto, last, mlp_input, apply_ln, pos_slice)
            first, rest = ([part @ onto for part in parts] for parts in (first, rest))
        if not self.model.cfg.attn_only and expand_neurons:
            neurons, neuron_labels = self.stack_neuron_results(
                last, pos_slice=pos_slice, return_labels=True, project_output_onto=onto
            )
            first, labels = [*first, neurons], [*labels, *neuron_labels]
        everything, labels = torch.cat([*first, *rest]), [*labels, *embed_labels, "bias"]
        if onto is not None:
            return (everything / scale, labels) if return_labels else everything / scale
        return self._finish(list(everything), labels, last, mlp_input, apply_ln, pos_slice, return_labels)
