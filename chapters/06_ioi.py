# ruff: noqa: F401
# %% [markdown]
# # 06 Indirect object identification
#
# > When Mary and John went to the park, John gave a ball to …
#
# … Mary. Two people are introduced, one of them is named a second time and gives something away; whoever is not named again
# receives it. Wang et al. 2022, *Interpretability in the Wild*, took this sentence, **indirect object identification** or
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
# Do not expect the circuit of the paper. `gpt2-demo` was trained on a toy world of its own and was free to find its own way. You will
# find out which way it took. The point of the method is that it tells you.

# %%
import random
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import torch
from IPython.display import Markdown, display
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens import ActivationCache, HookedTransformer, patching, plots
from cleanlens.course import check, hint, solution, yours
from cleanlens.loading import best_real_model
from cleanlens.training import corpus, measure
from cleanlens.utils import get_act_name

torch.set_grad_enabled(False)  # nothing is trained; where a gradient is wanted it is switched on

Metric = Callable[[Float[Tensor, "b s v"]], Float[Tensor, ""]]  # logits -> one number, as a tensor
Head = tuple[int, int]


def say(text: str) -> None:
    """Show a sentence with numbers that were just computed."""
    display(Markdown(text))


def head_name(head: Head) -> str:
    """(1, 2) -> "L1H2"."""
    return f"L{head[0]}H{head[1]}"


def named(heads) -> str:
    return ", ".join(map(head_name, heads)) or "none"


def heads_where(condition: Tensor) -> list[Head]:
    """The (layer, head) pairs at which a [layer, head] condition holds."""
    return [(layer, head) for layer, head in condition.nonzero().tolist()]


model = HookedTransformer.from_pretrained("gpt2-demo")
cfg = model.cfg

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
clean_tokens = measure.ioi_tokens(model, data.prompts)
flipped_tokens = measure.ioi_tokens(model, data.flipped().prompts)
abc_tokens = measure.ioi_tokens(model, data.abc().prompts)
answers = measure.answer_tokens(model, data)  # [b, 2]: IO and S of the clean prompt

is_name = clean_tokens[..., None] == answers[:, None]  # [b, s, 2]
places = is_name.any(-1).int()
A_at, S2_at = places.argmax(1), places.shape[1] - 1 - places.flip(1).argmax(1)
B_at = (places.cumsum(1) == 2).int().argmax(1)
END_at = torch.full((N,), clean_tokens.shape[1] - 1)
S1_at = is_name[..., 1].int().argmax(1)
assert (clean_tokens != flipped_tokens).sum() == N
assert (clean_tokens != flipped_tokens)[torch.arange(N), S2_at].all()
for text in (data.prompts[0], data.flipped().prompts[0], data.abc().prompts[0]):
    print(text)

# %% [markdown]
# Figures by position need one label per column that is true of all prompts:

# %%
labels = list(model.to_str_tokens(clean_tokens[0]))
for position, label in ((A_at, "A"), (B_at, "B"), (S2_at, "S2"), (END_at, "END")):
    assert (position == position[0]).all()
    labels[position[0]] = f"<{label}>"
print(labels)

# %% [markdown]
# ## 2 One number: the logit difference
#
# Accuracy jumps from 0 to 1 and hides everything in between. Wang et al. take
#
# $$ \text{logit difference} = \text{logit}[\text{IO}] - \text{logit}[\text{S}] \quad\text{at END}. $$
#
# Three reasons. After softmax it is the log of the odds, $\log(p_{IO}/p_S)$: logits $3$ and $1$ make odds of $e^2 \approx 7.4$ to $1$,
# whatever the other thousand tokens do. It cancels all that raises both names alike: *that* a name comes next is another
# problem than *which*. And it is **linear** in the final residual stream, so it can be split into shares.

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
right = (clean_logits[:, -1].argmax(-1) == answers[:, 0]).float().mean()
assert clean_diff > 3
assert flipped_diff < -3
assert right > 0.9
say(
    f"Clean {clean_diff:.2f}, flipped {flipped_diff:.2f}: odds of about {clean_diff.exp():.0f} to 1. In {right:.0%} of the prompts the "
    "indirect object is the most likely of all tokens."
)

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
END_only = torch.zeros(N, dtype=torch.long)  # where END is when only that position was unembedded
clean_each, flipped_each = (difference_of(x, answers, END_at) for x in (clean_logits, flipped_logits))


def recovered(logits: Tensor) -> Tensor:
    """0 as in the flipped run, 1 as in the clean one."""
    end = torch.full((N,), logits.shape[1] - 1)
    return scale_of(difference_of(logits, answers, end), clean_each, flipped_each)


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

