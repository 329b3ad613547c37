# ruff: noqa: F401
# %% [markdown]
# # 07 Training dynamics
#
# Chapters 03 and 05 took an induction circuit apart that was already there. Where did it come from? Nobody put it in.
# At the start the weights are random numbers; then the same dull rule, *change every weight a little so that the loss
# falls*, is applied a few thousand times; and at the end two layers of heads cooperate. A circuit has a history, and
# the history says things about it that the finished weights do not: which piece came first, what the model did
# before, how much of a sharp change in the loss was prepared unseen.
#
# In this chapter you
#
# 1. put the same question to every checkpoint of a training run (07.1);
# 2. find the moment of a *phase change* by a rule rather than by eye (07.2), and see what grows around it, and what
#    before it;
# 3. make training data that leave induction as the only good rule, and see what the model learns from data that do
#    not (07.3);
# 4. write the training loop and watch induction appear live, in about two minutes (07.4);
# 5. grow the two-layer model into the six-layer `gpt2-demo` without changing what it computes, to the last digit
#    (07.5).
#
# The story of the phase change is that of [Olsson et al. 2022](https://arxiv.org/abs/2209.11895), *In-context Learning and Induction Heads*; we name its
# headings where we follow it. You need the scores of chapter 03; a look at chapter 05 helps.

# %%
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import plotly.graph_objects as go
import torch
from IPython.display import Markdown, display
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm

import cleanlens
from cleanlens import HookedTransformer, plots
from cleanlens.course import check, hint, solution, yours
from cleanlens.loading_from_pretrained import get_checkpoint_labels
from cleanlens.training import measure, recipes
from cleanlens.training.data import seeded
from cleanlens.training.induction import live_config
from cleanlens.training.train import init_weights

BOS = 0


# %% tags=["tell"]
def say(text: str) -> None:
    """Show a sentence with numbers that were just computed."""
    display(Markdown(text))


# %% [markdown]
# ## 1 Checkpoints
#
# While `attn-only-2l-demo` was trained, its weights were kept now and then: not every hundred steps, but close
# together where much happens. `get_checkpoint_labels` says when, and `from_pretrained(..., checkpoint_value=step)`
# loads the model as it was then.

# %%
labels, label_type = get_checkpoint_labels("attn-only-2l-demo")
checkpoints = {}
with redirect_stdout(None):  # one line for each model is enough
    for label in labels:
        checkpoints[label] = HookedTransformer.from_pretrained("attn-only-2l-demo", checkpoint_value=label)
cfg = checkpoints[labels[-1]].cfg
print(f"{len(labels)} checkpoints, counted in {label_type}s: {labels}")

# %% [markdown]
# A score on one checkpoint is a number. A *curve* of scores claims more: that what changes from point to point is the
# model and nothing else. So everything else must be held still. The prompts are drawn **once**: with new random
# tokens for each checkpoint, part of every rise is luck. The model is in **eval mode**, in which dropout and batch
# statistics, where a model has them, are switched off. And the points are in order of **time**. That last one sounds
# too simple to go wrong, but labels often come as text, from file names, and as text `"1000" < "200"`.
#
# One thing about this run must be known before its curves are read. It was trained to do induction: on repeated random
# tokens and nothing else. And it began small. Until step 1200 the random tokens came from the first
# 512 entries of the vocabulary alone, which costs a third of the time; then from all 4,096. So we watch those 512: the
# others' rows were not trained at all until then.
#
# How much luck is there in a random prompt? Score one checkpoint on ten different draws:


# %%
FIRST = recipes.ATTN_ONLY.first_tokens  # 512


@torch.no_grad()
def best_induction(model, tokens):
    """The best head's induction score on BOS and n random tokens, twice."""
    n = (tokens.shape[1] - 1) // 2
    return measure.induction_scores(measure.patterns(model, tokens), n).max()


some = measure.repeated_prompt(12, 4, FIRST)
middle = min(labels, key=lambda label: abs(best_induction(checkpoints[label], some) - 0.5))  # half way
draws = [measure.repeated_prompt(12, 1, FIRST, seed) for seed in range(10)]
ten = torch.stack([best_induction(checkpoints[middle], draw) for draw in draws])

# %% tags=["tell"]
say(
    f"At step {middle} the score is between **{ten.min():.2f} and {ten.max():.2f}**, depending on the prompt alone (one prompt of 12 tokens, ten "
    "draws). The same tokens for all, and more of them, keep this out of the curve."
)

# %% [markdown]
# One more trap. Models are big, so a loader often writes each checkpoint into *one* model and hands that back.
# Collect the models in a list first and score them afterwards, and you have scored the last checkpoint as often as
# there are labels.

# %%
# exercise 07.1

# %%
check("07.1")

# %% [markdown]
# What you wrote, or the course's version of it, on the real run. The prompts are 16 rows of 25 random tokens,
# repeated once; for each checkpoint we take the loss on both repeats and every head's scores.

# %%
n = 25
over_time = yours("score_checkpoints")
texts = [str(label) for label in labels]


def load(text):
    return checkpoints[int(text)]


def make_tokens():
    return measure.repeated_prompt(n, batch=16, d_vocab=FIRST, seed=7)


# %%
def losses(model, tokens):
    """[first repeat, second repeat], in nats."""
    return torch.tensor(measure.repeat_losses(model, tokens, n))


def head_scores(model, tokens):
    """[2 layer head]: attention to the previous token; attention to what followed this token before."""
    patterns = measure.patterns(model, tokens)
    return torch.stack([measure.previous_token_scores(patterns), measure.induction_scores(patterns, n)])


