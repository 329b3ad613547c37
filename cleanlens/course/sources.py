"""Reading and rewriting the text of answers: where a name is defined, whether it is still a stub, filling it in.

Everything works on the text and its syntax tree; nothing is run. Torch-free.
"""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .text import lines_of

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
ID = r"\w+\.\d+"  # 00.1, pre.1
MARKER = re.compile(rf"^\s*# exercise ({ID})\s*$")
SOLUTION_ONLY = re.compile(r"^\s*# solution only\s*$")


@dataclass(frozen=True)
class Found:
    """Where a name is bound, and whether anything was written there."""

    line: int
    attempted: bool


def find(tree: ast.Module, name: str) -> Found | None:
    """The binding of `name` (`encode`, `LayerNorm.forward`) that counts: the last one at the top level.

    A class may be continued (`class A(A): ...`), so a method is looked for in every class of that name, the
    last one first. A name bound by an assignment or an import counts as attempted.
    """
    owner, _, method = name.partition(".")
    bindings = [node for node in _top_level(tree.body) if owner in _bound_names(node)]
    for node in reversed(bindings):
        if not isinstance(node, DEFINITIONS):
            return Found(node.lineno, True)
        if not method:
            return Found(node.lineno, not is_stub(node))
        if isinstance(node, ast.ClassDef):
            inside = [n for n in _top_level(node.body) if method in _bound_names(n)]
            if inside:
                last = inside[-1]
                return Found(last.lineno, not (isinstance(last, DEFINITIONS) and is_stub(last)))
        else:
            return Found(node.lineno, True)
    return None


def is_stub(node: Definition) -> bool:
    """True when the body, docstring aside, is nothing but `raise NotImplementedError`, `...` or `pass`."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if isinstance(node, ast.ClassDef):
        parts = [n for n in body if isinstance(n, ast.FunctionDef)]
        return all(is_stub(n) if n in parts else _says_nothing(n) for n in body)
    return all(map(_says_nothing, body))


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise) and node.exc is not None:
        exc = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(exc, ast.Name) and exc.id == "NotImplementedError"
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
    )


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, those under `if`, `try` and `with` included, in the order of the text.

    A stack instead of recursion: each `elif` is one level deeper than the one before it.
    """
    stack: list[ast.AST] = [*body[::-1]]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, DEFINITIONS):
            parts = ("body", "cases", "handlers", "orelse", "finalbody")
            inside = [
                inner for part in parts for inner in getattr(node, part, []) if isinstance(inner, ast.AST)
            ]
            stack += inside[::-1]


def _bound_names(node: ast.stmt) -> set[str]:
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if node.value else []
        return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return set()


def first_line(node: Definition) -> int:
    """The line on which a definition starts, its decorators included."""
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def definition(tree: ast.Module, name: str) -> Definition:
    """The last definition of a function, class or method. Raises KeyError when there is none."""
    owner, _, method = name.partition(".")
    for node in reversed(tree.body):
        if isinstance(node, DEFINITIONS) and node.name == owner:
            if not method:
                return node
            for inner in reversed(node.body):
                if isinstance(inner, DEFINITIONS) and inner.name == method:
                    return inner
    raise KeyError(f"no definition of {name}; write one, with `# exercise ID` on the line above it")


def statement(stubs: str, names: Iterable[str]) -> str:
    """Signatures and docstrings of some stubs, a method without its class."""
    tree, lines, pieces = ast.parse(stubs), lines_of(stubs), []
    for name in names:
        node, (owner, _, method) = definition(tree, name), name.partition(".")
        text = textwrap.dedent("\n".join(lines[first_line(node) - 1 : node.end_lineno]))
        asked = "\n".join(line for line in lines_of(text) if "raise NotImplementedError" not in line)
        pieces.append((f"# a method of {owner}\n" if method else "") + asked.rstrip())
    return "\n\n\n".join(pieces)


def marked(text: str) -> dict[str, list[tuple[str, Definition]]]:
    """The definitions marked `# exercise 00.1`: id -> (name, node) in the order of the file."""
    lines, found = lines_of(text), dict[str, list[tuple[str, Definition]]]()
    for name, node in _all_definitions(ast.parse(text)):
        above = lines[first_line(node) - 2] if first_line(node) >= 2 else ""
        if match := MARKER.match(above):
            found.setdefault(match[1], []).append((name, node))
    return found


def _all_definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    for node in tree.body:
        if isinstance(node, DEFINITIONS):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from ((f"{node.name}.{n.name}", n) for n in node.body if isinstance(n, DEFINITIONS))


