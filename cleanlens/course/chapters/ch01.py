"""Chapter 01, The transformer from scratch: GPT-2, piece by piece, and its use."""

import copy
import functools
import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from torch import nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer

from ..exercise import Chapter

chapter = Chapter("01", "transformer", "The transformer from scratch")

# ---- what the checks share: the classes' given code with right methods, and tiny models with random weights ------


class GivenLayerNorm(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.layer_norm(x, x.shape[-1:], self.w, self.b, self.eps)


class GivenEmbed(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return F.embedding(tokens, self.W_E)


class GivenPosEmbed(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        return self.W_pos[torch.arange(tokens.shape[1]).expand_as(tokens)]


class GivenAttention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        x = x[:, None]  # room for the heads
        q, k, v = (
            x @ w + b[:, None] for w, b in ((self.W_Q, self.b_Q), (self.W_K, self.b_K), (self.W_V, self.b_V))
        )
        return (F.scaled_dot_product_attention(q, k, v, is_causal=True) @ self.W_O).sum(dim=1) + self.b_O


class GivenMLP(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.gelu(x @ self.W_in + self.b_in, approximate="tanh") @ self.W_out + self.b_out


class GivenTransformerBlock(nn.Module):
    def __init__(self, ln1, attn, ln2, mlp):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid_mid = self.attn(self.ln1(resid_pre)) + resid_pre
        return self.mlp(self.ln2(resid_mid)) + resid_mid


class GivenTransformer(nn.Module):
    def __init__(self, embed, pos_embed, blocks, ln_final, d_model, d_vocab):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = block(resid)
        return self.ln_final(resid) @ self.W_U + self.b_U


PIECES = {
    "LayerNorm": GivenLayerNorm,
    "Embed": GivenEmbed,
    "PosEmbed": GivenPosEmbed,
    "Attention": GivenAttention,
    "MLP": GivenMLP,
    "TransformerBlock": GivenTransformerBlock,
    "Transformer": GivenTransformer,
}


def build(cfg, pieces=PIECES):
    """A Transformer made of these classes, its weights still to be filled in."""
    p = SimpleNamespace(**pieces)
    blocks = [
        p.TransformerBlock(p.LayerNorm(cfg), p.Attention(cfg), p.LayerNorm(cfg), p.MLP(cfg))
        for _ in range(cfg.n_layers)
    ]
    return p.Transformer(p.Embed(cfg), p.PosEmbed(cfg), blocks, p.LayerNorm(cfg), cfg.d_model, cfg.d_vocab)


def right_answer(name, names):
    """The verdict on the exercise of this name, and the learner's definition if it is right, else None.

    `names` is where the answers of a notebook are (its `globals()`); an answer in the exercises' file comes first,
    as everywhere.
    """
    from ..catalog import entries
    from ..notebook import _grade_and_load

    [entry] = [entry for entry in entries("01") if name in entry.names]
    result, space = _grade_and_load(entry, names)
    return result, space[name.removesuffix(".forward")] if result.passed else None


def assemble(cfg, names):
    """The learner's own Transformer, and a line about each of its seven classes.

    A class whose check does not pass is named with its mistake, and the course's takes its place.
    """
    pieces, report = dict(PIECES), []
    for name in PIECES:
        result, mine = right_answer(f"{name}.forward", names)
        if mine is not None:
            pieces[name] = mine
            report.append(f"{result.id} {name}: yours")
        else:
            why = f" ({result.hint or result.message})" if result.hint or result.message else ""
            report.append(f"{result.id} {name}: {result.status}{why}; the course's is used")
    return build(cfg, pieces), report


def ours(weights):
    """A HookedTransformer's weights under the names of this chapter, where W_U and b_U belong to the Transformer."""
    return {name.removeprefix("unembed."): value for name, value in weights.items()}


def numbers(seed):
    """randn with a generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator)


def tokens_of(seed, *shape, below):
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed))


@functools.cache
def hooked(seed, b_U_0=0.0, n_layers=2):
    """The library's transformer, tiny, with random weights: no size equals another, no bias is 0, no gain is 1.

    Made once and never changed; copy it before you train it.
    """
    cfg = HookedTransformerConfig(
        n_layers=n_layers,
        d_model=10,
        n_heads=3,
        d_head=4,
        d_mlp=14,
        n_ctx=12,
        d_vocab=17,
        act_fn="gelu_new",
        device="cpu",
        init_weights=False,
    )
    model, randn = HookedTransformer(cfg), numbers(seed + 1000)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            gain = name.endswith(("ln1.w", "ln2.w", "ln_final.w"))
            weight.copy_(0.6 * randn(*weight.shape) + (1.5 if gain else 0.0))
        model.unembed.b_U[0] += b_U_0
    return model


def transformer(seed, **options):
    """The same model made of the given classes of this chapter; a new one each time."""
    theirs = hooked(seed, **options)
    model, weights = build(theirs.cfg), ours(dict(theirs.named_parameters()))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(weights[name])
    return model


def fill(module, weights):
    """Copy weights into a module's parameters; the tensors that were passed stay apart from them."""
    module.load_state_dict({name: value.clone() for name, value in weights.items()})
    return module


# ---- 01.1 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.1",
    "LayerNorm.forward",
    supply={"LayerNorm": GivenLayerNorm},
    title="Layer normalization",
    objective="You can bring every vector to mean 0 and variance 1, and you know what eps is for.",
    minutes=15,
    difficulty=2,
    importance=4,
    source="Ba, Kiros and Hinton (2016), Layer Normalization, section 3, equations 3 and 4.",
    hints=[
        "Each position's vector is normalized by itself: all statistics are over the last axis, with keepdim=True.",
        "The variance is the mean of the squared deviations: divide by d, not by d - 1. torch.var does the latter "
        "unless you pass unbiased=False.",
        "(x - mean) / torch.sqrt(var + self.eps) * self.w + self.b, without changing x itself.",
    ],
    why="eps belongs inside the root, beside the variance: a vector with no variance at all is then divided by "
    "sqrt(eps), not by 0. Population variance is the definition (Ba et al., equation 3); with d = 768 the other one "
    "is off by a factor of 0.9993, small enough to be overlooked and large enough to spoil an exact comparison.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    shape = {"w": 1.5 + randn(5), "b": randn(5)}
    return [
        {"x": 3 * randn(2, 3, 5) + 2, **shape, "eps": 1e-5},
        {"x": 3e-3 * randn(2, 3, 5) + 0.02, **shape, "eps": 1e-5},  # the variance is about eps
        {"x": randn(2, 3, 1).expand(2, 3, 5).contiguous(), **shape, "eps": 1e-3},  # no variance at all
        {"x": 0.1 * randn(2, 3, 5), **shape, "eps": 1e-2},
    ]


@ex.oracle
def _(x, w, b, eps):
    y = torch.zeros_like(x)
    for row, position in ((r, p) for r in range(x.shape[0]) for p in range(x.shape[1])):
        vector = x[row, position].double().tolist()
        mean = sum(vector) / len(vector)
        variance = sum((number - mean) ** 2 for number in vector) / len(vector)
        for i, number in enumerate(vector):
            y[row, position, i] = (number - mean) / math.sqrt(variance + eps) * float(w[i]) + float(b[i])
    return y


@ex.call
def _(answer, x, w, b, eps):
    return fill(answer(SimpleNamespace(d_model=len(w), eps=eps)), {"w": w, "b": b})(x)


@ex.alternative
def with_var(self, x):
    mean = x.mean(dim=-1, keepdim=True)
    var = x.var(dim=-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(var + self.eps) * self.w + self.b


@ex.alternative
def torch_itself(self, x):
    return F.layer_norm(x, x.shape[-1:], self.w, self.b, self.eps)


@ex.alternative
def by_second_moment(self, x):
    x64 = x.double()
    mean = x64.mean(-1, keepdim=True)
    variance = (x64**2).mean(-1, keepdim=True) - mean**2
    return ((x64 - mean) * (variance + self.eps).rsqrt()).to(x.dtype) * self.w + self.b


ex.slip(
    "bessel",
    "The variance was divided by d - 1 (Bessel's correction, torch.var's default). LayerNorm divides by d: pass "
    "unbiased=False. With a large d the difference is tiny, and Hugging Face's logits are never quite met.",
    "unbiased=False",
    "unbiased=True",
)
ex.slip(
    "eps_outside_the_root",
    "eps was added after the root. It belongs inside: sqrt(var + eps). On ordinary vectors nobody notices; on a "
    "vector with little variance the two differ by a factor of several.",
    "torch.sqrt(var + self.eps)",
    "(torch.sqrt(var) + self.eps)",
)
ex.slip(
    "no_eps",
    "eps is missing. A vector whose numbers are all equal has variance 0, and you divide 0 by 0.",
    "var + self.eps",
    "var",
)
ex.slip(
    "eps_of_its_own",
    "eps is written into your code as 1e-5. Use self.eps: a model comes with its own.",
    "self.eps",
    "1e-5",
)
ex.slip(
    "no_root",
    "You divided by the variance. The standard deviation is its square root.",
    "torch.sqrt(var + self.eps)",
    "(var + self.eps)",
)
ex.slip(
    "over_positions",
    "The mean and variance run over the positions. Each position's vector is normalized by itself, over its last "
    "axis; otherwise an early position would know about later ones.",
    "x.mean(dim=-1,",
    "x.mean(dim=1,",
    "x.var(dim=-1,",
    "x.var(dim=1,",
)
ex.slip(
    "over_the_batch",
    "The mean and variance run over the batch: that is batch normalization. Here a text must not depend on which other "
    "texts are in its batch; use the last axis.",
    "x.mean(dim=-1,",
    "x.mean(dim=0,",
    "x.var(dim=-1,",
    "x.var(dim=0,",
)
ex.slip(
    "over_the_whole_text",
    "One mean and one variance were taken for a whole text. Each position has its own: only the last axis.",
    "x.mean(dim=-1,",
    "x.mean(dim=(1, 2),",
    "x.var(dim=-1,",
    "x.var(dim=(1, 2),",
)
ex.slip(
    "not_centred",
    "The mean was not subtracted, in the variance either: that is RMSNorm (Zhang and Sennrich 2019), which Llama uses. "
    "GPT-2's LayerNorm centres first.",
    "x.var(dim=-1, keepdim=True, unbiased=False)",
    "x.square().mean(dim=-1, keepdim=True)",
    "(x - mean)",
    "x",
)
ex.slip(
    "numerator_not_centred",
    "The variance is right, but the vector it divides was not centred: subtract the mean there too.",
    "(x - mean)",
    "x",
)
ex.slip(
    "no_gain",
    "The gain self.w is missing.",
    " * self.w",
    "",
)
ex.slip(
    "no_bias",
    "The bias self.b is missing.",
    " + self.b",
    "",
)
ex.slip(
    "gain_and_bias_in_the_wrong_order",
    "The bias was added first and then multiplied by the gain. It is normalized * w + b.",
    "(x - mean) / torch.sqrt(var + self.eps) * self.w + self.b",
    "((x - mean) / torch.sqrt(var + self.eps) + self.b) * self.w",
)


@ex.mistake(
    "The answer is right, but x itself was changed. In a block, x is the residual stream, which the next line still "
    "needs: write x = x - mean, not x -= mean."
)
def in_place(self, x):
    x -= x.mean(dim=-1, keepdim=True)
    var = x.square().mean(dim=-1, keepdim=True)
    return x / torch.sqrt(var + self.eps) * self.w + self.b


# ---- 01.2 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.2",
    "Embed.forward",
    supply={"Embed": GivenEmbed},
    title="Token embedding",
    objective="You can turn token ids into vectors by looking them up, which is a product with one-hot vectors.",
    minutes=5,
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


@ex.inputs
def _(seed):
    return {"tokens": tokens_of(seed, 2, 4, below=7), "W_E": numbers(seed)(9, 11)}


@ex.oracle
def _(tokens, W_E):
    out = torch.zeros(*tokens.shape, W_E.shape[1])
    for b, row in enumerate(tokens.tolist()):
        for s, token in enumerate(row):
            for d in range(W_E.shape[1]):
                out[b, s, d] = sum(
                    (1.0 if t == token else 0.0) * float(W_E[t, d]) for t in range(W_E.shape[0])
                )
    return {"vectors": out, "gradients reach W_E": True}


@ex.call
def _(answer, tokens, W_E):
    embed = fill(answer(SimpleNamespace(d_vocab=W_E.shape[0], d_model=W_E.shape[1])), {"W_E": W_E})
    vectors = embed(tokens)
    return {"vectors": vectors, "gradients reach W_E": bool(getattr(vectors, "requires_grad", False))}


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
    "positions_first",
    "The axes are (s, b, d). The batch stays in front: (b, s, d).",
    "self.W_E[tokens]",
    "self.W_E[tokens.T]",
)

# ---- 01.3 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
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

# ---- 01.4 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.4",
    "causal_mask",
    title="The causal mask",
    objective="You can hide the future from every query, also when the queries are only the last of the positions.",
    minutes=15,
    difficulty=2,
    importance=4,
    source="Vaswani et al. (2017), section 3.2.3 (masking out all illegal connections, set to -infinity).",
    hints=[
        "Write down a row: which keys may query i see? Its own position and everything before it.",
        "A softmax gives 0 exactly where the score is -inf, so fill, don't multiply: scores.masked_fill(hidden, -math.inf).",
        "With n_keys - n_queries positions before the queries, query i stands at n_keys - n_queries + i; hidden is key > query. "
        "torch.triu(ones, diagonal=1 + n_keys - n_queries) draws the same triangle.",
    ],
    why="A score of 0 is not 'no attention': it is e^0 = 1 in the softmax. And only -inf works for scores of any size. The "
    "offset n_keys - n_queries is 0 in training; it counts when a model generates with its keys cached, one query at a "
    "time.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    return [{"scores": 60 * randn(2, 3, *shape)} for shape in ((5, 5), (2, 6), (1, 4))]


@ex.oracle
def _(scores):
    out = scores.clone()
    n_queries, n_keys = scores.shape[2:]
    for query in range(n_queries):
        for key in range(n_keys):
            if key > n_keys - n_queries + query:
                out[:, :, query, key] = -math.inf
    return out


@ex.measure
def _(observed, scores):
    # -1e9 or the smallest float serve a softmax as well as -inf does; -100 does not.
    return torch.where(observed <= -1e4, -math.inf, observed)


@ex.alternative
def compare_positions(scores):
    n_queries, n_keys = scores.shape[-2:]
    query = torch.arange(n_keys - n_queries, n_keys)[:, None]
    key = torch.arange(n_keys)[None, :]
    return scores.masked_fill(key > query, -math.inf)


@ex.alternative
def add_a_triangle(scores):
    n_queries, n_keys = scores.shape[-2:]
    return scores + torch.full((n_keys, n_keys), -math.inf).triu(1)[-n_queries:]


@ex.alternative
def where_and_the_smallest_float(scores):
    n_queries, n_keys = scores.shape[-2:]
    seen = torch.tril(torch.ones(n_queries, n_keys), n_keys - n_queries).bool()
    return torch.where(seen, scores, torch.finfo(scores.dtype).min)


ex.slip(
    "triangle_flipped",
    "The triangle is upside down: each query sees only what comes after it. Hidden is where key > query (tril gives the "
    "part that is seen, triu with diagonal=1 the part that is hidden).",
    "key > query",
    "key <= query",
)
ex.slip(
    "transposed",
    "The past is hidden and the future seen: query and key changed places. Queries are the rows (axis -2), keys the "
    "columns (axis -1).",
    "key > query",
    "key < query",
)
ex.slip(
    "diagonal_masked",
    "The diagonal is masked too. A token may look at itself, and the first one can look at nothing else: its row is all -inf, "
    "and the softmax of that is NaN.",
    "key > query",
    "key >= query",
)
ex.slip(
    "sees_one_ahead",
    "Every query sees one position too far: the very token it has to predict.",
    "key > query",
    "key > query + 1",
)
ex.slip(
    "queries_are_the_first",
    "It is right for a square. But with fewer queries than keys you took them for the first positions; they are the last. "
    "Shift the triangle by n_keys - n_queries.",
    "torch.arange(n_keys - n_queries, n_keys)",
    "torch.arange(n_queries)",
)
ex.slip(
    "multiplied_by_0",
    "The future got the score 0. In a softmax that is e^0 = 1, often more than the past gets. Fill it with -inf.",
    "scores.masked_fill(key > query, -math.inf)",
    "scores * (key <= query)",
)
ex.slip(
    "zero_times_infinity",
    "There are NaNs: 0 * (-inf) is not 0. Fill where the mask is true (masked_fill, torch.where) instead of multiplying.",
    "scores.masked_fill(key > query, -math.inf)",
    "scores + (key > query) * -math.inf",
)
ex.slip(
    "plus_infinity",
    "The future was filled with +inf. The softmax needs -inf there: e^(-inf) = 0.",
    "-math.inf",
    "math.inf",
)
ex.slip(
    "finite_and_too_small",
    "The future got -100. Some of these scores are of that size themselves, so it is not hidden: use -inf.",
    "-math.inf",
    "-100.0",
)
ex.slip(
    "mask_instead_of_scores",
    "The mask came back. What is asked for are the scores, with -inf where it is true.",
    "scores.masked_fill(key > query, -math.inf)",
    "key > query",
)


@ex.mistake(
    "The mask has the size of the whole context, 1024 x 1024. The text is shorter: make it from scores.shape, or cut it."
)
def of_the_size_of_n_ctx(scores):
    return scores.masked_fill(torch.ones(1024, 1024).triu(1).bool(), -math.inf)


@ex.mistake(
    "The result is right, but the scores that were passed in were changed: masked_fill_ and indexed assignment work in "
    "place. Use masked_fill, without the underscore, or a clone."
)
def changes_its_input(scores):
    n_queries, n_keys = scores.shape[-2:]
    return scores.masked_fill_(torch.ones(n_queries, n_keys).triu(1 + n_keys - n_queries).bool(), -math.inf)


# ---- 01.5 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.5",
    "attention_pattern",
    title="The attention pattern",
    objective="You can compute where each head looks from its queries and keys, and say why the scores are scaled.",
    minutes=20,
    difficulty=3,
    importance=5,
    source="Vaswani et al. (2017), section 3.2.1, equation 1 and footnote 4.",
    hints=[
        "Scores first: for every head, each query's dot product with each key. An einsum can say it: 'b q h e, b k h e -> "
        "b h q k'.",
        "Divide by the square root of e, the last axis of q. Mask. Only then the softmax, over the keys (the last axis).",
        "(scores / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf).softmax(dim=-1)",
    ],
    why="A dot product of e independent terms of variance 1 has variance e. Divided by sqrt(e) the scores keep a size of "
    "about 1 whatever e is, so that the softmax starts out soft and its gradient is not 0. The mask comes before the softmax, "
    "so that what is left adds up to 1.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    return {"q": 1.5 * randn(2, 5, 3, 4), "k": 1.5 * randn(2, 5, 3, 4)}


@ex.oracle
def _(q, k):
    b, s, h, e = q.shape
    pattern = torch.zeros(b, h, s, s)
    for row, head, i in ((r, n, p) for r in range(b) for n in range(h) for p in range(s)):
        weights = [
            math.exp(sum(float(q[row, i, head, c]) * float(k[row, j, head, c]) for c in range(e)) / e**0.5)
            for j in range(i + 1)
        ]
        pattern[row, head, i, : i + 1] = torch.tensor(weights) / sum(weights)
    return pattern


@ex.alternative
def heads_in_front(q, k):
    q, k = q.transpose(1, 2), k.transpose(1, 2)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    scores = scores.masked_fill(future, -math.inf)
    return scores.softmax(dim=-1)


@ex.alternative
def exponentials(q, k):
    weights = torch.einsum("bqhe,bkhe->bhqk", q / q.shape[-1] ** 0.5, k).exp().tril()
    return weights / weights.sum(-1, keepdim=True)


@ex.alternative
def values_that_name_the_keys(q, k):
    # attention to values that are one-hot is the pattern itself
    identity = torch.eye(q.shape[1]).expand(q.shape[0], q.shape[2], -1, -1)
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), identity, is_causal=True)


ex.slip(
    "no_scale",
    "The scores were not divided by sqrt(d_head). The softmax gets too sharp, the more so the wider the heads.",
    " / math.sqrt(q.shape[-1])",
    "",
)
ex.slip(
    "sqrt_of_d_model",
    "The divisor is too large: it is the root of all heads' widths together (d_model). Each score is a dot product within one "
    "head, of d_head terms.",
    "math.sqrt(q.shape[-1])",
    "math.sqrt(q.shape[-1] * q.shape[1])",
)
ex.slip(
    "divided_by_d_head",
    "The scores were divided by d_head; it should be its square root.",
    "math.sqrt(q.shape[-1])",
    "q.shape[-1]",
)
ex.slip(
    "multiplied_by_the_root",
    "The scores were multiplied by sqrt(d_head) instead of divided by it.",
    "/ math.sqrt(q.shape[-1])",
    "* math.sqrt(q.shape[-1])",
)
ex.slip(
    "root_of_the_wrong_axis",
    "The divisor is the root of the number of positions, so the pattern changes with the length of the text. d_head is the "
    "last axis of q.",
    "math.sqrt(q.shape[-1])",
    "math.sqrt(q.shape[-2])",
)
ex.slip(
    "softmax_over_queries",
    "The softmax runs over the queries: the columns add up to 1. Each query shares its attention out among the keys: dim=-1.",
    "dim=-1",
    "dim=-2",
)
ex.slip(
    "softmax_over_heads",
    "The softmax runs over the heads. Heads do not compete; the keys do: dim=-1.",
    "dim=-1",
    "dim=1",
)
ex.slip(
    "queries_and_keys_swapped",
    "Queries and keys are swapped: row i holds the scores of key i. The query is the row, the one that looks.",
    "q @ k.transpose(-1, -2)",
    "k @ q.transpose(-1, -2)",
)
ex.slip(
    "no_mask",
    "The future is not masked: each position attends to tokens that it should predict.",
    "    scores = scores.masked_fill(future, -math.inf)\n",
    "",
)
ex.slip(
    "masked_after_the_softmax",
    "The mask came after the softmax, so the rows no longer add up to 1: the future has taken its share and was thrown away. Put "
    "-inf into the scores before the softmax.",
    "    scores = scores.masked_fill(future, -math.inf)\n",
    "",
    "scores.softmax(dim=-1)",
    "scores.softmax(dim=-1).masked_fill(future, 0.0)",
)
ex.slip(
    "zeros_for_minus_infinity",
    "The future got the score 0, and e^0 = 1: it still receives attention. Fill it with -inf.",
    "-math.inf",
    "0.0",
)
ex.slip(
    "scaled_after_the_softmax",
    "The softmax came first and the division after it, so the rows add up to 1/sqrt(d_head). Scale the scores.",
    " / math.sqrt(q.shape[-1])",
    "",
    "scores.softmax(dim=-1)",
    "scores.softmax(dim=-1) / math.sqrt(q.shape[-1])",
)
ex.slip(
    "scores_for_pattern",
    "These are the masked scores; the softmax is missing.",
    "scores.softmax(dim=-1)",
    "scores",
)
ex.slip(
    "heads_not_moved",
    "The axes are (b, q, h, k) or the like. The pattern is one square per head: (b, h, q, k).",
    "scores.softmax(dim=-1)",
    "scores.softmax(dim=-1).transpose(1, 2)",
)


@ex.mistake(
    "Heads and positions were mixed up: the products are between the heads of one position. Bring the head axis in front of the "
    "positions first, or name the axes in an einsum."
)
def heads_attend_to_heads(q, k):
    scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    return scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf).softmax(dim=-1)


# ---- 01.6 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.6",
    "Attention.forward",
    supply={"Attention": GivenAttention},
    title="Multi-head attention",
    objective="You can write attention so that each head's work stays visible, and you know what its biases do.",
    minutes=30,
    difficulty=4,
    importance=5,
    source="Vaswani et al. (2017), section 3.2.2; Elhage et al. (2021), A Mathematical Framework for Transformer Circuits, "
    "section 'Attention Heads are Independent and Additive'.",
    hints=[
        "q, k and v are three products of the same kind: einsum(x, self.W_Q, 'b s d, h d e -> b s h e') + self.b_Q.",
        "The pattern is exercise 01.5. Then each query takes the mean of the values, weighted by its row of the pattern: sum "
        "over the keys.",
        "z is 'b q h e'. The last step sums over heads and over e at once: einsum(z, self.W_O, 'b q h e, h e d -> b q d'), "
        "plus b_O a single time.",
    ],
    why="Each head adds a term of its own to the residual stream; stacking the z's and multiplying by one big W_O, as most code "
    "does, is the same sum. b_O belongs to the layer, so it is added once. b_K alone changes nothing: it gives all keys of a "
    "query the same extra score, and the softmax does not see that.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    h, d, e = 3, 5, 2
    weights = {f"W_{x}": 0.8 * randn(h, d, e) for x in "QKV"} | {f"b_{x}": randn(h, e) for x in "QKV"}
    return {"x": randn(2, 4, d), "weights": weights | {"W_O": randn(h, e, d), "b_O": randn(d)}}


@ex.oracle
def _(x, weights):
    w = {name: value.double() for name, value in weights.items()}
    heads, _, e = w["W_Q"].shape
    out = torch.zeros(x.shape, dtype=torch.float64)
    for b, text in enumerate(x.double()):
        for i in range(len(text)):
            out[b, i] = w["b_O"]
            for h in range(heads):
                q = text[i] @ w["W_Q"][h] + w["b_Q"][h]
                seen = range(i + 1)
                keys = [text[j] @ w["W_K"][h] + w["b_K"][h] for j in seen]
                values = [text[j] @ w["W_V"][h] + w["b_V"][h] for j in seen]
                weight = [math.exp(float(q @ key) / e**0.5) for key in keys]
                z = sum(a * value for a, value in zip(weight, values)) / sum(weight)
                out[b, i] += z @ w["W_O"][h]
    return out.float()


@ex.call
def _(answer, x, weights):
    h, d, e = weights["W_Q"].shape
    return fill(answer(SimpleNamespace(n_heads=h, d_model=d, d_head=e)), weights)(x)


@ex.alternative
def heads_side_by_side(self, x):
    b, s, d = x.shape
    h, _, e = self.W_Q.shape
    q = x[:, None] @ self.W_Q + self.b_Q[:, None]
    k = x[:, None] @ self.W_K + self.b_K[:, None]
    v = x[:, None] @ self.W_V + self.b_V[:, None]
    scores = q @ k.transpose(-1, -2) / math.sqrt(e)
    scores = scores.masked_fill(torch.ones(s, s).triu(1).bool(), -math.inf)
    z = scores.softmax(dim=-1) @ v
    side_by_side = z.transpose(1, 2).reshape(b, s, h * e)
    return side_by_side @ self.W_O.reshape(h * e, d) + self.b_O


@ex.alternative
def head_by_head(self, x):
    out = torch.zeros_like(x) + self.b_O
    hidden = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
    for h in range(len(self.W_Q)):
        q, k, v = (
            x @ W[h] + b[h] for W, b in zip((self.W_Q, self.W_K, self.W_V), (self.b_Q, self.b_K, self.b_V))
        )
        scores = torch.bmm(q, k.transpose(1, 2)) / q.shape[-1] ** 0.5
        scores[:, hidden] = -math.inf
        out = out + scores.softmax(-1) @ v @ self.W_O[h]
    return out


@ex.alternative
def einsum_all_the_way(self, x):
    q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
    k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
    v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
    weights = (einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])).exp().tril()
    pattern = weights / weights.sum(-1, keepdim=True)
    result = einsum(pattern, v, self.W_O, "b h q k, b k h e, h e d -> b q h d")
    return result.sum(dim=2) + self.b_O


