# ruff: noqa: F401
# %% [markdown]
# # 06 Indirect object identification
#
# > When Mary and John went to the park, John gave a ball to …
#
# … Mary. Two people are introduced, one of them is named a second time and gives something away; whoever is not named again
# receives it. [Wang et al. 2022](https://arxiv.org/abs/2211.00593), *Interpretability in the Wild*, took this sentence, **indirect object identification** or
# IOI, and found the circuit of GPT-2 small that completes it: 26 heads in seven roles, to their knowledge the largest
# behaviour that had been traced from end to end in a language model at the time.
#
# This chapter walks their road from start to end on a model small enough that every step takes seconds:
#
# 1. a **dataset** in which one thing varies, and a **number** that says how well the model does;
# 2. **attribution**: who writes the answer? Observation only;
# 3. **activation patching**: where does the information stand? Intervention;
# 4. **path patching**: who tells whom?
# 5. **faithfulness** and **minimality**: is that really it, and is all of it needed?
# 6. a **diagram**, drawn from the numbers.
#
# Do not expect the circuit of the paper head for head. `gpt2-demo` was trained on a toy world of its own (and, one row in five, on
# repeated random tokens; it was grown from the two-layer model of chapter 03). But in that world names stand anywhere, and others are
# named who take no part, so its task is the real one: find the name that fits and copy it from where it stands. You will find out
# how it does that. The point of the method is that it tells you.

# %%
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import torch
from IPython.display import Markdown, display
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens import ActivationCache, HookedTransformer, analysis, patching, plots
from cleanlens.course import check, hint, solution, yours
from cleanlens.loading import best_real_model
from cleanlens.plots.diagrams import IOI_GPT2_SMALL
from cleanlens.training import circuit, corpus, measure
from cleanlens.training.plain import preference
from cleanlens.utils import get_act_name

torch.set_grad_enabled(False)  # nothing is trained; where a gradient is wanted it is switched on

Metric = Callable[[Float[Tensor, "b s v"]], Float[Tensor, ""]]  # logits -> one number, as a tensor
Head = tuple[int, int]

# %%
model = HookedTransformer.from_pretrained("gpt2-demo")
cfg = model.cfg


def head_name(head: Head) -> str:
    """(1, 2) -> "L1H2"."""
    return f"L{head[0]}H{head[1]}"


def heads_where(condition: Tensor) -> list[Head]:
    """The (layer, head) pairs at which a [layer, head] condition holds."""
    return [(layer, head) for layer, head in condition.nonzero().tolist()]


# %% tags=["tell"]
def say(text: str) -> None:
    """Show a sentence with numbers that were just computed."""
    display(Markdown(text))


def named(heads) -> str:
    return ", ".join(map(head_name, heads)) or "none"


# %% [markdown]
# The map of the journey: the circuit of GPT-2 small, as Wang et al. drew it (their figure 2). Every box is a role that some heads play; which heads play them
# in our model, and which role nobody plays, you will know at the end.

# %%
plots.diagram("ioi")

# %% [markdown]
# ## 1 The task, and a dataset with its counterpart
#
# Names for the places in a sentence, used from here on:
#
# | | |
# |---|---|
# | **A**, **B** | the two names where they are introduced, in this order |
# | **S2** | the name that comes again, the giver; **S1** is its first mention |
# | **IO** | the other one, the right answer |
# | **END** | the last token, "to", where the answer is predicted |
#
# If B gives, the names read A, B, B and the answer is A: an **ABBA** prompt. If A gives: **BABA**.
#
# An analysis is as good as its data. Three rules.
#
# **Each name is one token.** Otherwise "the logit of the answer" is the logit of a piece, and position 10 means something else in each prompt.
#
# **Every shortcut is closed.** With ABBA prompts only, "answer the first name" is always right, and you would find a circuit that does that. So
# half of the prompts are BABA.
#
# **Each prompt has a counterpart** that differs in the one thing you want to study. Here the *corrupted* prompt is the same sentence with the other
# one giving:
#
# > clean: When **Mary** and **John** went to the park, **John** gave a ball to … Mary
# >
# > corrupted: When **Mary** and **John** went to the park, **Mary** gave a ball to … John
#
# One token differs, S2. Both prompts are scored with the answers of the *clean* one, so the clean run gives a positive number and
# the corrupted run about the same with a minus sign. Whatever is equal in the two, the names, the place, the grammar, cannot be the cause of
# any difference that we shall see. (It cannot be *found* by them either. Keep that in mind until section 9.)
#
# ### A sentence of your own
#
# Before any analysis, meet the model. Change the sentence and the two names; a warning tells you when a name is not one token for
# this model. Positive: it prefers the first of the two names that you ask about.

# %%
mine = "One day, Mary and John were in the kitchen, and Mary gave the apple to"
print(f"{preference(model, mine, 'John', 'Mary'):+.1f} logits for John over Mary")

# %%
TEMPLATE = "When {A} and {B} went to the park, {S} gave a ball to"

# %%
# exercise 06.1

# %%
check("06.1")

# %%
make = yours("make_ioi")
sample = make(4, 0, corpus.NAMES, model.tokenizer)
for clean_text, corrupted_text, pair in zip(sample["clean"], sample["corrupted"], sample["answers"]):
    print(f"{clean_text} ->{pair[0]}\n{corrupted_text} ->{pair[1]}\n")

# %% [markdown]
# For the analysis we take prompts from the toy world's own generator: several templates, none of which the model saw in training with these
# actions, and pairs of names that never stood side by side there. All have the same length, slot for slot. Beside the flipped prompts
# there is a second counterpart: **ABC** prompts, the same sentences with three *different* people. They have no answer at all and serve as
# a baseline.

# %%
N = 16
data = corpus.ioi_prompts(N, seed=0, aligned=True)
case = circuit.make_case(model, data)  # the tokens of all three, and where the names stand
clean_tokens, flipped_tokens, abc_tokens = case.tokens, case.flipped, case.abc
answers = case.answers  # [b, 2]: IO and S of the clean prompt
A_at, B_at, IO_at, S1_at, S2_at, END_at = (case.at[place] for place in ("A", "B", "IO", "S1", "S2", "end"))
for text in (data.prompts[0], data.flipped().prompts[0], data.abc().prompts[0]):
    print(text)

# %% tags=["test"]
assert (clean_tokens != flipped_tokens).sum() == N
assert (clean_tokens != flipped_tokens)[torch.arange(N), S2_at].all()
is_name = clean_tokens[..., None] == answers[:, None]  # [b, s, 2]
assert (is_name.any(-1).sum(1) == 3).all()  # A, B and S2
for at, which in ((IO_at, 0), (S1_at, 1), (S2_at, 1)):
    assert is_name[torch.arange(N), at, which].all()
assert ((A_at < B_at) & (B_at < S2_at) & (S2_at < END_at) & (S1_at < S2_at)).all()
assert (END_at == clean_tokens.shape[1] - 1).all()

# %% [markdown]
# Figures by position need one label per column that is true of all prompts:

# %%
labels = list(model.to_str_tokens(clean_tokens[0]))
for position, label in ((A_at, "A"), (B_at, "B"), (S2_at, "S2"), (END_at, "END")):
    labels[position[0]] = f"<{label}>"
print(labels)

# %% tags=["test"]
for position in (A_at, B_at, S2_at, END_at):
    assert (position == position[0]).all()

# %% [markdown]
# ## 2 One number: the logit difference
#
# Accuracy jumps from 0 to 1 and hides everything in between. [Wang et al. 2022](https://arxiv.org/abs/2211.00593) take
#
# $$ \text{logit difference} = \text{logit}[\text{IO}] - \text{logit}[\text{S}] \quad\text{at END}. $$
#
# Three reasons. After softmax it is the log of the odds, $\log(p_{IO}/p_S)$: logits $3$ and $1$ make odds of $e^2 \approx 7.4$ to $1$,
# whatever the other thousand tokens do. It cancels all that raises both names alike: *that* a name comes next is another
# problem than *which*. And it is **linear** in the final residual stream, so it can be split into shares.
#
# It is a choice, though, with a price: it cannot see what moves both names alike (section 7 meets that). The *probability* of
# IO sees it, but saturates near 1 and near 0, where large effects look small; the *log probability* mixes in whatever moves any other token.
# [Zhang & Nanda 2024](https://arxiv.org/abs/2309.16042), *Towards Best Practices of Activation Patching*, compare them (section 4): take the logit difference first, and a second number beside it.

# %%
# exercise 06.2

# %%
check("06.2")

# %%
difference_of = yours("logit_diff")


def names_preferred(logits: Tensor) -> Tensor:
    """The mean logit difference, in logits."""
    return difference_of(logits, answers, torch.full((N,), logits.shape[1] - 1)).mean()


clean_logits, clean_cache = model.run_with_cache(clean_tokens)
flipped_logits, flipped_cache = model.run_with_cache(flipped_tokens)
_, abc_cache = model.run_with_cache(abc_tokens)
clean_diff, flipped_diff = names_preferred(clean_logits), names_preferred(flipped_logits)

