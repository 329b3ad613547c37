# ruff: noqa: F401
# %% [markdown]
# # 04 Hooks and ablation
#
# So far you have *looked*: at losses, at attention patterns, at what heads write. In the last chapter a stripe in a
# picture named a head "induction head". But a stripe is a correlation. A head may look at exactly the right token and be
# ignored by everything after it; another may look at nothing in particular and be indispensable.
#
# To find out what a part **does**, do what one does with any machine: take the part out, or hold it still, and see what
# breaks. This chapter gives you the tool for it, the *hook*, and the first experiments made with it:
#
# 1. write a hook point, and a run that cleans up after itself;
# 2. read activations without keeping them;
# 3. **ablate** a head: set its output to zero, or to its average;
# 4. do so for every head, and compare what heads *look like* with what they are *worth*;
# 5. cut a single edge of attention, from one token to one other;
# 6. ask for the slope instead of the step: gradients at a hook point.
#
# It is all the apparatus that the circuit analysis of chapter 06 needs.

# %%
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here needs the network

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from IPython.display import Markdown, display
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cleanlens import HookedTransformer, plots
from cleanlens.course import check, hint, solution, yours
from cleanlens.tokenization import infer_mask
from cleanlens.training.corpus import documents
from cleanlens.training.measure import induction_scores, patterns, previous_token_scores


# %% tags=["tell"]
def say(text: str) -> None:
    """Show a sentence with numbers that were just computed."""
    display(Markdown(text))


# %% [markdown]
# `yours("zero_ablate")`, further down, is your answer once its check accepts it, and the course's own until then.
#
# The two models that come with the course, and the prompts of chapter 03: BOS, $n$ random tokens, and the same $n$
# tokens again. Nobody can guess the first repeat; a model that can copy knows the second one.

# %%
n = 30


def repeated(model: HookedTransformer, n: int, batch: int, seed: int) -> Int[Tensor, "b s"]:
    """BOS and n random tokens twice."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.randint(1, model.cfg.d_vocab - 1, (batch, n), generator=generator)
    bos = torch.full((batch, 1), model.tokenizer.bos_token_id)
    return torch.cat([bos, half, half], dim=1)


# %%
@torch.no_grad()
def losses(model: HookedTransformer, tokens: Tensor, hooks=()) -> Float[Tensor, "b s-1"]:
    """The loss of every prediction, with these hooks attached; column i predicts token i + 1."""
    return model.run_with_hooks(tokens, fwd_hooks=list(hooks), return_type="loss", loss_per_token=True)


def repeat_loss(model: HookedTransformer, tokens: Tensor, hooks=()) -> float:
    """The mean loss on the second repeat, without its first token, which nothing foretells."""
    half = (tokens.shape[1] - 1) // 2
    return losses(model, tokens, hooks)[:, half + 1 :].mean().item()


# %%
models = {name: HookedTransformer.from_pretrained(name) for name in ("attn-only-2l-demo", "gpt2-demo")}
prompts = {name: repeated(model, n, batch=8, seed=1) for name, model in models.items()}
for name, model in models.items():
    first, second = losses(model, prompts[name])[:, :n].mean(), repeat_loss(model, prompts[name])
    print(f"{name}: loss {first:.2f} nats on the first repeat, {second:.2f} on the second")

# %% tags=["test"]
for name, model in models.items():
    assert repeat_loss(model, prompts[name]) < losses(model, prompts[name])[:, :n].mean() / 2

# %% [markdown]
# ## 1. A place where one can reach in
#
# A forward pass is a long composition of functions, $y = g(f(x))$, and the activation $a = f(x)$ in the middle is gone as
# soon as $g$ has used it. A **hook point** is an identity that is put in between, with a name and a list of functions:
#
# $$ y = g\big(\,\mathrm{point}(f(x))\,\big), \qquad \mathrm{point}(a) = h_k(\dots h_2(h_1(a))\dots). $$
#
# With no hooks the point does nothing, and the model is the model. With hooks one can read $a$, or replace it and let
# everything after it go on from the new value. The contract, here and in the library:
#
# | a hook ... | and then |
# |---|---|
# | is called `hook(activation, hook=hook_point)` | `hook_point.name` says where it is |
# | returns a tensor | that tensor goes on in the activation's place |
# | returns `None` | the activation goes on: as it was, or as the hook has changed it in place (section 3 says why not to) |
#
# Three things the library adds. Where a name is wanted a *filter* will do, a function of the name that says yes or no: section 2 uses one
# to attach a hook in every layer. A hook added with `is_permanent=True` survives `reset_hooks()`. And `hook.ctx`, a dictionary of the
# point's own, lets a hook keep something from one call to the next. One point is off until asked for: `hook_result`, what each head
# writes by itself, takes $n_{heads}$ times the memory of their sum; `model.set_use_attn_result(True)` turns it on. $z$ before $W_O$ holds
# the same and is always there.
#
# **A small example.** At one point three hooks are attached: double, look, add one. The activation 3 becomes 6; "look"
# sees 6, returns `None`, and 6 goes on; then 7. Whoever forgets the rule about `None` passes nothing on; whoever gives
# every hook the *original* activation gets 4.
#
# Every named activation of the library's model is such a point. These are the ones in its first block, in the order in
# which they fire, with the shape of what passes through them for one prompt of 61 tokens:

# %%
plots.diagram("hook_point")

# %%
_, cache = models["gpt2-demo"].run_with_cache(prompts["gpt2-demo"][:1])
for name, activation in cache.items():
    if name.startswith("blocks.0."):
        print(f"{name:32} {list(activation.shape)}")

# %% [markdown]
# ### How hooks go wrong
#
# A hook is state: it sits in the model until somebody takes it away. Three ways to fool yourself with it, each of which
# has cost people days:
#
# - **It stays.** A run raises an exception halfway (a wrong shape, Ctrl-C), the line that removes the hooks is never
#   reached, and every later number comes from a damaged model. Nothing looks wrong.
# - **It is in the wrong place.** `blocks.1` is also the beginning of `blocks.10`. Or the name is misspelt, no hook is
#   attached at all, and the result is "this head has no effect".
# - **Too much is cleaned.** "Remove all hooks" also removes those of your colleague, or of your own cell further up.
#
# Write the hook point's two methods, and a run with hooks that leaves no trace.

# %%
# exercise 04.1

# %%
check("04.1")


# %% [markdown]
# Your class works in any torch module, not only in transformers. Here is one with two points, and the small example:


# %%
class DoubleThenAdd(nn.Module):
    """y = 2 x, then y + 3: two steps, each open to hooks."""

    def __init__(self):
        super().__init__()
        self.doubled = HookPoint("doubled")
        self.added = HookPoint("added")

    def forward(self, x):
        return self.added(self.doubled(2 * x) + 3)


def look(x, hook):
    print(f"  {hook.name}: {x.tolist()}")


# %%
try:
    toy, x = DoubleThenAdd(), torch.tensor([1.0, 5.0])
    print("a run that looks:")
    run_with_hooks(toy, x, [("doubled", look), ("added", look)])
    squared = run_with_hooks(toy, x, [("doubled", lambda a, hook: a * a)])
    print(f"squared in between: {squared.tolist()}, and afterwards again {toy(x).tolist()}")
except Exception as error:
    print(f"Come back to this cell when 04.1 is written here and right ({error!r}).")

# %% [markdown]
# And here is the first of the three mistakes in the wild. Two hooks: one halves the position embeddings, the other fails in
# layer 1. The careless way takes away the one that failed and forgets the other. The library's `with model.hooks(...)` and
# `model.run_with_hooks(...)` are written as yours is, so the same accident leaves nothing behind.

# %% [markdown]
# **Before you run the next cell:** three runs follow: before the accident, after it with `run_with_hooks`, and after it
# with `add_hook` by hand, when only the hook that failed has been taken away. Which of the three losses are equal?
#
# <details><summary>What to look for</summary>
#
# The first two, to the last digit: the run that failed took both of its hooks away. The third is another number, and
# nothing says so: no error, no warning. Half of the position embeddings is still missing.
#
# </details>

# %%
model, tokens = models["attn-only-2l-demo"], prompts["attn-only-2l-demo"]


def halve(pos_embed, hook):
    return pos_embed / 2


def fail(resid, hook):
    raise RuntimeError("a mistake in my analysis code")


accident = [("hook_pos_embed", halve), ("blocks.1.hook_resid_pre", fail)]

# %%
before = repeat_loss(model, tokens)
try:
    repeat_loss(model, tokens, accident)
except RuntimeError as error:
    print(f"with run_with_hooks: {error}; still attached: {list(model.list_hooks())}")
after_clean = repeat_loss(model, tokens)

# %%
for name, hook in accident:  # the careless way
    model.add_hook(name, hook)
try:
    model(tokens)
except RuntimeError as error:
    print(f"with add_hook: {error}; still attached: {list(model.list_hooks())}")
model.hook_dict["blocks.1.hook_resid_pre"].remove_hooks()  # "I have removed the one that failed"
after_careless = repeat_loss(model, tokens)
model.reset_hooks()

# %% tags=["tell"]
say(
    f"Loss before **{before:.3f}**; after the accident with `run_with_hooks` **{after_clean:.3f}**; after the careless one, "
    f"with the failing hook gone and the other forgotten, **{after_careless:.3f}**. No error, just another number."
)

# %% tags=["test"]
assert after_clean == before == repeat_loss(model, tokens)
assert abs(after_careless - before) > 0.01

# %% [markdown]
# ## 2. Reading: a hook that returns nothing
#
# `run_with_cache` keeps every activation, which is fine for one small batch. To measure something over a thousand batches
# one wants the *measurement*, not the activations: a hook reads, computes its few numbers, and lets the tensor go.
#
# The measurement here is how much head $h$ of layer $l$ looks at the previous token. With the pattern
# $A^{(l,h)}_{qk}$ of one prompt of $S$ tokens,
#
# $$ \mathrm{prev}(l, h) = \frac{1}{S-1} \sum_{q=1}^{S-1} A^{(l,h)}_{q,\,q-1}, $$
#
# where $q = 0$ is missing because it has no token before it. To average over prompts from batches of different sizes, add up
# the prompts and divide once at the end: the mean of the batches' means would give a prompt in a small batch more weight.
# (Two batches, of 1 prompt with score 1.0 and of 3 with score 0.2: the mean over prompts is $1.6/4 = 0.4$, the mean of means
# $0.6$.)
#
# Two traps. A hook made in a loop that uses the loop's variable `layer` sees the value that it has when the hook *runs*,
# after the loop: every number lands in the last layer. Ask the hook point instead. And a pattern carries its graph: a
# store that adds it up keeps every activation of every batch alive. Detach.

# %%
# exercise 04.2

# %%
check("04.2")

# %%
read_scores = yours("score_hook")


@torch.no_grad()
def previous_token_map(model: HookedTransformer, batches: list[Tensor]) -> Float[Tensor, "l h"]:
    """Every head's mean attention to the previous token."""
    store = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    hooks = [(lambda name: name.endswith("hook_pattern"), partial(read_scores, store=store))]
    for tokens in batches:
        model.run_with_hooks(tokens, return_type=None, fwd_hooks=hooks)
    return store / sum(len(tokens) for tokens in batches)


