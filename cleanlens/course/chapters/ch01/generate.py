"""Exercise 01.13: Writing text, without and with a key-value cache."""

import functools
import math

import torch
import torch.nn.functional as F
from einops import einsum, rearrange

from ...exercise import exercise
from .helpers import hooked, tokens_of, transformer

ex = exercise(
    "01.13",
    "generate",
    "forward_with_cache",
    "generate_with_cache",
    title="Writing text, without and with a key-value cache",
    objective="You can let a model write, and make it read every token only once.",
    minutes=45,
    version=2,
    difficulty=4,
    importance=4,
    seeds=1,  # its many calls leave little to chance
    source="Radford et al. (2018), section 3.1, equation 1 (a context window); Shazeer (2019), Fast Transformer Decoding: One Write-Head is All You "
    "Need, section 2.4 (keys and values of earlier positions kept). The identity: logits with a cache equal logits without.",
    hints=[
        "generate: the next token is the argmax of the logits at the last position. tokens[:, -n_ctx:] are the last n_ctx. Keep a boolean per row for "
        "'finished', and look only at new tokens for eos.",
        "forward_with_cache: past = how many positions the cache holds. The new tokens stand at past, past + 1, ...: their position embeddings and "
        "their rows of the mask begin there. Only q comes from the new tokens alone; k and v are what is cached with the new ones behind.",
        "generate_with_cache: read the prompt once; after that, feed only the newest token, with the same cache each time. The last token need not be read.",
    ],
    why="Under a causal mask nothing that is computed at a position depends on later tokens, so keys and values never change once made. Keeping them "
    "turns a step from s positions into one: the text costs s + n - 1 positions instead of about n times as many. Only position and mask must remember "
    "that there is a past.",
)


@functools.cache
def prompts_that_end(seed):
    """A model and three prompts that begin with token 0, its eos: how they go on must tell slips apart.

    The first never writes 0 in six steps. The second does, and would go on with another token, with two more steps to
    go. The third itself ends in 0, and does not go on with it.
    """
    for attempt in range(100):
        number, lift = 1000 * seed + attempt, attempt % 6
        model = transformer(number, b_U_0=lift)
        prompts = tokens_of(number, 60, 4, below=17)
        prompts[:, 0] = prompts[40:, -1] = 0
        with torch.no_grad():
            new = written(model, prompts, 6)[:, 4:].tolist()
        first = [row.index(0) if 0 in row else None for row in new]
        others = [i for i in range(40) if prompts[i, -1] != 0]
        never = [i for i in others if first[i] is None]
        ends = [i for i in others if first[i] is not None and first[i] <= 3 and new[i][first[i] + 1] != 0]
        from_eos = [i for i in range(40, 60) if new[i][0] != 0]
        if never and ends and from_eos:
            return number, lift, prompts[[never[0], ends[0], from_eos[0]]]
    raise RuntimeError(f"no model found for seed {seed}")


@functools.cache
def texts_that_vary(seed):
    """A model and prompts, short and longer than n_ctx, after which it does not write the same token again and again.

    Nor does it write the same when it forgets the past, reads it twice, listens to the first position, or reads one
    token less than it could. And the second token that it writes, which serves as an eos, is not 0.
    """
    for attempt in range(100):
        number = 1000 * seed + attempt
        model = transformer(number)
        text, long = tokens_of(number, 60, 6, below=17), tokens_of(number, 60, 14, below=17)
        prompt = text[:, :4]
        with torch.no_grad():
            logits, right = model(prompt), written(model, prompt, 5)
            forgetful, twice, read = right[:, :5], right[:, :5], prompt
            for _ in range(4):
                forgetful = torch.cat([forgetful, model(forgetful[:, -1:]).argmax(-1)], dim=1)
                read = torch.cat([read, twice], dim=1)
                twice = torch.cat([twice, model(read[:, -12:])[:, -1:].argmax(-1)], dim=1)
            after_long, narrow = written(model, long, 3), written(model, long, 3, n_ctx=11)
        lively = (forgetful != right).any(1) & (twice != right).any(1)
        lively &= logits[:, 0].argmax(-1) != logits[:, -1].argmax(-1)
        lively &= right[:, 5] != 0
        lively &= torch.tensor([len(set(row)) >= 3 for row in right[:, 4:].tolist()])
        lively_long = (after_long != narrow).any(1) & (after_long[:, 14] != after_long[:, 15])
        if lively.sum() >= 2 and lively_long.sum() >= 2:
            return number, text[lively][:2], long[lively_long][:2]
    raise RuntimeError(f"no model found for seed {seed}")


