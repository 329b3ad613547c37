# mypy: ignore-errors
"""Chapter 00, Tokens: how text becomes the integers that a transformer reads."""

import random
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from ..exercise import Chapter
from ..plain import Raised, attempt

chapter = Chapter("00", "tokens", "Tokens")

BOS = "<|endoftext|>"
PAD = BOS_ID = 0
DEMO = Path(__file__).parents[2] / "models" / "attn-only-2l-demo" / "tokenizer.json"
NAMES = ["Mary", "John", "Tom", "Anna", "Sam", "Kate", "Ben", "Lily"]
INVENTED = ["Zorblaxuth", "Quilvanter", "Mipraxolo", "Vexandrilou"]


def sentence(rng: random.Random) -> str:
    """A few words with capitals, punctuation and runs of the same letter."""
    words = [
        "When",
        "Mary",
        "zoo",
        "aaa",
        "and",
        "John's",
        "Book!",
        "went",
        "to",
        "mmm",
        "three",
        "Café",
        "42",
    ]
    return (
        " " * rng.randint(0, 2)
        + " ".join(rng.choices(words, k=rng.randint(4, 8)))
        + rng.choice(["", " ", "\n"])
    )


# ---- 00.1 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "00.1",
    "build_vocab",
    title="A vocabulary of characters",
    objective="You can give every character a number in a way that comes out the same on every machine and every run.",
    minutes=10,
    difficulty=1,
    importance=3,
    source="The definition in chapter 00, section 1: BOS first, then the characters by code point.",
    hints=[
        "A set of the characters of all texts joined together is a good start, but a set has no order.",
        "Give BOS the id 0 before anything else; then count on with the sorted characters.",
        "symbols = [BOS, *sorted(set(''.join(texts)))]; the two dictionaries are enumerations of this list.",
    ],
    why="Sorting is what makes it deterministic: Python's hash of a string, and with it the order of a set of "
    "strings, changes from one process to the next. A model trained with one numbering is useless with another.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    return {"texts": [sentence(rng) + chr(rng.randint(0x100, 0x17F)) for _ in range(rng.randint(2, 4))]}


@ex.oracle
def _(texts):
    stoi = {BOS: 0}
    for code in range(0x110000):
        if any(chr(code) in text for text in texts) if code < 0x200 else False:
            stoi[chr(code)] = len(stoi)
    return {"order": "BOS, then by code point", "stoi": stoi, "itos": {i: s for s, i in stoi.items()}}


@ex.measure
def _(observed, texts):
    # The order of a set differs from process to process, so the wrong orders are compared by name.
    stoi, itos = observed
    symbols = sorted(stoi, key=stoi.get)
    first_seen = list(dict.fromkeys("".join(texts)))
    known = {
        "BOS, then by code point": [BOS, *sorted(first_seen)],
        "BOS, then by first appearance": [BOS, *first_seen],
        "by code point, then BOS": [*sorted(first_seen), BOS],
    }
    order = next((name for name, symbols_then in known.items() if symbols == symbols_then), None)
    complete = set(symbols) == {BOS, *first_seen} and set(stoi.values()) == set(range(len(stoi)))
    if order is None and complete and itos == {i: s for s, i in stoi.items()}:
        stoi = {s: i for i, s in enumerate([BOS, *sorted(first_seen)])}
        return {"order": "in no order that can be repeated", "stoi": stoi, "itos": dict(enumerate(stoi))}
    return {"order": order or "something else", "stoi": stoi, "itos": itos}


@ex.alternative
def character_by_character(texts):
    characters = set()
    for text in texts:
        characters.update(text)
    stoi = {BOS: 0}
    for i, character in enumerate(sorted(characters)):
        stoi[character] = i + 1
    itos = {i: character for character, i in stoi.items()}
    return stoi, itos


ex.slip(
    "unsorted_set",
    "The characters are numbered in the order in which a set hands them out. Python hashes strings with a new salt "
    "in every process, so tomorrow every character has another number. Sort them.",
    "sorted(characters)",
    "characters",
)
ex.slip(
    "bos_collides",
    "BOS and the first character share the id 0, so a model could not tell the beginning of a text from that "
    "character, and the two dictionaries no longer undo each other. The characters start at 1.",
    "= i + 1",
    "= i",
)
ex.slip(
    "first_text_only",
    "Only the first text was read. A character that first appears in a later text has no number, and encoding that "
    "text will fail.",
    "in texts:",
    "in texts[:1]:",
)
ex.slip(
    "no_bos",
    "BOS itself is missing. It is part of the vocabulary, with the id 0.",
    "{BOS: 0}",
    "{}",
)


@ex.mistake(
    "The characters are numbered by first appearance. That is repeatable for these texts, but put the texts in another "
    "order and every number changes. Sort the characters."
)
def first_appearance(texts):
    symbols = [BOS, *dict.fromkeys("".join(texts))]
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


