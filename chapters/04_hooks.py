# ruff: noqa: F401
# %% [markdown]
# # 04 Hooks and ablation

# %%
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cleanlens import HookedTransformer
from cleanlens.course import check, grade, hint, solution

# %%
# exercise 04.1

# %%
check("04.1")

# %%
# exercise 04.2

# %%
check("04.2")

# %%
# exercise 04.3

# %%
check("04.3")

# %%
# exercise 04.4

# %%
check("04.4")

# %%
# exercise 04.5

# %%
check("04.5")

# %%
# exercise 04.6

# %%
check("04.6")

# %%
# exercise 04.7

# %%
check("04.7")
