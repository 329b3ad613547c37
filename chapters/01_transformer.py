# ruff: noqa: F401
# %% [markdown]
# # 01 The transformer from scratch
#
# A language model reads a text and says, at every position, how likely each token of its vocabulary is to come next.
# That is all it does. Everything in this course is about *how* one particular kind of program does it, and one cannot
# take a program apart without knowing its parts. So in this chapter you write the program: GPT-2, whole, in nine
# short functions. Four more train it, and let it write.
#
# At the end your code is given the weights of a trained model, and it must produce the same logits as Hugging Face's
# implementation, number by number. Then it tells a story.
#
# **What is asked of the model.** A text is a sequence of tokens $t_0, t_1, \dots, t_{n-1}$. By the chain rule of
# probability, and with nothing lost,
#
# $$ p(t_0, \dots, t_{n-1}) = \prod_{i} p(t_i \mid t_0, \dots, t_{i-1}), $$
#
# so it is enough to have one function that turns a beginning into a distribution over the next token (Shannon 1948,
# section 3, did it with tables; [Bengio et al. 2003](https://www.jmlr.org/papers/v3/bengio03a.html) with a neural network). A
# transformer computes all these distributions of a text in a single pass: position $i$ of its output is about token $i+1$, and
# a *causal mask* sees to it that it has been computed from tokens $0 \dots i$ only.
#
# **The map.** One picture for the whole chapter, from bottom to top; the numbers are the exercises:
#
# ```
#                  logits  [b s v]                        01.10 loss   01.11 training   01.12-13 writing
#                     |
#                  W_U, b_U          unembedding          01.9
#                  ln_final          LayerNorm            01.1
#                     |
#        +--------->  + <--------- MLP <---- ln2 ----+    01.7, 01.1
#        |            |                              |
#  one   |            o------------------------------+    resid_mid  [b s d]
#  block |            |
#  01.8  |            + <--- attention <---- ln1 ----+    01.4-01.6, 01.1
#        |            |                              |
#        +----------  o------------------------------+    resid_pre  [b s d]
#                     |
#                     +             the residual stream begins
#                    / \
#        W_E[tokens]     W_pos[0..s-1]                    01.2, 01.3
#             |
#        tokens  [b s]
# ```
#
# The vertical line in the middle is the **residual stream**: one vector of length $d$ per position. It starts as an
# embedding, every part of every layer reads it and *adds* something to it, and at the top it is read out. Nothing is
# ever moved from it or overwritten ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), section
# on virtual weights and the residual stream). Only attention moves information between positions; all other parts
# work on each position by itself.
#
# **Letters for axes**, here and in all later chapters: `b` batch, `s` position (`q` when it is a query's, `k` when it
# is a key's), `d` d_model, `h` head, `e` d_head, `m` d_mlp, `v` vocabulary.

# %%
import math
import time

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from huggingface_hub import try_to_load_from_cache
from IPython.display import Markdown, display
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from cleanlens import HookedTransformer, HookedTransformerConfig, plots
from cleanlens.course import check, hint, solution, yours
from cleanlens.course.chapters.ch01.helpers import assemble
from cleanlens.loading.names import MODELS
from cleanlens.training.corpus import NAMES, OBJECTS, PLACES, documents

_ = torch.manual_seed(0)

# %% [markdown]
# The figures of this chapter look into `gpt2-demo`, a model of GPT-2's architecture that comes with the package and
# was trained on a toy world of very small stories.

# %%
model = HookedTransformer.from_pretrained_no_processing("gpt2-demo").requires_grad_(False)
cfg = model.cfg

# %% [markdown]
# Here are its sizes beside those of the smallest GPT-2 (layers and width from [Radford et al.
# 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf), table 2; the rest
# from the published model). They are different numbers in the same program.

# %% tags=["tell"]
small = dict(n_layers=12, d_model=768, n_heads=12, d_head=64, d_mlp=3072, n_ctx=1024, d_vocab=50257)
rows = "\n".join(f"| `{name}` | {getattr(cfg, name)} | {value} |" for name, value in small.items())
display(Markdown(f"| | gpt2-demo | GPT-2 small |\n|---|---|---|\n{rows}"))

# %% [markdown]
# And this is what it has to say after the beginning of a sentence: the probabilities of the next token, the twelve
# highest of them.

# %%
text = "When Mary and John went to the park, John gave a ball to"
tokens = model.to_tokens(text)  # BOS in front, as always
str_tokens = model.to_str_tokens(text)
logits, cache = model.run_with_cache(text)
highest = logits[0, -1].softmax(dim=-1).topk(12)
plots.bar(
    highest.values,
    [repr(model.to_string(token)) for token in highest.indices.tolist()],
    title=f"{text} ...",
    y_label="probability",
)

# %% [markdown]
# Some cells below use a function of yours as soon as its check passes, and the course's own until then: that is what
# `yours` gives.

# %% [markdown]
# ## 1 Layer normalization
#
# Every part of the model reads the residual stream, and the stream *grows*: each layer adds to it. A part that was
# trained on vectors of one size must not meet vectors ten times as large. So each reads through a normalization of
# its own.
#
# **Before you run the next cell:** six layers add to the stream. By which factor do you expect it to be longer at the end than
# at the start: 2, 7, 60? And the curve of what the parts see, after normalization: at which height does it lie?
#
# <details><summary>What to look for</summary>
#
# About 60: from 2, which is all that the embeddings bring, to 118. The first layer alone makes it eight times longer, and the
# last one doubles it. What the parts see is the same length everywhere, $\sqrt{160} = 12.6$. The axis is logarithmic.
#
# </details>

# %%
streams = [*(cache["resid_pre", layer] for layer in range(cfg.n_layers)), cache["resid_post", -1]]
raw = [resid[0, 1:].norm(dim=-1).mean() for resid in streams]
seen = [F.layer_norm(resid, (cfg.d_model,))[0, 1:].norm(dim=-1).mean() for resid in streams]
plots.line(
    {"the stream itself": torch.stack(raw), "after centring and scaling": torch.stack(seen)},
    x=[f"before {layer}" for layer in range(cfg.n_layers)] + ["at the end"],
    title="Length of the residual stream's vectors, mean over positions",
    y_label="length",
    connect=True,
    log_y=True,
)

# %% tags=["test"]
assert 50 * raw[0] < raw[-1] < 70 * raw[0], "the stream grows"
assert 7 * raw[0] < raw[1]
assert raw[-2] * 2 < raw[-1]
assert all(abs(length - 160**0.5) < 0.1 for length in seen)

