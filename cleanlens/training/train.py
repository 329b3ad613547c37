"""The training loop: AdamW, a learning-rate schedule, a progress bar, and a state that can be resumed."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.training.data import MakeBatch
from cleanlens.utils import lm_cross_entropy_loss

Rate = Callable[[int], float]


def init_weights(model: nn.Module, seed: int, std: float = 0.1) -> None:
    """Seeded starting weights: embeddings N(0, std²), matrices N(0, 1/d_model), biases 0, LayerNorm gains 1.

    The matrices that write to the residual stream are divided by sqrt(number of writers), as in GPT-2.
    GPT-2's own std of 0.02 is made for wider models: here it delays induction past the end of training.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    d_model = parameters["embed.W_E"].shape[1]
    n_writers = sum(name.endswith(("attn.W_O", "mlp.W_out")) for name in parameters)
    with torch.no_grad():
        for name, parameter in parameters.items():
            kind = name.split(".")[-1]
            if kind.startswith("W_"):
                scale = std if kind in ("W_E", "W_pos") else d_model**-0.5
                scale /= math.sqrt(n_writers) if kind in ("W_O", "W_out") else 1
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.fill_(1.0 if kind == "w" else 0.0)


def warmup_hold_cosine(peak: float, steps: int, hold: int = 0, warmup: int = 100) -> Rate:
    """Up to `peak` over `warmup` steps, constant until `hold`, then half a cosine down to 2% at the end."""

    def rate(step: int) -> float:
        done = max(0, step - hold) / max(1, steps - hold)
        return peak * min(1, (step + 1) / warmup) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)

    return rate


def restarted(first: Rate, at: int, then: Rate) -> Rate:
    """`first` until step `at`, and from there on `then`, from its own beginning (a warm restart, Loshchilov & Hutter 2017)."""
    return lambda step: first(step) if step < at else then(step - at)


def train(
    model: HookedTransformer,
    make_batch: MakeBatch,
    steps: int,
    rate: Rate,
    weight_decay: float = 0.01,
    on_step: Callable[[int, float], None] | None = None,
    state: Path | None = None,
    resume: bool = False,
    save_every: int = 200,
    progress: bool = True,
    bfloat16: bool = False,
    first_tokens: int = 0,
    first_until: int = 0,
) -> HookedTransformer:
    """Minimise the next-token loss of `model(tokens)` over `make_batch(step)` for `steps` steps.

    Args:
        rate: the learning rate at a step.
        on_step: called as `on_step(step, loss)` before update number `step`, and with `step == steps` (and the
            last loss) when training is done; the weights it sees have had exactly `step` updates.
        state: a folder for the resumable state, written every `save_every` steps (and at the end).
        resume: continue from `state` if there is one.
        bfloat16: multiply matrices in bfloat16 (weights, sums and the optimizer stay in float32): a third less
            time on a CPU with instructions for it, more time on one without.
        first_tokens, first_until: before step `first_until` the batches hold only the vocabulary's first so many
            entries, and only their logits are computed.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=rate(0), betas=(0.9, 0.98), weight_decay=weight_decay)
    first = load_state(state, trained, optimizer) if resume and state else 0
    loss = torch.tensor(float("nan"))
    bar = tqdm(range(first, steps), initial=first, total=steps, disable=not progress, mininterval=1.0)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        tokens = make_batch(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = first_logits(model, tokens, first_tokens) if step < first_until else model(tokens)
        # In float32: near log(4096) = 8.3 two bfloat16 numbers are 0.06 apart, which would hide what is learned first.
        loss = lm_cross_entropy_loss(logits.float(), tokens)
        if on_step:
            on_step(step, loss.item())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
        if state and (step + 1) % save_every == 0:
            save_state(state, trained, optimizer, step + 1)
    if on_step:
        on_step(steps, loss.item())
    return model


def first_logits(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"], n: int
) -> Float[Tensor, "batch pos n"]:
    """The logits of the vocabulary's first `n` entries: with a large vocabulary the others are most of the work."""
    stream = model.ln_final(model(tokens, stop_at_layer=model.cfg.n_layers))
    return stream @ model.unembed.W_U[:, :n] + model.unembed.b_U[:n]


def save_state(
    folder: Path, trained: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Weights and Adam's two moments as safetensors, the step as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, parameter in trained.items():
        tensors[f"weight.{name}"] = parameter.detach().contiguous()
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment].contiguous()
    # The step goes last: a run cut off while it saves resumes from files that belong together or not at all.
    (folder / "state.json").unlink(missing_ok=True)
    save_file(tensors, str(folder / "state.safetensors"))
    (folder / "state.json").write_text(json.dumps({"step": step}))


def load_state(folder: Path, trained: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> int:
    """Restore what `save_state` wrote; the step to go on with, 0 when there is nothing to resume."""
    if not (folder / "state.json").exists():
        return 0
    step = json.loads((folder / "state.json").read_text())["step"]
    tensors = load_file(str(folder / "state.safetensors"))
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[f"weight.{name}"])
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"exp_avg.{name}"],
                "exp_avg_sq": tensors[f"exp_avg_sq.{name}"],
            }
    return step
