"""The logit lens: what the model would say if it stopped after each layer.

The residual stream between two blocks is read as if it were the last one: final normalization, unembedding
(nostalgebraist 2020, "interpreting GPT: the logit lens").
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    import pandas

    from cleanlens.hooked_transformer import HookedTransformer


@dataclass
class LogitLens:
    """Logits after the embedding and after each layer, and what can be read off them."""

    logits: Float[Tensor, "layer batch pos d_vocab"]
    tokens: Int[Tensor, "batch pos"]
    labels: list[str]  # of the layers: "0_pre", "1_pre", ..., "final_post"
    words: list[list[str]]  # the tokens as text
    vocabulary: Any  # a function from an id to text

    def top(self, k: int = 1, pos: int = -1) -> list[list[list[str]]]:
        """The k most likely tokens, `[layer][batch]`."""
        best = self.logits[:, :, pos].topk(k).indices
        return [[[self.vocabulary(int(i)) for i in row] for row in layer] for layer in best]

    def rank(self, answers: Int[Tensor, "batch pos"] | None = None) -> Int[Tensor, "layer batch pos"]:
        """How many tokens are held more likely than the right one; ties count as not more likely.

        Args:
            answers: what is right at each position; None: the next token, and the last position is left out.
        """
        logits, answers = self._judged(answers)
        right = logits.gather(-1, answers.expand(len(logits), -1, -1)[..., None])
        return (logits > right).sum(-1)

    def loss(self, answers: Int[Tensor, "batch pos"] | None = None) -> Float[Tensor, "layer batch pos"]:
        """-log p(the right token), in nats."""
        logits, answers = self._judged(answers)
        return -logits.log_softmax(-1).gather(-1, answers.expand(len(logits), -1, -1)[..., None]).squeeze(-1)

    def entropy(self) -> Float[Tensor, "layer batch pos"]:
        """How undecided each layer is, in nats: 0 when sure, log(d_vocab) when everything is equally likely."""
        log_probs = self.logits.log_softmax(-1)
        return -(log_probs.exp() * log_probs).nan_to_num(0.0).sum(-1)

    def _judged(self, answers: Tensor | None) -> tuple[Tensor, Tensor]:
        if answers is None:
            return self.logits[:, :, :-1], self.tokens[:, 1:]
        if answers.shape != self.tokens.shape:
            raise ValueError(
                f"answers have the shape {list(answers.shape)}; expected [batch pos] = {list(self.tokens.shape)}"
            )
        return self.logits, answers

    def to_pandas(self) -> "pandas.DataFrame":
        """One row per layer, prompt and position: the likeliest token, its probability, the entropy."""
        import pandas

        probability, best = self.logits.softmax(-1).max(-1)
        entropy, rows = self.entropy(), []
        for layer, label in enumerate(self.labels):
            for b, text in enumerate(self.words):
                for p, word in enumerate(text):
                    place = (layer, b, p)
                    top, likely = self.vocabulary(int(best[place])), probability[place].item()
                    rows.append((label, b, p, word, top, likely, entropy[place].item()))
        columns = ["layer", "prompt", "pos", "token", "top", "probability", "entropy"]
        return pandas.DataFrame(rows, columns=columns)

    def plot(self, prompt: int = 0, title: str = "What each layer would say next") -> Any:
        """The likeliest token of each layer at each position, coloured by how undecided the layer is."""
        from cleanlens import plots

        figure = plots.heatmap(
            self.entropy()[:, prompt],
            self.words[prompt],
            self.labels,
            title,
            "token",
            "layer",
            zero_centred=False,
            color_label="entropy (nats)",
            square=False,  # words need width
            numbers=False,
        )
        best = self.logits[:, prompt].argmax(-1)
        figure.update_traces(
            text=[[self.vocabulary(int(i)) for i in row] for row in best], texttemplate="%{text}"
        )
        return figure


@torch.no_grad()
def logit_lens(
    model: "HookedTransformer",
    input: Any,
    scale: Literal["own", "final"] = "own",
    **how_to_read: Any,
) -> LogitLens:
    """The logits of every layer's residual stream.

        lens(x_l) = ln_final(x_l) W_U + b_U

    Args:
        input: text, texts or tokens, as the model takes them; `prepend_bos` and others may follow.
        scale: "own": each layer is divided by its own norm, as if it were the last; "final": all are divided by the
            final layer's scale, as `ActivationCache.accumulated_resid(apply_ln=True)` does, so that differences of
            layers add up. For models with LayerNorm or RMSNorm.

    Raises:
        ValueError: another scale.
    """
    if scale not in ("own", "final"):
        raise ValueError(f'logit_lens: scale = {scale!r}; expected "own" or "final"')
    tokens = model.to_tokens(input, **how_to_read) if isinstance(input, str | list) else input
    tokens = tokens if tokens.ndim == 2 else tokens[None]
    _, cache = model.run_with_cache(
        tokens,
        names_filter=lambda name: name.endswith(("hook_resid_pre", "hook_resid_post")),
        return_type=None,
    )
    stack, labels = cache.accumulated_resid(layer=None, return_labels=True)

    scales: list[Tensor] = []
    with model.hooks(fwd_hooks=[("ln_final.hook_scale", lambda scale, hook: scales.append(scale))]):
        model.ln_final(stack[-1])
    final = [("ln_final.hook_scale", lambda _, hook: scales[0])] if scale == "final" else []
    with model.hooks(fwd_hooks=final):
        logits = torch.stack([model.unembed(model.ln_final(resid)) for resid in stack])
    words = [[model.to_single_str_token(int(token)) for token in row] for row in tokens]
    return LogitLens(logits, tokens, list(labels), words, lambda i: model.to_single_str_token(i))
