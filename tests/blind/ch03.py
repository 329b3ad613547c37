# %% wrong 03.1: BOS can be among the random tokens
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab, (batch, n))
    return torch.cat([torch.full((batch, 1), bos), half, half], 1)

# %% wrong 03.1: assumes that BOS is 0
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(1, d_vocab, (batch, n))
    return torch.cat([torch.full((batch, 1), bos), half, half], 1)

# %% wrong 03.1: the last id is never drawn
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 2, (batch, n))
    half = half + (half >= bos)
    return torch.cat([torch.full((batch, 1), bos), half, half], 1)

# %% wrong 03.1: the same tokens in every row
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (n,))
    half = half + (half >= bos)
    row = torch.cat([torch.tensor([bos]), half, half])
    return row.repeat(batch, 1)

# %% wrong 03.1: drawn without replacement
def repeated_tokens(d_vocab, n, batch, bos):
    rows = []
    for _ in range(batch):
        half = torch.randperm(d_vocab - 1)[:n]
        half = half + (half >= bos)
        rows.append(torch.cat([torch.tensor([bos]), half, half]))
    return torch.stack(rows)

# %% wrong 03.1: BOS replaced by its neighbour, which then comes twice as often
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab, (batch, n))
    half[half == bos] = (bos + 1) % d_vocab
    return torch.cat([torch.full((batch, 1), bos), half, half], 1)

# %% wrong 03.1: no BOS in front
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos)
    return half.repeat(1, 2)

# %% wrong 03.1: the second half is drawn anew
def repeated_tokens(d_vocab, n, batch, bos):
    def half():
        h = torch.randint(0, d_vocab - 1, (batch, n))
        return h + (h >= bos)

    return torch.cat([torch.full((batch, 1), bos), half(), half()], 1)

# %% wrong 03.1: BOS before each half
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos)
    with_bos = torch.cat([torch.full((batch, 1), bos), half], 1)
    return torch.cat([with_bos, with_bos], 1)

# %% wrong 03.1: each token twice in a row, not the half twice
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos)
    return torch.cat([torch.full((batch, 1), bos), half.repeat_interleave(2, dim=1)], 1)

# %% wrong 03.1: sets the seed inside: the same "random" tokens each time
def repeated_tokens(d_vocab, n, batch, bos):
    torch.manual_seed(0)
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos)
    return torch.cat([torch.full((batch, 1), bos), half, half], 1)

# %% wrong 03.1: floats
def repeated_tokens(d_vocab, n, batch, bos):
    out = torch.zeros(batch, 2 * n + 1)
    out[:, 0] = bos
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos)
    out[:, 1 : n + 1] = half
    out[:, n + 1 :] = half
    return out

# %% wrong 03.1: > instead of >=, so BOS itself comes and the next id does not
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half > bos)
    return torch.cat([torch.full((batch, 1), bos), half, half], 1)

# %% wrong 03.1: rounding a uniform number: first and last id come half as often
def repeated_tokens(d_vocab, n, batch, bos):
    half = (torch.rand(batch, n) * (d_vocab - 2)).round().long()
    half = half + (half >= bos)
    return torch.cat([torch.full((batch, 1), bos), half, half], 1)

# %% right 03.1: randint with a gap at BOS
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos).long()
    start = torch.full((batch, 1), bos, dtype=torch.int64)
    return torch.cat([start, half, half], dim=1)

# %% right 03.1: from a list of allowed ids
def repeated_tokens(d_vocab, n, batch, bos):
    allowed = torch.tensor([i for i in range(d_vocab) if i != bos])
    half = allowed[torch.randint(len(allowed), (batch, n))]
    out = torch.empty(batch, 1 + 2 * n, dtype=torch.long)
    out[:, 0] = bos
    out[:, 1 : n + 1] = half
    out[:, n + 1 :] = half
    return out

# %% right 03.1: multinomial
def repeated_tokens(d_vocab, n, batch, bos):
    weights = torch.ones(batch, d_vocab)
    weights[:, bos] = 0
    half = torch.multinomial(weights, n, replacement=True)
    return torch.nn.functional.pad(half.repeat(1, 2), (1, 0), value=bos)

# %% right 03.1: drawing again where BOS came
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(d_vocab, (batch, n))
    while (half == bos).any():
        half = torch.where(half == bos, torch.randint(d_vocab, (batch, n)), half)
    return torch.hstack([torch.full((batch, 1), bos), half, half])

# %% right 03.1: the random module
def repeated_tokens(d_vocab, n, batch, bos):
    import random

    ids = [i for i in range(d_vocab) if i != bos]
    rows = []
    for _ in range(batch):
        half = random.choices(ids, k=n)
        rows.append([bos, *half, *half])
    return torch.tensor(rows, dtype=torch.int64)

# %% wrong 03.2: the unforeseeable first token counts in the second half
def loss_by_half(loss, n):
    return loss[:, :n].mean(1), loss[:, n:].mean(1)

# %% wrong 03.2: the unforeseeable token counts in the first half
def loss_by_half(loss, n):
    return loss[:, : n + 1].mean(1), loss[:, n + 1 :].mean(1)

# %% wrong 03.2: thinks that loss[:, i] is the loss of token i
def loss_by_half(loss, n):
    return loss[:, 1 : n + 1].mean(1), loss[:, n + 2 :].mean(1)

# %% wrong 03.2: the last prediction is left out
def loss_by_half(loss, n):
    return loss[:, :n].mean(1), loss[:, n + 1 : 2 * n - 1].mean(1)

# %% wrong 03.2: mean over the batch too
def loss_by_half(loss, n):
    return loss[:, :n].mean(), loss[:, n + 1 :].mean()

# %% wrong 03.2: sums
def loss_by_half(loss, n):
    return loss[:, :n].sum(1), loss[:, n + 1 :].sum(1)

# %% wrong 03.2: the second sum is divided by n, though it has n - 1 terms
def loss_by_half(loss, n):
    return loss[:, :n].sum(1) / n, loss[:, n + 1 :].sum(1) / n

# %% wrong 03.2: the first token of the first half is left out as well
def loss_by_half(loss, n):
    return loss[:, 1:n].mean(-1), loss[:, n + 1 :].mean(-1)

# %% wrong 03.2: swapped
def loss_by_half(loss, n):
    first, second = loss[:, :n].mean(-1), loss[:, n + 1 :].mean(-1)
    return second, first

# %% wrong 03.2: mean over the batch axis, positions stay
def loss_by_half(loss, n):
    return loss[:, :n].mean(0), loss[:, n + 1 :].mean(0)

# %% wrong 03.2: lists of floats
def loss_by_half(loss, n):
    return [r[:n].mean().item() for r in loss], [r[n + 1 :].mean().item() for r in loss]

# %% wrong 03.2: one stacked tensor [2, b] of which the first row lacks its last token
def loss_by_half(loss, n):
    return torch.stack([loss[:, : n - 1].mean(1), loss[:, n + 1 :].mean(1)])

# %% right 03.2: slices
def loss_by_half(loss, n):
    return loss[:, :n].mean(dim=1), loss[:, n + 1 :].mean(dim=1)

# %% right 03.2: split
def loss_by_half(loss, n):
    first, _, second = loss.split([n, 1, n - 1], dim=-1)
    return first.mean(-1), second.mean(-1)

# %% right 03.2: sums by the tokens' positions
def loss_by_half(loss, n):
    token = torch.arange(1, 2 * n + 1, device=loss.device)
    first = (token <= n).to(loss.dtype)
    second = (token >= n + 2).to(loss.dtype)
    return loss @ first / first.sum(), loss @ second / second.sum()

# %% right 03.2: row by row
def loss_by_half(loss, n):
    rows = [(row[:n].mean(), row[n + 1 :].mean()) for row in loss]
    return torch.stack([a for a, _ in rows]), torch.stack([b for _, b in rows])

# %% wrong 03.3: query 0 counts for "current" and "first"
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(-1, -2, -1).mean((0, -1)),
        "current": pattern.diagonal(0, -2, -1).mean((0, -1)),
        "first": pattern[..., 0].mean((0, -1)),
    }

# %% wrong 03.3: "prev" divides by all the queries
def positional_scores(pattern):
    s = pattern.shape[-1]
    return {
        "prev": pattern.diagonal(-1, -2, -1).sum(-1).mean(0) / s,
        "current": pattern.diagonal(0, -2, -1)[..., 1:].mean((0, -1)),
        "first": pattern[..., 1:, 0].mean((0, -1)),
    }

# %% wrong 03.3: the diagonal above, which the mask leaves empty
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(1, -2, -1).mean((0, -1)),
        "current": pattern.diagonal(0, -2, -1)[..., 1:].mean((0, -1)),
        "first": pattern[..., 1:, 0].mean((0, -1)),
    }

# %% wrong 03.3: "first" skips query 1, whose previous token is token 0
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(-1, -2, -1)[..., 1:].mean((0, -1)),
        "current": pattern.diagonal(0, -2, -1)[..., 1:].mean((0, -1)),
        "first": pattern[..., 2:, 0].mean((0, -1)),
    }

# %% wrong 03.3: row 0 of the keys instead of column 0
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(-1, -2, -1).mean((0, -1)),
        "current": pattern.diagonal(0, -2, -1)[..., 1:].mean((0, -1)),
        "first": pattern[..., 0, 1:].mean((0, -1)),
    }

# %% wrong 03.3: mean over the heads too
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(-1, -2, -1).mean(),
        "current": pattern.diagonal(0, -2, -1)[..., 1:].mean(),
        "first": pattern[..., 1:, 0].mean(),
    }

# %% wrong 03.3: batch axis stays
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(-1, -2, -1).mean(-1),
        "current": pattern.diagonal(0, -2, -1)[..., 1:].mean(-1),
        "first": pattern[..., 1:, 0].mean(-1),
    }

# %% wrong 03.3: only the first row of the batch
def positional_scores(pattern):
    p = pattern[0]
    return {
        "prev": p.diagonal(-1, -2, -1).mean(-1),
        "current": p.diagonal(0, -2, -1)[..., 1:].mean(-1),
        "first": p[..., 1:, 0].mean(-1),
    }

# %% wrong 03.3: diagonal over batch and head (the default axes)
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(-1).mean((0, 1)),
        "current": pattern.diagonal()[1:].mean((0, 1)),
        "first": pattern[..., 1:, 0].mean((0, -1)),
    }

# %% wrong 03.3: a tuple, not a dictionary
def positional_scores(pattern):
    return (
        pattern.diagonal(-1, -2, -1).mean((0, -1)),
        pattern.diagonal(0, -2, -1)[..., 1:].mean((0, -1)),
        pattern[..., 1:, 0].mean((0, -1)),
    )

# %% wrong 03.3: "current" leaves out the last query instead of the first
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(-1, -2, -1).mean((0, -1)),
        "current": pattern.diagonal(0, -2, -1)[..., :-1].mean((0, -1)),
        "first": pattern[..., 1:, 0].mean((0, -1)),
    }

# %% wrong 03.3: zeroes query 0 in the given pattern
def positional_scores(pattern):
    s = pattern.shape[-1]
    pattern[:, :, 0] = 0
    return {
        "prev": pattern.diagonal(-1, -2, -1).sum(-1).mean(0) / (s - 1),
        "current": pattern.diagonal(0, -2, -1).sum(-1).mean(0) / (s - 1),
        "first": pattern[..., 0].sum(-1).mean(0) / (s - 1),
    }

# %% right 03.3: diagonals
def positional_scores(pattern):
    return {
        "prev": pattern.diagonal(-1, -2, -1).mean((0, -1)),
        "current": pattern.diagonal(0, -2, -1)[..., 1:].mean((0, -1)),
        "first": pattern[..., 1:, 0].mean((0, -1)),
    }

# %% right 03.3: indices
def positional_scores(pattern):
    q = torch.arange(1, pattern.shape[2], device=pattern.device)
    keys = {"prev": q - 1, "current": q, "first": torch.zeros_like(q)}
    return {name: pattern[:, :, q, k].mean(dim=(0, 2)) for name, k in keys.items()}

# %% right 03.3: loop over queries
def positional_scores(pattern):
    mean = pattern.mean(0)
    s = mean.shape[-1]
    out = {name: torch.zeros(mean.shape[0], dtype=mean.dtype) for name in ("first", "current", "prev")}
    for i in range(1, s):
        out["first"] += mean[:, i, 0] / (s - 1)
        out["current"] += mean[:, i, i] / (s - 1)
        out["prev"] += mean[:, i, i - 1] / (s - 1)
    return out

# %% right 03.3: masks
def positional_scores(pattern):
    b, h, s, _ = pattern.shape
    rest = pattern[:, :, 1:]
    prev = torch.eye(s)[: s - 1]
    current = torch.eye(s)[1:]
    first = torch.zeros(s - 1, s)
    first[:, 0] = 1
    masks = dict(prev=prev, current=current, first=first)
    return {k: (rest * m.to(rest)).sum((0, 2, 3)) / (b * (s - 1)) for k, m in masks.items()}

