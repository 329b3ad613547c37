"""The model class: where a run starts and stops, what it refuses, what training and moving do to it."""

import copy

import pytest
import torch
from helpers import SIZES, random_model, random_tokens, word_tokenizer
from torch import Tensor

from cleanlens import HookedTransformer, HookedTransformerConfig
from cleanlens.config import INIT_MODES


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-11, rtol=0)


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    return random_model()


@pytest.fixture(scope="module")
def tokens(model: HookedTransformer) -> Tensor:
    return random_tokens(model)


# ---------------------------------------------------------------- the forward pass


def test_logits_by_the_equations(model: HookedTransformer, tokens: Tensor) -> None:
    """The whole model in plain torch, with d_model != n_heads * d_head."""

    def layer_norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return torch.nn.functional.layer_norm(x, (21,), w, b, 1e-5)

    x = model.W_E[tokens] + model.W_pos[:9]
    for block in model.blocks:
        attn, y = block.attn, layer_norm(x, block.ln1.w, block.ln1.b)
        q, k, v = (
            torch.einsum("bpm,hmd->bhpd", y, W) + b[:, None]
            for W, b in ((attn.W_Q, attn.b_Q), (attn.W_K, attn.b_K), (attn.W_V, attn.b_V))
        )
        z = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + torch.einsum("bhpd,hdm->bpm", z, attn.W_O) + attn.b_O
        y = layer_norm(x, block.ln2.w, block.ln2.b) @ block.mlp.W_in + block.mlp.b_in
        x = x + torch.nn.functional.gelu(y, approximate="tanh") @ block.mlp.W_out + block.mlp.b_out
    expected = layer_norm(x, model.ln_final.w, model.ln_final.b) @ model.W_U + model.b_U
    close(model(tokens), expected)


def test_return_types(model: HookedTransformer, tokens: Tensor) -> None:
    logits = model(tokens)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    close(model(tokens, return_type="loss"), loss)
    both = model(tokens, return_type="both")
    close(both.logits, logits)
    close(both.loss, loss)
    per_token = model(tokens, return_type="loss", loss_per_token=True)
    assert per_token.shape == (2, 8)
    close(per_token.mean(), loss)
    assert model(tokens, return_type=None) is None
    close(model(tokens[0]), logits[:1])  # one sequence without a batch axis


@pytest.mark.parametrize("layer", [0, 1, 2, 3, -1, -2, -3])
def test_start_and_stop(model: HookedTransformer, tokens: Tensor, layer: int) -> None:
    logits, cache = model.run_with_cache(tokens)
    resid = model(tokens, stop_at_layer=layer)
    close(resid, cache["resid_post", 2] if layer == 3 else cache["resid_pre", layer])
    close(model(resid, start_at_layer=layer), logits)
    loss = model(resid, start_at_layer=layer, tokens=tokens, return_type="loss")
    close(loss, model(tokens, return_type="loss"))


def test_start_and_stop_together(model: HookedTransformer, tokens: Tensor) -> None:
    resid = model(tokens, stop_at_layer=1)
    close(model(resid, start_at_layer=1, stop_at_layer=2), model(tokens, stop_at_layer=2))
    assert model(resid, start_at_layer=1, stop_at_layer=1).equal(resid)


@pytest.mark.parametrize(
    "config",
    [dict(attn_only=True), dict(attention_dir="bidirectional"), dict(normalization_type=None)],
    ids=str,
)
def test_other_architectures(config: dict) -> None:
    model = random_model(**config)
    tokens = random_tokens(model)
    logits, cache = model.run_with_cache(tokens)
    assert logits.shape == (2, 9, 47)
    close(cache.decompose_resid().sum(dim=0), cache["resid_post", -1])
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 47
    sees_the_future = (model(changed)[:, 0] - logits[:, 0]).abs().max() > 1e-6
    assert sees_the_future == (config.get("attention_dir") == "bidirectional")
    if config.get("attn_only"):
        assert not [name for name in model.hook_dict if "mlp" in name or "ln2" in name or "mid" in name]
        with pytest.raises(ValueError, match="this model has no W_in: its blocks are attention only"):
            _ = model.W_in
        with pytest.raises(ValueError, match="hook_mlp_in: this model's blocks have no MLP"):
            model.set_use_hook_mlp_in(True)


