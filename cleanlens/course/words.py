"""A verdict in the learner's words: the names and axes of the exercise's own signature, never the check's. Torch-free.

The signature is read from the stub: `x: Float[Tensor, "b s d"]` says that the argument x has the axes b, s and d, and
"Returns (stoi, itos)." in the docstring that what comes back has two parts of these names.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from . import catalog, sources, workspace

IT = "what it returns"
GENERIC = {
    "vectors",
    "out",
    "result",
    "returned",
    "value",
    "what it returns",
    "the result",
    "the results",
    "product",
}
"""A check's own names for what an answer returned."""


@dataclass(frozen=True)
class Signature:
    """A function's arguments with their axes, and the parts of what it returns."""

    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    returns: tuple[tuple[str, ...], ...] = ()  # the axes of what is returned, or of each of its parts
    parts: tuple[str, ...] = ()  # the parts' names


@cache
def signatures(id: str) -> dict[str, Signature]:
    """By the name that the exercise asks for; empty where the stub cannot be read."""
    entry = next((e for e in catalog.entries() if e.id == id), None)
    found = dict[str, Signature]()
    if entry is None:
        return found
    with suppress(OSError, KeyError, SyntaxError, AttributeError):
        tree = ast.parse((workspace.home() / entry.chapter.solutions).read_text(encoding="utf-8"))
        for name in entry.names:
            node = sources.definition(tree, name)
            if isinstance(node, ast.FunctionDef):
                found[name] = _signature(node)
    return found


def _signature(node: ast.FunctionDef) -> Signature:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    axes = {a.arg: found for a in arguments if (found := _axes(a.annotation))}
    returned = node.returns
    parts: list[ast.expr | None] = [returned]
    if isinstance(returned, ast.Subscript) and ast.unparse(returned.value) == "tuple":
        parts = list(returned.slice.elts) if isinstance(returned.slice, ast.Tuple) else [returned.slice]
    names = re.search(r"Returns? \((\w+(?:, \w+)+)\)", ast.get_docstring(node) or "")
    named = tuple(names[1].split(", ")) if names else ()
    return Signature(
        axes, tuple(_axes(part) for part in parts), named if len(named) == len(parts) > 1 else ()
    )


def _axes(annotation: ast.expr | None) -> tuple[str, ...]:
    """`("b", "s", "d")` from `Float[Tensor, "b s d"]`; none where their number is open."""
    for node in ast.walk(annotation) if annotation is not None else []:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = tuple(node.value.split())
            return () if any(not re.fullmatch(r"[A-Za-z_]\w*|\d+", word) for word in words) else words
    return ()


# ---- places --------------------------------------------------------------------------------------------


def place(path: str, recorded: bool, signature: Signature) -> tuple[str, tuple[str, ...]]:
    """What a path into a result means, and the axes there.

    `recorded`: the check itself made a record of several results, and the path begins with its key.
    """
    keys = re.findall(r"\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^\]]*))\]", path)
    names = [single or double or other for single, double, other in keys]
    rest = [
        f"[{n}]" if other else f"[{(single or double)!r}]" for (single, double, other), n in zip(keys, names)
    ]
    said = ""
    if recorded and names and not keys[0][2]:
        said, names, rest, keys = names[0], names[1:], rest[1:], keys[1:]
        if said not in GENERIC:
            return said + "".join(rest), ()
        if names and not keys[0][2]:  # a part of what was returned, by a name that the check gave it
            return names[0] + "".join(rest[1:]), ()
    if names and names[0].isdecimal() and (n := int(names[0])) < len(signature.returns) > 1:
        part = signature.parts[n] if signature.parts else f"part {n} of {IT}"
        inside = "".join(rest[1:])
        return part + inside, () if inside else signature.returns[n]
    if rest:
        return f"{IT}, {''.join(rest)}", ()
    return IT, signature.returns[0] if len(signature.returns) == 1 else ()


