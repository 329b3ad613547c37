"""What the checks of chapter 01 share."""

import functools
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer


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
    from ...catalog import entries
    from ...notebook import _grade_and_load

    [entry] = [entry for entry in entries("01") if name in entry.names]
    result, space = _grade_and_load(entry, names)
    usable = result.passed and not result.lent  # what calls a wrong one is right, and yet no part of a model
    return result, space[name.removesuffix(".forward")] if usable else None


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
            why = result.note if result.lent else result.hint or result.message
            report.append(
                f"{result.id} {name}: {result.status}{f' ({why})' if why else ''}; the course's is used"
            )
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


def used_before(module, x):
    """The module, after it has read fewer positions and more rows: what it keeps of them shows in what it reads next."""
    fewer = 2 if x.shape[1] > 2 else 1  # not 1 of many: a mask for one position hides nothing in any text
    with torch.no_grad():
        for other in (x[:, :fewer].clone(), torch.cat([x, x])):
            module(other)
    return module


def out_of_reach(module, out):
    """The names of a module's parameters that no gradient reaches from its output, or "none"."""
    names, parameters = zip(*module.named_parameters())
    if not isinstance(out, torch.Tensor) or not out.requires_grad:
        return ", ".join(names)
    gradients = torch.autograd.grad(out.sum(), parameters, allow_unused=True)
    return ", ".join(name for name, gradient in zip(names, gradients) if gradient is None) or "none"


NO_GRADIENT = "weights that no gradient reaches"
"""The key under which `out_of_reach` is reported."""
