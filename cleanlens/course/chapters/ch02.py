"""Chapter 02, Caching and logit attribution: what one run leaves behind, and how to read the residual stream."""

import functools
import math
from itertools import pairwise

import torch
from torch import nn

from cleanlens import ActivationCache, HookedTransformer, HookedTransformerConfig
from cleanlens.components.layer_norm import LayerNorm
from cleanlens.hook_points import HookedRootModule, HookPoint

from ..exercise import Chapter
from ..plain import Raised, attempt

chapter = Chapter("02", "caching", "Caching and logit attribution")

SIZES = dict(n_layers=3, n_heads=4, d_head=6, d_model=10, d_mlp=11, d_vocab=17, n_ctx=9)
BATCH, POS = 2, 5


def tiny_model(seed, dtype=torch.float32, attn_only=False, **changes):
    """A model with weights of order 1, biases that are not 0, gains away from 1, and every size another one."""
    sizes = SIZES | changes
    if attn_only:
        del sizes["d_mlp"]
    act_fn = None if attn_only else "gelu_new"
    cfg = HookedTransformerConfig(
        **sizes, act_fn=act_fn, attn_only=attn_only, init_weights=False, device="cpu", dtype=dtype
    )
    model = HookedTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    spread = {"W_Q": 0.3, "W_K": 0.3, "W_V": 0.5, "W_O": 0.5, "W_in": 0.5, "W_out": 0.5}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            leaf = name.rpartition(".")[2]
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(0.5 + 1.5 * torch.sigmoid(noise) if leaf == "w" else noise * spread.get(leaf, 1.0))
    return model.requires_grad_(False)


def random_tokens(seed, d_vocab=SIZES["d_vocab"]):
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randint(0, d_vocab, (BATCH, POS), generator=generator)


@functools.cache
def _run(seed, changes):
    """A tiny model, its weights as they were made, and what one run of it left."""
    model = tiny_model(seed, **dict(changes))
    _, cache = model.run_with_cache(random_tokens(seed))
    return model, {name: x.clone() for name, x in model.state_dict().items()}, dict(cache.items())


def tiny_cache(seed, keep=lambda name: True, **changes):
    """The activations of one run of a tiny model: copies, so that nobody can spoil the next one's."""
    model, weights, activations = _run(seed, tuple(changes.items()))
    if model.list_hooks() or not all(torch.equal(x, weights[n]) for n, x in model.state_dict().items()):
        _run.cache_clear()  # an answer has changed the model
        return tiny_cache(seed, keep, **changes)
    return ActivationCache({name: x.clone() for name, x in activations.items() if keep(name)}, model)


def watched(key, answer, cache, *args):
    """What an answer makes of a cache, under `key`, and the entries that it changed on the way."""
    before = {name: x.clone() for name, x in cache.items()}
    result = answer(cache, *args)
    changed = [name for name, x in before.items() if not torch.equal(x, cache.cache_dict.get(name, x[:0]))]
    return {key: result, "changed in the cache": changed}


# ---- 02.1 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "02.1",
    "run_with_cache",
    title="A cache out of hooks",
    objective="You can record any activation of a run with hooks, and leave the model as you found it.",
    minutes=20,
    difficulty=3,
    importance=4,
    source="The definition in chapter 02, section 1: the cache holds what each hook point passed on, as it was then.",
    hints=[
        "First decide which names are wanted; then attach one function to each of these hook points, run the model, "
        "and take exactly these functions away again. What happens when the run raises?",
        "A hook is called fn(activation, hook=point), and point.name is its name. Tensors are handed on by reference: "
        "two hook points often see the same tensor, and somebody else's hook may edit it in place.",
        "added = point.add_hook(save) gives you what point.discard(added) removes; put the discarding in a finally "
        "block. In save: cache[hook.name] = activation.detach().clone().",
    ],
    why="The whole of a cache is a dictionary and a function that writes into it. What makes it trustworthy is the rest: "
    "a copy, so that no later edit can change what was recorded; try/finally, so that a run that fails leaves no hook "
    "behind; and removing only what was added, because the other hooks are somebody's experiment.",
)


class Inner(nn.Module):
    """A part of `Toy`; its names end like those of the whole."""

    def __init__(self):
        super().__init__()
        self.hook_q_input = HookPoint()
        self.hook_q = HookPoint()

    def forward(self, x):
        return self.hook_q(self.hook_q_input(x * 3) + 1)


class Toy(HookedRootModule):
    """A model of five hook points, of which two see the same tensor."""

    def __init__(self, table):
        super().__init__()
        self.table = table
        self.hook_q = HookPoint()
        self.inner = Inner()
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.setup()

    def forward(self, tokens):
        x = self.hook_q(self.table[tokens])
        x = self.hook_pre(self.inner(x) - 2)
        x = self.hook_post(x)
        return x * 2

    def run_with_cache(self, *_, **__):
        raise TypeError("model.run_with_cache is what this exercise builds: use the hook points themselves")


def _halve(x, hook):
    x.mul_(-0.5)


def _any_q(name):
    return name.endswith("hook_q")


def _all(name):
    return True


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(7, 3, generator=generator)
    tokens = torch.randint(0, 7, (2, 4), generator=generator)
    too_large = tokens.clone()
    too_large[1, 2] = 50
    made = [
        (Toy(table), tokens, _all, None),
        (Toy(table), tokens, "hook_q", None),
        (Toy(table), tokens, _all, "hook_post"),  # somebody's own hook edits this one in place
        (Toy(table), too_large, _all, "hook_pre"),  # the run fails
        (tiny_model(seed, attn_only=True, n_layers=2), random_tokens(seed), _any_q, None),
    ]
    return [dict(zip(("model", "tokens", "names_filter", "edited"), case)) for case in made]


@ex.oracle
def _(model, tokens, names_filter, edited):
    left = {edited: 1} if edited else {}
    if isinstance(model, HookedTransformer):
        normed = _plain_queries(model, tokens)
        return {"result": (model(tokens), normed), "hooks afterwards": left}
    if tokens.max() >= len(model.table):
        return {"result": Raised(IndexError), "hooks afterwards": left}
    seen = {}
    seen["hook_q"] = torch.stack([torch.stack([model.table[t] for t in row]) for row in tokens.tolist()])
    seen["inner.hook_q_input"] = 3 * seen["hook_q"]
    seen["inner.hook_q"] = 3 * seen["hook_q"] + 1
    seen["hook_pre"] = 3 * seen["hook_q"] - 1
    seen["hook_post"] = seen["hook_pre"] * (-0.5 if edited == "hook_post" else 1)
    output = 2 * seen["hook_post"]
    wanted = {name: x for name, x in seen.items() if names_filter == name or names_filter is _all}
    return {"result": (output, wanted), "hooks afterwards": left}


def _plain_queries(model, tokens):
    """The queries of every layer, from the residual stream that enters it (runs of the first layers only)."""
    queries = {}
    for layer, block in enumerate(model.blocks):
        x = model(tokens, stop_at_layer=layer)
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + model.cfg.eps).sqrt() * block.ln1.w + block.ln1.b
        heads = [x @ W + b for W, b in zip(block.attn.W_Q, block.attn.b_Q)]
        queries[f"blocks.{layer}.attn.hook_q"] = torch.stack(heads, dim=2)
    return queries


