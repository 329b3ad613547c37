"""The library to read: each file of README's reading order as a page, text on the left and code on the right.

Everything on a page is taken from the files themselves. Docstrings and comments become the text; the code beside them
links to what it names: functions and classes, axes, hook points. The shape of an activation is that of a run of
gpt2-demo, and each part of the library stands beside the exercise that rebuilds it.

`pages()` gives Markdown (MyST) for the generator of `cleanlens.course.site`, one page per file.
"""

import ast
import contextlib
import html
import inspect
import io
import posixpath
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from . import sources
from .catalog import ChapterEntry, Entry, outline

if TYPE_CHECKING:
    from cleanlens import HookedTransformer

PACKAGE = Path(__file__).parents[1]
PROMPTS = [  # of different order and the same length: the batch whose shapes are shown
    "When Mary and John went to the park, John gave a ball to",
    "When Mary and John went to the park, Mary gave a ball to",
]

# What the course rebuilds under another name than the library's: file and name -> the exercise's function. Equal names
# (`Attention.forward`, `run_with_cache`) find each other.
REBUILT_AS = {
    "components/attention.py": {"visible": "causal_mask", "Attention.scores": "attention_pattern"},
    "hooked_transformer.py": {
        "HookedTransformer.forward": "Transformer.forward",
        "HookedTransformer.loss_fn": "loss",
        "HookedTransformer.run_with_cache": "run_with_cache",
    },
    "hook_points.py": {
        "HookedRootModule.run_with_hooks": "run_with_hooks",
        "HookedRootModule.run_with_cache": "run_with_cache",
        "HookPoint._backward": "gradient_hook",
    },
    "activation_cache.py": {
        "ActivationCache.stack_head_results": "head_results",
        "ActivationCache.decompose_resid": "decompose_resid",
        "ActivationCache.apply_ln_to_stack": "apply_final_ln",
        "ActivationCache.logit_attrs": "logit_attribution",
    },
    "weight_processing.py": {"fold_layer_norm": "fold_ln"},
    "patching.py": {
        "sweep": "patch_resid",
        "get_act_patch_attn_head_all_pos_every": "patch_head_part",
        "path_patch": "path_patch_to_heads",
        "get_path_patch_head_to_logits": "path_patch_to_logits",
    },
    "tokenization.py": {
        "pad": "pad_batch",
        "Tokenization.to_single_token": "single_token_id",
        "Tokenization.get_token_position": "token_position",
    },
    "generation.py": {"Generation.generate": "generate", "Generation._steps": "generate_with_cache"},
    "analysis/lens.py": {"logit_lens": "logit_lens"},
    "analysis/attribution.py": {"direct_logit_attribution": "head_attribution"},
    "analysis/edges.py": {"edge_attribution": "attribution_patching"},
    "analysis/circuits.py": {"run_circuit": "circuit_faithfulness", "ablation_values": "template_means"},
    "training/tokenizer.py": {"train_tokenizer": "train_bpe"},
    "training/data.py": {"repeated_tokens": "make_batch"},
    "training/corpus.py": {"ioi_prompts": "make_ioi"},
    "training/measure.py": {
        "repeated_prompt": "repeated_tokens",
        "previous_token_scores": "positional_scores",
        "induction_scores": "induction_score",
        "repeat_losses": "loss_by_half",
        "logit_diffs": "logit_diff",
        "ablation": "ablation_scores",
        "head_patching": "patch_heads",
    },
    "training/induction.py": {"train_induction": "train_induction"},
    "training/grow.py": {"grow": "grow"},
    "training/train.py": {"train": "train_step"},
}