# %% [markdown]
# **The definition** ([Ba, Kiros and Hinton 2016](https://arxiv.org/abs/1607.06450), section 3, equations 3 and 4). For one vector
# $x$ of length $d$, the one at one position of one text:
#
# $$
# \mu = \frac{1}{d}\sum_i x_i, \qquad \sigma^2 = \frac{1}{d}\sum_i (x_i - \mu)^2, \qquad
# \mathrm{LN}(x) = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} \odot w + b .
# $$
#
# The gain $w$ and the bias $b$ are learned, one number per dimension.
#
# **By hand.** Take $x = (1, 2, 3, 6)$. Then $\mu = 3$; the deviations are $(-2, -1, 0, 3)$;
# $\sigma^2 = (4 + 1 + 0 + 9)/4 = 3.5$; $\sigma = 1.871$. So before gain and bias the result is
# $(-1.069, -0.535, 0, 1.604)$. With $d - 1 = 3$ in the denominator it would be $(-0.926, -0.463, 0, 1.389)$: that is
# `torch.var`'s default, meant for estimating the variance of a population from a sample. Nothing is estimated here.
#
# **As geometry.** Subtracting the mean removes one direction, that of $(1, 1, \dots, 1)$. Dividing by $\sigma$ puts
# what is left on a sphere of radius $\sqrt d$ (the curve above lies at $\sqrt{160} = 12.6$). So LayerNorm keeps a
# vector's direction, within $d-1$ dimensions, and forgets its length: $\mathrm{LN}(a x + c) = \mathrm{LN}(x)$ for
# $a > 0$, as long as $\varepsilon$ is small beside the variance. It is *almost* linear: for a fixed $\sigma$ it is
# affine, linear but for the bias $b$, and chapter 02 makes good use of that.
#
# **What $\varepsilon$ is for.** A vector without any variance would be divided by 0. With $\varepsilon$ *inside* the
# root it is divided by $\sqrt\varepsilon$ at least. On ordinary vectors one cannot see where $\varepsilon$ stands, or
# whether it is there at all; on small ones one can:

# %%
x = torch.tensor([1.0, 2.0, 3.0, 6.0])
centred = x - x.mean()
sizes = torch.logspace(-5, 1, 25)
inside = [(s * centred / ((s * centred).square().mean() + 1e-5).sqrt()).abs().max() for s in sizes]
outside = [(s * centred / ((s * centred).square().mean().sqrt() + 1e-5)).abs().max() for s in sizes]
plots.line(
    {"sqrt(var + eps)": torch.stack(inside), "sqrt(var) + eps": torch.stack(outside)},
    x=sizes,
    title="The largest number in LN(s · (1, 2, 3, 6)), eps = 1e-5",
    x_label="s",
    log_x=True,
)

# %% [markdown]
# (Later models often leave the centring out: RMSNorm, [Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467). Why
# normalization helps training at all is less settled than one would think; [Xiong et al. 2020](https://arxiv.org/abs/2002.04745)
# show that having it *in front of* each part, as GPT-2 does, keeps the gradients of the first steps at a reasonable size.)
#
# Now write it. All axes of `x` but the last are just many vectors side by side.

# %%
# exercise 01.1

# %%
check("01.1")

# %% [markdown]
# Read your function once more with the geometry in mind: what does it do to a vector whose numbers are all equal?
# Nothing is left of it but $b$. A part of the model cannot see how large the stream is, or what its mean is; it sees
# a direction. That has a consequence for taking models apart: whoever wants a later part to notice something must
# make it large *in comparison with everything else* in the stream.

# %% [markdown]
# ## 2 Tokens and positions become vectors
#
# **Token embedding.** Each token $t$ of the vocabulary has a learned vector, row $t$ of the matrix $W_E$ (`"v d"`).
# One can say the same as a product with a one-hot vector: $\mathrm{onehot}(t)\, W_E = W_E[t]$. The lookup is faster,
# the product is the better picture: it says that the embedding is a linear map out of the space of tokens, and
# chapter 05 multiplies it with others.
#
# **By hand.** With $W_E = \begin{pmatrix} 1 & 0\\ 0 & 2\\ 3 & 3\end{pmatrix}$ the tokens $(2, 0)$ become the rows
# $(3, 3)$ and $(1, 0)$.
#
# Do the vectors mean anything? Words that can replace each other in the training texts should come to lie near each
# other. In the toy world names replace names, places places, things things. The mean cosine similarity between groups
# of words, each word compared with others only:

# %%
groups = {"names": NAMES, "places": PLACES, "things": OBJECTS}
ids = [[model.to_single_token(f" {word}") for word in words] for words in groups.values()]
vectors = F.normalize(model.W_E - model.W_E.mean(dim=0), dim=-1)
cosines = (vectors @ vectors.T).fill_diagonal_(math.nan)  # a word's with itself is left out
alike = torch.tensor([[cosines[a][:, b].nanmean() for b in ids] for a in ids])
plots.heatmap(alike, x=list(groups), y=list(groups), title="Mean cosine similarity of token embeddings")

# %% tags=["test"]
for i in range(3):
    assert alike[i].argmax() == i, "each group is closest to itself"

# %% [markdown]
# Each group is closest to itself (the diagonal). Nobody told the model what a name is.

# %%
# exercise 01.2

# %%
check("01.2")

# %% [markdown]
# **Position embedding.** A layer of attention, as we shall see, treats the earlier tokens as a *set*: shuffle them, and
# the query gets the same answer. (That is true of one layer. In a second one the shuffled tokens have themselves looked
# at other things, since each sees only those before it: the causal mask lets something of the order through.) But *John
# gave Mary* and *Mary gave John* should be told apart easily, and from the start. So every position $i$ has a
# vector too, row $i$ of $W_{pos}$ (`"n_ctx d"`), and the stream begins as the sum
#
# $$ x_i = W_E[t_i] + W_{pos}[i]. $$
#
# The transformer of 2017 used fixed sines and cosines ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.5), and
# its authors remark there that learned positions do as well; GPT and GPT-2 learn them ([Radford et al.
# 2018](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf), section 4.1). A learned
# table ends at `n_ctx`: there is no row for position `n_ctx`, and the model cannot read a longer text at all. That the sum of
# the two vectors can be taken apart again by whoever reads it is not guaranteed by anything; training sees to it, since
# in $d$ dimensions there is room for many nearly orthogonal directions.
#
# What has training made of the table? The figure shows the cosine similarity between the vectors of every two positions.
#
# **Before you run the next cell:** at the start of training the vectors were random, and all the cosines between different ones
# near 0. What would you expect now, near the diagonal and far from it?
#
# <details><summary>What to look for</summary>
#
# A broad band: vectors up to ten positions apart have a cosine of about 0.4, at 16 it is 0.2, and at 40 it is slightly
# negative. There is no bright line next to the diagonal: position $i$ is no more like $i+1$ than like $i+4$. Only at the very
# beginning the band is missing: the first positions are told apart more sharply.
#
# </details>

# %%
directions = F.normalize(model.W_pos, dim=-1)
cosines = directions @ directions.T
plots.heatmap(
    cosines,
    title="Cosine similarity of position embeddings",
    x_label="position",
    y_label="position",
    limits=(-1, 1),
    square=True,
)

# %% tags=["test"]
for distance in (1, 2, 4, 8):
    assert 0.35 < cosines.diagonal(distance).mean() < 0.5
assert 0.15 < cosines.diagonal(16).mean() < 0.25
assert -0.2 < cosines.diagonal(40).mean() < 0

# %% [markdown]
# Nearby positions have similar vectors: a head that wants "somewhere around here" can have it, and one that wants
# "exactly the one before" has to work for it.

# %%
# exercise 01.3

# %%
check("01.3")

