"""The toy world, its tokenizer, and the training that made the embedded models."""
