# ruff: noqa: F401
# %% [markdown]
# # 00 Tokens
#
# A language model never sees text. It is a function from a list of integers to numbers: for a sequence of token ids
# $t_0, t_1, \dots, t_{s-1}$ it gives, at every position, a probability for each id that might come next,
#
# $$ p(t_{i+1} \mid t_0, \dots, t_i). $$
#
# Everything that you will find inside the model later, every head that copies a name and every direction that means
# something, is about *these integers and their positions*. So an honest study of transformers begins with how text
# becomes integers, and with the places where that goes wrong quietly: a name that is two tokens, a position that is
# off by one, a mask that hides the first token. Such mistakes raise no error. They just make a heatmap that means
# something else than you think.
#
# In this chapter you write
#
# 1. a **vocabulary** of characters, and the function that encodes with it;
# 2. **byte-pair encoding**: the algorithm behind GPT-2's tokenizer, learning and applying;
# 3. three small tools that every later experiment leans on: the id of a word, a padded batch, a token's position.
#
# **How it works.** Write each answer in its cell here, or in `exercises/ch00_tokens.py`; then run the check below it. When
# an answer is wrong, the check tries to tell you *which mistake* it is. `hint("00.1")` helps step by step,
# `solution("00.1")` gives it away. Allow about an hour.

# %%
import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

import cleanlens
from cleanlens import plots
from cleanlens.course import check, hint, solution, yours
from cleanlens.training.corpus import documents

BOS = "<|endoftext|>"
PAD = 0

# %% [markdown]
# ## 1 The simplest tokenizer: one character, one number
#
# To turn text into integers we need a **vocabulary**: a list of symbols, each with its own number. The simplest choice
# is the characters. Two dictionaries hold it, `stoi` from symbol to id and `itos` back; they undo each other:
#
# $$ \mathrm{itos}[\mathrm{stoi}[c]] = c \quad\text{for every symbol } c. $$
#
# One symbol is not a character: **BOS**, the *beginning of sequence*, written `<|endoftext|>` in GPT-2's family. It gets the
# id 0 here. GPT-2 uses the same symbol for the end of a document and for padding; that economy will bite in section 5.
#
# The numbering is arbitrary, but once a model is trained with it, it is part of the model: row $i$ of the embedding
# matrix *is* what the model knows of symbol $i$. A numbering that comes out differently tomorrow makes the weights
# worthless. That is why the exercise asks for a fixed order. (Try `python -c "print(list(set('abc')))"` a few times.)

# %%
# exercise 00.1

# %%
check("00.1")

# %% [markdown]
# ## 2 Encoding, and what BOS is for
#
# Encoding is now looking up. Only BOS deserves thought. Why put a symbol in front of every text?
#
# - **A place for the first prediction.** Without BOS nothing predicts the first real token: the model would need a
#   prediction from an empty list. With it, position 0 predicts token 1, and so on.
# - **A place to rest.** The attention weights of a head sum to one at every position, so a head that has found nothing
#   must still look *somewhere*. Trained models put that attention on the first token, whose value vector they learn to
#   make harmless. [Xiao et al. 2023](https://arxiv.org/abs/2309.17453) (section 3) show how badly a
#   model fares when the sink is taken away. In GPT-2 it is a bright first column in most attention patterns; small
#   models that read short texts, like those of this course, need it less, but they too miss it when it is hidden
#   (section 5).
# - **What the model saw in training.** A model trained with BOS and used without it (or the other way round) is
#   used outside of what it knows. The loss of GPT-2 on a text depends visibly on it.
#
# So BOS goes in exactly once, as an **id**. Prepending the *text* `"<|endoftext|>"` to the string is the classic slip: a character
# vocabulary reads it as thirteen characters, and a tokenizer that adds BOS by itself makes two of it.

# %%
# exercise 00.2

# %%
check("00.2")