@ex.call
def _(answer, model, tokens, names_filter, edited):
    if edited:
        model.add_hook(edited, _halve)
    result = attempt(answer, model, tokens, names_filter)
    left = {name: len(hooks) for name, hooks in model.list_hooks().items()}
    return {"result": result, "hooks afterwards": left}


@ex.alternative
def one_hook_for_all(model, tokens, names_filter):
    cache, added = {}, []

    def save(activation, hook):
        cache[hook.name] = activation.detach().clone()

    def wanted(name):
        return name == names_filter if isinstance(names_filter, str) else names_filter(name)

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                added.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, hook in added:
            point.discard(hook)
    return logits, cache


@ex.alternative
def through_the_context(model, tokens, names_filter):
    cache = {}
    pairs = [(names_filter, lambda x, hook: cache.update({hook.name: x.clone()}))]
    with model.hooks(fwd_hooks=pairs):
        return model(tokens), cache


@ex.alternative
def through_run_with_hooks(model, tokens, names_filter):
    cache = {}
    names = [names_filter] if isinstance(names_filter, str) else filter(names_filter, model.hook_dict)

    def saver(name):
        def save(x, hook):
            cache[name] = x.detach().clone()
            return x

        return save

    logits = model.run_with_hooks(tokens, fwd_hooks=[(name, saver(name)) for name in names])
    return logits, cache


ex.slip(
    "stores_references",
    "What was stored is the tensor itself, and a later edit in place changed it: the entry before the edit now holds "
    "the value after it. Two hook points often hand on one and the same tensor. Store a copy (detach().clone(); "
    "detach alone still shares the memory).",
    "activation.detach().clone()",
    "activation.detach()",
)
ex.slip(
    "stores_before_the_edit",
    "Your hook ran before the hook that was already there, so the cache holds a value that the rest of the model never "
    "saw. Attach it after the others: the cache shows what was passed on.",
    "point.add_hook(save)",
    "point.add_hook(save, prepend=True)",
)
ex.slip(
    "hooks_stay_after_an_exception",
    "The run failed, and your hooks stayed on the model: its next run will fill a cache that nobody holds. Remove them "
    "in a finally block.",
    "    try:\n",
    "    if True:\n",
    "    finally:\n",
    "    if True:\n",
)
ex.slip(
    "hooks_stay",
    "Your hooks are still on the model after a run that went well. Every later run would go on writing to this cache.",
    "            point.discard(hook)",
    "            pass",
)
ex.slip(
    "removes_others_hooks",
    "Hooks that were on the model before the call are gone. They are somebody's experiment: remove only what you added, "
    "not everything (reset_hooks does that).",
    "        for point, hook in added:\n            point.discard(hook)",
    "        model.reset_hooks()",
)
ex.slip(
    "loose_filter",
    "The name was matched by its ending, so 'hook_q' also let 'inner.hook_q' in. A name given as text is a whole name: "
    "compare with ==. Who wants a pattern gives a function.",
    "name == names_filter",
    "name.endswith(names_filter)",
)
ex.slip(
    "filter_matches_a_part",
    "The name was matched anywhere inside the others: 'hook_q' is also a part of 'inner.hook_q' and of "
    "'inner.hook_q_input' (as 'blocks.1' is of 'blocks.10'). A name given as text is a whole name: compare with ==.",
    "name == names_filter",
    "names_filter in name",
)
ex.slip(
    "ignores_the_filter",
    "Everything was stored, whatever names_filter says. On a real model that is gigabytes.",
    "            if wanted(name):",
    "            if True:",
)
ex.slip(
    "cache_first",
    "The two results are in the wrong order: first what the model returned, then the cache.",
    "return logits, cache",
    "return cache, logits",
)


@ex.mistake(
    "Only one entry came out, under the last name. A function made in a loop looks its variables up when it is called, "
    "and by then the loop is over. Use hook.name, which the hook is given, or bind the name as a default argument."
)
def late_binding(model, tokens, names_filter):
    cache, added = {}, []
    try:
        for name, point in model.hook_dict.items():
            if name == names_filter if isinstance(names_filter, str) else names_filter(name):
                last = name
                save = lambda x, hook: cache.update({last: x.clone()})  # noqa: B023, E731
                added.append((point, point.add_hook(save)))
        return model(tokens), cache
    finally:
        for point, hook in added:
            point.discard(hook)


@ex.mistake(
    "That is the library's own run_with_cache. It will be yours to use from now on; here, build it once yourself from "
    "model.hook_dict and the hook points' add_hook and discard."
)
def calls_the_library(model, tokens, names_filter):
    return model.run_with_cache(tokens, names_filter=names_filter)


# ---- 02.2 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "02.2",
    "recompute_pattern",
    title="From queries and keys to the pattern",
    objective="You can compute an attention pattern again from cached activations, and so check that you know what "
    "each of them is.",
    minutes=10,
    difficulty=2,
    importance=3,
    source="Vaswani et al. (2017), Attention Is All You Need, section 3.2.1, with the causal mask of section 3.2.3.",
    hints=[
        "cache['q', layer] and cache['k', layer] have the axes batch, position, head, d_head. The pattern has batch, "
        "head, query, key.",
        "Scores are dot products over d_head divided by the root of d_head; keys after the query get -inf before the "
        "softmax; the softmax runs over the keys.",
        "einsum(q, k, 'b q h e, b k h e -> b h q k') / q.shape[-1] ** 0.5; then masked_fill with "
        "torch.triu(torch.ones(s, s, dtype=torch.bool), 1), then softmax(-1).",
    ],
    why="Recomputing one cached activation from others is the cheapest test of one's understanding: names, axes, "
    "scaling and masking all have to be right at once for the numbers to agree.",
)


def _q_or_k(name):
    return name.endswith(("hook_q", "hook_k"))


@ex.inputs
def _(seed):
    return [{"cache": tiny_cache(seed, _q_or_k), "layer": layer} for layer in (1, 0, 2)]


@ex.oracle
def _(cache, layer):
    q, k = cache.cache_dict[f"blocks.{layer}.attn.hook_q"], cache.cache_dict[f"blocks.{layer}.attn.hook_k"]
    batch, length, n_heads, d_head = q.shape
    pattern = torch.zeros(batch, n_heads, length, length)
    for b in range(batch):
        for h in range(n_heads):
            for i in range(length):
                dots = [sum((q[b, i, h] * k[b, j, h]).double().tolist()) for j in range(i + 1)]
                weights = [math.exp((dot - max(dots)) / math.sqrt(d_head)) for dot in dots]
                for j, weight in enumerate(weights):
                    pattern[b, h, i, j] = weight / sum(weights)
    return {"pattern": pattern, "changed in the cache": []}


@ex.call
def _(answer, cache, layer):
    return watched("pattern", answer, cache, layer)


