# %% wrong 04.1: passes the hook point positionally, not as hook=
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for h in self.hooks.values():
            result = h(x, self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: None of a hook replaces the activation
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for h in self.hooks.values():
            x = h(x, hook=self)
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: truth value of a tensor decides (error for several entries, zero counts as None)
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for h in self.hooks.values():
            x = h(x, hook=self) or x
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: every hook gets the original x
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for h in self.hooks.values():
            new = h(x, hook=self)
            if new is not None:
                out = new
        return out

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: stops at the first hook that returns something
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for h in self.hooks.values():
            new = h(x, hook=self)
            if new is not None:
                return new
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: last attached is called first
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for number in sorted(self.hooks, reverse=True):
            new = self.hooks[number](x, hook=self)
            x = x if new is None else new
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: gives the hook its name instead of the hook point
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for h in self.hooks.values():
            new = h(x, hook=self.name)
            x = x if new is None else new
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: sorts the numbers as text, so hook 10 runs before hook 2
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for number in sorted(self.hooks, key=str):
            new = self.hooks[number](x, hook=self)
            x = x if new is None else new
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: detaches x first: without hooks x is not left as it was, gradients are cut
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach()
        for h in self.hooks.values():
            new = h(x, hook=self)
            if new is not None:
                x = new
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: the number is how many are attached now, reused after a removal
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            out = hook(x, hook=self)
            if out is not None:
                x = out
        return x

    def add_hook(self, hook: Callable) -> int:
        number = len(self.hooks)
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: highest present number plus one, which a removed hook may have had
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            out = hook(x, hook=self)
            if out is not None:
                x = out
        return x

    def add_hook(self, hook: Callable) -> int:
        number = max(self.hooks, default=-1) + 1
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: returns the count after the increase, not the key it stored under
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            out = hook(x, hook=self)
            if out is not None:
                x = out
        return x

    def add_hook(self, hook: Callable) -> int:
        self.hooks[self.attached] = hook
        self.attached += 1
        return self.attached

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: forgets to return the number
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            out = hook(x, hook=self)
            if out is not None:
                x = out
        return x

    def add_hook(self, hook: Callable) -> int:
        self.hooks[self.attached] = hook
        self.attached += 1

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: forgets to count, so each hook replaces the one before
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            out = hook(x, hook=self)
            if out is not None:
                x = out
        return x

    def add_hook(self, hook: Callable) -> int:
        self.hooks[self.attached] = hook
        return self.attached

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: puts the new hook in front of those already there
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            out = hook(x, hook=self)
            if out is not None:
                x = out
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks = {number: hook, **self.hooks}
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: id of the function as number: the same function attached twice shares one
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            out = hook(x, hook=self)
            if out is not None:
                x = out
        return x

    def add_hook(self, hook: Callable) -> int:
        number = id(hook)
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% wrong 04.1: no finally, the hooks stay after an exception
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    added = [(modules[name], modules[name].add_hook(f)) for name, f in hooks]
    out = model(tokens)
    for module, number in added:
        module.remove_hook(number)
    return out


# %% wrong 04.1: clears all hooks of the points, the caller's too
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    points = [modules[name] for name, _ in hooks]
    for point, (_, f) in zip(points, hooks):
        point.add_hook(f)
    try:
        return model(tokens)
    finally:
        for point in points:
            point.hooks.clear()


# %% wrong 04.1: attaches outside the try, a later unknown name leaves the earlier hooks attached
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    added = []
    for name, f in hooks:
        added.append((modules[name], modules[name].add_hook(f)))
    try:
        return model(tokens)
    finally:
        for module, number in added:
            module.remove_hook(number)


# %% wrong 04.1: matches the end of the name, not the exact path
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    added = []
    try:
        for name, f in hooks:
            found = [m for n, m in model.named_modules() if n.endswith(name)]
            if not found:
                raise KeyError(name)
            for m in found:
                added.append((m, m.add_hook(f)))
        return model(tokens)
    finally:
        for m, number in added:
            m.remove_hook(number)


# %% wrong 04.1: removes only the last hook
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    module = None
    number = None
    try:
        for name, f in hooks:
            module = modules[name]
            number = module.add_hook(f)
        return model(tokens)
    finally:
        if module is not None:
            module.remove_hook(number)


# %% wrong 04.1: get_submodule raises AttributeError for an unknown name, not KeyError
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    added = []
    try:
        for name, f in hooks:
            point = model.get_submodule(name)
            added.append((point, point.add_hook(f)))
        return model(tokens)
    finally:
        for point, number in added:
            point.remove_hook(number)


# %% wrong 04.1: swallows the exception and returns None
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    added = []
    for name, _ in hooks:
        modules[name]
    out = None
    try:
        for name, f in hooks:
            added.append((modules[name], modules[name].add_hook(f)))
        out = model(tokens)
    except Exception as error:
        print(error)
    finally:
        for module, number in added:
            module.remove_hook(number)
    return out


# %% wrong 04.1: keeps one number per name, so of two hooks at one point the first stays
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    numbers = {}
    try:
        for name, f in hooks:
            numbers[name] = modules[name].add_hook(f)
        return model(tokens)
    finally:
        for name, number in numbers.items():
            modules[name].remove_hook(number)


# %% wrong 04.1: skips unknown names silently
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    added = []
    try:
        for name, f in hooks:
            module = modules.get(name)
            if module is None:
                continue
            added.append((module, module.add_hook(f)))
        return model(tokens)
    finally:
        for module, number in added:
            module.remove_hook(number)


# %% wrong 04.1: removes every attachment of the same function, also the caller's own
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    for name, _ in hooks:
        modules[name]
    try:
        for name, f in hooks:
            modules[name].add_hook(f)
        return model(tokens)
    finally:
        for name, f in hooks:
            point = modules[name]
            for number in [n for n, g in point.hooks.items() if g is f]:
                point.remove_hook(number)


# %% wrong 04.1: restores a snapshot: a hook that somebody attached during the run is gone as well
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    points = [modules[name] for name, _ in hooks]
    before = [(p, dict(p.hooks)) for p in points]
    try:
        for p, (_, f) in zip(points, hooks):
            p.add_hook(f)
        return model(tokens)
    finally:
        for p, old in before:
            p.hooks = old


# %% wrong 04.2: mean over the prompts instead of the sum
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    diag = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += diag.mean(dim=(0, -1))


# %% wrong 04.2: diagonal above instead of below the main one
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    diag = pattern.detach().diagonal(offset=1, dim1=-2, dim2=-1)
    store[hook.layer()] += diag.mean(-1).sum(0)


# %% wrong 04.2: overwrites instead of adding
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    diag = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] = diag.mean(-1).sum(0)


# %% wrong 04.2: divides by s, counting query 0
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    s = pattern.shape[-1]
    diag = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += diag.sum(-1).sum(0) / s


# %% wrong 04.2: no detach, the store gets a graph
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    diag = pattern.diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += diag.mean(-1).sum(0)


# %% wrong 04.2: binds the name store anew, the caller's tensor stays
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    add = torch.zeros_like(store)
    add[hook.layer()] = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1).sum(0)
    store = store + add


# %% wrong 04.2: first prompt only
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    store[hook.layer()] += pattern[0].detach().diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)


# %% wrong 04.2: default dims of diagonal are batch and head
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    diag = pattern.detach().diagonal(offset=-1)
    store[hook.layer()] += diag.mean(-1).sum(0)


# %% wrong 04.2: returns the score, which then replaces the pattern
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    score = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1).sum(0)
    store[hook.layer()] += score
    return score


# %% wrong 04.2: loop leaves out the last query
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    p = pattern.detach()
    s = p.shape[-1]
    total = 0
    for q in range(1, s - 1):
        total = total + p[:, :, q, q - 1]
    store[hook.layer()] += (total / (s - 2)).sum(0)


# %% wrong 04.2: bare squeeze breaks a batch of one into a sum over heads
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    diag = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1).squeeze()
    store[hook.layer()] += diag.sum(0)


# %% wrong 04.2: multiplies the pattern by a mask in place (detach shares memory)
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    p = pattern.detach()
    s = p.shape[-1]
    p *= torch.diag(torch.ones(s - 1, device=p.device, dtype=p.dtype), -1)
    store[hook.layer()] += p.sum(dim=(0, 2, 3)) / (s - 1)


# %% wrong 04.2: takes the first key column after the first query: key 0 for every query
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    store[hook.layer()] += pattern.detach()[:, :, 1:, 0].mean(-1).sum(0)


# %% wrong 04.3: changes z itself
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    z[:, :, head] = 0.0
    return z


# %% wrong 04.3: zeroes a position, not a head
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, head] = 0.0
    return out


# %% wrong 04.3: zeroes the last axis' entry
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[..., head] = 0.0
    return out


# %% wrong 04.3: detaches, so no gradient reaches the other heads
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.detach().clone()
    out[:, :, head] = 0.0
    return out


# %% wrong 04.3: keeps this head and zeroes the others
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    keep = torch.zeros(z.shape[2], device=z.device, dtype=z.dtype)
    keep[head] = 1
    return z * keep[:, None]


# %% wrong 04.3: the mask lies along e, not along h (fails or ablates wrongly)
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    mask = torch.ones(z.shape[-1], device=z.device, dtype=z.dtype)
    mask[head] = 0
    return z * mask


# %% wrong 04.3: hard-coded twelve heads
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    mask = torch.ones(12, 1)
    mask[head] = 0
    return z * mask


# %% wrong 04.3: clone only of the head's slice, z is never changed and returned whole
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    part = z[:, :, head].clone()
    part[:] = 0
    return z


# %% wrong 04.3: z.data is changed in place behind autograd's back
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.view_as(z)
    out.data[:, :, head] = 0
    return out


# %% wrong 04.3: first prompt only
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[0, :, head] = 0
    return out


# %% wrong 04.3: removes the head from the tensor, shape h - 1
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    return torch.cat([z[:, :, :head], z[:, :, head + 1 :]], dim=2)


# %% wrong 04.4: ignores the mask
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = reference[:, :, head].mean(0)
    return out


# %% wrong 04.4: masks, but divides by n
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = (reference[:, :, head] * mask[:, :, None]).mean(0)
    return out


# %% wrong 04.4: one mean over all positions
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = reference[:, :, head][mask].mean(0)
    return out


# %% wrong 04.4: divides by the number of all real tokens
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    total = (reference[:, :, head] * mask.unsqueeze(-1)).sum(0)
    out = z.clone()
    out[:, :, head] = total / mask.sum()
    return out


# %% wrong 04.4: mask read the other way round
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    pad = mask.float()
    weights = (1 - pad)[..., None]
    out = z.clone()
    out[:, :, head] = (reference[:, :, head] * weights).sum(0) / weights.sum(0).clamp(min=1)
    return out


# %% wrong 04.4: changes z itself
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    w = mask[:, :, None].to(z.dtype)
    z[:, :, head] = (reference[:, :, head] * w).sum(0) / w.sum(0)
    return z


# %% wrong 04.4: replaces all heads
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    w = mask[:, :, None, None].to(z.dtype)
    mean = (reference * w).sum(0) / w.sum(0)
    return mean.expand_as(z).clone()


# %% wrong 04.4: sets the padding of reference to zero in place (and so spoils it for the next head)
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    reference[~mask] = 0
    out = z.clone()
    out[:, :, head] = reference[:, :, head].sum(0) / mask.sum(0)[:, None]
    return out


# %% wrong 04.4: count along the wrong axis of mask (per prompt, not per position)
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    w = mask.to(z.dtype)
    per_prompt = reference[:, :, head] * w[..., None] / w.sum(1)[:, None, None]
    out = z.clone()
    out[:, :, head] = per_prompt.sum(0)
    return out