# %% [markdown]
# ## 3 Attention
#
# Attention is the only place where information moves between positions. Each position asks a question (its
# **query**), each position holds up a label (its **key**); where question and label agree, the asker collects what
# lies there (the **value**). In this section we build it in three steps: who may look where (the mask), how much each
# looks where (the pattern), and what is moved (the values and the output).
#
# ### 3.1 The causal mask
#
# The score of query $q$ and key $k$ is a number, and a softmax over the keys will turn each query's scores into
# weights whose sum is 1. But position $i$ has to predict token $i+1$; if it could look there, it would copy, and learn
# nothing. So scores with $k > q$ are set to $-\infty$ before the softmax, and $e^{-\infty} = 0$ ([Vaswani et al.
# 2017](https://arxiv.org/abs/1706.03762), section 3.2.3).
#
# **By hand.** Three positions whose scores are all 0:
#
# $$
# \begin{pmatrix} 0 & 0 & 0\\ 0 & 0 & 0\\ 0 & 0 & 0\end{pmatrix} \to
# \begin{pmatrix} 0 & -\infty & -\infty\\ 0 & 0 & -\infty\\ 0 & 0 & 0\end{pmatrix}
# \xrightarrow{\text{softmax over keys}}
# \begin{pmatrix} 1 & 0 & 0\\ \tfrac12 & \tfrac12 & 0\\ \tfrac13 & \tfrac13 & \tfrac13\end{pmatrix}
# $$
#
# The diagonal stays: a token may look at itself, and the first can look at nothing else. Had we multiplied the future
# by 0 instead, the middle matrix would have been full of zeros, and each row of the last one
# $\tfrac13, \tfrac13, \tfrac13$: a score of 0 is not "no attention", it is $e^0 = 1$.
#
# When a model writes, it will keep the keys of the past and ask only one new query (section 8). So write the mask for
# the general case: the queries are the *last* q of the k positions. This is the picture for q = 2, k = 6 (1 is
# visible):

# %%
n_queries, n_keys = 2, 6
query = torch.arange(n_keys - n_queries, n_keys)[:, None]
key = torch.arange(n_keys)[None, :]
visible = (key <= query).float()
plots.heatmap(
    visible, x=range(6), y=[4, 5], title="Visible keys", x_label="key", y_label="query", zero_centred=False
)

# %%
# exercise 01.4

# %%
check("01.4")

# %% [markdown]
# You may have filled with $-10^{9}$ or with the smallest float, as many implementations do: the softmax cannot tell
# the difference, and a row that is masked throughout (padding on the left has such rows) gives equal weights instead
# of NaN. But the number must be beyond any score: half precision ends at 65,504.

# %% [markdown]
# ### 3.2 The pattern
#
# For each head, and within one text, with query and key vectors of length $e$ (Vaswani et al. 2017, section 3.2.1,
# equation 1):
#
# $$ \mathrm{pattern}_{qk} = \mathrm{softmax}_k\left(\frac{q_q \cdot k_k}{\sqrt e}\right), \qquad
# \mathrm{softmax}(s)_k = \frac{e^{s_k}}{\sum_{j} e^{s_j}} \quad\text{over } j \le q. $$
#
# **Why $\sqrt e$?** If the components of $q$ and $k$ are independent with mean 0 and variance 1, each product
# $q_i k_i$ has variance 1, and their sum has variance $e$ (this is footnote 4 of the paper). Unscaled, a head of
# width 64 would start training with scores of size 8, and $e^{8}$ is 3,000: the softmax would put nearly everything
# on one key. There its derivative, $\partial p_i / \partial s_j = p_i(\delta_{ij} - p_j)$, is nearly 0, and nothing
# could be learned. We can watch it, with random queries and 20 random keys each, in heads of width 1 to 256.
#
# **Before you run the next cell:** how large is the largest of 20 weights, on average, when the scores are left as they are? When
# they are divided by $\sqrt e$? And when they are divided by $e$, what does the curve tend to?
#
# <details><summary>What to look for</summary>
#
# Unscaled, it goes from 0.2 to more than 0.9: nearly all on one key. With the root it stays at 0.2, whatever the width. Divided
# by $e$ it falls towards $1/20 = 0.05$: all scores come near 0, and the head looks at everything equally.
#
# </details>

# %%
widths = [1, 2, 4, 8, 16, 32, 64, 128, 256]
largest: dict[str, list[Tensor]] = {"unscaled": [], "divided by sqrt(e)": [], "divided by e": []}
for width in widths:
    scores = (torch.randn(500, 1, width) * torch.randn(500, 20, width)).sum(-1)  # 20 keys
    for name, divisor in zip(largest, (1, width**0.5, width)):
        largest[name].append((scores / divisor).softmax(dim=-1).amax(dim=-1).mean())

# %%
plots.line(
    {name: torch.stack(values) for name, values in largest.items()},
    x=widths,
    title="The largest of 20 attention weights between random vectors",
    x_label="d_head",
    y_label="weight",
    log_x=True,
    limits=(0, 1),
)

# %% tags=["test"]
assert largest["unscaled"][-1] > 0.9, "without the scale the pattern of a wide head is all on one key"
assert all(0.15 < weight < 0.25 for weight in largest["divided by sqrt(e)"])
assert 0.05 < largest["divided by e"][-1] < 0.07

# %% [markdown]
# With the root, and only with it, a random head looks about the same whatever its width.
#
# **By hand.** One head, $e = 4$, and at position 1 the query $(1, 1, 0, 0)$; keys $(2, 0, 0, 0)$ at position 0 and
# $(2, 2, 0, 0)$ at position 1. The scores are $2/2 = 1$ and $4/2 = 2$, so the row is
# $\left(\frac{e^1}{e^1+e^2}, \frac{e^2}{e^1+e^2}\right) = (0.269, 0.731)$.
#
# Order matters: scale, mask, softmax. If the mask comes after the softmax, the rows no longer add up to 1.
#
# **Numbers.** A float32 ends at $3.4 \cdot 10^{38}$, so $e^{x}$ is infinite from $x = 89$ on, and a softmax written as it
# stands gives $\infty / \infty$, NaN. One may subtract any constant from all the scores of a row without changing the
# result; subtract their maximum, and the largest exponential is $e^0 = 1$. `softmax` does that for you.

# %%
# exercise 01.5

# %%
check("01.5")

# %% [markdown]
# These are the patterns of the trained model's first layer. Hover over a token to see where it looks. A row adds up to
# 1 even where a head has found nothing to collect; BOS, which is there in every text and says nothing about it, is then
# a place to rest (chapter 00).

# %%
plots.attention(str_tokens, cache["pattern", 0][0], [f"L0H{head}" for head in range(cfg.n_heads)])

# %% [markdown]
# ### 3.3 Heads
#
# Each of the $h$ heads has matrices of its own, which take the normalized stream into a small space of width $e$ and
# back:
#
# $$
# \begin{aligned}
# q &= x W_Q + b_Q & &[b\,s\,d] \cdot [h\,d\,e] \to [b\,s\,h\,e] \quad\text{(likewise } k, v)\\
# z_q &= \textstyle\sum_k \mathrm{pattern}_{qk}\, v_k & &[b\,h\,q\,k] \cdot [b\,k\,h\,e] \to [b\,q\,h\,e]\\
# \mathrm{out} &= \textstyle\sum_h z^h W_O^h + b_O & &[b\,q\,h\,e] \cdot [h\,e\,d] \to [b\,q\,d]
# \end{aligned}
# $$
#
# The paper describes the last line as "concatenate the heads, then multiply by one big matrix" (section 3.2.2). It is
# the same sum: a row of blocks times a column of blocks. Written as a sum it says more: **heads are independent and
# additive** ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html)). Each head reads the stream, and
# adds something to it, without knowing of the others.
#
# **By hand.** Two heads of width 1, $d = 2$, at some position $z^0 = 3$, $z^1 = 5$, $W_O^0 = (1, 0)$,
# $W_O^1 = (1, -1)$, $b_O = (0, 10)$. Head 0 adds $(3, 0)$, head 1 adds $(5, -5)$, the bias once $(0, 10)$: the output
# is $(8, 5)$.
#
# **Two facts about the biases** that are worth knowing before one goes looking for their effects.
#
# - $b_K$ does nothing. It adds $q \cdot b_K$ to all the scores of a query, the same number for every key, and a
#   softmax does not see that.
# - $b_V$ could be moved into $b_O$: the weights of a row add up to 1, so
#   $\sum_k \mathrm{pattern}_{qk}(v_k + b_V) = z + b_V$, whatever the pattern is. (Loading a model with
#   `fold_value_biases=True` does exactly this.)
#
# We can check the first on the trained model: give its first layer a huge random $b_K$ and look at the logits.

