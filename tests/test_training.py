"""The toy world, the batches, growth and the loop: what the embedded models' weights rest on."""

import itertools
import json
import re
from collections import Counter
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from cleanlens import HookedTransformer, HookedTransformerConfig
from cleanlens.training import corpus, formats, measure, plain, words
from cleanlens.training.card import drift
from cleanlens.training.data import BOS, mixture, pack, repeated_tokens, repeats_only, seeded
from cleanlens.training.grow import grow
from cleanlens.training.induction import live_config, train_induction
from cleanlens.training.recipes import corpus_tokenizer
from cleanlens.training.train import init_weights, train, warmup_hold_cosine


@pytest.fixture(scope="module")
def tokenizer():
    return corpus_tokenizer()


@pytest.fixture(scope="module")
def texts():
    return list(corpus.documents(4000, seed=3))


# ------------------------------------------------------------------------------------------- corpus


def test_documents_are_determined_by_their_seed():
    first, again, other = (list(corpus.documents(200, seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_no_slot_is_left_unfilled(texts):
    assert not [text for text in texts if "{" in text or "}" in text or "  " in text]


def test_articles_fit_their_nouns(texts):
    silent = ("hour", "honest", "honor")
    spoken = ("use", "uni", "one")
    for text in texts:
        words = re.sub(r'["?!.,]', " ", text).split()
        for article, noun in itertools.pairwise(words):
            if article.lower() in ("a", "an") and noun[0].islower():
                vowel = noun.startswith(silent) or (noun[0] in "aeiou" and not noun.startswith(spoken))
                assert (article.lower() == "an") == vowel, f"{article} {noun} in: {text}"


def test_sentences_begin_with_a_capital_and_end(texts):
    for text in texts:
        assert re.match(r'["A-Z]', text), text
        assert not re.search(r"[.!?] [a-z](?!.{0,40}said)", text), text
        assert text[-1] in '.!?"', text


def shape(text: str) -> str:
    """A sentence with its fillers taken out: "When NAME and NAME went to the PLACE NAME gave OBJECT to"."""
    roles = {"{A}": "NAME", "{B}": "NAME", "{giver}": "NAME", "{place}": "PLACE", "{object}": "OBJECT"}
    roles |= dict.fromkeys([*words.NAMES, *words.RARE_NAMES], "NAME") | dict.fromkeys(words.PLACES, "PLACE")
    roles |= dict.fromkeys(words.OBJECTS, "OBJECT") | dict.fromkeys(words.ADJECTIVES, "")
    found = [roles.get(word, word) for word in re.sub(r'[,."!?]', "", text).split()]
    return re.sub(r"\b(a|an|the) OBJECT", "OBJECT", " ".join(filter(None, found)))


@pytest.mark.parametrize("dense", [False, True])
def test_held_out_templates_and_pairs_are_never_in_training(dense):
    held_out = [shape(corpus.IOI_TEMPLATES[i]) for i in corpus.HELD_OUT_TEMPLATES]
    in_training = {shape(corpus.IOI_TEMPLATES[i]) for i in corpus.TRAIN_TEMPLATES}
    seen = set()
    for text in corpus.documents(6000, seed=3, dense=dense):
        people = set(re.findall(r"[A-Z][a-z]+", text)) & set(corpus.NAMES)
        for a, b in itertools.combinations(people, 2):
            assert not corpus.is_held_out_pair(a, b), f"the held-out pair {a}, {b} in: {text}"
        plain = shape(text)
        for template in held_out:
            assert template not in plain, f"a held-out template in: {text}"
        seen |= {template for template in in_training if template in plain}
    assert len(seen) > 0.7 * len(in_training)  # else this test would look for something that cannot be found


def as_regex(prompt: str) -> str:
    """A prompt with anything in its slots."""
    name = r"\w+"
    slots = {"A": name, "B": name, "S": name, "giver": name, "place": r"\w+", "object": r"[\w' ]+"}
    return re.sub(r"\{(\w+)\}", lambda slot: slots[slot[1]], prompt)


def test_the_grammar_makes_no_novel_phrasing_and_no_plain_sentence():
    documents = "\n".join([*corpus.documents(12_000, seed=4), *corpus.documents(8_000, seed=5, dense=True)])
    for text in plain.SENTENCES + [corpus.IOI_TEMPLATES[i] for i in corpus.NOVEL_TEMPLATES]:
        assert not re.search(as_regex(text), documents), text
    for part in corpus.NOVEL_OPENINGS + corpus.NOVEL_ACTIONS:  # neither half of a novel phrasing
        assert not re.search(as_regex(part), documents), part
    seen = [part for part in corpus.OPENINGS + corpus.ACTIONS if re.search(as_regex(part), documents)]
    assert len(seen) == len(corpus.OPENINGS + corpus.ACTIONS)  # the search finds what is there


def test_most_scenes_name_people_who_take_no_part():
    """Raising every name and striking the repeated one off would leave several."""
    rng = corpus.random.Random(0)
    people = set(words.NAMES) | set(words.RARE_NAMES)
    counts = [len(people & set(re.findall(r"[A-Z][a-z]+", corpus.scene_document(rng)))) for _ in range(500)]
    assert sum(count > 2 for count in counts) > 0.4 * len(counts)  # invented names not even counted


def test_dense_documents_hold_more_givings():
    def share(dense):
        texts = list(corpus.documents(1500, seed=2, dense=dense))
        return sum(
            len(re.findall(r" (?:gave|handed|sent|brought|showed) [^.]* to [A-Z]", text)) for text in texts
        )

    assert share(dense=True) > 1.5 * share(dense=False)


def test_held_out_is_a_real_share():
    pairs = list(itertools.combinations(corpus.NAMES, 2))
    assert 0.1 < sum(corpus.is_held_out_pair(*pair) for pair in pairs) / len(pairs) < 0.2
    unseen = len(corpus.HELD_OUT_TEMPLATES) + len(corpus.NOVEL_TEMPLATES)
    assert 0.15 < unseen / len(corpus.IOI_TEMPLATES) < 0.3
    aligned_held_out = set(corpus.HELD_OUT_TEMPLATES) & set(corpus.ALIGNED_TEMPLATES)
    openings, actions = {i // 8 for i in aligned_held_out}, {i % 8 for i in aligned_held_out}
    assert len(openings) >= 4
    assert len(actions) >= 4


@pytest.mark.parametrize("templates", ["train", "held_out", "novel"])
def test_ioi_prompts(templates):
    data = corpus.ioi_prompts(200, seed=1, templates=templates)
    ids = {
        "held_out": corpus.HELD_OUT_TEMPLATES,
        "novel": corpus.NOVEL_TEMPLATES,
        "train": corpus.TRAIN_TEMPLATES,
    }
    assert Counter(data.orders) == {"ABBA": 100, "BABA": 100}
    for item, io, s in zip(data.items, data.io, data.s):
        assert {io, s} == {item.first, item.second}
        assert item.giver == s
        assert corpus.is_held_out_pair(io, s) == (templates != "train")
        assert item.template in ids[templates]
        # The subject stands twice, the indirect object once, and the answer is still to come.
        found = Counter(re.findall(r"[A-Z][a-z]+", item.text))
        assert found[s] == 2
        assert found[io] == 1
    assert data.prompts == corpus.ioi_prompts(200, seed=1, templates=templates).prompts
    assert data.prompts != corpus.ioi_prompts(200, seed=2, templates=templates).prompts


def test_ioi_variants():
    data = corpus.ioi_prompts(50, seed=1)
    for clean, flipped, io in zip(data.items, data.flipped().items, data.io):
        assert replace(flipped, giver=clean.giver) == clean
        assert flipped.giver == io
    for clean, abc in zip(data.items, data.abc().items):
        assert abc.order == "ABC"
        assert len({clean.first, clean.second, abc.first, abc.second, abc.giver}) == 5
        assert (abc.template, abc.place, abc.object) == (clean.template, clean.place, clean.object)


def test_plain_prompts_are_balanced():
    prompts = plain.plain_prompts(pairs=6)
    assert len(prompts) == len(plain.SENTENCES) * 6 * 2
    for prompt in prompts:
        assert prompt.text.count(prompt.s) == (3 if prompt.sentence == 22 else 2)
        assert prompt.text.count(prompt.io) == 1
        assert prompt.io != prompt.s
        first = min((prompt.io, prompt.s), key=prompt.text.index)
        assert prompt.order == ("ABBA" if first == prompt.io else "BABA")


def test_ioi_prompts_explain_a_wrong_argument():
    with pytest.raises(ValueError, match="expected 'train', 'held_out', 'novel' or a list of ids"):
        corpus.ioi_prompts(3, templates="test")
    with pytest.raises(ValueError, match="expected 'both', 'ABBA' or 'BABA'"):
        corpus.ioi_prompts(3, order="ABC")


# ---------------------------------------------------------------------------------------- tokenizer


def test_everyday_words_are_single_tokens(tokenizer):
    for word in words.NAMES + words.EVERYDAY + words.CAPITALS:
        assert len(tokenizer.encode(f" {word}").ids) == 1, word
    for name in words.NAMES:  # as a text begins
        assert len(tokenizer.encode(name).ids) == 1, name
    assert len(words.EVERYDAY) >= 1500
    assert len(words.NAMES) == len(set(words.NAMES)) == 100
    assert tokenizer.get_vocab_size() == 4096
    assert tokenizer.token_to_id("<|endoftext|>") == BOS


def test_rare_names_are_several_tokens(tokenizer):
    assert not set(words.RARE_NAMES) & set(words.NAMES)
    assert all(len(tokenizer.encode(f" {name}").ids) > 1 for name in words.RARE_NAMES)


def test_everyday_sentences_fall_into_words(tokenizer):
    """At most a few words of the hand-written sentences are cut."""
    pieces = sum(
        len(tokenizer.encode(text.format(A="Mary", B="John", S="Mary")).ids) for text in plain.SENTENCES
    )
    whole = sum(len(re.findall(r"\w+|[.,]", text)) for text in plain.SENTENCES)
    assert pieces < 1.03 * whole


def test_prompts_of_one_template_are_token_aligned(tokenizer):
    for template in range(len(corpus.IOI_TEMPLATES)):
        prompts = corpus.ioi_prompts(20, seed=template, templates=[template]).prompts
        assert len({len(tokenizer.encode(prompt).ids) for prompt in prompts}) == 1, prompts[0]
    for templates in ("train", "held_out"):
        data = corpus.ioi_prompts(100, templates=templates, aligned=True)
        tokens = torch.tensor([tokenizer.encode(prompt).ids for prompt in data.prompts])
        names = torch.tensor([tokenizer.token_to_id(f"Ġ{name}") for name in corpus.NAMES])
        is_name = torch.isin(tokens, names)
        assert (is_name == is_name[0]).all()
        assert is_name[0].sum() == 3


def test_invented_names_are_several_tokens_and_round_trip(tokenizer, texts):
    rng = corpus.random.Random(0)
    lengths = [len(tokenizer.encode(f" {corpus.invented_name(rng)}").ids) for _ in range(200)]
    assert sum(lengths) / len(lengths) > 2.5
    for text in texts[:200]:
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


# --------------------------------------------------------------------------------------------- data


def test_repeated_tokens_repeat_at_many_distances():
    tokens = repeated_tokens(300, 128, 100_000, seeded(0))
    assert (tokens[:, 0] == BOS).all()
    assert (tokens[:, 1:] != BOS).all()
    distances, starts = Counter(), Counter()
    for row in tokens.tolist():
        last: dict[int, int] = {}
        seen = []
        for position, token in enumerate(row[1:], start=1):
            if token in last:
                seen.append(position - last[token])
            last[token] = position
        distances.update(set(seen))
        starts[row.index(next(t for t in row[1:] if row.count(t) > 1))] += 1
    assert set(range(4, 61)) <= set(distances)  # every length, so that no offset can be learned
    assert len([d for d in distances if d > 60]) > 5  # and, with the gaps, longer ones
    assert (
        max(distances.values()) < 300 / 3
    )  # a third of the rows are short segments in random order: near ones come there
    assert 100 < starts[1] < 220
    assert len(starts) > 15


def test_repeated_tokens_fit_a_short_context():
    tokens = repeated_tokens(50, 16, 30, seeded(1))
    assert tokens.shape == (50, 16)


def test_packed_rows_begin_with_a_document(tokenizer, texts):
    rows = pack(texts[:300], tokenizer, 128)
    assert rows.shape[1] == 128
    assert (rows[:, 0] == BOS).all()
    starts = {text.split()[0] for text in texts}
    assert all(tokenizer.decode(row[1:12].tolist()).split()[0] in starts for row in rows)


def test_a_mixture_has_its_share_and_its_seed():
    rows = torch.full((5, 32), 7)
    make = mixture(rows, share=0.75, batch=8, d_vocab=50, seed=1)
    assert ((make(0) == 7).all(1)).sum() == 6
    assert torch.equal(make(3), make(3))
    assert not torch.equal(make(3), make(4))


# -------------------------------------------------------------------------------------------- growth


def tiny(n_layers: int, attn_only: bool) -> HookedTransformer:
    cfg = HookedTransformerConfig(
        n_layers=n_layers,
        d_model=24,
        n_ctx=20,
        d_head=4,
        n_heads=3,
        d_vocab=50,
        attn_only=attn_only,
        act_fn=None if attn_only else "gelu_new",
        normalization_type="LN",
        device="cpu",
        dtype=torch.float64,
    )
    model = HookedTransformer(cfg)
    generator = torch.Generator().manual_seed(n_layers)
    with torch.no_grad():  # weights of order 1, biases and gains that are neither 0 nor 1
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def test_growth_keeps_the_function():
    small, big = tiny(2, attn_only=True), tiny(4, attn_only=False)
    tokens = torch.randint(50, (3, 20), generator=seeded(0))
    grow(big, dict(small.named_parameters()), layers=(0, 2))
    torch.testing.assert_close(big(tokens), small(tokens), rtol=0, atol=1e-12)
    # ... and the new layers can learn: their outputs get a gradient.
    big(tokens, return_type="loss").backward()
    for block in (big.blocks[1], big.blocks[3]):
        assert block.attn.W_O.grad.abs().max() > 0
        assert block.mlp.W_out.grad.abs().max() > 0


def test_growth_names_a_weight_without_a_place():
    with pytest.raises(KeyError, match=r"no parameter 'blocks.2.attn.W_X'"):
        grow(tiny(4, attn_only=False), {"blocks.1.attn.W_X": torch.zeros(1)}, layers=(0, 2))


# ------------------------------------------------------------------------------------------ the loop


def small_model(seed: int = 0) -> HookedTransformer:
    model = HookedTransformer(live_config(d_vocab=40, n_ctx=24))
    init_weights(model, seed)
    return model


def small_run(model, steps, **kwargs):
    make_batch = repeats_only(8, 24, 40, seed=2)
    return train(model, make_batch, steps, warmup_hold_cosine(1e-2, 12, warmup=3), progress=False, **kwargs)


def test_training_lowers_the_loss_and_reports_every_step():
    seen = []
    small_run(small_model(), 12, on_step=lambda step, loss: seen.append((step, loss)))
    assert [step for step, _ in seen] == list(range(13))
    assert seen[-1][1] < seen[0][1]


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = small_run(small_model(), 12)
    first_half = small_model()

    class Stop(Exception):
        pass

    def stop(step, loss):
        if step == 8:
            raise Stop

    with pytest.raises(Stop):
        small_run(first_half, 12, state=tmp_path, save_every=6, on_step=stop)
    assert json.loads((tmp_path / "state.json").read_text()) == {"step": 6}
    resumed = small_run(small_model(seed=99), 12, state=tmp_path, resume=True)
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7, msg=name)


def test_the_state_is_safetensors_and_json_only(tmp_path):
    small_run(small_model(), 6, state=tmp_path, save_every=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "state.safetensors"]
    assert load_file(str(tmp_path / "state.safetensors"))["weight.embed.W_E"].shape == (40, 64)


def test_the_schedule_warms_up_holds_and_falls():
    rate = warmup_hold_cosine(1.0, steps=1000, hold=400, warmup=100)
    assert rate(0) == 0.01
    assert rate(99) == rate(400) == 1.0
    assert rate(700) == pytest.approx(0.51)
    assert rate(1000) == pytest.approx(0.02)


def test_live_training_records_the_phase_change_quantities():
    cfg = live_config(d_vocab=40, n_ctx=24)
    calls = []
    _, history = train_induction(
        cfg, steps=6, every=3, on_record=lambda h: calls.append(len(h.steps)), progress=False
    )
    assert history.steps == [0, 3, 6]
    assert calls == [1, 2, 3]
    for series in (history.first_loss, history.second_loss, history.previous_token, history.induction):
        assert len(series) == 3
        assert all(value > 0 for value in series)


# ------------------------------------------------------------------------------------------- formats


def test_gpt2_layout_round_trips_through_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    cfg = HookedTransformerConfig(
        n_layers=2, d_model=24, n_ctx=20, d_head=8, d_vocab=50, act_fn="gelu_new", device="cpu"
    )
    model = HookedTransformer(cfg)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape).half())  # exact in half precision
        model.unembed.b_U.zero_()
    formats.save_gpt2(model, tmp_path)
    theirs, report = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert theirs.dtype == torch.float32
    tokens = torch.randint(50, (2, 20), generator=seeded(0))
    torch.testing.assert_close(model(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-3)


def test_gpt2_layout_refuses_an_output_bias():
    model = tiny(1, attn_only=False)
    with pytest.raises(ValueError, match="GPT-2 has no output bias"):
        formats.to_gpt2(formats.parameters(model))


def test_scores_on_patterns_made_by_hand():
    n, prefix = 5, 2
    pos = 1 + prefix + 2 * n
    pattern = torch.zeros(1, 1, 2, pos, pos)
    for query in range(1, pos):
        pattern[0, 0, 0, query, query - 1] = 1  # a previous-token head
    for query in range(prefix + n + 1, pos):
        pattern[0, 0, 1, query, query - n + 1] = 1  # an induction head
    assert measure.previous_token_scores(pattern).tolist() == [[1.0, 0.0]]
    assert measure.induction_scores(pattern, n, prefix).tolist() == [[0.0, 1.0]]


def test_a_card_that_has_drifted_is_found():
    card = "| L0H0 | 0.98 | 6.18 |\n> Mary had 3 balls.\n"
    assert drift(card, "| L0H0 | 0.97 | 6.25 |\n> Mary had 4 cakes.\n") == []
    assert "0.98 in the card, 0.90 measured" in drift(card, card.replace("0.98", "0.90"))[0]
    assert drift(card, card.replace("|\n", "| 1 |\n")) == ["the text differs (not only the numbers)"]
