"""Families other than GPT-2: against `transformers`, against plain loops, and against what rotations and groups promise."""

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SIZES, load, random_model, random_tokens, word_tokenizer
from safetensors.torch import save_file
from torch import Tensor

from cleanlens import HookedTransformer, HookedTransformerConfig, patching
from cleanlens.evals import induction_loss
from cleanlens.head_detector import detect_head
from cleanlens.hooked_encoder import HookedEncoder
from cleanlens.key_value_cache import HookedTransformerKeyValueCache
from cleanlens.loading import names
from cleanlens.parity import FLAGS, compare, family_parity, main
from cleanlens.parity.families import TINY, tiny
from cleanlens.parity.original import TOYS, original_parity, toy

ROTARY: dict[str, Any] = dict(positional_embedding_type="rotary", rotary_dim=4)
# Small models of ours, one for each thing that a family can have.
KINDS: dict[str, dict[str, Any]] = {
    "llama": dict(
        **ROTARY,
        normalization_type="RMS",
        final_rms=True,
        gated_mlp=True,
        act_fn="silu",
        n_heads=6,
        n_key_value_heads=2,
    ),
    "qwen3": dict(
        **ROTARY,
        normalization_type="RMS",
        final_rms=True,
        gated_mlp=True,
        n_key_value_heads=2,
        use_qk_norm=True,
    ),
    "mistral": dict(
        **ROTARY,
        normalization_type="RMS",
        gated_mlp=True,
        n_key_value_heads=1,
        use_local_attn=True,
        window_size=4,
        attn_types=["local"] * 3,
    ),
    "gpt-j": dict(**ROTARY, parallel_attn_mlp=True, rotary_adjacent_pairs=True),
    "gpt-neo": dict(
        use_local_attn=True, window_size=3, attn_types=["global", "local", "global"], use_attn_scale=False
    ),
    "solu": dict(act_fn="solu_ln"),
    "final RMS": dict(final_rms=True),
    "shortformer": dict(positional_embedding_type="shortformer", attn_only=True, act_fn=None),
    "shortformer with MLPs": dict(positional_embedding_type="shortformer"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind: str, **options: Any) -> HookedTransformer:
    return random_model(seed=len(kind), **{**KINDS[kind], **options})


def close(a: Tensor, b: Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


# ---------------------------------------------------------------- against transformers


@pytest.mark.parametrize("name", TINY)
def test_every_stage_agrees_raw_and_processed(name: str) -> None:
    rows = family_parity(name)
    assert {row.dtype for row in rows} == {torch.float64, torch.float32}
    assert {"embed", "0 attention", "2 MLP", "2 residual", "logits", "loss", "gradients of weights"} <= {
        row.stage for row in rows
    }
    if name != "bert":
        assert {row.processing for row in rows} >= {"raw", *FLAGS[:4], "all"}
    assert not [row for row in rows if not row.ok]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["gpt-neo", "opt", "gpt-j", "gpt-neox", "llama", "qwen3", "bert"])
def test_padding_on_either_side(name: str, side: str) -> None:
    hf_model = tiny(name)
    mask = torch.ones(3, 9, dtype=torch.int64)
    for row, n_padding in enumerate([0, 1, 5]):
        mask[row, :n_padding] = 0
    mask = mask if side == "left" else mask.flip(1)
    kind = HookedEncoder if name == "bert" else HookedTransformer
    ours = kind.from_pretrained_no_processing(hf_model=hf_model, dtype=torch.float64, device="cpu")
    tokens = torch.randint(53, (3, 9), generator=torch.Generator().manual_seed(1))
    rows = compare(hf_model, ours, ["raw", "all"], tokens, mask)
    assert rows
    assert not [row for row in rows if not row.ok]


@pytest.mark.parametrize("name", ["gpt-neo", "opt", "gpt-j", "gpt-neox", "llama 3.1", "qwen3"])
def test_through_files_with_fewer_layers_and_positions(name: str, tmp_path: Path) -> None:
    hf_model = tiny(name)
    hf_model.save_pretrained(tmp_path)
    tokens = torch.randint(53, (2, 11))
    close(load(str(tmp_path))(tokens), hf_model(tokens).logits, atol=1e-4)  # transformers has float32 inside
    cut = load(str(tmp_path), first_n_layers=2, n_ctx=11)
    assert (cut.cfg.n_layers, cut.cfg.n_ctx) == (2, 11)
    close(
        cut(tokens, stop_at_layer=2),
        load(str(tmp_path)).run_with_cache(tokens)[1]["resid_pre", 2],
    )


# ---------------------------------------------------------------- against the original library


@pytest.mark.skipif(
    "CLEANLENS_TRANSFORMER_LENS" not in os.environ, reason="needs the Python of TransformerLens 3"
)
def test_toys_against_the_original_library() -> None:
    results = original_parity(os.environ["CLEANLENS_TRANSFORMER_LENS"])
    assert results.keys() == TOYS.keys()
    assert not [(name, row) for name, rows in results.items() for row in rows if not row.ok]


# The hook points of a block that the original library's version 3.9 has, beside GPT-2's.
PUBLISHED_HOOKS = {
    "grouped, gated": [
        "attn.hook_rot_q",
        "attn.hook_rot_k",
        "attn.q_norm.hook_scale",
        "attn.k_norm.hook_normalized",
        "mlp.hook_pre_linear",
        "hook_resid_mid",
    ],
    "parallel, rotary": ["attn.hook_rot_q", "ln2.hook_scale", "hook_mlp_in", "hook_mlp_out"],
    "solu": ["mlp.hook_mid", "mlp.ln.hook_scale", "mlp.ln.hook_normalized"],
    "shortformer": ["hook_resid_post"],
}
ABSENT = {
    "grouped, gated": ["hook_pos_embed"],
    "parallel, rotary": ["hook_pos_embed", "blocks.0.hook_resid_mid"],
    "shortformer": ["blocks.0.hook_resid_mid", "ln_final.hook_scale"],
}


@pytest.mark.parametrize("name", PUBLISHED_HOOKS)
def test_hook_names_and_parameters_are_the_published_ones(name: str) -> None:
    model = toy(name)
    _, cache = model.run_with_cache(torch.zeros(1, 5, dtype=torch.int64))
    for hook in PUBLISHED_HOOKS[name]:
        assert f"blocks.1.{hook}" in model.hook_dict
        assert f"blocks.1.{hook}" in cache or hook == "hook_mlp_in"
    assert not [hook for hook in ABSENT.get(name, []) if hook in model.hook_dict]
    if name == "grouped, gated":
        assert model.state_dict()["blocks.0.attn._W_K"].shape == (2, 20, 6)
        assert cache["k", 0].shape == (1, 5, 2, 6)
        assert cache["blocks.0.attn.hook_rot_k"].shape == (1, 5, 2, 6)


# ---------------------------------------------------------------- what the model computes


@every_kind
def test_generation_with_and_without_cache_and_behind_padding(kind: str) -> None:
    model = make(kind, d_vocab_out=SIZES["d_vocab"])
    prompt = random_tokens(model, batch=2, pos=6)
    greedy = dict(max_new_tokens=8, do_sample=False, stop_at_eos=False, verbose=False)
    with_cache = model.generate(prompt, **greedy)
    assert with_cache.equal(model.generate(prompt, use_past_kv_cache=False, **greedy))
    logits = model(with_cache)
    assert with_cache[:, 6:].equal(logits[:, 5:-1].argmax(dim=-1))  # what one whole pass would choose


@every_kind
def test_left_padding_changes_nothing(kind: str) -> None:
    model = make(kind)
    tokens = random_tokens(model, batch=1, pos=9)
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.int64), tokens], dim=1)
    mask = torch.cat([torch.zeros(1, 4, dtype=torch.int64), torch.ones_like(tokens)], dim=1)
    _, cache = model.run_with_cache(tokens)
    logits, padded_cache = model.run_with_cache(padded, attention_mask=mask)
    close(logits[:, 4:], model(tokens))
    for name in cache:
        if name.endswith(("rot_q", "rot_k", "hook_pos_embed", "hook_z", "hook_resid_post")):
            close(padded_cache[name][:, 4:], cache[name])