# %% wrong 03.4: the diagonal begins at query n, which looks at BOS
def duplicate_score(pattern, n):
    return pattern.diagonal(-n, -2, -1).mean((0, -1))

# %% wrong 03.4: forgets BOS: queries n..2n-1
def duplicate_score(pattern, n):
    q = torch.arange(n, 2 * n)
    return pattern[:, :, q, q - n].mean((0, -1))

# %% wrong 03.4: offset n - 1: what followed (the induction score)
def duplicate_score(pattern, n):
    return pattern.diagonal(1 - n, -2, -1)[..., -n:].mean((0, -1))

# %% wrong 03.4: offset n + 1
def duplicate_score(pattern, n):
    return pattern.diagonal(-n - 1, -2, -1).mean((0, -1))

# %% wrong 03.4: all keys of the first half, not only the same token
def duplicate_score(pattern, n):
    return pattern[:, :, n + 1 :, 1 : n + 1].mean((0, 2, 3))

# %% wrong 03.4: upper diagonal
def duplicate_score(pattern, n):
    return pattern.diagonal(n, -2, -1)[..., 1:].mean((0, -1))

# %% wrong 03.4: the last query is left out
def duplicate_score(pattern, n):
    return pattern.diagonal(-n, -2, -1)[..., 1:-1].mean((0, -1))

# %% wrong 03.4: the sum over the queries
def duplicate_score(pattern, n):
    return pattern.diagonal(-n, -2, -1)[..., 1:].sum(-1).mean(0)

# %% wrong 03.4: mean over the heads, per row
def duplicate_score(pattern, n):
    return pattern.diagonal(-n, -2, -1)[..., 1:].mean((1, -1))

# %% wrong 03.4: only the first row
def duplicate_score(pattern, n):
    return pattern[0].diagonal(-n, -2, -1)[..., 1:].mean(-1)

# %% wrong 03.4: divides by all 2n + 1 queries
def duplicate_score(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    return pattern[:, :, q, q - n].sum(-1).mean(0) / pattern.shape[-2]

# %% wrong 03.4: bare squeeze: one head gives a 0-d tensor
def duplicate_score(pattern, n):
    return pattern.diagonal(-n, -2, -1)[..., 1:].mean(-1).mean(0).squeeze()

# %% right 03.4: diagonal without its first entry
def duplicate_score(pattern, n):
    return pattern.diagonal(offset=-n, dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, -1))

# %% right 03.4: indices
def duplicate_score(pattern, n):
    first = torch.arange(1, n + 1)
    return pattern[:, :, first + n, first].mean(-1).mean(0)

# %% right 03.4: the block of second half against first half
def duplicate_score(pattern, n):
    block = pattern[:, :, n + 1 :, 1 : n + 1]
    return torch.einsum("bhii->h", block) / (pattern.shape[0] * n)

# %% right 03.4: python loop
def duplicate_score(pattern, n):
    total = sum(pattern[:, :, n + i, i] for i in range(1, n + 1))
    return (total / n).mean(dim=0)

# %% wrong 03.5: the whole diagonal, also queries of the first half
def induction_score(pattern, n):
    return pattern.diagonal(1 - n, -2, -1).mean((0, -1))

# %% wrong 03.5: one query too many: begins at query n
def induction_score(pattern, n):
    return pattern.diagonal(1 - n, -2, -1)[..., 1:].mean((0, -1))

# %% wrong 03.5: looks at the same token (the duplicate score)
def induction_score(pattern, n):
    return pattern.diagonal(-n, -2, -1)[..., 1:].mean((0, -1))

# %% wrong 03.5: the token before, offset n + 1
def induction_score(pattern, n):
    return pattern.diagonal(-n - 1, -2, -1).mean((0, -1))

# %% wrong 03.5: the last query is left out, since what followed lies in the second half
def induction_score(pattern, n):
    q = torch.arange(n + 1, 2 * n)
    return pattern[:, :, q, q - n + 1].mean((0, -1))