# %% wrong 04.4: the mean of z's own batch instead of the reference
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = z[:, :, head].mean(0, keepdim=True)
    return out


# %% wrong 04.4: only prompts without any padding count
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    full = mask.all(dim=1)
    out = z.clone()
    out[:, :, head] = reference[full][:, :, head].mean(0)
    return out


# %% wrong 04.4: also averages over the features e
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    w = mask[:, :, None].to(z.dtype)
    mean = ((reference[:, :, head] * w).sum(0) / w.sum(0)).mean(-1, keepdim=True)
    out = z.clone()
    out[:, :, head] = mean
    return out


# %% wrong 04.5: counts the first token of the second repeat
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n:, 0].mean()

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):

                def hook_fn(z, hook, head=head):
                    z = z.clone()
                    z[:, :, head] = 0
                    return z

                logits = model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", hook_fn)])
                scores[layer, head] = loss(logits) - base
    return scores


# %% wrong 04.5: sign turned round
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n + 1 :, 0].mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(zero, head=head))]
                scores[layer, head] = base - loss(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return scores


# %% wrong 04.5: loss over the whole sequence
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = model(tokens, return_type="loss")
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(zero, head=head))]
                scores[layer, head] = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=hooks) - base
    return scores


# %% wrong 04.5: sum over tokens instead of the mean
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n + 1 :, 0].sum(-1).mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(zero, head=head))]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    return scores


# %% wrong 04.5: late binding, every job ablates the last head
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n + 1 :, 0].mean()

    def zero(z, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    jobs = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            jobs.append((f"blocks.{layer}.attn.hook_z", lambda z, hook: zero(z, head)))
    with torch.no_grad():
        base = loss(model(tokens))
        scores = [loss(model.run_with_hooks(tokens, fwd_hooks=[job])) - base for job in jobs]
    return torch.stack(scores).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 04.5: hooks pile up, earlier heads stay ablated, and stay afterwards
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2
    points = dict(model.named_modules())

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n + 1 :, 0].mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                points[f"blocks.{layer}.attn.hook_z"].add_hook(partial(zero, head=head))
                scores[layer, head] = loss(model(tokens)) - base
    return scores


# %% wrong 04.5: reset_hooks takes the caller's hooks away
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n + 1 :, 0].mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(zero, head=head))]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    model.reset_hooks()
    return scores


# %% wrong 04.5: zeroes all heads of the layer at once
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n + 1 :, 0].mean()

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            hooks = [(f"blocks.{layer}.attn.hook_z", lambda z, hook: torch.zeros_like(z))]
            scores[layer] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    return scores


# %% wrong 04.5: first prompt only, and bits instead of nats
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        p = logits[0, n + 1 : -1].softmax(-1)
        return -p.gather(-1, tokens[0, n + 2 :, None]).log2().mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(zero, head=head))]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    return scores


# %% wrong 04.5: logits compared with the token at the same place, not the next one
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits.log_softmax(-1)
        return -lp.gather(-1, tokens[:, :, None])[:, n + 2 :, 0].mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(zero, head=head))]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    return scores


# %% wrong 04.5: leaves W_O of the heads zeroed... puts back a view, so the weights stay changed
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n + 1 :, 0].mean()

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            W = model.blocks[layer].attn.W_O
            for head in range(model.cfg.n_heads):
                old = W[head]
                W[head] = 0
                scores[layer, head] = loss(model(tokens)) - base
                W[head] = old
    return scores


# %% wrong 04.6: sets the score to zero, which is no probability of zero
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = 0.0
    if torch.isneginf(out[:, head, query]).all(-1).any():
        raise ValueError("no key left")
    return out


# %% wrong 04.6: minus ten is not enough for an exact zero
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    if query == 0 and key == 0:
        raise ValueError("no key left")
    out = scores.clone()
    out[:, head, query, key] = -10.0
    return out


# %% wrong 04.6: changes scores itself
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    scores[:, head, query, key] = float("-inf")
    if torch.isneginf(scores[:, head, query]).all(-1).any():
        raise ValueError("no key left")
    return scores


# %% wrong 04.6: all heads
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, :, query, key] = float("-inf")
    if torch.isneginf(out[:, head, query]).all(-1).any():
        raise ValueError("no key left")
    return out


# %% wrong 04.6: query and key swapped
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, key, query] = float("-inf")
    if torch.isneginf(out[:, head, query]).all(-1).any():
        raise ValueError("no key left")
    return out


# %% wrong 04.6: no check, the row becomes NaN
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    return out


# %% wrong 04.6: raises only when all prompts lose their last key, not when one does
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if torch.isneginf(out[:, head, query]).all():
        raise ValueError("no key left")
    return out


# %% wrong 04.6: refuses every edge of query 0, also those to keys it cannot see anyway
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    if query == 0:
        raise ValueError("the first position sees only itself")
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    return out


# %% wrong 04.6: knows only the causal mask: misses a query whose other keys are masked as padding
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    if query == key == 0:
        raise ValueError("no key left")
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    return out


# %% wrong 04.6: AssertionError instead of ValueError
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    assert not torch.isneginf(out[:, head, query]).all(-1).any(), "no key left"
    return out


# %% wrong 04.6: first prompt only
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[0, head, query, key] = float("-inf")
    if torch.isneginf(out[0, head, query]).all():
        raise ValueError("no key left")
    return out


# %% wrong 04.6: returns probabilities after the softmax
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if torch.isneginf(out[:, head, query]).all(-1).any():
        raise ValueError("no key left")
    return out.softmax(-1)


# %% wrong 04.6: checks before knocking out, which is never the case
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    row = scores[:, head, query]
    if torch.isneginf(row).all(-1).any():
        raise ValueError("no key left")
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    return out


# %% wrong 04.7: backward leaves .grad in all parameters
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = {}

    def keep(x, hook):
        x.retain_grad()
        kept["x"] = x

    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)])
        loss.backward()
    return kept["x"].grad


# %% wrong 04.7: zero_grad(set_to_none=False) leaves zero gradients behind
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        x.retain_grad()
        kept.append(x)

    with torch.enable_grad():
        model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)]).backward()
    model.zero_grad(set_to_none=False)
    return kept[0].grad


# %% wrong 04.7: the sum of the losses instead of the mean
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    with torch.enable_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, keep)])
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")
    return torch.autograd.grad(loss, kept[0])[0]


# %% wrong 04.7: the loss compares with the token itself, not with the next one
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    with torch.enable_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, keep)])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())
    return torch.autograd.grad(loss, kept[0])[0]


# %% wrong 04.7: the hook stays on the model
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    dict(model.named_modules())[name].add_hook(keep)
    with torch.enable_grad():
        loss = model(tokens, return_type="loss")
    return torch.autograd.grad(loss, kept[0])[0]


# %% wrong 04.7: reset_hooks takes the caller's hooks away
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    model.reset_hooks()
    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)])
    return torch.autograd.grad(loss, kept[0])[0]


# %% wrong 04.7: summed over the batch, shape of one prompt
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)])
    return torch.autograd.grad(loss, kept[0])[0].sum(0)


# %% wrong 04.7: bare squeeze loses a batch of one
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)])
    return torch.autograd.grad(loss, kept[0])[0].squeeze()


# %% wrong 04.7: gradient times activation
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)])
    return torch.autograd.grad(loss, kept[0])[0] * kept[0].detach()


# %% wrong 04.7: freezes the parameters to keep them free of .grad and leaves them frozen
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    model.requires_grad_(False)
    with torch.enable_grad():
        model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)]).backward()
    return kept[0].grad


# %% wrong 04.7: eval mode stays on, training mode is lost
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    model.eval()
    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)])
    return torch.autograd.grad(loss, kept[0])[0]


# %% wrong 04.7: gradient of the summed logits, not of the loss
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().requires_grad_())
        return kept[0]

    with torch.enable_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, keep)])
    return torch.autograd.grad(logits.sum(), kept[0])[0]


# %% right 04.1: plain loop, counts from 1
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for number in sorted(self.hooks):
            out = self.hooks[number](x, hook=self)
            x = x if out is None else out
        return x

    def add_hook(self, hook: Callable) -> int:
        self.attached += 1
        self.hooks[self.attached] = hook
        return self.attached

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% right 04.1: tuple of the hooks first
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        current = x
        for f in tuple(self.hooks.values()):
            replaced = f(current, hook=self)
            if replaced is None:
                continue
            current = replaced
        return current

    def add_hook(self, hook: Callable) -> int:
        number, self.attached = self.attached, self.attached + 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% right 04.1: reduce
class HookPoint(nn.Module):
    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        from functools import reduce

        def step(value, f):
            new = f(value, hook=self)
            return value if new is None else new

        return reduce(step, list(self.hooks.values()), x)

    def add_hook(self, hook: Callable) -> int:
        key = self.attached
        self.attached = key + 1
        self.hooks.update({key: hook})
        return key

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# %% right 04.1: ExitStack
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    from contextlib import ExitStack

    modules = dict(model.named_modules())
    with ExitStack() as stack:
        for name, f in hooks:
            point = modules[name]
            stack.callback(point.remove_hook, point.add_hook(f))
        return model(tokens)


# %% right 04.1: looks all names up first
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    todo = [(modules[name], f) for name, f in hooks]
    done = []
    try:
        for point, f in todo:
            done.append((point, point.add_hook(f)))
        return model(tokens)
    finally:
        for point, number in done:
            point.remove_hook(number)


# %% right 04.1: recursion, one hook per level
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())

    def go(rest):
        if not rest:
            return model(tokens)
        (name, f), *others = rest
        point = modules[name]
        number = point.add_hook(f)
        try:
            return go(others)
        finally:
            point.remove_hook(number)

    return go(list(hooks))


# %% right 04.2: diagonal
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    diag = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += diag.mean(-1).sum(0)


# %% right 04.2: fancy indices
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    s = pattern.shape[-2]
    q = torch.arange(1, s, device=pattern.device)
    with torch.no_grad():
        store[hook.layer()].add_(pattern[:, :, q, q - 1].mean(-1).sum(0))


# %% right 04.2: loops and floats
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    p = pattern.detach()
    b, h, s, _ = p.shape
    layer = hook.layer()
    for prompt in range(b):
        for head in range(h):
            values = [p[prompt, head, q, q - 1].item() for q in range(1, s)]
            store[layer, head] += sum(values) / len(values)


# %% right 04.2: einsum with a shifted identity
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    s = pattern.shape[-1]
    shift = torch.diag(torch.ones(s - 1, dtype=pattern.dtype, device=pattern.device), -1)
    store[hook.layer()] += torch.einsum("bhqk,qk->h", pattern.detach(), shift) / (s - 1)


# %% right 04.3: clone
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = 0.0
    return out


# %% right 04.3: a mask over the heads
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    keep = torch.arange(z.shape[2], device=z.device) != head
    return z * keep[:, None].to(z.dtype)


# %% right 04.3: torch.where
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    here = torch.zeros(z.shape[2], 1, dtype=torch.bool, device=z.device)
    here[head] = True
    return torch.where(here, torch.zeros_like(z), z)


# %% right 04.3: cat of the parts
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    return torch.cat([z[:, :, :head], torch.zeros_like(z[:, :, head : head + 1]), z[:, :, head + 1 :]], dim=2)


# %% right 04.3: index_fill
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    return z.index_fill(2, torch.tensor([head], device=z.device), 0.0)


# %% right 04.4: where and sum
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    real = mask[:, :, None]
    part = torch.where(real, reference[:, :, head], torch.zeros_like(reference[:, :, head]))
    out = z.clone()
    out[:, :, head] = part.sum(0) / real.sum(0)
    return out


