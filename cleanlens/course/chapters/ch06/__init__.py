"""Chapter 06, Indirect object identification: from a behaviour to the circuit that makes it."""

from ...exercise import Chapter
from . import (
    attribution_patching,
    circuit_faithfulness,
    head_attribution,
    logit_diff,
    make_ioi,
    normalised_metric,
    patch_head_part,
    patch_heads,
    patch_resid,
    path_patch_to_heads,
    path_patch_to_logits,
)

chapter = Chapter(
    "06",
    "ioi",
    "Indirect object identification",
    [
        make_ioi.ex,
        logit_diff.ex,
        normalised_metric.ex,
        head_attribution.ex,
        patch_resid.ex,
        patch_heads.ex,
        patch_head_part.ex,
        path_patch_to_logits.ex,
        path_patch_to_heads.ex,
        circuit_faithfulness.ex,
        attribution_patching.ex,
    ],
)