def make_stubs(text: str) -> str:
    """The learner's file from a solutions file: marked bodies emptied, `# solution only` definitions removed."""
    lines = lines_of(text)
    cut: list[tuple[int, int, list[str]]] = []  # first line, last line (1-based, both included), replacement
    for id, definitions in marked(text).items():
        for _, node in definitions:
            documented = ast.get_docstring(node, clean=False) is not None
            start = (node.body[0].end_lineno or 0) + 1 if documented else node.body[0].lineno
            indent = " " * node.body[0].col_offset
            cut.append((start, node.end_lineno or start, [f'{indent}raise NotImplementedError("{id}")']))
    for _, node in _all_definitions(ast.parse(text)):
        start = first_line(node)
        if start >= 2 and SOLUTION_ONLY.match(lines[start - 2]):
            end = node.end_lineno or start
            while end < len(lines) and not lines[end].strip():
                end += 1
            cut.append((start - 1, end, []))
    for start, end, new in sorted(cut, reverse=True, key=lambda c: c[:2]):
        lines[start - 1 : end] = new
    return "\n".join(lines).rstrip() + "\n"


def helpers_of(text: str, id: str) -> str:
    """The `# solution only` definitions that an exercise's solution uses, directly or through one another."""
    lines, tree = lines_of(text), ast.parse(text)
    helpers = {
        node.name: node
        for node in tree.body
        if isinstance(node, DEFINITIONS) and SOLUTION_ONLY.match(lines[max(first_line(node) - 2, 0)])
    }
    todo: list[ast.AST] = [node for _, node in marked(text)[id]]
    used: dict[str, str] = {}
    while todo:
        for name in {
            n.id for n in ast.walk(todo.pop()) if isinstance(n, ast.Name)
        } & helpers.keys() - used.keys():
            used[name] = _text(lines, helpers[name])
            todo.append(helpers[name])
    return "\n\n\n".join(used[name] for name in helpers if name in used)


def cell_text(stubs: str, id: str, helpers: bool = False) -> str:
    """The notebook's cell for an exercise: its definitions, without the marker lines.

    For methods it is the class with its given code and this exercise's stubs the first time, and afterwards
    `class A(A):` with this exercise's methods only, which adds them to the class of the earlier cell.
    """
    everything, lines, seen, parts = marked(stubs), lines_of(stubs), set[str](), list[str]()
    if helpers and (lent := helpers_of(stubs, id)):
        parts.append(lent)
    owners = {name.partition(".")[0] for name, _ in everything[id] if "." in name}
    earlier = {
        n.partition(".")[0]
        for other in everything
        if _number(other) < _number(id)
        for n, _ in everything[other]
    }
    for name, node in everything[id]:
        owner, _, method = name.partition(".")
        if not method:
            parts.append(_text(lines, node))
        elif owner in owners and owner not in seen:
            seen.add(owner)
            of_class = definition(ast.parse(stubs), owner)
            mine = [n for n, _ in everything[id]]
            others = [n for ns in everything.values() for n, _ in ns if n not in mine]
            if owner in earlier:
                methods = [_text(lines, n) for full, n in everything[id] if full.startswith(owner + ".")]
                head = f"class {owner}({owner}):  # adds to the class above"
                parts.append(head + "\n" + "\n\n".join(methods))
            else:
                parts.append(
                    _class_without(lines, of_class, {n for n in others if n.startswith(owner + ".")})
                )
    return "\n\n\n".join(parts)


def _number(id: str) -> int:
    """Which of its chapter's exercises it is."""
    return int(id.rpartition(".")[2])


def _text(lines: list[str], node: Definition) -> str:
    return "\n".join(lines[first_line(node) - 1 : node.end_lineno])


def _class_without(lines: list[str], node: Definition, names: set[str]) -> str:
    drop: set[int] = set()
    for inner in node.body:
        if isinstance(inner, DEFINITIONS) and f"{node.name}.{inner.name}" in names:
            drop.update(range(first_line(inner) - 1, (inner.end_lineno or 0) + 1))
    kept = [lines[i - 1] for i in range(first_line(node), (node.end_lineno or 0) + 1) if i not in drop]
    text = "\n".join(line for line in kept if not MARKER.match(line))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip()


def fill(text: str, name: str, source: str) -> str:
    """`text` with the definition of `name` replaced by `source` (its own text, not indented).

    Decorators stay, unless `source` brings its own. A class as source replaces a method's whole class.
    """
    node = definition(ast.parse(text), name.partition(".")[0] if source.startswith("class ") else name)
    lines = lines_of(text)
    indent = " " * node.col_offset
    new = [indent + line if line.strip() else line for line in lines_of(source.rstrip("\n"))]
    start = first_line(node) if source.startswith(("@", "class ")) else node.lineno
    lines[start - 1 : node.end_lineno] = new
    return "\n".join(lines) + "\n"
