# %% wrong 00.1: numbers from 0 after BOS is put at 0, so the first character overwrites BOS' id
def build_vocab(texts):
    chars = sorted(set("".join(texts)))
    stoi = {BOS: 0}
    for i, c in enumerate(chars):
        stoi[c] = i
    itos = {i: c for c, i in stoi.items()}
    return stoi, itos

# %% wrong 00.1: in order of first occurrence instead of by code point
def build_vocab(texts):
    stoi = {BOS: 0}
    for t in texts:
        for c in t:
            if c not in stoi:
                stoi[c] = len(stoi)
    return stoi, {i: s for s, i in stoi.items()}

# %% wrong 00.1: only the first text is read
def build_vocab(texts):
    symbols = [BOS] + sorted(set(texts[0]))
    stoi = {s: i for i, s in enumerate(symbols)}
    itos = {i: s for i, s in enumerate(symbols)}
    return stoi, itos

# %% wrong 00.1: BOS gets the last id
def build_vocab(texts):
    symbols = sorted(set("".join(texts))) + [BOS]
    stoi = {s: i for i, s in enumerate(symbols)}
    itos = {i: s for s, i in stoi.items()}
    return stoi, itos

# %% wrong 00.1: numbers whole words, not characters
def build_vocab(texts):
    words = sorted({w for t in texts for w in t.split()})
    stoi = {BOS: 0, **{w: i for i, w in enumerate(words, 1)}}
    return stoi, {i: w for w, i in stoi.items()}

# %% wrong 00.1: returns the two dictionaries in swapped order
def build_vocab(texts):
    symbols = [BOS, *sorted(set("".join(texts)))]
    stoi = {s: i for i, s in enumerate(symbols)}
    itos = dict(enumerate(symbols))
    return itos, stoi

# %% wrong 00.1: sorts BOS in with the characters, so it gets id of '<'... (string order)
def build_vocab(texts):
    symbols = sorted(set("".join(texts)) | {BOS})
    stoi = {s: i for i, s in enumerate(symbols)}
    return stoi, {i: s for s, i in stoi.items()}

# %% wrong 00.1: itos is a list, not a dict
def build_vocab(texts):
    itos = [BOS] + sorted(set("".join(texts)))
    stoi = {s: i for i, s in enumerate(itos)}
    return stoi, itos

# %% wrong 00.1: lower-cases the texts, so upper case letters are missing
def build_vocab(texts):
    symbols = [BOS] + sorted(set("".join(texts).lower()))
    stoi = {s: i for i, s in enumerate(symbols)}
    return stoi, {i: s for i, s in enumerate(symbols)}

# %% wrong 00.1: strips whitespace off each text, so a leading newline or space can be missing
def build_vocab(texts):
    chars = set()
    for t in texts:
        chars.update(t.strip())
    stoi = {BOS: 0}
    for c in sorted(chars):
        stoi[c] = len(stoi)
    return stoi, {i: c for c, i in stoi.items()}

# %% wrong 00.1: sorts case-insensitively, not by code point
def build_vocab(texts):
    chars = sorted(set("".join(texts)), key=lambda c: (c.lower(), c))
    stoi = {BOS: 0} | {c: i + 1 for i, c in enumerate(chars)}
    return stoi, {i: c for c, i in stoi.items()}

# %% wrong 00.1: ids are the code points themselves, plus 1
def build_vocab(texts):
    stoi = {BOS: 0}
    for c in sorted(set("".join(texts))):
        stoi[c] = ord(c) + 1
    return stoi, {i: c for c, i in stoi.items()}

# %% wrong 00.1: BOS is missing in itos
def build_vocab(texts):
    chars = sorted(set("".join(texts)))
    stoi = {BOS: 0}
    itos = {}
    for i, c in enumerate(chars, start=1):
        stoi[c] = i
        itos[i] = c
    return stoi, itos

# %% right 00.1: list of symbols and enumerate
def build_vocab(texts):
    symbols = [BOS] + sorted(set("".join(texts)))
    stoi = {s: i for i, s in enumerate(symbols)}
    itos = dict(enumerate(symbols))
    return stoi, itos

# %% right 00.1: loops, sorted by ord
def build_vocab(texts):
    seen = []
    for text in texts:
        for ch in text:
            if ch not in seen:
                seen.append(ch)
    seen.sort(key=ord)
    stoi, itos = {BOS: 0}, {0: BOS}
    next_id = 1
    for ch in seen:
        stoi[ch] = next_id
        itos[next_id] = ch
        next_id += 1
    return stoi, itos

# %% right 00.1: code points as integers, dictionary built from the other end, BOS comes last in the dict
def build_vocab(texts):
    points = sorted({ord(c) for t in texts for c in t})
    itos = {i + 1: chr(p) for i, p in enumerate(points)}
    itos[0] = BOS
    stoi = dict(zip(itos.values(), itos.keys()))
    return stoi, itos

# %% right 00.1: set().union over the texts
def build_vocab(texts):
    chars = sorted(set().union(*texts))
    stoi = {BOS: 0}
    stoi.update(zip(chars, range(1, len(chars) + 1)))
    return stoi, {v: k for k, v in stoi.items()}

# %% right 00.1: Counter as a set of characters
def build_vocab(texts):
    from collections import Counter

    counts = Counter()
    for t in texts:
        counts.update(t)
    stoi = {BOS: 0}
    for c in sorted(counts):
        stoi[c] = len(stoi)
    itos = {}
    for c in stoi:
        itos[stoi[c]] = c
    return stoi, itos

# %% wrong 00.2: empty text without BOS gives a float tensor
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids = [stoi[BOS]] + ids
    return torch.tensor(ids)

# %% wrong 00.2: returns a list, not a tensor
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    return [stoi[BOS], *ids] if prepend_bos else ids

# %% wrong 00.2: ignores prepend_bos
def encode(text, stoi, prepend_bos=True):
    return torch.tensor([stoi[BOS]] + [stoi[c] for c in text], dtype=torch.int64)

# %% wrong 00.2: puts BOS at the end
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids.append(stoi[BOS])
    return torch.tensor(ids, dtype=torch.long)

# %% wrong 00.2: int32
def encode(text, stoi, prepend_bos=True):
    ids = ([stoi[BOS]] if prepend_bos else []) + [stoi[c] for c in text]
    return torch.tensor(ids, dtype=torch.int32)

# %% wrong 00.2: iterates over the characters of the BOS string (KeyError, or 13 ids)
def encode(text, stoi, prepend_bos=True):
    if prepend_bos:
        text = BOS + text
    return torch.tensor([stoi[c] for c in text], dtype=torch.long)

# %% wrong 00.2: has a batch dimension of one
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids.insert(0, stoi[BOS])
    return torch.tensor(ids, dtype=torch.long).unsqueeze(0)

# %% wrong 00.2: an empty text gives an empty tensor even when BOS is wanted
def encode(text, stoi, prepend_bos=True):
    if not text:
        return torch.empty(0, dtype=torch.long)
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids = [stoi[BOS]] + ids
    return torch.tensor(ids, dtype=torch.long)

# %% wrong 00.2: bare squeeze, so one id alone gives a 0-d tensor
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[BOS]] * prepend_bos + [stoi[c] for c in text]
    return torch.tensor([ids], dtype=torch.long).squeeze()

# %% wrong 00.2: condition the wrong way round
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if not prepend_bos:
        ids = [stoi[BOS]] + ids
    return torch.tensor(ids, dtype=torch.long)

# %% wrong 00.2: uses the code points, not stoi
def encode(text, stoi, prepend_bos=True):
    ids = [ord(c) for c in text]
    return torch.tensor(([0] if prepend_bos else []) + ids, dtype=torch.long)

# %% wrong 00.2: skips spaces through split
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[BOS]] if prepend_bos else []
    for word in text.split():
        for c in word:
            ids.append(stoi[c])
    return torch.tensor(ids, dtype=torch.long)

# %% right 00.2: list with dtype
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids = [stoi[BOS]] + ids
    return torch.tensor(ids, dtype=torch.int64)

# %% right 00.2: filled into an empty tensor
def encode(text, stoi, prepend_bos=True):
    off = 1 if prepend_bos else 0
    out = torch.zeros(len(text) + off, dtype=torch.int64)
    if prepend_bos:
        out[0] = stoi[BOS]
    for i, c in enumerate(text):
        out[i + off] = stoi[c]
    return out

# %% right 00.2: LongTensor and cat
def encode(text, stoi, prepend_bos=True):
    body = torch.LongTensor([stoi[c] for c in text])
    if not prepend_bos:
        return body
    return torch.cat([torch.LongTensor([stoi[BOS]]), body])

# %% right 00.2: list of symbols, map, .long() at the end
def encode(text, stoi, prepend_bos=True):
    symbols = [BOS, *text] if prepend_bos else list(text)
    return torch.tensor(list(map(stoi.__getitem__, symbols))).long()

# %% wrong 00.3: counts overlapping occurrences (in "aaa" two "aa")
def train_bpe(text, n_merges):
    from collections import Counter

    pieces = list(text)
    merges = []
    for _ in range(n_merges):
        counts = Counter(pairwise(pieces))
        if not counts:
            break
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        out, i = [], 0
        while i < len(pieces):
            if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == best:
                out.append(pieces[i] + pieces[i + 1])
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: of tied pairs takes the one that sorts last
def train_bpe(text, n_merges):
    def count(pieces):
        counts, last = {}, {}
        for i, p in enumerate(pairwise(pieces)):
            if last.get(p) == i - 1 and p[0] == p[1]:
                continue
            last[p] = i
            counts[p] = counts.get(p, 0) + 1
        return counts

    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = count(pieces)
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        out, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                out.append("".join(best))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: of tied pairs takes the one that occurs first in the text
def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts, last = {}, {}
        for i, p in enumerate(pairwise(pieces)):
            if last.get(p, -2) == i - 1:
                continue
            last[p] = i
            counts[p] = counts.get(p, 0) + 1
        best = max(counts, key=counts.get)
        merges.append(best)
        out, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                out.append("".join(best))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: stops when no pair occurs twice
def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts, last = {}, {}
        for i, p in enumerate(pairwise(pieces)):
            if last.get(p, -2) == i - 1:
                continue
            last[p] = i
            counts[p] = counts.get(p, 0) + 1
        best = min(counts, key=lambda p: (-counts[p], p))
        if counts[best] < 2:
            break
        merges.append(best)
        out, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                out.append("".join(best))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: does not stop at one piece (max of an empty dictionary raises)
def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    for _ in range(n_merges):
        counts, last = {}, {}
        for i, p in enumerate(pairwise(pieces)):
            if last.get(p, -2) == i - 1:
                continue
            last[p] = i
            counts[p] = counts.get(p, 0) + 1
        top = max(counts.values())
        best = min(p for p in counts if counts[p] == top)
        merges.append(best)
        out, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                out.append("".join(best))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: the n best pairs of the characters, without merging in between
def train_bpe(text, n_merges):
    counts, last = {}, {}
    for i, p in enumerate(pairwise(text)):
        if last.get(p, -2) == i - 1:
            continue
        last[p] = i
        counts[p] = counts.get(p, 0) + 1
    return sorted(counts, key=lambda p: (-counts[p], p))[:n_merges]

