# %% wrong pre.1: reshapes straight to the new axes, no transpose
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    batch, pos, d_model = x.shape
    return x.reshape(batch, n_heads, pos, d_model // n_heads)


# %% wrong pre.1: the heads are interleaved (d_head outer, head inner)
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    return rearrange(x, "batch pos (d_head head) -> batch head pos d_head", head=n_heads)


# %% wrong pre.1: split() is given the number of heads as the chunk size
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    return torch.stack(x.split(n_heads, dim=-1), dim=1)


# %% wrong pre.1: view over batch and pos at once, fails when x is a transposed (non-contiguous) tensor
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    batch, pos, d_model = x.shape
    flat = x.view(batch * pos, n_heads, d_model // n_heads)
    return flat.reshape(batch, pos, n_heads, -1).transpose(1, 2)


# %% wrong pre.1: transposes first, then reshapes across the position axis
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    batch, pos, d_model = x.shape
    return x.transpose(1, 2).reshape(batch, n_heads, pos, d_model // n_heads)


# %% right pre.1: rearrange
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    return rearrange(x, "batch pos (head d_head) -> batch head pos d_head", head=n_heads)


# %% right pre.1: slices stacked in a comprehension
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    d_head = x.shape[-1] // n_heads
    heads = [x[:, :, h * d_head : (h + 1) * d_head] for h in range(n_heads)]
    return torch.stack(heads, dim=1)


# %% wrong pre.2: zeroes the padding but divides by the full length
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    mean = (x * is_real[..., None]).mean(dim=1, keepdim=True)
    return x - mean


# %% wrong pre.2: takes the mean off at real positions only
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    real = is_real[..., None].to(x.dtype)
    mean = (x * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
    return torch.where(is_real[..., None], x - mean, x)


# %% wrong pre.2: one mean for the whole batch
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    return x - x[is_real].mean(dim=0)


# %% wrong pre.2: takes the padding to be on the right
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    rows = []
    for text, real in zip(x, is_real):
        n = int(real.sum())
        rows.append(text - text[:n].mean(dim=0))
    return torch.stack(rows)


# %% wrong pre.2: counts the entries that are not zero instead of the real positions
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    kept = x.masked_fill(~is_real[..., None], 0.0)
    count = (kept != 0).sum(dim=1, keepdim=True).clamp(min=1)
    return x - kept.sum(dim=1, keepdim=True) / count


# %% right pre.2: masked sum over count
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    total = x.masked_fill(~is_real.unsqueeze(-1), 0.0).sum(dim=1, keepdim=True)
    count = is_real.sum(dim=1)[:, None, None]
    return x - total / count


# %% right pre.2: text by text
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    return torch.stack([text - text[real].mean(dim=0) for text, real in zip(x, is_real)])


# %% wrong pre.3: query and key axes the wrong way round
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    products = (q[:, :, None] * k[:, None, :]).sum(dim=-1)  # batch query key head
    return products.transpose(1, -1)


# %% wrong pre.3: already divides by the root of d_head
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    scores = einsum(q, k, "batch query head d, batch key head d -> batch head query key")
    return scores / q.shape[-1] ** 0.5


# %% wrong pre.3: reshape where the axes should be swapped
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    b, n_q, h, d = q.shape
    n_k = k.shape[1]
    q = q.reshape(b, h, n_q, d)
    k = k.reshape(b, h, n_k, d)
    return q @ k.transpose(-1, -2)


# %% wrong pre.3: a new letter for the batch of k, so all texts are summed
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    return torch.einsum("bqhd,nkhd->bhqk", q, k)


# %% wrong pre.3: takes as many keys as there are queries
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    batch, n, heads, _ = q.shape
    out = q.new_zeros(batch, heads, n, n)
    for i in range(n):
        for j in range(n):
            out[:, :, i, j] = (q[:, i] * k[:, j]).sum(-1)
    return out


# %% right pre.3: einops einsum
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    return einsum(q, k, "batch query head d, batch key head d -> batch head query key")


# %% right pre.3: permute and matmul
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    return q.permute(0, 2, 1, 3) @ k.permute(0, 2, 3, 1)


# %% wrong pre.4: subtracts the maximum of the whole tensor
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    e = torch.exp(scores - scores.max())
    return e / e.sum(dim=-1, keepdim=True)


# %% wrong pre.4: the axis is 1, not the last
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    e = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
    return e / e.sum(dim=1, keepdim=True)


# %% wrong pre.4: clamps the scores against overflow
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    e = scores.clamp(max=80.0).exp()
    return e / e.sum(dim=-1, keepdim=True)


# %% wrong pre.4: subtracts the mean instead of the maximum
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    e = torch.exp(scores - scores.mean(dim=-1, keepdim=True))
    return e / e.sum(dim=-1, keepdim=True)


# %% wrong pre.4: puts -10000 for -inf, though real scores may lie lower
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    finite = scores.masked_fill(scores == float("-inf"), -1e4)
    e = torch.exp(finite - finite.amax(dim=-1, keepdim=True))
    return e / e.sum(dim=-1, keepdim=True)


# %% right pre.4: the library's
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    return torch.softmax(scores, dim=-1)


# %% right pre.4: shifted by the maximum of each row
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    top, _ = scores.max(dim=-1, keepdim=True)
    weights = (scores - top).exp()
    return weights / weights.sum(dim=-1, keepdim=True)


# %% wrong pre.5: log of softmax plus a small number
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    probs = torch.softmax(logits, dim=-1)
    p = probs.gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)
    return -torch.log(p + 1e-9)


# %% wrong pre.5: in bits
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    log_z = torch.log2(shifted.exp().sum(dim=-1))
    picked = shifted.gather(-1, targets.long()[..., None])[..., 0]
    return log_z - picked / torch.log(torch.tensor(2.0))


# %% wrong pre.5: reshape to bring the vocabulary to axis 1
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    batch, pos, d_vocab = logits.shape
    return torch.nn.functional.cross_entropy(
        logits.reshape(batch, d_vocab, pos), targets.long(), reduction="none"
    )


# %% wrong pre.5: target 0 counts as padding
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    return torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), targets.long(), reduction="none", ignore_index=0
    )


# %% wrong pre.5: one maximum for all rows, a row far below gives log 0
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    shifted = logits - logits.max()
    log_z = shifted.exp().sum(dim=-1).log()
    picked = shifted.gather(-1, targets.long()[..., None])[..., 0]
    return log_z - picked


# %% right pre.5: log_softmax and gather
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    log_probs = torch.log_softmax(logits, dim=-1)
    return -log_probs.gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)


