# ruff: noqa: F401
# %% [markdown]
# # 02 Caching and logit attribution
#
# A transformer reads *When Mary and John went to the park, John gave a ball to* and says *Mary*. Which of its parts
# made it say so?
#
# The question sounds as if it needed a theory of minds. For a transformer it begins with bookkeeping, and the
# bookkeeping is exact. Everything that the model computes on its way from tokens to logits is a tensor that we can
# keep. Almost everything that it computes is *added* to one running sum, the residual stream. And the step from that
# sum to a logit is very nearly linear. So a logit can be written as a sum with one term per part of the model, and
# each term can be looked at.
#
# This chapter builds that tool from nothing:
#
# 1. **the cache**: keeping every activation of a run (02.1, 02.2);
# 2. **the residual stream as a sum**: what every head and every layer wrote (02.3, 02.4);
# 3. **LayerNorm**, the one thing in the way, and what it costs to see through it (02.5);
# 4. **logit attribution**, and the kind of work that it cannot see (02.6);
# 5. **the logit lens**: what the model would say if it stopped early (02.7);
# 6. **folding**: rewriting the weights so that LayerNorm is out of the way for good (02.8).
#
# Letters for axes, as everywhere in the course: `b` batch, `s` position, `q` query, `k` key, `h` head, `d` d_model, `e` d_head,
# `m` d_mlp, `v` vocabulary, `l` layer, `c` component. From chapter 01 you need to know what the parts of a transformer compute;
# nothing else. Under every exercise, `check("02.1")` judges your answer, `hint("02.1")` gives a first hint (and a further one
# each time), `solution("02.1")` shows a solution and why it is so.

# %%
import math
from collections import Counter
from collections.abc import Callable

import torch
from einops import einsum
from huggingface_hub import try_to_load_from_cache
from IPython.display import Markdown, display
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens import ActivationCache, HookedTransformer, HookedTransformerConfig, plots
from cleanlens.components import LayerNorm
from cleanlens.course import check, hint, solution, yours
from cleanlens.training.corpus import ioi_prompts

_ = torch.set_grad_enabled(False)  # nothing is trained here

# %% [markdown]
# The model is `gpt2-demo`: GPT-2's architecture in small, trained on a toy world of little stories and of sentences like
# the one above. It is loaded *without* the usual rewriting of its weights, so that every gain and every bias is still
# where training put it; section 6 is about that rewriting.

# %%
model = HookedTransformer.from_pretrained_no_processing("gpt2-demo")
cfg = model.cfg
print(f"{cfg.n_layers} layers of {cfg.n_heads} heads, d_model {cfg.d_model}, {cfg.d_vocab} tokens")

# %% [markdown]
# Cells that come after an exercise use your answer once its check accepts it, and the course's own until then: that is
# what `yours` gives.

# %% [markdown]
# ## 1 The cache
#
# Every activation that somebody may want to see passes through a **hook point**: an identity function with a name, at
# which functions can be attached. A function attached there (a *hook*) is called with the activation, and may keep it.
# Here are the names of one block, in the order in which they fire, with the shapes that one sentence gives them.

# %%
plots.diagram("cache")

# %%
text = "When Mary and John went to the park, John gave a ball to"
tokens = model.to_tokens(text)
str_tokens = model.to_str_tokens(text)
logits, cache = model.run_with_cache(tokens)

for name, activation in cache.items():
    if name.startswith("blocks.0") or not name.startswith("blocks"):
        print(f"{name:32} {list(activation.shape)}")

# %% [markdown]
# Read the list once slowly, with the equations of a block beside it:
#
# $$
# \begin{aligned}
# \text{resid\_mid} &= \text{resid\_pre} + \text{attn\_out}(\mathrm{LN}_1(\text{resid\_pre}))\\
# \text{resid\_post} &= \text{resid\_mid} + \text{mlp\_out}(\mathrm{LN}_2(\text{resid\_mid}))
# \end{aligned}
# $$
#
# `resid_post` of one layer and `resid_pre` of the next are the same numbers; in memory they are the same *tensor*.
#
# **Everything is a lot.** Queries grow with the length of the text, but scores and patterns grow with its square. For
# GPT-2 small and a text of 1,024 tokens the patterns alone are $12 \cdot 12 \cdot 1024^2$ numbers, 600 MB, and the scores
# as much again. So one says which names are wanted: `names_filter`, a name or a function of names.
#
# **A reference is not a copy.** A hook is given the tensor itself. Keep that, and whoever edits it in place later also
# edits what you kept. It takes three lines to see:

# %%
activation = torch.ones(3)
kept, detached, copied = activation, activation.detach(), activation.detach().clone()
activation.mul_(0)  # somebody else's hook, one hook point later
print("kept:", kept.tolist(), " detached:", detached.tolist(), " copied:", copied.tolist())

# %% [markdown]
# `detach` takes a tensor out of the graph of gradients; it still shares its memory. Only `clone` makes a copy.
#
# **A hook that stays behind** is the other classic. If the run raises an exception between attaching and removing, the
# hooks are still there, and the next run (of somebody who never heard of your cache) calls them. And removing *all* hooks
# is no cure: some of them may belong to an experiment that is under way.
#
# In the first exercise you write `run_with_cache` yourself. A hook is a function `fn(activation, hook=point)`;
# `point.name` is the name, `point.add_hook(fn)` attaches it and returns a handle, `point.discard(handle)` removes exactly
# that one.

# %%
# exercise 02.1

# %%
check("02.1")


# %%
def queries(name: str) -> bool:
    return name.endswith("hook_q")


_, small_cache = yours("run_with_cache")(model, tokens, queries)
print({name: list(x.shape) for name, x in small_cache.items()})

# %% [markdown]
# The library's `model.run_with_cache` is the same thing with more options and one economy: while no hook but a cache's own is
# attached, nothing in the model overwrites an activation, so it keeps the tensors themselves instead of copies. (`resid_post`
# of one layer and `resid_pre` of the next are then one tensor, held once.) As soon as there is a hook that may edit, it copies,
# like yours. Either way: do not edit in place what you find in a cache. What it returns is a dictionary that understands short
# names too: `cache["q", 1]` is `blocks.1.attn.hook_q`, `cache["resid_post", -1]` counts layers from the end, `cache["scale"]`
# is the final LayerNorm's. `cache.model` is the model that it came from.
#
# ### Attention patterns
#
# The activation that one looks at first is the attention pattern: from each position (query), how much of which earlier
# position (key) is read. Each row sums to 1. Hover over a head, and over a token to see where it looks.

# %%
last = cfg.n_layers - 1
plots.attention(str_tokens, cache["pattern", last][0], [f"L{last}H{h}" for h in range(cfg.n_heads)])

# %%
plots.attention(str_tokens, cache["pattern", 0][0], [f"L0H{h}" for h in range(cfg.n_heads)])