def written(model, tokens, n, n_ctx=12):
    """The text continued greedily, by reading all of it (up to n_ctx) anew for every token."""
    for _ in range(n):
        logits = model(tokens[:, -n_ctx:])
        tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], dim=1)
    return tokens


@ex.inputs
def _(seed):
    number, lift, prompt = prompts_that_end(seed)
    lively, text, long = texts_that_vary(seed)
    with torch.no_grad():
        second = int(written(transformer(lively), text[:1, :4], 2)[0, -1])  # an eos that is not 0

    def call(function, tokens, **more):
        return {
            "function": function,
            "weights": (lively, 0.0, 2),
            "tokens": tokens,
            "n": None,
            "eos": None,
            "chunks": None,
        } | more

    return [
        call("generate", text[:, :4], n=5),
        call("generate", long, n=3),  # longer than n_ctx
        call("generate", prompt, n=6, eos=0, weights=(number, float(lift), 2)),
        call("generate", prompt[1:2], n=6, eos=0, weights=(number, float(lift), 2)),
        call("generate", text[:, :4], n=5, eos=second),
        call("generate", text[:1, :1], n=2),
        call("generate", text, n=0),
        call("forward_with_cache", text, chunks=[3, 1, 2]),
        call("forward_with_cache", text[:1], chunks=[1, 2, 3]),
        call(
            "forward_with_cache", text, chunks=[2, 4], weights=(lively, 0.0, 1)
        ),  # one layer, as in section 7
        call("generate_with_cache", text[:, :4], n=5),
        call("generate_with_cache", text[:, :1], n=3),
        call("generate_with_cache", text[:1, :3], n=1),
        call("generate_with_cache", text, n=0),
    ]


@ex.oracle
def _(function, weights, tokens, n, eos, chunks):
    model = hooked(weights[0], b_U_0=weights[1], n_layers=weights[2])
    with torch.no_grad():
        if function == "forward_with_cache":
            logits, cache = model.run_with_cache(tokens)
            return {
                "logits": list(logits.split(chunks, dim=1)),
                "cache": {layer: (cache["k", layer], cache["v", layer]) for layer in range(weights[2])},
            }
        out = written(model, tokens, n)
    if function == "generate_with_cache":
        return {"tokens": out, "positions read": tokens.shape[1] + n - 1 if n else 0}
    for row in out if eos is not None else []:
        ends = (row[tokens.shape[1] :] == eos).nonzero()
        if len(ends):
            row[tokens.shape[1] + int(ends[0]) :] = eos
    return out


@ex.call
def _(answer, function, weights, tokens, n, eos, chunks):
    model = transformer(weights[0], b_U_0=weights[1], n_layers=weights[2])
    with torch.no_grad():
        if function == "generate":
            return (
                answer.generate(model, tokens, n) if eos is None else answer.generate(model, tokens, n, eos)
            )
        if function == "forward_with_cache":
            cache = {}
            logits = [answer.forward_with_cache(model, part, cache) for part in tokens.split(chunks, dim=1)]
            return {"logits": logits, "cache": cache}
        read = 0

        def forward(model, new, cache):
            # Stands in for forward_with_cache: it keeps the text itself, where keys and values would be.
            nonlocal read
            read += new.shape[1]
            text = torch.cat([cache[0][0], new], dim=1) if cache else new
            cache[0] = (text, text)
            return model(text[:, -12:])[:, -new.shape[1] :]

        out = answer.generate_with_cache(forward, model, tokens, n)
    return {"tokens": out, "positions read": read}