# %% right pre.5: by hand, with each row's maximum and plain indexing
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    batch, pos, _ = logits.shape
    shifted = logits - logits.max(dim=-1, keepdim=True).values
    rows = torch.arange(batch, device=logits.device)[:, None]
    cols = torch.arange(pos, device=logits.device)[None, :]
    return shifted.exp().sum(dim=-1).log() - shifted[rows, cols, targets.long()]


# %% wrong pre.6: the positions of the first text for all texts
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    return x[:, positions[0]]


# %% wrong pre.6: gathers one feature and expands it over d
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    return x.gather(1, positions.long()[..., None]).expand(-1, -1, x.shape[-1])


# %% wrong pre.6: sorts the positions
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    return torch.stack([text[where.sort().values] for text, where in zip(x, positions)])


# %% wrong pre.6: stacks column by column, nothing to stack when n is 0
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    batch, n = positions.shape
    rows = torch.arange(batch, device=x.device)
    return torch.stack([x[rows, positions[:, i]] for i in range(n)], dim=1)


# %% wrong pre.6: flat index with a stride of n instead of pos
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    batch, n = positions.shape
    flat = rearrange(x, "batch pos d -> (batch pos) d")
    offset = torch.arange(batch, device=x.device)[:, None] * n
    return flat[positions + offset]


# %% right pre.6: advanced indexing
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    return x[rows, positions.long()]


# %% right pre.6: gather with the index widened
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    index = positions.long()[:, :, None].expand(-1, -1, x.shape[2])
    return torch.gather(x, 1, index)