# %% wrong 00.3: returns the merged strings, not the pairs
def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts, last = {}, {}
        for i, p in enumerate(pairwise(pieces)):
            if last.get(p, -2) == i - 1:
                continue
            last[p] = i
            counts[p] = counts.get(p, 0) + 1
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best[0] + best[1])
        out, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                out.append("".join(best))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: the last piece is lost when the text does not end in the merged pair
def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts, last = {}, {}
        for i, p in enumerate(pairwise(pieces)):
            if last.get(p, -2) == i - 1:
                continue
            last[p] = i
            counts[p] = counts.get(p, 0) + 1
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        out, i = [], 0
        while i < len(pieces) - 1:
            if (pieces[i], pieces[i + 1]) == best:
                out.append(pieces[i] + pieces[i + 1])
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: runs of equal pieces: skips every overlapping one, so "aaaa" counts one "aa", not two
def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {}
        before = None
        for p in pairwise(pieces):
            if p != before:
                counts[p] = counts.get(p, 0) + 1
            before = p
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        out, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                out.append("".join(best))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: ties by the joined string, not by the pair
def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts, last = {}, {}
        for i, p in enumerate(pairwise(pieces)):
            if last.get(p, -2) == i - 1:
                continue
            last[p] = i
            counts[p] = counts.get(p, 0) + 1
        best = sorted(counts, key=lambda p: (-counts[p], p[0] + p[1]))[0]
        merges.append(best)
        out, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                out.append("".join(best))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return merges

# %% wrong 00.3: never merges across a space, as GPT-2's pre-tokenizer would
def train_bpe(text, n_merges):
    words = [list(w) for w in text.split(" ")]
    merges = []
    for _ in range(n_merges):
        counts = {}
        for w in words:
            i = 0
            last = {}
            for i, p in enumerate(pairwise(w)):
                if last.get(p, -2) == i - 1:
                    continue
                last[p] = i
                counts[p] = counts.get(p, 0) + 1
        if not counts:
            break
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        for j, w in enumerate(words):
            out, i = [], 0
            while i < len(w):
                if tuple(w[i : i + 2]) == best:
                    out.append("".join(best))
                    i += 2
                else:
                    out.append(w[i])
                    i += 1
            words[j] = out
    return merges

# %% right 00.3: counts by really merging each candidate
def train_bpe(text, n_merges):
    def merge(pieces, pair):
        out, i = [], 0
        while i < len(pieces):
            if i + 1 < len(pieces) and pieces[i] == pair[0] and pieces[i + 1] == pair[1]:
                out.append(pair[0] + pair[1])
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        return out

    pieces, merges = list(text), []
    for _ in range(n_merges):
        if len(pieces) < 2:
            break
        candidates = sorted(set(pairwise(pieces)))
        best = min(candidates, key=lambda p: len(merge(pieces, p)))  # shortest result; min takes the first
        merges.append(best)
        pieces = merge(pieces, best)
    return merges

# %% right 00.3: Counter, positions of the last counted occurrence, sort with key
def train_bpe(text, n_merges):
    from collections import Counter

    pieces, merges = list(text), []
    while len(merges) < n_merges:
        counts, last = Counter(), {}
        for i in range(len(pieces) - 1):
            pair = (pieces[i], pieces[i + 1])
            if last.get(pair) == i - 1:
                continue
            counts[pair] += 1
            last[pair] = i
        if not counts:
            return merges
        best = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))[0][0]
        merges.append(best)
        new = []
        for p in pieces:
            if new and not isinstance(new[-1], tuple) and (new[-1], p) == best:
                new[-1] = best
            else:
                new.append(p)
        pieces = ["".join(p) for p in new]
    return merges

# %% right 00.3: runs of equal pieces counted as run // 2
def train_bpe(text, n_merges):
    from itertools import groupby

    pieces = [c for c in text]
    merges: list[tuple[str, str]] = []
    for _ in range(n_merges):
        if len(pieces) <= 1:
            break
        counts: dict[tuple[str, str], int] = {}
        for a, b in pairwise(pieces):
            if a != b:
                counts[a, b] = counts.get((a, b), 0) + 1
        for piece, run in groupby(pieces):
            length = len(list(run))
            if length > 1:
                counts[piece, piece] = counts.get((piece, piece), 0) + length // 2
        most = max(counts.values())
        a, b = min(pair for pair, c in counts.items() if c == most)
        merges.append((a, b))
        i = 0
        while i < len(pieces) - 1:
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i : i + 2] = [a + b]
            i += 1
    return merges

# %% wrong 00.3: merges only the first occurrence of each pair
def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        for i in range(len(pieces) - 1):
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i : i + 2] = [a + b]
                break
    return pieces

# %% wrong 00.3: applies the merges in reverse order
def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in reversed(merges):
        out, i = [], 0
        while i < len(pieces):
            if i + 1 < len(pieces) and pieces[i] == a and pieces[i + 1] == b:
                out.append(a + b)
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return pieces

# %% wrong 00.3: the for loop over a fixed range runs past the end after a merge (IndexError)
def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        for i in range(len(pieces) - 1):
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i] = a + b
                del pieces[i + 1]
    return pieces

# %% wrong 00.3: greedy longest match with the merged strings instead of the merges in order
def apply_bpe(text, merges):
    vocab = {a + b for a, b in merges}
    pieces, i = [], 0
    while i < len(text):
        for j in range(len(text), i, -1):
            if text[i:j] in vocab or j == i + 1:
                pieces.append(text[i:j])
                i = j
                break
    return pieces

# %% wrong 00.3: merges overlapping pairs, so "aaa" gives "aa", "aa" (a character twice)
def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        out = []
        i = 0
        while i < len(pieces):
            if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == (a, b):
                out.append(a + b)
                if not (i + 2 < len(pieces) and (pieces[i + 1], pieces[i + 2]) == (a, b)):
                    i += 1
            else:
                out.append(pieces[i])
            i += 1
        pieces = out
    return pieces

# %% wrong 00.3: loses the last piece where no merge ends the text
def apply_bpe(text, merges):
    pieces = list(text)
    for pair in merges:
        out, i = [], 0
        while i < len(pieces) - 1:
            if (pieces[i], pieces[i + 1]) == pair:
                out.append("".join(pair))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return pieces

# %% wrong 00.3: joins by string replacement with a space, so spaces of the text are lost
def apply_bpe(text, merges):
    s = " ".join(text)
    for a, b in merges:
        s = s.replace(a + " " + b, a + b)
    return s.split()

# %% wrong 00.3: starts from words, not characters
def apply_bpe(text, merges):
    pieces = text.split()
    for pair in merges:
        out, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == tuple(pair):
                out.append("".join(pair))
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return pieces

# %% wrong 00.3: compares only the joined strings, so ("a", "bc") also merges "ab" + "c"
def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        out, i = [], 0
        while i < len(pieces):
            if i + 1 < len(pieces) and pieces[i] + pieces[i + 1] == a + b:
                out.append(a + b)
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return pieces

# %% wrong 00.3: returns one string with the pieces joined by spaces
def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        i = 0
        while i < len(pieces) - 1:
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i : i + 2] = [a + b]
            i += 1
    return " ".join(pieces)

# %% right 00.3: new list for each merge
def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        out = []
        i = 0
        while i < len(pieces):
            if i < len(pieces) - 1 and pieces[i] == a and pieces[i + 1] == b:
                out.append(a + b)
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return pieces

# %% right 00.3: in place with a while loop
def apply_bpe(text, merges):
    pieces = [ch for ch in text]
    for pair in merges:
        i = 0
        while i + 1 < len(pieces):
            if (pieces[i], pieces[i + 1]) == tuple(pair):
                pieces[i] += pieces.pop(i + 1)
            i += 1
    return pieces

# %% right 00.3: reduce with a helper that uses an iterator
def apply_bpe(text, merges):
    from functools import reduce

    def merge(pieces, pair):
        out, pending = [], None
        for p in pieces:
            if pending is None:
                pending = p
            elif (pending, p) == pair:
                out.append(pending + p)
                pending = None
            else:
                out.append(pending)
                pending = p
        if pending is not None:
            out.append(pending)
        return out

    return reduce(merge, merges, list(text))

# %% wrong 00.4: looks the raw text up in the vocabulary, which spells the space as another character
def single_token_id(tokenizer, text):
    i = tokenizer.token_to_id(text)
    if i is None:
        raise ValueError(f"{text!r} is not one token")
    return i

# %% wrong 00.4: takes the first token without looking whether there are more
def single_token_id(tokenizer, text):
    return tokenizer.encode(text).ids[0]

# %% wrong 00.4: strips the text, so " Mary" gives the id of "Mary"
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text.strip()).ids
    if len(ids) != 1:
        raise ValueError(f"{text} is not one token")
    return ids[0]

# %% wrong 00.4: the text is not in the message
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError("not a single token")
    return ids[0]

# %% wrong 00.4: assert raises AssertionError, not ValueError
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(ids) == 1, f"{text} is {len(ids)} tokens"
    return ids[0]

# %% wrong 00.4: an empty text (no token) gives IndexError
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) > 1:
        raise ValueError(f"{text} has more than one token")
    return ids[0]

# %% wrong 00.4: returns the list with the id
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text} is not one token")
    return ids

# %% wrong 00.4: puts a space in front itself, although the text has its own
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(" " + text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text} is not one token")
    return ids[0]

# %% wrong 00.4: returns the token, not its id
def single_token_id(tokenizer, text):
    enc = tokenizer.encode(text, add_special_tokens=False)
    if len(enc.tokens) != 1:
        raise ValueError(f"{text} is not one token")
    return enc.tokens[0]

# %% wrong 00.4: returns -1 instead of raising
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return ids[0] if len(ids) == 1 else -1

# %% wrong 00.4: the message names the ids but not the text
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    try:
        (only,) = ids
    except ValueError:
        raise ValueError(f"expected one token, got {ids}") from None
    return only

# %% wrong 00.4: unpacking error is a ValueError but without the text
def single_token_id(tokenizer, text):
    (only,) = tokenizer.encode(text, add_special_tokens=False).ids
    return only

# %% right 00.4: plain
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"'{text}' is {len(ids)} tokens, not one")
    return ids[0]

# %% right 00.4: unpacking, raised again with the text
def single_token_id(tokenizer, text):
    try:
        [token_id] = tokenizer.encode(text, add_special_tokens=False).ids
    except ValueError as err:
        raise ValueError("not exactly one token: " + text) from err
    return token_id

# %% right 00.4: by the pieces, then token_to_id
def single_token_id(tokenizer, text):
    tokens = tokenizer.encode(text, add_special_tokens=False).tokens
    if len(tokens) == 1:
        return tokenizer.token_to_id(tokens[0])
    raise ValueError("%s: %d tokens" % (text, len(tokens)))

# %% right 00.4: encode_batch
def single_token_id(tokenizer, text):
    ids = tokenizer.encode_batch([text], add_special_tokens=False)[0].ids
    if len(ids) == 1:
        return int(ids[0])
    raise ValueError(f"[{text}] gives {ids}")