# %% tags=["tell"]
right = (clean_logits[:, -1].argmax(-1) == answers[:, 0]).float().mean()
say(
    f"Clean {clean_diff:.2f}, flipped {flipped_diff:.2f}: odds of about {clean_diff.exp():.0f} to 1. In {right:.0%} of the prompts the "
    "indirect object is the most likely of all tokens."
)

# %% tags=["test"]
assert clean_diff > 3
assert flipped_diff < -3
assert right > 0.9

# %% [markdown]
# Patched runs lie between the two, so put them on a scale: $0$ as corrupted, $1$ as clean,
#
# $$ \frac{x - \text{corrupted}}{\text{clean} - \text{corrupted}}. $$
#
# With clean $4$, corrupted $-4$ and patched $2$: $(2 + 4)/8 = 0.75$. Average over prompts *before* dividing. Two prompts with
# ranges $8$ and $0.1$ and changes $4$ and $0.3$ give $4.3/8.1 = 0.53$; the mean of the ratios would be $(0.5 + 3)/2 = 1.75$, ruled by the
# prompt that says least. Return a tensor, not a float: section 8 needs its gradient.

# %%
# exercise 06.3

# %%
check("06.3")

# %%
scale_of = yours("normalised_metric")
clean_each, flipped_each = (difference_of(x, answers, END_at) for x in (clean_logits, flipped_logits))


def recovered(logits: Tensor) -> Tensor:
    """0 as in the flipped run, 1 as in the clean one."""
    end = torch.full((N,), logits.shape[1] - 1)
    return scale_of(difference_of(logits, answers, end), clean_each, flipped_each)


print(f"clean {recovered(clean_logits):.2f}, flipped {recovered(flipped_logits):z.2f}")

# %% tags=["test"]
assert abs(recovered(clean_logits) - 1) < 1e-4
assert abs(recovered(flipped_logits)) < 1e-4

# %% [markdown]
# ## 3 Who writes the answer?
#
# ### The logit difference is a direction
#
# A logit is the final stream, normalised, times a column of $W_U$. With $s$ for LayerNorm's scale (one number per position) and everything else
# folded into weights,
#
# $$ \text{logit}[\text{IO}] - \text{logit}[\text{S}] = \frac{x}{s} \cdot
#    \underbrace{(W_U[:, \text{IO}] - W_U[:, \text{S}])}_{u,\ \text{one direction per prompt}} \;(+\; b_U\text{'s share}), \qquad
#    x = \sum_{\text{components } c} x_c . $$
#
# The stream is a sum of what components wrote, so the logit difference is a sum too: component $c$ gives $x_c \cdot u / s$. This is *direct
# logit attribution* (chapter 02). Hold $s$ at the value of this run and the shares add up exactly.
#
# Look first at the sum as it grows: the same projection of the stream after each half layer, the **logit lens**.

# %%
# exercise 06.4

# %%
check("06.4")

# %% [markdown]
# **Before you run the next cell:** the stream at END, projected on the direction that separates the two names, after
# each half layer. Does the logit difference grow little by little, or at once?
#
# <details><summary>What to look for</summary>
#
# Nearly at once: next to nothing in the first layers, then one large step. Note whether it is the attention or the MLP
# of its layer that makes it (`4_pre` is the stream before layer 4, `4_mid` between its attention and its MLP).
#
# </details>

# %%
direction_of = yours("logit_directions")
u = direction_of(model, answers)
stream, lens_labels = clean_cache.accumulated_resid(
    layer=-1, incl_mid=True, pos_slice=-1, apply_ln=True, return_labels=True
)
lens = (stream * u).sum(-1).mean(-1)
plots.line(
    lens,
    lens_labels,
    "Logit lens at END: IO minus S",
    "stream before / in the middle of a layer",
    "logit difference",
    connect=True,
)

# %% tags=["test"]
assert abs(lens[-1] + (model.b_U[answers[:, 0]] - model.b_U[answers[:, 1]]).mean() - clean_diff) < 1e-2

# %% [markdown]
# Little until layer 4; then its attention, the step from `4_pre` to `4_mid`, does more than any other. But a difference can hide what its
# two terms do. Draw them one by one, each against the mean of all hundred names:

# %%
all_names = torch.tensor([model.to_single_token(f" {name}") for name in corpus.NAMES])
middle = model.W_U[:, all_names].mean(1)  # the direction of "some name"
of_io, of_s = model.W_U[:, answers[:, 0]].T - middle, model.W_U[:, answers[:, 1]].T - middle
lens_io, lens_s = (stream * of_io).sum(-1).mean(-1), (stream * of_s).sum(-1).mean(-1)
plots.line(
    {"IO": lens_io, "S": lens_s},
    lens_labels,
    "Logit lens at END, each name against the average name",
    "stream before / in the middle of a layer",
    "logit above the average name",
    connect=True,
)

# %% tags=["tell"]
before_four, after_four = lens_labels.index("4_pre"), lens_labels.index("4_mid")
raised, lifted = (lens[after_four] - lens[before_four] for lens in (lens_io, lens_s))
say(
    f"**Raised, and not alike.** The attention of layer 4 raises the indirect object by {raised:.1f} logits and the giver by {lifted:.1f}: when the names are written it has been decided which of the two deserves more. Somebody must have told layer 4; keep that in mind. "
    f"And somebody writes against the giver besides: before layer 4 it stands at {lens_s[before_four]:+.1f}, and what comes after takes it from {lens_s[after_four]:+.1f} to {lens_s[-1]:+.1f}."
)

# %% tags=["test"]
assert raised > 2
assert raised > lifted + 1.5

# %% [markdown]
# ### Layer by layer, head by head
#
# The same projection for every component by itself:

# %%
parts, part_labels = clean_cache.decompose_resid(layer=-1, pos_slice=-1, apply_ln=True, return_labels=True)
plots.bar((parts * u).sum(-1).mean(-1), part_labels, "Direct share in the logit difference", "logits")

# %%
shares_of = yours("head_attribution")
shares = shares_of(model, clean_cache, u)
to_io, to_s = shares_of(model, clean_cache, of_io), shares_of(model, clean_cache, of_s)
plots.head_map(shares, "Each head's direct share in the logit difference", color_label="logits")

# %% [markdown]
# **Before you run the next cell:** a share in the *difference* can come about in two ways. Which of the heads above
# write for the indirect object, which against the giver? And could a head write a lot and have a share near zero?
#
# <details><summary>What to look for</summary>
#
# All three exist. Some heads are large for IO and small for S; some are negative for S; and some raise both names by
# about the same amount, so that the difference does not see them.
#
# </details>

# %%
plots.head_maps(
    {"the indirect object": to_io, "the giver": to_s},
    "What each head adds to the two names (logits, against the average name)",
)

# %%
movers = heads_where((shares > 0.05 * clean_diff) & (to_io > 0.5))
strikers = heads_where((shares > 0.05 * clean_diff) & (to_s < -0.5))
both_names = [head for head in heads_where((to_io > 0.5) & (to_s > 0.5)) if head not in movers]

# %% tags=["tell"]
moving, striking = (
    sum(float(shares[head]) for head in some) / float(clean_diff) for some in (movers, strikers)
)
say(
    f"Three kinds. **{named(movers)}** write the indirect object much more than the giver: together {moving:.0%} of the logit difference. **{named(strikers)}** write *against the giver*: {striking:.0%}. "
    f"And {named(both_names)} raise both names alike, which the difference cannot see: {sum(float(shares[head]) for head in both_names) / float(clean_diff):.0%}."
)

# %% tags=["test"]
assert movers
assert moving > 0.4
assert moving + striking > 0.75

# %% [markdown]
# ### Where do they look?

# %%
prompt = 0
patterns = torch.stack([clean_cache["pattern", layer][prompt, head] for layer, head in movers])
plots.attention(model.to_str_tokens(clean_tokens[prompt]), patterns, [head_name(head) for head in movers])

# %%
rows = torch.arange(N)


def attention(head: Head, query: Tensor, key: Tensor, cache: ActivationCache = clean_cache) -> float:
    """A head's mean attention from one place of each prompt to another."""
    return cache["pattern", head[0]][rows, head[1], query, key].mean().item()


# %% tags=["tell"]
table = [
    "| head | END → IO | END → S1 | END → S2 | flipped run: END → IO | END → S1 |",
    "|---|---|---|---|---|---|",
]
for head in movers:
    clean_looks = [attention(head, END_at, key) for key in (IO_at, S1_at, S2_at)]
    flipped_looks = [attention(head, END_at, key, flipped_cache) for key in (IO_at, S1_at)]
    table.append(
        f"| {head_name(head)} | " + " | ".join(f"{x:.2f}" for x in clean_looks + flipped_looks) + " |"
    )
say("\n".join(table))
say(
    "From END they look at **IO**, and in the flipped run, in which the other one gives, at the *other* name (the columns keep the clean prompt's labels). The same two places, the same two words: "
    "only what the heads are looking for has changed."
)

# %% tags=["test"]
for head in movers:
    assert attention(head, END_at, IO_at) > 1.3 * attention(head, END_at, S1_at)
    assert attention(head, END_at, IO_at, flipped_cache) < attention(head, END_at, S1_at, flipped_cache)

