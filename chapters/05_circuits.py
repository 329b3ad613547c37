# ruff: noqa: F401
# %% [markdown]
# # 05 FactoredMatrix and circuits

# %%
# exercise 05.1

# %%
check("05.1")

# %%
# exercise 05.2

# %%
check("05.2")

# %%
# exercise 05.3

# %%
check("05.3")

# %%
# exercise 05.4

# %%
check("05.4")

# %%
# exercise 05.5

# %%
check("05.5")

# %%
# exercise 05.6

# %%
check("05.6")

# %%
# exercise 05.7

# %%
check("05.7")

# %%
# exercise 05.8

# %%
check("05.8")

# %%
# exercise 05.9

# %%
check("05.9")

# %%
# exercise 05.10

# %%
check("05.10")

# %%
# exercise 05.11

# %%
check("05.11")
