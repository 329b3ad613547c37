"""How closely a model agrees with `transformers`, stage by stage: `python -m cleanlens.parity gpt2-demo`.

Tiny random models of every family: `python -m cleanlens.parity --family all`.

Both read the same tokens. The reference computes in float64 and we in float64 and in float32, so that what is
measured is our error alone. At every stage the largest difference is given in standard deviations of the
reference at that stage (the loss: in nats), for the weights as they were trained and after each way of
processing them. What processing changes on purpose is taken out first: `center_writing_weights`
removes the mean over d_model from the residual stream, and `center_unembed` shifts all logits of a position
alike, so that log probabilities are compared.
"""

import argparse
import contextlib
import copy
import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor
from tqdm.auto import tqdm

from cleanlens.hooked_encoder import HookedEncoder
from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.loading.files import read_config
from cleanlens.loading.pretrained import FAMILIES, find_model
from cleanlens.parity.agreement import BOUNDS, GRADIENT_BOUNDS, Agreement
from cleanlens.parity.families import LAYOUTS, TINY, StayWide, tiny
from cleanlens.parity.original import original_parity

FLAGS = (
    "fold_ln",
    "center_writing_weights",
    "center_unembed",
    "fold_value_biases",
    "refactor_factored_attn_matrices",
)
# What is done to the weights, by the name of its column in the table.
PROCESSINGS: dict[str, tuple[str, ...]] = {"raw": (), **{flag: (flag,) for flag in FLAGS}, "all": FLAGS}


def parity(
    model_name: str = "gpt2-demo", dtypes: Sequence[torch.dtype] = (torch.float64, torch.float32)
) -> list[Agreement]:
    """`compare` for a model by name: embedded, an alias, a Hugging Face id, or a local directory.

    The tokens are the model's `own_text`. On tokens drawn at random a trained model is in states it never
    learned, where float32 alone, in transformers as well, costs more than the bound.

    Raises:
        ValueError: no such model, or one that `transformers` does not have.
        ConnectionError: the model is not on this machine and the hub cannot be reached.
    """
    from transformers import AutoModelForCausalLM

    folder, _ = find_model(model_name)
    kind = read_config(folder).get("model_type")
    if kind not in LAYOUTS or kind == "bert":
        raise ValueError(
            f"{model_name!r} has the model_type {kind!r}, so there is no model of transformers to compare with; there "
            f"is for {', '.join(LAYOUTS)} (bert: only --family bert)"
        )
    theirs: Any = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    rows, tokens = [], None
    for dtype in dtypes:
        with contextlib.redirect_stdout(io.StringIO()):
            ours = HookedTransformer.from_pretrained_no_processing(model_name, dtype=dtype, device="cpu")
        if tokens is None:
            tokens = own_text(ours)
        rows += compare(theirs, ours, tokens=tokens)
    return rows


def family_parity(
    name: str, dtypes: Sequence[torch.dtype] = (torch.float64, torch.float32)
) -> list[Agreement]:
    """`compare` for a tiny random model of a family, a key of `families.TINY`."""
    theirs = tiny(name)
    kind: Any = HookedEncoder if name == "bert" else HookedTransformer
    rows = []
    for dtype in dtypes:
        with contextlib.redirect_stdout(io.StringIO()):
            ours = kind.from_pretrained_no_processing(hf_model=theirs, dtype=dtype, device="cpu")
        rows += compare(theirs, ours)
    return rows


