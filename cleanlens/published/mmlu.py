"""MMLU: questions with four answers each from 57 subjects (Hendrycks et al. 2021), from the hub, without examples
before the question. `cleanlens.evals.NAME` finds these."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from cleanlens.published.utils import load_dataset

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer

MMLU_SUBJECTS = [
    "abstract_algebra",
    "anatomy",
    "astronomy",
    "business_ethics",
    "clinical_knowledge",
    "college_biology",
    "college_chemistry",
    "college_computer_science",
    "college_mathematics",
    "college_medicine",
    "college_physics",
    "computer_security",
    "conceptual_physics",
    "econometrics",
    "electrical_engineering",
    "elementary_mathematics",
    "formal_logic",
    "global_facts",
    "high_school_biology",
    "high_school_chemistry",
    "high_school_computer_science",
    "high_school_european_history",
    "high_school_geography",
    "high_school_government_and_politics",
    "high_school_macroeconomics",
    "high_school_mathematics",
    "high_school_microeconomics",
    "high_school_physics",
    "high_school_psychology",
    "high_school_statistics",
    "high_school_us_history",
    "high_school_world_history",
    "human_aging",
    "human_sexuality",
    "international_law",
    "jurisprudence",
    "logical_fallacies",
    "machine_learning",
    "management",
    "marketing",
    "medical_genetics",
    "miscellaneous",
    "moral_disputes",
    "moral_scenarios",
    "nutrition",
    "philosophy",
    "prehistory",
    "professional_accounting",
    "professional_law",
    "professional_medicine",
    "professional_psychology",
    "public_relations",
    "security_studies",
    "sociology",
    "us_foreign_policy",
    "virology",
    "world_religions",
]
MMLU_ANSWER_LETTERS = ["A", "B", "C", "D"]


def make_mmlu_data_loader(
    subjects: str | Sequence[str] | None = None, split: str = "test", num_samples: int | None = None
) -> list[dict[str, Any]]:
    """Questions as dictionaries of "question", "choices" (four texts), "answer" (0 to 3) and "subject".

    Args:
        subjects: one or several of MMLU_SUBJECTS; None for all.
        split: "test", "validation" or "dev".
        num_samples: only the first so many of each subject.
    """
    chosen = (
        MMLU_SUBJECTS if subjects is None else [subjects] if isinstance(subjects, str) else list(subjects)
    )
    if unknown := sorted(set(chosen) - set(MMLU_SUBJECTS)):
        raise ValueError(f"MMLU has no subjects {unknown}; there are {', '.join(MMLU_SUBJECTS)}")
    questions = []
    for subject in chosen:
        rows = load_dataset("cais/mmlu", subject, split=split)
        for i in range(len(rows) if num_samples is None else min(num_samples, len(rows))):
            questions.append(
                {**{key: rows[i][key] for key in ("question", "choices", "answer")}, "subject": subject}
            )
    return questions


@torch.inference_mode()
def mmlu_eval(
    model: "HookedTransformer",
    tokenizer: Any = None,
    subjects: str | Sequence[str] | None = None,
    split: str = "test",
    num_samples: int | None = None,
) -> dict[str, Any]:
    """How often the letter of the right answer gets the highest logit of the letters that there are.

    Returns:
        "accuracy", "num_correct", "num_total", and "subject_scores", the accuracy of each subject.
    """
    tokenizer = tokenizer or model.tokenizer
    letters = [_letter_id(tokenizer, letter) for letter in MMLU_ANSWER_LETTERS]
    total: Counter[str] = Counter()
    correct: Counter[str] = Counter()
    for item in tqdm(make_mmlu_data_loader(subjects, split, num_samples), desc="MMLU", leave=False):
        choices = "".join(f"{letter}. {text}\n" for letter, text in zip(MMLU_ANSWER_LETTERS, item["choices"]))
        prompt = f"Question: {item['question']}\nChoices:\n{choices}Answer:"
        logits = model(tokenizer.encode(prompt, return_tensors="pt").to(model.cfg.device))[0, -1]
        total[item["subject"]] += 1
        correct[item["subject"]] += int(logits[letters[: len(item["choices"])]].argmax()) == item["answer"]
    if not total:
        raise ValueError("MMLU: there are no questions; check subjects and num_samples")
    return {
        "accuracy": correct.total() / total.total(),
        "num_correct": correct.total(),
        "num_total": total.total(),
        "subject_scores": {subject: correct[subject] / n for subject, n in total.items()},
    }


def _letter_id(tokenizer: Any, letter: str) -> int:
    """The token of a letter behind a space, or, where that is no token of its own, of the letter alone."""
    with_space = tokenizer.encode(f" {letter}", add_special_tokens=False)
    return with_space[0] if len(with_space) == 1 else tokenizer.encode(letter, add_special_tokens=False)[0]
