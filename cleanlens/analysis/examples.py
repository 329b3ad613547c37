"""The texts on which a neuron, a head or any direction is most active, the first thing to look at when one asks what it
stands for (Bills et al. 2023, "Language models can explain neurons in language models", "Methods")."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

if TYPE_CHECKING:
    import pandas

    from cleanlens.hooked_transformer import HookedTransformer


@dataclass
class Example:
    """One text: its largest activation, where that is, and the activation at every token."""

    value: float
    pos: int
    tokens: list[str]
    activations: Float[Tensor, " pos"]

    def __str__(self) -> str:
        before, after = (
            "".join(self.tokens[max(0, self.pos - 12) : self.pos]),
            self.tokens[self.pos + 1 :][:4],
        )
        return f"{self.value:+.3f}  {before}[{self.tokens[self.pos]}]{''.join(after)}"


@dataclass
class MaxActivatingExamples:
    """The texts with the largest activations, the largest first."""

    name: str
    examples: list[Example]

    def to_pandas(self) -> "pandas.DataFrame":
        """One row per text."""
        import pandas

        rows = [(e.value, e.pos, e.tokens[e.pos], "".join(e.tokens)) for e in self.examples]
        return pandas.DataFrame(rows, columns=["value", "pos", "token", "text"])

    def plot(self) -> Any:
        """The texts, each token coloured by its activation."""
        from cleanlens import plots

        tokens = [token for e in self.examples for token in [*e.tokens, "\n"]]
        values = torch.cat([torch.cat([e.activations, torch.zeros(1)]) for e in self.examples])
        return plots.tokens(tokens, values)


@torch.no_grad()
def max_activating_examples(
    model: "HookedTransformer",
    texts: Iterable[str] | Iterable[Tensor],
    hook_name: str,
    read: int | Sequence[int] | Callable[[Tensor], Float[Tensor, "batch pos"]],
    k: int = 10,
    batch_size: int = 16,
) -> MaxActivatingExamples:
    """The k texts in which an activation is largest at some token.

    Args:
        texts: texts, or rows of tokens `[pos]`; nothing but k of them is kept in memory.
        hook_name: which activation, `"blocks.1.mlp.hook_post"`.
        read: which entry of it behind batch and position (a neuron's number, or (head, d_head entry)), or a function to
            `[batch pos]`, such as a product with a direction.

    Raises:
        ValueError: k below 1; no texts; `read` does not give `[batch pos]`.
        KeyError: no such hook point.
    """
    if k < 1:
        raise ValueError(f"max_activating_examples: k = {k}; it takes at least 1")
    if hook_name not in model.hook_dict:
        raise KeyError(
            f"no hook point named {hook_name!r}; model.hook_dict lists all {len(model.hook_dict)} of them"
        )
    best: list[tuple[float, int, Example]] = []
    rows = tqdm(texts, desc="looking for examples", delay=2, leave=False)
    for number, (tokens, values) in enumerate(_activations(model, rows, hook_name, read, batch_size)):
        pos = int(values.argmax())
        value = values[pos].item()
        if len(best) < k or value > best[0][0]:
            words = [str(word) for word in model.to_str_tokens(tokens, prepend_bos=False)]
            heapq.heappush(best, (value, -number, Example(value, pos, words, values.cpu())))
            if len(best) > k:
                heapq.heappop(best)
    if not best:
        raise ValueError("max_activating_examples: no texts were given")
    return MaxActivatingExamples(
        hook_name, [example for *_, example in sorted(best, key=lambda b: (-b[0], -b[1]))]
    )


def _activations(
    model: "HookedTransformer", texts: Iterable[Any], hook_name: str, read: Any, batch_size: int
) -> Iterable[tuple[Tensor, Tensor]]:
    """Every text's tokens and what is read at each of them; texts of equal length run together."""
    waiting: dict[int, list[Tensor]] = {}

    def run(group: list[Tensor]) -> Iterable[tuple[Tensor, Tensor]]:
        tokens = torch.stack(group)
        _, cache = model.run_with_cache(tokens, names_filter=hook_name, return_type=None)
        activation = cache[hook_name]
        if callable(read):
            values = read(activation)
        else:
            values = activation[(..., *((read,) if isinstance(read, int) else read))]
        if values.shape != tokens.shape:
            raise ValueError(
                f"max_activating_examples: {hook_name} is {list(activation.shape)} and `read` made {list(values.shape)} "
                f"of it; expected [batch pos] = {list(tokens.shape)}"
            )
        return zip(tokens, values)

    for text in texts:
        tokens = model.to_tokens(text)[0] if isinstance(text, str) else text
        group = waiting.setdefault(len(tokens), [])
        group.append(tokens)
        if len(group) == batch_size:
            yield from run(waiting.pop(len(tokens)))
    for group in waiting.values():
        yield from run(group)
