# ruff: noqa: F401
# %% [markdown]
# # Prerequisites
#
# The course is about what is inside a transformer, and all of that is tensors: their shapes, products and sums. This chapter
# has the few things that every later one leans on. **If they are old friends, skip it**: answer the five questions at its end,
# and begin with [chapter 00](00_tokens.ipynb) if they were easy. Nothing later asks for an answer of this chapter.
#
# | | you need it when |
# |---|---|
# | 1 shapes that can be read | you split attention into heads |
# | 2 broadcasting | you normalise, mask, take a mean away |
# | 3 einsum | you compute attention scores |
# | 4 softmax, 5 cross-entropy | you turn scores into attention, logits into a loss |
# | 6 indexing | you look at one position of each text |
# | 7 matrices as maps | you take a circuit apart |
#
# **How it works.** Write each answer in its cell here, or in `exercises/chpre_tensors.py`; then run the check below it. When an
# answer is wrong, the check tries to tell you *which mistake* it is. `hint("pre.1")` helps step by step, `solution("pre.1")`
# gives it away. Allow 80 minutes.

# %%
import math

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cleanlens import plots
from cleanlens.course import check, hint, solution, yours

_ = torch.manual_seed(0)

# %% [markdown]
# ## 1 Shapes that can be read
#
# A tensor of texts has shape `[2, 5, 12]`. Which of these is the batch? PyTorch does not know, and mistakes with axes often raise
# no error, so we write the names down. A signature with **jaxtyping** says what goes in and what comes out:
#
#     def layer(x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_mlp"]
#
# `Float`, `Int` and `Bool` are the kind of number. The same name means the same size wherever it stands. `*batch` means any number
# of axes, or none. It is a comment that a program can check:

# %%
x = torch.randn(2, 5, 12)
print(isinstance(x, Float[Tensor, "batch pos 12"]), isinstance(x, Float[Tensor, "batch pos"]))

# %% [markdown]
# **einops** moves axes by the same names. On the left of the arrow stands what there is, on the right what there should be.
# Brackets join several axes into one, or split one:
#
# | | |
# |---|---|
# | `rearrange(x, "b s d -> s b d")` | the same numbers, axes moved |
# | `rearrange(x, "b s (h e) -> b s h e", h=3)` | one axis becomes two; the last name in a bracket runs fastest |
# | `reduce(x, "b s d -> b d", "mean")` | what is missing on the right is averaged (or `"sum"`, `"max"`) |
# | `repeat(x, "b s d -> b s copy d", copy=4)` | what is new on the right is repeated |
#
# `reshape` and `view` can split and join axes as well, but they never change the order in which the numbers lie. Exchanging two
# axes takes a `transpose`, or a pattern that says so. Here is a text of 4 positions and 6 numbers each, to be split into two
# heads of 3, once by the pattern and once poured into the shape `[head pos d_head]` by `reshape`. The numbers count up from 0.

# %%
counting = torch.arange(24.0).reshape(4, 6)
split = rearrange(counting, "pos (head d_head) -> head pos d_head", head=2)
poured = counting.reshape(2, 4, 3)
plots.heatmaps(
    {
        "split: head 0": split[0],
        "split: head 1": split[1],
        "poured: head 0": poured[0],
        "poured: head 1": poured[1],
    },
    title="Two heads of one tensor [pos d_model]",
    x_label="d_head",
    y_label="pos",
    zero_centred=False,
    columns=2,
)

# %% tags=["test"]
assert split[0].tolist() == counting[:, :3].tolist()
assert poured[0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]  # positions 0 and 1 only
assert split.shape == poured.shape
assert reduce(x, "b s d -> b d", "mean").shape == (2, 12)
assert repeat(x, "b s d -> b s copy d", copy=4).shape == (2, 5, 4, 12)

# %% [markdown]
# A row of the split head 0 is the first half of a position's numbers: 0 1 2, then 6 7 8. The poured head 0 holds all of positions
# 0 and 1, and nothing of 2 and 3. Both have the shape that was asked for, and only one is right.

# %%
# exercise pre.1

# %%
check("pre.1")