# %%
direction_of = yours("logit_directions")
u = direction_of(model, answers)
stream, lens_labels = clean_cache.accumulated_resid(
    layer=-1, incl_mid=True, pos_slice=-1, apply_ln=True, return_labels=True
)
lens = (stream * u).sum(-1).mean(-1)
assert abs(lens[-1] + (model.b_U[answers[:, 0]] - model.b_U[answers[:, 1]]).mean() - clean_diff) < 1e-2
plots.line(
    {"IO - S": lens},
    lens_labels,
    "Logit lens at END",
    "stream before / in the middle of a layer",
    "logit difference",
)

# %% [markdown]
# Nothing at all until layer 2; then the attention of layers 2 and 3 (the steps from `pre` to `mid`) does nearly everything. But a difference can
# hide what its two terms do. Draw them one by one, each against the mean of all forty names:

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
)

# %%
before_two = lens_labels.index("2_pre")
assert min(lens_io[before_two], lens_s[before_two]) > 2
assert abs(lens_io[before_two] - lens_s[before_two]) < 1
assert lens_s[-1] < lens_s[before_two] - 3
say(
    f"**A plan in two steps.** Layer 1 raises *both* names, to {lens_io[before_two]:.1f} and {lens_s[before_two]:.1f}. Layers 2 and 3 take the "
    f"giver's name down again, to {lens_s[-1]:.1f}, and leave the other at {lens_io[-1]:.1f}. The logit difference, which is blind to what happens to both "
    "alike, showed only the second step."
)

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

# %%
figure = plots.bar(
    to_io,
    model.all_head_labels(),
    "What each head adds to the two names (against the average name)",
    "logits",
)
figure.data[0].name = "IO"
figure.add_bar(x=figure.data[0].x, y=to_s.flatten().tolist(), name="S")
figure.update_layout(showlegend=True, barmode="group")

# %%
fetchers = heads_where((to_io > 0.5) & (to_s > 0.5))  # raise both names
strikers = heads_where(to_s < -0.2)  # lower one of them
assert fetchers
assert strikers
striking = sum(shares[head] for head in strikers) / clean_diff
assert striking > 0.7
assert max(layer for layer, _ in fetchers) < min(layer for layer, _ in strikers)
assert all(to_s[head] < -0.2 for head in strikers)
assert all(abs(to_s[head]) > 2 * abs(to_io[head]) for head in strikers)
say(
    f"Heads that raise both names: **{named(fetchers)}**. We call them **fetchers**. Heads that make the difference: **{named(strikers)}**, together "
    f"{striking:.0%} of it; each of them does it by *lowering the giver* and does next to nothing for the indirect object. We call them **strikers**: they strike a "
    "name off the list."
)

# %% [markdown]
# ### Where do they look?

# %%
found = [*fetchers, *strikers]
prompt = 0
patterns = torch.stack([clean_cache["pattern", layer][prompt, head] for layer, head in found])
plots.attention(model.to_str_tokens(clean_tokens[prompt]), patterns, [head_name(head) for head in found])

# %%
rows = torch.arange(N)


def attention(head: Head, query: Tensor, key: Tensor) -> float:
    """A head's mean attention from one place of each prompt to another."""
    return clean_cache["pattern", head[0]][rows, head[1], query, key].mean().item()


of_A = [head for head in fetchers if attention(head, END_at, A_at) > 0.5]
of_B = [head for head in fetchers if attention(head, END_at, B_at) > 0.5]
to_S2 = [attention(head, END_at, S2_at) for head in strikers]
assert of_A
assert of_B
assert min(to_S2) > 0.5
table = ["| head | END → A | END → B | END → S2 | S2 → S2 |", "|---|---|---|---|---|"]
for head in found:
    at = [(END_at, A_at), (END_at, B_at), (END_at, S2_at), (S2_at, S2_at)]
    table.append(f"| {head_name(head)} | " + " | ".join(f"{attention(head, q, k):.2f}" for q, k in at) + " |")
say("\n".join(table))
say(
    f"From END, {named(of_A)} look at **A** and {named(of_B)} at **B**, whoever gives; a fetcher picks its name by its place in the sentence. The strikers look at **S2**."
)

# %% [markdown]
# A story suggests itself: fetch both names, look who gives, strike that one off. But attribution is *observation*. It says who writes; it does not say where a
# striker gets its information from, nor that the attention we see is what matters. For causes, intervene.

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
# (Heimersheim & Nanda 2024, section 2).
#
# ### The residual stream, layer by layer and position by position
#
# The stream at one position of one layer is *everything* that the model knows there. Patching it asks: has the information arrived here by now?

