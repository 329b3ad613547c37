# ruff: noqa: F401
# %% [markdown]
# # 05 FactoredMatrix and circuits
#
# Until now we found out what a head does by watching it: run a prompt, look at the pattern, ablate, compare. That
# answers for the prompts we thought of. This chapter asks the weights themselves. An attention head is four matrices;
# multiplied in the right order they say, for **every** pair of tokens and with no input at all, where the head would
# look and what it would write.
#
# By the end you will have read the whole induction circuit of a two-layer model off its weights:
#
# 1. a head in layer 0 that looks one position back, seen in its **position** circuit;
# 2. heads in layer 1 whose keys read what that head wrote, seen in the **K-composition** circuit;
# 3. the same heads raising the logit of whatever they attend to, seen in the **OV** circuit and its eigenvalues.
#
# On the way you write `FactoredMatrix`, the small class that makes matrices of a billion entries as cheap as two thin
# ones. The framework is that of [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html),
# *A Mathematical Framework for Transformer Circuits* (below: "the framework paper"); section names refer to it.

# %%
import math
from itertools import product

import plotly.graph_objects as go
import torch
from IPython.display import Markdown, display
from jaxtyping import Complex, Float
from torch import Tensor

import cleanlens
from cleanlens import ActivationCache, HookedTransformer, plots
from cleanlens.course import check, grade, hint, solution, yours
from cleanlens.training import corpus, measure

torch.set_grad_enabled(False)  # nothing is trained in this chapter


# %% tags=["tell"]
def say(text: str) -> None:
    """Show a sentence with numbers that were just computed."""
    display(Markdown(text))


# %% [markdown]
# The model is `attn-only-2l-demo`: two layers of attention, no MLPs. `from_pretrained` folds LayerNorm's gain and bias
# into the weights behind it and centres what is written to the stream, so that a product of weights is what the model
# really computes, up to LayerNorm's division by one number per position.

# %%
model = HookedTransformer.from_pretrained("attn-only-2l-demo")
cfg = model.cfg
print(
    f"{cfg.n_layers} layers x {cfg.n_heads} heads, d_model {cfg.d_model}, d_head {cfg.d_head}, vocabulary {cfg.d_vocab}"
)

# %% [markdown]
# Which heads are which? The scores of chapter 03, on repeated random tokens. We never write a head's number down: if the
# model is trained again, the numbers change and the circuit does not.

# %%
n_repeat = 20
repeated = measure.repeated_prompt(n_repeat, batch=8, d_vocab=cfg.d_vocab)  # BOS, n tokens, the same n tokens
patterns = measure.patterns(model, repeated)
previous = measure.previous_token_scores(patterns)
induction = measure.induction_scores(patterns, n_repeat)
prev_head = tuple(divmod(previous.argmax().item(), cfg.n_heads))  # (layer, head)
ind_head = tuple(divmod(induction.argmax().item(), cfg.n_heads))
ind_heads = [tuple(index) for index in (induction > 0.5).nonzero().tolist()]


def head_name(head: tuple[int, int]) -> str:
    """(1, 2) -> "L1H2"."""
    return f"L{head[0]}H{head[1]}"


# %% tags=["tell"]
say(
    f"Previous-token head: **{head_name(prev_head)}** ({previous[prev_head]:.2f}). Induction heads: "
    f"**{', '.join(map(head_name, ind_heads))}**, the best is **{head_name(ind_head)}** ({induction[ind_head]:.2f})."
)

# %% tags=["test"]
assert prev_head[0] < ind_head[0]

# %% [markdown]
# ## 1 A head is two matrices
#
# Write the residual stream before a layer as rows $x_s$, one per position. A head computes
#
# $$\text{out}_t = \sum_s A_{ts}\, x_s\, W_V W_O, \qquad
#   A = \text{softmax}\!\left(\frac{x\, W_Q W_K^T x^T}{\sqrt{d_{head}}}\right)$$
#
# (biases left out). $W_V$ and $W_O$ occur only as the product $W_V W_O$, and $W_Q$ and $W_K$ only as $W_Q W_K^T$. So a head
# has two jobs that never touch each other:
#
# * the **QK circuit** $W_Q W_K^T$ decides *from where to where* information moves: it compares a destination with a source;
# * the **OV circuit** $W_V W_O$ decides *what* is moved: it maps what stands at the source to what is added at the
#   destination.
#
# The names "query", "key" and "value" are a convenience of the code. Put any invertible $R$ in between,
# $W_V \to W_V R$ and $W_O \to R^{-1} W_O$, and every value vector changes while the model stays what it was. What is real is
# the product ([framework paper](https://transformer-circuits.pub/2021/framework/index.html), "Attention Heads are Independent and Additive").
#
# For instance, with a random $R$:

# %%
plots.diagram("qk_ov")

# %%
W_V, W_O = model.W_V[ind_head], model.W_O[ind_head]
turn = torch.linalg.qr(torch.randn(cfg.d_head, cfg.d_head, generator=torch.Generator().manual_seed(0))).Q
R = turn * torch.linspace(0.5, 2, cfg.d_head)  # a rotation, and a stretch of each axis
new_V, new_O = W_V @ R, torch.linalg.inv(R) @ W_O
changed, same = (new_V - W_V).abs().max().item(), (new_V @ new_O - W_V @ W_O).abs().max().item()
print(f"The value weights change by up to {changed:.2f}, what the head writes by {same:.0e}.")

# %% tags=["test"]
assert same < 1e-4 < changed

# %% [markdown]
# Both products are $d_{model} \times d_{model}$ but pass through only $d_{head}$ dimensions: their **rank** is at most
# $d_{head}$. Framed by embedding and unembedding they become token by token, $W_E W_V W_O W_U$, a matrix of vocabulary size
# squared. Nobody can afford that, and nobody needs to:

# %% tags=["tell"]
rows = []
for name, n, e in [("attn-only-2l-demo", cfg.d_vocab, cfg.d_head), ("gpt2-small", 50257, 64)]:
    rows.append(f"| `{name}` | {n:,} | {4 * n * n / 1e6:,.0f} MB | {4 * 2 * n * e / 1e6:,.1f} MB |")
say(
    "| model | vocabulary | a head's full circuit, dense | as two factors |\n|---|---|---|---|\n"
    + "\n".join(rows)
)

# %% [markdown]
# A `FactoredMatrix` keeps $A$ `[l, m]` and $B$ `[m, r]` and stands for $AB$. Everything rests on one freedom, that brackets
# can be moved:
#
# $$ (AB)X = A(BX), \qquad X(AB) = (XA)B. $$
#
# **By hand.** Let $A = \begin{pmatrix}1\\2\\0\end{pmatrix}$, $B = \begin{pmatrix}3 & 0 & 1\end{pmatrix}$: nine entries from six
# numbers. For $x = (1, 1, 1)^T$, first $Bx = 4$, one number; then $A \cdot 4 = (4, 8, 0)^T$. The $3 \times 3$ matrix never
# existed. Row 1 of $AB$ is row 1 of $A$ times $B$, $2 \cdot (3, 0, 1)$; column 2 is $A$ times column 2 of $B$. So a row index
# belongs to $A$, a column index to $B$, and nothing ever indexes the hidden axis in between.
#
# For two factored matrices, $(A B)(C D) = A (BC) D$ with the small $BC$ in the middle; it can be given to either side, so take
# the side that leaves the smaller hidden axis. And since a model has many heads, $A$ and $B$ may have leading axes: all OV
# circuits of a model are one object of shape `[layer, head, d_model, d_model]`.

# %%
# exercise 05.1

# %%
check("05.1")

# %% [markdown]
# Try it on the real thing: the OV circuits of all heads in one product. The repr shows the shape of what is *not* stored.

# %%
all_full = model.W_E @ model.OV @ model.W_U
stored = all_full.A.numel() + all_full.B.numel()
print(all_full)
print(f"{all_full.shape.numel():,} entries stand in {stored:,} numbers")

# %% tags=["test"]
assert stored < all_full.shape.numel() / 10

# %% [markdown]
# ## 2 Singular values from a small core
#
# Every matrix is a rotation, a stretching along axes, and another rotation: $M = U\,\text{diag}(S)\,V^T$, with orthonormal
# columns in $U$ and $V$. For a head, the right factor of each term says *which direction is written*, the left one *which
# direction is read*, and $S$ how strongly. But an SVD of an $n \times n$ matrix takes about $n^3$ steps.
#
# The way out is to rotate the factors until only something small is left. A QR decomposition writes a thin matrix as
# orthonormal columns times a small triangle: $A = Q_A R_A$, and likewise $B^T = Q_B R_B$. Then
#
# $$ AB = Q_A\, \underbrace{R_A R_B^T}_{m \times m}\, Q_B^T . $$
#
# $Q_A$ and $Q_B$ change no lengths, so the singular values of $AB$ are exactly those of the $m \times m$ **core**. Decompose it,
# $R_A R_B^T = U' S V'^T$, and rotate back: $U = Q_A U'$, $V = Q_B V'$.
#
# The Frobenius norm, the root of the sum of all squared entries, follows: $\|AB\| = \sqrt{\sum_i S_i^2}$. It is *not*
# $\|A\|\,\|B\|$. Take $A = (1, 0)^T$ as a column and $B = (0, 1)$ as a row: $\|A\|\|B\| = 1 = \|AB\|$. But for
# $A = \begin{pmatrix}1 & 0\end{pmatrix}$ and $B = \begin{pmatrix}0 \\ 1\end{pmatrix}$ the product is $0$. How large a product is
# depends on whether what one factor writes is what the next one reads; section 9 makes a measure of that.

# %%
plots.diagram("factored_matrix")

# %%
# exercise 05.2

# %%
check("05.2")

# %% [markdown]
# How many directions does a head really use? The singular values of $W_V W_O$, each head's divided by its largest:

# %%
S = model.OV.S
curves = {head_name(head): S[head] / S[head][0] for head in product(range(cfg.n_layers), range(cfg.n_heads))}
plots.line(
    curves,
    title="Singular values of each head's OV circuit",
    x_label="number",
    y_label="share of the largest",
    limits=(0, 1),
)

# %% tags=["tell"]
used = (S / S[..., :1] > 0.1).sum(-1).flatten().tolist()
drop = S[..., 0] / S[..., 1]
steepest = tuple(divmod(drop.argmax().item(), cfg.n_heads))
say(
    f"Between {min(used)} and {max(used)} of the {cfg.d_head} directions are above a tenth of the largest: these heads move many things "
    "at once, as a head that copies any of thousands of tokens must. A steep first step would mean one direction that dominates; the steepest "
    f"is that of {head_name(steepest)}, whose first singular value is {drop[steepest]:.1f} times its second."
)

