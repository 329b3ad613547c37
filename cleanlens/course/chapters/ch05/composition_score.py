"""Exercise 05.10: Do two heads compose?."""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import cleanlens

from ...exercise import exercise
from .helpers import low_rank, tiny_model

ex = exercise(
    "05.10",
    "composition_score",
    "k_composition_score",
    "random_baseline",
    title="Do two heads compose?",
    objective="You can measure from weights how much one head reads of what another writes, and compare it with what chance "
    "gives.",
    minutes=25,
    difficulty=3,
    importance=4,
    version=5,
    source='Elhage et al. 2021, section "Two-Layer Attention-Only Transformers", heading "Three Kinds of Composition": '
    "Frobenius norm of the product over the product of the norms. Baseline: for random directions its mean square is "
    "1/d_model.",
    hints=[
        "||AB|| / (||A|| ||B||), Frobenius norms: A.norm() is one. Think of the first factor's columns as what is written, of "
        "the second one's rows as what is read.",
        "K-composition: the earlier head's OV, then the later head's W_K. QK = W_Q W_K^T begins with the query, so the key's "
        "side comes first in its transpose.",
        "Baseline: a random pair is two products of Gaussian factors, [d_model, d_head] @ [d_head, d_model]; draw 4 factors "
        "for each of the n pairs from torch.Generator().manual_seed(seed).",
    ],
    why="A score alone says little: random matrices in d dimensions score about 1/sqrt(d). How far random pairs spread "
    "depends on their rank, so the baseline must have rank d_head as real heads have; full-rank matrices hardly spread at "
    "all, and against them every head would look special.",
)