# ---- 00.2 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "00.2",
    "encode",
    title="Text to ids",
    objective="You can turn text into a tensor of ids, with BOS inserted as an id, once, at the front.",
    minutes=5,
    difficulty=1,
    importance=4,
    source="The definition in chapter 00, section 2; the same rule as HookedTransformer.to_tokens.",
    hints=[
        "Look each character up in stoi, and put stoi[BOS] in front when prepend_bos is true.",
        "The result is one-dimensional and torch.tensor makes it int64 from a list of ints, but not from an empty "
        "list: say dtype=torch.long.",
    ],
    why="BOS is a position where heads can rest when they have nothing to do, and where the model expects the "
    "sequence to begin. It goes in as an id: as text it would be read as thirteen characters.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    text = " " + sentence(rng).strip() + "A "
    symbols = sorted(set(text + text.lower()))
    stoi = {BOS: 3} | {s: i for i, s in enumerate(symbols, start=4)}
    return [
        {"text": text, "stoi": stoi},
        {"text": text, "stoi": stoi, "prepend_bos": False},
        {"text": "", "stoi": stoi, "prepend_bos": True},
        {"text": "", "stoi": stoi, "prepend_bos": False},
    ]


@ex.oracle
def _(text, stoi, prepend_bos=True):
    n = len(text) + int(prepend_bos)
    ids = torch.zeros(n, dtype=torch.int64)
    for position in range(n):
        ids[position] = (
            stoi[BOS] if prepend_bos and position == 0 else stoi[text[position - int(prepend_bos)]]
        )
    return ids


@ex.alternative
def list_then_tensor(text, stoi, prepend_bos=True):
    ids = []
    if prepend_bos:
        ids.append(stoi[BOS])
    ids += [stoi[c] for c in text]
    return torch.tensor(ids, dtype=torch.long)


@ex.alternative
def concatenated(text, stoi, prepend_bos=True):
    body = torch.tensor([stoi[c] for c in text], dtype=torch.int64)
    return torch.cat([torch.full((1,), stoi[BOS]), body]) if prepend_bos else body


ex.slip(
    "bos_at_the_end",
    "BOS stands at the end. It marks the beginning of a sequence: position 0.",
    "ids += [stoi[c] for c in text]",
    "ids = [stoi[c] for c in text] + ids",
)
ex.slip(
    "bos_twice",
    "There are two BOS ids at the front. It goes in once.",
    "ids.append(stoi[BOS])",
    "ids += [stoi[BOS], stoi[BOS]]",
)
ex.slip(
    "always_bos",
    "BOS is there although prepend_bos is False.",
    "if prepend_bos:",
    "if True:",
)
ex.slip(
    "strips",
    "Spaces at the ends of the text are gone. They are characters like any other: ' Mary' and 'Mary' are different "
    "texts, and later different tokens.",
    "in text]",
    "in text.strip()]",
)
ex.slip(
    "lowercases",
    "Capital letters were made small. The vocabulary has both, and the model must see which one was written.",
    "stoi[c]",
    "stoi[c.lower()]",
)
ex.slip(
    "float_ids",
    "The ids came out as floats. An id is an index into the embedding matrix: make the tensor with dtype=torch.long "
    "(an empty list becomes float32 unless you say so).",
    "dtype=torch.long",
    "dtype=torch.float32",
)
ex.slip(
    "dtype_left_to_torch",
    "It is right except for the empty text: torch.tensor([]) is float32, because an empty list says nothing about its "
    "type. Pass dtype=torch.long.",
    ", dtype=torch.long",
    "",
)
ex.slip(
    "extra_batch_axis",
    "The result has a batch axis of size 1. Here one text gives one row: shape (s,), not (1, s).",
    "torch.tensor(ids, dtype=torch.long)",
    "torch.tensor([ids], dtype=torch.long)",
)


# ---- 00.3 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
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


# ---- 00.4 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "00.4",
    "single_token_id",
    title="The id of one word",
    objective="You can ask a real tokenizer for the id of a word, and be sure that the word is one token.",
    minutes=5,
    difficulty=2,
    importance=4,
    source="The tokenizer itself: the id must decode to exactly the text that was given.",
    hints=[
        "tokenizer.encode(text, add_special_tokens=False).ids is a list of ids without BOS.",
        "Look at the length of that list before you take its only element.",
        "[id] = ids raises a ValueError by itself when there is not exactly one, but say which text it was.",
    ],
    why="An experiment that compares the logits of ' Mary' and ' John' is meaningless when one of them is two tokens; "
    "taking the first piece silently measures something else. So it is an error, with the text in it.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    tokenizer = _tokenizer()
    single = [
        f" {name}" for name in NAMES if len(tokenizer.encode(f" {name}", add_special_tokens=False)) == 1
    ]
    several = [
        f" {name}" for name in INVENTED if len(tokenizer.encode(f" {name}", add_special_tokens=False)) > 1
    ]
    texts = [*rng.sample(single, 2), rng.choice("abcdefgh"), rng.choice(several)]
    return [{"tokenizer": tokenizer, "text": text} for text in texts]


