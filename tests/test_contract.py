"""The published contract: names, signatures and import paths of the published library's versions 2.16 and 3.9.

They are held as data and called. What comes out is compared with an identity or with numbers worked out here.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cleanlens.conversion_utils.conversion_steps.base_tensor_conversion import BaseTensorConversion
from torch import Tensor, nn

import cleanlens
from cleanlens import (
    ActivationCache,
    FactoredMatrix,
    HookedTransformer,
    HookedTransformerConfig,
    evals,
    utils,
)
from cleanlens.hook_points import HookedRootModule, HookPoint

ROOT = Path(__file__).parents[1]

PATHS = {
    "ActivationCache": "ActivationCache",
    "FactoredMatrix": "FactoredMatrix",
    "HookedRootModule": "HookedRootModule",
    "HookedTransformer": "HookedTransformer",
    "HookedTransformerConfig": "HookedTransformerConfig",
    "SVDInterpreter": "SVDInterpreter",
    "cache.key_value_cache": "TransformerLensKeyValueCache",
    "cache.key_value_cache_entry": "TransformerLensKeyValueCacheEntry",
    "components": "Attention Embed LayerNorm LayerNormPre MLP PosEmbed TransformerBlock Unembed",
    "config": "HookedTransformerConfig",
    "config.hooked_transformer_config": "HookedTransformerConfig",
    "config.transformer_lens_config": "TransformerLensConfig",
    "conversion_utils.conversion_steps.base_tensor_conversion": "BaseTensorConversion",
    "evals": """DATASET_LOADERS DATASET_NAMES IOIDataset MMLU_ANSWER_LETTERS MMLU_SUBJECTS evaluate evaluate_on_dataset
        induction_loss ioi_eval make_mmlu_data_loader mmlu_eval make_code_data_loader make_owt_data_loader make_pile_data_loader make_wiki_data_loader sanity_check""",
    "head_detector": """HEAD_NAMES compute_head_attention_similarity_score detect_head get_supported_heads
        get_duplicate_token_head_detection_pattern get_induction_head_detection_pattern
        get_previous_token_head_detection_pattern""",
    "hook_points": "HookPoint HookedRootModule NamesFilter",
    "loading_from_pretrained": """DEFAULT_MODEL_ALIASES MODEL_ALIASES OFFICIAL_MODEL_NAMES PYTHIA_CHECKPOINTS
        STANFORD_CRFM_CHECKPOINTS convert_gpt2_weights get_checkpoint_labels get_num_params_of_pretrained
        get_official_model_name get_pretrained_model_config get_pretrained_state_dict make_model_alias_map""",
    "past_key_value_caching": "HookedTransformerKeyValueCache HookedTransformerKeyValueCacheEntry",
    "patching": """generic_activation_patch get_act_patch_attn_head_all_pos_every get_act_patch_attn_head_by_pos_every
        get_act_patch_attn_head_out_by_pos get_act_patch_attn_head_pattern_by_pos get_act_patch_attn_out
        get_act_patch_block_every get_act_patch_mlp_out get_act_patch_resid_mid get_act_patch_resid_pre
        layer_pos_patch_setter make_df_from_ranges""",
    "supported_models": "MODEL_ALIASES OFFICIAL_MODEL_NAMES",
    "train": "HookedTransformerTrainConfig train",
    "utilities": "get_act_name to_numpy",
    "utilities.activation_functions": "gelu_fast gelu_new solu",
    "utilities.cache": "get_pos_offset",
    "utilities.tensors": "get_corner remove_batch_dim to_numpy",
    "utils": """ACTIVATION_FN_DICT LocallyOverridenDefaults SUPPORTED_ACTIVATIONS Slice USE_DEFAULT_VALUE
        calc_fan_in_and_fan_out check_structure clear_huggingface_cache composition_scores download_file_from_hf
        filter_dict_by_prefix gelu_fast gelu_new gelu_pytorch_tanh get_act_name get_attention_mask get_corner
        get_cumsum_along_dim get_dataset get_device get_input_with_manually_prepended_bos get_matrix_corner
        get_nested_attr get_offset_position_ids get_tokenizer_with_bos get_tokens_with_bos_removed
        init_kaiming_normal_ init_kaiming_uniform_ init_xavier_normal_ init_xavier_uniform_ is_library_available
        is_lower_triangular is_square keep_single_column lm_accuracy lm_cross_entropy_loss logits_to_df
        override_or_use_default_value print_gpu_mem remove_batch_dim repeat_along_head_dimension sample_logits
        select_compatible_kwargs set_nested_attr solu temporarily_swap_parameter test_prompt to_numpy
        tokenize_and_concatenate transpose""",
}
"""Path within the package -> the names that notebooks import from it."""

SIGNATURES: dict[str, list[str]] = {
    "HookPoint.add_hook": ["hook", "dir", "is_permanent", "level", "prepend", "alias_names"],
    "HookPoint.enable_reshape": ["hook_conversion"],
    "HookedRootModule.list_hooks": ["name_filter", "dir", "including_permanent"],
    "HookedTransformer.cache_all": ["cache", "incl_bwd", "device", "remove_batch_dim"],
    "HookedTransformer.cache_some": ["cache", "names", "incl_bwd", "device", "remove_batch_dim"],
    "HookedTransformer.check_hooks_to_add": [
        *("hook_point", "hook_point_name", "hook", "dir", "is_permanent", "prepend"),
    ],
    "HookedTransformer.center_unembed": ["state_dict"],
    "HookedTransformer.center_writing_weights": ["state_dict"],
    "HookedTransformer.fill_missing_keys": ["state_dict"],
    "HookedTransformer.fold_layer_norm": ["state_dict", "fold_biases", "center_weights"],
    "HookedTransformer.fold_value_biases": ["state_dict"],
    "HookedTransformer.get_pos_offset": ["past_kv_cache", "batch_size"],
    "HookedTransformer.get_residual": [
        *(
            "embed",
            "pos_offset",
            "prepend_bos",
            "attention_mask",
            "tokens",
            "return_shortformer_pos_embed",
            "device",
        ),
    ],
    "HookedTransformer.input_to_embed": [
        "input",
        "prepend_bos",
        "padding_side",
        "attention_mask",
        "past_kv_cache",
    ],
    "HookedTransformer.refactor_factored_attn_matrices": ["state_dict"],
    "HookedTransformer.sample_datapoint": ["tokenize", "prepend_bos", "padding_side"],
    "ActivationCache.apply_ln_to_stack": [
        *(
            "residual_stack",
            "layer",
            "mlp_input",
            "pos_slice",
            "batch_slice",
            "has_batch_dim",
            "recompute_ln",
        ),
    ],
    "ActivationCache.get_full_resid_decomposition": [
        *(
            "layer",
            "mlp_input",
            "expand_neurons",
            "apply_ln",
            "pos_slice",
            "return_labels",
            "project_output_onto",
        ),
    ],
    "ActivationCache.get_neuron_results": ["layer", "neuron_slice", "pos_slice", "project_output_onto"],
    "ActivationCache.stack_neuron_results": [
        *(
            "layer",
            "pos_slice",
            "neuron_slice",
            "return_labels",
            "incl_remainder",
            "apply_ln",
            "project_output_onto",
        ),
    ],
    "SVDInterpreter.get_singular_vectors": ["vector_type", "layer_index", "num_vectors", "head_index"],
    "utils.get_attention_mask": ["tokenizer", "tokens", "prepend_bos"],
    "utils.init_kaiming_uniform_": ["param", "a", "nonlinearity", "gain", "mode"],
    "utils.logits_to_df": ["logits", "tokenizer", "top_k"],
    "utils.tokenize_and_concatenate": [
        *("dataset", "tokenizer", "streaming", "max_length", "column_name", "add_bos_token", "num_proc"),
    ],
    "evals.ioi_eval": ["model", "dataset", "batch_size", "num_samples", "tokenizer", "symmetric"],
    "evals.IOIDataset": [
        *("tokenizer", "templates", "names", "nouns", "num_samples", "symmetric", "prepend_bos", "seed"),
    ],
    "train.HookedTransformerTrainConfig": [
        *(
            "num_epochs",
            "batch_size",
            "lr",
            "seed",
            "momentum",
            "max_grad_norm",
            "weight_decay",
            "optimizer_name",
        ),
        *("device", "warmup_steps", "save_every", "save_dir", "wandb", "wandb_project_name", "print_every"),
        "max_steps",
    ],
}
"""What can be called -> its first parameters, in order, `self` left out."""


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


def test_every_path_has_its_names_under_both_package_names() -> None:
    """In a process of its own: one added line, then the published imports as they are."""
    lines = ["import cleanlens.transformer_lens"]
    for path, names in PATHS.items():
        for name in names.split():
            lines.append(f"from transformer_lens.{path} import {name}")
            lines.append(
                f"from cleanlens.{path} import {name} as same; assert same is {name} or callable(same)"
            )
    lines += [
        "import transformer_lens.utils as u, cleanlens",
        "assert u.to_numpy is cleanlens.utils.to_numpy",
        "from transformer_lens import HookedTransformer, ActivationCache, FactoredMatrix, utils, SVDInterpreter",
        "assert HookedTransformer is cleanlens.HookedTransformer is cleanlens.hooked_transformer.HookedTransformer",
        "from transformer_lens.utils import *",
        "assert get_act_name('k', 1) == 'blocks.1.attn.hook_k'",
        "print('done')",
    ]
    result = python("\n".join(lines))
    assert result.stdout == "done\n", result.stderr


def test_a_path_without_a_home_is_no_module() -> None:
    result = python("import cleanlens.transformer_lens\nimport transformer_lens.nowhere")
    assert "No module named 'transformer_lens.nowhere'" in result.stderr


def test_the_alias_refuses_when_the_original_is_imported_already(tmp_path: Path) -> None:
    (tmp_path / "transformer_lens.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import transformer_lens; import cleanlens.transformer_lens"
    result = python(code)
    assert "ImportError: the original transformer_lens is imported already" in result.stderr
    assert "Import cleanlens.transformer_lens first" in result.stderr


def test_registering_old_paths_loads_nothing() -> None:
    result = python("import sys, cleanlens.transformer_lens; print('torch' in sys.modules)")
    assert result.stdout == "False\n", result.stderr


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    path, _, last = name.rpartition(".")
    owner = getattr(cleanlens, path) if hasattr(cleanlens, path) else {"HookPoint": HookPoint}[path]
    parameters = [p for p in inspect.signature(getattr(owner, last)).parameters if p != "self"]
    assert parameters[: len(SIGNATURES[name])] == SIGNATURES[name]


# ---------------------------------------------------------------- a model of odd sizes, weights of order 1


@pytest.fixture
def model() -> HookedTransformer:
    torch.manual_seed(0)
    cfg = HookedTransformerConfig(
        n_layers=3,
        d_model=10,
        n_ctx=9,
        d_head=4,
        n_heads=2,
        d_mlp=7,
        d_vocab=13,
        act_fn="gelu_new",
        dtype=torch.float64,
    )
    model = HookedTransformer(cfg)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)
    for name, parameter in model.named_parameters():
        if name.endswith(".w"):
            parameter.data = 1 + 0.5 * parameter.data
    return model.requires_grad_(False)


@pytest.fixture
def tokens() -> Tensor:
    return torch.tensor([[1, 5, 2, 12, 5], [3, 0, 7, 7, 9]])


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), atol=1e-9, rtol=1e-9)


# ---------------------------------------------------------------- HookedTransformer


def test_input_to_embed_and_get_residual_are_what_forward_starts_with(
    model: HookedTransformer, tokens: Tensor
) -> None:
    resid, same, shortformer, mask = model.input_to_embed(tokens)
    assert same.equal(tokens)
    assert shortformer is None
    assert mask is None
    close(model(resid, start_at_layer=0), model(tokens))
    residual, shortformer = model.get_residual(model.embed(tokens), 0, tokens=tokens)
    close(residual, resid)
    assert shortformer is None
    assert model.get_pos_offset(None, 2) == 0


STEPS = {
    "fold_layer_norm": "fold_ln",
    "center_writing_weights": "center_writing_weights",
    "center_unembed": "center_unembed",
    "fold_value_biases": "fold_value_biases",
    "refactor_factored_attn_matrices": "refactor_factored_attn_matrices",
}


@pytest.mark.parametrize("method", STEPS)
def test_weight_methods_give_a_state_dict_back_and_leave_the_model(
    model: HookedTransformer, tokens: Tensor, method: str
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    log_probs = model(tokens).log_softmax(-1)
    processed = getattr(model, method)(model.state_dict())
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert any(name not in before or not tensor.equal(before[name]) for name, tensor in processed.items())
    model.process_weights_(**{**dict.fromkeys(STEPS.values(), False), STEPS[method]: True})
    model.load_state_dict(processed)
    close(model(tokens).log_softmax(-1), log_probs)


def test_fill_missing_keys(model: HookedTransformer) -> None:
    given = {"embed.W_E": torch.zeros(13, 10)}
    filled = model.fill_missing_keys(given)
    assert filled.keys() == model.state_dict().keys()
    assert filled["embed.W_E"] is given["embed.W_E"]


def test_cache_all_and_cache_some(model: HookedTransformer, tokens: Tensor) -> None:
    everything: dict[str, Tensor] = {}
    patterns: dict[str, Tensor] = {}
    model.cache_all(everything)
    model.cache_some(patterns, lambda name: name.endswith("pattern"))
    model(tokens)
    model.reset_hooks()
    _, cache = model.run_with_cache(tokens)
    assert everything.keys() == cache.keys()
    assert list(patterns) == [f"blocks.{i}.attn.hook_pattern" for i in range(3)]
    close(patterns["blocks.1.attn.hook_pattern"], cache["pattern", 1])


# ---------------------------------------------------------------- hook points


class Doubled(BaseTensorConversion):
    """A conversion: hooks see twice the activation."""

    def handle_conversion(self, x: Tensor) -> Tensor:
        return 2 * x

    def revert(self, x: Tensor) -> Tensor:
        return x + 100


def test_enable_reshape() -> None:
    point, seen = HookPoint(), []
    point.enable_reshape(Doubled())
    point.add_hook(lambda x, hook: seen.append(x))
    close(point(torch.tensor([1.0])), torch.tensor([1.0]))
    close(seen[0], torch.tensor([2.0]))
    point.add_hook(lambda x, hook: x + 1)
    close(point(torch.tensor([1.0])), torch.tensor([103.0]))


def test_alias_names_call_the_hook_once_for_each() -> None:
    point, seen = HookPoint(), []

    def hook(x: Tensor, hook: HookPoint) -> Tensor | None:
        seen.append((hook.name, x.item()))
        return x + 10 if hook.name == "first" else None

    point.add_hook(hook, alias_names=["first", "second"])
    assert point(torch.tensor(1.0)).item() == 11.0
    assert seen == [("first", 1.0), ("second", 11.0)]


def test_list_hooks_selects() -> None:
    class Toy(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.hook_a, self.hook_b = HookPoint(), HookPoint()
            self.setup()

    toy = Toy()
    toy.add_hook("hook_a", print)
    toy.add_perma_hook("hook_b", print, dir="bwd")
    assert [hook.user_hook for hook in toy.list_hooks("hook_a")["hook_a"]] == [print]
    assert set(toy.list_hooks(lambda name: name.endswith("b"))) == {"hook_b"}
    assert set(toy.list_hooks(["hook_a", "hook_b"])) == {"hook_a", "hook_b"}
    assert toy.list_hooks([]) == {}
    assert set(toy.list_hooks(dir="fwd")) == {"hook_a"}
    assert set(toy.list_hooks(including_permanent=False)) == {"hook_a"}
    assert repr(toy.hook_b) == "HookPoint(name='hook_b', 1 bwd)"


# ---------------------------------------------------------------- ActivationCache


@pytest.mark.parametrize("layer", [torch.tensor(1), np.int64(1), torch.tensor(-2)])
def test_a_layer_may_be_any_kind_of_integer(model: HookedTransformer, tokens: Tensor, layer: Any) -> None:
    _, cache = model.run_with_cache(tokens)
    close(cache["pattern", layer], cache["blocks.1.attn.hook_pattern"])
    assert ("pattern", layer) in cache


@pytest.mark.parametrize("n", [None, 3])
@pytest.mark.parametrize("apply_ln", [False, True])
def test_projected_components_are_the_components_projected(
    model: HookedTransformer, tokens: Tensor, n: int | None, apply_ln: bool
) -> None:
    _, cache = model.run_with_cache(tokens)
    onto = torch.randn(10, dtype=torch.float64) if n is None else torch.randn(10, n, dtype=torch.float64)
    for options in ({}, {"pos_slice": -1}, {"layer": 2}):
        for method in (cache.stack_neuron_results, cache.get_full_resid_decomposition):
            whole = method(apply_ln=apply_ln, **options)
            close(method(apply_ln=apply_ln, project_output_onto=onto, **options), whole @ onto)
    whole = cache.stack_neuron_results(2, incl_remainder=True, apply_ln=apply_ln)
    close(
        cache.stack_neuron_results(2, incl_remainder=True, apply_ln=apply_ln, project_output_onto=onto),
        whole @ onto,
    )
    close(cache.get_neuron_results(1, project_output_onto=onto), cache.get_neuron_results(1) @ onto)
    close(cache.get_neuron_results(1, 3, -1, onto), cache.get_neuron_results(1, 3, -1) @ onto)


def test_recompute_ln_reads_each_component_as_the_whole_stream(
    model: HookedTransformer, tokens: Tensor
) -> None:
    logits, cache = model.run_with_cache(tokens)
    lens = cache.apply_ln_to_stack(cache.accumulated_resid(), recompute_ln=True) @ model.W_U + model.b_U
    close(lens[-1], logits)
    close(lens[1], model.unembed(model.ln_final(cache["resid_pre", 1])))


# ---------------------------------------------------------------- FactoredMatrix, keys and values, heads, patching


def test_factored_matrix_times_numbers_of_any_shape() -> None:
    A, B = torch.randn(6, 2, 3).double(), torch.randn(6, 3, 4).double()
    for scalar in (2, 0.5, torch.rand(()), torch.rand(1), torch.rand(1, 1, 1)):
        close((FactoredMatrix(A, B) * scalar).AB, A @ B * scalar)
        close((scalar * FactoredMatrix(A, B)).AB, A @ B * scalar)
    with pytest.raises(AssertionError, match="one number"):
        FactoredMatrix(A, B) * torch.rand(2)


def test_cache_entries() -> None:
    from cleanlens.past_key_value_caching import HookedTransformerKeyValueCacheEntry

    cfg = HookedTransformerConfig(
        n_layers=2, d_model=10, n_ctx=9, d_head=4, n_heads=3, d_vocab=13, attn_only=True, dtype=torch.bfloat16
    )
    entry = HookedTransformerKeyValueCacheEntry.init_cache_entry(cfg, "cpu", 2)
    assert entry.past_keys.shape == entry.past_values.shape == (2, 0, 3, 4)
    k = torch.randn(2, 5, 3, 4, dtype=torch.bfloat16)
    entry.append(k[:, :2], 2 * k[:, :2])
    entry.append(k[:, 2:], 2 * k[:, 2:])
    assert entry.past_keys.equal(k)
    assert entry.past_values.equal(2 * k)


def test_similarity_score_of_one_head() -> None:
    from cleanlens.head_detector import compute_head_attention_similarity_score as score

    pattern = torch.tensor([[1.0, 0, 0], [0.25, 0.75, 0], [0.5, 0.25, 0.25]])
    wanted = torch.eye(3)
    assert score(pattern, wanted) == pytest.approx(2 / 3)
    assert score(pattern, wanted, exclude_bos=True) == pytest.approx(1 / 1.25)
    assert score(pattern, wanted, exclude_current_token=True) == 0
    assert score(pattern, wanted, error_measure="abs") == pytest.approx(1 - 2.0 / 9 * 3)


def test_make_df_from_ranges() -> None:
    df = cleanlens.patching.make_df_from_ranges([2, 3], ["layer", "pos"])
    assert df.columns.tolist() == ["layer", "pos"]
    assert df.values.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


# ---------------------------------------------------------------- utils


def test_logits_to_df() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0])
    df = utils.logits_to_df(logits, top_k=2)
    assert df.token_index.tolist() == [1, 2]
    assert df.logit.tolist() == [3.0, 1.0]
    assert df.probability.tolist() == pytest.approx(logits.softmax(0)[[1, 2]].tolist())
    assert df.log_prob.tolist() == pytest.approx(logits.log_softmax(0)[[1, 2]].tolist())
    assert len(utils.logits_to_df(logits)) == 3


def test_loss_counts_no_padding_whatever_is_there() -> None:
    logits, tokens = torch.randn(1, 4, 5), torch.tensor([[0, 1, 2, 3]])
    logits[0, 0] = torch.nan
    mask = torch.tensor([[0, 1, 1, 1]])
    close(
        utils.lm_cross_entropy_loss(logits, tokens, mask),
        utils.lm_cross_entropy_loss(logits[:, 1:], tokens[:, 1:]),
    )
    with pytest.raises(
        (AssertionError, TypeError), match="attention_mask"
    ):  # these tests check shapes before us
        utils.lm_cross_entropy_loss(logits, tokens, mask[:, 1:])


def test_repetition_penalty() -> None:
    logits, tokens = torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([[0, 2, 0]])
    assert utils.sample_logits(logits, temperature=0.0, tokens=tokens, repetition_penalty=2.0).item() == 1
    penalized = utils.penalize_repetition(logits, tokens, 2.0)
    assert penalized.tolist() == [[1.5, 2.0, -2.0]]
    assert utils.sample_logits(logits, temperature=0.0, tokens=tokens).item() == 0
    with pytest.raises(ValueError, match="needs the tokens so far"):
        utils.sample_logits(logits, repetition_penalty=2.0)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("init_xavier_normal_", 2 / (40 + 3 * 50)),
        ("init_xavier_uniform_", 2 / (40 + 3 * 50)),
        ("init_kaiming_normal_", 2 / 40),  # relu's gain is sqrt(2)
        ("init_kaiming_uniform_", 2 / 40),
    ],
)
def test_initializers(name: str, variance: float) -> None:
    torch.manual_seed(0)
    W = nn.Parameter(torch.empty(3, 40, 50))
    assert getattr(utils, name)(W) is W
    assert W.var().item() == pytest.approx(variance, rel=0.05)
    assert abs(W.mean().item()) < 0.02


def test_small_functions() -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    assert utils.calc_fan_in_and_fan_out(torch.empty(5, 6)) == (5, 6)
    assert utils.repeat_along_head_dimension(x, 5).shape == (2, 3, 5, 4)
    assert utils.get_cumsum_along_dim(torch.tensor([1, 2, 3]), 0, reverse=True).tolist() == [6, 5, 3]
    assert utils.get_offset_position_ids(1, torch.tensor([[0, 1, 1]])).tolist() == [[0, 1]]
    assert utils.filter_dict_by_prefix({"a.b.c": 1, "a.d": 2}, "a.b") == {"c": 1}
    assert utils.override_or_use_default_value(1, override=None) == 1
    assert utils.is_library_available("torch")
    assert not utils.is_library_available("no_such_library")
    close(utils.solu(x), x * x.softmax(-1))
    torch.testing.assert_close(utils.gelu_fast(x), utils.gelu_new(x), atol=1e-8, rtol=0)
    parameter = nn.Parameter(torch.zeros(2))
    with utils.temporarily_swap_parameter(parameter, torch.ones(2)):
        assert parameter.tolist() == [1, 1]
    assert parameter.tolist() == [0, 0]
    with pytest.raises(AttributeError, match=r"module 'cleanlens.utils' has no attribute 'no_such_name'"):
        utils.no_such_name  # noqa: B018


def test_nested_attributes_and_defaults(model: HookedTransformer) -> None:
    assert utils.get_nested_attr(model, "blocks.1.attn") is model.blocks[1].attn
    with utils.LocallyOverridenDefaults(model, prepend_bos=False, padding_side=None):
        assert model.cfg.default_prepend_bos is False
    assert model.cfg.default_prepend_bos is True
    with pytest.raises(ValueError, match="padding_side = 'up'"):
        utils.LocallyOverridenDefaults(model, padding_side="up")


# ---------------------------------------------------------------- tools with the embedded model


@pytest.fixture(scope="module")
def demo() -> HookedTransformer:
    return HookedTransformer.from_pretrained("gpt2-demo", device="cpu")


def test_masks_and_bos(demo: HookedTransformer) -> None:
    tokenizer = demo.tokenizer
    left = demo.to_tokens(["one day", "one day a dog"], padding_side="left")
    expected = demo._to_tokens_and_mask(["one day", "one day a dog"], None, "left")[1]
    assert utils.get_attention_mask(tokenizer, left, True, "left").equal(expected)
    without = demo.to_tokens(["one day", "one day a dog"], prepend_bos=False, padding_side="left")
    assert utils.get_tokens_with_bos_removed(tokenizer, left, "left").equal(without)
    with_bos = utils.get_tokenizer_with_bos(tokenizer)
    assert with_bos("one day")["input_ids"] == demo.to_tokens("one day")[0].tolist()
    assert tokenizer("one day")["input_ids"] == demo.to_tokens("one day", prepend_bos=False)[0].tolist()


def test_indirect_objects(demo: HookedTransformer) -> None:
    options: dict[str, Any] = dict(
        templates=["When [B] and [A] went to the park, [B] gave a [OBJECT] to [A]"],
        nouns={"OBJECT": ["ball"]},
    )
    dataset = evals.IOIDataset(demo.tokenizer, num_samples=6, symmetric=True, seed=0, **options)
    assert len(dataset) == 6
    result = evals.ioi_eval(demo, dataset, batch_size=4)
    by_hand = []
    for item in dataset.samples:
        text, name = item["text"].rsplit(" ", 1)
        assert f" {name}" == item["IO"]
        logits = demo(text)[0, -1]
        by_hand.append(logits[demo.to_single_token(item["IO"])] - logits[demo.to_single_token(item["S"])])
    assert result["Logit Difference"] == pytest.approx(torch.stack(by_hand).mean().item(), abs=1e-4)
    assert result["Accuracy"] == (torch.stack(by_hand) > 0).float().mean().item()


def test_evaluate_on_dataset(demo: HookedTransformer) -> None:
    rows = demo.to_tokens(["one day a dog went to the park", "a girl named Mary had a red ball"])[:, :7]
    loss = evals.evaluate_on_dataset(
        demo, [{"tokens": rows}, {"tokens": rows[:1]}, {"tokens": rows}], truncate=2
    )
    assert loss == pytest.approx(
        (demo(rows, return_type="loss") + demo(rows[:1], return_type="loss")).item() / 2
    )


class OneLetter:
    """A model that prefers one letter, whatever it is asked, and a tokenizer of characters."""

    cfg = HookedTransformerConfig(n_layers=1, d_model=4, n_ctx=999, d_head=2, act_fn="relu", device="cpu")

    def __init__(self, letter: str):
        self.letter, self.tokenizer, self.asked = letter, self, []

    def encode(self, text: str, add_special_tokens: bool = True, return_tensors: str | None = None) -> Any:
        ids = [ord(letter) for letter in text]
        return torch.tensor([ids]) if return_tensors else ids

    def __call__(self, tokens: Tensor) -> Tensor:
        self.asked.append("".join(map(chr, tokens[0].tolist())))
        logits = torch.zeros(1, tokens.shape[1], 256)
        logits[0, -1, ord(self.letter)] = 1.0
        return logits


def test_mmlu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions from a stand-in for the hub; the answers B and C are given by a model that says B."""
    rows = {
        subject: [{"question": f"{subject} {i}?", "choices": list("wxyz"), "answer": answer, "other": 0}] * 2
        for i, (subject, answer) in enumerate((("anatomy", 1), ("virology", 2)))
    }
    monkeypatch.setattr("cleanlens.published.mmlu.load_dataset", lambda id, subject, split: rows[subject])
    model = OneLetter("B")
    result = evals.mmlu_eval(model, subjects=["anatomy", "virology"], num_samples=1)
    assert result == {
        "accuracy": 0.5,
        "num_correct": 1,
        "num_total": 2,
        "subject_scores": {"anatomy": 1.0, "virology": 0.0},
    }
    assert model.asked[1] == "Question: virology 1?\nChoices:\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    assert len(evals.make_mmlu_data_loader("anatomy")) == 2
    assert len(evals.MMLU_SUBJECTS) == 57
    with pytest.raises(ValueError, match=r"no subjects \['anatomi'\]"):
        evals.make_mmlu_data_loader(["anatomi", "anatomy"])
    with pytest.raises(ValueError, match="there are no questions"):
        evals.mmlu_eval(model, subjects=[])


