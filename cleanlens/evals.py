"""Quick measures of what a model can do."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from cleanlens.utils import lm_cross_entropy_loss

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer


@torch.no_grad()
def induction_loss(
    model: "HookedTransformer",
    tokenizer: Any = None,
    batch_size: int = 4,
    subseq_len: int = 384,
    prepend_bos: bool | None = None,
    device: torch.device | str | None = None,
) -> Float[Tensor, ""]:
    """Loss in nats on the second half of random tokens that are repeated once: low with induction heads.

    Olsson et al. 2022, "In-context Learning and Induction Heads", heading "Argument 1", use a like measure.

    Args:
        tokenizer: instead of the model's; only its BOS is used.
        subseq_len: length of the half that is repeated.
        prepend_bos: start with BOS; None: cfg.default_prepend_bos.

    Raises:
        ValueError: both halves do not fit into n_ctx.
    """
    tokenizer = model.tokenizer if tokenizer is None else tokenizer
    prepend_bos = model.cfg.default_prepend_bos if prepend_bos is None else prepend_bos
    length = 2 * subseq_len + int(prepend_bos)
    if length > model.cfg.n_ctx:
        raise ValueError(
            f"induction_loss: two halves of {subseq_len} need {length} positions; n_ctx is {model.cfg.n_ctx}. "
            f"Give subseq_len={(model.cfg.n_ctx - int(prepend_bos)) // 2} or less"
        )
    device = model.cfg.device if device is None else device
    half = torch.randint(0, model.cfg.d_vocab, (batch_size, subseq_len), device=device)
    tokens = half.repeat(1, 2)
    if prepend_bos:
        if tokenizer is None:
            raise ValueError("induction_loss: prepend_bos needs a tokenizer that knows BOS")
        bos = torch.full((batch_size, 1), tokenizer.bos_token_id, device=device)
        tokens = torch.cat([bos, tokens], dim=1)
    logits = model(tokens, attention_mask=torch.ones_like(tokens))
    return lm_cross_entropy_loss(logits, tokens, per_token=True)[:, -subseq_len:].mean()
