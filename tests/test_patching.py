"""Patching: sweeps against the plain loop, the plain loop against a model computed by hand, paths against a formula."""

import pytest
import torch
from helpers import word_tokenizer

from cleanlens import HookedTransformer, patching

SIZES = dict(
    n_layers=3,
    d_model=20,
    n_ctx=11,
    d_head=3,
    n_heads=4,
    d_mlp=17,
    d_vocab=23,
    act_fn="gelu_new",
    device="cpu",
)


def make(tokenizer=None, **options):
    made = HookedTransformer({**SIZES, "dtype": torch.float64, **options}, tokenizer)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def runs(model):
    clean, corrupted = torch.randint(0, 23, (2, 2, 7))
    with torch.no_grad():
        return corrupted, model.run_with_cache(clean)[1]


def metric(logits):
    return (logits[:, -1, 3] - logits[:, -1, 4]).mean()


SWEEPS = sorted(
    name for name in vars(patching) if name.startswith("get_act_patch") and not name.endswith("every")
)


@pytest.mark.parametrize("name", SWEEPS)
def test_sweep_equals_plain_loop(model, runs, name):
    fast = getattr(patching, name)
    plain = patching.generic_activation_patch(model, *runs, metric, **fast.keywords)
    torch.testing.assert_close(fast(model, *runs, metric), plain, atol=1e-9, rtol=0)
    torch.testing.assert_close(fast(model, *runs, metric, metric_pos=-1), plain, atol=1e-9, rtol=0)
    assert plain.std() > 1e-3  # a sweep that changes nothing would agree with anything


@pytest.mark.parametrize(
    "options",
    [
        dict(attn_only=True, normalization_type="LN"),
        dict(use_split_qkv_input=True, use_hook_mlp_in=True, act_fn="relu"),
        dict(normalization_type=None, use_attn_result=True, scale_attn_by_inverse_layer_idx=True),
        dict(attention_dir="bidirectional"),
    ],
    ids=["attention only", "split inputs", "no LayerNorm", "bidirectional"],
)
@pytest.mark.parametrize("name", ["resid_pre", "attn_out", "attn_head_out_all_pos", "attn_head_k_by_pos"])
def test_sweeps_of_other_models(options, name):
    """Three prompts of seven tokens each, so that batch, position and place cannot be mistaken for each other."""
    other, fast = make(**options), getattr(patching, f"get_act_patch_{name}")
    clean, corrupted = torch.randint(0, 23, (2, 3, 7))
    with torch.no_grad():
        clean_cache = other.run_with_cache(clean)[1]

    def each_prompt(logits):
        return logits[:, -1, 3] - logits[:, -1, 4]

    run = (other, corrupted, clean_cache, each_prompt)
    plain = patching.generic_activation_patch(*run, **fast.keywords)
    assert plain.shape[-1] == 3
    torch.testing.assert_close(fast(*run), plain, atol=1e-9, rtol=0)
    torch.testing.assert_close(fast(*run, metric_pos=-1), plain, atol=1e-9, rtol=0)

    def early(logits):
        return logits[:, 2, 3]

    plain_early = patching.generic_activation_patch(*run[:-1], early, **fast.keywords)
    fast_early = fast(*run[:-1], lambda logits: logits[:, 0, 3], metric_pos=2)
    torch.testing.assert_close(fast_early, plain_early, atol=1e-9, rtol=0)
    assert plain.flatten(0, -2).std(dim=0).min() > 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["resid_pre", "attn_head_v_by_pos", "attn_head_pattern_by_pos"])
def test_sweeps_of_padded_prompts(side, name):
    """Row 0 is shorter by three tokens: nobody may look at its padding, from whichever position a run starts."""
    padded = make(tokenizer=word_tokenizer(), d_vocab=37, default_padding_side=side)
    clean, corrupted = torch.randint(1, 37, (2, 2, 8))
    filling = slice(None, 3) if side == "left" else slice(-3, None)
    clean[0, filling] = corrupted[0, filling] = padded.tokenizer.pad_token_id
    with torch.no_grad():
        clean_cache = padded.run_with_cache(clean)[1]
        assert clean_cache["pattern", 0][0, :, 4, filling].max() == 0 or side == "right"

    def each_prompt(logits):
        return logits[:, 4, 3]

    fast, run = getattr(patching, f"get_act_patch_{name}"), (padded, corrupted, clean_cache, each_prompt)
    plain = patching.generic_activation_patch(*run, **fast.keywords)
    torch.testing.assert_close(fast(*run), plain, atol=1e-9, rtol=0)