# %% [markdown]
# Two habits when you read such a picture. First: a pattern says *where* a head reads, not *what* it reads nor what it does
# with it; that is in the values and in W_O. Second: the first position gets much attention from heads that have nothing
# to do. A softmax cannot say "nowhere", so an idle head needs a harmless place to rest, and BOS is the same in every text.
#
# Do you know what the cached tensors are? The test is to compute one of them from others. For one head,
#
# $$
# A_{qk} = \operatorname*{softmax}_{k}\left(\frac{\mathbf{q}_q \cdot \mathbf{k}_k}{\sqrt{e}}\ \text{ for } k \le q,\quad
# -\infty \text{ for } k > q\right).
# $$
#
# A worked row: a query has the scores 2, 0 and 2 with the keys 0, 1 and 2, where key 2 is in the future. With the mask the
# row is $\left(\frac{e^2}{e^2+1}, \frac{1}{e^2+1}, 0\right) = (0.88, 0.12, 0)$. Without $-\infty$ but with a 0 put in for
# the masked score, it would be $(0.79, 0.11, 0.11)$: zero is a score like any other.

# %%
# exercise 02.2

# %%
check("02.2")

# %%
pattern_of = yours("recompute_pattern")
errors = [
    (pattern_of(cache, layer) - cache["pattern", layer]).abs().max().item() for layer in range(cfg.n_layers)
]
print("largest difference from the model's own patterns:", max(errors))

# %% tags=["test"]
assert max(errors) < 1e-5

# %% [markdown]
# ## 2 Everything is added
#
# ### Heads write on their own
#
# Papers draw multi-head attention as a concatenation: the heads' results $z_0, z_1, \dots$ are put side by side and
# multiplied by one large matrix. Cut that matrix into its blocks of rows, one per head, and the picture changes:
#
# $$
# \begin{bmatrix} z_0 & z_1 & \cdots \end{bmatrix}
# \begin{bmatrix} W_O^0 \\ W_O^1 \\ \vdots \end{bmatrix}
# = z_0 W_O^0 + z_1 W_O^1 + \cdots
# $$
#
# With numbers: two heads with $e = 1$, $z_0 = (2)$ and $z_1 = (-1)$; $W_O^0 = (1\ \ 3)$ and $W_O^1 = (4\ \ 0)$. The product
# with the whole matrix is $(2 \cdot 1 - 1 \cdot 4,\ 2 \cdot 3 - 1 \cdot 0) = (-2, 6)$; head by head it is
# $(2, 6) + (-4, 0)$. The same numbers, but now there is something that *head 0* wrote. Heads do not mix: they are
# independent, and they add ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), "Attention Heads are
# Independent and Additive").
#
# The bias $b_O$ is added once per layer. It is nobody's, and no head's result holds it.

# %%
plots.diagram("residual_stream")

# %%
# exercise 02.3

# %%
check("02.3")


# %%
results_of = yours("head_results")
results = torch.stack([results_of(cache, layer) for layer in range(cfg.n_layers)])
whole = torch.stack([cache["attn_out", layer] for layer in range(cfg.n_layers)])
error = (results.sum(3) + model.b_O[:, None, None] - whole).abs().max().item()
print(f"sum over heads + b_O against attn_out: largest difference {error:.1e}")

# %% tags=["test"]
assert error < 1e-4

# %% [markdown]
# How loud are the heads? The length of what each one wrote, at the last position of the sentence:

# %%
plots.head_map(
    results[:, 0, -1].norm(dim=-1),
    title="Length of each head's output at the last position",
    zero_centred=False,
    color_label="norm",
)

# %% [markdown]
# Length is a first look only. A long vector may point where nobody reads, and a short one exactly where it counts.
#
# ### The residual stream
#
# Now the same thought for the whole model. Nothing ever overwrites the residual stream: each part reads it and adds to it.
# So the stream that enters layer $L$ is
#
# $$
# x_L = \underbrace{W_E[t]}_{\text{embed}} + \underbrace{W_{pos}[s]}_{\text{pos\_embed}}
# + \sum_{i < L} \left(\text{attn\_out}_i + \text{mlp\_out}_i\right),
# $$
#
# exactly, not as an approximation. Every layer reads all of what earlier layers wrote, as it was written; two layers far
# apart are connected by nothing but a sum. That is why the stream is called a communication channel (in the same paper, "Virtual
# Weights and the Residual Stream as a Communication Channel").
#
# Two pieces of advice for a decomposition. Keep labels beside the terms from the start. And do not trust its sum alone:
# when two terms are swapped the sum is still right, and every figure made of it is wrong.

# %%
# exercise 02.4

# %%
check("02.4")


# %%
components, labels = yours("decompose_resid")(cache, cfg.n_layers)
error = (components.sum(0) - cache["resid_post", -1]).abs().max().item()
print(*labels)
print(f"the sum of these {len(labels)} against the stream: largest difference {error:.1e}")

# %% tags=["test"]
assert error < 1e-4

# %% [markdown]
# **Before you run the next two cells:** which components write the longest vectors, early or late ones? Is there a position at
# which more is written than elsewhere?
#
# <details><summary>What to look for</summary>
#
# The last MLP writes by far the longest, more than 200 at some positions, while the embeddings have a length of 2: beside what
# comes later one cannot see them. BOS is different from the start: the attention of layer 0 writes 43 there and 15 elsewhere.
# The stream at BOS is longer than at the other positions from then on.
#
# </details>

# %%
plots.heatmap(
    components[:, 0].norm(dim=-1),
    x=plots.numbered(str_tokens),
    y=labels,
    title="Length of what each component wrote, by position",
    x_label="position",
    zero_centred=False,
    color_label="norm",
)

# %%
stream, stream_labels = cache.accumulated_resid(incl_mid=True, return_labels=True)
plots.line(
    {
        "BOS": stream[:, 0, 0].norm(dim=-1),
        "mean of the other positions": stream[:, 0, 1:].norm(dim=-1).mean(-1),
    },
    x=stream_labels,
    title="Length of the residual stream on its way through the model",
    x_label="where",
    y_label="norm",
    connect=True,
    log_y=True,
)

# %% tags=["test"]
norms = components[:, 0].norm(dim=-1)
assert norms[-1].max() > 200
assert norms[labels.index("0_attn_out"), 0] > 2.5 * norms[labels.index("0_attn_out"), 1:].mean()
assert (stream[1:, 0, 0].norm(dim=-1) > 1.3 * stream[1:, 0, 1:].norm(dim=-1).mean(-1)).all()

# %% [markdown]
# The stream gets longer as more and more is added to it. Keep that in mind: a term that was large beside the embeddings may
# be small beside everything, and what decides how much of it is *read* is the next section.
#
# ## 3 LayerNorm, the one thing in the way
#
# Between stream and logits stands the final LayerNorm ([Ba, Kiros and Hinton 2016](https://arxiv.org/abs/1607.06450), section 3).
# For one position,
#
# $$
# \mathrm{LN}(x) = \frac{x - \bar{x}}{\sigma(x)} \odot \gamma + \beta, \qquad
# \sigma(x) = \sqrt{\tfrac{1}{d}\textstyle\sum_j (x_j - \bar{x})^2 + \epsilon}.
# $$
#
# Take it step by step and ask of each step whether it lets a sum through.
#
# * **Centring** does: $x - \bar{x}$ is multiplication by the matrix $I - \frac{1}{d}\mathbf{1}\mathbf{1}^\top$, and each
#   component loses its own mean.
# * **The gain** does: multiplication by a diagonal matrix.
# * **The bias** is added once. It is a term of its own, and no component's.
# * **The division** does not. $\sigma$ depends on the whole stream.
#
# With numbers, $d = 4$, $\gamma = 1$, $\beta = 0$, and two components whose mean is zero already:

