"""Quick measures of what a model can do."""

import importlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from tqdm.auto import tqdm

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


SANITY_TEXT = (
    "Many important transition points in the history of science have been moments when science 'zoomed in.' At these "
    "points, we develop a visualization or tool that allows us to see the world in a new level of detail, and a new "
    "field of science develops to study the world through this lens."
)
"""The beginning of Olah et al. 2020, "Zoom In: An Introduction to Circuits"."""


def sanity_check(model: "HookedTransformer") -> Float[Tensor, ""]:
    """Loss on one paragraph of English: below 5 for a language model in order, above 7 when something is wrong."""
    return model(SANITY_TEXT, return_type="loss")


# ---------------------------------------------------------------- indirect objects


class IOIDataset(Dataset):
    """Sentences that end before the name of whoever receives something (Wang et al. 2022, section 2).

    Each item is a dictionary: "prompt" `[pos]`, the whole sentence with its answer; "IO", the tokens of the right name;
    "S", those of the wrong one.

    Args:
        templates: with [A] for the right name, [B] for the wrong one, and the keys of `nouns` in brackets.
        names: what [A] and [B] are drawn from, never the same.
        nouns: what each other bracket is drawn from.
        num_samples: how many sentences.
        symmetric: every sentence also with the two names exchanged; both count.
        prepend_bos: start with BOS.
        seed: for the same sentences again; None draws from Python's own random numbers.
    """

    def __init__(
        self,
        tokenizer: Any,
        templates: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        nouns: dict[str, list[str]] | None = None,
        num_samples: int = 1000,
        symmetric: bool = False,
        prepend_bos: bool = True,
        seed: int | None = None,
    ):
        self.tokenizer, self.prepend_bos = tokenizer, prepend_bos
        self.templates = self.get_default_templates() if templates is None else list(templates)
        self.names = self.get_default_names() if names is None else list(names)
        self.nouns = self.get_default_nouns() if nouns is None else nouns
        self._random = random if seed is None else random.Random(seed)
        draws = num_samples // 2 if symmetric else num_samples
        self.samples = [sample for _ in range(draws) for sample in self.get_sample(symmetric)]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = self.samples[index]
        bos = [self.tokenizer.bos_token_id] if self.prepend_bos else []
        ids = {
            key: self.tokenizer(sample[key], add_special_tokens=False)["input_ids"]
            for key in ("text", "IO", "S")
        }
        return {
            "prompt": torch.tensor(bos + ids["text"]),
            "IO": torch.tensor(ids["IO"]),
            "S": torch.tensor(ids["S"]),
        }

    def get_sample(self, symmetric: bool = False) -> list[dict[str, str]]:
        """One sentence, or it and its twin: "text", "IO" and "S", names with the space before them."""
        template = self._random.choice(self.templates)
        for noun, choices in self.nouns.items():
            template = template.replace(f"[{noun}]", self._random.choice(choices))
        right, wrong = self._random.sample(self.names, 2)
        pairs = [(right, wrong), (wrong, right)] if symmetric else [(right, wrong)]
        return [
            {"text": template.replace("[A]", io).replace("[B]", s), "IO": f" {io}", "S": f" {s}"}
            for io, s in pairs
        ]

    @staticmethod
    def get_default_names() -> list[str]:
        """The two names."""
        return ["John", "Mary"]

    @staticmethod
    def get_default_templates() -> list[str]:
        """The two sentences."""
        return [
            "[A] and [B] went to the [LOCATION] to buy [OBJECT]. [B] handed the [OBJECT] to [A]",
            "Then, [B] and [A] went to the [LOCATION]. [B] gave the [OBJECT] to [A]",
        ]

    @staticmethod
    def get_default_nouns() -> dict[str, list[str]]:
        """Places and things."""
        return {"LOCATION": ["store", "market"], "OBJECT": ["milk", "eggs", "bread"]}


@torch.inference_mode()
def ioi_eval(
    model: "HookedTransformer",
    dataset: Any = None,
    batch_size: int = 8,
    num_samples: int = 1000,
    tokenizer: Any = None,
    symmetric: bool = False,
) -> dict[str, float]:
    """Mean logit difference between the right name and the wrong one, and how often it is positive.

    Where names have several tokens, the first in which they differ is compared.

    Args:
        dataset: items as `IOIDataset` has them; None makes one.

    Returns:
        "Logit Difference" and "Accuracy".
    """
    if dataset is None:
        dataset = IOIDataset(tokenizer or model.tokenizer, num_samples=num_samples, symmetric=symmetric)
    differences = []
    for start in tqdm(range(0, len(dataset), batch_size), desc="indirect objects", leave=False):
        items = [dataset[i] for i in range(start, min(start + batch_size, len(dataset)))]
        tokens = pad_sequence([item["prompt"] for item in items], batch_first=True)
        mask = pad_sequence([torch.ones_like(item["prompt"]) for item in items], batch_first=True)
        logits = model(tokens, attention_mask=mask)
        for row, item in zip(logits, items):
            right, wrong = item["IO"], item["S"]
            at = next(i for i, (a, b) in enumerate(zip(right, wrong)) if a != b)
            here = row[len(item["prompt"]) - len(right) + at - 1]  # where this token is predicted
            differences.append(here[right[at]] - here[wrong[at]])
    difference = torch.stack(differences)
    return {
        "Logit Difference": difference.mean().item(),
        "Accuracy": (difference > 0).float().mean().item(),
    }


def __getattr__(name: str) -> Any:
    """Losses on data sets of the hub live in `cleanlens.published.evals`."""
    published = importlib.import_module("cleanlens.published.evals")
    if name.startswith("_") or not hasattr(published, name):
        raise AttributeError(f"module 'cleanlens.evals' has no attribute {name!r}")
    return getattr(published, name)
