# %% wrong 02.1: no copy: later in-place changes reach the dictionary
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: n == names_filter) if isinstance(names_filter, str) else names_filter
    cache, handles = {}, []

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x

        return hook

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                handles.append((point, point.add_hook(saver(name))))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache

# %% wrong 02.1: detach is no copy: it shares the storage
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: n == names_filter) if isinstance(names_filter, str) else names_filter
    cache, handles = {}, []

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach()

        return hook

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                handles.append((point, point.add_hook(saver(name))))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache

# %% wrong 02.1: the hooks stay on the model
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: n == names_filter) if isinstance(names_filter, str) else names_filter
    cache = {}

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    for name, point in model.hook_dict.items():
        if wanted(name):
            point.add_hook(saver(name))
    return model(tokens), cache

# %% wrong 02.1: the hooks stay when the run raises (no finally)
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: n == names_filter) if isinstance(names_filter, str) else names_filter
    cache, handles = {}, []

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    for name, point in model.hook_dict.items():
        if wanted(name):
            handles.append((point, point.add_hook(saver(name))))
    logits = model(tokens)
    for point, handle in handles:
        point.discard(handle)
    return logits, cache

# %% wrong 02.1: late binding: every hook writes under the last name
def run_with_cache(model, tokens, names_filter):
    cache, handles = {}, []
    try:
        for name, point in model.hook_dict.items():
            if name == names_filter if isinstance(names_filter, str) else names_filter(name):

                def hook(x, *args, **kwargs):
                    cache[name] = x.detach().clone()

                handles.append((point, point.add_hook(hook)))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache

# %% wrong 02.1: a string also takes names that contain it
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: names_filter in n) if isinstance(names_filter, str) else names_filter
    cache, handles = {}, []

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                handles.append((point, point.add_hook(saver(name))))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache

# %% wrong 02.1: ignores the filter and caches everything
def run_with_cache(model, tokens, names_filter):
    cache, handles = {}, []

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    try:
        for name, point in model.hook_dict.items():
            handles.append((point, point.add_hook(saver(name))))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache

# %% wrong 02.1: discards only the last hook
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: n == names_filter) if isinstance(names_filter, str) else names_filter
    cache = {}

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    handle = None
    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                handle = point.add_hook(saver(name))
                last = point
        logits = model(tokens)
    finally:
        if handle is not None:
            last.discard(handle)
    return logits, cache

# %% wrong 02.1: only a string filter works; a function matches nothing
def run_with_cache(model, tokens, names_filter):
    cache, handles = {}, []

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    try:
        for name, point in model.hook_dict.items():
            if name == names_filter:
                handles.append((point, point.add_hook(saver(name))))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache

# %% wrong 02.1: swallows the error of the run and returns None as logits
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: n == names_filter) if isinstance(names_filter, str) else names_filter
    cache, handles, logits = {}, [], None

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                handles.append((point, point.add_hook(saver(name))))
        logits = model(tokens)
    except Exception:
        pass
    for point, handle in handles:
        point.discard(handle)
    return cache, logits

# %% wrong 02.1: returns (cache, logits)
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: n == names_filter) if isinstance(names_filter, str) else names_filter
    cache, handles = {}, []

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                handles.append((point, point.add_hook(saver(name))))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return cache, logits

# %% right 02.1: try and finally, closure by a factory
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda n: n == names_filter) if isinstance(names_filter, str) else names_filter
    cache, handles = {}, []

    def saver(name):
        def hook(x, *args, **kwargs):
            cache[name] = x.detach().clone()

        return hook

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                handles.append((point, point.add_hook(saver(name))))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache

# %% right 02.1: ExitStack, names first, clone with its graph
def run_with_cache(model, tokens, names_filter):
    from contextlib import ExitStack
    from functools import partial

    points = model.hook_dict
    if callable(names_filter):
        names = [name for name in points if names_filter(name)]
    else:
        names = [name for name in points if name == names_filter]
    stored = {}

    def keep(name, value, *_, **__):
        stored[name] = value.clone()

    with ExitStack() as stack:
        for name in names:
            handle = points[name].add_hook(partial(keep, name))
            stack.callback(points[name].discard, handle)
        logits = model(tokens)
    return logits, stored

# %% right 02.1: default argument against late binding
def run_with_cache(model, tokens, names_filter):
    activations: dict[str, Tensor] = {}
    added = {}
    try:
        for name in list(model.hook_dict):
            take = name == names_filter if isinstance(names_filter, str) else bool(names_filter(name))
            if not take:
                continue

            def hook(x, *rest, key=name, **more):
                activations[key] = torch.clone(x.detach())
                return None

            added[name] = model.hook_dict[name].add_hook(hook)
        return model(tokens), activations
    finally:
        for name, handle in added.items():
            model.hook_dict[name].discard(handle)

# %% wrong 02.2: no scale
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k)
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, -torch.inf).softmax(-1)

# %% wrong 02.2: no mask
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    return (torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5).softmax(-1)

# %% wrong 02.2: mask after the softmax
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    return (torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5).softmax(-1).tril()

# %% wrong 02.2: looks the pattern up in the cache
def recompute_pattern(cache, layer):
    return cache["pattern", layer]

# %% wrong 02.2: scales the cached queries in place
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    q /= q.shape[-1] ** 0.5
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k)
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, -torch.inf).softmax(-1)

# %% wrong 02.2: layer 0 always
def recompute_pattern(cache, layer):
    q, k = cache["q", 0], cache["k", 0]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, -torch.inf).softmax(-1)

# %% wrong 02.2: root of d_model (all heads' widths together)
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / (q.shape[-1] * q.shape[-2]) ** 0.5
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, -torch.inf).softmax(-1)

# %% wrong 02.2: the diagonal is masked: query 0 gives nan
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(0)
    return scores.masked_fill(mask, -torch.inf).softmax(-1)

# %% wrong 02.2: axes b q k h
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = torch.einsum("bqhe,bkhe->bqkh", q, k) / q.shape[-1] ** 0.5
    s = q.shape[1]
    mask = torch.ones(s, s, dtype=torch.bool).triu(1)[None, :, :, None]
    return scores.masked_fill(mask, -torch.inf).softmax(2)

# %% wrong 02.2: plain exp overflows for large scores
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    w = (torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5).exp().tril()
    return w / w.sum(-1, keepdim=True)

# %% right 02.2: torch.einsum
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(mask, -torch.inf).softmax(-1)

# %% right 02.2: matmul and an additive mask
def recompute_pattern(cache, layer):
    q = cache["q", layer].transpose(1, 2)
    k = cache["k", layer].transpose(1, 2)
    s, e = q.shape[-2:]
    bias = torch.full((s, s), float("-inf"), device=q.device, dtype=q.dtype).triu(1)
    return torch.softmax(q @ k.transpose(-1, -2) / e**0.5 + bias, dim=-1)

# %% right 02.2: row by row
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    b, s, h, e = q.shape
    out = torch.zeros(b, h, s, s, dtype=q.dtype, device=q.device)
    for i in range(s):
        row = einsum(q[:, i], k[:, : i + 1], "b h e, b k h e -> b h k") * e**-0.5
        out[:, :, i, : i + 1] = row.softmax(-1)
    return out

# %% wrong 02.3: summed over the heads
def head_results(cache, layer):
    return torch.einsum("bshe,hed->bsd", cache["z", layer], cache.model.blocks[layer].attn.W_O)

# %% wrong 02.3: adds b_O to every head
def head_results(cache, layer):
    attn = cache.model.blocks[layer].attn
    return torch.einsum("bshe,hed->bshd", cache["z", layer], attn.W_O) + attn.b_O

# %% wrong 02.3: shares b_O out among the heads
def head_results(cache, layer):
    attn = cache.model.blocks[layer].attn
    out = torch.einsum("bshe,hed->bshd", cache["z", layer], attn.W_O)
    return out + attn.b_O / out.shape[2]

# %% wrong 02.3: the first head's W_O for all
def head_results(cache, layer):
    return cache["z", layer] @ cache.model.blocks[layer].attn.W_O[0]

# %% wrong 02.3: layer 0's W_O
def head_results(cache, layer):
    return einsum(cache["z", layer], cache.model.blocks[0].attn.W_O, "b s h e, h e d -> b s h d")

# %% wrong 02.3: head axis in front (b h s d)
def head_results(cache, layer):
    return cache["z", layer].transpose(1, 2) @ cache.model.blocks[layer].attn.W_O

# %% wrong 02.3: every pair of heads, z of one through W_O of all the others
def head_results(cache, layer):
    return torch.einsum("bsge,hed->bshd", cache["z", layer], cache.model.blocks[layer].attn.W_O)

# %% wrong 02.3: reshapes where it has to transpose (positions and heads get mixed)
def head_results(cache, layer):
    z = cache["z", layer]
    b, s, h, e = z.shape
    out = z.reshape(b, h, s, e) @ cache.model.blocks[layer].attn.W_O
    return out.reshape(b, s, h, -1)

# %% wrong 02.3: bare squeeze drops axes of size one
def head_results(cache, layer):
    z, W_O = cache["z", layer], cache.model.blocks[layer].attn.W_O
    return (z.unsqueeze(-2) @ W_O).squeeze()

# %% right 02.3: einsum
def head_results(cache, layer):
    return einsum(cache["z", layer], cache.model.blocks[layer].attn.W_O, "b s h e, h e d -> b s h d")

# %% right 02.3: matmul with a row axis
def head_results(cache, layer):
    z, W_O = cache["z", layer], cache.model.blocks[layer].attn.W_O
    return (z[..., None, :] @ W_O)[..., 0, :]

# %% right 02.3: head after head
def head_results(cache, layer):
    z = cache["z", layer]
    W_O = cache.model.blocks[layer].attn.W_O
    return torch.stack([z[:, :, i] @ W_O[i] for i in range(W_O.shape[0])], dim=2)

# %% right 02.3: broadcast product and sum
def head_results(cache, layer):
    weights = cache.model.blocks[layer].attn.W_O
    return (cache["z", layer].unsqueeze(-1) * weights).sum(-2)

# %% wrong 02.4: includes the layer itself
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer + 1):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels

# %% wrong 02.4: stops one layer early
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer - 1):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels

# %% wrong 02.4: no pos_embed
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"]], ["embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels

# %% wrong 02.4: asks an attention-only model for MLPs
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts += [cache["attn_out", i], cache["mlp_out", i]]
        labels += [f"{i}_attn_out", f"{i}_mlp_out"]
    return torch.stack(parts), labels

# %% wrong 02.4: all attention first, then all MLPs
def decompose_resid(cache, layer):
    labels = ["embed", "pos_embed"] + [f"{i}_attn_out" for i in range(layer)]
    parts = [cache["embed"], cache["pos_embed"]] + [cache["attn_out", i] for i in range(layer)]
    if not cache.model.cfg.attn_only:
        labels += [f"{i}_mlp_out" for i in range(layer)]
        parts += [cache["mlp_out", i] for i in range(layer)]
    return torch.stack(parts), labels

# %% wrong 02.4: running sums instead of components
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts).cumsum(0), labels

# %% wrong 02.4: list, not one tensor
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return parts, labels

# %% wrong 02.4: components on axis 1
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts, dim=1), labels

# %% wrong 02.4: labels the other way round
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"attn_out_{i}")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"mlp_out_{i}")
    return torch.stack(parts), labels

# %% wrong 02.4: leaves the MLPs out of every model
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
    return torch.stack(parts), labels

# %% wrong 02.4: the stream after each layer instead of what was written
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["resid_post", i])
        labels.append(f"{i}_resid_post")
    return torch.stack(parts), labels

# %% right 02.4: loop
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels

# %% right 02.4: labels first, then the cache read by them
def decompose_resid(cache, layer):
    kinds = ["attn_out"] if cache.model.cfg.attn_only else ["attn_out", "mlp_out"]
    keys = [("embed", None), ("pos_embed", None)] + [(kind, i) for i in range(layer) for kind in kinds]
    labels = [kind if i is None else str(i) + "_" + kind for kind, i in keys]
    values = [cache[kind] if i is None else cache[kind, i] for kind, i in keys]
    return torch.stack(values, dim=0), labels

# %% right 02.4: dictionary in order of writing, cat
def decompose_resid(cache, layer):
    found = {"embed": cache["embed"], "pos_embed": cache["pos_embed"]}
    i = 0
    while i < layer:
        found[f"{i}_attn_out"] = cache["attn_out", i]
        if cache.model.cfg.attn_only is False:
            found[f"{i}_mlp_out"] = cache["mlp_out", i]
        i += 1
    return torch.cat([v.unsqueeze(0) for v in found.values()]), list(found)

# %% wrong 02.5: not centred
def apply_final_ln(stack, scale, ln):
    return stack / scale * ln.w

# %% wrong 02.5: adds the bias to every component
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-1, keepdim=True)) / scale * ln.w + ln.b

# %% wrong 02.5: each component by its own standard deviation
def apply_final_ln(stack, scale, ln):
    return torch.stack([ln(part) - ln.b for part in stack])

# %% wrong 02.5: multiplies by the scale
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-1, keepdim=True)) * scale * ln.w