# %% wrong 03.5: the last query is taken to wrap round to key 1
def induction_score(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    k = (q - n) % n + 1
    return pattern[:, :, q, k].mean((0, -1))

# %% wrong 03.5: forgets BOS: queries n..2n-1
def induction_score(pattern, n):
    q = torch.arange(n, 2 * n)
    return pattern[:, :, q, q - n + 1].mean((0, -1))

# %% wrong 03.5: upper diagonal
def induction_score(pattern, n):
    return pattern.diagonal(n - 1, -2, -1)[..., -n:].mean((0, -1))

# %% wrong 03.5: queries and keys swapped
def induction_score(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    return pattern[:, :, q - n + 1, q].mean((0, -1))

# %% wrong 03.5: maximum over the queries, not the mean
def induction_score(pattern, n):
    return pattern.diagonal(1 - n, -2, -1)[..., -n:].amax(-1).mean(0)

# %% wrong 03.5: divided by n - 1
def induction_score(pattern, n):
    return pattern.diagonal(1 - n, -2, -1)[..., -n:].sum(-1).mean(0) / (n - 1)

# %% wrong 03.5: one number per row and head
def induction_score(pattern, n):
    return pattern.diagonal(1 - n, -2, -1)[..., -n:].mean(-1)

# %% right 03.5: last n entries of the diagonal
def induction_score(pattern, n):
    return pattern.diagonal(1 - n, -2, -1)[..., -n:].mean((0, -1))

# %% right 03.5: indices
def induction_score(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    return pattern[:, :, q, q + 1 - n].mean(dim=(0, 2))

# %% right 03.5: block, trace by einsum
def induction_score(pattern, n):
    block = pattern.mean(0)[:, n + 1 :, 2 : n + 2]
    return torch.einsum("hii->h", block) / n

# %% right 03.5: gather
def induction_score(pattern, n):
    rows = pattern[:, :, n + 1 :]
    index = torch.arange(2, n + 2).view(1, 1, n, 1).expand(*rows.shape[:2], n, 1)
    return rows.gather(-1, index).squeeze(-1).mean(-1).mean(0)

# %% wrong 03.6: (head, layer)
def top_heads(scores, k):
    idx = scores.flatten().topk(k).indices.tolist()
    return [(i % scores.shape[1], i // scores.shape[1]) for i in idx]

# %% wrong 03.6: divides by the number of layers
def top_heads(scores, k):
    idx = scores.flatten().topk(k).indices.tolist()
    return [(i // scores.shape[0], i % scores.shape[0]) for i in idx]

# %% wrong 03.6: the lowest first
def top_heads(scores, k):
    order = scores.flatten().argsort().tolist()[:k]
    return [divmod(i, scores.shape[1]) for i in order]

# %% wrong 03.6: the right heads, the highest last
def top_heads(scores, k):
    order = scores.flatten().argsort().tolist()[-k:]
    return [divmod(i, scores.shape[1]) for i in order]

# %% wrong 03.6: by absolute value
def top_heads(scores, k):
    order = scores.abs().flatten().topk(k).indices.tolist()
    return [divmod(i, scores.shape[1]) for i in order]

# %% wrong 03.6: k heads in each layer
def top_heads(scores, k):
    out = []
    for layer in range(scores.shape[0]):
        for head in scores[layer].topk(min(k, scores.shape[1])).indices.tolist():
            out.append((layer, head))
    return out[:k]

# %% wrong 03.6: tuples of tensors
def top_heads(scores, k):
    idx = scores.flatten().topk(k).indices
    return [(i // scores.shape[1], i % scores.shape[1]) for i in idx]

# %% wrong 03.6: a tensor [k, 2]
def top_heads(scores, k):
    idx = scores.flatten().topk(k).indices
    return torch.stack([idx // scores.shape[1], idx % scores.shape[1]], dim=1)

# %% wrong 03.6: overwrites the scores with -inf
def top_heads(scores, k):
    out = []
    for _ in range(k):
        i = int(scores.argmax())
        layer, head = divmod(i, scores.shape[1])
        out.append((layer, head))
        scores[layer, head] = -torch.inf
    return out

# %% wrong 03.6: a dictionary by score loses heads with equal scores
def top_heads(scores, k):
    by_score = {}
    for layer, row in enumerate(scores.tolist()):
        for head, value in enumerate(row):
            by_score[value] = (layer, head)
    return [by_score[s] for s in sorted(by_score, reverse=True)[:k]]

# %% wrong 03.6: finds heads by value: with equal scores the same head twice
def top_heads(scores, k):
    values = scores.flatten().topk(k).values
    return [tuple((scores == v).nonzero()[0].tolist()) for v in values]

# %% wrong 03.6: (score, layer, head)
def top_heads(scores, k):
    h = scores.shape[1]
    values, idx = scores.flatten().topk(k)
    return [(v, i // h, i % h) for v, i in zip(values.tolist(), idx.tolist())]

# %% wrong 03.6: heads below zero are left out, so fewer than k
def top_heads(scores, k):
    order = scores.flatten().argsort(descending=True).tolist()
    return [divmod(i, scores.shape[1]) for i in order if scores.flatten()[i] > 0][:k]

# %% wrong 03.6: lists instead of tuples, and one head too few
def top_heads(scores, k):
    order = scores.flatten().argsort(descending=True)[: k - 1].tolist()
    return [[i // scores.shape[1], i % scores.shape[1]] for i in order]

# %% right 03.6: topk and divmod
def top_heads(scores, k):
    return [divmod(i, scores.shape[1]) for i in scores.flatten().topk(k).indices.tolist()]

# %% right 03.6: sorted list of pairs; ties: the later head first
def top_heads(scores, k):
    table = scores.tolist()
    pairs = [(layer, head) for layer in range(len(table)) for head in range(len(table[layer]))]
    pairs.sort(key=lambda p: (table[p[0]][p[1]], p), reverse=True)
    return pairs[:k]

# %% right 03.6: unravel_index, stable argsort
def top_heads(scores, k):
    order = torch.argsort(scores.reshape(-1), descending=True, stable=True)[:k]
    layers, heads = torch.unravel_index(order, scores.shape)
    return list(zip(layers.tolist(), heads.tolist()))

# %% right 03.6: argmax on a copy
def top_heads(scores, k):
    left = scores.detach().clone().double()
    found = []
    for _ in range(k):
        layer, head = divmod(left.argmax().item(), left.shape[1])
        found.append((layer, head))
        left[layer, head] = -math.inf
    return found

# %% wrong 03.7: layer 0 looks at the token itself
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    W_Q[0, pos : pos + C, :C] = S * eC
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: layer 0's shift goes the wrong way (the next token, which is masked)
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(C - 1):
        W_Q[0, pos + i, i + 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: layer 1's keys are the tokens themselves: it finds the duplicate, not what followed
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, tok : tok + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: scores forget the division by sqrt(d_head): attention far too soft
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    S = 2.0
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: logits too small for a loss below 0.1
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: W_U reads the tokens' own subspace: predicts the current token
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[tok : tok + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: layer 1 looks a fixed distance back: right for one length of the half only
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    half = (C - 1) // 2
    for i in range(half, C):
        W_Q[1, pos + i, i - half + 1] = S
    W_K[1, pos : pos + C, :C] = eC
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: d_head is n_ctx: fails when the vocabulary is larger
def build_induction_model(d_vocab, n_ctx):
    d, e = 3 * d_vocab + n_ctx, n_ctx
    V, C, S = d_vocab, n_ctx, 40.0 * n_ctx**0.5
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V, W_O = torch.zeros(2, d, e), torch.zeros(2, d, e), torch.zeros(2, d, e), torch.zeros(2, e, d)
    W_E[range(V), range(V)] = 1
    W_pos[range(C), range(V, V + C)] = 1
    for i in range(1, C):
        W_Q[0, V + i, i - 1] = S
    for i in range(C):
        W_K[0, V + i, i] = 1
    for t in range(V):
        W_V[0, t, t] = W_O[0, t, V + C + t] = 1
        W_Q[1, t, t] = S
        W_K[1, V + C + t, t] = 1
        W_V[1, t, t] = W_O[1, t, 2 * V + C + t] = 1
        W_U[2 * V + C + t, t] = 30
    return dict(W_E=W_E, W_pos=W_pos, W_U=W_U, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)

# %% wrong 03.7: the value of layer 1 is the previous token: predicts the current token again
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, prev : prev + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: layer 0 writes into the tokens' own subspace: keys mix both tokens
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, tok : tok + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, tok : tok + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: small random embeddings overlap too much
def build_induction_model(d_vocab, n_ctx):
    V, C, r = d_vocab, n_ctx, 4
    d = 3 * r + C
    e = max(r, C)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V, W_O = torch.zeros(2, d, e), torch.zeros(2, d, e), torch.zeros(2, d, e), torch.zeros(2, e, d)
    vec = torch.randn(V, r, generator=torch.Generator().manual_seed(0)) / r**0.5
    S = 40.0 * e**0.5
    W_E[:, :r] = vec
    W_pos[:, r : r + C] = torch.eye(C)
    W_Q[0, r + 1 : r + C, : C - 1] = S * torch.eye(C - 1)
    W_K[0, r : r + C, :C] = torch.eye(C)
    W_V[0, :r, :r] = W_O[0, :r, r + C : 2 * r + C] = torch.eye(r)
    W_Q[1, :r, :r] = S * torch.eye(r)
    W_K[1, r + C : 2 * r + C, :r] = torch.eye(r)
    W_V[1, :r, :r] = W_O[1, :r, 2 * r + C :] = torch.eye(r)
    W_U[2 * r + C :] = 30.0 * vec.T
    return dict(W_E=W_E, W_pos=W_pos, W_U=W_U, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)

# %% wrong 03.7: lists over the layers, not tensors
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {
        "W_E": W_E,
        "W_pos": W_pos,
        "W_U": W_U,
        "W_Q": list(W_Q),
        "W_K": list(W_K),
        "W_V": list(W_V),
        "W_O": list(W_O),
    }

# %% wrong 03.7: W_U is [d_vocab, d_model]
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    W_U = W_U.T.contiguous()
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: layers swapped
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    W_Q, W_K, W_V, W_O = W_Q.flip(0), W_K.flip(0), W_V.flip(0), W_O.flip(0)
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: the previous-token head only reaches back within the first half of the context
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C // 2):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: scale without the root of d_head: fine for small sizes, too soft for large ones
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    S = 12.0
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% wrong 03.7: the current token is added to the logits as strongly as the copied one
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, tok : tok + V] = eV
    W_U[tok : tok + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% right 03.7: one-hot parts next to each other
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% right 03.7: no slot for the output: the copy drowns the token's own vector
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, tok : tok + V] = 5 * eV
    W_U[tok : tok + V] = 10.0 * eV
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% right 03.7: the same model in a random orthogonal basis
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    d = V + C + V + V  # token, position, previous token, output
    e = max(V, C)
    tok, pos, prev, out = 0, V, V + C, V + C + V
    eV, eC = torch.eye(V), torch.eye(C)
    S = 40.0 * math.sqrt(e)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    W_E[:, tok : tok + V] = eV
    W_pos[:, pos : pos + C] = eC
    for i in range(1, C):
        W_Q[0, pos + i, i - 1] = S
    W_K[0, pos : pos + C, :C] = eC
    W_V[0, tok : tok + V, :V] = eV
    W_O[0, :V, prev : prev + V] = eV
    W_Q[1, tok : tok + V, :V] = S * eV
    W_K[1, prev : prev + V, :V] = eV
    W_V[1, tok : tok + V, :V] = eV
    W_O[1, :V, out : out + V] = eV
    W_U[out : out + V] = 30.0 * eV
    R = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0].float()
    W_E, W_pos, W_U = W_E @ R, W_pos @ R, R.T @ W_U
    W_Q, W_K, W_V, W_O = R.T @ W_Q, R.T @ W_K, R.T @ W_V, W_O @ R
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}

# %% right 03.7: positions as angles on a circle, tokens one-hot; large keys instead of large queries
def build_induction_model(d_vocab, n_ctx):
    V, C = d_vocab, n_ctx
    n_freq = C
    d = 2 * n_freq + 3 * V
    e = max(2 * n_freq, V)
    t0, p0, o0 = 2 * n_freq, 2 * n_freq + V, 2 * n_freq + 2 * V
    freqs = 2 * math.pi * torch.arange(1, n_freq + 1) / (2 * C)
    angle = torch.arange(C)[:, None] * freqs
    w = {
        "W_E": torch.zeros(V, d),
        "W_pos": torch.zeros(C, d),
        "W_U": torch.zeros(d, V),
        "W_Q": torch.zeros(2, d, e),
        "W_K": torch.zeros(2, d, e),
        "W_V": torch.zeros(2, d, e),
        "W_O": torch.zeros(2, e, d),
    }
    w["W_E"][:, t0:p0] = torch.eye(V)
    w["W_pos"][:, :n_freq] = angle.cos() / n_freq**0.5
    w["W_pos"][:, n_freq : 2 * n_freq] = angle.sin() / n_freq**0.5
    f = torch.arange(n_freq)
    # the query is the position's vector turned back by one position
    w["W_Q"][0, f, f] = freqs.cos()
    w["W_Q"][0, n_freq + f, f] = freqs.sin()
    w["W_Q"][0, f, n_freq + f] = -freqs.sin()
    w["W_Q"][0, n_freq + f, n_freq + f] = freqs.cos()
    w["W_K"][0, : 2 * n_freq, : 2 * n_freq] = 60 * math.sqrt(e) * torch.eye(2 * n_freq)
    w["W_V"][0, t0:p0, :V] = torch.eye(V)
    w["W_O"][0, :V, p0:o0] = torch.eye(V)
    w["W_Q"][1, t0:p0, :V] = torch.eye(V)
    w["W_K"][1, p0:o0, :V] = 60 * math.sqrt(e) * torch.eye(V)
    w["W_V"][1, t0:p0, :V] = torch.eye(V)
    w["W_O"][1, :V, o0:] = torch.eye(V)
    w["W_U"][o0:] = 40 * torch.eye(V)
    return w

# %% right 03.5: python loop over the queries of the second half
def induction_score(pattern, n):
    total = torch.zeros(pattern.shape[1], dtype=pattern.dtype, device=pattern.device)
    for query in range(n + 1, 2 * n + 1):
        total = total + pattern[:, :, query, query - n + 1].mean(0)
    return total / n

# %% right 03.6: heapq on triples
def top_heads(scores, k):
    import heapq

    triples = [(scores[i, j].item(), i, j) for i in range(scores.shape[0]) for j in range(scores.shape[1])]
    return [(i, j) for _, i, j in heapq.nlargest(k, triples)]

# %% wrong 03.1: BOS is shifted past, so the last id never comes
def repeated_tokens(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = torch.where(half == bos, d_vocab - 2, half)
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)

# %% wrong 03.1: every row is the same
def repeated_tokens(d_vocab, n, batch, bos):
    ids = torch.tensor([i for i in range(d_vocab) if i != bos])
    half = ids[torch.randint(len(ids), (1, n))].expand(batch, n)
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)

# %% wrong 03.1: tokens drawn without repetition where the vocabulary is large enough
def repeated_tokens(d_vocab, n, batch, bos):
    ids = torch.tensor([i for i in range(d_vocab) if i != bos])
    rows = []
    for _ in range(batch):
        row = ids[torch.randperm(len(ids))[:n]] if n <= len(ids) else ids[torch.randint(len(ids), (n,))]
        rows.append(torch.cat([torch.tensor([bos]), row, row]))
    return torch.stack(rows)

# %% wrong 03.2: the first token of the second half counts in the second
def loss_by_half(loss, n):
    return loss[:, :n].mean(-1), loss[:, n:].mean(-1)

# %% wrong 03.2: one loss too few in the first half
def loss_by_half(loss, n):
    return loss[:, : n - 1].mean(-1), loss[:, n + 1 :].mean(-1)

# %% wrong 03.3: means over all queries
def positional_scores(pattern):
    s = pattern.shape[-1]
    i = torch.arange(1, s)
    return {
        "prev": pattern[:, :, i, i - 1].sum((0, 2)) / (len(pattern) * s),
        "current": pattern.diagonal(dim1=-2, dim2=-1).mean((0, -1)),
        "first": pattern[..., 0].mean((0, -1)),
    }

# %% wrong 03.3: first without the query that is also the previous one
def positional_scores(pattern):
    prev = pattern.diagonal(-1, 2, 3).mean((0, 2))
    current = pattern.diagonal(0, 2, 3)[..., 1:].mean((0, 2))
    first = pattern[:, :, 2:, 0].mean((0, 2)) if pattern.shape[2] > 2 else pattern[:, :, 1:, 0].mean((0, 2))
    return {"prev": prev, "current": current, "first": first}

# %% wrong 03.4: the diagonal's queries of the first half count too
def duplicate_score(pattern, n):
    stripe = pattern.diagonal(-n, dim1=-2, dim2=-1)
    return stripe.mean((0, -1))

# %% wrong 03.5: the last query is left out
def induction_score(pattern, n):
    q = torch.arange(n + 1, 2 * n)
    return pattern[:, :, q, q - n + 1].mean((0, -1))

# %% wrong 03.5: one place too far
def induction_score(pattern, n):
    return pattern.diagonal(-(n - 2), dim1=-2, dim2=-1)[..., -n:].mean((0, -1))

# %% wrong 03.6: layer and head from the wrong size
def top_heads(scores, k):
    layers = scores.shape[0]
    return [(i // layers, i % layers) for i in scores.flatten().topk(k).indices.tolist()]

# %% wrong 03.6: by magnitude
def top_heads(scores, k):
    order = scores.abs().flatten().argsort(descending=True)[:k]
    return [divmod(int(i), scores.shape[1]) for i in order]

# %% right 03.1: random.choices from a list without BOS
def repeated_tokens(d_vocab, n, batch, bos):
    import random

    ids = [*range(bos), *range(bos + 1, d_vocab)]
    rows = [random.choices(ids, k=n) for _ in range(batch)]
    return torch.tensor([[bos] + row * 2 for row in rows], dtype=torch.int64)

# %% right 03.1: an offset modulo the vocabulary
def repeated_tokens(d_vocab, n, batch, bos):
    half = (bos + torch.randint(1, d_vocab, (batch, n))) % d_vocab
    return torch.nn.functional.pad(half.repeat(1, 2), (1, 0), value=bos)

# %% right 03.2: split
def loss_by_half(loss, n):
    first, _, second = loss.split([n, 1, n - 1], dim=1)
    return first.sum(1) / n, second.sum(1) / (n - 1)

# %% right 03.3: with eye matrices
def positional_scores(pattern):
    s = pattern.shape[-1]
    rows = pattern.mean(0)[:, 1:]
    eye = torch.eye(s)
    weigh = lambda m: (rows * m).sum((-2, -1)) / (s - 1)
    return {"prev": weigh(eye[:-1]), "current": weigh(eye[1:]), "first": rows[..., 0].mean(-1)}

# %% right 03.4: a loop over queries
def duplicate_score(pattern, n):
    total = torch.zeros(pattern.shape[1])
    for i in range(1, n + 1):
        total += pattern[:, :, n + i, i].mean(0)
    return total / n

# %% right 03.5: gather
def induction_score(pattern, n):
    queries = pattern[:, :, n + 1 : 2 * n + 1]
    keys = torch.arange(2, n + 2).view(1, 1, n, 1).expand(*queries.shape[:3], 1)
    return queries.gather(-1, keys).mean((0, 2, 3))

# %% right 03.6: sorted with a key
def top_heads(scores, k):
    layers, heads = scores.shape
    places = [(l, h) for l in range(layers) for h in range(heads)]
    return sorted(places, key=lambda lh: -float(scores[lh]))[:k]

# %% right 03.7: big blocks and a large constant
def build_induction_model(d_vocab, n_ctx):
    V, C, big = d_vocab, n_ctx, 200.0
    d = 2 * V + 2 * C
    e = max(V, C)
    W_E, W_pos, W_U = torch.zeros(V, d), torch.zeros(C, d), torch.zeros(d, V)
    W_E[:, :V] = torch.eye(V)
    W_pos[:, V : V + C] = torch.eye(C)
    W_Q, W_K, W_V = (torch.zeros(2, d, e) for _ in range(3))
    W_O = torch.zeros(2, e, d)
    scale = big * math.sqrt(e)
    W_Q[0, V : V + C, :C] = torch.eye(C).roll(-1, 1) * 0
    for p in range(1, C):
        W_Q[0, V + p, p - 1] = scale
    W_Q[0, V, 0] = scale
    W_K[0, V : V + C, :C] = torch.eye(C)
    W_V[0, :V, :V] = torch.eye(V)
    W_V[0, 0, 0] = 0.0
    W_O[0, :V, V + C : V + C + V] = torch.eye(V)
    W_Q[1, :V, :V] = torch.eye(V) * scale
    W_K[1, V + C : V + C + V, :V] = torch.eye(V)
    W_V[1, :V, :V] = torch.eye(V)
    W_O[1, :V, :V] = torch.eye(V) * 50.0
    W_U[:V] = torch.eye(V)
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}


# %% wrong 03.1: bos is replaced by its neighbour id, which so gets twice the chance of the others
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    """BOS, then `n` random tokens, then the same `n` tokens again, in each of `batch` rows (int64).

    Each random token of each row is drawn independently of all others, with equal chances, from all ids 0..d_vocab-1
    except `bos`: with `torch` or `random`, and without setting a seed. n is at least 1.
    """
    half = torch.randint(0, d_vocab, (batch, n))
    half[half == bos] = (bos + 1) % d_vocab
    start = torch.full((batch, 1), bos)
    return torch.cat([start, half, half], dim=1)


# %% wrong 03.1: drawn without replacement inside a row (randperm), so the tokens of a row are not independent
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    """BOS, then `n` random tokens, then the same `n` tokens again, in each of `batch` rows (int64).

    Each random token of each row is drawn independently of all others, with equal chances, from all ids 0..d_vocab-1
    except `bos`: with `torch` or `random`, and without setting a seed. n is at least 1.
    """
    ids = torch.tensor([i for i in range(d_vocab) if i != bos])
    rows = []
    for _ in range(batch):
        picks = [ids[torch.randperm(len(ids))] for _ in range(-(-n // len(ids)))]
        half = torch.cat(picks)[:n]
        rows.append(torch.cat([torch.tensor([bos]), half, half]))
    return torch.stack(rows)


# %% wrong 03.1: a fresh torch.Generator() always starts from the same default seed: every call gives the same tokens
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    """BOS, then `n` random tokens, then the same `n` tokens again, in each of `batch` rows (int64).

    Each random token of each row is drawn independently of all others, with equal chances, from all ids 0..d_vocab-1
    except `bos`: with `torch` or `random`, and without setting a seed. n is at least 1.
    """
    gen = torch.Generator()
    half = torch.randint(d_vocab - 1, (batch, n), generator=gen)
    half = half + (half >= bos)
    start = torch.full((batch, 1), bos, dtype=torch.long)
    return torch.cat([start, half, half], 1)


# %% wrong 03.1: round() of a scaled uniform number: the first and the last id have half the chance of the others
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    """BOS, then `n` random tokens, then the same `n` tokens again, in each of `batch` rows (int64).

    Each random token of each row is drawn independently of all others, with equal chances, from all ids 0..d_vocab-1
    except `bos`: with `torch` or `random`, and without setting a seed. n is at least 1.
    """
    ids = torch.tensor([i for i in range(d_vocab) if i != bos], dtype=torch.int64)
    where = (torch.rand(batch, n) * (len(ids) - 1)).round().long()
    half = ids[where]
    return torch.cat([torch.full((batch, 1), bos, dtype=torch.int64), half, half], dim=-1)


# %% right 03.1: randint over one id fewer, ids from bos on moved up by one
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    """BOS, then `n` random tokens, then the same `n` tokens again, in each of `batch` rows (int64).

    Each random token of each row is drawn independently of all others, with equal chances, from all ids 0..d_vocab-1
    except `bos`: with `torch` or `random`, and without setting a seed. n is at least 1.
    """
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half += (half >= bos).long()
    out = torch.empty(batch, 1 + 2 * n, dtype=torch.int64)
    out[:, 0] = bos
    out[:, 1:] = half.repeat(1, 2)
    return out


# %% right 03.1: python lists and random.choices
import random


def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    """BOS, then `n` random tokens, then the same `n` tokens again, in each of `batch` rows (int64).

    Each random token of each row is drawn independently of all others, with equal chances, from all ids 0..d_vocab-1
    except `bos`: with `torch` or `random`, and without setting a seed. n is at least 1.
    """
    allowed = [*range(bos), *range(bos + 1, d_vocab)]
    rows = []
    while len(rows) < batch:
        half = random.choices(allowed, k=n)
        rows.append([bos] + half * 2)
    return torch.tensor(rows, dtype=torch.int64).reshape(batch, 2 * n + 1)


# %% wrong 03.2: the unforeseeable first token of the second half (index n) is counted in the second half
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Each row's mean loss on the first half and on the second half of BOS + half + half.

    loss[:, i] is the loss of predicting token i + 1. The first token of the second half cannot be foreseen and
    counts in neither. n is at least 2.
    """
    first, second = loss.split(n, dim=1)
    return first.mean(1), second.mean(1)


# %% wrong 03.2: takes loss[:, i] as the loss of token i: both windows are one too far to the right
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Each row's mean loss on the first half and on the second half of BOS + half + half.

    loss[:, i] is the loss of predicting token i + 1. The first token of the second half cannot be foreseen and
    counts in neither. n is at least 2.
    """
    first = loss[:, 1 : n + 1].mean(dim=1)
    second = loss[:, n + 2 :].sum(dim=1) / max(n - 2, 1)
    return first, second


# %% wrong 03.2: the first token of the first half is left out too
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Each row's mean loss on the first half and on the second half of BOS + half + half.

    loss[:, i] is the loss of predicting token i + 1. The first token of the second half cannot be foreseen and
    counts in neither. n is at least 2.
    """
    halves = loss.reshape(-1, 2, n)
    halves = halves[:, :, 1:].mean(-1)
    return halves[:, 0], halves[:, 1]


# %% wrong 03.2: second half without its first token is summed but divided by n instead of n - 1
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Each row's mean loss on the first half and on the second half of BOS + half + half.

    loss[:, i] is the loss of predicting token i + 1. The first token of the second half cannot be foreseen and
    counts in neither. n is at least 2.
    """
    w = torch.zeros(2, 2 * n, dtype=loss.dtype, device=loss.device)
    w[0, :n] = 1 / n
    w[1, n + 1 :] = 1 / n
    a, b = (loss @ w.T).unbind(1)
    return a, b


# %% right 03.2: weights and a matrix product
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Each row's mean loss on the first half and on the second half of BOS + half + half.

    loss[:, i] is the loss of predicting token i + 1. The first token of the second half cannot be foreseen and
    counts in neither. n is at least 2.
    """
    w = torch.zeros(2 * n, 2, dtype=loss.dtype, device=loss.device)
    w[:n, 0] = 1 / n
    w[n + 1 :, 1] = 1 / (n - 1)
    out = torch.einsum("bi,ic->cb", loss, w)
    return out[0], out[1]


# %% right 03.2: python loops over rows
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Each row's mean loss on the first half and on the second half of BOS + half + half.

    loss[:, i] is the loss of predicting token i + 1. The first token of the second half cannot be foreseen and
    counts in neither. n is at least 2.
    """
    before, after = [], []
    for row in loss:
        before.append(sum(row[i] for i in range(0, n)) / n)
        after.append(sum(row[i] for i in range(n + 1, 2 * n)) / (n - 1))
    return torch.stack(before), torch.stack(after)


# %% wrong 03.3: current and first are means over all queries, query 0 included
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    """Each head's mean attention to the previous token ("prev"), to itself ("current"), to token 0 ("first").

    All three are means over the batch and over the queries from 1 on: query 0 has nowhere else to look. There are at
    least two positions.
    """
    p = pattern.mean(0)
    return {
        "prev": p.diagonal(-1, 1, 2).mean(-1),
        "current": p.diagonal(0, 1, 2).mean(-1),
        "first": p[:, :, 0].mean(-1),
    }


# %% wrong 03.3: prev indexes q - 1 for q = 0 as well: key -1 (the last one) enters and the mean is over s queries, not s - 1
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    """Each head's mean attention to the previous token ("prev"), to itself ("current"), to token 0 ("first").

    All three are means over the batch and over the queries from 1 on: query 0 has nowhere else to look. There are at
    least two positions.
    """
    q = torch.arange(pattern.shape[-1], device=pattern.device)
    return {
        "prev": pattern[:, :, q, q - 1].mean((0, 2)),
        "current": pattern[:, :, q, q][..., 1:].mean((0, 2)),
        "first": pattern[:, :, 1:, 0].mean((0, 2)),
    }


# %% wrong 03.3: first leaves query 1 out (since its previous token is token 0): means from query 2 on, nan with two positions
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    """Each head's mean attention to the previous token ("prev"), to itself ("current"), to token 0 ("first").

    All three are means over the batch and over the queries from 1 on: query 0 has nowhere else to look. There are at
    least two positions.
    """
    p = pattern.mean(dim=0)
    return {
        "prev": torch.stack([head.diagonal(-1).mean() for head in p]),
        "current": torch.stack([head.diagonal()[1:].mean() for head in p]),
        "first": torch.stack([head[2:, 0].mean() for head in p]),
    }


# %% wrong 03.3: squeeze() takes the head axis away when there is one head (shape [] instead of [1])
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    """Each head's mean attention to the previous token ("prev"), to itself ("current"), to token 0 ("first").

    All three are means over the batch and over the queries from 1 on: query 0 has nowhere else to look. There are at
    least two positions.
    """
    p = pattern.mean(0, keepdim=True)
    prev = p.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)
    current = p.diagonal(offset=0, dim1=-2, dim2=-1)[..., 1:].mean(-1)
    first = p[..., 1:, 0].mean(-1)
    return {"prev": prev.squeeze(), "current": current.squeeze(), "first": first.squeeze()}


# %% right 03.3: one einsum with three masks
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    """Each head's mean attention to the previous token ("prev"), to itself ("current"), to token 0 ("first").

    All three are means over the batch and over the queries from 1 on: query 0 has nowhere else to look. There are at
    least two positions.
    """
    b, h, s, _ = pattern.shape
    masks = torch.zeros(3, s, s, dtype=pattern.dtype, device=pattern.device)
    q = torch.arange(1, s, device=pattern.device)
    masks[0, q, q - 1] = 1
    masks[1, q, q] = 1
    masks[2, q, 0] = 1
    prev, current, first = torch.einsum("bhqk,cqk->ch", pattern, masks) / (b * (s - 1))
    return dict(prev=prev, current=current, first=first)


# %% right 03.3: loops over queries
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    """Each head's mean attention to the previous token ("prev"), to itself ("current"), to token 0 ("first").

    All three are means over the batch and over the queries from 1 on: query 0 has nowhere else to look. There are at
    least two positions.
    """
    s = pattern.size(-1)
    keys = {"prev": lambda q: q - 1, "current": lambda q: q, "first": lambda q: 0}
    out = {}
    for name, key in keys.items():
        total = 0
        for q in range(1, s):
            total = total + pattern[:, :, q, key(q)].mean(0)
        out[name] = total / (s - 1)
    return out


# %% wrong 03.4: the whole diagonal at -n: it begins with query n (still the first half) looking at BOS
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to the same tokens in the first half.

    The pattern is of BOS + half + half with halves of `n` tokens: q and k run from 0 to 2n.
    """
    return pattern.diagonal(offset=-n, dim1=-2, dim2=-1).mean(dim=(0, -1))


# %% wrong 03.4: halves sliced as if there were no BOS: queries n..2n-1 and keys 0..n-1
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to the same tokens in the first half.

    The pattern is of BOS + half + half with halves of `n` tokens: q and k run from 0 to 2n.
    """
    block = pattern[:, :, n : 2 * n, 0:n]
    return torch.einsum("bhii->h", block) / (pattern.shape[0] * n)


# %% wrong 03.4: the last query 2n is left out (range ends one early), yet the sum is still divided by n
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to the same tokens in the first half.

    The pattern is of BOS + half + half with halves of `n` tokens: q and k run from 0 to 2n.
    """
    total = torch.zeros(pattern.shape[1], dtype=pattern.dtype, device=pattern.device)
    for q in range(n + 1, 2 * n):
        total = total + pattern[:, :, q, q - n].mean(0)
    return total / n


# %% wrong 03.4: attention to any token of the first half counts, not only to the same one
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to the same tokens in the first half.

    The pattern is of BOS + half + half with halves of `n` tokens: q and k run from 0 to 2n.
    """
    return pattern[:, :, n + 1 :, 1 : n + 1].sum(-1).mean(dim=(0, 2))


# %% right 03.4: gather with an index
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to the same tokens in the first half.

    The pattern is of BOS + half + half with halves of `n` tokens: q and k run from 0 to 2n.
    """
    b, h, s, _ = pattern.shape
    queries = pattern[:, :, s - n :, :]
    idx = torch.arange(1, n + 1, device=pattern.device).view(1, 1, n, 1).expand(b, h, n, 1)
    return queries.gather(-1, idx).squeeze(-1).mean(2).mean(0)


# %% right 03.4: trace of the lower left block
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to the same tokens in the first half.

    The pattern is of BOS + half + half with halves of `n` tokens: q and k run from 0 to 2n.
    """
    lower_left = pattern[..., n + 1 :, 1 : n + 1].mean(0)
    return torch.stack([torch.trace(m) for m in lower_left]) / n


# %% wrong 03.5: the whole diagonal at 1 - n: its first two entries are queries n - 1 and n of the first half
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to what followed them the first time.

    The pattern is of BOS + half + half with halves of `n` tokens. All `n` queries of the second half count.
    """
    return pattern.diagonal(1 - n, dim1=-2, dim2=-1).mean(-1).mean(0)


# %% wrong 03.5: only keys in the first half: query 2n, whose follower is position n + 1, is not counted (n - 1 queries, for n = 1 none)
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to what followed them the first time.

    The pattern is of BOS + half + half with halves of `n` tokens. All `n` queries of the second half count.
    """
    block = pattern[:, :, n + 1 :, 1 : n + 1]
    d = block.diagonal(offset=1, dim1=-2, dim2=-1)
    return d.sum((0, -1)) / (pattern.shape[0] * max(n - 1, 1))


# %% wrong 03.5: off by one: queries n..2n are averaged, so the last token of the first half counts as well
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to what followed them the first time.

    The pattern is of BOS + half + half with halves of `n` tokens. All `n` queries of the second half count.
    """
    q = torch.arange(n, 2 * n + 1, device=pattern.device)
    return pattern[:, :, q, q - n + 1].mean(dim=(0, 2))


# %% wrong 03.5: looks at the token before the first occurrence (q - n - 1) instead of the one after it
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to what followed them the first time.

    The pattern is of BOS + half + half with halves of `n` tokens. All `n` queries of the second half count.
    """
    d = pattern.diagonal(offset=-(n + 1), dim1=-2, dim2=-1)
    return d[..., -n:].mean((0, -1))


# %% right 03.5: diagonal, last n entries
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to what followed them the first time.

    The pattern is of BOS + half + half with halves of `n` tokens. All `n` queries of the second half count.
    """
    d = torch.diagonal(pattern, offset=1 - n, dim1=2, dim2=3)
    return d[:, :, 2:].mean(dim=[0, 2])


# %% right 03.5: mask and sum
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to what followed them the first time.

    The pattern is of BOS + half + half with halves of `n` tokens. All `n` queries of the second half count.
    """
    s = pattern.shape[-1]
    q = torch.arange(s, device=pattern.device)[:, None]
    k = torch.arange(s, device=pattern.device)[None, :]
    hit = (k == q - n + 1) & (q > n)
    return torch.where(hit, pattern, torch.zeros_like(pattern)).sum((-1, -2)).mean(0) / n


# %% wrong 03.6: the flat index is divided by the number of layers instead of the number of heads
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    """The `k` heads with the highest scores as (layer, head), the highest first; layer and head are Python ints.

    Heads with equal scores come in any order. k is at least 1 and at most the number of heads.
    """
    flat = scores.flatten().topk(k).indices.tolist()
    n = scores.shape[0]
    return [(i // n, i % n) for i in flat]


# %% wrong 03.6: looks each value up with == and takes the first match: one of two tied heads comes twice, the other never
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    """The `k` heads with the highest scores as (layer, head), the highest first; layer and head are Python ints.

    Heads with equal scores come in any order. k is at least 1 and at most the number of heads.
    """
    out = []
    for v in scores.flatten().sort(descending=True).values[:k]:
        l, h = (scores == v).nonzero()[0].tolist()
        out.append((l, h))
    return out


# %% wrong 03.6: layer and head are numpy integers, not Python ints
import numpy as np


def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    """The `k` heads with the highest scores as (layer, head), the highest first; layer and head are Python ints.

    Heads with equal scores come in any order. k is at least 1 and at most the number of heads.
    """
    s = scores.detach().cpu().numpy()
    order = np.argsort(-s, axis=None)[:k]
    layers, heads = np.unravel_index(order, s.shape)
    return list(zip(layers, heads))


# %% wrong 03.6: ranks by absolute value, so a very negative score counts as high
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    """The `k` heads with the highest scores as (layer, head), the highest first; layer and head are Python ints.

    Heads with equal scores come in any order. k is at least 1 and at most the number of heads.
    """
    n_heads = scores.shape[1]
    flat = scores.abs().reshape(-1).argsort(descending=True)[:k]
    return [divmod(int(i), n_heads) for i in flat]


# %% right 03.6: topk and divmod, once more
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    """The `k` heads with the highest scores as (layer, head), the highest first; layer and head are Python ints.

    Heads with equal scores come in any order. k is at least 1 and at most the number of heads.
    """
    _, idx = torch.topk(scores.reshape(-1), k)
    return [divmod(i, scores.size(1)) for i in idx.tolist()]


# %% right 03.6: sorted list of pairs
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    """The `k` heads with the highest scores as (layer, head), the highest first; layer and head are Python ints.

    Heads with equal scores come in any order. k is at least 1 and at most the number of heads.
    """
    table = scores.tolist()
    pairs = [(l, h) for l, row in enumerate(table) for h in range(len(row))]
    return sorted(pairs, key=lambda lh: -table[lh[0]][lh[1]])[:k]


# %% wrong 03.7: the division by sqrt(d_head) is not made up for: with large d_vocab or n_ctx the attention is spread out
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    """Weights of a two-layer attention-only model with one head per layer that does induction. No training.

    Layer 0 looks at the previous token; layer 1 looks, from the second of two equal tokens, at what followed the
    first one, which it finds through its keys; the model predicts that token. It must do so for repeats of every
    length that fits into `n_ctx` positions, also with other tokens between BOS and the first half. Token 0 is BOS and
    comes first; all other tokens of a prompt are different, but for the repeat. What is measured, as means over a
    prompt: layer 0's attention to the previous token (all queries but 0) and layer 1's at its place (queries of the
    second half) are above 0.9; the loss of the second half, its first token left out, is below 0.1.

    There are no biases and no LayerNorm; scores are divided by sqrt(d_head). Choose d_model and d_head yourself; any
    d_vocab from 3 and n_ctx from 4 may be asked for.

    Returns:
        W_E [d_vocab, d_model], W_pos [n_ctx, d_model], W_U [d_model, d_vocab];
        W_Q, W_K, W_V [2, d_model, d_head] and W_O [2, d_head, d_model], whose first axis is the layer.
    """
    tok, pos, prev = 0, d_vocab, d_vocab + n_ctx
    out = prev + d_vocab
    d_model = out + d_vocab
    d_head = max(d_vocab, n_ctx)
    c = 30.0
    W_E = torch.zeros(d_vocab, d_model)
    W_pos = torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    for t in range(d_vocab):
        W_E[t, tok + t] = 1
        W_V[0, tok + t, t] = 1
        W_O[0, t, prev + t] = 1
        W_V[1, tok + t, t] = 1
        W_O[1, t, out + t] = 1
        W_U[out + t, t] = 30
    for p in range(n_ctx):
        W_pos[p, pos + p] = 1
        W_Q[0, pos + p, p] = c
    for p in range(n_ctx - 1):
        W_K[0, pos + p, p + 1] = 1
    for t in range(d_vocab):
        W_Q[1, tok + t, t] = c
        W_K[1, prev + t, t] = 1
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}


# %% wrong 03.7: layer 1 looks back a fixed distance that fits only the longest half, (n_ctx - 1) // 2, not repeats of every length
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    """Weights of a two-layer attention-only model with one head per layer that does induction. No training.

    Layer 0 looks at the previous token; layer 1 looks, from the second of two equal tokens, at what followed the
    first one, which it finds through its keys; the model predicts that token. It must do so for repeats of every
    length that fits into `n_ctx` positions, also with other tokens between BOS and the first half. Token 0 is BOS and
    comes first; all other tokens of a prompt are different, but for the repeat. What is measured, as means over a
    prompt: layer 0's attention to the previous token (all queries but 0) and layer 1's at its place (queries of the
    second half) are above 0.9; the loss of the second half, its first token left out, is below 0.1.

    There are no biases and no LayerNorm; scores are divided by sqrt(d_head). Choose d_model and d_head yourself; any
    d_vocab from 3 and n_ctx from 4 may be asked for.

    Returns:
        W_E [d_vocab, d_model], W_pos [n_ctx, d_model], W_U [d_model, d_vocab];
        W_Q, W_K, W_V [2, d_model, d_head] and W_O [2, d_head, d_model], whose first axis is the layer.
    """
    tok, pos, prev = 0, d_vocab, d_vocab + n_ctx
    out = prev + d_vocab
    d_model = out + d_vocab
    d_head = max(d_vocab, n_ctx)
    c = 30 * math.sqrt(d_head)
    W_E = torch.zeros(d_vocab, d_model)
    W_pos = torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    for t in range(d_vocab):
        W_E[t, tok + t] = 1
        W_V[0, tok + t, t] = 1
        W_O[0, t, prev + t] = 1
        W_V[1, tok + t, t] = 1
        W_O[1, t, out + t] = 1
        W_U[out + t, t] = 30
    for p in range(n_ctx):
        W_pos[p, pos + p] = 1
        W_Q[0, pos + p, p] = c
    for p in range(n_ctx - 1):
        W_K[0, pos + p, p + 1] = 1
    n = (n_ctx - 1) // 2
    for p in range(n_ctx):
        W_Q[1, pos + p, p] = c
        if 0 <= p + n - 1 < n_ctx:
            W_K[1, pos + p, p + n - 1] = 1
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}


# %% wrong 03.7: the last position has no key for its predecessor (range one short): in a full prompt query n_ctx - 1 looks everywhere, for small n_ctx the mean is below 0.9
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    """Weights of a two-layer attention-only model with one head per layer that does induction. No training.

    Layer 0 looks at the previous token; layer 1 looks, from the second of two equal tokens, at what followed the
    first one, which it finds through its keys; the model predicts that token. It must do so for repeats of every
    length that fits into `n_ctx` positions, also with other tokens between BOS and the first half. Token 0 is BOS and
    comes first; all other tokens of a prompt are different, but for the repeat. What is measured, as means over a
    prompt: layer 0's attention to the previous token (all queries but 0) and layer 1's at its place (queries of the
    second half) are above 0.9; the loss of the second half, its first token left out, is below 0.1.

    There are no biases and no LayerNorm; scores are divided by sqrt(d_head). Choose d_model and d_head yourself; any
    d_vocab from 3 and n_ctx from 4 may be asked for.

    Returns:
        W_E [d_vocab, d_model], W_pos [n_ctx, d_model], W_U [d_model, d_vocab];
        W_Q, W_K, W_V [2, d_model, d_head] and W_O [2, d_head, d_model], whose first axis is the layer.
    """
    tok, pos, prev = 0, d_vocab, d_vocab + n_ctx
    out = prev + d_vocab
    d_model = out + d_vocab
    d_head = max(d_vocab, n_ctx)
    c = 30 * math.sqrt(d_head)
    W_E = torch.zeros(d_vocab, d_model)
    W_pos = torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    for t in range(d_vocab):
        W_E[t, tok + t] = 1
        W_V[0, tok + t, t] = 1
        W_O[0, t, prev + t] = 1
        W_V[1, tok + t, t] = 1
        W_O[1, t, out + t] = 1
        W_U[out + t, t] = 30
    for p in range(n_ctx):
        W_pos[p, pos + p] = 1
        W_Q[0, pos + p, p] = c
    for p in range(n_ctx - 2):
        W_K[0, pos + p, p + 1] = 1
    for t in range(d_vocab):
        W_Q[1, tok + t, t] = c
        W_K[1, prev + t, t] = 1
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}


# %% wrong 03.7: tokens go through n_ctx channels by their id modulo n_ctx: with d_vocab > n_ctx different tokens are taken for the same
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    """Weights of a two-layer attention-only model with one head per layer that does induction. No training.

    Layer 0 looks at the previous token; layer 1 looks, from the second of two equal tokens, at what followed the
    first one, which it finds through its keys; the model predicts that token. It must do so for repeats of every
    length that fits into `n_ctx` positions, also with other tokens between BOS and the first half. Token 0 is BOS and
    comes first; all other tokens of a prompt are different, but for the repeat. What is measured, as means over a
    prompt: layer 0's attention to the previous token (all queries but 0) and layer 1's at its place (queries of the
    second half) are above 0.9; the loss of the second half, its first token left out, is below 0.1.

    There are no biases and no LayerNorm; scores are divided by sqrt(d_head). Choose d_model and d_head yourself; any
    d_vocab from 3 and n_ctx from 4 may be asked for.

    Returns:
        W_E [d_vocab, d_model], W_pos [n_ctx, d_model], W_U [d_model, d_vocab];
        W_Q, W_K, W_V [2, d_model, d_head] and W_O [2, d_head, d_model], whose first axis is the layer.
    """
    d_head = n_ctx
    d_model = d_vocab + 3 * n_ctx
    c = 30 * d_head**0.5
    fold = torch.zeros(d_vocab, n_ctx)
    fold[torch.arange(d_vocab), torch.arange(d_vocab) % n_ctx] = 1.0
    eye = torch.eye(n_ctx)
    T, P = slice(0, d_vocab), slice(d_vocab, d_vocab + n_ctx)
    B, O = slice(d_vocab + n_ctx, d_vocab + 2 * n_ctx), slice(d_vocab + 2 * n_ctx, d_model)
    w = {
        "W_E": torch.zeros(d_vocab, d_model),
        "W_pos": torch.zeros(n_ctx, d_model),
        "W_U": torch.zeros(d_model, d_vocab),
        "W_Q": torch.zeros(2, d_model, d_head),
        "W_K": torch.zeros(2, d_model, d_head),
        "W_V": torch.zeros(2, d_model, d_head),
        "W_O": torch.zeros(2, d_head, d_model),
    }
    w["W_E"][:, T] = torch.eye(d_vocab)
    w["W_pos"][:, P] = eye
    w["W_Q"][0, P] = c * eye
    w["W_K"][0, P] = eye.roll(1, dims=1)
    w["W_V"][0, T] = fold
    w["W_O"][0, :, B] = eye
    w["W_Q"][1, T] = c * fold
    w["W_K"][1, B] = eye
    w["W_V"][1, T] = fold
    w["W_O"][1, :, O] = eye
    w["W_U"][O] = 30 * fold.T
    return w


# %% right 03.7: one-hot channels, filled in loops
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    """Weights of a two-layer attention-only model with one head per layer that does induction. No training.

    Layer 0 looks at the previous token; layer 1 looks, from the second of two equal tokens, at what followed the
    first one, which it finds through its keys; the model predicts that token. It must do so for repeats of every
    length that fits into `n_ctx` positions, also with other tokens between BOS and the first half. Token 0 is BOS and
    comes first; all other tokens of a prompt are different, but for the repeat. What is measured, as means over a
    prompt: layer 0's attention to the previous token (all queries but 0) and layer 1's at its place (queries of the
    second half) are above 0.9; the loss of the second half, its first token left out, is below 0.1.

    There are no biases and no LayerNorm; scores are divided by sqrt(d_head). Choose d_model and d_head yourself; any
    d_vocab from 3 and n_ctx from 4 may be asked for.

    Returns:
        W_E [d_vocab, d_model], W_pos [n_ctx, d_model], W_U [d_model, d_vocab];
        W_Q, W_K, W_V [2, d_model, d_head] and W_O [2, d_head, d_model], whose first axis is the layer.
    """
    tok, pos, prev = 0, d_vocab, d_vocab + n_ctx
    out = prev + d_vocab
    d_model = out + d_vocab
    d_head = max(d_vocab, n_ctx)
    c = 30 * math.sqrt(d_head)
    W_E = torch.zeros(d_vocab, d_model)
    W_pos = torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    for t in range(d_vocab):
        W_E[t, tok + t] = 1
        W_V[0, tok + t, t] = 1
        W_O[0, t, prev + t] = 1
        W_V[1, tok + t, t] = 1
        W_O[1, t, out + t] = 1
        W_U[out + t, t] = 30
    for p in range(n_ctx):
        W_pos[p, pos + p] = 1
        W_Q[0, pos + p, p] = c
    for p in range(n_ctx - 1):
        W_K[0, pos + p, p + 1] = 1
    for t in range(d_vocab):
        W_Q[1, tok + t, t] = c
        W_K[1, prev + t, t] = 1
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}


# %% right 03.7: Fourier positions, a rotation for the shift, the copied token written over the current one, all in a random orthogonal basis
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    """Weights of a two-layer attention-only model with one head per layer that does induction. No training.

    Layer 0 looks at the previous token; layer 1 looks, from the second of two equal tokens, at what followed the
    first one, which it finds through its keys; the model predicts that token. It must do so for repeats of every
    length that fits into `n_ctx` positions, also with other tokens between BOS and the first half. Token 0 is BOS and
    comes first; all other tokens of a prompt are different, but for the repeat. What is measured, as means over a
    prompt: layer 0's attention to the previous token (all queries but 0) and layer 1's at its place (queries of the
    second half) are above 0.9; the loss of the second half, its first token left out, is below 0.1.

    There are no biases and no LayerNorm; scores are divided by sqrt(d_head). Choose d_model and d_head yourself; any
    d_vocab from 3 and n_ctx from 4 may be asked for.

    Returns:
        W_E [d_vocab, d_model], W_pos [n_ctx, d_model], W_U [d_model, d_vocab];
        W_Q, W_K, W_V [2, d_model, d_head] and W_O [2, d_head, d_model], whose first axis is the layer.
    """
    N, V = n_ctx, d_vocab
    f = torch.arange(N, dtype=torch.float64)
    angle = 2 * math.pi * torch.outer(f, f) / N
    places = torch.cat([angle.cos(), angle.sin()], 1) / math.sqrt(N)
    turn = 2 * math.pi * f / N
    cos, sin = torch.diag(turn.cos()), torch.diag(turn.sin())
    shift = torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)], 0)
    d_model, d_head = 2 * V + 2 * N, max(V, 2 * N)
    basis, _ = torch.linalg.qr(torch.randn(d_model, d_model, dtype=torch.float64))
    now, before, where = basis[:V], basis[V : 2 * V], basis[2 * V :]

    def pad(x, dim):
        size = list(x.shape)
        size[dim] = d_head - size[dim]
        return torch.cat([x, x.new_zeros(size)], dim)

    sharp = 30 * math.sqrt(d_head)
    w = {
        "W_E": now,
        "W_pos": places @ where,
        "W_U": 30 * now.T,
        "W_Q": torch.stack([sharp * pad(where.T, 1), sharp * pad(now.T, 1)]),
        "W_K": torch.stack([pad(where.T @ shift, 1), pad(before.T, 1)]),
        "W_V": torch.stack([pad(now.T, 1), pad(now.T, 1)]),
        "W_O": torch.stack([pad(before, 0), pad(2 * now, 0)]),
    }
    return {name: x.float().contiguous() for name, x in w.items()}


# %% wrong 03.1: a drawn BOS becomes the next id, which then is twice as likely
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    half = torch.randint(0, d_vocab, (batch, n))
    half = torch.where(half == bos, (half + 1) % d_vocab, half)
    start = torch.full((batch, 1), bos, dtype=torch.int64)
    return torch.cat([start, half, half], dim=1)


# %% wrong 03.1: redraws every BOS, but with one common number
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    half = torch.randint(0, d_vocab, (batch, n))
    while (half == bos).any():
        half[half == bos] = int(torch.randint(0, d_vocab, (1,)))
    start = torch.full((batch, 1), bos, dtype=torch.int64)
    return torch.cat([start, half, half], dim=1)


# %% wrong 03.1: takes the upper end of randint as included, the last id never comes
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    half = torch.randint(0, d_vocab - 2, (batch, n))
    half = half + (half >= bos)
    start = torch.full((batch, 1), bos, dtype=torch.int64)
    return torch.cat([start, half, half], dim=1)


# %% wrong 03.1: multinomial without replacement
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    weights = torch.ones(batch, d_vocab)
    weights[:, bos] = 0.0
    half = torch.multinomial(weights, n)
    start = torch.full((batch, 1), bos, dtype=torch.int64)
    return torch.cat([start, half, half], dim=1)


# %% wrong 03.1: draws one half and repeats it for the whole batch
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    half = torch.randint(0, d_vocab - 1, (n,))
    half = half + (half >= bos)
    row = torch.cat([torch.tensor([bos]), half, half])
    return row.repeat(batch, 1)


# %% right 03.1: draws from one id fewer and steps over BOS
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos).long()
    start = torch.full((batch, 1), bos, dtype=torch.int64)
    return torch.cat([start, half, half], dim=1)


# %% right 03.1: random.choices from the list of allowed ids
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    import random

    allowed = [i for i in range(d_vocab) if i != bos]
    rows = []
    for _ in range(batch):
        half = random.choices(allowed, k=n)
        rows.append([bos, *half, *half])
    return torch.tensor(rows, dtype=torch.int64).reshape(batch, 1 + 2 * n)


# %% wrong 03.2: divides the second half by n though n - 1 count
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    return loss[:, :n].sum(dim=1) / n, loss[:, n + 1 :].sum(dim=1) / n


# %% wrong 03.2: drops the first token of both halves
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    halves = loss.reshape(loss.shape[0], 2, n)[:, :, 1:].mean(dim=2)
    return halves[:, 0], halves[:, 1]


# %% wrong 03.2: squeezes, so a batch of one comes as a scalar
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    first = loss[:, :n].mean(dim=1, keepdim=True)
    second = loss[:, n + 1 :].mean(dim=1, keepdim=True)
    return first.squeeze(), second.squeeze()


# %% wrong 03.2: counts the unforeseeable token in the first half
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    return loss[:, : n + 1].mean(dim=1), loss[:, n + 1 :].mean(dim=1)


# %% wrong 03.2: indexes the loss by token, as if loss[:, 0] were BOS's
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    return loss[:, 1 : n + 1].mean(dim=1), loss[:, n + 2 :].mean(dim=1)


# %% right 03.2: two slices
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    return loss[:, :n].mean(dim=1), loss[:, n + 1 :].mean(dim=1)


# %% right 03.2: by the position of the predicted token
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    token = torch.arange(loss.shape[1], device=loss.device) + 1
    in_first = token <= n
    in_second = token >= n + 2
    first = loss[:, in_first].sum(dim=-1) / n
    second = loss[:, in_second].sum(dim=-1) / (n - 1)
    return first, second


# %% wrong 03.3: query 0 counts in the attention to itself
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    mean = pattern.mean(dim=0)
    return {
        "prev": mean.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1),
        "current": mean.diagonal(dim1=-2, dim2=-1).mean(-1),
        "first": mean[:, 1:, 0].mean(-1),
    }


# %% wrong 03.3: query 0 counts in the attention to token 0
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    q = torch.arange(1, pattern.shape[-1], device=pattern.device)
    return {
        "prev": pattern[:, :, q, q - 1].mean(dim=(0, 2)),
        "current": pattern[:, :, q, q].mean(dim=(0, 2)),
        "first": pattern[:, :, :, 0].mean(dim=(0, 2)),
    }


# %% wrong 03.3: divides the previous-token sum by all positions
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    batch, _, s, _ = pattern.shape
    shifted = torch.eye(s, dtype=pattern.dtype, device=pattern.device)[:-1]
    shifted = torch.cat([torch.zeros_like(shifted[:1]), shifted])
    return {
        "prev": (pattern * shifted).sum(dim=(0, 2, 3)) / (batch * s),
        "current": pattern.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2)),
        "first": pattern[:, :, 1:, 0].mean(dim=(0, 2)),
    }


# %% wrong 03.3: "first" starts at query 2, since for query 1 it is the previous token
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    mean = pattern.mean(dim=0)
    return {
        "prev": mean.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1),
        "current": mean.diagonal(dim1=-2, dim2=-1)[:, 1:].mean(-1),
        "first": mean[:, 2:, 0].mean(-1),
    }


# %% wrong 03.3: squeezes away a single head
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    later = pattern[:, :, 1:]
    n_queries = later.shape[2]
    places = {
        "prev": torch.arange(n_queries),
        "current": torch.arange(1, n_queries + 1),
        "first": torch.zeros(n_queries, dtype=torch.int64),
    }
    scores = {}
    for name, keys in places.items():
        index = keys.to(pattern.device).view(1, 1, -1, 1).expand(*later.shape[:3], 1)
        scores[name] = later.gather(-1, index).mean(dim=(0, 2), keepdim=True).squeeze()
    return scores


# %% right 03.3: diagonals, once more
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    return {
        "prev": pattern.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=(0, 2)),
        "current": pattern.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2)),
        "first": pattern[:, :, 1:, 0].mean(dim=(0, 2)),
    }


# %% right 03.3: loop over the queries
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    s = pattern.shape[2]
    mean = pattern.mean(dim=0)
    prev = sum(mean[:, q, q - 1] for q in range(1, s)) / (s - 1)
    current = sum(mean[:, q, q] for q in range(1, s)) / (s - 1)
    first = sum(mean[:, q, 0] for q in range(1, s)) / (s - 1)
    return dict(prev=prev, current=current, first=first)


# %% wrong 03.4: the whole diagonal, with the last token of the first half looking at BOS
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=-n, dim1=-2, dim2=-1).mean(dim=(0, 2))


# %% wrong 03.4: leaves out the last token
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    q = torch.arange(n + 1, 2 * n, device=pattern.device)
    return pattern[:, :, q, q - n].mean(dim=(0, 2))


# %% wrong 03.4: einsum sums over the batch, divided by n only
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    block = pattern[:, :, n + 1 :, 1 : n + 1]
    return torch.einsum("bhii->h", block) / n


# %% wrong 03.4: forgets BOS, the halves are taken at 0..n-1 and n..2n-1
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    block = pattern[:, :, n : 2 * n, :n]
    return block.diagonal(dim1=-2, dim2=-1).mean(-1).mean(0)


# %% wrong 03.4: leaves out the second half's first token as unforeseeable
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=-n, dim1=-2, dim2=-1)[..., 2:].mean(dim=(0, 2))


# %% right 03.4: diagonal without its first entry, once more
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=-n, dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2))