@every_kind
def test_a_frozen_prefix_serves_padded_continuations(kind: str) -> None:
    """Padding between the cached prefix and the text: positions go on as if it were not there."""
    model = make(kind)
    prefix, rest = random_tokens(model, batch=1, pos=4), random_tokens(model, batch=2, pos=5, seed=1)
    cache = HookedTransformerKeyValueCache.init_cache(model.cfg, "cpu", 1)
    model(prefix, past_kv_cache=cache)
    cache.freeze()
    for row in rest:
        whole = model(torch.cat([prefix, row[None]], dim=1))[:, 4:]
        close(model(row[None], past_kv_cache=cache), whole)
        close(model(row[None], past_kv_cache=cache), whole)  # frozen: as often as one likes
        if kind in ("gpt-neo", "mistral"):
            continue  # a window is counted in places, padding included, as transformers does
        padded = torch.cat([torch.zeros(1, 3, dtype=torch.int64), row[None]], dim=1)
        mask = torch.tensor([[0] * 3 + [1] * 5])
        close(model(padded, past_kv_cache=cache, attention_mask=mask)[:, 3:], whole)


@every_kind
def test_starting_in_the_middle(kind: str) -> None:
    model = make(kind)
    tokens = random_tokens(model)
    logits, cache = model.run_with_cache(tokens)
    close(model(cache["resid_pre", 1], start_at_layer=1), logits)


