"""Hooks: named places in a model where activations can be read and replaced.

A `HookPoint` is an identity layer. A model wraps each activation that somebody may want to see in one:
`x = self.hook_x(x)`. A `HookedRootModule` knows all of its hook points by name and attaches functions to
them, for one run or for good. Both work for any torch module, not only for transformers.
"""

import difflib
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cleanlens.published.methods import HookIntrospectionMixin, OlderHook, OlderHookMethods, OlderHookPoint
from cleanlens.utils import Slice, SliceInput

Direction = Literal["fwd", "bwd", "both"]
HookFunction = Callable[..., Any]
NamesFilter = str | Sequence[str] | Callable[[str], bool] | None
FWD_AND_BWD: tuple[Direction, Direction] = ("fwd", "bwd")
NamedHook = tuple[str | Callable[[str], bool], HookFunction]

# Activations with a head axis between position and width: [batch pos head width].
PER_HEAD: tuple[str, ...] = (
    "hook_q",
    "hook_k",
    "hook_v",
    "hook_z",
    "hook_result",
    "_input",
    "hook_attn_in",
    "hook_rot_q",
)
PER_HEAD += (
    "hook_rot_k",
    *(f"{norm}.hook_{name}" for norm in ("q_norm", "k_norm") for name in ("scale", "normalized")),
)

_ENTERING = threading.Lock()  # not on the model, which can then be copied and pickled


@dataclass(eq=False)  # two hooks with the same function are still two hooks
class Hook(OlderHook):
    """One function attached to a hook point."""

    fn: HookFunction
    is_permanent: bool = False
    level: int | None = None
    alias_names: Sequence[str] | None = None