# %% right 03.4: indices of queries and keys
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    per_query = [pattern[:, :, n + i, i].mean(dim=0) for i in range(1, n + 1)]
    return torch.stack(per_query).mean(dim=0)


# %% wrong 03.5: the whole diagonal, two queries of the first half included
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=1 - n, dim1=-2, dim2=-1).mean(dim=(0, 2))


# %% wrong 03.5: drops only one entry of the diagonal
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=1 - n, dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2))


# %% wrong 03.5: leaves out the last query, whose follower is in the second half
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    block = pattern[:, :, n + 1 : 2 * n, 2 : n + 1]
    return block.diagonal(dim1=-2, dim2=-1).mean(dim=(0, 2))


# %% wrong 03.5: the last query's key wraps around to the first half's start
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    i = torch.arange(n, device=pattern.device)
    return pattern[:, :, n + 1 + i, 1 + (i + 1) % n].mean(dim=(0, 2))


# %% wrong 03.5: looks at what preceded the first occurrence
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=-(n + 1), dim1=-2, dim2=-1).mean(dim=(0, 2))


# %% right 03.5: the last n entries of the diagonal
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=1 - n, dim1=-2, dim2=-1)[..., -n:].mean(dim=(0, 2))


# %% right 03.5: sum over pairs of query and key
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    total = torch.zeros_like(pattern[0, :, 0, 0])
    for query in range(n + 1, 2 * n + 1):
        first_time = query - n
        total = total + pattern[:, :, query, first_time + 1].mean(dim=0)
    return total / n