def compare(
    hf_model: Any,
    model: HookedTransformer,
    processings: Iterable[str] = tuple(PROCESSINGS),
    tokens: Tensor | None = None,
    attention_mask: Tensor | None = None,
) -> list[Agreement]:
    """Every stage of a hooked transformer against the same stage of a model of `transformers`.

    Args:
        hf_model: made with `attn_implementation="eager"`. It is left as it was.
        model: its unprocessed counterpart.
        processings: keys of `PROCESSINGS`; each is applied to a copy of `model`.
        tokens: `[batch pos]`; None: `random_tokens`.
        attention_mask: 0 for padding, where nothing is compared.
    """
    if tokens is None:
        tokens = random_tokens(model)
    mask = torch.ones_like(tokens) if attention_mask is None else attention_mask
    reference = _reference(copy.deepcopy(hf_model).double().eval(), model, tokens, mask)
    possible = _possible_flags(model)
    errors: dict[tuple[str, str], float] = {}
    for processing in processings:
        flags = tuple(flag for flag in PROCESSINGS[processing] if flag in possible)
        if PROCESSINGS[processing] and not flags:
            continue
        processed = copy.deepcopy(model)
        if flags:
            processed.process_weights_(**{flag: flag in flags for flag in FLAGS})
        ours = _ours(processed, tokens, mask)
        for probe in reference:
            if flags and probe.stage == "gradients of weights":
                continue  # other weights have other gradients
            error = _error(probe, _sum(ours[key] for key in probe.key.split("+")), mask, flags)
            entry = (probe.stage, processing)
            errors[entry] = max(errors.get(entry, 0.0), error, key=_nan_is_largest)
    stages = list(dict.fromkeys(probe.stage for probe in reference))
    ordered = sorted(errors.items(), key=lambda item: stages.index(item[0][0]))
    return [Agreement(stage, processing, model.cfg.dtype, error) for (stage, processing), error in ordered]


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(dim=0)


def _possible_flags(model: Any) -> tuple[str, ...]:
    """What can be done to the weights of this model at all."""
    if isinstance(model, HookedEncoder):
        return ()
    if model.cfg.positional_embedding_type == "rotary" or model.cfg.n_key_value_heads is not None:
        return tuple(flag for flag in FLAGS if flag != "refactor_factored_attn_matrices")
    return FLAGS


