"""How fast cleanlens is beside Hugging Face and TransformerLens: `python -m cleanlens.benchmarks`."""