@ex.alternative
def einsum_then_mask(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    d_head = q.shape[-1]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / d_head**0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    scores = scores.masked_fill(future, float("-inf"))
    return scores.softmax(dim=-1)


@ex.alternative
def matmul_then_where(cache, layer):
    q, k = (cache[name, layer].transpose(1, 2) for name in "qk")
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    s = scores.shape[-1]
    allowed = torch.tril(torch.ones(s, s)) == 1
    return torch.where(allowed, scores, torch.tensor(-1e9)).softmax(-1)


ex.slip(
    "no_scale",
    "The scores were not divided by the root of d_head. They are too large, and every row is too sure of itself.",
    " / d_head**0.5",
    "",
)
ex.slip(
    "root_of_d_model",
    "The scores were divided by the root of d_model. The dot product runs over d_head numbers, so its spread grows with "
    "d_head.",
    "d_head = q.shape[-1]",
    "d_head = cache.model.cfg.d_model",
)
ex.slip(
    "root_of_all_heads",
    "The scores were divided by the root of n_heads * d_head. Each head has a dot product of its own, over d_head "
    "numbers.",
    "d_head = q.shape[-1]",
    "d_head = q.shape[-1] * q.shape[-2]",
)
ex.slip(
    "root_of_n_heads",
    "The scores were divided by the root of the number of heads: axis -2 of q. d_head is the last axis.",
    "d_head = q.shape[-1]",
    "d_head = q.shape[-2]",
)
ex.slip(
    "divided_by_d_head",
    "The scores were divided by d_head itself. A sum of d_head products of unit spread has a spread of the root of "
    "d_head; dividing by d_head flattens every pattern.",
    "d_head**0.5",
    "d_head",
)
ex.slip(
    "multiplied_by_the_root",
    "The scores were multiplied by the root of d_head instead of divided.",
    "/ d_head**0.5",
    "* d_head**0.5",
)
ex.slip(
    "no_mask",
    "Positions look at later ones: the causal mask is missing.",
    '    scores = scores.masked_fill(future, float("-inf"))\n',
    "",
)
ex.slip(
    "mask_flipped",
    "The mask hides the past and shows the future. A query at i may see the keys up to i.",
    ".triu(1)",
    ".tril(-1)",
)
ex.slip(
    "diagonal_masked",
    "A position may look at itself; your mask forbids it, and the first position then has nothing at all to look at: "
    "a softmax of nothing but -inf is NaN. The mask begins one above the diagonal.",
    ".triu(1)",
    ".triu(0)",
)
ex.slip(
    "zeros_for_minus_infinity",
    "Masked scores were set to 0. That is not nothing: exp(0) = 1, more than many a visible key gets. Use -inf.",
    'float("-inf")',
    "0.0",
)
ex.slip(
    "softmax_over_queries",
    "The softmax ran over the queries. Every query shares out one unit of attention among its keys: the last axis.",
    "softmax(dim=-1)",
    "softmax(dim=-2)",
)
ex.slip(
    "softmax_over_heads",
    "The softmax ran over the heads. Heads do not compete with each other; the keys of one query do.",
    "softmax(dim=-1)",
    "softmax(dim=1)",
)
ex.slip(
    "queries_and_keys_swapped",
    "Queries and keys have changed places: row i holds what key i makes of all queries.",
    'bqhe,bkhe->bhqk", q, k',
    'bqhe,bkhe->bhqk", k, q',
)
ex.slip(
    "masked_after_softmax",
    "The mask came after the softmax, so the rows no longer sum to 1: what the future got is lost. Mask the scores with "
    "-inf before the softmax.",
    'scores = scores.masked_fill(future, float("-inf"))\n    return scores.softmax(dim=-1)',
    "return scores.softmax(dim=-1).masked_fill(future, 0.0)",
)
ex.slip(
    "returns_the_scores",
    "These are the scores, before the softmax.",
    "return scores.softmax(dim=-1)",
    "return scores",
)
ex.slip(
    "first_layer_only",
    "It takes layer 0 whatever layer is asked for.",
    'q, k = cache["q", layer], cache["k", layer]',
    'q, k = cache["q", 0], cache["k", 0]',
)
ex.slip(
    "scales_the_cache",
    "The pattern is right, but the division was done in place and changed the queries in the cache. The next one who "
    "reads them gets something else.",
    "    scores = torch",
    "    q /= d_head**0.5\n    scores = torch",
    " / d_head**0.5\n    future",
    "\n    future",
)


# ---- 02.3 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "02.3",
    "head_results",
    title="What each head writes",
    objective="You can split the output of an attention layer into one vector per head.",
    minutes=10,
    difficulty=2,
    importance=4,
    source="Elhage et al. (2021), A Mathematical Framework for Transformer Circuits, 'Attention Heads are Independent "
    "and Additive'. Identity: the sum over heads plus b_O is attn_out.",
    hints=[
        "cache['z', layer] is batch, position, head, d_head; cache.model.blocks[layer].attn.W_O is head, d_head, "
        "d_model. Which axis is summed, and which is kept?",
        "Every head has its own W_O, so head is on both sides and stays: 'b s h e, h e d -> b s h d'. b_O is added once "
        "per layer by nobody in particular, so it is in no head's result.",
    ],
    why="In the usual picture the heads' outputs are concatenated and multiplied by one large matrix. Cut that matrix "
    "into its rows per head and the product becomes a sum of products: each head writes to the residual stream on its "
    "own. The bias b_O belongs to the layer; sharing it out among heads would give each of them a voice it has not.",
)


def _attention(name):
    return name.rpartition(".")[2] in ("hook_v", "hook_pattern", "hook_z", "hook_attn_out")


@ex.inputs
def _(seed):
    return [{"cache": tiny_cache(seed, _attention), "layer": layer} for layer in (2, 0)]


@ex.oracle
def _(cache, layer):
    attn, z = cache.model.blocks[layer].attn, cache.cache_dict[f"blocks.{layer}.attn.hook_z"]
    batch, length, n_heads, _ = z.shape
    result = torch.zeros(batch, length, n_heads, attn.W_O.shape[-1])
    for b in range(batch):
        for s in range(length):
            for h in range(n_heads):
                result[b, s, h] = sum(z[b, s, h, e] * attn.W_O[h, e] for e in range(z.shape[-1]))
    return {"results": result, "changed in the cache": []}


@ex.call
def _(answer, cache, layer):
    return watched("results", answer, cache, layer)


@ex.alternative
def one_einsum(cache, layer):
    attn = cache.model.blocks[layer].attn
    z, W_O = cache["z", layer], attn.W_O
    results = torch.einsum("bshe,hed->bshd", z, W_O)
    return results


@ex.alternative
def head_by_head(cache, layer):
    z, W_O = cache["z", layer], cache.model.W_O[layer]
    return torch.stack([z[:, :, h] @ W_O[h] for h in range(z.shape[2])], dim=2)


@ex.alternative
def batched_product(cache, layer):
    z, W_O = cache["z", layer], cache.model.W_O[layer]
    return (z[..., None, :] @ W_O)[..., 0, :]


