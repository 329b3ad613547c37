"""Direct logit attribution: what each part of the model adds to an answer's logit by itself.

The final residual stream is a sum, and once the final scale is held fixed, reading a logit off it is linear: so the
logit is a sum over components too (Elhage et al. 2021, "Logit lens and direct logit attribution"; Wang et al. 2022,
section 3.1). What a component does through later ones is not in its share.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cleanlens.analysis.uncertainty import Estimate, estimate

if TYPE_CHECKING:
    import pandas

    from cleanlens.activation_cache import ActivationCache

By = Literal["component", "head", "neuron", "position"]


@dataclass
class DirectAttribution:
    """Shares of an answer's logit, or of a difference of two, prompt by prompt."""

    shares: Float[Tensor, "part prompt"]
    labels: list[str]
    unit: str = "logit"

    def top(self, n: int = 10) -> list[tuple[str, float]]:
        """The n parts with the largest mean share by size, signs kept."""
        means = self.shares.mean(-1)
        return [(self.labels[i], means[i].item()) for i in means.abs().argsort(descending=True)[:n].tolist()]

    def estimate(self, confidence: float = 0.95) -> Estimate:
        """Mean share of each part with interval and p-value."""
        return estimate(self.shares, confidence)

    def to_pandas(self) -> "pandas.DataFrame":
        """One row per part."""
        frame = self.estimate().to_pandas()
        frame["place"] = self.labels
        return frame.rename(columns={"place": "part"})

    def plot(self, title: str = "What each part adds to the answer") -> Any:
        """A map of layers and heads, or a line over the parts."""
        from cleanlens import plots

        means = self.shares.mean(-1)
        if self.labels[0].startswith("L") and "H" in self.labels[0]:
            layers = 1 + max(int(label[1:].split("H")[0]) for label in self.labels if label.startswith("L"))
            heads = [i for i, label in enumerate(self.labels) if label.startswith("L")]
            return plots.head_map(means[heads].reshape(layers, -1), title, color_label=self.unit)
        return plots.line(means, x=self.labels, title=title, y_label=self.unit)


@torch.no_grad()
def direct_logit_attribution(
    cache: "ActivationCache",
    answers: Any,
    wrong_answers: Any = None,
    by: By = "component",
    pos: int = -1,
) -> DirectAttribution:
    """Each part's share of the logit of `answers`, or of its difference to `wrong_answers`, at one position.

        share(c) = (c / final scale) . (W_U[:, answer] - W_U[:, wrong answer])

    Args:
        cache: everything of a run (`model.run_with_cache(tokens)`).
        answers, wrong_answers: a token or a text that is one, for all prompts, or one for each.
        by: "component": embeddings, each layer's attention and MLP; "head": each head, "neuron": each MLP neuron, and all
            else as "remainder"; "position": for all heads together, what is brought from each position.
        pos: where the answer is read.

    Returns:
        Shares that add up to the logit, less b_U and the final LayerNorm's bias; by position, to what attention brings.

    Raises:
        ValueError: another `by`.
    """
    if by == "component":
        stack, labels = cache.decompose_resid(layer=None, pos_slice=pos, return_labels=True)
    elif by == "head":
        stack, labels = cache.stack_head_results(pos_slice=pos, return_labels=True, incl_remainder=True)
    elif by == "neuron":
        stack, labels = cache.stack_neuron_results(
            layer=None, pos_slice=pos, return_labels=True, incl_remainder=True
        )
    elif by == "position":
        stack, labels = _positions(cache, pos)
    else:
        raise ValueError(
            f'direct_logit_attribution: by = {by!r}; expected "component", "head", "neuron" or "position"'
        )
    shares = cache.logit_attrs(stack, answers, wrong_answers, pos_slice=pos, has_batch_dim=True)
    unit = "logit" if wrong_answers is None else "logit difference"
    return DirectAttribution(shares.reshape(len(labels), -1).cpu(), list(labels), unit)


def _positions(cache: "ActivationCache", pos: int) -> tuple[Float[Tensor, "key batch d_model"], list[str]]:
    """What attention brings to `pos` from each position: pattern[pos, key] v[key] W_O, summed over heads and layers."""
    total: Any = 0.0
    for layer, block in enumerate(cache.model.blocks):
        pattern, v = cache["pattern", layer][:, :, pos], cache["v", layer]
        v = v.repeat_interleave(pattern.shape[1] // v.shape[2], dim=2)  # one for each query head of a group
        total = total + torch.einsum("bhk,bkhe,hed->kbd", pattern, v, block.attn.W_O)
    return total, [str(i) for i in range(len(total))]
