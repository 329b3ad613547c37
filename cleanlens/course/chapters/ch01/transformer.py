"""Exercise 01.9: The whole transformer."""

import torch
from einops import einsum
from torch import nn

from ...exercise import exercise
from .helpers import GivenTransformer, fill, hooked, tokens_of, transformer, used_before

ex = exercise(
    "01.9",
    "Transformer.forward",
    supply={"Transformer": GivenTransformer},
    title="The whole transformer",
    objective="You can put the pieces together into GPT-2: from token ids to the logits of the next token.",
    minutes=10,
    version=3,
    difficulty=2,
    importance=5,
    source="Radford et al. (2019), section 2.3; Radford et al. (2018), section 3.1, equation 2.",
    hints=[
        "The stream begins as the sum of the two embeddings; each block takes it and gives it back.",
        "After the last block comes ln_final, and only then W_U and b_U.",
        "Logits for every position, not probabilities, and not only the last: (b, s, v).",
    ],
    why="Every position predicts its next token at the same time: that is what makes training fast. The logits stay logits, because loss and "
    "sampling both want to do the softmax themselves, in their own way.",
)


@ex.inputs
def _(seed):
    return [
        {"tokens": tokens_of(seed, *shape, below=below), "weights": seed}
        for shape, below in (((2, 5), 10), ((1, 12), 17), ((3, 1), 17), ((1, 1), 17))
    ]


@ex.oracle
def _(tokens, weights):
    with torch.no_grad():
        return hooked(weights, n_layers=3)(tokens)


@ex.call
def _(answer, tokens, weights):
    given = transformer(weights, n_layers=3)
    d_model, d_vocab = given.W_U.shape
    made = answer(given.embed, given.pos_embed, list(given.blocks), given.ln_final, d_model, d_vocab)
    with torch.no_grad():
        return used_before(fill(made, given.state_dict()), tokens)(tokens)


@ex.alternative
def block_by_block(self, tokens):
    x = self.embed(tokens) + self.pos_embed(tokens)
    for block in self.blocks:
        x = block(x)
    x = self.ln_final(x)
    return x @ self.W_U + self.b_U


@ex.alternative
def sequential(self, tokens):
    resid = nn.Sequential(*self.blocks, self.ln_final)(self.pos_embed(tokens) + self.embed(tokens))
    return einsum(resid, self.W_U, "b s d, d v -> b s v").add(self.b_U)


ex.slip(
    "no_ln_final",
    "The last LayerNorm, ln_final, is missing: the stream has grown from layer to layer, and the logits with it.",
    "    x = self.ln_final(x)\n",
    "",
)


ex.slip(
    "norm_in_every_layer",
    "ln_final was applied after every block. It comes once, after the last.",
    "x = block(x)",
    "x = self.ln_final(block(x))",
    "    x = self.ln_final(x)\n",
    "",
)


ex.slip(
    "norm_first",
    "ln_final was applied before the blocks; it comes after the last one.",
    "self.embed(tokens) + self.pos_embed(tokens)",
    "self.ln_final(self.embed(tokens) + self.pos_embed(tokens))",
    "    x = self.ln_final(x)\n",
    "",
)


ex.slip(
    "positions_in_every_block",
    "The positions were added again before every block. They are written to the stream once and stay there.",
    "self.embed(tokens) + self.pos_embed(tokens)",
    "self.embed(tokens)",
    "block(x)",
    "block(x + self.pos_embed(tokens))",
)


ex.slip(
    "no_positions",
    "The position embedding is missing. A layer of attention by itself does not know the order of the tokens before a query, and only a "
    "trace of it comes through the causal mask to the next one.",
    " + self.pos_embed(tokens)",
    "",
)


ex.slip(
    "W_E_for_W_U",
    "The logits were made with the transposed embedding. GPT-2 as published ties the two, but here W_U is a matrix of its own (and after "
    "the processing of chapter 02 it differs from W_E).",
    "self.W_U",
    "self.embed.W_E.T",
)


ex.slip(
    "no_b_U",
    "b_U is missing. In GPT-2 as published it is 0; a model whose last LayerNorm was folded into W_U (chapter 02) needs it.",
    " + self.b_U",
    "",
)


ex.slip(
    "probabilities",
    "These are probabilities. The model returns logits; the softmax belongs to the loss and the sampling.",
    "x @ self.W_U + self.b_U",
    "(x @ self.W_U + self.b_U).softmax(dim=-1)",
)


ex.slip(
    "log_probabilities",
    "These are log-probabilities. The model returns the logits as they are.",
    "x @ self.W_U + self.b_U",
    "(x @ self.W_U + self.b_U).log_softmax(dim=-1)",
)


ex.slip(
    "last_position_only",
    "Only the last position's logits came back. In training every position predicts its next token: (b, s, v).",
    "x @ self.W_U + self.b_U",
    "x[:, -1] @ self.W_U + self.b_U",
)


ex.slip(
    "stream_doubled",
    "The stream was added once more around every block (x = x + block(x)). The block's own additions contain it already.",
    "x = block(x)",
    "x = x + block(x)",
)


ex.slip(
    "last_block_missing",
    "The last block was left out.",
    "in self.blocks:",
    "in self.blocks[:-1]:",
)


ex.slip(
    "first_block_only",
    "Only the first block was used (a return inside the loop does that).",
    "in self.blocks:",
    "in self.blocks[:1]:",
)


ex.slip(
    "blocks_reversed",
    "The blocks came in reverse order.",
    "in self.blocks:",
    "in reversed(self.blocks):",
)


ex.slip(
    "residual_returned",
    "The normalized stream came back; the unembedding (W_U and b_U) is missing.",
    "x @ self.W_U + self.b_U",
    "x",
)


@ex.mistake(
    "Every block read the embeddings, and only the last one counts. Each block reads what the one before it returned: the stream is "
    "passed on."
)
def blocks_side_by_side(self, tokens):
    x = self.embed(tokens) + self.pos_embed(tokens)
    for block in self.blocks:
        y = block(x)
    return self.ln_final(y) @ self.W_U + self.b_U


ex.slip(
    "last_position_cut",
    "The last position is missing. It has logits as well (for the token after the text); it is the loss that has no use for them.",
    "x @ self.W_U + self.b_U",
    "(x @ self.W_U + self.b_U)[:, :-1]",
)


ex.slip(
    "first_position_cut",
    "The first position is missing. Every position has logits: (b, s, v).",
    "x @ self.W_U + self.b_U",
    "(x @ self.W_U + self.b_U)[:, 1:]",
)


ex.slip(
    "no_embedding",
    "The token embedding is missing: the model knows where it is and not what stands there.",
    "self.embed(tokens) + self.pos_embed(tokens)",
    "self.pos_embed(tokens)",
)


ex.slip(
    "embeddings_multiplied",
    "The two embeddings were multiplied. The stream begins as their sum.",
    "self.embed(tokens) + self.pos_embed(tokens)",
    "self.embed(tokens) * self.pos_embed(tokens)",
)


ex.slip(
    "most_likely_token",
    "The most likely tokens came back. The model returns the logits of all of them.",
    "x @ self.W_U + self.b_U",
    "(x @ self.W_U + self.b_U).argmax(dim=-1)",
)
