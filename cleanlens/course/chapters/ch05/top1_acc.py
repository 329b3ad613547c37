"""Exercise 05.5: How often does a circuit copy?."""

from itertools import pairwise

import torch

import cleanlens

from ...exercise import exercise
from .helpers import low_rank, normal, watched

ex = exercise(
    "05.5",
    "top1_acc",
    title="How often does a circuit copy?",
    objective="You can ask of a matrix too large for memory how many of its rows have their maximum on the diagonal.",
    minutes=10,
    difficulty=2,
    importance=3,
    version=3,
    source="The definition: the share of rows i with argmax_j M[i, j] = i. Rows are independent, so chunks of them give "
    "the same count.",
    hints=[
        "M[start : start + chunk_size] is a FactoredMatrix with few rows; its .AB is small enough to look at.",
        "The argmax of a row is a column number of the whole matrix: compare it with start, start + 1, ...",
        "Count hits over all chunks, the last and shorter one included, and divide once by the number of rows.",
    ],
    why="A count can be collected piece by piece; a mean of means cannot, because the last chunk is shorter. Memory is "
    "chunk_size x n instead of n x n.",
)


def scores_apart(A, B, chunk):
    """Whether the ways to get the accuracy wrong give numbers of their own on this matrix."""
    M = (A @ B).double()
    n, hit = len(M), (M.argmax(1) == torch.arange(len(M))).double()
    starts = range(0, n, chunk)
    local = sum((M[i : i + chunk].argmax(1) == torch.arange(len(M[i : i + chunk]))).sum() for i in starts)
    values = [
        hit.mean(),
        (M.argmax(0) == torch.arange(n)).double().mean(),
        (M.abs().argmax(1) == torch.arange(n)).double().mean(),
        (M.argmin(1) == torch.arange(n)).double().mean(),
        local / n,
        hit[: n // chunk * chunk].mean(),
        hit[: n // chunk * chunk].sum() / n,
        sum(hit[i : i + chunk].mean() for i in starts) / len(starts),
        hit.sum(),
        1 - hit.mean(),
    ]
    numbers = sorted(float(value) for value in values)
    gaps = all(b - a > 1e-3 for a, b in pairwise(numbers))
    top = M.topk(2, dim=1).values
    return gaps and bool((top[:, 0] - top[:, 1]).min() > 1e-3)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    while True:
        A = normal(g, 23, 4)
        B = A.T + 0.6 * normal(g, 4, 23)
        if scores_apart(A, B, 6):
            break
    C, D = low_rank(g, 9, 3, 9)
    return [
        {"A": A, "B": B, "chunk_size": 6},
        {"A": C, "B": C.T + 0.2 * D, "chunk_size": 9},
        {"A": A.clone(), "B": B.clone(), "chunk_size": 1},
        {"A": C.clone(), "B": C.T + 0.2 * D, "chunk_size": 1000},
        {"A": C[:1].clone(), "B": C[:1].T.clone(), "chunk_size": 4},
        {"A": torch.eye(5), "B": 2 * torch.eye(5), "chunk_size": 3},  # every row has the same maximum
    ]


@ex.oracle
def _(A, B, chunk_size):
    M, hits = (A @ B).tolist(), 0
    for i, row in enumerate(M):
        hits += row[i] == max(row)
    return {"accuracy": hits / len(M), "more than chunk_size rows at a time": False}


@ex.call
def _(answer, A, B, chunk_size):
    with watched() as made:
        given = {} if chunk_size == 1000 else {"chunk_size": chunk_size}  # 1000 is the default
        accuracy = answer(cleanlens.FactoredMatrix(A, B), **given)
    return {"accuracy": accuracy, "largest": int(made.largest)}


@ex.measure
def _(observed, A, B, chunk_size):
    most = max(chunk_size * B.shape[1], A.numel(), B.numel())
    too_many = chunk_size < len(A) and observed["largest"] > most
    return {"accuracy": observed["accuracy"], "more than chunk_size rows at a time": too_many}


@ex.alternative
def chunks_of_rows(M, chunk_size=1000):
    n, hits = M.shape[0], 0
    for start in range(0, n, chunk_size):
        rows = M[start : start + chunk_size].AB
        target = torch.arange(start, start + len(rows))
        hits += (rows.argmax(dim=1) == target).sum().item()
    return hits / n


@ex.alternative
def split_factor(M, chunk_size=1000):
    best = [(rows @ M.B).argmax(dim=-1) for rows in M.A.split(chunk_size)]
    return (torch.cat(best) == torch.arange(len(M.A))).float().mean().item()


@ex.alternative
def diagonal_against_maximum(M, chunk_size=1000):
    hits, start = 0, 0
    for rows in M.A.split(chunk_size):
        scores = rows @ M.B
        hits += int((scores.diagonal(start) == scores.amax(dim=-1)).sum())
        start += len(rows)
    return hits / start


ex.slip(
    "axis_0",
    "The maximum was taken down the columns. Row i is the token attended to; the question is which logit it raises most, "
    "along the row: dim=1.",
    "rows = M[start : start + chunk_size].AB",
    "rows = M.T[start : start + chunk_size].AB",
)


ex.slip(
    "chunk_local_index",
    "The row numbers start at 0 again in every chunk, so only the first chunk can hit. Row i of a chunk is row start + i of "
    "the matrix.",
    "torch.arange(start, start + len(rows))",
    "torch.arange(len(rows))",
)


ex.slip(
    "last_chunk_dropped",
    "The last, shorter chunk was left out, of the hits and of the number of rows. range(0, n, chunk_size) reaches it, and "
    "slices may run past the end.",
    "range(0, n, chunk_size)",
    "range(0, n - chunk_size + 1, chunk_size)",
    "hits / n",
    "hits / (n // chunk_size * chunk_size)",
)


ex.slip(
    "last_chunk_not_counted",
    "The rows of the last, shorter chunk count in the denominator, but their hits are missing. range(0, n, chunk_size) "
    "reaches them, and slices may run past the end.",
    "range(0, n, chunk_size)",
    "range(0, n - chunk_size + 1, chunk_size)",
)


ex.slip(
    "mean_of_chunk_means",
    "The chunks' accuracies were averaged. The last chunk is shorter, so its rows weigh too much: count hits and divide "
    "once.",
    "(rows.argmax(dim=1) == target).sum().item()",
    "(rows.argmax(dim=1) == target).float().mean().item()",
    "hits / n",
    "hits / len(range(0, n, chunk_size))",
)


ex.slip(
    "largest_magnitude",
    "The entry of largest absolute value was taken. A very negative logit is suppression, not copying.",
    "rows.argmax(dim=1)",
    "rows.abs().argmax(dim=1)",
)


ex.slip(
    "smallest",
    "That is how often the diagonal is the smallest entry of its row.",
    "rows.argmax(dim=1)",
    "rows.argmin(dim=1)",
)


ex.slip(
    "a_count",
    "That is the number of hits. Divide by the number of rows, and return a float.",
    "hits / n",
    "float(hits)",
)


ex.slip(
    "returns_a_tensor",
    "The number is right but still a tensor. Return a Python float: .item().",
    "hits / n",
    "torch.tensor(hits / n)",
)


ex.slip(
    "everything_materialised",
    "The accuracy is right, but the whole n x n matrix was made. With 50,257 tokens that is 10 GB: multiply out "
    "chunk_size rows at a time.",
    "M[start : start + chunk_size].AB",
    "M.AB[start : start + chunk_size]",
)


ex.slip(
    "two_chunks_at_a_time",
    "The accuracy is right, but more rows than chunk_size were multiplied out at a time. chunk_size is what fits into memory.",
    "rows = M[start : start + chunk_size].AB",
    "rows = M[start : start + 2 * chunk_size].AB[:chunk_size]",
)


ex.equivalent(
    "A matrix from tokens to tokens is square.",
    "M.shape[0], 0 => M.shape[1], 0",
    "M.shape[0], 0 => M.shape[-1], 0",
)

ex.equivalent(
    "A chunk of no rows has no hits.",
    ", n, chunk_size => , n + 1, chunk_size",
)

ex.equivalent(
    "Of two axes the second is the last.",
    "argmax(dim=1) = => argmax(dim=-1) =",
    "argmax(dim=-1) for => argmax(dim=1) for",
    "amax(dim=-1) => amax(dim=1)",
)

ex.equivalent(
    "A number of Python's is never changed in place: the name gets a new one.",
    "return hits / n => hits /= n return hits",
    "return hits / start => hits /= start return hits",
)