# %%
x, y = torch.tensor([3.0, -1, -1, -1]), torch.tensor([0.0, 4, -4, 0])


def LN(x: Tensor) -> Tensor:
    return x / x.std(unbiased=False)  # the mean is 0 already


scale = (x + y).std(unbiased=False)
print("LN(x + y)              ", LN(x + y))
print("LN(x) + LN(y)          ", LN(x) + LN(y))
print("x / σ(x+y) + y / σ(x+y)", x / scale + y / scale)

# %% tags=["test"]
assert torch.allclose(LN(x + y), x / scale + y / scale)
assert not torch.allclose(LN(x + y), LN(x) + LN(y), atol=0.1)

# %% [markdown]
# Normalising each component by itself is wrong: both come out equally long, and their sum is not what the model computed.
# But $\sigma$ is *one number per position*. We have run the model; we know what the number was: the cache holds it as
# `cache["scale"]`. Divide every component by that number and the parts add up again, exactly.
#
# This is what is meant by **freezing the scale**, and it is not free. With the scale held fixed we say: *given how long the
# stream turned out, this is what the component contributed.* We do not say what would have happened without it. Take a
# component away and the stream gets shorter or longer, and everyone else's share is turned up or down. That effect belongs
# to the component too, and it appears in no account that freezes the scale. For one component in a stream of many it is
# usually small, and one can always measure it, as we will.

# %%
# exercise 02.5

# %%
check("02.5")


# %%
normed = yours("apply_final_ln")(components, cache["scale"], model.ln_final)
error = (normed.sum(0) + model.ln_final.b - model.ln_final(cache["resid_post", -1])).abs().max().item()
print(f"sum of the components + LayerNorm's bias against LayerNorm's output: largest difference {error:.1e}")

# %% tags=["test"]
assert error < 1e-4

# %% [markdown]
# How much does freezing hide here? Take each component out of the stream at the last position, once with the scale held
# fixed and once with LayerNorm computed anew, and see how the logits move.

# %%
final = cache["resid_post", -1][:, -1:]
parts = components[:, 0, -1:]  # [component, 1, d_model]

frozen = normed[:, 0, -1:] @ model.W_U
anew = model.unembed(model.ln_final(final)) - model.unembed(model.ln_final(final - parts))
moved = torch.stack([change.square().mean((1, 2)).sqrt() for change in (frozen, anew)], dim=1)

# %%
plots.line(
    {"scale frozen": moved[:, 0], "scale recomputed": moved[:, 1]},
    x=labels,
    title="How far the logits at the last position move when one component is taken out",
    x_label="component",
    y_label="root mean square change",
)

# %% tags=["tell"]
gap = ((moved[:, 1] - moved[:, 0]).abs() / moved[:, 1]).max().item()
display(Markdown(f"The largest gap is **{gap:.0%}** of the recomputed change."))

# %% tags=["test"]
assert gap < 0.5, "freezing the scale is a good first account of this model"

# %% [markdown]
# Where the two part, the component mattered by its size as well as by its direction. That is how much the frozen scale leaves out,
# for this sentence.
#
# ## 4 Logit attribution
#
# The unembedding is a matrix, and the logit of token $t$ is a dot product with one of its columns:
#
# $$
# \text{logit}_t = \sum_c \underbrace{\left(\frac{x_c - \bar{x}_c}{\sigma} \odot \gamma\right) \cdot W_U[:, t]}_{\text{component } c}
# \;+\; \beta \cdot W_U[:, t] + b_U[t].
# $$
#
# Each term of the sum is the component's **direct attribution** for that token: how much of the logit is its doing, by the
# straight path into the unembedding. The two terms at the end are the same for every text.
#
# Mind the shift between positions and predictions. At position $i$ the model predicts the token at $i + 1$. A sequence of
# $s$ tokens holds $s - 1$ predictions: read the stack at positions $0 \dots s-2$, take the tokens from $1$ on.

# %%
# exercise 02.6

# %%
check("02.6")

# %% [markdown]
# First a story. For each position and each component: how much did it add to the logit of the word that really came next?
#
# One thing has to be settled before there can be a figure. Add the same number to all logits and no probability changes, so
# the height of a single logit means little. We measure it against the mean over the vocabulary, which is the same as
# removing the mean from the rows of $W_U$ ("centring the unembedding").

# %%
story = "Once upon a time there was a small fox named Mary. Mary had a friend named John. One day Mary and John went to the park."
story_tokens, story_str = model.to_tokens(story), model.to_str_tokens(story)
story_logits, story_cache = model.run_with_cache(story_tokens)
W_U = model.W_U - model.W_U.mean(dim=-1, keepdim=True)

story_stack = story_cache.decompose_resid(apply_ln=True)[:, 0]
attribution = yours("logit_attribution")(story_stack, W_U, story_tokens[0])

centred = story_logits[0] - story_logits[0].mean(-1, keepdim=True)
wanted = centred[:-1].gather(-1, story_tokens[0, 1:, None])[:, 0]
constant = (model.ln_final.b @ W_U + model.b_U - model.b_U.mean())[story_tokens[0, 1:]]
error = (attribution.sum(-1) + constant - wanted).abs().max().item()
print(f"attributions + biases against the logits: largest difference {error:.1e}")

# %% tags=["test"]
assert error < 1e-3

# %%
next_labels = plots.numbered(story_str)[1:]
plots.heatmap(
    attribution.T,
    x=next_labels,
    y=labels,
    title="What each component adds to the logit of the next token",
    x_label="the token that comes next",
    color_label="logit",
)

# %% [markdown]
# A column is a prediction, and its bluest cell the part that did most for it. A few columns in words:

# %% tags=["tell"]
strongest = attribution.argmax(-1)
for i in torch.linspace(1, len(story_str) - 2, 8).long().tolist():
    print(
        f"{story_str[i]!r:>10} → {story_str[i + 1]!r:10} {labels[strongest[i]]:>10} {attribution[i].max():+6.2f}"
        f" of {wanted[i]:+6.2f}"
    )

# %% [markdown]
# ### The direct path
#
# The row of `embed` is a special one. Nothing has been looked at yet: what the token's embedding says about the next token goes
# straight through the unembedding, and it says the same wherever the token stands, but for the scale. It is an entry of one large
# table over pairs of tokens,
#
# $$
# \underbrace{\left(W_E - \overline{W_E}\right) \operatorname{diag}(\gamma)\, W_U}_{\text{current token} \times \text{next token}},
# $$
#
# divided by $\sigma$: the **direct path** ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html),
# "Zero-Layer Transformers"). A model without any layers would consist of
# nothing else, and the best that such a table can learn are bigrams, how often one token follows another. In a model with layers it
# need not look like that, since later layers can correct it.
#
# **Before you run the next cells:** what will the table of our model name as the three favourites after `Once`, after ` went`,
# after ` John`?
#
# <details><summary>What to look for</summary>
#
# `Once` is followed by ` upon` first, and ` went` by ` out`, ` back`, ` into`: bigrams of these stories. But most rows make no
# sense. What the embeddings write is so small beside the rest of the stream (2 of more than 100) that this model does not
# use its direct path much, and training has left it untidy.
#
# </details>