# %%
steps, loss_curve = over_time(texts, load, make_tokens, losses)
steps, head_curves = over_time(texts, load, make_tokens, head_scores)
first_loss, second_loss = loss_curve.unbind(1)
prev_curves, ind_curves = head_curves.unbind(1)  # each [step layer head]
prev_head = tuple(divmod(prev_curves[-1].argmax().item(), cfg.n_heads))
ind_head = tuple(divmod(ind_curves[-1].argmax().item(), cfg.n_heads))
prev_curve, ind_curve = prev_curves[:, *prev_head], ind_curves[:, *ind_head]
time_axis = steps + 1  # a logarithmic axis has no place for step 0

# %% [markdown]
# **Before you run the next cell:** the loss on random tokens and on their repetition, over the whole training. Sketch
# both curves: where do they begin, where do they end, and is the way down even?
#
# <details><summary>What to look for</summary>
#
# Both begin a little above chance, $\ln 4095 \approx 8.3$ nats. The first stays near it for ever, since random tokens
# cannot be foreseen. The second comes down a little, waits, and then falls off a cliff: most of the way within a small
# part of the training.
#
# </details>

# %%
plots.line(
    {"first repeat": first_loss, "second repeat": second_loss},
    time_axis,
    "Loss on random tokens, repeated once",
    "step + 1",
    "nats",
    log_x=True,
)

# %% tags=["tell"]
chance = math.log(cfg.d_vocab - 1)
drops = second_loss[:-1] - second_loss[1:]
steep = int(drops.argmax())
share = (drops.max() / (second_loss[0] - second_loss[-1])).item()
say(
    f"The first repeat stays near chance, log {cfg.d_vocab - 1} = {chance:.2f} for the whole vocabulary, for ever: there is nothing to know. The second falls from {second_loss[0]:.2f} to "
    f"{second_loss[-1]:.2f}, and **{share:.0%} of the fall happens between steps {steps[steep]} and {steps[steep + 1]}**, which is "
    f"{(steps[steep + 1] - steps[steep]) / steps[-1]:.0%} of the training."
)

# %% tags=["test"]
assert (first_loss > math.log(FIRST - 1)).all()  # random tokens cannot be foreseen, before or after
assert second_loss[-1] < 1

# %% [markdown]
# [Olsson et al. 2022](https://arxiv.org/abs/2209.11895) saw the same bump in the loss curves of language models from two layers up, and not in those of one
# layer ("Argument 1: Transformer language models undergo a 'phase change' ..."). Why the depth matters you know from
# chapter 05: the circuit needs a head that reads what another head wrote.
#
# The heads over the same time. Each row is one head; the stronger the colour, the more of an induction head it is.

# %%
names = checkpoints[labels[-1]].all_head_labels()
plots.heatmap(
    ind_curves.flatten(1).T,
    [str(step) for step in steps.tolist()],
    names,
    "Induction score of every head",
    "step",
    "head",
    zero_centred=False,
    color_label="score",
)

# %% [markdown]
# **Before you run the next cell:** the two kinds of head over time. Induction is built on the previous-token head. Will
# that one be finished before the induction head begins?
#
# <details><summary>What to look for</summary>
#
# No. Both wait, and then rise together; the previous-token head goes on growing while the induction head already works.
#
# </details>

# %%
plots.line_panels(
    {
        "score": {"previous token": prev_curve, "induction": ind_curve},
        "loss (nats)": {"second repeat": second_loss},
    },
    time_axis,
    f"L{prev_head[0]}H{prev_head[1]}, L{ind_head[0]}H{ind_head[1]} and what they are for",
    "step + 1",
    log_x=True,
)

# %% tags=["tell"]
formed = (ind_curves[-1] > 0.5).nonzero().tolist()
say(
    f"Nothing for a long time, then everything at once. At the end {len(formed)} heads do induction: {', '.join(f'L{layer}H{head}' for layer, head in formed)}. "
    "They rise together, and there is a reason why they would: all of them need the same thing, the one previous-token head."
)

# %% tags=["test"]
assert prev_head[0] < ind_head[0]

# %% [markdown]
# ## 2 When exactly?
#
# "At about step 700" is what an eye says. A rule is better: it can be applied to thirty runs, and it does not know
# what we hope for. A phase change is where a score **rises fastest**, so look for the largest slope. Three decisions
# hide in this.
#
# **Slope per what?** Checkpoints are unevenly spaced. A difference between neighbours must be divided by the time
# between them, or the widest interval wins for being wide. And time itself: what training does at first in ten steps
# takes a thousand later on, so we measure in $x = \log(1 + t)$ (the $1$ lets step $0$ in):
#
# $$ \text{slope}_i = \frac{s_{i+1} - s_i}{\log(1 + t_{i+1}) - \log(1 + t_i)} . $$
#
# *With numbers.* Steps $10, 20, 1000, 4000$ with scores $0,\ 0.5,\ 1,\ 4$. Per step, the first interval is the
# steepest ($0.05$ against $0.0005$ and $0.001$). In log time the slopes are $0.5 / \log\frac{21}{11} = 0.77$, then
# $0.13$, then $3 / \log\frac{4001}{1001} = 2.17$: the last. For each doubling of the training, more changes there
# than anywhere before.
#
# **Where is a slope?** It belongs to an interval, not to one of its ends. Its place is the middle, in the time in
# which the slope was taken: the geometric mean
#
# $$ t^* = \sqrt{(1 + t_i)(1 + t_{i+1})} - 1, \qquad \text{above: } \sqrt{1001 \cdot 4001} - 1 \approx 2000. $$
#
# **And noise?** One lucky checkpoint makes a steep rise and a steep fall. Average neighbours first, *as many from the
# left as from the right*: an average that looks only back shows everything later than it was. At the ends there are
# fewer neighbours; average those that exist. Zeros in their place would bend the curve.

# %%
# exercise 07.2

