"""What the embedded models can do and which heads do it, measured on their weights.

The model cards' tables and the tests are made of these functions. The model is anything with the
HookedTransformer's hooks; sizes are small enough that each call takes a second or so on a CPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.training.corpus import IOIDataset
from cleanlens.training.data import BOS, seeded
from cleanlens.training.plain import PlainPrompt

Encode = Callable[[str], list[int]]

# ------------------------------------------------------------------------- repeated random tokens


def repeated_prompt(
    n: int, batch: int = 16, d_vocab: int = 4096, seed: int = 0, prefix: int = 0
) -> Int[Tensor, "batch pos"]:
    """BOS, `prefix` random tokens, then `n` random tokens twice: [batch, 1 + prefix + 2n]."""
    generator = seeded(seed, n, prefix)
    start = torch.randint(BOS + 1, d_vocab, (batch, prefix), generator=generator)
    half = torch.randint(BOS + 1, d_vocab, (batch, n), generator=generator)
    return torch.cat([torch.full((batch, 1), BOS), start, half, half], dim=1)


def patterns(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "layer batch head query key"]:
    """The attention patterns of every layer."""
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_pattern"))
    return torch.stack([cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(model.cfg.n_layers)])


def previous_token_scores(
    pattern: Float[Tensor, "layer batch head query key"],
) -> Float[Tensor, "layer head"]:
    """Mean attention from each position to the one before it."""
    return pattern.diagonal(-1, -2, -1).mean((1, 3))


def induction_scores(
    pattern: Float[Tensor, "layer batch head query key"], n: int, prefix: int = 0
) -> Float[Tensor, "layer head"]:
    """Mean attention, in the second repeat, to the token after the same token's first occurrence.

    That token is `n - 1` positions back. The diagonal's rows before the second repeat are left out.
    """
    return pattern.diagonal(-(n - 1), -2, -1)[..., prefix + 2 :].mean((1, 3))


def repeat_losses(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"], n: int, prefix: int = 0
) -> tuple[float, float]:
    """Mean loss in nats on the first repeat and on the second one.

    The first token of the second repeat cannot be foreseen, so it counts in neither.
    """
    loss = model(tokens, return_type="loss", loss_per_token=True)  # [batch, pos - 1]; column i predicts i + 1
    return loss[:, prefix : prefix + n].mean().item(), loss[:, prefix + n + 1 :].mean().item()


# ---------------------------------------------------------------------- indirect object identification


def ioi_tokens(model: HookedTransformer, prompts: list[str]) -> Int[Tensor, "batch pos"]:
    """Tokens with BOS; the prompts must have one length, so that nothing is padded."""
    lengths = {len(model.to_tokens(prompt)[0]) for prompt in prompts}
    if len(lengths) > 1:
        raise ValueError(f"prompts of {sorted(lengths)} tokens; take ioi_prompts(..., aligned=True).")
    return model.to_tokens(prompts)


def answer_tokens(model: HookedTransformer, data: IOIDataset) -> Int[Tensor, "batch 2"]:
    """The indirect object's token and the subject's."""
    single = model.to_single_token
    return torch.tensor([[single(f" {io}"), single(f" {s}")] for io, s in zip(data.io, data.s)])


def logit_diffs(
    logits: Float[Tensor, "batch d_vocab"], answers: Int[Tensor, "batch 2"]
) -> Float[Tensor, " batch"]:
    """Logit of the indirect object minus logit of the subject."""
    right, wrong = logits.gather(1, answers.to(logits.device)).unbind(1)
    return right - wrong


@torch.no_grad()
def ioi_accuracy(
    model: HookedTransformer, data: IOIDataset, encode: Encode | None = None
) -> dict[str, float]:
    """`accuracy` (indirect object above subject), `top1` (above every token), mean `logit_diff`.

    The prompts may differ in length: each length makes a batch of its own, so nothing is padded.

    Args:
        encode: text to token ids without BOS; the model's own tokenizer when None.
    """
    encode = encode or (lambda text: model.tokenizer.encode(text, add_special_tokens=False))
    by_length: dict[int, list[tuple[list[int], int, int]]] = {}
    for prompt, io, s in zip(data.prompts, data.io, data.s):
        tokens = [BOS, *encode(prompt)]
        [right], [wrong] = encode(f" {io}"), encode(f" {s}")
        by_length.setdefault(len(tokens), []).append((tokens, right, wrong))
    diffs, top = [], []
    for group in by_length.values():
        rows, right, wrong = (torch.tensor(column) for column in zip(*group))
        logits = model(rows)[:, -1].cpu()
        diffs.append(logit_diffs(logits, torch.stack([right, wrong], dim=1)))
        top.append(logits.argmax(-1) == right)
    diff = torch.cat(diffs)
    return {
        "accuracy": (diff > 0).float().mean().item(),
        "top1": torch.cat(top).float().mean().item(),
        "logit_diff": diff.mean().item(),
    }


@torch.no_grad()
def repeat_summary(
    model: HookedTransformer,
    lengths=(12, 25, 50),
    batch: int = 16,
    seed: int = 0,
    d_vocab: int | None = None,
) -> dict[str, float]:
    """Losses on both repeats and the best previous-token and induction scores, averaged over `lengths`.

    Args:
        d_vocab: draw the tokens from the vocabulary's first so many entries; from all when None.
    """
    total = torch.zeros(4)
    for n in lengths:
        tokens = repeated_prompt(n, batch, d_vocab or model.cfg.d_vocab, seed)
        pattern = patterns(model, tokens)
        best = previous_token_scores(pattern).max(), induction_scores(pattern, n).max()
        total += torch.tensor([*repeat_losses(model, tokens, n), *best])
    names = ("first_loss", "second_loss", "previous_token", "induction")
    return dict(zip(names, (total / len(lengths)).tolist()))


# ------------------------------------------------------------------------------- head by head (IOI)


@torch.no_grad()
def direct_to(
    model: HookedTransformer, data: IOIDataset, direction: Float[Tensor, "d_model batch"]
) -> tuple[Float[Tensor, "layer head"], Float[Tensor, " layer"]]:
    """What each head, and each MLP, writes along `direction` at the last token, through the final LayerNorm's scale.

    Expects a model whose `ln_final` is folded and whose unembedding is centred, as `from_pretrained` gives.
    """
    _, cache = model.run_with_cache(ioi_tokens(model, data.prompts))
    scale = cache["ln_final.hook_scale"][:, -1]  # [batch, 1]
    heads, mlps = [], []
    for layer, W_O in enumerate(model.W_O):
        written = torch.einsum("bhe,hed->hbd", cache[f"blocks.{layer}.attn.hook_z"][:, -1], W_O) / scale
        heads.append(torch.einsum("hbd,db->h", written, direction) / len(data))
        if not model.cfg.attn_only:
            mlps.append(
                torch.einsum("bd,db->", cache[f"blocks.{layer}.hook_mlp_out"][:, -1] / scale, direction)
                / len(data)
            )
    return torch.stack(heads), torch.stack(mlps) if mlps else torch.zeros(0)


@torch.no_grad()
def direct_attribution(
    model: HookedTransformer, data: IOIDataset
) -> tuple[Float[Tensor, "layer head"], Float[Tensor, " layer"]]:
    """What each head, and each MLP, adds by itself to the logit difference."""
    io, s = direct_to_names(model, data)
    return io[0] - s[0], io[1] - s[1]


def direct_to_names(
    model: HookedTransformer, data: IOIDataset
) -> list[tuple[Float[Tensor, "layer head"], Float[Tensor, " layer"]]]:
    """The same for the indirect object's logit and for the subject's: two pairs of (heads, MLPs)."""
    answers = answer_tokens(model, data)
    return [direct_to(model, data, model.W_U[:, answers[:, column]]) for column in (0, 1)]


@torch.no_grad()
def each_head(model: HookedTransformer, run: Callable[[int, int], float]) -> Float[Tensor, "layer head"]:
    """`run(layer, head)` for every head."""
    return torch.tensor(
        [[run(layer, head) for head in range(model.cfg.n_heads)] for layer in range(model.cfg.n_layers)]
    )


@torch.no_grad()
def with_head(
    model: HookedTransformer,
    tokens: Int[Tensor, "batch pos"],
    layer: int,
    head: int,
    z: Float[Tensor, "#batch #pos d_head"],
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits when one head's output (before W_O) is replaced by `z` at every position."""

    def replace(value, hook):
        value = value.clone()
        value[:, :, head] = z
        return value

    return model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", replace)])