# %% wrong 02.5: centres over the components
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(0, keepdim=True)) / scale * ln.w

# %% wrong 02.5: subtracts the whole stream's mean from every component
def apply_final_ln(stack, scale, ln):
    return (stack - stack.sum(0).mean(-1, keepdim=True)) / scale * ln.w

# %% wrong 02.5: gain first, then centred
def apply_final_ln(stack, scale, ln):
    out = stack * ln.w
    return (out - out.mean(-1, keepdim=True)) / scale

# %% wrong 02.5: centres the given stack in place
def apply_final_ln(stack, scale, ln):
    stack -= stack.mean(dim=-1, keepdim=True)
    return stack / scale * ln.w

# %% wrong 02.5: gain forgotten
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-1, keepdim=True)) / scale

# %% wrong 02.5: the scale is taken for a variance
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-1, keepdim=True)) / scale.sqrt() * ln.w

# %% wrong 02.5: mean over positions
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-2, keepdim=True)) / scale * ln.w

# %% wrong 02.5: the bias is shared out among the components
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-1, keepdim=True)) / scale * ln.w + ln.b / len(stack)

# %% right 02.5: in one line
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-1, keepdim=True)) / scale * ln.w

# %% right 02.5: component by component
def apply_final_ln(stack, scale, ln):
    out = []
    for part in stack:
        centred = part - part.mean(dim=-1, keepdim=True)
        out.append(ln.w * (centred / scale))
    return torch.stack(out)

# %% right 02.5: centring as a matrix
def apply_final_ln(stack, scale, ln):
    d = stack.shape[-1]
    centre = torch.eye(d, dtype=stack.dtype, device=stack.device) - 1 / d
    return einsum(stack / scale.unsqueeze(0), centre * ln.w, "c b s d, d f -> c b s f")

# %% wrong 02.6: the token itself, not the next
def logit_attribution(stack, W_U, tokens):
    return torch.einsum("csd,ds->sc", stack, W_U[:, tokens])[:-1]

# %% wrong 02.6: position i + 1's stream with token i
def logit_attribution(stack, W_U, tokens):
    return torch.einsum("csd,ds->sc", stack[:, 1:], W_U[:, tokens[:-1]])

# %% wrong 02.6: axes swapped: [c, s-1]
def logit_attribution(stack, W_U, tokens):
    return torch.einsum("csd,ds->cs", stack[:, :-1], W_U[:, tokens[1:]])

# %% wrong 02.6: the logits of all tokens
def logit_attribution(stack, W_U, tokens):
    return (stack[:, :-1] @ W_U).transpose(0, 1)

# %% wrong 02.6: the mean logit is subtracted
def logit_attribution(stack, W_U, tokens):
    logits = stack[:, :-1] @ W_U
    logits = logits - logits.mean(-1, keepdim=True)
    index = tokens[1:].expand(len(stack), -1)[..., None]
    return logits.gather(-1, index)[..., 0].T

# %% wrong 02.6: log probabilities per component
def logit_attribution(stack, W_U, tokens):
    logp = (stack[:, :-1] @ W_U).log_softmax(-1)
    index = tokens[1:].expand(len(stack), -1)[..., None]
    return logp.gather(-1, index)[..., 0].T

# %% wrong 02.6: always the last token
def logit_attribution(stack, W_U, tokens):
    return torch.einsum("csd,d->sc", stack[:, :-1], W_U[:, tokens[-1]])

# %% wrong 02.6: every position with every next token, diagonal missed
def logit_attribution(stack, W_U, tokens):
    return torch.einsum("csd,dt->sc", stack[:, :-1], W_U[:, tokens[1:]])

# %% wrong 02.6: rows of W_U, not columns
def logit_attribution(stack, W_U, tokens):
    return torch.einsum("csd,sd->sc", stack[:, :-1], W_U[tokens[1:]])

# %% wrong 02.6: a row for the last position too
def logit_attribution(stack, W_U, tokens):
    nxt = torch.cat([tokens[1:], tokens[:1]])
    return torch.einsum("csd,ds->sc", stack, W_U[:, nxt])

# %% wrong 02.6: bare squeeze loses the component axis for one component
def logit_attribution(stack, W_U, tokens):
    dirs = W_U[:, tokens[1:]].T[:, :, None]
    return (stack[:, :-1].transpose(0, 1) @ dirs).squeeze()

# %% wrong 02.6: the components' share of the total logit, not their part
def logit_attribution(stack, W_U, tokens):
    parts = torch.einsum("csd,ds->sc", stack[:, :-1], W_U[:, tokens[1:]])
    return parts / parts.sum(-1, keepdim=True)

# %% right 02.6: einsum
def logit_attribution(stack, W_U, tokens):
    return einsum(stack[:, :-1], W_U[:, tokens[1:]], "c s d, d s -> s c")

# %% right 02.6: all logits, then gather
def logit_attribution(stack, W_U, tokens):
    logits = stack[:, :-1] @ W_U
    index = tokens[1:].long().view(1, -1, 1).expand(stack.shape[0], -1, 1)
    return logits.gather(2, index).squeeze(2).transpose(0, 1)

# %% right 02.6: loops
def logit_attribution(stack, W_U, tokens):
    c, s, _ = stack.shape
    out = torch.zeros(s - 1, c, dtype=stack.dtype, device=stack.device)
    for i in range(s - 1):
        for j in range(c):
            out[i, j] = stack[j, i] @ W_U[:, tokens[i + 1]]
    return out

# %% right 02.6: product and sum
def logit_attribution(stack, W_U, tokens):
    directions = W_U.T[tokens[1:]]
    return (stack[:, :-1] * directions).sum(-1).T

# %% wrong 02.7: no final LayerNorm
def logit_lens(cache):
    n = cache.model.cfg.n_layers
    stream = [cache["resid_pre", 0]] + [cache["resid_post", i] for i in range(n)]
    return torch.stack([cache.model.unembed(x) for x in stream])

# %% wrong 02.7: the embeddings' entry is missing
def logit_lens(cache):
    model = cache.model
    return torch.stack([model.unembed(model.ln_final(cache["resid_post", i])) for i in range(model.cfg.n_layers)])

# %% wrong 02.7: the last layer's entry is missing
def logit_lens(cache):
    model = cache.model
    return torch.stack([model.unembed(model.ln_final(cache["resid_pre", i])) for i in range(model.cfg.n_layers)])

# %% wrong 02.7: embeddings without positions as the first entry
def logit_lens(cache):
    model = cache.model
    stream = [cache["embed"]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(x)) for x in stream])

# %% wrong 02.7: probabilities
def logit_lens(cache):
    model = cache.model
    stream = [cache["resid_pre", 0]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(x)).softmax(-1) for x in stream])

# %% wrong 02.7: layers on axis 1
def logit_lens(cache):
    model = cache.model
    stream = [cache["resid_pre", 0]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(x)) for x in stream], dim=1)

# %% wrong 02.7: b_U left out
def logit_lens(cache):
    model = cache.model
    stream = [cache["resid_pre", 0]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.ln_final(x) @ model.unembed.W_U for x in stream])

# %% wrong 02.7: the last stream's scale for every layer
def logit_lens(cache):
    model = cache.model
    stream = torch.stack([cache["resid_pre", 0]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)])
    scale = stream[-1].std(-1, keepdim=True, unbiased=False)
    normed = (stream - stream.mean(-1, keepdim=True)) / scale * model.ln_final.w + model.ln_final.b
    return torch.stack([model.unembed(x) for x in normed])

# %% wrong 02.7: only the last position
def logit_lens(cache):
    model = cache.model
    stream = [cache["resid_pre", 0]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(x))[:, -1] for x in stream])

# %% wrong 02.7: the layers' own writings, not the stream
def logit_lens(cache):
    model = cache.model
    stream = [cache["resid_pre", 0]]
    stream += [cache["resid_post", i] - cache["resid_pre", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(x)) for x in stream])

# %% wrong 02.7: last layer first
def logit_lens(cache):
    model = cache.model
    stream = [cache["resid_post", i] for i in reversed(range(model.cfg.n_layers))] + [cache["resid_pre", 0]]
    return torch.stack([model.unembed(model.ln_final(x)) for x in stream])

# %% wrong 02.7: the LayerNorm of the next layer instead of ln_final
def logit_lens(cache):
    model = cache.model
    n = model.cfg.n_layers
    out = [model.unembed(model.blocks[i].ln1(cache["resid_pre", i])) for i in range(n)]
    out.append(model.unembed(model.ln_final(cache["resid_post", n - 1])))
    return torch.stack(out)

# %% right 02.7: resid_pre of every layer, then the last resid_post
def logit_lens(cache):
    model = cache.model
    n = model.cfg.n_layers
    stream = [cache["resid_pre", i] for i in range(n)] + [cache["resid_post", n - 1]]
    return torch.stack([model.unembed(model.ln_final(x)) for x in stream])

# %% right 02.7: embeddings added up, then every resid_post
def logit_lens(cache):
    model = cache.model
    out = [model.unembed(model.ln_final(cache["embed"] + cache["pos_embed"]))]
    for i in range(len(model.blocks)):
        out.append(model.unembed(model.ln_final(cache["resid_post", i])))
    return torch.stack(out, dim=0)

# %% right 02.7: written into a tensor
def logit_lens(cache):
    model = cache.model
    n = len(list(model.blocks))
    result = None
    for i in range(n + 1):
        resid = cache["resid_pre", i] if i < n else cache["resid_post", n - 1]
        logits = model.unembed(model.ln_final(resid))
        if result is None:
            result = torch.empty(n + 1, *logits.shape, dtype=logits.dtype, device=logits.device)
        result[i] = logits.detach()
    return result

# %% wrong 02.8: bias through the weights that are folded already
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            new[f"blocks.{i}.attn.W_{n}"] *= w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] += torch.einsum("d,hde->he", b, new[f"blocks.{i}.attn.W_{n}"])
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: changes the given state (shallow copy and in-place operations)
def fold_ln(state):
    new = dict(state)
    for i in sorted({k.split(".")[1] for k in state if k.startswith("blocks.")}):
        for ln, readers in (("ln1", ("attn.{}_Q", "attn.{}_K", "attn.{}_V")), ("ln2", ("mlp.{}_in",))):
            if f"blocks.{i}.{ln}.w" not in new:
                continue
            w, b = new[f"blocks.{i}.{ln}.w"], new[f"blocks.{i}.{ln}.b"]
            for r in readers:
                W, bias = new[f"blocks.{i}." + r.format("W")], new[f"blocks.{i}." + r.format("b")]
                bias += (b[:, None] * W).sum(-2)
                W *= w[:, None]
            w.fill_(1)
            b.zero_()
    w, b = new["ln_final.w"], new["ln_final.b"]
    new["unembed.b_U"] += b @ new["unembed.W_U"]
    new["unembed.W_U"] *= w[:, None]
    w.fill_(1)
    b.zero_()
    return new

# %% wrong 02.8: works on the given state itself and returns it
def fold_ln(state):
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    new = state
    old = {k: v.clone() for k, v in state.items()}
    new.update(old)
    state = old
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: biases are set to 0 without being folded
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w = state[f"blocks.{i}.ln1.w"]
        for n in "QKV":
            new[f"blocks.{i}.attn.W_{n}"] = state[f"blocks.{i}.attn.W_{n}"] * w[:, None]
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(w)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: the LayerNorms keep their gains and biases, so they count twice
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    return new

# %% wrong 02.8: ln_final is left as it is
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: KeyError for attention-only models
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
        W = state[f"blocks.{i}.mlp.W_in"]
        new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
        new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
        new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: first layer only
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers[:1]:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: V is forgotten
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QK":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: the LayerNorms' entries are deleted
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    return {k: v for k, v in new.items() if ".ln" not in k and not k.startswith("ln_final")}

# %% wrong 02.8: returns only the changed entries
def fold_ln(state):
    new = {}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: the gain goes on the wrong axis of W_in (fails or scales the neurons)
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = (W.T.reshape(W.shape) * w[:, None]).reshape(W.T.shape).T
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% wrong 02.8: the new bias replaces the old one
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        for n in "QKV":
            new[f"blocks.{i}.attn.b_{n}"] = torch.einsum("d,hde->he", b, state[f"blocks.{i}.attn.W_{n}"])
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% right 02.8: clones of everything, weights by key
def fold_ln(state):
    new = {k: v.clone() for k, v in state.items()}
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for i in layers:
        w, b = state[f"blocks.{i}.ln1.w"], state[f"blocks.{i}.ln1.b"]
        for n in "QKV":
            W = state[f"blocks.{i}.attn.W_{n}"]
            new[f"blocks.{i}.attn.W_{n}"] = W * w[:, None]
            new[f"blocks.{i}.attn.b_{n}"] = state[f"blocks.{i}.attn.b_{n}"] + torch.einsum("d,hde->he", b, W)
        new[f"blocks.{i}.ln1.w"] = torch.ones_like(w)
        new[f"blocks.{i}.ln1.b"] = torch.zeros_like(b)
        if f"blocks.{i}.ln2.w" in state:
            w, b = state[f"blocks.{i}.ln2.w"], state[f"blocks.{i}.ln2.b"]
            W = state[f"blocks.{i}.mlp.W_in"]
            new[f"blocks.{i}.mlp.W_in"] = W * w[:, None]
            new[f"blocks.{i}.mlp.b_in"] = state[f"blocks.{i}.mlp.b_in"] + b @ W
            new[f"blocks.{i}.ln2.w"] = torch.ones_like(w)
            new[f"blocks.{i}.ln2.b"] = torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["ln_final.w"] = torch.ones_like(w)
    new["ln_final.b"] = torch.zeros_like(b)
    return new

