"""Exercise 07.3: Training data that asks for induction."""

import torch

from ...exercise import exercise

BOS = 0


ex = exercise(
    "07.3",
    "make_batch",
    title="Training data that asks for induction",
    objective="You can make training data in which the only rule that helps is the one you want learned.",
    minutes=25,
    version=3,
    difficulty=3,
    importance=5,
    seeds=2,
    source="Identity: with one period n, 'attend n - 1 back' is right at every repeat; with a random one, only 'attend to what followed this "
    "token before' is. Olsson et al. 2022, 'Key Concepts', for induction on repeated random tokens.",
    hints=[
        "Two loops: over the rows, and inside a row while at < n_ctx. Each turn writes one segment and its copy.",
        "n = int(torch.randint(min_len, max_len + 1, (), generator=generator)): randint leaves out its upper end.",
        "The last pair may not fit: new = torch.cat([segment, segment])[: n_ctx - at], then row[at : at + len(new)] = new.",
    ],
    why="A network learns the easiest rule that fits. If one length is used, the easiest is an offset, which positions alone give; it is learned "
    "sooner than induction and fails on every other length. Drawing each segment's length anew takes that rule away.",
)


@ex.inputs
def _(seed):
    return [
        {"batch": 30, "n_ctx": 61, "d_vocab": 40001, "min_len": 3, "max_len": 7, "seed": seed},
        {"batch": 30, "n_ctx": 40, "d_vocab": 11, "min_len": 4, "max_len": 12, "seed": seed + 50},
        {"batch": 30, "n_ctx": 16, "d_vocab": 997, "min_len": 9, "max_len": 13, "seed": seed + 100},
        {
            "batch": 2,
            "n_ctx": 6,
            "d_vocab": 2,
            "min_len": 1,
            "max_len": 1,
            "seed": seed,
        },  # one batch is possible
        {"batch": 1, "n_ctx": 1, "d_vocab": 2, "min_len": 3, "max_len": 3, "seed": seed},
    ]


def described(batch):
    """The expected record: what all right batches share."""
    return {
        "shape": list(batch),
        "dtype": "torch.int64",
        "every row begins with BOS": True,
        "BOS inside a row": False,
        "filled to the end": True,
        "all tokens are between 1 and d_vocab - 1": True,
        "the tokens' smallest and largest": True,
        "every segment is followed by its copy": True,
        "the copy runs forwards": True,
        "tokens follow themselves": False,
        "a segment comes back once, then a new one follows": True,
        "lengths min_len and max_len both occur, none outside": True,
        "all lengths are about as frequent": True,
        "the last pair is cut where the row ends": True,
        "lengths differ within a row": True,
        "lengths differ between rows": True,
        "rows differ": True,
        "tokens are drawn anew for each segment": True,
        "the same generator state gives the same batch": True,
        "another batch differs": True,
        "global random state left alone": True,
    }


@ex.oracle
def _(batch, n_ctx, d_vocab, **_):
    if d_vocab == 2:
        return torch.tensor([[BOS] + [1] * (n_ctx - 1)] * batch)
    return described((batch, n_ctx))


@ex.call
def _(answer, batch, n_ctx, d_vocab, min_len, max_len, seed):
    def draw(generator):
        return answer(batch, n_ctx, d_vocab, generator, min_len, max_len)

    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(seed)
    first, second = draw(generator), draw(generator)
    untouched = bool(torch.equal(before, torch.get_rng_state()))
    return {
        "first": first,
        "second": second,
        "again": draw(torch.Generator().manual_seed(seed)),
        "untouched": untouched,
    }