# %% [markdown]
# ## 3 Eigenvalues: does something come back as itself?
#
# Singular values say how strongly a circuit acts. They do not say whether it *copies*. For that we need a vector that comes out
# as a multiple of itself, $xM = \lambda x$: an eigenvector (a *left* one, since our vectors are rows; the right ones, $Mx = \lambda x$ with
# columns, are other vectors, but the eigenvalues are the same). If token directions go in and come out with $\lambda > 0$, attending to
# a token raises its own logit; with $\lambda < 0$ it lowers it.
#
# Circuits are not symmetric, so eigenvalues may be complex. The plainest example is a quarter turn,
# $\begin{pmatrix}0 & 1\\ -1 & 0\end{pmatrix}$: nothing comes back as itself, $\lambda = \pm i$, and the singular values are
# $(1, 1)$ as for the identity. A permutation of three tokens, $a \to b \to c \to a$, has $\lambda = 1, e^{2\pi i/3}, e^{-2\pi i/3}$:
# they add up to $0$, and indeed no token is copied (the sum of the eigenvalues is the trace, the sum of the diagonal).
#
# For $AB$ with $n \times n$ entries and rank $m$, only $m$ eigenvalues can differ from zero, and a small matrix has them all. If
# $ABx = \lambda x$, multiply by $B$:
#
# $$ BA\,(Bx) = \lambda\,(Bx) \qquad (x \text{ a column here}), $$
#
# so $\lambda$ is an eigenvalue of $BA$, which is $m \times m$ ($Bx$ is not zero, or $\lambda x = A(Bx)$ would be zero too).

# %%
# exercise 05.3

# %%
check("05.3")

# %% [markdown]
# **Your class at work.** When all three exercises are right, the next cell puts your class beside the library's on the model's
# own OV circuits. From here on we use the library's, `cleanlens.FactoredMatrix`; it has the same methods and a few more.

# %% tags=["tell"]
missing = [id for id in ("05.1", "05.2", "05.3") if not grade(id).passed]
if missing:
    print(f"Not right yet: {', '.join(missing)}. The library's class is used in what follows.")
else:
    mine = yours("FactoredMatrix.svd", instead=cleanlens.FactoredMatrix)(model.W_V, model.W_O)
    mine_full, theirs_full = model.W_E @ mine @ model.W_U, model.W_E @ model.OV @ model.W_U
    differences = {
        "the products": mine_full[ind_head].AB - theirs_full[ind_head].AB,
        "the norms": mine_full.norm() / theirs_full.norm() - 1,
        "the singular values": mine.svd()[1] - model.OV.S,
    }
    print("Your FactoredMatrix:", mine_full)
    for name, difference in differences.items():
        print(f"  {name} differ from the library's by at most {difference.abs().max():.0e}")

# %% tags=["test"]
assert missing or all(difference.abs().max() < 2e-3 for difference in differences.values())

# %% [markdown]
# ## 4 The OV circuit: what does a head write?
#
# Follow one token $s$ through a head, if the head attends to it fully: embedding $W_E[s]$, value $\cdot W_V$, output $\cdot W_O$,
# logits $\cdot W_U$. For all tokens at once,
#
# $$ \text{OV}_\text{full} = W_E\, W_V\, W_O\, W_U \qquad [\text{source token} \to \text{logit of each token}], $$
#
# the full OV circuit ("Splitting Attention Head terms into Circuits"). It holds up to a positive factor per position, because
# LayerNorm divides the stream, once before the head and once before the unembedding; signs, order and the place of the largest
# entry are not affected.

# %%
# exercise 05.4

# %%
check("05.4")

# %% [markdown]
# A sample of the matrix: rows are the token attended to, columns the logit that changes.

# %% [markdown]
# **Before you run the next cell:** a heatmap of 20 by 20 tokens: what attending to the row's token adds to the logit of
# the column's. What would an induction head, which copies, look like here?
#
# <details><summary>What to look for</summary>
#
# A bright diagonal: the token that is attended to has its own logit raised, and more than the others'. Off the diagonal
# there is little, of either sign.
#
# </details>

# %%
words = [*corpus.NAMES[:8], *corpus.OBJECTS[:6], *corpus.PLACES[:6]]
sample = [model.to_single_token(" " + word) for word in words]
circuit = yours("full_OV")
part = circuit(model, *ind_head)[sample][:, sample].AB
plots.heatmap(
    part,
    words,
    words,
    f"{head_name(ind_head)}: what attending to a token adds to each logit",
    "logit of",
    "attended to",
)

# %% tags=["tell"]
off = part[~torch.eye(len(sample)).bool()]
say(
    f"The diagonal stands out: {part.diagonal().mean():.1f} on average against {off.mean():.1f} off it. **The head raises the logit of "
    "what it attends to.** That is the second half of an induction head, and no prompt was needed to see it."
)

# %% tags=["test"]
assert part.diagonal().mean() > off.mean() + 2 * off.std()

# %% [markdown]
# Is it so for every token? One number for the whole vocabulary: in how many rows is the diagonal the largest entry? For GPT-2 the
# dense matrix takes 10 GB, so write it for chunks of rows from the start.

# %%
# exercise 05.5

# %%
check("05.5")

# %% [markdown]
# **Before you run the next cell:** the share of the vocabulary that each head copies, from the weights. Which heads
# will have a large one? And the previous-token head?
#
# <details><summary>What to look for</summary>
#
# The induction heads, all in layer 1: they write for the output. The previous-token head copies about one token in nine
# *to the logits*. What it writes is meant for the heads of layer 1, in directions that they read.
#
# </details>

# %%
count_top1 = yours("top1_acc")
accuracy = torch.zeros(cfg.n_layers, cfg.n_heads)
for layer, head in product(range(cfg.n_layers), range(cfg.n_heads)):
    accuracy[layer, head] = count_top1(circuit(model, layer, head))
copying = torch.tensor([accuracy[head] for head in ind_heads])
plots.head_map(
    accuracy,
    "Share of tokens whose own logit a head raises the most",
    zero_centred=False,
    color_label="share",
)

# %% tags=["tell"]
say(
    f"The induction heads copy {copying.min():.0%} to {copying.max():.0%} of the {cfg.d_vocab} tokens (chance: {1 / cfg.d_vocab:.1%}). The "
    f"previous-token head {head_name(prev_head)} copies {accuracy[prev_head]:.1%}: it writes for layer 1 to read, hardly for the output."
)

