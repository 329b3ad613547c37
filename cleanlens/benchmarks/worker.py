"""One library doing the benchmark's work, in a process of its own.

Run as a file, so that it works in an environment that has only that library:

    python worker.py {cleanlens|hugging_face|transformer_lens|bridge|bridge_compatible|nnsight} MODEL_DIRECTORY {cpu|cuda}

It reads the name of a piece of work per line, does it once, and writes `{"seconds": ..., "megabytes": ...}`
(the peak of memory above where the work began), or `{"error": ...}` for what the library does not do.
"""

import contextlib
import importlib
import json
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar


def main(library, folder, device):
    import torch

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes elsewhere
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    side = SIDES[library](folder, device)
    for line in sys.stdin:
        name = line.strip()
        try:
            work = getattr(side, name, None)
            getattr(side, f"prepare_{name}", lambda: None)()
            answer = {"error": "-"} if work is None else measured(work, device)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(answer), file=answers, flush=True)


def measured(work, device):
    """Seconds and peak megabytes of one call."""
    with peak_memory(device) as peak:
        seconds = CLOCKS[device](work)
    return {"seconds": seconds, "megabytes": peak["megabytes"]}


def wall_seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cuda_seconds(work):
    """By the device's own clock: from where the first kernel is queued to where the last one ends."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


CLOCKS = {"cpu": wall_seconds, "cuda": cuda_seconds}


@contextlib.contextmanager
def peak_memory(device):
    """The most memory held above the start: of the device, else of this process (resident set)."""
    import torch

    result: dict[str, float] = {}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield result
        result["megabytes"] = (torch.cuda.max_memory_allocated() - before) / 1e6
        return
    # Sampled, because not every system lets a process reset its own peak.
    page, stop, before = os.sysconf("SC_PAGE_SIZE"), threading.Event(), resident()
    most = [before]

    def watch():
        while not stop.wait(0.002):
            most[0] = max(most[0], resident())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield result
    stop.set()
    thread.join()
    result["megabytes"] = (max(most[0], resident()) - before) * page / 1e6


def resident():
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) if statm.exists() else 0


class Shared:
    """The inputs, the same for all."""

    def __init__(self, folder, device):
        import torch

        self.folder, self.device = Path(folder), device
        torch.manual_seed(1)
        self.tokens = {
            shape: torch.randint(0, 50257, shape, device=device)
            for shape in [(1, 32), (8, 128), (1, 512), (1, 15), (8, 15)]
        }
        self.other = torch.randint(0, 50257, (1, 15), device=device)
        self.eight_others = torch.randint(0, 50257, (8, 15), device=device)
        self.small_tokens = torch.randint(0, 49152, (8, 128), device=device)
        self.model = self.make()
        self.forward_1x32()  # warm up

    def make(self, folder="gpt2"):
        """The model, on the device, ready to run."""
        raise NotImplementedError

    def generate(self, model):
        """Fifty tokens, greedily."""
        raise NotImplementedError

    def load(self):
        self.loaded = self.make()

    def prepare_load(self):
        self.loaded = None

    def forward_1x32(self):
        self.model(self.tokens[1, 32])

    def forward_8x128(self):
        self.model(self.tokens[8, 128])

    def forward_1x512(self):
        self.model(self.tokens[1, 512])

    def forward_8x15(self):
        self.model(self.tokens[8, 15])

    def metric(self, logits):
        return (logits[..., -1, 11] - logits[..., -1, 12]).mean()


class WithLlama(Shared):
    """A library that reads the Llama-shaped model from a folder, too."""

    llama: Any = None

    def prepare_llama_load(self):
        self.llama = None

    def llama_load(self):
        self.llama = self.make("llama")

    def prepare_llama(self):
        self.llama = self.llama or self.make("llama")

    prepare_llama_forward_8x128 = prepare_llama_cache_8x128 = prepare_llama_generate_50 = prepare_llama

    def llama_forward_8x128(self):
        self.llama(self.small_tokens)

    def llama_generate_50(self):
        self.generate(self.llama)


class HuggingFace(WithLlama):
    def make(self, folder="gpt2"):
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(self.folder / folder, attn_implementation="eager")
        return model.to(self.device).eval()

    def generate(self, model):
        model.generate(
            self.tokens[1, 15] % 49152, max_new_tokens=50, min_new_tokens=50, do_sample=False, pad_token_id=0
        )

    def generate_50(self):
        self.generate(self.model)


class Hooked(Shared):
    """The HookedTransformer API, which TransformerLens below 4 has, too."""

    library = ""

    def make(self, folder="gpt2"):
        lens = importlib.import_module(self.library)
        return lens.HookedTransformer.from_pretrained(self.folder / folder, device=self.device)

    def cache_8x128(self):
        self.model.run_with_cache(self.tokens[8, 128])

    def one_pattern(self):
        name = "blocks.0.attn.hook_pattern"
        self.model.run_with_cache(self.tokens[8, 128], names_filter=name, return_type=None)

    def prepare_patch_resid(self):
        _, self.clean = self.model.run_with_cache(self.other)

    prepare_patch_heads = prepare_patch_resid

    def sweep(self, name):
        patching = importlib.import_module(f"{self.library}.patching")
        getattr(patching, name)(self.model, self.tokens[1, 15], self.clean, self.metric, **self.sweep_options)

    sweep_options: ClassVar[dict] = {}

    def patch_resid(self):
        self.sweep("get_act_patch_resid_pre")

    def patch_heads(self):
        self.sweep("get_act_patch_attn_head_out_all_pos")

    def k_composition(self):
        self.model.all_composition_scores("K")

    def eigenvalues(self):
        full_OV = self.model.W_E @ self.model.OV @ self.model.W_U
        return full_OV.eigenvalues

    def generate(self, model):
        model.generate(
            self.tokens[1, 15] % 49152, max_new_tokens=50, do_sample=False, stop_at_eos=False, verbose=False
        )

    def generate_50(self):
        self.generate(self.model)

    def prepare_path_patch(self):
        self.prepare_patch_resid()
        _, self.corrupted = self.model.run_with_cache(self.tokens[1, 15])

    def path_patch(self):
        """The loop that a user writes: every head in turn sends the clean run's output, the other heads stay as they were."""
        for layer in range(12):
            for head in range(12):

                def send_or_freeze(z, hook, sender=(layer, head)):
                    z[:] = self.corrupted[hook.name]
                    if hook.layer() == sender[0]:
                        z[:, :, sender[1]] = self.clean[hook.name][:, :, sender[1]]
                    return z

                hooks = [(lambda name: name.endswith("hook_z"), send_or_freeze)]
                self.metric(self.model.run_with_hooks(self.tokens[1, 15], fwd_hooks=hooks))