# %%
# exercise 06.5

# %%
check("06.5")

# %%
resid_map = yours("patch_resid")(model, flipped_tokens, clean_cache, recovered)
plots.patching_map(
    resid_map, labels, "Denoising the residual stream: what comes back", color_label="recovered"
)

# %%
S2_col, END_col = int(S2_at[0]), int(END_at[0])
crossing = [
    layer
    for layer in range(1, cfg.n_layers)
    if resid_map[layer, END_col] > resid_map[layer - 1, END_col] + 0.3
]
elsewhere = resid_map.clone()
elsewhere[:, [S2_col, END_col]] = 0
assert (resid_map[0, S2_col] - 1).abs() < 1e-3
assert elsewhere.abs().max() < 0.1
assert crossing
say(
    f"It stands at **S2**, of course, since nothing else differs in the input. It stays there through two layers, and moves to **END** in layer {crossing[0] - 1}: "
    f"before it {resid_map[crossing[0] - 1, END_col]:z.2f} at END, after it {resid_map[crossing[0], END_col]:.2f}. No other position ever holds any of it (at most "
    f"{elsewhere.abs().max():.2f}). What is left at S2 after that, {resid_map[-1, S2_col]:.2f}, is fetched by layer 3."
)

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
assert torch.allclose(resid_again, resid_map, atol=1e-3)
display(plots.patching_map(attn_map, labels, "Denoising attention outputs", color_label="recovered"))
plots.patching_map(mlp_map, labels, "Denoising MLP outputs", color_label="recovered")

# %%
at_S2 = attn_map[:, S2_col]
first = int(at_S2.argmax())
assert at_S2[first] > 0.6
assert mlp_map.abs().max() < 0.5 * attn_map.max()
say(
    f"Two steps of attention: layer {first} at S2 ({at_S2[first]:.2f}), then layers 2 and 3 at END ({attn_map[2, END_col]:.2f} and {attn_map[3, END_col]:.2f}). "
    f"MLPs count for little: the largest entry is {mlp_map.abs().max():.2f}. (With the flipped prompts as the counterpart, that is. An MLP which does the same in both "
    "runs cannot show up.)"
)

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

# %%
by_pos = patching.get_act_patch_attn_head_out_by_pos(
    model, flipped_tokens, clean_cache, recovered, metric_pos=-1
)
markers = heads_where(by_pos[:, S2_col] > 0.1)
assert markers
assert max(layer for layer, _ in markers) < min(layer for layer, _ in strikers)
assert all(by_pos[layer, END_col, head] > 0.03 for layer, head in strikers)
self_looking = [attention(head, S2_at, S2_at) for head in markers]
say(
    f"At S2 it is **{named(markers)}**, all in layer {markers[0][0]}; at END the strikers of section 3. Call the new ones **markers**: at S2 they attend to S2 "
    f"itself ({', '.join(f'{x:.2f}' for x in self_looking)}) and mark the giver, in the stream at S2, for someone to find."
)
both = [head for head in markers if head in fetchers]

# %%
assert both
say(
    f"{named(both)} we have met before: they are also **fetchers**, at END. One head, two places, two jobs, and both jobs are the same movement: find a name, write it down in "
    "the code that later layers and the unembedding read. A head's role belongs to a position; *attribution saw one of them, patching the other*."
)

# %% [markdown]
# **Noising** for comparison: the clean run with one flipped head, and how much is lost.

# %%
noised = 1 - patch_each(model, clean_tokens, flipped_cache, recovered)
plots.scatter(
    denoised,
    noised,
    model.all_head_labels(),
    "Enough or necessary? One point per head",
    "gained by denoising",
    "lost by noising",
)

# %%
gap = (denoised - noised).abs().max()
assert gap < 0.25
say(
    f"The points lie near the diagonal (largest distance {gap:.2f}): no head is irreplaceable and none is enough by itself. The shares at END add up to "
    f"{sum(denoised[h] for h in strikers):.2f}, those of layer 1 to {denoised[1].sum():.2f}. Several heads do the same work side by side and their contributions are summed. "
    "Neither OR nor AND."
)

# %% [markdown]
# ### Query, key, value or pattern?
#
# A head's output can change for two reasons: it looks **elsewhere** (its pattern, by way of query or key), or **something else stands** where it looks (its value). Patch
# the parts one by one.

# %%
# exercise 06.7

# %%
check("06.7")