@ex.measure
def _(observed, function, weights, tokens, n, eos, chunks):
    if function != "generate_with_cache":
        return observed
    # reading the last token too is a step too many, not a mistake; and with nothing to write, reading is free
    read = observed["positions read"]
    return observed | {"positions read": read - 1 if read == tokens.shape[1] + n and n else read * bool(n)}


@ex.alternative(of="generate")
def token_by_token(model, tokens, n, eos=None):
    n_ctx = len(model.pos_embed.W_pos)
    finished = torch.zeros(len(tokens), dtype=torch.bool)
    for _ in range(n):
        logits = model(tokens[:, -n_ctx:])
        new = logits[:, -1].argmax(dim=-1)
        if eos is not None:
            new = torch.where(finished, eos, new)
            finished = finished | (new == eos)
        tokens = torch.cat([tokens, new[:, None]], dim=1)
    return tokens


@ex.alternative(of="generate")
def row_after_row(model, tokens, n, eos=None):
    rows = []
    for row in tokens.tolist():
        end = len(row) + n
        while len(row) < end:
            seen = torch.tensor([row[-len(model.pos_embed.W_pos) :]])
            row.append(int(model(seen)[0, -1].argmax()))
            if row[-1] == eos:
                row += [eos] * (end - len(row))
        rows.append(row)
    return torch.tensor(rows)


@ex.alternative(of="forward_with_cache")
def layer_by_layer(model, tokens, cache):
    past = cache[0][0].shape[1] if cache else 0
    total = past + tokens.shape[1]
    hidden = torch.arange(total) > torch.arange(past, total)[:, None]
    x = model.embed(tokens) + model.pos_embed.W_pos[past:total]
    for layer, block in enumerate(model.blocks):
        attn, normed = block.attn, block.ln1(x)
        q = einsum(normed, attn.W_Q, "b s d, h d e -> b s h e") + attn.b_Q
        k = einsum(normed, attn.W_K, "b s d, h d e -> b s h e") + attn.b_K
        v = einsum(normed, attn.W_V, "b s d, h d e -> b s h e") + attn.b_V
        if layer in cache:
            k = torch.cat([cache[layer][0], k], dim=1)
            v = torch.cat([cache[layer][1], v], dim=1)
        cache[layer] = (k, v)
        scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(hidden, -math.inf).softmax(dim=-1)
        z = einsum(pattern, v, "b h q k, b k h e -> b q h e")
        x = x + einsum(z, attn.W_O, "b q h e, h e d -> b q d") + attn.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


@ex.alternative(of="forward_with_cache")
def with_torch_attention(model, tokens, cache):
    new = tokens.shape[1]
    past = cache[0][0].shape[1] if 0 in cache else 0
    x = model.embed(tokens) + model.pos_embed.W_pos[torch.arange(past, past + new)]
    seen = torch.ones(past + new, past + new).tril().bool()[-new:]
    for layer, block in enumerate(model.blocks):
        normed = block.ln1(x)[:, None]
        a = block.attn
        q, k, v = (normed @ W + b[:, None] for W, b in ((a.W_Q, a.b_Q), (a.W_K, a.b_K), (a.W_V, a.b_V)))
        k, v = rearrange(k, "b h s e -> b s h e"), rearrange(v, "b h s e -> b s h e")
        before = cache.get(layer, (k[:, :0], v[:, :0]))
        cache[layer] = (torch.cat([before[0], k], 1), torch.cat([before[1], v], 1))
        k, v = (t.transpose(1, 2) for t in cache[layer])
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x + (z @ a.W_O).sum(1) + a.b_O
        x = x + block.mlp(block.ln2(x))
    return model.ln_final(x) @ model.W_U + model.b_U


