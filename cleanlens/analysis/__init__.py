"""Analyses in one call: which edges carry a behaviour, what each layer would say, who writes the answer.

edges         the model as a graph of senders and receivers; attribution (EAP, EAP-IG) and exact patching of edges
circuits      circuits from scores, running one alone, how faithful it is at every size
lens          the logit lens
attribution   what each component, head or neuron adds to a logit
singular      the directions that a weight uses most, read as tokens
examples      the texts on which something is most active
uncertainty   means with bootstrap intervals and permutation p-values, for sweeps with one value per prompt
"""

from cleanlens.analysis.attribution import DirectAttribution, direct_logit_attribution
from cleanlens.analysis.circuits import (
    FaithfulnessCurve,
    ablation_values,
    best_edges,
    connected_edges,
    faithfulness_curve,
    random_scores,
    run_circuit,
)
from cleanlens.analysis.edges import EdgeScores, Graph, edge_attribution, edge_patching
from cleanlens.analysis.examples import MaxActivatingExamples, max_activating_examples
from cleanlens.analysis.lens import LogitLens, logit_lens
from cleanlens.analysis.singular import SingularDirections, singular_directions
from cleanlens.analysis.uncertainty import Estimate, estimate

__all__ = [
    "DirectAttribution",
    "EdgeScores",
    "Estimate",
    "FaithfulnessCurve",
    "Graph",
    "LogitLens",
    "MaxActivatingExamples",
    "SingularDirections",
    "ablation_values",
    "best_edges",
    "connected_edges",
    "direct_logit_attribution",
    "edge_attribution",
    "edge_patching",
    "estimate",
    "faithfulness_curve",
    "logit_lens",
    "max_activating_examples",
    "random_scores",
    "run_circuit",
    "singular_directions",
]
