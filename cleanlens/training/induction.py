"""Watching induction appear: a two-layer model, trained live, scored as it learns."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.training import measure
from cleanlens.training.data import MakeBatch, repeats_only
from cleanlens.training.train import init_weights, train, warmup_hold_cosine


def live_config(d_vocab: int = 128, n_ctx: int = 64) -> HookedTransformerConfig:
    """Small enough that a laptop passes the phase change in about two minutes."""
    return HookedTransformerConfig(
        n_layers=2,
        d_model=64,
        n_ctx=n_ctx,
        d_head=32,
        n_heads=2,
        d_vocab=d_vocab,
        attn_only=True,
        normalization_type="LN",
        device="cpu",
        init_weights=False,
    )


@dataclass
class InductionHistory:
    """One entry per record. Losses in nats; scores are the best head's mean attention, between 0 and 1."""

    steps: list[int] = field(default_factory=list)
    first_loss: list[float] = field(default_factory=list)  # on the first repeat: about log(d_vocab), for ever
    second_loss: list[float] = field(
        default_factory=list
    )  # on the second repeat: falls when induction appears
    previous_token: list[float] = field(default_factory=list)
    induction: list[float] = field(default_factory=list)


def train_induction(
    cfg: HookedTransformerConfig | None = None,
    steps: int = 1500,
    seed: int = 0,
    every: int = 25,
    learning_rate: float = 2e-3,
    batch: int = 32,
    make_batch: MakeBatch | None = None,
    on_record: Callable[[InductionHistory], None] | None = None,
    progress: bool = True,
) -> tuple[HookedTransformer, InductionHistory]:
    """Train a two-layer attention-only model on repeated random tokens and record what its heads do.

    Args:
        cfg: the model; `live_config()` when None.
        every: measure every so many steps, on prompts of lengths that are never the same as in a batch.
        make_batch: `step -> tokens`; `repeats_only` when None. Pass one with a single repeat length to see
            the model learn an offset instead of induction.
        on_record: called with the history after each record, for a live plot.
    """
    cfg = cfg or live_config()
    model = HookedTransformer(cfg)
    init_weights(model, seed)
    history = InductionHistory()
    longest = (cfg.n_ctx - 1) // 2
    lengths = sorted({max(4, longest // 4), max(5, longest // 2), longest})

    def record(step: int, loss: float) -> None:
        if step % every and step != steps:
            return
        measured = measure.repeat_summary(model, lengths, batch=8, seed=seed + 1)
        history.steps.append(step)
        for name, value in measured.items():
            getattr(history, name).append(value)
        if on_record:
            on_record(history)

    train(
        model,
        make_batch or repeats_only(batch, cfg.n_ctx, cfg.d_vocab, seed),
        steps,
        warmup_hold_cosine(learning_rate, steps, hold=steps),
        on_step=record,
        progress=progress,
    )
    return model, history