def test_chunks_do_not_matter(model, runs, monkeypatch):
    whole = patching.get_act_patch_attn_head_out_by_pos(model, *runs, metric)
    monkeypatch.setattr(patching, "TOKENS_AT_ONCE", 3 * 14)
    torch.testing.assert_close(patching.get_act_patch_attn_head_out_by_pos(model, *runs, metric), whole)


def test_resid_pre_by_hand(model, runs):
    """Put one clean vector into the corrupted residual stream and run the rest of the model."""
    corrupted, clean_cache = runs
    got = patching.get_act_patch_resid_pre(model, corrupted, clean_cache, metric)
    for layer in range(3):
        for pos in range(7):
            resid = model(corrupted, stop_at_layer=layer).clone()
            resid[:, pos] = clean_cache["resid_pre", layer][:, pos]
            for block in model.blocks[layer:]:
                resid = block(resid)
            expected = metric(model.unembed(model.ln_final(resid)))
            torch.testing.assert_close(got[layer, pos], expected, atol=1e-9, rtol=0)


def test_patching_everything_gives_the_clean_run(model, runs):
    corrupted, clean_cache = runs
    names = [f"blocks.{layer}.hook_resid_post" for layer in range(3)]
    patched = model.run_with_hooks(
        corrupted, fwd_hooks=[(n, lambda x, hook: clean_cache[hook.name]) for n in names]
    )
    torch.testing.assert_close(patched, model.unembed(model.ln_final(clean_cache["resid_post", -1])))


def test_a_users_hook_is_respected(model, runs):
    def silence(z, hook):
        z[0, :, 1] = 0  # the first batch entry only: a sweep that batches places would hit the wrong one

    plain_arguments = patching.get_act_patch_mlp_out.keywords
    with model.hooks(fwd_hooks=[("blocks.1.attn.hook_z", silence)]):
        fast = patching.get_act_patch_mlp_out(model, *runs, metric, metric_pos=-1)
        plain = patching.generic_activation_patch(model, *runs, metric, **plain_arguments)
    torch.testing.assert_close(fast, plain)


def test_every_stacks_the_single_sweeps(model, runs):
    heads = patching.get_act_patch_attn_head_all_pos_every(model, *runs, metric)
    assert heads.shape == (5, 3, 4)
    torch.testing.assert_close(heads[2], patching.get_act_patch_attn_head_k_all_pos(model, *runs, metric))
    by_pos = patching.get_act_patch_attn_head_by_pos_every(model, *runs, metric)
    assert by_pos.shape == (5, 3, 7, 4)
    pattern = patching.get_act_patch_attn_head_pattern_by_pos(model, *runs, metric)
    torch.testing.assert_close(by_pos[4], pattern.transpose(1, 2))
    blocks = patching.get_act_patch_block_every(model, *runs, metric)
    assert blocks.shape == (3, 3, 7)
    torch.testing.assert_close(blocks[1], patching.get_act_patch_attn_out(model, *runs, metric))