# %% [markdown]
# And what do they write of what they look at? [Wang et al. 2022](https://arxiv.org/abs/2211.00593) (section 3.1) ask it of the weights: take the stream at a name after the first block, put it through the head's OV circuit
# and the unembedding as if the head attended to nothing else, and see whether the name is among the five likeliest tokens.

# %%
copies = measure.copy_scores(model, clean_tokens, IO_at)
plots.head_map(
    copies, "Copy scores: how often a head would write the name it looks at", False, color_label="share"
)

# %% tags=["tell"]
others_that_copy = [head for head in heads_where(copies >= 0.8) if head not in movers]
say(
    f"The movers': {', '.join(f'{head_name(head)} {copies[head]:.0%}' for head in movers)}. (At 80% or more are also {named(others_that_copy)}: what a head *would* copy says nothing about where it looks.) "
    "Heads that look at the indirect object from END and copy what they look at: that is what the paper calls **name movers**."
)

# %% tags=["test"]
assert all(copies[head] >= 0.8 for head in movers)

# %% [markdown]
# The others, by where they look:

# %% tags=["tell"]
table = ["| head | END → A | END → B | END → IO | END → S2 |", "|---|---|---|---|---|"]
for head in both_names + strikers:
    looks = [attention(head, END_at, key) for key in (A_at, B_at, IO_at, S2_at)]
    table.append(f"| {head_name(head)} | " + " | ".join(f"{x:.2f}" for x in looks) + " |")
say("\n".join(table))
say(
    f'{named(both_names)} fetch a name by its *place*: always the first, or always the second, whoever gives. They say "a name of this story", not which. {named(strikers)} look at S2 and push down what they see there. '
    "So this model does two things at once, and the paper's circuit is only one of them: it *finds* the indirect object and copies it, and it *strikes* the giver off a list of all who were named."
)

# %% tags=["test"]
assert all(attention(head, END_at, S2_at) > 0.5 for head in strikers)
for head in both_names:
    assert max(attention(head, END_at, A_at), attention(head, END_at, B_at)) > 0.8

# %% [markdown]
# A story suggests itself: somebody finds out who gives, and the name movers look at the other one. But attribution is *observation*. It says who writes; it does not say where a
# mover gets its directions from, nor that the attention we see is what matters. For causes, intervene.

# %% [markdown]
# ## 4 Activation patching: where does the information stand?
#
# Take two runs that differ in one thing, and move one activation from one to the other.
#
# * **Denoising**: the *corrupted* run gets one *clean* activation. If the answer comes back, this place is **enough**: the decisive information, as clean
#   has it, stands there and the rest of the model can use it.
# * **Noising**: the *clean* run gets one *corrupted* activation. If the answer is lost, this place is **necessary**: nothing else stands in for it.
#
# They are not each other's opposite. Suppose that two heads each carry the whole answer and one is enough (an OR): denoising either shows 1, noising either shows
# no loss. Suppose that both are needed (an AND): denoising either shows 0, noising either loses all. Only for parts that simply *add up* do the two agree
# ([Heimersheim & Nanda 2024](https://arxiv.org/abs/2404.15255), section 2).
#
# ### The residual stream, layer by layer and position by position
#
# The stream at one position of one layer is *everything* that the model knows there. Patching it asks: has the information arrived here by now?

# %%
plots.diagram("denoising_and_noising")

# %%
# exercise 06.5

# %%
check("06.5")

# %% [markdown]
# **Before you run the next cell:** the flipped run gets the clean stream at one position of one layer. At which
# positions can that bring the answer back in the first layers, and at which in the last? And in between?
#
# <details><summary>What to look for</summary>
#
# In the first layers at S2 only, for nothing else differs in the input; in the last at END, where the answer is
# written, and a little still at S2, from where the last layers read it too. It goes over in layer 3, and stops nowhere
# in between.
#
# </details>

# %%
resid_map = yours("patch_resid")(model, flipped_tokens, clean_cache, recovered)
plots.patching_map(
    resid_map, labels, "Denoising the residual stream: what comes back", color_label="recovered"
)

# %% tags=["tell"]
S2_col, END_col = int(S2_at[0]), int(END_at[0])
crossing = int((resid_map[1:, END_col] - resid_map[:-1, END_col]).argmax())
elsewhere = resid_map.clone()
elsewhere[:, [S2_col, END_col]] = 0
say(
    f"It stands at **S2**, of course, since nothing else differs in the input, and moves to **END** mostly in layer {crossing}: before it {resid_map[crossing, END_col]:z.2f} at END, after it "
    f"{resid_map[crossing + 1, END_col]:.2f}. No other position ever holds much of it (at most {elsewhere.abs().max():.2f}). So END knows who gives *before* layer {min(layer for layer, _ in movers)}, in which the names are written."
)

# %% tags=["test"]
assert (resid_map[0, S2_col] - 1).abs() < 1e-3
assert elsewhere.abs().max() < 0.2
assert resid_map[crossing + 1, END_col] > 0.5
assert crossing < min(layer for layer, _ in movers)

# %% [markdown]
# For GPT-2 small the same figure looks much the same: S2 first, and in layers 7 and 8 over to END. What such a figure cannot say is *what* the stream
# at S2 holds: "this name has been here before", as in GPT-2 small, or simply "this name". Remember the question; section 6 answers it for ours.
#
# ### Attention and MLPs
#
# Which layers *write* it there? Patch what attention and MLP of a layer add. (From here on the sweeps are the library's `cleanlens.patching`, which
# does the same in less time: it starts each run at the patched layer and unembeds only END.)

# %%
blocks = patching.get_act_patch_block_every(model, flipped_tokens, clean_cache, recovered, metric_pos=-1)
resid_again, attn_map, mlp_map = blocks
plots.heatmaps(
    {"attention outputs": attn_map, "MLP outputs": mlp_map},
    plots.numbered(labels),
    title="Denoising what attention and MLPs add: recovered",
    x_label="position",
    y_label="layer",
    columns=1,
)

# %% tags=["test"]
assert torch.allclose(resid_again, resid_map, atol=1e-3)

# %% tags=["tell"]
by_attention = attn_map[:, END_col]
first, second = sorted(by_attention.topk(2).indices.tolist())
say(
    f"At END two layers of attention matter: layer {first} ({by_attention[first]:.2f}) and layer {second} ({by_attention[second]:.2f}). At S2 it is the first layers, which read the name itself "
    f"(attention of layer 0 {attn_map[0, S2_col]:.2f}, its MLP {mlp_map[0, S2_col]:.2f}). (With the flipped prompts as the counterpart, that is. What does the same in both runs cannot show up.)"
)

# %% tags=["test"]
assert first < second
assert mlp_map[1:].abs().max() < attn_map.max()

# %% [markdown]
# ### Heads
#
# $z$ is the last place where heads are apart: $[\text{batch}, \text{position}, \text{head}, d_{head}]$. Behind $W_O$ they are added up.

# %%
# exercise 06.6

# %%
check("06.6")

# %%
patch_each = yours("patch_heads")
denoised = patch_each(model, flipped_tokens, clean_cache, recovered)
plots.head_map(denoised, "Denoising: one clean head in the flipped run", color_label="recovered")

# %% [markdown]
# At which position does a head's output matter? The same, position by position, picks out the heads that bring something to END before the
# movers, and those that do something at S2:

# %%
by_pos = patching.get_act_patch_attn_head_out_by_pos(
    model, flipped_tokens, clean_cache, recovered, metric_pos=-1
)
at_END, at_S2 = by_pos[:, END_at[0]], by_pos[:, S2_at[0]]  # [layer, head]
inhibitors = [head for head in heads_where(at_END > 0.05) if head[0] < min(layer for layer, _ in movers)]
readers = heads_where(at_S2 > 0.1)
plots.head_maps({"at END": at_END, "at S2": at_S2}, "One clean head at one position: recovered")

# %% tags=["tell"]
to_S2 = {head: attention(head, END_at, S2_at) for head in inhibitors}
say(
    f"At END, beside the movers, **{named(inhibitors)}**: {', '.join(f'{head_name(head)} brings back {at_END[head]:.0%}' for head in inhibitors)}, and they write little of the answer themselves "
    f"({', '.join(f'{float(shares[head]) / float(clean_diff):.0%}' for head in inhibitors)} of the difference). From END they look at S2 ({', '.join(f'{head_name(head)} {x:.2f}' for head, x in to_S2.items())}). "
    f"At S2 itself: {named(readers)}, in layer 0, as far as heads are concerned."
)

# %% tags=["test"]
assert inhibitors
assert all(shares[head] < 0.25 * clean_diff for head in inhibitors)
assert max(to_S2.values()) > 0.5

# %% [markdown]
# **Noising** for comparison: the clean run with one flipped head, and how much is lost.

# %%
noised = 1 - patch_each(model, clean_tokens, flipped_cache, recovered)
leader = max(inhibitors, key=lambda head: float(denoised[head]))
plots.scatter(
    denoised,
    noised,
    model.all_head_labels(),
    "Enough or necessary? One point per head",
    "gained by denoising",
    "lost by noising",
)