# The equations that the docstrings say in plain text, so that a terminal can show them.
# \\ begins another line.
EQUATIONS = {
    "components/embed.py": {"Embed": r"x_i = W_E[t_i]"},
    "components/pos_embed.py": {"PosEmbed": r"p_i = W_{\mathrm{pos}}[i]"},
    "components/layer_norm.py": {
        "LayerNormPre": r"\hat{x} = \frac{x - \bar{x}}{\sqrt{\frac{1}{d}\sum_j (x_j - \bar{x})^2 + \varepsilon}}",
        "LayerNorm": r"\mathrm{LN}(x) = \hat{x} \odot w + b",
    },
    "components/rms_norm.py": {
        "RMSNormPre": r"\hat{x} = \frac{x}{\sqrt{\frac{1}{d}\sum_j x_j^2 + \varepsilon}}"
    },
    "components/attention.py": {
        "Attention": r"q^h = x W_Q^h + b_Q^h \\ k^h = x W_K^h + b_K^h \\ v^h = x W_V^h + b_V^h"
        r"\\ A^h = \mathrm{softmax}\left(\frac{q^h (k^h)^{\top}}{\sqrt{d_{\mathrm{head}}}}\right)"
        r"\\ \mathrm{attn}(x) = \sum_h A^h v^h W_O^h + b_O",
        "Attention.OV": r"W_{OV}^h = W_V^h W_O^h",
        "Attention.QK": r"W_{QK}^h = W_Q^h (W_K^h)^{\top}",
    },
    "components/mlp.py": {
        "MLP": r"\mathrm{mlp}(x) = \sigma(x W_{\mathrm{in}} + b_{\mathrm{in}}) W_{\mathrm{out}} + b_{\mathrm{out}}"
    },
    "components/transformer_block.py": {
        "TransformerBlock": r"x' = x + \mathrm{attn}(\mathrm{LN}_1(x)) \\ x'' = x' + \mathrm{mlp}(\mathrm{LN}_2(x'))"
    },
    "components/unembed.py": {"Unembed": r"\mathrm{logits} = x W_U + b_U"},
    "weight_processing.py": {
        "fold_layer_norm": r"(\hat{x} \odot w + b_{\mathrm{ln}}) W + b = \hat{x}\,(\mathrm{diag}(w)\, W) + (b_{\mathrm{ln}} W + b)"
    },
    "factored_matrix.py": {"FactoredMatrix.svd": r"A B = U S V^{\top}"},
}


# ---------------------------------------------------------------- which files, in which order


@dataclass
class Item:
    """A numbered line of README's reading order: its text, and the files that it means."""

    text: str
    files: list[str]  # within the package, such as components/attention.py


@cache
def readme() -> str:
    """README's text, from the checkout or from what was installed."""
    path = PACKAGE.parent / "README.md"
    if path.exists():
        return path.read_text(encoding="utf-8")
    return str(metadata.metadata("cleanlens").json["description"])


def reading_order(text: str | None = None) -> list[Item]:
    """README's "Reading the source", with each folder opened in the order in which a token meets its files."""
    section = re.search(r"^## Reading the source\n(.*?)(?=^##|\Z)", text or readme(), re.M | re.S)
    if section is None:
        raise ValueError('README.md has no section "## Reading the source"')
    items: list[Item] = []
    seen: set[str] = set()
    for line in re.findall(r"^\d+\. (.*?)(?=^\d+\. |^\S|\Z)", section[1], re.M | re.S):
        linked = [link.removeprefix("cleanlens/") for link in re.findall(r"\]\((cleanlens/[^)]+)\)", line)]
        files = [file for link in linked for file in _opened(link, line) if file not in seen]
        seen.update(files)
        items.append(Item(" ".join(line.split()), files))
    return items


def _opened(link: str, line: str) -> list[str]:
    """A file is itself; a folder is its index, then what the line names, what the index imports, and all else."""
    path = PACKAGE / link
    if path.is_file():
        return [link]
    files = {file.stem: f"{link.rstrip('/')}/{file.name}" for file in sorted(path.glob("*.py"))}
    named = re.findall(r"\w+", line.partition(")")[2])
    index = path / "__init__.py"
    imported = (
        re.findall(r"^from [\w.]*?\.(\w+) import", index.read_text(encoding="utf-8"), re.M) if files else []
    )
    order = dict.fromkeys(stem for stem in ["__init__", *named, *imported, *files] if stem in files)
    return [files[stem] for stem in order]


def files() -> list[str]:
    """Every file of the reading order."""
    return [file for item in reading_order() for file in item.files]


def page_name(file: str) -> str:
    """components/attention.py -> components-attention, the name of its page."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", "-")


def title(file: str) -> str:
    """components/attention.py, which may break after the folder; a folder's index is the folder."""
    return file.removesuffix("__init__.py").replace("/", "/\u200b").rstrip("\u200b").replace("__", r"\_\_")


def read(file: str) -> str:
    return (PACKAGE / file).read_text(encoding="utf-8")


# ---------------------------------------------------------------- a file as rows


