"""The tour: what cleanlens does, on its own models, in 1 to 3 minutes and without a network.

`cleanlens tour` shows where the answer to one sentence travels through the embedded GPT-2 (`--sentence` takes your own),
lets it write, patches its circuit for indirect object identification open, finds induction heads, watches induction
appear during training, grades a right and a wrong answer, and compares the model with `transformers`. Each section states findings with the numbers that were just
measured; the exit code is 1 when one of them does not hold.
"""

import contextlib
import io
import math
import os
import re
import shlex
import shutil
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape as plain
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from torch import Tensor

from cleanlens import HookedTransformer, patching, plots
from cleanlens.course.report import wrapped
from cleanlens.course.terminal import width
from cleanlens.course.workspace import home
from cleanlens.loading.fetch import best_real_model
from cleanlens.loading.names import get_checkpoint_labels
from cleanlens.training import measure
from cleanlens.training.corpus import IOIDataset, ioi_prompts
from cleanlens.training.plain import SENTENCES, plain_logit_diffs, plain_prompts
from cleanlens.training.recipes import ATTN_ONLY

SENTENCE = "When Mary and John went to the park, John gave a ball to"


@dataclass(frozen=True)
class Finding:
    """A claim with the number just measured, and whether it holds."""

    claim: str
    holds: bool


@dataclass
class Section:
    """One stop of the tour: text, findings, figures."""

    title: str
    text: str
    findings: list[Finding] = field(default_factory=list)
    figures: list[tuple[str, Any]] = field(default_factory=list)  # caption, figure

    def finds(self, claim: str, holds: Any) -> None:
        """Add a finding."""
        self.findings.append(Finding(claim, bool(holds)))


class Models:
    """The embedded models and the IOI runs, made when first asked for and then kept."""

    def __init__(self, sentence: str = ""):
        self.sentence = sentence or SENTENCE

    @staticmethod
    def load(name: str, **options: Any) -> HookedTransformer:
        """A model on the CPU, without the line that loading prints."""
        with contextlib.redirect_stdout(io.StringIO()):
            return HookedTransformer.from_pretrained(name, device="cpu", **options)

    @cached_property
    def gpt2(self) -> HookedTransformer:
        """The six-layer GPT-2."""
        return self.load("gpt2-demo")

    @cached_property
    def attn_only(self) -> HookedTransformer:
        """The two-layer model without MLPs."""
        return self.load("attn-only-2l-demo")

    @cached_property
    def ioi(self) -> IOIDataset:
        """Prompts that line up token by token, the subject always second: positions mean the same in all."""
        return ioi_prompts(16, seed=1, templates="train", order="ABBA", aligned=True)

    @cached_property
    def ioi_metric(self) -> Callable[[Tensor], Tensor]:
        """The logit difference, from 0 (as in the corrupted run) to 1 (as in the clean one)."""
        model, answers = self.gpt2, measure.answer_tokens(self.gpt2, self.ioi)

        def difference(logits: Tensor) -> Tensor:
            return measure.logit_diffs(logits[:, -1], answers).mean()

        clean = difference(model(measure.ioi_tokens(model, self.ioi.prompts)))
        corrupted = difference(model(self.corrupted_tokens))
        return lambda logits: (difference(logits) - corrupted) / (clean - corrupted)

    @cached_property
    def corrupted_tokens(self) -> Tensor:
        """The same prompts with the other person giving."""
        return measure.ioi_tokens(self.gpt2, self.ioi.flipped().prompts)


# ---------------------------------------------------------------- the sections


class SentenceError(ValueError):
    """A sentence that cannot be told in two ways."""