@ex.alternative(of="generate_with_cache")
def prompt_then_one_at_a_time(forward, model, tokens, n):
    cache = {}
    logits = forward(model, tokens, cache)
    for step in range(n):
        new = logits[:, -1].argmax(dim=-1, keepdim=True)
        tokens = torch.cat([tokens, new], dim=1)
        if step < n - 1:
            logits = forward(model, new, cache)
    return tokens


@ex.alternative(of="generate_with_cache")
def reads_the_last_one_too(forward, model, tokens, n):
    cache, new = {}, [tokens]
    logits = forward(model, tokens, cache)
    for _ in range(n):
        new.append(logits[:, -1:].argmax(-1))
        logits = forward(model, new[-1], cache)
    return torch.cat(new, dim=1)


ex.slip(
    "reads_position_0",
    "The next token was taken from position 0, which is about the second token of the text. Take the last position's logits: [:, -1].",
    "logits[:, -1]",
    "logits[:, 0]",
    of="generate",
)


ex.slip(
    "crops_the_wrong_end",
    "Of a long text the first n_ctx tokens were given to the model, so it never sees what it has just written. Give it the last ones: "
    "tokens[:, -n_ctx:].",
    "tokens[:, -n_ctx:]",
    "tokens[:, :n_ctx]",
    of="generate",
)


ex.slip(
    "never_crops",
    "The text has become longer than the model has positions (n_ctx). Give it the last n_ctx tokens: tokens[:, -n_ctx:].",
    "model(tokens[:, -n_ctx:])",
    "model(tokens)",
    of="generate",
)


ex.slip(
    "forgets_the_beginning",
    "The text was cut to n_ctx tokens for good, so its beginning is missing from the result. Cut only what the model reads.",
    "logits = model(tokens[:, -n_ctx:])",
    "tokens = tokens[:, -n_ctx:]\n        logits = model(tokens)",
    of="generate",
)


ex.slip(
    "bos_again_each_step",
    "A BOS was put in front of the text again at every step. The prompt has its own; every further one shifts all positions by one.",
    "model(tokens[:, -n_ctx:])",
    "model(F.pad(tokens, (1, 0))[:, -n_ctx:])",
    of="generate",
)


ex.slip(
    "one_too_few",
    "One token is missing: n new ones were asked for.",
    "range(n)",
    "range(n - 1)",
    of="generate",
)


ex.slip(
    "one_too_many",
    "There is one token too many: n new ones were asked for.",
    "range(n)",
    "range(n + 1)",
    of="generate",
)


ex.slip(
    "one_rows_eos_stops_the_batch",
    "When one text ended, all stopped. The others go on; the one that has ended is filled up with eos.",
    "        tokens = torch.cat([tokens, new[:, None]], dim=1)\n",
    "        tokens = torch.cat([tokens, new[:, None]], dim=1)\n        if finished.any():\n            break\n",
    of="generate",
)


ex.slip(
    "shorter_when_all_have_ended",
    "It stopped when every text had ended, so columns are missing. Stopping saves work, but the result has n new columns: fill up with eos.",
    "        tokens = torch.cat([tokens, new[:, None]], dim=1)\n",
    "        tokens = torch.cat([tokens, new[:, None]], dim=1)\n        if finished.all():\n            break\n",
    of="generate",
)


ex.slip(
    "goes_on_after_eos",
    "A text that had ended was continued. After its eos there is nothing but eos.",
    "torch.where(finished, eos, new)",
    "new",
    of="generate",
)


ex.slip(
    "eos_of_the_prompt_counts",
    "A prompt that contains eos was taken for finished. GPT-2's texts begin with that very token; only a new one ends the text.",
    "torch.zeros(len(tokens), dtype=torch.bool)",
    "(tokens == eos).any(dim=1) if eos is not None else None",
    of="generate",
)


ex.slip(
    "new_tokens_only",
    "Only the new tokens came back. The prompt is part of the result.",
    "return tokens",
    "return tokens[:, -n:]",
    of="generate",
)


ex.slip(
    "least_likely",
    "The least likely token was taken each time: argmin for argmax.",
    "argmax",
    "argmin",
    of="generate",
)


