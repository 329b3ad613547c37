"""The circuit that names the indirect object: its heads by role, and the circuit tried alone.

The roles, their tests and the three criteria are those of Wang et al. 2022 ("Interpretability in the Wild"). All
functions expect prompts of one shape, token by token, as `ioi_prompts(..., aligned=True)` gives them.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.training import measure
from cleanlens.training.corpus import IOIDataset

Head = tuple[int, int]
# A role's heads, and the position at which they do its work.
Circuit = Mapping[str, Sequence[tuple[Head, str]]]


@dataclass
class Case:
    """Prompts with what every measurement needs of them, computed once."""

    model: HookedTransformer
    data: IOIDataset
    tokens: Int[Tensor, "batch pos"]
    flipped: Int[Tensor, "batch pos"]  # the other person gives
    abc: Int[Tensor, "batch pos"]  # three different people
    answers: Int[Tensor, "batch 2"]  # IO and S
    at: dict[str, Int[Tensor, " batch"]]  # where A, B, IO, S1, S1+1, S2 and end stand in each prompt

    @property
    def clean_diff(self) -> float:
        """The mean logit difference of the whole model."""
        return difference(self, self.model(self.tokens))


@torch.no_grad()
def make_case(model: HookedTransformer, data: IOIDataset) -> Case:
    """Tokens, counterparts and columns of aligned prompts."""
    tokens, answers = measure.ioi_tokens(model, data.prompts), measure.answer_tokens(model, data)
    places = measure.places(tokens, answers)
    at = {
        "A": torch.minimum(places.io, places.s1),
        "B": torch.maximum(places.io, places.s1),
        "IO": places.io,
        "S1": places.s1,
        "S1+1": places.s1 + 1,
        "S2": places.s2,
        "end": places.end,
    }
    flipped, abc = (measure.ioi_tokens(model, other.prompts) for other in (data.flipped(), data.abc()))
    return Case(model, data, tokens, flipped, abc, answers, at)


def difference(case: Case, logits: Float[Tensor, "batch pos d_vocab"]) -> float:
    """The mean logit difference at the end."""
    return measure.logit_diffs(logits[:, -1], case.answers).mean().item()


# ------------------------------------------------------------------------- who moves whose query


@torch.no_grad()
def query_shift(case: Case, mover: Head) -> tuple[float, Float[Tensor, "layer head"]]:
    """How far the mover prefers IO to S, and how much of that each earlier head alone is responsible for.

    The preference is the mover's attention from the end to the indirect object minus that to the subject's first
    mention. For each sender, what it writes at the end is replaced by what it writes there in the flipped run, in
    the mover's *query* only and along no other path (path patching, Wang et al. section 3.2). Positive: with the
    other run's output the mover looks more at S. Heads that cannot reach the mover are 0.
    """
    model, (layer, head) = case.model, mover
    _, clean = model.run_with_cache(case.tokens)
    _, other = model.run_with_cache(case.flipped)
    row = torch.arange(len(case.tokens))
    block = model.blocks[layer]
    keys = clean[f"blocks.{layer}.attn.hook_k"][:, :, head]
    end_stream = clean[f"blocks.{layer}.hook_resid_pre"][:, -1]

    def preference(stream: Float[Tensor, "batch d_model"]) -> float:
        query = block.ln1(stream[:, None])[:, 0] @ block.attn.W_Q[head] + block.attn.b_Q[head]
        scores = torch.einsum("be,bke->bk", query, keys) / model.cfg.attn_scale
        pattern = scores.softmax(-1)
        return (pattern[row, case.at["IO"]] - pattern[row, case.at["S1"]]).mean().item()

    whole = preference(end_stream)
    shift = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for sender in range(layer):
        name = f"blocks.{sender}.attn.hook_z"
        change = other[name][:, -1] - clean[name][:, -1]
        for h in range(model.cfg.n_heads):
            shift[sender, h] = whole - preference(end_stream + change[:, h] @ model.W_O[sender, h])
    return whole, shift


@torch.no_grad()
def attention_when_patched(
    case: Case, sender: Head, mover: Head, position: str = "end"
) -> tuple[float, float]:
    """The mover's attention from the end to IO and to S1 when the sender's output at one place is the flipped run's.

    Everything in between runs freely.
    """
    _, other = case.model.run_with_cache(case.flipped, names_filter=f"blocks.{sender[0]}.attn.hook_z")
    seen, row = {}, torch.arange(len(case.tokens))

    def send(z, hook):
        z[row, case.at[position], sender[1]] = other[hook.name][row, case.at[position], sender[1]]
        return z

    def look(pattern, hook):
        seen["pattern"] = pattern[:, mover[1], -1]

    hooks = [(f"blocks.{sender[0]}.attn.hook_z", send), (f"blocks.{mover[0]}.attn.hook_pattern", look)]
    case.model.run_with_hooks(case.tokens, fwd_hooks=hooks)
    return tuple(seen["pattern"][row, case.at[name]].mean().item() for name in ("IO", "S1"))


# ---------------------------------------------------------------------------------- heads by role


@torch.no_grad()
def heads_by_position(case: Case, position: str) -> Float[Tensor, "layer head"]:
    """Denoising at one position: one head's clean output there put into the flipped run, 0 = flipped, 1 = clean."""
    model, column, row = case.model, case.at[position], torch.arange(len(case.tokens))
    logits, cache = model.run_with_cache(case.tokens, names_filter=lambda name: name.endswith("hook_z"))
    clean, flipped = difference(case, logits), difference(case, model(case.flipped))

    def run(layer: int, head: int) -> float:
        name = f"blocks.{layer}.attn.hook_z"

        def patch(z, hook):
            z[row, column, head] = cache[name][row, column, head]
            return z

        patched = difference(case, model.run_with_hooks(case.flipped, fwd_hooks=[(name, patch)]))
        return (patched - flipped) / (clean - flipped)

    return measure.each_head(model, run)