# %% right 02.8: a helper for each reader, untouched tensors shared
def fold_ln(state):
    out = dict(state)

    def fold(norm, readers):
        gain, bias = state[norm + ".w"], state[norm + ".b"]
        for weight_name, bias_name in readers:
            weight = state[weight_name]
            out[bias_name] = state[bias_name] + (bias.unsqueeze(-1) * weight).sum(dim=-2)
            out[weight_name] = gain.unsqueeze(-1) * weight
        out[norm + ".w"], out[norm + ".b"] = torch.ones_like(gain), torch.zeros_like(bias)

    for key in state:
        if key.endswith(".ln1.w"):
            base = key.removesuffix(".ln1.w")
            fold(base + ".ln1", [(f"{base}.attn.W_{x}", f"{base}.attn.b_{x}") for x in "QKV"])
        elif key.endswith(".ln2.w"):
            base = key.removesuffix(".ln2.w")
            fold(base + ".ln2", [(base + ".mlp.W_in", base + ".mlp.b_in")])
    fold("ln_final", [("unembed.W_U", "unembed.b_U")])
    return out

# %% right 02.8: deep copy and in-place operations on it, bias before weight
def fold_ln(state):
    import copy

    new = copy.deepcopy(dict(state))
    i = 0
    with torch.no_grad():
        while f"blocks.{i}.ln1.w" in new:
            p = f"blocks.{i}."
            for letter in ("Q", "K", "V"):
                W = new[p + "attn.W_" + letter]
                new[p + "attn.b_" + letter] += einsum(new[p + "ln1.b"], W, "d, h d e -> h e")
                W *= new[p + "ln1.w"][None, :, None]
            norms = ["ln1"]
            if p + "ln2.w" in new:
                W = new[p + "mlp.W_in"]
                new[p + "mlp.b_in"] += W.T @ new[p + "ln2.b"]
                W *= new[p + "ln2.w"].unsqueeze(1)
                norms.append("ln2")
            for norm in norms:
                new[p + norm + ".w"].fill_(1.0)
                new[p + norm + ".b"].zero_()
            i += 1
        new["unembed.b_U"] += new["ln_final.b"] @ new["unembed.W_U"]
        new["unembed.W_U"] *= new["ln_final.w"][:, None]
        new["ln_final.w"].fill_(1.0)
        new["ln_final.b"].zero_()
    return new

# %% right 02.2: exp after subtracting the maximum
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = (q[:, :, None] * k[:, None]).sum(-1).permute(0, 3, 1, 2) / q.shape[-1] ** 0.5
    s = q.shape[1]
    seen = torch.arange(s)[None, :] <= torch.arange(s)[:, None]
    scores = torch.where(seen.to(q.device), scores, float("-inf"))
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True)

# %% right 02.4: preallocated
def decompose_resid(cache, layer):
    with_mlp = not cache.model.cfg.attn_only
    first = cache["embed"]
    out = first.new_zeros((2 + layer * (1 + with_mlp), *first.shape))
    labels = ["embed", "pos_embed"]
    out[0], out[1] = first.detach(), cache["pos_embed"].detach()
    for i in range(layer):
        for kind in ("attn_out", "mlp_out")[: 1 + with_mlp]:
            out[len(labels)] = cache[kind, i].detach()
            labels.append(f"{i}_{kind}")
    return out, labels

# %% right 02.5: F.layer_norm is of no use, so centring by sum, order of factors changed
def apply_final_ln(stack, scale, ln):
    d = stack.shape[-1]
    centred = stack - stack.sum(-1, keepdim=True) / d
    return centred * (ln.w / scale)

# %% right 02.7: stream rebuilt from what was written
def logit_lens(cache):
    model = cache.model
    resid = cache["embed"] + cache["pos_embed"]
    stream = [resid]
    for i in range(model.cfg.n_layers):
        resid = resid + cache["attn_out", i]
        if not model.cfg.attn_only:
            resid = resid + cache["mlp_out", i]
        stream.append(resid)
    return torch.stack([model.unembed(model.ln_final(x)) for x in stream])

# %% right 02.8: new dictionary by comprehension, products as einsum with diag
def fold_ln(state):
    readers = {}
    for key in state:
        if key.endswith("ln1.w"):
            base = key[: -len("ln1.w")]
            readers[base + "ln1"] = [(base + "attn.W_" + x, base + "attn.b_" + x) for x in "QKV"]
        if key.endswith("ln2.w"):
            base = key[: -len("ln2.w")]
            readers[base + "ln2"] = [(base + "mlp.W_in", base + "mlp.b_in")]
    readers["ln_final"] = [("unembed.W_U", "unembed.b_U")]
    changed = {}
    for norm, pairs in readers.items():
        w, b = state[norm + ".w"], state[norm + ".b"]
        for W, bias in pairs:
            changed[W] = torch.einsum("d,...de->...de", w, state[W])
            changed[bias] = state[bias] + torch.einsum("d,...de->...e", b, state[W])
        changed[norm + ".w"] = w * 0 + 1
        changed[norm + ".b"] = b * 0
    return {key: changed[key] if key in changed else value.clone() for key, value in state.items()}

# %% wrong 02.1: the filter is looked for inside the names
def run_with_cache(model, tokens, names_filter):
    wanted = names_filter if callable(names_filter) else lambda name: names_filter in name
    cache, handles = {}, []
    def save(x, hook):
        cache[hook.name] = x.clone()
    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                handles.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache

# %% wrong 02.1: hooks stay when the run is interrupted
def run_with_cache(model, tokens, names_filter):
    wanted = names_filter if callable(names_filter) else names_filter.__eq__
    cache, handles = {}, []
    for name, point in model.hook_dict.items():
        if wanted(name):
            handles.append((point, point.add_hook(lambda x, hook: cache.__setitem__(hook.name, x.clone()))))
    try:
        logits = model(tokens)
    except Exception:
        for point, handle in handles:
            point.discard(handle)
        raise
    for point, handle in handles:
        point.discard(handle)
    return logits, cache

# %% wrong 02.1: all hooks are removed afterwards
def run_with_cache(model, tokens, names_filter):
    wanted = names_filter if callable(names_filter) else lambda name: name == names_filter
    cache = {}
    def save(x, hook):
        cache[hook.name] = x.clone()
    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                point.add_hook(save)
        return model(tokens), cache
    finally:
        model.reset_hooks()

# %% wrong 02.2: scaled by the root of d_model
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / cache.model.cfg.d_model ** 0.5
    s = scores.shape[-1]
    return scores.masked_fill(torch.ones(s, s).triu(1).bool(), -torch.inf).softmax(-1)

# %% wrong 02.2: masked after the softmax and not brought back to one
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    return scores.softmax(-1).tril()

# %% wrong 02.3: the bias is shared out among the heads
def head_results(cache, layer):
    attn = cache.model.blocks[layer].attn
    out = torch.einsum("bshe,hed->bshd", cache["z", layer], attn.W_O)
    return out + attn.b_O / out.shape[2]

# %% wrong 02.4: MLPs are listed before attention
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for l in range(layer):
        for what in ("mlp_out", "attn_out") if not cache.model.cfg.attn_only else ("attn_out",):
            parts.append(cache[what, l])
            labels.append(f"{l}_{what}")
    return torch.stack(parts), labels

# %% wrong 02.4: with n_layers the last layer is missing
def decompose_resid(cache, layer):
    cfg = cache.model.cfg
    names = [("embed",), ("pos_embed",)]
    for l in range(min(layer, cfg.n_layers - 1)):
        names.append(("attn_out", l))
        if not cfg.attn_only:
            names.append(("mlp_out", l))
    stack = torch.stack([cache[n] if len(n) > 1 else cache[n[0]] for n in names])
    return stack, [n[0] if len(n) == 1 else f"{n[1]}_{n[0]}" for n in names]

# %% wrong 02.5: centred over the components
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(0, keepdim=True)) / scale * ln.w

# %% wrong 02.6: the token itself and not the next one
def logit_attribution(stack, W_U, tokens):
    logits = torch.einsum("csd,dv->scv", stack, W_U)
    s = logits.shape[0]
    return logits[torch.arange(s - 1), :, tokens[:-1]]

# %% wrong 02.7: the last entry without the final LayerNorm
def logit_lens(cache):
    model = cache.model
    n = model.cfg.n_layers
    resid = [cache["resid_pre", l] for l in range(n)]
    out = [model.unembed(model.ln_final(r)) for r in resid]
    return torch.stack(out + [model.unembed(cache["resid_post", n - 1])])

# %% wrong 02.8: the bias is folded after the gain was multiplied in
def fold_ln(state):
    new = dict(state)
    layers = sorted({int(k.split(".")[1]) for k in state if k.startswith("blocks.")})
    for l in layers:
        p = f"blocks.{l}."
        w, b = state[p + "ln1.w"], state[p + "ln1.b"]
        for x in "QKV":
            new[p + f"attn.W_{x}"] = state[p + f"attn.W_{x}"] * w[None, :, None]
            new[p + f"attn.b_{x}"] = state[p + f"attn.b_{x}"] + torch.einsum("d,hde->he", b, new[p + f"attn.W_{x}"])
        new[p + "ln1.w"], new[p + "ln1.b"] = torch.ones_like(w), torch.zeros_like(b)
        if p + "ln2.w" in state:
            w, b = state[p + "ln2.w"], state[p + "ln2.b"]
            new[p + "mlp.b_in"] = state[p + "mlp.b_in"] + b @ state[p + "mlp.W_in"]
            new[p + "mlp.W_in"] = state[p + "mlp.W_in"] * w[:, None]
            new[p + "ln2.w"], new[p + "ln2.b"] = torch.ones_like(w), torch.zeros_like(b)
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ state["unembed.W_U"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["ln_final.w"], new["ln_final.b"] = torch.ones_like(w), torch.zeros_like(b)
    return new

# %% right 02.1: an ExitStack
def run_with_cache(model, tokens, names_filter):
    from contextlib import ExitStack

    found = {}

    def keep(activation, hook):
        found[hook.name] = activation.detach().clone()

    with ExitStack() as stack:
        for name in list(model.hook_dict):
            if (name == names_filter) if isinstance(names_filter, str) else names_filter(name):
                point = model.hook_dict[name]
                stack.callback(point.discard, point.add_hook(keep))
        return model(tokens), found

# %% right 02.2: head by head with a causal loop
def recompute_pattern(cache, layer):
    q = cache["q", layer].permute(0, 2, 1, 3)
    k = cache["k", layer].permute(0, 2, 3, 1)
    scores = (q @ k) * (q.shape[-1] ** -0.5)
    out = torch.zeros_like(scores)
    for i in range(scores.shape[-2]):
        out[..., i, : i + 1] = scores[..., i, : i + 1].softmax(-1)
    return out

# %% right 02.3: a broadcast product and a sum
def head_results(cache, layer):
    W_O = cache.model.blocks[layer].attn.W_O
    return (cache["z", layer].unsqueeze(-2) @ W_O).squeeze(-2)

# %% right 02.4: differences of the stream
def decompose_resid(cache, layer):
    labels = ["embed", "pos_embed"]
    for n in range(layer):
        labels += [f"{n}_attn_out"] if cache.model.cfg.attn_only else [f"{n}_attn_out", f"{n}_mlp_out"]
    def of(label):
        number, _, name = label.partition("_")
        return cache[name, int(number)] if number.isdigit() else cache[label]
    return torch.cat([of(label)[None] for label in labels]), labels

# %% right 02.5: through a centring matrix
def apply_final_ln(stack, scale, ln):
    d = stack.shape[-1]
    centre = torch.eye(d) - torch.ones(d, d) / d
    return ((stack @ centre) / scale) @ torch.diag(ln.w)

# %% right 02.6: the columns of W_U first
def logit_attribution(stack, W_U, tokens):
    columns = W_U.T[tokens[1:]]
    return (stack[:, :-1] * columns).sum(-1).T

# %% right 02.7: the stream added up
def logit_lens(cache):
    m = cache.model
    streams = [cache["resid_pre", i] for i in range(m.cfg.n_layers)] + [cache["resid_post", m.cfg.n_layers - 1]]
    return torch.stack([m.ln_final(x) for x in streams]) @ m.unembed.W_U + m.unembed.b_U

# %% right 02.8: a table of who reads what
def fold_ln(state):
    out = {name: value for name, value in state.items()}
    for name in [n for n in state if n.endswith((".ln1.w", ".ln2.w")) or n == "ln_final.w"]:
        stem = name[:-2]
        gain, bias = state[name], state[stem + ".b"]
        if stem == "ln_final":
            readers = [("unembed.W_U", "unembed.b_U")]
        elif stem.endswith("ln1"):
            p = stem[: -len("ln1")] + "attn."
            readers = [(p + "W_" + x, p + "b_" + x) for x in "QKV"]
        else:
            p = stem[: -len("ln2")] + "mlp."
            readers = [(p + "W_in", p + "b_in")]
        for W, b in readers:
            weight = state[W]
            out[b] = state[b] + (weight * bias[:, None]).sum(-2)
            out[W] = weight * gain[:, None]
        out[name], out[stem + ".b"] = torch.ones_like(gain), torch.zeros_like(bias)
    return out


# %% wrong 02.1: hooks are removed only after a run that succeeds; when it raises they stay
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: name == names_filter) if isinstance(names_filter, str) else names_filter
    cache, added = {}, []

    def keep(activation, hook):
        cache[hook.name] = activation.clone()

    for name, point in model.hook_dict.items():
        if wanted(name):
            added.append((point, point.add_hook(keep)))
    logits = model(tokens)
    for point, handle in added:
        point.discard(handle)
    return logits, cache