@torch.no_grad()
def ablation(model: HookedTransformer, data: IOIDataset, mean: bool) -> Float[Tensor, "layer head"]:
    """Change of the mean logit difference when one head is ablated: to zero, or to its mean on ABC prompts.

    The mean is taken position by position over `data.abc()`, so it keeps everything but who is who.
    """
    tokens, answers = ioi_tokens(model, data.prompts), answer_tokens(model, data)
    clean = logit_diffs(model(tokens)[:, -1], answers).mean()
    _, abc = model.run_with_cache(
        ioi_tokens(model, data.abc().prompts), names_filter=lambda n: n.endswith("hook_z")
    )

    def run(layer: int, head: int) -> float:
        z = (
            abc[f"blocks.{layer}.attn.hook_z"][:, :, head].mean(0, keepdim=True)
            if mean
            else torch.zeros(1, 1, model.cfg.d_head)
        )
        return (logit_diffs(with_head(model, tokens, layer, head, z)[:, -1], answers).mean() - clean).item()

    return each_head(model, run)


@torch.no_grad()
def head_patching(model: HookedTransformer, data: IOIDataset) -> Float[Tensor, "layer head"]:
    """Denoising: one head's clean output put into the flipped run, 0 = still flipped, 1 = clean again."""
    clean_tokens, answers = ioi_tokens(model, data.prompts), answer_tokens(model, data)
    flipped_tokens = ioi_tokens(model, data.flipped().prompts)
    logits, cache = model.run_with_cache(clean_tokens)
    clean = logit_diffs(logits[:, -1], answers).mean()
    flipped = logit_diffs(model(flipped_tokens)[:, -1], answers).mean()

    def run(layer: int, head: int) -> float:
        patched = with_head(
            model, flipped_tokens, layer, head, cache[f"blocks.{layer}.attn.hook_z"][:, :, head]
        )
        return ((logit_diffs(patched[:, -1], answers).mean() - flipped) / (clean - flipped)).item()

    return each_head(model, run)