# %% tags=["test"]
assert copying.min() > 0.3
assert accuracy[prev_head] < copying.min() / 3

# %% [markdown]
# ## 5 Heads that work together
#
# If several heads attend to the same place, the stream gets the sum of what they write, so their *effective* circuit is the sum
#
# $$ \sum_h W_V^h W_O^h \;=\; \begin{pmatrix} W_V^1 & W_V^2 & \cdots\end{pmatrix}
#    \begin{pmatrix} W_O^1 \\ W_O^2 \\ \vdots \end{pmatrix}, $$
#
# block multiplication: concatenate along $d_{head}$. It is **not** $(\sum_h W_V^h)(\sum_h W_O^h)$. With
# $V_1 = 1, O_1 = 1, V_2 = 1, O_2 = -1$ (one-dimensional heads) the true sum is $1 - 1 = 0$; the other expression is
# $2 \cdot 0 = 0$ by luck. Change $V_2$ to $2$: the truth is $1 - 2 = -1$, the wrong way gives $3 \cdot 0 = 0$. The difference
# are the cross terms, values of one head leaving through another's output. (This is also why a layer's heads are the same
# thing as one head of rank $n_{heads} \cdot d_{head}$, as far as the OV side goes, when they share a pattern.)

# %%
# exercise 05.6

# %%
check("05.6")

# %%
together = count_top1(yours("effective_OV")(model, ind_heads))
names = [head_name(head) for head in ind_heads]
plots.bar(
    torch.tensor([*copying.tolist(), together]),
    [*names, "all together"],
    "Share of tokens copied, one induction head at a time and together",
    "share",
)

# %% tags=["tell"]
say(
    f"Together they copy **{together:.1%}** of the vocabulary, the best one alone {copying.max():.1%}. The rows that one head gets wrong another "
    "one gets right, by a wider margin: the heads divide the work, and a mean of their accuracies would have hidden it."
)

# %% tags=["test"]
assert together >= copying.mean()

# %% [markdown]
# ## 6 The QK circuit on positions: a stripe
#
# The first half of induction is a head that looks one position back. Positions are added to the stream as rows of $W_{pos}$, so the
# circuit to look at is
#
# $$ \text{softmax}\!\left( \frac{W_{pos} W_Q W_K^T W_{pos}^T}{\sigma^2 \sqrt{d_{head}}} + \text{causal mask} \right), $$
#
# the pattern the head would have if tokens said nothing. $\sigma$ is LayerNorm's scale. It matters: LayerNorm divides what enters
# the query by $\sigma$ and what enters the key by $\sigma$, so scores grow by $1/\sigma^2$. A worked number: with $\sigma = 0.2$ a raw
# score difference of $0.2$ becomes $5$, and $e^5 \approx 148$: a faint preference turns into a sharp one.
#
# The biases are left out, which is a choice: $b_K$ adds the same to every key of a query and cancels in the softmax, but $b_Q$ adds
# $b_Q \cdot k_j$, which differs from key to key and does change the pattern. It is a third term, "what this head likes whoever asks".

# %%
# exercise 05.7

# %%
check("05.7")

# %% [markdown]
# For $\sigma$ we take its mean over random tokens, in the layer's own `ln1`.

# %% [markdown]
# **Before you run the next cell:** the previous-token head's pattern from positions alone, once with LayerNorm's scale
# and once without ($\sigma = 1$). What changes?
#
# <details><summary>What to look for</summary>
#
# Both lean to the position before. With the scale it is a sharp stripe just below the diagonal; without it a blur,
# because the same scores are divided by $\sigma^2$, and a softmax of small differences is nearly flat.
#
# </details>

# %%
_, cache = model.run_with_cache(repeated)
ln_scale = cache["scale", prev_head[0], "ln1"].mean().item()
pattern_of = yours("position_pattern")
stripe = pattern_of(model, *prev_head, ln_scale)
blurred = pattern_of(model, *prev_head, 1.0)
plots.heatmaps(
    {f"σ = {ln_scale:.2f}, as in the model": stripe[:40, :40], "σ = 1": blurred[:40, :40]},
    title=f"{head_name(prev_head)}: pattern from positions alone (first 40)",
    x_label="key position",
    y_label="query position",
    zero_centred=False,
    columns=2,
)

# %% tags=["tell"]
on_stripe = stripe.diagonal(-1).mean().item()
n = repeated.shape[1]
largest_gap = (stripe[:n, :n] - patterns[prev_head[0], :, prev_head[1]].mean(0)).abs().max().item()
say(
    f"One stripe below the diagonal: **{on_stripe:.2f}** of the attention goes to the previous position, read from the weights with "
    f"$\\sigma = {ln_scale:.2f}$; without LayerNorm's scale it would have been {blurred.diagonal(-1).mean():.2f}, a blur. On real "
    f"prompts the head's mean pattern differs from this prediction by at most {largest_gap:.2f} in any cell."
)

# %% tags=["test"]
assert on_stripe > 0.7

# %% [markdown]
# The other heads of layer 0, by the same measure:

# %%
others = torch.stack(
    [pattern_of(model, 0, head, ln_scale).diagonal(-1).mean() for head in range(cfg.n_heads)]
)
plots.bar(
    others,
    [f"L0H{head}" for head in range(cfg.n_heads)],
    "Attention to the previous position, predicted from the weights",
    "mean attention",
)