def test_a_window_sees_so_far_and_no_further() -> None:
    model = make("gpt-neo")
    _, cache = model.run_with_cache(random_tokens(model))
    query, key = torch.arange(9)[:, None], torch.arange(9)
    near = (key <= query) & (query - key < 3)
    assert ((cache["pattern", 1] > 0) == near).all()
    assert ((cache["pattern", 0] > 0) == (key <= query)).all()


@pytest.mark.parametrize("adjacent", [False, True])
def test_scores_depend_on_the_distance_alone(adjacent: bool) -> None:
    """The same token everywhere: rotated scores are constant along diagonals, and not everywhere."""
    model = make("llama", rotary_adjacent_pairs=adjacent)
    _, cache = model.run_with_cache(torch.full((1, 9), 7))
    scores = cache["attn_scores", 0][0]
    for distance in range(9):
        diagonal = scores.diagonal(-distance, dim1=-2, dim2=-1)
        close(diagonal, diagonal[:, :1].expand_as(diagonal), atol=1e-5)  # angles are in float32
    assert scores[:, -1].std(dim=-1).min() > 1e-2
    q, rotated = cache["q", 0], cache["blocks.0.attn.hook_rot_q"]
    close(rotated[..., 4:], q[..., 4:])  # rotary_dim = 4 of 5
    close(rotated.norm(dim=-1), q.norm(dim=-1), atol=1e-5)
    close(rotated[:, 0], q[:, 0])


# ---------------------------------------------------------------- weights


@every_kind
def test_processing_keeps_what_the_model_says(kind: str) -> None:
    model = make(kind)
    tokens = random_tokens(model)
    expected = model(tokens).log_softmax(dim=-1)
    can_refactor = not {"rotary"} & {model.cfg.positional_embedding_type}
    for flags in [*({flag: True} for flag in FLAGS[:4]), dict.fromkeys(FLAGS[:4], True)]:
        processed = make(kind)
        processed.process_weights_(**{**dict.fromkeys(FLAGS, False), **flags})
        close(processed(tokens).log_softmax(dim=-1), expected)
    if can_refactor:
        model.process_weights_(refactor_factored_attn_matrices=True)
        close(model(tokens).log_softmax(dim=-1), expected)
    else:
        with pytest.raises(ValueError, match="refactor_factored_attn_matrices: this model rotates queries"):
            model.process_weights_(refactor_factored_attn_matrices=True)


def test_rms_norm_is_folded_and_nothing_is_centred() -> None:
    model, raw = make("llama"), make("llama")
    model.process_weights_(center_unembed=False)
    assert model.cfg.normalization_type == "RMSPre"
    close(model.W_E, raw.W_E)
    close(model.W_O, raw.W_O)
    for new, old in zip(model.blocks, raw.blocks):
        close(new.mlp.W_gate, old.ln2.w[:, None] * old.mlp.W_gate)
        close(new.mlp.W_in, old.ln2.w[:, None] * old.mlp.W_in)
        close(new.attn._W_K, old.ln1.w[:, None] * old.attn._W_K)
        assert not hasattr(new.ln1, "w")
        assert new.attn._b_V.abs().max() == 0
    close(model.W_U, raw.ln_final.w[:, None] * raw.W_U)
    again = {name: value.clone() for name, value in model.state_dict().items()}
    model.process_weights_(center_unembed=False)
    for name, value in model.state_dict().items():
        close(value, again[name])