# %% wrong pre.7: takes the direction to be of length 1
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    along = einsum(x, direction, "... d, d -> ...")
    return x - along[..., None] * direction


# %% wrong pre.7: divides by the length once, not twice
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    along = (x @ direction) / direction.norm()
    return x - along.unsqueeze(-1) * direction


# %% wrong pre.7: a small number in the denominator, matters for short directions
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    unit = direction / (direction.norm() + 1e-6)
    return x - (x @ unit)[..., None] * unit


# %% wrong pre.7: outer product, works for a matrix only
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    unit = direction / direction.norm()
    return x - torch.outer(x @ unit, unit)


# %% wrong pre.7: one coefficient summed over all vectors
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    unit = direction / direction.norm()
    return x - (x * unit).sum() * unit


# %% right pre.7: unit vector, rescaled first so that no square underflows
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    unit = direction / direction.abs().max()
    unit = unit / unit.norm()
    return x - (x * unit).sum(dim=-1, keepdim=True) * unit


# %% right pre.7: projection matrix
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    scaled = direction / direction.abs().amax()
    onto = torch.outer(scaled, scaled) / torch.dot(scaled, scaled)
    keep = torch.eye(len(direction), dtype=x.dtype, device=x.device) - onto
    return x @ keep


# %% wrong pre.8: the map for column vectors (transposed)
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    W = second.T @ first.T
    s = torch.linalg.svdvals(W)
    return W, int((s > 1e-4 * s.max()).sum())


# %% wrong pre.8: 1e-4 as an absolute threshold
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    W = first @ second
    return W, int((torch.linalg.svdvals(W) > 1e-4).sum())


# %% wrong pre.8: >= gives the zero map full rank
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    W = einsum(first, second, "i mid, mid j -> i j")
    s = torch.linalg.svdvals(W)
    return W, (s >= 1e-4 * s[0]).sum().item()


# %% wrong pre.8: the smaller of the two ranks
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    def rank(m):
        s = torch.linalg.svdvals(m)
        return int((s > 1e-4 * s.max()).sum())

    return first @ second, min(rank(first), rank(second))


# %% wrong pre.8: counts eigenvalues instead of singular values
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    W = first @ second
    size = torch.linalg.eigvals(W).abs()
    return W, int((size > 1e-4 * size.max()).sum())


# %% right pre.8: svdvals and count
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    W = first @ second
    s = torch.linalg.svdvals(W)
    return W, int((s > 1e-4 * s.max()).sum())


# %% right pre.8: einsum and matrix_rank with rtol
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    W = torch.einsum("im,mj->ij", first, second)
    rank = torch.linalg.matrix_rank(W, atol=0.0, rtol=1e-4)
    return W, int(rank.item())

# %% wrong pre.1: takes the heads to be the inner axis of d_model
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    return rearrange(x, "b p (e h) -> b h p e", h=n_heads)


# %% wrong pre.1: as_strided with the strides of a contiguous tensor
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    batch, pos, d_model = x.shape
    d_head = d_model // n_heads
    return x.as_strided((batch, n_heads, pos, d_head), (pos * d_model, d_head, d_model, 1))


# %% wrong pre.1: split takes the size of a piece, not the number of pieces
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    return torch.stack(x.split(n_heads, dim=-1), dim=1)


# %% wrong pre.1: squeezes the axis of a single head, and a batch of one with it
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    d_head = x.shape[-1] // n_heads
    heads = x.unflatten(-1, (n_heads, d_head))
    return torch.stack([heads[:, :, h : h + 1].squeeze() for h in range(n_heads)], dim=-3)


# %% right pre.1: rearrange (third set)
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    return rearrange(x, "b p (h e) -> b h p e", h=n_heads)


# %% right pre.1: slices, stacked
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    size = x.shape[2] // n_heads
    slices = []
    for h in range(n_heads):
        slices.append(x[:, :, h * size : (h + 1) * size])
    return torch.stack(slices, dim=1)


# %% wrong pre.2: zeroes the padding but divides by all positions
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    real = x.masked_fill(~is_real[:, :, None], 0.0)
    return x - real.mean(dim=1, keepdim=True)


