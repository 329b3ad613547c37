"""The asking half of exercises: what a learner's process needs to call an answer, and not a line more. Torch-free.

`questions` cuts it out of the checks' own files, as text: the inputs, the call step, and what these two use. Oracles,
measures, right answers, mistakes and hints are left out, so they are never in the learner's process, in whatever
corner of its memory somebody looks. `ask` brings the text to life there.

An answer that calls an earlier exercise's may be judged with a right version of that one: then this one right answer
is cut out as well (`lend`), and `lent` brings it to life.
"""

import ast
import sys
import types
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from . import catalog

if TYPE_CHECKING:
    from .exercise import Exercise

KEPT = ("inputs", "call")
ANSWERS = (ast.FunctionDef, ast.ClassDef)
TOLD = ("title", "objective", "source", "why", "hints")  # texts for people


def questions(chapter_id: str, ids: Iterable[str], lend: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The modules that the child runs, in an order in which each finds what it imports.

    `lend` are ids of other exercises: of these, the first right answer to each name and what that uses.
    """
    chosen, lending, trees = set(ids), set(lend) - set(ids), _trees(chapter_id)
    wanted: dict[str, set[str]] = {}
    rights: dict[str, dict[str, str]] = {}
    for name, tree in trees.items():
        if (id := _exercise_id(tree)) in chosen:
            wanted[name] = {"ex"}
        elif id in lending:
            rights[name] = _first_right(tree)
            wanted[name] = set(rights[name].values())
            _make_plain(tree)
    made = []
    for name, body in _cut_out(trees, wanted):
        module = f"cleanlens.course.chapters.ch{chapter_id}.{name}"
        file = str(catalog.FOLDER / f"ch{chapter_id}" / f"{name}.py")
        made.append({"module": module, "file": file, "text": _text(body), "rights": rights.get(name, {})})
    return made


def excerpt(module: str, names: Iterable[str]) -> str:
    """What a right or wrong answer in a check's file uses of it (`names`), as text that needs no file of the checks."""
    *_, chapter, file = module.split(".")
    trees = _trees(chapter.removeprefix("ch"))
    _make_plain(trees[file])
    kept = list[ast.stmt]()
    for _, body in _cut_out(trees, {file: set(names)}):
        for node in body:
            if isinstance(node, ast.ImportFrom) and node.level:
                if node.level == 1:
                    continue  # it is above
                parents = module.split(".")[: -node.level]
                node.module, node.level = ".".join([*parents, node.module or ""]).rstrip("."), 0
            kept.append(node)
    return _text(kept)


def _trees(chapter_id: str) -> dict[str, ast.Module]:
    """The files of a chapter's checks."""
    files = sorted((catalog.FOLDER / f"ch{chapter_id}").glob("*.py"))
    return {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in files}


def _cut_out(
    trees: dict[str, ast.Module], wanted: dict[str, set[str]]
) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Of each file what is wanted and what that uses, also of other files, in the order of importing."""
    before = -1
    while before != (before := sum(map(len, wanted.values()))):  # until nothing more is asked for
        for name in list(wanted):
            _, imported = _reduced(trees[name], wanted[name])
            for other, names in imported.items():
                wanted.setdefault(other, set()).update(names)
    for name in _in_order(trees, wanted):
        yield name, _reduced(trees[name], wanted[name])[0]


def _text(body: list[ast.stmt]) -> str:
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))


def _first_right(tree: ast.Module) -> dict[str, str]:
    """The name that a learner defines -> the name of the first alternative to it."""
    call = _exercise(tree)
    names = call.args[1:] if call else []
    first: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ANSWERS) and _registers(node.decorator_list) == "alternative":
            of = [k.value for d in node.decorator_list if isinstance(d, ast.Call) for k in d.keywords]
            first.setdefault(ast.literal_eval((of or names)[0]), node.name)
    return first


def _make_plain(tree: ast.Module) -> None:
    """Right and wrong answers become ordinary definitions of their file, kept where they are wanted."""
    for node in tree.body:
        if isinstance(node, ANSWERS) and _registers(node.decorator_list) in ("alternative", "mistake"):
            node.decorator_list = []


def _exercise(tree: ast.Module) -> ast.Call | None:
    """The call in `ex = exercise("01.5", "attention_pattern", ...)`."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name("ex")], value=ast.Call(args=[ast.Constant(str()), *_]) as call):
                return call
    return None


def _exercise_id(tree: ast.Module) -> str:
    call = _exercise(tree)
    return str(ast.literal_eval(call.args[0])) if call else ""


def _reduced(tree: ast.Module, names: set[str]) -> tuple[list[ast.stmt], dict[str, set[str]]]:
    """The statements that `names` need, and what these import from the chapter's other files."""
    needed, kept = set(names), list[ast.stmt]()
    while True:
        found = [node for node in tree.body if _is_needed(node, needed)]
        if len(found) == len(kept):
            break
        kept = found
        needed |= {n.id for node in kept for n in ast.walk(node) if isinstance(n, ast.Name)}
    body, imported = list[ast.stmt](), dict[str, set[str]]()
    for node in kept:
        if isinstance(node, ast.ImportFrom | ast.Import):
            aliases = [a for a in node.names if _bound(a) in needed]
            if isinstance(node, ast.ImportFrom):
                node = ast.ImportFrom(node.module, aliases, node.level)
                if node.level == 1 and node.module:
                    imported.setdefault(node.module, set()).update(a.name for a in aliases)
            else:
                node = ast.Import(aliases)
        body.append(_untold(node))
    return body, imported


def _is_needed(node: ast.stmt, needed: set[str]) -> bool:
    match node:
        case ast.FunctionDef() if (registered := _registers(node.decorator_list)) is not None:
            return registered in KEPT and "ex" in needed
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name in needed
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return any(_bound(alias) in needed for alias in aliases)
        case ast.Assign() | ast.AnnAssign():
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return any(isinstance(n, ast.Name) and n.id in needed for t in targets for n in ast.walk(t))
        case ast.Expr(value=ast.Constant()):
            return False
        case ast.Expr(value=call) if (registered := _registers([call])) is not None:
            return registered in KEPT and "ex" in needed
    return True  # something that only has an effect


def _registers(nodes: Iterable[ast.expr]) -> str | None:
    """`oracle` for `@ex.oracle`, `mistake` for `@ex.mistake(...)`, `slip` for `ex.slip(...)`."""
    for node in nodes:
        while isinstance(node, ast.Call):
            node = node.func
        match node:
            case ast.Attribute(ast.Name("ex"), name):
                return name
    return None


def _bound(alias: ast.alias) -> str:
    return (alias.asname or alias.name).partition(".")[0]


def _untold(node: ast.stmt) -> ast.stmt:
    """`ex = exercise(...)` without its texts."""
    match node:
        case ast.Assign(targets=[ast.Name("ex")], value=ast.Call() as call):
            keywords = [ast.keyword(k.arg, ast.Constant("")) if k.arg in TOLD else k for k in call.keywords]
            return ast.Assign(node.targets, ast.Call(call.func, call.args, keywords))
    return node


def _in_order(trees: dict[str, ast.Module], wanted: dict[str, set[str]]) -> Iterator[str]:
    done: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name not in done:
            done.add(name)
            for other in _reduced(trees[name], wanted[name])[1]:
                yield from visit(other)
            yield name

    for name in wanted:
        yield from visit(name)


def ask(made: list[dict[str, Any]]) -> "dict[str, Exercise]":
    """Run the questions; the exercises by id. In the learner's process."""
    found: dict[str, Any] = {}
    for question in made:
        *parents, _ = question["module"].split(".")
        for depth in (3, 4):  # cleanlens.course.chapters, and the chapter: their files are not looked at
            package = ".".join(parents[:depth])
            if not hasattr(sys.modules.get(package), "__path__"):
                made_up = types.ModuleType(package)
                made_up.__path__ = []
                sys.modules[package] = made_up
        module = types.ModuleType(question["module"])
        module.__file__, module.__package__ = question["file"], ".".join(parents)
        sys.modules[question["module"]] = module
        exec(compile(question["text"], question["file"], "exec"), module.__dict__)
        if (ex := getattr(module, "ex", None)) is not None:
            found[ex.id] = ex
    return found


def lent(made: list[dict[str, Any]]) -> dict[str, Any]:
    """The right answers that the questions bring along, by the names they are to have; after `ask`."""
    return {
        name: vars(sys.modules[question["module"]])[right]
        for question in made
        for name, right in question["rights"].items()
    }