# %% [markdown]
# ## 3 Byte-pair encoding
#
# Characters make long sequences, and length is what attention pays for: every position looks at every earlier one,
# so the cost grows with $s^2$. Words would make short sequences, but an endless vocabulary, and a word that was not in
# the training data would have no id at all. **Byte-pair encoding** (BPE) is the compromise that won: begin with characters
# and let the data decide which pieces deserve a number of their own. [Sennrich, Haddow and Birch
# 2016](https://arxiv.org/abs/1508.07909) (section 3.2) brought it from data compression to translation; GPT-2 ([Radford et al.
# 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf), section 2.2)
# runs it on bytes, so that no text is ever out of vocabulary.
#
# **Learning.** Cut the text into characters. Then repeat $n$ times:
#
# 1. count each pair of neighbouring pieces;
# 2. take the most frequent, $\displaystyle (a, b) = \arg\max_{(x,y)} \#(x, y)$;
# 3. write down the *merge* $(a, b)$, and replace each $a\,b$ in the text by the one piece $ab$.
#
# Here are the first merges of a short text, with the text as it stands after each:
#
# | merge | text |
# |---|---|
# | | `t h e _ c a t _ i n _ t h e _ h a t` |
# | `a`+`t` | `t h e _ c at _ i n _ t h e _ h at` |
# | `e`+`_` | `t h e_ c at _ i n _ t h e_ h at` |
# | `h`+`e_` | `t he_ c at _ i n _ t he_ h at` |
# | `t`+`he_` | `the_ c at _ i n _ the_ h at` |
#
# (At the start `at`, `th`, `he` and `e_` hold two places each. To make the result the same everywhere, the pair that *sorts
# first* wins a tie. In Python, tuples of strings compare in the right way by themselves.)
#
# **A subtlety.** What is the count of `(a, a)` in `aaa`? There are two neighbouring pairs, but they share a letter:
# a merge, going from left to right, replaces one and leaves an `a` over. Count what a merge would replace: one. This makes
# an identity that you may use: *a merge shortens the text by exactly its count*.
#
# **Applying.** A new text is cut into characters, and the merges are applied *in the order in which they were learned*,
# each over the whole text. The order is the algorithm: it rebuilds pieces just as they were built in training. Taking the
# longest piece that fits looks like the same thing and is not. With the merges `b+c`, `a+b`, `ab+c`, the text `abc` becomes
# `a`, `bc`, because `b+c` comes first, although `abc` could be a piece.

# %%
# exercise 00.3

# %%
check("00.3")

# %% [markdown]
# ### What merges buy
#
# The models that come with this course read a **toy world** of little stories with a vocabulary of 4,096: BOS, the 256
# bytes, and 3,839 merges. They were learned from such stories and from a list of some 1,600 everyday words, so that a
# sentence of your own falls into words and not into letters. Here is their tokenizer, and one of the stories.

# %%
path = Path(cleanlens.__file__).parent / "models" / "attn-only-2l-demo" / "tokenizer.json"
tokenizer = Tokenizer.from_file(str(path))
texts = list(documents(200, seed=0))
print(texts[0])

# %% [markdown]
# Let us cut the same texts with only the first $n$ of those merges and count how many tokens a character costs.


# %%
def tokens_per_character(n: int) -> float:
    """What the texts cost when the tokenizer has its first `n` merges only."""
    data = json.loads(tokenizer.to_str())
    data["model"]["merges"] = data["model"]["merges"][:n]
    shorter = Tokenizer.from_str(json.dumps(data))
    return sum(len(shorter.encode(text).ids) for text in texts) / sum(map(len, texts))


# %% [markdown]
# **Before you run the next cell:** without any merge every character is a token, so the curve begins at 1. Which of the
# 3,839 merges make it fall, the first hundreds or the last thousands? Where do you think it ends?
#
# <details><summary>What to look for</summary>
#
# The first 200 merges, the common syllables and short words, halve the length. The last two thousand hardly change it. It
# ends at 0.26 tokens per character: a token of these stories is about four characters long.
#
# </details>