ex.slip(
    "sums_the_heads",
    "The heads were summed: that is attn_out without its bias. Keep the axis of heads.",
    "->bshd",
    "->bsd",
)
ex.slip(
    "sums_over_d_model_too_early",
    "The axis of heads is there but every head has the sum of all heads. Head must be summed nowhere: it stands in both "
    "inputs and in the output.",
    "    return results",
    "    return results.sum(2, keepdim=True).repeat(1, 1, len(W_O), 1)",
)
ex.slip(
    "adds_the_bias_per_head",
    "b_O was added to every head, so the sum over heads holds it n_heads times. It is added once per layer and belongs "
    "to no head.",
    "return results",
    "return results + attn.b_O",
)
ex.slip(
    "shares_the_bias_out",
    "b_O was shared out: each head got an equal part. The sum is right, but what you call the head's output now holds "
    "something that no head computed. Leave the bias out; it is a component of its own.",
    "return results",
    "return results + attn.b_O / len(W_O)",
)
ex.slip(
    "values_for_z",
    "The values v were taken for z. v is what each position would send; z is what arrives, the values weighted by the "
    "attention pattern.",
    'cache["z", layer]',
    'cache["v", layer]',
)
ex.slip(
    "positions_scrambled",
    "The shape is right but heads and positions are mixed: the product came out as batch, head, position, d_model and "
    "was reshaped. reshape keeps the order of the numbers and only cuts them anew; to swap axes use transpose, permute "
    "or einsum's output order.",
    "->bshd",
    "->bhsd",
    "return results",
    "return results.reshape(*z.shape[:3], -1)",
)
ex.slip(
    "axes_swapped",
    "Heads come before positions. The order is batch, position, head, d_model, as for z.",
    "->bshd",
    "->bhsd",
)
ex.slip(
    "heads_paired_wrongly",
    "Every head was multiplied by another head's W_O. The axis of heads in z and the one in W_O are the same axis.",
    "z, W_O)",
    "z, W_O.flip(0))",
)
ex.slip(
    "averages_the_heads",
    "Each head was divided by the number of heads. Heads add up; they are not averaged.",
    "return results",
    "return results / len(W_O)",
)
ex.slip(
    "last_layer_weights",
    "z is of the right layer but W_O is the last layer's.",
    "cache.model.blocks[layer]",
    "cache.model.blocks[0 if layer else -1]",
)


# ---- 02.4 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "02.4",
    "decompose_resid",
    title="The residual stream as a sum",
    objective="You can take the residual stream apart into everything that was written to it, with nothing left over.",
    minutes=15,
    difficulty=2,
    importance=5,
    source="Elhage et al. (2021), A Mathematical Framework for Transformer Circuits, 'Virtual Weights and the Residual "
    "Stream as a Communication Channel'. Identity: the components sum to the stream that enters the layer.",
    atol=1e-4,  # the stream of a model with weights of order 1 is long
    hints=[
        "Who writes to the stream before layer L reads it? The token embedding, the position embedding, and the attention "
        "and the MLP of every layer before L. Layer L itself only reads.",
        "cache['embed'], cache['pos_embed'], cache['attn_out', i] and cache['mlp_out', i], in the order in which they "
        "were written; models with cache.model.cfg.attn_only have no mlp_out.",
        "Build the list of labels and the list of tensors in the same loop over range(layer), then torch.stack.",
    ],
    why="Nothing in a transformer ever overwrites the residual stream; each part reads it and adds to it. So the stream "
    "at any point is exactly a sum with one term per part, and whatever reads it linearly can be accounted for term by "
    "term. Check such a decomposition by its sum, but remember that a sum does not see two terms swapped.",
)


@ex.inputs
def _(seed):
    full, attention = (lambda: tiny_cache(seed)), (lambda: tiny_cache(seed, attn_only=True, n_layers=2))
    return [
        {"cache": full(), "layer": 2},
        {"cache": full(), "layer": 0},
        {"cache": full(), "layer": 3},
        {"cache": attention(), "layer": 1},
        {"cache": attention(), "layer": 2},
    ]


@ex.oracle
def _(cache, layer):
    # What a part wrote is the difference that it made to the stream.
    stream, model = cache.cache_dict, cache.model
    length = stream["hook_embed"].shape[1]
    positions = torch.stack([model.pos_embed.W_pos[i] for i in range(length)])
    terms = {"embed": stream["blocks.0.hook_resid_pre"] - positions}
    terms["pos_embed"] = positions.expand_as(terms["embed"])
    for i in range(layer):
        pre, post = stream[f"blocks.{i}.hook_resid_pre"], stream[f"blocks.{i}.hook_resid_post"]
        mid = post if model.cfg.attn_only else stream[f"blocks.{i}.hook_resid_mid"]
        terms[f"{i}_attn_out"] = mid - pre
        if not model.cfg.attn_only:
            terms[f"{i}_mlp_out"] = post - mid
    stack = torch.stack(list(terms.values()))
    return {"result": (stack, list(terms)), "changed in the cache": []}


@ex.call
def _(answer, cache, layer):
    return watched("result", answer, cache, layer)


@ex.alternative
def a_loop_over_layers(cache, layer):
    names = [("embed", "embed"), ("pos_embed", "pos_embed")]
    for i in range(layer):
        names.append((f"{i}_attn_out", ("attn_out", i)))
        if not cache.model.cfg.attn_only:
            names.append((f"{i}_mlp_out", ("mlp_out", i)))
    labels = [label for label, _ in names]
    stack = torch.stack([cache[key] for _, key in names])
    return stack, labels


@ex.alternative
def by_hook_order(cache, layer):
    parts = ["hook_embed", "hook_pos_embed"]
    parts += [n for n in cache if n.endswith("_out") and int(n.split(".")[1]) < layer]
    labels = [p.replace("blocks.", "").replace(".", "_").replace("hook_", "") for p in parts]
    return torch.cat([cache[p][None] for p in parts]), labels


@ex.alternative
def with_the_bias_put_back(cache, layer):
    stack, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i, block in enumerate(cache.model.blocks[:layer]):
        heads = torch.einsum("bshe,hed->bsd", cache["z", i], block.attn.W_O)
        stack.append(heads + block.attn.b_O)
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            stack.append(cache["post", i] @ block.mlp.W_out + block.mlp.b_out)
            labels.append(f"{i}_mlp_out")
    return torch.stack(stack), labels


