"""Exercise 00.3: Byte-pair encoding."""

import random
from itertools import pairwise

from ...exercise import exercise

ex = exercise(
    "00.3",
    "train_bpe",
    "apply_bpe",
    title="Byte-pair encoding",
    objective="You can learn a tokenizer's merges from text and apply them to new text, in the order in which they "
    "were learned.",
    minutes=30,
    difficulty=3,
    importance=3,
    source="Sennrich, Haddow and Birch (2016), Neural Machine Translation of Rare Words with Subword Units, "
    "section 3.2.",
    hints=[
        "Write one helper that replaces a pair by its merge from left to right; both functions need it.",
        "Counting: a pair that was just counted at i cannot be counted again at i + 1 when both halves are equal, "
        "because after merging 'aa' in 'aaa' only one 'a' is left.",
        "Ties: of the pairs with the highest count take min(...), the one that sorts first. Applying: loop over the "
        "merges in order, and merge every occurrence of one before looking at the next.",
    ],
    why="A merge's place in the list is its priority. Applying merges in that order rebuilds the pieces the way "
    "training built them; a longest-match rule would cut the same text differently, and the model would see pieces "
    "it was hardly trained on.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)

    def words(n):
        return " ".join("".join(rng.choices("abn", [5, 2, 2], k=rng.randint(2, 6))) for _ in range(n))

    text = "aaa" * rng.randint(2, 4) + " " + words(12)
    return [
        {"function": "train_bpe", "text": "bzzzc" + "".join(rng.sample("defgh", 3)), "merges": 1},
        {"function": "train_bpe", "text": "xyaaaaz xy" + rng.choice(["", "q"]), "merges": 2},
        {"function": "train_bpe", "text": "zzyyzzyy" + rng.choice("pqr"), "merges": 1},
        {"function": "train_bpe", "text": text, "merges": 9},
        {"function": "train_bpe", "text": rng.choice(["ab", "cd"]), "merges": 3},
        {"function": "apply_bpe", "text": "bcabcabc", "merges": [("b", "c"), ("a", "b"), ("ab", "c")]},
        {"function": "apply_bpe", "text": "aaaaabaaa", "merges": [("a", "a"), ("aa", "a"), ("aa", "b")]},
        {"function": "apply_bpe", "text": words(8), "merges": _train(words(20), 12)},
        {"function": "apply_bpe", "text": "", "merges": [("a", "b")]},
    ]


def _train(text, n):
    """Byte-pair encoding by string replacement: every piece is one private character."""
    piece = {c: c for c in text}
    symbols, merges = text, []
    for code in range(0xE000, 0xE000 + n):
        pairs = {symbols[i : i + 2] for i in range(len(symbols) - 1)}
        if not pairs:
            break
        # str.count counts without overlap, as merging will
        best = min(pairs, key=lambda p: (-symbols.count(p), piece[p[0]], piece[p[1]]))
        merges.append((piece[best[0]], piece[best[1]]))
        piece[chr(code)] = merges[-1][0] + merges[-1][1]
        symbols = symbols.replace(best, chr(code))
    return merges


@ex.oracle
def _(function, text, merges):
    if function == "train_bpe":
        return _train(text, merges)
    code = {c: c for c in text}
    for i, (a, b) in enumerate(merges):
        code.setdefault(a + b, chr(0xE000 + i))
        if a in code and b in code:
            text = text.replace(code[a] + code[b], code[a + b])
    piece = {symbol: name for name, symbol in code.items()}
    return [piece[symbol] for symbol in text]


@ex.call
def _(answer, function, text, merges):
    return getattr(answer, function)(text, merges)


@ex.alternative(of="train_bpe")
def count_then_merge(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {}
        counted_until = {}
        for i in range(len(pieces) - 1):
            pair = (pieces[i], pieces[i + 1])
            if counted_until.get(pair, -1) >= i:
                continue
            counts[pair] = counts.get(pair, 0) + 1
            counted_until[pair] = i + 1
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        i = 0
        while i < len(pieces) - 1:
            if (pieces[i], pieces[i + 1]) == best:
                pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
            i += 1
    return merges


@ex.alternative(of="apply_bpe")
def merge_by_merge(text, merges):
    pieces = list(text)
    for pair in merges:
        i = 0
        while i < len(pieces) - 1:
            if (pieces[i], pieces[i + 1]) == pair:
                pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
            i += 1
    return pieces


@ex.alternative(of="apply_bpe")
def lowest_rank_first(text, merges):
    pieces, rank = list(text), {pair: i for i, pair in reversed(list(enumerate(merges)))}
    while True:
        found = [(rank[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in rank]
        if not found:
            return pieces
        _, i = min(found)
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]


ex.slip(
    "overlaps_counted_twice",
    "In 'aaa' the pair ('a', 'a') was counted twice, but merging it leaves one 'a' over: the two occurrences share a "
    "letter. Count what a merge would really replace.",
    "            if counted_until.get(pair, -1) >= i:\n                continue\n",
    "",
    of="train_bpe",
)


ex.slip(
    "ties_by_first_appearance",
    "Of two pairs with the same count the one that appears first in the text was taken. The rule is the pair that "
    "sorts first; otherwise the merges depend on the order of the documents.",
    "(-counts[pair], pair)",
    "-counts[pair]",
    of="train_bpe",
)


ex.slip(
    "ties_by_the_last",
    "Of two pairs with the same count the one that sorts last was taken: max((count, pair)) does that. The rule is the "
    "pair that sorts first.",
    "min(counts, key=lambda pair: (-counts[pair], pair))",
    "max(counts, key=lambda pair: (counts[pair], pair))",
    of="train_bpe",
)


ex.slip(
    "counted_once",
    "The pairs were counted on the letters only, and the n most frequent taken. Every merge makes new pieces and so "
    "new pairs: count again after each merge.",
    "pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]",
    "pass",
    "best = min(counts, key=",
    "best = min(set(counts) - set(merges) or counts, key=",
    of="train_bpe",
)


@ex.mistake(
    "The longest piece that fits was taken at each position. The merges have an order: the one learned first is "
    "applied first, even when it prevents a longer piece.",
    of="apply_bpe",
)
def longest_match(text, merges):
    vocabulary = sorted({a + b for a, b in merges} | set(text), key=len, reverse=True)
    pieces = []
    while text:
        piece = next(piece for piece in vocabulary if text.startswith(piece))
        pieces.append(piece)
        text = text[len(piece) :]
    return pieces


@ex.mistake(
    "The text was passed over once, merging two neighbours where any merge fits. A merge can build a piece that a "
    "later merge needs: go through the merges in order, over the whole text each time.",
    of="apply_bpe",
)
def single_pass(text, merges):
    pieces, i = [], 0
    while i < len(text):
        if (text[i], text[i + 1 : i + 2]) in merges:
            pieces.append(text[i : i + 2])
            i += 2
        else:
            pieces.append(text[i])
            i += 1
    return pieces