POSITIONAL = {
    "load_pretrained": """model_name fold_ln center_writing_weights center_unembed refactor_factored_attn_matrices
        checkpoint_index checkpoint_value hf_model device n_devices tokenizer move_to_device fold_value_biases
        default_prepend_bos default_padding_side dtype first_n_layers""",
    "from_pretrained_no_processing": """model_name fold_ln center_writing_weights center_unembed
        refactor_factored_attn_matrices fold_value_biases dtype default_prepend_bos default_padding_side""",
}
"""The order of options in version 2.16. That of 3.9 has checkpoint_label before hf_model; until there they agree."""


def test_the_order_of_from_pretrained() -> None:
    from cleanlens.loading import load_pretrained

    first, *theirs = inspect.signature(load_pretrained).parameters
    assert first == "cls"
    order = POSITIONAL["load_pretrained"].split()
    assert theirs[: len(order)] == order
    assert theirs[len(order) :] == ["n_ctx", "checkpoint_label", "hf_kwargs"]
    order = POSITIONAL["from_pretrained_no_processing"].split()
    raw = list(inspect.signature(HookedTransformer.from_pretrained_no_processing).parameters)
    assert raw == [*order, "options"]

    model = HookedTransformer.from_pretrained("attn-only-2l-demo", False, False, False, False, 2)
    assert model.cfg.normalization_type == "LN"
    assert model.cfg.checkpoint_index == 2
    label = model.cfg.checkpoint_value
    again = HookedTransformer.from_pretrained_no_processing("attn-only-2l-demo", checkpoint_label=label)
    torch.testing.assert_close(again.W_Q, model.W_Q, rtol=0, atol=0)
    folded = HookedTransformer.from_pretrained_no_processing("attn-only-2l-demo", True)
    assert folded.cfg.normalization_type == "LNPre"
    with pytest.raises(ValueError, match="n_devices = 2; cleanlens keeps a model on one device"):
        HookedTransformer.from_pretrained("attn-only-2l-demo", n_devices=2)


