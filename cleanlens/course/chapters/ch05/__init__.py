"""Chapter 05, FactoredMatrix and circuits: reading what heads do from their weights, with no input at all."""

from ...exercise import Chapter
from . import (
    composition_score,
    copying_score,
    decompose_scores,
    effective_OV,
    factored_matrix_eigenvalues,
    factored_matrix_products,
    factored_matrix_svd,
    full_OV,
    k_composition_circuit,
    position_pattern,
    top1_acc,
)

chapter = Chapter(
    "05",
    "circuits",
    "FactoredMatrix and circuits",
    [
        factored_matrix_products.ex,
        factored_matrix_svd.ex,
        factored_matrix_eigenvalues.ex,
        full_OV.ex,
        top1_acc.ex,
        effective_OV.ex,
        position_pattern.ex,
        decompose_scores.ex,
        k_composition_circuit.ex,
        composition_score.ex,
        copying_score.ex,
    ],
)