# %% wrong 02.1: `except Exception` cleans up after errors but not after an interruption (KeyboardInterrupt)
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: name == names_filter) if isinstance(names_filter, str) else names_filter
    cache, added = {}, []

    def keep(activation, hook):
        cache[hook.name] = activation.clone()

    def clean_up():
        for point, handle in added:
            point.discard(handle)

    for name, point in model.hook_dict.items():
        if wanted(name):
            added.append((point, point.add_hook(keep)))
    try:
        logits = model(tokens)
    except Exception:
        clean_up()
        raise
    clean_up()
    return logits, cache


# %% wrong 02.1: keeps the activations themselves (detached, but the same memory), not copies
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: name == names_filter) if isinstance(names_filter, str) else names_filter
    cache, added = {}, []

    def keep(activation, hook):
        cache[hook.name] = activation.detach()

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                added.append((point, point.add_hook(keep)))
        logits = model(tokens)
    finally:
        for point, handle in added:
            point.discard(handle)
    return logits, cache


# %% wrong 02.1: copies only after the run, so what a later hook or layer changed in place is in the copies
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: name == names_filter) if isinstance(names_filter, str) else names_filter
    cache, added = {}, []

    def keep(activation, hook):
        cache[hook.name] = activation

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                added.append((point, point.add_hook(keep)))
        logits = model(tokens)
    finally:
        for point, handle in added:
            point.discard(handle)
    return logits, {name: value.clone() for name, value in cache.items()}


# %% wrong 02.1: `return` inside finally swallows the exception of the run
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: name == names_filter) if isinstance(names_filter, str) else names_filter
    cache, added = {}, []

    def keep(activation, hook):
        cache[hook.name] = activation.clone()

    logits = None
    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                added.append((point, point.add_hook(keep)))
        logits = model(tokens)
    finally:
        for point, handle in added:
            point.discard(handle)
        return logits, cache


# %% wrong 02.1: a string matches every name that contains it, not one whole name
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: names_filter in name) if isinstance(names_filter, str) else names_filter
    cache, added = {}, []

    def keep(activation, hook):
        cache[hook.name] = activation.clone()

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                added.append((point, point.add_hook(keep)))
        logits = model(tokens)
    finally:
        for point, handle in added:
            point.discard(handle)
    return logits, cache


# %% wrong 02.1: the hook closes over the loop variable: everything is stored under the last name
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: name == names_filter) if isinstance(names_filter, str) else names_filter
    cache, added = {}, []
    names = [name for name in model.hook_dict if wanted(name)]
    try:
        for name in names:
            point = model.hook_dict[name]

            def keep(activation, hook):
                cache[name] = activation.clone()

            added.append((point, point.add_hook(keep)))
        logits = model(tokens)
    finally:
        for point, handle in added:
            point.discard(handle)
    return logits, cache


# %% wrong 02.1: only the hook that was added last is removed
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: name == names_filter) if isinstance(names_filter, str) else names_filter
    cache = {}
    point = handle = None

    def keep(activation, hook):
        cache[hook.name] = activation.clone()

    try:
        for name in model.hook_dict:
            if wanted(name):
                point = model.hook_dict[name]
                handle = point.add_hook(keep)
        logits = model(tokens)
    finally:
        if handle is not None:
            point.discard(handle)
    return logits, cache


# %% right 02.1: try/finally around adding and running
def run_with_cache(model, tokens, names_filter):
    wanted = (lambda name: name == names_filter) if isinstance(names_filter, str) else names_filter
    cache, added = {}, []

    def keep(activation, hook):
        cache[hook.name] = activation.clone()

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                added.append((point, point.add_hook(keep)))
        logits = model(tokens)
    finally:
        for point, handle in added:
            point.discard(handle)
    return logits, cache


# %% right 02.1: ExitStack discards, __setitem__ in a lambda keeps
from contextlib import ExitStack


def run_with_cache(model, tokens, names_filter):
    store = {}
    with ExitStack() as stack:
        for name in list(model.hook_dict):
            if names_filter(name) if callable(names_filter) else name == names_filter:
                point = model.hook_dict[name]
                handle = point.add_hook(lambda activation, hook: store.__setitem__(hook.name, activation.detach().clone()))
                stack.callback(point.discard, handle)
        logits = model(tokens)
    return logits, store


# %% wrong 02.2: scales the cached queries in place, once more
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    q /= q.shape[-1] ** 0.5
    scores = einsum(q, k, "b q h e, b k h e -> b h q k")
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


# %% wrong 02.2: exp without subtracting the maximum: nan for scores in the hundreds, 0 / 0 for those far below zero
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    weights = scores.exp().masked_fill(later, 0.0)
    return weights / weights.sum(-1, keepdim=True)


# %% wrong 02.2: masks with -100: visible scores may be minus some hundreds, and then later keys win
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, -100.0).softmax(-1)


# %% wrong 02.2: divides by the root of d_model, not of d_head
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / cache.model.cfg.d_model ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


# %% wrong 02.2: returns the cached pattern instead of computing it from queries and keys
def recompute_pattern(cache, layer):
    return cache["pattern", layer].clone()


# %% wrong 02.2: row maximum taken over all keys, the later ones too: a row underflows to 0 / 0 when a later key scores hundreds higher
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    weights = (scores - scores.amax(-1, keepdim=True)).exp().masked_fill(later, 0.0)
    return weights / weights.sum(-1, keepdim=True)


# %% wrong 02.2: the mask leaves out the query's own position (triu(0)); the first query's row is nan
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(0)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


# %% right 02.2: einsum, masked_fill, softmax
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


# %% right 02.2: matmul with a bias of -inf, exp(x - logsumexp)
def recompute_pattern(cache, layer):
    q = cache["q", layer].transpose(1, 2)
    k = cache["k", layer].permute(0, 2, 3, 1)
    s = q.size(-2)
    bias = torch.full((s, s), float("-inf"), dtype=q.dtype, device=q.device).triu(diagonal=1)
    scores = torch.matmul(q, k) * q.size(-1) ** -0.5 + bias
    return (scores - scores.logsumexp(dim=-1, keepdim=True)).exp()


# %% right 02.2: one head and query at a time
def recompute_pattern(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    b, s, h, e = q.shape
    pattern = torch.zeros(b, h, s, s, dtype=q.dtype, device=q.device)
    for head in range(h):
        for i in range(s):
            scores = torch.stack([(q[:, i, head] * k[:, j, head]).sum(-1) for j in range(i + 1)], dim=-1)
            pattern[:, head, i, : i + 1] = torch.softmax(scores / e**0.5, dim=-1)
    return pattern


# %% wrong 02.3: every head's z goes through all heads' W_O, summed (two different letters for the head)
def head_results(cache, layer):
    W_O = cache.model.blocks[layer].attn.W_O
    return einsum(cache["z", layer], W_O, "b s h e, g e d -> b s h d")


# %% wrong 02.3: each head gets its share of b_O
def head_results(cache, layer):
    attn = cache.model.blocks[layer].attn
    out = einsum(cache["z", layer], attn.W_O, "b s h e, h e d -> b s h d")
    return out + attn.b_O / out.shape[2]


# %% wrong 02.3: W_O always of the first layer
def head_results(cache, layer):
    return einsum(cache["z", layer], cache.model.blocks[0].attn.W_O, "b s h e, h e d -> b s h d")


# %% wrong 02.3: summed over heads: the whole attention output, [b s d]
def head_results(cache, layer):
    return einsum(cache["z", layer], cache.model.blocks[layer].attn.W_O, "b s h e, h e d -> b s d")


# %% wrong 02.3: z is reshaped to [b h s e] instead of transposed: positions and heads are mixed
def head_results(cache, layer):
    z = cache["z", layer]
    b, s, h, e = z.shape
    out = z.reshape(b, h, s, e) @ cache.model.blocks[layer].attn.W_O
    return out.transpose(1, 2)


# %% wrong 02.3: axes of the result are [b h s d], not [b s h d]
def head_results(cache, layer):
    return cache["z", layer].transpose(1, 2) @ cache.model.blocks[layer].attn.W_O


# %% right 02.3: einsum, once more
def head_results(cache, layer):
    return einsum(cache["z", layer], cache.model.blocks[layer].attn.W_O, "b s h e, h e d -> b s h d")


# %% right 02.3: one matmul per head, stacked
def head_results(cache, layer):
    z, W_O = cache["z", layer], cache.model.blocks[layer].attn.W_O
    return torch.stack([z[:, :, i] @ W_O[i] for i in range(W_O.shape[0])], dim=2)


# %% right 02.3: broadcast product, summed over e
def head_results(cache, layer):
    z = cache["z", layer]
    return (z.unsqueeze(-1) * cache.model.blocks[layer].attn.W_O).sum(dim=-2)


# %% wrong 02.4: goes up to and including `layer`, whose own outputs it has not read
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(min(layer + 1, cache.model.cfg.n_layers)):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% wrong 02.4: asks for mlp_out also in an attention-only model, which has none
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        parts.append(cache["mlp_out", i])
        labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% wrong 02.4: an attention-only model gets components of zeros, labelled as MLPs
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        has_mlp = not cache.model.cfg.attn_only
        parts.append(cache["mlp_out", i] if has_mlp else torch.zeros_like(parts[0]))
        labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% wrong 02.4: all attention outputs first, then all MLPs: not the order of writing
def decompose_resid(cache, layer):
    parts = [cache["embed"], cache["pos_embed"]] + [cache["attn_out", i] for i in range(layer)]
    labels = ["embed", "pos_embed"] + [f"{i}_attn_out" for i in range(layer)]
    if not cache.model.cfg.attn_only:
        parts += [cache["mlp_out", i] for i in range(layer)]
        labels += [f"{i}_mlp_out" for i in range(layer)]
    return torch.stack(parts), labels


# %% wrong 02.4: layer = n_layers is cut to the last layer, so the last layer's outputs are missing
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(min(layer, cache.model.cfg.n_layers - 1)):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% wrong 02.4: the positional embedding is left out
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"]], ["embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% wrong 02.4: components stacked on the third axis, [b s c d], not the first
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts, dim=2), labels


# %% wrong 02.4: gives the running sums (the stream after each writer), not what each wrote
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts).cumsum(0), labels


# %% right 02.4: two lists, appended layer by layer
def decompose_resid(cache, layer):
    parts, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% right 02.4: keys listed first, everything else by comprehensions; labels cut from one dictionary
def decompose_resid(cache, layer):
    kinds = ("attn_out",) if cache.model.cfg.attn_only else ("attn_out", "mlp_out")
    written = {"embed": cache["embed"], "pos_embed": cache["pos_embed"]}
    written |= {f"{i}_{kind}": cache[kind, i] for i in range(layer) for kind in kinds}
    return torch.cat([part[None] for part in written.values()], dim=0), list(written)


# %% wrong 02.5: centred over the components (axis 0), not over d
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(0, keepdim=True)) / scale * ln.w


# %% wrong 02.5: not centred, once more
def apply_final_ln(stack, scale, ln):
    return stack / scale * ln.w


# %% wrong 02.5: each component divided by its own standard deviation: the whole LayerNorm on each, without bias
def apply_final_ln(stack, scale, ln):
    return torch.nn.functional.layer_norm(stack, stack.shape[-1:], ln.w)


# %% wrong 02.5: centres the given stack in place, once more
def apply_final_ln(stack, scale, ln):
    stack -= stack.mean(-1, keepdim=True)
    return stack / scale * ln.w


# %% wrong 02.5: the bias is shared out among the components, so they sum to the output with its bias
def apply_final_ln(stack, scale, ln):
    centred = stack - stack.mean(-1, keepdim=True)
    return centred / scale * ln.w + ln.b / stack.shape[0]


# %% wrong 02.5: the gain is applied before the centring, not after
def apply_final_ln(stack, scale, ln):
    gained = stack * ln.w
    return (gained - gained.mean(-1, keepdim=True)) / scale


# %% wrong 02.5: the mean of the whole stream is taken off in equal shares: the sum is right, the components are not centred
def apply_final_ln(stack, scale, ln):
    mean = stack.sum(0, keepdim=True).mean(-1, keepdim=True)
    return (stack - mean / stack.shape[0]) / scale * ln.w


# %% wrong 02.5: the scale is taken for a variance: root and epsilon once more
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-1, keepdim=True)) / (scale + 1e-5).sqrt() * ln.w