# %%
meddled = HookedTransformer.from_pretrained_no_processing("gpt2-demo").requires_grad_(False)
meddled.blocks[0].attn.b_K += 3 * torch.randn(cfg.n_heads, cfg.d_head)
change = (meddled(text) - logits).abs().max().item()
print(f"the largest change of a logit: {change:.1e}")

# %% tags=["test"]
assert change < 1e-3

# %% [markdown]
# **How much work is it?** Scores and $z$ cost about $2 s^2 d$ multiplications per layer (half of it thrown away by the
# mask), the four products with weights $4 s d^2$, and the MLP of the next section $8 s d^2$. For a short text the
# weights dominate; attention's square overtakes its own weights at $s = 2d$, and those of the whole block at $s = 6d$:
# 4,608 positions for GPT-2 small, more than it can read. That is the famous quadratic cost: it is a matter of long texts.

# %%
# exercise 01.6

# %%
check("01.6")

# %% [markdown]
# **What you have in your hands.** Four matrices per head do two separate jobs. $W_Q$ and $W_K$ only ever appear
# together, as $W_Q W_K^T$ (`"d d"`, of rank $e$), and decide from where information comes; $W_V$ and $W_O$ only
# appear as $W_V W_O$, and decide what is moved and where it is written. Chapter 05 reads these two products, without
# running the model at all.

# %%
plots.diagram("qk_ov")

# %% [markdown]
# ## 4 The MLP
#
# When attention has brought things together at a position, the MLP works on them, at each position by itself ([Vaswani
# et al. 2017](https://arxiv.org/abs/1706.03762), section 3.3):
#
# $$ \mathrm{MLP}(x) = \mathrm{gelu}(x W_\mathrm{in} + b_\mathrm{in})\, W_\mathrm{out} + b_\mathrm{out}. $$
#
# One can read it neuron by neuron. Neuron $j$ looks at the stream along one direction (column $j$ of
# $W_\mathrm{in}$), fires if the match exceeds a threshold (given by $b_\mathrm{in}$), and then writes one direction
# (row $j$ of $W_\mathrm{out}$), the more strongly the more it fires. [Geva et al. 2021](https://arxiv.org/abs/2012.14913) call
# that a key-value memory. There are usually $m = 4d$ neurons, which makes two thirds of a block's weights.
#
# **The nonlinearity.** Without one, two matrices in a row would be one matrix. GELU ([Hendrycks and Gimpel
# 2016](https://arxiv.org/abs/1606.08415), section 2) lets $x$ through with the probability that a standard Gaussian is below $x$:
# $x\,\Phi(x)$, a ReLU with a soft knee. $\Phi$ was slow in 2016, so the paper offers an approximation, GPT-2 was trained with it,
# and so it has become GPT-2's definition:
#
# $$ \mathrm{gelu\_new}(x) = \frac{x}{2}\left(1 + \tanh\left(\sqrt{\tfrac{2}{\pi}}\,(x + 0.044715\,x^3)\right)\right). $$

# %%
x = torch.linspace(-4, 4, 161)
gelu_new = F.gelu(x, approximate="tanh")
difference = gelu_new - F.gelu(x)
plots.line_panels(
    {
        "f(x)": {"gelu_new": gelu_new, "relu": F.relu(x), "silu": F.silu(x)},
        "gelu_new - exact": difference,
    },
    x=x,
    title="Nonlinearities, and what the approximation costs",
    x_label="x",
)

# %% tags=["test"]
assert 1e-4 < difference.abs().max() < 1e-3

# %% [markdown]
# The difference is small, and enough to spoil an exact comparison of two implementations.
#
# **By hand.** $\mathrm{gelu\_new}(1) = 0.5\,(1 + \tanh(0.7979 \cdot 1.0447)) = 0.8412$, and
# $\mathrm{gelu\_new}(-1) = -0.1588$. Their difference is 1, and in general
# $\mathrm{gelu}(x) - \mathrm{gelu}(-x) = x$: far from 0 it is the identity on one side and nothing on the other.

# %%
# exercise 01.7

# %%
check("01.7")

# %% [markdown]
# ## 5 The block
#
# Two lines wire it all to the stream:
#
# $$
# \begin{aligned}
# \text{resid\_mid} &= \text{resid\_pre} + \mathrm{Attention}(\mathrm{LN}_1(\text{resid\_pre}))\\
# \text{resid\_post} &= \text{resid\_mid} + \mathrm{MLP}(\mathrm{LN}_2(\text{resid\_mid}))
# \end{aligned}
# $$
#
# **Why add?** Residual connections ([He et al. 2015](https://arxiv.org/abs/1512.03385), [2016](https://arxiv.org/abs/1603.05027))
# were invented because deep networks did not train without
# them. The derivative of $x + f(x)$ is $1 + f'(x)$: however small $f'$ is, the gradient from the top reaches the
# bottom undiminished. For us they have a second use. Write out all additions of a model with $L$ layers, and the
# stream at its end is
#
# $$ \text{resid\_final} = \text{embed} + \text{pos\_embed} + \sum_{l=0}^{L-1} \left(\text{attn\_out}_l + \text{mlp\_out}_l\right), $$
#
# a plain sum with one term per part. Here it is, on the trained model:

# %%
plots.diagram("residual_stream")

# %%
terms = [cache["embed"], cache["pos_embed"]]
for layer in range(cfg.n_layers):
    terms += [cache["attn_out", layer], cache["mlp_out", layer]]
total = torch.stack(terms).sum(dim=0)
error = (total - cache["resid_post", -1]).abs().max().item()
print(f"{len(terms)} terms add up to the stream at the end; the largest error is {error:.0e}")

# %% tags=["test"]
assert error < 1e-4

# %% [markdown]
# **Why does the norm stand inside the branch?** In 2017 it stood on the stream itself, after each addition
# (post-norm). Then the stream is rescaled at every step, the sum above is lost, and so is the undiminished gradient.
# GPT-2 moved it to the entrance of each part (pre-norm; [Radford et al.
# 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf), section 2.3), and
# added one more norm at the very end.
#
# **A trap in Python.** `x += y` writes into the tensor `x`. The numbers that the block returns are the same, but
# whoever kept the stream from before (a cache, a test, the caller) now finds the new one in its place. Chapter 02 is
# built on kept activations, so make new tensors.

# %%
# exercise 01.8

# %%
check("01.8")

# %% [markdown]
# If your check passed, every block of yours leaves what it read as it was, and the sum above holds for it too.