@contextmanager
def draws_watched(changed=None):
    """Keeps the random numbers that torch draws, as `made.drawn`. The one of number `changed` becomes another."""

    class Watch(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.drawn, self.n = [], 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if (
                any(word in str(function) for word in ("rand", "normal", "uniform"))
                and out.is_floating_point()
            ):
                if changed is not None and self.n <= changed < self.n + out.numel():
                    out.view(-1)[changed - self.n] += 0.5
                self.n += out.numel()
                self.drawn.append(out.flatten().clone())
            return out

    with Watch() as made:
        yield made


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    small = [[1e-3 * factor for factor in low_rank(g, *shape)] for shape in ((6, 2, 8), (8, 3, 5))]
    calls = [
        {"what": "score", "A": low_rank(g, 8, 3, 10), "B": low_rank(g, 10, 2, 7)},
        {"what": "score", "A": small[0], "B": small[1]},
        {"what": "score", "A": low_rank(g, 9, 3, 9, (4,)), "B": low_rank(g, 9, 2, 9, (4,))},
        {"what": "score", "A": low_rank(g, 5, 1, 6, (1,)), "B": low_rank(g, 6, 1, 4, (1,))},
        {"what": "k_score", "model": tiny_model(seed), "prev": (0, 1), "ind": (2, 3)},
        {"what": "k_score", "model": tiny_model(seed + 100), "prev": (1, 3), "ind": (2, 2)},
        {"what": "baseline", "d_model": 24, "d_head": 3, "n": 300, "seed": 5 + seed},
        {"what": "one pair", "d_model": 5, "d_head": 2, "n": 1, "seed": 0},
    ]
    return calls


@ex.oracle
def _(what, A=None, B=None, model=None, prev=None, ind=None, d_model=0, d_head=0, n=0, seed=0):
    if what == "one pair":
        return {
            "shape": [1],
            "between 0 and 1": True,
            "independent numbers that the score depends on": "enough",
            "same seed, same score": True,
        }
    if what == "baseline":
        return {
            "shape": [n],
            "independent numbers drawn": "enough",
            "mean square, times d_model": "about 1",
            "spread": "of pairs of rank d_head",
            "same seed, same scores": True,
            "other seed, other scores": True,
        }
    if what == "score":
        M, N = (torch.einsum("...lm,...mr->...lr", *F) for F in (A, B))
    else:
        early, late = model.blocks[prev[0]].attn, model.blocks[ind[0]].attn
        M = (early.W_V[prev[1]] @ early.W_O[prev[1]]).detach()
        N = (late.W_K[ind[1]] @ late.W_Q[ind[1]].T).detach()
    product = torch.einsum("...ab,...bc->...ac", M, N)
    size = {key: (X**2).sum((-2, -1)).sqrt() for key, X in (("M", M), ("N", N), ("MN", product))}
    return size["MN"] / size["M"] / size["N"]


@ex.call
def _(answer, what, A=None, B=None, model=None, prev=None, ind=None, d_model=0, d_head=0, n=0, seed=0):
    if what == "score":
        return answer.composition_score(cleanlens.FactoredMatrix(*A), cleanlens.FactoredMatrix(*B))
    if what == "k_score":
        return answer.k_composition_score(model, prev, ind)
    with draws_watched() as made:
        scores = answer.random_baseline(d_model, d_head, n, seed)
    drawn = len(torch.cat([torch.zeros(0), *(x.float() for x in made.drawn)]).unique())
    again, other = (answer.random_baseline(d_model, d_head, n, number) for number in (seed, seed + 1))
    used = None
    if n == 1 and isinstance(scores, torch.Tensor) and 0 < made.n < 400:
        used = 0
        for number in range(made.n):
            with draws_watched(number):
                used += not torch.equal(answer.random_baseline(d_model, d_head, n, seed), scores)
    return {"scores": scores, "again": again, "other": other, "drawn": drawn, "used": used}


@ex.measure
def _(observed, what, d_model=0, d_head=0, n=0, **_):
    if what in ("score", "k_score"):
        return observed
    scores, again, other = (observed[name].double() for name in ("scores", "again", "other"))
    if what == "one pair":
        return {
            "shape": list(scores.shape),
            "between 0 and 1": bool((scores > 0).all() and (scores <= 1).all()),
            "independent numbers that the score depends on": "enough"
            if observed["used"] is None or observed["used"] >= 4 * d_model * d_head
            else "too few",
            "same seed, same score": bool((scores == again).all()),
        }
    mean_square = float((scores**2).mean()) * d_model
    spread = float(scores.std(correction=0) / scores.mean())
    # Rank d_head: d_head^2 overlaps of one direction with another; the more of them, the less their sum spreads.
    kinds = [
        (0.001, "none: all scores are equal"),
        (0.12, "of pairs of full rank"),
        (0.45, "of pairs of rank d_head"),
    ]
    squares = [
        (0.75, "less than 1"),
        (1.35, "about 1"),
        (0.7 * d_model, "more than 1"),
        (float("inf"), "nearly as much as there can be"),
    ]
    return {
        "shape": list(scores.shape),
        "independent numbers drawn": "enough"
        if not 0 < observed["drawn"] < 3.9 * n * d_model * d_head
        else "too few",
        "mean square, times d_model": next(name for limit, name in squares if mean_square < limit),
        "spread": next((name for limit, name in kinds if spread < limit), "wider than that"),
        "same seed, same scores": bool((scores == again).all()),
        "other seed, other scores": bool((scores != other).any()),
    }


@ex.alternative(of="composition_score")
def ratio_of_norms(A, B):
    return (A @ B).norm() / (A.norm() * B.norm())


@ex.alternative(of="composition_score")
def of_dense_matrices(A, B):
    M, N = A.AB, B.AB
    return torch.linalg.matrix_norm(M @ N) / torch.linalg.matrix_norm(M) / torch.linalg.matrix_norm(N)


@ex.alternative(of="composition_score")
def unit_matrices(A, B):
    S = torch.linalg.svdvals((A.AB / A.AB.norm(dim=(-2, -1), keepdim=True)) @ B.AB)
    return S.norm(dim=-1) / B.norm()


ex.slip(
    "guarded_norms",
    "A small number was added to what is divided by, as if it might be 0, and where it is itself small that shows. It is never 0 here: neither "
    "matrix is zero.",
    "(A.norm() * B.norm())",
    "(A.norm() * B.norm() + 1e-8)",
    of="composition_score",
)


@ex.alternative(of="k_composition_score")
def OV_then_QK_transposed(model, prev, ind):
    A = cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])
    B = cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)
    return (A @ B).norm() / (A.norm() * B.norm())