# %% wrong pre.2: takes the padding to be on the right (third set)
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    lengths = is_real.sum(dim=1).tolist()
    return torch.stack([text - text[:n].mean(dim=0) for text, n in zip(x, lengths)])


# %% wrong pre.2: leaves the padding as it was
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    out = x.clone()
    for b in range(x.shape[0]):
        real = x[b, is_real[b]]
        out[b, is_real[b]] = real - real.mean(dim=0)
    return out


# %% wrong pre.2: one mean over the real positions of the whole batch
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    mean = x[is_real].mean(dim=0)
    return x - mean


# %% right pre.2: weights and einsum
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    weights = is_real.to(x.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True)
    real = torch.where(is_real[:, :, None], x, torch.zeros_like(x))
    mean = einsum(real, weights, "b p d, b p -> b d")
    return x - mean[:, None, :]


# %% right pre.2: text by text (third set)
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    out = torch.empty_like(x)
    for b in range(len(x)):
        out[b] = x[b] - x[b][is_real[b]].mean(dim=0)
    return out


# %% wrong pre.3: scales as attention does
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    return einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5


# %% wrong pre.3: sums over the heads of the keys
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    return einsum(q, k, "b q h e, b k g e -> b h q k")


# %% wrong pre.3: batch and head fall apart in another order than they were joined
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    flat_q = rearrange(q, "b q h e -> (b h) q e")
    flat_k = rearrange(k, "b k h e -> (b h) e k")
    return rearrange(torch.bmm(flat_q, flat_k), "(h b) q k -> b h q k", h=q.shape[2])


# %% wrong pre.3: as many keys as there are queries
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    batch, pos, heads, _ = q.shape
    out = q.new_zeros(batch, heads, pos, pos)
    for i in range(pos):
        for j in range(pos):
            out[:, :, i, j] = (q[:, i] * k[:, j]).sum(dim=-1)
    return out


# %% right pre.3: einsum
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    return einsum(q, k, "b q h e, b k h e -> b h q k")


# %% right pre.3: permuted matmul
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    return torch.matmul(q.permute(0, 2, 1, 3), k.permute(0, 2, 3, 1))


# %% wrong pre.4: one maximum for all rows
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    exp = (scores - scores.max()).exp()
    return exp / exp.sum(dim=-1, keepdim=True)


# %% wrong pre.4: leaves the choice of the axis to torch
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    return torch.nn.functional.softmax(scores)


# %% wrong pre.4: subtracts the largest absolute value
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    largest = scores.abs().amax(dim=-1, keepdim=True)
    exp = torch.exp(scores - largest)
    return exp / exp.sum(dim=-1, keepdim=True)


# %% wrong pre.4: stands -1e4 in for -inf, where others may be lower still
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    scores = scores.masked_fill(scores == float("-inf"), -1e4)
    exp = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return exp / exp.sum(dim=-1, keepdim=True)


# %% right pre.4: by the maximum of each row
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    top = scores.max(dim=-1, keepdim=True).values
    weights = torch.exp(scores - top)
    return weights / weights.sum(dim=-1, keepdim=True)


# %% right pre.4: logsumexp
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    return (scores - torch.logsumexp(scores, dim=-1, keepdim=True)).exp()


# %% wrong pre.5: finite by a small number inside the log
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    probs = logits.softmax(dim=-1)
    picked = probs.gather(-1, targets.long()[:, :, None])[:, :, 0]
    return -(picked + 1e-9).log()


# %% wrong pre.5: in bits (third set)
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    log_probs = logits.log_softmax(dim=-1)
    nats = -log_probs.gather(-1, targets.long()[:, :, None])[:, :, 0]
    return nats / torch.log(torch.tensor(2.0))


# %% wrong pre.5: reshapes where the class axis has to be moved
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    batch, pos, d_vocab = logits.shape
    return torch.nn.functional.cross_entropy(
        logits.reshape(batch, d_vocab, pos), targets.long(), reduction="none"
    )


# %% wrong pre.5: shifts all rows by one maximum, so that low rows underflow
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    shifted = logits - logits.max()
    log_z = shifted.exp().sum(dim=-1).log()
    picked = torch.gather(shifted, 2, targets.long().unsqueeze(-1)).squeeze(-1)
    return log_z - picked


