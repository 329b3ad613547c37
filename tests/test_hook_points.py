"""Hook points and the modules that know them by name, on the toy network of the published demo."""

import copy
import random
import signal
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cleanlens.hook_points import HookedRootModule, HookPoint


class SquareThenAdd(nn.Module):
    """x^2 + offset, with the square visible."""

    def __init__(self, offset: float):
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset))
        self.hook_square = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        return self.offset + self.hook_square(x * x)


class TwoLayerModel(HookedRootModule):
    """y = (x^2 + 3)^2 - 4."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = SquareThenAdd(3.0)
        self.layer2 = SquareThenAdd(-4.0)
        self.hook_in = HookPoint()
        self.hook_mid = HookPoint()
        self.hook_out = HookPoint()
        self.setup()

    def forward(self, x: Tensor) -> Tensor:
        x_mid = self.hook_mid(self.layer1(self.hook_in(x)))
        return self.hook_out(self.layer2(x_mid))


@pytest.fixture
def model() -> TwoLayerModel:
    return TwoLayerModel()


def n_hooks(model: HookedRootModule) -> int:
    return sum(len(hooks) for hooks in model.list_hooks().values())


def add_one(x: Tensor, hook: HookPoint) -> Tensor:
    return x + 1


def crash(x: Tensor, hook: HookPoint) -> None:
    raise RuntimeError("from inside a hook")


# ---------------------------------------------------------------- reading and replacing


def test_the_published_demo(model: TwoLayerModel) -> None:
    out, cache = model.run_with_cache(torch.tensor(5.0))
    assert out.item() == (5**2 + 3) ** 2 - 4 == 780
    assert {name: value.item() for name, value in cache.items()} == {
        "hook_in": 5.0,
        "layer1.hook_square": 25.0,
        "hook_mid": 28.0,
        "layer2.hook_square": 784.0,
        "hook_out": 780.0,
    }

    def set_to_0(x: Tensor, hook: HookPoint) -> Tensor:
        assert hook.name == "layer2.hook_square"
        return torch.tensor(0.0)

    assert model.run_with_hooks(torch.tensor(5.0), fwd_hooks=[("layer2.hook_square", set_to_0)]).item() == -4
    assert model(torch.tensor(5.0)).item() == 780


def test_a_hook_that_returns_none_keeps_the_activation_and_its_in_place_edit(model: TwoLayerModel) -> None:
    x = torch.tensor([1.0, 2.0])
    plain = model(x)
    assert model.run_with_hooks(x, fwd_hooks=[("hook_mid", lambda x, hook: None)]).equal(plain)

    def zero_first(x: Tensor, hook: HookPoint) -> None:
        x[0] = 0.0

    with torch.no_grad():
        edited = model.run_with_hooks(x, fwd_hooks=[("hook_mid", zero_first)])
    assert edited.tolist() == [-4.0, plain[1].item()]


def test_hooks_run_in_order_and_prepend_goes_first(model: TwoLayerModel) -> None:
    calls: list[str] = []
    for name in ("first", "second"):
        model.add_hook("hook_mid", lambda x, hook, name=name: calls.append(name))
    model.add_hook("hook_mid", lambda x, hook: calls.append("before all"), prepend=True)
    model(torch.tensor(1.0))
    assert calls == ["before all", "first", "second"]


def test_a_later_hook_sees_what_an_earlier_one_returned(model: TwoLayerModel) -> None:
    seen: list[float] = []
    hooks = [("hook_in", add_one), ("hook_in", lambda x, hook: seen.append(x.item()))]
    model.run_with_hooks(torch.tensor(5.0), fwd_hooks=hooks)
    assert seen == [6.0]


def test_a_name_may_be_a_predicate(model: TwoLayerModel) -> None:
    seen: list[str] = []
    hook = (lambda name: name.endswith("square"), lambda x, hook: seen.append(hook.name))
    model.run_with_hooks(torch.tensor(5.0), fwd_hooks=[hook])
    assert seen == ["layer1.hook_square", "layer2.hook_square"]


@pytest.mark.parametrize(
    ("names_filter", "kept"),
    [
        ("hook_mid", ["hook_mid"]),
        (["hook_out", "hook_in"], ["hook_in", "hook_out"]),
        (lambda name: name.startswith("layer1"), ["layer1.hook_square"]),
    ],
)
def test_names_filter(model: TwoLayerModel, names_filter: object, kept: list[str]) -> None:
    _, cache = model.run_with_cache(torch.tensor(5.0), names_filter=names_filter)
    assert list(cache) == kept


def test_ctx_is_the_hooks_own_memory(model: TwoLayerModel) -> None:
    def count(x: Tensor, hook: HookPoint) -> None:
        hook.ctx["calls"] = hook.ctx.get("calls", 0) + 1

    for _ in range(3):
        model.run_with_hooks(torch.tensor(1.0), fwd_hooks=[("hook_mid", count)])
    assert model.hook_mid.ctx == {"calls": 3}
    model.reset_hooks(clear_contexts=False)
    assert model.hook_mid.ctx == {"calls": 3}
    model.reset_hooks()
    assert model.hook_mid.ctx == {}


# ---------------------------------------------------------------- nothing leaks


def test_a_context_removes_what_it_added_also_after_an_exception(model: TwoLayerModel) -> None:
    with pytest.raises(RuntimeError, match="from inside a hook"):
        model.run_with_hooks(torch.tensor(1.0), fwd_hooks=[("hook_in", add_one), ("hook_mid", crash)])
    assert n_hooks(model) == 0
    with pytest.raises(TypeError), model.hooks(fwd_hooks=[("hook_in", add_one)]):
        model.run_with_cache("not a tensor")
    assert n_hooks(model) == 0


def test_a_wrong_name_in_a_list_leaves_none_of_the_others_behind(model: TwoLayerModel) -> None:
    with pytest.raises(KeyError):
        model.run_with_hooks(torch.tensor(1.0), fwd_hooks=[("hook_in", add_one), ("hook_midd", add_one)])
    assert n_hooks(model) == 0


def test_the_users_own_hooks_survive_a_context(model: TwoLayerModel) -> None:
    model.add_hook("hook_in", add_one)
    model.run_with_cache(torch.tensor(5.0))
    model.run_with_hooks(torch.tensor(5.0), fwd_hooks=[("hook_in", add_one)])
    assert n_hooks(model) == 1
    assert model(torch.tensor(4.0)).item() == 780  # 4 + 1


def test_the_same_function_twice_is_two_hooks(model: TwoLayerModel) -> None:
    model.add_hook("hook_in", add_one)
    with model.hooks(fwd_hooks=[("hook_in", add_one)]):
        assert model(torch.tensor(3.0)).item() == 780  # 3 + 1 + 1
    assert model(torch.tensor(4.0)).item() == 780


def test_contexts_nest(model: TwoLayerModel) -> None:
    with model.hooks(fwd_hooks=[("hook_in", add_one)]):
        with model.hooks(fwd_hooks=[("hook_in", add_one)]):
            assert model.context_level == 2
            assert model(torch.tensor(3.0)).item() == 780
        assert model(torch.tensor(4.0)).item() == 780
    assert model.context_level == 0
    assert model(torch.tensor(5.0)).item() == 780


def test_reset_hooks_end_false_leaves_them_until_reset(model: TwoLayerModel) -> None:
    model.run_with_hooks(torch.tensor(1.0), fwd_hooks=[("hook_in", add_one)], reset_hooks_end=False)
    assert n_hooks(model) == 1
    model.reset_hooks()
    assert n_hooks(model) == 0


def test_permanent_hooks_go_only_when_asked(model: TwoLayerModel) -> None:
    model.add_perma_hook("hook_in", add_one)
    model.add_hook("hook_in", add_one)
    model.reset_hooks()
    assert n_hooks(model) == 1
    assert not model.hook_in.has_hooks(including_permanent=False)
    model.reset_hooks(including_permanent=True)
    assert n_hooks(model) == 0


def test_levels_and_directions_select_what_is_removed(model: TwoLayerModel) -> None:
    model.add_hook("hook_in", add_one, level=1)
    model.add_hook("hook_in", add_one, level=2)
    model.add_hook("hook_in", add_one, dir="bwd")
    assert model.hook_in.has_hooks(level=2)
    model.reset_hooks(level=2)
    assert not model.hook_in.has_hooks(level=2)
    assert n_hooks(model) == 2
    model.reset_hooks(direction="fwd")
    assert not model.hook_in.has_hooks("fwd")
    assert model.hook_in.has_hooks("bwd")


def test_a_failed_add_hook_leaves_nothing(model: TwoLayerModel) -> None:
    with pytest.raises(ValueError, match="dir = 'forward'; it must be 'fwd', 'bwd' or 'both'"):
        model.add_hook("hook_in", add_one, dir="forward")  # type: ignore[arg-type]
    assert n_hooks(model) == 0


# ---------------------------------------------------------------- caches


def test_cached_tensors_survive_a_later_in_place_edit(model: TwoLayerModel) -> None:
    def edit(x: Tensor, hook: HookPoint) -> None:
        x.zero_()

    cache: dict[str, Tensor] = {}

    def keep(x: Tensor, hook: HookPoint) -> None:
        cache["own"] = x.clone()

    with torch.no_grad(), model.hooks(fwd_hooks=[("hook_mid", keep), ("hook_mid", edit)]):
        _, kept = model.run_with_cache(torch.tensor(5.0))
        # A caching hook that comes before the edit keeps the value from before it.
        model.reset_hooks()
        model.add_caching_hooks("hook_mid", cache=cache)
        model.add_hook("hook_mid", edit)
        model(torch.tensor(5.0))
    assert kept["hook_mid"].item() == 0.0  # after the edit
    assert cache["hook_mid"].item() == cache["own"].item() == 28.0  # before it


def test_cached_tensors_survive_a_module_that_edits_in_place() -> None:
    class Careless(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.hook_x = HookPoint()
            self.setup()

        def forward(self, x: Tensor) -> Tensor:
            return self.hook_x(x).mul_(10.0)

    _, cache = Careless().run_with_cache(torch.tensor(5.0))
    assert cache["hook_x"] == 5.0


def test_caching_hooks_stay_until_reset(model: TwoLayerModel) -> None:
    cache = model.add_caching_hooks(["hook_mid", "hook_out"])
    model(torch.tensor(5.0))
    assert {name: value.item() for name, value in cache.items()} == {"hook_mid": 28.0, "hook_out": 780.0}
    model.reset_hooks()
    assert n_hooks(model) == 0


# ---------------------------------------------------------------- gradients


def test_backward_hooks_see_the_gradients_that_autograd_computes(model: TwoLayerModel) -> None:
    x = torch.tensor(2.0, requires_grad=True)
    _, cache = model.run_with_cache(x, incl_bwd=True)
    [expected] = torch.autograd.grad(model(x), x)
    assert cache["hook_in_grad"] == expected == 2 * (2.0**2 + 3) * 2 * 2.0
    assert cache["hook_mid_grad"] == 2 * (2.0**2 + 3)
    assert cache["hook_out_grad"] == 1.0
    assert x.grad == expected


@pytest.mark.parametrize("wrap", [lambda g: g, lambda g: (g,)], ids=["tensor", "1-tuple"])
def test_a_backward_hook_may_replace_the_gradient(model: TwoLayerModel, wrap: object) -> None:
    x = torch.tensor(2.0, requires_grad=True)
    with model.hooks(bwd_hooks=[("hook_mid", lambda g, hook: wrap(3.0 * g))]):
        model(x).backward()
    assert x.grad == 3 * 56
    assert n_hooks(model) == 0


def test_two_hook_points_on_one_tensor_keep_their_gradients_apart() -> None:
    class Twice(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.hook_a, self.hook_b = HookPoint(), HookPoint()
            self.setup()

        def forward(self, x: Tensor) -> Tensor:
            a = self.hook_a(x)
            return self.hook_b(a) * 3.0 + a * 5.0

    _, cache = Twice().run_with_cache(torch.tensor(1.0, requires_grad=True), incl_bwd=True)
    assert cache["hook_b_grad"] == 3.0
    assert cache["hook_a_grad"] == 8.0


def test_backward_hooks_that_could_never_fire_are_pointed_out(model: TwoLayerModel) -> None:
    with pytest.warns(UserWarning, match="these bwd_hooks never fire; put forward and backward in"):
        model.run_with_hooks(torch.tensor(1.0), bwd_hooks=[("hook_mid", lambda g, hook: None)])


# ---------------------------------------------------------------- errors say what to do


def test_an_unknown_name_is_answered_with_the_closest(model: TwoLayerModel) -> None:
    expected = "no hook point named 'hook_middle'; the closest is 'hook_mid'. hook_dict lists all 5 of them"
    for call in (
        lambda: model.add_hook("hook_middle", add_one),
        lambda: model.run_with_hooks(torch.tensor(1.0), fwd_hooks=[("hook_middle", add_one)]),
        lambda: model.run_with_cache(torch.tensor(1.0), names_filter="hook_middle"),
        lambda: model.run_with_cache(torch.tensor(1.0), names_filter=["hook_in", "hook_middle"]),
    ):
        with pytest.raises(KeyError, match=expected):
            call()


def test_a_replacement_of_another_shape_is_refused(model: TwoLayerModel) -> None:
    def widen(x: Tensor, hook: HookPoint) -> Tensor:
        return x.repeat(2)

    expected = (
        r"the hook widen on 'hook_mid' returned shape \[4\]; the activation has shape \[2\], "
        "and a replacement must have the same"
    )
    with pytest.raises(ValueError, match=expected):
        model.run_with_hooks(torch.ones(2), fwd_hooks=[("hook_mid", widen)])


def test_a_replacement_that_is_no_tensor_is_refused(model: TwoLayerModel) -> None:
    def name_of(x: Tensor, hook: HookPoint) -> str:
        return "hook_mid"

    with pytest.raises(TypeError, match="the hook name_of on 'hook_mid' returned a str; return a tensor to"):
        model.run_with_hooks(torch.ones(2), fwd_hooks=[("hook_mid", name_of)])


def test_layer_reads_the_name() -> None:
    point = HookPoint()
    point.name = "blocks.12.attn.hook_pattern"
    assert point.layer() == 12
    point.name = "ln_final.hook_scale"
    with pytest.raises(ValueError, match=r"the hook point 'ln_final\.hook_scale' belongs to no layer"):
        point.layer()


# ---------------------------------------------------------------- Ctrl-C, and threads


class Interrupting(list):
    """A list of hooks during whose changes a Ctrl-C comes, once: before or after the change itself."""

    def __init__(self, when: str):
        super().__init__()
        self.when: str | None = when

    def _change(self, name: str, change: Callable[..., None], *args: object) -> None:
        before, after = self.when == f"before {name}", self.when == f"after {name}"
        if before or after:
            self.when = None
        if before:
            raise KeyboardInterrupt
        change(*args)
        if after:
            raise KeyboardInterrupt

    def insert(self, index: int, hook: object) -> None:
        self._change("insert", super().insert, index, hook)

    def remove(self, hook: object) -> None:
        self._change("remove", super().remove, hook)


@pytest.mark.parametrize("when", ["before insert", "after insert", "before remove", "after remove"])
@pytest.mark.parametrize("direction", ["fwd", "bwd"])
def test_an_interrupt_while_hooks_are_attached_or_removed_leaks_none(
    model: TwoLayerModel, when: str, direction: str
) -> None:
    setattr(model.hook_mid, f"{direction}_hooks", Interrupting(when))
    pairs = [("hook_in", add_one), ("hook_mid", add_one), ("hook_out", add_one)]
    with pytest.raises(KeyboardInterrupt), model.hooks(**{f"{direction}_hooks": pairs}):
        pass
    assert n_hooks(model) == 0
    assert model.context_level == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals here")
def test_interrupts_at_random_moments_leak_nothing(model: TwoLayerModel) -> None:
    pairs = [(name, add_one) for name in model.hook_dict] * 5
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    rng, interrupted = random.Random(0), 0
    try:
        for _ in range(500):
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 1e-3))
                for _ in range(20):
                    with model.hooks(pairs, pairs):
                        pass
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert n_hooks(model) == 0
            assert model.context_level == 0
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 100


def test_a_second_thread_is_refused_while_one_is_inside_and_welcome_afterwards(model: TwoLayerModel) -> None:
    said: list[object] = []

    def run() -> None:
        try:
            said.append(model.run_with_cache(torch.tensor(5.0))[0].item())
        except RuntimeError as error:
            said.append(str(error))

    def in_a_thread() -> object:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return said.pop()

    with model.hooks(fwd_hooks=[("hook_in", add_one)]):
        refusal = in_a_thread()
        assert "another thread is inside hooks() of this model" in str(refusal)
        assert n_hooks(model) == 1
        assert model.context_level == 1
        with model.hooks():  # the thread that is inside may nest
            assert model.context_level == 2
    assert in_a_thread() == 780.0
    assert n_hooks(model) == 0
    with copy.deepcopy(model).hooks(fwd_hooks=[("hook_in", add_one)]):
        assert in_a_thread() == 780.0