def test_each_head_sees_its_groups_weights() -> None:
    model = make("llama")
    attn = model.blocks[1].attn
    assert model.W_K.shape == (3, 6, 21, 5)
    assert model.W_V[0, 3:].equal(model.blocks[0].attn._W_V[1:].expand(3, -1, -1))
    close(attn.QK.AB, attn.W_Q @ attn._W_K.repeat_interleave(3, dim=0).transpose(-1, -2))
    for mode in ("Q", "K", "V"):
        scores = model.all_composition_scores(mode)
        for head, later in itertools.product(range(6), repeat=2):
            reader = {"Q": model.QK, "K": model.QK.T, "V": model.OV}[mode][2, later]
            writer = model.OV[0, head]
            one = (writer.AB @ reader.AB).norm() / writer.AB.norm() / reader.AB.norm()
            close(scores[0, head, 2, later], one)


@every_kind
def test_init_weights_reach_every_matrix(kind: str) -> None:
    model = HookedTransformer(
        {**SIZES, "act_fn": "gelu", "device": "cpu", **_without_d_mlp(KINDS[kind]), "seed": 0}
    )
    for name, weight in model.named_parameters():
        if name.rpartition(".")[2].lstrip("_").startswith("W"):
            assert 0 < weight.std() < 1, name


def _without_d_mlp(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "d_mlp": None} if options.get("attn_only") else options


# ---------------------------------------------------------------- the cache


@every_kind
@pytest.mark.parametrize("processed", [False, True])
def test_the_residual_stream_as_a_sum(kind: str, processed: bool) -> None:
    model = make(kind)
    if processed:
        model.process_weights_()
    tokens = random_tokens(model)
    logits, cache = model.run_with_cache(tokens)
    final = cache["resid_post", -1]
    close(cache.decompose_resid().sum(dim=0), final)
    close(cache.stack_head_results(incl_remainder=True).sum(dim=0), final)
    close(cache.get_full_resid_decomposition(expand_neurons=False).sum(dim=0), final)
    if not model.cfg.attn_only:
        close(cache.get_full_resid_decomposition().sum(dim=0), final)
        before_mlp = cache["resid_pre", 1] if model.cfg.parallel_attn_mlp else cache["resid_mid", 1]
        close(cache.decompose_resid(1, mlp_input=True).sum(dim=0), before_mlp)
        close(cache.get_full_resid_decomposition(1, mlp_input=True).sum(dim=0), before_mlp)
        read = cache.decompose_resid(1, mlp_input=True, apply_ln=True).sum(dim=0)
        ln2 = model.blocks[1].ln2
        close(read, ln2(before_mlp) - (ln2.b if hasattr(ln2, "b") else 0))
    # Direct logit attribution adds up to the logits, less what no component writes.
    attribution = cache.logit_attrs(cache.decompose_resid(), tokens).sum(dim=0)
    said = logits.gather(-1, tokens[..., None])[..., 0]
    bias = model.b_U[tokens]
    if hasattr(model.ln_final, "b"):
        bias = bias + (model.ln_final.b @ model.W_U)[tokens]
    close(attribution, said - bias)


# ---------------------------------------------------------------- sweeps and the rest


@every_kind
@pytest.mark.parametrize(
    "name",
    ["resid_pre", "attn_out", "attn_head_out_by_pos", "attn_head_k_by_pos", "attn_head_pattern_all_pos"],
)
def test_sweeps_equal_the_plain_loop(kind: str, name: str) -> None:
    model, fast = make(kind), getattr(patching, f"get_act_patch_{name}")
    clean, corrupted = random_tokens(model, 2, 6), random_tokens(model, 2, 6, seed=1)
    with torch.no_grad():
        _, cache = model.run_with_cache(clean)

    def metric(logits: Tensor) -> Tensor:
        return (logits[:, -1, 3] - logits[:, -1, 4]).mean()

    plain = patching.generic_activation_patch(model, corrupted, cache, metric, **fast.keywords)
    if name == "attn_head_k_by_pos":
        assert plain.shape == (3, 6, model.cfg.n_key_value_heads or model.cfg.n_heads)
    close(fast(model, corrupted, cache, metric), plain)
    close(fast(model, corrupted, cache, metric, metric_pos=-1), plain)
    assert plain.std() > 1e-4