def test_options_that_are_not_built_may_be_given_as_off() -> None:
    sizes: dict[str, Any] = dict(n_layers=1, d_model=8, n_ctx=5, d_head=4, d_vocab=9, act_fn="relu")
    off = HookedTransformerConfig(**sizes, n_devices=1, load_in_4bit=False, num_experts=None)
    assert off == HookedTransformerConfig(**sizes)
    for option, value in {"num_experts": 8, "load_in_4bit": True, "attn_scores_soft_cap": 50.0}.items():
        with pytest.raises(ValueError, match=rf"config: {option} = {value} is not built here"):
            HookedTransformerConfig(**sizes, **{option: value})
    with pytest.raises(ValueError, match="act_fn = 'solu_ln' has a LayerNorm, which gated_mlp does not"):
        HookedTransformerConfig.from_dict({**sizes, "act_fn": "solu_ln", "gated_mlp": True})


def test_published_components() -> None:
    from cleanlens.factories.activation_function_factory import ActivationFunctionFactory
    from cleanlens.factories.mlp_factory import MLPFactory

    from cleanlens.components import (
        MLP,
        AbstractAttention,
        Attention,
        CanBeUsedAsMLP,
        GatedMLP,
        RotaryAttention,
    )

    sizes: dict[str, Any] = dict(n_layers=1, d_model=8, n_ctx=5, d_head=4, d_vocab=9, act_fn="relu2")
    cfg = HookedTransformerConfig(**sizes)
    x = torch.randn(2, 3)
    picked = ActivationFunctionFactory.pick_activation_function(cfg)(x)
    torch.testing.assert_close(picked, x.clamp(min=0) ** 2)
    assert isinstance(MLPFactory.create_mlp({**sizes, "gated_mlp": True}), GatedMLP)
    assert isinstance(MLP(sizes), MLP)
    rotary = RotaryAttention(HookedTransformerConfig(**sizes, positional_embedding_type="rotary"))
    for attn in (Attention(cfg), Attention(sizes), rotary):
        assert isinstance(attn, AbstractAttention)
    assert not isinstance(MLP(cfg), AbstractAttention)
    part = CanBeUsedAsMLP({**sizes, "act_fn": "solu_ln"})
    part.select_activation_function()
    torch.testing.assert_close(part.act_fn(x), x * x.softmax(dim=-1))
    assert part.ln(torch.ones(1, 32)).shape == (1, 32)
    assert isinstance(MLP(cfg), CanBeUsedAsMLP)
    x, mask = torch.randn(2, 5, 8), torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    attn = Attention(cfg)
    for parameter in attn.parameters():
        torch.nn.init.normal_(parameter)
    q, k, v = attn.calculate_qkv_matrices(x, x, x)
    scores = attn.apply_causal_mask(attn.calculate_attention_scores(q, k), 0)
    z = attn.calculate_z_scores(v, scores.softmax(dim=-1))
    torch.testing.assert_close(attn.sum_of_heads(z), attn(x, x, x))
    padded = attn.apply_causal_mask(torch.zeros(2, 2, 3, 5), 2, mask).isfinite()
    assert padded[0, 1].tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 1]]
    with pytest.raises(ValueError, match="3 queries after 1 positions, but 5 keys"):
        attn.apply_causal_mask(torch.zeros(1, 1, 3, 5), 1)
    # By a plain loop: head h of 4 has slope 2^(-2 (h + 1)), times how far the key lies behind.
    bias = AbstractAttention.create_alibi_bias(4, 6)
    for h, query, key in ((0, 5, 2), (3, 4, 0), (2, 1, 5)):
        assert bias[h, query, key] == -(2.0 ** (-2 * (h + 1))) * max(query - key, 0)