# %% [markdown]
# ## 6 The whole
#
# The last piece: at the end the stream is normalized once more and read out by the unembedding,
#
# $$ \text{logits} = \mathrm{LN}_f(\text{resid\_final})\, W_U + b_U \qquad [b\,s\,d] \cdot [d\,v] \to [b\,s\,v]. $$
#
# Column $t$ of $W_U$ is the direction in which the stream must point to say token $t$. A **logit** is any number that
# a softmax will make a probability of: only differences between logits mean something.
#
# GPT-2 as published uses $W_U = W_E^T$ (*tied* embeddings, [Press and Wolf 2016](https://arxiv.org/abs/1608.05859)) and no $b_U$.
# We keep them apart: a tied matrix is not what one wants when one takes a model apart (the word that comes in and the word that
# goes out are different things: think of *the direct path*, token $\to$ embedding $\to$ unembedding, which with tied weights
# can only say "again the same"), and folding the last norm into $W_U$ makes a $b_U$.
#
# Where are the weights? For `gpt2-demo`:

# %%
counts: dict[str, int] = {}
for name, weight in model.named_parameters():
    kind = next(k for k in ("pos_embed", "unembed", "embed", "attn", "mlp", "ln") if k in name)
    counts[kind] = counts.get(kind, 0) + weight.numel()
plots.bar(
    list(counts.values()),
    list(counts),
    title=f"The {sum(counts.values()):,} parameters of gpt2-demo",
    y_label="numbers",
)

# %% tags=["test"]
assert sum(counts.values()) == sum(weight.numel() for weight in model.parameters())

# %% [markdown]
# Without embeddings, biases and norms, a block has $4d^2 + 2dm = 12 d^2$ weights (for $h e = d$ and $m = 4d$): four
# matrices of attention and two of the MLP. GPT-2 small: $12 \cdot 12 \cdot 768^2 = 85$ million, and 39 million for
# its embedding.
#
# In this exercise the parts are given to you, made, as `self.embed`, `self.blocks` and so on.

# %%
# exercise 01.9

# %%
check("01.9")

# %% [markdown]
# That was GPT-2. Is it really causal? Replace one token of the sentence at a time by another, and look at which
# positions' logits change at all.
#
# **Before you run the next cell:** the last row is where the model has to say *Mary*. Of the tokens before it, which one does it
# feel most? And which column is dark all the way down?
#
# <details><summary>What to look for</summary>
#
# Above the diagonal nothing happens: no position feels what comes after it. Below it, most positions feel their own token and
# those just before it, and all of them feel `When`, by which the model knows what kind of sentence it is in. The last row is
# another: it feels ` Mary`, twelve positions back, as much as the token it stands on, and then ` John`.
#
# </details>

# %%
influence = torch.zeros(len(str_tokens), len(str_tokens))
for position in range(1, len(str_tokens)):
    changed = tokens.clone()
    changed[0, position] = model.to_single_token(" dog")
    influence[:, position] = (model(changed) - logits)[0].norm(dim=-1)

# %%
plots.heatmap(
    influence,
    x=plots.numbered(str_tokens),
    y=plots.numbered(str_tokens),
    title="How much the logits change when one token is replaced",
    x_label="replaced",
    y_label="logits at",
    zero_centred=False,
)

# %% tags=["tell"]
felt = int(influence[-1, :-1].argmax())
display(
    Markdown(f"Of the tokens before it, the last position feels `{str_tokens[felt]}` (position {felt}) most.")
)

# %% tags=["test"]
assert influence.triu(1).max() < 1e-4, "no position may feel what comes after it"
assert str_tokens[felt] == " Mary"
assert influence[-1, felt] > 0.95 * influence[-1, -1]
assert influence[1:, 1].min() > 45, "all feel the first word"

# %% [markdown]
# The last section of this chapter puts *your* classes together and loads a trained model into them.
#
# ## 7 Learning
#
# ### 7.1 The loss
#
# The model says $p(\cdot \mid t_0 \dots t_i)$ at position $i$; the text goes on with $t_{i+1}$. How bad is that? The
# **cross-entropy** is the surprise,
#
# $$ \mathrm{loss}_i = -\log p(t_{i+1} \mid t_0, \dots, t_i)
#    = \log \sum_j e^{\mathrm{logit}_{i,j}} - \mathrm{logit}_{i,\,t_{i+1}} , $$
#
# in *nats* (natural logarithm; divide by $\log 2$ for bits). It is 0 when the right token was certain. A model that
# knows nothing and gives every token the same probability has the loss $\log v$, for our vocabulary of 4,096 tokens
# 8.32. Adding the losses of a whole text gives $-\log p(t_1, \dots, t_{n-1} \mid t_0)$, by the chain rule from the
# beginning of this chapter: minimizing it is maximum likelihood. Only the first token has no loss, since nothing
# predicts it; with BOS there, which is the same in every text, nothing is missing. The exponential of the *mean* loss is
# the **perplexity**: a model with perplexity 8 is as unsure as one that chooses among 8 equally likely tokens.
#
# **By hand.** Logits $(2, 0, 0)$ and the right token is number 0: $\log(e^2 + 1 + 1) - 2 = 2.240 - 2 = 0.240$. If it
# is number 1: $2.240$.
#
# Position $i$ is about token $i + 1$. So the predictions are `logits[:, :-1]` and the targets `tokens[:, 1:]`: the
# last position has no target, and nobody predicts the first token.
#
# A word on floating-point numbers: float32 cannot hold anything below about $10^{-45}$, so $e^{-104}$ is 0 and its
# logarithm $-\infty$. On the right of the formula above no logarithm of a small number appears. But the sum in it is
# infinite as soon as a logit exceeds 88; here, too, the maximum is taken out first,
# $\log \sum_j e^{x_j} = m + \log \sum_j e^{x_j - m}$ with $m = \max_j x_j$. `log_softmax` does both.

# %%
far_apart = torch.tensor([0.0, 110.0])
print("log(softmax):        ", far_apart.softmax(dim=0).log().tolist())
print("x - log(sum(exp(x))):", (far_apart - far_apart.exp().sum().log()).tolist())
print("log_softmax:         ", far_apart.log_softmax(dim=0).tolist())

# %%
# exercise 01.10

# %%
check("01.10")

# %% [markdown]
# Here is the loss of every token of a newly made story, in which somebody has an invented name of three pieces, *Kumela*. Hover:
# what is hard to predict?
#
# **Before you run the next cell:** what will the three pieces of *Kumela* cost at the first mention, and what at the later ones?
# What does a full stop cost?
#
# <details><summary>What to look for</summary>
#
# The first time each piece is expensive, five to seven nats. Later `um` and `ela` cost nothing, and only the first piece still
# costs something: who will be mentioned next? Full stops are nearly free wherever the sentence is complete.
#
# </details>

# %%
story = next(document for document in documents(50, seed=12345) if len(model.to_tokens(document)[0]) > 40)
story_tokens = model.to_tokens(story)
surprise = yours("loss")(model(story), story_tokens)[0]
plots.tokens(model.to_str_tokens(story)[1:], -surprise, title="minus the loss")

# %% tags=["tell"]
display(
    Markdown(
        f"The mean is **{surprise.mean():.2f}** nats; a model that knows nothing would pay "
        f"log({cfg.d_vocab}) = {math.log(cfg.d_vocab):.2f}."
    )
)

