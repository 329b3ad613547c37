"""Training by the published interface: a config, and one function."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from cleanlens.utils import get_device

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer


@dataclass
class HookedTransformerTrainConfig:
    """Every choice of one training run."""

    num_epochs: int  # passes over the data
    batch_size: int  # rows of tokens per step
    lr: float = 1e-3  # learning rate, after the warm-up
    seed: int = 0  # seeds torch before training
    momentum: float = 0.0  # SGD's
    max_grad_norm: float | None = None  # clip the gradient to this norm
    weight_decay: float | None = None  # with Adam: AdamW's
    optimizer_name: str = "Adam"  # Adam, AdamW or SGD
    device: torch.device | str | None = None  # None: utils.get_device()
    warmup_steps: int = 0  # the learning rate grows over so many steps
    save_every: int | None = None  # steps between checkpoints in save_dir
    save_dir: str | None = None  # where they go: model_STEP.pt
    wandb: bool = False  # log to Weights & Biases, which must be installed
    wandb_project_name: str | None = None  # under this project
    print_every: int | None = 50  # steps between printed losses
    max_steps: int | None = None  # an epoch ends after this step


def train(
    model: "HookedTransformer", config: HookedTransformerTrainConfig, dataset: Any
) -> "HookedTransformer":
    """Train a model on rows of tokens, in place; returns it.

    Args:
        dataset: `dataset[i]["tokens"]` is `[pos]`, as `utils.tokenize_and_concatenate` makes it.

    Raises:
        ValueError: an optimizer of another name.
    """
    torch.manual_seed(config.seed)
    optimizer = _optimizer(model, config)
    log = _wandb_log(config) if config.wandb else lambda **values: None
    warmup = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
    )
    loader = DataLoader(dataset, batch_size=config.batch_size, shuffle=True)
    device = config.device or get_device()
    model.to(device).train()
    for epoch in tqdm(range(1, config.num_epochs + 1), desc="epochs"):
        samples = 0
        for step, batch in enumerate(tqdm(loader, desc=f"epoch {epoch}", leave=False)):
            loss = model(batch["tokens"].to(device), return_type="loss")
            loss.backward()
            if config.max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimizer.step()
            warmup.step()
            optimizer.zero_grad()
            samples += len(batch["tokens"])
            log(train_loss=loss.item(), samples=samples, epoch=epoch)
            if config.print_every is not None and step % config.print_every == 0:
                print(f"Epoch {epoch} Samples {samples} Step {step} Loss {loss.item()}")
            if (
                config.save_every is not None
                and config.save_dir is not None
                and step % config.save_every == 0
            ):
                torch.save(model.state_dict(), Path(config.save_dir) / f"model_{step}.pt")
            if config.max_steps is not None and step >= config.max_steps:
                break
    return model


def _optimizer(model: "HookedTransformer", config: HookedTransformerTrainConfig) -> torch.optim.Optimizer:
    if config.optimizer_name in ("Adam", "AdamW"):
        if config.weight_decay is None:
            return torch.optim.Adam(model.parameters(), lr=config.lr)
        return torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    if config.optimizer_name == "SGD":
        decay = config.weight_decay or 0.0
        return torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=decay)
    raise ValueError(f"optimizer_name = {config.optimizer_name!r}; it must be 'Adam', 'AdamW' or 'SGD'")


def _wandb_log(config: HookedTransformerTrainConfig) -> Any:
    try:
        import wandb
    except ImportError:
        raise ImportError("wandb=True needs Weights & Biases: pip install wandb") from None
    run = wandb.init(project=config.wandb_project_name or "cleanlens", config=asdict(config))
    return lambda **values: run.log(values)