# %%
previous = {}
for name, model in models.items():
    batches = [repeated(model, n, batch=size, seed=size) for size in (2, 5, 9)]
    previous[name] = previous_token_map(model, batches)

# %% tags=["tell"]
for name, model in models.items():
    _, cache = model.run_with_cache(prompts[name])
    cached = sum(activation.numel() for activation in cache.values()) // len(prompts[name])
    print(f"{name}: {previous[name].numel()} numbers kept, where a cache holds {cached:,} for each prompt")

# %% tags=["test"]
for name, model in models.items():
    batches = [repeated(model, n, batch=size, seed=size) for size in (2, 5, 9)]
    by_cache = patterns(model, torch.cat(batches)).detach()
    torch.testing.assert_close(previous[name], previous_token_scores(by_cache), atol=1e-4, rtol=1e-3)

# %%
plots.head_map(
    previous["attn-only-2l-demo"], "attn-only-2l-demo: attention to the previous token", zero_centred=False
)

# %%
plots.head_map(previous["gpt2-demo"], "gpt2-demo: attention to the previous token", zero_centred=False)

# %% [markdown]
# In each model one head stands out. And with the induction score of chapter 03 we also have the heads that look at the token
# *after* the last occurrence of the current one. Let the numbers name them, and keep the names for the experiments:


# %%
def label(head: tuple[int, int]) -> str:
    """(1, 2) -> "L1H2"."""
    return f"L{head[0]}H{head[1]}"


@torch.no_grad()
def named_heads(model: HookedTransformer, tokens: Tensor, previous: Tensor):
    """The previous-token head, the induction heads (score over 0.4), and all induction scores."""
    half = (tokens.shape[1] - 1) // 2
    induction = induction_scores(patterns(model, tokens), half)
    best = divmod(int(previous.argmax()), model.cfg.n_heads)
    return best, [tuple(head) for head in (induction > 0.4).nonzero().tolist()], induction


heads = {name: named_heads(models[name], prompts[name], previous[name]) for name in models}

# %% tags=["tell"]
for name, (prev_head, induction_heads, induction) in heads.items():
    scores = ", ".join(f"**{label(head)}** ({induction[head]:.2f})" for head in induction_heads)
    say(
        f"**{name}**: previous-token head **{label(prev_head)}** ({previous[name][prev_head]:.2f}); induction heads {scores}."
    )