# %%
check("07.2")

# %%
find_change = yours("phase_change_step")
when = {
    "induction score": find_change(steps, ind_curve),
    "previous-token score": find_change(steps, prev_curve),
    "minus the loss": find_change(steps, -second_loss),
}

# %% tags=["tell"]
rows = [
    f"| {name} | {step:.0f} | {find_change(steps, curve, 3):.0f} |"
    for (name, step), curve in zip(when.items(), [ind_curve, prev_curve, -second_loss])
]
say("| rises fastest at step | as it is | smoothed over 3 |\n|---|---|---|\n" + "\n".join(rows))

# %% tags=["test"]
assert max(when.values()) < 1.5 * min(when.values())

# %% [markdown]
# The three changes are the same event, seen from three sides. Be careful with what this shows. That two curves move
# together is correlation; [Olsson et al. 2022](https://arxiv.org/abs/2209.11895) call this evidence by co-occurrence ("Argument 1") and add others: if the
# architecture is changed so that induction is easier, the change moves earlier ("Argument 2"), and when the heads are
# knocked out the ability goes ("Argument 3"). The third we can have at every checkpoint, with one hook of chapter 04.


# %%
def damage(model, tokens):
    """By how much the loss on the second repeat rises without the (later) previous-token head."""

    def silence(z, hook):
        z = z.clone()
        z[:, :, prev_head[1]] = 0
        return z

    with model.hooks(fwd_hooks=[(f"blocks.{prev_head[0]}.attn.hook_z", silence)]):
        without = measure.repeat_losses(model, tokens, n)[1]
    return torch.tensor(without - measure.repeat_losses(model, tokens, n)[1])


steps, damage_curve = over_time(texts, load, make_tokens, damage)


# %%
def composition(model, tokens):
    """[earlier head]: mean K-composition score with the heads of layer 1. Needs no tokens."""
    return model.all_composition_scores("K")[0, :, 1].mean(-1)


steps, k_curves = over_time(texts, load, make_tokens, composition)
k_curve = k_curves[:, prev_head[1]]
plots.line(
    {f"L0H{head}": k_curves[:, head] for head in range(cfg.n_heads)},
    time_axis,
    "K-composition with layer 1, from the weights alone",
    "step + 1",
    "mean composition score",
    log_x=True,
)

# %% [markdown]
# To put everything on one scale: at which step has each measure gone half of the way from its first value to its last
# (straight lines between checkpoints)?


# %%
def half_way(curve: Tensor) -> float:
    """The first step at which the curve is half way between its first and its last value."""
    part = (curve - curve[0]) / (curve[-1] - curve[0])
    i = int((part >= 0.5).int().argmax())
    weight = (0.5 - part[i - 1]) / (part[i] - part[i - 1])
    return (steps[i - 1] + weight * (steps[i] - steps[i - 1])).item()


halves = {
    "induction head": half_way(ind_curve),
    "loss on the second repeat": half_way(second_loss),
    "previous-token head": half_way(prev_curve),
    "damage by removing it": half_way(damage_curve),
    "its K-composition": half_way(k_curve),
}
plots.bar(torch.tensor(list(halves.values())), list(halves), "Half of the way done", "step")

# %% tags=["tell"]
order = sorted(halves, key=halves.get)
say(
    f"In order: {', '.join(f'{name} ({halves[name]:.0f})' for name in order)}. One might have expected the previous-token head to be finished first, since induction is built on it. But "
    f"when the induction score passes a half the previous-token head attends with {prev_curve[int((ind_curve > 0.5).int().argmax())]:.2f} of its attention. "
    "**The circuit does not grow from the bottom up; its halves grow together.**"
)

# %% tags=["test"]
assert k_curve[-1] > k_curve[0] + 0.02
assert damage_curve[-1] > 2

# %% [markdown]
# Why would it be so? A plausible reading: a weak previous-token head is enough to be found, because the next softmax
# amplifies a small difference of scores; being found makes it useful; and what is useful gets a gradient that makes
# it stronger. While both halves are near zero, each half's gradient is multiplied by the other's smallness, as for a
# product $L(ab)$, where $\partial L/\partial a = L' b$: a long wait, then a run. That explains the shape; it is an
# explanation, though, and not something that this section has measured.
#
# ## 3 What happens before
#
# Until the phase change the induction scores say "nothing". But the loss on the second repeat has come down before
# it, by half a nat or more. Something *is* learned. What?
#
# A guess: without knowing *which* token comes next, one can know *which tokens are around*. In a row with repeats, a
# token that has occurred is likelier than one that has not. So split the probability that the model gives, in the
# second repeat, into two measures:
#
# * the probability of **all tokens seen so far in the row**: the bag ($n$ tokens of the first repeat);
# * the probability of **the right one** among them. If the model knows the bag and nothing more, it is bag$/n$.


# %%
def bag_and_right(model, tokens):
    """Mean probability, in the second repeat, of the n tokens of the first one together, and of the right one."""
    probabilities = model(tokens)[:, n + 1 : -1].softmax(-1)
    seen = torch.zeros(len(tokens), cfg.d_vocab).scatter_(1, tokens[:, 1 : n + 1], 1)
    bag = torch.einsum("bsv,bv->", probabilities, seen) / probabilities[..., 0].numel()
    return torch.stack([bag, probabilities.gather(-1, tokens[:, n + 2 :, None]).mean()])


steps, known = over_time(texts, load, make_tokens, bag_and_right)
bag, right = known.unbind(1)

# %% [markdown]
# **Before you run the next cell:** three curves on logarithmic axes: the probability of the bag, of the right token,
# and bag$/n$. How do they lie before the phase change if the guess is right, and after it?
#
# <details><summary>What to look for</summary>
#
# Before: the bag rises above chance, and the right token follows bag$/n$ closely. After: the right token leaves bag$/n$
# and runs up to the bag, which by then has most of the probability.
#
# </details>