class Cleanlens(WithLlama, Hooked):
    library = "cleanlens"
    sweep_options: ClassVar[dict] = {"metric_pos": -1}

    prepare_patch_resid_everywhere = prepare_patch_heads_everywhere = Hooked.prepare_patch_resid

    def llama_cache_8x128(self):
        self.llama.run_with_cache(self.small_tokens)

    def patch_resid_everywhere(self):
        """The logits of all positions, as a metric may want them."""
        from cleanlens import patching

        patching.get_act_patch_resid_pre(self.model, self.tokens[1, 15], self.clean, self.metric)

    def patch_heads_everywhere(self):
        from cleanlens import patching

        patching.get_act_patch_attn_head_out_all_pos(self.model, self.tokens[1, 15], self.clean, self.metric)

    def path_patch(self):
        from cleanlens import patching

        patching.get_path_patch_head_to_logits(
            self.model, self.tokens[1, 15], self.corrupted, self.clean, self.metric, **self.sweep_options
        )

    def edges(self, steps=1):
        from cleanlens.analysis import edge_attribution

        edge_attribution(self.model, self.tokens[8, 15], self.eight_others, self.metric, steps)

    def edges_5_steps(self):
        self.edges(steps=5)


class TransformerLens(Hooked):
    library = "transformer_lens"

    def make(self, folder="gpt2"):
        # It knows models by name only; a folder of that name, where it is asked for, stands for the model.
        os.chdir(self.folder)
        lens = importlib.import_module(self.library)
        return lens.HookedTransformer.from_pretrained(folder, device=self.device)


class Bridge(Hooked):
    """TransformerLens from 4 on: the Hugging Face model, hooked from outside."""

    library = "transformer_lens"

    def make(self, folder="gpt2"):
        from transformer_lens.model_bridge import TransformerBridge

        return TransformerBridge.boot_transformers(str(self.folder / folder), device=self.device)

    # What the old API has beside these is not timed: their answers differ.
    k_composition = eigenvalues = path_patch = None  # type: ignore[assignment]


class CompatibleBridge(Bridge):
    """The same with its weights processed as HookedTransformer processes them."""

    def make(self, folder="gpt2"):
        bridge = super().make(folder)
        bridge.enable_compatibility_mode(disable_warnings=True)
        return bridge


class NNsight(Shared):
    """nnsight: the user's code becomes part of the Hugging Face model's run."""

    def make(self, folder="gpt2"):
        from nnsight import LanguageModel

        return LanguageModel(
            str(self.folder / folder), device_map=self.device, dispatch=True, attn_implementation="eager"
        )

    def run(self, tokens):
        with self.model.trace(tokens):
            logits = self.model.lm_head.output.save()
        return logits

    def forward_1x32(self):
        self.run(self.tokens[1, 32])

    def forward_8x128(self):
        self.run(self.tokens[8, 128])

    def forward_1x512(self):
        self.run(self.tokens[1, 512])

    def forward_8x15(self):
        self.run(self.tokens[8, 15])

    def prepare_patch_resid(self):
        self.clean = []
        for layer in self.model.transformer.h:
            with self.model.trace(self.other):
                resid_pre = layer.input.save()
            self.clean.append(resid_pre)

    def patch_resid(self):
        for layer, clean in zip(self.model.transformer.h, self.clean):
            for pos in range(15):
                with self.model.trace(self.tokens[1, 15]):
                    layer.input[:, pos] = clean[:, pos]
                    logits = self.model.lm_head.output.save()
                self.metric(logits)


SIDES = {
    "cleanlens": Cleanlens,
    "hugging_face": HuggingFace,
    "transformer_lens": TransformerLens,
    "bridge": Bridge,
    "bridge_compatible": CompatibleBridge,
    "nnsight": NNsight,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:4])
