# ruff: noqa: F401
# %% [markdown]
# # 03 Induction heads

# %%
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens.course import check, hint, solution

# %%
# exercise 03.1

# %%
check("03.1")

# %%
# exercise 03.2

# %%
check("03.2")

# %%
# exercise 03.3

# %%
check("03.3")

# %%
# exercise 03.4

# %%
check("03.4")

# %%
# exercise 03.5

# %%
check("03.5")

# %%
# exercise 03.6

# %%
check("03.6")

# %%
# exercise 03.7

# %%
check("03.7")