# %%
n_merges = [0, 25, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 3839]
cost = [tokens_per_character(n) for n in n_merges]
plots.line(
    cost,
    x=n_merges,
    title="A few merges do most of the work",
    x_label="merges in use",
    y_label="tokens per character",
)

# %% tags=["test"]
assert cost[0] == 1
assert 0.45 < cost[n_merges.index(200)] < 0.55, "200 merges halve the length"
assert cost[n_merges.index(2000)] - cost[-1] < 0.03, "the last ones hardly change it"
assert round(cost[-1], 2) == 0.26

# %% [markdown]
# What the late merges do is to spell out rarer words. GPT-2, for all of English and more, stops at 50,257 entries. There is a
# price on the other side: every entry needs a row in the embedding matrix and a column in the unembedding, and a row that is
# seldom seen is seldom trained.
#
# How seldom? Words follow a power law, and so do tokens: the frequency of the $r$-th most frequent falls roughly like $1/r$
# (Zipf's law), a straight line when both axes are logarithmic. In the toy world, whose grammar was written by hand, the law is
# bent, but the imbalance is there.
#
# **Before you run the next cell:** 200 stories are about 10,000 tokens. What will the most frequent token be? How many tokens
# of the 4,096 do you expect to occur in them at all, and how many of those only once?
#
# <details><summary>What to look for</summary>
#
# The most frequent token is the full stop, then ` the` and ` and`; the first ten of them make up almost a third of the text.
# Some 1,200 tokens occur, more than a quarter of them once: the flat end at the bottom right. Two thirds of the vocabulary never
# turn up here.
#
# </details>

# %%
counts = Counter(id for text in texts for id in tokenizer.encode(text, add_special_tokens=False).ids)
ranked = counts.most_common()
plots.scatter(
    torch.arange(1, len(ranked) + 1),
    [count for _, count in ranked],
    labels=[repr(tokenizer.decode([id])) for id, _ in ranked],
    title="Some tokens are everywhere, most are rare",
    x_label="rank",
    y_label="occurrences in 200 documents",
    log_x=True,
    log_y=True,
)

# %% tags=["test"]
assert [tokenizer.decode([id]) for id, _ in ranked[:3]] == [".", " the", " and"]
assert 9_000 < counts.total() < 11_000
assert 0.29 < sum(count for _, count in ranked[:10]) / counts.total() < 1 / 3
assert 1150 < len(counts) < 1300 < 4096 / 3, "two thirds never turn up"
assert sum(count == 1 for count in counts.values()) > len(counts) / 4

# %% [markdown]
# ## 4 A real tokenizer, and the id of one word
#
# A real tokenizer has two more habits that an analysis must know.
#
# **The space belongs to the word.** Before BPE, GPT-2's rule cuts a text into words, *each with the space in front of it*. So
# `" Mary"` and `"Mary"` are different tokens with different embeddings, and in the middle of a sentence it is `" Mary"` that
# occurs. Byte-level BPE writes the space as `Ġ`, which you will meet in vocabularies.
#
# **A word may be several tokens.** Here are seven, cut by the tokenizer of the toy world.
#
# **Before you run the next cell:** `" Mary"`, `"Mary"`, `" mary"`, `" MARY"`, `" Zubiro"`, `" kite"`, `" kites"`: which of them do
# you expect to be one token, and what are the others cut into?
#
# <details><summary>What to look for</summary>
#
# `" Mary"`, `"Mary"` and `" kite"` are one token each. What the merges have never seen often falls apart: `" mary"` into two, the
# capitals into single letters, and a plural into `Ġkit` and `es`, which is not where a grammarian would cut.
#
# </details>

# %%
for text in [" Mary", "Mary", " mary", " MARY", " Zubiro", " kite", " kites"]:
    pieces = tokenizer.encode(text, add_special_tokens=False)
    print(f"{text!r:12} {len(pieces.ids)} token{'s' * (len(pieces.ids) > 1):2} {pieces.tokens}")