ex.slip(
    "z_sums_over_queries",
    "z sums over the queries: the value of a key was handed out by its column of the pattern. Each query collects values by its "
    "row: sum over the keys.",
    "scores.softmax(dim=-1) @ v",
    "scores.softmax(dim=-1).transpose(-1, -2) @ v",
)
ex.slip(
    "b_O_once_per_head",
    "b_O was added once for every head. It belongs to the layer: add it once, after the sum over heads.",
    "+ self.b_O",
    "+ h * self.b_O",
)
ex.slip(
    "heads_averaged",
    "The heads were averaged. Their outputs are added up: each writes to the residual stream by itself.",
    "side_by_side @ self.W_O.reshape(h * e, d)",
    "side_by_side @ self.W_O.reshape(h * e, d) / h",
)
ex.slip(
    "axes_not_moved",
    "The heads were joined by a reshape while the head axis stood before the positions, so heads and positions are shuffled. "
    "Move the axes first: z.transpose(1, 2).reshape(b, s, h * e).",
    "z.transpose(1, 2).reshape",
    "z.reshape",
)
ex.slip(
    "heads_interleaved",
    "z lies head by head, but W_O was flattened the other way round (d_head before heads), so each head meets the rows of "
    "others.",
    "self.W_O.reshape(h * e, d)",
    "self.W_O.transpose(0, 1).reshape(h * e, d)",
)
ex.slip(
    "no_b_Q",
    "b_Q is missing.",
    " + self.b_Q[:, None]",
    "",
)
ex.slip(
    "no_b_V",
    "b_V is missing.",
    " + self.b_V[:, None]",
    "",
)
ex.slip(
    "no_b_O",
    "b_O is missing.",
    " + self.b_O",
    "",
)
ex.slip(
    "batches_mixed",
    "The result depends on the other texts of the batch: an einsum lost the batch axis of the keys and summed over it. Give q and "
    "k the same letter for it.",
    "q @ k.transpose(-1, -2)",
    "einsum(q, k, 'b h q e, other h k e -> b h q k')",
)
ex.slip(
    "keys_for_values",
    "The keys were averaged instead of the values.",
    "@ v",
    "@ k",
)
ex.slip(
    "no_mask",
    "The future is not masked: a position's output changes with the tokens after it.",
    "scores.masked_fill(torch.ones(s, s).triu(1).bool(), -math.inf)",
    "scores",
)
ex.slip(
    "no_scale",
    "The scores were not divided by sqrt(d_head).",
    " / math.sqrt(e)",
    "",
)
ex.slip(
    "scaled_by_d_model",
    "The scores were divided by sqrt(d_model). Each is a dot product of d_head terms: sqrt(d_head).",
    "math.sqrt(e)",
    "math.sqrt(d)",
)
ex.slip(
    "softmax_over_queries",
    "The softmax runs over the queries; it belongs over the keys, the last axis of the scores.",
    "softmax(dim=-1)",
    "softmax(dim=-2)",
)
ex.slip(
    "first_head_only",
    "Only the first head's output is there.",
    "self.W_O.reshape(h * e, d)",
    "(self.W_O * (torch.arange(h) == 0)[:, None, None]).reshape(h * e, d)",
)
ex.slip(
    "adds_the_residual",
    "x was added to the result. That is the block's task (01.8): this is only what attention adds to the stream.",
    "+ self.b_O",
    "+ self.b_O + x",
)

