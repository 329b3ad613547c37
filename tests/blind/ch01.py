# %% wrong 01.1: unbiased variance (divides by d - 1)
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        return x / (x.var(-1, keepdim=True) + self.eps).sqrt() * self.w + self.b

# %% wrong 01.1: eps is added to the standard deviation, outside the root
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        mean = x.mean(dim=-1, keepdim=True)
        std = x.var(dim=-1, keepdim=True, unbiased=False).sqrt()
        return (x - mean) / (std + self.eps) * self.w + self.b

# %% wrong 01.1: changes x in place
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        x -= x.mean(-1, keepdim=True)
        scale = (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()
        return x / scale * self.w + self.b

# %% wrong 01.1: mean and variance over positions too
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        mean = x.mean(dim=(1, 2), keepdim=True)
        var = x.var(dim=(1, 2), keepdim=True, unbiased=False)
        return (x - mean) / torch.sqrt(var + self.eps) * self.w + self.b

# %% wrong 01.1: eps hard-coded
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.layer_norm(x, (x.shape[-1],), self.w, self.b)

# %% wrong 01.1: RMS norm, the mean is not subtracted in the numerator
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        var = x.var(-1, keepdim=True, correction=0)
        return x / torch.sqrt(var + self.eps) * self.w + self.b

# %% wrong 01.1: bias is forgotten
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        return self.w * x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt()

# %% wrong 01.1: divides by the variance, not by its root
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + self.eps) * self.w + self.b

# %% right 01.1: F.layer_norm with everything given
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.layer_norm(x, self.w.shape, self.w, self.b, self.eps)

# %% right 01.1: by the formula, var with correction 0
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        var, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.w + self.b

# %% right 01.1: out of the sums, in place only on own tensors
class LayerNorm(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        d = x.size(-1)
        centred = x - x.sum(-1, keepdim=True) / d
        var = (centred * centred).sum(-1, keepdim=True) / d
        return centred / (var + self.eps) ** 0.5 * self.w + self.b

# %% wrong 01.2: one-hot without the size of the vocabulary
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return F.one_hot(tokens).float() @ self.W_E

# %% wrong 01.2: scaled by sqrt(d_model), as in the first transformer paper
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E[tokens] * math.sqrt(self.W_E.shape[1])

# %% wrong 01.2: only the first row of the batch
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E[tokens[0]].unsqueeze(0)

# %% wrong 01.2: bare squeeze drops a batch or a sequence of one
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E[tokens].squeeze()

# %% wrong 01.2: token 0 is treated as padding and gets a zero vector
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E[tokens] * (tokens != 0).unsqueeze(-1)

# %% wrong 01.2: no gradient reaches W_E
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E.data[tokens]

# %% wrong 01.2: columns instead of rows
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E[:, tokens].permute(1, 2, 0)

# %% right 01.2: indexing
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E[tokens]

# %% right 01.2: F.embedding
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return F.embedding(tokens, self.W_E)

# %% right 01.2: one-hot times matrix
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        hot = F.one_hot(tokens.long(), num_classes=self.W_E.shape[0]).to(self.W_E.dtype)
        return einsum(hot, self.W_E, "b s v, v d -> b s d")

# %% right 01.2: index_select on the flat tokens
class Embed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E.index_select(0, tokens.flatten()).view(*tokens.shape, -1)

# %% wrong 01.3: indexes with the token ids
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        return self.W_pos[tokens]

# %% wrong 01.3: positions from 1
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_pos[1 : s + 1].expand(b, -1, -1)

# %% wrong 01.3: batch size instead of sequence length
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        return self.W_pos[: len(tokens)].unsqueeze(0).repeat(len(tokens), 1, 1)

# %% wrong 01.3: all n_ctx positions
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        return self.W_pos.expand(tokens.shape[0], -1, -1)

# %% wrong 01.3: no batch axis
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        return self.W_pos[: tokens.shape[1]]

# %% wrong 01.3: positions skip token 0, as if it were padding
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        pos = ((tokens != 0).cumsum(-1) - 1).clamp(min=0)
        return self.W_pos[pos]

# %% wrong 01.3: positions run on through the batch
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_pos[torch.arange(b * s).view(b, s) % self.W_pos.shape[0]]

# %% wrong 01.3: counts from the end
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        return self.W_pos[-tokens.shape[1] :].expand(tokens.shape[0], -1, -1)

# %% right 01.3: slice and expand
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_pos[:s].expand(b, s, -1)

# %% right 01.3: index with arange
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        pos = torch.arange(tokens.shape[-1], device=tokens.device).expand_as(tokens)
        return self.W_pos[pos]

# %% right 01.3: stack of equal rows
class PosEmbed(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        rows = F.embedding(torch.arange(tokens.size(1), device=tokens.device), self.W_pos)
        return torch.stack([rows] * tokens.size(0))

# %% wrong 01.4: the diagonal is masked as well
def causal_mask(scores):
    q, k = scores.shape[-2:]
    mask = torch.ones(q, k, dtype=torch.bool).triu(k - q)
    return scores.masked_fill(mask, -torch.inf)

# %% wrong 01.4: queries are taken as the first positions, not the last
def causal_mask(scores):
    q, k = scores.shape[-2:]
    mask = torch.triu(torch.ones(q, k, dtype=torch.bool), diagonal=1)
    return scores.masked_fill(mask, float("-inf"))

# %% wrong 01.4: in place
def causal_mask(scores):
    q, k = scores.shape[-2:]
    mask = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    scores.masked_fill_(mask, -torch.inf)
    return scores

# %% wrong 01.4: zero instead of -inf
def causal_mask(scores):
    q, k = scores.shape[-2:]
    return torch.tril(scores, diagonal=k - q)

# %% wrong 01.4: adds -inf * 0, which is nan
def causal_mask(scores):
    q, k = scores.shape[-2:]
    return scores + torch.ones(q, k).triu(k - q + 1) * -torch.inf

# %% wrong 01.4: large negative number, not -inf
def causal_mask(scores):
    q, k = scores.shape[-2:]
    mask = torch.ones(q, k, dtype=torch.bool).triu(k - q + 1)
    return torch.where(mask, torch.full_like(scores, -1e5), scores)

# %% wrong 01.4: masks the past instead of the future
def causal_mask(scores):
    q, k = scores.shape[-2:]
    return scores.masked_fill(torch.ones(q, k, dtype=torch.bool).tril(k - q - 1), -torch.inf)

# %% wrong 01.4: square mask only, breaks for one query and four keys
def causal_mask(scores):
    s = scores.shape[-1]
    mask = torch.ones(s, s, dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, -torch.inf)

# %% wrong 01.4: treats a score of 0 as masked (later entries found by tril == 0)
def causal_mask(scores):
    q, k = scores.shape[-2:]
    out = torch.tril(scores, k - q)
    return out.masked_fill(out == 0, -torch.inf)

# %% right 01.4: masked_fill with positions
def causal_mask(scores):
    q, k = scores.shape[-2:]
    key = torch.arange(k, device=scores.device)
    query = torch.arange(k - q, k, device=scores.device)
    return scores.masked_fill(key[None, :] > query[:, None], -torch.inf)

# %% right 01.4: where with tril
def causal_mask(scores):
    q, k = scores.shape[-2:]
    seen = torch.ones_like(scores, dtype=torch.bool).tril(k - q)
    return torch.where(seen, scores, torch.tensor(float("-inf"), dtype=scores.dtype, device=scores.device))

# %% right 01.4: last rows of the square mask
def causal_mask(scores):
    q, k = scores.shape[2], scores.shape[3]
    square = torch.full((k, k), -math.inf, device=scores.device, dtype=scores.dtype).triu(1)
    return scores + square[k - q :]

# %% right 01.4: loop on a clone
def causal_mask(scores):
    out = scores.clone()
    q, k = out.shape[-2:]
    for i in range(q):
        out[..., i, k - q + i + 1 :] = -math.inf
    return out

# %% wrong 01.5: forgets the scale
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k")
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(-1)

# %% wrong 01.5: divides by e, not by its root
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1]
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(-1)

# %% wrong 01.5: root of the number of heads
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[2])
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(-1)

# %% wrong 01.5: softmax over the queries
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(-2)

# %% wrong 01.5: softmax first, then the mask: rows do not add up to 1
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    return scores.softmax(-1).tril()

# %% wrong 01.5: exp without subtracting the maximum overflows for large scores
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    w = scores.exp().tril()
    return w / w.sum(-1, keepdim=True)

# %% wrong 01.5: scales q in place
def attention_pattern(q, k):
    q /= math.sqrt(q.shape[-1])
    scores = einsum(q, k, "b q h e, b k h e -> b h q k")
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(-1)

# %% wrong 01.5: queries and keys swapped
def attention_pattern(q, k):
    scores = einsum(q, k, "b k h e, b q h e -> b h q k") / math.sqrt(q.shape[-1])
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(-1)

# %% wrong 01.5: masked scores are 0 before the softmax
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    return scores.tril().softmax(-1)

# %% right 01.5: einsum
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(-1)

# %% right 01.5: matmul of permuted tensors
def attention_pattern(q, k):
    qh, kh = q.transpose(1, 2), k.permute(0, 2, 3, 1)
    scores = (qh @ kh) * q.shape[-1] ** -0.5
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril(k.shape[1] - q.shape[1])
    return F.softmax(scores.masked_fill(~seen, -torch.inf), dim=-1)

# %% right 01.5: PyTorch's attention with the identity as values
def attention_pattern(q, k):
    b, s, h, _ = q.shape
    eye = torch.eye(s, dtype=q.dtype, device=q.device).expand(b, h, s, s)
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), eye, is_causal=True)

# %% wrong 01.6: b_O is added once for each head
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_K) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V) + self.b_V
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
        z = torch.einsum("bhqk,bkhe->bqhe", scores.softmax(-1), v)
        out = torch.einsum("bqhe,hed->bqhd", z, self.W_O) + self.b_O
        return out.sum(2)

# %% wrong 01.6: mean over the heads instead of the sum
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_K) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V) + self.b_V
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
        z = torch.einsum("bhqk,bkhe->bqhe", scores.softmax(-1), v)
        return torch.einsum("bqhe,hed->bqhd", z, self.W_O).mean(2) + self.b_O

# %% wrong 01.6: no bias on the values
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_K) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
        z = torch.einsum("bhqk,bkhe->bqhe", scores.softmax(-1), v)
        return torch.einsum("bqhe,hed->bqd", z, self.W_O) + self.b_O

# %% wrong 01.6: scale by the root of d_model
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_K) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V) + self.b_V
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(x.shape[-1])
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
        z = torch.einsum("bhqk,bkhe->bqhe", scores.softmax(-1), v)
        return torch.einsum("bqhe,hed->bqd", z, self.W_O) + self.b_O

# %% wrong 01.6: pattern used the wrong way round (sums over queries)
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_K) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V) + self.b_V
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
        z = torch.einsum("bhqk,bqhe->bkhe", scores.softmax(-1), v)
        return torch.einsum("bqhe,hed->bqd", z, self.W_O) + self.b_O

# %% wrong 01.6: W_Q used for the keys as well
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V) + self.b_V
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
        z = torch.einsum("bhqk,bkhe->bqhe", scores.softmax(-1), v)
        return torch.einsum("bqhe,hed->bqd", z, self.W_O) + self.b_O

# %% wrong 01.6: no causal mask
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_K) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V) + self.b_V
        pattern = (torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        return torch.einsum("bqhe,hed->bqd", z, self.W_O) + self.b_O

# %% wrong 01.6: z is flattened in the order (e h), W_O in the order (h e)
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        b, s, d = x.shape
        q, k, v = (
            torch.einsum("bsd,hde->bshe", x, W) + bias
            for W, bias in ((self.W_Q, self.b_Q), (self.W_K, self.b_K), (self.W_V, self.b_V))
        )
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
        z = torch.einsum("bhqk,bkhe->bqeh", scores.softmax(-1), v)
        return z.reshape(b, s, -1) @ self.W_O.reshape(-1, d) + self.b_O

# %% right 01.6: einsum throughout
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
        z = einsum(scores.softmax(-1), v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O

# %% right 01.6: one head after the other
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        s = x.shape[1]
        future = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        out = self.b_O.expand_as(x)
        for i in range(self.W_Q.shape[0]):
            q = x @ self.W_Q[i] + self.b_Q[i]
            k = x @ self.W_K[i] + self.b_K[i]
            v = x @ self.W_V[i] + self.b_V[i]
            scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, -torch.inf)
            out = out + scores.softmax(-1) @ v @ self.W_O[i]
        return out

# %% right 01.6: PyTorch's attention
class Attention(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        x = x.unsqueeze(1)
        q = x @ self.W_Q + self.b_Q[:, None]
        k = x @ self.W_K + self.b_K[:, None]
        v = x @ self.W_V + self.b_V[:, None]
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return (z @ self.W_O).sum(1) + self.b_O

# %% wrong 01.7: the exact GELU
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.gelu(x @ self.W_in + self.b_in) @ self.W_out + self.b_out

# %% wrong 01.7: the square instead of the cube
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        a = x @ self.W_in + self.b_in
        a = a / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**2)))
        return a @ self.W_out + self.b_out

# %% wrong 01.7: the root is over 2 only
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        a = x @ self.W_in + self.b_in
        a = a / 2 * (1 + torch.tanh(math.sqrt(2) / math.pi * (a + 0.044715 * a**3)))
        return a @ self.W_out + self.b_out

# %% wrong 01.7: b_out forgotten
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.gelu(x @ self.W_in + self.b_in, approximate="tanh") @ self.W_out

# %% wrong 01.7: adds the residual stream already
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return x + F.gelu(x @ self.W_in + self.b_in, approximate="tanh") @ self.W_out + self.b_out

# %% wrong 01.7: sigmoid approximation ("quick GELU")
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        a = x @ self.W_in + self.b_in
        return (a * torch.sigmoid(1.702 * a)) @ self.W_out + self.b_out

# %% wrong 01.7: bias inside comes after the nonlinearity
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return (F.gelu(x @ self.W_in, approximate="tanh") + self.b_in) @ self.W_out + self.b_out

# %% right 01.7: F.gelu with tanh
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.gelu(x @ self.W_in + self.b_in, approximate="tanh") @ self.W_out + self.b_out

# %% right 01.7: by the formula
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        pre = einsum(x, self.W_in, "b s d, d m -> b s m") + self.b_in
        inner = (2 / torch.pi) ** 0.5 * (pre + 0.044715 * pre.pow(3))
        post = 0.5 * pre * (1.0 + inner.tanh())
        return einsum(post, self.W_out, "b s m, m d -> b s d") + self.b_out

# %% right 01.7: F.linear and nn.GELU
class MLP(nn.Module):
    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        act = nn.GELU(approximate="tanh")
        return F.linear(act(F.linear(x, self.W_in.T, self.b_in)), self.W_out.T, self.b_out)

# %% wrong 01.8: parallel: the MLP reads the old stream
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        return resid_pre + self.attn(self.ln1(resid_pre)) + self.mlp(self.ln2(resid_pre))

# %% wrong 01.8: += on resid_pre changes the stream that the caller kept
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid_pre += self.attn(self.ln1(resid_pre))
        return resid_pre + self.mlp(self.ln2(resid_pre))

# %% wrong 01.8: += changes the stream between
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid = resid_pre + self.attn(self.ln1(resid_pre))
        resid += self.mlp(self.ln2(resid))
        return resid

# %% wrong 01.8: norm after, on the sum
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        x = self.ln1(resid_pre + self.attn(resid_pre))
        return self.ln2(x + self.mlp(x))

# %% wrong 01.8: ln1 twice
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        mid = resid_pre + self.attn(self.ln1(resid_pre))
        return mid + self.mlp(self.ln1(mid))

# %% wrong 01.8: the second skip goes round attention (attn's part is lost from the stream)
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        mid = resid_pre + self.attn(self.ln1(resid_pre))
        return resid_pre + self.mlp(self.ln2(mid))

# %% wrong 01.8: no skip connections
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        return self.mlp(self.ln2(self.attn(self.ln1(resid_pre))))

# %% wrong 01.8: adds to the normalised stream
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        x = self.ln1(resid_pre)
        x = x + self.attn(x)
        y = self.ln2(x)
        return y + self.mlp(y)

# %% right 01.8: two lines
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid_mid = resid_pre + self.attn(self.ln1(resid_pre))
        return resid_mid + self.mlp(self.ln2(resid_mid))

# %% right 01.8: loop over the two halves
class TransformerBlock(nn.Module):
    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        x = resid_pre
        for norm, layer in ((self.ln1, self.attn), (self.ln2, self.mlp)):
            x = torch.add(x, layer(norm(x)))
        return x