# %%
patch_part = yours("patch_head_part")
by_part = {
    part: patch_part(part, model, flipped_tokens, clean_cache, recovered)
    for part in ("q", "k", "v", "pattern")
}
stacked = torch.stack([denoised, *by_part.values()]).flatten(1)
plots.heatmap(
    stacked,
    model.all_head_labels(),
    ["output", *by_part],
    "What of each head matters",
    "head",
    "patched",
    color_label="recovered",
)

# %%
involved = [*markers, *strikers]
through_values = min(float(by_part["v"][head] / denoised[head]) for head in involved)
elsewhere_looks = max(float(by_part[part][head].abs()) for part in ("q", "k", "pattern") for head in involved)
assert through_values > 0.7
assert elsewhere_looks < 0.05
say(
    f"**All values.** For each head of the circuit the patched value does at least {through_values:.0%} of what its output does; queries, keys and patterns do nothing "
    f"(at most {elsewhere_looks:.2f}). All heads look at the same places in both runs. Only what they find there differs."
)

# %% [markdown]
# This is the first sharp difference from GPT-2 small, whose name movers matter by their *queries*: the S-inhibition heads tell them where **not** to look.
#
# ## 5 Path patching: who tells whom?
#
# Patching a head changes all that later heads make of it. To ask whether head $X$ speaks to $Y$ *itself*, everything in between must be held still. Path patching
# (Wang et al., section 3.1) does it with three runs:
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
# exercise 06.8

# %%
check("06.8")

# %%
to_logits = yours("path_patch_to_logits")
run = (model, clean_tokens, clean_cache, flipped_cache, recovered)
lost_direct = 1 - to_logits(*run, False)
lost_stream = 1 - to_logits(*run, True)
display(
    plots.head_map(
        lost_direct, "Lost when a flipped head speaks to the logits (MLPs run)", color_label="lost"
    )
)
plots.scatter(
    shares,
    lost_stream,
    model.all_head_labels(),
    "Two roads to the direct effect",
    "direct share (section 3)",
    "lost, MLPs held",
)

# %%
speakers = heads_where(lost_direct > 0.03)
assert set(speakers) == set(strikers)
assert all(abs(lost_direct[head]) < 0.03 for head in markers)
say(
    f"Only **{named(speakers)}** speak to the logits: the strikers, found a second time. The markers are silent here, {max(abs(float(lost_direct[h])) for h in markers):.3f} at most, although "
    f"patching them brought back {min(float(denoised[h]) for h in markers):.0%} to {max(float(denoised[h]) for h in markers):.0%} of the answer each. They must be heard by somebody else."
)

# %% [markdown]
# ### By whom?
#
# The receivers are the strikers. Which of their three inputs? Send to each in turn.

# %%
# exercise 06.9

# %%
check("06.9")

# %%
to_heads = yours("path_patch_to_heads")
heard = {part: 1 - to_heads(*run, strikers, part) for part in "qkv"}
plots.heatmap(
    torch.stack(list(heard.values())).flatten(1),
    model.all_head_labels(),
    ["queries", "keys", "values"],
    "Lost when a flipped head speaks to the strikers",
    "sender",
    "through their",
    color_label="lost",
)

# %%
last_striker = max(layer for layer, _ in strikers)
assert heard["v"][last_striker:].abs().max() < 1e-3  # nobody there can reach them
assert all(heard["v"][head] > 0.1 for head in markers)
assert max(heard["q"].abs().max(), heard["k"].abs().max()) < 0.1
assert heard["v"].argmax() in [layer * cfg.n_heads + head for layer, head in markers]
spoken = ", ".join(f"{head_name(head)} {heard['v'][head]:.2f}" for head in markers)
say(
    f"The markers, through the strikers' **values**: {spoken}. Queries and keys carry nothing. That closes the chain: a marker "
    "writes who gives at S2, a striker looks at S2 and subtracts what it finds."
)

# %% [markdown]
# And who speaks to the markers? The same question one step back.

# %%
before = 1 - to_heads(*run, markers, "v")
assert before.abs().max() < 0.15
say(
    f"Hardly anybody: the largest entry is {before.abs().max():.2f} ({head_name(divmod(int(before.abs().argmax()), cfg.n_heads))}). The markers read the token at S2 itself, its embedding and what "
    "layer 0's MLP makes of it; path patching between *heads* has nothing left to find."
)

# %% [markdown]
# ## 6 A prediction
#
# So the model does **not** ask "which name occurs twice?". It fetches A and B, and strikes off whoever stands at S2. On IOI sentences that is the same thing. On ABC sentences it is
# not: a third person gives there, no name is repeated, and a circuit that looks for repetitions would have nothing to go by. Ours should go through its two
# steps as ever: A up, B up, and the stranger C *down*, below an average name.

