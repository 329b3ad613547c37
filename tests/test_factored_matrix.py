"""FactoredMatrix against the same thing multiplied out, in float64."""

from itertools import product
from typing import Any

import pytest
import torch
from helpers import random_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cleanlens import FactoredMatrix
from cleanlens.utils import composition_scores, get_corner

settings.register_profile("quick", max_examples=30, deadline=None)
settings.load_profile("quick")


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def make(leading: tuple[int, ...], ldim: int, mdim: int, rdim: int, seed: int = 0) -> FactoredMatrix:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*leading, *shape, generator=generator, dtype=torch.float64)

    return FactoredMatrix(randn(ldim, mdim), randn(mdim, rdim))


leadings = st.lists(st.integers(1, 3), max_size=2).map(tuple)
sizes = st.integers(1, 6)


# ---------------------------------------------------------------- identities for all shapes


@given(leadings, sizes, sizes, sizes)
def test_shape_transpose_and_norm(leading: tuple, ldim: int, mdim: int, rdim: int) -> None:
    matrix = make(leading, ldim, mdim, rdim)
    assert matrix.shape == matrix.AB.shape == (*leading, ldim, rdim)
    assert (matrix.ldim, matrix.mdim, matrix.rdim, matrix.ndim) == (ldim, mdim, rdim, len(leading) + 2)
    assert matrix.has_leading_dims == bool(leading)
    assert matrix.pair == (matrix.A, matrix.B)
    close(matrix.AB, matrix.A @ matrix.B)
    close(matrix.T.AB, matrix.AB.transpose(-1, -2))
    close(matrix.transpose().AB, matrix.T.AB)
    close(matrix.norm(), torch.linalg.matrix_norm(matrix.AB))
    assert repr(matrix) == f"FactoredMatrix: Shape({matrix.AB.shape}), Hidden Dim({mdim})"


@given(leadings, sizes, sizes, sizes)
def test_singular_values(leading: tuple, ldim: int, mdim: int, rdim: int) -> None:
    matrix = make(leading, ldim, mdim, rdim)
    U, S, V = matrix.svd()
    k = min(ldim, mdim, rdim)
    assert U.shape == (*leading, ldim, k)
    assert S.shape == (*leading, k)
    assert V.shape == (*leading, rdim, k)
    identity = torch.eye(k, dtype=torch.float64).expand(*leading, k, k)
    close(U.transpose(-1, -2) @ U, identity)
    close(V.transpose(-1, -2) @ V, identity)
    close(U * S[..., None, :] @ V.transpose(-1, -2), matrix.AB)
    close(S, torch.linalg.svdvals(matrix.AB)[..., :k])
    assert matrix.U.equal(U)
    assert matrix.S.equal(S)
    assert matrix.V.equal(V)
    assert matrix.Vh.equal(V)  # the published name for the same columns


@given(leadings, sizes, sizes)
def test_eigenvalues(leading: tuple, size: int, mdim: int) -> None:
    matrix = make(leading, size, mdim, size)
    assert matrix.eigenvalues.shape == (*leading, mdim)
    for power in (1, 2, 3):  # the traces of the powers determine the nonzero eigenvalues
        dense = torch.linalg.matrix_power(matrix.AB, power).diagonal(dim1=-2, dim2=-1).sum(-1)
        ours = (matrix.eigenvalues**power).sum(-1)
        close(ours.real / (1 + dense.abs()), dense / (1 + dense.abs()))
    close(matrix.BA, matrix.B @ matrix.A)


@given(leadings, sizes, sizes, sizes)
def test_other_factors_of_the_same_product(leading: tuple, ldim: int, mdim: int, rdim: int) -> None:
    matrix = make(leading, ldim, mdim, rdim)
    even = matrix.make_even()
    close(even.AB, matrix.AB)
    left, right = torch.linalg.svdvals(even.A), torch.linalg.svdvals(even.B)
    close(left, right)
    close(
        matrix.collapse_l().transpose(-1, -2) @ matrix.collapse_l(), matrix.AB.transpose(-1, -2) @ matrix.AB
    )
    close(
        matrix.collapse_r() @ matrix.collapse_r().transpose(-1, -2), matrix.AB @ matrix.AB.transpose(-1, -2)
    )