@dataclass
class Row:
    """A stretch of a file: what it says, and the code beside it. Every line of the file is in one row, once."""

    kind: str = "code"  # module, section, class, function, method, comment or code
    name: str = ""  # Attention.forward, or the title of a section
    text: str = ""  # docstring and comments, as Markdown
    said: list[int] = field(default_factory=list)  # the lines of the text, from 1
    code: list[int] = field(default_factory=list)  # the lines of the code


def rows(source: str) -> list[Row]:
    """A file cut where a docstring, a comment on lines of its own, a class or a function begins."""
    lines = source.splitlines()
    definitions, docstrings, restarts = _outline(ast.parse(source), lines)
    comments = _comments(source)
    found = [Row("module")]
    number = 1
    while number <= len(lines):
        row = found[-1]
        if number in docstrings:
            last, text = docstrings[number]
            row.text = "\n\n".join(filter(None, [row.text, markdown(text)]))
            row.said += range(number, last + 1)
            number = last + 1
        elif number in comments:
            block = comments[number]
            if section := SECTION.fullmatch(block[0]):
                found.append(Row("section", section[1].strip().capitalize()))
                block = block[:1]  # what follows is a comment of its own
                found[-1].said.append(number)
            else:
                found.append(
                    Row("comment", text=_prose(block), said=list(range(number, number + len(block))))
                )
            number += len(block)
        else:
            if number in definitions:
                kind, name = definitions[number]
                if row.kind == "comment" and not row.code:  # right above what it is about
                    row.kind, row.name = kind, name
                else:
                    found.append(Row(kind, name))
            elif number in restarts:
                found.append(Row())
            found[-1].code.append(number)
            number += 1
    return found


SECTION = re.compile(r"# -{8,} ?(.*)")
FOR_TOOLS = re.compile(r"# ?(?:ruff|type|noqa|mypy|fmt|pragma)\b")


def _outline(
    tree: ast.Module, lines: list[str]
) -> tuple[dict[int, tuple[str, str]], dict[int, tuple[int, str]], set[int]]:
    """By first line: the definitions (kind, name), the docstrings (last line, text), and where code goes on after a
    function."""
    definitions: dict[int, tuple[str, str]] = {}
    docstrings: dict[int, tuple[int, str]] = {}
    restarts: set[int] = set()

    def docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        text, first = ast.get_docstring(node), node.body[0] if node.body else None
        if (
            text is not None
            and first is not None
            and lines[first.lineno - 1].lstrip().startswith(('"""', 'r"""'))
        ):
            docstrings[first.lineno] = first.end_lineno or first.lineno, text

    def walk(body: Iterable[ast.stmt], owner: str) -> None:
        after = False
        for node in body:
            if isinstance(node, sources.DEFINITIONS):
                first, is_class = sources.first_line(node), isinstance(node, ast.ClassDef)
                kind = "class" if is_class else "method" if owner else "function"
                definitions[first] = kind, owner + node.name
                docstring(node)
                if is_class:
                    walk(node.body, f"{owner}{node.name}.")
            elif after:
                restarts.add(node.lineno)
            after = isinstance(node, sources.DEFINITIONS)

    docstring(tree)
    walk(tree.body, "")
    return definitions, docstrings, restarts


def _comments(source: str) -> dict[int, list[str]]:
    """Comments that have their lines to themselves, in blocks, by first line; those for tools stay in the code."""
    lines = source.splitlines()
    alone: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line, column = token.start
        has_its_line = token.type == tokenize.COMMENT and not lines[line - 1][:column].strip()
        if has_its_line and not FOR_TOOLS.match(token.string):
            alone[line] = token.string
    blocks: dict[int, list[str]] = {}
    first = 0
    for line, text in alone.items():
        goes_on = line - 1 in alone and not SECTION.fullmatch(text) and not SECTION.fullmatch(alone[line - 1])
        first = first if goes_on else line
        blocks.setdefault(first, []).append(text)
    return blocks


# ---------------------------------------------------------------- from docstring to Markdown

HEADS = {
    "Args": "Arguments",
    "Returns": "Returns",
    "Raises": "Raises",
    "Attributes": "Attributes",
    "Yields": "Yields",
}


