"""Find heads by what their attention patterns look like."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens.activation_cache import ActivationCache

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer

HeadName = Literal["previous_token_head", "duplicate_token_head", "induction_head"]
HEAD_NAMES: list[str] = list(get_args(HeadName))
Heads = Sequence[tuple[int, int]] | Mapping[int, Sequence[int]] | None


def detect_head(
    model: "HookedTransformer",
    seq: str | list[str],
    detection_pattern: Float[Tensor, "query key"] | HeadName,
    heads: Heads = None,
    cache: ActivationCache | None = None,
    *,
    exclude_bos: bool = False,
    exclude_current_token: bool = False,
    error_measure: Literal["abs", "mul"] = "mul",
) -> Float[Tensor, "layer head"]:
    """How well each head's pattern on a text (or several: their mean) matches a wanted one.

    Args:
        detection_pattern: the pattern to look for, or the name of one that is made for the text.
        heads: only these, as (layer, head) pairs or {layer: heads}; all others get -1.
        cache: the activations of the text, when there is only one and they are known already.
        exclude_bos, exclude_current_token: leave attention to the first token, or to itself, out.
        error_measure: "mul": the share of all attention that falls where the wanted pattern is 1, from 0 to
            1; "abs": 1 minus the mean, over queries, of the summed absolute difference, from -1 to 1.

    Raises:
        ValueError: an unknown name or measure, a pattern that is not `[pos pos]` and causal, or a cache
            together with several texts.
    """
    if error_measure not in ("abs", "mul"):
        raise ValueError(f"error_measure = {error_measure!r}; it must be 'abs' or 'mul'")
    if not isinstance(seq, str):
        if cache is not None:
            raise ValueError("detect_head: a cache belongs to one text; give one text or no cache")
        options = dict(
            exclude_bos=exclude_bos,
            exclude_current_token=exclude_current_token,
            error_measure=error_measure,
        )
        each = [detect_head(model, text, detection_pattern, heads, **options) for text in seq]  # type: ignore[arg-type]
        return torch.stack(each).mean(dim=0)

    tokens = model.to_tokens(seq)
    n_pos = tokens.shape[1]
    if not 1 < n_pos < model.cfg.n_ctx:
        raise ValueError(f"detect_head: the text has {n_pos} tokens; it must have 2 to {model.cfg.n_ctx - 1}")
    if isinstance(detection_pattern, str):
        if detection_pattern not in PATTERNS:
            raise ValueError(f"detect_head: {detection_pattern!r} is none of {sorted(PATTERNS)}")
        wanted = PATTERNS[detection_pattern](tokens[0])
    else:
        wanted = detection_pattern.to(tokens.device)
    if wanted.shape != (n_pos, n_pos) or not wanted.equal(wanted.tril()):
        raise ValueError(
            f"detect_head: the pattern has shape {list(wanted.shape)}; the text needs [{n_pos}, {n_pos}], "
            "with nothing above the diagonal"
        )
    if cache is None:
        names = lambda name: name.endswith("hook_pattern")  # noqa: E731
        _, cache = model.run_with_cache(tokens, names_filter=names, return_type=None, remove_batch_dim=True)
    patterns = torch.stack([cache["pattern", layer] for layer in range(model.cfg.n_layers)])
    patterns = patterns.squeeze(1) if patterns.ndim == 5 else patterns  # [layer head query key]

    scores = _similarity(patterns, wanted, exclude_bos, exclude_current_token, error_measure)
    return scores if heads is None else torch.where(_chosen(heads, scores), scores, -1.0)


def compute_head_attention_similarity_score(
    attention_pattern: Float[Tensor, "query key"],
    detection_pattern: Float[Tensor, "query key"],
    *,
    exclude_bos: bool = False,
    exclude_current_token: bool = False,
    error_measure: Literal["abs", "mul"] = "mul",
) -> float:
    """How well one head's pattern matches a wanted one; arguments as for `detect_head`."""
    patterns = (attention_pattern, detection_pattern)
    return _similarity(*patterns, exclude_bos, exclude_current_token, error_measure).item()


def _similarity(
    patterns: Float[Tensor, "*head query key"],
    wanted: Float[Tensor, "query key"],
    exclude_bos: bool,
    exclude_current_token: bool,
    error_measure: str,
) -> Float[Tensor, "*head"]:
    counted = torch.ones_like(wanted, dtype=patterns.dtype)
    if exclude_bos:
        counted[:, 0] = 0
    if exclude_current_token:
        counted.fill_diagonal_(0)
    patterns, wanted = patterns * counted, wanted * counted
    if error_measure == "mul":
        return (patterns * wanted).sum(dim=(-2, -1)) / patterns.sum(dim=(-2, -1))
    return 1 - (patterns - wanted).abs().mean(dim=(-2, -1)) * len(wanted)


def get_supported_heads() -> None:
    """Print the names of heads that `detect_head` knows."""
    print(f"Supported heads: {HEAD_NAMES}")


def _chosen(heads: Heads, scores: Tensor) -> Tensor:
    pairs = (
        [(l, h) for l, hs in heads.items() for h in hs] if isinstance(heads, Mapping) else list(heads or ())
    )
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    for layer, head in pairs:
        chosen[layer, head] = True
    return chosen


def get_previous_token_head_detection_pattern(tokens: Int[Tensor, "pos"]) -> Float[Tensor, "query key"]:
    """Each position looks at the one before it."""
    return torch.eye(len(tokens), device=tokens.device).roll(1, dims=0).tril(-1)


def get_duplicate_token_head_detection_pattern(tokens: Int[Tensor, "pos"]) -> Float[Tensor, "query key"]:
    """Each position looks at all earlier places of its own token."""
    return (tokens[:, None] == tokens[None, :]).float().tril(-1)


def get_induction_head_detection_pattern(tokens: Int[Tensor, "pos"]) -> Float[Tensor, "query key"]:
    """Each position looks at what came after earlier places of its own token."""
    return get_duplicate_token_head_detection_pattern(tokens).roll(1, dims=1).tril(-1)


PATTERNS = {
    "previous_token_head": get_previous_token_head_detection_pattern,
    "duplicate_token_head": get_duplicate_token_head_detection_pattern,
    "induction_head": get_induction_head_detection_pattern,
}
