"""Exercise 03.2: What the second half costs."""

import torch

from ...exercise import exercise

ex = exercise(
    "03.2",
    "loss_by_half",
    title="What the second half costs",
    objective="You can line up a per-token loss with the tokens it belongs to, and leave out the one that nobody could "
    "have predicted.",
    minutes=10,
    difficulty=2,
    importance=4,
    version=2,
    source="The identity loss[:, i] = -log p(tokens[:, i + 1]); Olsson et al. 2022, 'Key Concepts' (loss by token index).",
    hints=[
        "Write down for n = 3 which token each of the 2n columns predicts. Column 0 predicts token 1, the first of the "
        "half.",
        "Columns 0 to n - 1 belong to the first half. Column n predicts the first token of the second half: who could "
        "know that the half has ended?",
        "loss[:, :n].mean(dim=1) and loss[:, n + 1 :].mean(dim=1).",
    ],
    why="Column i is the price of token i + 1. The first repeated token comes as a surprise to any model, since the halves "
    "have no fixed length, so it belongs to neither half; with n = 5 it would put a fifth of log(d_vocab) on a model that "
    "copies perfectly.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for b, n in ((3, 5), (2, 8), (1, 4), (4, 2)):
        loss = torch.rand(b, 2 * n, generator=generator) * 2
        loss[:, :n] += 5
        loss[:, n] += 9  # the surprise
        cases.append({"loss": loss, "n": n})
    return cases


@ex.oracle
def _(loss, n):
    halves = []
    for positions in (
        range(1, n + 1),
        range(n + 2, 2 * n + 1),
    ):  # of the tokens; token p costs loss[:, p - 1]
        halves.append(torch.stack([sum(row[p - 1] for p in positions) / len(positions) for row in loss]))
    return tuple(halves)


@ex.alternative
def two_slices(loss, n):
    first, second = loss[:, :n], loss[:, n + 1 :]
    return first.mean(dim=1), second.mean(dim=1)


@ex.alternative
def aligned_with_tokens(loss, n):
    by_token = torch.cat([torch.zeros(len(loss), 1), loss], dim=1)  # nothing predicts BOS
    return by_token[:, 1 : n + 1].sum(1) / n, by_token[:, n + 2 :].sum(1) / (n - 1)


ex.slip(
    "first_repeat_included",
    "The second half includes its first token, column n. Nothing in the context tells that the repetition begins there, so it costs "
    "as much as any random token and hides how well the rest is copied. Leave out column n.",
    "n + 1 :",
    "n:",
)


ex.slip(
    "first_repeat_in_first_half",
    "The first half has n + 1 columns: the last of them predicts the first token of the second half. It belongs to "
    "neither.",
    "loss[:, :n]",
    "loss[:, : n + 1]",
)


ex.slip(
    "bos_shift",
    "Everything is one column too late, as when columns are counted like tokens. BOS is never predicted, so column 0 is the loss of "
    "token 1.",
    "loss[:, :n], loss[:, n + 1 :]",
    "loss[:, 1 : n + 1], loss[:, n + 2 :]",
)


ex.slip(
    "first_half_cut",
    "The first half starts at column 1. Column 0 is the loss of token 1, which is the first random token already.",
    "loss[:, :n]",
    "loss[:, 1:n]",
)


ex.slip(
    "halves_swapped",
    "The halves are swapped: first the first one.",
    "first.mean(dim=1), second.mean(dim=1)",
    "second.mean(dim=1), first.mean(dim=1)",
)


ex.slip(
    "averaged_over_the_batch",
    "The batch was averaged as well. One number per sequence was asked for: a mean that comes too early cannot be "
    "undone, and it hides the sequence on which the model fails.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.mean(), second.mean()",
)


ex.slip(
    "averaged_over_the_wrong_axis",
    "The batch was averaged and the positions were kept. Axis 0 is the batch; the tokens of a half are on axis 1.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.mean(dim=0), second.mean(dim=0)",
)


ex.slip(
    "averaged_before_the_split",
    "The loss was averaged over all tokens before it was split, so both halves got the same number. Split first.",
    "loss[:, :n], loss[:, n + 1 :]",
    "loss, loss",
)


ex.slip(
    "sum_for_mean",
    "These are sums. The halves have different numbers of terms, n and n - 1: compare means.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.sum(dim=1), second.sum(dim=1)",
)


ex.slip(
    "batch_split",
    "The cut is along the batch: loss[:n] takes sequences. Positions are axis 1: loss[:, :n].",
    "loss[:, :n], loss[:, n + 1 :]",
    "loss[: n // 4], loss[n // 4 :]",
)


ex.slip(
    "perplexity",
    "That is exp(loss), the perplexity. The loss itself was asked for, in nats.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.mean(dim=1).exp(), second.mean(dim=1).exp()",
)


ex.slip(
    "last_column_cut",
    "The second half ends one column early. The last column, 2n - 1, predicts the last token, and a slice without an end goes that "
    "far.",
    "loss[:, n + 1 :]",
    "loss[:, n + 1 : 2 * n - 1 + (n == 2)]",
)


ex.slip(
    "second_half_one_too_short",
    "The second half starts one column late, at n + 2. Column n alone is left out: the mean starts at n + 1.",
    "loss[:, n + 1 :]",
    "loss[:, n + 1 + (n > 2) :]",
)


ex.slip(
    "first_half_ends_early",
    "The first half ends one column early: column n - 1 predicts its last token. loss[:, :n] holds n columns, 0 to n - 1.",
    "loss[:, :n]",
    "loss[:, : n - 1]",
)


ex.slip(
    "second_half_divided_by_n",
    "The second half's sum is divided by n, but it has n - 1 terms: its first token is left out.",
    "second.mean(dim=1)",
    "second.sum(dim=1) / n",
)


ex.slip(
    "first_half_divided_by_n_minus_1",
    "The first half's sum is divided by n - 1. It has n terms; the one that is left out belongs to the second half.",
    "first.mean(dim=1)",
    "first.sum(dim=1) / (n - 1)",
)


ex.slip(
    "median",
    "These are medians. Asked for are means.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.quantile(0.5, dim=1), second.quantile(0.5, dim=1)",
)


ex.slip(
    "batch_axis_lost",
    "With a batch of one the result has no batch axis: a squeeze() without an axis drops every axis of size 1.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.mean(dim=1).squeeze(), second.mean(dim=1).squeeze()",
)


ex.slip(
    "lists_of_numbers",
    "Each half is a list of numbers. Asked for are tensors, one number per row.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.mean(dim=1).tolist(), second.mean(dim=1).tolist()",
)


ex.slip(
    "stacked",
    "The two halves came as one tensor. Asked for is a pair: return first, second.",
    "return first.mean(dim=1), second.mean(dim=1)",
    "return torch.stack([first.mean(dim=1), second.mean(dim=1)])",
)


ex.equivalent(
    "There are two axes: 1 and -1 are the same.",
    "mean(dim=1), => mean(dim=-1),",
    "mean(dim=1)) => mean(dim=-1))",
    "loss], dim=1) => loss], dim=-1)",
)

ex.equivalent("The column that was put in for BOS is not read.", "torch.zeros(len => torch.ones(len")

ex.equivalent(
    "The column that was put in for BOS holds 0, and a sum does not see it.",
    "by_token[:, 1:n + => by_token[:, :n +",
    "by_token[:, 1:n + => by_token[:, 0:n +",
)