@pytest.mark.parametrize("name", ["resid_pre", "attn_head_out_all_pos"])
def test_sweeps_of_a_bidirectional_encoder(name: str) -> None:
    model = encoder()
    clean, corrupted = torch.randint(1, 53, (2, 2, 6))
    fast = getattr(patching, f"get_act_patch_{name}")
    with torch.no_grad():
        _, cache = model.run_with_cache(clean)
        run = (model, corrupted, cache, lambda logits: logits[:, 2, 3].mean())
        close(fast(*run), patching.generic_activation_patch(*run, **fast.keywords))
        assert fast(*run).std() > 1e-4


@pytest.mark.parametrize("kind", ["llama", "gpt-j"])
def test_head_detector_and_paths(kind: str) -> None:
    model = make(kind)
    model.set_tokenizer(word_tokenizer())
    tokens = model.to_tokens("abcdefg")
    _, cache = model.run_with_cache(tokens)
    scores = detect_head(model, "abcdefg", torch.eye(8), error_measure="abs")
    expected = 1 - (cache.stack_activation("pattern")[:, 0] - torch.eye(8)).abs().sum(dim=(-1, -2)) / 8
    close(scores, expected.to(scores))
    other, new = random_tokens(model, batch=1, pos=8, seed=1), cache
    with torch.no_grad():
        _, old = model.run_with_cache(other)
        paths = patching.get_path_patch_head_to_heads(
            model, other, old, new, lambda logits: logits[0, -1, 3], [("k", 2, 1), ("v", 1, 0)]
        )
        to_itself = patching.get_path_patch_head_to_logits(
            model, other, old, old, lambda logits: logits[0, -1, 3]
        )
    close(to_itself, model(other)[0, -1, 3].expand(3, model.cfg.n_heads).detach())
    assert paths[0].std() > 1e-6
    close(
        paths[2], model(other)[0, -1, 3].expand(model.cfg.n_heads).detach()
    )  # nothing of layer 2 reaches them


def test_induction_loss_runs_on_a_llama() -> None:
    model = make("llama", n_ctx=33, d_vocab_out=SIZES["d_vocab"], dtype=torch.float32)
    assert induction_loss(model, subseq_len=16, prepend_bos=False).isfinite()


def test_separate_inputs_of_grouped_heads() -> None:
    model = make("llama")
    tokens = random_tokens(model)
    expected = model(tokens)
    names = [f"blocks.0.hook_{part}_input" for part in "qkv"]
    logits, cache = model.run_with_cache(tokens, names_filter=names)
    close(logits, expected)
    assert [cache[name].shape[2] for name in names] == [6, 2, 2]
    with pytest.raises(ValueError, match="hook_attn_in: 6 query heads share 2 heads of keys and values"):
        model.run_with_cache(tokens, names_filter="blocks.0.hook_attn_in")


# ---------------------------------------------------------------- BERT


def encoder() -> HookedEncoder:
    return HookedEncoder.from_pretrained(hf_model=tiny("bert"), dtype=torch.float64, device="cpu")


def test_bert_token_types_and_names() -> None:
    hf_model, model = tiny("bert"), encoder()
    tokens = torch.randint(1, 53, (2, 7))
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1]]).expand(2, 7)
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    with torch.no_grad():
        theirs = hf_model(tokens, token_type_ids=types, attention_mask=mask).logits
        ours = model(tokens, token_type_ids=types, one_zero_attention_mask=mask)
    seen = mask.bool()
    close(ours[seen], theirs[seen], atol=1e-5)  # transformers' softmax is in float32
    assert (ours - model(tokens, one_zero_attention_mask=mask)).abs().max() > 1e-2
    _, cache = model.run_with_cache(tokens)
    for name in ("embed.hook_token_type_embed", "hook_full_embed", "mlm_head.ln.hook_scale"):
        assert name in cache
    assert cache["blocks.0.hook_normalized_resid_post"].shape == (2, 7, 30)
    close(cache["blocks.1.hook_resid_pre"], cache["blocks.0.hook_normalized_resid_post"])
    assert model.W_Q.shape == (3, 3, 30, 10)
    split = model.run_with_cache(tokens, names_filter="blocks.0.hook_q_input")
    close(split[0], model(tokens))


