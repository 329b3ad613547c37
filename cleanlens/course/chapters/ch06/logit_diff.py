"""Exercise 06.2: The logit difference."""

import torch

from ...exercise import exercise

ex = exercise(
    "06.2",
    "logit_diff",
    title="The logit difference",
    objective="You can read one number per prompt from the logits: by how much the right name is preferred.",
    minutes=10,
    version=3,
    difficulty=2,
    importance=5,
    source="Wang et al. 2022, section 2: logit of IO minus logit of S, at the END token.",
    hints=[
        "Each prompt has its own last token: pair the batch index with `end`, logits[torch.arange(b), end].",
        "Then gather(1, answers) gives [b, 2]: the indirect object's logit and the subject's.",
    ],
    why="A difference of two logits is what softmax turns into the odds of the two names; everything that raises or lowers all "
    "logits alike cancels. It is linear in the final residual stream, which makes attribution possible.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    answers = torch.stack([torch.randperm(7, generator=g)[:3] for _ in range(4)])
    end = torch.cat([torch.tensor([2]), torch.tensor([5, 4, 3])[torch.randperm(3, generator=g)]])
    logits = torch.randn(4, 6, 7, generator=g) * 2
    logits[torch.arange(4), end, answers[:, 2]] += 9  # a third token is above both
    far = logits.clone()
    far[torch.arange(4), end, answers[:, 2]] += 110  # beside it the probabilities of the two are 0 in float32
    return [
        {"logits": logits, "answers": answers[:, :2].clone(), "end": end},
        {"logits": logits[:1], "answers": answers[:1, :2].clone(), "end": end[:1]},  # a batch of one
        {"logits": logits[:, :1], "answers": answers[:, 1:].clone(), "end": torch.zeros_like(end)},
        {"logits": logits[:3] + 40, "answers": answers[:3, :2].flip(1), "end": torch.tensor([5, 5, 0])},
        {"logits": far, "answers": answers[:, :2].clone(), "end": end},
    ]


@ex.oracle
def _(logits, answers, end):
    out = torch.zeros(len(logits))
    for b in range(len(logits)):
        io, s = answers[b]
        out[b] = logits[b, end[b], io] - logits[b, end[b], s]
    return out


@ex.alternative
def pick_then_gather(logits, answers, end):
    at_end = logits[torch.arange(len(logits)), end]
    io, s = at_end.gather(1, answers).unbind(1)
    return io - s


@ex.alternative
def log_odds(logits, answers, end):
    log_probs = logits.log_softmax(-1)
    index = torch.arange(len(logits))
    return log_probs[index, end, answers[:, 0]] - log_probs[index, end, answers[:, 1]]


ex.slip(
    "last_column",
    "Position -1 was read in every row. With padding on the right, the last column of a shorter prompt is padding: use end[b].",
    "[torch.arange(len(logits)), end]",
    "[:, -1]",
)


ex.slip(
    "sign",
    "The sign is turned around: answers[:, 0] is the right name, and its logit comes first.",
    "io - s",
    "s - io",
)


ex.slip(
    "probabilities",
    "Those are probabilities. Take logits: a difference of probabilities is not linear in the residual stream and is squeezed near 0 and 1.",
    "at_end.gather",
    "at_end.softmax(-1).gather",
)


ex.slip(
    "log_of_softmax",
    "It is right, except where a third token has nearly all the probability: that of the two names is then 0 in float32, and its logarithm "
    "-inf. Take the logits themselves, or log_softmax.",
    "at_end.gather",
    "at_end.softmax(-1).log().gather",
)


ex.slip(
    "one_before",
    "One position too early. `end` already counts BOS: it is the index of the last token in the row, and the logits there predict "
    "the token behind it.",
    "len(logits)), end]",
    "len(logits)), end - 1]",
)


ex.slip(
    "averaged",
    "The batch was averaged away. Return one number per prompt; whoever wants the mean can take it, nobody can undo it.",
    "return io - s",
    "return (io - s).mean()",
)


ex.slip(
    "first_end_for_all",
    "Every prompt was read at the first prompt's `end`. Pair them up: logits[torch.arange(b), end] takes row b at its own end, while "
    "logits[:, end] takes every end of every row.",
    "len(logits)), end]",
    "len(logits)), end[:1]]",
)


ex.slip(
    "first_answers_for_all",
    "The first prompt's answers were used for all prompts.",
    "gather(1, answers)",
    "gather(1, answers[:1].expand(len(answers), 2))",
)


ex.slip(
    "only_the_right_one",
    "That is the indirect object's logit alone. Without the subject's it also moves when all names become likelier together.",
    "return io - s",
    "return io",
)


ex.slip(
    "best_of_the_others",
    "The largest other logit was subtracted. What is asked is the subject's: answers[:, 1].",
    "return io - s",
    "return io - at_end.scatter(1, answers[:, :1], -1e9).amax(1)",
)


ex.slip(
    "all_ends_for_all",
    "The result is [b, b]: every prompt was read at every prompt's `end`. Pair them up: logits[torch.arange(b), end] takes one position of "
    "each row.",
    "[torch.arange(len(logits)), end]",
    "[:, end]",
    ".gather(1, answers).unbind(1)",
    ".gather(2, answers[:, None].expand(-1, len(end), -1)).unbind(2)",
)


ex.slip(
    "batch_of_one_squeezed",
    "A batch of one came back without its axis: a squeeze() with no axis named takes away every axis of length 1. Return [b] whatever b is.",
    "return io - s",
    "return (io - s).squeeze()",
)


ex.slip(
    "both_added",
    "The two logits were added. What raises both alike is no preference: subtract.",
    "io - s",
    "io + s",
)


ex.equivalent(
    "The same number is taken from both logits, so their difference stays.",
    ".log_softmax(-1) => ",
)
