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
    version=3,
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
    a, b, y, z = sorted(rng.sample("abcdefgh", 4))
    return [
        {"function": "train_bpe", "text": "bzzzc" + "".join(rng.sample("defgh", 3)), "merges": 1},
        {"function": "train_bpe", "text": "xyaaaaz xy" + rng.choice(["", "q"]), "merges": 2},
        {"function": "train_bpe", "text": "zzyyzzyy" + rng.choice("pqr"), "merges": 1},
        {"function": "train_bpe", "text": text, "merges": 9},
        # (a, z) sorts before (ab, ab), but "abab" before "az"
        {"function": "train_bpe", "text": f"{a}{z}{y}{a}{b}{a}{b}", "merges": 2},
        # the last piece and the first are no neighbours, though together they are the most frequent pair
        {"function": "train_bpe", "text": "yqxywxyax", "merges": 2},
        {"function": "train_bpe", "text": rng.choice(["ab", "cd"]), "merges": 3},
        {"function": "train_bpe", "text": words(4), "merges": 0},
        {"function": "train_bpe", "text": rng.choice("abc"), "merges": 2},
        {"function": "train_bpe", "text": "", "merges": 2},
        {"function": "apply_bpe", "text": "bcabcabc", "merges": [("b", "c"), ("a", "b"), ("ab", "c")]},
        {"function": "apply_bpe", "text": "aaaaabaaa", "merges": [("a", "a"), ("aa", "a"), ("aa", "b")]},
        {"function": "apply_bpe", "text": words(8), "merges": _train(words(20), 12)},
        {"function": "apply_bpe", "text": "ab abc\nab ", "merges": [("a", "b"), (" ", "ab")]},
        # whatever is put between pieces to keep them apart may be in the text
        {"function": "train_bpe", "text": "a|b|a|b,a_b" + rng.choice(["\t", "\n"]) + "a/b\0", "merges": 4},
        {
            "function": "apply_bpe",
            "text": "ab|ab,b\tab_ab\nab/ab\0a b",
            "merges": [("a", "b"), ("|", "ab"), ("ab", ","), ("\0", "a")],
        },
        {"function": "apply_bpe", "text": "xabcy", "merges": [("a", "b"), ("b", "c"), ("a", "bc")]},
        {"function": "apply_bpe", "text": "abcab", "merges": []},
        {"function": "apply_bpe", "text": "a", "merges": [("a", "a")]},
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
    "overlaps_and_ties",
    "Two things at once, as Counter(pairwise(pieces)).most_common(1) does them. In 'aaa' the pair ('a', 'a') was counted twice, though "
    "merging it leaves one 'a' over: count what a merge would really replace. And of two pairs with the same count the one that appears "
    "first was taken: the rule is the pair that sorts first.",
    "            if counted_until.get(pair, -1) >= i:\n                continue\n",
    "",
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


ex.slip(
    "stops_at_pairs_that_occur_once",
    "It stopped when no pair occurred twice. Sensible in practice, but the rule here goes on: fewer than n merges come back only "
    "when a single piece is left.",
    "        merges.append(best)\n",
    "        if counts[best] < 2:\n            break\n        merges.append(best)\n",
    of="train_bpe",
)


ex.slip(
    "ties_by_the_joined_text",
    "Of two pairs with the same count it took the one whose joined text sorts first. Compare the pairs as tuples: ('a', 'z') "
    "comes before ('ab', 'c'), although 'abc' comes before 'az'.",
    "(-counts[pair], pair)",
    "(-counts[pair], pair[0] + pair[1])",
    of="train_bpe",
)


ex.slip(
    "ties_by_the_last_appearance",
    "Of two pairs with the same count the one that appears last in the text was taken. The rule is the pair that sorts first.",
    "min(counts, key=lambda pair: (-counts[pair], pair))",
    "max(reversed(counts), key=lambda pair: counts[pair])",
    of="train_bpe",
)


ex.slip(
    "merged_text_for_pairs",
    "The merged pieces came back as text, 'ab'. A merge is the pair, ('a', 'b'): the text alone does not say where it was "
    "joined.",
    "merges.append(best)",
    'merges.append("".join(best))',
    of="train_bpe",
)


ex.slip(
    "a_run_counts_once",
    "Every run of equal pieces was counted once: in 'aaaa' a merge replaces two 'aa', not one. Skip a pair only when it shares a "
    "piece with the one just counted.",
    "            if counted_until.get(pair, -1) >= i:\n                continue\n",
    "            if i and pair == (pieces[i - 1], pieces[i]):\n                continue\n",
    of="train_bpe",
)


ex.slip(
    "training_merges_the_first_only",
    "While learning, only the first occurrence of the pair was merged in the text. A merge replaces all of them before the next "
    "count.",
    "pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]",
    "pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]\n                break",
    of="train_bpe",
)


ex.slip(
    "training_loses_the_last_piece",
    "While learning, the text's last piece was lost whenever no merge ended there, and with it the pairs it is part of.",
    "            i += 1\n    return merges",
    "            i += 1\n        if len(pieces[-1]) == 1:\n            pieces.pop()\n    return merges",
    of="train_bpe",
)


ex.slip(
    "rarest_pair",
    "The rarest pair was merged each time; it should be the most frequent.",
    "(-counts[pair], pair)",
    "(counts[pair], pair)",
    of="train_bpe",
)


@ex.mistake(
    "No merge reaches across a space, as in GPT-2's tokenizer, which cuts a text into words first. Here the text is one "
    "sequence of characters, and a space is one of them.",
    of="train_bpe",
)
def words_apart(text, n_merges):
    words, merges = [list(word) for word in text.split(" ")], []
    while len(merges) < n_merges and any(len(word) > 1 for word in words):
        counts = {}
        for word in words:
            last = {}
            for i, pair in enumerate(pairwise(word)):
                if last.get(pair) != i - 1:
                    counts[pair] = counts.get(pair, 0) + 1
                    last[pair] = i
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        words = [_merged(word, merges[-1]) for word in words]
    return merges


def _merged(pieces, pair):
    """Pieces with every occurrence of a pair merged."""
    made = []
    for piece in pieces:
        if made and (made[-1], piece) == pair:
            made[-1] = None  # neither half of the next pair
            made.append("".join(pair))
        else:
            made.append(piece)
    return [piece for piece in made if piece is not None]


ex.slip(
    "first_occurrence_only",
    "Only the first occurrence of each pair was merged. A merge goes over the whole text, from left to right.",
    "pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]",
    "pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]\n                break",
    of="apply_bpe",
)


ex.slip(
    "merges_backwards",
    "The merges were applied from the last to the first. The one that was learned first comes first: later ones are made of its "
    "pieces.",
    "for pair in merges:",
    "for pair in reversed(merges):",
    of="apply_bpe",
)


ex.slip(
    "last_piece_lost",
    "The text's last piece is lost when no merge ends there. Joined together, the pieces must give the text again.",
    "            i += 1\n    return pieces",
    "            i += 1\n        if pieces and pieces[-1] != ''.join(pair):\n            pieces.pop()\n    return pieces",
    of="apply_bpe",
)


ex.slip(
    "compares_the_joined_text",
    "Two neighbours were merged because together they spell what a merge gives, although cut elsewhere: the merge ('a', 'bc') does "
    "not join 'ab' and 'c'. Compare the pair.",
    "(pieces[i], pieces[i + 1]) == pair",
    "pieces[i] + pieces[i + 1] == ''.join(pair)",
    of="apply_bpe",
)


ex.slip(
    "joined_by_spaces",
    "The pieces came back as one text with spaces between them. Return a list: a piece may hold a space itself.",
    "return pieces",
    'return " ".join(pieces)',
    of="apply_bpe",
)


@ex.mistake(
    "The spaces of the text are gone, or pieces were joined across their borders: that comes of replacing in a string whose pieces "
    "are set apart by spaces. Keep the pieces in a list.",
    of="apply_bpe",
)
def replaced_in_a_string(text, merges):
    spaced = " ".join(text)
    for a, b in merges:
        spaced = spaced.replace(f"{a} {b}", a + b)
    return spaced.split()


@ex.mistake(
    "The pieces are whole words, or what was made of them. The text starts out as single characters, spaces among them.",
    of="apply_bpe",
)
def starts_from_words(text, merges):
    return merge_by_merge(text.split(), merges)


@ex.mistake(
    "A character was used twice: in 'aaa' the pair ('a', 'a') was merged at both places, which share a letter. After a merge go on "
    "behind it.",
    of="apply_bpe",
)
def overlapping_merges(text, merges):
    pieces = list(text)
    for pair in merges:
        made, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == pair:
                made.append("".join(pair))
                i += 1 if tuple(pieces[i + 1 : i + 3]) == pair else 2
            else:
                made.append(pieces[i])
                i += 1
        pieces = made
    return pieces


ex.equivalent(
    "Every index is 0 or more, so both stand for 'not counted yet'.", "pair, -1) >= => pair, -2) >="
)
ex.equivalent(
    "All counts grow by the same number or are doubled: their order stays.",
    "(pair, 0) + => (pair, 1) +",
    "(pair, 0) + => (pair, -1) +",
    "pair, 0) + 1 => pair, 0) + 2",
)
ex.equivalent(
    "A pair is learned once, so none is in the list twice.",
    "reversed(list(enumerate(merges) => list(enumerate(merges",
)
ex.equivalent(
    "The neighbours and slices of a text are those of its list of characters.", "(list(text), => (text,"
)
