"""Exercise 01.8: The block and the residual stream."""

import torch
from torch import nn

from ...exercise import exercise
from .helpers import GivenTransformerBlock, hooked, numbers, transformer, used_before

ex = exercise(
    "01.8",
    "TransformerBlock.forward",
    supply={"TransformerBlock": GivenTransformerBlock},
    title="The block and the residual stream",
    objective="You can wire attention and MLP to the residual stream so that each reads from it and adds to it.",
    minutes=10,
    version=3,
    difficulty=2,
    importance=5,
    source="Radford et al. (2019), Language Models are Unsupervised Multitask Learners, section 2.3 (LayerNorm at the input of each "
    "sub-block); He et al. (2016), Identity Mappings in Deep Residual Networks; Elhage et al. (2021), section 'Virtual Weights and the "
    "Residual Stream as a Communication Channel'.",
    hints=[
        "Two lines, one for attention and one for the MLP. Each is: stream = stream + part(norm(stream)).",
        "The MLP comes second and reads the stream that attention has already written to.",
        "resid_mid = resid_pre + self.attn(self.ln1(resid_pre)), and again with ln2 and mlp. Write x = x + ..., not x += ...",
    ],
    why="The norm stands at the entrance of each branch, so the stream itself is never rescaled: it is a plain sum of everything that was "
    "ever written to it. All of chapter 02 rests on that. In-place addition gives the same numbers and destroys the ones that a cache "
    "had kept.",
)


@ex.inputs
def _(seed):
    return [{"x": numbers(seed)(*shape, 10), "weights": seed} for shape in ((2, 5), (1, 3), (3, 1), (1, 1))]


@ex.oracle
def _(x, weights):
    with torch.no_grad():
        _, cache = hooked(weights).run_with_cache(x, start_at_layer=0, stop_at_layer=1)
    return {
        "out": cache["resid_post", 0],
        "what ln1 read, looked at afterwards": x,
        "what ln2 read, looked at afterwards": cache["resid_mid", 0],
        "what attn returned, looked at afterwards": cache["attn_out", 0],
        "what mlp returned, looked at afterwards": cache["mlp_out", 0],
    }


class Reads(nn.Module):
    """Passes on to another module and keeps what that was given and gave, as a cache would: by reference."""

    def __init__(self, module):
        super().__init__()
        self.module, self.read, self.wrote = module, None, None

    def forward(self, x):
        self.read, self.wrote = x, self.module(x)
        return self.wrote


@ex.call
def _(answer, x, weights):
    given = transformer(weights).blocks[0]
    ln1, attn, ln2, mlp = map(Reads, (given.ln1, given.attn, given.ln2, given.mlp))
    with torch.no_grad():
        out = used_before(answer(ln1, attn, ln2, mlp), x)(x)
    return {
        "out": out,
        "what ln1 read, looked at afterwards": ln1.read,
        "what ln2 read, looked at afterwards": ln2.read,
        "what attn returned, looked at afterwards": attn.wrote,
        "what mlp returned, looked at afterwards": mlp.wrote,
    }


@ex.alternative
def one_name_for_the_stream(self, resid_pre):
    x = resid_pre
    x = x + self.attn(self.ln1(x))
    x = x + self.mlp(self.ln2(x))
    return x


@ex.alternative
def three_terms(self, resid_pre):
    attn_out = self.attn(self.ln1(resid_pre))
    mlp_out = self.mlp(self.ln2(resid_pre + attn_out))
    return torch.stack([resid_pre, attn_out, mlp_out]).sum(dim=0)


ex.slip(
    "post_norm",
    "The norms stand after the additions: that is the transformer of 2017 (Vaswani et al., section 3.1). GPT-2 normalizes what each "
    "branch reads, and leaves the stream alone.",
    "x + self.attn(self.ln1(x))",
    "self.ln1(x + self.attn(x))",
    "x + self.mlp(self.ln2(x))",
    "self.ln2(x + self.mlp(x))",
)


ex.slip(
    "norm_after_the_branch",
    "The norms stand behind attention and MLP. They belong in front: attn(ln1(x)), mlp(ln2(x)).",
    "self.attn(self.ln1(x))",
    "self.ln1(self.attn(x))",
    "self.mlp(self.ln2(x))",
    "self.ln2(self.mlp(x))",
)


ex.slip(
    "no_norms",
    "The norms are missing: attention and MLP read the stream as it is.",
    "self.attn(self.ln1(x))",
    "self.attn(x)",
    "self.mlp(self.ln2(x))",
    "self.mlp(x)",
)


ex.slip(
    "parallel",
    "The MLP reads the stream as it was before attention. That is a parallel block (GPT-J's); in GPT-2 the MLP sees what attention has "
    "brought.",
    "    x = x + self.attn(self.ln1(x))\n    x = x + self.mlp(self.ln2(x))\n",
    "    x = x + self.attn(self.ln1(x)) + self.mlp(self.ln2(x))\n",
)