# %% tags=["tell"]
say(
    f"{head_name(leader)} is nearly enough by itself (denoising {denoised[leader]:.0%}) and nearly irreplaceable (noising takes {noised[leader]:.0%}): a bottleneck. The movers work side by side: each brings back {min(float(denoised[h]) for h in movers):.0%} to "
    f"{max(float(denoised[h]) for h in movers):.0%}, and {sum(float(denoised[h]) for h in movers):.0%} together. Neither OR nor AND, but a sum."
)

# %% tags=["test"]
assert noised[leader] > 0.3
assert max(float(noised[head]) for head in movers) < noised[leader]

# %% [markdown]
# ### Query, key, value or pattern?
#
# A head's output can change for two reasons: it looks **elsewhere** (its pattern, by way of query or key), or **something else stands** where it looks (its value). Patch
# the parts one by one.

# %%
# exercise 06.7

# %%
check("06.7")

# %% [markdown]
# **Before you run the next cell:** the movers and the inhibitor at END both matter. In the flipped run the same names
# stand at the same places, only another one gives. Which of its parts does each of the two get from the clean run with
# effect: query, key, value?
#
# <details><summary>What to look for</summary>
#
# The movers: the query. The names that they could copy are the same in both runs; where they look is not. The
# inhibitor: the value. It looks at S2 in both runs, and another name stands there.
#
# </details>

# %%
patch_part = yours("patch_head_part")
by_part = {
    part: patch_part(part, model, flipped_tokens, clean_cache, recovered)
    for part in ("q", "k", "v", "pattern")
}
shown = {"query": by_part["q"], "key": by_part["k"], "value": by_part["v"], "pattern": by_part["pattern"]}
plots.head_maps({"output": denoised, **shown}, "What of each head matters: recovered")

# %% tags=["tell"]
of_all = sum(float(denoised[head]) for head in movers)
by_query, mover_values = (sum(float(by_part[part][head]) for head in movers) / of_all for part in "qv")
leader_values = float(by_part["v"][leader] / denoised[leader])
say(
    f"**Two kinds of head.** The movers matter by their *queries* ({by_query:.0%} of what their outputs do; their values {mover_values:.0%}): the names they could copy are the same in both runs, where they look is not. "
    f"{head_name(leader)} matters by its *values* ({leader_values:.0%}): it looks at S2 in both runs, and what stands there differs."
)

# %% tags=["test"]
assert by_query > 0.6
assert mover_values < 0.4
assert leader_values > 0.6

# %% [markdown]
# That is what [Wang et al. 2022](https://arxiv.org/abs/2211.00593) found in GPT-2 small: name movers matter by their queries, and heads in layers before them tell them where **not** to look. They call those the *S-inhibition heads*.
#
# ## 5 Path patching: who tells whom?
#
# Patching a head changes all that later heads make of it. To ask whether head $X$ speaks to $Y$ *itself*, everything in between must be held still. Path patching
# ([Wang et al. 2022](https://arxiv.org/abs/2211.00593), section 3.1;
# [Goldowsky-Dill et al. 2023](https://arxiv.org/abs/2304.05969)) does it with three runs:
#
# 1. the run on `tokens` and the run on the other tokens, both cached;
# 2. `tokens` again, with **all heads held** at their own values but the sender, which gets the other run's; what then arrives at the receiver is written down;
# 3. `tokens` once more, free, with nothing but the receiver's input replaced by what was written down.
#
# If the receiver is the logits themselves, run 2 is all. MLPs are a choice that must be *said*: with them running (as Wang et al. do) "direct" means "not through another
# head"; with them held it means "through the residual stream alone".
#
# The order of the two steps in the hook matters: hold first, then send. The other way round the sender is held too, and all effects are exactly 0.

# %%
plots.diagram("path_patching")

# %%
# exercise 06.8

# %%
check("06.8")

# %%
to_logits = yours("path_patch_to_logits")
run = (model, clean_tokens, clean_cache, flipped_cache, recovered)
lost_direct = 1 - to_logits(*run, False)
lost_stream = 1 - to_logits(*run, True)
plots.head_maps(
    {"MLPs run": lost_direct, "MLPs held": lost_stream},
    "Lost when a flipped head speaks to the logits",
)

# %% [markdown]
# With the MLPs held, "direct" is what section 3 computed from the stream without any patching. Two roads to one number:

# %%
plots.scatter(
    shares,
    lost_stream,
    model.all_head_labels(),
    "Two roads to the direct effect",
    "direct share (section 3)",
    "lost, MLPs held",
)

# %% tags=["tell"]
say(
    f"The movers, a second time: together they speak {sum(float(lost_direct[h]) for h in movers):.0%} of the answer to the logits. {head_name(leader)} says {lost_direct[leader]:.0%} of it (it is a striker too), although patching it brought back {denoised[leader]:.0%}. The rest must be heard by somebody else."
)

# %% tags=["test"]
assert sum(float(lost_direct[head]) for head in movers) > 0.5
assert float(lost_direct[leader]) < 0.6 * float(denoised[leader])

# %% [markdown]
# ### By whom?
#
# The receivers are the movers. Which of their three inputs? Send to each in turn.

# %%
# exercise 06.9

# %%
check("06.9")

# %%
to_heads = yours("path_patch_to_heads")
heard = {part: 1 - to_heads(*run, movers, part) for part in "qkv"}
plots.head_maps(
    {
        "through their queries": heard["q"],
        "through their keys": heard["k"],
        "through their values": heard["v"],
    },
    "Lost when a flipped head speaks to the movers",
)

# %% tags=["tell"]
spoken = ", ".join(f"{head_name(head)} {heard['q'][head]:.2f}" for head in inhibitors)
say(
    f"The inhibitors, through the movers' **queries**: {spoken}. Keys and values carry next to nothing (at most {max(heard['k'].abs().max(), heard['v'].abs().max()):.2f}). That closes the chain: {head_name(leader)} "
    "reads at S2 who gives, writes it at END, and the movers look elsewhere."
)

# %% tags=["test"]
last_mover = max(layer for layer, _ in movers)
assert heard["q"][last_mover:].abs().max() < 1e-3  # nobody there can reach them
assert heard["q"].argmax() == leader[0] * cfg.n_heads + leader[1]
assert heard["q"][leader] > 0.3
assert max(heard["k"].abs().max(), heard["v"].abs().max()) < 0.2

# %% [markdown]
# See it happen. In the clean run, let every mover have one thing from the flipped run: what the inhibitor wrote at END, and that in its query only.

# %%
whole_shift = {head: circuit.query_shift(case, head) for head in movers}
plots.bar(
    torch.tensor([[whole, whole - float(shift[leader])] for whole, shift in whole_shift.values()]).flatten(),
    [f"{head_name(head)}, {which}" for head in movers for which in ("clean", "misled")],
    f"END → IO minus END → S1, with the flipped {head_name(leader)} in the query",
    "attention",
)

# %% tags=["tell"]
say(
    f"{', '.join(f'{head_name(head)}: from {whole:.2f} to {whole - float(shift[leader]):.2f}' for head, (whole, shift) in whole_shift.items())}. One head's word, in the query alone, turns the movers from IO towards S."
)

# %% tags=["test"]
assert all(shift[leader] > 0.2 for _, shift in whole_shift.values())

# %% [markdown]
# And who speaks to the inhibitor? The same question one step back.


# %%
before = 1 - to_heads(*run, [leader], "v")
loudest = divmod(int(before.abs().argmax()), cfg.n_heads)


def looks_back(key: Tensor) -> float:
    """The most that any head before the inhibitor attends from S2 to this place."""
    return max(attention((layer, h), S2_at, key) for layer in range(leader[0]) for h in range(cfg.n_heads))


# %% tags=["tell"]
say(
    f"Most of all {head_name(loudest)} ({before[loudest]:.2f}), which at S2 attends to S2 itself with {attention(loudest, S2_at, S2_at):.2f}: it makes something of the token that stands there. Does any head before "
    f"{head_name(leader)} look from S2 back to S1, as a duplicate token head does? At most {looks_back(S1_at):.2f}, on average. To the token after S1, as an induction head does? At most {looks_back(S1_at + 1):.2f}."
)

# %% tags=["test"]
assert loudest[0] < leader[0]

# %% [markdown]
# ## 6 A prediction
#
# "Not the one who gives": is that *this name*, or *this place*? [Wang et al. 2022](https://arxiv.org/abs/2211.00593) find that S-inhibition heads carry both, a token signal and a position signal, and that in GPT-2 small the
# position matters more. One can tell them apart. Take a run in which the *same person* gives but is introduced in the *other place* (A and B have changed places). What the inhibitor writes there
# names the same token and points at the other position. Put it into the clean run.
#
# **Before you run the next cells:** where do the movers look then, if the signal is the token? Where, if it is the place?
#
# <details><summary>What to look for</summary>
#
# The token: nothing happens, they look at IO as before. The place: they go astray, as they do when told of another giver. The table says which.
#
# </details>


