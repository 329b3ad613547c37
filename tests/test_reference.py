"""The library's files as pages: nothing lost, nothing twice, every link leads somewhere, shapes from a real run."""

import ast
import html
import re
from pathlib import Path

import pytest

from cleanlens import HookedTransformer
from cleanlens.course import catalog, reference
from cleanlens.course.reference import Library, files, page_name, read, rows

ROOT = Path(__file__).parents[1]
SMALL = ["components/attention.py", "components/layer_norm.py", "hook_points.py", "config.py"]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Every page, with the course's own answers."""
    return dict(Library(solutions=ROOT).pages())


def test_the_reading_order_is_readmes_and_whole() -> None:
    order = files()
    assert len(order) == len(set(order)) > 40
    for link in re.findall(r"^\d+\. \[`([^`]+)`\]", reference.readme(), re.M):
        assert any(file.startswith(link) for file in order), link
    of_gpt2 = ["embed", "pos_embed", "layer_norm", "attention", "mlp", "transformer_block", "unembed"]
    places = [order.index(f"components/{name}.py") for name in of_gpt2]
    assert places == sorted(places), "as a token meets them"
    on_disk = {f"components/{path.name}" for path in (ROOT / "cleanlens" / "components").glob("*.py")}
    assert on_disk == {file for file in order if file.startswith("components/")}


def test_a_readme_without_the_section_is_named() -> None:
    with pytest.raises(ValueError, match="Reading the source"):
        reference.reading_order("# cleanlens\n")


def test_every_line_is_in_one_row_once_and_in_order() -> None:
    for file in files():
        source = read(file)
        parts = rows(source)
        numbers = sorted(number for row in parts for number in row.said + row.code)
        assert numbers == list(range(1, len(source.splitlines()) + 1)), file
        code = [number for row in parts for number in row.code]
        said = [number for row in parts for number in row.said]
        assert code == sorted(code), file
        assert said == sorted(said), file


def test_every_line_of_code_is_on_its_page_once(pages: dict[str, str]) -> None:
    for file in files():
        source, page = read(file).splitlines(), pages[page_name(file)]
        shown = {
            int(number): html.unescape(re.sub(r"<[^>]+>", "", line)).rstrip("\n")
            for number, line in re.findall(r'<span class="line" id="L(\d+)"[^>]*>(.*?\n)</span>', page, re.S)
        }
        assert page.count('<span class="line"') == len(shown), file
        assert list(shown) == sorted(shown), file
        for number, line in shown.items():
            assert line == source[number - 1], f"{file}:{number}"
        said = {number for row in rows(read(file)) for number in row.said}
        lost = [n for n, line in enumerate(source, 1) if line.strip() and n not in shown and n not in said]
        assert not lost, f"{file}: {lost}"


def test_every_word_of_a_docstring_is_beside_its_code() -> None:
    for file in files():
        parts = {row.name: row for row in rows(read(file)) if row.kind in ("class", "function", "method")}
        for node in ast.parse(read(file)).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                words = re.findall(r"\w+", ast.get_docstring(node) or "")
                shown = re.findall(r"\w+", html.unescape(parts[node.name].text))
                left = set(words) - set(shown) - set(reference.HEADS)
                assert not left, f"{file} {node.name}: {left}"


def test_where_a_row_begins() -> None:
    source = '''"""A file."""

import a

# Why three.
THREE = 3


# ---------------------------------------------------------------- parts

# About parts.


# Above a class.
@a.decorated
class Part:
    """A part.

    Args:
        x: how much
            of it.
    """

    x = 1  # stays with its line

    def __init__(self):
        # Because.
        self.x = "# no comment"  # noqa: E501


LAST = Part
'''
    found = [(row.kind, row.name, row.text) for row in rows(source)]
    assert found == [
        ("module", "", "A file."),
        ("comment", "", "Why three."),
        ("section", "Parts", ""),
        ("comment", "", "About parts."),
        ("class", "Part", "Above a class.\n\nA part.\n\n\n**Arguments**\n\n- `x`: how much\n  of it."),
        ("method", "Part.__init__", ""),
        ("comment", "", "Because."),
        ("code", "", ""),
    ]


@pytest.mark.parametrize("source", ["", "\n\n", "x = 1\n", '"""Only words."""\n', "# only a comment\n"])
def test_files_with_next_to_nothing_in_them(source: str) -> None:
    numbers = [number for row in rows(source) for number in row.said + row.code]
    assert sorted(numbers) == list(range(1, len(source.splitlines()) + 1))


def test_markdown_of_a_docstring() -> None:
    text = reference.markdown(
        """Sum.

        A `<bos>` and a <bos>, and $a < b$.

        Args:
            x, y: both
                of them.

        Returns:
            `[batch pos]`.

        Raises:
            ValueError: never.
        """
    )
    assert "A `<bos>` and a &lt;bos>, and $a < b$." in text
    assert "**Arguments**\n\n- `x`, `y`: both\n  of them." in text
    assert "**Returns**\n\n`[batch pos]`." in text
    assert "- `ValueError`: never." in text