class HookPoint(OlderHookPoint, nn.Module):
    """An identity that calls the functions attached to it.

    A forward hook is called `fn(activation, hook=hook_point)`. What it returns replaces the activation;
    None keeps it, including edits made in place. A backward hook is called `fn(gradient, hook=hook_point)`
    with the gradient of the scalar that `.backward()` was called on, and may return a tensor or a 1-tuple
    to replace it, or None.

    Attributes:
        name: the path from the root module, such as `blocks.0.attn.hook_pattern`; set by `setup()`.
        ctx: a dictionary in which hooks may keep things between calls.
        hook_conversion: how hooks see the activation, see `enable_reshape`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.name: str | None = None
        self.ctx: dict[Any, Any] = {}
        self.fwd_hooks: list[Hook] = []
        self.bwd_hooks: list[Hook] = []

    def forward(self, x: Any) -> Any:
        for hook in tuple(self.fwd_hooks):
            x = self._after(hook, x)
        if self.bwd_hooks and isinstance(x, Tensor) and x.requires_grad:
            # One tensor often passes through several hook points; a view of its own keeps their
            # gradients apart.
            x = x.view_as(x)
            x.register_hook(self._backward)
        return x

    def _backward(self, gradient: Tensor) -> Tensor:
        for hook in tuple(self.bwd_hooks):
            gradient = self._after(hook, gradient)
        return gradient

    def _after(self, hook: Hook, x: Any) -> Any:
        """An activation, or a gradient, as this function leaves it."""
        seen = x if self.hook_conversion is None else self.hook_conversion.convert(x)
        replaced = False
        for point in self.seen_as(hook):
            result = hook.fn(seen, hook=point)
            if isinstance(result, tuple) and hook in self.bwd_hooks:
                result = result[0]
            if result is not None:
                seen, replaced = self._checked(result, seen, hook), True
        if not replaced:
            return x
        return seen if self.hook_conversion is None else self.hook_conversion.revert(seen)

    def _checked(self, result: Any, original: Any, hook: Hook) -> Any:
        if not isinstance(original, Tensor):
            return result
        fn_name = getattr(hook.fn, "__name__", repr(hook.fn))
        if not isinstance(result, Tensor):
            raise TypeError(
                f"the hook {fn_name} on {self.name!r} returned a {type(result).__name__}; return a tensor to "
                "replace the activation, or None to keep it"
            )
        if result.shape != original.shape:
            raise ValueError(
                f"the hook {fn_name} on {self.name!r} returned shape {list(result.shape)}; the activation "
                f"has shape {list(original.shape)}, and a replacement must have the same"
            )
        return result

    def add_hook(
        self,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
        alias_names: Sequence[str] | None = None,
    ) -> Hook:
        """Attach `hook`; `prepend` runs it before those already there. Returns what `discard` takes.

        With `alias_names` it is called once for each of them, with a hook point of that name.
        """
        added = Hook(hook, is_permanent, level, alias_names)
        self._attach(added, dir, prepend)
        return added

    def _attach(self, hook: Hook, dir: Direction, prepend: bool = False) -> None:
        for hooks in self._lists(dir):
            hooks.insert(0 if prepend else len(hooks), hook)

    def add_perma_hook(self, hook: HookFunction, dir: Direction = "fwd") -> Hook:
        """Attach a hook that `reset_hooks` leaves in place unless asked."""
        return self.add_hook(hook, dir, is_permanent=True)

    def discard(self, hook: Hook) -> None:
        """Remove this one hook; nothing happens when it is gone already."""
        for hooks in self._lists("both"):
            if hook in hooks:
                hooks.remove(hook)

    def remove_hooks(
        self, dir: Direction = "fwd", including_permanent: bool = False, level: int | None = None
    ) -> None:
        """Remove the hooks of one direction; permanent ones, or those of other levels, only when asked."""
        for hooks in self._lists(dir):
            hooks[:] = [
                hook
                for hook in hooks
                if (hook.is_permanent and not including_permanent)
                or (level is not None and hook.level != level)
            ]

    def has_hooks(
        self, dir: Direction = "both", including_permanent: bool = True, level: int | None = None
    ) -> bool:
        """Whether any such hook is attached."""
        return bool(self.fwd_hooks or self.bwd_hooks) and any(
            (including_permanent or not hook.is_permanent) and (level is None or hook.level == level)
            for hooks in self._lists(dir)
            for hook in hooks
        )

    def _lists(self, dir: Direction) -> list[list[Hook]]:
        try:
            names = {"fwd": ["fwd_hooks"], "bwd": ["bwd_hooks"], "both": ["fwd_hooks", "bwd_hooks"]}[dir]
        except KeyError:
            raise ValueError(f"dir = {dir!r}; it must be 'fwd', 'bwd' or 'both'") from None
        return [getattr(self, name) for name in names]

    def clear_context(self) -> None:
        """Forget what hooks have stored in `ctx`."""
        self.ctx = {}

    def layer(self) -> int:
        """The layer in the name: 3 for `blocks.3.attn.hook_z`. ValueError for a name without one."""
        parts = (self.name or "").split(".")
        if len(parts) < 2 or not parts[1].isdigit():
            raise ValueError(f"the hook point {self.name!r} belongs to no layer")
        return int(parts[1])


class CachingHook:
    """A forward or backward hook that stores what it sees under the hook point's name."""

    def __init__(
        self,
        root: "HookedRootModule",
        cache: dict[str, Tensor],
        suffix: str = "",
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        pos_slice: Slice | None = None,
    ):
        self.root, self.cache, self.suffix = root, cache, suffix
        self.device, self.remove_batch_dim, self.pos_slice = device, remove_batch_dim, pos_slice

    def __call__(self, tensor: Tensor, hook: HookPoint) -> None:
        assert hook.name is not None
        stored = tensor.detach().to(self.device or tensor.device)
        if self.pos_slice is not None:
            stored = self.pos_slice.apply(stored, dim=pos_dim(hook.name))
        if self.remove_batch_dim:
            stored = stored[0]
        # One tensor often passes through several hook points; a later edit must not reach what is stored.
        if self.root.may_edit_in_place():
            stored = stored.clone()
        self.cache[hook.name + self.suffix] = stored


def pos_dim(name: str) -> int:
    """The (negative) axis of positions in the activation of this name; the query's for a pattern."""
    return -3 if name.removesuffix("_grad").endswith(PER_HEAD) else -2