def index(at: tuple[int, ...], axes: tuple[str, ...]) -> str:
    """`[b 1, s 0, d 2]`, or `[1, 0, 2]` where the axes have no names."""
    if len(axes) == len(at):
        return (
            "["
            + ", ".join(f"{axis} {i}" if not axis.isdecimal() else str(i) for axis, i in zip(axes, at))
            + "]"
        )
    return "[" + ", ".join(map(str, at)) + "]"


def shape(sizes: Iterable[int], axes: tuple[str, ...] = ()) -> str:
    """`[b 2, s 4, d 5]`, or `[2, 4, 5]`; `[]` is a single number."""
    return index(tuple(sizes), axes)


def with_axes(sizes: str, axes: tuple[str, ...]) -> str:
    """A shape as text, `[2, 4, 5]`, with the axes' names where it has as many."""
    lengths = re.findall(r"\d+", sizes)
    is_shape = re.fullmatch(r"\[[\d, ]*\]", sizes) is not None
    return shape(map(int, lengths), axes) if is_shape and len(lengths) == len(axes) else sizes


# ---- what an answer was called with --------------------------------------------------------------------


def called(arguments: Iterable[Mapping[str, Any]], signature: Signature) -> str:
    """One argument a line: its name, its shape with the axes' names, its dtype, and its value if that is short."""
    rows = []
    for argument in arguments:
        name, text = str(argument["name"]), str(argument["text"])
        if (sizes := argument.get("shape")) is not None:
            text = f"{shape(sizes, signature.axes.get(name, ()))} {argument['dtype']}{f': {text}' if text else ''}"
        rows.append((name, text))
    longest = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:{longest}}  {text}" for name, text in rows)


# ---- exceptions ----------------------------------------------------------------------------------------

Sizes = dict[int, str]


def sizes(arguments: Iterable[Mapping[str, Any]], signature: Signature) -> Sizes:
    """Which axis has which length in this call, as far as that is unambiguous: {5: "d", 3: "s"}."""
    found: dict[int, set[str]] = {}
    for argument in arguments:
        lengths, axes = argument.get("shape") or [], signature.axes.get(str(argument["name"]), ())
        for axis, length in zip(axes, lengths) if len(axes) == len(lengths) else []:
            found.setdefault(length, set()).add(axis)
    return {
        length: min(axes) for length, axes in found.items() if len(axes) == 1 and not min(axes).isdecimal()
    }


def explain(kind: str, message: str, known: Sizes) -> str:
    """What a raw exception usually means, with the names of the axes that have the lengths it mentions; "" if unknown."""

    def axis(length: str) -> str:
        return f"{length} (the length of {known[int(length)]})" if int(length) in known else length

    for pattern, words in EXCEPTIONS:
        if match := re.search(pattern, f"{kind}: {message}"):
            return words.format(*[axis(g) if g and g.isdecimal() else g for g in match.groups()])
    return ""


