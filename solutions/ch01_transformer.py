"""Chapter 01, The transformer from scratch.

Axes: b batch, s positions (q queries, k keys), d d_model, h heads, e d_head, m d_mlp, v d_vocab. Everywhere below,
cfg.d_model, cfg.n_heads, cfg.d_head, cfg.d_mlp, cfg.n_ctx, cfg.d_vocab and cfg.eps hold the sizes of these axes.
"""

import math

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cleanlens import HookedTransformerConfig


class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.1
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """(x - mean) / sqrt(variance + eps) * w + b, each vector of length d by itself.

        x stays as it is. Its mean may be large beside its spread. Gradients reach w and b.
        """
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.square().mean(dim=-1, keepdim=True)
        return centred / (variance + self.eps).sqrt() * self.w + self.b


class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    # exercise 01.2
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        """The row of W_E that belongs to each token. Gradients reach W_E."""
        return self.W_E[tokens]


class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    # exercise 01.3
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        """The row of W_pos for each position of the tokens, counted from 0; the same for every row of the batch.

        Gradients reach W_pos.
        """
        batch, length = tokens.shape
        return self.W_pos[:length].expand(batch, -1, -1)


# exercise 01.4
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    """A copy of the scores with -inf (or what is as good: -1e9 or lower) wherever a query would see a later key.

    The queries are the last q of the k positions. So in a square matrix query i is position i; and with one
    query and four keys, that query is position 3 and sees all four.
    """
    n_queries, n_keys = scores.shape[-2:]
    future = torch.ones(n_queries, n_keys, dtype=torch.bool, device=scores.device)
    return scores.masked_fill(future.triu(diagonal=1 + n_keys - n_queries), -math.inf)


# exercise 01.5
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    """softmax(q · k / sqrt(e)) over the keys that each query may see (itself and those before it).

    Scores may be in the hundreds. q and k stay as they are.
    """
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(diagonal=1)
    return scores.masked_fill(future, -math.inf).softmax(dim=-1)


class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    # exercise 01.6
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """Every head's q, k, v = x W + b; z = pattern · v; the heads' z W_O added up, plus b_O once.

        The pattern is that of 01.5: call your attention_pattern, or write its lines here. Gradients reach all weights.
        """
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        z = einsum(attention_pattern(q, k), v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.7
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """gelu_new(x W_in + b_in) W_out + b_out.

        gelu_new(x) = x/2 · (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))), GPT-2's GELU, for x of any size. Gradients reach
        all weights.
        """
        return F.gelu(x @ self.W_in + self.b_in, approximate="tanh") @ self.W_out + self.b_out


class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    # exercise 01.8
    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """Add attn(ln1(...)) of the stream to the stream, then mlp(ln2(...)) of the new stream to that.

        Nothing is overwritten: whoever kept the stream as it was before or between, or what a part returned, still
        finds it unchanged.
        """
        resid_mid = resid_pre + self.attn(self.ln1(resid_pre))
        return resid_mid + self.mlp(self.ln2(resid_mid))


class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    # exercise 01.9
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        """The logits for the token after each position."""
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = block(resid)
        return self.ln_final(resid) @ self.W_U + self.b_U


# exercise 01.10
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    """-log p(next token), in nats, at every position that has a next token. Logits may be in the hundreds."""
    log_probs = logits[:, :-1].log_softmax(dim=-1)
    return -log_probs.gather(dim=-1, index=tokens[:, 1:, None])[..., 0]


# exercise 01.11
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    """One step of gradient descent on a batch (tokens, mask); returns the loss before the step as a float.

    The mask is True where a token is real; the padding is on the right. The loss is the mean of -log p(next
    token) over the predictions of real tokens: those whose next token is real, at least one. model(tokens) gives
    logits. The model comes without gradients, and those of one step do
    not count in the next.
    """
    tokens, mask = batch
    log_probs = model(tokens)[:, :-1].log_softmax(dim=-1)
    per_token = -log_probs.gather(dim=-1, index=tokens[:, 1:, None])[..., 0]
    mean = per_token[mask[:, 1:]].mean()
    optimizer.zero_grad()
    mean.backward()
    optimizer.step()
    return mean.item()


# exercise 01.12
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    """The exact probabilities that the next token is drawn from; logits stay as they are.

    First the logits are divided by the temperature; temperature 0 gives one token, the most likely, probability 1.
    Then top_k >= 1 keeps the k most likely tokens (all of them, if there are fewer). Then top_p, from what is left
    and adds up to 1 again, keeps the smallest set of most likely tokens whose probability reaches p, 0 < p <= 1.
    What is left adds up to 1. Of equally likely tokens it is free which are kept, but not how many.
    """
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    ordered, order = (logits / temperature).sort(descending=True)
    probs = ordered[:top_k].softmax(dim=-1)
    if top_p is not None:
        before = probs.cumsum(dim=-1) - probs  # how much the tokens ahead of each one hold
        probs = probs * (before < top_p)
    kept = torch.zeros_like(logits)
    kept[order[:top_k]] = probs / probs.sum()
    return kept


# exercise 01.13
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    """Add the most likely next token, n >= 0 times; the prompt is part of the result.

    The model reads at most n_ctx = len(model.pos_embed.W_pos) tokens: of a longer text give it the last n_ctx. A row
    that has produced `eos` is finished and filled up with eos, while the others go on; all n columns are always
    there. An eos in the prompt finishes nothing: GPT-2 begins every text with that token.
    """
    n_ctx = len(model.pos_embed.W_pos)
    finished = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = torch.where(finished, eos, new)
            finished = finished | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


# exercise 01.13
def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    """The logits at these tokens, which continue the text in the cache; only these tokens are read.

    cache[layer] = (keys, values), each "b past h e", of all tokens before; it is {} before the first. Afterwards it
    holds those of these tokens as well. There can be several new tokens: they see the past, and each other
    causally. The parts are model.embed, .pos_embed, .blocks[i].ln1, .attn, .ln2, .mlp, .ln_final, .W_U, .b_U.
    """
    past = cache[0][0].shape[1] if cache else 0
    total = past + tokens.shape[1]
    query = torch.arange(past, total, device=tokens.device)[:, None]
    future = torch.arange(total, device=tokens.device)[None, :] > query
    resid = model.embed(tokens) + model.pos_embed.W_pos[past:total]
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if layer in cache:
            k, v = (torch.cat(pair, dim=1) for pair in zip(cache[layer], (k, v)))
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(future, -math.inf).softmax(dim=-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b q h e, h e d -> b q d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


# exercise 01.13
def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    """As generate without eos, but every token is read once: forward(model, new_tokens, cache) -> logits.

    `forward` is forward_with_cache, yours or the course's. Prompt and new tokens fit into n_ctx. The last new token
    need not be read.
    """
    cache: dict[int, tuple[Tensor, Tensor]] = {}
    unread = tokens
    for _ in range(n):
        unread = forward(model, unread, cache)[:, -1:].argmax(dim=-1)
        tokens = torch.cat([tokens, unread], dim=1)
    return tokens