def markdown(docstring: str) -> str:
    """A docstring as Markdown: its lists of arguments become lists, its text stays as it is."""
    blocks, lines = [], inspect.cleandoc(docstring).splitlines()
    while lines:
        line = lines.pop(0)
        head = line.rstrip(":") if line.endswith(":") else ""
        if head not in HEADS:
            blocks.append(line)
            continue
        inside = []
        while lines and (not lines[0].strip() or lines[0].startswith(" ")):
            inside.append(lines.pop(0))
        entries = inspect.cleandoc("\n" + "\n".join(inside)).splitlines()
        blocks += ["", f"**{HEADS[head]}**", ""]
        for entry in entries:
            named = re.match(r"([\w`*., \[\]]+): (.*)", entry) if head not in ("Returns", "Yields") else None
            if named:
                names = ", ".join(f"`{name.strip(' `')}`" for name in named[1].split(","))
                blocks.append(f"- {names}: {named[2]}")
            else:
                blocks.append(f"  {entry.strip()}" if blocks[-1].startswith(("- ", "  ")) else entry)
        blocks.append("")
    return _safe("\n".join(blocks).strip())


def _prose(comment: list[str]) -> str:
    """A block of comment lines as Markdown."""
    return _safe("\n".join(re.sub(r"^# ?", "", line) for line in comment))


def _safe(text: str) -> str:
    """What Markdown would read as a tag (`<bos>`) or as a target (`(x)=`) is text here, outside of code."""
    pieces = re.split(r"(`[^`]*`|\$[^$\n]+\$)", text)
    pieces[::2] = [piece.replace("<", "&lt;").replace("[^", "\\[^") for piece in pieces[::2]]
    return "".join(pieces)


# ---------------------------------------------------------------- hook points and axes


@dataclass(frozen=True)
class Place:
    """A hook point of gpt2-demo: where it is, its shape in the run, and the files that its module is made from."""

    path: str  # blocks.{layer}.attn.hook_q
    shape: tuple[int, ...]
    files: frozenset[str]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


@cache
def places() -> tuple[Place, ...]:
    """Every hook point of gpt2-demo, its layers taken together, with its shape in a run on two sentences."""
    import torch

    from cleanlens import HookedTransformer

    with contextlib.redirect_stdout(io.StringIO()):  # without the line that loading prints
        model = HookedTransformer.from_pretrained("gpt2-demo", device="cpu")
    with torch.no_grad():
        shapes = _shapes(model)
        for option in (
            "attn_result",
            "split_qkv_input",
            "attn_in",
            "hook_mlp_in",
        ):  # what is there when wanted
            getattr(model, f"set_use_{option}")(True)
            shapes = _shapes(model) | shapes
            getattr(model, f"set_use_{option}")(False)
    found: dict[str, Place] = {}
    for name, shape in shapes.items():
        parent = model.get_submodule(name.rpartition(".")[0])
        made_from = {
            inspect.getsourcefile(kind) or ""
            for kind in type(parent).__mro__
            if "cleanlens" in kind.__module__
        }
        paths = frozenset(Path(path).relative_to(PACKAGE).as_posix() for path in made_from)
        path = re.sub(r"^blocks\.\d+", "blocks.{layer}", name)
        found.setdefault(path, Place(path, shape, paths))
    return tuple(found.values())


def _shapes(model: "HookedTransformer") -> dict[str, tuple[int, ...]]:
    _, cache = model.run_with_cache(PROMPTS)
    return {name: tuple(tensor.shape) for name, tensor in cache.items()}


@dataclass(frozen=True)
class Hook:
    """A hook point as a file makes it: `self.hook_q = HookPoint()  # [batch pos head d_head]`."""

    name: str
    file: str
    axes: tuple[str, ...]
    remark: str = ""  # "when wanted"


def hooks_of(file: str) -> list[Hook]:
    """The hook points that a file makes."""
    made = re.findall(
        r"^ +self\.(hook_\w+) = HookPoint\(\)(?:  # (?:\[(.*?)\])?,? ?(.*))?$", read(file), re.M
    )
    found: list[Hook] = []
    for name, axes, remark in made:
        if remark == "likewise" and found:
            axes, remark = " ".join(found[-1].axes), found[-1].remark
        found.append(Hook(name, file, tuple(axes.split()), remark))
    return found


def axes() -> dict[str, str]:
    """README's table of axes: name -> of what, as Markdown."""
    table = re.search(r"^### Axes\n.*?^\|---[^\n]*\n((?:\|[^\n]*\n)+)", readme(), re.M | re.S)
    if table is None:
        raise ValueError('README.md has no table below "### Axes"')
    found = {}
    for line in table[1].splitlines():
        names, what = (cell.strip() for cell in line.strip("|").split("|", 1))
        for name in re.findall(r"`(\w+)`", names):
            found[name] = what
    return found