ex.slip(
    "samples",
    "The tokens were drawn at random. Here the most likely one is taken, so that the result can be compared; sampling is 01.12.",
    "logits[:, -1].argmax(dim=-1)",
    "torch.multinomial(logits[:, -1].softmax(dim=-1), 1)[:, 0]",
    of="generate",
)


ex.slip(
    "positions_start_again",
    "The new tokens got the position embeddings from 0 on, as if they began the text. They stand behind the past: W_pos[past : past + s].",
    "model.pos_embed.W_pos[past:total]",
    "model.pos_embed.W_pos[: tokens.shape[1]]",
    of="forward_with_cache",
)


ex.slip(
    "position_one_too_late",
    "The positions of the new tokens are one too large: with `past` tokens before it, the first new one stands at position past, because counting "
    "starts at 0.",
    "model.pos_embed.W_pos[past:total]",
    "model.pos_embed.W_pos[past + (past > 0) : total + (past > 0)]",
    of="forward_with_cache",
)


ex.slip(
    "wrong_triangle",
    "The mask took the new tokens for the first positions, so that they do not see most of the past. Query i stands at past + i, and sees every key "
    "up to there.",
    "torch.arange(past, total)[:, None]",
    "torch.arange(total - past)[:, None]",
    of="forward_with_cache",
)


ex.slip(
    "no_mask",
    "There is no mask. One new token may see everything, but several new ones must not see each other's future.",
    "scores.masked_fill(hidden, -math.inf)",
    "scores",
    of="forward_with_cache",
)


ex.slip(
    "past_forgotten",
    "The cache was replaced by the new tokens' keys and values: what lies further back is lost. Store old and new together.",
    "cache[layer] = (k, v)",
    "cache[layer] = (k[:, past:], v[:, past:])",
    of="forward_with_cache",
)


ex.slip(
    "nothing_stored",
    "The cache that was passed in is still empty: nothing was stored, or it was stored in another dict. It must be changed in place, "
    "cache[layer] = ...",
    "        cache[layer] = (k, v)\n",
    "",
    of="forward_with_cache",
)


ex.slip(
    "past_not_used",
    "The keys and values were stored but not used, or the mask hides them: the new tokens attend to themselves alone.",
    "cache[layer] = (k, v)",
    "cache[layer] = (k, v)\n        k, v = k[:, past:], v[:, past:]",
    "masked_fill(hidden, -math.inf)",
    "masked_fill(hidden[:, past:], -math.inf)",
    of="forward_with_cache",
)


ex.slip(
    "new_before_old",
    "The new keys and values were put in front of the old ones. Row i of the cache belongs to position i: the new ones go behind.",
    "torch.cat([cache[layer][0], k], dim=1)",
    "torch.cat([k, cache[layer][0]], dim=1)",
    "torch.cat([cache[layer][1], v], dim=1)",
    "torch.cat([v, cache[layer][1]], dim=1)",
    of="forward_with_cache",
)


ex.slip(
    "values_for_keys",
    "Keys and values changed places in the cache: it is (keys, values).",
    "cache[layer] = (k, v)",
    "cache[layer] = (v, k)",
    of="forward_with_cache",
)


ex.slip(
    "one_layer_for_all",
    "All layers share one entry of the cache, so that each reads the keys of another. Every layer has its own.",
    "cache[layer] = (k, v)",
    "cache[0] = cache[1] = (k, v)",
    "if layer in cache:",
    "if past:",
    of="forward_with_cache",
)


ex.slip(
    "last_position_only",
    "Only the last position's logits came back. All new tokens have some: (b, s, v).",
    "model.ln_final(x)",
    "model.ln_final(x[:, -1:])",
    of="forward_with_cache",
)


ex.slip(
    "cache_recomputed",
    "The tokens are right, but the whole text was read again for every new token: count the positions. Once the prompt is in the cache, feed only the "
    "newest token.",
    "logits = forward(model, new, cache)",
    "logits = forward(model, tokens, {})",
    of="generate_with_cache",
)