def random_tokens(model: HookedTransformer, batch: int = 3, length: int = 64) -> Tensor:
    """Tokens drawn evenly from the vocabulary, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(model.cfg.d_vocab, (batch, min(length, model.cfg.n_ctx)), generator=generator)


def own_text(model: HookedTransformer, batch: int = 3, length: int = 64) -> Tensor:
    """Tokens that the model itself writes: text as it is used to, always the same."""
    bos = getattr(model.tokenizer, "bos_token_id", 0)
    length = min(length, model.cfg.n_ctx)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        start = torch.full((batch, 1), bos, device=model.cfg.device)
        return model.generate(start, max_new_tokens=length - 1, stop_at_eos=False, verbose=False)


# ---------------------------------------------------------------- the two sides


@dataclass
class Probe:
    """One tensor of the reference, and the name under which we have it."""

    stage: str
    key: str  # several, joined by "+", where ours is their sum
    value: Tensor
    unit: Tensor  # what is compared is divided by it


def _reference(hf_model: Any, model: HookedTransformer, tokens: Tensor, mask: Tensor) -> list[Probe]:
    """What transformers computes, taken by hooks on its own modules."""
    kind = hf_model.config.model_type
    layout, is_encoder = LAYOUTS[kind], isinstance(model, HookedEncoder)
    # The two uses of a tied embedding have a gradient each.
    unembedding = hf_model.get_output_embeddings()
    unembedding.weight = torch.nn.Parameter(unembedding.weight.detach().clone())
    seen: dict[tuple[str, str], Tensor] = {}

    def watch(module: Any, stage: str, key: str) -> None:
        def hook(module: Any, args: Any, output: Any) -> None:
            seen[stage, key] = output[0] if isinstance(output, tuple) else output
            seen[stage, key].retain_grad()

        module.register_forward_hook(hook)

    def watch_input(module: Any, args: Any, kwargs: Any) -> Any:
        embed = args[0] if args else kwargs["hidden_states"]
        embed.retain_grad()
        seen["embed", "blocks.0.hook_resid_pre"] = embed

    layers = hf_model.get_submodule(layout.layers)
    layers[0].register_forward_pre_hook(watch_input, with_kwargs=True)
    for i, block in enumerate(layers):
        watch(block.get_submodule(layout.attention), f"{i} attention", f"blocks.{i}.hook_attn_out")
        watch(block.get_submodule(layout.mlp), f"{i} MLP", f"blocks.{i}.hook_mlp_out")
        watch(block, f"{i} residual", f"blocks.{i}.hook_{'normalized_' if is_encoder else ''}resid_post")

    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    counted = mask.clone()
    counted[:, 1:] *= mask[:, :-1]  # nothing is predicted from padding
    labels = tokens.masked_fill(counted == 0, -100)[:, 1:]
    options = {} if is_encoder else {"use_cache": False, "position_ids": positions}
    with torch.enable_grad(), StayWide():
        logits = hf_model(tokens, attention_mask=mask, **options).logits
        # Not transformers' own loss, which is in float32 whatever the model is in.
        if is_encoder:
            loss = _masked_loss(logits, tokens, mask)
        else:
            loss = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels)
        if tokens.shape[1] > 1:
            loss.backward()

    def probe(stage: str, key: str, value: Tensor) -> Probe:
        value = value.detach().reshape(*tokens.shape, -1)  # OPT's MLP has batch and position in one axis
        return Probe(stage, key, value, value[mask.bool()].std())

    probes = [probe(stage, key, value) for (stage, key), value in seen.items()]
    probes.append(probe("logits", "logits", logits))
    if tokens.shape[1] == 1:
        return probes
    probes.append(Probe("loss", "loss", loss.detach(), torch.tensor(1.0)))
    for (stage, key), value in seen.items():
        if stage == "embed" or stage.endswith("residual"):
            assert value.grad is not None
            probes.append(probe("gradients of residuals", f"{key}_grad", value.grad))
    for name, weight in hf_model.named_parameters():
        if weight.grad is None:
            continue
        keys: dict[int, list[str]] = {}  # one weight of theirs may be several of ours
        parts: dict[int, Tensor] = {}
        for key, part in FAMILIES[kind].convert(name, weight.grad, model.cfg, tied=False):
            keys.setdefault(part.data_ptr(), []).append(key)
            parts[part.data_ptr()] = part
        for place, part in parts.items():
            # In units of the whole tensor: the part of b_K is zero, a softmax does not see it.
            unit = _unit_of_gradient(name, weight.grad, hf_model)
            probes.append(Probe("gradients of weights", "+".join(keys[place]), part, unit))
    return probes


def _unit_of_gradient(name: str, gradient: Tensor, hf_model: Any) -> Tensor:
    """The gradient's standard deviation; for the bias of keys, which no softmax sees, that of the queries' bias."""
    for key, query in (("k_proj.bias", "q_proj.bias"), ("key.bias", "query.bias")):
        if name.endswith(key):
            return hf_model.get_parameter(name.removesuffix(key) + query).grad.std()
    return gradient.std()


def _masked_loss(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """How well an encoder says which token is where, in nats."""
    return F.cross_entropy(logits.transpose(1, 2), tokens.masked_fill(mask == 0, -100))


def _ours(model: HookedTransformer, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Everything a run of ours computes: activations, their gradients (`..._grad`), weights' gradients."""
    cache, fwd, bwd = model.get_caching_hooks(incl_bwd=True)
    with model.hooks(fwd, bwd), torch.enable_grad():
        if isinstance(model, HookedEncoder):
            cache["logits"] = model(tokens, one_zero_attention_mask=mask)
        else:
            cache["logits"] = model(tokens, attention_mask=mask)
        if tokens.shape[1] > 1:
            loss_fn = _masked_loss if isinstance(model, HookedEncoder) else model.loss_fn
            cache["loss"] = loss_fn(cache["logits"], tokens, mask)
            cache["loss"].backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return {**cache, **gradients}


def _error(probe: Probe, ours: Tensor, mask: Tensor, flags: tuple[str, ...]) -> float:
    theirs, ours = probe.value, ours.detach().double()
    if probe.key == "logits" and flags:
        theirs, ours = theirs.log_softmax(dim=-1), ours.log_softmax(dim=-1)
    if "center_writing_weights" in flags and "hook_" in probe.key and not probe.key.endswith("_grad"):
        theirs, ours = _centred(theirs), _centred(ours)
    difference = (ours - theirs).abs()
    if difference.shape[:2] == mask.shape and probe.stage != "gradients of weights":
        difference = difference[mask.bool()]
    return float(difference.max() / probe.unit)


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=-1, keepdim=True)


def _nan_is_largest(x: float) -> float:
    return float("inf") if x != x else x


# ---------------------------------------------------------------- the command