# %%
plots.line(
    {"the bag: any token seen": bag, "the right token": right, "bag / n": bag / n},
    time_axis,
    "What the model expects in the second repeat",
    "step + 1",
    "probability",
    log_x=True,
    log_y=True,
)

# %% tags=["tell"]
before = int((ind_curve < 0.1).nonzero().max())  # the last checkpoint without induction
gain = (second_loss[1] - second_loss[before]).item()
selectivity = right * n / bag  # 1: any of them is as good; n: only the right one
say(
    f"At step {steps[before]} no head does induction yet (best: {ind_curves[before].max():.2f}), but the loss has fallen by {gain:.2f} nats: the tokens seen have gone from {bag[0]:.3f} (chance: {n / cfg.d_vocab:.3f}) to **{bag[before]:.3f}** of the "
    f"probability, and the right one has {selectivity[before]:.1f} times its fair share of it. The model has learned *these tokens are in play*, and hardly *which one is next*. At the end the right one has "
    f"{selectivity[-1]:.0f} of {n} shares."
)

# %% tags=["test"]
assert bag[before] > 1.3 * bag[0]
assert selectivity[before] < 3 < selectivity[-1]

# %% [markdown]
# That is a **progress measure**: a number that moves before the headline number does. [Nanda et al. 2023](https://arxiv.org/abs/2301.05217),
# *Progress measures for grokking via mechanistic interpretability*, have the classical example. A network learns modular
# addition; for thousands of steps it gives only the training examples right, then quite suddenly all others (the
# *grokking* of [Power et al. 2022](https://arxiv.org/abs/2201.02177)). Measured through the circuit (in the Fourier basis in which the network adds)
# there is no suddenness: three phases, memorisation, formation of the circuit, and cleanup, run smoothly, and the
# jump of the test loss only marks the last.
#
# Is our phase change grokking? No. Grokking is a gap between *training* and *test* data. Here every batch is new, so
# there is nothing to memorise, and the training loss is a test loss. What the two share is the lesson: *sudden in the
# loss* does not mean *sudden in the weights*. A measure made for the mechanism sees further than the loss; the bag
# above moved on another clock than the induction score did.
#
# ## 4 Data that ask for induction
#
# Now your own model. What should it be trained on? Repeated random tokens: the second time round, every token but the
# first of a copy can be known. But **a network learns the easiest rule that fits**, and there is an easier one. Suppose every segment has
# length $n = 16$. Then the right token always stands $n - 1 = 15$ positions back from where we are, and a single head
# with the positional rule
#
# $$ \text{attend to position } t - 15 $$
#
# gets everything right: one layer, no matching, no composition. It is no induction head, and on a segment of length
# $17$ it fails completely. (Counted from the copied token itself, which stands one step on, the offset is $16$: so the
# figure below counts.) From the training loss one cannot tell the two apart. The mistake is in the data, and only
# data of another length show it.
#
# So take the easier rule away: each segment's length is drawn anew, in each row and again within a row. Then no
# offset is right often, and *find what followed the last time* is the only rule left that always is.
#
# A row for `min_len=2, max_len=4` and `n_ctx=14` might be (BOS is 0, the bars are only for reading)
#
# $$ 0 \;|\; 7\ 3\ 9 \;|\; 7\ 3\ 9 \;|\; 5\ 5 \;|\; 5\ 5 \;|\; 8\ 1\ 4, $$
#
# lengths 3, 2 and then a segment whose copy no longer fits.

# %%
# exercise 07.3

# %%
check("07.3")

# %% [markdown]
# The offsets in a batch, from each token back to the last time that it occurred in the row: all segments of one
# length, and as you draw them.

# %% [markdown]
# **Before you run the next cell:** the distances from a copied token back to its original, once with all segments of
# length 16, once with lengths drawn anew. What do the two curves look like?
#
# <details><summary>What to look for</summary>
#
# One spike, at 16, against a low hill over all lengths. A head that learns one offset gets nearly all of the first data
# right, and little of the second.
#
# </details>

# %%
batches = yours("make_batch")


def offsets(tokens: Int[Tensor, "b s"]) -> Tensor:
    """How often a token's last occurrence in its row is 0, 1, 2, ... positions back."""
    same = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)[:, 1:]
    found = same.any(-1)
    back = torch.arange(1, tokens.shape[1]) - (tokens.shape[1] - 1 - same.flip(-1).int().argmax(-1))
    return torch.bincount(back[found], minlength=33)[:33] / found.sum()


# %%
of_one_length = batches(64, 64, 1000, seeded(0), 16, 16)
of_all_lengths = batches(64, 64, 1000, seeded(0), 4, 20)
one_length, all_lengths = offsets(of_one_length), offsets(of_all_lengths)
plots.line(
    {"one length, 16": one_length, "lengths 4 to 20": all_lengths},
    range(33),
    "How far back is the copied token?",
    "positions back",
    "share of the copied tokens",
)


# %% tags=["tell"]
def by_induction(tokens: Int[Tensor, "b s"]) -> float:
    """The share of the tokens seen before in their row that "what followed the last time" names."""
    right, copied = 0, 0
    for row in tokens[:, 1:].tolist():  # BOS is no part of it
        followed = {}
        for i in range(1, len(row)):
            copied += row[i] in row[:i]
            right += row[i] in row[:i] and followed.get(row[i - 1]) == row[i]
            followed[row[i - 1]] = row[i]
    return right / copied