# %% wrong 01.9: no position embedding
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x) @ self.W_U + self.b_U

# %% wrong 01.9: no last LayerNorm
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return x @ self.W_U + self.b_U

# %% wrong 01.9: b_U forgotten
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x) @ self.W_U

# %% wrong 01.9: probabilities, not logits
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return (self.ln_final(x) @ self.W_U + self.b_U).softmax(-1)

# %% wrong 01.9: only the last position
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x)[:, -1] @ self.W_U + self.b_U

# %% wrong 01.9: adds each block's output to the stream once more (a block has its own skips)
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = x + block(x)
        return self.ln_final(x) @ self.W_U + self.b_U

# %% wrong 01.9: every block reads the embeddings; only the last one counts
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            y = block(x)
        return self.ln_final(y) @ self.W_U + self.b_U

# %% wrong 01.9: cuts off the first position, thinking of the loss
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return (self.ln_final(x) @ self.W_U + self.b_U)[:, :-1]

# %% right 01.9: loop
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x) @ self.W_U + self.b_U

# %% right 01.9: reduce and F.linear
class Transformer(nn.Module):
    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        from functools import reduce

        start = self.pos_embed(tokens) + self.embed(tokens)
        resid = reduce(lambda r, block: block(r), self.blocks, start)
        return F.linear(self.ln_final(resid), self.W_U.t(), self.b_U)

# %% wrong 01.10: not shifted: probability of the current token
def loss(logits, tokens):
    logp = logits.log_softmax(-1)
    return -logp.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)[:, :-1]

# %% wrong 01.10: shifted the wrong way (predicts the previous token)
def loss(logits, tokens):
    logp = logits.log_softmax(-1)
    return -logp[:, 1:].gather(-1, tokens[:, :-1, None]).squeeze(-1)

# %% wrong 01.10: the mean
def loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())

# %% wrong 01.10: flat, not b s-1
def loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")

# %% wrong 01.10: no minus
def loss(logits, tokens):
    return logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]

# %% wrong 01.10: softmax, then log: infinite for very unlikely tokens
def loss(logits, tokens):
    p = logits[:, :-1].softmax(-1)
    return -p.gather(-1, tokens[:, 1:, None]).squeeze(-1).log()

# %% wrong 01.10: bits
def loss(logits, tokens):
    logp = logits[:, :-1].log_softmax(-1) / math.log(2)
    return -logp.gather(-1, tokens[:, 1:, None]).squeeze(-1)

# %% wrong 01.10: token 0 is ignored as if it were padding
def loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none", ignore_index=0)

# %% wrong 01.10: softmax over positions
def loss(logits, tokens):
    logp = logits.log_softmax(1)
    return -logp[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)

# %% wrong 01.10: bare squeeze breaks for one row or two tokens
def loss(logits, tokens):
    logp = logits.log_softmax(-1)
    return -logp[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze()

# %% right 01.10: gather
def loss(logits, tokens):
    logp = logits.log_softmax(-1)[:, :-1]
    return -logp.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)

# %% right 01.10: cross_entropy
def loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")

# %% right 01.10: logsumexp and fancy indexing
def loss(logits, tokens):
    b, s = tokens.shape
    rows = torch.arange(b)[:, None]
    cols = torch.arange(s - 1)[None]
    return logits[:, :-1].logsumexp(-1) - logits[rows, cols, tokens[:, 1:]]

# %% wrong 01.11: gradients are never zeroed
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logp = model(tokens)[:, :-1].log_softmax(-1)
    nll = -logp.gather(-1, tokens[:, 1:, None]).squeeze(-1)
    loss = nll[mask[:, 1:]].mean()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% wrong 01.11: gradients zeroed between backward and step
def train_step(model, optimizer, batch):
    tokens, mask = batch
    nll = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    loss = nll[mask[:, 1:]].mean()
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()

# %% wrong 01.11: mask of the reading position: the prediction of the first padding counts
def train_step(model, optimizer, batch):
    tokens, mask = batch
    nll = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    loss = nll[mask[:, :-1]].mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% wrong 01.11: mean over all predictions, padding counted with 0
def train_step(model, optimizer, batch):
    tokens, mask = batch
    nll = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    loss = (nll * mask[:, 1:]).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% wrong 01.11: divides by the number of real tokens instead of predictions
def train_step(model, optimizer, batch):
    tokens, mask = batch
    nll = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    loss = (nll * mask[:, 1:]).sum() / mask.sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% wrong 01.11: mean of the rows' means
def train_step(model, optimizer, batch):
    tokens, mask = batch
    nll = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    real = mask[:, 1:].float()
    loss = ((nll * real).sum(1) / real.sum(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% wrong 01.11: returns the loss after the step
def train_step(model, optimizer, batch):
    tokens, mask = batch

    def compute():
        nll = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
        return nll[mask[:, 1:]].mean()

    optimizer.zero_grad()
    compute().backward()
    optimizer.step()
    return compute().item()

# %% wrong 01.11: returns a tensor
def train_step(model, optimizer, batch):
    tokens, mask = batch
    nll = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    loss = nll[mask[:, 1:]].mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()

# %% wrong 01.11: real tokens by tokens != 0, not by the mask
def train_step(model, optimizer, batch):
    tokens, _ = batch
    loss = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], ignore_index=0)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% wrong 01.11: no step
def train_step(model, optimizer, batch):
    tokens, mask = batch
    optimizer.zero_grad()
    nll = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    loss = nll[mask[:, 1:]].mean()
    loss.backward()
    return loss.item()

# %% wrong 01.11: writes -100 into the batch's own tokens
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)[:, :-1]
    targets = tokens[:, 1:]
    targets[~mask[:, 1:]] = -100
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% right 01.11: selection by the mask
def train_step(model, optimizer, batch):
    tokens, mask = batch
    optimizer.zero_grad()
    logp = model(tokens).log_softmax(-1)
    nll = -logp[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)
    loss = nll[mask[:, 1:]].mean()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% right 01.11: ignore_index
def train_step(model, optimizer, batch):
    tokens, mask = batch
    targets = tokens[:, 1:].masked_fill(~mask[:, 1:], -100)
    loss = F.cross_entropy(model(tokens)[:, :-1].transpose(1, 2), targets, ignore_index=-100)
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return float(loss.detach())

# %% right 01.11: weighted sum over the count
def train_step(model, optimizer, batch):
    tokens, mask = batch
    weight = mask[:, 1:].flatten().float()
    nll = F.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    loss = (nll * weight).sum() / weight.sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()

# %% wrong 01.12: multiplies by the temperature
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    logits = logits * temperature
    if top_k is not None:
        keep = logits.topk(min(top_k, len(logits))).indices
        logits = torch.full_like(logits, -torch.inf).scatter(0, keep, logits[keep])
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        drop = sp.cumsum(0) - sp >= top_p
        p = p.index_fill(0, idx[drop], 0.0)
        p = p / p.sum()
    return p

# %% wrong 01.12: top_p leaves out the token that reaches p
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    logits = logits / temperature
    if top_k is not None:
        keep = logits.topk(min(top_k, len(logits))).indices
        logits = torch.full_like(logits, -torch.inf).scatter(0, keep, logits[keep])
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        drop = sp.cumsum(0) > top_p
        drop[0] = False
        p = p.index_fill(0, idx[drop], 0.0)
        p = p / p.sum()
    return p

# %% wrong 01.12: top_p keeps one more when the sum reaches p exactly
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    logits = logits / temperature
    if top_k is not None:
        keep = logits.topk(min(top_k, len(logits))).indices
        logits = torch.full_like(logits, -torch.inf).scatter(0, keep, logits[keep])
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        drop = sp.cumsum(0) - sp > top_p
        p = p.index_fill(0, idx[drop], 0.0)
        p = p / p.sum()
    return p

# %% wrong 01.12: top_p is not renormalised
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    logits = logits / temperature
    if top_k is not None:
        keep = logits.topk(min(top_k, len(logits))).indices
        logits = torch.full_like(logits, -torch.inf).scatter(0, keep, logits[keep])
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        p = p.index_fill(0, idx[sp.cumsum(0) - sp >= top_p], 0.0)
    return p

# %% wrong 01.12: top_p reads the probabilities before top_k, which do not add up to 1 any more
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    p = (logits / temperature).softmax(-1)
    if top_k is not None:
        keep = p.topk(min(top_k, len(p))).indices
        p = torch.zeros_like(p).scatter(0, keep, p[keep])
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        p = p.index_fill(0, idx[sp.cumsum(0) - sp >= top_p], 0.0)
    return p / p.sum()

# %% wrong 01.12: top_k keeps all that are tied with the k-th
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    logits = logits / temperature
    if top_k is not None:
        kth = logits.topk(min(top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        p = p.index_fill(0, idx[sp.cumsum(0) - sp >= top_p], 0.0)
        p = p / p.sum()
    return p

# %% wrong 01.12: a top_k larger than the vocabulary raises
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    logits = logits / temperature
    if top_k is not None:
        keep = logits.topk(top_k).indices
        logits = torch.full_like(logits, -torch.inf).scatter(0, keep, logits[keep])
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        p = p.index_fill(0, idx[sp.cumsum(0) - sp >= top_p], 0.0)
        p = p / p.sum()
    return p

# %% wrong 01.12: writes -inf into the given logits (temperature 1 divides nothing)
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    if temperature != 1.0:
        logits = logits / temperature
    if top_k is not None:
        order = logits.argsort(descending=True)
        logits[order[top_k:]] = -torch.inf
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        p[idx[sp.cumsum(0) - sp >= top_p]] = 0
        p = p / p.sum()
    return p

# %% wrong 01.12: temperature 0 divides by zero (nan)
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    logits = logits / temperature
    if top_k is not None:
        keep = logits.topk(min(top_k, len(logits))).indices
        logits = torch.full_like(logits, -torch.inf).scatter(0, keep, logits[keep])
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        p = p.index_fill(0, idx[sp.cumsum(0) - sp >= top_p], 0.0)
        p = p / p.sum()
    return p

# %% wrong 01.12: temperature 0 returns the token's id
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return logits.argmax()
    logits = logits / temperature
    if top_k is not None:
        keep = logits.topk(min(top_k, len(logits))).indices
        logits = torch.full_like(logits, -torch.inf).scatter(0, keep, logits[keep])
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        p = p.index_fill(0, idx[sp.cumsum(0) - sp >= top_p], 0.0)
        p = p / p.sum()
    return p

# %% wrong 01.12: the result stays sorted by probability, not by token id
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    p = (logits / temperature).softmax(-1).sort(descending=True).values
    if top_k is not None:
        p[top_k:] = 0
        p = p / p.sum()
    if top_p is not None:
        p[p.cumsum(0) - p >= top_p] = 0
        p = p / p.sum()
    return p

# %% wrong 01.12: draws a token
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    p = (logits / temperature).softmax(-1)
    if top_k is not None:
        vals, idx = p.topk(min(top_k, len(p)))
        p = torch.zeros_like(p).scatter(0, idx, vals / vals.sum())
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        p[idx[sp.cumsum(0) - sp >= top_p]] = 0
    return torch.multinomial(p, 1)

# %% wrong 01.12: top_k and top_p exclude each other (elif)
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    p = (logits / temperature).softmax(-1)
    if top_k is not None:
        vals, idx = p.topk(min(top_k, len(p)))
        p = torch.zeros_like(p).scatter(0, idx, vals)
    elif top_p is not None:
        sp, idx = p.sort(descending=True)
        p[idx[sp.cumsum(0) - sp >= top_p]] = 0
    return p / p.sum()

# %% right 01.12: filters on logits
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        out = torch.zeros_like(logits)
        out[logits.argmax()] = 1.0
        return out
    logits = logits / temperature
    if top_k is not None:
        order = logits.argsort(descending=True)
        logits[order[top_k:]] = -torch.inf  # logits is a new tensor here
    p = logits.softmax(-1)
    if top_p is not None:
        sp, idx = p.sort(descending=True)
        before = torch.cat([sp.new_zeros(1), sp.cumsum(0)[:-1]])
        p = p.clone()
        p[idx[before >= top_p]] = 0
        p = p / p.sum()
    return p

# %% right 01.12: everything in sorted order, scattered back at the end
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    v = logits.shape[0]
    if temperature == 0:
        return F.one_hot(logits.argmax(), v).to(logits.dtype)
    vals, idx = torch.sort(logits / temperature, descending=True, stable=True)
    if top_k is not None:
        vals, idx = vals[:top_k], idx[:top_k]
    p = vals.softmax(0)
    if top_p is not None:
        n = min(int((p.cumsum(0) < top_p).sum()) + 1, len(p))
        p, idx = p[:n] / p[:n].sum(), idx[:n]
    return torch.zeros_like(logits).scatter(0, idx, p)

# %% right 01.12: python loop over the most likely tokens
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return torch.eye(len(logits), dtype=logits.dtype)[logits.argmax()]
    probs = torch.softmax(logits.detach() / temperature, dim=-1)
    order = torch.argsort(probs, descending=True).tolist()
    if top_k is not None:
        order = order[:top_k]
    total = sum(probs[i] for i in order)
    probs = probs / total
    if top_p is not None:
        kept, reached = [], 0.0
        for i in order:
            kept.append(i)
            reached = reached + probs[i]
            if reached >= top_p:
                break
        order = kept
    out = torch.zeros_like(probs)
    for i in order:
        out[i] = probs[i]
    return out / out.sum()

# %% wrong 01.13: the text is never cut to n_ctx
def generate(model, tokens, n, eos=None):
    done = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        nxt = model(tokens)[:, -1].argmax(-1)
        if eos is not None:
            nxt = nxt.masked_fill(done, eos)
            done = done | (nxt == eos)
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens

# %% wrong 01.13: cuts to the first n_ctx tokens
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        nxt = model(tokens[:, :n_ctx])[:, -1].argmax(-1)
        if eos is not None:
            nxt = nxt.masked_fill(done, eos)
            done |= nxt == eos
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens

# %% wrong 01.13: an eos in the prompt finishes the row
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    for _ in range(n):
        nxt = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            nxt[(tokens == eos).any(1)] = eos
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens

# %% wrong 01.13: stops early when all rows are finished: fewer columns
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        nxt = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            nxt = nxt.masked_fill(done, eos)
            done |= nxt == eos
        tokens = torch.cat([tokens, nxt[:, None]], 1)
        if done.all():
            break
    return tokens

# %% wrong 01.13: a finished row is not filled up with eos
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    for _ in range(n):
        nxt = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens

# %% wrong 01.13: returns only the new tokens
def generate(model, tokens, n, eos=None):
    n_ctx, s = len(model.pos_embed.W_pos), tokens.shape[1]
    done = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        nxt = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            nxt = nxt.masked_fill(done, eos)
            done |= nxt == eos
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens[:, s:]

# %% wrong 01.13: eos 0 is falsy and ignored
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        nxt = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos:
            nxt = nxt.masked_fill(done, eos)
            done |= nxt == eos
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens

# %% wrong 01.13: one row that finishes ends all
def generate(model, tokens, n, eos=None):
    n_ctx, s = len(model.pos_embed.W_pos), tokens.shape[1]
    for _ in range(n):
        nxt = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None and (tokens[:, s:] == eos).any():
            nxt = torch.full_like(nxt, eos)
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens

# %% wrong 01.13: .item() works for one row only
def generate(model, tokens, n, eos=None):
    n_ctx, done = len(model.pos_embed.W_pos), False
    for _ in range(n):
        nxt = eos if done else model(tokens[:, -n_ctx:])[:, -1].argmax().item()
        done = done or nxt == eos
        tokens = torch.cat([tokens, torch.tensor([[nxt]])], 1)
    return tokens

# %% wrong 01.13: leaves the model in eval mode, and keeps n_ctx - 1 tokens only
def generate(model, tokens, n, eos=None):
    model.eval()
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        nxt = model(tokens[:, -(n_ctx - 1) :])[:, -1].argmax(-1)
        if eos is not None:
            nxt = nxt.masked_fill(done, eos)
            done |= nxt == eos
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens

# %% wrong 01.13: samples instead of taking the most likely token
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        nxt = torch.multinomial(model(tokens[:, -n_ctx:])[:, -1].softmax(-1), 1)[:, 0]
        if eos is not None:
            nxt = nxt.masked_fill(done, eos)
            done |= nxt == eos
        tokens = torch.cat([tokens, nxt[:, None]], 1)
    return tokens

# %% right 01.13: mask of finished rows
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    with torch.no_grad():
        for _ in range(n):
            nxt = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
            if eos is not None:
                nxt = torch.where(done, eos, nxt)
                done = done | (nxt == eos)
            tokens = torch.cat([tokens, nxt.unsqueeze(1)], dim=1)
    return tokens

# %% right 01.13: finished is read off the new columns; the result is allocated first
def generate(model, tokens, n, eos=None):
    b, s = tokens.shape
    n_ctx = model.pos_embed.W_pos.shape[0]
    out = torch.zeros(b, s + n, dtype=tokens.dtype, device=tokens.device)
    out[:, :s] = tokens
    for i in range(s, s + n):
        logits = model(out[:, max(0, i - n_ctx) : i])
        out[:, i] = logits[:, -1].argmax(dim=-1)
        if eos is not None:
            finished = (out[:, s:i] == eos).any(dim=1)
            out[finished, i] = eos
    return out

# %% right 01.13: generate freely, fill up with eos afterwards
def generate(model, tokens, n, eos=None):
    s, n_ctx = tokens.shape[1], len(model.pos_embed.W_pos)
    out = tokens
    for _ in range(n):
        best = model(out[:, -n_ctx:])[:, -1:].max(-1).indices
        out = torch.cat((out, best), 1)
    if eos is not None:
        new = out[:, s:]
        after = (new == eos).cumsum(1) > 0
        out = torch.cat((tokens, new.masked_fill(after, eos)), 1)
    return out

# %% wrong 01.13: positions start at 0 every time
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    x = model.embed(tokens) + model.pos_embed(tokens)
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = (k, v)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s + 1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: the cache is never written
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s + 1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: the cache keeps only the newest tokens
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        new = (k, v)
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = new
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s + 1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: new keys and values are put in front of the old ones
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([k, cache[i][0]], 1)
            v = torch.cat([v, cache[i][1]], 1)
        cache[i] = (k, v)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s + 1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: no mask, so several new tokens see each other's future
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = (k, v)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        pattern = scores.softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: mask aligned to the first positions: new tokens do not see the past
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = (k, v)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: takes the number of cached layers for the number of past tokens
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = len(cache)
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = (k, v)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s + 1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: fills a new dictionary, the caller's stays empty
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    cache = dict(cache)
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = (k, v)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s + 1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: caches keys without their bias
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K)
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = (k, v)
        k = k.clone()
        k[:, -s:] += a.b_K
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s + 1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% wrong 01.13: a token cannot see itself among the new ones only when s > 1 (mask one too low)
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = (k, v)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        if s > 1:
            later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s)
            later[0, 0] = False
            scores = scores.masked_fill(later, -torch.inf)
        pattern = scores.softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% right 01.13: einsum, cache entries replaced