class HookedRootModule(HookIntrospectionMixin, OlderHookMethods, nn.Module):
    """A module that finds its hook points by name.

    A subclass calls `self.setup()` at the end of its `__init__`. Wherever a name is asked for, a function
    from names to True or False selects all hook points for which it holds.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self.context_level = 0  # how many hooks() contexts we are inside of
        self._hooks_thread = 0  # which thread is inside of them
        self.mod_dict: dict[str, nn.Module] = {}
        self.hook_dict: dict[str, HookPoint] = {}

    def setup(self) -> None:
        """Name every module by its path and collect the hook points in `hook_dict`."""
        self.mod_dict = {name: module for name, module in self.named_modules() if name}
        self.hook_dict = {name: m for name, m in self.mod_dict.items() if isinstance(m, HookPoint)}
        for name, point in self.hook_dict.items():
            point.name = name

    def hook_points(self) -> Iterable[HookPoint]:
        """All hook points, in the order in which they were defined."""
        return self.hook_dict.values()

    def inactive_hooks(self) -> dict[str, str]:
        """Hook points that a full cache leaves out, because they cost something: their names and how to keep them.

        Attaching to one by its name is enough to have it called.
        """
        return {}

    def has_editing_hooks(self) -> bool:
        """Whether any forward hook other than a cache's is attached."""
        return any(
            not isinstance(hook.fn, CachingHook) for point in self.hook_points() for hook in point.fwd_hooks
        )

    def may_edit_in_place(self) -> bool:
        """Whether an activation may be overwritten after it has been cached, by the module or by a hook."""
        return True

    def _find(self, name: str | Callable[[str], bool]) -> list[HookPoint]:
        if callable(name):
            chosen = [n for n in self.hook_dict if name(n)]
            inactive = self.inactive_hooks()
            # "Everything" does not mean those; a function that selects nothing else does.
            return [self.hook_dict[n] for n in chosen if n not in inactive] or [
                self.hook_dict[n] for n in chosen
            ]
        if name not in self.hook_dict:
            closest = difflib.get_close_matches(name, self.hook_dict, n=1, cutoff=0.0)
            hint = f"the closest is {closest[0]!r}. " if closest else ""
            raise KeyError(
                f"no hook point named {name!r}; {hint}hook_dict lists all {len(self.hook_dict)} of them"
            )
        return [self.hook_dict[name]]

    # ---------------------------------------------------------------- hooks that stay

    def add_hook(
        self,
        name: str | Callable[[str], bool],
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> None:
        """Attach `hook` to the hook points of this name, until `reset_hooks`.

        Raises:
            KeyError: there is no such hook point; the message gives the closest one.
        """
        for point in self._find(name):
            point.add_hook(hook, dir, is_permanent, level, prepend)

    def add_perma_hook(
        self, name: str | Callable[[str], bool], hook: HookFunction, dir: Direction = "fwd"
    ) -> None:
        """Attach a hook that `reset_hooks` leaves in place unless asked."""
        self.add_hook(name, hook, dir, is_permanent=True)

    def remove_all_hook_fns(
        self, direction: Direction = "both", including_permanent: bool = False, level: int | None = None
    ) -> None:
        """Remove hooks from every hook point."""
        for point in self.hook_points():
            point.remove_hooks(direction, including_permanent, level)

    def reset_hooks(
        self,
        clear_contexts: bool = True,
        direction: Direction = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove hooks from every hook point and, unless told not to, what they stored in `ctx`."""
        self.remove_all_hook_fns(direction, including_permanent, level)
        if clear_contexts:
            self.clear_contexts()

    def clear_contexts(self) -> None:
        """Forget what hooks have stored."""
        for point in self.hook_points():
            point.clear_context()

    # ---------------------------------------------------------------- hooks for one run

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[NamedHook] = (),
        bwd_hooks: Sequence[NamedHook] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator["HookedRootModule"]:
        """Attach `(name, function)` pairs inside a `with` block; exactly these are removed at its end.

        Hooks belong to the model, so whoever runs it meets them, in whatever thread. Two threads that each want their
        own hooks need a model each: `copy.deepcopy(model)`.

        Raises:
            KeyError: there is no such hook point, or it is not active; the message says what to do.
            RuntimeError: another thread is inside `hooks()` of this model (also by `run_with_cache` and the like).
        """
        added: list[tuple[HookPoint, Hook]] = []
        me = threading.get_ident()
        outer = self.context_level if self._hooks_thread == me else 0
        try:
            self._enter_hooks(me, outer + 1)
            for direction, pairs in zip(FWD_AND_BWD, (fwd_hooks, bwd_hooks)):
                for name, fn in pairs:
                    for point in self._find(name):
                        # On the list before it is attached: a Ctrl-C may come in between.
                        added.append((point, Hook(fn, level=outer + 1)))
                        point._attach(added[-1][1], direction)
            yield self
        finally:
            interrupted = None
            while True:  # a Ctrl-C may come in here as well: then all of it once more
                try:
                    if self._hooks_thread == me:
                        self.context_level = outer
                    for point, hook in added if reset_hooks_end else ():
                        point.discard(hook)
                    break
                except KeyboardInterrupt as interrupt:
                    interrupted = interrupt
            if reset_hooks_end and clear_contexts:
                self.clear_contexts()
            if interrupted is not None:
                raise interrupted

    def _enter_hooks(self, thread: int, level: int) -> None:
        with _ENTERING:
            if self.context_level and self._hooks_thread != thread:
                raise RuntimeError(
                    "another thread is inside hooks() of this model, and each would see the other's hooks; run one "
                    "after the other, or give each thread a model of its own (copy.deepcopy)"
                )
            self._hooks_thread, self.context_level = thread, level

    def run_with_hooks(
        self,
        *model_args: Any,
        fwd_hooks: Sequence[NamedHook] = (),
        bwd_hooks: Sequence[NamedHook] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        **model_kwargs: Any,
    ) -> Any:
        """One forward pass with these hooks attached; returns what the model returns.

        Backward hooks are still needed when you call `.backward()`, after this has returned: give
        `reset_hooks_end=False`, or use `with model.hooks(...)` around both.
        """
        if bwd_hooks and reset_hooks_end:
            warnings.warn(
                "run_with_hooks removes its hooks before you can call backward(), so these bwd_hooks never "
                "fire; put forward and backward in `with model.hooks(bwd_hooks=...)` instead",
                stacklevel=2,
            )
        with self.hooks(fwd_hooks, bwd_hooks, reset_hooks_end, clear_contexts):
            return self(*model_args, **model_kwargs)

    # ---------------------------------------------------------------- caching

    def get_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        cache: dict[str, Tensor] | None = None,
        pos_slice: SliceInput | Slice = None,
    ) -> tuple[dict[str, Tensor], list[NamedHook], list[NamedHook]]:
        """The cache that will be filled, and the forward and backward hooks that fill it.

        Args:
            names_filter: which activations: a name, a list of names, a function of names; None for all.
            incl_bwd: store gradients as well, under the name with `_grad` at the end.
            device: where the stored tensors are kept; None leaves them where they are.
            remove_batch_dim: store the first (and only) batch entry.
            pos_slice: which positions are stored; an int keeps the axis, so that caches stay alike.
        """
        cache = {} if cache is None else cache
        if pos_slice is not None:
            pos_slice = Slice.unwrap([pos_slice] if isinstance(pos_slice, int) else pos_slice)
        options = (device, remove_batch_dim, pos_slice)
        names = self._names(names_filter)
        fwd: list[NamedHook] = [(name, CachingHook(self, cache, "", *options)) for name in names]
        bwd: list[NamedHook] = [(name, CachingHook(self, cache, "_grad", *options)) for name in names]
        return cache, fwd, bwd if incl_bwd else []

    def _names(self, names_filter: NamesFilter) -> list[str]:
        """The names of the active hook points that a filter selects."""
        if names_filter is None:
            names_filter = [name for name in self.hook_dict if name not in self.inactive_hooks()]
        single = isinstance(names_filter, str) or callable(names_filter)
        filters: Any = [names_filter] if single else names_filter
        return [str(point.name) for name in filters for point in self._find(name)]

    def run_with_cache(
        self,
        *model_args: Any,
        names_filter: NamesFilter = None,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        incl_bwd: bool = False,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: SliceInput | Slice = None,
        **model_kwargs: Any,
    ) -> tuple[Any, dict[str, Tensor]]:
        """Run the model and return what it returns together with a dictionary of its activations.

        Args: as for `get_caching_hooks`. With `incl_bwd` the output must be a scalar; its gradients are
        computed and stored too.
        """
        cache, fwd, bwd = self.get_caching_hooks(
            names_filter, incl_bwd, device, remove_batch_dim, pos_slice=pos_slice
        )
        with self.hooks(fwd, bwd, reset_hooks_end, clear_contexts):
            output = self(*model_args, **model_kwargs)
            if incl_bwd:
                output.backward()
        return output, cache