# %% tags=["test"]
assert surprise.mean() < math.log(cfg.d_vocab) / 2
first, *_, last = [i for i, token in enumerate(model.to_str_tokens(story)[1:]) if token == "ela"]
assert surprise[first] > 5
assert surprise[last] < 0.1

# %% [markdown]
# Names and things are a surprise when they are first chosen, since nothing before could tell which of them it would
# be; grammar, and names that have been mentioned before, are not. Some surprise belongs to the text and no model can
# remove it: the **entropy** of the source.
#
# ### 7.2 A step of training
#
# Training is one short loop: predict, measure, find out for every weight in which direction the loss falls
# (`backward`, the chain rule of calculus), and move every weight a little that way (`optimizer.step`). How far and
# exactly where is the optimizer's choice: plain descent goes along the gradient; **AdamW** ([Loshchilov and Hutter
# 2017](https://arxiv.org/abs/1711.05101)), which nearly all language models are trained with, divides each weight's step by the
# size of its recent gradients, and lets every weight decay a little. Two things go wrong in practice:
#
# - PyTorch *adds* new gradients to the old ones. So they are set to zero once per step, before `backward` (never
#   between `backward` and `step`).
# - Texts of a batch have different lengths; the shorter are filled up with padding (chapter 00). Predicting padding
#   is easy and worthless, so those predictions must not count, neither in the sum nor in the number that it is
#   divided by.

# %%
# exercise 01.11

# %%
check("01.11")


# %% [markdown]
# Now train something: one layer, a width of 32, two heads, on texts of the toy world, for 120 steps. It is put
# together from your classes; those that are missing or not right yet are named, and the course's are used for them.

# %%
tiny_cfg = HookedTransformerConfig(
    n_layers=1, d_model=32, n_heads=2, d_head=16, d_mlp=64, n_ctx=32, d_vocab=cfg.d_vocab, act_fn="gelu_new"
)
tiny, report = assemble(tiny_cfg, globals())
print(*report, sep="\n")

# %% [markdown]
# Small random numbers to begin with, and batches of 16 texts with their masks:

# %%
torch.manual_seed(0)
for name, weight in tiny.named_parameters():
    if name.rpartition(".")[2].startswith("W_"):
        nn.init.normal_(weight, std=0.02 if name == "W_U" else 0.1)


def batches(texts, size=16):
    """Tokens `[b s]`, the shorter rows filled up on the right, and a mask that says which of them are real."""
    rows = [model.to_tokens(text)[0][: tiny_cfg.n_ctx] for text in texts]
    for some in (rows[start : start + size] for start in range(0, len(rows), size)):
        tokens = nn.utils.rnn.pad_sequence(some, batch_first=True)
        lengths = torch.tensor([len(row) for row in some])
        yield tokens, torch.arange(tokens.shape[1]) < lengths[:, None]


# %% [markdown]
# **Before you run the next cell:** at which loss does the curve begin? You can say it to one decimal without knowing the model.
#
# <details><summary>What to look for</summary>
#
# At $\log 4096 = 8.3$, as it should with weights near 0: everything is equally likely. (A first loss *above* that is a classic
# sign of an initialization that is too large.) Then it falls quickly while the model learns which tokens are frequent, and more
# slowly while it learns which follows which.
#
# </details>

# %%
step = yours("train_step")
optimizer = torch.optim.AdamW(tiny.parameters(), lr=1e-2)
curve = [step(tiny, optimizer, batch) for batch in batches(documents(16 * 120, seed=1))]
plots.line(
    curve, title="Training a tiny transformer on the toy world", x_label="step", y_label="loss in nats"
)

# %% tags=["test"]
assert abs(curve[0] - math.log(cfg.d_vocab)) < 0.3
assert curve[-1] < curve[0] - 2

# %% [markdown]
# **What larger models do besides.** GPT-2 begins with matrices of standard deviation 0.02, and those that write into the stream
# ($W_O$ and $W_\mathrm{out}$) with $1/\sqrt{2L}$ of that: the stream is a sum of $2L$ such terms, and so its size at the end
# does not depend on the number of layers ([Radford et al.
# 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf), section 2.3).
# While it learned it had **dropout**: a random tenth of the numbers in the embeddings, the patterns and the parts' outputs was
# set to 0 in every step, and the others were scaled up, so that nothing relied on a single one. It is switched off for use
# (`model.eval()`), and not part of what you have written; models that see every text only once usually do without.
#
# ## 8 Writing
#
# ### 8.1 From logits to a token
#
# To write is to choose a token, put it behind the text, and ask again. Which one? Always the most likely (*greedy*)
# is safe and dull, and on long texts tends to go in circles ([Holtzman et al. 2019](https://arxiv.org/abs/1904.09751), section 1
# and figure 1). To draw from the model's own distribution is lively, and now and then picks something from the long tail of
# tokens with a tiny probability each, of which there are many. Three remedies, which combine in this order:
#
# - **temperature** $T$: $\mathrm{softmax}(\text{logits} / T)$. Below 1 the differences grow, and $T \to 0$ is greedy;
#   above 1 they shrink.
# - **top-k**: only the $k$ most likely tokens.
# - **top-p**, or nucleus sampling (section 3.1): only the smallest set of most likely tokens whose probability
#   together reaches $p$. Where the model is sure that is one token, where it is not there are many.
#
# **By hand.** Probabilities $(0.5, 0.3, 0.15, 0.05)$ and $p = 0.7$: 0.5 is not enough, $0.5 + 0.3$ is. So the nucleus
# is the first two, and what is drawn from is $(0.625, 0.375, 0, 0)$. The token that crosses $p$ belongs to it, so
# even $p = 0.01$ leaves one.
#
# The exercise asks for the exact distribution: then it can be checked exactly, and drawing from it is one call of
# `torch.multinomial`.

# %%
# exercise 01.12

# %%
check("01.12")

# %% [markdown]
# What the settings do to the model's distribution after *One day*.
#
# **Before you run the next cell:** the most likely token is the comma, with about 0.2. What will it have at temperature 0.5,
# and what at 2? With which settings are there still thousands of possible tokens?
#
# <details><summary>What to look for</summary>
#
# At 0.5 the comma has nearly 0.8, at 2 only 0.02: the distribution is almost flat. A temperature forbids nothing, so all 4,096 stay
# possible, at any of them. Top-k leaves 3 and top-p about a hundred: after *One day* the model is unsure, since it may be any name.
#
# </details>

# %%
distribution = yours("next_token_probs")
settings = {
    "T = 1": {},
    "T = 0.5": {"temperature": 0.5},
    "T = 2": {"temperature": 2.0},
    "top-k 3": {"top_k": 3},
    "top-p 0.9": {"top_p": 0.9},
}
after = model("One day")[0, -1]
order = after.argsort(descending=True)[:12]
drawn_from = {name: distribution(after, **options) for name, options in settings.items()}

# %%
plots.heatmap(
    torch.stack([probs[order] for probs in drawn_from.values()]),
    x=[repr(model.to_string(token)) for token in order.tolist()],
    y=list(drawn_from),
    title="The next token after: One day",
    zero_centred=False,
    color_label="probability",
)

# %% tags=["tell"]
rows = ["| | possible tokens | entropy in nats |", "|---|---|---|"]
for name, probs in drawn_from.items():
    entropy = -torch.special.xlogy(probs, probs).sum()
    rows.append(f"| {name} | {int((probs > 0).sum())} | {entropy:.2f} |")