# %% right 04.4: position by position
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    for pos in range(z.shape[1]):
        out[:, pos, head] = reference[mask[:, pos], pos, head].mean(0)
    return out


# %% right 04.4: nanmean
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    part = reference[:, :, head].masked_fill(~mask[:, :, None], float("nan"))
    out = z.clone()
    out[:, :, head] = part.nanmean(0)
    return out


# %% right 04.4: stacks the heads again
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    heads = list(z.unbind(2))
    part = reference[:, :, head].masked_fill(~mask[..., None], 0)
    mean = torch.einsum("nse->se", part) / mask.sum(0)[:, None]
    heads[head] = mean.expand(z.shape[0], -1, -1)
    return torch.stack(heads, dim=2)


# %% right 04.5: run_with_hooks with partial
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        lp = logits[:, :-1].log_softmax(-1)
        return -lp.gather(-1, tokens[:, 1:, None])[:, n + 1 :, 0].mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        base = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(zero, head=head))]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    return scores


# %% right 04.5: cross_entropy on the tail, lambdas with a default argument
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = tokens.shape[1] // 2
    targets = tokens[:, n + 2 :].flatten()

    def tail_loss(fwd_hooks):
        logits = model.run_with_hooks(tokens, fwd_hooks=fwd_hooks)
        return nn.functional.cross_entropy(logits[:, n + 1 : -1].flatten(0, 1), targets)

    rows = []
    with torch.no_grad():
        base = tail_loss([])
        for layer in range(model.cfg.n_layers):
            row = []
            for head in range(model.cfg.n_heads):
                fill = lambda z, hook, i=head: z.index_fill(2, torch.tensor([i], device=z.device), 0)
                row.append(tail_loss([(f"blocks.{layer}.attn.hook_z", fill)]) - base)
            rows.append(torch.stack(row))
    return torch.stack(rows)


# %% right 04.5: torch's own forward hooks, removed in finally
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    @torch.no_grad()
    def second_half():
        lp = model(tokens).log_softmax(-1)
        picked = lp[:, n + 1 : -1].gather(2, tokens[:, n + 2 :].unsqueeze(2))
        return -picked.mean().item()

    base = second_half()
    result = []
    for layer in range(model.cfg.n_layers):
        point = model.get_submodule(f"blocks.{layer}.attn.hook_z")
        for head in range(model.cfg.n_heads):

            def ablate(module, args, out, head=head):
                out = out.clone()
                out[:, :, head] = 0
                return out

            handle = point.register_forward_hook(ablate)
            try:
                result.append(second_half() - base)
            finally:
                handle.remove()
    return torch.tensor(result).view(model.cfg.n_layers, model.cfg.n_heads)


# %% right 04.6: clone and isneginf
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if torch.isneginf(out[:, head, query]).all(-1).any():
        raise ValueError(f"query {query} would have no key left")
    return out


# %% right 04.6: check on the other keys first
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    others = torch.cat([scores[:, head, query, :key], scores[:, head, query, key + 1 :]], dim=-1)
    if not (others > -torch.inf).any(dim=-1).all():
        raise ValueError("no key left")
    where = torch.zeros_like(scores, dtype=torch.bool)
    where[:, head, query, key] = True
    return scores.masked_fill(where, -torch.inf)


# %% right 04.6: a loop over the prompts for the check
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.detach().clone() if not scores.requires_grad else scores.clone()
    out[:, head, query, key] = -float("inf")
    for row in out[:, head, query]:
        if row.max() == -float("inf"):
            raise ValueError("this query would have no key left")
    return out


# %% right 04.7: autograd.grad on a replaced leaf
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(x, hook):
        kept.append(x.detach().clone().requires_grad_())
        return kept[0]

    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)])
        (grad,) = torch.autograd.grad(loss, kept[0])
    return grad


# %% right 04.7: adds a zero and differentiates by it
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    extra = {}

    def add_zero(x, hook):
        extra["e"] = torch.zeros_like(x).requires_grad_()
        return x + extra["e"]

    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, add_zero)])
        return torch.autograd.grad(loss, extra["e"])[0]


# %% right 04.7: own loss, torch's own hook
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(module, args, out):
        new = out.detach().requires_grad_()
        kept.append(new)
        return new

    handle = model.get_submodule(name).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = model(tokens)
            loss = nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1))
            return torch.autograd.grad(loss, kept[0])[0]
    finally:
        handle.remove()


# %% right 04.1: removal in reverse order, walrus
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    undo = []
    try:
        for name, function in hooks:
            if name not in modules:
                raise KeyError(name)
            undo.append(partial(modules[name].remove_hook, modules[name].add_hook(function)))
        result = model(tokens)
    finally:
        while undo:
            undo.pop()()
    return result


# %% right 04.5: torch.where in the hook, mean of per-prompt means
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    n = (tokens.shape[1] - 1) // 2
    want = tokens[:, n + 2 :]

    def measure(hooks):
        logits = model.run_with_hooks(tokens, fwd_hooks=hooks)[:, n + 1 : 2 * n]
        correct = logits.gather(-1, want[..., None])[..., 0]
        return (logits.logsumexp(-1) - correct).mean(1).mean()

    def make(head):
        def hook_fn(z, hook):
            this = (torch.arange(H, device=z.device) == head)[:, None]
            return torch.where(this, torch.zeros_like(z), z)

        return hook_fn

    with torch.no_grad():
        base = measure([])
        flat = [measure([(f"blocks.{i // H}.attn.hook_z", make(i % H))]) - base for i in range(L * H)]
    return torch.stack(flat).reshape(L, H)


# %% right 04.6: adds a matrix of zeros with one -inf
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    add = torch.zeros(scores.shape[1:], dtype=scores.dtype, device=scores.device)
    add[head, query, key] = float("-inf")
    out = scores + add
    if bool((out[:, head, query].amax(dim=-1) == float("-inf")).any()):
        raise ValueError("no key left")
    return out


# %% right 04.7: keeps the activation in the graph when it has one
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    found = []

    def keep(x, hook):
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        found.append(x)
        return x

    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, keep)])
    return torch.autograd.grad(loss, found[0])[0].detach()


# %% wrong 04.1: the number is one more than the largest still attached: after the last hook is removed its number is given out again
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    # exercise 04.1
    def forward(self, x: Tensor) -> Tensor:
        """Call every hook in order as `hook(x, hook=self)`.

        What a hook returns is what the next one gets, and in the end what is returned here; a hook that
        returns None leaves x as it was. Gradients pass through.
        """
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    # exercise 04.1
    def add_hook(self, hook: Callable) -> int:
        """Attach `hook` behind those already there; return its number, which no other hook has or had."""
        number = max(self.hooks, default=-1) + 1
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    """One run of the model with `hooks` attached, (name, function) pairs; returns what the model returns.

    A name is a module's exact path, a key of `dict(model.named_modules())`; KeyError for any other. Afterwards,
    and also after an exception or Ctrl-C, which goes on to the caller, exactly these hooks are gone again and all others are
    still there.
    """
    points = dict(model.named_modules())
    done = []
    try:
        for name, function in hooks:
            point = points[name]
            done.append((point, point.add_hook(function)))
        return model(tokens)
    finally:
        for point, number in done:
            point.remove_hook(number)


# %% wrong 04.1: cleans up only after `except Exception`: Ctrl-C (KeyboardInterrupt) leaves the hooks attached
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    # exercise 04.1
    def forward(self, x: Tensor) -> Tensor:
        """Call every hook in order as `hook(x, hook=self)`.

        What a hook returns is what the next one gets, and in the end what is returned here; a hook that
        returns None leaves x as it was. Gradients pass through.
        """
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    # exercise 04.1
    def add_hook(self, hook: Callable) -> int:
        """Attach `hook` behind those already there; return its number, which no other hook has or had."""
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    """One run of the model with `hooks` attached, (name, function) pairs; returns what the model returns.

    A name is a module's exact path, a key of `dict(model.named_modules())`; KeyError for any other. Afterwards,
    and also after an exception or Ctrl-C, which goes on to the caller, exactly these hooks are gone again and all others are
    still there.
    """
    points = dict(model.named_modules())
    for name, _ in hooks:
        if name not in points:
            raise KeyError(name)
    added = [(points[name], points[name].add_hook(function)) for name, function in hooks]
    try:
        out = model(tokens)
    except Exception:
        for point, number in added:
            point.remove_hook(number)
        raise
    for point, number in added:
        point.remove_hook(number)
    return out


# %% wrong 04.1: attached outside the try: when a later name raises KeyError, the hooks of the names before it stay
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    # exercise 04.1
    def forward(self, x: Tensor) -> Tensor:
        """Call every hook in order as `hook(x, hook=self)`.

        What a hook returns is what the next one gets, and in the end what is returned here; a hook that
        returns None leaves x as it was. Gradients pass through.
        """
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    # exercise 04.1
    def add_hook(self, hook: Callable) -> int:
        """Attach `hook` behind those already there; return its number, which no other hook has or had."""
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    """One run of the model with `hooks` attached, (name, function) pairs; returns what the model returns.

    A name is a module's exact path, a key of `dict(model.named_modules())`; KeyError for any other. Afterwards,
    and also after an exception or Ctrl-C, which goes on to the caller, exactly these hooks are gone again and all others are
    still there.
    """
    points = dict(model.named_modules())
    added = []
    for name, function in hooks:
        added.append((points[name], points[name].add_hook(function)))
    try:
        return model(tokens)
    finally:
        for point, number in added:
            point.remove_hook(number)


# %% wrong 04.1: cleans up by function: the same function that was attached there before the run is removed too
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    # exercise 04.1
    def forward(self, x: Tensor) -> Tensor:
        """Call every hook in order as `hook(x, hook=self)`.

        What a hook returns is what the next one gets, and in the end what is returned here; a hook that
        returns None leaves x as it was. Gradients pass through.
        """
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    # exercise 04.1
    def add_hook(self, hook: Callable) -> int:
        """Attach `hook` behind those already there; return its number, which no other hook has or had."""
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    """One run of the model with `hooks` attached, (name, function) pairs; returns what the model returns.

    A name is a module's exact path, a key of `dict(model.named_modules())`; KeyError for any other. Afterwards,
    and also after an exception or Ctrl-C, which goes on to the caller, exactly these hooks are gone again and all others are
    still there.
    """
    points = dict(model.named_modules())
    missing = [name for name, _ in hooks if name not in points]
    if missing:
        raise KeyError(missing[0])
    try:
        for name, function in hooks:
            points[name].add_hook(function)
        return model(tokens)
    finally:
        for name, function in hooks:
            point = points[name]
            for number in [i for i, f in point.hooks.items() if f == function]:
                point.remove_hook(number)


# %% right 04.1: ExitStack, numbers from the counter
from contextlib import ExitStack


class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    # exercise 04.1
    def forward(self, x: Tensor) -> Tensor:
        """Call every hook in order as `hook(x, hook=self)`.

        What a hook returns is what the next one gets, and in the end what is returned here; a hook that
        returns None leaves x as it was. Gradients pass through.
        """
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    # exercise 04.1
    def add_hook(self, hook: Callable) -> int:
        """Attach `hook` behind those already there; return its number, which no other hook has or had."""
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    """One run of the model with `hooks` attached, (name, function) pairs; returns what the model returns.

    A name is a module's exact path, a key of `dict(model.named_modules())`; KeyError for any other. Afterwards,
    and also after an exception or Ctrl-C, which goes on to the caller, exactly these hooks are gone again and all others are
    still there.
    """
    with ExitStack() as stack:
        places = dict(model.named_modules())
        for name, function in hooks:
            place = places[name]
            number = place.add_hook(function)
            stack.callback(place.remove_hook, number)
        return model(tokens)


# %% right 04.1: reduce in forward, names looked up first, removal backwards
import functools