def _tokenizer():
    """The demo models' tokenizer, or a small stand-in, set to put BOS in front as many tokenizers do."""
    if DEMO.exists():
        tokenizer = Tokenizer.from_file(str(DEMO))
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=[BOS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(
            [f"When {a} and {b} went, {a}" for a in NAMES for b in NAMES] * 5, trainer
        )
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)])
    return tokenizer


@ex.oracle
def _(tokenizer, text):
    # Byte-level BPE writes a leading space as Ġ; a word is one token exactly when it is a vocabulary entry.
    id = tokenizer.token_to_id(text.replace(" ", "Ġ"))
    return Raised(ValueError, mentions=[text.strip()]) if id is None else id


@ex.call
def _(answer, tokenizer, text):
    return attempt(answer, tokenizer, text)


@ex.alternative
def checked_length(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens, not one; choose another word")
    return ids[0]


ex.slip(
    "returns_bos",
    "That is the id of BOS: this tokenizer puts it in front. Pass add_special_tokens=False.",
    "text, add_special_tokens=False",
    "text",
    "if len(ids) != 1:",
    "if len(ids) != 2:",
)
ex.slip(
    "drops_the_space",
    "The leading space was dropped. ' Mary' with its space is one token; 'Mary' without it is another one, or several.",
    "encode(text,",
    "encode(text.strip(),",
)
ex.slip(
    "first_piece",
    "A name of several tokens gave the id of its first piece, silently. Raise a ValueError instead: an experiment with "
    "half a name measures something else.",
    "if len(ids) != 1:",
    "if False:",
)
ex.slip(
    "last_piece",
    "A name of several tokens gave the id of its last piece, silently. Raise a ValueError instead.",
    "if len(ids) != 1:",
    "if False:",
    "return ids[0]",
    "return ids[-1]",
)
ex.slip(
    "silent_error",
    "It raises, but the message does not say which text was wrong. In a list of a hundred names that is the thing one "
    "needs to know.",
    "{text!r} is {len(ids)} tokens, not one; choose another word",
    "expected one token",
)
ex.slip(
    "list_of_one",
    "It returned the list of ids. Return its only element, an int.",
    "return ids[0]",
    "return ids",
)


# ---- 00.5 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "00.5",
    "pad_batch",
    title="Padding",
    objective="You can put sequences of different lengths into one tensor and keep track of which tokens are real, even "
    "when the padding id is also the id of a real token.",
    minutes=10,
    difficulty=2,
    importance=4,
    source="The definition in chapter 00, section 5: the mask comes from the lengths, never from the ids.",
    hints=[
        "Make both tensors full of padding first: tokens all PAD, mask all False. Then write each sequence in.",
        "The mask cannot be computed from the tokens: PAD is also BOS, and every sequence begins with a real BOS.",
        "With n = len(seq): the slice is [:n] for side 'right' and [width - n:] for side 'left'.",
    ],
    why="GPT-2 has one special token for beginning, end and padding. A mask made with tokens != PAD hides the real BOS "
    "as well, and every attention head that rests there changes: a bug that looks like a slightly worse model.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    lengths = rng.sample(range(2, 8), 4)
    seqs = [[BOS_ID, *(rng.randint(1, 50) for _ in range(n - 1))] for n in lengths]
    return [{"seqs": seqs, "side": "right"}, {"seqs": seqs, "side": "left"}]


@ex.oracle
def _(seqs, side):
    width = max(len(seq) for seq in seqs)
    tokens, mask = [], []
    for seq in seqs:
        gap = width - len(seq)
        left, right = (gap, 0) if side == "left" else (0, gap)
        tokens.append([PAD] * left + seq + [PAD] * right)
        mask.append([False] * left + [True] * len(seq) + [False] * right)
    return torch.tensor(tokens), torch.tensor(mask)


@ex.alternative
def write_into_padding(seqs, side):
    width = max(len(seq) for seq in seqs)
    tokens = torch.full((len(seqs), width), PAD)
    mask = torch.zeros(len(seqs), width, dtype=torch.bool)
    for row, seq in enumerate(seqs):
        start = 0 if side == "right" else width - len(seq)
        tokens[row, start : start + len(seq)] = torch.tensor(seq)
        mask[row, start : start + len(seq)] = True
    return tokens, mask


@ex.alternative
def mask_from_lengths(seqs, side):
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(seq if side == "right" else seq[::-1]) for seq in seqs]
    tokens = pad_sequence(rows, batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(seq) for seq in seqs])
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    return (tokens, mask) if side == "right" else (tokens.flip(1), mask.flip(1))