# %% wrong 03.6: splits the flat index by the number of layers
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    n_layers = scores.shape[0]
    return [(int(i) // n_layers, int(i) % n_layers) for i in scores.flatten().topk(k).indices]


# %% wrong 03.6: finds each top value again by equality, ties give the same head twice
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    found = []
    for value in scores.flatten().topk(k).values:
        layer, head = (scores == value).nonzero()[0].tolist()
        found.append((layer, head))
    return found


# %% wrong 03.6: numpy's unravel_index, whose numbers are no ints
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    import numpy as np

    order = scores.detach().cpu().flatten().argsort(descending=True)[:k].numpy()
    layers, heads = np.unravel_index(order, tuple(scores.shape))
    return list(zip(layers, heads))


# %% wrong 03.6: takes the maximum again and again, crossing out with 0 (negative scores)
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    left = scores.detach().clone()
    found = []
    for _ in range(k):
        layer, head = divmod(int(left.argmax()), scores.shape[1])
        found.append((layer, head))
        left[layer, head] = 0.0
    return found


# %% wrong 03.6: all heads that reach the k-th score, more than k with ties
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    threshold = scores.flatten().sort(descending=True).values[k - 1]
    chosen = [(layer, head) for layer, head in (scores >= threshold).nonzero().tolist()]
    return sorted(chosen, key=lambda place: -scores[place].item())


# %% right 03.6: topk and divmod, 3
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    return [divmod(i, scores.shape[1]) for i in scores.flatten().topk(k).indices.tolist()]


# %% right 03.6: sorts a list of places
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    values = scores.tolist()
    places = [(layer, head) for layer, row in enumerate(values) for head in range(len(row))]
    places.sort(key=lambda place: values[place[0]][place[1]], reverse=True)
    return places[:k]


# %% wrong 03.7: a score of 5, too little against many positions
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    token, prev, pos, out = 0, d_vocab, 2 * d_vocab, 2 * d_vocab + n_ctx
    d_model = 3 * d_vocab + n_ctx
    d_head = max(d_vocab, n_ctx)
    strength = 5.0 * math.sqrt(d_head)
    t, p = torch.arange(d_vocab), torch.arange(n_ctx)
    W_E, W_pos = torch.zeros(d_vocab, d_model), torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    W_E[t, token + t] = 1.0
    W_pos[p, pos + p] = 1.0
    W_U[out + t, t] = 50.0
    W_Q[0, pos + p[1:], p[:-1]] = strength
    W_K[0, pos + p, p] = 1.0
    W_V[0, token + t, t] = 1.0
    W_O[0, t, prev + t] = 1.0
    W_Q[1, token + t, t] = strength
    W_K[1, prev + t, t] = 1.0
    W_V[1, token + t, t] = 1.0
    W_O[1, t, out + t] = 1.0
    return dict(W_E=W_E, W_pos=W_pos, W_U=W_U, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)


# %% wrong 03.7: logits of 4, too little against a large vocabulary
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    token, prev, pos, out = 0, d_vocab, 2 * d_vocab, 2 * d_vocab + n_ctx
    d_model = 3 * d_vocab + n_ctx
    d_head = max(d_vocab, n_ctx)
    strength = 50.0 * math.sqrt(d_head)
    t, p = torch.arange(d_vocab), torch.arange(n_ctx)
    W_E, W_pos = torch.zeros(d_vocab, d_model), torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    W_E[t, token + t] = 1.0
    W_pos[p, pos + p] = 1.0
    W_U[out + t, t] = 4.0
    W_Q[0, pos + p[1:], p[:-1]] = strength
    W_K[0, pos + p, p] = 1.0
    W_V[0, token + t, t] = 1.0
    W_O[0, t, prev + t] = 1.0
    W_Q[1, token + t, t] = strength
    W_K[1, prev + t, t] = 1.0
    W_V[1, token + t, t] = 1.0
    W_O[1, t, out + t] = 1.0
    return dict(W_E=W_E, W_pos=W_pos, W_U=W_U, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)


# %% wrong 03.7: heads as wide as the vocabulary, too narrow for a longer context
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    token, prev, pos, out = 0, d_vocab, 2 * d_vocab, 2 * d_vocab + n_ctx
    d_model = 3 * d_vocab + n_ctx
    d_head = d_vocab
    strength = 50.0 * math.sqrt(d_head)
    t, p = torch.arange(d_vocab), torch.arange(n_ctx)
    W_E, W_pos = torch.zeros(d_vocab, d_model), torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    W_E[t, token + t] = 1.0
    W_pos[p, pos + p] = 1.0
    W_U[out + t, t] = 50.0
    W_Q[0, pos + p[1:], p[:-1]] = strength
    W_K[0, pos + p, p] = 1.0
    W_V[0, token + t, t] = 1.0
    W_O[0, t, prev + t] = 1.0
    W_Q[1, token + t, t] = strength
    W_K[1, prev + t, t] = 1.0
    W_V[1, token + t, t] = 1.0
    W_O[1, t, out + t] = 1.0
    return dict(W_E=W_E, W_pos=W_pos, W_U=W_U, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)


# %% wrong 03.7: positions on a circle, neighbours too close in a long context
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    token, prev, pos, out = 0, d_vocab, 2 * d_vocab, 2 * d_vocab + 2
    d_model = 3 * d_vocab + 2
    d_head = d_vocab
    t = torch.arange(d_vocab)
    W_E, W_pos = torch.zeros(d_vocab, d_model), torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    step = 2 * math.pi / n_ctx
    angle = step * torch.arange(n_ctx)
    W_E[t, token + t] = 1.0
    W_pos[:, pos], W_pos[:, pos + 1] = angle.cos(), angle.sin()
    W_U[out + t, t] = 50.0
    # turns the query's position back by one step
    turn = torch.tensor([[math.cos(step), -math.sin(step)], [math.sin(step), math.cos(step)]])
    W_Q[0, pos : pos + 2, :2] = 100.0 * math.sqrt(d_head) * turn
    W_K[0, pos : pos + 2, :2] = torch.eye(2)
    W_V[0, token + t, t] = 1.0
    W_O[0, t, prev + t] = 1.0
    W_Q[1, token + t, t] = 50.0 * math.sqrt(d_head)
    W_K[1, prev + t, t] = 1.0
    W_V[1, token + t, t] = 1.0
    W_O[1, t, out + t] = 1.0
    return dict(W_E=W_E, W_pos=W_pos, W_U=W_U, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)


# %% wrong 03.7: layer 1 looks back by a fixed distance, right for the longest repeat only
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    token, prev, pos, out = 0, d_vocab, 2 * d_vocab, 2 * d_vocab + n_ctx
    d_model = 3 * d_vocab + n_ctx
    d_head = max(d_vocab, n_ctx)
    strength = 50.0 * math.sqrt(d_head)
    back = (n_ctx - 1) // 2 - 1
    t, p = torch.arange(d_vocab), torch.arange(n_ctx)
    W_E, W_pos = torch.zeros(d_vocab, d_model), torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    W_E[t, token + t] = 1.0
    W_pos[p, pos + p] = 1.0
    W_U[out + t, t] = 50.0
    W_Q[0, pos + p[1:], p[:-1]] = strength
    W_K[0, pos + p, p] = 1.0
    W_V[0, token + t, t] = 1.0
    W_O[0, t, prev + t] = 1.0
    W_Q[1, pos + p[back:], p[: n_ctx - back]] = strength
    W_K[1, pos + p, p] = 1.0
    W_V[1, token + t, t] = 1.0
    W_O[1, t, out + t] = 1.0
    return dict(W_E=W_E, W_pos=W_pos, W_U=W_U, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)


# %% right 03.7: four subspaces, filled by index
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    token, prev, pos, out = 0, d_vocab, 2 * d_vocab, 2 * d_vocab + n_ctx
    d_model = 3 * d_vocab + n_ctx
    d_head = max(d_vocab, n_ctx)
    strength = 50.0 * math.sqrt(d_head)
    t, p = torch.arange(d_vocab), torch.arange(n_ctx)
    W_E, W_pos = torch.zeros(d_vocab, d_model), torch.zeros(n_ctx, d_model)
    W_U = torch.zeros(d_model, d_vocab)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    W_E[t, token + t] = 1.0
    W_pos[p, pos + p] = 1.0
    W_U[out + t, t] = 50.0
    # layer 0: the query at p asks for p - 1 and notes its token
    W_Q[0, pos + p[1:], p[:-1]] = strength
    W_K[0, pos + p, p] = 1.0
    W_V[0, token + t, t] = 1.0
    W_O[0, t, prev + t] = 1.0
    # layer 1: asks for the place whose previous token is mine, and copies its token
    W_Q[1, token + t, t] = strength
    W_K[1, prev + t, t] = 1.0
    W_V[1, token + t, t] = 1.0
    W_O[1, t, out + t] = 1.0
    return dict(W_E=W_E, W_pos=W_pos, W_U=W_U, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)


# %% right 03.7: blocks of unit matrices, output into the token space
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    v, c = d_vocab, n_ctx
    d_model, d_head = 2 * v + c, v + c  # stream: token | previous token | position; head: token | position
    eye_v, eye_c = torch.eye(v), torch.eye(c)
    one_back = torch.diag(torch.ones(c - 1), diagonal=-1)  # row p has its one in column p - 1
    sharp = 60.0 * d_head**0.5

    def place(block: Tensor, rows: int, columns: int, row: int, column: int) -> Tensor:
        matrix = torch.zeros(rows, columns)
        matrix[row : row + block.shape[0], column : column + block.shape[1]] = block
        return matrix

    token_to_head = place(eye_v, d_model, d_head, 0, 0)
    return {
        "W_E": place(eye_v, v, d_model, 0, 0),
        "W_pos": place(eye_c, c, d_model, 0, 2 * v),
        "W_U": place(10.0 * eye_v, d_model, v, 0, 0),
        "W_Q": torch.stack([place(sharp * one_back, d_model, d_head, 2 * v, v), sharp * token_to_head]),
        "W_K": torch.stack([place(eye_c, d_model, d_head, 2 * v, v), place(eye_v, d_model, d_head, v, 0)]),
        "W_V": torch.stack([token_to_head, token_to_head]),
        "W_O": torch.stack([place(eye_v, d_head, d_model, 0, v), place(6.0 * eye_v, d_head, d_model, 0, 0)]),
    }

# %% wrong 03.1: draws the BOS ids once more, once only
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    half = torch.randint(0, d_vocab, (batch, n))
    again = torch.randint(0, d_vocab, (batch, n))
    half = torch.where(half == bos, again, half)
    start = torch.full((batch, 1), bos)
    return torch.cat([start, half, half], dim=1)


# %% wrong 03.1: BOS ids become their neighbour, which is twice as likely
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    half = torch.randint(0, d_vocab, (batch, n))
    half[half == bos] = (bos + 1) % d_vocab
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)


# %% wrong 03.1: every row shuffles the same tokens
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    import random

    allowed = [t for t in range(d_vocab) if t != bos]
    half = random.choices(allowed, k=n)
    rows = []
    for _ in range(batch):
        random.shuffle(half)
        rows.append([bos] + half + half)
    return torch.tensor(rows, dtype=torch.int64).reshape(batch, 1 + 2 * n)


# %% wrong 03.1: an own generator with a fixed seed, the same prompts in every call
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    generator = torch.Generator().manual_seed(0)
    half = torch.randint(0, d_vocab - 1, (batch, n), generator=generator)
    half = half + (half >= bos).long()
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)