# %%
abc_logits = model(abc_tokens)[:, -1]
typical = abc_logits[:, all_names].mean(-1)
A_up, B_up, C_up = (
    (abc_logits.gather(1, abc_tokens.gather(1, at[:, None]))[:, 0] - typical).mean()
    for at in (A_at, B_at, S2_at)
)
plots.bar(
    torch.stack([A_up, B_up, C_up]),
    ["A", "B", "C (gives)"],
    "ABC prompts: names against the average name",
    "logits",
)

# %%
assert min(A_up, B_up) > 3
assert C_up < -1
assert abs(A_up - B_up) < 3
seen = max(attention(head, S2_at, S1_at) for head in markers)
assert seen < 0.3
say(
    f"A {A_up:+.1f}, B {B_up:+.1f}, C {C_up:+.1f}. The prediction holds: nothing in this circuit notices a repetition. Its markers hardly look back from S2 to S1 either (at most {seen:.2f})."
)

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
fresh_tokens = measure.ioi_tokens(model, fresh.prompts)
fresh_abc = measure.ioi_tokens(model, fresh.abc().prompts)
fresh_answers = measure.answer_tokens(model, fresh)
templates = torch.tensor(fresh.template_ids)
positions = {"S2": S2_at[0].expand(60), "END": END_at[0].expand(60)}  # these prompts line up as well


def mean_difference(logits: Tensor) -> Tensor:
    """The mean logit difference on the fresh prompts."""
    return difference_of(logits, fresh_answers, positions["END"]).mean()


def top_answers(logits: Tensor) -> Tensor:
    """The share of prompts in which IO is above all other tokens."""
    return (logits[:, -1].argmax(-1) == fresh_answers[:, 0]).float().mean()


def left(circuit: dict[str, list[Head]], metric: Metric = mean_difference) -> float:
    return float(share_left(model, fresh_tokens, fresh_abc, templates, circuit, positions, metric))


circuits = {
    "nothing": {},
    "strikers": {"END": strikers},
    "+ markers": {"END": strikers, "S2": markers},
    "+ fetchers": {"END": strikers + fetchers, "S2": markers},
}
by_diff = {name: left(circuit) for name, circuit in circuits.items()}
by_top = {name: left(circuit, top_answers) for name, circuit in circuits.items()}
say(
    "| circuit | logit difference | IO is the top token |\n|---|---|---|\n"
    + "\n".join(f"| {name} | {by_diff[name]:.0%} | {by_top[name]:.0%} |" for name in circuits)
)

# %%
assert abs(by_diff["nothing"]) < 0.15
assert by_diff["strikers"] < 0.4
assert 0.7 < by_diff["+ markers"] < 1.4
assert by_top["+ markers"] < 0.5
assert by_diff["+ fetchers"] > 0.7
assert by_top["+ fetchers"] > 0.8
say(
    f"Read the third row twice. Strikers and markers alone have {by_diff['+ markers']:.0%} of the logit difference, a perfect score, and **complete {by_top['+ markers']:.0%} of the "
    "sentences**. Nobody brings the names, so nothing stands out to strike from: the giver is pushed far down, the indirect object left among forty others. The fetchers are worth "
    f"nothing by the logit difference and everything to the behaviour: with them {by_top['+ fetchers']:.0%}."
)

# %% [markdown]
# That is the lesson of section 1 come due. *A metric is blind to whatever moves both its terms; a counterpart is blind to whatever is equal in both.* The fetchers are hidden from the one
# and from the other: patching from flipped prompts can never find them, since they bring the same two names in both runs. Attribution to each name by itself found them, and a second metric
# confirms them. Always have a second number.
#
# (More than 100% is no mistake: heads outside the circuit may work against it, and their means do not. Wang et al. report the difference between circuit and model rather than the share.)
#
# ### Minimality
#
# Is each head needed? Take one out at a time, from the complete circuit, and see what is lost by either number.

# %%
whole = circuits["+ fetchers"]
members = [(role, head) for role in whole for head in whole[role]]
without = {
    member: {role: [h for h in whole[role] if (role, h) != member] for role in whole} for member in members
}
lost_diff = torch.tensor([by_diff["+ fetchers"] - left(without[member]) for member in members])


def above_names(logits: Tensor) -> Tensor:
    """By how much the logit of IO is above the average name."""
    at_end = logits[:, -1]
    return (at_end.gather(1, fresh_answers[:, :1])[:, 0] - at_end[:, all_names].mean(-1)).mean()