def forward_with_cache(model, tokens, cache):
    b, s = tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = torch.einsum("bsd,hde->bshe", y, a.W_Q) + a.b_Q
        k = torch.einsum("bsd,hde->bshe", y, a.W_K) + a.b_K
        v = torch.einsum("bsd,hde->bshe", y, a.W_V) + a.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], 1)
            v = torch.cat([cache[i][1], v], 1)
        cache[i] = (k, v)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
        later = torch.ones(s, k.shape[1], dtype=torch.bool).triu(k.shape[1] - s + 1)
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        x = x + torch.einsum("bqhe,hed->bqd", z, a.W_O) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U

# %% right 01.13: head axis in front, absolute positions in the mask
def forward_with_cache(model, tokens, cache):
    s = tokens.shape[1]
    start = cache[0][0].shape[1] if 0 in cache else 0
    pos = torch.arange(start, start + s, device=tokens.device)
    resid = model.embed(tokens) + F.embedding(pos, model.pos_embed.W_pos)
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, block.ln1(resid)[:, None]  # b 1 s d
        q = x @ attn.W_Q + attn.b_Q[:, None]  # b h s e
        k = (x @ attn.W_K + attn.b_K[:, None]).transpose(1, 2)  # b s h e
        v = (x @ attn.W_V + attn.b_V[:, None]).transpose(1, 2)
        old_k, old_v = cache.get(layer, (k[:, :0], v[:, :0]))
        keys, values = torch.cat([old_k, k], dim=1), torch.cat([old_v, v], dim=1)
        cache[layer] = keys, values
        allowed = torch.arange(start + s, device=tokens.device)[None] <= pos[:, None]
        z = F.scaled_dot_product_attention(q, keys.transpose(1, 2), values.transpose(1, 2), attn_mask=allowed)
        resid = resid + (z @ attn.W_O).sum(1) + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U

# %% wrong 01.13: gives the whole text again each time
def generate_with_cache(forward, model, tokens, n):
    cache = {}
    for _ in range(n):
        logits = forward(model, tokens, cache)
        tokens = torch.cat([tokens, logits[:, -1].argmax(-1, keepdim=True)], 1)
    return tokens

# %% wrong 01.13: a new cache for each step
def generate_with_cache(forward, model, tokens, n):
    new = tokens
    for _ in range(n):
        logits = forward(model, new, {})
        new = logits[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, new], 1)
    return tokens

# %% wrong 01.13: no cache but the whole text: every token is read many times
def generate_with_cache(forward, model, tokens, n):
    for _ in range(n):
        logits = forward(model, tokens, {})
        tokens = torch.cat([tokens, logits[:, -1].argmax(-1, keepdim=True)], 1)
    return tokens

# %% wrong 01.13: reads the last prompt token twice
def generate_with_cache(forward, model, tokens, n):
    cache = {}
    forward(model, tokens, cache)
    new = tokens[:, -1:]
    for _ in range(n):
        new = forward(model, new, cache)[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, new], 1)
    return tokens

# %% wrong 01.13: returns only the new tokens
def generate_with_cache(forward, model, tokens, n):
    cache, new, out = {}, tokens, []
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        out.append(new)
    return torch.cat(out, 1)

# %% wrong 01.13: one token too many
def generate_with_cache(forward, model, tokens, n):
    cache = {}
    new = forward(model, tokens, cache)[:, -1:].argmax(-1)
    tokens = torch.cat([tokens, new], 1)
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], 1)
    return tokens

# %% wrong 01.13: the cache is a default argument and survives the call
def generate_with_cache(forward, model, tokens, n, cache={}):
    new = tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], 1)
    return tokens

# %% wrong 01.13: argmax over the whole batch: every row gets the same token
def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        best = forward(model, new, cache)[0, -1].argmax()
        new = best.expand(len(tokens), 1)
        tokens = torch.cat([tokens, new], 1)
    return tokens

# %% wrong 01.13: starts with the last prompt token only
def generate_with_cache(forward, model, tokens, n):
    cache = {}
    for _ in range(n):
        logits = forward(model, tokens[:, -1:], cache)
        tokens = torch.cat([tokens, logits[:, -1].argmax(-1, keepdim=True)], 1)
    return tokens

# %% right 01.13: prompt first, then each new token
def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens

# %% right 01.13: the prompt token by token
def generate_with_cache(forward, model, tokens, n):
    cache = {}
    columns = list(tokens.split(1, dim=1))
    prompt_length = len(columns)
    with torch.no_grad():
        for i in range(prompt_length + n - 1):
            logits = forward(model, columns[i], cache)
            if i >= prompt_length - 1:
                columns.append(logits[:, -1:].argmax(-1))
    return torch.cat(columns[: prompt_length + n], dim=1)

# %% right 01.13: parts collected; what was read is counted
def generate_with_cache(forward, model, tokens, n):
    cache: dict = {}
    out = tokens.clone()
    read = 0
    while out.shape[1] < tokens.shape[1] + n:
        logits = forward(model, out[:, read:], cache)
        read = out.shape[1]
        out = torch.cat([out, logits[:, -1, :].argmax(dim=-1).unsqueeze(-1)], dim=-1)
    return out

# %% wrong 01.1: variance with the mean of squares, which a large mean ruins
class LayerNorm(LayerNorm):
    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        var = (x ** 2).mean(-1, keepdim=True) - mean ** 2
        return (x - mean) / (var.clamp(min=0) + self.eps).sqrt() * self.w + self.b

# %% wrong 01.1: centres and scales x in place when it can
class LayerNorm(LayerNorm):
    def forward(self, x):
        x -= x.mean(-1, keepdim=True)
        x /= (x.var(-1, keepdim=True, unbiased=False) + self.eps).sqrt()
        return x * self.w + self.b

# %% wrong 01.3: keeps the positions of its first text
class PosEmbed(PosEmbed):
    def forward(self, tokens):
        if not hasattr(self, "kept"):
            self.kept = torch.arange(tokens.shape[1])
        return self.W_pos[self.kept].expand(tokens.shape[0], -1, -1)

# %% wrong 01.4: hides earlier keys when there are more keys than queries
def causal_mask(scores):
    q, k = scores.shape[-2:]
    mask = torch.ones(q, k, dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, float("-inf"))

# %% wrong 01.5: softmax by hand without taking the maximum off
def attention_pattern(q, k):
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    e = scores.exp() * torch.ones(scores.shape[-2:]).tril()
    return e / e.sum(-1, keepdim=True)

# %% wrong 01.6: keeps its causal mask from the first call
class Attention(Attention):
    def forward(self, x):
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_K) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V) + self.b_V
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
        if getattr(self, "mask", None) is None:
            self.mask = torch.full(scores.shape[-2:], -1e9).triu(1)
        pattern = (scores + self.mask).softmax(-1)
        z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
        return torch.einsum("bqhe,hed->bqd", z, self.W_O) + self.b_O

# %% wrong 01.7: the exact GELU with erf
class MLP(MLP):
    def forward(self, x):
        return F.gelu(x @ self.W_in + self.b_in) @ self.W_out + self.b_out

# %% wrong 01.8: the MLP reads the normalised attention output only
class TransformerBlock(TransformerBlock):
    def forward(self, resid_pre):
        attn = self.attn(self.ln1(resid_pre))
        return resid_pre + attn + self.mlp(self.ln2(attn))

# %% wrong 01.10: averaged over the batch
def loss(logits, tokens):
    logp = logits[:, :-1].log_softmax(-1)
    picked = logp.gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return -picked.mean(0, keepdim=True).expand_as(picked)

# %% wrong 01.11: pads counted because the mask is not shifted
def train_step(model, optimizer, batch):
    tokens, mask = batch
    optimizer.zero_grad()
    logp = model(tokens)[:, :-1].log_softmax(-1)
    nll = -logp.gather(-1, tokens[:, 1:, None])[..., 0]
    value = nll[mask[:, :-1]].mean()
    value.backward()
    optimizer.step()
    return value.item()

# %% wrong 01.12: the last token that crosses p is dropped
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    probs = (logits / temperature).softmax(-1)
    order = probs.argsort(descending=True)
    if top_k is not None:
        probs = probs.clone()
        probs[order[top_k:]] = 0
        probs = probs / probs.sum()
    if top_p is not None:
        sums = probs[order].cumsum(0)
        keep = sums <= top_p
        keep[0] = True
        probs = probs.clone()
        probs[order[~keep]] = 0
        probs = probs / probs.sum()
    return probs

# %% wrong 01.13: stops the whole batch at the first eos
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    for i in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, new], dim=1)
        if eos is not None and (new == eos).any():
            rest = torch.full((len(tokens), n - i - 1), eos)
            return torch.cat([tokens, rest], dim=1)
    return tokens

# %% right 01.1: with the library's own layer_norm in float64
class LayerNorm(LayerNorm):
    def forward(self, x):
        y = F.layer_norm(x.double(), (x.shape[-1],), self.w.double(), self.b.double(), self.eps)
        return y.to(x.dtype)

# %% right 01.2: a one-hot product
class Embed(Embed):
    def forward(self, tokens):
        return F.one_hot(tokens, num_classes=self.W_E.shape[0]).type_as(self.W_E) @ self.W_E

# %% right 01.4: comparing positions with the offset
def causal_mask(scores):
    q, k = scores.shape[-2], scores.shape[-1]
    i = torch.arange(k - q, k).unsqueeze(1)
    j = torch.arange(k).unsqueeze(0)
    return torch.where(j <= i, scores, torch.tensor(-torch.inf, dtype=scores.dtype))

# %% right 01.5: row by row
def attention_pattern(q, k):
    b, s, h, e = q.shape
    rows = []
    for i in range(s):
        seen = torch.einsum("bhe,bkhe->bhk", q[:, i], k[:, : i + 1]) * e ** -0.5
        rows.append(F.pad(torch.softmax(seen, dim=-1), (0, s - i - 1)))
    return torch.stack(rows, dim=2)

# %% right 01.6: calls the earlier exercise
class Attention(Attention):
    def forward(self, x):
        q, k, v = (einsum(x, W, "b s d, h d e -> b s h e") + b for W, b in ((self.W_Q, self.b_Q), (self.W_K, self.b_K), (self.W_V, self.b_V)))
        z = einsum(attention_pattern(q, k), v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O

# %% right 01.10: cross_entropy on a transposed axis
def loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")

# %% right 01.12: everything in log space with sort
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        out = torch.zeros_like(logits)
        out[int(logits.argmax())] = 1
        return out
    values, index = torch.sort(logits.double() / temperature, descending=True)
    if top_k is not None:
        values, index = values[:top_k], index[:top_k]
    p = torch.softmax(values, 0)
    if top_p is not None:
        before = p.cumsum(0) - p
        n = max(1, int((before < top_p).sum()))
        p, index = p[:n] / p[:n].sum(), index[:n]
    return torch.zeros(len(logits)).scatter(0, index, p.float())

# %% right 01.13: a list of columns
def generate(model, tokens, n, eos=None):
    window = model.pos_embed.W_pos.shape[0]
    columns = list(tokens.unbind(1))
    finished = torch.zeros(tokens.shape[0], dtype=torch.bool)
    with torch.inference_mode():
        while len(columns) < tokens.shape[1] + n:
            text = torch.stack(columns[-window:], 1)
            new = model(text)[:, -1, :].max(-1).indices
            if eos is not None:
                new = new.masked_fill(finished, eos)
                finished = finished | (new == eos)
            columns.append(new)
    return torch.stack([c.clone() for c in columns], 1).clone()


# %% wrong 01.1: variance with d - 1 in the denominator (Tensor.var's default)
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        var = x.var(-1, keepdim=True)
        return (x - mean) / torch.sqrt(var + self.eps) * self.w + self.b


# %% wrong 01.1: variance as E[x^2] - E[x]^2, which cancels (even below zero) when the mean is large beside the spread
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        var = (x**2).mean(-1, keepdim=True) - mean**2
        return (x - mean) / (var + self.eps).sqrt() * self.w + self.b


# %% wrong 01.1: eps added to the standard deviation, outside the root
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        std = centred.pow(2).mean(-1, keepdim=True).sqrt()
        return centred / (std + self.eps) * self.w + self.b


# %% wrong 01.1: centres x in place
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        x -= x.mean(-1, keepdim=True)
        return x / (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt() * self.w + self.b


# %% wrong 01.1: eps is layer_norm's default 1e-5, whatever cfg.eps says
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.layer_norm(x, (x.shape[-1],), self.w, self.b)


# %% wrong 01.1: eps as a lower bound of the variance (clamp) instead of added to it
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        var = centred.square().mean(-1, keepdim=True).clamp(min=self.eps)
        return centred * var.rsqrt() * self.w + self.b


# %% wrong 01.1: w and b used through .data, so no gradient reaches them
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + self.eps).sqrt()
        return centred / scale * self.w.data + self.b.data


# %% wrong 01.1: mean and variance over positions and d together, not each vector by itself
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        mean = x.mean((-2, -1), keepdim=True)
        var = x.var((-2, -1), keepdim=True, correction=0)
        return (x - mean) / torch.sqrt(var + self.eps) * self.w + self.b


# %% right 01.1: F.layer_norm with all its arguments
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.layer_norm(x, self.w.shape, weight=self.w, bias=self.b, eps=self.eps)


# %% right 01.1: einsum for the variance of the centred vectors
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        d = x.shape[-1]
        mean = einsum(x, "b s d -> b s") / d
        y = x - mean[..., None]
        y = y - y.mean(-1, keepdim=True)
        var = einsum(y, y, "b s d, b s d -> b s") / d
        return torch.addcmul(self.b, y * torch.rsqrt(var + self.eps)[:, :, None], self.w)


# %% wrong 01.2: padding_idx=0: the values are right, but no gradient reaches row 0 (BOS, PAD)
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return F.embedding(tokens, self.W_E, padding_idx=0)


# %% wrong 01.2: an nn.Embedding made of W_E is frozen by default: no gradient reaches W_E
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return nn.Embedding.from_pretrained(self.W_E)(tokens)


# %% wrong 01.2: scaled by sqrt(d_model), as in the first transformer paper, once more
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E[tokens] * math.sqrt(self.W_E.shape[-1])


# %% wrong 01.2: one_hot without the vocabulary's size: fails unless the highest id is among the tokens
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return F.one_hot(tokens).to(self.W_E.dtype) @ self.W_E


# %% wrong 01.2: only the first row of the batch is looked up, and given to all
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_E[tokens[0]].expand(b, s, -1)


# %% wrong 01.2: max_norm rescales long rows of W_E (in place), so the vectors are not W_E's rows
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        with torch.no_grad():
            F.embedding(tokens, self.W_E, max_norm=1.0)
        return F.embedding(tokens, self.W_E)


# %% right 01.2: indexing, once more
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        return self.W_E[tokens]


# %% right 01.2: one-hot times W_E by einsum
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        hot = F.one_hot(tokens, self.W_E.shape[0]).to(self.W_E.dtype)
        return einsum(hot, self.W_E, "b s v, v d -> b s d")


# %% right 01.2: index_select on the flat tokens, once more
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_E.index_select(0, tokens.reshape(-1)).view(b, s, -1)


# %% wrong 01.3: looks up the token ids, not the positions
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        return self.W_pos[tokens]


# %% wrong 01.3: positions counted from 1
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_pos[1 : s + 1].expand(b, -1, -1)


# %% wrong 01.3: the last s rows of W_pos; right only when s = n_ctx
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_pos[-s:].unsqueeze(0).repeat(b, 1, 1)


# %% wrong 01.3: no batch axis in the result
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        return self.W_pos[: tokens.shape[1]]


# %% wrong 01.3: repeat_interleave and view mix positions with batch rows (right only for b = 1)
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_pos[:s].repeat_interleave(b, dim=0).view(b, s, -1)


# %% wrong 01.3: positions count on only after the first token other than 0 (as if 0 were left padding), so rows differ
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        positions = ((tokens != 0).cumsum(-1) - 1).clamp(min=0)
        return self.W_pos[positions]


# %% wrong 01.3: detached: no gradient reaches W_pos
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_pos.detach()[:s].expand(b, s, -1)


# %% right 01.3: slice and expand, once more
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        b, s = tokens.shape
        return self.W_pos[:s].expand(b, -1, -1)


# %% right 01.3: F.embedding of an arange made as large as the tokens
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens):
        positions = torch.ones_like(tokens).cumsum(dim=1) - 1
        return F.embedding(positions, self.W_pos)