class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    # exercise 04.1
    def forward(self, x: Tensor) -> Tensor:
        """Call every hook in order as `hook(x, hook=self)`.

        What a hook returns is what the next one gets, and in the end what is returned here; a hook that
        returns None leaves x as it was. Gradients pass through.
        """
        def step(value, hook):
            new = hook(value, hook=self)
            return value if new is None else new

        return functools.reduce(step, tuple(self.hooks.values()), x)

    # exercise 04.1
    def add_hook(self, hook: Callable) -> int:
        """Attach `hook` behind those already there; return its number, which no other hook has or had."""
        self.attached = self.attached + 1
        self.hooks.update({self.attached: hook})
        return self.attached

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    """One run of the model with `hooks` attached, (name, function) pairs; returns what the model returns.

    A name is a module's exact path, a key of `dict(model.named_modules())`; KeyError for any other. Afterwards,
    and also after an exception or Ctrl-C, which goes on to the caller, exactly these hooks are gone again and all others are
    still there.
    """
    everything = {name: module for name, module in model.named_modules()}
    pairs = [(everything[name], function) for name, function in hooks]
    numbers = []
    try:
        for point, function in pairs:
            numbers.append(point.add_hook(function))
        result = model(tokens)
    finally:
        while numbers:
            number = numbers.pop()
            pairs[len(numbers)][0].remove_hook(number)
    return result


# %% wrong 04.2: mean over the batch instead of the sum over its prompts
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    """Add every head's attention to the previous token to its place in `store`, and change nothing else.

    For one prompt it is the mean, over the queries from position 1 on, of the attention to the position before;
    the prompts of a batch are summed up, so that the caller may divide by their number after all batches.
    `hook.layer()` is the layer. The store keeps no graph. Returns nothing. (Prompts have two tokens or more.)
    """
    prev = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += prev.mean(dim=(0, -1))


# %% wrong 04.2: no detach: the store gets a grad_fn and keeps the graph
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    """Add every head's attention to the previous token to its place in `store`, and change nothing else.

    For one prompt it is the mean, over the queries from position 1 on, of the attention to the position before;
    the prompts of a batch are summed up, so that the caller may divide by their number after all batches.
    `hook.layer()` is the layer. The store keeps no graph. Returns nothing. (Prompts have two tokens or more.)
    """
    prev = pattern.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)
    store[hook.layer()] += prev.sum(0)


# %% wrong 04.2: sets query 0 of the pattern to zero in place (detach shares memory), so the model's own activation changes
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    """Add every head's attention to the previous token to its place in `store`, and change nothing else.

    For one prompt it is the mean, over the queries from position 1 on, of the attention to the position before;
    the prompts of a batch are summed up, so that the caller may divide by their number after all batches.
    `hook.layer()` is the layer. The store keeps no graph. Returns nothing. (Prompts have two tokens or more.)
    """
    p = pattern.detach()
    p[:, :, 0] = 0
    q = torch.arange(p.shape[-1], device=p.device)
    prev = p[:, :, q, q - 1].sum(-1) / (p.shape[-1] - 1)
    store[hook.layer()] += prev.sum(0)


# %% wrong 04.2: returns the result of add_, which as a hook's return value replaces the pattern
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    """Add every head's attention to the previous token to its place in `store`, and change nothing else.

    For one prompt it is the mean, over the queries from position 1 on, of the attention to the position before;
    the prompts of a batch are summed up, so that the caller may divide by their number after all batches.
    `hook.layer()` is the layer. The store keeps no graph. Returns nothing. (Prompts have two tokens or more.)
    """
    prev = pattern.detach().diagonal(-1, 2, 3).mean(-1).sum(0)
    return store[hook.layer()].add_(prev)


# %% right 04.2: einsum with a shifted identity under no_grad
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    """Add every head's attention to the previous token to its place in `store`, and change nothing else.

    For one prompt it is the mean, over the queries from position 1 on, of the attention to the position before;
    the prompts of a batch are summed up, so that the caller may divide by their number after all batches.
    `hook.layer()` is the layer. The store keeps no graph. Returns nothing. (Prompts have two tokens or more.)
    """
    with torch.no_grad():
        s = pattern.shape[-1]
        shifted = torch.diag(torch.ones(s - 1, dtype=pattern.dtype, device=pattern.device), -1)
        store[hook.layer()].add_(torch.einsum("bhqk,qk->h", pattern, shifted) / (s - 1))


# %% right 04.2: loops over prompts and heads
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    """Add every head's attention to the previous token to its place in `store`, and change nothing else.

    For one prompt it is the mean, over the queries from position 1 on, of the attention to the position before;
    the prompts of a batch are summed up, so that the caller may divide by their number after all batches.
    `hook.layer()` is the layer. The store keeps no graph. Returns nothing. (Prompts have two tokens or more.)
    """
    layer = hook.layer()
    for prompt in pattern.detach():
        for h, head in enumerate(prompt):
            s = head.shape[0]
            store[layer, h] += sum(head[q, q - 1] for q in range(1, s)) / (s - 1)


# %% wrong 04.3: contiguous() is no copy when z is contiguous already: z itself is changed
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    """z with this head's part set to zero. z itself is not changed; gradients pass through the other heads."""
    out = z.contiguous()
    out[:, :, head] = 0.0
    return out


# %% wrong 04.3: wrong axis: zeroes component `head` of every head's vector
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    """z with this head's part set to zero. z itself is not changed; gradients pass through the other heads."""
    out = z.clone()
    out[..., head] = 0
    return out


# %% wrong 04.3: detached copy: no gradient passes through the other heads
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    """z with this head's part set to zero. z itself is not changed; gradients pass through the other heads."""
    out = z.detach().clone()
    out[:, :, head, :] = 0
    return out


# %% wrong 04.3: z - z.detach(): the value is zero, but the gradient still goes through the ablated head
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    """z with this head's part set to zero. z itself is not changed; gradients pass through the other heads."""
    parts = list(z.unbind(dim=2))
    parts[head] = parts[head] - parts[head].detach()
    return torch.stack(parts, dim=2)


# %% right 04.3: index_fill, once more
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    """z with this head's part set to zero. z itself is not changed; gradients pass through the other heads."""
    return z.index_fill(2, torch.tensor([head], device=z.device), 0.0)


# %% right 04.3: unbind and stack
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    """z with this head's part set to zero. z itself is not changed; gradients pass through the other heads."""
    return torch.stack([torch.zeros_like(part) if i == head else part for i, part in enumerate(z.unbind(2))], dim=2)


# %% wrong 04.4: padding is zeroed but the sum is divided by all n prompts instead of the real ones
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    """z with this head's part replaced by its mean over the reference prompts, at each position by itself.

    `reference` holds the layer's z on n other prompts; `mask` is True where their tokens are real and False where
    they are padding, which does not count. (Some prompt is real at every position, and all numbers are finite.) z itself is not
    changed; gradients pass through the other heads.
    """
    mean = (reference[:, :, head] * mask[:, :, None]).mean(dim=0)
    out = z.clone()
    out[:, :, head] = mean
    return out


# %% wrong 04.4: one mean over all real tokens of all positions instead of one per position
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    """z with this head's part replaced by its mean over the reference prompts, at each position by itself.

    `reference` holds the layer's z on n other prompts; `mask` is True where their tokens are real and False where
    they are padding, which does not count. (Some prompt is real at every position, and all numbers are finite.) z itself is not
    changed; gradients pass through the other heads.
    """
    mean = reference[:, :, head][mask].mean(0)
    out = z.clone()
    out[:, :, head, :] = mean
    return out


# %% wrong 04.4: takes the padding to be on the right (first mask.sum tokens are real): wrong for padding on the left
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    """z with this head's part replaced by its mean over the reference prompts, at each position by itself.

    `reference` holds the layer's z on n other prompts; `mask` is True where their tokens are real and False where
    they are padding, which does not count. (Some prompt is real at every position, and all numbers are finite.) z itself is not
    changed; gradients pass through the other heads.
    """
    lengths = mask.sum(1)
    real = torch.arange(mask.shape[1], device=mask.device)[None] < lengths[:, None]
    w = real.to(reference.dtype)
    mean = torch.einsum("ns,nse->se", w, reference[:, :, head]) / w.sum(0).clamp(min=1)[:, None]
    out = z.clone()
    out[:, :, head] = mean
    return out


# %% wrong 04.4: counts the entries that are not 0 as the real ones: a real token whose z is exactly 0 is left out of the mean
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    """z with this head's part replaced by its mean over the reference prompts, at each position by itself.

    `reference` holds the layer's z on n other prompts; `mask` is True where their tokens are real and False where
    they are padding, which does not count. (Some prompt is real at every position, and all numbers are finite.) z itself is not
    changed; gradients pass through the other heads.
    """
    kept = reference[:, :, head].masked_fill(~mask[..., None], 0.0)
    count = (kept != 0).sum(0).clamp(min=1)
    out = z.clone()
    out[:, :, head] = kept.sum(0) / count
    return out


# %% right 04.4: nanmean and torch.where
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    """z with this head's part replaced by its mean over the reference prompts, at each position by itself.

    `reference` holds the layer's z on n other prompts; `mask` is True where their tokens are real and False where
    they are padding, which does not count. (Some prompt is real at every position, and all numbers are finite.) z itself is not
    changed; gradients pass through the other heads.
    """
    part = torch.where(mask[:, :, None], reference[:, :, head], torch.nan)
    mean = part.nanmean(dim=0)
    chosen = (torch.arange(z.shape[2], device=z.device) == head)[None, None, :, None]
    return torch.where(chosen, mean[None, :, None, :].to(z.dtype), z)


# %% right 04.4: loop over positions
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    """z with this head's part replaced by its mean over the reference prompts, at each position by itself.

    `reference` holds the layer's z on n other prompts; `mask` is True where their tokens are real and False where
    they are padding, which does not count. (Some prompt is real at every position, and all numbers are finite.) z itself is not
    changed; gradients pass through the other heads.
    """
    columns = []
    for p in range(z.shape[1]):
        columns.append(reference[mask[:, p], p, head].mean(0))
    mean = torch.stack(columns).to(z.dtype)
    filler = mean[None, :, None].expand(z.shape[0], -1, 1, -1)
    return torch.cat([z[:, :, :head], filler, z[:, :, head + 1 :]], dim=2)


# %% wrong 04.5: the loss counts the unforeseeable first token of the second repeat
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    """How much the loss rises, in nats, when one head's z is set to zero: for every head by itself.

    `tokens` are BOS and n random tokens twice, s = 1 + 2n. The loss is the mean over the second repeat without its
    first token, which nothing foretells (n is 2 or more). Positive: the head helps. The model is left as it was found, weights
    included, with the hooks it had and no others.
    """
    cfg = model.cfg
    n = (tokens.shape[1] - 1) // 2

    def ablate(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    def loss(logits):
        logp = logits.log_softmax(-1)[:, n:-1]
        target = tokens[:, n + 1 :]
        return -logp.gather(-1, target[..., None]).mean()

    with torch.no_grad():
        base = loss(model(tokens))
        scores = torch.zeros(cfg.n_layers, cfg.n_heads)
        for layer in range(cfg.n_layers):
            for head in range(cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(ablate, head=head))]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    return scores