def test_soft_caps_and_xielu() -> None:
    x = torch.linspace(-80, 80, 9)
    torch.testing.assert_close(utils.apply_softcap(x, 30.0), 30 * torch.tanh(x / 30))
    for cap in (None, 0.0, utils.SOFTCAP_DISABLED):
        assert not utils.softcap_enabled(cap)
        assert utils.apply_softcap(x, cap) is x
    x = torch.linspace(-3, 3, 24, dtype=torch.float64, requires_grad=True)
    act = utils.XIELU(alpha_p_init=1.5, alpha_n_init=0.9, beta_init=0.25).double()
    (slope,) = torch.autograd.grad(act(x).sum(), x)
    # Its derivative is the expanded ELU that it integrates: continuous, and beta at 0.
    expected = torch.where(x > 0, 3.0 * x + 0.25, 0.9 * torch.expm1(x) + 0.25)
    torch.testing.assert_close(slope, expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(utils.XIELU()(x.float()), utils.xielu(x.float()))


def test_tokenize_and_concatenate(demo: HookedTransformer) -> None:
    datasets = pytest.importorskip("datasets")
    texts = ["one day a dog", "a girl named Mary had a red ball and a dog"]
    rows = utils.tokenize_and_concatenate(
        datasets.Dataset.from_dict({"text": texts, "other": [1, 2]}), demo.tokenizer, max_length=6
    )["tokens"]
    rows = torch.stack(list(rows))
    ids = [demo.to_tokens(text, prepend_bos=False)[0] for text in texts]
    joined = torch.cat([ids[0], torch.tensor([demo.tokenizer.eos_token_id]), ids[1]])
    assert rows[:, 0].eq(demo.tokenizer.bos_token_id).all()
    assert rows[:, 1:].flatten().equal(joined[: len(joined) // 5 * 5])


def test_svd_interpreter(demo: HookedTransformer) -> None:
    vectors = cleanlens.SVDInterpreter(demo).get_singular_vectors("OV", 1, num_vectors=2, head_index=3)
    assert vectors.shape == (demo.cfg.d_vocab, 1, 2)
    V = torch.linalg.svd((demo.W_V[1, 3] @ demo.W_O[1, 3]).double()).Vh[:2].float() @ demo.W_U
    torch.testing.assert_close(vectors[:, 0].T.abs(), V.abs(), atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="head = None"):
        cleanlens.SVDInterpreter(demo).get_singular_vectors("OV", 0)


def test_train(tmp_path: Path) -> None:
    from cleanlens.train import HookedTransformerTrainConfig, train

    torch.manual_seed(0)
    model = HookedTransformer(
        dict(n_layers=1, d_model=16, n_ctx=6, d_head=4, d_vocab=5, act_fn="relu", device="cpu")
    )
    rows = [{"tokens": torch.tensor([0, 1, 2, 3, 4, 0])} for _ in range(16)]
    before = model(rows[0]["tokens"], return_type="loss").item()
    config = HookedTransformerTrainConfig(
        num_epochs=4, batch_size=4, lr=1e-2, device="cpu", warmup_steps=2, save_every=2, save_dir=str(tmp_path),
        max_grad_norm=1.0, weight_decay=0.01, print_every=None,
    )  # fmt: skip
    assert train(model, config, rows) is model
    assert model(rows[0]["tokens"], return_type="loss").item() < before / 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model_0.pt", "model_2.pt"]
    assert config.device == "cpu"


def test_pretrained_configs_and_weights() -> None:
    from cleanlens import loading_from_pretrained as loading

    assert loading.get_official_model_name("gpt2-small") == "openai-community/gpt2"
    assert "gpt2-small" in loading.MODEL_ALIASES["openai-community/gpt2"]
    assert loading.make_model_alias_map()["gpt2-small"] == "openai-community/gpt2"
    cfg = loading.get_pretrained_model_config("gpt2-demo")
    assert (cfg.n_layers, cfg.normalization_type) == (6, "LN")
    weights = loading.get_pretrained_state_dict("gpt2-demo")
    raw = HookedTransformer.from_pretrained_no_processing("gpt2-demo", device="cpu").state_dict()
    assert weights.keys() == raw.keys()
    assert all(tensor.equal(raw[name]) for name, tensor in weights.items())
    assert len(loading.PYTHIA_CHECKPOINTS) == 154


def test_the_cache_object_is_what_a_run_gives(demo: HookedTransformer) -> None:
    assert isinstance(demo.run_with_cache("one day")[1], ActivationCache)