OPTIONAL_HOOKS = {
    "use_attn_result": "attn.hook_result",
    "use_split_qkv_input": "hook_q_input",
    "use_attn_in": "hook_attn_in",
    "use_hook_mlp_in": "hook_mlp_in",
}


@pytest.mark.parametrize("option", OPTIONAL_HOOKS)
def test_an_optional_hook_is_called_when_somebody_attaches(
    option: str, model: HookedTransformer, tokens: Tensor
) -> None:
    name = f"blocks.0.{OPTIONAL_HOOKS[option]}"
    shape = (2, 9, 21) if "mlp" in name else (2, 9, 4, 21)
    expected = model(tokens)
    for names_filter in (name, [name], lambda n: n == name):
        logits, cache = model.run_with_cache(tokens, names_filter=names_filter)
        close(logits, expected)
        assert list(cache) == [name]
        assert cache[name].shape == shape
    shifted = model.run_with_hooks(tokens, fwd_hooks=[(name, lambda x, hook: x.roll(1, -1))])
    assert (shifted - expected).abs().max() > 1e-3
    gradients: list[Tensor] = []
    with model.hooks(bwd_hooks=[(name, lambda gradient, hook: gradients.append(gradient))]):
        model(tokens, return_type="loss").backward()
    assert [gradient.shape for gradient in gradients] == [shape]
    model.zero_grad()


@pytest.mark.parametrize("option", OPTIONAL_HOOKS)
def test_a_full_cache_has_an_optional_hook_when_asked(
    option: str, model: HookedTransformer, tokens: Tensor
) -> None:
    name = f"blocks.0.{OPTIONAL_HOOKS[option]}"
    logits, cache = model.run_with_cache(tokens)
    assert name not in cache
    assert (
        name not in model.run_with_cache(tokens, names_filter=lambda n: True)[1]
    )  # everything of a full cache
    getattr(model, f"set_{option}")(True)
    also, full = model.run_with_cache(tokens)
    getattr(model, f"set_{option}")(False)
    close(also, logits)
    assert name in full


def test_separate_inputs_per_head_one_after_the_other(model: HookedTransformer, tokens: Tensor) -> None:
    """hook_attn_in comes before the split: what it changes is what q, k and v are given."""
    doubled = [("blocks.1.hook_attn_in", lambda x, hook: x * 2)]
    with model.hooks(fwd_hooks=doubled):
        _, cache = model.run_with_cache(
            tokens, names_filter=[f"blocks.1.hook_{name}" for name in ("attn_in", "v_input", "resid_pre")]
        )
    close(cache["blocks.1.hook_v_input"], 2 * cache["resid_pre", 1][:, :, None].expand(2, 9, 4, 21))


def test_a_split_input_reaches_one_head_only(model: HookedTransformer, tokens: Tensor) -> None:
    """Zero the input of head 2's queries: its pattern changes, its values and the other heads do not."""
    _, clean = model.run_with_cache(tokens)

    def zero_head_2(x: Tensor, hook: object) -> None:
        x[:, :, 2] = 0.0

    with torch.no_grad(), model.hooks(fwd_hooks=[("blocks.0.hook_q_input", zero_head_2)]):
        _, cache = model.run_with_cache(tokens)
    difference = (cache["pattern", 0] - clean["pattern", 0]).abs().amax(dim=(0, 2, 3))
    assert difference[2] > 1e-3
    assert difference[[0, 1, 3]].max() < 1e-12
    close(cache["v", 0], clean["v", 0])


