"""Chapter 02's claims, on the code of its own notebook with the solutions filled in.

The notebook asserts its identities itself; here is what its prose says of the models, and that its figures hold data.
"""

import os

import pytest
import torch
from helpers import run_chapter

from cleanlens import plots
from cleanlens.course import catalog

DRAWN = ("heatmap", "head_map", "patching_map", "line", "scatter", "bar", "attention")


def run(solved: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, list[str], str]:
    """The names that the notebook leaves behind, the kinds of figures that it drew, and what it printed."""
    drawn: list[str] = []
    for kind in DRAWN:
        draw = getattr(plots, kind)

        def noted(*args, draw=draw, kind=kind, **kwargs):
            drawn.append(kind)
            return draw(*args, **kwargs)

        monkeypatch.setattr(plots, kind, noted)
    names, printed = run_chapter("02", solved)
    return names, drawn, printed


@pytest.fixture(scope="module")
def notebook():
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with pytest.MonkeyPatch.context() as monkeypatch:
        names, drawn, printed = run(True, monkeypatch)
        assert "stands in for it" not in printed
        yield names, drawn


def test_every_kind_of_figure_is_drawn(notebook) -> None:
    _, drawn = notebook
    assert set(drawn) == set(DRAWN)
    assert len(drawn) >= 14


def test_the_learners_answers_are_all_judged_right(notebook, capsys) -> None:
    from cleanlens.course import grade

    space, _ = notebook
    [chapter] = [c for c in catalog.outline() if c.id == "02"]
    for entry in chapter.exercises:
        assert grade(entry.id, space).passed, entry.id


@pytest.mark.slow
def test_as_shipped_the_notebook_runs_to_its_end(monkeypatch) -> None:
    space, drawn, printed = run(False, monkeypatch)
    assert printed.count("is not attempted: a ready-made one stands in for it here") == 8
    assert "by_head_folded" in space
    assert len(drawn) >= 14


def test_numbers_in_the_text() -> None:
    row = torch.tensor([2.0, 0.0, 2.0])
    assert row[:2].softmax(0).tolist() == pytest.approx([0.88, 0.12], abs=0.005)
    masked_by_zero = torch.tensor([2.0, 0.0, 0.0]).softmax(0)
    assert masked_by_zero.tolist() == pytest.approx([0.79, 0.11, 0.11], abs=0.005)
    assert round(12 * 12 * 1024**2 * 4 / 1e6) in range(590, 611)
    n, gain, bias, W = (
        torch.tensor([1.0, -1]),
        torch.tensor([2.0, 3]),
        torch.tensor([1.0, 0]),
        torch.tensor([5.0, 7]),
    )
    assert (n * gain + bias) @ W + 1 == -5 == n @ (gain * W) + (bias @ W + 1)
    assert (n * gain + bias).tolist() == [3, -3]


def test_a_few_late_heads_write_the_answer(notebook) -> None:
    space, _ = notebook
    by_head, clean = space["by_head"], space["clean"]
    n_layers, n_heads = by_head.shape
    assert clean > 0
    assert space["top_layer"] >= n_layers // 2
    best = by_head.flatten().topk(4).values
    assert best.sum() > 0.5 * by_head.clamp(min=0).sum()
    assert by_head.min() < 0, "some head speaks against the right name"
    assert (by_head.abs() < 0.1 * by_head.max()).sum() >= n_layers * n_heads / 3, "most have no direct say"


def test_some_heads_work_through_later_layers_only(notebook) -> None:
    space, _ = notebook
    shape = space["by_head"].shape
    direct, total, clean = space["direct"].reshape(shape), space["total"].reshape(shape), space["clean"]
    early = slice(0, -1)
    unseen = (total[early] > 0.1 * clean) & (direct[early].abs() < 0.5 * total[early])
    assert unseen.any()
    # a head of the last layer has only the MLP after it: its points lie near the diagonal
    assert (total[-1] - direct[-1]).abs().max() < (total[early] - direct[early]).abs().max()


def test_the_previous_token_head_has_no_direct_say_and_all_depends_on_it(notebook) -> None:
    space, _ = notebook
    assert abs(space["share"]) < 0.15
    assert space["loss_without"] > space["loss_with"] + 2
    assert space["by_two_heads"][space["two_layer"].cfg.n_heads :].sum() > 1


def test_the_stream_gets_longer(notebook) -> None:
    space, _ = notebook
    lengths = space["stream"][:, 0, 1:].norm(dim=-1).mean(-1)
    assert lengths[-1] > lengths[0]


def test_the_lens_ends_at_the_models_answer_and_begins_without_it(notebook) -> None:
    space, _ = notebook
    lens = space["lens_difference"]
    assert lens[-1].item() == pytest.approx(space["difference"], abs=1e-2)
    assert lens[0].abs() < 0.25 * lens[-1]
    assert space["probability"][-1].mean() > space["probability"][0].mean()


def test_the_library_keeps_tensors_themselves_until_a_hook_may_edit(notebook) -> None:
    space, _ = notebook
    model, tokens = space["model"], space["tokens"]

    def shared(cache) -> bool:
        return cache["resid_post", 0].data_ptr() == cache["resid_pre", 1].data_ptr()

    assert shared(model.run_with_cache(tokens)[1])
    with model.hooks(fwd_hooks=[("hook_embed", lambda x, hook: None)]):
        assert not shared(model.run_with_cache(tokens)[1])


def test_the_two_lenses_agree_at_the_end_only(notebook) -> None:
    space, _ = notebook
    ours, other = space["ours"], space["with_final_scale"]
    assert other[-1].item() == pytest.approx(ours[-1].item(), abs=1e-2)
    assert (ours - other)[:-1].abs().max() > 1e-3
    steps = other.diff()  # with one scale for all, the steps are the layers' attributions
    parts = dict(zip(space["part_labels"], space["by_part"].tolist()))
    for layer, step in enumerate(steps.tolist()):
        assert step == pytest.approx(parts[f"{layer}_attn_out"] + parts[f"{layer}_mlp_out"], abs=1e-2)