# ---------------------------------------------------------------- links, shapes, exercises


def test_every_link_leads_somewhere(pages: dict[str, str]) -> None:
    ids = {name: re.findall(r'\bid="([^"]+)"', page) for name, page in pages.items()}
    chapters = {f"{c.id}_{c.slug}": {f"exercise-{e.id}" for e in c.exercises} for c in catalog.outline()}
    for name, found in ids.items():
        assert len(found) == len(set(found)), name
    n = 0
    for name, page in pages.items():
        for address in re.findall(r'href="([^"]+)"', page):
            n += 1
            target, _, anchor = address.partition("#")
            if target.startswith("../chapters/"):
                assert anchor in chapters[Path(target).stem], f"{name}: {address}"
                continue
            place = Path(target).stem if target else name
            assert place in pages, f"{name}: {address}"
            assert not anchor or anchor in ids[place], f"{name}: {address}"
        for target in re.findall(r"\]\(([^)#:\s]+\.md)\)", page):
            assert Path(target).stem in pages, f"{name}: {target}"
    assert n > 5000


def test_names_axes_and_hook_points_are_links(pages: dict[str, str]) -> None:
    page = pages["components-attention"]
    assert '<a href="hook_points.html#HookPoint">' in page
    assert '<a href="hooks.html#hook_pattern">' in page
    assert 'href="hooks.html#axis-d_head"' in page
    assert 'href="components-attention.html#visible"' in pages["hooked_transformer"], (
        "through the folder's index"
    )


def test_the_axes_named_beside_a_hook_point_have_the_sizes_of_the_model() -> None:
    """What the comments in the library say is what a run has: an oracle for both."""
    cfg = HookedTransformer.from_pretrained("gpt2-demo").cfg
    sizes = {"batch": 2, "head": cfg.n_heads, "1": 1}
    sizes |= {name: getattr(cfg, name) for name in ("d_model", "d_head", "d_mlp")}
    library = Library()
    lengths = set()
    for place in reference.places():
        hook = library._made_by(place)
        assert len(hook.axes) == len(place.shape), place
        for axis, size in zip(hook.axes, place.shape):
            if axis in ("pos", "query", "key"):
                lengths.add(size)
            else:
                assert sizes[axis] == size, f"{place.path}: {axis} is {size}"
    assert len(lengths) == 1
    assert {place.name for place in reference.places()} >= {
        "hook_result",
        "hook_attn_in",
        "hook_q_input",
        "hook_mlp_in",
    }


def test_shapes_stand_beside_the_code_that_names_a_hook_point(pages: dict[str, str]) -> None:
    shapes = {place.name: place.shape for place in reference.places()}
    shown = re.search(r"hook_pattern</a></dt><dd>(.*?)</dd>", pages["components-attention"])
    assert shown is not None
    numbers = [int(n) for n in re.findall(r" (\d+)", re.sub(r"<[^>]+>", "", shown[1]))]
    assert tuple(numbers) == shapes["hook_pattern"]
    assert "not in gpt2-demo" in pages["components-rotary_attention"]
    assert "not in gpt2-demo" not in pages["components-attention"]


def test_what_is_rebuilt_where_exists() -> None:
    functions = {name for c in catalog.outline() for e in c.exercises for name in e.names}
    for table in (reference.REBUILT_AS, reference.EQUATIONS):
        for file, named in table.items():
            names = {row.name for row in rows(read(file))}
            assert not named.keys() - names, f"{file} has no {named.keys() - names}"
    for file, named in reference.REBUILT_AS.items():
        assert not set(named.values()) - functions, (
            f"{file}: no exercise builds {set(named.values()) - functions}"
        )


def test_with_and_without_solutions(pages: dict[str, str]) -> None:
    kept_back = dict(Library().pages())
    assert pages.keys() == kept_back.keys()
    with_answer, without = pages["components-attention"], kept_back["components-attention"]
    assert "You build this in" in with_answer
    assert "You build this in" in without
    assert "The course's answer" in with_answer
    for name, page in kept_back.items():
        assert "The course's answer" not in page, name


def test_a_chapter_without_a_page_is_named_but_not_linked() -> None:
    library = Library(chapters=[])
    page = library.page("components/embed.py")
    assert "You build this in" in page
    assert "../chapters/" not in page


def test_equations_become_mathml() -> None:
    from cleanlens.course.site.generator import formula

    for named in reference.EQUATIONS.values():
        for latex in named.values():
            for line in latex.split(r"\\"):
                drawn = formula(line.strip(), display=True)
                assert "<math" in drawn
                assert "\\" not in html.unescape(re.sub(r"<[^>]+>", "", drawn)), drawn