# %% [markdown]
# ## 2 Broadcasting
#
# Two tensors of different shapes can still be added. PyTorch lines their shapes up **from the right**; an axis of size 1, or one
# that is missing on the left, is repeated to fit:
#
#     x           batch  pos  d
#     bias                    d       fits: missing axes on the left are repeated
#     mean        batch  1    d       fits: one vector per text, at every position
#     mean        batch       d       does not: batch stands under pos
#
# The last line is the trap. It is an error when the sizes differ. When they happen to be equal, it is none.
# `sum`, `mean` and `amax` drop the axis that they run over, unless you say `keepdim=True`, which leaves a 1 there. Indexing with
# `None` puts a 1 wherever you like: `mean[:, None]` is `[batch 1 d]`.
#
# **Before you run the next cell:** the matrix below has four rows at very different heights. Its row means are taken off, with
# `keepdim` and without. What will the right one look like, and what the other one?
#
# <details><summary>What to look for</summary>
#
# With `keepdim` all rows come to the same height, around 0. Without it the four means line up with the *columns*: column 0 loses
# row 0's mean. The diagonal is right, nothing else is, and the rows keep their heights.
#
# </details>

# %%
rows = torch.randn(4, 4) + torch.tensor([0.0, 10.0, 20.0, 30.0])[:, None]
right = rows - rows.mean(dim=1, keepdim=True)
wrong = rows - rows.mean(dim=1)
plots.heatmaps(
    {"with keepdim": right, "without": wrong}, title="Rows minus their means", x_label="column", y_label="row"
)

# %% tags=["test"]
assert right.mean(dim=1).abs().max() < 1e-5
assert torch.equal(right.diagonal(), wrong.diagonal())
assert (wrong[3] - wrong[0]).min() > 20  # the rows keep their heights

# %% [markdown]
# A **mask** is broadcasting, too. Texts in a batch are padded to one length, and a mask `is_real [batch pos]` says where text is. As
# 0 and 1 it multiplies: `x * is_real[..., None]` is x with zeros at the padding. (`...` stands for all axes that are not named.)
# A mean over the real positions is then a sum divided by *how many there are*, not by the length.

# %%
# exercise pre.2

# %%
check("pre.2")

# %% [markdown]
# ## 3 einsum
#
# One notation for nearly every product of tensors. Name the axes of each input, and those of the output:
#
# * a name in **both inputs**: their indices go together;
# * a name that is **not in the output** is summed over;
# * a name in **one input** and in the output: every one of these meets every one of the others.
#
# | | | |
# |---|---|---|
# | `i, i ->` | $\sum_i x_i y_i$ | a dot product |
# | `i, j -> i j` | $x_i y_j$ | an outer product |
# | `i j, j k -> i k` | $\sum_j A_{ij} B_{jk}$ | a matrix product |
# | `b i j, b j k -> b i k` | the same for each $b$ | a batched matrix product |
# | `i i ->` | $\sum_i A_{ii}$ | the trace |
#
# `einops.einsum(x, y, "i j, j k -> i k")` takes words, `torch.einsum("ij,jk->ik", x, y)` letters. To read one, write it as a loop:
# a `for` over every name, and inside a product that is added to the output at its names.
#
# Twelve directions, like the hours of a clock, and all their dot products at once:

# %%
angles = torch.arange(12) * 2 * math.pi / 12
hours = torch.stack([angles.sin(), angles.cos()], dim=-1)
dots = einsum(hours, hours, "one xy, other xy -> one other")
plots.heatmap(dots, title="Dot products of the hours of a clock", x_label="hour", y_label="hour")

# %% tags=["test"]
assert torch.allclose(dots, (angles[:, None] - angles).cos(), atol=1e-6)
looped = torch.zeros(12, 12)
for one in range(12):
    for other in range(12):
        for xy in range(2):
            looped[one, other] += hours[one, xy] * hours[other, xy]
assert torch.allclose(dots, looped, atol=1e-6)

# %% [markdown]
# Of vectors of length 1 the dot product is the cosine of their angle: 1 with itself, 0 at right angles (three hours apart), -1
# opposite. Attention does just this: a query and a key that point the same way have a high score. It does it for all queries and
# keys, in each head of each text.

# %%
# exercise pre.3

# %%
check("pre.3")

# %% [markdown]
# ## 4 Softmax
#
# Scores become weights that are positive and sum to 1:
#
# $$ \mathrm{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}} . $$
#
# Only differences count: with $x_i - c$ for $x_i$, both the top and the bottom are divided by $e^c$. A lead of 1 makes a weight
# $e \approx 2.7$ times as large, a lead of 10 makes it 22,000 times as large. Multiplying the scores makes the softmax sharper:

# %%
scores = torch.tensor([2.0, 1.0, 0.0, -1.0])
scales = torch.linspace(0, 5, 51)
weights = (scales[:, None] * scores).softmax(dim=-1)
plots.line(
    {f"score {score:g}": weights[:, i] for i, score in enumerate(scores)},
    x=scales,
    title="The same four scores, multiplied",
    x_label="factor",
    y_label="weight",
)