# ---- 01.7 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.7",
    "MLP.forward",
    supply={"MLP": GivenMLP},
    title="The MLP",
    objective="You can write the layer that works on each position by itself, with GPT-2's own nonlinearity.",
    minutes=10,
    difficulty=2,
    importance=4,
    source="Vaswani et al. (2017), section 3.3; Hendrycks and Gimpel (2016), Gaussian Error Linear Units, section 2.",
    hints=[
        "Two products with a nonlinearity between them: in, activate, out.",
        "GPT-2's GELU is the tanh formula of the docstring; in torch it is F.gelu(x, approximate='tanh'). Without that argument "
        "you get the erf version, which differs in the fourth digit.",
    ],
    why="The tanh formula was a fast stand-in for the Gaussian's distribution function; GPT-2 was trained with it, so it has become the "
    "definition. A difference of 0.0005 per neuron grows to a visible one over thousands of neurons and a dozen layers.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    weights = {"W_in": randn(5, 7), "b_in": randn(7), "W_out": randn(7, 5), "b_out": randn(5)}
    return {"x": randn(2, 3, 5), "weights": weights}


@ex.oracle
def _(x, weights):
    def gelu(n):
        return 0.5 * n * (1 + math.tanh(math.sqrt(2 / math.pi) * (n + 0.044715 * n**3)))

    W_in, b_in, W_out, b_out = (w.tolist() for w in weights.values())
    out = torch.zeros_like(x)
    for b, text in enumerate(x.tolist()):
        for s, vector in enumerate(text):
            neurons = [
                gelu(sum(n * row[m] for n, row in zip(vector, W_in)) + b_in[m]) for m in range(len(b_in))
            ]
            for d in range(len(b_out)):
                out[b, s, d] = sum(n * row[d] for n, row in zip(neurons, W_out)) + b_out[d]
    return out