ex.slip(
    "masks_the_real_bos",
    "The mask is tokens != PAD. PAD is the same id as BOS, so the real BOS of every sequence is hidden too. Build the "
    "mask from the lengths.",
    "return tokens, mask",
    "return tokens, tokens != PAD",
)
ex.slip(
    "wrong_side",
    "The padding is on the other side. side names the side where the padding goes.",
    'side == "right"',
    'side == "left"',
)
ex.slip(
    "ignores_the_side",
    "The padding is on the right whatever side says.",
    '0 if side == "right" else width - len(seq)',
    "0",
)
ex.slip(
    "truncates",
    "The sequences were cut to the length of the shortest. Padding makes the short ones longer: the width is the "
    "longest length.",
    "width = max(len(seq) for seq in seqs)",
    "width = min(len(seq) for seq in seqs)",
    "for row, seq in enumerate(seqs):",
    "for row, seq in enumerate(s[:width] for s in seqs):",
)
ex.slip(
    "inverted_mask",
    "The mask is upside down: True stands for a real token, False for padding.",
    "return tokens, mask",
    "return tokens, ~mask",
)
ex.slip(
    "mask_of_ints",
    "The mask holds 0 and 1 as integers. As an index, an integer mask picks rows 0 and 1 instead of filtering: make it "
    "a bool tensor.",
    "dtype=torch.bool",
    "dtype=torch.long",
)


# ---- 00.6 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "00.6",
    "token_position",
    title="Where a token stands",
    objective="You can find a token's position in a sequence, and you find out when it is not there.",
    minutes=5,
    difficulty=1,
    importance=3,
    source="The definition in chapter 00, section 6; the same rule as HookedTransformer.get_token_position.",
    hints=[
        "(tokens == token).nonzero() lists the matching positions.",
        "There are three outcomes: first, last, and none at all. For none raise a ValueError that names the token.",
    ],
    why="Positions count BOS: position 0 is BOS, the first word is at 1. And a -1 for 'absent' would be a valid index "
    "(the last position), so the mistake would travel on silently; an error stops it where it happens.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    body = rng.sample(range(1, 90), 7)
    token = body[rng.randint(1, 2)]
    tokens = torch.tensor([BOS_ID, *body, token, rng.randint(90, 95)])
    return [
        {"token": token, "tokens": tokens, "mode": "first"},
        {"token": token, "tokens": tokens, "mode": "last"},
        {"token": 99, "tokens": tokens, "mode": "first"},
        {"token": 99, "tokens": tokens, "mode": "last"},
    ]


@ex.oracle
def _(token, tokens, mode):
    positions = [i for i in range(len(tokens)) if int(tokens[i]) == token]
    if not positions:
        return Raised(ValueError)
    return min(positions) if mode == "first" else max(positions)


@ex.call
def _(answer, token, tokens, mode):
    return attempt(answer, token, tokens, mode)


@ex.alternative
def through_a_list(token, tokens, mode):
    ids = tokens.tolist()
    if token not in ids:
        raise ValueError(f"token {token} is not in {ids}")
    if mode == "first":
        return ids.index(token)
    return len(ids) - 1 - ids[::-1].index(token)


@ex.alternative
def through_nonzero(token, tokens, mode):
    found = (tokens == token).nonzero().flatten()
    if found.numel() == 0:
        raise ValueError(f"token {token} does not occur")
    return int(found[0 if mode == "first" else -1])


ex.slip(
    "bos_not_counted",
    "Every position is one too small: BOS was not counted. Position 0 is BOS, and a position must be an index into "
    "tokens.",
    "ids = tokens.tolist()",
    "ids = tokens[1:].tolist()",
)
ex.slip(
    "first_and_last_swapped",
    "First and last are swapped.",
    'mode == "first"',
    'mode == "last"',
)
ex.slip(
    "always_last",
    "It gives the last position also when the first is asked for.",
    'mode == "first"',
    "False",
)
ex.slip(
    "always_first",
    "It gives the first position also when the last is asked for.",
    'mode == "first"',
    "True",
)
ex.slip(
    "minus_one_when_absent",
    "For a token that is not there it returned -1. That is a valid index, the last position, so nobody would notice. "
    "Raise a ValueError.",
    'raise ValueError(f"token {token} is not in {ids}")',
    "return -1",
)


@ex.mistake(
    "It returned a tensor. A position is used as an index and printed: make it an int, with .item() or int(...)."
)
def tensor_for_int(token, tokens, mode):
    found = (tokens == token).nonzero().flatten()
    if found.numel() == 0:
        raise ValueError(f"token {token} does not occur")
    return found[0 if mode == "first" else -1]