@given(leadings, sizes, sizes, sizes, sizes, sizes)
def test_products(leading: tuple, ldim: int, mdim: int, rdim: int, mdim2: int, rdim2: int) -> None:
    matrix, other = make(leading, ldim, mdim, rdim), make((), rdim, mdim2, rdim2, seed=1)
    right, left = other.AB, make((), 2, 3, ldim, seed=2).AB
    product = matrix @ other
    assert isinstance(product, FactoredMatrix)
    assert product.mdim == min(mdim, rdim, mdim2)
    close(product.AB, matrix.AB @ other.AB)
    close((matrix @ right).AB, matrix.AB @ right)
    close((left @ matrix).AB, left @ matrix.AB)
    close(matrix @ right[:, 0], matrix.AB @ right[:, 0])
    close(left[0] @ matrix, left[0] @ matrix.AB)
    close((matrix * 2.5).AB, 2.5 * matrix.AB)
    close((3 * matrix).AB, 3 * matrix.AB)
    close((torch.tensor(3.0, dtype=torch.float64) * matrix).AB, 3 * matrix.AB)


# ---------------------------------------------------------------- leading axes


def test_leading_axes_broadcast() -> None:
    A, B = make((5, 1), 4, 3, 6).A, make((2,), 4, 3, 6, seed=1).B
    matrix = FactoredMatrix(A, B)
    assert matrix.shape == (5, 2, 4, 6)
    close(matrix.AB, A @ B)
    close(matrix.norm(), torch.linalg.matrix_norm(A @ B))
    close((matrix.unsqueeze(0) @ make((7, 1, 1), 6, 2, 3).AB).AB, (A @ B) @ make((7, 1, 1), 6, 2, 3).AB)


def test_unsqueeze() -> None:
    matrix = make((5, 2), 4, 3, 6)
    for k in (0, 1, 2):
        close(matrix.unsqueeze(k).AB, matrix.AB.unsqueeze(k))
    with pytest.raises(ValueError, match="3 is not a place among the leading axes"):
        matrix.unsqueeze(3)


def test_get_corner() -> None:
    matrix = make((5, 2), 4, 3, 6)
    close(matrix.get_corner(2), matrix.AB[:2, :2, :2, :2])
    close(get_corner(matrix), matrix.AB[:3, :3, :3, :3])


# ---------------------------------------------------------------- indexing