# %% wrong 00.5: mask by comparing with PAD, so BOS (same id) counts as padding
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    rows = []
    for s in seqs:
        fill = [PAD] * (width - len(s))
        rows.append(fill + list(s) if side == "left" else list(s) + fill)
    tokens = torch.tensor(rows)
    return tokens, tokens != PAD

# %% wrong 00.5: sides swapped
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    tokens = torch.full((len(seqs), width), PAD)
    mask = torch.zeros(len(seqs), width, dtype=torch.bool)
    for i, s in enumerate(seqs):
        if side == "right":
            tokens[i, width - len(s) :] = torch.tensor(s)
            mask[i, width - len(s) :] = True
        else:
            tokens[i, : len(s)] = torch.tensor(s)
            mask[i, : len(s)] = True
    return tokens, mask

# %% wrong 00.5: slice -len(s): for left is fine, but the mask is always on the left part
def pad_batch(seqs, side):
    width = max(map(len, seqs))
    tokens = torch.zeros(len(seqs), width, dtype=torch.long)
    mask = torch.zeros(len(seqs), width, dtype=torch.bool)
    for i, s in enumerate(seqs):
        if side == "left":
            tokens[i, -len(s) :] = torch.tensor(s)
        else:
            tokens[i, : len(s)] = torch.tensor(s)
        mask[i, : len(s)] = True
    return tokens, mask

# %% wrong 00.5: changes the given lists in place
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    lengths = [len(s) for s in seqs]
    for s in seqs:
        while len(s) < width:
            if side == "left":
                s.insert(0, PAD)
            else:
                s.append(PAD)
    pos = torch.arange(width)
    n = torch.tensor(lengths)[:, None]
    mask = pos >= width - n if side == "left" else pos < n
    return torch.tensor(seqs), mask

# %% wrong 00.5: mask is inverted (True at padding)
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    tokens, mask = [], []
    for s in seqs:
        k = width - len(s)
        if side == "left":
            tokens.append([PAD] * k + s)
            mask.append([True] * k + [False] * len(s))
        else:
            tokens.append(s + [PAD] * k)
            mask.append([False] * len(s) + [True] * k)
    return torch.tensor(tokens), torch.tensor(mask)

# %% wrong 00.5: mask of ints, not bools
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    tokens, mask = [], []
    for s in seqs:
        k = width - len(s)
        if side == "left":
            tokens.append([PAD] * k + s)
            mask.append([0] * k + [1] * len(s))
        else:
            tokens.append(s + [PAD] * k)
            mask.append([1] * len(s) + [0] * k)
    return torch.tensor(tokens), torch.tensor(mask)

# %% wrong 00.5: always pads on the right, whatever the side
def pad_batch(seqs, side):
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(s) for s in seqs], batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(s) for s in seqs])
    mask = torch.arange(tokens.shape[1])[None] < lengths[:, None]
    return tokens, mask

# %% wrong 00.5: forgets batch_first, so the tensors are [s, b]
def pad_batch(seqs, side):
    rows = [torch.tensor(s) for s in seqs]
    ones = [torch.ones(len(s), dtype=torch.bool) for s in seqs]
    if side == "left":
        rows, ones = [r.flip(0) for r in rows], [o.flip(0) for o in ones]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, padding_value=PAD)
    mask = torch.nn.utils.rnn.pad_sequence(ones)
    if side == "left":
        tokens, mask = tokens.flip(0), mask.flip(0)
    return tokens, mask

# %% wrong 00.5: left padding by flipping, but the rows are never flipped back first: order reversed
def pad_batch(seqs, side):
    rows = [torch.tensor(s) for s in seqs]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(s) for s in seqs])
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    if side == "left":
        tokens, mask = tokens.flip(1), mask.flip(1)
    return tokens, mask

# %% wrong 00.5: width of the first sequence, longer ones are cut
def pad_batch(seqs, side):
    width = len(seqs[0])
    tokens, mask = [], []
    for s in seqs:
        k = max(width - len(s), 0)
        s = s[:width]
        if side == "left":
            tokens.append([PAD] * k + s)
            mask.append([False] * k + [True] * len(s))
        else:
            tokens.append(s + [PAD] * k)
            mask.append([True] * len(s) + [False] * k)
    return torch.tensor(tokens), torch.tensor(mask)

# %% wrong 00.5: on the left, keeps BOS in front and pads behind it
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    tokens, mask = [], []
    for s in seqs:
        k = width - len(s)
        if side == "left":
            tokens.append(s[:1] + [PAD] * k + s[1:])
            mask.append([True] + [False] * k + [True] * (len(s) - 1))
        else:
            tokens.append(s + [PAD] * k)
            mask.append([True] * len(s) + [False] * k)
    return torch.tensor(tokens), torch.tensor(mask)

# %% wrong 00.5: one column of padding too many
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs) + 1
    tokens = torch.full((len(seqs), width), PAD)
    mask = torch.zeros((len(seqs), width), dtype=torch.bool)
    for i, s in enumerate(seqs):
        where = slice(width - len(s), width) if side == "left" else slice(0, len(s))
        tokens[i, where] = torch.tensor(s)
        mask[i, where] = True
    return tokens, mask

# %% wrong 00.5: patches column 0 of the mask only, which is wrong for left padding
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    rows = [([PAD] * (width - len(s)) + s) if side == "left" else (s + [PAD] * (width - len(s))) for s in seqs]
    tokens = torch.tensor(rows)
    mask = tokens != PAD
    mask[:, 0] = True
    return tokens, mask

# %% right 00.5: lists
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    tokens, mask = [], []
    for s in seqs:
        k = width - len(s)
        if side == "left":
            tokens.append([PAD] * k + s)
            mask.append([False] * k + [True] * len(s))
        else:
            tokens.append(s + [PAD] * k)
            mask.append([True] * len(s) + [False] * k)
    return torch.tensor(tokens), torch.tensor(mask)

# %% right 00.5: slices into zero tensors
def pad_batch(seqs, side):
    width = max(map(len, seqs))
    tokens = torch.full((len(seqs), width), PAD, dtype=torch.int64)
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    for i, s in enumerate(seqs):
        where = slice(width - len(s), None) if side == "left" else slice(None, len(s))
        tokens[i, where] = torch.tensor(s, dtype=torch.int64)
        mask[i, where] = True
    return tokens, mask

# %% right 00.5: mask from lengths, other sides refused
def pad_batch(seqs, side):
    if side not in ("left", "right"):
        raise ValueError(side)
    lengths = torch.tensor([len(s) for s in seqs])
    width = int(lengths.max())
    pos = torch.arange(width).expand(len(seqs), width)
    if side == "right":
        mask = pos < lengths[:, None]
    else:
        mask = pos >= (width - lengths)[:, None]
    tokens = torch.full((len(seqs), width), PAD)
    tokens[mask] = torch.tensor([t for s in seqs for t in s])
    return tokens, mask

# %% right 00.5: pad_sequence with flips
def pad_batch(seqs, side):
    pad = torch.nn.utils.rnn.pad_sequence
    step = -1 if side == "left" else 1
    rows = [torch.tensor(s[::step]) for s in seqs]
    tokens = pad(rows, batch_first=True, padding_value=PAD)
    mask = pad([torch.ones_like(r, dtype=torch.bool) for r in rows], batch_first=True)
    return (tokens.flip(1), mask.flip(1)) if side == "left" else (tokens, mask)

# %% right 00.5: F.pad for each row
def pad_batch(seqs, side):
    import torch.nn.functional as F

    width = max(len(s) for s in seqs)
    toks, masks = [], []
    for s in seqs:
        gap = width - len(s)
        amount = (gap, 0) if side == "left" else (0, gap)
        toks.append(F.pad(torch.tensor(s), amount, value=PAD))
        masks.append(F.pad(torch.ones(len(s)), amount).bool())
    return torch.stack(toks), torch.stack(masks)

# %% wrong 00.6: argmax gives 0 when the token does not occur, nothing raised
def token_position(token, tokens, mode):
    hits = (tokens == token).int()
    if mode == "first":
        return int(hits.argmax())
    return len(tokens) - 1 - int(hits.flip(0).argmax())

# %% wrong 00.6: IndexError instead of ValueError when the token does not occur
def token_position(token, tokens, mode):
    where = (tokens == token).nonzero()[:, 0]
    return int(where[0] if mode == "first" else where[-1])

# %% wrong 00.6: "last" is counted from the end
def token_position(token, tokens, mode):
    ids = tokens.tolist()
    if token not in ids:
        raise ValueError(f"{token} does not occur")
    if mode == "first":
        return ids.index(token)
    return ids[::-1].index(token)

# %% wrong 00.6: "last" off by one
def token_position(token, tokens, mode):
    ids = tokens.tolist()
    if mode == "first":
        return ids.index(token)
    return len(ids) - ids[::-1].index(token)

# %% wrong 00.6: counts without BOS
def token_position(token, tokens, mode):
    ids = tokens.tolist()[1:]
    if mode == "first":
        return ids.index(token)
    return len(ids) - 1 - ids[::-1].index(token)

# %% wrong 00.6: looks only behind BOS, so BOS' own position 0 is never found
def token_position(token, tokens, mode):
    where = [i for i in range(1, len(tokens)) if tokens[i] == token]
    if not where:
        raise ValueError(f"token {token} does not occur")
    return where[0] if mode == "first" else where[-1]

# %% wrong 00.6: returns a tensor, not an int
def token_position(token, tokens, mode):
    where = torch.where(tokens == token)[0]
    if len(where) == 0:
        raise ValueError("token does not occur")
    return where[0] if mode == "first" else where[-1]

# %% wrong 00.6: bare squeeze, so a single occurrence gives a 0-d tensor that cannot be indexed
def token_position(token, tokens, mode):
    where = (tokens == token).nonzero().squeeze()
    if where.numel() == 0:
        raise ValueError("token does not occur")
    return where[0].item() if mode == "first" else where[-1].item()

# %% wrong 00.6: always the first
def token_position(token, tokens, mode="first"):
    return tokens.tolist().index(token)

# %% wrong 00.6: position 0 is falsy and taken for "not found"
def token_position(token, tokens, mode):
    pos = None
    for i, t in enumerate(tokens.tolist()):
        if t == token and (mode == "last" or not pos):
            pos = i
    if not pos:
        raise ValueError(f"{token} not found")
    return pos

# %% wrong 00.6: returns -1 when the token does not occur
def token_position(token, tokens, mode):
    pos = -1
    for i, t in enumerate(tokens.tolist()):
        if t == token:
            pos = i
            if mode == "first":
                break
    return pos

# %% wrong 00.6: first and last swapped
def token_position(token, tokens, mode):
    where = [i for i, t in enumerate(tokens.tolist()) if t == token]
    if not where:
        raise ValueError("no such token")
    return max(where) if mode == "first" else min(where)

# %% wrong 00.6: adds 1 for a BOS that is already in the tokens
def token_position(token, tokens, mode):
    where = [i for i, t in enumerate(tokens.tolist()) if t == token]
    if not where:
        raise ValueError("no such token")
    return (where[0] if mode == "first" else where[-1]) + 1

