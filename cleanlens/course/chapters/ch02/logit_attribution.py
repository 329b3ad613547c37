"""Exercise 02.6: Who raised the right token's logit."""

import torch

from ...exercise import exercise

ex = exercise(
    "02.6",
    "logit_attribution",
    title="Who raised the right token's logit",
    objective="You can say how much each component adds directly to the logit of the token that comes next.",
    minutes=15,
    difficulty=3,
    importance=5,
    version=3,
    source="Wang et al. (2022), Interpretability in the Wild, section 3.1 (direct effects on the logits, by projection). "
    "Identity: the attributions sum to the logit itself, b_U aside.",
    hints=[
        "At position i the model predicts the token at i + 1. So there are s - 1 predictions: positions 0 to s - 2, and "
        "the tokens from 1 on.",
        "The logit of token t is a dot product with one column of W_U. W_U[:, tokens[1:]] is d by s - 1: one direction "
        "per position.",
        "einsum('c s d, d s -> s c', stack[:, :-1], W_U[:, tokens[1:]])",
    ],
    why="The last step from stream to logit is linear, so the logit splits exactly over the terms of the sum. Exactly, "
    "but only for the last step: a component whose whole work is to tell a later head where to look has an attribution "
    "of about zero.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)

    def case(components, length, d_model, d_vocab):
        return {
            "stack": torch.randn(components, length, d_model, generator=generator),
            "W_U": torch.randn(d_model, d_vocab, generator=generator),
            "tokens": torch.randperm(d_vocab, generator=generator)[:length],
        }

    # As many dimensions as tokens: only so do rows of W_U taken for columns give numbers at all.
    made = [case(4, 6, 9, 9), case(3, 5, 8, 13), case(5, 2, 4, 11), case(1, 4, 6, 7), case(1, 2, 3, 5)]
    made.append(case(3, 1, 4, 6))  # one token, and nothing to predict
    made[1]["tokens"] = torch.tensor([3, 0, 3, 3, 0])  # tokens come again, and 0 is one like the others
    return made


@ex.oracle
def _(stack, W_U, tokens):
    n_components, length, d_model = stack.shape
    result = torch.zeros(length - 1, n_components)
    for i in range(length - 1):
        for c in range(n_components):
            result[i, c] = sum(stack[c, i, d] * W_U[d, tokens[i + 1]] for d in range(d_model))
    return result


@ex.alternative
def directions_then_einsum(stack, W_U, tokens):
    read, targets = stack[:, :-1], tokens[1:]
    directions = W_U[:, targets].T
    return torch.einsum("csd,sd->sc", read, directions)


@ex.alternative
def all_logits_then_pick(stack, W_U, tokens):
    logits = stack[:, :-1] @ W_U
    index = tokens[1:].expand(len(stack), -1)[..., None]
    return logits.gather(-1, index)[..., 0].T


@ex.alternative
def position_by_position(stack, W_U, tokens):
    parts = stack.new_zeros(len(tokens) - 1, len(stack))
    for i in range(len(tokens) - 1):
        parts[i] = stack[:, i] @ W_U[:, tokens[i + 1]]
    return parts


ex.slip(
    "the_token_itself",
    "tokens[:-1] are the tokens that stand at the positions; the model predicts the ones that come after: tokens[1:].",
    "tokens[1:]",
    "tokens[:-1]",
)


ex.slip(
    "stack_one_too_late",
    "The stack was cut to [:, 1:], so the stream at a token is asked how much it speaks for that same token. Position i "
    "predicts token i + 1: take stack[:, :-1].",
    "stack[:, :-1]",
    "stack[:, 1:]",
)


ex.slip(
    "rows_of_W_U",
    "The directions are rows of W_U instead of columns. W_U is d_model by d_vocab: token t's direction is the column W_U[:, t].",
    "W_U[:, targets].T",
    "W_U[targets]",
)


ex.slip(
    "components_swapped",
    "The components came back in another order than they were given (reversed). The sum is still the logit, so no check of "
    "the sum would notice, and every bar of the figure has a wrong name.",
    '"csd,sd->sc", read, directions)',
    '"csd,sd->sc", read, directions).flip(1)',
)


ex.slip(
    "scrambled_by_reshape",
    "Components and positions are scrambled: the result came out as component by position and was reshaped. To swap axes "
    "use .T or einsum's output order; reshape keeps the numbers in order and cuts them anew.",
    '"csd,sd->sc", read, directions)',
    '"csd,sd->cs", read, directions).reshape(read.shape[1], -1)',
)


ex.slip(
    "transposed",
    "The axes are component, position; asked for is position, component.",
    "->sc",
    "->cs",
)


ex.slip(
    "sums_the_components",
    "The components were summed: that is the logit itself. Keep one number per component.",
    "->sc",
    "->s",
)


ex.slip(
    "log_probabilities",
    "These are log-probabilities of each component by itself. The softmax's normalisation is not linear and belongs to no "
    "component; attribute the logit.",
    'return torch.einsum("csd,sd->sc", read, directions)',
    "log_probs = (read @ W_U).log_softmax(-1)\n"
    "    return log_probs[:, torch.arange(len(targets)), targets].T",
)


ex.slip(
    "minus_the_mean_logit",
    "From each logit the mean over the vocabulary was subtracted. That is a choice one can make (a common shift of all "
    "logits changes no probability), but then the attributions no longer sum to the logit that was asked for.",
    "W_U[:, targets].T",
    "(W_U - W_U.mean(1, keepdim=True))[:, targets].T",
)


ex.slip(
    "predicts_past_the_end",
    "There is one row too many: the last position has no next token in the sequence (tokens.roll(-1) gives it the first "
    "one). Leave it out.",
    "read, targets = stack[:, :-1], tokens[1:]",
    "read, targets = stack, tokens.roll(-1)",
)


ex.slip(
    "cosine_for_dot_product",
    "The directions were normalised to length 1. The logit is a plain dot product; columns of W_U have different lengths "
    "and that matters.",
    "directions = W_U[:, targets].T",
    "directions = W_U[:, targets].T / W_U[:, targets].T.norm(dim=-1, keepdim=True)",
)


ex.slip(
    "back_instead_of_ahead",
    "The stream at each position was asked for the token before it: stack[:, 1:] with tokens[:-1]. The shift goes the other "
    "way: position i predicts token i + 1, so stack[:, :-1] with tokens[1:].",
    "stack[:, :-1], tokens[1:]",
    "stack[:, 1:], tokens[:-1]",
)


ex.slip(
    "last_token_everywhere",
    "Every position was asked for the last token. Each position has a next token of its own: tokens[1:], one per row.",
    "tokens[1:]",
    "tokens[-1:].expand(len(tokens) - 1)",
)


ex.slip(
    "all_pairs_summed",
    "Each row holds the sum over all next tokens: positions and tokens were multiplied each with each. Position i belongs to "
    "token i + 1 alone: one letter for both in the einsum.",
    '"csd,sd->sc"',
    '"csd,td->sc"',
)


ex.slip(
    "all_tokens",
    "These are the logits of all tokens of the vocabulary. Asked for is one of them, the next token's, at each position.",
    'return torch.einsum("csd,sd->sc", read, directions)',
    "return (read @ W_U).transpose(0, 1)",
)


ex.slip(
    "shares_of_the_whole",
    "These are shares: each row was divided by its sum. A share says nothing when parts of both signs nearly cancel; asked for "
    "is the part itself, in logits.",
    'return torch.einsum("csd,sd->sc", read, directions)',
    'parts = torch.einsum("csd,sd->sc", read, directions)\n    return parts / parts.sum(-1, keepdim=True)',
)


ex.slip(
    "positions_looked_up_by_token",
    "Where a token occurs more than once, the first place that it has stands for all of them: positions were looked up by the "
    "token (tokens.index, ==). Count positions instead.",
    "read, targets = stack[:, :-1], tokens[1:]",
    "first = [tokens.tolist().index(t) for t in tokens.tolist()[:-1]]\n"
    "    read, targets = stack[:, first], tokens[1:]",
)


ex.slip(
    "probabilities",
    "These are probabilities of each component by itself. The softmax is not linear and belongs to no component; attribute the "
    "logit.",
    'return torch.einsum("csd,sd->sc", read, directions)',
    "shares = (read @ W_U).softmax(-1)\n    return shares[:, torch.arange(len(targets)), targets].T",
)


ex.slip(
    "axes_of_size_one_lost",
    "With one component or one prediction an axis is missing: a squeeze() without an axis drops every axis of size 1.",
    'return torch.einsum("csd,sd->sc", read, directions)',
    'return torch.einsum("csd,sd->sc", read, directions).squeeze()',
)


ex.equivalent(
    "The index has one entry less, and gather reads no further than the index goes.",
    "[:, :-1] @ W_U => [:, :] @ W_U",
)

ex.equivalent("That axis has one entry: the token that was picked.", "index)[..., 0].T => index)[..., -1].T")
