# ruff: noqa: F401
# %% [markdown]
# # 00 Tokens

# %%
import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

from cleanlens.course import check, hint, solution

BOS, PAD = "<|endoftext|>", 0

# %%
# exercise 00.1

# %%
check("00.1")

# %%
# exercise 00.2

# %%
check("00.2")

# %%
# exercise 00.3

# %%
check("00.3")

# %%
# exercise 00.4

# %%
check("00.4")

# %%
# exercise 00.5

# %%
check("00.5")

# %%
# exercise 00.6

# %%
check("00.6")