# %%
W_E = model.W_E - model.W_E.mean(dim=-1, keepdim=True)
direct_path = W_E * model.ln_final.w @ W_U  # [current token, next token]
favourites = direct_path.topk(3).indices

# %% tags=["tell"]
now, then = story_tokens[0, :-1], story_tokens[0, 1:]
for i in dict.fromkeys(now.tolist()):
    print(
        f"{model.to_string(i)!r:>12} →", ", ".join(repr(model.to_string(j)) for j in favourites[i].tolist())
    )

# %% tags=["test"]
by_table = direct_path[now, then] / story_cache["scale"][0, :-1, 0]
assert torch.allclose(by_table, attribution[:, labels.index("embed")], atol=1e-3)
assert favourites[story_tokens[0, 1], 0] == story_tokens[0, 2], "Once upon"

# %% [markdown]
# ### Who names the indirect object?
#
# Now our sentence. The question is not why " Mary" is likely at all but why " Mary" *and not* " John". So we attribute the
# **logit difference**: its direction in the stream is $W_U[:, \text{Mary}] - W_U[:, \text{John}]$. What is common to both names
# (that a name comes next) drops out, and so does any common shift.
#
# One sentence can mislead, so we take forty of them, of one shape, with other names, places and things, half of them
# with the two names in the other order. ([Wang et al. 2022](https://arxiv.org/abs/2211.00593), section 2, introduce this
# task, indirect object identification; chapter 06 is all about it.)


