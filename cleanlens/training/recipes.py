"""The two recipes: everything that decides what the embedded models are, in one place."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.training import formats, measure
from cleanlens.training.corpus import documents, ioi_prompts
from cleanlens.training.data import BOS, MakeBatch, mixture, pack, repeats_only
from cleanlens.training.grow import grow
from cleanlens.training.plain import plain_accuracy, plain_prompts
from cleanlens.training.tokenizer import VOCAB_SIZE, save_tokenizer, tokenizer_texts, train_tokenizer
from cleanlens.training.train import init_weights, restarted, train, warmup_hold_cosine

N_CTX = 128
EMBEDDED = Path(__file__).parent.parent / "models"


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training run."""

    steps: int
    batch: int  # rows of N_CTX tokens per step
    learning_rate: float
    hold: int  # the learning rate is constant until this step, then falls along a cosine to the end
    stories: float  # share of the rows that are packed documents, the others being repeated random tokens
    stories_from: int  # ... from this step on; before it there are none
    n_documents: int
    dense_from: int | None = None  # from this step on, documents with more scenes and more givings in each
    # The learning rate has fallen to nearly nothing at this step, rises once more to `restart_rate` and falls again; from here on
    # many of the scenes are of people who come into the text one by one.
    restart: int | None = None
    restart_rate: float = 0.0
    # Repeated random tokens are drawn from the vocabulary's first so many entries ...
    first_tokens: int = VOCAB_SIZE
    first_until: int = 0  # ... before this step, and from all of it afterwards
    weight_decay: float = 0.01
    bfloat16: bool = False  # matrix products in bfloat16
    seed: int = 0


ATTN_ONLY = Recipe(
    steps=2600,
    batch=32,
    learning_rate=2e-3,
    first_tokens=512,
    first_until=1200,
    hold=1500,
    stories=0.0,
    stories_from=2600,
    n_documents=50_000,
    bfloat16=True,
)
GPT2 = Recipe(
    steps=10_500,
    batch=16,
    learning_rate=1e-3,
    hold=5200,
    stories=0.8,
    stories_from=0,
    n_documents=180_000,
    dense_from=1800,
    restart=7500,
    restart_rate=6e-4,
    bfloat16=True,
    seed=1,
)
# The checkpoints that ship with the attention-only model: close together where induction appears. The last label is the
# finished model's, which is not stored twice.
CHECKPOINTS = [0, 300, 600, 650, 700, 750, 800, 900, 1200, 1500, ATTN_ONLY.steps]
# The six-layer model is grown from the two-layer one as it was at this step, which has seen no document. Its induction heads
# come late: the layers before them can find out who is who, and what copies well, an induction head, comes after.
GROW_FROM_STEP = 1500
GROW_INTO_LAYERS = (0, 4)


def attn_only_config() -> HookedTransformerConfig:
    return HookedTransformerConfig(
        n_layers=2,
        d_model=160,
        n_ctx=N_CTX,
        d_head=40,
        n_heads=4,
        d_vocab=VOCAB_SIZE,
        attn_only=True,
        normalization_type="LN",
        device="cpu",
        init_weights=False,
    )


def gpt2_config() -> HookedTransformerConfig:
    return HookedTransformerConfig(
        n_layers=6,
        d_model=160,
        n_ctx=N_CTX,
        d_head=40,
        n_heads=4,
        d_mlp=640,
        d_vocab=VOCAB_SIZE,
        act_fn="gelu_new",
        normalization_type="LN",
        device="cpu",
        init_weights=False,
    )


def new_model(cfg: HookedTransformerConfig, seed: int) -> HookedTransformer:
    """A model to train. Its output bias stays zero, because GPT-2 has none."""
    model = HookedTransformer(cfg)
    init_weights(model, seed)
    model.unembed.b_U.requires_grad_(False)
    return model


def corpus_tokenizer() -> Tokenizer:
    """The tokenizer of both models, always from the same texts, whatever a run's seed."""
    return train_tokenizer(tokenizer_texts())