def other_giver(sentence: str) -> tuple[str, str, str]:
    """(the sentence with the other person giving, the name that is the answer, the name that gives).

    The giver is the name that stands in the sentence twice, the answer another name. Raises SentenceError.
    """
    words = re.findall(r"\b[A-Z][a-z]+\b", sentence)
    givers = [word for word in dict.fromkeys(words) if words.count(word) == 2]
    others = [word for word in words if words.count(word) == 1]
    if len(others) > 1 and sentence.lstrip().startswith(others[0]):
        others = others[1:]  # "When" is no name
    if len(givers) != 1 or len(others) != 1:
        raise SentenceError(
            f"{sentence!r} should name two people once and one of them again, and end where the other name would come, "
            f"such as {SENTENCE!r}"
        )
    [giver], [answer] = givers, others
    before, _, after = sentence.rpartition(giver)
    return f"{before}{answer}{after}", answer, giver


@torch.no_grad()
def one_sentence(models: Models) -> Section:
    """Where the answer to one sentence travels, and who looks at whom."""
    model, sentence = models.gpt2, models.sentence
    corrupted, answer, giver = other_giver(sentence)
    tokens, corrupted_tokens = model.to_tokens(sentence), model.to_tokens(corrupted)
    if tokens.shape != corrupted_tokens.shape:
        raise SentenceError(
            f"{answer!r} and {giver!r} are not of the same number of tokens here, so the two sentences do not line up"
        )
    try:
        right, wrong = (model.to_single_token(f" {name}") for name in (answer, giver))
    except ValueError:
        raise SentenceError(f"{answer!r} and {giver!r} should be one token each for gpt2-demo") from None

    def difference(logits: Tensor) -> Tensor:
        return logits[0, -1, right] - logits[0, -1, wrong]

    logits, clean = model.run_with_cache(tokens)
    above, below = difference(logits), difference(model(corrupted_tokens))
    resid = patching.get_act_patch_resid_pre(
        model, corrupted_tokens, clean, lambda logits: (difference(logits) - below) / (above - below)
    )
    words = [str(token) for token in model.to_str_tokens(tokens[0])]
    section = Section(
        "Inside one sentence",
        f"“{sentence}” — who gets it? To see where the model keeps its answer, we let it read the sentence with {answer} "
        f"giving, and put back one piece of the first run at a time: one layer, one word. Blue is where that brings the "
        f"answer “ {answer}” back (1 is all of it), so you can follow it from the name to the end of the sentence. The "
        f"answer is measured in logits: the model gives each token of its vocabulary such a number, the likelier the higher.",
    )
    said = model.to_string(logits[0, -1].argmax())
    section.finds(
        f"the model goes on with “{said}”; it puts “ {answer}” {above:+.1f} logits above “ {giver}”",
        above > 0,
    )
    first, last = _largest(resid[:1])[1], _largest(resid[-1:])[1]
    section.finds(
        f"before the first layer the answer hangs on “{words[first]}” (position {first}), before the last on "
        f"“{words[last]}” (position {last})",
        last > first,
    )
    heads = [f"L{layer}H{head}" for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    patterns = torch.cat([clean["pattern", layer][0] for layer in range(model.cfg.n_layers)])
    results = clean.stack_head_results(pos_slice=-1)
    head = int(clean.logit_attrs(results, right, wrong, pos_slice=-1).argmax())  # it says the answer
    looks = patterns[head, -1]
    section.figures += [
        (
            "What each layer and word brings back of the answer. Hover for the numbers.",
            plots.patching_map(resid, words),
        ),
        (
            f"Who looks at whom. It opens at L0H0; click {heads[head]}, which adds most to the answer: from the last word it "
            f"looks at “{words[looks.argmax()]}” with {looks.max():.2f} of its attention. Then hover over a word.",
            plots.attention(words, patterns, heads),
        ),
    ]
    return section


def same_as_hugging_face(models: Models) -> Section:
    """The same model in transformers and here, stage by stage."""
    from transformers.utils import logging

    from cleanlens.parity import parity

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    rows = parity("gpt2-demo")
    section = Section(
        "The same model as Hugging Face's",
        "transformers and cleanlens read the same weights and the same tokens. At every stage we take the "
        "largest difference, in standard deviations of that stage, for the weights as trained and after each "
        "way of rewriting them. The figures show the weights as trained.",
    )
    for dtype in dict.fromkeys(row.dtype for row in rows):
        ours = [row for row in rows if row.dtype == dtype]
        worst = max(ours, key=lambda row: row.error / row.bound)
        name = str(dtype).removeprefix("torch.")
        section.finds(
            f"in {name}, {len(ours)} comparisons agree; the largest error is {worst.error:.0e} "
            f"({worst.stage}), allowed are {worst.bound:.0e}",
            all(row.ok for row in ours),
        )
        raw = [row for row in ours if row.processing == "raw"]
        errors = torch.tensor([max(row.error, 1e-17) for row in raw]).log10()  # 0 has no logarithm
        section.figures.append(
            (
                f"Largest error per stage in {name}, as a power of ten: −6 is a millionth. Lower is better; −17 stands "
                "for no difference at all.",
                plots.line(
                    errors,
                    [row.stage.replace("gradients of ", "∇ ") for row in raw],
                    y_label="log10 of the largest error",
                ),
            )
        )
    return section


def writes(models: Models) -> Section:
    """Sampling, and the key-value cache against reading everything again."""
    model = models.gpt2
    prompt = "Once upon a time"
    torch.manual_seed(1)
    story = model.generate(prompt, max_new_tokens=80, temperature=0.7, top_p=0.95, verbose=False)
    greedy = [
        model.generate(
            prompt,
            40,
            do_sample=False,
            stop_at_eos=False,
            use_past_kv_cache=cached,
            return_type="tokens",
            verbose=False,
        )
        for cached in (True, False)
    ]
    section = Section(
        "It writes",
        f"The embedded model knows one small world. It continues “{prompt}”, token by token. A key-value cache keeps "
        "what attention needs of the tokens so far, so that each new one is computed alone; the text must be the same.",
    )
    section.figures.append(("A story, drawn at temperature 0.7.", story))
    section.finds(
        "greedy text is the same with the key-value cache and without", torch.equal(greedy[0], greedy[1])
    )
    return section


@torch.no_grad()
def induction_heads(models: Models) -> Section:
    """Previous-token and induction heads on random tokens that repeat."""
    model, n = models.attn_only, 25
    tokens = measure.repeated_prompt(n, batch=16, d_vocab=model.cfg.d_vocab)
    patterns = measure.patterns(model, tokens)
    previous = measure.previous_token_scores(patterns)
    induction = measure.induction_scores(patterns, n)
    first, second = measure.repeat_losses(model, tokens, n)
    (pl, ph), (il, ih) = _largest(previous), _largest(induction)

    def silence(z: Tensor, hook: Any) -> None:
        z[:, :, ph] = 0

    with model.hooks(fwd_hooks=[(f"blocks.{pl}.attn.hook_z", silence)]):
        _, without = measure.repeat_losses(model, tokens, n)

    section = Section(
        "Induction heads",
        "Random tokens, then the same tokens again: nothing in them can be guessed but the repetition. A head "
        "of layer 0 looks at the token before; heads of layer 1 look at what came after the same token the "
        "last time, and copy it (Olsson et al. 2022). These are the heads of attn-only-2l-demo. The loss is how surprised "
        f"the model is by each next token, in nats: by one of {model.cfg.d_vocab:,} equally likely tokens it is log {model.cfg.d_vocab} = "
        f"{math.log(model.cfg.d_vocab):.1f} nats.",
    )
    section.finds(
        f"L{pl}H{ph} looks at the previous token with {previous.max():.2f} of its attention",
        previous.max() >= 0.85,
    )
    section.finds(
        f"L{il}H{ih} is an induction head: {induction.max():.2f} of its attention", induction.max() >= 0.9
    )
    section.finds(
        f"the loss falls from {first:.2f} nats on the first pass to {second:.2f} on the second", second <= 0.4
    )
    section.finds(
        f"without L{pl}H{ph} the loss on the second pass is {without:.2f}: the induction heads read what it writes",
        without > second + 3,
    )
    words = model.to_tokens(" Mary has a red ball and Tom", prepend_bos=False)[0]
    short = torch.cat([torch.tensor([model.tokenizer.bos_token_id]), words, words])
    labels = [str(token) for token in model.to_str_tokens(short)]
    _, cache = model.run_with_cache(short, remove_batch_dim=True)
    heads = [f"L{l}H{h}" for l in range(2) for h in range(model.cfg.n_heads)]
    both = torch.cat([cache["pattern", 0], cache["pattern", 1]])
    loss = model(tokens, return_type="loss", loss_per_token=True).mean(dim=0)
    section.figures += [
        (
            "Attention of every head, here on a text that can be read, given twice: “Mary has a red ball and Tom”. It opens "
            f"at L0H0; click L{pl}H{ph}, which looks one token back, and L{il}H{ih}, which in the second half looks at what "
            "came after the same token in the first. Hover over a token.",
            plots.attention(labels, both, heads),
        ),
        (
            "Induction score of each head: its attention to what came after the same token, on the random tokens.",
            plots.head_map(induction, zero_centred=False),
        ),
        (
            "Loss by position on the random tokens: it drops where the repetition starts.",
            plots.line(loss, x_label="position", y_label="loss (nats)"),
        ),
    ]
    return section


@torch.no_grad()
def direct_attribution(models: Models) -> Section:
    """Which heads push the right name's logit up, directly."""
    model = models.gpt2
    prompts = plain_prompts(pairs=4)
    preferences = plain_logit_diffs(model, prompts)
    accuracy = (preferences > 0).float().mean().item()
    data = ioi_prompts(32, seed=1, templates="train", aligned=True)  # the subject first in half of them
    tokens, answers = measure.ioi_tokens(model, data.prompts), measure.answer_tokens(model, data)
    logits, cache = model.run_with_cache(tokens)
    difference = measure.logit_diffs(logits[:, -1], answers).mean()
    heads, labels = cache.stack_head_results(pos_slice=-1, return_labels=True)
    per_head = cache.logit_attrs(heads, answers[:, 0], answers[:, 1], pos_slice=-1).mean(dim=-1)
    parts, part_labels = cache.decompose_resid(pos_slice=-1, return_labels=True)
    per_part = cache.logit_attrs(parts, answers[:, 0], answers[:, 1], pos_slice=-1).mean(dim=-1)
    bias = model.b_U[answers[:, 0]] - model.b_U[answers[:, 1]]
    best = per_head.topk(4)
    named = ", ".join(f"{labels[i]} {value:+.1f}" for value, i in zip(*best))
    section = Section(
        "Who says the name",
        f"“{data.prompts[0]}” — and the model says “ {data.io[0]}”. Every layer adds "
        "what it finds to one vector for each position, the residual stream, from which the logits are read at the end. So its "
        "logit minus that of the other name is a sum over everything written there; taking that sum apart is called direct "
        f"logit attribution. Two sets of sentences are measured: everyday ones, and {len(data.prompts)} of the kind that it "
        "was trained on, such as the one above, from which the sum and the figures are.",
    )
    section.finds(
        f"in {len(SENTENCES)} everyday sentences that nobody made for it, such as “{prompts[0].text}”, with "
        f"{len(prompts)} choices of names, it prefers the right name in {accuracy:.1%}, by {preferences.mean():.1f} logits",
        accuracy >= 0.97 and preferences.mean() >= 3,
    )
    error = (per_part.sum() + bias.mean() - difference).abs().item()
    section.finds(
        f"in the {len(data.prompts)} sentences like those of its training the logit difference is {difference:.2f}; the parts "
        f"add up to it, to {error:.0e}",
        error < 1e-3,
    )
    share = best.values.sum() / per_part.sum()
    section.finds(
        f"four heads say most of these {difference:.2f}: {named} ({share:.0%} of the whole)", share >= 0.5
    )
    grid = per_head.reshape(model.cfg.n_layers, model.cfg.n_heads)
    section.figures += [
        ("What each head adds to the logit difference.", plots.head_map(grid)),
        ("What each layer adds.", plots.bar(per_part, part_labels, y_label="logit difference")),
    ]
    return section


@torch.no_grad()
def patched_open(models: Models) -> Section:
    """Where the answer travels, by patching the residual stream and the heads."""
    model = models.gpt2
    _, clean = model.run_with_cache(measure.ioi_tokens(model, models.ioi.prompts))
    sweep = (model, models.corrupted_tokens, clean, models.ioi_metric)
    resid = patching.get_act_patch_resid_pre(*sweep)
    heads = patching.get_act_patch_attn_head_out_all_pos(*sweep)
    first = measure.ioi_tokens(model, models.ioi.prompts[:1])[0]
    tokens = [str(token) for token in model.to_str_tokens(first)]
    starts, ends = _largest(resid[:1])[1], _largest(resid[-1:])[1]
    section = Section(
        "Patched open",
        "In the corrupted prompts the other person gives, and the answer flips. We put one activation of the "
        "clean run at a time into the corrupted run: 0 means that nothing changed, 1 that the clean answer is "
        "back. So the information can be followed from the name to the end of the sentence.",
    )
    section.finds(
        f"before layer 0 it stands at the giver's name (position {starts}, “{tokens[starts]}”): patching it restores "
        f"{resid[0, starts]:.0%}",
        resid[0, starts] > 0.9,
    )
    section.finds(
        f"before the last layer it has moved: position {ends}, “{tokens[ends]}”, restores the most, {resid[-1, ends]:.0%}",
        ends > starts and resid[-1, ends] > 0.3,
    )
    layer, head = _largest(heads)
    section.finds(
        f"of all heads L{layer}H{head} restores the most, {heads.max():.0%}; the median head restores {heads.median():.0%}",
        heads.max() > 0.15 and heads.median() < heads.max() / 2,
    )
    section.figures += [
        (
            "Residual stream, layer by position. The tokens are the first prompt's.",
            plots.patching_map(resid, tokens),
        ),
        ("Each head's output at all positions.", plots.head_map(heads)),
    ]
    return section


@torch.no_grad()
def phase_change(models: Models) -> Section:
    """Induction appears within a short stretch of the training."""
    steps, _ = get_checkpoint_labels("attn-only-2l-demo")
    # Until step 1,200 the model was trained on the vocabulary's first tokens only: these are watched.
    tokens = measure.repeated_prompt(25, batch=8, d_vocab=ATTN_ONLY.first_tokens)
    curves: dict[str, list[float]] = {"previous-token head": [], "induction head": [], "loss": []}
    for step in steps:
        model = models.load("attn-only-2l-demo", checkpoint_value=step)
        patterns = measure.patterns(model, tokens)
        values = (
            measure.previous_token_scores(patterns).max().item(),
            measure.induction_scores(patterns, 25).max().item(),
            measure.repeat_losses(model, tokens, 25)[1],
        )
        for curve, value in zip(curves.values(), values):
            curve.append(value)
    induction = torch.tensor(curves["induction head"])
    jump = int(induction.diff().argmax())
    section = Section(
        "A phase change",
        f"The package carries {len(steps)} moments of the training of attn-only-2l-demo. For hundreds of steps "
        "nothing seems to happen; then induction forms, and the loss falls (Olsson et al. 2022).",
    )
    section.finds(
        f"at step {steps[0]} there is no induction ({induction[0]:.2f}), at the end there is ({induction[-1]:.2f})",
        induction[0] < 0.1 and induction[-1] > 0.9,
    )
    section.finds(
        f"the steepest part lies between steps {steps[jump]} and {steps[jump + 1]}: {induction[jump]:.2f} → {induction[jump + 1]:.2f}",
        induction[jump + 1] - induction[jump] > 0.15,
    )
    loss = curves.pop("loss")
    figure = plots.line_panels(
        {"best head's score": curves, "loss, second pass (nats)": loss}, steps, x_label="step of the training"
    )
    figure.update_layout(margin_t=48)  # the curves' names end below the buttons
    section.figures.append(
        (
            "What grows when: the attention of the best previous-token head and of the best induction head, and the loss where "
            "the random tokens come again. Each dot is a moment that was kept, step 0 the first.",
            figure,
        )
    )
    return section


# Plain sentences in which somebody gives something to the other one.
REAL_PROMPTS = [
    "When {A} and {B} went to the shops, {S} gave the bag to",
    "After {A} and {B} went to the park, {S} gave a drink to",
]
REAL_NAMES = [("Mary", "John"), ("Tom", "James"), ("Dan", "Martin"), ("David", "Paul")]


@torch.no_grad()
def real_text(models: Models) -> Section | None:
    """Induction heads and indirect objects in a model of real text, if one is here."""
    name = best_real_model()
    if name is None:
        return None
    model, n = models.load(name), 25
    tokens = measure.repeated_prompt(n, batch=2, d_vocab=model.cfg.d_vocab)
    patterns = measure.patterns(model, tokens)
    induction, previous = measure.induction_scores(patterns, n), measure.previous_token_scores(patterns)
    (pl, ph), (il, ih) = _largest(previous), _largest(induction)
    first, second = measure.repeat_losses(model, tokens, n)

    pairs = [pair for a, b in REAL_NAMES for pair in ((a, b, a), (a, b, b))]
    prompts = [text.format(A=a, B=b, S=s) for text in REAL_PROMPTS for a, b, s in pairs]
    answers = [(b if s == a else a, s) for _ in REAL_PROMPTS for a, b, s in pairs]
    ids = torch.tensor([[model.to_single_token(f" {word}") for word in pair] for pair in answers])
    ends = torch.tensor([model.to_tokens(prompt).shape[1] - 1 for prompt in prompts])
    logits = model(prompts, padding_side="right")[range(len(prompts)), ends]
    difference = measure.logit_diffs(logits, ids)

    section = Section(
        "And in a model that learned from real text",
        f"The same questions to {name} ({model.cfg.n_layers} layers of {model.cfg.n_heads} heads), which nobody "
        f"here trained. Random tokens that repeat, and {len(prompts)} sentences such as “{prompts[0]}”.",
    )
    section.finds(
        f"L{il}H{ih} is an induction head: {induction.max():.2f} of its attention", induction.max() >= 0.7
    )
    section.finds(
        f"L{pl}H{ph} looks at the previous token with {previous.max():.2f} of its attention; it comes first",
        previous.max() >= 0.7 and pl < il,
    )
    section.finds(
        f"the loss falls from {first:.1f} nats on the first pass to {second:.1f} on the second",
        second < first / 2,
    )
    section.finds(
        f"the indirect object is preferred in {(difference > 0).float().mean():.0%} of the sentences, "
        f"by {difference.mean():.1f} logits",
        (difference > 0).float().mean() >= 0.9 and difference.mean() > 2,
    )
    section.figures.append(
        (f"Induction score of each head of {name}.", plots.head_map(induction, zero_centred=False))
    )
    return section


def grades(models: Models) -> Section:
    """A right answer, and a wrong one whose mistake is named."""
    from cleanlens.course import catalog, proof, report
    from cleanlens.course.judge import Judge

    exercise = catalog.find("00.2")
    right, wrong = exercise.alternatives[0], exercise.mistakes[0]
    judge = Judge(exercise, range(exercise.seeds))
    verdicts = [proof.verdict(exercise, answer, 0, judge) for answer in (right, wrong)]
    section = Section(
        "It knows which mistake you made",
        "The course's checks compare an answer with an oracle, a solution that was written in another way, and when it differs, "
        "with the mistakes that "
        "people make. Here are a right and a wrong answer to exercise 00.2, and what a learner would see.",
    )
    section.finds("the right answer passes", verdicts[0].passed)
    section.finds(f"the wrong one is recognised: “{wrong.hint}”", verdicts[1].mistake == wrong.slug)
    section.figures.append(("The wrong answer …", wrong.source))
    section.figures.append(("… and the verdict on it.", report.text(verdicts[1])))
    return section


SECTIONS: list[Callable[[Models], Section | None]] = [
    one_sentence,
    writes,
    direct_attribution,
    patched_open,
    induction_heads,
    phase_change,
    grades,
    same_as_hugging_face,
    real_text,
]

NEXT = [
    (
        'cleanlens tour --open --sentence "When Tom and Lily went to the shop, Lily gave a book to"',
        "ask it your own",
    ),
    ("cleanlens", "where you are in the course, and what is next"),
    ("cleanlens lab 00", "read the first chapter"),
    ("cleanlens watch 00", "write its answers, save, and see which mistake it is"),
    ("cleanlens site", "the course and the library as pages to read"),
]


def _largest(scores: Tensor) -> tuple[int, int]:
    """Row and column of the largest entry."""
    row, column = divmod(int(scores.argmax()), scores.shape[-1])
    return row, column


# ---------------------------------------------------------------- showing it


def sections(progress: Callable[[str], None] = lambda title: None, sentence: str = "") -> Iterator[Section]:
    """Every section, as soon as it is measured; `progress` hears what comes next."""
    models = Models(sentence)
    for make in SECTIONS:
        progress((make.__doc__ or "").split("\n")[0])
        section = make(models)
        if section is not None:  # it needs something that is not here
            yield section


def page(tour: list[Section]) -> str:
    """The tour as one HTML page that asks nothing of the network."""
    blocks = []
    for number, section in enumerate(tour, 1):
        findings = "\n".join(
            f'<li class="{"holds" if finding.holds else "fails"}"><b>{"✓ holds" if finding.holds else "✗ fails"}</b> '
            f"{escape(finding.claim)}</li>"
            for finding in section.findings
        )
        figures = "\n".join(
            f"<figure>{plots.to_html(figure)}<figcaption>{escape(caption)}</figcaption></figure>"
            for caption, figure in section.figures
        )
        blocks.append(
            f"<section><h2>{number}. {escape(section.title)}</h2><p>{escape(section.text)}</p>"
            f"<ul>{findings}</ul>{figures}</section>"
        )
    commands = "\n".join(
        f"<dt><code>{escape(command)}</code></dt><dd>{escape(what)}</dd>" for command, what in NEXT
    )
    blocks.append(f'<section id="next"><h2>What next?</h2><dl>{commands}</dl></section>')
    words = "\n".join(f"<dt>{word}</dt><dd>{meaning}</dd>" for word, meaning in glossary())
    blocks.append(f'<section id="glossary"><h2>Glossary</h2><dl>{words}</dl></section>')
    return PAGE.format(scripts=plots.page_scripts(), body="\n".join(blocks))


def glossary() -> list[tuple[str, str]]:
    """The course's words and what they mean, as HTML. They go on the page, which may be taken anywhere."""
    text = (home() / "chapters" / "GLOSSARY.md").read_text(encoding="utf-8")
    found = re.findall(r"^- \*\*(.+?)\*\*: (.+?)\s\[\w+\]\(", text, re.MULTILINE | re.DOTALL)
    return [
        (escape(word), re.sub(r"`(.+?)`", r"<code>\1</code>", escape(meaning))) for word, meaning in found
    ]


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>cleanlens: the tour</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 17px/1.55 system-ui, sans-serif; color: #1c2330; background: #fff; margin: 0; }}
main {{ max-width: 56rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }}
h1 {{ margin-bottom: .2rem; }} h2 {{ margin-top: 3rem; border-top: 1px solid #d8dde6; padding-top: 1.2rem; }}
ul {{ list-style: none; padding: 0; }} li {{ padding: .45rem .8rem; margin: .35rem 0; border-left: 4px solid; border-radius: 3px; }}
.holds {{ border-color: #1b7f4b; background: #eef8f2; }} .holds b {{ color: #14603a; }}
.fails {{ border-color: #b3261e; background: #fdeeed; }} .fails b {{ color: #8c1d18; }}
figure {{ margin: 1.5rem 0; overflow-x: auto; }} figcaption {{ color: #555f70; font-size: .9rem; }}
dt {{ margin-top: .6rem; overflow-wrap: anywhere; }} dd {{ margin: 0 0 0 1.2rem; color: #444f60; }}
pre {{ background: #f4f6f9; padding: 1rem; white-space: pre-wrap; border-radius: 4px; font-size: .92rem; }}
</style>
{scripts}
</head><body><main>
<h1>cleanlens</h1>
<p>A hooked transformer you can read in an afternoon, and a course that knows which mistake you made. Everything
below was just measured on the models that come with the package, and on a larger one if you fetched it. Terms are explained
where they first come; all the words of the course stand in the <a href="#glossary">glossary</a> at the end.</p>
{body}
</main></body></html>
"""


def activation() -> str:
    """The command that puts this Python's environment on the PATH, as typed from here; "" where there is none."""
    script = Path(sys.prefix, "Scripts" if os.name == "nt" else "bin", "activate")
    if not script.is_file():
        return ""
    with contextlib.suppress(ValueError):  # it is not below this folder
        script = script.relative_to(Path.cwd())
    return str(script) if os.name == "nt" else f"source {shlex.quote(str(script))}"


def run(out: Path | None = None, sentence: str = "", open_page: bool = False) -> int:
    """Take the tour, print the findings, write the page. 0 when every finding holds, else 1.

    Args:
        sentence: to look into first, instead of `SENTENCE`. SentenceError when it does not fit.
        open_page: show the page in the browser.
    """
    out = Path("tour.html") if out is None else out
    out.parent.mkdir(parents=True, exist_ok=True)  # before the work, so that a bad path costs nothing
    console, started = Console(), time.time()
    done: list[Section] = []
    bar = Progress(
        BarColumn(20), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
    )
    with bar:
        task = bar.add_task("", total=len(SECTIONS))
        for section in sections(lambda title: bar.update(task, description=title), sentence):
            bar.advance(task)
            console.print(f"\n[bold]{len(done) + 1}. {plain(section.title)}[/]")
            for finding in section.findings:
                sign, style = ("✓", "green") if finding.holds else ("✗ does not hold:", "bold red")
                lines = Text("\n".join(wrapped(f"  {sign} {finding.claim}", width())))
                lines.stylize(style, 2, 2 + len(sign))
                console.print(lines, highlight=False, soft_wrap=True)
            done.append(section)
    out.write_text(page(done), encoding="utf-8")
    if best_real_model() is None:
        console.print(
            "\nThe same in a model that learned from real text: cleanlens fetch smollm2-135m, then again."
        )
    failed = [finding for section in done for finding in section.findings if not finding.holds]
    console.print(
        f"\n{'Every finding holds' if not failed else f'{len(failed)} findings do not hold'} "
        f"({time.time() - started:.0f} s). The figures are in {plain(str(out))} "
        f"({out.stat().st_size / 1e6:.0f} MB; it needs no network).",
        highlight=False,
    )
    console.print("\nWhat next?")
    activate = [] if shutil.which("cleanlens") else [(activation(), "so that the command cleanlens is found")]
    for command, what in [*(pair for pair in activate if pair[0]), *NEXT]:
        console.print(f"  [bold]{plain(command)}[/]\n      {plain(what)}", highlight=False, soft_wrap=True)
    if open_page:
        webbrowser.open(out.resolve().as_uri())
    return 1 if failed else 0