# ---------------------------------------------------------------- padding


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_never_enters_attention_or_loss(side: str) -> None:
    tokenizer = word_tokenizer()
    model = random_model(d_vocab=len(tokenizer), d_vocab_out=len(tokenizer))
    model.set_tokenizer(tokenizer)
    texts = ["a", "Mary the a", "the the"]
    logits = model(texts, padding_side=side)
    losses = model(texts, padding_side=side, return_type="loss", loss_per_token=True)
    alone = [model(text)[0] for text in texts]
    for row, expected in enumerate(alone):
        n = len(expected)
        close(logits[row, -n:] if side == "left" else logits[row, :n], expected)
        own = model(texts[row], return_type="loss", loss_per_token=True)[0]
        close(losses[row][losses[row] != 0], own)
    total = sum(model(text, return_type="loss", loss_per_token=True).sum() for text in texts)
    n_predictions = sum(len(expected) - 1 for expected in alone)
    close(model(texts, padding_side=side, return_type="loss"), total / n_predictions)
    tokens = model.to_tokens(texts, padding_side=side)
    close(model(tokens, padding_side=side, return_type="loss"), total / n_predictions)


def test_an_attention_mask_may_have_holes(model: HookedTransformer, tokens: Tensor) -> None:
    """A masked token is seen by nobody: changing it changes nothing but its own row."""
    mask = torch.ones_like(tokens)
    mask[:, 4] = 0
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 47
    kept = mask.bool()
    close(model(changed, attention_mask=mask)[kept], model(tokens, attention_mask=mask)[kept])
    close(
        model(changed, attention_mask=mask, return_type="loss"),
        model(tokens, attention_mask=mask, return_type="loss"),
    )