ex.slip(
    "omits_pos_embed",
    "The position embedding is missing. It is added to the stream at the start like the token embedding, and the sum is "
    "short of it.",
    'names = [("embed", "embed"), ("pos_embed", "pos_embed")]',
    'names = [("embed", "embed")]',
)
ex.slip(
    "omits_the_embeddings",
    "Both embeddings are missing. The stream does not begin at zero: the layers add to embed + pos_embed.",
    'names = [("embed", "embed"), ("pos_embed", "pos_embed")]',
    "names = []",
    "stack = torch.stack([cache[key] for _, key in names])",
    'stack = torch.stack([cache[key] for _, key in names]) if names else cache["embed"][None][:0]',
)
ex.slip(
    "embeddings_in_one",
    "Token and position embedding came as one component, the sum. They are two different writers: keep them apart.",
    'names = [("embed", "embed"), ("pos_embed", "pos_embed")]',
    'names = [("embed", ("resid_pre", 0))]',
)
ex.slip(
    "includes_its_own_layer",
    "What layer `layer` writes is included, but the stream that enters the layer does not hold it yet: range(layer) ends "
    "before it.",
    "range(layer)",
    "range(min(layer + 1, cache.model.cfg.n_layers))",
)
ex.slip(
    "stops_a_layer_early",
    "The last layer before `layer` is missing: with range(layer) the loop runs up to layer - 1, included.",
    "range(layer)",
    "range(layer - 1)",
)
ex.slip(
    "ignores_the_layer",
    "All layers are always included. Only those before `layer` have written when it reads.",
    "range(layer)",
    "range(cache.model.cfg.n_layers)",
)
ex.slip(
    "no_mlps",
    "The MLPs are missing. They write to the stream too.",
    "if not cache.model.cfg.attn_only:",
    "if False:",
)
ex.slip(
    "mlp_before_attention",
    "The MLP of a layer comes before its attention. The order is that in which they write: attention first, and the MLP "
    "has read what it wrote.",
    '        names.append((f"{i}_attn_out", ("attn_out", i)))\n',
    "",
    '            names.append((f"{i}_mlp_out", ("mlp_out", i)))\n',
    '            names.append((f"{i}_mlp_out", ("mlp_out", i)))\n'
    '        names.append((f"{i}_attn_out", ("attn_out", i)))\n',
)
ex.slip(
    "all_attention_first",
    "All attention layers come first, then all MLPs. The order is that in which they write: layer by layer.",
    "labels = [label",
    'names.sort(key=lambda n: ("mlp" in n[0], "attn" in n[0]))\n    labels = [label',
)
ex.slip(
    "stream_for_writings",
    "These are states of the stream, not what was written to it: resid_post holds everything so far, so that a sum over "
    "them counts the embedding again in every layer. attn_out and mlp_out are the differences.",
    '("attn_out", i)',
    '("resid_pre", i)',
    '("mlp_out", i)',
    '("resid_post", i)',
)
ex.slip(
    "labels_swapped",
    "The tensors are right but two labels have changed places: a sum cannot see that, a reader of the figure is misled.",
    "    labels = [label for label, _ in names]\n",
    "    labels = [label for label, _ in names]\n    labels[:2] = labels[1::-1]\n",
)
ex.slip(
    "writings_swapped",
    "The attention's component stands under the MLP's label and the other way round. The sum is right all the same: "
    "that is why a decomposition is checked term by term.",
    '("attn_out", i)',
    '("attn_out" if cache.model.cfg.attn_only else "mlp_out", i)',
    '("mlp_out", i)',
    '("attn_out", i)',
)
ex.slip(
    "list_for_stack",
    "The components came as a list. Stack them into one tensor, components first: torch.stack(list).",
    "stack = torch.stack([cache[key] for _, key in names])",
    "stack = [cache[key] for _, key in names]",
)
ex.slip(
    "components_last",
    "The components are on the last axis. They come first: component, batch, position, d_model.",
    "for _, key in names])",
    "for _, key in names], dim=-1)",
)


@ex.mistake(
    "The biases are missing: the heads' results were summed, but attn_out also holds b_O (and mlp_out holds b_out). "
    "Your components do not add up to the stream."
)
def omits_the_biases(cache, layer):
    stack, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i, block in enumerate(cache.model.blocks[:layer]):
        stack.append(cache["attn_out", i] - block.attn.b_O)
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            stack.append(cache["mlp_out", i] - block.mlp.b_out)
            labels.append(f"{i}_mlp_out")
    return torch.stack(stack), labels


@ex.mistake(
    "The bias b_O is missing from the attention's component: the sum of the heads' results is attn_out only together "
    "with it."
)
def omits_the_attention_bias(cache, layer):
    stack, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i, block in enumerate(cache.model.blocks[:layer]):
        stack.append(torch.einsum("bshe,hed->bsd", cache["z", i], block.attn.W_O))
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            stack.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(stack), labels


ex.slip(
    "expects_mlps_everywhere",
    "It looks for MLPs in a model that has none. Ask cache.model.cfg.attn_only, or look whether the name is in the cache.",
    "if not cache.model.cfg.attn_only:",
    "if True:",
)


# ---- 02.5 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "02.5",
    "apply_final_ln",
    title="LayerNorm, component by component",
    objective="You can pass the components of the stream through LayerNorm so that they still add up, and say what was "
    "held fixed for it.",
    minutes=15,
    difficulty=3,
    importance=5,
    source="Ba, Kiros and Hinton (2016), Layer Normalization, section 3. Identity: the components sum to the output of "
    "the LayerNorm on their sum, less its bias.",
    hints=[
        "With the scale given, what is left of LayerNorm (subtract the mean, divide by the scale, multiply by the gain) "
        "is linear in the stream. Do each of it to each component.",
        "The mean is over d_model, per component. scale is b s 1 and broadcasts over components and d_model. ln.w is the "
        "gain. ln.b is added once to the whole, so it belongs to no component.",
        "(stack - stack.mean(-1, keepdim=True)) / scale * ln.w",
    ],
    why="A function with f(x + y) = f(x) + f(y) is linear; LayerNorm is not, because everything it reads changes the "
    "standard deviation by which all is divided. But that is one number per position. Hold it at the value it had in the "
    "run and the rest is linear and exact for this run. What it hides: a component that makes the stream longer turns "
    "down everybody else, and that effect is in no component's account.",
)


def _layer_norm(seed, width):
    ln = LayerNorm(HookedTransformerConfig(n_layers=1, d_model=width, n_ctx=4, d_head=width, attn_only=True))
    generator = torch.Generator().manual_seed(500 + seed)
    with torch.no_grad():
        ln.w.copy_(0.5 + 1.5 * torch.rand(width, generator=generator))
        ln.b.copy_(torch.randn(width, generator=generator))
    return ln.requires_grad_(False)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (4, BATCH, POS, 7)  # component, batch, position, d_model
    stack = torch.randn(shape, generator=generator) * 2 + torch.randn(4, 1, 1, 1, generator=generator) * 3
    ln = _layer_norm(seed, shape[-1])
    total = stack.sum(0)
    total = total - total.mean(-1, keepdim=True)
    return {"stack": stack, "scale": (total.square().mean(-1, keepdim=True) + ln.eps).sqrt(), "ln": ln}


@ex.oracle
def _(stack, scale, ln):
    # Linear with the scale fixed: what the LayerNorm of the sum loses when one component is taken out.
    def linear_part(x):
        rows = [
            [
                (x[b, s] - sum(x[b, s].tolist()) / x.shape[-1]) / scale[b, s, 0].item() * ln.w
                for s in range(POS)
            ]
            for b in range(BATCH)
        ]
        return torch.stack([torch.stack(row) for row in rows])

    total = stack.double().sum(0)
    whole = linear_part(total)
    return torch.stack([whole - linear_part(total - component.double()) for component in stack]).float()


@ex.alternative
def in_one_line(stack, scale, ln):
    mean = stack.mean(dim=-1, keepdim=True)
    return (stack - mean) / scale * ln.w


@ex.alternative
def component_by_component(stack, scale, ln):
    normed = torch.empty_like(stack)
    for i, component in enumerate(stack):
        normed[i] = (component - component.mean(-1, keepdim=True)).div(scale).mul(ln.w)
    return normed


@ex.alternative
def by_a_centring_matrix(stack, scale, ln):
    d = stack.shape[-1]
    return stack @ ((torch.eye(d) - 1 / d) * ln.w) / scale