@ex.call
def _(answer, x, weights):
    d, m = weights["W_in"].shape
    return fill(answer(SimpleNamespace(d_model=d, d_mlp=m)), weights)(x)


@ex.alternative
def written_out(self, x):
    pre = x @ self.W_in + self.b_in
    inner = math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)
    post = 0.5 * pre * (1 + torch.tanh(inner))
    return post @ self.W_out + self.b_out


@ex.alternative
def with_functional(self, x):
    return F.linear(F.gelu(F.linear(x, self.W_in.T, self.b_in), approximate="tanh"), self.W_out.T, self.b_out)


@ex.alternative
def neuron_by_neuron(self, x):
    out = self.b_out.expand_as(x).clone()
    for m in range(len(self.b_in)):
        neuron = F.gelu(einsum(x, self.W_in[:, m], "b s d, d -> b s") + self.b_in[m], approximate="tanh")
        out += neuron[..., None] * self.W_out[m]
    return out


ex.slip(
    "relu",
    "The nonlinearity is ReLU (Vaswani et al. 2017). GPT-2 uses GELU in its tanh form.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "F.relu(pre)",
)
ex.slip(
    "erf_gelu",
    "This is the exact GELU, with erf. GPT-2 was trained with the tanh approximation: F.gelu(x, approximate='tanh'). They differ by "
    "up to 0.0005 per neuron.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "F.gelu(pre)",
)
ex.slip(
    "sigmoid_gelu",
    "This is the other approximation, x * sigmoid(1.702 x). GPT-2 uses the one with tanh.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "pre * torch.sigmoid(1.702 * pre)",
)
ex.slip(
    "silu",
    "The nonlinearity is SiLU, x * sigmoid(x). GPT-2 uses GELU in its tanh form.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "F.silu(pre)",
)
ex.slip(
    "no_nonlinearity",
    "There is no nonlinearity: two matrices in a row are one matrix.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "pre",
)
ex.slip(
    "no_cube",
    "In the formula the cubic term is missing or has another power: pre + 0.044715 * pre**3.",
    "pre**3",
    "pre**2",
)
ex.slip(
    "no_half",
    "The factor 0.5 is missing.",
    "0.5 * pre",
    "pre",
)
ex.slip(
    "no_root_in_the_formula",
    "The root is missing: the factor is sqrt(2/pi).",
    "math.sqrt(2 / math.pi)",
    "(2 / math.pi)",
)
ex.slip(
    "activation_after_W_out",
    "The nonlinearity comes after W_out. It belongs between the two products, on the m neurons.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "pre",
    "post @ self.W_out + self.b_out",
    "F.gelu(post @ self.W_out + self.b_out, approximate='tanh')",
)
ex.slip(
    "activation_on_the_input",
    "The nonlinearity was applied to the input. It belongs on the neurons, after W_in and b_in.",
    "x @ self.W_in",
    "F.gelu(x, approximate='tanh') @ self.W_in",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "pre",
)
ex.slip(
    "b_in_after_the_activation",
    "b_in was added after the nonlinearity. It shifts the point at which a neuron begins to fire: add it before.",
    "x @ self.W_in + self.b_in",
    "x @ self.W_in",
    "post @ self.W_out",
    "(post + self.b_in) @ self.W_out",
)
ex.slip(
    "no_b_in",
    "b_in is missing.",
    " + self.b_in",
    "",
)
ex.slip(
    "no_b_out",
    "b_out is missing.",
    " + self.b_out",
    "",
)
ex.slip(
    "adds_the_residual",
    "x was added to the result. That is the block's task (01.8): this is only what the MLP adds to the stream.",
    "+ self.b_out",
    "+ self.b_out + x",
)

# ---- 01.8 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.8",
    "TransformerBlock.forward",
    supply={"TransformerBlock": GivenTransformerBlock},
    title="The block and the residual stream",
    objective="You can wire attention and MLP to the residual stream so that each reads from it and adds to it.",
    minutes=10,
    difficulty=2,
    importance=5,
    source="Radford et al. (2019), Language Models are Unsupervised Multitask Learners, section 2.3 (LayerNorm at the input of each "
    "sub-block); He et al. (2016), Identity Mappings in Deep Residual Networks; Elhage et al. (2021), section 'Virtual Weights and the "
    "Residual Stream as a Communication Channel'.",
    hints=[
        "Two lines, one for attention and one for the MLP. Each is: stream = stream + part(norm(stream)).",
        "The MLP comes second and reads the stream that attention has already written to.",
        "resid_mid = resid_pre + self.attn(self.ln1(resid_pre)), and again with ln2 and mlp. Write x = x + ..., not x += ...",
    ],
    why="The norm stands at the entrance of each branch, so the stream itself is never rescaled: it is a plain sum of everything that was "
    "ever written to it. All of chapter 02 rests on that. In-place addition gives the same numbers and destroys the ones that a cache "
    "had kept.",
)


@ex.inputs
def _(seed):
    return {"x": numbers(seed)(2, 5, 10), "weights": seed}


@ex.oracle
def _(x, weights):
    with torch.no_grad():
        _, cache = hooked(weights).run_with_cache(x, start_at_layer=0, stop_at_layer=1)
    return {"out": cache["resid_post", 0], "read by ln1": x, "read by ln2": cache["resid_mid", 0]}


class Reads(nn.Module):
    """Passes on to another module and keeps what that was given, as a cache would: by reference."""

    def __init__(self, module):
        super().__init__()
        self.module, self.read = module, None

    def forward(self, x):
        self.read = x
        return self.module(x)


@ex.call
def _(answer, x, weights):
    given = transformer(weights).blocks[0]
    ln1, ln2 = Reads(given.ln1), Reads(given.ln2)
    with torch.no_grad():
        out = answer(ln1, given.attn, ln2, given.mlp)(x)
    return {"out": out, "read by ln1": ln1.read, "read by ln2": ln2.read}


@ex.alternative
def one_name_for_the_stream(self, resid_pre):
    x = resid_pre
    x = x + self.attn(self.ln1(x))
    x = x + self.mlp(self.ln2(x))
    return x


@ex.alternative
def three_terms(self, resid_pre):
    attn_out = self.attn(self.ln1(resid_pre))
    mlp_out = self.mlp(self.ln2(resid_pre + attn_out))
    return torch.stack([resid_pre, attn_out, mlp_out]).sum(dim=0)


ex.slip(
    "post_norm",
    "The norms stand after the additions: that is the transformer of 2017 (Vaswani et al., section 3.1). GPT-2 normalizes what each "
    "branch reads, and leaves the stream alone.",
    "x + self.attn(self.ln1(x))",
    "self.ln1(x + self.attn(x))",
    "x + self.mlp(self.ln2(x))",
    "self.ln2(x + self.mlp(x))",
)
ex.slip(
    "norm_after_the_branch",
    "The norms stand behind attention and MLP. They belong in front: attn(ln1(x)), mlp(ln2(x)).",
    "self.attn(self.ln1(x))",
    "self.ln1(self.attn(x))",
    "self.mlp(self.ln2(x))",
    "self.ln2(self.mlp(x))",
)
ex.slip(
    "no_norms",
    "The norms are missing: attention and MLP read the stream as it is.",
    "self.attn(self.ln1(x))",
    "self.attn(x)",
    "self.mlp(self.ln2(x))",
    "self.mlp(x)",
)
ex.slip(
    "parallel",
    "The MLP reads the stream as it was before attention. That is a parallel block (GPT-J's); in GPT-2 the MLP sees what attention has "
    "brought.",
    "    x = x + self.attn(self.ln1(x))\n    x = x + self.mlp(self.ln2(x))\n",
    "    x = x + self.attn(self.ln1(x)) + self.mlp(self.ln2(x))\n",
)
ex.slip(
    "mlp_reads_attn_out",
    "The MLP reads only what attention has written. It reads the whole stream, with that added.",
    "self.mlp(self.ln2(x))",
    "self.mlp(self.ln2(x - resid_pre))",
)
ex.slip(
    "stream_dropped",
    "The stream is gone: the block returns what its parts wrote without what came in. Each part adds to the stream.",
    "x + self.attn(self.ln1(x))",
    "self.attn(self.ln1(x))",
    "x + self.mlp(self.ln2(x))",
    "self.mlp(self.ln2(x))",
)
ex.slip(
    "first_addition_missing",
    "Attention's output replaced the stream instead of being added to it.",
    "x + self.attn(self.ln1(x))",
    "self.attn(self.ln1(x))",
)
ex.slip(
    "second_addition_missing",
    "The MLP's output replaced the stream instead of being added to it.",
    "x + self.mlp(self.ln2(x))",
    "self.mlp(self.ln2(x))",
)
ex.slip(
    "stream_from_the_norm",
    "The parts were added to the normalized stream. The addition starts from the stream itself; the norm is only for what a part reads.",
    "x + self.attn(self.ln1(x))",
    "self.ln1(x) + self.attn(self.ln1(x))",
    "x + self.mlp(self.ln2(x))",
    "self.ln2(x) + self.mlp(self.ln2(x))",
)
ex.slip(
    "ln1_twice",
    "ln1 was used for the MLP as well. It has a norm of its own: ln2.",
    "self.ln2(x)",
    "self.ln1(x)",
)
ex.slip(
    "norms_swapped",
    "ln1 and ln2 changed places.",
    "self.attn(self.ln1(x))",
    "self.attn(self.ln2(x))",
    "self.mlp(self.ln2(x))",
    "self.mlp(self.ln1(x))",
)
ex.slip(
    "mlp_first",
    "The MLP came first. Attention gathers, then the MLP works on what was gathered.",
    "    x = x + self.attn(self.ln1(x))\n    x = x + self.mlp(self.ln2(x))\n",
    "    x = x + self.mlp(self.ln2(x))\n    x = x + self.attn(self.ln1(x))\n",
)
ex.slip(
    "no_mlp",
    "The MLP is missing.",
    "    x = x + self.mlp(self.ln2(x))\n",
    "",
)
ex.slip(
    "overwrites_its_input",
    "The numbers are right, but x += ... wrote into the tensor that came in: the stream before the block, which a cache may have kept, is "
    "now the stream after it. Write x = x + ...",
    "x = x + self.attn",
    "x += self.attn",
    "x = x + self.mlp",
    "x += self.mlp",
)
ex.slip(
    "overwrites_resid_mid",
    "The numbers are right, but the second += wrote into the stream between attention and MLP: whoever kept it finds the stream after "
    "the block instead. Write x = x + ...",
    "x = x + self.mlp",
    "x += self.mlp",
)