# ---------------------------------------------------------------- what it refuses


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.tensor([[1, 53]]),), ValueError, r"tokens go from 1 to 53; the vocabulary has 0 to 52"),
        ((torch.tensor([[-1, 5]]),), ValueError, r"tokens go from -1 to 5; the vocabulary has 0 to 52"),
        (
            (torch.ones(1, 18, dtype=torch.int64),),
            ValueError,
            r"18 tokens are too many: the model has 17 positions",
        ),
        (
            (torch.ones(1, 0, dtype=torch.int64),),
            ValueError,
            r"tokens have shape \[1, 0\]; expected \[pos\] or",
        ),
        ((torch.ones(0, 4, dtype=torch.int64),), ValueError, r"tokens have shape \[0, 4\]; expected"),
        ((torch.ones(1, 2, 3, dtype=torch.int64),), ValueError, r"tokens have shape \[1, 2, 3\]; expected"),
        (
            (torch.ones(2, 9, 21),),
            TypeError,
            r"expected tokens \(integers\), got torch.float32 of shape \[2, 9, 21\]",
        ),
        ((torch.ones(2, 9, dtype=torch.bool),), TypeError, r"expected tokens \(integers\), got torch.bool"),
        (("a text",), ValueError, r"needs a tokenizer and this model has none"),
        ((torch.tensor([[1]]), "loss"), ValueError, r"the loss needs at least 2 tokens"),
        (
            (torch.tensor([[1, 2]]), "logit"),
            ValueError,
            r"return_type = 'logit'; it must be 'logits', 'loss'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input(model: HookedTransformer, arguments: tuple, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        model(*arguments)


@pytest.mark.usefixtures("shapes_unchecked")
def test_bad_start(model: HookedTransformer, tokens: Tensor) -> None:
    with pytest.raises(
        TypeError, match=r"start_at_layer needs a residual .*got torch.int64; leave start_at_layer"
    ):
        model(tokens, start_at_layer=1)
    with pytest.raises(TypeError, match=r"start_at_layer needs a residual .*got str"):
        model("a text", start_at_layer=1)
    with pytest.raises(ValueError, match=r"residual has shape \[2, 9, 20\]; expected .* d_model = 21"):
        model(torch.ones(2, 9, 20, dtype=torch.float64), start_at_layer=1)
    with pytest.raises(ValueError, match="the loss needs tokens; with start_at_layer give them as tokens="):
        model(torch.ones(2, 9, 21, dtype=torch.float64), start_at_layer=1, return_type="loss")
    for layer in (4, -4):
        with pytest.raises(ValueError, match=f"layer {layer} does not exist; the model has 3 layers, from 0"):
            model(tokens, stop_at_layer=layer)
    with pytest.raises(ValueError, match=r"attention_mask has shape \[2, 8\]; the tokens have \[2, 9\]"):
        model(tokens, attention_mask=torch.ones(2, 8))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(d_head=0), "d_head = 0; it must be positive"),
        (dict(n_layers=-1), "n_layers = -1; it must be positive"),
        (dict(n_heads=-1), "d_model = 21 is not a multiple of d_head = 5; give n_heads"),
        (dict(act_fn="gelu_old"), "act_fn = 'gelu_old'; it must be one of"),
        (dict(act_fn=None), "act_fn is missing; it must be one of"),
        (dict(normalization_type="BN"), "normalization_type = 'BN'; it must be one of"),
        (dict(d_vocab=-1), "d_vocab is missing; give it, or a tokenizer"),
        (dict(d_modle=3), r"no field named \['d_modle'\]; the fields are"),
    ],
    ids=str,
)
def test_bad_config(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HookedTransformer({**SIZES, "act_fn": "relu", "device": "cpu", **fields})


# ---------------------------------------------------------------- training, moving, copying


def test_gradients_reach_every_parameter(tokens: Tensor) -> None:
    model = random_model().train()
    tokens = torch.arange(51).reshape(3, 17) % 47
    loss = model(tokens, return_type="loss")
    loss.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        if not name.endswith("b_K"):  # a softmax does not see what is added to all keys
            assert weight.grad.abs().max() > 0, name
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    optimizer.step()
    assert model(tokens, return_type="loss") < loss


def test_one_gradient_by_finite_differences(tokens: Tensor) -> None:
    model = random_model()
    model(tokens, return_type="loss").backward()
    for weight, index in [
        (model.blocks[0].attn.W_Q, (1, 3, 2)),
        (model.blocks[1].attn.b_V, (2, 4)),
        (model.blocks[2].mlp.W_in, (20, 7)),
        (model.blocks[0].ln1.w, (5,)),
        (model.pos_embed.W_pos, (4, 9)),
    ]:
        losses = []
        with torch.no_grad():
            for step in (1e-5, -2e-5):
                weight[index] += step
                losses.append(model(tokens, return_type="loss").item())
        assert weight.grad is not None
        assert weight.grad[index].item() == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5, abs=1e-9)
        with torch.no_grad():
            weight[index] += 1e-5


def test_moves_and_casts_keep_the_config_true() -> None:
    model = random_model()
    assert (model.cfg.device, model.cfg.dtype) == ("cpu", torch.float64)
    for cast, dtype in [
        (lambda: model.to(torch.float32), torch.float32),
        (lambda: model.half(), torch.float16),
        (lambda: model.to(dtype=torch.bfloat16), torch.bfloat16),
        (lambda: model.double(), torch.float64),
    ]:
        assert cast() is model
        assert model.cfg.dtype == model.W_E.dtype == dtype
    assert model.cpu().cfg.device == "cpu"
    assert model.to("meta").cfg.device == "meta"
    if torch.cuda.is_available():
        assert random_model().cuda().cfg.device.startswith("cuda")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_runs_and_is_close(tokens: Tensor, dtype: torch.dtype) -> None:
    model = random_model()
    exact = model(tokens)
    logits = model.to(dtype)(tokens)
    assert logits.dtype == dtype
    assert (logits.double() - exact).abs().max() < 200 * torch.finfo(dtype).eps * exact.std()