all_of_it = left(whole, above_names)
lost_above = torch.tensor([all_of_it - left(without[member], above_names) for member in members])
names_of_members = [f"{head_name(head)} at {role}" for role, head in members]
figure = plots.bar(
    lost_diff, names_of_members, "Lost when one head is taken out of the circuit", "share of the whole model"
)
figure.data[0].name = "logit difference"
figure.add_bar(x=figure.data[0].x, y=lost_above.tolist(), name="IO above the average name")
figure.update_layout(showlegend=True, barmode="group")

# %%
idle = [name for name, a, b in zip(names_of_members, lost_diff, lost_above) if max(abs(a), abs(b)) < 0.02]
assert len(idle) <= 2
assert all(
    max(abs(a), abs(b)) > 0.02 for (role, head), a, b in zip(members, lost_diff, lost_above) if role == "S2"
)
say(
    f"Each has its number to answer for: strikers and markers the logit difference, fetchers the indirect object's height. Without a part in either (below 2%): {', '.join(idle) or 'none'}."
)

# %% [markdown]
# ## 8 All patches at once, nearly: attribution patching
#
# Exact patching costs a run per place. This model has 16 heads; GPT-2 small has 144, and tens of thousands of neurons. A gradient is cheaper. To first order,
#
# $$ f(z + \Delta) \approx f(z) + \Delta \cdot \nabla f(z), \qquad \Delta = z_\text{clean} - z_\text{corrupted}, $$
#
# with the gradient at the run *in which* one patches, the corrupted one. Two forward passes and one backward give an estimate for **every** place (Nanda 2023; Syed et al. 2023).
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
figure.add_scatter(x=[0, 0.4], y=[0, 0.4], mode="lines", name="equal", line={"dash": "dot"})

# %%
together = torch.corrcoef(torch.stack([denoised.flatten(), estimate.flatten()]))[0, 1]
slope = (estimate * denoised).sum() / (denoised**2).sum()
assert together > 0.85
best_exact, best_guess = (set(x.flatten().topk(5).indices.tolist()) for x in (denoised, estimate))
assert len(best_exact & best_guess) >= 3
say(
    f"Correlation {together:.2f}; the estimates are about {slope:.0%} of the exact values. Of the five heads with the largest exact effect, {len(best_exact & best_guess)} are among the five largest estimates. A good way to choose where to look, then patch those exactly."
)

# %% [markdown]
# ## 9 The circuit of this model
#
# The diagram is drawn from what was measured: which heads (sections 3 to 5), edges between heads as wide as the loss when that one path is patched (one sender, one receiver), edges to the names as
# wide as the direct contributions.


# %%
def path_loss(sender: Head, receiver: Head) -> float:
    """What is lost when one flipped head speaks to one head's values."""
    logits = patching.path_patch(model, clean_tokens, clean_cache, flipped_cache, sender, [("v", *receiver)])
    return 1 - recovered(logits).item()


paths = {(sender, receiver): path_loss(sender, receiver) for sender in markers for receiver in strikers}

COLOURS = {
    "token": "#dddddd",
    "fetcher": "#8ecae6",
    "marker": "#ffd166",
    "striker": "#f4978e",
    "output": "#dddddd",
}


def spread(heads: list[Head], left: float, right: float) -> dict[Head, float]:
    """Heads side by side between two columns."""
    return {head: left + (right - left) * (i + 0.5) / len(heads) for i, head in enumerate(heads)}