# %% tags=["test"]
for name, (prev_head, induction_heads, _) in heads.items():
    assert previous[name][prev_head] > 0.7
    assert induction_heads

# %% [markdown]
# ## 3. From looking to changing
#
# The scores above are observations. Two things can be true of a head that looks at the previous token: that the model *uses*
# what it fetches there, or that it does not. The observation is the same in both cases. The two part as soon as we **intervene**:
# remove what the head writes and see if the loss changes. An observation asks "what goes together with what?", an intervention
# "what happens if I set this to that?", and only the second says what causes what (Pearl 2009, chapter 3).
#
# A layer's attention output is a sum over heads (chapter 02):
#
# $$ \mathrm{attn\_out} = \sum_h z^{(h)} W_O^{(h)} + b_O . $$
#
# If $z^{(h)}$ is set to zero, exactly one term disappears, and everything after it runs on as if the head did not exist. That is
# **zero ablation**, and it is the same as setting $W_O^{(h)} = 0$ ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html), "Attention heads are independent and
# additive"). The hook sits on `blocks.{l}.attn.hook_z`, where the axes are `[batch pos head d_head]`: mind which is which.
#
# The hook is given a tensor that others may hold as well, for instance a cache of the clean run. So change a copy.

# %%
# exercise 04.3

# %%
check("04.3")

# %% [markdown]
# **Before you run the next cell:** in both models the previous-token head is set to zero. What happens to the loss on
# the second repeat, and on the first?
#
# <details><summary>What to look for</summary>
#
# On the second repeat it rises by several nats: copying is gone. On the first it hardly moves, since there was nothing
# to copy.
#
# </details>

# %%
remove = yours("zero_ablate")


def without(*which: tuple[int, int]) -> list:
    """The hooks that set these heads to zero."""
    return [(f"blocks.{layer}.attn.hook_z", partial(remove, head=head)) for layer, head in which]


# %%
ablated = {name: losses(models[name], prompts[name], without(heads[name][0])) for name in models}

# %% tags=["tell"]
for name, model in models.items():
    clean = losses(model, prompts[name])
    (clean_first, clean_second), (first, second) = (
        (loss[:, :n].mean(), loss[:, n + 1 :].mean()) for loss in (clean, ablated[name])
    )
    say(
        f"**{name}**: without {label(heads[name][0])} the loss on the second repeat goes from {clean_second:.2f} to **{second:.2f}** nats "
        f"({second - clean_second:+.2f}). On the first repeat: {clean_first:.2f} to {first:.2f} ({first - clean_first:+.2f})."
    )

# %% tags=["test"]
for name, model in models.items():
    prev_head, tokens = heads[name][0], prompts[name]
    rise = ablated[name] - losses(model, tokens)
    assert rise[:, n + 1 :].mean() > 1.5, "removing the previous-token head should destroy copying"
    assert rise[:, :n].mean().abs() < rise[:, n + 1 :].mean() / 3, "and do little where nothing can be copied"

    # the identity: the same as the model whose W_O is zero for this head
    weight = model.blocks[prev_head[0]].attn.W_O
    saved = weight.data[prev_head[1]].clone()
    weight.data[prev_head[1]] = 0.0
    by_weight = losses(model, tokens)
    weight.data[prev_head[1]] = saved
    torch.testing.assert_close(by_weight, ablated[name], atol=1e-4, rtol=1e-4)

# %% [markdown]
# One head, out of all, and the ability to copy is gone, while the first repeat hardly notices. That is two findings: the head is
# **necessary** for copying in this model, and it is necessary for *that*, not for everything. Without the second measurement the
# first would say little; a model can also be made worse by being kicked.
#
# Where does the loss rise? Position by position, on the same prompts:


# %% [markdown]
# **Before you run the next cell:** four curves: the whole model; without the previous-token head; without one induction
# head; without all of them. Which lie together on the first repeat (positions 1 to 30), and which on the second?
#
# <details><summary>What to look for</summary>
#
# On the second repeat two pairs: the whole model and "without one induction head" stay near zero, the other two are
# near chance or above it. On the first repeat all four should lie together, near 8.3 nats. In both models one of them
# does not: that is the riddle after the figures.
#
# </details>


# %%
def by_position(name: str) -> dict[str, Tensor]:
    """The mean loss at each position, of the whole model and without some of its heads."""
    prev_head, induction_heads, _ = heads[name]
    removed = {
        "whole model": [],
        f"without {label(prev_head)} (previous token)": [prev_head],
        f"without {label(induction_heads[0])} (one induction head)": induction_heads[:1],
        "without any induction head": induction_heads,
    }
    model, tokens = models[name], prompts[name]
    return {title: losses(model, tokens, without(*some)).mean(0) for title, some in removed.items()}


# %%
positions = list(range(1, 2 * n + 1))
plots.line(
    by_position("attn-only-2l-demo"),
    positions,
    "attn-only-2l-demo: loss by position",
    "position of the predicted token",
    "nats",
)

# %%
plots.line(
    by_position("gpt2-demo"),
    positions,
    "gpt2-demo: loss by position",
    "position of the predicted token",
    "nats",
)

# %% [markdown]
# Removing *one* of several induction heads does far less harm than removing the previous-token head; removing *all* of them does at
# least as much. Hold on to that; section 5 comes back to it.
#
# And look at the left half. The first curves lie on top of each other there, as they should: nothing can be copied, so nothing is
# lost. But "without any induction head" is too high already on the first repeat, above the $\ln 4096 \approx 8.3$ nats of somebody
# who knows nothing; in `gpt2-demo` by more than two nats. To lose *copying* cannot cost anything there. We have taken away something else as well. What?
#
# ## 4. Zero is a value like any other
#
# What does "without the head" mean? Write what a head writes at a position as its average over prompts and the rest:
#
# $$ z = \bar z + (z - \bar z). $$
#
# The rest is its message about *this* prompt. The average $\bar z$ is what it always writes: in effect a bias, which the layers
# after it were trained with. Zero ablation takes both. If the loss then rises, it may be because the message is missing, or
# because a constant is missing that anybody could have supplied; and activations without that constant may be unlike any the
# later layers have seen. **Mean ablation** sets $z = \bar z$ and takes the message only ([Wang et al. 2022](https://arxiv.org/abs/2211.00593), section 2).
#
# The average over *what*? That is part of the question you ask:
#
# - over prompts that differ from yours in the thing you study, and in nothing else. For copying: random tokens *without* a repeat.
#   The head's message then loses "there was a repeat, and it was this token", and keeps all else;
# - **position by position**: what a head writes at position 3 is not what it writes at position 30;
# - never over the prompts under test. With $B$ prompts in the mean, each gets $1/B$ of its own message back;
# - without the padding. Texts have different lengths; where one has ended, its $z$ means nothing.
#
# A small example for the last point. Three reference prompts of lengths 3, 3 and 2 have, in one coordinate of a head at position 2,
# the values 1.0, 2.0 and (padding) 9.0. The mean is $(1+2)/2 = 1.5$. Counting the padding gives 4.0; dividing by three all the same
# gives 1.0.