def test_a_deep_copy_is_independent(tokens: Tensor) -> None:
    model = random_model()
    twin = copy.deepcopy(model)
    expected = model(tokens)
    with torch.no_grad():
        twin.blocks[0].attn.W_Q.zero_()
    twin.add_hook("blocks.0.hook_attn_out", lambda x, hook: x * 0)
    twin.cfg.default_prepend_bos = False
    assert model(tokens).equal(expected)
    assert model.list_hooks() == {}
    assert model.cfg.default_prepend_bos
    assert not twin(tokens).equal(expected)
    assert twin.hook_dict["blocks.0.hook_attn_out"] is twin.blocks[0].hook_attn_out


def test_state_dict_round_trip(tokens: Tensor) -> None:
    model, other = random_model(seed=1), random_model(seed=2)
    assert other.load_state_dict(model.state_dict()).missing_keys == []
    assert other(tokens).equal(model(tokens))


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("mode", INIT_MODES)
def test_initialisation_has_the_spread_of_its_paper(mode: str) -> None:
    cfg = dict(n_layers=1, d_model=120, n_ctx=64, d_head=30, n_heads=3, d_mlp=200, d_vocab=150, act_fn="relu")
    model = HookedTransformer({**cfg, "init_mode": mode, "seed": 0, "device": "cpu"})
    attn, mlp = model.blocks[0].attn, model.blocks[0].mlp
    fans = {attn.W_Q: (120, 90), attn.W_O: (90, 120), mlp.W_in: (120, 200), mlp.W_out: (200, 120)}
    for weight, (fan_in, fan_out) in fans.items():
        spread = {
            "gpt2": 0.8 / 120**0.5,
            "xavier": (2 / (fan_in + fan_out)) ** 0.5,
            "kaiming": fan_in**-0.5,
            "muP": fan_in**-0.5,
        }[mode.split("_")[0]]
        assert weight.std().item() == pytest.approx(spread, rel=0.05)
        assert abs(weight.mean().item()) < 0.05 * spread
        if mode.endswith("uniform"):
            assert weight.abs().max() <= 3**0.5 * spread * (1 + 1e-6)
    assert attn.b_Q.eq(0).all()
    assert model.ln_final.w.eq(1).all()


def test_a_seed_makes_the_same_model() -> None:
    cfg = {**SIZES, "act_fn": "relu", "device": "cpu", "seed": 3}
    assert HookedTransformer(cfg).W_Q.equal(HookedTransformer(cfg).W_Q)
    assert not HookedTransformer({**cfg, "seed": 4}).W_Q.equal(HookedTransformer(cfg).W_Q)


def test_stacked_weights_and_counts(model: HookedTransformer) -> None:
    assert model.W_Q.shape == model.W_K.shape == model.W_V.shape == (3, 4, 21, 5)
    assert model.W_O.shape == (3, 4, 5, 21)
    assert model.b_Q.shape == (3, 4, 5)
    assert model.W_in.shape == (3, 21, 29)
    assert model.W_out.shape == (3, 29, 21)
    assert model.W_E_pos.equal(torch.cat([model.W_E, model.W_pos]))
    assert model.W_gate is None
    assert model.all_head_labels() == [f"L{layer}H{head}" for layer in range(3) for head in range(4)]
    assert model.n_params_total == sum(weight.numel() for weight in model.parameters())
    assert model.cfg.n_params == 3 * (4 * 21 * 5 * 4 + 2 * 21 * 29)
    close(model.QK.AB, torch.einsum("lhmd,lhnd->lhmn", model.W_Q, model.W_K))
    close(model.OV.AB, torch.einsum("lhmd,lhdn->lhmn", model.W_V, model.W_O))


def test_config_round_trip() -> None:
    cfg = HookedTransformerConfig(**SIZES, act_fn="relu")
    assert HookedTransformerConfig.from_dict(cfg.to_dict()) == cfg
    assert HookedTransformerConfig.unwrap(cfg) is cfg
    assert HookedTransformerConfig(**SIZES, act_fn="relu", dtype="float16").dtype == torch.float16  # type: ignore[arg-type]