# %% right 02.5: centre, divide, multiply
def apply_final_ln(stack, scale, ln):
    return (stack - stack.mean(-1, keepdim=True)) / scale * ln.w


# %% right 02.5: as a matrix: the centring projection with the gain in its columns, by einsum
def apply_final_ln(stack, scale, ln):
    d = stack.shape[-1]
    eye = torch.eye(d, dtype=stack.dtype, device=stack.device)
    matrix = (eye - 1 / d) * ln.w
    return einsum(stack, matrix, 1 / scale[..., 0], "c b s i, i o, b s -> c b s o")


# %% right 02.5: component by component, once more
def apply_final_ln(stack, scale, ln):
    out = []
    for part in stack:
        centred = part - part.sum(dim=-1, keepdim=True) / part.shape[-1]
        out.append(centred.mul(ln.w).div(scale))
    return torch.stack(out)


# %% wrong 02.6: the logit of each position's own token, not the next
def logit_attribution(stack, W_U, tokens):
    return einsum(stack[:, :-1], W_U[:, tokens[:-1]], "c s d, d s -> s c")


# %% wrong 02.6: components read at the position of the next token (stack[:, 1:])
def logit_attribution(stack, W_U, tokens):
    return einsum(stack[:, 1:], W_U[:, tokens[1:]], "c s d, d s -> s c")


# %% wrong 02.6: axes of the result are [c s-1], not [s-1 c]
def logit_attribution(stack, W_U, tokens):
    return einsum(stack[:, :-1], W_U[:, tokens[1:]], "c s d, d s -> c s")


# %% wrong 02.6: the axes are exchanged by a reshape, which mixes components and positions
def logit_attribution(stack, W_U, tokens):
    part = (stack[:, :-1] * W_U[:, tokens[1:]].T).sum(-1)
    return part.reshape(part.shape[1], part.shape[0])


# %% wrong 02.6: s rows: the last position wraps round to the first token (roll)
def logit_attribution(stack, W_U, tokens):
    return einsum(stack, W_U[:, tokens.roll(-1)], "c s d, d s -> s c")


# %% wrong 02.6: the mean logit over the vocabulary is taken off W_U first, so it is a difference, not the logit
def logit_attribution(stack, W_U, tokens):
    centred = W_U - W_U.mean(1, keepdim=True)
    return einsum(stack[:, :-1], centred[:, tokens[1:]], "c s d, d s -> s c")


# %% wrong 02.6: log-probabilities of each component by itself, not its part of the logit
def logit_attribution(stack, W_U, tokens):
    logp = (stack[:, :-1] @ W_U).log_softmax(-1)
    index = tokens[1:].expand(stack.shape[0], -1)[..., None]
    return logp.gather(-1, index)[..., 0].T


# %% right 02.6: einsum with the next tokens' columns of W_U
def logit_attribution(stack, W_U, tokens):
    return einsum(stack[:, :-1], W_U[:, tokens[1:]], "c s d, d s -> s c")


# %% right 02.6: double loop of dot products
def logit_attribution(stack, W_U, tokens):
    c, s, _ = stack.shape
    out = stack.new_zeros(s - 1, c)
    for i in range(s - 1):
        direction = W_U[:, int(tokens[i + 1])]
        for j in range(c):
            out[i, j] = torch.dot(stack[j, i], direction)
    return out


# %% right 02.6: all logits, then gather, once more
def logit_attribution(stack, W_U, tokens):
    logits = (stack @ W_U)[:, :-1].transpose(0, 1)
    index = tokens[1:].view(-1, 1, 1).expand(-1, stack.shape[0], 1)
    return logits.gather(2, index).squeeze(2)


# %% wrong 02.7: adds the positions to the cached embedding in place, so the cache changes
def logit_lens(cache):
    model = cache.model
    resid = cache["embed"]
    resid += cache["pos_embed"]
    resids = [resid] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(r)) for r in resids])


# %% wrong 02.7: only the last stream goes through ln_final; the others are unembedded as they are
def logit_lens(cache):
    model = cache.model
    resids = [cache["embed"] + cache["pos_embed"]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    early = [model.unembed(r) for r in resids[:-1]]
    return torch.stack(early + [model.unembed(model.ln_final(resids[-1]))])


# %% wrong 02.7: the first entry, after the embeddings, is missing: n_layers entries
def logit_lens(cache):
    model = cache.model
    return torch.stack([model.unembed(model.ln_final(cache["resid_post", i])) for i in range(model.cfg.n_layers)])


# %% wrong 02.7: every stream is divided by the scale that the last one had (cached), not by its own
def logit_lens(cache):
    model = cache.model
    ln = model.ln_final
    resids = [cache["embed"] + cache["pos_embed"]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    stack = torch.stack(resids)
    normed = (stack - stack.mean(-1, keepdim=True)) / cache["scale"] * ln.w + ln.b
    return torch.stack([model.unembed(r) for r in normed])


# %% wrong 02.7: multiplies by W_U only, b_U is missing
def logit_lens(cache):
    model = cache.model
    resids = [cache["embed"] + cache["pos_embed"]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.ln_final(r) @ model.unembed.W_U for r in resids])


# %% wrong 02.7: the first entry is the token embedding alone, without the positions
def logit_lens(cache):
    model = cache.model
    resids = [cache["embed"]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(r)) for r in resids])


# %% wrong 02.7: returns log-probabilities, not logits
def logit_lens(cache):
    model = cache.model
    resids = [cache["embed"] + cache["pos_embed"]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(r)).log_softmax(-1) for r in resids])


# %% right 02.7: embeddings and every resid_post, one by one
def logit_lens(cache):
    model = cache.model
    resids = [cache["embed"] + cache["pos_embed"]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(r)) for r in resids])


# %% right 02.7: the stream rebuilt by adding up what was written, all layers in one batch
def logit_lens(cache):
    model = cache.model
    stream = cache["embed"] + cache["pos_embed"]
    batch = [stream]
    for i in range(len(model.blocks)):
        stream = stream + cache["attn_out", i]
        if not model.cfg.attn_only:
            stream = stream + cache["mlp_out", i]
        batch.append(stream)
    logits = model.unembed(model.ln_final(torch.cat(batch, dim=0)))
    return logits.unflatten(0, (len(batch), -1))


# %% wrong 02.8: the LayerNorm's bias goes through the weight that already holds the gain, so the gain counts twice
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ new[weight]
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% wrong 02.8: multiplies the given state's weights in place (the new dict shares them)
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[bias] = state[bias] + b @ W
        new[weight].mul_(w[:, None])
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% wrong 02.8: folds the gains only: the LayerNorms' biases are set to 0 but not added to any bias
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% wrong 02.8: expects ln2 in every block: KeyError for an attention-only model
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ W
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% wrong 02.8: finds layers by a single digit, so layer 10 and later are not folded
import re


def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ W
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    for name in state:
        found = re.fullmatch(r"blocks\.(\d)\.(ln[12])\.w", name)
        if found is None:
            continue
        block, ln = f"blocks.{found[1]}.", found[2]
        if ln == "ln1":
            for x in "QKV":
                fold(block + ln, block + f"attn.W_{x}", block + f"attn.b_{x}")
        else:
            fold(block + ln, block + "mlp.W_in", block + "mlp.b_in")
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% wrong 02.8: ln_final is not folded
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ W
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    return new


# %% wrong 02.8: the LayerNorms' entries are deleted instead of set to 1 and 0
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ W
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return {name: value for name, value in new.items() if ".ln" not in name and "ln_final" not in name}


# %% wrong 02.8: ln1 is folded into W_Q and W_K only; W_V reads it too
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ W
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QK":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% wrong 02.8: the LayerNorms keep their old gain and bias, which now count twice
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ W

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% wrong 02.8: old gains and biases are overwritten in the given state (fill_), whose tensors the new dict shares
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ W

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    for name in new:
        if ".ln" in name or name.startswith("ln_final"):
            new[name].fill_(1.0 if name.endswith(".w") else 0.0)
    return new


# %% right 02.8: layer by layer with one inner function
def fold_ln(state):
    new = dict(state)

    def fold(ln, weight, bias):
        w, b, W = state[ln + ".w"], state[ln + ".b"], state[weight]
        new[weight] = w[:, None] * W
        new[bias] = state[bias] + b @ W
        new[ln + ".w"], new[ln + ".b"] = torch.ones_like(w), torch.zeros_like(b)

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}."
        for x in "QKV":
            fold(block + "ln1", block + f"attn.W_{x}", block + f"attn.b_{x}")
        if block + "ln2.w" in state:
            fold(block + "ln2", block + "mlp.W_in", block + "mlp.b_in")
        layer += 1
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% right 02.8: driven by the names of the readers, einsum
def fold_ln(state):
    readers = {
        "attn.W_Q": ("ln1", "attn.b_Q"),
        "attn.W_K": ("ln1", "attn.b_K"),
        "attn.W_V": ("ln1", "attn.b_V"),
        "mlp.W_in": ("ln2", "mlp.b_in"),
        "unembed.W_U": ("ln_final", "unembed.b_U"),
    }
    out = {name: value.clone() for name, value in state.items()}
    for name, W in state.items():
        for weight, (ln, bias) in readers.items():
            if not name.endswith(weight):
                continue
            prefix = name[: -len(weight)]
            gain, shift = f"{prefix}{ln}.w", f"{prefix}{ln}.b"
            if gain not in state:
                continue
            out[name] = einsum(W, state[gain], "... d o, d -> ... d o")
            out[prefix + bias] = state[prefix + bias] + einsum(W, state[shift], "... d o, d -> ... o")
            out[gain] = torch.ones_like(state[gain])
            out[shift] = torch.zeros_like(state[shift])
    return out


# %% wrong 02.1: cleans up on Exception only, so Ctrl-C leaves the hooks
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}
    attached = []

    def save(activation, hook):
        cache[hook.name] = activation.detach().clone()

    def remove():
        for point, handle in attached:
            point.discard(handle)

    try:
        for name, point in model.hook_dict.items():
            wanted = name == names_filter if isinstance(names_filter, str) else names_filter(name)
            if wanted:
                attached.append((point, point.add_hook(save)))
        logits = model(tokens)
    except Exception:
        remove()
        raise
    remove()
    return logits, cache


# %% wrong 02.1: detaches but does not copy
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}
    attached = []

    def save(activation, hook):
        cache[hook.name] = activation.detach()

    try:
        for name, point in model.hook_dict.items():
            wanted = name == names_filter if isinstance(names_filter, str) else names_filter(name)
            if wanted:
                attached.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, handle in attached:
            point.discard(handle)
    return logits, cache


# %% wrong 02.1: closure over the loop variable, all is stored under the last name
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}
    if isinstance(names_filter, str):
        names = [name for name in model.hook_dict if name == names_filter]
    else:
        names = [name for name in model.hook_dict if names_filter(name)]
    attached = []
    try:
        for name in names:

            def save(activation, hook):
                cache[name] = activation.detach().clone()

            point = model.hook_dict[name]
            attached.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, handle in attached:
            point.discard(handle)
    return logits, cache


# %% wrong 02.1: every hook discards itself when it fires, those never reached stay
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}
    handles = {}

    def save(activation, hook):
        cache[hook.name] = activation.detach().clone()
        hook.discard(handles.pop(hook.name))

    for name, point in model.hook_dict.items():
        wanted = name == names_filter if isinstance(names_filter, str) else names_filter(name)
        if wanted:
            handles[name] = point.add_hook(save)
    logits = model(tokens)
    return logits, cache


# %% wrong 02.1: returns inside finally, which swallows the exception
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}
    attached = []
    logits = None

    def save(activation, hook):
        cache[hook.name] = activation.detach().clone()

    try:
        for name, point in model.hook_dict.items():
            wanted = name == names_filter if isinstance(names_filter, str) else names_filter(name)
            if wanted:
                attached.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, handle in attached:
            point.discard(handle)
        return logits, cache


# %% right 02.1: try and finally around attaching and running
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}
    attached = []

    def save(activation, hook):
        cache[hook.name] = activation.detach().clone()

    try:
        for name, point in model.hook_dict.items():
            wanted = name == names_filter if isinstance(names_filter, str) else names_filter(name)
            if wanted:
                attached.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, handle in attached:
            point.discard(handle)
    return logits, cache


# %% right 02.1: an exit stack and lambdas, graph kept
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    from contextlib import ExitStack

    wanted = names_filter if callable(names_filter) else (lambda name: name == names_filter)
    chosen = {name: point for name, point in model.hook_dict.items() if wanted(name)}
    kept: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, point in chosen.items():
            handle = point.add_hook(lambda activation, hook, name=name: kept.update({name: activation.clone()}))
            stack.callback(point.discard, handle)
        return model(tokens), kept


# %% wrong 02.2: masks with -100, which large scores undercut
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    s = q.shape[1]
    future = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(future, -100.0).softmax(-1)


# %% wrong 02.2: row maximum taken before the mask, so all visible keys may underflow
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    s = q.shape[1]
    visible = torch.ones(s, s, dtype=scores.dtype, device=q.device).tril()
    weights = (scores - scores.amax(-1, keepdim=True)).exp() * visible
    return weights / weights.sum(-1, keepdim=True)