# ---------------------------------------------------------------- code that links


class Library:
    """The files of the reading order, and what a name in one of them leads to."""

    def __init__(self, chapters: Iterable[ChapterEntry] | None = None, solutions: Path | None = None):
        """`chapters` are those that have a page to link to (default: all). `solutions` is the folder that holds
        solutions/, to show the course's own answers; None keeps them back."""
        self.files = files()
        self.ids = [entry.id for chapter in outline() for entry in chapter.exercises]
        self._names: dict[str, dict[str, str]] = {}
        self.solutions = solutions
        self.chapters = list(outline() if chapters is None else chapters)
        self.by_function = {name: entry for c in outline() for entry in c.exercises for name in entry.names}

    @cached_property
    def hooks(self) -> list[Hook]:
        """Every hook point that the files make, in the order of reading."""
        return [hook for file in self.files for hook in hooks_of(file)]

    @cached_property
    def hook_names(self) -> frozenset[str]:
        return frozenset(hook.name for hook in self.hooks)

    @cached_property
    def axes(self) -> dict[str, str]:
        return axes()

    def names(self, file: str) -> dict[str, str]:
        """Name in this file -> address: what the file defines at its top level, and what it imports from others."""
        if file in self._names:
            return self._names[file]
        found = {name: f"#{name}" for name in _defined(read(file))}
        for module, name in _imported(file):
            if address := self._address(module, name):
                found[name] = address
        self._names[file] = found
        return found

    def _address(self, module: str, name: str) -> str:
        file = _file_of(module)
        if file not in self.files:
            return ""
        if name in _defined(read(file)):
            return f"{page_name(file)}.html#{name}"
        for inner, imported in _imported(file):  # an index passes on what its files define
            if imported == name and inner != module:
                return self._address(inner, name)
        return f"{page_name(file)}.html" if _file_of(f"{module}.{name}") in self.files else ""

    def exercise_for(self, file: str, name: str) -> Entry | None:
        """The exercise in which this part of the library is rebuilt."""
        name = REBUILT_AS.get(file, {}).get(name, name if self._rebuilds_by_name(file) else "")
        return self.by_function.get(name)

    def _rebuilds_by_name(self, file: str) -> bool:
        return not file.startswith(("training/", "loading/"))  # where an equal name is chance

    # ---------------------------------------------------------------- pages

    def pages(self, progress: Callable[[str], None] = lambda file: None) -> Iterator[tuple[str, str]]:
        """Name and Markdown of the contents, the hook points, and every file."""
        yield "index", self.contents()
        yield "hooks", self.hooks_page()
        for file in self.files:
            progress(file)
            yield page_name(file), self.page(file)

    def contents(self) -> str:
        """The reading order, each file with what it says of itself."""
        blocks = [
            "# Reading the source\n",
            "Every file of the library that is worth reading, in the order that README proposes: the text on the left, "
            "the code on the right, the shapes from a run of gpt2-demo. "
            "[Hook points and axes](hooks.md) has both on one page.\n",
        ]
        for number, item in enumerate(reading_order(), 1):
            text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", item.text)
            blocks += [f"## {number} · {text.partition(':')[0]}\n", text.partition(":")[2].strip() + "\n"]
            for file in item.files:
                first = (rows(read(file))[0].text.split("\n\n")[0] or "").replace("\n", " ")
                built = {entry.id for row in rows(read(file)) if (entry := self.exercise_for(file, row.name))}
                rebuilt = [id for id in self.ids if id in built]  # in the course's order
                ids = f" <small>rebuilt in {', '.join(rebuilt)}</small>" if rebuilt else ""
                blocks.append(f"- [`{file}`]({page_name(file)}.md): {first}{ids}")
            blocks.append("")
        return "\n".join([*blocks, _toctree(["hooks", *map(page_name, self.files)])])

    def hooks_page(self) -> str:
        """Every axis and every hook point, with the shapes of the run."""
        sentences = " and ".join(f"“{prompt}”" for prompt in PROMPTS)
        blocks = [
            "# Hook points and axes\n",
            "## Axes\n",
            "Shapes stand in the signatures, always in these words.\n",
        ]
        blocks += ["| axis | of what |", "|---|---|"]
        blocks += [f'| <span id="axis-{name}"></span>`{name}` | {what} |' for name, what in self.axes.items()]
        blocks += [
            "\n## Hook points of gpt2-demo\n",
            f"The shapes are those of `run_with_cache` on a batch of two: {sentences}.\n",
            "| hook point | axes | shape | made in |",
            "|---|---|---|---|",
        ]
        shown: set[str] = set()
        for place in places():
            hook = self._made_by(place)
            made = f"[`{hook.file}`]({page_name(hook.file)}.md)"
            blocks.append(
                f"| {_anchor(place.name, shown)}`{place.path}` | {self._axes_html(hook.axes)} {hook.remark} | "
                f"{_shape(place.shape)} | {made} |"
            )
        others = [hook for hook in self.hooks if hook.name not in {place.name for place in places()}]
        blocks += [
            "\n## Hook points that other families add\n",
            "| hook point | axes | made in |",
            "|---|---|---|",
        ]
        for hook in others:
            made = f"[`{hook.file}`]({page_name(hook.file)}.md)"
            shape = self._axes_html(hook.axes)
            blocks.append(f"| {_anchor(hook.name, shown)}`{hook.name}` | {shape} {hook.remark} | {made} |")
        return "\n".join(blocks) + "\n"

    def _made_by(self, place: Place) -> Hook:
        return next(hook for hook in self.hooks if hook.name == place.name and hook.file in place.files)

    def _axes_html(self, names: Iterable[str]) -> str:
        return "<code>[" + " ".join(self._axis(name) for name in names) + "]</code>" if names else ""

    def _axis(self, name: str) -> str:
        plain = name.lstrip("*")
        if plain not in self.axes:
            return html.escape(name)
        return (
            html.escape(name[: len(name) - len(plain)])
            + f'<a class="axis" href="hooks.html#axis-{plain}">{plain}</a>'
        )

    def page(self, file: str) -> str:
        """One file as a page."""
        source = read(file)
        lines = self._linked_lines(file, source)
        parts = rows(source)
        at = self.files.index(file)
        where = f'<p class="where">{at + 1} of {len(self.files)} · {len(source.splitlines())} lines</p>'
        blocks = [
            "---\nhide-toc: true\n---\n",
            f"# {title(file)}\n",
            f'<div class="reading">\n{where}{_names(parts)}</div>\n',
        ]
        level = 2  # of classes and functions; one more below a section comment of the file
        lines_of_source = source.splitlines()
        anchors: set[str] = set()
        for row in parts:
            if row.kind == "section":
                within_class = lines_of_source[row.said[0] - 1].startswith(" ")
                blocks.append(f"{'#' * (level + 1 if within_class else 2)} {row.name}\n")
                level = level if within_class else 3
            elif row.kind in ("class", "function"):
                blocks.append(f"{'#' * level} `{row.name}`\n")
            blocks.append(self._row(file, row, lines, source, anchors))
        return "\n".join(blocks)

    def _row(self, file: str, row: Row, lines: list[str], source: str, anchors: set[str]) -> str:
        """A row as HTML around Markdown. The empty lines matter: they are where HTML ends and Markdown begins."""
        anchor = ""
        if row.kind in ("class", "function", "method") and row.name not in anchors:
            anchors.add(row.name)
            anchor = f' id="{row.name}"'
        name = f'<p class="name">{row.name.rpartition(".")[2]}</p>' if row.kind == "method" else ""
        says = [self._linked_text(file, row.text)]
        for equation in EQUATIONS.get(file, {}).get(row.name, "").split(r"\\"):
            says.append(equation and f"$$ {equation.strip()} $$")
        if entry := self.exercise_for(file, row.name):
            says.append(self._exercise(entry))
        says.append(self._shapes_of(file, row, source))
        said = f' data-said="{row.said[0]}-{row.said[-1]}"' if row.said else ""
        code = "".join(lines[number - 1] for number in _trimmed(row.code, source))
        code = f'<pre class="code">{code}</pre>' if code else ""
        text = "\n\n".join(filter(None, says))
        kind = " no-code" if not code else " no-text" if not (text or name) else ""
        return (
            f'<div class="row{kind}"{anchor}><div class="says"{said}>{name}\n\n{text}\n\n</div>'
            f'<div class="does highlight">\n\n{code}\n\n</div></div>\n'
        )

    def _exercise(self, entry: Entry) -> str:
        words, title = f"You build this in {entry.id}", html.escape(entry.title)
        if entry.chapter in self.chapters:
            address = f"../chapters/{entry.chapter.id}_{entry.chapter.slug}.html#exercise-{entry.id}"
            words = f'<a href="{address}">{words}</a>'
        card = f'<div class="builds">{words}: {title}'
        if self.solutions is None:
            return f"{card}</div>"
        text = (self.solutions / entry.chapter.solutions).read_text(encoding="utf-8")
        answer = sources.cell_text(text, entry.id, helpers=True)
        return f"{card}\n<details><summary>The course's answer</summary>\n\n```python\n{answer.strip()}\n```\n\n</details></div>"

    def _shapes_of(self, file: str, row: Row, source: str) -> str:
        """The hook points that a row's code names, each with its axes and its shape in the run."""
        lines = source.splitlines()
        code = "\n".join(lines[number - 1] for number in row.code)
        found: dict[str, list[str]] = {}  # what is shown -> the hook points that it holds for
        for name in dict.fromkeys(re.findall(r"\bhook_[a-z_]+\b", code)):
            made = [hook for hook in self.hooks if hook.name == name]
            if not made:
                continue
            hook = next((hook for hook in made if hook.file == file), made[0])
            run = [place for place in places() if place.name == name and self._is_about(file, place)]
            shown = " or ".join(dict.fromkeys(_sizes(hook.axes, place.shape, self._axis) for place in run))
            link = f'<a href="hooks.html#{name}">{name}</a>'
            found.setdefault(shown or f"{self._axes_html(hook.axes)} not in gpt2-demo", []).append(link)
        entries = "".join(f"<dt>{' '.join(links)}</dt><dd>{shown}</dd>" for shown, links in found.items())
        return f'<dl class="shapes">{entries}</dl>' if entries else ""

    def _linked_shape(self, shape: str) -> str:
        """[batch pos d_model], its axes as links."""
        return re.sub(r"[A-Za-z_]\w*", lambda word: self._axis(word[0]), shape)

    def _is_about(self, file: str, place: Place) -> bool:
        """Whether the hook point of gpt2-demo is the one that this file means: it made it, or makes none of that name."""
        return file in place.files or not any(hook.name == place.name for hook in hooks_of(file))

    # ---------------------------------------------------------------- links

    def _linked_text(self, file: str, text: str) -> str:
        """Names, hook points and shapes in backticks become links; fenced and indented code is left alone."""
        names = self.names(file)

        def link(match: re.Match) -> str:
            inner = match[1]
            if shape := SHAPE.search(inner):
                return f"<code>{html.escape(inner[: shape.start()])}{self._linked_shape(shape[0])}{html.escape(inner[shape.end() :])}</code>"
            if inner in names:
                return f'<a href="{names[inner]}"><code>{html.escape(inner)}</code></a>'
            hook = re.search(r"\bhook_[a-z_]+\b", inner)
            if hook and hook[0] in self.hook_names and "{" not in inner:
                return f'<a href="hooks.html#{hook[0]}"><code>{html.escape(inner)}</code></a>'
            return match[0]

        paragraphs = re.split(r"(\n\n(?:    .*\n?)+|```.*?```)", text, flags=re.S)
        paragraphs[::2] = [re.sub(r"(?<!`)`([^`\n]+)`(?!`)", link, part) for part in paragraphs[::2]]
        return "".join(paragraphs)

    def _linked_lines(self, file: str, source: str) -> list[str]:
        """The lines of a file as HTML, coloured, numbered and linked."""
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

        coloured = highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).split("\n")
        names = self.names(file)
        indents = [len(line) - len(line.lstrip()) for line in source.splitlines()]
        # The number is drawn by the style: whoever copies or searches the code does not get it. A line that has to be
        # broken goes on below its own beginning, for which the style needs the indent.
        return [
            f'<span class="line" id="L{number}" style="--indent:{indent}"><a class="number" href="#L{number}" '
            f'data-number="{number}" aria-label="line {number}"></a>{self._linked_code(line, names)}\n</span>'
            for number, (line, indent) in enumerate(zip(coloured, indents), 1)
        ]

    def _linked_code(self, line: str, names: Mapping[str, str]) -> str:
        def token(match: re.Match) -> str:
            kind, text = match[1], match[2]
            if kind.startswith(("s", "c")):
                return f'<span class="{kind}">{self._linked_string(text, kind)}</span>'
            address = names.get(text)
            if kind == "nn" and text.startswith("cleanlens.") and (target := _file_of(text)) in self.files:
                address = f"{page_name(target)}.html"
            if address is None and text in self.hook_names:
                address = f"hooks.html#{text}"
            if address is None or kind in ("nc", "nf", "fm", "k", "kn"):
                return match[0]
            return f'<a href="{address}"><span class="{kind}">{text}</span></a>'

        return re.sub(r'<span class="(\w+)">([^<]*)</span>', token, line)

    def _linked_string(self, text: str, kind: str) -> str:
        """Axes and hook points in a string or comment."""
        words = re.findall(r"[A-Za-z_]\w*", html.unescape(text))
        if kind.startswith("s") and words and all(word in self.axes or word in AXIS_LIKE for word in words):
            text = re.sub(r"[A-Za-z_]\w*(?!\w*;)", lambda word: self._axis(word[0]), text)
        elif kind.startswith("c"):
            text = SHAPE.sub(lambda shape: self._linked_shape(shape[0]), text)
        return re.sub(
            r"(?<![\w#\"])hook_[a-z_]+\b(?!\w*[\"<])",
            lambda hook: (
                f'<a href="hooks.html#{hook[0]}">{hook[0]}</a>' if hook[0] in self.hook_names else hook[0]
            ),
            text,
        )


