"""How a right answer is made wrong: every operator changes one place of a program in one way.

An operator looks at one node of the syntax tree and gives what could stand there instead. `mutants(source)` applies
each of them everywhere in a function's body and returns the programs that come of it. The first half are the usual
operators of mutation testing (DeMillo, Lipton and Sayward 1978; those of mutmut and cosmic-ray), the second half are
slips of this field: axes, transposes, einsum letters, in-place edits, late binding, what stays between two calls.

A new operator is a function here, with `@operator`; nothing else needs to know of it.
"""

import ast
import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

Operator = Callable[[ast.AST], Iterator[ast.AST]]
OPERATORS: dict[str, Operator] = {}


def operator(function: Operator) -> Operator:
    OPERATORS[function.__name__.replace("_", " ").strip()] = function
    return function


@dataclass(frozen=True)
class Mutant:
    """A program that differs from `original` in one place; both as `ast.unparse` writes them."""

    operator: str
    original: str
    source: str

    @property
    def change(self) -> tuple[str, str]:
        """The lines that differ, before and after, with their white space made even."""
        old, new = self.original.splitlines(), self.source.splitlines()
        start = len(list(itertools.takewhile(_are_equal, zip(old, new))))
        shorter = min(len(old), len(new)) - start
        end = len(list(itertools.takewhile(lambda i: old[-1 - i] == new[-1 - i], range(shorter))))
        if len(old) - end == start:  # a line was added: the one above it says where
            start -= 1
        return even("\n".join(old[start : len(old) - end])), even("\n".join(new[start : len(new) - end]))


def _are_equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


def even(text: str) -> str:
    return " ".join(text.split())


def mutants(source: str, only: frozenset[str] | None = None) -> list[Mutant]:
    """Every program that an operator makes of `source`, each once.

    `source` holds definitions. Their bodies are changed, never their signatures, decorators or docstrings. With `only`
    just the functions and methods of these names (`encode`, `LayerNorm.forward`) are.
    """
    tree = _parse(source)
    original = ast.unparse(tree)
    seen, found = {ast.dump(tree)}, list[Mutant]()
    for path in _places(tree, only):
        for name, function in OPERATORS.items():
            for replacement in function(_at(tree, path)):
                changed = ast.parse(source)
                _put(changed, path, replacement)
                ast.fix_missing_locations(changed)
                try:
                    text = ast.unparse(changed)
                    shape = ast.dump(ast.parse(text))
                except (SyntaxError, ValueError):
                    continue
                if shape not in seen:
                    seen.add(shape)
                    found.append(Mutant(name, original, text))
    return found


# ---- walking the tree: a path is the fields and indices that lead to a node ----------------------------

Path = tuple[tuple[str, int | None], ...]


def _places(tree: ast.Module, only: frozenset[str] | None) -> Iterator[Path]:
    for i, node in enumerate(tree.body):
        here = (("body", i),)
        if isinstance(node, ast.ClassDef) and (only is None or node.name not in only):
            for j, method in enumerate(node.body):
                if isinstance(method, ast.FunctionDef) and (
                    only is None or f"{node.name}.{method.name}" in only
                ):
                    yield from _inside(method, (*here, ("body", j)))
        elif isinstance(node, ast.ClassDef):
            for j, method in enumerate(node.body):
                yield from _inside(method, (*here, ("body", j)))
        elif isinstance(node, ast.FunctionDef) and (only is None or node.name in only):
            yield from _inside(node, here)


def _inside(node: ast.AST, path: Path) -> Iterator[Path]:
    """The places under a node. A function's own place is given too, for what is done to its defaults or its whole."""
    is_function = isinstance(node, ast.FunctionDef)
    yield path
    for field, value in ast.iter_fields(node):
        if is_function and field != "body":
            continue
        if field in ("annotation", "ctx"):
            continue
        if isinstance(value, ast.AST) and field != "target":
            yield from _inside(value, (*path, (field, None)))
        elif isinstance(value, list):
            for i, item in enumerate(value):
                documents = i == 0 and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
                assigned = field == "targets" and isinstance(item, ast.Name)
                if isinstance(item, ast.AST) and not documents and not assigned:
                    yield from _inside(item, (*path, (field, i)))


