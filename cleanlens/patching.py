"""Activation patching: put an activation of one run into another, and see what changes.

A *clean* run shows a behaviour, a *corrupted* one does not. A clean activation that, put into the corrupted
run, brings the behaviour back is enough for it there (denoising). The names follow that case; with the roles
exchanged the same functions test what is necessary (noising). Heimersheim & Nanda 2024, "How to use and
interpret activation patching", section 2.

`get_act_patch_*(model, corrupted_tokens, clean_cache, patching_metric)` patch one place at a time and return
the metric for each: `patching_metric` maps logits `[batch pos d_vocab]` to a number. Several metrics are measured in
one pass when they come as `{name: metric}`. With `reduce="none"` a metric gives one number per prompt `[batch]`, and so
does the result, on its last axis, for `cleanlens.analysis.estimate` to say how sure the means are.

Path patching changes what one head sends to chosen receivers only, all other heads being held at their
values (Wang et al. 2022, "Interpretability in the Wild", section 3.1).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, product
from typing import TYPE_CHECKING, Any, Literal

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from cleanlens.activation_cache import ActivationCache
from cleanlens.components import visible
from cleanlens.hook_points import HookPoint
from cleanlens.key_value_cache import LayerKeyValueCache
from cleanlens.utils import get_act_name

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer

Metric = Callable[[Float[Tensor, "batch pos d_vocab"]], Any]
Metrics = Metric | Mapping[str, Metric]  # several at once: the result is a dict of what each would give alone
Reduce = Literal["none", "mean"] | None
Index = Sequence[int]
PatchSetter = Callable[[Tensor, Index, Tensor], Tensor]

# ---------------------------------------------------------------- where to put it

# A setter gets the corrupted activation, the place (layer first), and the clean activation, and returns the
# patched one. It may change the first in place.


def layer_pos_patch_setter(corrupted: Tensor, index: Index, clean: Tensor) -> Tensor:
    """One position of a residual-like activation `[batch pos ...]`."""
    _, pos = index
    corrupted[:, pos] = clean[:, pos]
    return corrupted


def layer_pos_head_vector_patch_setter(corrupted: Tensor, index: Index, clean: Tensor) -> Tensor:
    """One head at one position of `[batch pos head d_head]`."""
    _, pos, head = index
    corrupted[:, pos, head] = clean[:, pos, head]
    return corrupted


def layer_head_vector_patch_setter(corrupted: Tensor, index: Index, clean: Tensor) -> Tensor:
    """One head at all positions of `[batch pos head d_head]`."""
    _, head = index
    corrupted[:, :, head] = clean[:, :, head]
    return corrupted


def layer_head_pattern_patch_setter(corrupted: Tensor, index: Index, clean: Tensor) -> Tensor:
    """One head of `[batch head query key]`."""
    _, head = index
    corrupted[:, head] = clean[:, head]
    return corrupted


def layer_head_pos_pattern_patch_setter(corrupted: Tensor, index: Index, clean: Tensor) -> Tensor:
    """One head and query of `[batch head query key]`."""
    _, head, query = index
    corrupted[:, head, query] = clean[:, head, query]
    return corrupted


def layer_head_dest_src_pos_pattern_patch_setter(corrupted: Tensor, index: Index, clean: Tensor) -> Tensor:
    """One head, query and key of `[batch head query key]`."""
    _, head, query, key = index
    corrupted[:, head, query, key] = clean[:, head, query, key]
    return corrupted


# ---------------------------------------------------------------- one place at a time


def generic_activation_patch(
    model: "HookedTransformer",
    corrupted_tokens: Int[Tensor, "batch pos"],
    clean_cache: ActivationCache,
    patching_metric: Metric,
    patch_setter: PatchSetter,
    activation_name: str,
    index_axis_names: Sequence[str] | None = None,
    index_df: Any = None,
    return_index_df: bool = False,
) -> Any:
    """Patch every place in turn: the plain loop, one full run for each, that the others are tested against.

    Args:
        patch_setter: see above.
        activation_name: short, such as "resid_pre" or "z".
        index_axis_names: the axes of the result, from "layer", "pos", "head" (or "head_index"), "dest_pos",
            "src_pos".
        index_df: instead, a pandas DataFrame with one row per place, layer first; the result has one axis.
        return_index_df: return that DataFrame too.

    Returns:
        The metric at each place, a tensor with one axis per name.
    """
    if (index_axis_names is None) == (index_df is None):
        raise ValueError("generic_activation_patch: give index_axis_names or index_df, one of them")
    n_pos = corrupted_tokens.shape[-1]
    if index_df is not None:
        places: list[Any] = [tuple(row) for row in index_df.itertuples(index=False)]
        shape = [len(places)]
    else:
        assert index_axis_names is not None
        shape = [_axis_size(model, name, n_pos, activation_name) for name in index_axis_names]
        places = list(product(*map(range, shape)))

    results = []
    with torch.no_grad():
        for index in tqdm(places, desc=f"patching {activation_name}", delay=2, leave=False):
            name = get_act_name(activation_name, index[0])

            def patch(corrupted: Tensor, hook: HookPoint, index: Any = index) -> Tensor:
                return patch_setter(corrupted.clone(), index, clean_cache[hook.name])  # type: ignore[index]

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            results.append(_measured(patching_metric, logits))
    metrics = torch.stack(results).reshape(*shape, *results[0].shape)
    if not return_index_df:
        return metrics
    return metrics, make_df_from_ranges(shape, index_axis_names) if index_df is None else index_df


def make_df_from_ranges(column_max_ranges: Sequence[int], column_names: Sequence[str] | None) -> Any:
    """A pandas DataFrame whose rows are all combinations of 0 to each maximum (left out), the last fastest."""
    import pandas

    return pandas.DataFrame(list(product(*map(range, column_max_ranges))), columns=column_names)


# ---------------------------------------------------------------- many places at a time

TOKENS_AT_ONCE = 4096  # in the last layer of a pass; keeps the cores busy and fits into a laptop's memory
LOGITS_AT_ONCE = 512  # positions
STARTS = 4  # that many neighbouring positions start together: larger products, for a few needless positions
# All that is needed to go on from any layer and position; the last for shortformers.
STATE_OF_A_RUN = ("hook_resid_pre", "hook_k", "hook_v", "hook_resid_post", "hook_pos_embed")
POSITIONS = {"pos": 1, "dest_pos": 2}  # index axis -> the axis of the activation that it counts along


@torch.no_grad()
def sweep(
    model: "HookedTransformer",
    corrupted_tokens: Int[Tensor, "batch pos"],
    clean_cache: ActivationCache,
    patching_metric: Metrics,
    patch_setter: PatchSetter,
    activation_name: str,
    index_axis_names: Sequence[str],
    metric_pos: int | None = None,
    reduce: Reduce = None,
) -> Any:
    """What `generic_activation_patch` computes, faster.

    A patch changes nothing before its layer, nor, in a causal model, before its position. So there is one pass
    through the blocks for all layers of a place: at each layer the run that is patched there joins the batch, from
    the corrupted run's residual stream. And it has only the positions from the place's on; the keys and values of
    those before are the corrupted run's.

    Args:
        patch_setter: with a "pos" or "dest_pos" among the axes it changes nothing before that position.
        metric_pos: unembed this position only, often -1; the metric then gets logits `[batch 1 d_vocab]`.
            None: all positions.
        reduce: "none": the metric gives one number per prompt, and the result keeps them on its last axis; "mean": it
            does, and they are averaged; None: the metric's value is taken as it is.

    Raises:
        ValueError: a metric's value has another shape than `reduce` asks for.
    """
    if isinstance(patching_metric, Mapping):
        names, metric = list(patching_metric), _several(patching_metric, reduce)
        where = (patch_setter, activation_name, index_axis_names, metric_pos)
        values = sweep(model, corrupted_tokens, clean_cache, metric, *where)
        return dict(zip(names, values.movedim(len(index_axis_names), 0)))
    patching_metric = _reduced(patching_metric, reduce)
    corrupted_tokens = corrupted_tokens if corrupted_tokens.ndim == 2 else corrupted_tokens[None]
    # A hook may depend on which batch entry is which; and an encoder has no ln_final.
    if model.has_editing_hooks() or not hasattr(model, "ln_final"):
        metric = patching_metric if metric_pos is None else _at_position(patching_metric, metric_pos)
        return generic_activation_patch(
            model, corrupted_tokens, clean_cache, metric, patch_setter, activation_name, index_axis_names
        )
    batch, n_pos = corrupted_tokens.shape
    n_layers, *shape = (_axis_size(model, name, n_pos, activation_name) for name in index_axis_names)
    places = list(product(*map(range, shape)))
    position = next((i for i, name in enumerate(index_axis_names) if name in POSITIONS), None)
    axis = 1 if position is None else POSITIONS[index_axis_names[position]]

    def first_position(place: Index) -> int:
        if position is None or model.cfg.attention_dir != "causal":
            return 0
        return place[position - 1] // STARTS * STARTS

    _, corrupted = model.run_with_cache(
        corrupted_tokens,
        names_filter=lambda name: name.endswith(STATE_OF_A_RUN),
        return_type=None,
    )
    _, attention_mask = model._read_tokens(corrupted_tokens, None, None, None)
    before = corrupted["resid_post", -1]

    metrics: dict[Index, list[Tensor]] = {}  # place -> of every layer
    bar = tqdm(total=n_layers * len(places), desc=f"patching {activation_name}", delay=2, leave=False)
    for start, group in groupby(sorted(places, key=first_position), key=first_position):
        together = list(group)
        at_once = max(1, TOKENS_AT_ONCE // (n_layers * batch * (n_pos - start)))
        for chunk in (together[i : i + at_once] for i in range(0, len(together), at_once)):

            def patch(activations: Tensor, hook: HookPoint, start=start, chunk=chunk) -> Tensor:
                *others, joined = activations.split(batch * len(chunk))
                clean = clean_cache[hook.name].to(activations.device)  # type: ignore[index]
                before, layer = clean.narrow(axis, 0, start), hook.layer()
                for place, run in zip(chunk, joined.split(batch)):
                    whole = patch_setter(torch.cat([before, run], dim=axis), (layer, *place), clean)
                    others.append(whole.narrow(axis, start, whole.shape[axis] - start))
                return torch.cat(others)

            changed = _joining_runs(
                model, corrupted, attention_mask, start, len(chunk), activation_name, patch
            )
            all_logits = _logits_of_runs(model, before[:, :start], changed, metric_pos)
            for place, logits in zip(chunk * n_layers, all_logits):
                metrics.setdefault(place, []).append(_measured(patching_metric, logits))
            bar.update(n_layers * len(chunk))
    bar.close()
    return torch.stack([torch.stack(metrics[place]) for place in places], dim=1).unflatten(1, shape)


def _joining_runs(
    model: "HookedTransformer",
    corrupted: ActivationCache,
    attention_mask: Int[Tensor, "batch pos"] | None,
    start: int,
    n_runs: int,
    activation_name: str,
    patch: Callable[..., Tensor],
) -> Float[Tensor, "runs pos_from_start d_model"]:
    """The final residual stream from `start` on, of runs of which `n_runs` join at each layer, where `patch` changes them.

    Rows are in this order: layer, run, batch.
    """
    resid = corrupted["resid_pre", 0][:0, start:]
    n_pos = corrupted["resid_pre", 0].shape[1]
    for layer, block in enumerate(model.blocks):
        resid = torch.cat([resid, corrupted["resid_pre", layer][:, start:].repeat(n_runs, 1, 1)])
        copies = n_runs * (layer + 1)
        keys, values = (corrupted[name, layer].repeat(copies, 1, 1, 1) for name in "kv")
        mask = attention_mask if attention_mask is None else attention_mask.repeat(copies, 1)
        seen: list[Tensor] = [visible(n_pos - start, n_pos, mask, model.cfg.attention_dir, resid.device)]
        if model.cfg.positional_embedding_type == "shortformer":
            seen.append(corrupted["pos_embed"][:, start:].repeat(copies, 1, 1))
        with model.hooks(fwd_hooks=[(get_act_name(activation_name, layer), patch)]):
            resid = block(resid, LayerKeyValueCache(keys, values, length=start), *seen)
    return resid


def _logits_of_runs(
    model: "HookedTransformer",
    before: Float[Tensor, "batch before d_model"],
    final: Float[Tensor, "runs pos_from_start d_model"],
    metric_pos: int | None,
) -> Iterator[Float[Tensor, "batch pos d_vocab"]]:
    """Logits of each run, from as many at once as fit: one product reads W_U once.

    `before` is the final residual stream at the positions that all runs share; it is unembedded once.
    """
    batch = len(before)
    if metric_pos is not None:
        whole = torch.cat([before.repeat(len(final) // batch, 1, 1), final], dim=1)
        before, final = before[:, :0], whole[:, metric_pos, None]
    shared = model.unembed(model.ln_final(before))
    runs = max(1, LOGITS_AT_ONCE // (batch * final.shape[1]))
    for part in final.split(batch * runs):
        for logits in model.unembed(model.ln_final(part)).split(batch):
            yield torch.cat([shared, logits], dim=1) if before.shape[1] else logits


def _measured(metric: Metric, logits: Tensor) -> Tensor:
    """A copy, because a metric that is a piece of the logits would keep all of them alive."""
    return torch.as_tensor(metric(logits)).clone()


def _reduced(metric: Metric, reduce: Reduce) -> Metric:
    """The metric with its value checked, and averaged over prompts if asked for."""
    if reduce is None:
        return metric
    if reduce not in ("none", "mean"):
        raise ValueError(f'reduce = {reduce!r}; expected "none", "mean" or None')

    def checked(logits: Tensor) -> Tensor:
        value = torch.as_tensor(metric(logits))
        if value.shape != (len(logits),):
            raise ValueError(
                f"the metric gave the shape {list(value.shape)}; with reduce={reduce!r} it must give one number per "
                f"prompt, [{len(logits)}]"
            )
        return value if reduce == "none" else value.mean()

    return checked


def _several(metrics: Mapping[str, Metric], reduce: Reduce) -> Metric:
    """Several metrics as one, stacked on a first axis."""
    if not metrics:
        raise ValueError("the mapping of metrics is empty; give at least one {name: metric}")
    checked = {name: _reduced(metric, reduce) for name, metric in metrics.items()}

    def together(logits: Tensor) -> Tensor:
        values = {name: torch.as_tensor(metric(logits)) for name, metric in checked.items()}
        if len({value.shape for value in values.values()}) > 1:
            shapes = {name: list(value.shape) for name, value in values.items()}
            raise ValueError(f"metrics measured in one pass must give the same shape; these gave {shapes}")
        return torch.stack(list(values.values()))

    return together


def _at_position(metric: Metric, pos: int) -> Metric:
    return lambda logits: metric(logits[:, pos, None])


def _axis_size(model: "HookedTransformer", name: str, n_pos: int, activation_name: str) -> int:
    n_heads = model.cfg.n_heads
    if activation_name in ("k", "v"):  # groups of heads may share theirs
        n_heads = model.cfg.n_key_value_heads or n_heads
    return {"layer": model.cfg.n_layers, "head": n_heads, "head_index": n_heads}.get(name, n_pos)


def _sweep(activation: str, setter: PatchSetter, axes: Sequence[str]) -> Callable[..., Tensor]:
    return partial(sweep, patch_setter=setter, activation_name=activation, index_axis_names=axes)


_pos, _head_pos, _head = ("layer", "pos"), ("layer", "pos", "head"), ("layer", "head")

get_act_patch_resid_pre = _sweep("resid_pre", layer_pos_patch_setter, _pos)
get_act_patch_resid_mid = _sweep("resid_mid", layer_pos_patch_setter, _pos)
get_act_patch_attn_out = _sweep("attn_out", layer_pos_patch_setter, _pos)
get_act_patch_mlp_out = _sweep("mlp_out", layer_pos_patch_setter, _pos)

get_act_patch_attn_head_out_by_pos = _sweep("z", layer_pos_head_vector_patch_setter, _head_pos)
get_act_patch_attn_head_q_by_pos = _sweep("q", layer_pos_head_vector_patch_setter, _head_pos)
get_act_patch_attn_head_k_by_pos = _sweep("k", layer_pos_head_vector_patch_setter, _head_pos)
get_act_patch_attn_head_v_by_pos = _sweep("v", layer_pos_head_vector_patch_setter, _head_pos)

get_act_patch_attn_head_out_all_pos = _sweep("z", layer_head_vector_patch_setter, _head)
get_act_patch_attn_head_q_all_pos = _sweep("q", layer_head_vector_patch_setter, _head)
get_act_patch_attn_head_k_all_pos = _sweep("k", layer_head_vector_patch_setter, _head)
get_act_patch_attn_head_v_all_pos = _sweep("v", layer_head_vector_patch_setter, _head)

get_act_patch_attn_head_pattern_all_pos = _sweep("pattern", layer_head_pattern_patch_setter, _head)
get_act_patch_attn_head_pattern_by_pos = _sweep(
    "pattern", layer_head_pos_pattern_patch_setter, ("layer", "head", "dest_pos")
)
get_act_patch_attn_head_pattern_dest_src_pos = _sweep(
    "pattern", layer_head_dest_src_pos_pattern_patch_setter, ("layer", "head", "dest_pos", "src_pos")
)


def get_act_patch_attn_head_all_pos_every(
    model: "HookedTransformer",
    corrupted_tokens: Int[Tensor, "batch pos"],
    clean_cache: ActivationCache,
    metric: Metric,
    metric_pos: int | None = None,
    reduce: Reduce = None,
) -> Float[Tensor, "part layer head ..."]:
    """Each head's output, q, k, v and pattern (the first axis, in this order) at all positions.

    Heads that share keys and values share the numbers of k and v, too.
    """
    parts = (
        get_act_patch_attn_head_out_all_pos,
        get_act_patch_attn_head_q_all_pos,
        get_act_patch_attn_head_k_all_pos,
        get_act_patch_attn_head_v_all_pos,
        get_act_patch_attn_head_pattern_all_pos,
    )
    options = {"metric_pos": metric_pos, "reduce": reduce}
    found = [part(model, corrupted_tokens, clean_cache, metric, **options) for part in parts]
    return torch.stack([_one_per_head(values, model, dim=1) for values in found])


def get_act_patch_attn_head_by_pos_every(
    model: "HookedTransformer",
    corrupted_tokens: Int[Tensor, "batch pos"],
    clean_cache: ActivationCache,
    metric: Metric,
    metric_pos: int | None = None,
    reduce: Reduce = None,
) -> Float[Tensor, "part layer pos head ..."]:
    """Each head's output, q, k, v and pattern (the first axis, in this order) at each position.

    Heads that share keys and values share the numbers of k and v, too.
    """

    def pattern_by_pos(*run: Any, **options: Any) -> Float[Tensor, "layer pos head ..."]:
        return get_act_patch_attn_head_pattern_by_pos(*run, **options).transpose(1, 2)

    parts = (
        get_act_patch_attn_head_out_by_pos,
        get_act_patch_attn_head_q_by_pos,
        get_act_patch_attn_head_k_by_pos,
        get_act_patch_attn_head_v_by_pos,
        pattern_by_pos,
    )
    options = {"metric_pos": metric_pos, "reduce": reduce}
    found = [part(model, corrupted_tokens, clean_cache, metric, **options) for part in parts]
    return torch.stack([_one_per_head(values, model, dim=2) for values in found])


def get_act_patch_block_every(
    model: "HookedTransformer",
    corrupted_tokens: Int[Tensor, "batch pos"],
    clean_cache: ActivationCache,
    metric: Metric,
    metric_pos: int | None = None,
    reduce: Reduce = None,
) -> Float[Tensor, "part layer pos ..."]:
    """resid_pre, attention output and MLP output (the first axis, in this order) at each position."""
    parts = (get_act_patch_resid_pre, get_act_patch_attn_out, get_act_patch_mlp_out)
    options = {"metric_pos": metric_pos, "reduce": reduce}
    return torch.stack([part(model, corrupted_tokens, clean_cache, metric, **options) for part in parts])


def _one_per_head(values: Tensor, model: "HookedTransformer", dim: int) -> Tensor:
    """Of keys and values that a group of heads shares, a number for each of its heads."""
    return values.repeat_interleave(model.cfg.n_heads // values.shape[dim], dim)


# ---------------------------------------------------------------- paths

Head = tuple[int, int]  # layer, head
Receiver = tuple[str, int, int]  # "q", "k" or "v", layer, head


def _check_receivers(model: "HookedTransformer", receivers: Sequence[Receiver] | None) -> None:
    for part, layer, head in receivers or ():
        known = part in ("q", "k", "v") and 0 <= layer < model.cfg.n_layers
        if not known or not 0 <= head < _axis_size(model, "head", 0, part):
            raise ValueError(
                f"path_patch: receiver {(part, layer, head)}; expected ('q'|'k'|'v', layer, head)"
            )


@torch.no_grad()
def path_patch(
    model: "HookedTransformer",
    tokens: Int[Tensor, "batch pos"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    sender: Head,
    receivers: Sequence[Receiver] | None = None,
    freeze_mlps: bool = False,
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits on `tokens` when `sender` sends what it would send in another run, to `receivers` only.

    First run: the sender's output is taken from `new_cache`, every other head's from `cache`, and what then
    reaches the receivers is recorded. Second run: only the receivers get what was recorded.

    Args:
        tokens, cache: the run in which the path is patched, and all its activations.
        new_cache: the run from which the sender's output comes.
        receivers: heads' q, k or v; None: the logits themselves (then the first run is all).
        freeze_mlps: hold the MLPs too, so that only the direct path through the residual stream is left.
            False lets MLPs between pass the change on, as Wang et al. do.

    Raises:
        ValueError: a receiver is not ("q" | "k" | "v", layer, head).
    """

    def send(z: Tensor, hook: HookPoint) -> Tensor:
        frozen = cache[hook.name].clone()  # type: ignore[index]
        if hook.layer() == sender[0]:
            frozen[:, :, sender[1]] = new_cache[hook.name][:, :, sender[1]]  # type: ignore[index]
        return frozen

    def freeze(mlp_out: Tensor, hook: HookPoint) -> Tensor:
        return cache[hook.name]  # type: ignore[index]

    first_run: list[Any] = [(lambda name: name.endswith("attn.hook_z"), send)]
    if freeze_mlps:
        first_run.append((lambda name: name.endswith("hook_mlp_out"), freeze))
    if receivers is None:
        return model.run_with_hooks(tokens, fwd_hooks=first_run)

    _check_receivers(model, receivers)
    names = sorted({get_act_name(part, layer) for part, layer, _ in receivers})
    with model.hooks(fwd_hooks=first_run):
        _, received = model.run_with_cache(tokens, names_filter=names)

    def receive(activation: Tensor, hook: HookPoint) -> Tensor:
        activation = activation.clone()
        for part, layer, head in receivers:
            if hook.name == get_act_name(part, layer):
                activation[:, :, head] = received[hook.name][:, :, head]
        return activation

    return model.run_with_hooks(tokens, fwd_hooks=[(name, receive) for name in names])