# %% wrong 02.2: tril and then every zero score counts as masked
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    scores = scores.tril()
    return scores.masked_fill(scores == 0, float("-inf")).softmax(-1)


# %% wrong 02.2: clamps the scores so that exp stays finite
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    s = q.shape[1]
    visible = torch.ones(s, s, dtype=scores.dtype, device=q.device).tril()
    weights = scores.clamp(-50.0, 50.0).exp() * visible
    return weights / weights.sum(-1, keepdim=True)


# %% wrong 02.2: softmax first, mask after it, rows do not sum to one
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    return scores.softmax(-1).tril()


# %% right 02.2: einsum and masked softmax
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    s = q.shape[1]
    future = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1)


# %% right 02.2: head by head with matmul and logsumexp
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    _, s, n_heads, d_head = q.shape
    position = torch.arange(s, device=q.device)
    visible = position[None, :] <= position[:, None]
    minus_inf = torch.full((), float("-inf"), dtype=q.dtype, device=q.device)
    patterns = []
    for head in range(n_heads):
        scores = q[:, :, head] @ k[:, :, head].transpose(1, 2) / d_head**0.5
        scores = torch.where(visible, scores, minus_inf)
        patterns.append((scores - scores.logsumexp(-1, keepdim=True)).exp())
    return torch.stack(patterns, dim=1)


# %% wrong 02.3: gives each head its share of b_O
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    attn = cache.model.blocks[layer].attn
    z = cache["z", layer]
    return einsum(z, attn.W_O, "b s h e, h e d -> b s h d") + attn.b_O / z.shape[2]


# %% wrong 02.3: another letter for the head of W_O, every z goes through the sum of all W_O
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    W_O = cache.model.blocks[layer].attn.W_O
    return einsum(cache["z", layer], W_O, "b s h e, n e d -> b s h d")


# %% wrong 02.3: reshapes W_O to [e h d] where it should be transposed
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    W_O = cache.model.blocks[layer].attn.W_O
    n_heads, d_head, d_model = W_O.shape
    return einsum(cache["z", layer], W_O.reshape(d_head, n_heads, d_model), "b s h e, e h d -> b s h d")


# %% wrong 02.3: squeezes away a batch (or head, or position) of one
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    W_O = cache.model.blocks[layer].attn.W_O
    z = cache["z", layer]
    return (z.unsqueeze(-2) @ W_O).squeeze()


# %% wrong 02.3: takes the heads out of the cached z one by one, in place
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    W_O = cache.model.blocks[layer].attn.W_O
    z = cache["z", layer]
    results = []
    with torch.no_grad():
        before = einsum(z, W_O, "b s h e, h e d -> b s d")
        for head in range(z.shape[2]):
            z[:, :, head] = 0.0
            after = einsum(z, W_O, "b s h e, h e d -> b s d")
            results.append(before - after)
            before = after
    return torch.stack(results, dim=2)


# %% right 02.3: einsum, 3
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    return einsum(cache["z", layer], cache.model.blocks[layer].attn.W_O, "b s h e, h e d -> b s h d")


# %% right 02.3: one matrix product per head
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    z = cache["z", layer]
    W_O = cache.model.blocks[layer].attn.W_O
    return torch.stack([z[:, :, head] @ W_O[head] for head in range(W_O.shape[0])], dim=2)


# %% wrong 02.4: labels name MLPs also where the model has none
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    embed = cache["embed"]
    parts = [embed, cache["pos_embed"].expand_as(embed)]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
    labels = ["embed", "pos_embed"]
    labels += [f"{i}_{kind}" for i in range(layer) for kind in ("attn_out", "mlp_out")]
    return torch.stack(parts), labels


# %% wrong 02.4: layer 0 is taken for "not given" and yields everything
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    cfg = cache.model.cfg
    layer = layer or cfg.n_layers
    embed = cache["embed"]
    parts = {"embed": embed, "pos_embed": cache["pos_embed"].expand_as(embed)}
    for i in range(layer):
        parts[f"{i}_attn_out"] = cache["attn_out", i]
        if not cfg.attn_only:
            parts[f"{i}_mlp_out"] = cache["mlp_out", i]
    return torch.stack(list(parts.values())), list(parts)


# %% wrong 02.4: checks the sum by adding up in the cached embedding itself
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    cfg = cache.model.cfg
    total = cache["embed"]
    parts, labels = [total, cache["pos_embed"].expand_as(total)], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    stack = torch.stack(parts)
    for part in parts[1:]:
        total += part
    stream = cache["resid_pre", layer] if layer < cfg.n_layers else cache["resid_post", layer - 1]
    if not torch.allclose(total, stream, rtol=1e-2, atol=1e-2):
        print("warning: the components do not sum to the residual stream")
    return stack, labels


# %% wrong 02.4: counts the layer's own attention as already written
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    cfg = cache.model.cfg
    embed = cache["embed"]
    parts, labels = [embed, cache["pos_embed"].expand_as(embed)], ["embed", "pos_embed"]
    for i in range(cfg.n_layers):
        if i <= layer:
            parts.append(cache["attn_out", i])
            labels.append(f"{i}_attn_out")
        if i < layer and not cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% wrong 02.4: all attention outputs first, then all MLPs
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    embed = cache["embed"]
    parts, labels = [embed, cache["pos_embed"].expand_as(embed)], ["embed", "pos_embed"]
    kinds = ["attn_out"] if cache.model.cfg.attn_only else ["attn_out", "mlp_out"]
    for kind in kinds:
        for i in range(layer):
            parts.append(cache[kind, i])
            labels.append(f"{i}_{kind}")
    return torch.stack(parts), labels


# %% right 02.4: loop with appends
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    embed = cache["embed"]
    parts, labels = [embed, cache["pos_embed"].expand_as(embed)], ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% right 02.4: keys first, in a comprehension
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    kinds = ("attn_out",) if cache.model.cfg.attn_only else ("attn_out", "mlp_out")
    keys = [(kind, i) for i in range(layer) for kind in kinds]
    labels = ["embed", "pos_embed", *(f"{i}_{kind}" for kind, i in keys)]
    tensors = [cache["embed"], cache["pos_embed"], *(cache[key] for key in keys)]
    return torch.stack(list(torch.broadcast_tensors(*tensors))), labels


# %% wrong 02.5: centres every component by an equal share of the stream's mean
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    mean = stack.sum(0).mean(-1, keepdim=True)
    return (stack - mean / stack.shape[0]) / scale * ln.w


# %% wrong 02.5: gain first, centred afterwards
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    gained = stack / scale * ln.w
    return gained - gained.mean(-1, keepdim=True)


# %% wrong 02.5: centres the given stack in place, 3
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    stack -= stack.mean(-1, keepdim=True)
    return stack / scale * ln.w


# %% wrong 02.5: puts epsilon into the scale a second time
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    centred = stack - stack.mean(-1, keepdim=True)
    return centred / (scale.pow(2) + 1e-5).sqrt() * ln.w


# %% wrong 02.5: spreads the bias over the components
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    centred = stack - stack.mean(-1, keepdim=True)
    return centred / scale * ln.w + ln.b / stack.shape[0]


# %% right 02.5: broadcasting
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    return (stack - stack.mean(-1, keepdim=True)) / scale * ln.w


# %% right 02.5: component by component, 3
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    out = torch.empty_like(stack)
    d_model = stack.shape[-1]
    rows = []
    for component in stack:
        mean = component.sum(dim=-1, keepdim=True) / d_model
        rows.append(torch.mul(torch.div(component - mean, scale), ln.w))
    return torch.stack(rows) if rows else out


# %% wrong 02.6: stacks a list of positions, which is empty for one token
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    return torch.stack([stack[:, i] @ W_U[:, tokens[i + 1]] for i in range(len(tokens) - 1)])


# %% wrong 02.6: squeezes, which loses a single component or a single position
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    directions = W_U[:, tokens[1:]].T.unsqueeze(-1)
    return (stack[:, :-1].transpose(0, 1) @ directions).squeeze()


# %% wrong 02.6: reshape where a transpose is needed
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    parts = (stack[:, :-1] * W_U[:, tokens[1:]].T).sum(-1)
    return parts.reshape(stack.shape[1] - 1, stack.shape[0])


# %% wrong 02.6: takes the logit relative to the mean logit of the vocabulary
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    centred = W_U - W_U.mean(dim=1, keepdim=True)
    return einsum(stack[:, :-1], centred[:, tokens[1:]], "c s d, d s -> s c")


# %% wrong 02.6: reads the components at the next token's own position
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    return einsum(stack[:, 1:], W_U[:, tokens[1:]], "c s d, d s -> s c")


# %% right 02.6: einsum with the columns of the next tokens
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    return einsum(stack[:, :-1], W_U[:, tokens[1:]], "c s d, d s -> s c")


# %% right 02.6: all logits, then gather, 3
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    logits = stack[:, :-1] @ W_U
    following = tokens[1:].long().expand(stack.shape[0], -1).unsqueeze(-1)
    return logits.gather(-1, following).squeeze(-1).T


# %% wrong 02.7: every layer through the scale of the final stream
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    n = model.cfg.n_layers
    streams = torch.stack([cache["resid_pre", i] for i in range(n)] + [cache["resid_post", n - 1]])
    normed = apply_final_ln(streams, cache["scale"], model.ln_final) + model.ln_final.b
    return torch.stack([model.unembed(x) for x in normed])


# %% wrong 02.7: the first entry lacks the positional embedding
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    streams = [cache["embed"]] + [cache["resid_post", i] for i in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(x)) for x in streams])


# %% wrong 02.7: multiplies with W_U and forgets b_U
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    n = model.cfg.n_layers
    streams = [cache["resid_pre", i] for i in range(n)] + [cache["resid_post", n - 1]]
    return torch.stack([model.ln_final(x) @ model.unembed.W_U for x in streams])


# %% wrong 02.7: keeps a running stream that is the cached embedding itself
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    with torch.no_grad():
        stream = cache["embed"]
        stream += cache["pos_embed"]
        lens = [model.unembed(model.ln_final(stream))]
        for i in range(model.cfg.n_layers):
            stream += cache["attn_out", i]
            if not model.cfg.attn_only:
                stream += cache["mlp_out", i]
            lens.append(model.unembed(model.ln_final(stream)))
    return torch.stack(lens)


# %% wrong 02.7: only the last stream goes through the final LayerNorm
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    n = model.cfg.n_layers
    lens = [model.unembed(cache["resid_pre", i]) for i in range(n)]
    lens.append(model.unembed(model.ln_final(cache["resid_post", n - 1])))
    return torch.stack(lens)


# %% right 02.7: stream by stream
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    n = model.cfg.n_layers
    streams = [cache["resid_pre", i] for i in range(n)] + [cache["resid_post", n - 1]]
    return torch.stack([model.unembed(model.ln_final(x)) for x in streams])


# %% right 02.7: all streams as one big batch
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    streams = [cache["resid_pre", 0]]
    for i in range(model.cfg.n_layers):
        streams.append(cache["resid_post", i])
    together = torch.cat(streams, dim=0)
    logits = model.unembed(model.ln_final(together))
    return logits.reshape(len(streams), *streams[0].shape[:2], logits.shape[-1])


# %% wrong 02.8: folds the bias through weights that hold the gain already
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)

    def fold(ln: str, readers: list[tuple[str, str]]) -> None:
        w, b = state[f"{ln}.w"], state[f"{ln}.b"]
        for weight, bias in readers:
            new[weight] = w[:, None] * new[weight]
            new[bias] = new[bias] + b @ new[weight]
        new[f"{ln}.w"], new[f"{ln}.b"] = torch.ones_like(w), torch.zeros_like(b)

    for key in state:
        if key.endswith(".ln1.w"):
            block = key.removesuffix(".ln1.w")
            fold(f"{block}.ln1", [(f"{block}.attn.W_{x}", f"{block}.attn.b_{x}") for x in "QKV"])
        if key.endswith(".ln2.w"):
            block = key.removesuffix(".ln2.w")
            fold(f"{block}.ln2", [(f"{block}.mlp.W_in", f"{block}.mlp.b_in")])
    fold("ln_final", [("unembed.W_U", "unembed.b_U")])
    return new


# %% wrong 02.8: resets gain and bias with fill_, in the tensors of the given state
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)

    def fold(ln: str, readers: list[tuple[str, str]]) -> None:
        w, b = new[f"{ln}.w"], new[f"{ln}.b"]
        for weight, bias in readers:
            new[bias] = new[bias] + b @ new[weight]
            new[weight] = w[:, None] * new[weight]
        with torch.no_grad():
            new[f"{ln}.w"].fill_(1.0)
            new[f"{ln}.b"].fill_(0.0)

    for key in list(state):
        if key.endswith(".ln1.w"):
            block = key.removesuffix(".ln1.w")
            fold(f"{block}.ln1", [(f"{block}.attn.W_{x}", f"{block}.attn.b_{x}") for x in "QKV"])
        if key.endswith(".ln2.w"):
            block = key.removesuffix(".ln2.w")
            fold(f"{block}.ln2", [(f"{block}.mlp.W_in", f"{block}.mlp.b_in")])
    fold("ln_final", [("unembed.W_U", "unembed.b_U")])
    return new