def _at(node: ast.AST, path: Path) -> ast.AST:
    for field, i in path:
        node = getattr(node, field) if i is None else getattr(node, field)[i]
    return node


def _put(tree: ast.AST, path: Path, new: ast.AST) -> None:
    """Set a place; a statement may be replaced by several (given as a Module)."""
    parent, (field, i) = _at(tree, path[:-1]), path[-1]
    if i is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[i : i + 1] = new.body if isinstance(new, ast.Module) else [new]


def _parse(source: str) -> ast.Module:
    """The tree, in which a name that may hold somebody else's object (an argument, a view of one) says `borrowed`."""
    tree = ast.parse(source)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.Lambda):
            borrowed = {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
            for node in ast.walk(function):
                match node:
                    case ast.Assign(targets, value) if not _makes_new(value):
                        names = [n for target in targets for n in ast.walk(target)]
                        borrowed |= {n.id for n in names if isinstance(n, ast.Name)}
            for node in ast.walk(function):
                if isinstance(node, ast.Name) and node.id in borrowed:
                    node.borrowed = True  # type: ignore[attr-defined]
    return tree


VIEWS = {
    "transpose",
    "permute",
    "view",
    "reshape",
    "rearrange",
    "squeeze",
    "unsqueeze",
    "expand",
    "flatten",
    "get",
    "to",
}


def _makes_new(value: ast.expr) -> bool:
    return isinstance(value, ast.BinOp) or (isinstance(value, ast.Call) and _function_of(value) not in VIEWS)


def _borrowed(node: ast.AST) -> bool:
    """Whether an in-place change of this value could be seen from outside."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return getattr(node, "borrowed", False)


# ---- building blocks ------------------------------------------------------------------------------------

MODULES = {
    "torch",
    "F",
    "nn",
    "math",
    "np",
    "numpy",
    "functional",
    "einops",
    "functools",
    "itertools",
    "random",
}


def _name(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _call(value: ast.expr, method: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(value, method, ast.Load()), list(args), [])


def _function_of(node: ast.AST) -> str:
    """The last name of what is called: `sum` for `x.sum(...)`, `torch.sum(...)` and `sum(...)`."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_module(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in MODULES


def _with(node: ast.AST, **fields: object) -> ast.AST:
    made = copy.copy(node)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def _int(node: ast.AST | None) -> int | None:
    """The value of an integer literal, also of a negative one."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _int(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None


# ---- the usual operators --------------------------------------------------------------------------------

COMPARISONS: dict[type, list[type]] = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.GtE],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.LtE],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}


@operator
def comparison(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                yield _with(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


@operator
def none_by_truth(node: ast.AST) -> Iterator[ast.AST]:
    """`x is not None` as `x`: 0, False and an empty list are then None, too."""
    match node:
        case ast.Compare(left, [ast.IsNot()], [ast.Constant(None)]):
            yield left
        case ast.Compare(left, [ast.Is()], [ast.Constant(None)]):
            yield ast.UnaryOp(ast.Not(), left)


ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@operator
def arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield _with(node, op=ARITHMETIC[type(node.op)]())


@operator
def operand_left_out(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp):
        yield node.left
        yield node.right


@operator
def operands_swapped(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(
        node.op, ast.Sub | ast.Div | ast.MatMult | ast.Mod | ast.Pow | ast.FloorDiv
    ):
        yield _with(node, left=node.right, right=node.left)


@operator
def sign_or_not_left_out(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.UnaryOp) and _int(node) is None:
        yield node.operand


@operator
def and_or(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for i in range(len(node.values)):
            rest = node.values[:i] + node.values[i + 1 :]
            yield rest[0] if len(rest) == 1 else _with(node, values=rest)


@operator
def constant(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, int | float):
            yield ast.Constant(node.value + 1)
            yield ast.Constant(node.value - 1)


@operator
def slice_bounds(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Slice):
        for field in ("lower", "upper", "step"):
            if getattr(node, field) is not None:
                yield _with(node, **{field: None})
        for field in ("lower", "upper"):
            bound = getattr(node, field)
            if bound is not None and _int(bound) is None:
                yield _with(node, **{field: ast.BinOp(bound, ast.Add(), ast.Constant(1))})
                yield _with(node, **{field: ast.BinOp(bound, ast.Sub(), ast.Constant(1))})


@operator
def range_bounds(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call) and _function_of(node) in ("range", "arange"):
        if len(node.args) == 1:
            yield _with(node, args=[ast.Constant(1), *node.args])
        stop = 0 if len(node.args) == 1 else 1
        if len(node.args) <= stop:
            return
        for op in (ast.Add(), ast.Sub()):
            bound = ast.BinOp(node.args[stop], op, ast.Constant(1))
            yield _with(node, args=[*node.args[:stop], bound, *node.args[stop + 1 :]])


@operator
def condition(node: ast.AST) -> Iterator[ast.AST]:
    """Negated, always, never."""
    if isinstance(node, ast.If | ast.IfExp):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
        if isinstance(node, ast.IfExp):
            yield node.body
            yield node.orelse
        else:
            yield ast.Module(node.body, [])
            yield ast.Module(node.orelse or [ast.Pass()], [])
    elif isinstance(node, ast.While):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.comprehension):
        for i in range(len(node.ifs)):
            yield _with(node, ifs=node.ifs[:i] + node.ifs[i + 1 :])


DROPPED = (
    ast.Expr,
    ast.Assign,
    ast.AugAssign,
    ast.For,
    ast.While,
    ast.Raise,
    ast.Assert,
    ast.Continue,
    ast.Break,
)


@operator
def statement_dropped(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, DROPPED):
        yield ast.Pass()
    elif isinstance(node, ast.With):
        yield ast.Module(node.body, [])


@operator
def decorator_dropped(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.FunctionDef):
        for i, decorator in enumerate(node.decorator_list):
            if "no_grad" in ast.unparse(decorator):
                yield _with(node, decorator_list=node.decorator_list[:i] + node.decorator_list[i + 1 :])


@operator
def argument_dropped(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg and keyword.arg != "device":  # one device is all that a check can count on
                yield _with(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])
        if len(node.args) > 1 and not isinstance(node.args[-1], ast.Starred):
            yield _with(node, args=node.args[:-1])


SYMMETRIC = {
    "transpose",
    "swapaxes",
    "max",
    "min",
    "maximum",
    "minimum",
    "isclose",
    "allclose",
    "equal",
    "dot",
    "gcd",
}


@operator
def arguments_swapped(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call) and len(node.args) >= 2 and _function_of(node) not in SYMMETRIC:
        first, second, *rest = node.args
        if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
            yield _with(node, args=[second, first, *rest])


@operator
def call_left_out(node: ast.AST) -> Iterator[ast.AST]:
    """`f(x)` and `x.f()` as `x`: with it clone, detach, copy, sqrt, abs, softmax, contiguous, sorted."""
    if not isinstance(node, ast.Call):
        return
    if isinstance(node.func, ast.Attribute) and not _is_module(node.func.value):
        if node.func.attr not in ("append", "extend", "add", "update", "items", "keys", "values", "add_hook"):
            yield node.func.value
    elif node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]


@operator
def try_without_its_rest(node: ast.AST) -> Iterator[ast.AST]:
    """`finally` that an exception skips, and one that only an Exception reaches (Ctrl-C is none)."""
    if isinstance(node, ast.Try) and node.finalbody:
        yield ast.Module([*node.body, *node.finalbody], [])
        yield ast.Module(node.body, [])
        again = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [*node.finalbody, ast.Raise()])
        yield ast.Try(node.body, [*node.handlers, again], node.finalbody, [])
    elif isinstance(node, ast.Try):
        yield ast.Module(node.body, [])


# ---- slips of this field --------------------------------------------------------------------------------

PAIRS = [
    ("sum", "mean"),
    ("sum", "prod"),
    ("mean", "median"),
    ("max", "min"),
    ("amax", "amin"),
    ("maximum", "minimum"),
    ("argmax", "argmin"),
    ("cummax", "cummin"),
    ("any", "all"),
    ("floor", "ceil"),
    ("triu", "tril"),
    ("softmax", "log_softmax"),
    ("exp", "expm1"),
    ("log", "log2"),
    ("std", "var"),
    ("ones", "zeros"),
    ("ones_like", "zeros_like"),
    ("cat", "stack"),
    ("eigvals", "eigvalsh"),
    ("relu", "abs"),
    ("append", "insert"),
]


@operator
def another_function(node: ast.AST) -> Iterator[ast.AST]:
    name = _function_of(node)
    if isinstance(node, ast.Call) and name:
        for one, other in PAIRS:
            if name in (one, other):
                new = other if name == one else one
                if isinstance(node.func, ast.Attribute):
                    yield _with(node, func=ast.Attribute(node.func.value, new, ast.Load()))
                elif new in ("max", "min", "any", "all"):
                    yield _with(node, func=ast.Name(new, ast.Load()))


@operator
def another_axis(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.keyword) and node.arg in ("dim", "axis"):
        value = _int(node.value)
        if value is not None:
            for other in (0, 1, -1, -2):
                if other != value:
                    yield ast.keyword(node.arg, _name(str(other)))
        elif isinstance(node.value, ast.Tuple):
            for i in range(len(node.value.elts)):
                rest = node.value.elts[:i] + node.value.elts[i + 1 :]
                yield ast.keyword(node.arg, ast.Tuple(rest, ast.Load()))


REDUCTIONS = {
    "sum",
    "mean",
    "amax",
    "amin",
    "norm",
    "var",
    "std",
    "all",
    "any",
    "argmax",
    "argmin",
    "logsumexp",
}


@operator
def keepdim_added(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call) and _function_of(node) in REDUCTIONS:
        given = {keyword.arg for keyword in node.keywords}
        if "keepdim" not in given and ("dim" in given or any(_int(arg) is not None for arg in node.args)):
            yield _with(node, keywords=[*node.keywords, ast.keyword("keepdim", ast.Constant(True))])


@operator
def transposed(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT", "H", "mH"):
        yield node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("transpose", "permute", "swapaxes", "movedim", "t"):
            shape = ast.Attribute(node, "shape", ast.Load())
            yield _call(node.func.value, "reshape", shape)  # the right shape, the wrong numbers
        if node.func.attr == "permute" and len(node.args) > 2:
            for i in range(1, len(node.args) - 1):
                args = list(node.args)
                args[i], args[i + 1] = args[i + 1], args[i]
                yield _with(node, args=args)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        for side in ("left", "right"):
            yield _with(node, **{side: ast.Attribute(getattr(node, side), "mT", ast.Load())})


@operator
def einsum_letters(node: ast.AST) -> Iterator[ast.AST]:
    """Two neighbouring letters swapped, or one of the result's left out; in einsum, rearrange, reduce, repeat."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str) and "->" in node.value):
        return
    inputs, _, output = node.value.partition("->")
    parts = [*inputs.split(","), output]
    spaced = " " in node.value.strip()

    def text(parts: list[str]) -> ast.Constant:
        return ast.Constant(
            ", ".join(parts[:-1]) + " -> " + parts[-1] if spaced else ",".join(parts[:-1]) + "->" + parts[-1]
        )

    for i, part in enumerate(parts):
        letters = part.split() if spaced else list(part.strip())
        joint = " " if spaced else ""
        rest = [p.strip() for p in parts]
        for j in range(len(letters) - 1):
            swapped = [*letters[:j], letters[j + 1], letters[j], *letters[j + 2 :]]
            yield text([*rest[:i], joint.join(swapped), *rest[i + 1 :]])
        if i == len(parts) - 1:
            for j in range(len(letters)):
                yield text([*rest[:i], joint.join(letters[:j] + letters[j + 1 :])])


@operator
def ascending_descending(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call):
        given = {keyword.arg for keyword in node.keywords}
        for names, keyword, value in (
            (("sort", "argsort"), "descending", True),
            (("sorted",), "reverse", True),
            (("topk",), "largest", False),
        ):
            if _function_of(node) in names and keyword not in given and "reverse" not in given:
                yield _with(node, keywords=[*node.keywords, ast.keyword(keyword, ast.Constant(value))])


IN_PLACE = {
    "masked_fill",
    "add",
    "sub",
    "mul",
    "div",
    "clamp",
    "exp",
    "relu",
    "tril",
    "triu",
    "index_fill",
    "scatter",
}


@operator
def in_place(node: ast.AST) -> Iterator[ast.AST]:
    """`x = x + y` as `x += y`, `x.masked_fill(...)` as `x.masked_fill_(...)`."""
    match node:
        case ast.Assign([ast.Name(target)], ast.BinOp(ast.Name(left) as old, op, right)) if (
            target == left and _borrowed(old)
        ):
            yield ast.AugAssign(ast.Name(target, ast.Store()), op, right)
        case ast.Call(ast.Attribute(value, name), args, keywords) if name in IN_PLACE and _borrowed(value):
            yield ast.Call(ast.Attribute(value, name + "_", ast.Load()), args, keywords)
        case ast.Return(ast.BinOp(ast.Name(left) as old, op, right)) if _borrowed(old):
            change = ast.AugAssign(ast.Name(left, ast.Store()), op, right)
            yield ast.Module([change, ast.Return(ast.Name(left, ast.Load()))], [])


DTYPES = {
    "float32": ["float16", "float64"],
    "float": ["float16", "float64"],
    "float64": ["float32"],
    "double": ["float32"],
    "long": ["int32", "float32"],
    "int64": ["int32", "float32"],
    "bool": ["int64"],
}


@operator
def another_dtype(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
        for other in DTYPES.get(node.attr, []):
            yield ast.Attribute(node.value, other, ast.Load())


@operator
def half_precision(node: ast.AST) -> Iterator[ast.AST]:
    """The result rounded to float16 on its way."""
    for value, back in _returned(node):
        yield back(_call(_call(value, "half"), "float"))


@operator
def double_precision(node: ast.AST) -> Iterator[ast.AST]:
    for value, back in _returned(node):
        yield back(_call(value, "double"))


@operator
def bare_squeeze(node: ast.AST) -> Iterator[ast.AST]:
    for value, back in _returned(node):
        yield back(_call(value, "squeeze"))


@operator
def first_row_for_all(node: ast.AST) -> Iterator[ast.AST]:
    for value, back in _returned(node):
        first = ast.Subscript(value, ast.Slice(None, ast.Constant(1)), ast.Load())
        yield back(_call(first, "expand_as", value))
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Name)
        and node.slice.id in ("b", "i", "row")
    ):
        yield _with(node, slice=ast.Constant(0))


