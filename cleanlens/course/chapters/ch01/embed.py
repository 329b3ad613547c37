"""Exercise 01.2: Token embedding."""

import math  # noqa: F401  used by a slip
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from ...exercise import exercise
from .helpers import GivenEmbed, fill, numbers, tokens_of, used_before

ex = exercise(
    "01.2",
    "Embed.forward",
    supply={"Embed": GivenEmbed},
    title="Token embedding",
    objective="You can turn token ids into vectors by looking them up, which is a product with one-hot vectors.",
    minutes=5,
    version=4,
    difficulty=1,
    importance=3,
    source="Vaswani et al. (2017), Attention Is All You Need, section 3.4; the identity W_E[t] = onehot(t) W_E.",
    hints=[
        "W_E has one row per token of the vocabulary. What does a tensor give when it is indexed by a tensor of ints?",
        "self.W_E[tokens] puts a row of length d in place of each id: (b, s) becomes (b, s, d).",
    ],
    why="A lookup is the product with a one-hot vector, without the multiplications by 0: that is why W_E can be "
    "treated as a matrix like any other when we multiply circuits out in chapter 05.",
)


ROWS = "rows of W_E that a gradient reaches"


@ex.inputs
def _(seed):
    W_E = numbers(seed)(9, 11)
    some = tokens_of(seed, 2, 4, below=7)
    some[0, 1] = some[1, 3] = 0  # the first row is a token like any other
    shapes = [torch.tensor([[8, 0, 8]]), torch.tensor([[8], [3], [8]]), torch.tensor([[0]])]
    return [{"tokens": tokens, "W_E": W_E} for tokens in (some, *shapes)]


@ex.oracle
def _(tokens, W_E):
    out = torch.zeros(*tokens.shape, W_E.shape[1])
    for b, row in enumerate(tokens.tolist()):
        for s, token in enumerate(row):
            for d in range(W_E.shape[1]):
                out[b, s, d] = sum(
                    (1.0 if t == token else 0.0) * float(W_E[t, d]) for t in range(W_E.shape[0])
                )
    return {"vectors": out, ROWS: sorted({token for row in tokens.tolist() for token in row})}


@ex.call
def _(answer, tokens, W_E):
    embed = fill(answer(SimpleNamespace(d_vocab=W_E.shape[0], d_model=W_E.shape[1])), {"W_E": W_E})
    vectors = used_before(embed, tokens)(tokens)
    rows = []
    if getattr(vectors, "requires_grad", False):
        [gradient] = torch.autograd.grad(vectors.sum(), [embed.W_E], allow_unused=True)
        rows = [] if gradient is None else gradient.any(-1).nonzero().flatten().tolist()
    return {"vectors": vectors, ROWS: rows}


@ex.alternative
def lookup(self, tokens):
    return self.W_E[tokens]


@ex.alternative
def one_hot_product(self, tokens):
    return F.one_hot(tokens, self.W_E.shape[0]).to(self.W_E.dtype) @ self.W_E


@ex.alternative
def torch_embedding(self, tokens):
    return F.embedding(tokens, self.W_E)


ex.slip(
    "indexes_the_columns",
    "You picked columns of W_E: the ids indexed its second axis, d_model. A token is a row: W_E[tokens].",
    "self.W_E[tokens]",
    "self.W_E[:, tokens]",
)


ex.slip(
    "transposed",
    "W_E was transposed first, so the ids picked directions of the model instead of tokens.",
    "self.W_E[tokens]",
    "self.W_E.T[tokens]",
)


ex.slip(
    "flattened_batch",
    "The batch and position axes were flattened into one. Index with tokens as they are: the result keeps both axes.",
    "self.W_E[tokens]",
    "self.W_E[tokens.flatten()]",
)


ex.slip(
    "first_row_only",
    "Only the first text of the batch was embedded.",
    "self.W_E[tokens]",
    "self.W_E[tokens[0]]",
)


ex.slip(
    "scaled",
    "The vectors were multiplied by sqrt(d_model). The 2017 transformer does that (Vaswani et al., section 3.4); "
    "GPT-2 does not.",
    "self.W_E[tokens]",
    "self.W_E[tokens] * math.sqrt(self.W_E.shape[1])",
)


ex.slip(
    "no_gradient",
    "The numbers are right, but no gradient can reach W_E (.data and .detach() cut it off), so the embedding would never "
    "learn.",
    "self.W_E[tokens]",
    "self.W_E.data[tokens]",
)


ex.slip(
    "no_gradient_for_token_0",
    "The numbers are right, but no gradient reaches row 0: padding_idx=0 cuts it off. Here token 0 is a token like any other (BOS, in the "
    "models of this course), and its row must learn.",
    "self.W_E[tokens]",
    "F.embedding(tokens, self.W_E, padding_idx=0)",
)


ex.slip(
    "positions_first",
    "The axes are (s, b, d). The batch stays in front: (b, s, d).",
    "self.W_E[tokens]",
    "self.W_E[tokens.T]",
)


ex.slip(
    "token_0_as_padding",
    "Token 0 got a vector of zeros, as if it were padding. Here it is a token with a row of its own (BOS, in the models of this "
    "course).",
    "self.W_E[tokens]",
    "self.W_E[tokens] * (tokens != 0)[..., None]",
)


ex.slip(
    "squeezed",
    "A batch of one text, or a text of one token, lost an axis: a bare squeeze() drops every axis of size 1. The result is always "
    "(b, s, d).",
    "self.W_E[tokens]",
    "self.W_E[tokens].squeeze()",
)


ex.slip(
    "one_too_high",
    "Every token got the row of the one before it: ids count from 0, as rows do.",
    "self.W_E[tokens]",
    "self.W_E[tokens - 1]",
)


ex.slip(
    "first_text_for_the_batch",
    "Only the first text was embedded, as a batch of one. Every text of the batch has its vectors.",
    "self.W_E[tokens]",
    "self.W_E[tokens[:1]]",
)


ex.slip(
    "one_hot_without_the_vocabulary",
    "one_hot makes as many classes as the largest id it sees, plus one: fewer than W_E has rows, unless the last token of the vocabulary "
    "happens to occur. Say how many: F.one_hot(tokens, self.W_E.shape[0]).",
    "self.W_E[tokens]",
    "F.one_hot(tokens).float() @ self.W_E",
)