# %% wrong 02.8: counts layers by one digit, ten at most
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)

    def fold(ln: str, readers: list[tuple[str, str]]) -> None:
        w, b = state[f"{ln}.w"], state[f"{ln}.b"]
        for weight, bias in readers:
            new[bias] = state[bias] + b @ state[weight]
            new[weight] = w[:, None] * state[weight]
        new[f"{ln}.w"], new[f"{ln}.b"] = torch.ones_like(w), torch.zeros_like(b)

    start = len("blocks.")
    n_layers = 1 + max((int(key[start]) for key in state if key.startswith("blocks.")), default=-1)
    for layer in range(n_layers):
        block = f"blocks.{layer}"
        fold(f"{block}.ln1", [(f"{block}.attn.W_{x}", f"{block}.attn.b_{x}") for x in "QKV"])
        if f"{block}.ln2.w" in state:
            fold(f"{block}.ln2", [(f"{block}.mlp.W_in", f"{block}.mlp.b_in")])
    fold("ln_final", [("unembed.W_U", "unembed.b_U")])
    return new


# %% wrong 02.8: centres the unembedding as well, which shifts the logits
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)

    def fold(ln: str, readers: list[tuple[str, str]]) -> None:
        w, b = state[f"{ln}.w"], state[f"{ln}.b"]
        for weight, bias in readers:
            new[bias] = state[bias] + b @ state[weight]
            new[weight] = w[:, None] * state[weight]
        new[f"{ln}.w"], new[f"{ln}.b"] = torch.ones_like(w), torch.zeros_like(b)

    for key in state:
        if key.endswith(".ln1.w"):
            block = key.removesuffix(".ln1.w")
            fold(f"{block}.ln1", [(f"{block}.attn.W_{x}", f"{block}.attn.b_{x}") for x in "QKV"])
        if key.endswith(".ln2.w"):
            block = key.removesuffix(".ln2.w")
            fold(f"{block}.ln2", [(f"{block}.mlp.W_in", f"{block}.mlp.b_in")])
    fold("ln_final", [("unembed.W_U", "unembed.b_U")])
    new["unembed.W_U"] = new["unembed.W_U"] - new["unembed.W_U"].mean(dim=-1, keepdim=True)
    new["unembed.b_U"] = new["unembed.b_U"] - new["unembed.b_U"].mean()
    return new


# %% wrong 02.8: moves the value bias on into b_O, an entry that should stay
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)

    def fold(ln: str, readers: list[tuple[str, str]]) -> None:
        w, b = state[f"{ln}.w"], state[f"{ln}.b"]
        for weight, bias in readers:
            new[bias] = state[bias] + b @ state[weight]
            new[weight] = w[:, None] * state[weight]
        new[f"{ln}.w"], new[f"{ln}.b"] = torch.ones_like(w), torch.zeros_like(b)

    for key in state:
        if key.endswith(".ln1.w"):
            block = key.removesuffix(".ln1.w")
            attn = f"{block}.attn"
            fold(f"{block}.ln1", [(f"{attn}.W_{x}", f"{attn}.b_{x}") for x in "QKV"])
            moved = einsum(new[f"{attn}.b_V"], state[f"{attn}.W_O"], "h e, h e d -> d")
            new[f"{attn}.b_O"] = state[f"{attn}.b_O"] + moved
            new[f"{attn}.b_V"] = torch.zeros_like(state[f"{attn}.b_V"])
        if key.endswith(".ln2.w"):
            block = key.removesuffix(".ln2.w")
            fold(f"{block}.ln2", [(f"{block}.mlp.W_in", f"{block}.mlp.b_in")])
    fold("ln_final", [("unembed.W_U", "unembed.b_U")])
    return new


# %% right 02.8: an inner function, blocks found by their keys
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)

    def fold(ln: str, readers: list[tuple[str, str]]) -> None:
        w, b = state[f"{ln}.w"], state[f"{ln}.b"]
        for weight, bias in readers:
            new[bias] = state[bias] + b @ state[weight]
            new[weight] = w[:, None] * state[weight]
        new[f"{ln}.w"], new[f"{ln}.b"] = torch.ones_like(w), torch.zeros_like(b)

    for key in state:
        if key.endswith(".ln1.w"):
            block = key.removesuffix(".ln1.w")
            fold(f"{block}.ln1", [(f"{block}.attn.W_{x}", f"{block}.attn.b_{x}") for x in "QKV"])
        if key.endswith(".ln2.w"):
            block = key.removesuffix(".ln2.w")
            fold(f"{block}.ln2", [(f"{block}.mlp.W_in", f"{block}.mlp.b_in")])
    fold("ln_final", [("unembed.W_U", "unembed.b_U")])
    return new


# %% right 02.8: copies everything and uses einsum layer by layer
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {name: tensor.detach().clone() for name, tensor in state.items()}
    layer = 0
    while f"blocks.{layer}.ln1.w" in out:
        block = f"blocks.{layer}."
        w, b = out[block + "ln1.w"], out[block + "ln1.b"]
        for letter in ("Q", "K", "V"):
            W = out[f"{block}attn.W_{letter}"]
            out[f"{block}attn.b_{letter}"] = out[f"{block}attn.b_{letter}"] + einsum(b, W, "d, h d e -> h e")
            out[f"{block}attn.W_{letter}"] = einsum(w, W, "d, h d e -> h d e")
        out[block + "ln1.w"], out[block + "ln1.b"] = torch.ones_like(w), torch.zeros_like(b)
        if block + "ln2.w" in out:
            w, b, W = out[block + "ln2.w"], out[block + "ln2.b"], out[block + "mlp.W_in"]
            out[block + "mlp.b_in"] = out[block + "mlp.b_in"] + einsum(b, W, "d, d m -> m")
            out[block + "mlp.W_in"] = einsum(w, W, "d, d m -> d m")
            out[block + "ln2.w"], out[block + "ln2.b"] = torch.ones_like(w), torch.zeros_like(b)
        layer += 1
    w, b, W = out["ln_final.w"], out["ln_final.b"], out["unembed.W_U"]
    out["unembed.b_U"] = out["unembed.b_U"] + einsum(b, W, "d, d v -> v")
    out["unembed.W_U"] = einsum(w, W, "d, d v -> d v")
    out["ln_final.w"], out["ln_final.b"] = torch.ones_like(w), torch.zeros_like(b)
    return out

# %% wrong 02.1: keeps the activation itself, detached but not copied
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}

    def save(activation, hook):
        cache[hook.name] = activation.detach()

    attached = []
    try:
        for name, point in model.hook_dict.items():
            wanted = name == names_filter if isinstance(names_filter, str) else names_filter(name)
            if wanted:
                attached.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, handle in attached:
            point.discard(handle)
    return logits, cache


# %% wrong 02.1: cleans up after Exception only, so Ctrl-C leaves the hooks
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    if isinstance(names_filter, str):
        wanted_name = names_filter
        names_filter = lambda name: name == wanted_name
    cache: dict[str, Tensor] = {}
    attached = []

    def save(activation, hook):
        cache[hook.name] = activation.detach().clone()

    def clean_up():
        while attached:
            point, handle = attached.pop()
            point.discard(handle)

    try:
        for name, point in model.hook_dict.items():
            if names_filter(name):
                attached.append((point, point.add_hook(save)))
        logits = model(tokens)
    except Exception:
        clean_up()
        raise
    clean_up()
    return logits, cache


# %% wrong 02.1: the hook's closure looks the loop's name up too late
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}
    handles = []
    try:
        for name, point in model.hook_dict.items():
            wanted = name == names_filter if isinstance(names_filter, str) else names_filter(name)
            if not wanted:
                continue

            def save(activation, hook):
                cache[name] = activation.detach().clone()

            handles.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
    return logits, cache


# %% wrong 02.1: return inside finally swallows the exception
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    cache: dict[str, Tensor] = {}
    handles = []
    logits = None

    def save(activation, hook):
        cache[hook.name] = activation.clone().detach()

    try:
        for name, point in model.hook_dict.items():
            if name == names_filter or (callable(names_filter) and names_filter(name)):
                handles.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, handle in handles:
            point.discard(handle)
        return logits, cache


# %% right 02.1: with an ExitStack
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    from contextlib import ExitStack

    wanted = names_filter.__eq__ if isinstance(names_filter, str) else names_filter
    cache: dict[str, Tensor] = {}

    def save(activation, hook):
        cache[hook.name] = activation.clone()

    with ExitStack() as stack:
        for name, point in model.hook_dict.items():
            if wanted(name):
                stack.callback(point.discard, point.add_hook(save))
        logits = model(tokens)
    return logits, cache


# %% right 02.1: points chosen first, then try and finally
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    if isinstance(names_filter, str):
        points = {n: p for n, p in model.hook_dict.items() if n == names_filter}
    else:
        points = {n: p for n, p in model.hook_dict.items() if names_filter(n)}
    found = {}
    attached = []

    def saver(name):
        def save(activation, hook):
            found[name] = torch.clone(activation.detach())

        return save

    try:
        for name, point in points.items():
            attached.append((point, point.add_hook(saver(name))))
        return model(tokens), found
    finally:
        for point, handle in reversed(attached):
            point.discard(handle)