ex.slip(
    "recomputed_per_component",
    "Every component was divided by a standard deviation of its own. Then all components come out equally long and their "
    "sum is not what the model computed. All share the scale that the whole stream had: the one you are given.",
    "/ scale",
    "/ ((stack - mean).square().mean(dim=-1, keepdim=True) + ln.eps).sqrt()",
)


@ex.mistake(
    "Every component went through the LayerNorm by itself, with a standard deviation of its own and the bias each time. "
    "That is not additive. Use the scale you are given, and no bias."
)
def calls_the_layer_norm(stack, scale, ln):
    return ln(stack)


ex.slip(
    "scale_of_the_last_position",
    "All positions were divided by the last position's scale. Every position has its own standard deviation.",
    "/ scale",
    "/ scale[:, -1:]",
)
ex.slip(
    "scale_of_the_first_position",
    "All positions were divided by the first position's scale. Every position has its own standard deviation, and the "
    "first is the least like the others.",
    "/ scale",
    "/ scale[:, :1]",
)
ex.slip(
    "scale_of_the_first_row",
    "All rows of the batch were divided by the first row's scale.",
    "/ scale",
    "/ scale[:1]",
)
ex.slip(
    "one_scale_for_all",
    "The scales were averaged into one. Every position of every row has its own.",
    "/ scale",
    "/ scale.mean()",
)
ex.slip(
    "no_centring",
    "The mean was not subtracted. LayerNorm reads only what differs from the mean over d_model; a component that adds "
    "the same number everywhere adds nothing at all.",
    "(stack - mean)",
    "stack",
)
ex.slip(
    "mean_over_components",
    "The mean was taken over the components (axis 0). LayerNorm's mean is over d_model, the last axis.",
    "stack.mean(dim=-1, keepdim=True)",
    "stack.mean(dim=0, keepdim=True)",
)
ex.slip(
    "mean_of_the_whole_stream",
    "From each component the mean of the whole stream was subtracted, so the sum loses it once per component. Each "
    "component loses its own mean; these add up to the stream's.",
    "stack.mean(dim=-1, keepdim=True)",
    "stack.sum(dim=0).mean(dim=-1, keepdim=True)",
)
ex.slip(
    "bias_per_component",
    "ln.b was added to every component, so the sum holds it once per component. It is added once to the whole and "
    "belongs to no component.",
    "/ scale * ln.w",
    "/ scale * ln.w + ln.b",
)
ex.slip(
    "bias_shared_out",
    "ln.b was shared out evenly. The sum comes out as LayerNorm's full output, but each component is credited with "
    "something that no component computed. Leave the bias out.",
    "/ scale * ln.w",
    "/ scale * ln.w + ln.b / len(stack)",
)
ex.slip(
    "no_gain",
    "The gain ln.w is missing. (Once it is folded into W_U it is 1 and may be left out; here it is not.)",
    " * ln.w",
    "",
)
ex.slip(
    "root_of_the_scale",
    "The root of the scale was taken. It is a standard deviation already (hook_scale), not a variance.",
    "/ scale",
    "/ scale.sqrt()",
)
ex.slip(
    "times_the_scale",
    "The components were multiplied by the scale instead of divided.",
    "/ scale",
    "* scale",
)


@ex.mistake("It came out right, but your code centred the stack itself, in place. The caller still needs it.")
def centres_in_place(stack, scale, ln):
    stack -= stack.mean(-1, keepdim=True)
    return stack / scale * ln.w


# ---- 02.6 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "02.6",
    "logit_attribution",
    title="Who raised the right token's logit",
    objective="You can say how much each component adds directly to the logit of the token that comes next.",
    minutes=15,
    difficulty=3,
    importance=5,
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
    return [case(4, 6, 9, 9), case(3, 5, 8, 13), case(5, 2, 4, 11)]


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
    rows = [stack[:, i] @ W_U[:, tokens[i + 1]] for i in range(len(tokens) - 1)]
    return torch.stack(rows)


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
    "Rows of W_U were taken for columns. W_U is d_model by d_vocab: token t's direction is the column W_U[:, t].",
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


# ---- 02.7 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "02.7",
    "logit_lens",
    title="The logit lens",
    objective="You can read the residual stream of every layer as if the model ended there.",
    minutes=15,
    difficulty=3,
    importance=4,
    source="nostalgebraist (2020), interpreting GPT: the logit lens. Identity: the last entry is the model's logits.",
    hints=[
        "There are n_layers + 1 states of the stream: what enters each layer, and what leaves the last.",
        "To end the model at a state means: its own final LayerNorm (with the mean and standard deviation of that state), "
        "then the unembedding with its bias.",
        "[cache['resid_pre', 0], *(cache['resid_post', i] for i in range(n_layers))]; then "
        "model.unembed(model.ln_final(state)) for each, and torch.stack.",
    ],
    why="Here the LayerNorm is recomputed at each state, while attribution held its scale fixed. The questions differ: "
    "attribution asks what a term adds to the logit that came out; the lens asks what the model would have said. An early "
    "stream is short, and divided by the final scale its logits would all be close together.",
)


def _stream(name):
    return name.rpartition(".")[2] in (
        "hook_resid_pre",
        "hook_resid_mid",
        "hook_resid_post",
        "hook_scale",
    ) or (name.startswith("ln_final"))


@ex.inputs
def _(seed):
    return [
        {"cache": tiny_cache(seed, _stream)},
        {"cache": tiny_cache(seed, _stream, attn_only=True, n_layers=2)},
    ]


