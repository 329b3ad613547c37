"""Chapter 07, Training dynamics: scoring checkpoints, finding a phase change, and training a model to see one."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cleanlens import HookedTransformer

BOS = 0


# exercise 07.1
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    """The training steps in order of time, and `score(model, tokens)` of each, stacked.

    `labels` are the steps as text, in any order. `load(label)` puts that checkpoint's weights into the model, always the
    same object, and returns it in training mode; scores are those of eval mode. `make_tokens()` draws new random tokens at
    each call; all checkpoints are asked about the same. `score` returns a tensor of its own, no view of the weights. No score
    is part of a graph.
    """
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label)
            model.eval()
            scores.append(score(model, tokens))
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# exercise 07.2
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    """The step at which the score rises fastest in log time, x = log(1 + step).

    First each score becomes the mean of the scores at most `window // 2` places away from it (at the ends, of those that
    exist). Then every two neighbours have a slope, (difference of scores) / (difference of x). The answer is the middle,
    in x, of the interval with the largest slope, turned back into a step. There are two steps or more, ascending, and one slope is
    larger than all others; `window` is odd.
    """
    half = window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].mean() for i in range(len(scores))])
    x = torch.log1p(steps.double())
    i = int((smooth.diff() / x.diff()).argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# exercise 07.3
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    """Rows of BOS (token 0), a segment of random tokens, its copy, another segment, its copy, ... until the row is full.

    The last pair is cut off at `n_ctx`. Each segment's length is drawn anew, all lengths from `min_len` to `max_len`, both
    included, being equally likely, for each row by itself; its tokens come from 1 ... d_vocab - 1. All randomness comes from
    `generator`.
    """
    tokens = torch.full((batch, n_ctx), BOS)
    for row in tokens:
        at = 1
        while at < n_ctx:
            n = int(torch.randint(min_len, max_len + 1, (), generator=generator))
            segment = torch.randint(1, d_vocab, (n,), generator=generator)
            new = torch.cat([segment, segment])[: n_ctx - at]
            row[at : at + len(new)] = new
            at += 2 * n
    return tokens


# exercise 07.4
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    """Train `model` on `make_batch(0)`, `make_batch(1)`, ...; return when it was scored and what the scores were.

    `score(model)` is called before update number `step` when `step` is a multiple of `every`, and once more after the last
    update, as step `steps`. The loss is `model(tokens, return_type="loss")`; AdamW with betas (0.9, 0.98) and weight decay
    0.01; the norm of all gradients together is clipped to 1; the rate of update number `step` rises as
    `learning_rate * (step + 1) / warmup` until it is `learning_rate`; `warmup` is at least 1. `score` leaves no gradients behind.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    scored, scores = [], []
    for step in range(steps):
        if step % every == 0:
            scored.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1, (step + 1) / warmup)
        loss = model(make_batch(step), return_type="loss")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return [*scored, steps], [*scores, score(model)]


# exercise 07.5
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    """Make `big` compute the function of the attention-only model whose parameters are `small`, by name.

    The small model's layer i becomes the attention of big's layer `layers[i]`; they ascend. Whatever else writes to the residual stream
    is silenced; what reads from it keeps its random start. A weight in `small` that `big` has no place for is a KeyError
    that names it.
    """
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out")):
                parameter.zero_()
        for name, value in small.items():
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                name = f"blocks.{layers[int(layer)]}.{rest}"
            if name not in parameters:
                raise KeyError(f"the bigger model has no parameter {name!r}")
            parameters[name].copy_(value)