# %% wrong 04.5: model.reset_hooks() after each run also removes the hooks that the model had
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    """How much the loss rises, in nats, when one head's z is set to zero: for every head by itself.

    `tokens` are BOS and n random tokens twice, s = 1 + 2n. The loss is the mean over the second repeat without its
    first token, which nothing foretells (n is 2 or more). Positive: the head helps. The model is left as it was found, weights
    included, with the hooks it had and no others.
    """
    cfg = model.cfg
    n = (tokens.shape[1] - 1) // 2

    def ablate(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    def loss(logits):
        logp = logits.log_softmax(-1)[:, n + 1:-1]
        target = tokens[:, n + 2 :]
        return -logp.gather(-1, target[..., None]).mean()

    with torch.no_grad():
        base = loss(model(tokens))
        scores = torch.zeros(cfg.n_layers, cfg.n_heads)
        for layer in range(cfg.n_layers):
            for head in range(cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(ablate, head=head))]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
                model.reset_hooks()
    return scores


# %% wrong 04.5: late binding: the functions of a layer are made in a list first and all ablate the last head
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    """How much the loss rises, in nats, when one head's z is set to zero: for every head by itself.

    `tokens` are BOS and n random tokens twice, s = 1 + 2n. The loss is the mean over the second repeat without its
    first token, which nothing foretells (n is 2 or more). Positive: the head helps. The model is left as it was found, weights
    included, with the hooks it had and no others.
    """
    cfg = model.cfg
    n = (tokens.shape[1] - 1) // 2

    def ablate(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    def loss(logits):
        logp = logits.log_softmax(-1)[:, n + 1:-1]
        target = tokens[:, n + 2 :]
        return -logp.gather(-1, target[..., None]).mean()

    with torch.no_grad():
        base = loss(model(tokens))
        scores = torch.zeros(cfg.n_layers, cfg.n_heads)
        for layer in range(cfg.n_layers):
            functions = [lambda z, hook: ablate(z, hook, h) for h in range(cfg.n_heads)]
            for head in range(cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", functions[head])]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    return scores


# %% wrong 04.5: head switched off in W_O, the saved weights are a view and not a copy: the weights stay zero and the ablations pile up
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    """How much the loss rises, in nats, when one head's z is set to zero: for every head by itself.

    `tokens` are BOS and n random tokens twice, s = 1 + 2n. The loss is the mean over the second repeat without its
    first token, which nothing foretells (n is 2 or more). Positive: the head helps. The model is left as it was found, weights
    included, with the hooks it had and no others.
    """
    n = (tokens.shape[1] - 1) // 2

    @torch.no_grad()
    def loss():
        logits = model(tokens)[:, n + 1 : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, n + 2 :].flatten())

    base = loss()
    out = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for l, block in enumerate(model.blocks):
        for h in range(model.cfg.n_heads):
            weights = block.attn.W_O.data
            saved = weights[h]
            weights[h] = 0
            out[l, h] = loss() - base
            weights[h] = saved
    return out


# %% right 04.5: run_with_hooks and partial
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    """How much the loss rises, in nats, when one head's z is set to zero: for every head by itself.

    `tokens` are BOS and n random tokens twice, s = 1 + 2n. The loss is the mean over the second repeat without its
    first token, which nothing foretells (n is 2 or more). Positive: the head helps. The model is left as it was found, weights
    included, with the hooks it had and no others.
    """
    cfg = model.cfg
    n = (tokens.shape[1] - 1) // 2

    def ablate(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0
        return z

    def loss(logits):
        logp = logits.log_softmax(-1)[:, n + 1:-1]
        target = tokens[:, n + 2 :]
        return -logp.gather(-1, target[..., None]).mean()

    with torch.no_grad():
        base = loss(model(tokens))
        scores = torch.zeros(cfg.n_layers, cfg.n_heads)
        for layer in range(cfg.n_layers):
            for head in range(cfg.n_heads):
                hooks = [(f"blocks.{layer}.attn.hook_z", partial(ablate, head=head))]
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=hooks)) - base
    return scores


# %% right 04.5: torch's own forward hooks on the hook points
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    """How much the loss rises, in nats, when one head's z is set to zero: for every head by itself.

    `tokens` are BOS and n random tokens twice, s = 1 + 2n. The loss is the mean over the second repeat without its
    first token, which nothing foretells (n is 2 or more). Positive: the head helps. The model is left as it was found, weights
    included, with the hooks it had and no others.
    """
    n = tokens.shape[1] // 2
    points = dict(model.named_modules())

    def run():
        logits = model(tokens)
        return nn.functional.cross_entropy(logits[:, n + 1 : 2 * n].transpose(1, 2), tokens[:, n + 2 :]).item()

    rows = []
    with torch.no_grad():
        base = run()
        for layer in range(model.cfg.n_layers):
            point = points[f"blocks.{layer}.attn.hook_z"]
            row = []
            for head in range(model.cfg.n_heads):
                keep = torch.ones(model.cfg.n_heads, 1, device=tokens.device)
                keep[head] = 0
                handle = point.register_forward_hook(lambda module, args, z, keep=keep: z * keep)
                try:
                    row.append(run() - base)
                finally:
                    handle.remove()
            rows.append(row)
    return torch.tensor(rows)


# %% wrong 04.6: -1e5 instead of -inf: where the other scores are lower still, the entry is not 0 after the softmax
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    """The attention scores (before the softmax) such that `head` cannot look from `query` at `key`.

    After the softmax that entry is 0 and the rest of its row sums to one. `scores` itself is not changed; gradients pass through
    the others. What is masked already (a later token, padding) has the score -inf. Raises ValueError when that query would have
    no key left in some prompt of the batch.
    """
    left = scores[:, head, query].detach().clone()
    left[:, key] = -torch.inf
    if (left == -torch.inf).all(-1).any():
        raise ValueError("no key left")
    out = scores.clone()
    out[:, head, query, key] = -1e5
    return out


# %% wrong 04.6: raises only when the query has no key left in every prompt of the batch, not already in some prompt
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    """The attention scores (before the softmax) such that `head` cannot look from `query` at `key`.

    After the softmax that entry is 0 and the rest of its row sums to one. `scores` itself is not changed; gradients pass through
    the others. What is masked already (a later token, padding) has the score -inf. Raises ValueError when that query would have
    no key left in some prompt of the batch.
    """
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if torch.isneginf(out[:, head, query]).all():
        raise ValueError(f"query {query} has no key left")
    return out


# %% wrong 04.6: raises whenever one key is visible, also when `key` was masked already and that other key stays
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    """The attention scores (before the softmax) such that `head` cannot look from `query` at `key`.

    After the softmax that entry is 0 and the rest of its row sums to one. `scores` itself is not changed; gradients pass through
    the others. What is masked already (a later token, padding) has the score -inf. Raises ValueError when that query would have
    no key left in some prompt of the batch.
    """
    visible = (scores[:, head, query] != -torch.inf).sum(-1)
    if (visible <= 1).any():
        raise ValueError(f"query {query} has no key left")
    out = scores.clone()
    out[:, head, query, key] = -torch.inf
    return out


# %% wrong 04.6: looks at all heads and queries: a row of another query (padding) that is masked entirely raises too
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    """The attention scores (before the softmax) such that `head` cannot look from `query` at `key`.

    After the softmax that entry is 0 and the rest of its row sums to one. `scores` itself is not changed; gradients pass through
    the others. What is masked already (a later token, padding) has the score -inf. Raises ValueError when that query would have
    no key left in some prompt of the batch.
    """
    edge = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    edge[:, head, query, key] = True
    out = scores.masked_fill(edge, -torch.inf)
    if out.isneginf().all(dim=-1).any():
        raise ValueError("a query has no key left")
    return out


# %% right 04.6: clone and set
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    """The attention scores (before the softmax) such that `head` cannot look from `query` at `key`.

    After the softmax that entry is 0 and the rest of its row sums to one. `scores` itself is not changed; gradients pass through
    the others. What is masked already (a later token, padding) has the score -inf. Raises ValueError when that query would have
    no key left in some prompt of the batch.
    """
    out = scores.clone()
    out[:, head, query, key] = -float("inf")
    if bool((out[:, head, query, :].amax(dim=-1) == -float("inf")).any()):
        raise ValueError(f"query {query} of head {head} has no key left but {key}")
    return out


# %% right 04.6: torch.where with a one-hot mask, the check in python
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    """The attention scores (before the softmax) such that `head` cannot look from `query` at `key`.

    After the softmax that entry is 0 and the rest of its row sums to one. `scores` itself is not changed; gradients pass through
    the others. What is masked already (a later token, padding) has the score -inf. Raises ValueError when that query would have
    no key left in some prompt of the batch.
    """
    h = torch.arange(scores.shape[1], device=scores.device)[:, None, None] == head
    q = torch.arange(scores.shape[2], device=scores.device)[:, None] == query
    k = torch.arange(scores.shape[3], device=scores.device) == key
    out = torch.where(h & q & k, torch.full_like(scores, float("-inf")), scores)
    for row in out[:, head, query].tolist():
        if not any(value > float("-inf") for value in row):
            raise ValueError("nothing left to look at")
    return out


# %% wrong 04.7: loss.backward(): the parameters behind the hook point keep their .grad
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    """The gradient of the model's mean loss on `tokens` with respect to the activation at the hook point `name`.

    It has the activation's shape. The model is left as it was found: no hook more or less, its mode and `requires_grad` as they
    were, and no `.grad` in its parameters (it comes without).
    """
    seen = {}

    def catch(x, hook):
        seen["x"] = x.detach().requires_grad_(True)
        return seen["x"]

    with torch.enable_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, catch)])
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
    return seen["x"].grad


# %% wrong 04.7: the loss is summed over the tokens instead of averaged
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    """The gradient of the model's mean loss on `tokens` with respect to the activation at the hook point `name`.

    It has the activation's shape. The model is left as it was found: no hook more or less, its mode and `requires_grad` as they
    were, and no `.grad` in its parameters (it comes without).
    """
    seen = []

    def catch(x, hook):
        seen.append(x.detach().requires_grad_())
        return seen[-1]

    with torch.enable_grad():
        logp = model.run_with_hooks(tokens, fwd_hooks=[(name, catch)]).log_softmax(-1)
        loss = -logp[:, :-1].gather(-1, tokens[:, 1:, None]).sum()
        (grad,) = torch.autograd.grad(loss, seen[-1])
    return grad


# %% wrong 04.7: the hook is never removed: it stays and cuts the graph in every later run
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    """The gradient of the model's mean loss on `tokens` with respect to the activation at the hook point `name`.

    It has the activation's shape. The model is left as it was found: no hook more or less, its mode and `requires_grad` as they
    were, and no `.grad` in its parameters (it comes without).
    """
    kept = {}

    def catch(x, hook):
        kept["act"] = x.detach().requires_grad_(True)
        return kept["act"]

    dict(model.named_modules())[name].add_hook(catch)
    with torch.enable_grad():
        logits = model(tokens)
        loss = nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:])
    return torch.autograd.grad(loss, kept["act"])[0]


# %% wrong 04.7: switches requires_grad on for all parameters and leaves it on: a frozen model is not frozen any more
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    """The gradient of the model's mean loss on `tokens` with respect to the activation at the hook point `name`.

    It has the activation's shape. The model is left as it was found: no hook more or less, its mode and `requires_grad` as they
    were, and no `.grad` in its parameters (it comes without).
    """
    for p in model.parameters():
        p.requires_grad_(True)
    kept = {}

    def look(x, hook):
        kept["act"] = x

    with torch.enable_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, look)])
        loss = nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:])
    return torch.autograd.grad(loss, kept["act"])[0]


# %% right 04.7: detached activation as a leaf, autograd.grad, the model's own loss
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    """The gradient of the model's mean loss on `tokens` with respect to the activation at the hook point `name`.

    It has the activation's shape. The model is left as it was found: no hook more or less, its mode and `requires_grad` as they
    were, and no `.grad` in its parameters (it comes without).
    """
    leaf = []

    def replace(x, hook):
        leaf.append(x.detach().clone().requires_grad_(True))
        return leaf[-1]

    with torch.enable_grad():
        loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, replace)])
        return torch.autograd.grad(loss, leaf[-1])[0]