say(
    f"With one length a single offset explains {one_length.max():.0%} of the copies; with lengths drawn anew the best offset explains {all_lengths.max():.0%}. Induction explains {by_induction(of_one_length):.0%} and {by_induction(of_all_lengths):.0%}: "
    "what it misses are the first tokens of copies, before which nothing says that a copy begins."
)

# %% tags=["test"]
assert one_length.max() > 0.9
assert all_lengths.max() < 0.2
assert min(by_induction(of_one_length), by_induction(of_all_lengths)) > 0.8

# %% [markdown]
# ## 5 The training loop
#
# For each step $t$: draw a batch, compute the loss $L$, its gradient $g_t$, and change the weights. Four things
# around this are worth knowing by name.
#
# **AdamW** keeps two running averages (those of Adam,
# [Kingma and Ba 2014](https://arxiv.org/abs/1412.6980)), of the gradient, $m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t$, and of its
# square, $v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2$, and moves each weight by
#
# $$ w \leftarrow w - \eta_t\, \lambda\, w - \eta_t\, \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}, \qquad \hat m_t = \frac{m_t}{1 - \beta_1^t}, \quad \hat v_t = \frac{v_t}{1 - \beta_2^t} . $$
#
# Every weight moves by about $\eta$, however small its gradient. (Updates are counted from $1$ in this formula, steps
# from $0$ everywhere else in this chapter.) At $t = 1$ the fraction is exactly $\pm 1$ (up to $\epsilon$): *all* weights
# take a full step at once, in a direction known from one batch. Later the gradients of different batches cancel in
# $m$, and most fractions are far below 1. The averages are the optimizer's memory; make a new optimizer in each step and every step is a first step. The decay $\lambda$ is taken
# off the weights directly ([Loshchilov and Hutter 2019](https://arxiv.org/abs/1711.05101)); put into the gradient, as in plain Adam, it would be divided
# away by $\sqrt{\hat v}$.
#
# **Warm-up.** Therefore the rate begins small: $\eta_t = \eta \min(1, (t+1)/\text{warmup})$.
#
# **Clipping.** In a phase change gradients are large and one batch can throw the weights off. If the norm of all
# gradients *together* is above 1, divide them all by it: the direction stays. Clipping each weight alone would turn
# it.
#
# **Measuring.** A score at step $t$ belongs to the weights after exactly $t$ updates. So measure *before* update
# number $t$, and once more at the end.

# %%
# exercise 07.4

# %%
check("07.4")

# %% [markdown]
# ### Live
#
# A two-layer attention-only transformer with two heads per layer, trained from random weights in front of your eyes:
# about two minutes on two free cores. Segments have any length from 4 to 60, so most offsets in the context occur.
# Every 25 steps it is scored on prompts of three lengths. (For a quick pass through the notebook set the environment
# variable `CLEANLENS_LIVE_STEPS` to a small number; the phase change then lies beyond the end, and the text below
# says so.)

# %%
LIVE_STEPS = int(os.environ.get("CLEANLENS_LIVE_STEPS", "1200"))
live = live_config()  # 128 tokens, 64 positions
train_loop = yours("train_induction")


def train_live(min_len: int, max_len: int, total: int, test_lengths: list[int], seed: int = 0):
    """Train a fresh model on segments of these lengths; its history of scores on the test lengths."""
    model = HookedTransformer(live)
    init_weights(model, seed)
    history = []
    bar = tqdm(total=total, desc=f"lengths {min_len} to {max_len}")

    def next_batch(step):
        bar.update()
        return batches(32, live.n_ctx, live.d_vocab, seeded(seed, step), min_len, max_len)

    def score(model):
        history.append(measure.repeat_summary(model, test_lengths, batch=8, seed=1))
        return history[-1]["second_loss"]

    at, _ = train_loop(model, next_batch, total, score, 25, 2e-3)
    bar.close()
    return model, torch.tensor(at), {name: torch.tensor([h[name] for h in history]) for name in history[0]}


# %%
started = time.perf_counter()
live_model, live_steps, live_history = train_live(4, 60, LIVE_STEPS, [7, 15, 25])
minutes = (time.perf_counter() - started) / 60

# %%
plots.line_panels(
    {
        "loss (nats)": {
            "first repeat": live_history["first_loss"],
            "second repeat": live_history["second_loss"],
        },
        "best head's score": {
            "previous token": live_history["previous_token"],
            "induction": live_history["induction"],
        },
    },
    live_steps + 1,
    f"Your model, {LIVE_STEPS} steps in {minutes:.1f} minutes",
    "step + 1",
    log_x=True,
)

# %% tags=["tell"]
caught = bool(live_history["induction"][-1] > 0.4)
if caught:
    live_change = find_change(live_steps, live_history["induction"], 3)
    say(
        f"**There it is.** The induction score rises fastest at step {live_change:.0f}; at the end it is {live_history['induction'][-1]:.2f}, and the loss on the second repeat is {live_history['second_loss'][-1]:.2f} "
        f"(chance: {math.log(live.d_vocab - 1):.2f}). Nobody told the model to make heads that match and copy. It was told to predict, on data where nothing else helps."
    )
else:
    say(
        f"After {LIVE_STEPS} steps the best induction score is {live_history['induction'][-1]:.2f}: the phase change is not over, or has not begun. In the run of section 1 it came "
        f"at about step {when['induction score']:.0f}. Give it more steps, or another seed."
    )

# %% [markdown]
# Worth trying: `train_live(4, 20, ...)`. In one trial of ours (segments of at most 20 tokens, rate 0.003) the loss on
# the second repeat came down as well, to about 1.5 after 1300 steps, but no head's induction score rose above 0.2.
# Short segments leave room for something less clean, and what it is you could find out with chapters 04 and 05. It is
# the lesson of section 4 again: the range of lengths belongs to the question that the data ask.
#
# ### The wrong data, live
#
# The same loop, a shorter run, and all segments of length 16. Judge it by its own length and by others.

