"""Chapter 02, Caching and logit attribution: what one run leaves behind, and how to read the residual stream."""

from ...exercise import Chapter
from . import (
    apply_final_ln,
    decompose_resid,
    fold_ln,
    head_results,
    logit_attribution,
    logit_lens,
    recompute_pattern,
    run_with_cache,
)

chapter = Chapter(
    "02",
    "caching",
    "Caching and logit attribution",
    [
        run_with_cache.ex,
        recompute_pattern.ex,
        head_results.ex,
        decompose_resid.ex,
        apply_final_ln.ex,
        logit_attribution.ex,
        logit_lens.ex,
        fold_ln.ex,
    ],
)