@ex.alternative(of="k_composition_score")
def the_other_way_up(model, prev, ind):
    QK, OV = model.QK[ind].AB, model.OV[prev].AB
    return (QK @ OV.T).norm() / QK.norm() / OV.norm()


@ex.alternative(of="random_baseline")
def pairs_of_rank_d_head(d_model, d_head, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(4, n, d_model, d_head, generator=generator)
    A = cleanlens.FactoredMatrix(left[0], left[1].mT)
    B = cleanlens.FactoredMatrix(left[2], left[3].mT)
    return (A @ B).norm() / (A.norm() * B.norm())


@ex.alternative(of="random_baseline")
def one_pair_at_a_time(d_model, d_head, n, seed=0):
    torch.manual_seed(seed)
    scores = []
    for _ in range(n):
        A = torch.randn(d_model, d_head) @ torch.randn(d_head, d_model)
        B = torch.randn(d_model, d_head) @ torch.randn(d_head, d_model)
        scores.append((A @ B).norm() / A.norm() / B.norm())
    return torch.stack(scores)


ex.slip(
    "squared",
    "That is the square of the score. Norms, not squared norms.",
    "return (A @ B).norm() / (A.norm() * B.norm())",
    "return ((A @ B).norm() / (A.norm() * B.norm())) ** 2",
    of="composition_score",
)


ex.slip(
    "unnormalised",
    "The norms of A and B were not divided out. Large weights then look like composition.",
    "(A @ B).norm() / (A.norm() * B.norm())",
    "(A @ B).norm()",
    of="composition_score",
)


ex.slip(
    "normalised_by_one",
    "Only the norm of A was divided out. Both matter: ||AB|| / (||A|| ||B||).",
    "(A.norm() * B.norm())",
    "A.norm()",
    of="composition_score",
)


ex.slip(
    "divided_and_multiplied",
    "It divides by ||A|| and then multiplies by ||B||: in Python a / b * c is (a / b) * c. Put parentheses around the product.",
    "(A @ B).norm() / (A.norm() * B.norm())",
    "(A @ B).norm() / A.norm() * B.norm()",
    of="composition_score",
)


@ex.mistake(
    "Those are spectral norms, the largest singular values. The score of Elhage et al. takes Frobenius norms, so that every "
    "direction counts.",
    of="composition_score",
)
def spectral_norm(A, B):
    return torch.linalg.svdvals(A.AB @ B.AB)[..., 0] / (
        torch.linalg.svdvals(A.AB)[..., 0] * torch.linalg.svdvals(B.AB)[..., 0]
    )


@ex.mistake(
    "Those are nuclear norms, sums of singular values. Take Frobenius norms: the root of the sum of squares.",
    of="composition_score",
)
def nuclear_norm(A, B):
    return torch.linalg.svdvals(A.AB @ B.AB).sum(-1) / (
        torch.linalg.svdvals(A.AB).sum(-1) * torch.linalg.svdvals(B.AB).sum(-1)
    )


@ex.mistake(
    "The norms of the four factors were multiplied. Dividing by ||W_V|| ||W_O|| instead of ||W_V W_O|| depends on how the "
    "product was cut in two, which means nothing.",
    of="composition_score",
)
def norms_of_the_factors(A, B):
    bottom = 1.0
    for X in (A.A, A.B, B.A, B.B):
        bottom = bottom * X.norm(dim=(-2, -1))
    return (A @ B).norm() / bottom


@ex.mistake(
    "All matrices were put under one norm: leading axes are a batch, and each pair has its own score.",
    of="composition_score",
)
def one_score_for_the_batch(A, B):
    return (A.AB @ B.AB).norm() / (A.AB.norm() * B.AB.norm())


ex.slip(
    "QK_untransposed",
    "QK was not transposed. W_Q W_K^T starts on the query's side, so what you have is Q-composition. For K-composition the "
    "written direction meets W_K first: W_K W_Q^T.",
    "cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)",
    "cleanlens.FactoredMatrix(model.W_Q[ind], model.W_K[ind].T)",
    of="k_composition_score",
)


ex.slip(
    "V_composition",
    "The later head's OV was used. That is V-composition; K-composition asks what its keys read: W_K W_Q^T.",
    "cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)",
    "cleanlens.FactoredMatrix(model.W_V[ind], model.W_O[ind])",
    of="k_composition_score",
)


ex.slip(
    "OV_transposed",
    "The earlier head's OV is transposed: it reads with W_V and writes with W_O, and what it writes is what the key reads.",
    "cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])",
    "cleanlens.FactoredMatrix(model.W_O[prev].T, model.W_V[prev].T)",
    of="k_composition_score",
)


ex.slip(
    "reads_before_it_is_written",
    "The product is in the wrong order: the later head's QK came first. What is written stands on the left, what reads it on the "
    "right.",
    "(A @ B).norm()",
    "(B @ A).norm()",
    of="k_composition_score",
)


ex.slip(
    "head_ignored",
    "Head 0 of the two layers was compared, whatever heads are asked for.",
    "    A = cleanlens.FactoredMatrix(",
    "    prev, ind = (prev[0], 0), (ind[0], 0)\n    A = cleanlens.FactoredMatrix(",
    of="k_composition_score",
)


@ex.mistake(
    "The random matrices have full rank. The average comes out right, about 1/sqrt(d_model), but not the spread: it is far too "
    "narrow, so that any pair of real heads would look special. Make rank d_head: [d_model, d_head] @ [d_head, d_model].",
    of="random_baseline",
)
def full_rank_baseline(d_model, d_head, n, seed=0):
    A, B = torch.randn(2, n, d_model, d_model, generator=torch.Generator().manual_seed(seed))
    return (A @ B).norm(dim=(-2, -1)) / (A.norm(dim=(-2, -1)) * B.norm(dim=(-2, -1)))


ex.slip(
    "one_pair_repeated",
    "All n scores are equal: one pair was drawn and used n times. Draw a new pair for each.",
    "torch.randn(4, n, d_model, d_head, generator=generator)",
    "torch.randn(4, 1, d_model, d_head, generator=generator).expand(4, n, d_model, d_head)",
    of="random_baseline",
)


ex.slip(
    "shared_factor",
    "The pairs compose far more than by chance, as when A's right factor is B's left factor transposed: what A writes is just what B "
    "reads. Chance means that the four factors are drawn independently.",
    "cleanlens.FactoredMatrix(left[2], left[3].mT)",
    "cleanlens.FactoredMatrix(left[1], left[3].mT)",
    of="random_baseline",
)


ex.slip(
    "seed_0_is_none",
    "With seed 0 the scores come out otherwise every time: 0 counts as false in an `if` or an `or`, and was taken for 'no seed'. It is a "
    "seed like any other.",
    "manual_seed(seed)",
    "manual_seed(seed or torch.Generator().seed())",
    of="random_baseline",
)


ex.slip(
    "seed_ignored",
    "The seed has no effect: another seed gives the same scores.",
    "manual_seed(seed)",
    "manual_seed(0)",
    of="random_baseline",
)


ex.slip(
    "not_repeatable",
    "The same seed gives other scores the second time. Draw from torch.Generator().manual_seed(seed).",
    "torch.randn(4, n, d_model, d_head, generator=generator)",
    "torch.randn(4, n, d_model, d_head)",
    of="random_baseline",
)


ex.slip(
    "baseline_mean_only",
    "That is the mean of the scores. Return all n of them: the spread is what tells chance from composition.",
    "return (A @ B).norm() / (A.norm() * B.norm())",
    "return ((A @ B).norm() / (A.norm() * B.norm())).mean()",
    of="random_baseline",
)


ex.slip(
    "baseline_unnormalised",
    "The norms of the random matrices were not divided out; a baseline must be the same kind of number as the score.",
    "return (A @ B).norm() / (A.norm() * B.norm())",
    "return (A @ B).norm()",
    of="random_baseline",
)


@ex.mistake(
    "Fewer independent numbers were drawn than four factors for each pair need: as when the seed is set again for the second matrix, so "
    "that it is the first one over again, or when a factor is used twice, once transposed. Set the seed once, and draw all four.",
    of="random_baseline",
)
def same_matrix_twice(d_model, d_head, n, seed=0):
    torch.manual_seed(seed)
    A = cleanlens.FactoredMatrix(torch.randn(n, d_model, d_head), torch.randn(n, d_head, d_model))
    return (A @ A).norm() / (A.norm() * A.norm())


@ex.mistake(
    "The factors are all positive, as torch.rand gives them: then all matrices point the same way, and pairs score far above chance. "
    "Draw Gaussian numbers, torch.randn.",
    of="random_baseline",
)
def uniform_factors(d_model, d_head, n, seed=0):
    torch.manual_seed(seed)
    a, b, c, d = torch.rand(4, n, d_model, d_head)
    A, B = cleanlens.FactoredMatrix(a, b.mT), cleanlens.FactoredMatrix(c, d.mT)
    return (A @ B).norm() / (A.norm() * B.norm())


@ex.mistake(
    "These are the scores of the full circuits, with W_E around them. Composition is between heads: W_V W_O of the one against W_K W_Q^T "
    "of the other, in the residual stream.",
    of="k_composition_score",
)
def with_embeddings(model, prev, ind):
    A = cleanlens.FactoredMatrix(model.W_E @ model.W_V[prev], model.W_O[prev])
    B = cleanlens.FactoredMatrix(model.W_K[ind], (model.W_E @ model.W_Q[ind]).mT)
    return (A @ B).norm() / (A.norm() * B.norm())


ex.slip(
    "prev_and_ind_swapped",
    "prev and ind changed places: the earlier head writes, the later one reads.",
    "    A = cleanlens.FactoredMatrix(",
    "    prev, ind = ind, prev\n    A = cleanlens.FactoredMatrix(",
    of="k_composition_score",
)


ex.slip(
    "A_and_B_swapped",
    "That is the score of B A where it could be made, and an error where the sizes do not fit. A writes, B reads: A @ B.",
    "return (A @ B).norm() /",
    "return (B @ A).norm() /",
    of="composition_score",
)


ex.equivalent(
    "The score of two heads is one number and has no axes.",
    "return (A @ B).norm() / (A.norm() * B.norm()) => return ((A @ B).norm() / (A.norm() * B.norm())).squeeze()",
    "QK @ OV.T).norm() / QK.norm() / OV.norm => (QK @ OV.T).norm() / QK.norm() / OV.norm()).squeeze",
    "model.QK[ind].T) => model.QK[ind].T).squeeze()",
)

ex.equivalent(
    "Numbers that are drawn and not used change nothing.",
    "torch.randn(4, n, => torch.randn(5, n,",
)

ex.equivalent(
    "Scores of random pairs are judged by how they are spread, in whatever precision.",
    "return (A @ B).norm() / (A.norm() * B.norm()) => return ((A @ B).norm() / (A.norm() * B.norm())).double()",
    "stack(scores) => stack(scores).double()",
    "FactoredMatrix(c, d.mT)) => FactoredMatrix(c, d.mT)).double()",
)

ex.equivalent(
    "The two matrices of a pair are drawn alike: which of them comes first, or is transposed, is the same to chance.",
    "return (A @ B).norm => return (B @ A).norm",
    "append((A @ B).norm => append((B @ A).norm",
    "append((A @ B => append((A.mT @ B",
    "A @ B).norm() => A @ B.mT).norm()",
    "a, b.mT), cleanlens.FactoredMatrix(c, d => c, d.mT), cleanlens.FactoredMatrix(a, b",
)