# %% right 00.6: list methods
def token_position(token, tokens, mode):
    ids = tokens.tolist()
    if mode == "first":
        return ids.index(token)
    return len(ids) - 1 - ids[::-1].index(token)

# %% right 00.6: nonzero
def token_position(token, tokens, mode):
    where = (tokens == token).nonzero().flatten()
    if where.numel() == 0:
        raise ValueError(f"token {token} does not occur")
    return where[0 if mode == "first" else -1].item()

# %% right 00.6: loop over the positions in the fitting direction
def token_position(token, tokens, mode):
    order = range(len(tokens))
    if mode == "last":
        order = reversed(order)
    for i in order:
        if int(tokens[i]) == token:
            return i
    raise ValueError(f"{token} is not among the tokens")

# %% right 00.6: min and max, ValueError of the empty sequence
def token_position(token, tokens, mode):
    pick = {"first": min, "last": max}[mode]
    return pick(i for i, t in enumerate(tokens.tolist()) if t == token)

# %% right 00.6: argmax after a check
def token_position(token, tokens, mode):
    hits = tokens == token
    if not hits.any():
        raise ValueError("does not occur")
    if mode == "first":
        return int(hits.int().argmax())
    return int((hits * torch.arange(1, len(tokens) + 1)).argmax())

# %% right 00.3: places of every pair, replaced from the end
def train_bpe(text, n_merges):
    def spans(pieces, pair):
        found, i = [], 0
        while i + 1 < len(pieces):
            if (pieces[i], pieces[i + 1]) == pair:
                found.append(i)
                i += 2
            else:
                i += 1
        return found

    pieces, merges = list(text), []
    for _ in range(n_merges):
        table = {pair: spans(pieces, pair) for pair in pairwise(pieces)}
        if not table:
            break
        best, most = None, 0
        for pair in sorted(table):
            if len(table[pair]) > most:
                best, most = pair, len(table[pair])
        merges.append(best)
        for i in reversed(table[best]):
            pieces[i : i + 2] = ["".join(best)]
    return merges

# %% right 00.3: stack: each piece is pushed, or merged with the unmerged piece on top
def apply_bpe(text, merges):
    pieces = list(text)
    for left, right in merges:
        stack, fresh = [], False
        for p in pieces:
            if stack and not fresh and stack[-1] == left and p == right:
                stack[-1] = left + right
                fresh = True
            else:
                stack.append(p)
                fresh = False
        pieces = stack
    return pieces

# %% right 00.4: match statement
def single_token_id(tokenizer, text):
    match tokenizer.encode(text, add_special_tokens=False).ids:
        case [one]:
            return one
        case many:
            raise ValueError(f"{text} is {len(many)} tokens")

# %% wrong 00.1: characters in the order in which they first occur
def build_vocab(texts):
    stoi = {BOS: 0}
    for text in texts:
        for c in text:
            if c not in stoi:
                stoi[c] = len(stoi)
    return stoi, {i: c for c, i in stoi.items()}

# %% wrong 00.1: only printable characters, so a newline gets no id
def build_vocab(texts):
    chars = sorted({c for t in texts for c in t if c.isprintable()})
    symbols = [BOS] + chars
    return {c: i for i, c in enumerate(symbols)}, dict(enumerate(symbols))

# %% wrong 00.1: sorted without case
def build_vocab(texts):
    chars = sorted(set("".join(texts)), key=lambda c: (c.lower(), c))
    symbols = [BOS, *chars]
    return {c: i for i, c in enumerate(symbols)}, {i: c for i, c in enumerate(symbols)}

# %% wrong 00.2: BOS is taken to be 0
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids = [0] + ids
    return torch.tensor(ids, dtype=torch.int64)

# %% wrong 00.2: an empty text becomes floats
def encode(text, stoi, prepend_bos=True):
    ids = ([stoi[BOS]] if prepend_bos else []) + [stoi[c] for c in text]
    return torch.tensor(ids)

# %% wrong 00.2: whitespace at the ends is stripped
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text.strip()]
    if prepend_bos:
        ids.insert(0, stoi[BOS])
    return torch.tensor(ids, dtype=torch.long)

# %% wrong 00.3: ties by the joined text instead of the tuple
def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    for _ in range(n_merges):
        counts, i = {}, 0
        last = {}
        for i, pair in enumerate(pairwise(pieces)):
            if last.get(pair) == i - 1 and pair[0] == pair[1]:
                last[pair] = -5
                continue
            last[pair] = i
            counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = min(counts, key=lambda p: (-counts[p], p[0] + p[1]))
        merges.append(best)
        pieces = apply_one(pieces, best)
    return merges

def apply_one(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i:i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out

# %% wrong 00.3: merges are applied as long as any applies, the first rank first
def apply_bpe(text, merges):
    pieces = list(text)
    changed = True
    while changed:
        changed = False
        for a, b in reversed(merges):
            for i in range(len(pieces) - 1):
                if (pieces[i], pieces[i + 1]) == (a, b):
                    pieces[i:i + 2] = [a + b]
                    changed = True
                    break
    return pieces

# %% wrong 00.4: a text that decodes to something else by stripping
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text.strip(), add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is not one token")
    return ids[0]

# %% wrong 00.5: mask by comparing with PAD
def pad_batch(seqs, side):
    width = max(len(s) for s in seqs)
    rows = [s + [PAD] * (width - len(s)) if side == "right" else [PAD] * (width - len(s)) + s for s in seqs]
    tokens = torch.tensor(rows)
    return tokens, tokens != PAD

# %% wrong 00.5: left padding reverses the sequence
def pad_batch(seqs, side):
    width = max(map(len, seqs))
    tokens = torch.full((len(seqs), width), PAD, dtype=torch.long)
    mask = torch.zeros(len(seqs), width, dtype=torch.bool)
    for i, s in enumerate(seqs):
        t = torch.tensor(s, dtype=torch.long)
        if side == "left":
            tokens[i, -len(s):] = t
            mask[i, len(s):] = True
        else:
            tokens[i, : len(s)] = t
            mask[i, : len(s)] = True
    return tokens, mask

# %% wrong 00.6: the last one is looked for without position 0
def token_position(token, tokens, mode):
    places = (tokens == token).nonzero().flatten().tolist()
    if not places:
        raise ValueError(f"{token} is not in {tokens}")
    if mode == "first":
        return places[0]
    return max(p for p in places if p > 0) if any(places) else -1

# %% right 00.1: by code point with ord and a range of all
def build_vocab(texts):
    seen = frozenset().union(*map(set, texts)) if texts else frozenset()
    itos = dict(zip(range(len(seen) + 1), (BOS, *map(chr, sorted(map(ord, seen))))))
    return {s: n for n, s in itos.items()}, itos

# %% right 00.2: a tensor filled in place
def encode(text, stoi, prepend_bos=True):
    out = torch.empty(len(text) + bool(prepend_bos), dtype=torch.int64)
    if prepend_bos:
        out[0] = stoi[BOS]
    for i, c in enumerate(text, start=int(prepend_bos)):
        out[i] = stoi[c]
    return out

# %% right 00.3: counting by really merging
def train_bpe(text, n_merges):
    words, learned = list(text), []

    def merged(pair):
        out, k = [], 0
        while k < len(words):
            if k + 1 < len(words) and words[k] == pair[0] and words[k + 1] == pair[1]:
                out += ["".join(pair)]
                k += 2
            else:
                out += [words[k]]
                k += 1
        return out

    while len(learned) < n_merges and len(words) > 1:
        options = sorted(set(zip(words, words[1:])))
        saved = [len(words) - len(merged(p)) for p in options]
        best = options[saved.index(max(saved))]
        words = merged(best)
        learned.append(best)
    return learned

# %% right 00.3: a recursive split and join
def apply_bpe(text, merges):
    def run(pieces, rest):
        if not rest:
            return pieces
        a, b = rest[0]
        out = []
        for p in pieces:
            if out and out[-1] == a and p == b and not (isinstance(out[-1], Joined)):
                out[-1] = Joined(a + b)
            else:
                out.append(p)
        return run([str(p) for p in out], rest[1:])

    return run(list(text), list(merges))

class Joined(str):
    def __eq__(self, other):
        return False

    __hash__ = str.__hash__

# %% right 00.4: decoding back and comparing
def single_token_id(tokenizer, text):
    encoding = tokenizer.encode(text, add_special_tokens=False)
    match encoding.ids:
        case [only]:
            return only
    raise ValueError("not a single token: " + repr(text))

# %% right 00.5: pad_sequence on flipped rows
def pad_batch(seqs, side):
    from torch.nn.utils.rnn import pad_sequence

    flip = (lambda t: t.flip(-1)) if side == "left" else (lambda t: t)
    rows = [flip(torch.tensor(s, dtype=torch.int64)) for s in seqs]
    tokens = pad_sequence(rows, batch_first=True, padding_value=PAD)
    mask = pad_sequence([torch.ones_like(r, dtype=torch.bool) for r in rows], batch_first=True)
    return flip(tokens), flip(mask)

# %% right 00.5: a mask from lengths
def pad_batch(seqs, side):
    lengths = torch.tensor([len(s) for s in seqs])
    width = int(lengths.max())
    columns = torch.arange(width)[None, :]
    mask = columns < lengths[:, None] if side == "right" else columns >= width - lengths[:, None]
    tokens = torch.zeros(len(seqs), width, dtype=torch.long) + PAD
    tokens[mask] = torch.tensor([t for s in seqs for t in s], dtype=torch.long)
    return tokens, mask

# %% right 00.6: list.index, on the reversed list for the last
def token_position(token, tokens, mode):
    ids = [int(t) for t in tokens]
    if mode == "last":
        return len(ids) - 1 - ids[::-1].index(token)
    return ids.index(token)


# %% wrong 00.1: characters numbered in order of first occurrence, not by code point
def build_vocab(texts):
    stoi = {BOS: 0}
    for text in texts:
        for ch in text:
            if ch not in stoi:
                stoi[ch] = len(stoi)
    return stoi, {i: s for s, i in stoi.items()}


# %% wrong 00.1: BOS is sorted in among the characters, so it is not 0 when a character below "<" (space, digit, "!") occurs
def build_vocab(texts):
    symbols = sorted({BOS}.union(*map(set, texts)))
    stoi = {s: i for i, s in enumerate(symbols)}
    return stoi, dict(enumerate(symbols))


# %% wrong 00.1: set.union over the list through reduce raises TypeError when there are no texts
from functools import reduce


def build_vocab(texts):
    chars = reduce(set.union, [set(t) for t in texts])
    symbols = [BOS] + sorted(chars)
    return {s: i for i, s in enumerate(symbols)}, {i: s for i, s in enumerate(symbols)}


# %% wrong 00.1: sorted case-insensitively ("a" before "B"), which is not the order of code points
def build_vocab(texts):
    chars = sorted(set("".join(texts)), key=lambda c: (c.lower(), c))
    itos = {0: BOS, **{i: c for i, c in enumerate(chars, 1)}}
    return {c: i for i, c in itos.items()}, itos


# %% wrong 00.1: each text is stripped first, so a newline or space that occurs only at the ends of texts gets no id
def build_vocab(texts):
    chars = sorted({c for t in texts for c in t.strip()})
    stoi = {BOS: 0} | {c: i + 1 for i, c in enumerate(chars)}
    itos = {i: c for c, i in stoi.items()}
    return stoi, itos


# %% wrong 00.1: state kept between calls: the characters of earlier calls are still in a module-level set
_seen_chars = set()


def build_vocab(texts):
    for t in texts:
        _seen_chars.update(t)
    symbols = [BOS, *sorted(_seen_chars)]
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


# %% right 00.1: set of the joined text, enumerate
def build_vocab(texts):
    symbols = [BOS] + sorted(set("".join(texts)))
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


# %% right 00.1: code points as numbers, explicit loops
def build_vocab(texts):
    points = set()
    for text in texts:
        for ch in text:
            points.add(ord(ch))
    stoi, itos = {}, {}
    stoi[BOS] = 0
    itos[0] = BOS
    n = 1
    for point in sorted(points):
        stoi[chr(point)] = n
        itos[n] = chr(point)
        n += 1
    return stoi, itos


# %% wrong 00.2: no dtype given: an empty text without BOS becomes a float32 tensor
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids = [stoi[BOS]] + ids
    return torch.tensor(ids)


# %% wrong 00.2: int32 instead of int64
def encode(text, stoi, prepend_bos=True):
    ids = ([stoi[BOS]] if prepend_bos else []) + [stoi[c] for c in text]
    return torch.tensor(ids, dtype=torch.int32)


# %% wrong 00.2: puts the constant 0 in front, not stoi[BOS], which a given stoi may number otherwise
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids.insert(0, 0)
    return torch.tensor(ids, dtype=torch.int64)


# %% wrong 00.2: an empty text gets no BOS although prepend_bos is true
def encode(text, stoi, prepend_bos=True):
    if not text:
        return torch.zeros(0, dtype=torch.long)
    head = [stoi[BOS]] if prepend_bos else []
    return torch.tensor(head + [stoi[c] for c in text], dtype=torch.long)


# %% wrong 00.2: returns a batch of one, shape [1, s] instead of [s]
def encode(text, stoi, prepend_bos=True):
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids = [stoi[BOS], *ids]
    return torch.tensor([ids], dtype=torch.int64)


# %% right 00.2: one list, dtype given
def encode(text, stoi, prepend_bos=True):
    symbols = [BOS, *text] if prepend_bos else list(text)
    return torch.tensor([stoi[s] for s in symbols], dtype=torch.int64)


# %% right 00.2: preallocated tensor, filled in a loop
def encode(text, stoi, prepend_bos=True):
    off = 1 if prepend_bos else 0
    out = torch.empty(len(text) + off, dtype=torch.long)
    if prepend_bos:
        out[0] = stoi[BOS]
    for i in range(len(text)):
        out[i + off] = stoi[text[i]]
    return out


# %% wrong 00.3: train_bpe counts overlapping pairs ("aaa" counts as two "aa")
from collections import Counter


def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    for _ in range(n_merges):
        counts = Counter(pairwise(pieces))
        if not counts:
            break
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, pair)
    return pieces