def test_bert_fills_the_gap(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "mat"]
    (tmp_path / "vocab.txt").write_text("\n".join(words + [f"w{i}" for i in range(43)]), encoding="utf-8")
    hf_model = tiny("bert")
    hf_model.save_pretrained(tmp_path)
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    model = HookedEncoder.from_pretrained(str(tmp_path), dtype=torch.float64, device="cpu")
    text = "the [MASK] sat"
    tokens, types, mask = model.to_tokens(text)
    assert tokens.tolist() == [[2, 5, 4, 7, 3]]
    assert types.sum() == 0
    assert mask.sum() == 5
    best = int(model(text)[0, 2].argmax())
    assert model(text, return_type="predictions") == model.tokenizer.decode([best])
    assert model(text, return_type=None) is None
    two = model("[MASK] cat [MASK]", return_type="predictions")
    assert [line.partition(":")[0] for line in two] == ["Prediction 0", "Prediction 1"]
    close(model(["the cat sat", "the cat"])[1, :4], model("the cat")[0])  # shorter texts are padded


def test_encoders_and_decoders_are_not_taken_for_each_other() -> None:
    with pytest.raises(ValueError, match=r"model_type is 'bert'; use HookedEncoder.from_pretrained"):
        load(hf_model=tiny("bert"))
    with pytest.raises(ValueError, match=r"model_type is 'opt'; use HookedTransformer.from_pretrained"):
        HookedEncoder.from_pretrained(hf_model=tiny("opt"))
    cfg = HookedTransformerConfig(**SIZES, act_fn="gelu")  # an encoder sees both ways whatever a config says
    assert HookedEncoder(cfg).cfg.attention_dir == "bidirectional"
    assert cfg.attention_dir == "causal"


# ---------------------------------------------------------------- the interpretability models


def interpretability_folder(
    tmp_path: Path, model: HookedTransformer, old: bool = False, **fields: Any
) -> Path:
    folder = tmp_path / ("SoLU_3L_v9_old" if old else "SoLU_3L")
    folder.mkdir()
    sizes = ("d_model", "n_layers", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "act_fn", "attn_only")
    config = {size: getattr(model.cfg, size) for size in sizes}
    config |= {"normalization": model.cfg.normalization_type, "final_rms": model.cfg.final_rms, **fields}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = {
        **model.state_dict(),
        "blocks.0.attn.mask": torch.ones(3, 3),
        "blocks.0.attn.IGNORE": torch.tensor(-1e5),
    }
    if old:
        for name in list(weights):
            value = weights.pop(name)
            if name.rpartition(".")[2].startswith("W_"):
                value = value.transpose(-2, -1).contiguous()
            weights[name.replace("ln_final", "norm").replace("ln", "norm")] = value
    torch.save(weights, folder / "model_final.pth")
    return folder


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", ["solu", "shortformer", "final RMS"])
def test_interpretability_models_from_their_files(kind: str, old: bool, tmp_path: Path) -> None:
    model = make(kind, d_vocab_out=SIZES["d_vocab"])
    fields = {"shortformer_pos": True} if kind == "shortformer" else {}
    folder = interpretability_folder(tmp_path, model, old, **fields)
    loaded = load(str(folder))
    tokens = random_tokens(model)
    close(loaded(tokens), model(tokens))
    assert loaded.cfg.original_architecture == ("neel-solu-old" if old else "neel")
    cut = load(str(folder), first_n_layers=1)
    close(cut(tokens, stop_at_layer=1), model(tokens, stop_at_layer=1))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    folder = interpretability_folder(tmp_path, make("solu", d_vocab_out=SIZES["d_vocab"]))
    torch.save({"embed.W_E": Evil()}, folder / "model_final.pth")
    with pytest.raises(Exception, match=r"[Ww]eights.only|damaged|code"):
        load(str(folder))
    assert not (tmp_path / "ran").exists()