# %%
def with_word_of(other: ActivationCache) -> tuple[float, float]:
    """The movers' attention from END to IO and to S1 when the inhibitor's output at END is another run's."""
    seen = {}

    def send(z, hook):
        z[:, -1, leader[1]] = other["z", leader[0]][:, -1, leader[1]]
        return z

    def look(pattern, hook):
        seen[hook.layer()] = pattern.clone()

    hooks = [(get_act_name("z", leader[0]), send)]
    hooks += [(get_act_name("pattern", layer), look) for layer in {layer for layer, _ in movers}]
    model.run_with_hooks(clean_tokens, fwd_hooks=hooks)
    looks = torch.stack([seen[layer][rows, head, -1] for layer, head in movers])  # [mover b key]
    return tuple(looks[:, rows, at].mean().item() for at in (IO_at, S1_at))


# %%
places_swapped = [replace(item, first=item.second, second=item.first) for item in data.items]
swapped = corpus.IOIDataset(places_swapped, data.io, data.s)
_, swapped_cache = model.run_with_cache(measure.ioi_tokens(model, swapped.prompts))
words = {"its own": clean_cache, "same giver, other place": swapped_cache, "other giver": flipped_cache}
told = {name: with_word_of(other) for name, other in words.items()}

# %% tags=["tell"]
say(
    "| the inhibitor's word is | movers look at IO | at S1 |\n|---|---|---|\n"
    + "\n".join(f"| {name} | {io:.2f} | {s:.2f} |" for name, (io, s) in told.items())
)
say(
    "**The token.** Told of the same giver from the other place, the movers look where they did; told of another giver, they turn away. This circuit does not say *not there*, it says *not that name*."
)

# %% tags=["test"]
assert told["same giver, other place"][0] > 0.8 * told["its own"][0]
assert told["other giver"][0] < 0.7 * told["its own"][0]

# %% [markdown]
# So the model does not ask "which name occurs twice?" either. In ABC sentences a third person gives, and no name is repeated. A circuit that looks for repetitions would have nothing to go by. Ours should say "not C", which
# excludes neither of the two: the movers should look at A and B alike.

# %%
abc_looks = {
    name: sum(attention(head, END_at, at, abc_cache) for head in movers) / len(movers)
    for name, at in (("A", A_at), ("B", B_at), ("C, who gives", S2_at))
}
plots.bar(
    torch.tensor(list(abc_looks.values())),
    list(abc_looks),
    "ABC prompts: where the movers look from END",
    "attention",
)

# %% tags=["tell"]
say(
    f"A {abc_looks['A']:.2f}, B {abc_looks['B']:.2f}, C {abc_looks['C, who gives']:.2f}. The prediction holds."
)

# %% tags=["test"]
assert min(abc_looks["A"], abc_looks["B"]) > 2 * abc_looks["C, who gives"]

# %% [markdown]
# ## 7 Is that it? Faithfulness
#
# A story about parts must be tried on the whole. Keep the circuit, each head at the positions of its role, and take away everything else. *Take away* means: replace by the mean over ABC
# prompts of the same template at the same position. A zero would be a value that later layers have never seen; a mean over *all* templates would mix the word at position 7 of one
# sentence with that of another; a mean over IOI prompts would keep what those share. The ABC mean keeps all but who is who.
#
# New prompts are used, on which none of the heads was chosen.
#
# $$ \text{faithfulness} = \frac{\text{metric}(\text{circuit alone})}{\text{metric}(\text{whole model})} $$

# %%
# exercise 06.10

# %%
check("06.10")

# %%
share_left = yours("circuit_faithfulness")
fresh = corpus.ioi_prompts(60, seed=1, aligned=True)  # prompts on which nothing was chosen
fresh_case = circuit.make_case(model, fresh)
fresh_tokens, fresh_abc, fresh_answers = fresh_case.tokens, fresh_case.abc, fresh_case.answers
templates = torch.tensor(fresh.template_ids)
positions = {role: fresh_case.at[role] for role in ("A", "B", "S2")} | {"END": fresh_case.at["end"]}

# %% [markdown]
# Three numbers for the same behaviour: the logit difference, how far IO stands above the average name, and whether it is the top token.


# %%
def mean_difference(logits: Tensor) -> Tensor:
    """The mean logit difference on the fresh prompts."""
    return difference_of(logits, fresh_answers, positions["END"]).mean()


def above_names(logits: Tensor) -> Tensor:
    """By how much the logit of IO is above the average name."""
    at_end = logits[:, -1]
    return (at_end.gather(1, fresh_answers[:, :1])[:, 0] - at_end[:, all_names].mean(-1)).mean()


def top_answers(logits: Tensor) -> Tensor:
    """The share of prompts in which IO is above all other tokens."""
    return (logits[:, -1].argmax(-1) == fresh_answers[:, 0]).float().mean()


# %%
def left(circuit: dict[str, list[Head]], metric: Metric = mean_difference) -> float:
    """The share of the whole model's metric that this circuit has, alone."""
    return float(share_left(model, fresh_tokens, fresh_abc, templates, circuit, positions, metric))


with_strikers = list(dict.fromkeys(movers + inhibitors + strikers))
readers_at_names = {"S2": readers, "A": readers, "B": readers}
circuits = {
    "nothing": {},
    "movers": {"END": movers},
    "+ inhibitors": {"END": movers + inhibitors},
    "+ readers at S2": {"END": movers + inhibitors, "S2": readers},
    "+ readers at all names": {"END": movers + inhibitors, **readers_at_names},
    "+ strikers": {"END": with_strikers, **readers_at_names},
    "+ those who fetch both": {"END": with_strikers + both_names, **readers_at_names},
}

# %% [markdown]
# **Before you run the next cell:** the circuit alone, built up role by role, against everything else at its ABC mean.
# How much of the logit difference do the movers have by themselves? From which row on would you believe it? And do the
# three numbers agree?
#
# <details><summary>What to look for</summary>
#
# The movers alone have next to nothing: nobody tells them where to look, and nothing at the names is there to be found.
# The numbers do *not* agree half way: with the readers at S2 only, the logit difference is far ahead of the height of
# IO.
#
# </details>

# %%
by_diff = {name: left(some) for name, some in circuits.items()}
by_height = {name: left(some, above_names) for name, some in circuits.items()}
by_top = {name: left(some, top_answers) for name, some in circuits.items()}

# %% tags=["tell"]
say(
    "| circuit | logit difference | IO above the average name | IO is the top token |\n|---|---|---|---|\n"
    + "\n".join(
        f"| {name} | {by_diff[name]:.0%} | {by_height[name]:.0%} | {by_top[name]:.0%} |" for name in circuits
    )
)

# %% tags=["tell"]
say(
    f"Read the fourth row twice. By the logit difference movers, inhibitors and the readers at S2 are worth {by_diff['+ readers at S2']:.0%}; but they lift the indirect object to {by_height['+ readers at S2']:.0%} of its height above the average name. They know who gives and write against the giver; "
    f"what to write *for* they do not find. The readers are needed at A and B too: they make of a name what the movers find and copy. With them the circuit has {by_diff['+ readers at all names']:.0%} of the difference and completes {by_top['+ readers at all names']:.0%} of the sentences, with the strikers {by_diff['+ strikers']:.0%}. "
    f"Those who fetch both names *lower* the difference, to {by_diff['+ those who fetch both']:.0%}, and lift IO to {by_height['+ those who fetch both']:.0%}."
)

# %% tags=["test"]
assert abs(by_diff["nothing"]) < 0.2
assert by_diff["movers"] < 0.4
assert by_diff["+ readers at S2"] > by_height["+ readers at S2"] + 0.1
assert by_diff["+ readers at all names"] > 0.7
assert by_top["+ readers at all names"] > 0.8
assert 0.8 < by_diff["+ strikers"] < 1.25

# %% [markdown]
# *A metric is blind to whatever moves both its terms; a counterpart is blind to whatever is equal in both.* Always have a second number.
#
# (More than 100% is no mistake: heads outside the circuit may work against it, and their means do not. [Wang et al. 2022](https://arxiv.org/abs/2211.00593) report the difference between circuit and model rather than the share.)
#
# ### Minimality
#
# Is each head needed? Take one out at a time, from the complete circuit, and see what is lost by either number.

# %%
whole = circuits["+ strikers"]
members = [(role, head) for role in whole for head in whole[role]]


def without(member: tuple[str, Head]) -> dict[str, list[Head]]:
    """The whole circuit but one head in one role."""
    return {role: [head for head in whole[role] if (role, head) != member] for role in whole}


lost_diff = left(whole) - torch.tensor([left(without(member)) for member in members])
lost_above = left(whole, above_names) - torch.tensor(
    [left(without(member), above_names) for member in members]
)

# %%
names_of_members = [f"{head_name(head)} at {role}" for role, head in members]
plots.line(
    {"logit difference": lost_diff, "IO above the average name": lost_above},
    names_of_members,
    "Lost when one head is taken out of the circuit",
    "",
    "share of the whole model",
)

# %% tags=["tell"]
idle = [name for name, a, b in zip(names_of_members, lost_diff, lost_above) if max(abs(a), abs(b)) < 0.02]
say(
    f"Each has its number to answer for; {head_name(leader)} most of all. Without a part in either (below 2%): {', '.join(idle) or 'none'}."
)

