"""Exercise 01.3: Position embedding."""

from types import SimpleNamespace

import torch
from einops import repeat

from ...exercise import exercise
from .helpers import GivenPosEmbed, fill, numbers, tokens_of

ex = exercise(
    "01.3",
    "PosEmbed.forward",
    supply={"PosEmbed": GivenPosEmbed},
    title="Position embedding",
    objective="You can give every position a vector, and you know why attention needs it.",
    minutes=5,
    difficulty=1,
    importance=3,
    source="Vaswani et al. (2017), section 3.5 (learned positions); Radford et al. (2018), Improving Language "
    "Understanding by Generative Pre-Training, section 4.1.",
    hints=[
        "The ids do not matter here, only how many there are: tokens.shape is (b, s).",
        "Positions are 0, 1, ..., s - 1, so W_pos[:s] holds the rows. Every text of the batch gets the same ones.",
        "self.W_pos[:s].expand(b, -1, -1) repeats them without copying.",
    ],
    why="Attention itself does not know the order of its keys: shuffle them and each query gets the same sum. The "
    "position vectors are all that tells 'Mary gave John' from 'John gave Mary'.",
)


@ex.inputs
def _(seed):
    return {"tokens": tokens_of(seed, 3, 4, below=8) + 1, "W_pos": numbers(seed)(9, 5)}


@ex.oracle
def _(tokens, W_pos):
    rows = [[W_pos[position].tolist() for position in range(tokens.shape[1])] for _ in range(tokens.shape[0])]
    return torch.tensor(rows)


@ex.call
def _(answer, tokens, W_pos):
    return fill(answer(SimpleNamespace(n_ctx=W_pos.shape[0], d_model=W_pos.shape[1])), {"W_pos": W_pos})(
        tokens
    )


@ex.alternative
def arange_rows(self, tokens):
    positions = torch.arange(tokens.shape[1])
    return self.W_pos[positions].repeat(tokens.shape[0], 1, 1)


@ex.alternative
def einops_repeat(self, tokens):
    return repeat(self.W_pos[: tokens.shape[1]], "s d -> b s d", b=tokens.shape[0])


@ex.alternative
def counted(self, tokens):
    return self.W_pos[torch.ones_like(tokens).cumsum(dim=1) - 1]


ex.slip(
    "by_token_id",
    "The rows were picked by token id. That is a second token embedding; nothing in it knows where a token stands.",
    "self.W_pos[positions].repeat(tokens.shape[0], 1, 1)",
    "self.W_pos[tokens]",
)


ex.slip(
    "starts_at_1",
    "The positions start at 1. Row 0 of W_pos belongs to the first token.",
    "torch.arange(tokens.shape[1])",
    "torch.arange(1, tokens.shape[1] + 1)",
)


ex.slip(
    "all_n_ctx_rows",
    "All n_ctx rows came back. The text has s tokens and needs the first s of them.",
    "torch.arange(tokens.shape[1])",
    "torch.arange(self.W_pos.shape[0])",
)


ex.slip(
    "no_batch_axis",
    "The batch axis is missing. Adding it to the embeddings would work by broadcasting, but a cache would hold something "
    "of another shape than everything around it: give every text its rows, (b, s, d).",
    ".repeat(tokens.shape[0], 1, 1)",
    "",
)


ex.slip(
    "batch_axis_of_one",
    "The batch axis has size 1. It broadcasts when it is added, but the answer should hold rows for every text: "
    "(b, s, d).",
    ".repeat(tokens.shape[0], 1, 1)",
    "[None]",
)


ex.slip(
    "batch_index_as_position",
    "The number of the text within its batch was taken for the position: all tokens of a text got the same row.",
    "self.W_pos[positions].repeat(tokens.shape[0], 1, 1)",
    "self.W_pos[torch.arange(tokens.shape[0])][:, None].repeat(1, tokens.shape[1], 1)",
)


ex.slip(
    "counted_from_the_end",
    "The positions run backwards. Position 0 is the first token: when a text grows, what was there keeps its positions.",
    "torch.arange(tokens.shape[1])",
    "torch.arange(tokens.shape[1]).flip(0)",
)


ex.slip(
    "length_of_the_batch",
    "You took as many rows as there are texts. tokens.shape is (b, s); the positions are its second number.",
    "torch.arange(tokens.shape[1])",
    "torch.arange(tokens.shape[0])",
)