def test_arenas_shortformer_from_a_state_dict() -> None:
    """Its published config; the state dict carries masks beside the weights."""
    cfg = HookedTransformerConfig(
        d_model=24,
        d_head=6,
        n_heads=4,
        n_layers=2,
        n_ctx=20,
        d_vocab=53,
        attention_dir="causal",
        attn_only=True,
        tokenizer_name="EleutherAI/gpt-neox-20b",
        seed=398,
        use_attn_result=True,
        normalization_type=None,
        positional_embedding_type="shortformer",
        device="cpu",
    )
    model, source = HookedTransformer(cfg), HookedTransformer(cfg)
    torch.nn.init.normal_(source.W_pos)
    weights = {
        **source.state_dict(),
        "blocks.1.attn.mask": torch.ones(20, 20),
        "blocks.1.attn.IGNORE": torch.tensor(-1e5),
    }
    model.load_state_dict(weights)
    tokens = torch.randint(53, (2, 9))
    logits, cache = model.run_with_cache(tokens)
    close(logits, source(tokens))
    close(cache["resid_pre", 0], cache["embed"])
    close(cache.decompose_resid().sum(dim=0), cache["resid_post", -1], atol=1e-5)
    attn = model.blocks[0].attn
    q = torch.einsum("bpm,hmd->bphd", cache["embed"] + cache["pos_embed"], attn.W_Q)
    v = torch.einsum("bpm,hmd->bphd", cache["embed"], attn.W_V)
    close(cache["q", 0], q, atol=1e-5)
    close(cache["v", 0], v, atol=1e-5)


# ---------------------------------------------------------------- names and checkpoints