# %% right 03.1: draws one id less and steps over BOS
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    half = torch.randint(d_vocab - 1, (batch, n))
    half = half + (half >= bos).long()
    start = torch.full((batch, 1), bos, dtype=torch.int64)
    return torch.cat([start, half, half], dim=1)


# %% right 03.1: python lists and random.choice
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    import random

    allowed = [token for token in range(d_vocab) if token != bos]
    out = torch.empty(batch, 1 + 2 * n, dtype=torch.int64)
    for row in range(batch):
        half = [random.choice(allowed) for _ in range(n)]
        out[row] = torch.tensor([bos, *half, *half])
    return out


# %% wrong 03.2: leaves the first token of the first half out too
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    return loss[:, 1:n].mean(dim=1), loss[:, n + 1 :].mean(dim=1)


# %% wrong 03.2: divides the second half's n - 1 losses by n
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    position = torch.arange(loss.shape[1], device=loss.device)
    first = torch.where(position < n, loss, 0).sum(dim=1) / n
    second = torch.where(position > n, loss, 0).sum(dim=1) / n
    return first, second


# %% wrong 03.2: thinks that the last column predicts nothing
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    first = loss[:, :n]
    second = loss[:, n + 1 : 2 * n - 1]
    return first.mean(-1), second.sum(-1) / max(second.shape[1], 1)