# %%
# exercise 04.4

# %%
check("04.4")

# %%
replace_by_mean = yours("mean_ablate")


@torch.no_grad()
def hooks_to_mean(model: HookedTransformer, reference: Tensor, which, mask: Tensor | None = None) -> list:
    """The hooks that set these heads to their mean over reference tokens."""
    _, cache = model.run_with_cache(reference, names_filter=lambda name: name.endswith("hook_z"))
    mask = torch.ones_like(reference, dtype=torch.bool) if mask is None else mask
    hooks = []
    for layer, head in which:
        to_mean = partial(replace_by_mean, head=head, reference=cache["z", layer], mask=mask)
        hooks.append((f"blocks.{layer}.attn.hook_z", to_mean))
    return hooks


# %%
def no_repeat(model: HookedTransformer, n: int, batch: int, seed: int) -> Int[Tensor, "b s"]:
    """Random tokens of the same length that do not repeat."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, model.cfg.d_vocab - 1, (batch, 2 * n + 1), generator=generator)
    tokens[:, 0] = model.tokenizer.bos_token_id
    return tokens


def every_head(model: HookedTransformer) -> list[tuple[int, int]]:
    return [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]


# %%
zero_effect, mean_effect = {}, {}
for name, model in models.items():
    tokens, clean = prompts[name], repeat_loss(model, prompts[name])
    to_mean = hooks_to_mean(model, no_repeat(model, n, batch=64, seed=2), every_head(model))
    at_zero = [repeat_loss(model, tokens, without(head)) - clean for head in every_head(model)]
    at_mean = [repeat_loss(model, tokens, [hook]) - clean for hook in to_mean]
    shape = (model.cfg.n_layers, model.cfg.n_heads)
    zero_effect[name] = torch.tensor(at_zero).reshape(shape)
    mean_effect[name] = torch.tensor(at_mean).reshape(shape)

# %% [markdown]
# **Before you run the next cell:** the rise of the loss for each head, once set to zero and once to its mean. Mean
# ablation leaves the constant part of what a head writes where it was. Does it therefore always do less harm?
#
# <details><summary>What to look for</summary>
#
# No. For most heads the two say the same. But the strongest induction head of each model costs about 0.3 nats at zero
# and more than 6 at its mean.
#
# </details>


# %%
def zero_beside_mean(name: str):
    maps = {"set to zero": zero_effect[name], "set to its mean": mean_effect[name]}
    return plots.head_maps(maps, f"{name}: rise of the loss (nats), head by head")


zero_beside_mean("attn-only-2l-demo")

# %%
zero_beside_mean("gpt2-demo")

# %% [markdown]
# The two kinds mostly agree on which heads matter. Where they do not, one learns something. Mean ablation is often called the gentler
# of the two, and often it is; but $\bar z$ is not nothing. Look at the head where the two differ most: at the length of its $z$, at where
# it rests, and at the **entropy** of the model's predictions, which says how sure the model is (0: certain; $\ln 4096 \approx 8.3$ nats:
# no idea which of 4,096 tokens comes).


# %%
@torch.no_grad()
def entropy(model: HookedTransformer, tokens: Tensor, hooks=()) -> float:
    """The mean entropy in nats of the predictions on the second repeat."""
    log_probs = model.run_with_hooks(tokens, fwd_hooks=list(hooks))[:, n + 1 : -1].log_softmax(-1)
    return -(log_probs.exp() * log_probs).sum(-1).mean().item()


# %% tags=["tell"]
for name, model in models.items():
    tokens, reference = prompts[name], no_repeat(model, n, batch=64, seed=2)
    head = divmod(int((mean_effect[name] - zero_effect[name]).abs().argmax()), model.cfg.n_heads)
    with torch.no_grad():
        _, here = model.run_with_cache(tokens)
        _, there = model.run_with_cache(reference)
    z_here = here["z", head[0]][:, n + 1 :, head[1]].norm(dim=-1).mean()
    z_mean = there["z", head[0]][:, n + 1 :, head[1]].mean(0).norm(dim=-1).mean()
    bos_here = here["pattern", head[0]][:, head[1], n + 1 :, 0].mean()
    bos_there = there["pattern", head[0]][:, head[1], n + 1 :, 0].mean()
    say(
        f"**{name}**, {label(head)}: zero {zero_effect[name][head]:+.2f} nats, mean {mean_effect[name][head]:+.2f}. Its z has a mean "
        f"length of {z_here:.1f} on the second repeat; $\\bar z$ has one of {z_mean:.1f}. On prompts without a repeat it gives "
        f"{bos_there:.0%} of its attention to BOS; on ours {bos_here:.0%}. Entropy of the predictions: whole model "
        f"{entropy(model, tokens):.1f}, head at zero {entropy(model, tokens, without(head)):.1f}, **head at its mean "
        f"{entropy(model, tokens, hooks_to_mean(model, reference, [head])):.1f}**; on prompts without a repeat "
        f"{entropy(model, reference):.1f}."
    )

# %% [markdown]
# A head that has found nothing must still look somewhere (a softmax sums to one), and often rests on BOS. What it fetches there is a
# constant, its *resting message*, and it can be a loud one. When $\bar z$ holds it, mean ablation does not fall silent: it says "no repeat
# here" on a prompt with a repeat. The closer the entropy at the mean comes to that on prompts without any repeat, the more the model
# has believed it, while with the same head at *zero* the other heads still get their word in. So neither ablation is the right one. They answer two
# questions: "what if this head did not exist?" and "what if it behaved as on other prompts?". State which one you asked. (A third
# choice, *resample ablation*, takes one other prompt's value instead of a mean, so that the replacement is one that really occurs:
# [Chan et al. 2022](https://www.alignmentforum.org/posts/JvZhhzycHu2Yd57RN/causal-scrubbing-a-method-for-rigorously-testing).
# [Zhang and Nanda 2023](https://arxiv.org/abs/2309.16042) show how such choices change conclusions.)
#
# With that, the riddle of the left half is solved too. On the first repeat an induction head has nothing to say *but* its resting
# message, and zero takes that away; the mean keeps it. All induction heads at once, on the first repeat only:

# %%
first_repeat = {}
for name, model in models.items():
    induction_heads, tokens = heads[name][1], prompts[name]
    to_mean = hooks_to_mean(model, no_repeat(model, n, batch=64, seed=2), induction_heads)
    interventions = {"whole": [], "at zero": without(*induction_heads), "at their means": to_mean}
    first_repeat[name] = {
        what: losses(model, tokens, hooks)[:, :n].mean() for what, hooks in interventions.items()
    }

# %% tags=["tell"]
for name, model in models.items():
    loss, reference = first_repeat[name], no_repeat(model, n, batch=64, seed=2)
    copying = repeat_loss(model, prompts[name], hooks_to_mean(model, reference, heads[name][1]))
    say(
        f"**{name}**, first repeat: whole model {loss['whole']:.2f} nats, induction heads at zero **{loss['at zero']:.2f}**, at their means "
        f"**{loss['at their means']:.2f}**. (At their means the second repeat costs {copying:.2f}: copying is gone, and only copying.)"
    )

# %% tags=["test"]
for name, model in models.items():
    assert abs(first_repeat[name]["at their means"] - first_repeat[name]["whole"]) < 0.3
    to_mean = hooks_to_mean(model, no_repeat(model, n, batch=64, seed=2), heads[name][1])
    assert repeat_loss(model, prompts[name], to_mean) > repeat_loss(model, prompts[name]) + 1.5

# %% [markdown]
# ## 5. Every head in turn
#
# A table of all heads is the standard first figure of any circuit analysis. Three things make it correct:
#
# - the baseline is measured once, on the *whole* model, before any hook is attached;
# - one head at a time: if hooks pile up, the last entries are measured on a ruin;
# - in Python, a function made in a loop looks up the loop's variable when it *runs*. Bind it when you make it:
#
# ```python
# hooks = [lambda: head for head in range(3)]        # three functions, all of which return 2
# hooks = [partial(f, head=head) for head in range(3)]   # as meant
# ```
#
# And the loss is taken where the behaviour is. On the first repeat the model guesses; averaging over both halves would add
# predictions to which copying cannot matter, and blur what is measured. With $L$ the mean loss on the second repeat,
#
# $$ \mathrm{score}(l, h) = L\big(z^{(l,h)} := 0\big) - L . $$

# %%
# exercise 04.5

# %%
check("04.5")

# %%
scores_of = yours("ablation_scores")
ablation = {name: scores_of(models[name], prompts[name]).detach() for name in models}
plots.head_map(ablation["attn-only-2l-demo"], "attn-only-2l-demo: rise of the loss without each head (nats)")

# %% tags=["test"]
for name in models:  # the same numbers as in section 4, by another road
    torch.testing.assert_close(ablation[name], zero_effect[name], atol=1e-3, rtol=1e-3)

# %%
plots.head_map(ablation["gpt2-demo"], "gpt2-demo: rise of the loss without each head (nats)")

# %% [markdown]
# ### What heads look like and what they are worth
#
# Now lay the observation beside the intervention: each head's induction score (does it *look* at the right token?) against the rise of
# the loss without it (is it *needed*?). If looking were all, the points would lie on a rising line.


# %% [markdown]
# **Before you run the next cell:** one point per head: to the right, how well it looks like an induction head; upwards,
# what the model loses without it. Where do you expect the previous-token head? And the induction heads?
#
# <details><summary>What to look for</summary>
#
# The previous-token head is the point at the top left: no induction stripe, and the largest loss, 8 nats. The induction
# heads lie far to the right, but low: each of them alone can be spared. If looks were worth, all points would lie along
# a rising line.
#
# </details>


# %%
def looks_and_worth(name: str):
    return plots.scatter(
        heads[name][2].flatten(),
        ablation[name].flatten(),
        [label(head) for head in every_head(models[name])],
        f"{name}: what heads look like, and what they are worth",
        "induction score (where it looks)",
        "rise of the loss without it (nats)",
    )


looks_and_worth("attn-only-2l-demo")

# %%
looks_and_worth("gpt2-demo")

# %% tags=["tell"]
for name in models:
    prev_head, induction_heads, induction = heads[name]
    r = torch.corrcoef(torch.stack([induction.flatten(), ablation[name].flatten()]))[0, 1]
    best_looking = max(induction_heads, key=lambda head: float(induction[head]))
    say(
        f"**{name}**: correlation of the two {r:+.2f}. {label(prev_head)} has an induction score of {induction[prev_head]:.2f}, "
        f"and costs {ablation[name][prev_head]:.2f} nats; the best-looking induction head, {label(best_looking)}, costs "
        f"{ablation[name][best_looking]:.2f}."
    )

# %% tags=["test"]
for name, (prev_head, _, induction) in heads.items():
    assert induction[prev_head] < 0.2
    assert ablation[name][prev_head] > 1.5

# %% [markdown]
# The pattern-based score misses the previous-token head entirely: it never looks at the token to be copied. Its work is done one layer
# earlier. It writes "the token before me was ..." into each position, and the induction heads *search* for that note (K-composition:
# [Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/index.html); [Olsson et al. 2022](https://arxiv.org/abs/2209.11895)). If that story is right, removing it must blind the induction heads, and this we can watch: the
# intervention is in one layer, the measurement in a later one.


# %% [markdown]
# **Before you run the next cell:** the previous-token head of layer 0 is set to zero. What does the attention pattern
# of an induction head, in a later layer, look like then?
#
# <details><summary>What to look for</summary>
#
# The stripe on the second repeat is gone: the mean induction score falls from more than 0.8 to 0.03. The head still
# attends, since a softmax must, but it no longer finds the place.
#
# </details>


# %%
@torch.no_grad()
def patterns_with(model: HookedTransformer, tokens: Tensor, hooks) -> Float[Tensor, "l b h q k"]:
    with model.hooks(fwd_hooks=hooks):
        return patterns(model, tokens)


blinded = {}  # all induction scores, without the previous-token head
for name, model in models.items():
    blinded[name] = induction_scores(patterns_with(model, prompts[name], without(heads[name][0])), n)

# %% tags=["tell"]
for name, (prev_head, induction_heads, induction) in heads.items():
    before_mean, after_mean = (
        torch.stack([scores[head] for head in induction_heads]).mean()
        for scores in (induction, blinded[name])
    )
    say(
        f"**{name}**: mean score of the induction heads {before_mean:.2f} with {label(prev_head)}, **{after_mean:.2f}** without it."
    )

# %% tags=["test"]
for name, (_, induction_heads, induction) in heads.items():
    assert sum(blinded[name][h] for h in induction_heads) < 0.6 * sum(induction[h] for h in induction_heads)

# %%
model = models["attn-only-2l-demo"]
short = repeated(model, 8, batch=1, seed=3)
prev_head, induction_heads, induction = heads["attn-only-2l-demo"]
strongest = max(induction_heads, key=lambda head: float(induction[head]))
with_it = patterns_with(model, short, [])[strongest[0], 0, strongest[1]]
without_it = patterns_with(model, short, without(prev_head))[strongest[0], 0, strongest[1]]
words = model.to_str_tokens(short[0])
plots.attention(
    words,
    torch.stack([with_it, without_it]),
    [f"{label(strongest)}, whole model", f"{label(strongest)}, without {label(prev_head)}"],
)

# %% [markdown]
# The stripe is gone. That is a **causal** chain in two links: previous-token head → where the induction heads look → the loss.
#
# ### When the parts can stand in for each other
#
# Now the other surprise of the line plots. Single effects need not add up:

# %% [markdown]
# **Before you run the next cell:** add up what each induction head costs by itself, and compare it with what they cost
# when all are removed at once. Which is more?
#
# <details><summary>What to look for</summary>
#
# Far more together, in both models: 0.6 and 1.6 nats as the sum of the single effects, more than 8 all at once. Each of
# them can stand in for the others. (Less together would mean that each alone already breaks the mechanism, which cannot
# be broken twice.)
#
# </details>

# %%
singly, together = {}, {}
for name, model in models.items():
    induction_heads, tokens = heads[name][1], prompts[name]
    singly[name] = sum(float(ablation[name][head]) for head in induction_heads)
    together[name] = repeat_loss(model, tokens, without(*induction_heads)) - repeat_loss(model, tokens)

# %% tags=["tell"]
for name in models:
    verdict = (
        "more together than one by one: they can stand in for each other"
        if together[name] > 1.2 * singly[name]
        else "about as much together as one by one"
        if together[name] > 0.8 * singly[name]
        else "less together than the sum of the single effects: each of them alone already breaks the mechanism"
    )
    say(
        f"**{name}**: the {len(heads[name][1])} induction heads one by one: {singly[name]:.2f} nats in total. All at once: "
        f"**{together[name]:.2f}**. They are worth {verdict}."
    )

# %% tags=["test"]
assert min(together.values()) > 1.5

# %% [markdown]
# An ablation measures what is lost when the part is gone *and everything else is still there*. If three other heads do the same job,
# the loss hardly moves, and the table says "unimportant" about each of four heads that are indispensable together. So:
#
# - **a large effect is evidence** that the part is used;
# - **a small effect is not evidence that it is not.** It may have understudies. In larger models later layers even step in for an ablated
#   one ([McGrath et al. 2023](https://arxiv.org/abs/2307.15771), *The Hydra Effect*; the "backup name movers" of
#   [Wang et al. 2022](https://arxiv.org/abs/2211.00593)).
#
# ### Worth for what?
#
# A score belongs to a behaviour on a set of prompts, not to a head. The same model, the same heads, and now ordinary little stories
# instead of random tokens: mean ablation, with other stories as the reference. They have different lengths, so here the mask works.

# %%
model = models["gpt2-demo"]
story_tokens = model.to_tokens(list(documents(60, seed=5)))
real = infer_mask(story_tokens, model.tokenizer.pad_token_id, "right").bool()
width = min(int((real[20:].sum(0) >= 8).sum()), model.cfg.n_ctx)  # where 8 reference texts still go on
story_tokens, real = story_tokens[:, :width], real[:, :width]
tested, reference = story_tokens[:20], story_tokens[20:]


@torch.no_grad()
def story_loss(hooks=()) -> float:
    return model.run_with_hooks(
        tested, fwd_hooks=list(hooks), return_type="loss", attention_mask=real[:20].long()
    ).item()


# %% [markdown]
# **Before you run the next cell:** the same heads of `gpt2-demo`, once on repeated random tokens and once on stories,
# in the same colours. What changes?
#
# <details><summary>What to look for</summary>
#
# The induction heads of layer 4 all but vanish: together 8.1 nats on repeated tokens and 0.3 on stories. The
# previous-token head goes from 8.2 to 2.5: stories need what it fetches, too, for something else than copying.
#
# </details>

# %%
to_mean = hooks_to_mean(model, reference, every_head(model), real[20:])
story_clean = story_loss()
story_effect = torch.tensor([story_loss([hook]) - story_clean for hook in to_mean])
story_effect = story_effect.reshape(model.cfg.n_layers, model.cfg.n_heads)
plots.head_maps(
    {"on repeated tokens": mean_effect["gpt2-demo"], "on stories": story_effect},
    "gpt2-demo: rise of the loss with each head at its mean (nats)",
)

# %% tags=["tell"]
on_repeats, prev_head, induction_heads = mean_effect["gpt2-demo"], *heads["gpt2-demo"][:2]
say(
    f"Loss on stories: {story_clean:.2f} nats. One by one at their means, the induction heads cost "
    f"{sum(float(on_repeats[head]) for head in induction_heads):.2f} nats in total on repeated tokens, and "
    f"**{sum(float(story_effect[head]) for head in induction_heads):.2f}** on stories. The previous-token head {label(prev_head)} costs "
    f"{on_repeats[prev_head]:.2f} on repeated tokens and **{story_effect[prev_head]:.2f}** on stories."
)

# %% [markdown]
# Same heads, another table, and another scale: in a story most of the next word follows from grammar, little from copying. "Head
# so-and-so is important" is half a sentence; the other half is "for this, on these prompts, against that baseline".
#
# ## 6. Cutting a single edge
#
# A head is a coarse knife: it works at every position. The information moves along **edges**, from one key position to one query
# position, and an edge can be cut by itself (*attention knockout*: [Geva et al. 2023](https://arxiv.org/abs/2304.14767), section 4). Before the softmax, set its score to
# $-\infty$; then
#
# $$ A'_{qk} = \begin{cases} 0 & k = k^* \\[2pt] \dfrac{A_{qk}}{1 - A_{qk^*}} & \text{otherwise,} \end{cases} $$
#
# because the exponential of the missing score is 0 and the normalisation shares out the rest. A row $(0.7, 0.2, 0.1)$ whose first edge is
# cut becomes $(0, \tfrac23, \tfrac13)$. Whoever sets the entry to zero *after* the softmax gets $(0, 0.2, 0.1)$, which sums to 0.3: the head
# is cut and also turned down to a third, two interventions in one. And a score of $0$ is not "no attention": $e^0 = 1$.
#
# Two details. Use $-\infty$ and not a number like $-10^5$: if the row's other scores are lower still, the edge comes back with all the
# attention. And the first query sees only itself; without that edge nothing is left, the softmax is $0/0$, and a NaN spreads through the
# model. Better an error on the spot. (Padding does the same at other queries: in a prompt padded on the left, the first real token sees
# itself and nothing else.)

# %%
# exercise 04.6

# %%
check("04.6")

# %% [markdown]
# Now a prediction that is worth making *before* looking. Take one position $p$ in the first repeat. The note "the token before me was
# $t_p$" is written at position $p+1$, by the edge $p+1 \to p$ of the previous-token head.
#
# **Before you run the next cells:** we cut that one edge, in that one head. At which positions of the prompt does the loss rise?
#
# <details><summary>What to look for</summary>
#
# The note is read in one place only: when $t_p$ comes again, at position $p+n$, and the model has to predict $t_{p+1}$. So the loss should
# rise at **one position of the whole prompt**, the prediction made at $p+n$, that is, of the token at position $p+n+1$.
#
# </details>

# %%
cut = yours("knock_out_edge")
p = 12


def cut_hook(head: tuple[int, int], query: int, key: int):
    """The hook that takes one edge out of one head."""
    return (f"blocks.{head[0]}.attn.hook_attn_scores", partial(cut, head=head[1], query=query, key=key))


# %%
rise = {}
for name, model in models.items():
    edge = cut_hook(heads[name][0], p + 1, p)
    rise[name] = (losses(model, prompts[name], [edge]) - losses(model, prompts[name])).mean(0)
plots.line(
    rise,
    positions,
    f"One edge less, {p + 1} → {p}: rise of the loss",
    "position of the predicted token",
    "nats",
)

# %% tags=["tell"]
for name in models:
    others = torch.cat([rise[name][: p + n], rise[name][p + n + 1 :]])
    say(
        f"**{name}**: without the edge {p + 1} → {p} of {label(heads[name][0])} the loss at position {p + n + 1} rises by "
        f"**{rise[name][p + n]:.2f}** nats; the largest change anywhere else is {others.abs().max():.2f}."
    )

# %% tags=["test"]
for name in models:
    assert int(rise[name].argmax()) == p + n, "the spike is where it was predicted"
    assert rise[name][: p + 1].abs().max() < 1e-4, "nothing before the cut can change"

# %% [markdown]
# One number out of thousands in the pattern, changed in the *first* half of the prompt, and one prediction fails in the *second*. It is
# hard to think of a sharper confirmation of how the mechanism works. The same cut as the attention sees it: the previous-token head before and
# after, and then the induction head, whose row at the second occurrence loses its target.

# %%
model, (prev_head, _, _) = models["attn-only-2l-demo"], heads["attn-only-2l-demo"]
p_short, n_short = 3, 8
edge = cut_hook(prev_head, p_short + 1, p_short)
shown, names = [], []
for title, hooks in (("whole model", []), (f"without {p_short + 1} → {p_short}", [edge])):
    every = patterns_with(model, short, hooks)
    for head in (prev_head, strongest):
        shown.append(every[head[0], 0, head[1]])
        names.append(f"{label(head)}, {title}")
plots.attention(words, torch.stack(shown), names)

# %% tags=["tell"]
row = p_short + n_short
say(
    f"{label(strongest)} looks from the second {words[p_short]!r} (position {row}) to position {p_short + 1} with weight "
    f"{shown[1][row, p_short + 1]:.2f}; with the edge cut one layer below, with {shown[3][row, p_short + 1]:.2f}. The cut row of "
    f"{label(prev_head)} still sums to {shown[2][p_short + 1].sum():.2f}."
)

# %% tags=["test"]
assert shown[2][p_short + 1, p_short] == 0
assert abs(float(shown[2][p_short + 1].sum()) - 1) < 1e-4

# %% [markdown]
# ## 7. The slope instead of the step
#
# Ablating each of $L \cdot H$ heads takes $L \cdot H$ runs; each neuron or each edge, far more. A gradient takes one backward pass for *all*
# of them. A **backward hook** is called with $\partial L / \partial a$, which has the shape of the activation $a$: one slope for each number,
# for each prompt. By the chain rule it passes backwards through the same places. For example
#
# $$ \frac{\partial L}{\partial z^{(h)}} = \frac{\partial L}{\partial\, \mathrm{attn\_out}} \, W_O^{(h)\top}, \qquad
# \frac{\partial L}{\partial A_{qk}} = \frac{\partial L}{\partial z_q} \cdot v_k, $$
#
# which is also how the check tests your answer: with no hook at all.
#
# Order matters. The hook must still be attached when `.backward()` runs, and `run_with_hooks` has taken it away by then: use
# `with model.hooks(bwd_hooks=[...])` around both. And leave the model as you found it: `.backward()` also fills the `.grad` of every
# parameter, which the next optimizer step would use.

# %%
# exercise 04.7

# %%
check("04.7")

# %% [markdown]
# What is it good for? To first order, scaling a head's output to $(1-\varepsilon)\, z$ changes the loss by
#
# $$ \Delta L \approx -\varepsilon \sum z \cdot \frac{\partial L}{\partial z}, $$
#
# and $\varepsilon = 1$ is zero ablation ([Michel et al. 2019](https://arxiv.org/abs/1905.10650) rank heads this way). Compare that forecast with what really happens, for
# a small step and for the full one. The loss here is the mean over the whole prompt, which is what `gradient_hook` differentiates.

# %%
gradient_at = yours("gradient_hook")


def forecast_of(name: str, epsilon: float) -> Tensor:
    """The change of the mean loss when a head is scaled by 1 - epsilon, as the gradient says; one number per head."""
    model, tokens = models[name], prompts[name]
    _, cache = model.run_with_cache(tokens)
    changes = []
    for layer in range(model.cfg.n_layers):
        gradient = gradient_at(model, tokens, f"blocks.{layer}.attn.hook_z")
        changes.append(-epsilon * (gradient * cache["z", layer]).sum((0, 1, 3)).detach())
    return torch.cat(changes)


# %%
def scale_head(z, hook, head, factor):
    return torch.cat([z[:, :, :head], factor * z[:, :, head : head + 1], z[:, :, head + 1 :]], dim=2)


def truth_of(name: str, epsilon: float) -> Tensor:
    """The same change, measured: one run per head."""
    model, tokens = models[name], prompts[name]
    clean, changes = losses(model, tokens).double().mean(), []
    for layer, head in every_head(model):
        hook = (f"blocks.{layer}.attn.hook_z", partial(scale_head, head=head, factor=1 - epsilon))
        changes.append(losses(model, tokens, [hook]).double().mean() - clean)
    return torch.stack(changes).float()


# %% [markdown]
# **Before you run the next cell:** a point per head, the gradient's forecast of zero ablation against what happens. For
# scaling by one percent the points lie on the diagonal. And for the whole step?
#
# <details><summary>What to look for</summary>
#
# The forecasts all lie near zero, the measured effects do not: heads whose removal costs nats are forecast to cost next
# to nothing, some with the wrong sign. Read the two axes' scales.
#
# </details>

# %%
results = {
    (name, epsilon): (forecast_of(name, epsilon), truth_of(name, epsilon))
    for name in models
    for epsilon in (0.01, 1.0)
}
forecast, truth = results["attn-only-2l-demo", 1.0]
plots.scatter(
    forecast,
    truth,
    [label(head) for head in every_head(models["attn-only-2l-demo"])],
    "attn-only-2l-demo: zero ablation, forecast by the gradient and measured",
    "forecast (nats)",
    "measured (nats)",
)

# %% tags=["tell"]
for (name, epsilon), (forecast, truth) in results.items():
    worst = int((forecast - truth).abs().argmax())
    say(
        f"**{name}**, ε = {epsilon}: worst forecast for {label(every_head(models[name])[worst])}: {forecast[worst]:+.5f} nats forecast, "
        f"{truth[worst]:+.5f} true. Correlation over heads: {torch.corrcoef(torch.stack([forecast, truth]))[0, 1]:+.3f}."
    )

# %% tags=["test"]
for name in models:
    forecast, truth = results[name, 0.01]
    assert (forecast - truth).abs().max() < 0.1 * truth.abs().max() + 1e-5, "a small step follows the slope"

# %% [markdown]
# For one percent the forecast is right; for the whole step it can be wrong by orders of magnitude, even in sign. The reason is
# **saturation**. On the second repeat the model gives the right token a probability near 1; the gradient of the loss with respect to
# a logit is $p - 1 \approx 0$; so *at this point* nothing seems to matter, although taking the head away throws the model off the
# plateau altogether. It is the same for a head whose softmax is saturated. A slope tells of the neighbourhood only.
#
# Gradients are for finding candidates among very many; interventions are for believing it. (Chapter 06 uses gradient × difference as
# *attribution patching*, and checks it against the real thing. There the metric is a logit difference, which does not flatten out as
# the loss does, and that is one good reason to prefer it.)
#
# ## 8. A bigger model, if it is at hand
#
# The same code on GPT-2 small (12 layers of 12 heads), when this machine has it. Otherwise this cell says so and nothing is missing.

# %%
try:
    big = HookedTransformer.from_pretrained("gpt2-small")
except (ConnectionError, OSError):
    big = None
    print("gpt2-small is not on this machine; load it once with a network and run this cell again.")
if big is not None:
    tokens = repeated(big, 20, batch=2, seed=1)
    big_scores = scores_of(big, tokens).detach()
    top = [divmod(int(i), big.cfg.n_heads) for i in big_scores.flatten().topk(5).indices]
    print("most costly heads:", ", ".join(f"{label(h)} {big_scores[h]:+.2f}" for h in top))
    display(plots.head_map(big_scores, "gpt2-small: rise of the loss on the second repeat (nats)"))

# %% [markdown]
# ## What you now know
#
# - A hook point is a named identity; a hook reads (returns `None`) or replaces. What makes hooks safe is dull and essential: exact
#   names, `try/finally`, remove only what you added.
# - Measuring with a hook costs the memory of the *result*. Take the layer from the hook point; detach.
# - **Zero ablation** removes a term of the residual sum; **mean ablation** removes the message and keeps the habit. They ask different
#   questions; the reference prompts and the metric are part of the question.
# - Attention patterns are observations. The previous-token head has no induction stripe and copying dies without it; several heads with
#   perfect stripes may each be dispensable.
# - A large effect shows that a part is used. A small one does not show that it is not: redundancy hides it.
# - An edge is cut before the softmax. One edge of one head can be traced to one prediction.
# - A gradient forecasts all small interventions at once, and misleads for large ones where the loss is saturated.

# %% [markdown]
# ## Questions
#
# **1.** You ablate a head and the loss *falls*. Give two explanations.
#
# <details><summary>Answer</summary>
#
# The head's message is wrong on these prompts: it was learned for other texts and misleads here. Or the head holds
# other heads back, as one that makes the model less sure does, and on these prompts being surer is rewarded. And before
# explaining anything: is the fall larger than the scatter between prompts?
#
# </details>
#
# **2.** Design a reference set that would make mean ablation of the induction heads *harmless*, and say why that would
# be cheating.
#
# <details><summary>Answer</summary>
#
# The tested prompt itself, or any prompts with the same tokens in the same places. The mean then *is* the head's
# message on this prompt, so the ablation puts back what it claims to remove. Every head would look harmless, whatever
# it does.
#
# </details>
#
# **3.** Cutting the edge $p+1 \to p$ in the previous-token head and cutting $p+n \to p+1$ in all induction heads give
# nearly the same curve. What measurement would tell the two cuts apart?
#
# <details><summary>Answer</summary>
#
# Anything at position $p+1$: for instance the induction heads' keys there, or the previous-token head's $z$. The first
# cut changes them. The second leaves every activation before position $p+n$ exactly as it was.
#
# </details>
#
# **4.** A head costs 0.02 nats when it is ablated. "So the model does not use it." Which two measurements do you ask
# for first?
#
# <details><summary>Answer</summary>
#
# Ablate it *together* with other heads that could do the same (a small single effect may mean an understudy), and
# measure on other prompts or another behaviour (an effect belongs to a behaviour, not to a head).
#
# </details>
#
# **5.** Why can the gradient be nearly zero for a head whose removal costs several nats?
#
# <details><summary>Answer</summary>
#
# A slope tells of the neighbourhood only. Where the right token already has a probability near 1, the loss is flat in
# every direction: its gradient by a logit is $p - 1 \approx 0$. The full step leaves that plateau, which no slope on it
# can foresee.
#
# </details>

# %% [markdown]
# ## References
#
# - [Elhage et al. (2021)](https://transformer-circuits.pub/2021/framework/index.html), *A Mathematical Framework for Transformer Circuits*: heads as
#   independent additive terms; K-composition.
# - [Olsson et al. (2022)](https://arxiv.org/abs/2209.11895), *In-context Learning and Induction Heads*: ablations of induction heads during training and
#   after it.
# - [Wang et al. (2022)](https://arxiv.org/abs/2211.00593), *Interpretability in the Wild*, section 2 (mean ablation) and section 3 (backup heads).
# - [Michel, Levy and Neubig (2019)](https://arxiv.org/abs/1905.10650), *Are Sixteen Heads Really Better than One?*: ablating heads, and the gradient as a
#   forecast.
# - [Geva et al. (2023)](https://arxiv.org/abs/2304.14767), *Dissecting Recall of Factual Associations in Auto-Regressive Language Models*, section 4:
#   attention knockout.
# - [Chan et al. (2022)](https://www.alignmentforum.org/posts/JvZhhzycHu2Yd57RN/causal-scrubbing-a-method-for-rigorously-testing), *Causal Scrubbing*:
#   resampling in place of zeros and means.
# - [McGrath et al. (2023)](https://arxiv.org/abs/2307.15771), *The Hydra Effect*: layers that step in for ablated ones.
# - [Zhang and Nanda (2023)](https://arxiv.org/abs/2309.16042), *Towards Best Practices of Activation Patching in Language Models*: what metric and
#   replacement change.
# - Pearl (2009), *Causality*, chapter 3: seeing and doing.