# %% wrong 00.3: train_bpe skips a pair equal to the one just before it, even when that one was itself skipped ("aaaa" counts 1, should be 2)
from collections import Counter


def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts, previous = Counter(), None
        for pair in pairwise(pieces):
            if pair != previous:
                counts[pair] += 1
            previous = pair
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, pair)
    return pieces


# %% wrong 00.3: train_bpe breaks ties by the joined string, not by the tuple (("aa", "b") is taken before ("a", "z"))
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in set(pairwise(pieces))}
        best = min(sorted(counts), key=lambda p: (-counts[p], "".join(p)))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, pair)
    return pieces


# %% wrong 00.3: train_bpe stops when no pair occurs twice, although once is enough
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in set(pairwise(pieces))}
        best = min(counts, key=lambda p: (-counts[p], p))
        if counts[best] < 2:
            break
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, pair)
    return pieces


# %% wrong 00.3: train_bpe takes the first-seen of several most frequent pairs (max over a dict), not the one that sorts first
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in pairwise(pieces)}
        best = max(counts, key=counts.get)
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, pair)
    return pieces


# %% wrong 00.3: train_bpe raises ValueError (min of nothing) when one piece or none is left, instead of returning fewer merges
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    for _ in range(n_merges):
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in set(pairwise(pieces))}
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, pair)
    return pieces


# %% wrong 00.3: train_bpe jumps over both pieces after every counted pair, whichever it was, so "abab" counts no "ba"
from collections import Counter


def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = Counter()
        for i in range(0, len(pieces) - 1, 2):
            counts[pieces[i], pieces[i + 1]] += 1
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, pair)
    return pieces


# %% wrong 00.3: apply_bpe has the loops swapped: at each position it tries all merges, so a later merge on the left wins over an earlier one on the right
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in set(pairwise(pieces))}
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces, i = list(text), 0
    while i < len(pieces) - 1:
        for a, b in merges:
            if pieces[i] == a and pieces[i + 1 : i + 2] == [b]:
                pieces[i : i + 2] = [a + b]
        i += 1
    return pieces


# %% wrong 00.3: apply_bpe goes from right to left, so "aaa" becomes "a", "aa"
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in set(pairwise(pieces))}
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        i = len(pieces) - 2
        while i >= 0:
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i : i + 2] = [a + b]
                i -= 1
            i -= 1
    return pieces


# %% wrong 00.3: apply_bpe takes the longest known piece at each place (as WordPiece does), ignoring the order of the merges
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in set(pairwise(pieces))}
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    known = {a + b for a, b in merges}
    pieces, i = [], 0
    while i < len(text):
        j = len(text)
        while j > i + 1 and text[i:j] not in known:
            j -= 1
        pieces.append(text[i:j])
        i = j
    return pieces


# %% wrong 00.3: apply_bpe loses the last piece whenever it is not part of a merged pair
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in set(pairwise(pieces))}
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        out, i = [], 0
        while i < len(pieces) - 1:
            if pieces[i] == a and pieces[i + 1] == b:
                out.append(a + b)
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return pieces


# %% right 00.3: a pair's count is by how much its merge shortens the list
def _merge(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text, n_merges):
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {p: len(pieces) - len(_merge(pieces, p)) for p in set(pairwise(pieces))}
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text, merges):
    from functools import reduce

    return reduce(_merge, merges, list(text))


# %% right 00.3: one pass remembers where each pair was last counted; pieces are replaced in place by slices
def train_bpe(text, n_merges):
    pieces = list(text)
    learned = []
    for _ in range(n_merges):
        if len(pieces) < 2:
            return learned
        count, last = {}, {}
        for i in range(len(pieces) - 1):
            pair = (pieces[i], pieces[i + 1])
            if pair in last and last[pair] == i - 1:
                continue
            last[pair] = i
            count[pair] = count.get(pair, 0) + 1
        top = max(count.values())
        a, b = sorted(p for p, c in count.items() if c == top)[0]
        learned.append((a, b))
        i = 0
        while i < len(pieces) - 1:
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i : i + 2] = [a + b]
            i += 1
    return learned


def apply_bpe(text, merges):
    pieces = [c for c in text]
    for a, b in merges:
        i = 0
        while i < len(pieces) - 1:
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i] = a + b
                del pieces[i + 1]
            i += 1
    return pieces


# %% wrong 00.4: a BOS that the tokenizer adds by itself is counted, so " Mary" raises with such a tokenizer
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens")
    return ids[0]


# %% wrong 00.4: an empty text raises IndexError, not ValueError
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) > 1:
        raise ValueError(f"{text!r} is not one token")
    return ids[0]


# %% wrong 00.4: removes every BOS by its id, also one that stands in the text ("<|endoftext|>" itself raises; "<|endoftext|> Mary" passes)
def single_token_id(tokenizer, text):
    bos = tokenizer.token_to_id(BOS)
    ids = [i for i in tokenizer.encode(text).ids if i != bos]
    if len(ids) != 1:
        raise ValueError(f"{text!r} is not one token")
    return ids[0]


# %% wrong 00.4: switches off the post-processor of the caller's tokenizer and leaves it so
from tokenizers import processors


def single_token_id(tokenizer, text):
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    ids = tokenizer.encode(text).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is not one token")
    return ids[0]


# %% wrong 00.4: the message of the ValueError does not hold the text
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"expected one token, got {len(ids)}")
    return ids[0]


# %% wrong 00.4: strips the text, so " Mary" gets the id (or error) of "Mary"
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text.strip(), add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is not one token")
    return ids[0]


# %% wrong 00.4: always drops the first id as if it were a BOS; without an automatic BOS " Mary" raises and two tokens pass as one
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text).ids[1:]
    if len(ids) != 1:
        raise ValueError(f"{text!r} is not one token")
    return ids[0]