# %% wrong 02.2: the future masked with -100
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    s = scores.shape[-1]
    future = torch.ones(s, s, dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(future, -100.0).softmax(dim=-1)


# %% wrong 02.2: own stable softmax whose maximum includes the future
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    scores = scores - scores.amax(dim=-1, keepdim=True)
    weights = scores.exp().tril()
    return weights / weights.sum(dim=-1, keepdim=True)


# %% wrong 02.2: cuts the future off after the softmax without renormalising
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    return torch.tril(torch.softmax(scores, dim=-1))


# %% wrong 02.2: after the transpose the root is taken of the number of positions
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q = cache["q", layer].transpose(1, 2)
    k = cache["k", layer].transpose(1, 2)
    scores = q @ k.transpose(-1, -2) / q.shape[2] ** 0.5
    allowed = torch.ones_like(scores, dtype=torch.bool).tril()
    return torch.where(allowed, scores, float("-inf")).softmax(-1)


# %% right 02.2: einsum and masked_fill
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q, k = cache["q", layer], cache["k", layer]
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5
    s = q.shape[1]
    future = torch.triu(torch.ones(s, s, dtype=torch.bool, device=q.device), diagonal=1)
    return scores.masked_fill(future, float("-inf")).softmax(dim=-1)


# %% right 02.2: one query after another, softmax over what it sees
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    q = cache["q", layer]
    k = cache["k", layer]
    batch, s, heads, d_head = q.shape
    pattern = q.new_zeros(batch, heads, s, s)
    for i in range(s):
        scores = (q[:, i : i + 1] * k[:, : i + 1]).sum(-1) / d_head**0.5  # b k h
        pattern[:, :, i, : i + 1] = scores.softmax(dim=1).transpose(1, 2)
    return pattern


# %% wrong 02.3: shares b_O out among the heads (third set)
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    attn = cache.model.blocks[layer].attn
    z = cache["z", layer]
    return einsum(z, attn.W_O, "b s h e, h e d -> b s h d") + attn.b_O / z.shape[2]


# %% wrong 02.3: reshape instead of transposing back
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    z = cache["z", layer]
    W_O = cache.model.blocks[layer].attn.W_O
    b, s, h, _ = z.shape
    return (z.transpose(1, 2) @ W_O).reshape(b, s, h, W_O.shape[-1])


# %% wrong 02.3: splits a flat W_O as (e h) instead of (h e)
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    z = cache["z", layer]
    flat = cache.model.blocks[layer].attn.W_O.flatten(0, 1)
    W_O = flat.reshape(z.shape[3], z.shape[2], -1)
    return einsum(z, W_O, "b s h e, e h d -> b s h d")


# %% wrong 02.3: transposes the cached tensor in place
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    z = cache["z", layer]
    z.transpose_(1, 2)  # b h s e
    result = z @ cache.model.blocks[layer].attn.W_O
    return result.transpose(1, 2)


# %% right 02.3: with einsum
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    return einsum(cache["z", layer], cache.model.blocks[layer].attn.W_O, "b s h e, h e d -> b s h d")


# %% right 02.3: head by head
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    z = cache["z", layer]
    W_O = cache.model.blocks[layer].attn.W_O
    return torch.stack([z[:, :, h] @ W_O[h] for h in range(W_O.shape[0])], dim=2)


# %% wrong 02.4: attention-only models get components of zeros for their MLPs
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    embed = cache["embed"]
    parts = [embed, cache["pos_embed"].expand_as(embed)]
    labels = ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        parts.append(torch.zeros_like(embed) if cache.model.cfg.attn_only else cache["mlp_out", i])
        labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% wrong 02.4: labels by kind, components in order of writing
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    embed = cache["embed"]
    kinds = ["attn_out"] if cache.model.cfg.attn_only else ["attn_out", "mlp_out"]
    parts = [embed, cache["pos_embed"].expand_as(embed)]
    parts += [cache[kind, i] for i in range(layer) for kind in kinds]
    labels = ["embed", "pos_embed"] + [f"{i}_{kind}" for kind in kinds for i in range(layer)]
    return torch.stack(parts), labels


# %% wrong 02.4: guards the layer index and loses the last layer
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    cfg = cache.model.cfg
    layer = min(layer, cfg.n_layers - 1)  # there is no block n_layers
    embed = cache["embed"]
    named = {"embed": embed, "pos_embed": cache["pos_embed"].expand_as(embed)}
    for i in range(layer):
        named[f"{i}_attn_out"] = cache["attn_out", i]
        if not cfg.attn_only:
            named[f"{i}_mlp_out"] = cache["mlp_out", i]
    return torch.stack(list(named.values())), list(named)


# %% wrong 02.4: adds the layer's own attention, as its MLP reads it
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    cfg = cache.model.cfg
    embed = cache["embed"]
    labels, parts = ["embed", "pos_embed"], [embed, cache["pos_embed"].expand_as(embed)]
    for i in range(cfg.n_layers):
        if i <= layer:
            labels.append(f"{i}_attn_out")
            parts.append(cache["attn_out", i])
        if i < layer and not cfg.attn_only:
            labels.append(f"{i}_mlp_out")
            parts.append(cache["mlp_out", i])
    return torch.stack(parts), labels


# %% right 02.4: a loop that appends
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    embed = cache["embed"]
    parts = [embed, cache["pos_embed"].expand_as(embed)]
    labels = ["embed", "pos_embed"]
    for i in range(layer):
        parts.append(cache["attn_out", i])
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            parts.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(parts), labels


# %% right 02.4: keys first, tensors written into one new tensor
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    kinds = ("attn_out",) if cache.model.cfg.attn_only else ("attn_out", "mlp_out")
    keys = [(kind, i) for i in range(layer) for kind in kinds]
    labels = ["embed", "pos_embed", *(f"{i}_{kind}" for kind, i in keys)]
    embed = cache["embed"]
    stack = embed.new_empty((len(labels), *embed.shape))
    stack[0] = embed
    stack[1] = cache["pos_embed"]
    for row, key in enumerate(keys, start=2):
        stack[row] = cache[key]
    return stack, labels


# %% wrong 02.5: centres the given stack in place (third set)
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    stack -= stack.mean(dim=-1, keepdim=True)
    return stack / scale * ln.w


# %% wrong 02.5: centres after the gain
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    out = stack / scale * ln.w
    return out - out.mean(dim=-1, keepdim=True)


# %% wrong 02.5: every component loses an equal share of the stream's mean
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    stream_mean = stack.sum(dim=0).mean(dim=-1, keepdim=True)
    return (stack - stream_mean / stack.shape[0]) / scale * ln.w


# %% wrong 02.5: takes the deviation of the components' sum, not the given scale
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    centred = stack - stack.mean(dim=-1, keepdim=True)
    std = (centred.sum(dim=0).pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    return centred / std * ln.w


# %% right 02.5: in one line (third set)
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    return (stack - stack.mean(dim=-1, keepdim=True)) / scale * ln.w


# %% right 02.5: component by component (third set)
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    out = []
    for part in stack:
        mean = part.sum(-1, keepdim=True) / part.shape[-1]
        out.append(torch.div(part - mean, scale).mul(ln.w))
    return torch.stack(out, dim=0)


# %% wrong 02.6: reshape where a transpose is meant
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    directions = W_U[:, tokens[1:]].T  # s-1 d
    parts = (stack[:, :-1] * directions).sum(dim=-1)  # c s-1
    return parts.reshape(len(tokens) - 1, stack.shape[0])


# %% wrong 02.6: squeeze drops the axes of two tokens or one component
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    vectors = stack[:, :-1].transpose(0, 1)  # s-1 c d
    directions = W_U.T[tokens[1:]].unsqueeze(-1)  # s-1 d 1
    return (vectors @ directions).squeeze()


# %% wrong 02.6: relative to the mean logit over the vocabulary
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    directions = (W_U - W_U.mean(dim=1, keepdim=True))[:, tokens[1:]]
    return einsum(stack[:, :-1], directions, "c s d, d s -> s c")


# %% wrong 02.6: reads the components at the position of the token itself
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    return einsum(stack[:, 1:], W_U[:, tokens[1:]], "c s d, d s -> s c")


# %% right 02.6: columns of W_U and einsum
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    return einsum(stack[:, :-1], W_U[:, tokens[1:]], "c s d, d s -> s c")


# %% right 02.6: all logits, then gather (third set)
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    logits = stack[:, :-1, :] @ W_U  # c s-1 v
    index = tokens[1:].long()[None, :, None].expand(stack.shape[0], -1, 1)
    return logits.gather(2, index)[..., 0].transpose(0, 1)


# %% wrong 02.7: the first entry lacks the positions
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    streams = [cache["embed"]] + [cache["resid_post", layer] for layer in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(resid)) for resid in streams])


# %% wrong 02.7: the final stream's scale for every layer
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    streams = [cache["embed"] + cache["pos_embed"]]
    streams += [cache["resid_post", layer] for layer in range(model.cfg.n_layers)]
    normed = apply_final_ln(torch.stack(streams), cache["scale"], model.ln_final) + model.ln_final.b
    return torch.stack([model.unembed(x) for x in normed])


# %% wrong 02.7: W_U without b_U
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    streams = [cache["embed"] + cache["pos_embed"]]
    streams += [cache["resid_post", layer] for layer in range(model.cfg.n_layers)]
    return torch.stack([model.ln_final(resid) @ model.unembed.W_U for resid in streams])


# %% wrong 02.7: sums the stream up inside the cached embedding
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    with torch.no_grad():
        resid = cache["embed"]
        resid += cache["pos_embed"]
        out = [model.unembed(model.ln_final(resid))]
        for layer in range(model.cfg.n_layers):
            resid = cache["resid_post", layer]
            out.append(model.unembed(model.ln_final(resid)))
    return torch.stack(out)


# %% right 02.7: the embeddings' sum and each resid_post
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    model = cache.model
    streams = [cache["embed"] + cache["pos_embed"]]
    streams += [cache["resid_post", layer] for layer in range(model.cfg.n_layers)]
    return torch.stack([model.unembed(model.ln_final(resid)) for resid in streams])


# %% right 02.7: from the decomposition, layer by layer
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    def read_out(layer):
        parts, _ = decompose_resid(cache, layer)
        normed = cache.model.ln_final(parts.sum(dim=0))
        return cache.model.unembed(normed)

    return torch.stack(list(map(read_out, range(cache.model.cfg.n_layers + 1))))


# %% wrong 02.8: the biases pass through weights that have the gain already
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)

    def reset(ln):
        new[f"{ln}.w"] = torch.ones_like(state[f"{ln}.w"])
        new[f"{ln}.b"] = torch.zeros_like(state[f"{ln}.b"])

    layer = 0
    while f"blocks.{layer}.ln1.w" in state:
        block = f"blocks.{layer}"
        w, b = state[f"{block}.ln1.w"], state[f"{block}.ln1.b"]
        for x in "QKV":
            new[f"{block}.attn.W_{x}"] = state[f"{block}.attn.W_{x}"] * w[:, None]
            new[f"{block}.attn.b_{x}"] = state[f"{block}.attn.b_{x}"] + einsum(
                b, new[f"{block}.attn.W_{x}"], "d, h d e -> h e"
            )
        reset(f"{block}.ln1")
        if f"{block}.ln2.w" in state:
            w, b = state[f"{block}.ln2.w"], state[f"{block}.ln2.b"]
            new[f"{block}.mlp.W_in"] = state[f"{block}.mlp.W_in"] * w[:, None]
            new[f"{block}.mlp.b_in"] = state[f"{block}.mlp.b_in"] + b @ new[f"{block}.mlp.W_in"]
            reset(f"{block}.ln2")
        layer += 1
    w, b = state["ln_final.w"], state["ln_final.b"]
    new["unembed.W_U"] = state["unembed.W_U"] * w[:, None]
    new["unembed.b_U"] = state["unembed.b_U"] + b @ new["unembed.W_U"]
    reset("ln_final")
    return new


# %% wrong 02.8: a shallow copy, changed in place
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = state.copy()
    with torch.no_grad():
        for name in state:
            if not name.endswith((".ln1.w", ".ln2.w", "ln_final.w")):
                continue
            ln = name[: -len(".w")]
            if ln.endswith("ln1"):
                attn = ln[: -len("ln1")] + "attn."
                readers = [(attn + f"W_{x}", attn + f"b_{x}") for x in "QKV"]
            elif ln.endswith("ln2"):
                mlp = ln[: -len("ln2")] + "mlp."
                readers = [(mlp + "W_in", mlp + "b_in")]
            else:
                readers = [("unembed.W_U", "unembed.b_U")]
            w, b = new[ln + ".w"], new[ln + ".b"]
            for weight, bias in readers:
                new[bias] += (new[weight] * b[:, None]).sum(-2)
                new[weight] *= w[:, None]
            new[ln + ".w"] = torch.ones_like(w)
            new[ln + ".b"] = torch.zeros_like(b)
    return new


# %% wrong 02.8: finds layers of one digit only
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    import re

    new = dict(state)

    def fold(ln, weight, bias):
        w, b = state[ln + ".w"], state[ln + ".b"]
        new[weight] = w[:, None] * state[weight]
        new[bias] = state[bias] + (b[:, None] * state[weight]).sum(dim=-2)
        new[ln + ".w"] = torch.ones_like(w)
        new[ln + ".b"] = torch.zeros_like(b)

    for name in state:
        match = re.fullmatch(r"blocks\.(\d)\.ln([12])\.w", name)
        if match is None:
            continue
        block = f"blocks.{match[1]}"
        if match[2] == "1":
            for x in "QKV":
                fold(f"{block}.ln1", f"{block}.attn.W_{x}", f"{block}.attn.b_{x}")
        else:
            fold(f"{block}.ln2", f"{block}.mlp.W_in", f"{block}.mlp.b_in")
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    return new


# %% wrong 02.8: thinks that the softmax cancels the bias for queries and keys
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)
    for name, w in state.items():
        ln, _, last = name.rpartition(".")
        if last != "w" or ln.rpartition(".")[2] not in ("ln1", "ln2", "ln_final"):
            continue
        b = state[ln + ".b"]
        block = ln.rpartition(".")[0]
        if ln.endswith("ln1"):
            # a constant added to all scores makes no difference, so only the values need the bias
            readers = [("attn.W_Q", None), ("attn.W_K", None), ("attn.W_V", "attn.b_V")]
            readers = [(f"{block}.{x}", y and f"{block}.{y}") for x, y in readers]
        elif ln.endswith("ln2"):
            readers = [(f"{block}.mlp.W_in", f"{block}.mlp.b_in")]
        else:
            readers = [("unembed.W_U", "unembed.b_U")]
        for weight, bias in readers:
            new[weight] = state[weight] * w[:, None]
            if bias:
                new[bias] = state[bias] + b @ state[weight]
        new[name] = torch.ones_like(w)
        new[ln + ".b"] = torch.zeros_like(b)
    return new


# %% right 02.8: one helper and einsum
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = dict(state)

    def fold(ln, readers):
        w, b = state[f"{ln}.w"], state[f"{ln}.b"]
        for weight, bias in readers:
            W = state[weight]
            new[weight] = einsum(W, w, "... d out, d -> ... d out")
            new[bias] = state[bias] + einsum(W, b, "... d out, d -> ... out")
        new[f"{ln}.w"] = torch.ones_like(w)
        new[f"{ln}.b"] = torch.zeros_like(b)

    for name in state:
        if name.endswith(".ln1.w"):
            block = name.removesuffix(".ln1.w")
            fold(f"{block}.ln1", [(f"{block}.attn.W_{x}", f"{block}.attn.b_{x}") for x in "QKV"])
        elif name.endswith(".ln2.w"):
            block = name.removesuffix(".ln2.w")
            fold(f"{block}.ln2", [(f"{block}.mlp.W_in", f"{block}.mlp.b_in")])
    fold("ln_final", [("unembed.W_U", "unembed.b_U")])
    return new


# %% right 02.8: everything copied first, then changed in place in the copy
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = {name: tensor.detach().clone() for name, tensor in state.items()}
    layer = 0
    while f"blocks.{layer}.ln1.w" in new:
        p = f"blocks.{layer}."
        gain, shift = new[p + "ln1.w"], new[p + "ln1.b"]
        for x in ("Q", "K", "V"):
            W, bias = new[p + "attn.W_" + x], new[p + "attn.b_" + x]
            for head in range(W.shape[0]):
                bias[head] += shift @ W[head]
                W[head] *= gain.unsqueeze(1)
        gain.fill_(1.0)
        shift.zero_()
        if p + "ln2.w" in new:
            gain, shift = new[p + "ln2.w"], new[p + "ln2.b"]
            new[p + "mlp.b_in"] += shift @ new[p + "mlp.W_in"]
            new[p + "mlp.W_in"] *= gain.unsqueeze(1)
            gain.fill_(1.0)
            shift.zero_()
        layer += 1
    gain, shift = new["ln_final.w"], new["ln_final.b"]
    new["unembed.b_U"] += shift @ new["unembed.W_U"]
    new["unembed.W_U"] *= gain.unsqueeze(1)
    gain.fill_(1.0)
    shift.zero_()
    return new
