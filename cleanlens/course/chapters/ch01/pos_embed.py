"""Exercise 01.3: Position embedding."""

from types import SimpleNamespace

import torch
from einops import repeat

from ...exercise import exercise
from .helpers import NO_GRADIENT, GivenPosEmbed, fill, numbers, out_of_reach, tokens_of, used_before

ex = exercise(
    "01.3",
    "PosEmbed.forward",
    supply={"PosEmbed": GivenPosEmbed},
    title="Position embedding",
    objective="You can give every position a vector, and you know why attention needs it.",
    minutes=5,
    version=3,
    difficulty=1,
    importance=3,
    source="Vaswani et al. (2017), section 3.5 (learned positions); Radford et al. (2018), Improving Language "
    "Understanding by Generative Pre-Training, section 4.1.",
    hints=[
        "The ids do not matter here, only how many there are: tokens.shape is (b, s).",
        "Positions are 0, 1, ..., s - 1, so W_pos[:s] holds the rows. Every text of the batch gets the same ones.",
        "self.W_pos[:s].expand(b, -1, -1) repeats them without copying.",
    ],
    why="A layer of attention does not know the order of its keys: shuffle the tokens before a query, and it gets the same sum. "
    "(Only the mask lets a second layer tell, from which tokens an earlier one could see.) The position vectors are what tells "
    "'Mary gave John' from 'John gave Mary'.",
)


@ex.inputs
def _(seed):
    W_pos = numbers(seed)(9, 5)
    some = tokens_of(seed, 3, 4, below=8) + 1
    some[0, 0] = some[1, 2] = 0  # a token like any other
    shapes = [tokens_of(seed, *shape, below=9) for shape in ((2, 9), (1, 3), (4, 1), (1, 1))]
    return [{"tokens": tokens, "W_pos": W_pos} for tokens in (some, *shapes)]


@ex.oracle
def _(tokens, W_pos):
    rows = [[W_pos[position].tolist() for position in range(tokens.shape[1])] for _ in range(tokens.shape[0])]
    return {"vectors": torch.tensor(rows), NO_GRADIENT: "none"}


@ex.call
def _(answer, tokens, W_pos):
    made = fill(answer(SimpleNamespace(n_ctx=W_pos.shape[0], d_model=W_pos.shape[1])), {"W_pos": W_pos})
    vectors = used_before(made, tokens)(tokens)
    return {"vectors": vectors, NO_GRADIENT: out_of_reach(made, vectors)}


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


ex.slip(
    "token_0_not_counted",
    "Token 0 was not counted as a position, as if it were padding. Positions follow from the shape of tokens alone, whatever stands "
    "there.",
    "self.W_pos[positions].repeat(tokens.shape[0], 1, 1)",
    "self.W_pos[((tokens != 0).cumsum(-1) - 1).clamp(min=0)]",
)


ex.slip(
    "runs_on_through_the_batch",
    "The positions run on from one text to the next. Every text begins at position 0.",
    "self.W_pos[positions].repeat(tokens.shape[0], 1, 1)",
    "self.W_pos[torch.arange(tokens.numel()).reshape(tokens.shape) % len(self.W_pos)]",
)


ex.slip(
    "last_rows_of_the_table",
    "These are the last s rows of W_pos. Position 0 is row 0, however long the table is.",
    "torch.arange(tokens.shape[1])",
    "torch.arange(len(self.W_pos) - tokens.shape[1], len(self.W_pos))",
)


ex.slip(
    "squeezed",
    "A batch of one text, or a text of one token, lost an axis: a bare squeeze() drops every axis of size 1. The result is always "
    "(b, s, d).",
    ".repeat(tokens.shape[0], 1, 1)",
    ".repeat(tokens.shape[0], 1, 1).squeeze()",
)


ex.slip(
    "no_gradient",
    "The numbers are right, but no gradient can reach W_pos (.data, .detach() and no_grad cut it off), so the positions would never "
    "learn.",
    "self.W_pos[positions]",
    "self.W_pos.data[positions]",
)


ex.equivalent(
    "Every text of the batch has the same rows, so those of the first serve for all.",
    "shape[0], 1, 1) => shape[0], 1, 1)[:1].expand_as(...)",
    "tokens.shape[0]) => tokens.shape[0])[:1].expand_as(...)",
    "(dim=1) - 1] => (dim=1) - 1][:1].expand_as(...)",
    "batch, -1, -1) => batch, -1, -1)[:1].expand_as(...)",
)
ex.equivalent("tokens has two axes: the last is axis 1.", "cumsum(dim=1) - => cumsum(dim=-1) -")