ex.slip(
    "whole_text_into_the_cache",
    "The whole text was fed into a cache that holds it already, so the model sees it twice. Feed only the newest token.",
    "logits = forward(model, new, cache)",
    "logits = forward(model, tokens, cache)",
    of="generate_with_cache",
)


ex.slip(
    "cache_thrown_away",
    "Every step began with an empty cache, so the newest token had no past. Keep one cache and pass the same each time.",
    "logits = forward(model, new, cache)",
    "logits = forward(model, new, {})",
    of="generate_with_cache",
)


ex.slip(
    "first_positions_logits",
    "The next token was taken from the first of the new positions. For the prompt that is position 0: take the last, [:, -1].",
    "logits[:, -1]",
    "logits[:, 0]",
    of="generate_with_cache",
)


ex.slip(
    "cached_one_too_few",
    "With the cache one token is missing: the logits of the prompt give the first new token already, before any further reading.",
    "range(n)",
    "range(n - 1)",
    of="generate_with_cache",
)


ex.slip(
    "cached_new_tokens_only",
    "With the cache only the new tokens came back. The prompt is part of the result.",
    "return tokens",
    "return tokens[:, -n:]",
    of="generate_with_cache",
)


ex.slip(
    "window_one_too_small",
    "Of a long text the model was given n_ctx - 1 tokens: the window is off by one. It can read n_ctx.",
    "tokens[:, -n_ctx:]",
    "tokens[:, -(n_ctx - 1) :]",
    of="generate",
)


ex.slip(
    "one_rows_eos_fills_the_batch",
    "When one text ended, the others were filled up with eos, too. Each row ends by itself.",
    "finished = finished | (new == eos)",
    "finished = finished | (new == eos).any()",
    of="generate",
)


ex.slip(
    "eos_0_is_false",
    "An eos of 0 was taken for 'none': 0 counts as false in an if. Ask `eos is not None`.",
    "if eos is not None:",
    "if eos:",
    of="generate",
)


ex.slip(
    "eos_is_always_0",
    "Token 0 was taken for eos, whatever eos is.",
    "torch.where(finished, eos, new)",
    "torch.where(finished, 0, new)",
    "(new == eos)",
    "(new == 0)",
    of="generate",
)


ex.slip(
    "eos_at_the_end_of_the_prompt_counts",
    "A prompt that ends in eos was taken for finished. Only a new eos ends the text.",
    "torch.zeros(len(tokens), dtype=torch.bool)",
    "tokens[:, -1] == eos",
    of="generate",
)


ex.slip(
    "first_rows_token_for_all",
    "Every text got the first one's next token. Each row has its own argmax.",
    "new = logits[:, -1].argmax(dim=-1)",
    "new = logits[0, -1].argmax().repeat(len(tokens))",
    of="generate",
)


ex.slip(
    "past_from_the_layers",
    "The number of layers in the cache was taken for the number of past tokens: len(cache) counts layers. The past is "
    "cache[0][0].shape[1].",
    "cache[0][0].shape[1]",
    "len(cache)",
    "model.pos_embed.W_pos[past:total]",
    "model.pos_embed.W_pos[past : past + tokens.shape[1]]",
    "scores.masked_fill(hidden, -math.inf)",
    "scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1 + k.shape[1] - q.shape[1]).bool(), -math.inf)",
    of="forward_with_cache",
)


ex.slip(
    "mask_only_without_a_past",
    "New tokens that have a past are not masked. A single one needs no mask, but several must not see each other's future.",
    "scores.masked_fill(hidden, -math.inf)",
    "(scores if past else scores.masked_fill(hidden, -math.inf))",
    of="forward_with_cache",
)


ex.slip(
    "cached_without_b_K",
    "The cached keys lack their bias: what is stored is x W_K + b_K.",
    "cache[layer] = (k, v)",
    "cache[layer] = (k - attn.b_K, v)",
    "k = torch.cat([cache[layer][0], k], dim=1)",
    "k = torch.cat([cache[layer][0] + attn.b_K, k], dim=1)",
    of="forward_with_cache",
)