EXCEPTIONS = [
    (
        r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)",
        "`a @ b` sums over the last axis of a and the second last of b. Here one is {0} long and the other {1}: is one of "
        "them transposed, or is it another tensor than you think?",
    ),
    (
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)",
        "Tensors are lined up from their last axes on. There one is {0} long and the other {1}: an axis is missing or at "
        "another place. `x[:, None]` adds one.",
    ),
    (
        r"Expected size for first two dimensions of batch2|batch1 and batch2 must have same|"
        r"expected batch2? .* to be|Expected .*batch.* dimension",
        "The leading axes of two stacks of matrices differ, or what they sum over does. Print both shapes above this line.",
    ),
    (
        r"[Ee]insum|EinopsError|does not broadcast with previously seen",
        "The pattern and the shapes do not agree. Each tensor needs as many letters as it has axes, and one letter has one "
        "length everywhere.",
    ),
    (
        r"shape '\[(.*)\]' is invalid for input of size (\d+)",
        "A reshape keeps the number of numbers: there are {1}, and [{0}] asks for another number.",
    ),
    (
        r"view size is not compatible",
        "`view` needs the numbers to lie in memory in this order. After a transpose they do not: use reshape.",
    ),
    (
        r"'([\w.]+)' object is not callable",
        "There are parentheses behind a {0}, which is no function. An element is taken with square brackets; and a name that "
        "you gave to a value hides the function of that name.",
    ),
    (
        r"'(NoneType)' object is not (?:subscriptable|iterable)|cannot unpack non-iterable (NoneType)",
        "Something here is None. Does the function that made it end without `return`, or work in place?",
    ),
    (
        r"'([\w.]+)' object is not subscriptable",
        "There are square brackets behind a {0}, which has no elements. Is a call, with parentheses, what you mean?",
    ),
    (
        r"'(NoneType)' object has no attribute '(\w+)'",
        "Something here is None, and {1} was asked of it. Does the function that made it end without `return`?",
    ),
    (
        r"'([\w.]+)' object has no attribute '(\w+)'",
        "A {0} has nothing called {1}: a slip in the name, or it is another object than you think.",
    ),
    (
        r"index (-?\d+) is out of bounds for (?:dimension|axis) (\d+) with size (\d+)",
        "The axis is {2} long, so its last index is one less; {0} was asked for.",
    ),
    (
        r"IndexError: index out of range in self",
        "An id that is looked up is as large as the table is long, or larger; or it is negative.",
    ),
    (
        r"IndexError: (list|string|tuple) index out of range|pop from empty|max\(\) .*empty|min\(\) .*empty",
        "It is shorter than that here. Does the code also hold for one element, and for none?",
    ),
    (
        r"too many indices for tensor of dimension (\d+)",
        "The tensor has {0} axes, and more indices than that were given.",
    ),
    (
        r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)",
        "The tensor has no axis {2}. Counted from the end, axes are -1, -2, ...",
    ),
    (
        r"same dtype|expected scalar type|can't be cast to the desired|result type .* can't be cast|"
        r"not implemented for '(?:Long|Bool|Int)'|mean\(\): could not infer output dtype|must be .*(?:Long|Int|floating)",
        "Two dtypes meet that do not go together. Ids are int64, activations float; `.float()`, `.long()` and "
        "`.to(x.dtype)` convert.",
    ),
    (
        r"tensors used as indices must be|only integer tensors",
        "What stands in the brackets must be whole numbers or True and False: ids as int64, masks as bool.",
    ),
    (
        r"leaf Variable that requires grad|a view of a leaf",
        "A parameter was changed in place while gradients are recorded. Work on a clone, or under torch.no_grad().",
    ),
    (
        r"call numpy\(\) on Tensor that requires grad|requires grad\. Use",
        "It still carries its gradient's history: .detach() first, or .item() for a single number.",
    ),
    (
        r"does not require grad|Trying to backward through the graph a second time",
        "No gradient reaches this: something was detached, made under no_grad, or its graph was used up.",
    ),
    (
        r"Boolean value of Tensor with more than one value|truth value of an array",
        "`if` needs one answer and this is a whole tensor of them: .any(), .all(), or `is not None`.",
    ),
    (
        r"elements? cannot be converted to Scalar|only one element tensors|only (?:length-1|0-dimensional) arrays",
        "A tensor of several numbers stands where one number is needed.",
    ),
    (
        r"NameError: name '(\w+)' is not defined",
        "Nothing is called {0} here: a slip in the name, or an import is missing.",
    ),
    (
        r"UnboundLocalError: .*variable '(\w+)'",
        "{0} gets its value in a branch or a loop that was not entered this time.",
    ),
    (
        r"takes (\d+) positional arguments? but (\d+) (?:was|were) given",
        "The exercise calls it with other arguments than your definition takes: compare it with the stub. A method's first "
        "is self.",
    ),
    (
        r"missing (\d+) required (?:positional|keyword-only) arguments?: (.*)|unexpected keyword argument '(\w+)'",
        "The exercise calls it with other arguments than your definition takes: compare it with the stub.",
    ),
    (
        r"KeyError: (.*)",
        "There is no key {0}. The keys that there are: print(list(...)) above this line shows them.",
    ),
    (
        r"BdbQuit",
        "breakpoint() has no terminal in a check. `cleanlens debug` opens one on the very call that fails.",
    ),
    (r"RecursionError", "It calls itself without an end."),
]
"""What Python and torch say -> what that usually means. `{0}` is the first group, with the axis of that length."""