# %% wrong 03.2: a view as (2, b, n), which mixes the rows
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    first, second = loss.reshape(2, -1, n)
    return first.mean(dim=-1), second[:, 1:].mean(dim=-1)


# %% right 03.2: two slices (third set)
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    return loss[:, :n].mean(dim=1), loss[:, n + 1 :].mean(dim=1)


# %% right 03.2: weights and a matrix product (third set)
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    weights = loss.new_zeros(2 * n, 2)
    for i in range(2 * n):
        predicted = i + 1
        if 1 <= predicted <= n:
            weights[i, 0] = 1 / n
        elif predicted >= n + 2:
            weights[i, 1] = 1 / (n - 1)
    means = torch.einsum("bi,ih->hb", loss, weights)
    return means[0], means[1]


# %% wrong 03.3: query 0 cut off first, so that the diagonals have moved
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    later = pattern[:, :, 1:]  # from query 1 on
    return {
        "prev": later.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=(0, -1)),
        "current": later.diagonal(dim1=-2, dim2=-1).mean(dim=(0, -1)),
        "first": later[..., 0].mean(dim=(0, -1)),
    }


# %% wrong 03.3: query 0 counts for current and first
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    def mean(x):
        return x.mean(-1).mean(0)

    return {
        "prev": mean(pattern.diagonal(-1, 2, 3)),
        "current": mean(pattern.diagonal(0, 2, 3)),
        "first": mean(pattern[..., 0]),
    }