# %% right 00.4: encode without special tokens, unpack
def single_token_id(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    try:
        (only,) = ids
    except ValueError:
        raise ValueError(f"not one token but {len(ids)}: {text}") from None
    return only


# %% right 00.4: works on a copy of the tokenizer without padding and truncation
def single_token_id(tokenizer, text):
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    [encoding] = copy.encode_batch([text], add_special_tokens=False)
    if len(encoding) == 1:
        return int(encoding.ids[0])
    raise ValueError("not exactly one token: " + text)


# %% wrong 00.5: mask is tokens != PAD, so every BOS counts as padding
def pad_batch(seqs, side):
    n = max(len(s) for s in seqs)
    rows = [s + [PAD] * (n - len(s)) if side == "right" else [PAD] * (n - len(s)) + s for s in seqs]
    tokens = torch.tensor(rows, dtype=torch.int64)
    return tokens, tokens != PAD


# %% wrong 00.5: mask repaired only at the first BOS of each row; a BOS that a sequence holds again is masked out
def pad_batch(seqs, side):
    n = max(len(s) for s in seqs)
    rows = [s + [PAD] * (n - len(s)) if side == "right" else [PAD] * (n - len(s)) + s for s in seqs]
    tokens = torch.tensor(rows, dtype=torch.int64)
    mask = tokens != PAD
    for i, s in enumerate(seqs):
        mask[i, 0 if side == "right" else n - len(s)] = True
    return tokens, mask


# %% wrong 00.5: mask guessed from the tokens (everything up to the last non-PAD, or from the BOS before the first non-PAD): a BOS at the end, or two at the start, is lost
def pad_batch(seqs, side):
    n = max(map(len, seqs))
    tokens = torch.full((len(seqs), n), PAD, dtype=torch.int64)
    mask = torch.zeros(len(seqs), n, dtype=torch.bool)
    for i, s in enumerate(seqs):
        if side == "right":
            tokens[i, : len(s)] = torch.tensor(s)
        else:
            tokens[i, n - len(s) :] = torch.tensor(s)
        real = (tokens[i] != PAD).nonzero().flatten().tolist()
        if side == "right":
            mask[i, : (real[-1] + 1 if real else 1)] = True
        else:
            mask[i, (real[0] - 1 if real else n - 1) :] = True
    return tokens, mask


# %% wrong 00.5: pads the caller's lists in place
def pad_batch(seqs, side):
    lengths = [len(s) for s in seqs]
    n = max(lengths)
    for s in seqs:
        while len(s) < n:
            s.insert(len(s) if side == "right" else 0, PAD)
    pos = torch.arange(n)
    size = torch.tensor(lengths)[:, None]
    mask = pos < size if side == "right" else pos >= n - size
    return torch.tensor(seqs, dtype=torch.int64), mask


# %% wrong 00.5: the left side puts the padding on the left of the tokens but the mask still as for the right
def pad_batch(seqs, side):
    n = max(len(s) for s in seqs)
    tokens = torch.full((len(seqs), n), PAD, dtype=torch.long)
    for i, s in enumerate(seqs):
        start = n - len(s) if side == "left" else 0
        tokens[i, start : start + len(s)] = torch.tensor(s)
    mask = torch.arange(n)[None] < torch.tensor([len(s) for s in seqs])[:, None]
    return tokens, mask


# %% wrong 00.5: mask holds int64 ones and zeros, not bool
def pad_batch(seqs, side):
    n = max(len(s) for s in seqs)
    tokens, mask = [], []
    for s in seqs:
        fill = n - len(s)
        if side == "left":
            tokens.append([PAD] * fill + s)
            mask.append([0] * fill + [1] * len(s))
        else:
            tokens.append(s + [PAD] * fill)
            mask.append([1] * len(s) + [0] * fill)
    return torch.tensor(tokens), torch.tensor(mask)


# %% wrong 00.5: left padding by flipping the right-padded batch, without turning the tokens round first: sequences come out backwards
def pad_batch(seqs, side):
    rows = [torch.tensor(s, dtype=torch.int64) for s in seqs]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    mask = torch.arange(tokens.shape[1]) < torch.tensor([len(s) for s in seqs])[:, None]
    if side == "left":
        tokens, mask = tokens.flip(1), mask.flip(1)
    return tokens, mask


# %% right 00.5: mask from lengths, tokens put in by the mask
def pad_batch(seqs, side):
    lengths = torch.tensor([len(s) for s in seqs])
    n = int(lengths.max())
    mask = torch.arange(n) < lengths[:, None]
    if side == "left":
        mask = mask.flip(1)
    tokens = torch.full(mask.shape, PAD, dtype=torch.int64)
    tokens[mask] = torch.tensor([t for s in seqs for t in s], dtype=torch.int64)
    return tokens, mask


# %% right 00.5: pad_sequence on reversed rows, turned round again, for the left
def pad_batch(seqs, side):
    pad = torch.nn.utils.rnn.pad_sequence
    if side == "right":
        tokens = pad([torch.tensor(s, dtype=torch.long) for s in seqs], batch_first=True, padding_value=PAD)
        mask = pad([torch.ones(len(s), dtype=torch.bool) for s in seqs], batch_first=True, padding_value=False)
        return tokens, mask
    tokens = pad([torch.tensor(s[::-1], dtype=torch.long) for s in seqs], batch_first=True, padding_value=PAD)
    mask = pad([torch.ones(len(s), dtype=torch.bool) for s in seqs], batch_first=True, padding_value=False)
    return tokens.flip(-1), mask.flip(-1)


# %% wrong 00.6: a token that does not occur gives 0 (argmax of all False), no ValueError
def token_position(token, tokens, mode):
    hits = (tokens == token).int()
    if mode == "first":
        return int(hits.argmax())
    return len(tokens) - 1 - int(hits.flip(0).argmax())


# %% wrong 00.6: position 0 is left out, so a BOS there is not found
def token_position(token, tokens, mode):
    where = (tokens[1:] == token).nonzero().flatten()
    if len(where) == 0:
        raise ValueError(f"{token} does not occur")
    return int(where[0 if mode == "first" else -1]) + 1


# %% wrong 00.6: takes index 0 for "not found" (`if not index`) and raises for the BOS at position 0
def token_position(token, tokens, mode):
    index = None
    for i, t in enumerate(tokens.tolist()):
        if t == token:
            index = i
            if mode == "first":
                break
    if not index:
        raise ValueError(f"{token} does not occur")
    return index


# %% wrong 00.6: raises IndexError instead of ValueError when the token does not occur
def token_position(token, tokens, mode):
    where = torch.where(tokens == token)[0]
    return where[0].item() if mode == "first" else where[-1].item()


# %% wrong 00.6: "last" is one too high (counts from the back without the -1)
def token_position(token, tokens, mode):
    ids = tokens.tolist()
    if mode == "first":
        return ids.index(token)
    return len(ids) - ids[::-1].index(token)


# %% wrong 00.6: "last" is given as a negative index, counted from the end
def token_position(token, tokens, mode):
    ids = tokens.tolist()
    if mode == "first":
        return ids.index(token)
    return -1 - ids[::-1].index(token)


# %% wrong 00.6: returns a tensor, not an int, once more
def token_position(token, tokens, mode):
    where = (tokens == token).nonzero()[:, 0]
    if where.numel() == 0:
        raise ValueError(token)
    return where.min() if mode == "first" else where.max()


# %% right 00.6: nonzero, once more
def token_position(token, tokens, mode):
    where = (tokens == token).nonzero().flatten().tolist()
    if not where:
        raise ValueError(f"token {token} does not occur")
    return {"first": where[0], "last": where[-1]}[mode]


# %% right 00.6: plain loops over indices in the wanted direction
def token_position(token, tokens, mode):
    order = range(len(tokens)) if mode == "first" else range(len(tokens) - 1, -1, -1)
    for i in order:
        if int(tokens[i]) == token:
            return i
    raise ValueError(f"no token {token}")


# %% wrong 00.1: joins the texts with newlines, so a newline gets a number
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    chars = sorted(set("\n".join(texts)))
    stoi = {BOS: 0}
    for i, c in enumerate(chars, start=1):
        stoi[c] = i
    return stoi, {i: s for s, i in stoi.items()}


# %% wrong 00.1: reduce without a start value, fails when there are no texts
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    from functools import reduce

    chars = reduce(set.union, (set(t) for t in texts))
    symbols = [BOS] + sorted(chars)
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


# %% wrong 00.1: sorts without regard to case
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    chars = sorted({c for t in texts for c in t}, key=lambda c: (c.lower(), c))
    symbols = [BOS, *chars]
    stoi = {s: i for i, s in enumerate(symbols)}
    itos = dict(enumerate(symbols))
    return stoi, itos


# %% wrong 00.1: itos is made before BOS comes in
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    chars = sorted(set("".join(texts)))
    stoi = {c: i + 1 for i, c in enumerate(chars)}
    itos = {i: c for c, i in stoi.items()}
    stoi[BOS] = 0
    return stoi, itos


# %% wrong 00.1: goes by lines, so line breaks are lost
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    seen = set()
    for text in texts:
        for line in text.splitlines():
            seen.update(line)
    symbols = [BOS] + sorted(seen)
    return {s: i for i, s in enumerate(symbols)}, {i: s for i, s in enumerate(symbols)}


# %% right 00.1: one sorted set
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    itos = dict(enumerate([BOS, *sorted(set("".join(texts)))]))
    return {s: i for i, s in itos.items()}, itos


# %% right 00.1: plain loops, sorted by ord
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    points = set()
    for text in texts:
        for c in text:
            points.add(ord(c))
    stoi, itos = {BOS: 0}, {0: BOS}
    for point in sorted(points):
        n = len(stoi)
        stoi[chr(point)] = n
        itos[n] = chr(point)
    return stoi, itos


# %% wrong 00.2: no dtype, so no ids at all come out as floats
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids = [stoi[BOS]] + ids
    return torch.tensor(ids)


# %% wrong 00.2: BOS is always 0, whatever stoi says
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    ids = [0] if prepend_bos else []
    ids.extend(stoi[c] for c in text)
    return torch.tensor(ids, dtype=torch.int64)


# %% wrong 00.2: an empty text always gives BOS
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    if not text:
        return torch.tensor([stoi[BOS]], dtype=torch.long)
    symbols = ([BOS] if prepend_bos else []) + list(text)
    return torch.tensor([stoi[s] for s in symbols], dtype=torch.long)


# %% wrong 00.2: strips the text first
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    symbols = list(text.strip())
    if prepend_bos:
        symbols.insert(0, BOS)
    return torch.tensor([stoi[s] for s in symbols], dtype=torch.int64)


# %% wrong 00.2: int32, once more
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    ids = [stoi[BOS]] if prepend_bos else []
    ids += [stoi[c] for c in text]
    return torch.IntTensor(ids)


# %% right 00.2: list and dtype
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    symbols = [BOS, *text] if prepend_bos else list(text)
    return torch.tensor([stoi[s] for s in symbols], dtype=torch.int64)


# %% right 00.2: fills an empty tensor
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    shift = 1 if prepend_bos else 0
    out = torch.empty(len(text) + shift, dtype=torch.long)
    if prepend_bos:
        out[0] = stoi[BOS]
    for i, c in enumerate(text):
        out[i + shift] = stoi[c]
    return out


# %% wrong 00.3: counts overlapping pairs too
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    from collections import Counter

    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = Counter(pairwise(pieces))
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        merged, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                merged.append(best[0] + best[1])
                i += 2
            else:
                merged.append(pieces[i])
                i += 1
        pieces = merged
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for pair in merges:
        merged, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == tuple(pair):
                merged.append(pieces[i] + pieces[i + 1])
                i += 2
            else:
                merged.append(pieces[i])
                i += 1
        pieces = merged
    return pieces


# %% wrong 00.3: ties go by the joined string, not by the tuple
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    for _ in range(n_merges):
        if len(pieces) < 2:
            break
        counts, last = {}, {}
        for i, pair in enumerate(pairwise(pieces)):
            if last.get(pair) == i - 1:
                continue
            counts[pair] = counts.get(pair, 0) + 1
            last[pair] = i
        a, b = min(counts, key=lambda p: (-counts[p], "".join(p)))
        merges.append((a, b))
        merged = []
        for piece in pieces:
            if merged and merged[-1] == a and piece == b:
                merged[-1] = a + b
            else:
                merged.append(piece)
        pieces = merged
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for a, b in merges:
        merged = []
        for piece in pieces:
            if merged and merged[-1] == a and piece == b:
                merged[-1] = a + b
            else:
                merged.append(piece)
        pieces = merged
    return pieces


# %% wrong 00.3: stops when no pair occurs twice, once more
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) >= 2:
        counts, last = {}, {}
        for i, pair in enumerate(pairwise(pieces)):
            if last.get(pair) != i - 1:
                counts[pair] = counts.get(pair, 0) + 1
                last[pair] = i
        best = min(counts, key=lambda p: (-counts[p], p))
        if counts[best] < 2:
            break
        merges.append(best)
        merged = []
        for piece in pieces:
            if merged and (merged[-1], piece) == best:
                merged[-1] += piece
            else:
                merged.append(piece)
        pieces = merged
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for a, b in merges:
        merged = []
        for piece in pieces:
            if merged and merged[-1] == a and piece == b:
                merged[-1] = a + b
            else:
                merged.append(piece)
        pieces = merged
    return pieces