# %%
def ioi_batch(model: HookedTransformer, n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens `[b s]` of one length, and the ids of the right and of the wrong name; only single-token names."""
    data, rows = ioi_prompts(n, seed, aligned=True), []
    for prompt, io, s in zip(data.prompts, data.io, data.s):
        names = model.to_tokens([f" {io}", f" {s}"], prepend_bos=False)
        if names.shape[1] == 1:
            rows.append((model.to_tokens(prompt)[0], *names[:, 0]))
    [(length, _)] = Counter(len(tokens) for tokens, *_ in rows).most_common(1)
    tokens, right, wrong = zip(*(row for row in rows if len(row[0]) == length))
    return torch.stack(tokens), torch.stack(right), torch.stack(wrong)


# %%
def logit_difference(logits: Tensor, right: Tensor, wrong: Tensor) -> Float[Tensor, " b"]:
    """Right name's logit minus the wrong one's, at the last position."""
    last_logits = logits[:, -1]
    return (last_logits.gather(1, right[:, None]) - last_logits.gather(1, wrong[:, None]))[:, 0]


prompts, right, wrong = ioi_batch(model, 40)
print(model.to_string(prompts[0]), "→", model.to_string(right[0]))

# %% [markdown]
# The library has the exercises of this chapter built in: `decompose_resid` (02.4) and `stack_head_results` (02.3) cut the
# stream into terms, and `logit_attrs` (02.5 and 02.6) attributes a logit, or the difference of two, to them.


# %%
def attribute(model: HookedTransformer, tokens: Tensor, right: Tensor, wrong: Tensor):
    """The mean logit difference, and what each component and each head `[l h]` adds to it directly."""
    logits, cache = model.run_with_cache(tokens)
    parts, labels = cache.decompose_resid(return_labels=True, pos_slice=-1)
    by_part = cache.logit_attrs(parts, right, wrong, pos_slice=-1).mean(-1)
    heads = cache.stack_head_results(pos_slice=-1)
    by_head = cache.logit_attrs(heads, right, wrong, pos_slice=-1).mean(-1)
    by_head = by_head.reshape(model.cfg.n_layers, model.cfg.n_heads)
    return logit_difference(logits, right, wrong).mean().item(), by_part, labels, by_head


difference, by_part, part_labels, by_head = attribute(model, prompts, right, wrong)
direction = model.W_U[:, right] - model.W_U[:, wrong]
biases = (model.b_U[right] - model.b_U[wrong] + model.ln_final.b @ direction).mean().item()
print(f"{difference:.2f} = {by_part.sum():.2f} from the components + {biases:.2f} from biases")

# %% tags=["test"]
assert abs(by_part.sum().item() + biases - difference) < 1e-2

# %% [markdown]
# **Before you run the next two cells:** is the name written early or late? More by attention or by MLPs? How many of the 24
# heads have a say?
#
# <details><summary>What to look for</summary>
#
# Late, and by attention: of 11.4, layer 4's heads write 6.4, those of layer 5 2.3 and those of layer 3 1.7. The MLPs, whose vectors
# are the longest, add less than 1 together. Five heads have an attribution of about 1 or more; most have none.
#
# </details>

# %%
plots.bar(
    by_part,
    part_labels,
    title="What each component adds to the logit difference, right name minus wrong name",
    y_label="logit difference",
)

# %%
plots.head_map(by_head, title="The same, head by head", color_label="logit difference")

# %% tags=["test"]
parts_of = dict(zip(part_labels, by_part.tolist()))
assert sum(value for label, value in parts_of.items() if "mlp" in label) < 0.9
assert parts_of["4_attn_out"] > 0.5 * difference
assert (by_head > 0.9).sum() == 5

# %%
order = by_head.flatten().argsort(descending=True)
names = [f"L{i // cfg.n_heads}H{i % cfg.n_heads}" for i in order.tolist()]
top, bottom = names[0], names[-1]
top_layer, top_head = divmod(int(order[0]), cfg.n_heads)

# %% tags=["tell"]
positive = by_head.clamp(min=0).sum()
carried = by_head.flatten()[order[:4]].sum() / positive
display(
    Markdown(
        f"The four heads with the largest attribution, **{', '.join(names[:4])}**, carry {carried:.0%} of what heads add in "
        f"favour of the right name ({positive:.1f} in all). The head that speaks most against it is **{bottom}** "
        f"({by_head.min():+.2f})."
    )
)

# %% [markdown]
# So a few heads late in the model write the answer, most parts have no direct say, and some even speak against it. And where
# does the strongest head look, from the last position? The sentences are of one shape, so positions can be averaged over them.
#
# **Before you run the next cell:** half of the sentences name the right person first (*Mary and John ... John gave*), half
# second (*John and Mary ... John gave*). If the head looks at the right name, which positions will it look at, on average?
#
# <details><summary>What to look for</summary>
#
# At positions 2 and 4, the two names, with about 0.46 each: in each half of the sentences it is mostly at another of them. The text
# below the figure counts by name instead of by position: 70% for the right one.
#
# </details>

# %%
name = f"blocks.{top_layer}.attn.hook_pattern"
at_last = model.run_with_cache(prompts, names_filter=name)[1][name][:, top_head, -1]
plots.bar(
    at_last.mean(0),
    plots.numbered(model.to_str_tokens(prompts[0])),
    title=f"Where {top} looks from the last position (labels: the first sentence)",
    y_label="attention",
)

# %% tags=["test"]
assert top_layer >= cfg.n_layers // 2, "the writing is done late"
assert at_last.mean(0)[[2, 4]].min() > 0.4

# %% tags=["tell"]
to_right = at_last.masked_fill(prompts != right[:, None], 0).sum(-1).mean().item()
to_wrong = at_last.masked_fill(prompts != wrong[:, None], 0).sum(-1).mean().item()
most = at_last.mean(0).argmax().item()
display(
    Markdown(
        f"**{top}** spends {to_right:.0%} of its attention on the right name and {to_wrong:.0%} on the wrong one. The position "
        f"that it looks at most is number {most} ({model.to_str_tokens(prompts[0])[most]!r} in the first sentence), with "
        f"{at_last.mean(0)[most]:.0%}."
    )
)

# %% [markdown]
# Do not expect the name itself too firmly. A head that looks at a position reads *the stream* there: the token that stands
# there, and whatever earlier layers have brought to it. A name can travel in one step (the head looks straight at it, as
# GPT-2 small's name movers do) or in two (an earlier head carries it somewhere, and this one picks it up there). Attribution
# names the head that made the last step, in either case.
#
# ### What attribution cannot see
#
# The sum was exact, so it is tempting to call this the whole story. It is exact about *one* question: what is in the final
# stream, and who put it there. It says nothing about why they put it there. How does the strongest head know which of the
# two names to look at? Some earlier head must have told it, by writing something to the stream that this head's queries or
# keys read. That earlier head's vector has no reason to point at any name. Its direct attribution may be zero, and without
# it the answer may be gone.
#
# So set the two side by side. For every head:
#
# * its **direct** part: what is attributed to it, as above;
# * its **total** effect: how far the logit difference falls when the head is silenced for real and everything after it
#   computes with what is left. (Silencing: its `z` is replaced by its average over the same sentences with three different
#   names, so that it goes on saying all that it says about the sentence, and nothing about who is who. Chapter 04 is about
#   such interventions, and about what to replace by.)
#
# So that both mean the same change, the direct part too is counted against that average. First the average:


# %%
def usual_z(model: HookedTransformer, length: int, n: int) -> list[Tensor]:
    """Each layer's z `[s h e]`, averaged over up to n sentences of the same shape with three different names."""
    rows = [model.to_tokens(text)[0] for text in ioi_prompts(n, seed=1, aligned=True).abc().prompts]
    rows = torch.stack([row for row in rows if len(row) == length])
    _, cache = model.run_with_cache(rows, names_filter=lambda name: name.endswith("hook_z"))
    return [cache["z", layer].mean(0) for layer in range(model.cfg.n_layers)]


# %% [markdown]
# Then, for some heads of a layer, the direct part, and the logit difference that is left when they are silenced:


# %%
def direct_part(cache: ActivationCache, layer: int, heads: list[int], usual: Tensor, right, wrong) -> Tensor:
    """What these heads add to the logit difference by the straight path, beyond what they usually add."""
    change = (cache["z", layer][:, -1] - usual[-1])[:, heads]
    written = einsum(change, cache.model.W_O[layer, heads], "b h e, h e d -> b d")
    return cache.logit_attrs(written[None], right, wrong, pos_slice=-1).mean()


def silenced(model: HookedTransformer, tokens: Tensor, layer: int, heads: list[int], usual: Tensor) -> Tensor:
    """The logits when these heads say what they usually say."""

    def silence(z: Tensor, hook) -> None:
        z[:, :, heads] = usual[:, heads]

    return model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", silence)])


# %% [markdown]
# Both for a list of groups of heads, each a layer and some of its heads:


# %%
def direct_and_total(model: HookedTransformer, groups: list, n: int = 40) -> tuple[Tensor, Tensor, float]:
    """What silencing each group costs: by the straight path alone, and in all. And the clean difference."""
    tokens, right, wrong = ioi_batch(model, n)
    usual = usual_z(model, tokens.shape[1], 4 * n)
    logits, cache = model.run_with_cache(tokens)
    clean = logit_difference(logits, right, wrong).mean().item()
    direct, total = torch.zeros(2, len(groups))
    for i, (layer, heads) in enumerate(groups):
        left = silenced(model, tokens, layer, heads, usual[layer])
        direct[i] = direct_part(cache, layer, heads, usual[layer], right, wrong)
        total[i] = clean - logit_difference(left, right, wrong).mean()
    return direct, total, clean


# %%
single_heads = [(layer, [head]) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
head_labels = [f"L{layer}H{head}" for layer, [head] in single_heads]
direct, total, clean = direct_and_total(model, single_heads)

# %% [markdown]
# **Before you run the next cell:** were attribution the whole story, all points would lie on the diagonal. Which heads do you
# expect above it, those of early or of late layers? Can a head lie *below* it, so that silencing it costs less than what it
# adds?
#
# <details><summary>What to look for</summary>
#
# Far above it lie L3H3 and two heads of layer 0, L0H2 and L0H0, whose direct part is nothing at all: without L0H2 more than
# half of the logit difference is gone. And L4H0 and L4H1, which add the most, lie below: when one of them is silent, the layer after it
# makes up for a part, and the scale of a shorter stream lifts the rest.
#
# </details>

# %%
plots.scatter(
    direct,
    total,
    head_labels,
    title="Each head: its direct part and its total effect on the logit difference",
    x_label="direct: what attribution sees",
    y_label="total: what silencing it costs",
)

# %% tags=["tell"]
hidden = total - direct
worst = hidden.argmax().item()
hidden_head = head_labels[worst]
hidden_direct, hidden_total = direct[worst].item(), total[worst].item()
display(
    Markdown(
        f"The head farthest above the diagonal is **{hidden_head}**: its direct part is {hidden_direct:+.2f}, and silencing it costs "
        f"{hidden_total:.2f} of the {clean:.2f} that there are. The rest is what it does through later layers."
    )
)

# %% tags=["test"]
assert hidden_total > 0.1 * clean
assert abs(hidden_direct) < 0.5 * hidden_total
assert worst // cfg.n_heads < cfg.n_layers - 1, "only a head with layers after it can work through them"
above = [head_labels[i] for i in hidden.argsort(descending=True)[:3].tolist()]
assert set(above) == {"L0H2", "L3H3", "L0H0"}
assert hidden_head == "L0H2"
assert hidden_total > 0.5 * clean
assert (hidden[[head_labels.index("L4H0"), head_labels.index("L4H1")]] < -1).all()

# %% [markdown]
# Single heads can look less important than their kind of work is: when several do the same, the others still do it after one
# is gone. So silence all heads of a layer together.

# %%
layers = [(layer, list(range(cfg.n_heads))) for layer in range(cfg.n_layers)]
layer_direct, layer_total, _ = direct_and_total(model, layers)
plots.line(
    {"direct": layer_direct, "total": layer_total},
    x=[f"layer {layer}" for layer in range(cfg.n_layers)],
    title="All heads of a layer: direct part and total effect",
    x_label="silenced",
    y_label="logit difference",
)

# %% tags=["tell"]
unseen = (layer_total - layer_direct).argmax().item()
display(
    Markdown(
        f"Attribution credits the heads of **layer {unseen}** with {layer_direct[unseen]:+.2f}. Without them "
        f"{layer_total[unseen]:.2f} of the {clean:.2f} are gone."
    )
)

# %% tags=["test"]
assert unseen < cfg.n_layers - 1
assert layer_total[unseen] > 0.4 * clean
assert layer_direct[unseen].abs() < 0.3 * layer_total[unseen]

# %% [markdown]
# The same in its purest form, in the two-layer model without MLPs: on random tokens that are repeated, its
# induction heads in layer 1 find the token that followed last time (chapter 03). They can do so only because a head in layer 0
# has noted at every position which token stood before.

# %%
two_layer = HookedTransformer.from_pretrained("attn-only-2l-demo")
generator = torch.Generator().manual_seed(0)
half = torch.randint(1, two_layer.cfg.d_vocab, (16, 25), generator=generator)
repeated = torch.cat([torch.zeros(16, 1, dtype=torch.long), half, half], dim=1)  # 0 is BOS
two_logits, two_cache = two_layer.run_with_cache(repeated)
previous = two_cache["pattern", 0].diagonal(-1, -2, -1).mean((0, -1)).argmax().item()
print(f"the previous-token head: L0H{previous}")

# %% [markdown]
# **Before you run the next cells:** what does attribution say of that head? And what will the loss on the second half be
# without it? With it, it is 0.1 nats; a guess among all tokens costs 8.3.
#
# <details><summary>What to look for</summary>
#
# Its attribution is nothing: all four heads of layer 1 write the answer, those of layer 0 do not. Without it the loss is 8.1
# nats, nearly that of a guess. A part that adds nothing to the answer can be the one on which all depends.
#
# </details>

# %%
heads, two_labels = two_cache.stack_head_results(return_labels=True)
second = slice(26, -1)  # predictions inside the second half
attrs = two_cache.logit_attrs(heads[:, :, second], repeated[:, 27:], pos_slice=second)
by_two_heads = attrs.mean((1, 2))
plots.bar(
    by_two_heads,
    two_labels,
    title="Two-layer model, repeated random tokens: direct attribution to the right token",
    y_label="logit",
)


# %%
def without_previous(z: Tensor, hook) -> None:
    z[:, :, previous] = z[:, :, previous].mean((0, 1))


def second_half_loss(**hooks) -> float:
    run = two_layer.run_with_hooks(repeated, return_type="loss", loss_per_token=True, **hooks)
    return run[:, second.start :].mean().item()


loss_with = second_half_loss()
loss_without = second_half_loss(fwd_hooks=[("blocks.0.attn.hook_z", without_previous)])

# %% tags=["tell"]
share = by_two_heads[previous].item() / by_two_heads.sum().item()
display(
    Markdown(
        f"The previous-token head **L0H{previous}** has {share:+.1%} of the heads' attribution for the right token. Silence it, "
        f"and the loss on the second half goes from {loss_with:.2f} to {loss_without:.2f} nats."
    )
)

# %% tags=["test"]
assert abs(share) < 0.01
assert abs(loss_with - 0.10) < 0.05
assert 8 < loss_without < math.log(two_layer.cfg.d_vocab)

# %% [markdown]
# Attribution is the last page of the account. To see the pages before, one has to intervene (chapter 04), look into the weights
# that connect heads (chapter 05), and follow paths (chapter 06). What else it does not show:
#
# * **the scale**: making the stream longer turns everybody down (section 3);
# * **cancellation**: two components that undo each other look like two strong opinions;
# * **biases of habit**: a component that always favours " Mary" gets full marks whenever " Mary" is right. Comparing with a
#   reference, as above, takes that away.
#
# ## 5 The logit lens
#
# Attribution cuts the final stream into terms. One can also leave the stream whole and look at it early: take the state
# between two layers and read it as if the model ended there ([nostalgebraist
# 2020](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens)):
#
# $$
# \text{lens}_l = \mathrm{LN}_{\text{final}}(x_l)\, W_U + b_U.
# $$
#
# The final LayerNorm is computed anew at each state, with that state's own mean and standard deviation. That is the opposite
# of what attribution needed, and for a reason. Attribution asks what a term adds to the logit that *came out*; the terms
# must add up, so they share one scale. The lens asks what the model *would have said*; a model that ended here would
# normalise what it finds here. There are $L + 1$ states: what enters layer 0 (the embeddings alone), and what leaves each
# layer.

# %%
# exercise 02.7

# %%
check("02.7")


# %%
states = [*(f"into layer {i}" for i in range(cfg.n_layers)), "out"]
lens_of = yours("logit_lens")
story_lens = lens_of(story_cache)[:, 0]  # [state, position, token]
probability = story_lens.softmax(-1)[:, range(len(story_str) - 1), story_tokens[0, 1:]]
plots.heatmap(
    probability,
    x=next_labels,
    y=states,
    title="Probability of the next token, read off at every layer",
    x_label="the token that comes next",
    y_label="state of the stream",
    color_label="probability",
    limits=(0, 1),
    square=False,
)

# %% tags=["test"]
assert torch.allclose(story_lens[-1], story_logits[0], atol=1e-3), "the last state gives the model's logits"
assert probability[-1].mean() > probability[0].mean() + 0.2

# %% [markdown]
# Each column tells when a token was settled: some stand before the last layers, some only at the end, and some never get more
# than half, because nothing in the text says which of several continuations it will be. Sorted by the first state that gives
# the right token more than half:

# %% tags=["tell"]
sure = probability > 0.5
first_sure = torch.where(sure.any(0), sure.int().argmax(0), -1)
for i, state in enumerate([*states, "never"]):
    found = (first_sure == (i if i < len(states) else -1)).nonzero().flatten().tolist()
    if found:
        print(f"{state:13}", " ".join(f"{story_str[j]}→{story_str[j + 1]}".replace(" ", "·") for j in found))

# %% [markdown]
# In words, for the last few positions (the best guess of every state):

# %% tags=["tell"]
guesses = story_lens.argmax(-1)
shown = range(len(story_str) - 7, len(story_str))
print(f"{'':14}" + "".join(f"{story_str[i]!r:>12}" for i in shown))
for state, row in zip(states, guesses.tolist()):
    print(f"{state:14}" + "".join(f"{model.to_string(row[i])!r:>12}" for i in shown))

# %% [markdown]
# And our forty sentences: when does the model know who gets the ball?
#
# **Before you run the next cell:** you know from section 4 which layers' heads write the name. So where will the curve of the logit
# difference begin to rise? And that of the right name's probability?
#
# <details><summary>What to look for</summary>
#
# The difference stays near 0 until the state into layer 3, and rises in three steps, at layers 3, 4 and 5. The probability is still
# below 0.01 after the first of them, then 0.95: the right name was ahead of the wrong one, but not yet of all the other tokens.
#
# </details>

# %%
ioi_logits, ioi_cache = model.run_with_cache(prompts)
lens = lens_of(ioi_cache)
lens_difference = torch.stack([logit_difference(state, right, wrong).mean() for state in lens])
lens_right = torch.stack([state[:, -1].softmax(-1).gather(1, right[:, None]).mean() for state in lens])
plots.line_panels(
    {"right minus wrong": lens_difference, "p(right name)": lens_right},
    x=states,
    title="Logit lens on the forty sentences",
    x_label="state of the stream",
    connect=True,
)

# %% tags=["tell"]
jumps = lens_difference.diff()
decided = int(jumps.argmax())
display(
    Markdown(
        f"The largest step, {jumps[decided]:+.2f} of a final {lens_difference[-1]:.2f}, is made by **layer {decided}**. "
        f"The probability of the right name goes from {lens_right[decided]:.2f} before it to {lens_right[decided + 1]:.2f}."
    )
)

# %% tags=["test"]
assert abs(lens_difference[-1].item() - difference) < 1e-2
assert lens_difference[:4].abs().max() < 0.25
assert jumps[3:].min() > 2
assert lens_right[4] < 0.01
assert lens_right[5] > 0.9

# %%
one = model.W_U[:, right[0]] - model.W_U[:, wrong[0]]
plots.patching_map(
    torch.stack([model.ln_final(x)[0] @ one for x in ioi_cache.accumulated_resid()]),
    model.to_str_tokens(prompts[0]),
    title="The first sentence: the direction right name minus wrong name, in every state at every position",
    y=states,
    color_label="logit difference",
)

# %% [markdown]
# The last figure looks at all positions: a column that lights up before the last one does is a place where the answer, in this
# form, stood earlier.
#
# Two warnings, before you trust a lens.
#
# * It reads every state through a reader that was trained for the last one. Early layers may hold the answer in another form, which
#   the final reader does not understand; that the lens shows nothing does not mean that nothing is there. [Belrose et al.
#   2023](https://arxiv.org/abs/2303.08112) (sections 1 and 2) train a small translator per layer for this reason.
# * The differences between consecutive rows of the lens are not the layers' attributions: every row has a scale of its own.
#   There is another lens in use that divides every state by the *final* layer's scale (`cache.accumulated_resid(apply_ln=True)` gives its
#   states). Its rows do differ by the layers' attributions, and it agrees with ours in the last row; but it is not what a model that ended
#   earlier would say.

# %%
with_final_scale = ioi_cache.accumulated_resid(apply_ln=True)[:, :, -1] @ direction
with_final_scale = with_final_scale.diagonal(dim1=1, dim2=2).mean(-1) + biases
ours = lens_difference
plots.line(
    {"each state's own scale": ours, "the final scale for all": with_final_scale},
    x=states,
    title="Two lenses: right name minus wrong name",
    x_label="state of the stream",
    y_label="logit difference",
    connect=True,
)

# %% tags=["test"]
assert abs(with_final_scale[-1] - ours[-1]) < 1e-2

# %% [markdown]
# ## 6 Folding LayerNorm
#
# So far, "the direction of token $t$" was $\gamma \odot W_U[:, t]$, and a bias $\beta$ was always left over. Both can be
# moved to where they are read, once and for all. Let $n$ be the normalised stream, before gain and bias, and $W, b$ any
# weights that read the LayerNorm's output:
#
# $$
# (n \odot \gamma + \beta) W + b \;=\; n \underbrace{(\operatorname{diag}(\gamma) W)}_{W'} + \underbrace{(\beta W + b)}_{b'}.
# $$
#
# With numbers: $n = (1, -1)$, $\gamma = (2, 3)$, $\beta = (1, 0)$ and a reader with one output, $W = (5, 7)^\top$, $b = 1$. The
# LayerNorm gives $(3, -3)$, the reader $15 - 21 + 1 = -5$. Folded: $W' = (10, 21)^\top$, $b' = 1 \cdot 5 + 0 \cdot 7 + 1 = 6$,
# and $10 - 21 + 6 = -5$. Note that $\beta$ goes through the *old* $W$: the bias is added after the gain.
#
# Who reads what: `ln1` is read by $W_Q$, $W_K$ and $W_V$ of every head, `ln2` by $W_{in}$, `ln_final` by $W_U$. How far
# from doing nothing are the gains that training found?

# %%
plots.diagram("folded_layer_norm")

# %%
state = model.state_dict()
gains = {name.removesuffix(".w"): state[name].sort().values for name in state if name.endswith(".w")}
plots.line(
    gains, title="The gains of every LayerNorm, sorted", x_label="rank of the dimension", y_label="gain"
)

# %%
# exercise 02.8

# %%
check("02.8")


# %%
raw = HookedTransformer.from_pretrained_no_processing("gpt2-demo", dtype="float64")
expected = raw(prompts)
raw.load_state_dict(yours("fold_ln")(dict(raw.state_dict())))
error = (raw(prompts) - expected).abs().max().item()
print(f"logits before and after folding: largest difference {error:.1e} in float64")

# %% tags=["test"]
assert error < 1e-9

# %% [markdown]
# Not an approximation: the same function, written differently. `HookedTransformer.from_pretrained` does this unless told
# otherwise, and a few more rewritings of the same kind:
#
# | option | what it does | why nothing changes |
# |---|---|---|
# | `fold_ln` | gain and bias of every LayerNorm into its readers; then removes each reader's mean over d_model | the identity above; and what was centred has no part along $(1, \dots, 1)$, so that mean is never read |
# | `center_writing_weights` | removes the mean over d_model from all that is written to the stream | every reader centres first |
# | `center_unembed` | removes the mean over the vocabulary from $W_U$ and $b_U$ | shifts all logits of a position alike |
# | `fold_value_biases` | moves every head's $b_V$ through $W_O$ into $b_O$ | attention rows sum to 1, so $b_V$ always arrives whole |
#
# What do they change for an account like ours? For layers, nothing. For single heads a little: with $b_V$ moved into $b_O$,
# each head loses a constant that it wrote whatever it read. That is bookkeeping, but better bookkeeping: what is left is what
# depends on the text.

# %%
folded = HookedTransformer.from_pretrained("gpt2-demo")
_, by_part_folded, _, by_head_folded = attribute(folded, prompts, right, wrong)
print(f"largest change of a layer's attribution: {(by_part - by_part_folded).abs().max():.1e}")
print(f"largest change of a head's attribution:  {(by_head - by_head_folded).abs().max():.1e}")
# %% tags=["test"]
assert (by_part - by_part_folded).abs().max() < 1e-2
readers = [*folded.W_Q, *folded.W_K, *folded.W_V, *folded.W_in, folded.W_U]
assert all(W.mean(dim=-2).abs().max() < 1e-5 for W in readers), "no reader has a mean over d_model left"

constants = torch.stack(
    [
        einsum(block.attn.b_V + block.ln1.b @ block.attn.W_V, block.attn.W_O, "h e, h e d -> h d")
        for block in model.blocks
    ]
).flatten(0, 1)
_, heads_cache = model.run_with_cache(prompts)
from_b_V = heads_cache.logit_attrs(
    constants[:, None].expand(-1, len(prompts), -1), right, wrong, pos_slice=-1
).mean(-1)
assert (by_head - by_head_folded - from_b_V.reshape(by_head.shape)).abs().max() < 1e-2

# %% [markdown]
# The change is exactly the direct attribution of $(b_V + \beta W_V) W_O$, head by head: $b_V$ as it is after `ln1`'s bias has been
# folded into it. From the next chapter on models are loaded with the default options.
#
# ## 7 The same on GPT-2 small
#
# Nothing above knows which model it looks at. When GPT-2 small has been downloaded to this machine before, the next cells run
# the whole analysis on it.

# %%
at_hand = isinstance(try_to_load_from_cache("openai-community/gpt2", "model.safetensors"), str)
if at_hand:
    gpt2 = HookedTransformer.from_pretrained("gpt2-small")
    gpt2_prompts, gpt2_right, gpt2_wrong = ioi_batch(gpt2, 40)
    gpt2_difference, gpt2_by_part, gpt2_labels, gpt2_by_head = attribute(
        gpt2, gpt2_prompts, gpt2_right, gpt2_wrong
    )
    print(f"{len(gpt2_prompts)} sentences, mean logit difference {gpt2_difference:.2f}")
else:
    print("GPT-2 small is not on this machine, so this section stays empty; nothing else needs it.")

# %%
if at_hand:
    title = "GPT-2 small: what each component adds"
    display(plots.bar(gpt2_by_part, gpt2_labels, title=title, y_label="logit difference"))
    display(plots.head_map(gpt2_by_head, title="GPT-2 small, head by head", color_label="logit difference"))

# %%
if at_hand:
    _, gpt2_cache = gpt2.run_with_cache(gpt2_prompts, names_filter=lambda n: "resid" in n or "ln_final" in n)
    gpt2_lens = [gpt2.unembed(gpt2.ln_final(state[:, -1:])) for state in gpt2_cache.accumulated_resid()]
    gpt2_lens = torch.stack([logit_difference(logits, gpt2_right, gpt2_wrong).mean() for logits in gpt2_lens])
    title = "GPT-2 small: logit lens"
    display(plots.line(gpt2_lens, title=title, x_label="layers done", y_label="logit difference"))

# %%
if at_hand:
    gpt2_heads = [(layer, [head]) for layer in range(gpt2.cfg.n_layers) for head in range(gpt2.cfg.n_heads)]
    gpt2_direct, gpt2_total, _ = direct_and_total(gpt2, gpt2_heads, n=16)
    names = [f"L{layer}H{head}" for layer, [head] in gpt2_heads]
    title = "GPT-2 small: direct part and total effect of each head"
    display(plots.scatter(gpt2_direct, gpt2_total, names, title, "direct", "total"))

# %% [markdown]
# In GPT-2 small you will find the picture of [Wang et al. 2022](https://arxiv.org/abs/2211.00593) (section 3): a handful of
# heads in layers 9 and 10 that write the name (their name movers), a few in layers 10 and 11 that speak against it (negative
# name movers), and, far off the diagonal, heads in the middle layers that only tell the name movers where to look.
#
# ## What you now know
#
# * A cache is a dictionary filled by hooks. It can be trusted when it holds copies, when a failed run leaves no hooks behind, and
#   when it leaves other people's hooks alone.
# * The residual stream is a sum, exactly: embeddings, heads, MLPs, biases. Check a decomposition term by term, since a
#   sum does not see a swap.
# * LayerNorm is linear once its scale is held fixed at the value it had in the run. Freezing it gives an exact account of this run and
#   hides what a component does by its sheer size.
# * Direct logit attribution projects each term on a token's column of $W_U$, or on the difference of two. The terms, plus the biases,
#   sum to the logit.
# * It sees the last step only. Heads that work by telling later heads where to look have an attribution of about zero; only an
#   intervention shows them.
# * The logit lens reads states, not terms, each with its own LayerNorm; early states may be in a form it cannot read.
# * Gains and biases of LayerNorms can be folded into the weights that read them without changing the function; the directions
#   in the stream are then the columns of the weights themselves.
#
# ## Questions
#
# **1.** Why must a cache that is to be trusted hold copies, or the model leave its activations alone?
#
# <details><summary>Answer</summary>
#
# A hook is given the tensor itself. If somebody later changes it in place, what was "kept" changes with it, and no error says
# so: the cache then holds activations that no run ever had.
#
# </details>
#
# **2.** A decomposition into heads, MLPs, embeddings and biases sums to the stream exactly. Why is that no proof that it is right?
#
# <details><summary>Answer</summary>
#
# A sum does not see a swap. If the labels of two terms are exchanged, or a bias is counted with the wrong part, the sum is the
# same and every figure made of it is wrong. Check the terms one by one, against the hook points that hold them.
#
# </details>
#
# **3.** Attribution divides every term by the same $\sigma$, the logit lens divides each state by its own. Why?
#
# <details><summary>Answer</summary>
#
# They answer different questions. Attribution splits the logit that came out, so its terms must add up to it, and they do so
# only with the scale of that run. The lens asks what a model that ended here would say, and that model would normalize what it
# finds here.
#
# </details>
#
# **4.** A head has a direct attribution of 0, and without it the answer is gone. Another has a large attribution, and without
# it the answer hardly changes. How can both be?
#
# <details><summary>Answer</summary>
#
# The first works through others: it writes something that later heads read as query, key or value, in directions that no name's
# logit depends on. The second has colleagues: when it is silent, other heads write the same, or one that opposed it falls
# silent too, and the stream that is left is scaled up.
#
# </details>
#
# **5.** Folding changed no logit, and no layer's attribution, but some heads' a little. Which part of what a head writes has
# moved, and why is it fair to move it?
#
# <details><summary>Answer</summary>
#
# What comes from $b_V$ (and from `ln1`'s bias through $W_V$). The rows of a pattern sum to 1, so this part arrives whole at
# every position, whatever the head looks at. It says nothing about the text, so it is better kept with the layer's bias $b_O$.
#
# </details>
#
# ## References
#
# * [Ba, Kiros and Hinton 2016](https://arxiv.org/abs/1607.06450), *Layer Normalization*: section 3.
# * [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), *Attention Is All You Need*: sections 3.2.1 and 3.2.3.
# * [nostalgebraist 2020](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens), *interpreting GPT: the
#   logit lens*.
# * [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), *A Mathematical Framework for Transformer
#   Circuits*: "Virtual Weights and the Residual Stream as a Communication Channel"; "Attention Heads are Independent and Additive".
# * [Wang et al. 2022](https://arxiv.org/abs/2211.00593), *Interpretability in the Wild: a Circuit for Indirect Object Identification in
#   GPT-2 small*: sections 2 and 3.
# * [Belrose et al. 2023](https://arxiv.org/abs/2303.08112), *Eliciting Latent Predictions from Transformers with the Tuned Lens*:
#   sections 1 and 2.
#
# **Next:** [chapter 03](03_induction.ipynb) finds a circuit of two heads that is in nearly every language model, and builds one
# by hand.
