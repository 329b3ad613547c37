"""The claims of the prerequisites, on the chapter's own code, and its place in the course."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import einops
import pytest
import torch
from helpers import run_chapter
from torch import nn

from cleanlens.course import catalog
from cleanlens.course.position import in_turn
from cleanlens.course.result import Status

ROOT = Path(__file__).parents[1]
GLOSSARY = (ROOT / "chapters" / "GLOSSARY.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def chapter():
    names, _ = run_chapter("pre", solved=True)
    return SimpleNamespace(**names)


@pytest.mark.slow
def test_as_shipped_it_runs_with_the_courses_answers():
    shipped, printed = run_chapter("pre", solved=False)
    for entry in catalog.chapter_of("pre").exercises:
        assert f"{entry.names[0]} is not attempted: a ready-made one stands in for it" in printed
    with pytest.raises(NotImplementedError):
        shipped["softmax"](torch.zeros(3))


def test_the_pieces_are_an_attention_head(chapter):
    torch.testing.assert_close(chapter.z, chapter.theirs, atol=1e-4, rtol=0)
    assert chapter.rank == 4
    assert chapter.last.shape == (2, 1, 12)


def test_a_pattern_splits_where_reshape_pours(chapter):
    assert chapter.split[0, :2].tolist() == [[0, 1, 2], [6, 7, 8]]
    assert sorted(chapter.poured[0].flatten().tolist()) == list(range(12))  # all of positions 0 and 1


def test_what_is_said_of_einsum():
    x = torch.randn(3, 3)
    torch.testing.assert_close(einops.einsum(x, "i i ->"), x.trace())
    q, k = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    summed = einops.einsum(q, k, "batch query d, other key d -> batch query key")
    torch.testing.assert_close(summed, q @ k.sum(0).T)


def test_what_is_said_of_softmax_and_surprise():
    weights = torch.tensor([10.0, 9.0, 0.0]).softmax(0)
    assert weights[0] / weights[1] == pytest.approx(math.e, rel=1e-4)
    assert weights[0] / weights[2] == pytest.approx(22_000, rel=0.01)
    for bad in (100.0, -110.0):
        exp = torch.full((2,), bad).exp()
        assert (exp / exp.sum()).isnan().all()
    assert torch.tensor([101.0, 100.0]).softmax(0).tolist() == pytest.approx([0.73, 0.27], abs=0.005)
    assert math.log(2) == pytest.approx(0.69, abs=0.005)
    assert math.log(1000) == pytest.approx(6.9, abs=0.05)


def test_what_is_said_of_maps():
    layer = nn.Linear(3, 5, bias=False)
    x = torch.randn(2, 3)
    assert layer.weight.shape == (5, 3)  # [d_out d_in]
    torch.testing.assert_close(layer(x), x @ layer.weight.T)
    u = torch.randn(1, 6)
    u /= u.norm()
    without = torch.eye(6) - u.T @ u
    torch.testing.assert_close(without @ without, without, atol=1e-6, rtol=0)
    assert torch.linalg.matrix_rank(without, rtol=1e-4) == 5
    W = torch.eye(3) + 0.1 * torch.randn(3, 3)
    torch.testing.assert_close(x @ W @ W.inverse(), x, atol=1e-5, rtol=1e-5)
    A, B = torch.randn(768, 64), torch.randn(64, 768)
    assert torch.linalg.matrix_rank(A @ B, rtol=1e-4) == 64


# ---- its place in the course


def test_it_comes_first_and_is_the_only_one_without_a_number():
    assert [chapter.id for chapter in catalog.outline() if chapter.optional] == ["pre"]
    assert [chapter.id for chapter in catalog.outline()[:2]] == ["pre", "00"]
    assert {e.chapter.id for e in catalog.entries("pre")} == {"pre"}
    assert [e.id for e in catalog.entries("split_heads")] == ["pre.1"]
    assert 60 <= sum(entry.details["minutes"] for entry in catalog.entries("pre")) <= 90


@pytest.mark.parametrize(
    ("begun", "first"),
    [((), "00"), (("pre.1",), "pre"), (("00.2",), "00"), (("pre.1", "00.2"), "00")],
)
def test_it_is_next_only_for_who_has_begun_with_it(begun, first):
    chapters = [*catalog.outline()]
    states = {e.id: Status.RIGHT if e.id in begun else Status.NOT_ATTEMPTED for e in catalog.entries()}
    order = [chapter.id for chapter in in_turn(chapters, states)]
    assert order[0] == first
    assert sorted(order) == sorted(chapter.id for chapter in chapters)
    assert [id for id in order if id != "pre"] == [c.id for c in chapters if not c.optional]


def test_the_readme_leads_to_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ready = readme[readme.index("### Are you ready?") : readme.index("**Teaching.**")]
    assert "chapters/pre_tensors.ipynb" in ready
    questions, answers = ready.split("<details>")
    assert len(re.findall(r"^\d\. ", questions, re.M)) == len(re.findall(r"^\d\. ", answers, re.M)) == 5
    headings = re.findall(r"^# ## (\d) ", (ROOT / "chapters" / "pre_tensors.py").read_text(), re.M)
    assert set(re.findall(r"\d", " ".join(re.findall(r"\(sections? ([\d, ]+)\)", questions)))) <= {*headings}


# ---- the glossary


def test_the_glossary_is_in_order_and_names_a_chapter_for_each_term():
    entries = re.split(r"^- ", GLOSSARY, flags=re.M)[1:]
    terms = [re.match(r"\*\*(.+?)\*\*: ", entry)[1] for entry in entries]
    assert terms == sorted(terms, key=str.lower)
    assert len({*terms}) == len(terms) >= 60
    notebooks = {chapter.id: Path(chapter.notebook).name for chapter in catalog.outline()}
    for entry in entries:
        id, file = re.search(r"\[(\w+)\]\((\S+)\)\n*$", entry).groups()
        assert notebooks[id] == file, entry


@pytest.mark.parametrize("chapter", catalog.outline(), ids=lambda chapter: chapter.id)
def test_the_chapter_that_the_glossary_names_speaks_of_the_term(chapter):
    text = (ROOT / chapter.text).read_text(encoding="utf-8").lower()
    for entry in re.split(r"^- ", GLOSSARY, flags=re.M)[1:]:
        if f"({Path(chapter.notebook).name})" in entry:
            term = re.match(r"\*\*(.+?)\*\*: ", entry)[1].lower()
            assert any(all(word in text for word in name.split()) for name in re.split(r"[(),]", term)), term