# %% right pre.5: logsumexp less the target's logit
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    rows = torch.arange(logits.shape[0], device=logits.device)[:, None]
    cols = torch.arange(logits.shape[1], device=logits.device)[None, :]
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    return shifted.exp().sum(dim=-1).log() - shifted[rows, cols, targets.long()]


# %% right pre.5: log_softmax and gather (third set)
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    return -logits.log_softmax(-1).gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)


# %% wrong pre.6: a boolean mask forgets order and repeats
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    wanted = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
    wanted.scatter_(1, positions.long(), True)
    return x[wanted].reshape(x.shape[0], positions.shape[1], x.shape[2])


# %% wrong pre.6: flat indices whose step is n, not the number of positions
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    batch, n = positions.shape
    start = torch.arange(batch, device=x.device)[:, None] * n
    return x.reshape(-1, x.shape[-1])[start + positions]


# %% wrong pre.6: gather without spreading the index over d
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    return x.gather(1, positions.long().unsqueeze(-1))


# %% wrong pre.6: stacks one by one, and has nothing to stack when n is 0
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    return torch.stack([torch.stack([x[b, i] for i in row]) for b, row in enumerate(positions.tolist())])


# %% right pre.6: two index tensors
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    return x[torch.arange(x.shape[0], device=x.device)[:, None], positions.long()]


# %% right pre.6: a loop that fills
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    batch, n = positions.shape
    out = x.new_zeros(batch, n, x.shape[-1])
    for b in range(batch):
        for i in range(n):
            out[b, i] = x[b, int(positions[b, i])]
    return out


# %% wrong pre.7: divides by the length once, not twice (third set)
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    along = (x @ direction) / direction.norm()
    return x - along[..., None] * direction


# %% wrong pre.7: a small number in the denominator, which short directions feel
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    unit = direction / (direction.norm() + 1e-6)
    return x - (x @ unit).unsqueeze(-1) * unit


# %% wrong pre.7: takes off only what points the same way
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    unit = direction / direction.norm()
    along = (x @ unit).clamp(min=0)
    return x - along[..., None] * unit


# %% wrong pre.7: flattens the leading axes and does not restore them
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    unit = direction / direction.norm()
    rows = x.reshape(-1, x.shape[-1])
    return rows - torch.outer(rows @ unit, unit)


# %% right pre.7: unit vector, scaled first so that no square under- or overflows
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    unit = direction / direction.abs().max()
    unit = unit / unit.norm()
    return x - (x * unit).sum(dim=-1, keepdim=True) * unit


# %% right pre.7: the projection as a matrix
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    u = direction / direction.abs().max()
    u = u / (u @ u).sqrt()
    keep = torch.eye(len(u), dtype=u.dtype, device=u.device) - torch.outer(u, u)
    return x @ keep


# %% wrong pre.8: the library's own tolerance for the rank
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    w = first @ second
    return w, int(torch.linalg.matrix_rank(w))


# %% wrong pre.8: at least instead of above, so that a zero map has full rank
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    w = first @ second
    s = torch.linalg.svdvals(w)
    return w, int((s >= 1e-4 * s.max()).sum())


# %% wrong pre.8: the smaller of the two ranks (third set)
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    ranks = []
    for part in (first, second):
        s = torch.linalg.svdvals(part)
        ranks.append(int((s > 1e-4 * s[0]).sum()))
    return first @ second, min(ranks)


# %% wrong pre.8: counts squared singular values by the threshold of plain ones
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    w = first @ second
    s = torch.linalg.eigvalsh(w.T @ w)
    return w, int((s > 1e-4 * s.max()).sum())


# %% right pre.8: singular values
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    w = first @ second
    _, s, _ = torch.linalg.svd(w)
    return w, sum(1 for value in s.tolist() if value > 1e-4 * s[0].item())


# %% right pre.8: matrix_rank with a relative tolerance
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    w = einsum(first, second, "i m, m j -> i j")
    return w, int(torch.linalg.matrix_rank(w, rtol=1e-4).item())
