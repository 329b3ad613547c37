"""Losses on well-known data sets, fetched from the hub: a rough comparison of models. `cleanlens.evals.NAME` finds them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from cleanlens.published.mmlu import (  # noqa: F401, found here by their published path
    MMLU_ANSWER_LETTERS,
    MMLU_SUBJECTS,
    make_mmlu_data_loader,
    mmlu_eval,
)
from cleanlens.published.utils import load_dataset, tokenize_and_concatenate

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer


def _loader(dataset: Any, tokenizer: Any, batch_size: int, column_name: str = "text") -> DataLoader:
    rows = tokenize_and_concatenate(dataset, tokenizer, column_name=column_name)
    return DataLoader(rows, batch_size=batch_size, shuffle=True, drop_last=True)


def make_wiki_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader:
    """Wikitext 2, the training split (Merity et al. 2016). This and the next three fetch from the hub."""
    return _loader(load_dataset("wikitext", "wikitext-2-v1", split="train"), tokenizer, batch_size)


def make_owt_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader:
    """10,000 texts of OpenWebText, which is made like GPT-2's training data."""
    return _loader(load_dataset("stas/openwebtext-10k", split="train"), tokenizer, batch_size)


def make_pile_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader:
    """The first 10,000 texts of the Pile (Gao et al. 2020)."""
    return _loader(load_dataset("NeelNanda/pile-10k", split="train"), tokenizer, batch_size)


def make_code_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader:
    """Python code: CodeParrot's validation split."""
    code = load_dataset("codeparrot/codeparrot-valid-v2-near-dedup", split="train")
    return _loader(code, tokenizer, batch_size, column_name="content")


DATASET_NAMES = ["wiki", "owt", "pile", "code"]
DATASET_LOADERS: list[Callable[..., DataLoader]] = [
    make_wiki_data_loader,
    make_owt_data_loader,
    make_pile_data_loader,
    make_code_data_loader,
]


@torch.inference_mode()
def evaluate_on_dataset(
    model: "HookedTransformer",
    data_loader: Any,
    truncate: int = 100,
    device: torch.device | str | None = None,
) -> float:
    """Mean loss over the first `truncate` batches, each a dictionary with "tokens" `[batch pos]`."""
    losses = []
    for _, batch in zip(range(truncate), tqdm(data_loader, desc="evaluating", total=truncate, leave=False)):
        tokens = batch["tokens"].to(device or model.cfg.device)
        losses.append(model(tokens, return_type="loss").item())
    if not losses:
        raise ValueError("evaluate_on_dataset: the data loader gave no batch")
    return sum(losses) / len(losses)


def evaluate(
    model: "HookedTransformer", truncate: int = 100, batch_size: int = 8, tokenizer: Any = None
) -> dict[str, float]:
    """Mean loss on each of four data sets: `wiki_loss`, `owt_loss`, `pile_loss` and `code_loss`."""
    losses = {}
    for name, make in zip(DATASET_NAMES, DATASET_LOADERS):
        loader = make(tokenizer=tokenizer or model.tokenizer, batch_size=batch_size)
        losses[f"{name}_loss"] = evaluate_on_dataset(model, loader, truncate)
        print(f"{name}: {losses[f'{name}_loss']}")
    return losses