# ---- 01.9 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.9",
    "Transformer.forward",
    supply={"Transformer": GivenTransformer},
    title="The whole transformer",
    objective="You can put the pieces together into GPT-2: from token ids to the logits of the next token.",
    minutes=10,
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
    return {"tokens": tokens_of(seed, 2, 5, below=10), "weights": seed}


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
        return fill(made, given.state_dict())(tokens)


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
    "The position embedding is missing: the model could not tell the order of the earlier tokens.",
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
    "Only the first block was used: was a return inside the loop?",
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

# ---- 01.10 ------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.10",
    "loss",
    title="The loss",
    objective="You can say how surprised the model was by each next token, in nats, without losing precision.",
    minutes=15,
    difficulty=2,
    importance=5,
    source="Radford et al. (2018), section 3.1, equation 1; Shannon (1948), A Mathematical Theory of Communication, section 6.",
    hints=[
        "The logits at position i are about token i + 1. So the last position has no target, and the first token is nobody's target.",
        "logits[:, :-1] meets tokens[:, 1:]. gather picks one log-probability per position; it wants an index with as many axes as "
        "the tensor it picks from.",
        "Use log_softmax, which never takes the logarithm of 0; then -log_probs.gather(-1, targets[..., None])[..., 0].",
    ],
    why="log(softmax(x)) and log_softmax(x) are the same on paper; in float32 the first gives -inf as soon as a logit lies 104 below the "
    "largest, and one -inf makes the whole mean useless. log_softmax subtracts the log of the sum instead: "
    "x - logsumexp(x).",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    tokens = tokens_of(seed, 3, 8, below=6)
    sure_and_wrong = randn(3, 8, 6)
    for row in range(3):
        sure_and_wrong[row, 2, tokens[row, 3]] = -150.0
    return [{"logits": 2 * randn(3, 8, 6), "tokens": tokens}, {"logits": sure_and_wrong, "tokens": tokens}]


@ex.oracle
def _(logits, tokens):
    b, s, _ = logits.shape
    out = torch.zeros(b, s - 1)
    for row in range(b):
        for i in range(s - 1):
            scores = logits[row, i].double().tolist()
            largest = max(scores)
            log_sum = largest + math.log(sum(math.exp(score - largest) for score in scores))
            out[row, i] = log_sum - scores[int(tokens[row, i + 1])]
    return out


@ex.alternative
def gathered(logits, tokens):
    log_probs = logits.log_softmax(dim=-1)
    predictions = log_probs[:, :-1]
    targets = tokens[:, 1:]
    picked = predictions.gather(-1, targets[..., None])
    return -picked.squeeze(-1)


@ex.alternative
def torch_cross_entropy(logits, tokens):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")


@ex.alternative
def logsumexp_less_the_target(logits, tokens):
    rows, columns = torch.meshgrid(
        torch.arange(len(tokens)), torch.arange(tokens.shape[1] - 1), indexing="ij"
    )
    return logits.logsumexp(-1)[:, :-1] - logits[rows, columns, tokens[:, 1:]]


@ex.alternative
def log_softmax_twice_is_harmless(logits, tokens):
    # log-probabilities are logits too, with a logsumexp of 0
    return F.nll_loss(logits[:, :-1].log_softmax(-1).log_softmax(-1).mT, tokens[:, 1:], reduction="none")


ex.slip(
    "no_shift",
    "Nothing was shifted: the logits at each position were compared with the token that stands there, which the model has just read. They "
    "are about the next one.",
    "tokens[:, 1:]",
    "tokens[:, :-1]",
)
ex.slip(
    "shift_reversed",
    "The shift goes the wrong way: each prediction was compared with the token before it. logits[:, :-1] belongs with tokens[:, 1:].",
    "log_probs[:, :-1]",
    "log_probs[:, 1:]",
    "tokens[:, 1:]",
    "tokens[:, :-1]",
)
ex.slip(
    "two_ahead",
    "Each prediction was compared with the token after the next.",
    "log_probs[:, :-1]",
    "log_probs[:, :-2]",
    "tokens[:, 1:]",
    "tokens[:, 2:]",
)
ex.slip(
    "softmax_twice",
    "The softmax was done twice: cross_entropy and log_softmax want logits, not probabilities. (Only log_softmax of log-probabilities "
    "changes nothing.)",
    "logits.log_softmax(dim=-1)",
    "logits.softmax(dim=-1).log_softmax(dim=-1)",
)
ex.slip(
    "log_of_softmax",
    "log(softmax(x)) became -inf where a probability is too small for float32. log_softmax computes the same without taking the log of 0.",
    "logits.log_softmax(dim=-1)",
    "logits.softmax(dim=-1).log()",
)
ex.slip(
    "no_softmax",
    "The target's logit was taken as it is. Logits have no scale until the softmax compares them with the others.",
    "logits.log_softmax(dim=-1)",
    "logits",
)
ex.slip(
    "softmax_over_positions",
    "The softmax runs over the positions. The tokens of the vocabulary compete with each other: dim=-1.",
    "log_softmax(dim=-1)",
    "log_softmax(dim=1)",
)
ex.slip(
    "gather_on_the_wrong_axis",
    "gather picked along the positions: the target's id was used as a position. It is an index into the vocabulary, the last axis.",
    "predictions.gather(-1, targets[..., None])",
    "predictions.gather(1, targets[..., None])",
)
ex.slip(
    "sign",
    "The sign is missing: the loss is minus the log-probability, so that less surprise is less loss.",
    "-picked.squeeze(-1)",
    "picked.squeeze(-1)",
)
ex.slip(
    "probability_for_log",
    "This is minus the probability; the loss is minus its logarithm.",
    "-picked.squeeze(-1)",
    "-picked.squeeze(-1).exp()",
)
ex.slip(
    "in_bits",
    "The loss is in bits (log to the base 2). It is asked for in nats, the natural logarithm.",
    "-picked.squeeze(-1)",
    "-picked.squeeze(-1) / math.log(2)",
)
ex.slip(
    "averaged",
    "The losses were averaged. Here every prediction keeps its own: chapter 03 finds induction in their differences.",
    "-picked.squeeze(-1)",
    "-picked.mean()",
)
ex.slip(
    "extra_axis",
    "The axis that gather needed is still there. Drop it: [..., 0] or squeeze(-1).",
    ".squeeze(-1)",
    "",
)


@ex.mistake(
    "All rows were flattened into one long text before the shift, so the last token of one text predicts the first of the next. Shift first, "
    "then flatten, if at all."
)
def across_rows(logits, tokens):
    return F.cross_entropy(logits.flatten(0, 1)[:-1], tokens.flatten()[1:], reduction="none")


@ex.mistake(
    "The numbers are right but stand in one long row. Give them the shape of the predictions, (b, s - 1)."
)
def left_flat(logits, tokens):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")


# ---- 01.11 ------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.11",
    "train_step",
    title="One step of training",
    objective="You can make a model a little better on a batch, and count only what is text.",
    minutes=15,
    difficulty=2,
    importance=4,
    source="Radford et al. (2018), section 3.1; Bottou, Curtis and Nocedal (2018), Optimization Methods for Large-Scale Machine Learning, "
    "section 3. The identity: every weight moves by -rate times its gradient, as autograd gives it.",
    hints=[
        "Forward, loss, zero_grad, backward, step, in this order; and loss.item() gives a float that keeps no graph alive.",
        "A prediction counts when its target is real: mask[:, 1:]. Divide by how many those are, not by all.",
        "per_token[mask[:, 1:]].mean() does both at once.",
    ],
    why="backward() adds to the gradients that are there, so they must be set to zero once per step and never between backward and step. Padding "
    "that counts teaches the model to say padding, and makes the loss look lower the more padding a batch has.",
)


@ex.inputs
def _(seed):
    batches = []
    for i, lengths in enumerate(((6, 3, 5), (4, 6, 2))):
        mask = torch.arange(6) < torch.tensor(lengths)[:, None]
        batches.append((tokens_of(2 * seed + i, 3, 6, below=16).add(1) * mask, mask))
    return {"weights": seed, "batches": batches}


RATE = 0.05


class PlainSGD:
    """weight -= RATE * gradient, and a count of the steps. (torch.optim takes seconds to import.)"""

    def __init__(self, parameters, done):
        self.param_groups, self.done = [{"params": parameters, "lr": RATE}], done

    def zero_grad(self, set_to_none=True):
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None if set_to_none else torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self):
        self.done["optimizer steps"] += 1
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter -= RATE * parameter.grad


@ex.oracle
def _(weights, batches):
    model, losses = copy.deepcopy(hooked(weights)), []
    for tokens, mask in batches:
        value = model(tokens, return_type="loss", attention_mask=mask.long())
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(value, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients):
                parameter -= RATE * gradient
        losses.append(value.item())
    return {
        "losses": losses,
        "backward passes": 2,
        "optimizer steps": 2,
        "W_E afterwards": model.embed.W_E,
        "W_U afterwards": model.unembed.W_U,
    }


