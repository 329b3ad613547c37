"""One library doing the benchmark's work, in a process of its own.

Run as a file, so that it works in an environment that has only that library:

    python worker.py {cleanlens|hugging_face|transformer_lens} MODEL_DIRECTORY {cpu|cuda}

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
from typing import ClassVar


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

        self.folder, self.device = folder, device
        torch.manual_seed(1)
        self.tokens = {
            shape: torch.randint(0, 50257, shape, device=device)
            for shape in [(1, 32), (8, 128), (1, 512), (1, 15)]
        }
        self.other = torch.randint(0, 50257, (1, 15), device=device)
        self.model = self.make()
        self.forward_1x32()  # warm up

    def make(self):
        """The model, on the device, ready to run."""
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


class HuggingFace(Shared):
    def make(self):
        from transformers import GPT2LMHeadModel

        return (
            GPT2LMHeadModel.from_pretrained(self.folder, attn_implementation="eager").to(self.device).eval()
        )

    def generate_50(self):
        self.model.generate(
            self.tokens[1, 15], max_new_tokens=50, min_new_tokens=50, do_sample=False, pad_token_id=0
        )


class Hooked(Shared):
    """The HookedTransformer API, which both other libraries have."""

    library = ""

    def make(self):
        lens = importlib.import_module(self.library)
        return lens.HookedTransformer.from_pretrained(self.folder, device=self.device)

    def cache_8x128(self):
        self.model.run_with_cache(self.tokens[8, 128])

    def one_pattern(self):
        name = "blocks.0.attn.hook_pattern"
        self.model.run_with_cache(self.tokens[8, 128], names_filter=name, return_type=None)

    def metric(self, logits):
        return logits[0, -1, 11] - logits[0, -1, 12]

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

    def generate_50(self):
        self.model.generate(
            self.tokens[1, 15], max_new_tokens=50, do_sample=False, stop_at_eos=False, verbose=False
        )


class Cleanlens(Hooked):
    library = "cleanlens"
    sweep_options: ClassVar[dict] = {"metric_pos": -1}


class TransformerLens(Hooked):
    library = "transformer_lens"

    def make(self):
        # It knows models by name only; a folder of that name, where it is asked for, stands for the model.
        os.chdir(Path(self.folder).parent)
        lens = importlib.import_module(self.library)
        return lens.HookedTransformer.from_pretrained(Path(self.folder).name, device=self.device)


SIDES = {"cleanlens": Cleanlens, "hugging_face": HuggingFace, "transformer_lens": TransformerLens}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:4])