# %% wrong 00.3: a run of equal pairs counts once, so "aaaa" is one "aa"
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts = {}
        previous = None
        for pair in pairwise(pieces):
            if pair != previous:
                counts[pair] = counts.get(pair, 0) + 1
            previous = pair
        best = sorted(counts, key=lambda p: (-counts[p], p))[0]
        merges.append(best)
        merged, i = [], 0
        while i < len(pieces):
            if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == best:
                merged.append("".join(best))
                i += 2
            else:
                merged.append(pieces[i])
                i += 1
        pieces = merged
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for a, b in merges:
        i = 0
        while i < len(pieces) - 1:
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i : i + 2] = [a + b]
            i += 1
    return pieces


# %% wrong 00.3: applies by string replacement, which also hits the end of a longer piece
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts, last = {}, {}
        for i, pair in enumerate(pairwise(pieces)):
            if last.get(pair) != i - 1:
                counts[pair] = counts.get(pair, 0) + 1
                last[pair] = i
        best = min(counts, key=lambda p: (-counts[p], p))
        merges.append(best)
        i = 0
        while i < len(pieces) - 1:
            if (pieces[i], pieces[i + 1]) == best:
                pieces[i : i + 2] = ["".join(best)]
            i += 1
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    if not text:
        return []
    sep = "\x00"
    joined = sep.join(text)
    for a, b in merges:
        joined = joined.replace(a + sep + b, a + b)
    return joined.split(sep)


# %% right 00.3: counts by what the merge would save
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    def merge(pieces, pair):
        out, i = [], 0
        while i < len(pieces):
            if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == pair:
                out.append(pieces[i] + pieces[i + 1])
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        return out

    pieces = list(text)
    merges = []
    while len(merges) < n_merges and len(pieces) > 1:
        options = {pair: merge(pieces, pair) for pair in set(pairwise(pieces))}
        best = min(options, key=lambda pair: (len(options[pair]), pair))
        merges.append(best)
        pieces = options[best]
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for a, b in merges:
        out, i = [], 0
        while i < len(pieces):
            if i + 1 < len(pieces) and pieces[i] == a and pieces[i + 1] == b:
                out.append(a + b)
                i += 2
            else:
                out.append(pieces[i])
                i += 1
        pieces = out
    return pieces


# %% right 00.3: last counted place per pair, pieces merged onto a stack
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    for _ in range(n_merges):
        pieces = apply_bpe(text, merges)
        if len(pieces) < 2:
            break
        counts: dict[tuple[str, str], int] = {}
        last: dict[tuple[str, str], int] = {}
        for i, pair in enumerate(pairwise(pieces)):
            if last.get(pair) == i - 1:
                continue
            last[pair] = i
            counts[pair] = counts.get(pair, 0) + 1
        most = max(counts.values())
        merges.append(min(pair for pair, n in counts.items() if n == most))
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for a, b in merges:
        stack: list[str] = []
        for piece in pieces:
            if stack and stack[-1] == a and piece == b:
                stack[-1] = a + b
            else:
                stack.append(piece)
        pieces = stack
    return pieces


# %% wrong 00.4: takes it that a BOS is always added
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    ids = tokenizer.encode(text).ids
    if len(ids) != 2:
        raise ValueError(f"{text!r} is not one token")
    return ids[1]


# %% wrong 00.4: drops every BOS, also one that is the text itself
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    bos = tokenizer.token_to_id(BOS)
    ids = [i for i in tokenizer.encode(text).ids if i != bos]
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens, not one")
    return ids[0]


# %% wrong 00.4: the message does not hold the text
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"expected one token, got {len(ids)}: {ids}")
    return ids[0]


# %% wrong 00.4: an empty text ends in an IndexError
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) > 1:
        raise ValueError(f"{text!r} is more than one token: {ids}")
    return ids[0]


# %% wrong 00.4: turns the tokenizer's padding and truncation off and leaves them off
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is not a single token but {ids}")
    return ids[0]


# %% right 00.4: works on a copy without padding and truncation
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    ids = plain.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens, not one")
    return ids[0]


# %% right 00.4: unpacks the ids that the attention mask keeps
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    ids = [i for i, real in zip(encoding.ids, encoding.attention_mask) if real]
    if encoding.overflowing or len(ids) != 1:
        raise ValueError("not exactly one token: " + text)
    (token,) = ids
    return token


# %% wrong 00.5: mask from the ids with the first BOS put back, a later one is lost
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    width = max(len(s) for s in seqs)
    rows = []
    for s in seqs:
        fill = [PAD] * (width - len(s))
        rows.append(fill + s if side == "left" else s + fill)
    tokens = torch.tensor(rows, dtype=torch.int64)
    mask = tokens != PAD
    for i, s in enumerate(seqs):
        mask[i, width - len(s) if side == "left" else 0] = True
    return tokens, mask


# %% wrong 00.5: pads the caller's lists themselves
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    width = max(map(len, seqs))
    mask = torch.zeros(len(seqs), width, dtype=torch.bool)
    for i, s in enumerate(seqs):
        n = len(s)
        if side == "left":
            mask[i, width - n :] = True
            s[:0] = [PAD] * (width - n)
        else:
            mask[i, :n] = True
            s += [PAD] * (width - n)
    return torch.tensor(seqs, dtype=torch.int64), mask


# %% wrong 00.5: [-0:] masks the whole of the longest row
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    width = max(len(s) for s in seqs)
    tokens = torch.full((len(seqs), width), PAD, dtype=torch.long)
    mask = torch.ones(len(seqs), width, dtype=torch.bool)
    for i, s in enumerate(seqs):
        n_pad = width - len(s)
        if side == "left":
            tokens[i, n_pad:] = torch.tensor(s)
            mask[i, :n_pad] = False
        else:
            tokens[i, : len(s)] = torch.tensor(s)
            mask[i, -n_pad:] = False
    return tokens, mask


# %% wrong 00.5: width from max(seqs), which is the largest list, not the longest
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    width = len(max(seqs))
    rows, real = [], []
    for s in seqs:
        n = width - len(s)
        if side == "left":
            rows.append([PAD] * n + s)
            real.append([False] * n + [True] * len(s))
        else:
            rows.append(s + [PAD] * n)
            real.append([True] * len(s) + [False] * n)
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(real)


# %% wrong 00.5: the mask is that of padding on the right for both sides
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    lengths = torch.tensor([len(s) for s in seqs])
    width = int(lengths.max())
    fill = [[PAD] * (width - len(s)) for s in seqs]
    if side == "left":
        rows = [f + s for f, s in zip(fill, seqs)]
    else:
        rows = [s + f for f, s in zip(fill, seqs)]
    mask = torch.arange(width)[None, :] < lengths[:, None]
    return torch.tensor(rows, dtype=torch.int64), mask


# %% right 00.5: lists put together, then made tensors
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    width = max(len(s) for s in seqs)
    rows, real = [], []
    for s in seqs:
        fill = [PAD] * (width - len(s))
        yes, no = [True] * len(s), [False] * len(fill)
        if side == "left":
            rows.append(fill + s)
            real.append(no + yes)
        else:
            rows.append(s + fill)
            real.append(yes + no)
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(real, dtype=torch.bool)


# %% right 00.5: mask by arange, tokens written through it
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    lengths = torch.tensor([len(s) for s in seqs])[:, None]
    width = int(lengths.max())
    place = torch.arange(width)[None]
    mask = place >= width - lengths if side == "left" else place < lengths
    tokens = torch.full(mask.shape, PAD, dtype=torch.int64)
    tokens[mask] = torch.tensor([t for s in seqs for t in s], dtype=torch.int64)
    return tokens, mask


# %% wrong 00.6: skips BOS at position 0
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    places = [i for i, t in enumerate(tokens.tolist()) if t == token and i > 0]
    if not places:
        raise ValueError(f"token {token} does not occur")
    return places[0] if mode == "first" else places[-1]


# %% wrong 00.6: position 0 is falsy and taken as not found
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    found = None
    for i, t in enumerate(tokens.tolist()):
        if t == token:
            found = i
            if mode == "first":
                break
    if not found:
        raise ValueError(f"token {token} does not occur")
    return found


# %% wrong 00.6: squeeze makes a single occurrence a scalar that has no [0]
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    places = (tokens == token).nonzero().squeeze()
    if places.numel() == 0:
        raise ValueError(f"token {token} does not occur")
    return int(places[0] if mode == "first" else places[-1])


# %% wrong 00.6: a missing token raises IndexError
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    places = torch.where(tokens == token)[0]
    return places[0 if mode == "first" else -1].item()


# %% wrong 00.6: the last occurrence is counted from the end
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    ids = tokens.tolist()
    if mode == "last":
        ids = ids[::-1]
    return ids.index(token)


# %% right 00.6: list.index, which raises ValueError by itself
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    ids = tokens.tolist()
    if mode == "first":
        return ids.index(token)
    return len(ids) - 1 - ids[::-1].index(token)


# %% right 00.6: nonzero, 3
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    places = (tokens == token).nonzero()[:, 0]
    if len(places) == 0:
        raise ValueError(f"token {token} is not among {tokens.tolist()}")
    return int(places.min() if mode == "first" else places.max())

# %% wrong 00.1: joins the texts with a space, which then counts as a character
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    chars = sorted(set(" ".join(texts)))
    stoi = {BOS: 0} | {c: i for i, c in enumerate(chars, start=1)}
    return stoi, {i: c for c, i in stoi.items()}


# %% wrong 00.1: sorts within each text only
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    stoi = {BOS: 0}
    for text in texts:
        for c in sorted(set(text)):
            if c not in stoi:
                stoi[c] = len(stoi)
    itos = {i: c for c, i in stoi.items()}
    return stoi, itos


# %% wrong 00.1: sorts BOS in among the characters
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    symbols = {BOS}
    for text in texts:
        symbols.update(text)
    itos = dict(enumerate(sorted(symbols)))
    stoi = {s: i for i, s in itos.items()}
    return stoi, itos


# %% wrong 00.1: reads line by line and never sees a line break
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    chars = {c for text in texts for line in text.splitlines() for c in line}
    itos = {0: BOS}
    for i, c in enumerate(sorted(chars)):
        itos[i + 1] = c
    return {c: i for i, c in itos.items()}, itos


# %% right 00.1: one sorted list of symbols
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    symbols = [BOS, *sorted(set("".join(texts)))]
    stoi = {symbol: i for i, symbol in enumerate(symbols)}
    itos = dict(enumerate(symbols))
    return stoi, itos


# %% right 00.1: code points in a loop
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    points = set()
    for text in texts:
        for c in text:
            points.add(ord(c))
    stoi, itos = {BOS: 0}, {0: BOS}
    for number, point in enumerate(sorted(points), 1):
        stoi[chr(point)] = number
        itos[number] = chr(point)
    return stoi, itos


# %% wrong 00.2: lets torch guess the dtype, which for nothing is float
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    ids = [stoi[c] for c in text]
    if prepend_bos:
        ids = [stoi[BOS]] + ids
    return torch.tensor(ids)


# %% wrong 00.2: PAD in front instead of what stoi says of BOS
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    ids = torch.tensor([stoi[c] for c in text], dtype=torch.int64)
    if prepend_bos:
        ids = torch.nn.functional.pad(ids, (1, 0), value=PAD)
    return ids