@ex.call
def _(answer, weights, batches):
    model = transformer(weights)
    done = {"backward passes": 0, "optimizer steps": 0}

    def count(gradient):
        done["backward passes"] += 1

    model.b_U.register_hook(count)
    optimizer = PlainSGD(list(model.parameters()), done)
    losses = [answer(model, optimizer, batch) for batch in batches]
    return {"losses": losses, **done, "W_E afterwards": model.embed.W_E, "W_U afterwards": model.W_U}


@ex.alternative
def weighted_by_the_mask(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    per_token = F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    real = mask[:, 1:]
    mean = (per_token * real).sum() / real.sum()
    optimizer.zero_grad()
    mean.backward()
    optimizer.step()
    return mean.item()


@ex.alternative
def with_ignored_targets(model, optimizer, batch):
    tokens, mask = batch
    targets = tokens.masked_fill(~mask, -100)[:, 1:].flatten()
    mean = F.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), targets)  # -100 is ignored
    mean.backward()
    optimizer.step()
    model.zero_grad()
    return float(mean.detach())


@ex.alternative
def row_by_row(model, optimizer, batch):
    optimizer.zero_grad()
    total, count = 0.0, 0
    for row, real in zip(*batch):
        row = row[: real.sum()]
        total = total + F.cross_entropy(model(row[None])[0, :-1], row[1:], reduction="sum")
        count += len(row) - 1
    (total / count).backward()
    optimizer.step()
    return (total / count).item()


ex.slip(
    "never_steps",
    "The optimizer never took a step: the gradients are there, and the weights are as before. Call optimizer.step().",
    "    optimizer.step()\n",
    "",
)
ex.slip(
    "no_backward",
    "There was no backward pass, so the optimizer had no gradients to follow.",
    "    mean.backward()\n",
    "",
)
ex.slip(
    "zeroed_before_the_step",
    "The gradients were set to zero between backward and step, so the step went nowhere. zero_grad comes before backward.",
    "    optimizer.zero_grad()\n    mean.backward()\n",
    "    mean.backward()\n    optimizer.zero_grad()\n",
)
ex.slip(
    "gradients_accumulate",
    "The gradients are never set to zero: the second step follows those of the first batch as well. Call optimizer.zero_grad() in every step.",
    "    optimizer.zero_grad()\n",
    "",
)
ex.slip(
    "returns_the_graph",
    "It returned a tensor, and with it the whole graph of the forward pass, which then cannot be freed. Return loss.item().",
    "return mean.item()",
    "return mean",
)
ex.slip(
    "counts_padding",
    "Padding was counted as text to predict. Leave the predictions out whose target is padding: mask[:, 1:].",
    "real = mask[:, 1:]",
    "real = torch.ones_like(mask[:, 1:])",
)
ex.slip(
    "divides_by_all",
    "The losses of padding were left out of the sum but counted in the number it was divided by. Divide by the number of real predictions.",
    "real.sum()",
    "real.numel()",
)
ex.slip(
    "mask_not_shifted",
    "The mask is off by one: mask[:, :-1] says whether the reading token is real, so the last token of a text still learns to predict padding. "
    "It is the target that must be real: mask[:, 1:].",
    "mask[:, 1:]",
    "mask[:, :-1]",
)
ex.slip(
    "summed",
    "The losses were added up. With a sum the step grows with the size of the batch; take the mean.",
    "(per_token * real).sum() / real.sum()",
    "(per_token * real).sum()",
)
ex.slip(
    "mean_of_means",
    "You averaged each text first and then the texts, so a token of a short text counts more than one of a long text. One mean over all real "
    "predictions.",
    "(per_token * real).sum() / real.sum()",
    "((per_token * real).sum(1) / real.sum(1)).mean()",
)
ex.slip(
    "climbs",
    "The step goes uphill: the gradient of minus the loss was followed.",
    "mean.backward()",
    "(-mean).backward()",
)
ex.slip(
    "no_shift",
    "The targets were not shifted: the model learns to repeat the token it has just read. logits[:, :-1] belongs with tokens[:, 1:].",
    "tokens[:, 1:]",
    "tokens[:, :-1]",
)
ex.slip(
    "loss_after_the_step",
    "The loss was computed anew after the step. What is asked for is the loss that the step was made from; it is there already, and a second "
    "forward pass costs a third of the time.",
    "return mean.item()",
    "logits = model(tokens)\n    per_token = F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction='none')\n"
    "    return ((per_token * real).sum() / real.sum()).item()",
)

# ---- 01.12 ------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.12",
    "next_token_probs",
    title="Temperature, top-k, top-p",
    objective="You can write down the exact distribution that a sampling method draws from.",
    minutes=25,
    difficulty=3,
    importance=3,
    source="Holtzman et al. (2020), The Curious Case of Neural Text Degeneration, sections 3.1 to 3.3 (nucleus, top-k, temperature).",
    hints=[
        "Temperature divides the logits, so a small one makes the differences larger. Temperature 0 is a case of its own: 1 for the most likely "
        "token, 0 for the others.",
        "Top-k and top-p set logits to -inf; the softmax at the end makes the rest add up to 1.",
        "For top-p sort in descending order and look at cumsum - probs, what the tokens ahead of each one hold: a token stays while that is below "
        "p. Then carry the decision back with the sort's indices: dropped[order] = ...",
    ],
    why="The token that crosses p belongs to the nucleus: Holtzman et al. define the smallest set whose probability is at least p. So top-p is "
    "never empty, however small p is.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    probs = torch.tensor([0.30, 0.20, 0.15, 0.12, 0.10, 0.06, 0.04, 0.02, 0.01])
    probs = probs * (1 + 0.02 * torch.rand(9, generator=generator))
    order = torch.randperm(9, generator=generator)
    while order[0] < 5:  # the most likely token must stand far from the front
        order = torch.randperm(9, generator=generator)
    logits = torch.empty(9)
    logits[order] = probs.log()
    logits += torch.randn(1, generator=generator)
    options = [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"temperature": 0.0},
        {"temperature": 0.0, "top_k": 3, "top_p": 0.5},
        {"top_k": 3},
        {"top_k": 50},
        {"top_p": 0.6},
        {"top_p": 0.05},
        {"top_p": 1.0},
        {"top_k": 5, "top_p": 0.8},
        {"temperature": 2.0, "top_p": 0.6},
        {"temperature": 0.7, "top_k": 6, "top_p": 0.9},
    ]
    return [{"logits": logits.clone(), **option} for option in options]


@ex.oracle
def _(logits, temperature=1.0, top_k=None, top_p=None):
    scores = dict(enumerate(logits.double().tolist()))
    ranked = sorted(scores, key=scores.get, reverse=True)
    out = torch.zeros(len(scores))
    if temperature == 0:
        out[ranked[0]] = 1.0
        return out
    left = ranked[: top_k or len(ranked)]
    weight = {token: math.exp((scores[token] - scores[ranked[0]]) / temperature) for token in left}
    total, nucleus = sum(weight.values()), []
    for token in left:
        nucleus.append(token)
        if top_p is not None and sum(weight[t] for t in nucleus) / total >= top_p:
            break
    for token in nucleus:
        out[token] = weight[token] / sum(weight[t] for t in nucleus)
    return out


@ex.call
def _(answer, logits, **options):
    return answer(logits, **options)