# %% tags=["test"]
assert weights[0].tolist() == [0.25] * 4
assert weights[-1, 0] > 0.99
assert 22_000 < math.exp(10) < 22_100
assert torch.tensor(88.0).exp().isfinite()
assert torch.tensor(89.0).exp().isinf()
assert torch.tensor(-104.0).exp() == 0

# %% [markdown]
# On paper the formula is done. In float32, $e^{89}$ is infinite and $e^{-104}$ is 0, so a row of scores around 100 gives
# $\infty / \infty$ and a row around -110 gives $0 / 0$. Use the freedom to subtract a number. A score of $-\infty$ is welcome, though: its
# weight is exactly 0, and that is how a mask says "not this one".

# %%
# exercise pre.4

# %%
check("pre.4")

# %% [markdown]
# ## 5 Cross-entropy
#
# A model gives a **logit** to every token of its vocabulary; the softmax makes probabilities of them. How good were they? The token
# that really came, the *target* $t$, should have had a high one. Its **surprise** is
#
# $$ -\log p_t = -\log \mathrm{softmax}(x)_t = \log \sum_j e^{x_j} - x_t , $$
#
# 0 if it was certain, $\log 2 \approx 0.69$ if it was a coin flip, $\log n$ if it was one of $n$ equally likely ones, and without limit
# if it was ruled out. The mean over many targets is the **cross-entropy** loss; with the natural logarithm its unit is the *nat*.
#
# **Before you run the next cell:** two logits, the target's lower than the other one by some gap. Once the surprise is computed as the
# formula on the right says (`logsumexp` is its first part), once as it says on the left: the softmax, then the logarithm. They
# are equal on paper. Where will they part?
#
# <details><summary>What to look for</summary>
#
# The surprise grows like the gap: a straight line. The curve by way of probabilities ends at a gap of about 104, where the
# probability has become 0 in float32 and its logarithm infinite. One such target makes a whole batch's mean infinite.
#
# </details>

# %%
gaps = torch.arange(-20.0, 161.0)
pairs = torch.stack([torch.zeros_like(gaps), -gaps], dim=-1)  # the target is the second
surprise = pairs.logsumexp(dim=-1) - pairs[:, 1]
by_probability = -pairs.softmax(dim=-1).log()[:, 1]
plots.line(
    {
        "logsumexp": surprise,
        "log of the softmax": by_probability.where(by_probability.isfinite(), math.nan),
    },
    x=gaps,
    title="The surprise of a target",
    x_label="how far its logit lies below the other one",
    y_label="nats",
)

# %% tags=["test"]
assert surprise.isfinite().all()
assert by_probability[gaps > 104].isinf().all()
assert by_probability[gaps < 103].isfinite().all()
assert torch.isclose(surprise[gaps == 0], torch.tensor(2.0).log())
assert torch.allclose(surprise[gaps > 20], gaps[gaps > 20])

# %% [markdown]
# To take the target's number out of each row is **gather**'s work: `log_probs.gather(-1, index)` walks along the last axis. The index
# needs as many axes as what it picks from, so `targets [batch pos]` becomes `targets[..., None]`, and the axis of size 1 goes away again
# at the end.

# %%
# exercise pre.5

# %%
check("pre.5")

# %% [markdown]
# ## 6 Indexing
#
# Tensors can stand in brackets, and it matters what stands beside them:

# %%
table = torch.arange(12).reshape(3, 4)
first, second = torch.tensor([0, 2, 2]), torch.tensor([3, 0, 1])
print("all combinations:", table[:, second].tolist())
print("pairs:           ", table[first, second].tolist())

# %% tags=["test"]
assert table[:, second].tolist() == [[3, 0, 1], [7, 4, 5], [11, 8, 9]]
assert table[first, second].tolist() == [3, 8, 9]
assert table[first[:, None], second].tolist() == [[3, 0, 1], [11, 8, 9], [11, 8, 9]]

# %% [markdown]
# * A slice with an index tensor gives **all combinations**: every row, and of each the columns 3, 0 and 1.
# * Two index tensors are read in **pairs**: (0, 3), (2, 0), (2, 1). If their shapes differ they are broadcast first, so `first[:, None]`
#   with `second` gives all combinations again, of rows 0, 2, 2.
# * An index may repeat, and negative ones count from the end.
# * A mask, `table[table > 5]`, gives all entries where it is True, in one flat row.
#
# In a padded batch every text ends somewhere else, so "the last token of each" is another position in every row.