def circuit_diagram() -> tuple[go.Figure, list[tuple]]:
    """The figure, and its edges as (from, to, strength, sign)."""
    nodes: dict[Any, tuple[float, float, str, str]] = {
        "A": (0.5, 0, "A", "token"),
        "B": (1.5, 0, "B", "token"),
        "S2": (4.6, 0, "S2<br>(gives)", "token"),
        "IO": (1.0, 3.2, "logit<br>of IO", "output"),
        "S": (3.0, 3.2, "logit<br>of S", "output"),
    }
    for head, x in spread(of_A + of_B, 0, 2.4).items():
        nodes["fetch", head] = (x, 1, head_name(head), "fetcher")
    for head, x in spread(markers, 3.6, 5.6).items():
        nodes["mark", head] = (x, 1, head_name(head), "marker")
    for head, x in spread(strikers, 3.0, 6.4).items():
        nodes["strike", head] = (x, 2.1, head_name(head), "striker")

    edges = []
    for head in fetchers:
        edges += [
            (name, ("fetch", head), attention(head, END_at, at), 1) for name, at in (("A", A_at), ("B", B_at))
        ]
        edges += [(("fetch", head), name, float(x[head]) / 3, 1) for name, x in (("IO", to_io), ("S", to_s))]
    edges += [("S2", ("mark", head), attention(head, S2_at, S2_at), 1) for head in markers]
    edges += [(("mark", a), ("strike", b), 8 * loss, 1) for (a, b), loss in paths.items()]
    for head in strikers:
        for name, x in (("IO", to_io), ("S", to_s)):
            edges.append((("strike", head), name, abs(float(x[head])) / 2, 1 if x[head] > 0 else -1))
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
                "fetcher": "fetcher (at END)",
                "marker": "marker (at S2)",
                "striker": "striker (at END)",
            }.get(kind, kind),
            showlegend=kind not in ("token", "output"),
        )
    figure.update_layout(
        title="The circuit of gpt2-demo: solid green adds, dotted red subtracts",
        template="plotly_white",
        height=560,
        margin={"l": 20, "r": 20, "t": 60, "b": 20},
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure, edges


diagram, edges = circuit_diagram()
display(diagram)

# %%
assert any(start == "A" for start, *_ in edges)
assert any(start == "B" for start, *_ in edges)
down = [edge for edge in edges if edge[3] < 0]
assert down
assert all(edge[1] == "S" for edge in down)  # what is subtracted, is subtracted from the giver
widest = max(paths, key=paths.get)
say(
    f"**In words.** At END, {named(of_A)} fetch A and {named(of_B)} fetch B, whoever gives; both names rise. At S2, {named(markers)} mark the name standing there. At END, {named(strikers)} look at S2, "
    f"read the mark through their values and lower that name (the widest single path is {head_name(widest[0])} → {head_name(widest[1])}, {paths[widest]:.2f}). One of two names is left."
)

# %% [markdown]
# ### How this differs from GPT-2 small
#
# One more measurement before the comparison: do these heads do induction (chapter 03)? And does any head of the circuit look from S2 back to S1, as one that
# notices a repetition must?

# %%
induction = measure.induction_scores(measure.patterns(model, measure.repeated_prompt(20, 8, cfg.d_vocab)), 20)
back = {head: attention(head, S2_at, S1_at) for head in found}
assert min(induction[head] for head in fetchers) > 0.5
assert max(back.values()) < 0.4
say(
    f"On random tokens the fetchers are induction heads, with scores of {min(induction[h] for h in fetchers):.2f} to {max(induction[h] for h in fetchers):.2f}. On IOI sentences no "
    f"head of the circuit looks from S2 back to S1 (at most {max(back.values()):.2f}, on average)."
)

# %% [markdown]
# Wang et al. found in GPT-2 small: *duplicate token heads* and *induction heads* (with *previous token heads*) notice at S2 that the name has been there before; *S-inhibition heads* (layers 7 and 8) bring that
# to END and change the **queries** of the *name mover heads* (layers 9 and 10), which therefore attend to IO rather than to S and copy what they attend to. *Negative name movers* (L10H7, L11H10) write against
# the answer, and *backup name movers* step in when name movers are ablated.
#
# Ours has only some of that, and in another order. **It does not detect repetition:** no head plays the duplicate token head, and though the fetchers can do induction, that is not what they do here; section 6
# shows the circuit treating a stranger like a repeated name. **The answer is not selected, it is what remains:** our fetchers attend to both names
# in both cases, and no query ever depends on who gives. **The suppression is direct:** strikers look from END to S2, just as S-inhibition heads do, but they write to the logits, with a minus sign, instead
# of steering somebody else's attention. If one wants an analogue, they are S-inhibition and negative name movers in one. **We found no backups:** denoising and noising agree, contributions add up. We have not looked for
# backups by ablating several heads at once, as Wang et al. did.
#
# Why? The toy world is simpler than English: two people come first and a third place names the giver. In such a world "the ones from the beginning, minus the giver" is always right. English
# asks for more. **So nothing here is evidence about GPT-2 small or any other model.** What carries over is the way of asking: a counterpart, a metric, another metric, intervention before belief, and a diagram that states
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


def survey(model: HookedTransformer, n_sentences: int = 4) -> dict[str, Tensor]:
    """Logit difference, attribution, patching, path patching and its estimate, on two prompts a sentence and their flipped ones."""
    pairs = [pair for io, s in PAIRS[:n_sentences] for pair in ((io, s), (s, io))]
    texts = [text.format(s) for text, (_, s) in zip([f for f in FORMATS for _ in range(2)], pairs)]
    tokens = model.to_tokens(texts)
    assert len({model.to_tokens(text).shape for text in texts}) == 1  # nothing is padded
    flipped = tokens[
        [i ^ 1 for i in range(len(tokens))]
    ]  # its neighbour is the same sentence, the other one giving
    answers = torch.tensor([[model.to_single_token(name) for name in pair] for pair in pairs])
    end = torch.full((len(tokens),), tokens.shape[1] - 1)
    logits, cache = model.run_with_cache(tokens)
    other_logits, other = model.run_with_cache(flipped)
    clean, corrupted = (difference_of(x, answers, end) for x in (logits, other_logits))

    def scaled(logits: Tensor) -> Tensor:
        return scale_of(
            difference_of(logits, answers, torch.full_like(end, logits.shape[1] - 1)), clean, corrupted
        )

    directions = direction_of(model, answers)
    stream = cache.accumulated_resid(layer=-1, incl_mid=True, pos_slice=-1, apply_ln=True)
    return {
        "logit difference": clean.mean(),
        "lens": (stream * directions).sum(-1).mean(-1),
        "shares": shares_of(model, cache, directions),
        "stream": patching.get_act_patch_resid_pre(model, flipped, cache, scaled, metric_pos=-1),
        "heads": patching.get_act_patch_attn_head_out_all_pos(model, flipped, cache, scaled, metric_pos=-1),
        "patterns": patching.get_act_patch_attn_head_pattern_all_pos(
            model, flipped, cache, scaled, metric_pos=-1
        ),
        "values": patching.get_act_patch_attn_head_v_all_pos(model, flipped, cache, scaled, metric_pos=-1),
        "to logits": 1 - patching.get_path_patch_head_to_logits(model, tokens, cache, other, scaled),
        "estimate": yours("attribution_patching")(model, tokens, flipped, scaled),
    }


# %%
real_name = best_real_model()
if real_name is None:
    print(
        "No such model is on this machine; `cleanlens fetch smollm2-135m` gets one (92.9 MB), and this cell then repeats the analyses on its heads."
    )
else:
    real = HookedTransformer.from_pretrained(real_name)

    def preference(text: str, right: str, wrong: str) -> float:
        at_end = real(text)[0, -1]
        return (at_end[real.to_single_token(right)] - at_end[real.to_single_token(wrong)]).item()

    milk = "After John and Mary went to the store,{} gave a bottle of milk to"
    assert preference(milk.format(" Mary"), " John", " Mary") > 2
    assert preference(milk.format(" John"), " John", " Mary") < -2
    # SmolLM2 has thirty layers: half of the sentences, for the sake of time.
    numbers = survey(real, 4 if real_name == "gpt2-small" else 2)
    assert numbers["logit difference"] > 2
    if real_name == "gpt2-small":
        assert abs(preference(milk.format(" Mary"), " John", " Mary") - 4.276) < 1e-2
        assert abs(preference(milk.format(" John"), " John", " Mary") + 2.738) < 1e-2
        assert abs(numbers["logit difference"] - 3.552) < 1e-2
    say(f"{real_name} prefers the indirect object by {numbers['logit difference']:.2f} logits.")
    display(
        plots.line(
            {"IO - S": numbers["lens"]},
            None,
            f"{real_name}: logit lens at END",
            "half layer",
            "logit difference",
        )
    )
    for name, title in {
        "shares": "direct shares in the logit difference",
        "heads": "one clean head in the flipped run",
        "patterns": "one clean pattern in the flipped run",
        "values": "one head's clean values in the flipped run",
        "to logits": "lost when a flipped head speaks to the logits",
        "estimate": "attribution patching's estimates",
    }.items():
        display(plots.head_map(numbers[name], f"{real_name}: {title}"))
    display(
        plots.heatmap(
            numbers["stream"],
            title=f"{real_name}: denoising the residual stream",
            x_label="position",
            y_label="layer",
        )
    )
    n_heads = real.cfg.n_heads
    best, worst = (divmod(int(i), n_heads) for i in (numbers["shares"].argmax(), numbers["shares"].argmin()))
    say(
        f"The largest direct share is {head_name(best)}'s: it writes the name, as a name mover does. The most negative is {head_name(worst)}'s, which writes against it."
    )

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
#
# **References.** Wang et al. 2022, *Interpretability in the Wild: a Circuit for Indirect Object Identification in GPT-2 small*, sections 2 (task, metric, mean ablation), 3 (the circuit, path patching) and 4 (faithfulness, completeness,
# minimality). Meng et al. 2022, *Locating and Editing Factual Associations in GPT* (causal tracing). Goldowsky-Dill et al. 2023, *Localizing Model Behavior with Path Patching*. Heimersheim & Nanda 2024, *How to use and interpret activation
# patching*. Nanda 2023, *Attribution Patching*; Syed et al. 2023, *Attribution Patching Outperforms Automated Circuit Discovery*. Elhage et al. 2021, *A Mathematical Framework for Transformer Circuits* (logit contributions).