@ex.alternative
def mask_then_softmax(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    logits = logits / temperature
    if top_k is not None:
        kth = logits.topk(min(top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < kth, -math.inf)
    if top_p is not None:
        ordered, order = logits.sort(descending=True)
        probs = ordered.softmax(dim=-1)
        before = probs.cumsum(dim=-1) - probs
        dropped = torch.zeros(len(logits), dtype=torch.bool)
        dropped[order] = before >= top_p
        logits = logits.masked_fill(dropped, -math.inf)
    return logits.softmax(dim=-1)


@ex.alternative
def in_sorted_order_until_the_end(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return (torch.arange(len(logits)) == logits.argmax()).float()
    order = logits.argsort(descending=True)
    probs = (logits[order] / temperature).softmax(0)
    probs[slice(top_k, None) if top_k else slice(0, 0)] = 0
    probs = probs / probs.sum()
    if top_p is not None:
        size = int((probs.cumsum(0) < top_p).sum()) + 1
        probs[size:] = 0
        probs = probs / probs.sum()
    return probs[order.argsort()]


ex.slip(
    "multiplies_by_temperature",
    "The logits were multiplied by the temperature. Dividing is what makes a high temperature flat: warm atoms move about more.",
    "logits / temperature",
    "logits * temperature",
)
ex.slip(
    "divides_by_zero",
    "Temperature 0 was divided by. It stands for the limit: all probability on the most likely token. Treat it first.",
    "if temperature == 0:",
    "if False:",
)
ex.slip(
    "temperature_ignored",
    "The temperature changed nothing.",
    "logits / temperature",
    "logits + 0.0",
)
ex.slip(
    "probabilities_tempered",
    "The temperature was applied to probabilities instead of logits: softmax(softmax(x) / T) is almost flat.",
    "logits / temperature",
    "logits.softmax(dim=-1) / temperature",
)
ex.slip(
    "drops_the_crossing_token",
    "The token that crosses p was dropped, so what is left holds less than p. It belongs to the set: a token stays while those ahead of it hold "
    "less than p.",
    "before >= top_p",
    "(before + probs >= top_p) & (torch.arange(len(logits)) > 0)",
)
ex.slip(
    "drops_everything",
    "With a small p nothing is left, and the softmax of nothing is NaN: the most likely token alone holds more than p and was dropped. The token "
    "that crosses p stays.",
    "before >= top_p",
    "before + probs >= top_p",
)
ex.slip(
    "cumsum_unsorted",
    "The probabilities were added up in the order of the vocabulary. The nucleus is made of the most likely tokens: sort first.",
    "logits.sort(descending=True)",
    "(logits, torch.arange(len(logits)))",
)
ex.slip(
    "sorted_the_wrong_way",
    "They were sorted in ascending order, so the least likely tokens were kept. Pass descending=True.",
    "logits.sort(descending=True)",
    "logits.sort(descending=False)",
)
ex.slip(
    "order_not_undone",
    "The decision was made in sorted order and then applied in the order of the vocabulary, to other tokens. Carry it back: dropped[order] = ...",
    "dropped[order] = before >= top_p",
    "dropped = before >= top_p",
)
ex.slip(
    "keeps_one_too_few",
    "Top-k kept k - 1 tokens: the k-th most likely one stays.",
    "logits < kth",
    "logits <= kth",
)
ex.slip(
    "keeps_one_too_many",
    "Top-k kept one token too many.",
    "min(top_k, len(logits))",
    "min(top_k + 1, len(logits))",
)
ex.slip(
    "k_larger_than_the_vocabulary",
    "There are only 9 tokens and top_k was 50: topk cannot give more than there are. Use min(top_k, len(logits)).",
    "min(top_k, len(logits))",
    "top_k",
)
ex.slip(
    "not_renormalised",
    "What is left does not add up to 1. Divide by its sum, or set logits to -inf before the softmax.",
    "    logits = logits / temperature\n",
    "    logits = logits / temperature\n    full = logits.softmax(dim=-1)\n",
    "return logits.softmax(dim=-1)",
    "return full * logits.isfinite()",
)
ex.slip(
    "zeros_for_minus_infinity",
    "The logits of dropped tokens were set to 0, and e^0 = 1: they may become the most likely of all. Use -inf.",
    "logits.masked_fill(logits < kth, -math.inf)",
    "logits.masked_fill(logits < kth, 0.0)",
    "logits.masked_fill(dropped, -math.inf)",
    "logits.masked_fill(dropped, 0.0)",
)
ex.slip(
    "top_p_of_the_full_distribution",
    "p was measured on all tokens. After top-k it is measured on what is left, which adds up to 1 again.",
    "    logits = logits / temperature\n",
    "    logits = logits / temperature\n    full = logits.softmax(dim=-1)\n",
    "ordered.softmax(dim=-1)",
    "full[order]",
)
ex.slip(
    "changes_the_logits",
    "The probabilities are right, but the logits that were passed in were changed: /= works in place. Write logits = logits / temperature.",
    "logits = logits / temperature",
    "logits /= temperature",
)


@ex.mistake(
    "The probabilities came back in sorted order. Entry i must belong to token i: undo the sort with its indices."
)
def left_sorted(logits, temperature=1.0, top_k=None, top_p=None):
    return mask_then_softmax_once_more(logits, temperature, top_k, top_p).sort(descending=True).values


@ex.mistake(
    "The nucleus was chosen at temperature 1 and the temperature applied afterwards. Temperature comes first: it changes how many tokens are "
    "needed to reach p."
)
def temperature_last(logits, temperature=1.0, top_k=None, top_p=None):
    kept = mask_then_softmax_once_more(logits, 1.0, top_k, top_p) > 0
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    return (logits / temperature).masked_fill(~kept, -math.inf).softmax(dim=-1)


def mask_then_softmax_once_more(logits, temperature, top_k, top_p):
    """The right probabilities, for the mistakes that begin with them."""
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    logits = logits / temperature
    ordered, order = logits.sort(descending=True)
    ordered[top_k:] = -math.inf
    probs = ordered.softmax(dim=-1)
    if top_p is not None:
        ordered[probs.cumsum(dim=-1) - probs >= top_p] = -math.inf
    return ordered.softmax(dim=-1)[order.argsort()]


# ---- 01.13 ------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "01.13",
    "generate",
    "forward_with_cache",
    "generate_with_cache",
    title="Writing text, without and with a key-value cache",
    objective="You can let a model write, and make it read every token only once.",
    minutes=45,
    difficulty=4,
    importance=4,
    seeds=1,  # its seven calls leave little to chance
    source="Radford et al. (2018), section 3.1, equation 1 (a context window); Shazeer (2019), Fast Transformer Decoding: One Write-Head is All You "
    "Need, section 2.4 (keys and values of earlier positions kept). The identity: logits with a cache equal logits without.",
    hints=[
        "generate: the next token is the argmax of the logits at the last position. tokens[:, -n_ctx:] are the last n_ctx. Keep a boolean per row for "
        "'finished', and look only at new tokens for eos.",
        "forward_with_cache: past = how many positions the cache holds. The new tokens stand at past, past + 1, ...: their position embeddings and "
        "their rows of the mask begin there. Only q comes from the new tokens alone; k and v are what is cached with the new ones behind.",
        "generate_with_cache: read the prompt once; after that, feed only the newest token, with the same cache each time. The last token need not be read.",
    ],
    why="Under a causal mask nothing that is computed at a position depends on later tokens, so keys and values never change once made. Keeping them "
    "turns a step from s positions into one: the text costs s + n - 1 positions instead of about n times as many. Only position and mask must remember "
    "that there is a past.",
)


@functools.cache
def prompts_that_end(seed):
    """A model, a batch of prompts that begin with token 0, and how many steps: some rows write 0, others never do.

    Rows that do so would go on with another token, and have two more steps to go.
    """
    for attempt in range(500):
        number, lift = 1000 * seed + attempt, attempt % 6
        model = transformer(number, b_U_0=lift)
        prompt = tokens_of(number, 3, 4, below=17)
        prompt[:, 0] = 0
        with torch.no_grad():
            new = written(model, prompt, 6)[:, 4:]
        first = [row.index(0) if 0 in row else None for row in new.tolist()]
        ends = [i for i, at in enumerate(first) if at is not None and at <= 3 and new[i, at + 1] != 0]
        never = [i for i, at in enumerate(first) if at is None]
        if ends and never:
            return number, lift, prompt, ends[0]
    raise RuntimeError(f"no model found for seed {seed}")


@functools.cache
def texts_that_vary(seed):
    """A model and prompts, short and longer than n_ctx, after which it does not write the same token again and again.

    Nor does it write the same when it forgets the past, reads it twice, or listens to the first position.
    """
    for attempt in range(500):
        number = 1000 * seed + attempt
        model = transformer(number)
        text, long = tokens_of(number, 2, 6, below=17), tokens_of(number, 2, 14, below=17)
        prompt = text[:, :4]
        with torch.no_grad():
            logits, right = model(prompt), written(model, prompt, 5)
            forgetful, twice, read = right[:, :5], right[:, :5], prompt
            for _ in range(4):
                forgetful = torch.cat([forgetful, model(forgetful[:, -1:]).argmax(-1)], dim=1)
                read = torch.cat([read, twice], dim=1)
                twice = torch.cat([twice, model(read[:, -12:])[:, -1:].argmax(-1)], dim=1)
            after_long = written(model, long, 3)[:, 14:]
        if (
            all(len(set(row)) >= 3 for row in right[:, 4:].tolist())
            and any(len(set(row)) >= 2 for row in after_long.tolist())
            and not forgetful.equal(right)
            and not twice.equal(right)
            and not logits[:, 0].argmax(-1).equal(logits[:, -1].argmax(-1))
        ):
            return number, text, long
    raise RuntimeError(f"no model found for seed {seed}")


def written(model, tokens, n):
    """The text continued greedily, by reading all of it anew for every token."""
    n_ctx = model.pos_embed.W_pos.shape[0]
    for _ in range(n):
        logits = model(tokens[:, -n_ctx:])
        tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], dim=1)
    return tokens


@ex.inputs
def _(seed):
    number, lift, prompt, ends = prompts_that_end(seed)
    lively, text, long = texts_that_vary(seed)

    def call(function, tokens, **more):
        return {
            "function": function,
            "weights": (lively, 0.0),
            "tokens": tokens,
            "n": None,
            "eos": None,
            "chunks": None,
        } | more

    return [
        call("generate", text[:, :4], n=5),
        call("generate", long, n=3),  # longer than n_ctx
        call("generate", prompt, n=6, eos=0, weights=(number, float(lift))),
        call("generate", prompt[ends : ends + 1], n=6, eos=0, weights=(number, float(lift))),
        call("forward_with_cache", text, chunks=[3, 1, 2]),
        call("generate_with_cache", text[:, :4], n=5),
        call("generate_with_cache", text[:, :1], n=3),
    ]


@ex.oracle
def _(function, weights, tokens, n, eos, chunks):
    model = hooked(weights[0], b_U_0=weights[1])
    with torch.no_grad():
        if function == "forward_with_cache":
            logits, cache = model.run_with_cache(tokens)
            return {
                "logits": list(logits.split(chunks, dim=1)),
                "cache": {layer: (cache["k", layer], cache["v", layer]) for layer in range(2)},
            }
        out = written(model, tokens, n)
    if function == "generate_with_cache":
        return {"tokens": out, "positions read": tokens.shape[1] + n - 1}
    for row in out if eos is not None else []:
        ends = (row[tokens.shape[1] :] == eos).nonzero()
        if len(ends):
            row[tokens.shape[1] + int(ends[0]) :] = eos
    return out


@ex.call
def _(answer, function, weights, tokens, n, eos, chunks):
    model = transformer(weights[0], b_U_0=weights[1])
    with torch.no_grad():
        if function == "generate":
            return (
                answer.generate(model, tokens, n) if eos is None else answer.generate(model, tokens, n, eos)
            )
        if function == "forward_with_cache":
            cache = {}
            logits = [answer.forward_with_cache(model, part, cache) for part in tokens.split(chunks, dim=1)]
            return {"logits": logits, "cache": cache}
        read = 0

        def forward(model, new, cache):
            # Stands in for forward_with_cache: it keeps the text itself, where keys and values would be.
            nonlocal read
            read += new.shape[1]
            text = torch.cat([cache[0][0], new], dim=1) if cache else new
            cache[0] = (text, text)
            return model(text[:, -12:])[:, -new.shape[1] :]

        out = answer.generate_with_cache(forward, model, tokens, n)
    return {"tokens": out, "positions read": read}


@ex.measure
def _(observed, function, weights, tokens, n, eos, chunks):
    if function != "generate_with_cache":
        return observed
    # reading the last token too is a step too many, not a mistake
    read = observed["positions read"]
    return observed | {"positions read": read - 1 if read == tokens.shape[1] + n else read}