def test_every_by_prompt_and_with_shared_keys_and_values():
    """Heads of a group share what is patched, so they share its number; each prompt has a number of its own."""
    grouped = make(
        n_key_value_heads=2,
        normalization_type="RMS",
        positional_embedding_type="rotary",
        d_head=4,
        rotary_dim=4,
    )
    clean, corrupted = torch.randint(0, 23, (2, 3, 7))
    run = (grouped, corrupted, grouped.run_with_cache(clean)[1], lambda logits: logits[:, -1, 3])
    every = patching.get_act_patch_attn_head_all_pos_every(*run, reduce="none")
    assert every.shape == (5, 3, 4, 3)
    keys = patching.get_act_patch_attn_head_k_all_pos(*run, reduce="none")
    for head in range(4):
        torch.testing.assert_close(every[2, :, head], keys[:, head // 2], atol=1e-9, rtol=0)
    by_pos = patching.get_act_patch_attn_head_by_pos_every(*run, reduce="none")
    assert by_pos.shape == (5, 3, 7, 4, 3)
    values = patching.get_act_patch_attn_head_v_by_pos(*run, reduce="none")
    for head in range(4):
        torch.testing.assert_close(by_pos[3, :, :, head], values[:, :, head // 2], atol=1e-9, rtol=0)


def test_index_df(model, runs):
    pandas = pytest.importorskip("pandas")
    places = pandas.DataFrame([(0, 2), (2, 6)], columns=["layer", "pos"])
    setter = patching.layer_pos_patch_setter
    got, frame = patching.generic_activation_patch(
        model, *runs, metric, setter, "resid_pre", index_df=places, return_index_df=True
    )
    whole = patching.get_act_patch_resid_pre(model, *runs, metric)
    torch.testing.assert_close(got, torch.stack([whole[0, 2], whole[2, 6]]))
    assert frame is places
    with pytest.raises(ValueError, match="index_axis_names or index_df, one of them"):
        patching.generic_activation_patch(model, *runs, metric, setter, "resid_pre")


# ---------------------------------------------------------------- paths


@pytest.fixture(scope="module")
def two_runs(model):
    tokens, other = torch.randint(0, 23, (2, 2, 7))
    with torch.no_grad():
        return tokens, model.run_with_cache(tokens)[1], model.run_with_cache(other)[1]


@pytest.mark.parametrize("sender", [(0, 1), (1, 3), (2, 0)])
def test_direct_path_to_logits_is_what_the_head_adds(model, two_runs, sender):
    """With heads and MLPs frozen, only the sender's own change reaches the end of the residual stream."""
    tokens, cache, new_cache = two_runs
    layer, head = sender
    change = (new_cache["z", layer] - cache["z", layer])[:, :, head] @ model.W_O[layer, head]
    expected = model.unembed(model.ln_final(cache["resid_post", -1] + change))
    got = patching.path_patch(model, tokens, cache, new_cache, sender, freeze_mlps=True)
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=0)


def test_path_to_logits_through_mlps_by_hand(model, two_runs):
    tokens, cache, new_cache = two_runs
    layer, head = 0, 2
    change = (new_cache["z", layer] - cache["z", layer])[:, :, head] @ model.W_O[layer, head]
    resid = cache["embed"] + cache["pos_embed"]
    for i, block in enumerate(model.blocks):
        resid = resid + cache["attn_out", i] + (change if i == layer else 0)
        resid = resid + block.mlp(block.ln2(resid))
    expected = model.unembed(model.ln_final(resid))
    got = patching.path_patch(model, tokens, cache, new_cache, (layer, head))
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=0)


def test_path_to_a_heads_keys_by_hand(model, two_runs):
    """Recompute the receiver's keys from the changed stream, put them into a fresh run."""
    tokens, cache, new_cache = two_runs
    change = (new_cache["z", 0] - cache["z", 0])[:, :, 1] @ model.W_O[0, 1]
    block = model.blocks[2]
    keys = block.ln1(cache["resid_pre", 2] + change) @ block.attn.W_K[3] + block.attn.b_K[3]

    def receive(k, hook):
        k[:, :, 3] = keys

    expected = model.run_with_hooks(tokens, fwd_hooks=[("blocks.2.attn.hook_k", receive)])
    got = patching.path_patch(model, tokens, cache, new_cache, (0, 1), [("k", 2, 3)], freeze_mlps=True)
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=0)


def test_no_path_leads_back(model, two_runs):
    tokens, cache, new_cache = two_runs
    plain = metric(model(tokens))
    sweep = patching.get_path_patch_head_to_heads(
        model, tokens, cache, new_cache, metric, [("q", 1, 0), ("v", 1, 2)]
    )
    torch.testing.assert_close(sweep[1:], plain.expand(2, 4), atol=1e-9, rtol=0)
    assert (sweep[0] - plain).abs().min() > 1e-6
    to_logits = patching.get_path_patch_head_to_logits(model, tokens, cache, new_cache, metric)
    assert (to_logits - plain).abs().min() > 1e-6


def test_same_run_changes_nothing(model, two_runs):
    tokens, cache, _ = two_runs
    got = patching.path_patch(model, tokens, cache, cache, (1, 1), [("q", 2, 0)])
    torch.testing.assert_close(got, model(tokens), atol=1e-9, rtol=0)
    assert not model.list_hooks()


def test_unknown_receiver(model, two_runs):
    with pytest.raises(ValueError, match=r"receiver \('z', 1, 0\); expected \('q'\|'k'\|'v', layer, head\)"):
        patching.path_patch(model, *two_runs, (0, 0), [("z", 1, 0)])