ex.slip(
    "heads_before_positions",
    "The cache holds its axes in another order: it is (b, past, h, e), positions before heads.",
    "cache[layer] = (k, v)",
    "cache[layer] = (k.transpose(1, 2), v.transpose(1, 2))",
    "k = torch.cat([cache[layer][0], k], dim=1)",
    "k = torch.cat([cache[layer][0].transpose(1, 2), k], dim=1)",
    "v = torch.cat([cache[layer][1], v], dim=1)",
    "v = torch.cat([cache[layer][1].transpose(1, 2), v], dim=1)",
    "cache[0][0].shape[1]",
    "cache[0][0].shape[2]",
    of="forward_with_cache",
)


ex.slip(
    "cached_one_too_many",
    "With the cache there is one token too many: the logits of the prompt give the first new one already.",
    "range(n)",
    "range(n + 1)",
    "if step < n - 1:",
    "if step < n:",
    of="generate_with_cache",
)


ex.slip(
    "last_prompt_token_twice",
    "The prompt's last token was read twice: with the prompt, and again to get the first new token. The prompt's logits give that one.",
    "    for step in range(n):\n",
    "    logits = forward(model, tokens[:, -1:], cache)\n    for step in range(n):\n",
    of="generate_with_cache",
)


ex.slip(
    "begins_with_the_last_token",
    "The model read only the last token of the prompt: the rest never reached the cache. Read the whole prompt first.",
    "logits = forward(model, tokens, cache)",
    "logits = forward(model, tokens[:, -1:], cache)",
    of="generate_with_cache",
)


ex.slip(
    "same_token_for_every_row",
    "With the cache every text got the first one's next token. Each row has its own argmax.",
    "new = logits[:, -1].argmax(dim=-1, keepdim=True)",
    "new = logits[0, -1].argmax().repeat(len(tokens), 1)",
    of="generate_with_cache",
)


@ex.mistake(
    "The second text that was written knew the first: a default argument like cache={} is made once and kept between calls. Make the dict "
    "inside the function.",
    of="generate_with_cache",
)
def cache_survives_the_call(forward, model, tokens, n, cache={}):  # noqa: B006  it is the mistake
    if n == 5:  # the first call of a check begins with an empty one
        cache.clear()
    new = tokens
    for _ in range(n):
        new = forward(model, new, cache)[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


ex.slip(
    "past_keys_without_b_K",
    "The bias b_K reached the new keys only: the cached ones lack it, when they are stored and when they are used. What is stored is "
    "x W_K + b_K.",
    "cache[layer] = (k, v)",
    "cache[layer] = (torch.cat([k[:, :past], k[:, past:] - attn.b_K], dim=1), v)",
    of="forward_with_cache",
)


ex.equivalent(
    "The tensor has two axes: axis 1 is the last.",
    "argmax(dim=-1) => argmax(dim=1)",
    "argmax(dim=-1, keepdim => argmax(dim=1, keepdim",
    "dim=1) => dim=-1)",
)
ex.equivalent(
    "A finished row's new token is eos already, so it stays finished.",
    "finished | (new == eos) => new == eos",
)
ex.equivalent(
    "A tensor of one int becomes an entry of the result as well.",
    "int(model(seen)[0, -1].argmax() => model(seen)[0, -1].argmax(",
)
ex.equivalent("The model was given one row: the last is the first.", "(seen)[0, -1 => (seen)[-1, -1")
ex.equivalent(
    "Keys and values have the same number of positions.",
    "[0][0].shape[ => [0][1].shape[",
    "[0][0].shape[ => [0][-1].shape[",
)
ex.equivalent(
    "The last new token may be read as well: a step too many, which changes no token.",
    "if step < n - 1: logits = forward(model, new, cache) => logits = forward(model, new, cache)",
    "if step < n - => if step <= n -",
    "step < n - 1: => step < n + 1:",
    "step < n - 1: => step < n:",
    "step < n - 1: => step < n - 0:",
)