display(Markdown("\n".join(rows)))

# %% tags=["test"]
comma = model.to_single_token(",")
for name, expected in {"T = 1": 0.2, "T = 0.5": 0.78, "T = 2": 0.02}.items():
    assert abs(drawn_from[name][comma] - expected) < 0.02
    assert (drawn_from[name] > 0).sum() == cfg.d_vocab
assert 90 < (drawn_from["top-p 0.9"] > 0).sum() < 130

# %% [markdown]
# ### 8.2 The key-value cache
#
# The plain loop reads the whole text again for every new token: a prompt of $s$ tokens and $n$ new ones cost
# $s + (s+1) + \dots + (s+n-1)$ positions. But think of the mask. Nothing at position $i$ depends on anything after
# $i$. When token $s$ is added, everything that was computed at positions $0 \dots s-1$ comes out the same again. And
# the new position needs only one thing from them: their keys and values.
#
# So keep these, per layer, and read only the new token:
#
# ```
#            cached: positions 0 .. past-1          new: past .. past+s-1
#   keys     [b  past  h  e]              ++        [b  s  h  e]       ->  [b  past+s  h  e]
#   values   [b  past  h  e]              ++        [b  s  h  e]       ->  [b  past+s  h  e]
#   queries                                         [b  s  h  e]
#   scores   [b  h  s  past+s]     the mask of 01.4 with fewer queries than keys
# ```
#
# Two places must know of the past: the position embedding (the first new token stands at position `past`) and the
# mask. The identity that proves it right is as strict as can be: **logits with a cache equal logits without**.
#
# And it holds only while the text begins where it began. Once it is longer than `n_ctx`, the window slides: the first
# token falls out, every other one moves to an earlier position and gets another row of $W_{pos}$, and no longer sees what
# fell out. All keys and values change, and the cache is worth nothing; it has to be made anew. That is why the exercise
# asks the cached loop for texts that fit only.
#
# The price is memory: $2 \cdot L \cdot s \cdot h \cdot e$ numbers per text. For GPT-2 small and 1,024 positions that
# is 19 million, 75 MB in float32. Sharing keys and values between heads ([Shazeer 2019](https://arxiv.org/abs/1911.02150)) was
# invented to shrink exactly this.