def _returned(node: ast.AST) -> Iterator[tuple[ast.expr, Callable[[ast.expr], ast.AST]]]:
    """A returned value, or each of several, and what to put a changed one back with."""
    if not isinstance(node, ast.Return) or node.value is None or isinstance(node.value, ast.Constant):
        return
    if isinstance(node.value, ast.Tuple):
        items = node.value.elts
        for i, item in enumerate(items):
            yield item, partial(_return_one_of, items, i)
    elif not isinstance(
        node.value, ast.Dict | ast.List | ast.ListComp | ast.DictComp | ast.JoinedStr | ast.Compare
    ):
        yield node.value, ast.Return


def _return_one_of(items: list[ast.expr], i: int, new: ast.expr) -> ast.AST:
    return ast.Return(ast.Tuple([*items[:i], new, *items[i + 1 :]], ast.Load()))


@operator
def only_once_around(node: ast.AST) -> Iterator[ast.AST]:
    """A loop that stops after its first round, or leaves its first or last one out."""
    if isinstance(node, ast.For):
        yield _with(node, body=[*node.body, ast.Break()])
    if isinstance(node, ast.For | ast.comprehension) and _function_of(node.iter) not in ("range", "count"):
        items = ast.Call(ast.Name("list", ast.Load()), [node.iter], [])
        yield _with(node, iter=ast.Subscript(items, ast.Slice(ast.Constant(1)), ast.Load()))
        yield _with(node, iter=ast.Subscript(items, ast.Slice(None, _name("-1")), ast.Load()))
    elif isinstance(node, ast.While):
        yield _with(node, body=[*node.body, ast.Break()])