# %% wrong 03.3: prev divided by all queries
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    s = pattern.shape[-1]
    shifted = torch.eye(s, dtype=pattern.dtype, device=pattern.device).roll(-1, dims=1)
    shifted[0] = 0
    prev = (pattern * shifted).sum(dim=-1).mean(dim=(0, 2))
    current = pattern.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2))
    first = pattern[:, :, 1:, 0].mean(dim=(0, 2))
    return {"prev": prev, "current": current, "first": first}


# %% wrong 03.3: query 1 counts as looking at the first token, not at the previous one
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    queries = torch.arange(1, pattern.shape[2], device=pattern.device)
    previous = pattern[:, :, queries, queries - 1]
    if previous.shape[-1] > 1:
        previous = previous[..., 1:]
    return {
        "prev": previous.mean(dim=(0, 2)),
        "current": pattern[:, :, queries, queries].mean(dim=(0, 2)),
        "first": pattern[:, :, queries, 0].mean(dim=(0, 2)),
    }


# %% right 03.3: with diagonals
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    return {
        "prev": pattern.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=(0, 2)),
        "current": pattern.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2)),
        "first": pattern[:, :, 1:, 0].mean(dim=(0, 2)),
    }


# %% right 03.3: a loop over the queries
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    mean_pattern = pattern.mean(dim=0)  # h q k
    queries = range(1, pattern.shape[2])
    target = {"prev": lambda q: q - 1, "current": lambda q: q, "first": lambda q: 0}
    return {
        name: sum(mean_pattern[:, q, key(q)] for q in queries) / len(queries) for name, key in target.items()
    }


# %% wrong 03.4: the whole diagonal, with the entry of token n at BOS
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=-n, dim1=-2, dim2=-1).mean(dim=(0, -1))


# %% wrong 03.4: cuts the halves as if there were no BOS
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    block = pattern[:, :, n : 2 * n, :n]
    return torch.einsum("bhii->h", block) / (block.shape[0] * n)


# %% wrong 03.4: attention to anything in the first half
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern[:, :, n + 1 :, 1 : n + 1].sum(dim=-1).mean(dim=(0, 2))


# %% wrong 03.4: the first token of the second half does not count
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    queries = torch.arange(n + 2, 2 * n + 1, device=pattern.device)
    return pattern[:, :, queries, queries - n].mean(dim=(0, 2))


# %% right 03.4: block and diagonal
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    block = pattern[:, :, n + 1 :, 1 : n + 1]
    return block.diagonal(dim1=-2, dim2=-1).mean(dim=(0, -1))


# %% right 03.4: a sum over queries
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    total = torch.zeros_like(pattern[0, :, 0, 0])
    for q in range(n + 1, 2 * n + 1):
        total = total + pattern[:, :, q, q - n].mean(dim=0)
    return total / n


# %% wrong 03.5: the whole diagonal, with two queries before the second half
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    return pattern.diagonal(offset=1 - n, dim1=-2, dim2=-1).mean(dim=(0, -1))


# %% wrong 03.5: the last query does not count, its successor lies in the second half
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    queries = torch.arange(n + 1, max(2 * n, n + 2), device=pattern.device)
    return pattern[:, :, queries, queries - n + 1].mean(dim=(0, 2))


# %% wrong 03.5: the last query wraps around to the first token of the first half
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    index = torch.arange(n, device=pattern.device)
    queries = n + 1 + index
    keys = 1 + (index + 1) % n
    return pattern[:, :, queries, keys].mean(dim=(0, 2))


# %% wrong 03.5: summed over the batch
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    block = pattern[:, :, n + 1 :, 2 : n + 2]
    return torch.einsum("bhii->h", block) / n


# %% right 03.5: last n entries of the diagonal (third set)
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    stripe = pattern.diagonal(offset=-(n - 1), dim1=-2, dim2=-1)
    return stripe[..., -n:].mean(dim=(0, 2))


# %% right 03.5: by index pairs, head by head
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    pairs = [(q, q - n + 1) for q in range(n + 1, 2 * n + 1)]
    scores = []
    for h in range(pattern.shape[1]):
        looks = torch.stack([pattern[:, h, q, k] for q, k in pairs])
        scores.append(looks.mean())
    return torch.stack(scores)


# %% wrong 03.6: divides by the number of layers (third set)
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    width = len(scores)
    best = scores.flatten().topk(k).indices.tolist()
    return [(i // width, i % width) for i in best]


# %% wrong 03.6: finds the place by its value, one head twice when scores are equal
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    best = scores.flatten().sort(descending=True).values[:k]
    return [tuple((scores == value).nonzero()[0].tolist()) for value in best]


# %% wrong 03.6: crosses a found head out with zero, though scores may be negative
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    left = scores.detach().clone()
    out = []
    for _ in range(k):
        layer, head = divmod(int(left.argmax()), left.shape[1])
        out.append((layer, head))
        left[layer, head] = 0.0
    return out


# %% wrong 03.6: layer and head are tensors
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    indices = torch.topk(scores.reshape(-1), k).indices
    layers = indices // scores.shape[1]
    heads = indices % scores.shape[1]
    return list(zip(layers, heads))


# %% right 03.6: topk and divmod (third set)
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    n_heads = scores.shape[1]
    return [divmod(i, n_heads) for i in scores.flatten().topk(k).indices.tolist()]


# %% right 03.6: sorts all heads in python
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    table = scores.tolist()
    heads = [(layer, head) for layer, row in enumerate(table) for head in range(len(row))]
    heads.sort(key=lambda lh: table[lh[0]][lh[1]], reverse=True)
    return heads[:k]


# %% wrong 03.7: forgets that scores are divided by the root of d_head
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    V, P = d_vocab, n_ctx
    d_model, d_head = 3 * V + P, max(V, P)
    tok, pos, prev, out = 0, V, V + P, 2 * V + P
    W_E = torch.zeros(V, d_model)
    W_pos = torch.zeros(P, d_model)
    W_U = torch.zeros(d_model, V)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    sharp = 10.0
    for t in range(V):
        W_E[t, tok + t] = 1
        W_V[:, tok + t, t] = 1
        W_O[0, t, prev + t] = 1
        W_Q[1, tok + t, t] = sharp
        W_K[1, prev + t, t] = 1
        W_O[1, t, out + t] = 1
        W_U[out + t, t] = 30
    for i in range(P):
        W_pos[i, pos + i] = 1
        W_K[0, pos + i, i] = 1
        if i > 0:
            W_Q[0, pos + i, i - 1] = sharp
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}


# %% wrong 03.7: writes the prediction with the same strength over the current token
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    d_head = max(d_vocab, n_ctx)
    d_model = 2 * d_vocab + n_ctx
    basis, head = torch.eye(d_model), torch.eye(d_head)
    tok, pos, prev = basis.split([d_vocab, n_ctx, d_vocab])
    sharp = 30 * math.sqrt(d_head)
    h_tok, h_pos = head[:d_vocab], head[:n_ctx]
    return {
        "W_E": tok.clone(),
        "W_pos": pos.clone(),
        "W_U": 30 * tok.T,
        "W_Q": torch.stack([sharp * pos[1:].T @ h_pos[:-1], sharp * tok.T @ h_tok]),
        "W_K": torch.stack([pos.T @ h_pos, prev.T @ h_tok]),
        "W_V": torch.stack([tok.T @ h_tok, tok.T @ h_tok]),
        "W_O": torch.stack([h_tok.T @ prev, h_tok.T @ tok]),
    }


# %% wrong 03.7: heads only as wide as the vocabulary, positions wrap around
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    V, P = d_vocab, n_ctx
    d_model, d_head = 3 * V + P, V
    W_E = torch.zeros(V, d_model)
    W_pos = torch.zeros(P, d_model)
    W_U = torch.zeros(d_model, V)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    beta = 40 * math.sqrt(d_head)
    t = torch.arange(V)
    p = torch.arange(P)
    W_E[t, t] = 1
    W_pos[p, V + p] = 1
    W_Q[0, V + p, (p - 1) % d_head] = beta
    W_K[0, V + p, p % d_head] = 1
    W_V[0, t, t] = 1
    W_O[0, t, V + P + t] = 1
    W_Q[1, t, t] = beta
    W_K[1, V + P + t, t] = 1
    W_V[1, t, t] = 1
    W_O[1, t, 2 * V + P + t] = 1
    W_U[2 * V + P + t, t] = 40
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}


# %% wrong 03.7: logits of a fixed small size, too small for a large vocabulary
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    d_head = max(d_vocab, n_ctx)
    d_model = 3 * d_vocab + n_ctx
    basis, head = torch.eye(d_model), torch.eye(d_head)
    tok, pos, prev, out = basis.split([d_vocab, n_ctx, d_vocab, d_vocab])
    sharp = 30 * math.sqrt(d_head)
    h_tok, h_pos = head[:d_vocab], head[:n_ctx]
    return {
        "W_E": tok.clone(),
        "W_pos": pos.clone(),
        "W_U": 5 * out.T,
        "W_Q": torch.stack([sharp * pos[1:].T @ h_pos[:-1], sharp * tok.T @ h_tok]),
        "W_K": torch.stack([pos.T @ h_pos, prev.T @ h_tok]),
        "W_V": torch.stack([tok.T @ h_tok, tok.T @ h_tok]),
        "W_O": torch.stack([h_tok.T @ prev, h_tok.T @ out]),
    }


# %% right 03.7: one-hot rooms filled entry by entry
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    V, P = d_vocab, n_ctx
    d_model, d_head = 3 * V + P, max(V, P)
    tok, pos, prev, out = 0, V, V + P, 2 * V + P  # where each room begins
    W_E = torch.zeros(V, d_model)
    W_pos = torch.zeros(P, d_model)
    W_U = torch.zeros(d_model, V)
    W_Q, W_K, W_V = (torch.zeros(2, d_model, d_head) for _ in range(3))
    W_O = torch.zeros(2, d_head, d_model)
    sharp = 40 * math.sqrt(d_head)
    for t in range(V):
        W_E[t, tok + t] = 1
        W_V[:, tok + t, t] = 1
        W_O[0, t, prev + t] = 1
        W_Q[1, tok + t, t] = sharp
        W_K[1, prev + t, t] = 1
        W_O[1, t, out + t] = 1
        W_U[out + t, t] = 40
    for i in range(P):
        W_pos[i, pos + i] = 1
        W_K[0, pos + i, i] = 1
        if i > 0:
            W_Q[0, pos + i, i - 1] = sharp
    return {"W_E": W_E, "W_pos": W_pos, "W_U": W_U, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}


# %% right 03.7: products of basis vectors, the prediction doubled over the current token
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    d_head = max(d_vocab, n_ctx)
    d_model = 2 * d_vocab + n_ctx
    basis, head = torch.eye(d_model), torch.eye(d_head)
    tok, pos, prev = basis.split([d_vocab, n_ctx, d_vocab])
    sharp = 30 * math.sqrt(d_head)
    h_tok, h_pos = head[:d_vocab], head[:n_ctx]
    return {
        "W_E": tok.clone(),
        "W_pos": pos.clone(),
        "W_U": 30 * tok.T,
        "W_Q": torch.stack([sharp * pos[1:].T @ h_pos[:-1], sharp * tok.T @ h_tok]),
        "W_K": torch.stack([pos.T @ h_pos, prev.T @ h_tok]),
        "W_V": torch.stack([tok.T @ h_tok, tok.T @ h_tok]),
        "W_O": torch.stack([h_tok.T @ prev, 2 * h_tok.T @ tok]),
    }