SHAPE = re.compile(r"\[[\w *.,-]+\]")
AXIS_LIKE = ("batch_pos", "batch_and_pos", "head_of_keys", "n")  # words of a signature that stand among axes


def _trimmed(numbers: list[int], source: str) -> list[int]:
    """Without the empty lines at both ends."""
    lines = source.splitlines()
    full = [number for number in numbers if lines[number - 1].strip()]
    return [number for number in numbers if full and full[0] <= number <= full[-1]]


def _names(parts: list[Row]) -> str:
    """What a page defines, as links to it."""
    named = dict.fromkeys(
        (row.kind, row.name) for row in parts if row.kind in ("class", "function", "method")
    )
    public = [(kind, name) for kind, name in named if not name.rpartition(".")[2].startswith("_")]
    if len(public) < 4:
        return ""
    links = " ".join(
        f'<a class="{kind}" href="#{name}">{name.rpartition(".")[2]}</a>' for kind, name in public
    )
    return f'<details class="names"><summary>On this page</summary><p>{links}</p></details>'


def _anchor(name: str, there: set[str]) -> str:
    """What a link to this name leads to: the first time that the name is shown."""
    if name in there:
        return ""
    there.add(name)
    return f'<span id="{name}"></span>'


def _shape(shape: Iterable[int]) -> str:
    return "`[" + ", ".join(map(str, shape)) + "]`"