# %% right 04.7: adds a zero that wants a gradient, through torch's forward hook, the loss from the logits
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    """The gradient of the model's mean loss on `tokens` with respect to the activation at the hook point `name`.

    It has the activation's shape. The model is left as it was found: no hook more or less, its mode and `requires_grad` as they
    were, and no `.grad` in its parameters (it comes without).
    """
    point = dict(model.named_modules())[name]
    nudge = []

    def push(module, args, x):
        nudge.append(torch.zeros_like(x, requires_grad=True))
        return x + nudge[-1]

    handle = point.register_forward_hook(push)
    try:
        with torch.enable_grad():
            logits = model(tokens)
            logp = torch.log_softmax(logits[:, :-1], -1)
            loss = -torch.take_along_dim(logp, tokens[:, 1:, None], -1).mean()
            grads = torch.autograd.grad(loss, nudge)
    finally:
        handle.remove()
    return grads[0]


# %% wrong 04.1: numbers go on from the highest still there, so one is given again
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it."""

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = max(self.hooks, default=-1) + 1
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    points = dict(model.named_modules())
    added = []
    try:
        for name, hook in hooks:
            added.append((points[name], points[name].add_hook(hook)))
        return model(tokens)
    finally:
        for point, number in added:
            point.remove_hook(number)


# %% wrong 04.1: attaches before the try, an unknown name leaves the earlier hooks
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it."""

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    points = dict(model.named_modules())
    added = []
    for name, hook in hooks:
        point = points[name]
        added.append((point, point.add_hook(hook)))
    try:
        return model(tokens)
    finally:
        for point, number in added:
            point.remove_hook(number)


# %% wrong 04.1: get_submodule, which raises AttributeError for an unknown name
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it."""

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    added = []
    try:
        for name, hook in hooks:
            point = model.get_submodule(name)
            added.append((point, point.add_hook(hook)))
        return model(tokens)
    finally:
        for point, number in added:
            point.remove_hook(number)


# %% wrong 04.1: removes by function, also where it was attached before
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it."""

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    points = dict(model.named_modules())
    pairs = [(points[name], hook) for name, hook in hooks]
    try:
        for point, hook in pairs:
            point.add_hook(hook)
        return model(tokens)
    finally:
        for point, hook in pairs:
            for number, other in list(point.hooks.items()):
                if other is hook:
                    point.remove_hook(number)


# %% wrong 04.1: puts back a snapshot, undoing what the run itself attached or removed
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it."""

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    points = dict(model.named_modules())
    pairs = [(points[name], hook) for name, hook in hooks]
    before = [(point, dict(point.hooks)) for point, _ in pairs]
    try:
        for point, hook in pairs:
            point.add_hook(hook)
        return model(tokens)
    finally:
        for point, saved in before:
            point.hooks = saved


# %% right 04.1: loop, and numbers kept for the finally
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it."""

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    points = dict(model.named_modules())
    added = []
    try:
        for name, hook in hooks:
            added.append((points[name], points[name].add_hook(hook)))
        return model(tokens)
    finally:
        for point, number in added:
            point.remove_hook(number)


# %% right 04.1: reduce and an exit stack
from contextlib import ExitStack
from functools import reduce


class HookPoint(nn.Module):
    """An identity that calls the functions attached to it."""

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        def step(activation: Tensor, hook: Callable) -> Tensor:
            changed = hook(activation, hook=self)
            return activation if changed is None else changed

        return reduce(step, tuple(self.hooks.values()), x)

    def add_hook(self, hook: Callable) -> int:
        self.attached += 1
        self.hooks[self.attached] = hook
        return self.attached

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    targets = [(modules[name], function) for name, function in hooks]
    with ExitStack() as stack:
        for point, function in targets:
            stack.callback(point.remove_hook, point.add_hook(function))
        return model(tokens)


# %% wrong 04.2: averages over the batch
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    previous = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += previous.mean(dim=(0, 2))


# %% wrong 04.2: does not detach, the store gets a graph
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    previous = pattern.diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += previous.mean(dim=-1).sum(dim=0)


# %% wrong 04.2: detaches and masks in place, which changes the pattern of the run
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    s = pattern.shape[-1]
    mask = torch.ones(s, s, dtype=pattern.dtype, device=pattern.device).tril(-1).triu(-1)
    previous = pattern.detach()
    previous *= mask
    store[hook.layer()] += previous.sum(dim=(0, 2, 3)) / (s - 1)


# %% wrong 04.2: returns what add_ returns, which replaces the activation
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    previous = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    return store[hook.layer()].add_(previous.mean(dim=-1).sum(dim=0))


# %% wrong 04.2: query 0 counts in the mean's denominator
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    previous = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += previous.sum(dim=(0, 2)) / pattern.shape[-2]


# %% right 04.2: diagonal, mean, sum
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    previous = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += previous.mean(dim=-1).sum(dim=0)


# %% right 04.2: prompt by prompt with indices, without gradients
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    layer = hook.layer()
    query = torch.arange(1, pattern.shape[-2], device=pattern.device)
    with torch.no_grad():
        for prompt in pattern:
            store[layer].add_(prompt[:, query, query - 1].mean(dim=1))


# %% wrong 04.3: copies with [:], which is a view
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z[:]
    out[:, :, head] = 0.0
    return out


# %% wrong 04.3: detaches before it copies
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.detach().clone()
    out[:, :, head] = 0.0
    return out


# %% wrong 04.3: writes through .data, so gradients pass through the ablated head too
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out.data[:, :, head] = 0.0
    return out


# %% wrong 04.3: zeroes a channel of every head
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[..., head] = 0.0
    return out


# %% wrong 04.3: multiplies with 0, which leaves inf and nan as nan
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    keep = torch.ones(z.shape[2], 1, dtype=z.dtype, device=z.device)
    keep[head] = 0.0
    return z * keep


# %% right 04.3: clone and assign
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = 0.0
    return out


# %% right 04.3: masked_fill over the head axis
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    ablated = torch.arange(z.shape[2], device=z.device) == head
    return z.masked_fill(ablated[:, None], 0.0)


# %% wrong 04.4: padding is zeroed but counts in the denominator
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    real = reference[:, :, head] * mask.unsqueeze(-1)
    out = z.clone()
    out[:, :, head] = real.mean(dim=0)
    return out


# %% wrong 04.4: one mean over all real tokens of all positions
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = reference[:, :, head][mask].mean(dim=0)
    return out


# %% wrong 04.4: uses only the prompts without any padding
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    full = mask.all(dim=1)
    out = z.clone()
    out[:, :, head] = reference[full][:, :, head].mean(dim=0)
    return out


# %% wrong 04.4: counts the non-zero numbers, so a real zero is taken for padding
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    real = reference[:, :, head] * mask.unsqueeze(-1)
    mean = real.sum(dim=0) / (real != 0).sum(dim=0).clamp(min=1)
    out = z.clone()
    out[:, :, head] = mean
    return out


# %% wrong 04.4: adds the detached difference, gradients pass through the ablated head
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    weight = mask.unsqueeze(-1).to(reference.dtype)
    mean = (reference[:, :, head] * weight).sum(dim=0) / weight.sum(dim=0)
    difference = torch.zeros_like(z)
    difference[:, :, head] = (mean - z[:, :, head]).detach()
    return z + difference


# %% right 04.4: weighted sum
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    weight = mask.unsqueeze(-1).to(reference.dtype)
    mean = (reference[:, :, head] * weight).sum(dim=0) / weight.sum(dim=0)
    out = z.clone()
    out[:, :, head] = mean.to(z.dtype)
    return out


# %% right 04.4: position by position, put together with cat
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    rows = [reference[mask[:, p], p, head].mean(dim=0) for p in range(z.shape[1])]
    mean = torch.stack(rows).expand(z.shape[0], -1, -1).unsqueeze(2)
    return torch.cat([z[:, :, :head], mean, z[:, :, head + 1 :]], dim=2)


# %% wrong 04.5: the second half's first token counts in the loss
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2
    cfg = model.cfg

    def loss() -> Tensor:
        logits = model(tokens)[:, n : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, n + 1 :].flatten().long())

    def z_point(layer: int):
        names = [x for x in model.hook_dict if x.startswith(f"blocks.{layer}.") and x.endswith("z")]
        return model.hook_dict[names[0]]

    scores = torch.zeros(cfg.n_layers, cfg.n_heads, device=tokens.device)
    with torch.no_grad():
        clean = loss()
        for layer in range(cfg.n_layers):
            point = z_point(layer)
            for head in range(cfg.n_heads):
                handle = point.add_hook(partial(zero_ablate, head=head))
                try:
                    scores[layer, head] = loss() - clean
                finally:
                    point.discard(handle)
    return scores


# %% wrong 04.5: skips one predictable token too many (nothing is left for n = 2)
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2
    cfg = model.cfg

    def loss() -> Tensor:
        logits = model(tokens)[:, n + 2 : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, n + 3 :].flatten().long())

    def z_point(layer: int):
        names = [x for x in model.hook_dict if x.startswith(f"blocks.{layer}.") and x.endswith("z")]
        return model.hook_dict[names[0]]

    scores = torch.zeros(cfg.n_layers, cfg.n_heads, device=tokens.device)
    with torch.no_grad():
        clean = loss()
        for layer in range(cfg.n_layers):
            point = z_point(layer)
            for head in range(cfg.n_heads):
                handle = point.add_hook(partial(zero_ablate, head=head))
                try:
                    scores[layer, head] = loss() - clean
                finally:
                    point.discard(handle)
    return scores


# %% wrong 04.5: the hooks of a layer stay until the layer is done and add up
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2
    cfg = model.cfg

    def loss() -> Tensor:
        logits = model(tokens)[:, n + 1 : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, n + 2 :].flatten().long())

    def z_point(layer: int):
        names = [x for x in model.hook_dict if x.startswith(f"blocks.{layer}.") and x.endswith("z")]
        return model.hook_dict[names[0]]

    scores = torch.zeros(cfg.n_layers, cfg.n_heads, device=tokens.device)
    with torch.no_grad():
        clean = loss()
        for layer in range(cfg.n_layers):
            point = z_point(layer)
            handles = []
            try:
                for head in range(cfg.n_heads):
                    handles.append(point.add_hook(partial(zero_ablate, head=head)))
                    scores[layer, head] = loss() - clean
            finally:
                for handle in handles:
                    point.discard(handle)
    return scores


# %% wrong 04.5: switches the model to eval mode and leaves it there
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    model.eval()
    n = (tokens.shape[1] - 1) // 2
    cfg = model.cfg

    def loss() -> Tensor:
        logits = model(tokens)[:, n + 1 : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, n + 2 :].flatten().long())

    def z_point(layer: int):
        names = [x for x in model.hook_dict if x.startswith(f"blocks.{layer}.") and x.endswith("z")]
        return model.hook_dict[names[0]]

    scores = torch.zeros(cfg.n_layers, cfg.n_heads, device=tokens.device)
    with torch.no_grad():
        clean = loss()
        for layer in range(cfg.n_layers):
            point = z_point(layer)
            for head in range(cfg.n_heads):
                handle = point.add_hook(partial(zero_ablate, head=head))
                try:
                    scores[layer, head] = loss() - clean
                finally:
                    point.discard(handle)
    return scores