# %% [markdown]
# ## 7 Taking an attention score apart
#
# A head of layer 1 reads a sum: token embedding, position embedding, and what each head of layer 0 wrote. Queries and keys are
# linear in it (LayerNorm's scale held at the value it had), so $q = \sum_i q_i$, $k = \sum_j k_j$, and
#
# $$ q \cdot k = \sum_i \sum_j q_i \cdot k_j . $$
#
# Every score is a sum over *pairs* of components, exactly ("Path Expansion of Attention Scores QK Circuit"). For a token that
# asks and a token that is asked it is like four numbers that add up: with $q = q_\text{token} + q_\text{position}$ and the same
# for $k$, a score of $5$ might be $0.2 + 0.1 + 0.2 + 4.5$, and the $4.5$ from position against position says what this head
# cares about.
#
# The softmax is not linear, so patterns cannot be split like this, only the scores before it. And constants count once: $b_Q$ is one
# more component (we put it in the last row, with the earlier layers' output biases), not something to add to each.

# %%
# exercise 05.8

# %%
check("05.8")

# %% [markdown]
# Now the question that decides how induction works. In the second half of a repeated sequence the head attends to the token *after* the
# first copy. Which pair of components makes that score higher than the row's average?

# %%
_, one = model.run_with_cache(repeated[:1], remove_batch_dim=True)
q, k = yours("split_qk")(model, one, *ind_head)
scores = yours("decompose_scores")(q, k)  # [query component, key component, query, key]

# %% tags=["test"]
whole = one["attn_scores", ind_head[0]][ind_head[1]]
seen = torch.ones_like(whole).tril().bool()
torch.testing.assert_close(
    scores.sum((0, 1))[seen], whole[seen], atol=1e-2, rtol=1e-3
)  # nothing is left over

# %% [markdown]
# **Before you run the next cell:** seven components ask and seven are asked: two embeddings, four heads of layer 0, and
# the constants. Of the 49 pairs, which raises the score of the token to copy? You know how induction works: what must
# the query say, and what must the key?
#
# <details><summary>What to look for</summary>
#
# One cell: *embedding* on the query's side ("I am this token"), the *previous-token head* on the key's ("before me
# stood this token"). All others are pale beside it.
#
# </details>

# %%
query = torch.arange(n_repeat + 2, 2 * n_repeat + 1)  # the second half, from its second token on
target = query - n_repeat + 1
average = torch.stack([scores[..., t, : t + 1].mean(-1) for t in query.tolist()], dim=-1)
advantage = (scores[..., query, target] - average).mean(-1)
components = ["embed", "pos_embed", *[f"L0H{head}" for head in range(cfg.n_heads)], "bias"]
plots.heatmap(
    advantage,
    components,
    components,
    f"{head_name(ind_head)}: by how much each pair raises the score of the token to copy",
    "key component",
    "query component",
)

# %% tags=["tell"]
i, j = divmod(advantage.argmax().item(), len(components))
share = (advantage[i, j] / advantage.sum()).item()
say(
    f"Of a total advantage of {advantage.sum():.1f}, **{advantage[i, j]:.1f} ({share:.0%}) comes from one cell**: query component "
    f"**{components[i]}**, key component **{components[j]}**. The current token asks as itself; the key answers with what the "
    "previous-token head put there. That is **K-composition**: the later head's key is made of the earlier head's output. "
    "It holds here for one prompt; the next section shows it in the weights, for all tokens."
)

# %% tags=["test"]
assert (components[i], components[j]) == ("embed", head_name(prev_head))

# %% [markdown]
# ## 8 The induction circuit in one matrix
#
# When the previous-token head has attended from position $p$ to the token $k$ at $p - 1$, it adds $W_E[k]\, W_V^{prev} W_O^{prev}$ to
# position $p$. The induction head's key there contains that, times $W_K$. The query of a token $q$ is $W_E[q] W_Q$. So the cell
# found above is, for all tokens at once,
#
# $$ C = W_E\, W_Q^{ind} \left( W_E\, W_V^{prev} W_O^{prev}\, W_K^{ind} \right)^T \qquad [\text{query token},\ \text{token before the key}] . $$
#
# If the diagonal of $C$ is the largest entry of each row, then the head looks, from *any* token, for the place that follows an earlier
# copy of that token ("How Induction Heads Work";
# [Olsson et al. 2022](https://arxiv.org/abs/2209.11895)). Mind the order: the earlier head is on the key's side, hence inside
# the transpose.

# %%
plots.diagram("induction")

# %%
# exercise 05.9

# %%
check("05.9")

# %%
compose = yours("k_composition_circuit")
C = compose(model, prev_head, ind_head)
plots.heatmap(
    C[sample][:, sample].AB,
    words,
    words,
    f"From {head_name(prev_head)} into the keys of {head_name(ind_head)}",
    "token before the key",
    "query token",
)

# %% [markdown]
# The same for every head of layer 0 as the first half, over the whole vocabulary:

# %% [markdown]
# **Before you run the next cell:** one number for each pair of an earlier and a later head: for how many tokens is the
# token itself the best match? How many rows of this map will be bright?
#
# <details><summary>What to look for</summary>
#
# One, that of the previous-token head, is at 1.00 in all its columns, since all induction heads read the same one. A
# second, that of L0H1, is half bright: what it writes would match as well. But it hardly ever looks at the position
# before (section 6), so next to nothing of the kind arrives there. A circuit needs both halves.
#
# </details>

# %%
finds_itself = torch.zeros(cfg.n_heads, cfg.n_heads)
for first, second in product(range(cfg.n_heads), repeat=2):
    finds_itself[first, second] = count_top1(compose(model, (0, first), (1, second)))
plots.heatmap(
    finds_itself,
    [f"L1H{head}" for head in range(cfg.n_heads)],
    [f"L0H{head}" for head in range(cfg.n_heads)],
    "Share of tokens for which the best match is the token itself",
    "later head (key)",
    "earlier head",
    zero_centred=False,
)

# %% tags=["tell"]
say(
    f"Through {head_name(prev_head)}, {head_name(ind_head)} finds the right token for **{finds_itself[prev_head[1], ind_head[1]]:.1%}** of the "
    f"{cfg.d_vocab} tokens. That is a statement about {cfg.d_vocab**2:,} pairs of tokens, none of which we had to put in a prompt. "
    "With a transposed $C$ the numbers would look much the same and mean something else: which query fits each key best."
)

