"""Exercise 05.11: Copying in the complex plane."""

import torch

from ...exercise import exercise
from .helpers import normal, tiny_model, watched


def heads_of(model):
    return [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]


ex = exercise(
    "05.11",
    "copying_score",
    "head_copying_scores",
    title="Copying in the complex plane",
    objective="You can sum up a head's OV circuit in one number between -1 and 1: does it raise the logit of what it attends "
    "to?",
    minutes=20,
    difficulty=3,
    importance=4,
    version=4,
    source='Elhage et al. 2021, section "One-Layer Attention-Only Transformers", heading "Detecting Copying Behavior": '
    "the sum of the eigenvalues over the sum of their absolute values.",
    atol=2e-5,
    hints=[
        "Add first, divide once: the sum of all eigenvalues over the sum of all their absolute values, along the last axis.",
        "Imaginary parts cancel in the sum (they come in pairs), so .real loses nothing. For real eigenvalues only the sign "
        "decides.",
        "For a head: the eigenvalues of full_OV, through the small matrix (W_O W_U)(W_E W_V), [d_head, d_head].",
    ],
    why="The sum of the eigenvalues is the trace: the total a token adds to its own logit. Dividing by the sum of sizes makes "
    "it a share: 1 when every eigenvalue is positive, -1 when all are negative, near 0 for rotations and random matrices.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    A, B = normal(g, 3, 5, 5), normal(g, 4, 6, 6)
    some, more = torch.linalg.eigvals(A + 0.8 * torch.eye(5)), torch.linalg.eigvals(B - 0.7 * torch.eye(6))
    with_zeros = torch.cat([more, torch.zeros(4, 3, dtype=more.dtype)], dim=-1).reshape(2, 2, 9)
    return [
        {"what": "score", "eigenvalues": some},
        {"what": "score", "eigenvalues": with_zeros},
        {"what": "score", "eigenvalues": some[0]},
        {"what": "score", "eigenvalues": some[:1, :1]},
        {"what": "score", "eigenvalues": 1e-7 * some},
        {"what": "score", "eigenvalues": some.real.to(some.dtype)},
        {"what": "heads", "model": tiny_model(seed, d_vocab=41)},
        {"what": "heads", "model": tiny_model(seed, d_vocab=19, n_layers=1, n_heads=1)},
    ]


@ex.oracle
def _(what, eigenvalues=None, model=None):
    if what == "score":
        flat = eigenvalues.reshape(-1, eigenvalues.shape[-1]).tolist()
        scores = [sum(z.real for z in row) / sum(abs(z) for z in row) for row in flat]
        return torch.tensor(scores).reshape(eigenvalues.shape[:-1])
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    W_E, W_U = model.W_E.double(), model.W_U.double()
    for layer, head in heads_of(model):
        attn = model.blocks[layer].attn
        M = W_E @ attn.W_V[head].double() @ attn.W_O[head].double() @ W_U  # n x n; most eigenvalues are zero
        scores[layer, head] = torch.trace(M) / torch.linalg.eigvals(M).abs().sum()  # the sum is the trace
    return {"scores": scores.detach(), "as large as vocabulary x vocabulary": False}


@ex.call
def _(answer, what, eigenvalues=None, model=None):
    if what == "score":
        return answer.copying_score(eigenvalues)
    with watched() as made:
        scores = answer.head_copying_scores(model)
    return {"scores": scores, "largest": int(made.largest)}


@ex.measure
def _(observed, what, eigenvalues=None, model=None):
    if what == "score":
        return observed
    too_large = (
        observed["largest"] >= model.cfg.d_vocab**2
    )  # the thin factors of all heads together are smaller
    return {"scores": observed["scores"], "as large as vocabulary x vocabulary": too_large}


@ex.alternative(of="copying_score")
def sum_over_sum(eigenvalues):
    total = eigenvalues.sum(dim=-1).real
    return total / eigenvalues.abs().sum(dim=-1)


ex.slip(
    "guarded_sum",
    "A small number was added to what is divided by, as if it might be 0, and where it is itself small that shows. It is never 0 here: not all "
    "eigenvalues are.",
    "eigenvalues.abs().sum(dim=-1)",
    "(eigenvalues.abs().sum(dim=-1) + 1e-8)",
    of="copying_score",
)


@ex.alternative(of="copying_score")
def real_parts_first(eigenvalues):
    return torch.view_as_real(eigenvalues)[..., 0].sum(-1) / (
        eigenvalues * eigenvalues.conj()
    ).real.sqrt().sum(-1)


@ex.alternative(of="head_copying_scores")
def all_at_once(model):
    full = model.W_E @ model.OV @ model.W_U
    values = full.eigenvalues
    return values.sum(dim=-1).real / values.abs().sum(dim=-1)


@ex.alternative(of="head_copying_scores")
def head_by_head(model):
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    middle = model.W_U @ model.W_E
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            small = model.W_O[layer, head] @ middle @ model.W_V[layer, head]
            scores[layer, head] = torch.trace(small) / torch.linalg.eigvals(small).abs().sum()
    return scores


ex.slip(
    "sizes_of_real_parts",
    "The denominator adds up |real part|. An eigenvalue of 0.1 + 2i has size 2: take the absolute value of the complex number.",
    "eigenvalues.abs().sum(dim=-1)",
    "eigenvalues.real.abs().sum(dim=-1)",
    of="copying_score",
)


ex.slip(
    "absolute_sum",
    "The sign is gone: the absolute value of the sum was taken. A head that suppresses what it attends to must come out "
    "negative.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.sum(dim=-1).abs()",
    of="copying_score",
)


ex.slip(
    "real_part_of_sizes",
    "That is always 1: the real part of |λ| is |λ|. Take the real part of the sum of the λ themselves.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.abs().sum(dim=-1).real",
    of="copying_score",
)


ex.slip(
    "still_complex",
    "The result is still complex. The imaginary parts cancel; return .real.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.sum(dim=-1)",
    of="copying_score",
)


ex.slip(
    "not_normalised",
    "The sum was not divided by the sum of the sizes, so large weights look like copying.",
    "total / eigenvalues.abs().sum(dim=-1)",
    "total",
    of="copying_score",
)


ex.slip(
    "one_score_for_all",
    "The leading axes were summed over too. Every matrix has a score of its own: dim=-1.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.sum().real",
    "eigenvalues.abs().sum(dim=-1)",
    "eigenvalues.abs().sum()",
    of="copying_score",
)


@ex.mistake(
    "The ratio λ/|λ| was averaged over the eigenvalues. Then a tiny eigenvalue counts as much as the largest, and a zero one is "
    "0/0. Sum first, divide once.",
    of="copying_score",
)
def mean_of_ratios(eigenvalues):
    return (eigenvalues / eigenvalues.abs()).real.mean(dim=-1)


@ex.mistake(
    "That is the share of eigenvalues with a positive real part; their sizes do not count in it.",
    of="copying_score",
)
def share_of_positive(eigenvalues):
    return (eigenvalues.real > 0).float().mean(dim=-1)


ex.slip(
    "residual_circuit",
    "Those are the eigenvalues of W_V W_O, from residual stream to residual stream. Copying is about tokens: W_E in front, W_U "
    "behind. A head whose output W_U does not read copies nothing.",
    "model.W_E @ model.OV @ model.W_U",
    "model.OV",
    of="head_copying_scores",
)


ex.slip(
    "embedding_for_unembedding",
    "W_E was used on both sides. The output side is W_U; this model's two are different matrices.",
    "@ model.W_U",
    "@ model.W_E.T",
    of="head_copying_scores",
)


ex.slip(
    "full_size",
    "The scores are right, but from d_vocab x d_vocab matrices. For GPT-2 that is 50,257 eigenvalues for each of 144 heads, all "
    "but 64 of them zero: use (W_O W_U)(W_E W_V), which is d_head x d_head.",
    "values = full.eigenvalues",
    "values = torch.linalg.eigvals(full.AB)",
    of="head_copying_scores",
)


ex.slip(
    "layer_and_head_swapped",
    "The axes are swapped: layers are rows, heads are columns.",
    "return values.sum(dim=-1).real / values.abs().sum(dim=-1)",
    "return (values.sum(dim=-1).real / values.abs().sum(dim=-1)).T",
    of="head_copying_scores",
)


ex.slip(
    "first_layer_only",
    "Every row is layer 0 again.",
    "return values.sum(dim=-1).real / values.abs().sum(dim=-1)",
    "return (values.sum(dim=-1).real / values.abs().sum(dim=-1))[:1].expand(len(model.blocks), -1)",
    of="head_copying_scores",
)


@ex.mistake(
    "Those come from singular values, which are never negative. Copying is about eigenvalues: does a token come back as itself, "
    "and with which sign?",
    of="head_copying_scores",
)
def singular_values(model):
    full = model.W_E @ model.OV @ model.W_U
    diagonal = (full.A * full.B.mT).sum((-2, -1))
    return diagonal / full.S.sum(-1)


ex.slip(
    "mean_over_sum",
    "The mean of the eigenvalues was divided by the sum of their sizes: smaller by their number than it should be. Sum over sum.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.mean(dim=-1).real",
    of="copying_score",
)


ex.slip(
    "mean_over_all_matrices",
    "The scores of all matrices were averaged into one. Every matrix has a score of its own.",
    "return total / eigenvalues.abs().sum(dim=-1)",
    "return (total / eigenvalues.abs().sum(dim=-1)).mean()",
    of="copying_score",
)


@ex.mistake(
    "These are eigenvalues of the QK circuit, which says where a head looks. What it writes is the OV circuit: W_V and W_O, from W_E to W_U.",
    of="head_copying_scores",
)
def QK_circuit(model):
    values = (model.W_E @ model.QK @ model.W_E.T).eigenvalues
    return values.sum(dim=-1).real / values.abs().sum(dim=-1)


@ex.mistake(
    "eigvalsh is for symmetric matrices: it reads one triangle and believes the other. This circuit is not symmetric; use "
    "torch.linalg.eigvals, and expect complex numbers.",
    of="head_copying_scores",
)
def symmetric_solver(model):
    values = torch.linalg.eigvalsh(model.W_O @ (model.W_U @ model.W_E) @ model.W_V)
    return values.sum(dim=-1) / values.abs().sum(dim=-1)


@ex.mistake(
    "These are sums of the diagonal over sums of its absolute values. The diagonal adds up to the same as the eigenvalues, but its entries "
    "are not the eigenvalues.",
    of="head_copying_scores",
)
def diagonal_for_eigenvalues(model):
    full = model.W_E @ model.OV @ model.W_U
    diagonal = (full.A * full.B.mT).sum(-1)
    return diagonal.sum(-1) / diagonal.abs().sum(-1)


ex.equivalent(
    "The sum is a new tensor, which is nobody else's.",
    "return total / eigenvalues.abs().sum(dim=-1) => total /= eigenvalues.abs().sum(dim=-1) return total",
)

ex.equivalent(
    "The eigenvalues that are not zero stay when the first factor of a product becomes the last.",
    "W_E @ model.OV @ model.W_U => W_U @ (model.W_E @ model.OV)",
    "W_O[layer, head] @ middle @ model.W_V[layer, head] => W_V[layer, head] @ (model.W_O[layer, head] @ middle)",
    "W_O @ (model.W_U @ model.W_E) @ model.W_V => W_V @ (model.W_O @ (model.W_U @ model.W_E))",
)

ex.equivalent(
    "Every entry is written over.",
    "torch.zeros(model => torch.ones(model",
)