@pytest.mark.parametrize(
    ("alias", "id"),
    [
        ("gpt2-small", "openai-community/gpt2"),
        ("pythia-70m", "EleutherAI/pythia-70m"),
        ("pythia-125m-deduped", "EleutherAI/pythia-160m-deduped"),
        ("EleutherAI/pythia-13b", "EleutherAI/pythia-12b"),
        ("gpt-neo-small", "EleutherAI/gpt-neo-125M"),
        ("neo", "EleutherAI/gpt-neo-125M"),
        ("gptj", "EleutherAI/gpt-j-6B"),
        ("neox", "EleutherAI/gpt-neox-20b"),
        ("opt", "facebook/opt-125m"),
        ("stablelm-tuned-3b", "stabilityai/stablelm-tuned-alpha-3b"),
        ("Llama-2-7b", "meta-llama/Llama-2-7b-hf"),
        ("llama-2-7b", "meta-llama/Llama-2-7b-hf"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.1"),
        ("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B"),
        ("qwen3-0.6b-base", "Qwen/Qwen3-0.6B-Base"),
        ("bert-base-cased", "google-bert/bert-base-cased"),
        ("solu-1l-pile", "NeelNanda/SoLU_1L_v9_old"),
        ("solu-8l-old", "NeelNanda/SoLU_8L_v21_old"),
        ("attn-only-2l-induction-demo", "NeelNanda/Attn-Only-2L512W-Shortformer-6B-big-lr"),
        ("gelu-4l", "NeelNanda/GELU_4L512W_C4_Code"),
        ("tiny-stories-33M", "roneneldan/TinyStories-33M"),
        ("someone/something", "someone/something"),
    ],
)
def test_published_names(alias: str, id: str) -> None:
    assert names.official_name(alias) == id


def test_names_of_families_that_are_not_built_say_what_is_missing() -> None:
    for name, reason in (
        ("mixtral-8x7b", "a mixture of experts"),
        ("bloom-560m", "ALiBi"),
        ("t5-small", "a decoder"),
    ):
        with pytest.raises(ValueError, match=f"{name!r} is not built: it needs .*{reason}"):
            names.official_name(name)
    with pytest.raises(ValueError, match=r"no model named 'pythia-71m'\. Did you mean 'pythia-"):
        names.official_name("pythia-71m")


def test_checkpoints_of_pythia_and_stanford_are_known_offline() -> None:
    labels, kind = names.get_checkpoint_labels("pythia-70m-deduped")
    assert (len(labels), kind, labels[:12], labels[-1]) == (
        154,
        "step",
        [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000],
        143000,
    )
    assert names.get_checkpoint_labels("pythia-1b-v0")[0] == list(range(1000, 144000, 1000))
    assert len(names.get_checkpoint_labels("stanford-gpt2-medium-e")[0]) == 609
    assert names.choose_checkpoint("pythia-70m", None, 512) == 512
    with pytest.raises(ValueError, match="no training checkpoints are known for 'opt-125m'"):
        names.get_checkpoint_labels("opt-125m")


def test_checkpoints_of_the_interpretability_models_are_in_the_hubs_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [
        "config.json",
        "model_final.pth",
        *(f"checkpoints/solu_{i}.pth" for i in (131072, 4194304, 22000000512)),
    ]
    monkeypatch.setattr("huggingface_hub.list_repo_files", lambda name: files)
    assert names.get_checkpoint_labels("solu-2l") == ([131072, 4194304, 22000000512], "token")
    monkeypatch.setattr("huggingface_hub.list_repo_files", lambda name: files[:3])
    assert names.get_checkpoint_labels("solu-2l") == ([131072], "step")
    monkeypatch.undo()
    with pytest.raises(
        ConnectionError, match="which files 'NeelNanda/SoLU_2L512W_C4_Code' has is known to the"
    ):
        names.get_checkpoint_labels("solu-2l")


# ---------------------------------------------------------------- bad input

BAD_CONFIGS = [
    ({"model_type": "mixtral"}, "model_type is 'mixtral'; cleanlens loads bert, .*cleanlens/loading"),
    (
        {"model_type": "llama", "quantization_config": {"quant_method": "gptq"}},
        "its weights are quantized ..gptq",
    ),
    (
        {"model_type": "llama", "rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
        "the rotary scaling is 'yarn'",
    ),
    ({"model_type": "qwen2", "layer_types": ["chunked_attention"]}, "layer_types has .*chunked_attention"),
    ({"model_type": "opt", "word_embed_proj_dim": 16}, "projects narrow embeddings .*125m to 66b"),
    ({"model_type": "gptj", "n_head": 5}, "n_embd = 24 is not a multiple of n_head = 5"),
    ({"model_type": "gpt_neo", "attention_types": [[["flash"], 2]]}, "attn_types = .*'flash'"),
]


@pytest.mark.parametrize(("fields", "message"), BAD_CONFIGS, ids=[message[:24] for _, message in BAD_CONFIGS])
def test_what_is_not_built_is_named(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    sizes = dict(
        num_hidden_layers=1, hidden_size=24, num_attention_heads=4, intermediate_size=29, vocab_size=53,
        max_position_embeddings=41, ffn_dim=29, n_layer=1, n_embd=24, n_positions=41, n_head=4, num_layers=1,
        num_heads=4, sliding_window=4, use_sliding_window=True,
    )  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps({**sizes, **fields}), encoding="utf-8")
    save_file({}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(positional_embedding_type="rotary", rotary_dim=3), "rotary_dim = 3; it must be even"),
        (dict(n_key_value_heads=3), "n_heads = 4 is not a multiple of n_key_value_heads = 3"),
        (dict(use_local_attn=True, attn_types=["local"]), r"attn_types = \['local'\]; with use_local_attn"),
        (dict(use_local_attn=True, attn_types=["local"] * 3), "window_size = None"),
        (dict(use_qk_norm=True), "use_qk_norm is built for rotary"),
        (
            dict(positional_embedding_type="relative"),
            "positional_embedding_type = 'relative'; it must be one of",
        ),
    ],
)
def test_configs_that_contradict_themselves(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HookedTransformerConfig(**{**SIZES, "act_fn": "gelu", **fields})


def test_a_missing_bias_is_named_when_other_layers_have_it(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tiny("llama").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.self_attn.k_proj.bias"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"no tensor for .*blocks.1.attn._b_K"):
        load(str(tmp_path))


def test_the_command_for_one_family(capsys: pytest.CaptureFixture) -> None:
    assert main(["--family", "opt"]) == 0
    assert "opt agrees with transformers" in " ".join(capsys.readouterr().out.split())
    assert main(["--family", "nonsense"]) == 2
    assert "no family 'nonsense'; there are gpt2, gpt-neo" in capsys.readouterr().err