@torch.no_grad()
def direct_effect_without(case: Case, ablated: Sequence[Head]) -> Float[Tensor, "layer head"]:
    """Each head's direct effect on the logit difference when some heads are mean-ablated at the end.

    Compared with the effect when none is, this shows backups: heads that do more when others are missing.
    """
    means = abc_means(case)

    def silence(z, hook):
        layer = hook.layer()
        for ablated_layer, head in ablated:
            if ablated_layer == layer:
                z[:, -1, head] = means[layer][:, -1, head]
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", silence) for layer in range(case.model.cfg.n_layers)]
    with case.model.hooks(fwd_hooks=hooks):
        heads, _ = measure.direct_attribution(case.model, case.data)
    return heads


def find_roles(case: Case) -> dict[str, list[Head]]:
    """Heads that pass the tests of each role of Wang et al.; a role that nobody passes is an empty list.

    * name mover: copy score at least 0.9, attends from the end to IO with at least 0.3 and a third more than to S1,
      raises the difference
    * negative name mover: lowers the difference by 0.1 or more, and pushes down what it attends to (score 0.9)
    * S-inhibition: patching it in a name mover's query moves at least 0.05 of attention away from IO over to S
    * duplicate token: attends from S2 to S1 with at least 0.3, in a layer before the movers
    * induction: attends from S2 to the token after S1, with at least 0.3, in a layer before the movers
    * previous token: attends to the token before with at least 0.5, on random tokens
    * token reader: not a role of the paper. Attends to its own token with at least 0.5 at the name positions, and
      what it writes at S2 brings back at least 0.1 of the answer: it makes of the name what later heads read
    * striker: not a role of the paper. Attends from the end to S2 with at least 0.5, pushes down what it attends to
      (score 0.7) and so raises the difference itself, without being an S-inhibition head
    * fetcher: not a role of the paper. Copies names as a mover does, but attends to the first or second name whoever gives
    """
    model, cfg = case.model, case.model.cfg
    attention = measure.role_attention(model, case.tokens, case.answers)
    copies, sunk = (measure.copy_scores(model, case.tokens, case.at["IO"], sign=sign) for sign in (1, -1))
    direct, _ = measure.direct_attribution(model, case.data)
    previous = measure.previous_token_scores(
        measure.patterns(model, measure.repeated_prompt(25, d_vocab=cfg.d_vocab))
    )

    def where(condition: Bool[Tensor, "layer head"]) -> list[Head]:
        return [(layer, head) for layer, head in condition.nonzero().tolist()]

    to_io, to_s1 = attention["end to IO"], attention["end to S1"]
    copying = (copies >= 0.9) & (to_io >= 0.3)
    movers = where(copying & (to_io > 1.33 * to_s1) & (direct > 0.1))
    # What notices a repetition at S2 must come before the movers to be of use to them.
    ahead = torch.arange(cfg.n_layers)[:, None] < min((layer for layer, _ in movers), default=cfg.n_layers)
    shift = torch.zeros(cfg.n_layers, cfg.n_heads)
    for mover in movers:
        shift = torch.maximum(shift, query_shift(case, mover)[1])
    return {
        "name mover": movers,
        "negative name mover": where((sunk >= 0.9) & (direct < -0.1)),
        "S-inhibition": where(shift >= 0.05),
        "duplicate token": where((attention["S2 to S1"] >= 0.3) & ahead),
        "induction": where((attention["S2 to S1+1"] >= 0.3) & ahead),
        "previous token": where(previous >= 0.5),
        "token reader": where((attention["S2 to S2"] >= 0.5) & (heads_by_position(case, "S2") >= 0.1)),
        "striker": where((sunk >= 0.7) & (attention["end to S2"] >= 0.5) & (direct > 0.1) & (shift < 0.05)),
        "fetcher": where(copying & (to_io <= 1.33 * to_s1)),
    }