# %%
# exercise pre.6

# %%
check("pre.6")

# %% [markdown]
# ## 7 Matrices as maps
#
# A matrix takes a vector to another one. In this course vectors are **rows** and matrices stand on their right: $y = x W$, with
# `W [d_in d_out]`. (Many books write columns, $W x$; all of this is then transposed. `nn.Linear` stores its weight as
# `[d_out d_in]` and computes `x @ weight.T`.) Row $i$ of $W$ is where the $i$-th basis vector goes, and everything else follows,
# because a map of a sum is the sum of the maps.
#
# A circle shows what a map of the plane does. It becomes an ellipse, and the half axes of the ellipse are the **singular values**: how
# far the map stretches in its best direction, and how far at right angles to it.

# %%
W = torch.tensor([[2.0, 1.0], [-0.5, 0.5]])
around = torch.arange(72) * 2 * math.pi / 72
circle = torch.stack([around.cos(), around.sin()], dim=-1)
image = circle @ W
figure = plots.scatter(
    image[:, 0], image[:, 1], title="Where W takes the circle", color=around.rad2deg(), color_label="from"
)
figure.update_yaxes(scaleanchor="x")  # as wide as high

# %% tags=["tell"]
print("singular values:", [round(value, 2) for value in torch.linalg.svdvals(W).tolist()])
print(
    "the ellipse's longest and shortest radius:",
    *(f"{r:.2f}" for r in (image.norm(dim=-1).max(), image.norm(dim=-1).min())),
)

# %% tags=["test"]
radii = image.norm(dim=-1)
assert torch.allclose(torch.stack([radii.max(), radii.min()]), torch.linalg.svdvals(W), atol=0.01)

# %% [markdown]
# **One after the other.** $(xA)B = x(AB)$: two maps are one, and for rows they are written in the order in which they act. A head
# reads from the residual stream with $W_V$ and writes back with $W_O$; as far as anyone can see from outside, it is the one map
# $W_V W_O$.
#
# **Rank** is how many directions get through: the number of singular values that are not zero. A map through a narrow place has at most
# the rank of that place. What it loses is lost: only a square map of full rank has an **inverse**, with $x W W^{-1} = x$. In floating
# point, "zero" means "small beside the largest".

# %%
narrow = torch.randn(8, 2) @ torch.randn(2, 8)
plots.bar(
    torch.linalg.svdvals(narrow),
    [str(i) for i in range(8)],
    title="An 8 by 8 map through 2 dimensions",
    y_label="singular value",
)

# %% tags=["test"]
values = torch.linalg.svdvals(narrow)
assert (values > 1e-4 * values[0]).sum() == 2
assert values[2:].max() < 1e-5 * values[0]
assert (values > 0).sum() > 2  # rounding

# %% [markdown]
# **Projection.** A direction is a vector of length 1, $u$. The part of $x$ along it is $(x \cdot u)\, u$; the rest is at right angles to it.
# Taking the part away is a map as well, $I - u^\top u$, of rank $d - 1$: it forgets one direction, and doing it twice changes nothing
# more. That is how one asks later what a model does *without* some piece of information.

# %%
# exercise pre.7

# %%
check("pre.7")

# %%
# exercise pre.8

# %%
check("pre.8")

# %% [markdown]
# ## 8 All of it together
#
# An attention head is these pieces, one after the other. Two padded texts of random vectors, three heads, your functions (where they are
# right; the course's own stand in for the others), and PyTorch's attention to compare with:

# %%
batch, pos, n_heads, d_head = 2, 6, 3, 4
x = torch.randn(batch, pos, n_heads * d_head)
is_real = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
W_Q, W_K = torch.randn(2, n_heads, n_heads * d_head, d_head)
W_V = torch.randn(n_heads * d_head, n_heads * d_head)

x = yours("subtract_mean")(x, is_real)
q, k = (einsum(x, W, "batch pos d_model, head d_model d_head -> batch pos head d_head") for W in (W_Q, W_K))
v = yours("split_heads")(x @ W_V, n_heads)
scores = yours("dot_products")(q, k) / d_head**0.5
pattern = yours("softmax")(scores.masked_fill(~is_real[:, None, None], -math.inf))  # no attention to padding
z = pattern @ v

# %%
theirs = F.scaled_dot_product_attention(
    q.transpose(1, 2), k.transpose(1, 2), v, attn_mask=is_real[:, None, None]
)
print(f"the largest difference to PyTorch's: {(z - theirs).abs().max():.1e}")
plots.heatmaps(
    {f"head {head}": pattern[1, head] for head in range(n_heads)},
    title="Where the second text's positions look; the last two are padding",
    x_label="key",
    y_label="query",
    limits=(0, 1),
)

