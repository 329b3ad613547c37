"""The two recipes: everything that decides what the embedded models are, in one place."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.training import formats, measure
from cleanlens.training.corpus import documents, ioi_prompts
from cleanlens.training.data import mixture, pack, repeats_only
from cleanlens.training.grow import grow
from cleanlens.training.tokenizer import VOCAB_SIZE, save_tokenizer, train_tokenizer
from cleanlens.training.train import init_weights, train, warmup_hold_cosine

N_CTX = 128
EMBEDDED = Path(__file__).parent.parent / "models"


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training run."""

    steps: int
    batch: int  # rows of N_CTX tokens per step
    learning_rate: float
    hold: int  # the learning rate is constant until this step, then falls along a cosine
    stories: float  # share of the rows that are packed documents, the others being repeated random tokens
    stories_from: int  # ... from this step on; before it there are none
    n_documents: int
    varied: bool = False  # IOI sentences in more phrasings
    weight_decay: float = 0.01
    bfloat16: bool = False  # matrix products in bfloat16
    seed: int = 0


ATTN_ONLY = Recipe(
    steps=2500,
    batch=32,
    learning_rate=2e-3,
    hold=1600,
    stories=0.5,
    stories_from=1500,
    n_documents=100_000,
)
GPT2 = Recipe(
    steps=4200,
    batch=16,
    learning_rate=1e-3,
    hold=2000,
    stories=0.75,
    stories_from=0,
    n_documents=150_000,
    varied=True,
    bfloat16=True,
    seed=1,
)
# The checkpoints that ship with the attention-only model: close together where induction appears. The last is
# the finished model.
CHECKPOINTS = [0, 100, 300, 600, 800, 850, 900, 950, 1000, 1050, 1100, 1200, 1500, 2500]
# The four-layer model is grown from the two-layer one as it was just before it saw any document. Its new layers
# all come after the induction heads, so that there is room for heads that read what those have found.
GROW_FROM_STEP = 1500
GROW_INTO_LAYERS = (0, 1)


def attn_only_config() -> HookedTransformerConfig:
    return HookedTransformerConfig(
        n_layers=2,
        d_model=128,
        n_ctx=N_CTX,
        d_head=32,
        n_heads=4,
        d_vocab=VOCAB_SIZE,
        attn_only=True,
        normalization_type="LN",
        device="cpu",
        init_weights=False,
    )


def gpt2_config() -> HookedTransformerConfig:
    return HookedTransformerConfig(
        n_layers=4,
        d_model=128,
        n_ctx=N_CTX,
        d_head=32,
        n_heads=4,
        d_mlp=512,
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
    """The tokenizer of both models, always from the same documents, whatever a run's seed."""
    return train_tokenizer(documents(20_000, seed=0))


class Curve:
    """What the model could do every 250 steps, kept in the model's folder as training_curve.json."""

    def __init__(self, model: HookedTransformer, tokenizer: Tokenizer, out: Path, every: int = 250):
        self.model, self.every, self.path = model, every, out / "training_curve.json"
        self.encode = lambda text: tokenizer.encode(text).ids
        self.prompts = ioi_prompts(200, seed=123)
        self.losses: list[float] = []
        self.entries = json.loads(self.path.read_text()) if self.path.exists() else []

    def __call__(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        if step % self.every:
            return
        entry = {"step": step, "loss": sum(self.losses) / len(self.losses)}
        entry |= measure.repeat_summary(self.model)
        entry |= {
            f"ioi_{k}": v for k, v in measure.ioi_accuracy(self.model, self.prompts, self.encode).items()
        }
        entry = {name: value if name == "step" else round(value, 3) for name, value in entry.items()}
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
    rows = pack(documents(recipe.n_documents, recipe.seed, recipe.varied), tokenizer, N_CTX)
    repeats = repeats_only(recipe.batch, N_CTX, VOCAB_SIZE, recipe.seed)
    mixed = mixture(rows, recipe.stories, recipe.batch, VOCAB_SIZE, recipe.seed)
    if not resume:
        (out / "training_curve.json").unlink(missing_ok=True)
    curve = Curve(model, tokenizer, out)

    def watch(step: int, loss: float) -> None:
        curve(step, loss)
        on_step(step, loss)

    train(
        model,
        lambda step: (repeats if step < recipe.stories_from else mixed)(step),
        recipe.steps,
        warmup_hold_cosine(recipe.learning_rate, recipe.steps, recipe.hold),
        recipe.weight_decay,
        watch,
        state=out.parent / f"{out.name}.state",
        resume=resume,
        bfloat16=recipe.bfloat16,
    )


def make_attn_only(recipe: Recipe, out: Path, resume: bool = False) -> HookedTransformer:
    """Train `attn-only-2l-demo` and write its folder, checkpoints included."""
    tokenizer = corpus_tokenizer()
    save_tokenizer(tokenizer, out)
    model = new_model(attn_only_config(), recipe.seed)

    def keep(step: int, loss: float) -> None:
        if step in CHECKPOINTS:
            formats.save_checkpoint(model, out, step)

    run(model, recipe, tokenizer, out, resume, keep)
    formats.save_cleanlens(model, out, [step for step in CHECKPOINTS if step <= recipe.steps])
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
    """The checkpoint of the attention-only model in `folder` that `gpt2-demo` grows from."""
    return folder / "checkpoints" / f"step-{GROW_FROM_STEP:06d}.safetensors"
