# ruff: noqa: F401
# %% [markdown]
# # 02 Caching and logit attribution

# %%
from cleanlens.course import check, hint, solution

# %%
# exercise 02.1

# %%
check("02.1")

# %%
# exercise 02.2

# %%
check("02.2")

# %%
# exercise 02.3

# %%
check("02.3")

# %%
# exercise 02.4

# %%
check("02.4")

# %%
# exercise 02.5

# %%
check("02.5")

# %%
# exercise 02.6

# %%
check("02.6")

# %%
# exercise 02.7

# %%
check("02.7")

# %%
# exercise 02.8

# %%
check("02.8")