# %% tags=["test"]
assert finds_itself[prev_head[1], ind_head[1]] > 0.8
assert (finds_itself[prev_head[1]] >= finds_itself.max(0).values - 0.05).all()

# %% [markdown]
# ## 9 Composition scores, and what chance gives
#
# For a model with 144 heads there are thousands of pairs to look at. A number per pair helps to choose. If the earlier head writes
# directions that the later one reads, the product of their circuits is large; the [framework paper](https://transformer-circuits.pub/2021/framework/index.html) ("Three Kinds of Composition")
# measures
#
# $$ \frac{\|AB\|}{\|A\|\,\|B\|} \quad \text{(Frobenius norms)}, \qquad A = W_V^{prev} W_O^{prev}, \quad
#    B = \begin{cases} W_Q W_K^T & \text{Q-composition} \\ W_K W_Q^T & \text{K-composition} \\ W_V W_O & \text{V-composition.} \end{cases} $$
#
# $A$ writes on its right side, so $B$ must have its reading side on the left; for keys that is the transpose of $W_Q W_K^T$.
#
# **What is a large score?** Take one direction written and one direction read, both at random in $d$ dimensions: the square of their
# overlap is $1/d$ on average. So random circuits score about $1/\sqrt{d_{model}}$, whatever their rank. How much they *scatter* around it
# does depend on the rank: a matrix of full rank averages over $d^2$ overlaps and hardly varies, one of rank 1 over a single overlap.
# Hence a baseline has to be made of matrices like the heads': products of two factors with $d_{head}$ in between.

# %%
# exercise 05.10

# %%
check("05.10")

# %%
baseline = yours("random_baseline")(cfg.d_model, cfg.d_head, 200, 0)
score_k = yours("k_composition_score")
k_scores = torch.zeros(cfg.n_heads, cfg.n_heads)
for first, second in product(range(cfg.n_heads), repeat=2):
    k_scores[first, second] = float(score_k(model, (0, first), (1, second)))

# %%
pairs = [f"L0H{first} → L1H{second}" for first, second in product(range(cfg.n_heads), repeat=2)]
low, high = (baseline.mean() - 2 * baseline.std()).item(), (baseline.mean() + 2 * baseline.std()).item()
figure = plots.bar(k_scores, pairs, "K-composition scores; band: random circuits of rank d_head", "score")
figure.add_hrect(y0=low, y1=high, fillcolor="orange", opacity=0.6, line_width=0)

# %% tags=["tell"]
say(
    f"Chance gives {baseline.mean():.3f} ± {baseline.std():.3f} (and $1/\\sqrt{{{cfg.d_model}}} = {cfg.d_model**-0.5:.3f}$). The four scores of "
    f"{head_name(prev_head)} are the highest, {k_scores[prev_head[1]].min():.2f} to {k_scores[prev_head[1]].max():.2f}."
)

# %% tags=["test"]
best = tuple(divmod(k_scores.argmax().item(), cfg.n_heads))
assert best[0] == prev_head[1]
assert k_scores[prev_head[1]].min() > high

# %% [markdown]
# Look at the other bars too. Many are outside the band although section 8 shows little or no circuit through them. The baseline answers one
# question only, *"could independent random directions do this?"*, and the directions of a trained model are not independent: all heads
# share the few dimensions in which the embeddings live. So a score is a reason to look at a pair, by its circuit as in section 8 or by
# an intervention as in chapter 06, and not yet a finding. All three kinds side by side:

# %%
kinds = {kind: model.all_composition_scores(kind)[0, :, 1].flatten() for kind in "QKV"}
figure = plots.line(
    {f"{kind}-composition": values for kind, values in kinds.items()},
    pairs,
    "The three kinds of composition between the layers",
    "",
    "score",
)
figure.add_hrect(y0=low, y1=high, fillcolor="orange", opacity=0.6, line_width=0)

# %% tags=["tell"]
below = {kind: (values < low).float().mean().item() for kind, values in kinds.items()}
say(
    f"Below the band of chance lie {below['Q']:.0%} of the Q-, {below['K']:.0%} of the K- and {below['V']:.0%} of the V-composition scores. A score below "
    "chance says something too: the later head has learned to avoid what the earlier one writes. It agrees with section 7, where "
    "the component that mattered in the query was the plain embedding, and in the key the earlier head."
)

# %% tags=["test"]
torch.testing.assert_close(kinds["K"], k_scores.flatten(), atol=1e-4, rtol=1e-3)
assert kinds["K"].mean() > kinds["Q"].mean()

# %% [markdown]
# ## 10 Copying in the complex plane
#
# Back to the OV circuit. A count of maxima (section 4) says how often copying wins; the eigenvalues say how much of the circuit is
# copying at all. The [framework paper](https://transformer-circuits.pub/2021/framework/index.html) ("Detecting Copying Behavior") sums them up as
#
# $$ \frac{\sum_i \lambda_i}{\sum_i |\lambda_i|} \in [-1, 1]. $$
#
# For $\lambda = 2,\ 1,\ \pm i$: $(2 + 1 + 0) / (2 + 1 + 1 + 1) = 0.6$. All positive gives $1$, all negative $-1$, and pure rotation
# $0$. Add first and divide once; a mean of the single ratios $\lambda_i/|\lambda_i|$ would let an eigenvalue of size $10^{-6}$ vote like
# the largest.
#
# For a head, take the eigenvalues of the *full* circuit $W_E W_V W_O W_U$; by section 3 they are those of the $d_{head} \times d_{head}$
# matrix $W_O\, (W_U W_E)\, W_V$.