# %% [markdown]
# Nearly every experiment in this field compares the logits of two words: *does the model prefer* `" Mary"` *to* `" John"`? It
# makes sense only when each is one token. The sentences of the indirect-object task were chosen for that ([Wang et al.
# 2022](https://arxiv.org/abs/2211.00593), section 2). A function that is given a two-token name and returns the id of its first
# piece would go on to measure something, only not what you asked. So yours must refuse, loudly, and say which text it was.
#
# The tokenizer that your answer is checked with puts BOS in front by itself, as many do (the one above does not);
# `add_special_tokens=False` turns that off for one call.

# %%
# exercise 00.4

# %%
check("00.4")

# %% [markdown]
# ## 5 Batches: padding and the mask
#
# A tensor is rectangular, sentences are not. To run several at once, fill the short ones up with **PAD** and keep a
# **mask** that says which tokens are real:
#
# $$ m_{b,i} = \begin{cases} \text{True} & \text{if position } i \text{ of row } b \text{ holds a real token,}\\ \text{False} & \text{if it was filled up.}\end{cases} $$
#
# On which *side*? Right padding leaves every real token at its own position, counted from the left. Left padding lines up the
# ends, so that `logits[:, -1]` is the prediction after the last real token in every row: convenient for generating, but
# position $i$ is then no longer the $i$-th token, and a model with learned positions must be told so. Both are in use;
# mixing them up is an off-by-many error that runs without complaint.
#
# Here is one batch, padded on either side: 1 is a real token, 0 is padding. The last real token of each row is the one whose
# prediction we usually want. At which positions is it?

# %%
sentences = [" Mary went to the park", " John gave a ball", " The dog was happy and so was Tom"]
lengths = torch.tensor([[1 + len(tokenizer.encode(text).ids)] for text in sentences])  # with BOS
positions = torch.arange(int(lengths.max()))
padded_right = positions < lengths
plots.heatmaps(
    {"padded on the right": padded_right.float(), "padded on the left": padded_right.flip(1).float()},
    title="The mask of the same three sentences",
    x_label="position",
    y_label="row",
    zero_centred=False,
)

# %% [markdown]
# **The trap.** It is tempting to get the mask from the tokens: `tokens != PAD`. But in this family of models PAD is the same id as
# BOS, and every sequence *begins* with a real BOS. That mask would hide the very position where heads rest (section 2). The
# attention of every head changes, the loss of a trained model may double, and no error is raised. The mask must come from what
# you know for sure: the **lengths**.

# %%
# exercise 00.5

# %%
check("00.5")

# %% [markdown]
# ## 6 Where is it?
#
# "Patch the residual stream at the second `John`": experiments speak of positions, so we need the position of a token in a
# sequence. Two rules keep later chapters free of off-by-ones:
#
# - **BOS counts.** It is position 0 and the first word is position 1, since positions are indices into `tokens`, and into every
#   activation.
# - **Absent is an error.** `-1` for "not found" is a tradition of string functions, and a disaster with tensors: `x[-1]` is the
#   last position, a perfectly good one.

# %%
# exercise 00.6

# %%
check("00.6")

# %% [markdown]
# ## Putting it together
#
# Now use your own tools on a real task: two sentences of the indirect-object kind, as a batch, with the positions of the names in
# it. `yours` takes your function if its check passes; otherwise it says so and a ready-made one stands in, so that you can read on.

# %%
token_id, batch, position = yours("single_token_id"), yours("pad_batch"), yours("token_position")

prompts = [
    "When Mary and John went to the park, John gave a ball to",
    "After Tom and Anna came to the big old store, Anna gave a new kite to",
]
names = [(" Mary", " John"), (" Tom", " Anna")]
ids = [[PAD, *tokenizer.encode(prompt, add_special_tokens=False).ids] for prompt in prompts]
tokens, mask = batch(ids, "right")