# %% tags=["test"]
assert len(idle) <= 3
assert lost_diff[members.index(("END", leader))] > 0.3

# %% [markdown]
# Heads that do the same work hide each other: take one out and the rest carry on. So Wang et al. (section 4.3) ask for each head $v$ whether there is *some* set $K$ of the others with which it
# matters: how far apart are the circuit without $K$ and the circuit without $K$ and $v$? Above, $K$ was empty. The natural other choice is the rest of the head's own role.

# %%
found = {
    "movers": [(head, "end") for head in movers],
    "inhibitors": [(head, "end") for head in inhibitors],
    "strikers": [(head, "end") for head in strikers if head not in inhibitors],
    "readers": [(head, place) for place in ("S2", "A", "B") for head in readers],
}
needed = circuit.minimality(fresh_case, found)
plots.bar(
    torch.tensor(list(needed.values())),
    [f"{head_name(head)} at {place}" for head, place in needed],
    "The change that a head makes, alone or as the last of its role",
    "share of the whole model",
)

# %% [markdown]
# ### Completeness
#
# Is anything missing? Faithfulness alone cannot say: a circuit that leaves out a backup is as faithful as the whole, as long as nobody is taken ill. So take sets $K$ of the circuit's own heads away, from the circuit *and* from the
# whole model (Wang et al., section 4.2). If both lose the same, nobody outside stood in for them. $K$ is each role in turn, then random halves of the circuit.

# %%
rest = circuit.completeness(fresh_case, found)
points = torch.tensor(list(rest.values()))
figure = plots.scatter(
    points[:, 1],
    points[:, 0],
    list(rest),
    "Without K: the whole model and the circuit",
    "logit difference of the model without K",
    "of the circuit without K",
)
line = [points.min().item(), points.max().item()]
figure.add_scatter(x=line, y=line, mode="lines", name="equal", line={"dash": "dot"})

# %% tags=["tell"]
widest_gap = max(rest, key=lambda name: abs(rest[name][1] - rest[name][0]))
gap = (rest[widest_gap][1] - rest[widest_gap][0]) / fresh_case.clean_diff
say(
    f"The two are furthest apart for K = {widest_gap}: {abs(gap):.0%} of the whole model's difference {'remains in the model and not in the circuit' if gap > 0 else 'remains in the circuit and not in the model'}. "
    + (
        "That much is done, or made good, by heads that we left out."
        if gap > 0.15
        else "So little is done by heads that we left out."
    )
)

# %% [markdown]
# **How sure are these numbers?** The means that replace the other heads are taken over the ABC prompts of each template, a dozen here, with names drawn at random. Draw others and look how far the shares move:

# %%
again = []
for seed in range(1, 6):
    other_abc = measure.ioi_tokens(model, fresh.abc(seed=seed).prompts)
    again.append(
        float(share_left(model, fresh_tokens, other_abc, templates, whole, positions, mean_difference))
    )

# %% tags=["tell"]
sizes = [fresh.template_ids.count(template) for template in set(fresh.template_ids)]
say(
    f"Faithfulness with five other draws: {', '.join(f'{x:.0%}' for x in sorted(again))}; templates have {min(sizes)} to "
    f"{max(sizes)} prompts each. Differences between circuits that are smaller than this spread mean nothing."
)

# %% tags=["test"]
assert max(again) - min(again) < 0.3

# %% [markdown]
# ## 8 All patches at once, nearly: attribution patching
#
# Exact patching costs a run per place. This model has 24 heads; GPT-2 small has 144, and tens of thousands of neurons. A gradient is cheaper. To first order,
#
# $$ f(z + \Delta) \approx f(z) + \Delta \cdot \nabla f(z), \qquad \Delta = z_\text{clean} - z_\text{corrupted}, $$
#
# with the gradient at the run *in which* one patches, the corrupted one. Two forward passes and one backward give an estimate for **every** place
# ([Nanda 2023](https://www.neelnanda.io/mechanistic-interpretability/attribution-patching); [Syed et al. 2023](https://arxiv.org/abs/2310.10348)).
#
# **Where it goes wrong, by numbers.** Let $f(z) = \tanh z$, corrupted $z = -3$, clean $z = 3$. The true change is $0.995 - (-0.995) = 1.99$. The gradient at $-3$ is $1 - 0.995^2 = 0.0099$, so
# the estimate is $6 \cdot 0.0099 = 0.06$. Where something is saturated, the tangent is flat and the estimate sees nothing. Attention patterns and LayerNorm bend in this way.

# %%
# exercise 06.11

# %%
check("06.11")

# %%
estimate = yours("attribution_patching")(model, clean_tokens, flipped_tokens, recovered)
figure = plots.scatter(
    denoised,
    estimate,
    model.all_head_labels(),
    "Attribution patching against exact patching",
    "exact",
    "estimated",
)
figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="equal", line={"dash": "dot"})

# %% tags=["tell"]
together = torch.corrcoef(torch.stack([denoised.flatten(), estimate.flatten()]))[0, 1]
slope = (estimate * denoised).sum() / (denoised**2).sum()
best_exact, best_guess = (set(x.flatten().topk(5).indices.tolist()) for x in (denoised, estimate))
say(
    f"Correlation {together:.2f}; the estimates are about {slope:.0%} of the exact values. Of the five heads with the largest exact effect, {len(best_exact & best_guess)} are among the five largest estimates. A good way to choose where to look, then patch those exactly."
)

# %% tags=["test"]
assert together > 0.6
assert len(best_exact & best_guess) >= 3

# %% [markdown]
# ### Edges: who reads whom, all at once
#
# The same step works for *edges*. What a receiver $v$ reads is a sum of what all senders before it wrote, so for each edge $u \to v$
#
# $$ \text{score}(u, v) = (z_u^\text{clean} - z_u^\text{flipped}) \cdot \frac{\partial f}{\partial\, \text{input of } v}, $$
#
# and one pass back gives the right-hand factor for every $v$: path patching for all pairs at the price of two runs. This is *edge attribution patching*, EAP (Syed et al. 2023, section 3). Against flat
# tangents, EAP-IG ([Hanna et al. 2024](https://arxiv.org/abs/2403.17806), section 3) takes the mean of the gradient at several points between the flipped and the clean embedding.


# %%
def per_prompt(answers: Tensor) -> Callable[[Tensor], Tensor]:
    """logits -> every prompt's logit difference, for these answers."""
    return lambda logits: difference_of(logits, answers, torch.full((len(answers),), logits.shape[1] - 1))


eap = analysis.edge_attribution(model, clean_tokens, flipped_tokens, per_prompt(answers))
eap_ig = analysis.edge_attribution(model, clean_tokens, flipped_tokens, per_prompt(answers), steps=5)
strongest = eap_ig.top(30)

# %% tags=["tell"]
say(
    f"{eap.graph.n_edges:,} edges. The strongest by EAP-IG, in logits:\n\n| edge | score |\n|---|---|\n"
    + "\n".join(f"| {name} | {score:+.2f} |" for name, score in strongest[:16])
)
say(
    "Nobody told it about roles. Yet there they are: the movers to the logits, the inhibitors to the movers' *queries*, the readers to the inhibitors' *values*."
)

# %% tags=["test"]
edges_found = {name for name, _ in strongest}
assert sum(f"{head_name(head)} -> logits" in edges_found for head in movers) >= len(movers) / 2
assert any(f"{head_name(leader)} -> {head_name(head)} q" in edges_found for head in movers)
assert any(f"{head_name(head)} -> {head_name(leader)} v" in edges_found for head in readers)

# %% [markdown]
# A score is an estimate; whether a set of edges *is* the circuit, a run must say. Keep the best $n$ edges (greedily, from the logits back, so that each leads somewhere), let every other edge carry what it carries in the
# flipped run, and see how much of the behaviour is left: a curve over $n$, on prompts that were not used for the scores. Circuits of edges drawn at random show what size alone can do.

# %%
held_back = per_prompt(fresh_answers)
other_run = analysis.ablation_values(model, "resample", measure.ioi_tokens(model, fresh.flipped().prompts))
curves = [
    analysis.faithfulness_curve(model, fresh_tokens, other_run, held_back, scores, name, connected=True)
    for name, scores in {"EAP-IG": eap_ig, "EAP": eap, "random": analysis.random_scores(eap.graph)}.items()
]
curves[0].plot(*curves[1:])

# %% tags=["tell"]
by_ig, by_eap, by_chance = curves
enough = next(n for n, e in zip(by_ig.sizes, by_ig.faithfulness) if e.mean > 0.9)
say(
    f"{enough} of {by_ig.n_edges:,} edges do more than 90% of it. The area between curve and 1 (MIB's *circuit-model distance*, [Mueller et al. 2025](https://arxiv.org/abs/2504.13151); smaller is better): EAP-IG {by_ig.cmd:.3f}, EAP {by_eap.cmd:.3f}, random {by_chance.cmd:.3f}. "
    "The bands are 95% intervals over prompts: where two overlap, do not rank them."
)