# %% wrong 04.5: first-order estimate from one gradient
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2
    cfg = model.cfg

    def loss() -> Tensor:
        logits = model(tokens)[:, n + 1 : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, n + 2 :].flatten().long())

    def z_point(layer: int):
        names = [x for x in model.hook_dict if x.startswith(f"blocks.{layer}.") and x.endswith("z")]
        return model.hook_dict[names[0]]

    kept = {}
    added = []

    def keep(z, hook, layer):
        kept[layer] = z if z.requires_grad else z.detach().requires_grad_(True)
        return kept[layer]

    try:
        for layer in range(cfg.n_layers):
            point = z_point(layer)
            added.append((point, point.add_hook(partial(keep, layer=layer))))
        with torch.enable_grad():
            value = loss()
    finally:
        for point, handle in added:
            point.discard(handle)
    zs = [kept[layer] for layer in range(cfg.n_layers)]
    gradients = torch.autograd.grad(value, zs)
    return torch.stack([-(g * z.detach()).sum(dim=(0, 1, 3)) for g, z in zip(gradients, zs)])


# %% right 04.5: one hook per head with partial
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2
    cfg = model.cfg

    def loss() -> Tensor:
        logits = model(tokens)[:, n + 1 : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, n + 2 :].flatten().long())

    def z_point(layer: int):
        names = [x for x in model.hook_dict if x.startswith(f"blocks.{layer}.") and x.endswith("z")]
        return model.hook_dict[names[0]]

    scores = torch.zeros(cfg.n_layers, cfg.n_heads, device=tokens.device)
    with torch.no_grad():
        clean = loss()
        for layer in range(cfg.n_layers):
            point = z_point(layer)
            for head in range(cfg.n_heads):
                handle = point.add_hook(partial(zero_ablate, head=head))
                try:
                    scores[layer, head] = loss() - clean
                finally:
                    point.discard(handle)
    return scores


# %% right 04.5: one hook per layer that reads which head is off, gather of log-probabilities
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    half = tokens.shape[1] // 2
    targets = tokens[:, half + 2 :].long().unsqueeze(-1)

    def second_half_loss() -> float:
        log_probs = model(tokens)[:, half + 1 : -1].log_softmax(dim=-1)
        return -log_probs.gather(-1, targets).mean().item()

    z_points = [
        next(p for name, p in model.hook_dict.items() if name.startswith(f"blocks.{i}.") and name.endswith("z"))
        for i in range(model.cfg.n_layers)
    ]
    off = {"head": 0}

    def silence(z, hook):
        z = z.clone()
        z[:, :, off["head"], :] = 0.0
        return z

    rows = []
    with torch.no_grad():
        baseline = second_half_loss()
        for point in z_points:
            handle = point.add_hook(silence)
            row = []
            try:
                for off["head"] in range(model.cfg.n_heads):
                    row.append(second_half_loss() - baseline)
            finally:
                point.discard(handle)
            rows.append(row)
    return torch.tensor(rows, dtype=torch.float32)


# %% wrong 04.6: raises only when no prompt has a key left
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if torch.isneginf(out[:, head, query]).all():
        raise ValueError(f"query {query} has no key left")
    return out


# %% wrong 04.6: raises when one key was visible, though it was another one
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    visible = torch.isfinite(scores[:, head, query]).sum(dim=-1)
    if (visible <= 1).any():
        raise ValueError(f"query {query} has no key left")
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    return out


# %% wrong 04.6: raises for the empty row of any head and query
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if torch.isneginf(out).all(dim=-1).any():
        raise ValueError(f"query {query} has no key left")
    return out


# %% wrong 04.6: fills in -100, which still gets weight among low scores
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    others = scores[:, head, query].clone()
    others[:, key] = float("-inf")
    if torch.isneginf(others).all(dim=-1).any():
        raise ValueError(f"query {query} has no key left")
    out = scores.clone()
    out[:, head, query, key] = -100.0
    return out


# %% wrong 04.6: sees only causal masking, not padding, when it looks for keys that are left
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    if query == 0 and key == 0:
        raise ValueError("query 0 has no other key")
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    return out


# %% right 04.6: clone, assign, look at the row
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if (out[:, head, query] == float("-inf")).all(dim=-1).any():
        raise ValueError(f"head {head}: query {query} has no key left")
    return out


# %% right 04.6: loop over the prompts, masked_fill with the edge
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    n_keys = scores.shape[-1]
    for prompt in scores[:, head, query].tolist():
        if all(prompt[k] == float("-inf") for k in range(n_keys) if k != key):
            raise ValueError(f"query {query} could look at key {key} only")
    edge = torch.zeros(scores.shape[1:], dtype=torch.bool, device=scores.device)
    edge[head, query, key] = True
    return scores.masked_fill(edge, float("-inf"))


# %% wrong 04.7: backward, and zero_grad that leaves zeros in the parameters
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(activation, hook):
        kept.append(activation.detach().requires_grad_(True))
        return kept[-1].clone()

    point = model.hook_dict[name]
    handle = point.add_hook(keep)
    try:
        with torch.enable_grad():
            logits = model(tokens)
    finally:
        point.discard(handle)
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().long())
    loss.backward()
    model.zero_grad(set_to_none=False)
    return kept[0].grad


# %% wrong 04.7: freezes the parameters and makes all of them trainable afterwards
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    model.requires_grad_(False)
    kept = []

    def keep(activation, hook):
        kept.append(activation.detach().requires_grad_(True))
        return kept[-1].clone()

    point = model.hook_dict[name]
    handle = point.add_hook(keep)
    try:
        with torch.enable_grad():
            logits = model(tokens)
    finally:
        point.discard(handle)
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().long())
    loss.backward()
    model.requires_grad_(True)
    return kept[0].grad


# %% wrong 04.7: mean loss of each prompt, summed over the batch
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(activation, hook):
        kept.append(activation.detach().requires_grad_(True))
        return kept[-1].clone()

    point = model.hook_dict[name]
    handle = point.add_hook(keep)
    try:
        with torch.enable_grad():
            logits = model(tokens)
    finally:
        point.discard(handle)
    with torch.enable_grad():
        log_probs = logits[:, :-1].log_softmax(dim=-1)
        correct = log_probs.gather(-1, tokens[:, 1:].long().unsqueeze(-1)).squeeze(-1)
        loss = -correct.mean(dim=1).sum()
    return torch.autograd.grad(loss, kept[0])[0]


# %% wrong 04.7: keeps the activation as it is, which has no graph in a frozen model
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(activation, hook):
        kept.append(activation)

    point = model.hook_dict[name]
    handle = point.add_hook(keep)
    try:
        logits = model(tokens)
    finally:
        point.discard(handle)
    loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().long())
    return torch.autograd.grad(loss, kept[0])[0]


# %% wrong 04.7: runs in eval mode and sets train mode afterwards, whatever it was
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    model.eval()
    kept = []

    def keep(activation, hook):
        kept.append(activation.detach().requires_grad_(True))
        return kept[-1].clone()

    point = model.hook_dict[name]
    handle = point.add_hook(keep)
    try:
        with torch.enable_grad():
            logits = model(tokens)
    finally:
        point.discard(handle)
    model.train()
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().long())
    return torch.autograd.grad(loss, kept[0])[0]


# %% right 04.7: a fresh leaf put in place of the activation
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(activation, hook):
        kept.append(activation.detach().requires_grad_(True))
        return kept[-1].clone()

    point = model.hook_dict[name]
    handle = point.add_hook(keep)
    try:
        with torch.enable_grad():
            logits = model(tokens)
    finally:
        point.discard(handle)
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().long())
    return torch.autograd.grad(loss, kept[0])[0]


# %% right 04.7: gradient of a zero that is added to the activation
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    added: dict[str, Tensor] = {}

    def nudge(activation: Tensor, hook: Any) -> Tensor:
        added["zero"] = torch.zeros_like(activation, requires_grad=True)
        return activation + added["zero"]

    point = model.hook_dict[name]
    with torch.enable_grad():
        handle = point.add_hook(nudge)
        try:
            log_probs = model(tokens).log_softmax(dim=-1)
        finally:
            point.discard(handle)
        following = tokens[:, 1:].long()
        loss = -log_probs[:, :-1].gather(2, following[..., None]).mean()
        (gradient,) = torch.autograd.grad(loss, [added["zero"]])
    return gradient

# %% wrong 04.1: the number is the present count of hooks, used again after a removal
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = len(self.hooks)
        self.hooks[number] = hook
        self.attached += 1
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    attached = []
    try:
        for name, hook in hooks:
            point = modules[name]
            attached.append((point, point.add_hook(hook)))
        return model(tokens)
    finally:
        for point, number in attached:
            point.remove_hook(number)


# %% wrong 04.1: attaches before the try, a wrong second name leaves the first hook
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    attached = []
    for name, hook in hooks:
        point = modules[name]
        attached.append((point, point.add_hook(hook)))
    try:
        return model(tokens)
    finally:
        for point, number in attached:
            point.remove_hook(number)


# %% wrong 04.1: restores snapshots in the order taken, two hooks at one name leave one
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    before = []
    try:
        for name, hook in hooks:
            point = modules[name]
            before.append((point, dict(point.hooks)))
            point.add_hook(hook)
        return model(tokens)
    finally:
        for point, saved in before:
            point.hooks = saved


# %% wrong 04.1: removes by function, also a hook of the same function that was there before
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in tuple(self.hooks.values()):
            new = hook(x, hook=self)
            x = x if new is None else new
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    used = []
    try:
        for name, hook in hooks:
            modules[name].add_hook(hook)
            used.append((modules[name], hook))
        return model(tokens)
    finally:
        for point, hook in used:
            for number, attached in list(point.hooks.items()):
                if attached is hook:
                    point.remove_hook(number)


# %% right 04.1: plain loops with try and finally
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        for hook in list(self.hooks.values()):
            result = hook(x, hook=self)
            if result is not None:
                x = result
        return x

    def add_hook(self, hook: Callable) -> int:
        number = self.attached
        self.attached += 1
        self.hooks[number] = hook
        return number

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    modules = dict(model.named_modules())
    attached = []
    try:
        for name, hook in hooks:
            point = modules[name]
            attached.append((point, point.add_hook(hook)))
        return model(tokens)
    finally:
        for point, number in attached:
            point.remove_hook(number)


# %% right 04.1: an ExitStack and reduce
class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    def forward(self, x: Tensor) -> Tensor:
        from functools import reduce

        def step(value, hook):
            result = hook(value, hook=self)
            return value if result is None else result

        return reduce(step, list(self.hooks.values()), x)

    def add_hook(self, hook: Callable) -> int:
        self.attached += 1
        self.hooks[self.attached] = hook
        return self.attached

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    from contextlib import ExitStack

    points = dict(model.named_modules())
    with ExitStack() as stack:
        for name, function in hooks:
            number = points[name].add_hook(function)
            stack.callback(points[name].remove_hook, number)
        return model(tokens)


# %% wrong 04.2: the mean over the batch, not the sum
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    previous = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += previous.mean(dim=(0, -1))


# %% wrong 04.2: the store gets a graph
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    previous = pattern.diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += previous.mean(dim=-1).sum(dim=0)


# %% wrong 04.2: detaches the model's pattern in place
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    pattern.detach_()
    queries = torch.arange(1, pattern.shape[2], device=pattern.device)
    previous = pattern[:, :, queries, queries - 1]
    store[hook.layer()] += previous.mean(dim=-1).sum(dim=0)


# %% wrong 04.2: pools prompts and positions, then multiplies by all positions' share
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    with torch.no_grad():
        total = torch.einsum("bhii->h", pattern[:, :, 1:, :-1])
        store[hook.layer()] += total / pattern.shape[2]


# %% right 04.2: diagonal of the detached pattern
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    previous = pattern.detach().diagonal(offset=-1, dim1=-2, dim2=-1)
    store[hook.layer()] += previous.mean(dim=-1).sum(dim=0)