@dataclass(frozen=True)
class Places:
    """Where the roles stand in each prompt: `io` the indirect object, `s1` and `s2` the subject's two mentions."""

    io: Int[Tensor, " batch"]
    s1: Int[Tensor, " batch"]
    s2: Int[Tensor, " batch"]
    end: Int[Tensor, " batch"]


def places(tokens: Int[Tensor, "batch pos"], answers: Int[Tensor, "batch 2"]) -> Places:
    """Find the roles by their tokens; the names may begin the text, where their token has no leading space.

    Args:
        answers: the tokens of the indirect object and the subject, with the leading space. A name at the very
            start of a text is another token, so a name that is not found is taken to be at position 1.
    """
    is_io, is_s = tokens == answers[:, :1], tokens == answers[:, 1:]
    last = tokens.shape[1] - 1
    io = torch.where(is_io.any(1), is_io.int().argmax(1), 1)
    s1 = torch.where(is_s.sum(1) > 1, is_s.int().argmax(1), 1)
    return Places(io, s1, last - is_s.flip(1).int().argmax(1), torch.full_like(io, last))


@torch.no_grad()
def role_attention(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"], answers: Int[Tensor, "batch 2"]
) -> dict[str, Float[Tensor, "layer head"]]:
    """Mean attention between the positions that matter, head by head.

    `end` is the last token, `A` and `B` the names in the order they are introduced, `IO`, `S1` and `S2` the same
    names by their roles, `S1+1` the token after the subject's first mention (where an induction head at S2 looks).
    """
    at, pattern, row = places(tokens, answers), patterns(model, tokens), torch.arange(len(tokens))

    def between(query: Tensor, key: Tensor) -> Float[Tensor, "layer head"]:
        return pattern[:, row, :, query, key].mean(0)

    return {
        "end to A": between(at.end, torch.minimum(at.io, at.s1)),
        "end to B": between(at.end, torch.maximum(at.io, at.s1)),
        "end to IO": between(at.end, at.io),
        "end to S1": between(at.end, at.s1),
        "end to S2": between(at.end, at.s2),
        "S2 to S1": between(at.s2, at.s1),
        "S2 to S1+1": between(at.s2, at.s1 + 1),
        "S2 to IO": between(at.s2, at.io),
        "S2 to S2": between(at.s2, at.s2),
    }