# %% tags=["test"]
assert by_ig.cmd < by_chance.cmd / 3
assert by_ig.cmd < by_eap.cmd + 0.02

# %% [markdown]
# ## 9 The circuit of this model
#
# The diagram is drawn from what was measured: which heads (sections 3 to 5), edges from the tokens as wide as the attention, edges between heads as wide as the loss when that one path is patched (one sender, one receiver), edges
# to the logits as wide as the direct contributions.


# %%
def path_loss(sender: Head, part: str, receiver: Head) -> float:
    """What is lost when one flipped head speaks to one head's queries or values."""
    logits = patching.path_patch(model, clean_tokens, clean_cache, flipped_cache, sender, [(part, *receiver)])
    return 1 - recovered(logits).item()


paths = {(a, b): path_loss(a, "q", b) for a in inhibitors for b in movers}
readings = {(a, b): path_loss(a, "v", b) for a in readers for b in inhibitors}

# %% tags=["tell"]
COLOURS = {
    "token": "#dddddd",
    "reader": "#ffd166",
    "inhibitor": "#f4978e",
    "mover": "#8ecae6",
    "striker": "#cdb4db",
    "output": "#dddddd",
}


def spread(heads: list[Head], left: float, right: float) -> dict[Head, float]:
    """Heads side by side between two columns."""
    return {head: left + (right - left) * (i + 0.5) / len(heads) for i, head in enumerate(heads)}