def _sizes(axes: tuple[str, ...], shape: tuple[int, ...], axis: Callable[[str], str]) -> str:
    """Each axis with its size; sizes alone when the file does not name the axes."""
    if len(axes) != len(shape):
        return f"<span>{' × '.join(map(str, shape))}</span>"
    # An axis of width one is written as 1.
    pairs = [f"{axis(name)} {size}" if name != str(size) else name for name, size in zip(axes, shape)]
    return f"<span>{' · '.join(pairs)}</span>"


def _toctree(names: Iterable[str]) -> str:
    return "```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"


@cache
def _defined(source: str) -> tuple[str, ...]:
    """The classes and functions at the top level of a file."""
    return tuple(node.name for node in ast.parse(source).body if isinstance(node, sources.DEFINITIONS))


@cache
def _imported(file: str) -> tuple[tuple[str, str], ...]:
    """(module, name) of everything that a file imports from this package."""
    tree = ast.parse(read(file))
    here = ["cleanlens", *posixpath.dirname(file).split("/")] if "/" in file else ["cleanlens"]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            if module.startswith("cleanlens"):
                found += [(module, name.asname or name.name) for name in node.names]
    return tuple(found)


def _file_of(module: str) -> str:
    """cleanlens.components.attention -> components/attention.py; "" when there is none."""
    path = module.removeprefix("cleanlens").strip(".").replace(".", "/")
    for file in (f"{path}.py", f"{path}/__init__.py".lstrip("/")):
        if (PACKAGE / file).is_file():
            return file
    return ""