class Curve:
    """What the model could do every so many steps, kept in the model's folder as training_curve.json.

    For a model with MLPs also the birth of its circuit: accuracy on plain sentences (over all and in the worst
    sentence and order), how far the best name mover looks from the end to the indirect object, and how well it copies.
    """

    def __init__(self, model: HookedTransformer, tokenizer: Tokenizer, out: Path, every: int = 250):
        self.model, self.every, self.path = model, every, out / "training_curve.json"
        self.encode = lambda text: tokenizer.encode(text).ids
        self.prompts = ioi_prompts(200, seed=123)
        aligned = ioi_prompts(100, seed=123, aligned=True)
        tokens = torch.tensor([[BOS, *self.encode(text)] for text in aligned.prompts])
        answers = torch.tensor(
            [[self.encode(f" {io}")[0], self.encode(f" {s}")[0]] for io, s in zip(aligned.io, aligned.s)]
        )
        self.names_in_prompts = tokens, measure.places(tokens, answers).io
        self.losses: list[float] = []
        self.entries = json.loads(self.path.read_text()) if self.path.exists() else []

    def names(self) -> dict[str, float | str]:
        """What the model does with names."""
        ioi = measure.ioi_accuracy(self.model, self.prompts, self.encode)
        plain = plain_accuracy(self.model, pairs=6, encode=self.encode)
        attention = measure.plain_attention(self.model, plain_prompts(pairs=4), self.encode)
        copies = measure.copy_scores(self.model, *self.names_in_prompts)
        layer, head = measure.name_mover(attention, copies)
        entry: dict[str, float | str] = {f"ioi_{name}": value for name, value in ioi.items()}
        entry |= {"plain": plain.mean().item(), "plain_worst": plain.min().item()}
        entry |= {"mover": f"L{layer}H{head}", "mover_copies": copies[layer, head].item()}
        entry |= {"mover_to_io": attention["end to IO"][layer, head].item()}
        entry |= {"mover_to_s1": attention["end to S1"][layer, head].item()}
        return entry

    def __call__(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        if step % self.every:
            return
        entry: dict[str, float | str] = {"step": step, "loss": sum(self.losses) / len(self.losses)}
        entry |= measure.repeat_summary(self.model)
        entry |= {} if self.model.cfg.attn_only else self.names()
        entry = {
            name: round(value, 3) if isinstance(value, float) else value for name, value in entry.items()
        }
        self.entries = [e for e in self.entries if e["step"] < step] + [entry]
        self.losses = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("[\n  " + ",\n  ".join(map(json.dumps, self.entries)) + "\n]\n")


def run(
    model: HookedTransformer,
    recipe: Recipe,
    tokenizer: Tokenizer,
    out: Path,
    resume: bool,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train `model` as the recipe says; the state to resume from stays beside the model's folder."""

    @cache  # made when first needed: a resumed run may be past the first kind
    def texts(dense: bool, apart: bool) -> MakeBatch:
        made = documents(recipe.n_documents, recipe.seed + dense + apart, dense, apart)
        return mixture(pack(made, tokenizer, N_CTX), recipe.stories, recipe.batch, VOCAB_SIZE, recipe.seed)

    few = repeats_only(recipe.batch, N_CTX, recipe.first_tokens, recipe.seed)
    repeats = repeats_only(recipe.batch, N_CTX, VOCAB_SIZE, recipe.seed)
    if not resume:
        (out / "training_curve.json").unlink(missing_ok=True)
    curve = Curve(model, tokenizer, out, every=100 if model.cfg.attn_only else 250)

    def watch(step: int, loss: float) -> None:
        curve(step, loss)
        on_step(step, loss)

    def make_batch(step: int) -> Tensor:
        if step < recipe.stories_from:
            return (few if step < recipe.first_until else repeats)(step)
        dense = recipe.dense_from is not None and step >= recipe.dense_from
        apart = recipe.restart is not None and step >= recipe.restart
        return texts(dense, apart)(step)

    end = recipe.steps if recipe.restart is None else recipe.restart
    rate = warmup_hold_cosine(recipe.learning_rate, end, recipe.hold)
    if recipe.restart is not None:
        rate = restarted(rate, end, warmup_hold_cosine(recipe.restart_rate, recipe.steps - end))

    train(
        model,
        make_batch,
        recipe.steps,
        rate,
        recipe.weight_decay,
        watch,
        state=out.parent / f"{out.name}.state",
        resume=resume,
        bfloat16=recipe.bfloat16,
        first_tokens=recipe.first_tokens,
        first_until=recipe.first_until,
    )


def make_attn_only(recipe: Recipe, out: Path, resume: bool = False) -> HookedTransformer:
    """Train `attn-only-2l-demo` and write its folder, checkpoints included."""
    tokenizer = corpus_tokenizer()
    save_tokenizer(tokenizer, out)
    model = new_model(attn_only_config(), recipe.seed)

    def keep(step: int, loss: float) -> None:
        if step in CHECKPOINTS and step < recipe.steps:
            formats.save_checkpoint(formats.parameters(model), out, step)

    run(model, recipe, tokenizer, out, resume, keep)
    formats.save_cleanlens(model, out, [*(step for step in CHECKPOINTS if step < recipe.steps), recipe.steps])
    return model


def make_gpt2(
    recipe: Recipe, out: Path, small: Mapping[str, Tensor], resume: bool = False
) -> HookedTransformer:
    """Grow `gpt2-demo` from the attention-only weights `small`, train it on and write its folder."""
    tokenizer = corpus_tokenizer()
    save_tokenizer(tokenizer, out)
    model = new_model(gpt2_config(), recipe.seed)
    grow(model, small, GROW_INTO_LAYERS)
    run(model, recipe, tokenizer, out, resume)
    formats.save_gpt2(model, out)
    return model


def starting_point(folder: Path) -> Path:
    """The weights of the attention-only model in `folder` that `gpt2-demo` grows from."""
    return folder / "checkpoints" / f"step-{GROW_FROM_STEP:06d}.safetensors"