# %% right 04.2: prompt by prompt without gradients
@torch.no_grad()
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    row = store[hook.layer()]
    s = pattern.shape[-1]
    for prompt in pattern:
        for q in range(1, s):
            row.add_(prompt[:, q, q - 1] / (s - 1))


# %% wrong 04.3: contiguous() is no copy of what is contiguous
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.contiguous()
    out[:, :, head] = 0.0
    return out


# %% wrong 04.3: a detached copy stops the gradients of all heads
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.detach().clone()
    out[:, :, head, :] = 0.0
    return out


# %% wrong 04.3: the last position only
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, -1, head] = 0.0
    return out


# %% wrong 04.3: subtracts the head from every head by broadcasting
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    return z - z[:, :, head : head + 1]


# %% right 04.3: clone and set
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = 0
    return out


# %% right 04.3: times a mask over the heads
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    keep = torch.ones(z.shape[2], 1, dtype=z.dtype, device=z.device)
    keep[head] = 0
    return z * keep


# %% wrong 04.4: divides by all prompts, padding included
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    mean = (reference[:, :, head] * mask[..., None]).mean(dim=0)
    out = z.clone()
    out[:, :, head] = mean
    return out


# %% wrong 04.4: one mean over all real positions
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[:, :, head] = reference[mask][:, head].mean(dim=0)
    return out


# %% wrong 04.4: drops every prompt that has padding, if some have none
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    full = mask.all(dim=1)
    mean = reference[full].mean(dim=0)[:, head]
    out = z.clone()
    out[:, :, head] = mean
    return out


# %% wrong 04.4: writes through the views that unbind gives
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    weights = mask.to(z.dtype)
    weights = weights / weights.sum(dim=0)
    mean = torch.einsum("nse,ns->se", reference[:, :, head], weights)
    heads = [z[:, :, h] for h in range(z.shape[2])]
    heads[head][:] = mean
    return torch.stack(heads, dim=2)


# %% right 04.4: masked sum over count
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    real = mask[..., None].to(reference.dtype)
    mean = (reference[:, :, head] * real).sum(dim=0) / real.sum(dim=0)
    out = z.clone()
    out[:, :, head] = mean
    return out


# %% right 04.4: position by position, then stacked
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    means = torch.stack([reference[mask[:, i], i, head].mean(dim=0) for i in range(z.shape[1])])
    replaced = means.to(z.dtype).expand(z.shape[0], -1, -1)
    return torch.stack([replaced if h == head else z[:, :, h] for h in range(z.shape[2])], dim=2)


# %% wrong 04.5: the saved weights are a view of the weights set to zero
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss():
        log_probs = model(tokens)[:, n + 1 : -1].log_softmax(dim=-1)
        return -log_probs.gather(-1, tokens[:, n + 2 :, None]).mean()

    with torch.no_grad():
        base = loss()
        scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, device=base.device)
        for layer in range(model.cfg.n_layers):
            W_O = model.blocks[layer].attn.W_O
            for head in range(model.cfg.n_heads):
                saved = W_O[head]
                W_O[head] = 0.0
                scores[layer, head] = loss() - base
                W_O[head] = saved
    return scores


# %% wrong 04.5: a layer's hooks stay until its last head is done
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss():
        log_probs = model(tokens)[:, n + 1 : -1].log_softmax(dim=-1)
        return -log_probs.gather(-1, tokens[:, n + 2 :, None]).mean()

    def z_point(layer):
        for name, point in model.hook_dict.items():
            if name.startswith(f"blocks.{layer}.") and name.split(".")[-1] in ("z", "hook_z"):
                return point
        raise KeyError(layer)

    with torch.no_grad():
        base = loss()
        rows = []
        for layer in range(model.cfg.n_layers):
            point = z_point(layer)
            handles = []
            row = []
            try:
                for head in range(model.cfg.n_heads):
                    handles.append(point.add_hook(partial(zero_ablate, head=head)))
                    row.append(loss() - base)
            finally:
                for handle in handles:
                    point.discard(handle)
            rows.append(torch.stack(row))
    return torch.stack(rows)


# %% wrong 04.5: leaves the model in evaluation mode and frozen
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    model.eval()
    model.requires_grad_(False)
    n = (tokens.shape[1] - 1) // 2

    def loss():
        log_probs = model(tokens)[:, n + 1 : -1].log_softmax(dim=-1)
        return -log_probs.gather(-1, tokens[:, n + 2 :, None]).mean()

    def z_point(layer):
        for name, point in model.hook_dict.items():
            if name.startswith(f"blocks.{layer}.") and name.split(".")[-1] in ("z", "hook_z"):
                return point
        raise KeyError(layer)

    base = loss()
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, device=base.device)
    for layer in range(model.cfg.n_layers):
        point = z_point(layer)
        for head in range(model.cfg.n_heads):
            handle = point.add_hook(partial(zero_ablate, head=head))
            try:
                scores[layer, head] = loss() - base
            finally:
                point.discard(handle)
    return scores


# %% wrong 04.5: the loss counts the first token of the second repeat
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    half = (tokens.shape[1] - 1) // 2

    @torch.no_grad()
    def loss():
        logits = model(tokens)[:, -half - 1 : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, -half:].flatten())

    points = {}
    for name, point in model.hook_dict.items():
        parts = name.split(".")
        if parts[0] == "blocks" and parts[-1] in ("z", "hook_z"):
            points[int(parts[1])] = point

    base = loss()
    scores = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            handle = points[layer].add_hook(partial(zero_ablate, head=head))
            try:
                scores.append(loss() - base)
            finally:
                points[layer].discard(handle)
    return torch.stack(scores).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% right 04.5: a hook for each head
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    n = (tokens.shape[1] - 1) // 2

    def loss():
        log_probs = model(tokens)[:, n + 1 : -1].log_softmax(dim=-1)
        return -log_probs.gather(-1, tokens[:, n + 2 :, None]).mean()

    def z_point(layer):
        for name, point in model.hook_dict.items():
            if name.startswith(f"blocks.{layer}.") and name.split(".")[-1] in ("z", "hook_z"):
                return point
        raise KeyError(layer)

    with torch.no_grad():
        base = loss()
        scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, device=base.device)
        for layer in range(model.cfg.n_layers):
            point = z_point(layer)
            for head in range(model.cfg.n_heads):
                handle = point.add_hook(partial(zero_ablate, head=head))
                try:
                    scores[layer, head] = loss() - base
                finally:
                    point.discard(handle)
    return scores


# %% right 04.5: a functional call with the head's W_O at zero
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    from torch.func import functional_call

    n = (tokens.shape[1] - 1) // 2
    targets = tokens[:, n + 2 :].flatten()

    def loss(weights):
        logits = functional_call(model, weights, (tokens,))[:, n + 1 : 2 * n]
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets)

    rows = []
    with torch.no_grad():
        base = loss({})
        for layer in range(model.cfg.n_layers):
            name = f"blocks.{layer}.attn.W_O"
            row = []
            for head in range(model.cfg.n_heads):
                W_O = model.get_parameter(name).clone()
                W_O[head] = 0
                row.append(loss({name: W_O}) - base)
            rows.append(torch.stack(row))
    return torch.stack(rows)


# %% wrong 04.6: raises only when no prompt of the batch has a key left
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if torch.isneginf(out[:, head, query]).all():
        raise ValueError("the query has no key left")
    return out


# %% wrong 04.6: raises when one key was there, though another one is knocked out
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    keys = (scores[:, head, query] != float("-inf")).sum(dim=-1)
    if (keys <= 1).any():
        raise ValueError(f"query {query} would have no key left")
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    return out


# %% wrong 04.6: raises for other queries' rows that are all padding
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    edge = torch.zeros(scores.shape[1:], dtype=torch.bool, device=scores.device)
    edge[head, query, key] = True
    out = scores.masked_fill(edge, float("-inf"))
    if out.isneginf().all(dim=-1).any():
        raise ValueError("no key left to look at")
    return out


# %% wrong 04.6: a penalty of 100, which a high score outlives
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    others = [k for k in range(scores.shape[-1]) if k != key]
    if scores[:, head, query, others].isneginf().all(dim=-1).any():
        raise ValueError("the query would have no key left")
    penalty = torch.zeros_like(scores)
    penalty[:, head, query, key] = 100.0
    return scores - penalty


# %% right 04.6: clone, set, look at the row
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    out[:, head, query, key] = float("-inf")
    if out[:, head, query].isneginf().all(dim=-1).any():
        raise ValueError(f"query {query} of head {head} has no key left in some prompt")
    return out


# %% right 04.6: checks each prompt's other keys, then fills by a mask
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    for row in scores[:, head, query].tolist():
        if all(value == -float("inf") for k, value in enumerate(row) if k != key):
            raise ValueError("no key left")
    edge = torch.zeros(scores.shape[1:], dtype=torch.bool, device=scores.device)
    edge[head, query, key] = True
    return scores.masked_fill(edge, -float("inf"))


# %% wrong 04.7: backward, and the parameters keep gradients of zero
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(activation, hook):
        activation.retain_grad()
        kept.append(activation)

    point = model.hook_dict[name]
    handle = point.add_hook(keep)
    try:
        logits = model(tokens)
    finally:
        point.discard(handle)
    loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    gradient = kept[0].grad.clone()
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.zero_()
    return gradient


# %% wrong 04.7: each prompt's own mean loss, summed over the batch
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = {}

    def keep(activation, hook):
        kept[name] = activation

    point = model.hook_dict[name]
    handle = point.add_hook(keep)
    try:
        logits = model(tokens)
    finally:
        point.discard(handle)
    log_probs = logits[:, :-1].log_softmax(dim=-1)
    losses = -log_probs.gather(-1, tokens[:, 1:, None])[..., 0].mean(dim=1)
    (gradient,) = torch.autograd.grad(losses.sum(), kept[name])
    return gradient


# %% wrong 04.7: frozen parameters are no longer frozen afterwards
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    leaves = []

    def cut(activation, hook):
        leaves.append(activation.detach().clone().requires_grad_(True))
        return leaves[-1] * 1.0

    model.requires_grad_(False)  # so that backward leaves no .grad in them
    point = model.hook_dict[name]
    handle = point.add_hook(cut)
    try:
        logits = model(tokens)
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
    finally:
        point.discard(handle)
        model.requires_grad_(True)
    return leaves[0].grad


# %% wrong 04.7: puts the model into training mode at the end, whatever it was in
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(activation, hook):
        kept.append(activation)

    point = model.hook_dict[name]
    model.eval()
    handle = point.add_hook(keep)
    try:
        logits = model(tokens)
    finally:
        point.discard(handle)
        model.train()
    loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    return torch.autograd.grad(loss, kept[0])[0]


# %% right 04.7: keeps the activation and asks autograd for it alone
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    kept = []

    def keep(activation, hook):
        kept.append(activation)

    point = model.hook_dict[name]
    with torch.enable_grad():
        handle = point.add_hook(keep)
        try:
            logits = model(tokens)
        finally:
            point.discard(handle)
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        (gradient,) = torch.autograd.grad(loss, kept[0])
    return gradient


# %% right 04.7: adds a zero and differentiates by it (third set)
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    added = {}

    def add_nothing(activation, hook):
        added["delta"] = torch.zeros_like(activation, requires_grad=True)
        return activation + added["delta"]

    point = model.hook_dict[name]
    with torch.enable_grad():
        number = point.add_hook(add_nothing)
        try:
            log_probs = model(tokens).log_softmax(dim=-1)
        finally:
            point.discard(number)
        batch, s = tokens.shape
        total = sum(-log_probs[b, i, tokens[b, i + 1]] for b in range(batch) for i in range(s - 1))
        gradient = torch.autograd.grad(total / (batch * (s - 1)), added["delta"])[0]
    return gradient.detach()