# %% wrong 00.2: an empty text gets no BOS
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    if not text:
        return torch.empty(0, dtype=torch.int64)
    ids = [stoi[BOS]] if prepend_bos else []
    ids.extend(stoi[c] for c in text)
    return torch.tensor(ids, dtype=torch.int64)


# %% wrong 00.2: a batch of one, as to_tokens gives
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    ids = [stoi[BOS]] * prepend_bos + [stoi[c] for c in text]
    return torch.tensor([ids], dtype=torch.int64)


# %% right 00.2: a list with a dtype
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    symbols = ([BOS] if prepend_bos else []) + list(text)
    return torch.tensor([stoi[s] for s in symbols], dtype=torch.int64)


# %% right 00.2: fills a tensor
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    shift = 1 if prepend_bos else 0
    ids = torch.zeros(len(text) + shift, dtype=torch.long)
    if prepend_bos:
        ids[0] = stoi[BOS]
    for i, c in enumerate(text):
        ids[i + shift] = stoi[c]
    return ids


# %% wrong 00.3: a run of equal pieces counts once, however long
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) > 1:
        counts: dict[tuple[str, str], int] = {}
        previous = None
        for pair in pairwise(pieces):
            if pair == previous:  # overlaps the one before
                continue
            counts[pair] = counts.get(pair, 0) + 1
            previous = pair
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, tuple(pair))
    return pieces


# %% wrong 00.3: ties by the merged string, not by the tuple
def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    for _ in range(n_merges):
        if len(pieces) < 2:
            break
        counts: dict[tuple[str, str], int] = {}
        last_counted: dict[tuple[str, str], int] = {}
        for i, pair in enumerate(pairwise(pieces)):
            if last_counted.get(pair) == i - 1:
                continue
            counts[pair] = counts.get(pair, 0) + 1
            last_counted[pair] = i
        best = min(counts, key=lambda pair: (-counts[pair], "".join(pair)))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, tuple(pair))
    return pieces


# %% wrong 00.3: stops when no pair occurs twice (third set)
def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    for _ in range(n_merges):
        counts: dict[tuple[str, str], int] = {}
        last_counted: dict[tuple[str, str], int] = {}
        for i, pair in enumerate(pairwise(pieces)):
            if last_counted.get(pair) == i - 1:
                continue
            counts[pair] = counts.get(pair, 0) + 1
            last_counted[pair] = i
        if not counts or max(counts.values()) < 2:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for pair in merges:
        pieces = _merge(pieces, tuple(pair))
    return pieces


# %% wrong 00.3: replaces in a joined string, and so merges the ends of longer pieces
def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    if not text:
        return []
    sep = "\x00"
    joined = sep.join(text)
    for left, right in merges:
        joined = joined.replace(left + sep + right, left + right)
    return joined.split(sep)


def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    while len(merges) < n_merges and len(pieces) >= 2:
        counts: dict[tuple[str, str], int] = {}
        last_counted: dict[tuple[str, str], int] = {}
        for i, pair in enumerate(pairwise(pieces)):
            if last_counted.get(pair) == i - 1:
                continue
            counts[pair] = counts.get(pair, 0) + 1
            last_counted[pair] = i
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        merged, i = [], 0
        while i < len(pieces):
            if tuple(pieces[i : i + 2]) == best:
                merged.append("".join(best))
                i += 2
            else:
                merged.append(pieces[i])
                i += 1
        pieces = merged
    return merges


# %% right 00.3: remembers where each pair was last counted
def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    out, i = [], 0
    while i < len(pieces):
        if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    pieces, merges = list(text), []
    for _ in range(n_merges):
        if len(pieces) < 2:
            break
        counts: dict[tuple[str, str], int] = {}
        last_counted: dict[tuple[str, str], int] = {}
        for i, pair in enumerate(pairwise(pieces)):
            if last_counted.get(pair, -2) == i - 1:
                continue
            counts[pair] = counts.get(pair, 0) + 1
            last_counted[pair] = i
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = _merge(pieces, best)
    return merges


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    pieces = list(text)
    for left, right in merges:
        pieces = _merge(pieces, (left, right))
    return pieces


# %% right 00.3: Counter, runs by groupby, merging on a stack
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    from collections import Counter
    from itertools import groupby

    merges: list[tuple[str, str]] = []
    pieces = list(text)
    while len(merges) < n_merges and len(pieces) > 1:
        counts = Counter((a, b) for a, b in pairwise(pieces) if a != b)
        for piece, run in groupby(pieces):
            twos = len(list(run)) // 2
            if twos:
                counts[piece, piece] += twos
        most = max(counts.values())
        merges.append(min(pair for pair, count in counts.items() if count == most))
        pieces = _joined(pieces, *merges[-1])
    return merges


def _joined(pieces: list[str], left: str, right: str) -> list[str]:
    stack: list[str] = []
    for piece in pieces:
        if stack and stack[-1] == left and piece == right:
            stack[-1] = left + right
        else:
            stack.append(piece)
    return stack


def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    from functools import reduce

    return reduce(lambda pieces, pair: _joined(pieces, *pair), merges, list(text))


# %% wrong 00.4: throws out every BOS, also the one that was asked for
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    bos = tokenizer.token_to_id(BOS)
    ids = [i for i in tokenizer.encode(text).ids if i != bos]
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens")
    return ids[0]


# %% wrong 00.4: keeps the BOS when it stands alone, as it does for an empty text
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    ids = tokenizer.encode(text).ids
    if len(ids) > 1 and ids[0] == tokenizer.token_to_id(BOS):
        ids = ids[1:]
    if len(ids) != 1:
        raise ValueError(f"not a single token: {text!r}")
    return ids[0]


# %% wrong 00.4: takes it for granted that a BOS is added
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    ids = tokenizer.encode(text).ids[1:]
    if len(ids) != 1:
        raise ValueError(f"{text!r} is not one token but {len(ids)}")
    return ids[0]


# %% wrong 00.4: the message tells the number of tokens, not the text
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"expected exactly one token, got {len(ids)}: {ids}")
    return ids[0]


# %% right 00.4: no special tokens
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    ids = [i for i, real in zip(encoding.ids, encoding.attention_mask) if real]
    if len(ids) != 1 or encoding.overflowing:
        raise ValueError(f"{text!r} is not exactly one token")
    return ids[0]


# %% right 00.4: on a copy without padding and truncation, by unpacking
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    match plain.encode(text, add_special_tokens=False).ids:
        case [only]:
            return only
        case several:
            raise ValueError("not one token but " + str(len(several)) + ": " + text)


# %% wrong 00.5: works out the mask from where the zeros lie
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    width = max(len(s) for s in seqs)
    fill = [[PAD] * (width - len(s)) for s in seqs]
    rows = [f + s if side == "left" else s + f for s, f in zip(seqs, fill)]
    tokens = torch.tensor(rows, dtype=torch.int64)
    content = (tokens != PAD).long()
    if side == "left":
        mask = content.cumsum(1) > 0
        mask[:, :-1] |= mask[:, 1:].clone()  # the BOS before the first other token
        mask[:, -1] = True
    else:
        mask = content.flip(1).cumsum(1).flip(1) > 0
        mask[:, 0] = True  # BOS
    return tokens, mask


# %% wrong 00.5: fills up the caller's lists
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    width = max(map(len, seqs))
    mask = []
    for seq in seqs:
        missing = width - len(seq)
        if side == "left":
            mask.append([False] * missing + [True] * len(seq))
            seq[:0] = [PAD] * missing
        else:
            mask.append([True] * len(seq) + [False] * missing)
            seq += [PAD] * missing
    return torch.tensor(seqs, dtype=torch.int64), torch.tensor(mask, dtype=torch.bool)


# %% wrong 00.5: sorts by length, as packed sequences want it
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    ordered = sorted(seqs, key=len, reverse=True)
    width = len(ordered[0])
    tokens = torch.full((len(ordered), width), PAD, dtype=torch.int64)
    mask = torch.zeros(len(ordered), width, dtype=torch.bool)
    for i, seq in enumerate(ordered):
        where = slice(width - len(seq), width) if side == "left" else slice(0, len(seq))
        tokens[i, where] = torch.tensor(seq)
        mask[i, where] = True
    return tokens, mask


# %% wrong 00.5: the mask is that of padding on the right, whatever the side
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    lengths = torch.tensor([len(s) for s in seqs])
    width = int(lengths.max())
    tokens = torch.full((len(seqs), width), PAD, dtype=torch.int64)
    for row, seq in zip(tokens, seqs):
        if side == "left":
            row[width - len(seq) :] = torch.tensor(seq)
        else:
            row[: len(seq)] = torch.tensor(seq)
    mask = torch.arange(width)[None, :] < lengths[:, None]
    return tokens, mask


# %% right 00.5: lists of tokens and of flags
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    width = max(len(seq) for seq in seqs)
    tokens, mask = [], []
    for seq in seqs:
        pads = width - len(seq)
        real = [True] * len(seq)
        if side == "left":
            tokens.append([PAD] * pads + list(seq))
            mask.append([False] * pads + real)
        else:
            tokens.append(list(seq) + [PAD] * pads)
            mask.append(real + [False] * pads)
    return torch.tensor(tokens, dtype=torch.int64), torch.tensor(mask, dtype=torch.bool)


# %% right 00.5: the mask first, then the tokens into it
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    lengths = torch.tensor([len(s) for s in seqs])[:, None]
    width = int(lengths.max())
    columns = torch.arange(width)[None, :]
    mask = columns >= width - lengths if side == "left" else columns < lengths
    tokens = torch.full(mask.shape, PAD, dtype=torch.int64)
    tokens[mask] = torch.tensor([t for s in seqs for t in s], dtype=torch.int64)
    return tokens, mask


# %% wrong 00.6: takes position 0 for not found
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    found = None
    for i, t in enumerate(tokens.tolist()):
        if t == token:
            found = i
            if mode == "first":
                break
    if not found:
        raise ValueError(f"token {token} does not occur")
    return found


# %% wrong 00.6: squeezes a single hit to a scalar that cannot be indexed
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    hits = (tokens == token).nonzero().squeeze()
    if hits.numel() == 0:
        raise ValueError(f"token {token} does not occur")
    return int(hits[0] if mode == "first" else hits[-1])


# %% wrong 00.6: an absent token raises IndexError
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    hits = torch.where(tokens == token)[0]
    return hits[0].item() if mode == "first" else hits[-1].item()


# %% wrong 00.6: one too far when it counts from the end
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    ids = tokens.tolist()
    if mode == "first":
        return ids.index(token)
    return len(ids) - ids[::-1].index(token)


# %% right 00.6: list.index, which raises by itself
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    ids = tokens.tolist()
    if mode == "first":
        return ids.index(token)
    return len(ids) - 1 - ids[::-1].index(token)


# %% right 00.6: nonzero (third set)
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    hits = torch.nonzero(tokens == token).flatten()
    if len(hits) == 0:
        raise ValueError(f"token {token} is not among the {len(tokens)} tokens")
    return int(hits.min() if mode == "first" else hits.max())