# %% wrong 01.4: triu(1) as for a square matrix: with fewer queries than keys the queries count as the first positions
def causal_mask(scores):
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(later, float("-inf"))


# %% wrong 01.4: the diagonal is masked as well: no query sees its own position
def causal_mask(scores):
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q)
    return scores.masked_fill(later, float("-inf"))


# %% wrong 01.4: fills the given scores in place instead of a copy
def causal_mask(scores):
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    return scores.masked_fill_(later, float("-inf"))


# %% wrong 01.4: adds mask * -inf, and 0 * -inf is nan at every visible key
def causal_mask(scores):
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, device=scores.device).triu(k - q + 1)
    return scores + later * float("-inf")


# %% wrong 01.4: masks wherever the lower triangle is 0, so a visible score that is exactly 0 is masked too
def causal_mask(scores):
    q, k = scores.shape[-2:]
    lower = scores.tril(k - q)
    return torch.where(lower == 0, torch.full_like(scores, float("-inf")), lower)


# %% wrong 01.4: fills with -1e4, far above -1e9
def causal_mask(scores):
    q, k = scores.shape[-2:]
    visible = torch.ones(q, k, dtype=torch.bool, device=scores.device).tril(k - q)
    return torch.where(visible, scores, torch.full_like(scores, -1e4))


# %% right 01.4: triu shifted by k - q, masked_fill
def causal_mask(scores):
    q, k = scores.shape[-2:]
    later = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(k - q + 1)
    return scores.masked_fill(later, float("-inf"))


# %% right 01.4: a loop over the queries on a clone, filled with the lowest finite number
def causal_mask(scores):
    out = scores.clone()
    n_q, n_k = scores.shape[2], scores.shape[3]
    for i in range(n_q):
        position = n_k - n_q + i
        out[:, :, i, position + 1 :] = torch.finfo(scores.dtype).min
    return out


# %% wrong 01.5: exp without subtracting the maximum: inf / inf = nan for scores in the hundreds
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    s = scores.shape[-1]
    weights = scores.exp() * torch.ones(s, s, device=q.device).tril()
    return weights / weights.sum(-1, keepdim=True)


# %% wrong 01.5: softmax over all keys first, then masked and renormalised: 0 / 0 when a later key's score is hundreds higher
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    pattern = scores.softmax(-1).tril()
    return pattern / pattern.sum(-1, keepdim=True)


# %% wrong 01.5: one maximum subtracted for the whole tensor: rows whose scores lie hundreds below it underflow to 0 / 0
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    s = scores.shape[-1]
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    scores = scores.masked_fill(later, float("-inf"))
    weights = (scores - scores.max()).exp()
    return weights / weights.sum(-1, keepdim=True)


# %% wrong 01.5: divided by e, not by its root
def attention_pattern(q, k):
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1]
    s = scores.shape[-1]
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


# %% wrong 01.5: scales q in place, once more
def attention_pattern(q, k):
    q /= math.sqrt(q.shape[-1])
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k)
    s = scores.shape[-1]
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


# %% wrong 01.5: later keys get -100, which is not below visible scores of minus some hundreds
def attention_pattern(q, k):
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    s = scores.shape[-1]
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, -100.0).softmax(-1)


# %% wrong 01.5: heads split off by a view instead of a transpose: positions and heads are mixed
def attention_pattern(q, k):
    b, s, h, e = q.shape
    qh, kh = q.reshape(b, h, s, e), k.reshape(b, h, s, e)
    scores = qh @ kh.transpose(-1, -2) / math.sqrt(e)
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


# %% wrong 01.5: softmax over the queries, not the keys
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    s = scores.shape[-1]
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, -1e9).softmax(-2)


# %% right 01.5: einsum, mask, softmax
def attention_pattern(q, k):
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    s = scores.shape[-1]
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


# %% right 01.5: a loop over queries: softmax of only the visible scores, zeros after them
def attention_pattern(q, k):
    b, s, h, e = q.shape
    rows = []
    for i in range(s):
        scores = (q[:, i : i + 1] * k[:, : i + 1]).sum(-1) / e**0.5
        weights = scores.transpose(1, 2).softmax(dim=-1)
        rows.append(F.pad(weights, (0, s - 1 - i)))
    return torch.stack(rows, dim=2)


# %% right 01.5: scaled_dot_product_attention with the identity as values gives back its pattern
def attention_pattern(q, k):
    b, s, h, e = q.shape
    eye = torch.eye(s, dtype=q.dtype, device=q.device).expand(b, h, s, s)
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), eye, is_causal=True)


# %% wrong 01.6: b_O is added once for each head, once more
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return (einsum(z, self.W_O, "b q h e, h e d -> b q h d") + self.b_O).sum(2)


# %% wrong 01.6: the heads' outputs are averaged, not added up
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q h d").mean(2) + self.b_O


# %% wrong 01.6: scores divided by the root of d_model, not of d_head
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(x.shape[-1])
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% wrong 01.6: heads are joined by a reshape of 'b h s e' without a transpose: positions and heads are mixed
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = pattern @ v.transpose(1, 2)
        return z.reshape(x.shape[0], s, -1) @ self.W_O.flatten(0, 1) + self.b_O


# %% wrong 01.6: the pattern is computed without gradients: none reach W_Q, b_Q, W_K, b_K
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        with torch.no_grad():
            q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
            k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
            scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
            s = x.shape[1]
            later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
            pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% wrong 01.6: z sums the values over queries (pattern transposed)
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b q h e -> b k h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% wrong 01.6: b_V is forgotten (invisible while the biases are zero, as at the start)
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e")
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% wrong 01.6: no causal mask, once more
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% right 01.6: einsum throughout, once more
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% right 01.6: head by head with matmul, outputs added up in a loop
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        s = x.shape[1]
        block = torch.full((s, s), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
        out = self.b_O
        for i in range(self.W_Q.shape[0]):
            q = x @ self.W_Q[i] + self.b_Q[i]
            k = x @ self.W_K[i] + self.b_K[i]
            v = x @ self.W_V[i] + self.b_V[i]
            pattern = torch.softmax(q @ k.mT / math.sqrt(self.W_Q.shape[2]) + block, dim=-1)
            out = out + pattern @ v @ self.W_O[i]
        return out


# %% right 01.6: scaled_dot_product_attention on matmul-ed heads
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        xh = x[:, None]
        q = xh @ self.W_Q + self.b_Q[:, None]
        k = xh @ self.W_K + self.b_K[:, None]
        v = xh @ self.W_V + self.b_V[:, None]
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return (z @ self.W_O).sum(dim=1) + self.b_O


# %% wrong 01.7: the exact GELU (erf), F.gelu's default, not gelu_new
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.gelu(x @ self.W_in + self.b_in) @ self.W_out + self.b_out


# %% wrong 01.7: tanh written with exp: inf / inf = nan for large x
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        h = x @ self.W_in + self.b_in
        u = math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)
        tanh = (torch.exp(2 * u) - 1) / (torch.exp(2 * u) + 1)
        return (h / 2 * (1 + tanh)) @ self.W_out + self.b_out


# %% wrong 01.7: bracket misplaced: sqrt(2/pi) multiplies only x, not the cube
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        h = x @ self.W_in + self.b_in
        act = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * h + 0.044715 * h**3))
        return act @ self.W_out + self.b_out


# %% wrong 01.7: the quick approximation x * sigmoid(1.702 x)
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        h = x @ self.W_in + self.b_in
        return h * torch.sigmoid(1.702 * h) @ self.W_out + self.b_out


# %% wrong 01.7: the pre-activation is clamped to [-10, 10] for safety, which is wrong for large x
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        h = (x @ self.W_in + self.b_in).clamp(-10, 10)
        return F.gelu(h, approximate="tanh") @ self.W_out + self.b_out


# %% wrong 01.7: b_in is added after the GELU, not before
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        h = F.gelu(x @ self.W_in, approximate="tanh") + self.b_in
        return h @ self.W_out + self.b_out


# %% wrong 01.7: the GELU is computed without gradients: the output is right, but none reach W_in and b_in
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        h = x @ self.W_in + self.b_in
        with torch.no_grad():
            h = F.gelu(h, approximate="tanh")
        return h @ self.W_out + self.b_out


# %% right 01.7: F.gelu with approximate='tanh'
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        return F.gelu(x @ self.W_in + self.b_in, approximate="tanh") @ self.W_out + self.b_out


# %% right 01.7: as x * sigmoid(2u), with einsum
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x):
        h = einsum(x, self.W_in, "b s d, d m -> b s m") + self.b_in
        u = (2 / torch.pi) ** 0.5 * h * (1 + 0.044715 * h * h)
        act = h * torch.sigmoid(2 * u)
        return einsum(act, self.W_out, "b s m, m d -> b s d") + self.b_out


# %% wrong 01.8: adds to the given stream in place
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid_pre += self.attn(self.ln1(resid_pre))
        resid_pre += self.mlp(self.ln2(resid_pre))
        return resid_pre


# %% wrong 01.8: adds into what attn returned, overwriting it
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        out = self.attn(self.ln1(resid_pre))
        out += resid_pre
        return out + self.mlp(self.ln2(out))


# %% wrong 01.8: the stream between attention and MLP is overwritten by the last addition
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid = resid_pre + self.attn(self.ln1(resid_pre))
        resid += self.mlp(self.ln2(resid))
        return resid


# %% wrong 01.8: adds into what mlp returned, overwriting it
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid_mid = resid_pre + self.attn(self.ln1(resid_pre))
        return self.mlp(self.ln2(resid_mid)).add_(resid_mid)


# %% wrong 01.8: the MLP reads the old stream (parallel attention and MLP)
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        return resid_pre + self.attn(self.ln1(resid_pre)) + self.mlp(self.ln2(resid_pre))


# %% wrong 01.8: LayerNorm after each addition (post-norm), not before each part
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid_mid = self.ln1(resid_pre + self.attn(resid_pre))
        return self.ln2(resid_mid + self.mlp(resid_mid))


# %% wrong 01.8: ln1 used for both parts
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid_mid = resid_pre + self.attn(self.ln1(resid_pre))
        return resid_mid + self.mlp(self.ln1(resid_mid))


# %% right 01.8: two additions
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        resid_mid = resid_pre + self.attn(self.ln1(resid_pre))
        return resid_mid + self.mlp(self.ln2(resid_mid))


# %% right 01.8: a loop over the two pairs, torch.add
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre):
        stream = resid_pre
        for norm, part in ((self.ln1, self.attn), (self.ln2, self.mlp)):
            stream = torch.add(part(norm(stream)), stream)
        return stream


# %% wrong 01.9: the last LayerNorm is missing
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return x @ self.W_U + self.b_U


# %% wrong 01.9: each block's output is added to the stream, which it already contains
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = x + block(x)
        return self.ln_final(x) @ self.W_U + self.b_U


# %% wrong 01.9: b_U is forgotten (invisible while it is zero)
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x) @ self.W_U


# %% wrong 01.9: returns probabilities, not logits
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return (self.ln_final(x) @ self.W_U + self.b_U).softmax(-1)


# %% wrong 01.9: every block reads the embeddings, so only the last block counts
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            y = block(x)
        return self.ln_final(y) @ self.W_U + self.b_U


# %% wrong 01.9: only the last position's logits
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x[:, -1:]) @ self.W_U + self.b_U


# %% right 01.9: a loop over the blocks
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x) @ self.W_U + self.b_U


# %% right 01.9: reduce over the blocks, F.linear with the transposed unembedding
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens):
        from functools import reduce

        start = torch.add(self.embed(tokens), self.pos_embed(tokens))
        end = reduce(lambda stream, block: block(stream), self.blocks, start)
        return F.linear(self.ln_final(end), self.W_U.T, self.b_U)


# %% wrong 01.10: log of softmax: -log 0 = inf for logits in the hundreds
def loss(logits, tokens):
    p = logits[:, :-1].softmax(-1)
    return -p.gather(-1, tokens[:, 1:, None]).squeeze(-1).log()


# %% wrong 01.10: a small number inside the logarithm caps the loss at about 20.7
def loss(logits, tokens):
    p = logits[:, :-1].softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return -torch.log(p + 1e-9)


# %% wrong 01.10: each logit vector is compared with its own token, not the next
def loss(logits, tokens):
    logp = logits.log_softmax(-1)[:, :-1]
    return -logp.gather(-1, tokens[:, :-1, None]).squeeze(-1)


# %% wrong 01.10: ignore_index=0 as for padding: the loss is 0 where the next token is 0, a real token
def loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none", ignore_index=0)


# %% wrong 01.10: class axis put in place by a reshape instead of a transpose
def loss(logits, tokens):
    b, s, v = logits.shape
    return F.cross_entropy(logits[:, :-1].reshape(b, v, s - 1), tokens[:, 1:], reduction="none")


# %% wrong 01.10: the mean over all positions, not one loss for each
def loss(logits, tokens):
    logp = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return -logp.mean()


# %% wrong 01.10: in bits, not nats
def loss(logits, tokens):
    logp = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return -logp / math.log(2)


# %% wrong 01.10: log_softmax over positions, not over the vocabulary
def loss(logits, tokens):
    logp = logits.log_softmax(1)[:, :-1]
    return -logp.gather(-1, tokens[:, 1:, None]).squeeze(-1)


# %% right 01.10: log_softmax and gather
def loss(logits, tokens):
    logp = logits.log_softmax(-1)
    return -logp[:, :-1].gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)


# %% right 01.10: logsumexp minus the next token's logit, picked by advanced indices
def loss(logits, tokens):
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)[:, None]
    cols = torch.arange(s - 1, device=tokens.device)[None]
    return torch.logsumexp(logits[:, :-1], dim=-1) - logits[rows, cols, tokens[:, 1:]]


# %% right 01.10: cross_entropy, class axis second
def loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].permute(0, 2, 1), tokens[:, 1:], reduction="none")


# %% wrong 01.11: masks by the token that predicts (mask[:, :-1]): the last real token's prediction of padding counts
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = nll[mask[:, :-1]].mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: mean of the rows' means, not of all predictions, so short rows weigh more
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    real = mask[:, 1:].float()
    value = ((nll * real).sum(1) / real.sum(1).clamp(min=1)).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: earlier gradients are cleared only after the step, so those that are there at the call count
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = nll[mask[:, 1:]].mean()
    value.backward()
    optimizer.step()
    optimizer.zero_grad()
    return value.item()


# %% wrong 01.11: zero_grad between backward and step: nothing is learned from this batch
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = nll[mask[:, 1:]].mean()
    value.backward()
    optimizer.zero_grad()
    optimizer.step()
    return value.item()