def get_path_patch_head_to_logits(
    model: "HookedTransformer",
    tokens: Int[Tensor, "batch pos"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    patching_metric: Metric,
    freeze_mlps: bool = False,
    reduce: Reduce = None,
    metric_pos: int | None = None,
) -> Float[Tensor, "layer head ..."]:
    """The metric with each head in turn as the sender and the logits as receiver."""
    return get_path_patch_head_to_heads(
        model, tokens, cache, new_cache, patching_metric, None, freeze_mlps, reduce, metric_pos
    )


@torch.no_grad()
def get_path_patch_head_to_heads(
    model: "HookedTransformer",
    tokens: Int[Tensor, "batch pos"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    patching_metric: Metric,
    receivers: Sequence[Receiver] | None,
    freeze_mlps: bool = False,
    reduce: Reduce = None,
    metric_pos: int | None = None,
) -> Float[Tensor, "layer head ..."]:
    """The metric with each head in turn as the sender and these heads' inputs as receivers (None: the logits).

    What a loop over `path_patch` gives, with the work shared: all senders travel together, a sender joins at its
    layer, and as attention is frozen on the way, only MLPs are computed there. For receivers there is a second part,
    from the first receiver's layer on. `reduce` and `metric_pos` as in `sweep`.
    """
    _check_receivers(model, receivers)
    metric = _reduced(patching_metric, reduce)
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    if (
        model.has_editing_hooks()
        or not hasattr(model, "ln_final")
        or model.cfg.positional_embedding_type == "shortformer"  # queries and keys read more than the stream
    ):
        senders = list(product(range(n_layers), range(n_heads)))
        metric = metric if metric_pos is None else _at_position(metric, metric_pos)
        results = [
            _measured(metric, path_patch(model, tokens, cache, new_cache, sender, receivers, freeze_mlps))
            for sender in tqdm(senders, desc="path patching", delay=2, leave=False)
        ]
        return torch.stack(results).unflatten(0, (n_layers, n_heads))

    if receivers is None:
        *_, (_, final) = _senders_on_their_way(model, cache, new_cache, freeze_mlps)
        nothing_shared = cache["resid_post", -1][:, :0]
        all_logits = _logits_of_runs(model, nothing_shared, final, metric_pos)
        results = [_measured(metric, logits) for logits in all_logits]
    else:
        received = _received(model, cache, new_cache, receivers, freeze_mlps)
        results = _runs_that_receive(model, tokens, cache, metric, received, metric_pos)
    return torch.stack(results).unflatten(0, (n_layers, n_heads))


@torch.no_grad()
def get_path_patch_head_to_head_every(
    model: "HookedTransformer",
    tokens: Int[Tensor, "batch pos"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    patching_metric: Metric,
    freeze_mlps: bool = False,
    reduce: Reduce = None,
    metric_pos: int | None = None,
) -> Float[Tensor, "part layer head to_layer to_head ..."]:
    """The metric for every pair of heads: sender `[layer head]`, and receiver by its q, k or v (the first axis).

    A sender that comes too late for a receiver changes nothing. With groups of heads that share keys and values, the
    receivers' k and v are those of the group that `to_head` counts, and the rest of that axis repeats the plain run's.
    """
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    n_groups = model.cfg.n_key_value_heads or n_heads
    parts = []
    places = [
        (part, layer, head) for part in "qkv" for layer, head in product(range(n_layers), range(n_heads))
    ]
    for part, layer, head in tqdm(places, desc="path patching, all pairs", delay=2, leave=False):
        exists = part == "q" or head < n_groups
        receivers = [(part, layer, head)] if exists else []
        how = (receivers, freeze_mlps, reduce, metric_pos)
        parts.append(get_path_patch_head_to_heads(model, tokens, cache, new_cache, patching_metric, *how))
    values = torch.stack(parts, dim=2).unflatten(2, (3, n_layers, n_heads))
    return values.movedim(2, 0)


def _senders_on_their_way(
    model: "HookedTransformer", cache: ActivationCache, new_cache: ActivationCache, freeze_mlps: bool
) -> Iterator[tuple[int, Float[Tensor, "runs pos d_model"]]]:
    """(layer, its resid_pre) for all runs in which one head of an earlier layer sent the other run's output, and at
    last (n_layers, the final residual stream). Rows are in this order: sender's layer, head, batch.
    """
    resid = cache["resid_pre", 0][:0]
    for layer, block in enumerate(model.blocks):
        yield layer, resid
        copies = len(resid) // len(cache["resid_pre", 0])
        change = einsum(
            new_cache["z", layer] - cache["z", layer],
            block.attn.W_O,
            "batch pos head d_head, head d_head d_model -> head batch pos d_model",
        )
        attn_out = cache["attn_out", layer]
        resid_pre = torch.cat([resid, cache["resid_pre", layer].repeat(len(change), 1, 1)])
        resid = resid_pre + torch.cat([attn_out.repeat(copies, 1, 1), (attn_out + change).flatten(0, 1)])
        if not hasattr(block, "mlp"):
            continue
        if freeze_mlps:
            resid = resid + cache["mlp_out", layer].repeat(copies + len(change), 1, 1)
        else:
            reads = resid if hasattr(block, "hook_resid_mid") else resid_pre
            resid = resid + block.mlp(block.ln2(reads))
    yield len(model.blocks), resid


def _received(
    model: "HookedTransformer",
    cache: ActivationCache,
    new_cache: ActivationCache,
    receivers: Sequence[Receiver],
    freeze_mlps: bool,
) -> dict[Receiver, Float[Tensor, "runs pos d_head"]]:
    """What each receiver's q, k or v would be, for every sender that comes before it."""
    received: dict[Receiver, Tensor] = {}
    for layer, resid in _senders_on_their_way(model, cache, new_cache, freeze_mlps):
        wanted = [r for r in receivers if r[1] == layer]
        if wanted and len(resid):
            block = model.blocks[layer]
            inputs = dict(zip("qkv", block.attn_inputs(resid)))
            make = {"q": block.attn.queries, "k": block.attn.keys, "v": block.attn.values}
            for part in {r[0] for r in wanted}:
                made = make[part](inputs[part])
                received |= {r: made[:, :, r[2]] for r in wanted if r[0] == part}
    return received


def _runs_that_receive(
    model: "HookedTransformer",
    tokens: Int[Tensor, "batch pos"],
    cache: ActivationCache,
    metric: Metric,
    received: Mapping[Receiver, Float[Tensor, "runs pos d_head"]],
    metric_pos: int | None,
) -> list[Tensor]:
    """The metric of each sender's run from the first receiver's layer on, in the order of the senders."""
    batch, n_heads = len(tokens), model.cfg.n_heads
    n_senders = model.cfg.n_layers * n_heads
    heard = max((len(x) for x in received.values()), default=0) // batch
    nothing_shared = cache["resid_post", -1][:, :0]
    results: list[Tensor] = []
    if heard:
        first = min(layer for _, layer, _ in received)
        at_once = max(1, TOKENS_AT_ONCE // tokens.numel())
        _, mask = model._read_tokens(tokens, None, None, None)
        for start in range(0, heard, at_once):
            rows = slice(start * batch, min(start + at_once, heard) * batch)

            def receive(activation: Tensor, hook: HookPoint, rows: slice = rows) -> Tensor:
                activation = activation.clone()
                for (part, layer, head), values in received.items():
                    if hook.name == get_act_name(part, layer):
                        mine = values[rows]  # fewer, when later senders come too late for this receiver
                        activation[: len(mine), :, head] = mine
                return activation

            runs = (rows.stop - rows.start) // batch
            hooks = [
                (name, receive) for name in sorted({get_act_name(part, layer) for part, layer, _ in received})
            ]
            with model.hooks(fwd_hooks=hooks):
                final = model(
                    cache["resid_pre", first].repeat(runs, 1, 1),
                    start_at_layer=first,
                    stop_at_layer=model.cfg.n_layers,
                    tokens=tokens.repeat(runs, 1),
                    attention_mask=None if mask is None else mask.repeat(runs, 1),
                )
            all_logits = _logits_of_runs(model, nothing_shared, final, metric_pos)
            results += [_measured(metric, logits) for logits in all_logits]
    if heard < n_senders:
        [logits] = _logits_of_runs(model, nothing_shared, cache["resid_post", -1], metric_pos)
        results += [_measured(metric, logits)] * (n_senders - heard)
    return results