# %% [markdown]
# **Before you run the next cell:** a model trained on segments of length 16 alone, tested on lengths from 8 to 24,
# beside the one that you have just trained. Which has the lower loss at 16? And at 15 and 17?
#
# <details><summary>What to look for</summary>
#
# At full length of training: the one-length model is good at 16 and only there; at its neighbours it may be worse than
# a guess, because it is confidently wrong. The other one has no dip at 16. (In a shortened run neither has learned
# anything yet.)
#
# </details>

# %%
FIXED_STEPS = max(1, LIVE_STEPS // 3)
fixed_model, fixed_steps, fixed_history = train_live(16, 16, FIXED_STEPS, [16])


# %%
def second_losses(model, lengths):
    """The loss on the second repeat for each length."""
    with torch.no_grad():
        tests = {length: measure.repeated_prompt(length, 16, live.d_vocab, seed=3) for length in lengths}
        return {length: measure.repeat_losses(model, tokens, length)[1] for length, tokens in tests.items()}


lengths = [8, 10, 12, 14, 15, 16, 17, 18, 20, 24]
fixed_losses, free_losses = second_losses(fixed_model, lengths), second_losses(live_model, lengths)
plots.line(
    {"length 16 only": list(fixed_losses.values()), "lengths 4 to 60": list(free_losses.values())},
    lengths,
    "Loss on the second repeat, by the length of the test",
    "length",
    "nats",
)

# %% tags=["tell"]
at_home, abroad = fixed_losses[16], sum(fixed_losses[length] for length in (12, 14, 18, 20)) / 4
learned_offset = at_home < 1.5
if learned_offset:
    say(
        f"After {FIXED_STEPS} steps the model on one length has a loss of **{at_home:.2f}** on length 16, and it learned that sooner than induction comes. On lengths 12, 14, 18 and 20 it is **{abroad:.2f}**, where knowing nothing gives "
        f"{math.log(live.d_vocab - 1):.2f}. It has learned an offset; where the offset points at a wrong token it is confidently wrong. A training curve alone would have called it the better model."
    )
else:
    say(
        f"After {FIXED_STEPS} steps even the offset is not learned (loss {at_home:.2f} on length 16): a shortened run."
    )

# %% [markdown]
# ## 6 Growing a model
#
# `gpt2-demo` has six layers and MLPs. Trained from nothing on its text, it would take far longer to form induction
# heads than two layers of attention do. So it was **grown**: the two-layer model, as it was at step 1500, was put
# inside it, its first layer as layer 0 and its second, with the induction heads, as layer 4, so that the layers between can find
# things out before a head that copies well comes. How can a bigger model compute *the same function* as a small one? In a network of plain layers that
# takes work ([Chen, Goodfellow and Shlens 2016](https://arxiv.org/abs/1511.05641), *Net2Net*, insert identity matrices). In a residual stream it is
# almost free, since every layer is
#
# $$ x \leftarrow x + f(x) , $$
#
# and $f = 0$ is the identity. Not nearly: $x + 0 = x$ in floating point too, to the last digit.
#
# Which weights must be zero for $f = 0$? Only those that *write*: $W_O$ of each new head, $b_O$ of each new layer (its
# heads share one), and $W_{out}, b_{out}$ of each MLP. What *reads*, $W_Q, W_K, W_V, W_{in}$ and their biases, should keep
# its start. Look at the gradient for one MLP, $f = \text{act}(h)\,W_{out} + b_{out}$ with $h = xW_{in} + b_{in}$:
#
# $$ \frac{\partial L}{\partial W_{out}} = \text{act}(h)^T \frac{\partial L}{\partial f}, \qquad
#    \frac{\partial L}{\partial W_{in}} = x^T \left(\text{act}'(h) \odot \frac{\partial L}{\partial f} W_{out}^T\right). $$
#
# With $W_{out} = 0$ and $W_{in}$ random the first is not zero: $W_{out}$ moves at the first step, and from the second
# on $W_{in}$ does too. With $W_{in}$, $b_{in}$ and $W_{out}$ *all* zero, and $\text{act}(0) = 0$, the gradients of all three are zero
# for ever; only $b_{out}$ can learn.

# %%
# exercise 07.5

# %%
check("07.5")

# %%
small_model = HookedTransformer.from_pretrained_no_processing(
    "attn-only-2l-demo", checkpoint_value=recipes.GROW_FROM_STEP
)
big_model = recipes.new_model(recipes.gpt2_config(), seed=1)
yours("grow")(big_model, dict(small_model.named_parameters()), recipes.GROW_INTO_LAYERS)
with torch.no_grad():
    tokens = make_tokens()
    small_logits, big_logits = small_model(tokens), big_model(tokens)
largest_difference = (small_logits - big_logits).abs().max().item()

# %% tags=["tell"]
say(
    f"{sum(p.numel() for p in small_model.parameters()):,} parameters in {small_model.cfg.n_layers} layers and {sum(p.numel() for p in big_model.parameters()):,} in {big_model.cfg.n_layers}: the largest "
    f"difference between their logits is **{largest_difference}**."
)

# %% tags=["test"]
assert largest_difference == 0

# %% [markdown]
# From there `gpt2-demo` was trained on little scenes in which somebody gives something to somebody (chapter 06), on stories and
# plain sentences; one row in five was repeated random tokens, so that it would not forget. Its training curve comes with
# it. The accuracy is that of plain sentences which nobody made for it: is the indirect object likelier than the subject?

# %% [markdown]
# **Before you run the next cell:** after growing, training goes on with text in which names must be found. What happens
# to the induction score, and how does the accuracy on indirect objects rise: from the start, or late?
#
# <details><summary>What to look for</summary>
#
# Induction is there from step 0 and stays. The accuracy stays near (or below) one half for more than two thousand steps
# and then climbs: another phase change, made of heads that were there before.
#
# </details>

# %%
path = Path(cleanlens.__file__).parent / "models" / "gpt2-demo" / "training_curve.json"
curve = json.loads(path.read_text())
grown_steps = torch.tensor([entry["step"] for entry in curve])
grown = {
    name: torch.tensor([entry[name] for entry in curve]) for name in curve[0] if name not in ("step", "mover")
}
plots.line(
    {
        "induction score (best head)": grown["induction"],
        "indirect objects in plain sentences": grown["plain"],
    },
    grown_steps,
    "gpt2-demo after it was grown",
    "step",
    limits=(0, 1.1),
)

# %% tags=["tell"]
ioi_change = find_change(grown_steps, grown["ioi_logit_diff"], 3)
say(
    f"Induction is there from step 0 ({grown['induction'][0]:.2f}) and stays (never below {grown['induction'].min():.2f}). Finding the indirect object is new, and comes with a phase change of its own: by our rule the logit difference, smoothed over 3, rises fastest at step {ioi_change:.0f} (unsmoothed: {find_change(grown_steps, grown['ioi_logit_diff']):.0f}; late in log time the intervals are short, and noise weighs more), from an "
    f"accuracy of {grown['plain'][0]:.2f} at the start to {grown['plain'][-1]:.2f}. A circuit is a foundation for the next: the heads of chapter 06 read what these two layers write."
)

# %% tags=["test"]
assert grown["induction"].min() > 0.5  # there from the start, and kept
assert grown["plain"][0] < 0.7 < grown["plain"][-1]

# %% [markdown]
# The same curve holds the birth of that circuit, seen from its best name mover: how much it looks from the end at the indirect object and at the
# other name, and how well it copies what it looks at.

# %%
plots.line(
    {
        "copy score": grown["mover_copies"],
        "END → indirect object": grown["mover_to_io"],
        "END → the other name": grown["mover_to_s1"],
    },
    grown_steps,
    "A name mover is born",
    "step",
    limits=(0, 1.1),
)

# %% tags=["tell"]
apart = grown["mover_to_io"] - grown["mover_to_s1"]
copying_from = grown_steps[(grown["mover_copies"] > 0.9).nonzero()[0]].item()
apart_from = grown_steps[(apart > 0.1).nonzero()[0]].item()
say(
    f"It copies from step {copying_from} on, and looks at both names alike until step {apart_from}, when the two part by more than 0.1; in between it raises *a* name, not the right one. At the end {grown['mover_to_io'][-1]:.2f} against "
    f"{grown['mover_to_s1'][-1]:.2f}. What it was missing was to be told: the S-inhibition head, which came last."
)

# %% tags=["test"]
assert copying_from < apart_from

# %% [markdown]
# ## 7 What you now know
#
# * A curve over checkpoints shows training only if the weights are all that changes: one draw of tokens, eval mode,
#   steps in order of number, each checkpoint scored while it is loaded.
# * A phase change is where the slope in *log* time is largest; it lies in the middle of an interval, and smoothing
#   must look both ways.
# * The induction circuit appears at once because its halves need each other. The loss, the heads and the damage done
#   by removing one move together; the composition in the weights goes on growing.
# * Before it, the model learns which tokens are in play. A measure built for the mechanism shows movement where the
#   loss is flat: sudden in the loss is not sudden in the weights.
# * A network learns the easiest rule that its data allow. Lengths must vary, or an offset is learned; only unseen
#   lengths tell.
# * AdamW, warm-up, clipping and the place of the measurement in the loop each have their reason, and a test.
# * A residual layer that writes zero is invisible. Zero what writes, keep what reads, and a model can grow.

# %% [markdown]
# ## Questions
#
# **1.** A score is 0 at step 9, 0.2 at step 99 and 0.6 at step 1999. In which interval is the slope largest per step,
# in which in log time, and where does the rule of section 2 put the change?
#
# <details><summary>Answer</summary>
#
# Per step: $0.2/90$ against $0.4/1900$, the first. In log time: $0.2/\ln\frac{100}{10} = 0.09$ against
# $0.4/\ln\frac{2000}{100} = 0.13$, the second. Its place is the geometric middle, $\sqrt{100 \cdot 2000} - 1 \approx
# 446$.
#
# </details>
#
# **2.** Why is one draw of tokens used for all checkpoints, when more draws would be fairer?
#
# <details><summary>Answer</summary>
#
# A curve is about differences between checkpoints. With a new draw each time a part of every difference is luck; with
# one draw that part is the same for all and cancels. Use more tokens in that one draw, not more draws.
#
# </details>
#
# **3.** Your model's training loss on repeated segments of length 16 is near its minimum. What do you know about
# induction heads in it?
#
# <details><summary>Answer</summary>
#
# Nothing yet. A head that looks a fixed number of positions back does as well on these data. Test lengths that training
# never had, and look at the patterns.
#
# </details>
#
# **4.** In growing a model, what goes wrong if new layers start with *all* weights at zero? And with all of them
# random?
#
# <details><summary>Answer</summary>
#
# All zero: the function is kept, but the gradients of $W_{in}$, $b_{in}$ and $W_{out}$ are products with zero and stay
# so for ever; only $b_{out}$ learns. All random: everything learns, but the function is not kept, and what the small
# model knew is drowned in noise at the first step.
#
# </details>
#
# **5.** The induction score and the loss change together. Give two measurements of this chapter that say more than
# "together".
#
# <details><summary>Answer</summary>
#
# The damage by removing the previous-token head, at every checkpoint: an intervention, which is zero before and large
# after. And the bag of tokens seen: it moves on another clock, before the score does, so the loss falls for two
# different reasons. (Olsson et al. add a third: change the architecture, and the change moves.)
#
# </details>

# %% [markdown]
# ## Open problems
#
# What the course has not answered. Each is a week or two of work with the tools that you now have, on the models of the course, SmolLM2 or GPT-2 small. Write down
# what you expect, and what would refute it, before the first figure.
#
# 1. **A circuit of SmolLM2.** By what circuit does a 135M model of real text find the indirect object, and does its
#    S-inhibition carry the name or the place? Begin with chapter 06's `survey`, then `analysis.edge_attribution(...,
#    steps=5)` and `patching.path_patch`. An answer: heads by role, faithfulness on fresh prompts, and the two tests
#    of 06's section 6.
# 2. **Names of several tokens.** Every name of chapter 06 is one token. What do name movers do with *Fer-nan-da*:
#    copy piece after piece, or find the whole? Begin with prompts whose names share their first piece, and
#    `patching.get_act_patch_block_every` for each piece. An answer says which piece the movers look at, and what
#    happens when the first pieces are equal.
# 3. **Copy suppression.** [McDougall et al. 2023](https://arxiv.org/abs/2310.04625) describe a head of GPT-2 small
#    that lowers what was about to be predicted. Is there such a head in `gpt2-demo`? Begin with `head_copying_scores`
#    (negative ones) and `analysis.logit_lens` before its layer. An answer: on ordinary text, what it lowers was both
#    attended to and likely; and on other tokens it does nothing.
# 4. **Who steps in?** Silence the name movers and other heads rise. How much of that is a reaction, how much only
#    LayerNorm's smaller scale? Begin with `circuit.direct_effect_without`, and hold `ln_final.hook_scale` by a hook.
#    An answer: the repair in logits with the scale free and held, with intervals (`analysis.estimate`).
# 5. **What the short segments taught.** `train_live(4, 20, ...)` learns to repeat with no head that looks like
#    induction. What does it do? Begin with chapter 04's ablations of every head and chapter 05's position patterns.
#    An answer predicts at which lengths and offsets the model fails, before you test them.
# 6. **Thirty seeds.** Is the step of the phase change written in the initial weights? Begin with `train_live(...,
#    seed=...)`, `phase_change_step` and `all_composition_scores("K")` at step 0. An answer: a prediction made on
#    twenty seeds and tried on ten others, against a guess by the mean.
# 7. **Make it easier, and see it earlier.** [Olsson et al. 2022](https://arxiv.org/abs/2209.11895) mix each key with
#    the one before it ("smeared keys"), so that one layer can do induction. Begin with a permanent hook on
#    `attn.hook_k` during training. An answer: with it a one-layer model learns, and a two-layer one earlier, over
#    several seeds; without it, not.
# 8. **Estimates against the truth.** In `attn-only-2l-demo` every edge can be patched exactly
#    (`analysis.edge_patching`). Where are EAP and EAP-IG wrong, and is it saturation? Begin with the edges whose
#    ranks differ most. An answer names the bent function on the way, and shows that holding it still makes the
#    estimate right.
# 9. **Zero, mean, resample.** How often does the choice of ablation change the conclusion? Begin with
#    `analysis.ablation_values` of each kind and `analysis.faithfulness_curve` for one set of scores. An answer: one
#    circuit that is faithful under one choice and not under another, and the head whose constant explains it.
# 10. **What a resting head says.** Chapter 04 met heads that rest on BOS and so say *nothing repeats here*; in larger
#     models such places are called attention sinks ([Xiao et al. 2023](https://arxiv.org/abs/2309.17453)). Begin with
#     the $z$ of such heads in GPT-2 small, at rest and not. An answer: adding the resting message to a prompt with a
#     repeat makes the model unsure by an amount that you forecast.
# 11. **A tuned lens.** Train one affine map per layer ([Belrose et al. 2023](https://arxiv.org/abs/2303.08112))
#     beside `analysis.logit_lens`, on `documents` for `gpt2-demo`. Begin with the loop of 07.4. An answer: a smaller
#     divergence from the final prediction on held-out texts at each layer; and a layer at which the two lenses
#     disagree about what is known, settled by patching.
# 12. **Grokking, measured inside.** Train one layer on addition modulo 113 with half of all pairs held out, and
#     repeat [Nanda et al. 2023](https://arxiv.org/abs/2301.05217). Begin with the loop of 07.4 and a strong weight
#     decay. An answer: a measure taken from the weights in the Fourier basis that moves thousands of steps before the
#     test loss falls, on several seeds.

# %% [markdown]
# ## References
#
# - [Olsson et al. 2022](https://arxiv.org/abs/2209.11895), *In-context Learning and Induction Heads* ("Key Concepts"; "Argument 1" on the phase
#   change, "Argument 2" on architectures, "Argument 3" on ablations).
# - [Nanda et al. 2023](https://arxiv.org/abs/2301.05217), *Progress measures for grokking via mechanistic interpretability* (progress
#   measures and the three phases).
# - [Power et al. 2022](https://arxiv.org/abs/2201.02177), *Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets*.
# - [Chen, Goodfellow and Shlens 2016](https://arxiv.org/abs/1511.05641), *Net2Net: Accelerating Learning via Knowledge Transfer*, section 2.
# - [Kingma and Ba 2014](https://arxiv.org/abs/1412.6980), *Adam: A Method for Stochastic Optimization*.
# - [Loshchilov and Hutter 2019](https://arxiv.org/abs/1711.05101), *Decoupled Weight Decay Regularization*, algorithm 2.
# - [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), *A Mathematical Framework for Transformer
#   Circuits* (composition scores).