def circuit_diagram() -> tuple[go.Figure, list[tuple]]:
    """The figure, and its edges as (from, to, strength, sign)."""
    nodes: dict[Any, tuple[float, float, str, str]] = {
        "IO": (0.5, 0, "IO", "token"),
        "S1": (1.8, 0, "S1", "token"),
        "S2": (4.6, 0, "S2<br>(gives)", "token"),
        "logit": (2.4, 4.3, "logit of IO<br>minus of S", "output"),
    }
    for head, x in spread(readers, 3.6, 5.6).items():
        nodes["read", head] = (x, 1, head_name(head), "reader")
    for head, x in spread(inhibitors, 3.6, 5.6).items():
        nodes["inhibit", head] = (x, 2, head_name(head), "inhibitor")
    for head, x in spread(movers, 0, 2.8).items():
        nodes["move", head] = (x, 3, head_name(head), "mover")

    only_strike = [head for head in strikers if head not in inhibitors]
    for head, x in spread(only_strike, 4.2, 6.4).items():
        nodes["strike", head] = (x, 3.4, head_name(head), "striker")

    edges = [("S2", ("read", head), attention(head, S2_at, S2_at), 1) for head in readers]
    edges += [("S2", ("strike", head), attention(head, END_at, S2_at), 1) for head in only_strike]
    edges += [(("strike", head), "logit", float(shares[head]) / 2, 1) for head in only_strike]
    edges += [(("inhibit", head), "logit", float(shares[head]) / 2, 1) for head in inhibitors]
    edges += [("S2", ("inhibit", head), attention(head, END_at, S2_at), 1) for head in inhibitors]
    edges += [(("read", a), ("inhibit", b), loss, 1) for (a, b), loss in readings.items()]
    edges += [(("inhibit", a), ("move", b), 4 * loss, -1) for (a, b), loss in paths.items()]
    for head in movers:
        edges += [
            (name, ("move", head), attention(head, END_at, at), 1)
            for name, at in (("IO", IO_at), ("S1", S1_at))
        ]
        edges.append((("move", head), "logit", float(shares[head]) / 2, 1))
    edges = [edge for edge in edges if edge[2] > 0.1]

    figure = go.Figure()
    for start, end, strength, sign in edges:
        (x0, y0, *_), (x1, y1, *_) = nodes[start], nodes[end]
        style = {"width": 1 + 5 * min(strength, 1.2), "color": "#5b8c5a" if sign > 0 else "#c1121f"}
        style["dash"] = "solid" if sign > 0 else "dot"
        figure.add_scatter(
            x=[x0, x1], y=[y0, y1], mode="lines", line=style, opacity=0.45, hoverinfo="skip", showlegend=False
        )
    for kind, colour in COLOURS.items():
        some = [node for node in nodes.values() if node[3] == kind]
        figure.add_scatter(
            x=[node[0] for node in some],
            y=[node[1] for node in some],
            text=[node[2] for node in some],
            mode="markers+text",
            marker={
                "size": 44,
                "color": colour,
                "symbol": "square",
                "line": {"width": 1, "color": "#555555"},
            },
            textfont={"size": 11},
            name={
                "reader": "reader (at S2)",
                "inhibitor": "S-inhibition (at END)",
                "mover": "name mover (at END)",
                "striker": "striker (at END)",
            }.get(kind, kind),
            showlegend=kind not in ("token", "output"),
        )
    figure.update_layout(
        title="The circuit of gpt2-demo: solid green is read or written, dotted red says where not to look",
        height=620,
        margin={"l": 20, "r": 20, "t": 60, "b": 20},
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure, edges


diagram, edges = circuit_diagram()
display(diagram)

# %% tags=["tell"]
widest = max(paths, key=paths.get)
say(
    f"**In words.** At S2, {named(readers)} and the first MLP make something of the name that stands there. At END, {named(inhibitors)} look at S2 and write, in END's own stream, who gives. {named(movers)} ask, with that in their queries, for a name that is not "
    f"this one; they find IO, attend to it and copy it (the widest single path is {head_name(widest[0])} → {head_name(widest[1])}, {paths[widest]:.2f}). {named(strikers)} write against the name at S2."
)

# %% tags=["test"]
assert any(start == "IO" for start, *_ in edges)
assert any(start[0] == "inhibit" and end[0] == "move" for start, end, *_ in edges)

# %% [markdown]
# ### How this differs from GPT-2 small
#
# Two more measurements before the comparison: do the movers do induction (chapter 03)? And when they are silenced, does anybody step in?

# %%
repeats = measure.repeated_prompt(20, 8, cfg.d_vocab)
induction = measure.induction_scores(measure.patterns(model, repeats), 20)
without_movers = circuit.direct_effect_without(case, movers)
with_movers, _ = measure.direct_attribution(model, data)
stepped_in = heads_where(without_movers - with_movers > 0.1 * float(clean_diff))

# %% tags=["tell"]
say(
    f"On random tokens the movers are induction heads, with scores of {min(induction[h] for h in movers):.2f} to {max(induction[h] for h in movers):.2f}. With all movers mean-ablated at END, the heads whose own direct effect rises by more than a tenth of the "
    f"difference: {named(stepped_in)}."
)

# %% [markdown]
# The map from the beginning, with the heads that we found, and below it with those of GPT-2 small:

# %%
roles = {"duplicate token": [], "S-inhibition": inhibitors, "name mover": movers}
display(plots.ioi({role: [head_name(head) for head in heads] for role, heads in roles.items()}))
plots.ioi(IOI_GPT2_SMALL)

# %% [markdown]
# [Wang et al. 2022](https://arxiv.org/abs/2211.00593) found in GPT-2 small: *duplicate token heads* and *induction heads* (with *previous token heads*) notice at S2 that the name has been there before; *S-inhibition heads* (layers 7 and 8) bring that
# to END and change the **queries** of the *name mover heads* (layers 9 and 10), which therefore attend to IO rather than to S and copy what they attend to. *Negative name movers* (L10H7, L11H10) write against
# the answer, and *backup name movers* step in when name movers are ablated.
#
# Ours has the heart of that: name movers by the paper's own tests, and S-inhibition through their queries. What differs was measured above. **Nobody notices a repetition:** what is inhibited is the name of whoever gives,
# repeated or not; that is shorter, and in the toy world always right. **The signal is the token**, not the place. **The movers are the induction heads:** they were, in the two-layer model that this one was grown from,
# and their habit of copying what they attend to was ready for use. **No negative name movers** were found, and for backups see the line above. Instead there is a second way, shorter than the paper's: two heads fetch the first and the second name by
# their places, and the strikers write against the giver.
#
# Why these? In the toy world names stand anywhere and most texts name somebody who takes no part, so the answer must be *found* and copied from its place: raising every name and striking one off leaves several. But where only two are named, as in these prompts, striking off is enough, and
# the model has learned that too. And the giver always stands right there, as the subject of its verb, and so nobody need count mentions. **So nothing here is evidence about GPT-2 small or any other model.** What carries over is the way of asking: a counterpart, a metric, another metric, intervention before belief, and a diagram that states
# its numbers. The next model will surprise you too.
#
# ## 10 A model that learned from real text
#
# The same analyses run on the best such model that is on this machine: GPT-2 small (`HookedTransformer.from_pretrained("gpt2-small")` fetches it once from the hub), else SmolLM2
# (`cleanlens fetch smollm2-135m` in a terminal). The prompts are eight well-known ones. For GPT-2 small the published notebooks print a mean logit difference of 3.552 on them; one notebook whose prompts have
# *two* spaces before the second name prints 2.710. One character of a prompt can cost a fifth of an effect: say exactly what you ran.

# %%
FORMATS = [
    "When John and Mary went to the shops,{} gave the bag to",
    "When Tom and James went to the park,{} gave the ball to",
    "When Dan and Sid went to the shops,{} gave an apple to",
    "After Martin and Amy went to the park,{} gave a drink to",
]
PAIRS = [(" Mary", " John"), (" Tom", " James"), (" Dan", " Sid"), (" Martin", " Amy")]


def two_a_sentence(model: HookedTransformer, n_sentences: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, their flipped counterparts, and the answers: of each sentence one prompt with either person giving."""
    pairs = [pair for io, s in PAIRS[:n_sentences] for pair in ((io, s), (s, io))]
    texts = [FORMATS[i // 2].format(s) for i, (_, s) in enumerate(pairs)]
    tokens = torch.cat([model.to_tokens(text) for text in texts])  # all of one length, so nothing is padded
    flipped = tokens[[i ^ 1 for i in range(len(tokens))]]  # the neighbour: the other one gives
    return tokens, flipped, torch.tensor([[model.to_single_token(name) for name in pair] for pair in pairs])


# %%
def survey(model: HookedTransformer, n_sentences: int = 4) -> dict[str, Tensor]:
    """Logit difference, attribution, patching, path patching and its estimate, on two prompts a sentence."""
    tokens, flipped, answers = two_a_sentence(model, n_sentences)
    clean_logits, cache = model.run_with_cache(tokens)
    flipped_logits, other = model.run_with_cache(flipped)

    def difference(logits: Tensor) -> Tensor:
        return difference_of(logits, answers, torch.full((len(answers),), logits.shape[1] - 1))

    def scaled(logits: Tensor) -> Tensor:
        return scale_of(difference(logits), difference(clean_logits), difference(flipped_logits))

    directions = direction_of(model, answers)
    stream = cache.accumulated_resid(layer=-1, incl_mid=True, pos_slice=-1, apply_ln=True)
    patched = (model, flipped, cache, scaled)
    return {
        "logit difference": difference(clean_logits).mean(),
        "lens": (stream * directions).sum(-1).mean(-1),
        "shares": shares_of(model, cache, directions),
        "stream": patching.get_act_patch_resid_pre(*patched, metric_pos=-1),
        "heads": patching.get_act_patch_attn_head_out_all_pos(*patched, metric_pos=-1),
        "patterns": patching.get_act_patch_attn_head_pattern_all_pos(*patched, metric_pos=-1),
        "values": patching.get_act_patch_attn_head_v_all_pos(*patched, metric_pos=-1),
        "to logits": 1 - patching.get_path_patch_head_to_logits(model, tokens, cache, other, scaled),
        "estimate": yours("attribution_patching")(model, tokens, flipped, scaled),
    }


# %%
real_name = best_real_model()
if real_name is None:
    print("No such model is on this machine; `cleanlens fetch smollm2-135m` gets one (92.9 MB).")
else:
    real = HookedTransformer.from_pretrained(real_name)
    # SmolLM2 has thirty layers: half of the sentences, for the sake of time.
    numbers = survey(real, 4 if real_name == "gpt2-small" else 2)
    print(f"{real_name} prefers the indirect object by {numbers['logit difference']:.2f} logits.")
    title = f"{real_name}: logit lens at END"
    display(plots.line(numbers["lens"], None, title, "half layer", "logit difference"))
    display(plots.head_map(numbers["shares"], f"{real_name}: direct shares in the logit difference"))

# %%
SHOWN = {
    "heads": "a head's clean output",
    "patterns": "a clean pattern",
    "values": "clean values",
    "to logits": "lost, speaking to the logits",
    "estimate": "attribution patching",
}
if real_name is not None:
    for name, title in SHOWN.items():
        display(plots.head_map(numbers[name], f"{real_name}: {title}", color_label="recovered"))
    title = f"{real_name}: denoising the residual stream"
    display(plots.heatmap(numbers["stream"], title=title, x_label="position", y_label="layer"))

# %% tags=["tell"]
if real_name is not None:
    n_heads = real.cfg.n_heads
    best, worst = (divmod(int(i), n_heads) for i in (numbers["shares"].argmax(), numbers["shares"].argmin()))
    say(
        f"The largest direct share is {head_name(best)}'s: it writes the name, as a name mover does. The most negative is {head_name(worst)}'s, which writes against it."
    )

# %% tags=["test"]
if real_name is not None:
    milk = "After John and Mary went to the store,{} gave a bottle of milk to"
    mary_gives, john_gives = (preference(real, milk.format(s), "John", "Mary") for s in (" Mary", " John"))
    assert mary_gives > 2
    assert john_gives < -2
    assert numbers["logit difference"] > 2
    if real_name == "gpt2-small":
        assert abs(mary_gives - 4.276) < 1e-2
        assert abs(john_gives + 2.738) < 1e-2
        assert abs(numbers["logit difference"] - 3.552) < 1e-2

# %% [markdown]
# ## What you now know
#
# * A circuit analysis begins with a **dataset**: one token per name, both orders, a counterpart that differs in one thing, one pair of answers for both.
# * The **logit difference** is the log of the odds between two answers, and a direction in the stream. It is blind to what moves both.
# * **Attribution** says who writes; only **interventions** say what matters. Denoising shows what is enough, noising what is necessary; they agree where contributions add up.
# * The stream by layer and position shows *where* information stands; heads show *who* moves it; query, key, value and pattern show *how*.
# * **Path patching** holds all other heads and so finds who speaks to whom. Say what the MLPs do.
# * **Attribution patching** estimates all patches from one gradient and is wrong where the model bends.
# * A circuit is tried **alone**, against means that keep everything but the question; then part by part. One metric is not enough.
# * Two models that do the same thing need not do it in the same way.

# %% [markdown]
# ## Questions
#
# **1.** Why are half of the prompts ABBA and half BABA? What would a circuit found on ABBA prompts alone be a circuit
# of?
#
# <details><summary>Answer</summary>
#
# With ABBA prompts alone, "answer the first name" is always right. The analysis would find whatever carries that, and
# nothing could tell it from the real task: the metric is the same and so is the counterpart's difference.
#
# </details>
#
# **2.** Denoising head X alone brings back nothing, denoising head Y alone brings back nothing, both together bring
# back all. What will noising show?
#
# <details><summary>Answer</summary>
#
# That is an AND: the answer needs both. So noising either one alone loses everything. (Were one enough, an OR,
# denoising either would bring back all and noising either would lose nothing.)
#
# </details>
#
# **3.** A head has almost no direct share in the logit difference, but patching it brings back most of the answer. And
# another: a large direct share, but patching it does nothing. How can either be?
#
# <details><summary>Answer</summary>
#
# The first speaks to other heads, as the inhibitor does to the movers' queries; path patching to the logits would show
# that it says little itself. The second writes the same in both runs, for instance a preference that does not depend on
# who gives; a counterpart is blind to what is equal in both.
#
# </details>
#
# **4.** A circuit has 100% of the logit difference, but lifts the indirect object to only half of its height above the
# average name. What is missing?
#
# <details><summary>Answer</summary>
#
# Whatever raises both names alike, or finds the indirect object at all. Writing against the giver is enough for the
# difference. One number is blind to what moves both of its terms, so take a second one.
#
# </details>
#
# **5.** Attribution patching gives a head 0.06, exact patching 1.99. What has happened, and what would you do?
#
# <details><summary>Answer</summary>
#
# The gradient was taken in the corrupted run, at a place where something is saturated (a softmax, a tanh-like function,
# LayerNorm), so the tangent is flat. Average the gradient over points on the way from corrupted to clean (EAP-IG), and
# patch exactly what you want to rely on. Small estimates are no evidence of absence.
#
# </details>

# %% [markdown]
# ## References
#
# - [Wang et al. 2022](https://arxiv.org/abs/2211.00593), *Interpretability in the Wild: a Circuit for Indirect Object Identification in GPT-2 small*, sections 2
#   (task, metric, mean ablation), 3 (the circuit, path patching) and 4 (faithfulness, completeness, minimality).
# - [Meng et al. 2022](https://arxiv.org/abs/2202.05262), *Locating and Editing Factual Associations in GPT* (causal tracing).
# - [Goldowsky-Dill et al. 2023](https://arxiv.org/abs/2304.05969), *Localizing Model Behavior with Path Patching*.
# - [Heimersheim & Nanda 2024](https://arxiv.org/abs/2404.15255), *How to use and interpret activation patching*.
# - [Nanda 2023](https://www.neelnanda.io/mechanistic-interpretability/attribution-patching), *Attribution Patching*.
# - [Syed et al. 2023](https://arxiv.org/abs/2310.10348), *Attribution Patching Outperforms Automated Circuit Discovery*.
# - [Hanna et al. 2024](https://arxiv.org/abs/2403.17806), *Have Faith in Faithfulness* (EAP-IG).
# - [Mueller et al. 2025](https://arxiv.org/abs/2504.13151), *MIB: A Mechanistic Interpretability Benchmark*.
# - [Zhang & Nanda 2024](https://arxiv.org/abs/2309.16042), *Towards Best Practices of Activation Patching in Language Models*.
# - [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), *A Mathematical Framework for Transformer Circuits* (logit
#   contributions).
