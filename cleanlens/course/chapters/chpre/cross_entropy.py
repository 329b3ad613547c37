"""Exercise pre.5: How surprising was it?."""

import math

import torch
import torch.nn.functional as F

from ...exercise import exercise

ex = exercise(
    "pre.5",
    "cross_entropy",
    title="How surprising was it?",
    objective="You can compute a cross-entropy from logits: normalise in logarithms, and gather what the targets got.",
    minutes=12,
    difficulty=2,
    importance=5,
    version=2,
    source="-log softmax(x)[t] = logsumexp(x) - x[t]. Shannon 1948, section 6 (information as -log p).",
    hints=[
        "The log of a softmax is x - logsumexp(x). Along which axis?",
        "gather takes one number per position; its index has as many axes as the tensor: targets[..., None].",
        "log_probs = logits.log_softmax(-1); then -log_probs.gather(-1, targets[..., None]).squeeze(-1).",
    ],
    why="log(softmax(x)) first makes a tiny number and then takes its logarithm: below about 1e-45 float32 holds 0, and log(0) is -inf. "
    "x - logsumexp(x) never leaves the logarithms. squeeze(-1) takes away exactly the axis that gather needed; a bare squeeze() would "
    "also take a batch of one.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for (b, s, v), scale, shift in (
        ((2, 4, 6), 2.0, 0.0),
        ((1, 3, 5), 1.0, 0.0),
        ((3, 1, 7), 100.0, 0.0),
        ((3, 3, 3), 2.0, 150.0),
        ((2, 5, 4), 0.0, -150.0),
        ((1, 1, 4), 1.0, 0.0),
    ):
        logits = scale * torch.randn(b, s, v, generator=generator) + shift
        targets = torch.randint(v, (b, s), generator=generator)
        cases.append({"logits": logits, "targets": targets})
    sure_and_wrong = torch.zeros(2, 3, 4)
    sure_and_wrong[..., 1], targets = 200.0, torch.tensor([[0, 1, 2], [3, 1, 0]])
    cases += [{"logits": size * sure_and_wrong, "targets": targets} for size in (1.0, 1e3)]
    return cases


@ex.oracle
def _(logits, targets):
    out = torch.zeros(targets.shape)
    for b in range(len(targets)):
        for s, target in enumerate(targets[b].tolist()):
            row = logits[b, s].double().tolist()
            # -log p = the log of how often the others' odds hold the target's
            largest = max(x - row[target] for x in row)
            out[b, s] = largest + math.log(sum(math.exp(x - row[target] - largest) for x in row))
    return out


@ex.alternative
def gathered(logits, targets):
    log_probs = logits - logits.logsumexp(dim=-1, keepdim=True)
    picked = log_probs.gather(-1, targets[..., None])
    return -picked.squeeze(-1)


@ex.alternative
def indexed(logits, targets):
    b, s = targets.shape
    own = logits[torch.arange(b)[:, None], torch.arange(s), targets]
    return logits.logsumexp(-1) - own


@ex.alternative
def torchs_own(logits, targets):
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


ex.slip(
    "sign",
    "These are the log probabilities, which are below 0. A surprise is minus that.",
    "-picked",
    "picked",
)


ex.slip(
    "not_normalised",
    "That is minus the target's logit. Logits are not log probabilities: take logsumexp off first.",
    "logits - logits.logsumexp(dim=-1, keepdim=True)",
    "logits",
)


ex.slip(
    "log_of_zero",
    "The probability was made first and its logarithm taken then: a small one is 0 in float32, and its logarithm is -inf. Stay in "
    "logarithms: logits - logsumexp, or log_softmax.",
    "logits - logits.logsumexp(dim=-1, keepdim=True)",
    "logits.softmax(-1).log()",
)


ex.slip(
    "small_probabilities_raised",
    "Probabilities below 1e-9 count as 1e-9, so no surprise is larger than about 20.7. Stay in logarithms, where nothing has to be kept "
    "from 0: logits - logsumexp, or log_softmax.",
    "logits - logits.logsumexp(dim=-1, keepdim=True)",
    "(logits.softmax(-1) + 1e-9).log()",
)


ex.slip(
    "overflows",
    "exp was taken of the logits as they are: from 89 on it is infinite, and far below zero it is 0. logsumexp takes the largest one out "
    "first.",
    "logits.logsumexp(dim=-1, keepdim=True)",
    "logits.exp().sum(dim=-1, keepdim=True).log()",
)


ex.slip(
    "normalised_over_positions",
    "The probabilities sum to 1 over the positions (axis 1). They should over the vocabulary, the last axis.",
    "dim=-1",
    "dim=1",
)


ex.slip(
    "bits",
    "That is in bits: a logarithm to the base 2. Nats use the natural one.",
    "picked.squeeze(-1)",
    "picked.squeeze(-1) / math.log(2)",
)


ex.slip(
    "the_mean",
    "It is one number, the mean of all surprises. One for each target was asked for.",
    "picked.squeeze(-1)",
    "picked.mean()",
)


ex.slip(
    "axis_left_over",
    "The axis that gather needed is still there: [batch pos 1]. Take it away with squeeze(-1) or [..., 0].",
    "picked.squeeze(-1)",
    "picked",
)


ex.slip(
    "batch_of_one_lost",
    "With a batch of one, or one position, an axis is missing: a bare squeeze() drops every axis of size 1. squeeze(-1) drops the last.",
    "squeeze(-1)",
    "squeeze()",
)


ex.slip(
    "of_the_most_likely",
    "That is the surprise of the most likely one, whatever the target is. Gather at the targets.",
    "log_probs.gather(-1, targets[..., None])",
    "log_probs.amax(dim=-1, keepdim=True)",
)


@ex.mistake(
    "That is the entropy: the surprise to be expected if the model were right. It does not look at the targets. Gather at the targets."
)
def entropy(logits, targets):
    log_probs = logits.log_softmax(-1)
    return -(log_probs.exp() * log_probs).sum(-1)


ex.slip(
    "probabilities",
    "These are the probabilities of the targets. Their surprise is minus the logarithm.",
    "-picked",
    "picked.exp()",
)


@ex.mistake(
    "Each position was compared with the next one's target. Here logits and targets at the same position belong together. (In a language model "
    "the next token is the target, and that shift happens when the targets are made.)"
)
def shifted(logits, targets):
    log_probs = logits.log_softmax(-1)
    return -log_probs.gather(-1, targets.roll(-1, dims=-1)[..., None]).squeeze(-1)