def table(rows: Sequence[Agreement], title: str = "") -> Table:
    """Stages down, processings across; what exceeds its bound is red."""
    processings = list(dict.fromkeys(row.processing for row in rows))
    dtype = rows[0].dtype
    result = Table(
        title=title, caption=f"bound {BOUNDS[dtype]:.0e}, for gradients {GRADIENT_BOUNDS[dtype]:.0e}"
    )
    result.add_column("stage", no_wrap=True)
    for processing in processings:
        result.add_column(processing.replace("_", " "), justify="right", min_width=7)
    entries = {(row.stage, row.processing): row for row in rows}
    for stage in dict.fromkeys(row.stage for row in rows):
        cells = [entries.get((stage, processing)) for processing in processings]
        result.add_row(stage, *("" if row is None else _cell(row) for row in cells))
    return result


def _cell(row: Agreement) -> str:
    return f"{row.error:.1e}" if row.ok else f"[bold red]{row.error:.1e}[/]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 0 when every error is within its bound, 1 when one is not, 2 for an unknown model."""
    parser = argparse.ArgumentParser(prog="python -m cleanlens.parity", description=__doc__.split("\n")[0])
    parser.add_argument(
        "model", nargs="?", default="gpt2-demo", help="embedded, alias, Hugging Face id or directory"
    )
    parser.add_argument(
        "--family",
        help=f"instead, a tiny random model of a family: all, {', '.join(TINY)}",
    )
    parser.add_argument(
        "--transformer-lens",
        metavar="PYTHON",
        help="with --family all: the Python of an environment that has the original library; toy models of "
        "architectures that transformers does not have are compared with it",
    )
    options = parser.parse_args(arguments)
    try:
        if options.family is not None:
            return _families(options.family, options.transformer_lens)
        find_model(options.model)  # a mistyped name is answered before transformers is imported
        _quiet()
        rows = parity(options.model)
    except (ValueError, OSError) as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    return _report(options.model, rows)


def _quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _report(name: str, rows: Sequence[Agreement]) -> int:
    console = Console(width=None if sys.stdout.isatty() else 110)
    for dtype in dict.fromkeys(row.dtype for row in rows):
        title = f"{name} in {_short(dtype)}: largest error, in standard deviations"
        console.print(table([row for row in rows if row.dtype == dtype], title))
    worst = _worst(rows)
    verdict = "agrees with transformers" if worst.ok else "DOES NOT agree with transformers"
    console.print(
        f"{name} {verdict}; worst: {worst.stage} ({worst.processing}, {_short(worst.dtype)}), "
        f"{worst.error:.1e} of {worst.bound:.0e}"
    )
    return 0 if all(row.ok for row in rows) else 1


def _families(wanted: str, python: str | None) -> int:
    """One line per family, its worst stage; the whole table for a single one, or one that does not agree."""
    if wanted != "all" and wanted not in TINY:
        raise ValueError(f"no family {wanted!r}; there are {', '.join(TINY)}, and 'all'")
    _quiet()
    if wanted != "all":
        return _report(wanted, family_parity(wanted))
    console = Console(width=None if sys.stdout.isatty() else 110)
    summary = Table(title="largest error of each family, in standard deviations")
    for column in ("family", "against", "float64", "at", "float32", "at", "compared", ""):
        summary.add_column(column, overflow="fold")
    results = [
        (name, "transformers", family_parity(name))
        for name in tqdm(TINY, desc="families", unit="family", leave=False)
    ]
    if python is not None:
        console.print("The original library computes the toy models ...")
        results += [(name, "TransformerLens", rows) for name, rows in original_parity(python).items()]
    failed = {}
    for name, against, rows in results:
        cells = [name, against]
        for dtype in BOUNDS:
            of_type = [row for row in rows if row.dtype == dtype]
            worst = _worst(of_type) if of_type else None
            cells += ["", ""] if worst is None else [_cell(worst), f"{worst.stage}, {worst.processing}"]
        good = all(row.ok for row in rows)
        summary.add_row(*cells, str(len(rows)), "agrees" if good else "[bold red]DIFFERS[/]")
        if not good:
            failed[name] = rows
    console.print(summary)
    for name, rows in failed.items():
        _report(name, rows)
    return 1 if failed else 0


def _worst(rows: Sequence[Agreement]) -> Agreement:
    return max(rows, key=lambda row: _nan_is_largest(row.error / row.bound))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
