"""What notebooks written against the published API still ask for, and nobody needs to read first.

- `paths`: old module paths, such as `transformer_lens.past_key_value_caching`, and where those names live here.
- `utils`, `evals`: functions that only such notebooks use; `cleanlens.utils` and `cleanlens.evals` find them there.
- `methods`: methods of a model that only such notebooks use; `neurons`: those of a cache, down to single neurons;
  `refactor`: another basis within each head.
- `activations`, `components`: names of parts that models outside of cleanlens's families use.
- `original`: the original library's own tests, run on cleanlens.
- `train`, `svd_interpreter`: two small tools of their own.

Everything here is thin: a name, and the place in the library that does the work.
"""