def ioi_attention(model: HookedTransformer, data: IOIDataset) -> dict[str, Float[Tensor, "layer head"]]:
    """`role_attention` on prompts of the generator."""
    return role_attention(model, ioi_tokens(model, data.prompts), answer_tokens(model, data))


def plain_tokens(
    model: HookedTransformer, prompts: Sequence[PlainPrompt], encode: Encode | None = None
) -> list[tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch 2"]]]:
    """Tokens and answers of prompts, one batch for each length, so that nothing is padded."""
    encode = encode or (lambda text: model.tokenizer.encode(text, add_special_tokens=False))
    groups: dict[int, list[tuple[list[int], list[int]]]] = {}
    for prompt in prompts:
        tokens = [BOS, *encode(prompt.text)]
        answers = [encode(f" {prompt.io}")[0], encode(f" {prompt.s}")[0]]
        groups.setdefault(len(tokens), []).append((tokens, answers))
    batches = []
    for group in groups.values():
        rows, both = (torch.tensor(column) for column in zip(*group))
        batches.append((rows, both))
    return batches


def plain_attention(
    model: HookedTransformer, prompts: Sequence[PlainPrompt], encode: Encode | None = None
) -> dict[str, Float[Tensor, "layer head"]]:
    """`role_attention` averaged over sentences of different lengths."""
    total: dict[str, Tensor] = {}
    for tokens, answers in plain_tokens(model, prompts, encode):
        for name, value in role_attention(model, tokens, answers).items():
            total[name] = total.get(name, 0) + value * len(tokens) / len(prompts)
    return total


@torch.no_grad()
def copy_scores(
    model: HookedTransformer,
    tokens: Int[Tensor, "batch pos"],
    at: Int[Tensor, " batch"],
    top: int = 5,
    sign: int = 1,
) -> Float[Tensor, "layer head"]:
    """How well each head would copy a name if it attended to nothing else (Wang et al. 2022, section 3.1).

    The residual stream at the name, after the first block, goes through the head's OV circuit, the final LayerNorm
    and the unembedding; the score is the share of prompts in which the name is among the `top` tokens.

    Args:
        at: where the name stands in each prompt.
        sign: -1 to ask whether the head pushes the name *down* (a negative name mover).
    """
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name == "blocks.0.hook_resid_post")
    rows = torch.arange(len(tokens))
    residual, names = cache["blocks.0.hook_resid_post"][rows, at][:, None], tokens[rows, at]
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer, block in enumerate(model.blocks):
        x = block.ln1(residual)  # [batch, 1, d_model]
        for head in range(model.cfg.n_heads):
            written = (x @ block.attn.W_V[head] + block.attn.b_V[head]) @ block.attn.W_O[head]
            logits = model.unembed(model.ln_final(sign * written))[:, 0]
            scores[layer, head] = (logits.topk(top).indices == names[:, None]).any(1).float().mean()
    return scores


def name_mover(
    attention: dict[str, Float[Tensor, "layer head"]],
    copies: Float[Tensor, "layer head"],
    least: float = 0.9,
) -> tuple[int, int]:
    """(layer, head) that attends most from the end to the indirect object, of those that copy names if any does."""
    to_io = attention["end to IO"]
    copying = torch.where(copies >= least, to_io, torch.full_like(to_io, -1.0))
    return divmod(int((copying if copying.max() >= 0 else to_io).argmax()), to_io.shape[1])
