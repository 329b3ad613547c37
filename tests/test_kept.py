"""What was proven is not proven again, and whatever it depends on makes it be proven again."""

from contextlib import suppress
from pathlib import Path

import pytest

from cleanlens.course import blind, catalog, kept, proof
from cleanlens.course.judge import Judge


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANLENS_CACHE", str(tmp_path))


def test_findings_stay_and_what_nobody_asks_for_goes(tmp_path: Path) -> None:
    with kept.Kept("kind", "name") as known:
        assert "a" not in known
        known["a"], known["b"] = 1, {"x": [2]}
    assert (tmp_path / "proofs" / "kind" / "name.json").exists()
    with kept.Kept("kind", "name") as known:
        assert "b" in known
        assert known["b"] == {"x": [2]}
    with kept.Kept("kind", "name") as known:
        assert "a" not in known
        assert "b" in known
    with suppress(KeyboardInterrupt), kept.Kept("kind", "name") as known:
        known["c"] = 3
        raise KeyboardInterrupt
    with kept.Kept("kind", "name") as known:
        assert "b" in known
        assert "c" in known
    with kept.Kept("kind", "name", fresh=True) as known:
        assert "b" not in known


def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "proofs" / "kind").mkdir(parents=True)
    (tmp_path / "proofs" / "kind" / "name.json").write_text("{")
    with kept.Kept("kind", "name") as known:
        assert "a" not in known


def test_a_key_knows_where_one_text_ends() -> None:
    assert kept.digest("ab", "c") != kept.digest("a", "bc")
    assert kept.digest("a\0b") != kept.digest("a", "b")


def test_a_check_is_another_when_its_code_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ex = catalog.find("00.2")
    text = Path(ex.make_inputs.__code__.co_filename).read_text()
    path = tmp_path / "encode.py"

    def digest(changed: str, **options: bool) -> str:
        path.write_text(changed)
        space: dict[str, object] = {"__name__": "cleanlens.course.chapters.ch00.copy"}
        exec(compile(changed, str(path), "exec"), space)
        return kept.check(space["ex"], **options)  # type: ignore[arg-type]

    first, without = digest(text), digest(text, answers=False)
    assert digest(f"# a comment\n{text}") == first
    longer = (
        text
        + '\n\n@ex.mistake("Another hint.")\ndef another(text, stoi, prepend_bos=True):\n    return None\n'
    )
    assert digest(longer) != first
    assert digest(longer, answers=False) == without
    other_inputs = text.replace("def _(seed):\n", "def _(seed):\n    seed += 1\n", 1)
    assert digest(other_inputs, answers=False) != without
    (tmp_path / "helpers.py").write_text("x = 1\n")
    assert digest(text) != first


def test_the_library_counts_where_it_is_used() -> None:
    assert not kept.library_in(
        "import cleanlensed\n", "from cleanlens.course import check\n", "x = 'import cleanlens'"
    )
    for text in (
        "import cleanlens\n",
        "x = 1\nfrom cleanlens.config import A\n",
        "def f():\n    from cleanlens import A\n",
    ):
        assert kept.library_in("", text)


def test_the_proof_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ex, runs = catalog.find("00.6"), []
    real = proof.failures

    def counted(ex, seed):
        runs.append(seed)
        return ["a failure"] if seed == 1 else real(ex, seed)

    monkeypatch.setattr(proof, "failures", counted)
    assert proof.all_failures(ex, range(2)) == ["a failure"]
    assert proof.all_failures(ex, range(2)) == ["a failure"]
    assert runs == [0, 1, 1]  # what failed is tried again
    monkeypatch.setattr(kept, "engine", lambda *modules: "another engine")
    assert proof.all_failures(ex, range(2)) == ["a failure"]
    assert runs == [0, 1, 1, 0, 1]


def test_a_blind_answer_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ex = catalog.find("00.2")
    right = blind.Block(ex.id, True, "one", ex.alternatives[0].source)
    wrong = blind.Block(ex.id, False, "two", "def encode(text, stoi, prepend_bos=True):\n    return None\n")
    first = blind._judge_some(ex.id, [right, wrong], blind.ROOT, False)
    assert [result.passed for result in first] == [True, False]
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "expected", lambda self: pytest.fail("it was judged again"))
        assert blind._judge_some(ex.id, [right, wrong], blind.ROOT, False) == first
    monkeypatch.setattr(blind, "forked", lambda work, seconds: None)  # as when it runs out of time
    assert blind._judge_some(ex.id, [right], blind.ROOT, True)[0].status == "error"
    with kept.Kept("blind", ex.id) as known:
        assert not known.known