# %% wrong 01.11: returns the loss after the step, once more
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = nll[mask[:, 1:]].mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    with torch.no_grad():
        nll = -model(tokens)[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return nll[mask[:, 1:]].mean().item()


# %% wrong 01.11: ignores next tokens with id 0 instead of using the mask: a real 0 inside a text is left out
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = nll[tokens[:, 1:] != 0].mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: the sum over real predictions is divided by the number of all positions, padding included
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = (nll * mask[:, 1:]).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: divided by the number of real tokens, each row's first included, which nobody predicts
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = (nll * mask[:, 1:]).sum() / mask.sum()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: returns a tensor, not a float
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = nll[mask[:, 1:]].mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.detach()


# %% wrong 01.11: gradients are clipped to norm 1 before the step, so it is not one step of the optimizer on the loss's gradient
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = nll[mask[:, 1:]].mean()
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return value.item()


# %% right 01.11: boolean index of the next tokens' mask
def train_step(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    nll = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)
    value = nll[mask[:, 1:]].mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


# %% right 01.11: cross_entropy with the padding's targets set to -100
def train_step(model, optimizer, batch):
    tokens, mask = batch
    optimizer.zero_grad(set_to_none=True)
    targets = tokens.masked_fill(~mask, -100)[:, 1:]
    logits = model(tokens)[:, :-1]
    out = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    out.backward()
    optimizer.step()
    return float(out)


# %% wrong 01.12: top_k keeps every token at or above the k-th logit: more than k when there are ties
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    scaled = (logits - logits.max()) / temperature
    scaled, order = scaled.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(scaled >= scaled[min(top_k, len(scaled)) - 1], probs, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(before < top_p, probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: top_p keeps a further token when the set before it reaches p exactly (before <= p)
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    scaled = (logits - logits.max()) / temperature
    scaled, order = scaled.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(before <= top_p, probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: top_p drops the token that reaches p (keeps sets below p, and at least one token)
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    scaled = (logits - logits.max()) / temperature
    scaled, order = scaled.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        inside = probs.cumsum(-1) <= top_p
        inside[0] = True
        probs = torch.where(inside, probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: temperature 0 shares the probability among equally likely maxima, not one token
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        best = (logits == logits.max()).to(logits.dtype)
        return best / best.sum()
    scaled = (logits - logits.max()) / temperature
    scaled, order = scaled.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(before < top_p, probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: temperature 0 replaced by 1e-3: near ties are not one token of probability 1
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    temperature = max(temperature, 1e-3)
    scaled = (logits - logits.max()) / temperature
    scaled, order = scaled.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(before < top_p, probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: top_p measured against the whole distribution: not renormalised between top_k and top_p
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    scaled = (logits - logits.max()) / temperature
    scaled, order = scaled.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(before < top_p, probs, 0.0)
        probs = probs / probs.sum()
    probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: top_p before top_k
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    scaled, order = ((logits - logits.max()) / temperature).sort(descending=True)
    probs = scaled.softmax(-1)
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(before < top_p, probs, 0.0)
        probs = probs / probs.sum()
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: topk fails when top_k is larger than the vocabulary
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    scaled = (logits - logits.max()) / temperature
    if top_k is not None:
        values, index = scaled.topk(top_k)
        scaled = torch.full_like(scaled, float("-inf")).scatter(0, index, values)
    probs = scaled.softmax(-1)
    if top_p is not None:
        ordered, order = probs.sort(descending=True)
        before = torch.cat([probs.new_zeros(1), ordered.cumsum(-1)[:-1]])
        ordered = torch.where(before < top_p, ordered, 0.0)
        probs = torch.zeros_like(probs).scatter(0, order, ordered / ordered.sum())
    return probs


# %% wrong 01.12: divides the given logits in place
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    logits /= temperature
    scaled, order = logits.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(before < top_p, probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: top_p keeps every token at least as likely as the one that reaches p: too many when there are ties
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    scaled = (logits - logits.max()) / temperature
    scaled, order = scaled.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(probs >= probs[before < top_p].min(), probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% wrong 01.12: top_p measured at temperature 1; the temperature comes only after the choice
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    ordered, order = logits.sort(descending=True)
    if top_k is not None:
        ordered, order = ordered[:top_k], order[:top_k]
    if top_p is not None:
        n = int((ordered.softmax(-1).cumsum(-1) < top_p).sum()) + 1
        ordered, order = ordered[:n], order[:n]
    probs = ((ordered - ordered[0]) / temperature).softmax(-1)
    return torch.zeros_like(logits).scatter(0, order, probs)


# %% right 01.12: sorted once, cut by masks, scattered back
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), logits.shape[-1]).to(logits.dtype)
    scaled = (logits - logits.max()) / temperature
    scaled, order = scaled.sort(descending=True)
    probs = scaled.softmax(-1)
    if top_k is not None:
        probs = torch.where(torch.arange(len(probs), device=probs.device) < top_k, probs, 0.0)
        probs = probs / probs.sum()
    if top_p is not None:
        before = torch.cat([probs.new_zeros(1), probs.cumsum(-1)[:-1]])
        probs = torch.where(before < top_p, probs, 0.0)
        probs = probs / probs.sum()
    return torch.zeros_like(probs).scatter(0, order, probs)


# %% right 01.12: plain Python numbers in a loop
def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    values = logits.tolist()
    out = [0.0] * len(values)
    order = sorted(range(len(values)), key=lambda i: values[i], reverse=True)
    if temperature == 0:
        out[order[0]] = 1.0
    else:
        top = values[order[0]]
        weights = [math.exp((values[i] - top) / temperature) for i in order]
        if top_k is not None:
            weights = weights[:top_k]
        if top_p is not None:
            total, reached = math.fsum(weights), 0.0
            for n, weight in enumerate(weights, 1):
                reached += weight
                if reached / total >= top_p:
                    weights = weights[:n]
                    break
        total = math.fsum(weights)
        for i, weight in zip(order, weights):
            out[i] = weight / total
    return torch.tensor(out, dtype=logits.dtype, device=logits.device)


# %% wrong 01.13: generate: `if eos:` ignores an eos whose id is 0
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate: a row whose prompt ends with eos (as the prompt BOS alone) counts as finished
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(tokens[:, -1] == eos, torch.full_like(new, eos), new)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate: stops as soon as every row is finished, so there are fewer than n new columns
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
        if done.all():
            break
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate: an eos anywhere in the text, also in the prompt, finishes the row
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = (tokens == eos).any(1) if eos is not None else None
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate: the text itself is cut to n_ctx, so a long prompt or result loses its beginning
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        tokens = tokens[:, -n_ctx:]
        new = model(tokens)[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate: of a longer text the model gets the first n_ctx tokens, not the last
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, :n_ctx])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate: reads only the last n_ctx - 1 tokens once the text is n_ctx long
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -(n_ctx - 1) :])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate: all rows are finished as soon as one has produced eos
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos).any()
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate: samples instead of taking the most likely token
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].softmax(-1).multinomial(1).squeeze(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: forward_with_cache: new tokens get positions from 0 on, not after the past
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[:s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: forward_with_cache: no mask when there is a past, so several new tokens see each other's future
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(1 if past == 0 else past + s)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: forward_with_cache: the mask is triu(1), as if the new tokens were the first, so they do not see the past
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: forward_with_cache: the cache keeps only the keys and values of these tokens, not the earlier ones
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        fresh = (k, v)
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = fresh
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: forward_with_cache: fills a new dictionary, so the caller's cache does not get these tokens
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    cache = dict(cache)
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: forward_with_cache: the length of the past is taken as the number of entries in the cache (layers)
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    start = len(cache)
    x = model.embed(tokens) + model.pos_embed.W_pos[start : start + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: forward_with_cache: caches the values without b_V, so the past's values lack it
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, torch.cat([v[:, :past], v[:, past:] - a.b_V], dim=1))
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate_with_cache: the prompt's last token is read twice (prompt first, then its last token again)
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache = {}
    forward(model, tokens, cache)
    for _ in range(n):
        new = forward(model, tokens[:, -1:], cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate_with_cache: an empty cache for the whole text at each step, so every token is read again and again
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    for _ in range(n):
        new = forward(model, tokens, {})[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate_with_cache: with n = 0 one token is added nevertheless
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache = {}
    new = forward(model, tokens, cache)[:, -1:].argmax(-1)
    tokens = torch.cat([tokens, new], dim=1)
    for _ in range(n - 1):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate_with_cache: calls the global forward_with_cache, not the `forward` it was given
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward_with_cache(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate_with_cache: the cache is kept from one call to the next
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


_kept = {}


def generate_with_cache(forward, model, tokens, n):
    cache, new = _kept, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate_with_cache: only the last token of the prompt is read, the rest never
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens[:, -1:]
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% right 01.13: one loop each, torch.cat
def generate(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        new = model(tokens[:, -n_ctx:])[:, -1].argmax(-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    x = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    later = torch.ones(s, past + s, dtype=torch.bool, device=tokens.device).triu(past + 1)
    for layer, block in enumerate(model.blocks):
        a = block.attn
        y = block.ln1(x)
        q = einsum(y, a.W_Q, "b s d, h d e -> b s h e") + a.b_Q
        k = einsum(y, a.W_K, "b s d, h d e -> b s h e") + a.b_K
        v = einsum(y, a.W_V, "b s d, h d e -> b s h e") + a.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, a.W_O, "b q h e, h e d -> b q d") + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(forward, model, tokens, n):
    cache, new = {}, tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% right 01.13: rows finished afterwards; new tokens read one at a time with scaled_dot_product_attention; prompt read token by token
def generate(model, tokens, n, eos=None):
    n_ctx = model.pos_embed.W_pos.shape[0]
    b, s = tokens.shape
    text = torch.zeros(b, s + n, dtype=tokens.dtype, device=tokens.device)
    text[:, :s] = tokens
    for i in range(s, s + n):
        logits = model(text[:, max(0, i - n_ctx) : i])
        text[:, i] = logits[:, -1, :].max(dim=-1).indices
    if eos is not None and n > 0:
        finished = (text[:, s:] == eos).cumsum(dim=1) > 0
        text[:, s:] = text[:, s:].masked_fill(finished, eos)
    return text


def forward_with_cache(model, tokens, cache):
    columns = []
    for t in range(tokens.shape[1]):
        position = cache[0][0].size(1) if 0 in cache else 0
        x = model.embed(tokens[:, t : t + 1]) + model.pos_embed.W_pos[position]
        for i in range(len(model.blocks)):
            block = model.blocks[i]
            attn = block.attn
            y = block.ln1(x)[:, None]
            q = y @ attn.W_Q + attn.b_Q[:, None]
            k = (y @ attn.W_K + attn.b_K[:, None]).transpose(1, 2)
            v = (y @ attn.W_V + attn.b_V[:, None]).transpose(1, 2)
            if i in cache:
                old_k, old_v = cache[i]
                k, v = torch.cat((old_k, k), 1), torch.cat((old_v, v), 1)
            cache[i] = k, v
            z = F.scaled_dot_product_attention(q, k.transpose(1, 2), v.transpose(1, 2))
            x = x + ((z @ attn.W_O).sum(1) + attn.b_O)
            x = x + block.mlp(block.ln2(x))
        columns.append(model.ln_final(x) @ model.W_U + model.b_U)
    return torch.cat(columns, dim=1)


def generate_with_cache(forward, model, tokens, n):
    cache = {}
    columns = list(tokens.split(1, dim=1))
    prompt = len(columns)
    read = 0
    while len(columns) < prompt + n:
        while read < len(columns):
            logits = forward(model, columns[read], cache)
            read += 1
        columns.append(logits[:, -1].argmax(dim=-1, keepdim=True))
    return torch.cat(columns, dim=1)


# %% wrong 01.1: unbiased variance
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.1
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        mean = x.mean(dim=-1, keepdim=True)
        var = x.var(dim=-1, keepdim=True)
        return (x - mean) / torch.sqrt(var + self.eps) * self.w + self.b


# %% wrong 01.1: eps is added to the standard deviation, outside the root, once more
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.1
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        centred = x - x.mean(dim=-1, keepdim=True)
        std = centred.pow(2).mean(dim=-1, keepdim=True).sqrt()
        return centred / (std + self.eps) * self.w + self.b


# %% wrong 01.1: variance as mean of squares minus square of mean
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.1
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        mean = x.mean(dim=-1, keepdim=True)
        var = ((x**2).mean(dim=-1, keepdim=True) - mean**2).clamp(min=0)
        return (x - mean) / (var + self.eps).sqrt() * self.w + self.b


# %% wrong 01.1: centres x in place, once more
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.1
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        x -= x.mean(dim=-1, keepdim=True)
        scale = (x.pow(2).mean(dim=-1, keepdim=True) + self.eps).sqrt()
        return x / scale * self.w + self.b


# %% wrong 01.1: gain and bias through .data, no gradient reaches them
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.1
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        return F.layer_norm(x, (x.shape[-1],), self.w.data, self.b.data, self.eps)


# %% right 01.1: F.layer_norm
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.1
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        return F.layer_norm(x, self.w.shape, self.w, self.b, self.eps)


# %% right 01.1: by hand, centred first
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.1
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.square().mean(dim=-1, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.w + self.b


# %% wrong 01.2: reads W_E.data, no gradient
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    # exercise 01.2
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return self.W_E.data[tokens]


# %% wrong 01.2: padding_idx=0, token 0 gets no gradient
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    # exercise 01.2
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return F.embedding(tokens, self.W_E, padding_idx=0)


# %% wrong 01.2: scaled by the root of d_model, as in the first transformer
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    # exercise 01.2
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return self.W_E[tokens] * math.sqrt(self.W_E.shape[-1])


# %% wrong 01.2: squeeze loses a batch of one or a text of one token
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    # exercise 01.2
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return self.W_E[tokens.squeeze()]


# %% wrong 01.2: flattens the transposed tokens, rows land in the wrong places
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    # exercise 01.2
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        b, s = tokens.shape
        rows = self.W_E.index_select(0, tokens.T.reshape(-1))
        return rows.reshape(b, s, -1)


# %% right 01.2: indexing, 3
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    # exercise 01.2
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return self.W_E[tokens]


# %% right 01.2: one-hot times matrix, once more
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    # exercise 01.2
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        one_hot = F.one_hot(tokens.long(), num_classes=self.W_E.shape[0]).to(self.W_E.dtype)
        return einsum(one_hot, self.W_E, "b s v, v d -> b s d")


# %% wrong 01.3: no batch axis, leaves it to broadcasting
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    # exercise 01.3
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return self.W_pos[: tokens.shape[-1]]


# %% wrong 01.3: repeats each position b times in a row, then reshapes
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    # exercise 01.3
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        b, s = tokens.shape
        return self.W_pos[:s].repeat_interleave(b, dim=0).reshape(b, s, -1)


# %% wrong 01.3: the last s rows instead of the first
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    # exercise 01.3
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        b, s = tokens.shape
        return self.W_pos[-s:].unsqueeze(0).expand(b, -1, -1)


# %% wrong 01.3: a new tensor is filled from detached rows
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    # exercise 01.3
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        b, s = tokens.shape
        rows = self.W_pos.detach()[:s]
        return rows.unsqueeze(0).repeat(b, 1, 1)


# %% wrong 01.3: counts only tokens other than 0, taken for padding
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    # exercise 01.3
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        positions = ((tokens != 0).long().cumsum(dim=-1) - 1).clamp(min=0)
        return self.W_pos[positions]


# %% right 01.3: slice and expand, 3
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    # exercise 01.3
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        b, s = tokens.shape
        return self.W_pos[:s].expand(b, s, -1)


# %% right 01.3: looks the positions up
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    # exercise 01.3
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        positions = torch.arange(tokens.shape[1], device=tokens.device).repeat(tokens.shape[0], 1)
        return F.embedding(positions, self.W_pos)


# %% wrong 01.4: the queries are counted from the first position
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(diagonal=1)
    return scores.masked_fill(future, float("-inf"))


# %% wrong 01.4: masks the scores in place
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    q, k = scores.shape[-2:]
    future = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(diagonal=k - q + 1)
    return scores.masked_fill_(future, float("-inf"))


# %% wrong 01.4: masks whatever is 0 after tril, a score of 0 too
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    q, k = scores.shape[-2:]
    lower = torch.tril(scores, diagonal=k - q)
    return lower.masked_fill(lower == 0, float("-inf"))


# %% wrong 01.4: masks only a square, so several queries after a past see each other's future
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    q, k = scores.shape[-2:]
    if q < k:  # continuing a text: everything before is visible
        return scores.clone()
    future = torch.triu(torch.ones(q, k, device=scores.device), diagonal=1).bool()
    return scores.masked_fill(future, float("-inf"))


# %% wrong 01.4: -10000 is not low enough
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    q, k = scores.shape[-2:]
    rows = torch.arange(k - q, k, device=scores.device)[:, None]
    cols = torch.arange(k, device=scores.device)[None, :]
    return torch.where(cols > rows, torch.full_like(scores, -1e4), scores)


# %% right 01.4: triu with the offset
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    q, k = scores.shape[-2:]
    future = torch.ones(q, k, dtype=torch.bool, device=scores.device).triu(diagonal=k - q + 1)
    return scores.masked_fill(future, float("-inf"))


# %% right 01.4: clone, then query by query
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    n_queries, n_keys = scores.shape[2], scores.shape[3]
    for i in range(n_queries):
        position = n_keys - n_queries + i
        out[:, :, i, position + 1 :] = -math.inf
    return out


# %% wrong 01.5: the scale is taken from the head axis
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-2])
    return causal_mask(scores).softmax(dim=-1)


# %% wrong 01.5: masks with -100, which is not low beside scores in the hundreds
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    s = q.shape[1]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    seen = torch.ones(s, s, dtype=torch.bool, device=q.device).tril()
    return scores.masked_fill(~seen, -100.0).softmax(dim=-1)


# %% wrong 01.5: softmax over all keys, then cut and divided by what is left (may be 0)
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    pattern = scores.softmax(dim=-1).tril()
    return pattern / pattern.sum(dim=-1, keepdim=True)


# %% wrong 01.5: scales q in place, 3
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    q /= math.sqrt(q.shape[-1])
    scores = q.transpose(1, 2) @ k.permute(0, 2, 3, 1)
    return torch.softmax(causal_mask(scores), dim=-1)


# %% wrong 01.5: softmax by hand with one maximum for the whole tensor
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    scores = causal_mask(scores)
    weights = torch.exp(scores - scores.max())
    return weights / weights.sum(dim=-1, keepdim=True)


# %% right 01.5: einsum and causal_mask
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    return causal_mask(scores).softmax(dim=-1)


# %% right 01.5: query by query
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    s, e = q.shape[1], q.shape[-1]
    q, k = q.transpose(1, 2), k.transpose(1, 2)  # b h s e
    rows = []
    for i in range(s):
        seen = (k[:, :, : i + 1] * q[:, :, i : i + 1]).sum(-1) / math.sqrt(e)
        rows.append(F.pad(torch.softmax(seen, dim=-1), (0, s - i - 1)))
    return torch.stack(rows, dim=2)


# %% wrong 01.6: b_O once per head
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    # exercise 01.6
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        out = torch.zeros_like(x)
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        pattern = attention_pattern(q, k)
        for h in range(self.W_O.shape[0]):
            z = pattern[:, h] @ v[:, :, h]
            out = out + (z @ self.W_O[h] + self.b_O)
        return out


# %% wrong 01.6: b_V is left out
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    # exercise 01.6
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e")
        z = einsum(attention_pattern(q, k), v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b s h e, h e d -> b s d") + self.b_O


# %% wrong 01.6: the pattern is computed without gradient
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    # exercise 01.6
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        with torch.no_grad():
            q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
            k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
            pattern = attention_pattern(q, k)
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b s h e, h e d -> b s d") + self.b_O


# %% wrong 01.6: weights reshaped to "d (h e)" without moving the head axis
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    # exercise 01.6
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        b, s, d = x.shape
        h, _, e = self.W_Q.shape

        def project(W, bias):
            return (x @ W.reshape(d, h * e) + bias.reshape(-1)).reshape(b, s, h, e)

        q, k, v = project(self.W_Q, self.b_Q), project(self.W_K, self.b_K), project(self.W_V, self.b_V)
        z = einsum(attention_pattern(q, k), v, "b h q k, b k h e -> b q h e")
        return z.reshape(b, s, h * e) @ self.W_O.reshape(h * e, d) + self.b_O


# %% wrong 01.6: z is "b h s e" and joined without swapping heads and positions back
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    # exercise 01.6
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        b, s, d = x.shape
        h, _, e = self.W_Q.shape
        q = torch.einsum("bsd,hde->bshe", x, self.W_Q) + self.b_Q
        k = torch.einsum("bsd,hde->bshe", x, self.W_K) + self.b_K
        v = torch.einsum("bsd,hde->bshe", x, self.W_V) + self.b_V
        z = attention_pattern(q, k) @ v.transpose(1, 2)
        return z.reshape(b, s, h * e) @ self.W_O.reshape(h * e, d) + self.b_O


# %% right 01.6: einsum throughout, 3
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    # exercise 01.6
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        z = einsum(attention_pattern(q, k), v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b s h e, h e d -> b s d") + self.b_O


# %% right 01.6: head by head with matmul
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    # exercise 01.6
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        s = x.shape[1]
        n_heads, _, e = self.W_Q.shape
        future = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        outs = []
        for h in range(n_heads):
            q = x @ self.W_Q[h] + self.b_Q[h]
            k = x @ self.W_K[h] + self.b_K[h]
            v = x @ self.W_V[h] + self.b_V[h]
            scores = (q @ k.transpose(1, 2) / math.sqrt(e)).masked_fill(future, -math.inf)
            outs.append(scores.softmax(-1) @ v @ self.W_O[h])
        return sum(outs) + self.b_O


# %% wrong 01.7: the exact GELU with erf, once more
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.7
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        return F.gelu(x @ self.W_in + self.b_in) @ self.W_out + self.b_out


# %% wrong 01.7: tanh from exponentials, nan for large x
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.7
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = x @ self.W_in + self.b_in
        y = torch.exp(2 * math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3))
        post = 0.5 * pre * (1 + (y - 1) / (y + 1))
        return post @ self.W_out + self.b_out


# %% wrong 01.7: clamps the hidden layer to keep the cube small
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.7
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = (x @ self.W_in + self.b_in).clamp(-10.0, 10.0)
        post = F.gelu(pre, approximate="tanh")
        return post @ self.W_out + self.b_out


# %% wrong 01.7: the root multiplies only the first term
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.7
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = einsum(x, self.W_in, "b s d, d m -> b s m") + self.b_in
        post = 0.5 * pre * (1 + torch.tanh(math.sqrt(2 / math.pi) * pre + 0.044715 * pre**3))
        return einsum(post, self.W_out, "b s m, m d -> b s d") + self.b_out


# %% wrong 01.7: b_in is added after the GELU
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.7
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        post = F.gelu(x @ self.W_in, approximate="tanh") + self.b_in
        return post @ self.W_out + self.b_out


# %% right 01.7: F.gelu with tanh, once more
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.7
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        hidden = F.gelu(F.linear(x, self.W_in.T, self.b_in), approximate="tanh")
        return F.linear(hidden, self.W_out.T, self.b_out)


# %% right 01.7: the formula with einsum
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    # exercise 01.7
    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = einsum(x, self.W_in, "b s d, d m -> b s m") + self.b_in
        inner = math.sqrt(2 / math.pi) * (pre + 0.044715 * pre * pre * pre)
        post = pre / 2 * (1 + torch.tanh(inner))
        return einsum(post, self.W_out, "b s m, m d -> b s d") + self.b_out


# %% wrong 01.8: adds the MLP to the stream between in place
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    # exercise 01.8
    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        resid = resid_pre + self.attn(self.ln1(resid_pre))
        resid += self.mlp(self.ln2(resid))
        return resid


# %% wrong 01.8: adds the stream into what the parts returned
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    # exercise 01.8
    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        attn_out = self.attn(self.ln1(resid_pre))
        resid_mid = attn_out.add_(resid_pre)
        return resid_mid + self.mlp(self.ln2(resid_mid))


# %% wrong 01.8: ln1 before the MLP as well
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    # exercise 01.8
    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        resid_mid = resid_pre + self.attn(self.ln1(resid_pre))
        return resid_mid + self.mlp(self.ln1(resid_mid))


# %% wrong 01.8: attention and MLP in parallel, both read the old stream
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    # exercise 01.8
    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        attn_out = self.attn(self.ln1(resid_pre))
        mlp_out = self.mlp(self.ln2(resid_pre))
        return resid_pre + attn_out + mlp_out


# %% wrong 01.8: the normalised stream is what is carried on
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    # exercise 01.8
    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        x = self.ln1(resid_pre)
        x = x + self.attn(x)
        x = self.ln2(x)
        return x + self.mlp(x)


# %% right 01.8: two named streams
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    # exercise 01.8
    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        resid_mid = resid_pre + self.attn(self.ln1(resid_pre))
        resid_post = resid_mid + self.mlp(self.ln2(resid_mid))
        return resid_post


# %% right 01.8: a loop over the two halves
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    # exercise 01.8
    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        stream = resid_pre
        for norm, part in ((self.ln1, self.attn), (self.ln2, self.mlp)):
            stream = torch.add(stream, part(norm(stream)))
        return stream


# %% wrong 01.9: b_U is left out
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    # exercise 01.9
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = block(resid)
        return self.ln_final(resid) @ self.W_U


# %% wrong 01.9: adds the stream once more around each block
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    # exercise 01.9
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = resid + block(resid)
        return self.ln_final(resid) @ self.W_U + self.b_U


# %% wrong 01.9: the last LayerNorm is applied after every block
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    # exercise 01.9
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = self.ln_final(block(x))
        return einsum(x, self.W_U, "b s d, d v -> b s v") + self.b_U


# %% wrong 01.9: tied unembedding, the transpose of W_E
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    # exercise 01.9
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        x = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.ln_final(x) @ self.embed.W_E.T + self.b_U


# %% wrong 01.9: the positions are added again before every block
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    # exercise 01.9
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        x = self.embed(tokens)
        pos = self.pos_embed(tokens)
        for block in self.blocks:
            x = block(x + pos)
        return self.ln_final(x) @ self.W_U + self.b_U


# %% right 01.9: a plain loop
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    # exercise 01.9
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = block(resid)
        return self.ln_final(resid) @ self.W_U + self.b_U


# %% right 01.9: reduce and F.linear, once more
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    # exercise 01.9
    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        from functools import reduce

        start = torch.add(self.embed(tokens), self.pos_embed(tokens))
        end = reduce(lambda stream, block: block(stream), self.blocks, start)
        return F.linear(self.ln_final(end), self.W_U.T, self.b_U)


# %% wrong 01.10: squeeze() without an axis loses a batch of one
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    log_probs = logits[:, :-1].log_softmax(dim=-1)
    return -log_probs.gather(-1, tokens[:, 1:, None]).squeeze()


# %% wrong 01.10: a next token 0 costs nothing
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    return F.cross_entropy(
        logits[:, :-1].transpose(1, 2), tokens[:, 1:], ignore_index=0, reduction="none"
    )


# %% wrong 01.10: log of softmax plus a small number
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    probs = logits.softmax(dim=-1)[:, :-1]
    p_next = probs.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)
    return -torch.log(p_next + 1e-10)


# %% wrong 01.10: rolls the tokens but drops the first position instead of the last
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    next_tokens = tokens.roll(-1, dims=1)
    losses = F.cross_entropy(logits.transpose(1, 2), next_tokens, reduction="none")
    return losses[:, 1:]


# %% wrong 01.10: each position is scored on its own token, not on the next
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    log_probs = torch.log_softmax(logits, dim=-1)
    own = log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return -own[:, :-1]


# %% right 01.10: log_softmax and gather, once more
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    log_probs = logits[:, :-1].log_softmax(dim=-1)
    return -log_probs.gather(-1, tokens[:, 1:].long().unsqueeze(-1)).squeeze(-1)


# %% right 01.10: F.cross_entropy on flat rows
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    targets = tokens[:, 1:].long()
    flat = logits[:, :-1].flatten(0, 1)
    return F.cross_entropy(flat, targets.flatten(), reduction="none").view(targets.shape)


# %% wrong 01.11: gradients of earlier steps are never cleared
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    value = loss(model(tokens), tokens)[mask[:, 1:]].mean()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: masks by the token that reads, so the last real one predicts padding
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    optimizer.zero_grad()
    losses = loss(model(tokens), tokens)
    real = mask[:, :-1]
    value = (losses * real).sum() / real.sum()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: the mean of the means of each text
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    optimizer.zero_grad()
    real = mask[:, 1:].float()
    losses = loss(model(tokens), tokens) * real
    per_text = losses.sum(dim=1) / real.sum(dim=1).clamp(min=1)
    value = per_text.mean()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: finds the padding by its id 0 and so drops real tokens 0
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    targets = (tokens * mask)[:, 1:]
    logits = model(tokens)[:, :-1]
    value = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=0)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: steps along the gradient of the sum, returns the mean
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    losses = loss(model(tokens), tokens)[mask[:, 1:]]
    optimizer.zero_grad()
    total = losses.sum()
    total.backward()
    optimizer.step()
    return total.item() / len(losses)


# %% right 01.11: boolean index
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    optimizer.zero_grad()
    value = loss(model(tokens), tokens)[mask[:, 1:]].mean()
    value.backward()
    optimizer.step()
    return value.item()


# %% right 01.11: cross_entropy with the targets of padding ignored, gradients cleared at the end
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    targets = tokens.long().masked_fill(~mask, -100)[:, 1:]
    logits = model(tokens)[:, :-1]
    value = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    value.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(value.detach())


# %% wrong 01.12: top_k by a threshold, ties at the k-th place all stay
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    scaled = logits / temperature
    if top_k is not None:
        threshold = scaled.topk(min(top_k, len(scaled))).values[-1]
        scaled = scaled.masked_fill(scaled < threshold, -math.inf)
    probs = scaled.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        ordered, order = probs.sort(descending=True)
        before = ordered.cumsum(dim=0) - ordered
        drop = before >= top_p - 1e-7
        drop[0] = False
        probs = probs.clone()
        probs[order[drop]] = 0.0
        probs = probs / probs.sum()
    return probs


# %% wrong 01.12: top_p looks at the probabilities from before top_k
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    v = logits.shape[0]
    if temperature == 0:
        return F.one_hot(logits.argmax(), v).to(logits.dtype)
    probs = ((logits - logits.max()) / temperature).softmax(dim=-1)
    ordered, order = probs.sort(descending=True)
    n = v
    if top_k is not None:
        n = min(n, top_k)
    if top_p is not None and top_p < 1:
        before = ordered.cumsum(dim=0) - ordered
        n = min(n, max(1, int((before < top_p - 1e-7).sum())))
    out = torch.zeros_like(probs)
    out[order[:n]] = ordered[:n] / ordered[:n].sum()
    return out


# %% wrong 01.12: temperature 0 shares the probability among tied tokens
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        best = (logits == logits.max()).to(logits.dtype)
        return best / best.sum()
    ordered, order = ((logits - logits.max()) / temperature).softmax(dim=-1).sort(descending=True)
    if top_k is not None:
        ordered = ordered[:top_k] / ordered[:top_k].sum()
    if top_p is not None and top_p < 1:
        before = ordered.cumsum(dim=0) - ordered
        n = max(1, int((before < top_p - 1e-7).sum()))
        ordered = ordered[:n] / ordered[:n].sum()
    out = torch.zeros_like(logits)
    out[order[: len(ordered)]] = ordered
    return out


# %% wrong 01.12: one token too many when p is reached exactly
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    out = torch.zeros_like(logits)
    if temperature == 0:
        out[logits.argmax()] = 1.0
        return out
    probs, order = ((logits - logits.max()) / temperature).softmax(dim=-1).sort(descending=True)
    if top_k is not None:
        probs = probs[:top_k]
        probs = probs / probs.sum()
    if top_p is not None:
        before = probs.cumsum(dim=0) - probs
        probs = probs[before <= top_p]
        probs = probs / probs.sum()
    out[order[: len(probs)]] = probs
    return out


# %% wrong 01.12: divides the caller's logits in place
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    logits /= temperature
    probs, order = logits.softmax(dim=-1).sort(descending=True)
    if top_k is not None:
        probs = probs[:top_k] / probs[:top_k].sum()
    if top_p is not None and top_p < 1:
        before = probs.cumsum(dim=0) - probs
        n = max(1, int((before < top_p - 1e-7).sum()))
        probs = probs[:n] / probs[:n].sum()
    out = torch.zeros_like(logits)
    out[order[: len(probs)]] = probs
    return out


# %% right 01.12: sorted tensors, in double
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    ordered, order = logits.double().sort(descending=True)
    probs = ((ordered - ordered[0]) / temperature).softmax(dim=0)
    if top_k is not None:
        probs = probs[:top_k] / probs[:top_k].sum()
    if top_p is not None and top_p < 1:
        before = probs.cumsum(dim=0) - probs
        n = max(1, int((before < top_p - 1e-7).sum()))
        probs = probs[:n] / probs[:n].sum()
    out = torch.zeros_like(logits)
    out[order[: len(probs)]] = probs.to(logits.dtype)
    return out


# %% right 01.12: Python floats, token by token
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    values = logits.tolist()
    order = sorted(range(len(values)), key=lambda i: -values[i])
    if temperature == 0:
        kept = {order[0]: 1.0}
    else:
        if top_k is not None:
            order = order[:top_k]
        top = values[order[0]]
        weights = [math.exp((values[i] - top) / temperature) for i in order]
        total = math.fsum(weights)
        kept, reached = {}, 0.0
        for i, weight in zip(order, weights):
            if kept and top_p is not None and top_p < 1 and reached >= top_p - 1e-7:
                break
            kept[i] = weight / total
            reached += kept[i]
        kept = {i: p / reached for i, p in kept.items()}
    return torch.tensor(
        [kept.get(i, 0.0) for i in range(len(values))], dtype=logits.dtype, device=logits.device
    )


# %% wrong 01.13: cuts the text itself to n_ctx, the start of the prompt is lost
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        tokens = tokens[:, -n_ctx:]
        with torch.no_grad():
            new = model(tokens)[:, -1].argmax(dim=-1)
        if eos is not None:
            new = new.masked_fill(done, eos)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        attn = block.attn
        x = block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], dim=1)
            v = torch.cat([cache[i][1], v], dim=1)
        cache[i] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        scores = causal_mask(scores)
        z = einsum(scores.softmax(dim=-1), v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b s h e, h e d -> b s d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1:].argmax(dim=-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: `if eos:` overlooks that eos may be 0
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos:
            new = new.masked_fill(done, eos)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        attn = block.attn
        x = block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], dim=1)
            v = torch.cat([cache[i][1], v], dim=1)
        cache[i] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        scores = causal_mask(scores)
        z = einsum(scores.softmax(dim=-1), v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b s h e, h e d -> b s d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1:].argmax(dim=-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: stops when all rows are finished, columns are missing
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = torch.where(done, torch.full_like(new, eos), new)
            done |= new == eos
        tokens = torch.cat([tokens, new[:, None]], dim=1)
        if done.all():
            break
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        attn = block.attn
        x = block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], dim=1)
            v = torch.cat([cache[i][1], v], dim=1)
        cache[i] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        scores = causal_mask(scores)
        z = einsum(scores.softmax(dim=-1), v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b s h e, h e d -> b s d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1:].argmax(dim=-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: no mask once there is a past, several new tokens see each other's future
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = new.masked_fill(done, eos)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        attn = block.attn
        x = block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], dim=1)
            v = torch.cat([cache[i][1], v], dim=1)
        cache[i] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        if past == 0:
            scores = causal_mask(scores)
        z = einsum(scores.softmax(dim=-1), v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b s h e, h e d -> b s d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1:].argmax(dim=-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: generate_with_cache adds a token also when n is 0
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = new.masked_fill(done, eos)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        attn = block.attn
        x = block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], dim=1)
            v = torch.cat([cache[i][1], v], dim=1)
        cache[i] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        scores = causal_mask(scores)
        z = einsum(scores.softmax(dim=-1), v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b s h e, h e d -> b s d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache = {}
    with torch.no_grad():
        new = forward(model, tokens, cache)[:, -1:].argmax(dim=-1)
        out = [tokens, new]
        for _ in range(n - 1):
            new = forward(model, new, cache)[:, -1:].argmax(dim=-1)
            out.append(new)
    return torch.cat(out, dim=1)


# %% right 01.13: loops with cat
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    done = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = new.masked_fill(done, eos)
            done = done | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for i, block in enumerate(model.blocks):
        attn = block.attn
        x = block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if i in cache:
            k = torch.cat([cache[i][0], k], dim=1)
            v = torch.cat([cache[i][1], v], dim=1)
        cache[i] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        scores = causal_mask(scores)
        z = einsum(scores.softmax(dim=-1), v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b s h e, h e d -> b s d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1:].argmax(dim=-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% right 01.13: a result filled beforehand, heads by broadcasting
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    b, s = tokens.shape
    n_ctx = model.pos_embed.W_pos.shape[0]
    out = torch.full((b, s + n), 0 if eos is None else eos, dtype=tokens.dtype, device=tokens.device)
    out[:, :s] = tokens
    active = list(range(b))
    for end in range(s, s + n):
        if not active:
            break
        with torch.no_grad():
            logits = model(out[active, max(0, end - n_ctx) : end])
        best = logits[:, -1].max(dim=-1).indices
        out[active, end] = best.to(out.dtype)
        active = [row for row, token in zip(active, best.tolist()) if eos is None or token != eos]
    return out


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    b, s = tokens.shape
    past = cache[0][0].size(1) if 0 in cache else 0
    where = torch.arange(past, past + s, device=tokens.device)
    future = torch.arange(past + s, device=tokens.device)[None, :] > where[:, None]
    x = model.embed(tokens) + model.pos_embed.W_pos[where]
    for layer, block in enumerate(model.blocks):
        a = block.attn
        normed = block.ln1(x).unsqueeze(1)  # b 1 s d
        q, k, v = (
            (normed @ W + bias[:, None]).transpose(1, 2)
            for W, bias in ((a.W_Q, a.b_Q), (a.W_K, a.b_K), (a.W_V, a.b_V))
        )
        if layer in cache:
            old_k, old_v = cache[layer]
            k, v = torch.cat((old_k, k), 1), torch.cat((old_v, v), 1)
        cache[layer] = (k, v)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, -math.inf)
        heads = torch.softmax(scores, -1) @ v @ a.W_O  # b h s d
        x = x + heads.sum(1) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    if n == 0:
        return tokens.clone()
    cache: dict[int, tuple[Tensor, Tensor]] = {}
    columns = [tokens]
    with torch.no_grad():
        while True:
            best = forward(model, columns[-1], cache)[:, -1].argmax(dim=-1)
            columns.append(best.to(tokens.dtype).unsqueeze(1))
            if len(columns) == n + 1:
                return torch.cat(columns, dim=1)

# %% wrong 01.1: eps outside the square root
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        x = x - x.mean(dim=-1, keepdim=True)
        std = x.pow(2).mean(dim=-1, keepdim=True).sqrt()
        return x / (std + self.eps) * self.w + self.b


# %% wrong 01.1: variance as mean of squares less square of mean
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        mean = x.mean(dim=-1, keepdim=True)
        variance = (x**2).mean(dim=-1, keepdim=True) - mean**2
        return (x - mean) / torch.sqrt(variance.clamp(min=0) + self.eps) * self.w + self.b


# %% wrong 01.1: the library's default eps
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        return F.layer_norm(x, (x.shape[-1],), self.w, self.b)


# %% wrong 01.1: centres x in place (third set)
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        x -= x.mean(dim=-1, keepdim=True)
        scale = (x.pow(2).mean(dim=-1, keepdim=True) + self.eps).rsqrt()
        return x * scale * self.w + self.b


# %% right 01.1: F.layer_norm with eps
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        return F.layer_norm(x, self.w.shape, weight=self.w, bias=self.b, eps=self.eps)


# %% right 01.1: two passes by hand
class LayerNorm(nn.Module):
    """Centre each vector, scale it to variance 1, then apply a learned gain `w` and bias `b`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = (centred * centred).mean(dim=-1, keepdim=True)
        return centred / (variance + self.eps).sqrt() * self.w + self.b


# %% wrong 01.2: padding_idx: token 0 learns nothing
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return F.embedding(tokens, self.W_E, padding_idx=0)


# %% wrong 01.2: from_pretrained wraps a copy of the parameter that has its own gradient
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return nn.Embedding.from_pretrained(self.W_E, freeze=False)(tokens)


# %% wrong 01.2: times sqrt(d_model), as in the first transformer
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return self.W_E[tokens] * math.sqrt(self.W_E.shape[1])


# %% wrong 01.2: squeezes a batch of one away
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return self.W_E[tokens.squeeze()]


# %% right 01.2: F.embedding (third set)
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return F.embedding(tokens, self.W_E)


# %% right 01.2: index_select on the flat tokens (third set)
class Embed(nn.Module):
    """A vector for each token of the vocabulary: the rows of `W_E`, "v d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        rows = torch.index_select(self.W_E, 0, tokens.reshape(-1))
        return rows.reshape(*tokens.shape, self.W_E.shape[1])


# %% wrong 01.3: no batch axis, broadcasting will do
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        return self.W_pos[: tokens.shape[1]]


# %% wrong 01.3: counts only tokens that are not 0, as for padded batches
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        positions = ((tokens != 0).long().cumsum(dim=1) - 1).clamp(min=0)
        return self.W_pos[positions]


# %% wrong 01.3: a fresh tensor without gradients
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        b, s = tokens.shape
        out = torch.zeros(b, s, self.W_pos.shape[1], dtype=self.W_pos.dtype, device=tokens.device)
        out[:] = self.W_pos.data[:s]
        return out


# %% wrong 01.3: goes on counting from one row of the batch to the next
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        positions = torch.arange(tokens.numel(), device=tokens.device) % len(self.W_pos)
        return self.W_pos[positions.view_as(tokens)]


# %% right 01.3: a slice, expanded
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        b, s = tokens.shape
        return self.W_pos[:s].unsqueeze(0).expand(b, -1, -1)


# %% right 01.3: an index for every token
class PosEmbed(nn.Module):
    """A vector for each position: the rows of `W_pos`, "n_ctx d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        positions = torch.arange(tokens.size(1), device=tokens.device).expand(tokens.size(0), -1)
        return F.embedding(positions, self.W_pos)


# %% wrong 01.4: -1e5 is not low enough
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    n_q, n_k = scores.shape[-2:]
    later = torch.ones(n_q, n_k, dtype=torch.bool, device=scores.device).triu(diagonal=n_k - n_q + 1)
    return scores.masked_fill(later, -1e5)


# %% wrong 01.4: the offset with the wrong sign
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    n_q, n_k = scores.shape[-2:]
    later = torch.ones(n_q, n_k, dtype=torch.bool, device=scores.device).triu(diagonal=n_q - n_k + 1)
    return scores.masked_fill(later, float("-inf"))


# %% wrong 01.4: a single query is thought of, several after a past are not
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    n_q, n_k = scores.shape[-2:]
    if n_q == 1:
        return scores.clone()
    later = torch.ones(n_q, n_k, dtype=torch.bool, device=scores.device).triu(diagonal=1)
    return scores.masked_fill(later, float("-inf"))


# %% wrong 01.4: with nothing to mask, no copy
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    n_q, n_k = scores.shape[-2:]
    if n_q == 1:
        return scores
    later = torch.triu(torch.ones(n_q, n_k, device=scores.device), diagonal=n_k - n_q + 1).bool()
    return scores.masked_fill(later, -torch.inf)


# %% right 01.4: triu and masked_fill
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    n_q, n_k = scores.shape[-2], scores.shape[-1]
    later = torch.ones((n_q, n_k), dtype=torch.bool, device=scores.device).triu(1 + n_k - n_q)
    return scores.masked_fill(later, float("-inf"))


# %% right 01.4: row by row on a clone
def causal_mask(scores: Float[Tensor, "b h q k"]) -> Float[Tensor, "b h q k"]:
    out = scores.clone()
    n_q, n_k = out.shape[2], out.shape[3]
    for i in range(n_q):
        position = n_k - n_q + i
        out[:, :, i, position + 1 :] = -math.inf
    return out


# %% wrong 01.5: scales q in place (third set)
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    q /= math.sqrt(q.shape[-1])
    scores = einsum(q, k, "b q h e, b k h e -> b h q k")
    return causal_mask(scores).softmax(dim=-1)


# %% wrong 01.5: masks after the softmax and makes the rest add up to 1
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    pattern = scores.softmax(dim=-1).tril()
    return pattern / (pattern.sum(dim=-1, keepdim=True) + 1e-9)


# %% wrong 01.5: the scale from another axis of the transposed q
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    q, k = q.transpose(1, 2), k.transpose(1, 2)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[2])
    return causal_mask(scores).softmax(dim=-1)


# %% wrong 01.5: softmax by hand with one maximum for everything
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    scores = causal_mask(einsum(q, k, "b q h e, b k h e -> b h q k") / q.shape[-1] ** 0.5)
    weights = torch.exp(scores - scores.max())
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-12)


# %% right 01.5: einsum, mask, softmax (third set)
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    return torch.softmax(causal_mask(scores), dim=-1)


# %% right 01.5: query by query over a growing slice of keys
def attention_pattern(q: Float[Tensor, "b s h e"], k: Float[Tensor, "b s h e"]) -> Float[Tensor, "b h q k"]:
    b, s, h, e = q.shape
    rows = []
    for i in range(s):
        scores = (q[:, i : i + 1] * k[:, : i + 1]).sum(dim=-1) / e**0.5  # b k h
        row = F.softmax(scores, dim=1).permute(0, 2, 1)  # b h k
        rows.append(F.pad(row, (0, s - 1 - i)))
    return torch.stack(rows, dim=2)


# %% wrong 01.6: b_O once for each head
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        z = einsum(attention_pattern(q, k), v, "b h q k, b k h e -> b q h e")
        per_head = einsum(z, self.W_O, "b q h e, h e d -> b q h d") + self.b_O
        return per_head.sum(dim=2)


# %% wrong 01.6: keeps a detached pattern and goes on with it
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        pattern = attention_pattern(q, k).detach()
        self.last_pattern = pattern
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% wrong 01.6: adds up v over the queries of the pattern
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        pattern = attention_pattern(q, k)
        z = einsum(pattern, v, "b h k q, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% wrong 01.6: reshapes h d e to d (h e) without moving the axes
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        h, d, e = self.W_Q.shape
        b, s, _ = x.shape

        def project(weight, bias):
            return (x @ weight.reshape(d, h * e)).view(b, s, h, e) + bias

        q, k, v = project(self.W_Q, self.b_Q), project(self.W_K, self.b_K), project(self.W_V, self.b_V)
        z = einsum(attention_pattern(q, k), v, "b h q k, b k h e -> b q h e")
        return z.reshape(b, s, h * e) @ self.W_O.reshape(h * e, d) + self.b_O


# %% right 01.6: einsum throughout (third set)
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
        k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
        v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
        pattern = attention_pattern(q, k)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        return einsum(z, self.W_O, "b q h e, h e d -> b q d") + self.b_O


# %% right 01.6: head by head, with its own softmax
class Attention(nn.Module):
    """All heads of a layer: `W_Q, W_K, W_V` "h d e", `b_Q, b_K, b_V` "h e", `W_O` "h e d", `b_O` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        h, d, e = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.b_Q = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_K, self.b_K = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_V, self.b_V = nn.Parameter(torch.empty(h, d, e)), nn.Parameter(torch.zeros(h, e))
        self.W_O, self.b_O = nn.Parameter(torch.empty(h, e, d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        s = x.shape[1]
        later = torch.ones(s, s, dtype=torch.bool, device=x.device).triu(1)
        out = self.b_O
        for i in range(self.W_Q.shape[0]):
            q = x @ self.W_Q[i] + self.b_Q[i]
            k = x @ self.W_K[i] + self.b_K[i]
            v = x @ self.W_V[i] + self.b_V[i]
            scores = (q @ k.transpose(1, 2)) / math.sqrt(q.shape[-1])
            pattern = scores.masked_fill(later, -math.inf).softmax(dim=-1)
            out = out + pattern @ v @ self.W_O[i]
        return out


# %% wrong 01.7: tanh from exponentials that overflow
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = x @ self.W_in + self.b_in
        e = torch.exp(2 * math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3))
        return (pre / 2 * (1 + (e - 1) / (e + 1))) @ self.W_out + self.b_out


# %% wrong 01.7: the quick GELU by a sigmoid
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = x @ self.W_in + self.b_in
        return (pre * torch.sigmoid(1.702 * pre)) @ self.W_out + self.b_out


# %% wrong 01.7: sqrt(2/pi) stands before x only
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = einsum(x, self.W_in, "b s d, d m -> b s m") + self.b_in
        act = 0.5 * pre * (1 + torch.tanh(math.sqrt(2 / math.pi) * pre + 0.044715 * pre.pow(3)))
        return einsum(act, self.W_out, "b s m, m d -> b s d") + self.b_out


# %% wrong 01.7: clamps the neurons so that the cube stays small
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = (x @ self.W_in + self.b_in).clamp(-10, 10)
        act = pre / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)))
        return act @ self.W_out + self.b_out