INDICES: list[Any] = [
    0,
    -1,
    slice(1, 3),
    (0, 1),
    (slice(None), 1),
    (slice(None, None, 2), slice(None)),
    ...,
    (..., slice(1, 3)),
    (0, ...),
    (1, ..., slice(0, 2)),
    (0, 1, slice(1, 3)),
    (0, 1, slice(1, 3), slice(None, None, 2)),
    (slice(None), slice(None), [0, 2]),
    ([0, 2],),
    ([0, 2], [1, 0]),
    (torch.tensor([True, False, True, True, False]),),
    (None, 0),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_is_that_of_the_product(index: Any) -> None:
    matrix = make((5, 2), 4, 3, 6)
    close(matrix[index].AB, matrix.AB[index])


@pytest.mark.parametrize(
    ("index", "dense"),
    [
        ((0, 1, 2), (0, 1, slice(2, 3))),
        ((0, 1, -1), (0, 1, slice(-1, None))),
        ((0, 1, 2, 3), (0, 1, slice(2, 3), slice(3, 4))),
        ((..., 0), (..., slice(0, 1))),
        ((..., 2, slice(None)), (..., slice(2, 3), slice(None))),
    ],
    ids=str,
)
def test_a_row_or_column_keeps_its_axis(index: Any, dense: Any) -> None:
    matrix = make((5, 2), 4, 3, 6)
    close(matrix[index].AB, matrix.AB[dense])


def test_too_many_indices() -> None:
    with pytest.raises(IndexError, match="FactoredMatrix: 3 indices for 2 axes"):
        make((), 4, 3, 6)[0, 1, 2]


# ---------------------------------------------------------------- errors


@pytest.mark.usefixtures("shapes_unchecked")
def test_errors_say_which_shapes_were_given() -> None:
    matrix, ones = make((2,), 4, 3, 6), torch.ones
    with pytest.raises(ValueError, match=r"A \[4, 3\] and B \[2, 6\]; they must be"):
        FactoredMatrix(ones(4, 3), ones(2, 6))
    with pytest.raises(ValueError, match=r"leading axes of A \[2, 4, 3\] and B \[5, 3, 6\] do not broadcast"):
        FactoredMatrix(ones(2, 4, 3), ones(5, 3, 6))
    with pytest.raises(
        ValueError, match=r"cannot multiply shape \[2, 4, 6\] by \[5, 2\]; 6 columns meet 5 rows"
    ):
        matrix @ ones(5, 2)
    with pytest.raises(
        ValueError, match=r"cannot multiply shape \[5\] by \[2, 4, 6\]; 5 columns meet 4 rows"
    ):
        ones(5) @ matrix
    with pytest.raises(ValueError, match=r"BA: needs a square matrix; this one has shape .*2, 4, 6"):
        _ = matrix.eigenvalues
    with pytest.raises(ValueError, match=r"one number, not by a tensor of shape \[2\]"):
        matrix * ones(2)


# ---------------------------------------------------------------- composition


def test_composition_score_of_one_pair() -> None:
    left, right = make((), 5, 2, 5), make((), 5, 3, 5, seed=1)
    expected = (left.AB @ right.AB).norm() / left.AB.norm() / right.AB.norm()
    for paired in (True, False):
        found = composition_scores(left, right, broadcast_dims=paired)
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_composition_scores_of_all_pairs() -> None:
    left, right = make((3, 2), 5, 2, 5), make((4,), 5, 3, 5, seed=1)
    scores = composition_scores(left, right)
    assert scores.shape == (3, 2, 4)
    for i in range(3):
        for j in range(2):
            for k in range(4):
                a, b = left.AB[i, j], right.AB[k]
                close(scores[i, j, k], (a @ b).norm() / a.norm() / b.norm())


# ---------------------------------------------------------------- the circuits of models, as chains of factors


@pytest.fixture(
    scope="module",
    params=[{}, {"attn_only": True, "n_layers": 2}, {"d_head": 11}],
    ids=["gpt2", "attn-only", "wide"],
)
def circuit_model(request: pytest.FixtureRequest) -> Any:
    """Several architectures; the last one's heads are wider together than the stream."""
    return random_model(1, **{"d_vocab_out": 53, **request.param})


def test_full_circuits_are_those_multiplied_out(circuit_model: Any) -> None:
    model = circuit_model
    with torch.no_grad():
        for chain, inner in (
            (model.W_E @ model.OV @ model.W_U, model.W_V @ model.W_O),
            (model.W_pos @ model.QK @ model.W_pos.T, model.W_Q @ model.W_K.mT),
        ):
            outer = (model.W_E, model.W_U) if chain.shape[-1] == 53 else (model.W_pos, model.W_pos.T)
            dense = outer[0] @ inner @ outer[1]
            assert len([*chain.lefts, *chain.rights]) == 4
            rank = min(model.cfg.d_head, model.cfg.n_ctx)
            close(chain.AB, dense)
            close(chain.T.AB, dense.mT)
            close(chain.norm(), torch.linalg.matrix_norm(dense))
            close(chain.S[..., :rank], torch.linalg.svdvals(dense)[..., :rank])
            U, S, V = chain.svd()
            close(U @ torch.diag_embed(S) @ V.mT, dense)
            largest = chain.eigenvalues.abs().sort(dim=-1, descending=True).values
            wanted = torch.linalg.eigvals(dense).abs().sort(dim=-1, descending=True).values
            close(largest[..., :rank], wanted[..., :rank])
            close(chain.eigenvalues.sum(-1).real, dense.diagonal(dim1=-2, dim2=-1).sum(-1))


@pytest.mark.parametrize("mode", ["Q", "K", "V"])
def test_composition_scores_of_models(circuit_model: Any, mode: str) -> None:
    model = circuit_model
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    with torch.no_grad():
        scores = model.all_composition_scores(mode)
        OV, QK = model.W_V @ model.W_O, model.W_Q @ model.W_K.mT
        reader = {"Q": QK, "K": QK.mT, "V": OV}[mode]
        for writing, reading in product(range(n_layers), repeat=2):
            for i, j in product(range(n_heads), repeat=2):
                a, b = OV[writing, i], reader[reading, j]
                wanted = (
                    (a @ b).norm() / a.norm() / b.norm() if writing < reading else torch.tensor(0.0).double()
                )
                close(scores[writing, i, reading, j], wanted)