@ex.alternative(of="generate")
def token_by_token(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    finished = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        logits = model(tokens[:, -n_ctx:])
        new = logits[:, -1].argmax(dim=-1)
        if eos is not None:
            new = torch.where(finished, eos, new)
            finished = finished | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


@ex.alternative(of="generate")
def row_after_row(model, tokens, n, eos=None):
    rows = []
    for row in tokens.tolist():
        end = len(row) + n
        while len(row) < end:
            seen = torch.tensor([row[-len(model.pos_embed.W_pos) :]])
            row.append(int(model(seen)[0, -1].argmax()))
            if row[-1] == eos:
                row += [eos] * (end - len(row))
        rows.append(row)
    return torch.tensor(rows)


@ex.alternative(of="forward_with_cache")
def layer_by_layer(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    total = past + tokens.shape[1]
    hidden = torch.arange(total) > torch.arange(past, total)[:, None]
    x = model.embed(tokens) + model.pos_embed.W_pos[past:total]
    for layer, block in enumerate(model.blocks):
        attn, normed = block.attn, block.ln1(x)
        q = einsum(normed, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(normed, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(normed, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(hidden, -math.inf).softmax(dim=-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, attn.W_O, "b q h e, h e d -> b q d") + attn.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


@ex.alternative(of="forward_with_cache")
def with_torch_attention(model, tokens, cache):
    new = tokens.shape[1]
    past = cache[0][0].shape[1] if 0 in cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[torch.arange(past, past + new)]
    seen = torch.ones(past + new, past + new).tril().bool()[-new:]
    for layer, block in enumerate(model.blocks):
        normed = block.ln1(x)[:, None]
        a = block.attn
        q, k, v = (normed @ W + b[:, None] for W, b in ((a.W_Q, a.b_Q), (a.W_K, a.b_K), (a.W_V, a.b_V)))
        k, v = rearrange(k, "b h s e -> b s h e"), rearrange(v, "b h s e -> b s h e")
        before = cache.get(layer, (k[:, :0], v[:, :0]))
        cache[layer] = (torch.cat([before[0], k], 1), torch.cat([before[1], v], 1))
        k, v = (t.transpose(1, 2) for t in cache[layer])
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x + (z @ a.W_O).sum(1) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


@ex.alternative(of="generate_with_cache")
def prompt_then_one_at_a_time(forward, model, tokens, n):
    cache = {}
    logits = forward(model, tokens, cache)
    for step in range(n):
        new = logits[:, -1].argmax(dim=-1, keepdim=True)
        tokens = torch.cat([tokens, new], dim=1)
        if step < n - 1:
            logits = forward(model, new, cache)
    return tokens


@ex.alternative(of="generate_with_cache")
def reads_the_last_one_too(forward, model, tokens, n):
    cache, new = {}, [tokens]
    logits = forward(model, tokens, cache)
    for _ in range(n):
        new.append(logits[:, -1:].argmax(-1))
        logits = forward(model, new[-1], cache)
    return torch.cat(new, dim=1)


ex.slip(
    "reads_position_0",
    "The next token was taken from position 0, which is about the second token of the text. Take the last position's logits: [:, -1].",
    "logits[:, -1]",
    "logits[:, 0]",
    of="generate",
)
ex.slip(
    "crops_the_wrong_end",
    "Of a long text the first n_ctx tokens were given to the model, so it never sees what it has just written. Give it the last ones: "
    "tokens[:, -n_ctx:].",
    "tokens[:, -n_ctx:]",
    "tokens[:, :n_ctx]",
    of="generate",
)
ex.slip(
    "never_crops",
    "The text has become longer than the model has positions (n_ctx). Give it the last n_ctx tokens: tokens[:, -n_ctx:].",
    "model(tokens[:, -n_ctx:])",
    "model(tokens)",
    of="generate",
)
ex.slip(
    "forgets_the_beginning",
    "The text was cut to n_ctx tokens for good, so its beginning is missing from the result. Cut only what the model reads.",
    "logits = model(tokens[:, -n_ctx:])",
    "tokens = tokens[:, -n_ctx:]\n        logits = model(tokens)",
    of="generate",
)
ex.slip(
    "bos_again_each_step",
    "A BOS was put in front of the text again at every step. The prompt has its own; every further one shifts all positions by one.",
    "model(tokens[:, -n_ctx:])",
    "model(F.pad(tokens, (1, 0))[:, -n_ctx:])",
    of="generate",
)
ex.slip(
    "one_too_few",
    "One token is missing: n new ones were asked for.",
    "range(n)",
    "range(n - 1)",
    of="generate",
)
ex.slip(
    "one_too_many",
    "There is one token too many: n new ones were asked for.",
    "range(n)",
    "range(n + 1)",
    of="generate",
)
ex.slip(
    "one_rows_eos_stops_the_batch",
    "When one text ended, all stopped. The others go on; the one that has ended is filled up with eos.",
    "        tokens = torch.cat([tokens, new[:, None]], dim=1)\n",
    "        tokens = torch.cat([tokens, new[:, None]], dim=1)\n        if finished.any():\n            break\n",
    of="generate",
)
ex.slip(
    "shorter_when_all_have_ended",
    "It stopped when every text had ended, so columns are missing. Stopping saves work, but the result has n new columns: fill up with eos.",
    "        tokens = torch.cat([tokens, new[:, None]], dim=1)\n",
    "        tokens = torch.cat([tokens, new[:, None]], dim=1)\n        if finished.all():\n            break\n",
    of="generate",
)
ex.slip(
    "goes_on_after_eos",
    "A text that had ended was continued. After its eos there is nothing but eos.",
    "torch.where(finished, eos, new)",
    "new",
    of="generate",
)
ex.slip(
    "eos_of_the_prompt_counts",
    "A prompt that contains eos was taken for finished. GPT-2's texts begin with that very token; only a new one ends the text.",
    "torch.zeros(len(tokens), dtype=torch.bool)",
    "(tokens == eos).any(dim=1) if eos is not None else None",
    of="generate",
)
ex.slip(
    "new_tokens_only",
    "Only the new tokens came back. The prompt is part of the result.",
    "return tokens",
    "return tokens[:, -n:]",
    of="generate",
)
ex.slip(
    "least_likely",
    "The least likely token was taken each time: argmin for argmax.",
    "argmax",
    "argmin",
    of="generate",
)
ex.slip(
    "samples",
    "The tokens were drawn at random. Here the most likely one is taken, so that the result can be compared; sampling is 01.12.",
    "logits[:, -1].argmax(dim=-1)",
    "torch.multinomial(logits[:, -1].softmax(dim=-1), 1)[:, 0]",
    of="generate",
)
ex.slip(
    "positions_start_again",
    "The new tokens got the position embeddings from 0 on, as if they began the text. They stand behind the past: W_pos[past : past + s].",
    "model.pos_embed.W_pos[past:total]",
    "model.pos_embed.W_pos[: tokens.shape[1]]",
    of="forward_with_cache",
)
ex.slip(
    "position_one_too_late",
    "The positions of the new tokens are one too large: with `past` tokens before it, the first new one stands at position past, because counting "
    "starts at 0.",
    "model.pos_embed.W_pos[past:total]",
    "model.pos_embed.W_pos[past + (past > 0) : total + (past > 0)]",
    of="forward_with_cache",
)
ex.slip(
    "wrong_triangle",
    "The mask took the new tokens for the first positions, so that they do not see most of the past. Query i stands at past + i, and sees every key "
    "up to there.",
    "torch.arange(past, total)[:, None]",
    "torch.arange(total - past)[:, None]",
    of="forward_with_cache",
)
ex.slip(
    "no_mask",
    "There is no mask. One new token may see everything, but several new ones must not see each other's future.",
    "scores.masked_fill(hidden, -math.inf)",
    "scores",
    of="forward_with_cache",
)
ex.slip(
    "past_forgotten",
    "The cache was replaced by the new tokens' keys and values: what lies further back is lost. Store old and new together.",
    "cache[layer] = (k, v)",
    "cache[layer] = (k[:, past:], v[:, past:])",
    of="forward_with_cache",
)
ex.slip(
    "nothing_stored",
    "The cache was read but nothing was stored in it: it must be changed in place, cache[layer] = ...",
    "        cache[layer] = (k, v)\n",
    "",
    of="forward_with_cache",
)
ex.slip(
    "past_not_used",
    "The keys and values were stored but not used: the new tokens attend to themselves alone.",
    "cache[layer] = (k, v)",
    "cache[layer] = (k, v)\n        k, v = k[:, past:], v[:, past:]",
    "masked_fill(hidden, -math.inf)",
    "masked_fill(hidden[:, past:], -math.inf)",
    of="forward_with_cache",
)
ex.slip(
    "new_before_old",
    "The new keys and values were put in front of the old ones. Row i of the cache belongs to position i: the new ones go behind.",
    "torch.cat([cache[layer][0], k], dim=1)",
    "torch.cat([k, cache[layer][0]], dim=1)",
    "torch.cat([cache[layer][1], v], dim=1)",
    "torch.cat([v, cache[layer][1]], dim=1)",
    of="forward_with_cache",
)
ex.slip(
    "values_for_keys",
    "Keys and values changed places in the cache: it is (keys, values).",
    "cache[layer] = (k, v)",
    "cache[layer] = (v, k)",
    of="forward_with_cache",
)
ex.slip(
    "one_layer_for_all",
    "All layers share one entry of the cache, so that each reads the keys of another. Every layer has its own.",
    "cache[layer] = (k, v)",
    "cache[0] = cache[1] = (k, v)",
    "if layer in cache:",
    "if past:",
    of="forward_with_cache",
)
ex.slip(
    "last_position_only",
    "Only the last position's logits came back. All new tokens have some: (b, s, v).",
    "model.ln_final(x)",
    "model.ln_final(x[:, -1:])",
    of="forward_with_cache",
)
ex.slip(
    "cache_recomputed",
    "The tokens are right, but the whole text was read again for every new token: count the positions. Once the prompt is in the cache, feed only the "
    "newest token.",
    "logits = forward(model, new, cache)",
    "logits = forward(model, tokens, {})",
    of="generate_with_cache",
)
ex.slip(
    "whole_text_into_the_cache",
    "The whole text was fed into a cache that holds it already, so the model sees it twice. Feed only the newest token.",
    "logits = forward(model, new, cache)",
    "logits = forward(model, tokens, cache)",
    of="generate_with_cache",
)
ex.slip(
    "cache_thrown_away",
    "Every step began with an empty cache, so the newest token had no past. Keep one cache and pass the same each time.",
    "logits = forward(model, new, cache)",
    "logits = forward(model, new, {})",
    of="generate_with_cache",
)
ex.slip(
    "first_positions_logits",
    "The next token was taken from the first of the new positions. For the prompt that is position 0: take the last, [:, -1].",
    "logits[:, -1]",
    "logits[:, 0]",
    of="generate_with_cache",
)
ex.slip(
    "cached_one_too_few",
    "With the cache one token is missing: the logits of the prompt give the first new token already, before any further reading.",
    "range(n)",
    "range(n - 1)",
    of="generate_with_cache",
)
ex.slip(
    "cached_new_tokens_only",
    "With the cache only the new tokens came back. The prompt is part of the result.",
    "return tokens",
    "return tokens[:, -n:]",
    of="generate_with_cache",
)