# Where each role does its work.
POSITIONS = {
    "name mover": ["end"],
    "negative name mover": ["end"],
    "S-inhibition": ["end"],
    "duplicate token": ["S2"],
    "induction": ["S2"],
    "previous token": ["S1+1"],
    "token reader": ["S2", "S1", "IO"],
    "striker": ["end"],
    "fetcher": ["end"],
}


def assemble(roles: Mapping[str, Sequence[Head]]) -> Circuit:
    """The circuit made of these heads, each at the positions of its role.

    Previous-token heads belong to it only where induction heads read what they write.
    """
    if not roles["induction"]:
        roles = {role: heads for role, heads in roles.items() if role != "previous token"}
    return {
        role: [(head, position) for head in heads for position in POSITIONS[role]]
        for role, heads in roles.items()
        if heads
    }


# --------------------------------------------------------------------------------- the circuit alone


@torch.no_grad()
def abc_means(case: Case) -> list[Float[Tensor, "batch pos head d_head"]]:
    """Each layer's head outputs, averaged over the ABC prompts of the same template: all but who is who."""
    _, cache = case.model.run_with_cache(case.abc, names_filter=lambda name: name.endswith("hook_z"))
    templates = torch.tensor(case.data.template_ids)
    means = []
    for layer in range(case.model.cfg.n_layers):
        z = cache[f"blocks.{layer}.attn.hook_z"].clone()
        for template in templates.unique():
            z[templates == template] = z[templates == template].mean(0)
        means.append(z)
    return means


def kept(
    case: Case, circuit: Circuit, without: Sequence[tuple[Head, str]] = ()
) -> Bool[Tensor, "layer batch pos head"]:
    """True where a head's own output stays: the circuit's members, each at the position of its role."""
    batch, pos = case.tokens.shape
    keep = torch.zeros(case.model.cfg.n_layers, batch, pos, case.model.cfg.n_heads, dtype=torch.bool)
    for members in circuit.values():
        for (layer, head), position in members:
            if ((layer, head), position) not in without:
                keep[layer, torch.arange(batch), case.at[position], head] = True
    return keep


@torch.no_grad()
def diff_with(case: Case, keep: Bool[Tensor, "layer batch pos head"]) -> float:
    """The mean logit difference when every head output that is not kept is its ABC mean."""
    means = abc_means(case)

    def ablate(z, hook):
        layer = hook.layer()
        return torch.where(keep[layer][..., None], z, means[layer])

    hooks = [(f"blocks.{layer}.attn.hook_z", ablate) for layer in range(case.model.cfg.n_layers)]
    return difference(case, case.model.run_with_hooks(case.tokens, fwd_hooks=hooks))


def faithfulness(case: Case, circuit: Circuit) -> float:
    """The circuit's logit difference when all other heads are ablated, as a share of the whole model's."""
    return diff_with(case, kept(case, circuit)) / case.clean_diff


def completeness(
    case: Case, circuit: Circuit, n_random: int = 8, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """For sets K of the circuit's heads: (circuit without K, whole model without K), in logits.

    A complete circuit loses what the model loses, whatever is taken away (Wang et al. section 4.2). K is each role
    in turn, and `n_random` random halves of the circuit.
    """
    members = [member for role in circuit.values() for member in role]
    rng = random.Random(seed)
    sets = {role: list(heads) for role, heads in circuit.items()}
    sets |= {f"random {i + 1}": rng.sample(members, len(members) // 2) for i in range(n_random)}
    everything = torch.ones_like(kept(case, circuit))
    result = {}
    for name, without in sets.items():
        removed = kept(case, {"K": without})
        result[name] = (
            diff_with(case, kept(case, circuit) & ~removed),
            diff_with(case, everything & ~removed),
        )
    return result


def minimality(case: Case, circuit: Circuit) -> dict[tuple[Head, str], float]:
    """For each member: how much of the whole model's logit difference changes when it leaves the circuit.

    The larger of two changes: alone, and when the rest of its role has left already (Wang et al. section 4.3
    search for such a set K for each head; its role is the natural one).
    """
    whole, full = diff_with(case, kept(case, circuit)), case.clean_diff
    result = {}
    for role in circuit.values():
        rest_gone = diff_with(case, kept(case, circuit, without=role))
        for member in role:
            alone = whole - diff_with(case, kept(case, circuit, without=[member]))
            others = [other for other in role if other != member]
            last = diff_with(case, kept(case, circuit, without=others)) - rest_gone
            result[member] = max(abs(alone), abs(last)) / full
    return result