# %%
n = torch.arange(1, 101)
prompt_length = 10
plots.line(
    {"without a cache": n * prompt_length + n * (n - 1) // 2, "with a cache": prompt_length + n - 1},
    x=n,
    title="Positions read to write n tokens after a prompt of 10",
    x_label="n",
)

# %% [markdown]
# The exercise has three functions: the plain loop, the forward pass with a cache, and the loop that uses it. The
# plain one also has to mind the end of the window (a model can read `n_ctx` tokens: the *last* ones of a longer text)
# and the end of a text (a row that has produced `eos` is finished; the others go on).

# %%
# exercise 01.13

# %%
check("01.13")

# %% [markdown]
# ## 9 Your transformer
#
# Now all of it together. `assemble` checks your classes one by one and builds a `Transformer` from those that are
# right, whether you wrote them here or in `exercises/ch01_transformer.py`. A piece that is missing or wrong is named
# below, and the course's own stands in for it.

# %%
whole, report = assemble(cfg, globals())
print(*report, sep="\n")

# %% tags=["tell"]
n_yours = sum(line.endswith(": yours") for line in report)
display(Markdown(f"**{n_yours} of {len(report)} pieces are yours.**"))

# %% [markdown]
# **Loading a trained model** is moving each tensor to the place that holds its meaning. Hugging Face's GPT-2 keeps
# the three matrices $W_Q, W_K, W_V$ of all heads in one `c_attn` of shape `[d, 3·h·e]`, and $W_O$ of all heads in one
# `c_proj` of shape `[h·e, d]`; the heads lie one behind the other along `h·e`.


# %%
def attention_weights(attn: nn.Module, n_heads: int) -> dict[str, Tensor]:
    """Hugging Face's attention in our matrices, which have an axis for the heads."""
    matrices, biases = attn.c_attn.weight.chunk(3, dim=1), attn.c_attn.bias.chunk(3)
    mine = {"W_O": rearrange(attn.c_proj.weight, "(h e) d -> h e d", h=n_heads), "b_O": attn.c_proj.bias}
    for letter, W, b in zip("QKV", matrices, biases):
        mine[f"W_{letter}"] = rearrange(W, "d (h e) -> h d e", h=n_heads)
        mine[f"b_{letter}"] = rearrange(b, "(h e) -> h e", h=n_heads)
    return mine


def norm_weights(ln: nn.Module) -> dict[str, Tensor]:
    return {"w": ln.weight, "b": ln.bias}


def mlp_weights(mlp: nn.Module) -> dict[str, Tensor]:
    c_fc, c_proj = mlp.c_fc, mlp.c_proj
    return {"W_in": c_fc.weight, "b_in": c_fc.bias, "W_out": c_proj.weight, "b_out": c_proj.bias}


# %% [markdown]
# The rest is names. Their embeddings are called `wte` and `wpe`, their blocks `h`, and `lm_head` holds $W_U$ transposed.


# %%
def from_hugging_face(theirs: GPT2LMHeadModel) -> dict[str, Tensor]:
    """GPT-2's weights under the names of this chapter."""
    gpt2, W_U = theirs.transformer, theirs.lm_head.weight.T
    parts = {"embed": {"W_E": gpt2.wte.weight}, "pos_embed": {"W_pos": gpt2.wpe.weight}}
    for layer, block in enumerate(gpt2.h):
        parts[f"blocks.{layer}.ln1"] = norm_weights(block.ln_1)
        parts[f"blocks.{layer}.attn"] = attention_weights(block.attn, theirs.config.n_head)
        parts[f"blocks.{layer}.ln2"] = norm_weights(block.ln_2)
        parts[f"blocks.{layer}.mlp"] = mlp_weights(block.mlp)
    parts["ln_final"] = norm_weights(gpt2.ln_f)
    mine = {f"{part}.{name}": weight for part, weights in parts.items() for name, weight in weights.items()}
    return mine | {"W_U": W_U, "b_U": torch.zeros(W_U.shape[1])}


# %%
theirs = GPT2LMHeadModel.from_pretrained(MODELS / "gpt2-demo").eval().float().requires_grad_(False)
print(whole.load_state_dict(from_hugging_face(theirs)))
_ = whole.requires_grad_(False)

# %% [markdown]
# **The test.** A batch of stories, both implementations, every logit.

# %%
long_texts = [text for text in documents(200, seed=7) if len(text) > 150][:8]
batch = torch.stack([model.to_tokens(text)[0][:24] for text in long_texts])
mine, hf = whole(batch), theirs(batch, attention_mask=torch.ones_like(batch)).logits
error = (mine - hf).abs().max().item()
print(f"largest difference: {error:.1e}")

# %% tags=["tell"]
whose = "**your transformer**" if n_yours == len(report) else "this transformer"
display(
    Markdown(
        f"{mine.numel():,} logits, the largest of size {hf.abs().max():.1f}. The largest difference between {whose} and "
        f"Hugging Face's is **{error:.1e}**: the rounding of float32."
    )
)

# %% tags=["test"]
assert mine.shape == hf.shape
assert error < 1e-3, error

# %% [markdown]
# **The story.** First the plain loop, the most likely token each time.


# %%
def first_text(tokens: Tensor) -> str:
    """The text up to the token that ends it."""
    return str(model.to_string(tokens[0, 1:])).partition(model.tokenizer.eos_token)[0]


prompt = model.to_tokens("One day Mary went to the park. Mary")
started = time.perf_counter()
plain = yours("generate")(whole, prompt, 40)
seconds = time.perf_counter() - started
print(first_text(plain))

# %% [markdown]
# Then the same with a cache. The texts must agree, and the second loop reads far fewer positions.

# %%
with_cache, forward = yours("generate_with_cache"), yours("forward_with_cache")
started = time.perf_counter()
cached = with_cache(forward, whole, prompt, 40)
print(f"with a cache {time.perf_counter() - started:.2f} s, without {seconds:.2f} s")
print("the same text:", cached.equal(plain))

# %% tags=["test"]
assert cached.equal(plain), "the cache must change nothing"

# %% [markdown]
# And now with chance: temperature 0.8, top-p 0.95, your distribution if it is right, one draw per token.

# %%
torch.manual_seed(3)
stories = []
for _ in range(3):
    told = model.to_tokens("One day")
    for _ in range(60):
        new = torch.multinomial(distribution(whole(told)[0, -1], temperature=0.8, top_p=0.95), 1)
        told = torch.cat([told, new[None]], dim=1)
        if new.item() == model.tokenizer.eos_token_id:
            break
    stories.append(first_text(told))
print("\n\n".join(stories))

# %% [markdown]
# **The same code, a bigger model.** Nothing in your classes knows how large a model is. If the weights of GPT-2 small
# are on this machine, they go through the same three lines:

# %%
if isinstance(try_to_load_from_cache("openai-community/gpt2", "model.safetensors"), str):
    big = HookedTransformer.from_pretrained_no_processing("gpt2-small")
    big_theirs = GPT2LMHeadModel.from_pretrained("openai-community/gpt2", local_files_only=True).eval()
    big_yours, _ = assemble(big.cfg, globals())
    big_yours.load_state_dict(from_hugging_face(big_theirs))
    big_tokens = big.to_tokens("The transformer that I wrote this afternoon")
    with torch.no_grad():
        difference = big_yours(big_tokens) - big_theirs(big_tokens).logits
        print("largest difference:", difference.abs().max().item())
        print(big.to_string(yours("generate")(big_yours, big_tokens, 25)[0, 1:]))
else:
    print("GPT-2 small is not on this machine, so this comparison is left out.")

# %% [markdown]
# ## What you now know
#
# - A language model is a function from a beginning to a distribution over the next token; the probability of a text
#   is the product.
# - The **residual stream** is one vector per position, to which every part adds. At the end it is a sum with one term
#   per part, and the unembedding reads that sum.
# - **LayerNorm** gives every part a view of the stream with the mean and the length taken out; $\varepsilon$ stands
#   under the root, and the variance is divided by $d$.
# - **Attention** is the only place where positions meet. The pattern says from where (queries and keys, scaled by
#   $\sqrt e$, masked, softmax over keys), values and output say what. Heads are independent and add up; $b_K$ does
#   nothing, and $b_V$ is an output bias in disguise.
# - The **MLP** works on each position by itself; its nonlinearity is an approximation that became the definition.
# - The **loss** is the surprise at the next token, in nats; logits at position $i$ are about token $i+1$.
# - **Sampling** methods are exact distributions; the token that crosses $p$ belongs to the nucleus.
# - Under a causal mask keys and values never change, so they can be **cached**; only position and mask must know of
#   the past.
#
# ## Questions
#
# **1.** A model predicts the next token at every position, yet it reads the text once. What makes that possible, and what would
# go wrong in training without it?
#
# <details><summary>Answer</summary>
#
# The causal mask: what is computed at position $i$ depends on tokens $0 \dots i$ only, so the predictions of all positions can be
# made in one pass. Without it position $i$ would see token $i+1$ and copy it: the loss would go to 0, and nothing would have been
# learned that helps to write, when there is no next token to be seen.
#
# </details>
#
# **2.** You multiply everything that a model writes to its residual stream, the embeddings too, by 10. What changes in its logits?
#
# <details><summary>Answer</summary>
#
# Almost nothing. Every reader, the unembedding too, has a LayerNorm in front of it, which divides by the standard deviation of what
# it finds; only the tiny $\varepsilon$ notices. If *one* part were multiplied by 10, much would change: it would be louder than
# the others.
#
# </details>
#
# **3.** A head has nothing to say about some text. It cannot attend to nothing. How can it still write nothing?
#
# <details><summary>Answer</summary>
#
# By attending to a position whose value is near 0 (or near a constant that the bias $b_O$ takes away). BOS is the natural
# choice: it is in every text, so training can give it a harmless value.
#
# </details>
#
# **4.** Why does the cache of a writing model hold keys and values, but no queries?
#
# <details><summary>Answer</summary>
#
# Nothing at an earlier position changes, so queries could be kept just as well; but nobody asks for them again. The new
# position has one new query, which is compared with all earlier keys and collects their values. An old query has done its work:
# it helped to predict a token that stands in the text by now.
#
# </details>
#
# **5.** Your logits differ from Hugging Face's by at most 0.001. "Rounding", says a colleague. How do you find out, and which
# mistakes of this chapter would look like that?
#
# <details><summary>Answer</summary>
#
# Compute both in float64. Rounding then shrinks by many orders of magnitude; a mistake stays as large as it is. Small ones are the
# exact GELU in place of `gelu_new`, and an $\varepsilon$ outside the root. A variance with $d - 1$ is larger: with $d = 160$ every
# normalized vector comes out 0.3% too short.
#
# </details>
#
# ## Papers
#
# - [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), *Attention Is All You Need*: sections 3.1 to 3.5.
# - [Radford et al. 2018](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf), *Improving
#   Language Understanding by Generative Pre-Training*: section 3.1.
# - [Radford et al.
#   2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf), *Language Models
#   are Unsupervised Multitask Learners*: section 2.3.
# - [Ba, Kiros and Hinton 2016](https://arxiv.org/abs/1607.06450), *Layer Normalization*: section 3.
# - [Hendrycks and Gimpel 2016](https://arxiv.org/abs/1606.08415), *Gaussian Error Linear Units*: section 2.
# - [He et al. 2016](https://arxiv.org/abs/1603.05027), *Identity Mappings in Deep Residual Networks*.
# - [Xiong et al. 2020](https://arxiv.org/abs/2002.04745), *On Layer Normalization in the Transformer Architecture*.
# - [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), *A Mathematical Framework for Transformer
#   Circuits*.
# - [Geva et al. 2021](https://arxiv.org/abs/2012.14913), *Transformer Feed-Forward Layers Are Key-Value Memories*.
# - [Loshchilov and Hutter 2017](https://arxiv.org/abs/1711.05101), *Decoupled Weight Decay Regularization*.
# - [Holtzman et al. 2019](https://arxiv.org/abs/1904.09751), *The Curious Case of Neural Text Degeneration*: section 3.
# - [Shazeer 2019](https://arxiv.org/abs/1911.02150), *Fast Transformer Decoding*: section 2.4.
#
# **Next:** [chapter 02](02_caching.ipynb) keeps every activation of a run and asks which parts of that long sum made the model say
# what it said.