ex.slip(
    "mlp_reads_attn_out",
    "The MLP reads only what attention has written. It reads the whole stream, with that added.",
    "self.mlp(self.ln2(x))",
    "self.mlp(self.ln2(x - resid_pre))",
)


ex.slip(
    "stream_dropped",
    "The stream is gone: the block returns what its parts wrote without what came in. Each part adds to the stream.",
    "x + self.attn(self.ln1(x))",
    "self.attn(self.ln1(x))",
    "x + self.mlp(self.ln2(x))",
    "self.mlp(self.ln2(x))",
)


ex.slip(
    "first_addition_missing",
    "Attention's output replaced the stream instead of being added to it.",
    "x + self.attn(self.ln1(x))",
    "self.attn(self.ln1(x))",
)


ex.slip(
    "second_addition_missing",
    "The MLP's output replaced the stream instead of being added to it.",
    "x + self.mlp(self.ln2(x))",
    "self.mlp(self.ln2(x))",
)


ex.slip(
    "stream_from_the_norm",
    "The parts were added to the normalized stream. The addition starts from the stream itself; the norm is only for what a part reads.",
    "x + self.attn(self.ln1(x))",
    "self.ln1(x) + self.attn(self.ln1(x))",
    "x + self.mlp(self.ln2(x))",
    "self.ln2(x) + self.mlp(self.ln2(x))",
)


ex.slip(
    "ln1_twice",
    "ln1 was used for the MLP as well. It has a norm of its own: ln2.",
    "self.ln2(x)",
    "self.ln1(x)",
)


ex.slip(
    "norms_swapped",
    "ln1 and ln2 changed places.",
    "self.attn(self.ln1(x))",
    "self.attn(self.ln2(x))",
    "self.mlp(self.ln2(x))",
    "self.mlp(self.ln1(x))",
)


ex.slip(
    "mlp_first",
    "The MLP came first. Attention gathers, then the MLP works on what was gathered.",
    "    x = x + self.attn(self.ln1(x))\n    x = x + self.mlp(self.ln2(x))\n",
    "    x = x + self.mlp(self.ln2(x))\n    x = x + self.attn(self.ln1(x))\n",
)


ex.slip(
    "no_mlp",
    "The MLP is missing.",
    "    x = x + self.mlp(self.ln2(x))\n",
    "",
)


ex.slip(
    "overwrites_its_input",
    "The numbers are right, but the tensor that came in was written into twice (as `x += ...` does): the stream before the block, which a "
    "cache may have kept, is now the stream after it. Write x = x + ...",
    "x = x + self.attn",
    "x += self.attn",
    "x = x + self.mlp",
    "x += self.mlp",
)


ex.slip(
    "overwrites_resid_mid",
    "The numbers are right, but the stream between attention and MLP was written into (as `x += ...` does): whoever kept it finds the "
    "stream after the block instead. Write x = x + ...",
    "x = x + self.mlp",
    "x += self.mlp",
)


ex.slip(
    "overwrites_resid_pre",
    "The numbers are right, but the tensor that came in was written into (as `x += ...` does): the stream before the block, which a "
    "cache may have kept, is now the stream between attention and MLP. Write x = x + ...",
    "x = x + self.attn",
    "x += self.attn",
)


@ex.mistake(
    "The numbers are right, but they were written into what attn and mlp had returned (`out += stream` does that). A cache keeps what "
    "each part adds, too: make a new tensor."
)
def writes_into_the_parts(self, resid_pre):
    resid_mid = self.attn(self.ln1(resid_pre))
    resid_mid += resid_pre
    out = self.mlp(self.ln2(resid_mid))
    out += resid_mid
    return out


ex.slip(
    "attention_lost",
    "What attention wrote is missing from the result: the MLP read it, but its output was added to the stream as it was before. Add it to "
    "the new stream.",
    "x = x + self.mlp(self.ln2(x))",
    "x = resid_pre + self.mlp(self.ln2(x))",
)


ex.slip(
    "attn_twice",
    "Attention was applied again in the place of the MLP.",
    "self.mlp(self.ln2(x))",
    "self.attn(self.ln2(x))",
)


ex.slip(
    "no_attention",
    "Attention is missing.",
    "    x = x + self.attn(self.ln1(x))\n",
    "",
)


ex.slip(
    "stream_added_twice",
    "The incoming stream is in the result twice: the stream between contains it already.",
    "x = x + self.mlp(self.ln2(x))",
    "x = resid_pre + x + self.mlp(self.ln2(x))",
)


ex.slip(
    "subtracts",
    "What the parts wrote was subtracted. They add to the stream.",
    "x = x + self.attn",
    "x = x - self.attn",
    "x = x + self.mlp",
    "x = x - self.mlp",
)