# %%
# exercise 05.11

# %%
check("05.11")

# %% [markdown]
# **Before you run the next cell:** the eigenvalues of the full OV circuit, as points in the complex plane: of the best
# induction head and of the previous-token head. What should copying look like?
#
# <details><summary>What to look for</summary>
#
# The induction head's points lie on the positive real axis: what goes in comes out as a positive multiple of itself.
# The previous-token head's lie to the right of zero too, but many off the axis: what it writes is turned as well.
#
# </details>

# %%
scores_of = yours("head_copying_scores")
copying_scores = scores_of(model)
eigenvalues = (model.W_E @ model.OV @ model.W_U).eigenvalues  # [layer, head, d_head], complex

# %% tags=["tell"]
figure = go.Figure()
for head in (ind_head, prev_head):
    values = eigenvalues[head] / eigenvalues[head].abs().max()
    figure.add_scatter(
        x=values.real.numpy(),
        y=values.imag.numpy(),
        mode="markers",
        name=f"{head_name(head)}: copying score {copying_scores[head]:.2f}",
    )
circle = torch.linspace(0, 2 * math.pi, 100)
figure.add_scatter(
    x=circle.cos().numpy(),
    y=circle.sin().numpy(),
    mode="lines",
    line={"dash": "dot"},
    name="size of the largest",
)
figure.update_layout(
    title="Eigenvalues of the full OV circuit, divided by the largest size",
    xaxis_title="real part",
    yaxis_title="imaginary part",
    height=450,
    showlegend=True,
)
figure.update_xaxes(constrain="domain")
figure.update_yaxes(scaleanchor="x")

# %%
plots.head_map(copying_scores, "Copying scores of all heads", color_label="score", limits=(-1, 1))

# %% tags=["tell"]
ind_copying = torch.stack([copying_scores[head] for head in ind_heads])
stream_only = model.OV.eigenvalues
stream_scores = stream_only.sum(-1).real / stream_only.abs().sum(-1)
say(
    f"The induction heads' eigenvalues lie along the positive real axis: scores {ind_copying.min():.2f} to {ind_copying.max():.2f}. "
    f"{head_name(prev_head)} has {copying_scores[prev_head]:.2f}. Between tokens it matters to go through $W_E$ and $W_U$: the score of "
    f"{head_name(ind_head)}'s bare $W_V W_O$ is {stream_scores[ind_head]:.2f}, because in this model the direction that *is* a token and the "
    "direction that *predicts* it are different."
)

# %% tags=["test"]
assert ind_copying.min() > 0.8
assert copying_scores[prev_head] < ind_copying.min()
assert accuracy[0].max() < 0.2

# %% [markdown]
# A warning, as the paper itself gives it: no single number settles whether a matrix copies. Eigenvalues describe vectors that come back as
# themselves, and a matrix far from symmetric can have all eigenvalues positive and still send most tokens elsewhere. The score and the
# count of section 4 are two witnesses. Here they agree on the induction heads, and less on layer 0, where scores far above zero go
# with few tokens copied.

# %%
plots.scatter(
    copying_scores,
    accuracy,
    model.all_head_labels(),
    "Two witnesses of copying, one point per head",
    "copying score",
    "share of tokens copied",
)

# %% [markdown]
# ## 11 The reading, tested
#
# The weights told a story in three steps: $\text{previous token}$ by positions, $\text{match}$ by K-composition, $\text{copy}$ by OV. A story
# should forbid something. This one says: without the previous-token head, layer 1 has nothing to match and the second repeat must
# be as hard as the first; without another head of layer 0 it must not. Two lines of hooks (chapter 04) put it to the test.


# %%
def loss_without(head: tuple[int, int] | None) -> float:
    """The loss on the second repeat, in nats, with one head's output set to zero."""

    def silence(z, hook):
        z = z.clone()
        z[:, :, head[1]] = 0
        return z

    hooks = [] if head is None else [(f"blocks.{head[0]}.attn.hook_z", silence)]
    with model.hooks(fwd_hooks=hooks):
        return measure.repeat_losses(model, repeated, n_repeat)[1]


# %%
losses = {"nothing": loss_without(None)}
for head in range(cfg.n_heads):
    losses[head_name((0, head))] = loss_without((0, head))
plots.bar(
    torch.tensor(list(losses.values())),
    list(losses),
    "Loss on the second repeat without one head of layer 0",
    "nats",
)

# %% tags=["tell"]
first_half = measure.repeat_losses(model, repeated, n_repeat)[0]
without_prev = losses[head_name(prev_head)]
rest = max(loss for name, loss in losses.items() if name not in ("nothing", head_name(prev_head)))
say(
    f"Intact {losses['nothing']:.2f}; without {head_name(prev_head)} **{without_prev:.2f}** (the first, unpredictable repeat costs "
    f"{first_half:.2f}); without any other head of layer 0 at most {rest:.2f}. The weights were read correctly."
)

# %% tags=["test"]
assert without_prev > losses["nothing"] + 2
assert without_prev > rest

# %% [markdown]
# ## 12 What was left out, and other models
#
# Four neighbours of these circuits, each a product like the ones above. The **full QK circuit** $W_E W_Q W_K^T W_E^T$ says which token likes to
# look at which; with the full OV circuit of the same head it gives **skip-trigrams**, "A ... B → C": from B the head looks back at A, and A
# raises C ([framework paper](https://transformer-circuits.pub/2021/framework/index.html), "Interpretation of Skip-Trigrams"). The **direct path** $W_E W_U$ is the model without any head, a table of
# which token follows which. And two heads in a row, $W_V^1 W_O^1 W_V^2 W_O^2$ with the product of their patterns, act as one **virtual head**.
# In models whose $W_U$ is $W_E^T$ the direct path could not be a table of followers, it would predict the token itself; there one reads circuits from an
# **effective embedding**, the embedding after the first MLP.
#
# In a model with MLPs and more layers the same matrices can be read, with two reservations. MLPs in between also read and write, so the
# *direct* circuits of this chapter are a part of the story. And heads may use what MLPs made of a token instead of the token itself. The six-layer
# `gpt2-demo`, whose induction heads stand in a later layer:

# %%
bigger = HookedTransformer.from_pretrained("gpt2-demo")
bigger_scores = scores_of(bigger)
bigger_patterns = measure.patterns(bigger, measure.repeated_prompt(n_repeat, 8, bigger.cfg.d_vocab))
bigger_induction = measure.induction_scores(bigger_patterns, n_repeat)
plots.scatter(
    bigger_scores,
    bigger_induction,
    bigger.all_head_labels(),
    "gpt2-demo: copying, from weights, against induction, from prompts",
    "copying score",
    "induction score",
)

# %% tags=["tell"]
finders = [tuple(index) for index in (bigger_induction > 0.5).nonzero().tolist()]
if finders:
    listed = ", ".join(f"{head_name(head)} {bigger_scores[head]:.2f}" for head in finders)
    say(f"The heads that do induction on prompts, with their copying scores from weights: {listed}.")
else:
    say("No head of this model does induction on random tokens.")

# %% [markdown]
# And GPT-2 small, when it is on this machine. Its 144 heads take seconds, because no matrix is larger than $768 \times 768$.

# %%
try:
    small = HookedTransformer.from_pretrained("gpt2-small")
except ConnectionError:
    small = None
    print("gpt2-small is not on this machine; with a network this cell shows its 144 heads.")
if small is not None:
    small_scores = scores_of(small)
    display(plots.head_map(small_scores, "gpt2-small: copying scores", color_label="score", limits=(-1, 1)))
    print(f"{(small_scores > 0.5).float().mean():.0%} of its heads have a copying score above 0.5.")

# %% [markdown]
# ## What you now know
#
# * A head is two low-rank matrices, $W_Q W_K^T$ (where to look) and $W_V W_O$ (what to move); the bases of queries, keys and values mean nothing by
#   themselves.
# * A product of thin factors is never multiplied out: products and slices change one factor, singular values come from the core $R_A R_B^T$,
#   eigenvalues from $BA$.
# * The full OV circuit shows copying as a bright diagonal; heads that attend alike are *concatenated* along $d_{head}$, not added.
# * Positions alone make a stripe for a previous-token head, if LayerNorm's scale is not forgotten.
# * Attention scores, not patterns, split exactly into pairs of components. For induction one pair does most of it: embedding on the query's
#   side, previous-token head on the key's.
# * A composition score needs a baseline of the same rank, and even then it is a hint where to look.
# * Eigenvalues in the complex plane separate copying (positive), suppressing (negative) and turning (imaginary).
# * A reading of weights is a prediction. Test it on the running model.

# %% [markdown]
# ## Questions
#
# **1.** Somebody looks at single columns of a head's $W_V$ and names them: "dimension 7 of the value is *plural*". Why
# be careful?
#
# <details><summary>Answer</summary>
#
# The basis of the values is a convention. With any invertible $R$, $W_V R$ and $R^{-1} W_O$ are the same head with
# other columns. Only the product $W_V W_O$ is real, and what can be read off it: its singular vectors, its
# eigenvectors, what it does between tokens.
#
# </details>
#
# **2.** Three heads attend to the same place. Why is their joint effect not $(\sum_h W_V^h)(\sum_h W_O^h)$, and how
# large is the rank of the true one?
#
# <details><summary>Answer</summary>
#
# The product of sums contains cross terms, values of one head leaving through the output of another, which the model
# does not compute. The sum of the products has the three heads' ranks together, at most $3\, d_{head}$; the wrong
# expression would have at most $d_{head}$.
#
# </details>
#
# **3.** Why does the pattern from positions need LayerNorm's $\sigma$, and why squared, when the OV circuit's diagonal
# could be read without it?
#
# <details><summary>Answer</summary>
#
# What enters the query and what enters the key are each divided by $\sigma$, so scores grow by $1/\sigma^2$, and a
# softmax depends on the size of differences. In the OV circuit the factor is positive and the same for a whole row:
# signs, order and the largest entry stay as they are.
#
# </details>
#
# **4.** A pair of heads has a K-composition score of twice the random baseline. What do you know, what not, and what do
# you do next?
#
# <details><summary>Answer</summary>
#
# That what the one writes lies in directions that the other reads, more than independent random directions would. Not
# that it matters: all heads of a trained model share the few dimensions in which the embeddings live. Next: look at the
# circuit itself (is the diagonal of $C$ the largest entry of its rows?), and intervene.
#
# </details>
#
# **5.** All eigenvalues of a head's full OV circuit are positive. Does the head copy every token?
#
# <details><summary>Answer</summary>
#
# No. Eigenvectors are mixtures of tokens, and in a matrix far from symmetric a token can be sent mostly elsewhere:
# $\begin{pmatrix}1 & 5\\ 0 & 1\end{pmatrix}$ has the eigenvalue 1 twice, and its first row raises the second token
# most. Count the rows in which the diagonal is the largest entry.
#
# </details>

# %% [markdown]
# ## References
#
# - [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), *A Mathematical Framework for Transformer Circuits*: "One-Layer
#   Attention-Only Transformers" (OV and QK circuits, copying, eigenvalues), "Two-Layer Attention-Only Transformers" (composition, induction heads).
# - [Olsson et al. 2022](https://arxiv.org/abs/2209.11895), *In-context Learning and Induction Heads*.
# - [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), *Attention Is All You Need*, section 3.2.
# - Golub and Van Loan, *Matrix Computations* (QR and SVD).