# %% right 01.7: F.gelu with tanh (third set)
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        return F.gelu(x @ self.W_in + self.b_in, approximate="tanh") @ self.W_out + self.b_out


# %% right 01.7: the formula, with F.linear
class MLP(nn.Module):
    """One hidden layer of m neurons: `W_in` "d m", `b_in` "m", `W_out` "m d", `b_out` "d"."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_in, self.b_in = (
            nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp)),
            nn.Parameter(torch.zeros(cfg.d_mlp)),
        )
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        pre = F.linear(x, self.W_in.T, self.b_in)
        inner = math.sqrt(2 / math.pi) * (pre + 0.044715 * pre * pre * pre)
        return F.linear(0.5 * pre * (1 + torch.tanh(inner)), self.W_out.T, self.b_out)


# %% wrong 01.8: parallel: the MLP reads the stream from before attention
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        attn_out = self.attn(self.ln1(resid_pre))
        mlp_out = self.mlp(self.ln2(resid_pre))
        return resid_pre + attn_out + mlp_out


# %% wrong 01.8: overwrites the stream between
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        resid = resid_pre + self.attn(self.ln1(resid_pre))
        resid += self.mlp(self.ln2(resid))
        return resid


# %% wrong 01.8: adds the stream into what the parts returned (third set)
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        resid_mid = self.attn(self.ln1(resid_pre))
        resid_mid += resid_pre
        resid_post = self.mlp(self.ln2(resid_mid))
        resid_post += resid_mid
        return resid_post


# %% wrong 01.8: the normalised stream becomes the stream
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        x = self.ln1(resid_pre)
        x = x + self.attn(x)
        x = self.ln2(x)
        return x + self.mlp(x)


# %% right 01.8: two sums
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        resid_mid = resid_pre + self.attn(self.ln1(resid_pre))
        return resid_mid + self.mlp(self.ln2(resid_mid))


# %% right 01.8: a loop over the two parts
class TransformerBlock(nn.Module):
    """One layer: attention and MLP, each reading the residual stream through its own LayerNorm."""

    def __init__(self, ln1: nn.Module, attn: nn.Module, ln2: nn.Module, mlp: nn.Module):
        super().__init__()
        self.ln1, self.attn, self.ln2, self.mlp = ln1, attn, ln2, mlp

    def forward(self, resid_pre: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        stream = resid_pre
        for norm, part in ((self.ln1, self.attn), (self.ln2, self.mlp)):
            stream = torch.add(stream, part(norm(stream)))
        return stream


# %% wrong 01.9: adds the stream to the blocks that already do so
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = resid + block(resid)
        return self.ln_final(resid) @ self.W_U + self.b_U


# %% wrong 01.9: ties the unembedding to the embedding
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = block(resid)
        return self.ln_final(resid) @ self.embed.W_E.T + self.b_U


# %% wrong 01.9: the last LayerNorm after every block
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = self.ln_final(block(resid))
        return resid @ self.W_U + self.b_U


# %% wrong 01.9: without b_U
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = block(resid)
        return einsum(self.ln_final(resid), self.W_U, "b s d, d v -> b s v")


# %% right 01.9: a plain loop (third set)
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        resid = self.embed(tokens) + self.pos_embed(tokens)
        for block in self.blocks:
            resid = block(resid)
        return self.ln_final(resid) @ self.W_U + self.b_U


# %% right 01.9: Sequential and F.linear
class Transformer(nn.Module):
    """GPT-2: embeddings, blocks, a last LayerNorm, and the unembedding `W_U` "d v" with `b_U` "v"."""

    def __init__(
        self,
        embed: nn.Module,
        pos_embed: nn.Module,
        blocks: list[nn.Module],
        ln_final: nn.Module,
        d_model: int,
        d_vocab: int,
    ):
        super().__init__()
        self.embed, self.pos_embed, self.ln_final = embed, pos_embed, ln_final
        self.blocks = nn.ModuleList(blocks)
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab))
        self.b_U = nn.Parameter(torch.zeros(d_vocab))

    def forward(self, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s v"]:
        body = nn.Sequential(*self.blocks, self.ln_final)
        return F.linear(body(self.embed(tokens) + self.pos_embed(tokens)), self.W_U.T, self.b_U)


# %% wrong 01.10: ignores token 0 as if it were padding
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    b, s = tokens.shape
    flat = F.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1), ignore_index=0, reduction="none"
    )
    return flat.view(b, s - 1)


# %% wrong 01.10: squeezes all axes of one
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    log_probs = logits[:, :-1].log_softmax(dim=-1)
    return -log_probs.gather(-1, tokens[:, 1:, None]).squeeze()


# %% wrong 01.10: clamps the probability before the log
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    probs = logits[:, :-1].softmax(dim=-1)
    picked = probs.gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return -picked.clamp(min=1e-12).log()


# %% wrong 01.10: shifts the wrong way round
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    log_probs = logits.log_softmax(dim=-1)
    return -log_probs[:, 1:].gather(-1, tokens[:, :-1].unsqueeze(-1)).squeeze(-1)


# %% right 01.10: log_softmax and gather (third set)
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    log_probs = F.log_softmax(logits[:, :-1], dim=-1)
    return -log_probs.gather(2, tokens[:, 1:].long().unsqueeze(2)).squeeze(2)


# %% right 01.10: logsumexp less the logit, by index tensors
def loss(logits: Float[Tensor, "b s v"], tokens: Int[Tensor, "b s"]) -> Float[Tensor, "b s-1"]:
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)[:, None]
    now = torch.arange(s - 1, device=tokens.device)[None, :]
    return logits[:, :-1].logsumexp(dim=-1) - logits[rows, now, tokens[:, 1:].long()]


# %% wrong 01.11: the mean of each text's mean
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    optimizer.zero_grad()
    real = mask[:, 1:]
    nll = loss(model(tokens), tokens).masked_fill(~real, 0.0)
    per_text = nll.sum(dim=1) / real.sum(dim=1).clamp(min=1)
    value = per_text.mean()
    value.backward()
    optimizer.step()
    return value.item()


# %% wrong 01.11: divides by all real tokens, BOS included
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    nll = loss(model(tokens), tokens)
    value = (nll * mask[:, 1:]).sum() / mask.sum()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return float(value)


# %% wrong 01.11: clips the gradients, as training recipes do
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    value = loss(model(tokens), tokens)[mask[:, 1:]].mean()
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return value.item()


# %% wrong 01.11: takes the mask of the predicting token, not of the predicted one
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    optimizer.zero_grad()
    nll = loss(model(tokens), tokens)
    value = nll[mask[:, :-1]].mean()
    value.backward()
    optimizer.step()
    return value.item()


# %% right 01.11: picks the real predictions by the mask
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    optimizer.zero_grad()
    value = loss(model(tokens), tokens)[mask[:, 1:]].mean()
    value.backward()
    optimizer.step()
    return value.item()


# %% right 01.11: cross_entropy with targets to be ignored, gradients taken away at the end
def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]
) -> float:
    tokens, mask = batch
    logits = model(tokens)[:, :-1]
    targets = tokens[:, 1:].masked_fill(~mask[:, 1:], -100)
    value = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    value.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(value.detach())


# %% wrong 01.12: top_p keeps one more when the sum is p exactly
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    scaled = logits / temperature
    if top_k is not None:
        kept = scaled.topk(min(top_k, len(scaled))).indices
        scaled = torch.full_like(scaled, -math.inf).scatter(0, kept, scaled[kept])
    probs = scaled.softmax(dim=-1)
    if top_p is not None:
        ordered, order = probs.sort(descending=True)
        remove = ordered.cumsum(dim=-1) > top_p
        remove[1:] = remove[:-1].clone()
        remove[0] = False
        probs = probs.index_fill(0, order[remove], 0.0)
        probs = probs / probs.sum()
    return probs


# %% wrong 01.12: top_k by a threshold keeps all that tie with the k-th
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    scaled = logits / temperature
    if top_k is not None:
        smallest = scaled.topk(min(top_k, len(scaled))).values[-1]
        scaled = scaled.masked_fill(scaled < smallest, -math.inf)
    probs = scaled.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        ordered, order = probs.sort(descending=True)
        before = ordered.cumsum(dim=-1).roll(1)
        before[0] = 0
        probs = probs.index_fill(0, order[before >= top_p], 0.0)
        probs = probs / probs.sum()
    return probs


# %% wrong 01.12: at temperature 1 masks the caller's logits
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    scaled = logits if temperature == 1.0 else logits / temperature
    order = scaled.argsort(descending=True)
    if top_k is not None:
        scaled[order[top_k:]] = -math.inf
    if top_p is not None and top_p < 1:
        ordered = scaled.softmax(dim=-1)[order]
        n_keep = 1 + int((ordered.cumsum(dim=-1)[:-1] < top_p).sum())
        scaled[order[n_keep:]] = -math.inf
    return scaled.softmax(dim=-1)


# %% wrong 01.12: top_p from the probabilities before top_k
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    probs = (logits / temperature).softmax(dim=-1)
    order = probs.argsort(descending=True)
    n_keep = len(probs)
    if top_k is not None:
        n_keep = min(n_keep, top_k)
    if top_p is not None and top_p < 1:
        n_keep = min(n_keep, 1 + int((probs[order].cumsum(dim=-1)[:-1] < top_p).sum()))
    out = torch.zeros_like(probs)
    out[order[:n_keep]] = probs[order[:n_keep]]
    return out / out.sum()


# %% right 01.12: in sorted order, then put back
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    if temperature == 0:
        out = torch.zeros_like(logits)
        out[logits.argmax()] = 1.0
        return out
    scaled = (logits - logits.max()).double() / temperature
    ordered, order = scaled.sort(descending=True)
    if top_k is not None:
        ordered, order = ordered[:top_k], order[:top_k]
    probs = ordered.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        n_keep = 1 + int((probs.cumsum(dim=-1)[:-1] < top_p).sum())
        probs, order = probs[:n_keep] / probs[:n_keep].sum(), order[:n_keep]
    return torch.zeros_like(logits).scatter(0, order, probs.to(logits.dtype))


# %% right 01.12: plain Python numbers
def next_token_probs(
    logits: Float[Tensor, " v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " v"]:
    values = logits.tolist()
    order = sorted(range(len(values)), key=lambda i: values[i], reverse=True)
    if temperature == 0:
        kept = {order[0]: 1.0}
    else:
        kept = {i: math.exp((values[i] - values[order[0]]) / temperature) for i in order[:top_k]}
        total = sum(kept.values())
        if top_p is not None and top_p < 1:
            nucleus, reached = {}, 0.0
            for i, weight in kept.items():
                nucleus[i] = weight
                reached += weight / total
                if reached >= top_p:
                    break
            kept = nucleus
    total = sum(kept.values())
    return torch.tensor(
        [kept.get(i, 0.0) / total for i in range(len(values))], dtype=logits.dtype, device=logits.device
    )


# %% wrong 01.13: a prompt that ends in eos is finished before it starts
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = torch.where(tokens[:, -1] == eos, tokens[:, -1], new)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = causal_mask(scores).softmax(dim=-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b q h e, h e d -> b q d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache: dict[int, tuple[Tensor, Tensor]] = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1].argmax(dim=-1, keepdim=True).to(tokens.dtype)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: with a past, no mask between the new tokens
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    finished = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = new.masked_fill(finished, eos)
            finished = finished | (new == eos)
        tokens = torch.cat([tokens, new[:, None].to(tokens.dtype)], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        if past == 0:  # otherwise all keys are of earlier tokens
            scores = causal_mask(scores)
        pattern = scores.softmax(dim=-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b q h e, h e d -> b q d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache: dict[int, tuple[Tensor, Tensor]] = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1].argmax(dim=-1, keepdim=True).to(tokens.dtype)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% wrong 01.13: n = 0 still adds the token that the prompt gives
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    finished = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = new.masked_fill(finished, eos)
            finished = finished | (new == eos)
        tokens = torch.cat([tokens, new[:, None].to(tokens.dtype)], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = causal_mask(scores).softmax(dim=-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b q h e, h e d -> b q d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache: dict[int, tuple[Tensor, Tensor]] = {}
    with torch.no_grad():
        new = forward(model, tokens, cache)[:, -1].argmax(dim=-1, keepdim=True)
        out = [tokens, new]
        for _ in range(n - 1):
            new = forward(model, new, cache)[:, -1].argmax(dim=-1, keepdim=True)
            out.append(new)
    return torch.cat(out, dim=1)


# %% wrong 01.13: stops as soon as all rows are finished, with columns missing
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    finished = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = new.masked_fill(finished, eos)
            finished = finished | (new == eos)
        tokens = torch.cat([tokens, new[:, None].to(tokens.dtype)], dim=1)
        if finished.all():
            break
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = causal_mask(scores).softmax(dim=-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b q h e, h e d -> b q d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache: dict[int, tuple[Tensor, Tensor]] = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1].argmax(dim=-1, keepdim=True).to(tokens.dtype)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% right 01.13: einsum and causal_mask
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = len(model.pos_embed.W_pos)
    finished = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(n):
        with torch.no_grad():
            new = model(tokens[:, -n_ctx:])[:, -1].argmax(dim=-1)
        if eos is not None:
            new = new.masked_fill(finished, eos)
            finished = finished | (new == eos)
        tokens = torch.cat([tokens, new[:, None].to(tokens.dtype)], dim=1)
    return tokens


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if cache else 0
    s = tokens.shape[1]
    resid = model.embed(tokens) + model.pos_embed.W_pos[past : past + s]
    for layer, block in enumerate(model.blocks):
        attn, x = block.attn, block.ln1(resid)
        q = einsum(x, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(x, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(x, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = causal_mask(scores).softmax(dim=-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        resid = resid + einsum(z, attn.W_O, "b q h e, h e d -> b q d") + attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    return model.ln_final(resid) @ model.W_U + model.b_U


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    cache: dict[int, tuple[Tensor, Tensor]] = {}
    new = tokens
    for _ in range(n):
        with torch.no_grad():
            logits = forward(model, new, cache)
        new = logits[:, -1].argmax(dim=-1, keepdim=True).to(tokens.dtype)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


# %% right 01.13: columns in a list, sdpa with a mask, a tensor that is filled
def generate(
    model: nn.Module, tokens: Int[Tensor, "b s"], n: int, eos: int | None = None
) -> Int[Tensor, "b s+n"]:
    n_ctx = model.pos_embed.W_pos.shape[0]
    columns = list(tokens.unbind(dim=1))
    done = [False] * tokens.shape[0]
    for _ in range(n):
        with torch.no_grad():
            best = model(torch.stack(columns[-n_ctx:], dim=1))[:, -1].argmax(dim=-1).tolist()
        if eos is not None:
            best = [eos if finished else token for finished, token in zip(done, best)]
            done = [token == eos for token in best]
        columns.append(torch.tensor(best, dtype=tokens.dtype, device=tokens.device))
    return torch.stack(columns, dim=1)


def forward_with_cache(
    model: nn.Module, tokens: Int[Tensor, "b s"], cache: dict[int, tuple[Tensor, Tensor]]
) -> Float[Tensor, "b s v"]:
    past = cache[0][0].shape[1] if 0 in cache else 0
    new = tokens.shape[1]
    stream = model.embed(tokens) + model.pos_embed.W_pos[past : past + new]
    visible = torch.ones(new, past + new, dtype=torch.bool, device=tokens.device).tril(diagonal=past)
    for i, block in enumerate(model.blocks):
        a = block.attn
        x = block.ln1(stream)[:, None]  # b 1 s d
        q, k, v = (x @ w + b[:, None] for w, b in ((a.W_Q, a.b_Q), (a.W_K, a.b_K), (a.W_V, a.b_V)))  # b h s e
        keys, values = k.transpose(1, 2), v.transpose(1, 2)
        if past:
            keys = torch.cat((cache[i][0], keys), dim=1)
            values = torch.cat((cache[i][1], values), dim=1)
        cache[i] = (keys, values)
        z = F.scaled_dot_product_attention(q, keys.transpose(1, 2), values.transpose(1, 2), attn_mask=visible)
        stream = stream + (z @ a.W_O).sum(dim=1) + a.b_O
        stream = stream + block.mlp(block.ln2(stream))
    return F.linear(model.ln_final(stream), model.W_U.T, model.b_U)


def generate_with_cache(
    forward, model: nn.Module, tokens: Int[Tensor, "b s"], n: int
) -> Int[Tensor, "b s+n"]:
    b, s = tokens.shape
    out = tokens.new_zeros(b, s + n)
    out[:, :s] = tokens
    cache: dict[int, tuple[Tensor, Tensor]] = {}
    read = 0
    with torch.no_grad():
        for t in range(s, s + n):
            logits = forward(model, out[:, read:t].clone(), cache)
            out[:, t] = logits[:, -1].argmax(dim=-1)
            read = t
    return out