@operator
def early_return(node: ast.AST) -> Iterator[ast.AST]:
    """The return that follows a loop, inside the loop."""
    if isinstance(node, ast.FunctionDef):
        for i, (one, after) in enumerate(itertools.pairwise(node.body)):
            if isinstance(one, ast.For | ast.While) and isinstance(after, ast.Return):
                loop = _with(one, body=[*one.body, after])
                yield _with(node, body=[*node.body[:i], loop, *node.body[i + 1 :]])


@operator
def late_binding(node: ast.AST) -> Iterator[ast.AST]:
    """`lambda x, i=i: ...` without its `i=i`, and `partial(f, i)` as a lambda: both see the loop's last `i`."""
    if isinstance(node, ast.Lambda | ast.FunctionDef):
        args = node.args
        n = len(args.args) - len(args.defaults)
        for i, default in enumerate(args.defaults):
            if isinstance(default, ast.Name) and default.id == args.args[n + i].arg:
                fewer = copy.deepcopy(args)
                del fewer.args[n + i], fewer.defaults[i]
                yield _with(node, args=fewer)
        for i, value in enumerate(args.kw_defaults):
            if isinstance(value, ast.Name) and value.id == args.kwonlyargs[i].arg:
                fewer = copy.deepcopy(args)
                del fewer.kwonlyargs[i], fewer.kw_defaults[i]
                yield _with(node, args=fewer)
    elif isinstance(node, ast.Call) and _function_of(node) == "partial" and node.args:
        function, *bound = node.args
        call = ast.Call(
            function,
            [*bound, ast.Starred(ast.Name("more", ast.Load()), ast.Load())],
            [*node.keywords, ast.keyword(None, ast.Name("named", ast.Load()))],
        )
        yield ast.Lambda(
            ast.arguments(
                [],
                [],
                vararg=ast.arg("more"),
                kwonlyargs=[],
                kw_defaults=[],
                kwarg=ast.arg("named"),
                defaults=[],
            ),
            call,
        )


CONTAINERS = {
    "list",
    "dict",
    "set",
    "defaultdict",
    "Counter",
    "zeros",
    "ones",
    "full",
    "empty",
    "zeros_like",
    "ones_like",
}


@operator
def kept_between_calls(node: ast.AST) -> Iterator[ast.AST]:
    """A container made once for all calls, as a mutable default argument or a module-level name would be."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        value = node.value
        if isinstance(value, ast.List | ast.Dict | ast.Set) or _function_of(value) in CONTAINERS:
            key = ast.Constant(f"_kept_{node.targets[0].id}")
            kept = ast.Call(ast.Attribute(_name("globals()"), "setdefault", ast.Load()), [key, value], [])
            yield _with(node, value=kept)


OTHER_NAMES = {"W_Q": "W_K", "W_K": "W_V", "W_V": "W_K", "b_Q": "b_K", "b_K": "b_Q", "b_V": "b_K"}
OTHER_NAMES |= {"ln1": "ln2", "ln2": "ln1", "n_heads": "n_layers", "d_head": "d_model", "d_vocab": "d_model"}


@operator
def another_weight_or_size(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Attribute) and node.attr in OTHER_NAMES:
        yield _with(node, attr=OTHER_NAMES[node.attr])