@ex.oracle
def _(cache):
    model, stream = cache.model, cache.cache_dict
    ln, W_U, b_U = model.ln_final, model.unembed.W_U.double(), model.unembed.b_U.double()
    states = [stream[f"blocks.{i}.hook_resid_pre"] for i in range(model.cfg.n_layers)]
    states.append(stream[f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"])
    logits = torch.zeros(len(states), BATCH, POS, W_U.shape[1])
    for i, state in enumerate(states):
        for b in range(BATCH):
            for s in range(POS):
                row = state[b, s].double()
                mean = sum(row.tolist()) / len(row)
                variance = sum((value - mean) ** 2 for value in row.tolist()) / len(row)
                normed = (row - mean) / math.sqrt(variance + ln.eps) * ln.w + ln.b
                logits[i, b, s] = sum(normed[d] * W_U[d] for d in range(len(row))) + b_U
    return {"logits": logits, "changed in the cache": []}


@ex.call
def _(answer, cache):
    return watched("logits", answer, cache)


@ex.alternative
def stacked_then_read(cache):
    model, n_layers = cache.model, cache.model.cfg.n_layers
    states = [cache["resid_pre", i] for i in range(n_layers)] + [cache["resid_post", n_layers - 1]]
    stack = torch.stack(states)
    normed = model.ln_final(stack)
    return normed @ model.W_U + model.b_U


@ex.alternative
def state_by_state(cache):
    model, states = cache.model, [cache["resid_pre", 0]]
    for i in range(model.cfg.n_layers):
        states.append(cache["resid_post", i])
    return torch.stack([model.unembed(model.ln_final(state)) for state in states])


@ex.alternative
def by_hand(cache):
    model = cache.model
    logits = []
    for x in cache.accumulated_resid():
        centred = x - x.mean(-1, keepdim=True)
        normed = centred / (centred.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
        logits.append((normed * model.ln_final.w + model.ln_final.b) @ model.W_U + model.b_U)
    return torch.stack(logits)


ex.slip(
    "no_layer_norm",
    "The LayerNorm is missing. The unembedding was trained on normalised vectors: without it the logits of long states "
    "are far too sure, and the mean over d_model leaks in.",
    "model.ln_final(stack)",
    "stack",
)
ex.slip(
    "layer_norm_twice",
    "The LayerNorm was applied twice. The second time it undoes the gain and bias of the first and applies them once more.",
    "model.ln_final(stack)",
    "model.ln_final(model.ln_final(stack))",
)
ex.slip(
    "final_scale_for_every_layer",
    "Every state was divided by the final state's standard deviation. That is right for attribution, where the terms must "
    "add up; the lens asks what the model would say if it ended here, so every state gets its own.",
    "model.ln_final(stack)",
    "(stack - stack.mean(-1, keepdim=True)) / cache['ln_final.hook_scale'] * model.ln_final.w + model.ln_final.b",
)
ex.slip(
    "no_gain_and_bias",
    "The states were normalised without the final LayerNorm's gain and bias. In this model they are not folded away.",
    "model.ln_final(stack)",
    "model.ln_final(stack).sub(model.ln_final.b).div(model.ln_final.w)",
)
ex.slip(
    "no_layer_norm_bias",
    "The final LayerNorm's bias is missing. Here nothing is being shared out among components: it is the model's own last "
    "step, bias included.",
    "model.ln_final(stack)",
    "model.ln_final(stack) - model.ln_final.b",
)
ex.slip(
    "no_unembedding_bias",
    "b_U is missing. The lens is the model's own last step, bias included; the last entry must equal the model's logits.",
    " + model.b_U",
    "",
)
ex.slip(
    "another_layer_norm",
    "ln1 of the first block was used for the final LayerNorm. Each has learned a gain and a bias for its own reader; the "
    "unembedding's reader is ln_final.",
    "model.ln_final(stack)",
    "model.blocks[0].ln1(stack)",
)
ex.slip(
    "off_by_one_layer",
    "The states are one layer late: entry 0 should be what enters layer 0, the embeddings alone, and yours is what leaves "
    "it. There are n_layers + 1 states.",
    'for i in range(n_layers)] + [cache["resid_post", n_layers - 1]]',
    'for i in range(1, n_layers)] + [cache["resid_post", n_layers - 1]] * 2',
)
ex.slip(
    "embeddings_left_out",
    "The first state is missing: what enters layer 0, the embeddings alone.",
    "for i in range(n_layers)]",
    "for i in range(1, n_layers)]",
)
ex.slip(
    "last_state_left_out",
    "The last state is missing: what leaves the last layer. Its entry is the model's own logits.",
    ' + [cache["resid_post", n_layers - 1]]',
    "",
)
ex.slip(
    "probabilities",
    "These are probabilities; asked for are logits.",
    "normed @ model.W_U + model.b_U",
    "(normed @ model.W_U + model.b_U).softmax(-1)",
)
ex.slip(
    "layers_last",
    "The layers are not on the first axis. The order is layer, batch, position, vocabulary.",
    "torch.stack(states)",
    "torch.stack(states, dim=2)",
)
ex.slip(
    "backwards",
    "The layers are in reverse order: the first entry should be the embeddings alone.",
    "torch.stack(states)",
    "torch.stack(states[::-1])",
)


@ex.mistake(
    "You read what each part wrote, not the state of the stream: the lens looks at the sum of everything so far "
    "(resid_pre and resid_post)."
)
def reads_the_writings(cache):
    model, n_layers = cache.model, cache.model.cfg.n_layers
    states = [cache["resid_pre", i] for i in range(n_layers)] + [cache["resid_post", n_layers - 1]]
    written = states[:1] + [b - a for a, b in pairwise(states)]
    return torch.stack([model.unembed(model.ln_final(x)) for x in written])


# ---- 02.8 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "02.8",
    "fold_ln",
    title="Folding LayerNorm into its readers",
    objective="You can move the gain and bias of every LayerNorm into the weights that read it, and the model computes the "
    "same.",
    minutes=25,
    difficulty=4,
    importance=4,
    source="Identity: (n w + b_ln) W + b = n (w[:, None] W) + (b_ln W + b); the logits are compared in float64.",
    atol=1e-8,
    rtol=1e-9,
    hints=[
        "Who reads ln1? W_Q, W_K and W_V. Who reads ln2? W_in. Who reads ln_final? W_U. Each gets the gain on the axis that "
        "it shares with the LayerNorm: d_model.",
        "For a reader W of shape [..., d_model, out]: first b = b + b_ln @ W with the old W, then W = w[:, None] * W. "
        "Then the LayerNorm itself: its gain becomes 1, its bias 0.",
        "Copy first: new = {name: tensor.clone() for name, tensor in state.items()}. Models without MLP have no ln2. The "
        "names: blocks.0.ln1.w, blocks.0.ln1.b, blocks.0.attn.W_Q, blocks.0.attn.b_Q, blocks.0.mlp.W_in, ln_final.w, "
        "unembed.W_U, ...",
    ],
    why="A gain followed by a matrix is a matrix, and a bias followed by a matrix is a bias. After folding, what is between "
    "stream and logit is only centring, one scale, and W_U: a column of W_U is then really the direction in the stream "
    "that raises its token. The library does this on loading (fold_ln=True) and also removes the mean of W over d_model, "
    "which nobody reads.",
)


@ex.inputs
def _(seed):
    # Square at first: only so does a gain on the wrong axis give numbers at all.
    square = dict(n_layers=1, n_heads=2, d_head=7, d_model=7, d_mlp=7, d_vocab=7)
    changes = [square, dict(n_layers=2), dict(n_layers=1, attn_only=True)]
    states = [_state(seed, tuple(c.items())) for c in changes]
    return [{"state": {name: x.clone() for name, x in state.items()}} for state in states]


@functools.cache
def _state(seed, changes):
    return tiny_model(seed, torch.float64, **dict(changes)).state_dict()


@functools.cache
def _empty_model(sizes):
    return tiny_model(0, torch.float64, **dict(sizes))


def _model_of(state):
    """The tiny model that a state dict belongs to, sizes read off its shapes, filled with it."""
    n_heads, d_model, d_head = state["blocks.0.attn.W_Q"].shape
    n_layers = sum(name.endswith("attn.W_Q") for name in state)
    sizes = dict(n_layers=n_layers, n_heads=n_heads, d_head=d_head, d_model=d_model)
    sizes["d_vocab"] = state["embed.W_E"].shape[0]
    if "blocks.0.mlp.W_in" in state:
        sizes["d_mlp"] = state["blocks.0.mlp.W_in"].shape[1]
    model = _empty_model((*sizes.items(), ("attn_only", "d_mlp" not in sizes)))
    model.load_state_dict(state)
    return model


def _gains(name):
    return ".ln" in f".{name}" and name.endswith((".w", ".b"))


@ex.oracle
def _(state):
    logits = _model_of(state)(random_tokens(3, d_vocab=7))
    reset = {name: torch.full_like(x, float(name.endswith("w"))) for name, x in state.items() if _gains(name)}
    return {"missing": [], "LayerNorms": reset, "logits": logits}


@ex.measure
def _(observed, state):
    # Folding has several right forms (the mean of a reader over d_model is never read), so compare the logits.
    missing = [name for name in state if name not in observed]
    norms = {name: x for name, x in observed.items() if _gains(name)}
    if missing:
        return {"missing": missing}
    return {"missing": [], "LayerNorms": norms, "logits": _model_of(observed)(random_tokens(3, d_vocab=7))}


@ex.alternative
def reader_by_reader(state):
    new = {name: tensor.clone() for name, tensor in state.items()}
    readers = {
        "ln1": [("attn.W_Q", "attn.b_Q"), ("attn.W_K", "attn.b_K"), ("attn.W_V", "attn.b_V")],
        "ln2": [("mlp.W_in", "mlp.b_in")],
    }

    def fold(ln, W_name, b_name):
        w, b, W = new[f"{ln}.w"], new[f"{ln}.b"], new[W_name]
        new[b_name] = new[b_name] + b @ W
        new[W_name] = w[:, None] * W

    def reset(ln):
        new[f"{ln}.w"] = torch.ones_like(new[f"{ln}.w"])
        new[f"{ln}.b"] = torch.zeros_like(new[f"{ln}.b"])

    n_layers = sum(name.endswith("ln1.w") for name in state)
    for layer in range(n_layers):
        block = f"blocks.{layer}."
        for ln, pairs in readers.items():
            if block + ln + ".w" in state:
                for W_name, b_name in pairs:
                    fold(block + ln, block + W_name, block + b_name)
                reset(block + ln)
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    reset("ln_final")
    return new


@ex.alternative
def by_names_and_centred(state):
    new = dict(state)
    for name in state:
        place, _, leaf = name.rpartition(".")
        if leaf not in ("W_Q", "W_K", "W_V", "W_in", "W_U"):
            continue
        ln = {"attn": "ln1", "mlp": "ln2", "unembed": "ln_final"}[place.split(".")[-1]]
        ln = place.replace(place.split(".")[-1], ln)
        bias = name.replace("W_", "b_")
        new[bias] = state[bias] + torch.einsum("d,...de->...e", state[f"{ln}.b"], state[name])
        folded = torch.einsum("d,...de->...de", state[f"{ln}.w"], state[name])
        new[name] = folded - folded.mean(dim=-2, keepdim=True)
        new[f"{ln}.w"], new[f"{ln}.b"] = state[f"{ln}.w"] ** 0, state[f"{ln}.b"] * 0
    return new


ex.slip(
    "forgets_the_bias",
    "The LayerNorm's bias is lost: it was set to 0 without being carried on. Every reader's bias gets b_ln @ W.",
    "        new[b_name] = new[b_name] + b @ W\n",
    "",
)
ex.slip(
    "bias_through_the_scaled_weight",
    "The LayerNorm's bias went through the weight that already had the gain in it. The bias is added after the gain, so it "
    "passes through the old W: compute the new bias first.",
    "b @ W",
    "b @ (w[:, None] * W)",
)
ex.slip(
    "bias_replaced",
    "The reader's own bias is lost: b_ln @ W is added to it, it does not replace it.",
    "new[b_name] + b @ W",
    "b @ W",
)
ex.slip(
    "wrong_axis",
    "The gain was multiplied onto the output axis of the weight. It belongs to the axis that the weight reads, d_model: "
    "w[:, None] * W. (When both axes have the same size, nothing crashes.)",
    "w[:, None] * W",
    "w * W",
)
ex.slip(
    "bias_on_the_wrong_axis",
    "The bias was multiplied from the wrong side: W @ b_ln sums over the weight's output axis. It is b_ln @ W.",
    "b @ W",
    "W @ b",
)
ex.slip(
    "divides_by_the_gain",
    "The weights were divided by the gain. They take it over, so they are multiplied by it.",
    "w[:, None] * W",
    "W / w[:, None]",
)
ex.slip(
    "gain_not_reset",
    "The gain and bias are in the readers now, but the LayerNorm still applies them as well. Set its w to 1 and its b to 0.",
    '        new[f"{ln}.w"] = torch.ones_like(new[f"{ln}.w"])\n'
    '        new[f"{ln}.b"] = torch.zeros_like(new[f"{ln}.b"])',
    "        pass",
)
ex.slip(
    "gain_set_to_zero",
    "The LayerNorm's gain was set to 0: nothing passes any more. A gain that does nothing is 1.",
    "torch.ones_like(",
    "torch.zeros_like(",
)
ex.slip(
    "bias_not_reset",
    "The LayerNorm's bias was left in place, so it counts twice: in the readers' biases and as itself. Set it to 0.",
    '        new[f"{ln}.b"] = torch.zeros_like(new[f"{ln}.b"])\n',
    "",
)
ex.slip(
    "only_Q_folded",
    "ln1 was folded into the queries only. Keys and values read it as well.",
    ', ("attn.W_K", "attn.b_K"), ("attn.W_V", "attn.b_V")]',
    "]",
)
ex.slip(
    "values_not_folded",
    "ln1 was folded into queries and keys. The values read it as well.",
    ', ("attn.W_V", "attn.b_V")]',
    "]",
)
ex.slip(
    "mlp_not_folded",
    "ln2 and the MLP were left as they were. W_in reads ln2's output: fold it too.",
    '            if block + ln + ".w" in state:',
    '            if block + ln + ".w" in state and ln == "ln1":',
)
ex.slip(
    "final_not_folded",
    "ln_final was left as it was. Its reader is the unembedding: fold it into W_U and b_U.",
    '    fold("ln_final", "unembed.W_U", "unembed.b_U")\n    reset("ln_final")\n',
    "",
)
ex.slip(
    "first_layer_only",
    "Only layer 0 was folded. Every block has LayerNorms of its own.",
    "range(n_layers)",
    "range(1)",
)
ex.slip(
    "changes_the_original",
    "The result is right, but the state that you were given was changed too, and the model it came from is now another "
    "one. Work on a copy of the dictionary.",
    "{name: tensor.clone() for name, tensor in state.items()}",
    "state",
)
ex.slip(
    "shares_the_tensors",
    "The dictionary was copied but its tensors were not: an edit in place (*= or .mul_) reaches through the copy into the "
    "model's own weights. Clone them, or assign new tensors.",
    "{name: tensor.clone() for name, tensor in state.items()}",
    "dict(state)",
    "new[W_name] = w[:, None] * W",
    "new[W_name] *= w[:, None]",
)
ex.slip(
    "loses_precision",
    "The folding was done in float32. The weights came in float64 and should stay that precise: the logits agree to seven "
    "digits only.",
    "tensor.clone() for",
    "tensor.float() for",
)


@ex.mistake(
    "The LayerNorms' entries were dropped. Here the same model must be able to load the result: keep them, with w = 1 and "
    "b = 0. (The library changes the component to one without gain and bias instead.)"
)
def drops_the_layer_norms(state):
    return {name: x.clone() for name, x in state.items() if ".ln" not in "." + name}