def segments(row, min_len, max_len):
    """The lengths of a row's segments that fit whole with their copies, and whether all there is can be read so.

    Also whether a segment came back a third time right after its copy.
    """
    lengths, at, third = [], 1, False
    while at < len(row):
        rest = row[at:]
        n = next((n for n in range(2, len(rest) // 2 + 1) if rest[:n] == rest[n : 2 * n]), None)
        if n is None:
            # The last pair, cut: either its copy has begun, or it may still be inside a segment.
            cut = any(rest[: len(rest) - n] == rest[n:] for n in range(1, len(rest)))
            return lengths, cut or len(rest) <= max_len, third
        lengths.append(n)
        at += 2 * n
        third = third or (at + n <= len(row) and row[at : at + n] == rest[:n])
    return lengths, True, third


@ex.measure
def _(observed, batch, n_ctx, d_vocab, min_len, max_len, seed):
    first = observed["first"]
    not_tokens = not isinstance(first, torch.Tensor) or first.ndim != 2 or first.dtype.is_floating_point
    if not_tokens or d_vocab == 2:
        return first  # judged by its type
    record = {"shape": list(first.shape), "dtype": str(first.dtype)}
    if record["shape"] != [batch, n_ctx]:
        return record | {key: None for key in described((0, 0)) if key not in record}
    rest = first[:, 1:]
    real = rest[rest != BOS]
    record["every row begins with BOS"] = bool((first[:, 0] == BOS).all())
    empty_end = (first[:, -1] == BOS).float().mean().item() > 0.3
    record["BOS inside a row"] = bool((rest == BOS).any()) and not empty_end
    record["filled to the end"] = not empty_end
    record["all tokens are between 1 and d_vocab - 1"] = bool(((real >= 1) & (real < d_vocab)).all())
    extremes = (int(real.min()), int(real.max())) if len(real) else (0, 0)
    exact = d_vocab < 50  # with a small vocabulary each token occurs
    record["the tokens' smallest and largest"] = not exact or extremes == (1, d_vocab - 1)
    same = {"again": observed["again"], "second": observed["second"]}
    equal = {k: isinstance(v, torch.Tensor) and torch.equal(v, first) for k, v in same.items()}
    record["the same generator state gives the same batch"] = equal["again"]
    record["another batch differs"] = not equal["second"]
    record["global random state left alone"] = observed["untouched"]
    rows = first.tolist()
    record["rows differ"] = len({tuple(row[1:]) for row in rows}) > len(rows) // 2
    read = [segments(row, min_len, max_len) for row in rows]
    lengths = [found for found, _, _ in read]
    every = [n for found in lengths for n in found]
    share = {n: every.count(n) / max(1, len(every)) for n in set(every)}
    cut = [1 + 2 * sum(found) < n_ctx for found in lengths]  # a pair that fits exactly is rare
    # In a small vocabulary chance makes short repeats, and in a short row no pair fits whole: not judged there.
    whole = d_vocab > 50 and n_ctx > 4 * max_len
    wanted = range(min_len, max_len + 1)
    backwards = sum(any(row[1 : 1 + n] == row[2 * n : n : -1] for n in range(2, max_len + 1)) for row in rows)
    judged = {
        "every segment is followed by its copy": all(ok for _, ok, _ in read),
        "tokens follow themselves": bool((rest[:, 1:] == rest[:, :-1]).float().mean() > 0.3),
        "the copy runs forwards": backwards < len(rows) / 4,
        "a segment comes back once, then a new one follows": not any(third for _, _, third in read),
        "lengths min_len and max_len both occur, none outside": bool(every)
        and (min(every), max(every)) == (min_len, max_len),
        "all lengths are about as frequent": all(share.get(n, 0) > 0.35 / len(wanted) for n in wanted),
        "the last pair is cut where the row ends": sum(cut) > len(rows) / 3,
        "lengths differ within a row": sum(len(set(found)) > 1 for found in lengths) > len(rows) / 2,
        "lengths differ between rows": len({tuple(found) for found in lengths}) > len(rows) / 2,
    }
    # With so many tokens two of the same are rare, but for a segment and its copy.
    n_tokens = len(real.unique())
    record["tokens are drawn anew for each segment"] = d_vocab < 10_000 or n_tokens > 0.9 * sum(every)
    record |= judged if whole else {name: described((0, 0))[name] for name in judged}
    if n_ctx < 2 * min_len:  # one cut pair per row: the copy's beginning tells the length
        offsets = [
            next((n for n in range(1, n_ctx - 1) if row[1 : n_ctx - n] == row[1 + n :]), 0) for row in rows
        ]
        record["lengths differ between rows"] = len(set(offsets)) > 2
    return {key: record[key] for key in described((0, 0))}


@ex.alternative
def pair_by_pair(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    tokens = torch.full((batch, n_ctx), BOS)
    for row in tokens:
        at = 1
        while at < n_ctx:
            n = int(torch.randint(min_len, max_len + 1, (), generator=generator))
            segment = torch.randint(1, d_vocab, (n,), generator=generator)
            new = torch.cat([segment, segment])[: n_ctx - at]
            row[at : at + len(new)] = new
            at += 2 * n
    return tokens


@ex.alternative
def by_lists(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    rows = []
    for _ in range(batch):
        row = [BOS]
        while len(row) < n_ctx:
            n = min_len + int(torch.rand((), generator=generator) * (max_len + 1 - min_len))
            row += 2 * torch.randint(1, d_vocab, (n,), generator=generator).tolist()
        rows.append(row[:n_ctx])
    return torch.tensor(rows)


@ex.alternative
def copies_by_index(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    fresh = torch.randint(1, d_vocab, (batch, n_ctx), generator=generator)
    lengths = torch.randint(min_len, max_len + 1, (batch, n_ctx), generator=generator)
    source = torch.arange(n_ctx).repeat(batch, 1)
    for b in range(batch):
        at = 1
        for n in lengths[b].tolist():
            source[b, at + n : at + 2 * n] -= n
            at += 2 * n
    tokens = fresh.gather(1, source)
    tokens[:, 0] = BOS
    return tokens


ex.slip(
    "one_stock_of_tokens",
    "All segments begin with the same tokens: these were drawn once, and each segment took some of them. Draw the tokens of every segment "
    "anew.",
    "tokens = torch.full((batch, n_ctx), BOS)",
    "tokens = torch.full((batch, n_ctx), BOS)\n    stock = torch.randint(1, d_vocab, (max_len,), generator=generator)",
    "torch.randint(1, d_vocab, (n,), generator=generator)",
    "stock[:n]",
)


ex.slip(
    "one_fixed_length",
    "Every segment has the same length, so every copy stands the same number of positions back. A model then learns to attend that "
    "offset, from positions alone: faster than induction, and useless on any other length. Draw a length for each segment.",
    "int(torch.randint(min_len, max_len + 1, (), generator=generator))",
    "max_len",
)


ex.slip(
    "one_length_per_batch",
    "All rows of a batch have the same lengths in the same places. Each update then pulls towards one offset and the next towards "
    "another. Draw in the innermost loop, for each segment of each row.",
    "    for row in tokens:\n        at = 1",
    "    lengths = torch.randint(min_len, max_len + 1, (n_ctx,), generator=generator).tolist()\n"
    "    for row in tokens:\n        left = iter(lengths)\n        at = 1",
    "int(torch.randint(min_len, max_len + 1, (), generator=generator))",
    "next(left)",
)


ex.slip(
    "one_length_per_row",
    "Within a row all segments have the same length. After the first copy the row's offset is known, and looking it up is again "
    "easier than induction. Draw a new length for each segment.",
    "        at = 1",
    "        at = 1\n        n = int(torch.randint(min_len, max_len + 1, (), generator=generator))",
    "            n = int(torch.randint(min_len, max_len + 1, (), generator=generator))\n",
    "",
)


ex.slip(
    "longest_left_out",
    "The length max_len never occurs: torch.randint leaves out its upper end. Ask for max_len + 1.",
    "max_len + 1",
    "max_len",
)


ex.slip(
    "lengths_from_zero",
    "There are segments shorter than min_len. The lower end of torch.randint is its first argument.",
    "torch.randint(min_len, max_len + 1, ()",
    "torch.randint(1, max_len + 1, ()",
)


ex.slip(
    "two_lengths_only",
    "Only the two extreme lengths occur. With a short list of lengths a head per offset is enough; draw from all lengths between "
    "min_len and max_len.",
    "n = int(torch.randint(min_len, max_len + 1, (), generator=generator))",
    "n = (min_len, max_len)[int(torch.randint(2, (), generator=generator))]",
)


ex.slip(
    "no_BOS",
    "The rows do not begin with BOS (token 0). Heads that have nothing to look at need a place to rest on, and the models of this course "
    "always have it.",
    "at = 1",
    "at = 0",
)


ex.slip(
    "samples_BOS",
    "Token 0 turns up inside the rows: it is BOS and marks the beginning only. Draw from 1 on.",
    "torch.randint(1, d_vocab, (n,)",
    "torch.randint(0, d_vocab, (n,)",
)


ex.slip(
    "last_token_left_out",
    "Token d_vocab - 1 is never drawn. The upper end of torch.randint is left out already.",
    "torch.randint(1, d_vocab, (n,)",
    "torch.randint(1, d_vocab - 1, (n,)",
)


ex.slip(
    "token_too_large",
    "There is a token d_vocab, which the embedding has no row for. The largest token is d_vocab - 1.",
    "torch.randint(1, d_vocab, (n,)",
    "torch.randint(1, d_vocab + 1, (n,)",
)


ex.slip(
    "copy_drawn_anew",
    "There are no repeats: after a segment come new random tokens, so there is nothing to learn in this batch. Write the same segment "
    "twice, and let the next pair begin 2n places on (after n places it would overwrite the copy).",
    "torch.cat([segment, segment])",
    "torch.cat([segment, torch.randint(1, d_vocab, (n,), generator=generator)])",
)


ex.slip(
    "copy_reversed",
    "The copy runs backwards. Induction predicts what followed last time: keep the order.",
    "torch.cat([segment, segment])",
    "torch.cat([segment, segment.flip(0)])",
)


ex.slip(
    "one_segment_all_along",
    "One segment fills the whole row, over and over. Then the row has one period, found once and used to its end. Draw a new "
    "segment after each copy.",
    "torch.cat([segment, segment])[: n_ctx - at]",
    "segment.repeat(n_ctx)[: n_ctx - at]",
    "at += 2 * n",
    "at = n_ctx",
)


ex.slip(
    "one_pair_then_nothing",
    "Only the first pair was written; the rest of the row is padding. Go on until the row is full.",
    "at += 2 * n",
    "break",
)


ex.slip(
    "last_pair_dropped",
    "A pair that does not fit was left out, and the row ends in zeros, which are BOS. Cut the pair at n_ctx instead.",
    "            new = torch",
    "            if at + 2 * n > n_ctx:\n                break\n            new = torch",
)


ex.slip(
    "rows_all_alike",
    "All rows are one row. A batch should hold many different examples: draw for each row.",
    "return tokens",
    "return tokens[:1].expand(batch, -1)",
)


ex.slip(
    "one_row_too_long",
    "The rows have n_ctx + 1 tokens; the model has positions for n_ctx. BOS counts.",
    "torch.full((batch, n_ctx), BOS)",
    "torch.full((batch, n_ctx + 1), BOS)",
    "while at < n_ctx:",
    "n_ctx = tokens.shape[1]\n        while at < n_ctx:",
)


ex.slip(
    "generator_ignored",
    "Not everything was drawn from the generator, so a run cannot be repeated. Pass generator=generator to every random call, for lengths and for "
    "tokens.",
    "torch.randint(1, d_vocab, (n,), generator=generator)",
    "torch.randint(1, d_vocab, (n,))",
)


ex.slip(
    "seed_inside",
    "Every call gives the same batch, because the generator is seeded inside. The model would see one batch for the whole of training "
    "and learn it by heart.",
    "    tokens = torch.full((batch, n_ctx), BOS)",
    "    generator = torch.Generator().manual_seed(0)\n    tokens = torch.full((batch, n_ctx), BOS)",
)


ex.slip(
    "float_tokens",
    "Tokens are indices: int64, not float. An embedding cannot be indexed with floats.",
    "return tokens",
    "return tokens.float()",
)


ex.slip(
    "last_pair_made_to_fit",
    "The last segment was shortened so that its copy just fits. Lengths below min_len come in that way; draw its length as any other's and cut the "
    "pair off at n_ctx.",
    "            segment = torch",
    "            n = min(n, max(1, (n_ctx - at) // 2))\n            segment = torch",
)


ex.slip(
    "BOS_before_every_pair",
    "BOS stands before every pair. It marks the beginning of the row and stands nowhere else.",
    "            new = torch.cat([segment, segment])",
    "            new = torch.cat([torch.zeros(int(at > 1), dtype=torch.int64), segment, segment])",
    "            at += 2 * n",
    "            at += 2 * n + int(at > 1)",
)


ex.slip(
    "each_token_doubled",
    "Each token was doubled, not the segment: a b becomes a a b b. Then the rule that helps is 'say the token again'. Write a b a b.",
    "torch.cat([segment, segment])",
    "segment.repeat_interleave(2)",
)


ex.equivalent(
    "A pair that begins where the row ends is cut off before its first token.",
    "at < n_ctx: => at <= n_ctx:",
    "row) < n_ctx: => row) <= n_ctx:",
)


ex.equivalent(
    "A tensor that holds one integer is a size and a place in a slice as an int is.",
    "int(torch.randint(min_len, max_len + 1, (), generator=generator) => torch.randint(min_len, max_len + 1, (), generator=generator",
    "b].tolist(): => b]:",
)


ex.equivalent(
    "Lengths are drawn alike, and there are more of them than a row has room for: the first or the last left out is the same to chance.",
    "lengths[b].tolist() => list(lengths[b].tolist())[1:]",
    "lengths[b].tolist() => list(lengths[b].tolist())[:-1]",
)
