"""`import cleanlens.transformer_lens`, once and first: from then on `import transformer_lens` means cleanlens.

A published notebook then runs as it is, with this one line added at its top. It holds for this process only, and
for all modules of the original that have a home here (`cleanlens.published.paths`).
"""

import sys

from cleanlens.published.paths import COMPONENTS, HOMES, SAME, OldPath, register

taken = sys.modules.get("transformer_lens")
if taken is not None and not isinstance(taken, OldPath):
    raise ImportError(
        f"the original transformer_lens is imported already (from {getattr(taken, '__file__', None)}), and both "
        "cannot have the name. Import cleanlens.transformer_lens first, in a fresh process: in a notebook, restart "
        "the kernel and make it the first line"
    )
register("transformer_lens", {**HOMES, **COMPONENTS, **{name: name for name in SAME}})