for row, (io, s) in zip(tokens, names):
    io_id, s_id = token_id(tokenizer, io), token_id(tokenizer, s)
    print(f"indirect object {io!r}: position {position(io_id, row, 'first')}")
    print(f"subject {s!r}: positions {position(s_id, row, 'first')} and {position(s_id, row, 'last')}")
print("last real position of each row:", (mask.sum(dim=1) - 1).tolist())

# %% [markdown]
# These four numbers per sentence, the indirect object, the first and the second mention of the subject, and the end, are the
# coordinates in which chapter 06 will take a circuit apart.
#
# ## What you now know
#
# - A model reads **ids**. The numbering is arbitrary, must be the same forever, and is tied to the rows of the embedding.
# - **BOS** goes in once, at the front, as an id. It is where heads rest, and it counts as position 0.
# - **BPE** learns merges by frequency and applies them by **rank**. It trades sequence length against vocabulary.
# - The **space** belongs to the word. A word is not always one token, and what compares words must insist on it.
# - The **mask** comes from lengths. When PAD is BOS, a mask made from ids hides a real token.
# - **Absent is an error**, never `-1`.
#
# ## Questions
#
# **1.** You train a model, lose its tokenizer, and build the vocabulary again from the same texts in another order. The new one
# has the same symbols. What does your model say now?
#
# <details><summary>Answer</summary>
#
# Nonsense. The weights know symbols by their numbers: row $i$ of the embedding belongs to whatever had the number $i$ in
# training. With another numbering each symbol looks up the row of another.
#
# </details>
#
# **2.** A text has 1,000 characters. With characters as tokens it has 1,000 positions, with BPE 260. By how much does that
# change the work of attention, and what is paid for it?
#
# <details><summary>Answer</summary>
#
# The number of pairs of positions goes with the square: $(1000/260)^2 \approx 15$ times fewer. Paid with a larger vocabulary:
# more rows in the embedding and columns in the unembedding, most of them for tokens that are seldom seen.
#
# </details>
#
# **3.** Why does BPE apply its merges in the order in which they were learned, and not always the longest piece that fits?
#
# <details><summary>Answer</summary>
#
# In training the text was cut in just that way, so the model has seen a word as *these* pieces. Another cut may be just as
# short, but it is a sequence of ids that the model has hardly ever read.
#
# </details>
#
# **4.** A colleague measures whether a model prefers `"Mary"` to `"John"` after *gave a ball to*, and finds that both are very
# unlikely. What went wrong?
#
# <details><summary>Answer</summary>
#
# The space is missing. In the middle of a sentence the next token is `" Mary"`, with the space in front; `"Mary"` is another
# token, which stands only where no space does: at the start of a text, or after a quotation mark.
#
# </details>
#
# **5.** PAD and BOS have the same id. Why is `tokens != PAD` a mistake even when you pad on the right, where padding stands
# after all real tokens and a causal model never looks at what comes later?
#
# <details><summary>Answer</summary>
#
# It hides BOS, at position 0 of *every* row. All later positions look back at it, many heads rest there, and the model has
# never seen a text without it. The padding itself would have done no harm to the real tokens.
#
# </details>
#
# ## Further reading
#
# - [Sennrich, Haddow and Birch 2016](https://arxiv.org/abs/1508.07909), *Neural Machine Translation of Rare Words with Subword
#   Units*: section 3.2, with the algorithm in ten lines.
# - [Radford et al.
#   2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf), *Language Models
#   are Unsupervised Multitask Learners*: section 2.2, why bytes.
# - [Xiao et al. 2023](https://arxiv.org/abs/2309.17453), *Efficient Streaming Language Models with Attention Sinks*: section 3,
#   what the first token is for.
# - [Wang et al. 2022](https://arxiv.org/abs/2211.00593), *Interpretability in the Wild*: section 2, a task built from single-token
#   names.
#
# Next, in [chapter 01](01_transformer.ipynb), the ids meet the model: you write a transformer from an empty file until its logits
# equal those of a trained GPT-2.