# %% tags=["test"]
assert torch.allclose(z, theirs, atol=1e-4)
assert pattern[1, :, :, 4:].abs().max() == 0
assert torch.allclose(pattern.sum(-1), torch.ones(batch, n_heads, pos), atol=1e-5)

# %% [markdown]
# The columns of the padding are empty: nobody looks there. Then the last real position of each text makes a guess, and the guess has a price:

# %%
joined = rearrange(z, "batch head pos d_head -> batch pos (head d_head)")
last = yours("take_positions")(joined, is_real.sum(1, keepdim=True) - 1)
W_U = torch.randn(n_heads * d_head, 10) / (n_heads * d_head) ** 0.5
targets = torch.tensor([[3], [7]])
surprise = yours("cross_entropy")(last @ W_U, targets)
print("the surprise of each target:", *(f"{nats:.2f} nats" for nats in surprise.flatten()))
print(f"an equal chance for all ten would cost {math.log(10):.2f}")

# %%
direction = W_U[:, 3] - W_U[:, 7]  # what tells 3 from 7
without = yours("project_out")(last, direction)
for name, vectors in (("before", last), ("after", without)):
    logits = vectors @ W_U
    print(
        f"logit of 3 minus logit of 7, {name}:",
        *(f"{gap:+.3f}" for gap in (logits[..., 3] - logits[..., 7])[:, 0]),
    )

# %% tags=["test"]
assert torch.equal(last[:, 0], torch.stack([joined[0, 5], joined[1, 3]]))
expected = F.cross_entropy((last @ W_U).transpose(1, 2), targets, reduction="none")
assert torch.allclose(surprise, expected, atol=1e-4)
assert (logits[..., 3] - logits[..., 7]).abs().max() < 1e-3

# %% [markdown]
# With that direction gone the model cannot prefer 3 to 7 any more, whatever its other weights say. And what a head can carry at all is
# bounded by its narrowest place: from the residual stream through one head's part of $W_V$ and back (here with a random $W_O$), at most
# d_head directions get through.

# %%
W_O = torch.randn(d_head, n_heads * d_head)
W_OV, rank = yours("compose")(W_V[:, :d_head], W_O)
print(f"a map of shape {list(W_OV.shape)}, through {rank} dimensions")

# %% tags=["test"]
assert rank == d_head
assert W_OV.shape == (12, 12)

# %% [markdown]
# ## Questions
#
# 1. `x` has shape `[batch pos d]`. Which shape has `x.mean(1)`, and why is `x - x.mean(1)` dangerous?
#
# <details><summary>Answer</summary>
#
# `[batch d]`. From the right, `batch` comes to lie under `pos`: an error if they differ, wrong numbers without an error if they are
# equal (or if one of them is 1). `x.mean(1, keepdim=True)` is `[batch 1 d]`.
#
# </details>
#
# 2. What does `einsum(a, b, "batch query d, batch key d -> batch query key")` compute, and what if the second `batch` were named `other`?
#
# <details><summary>Answer</summary>
#
# For each text, the dot products of all its queries with all its keys. With `other` the keys of all texts are added up first,
# because a name that stands in one input only, and not in the output, is summed.
#
# </details>
#
# 3. Two scores are 101 and 100. What are their softmax weights, and why may a program say `nan`?
#
# <details><summary>Answer</summary>
#
# About 0.73 and 0.27, the same as for 1 and 0. In float32 `exp(100)` is infinite, and infinite over infinite is `nan`; with the
# largest score subtracted first it is `exp(0)` and `exp(-1)`.
#
# </details>
#
# 4. A model gives each of 1,000 tokens the same logit. What is its cross-entropy?
#
# <details><summary>Answer</summary>
#
# $\log 1000 \approx 6.9$ nats, whatever the logit is and whatever the target: each has probability 1/1000.
#
# </details>
#
# 5. `A [768 64]` and `B [64 768]`. What is the shape of the map that does first `A` and then `B` to a row vector, and what can you say of
#    its rank? Does it have an inverse?
#
# <details><summary>Answer</summary>
#
# `A @ B`, `[768 768]`, of rank at most 64, less where `B` does not read what `A` writes. It has no inverse: at least 704 directions
# are lost.
#
# </details>
#
# All clear? Then on to [chapter 00](00_tokens.ipynb), where text becomes numbers. Words that you meet on the way stand in the
# [glossary](GLOSSARY.md).
