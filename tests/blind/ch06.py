# %% right 06.1: random.Random and sample
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% right 06.1: two choices until they differ
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    generator = random.Random(seed)
    pool = [x for x in names if len(tokenizer.encode(f" {x}")) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for row in range(n):
        A = generator.choice(pool)
        B = generator.choice(pool)
        while B == A:
            B = generator.choice(pool)
        giver, receiver = [(B, A), (A, B)][row % 2]
        data["clean"].append(TEMPLATE.format(A=A, B=B, S=giver))
        data["corrupted"].append(TEMPLATE.format(A=A, B=B, S=receiver))
        data["answers"].append((f" {receiver}", f" {giver}"))
    return data


# %% right 06.1: torch generator, comprehensions
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(" " + name)) == 1]
    g = torch.Generator().manual_seed(seed)
    pairs = [[usable[j] for j in torch.randperm(len(usable), generator=g)[:2].tolist()] for _ in range(n)]
    s = [pair[1 - i % 2] for i, pair in enumerate(pairs)]
    io = [pair[i % 2] for i, pair in enumerate(pairs)]
    return {
        "clean": [TEMPLATE.format(A=a, B=b, S=x) for (a, b), x in zip(pairs, s)],
        "corrupted": [TEMPLATE.format(A=a, B=b, S=x) for (a, b), x in zip(pairs, io)],
        "answers": [(" " + x, " " + y) for x, y in zip(io, s)],
    }


# %% wrong 06.1: tests the name without the space before it
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: even and odd rows exchanged
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 1 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: answers as (S, IO)
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + s, " " + io))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: answers without the space
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((io, s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: corrupted prompt swaps A and B, the giver stays
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=b, B=a, S=s))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: A and B can be the same person
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.choices(usable, k=2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: one pair for all rows
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    a, b = rng.sample(usable, 2)
    for i in range(n):
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: ignores the seed
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random()
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: n prompts in all: n // 2 pairs
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n // 2):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: all names used, whatever the tokenizer says
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: seeds anew in every row, so the pair is always the same
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        rng = random.Random(seed)
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: the corrupted prompt has a third person as giver
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=rng.choice([x for x in usable if x not in (a, b)])))
        answers.append((" " + io, " " + s))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% right 06.2: gather
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    last = logits[rows, end]
    both = last.gather(1, answers)
    return both[:, 0] - both[:, 1]


# %% right 06.2: loop over the prompts
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    return torch.stack([x[e, a[0]] - x[e, a[1]] for x, a, e in zip(logits, answers, end)])


# %% right 06.2: log-probabilities have the same difference
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(len(answers), device=logits.device)
    lp = logits[rows, end].log_softmax(-1)
    return lp[rows, answers[:, 0]] - lp[rows, answers[:, 1]]


# %% wrong 06.2: always the last position
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    last = logits[:, -1]
    both = last.gather(1, answers)
    return both[:, 0] - both[:, 1]


# %% wrong 06.2: wrong minus right
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    last = logits[rows, end]
    both = last.gather(1, answers)
    return both[:, 1] - both[:, 0]


# %% wrong 06.2: mean over the prompts
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    last = logits[rows, end]
    both = last.gather(1, answers)
    return (both[:, 0] - both[:, 1]).mean()


# %% wrong 06.2: first prompt's end for all
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    last = logits[:, end[0]]
    both = last.gather(1, answers)
    return both[:, 0] - both[:, 1]


# %% wrong 06.2: probabilities instead of logits
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    last = logits[rows, end].softmax(-1)
    both = last.gather(1, answers)
    return both[:, 0] - both[:, 1]


# %% wrong 06.2: end taken as a length: one position too early
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    last = logits[rows, end - 1]
    both = last.gather(1, answers)
    return both[:, 0] - both[:, 1]


# %% wrong 06.2: logits[:, end] pairs every prompt with every end
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    last = logits[:, end]
    right = last.gather(2, answers[:, None, :1].expand(-1, last.shape[1], -1))
    wrong = last.gather(2, answers[:, None, 1:].expand(-1, last.shape[1], -1))
    return (right - wrong)[:, 0, 0]


# %% wrong 06.2: bare squeeze: a batch of one comes back without its axis
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    last = logits[rows, end]
    return (last.gather(1, answers[:, :1]) - last.gather(1, answers[:, 1:])).squeeze()


# %% right 06.3: means
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return (x.mean() - corrupted.mean()) / (clean.mean() - corrupted.mean())


# %% right 06.3: lerp turned round
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    low, high = corrupted.mean(), clean.mean()
    return ((x - low) / (high - low)).mean()


# %% right 06.3: one minus the share lost, baselines as numbers
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    top = clean.mean().item()
    gap = top - corrupted.mean().item()
    return 1 - (top - x.mean()) / gap


# %% wrong 06.3: clean is 0 and corrupted is 1
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return (x.mean() - clean.mean()) / (corrupted.mean() - clean.mean())


# %% wrong 06.3: mean of the prompts' own ratios
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return ((x - corrupted) / (clean - corrupted)).mean()


# %% wrong 06.3: a Python number
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return ((x.mean() - corrupted.mean()) / (clean.mean() - corrupted.mean())).item()


# %% wrong 06.3: detached, cannot be differentiated
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return (x.detach().mean() - corrupted.mean()) / (clean.mean() - corrupted.mean())


# %% wrong 06.3: no zero point
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return x.mean() / clean.mean()


# %% wrong 06.3: one value per prompt
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return (x - corrupted.mean()) / (clean.mean() - corrupted.mean())


# %% wrong 06.3: absolute gap: wrong sign when clean is below corrupted
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return (x.mean() - corrupted.mean()) / (clean.mean() - corrupted.mean()).abs()


# %% wrong 06.3: sum of x against means
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return (x.sum() - corrupted.mean()) / (clean.mean() - corrupted.mean())


# %% wrong 06.3: clamped to the range from 0 to 1
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return ((x.mean() - corrupted.mean()) / (clean.mean() - corrupted.mean())).clamp(0, 1)


# %% wrong 06.3: makes a new tensor out of the value, the graph is lost
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    value = (x.mean() - corrupted.mean()) / (clean.mean() - corrupted.mean())
    return torch.tensor(float(value), requires_grad=True)


# %% right 06.4: columns of W_U
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return model.W_U.mT[answers[:, 0]] - model.W_U.mT[answers[:, 1]]


# %% right 06.4: one-hot rows times W_U
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    v = model.W_U.shape[1]
    signs = torch.nn.functional.one_hot(answers[:, 0], v) - torch.nn.functional.one_hot(answers[:, 1], v)
    return torch.einsum("bv,dv->bd", signs.to(model.W_U.dtype), model.W_U)


# %% right 06.4: index_select, loop
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return torch.stack([model.W_U[:, int(a)] - model.W_U[:, int(b)] for a, b in answers])


# %% wrong 06.4: the other way round
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return model.W_U.mT[answers[:, 1]] - model.W_U.mT[answers[:, 0]]


# %% wrong 06.4: shape [d b]
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]


# %% wrong 06.4: embeddings instead of unembeddings
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return model.W_E[answers[:, 0]] - model.W_E[answers[:, 1]]


# %% wrong 06.4: sum of both columns
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return model.W_U.mT[answers].sum(1)


# %% wrong 06.4: mean over the prompts
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return (model.W_U.mT[answers[:, 0]] - model.W_U.mT[answers[:, 1]]).mean(0)


# %% wrong 06.4: only the right answer's direction
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return model.W_U[:, answers[:, 0]].mT


# %% right 06.4: layer by layer
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append(torch.einsum("bhd,bd->bh", written / scale[:, None], directions).mean(0))
    return torch.stack(rows)


# %% right 06.4: all layers in one einsum, scaled directions
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    z = torch.stack([cache[get_act_name("z", l)][:, -1] for l in range(model.cfg.n_layers)])
    aim = directions / cache["ln_final.hook_scale"][:, -1, :]
    return torch.einsum("lbhe,lhed,bd->lh", z, model.W_O, aim) / z.shape[1]


# %% right 06.4: prompt by prompt
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    total = torch.zeros(L, H, device=directions.device, dtype=directions.dtype)
    for p in range(directions.shape[0]):
        scale = cache["ln_final.hook_scale"][p, -1]
        for l in range(L):
            for h in range(H):
                out = cache[get_act_name("z", l)][p, -1, h] @ model.W_O[l, h]
                total[l, h] += (out / scale) @ directions[p]
    return total / directions.shape[0]


# %% wrong 06.4: without the LayerNorm's scale
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append(torch.einsum("bhd,bd->bh", written, directions).mean(0))
    return torch.stack(rows)


# %% wrong 06.4: scale of the first position
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, 0]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append(torch.einsum("bhd,bd->bh", written / scale[:, None], directions).mean(0))
    return torch.stack(rows)


# %% wrong 06.4: multiplies by the scale
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append(torch.einsum("bhd,bd->bh", written * scale[:, None], directions).mean(0))
    return torch.stack(rows)


# %% wrong 06.4: sum over prompts
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append(torch.einsum("bhd,bd->bh", written / scale[:, None], directions).sum(0))
    return torch.stack(rows)


# %% wrong 06.4: mean z along the mean direction
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append((written / scale[:, None]).mean(0) @ directions.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: summed over all positions
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)].sum(1)
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append(torch.einsum("bhd,bd->bh", written / scale[:, None], directions).mean(0))
    return torch.stack(rows)


# %% wrong 06.4: b_O shared among the heads
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer]) + model.b_O[layer] / model.cfg.n_heads
        rows.append(torch.einsum("bhd,bd->bh", written / scale[:, None], directions).mean(0))
    return torch.stack(rows)


# %% wrong 06.4: not averaged
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append(torch.einsum("bhd,bd->bh", written / scale[:, None], directions))
    return torch.stack(rows)


# %% right 06.5: two loops
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[:, pos] = clean[:, pos]
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result


# %% right 06.5: torch.where with a position mask, stacked
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    S = corrupted_tokens.shape[1]
    where = torch.eye(S, dtype=torch.bool, device=corrupted_tokens.device)

    def value(layer, pos):
        name = get_act_name("resid_pre", layer)

        def patch(x, hook):
            return torch.where(where[pos][None, :, None], clean_cache[name], x)

        return metric(model.run_with_hooks(corrupted_tokens, return_type="logits", fwd_hooks=[(name, patch)]))

    with torch.no_grad():
        return torch.stack([torch.stack([value(l, p) for p in range(S)]) for l in range(model.cfg.n_layers)])


# %% right 06.5: torch's own hooks
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    out = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_pre", layer)
        point = dict(model.named_modules())[name]
        for pos in range(corrupted_tokens.shape[1]):

            def swap(module, args, x, pos=pos, name=name):
                return torch.cat([x[:, :pos], clean_cache[name][:, pos : pos + 1], x[:, pos + 1 :]], dim=1)

            handle = point.register_forward_hook(swap)
            try:
                out.append(metric(model(corrupted_tokens)).detach())
            finally:
                handle.remove()
    return torch.stack(out).view(model.cfg.n_layers, -1)


# %% wrong 06.5: all positions at once
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[:] = clean
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result


# %% wrong 06.5: resid_post
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_post", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[:, pos] = clean[:, pos]
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result


# %% wrong 06.5: first prompt only
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[0, pos] = clean[0, pos]
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result


# %% wrong 06.5: this position and all before
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[:, : pos + 1] = clean[:, : pos + 1]
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result


# %% wrong 06.5: the axes of the result turned round
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[:, pos] = clean[:, pos]
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result.mT


# %% wrong 06.5: bare squeeze: one layer or one position loses its axis
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[:, pos] = clean[:, pos]
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result.squeeze()


# %% wrong 06.5: the difference to the corrupted run, not the metric
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[:, pos] = clean[:, pos]
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits) - metric(model(corrupted_tokens))
    return result


# %% wrong 06.5: writes the patched stream into the clean cache
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                kept = clean[:, pos].clone()
                clean.copy_(x)
                clean[:, pos] = kept
                return clean

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result


# %% wrong 06.5: hooks stay and pile up
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    result = torch.zeros(L, S, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook, pos=pos, clean=clean_cache[name]):
                x = x.clone()
                x[:, pos] = clean[:, pos]
                return x

            dict(model.named_modules())[name].add_hook(patch)
            logits = model(corrupted_tokens)
            result[layer, pos] = metric(logits)
    return result


# %% wrong 06.5: late binding: all hooks patch the last position
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    L, S = model.cfg.n_layers, corrupted_tokens.shape[1]
    jobs = []
    for layer in range(L):
        name = get_act_name("resid_pre", layer)
        for pos in range(S):

            def patch(x, hook):
                x = x.clone()
                x[:, pos] = clean_cache[name][:, pos]
                return x

            jobs.append((name, patch))
    values = [metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[job])) for job in jobs]
    return torch.stack(values).reshape(L, S)


# %% wrong 06.5: torch hook without finally: stays when the metric fails
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    result = torch.zeros(model.cfg.n_layers, corrupted_tokens.shape[1])
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_pre", layer)
        point = model.get_submodule(name)
        for pos in range(corrupted_tokens.shape[1]):

            def swap(module, args, x):
                x = x.clone()
                x[:, pos] = clean_cache[name][:, pos]
                return x

            handle = point.register_forward_hook(swap)
            result[layer, pos] = metric(model(corrupted_tokens))
            handle.remove()
    return result


# %% right 06.6: two loops
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z[:, :, head] = clean[:, :, head]
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% right 06.6: a factory and torch.where
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    def make(head, clean):
        def patch(z, hook):
            chosen = torch.arange(z.shape[2], device=z.device) == head
            return torch.where(chosen[None, None, :, None], clean, z)

        return patch

    rows = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        hooks = [(name, make(h, clean_cache[name])) for h in range(model.cfg.n_heads)]
        rows.append([float(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[hook]))) for hook in hooks])
    return torch.tensor(rows)


# %% wrong 06.6: second axis is the position, not the head
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z[:, head] = clean[:, head]
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.6: last position only
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z[:, -1, head] = clean[:, -1, head]
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.6: all heads of the layer
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z = clean.clone()
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.6: all heads up to this one
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z[:, :, : head + 1] = clean[:, :, : head + 1]
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.6: first prompt's clean z for all
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z[:, :, head] = clean[0, :, head]
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.6: hooks stay on the model
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z[:, :, head] = clean[:, :, head]
                return z

            dict(model.named_modules())[name].add_hook(patch)
            logits = model(corrupted_tokens)
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.6: puts the patched z into the cache
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                others = [h for h in range(z.shape[2]) if h != head]
                clean[:, :, others] = z[:, :, others]
                return clean

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.6: the keys instead of z
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("k", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z[:, :, head] = clean[:, :, head]
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.6: mean clean z over positions
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(z, hook, head=head, clean=clean_cache[name]):
                z = z.clone()
                z[:, :, head] = clean[:, :, head].mean(1, keepdim=True)
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% right 06.7: select along the head's axis
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 1 if part == "pattern" else 2
    for layer in range(L):
        name = get_act_name(part, layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                x.select(axis, head).copy_(clean.select(axis, head))
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% right 06.7: two cases in the hook
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    def patch_for(head, clean):
        def patch(x, hook):
            new = torch.empty_like(x)
            new[...] = x
            if part == "pattern":
                new[:, head] = clean[:, head]
            else:
                new[:, :, head] = clean[:, :, head]
            return new

        return patch

    return torch.stack(
        [
            torch.stack(
                [
                    metric(
                        model.run_with_hooks(
                            corrupted_tokens,
                            fwd_hooks=[(get_act_name(part, l), patch_for(h, clean_cache[get_act_name(part, l)]))],
                        )
                    )
                    for h in range(model.cfg.n_heads)
                ]
            )
            for l in range(model.cfg.n_layers)
        ]
    )


# %% right 06.7: head axis moved to the front
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    axis = {"q": 2, "k": 2, "v": 2, "pattern": 1}[part]
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        clean = clean_cache[name].movedim(axis, 0)
        for head in range(model.cfg.n_heads):

            def patch(x, hook, head=head, clean=clean):
                parts = list(x.unbind(axis))
                parts[head] = clean[head]
                return torch.stack(parts, dim=axis)

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])).item())
    return torch.tensor(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.7: the pattern's head axis is not 2
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 2
    for layer in range(L):
        name = get_act_name(part, layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                x.select(axis, head).copy_(clean.select(axis, head))
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.7: axis 1 for all parts
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 1
    for layer in range(L):
        name = get_act_name(part, layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                x.select(axis, head).copy_(clean.select(axis, head))
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.7: always z
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 2
    for layer in range(L):
        name = get_act_name("z", layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                x.select(axis, head).copy_(clean.select(axis, head))
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.7: whole layer
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 1 if part == "pattern" else 2
    for layer in range(L):
        name = get_act_name(part, layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                x.copy_(clean)
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.7: keys and queries confused
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 1 if part == "pattern" else 2
    for layer in range(L):
        name = get_act_name({"q": "k", "k": "q"}.get(part, part), layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                x.select(axis, head).copy_(clean.select(axis, head))
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.7: the cache is changed: copies in the wrong direction
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 1 if part == "pattern" else 2
    for layer in range(L):
        name = get_act_name(part, layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                clean.select(axis, head).copy_(x.select(axis, head))
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.7: last query or position only
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 1 if part == "pattern" else 2
    for layer in range(L):
        name = get_act_name(part, layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                x.select(axis, head)[:, -1].copy_(clean.select(axis, head)[:, -1])
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


# %% wrong 06.7: layers and heads turned round in the result
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=corrupted_tokens.device)
    axis = 1 if part == "pattern" else 2
    for layer in range(L):
        name = get_act_name(part, layer)
        for head in range(H):

            def patch(x, hook, head=head, clean=clean_cache[name]):
                x = x.clone()
                x.select(axis, head).copy_(clean.select(axis, head))
                return x

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result.T


# %% right 06.8: all heads held by hooks
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% right 06.8: only what comes after the sender needs holding
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads

    def constant(name):
        value = cache[name]
        return name, lambda x, hook: value.clone()

    def send(layer, head):
        name = get_act_name("z", layer)

        def put(z, hook):
            z = z.clone()
            z[:, :, head] = new_cache[name][:, :, head]
            return z

        return name, put

    out = []
    for layer in range(L):
        later = [constant(get_act_name("z", l)) for l in range(layer + 1, L)]
        if freeze_mlps:
            later += [constant(get_act_name("mlp_out", l)) for l in range(layer, L)]
        for head in range(H):
            out.append(metric(model.run_with_hooks(tokens, fwd_hooks=[send(layer, head), *later])))
    return torch.stack(out).reshape(L, H)


# %% right 06.8: mixed z built beforehand
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    mlps = [get_act_name("mlp_out", l) for l in range(model.cfg.n_layers)] if freeze_mlps else []

    def run(values):
        return model.run_with_hooks(tokens, fwd_hooks=[(n, lambda x, hook, v=v: v) for n, v in values.items()])

    rows = []
    for l, name in enumerate(names):
        row = []
        for h in range(model.cfg.n_heads):
            values = {n: cache[n] for n in names + mlps}
            mixed = torch.clone(values[name])
            mixed[..., h, :] = new_cache[name][..., h, :]
            values[name] = mixed
            row.append(metric(run(values)).item())
        rows.append(row)
    return torch.tensor(rows)


# %% wrong 06.8: the other heads are not held
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = z.clone()
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: MLPs always frozen
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if True:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: freeze_mlps the other way round
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if not freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: MLPs never frozen
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps is None:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: caches exchanged
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = new_cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, :, head] = cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: no clone: the cache keeps the sender's new z
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)]
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: late binding of l: every layer gets the last layer's z
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: MLPs held at the other run's
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: new_cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: last position only (seen by a metric that reads others)
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, -1, head] = new_cache[get_act_name("z", l)][:, -1, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: the whole layer sends
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z = new_cache[get_act_name("z", l)].clone()
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.8: MLPs frozen in the sender's layer only
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            hooks = []
            for l in range(L):

                def hold(z, hook, l=l):
                    z = cache[get_act_name("z", l)].clone()
                    if l == layer:
                        z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                    return z

                hooks.append((get_act_name("z", l), hold))
                if freeze_mlps and l == layer:
                    hooks.append((get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% right 06.9: two hooked runs per sender
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% right 06.9: one hook per receiver
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads

    def set_head(head, value):
        def fn(x, hook):
            x = x.clone()
            x[:, :, head] = value
            return x

        return fn

    def fixed(value):
        return lambda z, hook: value

    out = torch.empty(L, H)
    for sl in range(L):
        for sh in range(H):
            zs = [cache[get_act_name("z", l)] for l in range(L)]
            zs[sl] = zs[sl].clone()
            zs[sl][:, :, sh] = new_cache[get_act_name("z", sl)][:, :, sh]
            run2 = [(get_act_name("z", l), fixed(z)) for l, z in enumerate(zs)]
            seen = {}

            def look(x, hook, key):
                seen[key] = x[:, :, key[1]].clone()

            for r in receivers:
                run2.append((get_act_name(part, r[0]), lambda x, hook, key=tuple(r): look(x, hook, key)))
            model.run_with_hooks(tokens, fwd_hooks=run2)
            run3 = [(get_act_name(part, l), set_head(h, seen[l, h])) for l, h in receivers]
            out[sl, sh] = metric(model.run_with_hooks(tokens, fwd_hooks=run3))
    return out


# %% right 06.9: senders that come too late get the plain metric
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    name_z = [get_act_name("z", l) for l in range(L)]
    by_layer = {}
    for l, h in receivers:
        by_layer.setdefault(l, []).append(h)
    plain = float(metric(model(tokens)))
    table = [[plain] * H for _ in range(L)]
    for l in range(max(by_layer, default=0)):
        for h in range(H):

            def frozen(z, hook, i):
                z = cache[name_z[i]].clone()
                if i == l:
                    z[:, :, h] = new_cache[name_z[i]][:, :, h]
                return z

            arrived = {}

            def note(x, hook, i):
                arrived[i] = x.clone()

            def give(x, hook, i):
                x = x.clone()
                x[:, :, by_layer[i]] = arrived[i][:, :, by_layer[i]]
                return x

            first = [(n, lambda z, hook, i=i: frozen(z, hook, i)) for i, n in enumerate(name_z)]
            first += [(get_act_name(part, i), lambda x, hook, i=i: note(x, hook, i)) for i in by_layer]
            model.run_with_hooks(tokens, fwd_hooks=first)
            second = [(get_act_name(part, i), lambda x, hook, i=i: give(x, hook, i)) for i in by_layer]
            table[l][h] = float(metric(model.run_with_hooks(tokens, fwd_hooks=second)))
    return torch.tensor(table)


# %% wrong 06.9: of two receivers in one layer only the last counts
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                rh = dict(receivers)[l]
                x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: all heads of the receivers' layers receive
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                x[:] = kept[l]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: the first receiver only
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    receivers = receivers[:1]
    layers = [receivers[0][0]]
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: run 2 holds nothing but the sender
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = z.clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: receivers get the other run's part instead of what arrives
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = new_cache[get_act_name(part, l)][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: run 3 still holds all heads, so nothing comes through
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            hooks += [(get_act_name("z", l), lambda z, hook, l=l: cache[get_act_name("z", l)]) for l in range(L)]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: queries always, whatever the part
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name("q", l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name("q", l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: MLPs frozen in run 2
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            hooks += [(get_act_name("mlp_out", l), lambda x, hook, l=l: cache[get_act_name("mlp_out", l)]) for l in range(L)]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: late binding of l among the receivers
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook: receive(x, hook, layers[-1])) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: the metric of run 2
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
            continue

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: zeros instead of the metric for senders that come too late
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(max(layers)):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: changes the cache: no clone
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)]
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, :, rh] = kept[l][:, :, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% wrong 06.9: indices of the head taken along the positions
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    layers = sorted({l for l, _ in receivers})
    result = torch.zeros(L, H, device=tokens.device)
    for layer in range(L):
        for head in range(H):
            kept = {}

            def hold(z, hook, l):
                z = cache[get_act_name("z", l)].clone()
                if l == layer:
                    z[:, :, head] = new_cache[get_act_name("z", l)][:, :, head]
                return z

            def keep(x, hook, l):
                kept[l] = x.detach().clone()

            hooks = [(get_act_name("z", l), lambda z, hook, l=l: hold(z, hook, l)) for l in range(L)]
            hooks += [(get_act_name(part, l), lambda x, hook, l=l: keep(x, hook, l)) for l in layers]
            model.run_with_hooks(tokens, fwd_hooks=hooks)

            def receive(x, hook, l):
                x = x.clone()
                for rl, rh in receivers:
                    if rl == l:
                        x[:, rh] = kept[l][:, rh]
                return x

            hooks = [(get_act_name(part, l), lambda x, hook, l=l: receive(x, hook, l)) for l in layers]
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


# %% right 06.10: loop over the templates
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = torch.empty_like(z)
    for t in templates.unique():
        rows = templates == t
        out[rows] = z[rows].mean(0)
    return out


# %% right 06.10: matrix of equal templates
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    same = (templates[:, None] == templates[None, :]).to(z.dtype)
    return torch.einsum("bc,cshe->bshe", same / same.sum(1, keepdim=True), z)


# %% right 06.10: index_add
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    _, group = torch.unique(templates, return_inverse=True)
    n = int(group.max()) + 1
    total = torch.zeros(n, *z.shape[1:], dtype=z.dtype, device=z.device).index_add_(0, group, z)
    count = torch.bincount(group, minlength=n).to(z.dtype)
    return (total / count[:, None, None, None])[group]


# %% right 06.10: prompt by prompt
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    return torch.stack([z[(templates == t).nonzero()[:, 0]].mean(dim=0) for t in templates.tolist()])


# %% wrong 06.10: one mean over all templates
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    return z.mean(0, keepdim=True).expand_as(z)


# %% wrong 06.10: also averaged over positions
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = torch.empty_like(z)
    for t in templates.unique():
        rows = templates == t
        out[rows] = z[rows].mean(dim=(0, 1))
    return out


# %% wrong 06.10: one row per template
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    return torch.stack([z[templates == t].mean(0) for t in templates.unique()])


# %% wrong 06.10: changes z itself
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    for t in templates.unique():
        z[templates == t] = z[templates == t].mean(0)
    return z


# %% wrong 06.10: sum instead of mean
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = torch.empty_like(z)
    for t in templates.unique():
        rows = templates == t
        out[rows] = z[rows].sum(0)
    return out


# %% wrong 06.10: hard-coded templates 0 and 1
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = torch.zeros_like(z)
    for t in range(2):
        rows = templates == t
        out[rows] = z[rows].mean(0)
    return out


# %% wrong 06.10: divides by the batch
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    same = (templates[:, None] == templates[None, :]).to(z.dtype)
    return torch.einsum("bc,cshe->bshe", same, z) / z.shape[0]


# %% wrong 06.10: assumes the templates alternate, two of them
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = z.clone()
    out[0::2] = z[0::2].mean(0)
    out[1::2] = z[1::2].mean(0)
    return out


# %% right 06.10: hooks with the means
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% right 06.10: boolean mask of what is kept, torch.where
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L, H = model.cfg.n_layers, model.cfg.n_heads
    b, s = tokens.shape
    keep = torch.zeros(L, b, s, H, 1, dtype=torch.bool, device=tokens.device)
    for role in circuit:
        for layer, head in circuit[role]:
            for prompt, pos in enumerate(positions[role].tolist()):
                keep[layer, prompt, pos, head] = True
    same = (templates[:, None] == templates).float()
    same = same / same.sum(-1, keepdim=True)
    _, cache = model.run_with_cache(abc_tokens)

    def make(layer):
        mean = torch.einsum("bc,cshe->bshe", same, cache[get_act_name("z", layer)])
        return get_act_name("z", layer), lambda z, hook: torch.where(keep[layer], z, mean)

    whole = metric(model(tokens))
    return metric(model.run_with_hooks(tokens, fwd_hooks=[make(l) for l in range(L)])) / whole


# %% wrong 06.10: means of the same prompts, not of the ABC prompts
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: one mean over all templates
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        means[l][:] = z.mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: whole over circuit
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model(tokens)) / metric(model.run_with_hooks(tokens, fwd_hooks=hooks))


# %% wrong 06.10: circuit heads left alone at all positions
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[:, :, hh] = z[:, :, hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: the first prompt's position for all
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    pos = positions[role][0]
                    out[:, pos, hh] = z[:, pos, hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: ablates the circuit instead of the rest
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = z.clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = means[l][rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: a head in two roles counts at its last role's position only
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    place = {tuple(h): role for role, heads in circuit.items() for h in heads}

    def ablate(z, hook, l):
        out = means[l].clone()
        for (hl, hh), role in place.items():
            if hl == l:
                out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: one head per layer: the last one wins
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out = means[l].clone()
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: not as a share
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks))


# %% wrong 06.10: whole model measured on the ABC prompts
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(abc_tokens))


# %% wrong 06.10: positions also averaged
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean((0, 1))
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: late binding of the layer
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    L = model.cfg.n_layers
    _, abc = model.run_with_cache(abc_tokens)
    means = {}
    for l in range(L):
        z = abc[get_act_name("z", l)]
        means[l] = torch.empty_like(z)
        for t in templates.unique():
            means[l][templates == t] = z[templates == t].mean(0)
    rows = torch.arange(tokens.shape[0], device=tokens.device)

    def ablate(z, hook, l):
        out = means[l].clone()
        for role, heads in circuit.items():
            for hl, hh in heads:
                if hl == l:
                    out[rows, positions[role], hh] = z[rows, positions[role], hh]
        return out

    hooks = [(get_act_name("z", l), lambda z, hook: ablate(z, hook, l)) for l in range(L)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% right 06.11: gradient by an added zero
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l]).sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% right 06.11: gradient by z itself, einsum
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    zs, clean = {}, {}

    def keep(z, hook, name):
        if not z.requires_grad:
            z = z.detach().requires_grad_()
        zs[name] = z
        return z

    def note(z, hook, name):
        clean[name] = z.detach().clone()

    with torch.no_grad():
        model.run_with_hooks(clean_tokens, fwd_hooks=[(n, lambda z, hook, n=n: note(z, hook, n)) for n in names])
    with torch.enable_grad():
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(n, lambda z, hook, n=n: keep(z, hook, n)) for n in names])
        grads = torch.autograd.grad(metric(logits), [zs[n] for n in names])
    with torch.no_grad():
        return torch.stack([torch.einsum("bshe,bshe->h", clean[n] - zs[n], g) for n, g in zip(names, grads)])


# %% right 06.11: torch's own hooks
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    points = [model.get_submodule(get_act_name("z", l)) for l in range(L)]

    def run(tokens, fn):
        handles = [p.register_forward_hook(fn) for p in points]
        try:
            return model(tokens)
        finally:
            for handle in handles:
                handle.remove()

    before, after, eps = [], [], []
    with torch.no_grad():
        run(clean_tokens, lambda m, a, z: before.append(z.clone()))

    def second(m, a, z):
        after.append(z.detach().clone())
        eps.append(torch.zeros_like(z).requires_grad_())
        return z + eps[-1]

    with torch.enable_grad():
        grads = torch.autograd.grad(metric(run(corrupted_tokens, second)), eps)
    return torch.stack([((b - c) * g).sum(dim=(0, 1, 3)) for b, c, g in zip(before, after, grads)])


# %% wrong 06.11: corrupted minus clean
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((kept[l] - clean[get_act_name("z", l)]) * grads[l]).sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: gradient at the clean run
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(corrupted_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(clean_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((kept[l] - clean[get_act_name("z", l)]) * grads[l]).sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: fails where gradients are switched off
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    if True:
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l]).sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: mean over the batch instead of the sum
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l]).sum((1, 3)).mean(0) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: last position only
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l])[:, -1].sum((0, 2)) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: gradient times clean z, not times the difference
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [(clean[get_act_name("z", l)] * grads[l]).sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: detached at every layer: later layers do not pass the gradient on
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z.detach() + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l]).sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: difference and gradient summed before they are multiplied
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]).sum((0, 1)) * grads[l].sum((0, 1))).sum(-1) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: absolute values
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l]).abs().sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: heads and positions confused in the sum
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l]).sum((0, 2, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% wrong 06.11: result hangs on a graph where gradients are on (create_graph, no detach)
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)], create_graph=True)
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l]).sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows) + 0 * value


# %% wrong 06.11: the hooks stay on the model
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    L = model.cfg.n_layers
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
    kept, extra = {}, {}

    def add_zero(z, hook, l):
        kept[l] = z.detach()
        extra[l] = torch.zeros_like(z, requires_grad=True)
        return z + extra[l]

    hooks = [(get_act_name("z", l), lambda z, hook, l=l: add_zero(z, hook, l)) for l in range(L)]
    with torch.enable_grad():
        for name, hook in hooks:
            dict(model.named_modules())[name].add_hook(hook)
        value = metric(model(corrupted_tokens))
        grads = torch.autograd.grad(value, [extra[l] for l in range(L)])
    rows = [((clean[get_act_name("z", l)] - kept[l]) * grads[l]).sum((0, 1, 3)) for l in range(L)]
    return torch.stack(rows).detach()


# %% right 06.1: random.Random(seed), sample of two, loop
def make_ioi(n, seed, names, tokenizer):
    rng = random.Random(seed)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(" " + name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for row in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if row % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% right 06.1: torch generator and randperm, list comprehensions
def make_ioi(n, seed, names, tokenizer):
    generator = torch.Generator().manual_seed(seed)
    usable = []
    for name in names:
        if len(tokenizer.encode(f" {name}")) == 1 and name not in usable:
            usable.append(name)
    draws = [torch.randperm(len(usable), generator=generator)[:2].tolist() for _ in range(n)]
    people = [(usable[i], usable[j]) for i, j in draws]
    givers = [pair[1 - row % 2] for row, pair in enumerate(people)]
    others = [pair[row % 2] for row, pair in enumerate(people)]
    return {
        "clean": [TEMPLATE.format(A=a, B=b, S=s) for (a, b), s in zip(people, givers)],
        "corrupted": [TEMPLATE.format(A=a, B=b, S=s) for (a, b), s in zip(people, others)],
        "answers": [(f" {o}", f" {g}") for o, g in zip(others, givers)],
    }


# %% wrong 06.1: names are filtered by their encoding without the space before them
def make_ioi(n, seed, names, tokenizer):
    rng = random.Random(seed)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for row in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if row % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% wrong 06.1: A and B are two independent choices, so that they are sometimes the same person
def make_ioi(n, seed, names, tokenizer):
    rng = random.Random(seed)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(" " + name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for row in range(n):
        a, b = rng.choice(usable), rng.choice(usable)
        s, io = (b, a) if row % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% wrong 06.1: seed 0 counts as no seed (seed or None), so that nothing is reproducible with seed=0
def make_ioi(n, seed, names, tokenizer):
    rng = random.Random(seed or None)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(" " + name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for row in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if row % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% wrong 06.1: names are removed from the caller's list while it is iterated over: of two neighbouring many-token names the second stays, and the list is edited
def make_ioi(n, seed, names, tokenizer):
    rng = random.Random(seed)
    for name in names:
        if len(tokenizer.encode(" " + name)) != 1:
            names.remove(name)
    usable = names
    data = {"clean": [], "corrupted": [], "answers": []}
    for row in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if row % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% wrong 06.1: pairs are drawn without repetition over the rows instead of anew: no pair comes again, and n larger than the number of pairs is an error
import itertools


def make_ioi(n, seed, names, tokenizer):
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    pairs = rng.sample(list(itertools.permutations(usable, 2)), n)
    data = {"clean": [], "corrupted": [], "answers": []}
    for row, (a, b) in enumerate(pairs):
        s, io = (b, a) if row % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% right 06.2: advanced indexing
def logit_diff(logits, answers, end):
    rows = torch.arange(len(end), device=logits.device)
    return logits[rows, end, answers[:, 0]] - logits[rows, end, answers[:, 1]]


# %% right 06.2: take_along_dim twice and unbind
def logit_diff(logits, answers, end):
    at_end = logits.take_along_dim(end.long()[:, None, None], dim=1).squeeze(1)
    io, s = at_end.take_along_dim(answers.long(), dim=-1).unbind(-1)
    return io - s


# %% wrong 06.2: end is ignored, the last position of the padded row is read
def logit_diff(logits, answers, end):
    last = logits[:, -1]
    picked = last.gather(-1, answers)
    return picked[:, 0] - picked[:, 1]


# %% wrong 06.2: the first prompt's end is used for all prompts
def logit_diff(logits, answers, end):
    last = logits[:, end[0]]
    picked = last.gather(-1, answers)
    return picked[:, 0] - picked[:, 1]


# %% wrong 06.2: squeeze() without a dimension: with one prompt the result has no axis instead of shape [1]
def logit_diff(logits, answers, end):
    b, s, v = logits.shape
    at_end = logits.gather(1, end[:, None, None].expand(b, 1, v)).squeeze(1)
    io = at_end.gather(1, answers[:, :1]).squeeze()
    other = at_end.gather(1, answers[:, 1:]).squeeze()
    return io - other


# %% wrong 06.2: log of softmax instead of the logits: inf or nan where a probability underflows to 0
def logit_diff(logits, answers, end):
    rows = torch.arange(len(end), device=logits.device)
    logprobs = logits[rows, end].softmax(-1).log()
    return logprobs[rows, answers[:, 0]] - logprobs[rows, answers[:, 1]]


# %% wrong 06.2: flat index with stride b instead of s: right only for the first prompt or when b == s
def logit_diff(logits, answers, end):
    b, s, v = logits.shape
    rows = torch.arange(b, device=logits.device)
    flat = logits.reshape(b * s, v)[(rows * b + end) % (b * s)]
    return flat[rows, answers[:, 0]] - flat[rows, answers[:, 1]]


# %% right 06.3: means, plain formula
def normalised_metric(x, clean, corrupted):
    low, high = corrupted.mean(), clean.mean()
    return (x.mean() - low) / (high - low)


# %% right 06.3: means of differences (same number of prompts in all three), torch.div
def normalised_metric(x, clean, corrupted):
    return torch.div(torch.sub(x, corrupted).mean(dim=0), torch.sub(clean, corrupted).mean(dim=0))


# %% wrong 06.3: mean of each prompt's own ratio instead of the ratio of the means (also inf where one prompt's clean equals its corrupted)
def normalised_metric(x, clean, corrupted):
    return ((x - corrupted) / (clean - corrupted)).mean()


# %% wrong 06.3: the denominator is clamped to be positive: wrong when the mean of clean lies below that of corrupted
def normalised_metric(x, clean, corrupted):
    low = corrupted.mean()
    return (x.mean() - low) / (clean.mean() - low).clamp_min(1e-8)


# %% wrong 06.3: the result is clamped to 0..1, though x may lie outside of the two means
def normalised_metric(x, clean, corrupted):
    low, high = corrupted.mean(), clean.mean()
    return ((x.mean() - low) / (high - low)).clamp(0, 1)


# %% wrong 06.3: a fresh tensor from item(): cannot be differentiated through x
def normalised_metric(x, clean, corrupted):
    low, high = corrupted.mean().item(), clean.mean().item()
    return torch.tensor((x.mean().item() - low) / (high - low))


# %% wrong 06.3: keepdim: result has shape [1] instead of no axes
def normalised_metric(x, clean, corrupted):
    low, high = corrupted.mean(0, keepdim=True), clean.mean(0, keepdim=True)
    return (x.mean(0, keepdim=True) - low) / (high - low)


# %% right 06.4: columns of W_U, einsum layer by layer
def logit_directions(model, answers):
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = torch.einsum("bhd,bd->bh", written / scale[:, None], directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% right 06.4: embedding look-up in W_U.T, python loops over layers, heads and prompts
def logit_directions(model, answers):
    both = torch.nn.functional.embedding(answers, model.W_U.T)
    return both[:, 0] - both[:, 1]


def head_attribution(model, cache, directions):
    n_prompts = directions.shape[0]
    scale = cache["ln_final.hook_scale"]
    out = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, dtype=directions.dtype, device=directions.device)
    with torch.no_grad():
        for layer in range(model.cfg.n_layers):
            z = cache[get_act_name("z", layer)]
            for head in range(model.cfg.n_heads):
                total = 0.0
                for i in range(n_prompts):
                    written = z[i, -1, head] @ model.blocks[layer].attn.W_O[head]
                    total = total + torch.dot(written, directions[i]) / scale[i, -1, 0]
                out[layer, head] = total / n_prompts
    return out


# %% right 06.4: index_select, one einsum over the stack of all layers
def logit_directions(model, answers):
    io = torch.index_select(model.W_U, 1, answers[:, 0])
    s = torch.index_select(model.W_U, 1, answers[:, 1])
    return torch.sub(io, s).transpose(0, 1).contiguous()


def head_attribution(model, cache, directions):
    zs = torch.stack([cache[get_act_name("z", layer)][:, -1] for layer in range(model.cfg.n_layers)])
    weights = torch.stack([block.attn.W_O for block in model.blocks])
    scaled = directions / cache["ln_final.hook_scale"][:, -1]
    return torch.einsum("lbhe,lhed,bd->lbh", zs, weights, scaled).mean(1)


# %% right 06.4: signed one-hot times W_U; the direction is carried back through W_O, the scale computed from resid_post
def logit_directions(model, answers):
    signed = torch.zeros(len(answers), model.W_U.shape[1], dtype=model.W_U.dtype, device=model.W_U.device)
    rows = torch.arange(len(answers), device=model.W_U.device)
    signed[rows, answers[:, 0]] += 1
    signed[rows, answers[:, 1]] -= 1
    return signed @ model.W_U.T


def head_attribution(model, cache, directions):
    final = cache[get_act_name("resid_post", model.cfg.n_layers - 1)][:, -1]
    scale = (final.var(-1, unbiased=False, keepdim=True) + model.cfg.eps).sqrt()
    result = []
    for layer in range(model.cfg.n_layers):
        probe = model.W_O[layer] @ (directions / scale).T  # [h, e, b]
        z = cache[get_act_name("z", layer)][:, -1].permute(1, 2, 0)  # [h, e, b]
        result.append((probe * z).sum(1).mean(-1))
    return torch.stack(result, dim=0)


# %% wrong 06.4: logit_directions: W_U is reshaped to [v, d] instead of transposed, scrambling it
def logit_directions(model, answers):
    W = model.W_U.reshape(model.W_U.shape[1], model.W_U.shape[0])
    return W[answers[:, 0]] - W[answers[:, 1]]


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = torch.einsum("bhd,bd->bh", written / scale[:, None], directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: logit_directions: sign turned around, S minus IO
def logit_directions(model, answers):
    return (model.W_U[:, answers[:, 1]] - model.W_U[:, answers[:, 0]]).T


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = torch.einsum("bhd,bd->bh", written / scale[:, None], directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: logit_directions: rows of the embedding W_E instead of columns of the unembedding
def logit_directions(model, answers):
    return model.W_E[answers[:, 0]] - model.W_E[answers[:, 1]]


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = torch.einsum("bhd,bd->bh", written / scale[:, None], directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: logit_directions: only the direction of answers[:, 0], nothing subtracted
def logit_directions(model, answers):
    return model.W_U[:, answers[:, 0]].T


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = torch.einsum("bhd,bd->bh", written / scale[:, None], directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: logit_directions: squeeze() drops the batch axis when there is one prompt
def logit_directions(model, answers):
    io, s = model.W_U.T[answers].split(1, dim=1)
    return (io - s).squeeze()


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = torch.einsum("bhd,bd->bh", written / scale[:, None], directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: head_attribution: scale is averaged over prompts before dividing, instead of each prompt's own
def logit_directions(model, answers):
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1].mean(0, keepdim=True)
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = torch.einsum("bhd,bd->bh", written / scale[:, None], directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: head_attribution: the layer's output bias b_O is shared out equally among the heads, though biases belong to no head
def logit_directions(model, answers):
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        written = written + model.b_O[layer] / model.cfg.n_heads
        along = torch.einsum("bhd,bd->bh", written / scale[:, None], directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: head_attribution: mean output dotted with the mean direction, instead of each prompt's output with its own direction
def logit_directions(model, answers):
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = (written / scale[:, None]).mean(0) @ directions.mean(0)
        rows.append(along)
    return torch.stack(rows)


# %% wrong 06.4: head_attribution: every head's output is normalised by its own standard deviation instead of the final LayerNorm's scale
def logit_directions(model, answers):
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        along = torch.einsum("bhd,bd->bh", written / (written.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt(), directions)
        rows.append(along.mean(0))
    return torch.stack(rows)


# %% wrong 06.4: head_attribution: divides z by the scale in place, through a view: values right the first time, but the cache is changed
def logit_directions(model, answers):
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    with torch.no_grad():
        for layer in range(model.cfg.n_layers):
            z = cache[get_act_name("z", layer)][:, -1]
            z /= scale[:, :, None]
            rows.append(torch.einsum("bhe,hed,bd->bh", z, model.W_O[layer], directions).mean(0))
    return torch.stack(rows)


# %% right 06.5: double loop, clone in the hook
@torch.no_grad()
def patch_resid(model, corrupted_tokens, clean_cache, metric):
    n_layers, s = model.cfg.n_layers, corrupted_tokens.shape[1]
    values = []
    for layer in range(n_layers):
        name = get_act_name("resid_pre", layer)
        for pos in range(s):

            def patch(resid, hook):
                resid = resid.clone()
                resid[:, pos] = clean_cache[name][:, pos]
                return resid

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(n_layers, s)


# %% right 06.5: one batched run per layer: s copies of the batch, torch.where with an identity mask, logits split by copy
@torch.no_grad()
def patch_resid(model, corrupted_tokens, clean_cache, metric):
    b, s = corrupted_tokens.shape
    mask = torch.eye(s, dtype=torch.bool, device=corrupted_tokens.device)[:, None, :, None]

    def one_layer(layer):
        name = get_act_name("resid_pre", layer)

        def patch(resid, hook):
            copies = resid.unflatten(0, (s, b))
            return torch.where(mask, clean_cache[name][None], copies).flatten(0, 1)

        logits = model.run_with_hooks(corrupted_tokens.repeat(s, 1), fwd_hooks=[(name, patch)])
        return torch.stack([metric(part) for part in logits.chunk(s, dim=0)])

    return torch.stack([one_layer(layer) for layer in range(model.cfg.n_layers)])


# %% wrong 06.5: resid_mid (after the layer's attention) is patched instead of resid_pre
@torch.no_grad()
def patch_resid(model, corrupted_tokens, clean_cache, metric):
    n_layers, s = model.cfg.n_layers, corrupted_tokens.shape[1]
    values = []
    for layer in range(n_layers):
        name = get_act_name("resid_mid", layer)
        for pos in range(s):

            def patch(resid, hook):
                resid = resid.clone()
                resid[:, pos] = clean_cache[name][:, pos]
                return resid

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(n_layers, s)


# %% wrong 06.5: the list of hooks grows over the positions: all earlier positions of the layer stay patched too
@torch.no_grad()
def patch_resid(model, corrupted_tokens, clean_cache, metric):
    n_layers, s = model.cfg.n_layers, corrupted_tokens.shape[1]
    values = []
    for layer in range(n_layers):
        name = get_act_name("resid_pre", layer)
        hooks = []
        for pos in range(s):

            def patch(resid, hook, pos=pos):
                resid = resid.clone()
                resid[:, pos] = clean_cache[name][:, pos]
                return resid

            hooks.append((name, patch))
            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)))
    return torch.stack(values).reshape(n_layers, s)


# %% wrong 06.5: the hooks are all made first and bind the loop variable late: the last position is patched every time
@torch.no_grad()
def patch_resid(model, corrupted_tokens, clean_cache, metric):
    out = torch.zeros(model.cfg.n_layers, corrupted_tokens.shape[1])
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_pre", layer)
        hooks = []
        for pos in range(corrupted_tokens.shape[1]):

            def patch(resid, hook):
                resid[:, pos] = clean_cache[name][:, pos]
                return resid

            hooks.append(patch)
        for i, patch in enumerate(hooks):
            out[layer, i] = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)]))
    return out


# %% wrong 06.5: the hook is added by hand and removed only after the metric: it stays on the model when the metric raises
@torch.no_grad()
def patch_resid(model, corrupted_tokens, clean_cache, metric):
    n_layers, s = model.cfg.n_layers, corrupted_tokens.shape[1]
    values = []
    for layer in range(n_layers):
        name = get_act_name("resid_pre", layer)
        for pos in range(s):

            def patch(resid, hook):
                resid = resid.clone()
                resid[:, pos] = clean_cache[name][:, pos]
                return resid

            model.add_hook(name, patch)
            values.append(metric(model(corrupted_tokens)))
            model.reset_hooks()
    return torch.stack(values).reshape(n_layers, s)


# %% wrong 06.5: swaps the position between run and cache in place: values right, but afterwards the clean cache's resid_pre hold the corrupted run
@torch.no_grad()
def patch_resid(model, corrupted_tokens, clean_cache, metric):
    n_layers, s = model.cfg.n_layers, corrupted_tokens.shape[1]
    values = []
    for layer in range(n_layers):
        name = get_act_name("resid_pre", layer)
        for pos in range(s):

            def patch(resid, hook):
                theirs = clean_cache[name][:, pos].clone()
                clean_cache[name][:, pos] = resid[:, pos]
                resid[:, pos] = theirs
                return resid

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(n_layers, s)


# %% right 06.6: double loop, clone in the hook
@torch.no_grad()
def patch_heads(model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def patch(z, hook):
                z = z.clone()
                z[:, :, head] = clean_cache[name][:, :, head]
                return z

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% right 06.6: one batched run per layer with a copy of the batch for each head
@torch.no_grad()
def patch_heads(model, corrupted_tokens, clean_cache, metric):
    n_heads, b = model.cfg.n_heads, corrupted_tokens.shape[0]
    own = torch.eye(n_heads, device=corrupted_tokens.device).bool().view(n_heads, 1, 1, n_heads, 1)
    table = []
    for layer in range(model.cfg.n_layers):
        clean = clean_cache[get_act_name("z", layer)]

        def patch(z, hook):
            return torch.where(own, clean.unsqueeze(0), z.unflatten(0, (n_heads, b))).flatten(0, 1)

        many = torch.cat([corrupted_tokens] * n_heads)
        logits = model.run_with_hooks(many, fwd_hooks=[(get_act_name("z", layer), patch)])
        table.append(torch.stack([metric(logits[h * b : (h + 1) * b]) for h in range(n_heads)]))
    return torch.stack(table)


# %% wrong 06.6: wrong axis: replaces position number `head` of all heads instead of the head at all positions
@torch.no_grad()
def patch_heads(model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def patch(z, hook):
                z = z.clone()
                z[:, head : head + 1] = clean_cache[name][:, head : head + 1]
                return z

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.6: only the last position of the head is patched
@torch.no_grad()
def patch_heads(model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def patch(z, hook):
                z = z.clone()
                z[:, -1, head] = clean_cache[name][:, -1, head]
                return z

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.6: all other heads are held at the corrupted run, so that later heads cannot react to the patch
@torch.no_grad()
def patch_heads(model, corrupted_tokens, clean_cache, metric):
    _, corrupted_cache = model.run_with_cache(corrupted_tokens)
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    out = torch.zeros(n_layers, n_heads)

    def make(at, layer, head):
        def patch(z, hook):
            z = corrupted_cache[get_act_name("z", at)].clone()
            if at == layer:
                z[:, :, head] = clean_cache[get_act_name("z", at)][:, :, head]
            return z

        return patch

    for layer in range(n_layers):
        for head in range(n_heads):
            hooks = [(get_act_name("z", at), make(at, layer, head)) for at in range(n_layers)]
            out[layer, head] = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
    return out


# %% wrong 06.6: heads run in the outer loop but the list is reshaped to [l, h]: values land in the wrong cells unless there is one layer or one head
@torch.no_grad()
def patch_heads(model, corrupted_tokens, clean_cache, metric):
    def patched(layer, head):
        name = get_act_name("z", layer)

        def patch(z, hook):
            z[:, :, head] = clean_cache[name][:, :, head]
            return z

        return metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)]))

    values = [patched(layer, head) for head in range(model.cfg.n_heads) for layer in range(model.cfg.n_layers)]
    return torch.stack(values).view(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.6: builds the patched z inside the clean cache's tensor: head 0 comes out right, for later heads the cache already holds corrupted z, and the cache is changed
@torch.no_grad()
def patch_heads(model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def patch(z, hook):
                clean = clean_cache[name]
                clean[:, :, :head] = z[:, :, :head]
                clean[:, :, head + 1 :] = z[:, :, head + 1 :]
                return clean

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% right 06.7: double loop with a branch for the pattern
@torch.no_grad()
def patch_head_part(part, model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def patch(act, hook):
                act = act.clone()
                if part == "pattern":
                    act[:, head] = clean_cache[name][:, head]
                else:
                    act[:, :, head] = clean_cache[name][:, :, head]
                return act

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% right 06.7: head axis by name of the part, index_copy, hook factory
@torch.no_grad()
def patch_head_part(part, model, corrupted_tokens, clean_cache, metric):
    axis = {"q": 2, "k": 2, "v": 2, "pattern": 1}[part]

    def patched_with(clean, head):
        index = torch.tensor([head], device=clean.device)

        def patch(act, hook):
            return act.index_copy(axis, index, clean.index_select(axis, index))

        return patch

    out = None
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):
            hooks = [(name, patched_with(clean_cache[name], head))]
            value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks))
            if out is None:
                out = value.new_zeros(model.cfg.n_layers, model.cfg.n_heads)
            out[layer, head] = value
    return out


# %% wrong 06.7: the pattern is indexed like q, k, v: query position number `head` of all heads is replaced instead of the head
@torch.no_grad()
def patch_head_part(part, model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def patch(act, hook):
                act = act.clone()
                act[:, :, head : head + 1] = clean_cache[name][:, :, head : head + 1]
                return act

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.7: the head axis is guessed from the shape (axis 1 if its size is n_heads): q, k, v are patched at a position when the sequence is as long as there are heads
@torch.no_grad()
def patch_head_part(part, model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def patch(act, hook):
                act = act.clone()
                if act.shape[1] == model.cfg.n_heads:
                    act[:, head] = clean_cache[name][:, head]
                else:
                    act[:, :, head] = clean_cache[name][:, :, head]
                return act

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.7: for "v" the head's z is patched instead of its values
@torch.no_grad()
def patch_head_part(part, model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z" if part == "v" else part, layer)
        for head in range(model.cfg.n_heads):

            def patch(act, hook):
                act = act.clone()
                if part == "pattern":
                    act[:, head] = clean_cache[name][:, head]
                else:
                    act[:, :, head] = clean_cache[name][:, :, head]
                return act

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.7: of the pattern only the last query's row is patched, not all positions
@torch.no_grad()
def patch_head_part(part, model, corrupted_tokens, clean_cache, metric):
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def patch(act, hook):
                act = act.clone()
                if part == "pattern":
                    act[:, head, -1] = clean_cache[name][:, head, -1]
                else:
                    act[:, :, head] = clean_cache[name][:, :, head]
                return act

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.7: results are remembered by part and model: a later call with other tokens, cache or metric gets the old table
_DONE = {}


@torch.no_grad()
def patch_head_part(part, model, corrupted_tokens, clean_cache, metric):
    if (part, id(model)) in _DONE:
        return _DONE[part, id(model)]
    values = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def patch(act, hook):
                act = act.clone()
                if part == "pattern":
                    act[:, head] = clean_cache[name][:, head]
                else:
                    act[:, :, head] = clean_cache[name][:, :, head]
                return act

            values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    _DONE[part, id(model)] = torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)
    return _DONE[part, id(model)]


# %% right 06.8: hooks on every layer's z and, if frozen, every mlp_out
@torch.no_grad()
def path_patch_to_logits(model, tokens, cache, new_cache, metric, freeze_mlps):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def hold_mlp(at):
        def fn(out, hook):
            return cache[get_act_name("mlp_out", at)].clone()

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            hooks = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            if freeze_mlps and not getattr(model.cfg, "attn_only", False):
                hooks += [(get_act_name("mlp_out", at), hold_mlp(at)) for at in range(n_layers)]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=hooks)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% right 06.8: hooks only from the sender's layer upward (what comes before is the run on tokens anyway), torch.where and lambdas
@torch.no_grad()
def path_patch_to_logits(model, tokens, cache, new_cache, metric, freeze_mlps):
    heads = torch.arange(model.cfg.n_heads, device=tokens.device)
    frozen_too = freeze_mlps and not getattr(model.cfg, "attn_only", False)

    def constant(value):
        return lambda act, hook: value.clone()

    rows = []
    for layer in range(model.cfg.n_layers):
        here = get_act_name("z", layer)
        rest = [(get_act_name("z", at), constant(cache[get_act_name("z", at)])) for at in range(layer + 1, model.cfg.n_layers)]
        if frozen_too:
            for at in range(layer, model.cfg.n_layers):
                rest.append((get_act_name("mlp_out", at), constant(cache[get_act_name("mlp_out", at)])))
        row = []
        for head in range(model.cfg.n_heads):
            mixed = torch.where((heads == head)[:, None], new_cache[here], cache[here])
            row.append(metric(model.run_with_hooks(tokens, fwd_hooks=[(here, constant(mixed)), *rest])))
        rows.append(torch.stack(row))
    return torch.stack(rows)


# %% wrong 06.8: MLPs are frozen only in layers after the sender's: the sender's own layer's MLP still passes the change on
@torch.no_grad()
def path_patch_to_logits(model, tokens, cache, new_cache, metric, freeze_mlps):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def hold_mlp(at):
        def fn(out, hook):
            return cache[get_act_name("mlp_out", at)].clone()

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            hooks = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            if freeze_mlps and not getattr(model.cfg, "attn_only", False):
                hooks += [(get_act_name("mlp_out", at), hold_mlp(at)) for at in range(layer + 1, n_layers)]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=hooks)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% wrong 06.8: writes the sender's z into the cache's own tensor: the cache is changed and earlier senders stay patched for later ones
@torch.no_grad()
def path_patch_to_logits(model, tokens, cache, new_cache, metric, freeze_mlps):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name]
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def hold_mlp(at):
        def fn(out, hook):
            return cache[get_act_name("mlp_out", at)].clone()

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            hooks = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            if freeze_mlps and not getattr(model.cfg, "attn_only", False):
                hooks += [(get_act_name("mlp_out", at), hold_mlp(at)) for at in range(n_layers)]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=hooks)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% wrong 06.8: freeze_mlps is ignored, the MLPs always run
@torch.no_grad()
def path_patch_to_logits(model, tokens, cache, new_cache, metric, freeze_mlps):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def hold_mlp(at):
        def fn(out, hook):
            return cache[get_act_name("mlp_out", at)].clone()

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            hooks = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=hooks)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% wrong 06.8: only the heads of the sender's own layer are held; heads in later layers run free and react (plain activation patching)
@torch.no_grad()
def path_patch_to_logits(model, tokens, cache, new_cache, metric, freeze_mlps):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def hold_mlp(at):
        def fn(out, hook):
            return cache[get_act_name("mlp_out", at)].clone()

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            hooks = [(get_act_name("z", at), hold(at, layer, head)) for at in range(layer + 1)]
            if freeze_mlps and not getattr(model.cfg, "attn_only", False):
                hooks += [(get_act_name("mlp_out", at), hold_mlp(at)) for at in range(n_layers)]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=hooks)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% wrong 06.8: hooks are added by hand and reset only after the metric: they stay on the model when the metric raises
@torch.no_grad()
def path_patch_to_logits(model, tokens, cache, new_cache, metric, freeze_mlps):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def hold_mlp(at):
        def fn(out, hook):
            return cache[get_act_name("mlp_out", at)].clone()

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            hooks = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            if freeze_mlps and not getattr(model.cfg, "attn_only", False):
                hooks += [(get_act_name("mlp_out", at), hold_mlp(at)) for at in range(n_layers)]
            for name, fn in hooks:
                model.add_hook(name, fn)
            values.append(metric(model(tokens)))
            model.reset_hooks()
    return torch.stack(values).reshape(n_layers, n_heads)


# %% right 06.9: three hook factories, both runs for every sender
@torch.no_grad()
def path_patch_to_heads(model, tokens, cache, new_cache, metric, receivers, part):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    receiver_layers = sorted({layer for layer, _ in receivers})

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def record(at, arrived):
        def fn(act, hook):
            arrived[at] = act.clone()
            return act

        return fn

    def put(at, arrived):
        def fn(act, hook):
            act = act.clone()
            for layer, head in receivers:
                if layer == at:
                    act[:, :, head] = arrived[at][:, :, head]
            return act

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            arrived = {}
            run2 = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            run2 += [(get_act_name(part, at), record(at, arrived)) for at in receiver_layers]
            model.run_with_hooks(tokens, fwd_hooks=run2)
            run3 = [(get_act_name(part, at), put(at, arrived)) for at in receiver_layers]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=run3)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% right 06.9: baseline for senders that reach no receiver, boolean head masks per layer, hooks only where something differs
@torch.no_grad()
def path_patch_to_heads(model, tokens, cache, new_cache, metric, receivers, part):
    masks = {}
    for at, h in receivers:
        if at not in masks:
            masks[at] = torch.zeros(model.cfg.n_heads, 1, dtype=torch.bool, device=tokens.device)
        masks[at][h] = True
    baseline = metric(model.run_with_hooks(tokens, fwd_hooks=[]))

    def sent(layer, head):
        reached = [at for at in masks if at > layer]
        if not reached:
            return baseline
        kept = {}
        name = get_act_name("z", layer)
        mine = cache[name].clone()
        mine[:, :, head] = new_cache[name][:, :, head]
        hooks = [(name, lambda z, hook: mine.clone())]
        for at in range(layer + 1, max(reached) + 1):
            hooks.append((get_act_name("z", at), lambda z, hook, at=at: cache[get_act_name("z", at)].clone()))
        for at in reached:

            def keep(act, hook, at=at):
                kept[at] = act.detach().clone()
                return act

            hooks.append((get_act_name(part, at), keep))
        model.run_with_hooks(tokens, fwd_hooks=hooks)
        final = [
            (get_act_name(part, at), lambda act, hook, at=at: torch.where(masks[at][: act.shape[2]], kept[at], act))
            for at in reached
        ]
        return metric(model.run_with_hooks(tokens, fwd_hooks=final))

    grid = [[sent(layer, head) for head in range(model.cfg.n_heads)] for layer in range(model.cfg.n_layers)]
    return torch.stack([torch.stack(row) for row in grid])


# %% wrong 06.9: senders that cannot reach the receivers are left at 0 instead of the metric of the unchanged run
@torch.no_grad()
def path_patch_to_heads(model, tokens, cache, new_cache, metric, receivers, part):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    receiver_layers = sorted({layer for layer, _ in receivers})

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def record(at, arrived):
        def fn(act, hook):
            arrived[at] = act.clone()
            return act

        return fn

    def put(at, arrived):
        def fn(act, hook):
            act = act.clone()
            for layer, head in receivers:
                if layer == at:
                    act[:, :, head] = arrived[at][:, :, head]
            return act

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            if layer >= max(receiver_layers):
                values.append(torch.zeros(()))
                continue
            arrived = {}
            run2 = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            run2 += [(get_act_name(part, at), record(at, arrived)) for at in receiver_layers]
            model.run_with_hooks(tokens, fwd_hooks=run2)
            run3 = [(get_act_name(part, at), put(at, arrived)) for at in receiver_layers]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=run3)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% wrong 06.9: receivers are kept as a dict layer -> head: of several receivers in one layer only the last is patched
@torch.no_grad()
def path_patch_to_heads(model, tokens, cache, new_cache, metric, receivers, part):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    by_layer = dict(receivers)
    receiver_layers = list(by_layer)

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def record(at, arrived):
        def fn(act, hook):
            arrived[at] = act.clone()
            return act

        return fn

    def put(at, arrived):
        def fn(act, hook):
            act = act.clone()
            act[:, :, by_layer[at]] = arrived[at][:, :, by_layer[at]]
            return act

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            arrived = {}
            run2 = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            run2 += [(get_act_name(part, at), record(at, arrived)) for at in receiver_layers]
            model.run_with_hooks(tokens, fwd_hooks=run2)
            run3 = [(get_act_name(part, at), put(at, arrived)) for at in receiver_layers]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=run3)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% wrong 06.9: senders at or above the lowest receiver's layer are taken as unable to reach any receiver, though receivers in later layers still hear them
@torch.no_grad()
def path_patch_to_heads(model, tokens, cache, new_cache, metric, receivers, part):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    receiver_layers = sorted({layer for layer, _ in receivers})

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def record(at, arrived):
        def fn(act, hook):
            arrived[at] = act.clone()
            return act

        return fn

    def put(at, arrived):
        def fn(act, hook):
            act = act.clone()
            for layer, head in receivers:
                if layer == at:
                    act[:, :, head] = arrived[at][:, :, head]
            return act

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            if layer >= min(receiver_layers):
                values.append(metric(model(tokens)))
                continue
            arrived = {}
            run2 = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            run2 += [(get_act_name(part, at), record(at, arrived)) for at in receiver_layers]
            model.run_with_hooks(tokens, fwd_hooks=run2)
            run3 = [(get_act_name(part, at), put(at, arrived)) for at in receiver_layers]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=run3)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% wrong 06.9: in run 2 the MLPs are frozen at the cache too, so that only the direct path through the residual stream counts
@torch.no_grad()
def path_patch_to_heads(model, tokens, cache, new_cache, metric, receivers, part):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    receiver_layers = sorted({layer for layer, _ in receivers})

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def record(at, arrived):
        def fn(act, hook):
            arrived[at] = act.clone()
            return act

        return fn

    def put(at, arrived):
        def fn(act, hook):
            act = act.clone()
            for layer, head in receivers:
                if layer == at:
                    act[:, :, head] = arrived[at][:, :, head]
            return act

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            arrived = {}
            run2 = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            run2 += [(get_act_name(part, at), record(at, arrived)) for at in receiver_layers]
            if not getattr(model.cfg, "attn_only", False):
                run2 += [
                    (get_act_name("mlp_out", at), lambda out, hook, at=at: cache[get_act_name("mlp_out", at)].clone())
                    for at in range(n_layers)
                ]
            model.run_with_hooks(tokens, fwd_hooks=run2)
            run3 = [(get_act_name(part, at), put(at, arrived)) for at in receiver_layers]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=run3)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% wrong 06.9: run 3 keeps the sender's new z in place as well: it also acts on everything else, not only through the receivers
@torch.no_grad()
def path_patch_to_heads(model, tokens, cache, new_cache, metric, receivers, part):
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    receiver_layers = sorted({layer for layer, _ in receivers})

    def hold(at, layer, head):
        def fn(z, hook):
            name = get_act_name("z", at)
            held = cache[name].clone()
            if at == layer:
                held[:, :, head] = new_cache[name][:, :, head]
            return held

        return fn

    def record(at, arrived):
        def fn(act, hook):
            arrived[at] = act.clone()
            return act

        return fn

    def put(at, arrived):
        def fn(act, hook):
            act = act.clone()
            for layer, head in receivers:
                if layer == at:
                    act[:, :, head] = arrived[at][:, :, head]
            return act

        return fn

    values = []
    for layer in range(n_layers):
        for head in range(n_heads):
            arrived = {}
            run2 = [(get_act_name("z", at), hold(at, layer, head)) for at in range(n_layers)]
            run2 += [(get_act_name(part, at), record(at, arrived)) for at in receiver_layers]
            model.run_with_hooks(tokens, fwd_hooks=run2)
            name = get_act_name("z", layer)

            def send(z, hook):
                z = z.clone()
                z[:, :, head] = new_cache[name][:, :, head]
                return z

            run3 = [(name, send)]
            run3 += [(get_act_name(part, at), put(at, arrived)) for at in receiver_layers]
            values.append(metric(model.run_with_hooks(tokens, fwd_hooks=run3)))
    return torch.stack(values).reshape(n_layers, n_heads)


# %% right 06.10: loop over unique templates; one boolean mask for all layers and torch.where
def template_means(z, templates):
    out = torch.empty_like(z)
    for template in templates.unique():
        rows = templates == template
        out[rows] = z[rows].mean(0)
    return out


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% right 06.10: same-template matrix and einsum; the means are copied and the kept places written back one by one
def template_means(z, templates):
    same = (templates[:, None] == templates[None, :]).to(z.dtype)
    return torch.einsum("ij,jshe->ishe", same / same.sum(1, keepdim=True), z)


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    whole, abc = metric(model(tokens)), model.run_with_cache(abc_tokens)[1]
    hooks = []
    for at in range(model.cfg.n_layers):

        def fn(z, hook, at=at):
            new = template_means(abc[get_act_name("z", at)], templates).clone()
            for role in circuit:
                for layer, head in circuit[role]:
                    if layer == at:
                        for i, p in enumerate(positions[role].tolist()):
                            new[i, p, head] = z[i, p, head]
            return new

        hooks.append((get_act_name("z", at), fn))
    return torch.div(metric(model.run_with_hooks(tokens, fwd_hooks=hooks)), whole)


# %% right 06.10: unique with inverse and index_add; kept share as one-hot positions
def template_means(z, templates):
    values, which = torch.unique(templates, return_inverse=True)
    sums = z.new_zeros(len(values), *z.shape[1:]).index_add(0, which, z)
    counts = torch.bincount(which, minlength=len(values)).to(z.dtype)
    return (sums / counts[:, None, None, None])[which]


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    places = torch.arange(tokens.shape[1], device=tokens.device)
    at_role = {role: places[None] == positions[role][:, None] for role in circuit}
    logits = model(tokens)
    _, abc_cache = model.run_with_cache(abc_tokens)

    def make(layer):
        mean = template_means(abc_cache[get_act_name("z", layer)], templates)
        kept = torch.zeros(mean.shape[:3], dtype=torch.bool, device=tokens.device)
        for role, heads in circuit.items():
            for at, head in heads:
                if at == layer:
                    kept[:, :, head] |= at_role[role]
        return lambda z, hook: mean.masked_fill(kept[..., None], 0) + z.masked_fill(~kept[..., None], 0)

    hooks = [(get_act_name("z", layer), make(layer)) for layer in range(model.cfg.n_layers)]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(logits)


# %% right 06.10: row by row in plain Python; index_put into the means
def template_means(z, templates):
    labels = templates.tolist()
    rows = []
    for mine in labels:
        members = [z[j] for j, other in enumerate(labels) if other == mine]
        rows.append(torch.stack(members).mean(dim=0))
    return torch.stack(rows)


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    recorded = {}

    def record(layer):
        def fn(z, hook):
            recorded[layer] = z.clone()
            return z

        return fn

    n_layers = model.cfg.n_layers
    model.run_with_hooks(abc_tokens, fwd_hooks=[(get_act_name("z", i), record(i)) for i in range(n_layers)])
    prompts = torch.arange(len(tokens), device=tokens.device)
    pairs = {(layer, head, role) for role, heads in circuit.items() for layer, head in heads}

    def ablate(at):
        def fn(z, hook):
            out = template_means(recorded[at], templates)
            for layer, head, role in pairs:
                if layer == at:
                    index = (prompts, positions[role], torch.full_like(prompts, head))
                    out = out.index_put(index, z[index])
            return out

        return fn

    circuit_logits = model.run_with_hooks(tokens, fwd_hooks=[(get_act_name("z", i), ablate(i)) for i in range(n_layers)])
    full_logits = model.run_with_hooks(tokens, fwd_hooks=[])
    return metric(circuit_logits) / metric(full_logits)


# %% wrong 06.10: template_means: overwrites z in place and returns it instead of a new tensor (values right)
def template_means(z, templates):
    out = z
    for template in templates.unique():
        rows = templates == template
        out[rows] = z[rows].mean(0)
    return out


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: template_means: unique_consecutive takes each run of equal neighbours as a template of its own: wrong when templates are interleaved
def template_means(z, templates):
    values, which, counts = torch.unique_consecutive(templates, return_inverse=True, return_counts=True)
    sums = z.new_zeros(len(values), *z.shape[1:]).index_add(0, which, z)
    return (sums / counts[:, None, None, None])[which]


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: template_means: averages over the positions too
def template_means(z, templates):
    out = torch.empty_like(z)
    for template in templates.unique():
        rows = templates == template
        out[rows] = z[rows].mean((0, 1))
    return out


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: template_means: rows come back sorted by template, not in the prompts' order
def template_means(z, templates):
    out = []
    for template in templates.unique():
        group = z[templates == template]
        out.append(group.mean(0, keepdim=True).expand_as(group))
    return torch.cat(out)


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: template_means: template numbers are compared as float32: different integers beyond 2**24 fall together
def template_means(z, templates):
    t = templates.float()
    same = (t[:, None] == t[None, :]).to(z.dtype)
    return torch.einsum("ij,jshe->ishe", same / same.sum(1, keepdim=True), z)


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: circuit_faithfulness: a head's role is looked up as head -> role, so that a head of several roles is kept only at the last role's positions
def template_means(z, templates):
    out = torch.empty_like(z)
    for template in templates.unique():
        rows = templates == template
        out[rows] = z[rows].mean(0)
    return out


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    role_of = {head: role for role, heads in circuit.items() for head in heads}
    for (layer, head), role in role_of.items():
        keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: circuit_faithfulness: indexes keep[:, positions], so that each prompt keeps the head at all prompts' positions, not only its own
def template_means(z, templates):
    out = torch.empty_like(z)
    for template in templates.unique():
        rows = templates == template
        out[rows] = z[rows].mean(0)
    return out


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer][:, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: circuit_faithfulness: only layers that have a head in the circuit are hooked; all heads of the other layers are left running
def template_means(z, templates):
    out = torch.empty_like(z)
    for template in templates.unique():
        rows = templates == template
        out[rows] = z[rows].mean(0)
    return out


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    used = {layer for heads in circuit.values() for layer, _ in heads}
    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in sorted(used)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: circuit_faithfulness: means are taken over the prompts themselves instead of the ABC prompts
def template_means(z, templates):
    out = torch.empty_like(z)
    for template in templates.unique():
        rows = templates == template
        out[rows] = z[rows].mean(0)
    return out


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


# %% wrong 06.10: circuit_faithfulness: divides by the metric of the whole model on the ABC prompts instead of on tokens
def template_means(z, templates):
    out = torch.empty_like(z)
    for template in templates.unique():
        rows = templates == template
        out[rows] = z[rows].mean(0)
    return out


@torch.no_grad()
def circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric):
    _, abc_cache = model.run_with_cache(abc_tokens)
    b, s = tokens.shape
    rows = torch.arange(b, device=tokens.device)
    keep = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, rows, positions[role], head] = True

    def knock_out(layer):
        means = template_means(abc_cache[get_act_name("z", layer)], templates)

        def fn(z, hook):
            return torch.where(keep[layer][..., None], z, means)

        return fn

    hooks = [(get_act_name("z", layer), knock_out(layer)) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(abc_tokens))


# %% right 06.11: zero perturbations added to every z, autograd.grad with respect to them
def attribution_patching(model, clean_tokens, corrupted_tokens, metric):
    n_layers = model.cfg.n_layers
    names = [get_act_name("z", layer) for layer in range(n_layers)]
    with torch.no_grad():
        _, clean_cache = model.run_with_cache(clean_tokens)
    seen, deltas = {}, {}

    def watch(layer):
        def fn(z, hook):
            seen[layer] = z
            deltas[layer] = torch.zeros_like(z).requires_grad_()
            return z + deltas[layer]

        return fn

    with torch.enable_grad():
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(names[i], watch(i)) for i in range(n_layers)])
        grads = torch.autograd.grad(metric(logits), [deltas[i] for i in range(n_layers)])
    rows = []
    for layer in range(n_layers):
        change = clean_cache[names[layer]].detach() - seen[layer].detach()
        rows.append((change * grads[layer]).sum((0, 1, 3)))
    return torch.stack(rows)


# %% right 06.11: autograd.grad with respect to the z themselves, leaves inference mode, einsum
def attribution_patching(model, clean_tokens, corrupted_tokens, metric):
    with torch.inference_mode(False), torch.enable_grad():
        layers = range(model.cfg.n_layers)
        clean, dirty = [], []

        def note(z, hook):
            clean.append(z.detach().clone())
            return z

        def track(z, hook):
            if not z.requires_grad:
                z = z.detach().requires_grad_()
            dirty.append(z)
            return z

        model.run_with_hooks(clean_tokens.clone(), fwd_hooks=[(get_act_name("z", i), note) for i in layers])
        logits = model.run_with_hooks(corrupted_tokens.clone(), fwd_hooks=[(get_act_name("z", i), track) for i in layers])
        grads = torch.autograd.grad(metric(logits), dirty)
        difference = torch.stack(clean) - torch.stack(dirty).detach()
        return torch.einsum("lbshe,lbshe->lh", difference, torch.stack(grads)).detach()


# %% wrong 06.11: the gradient is taken at the clean run instead of the corrupted one
def attribution_patching(model, clean_tokens, corrupted_tokens, metric):
    n_layers = model.cfg.n_layers
    names = [get_act_name("z", layer) for layer in range(n_layers)]
    with torch.no_grad():
        _, corrupted_cache = model.run_with_cache(corrupted_tokens)
    seen, deltas = {}, {}

    def watch(layer):
        def fn(z, hook):
            seen[layer] = z
            deltas[layer] = torch.zeros_like(z).requires_grad_()
            return z + deltas[layer]

        return fn

    with torch.enable_grad():
        logits = model.run_with_hooks(clean_tokens, fwd_hooks=[(names[i], watch(i)) for i in range(n_layers)])
        grads = torch.autograd.grad(metric(logits), [deltas[i] for i in range(n_layers)])
    rows = []
    for layer in range(n_layers):
        change = seen[layer].detach() - corrupted_cache[names[layer]].detach()
        rows.append((change * grads[layer]).sum((0, 1, 3)))
    return torch.stack(rows)


# %% wrong 06.11: every layer's z is replaced by a detached leaf: gradients do not flow back through later layers' attention
def attribution_patching(model, clean_tokens, corrupted_tokens, metric):
    n_layers = model.cfg.n_layers
    names = [get_act_name("z", layer) for layer in range(n_layers)]
    with torch.no_grad():
        _, clean_cache = model.run_with_cache(clean_tokens)
    seen, deltas = {}, {}

    def watch(layer):
        def fn(z, hook):
            seen[layer] = z
            deltas[layer] = z.detach().clone().requires_grad_()
            return deltas[layer]

        return fn

    with torch.enable_grad():
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(names[i], watch(i)) for i in range(n_layers)])
        grads = torch.autograd.grad(metric(logits), [deltas[i] for i in range(n_layers)])
    rows = []
    for layer in range(n_layers):
        change = clean_cache[names[layer]].detach() - seen[layer].detach()
        rows.append((change * grads[layer]).sum((0, 1, 3)))
    return torch.stack(rows)


# %% wrong 06.11: averaged over prompts instead of summed
def attribution_patching(model, clean_tokens, corrupted_tokens, metric):
    n_layers = model.cfg.n_layers
    names = [get_act_name("z", layer) for layer in range(n_layers)]
    with torch.no_grad():
        _, clean_cache = model.run_with_cache(clean_tokens)
    seen, deltas = {}, {}

    def watch(layer):
        def fn(z, hook):
            seen[layer] = z
            deltas[layer] = torch.zeros_like(z).requires_grad_()
            return z + deltas[layer]

        return fn

    with torch.enable_grad():
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(names[i], watch(i)) for i in range(n_layers)])
        grads = torch.autograd.grad(metric(logits), [deltas[i] for i in range(n_layers)])
    rows = []
    for layer in range(n_layers):
        change = clean_cache[names[layer]].detach() - seen[layer].detach()
        rows.append((change * grads[layer]).sum((1, 3)).mean(0))
    return torch.stack(rows)


# %% wrong 06.11: gradients are not switched on: raises an error under torch.no_grad()
def attribution_patching(model, clean_tokens, corrupted_tokens, metric):
    n_layers = model.cfg.n_layers
    names = [get_act_name("z", layer) for layer in range(n_layers)]
    with torch.no_grad():
        _, clean_cache = model.run_with_cache(clean_tokens)
    seen, deltas = {}, {}

    def watch(layer):
        def fn(z, hook):
            seen[layer] = z
            deltas[layer] = torch.zeros_like(z).requires_grad_()
            return z + deltas[layer]

        return fn

    if True:
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(names[i], watch(i)) for i in range(n_layers)])
        grads = torch.autograd.grad(metric(logits), [deltas[i] for i in range(n_layers)])
    rows = []
    for layer in range(n_layers):
        change = clean_cache[names[layer]].detach() - seen[layer].detach()
        rows.append((change * grads[layer]).sum((0, 1, 3)))
    return torch.stack(rows)


# %% wrong 06.11: the corrupted z is not detached: the result is part of a graph when the parameters require gradients or any layer was tracked
def attribution_patching(model, clean_tokens, corrupted_tokens, metric):
    with torch.no_grad():
        _, clean_cache = model.run_with_cache(clean_tokens)
    with torch.enable_grad():
        zs = []

        def track(z, hook):
            if not z.requires_grad:
                z.requires_grad_()
            zs.append(z)
            return z

        hooks = [(get_act_name("z", layer), track) for layer in range(model.cfg.n_layers)]
        grads = torch.autograd.grad(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)), zs)
        rows = [
            ((clean_cache[get_act_name("z", layer)] - zs[layer]) * grads[layer]).sum((0, 1, 3))
            for layer in range(model.cfg.n_layers)
        ]
        return torch.stack(rows)


# %% wrong 06.1: encodes the names without the space before them
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% wrong 06.1: A and B may be the same person
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in names if len(tokenizer.encode(" " + name)) == 1]
    clean, corrupted, answers = [], [], []
    for i in range(n):
        a, b = rng.choice(usable), rng.choice(usable)
        if i % 2 == 0:
            io, s = a, b
        else:
            io, s = b, a
        clean.append(TEMPLATE.format(A=a, B=b, S=s))
        corrupted.append(TEMPLATE.format(A=a, B=b, S=io))
        answers.append((f" {io}", f" {s}"))
    return {"clean": clean, "corrupted": corrupted, "answers": answers}


# %% wrong 06.1: answers are always (A, B), whoever gives
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(" " + name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for i in range(n):
        a, b = rng.sample(usable, 2)
        giver, other = (b, a) if i % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=giver))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=other))
        data["answers"].append((" " + a, " " + b))
    return data


# %% wrong 06.1: the corrupted prompt swaps the two names at the start and leaves the giver
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(" " + name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=b, B=a, S=s))
        data["answers"].append((" " + io, " " + s))
    return data


# %% wrong 06.1: one pair of people for every two rows
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(" " + name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for i in range(n):
        if i % 2 == 0:
            a, b = rng.sample(usable, 2)
            s, io = b, a
        else:
            s, io = a, b
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% right 06.1: loop with its own Random
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    rng = random.Random(seed)
    usable = [name for name in dict.fromkeys(names) if len(tokenizer.encode(" " + name)) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for i in range(n):
        a, b = rng.sample(usable, 2)
        s, io = (b, a) if i % 2 == 0 else (a, b)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


# %% right 06.1: comprehensions, torch generator
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    g = torch.Generator().manual_seed(seed)
    people = sorted({name for name in names if len(tokenizer.encode(f" {name}")) == 1})
    pairs = [[people[j] for j in torch.randperm(len(people), generator=g)[:2].tolist()] for _ in range(n)]
    givers = [pair[1 - i % 2] for i, pair in enumerate(pairs)]
    others = [pair[i % 2] for i, pair in enumerate(pairs)]
    return {
        "clean": [TEMPLATE.format(A=a, B=b, S=s) for (a, b), s in zip(pairs, givers)],
        "corrupted": [TEMPLATE.format(A=a, B=b, S=s) for (a, b), s in zip(pairs, others)],
        "answers": [(f" {io}", f" {s}") for io, s in zip(others, givers)],
    }


# %% wrong 06.2: always the last position, once more
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    last = logits[:, -1]
    picked = last.gather(-1, answers)
    return picked[:, 0] - picked[:, 1]


# %% wrong 06.2: the mean over prompts
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(len(logits), device=logits.device)
    last = logits[rows, end]
    return (last[rows, answers[:, 0]] - last[rows, answers[:, 1]]).mean()


# %% wrong 06.2: difference of probabilities
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(len(logits), device=logits.device)
    probs = logits[rows, end].softmax(dim=-1)
    return probs[rows, answers[:, 0]] - probs[rows, answers[:, 1]]


# %% wrong 06.2: the first prompt's end for all
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    last = logits[:, end[0]]
    io, s = last.gather(1, answers).unbind(dim=1)
    return io - s


# %% wrong 06.2: squeeze also takes a batch of one away
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    index = end[:, None, None].expand(-1, 1, logits.shape[-1])
    last = logits.gather(1, index).squeeze(1)
    io = last.gather(1, answers[:, :1])
    s = last.gather(1, answers[:, 1:])
    return (io - s).squeeze()


# %% right 06.2: index by row
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    rows = torch.arange(logits.shape[0], device=logits.device)
    return logits[rows, end, answers[:, 0]] - logits[rows, end, answers[:, 1]]


# %% right 06.2: prompt by prompt
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    diffs = []
    for row, (good, bad), position in zip(logits, answers.tolist(), end.tolist()):
        diffs.append(row[position, good] - row[position, bad])
    return torch.stack(diffs)


# %% wrong 06.3: normalises each prompt by itself
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return ((x - corrupted) / (clean - corrupted)).mean()


# %% wrong 06.3: clean is 0 and corrupted is 1, once more
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    return (x.mean() - clean.mean()) / (corrupted.mean() - clean.mean())


# %% wrong 06.3: a new tensor from a number, no gradient
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    low, high = corrupted.mean().item(), clean.mean().item()
    return torch.tensor((x.mean().item() - low) / (high - low), dtype=x.dtype, device=x.device)


# %% wrong 06.3: keeps the batch axis
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    low, high = corrupted.mean(), clean.mean()
    return (x - low) / (high - low)


# %% wrong 06.3: clamps to the range from 0 to 1
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    low, high = corrupted.mean(), clean.mean()
    return ((x.mean() - low) / (high - low)).clamp(0, 1)


# %% right 06.3: means first
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    low = corrupted.mean()
    return (x.mean() - low) / (clean.mean() - low)


# %% right 06.3: scales each and averages at the end
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    floor = torch.mean(corrupted)
    span = torch.mean(clean) - floor
    return torch.sum((x - floor) / span) / x.numel()


# %% wrong 06.4: without the LayerNorm's scale, once more
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        out = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        rows.append(torch.einsum("bhd,bd->bh", out, directions).mean(0))
    return torch.stack(rows)


# %% wrong 06.4: averages heads' outputs and directions over prompts before the product
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    direction = directions.mean(0)
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        out = torch.einsum("bhe,hed->bhd", z, model.W_O[layer]) / scale[:, None]
        rows.append(out.mean(0) @ direction)
    return torch.stack(rows)


# %% wrong 06.4: shares b_O among the heads
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        out = torch.einsum("bhe,hed->bhd", z, model.W_O[layer])
        out = out + model.b_O[layer] / model.cfg.n_heads
        rows.append(torch.einsum("bhd,bd->bh", out / scale[:, None], directions).mean(0))
    return torch.stack(rows)


# %% wrong 06.4: averages over all positions
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return model.W_U.T[answers[:, 0]] - model.W_U.T[answers[:, 1]]


def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)]
        out = torch.einsum("bshe,hed->bshd", z, model.W_O[layer]) / scale[:, :, None]
        rows.append(torch.einsum("bshd,bd->bsh", out, directions).mean((0, 1)))
    return torch.stack(rows)


# %% wrong 06.4: divides by the mean scale of the batch
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    z = torch.stack([cache[get_act_name("z", l)][:, -1] for l in range(model.cfg.n_layers)])
    along = torch.einsum("lbhe,lhed,bd->lbh", z, model.W_O, directions).mean(1)
    return along / cache["ln_final.hook_scale"][:, -1].mean()


# %% right 06.4: layer by layer, once more
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    return (model.W_U[:, answers[:, 0]] - model.W_U[:, answers[:, 1]]).T


def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scale = cache["ln_final.hook_scale"][:, -1]
    rows = []
    for layer in range(model.cfg.n_layers):
        z = cache[get_act_name("z", layer)][:, -1]
        out = torch.einsum("bhe,hed->bhd", z, model.W_O[layer]) / scale[:, None]
        rows.append(torch.einsum("bhd,bd->bh", out, directions).mean(0))
    return torch.stack(rows)


# %% right 06.4: one einsum, directions divided by the scale
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    good, bad = answers.unbind(dim=1)
    unembed = model.W_U.transpose(0, 1)
    return unembed[good] - unembed[bad]


def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    scaled = directions / cache["ln_final.hook_scale"][:, -1]
    z = torch.stack([cache[get_act_name("z", l)][:, -1] for l in range(model.cfg.n_layers)])
    return torch.einsum("lbhe,lhed,bd->lh", z, model.W_O, scaled) / len(directions)


# %% wrong 06.5: resid_post instead of resid_pre
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    n_pos = corrupted_tokens.shape[1]
    results = torch.zeros(model.cfg.n_layers, n_pos)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_post", layer)
        for pos in range(n_pos):

            def hook_fn(value, hook, name=name, pos=pos):
                value = value.clone()
                value[:, pos] = clean_cache[name][:, pos]
                return value

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, pos] = metric(logits).item()
    return results


# %% wrong 06.5: patches from the position to the end
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    n_pos = corrupted_tokens.shape[1]
    results = torch.zeros(model.cfg.n_layers, n_pos)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_pre", layer)
        clean = clean_cache[name]
        for pos in range(n_pos):

            def hook_fn(value, hook, clean=clean, pos=pos):
                return torch.cat([value[:, :pos], clean[:, pos:]], dim=1)

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, pos] = metric(logits).item()
    return results


# %% wrong 06.5: writes the corrupted positions into the clean cache
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    n_pos = corrupted_tokens.shape[1]
    results = torch.zeros(model.cfg.n_layers, n_pos)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_pre", layer)
        for pos in range(n_pos):

            def hook_fn(value, hook, name=name, pos=pos):
                patched = clean_cache[name]
                patched[:, :pos] = value[:, :pos]
                patched[:, pos + 1 :] = value[:, pos + 1 :]
                return patched

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, pos] = metric(logits).item()
    return results


# %% wrong 06.5: the hook stays when the metric raises
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    n_pos = corrupted_tokens.shape[1]
    results = torch.zeros(model.cfg.n_layers, n_pos)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_pre", layer)
        for pos in range(n_pos):

            def hook_fn(value, hook, name=name, pos=pos):
                value = value.clone()
                value[:, pos] = clean_cache[name][:, pos]
                return value

            model.add_hook(name, hook_fn)
            results[layer, pos] = metric(model(corrupted_tokens)).item()
            model.reset_hooks()
    return results


# %% wrong 06.5: patches only the first prompt
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    n_pos = corrupted_tokens.shape[1]
    results = torch.zeros(model.cfg.n_layers, n_pos)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_pre", layer)
        for pos in range(n_pos):

            def hook_fn(value, hook, name=name, pos=pos):
                value = value.clone()
                value[0, pos] = clean_cache[name][0, pos]
                return value

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, pos] = metric(logits).item()
    return results


# %% right 06.5: two loops with a hook function
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    n_pos = corrupted_tokens.shape[1]
    results = torch.zeros(model.cfg.n_layers, n_pos)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("resid_pre", layer)
        for pos in range(n_pos):

            def hook_fn(value, hook, name=name, pos=pos):
                value = value.clone()
                value[:, pos] = clean_cache[name][:, pos]
                return value

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, pos] = metric(logits).item()
    return results


# %% right 06.5: torch.where with a mask, nested comprehension
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    seq = torch.arange(corrupted_tokens.shape[-1], device=corrupted_tokens.device)

    def run(layer, pos):
        name = get_act_name("resid_pre", layer)
        here = (seq == pos).view(1, -1, 1)
        patch = lambda value, hook: torch.where(here.to(value.device), clean_cache[name], value)  # noqa: E731
        with torch.no_grad():
            return metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)]))

    return torch.stack(
        [torch.stack([run(l, p) for p in range(len(seq))]) for l in range(model.cfg.n_layers)]
    )


# %% wrong 06.6: only at the last position
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def hook_fn(z, hook, name=name, head=head):
                z = z.clone()
                z[:, -1, head] = clean_cache[name][:, -1, head]
                return z

            results[layer, head] = metric(
                model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            ).item()
    return results


# %% wrong 06.6: the change of the metric instead of the metric
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    baseline = metric(model(corrupted_tokens)).item()
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def hook_fn(z, hook, name=name, head=head):
                z = z.clone()
                z[:, :, head] = clean_cache[name][:, :, head]
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, head] = metric(logits).item() - baseline
    return results


# %% wrong 06.6: hooks pile up within a layer
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        hooks = []
        for head in range(model.cfg.n_heads):

            def hook_fn(z, hook, name=name, head=head):
                z = z.clone()
                z[:, :, head] = clean_cache[name][:, :, head]
                return z

            hooks.append((name, hook_fn))
            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.6: swaps heads inside the clean cache
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    n_heads = model.cfg.n_heads
    results = torch.zeros(model.cfg.n_layers, n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(n_heads):
            others = [h for h in range(n_heads) if h != head]

            def hook_fn(z, hook, name=name, others=others):
                patched = clean_cache[name]
                patched[:, :, others] = z[:, :, others]
                return patched

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.6: all hook functions see the last head
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    rows = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        hooks = []
        for head in range(model.cfg.n_heads):

            def hook_fn(z, hook):
                z = z.clone()
                z[:, :, head] = clean_cache[name][:, :, head]
                return z

            hooks.append(hook_fn)
        rows.append(
            torch.stack(
                [metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, f)])) for f in hooks]
            )
        )
    return torch.stack(rows)


# %% right 06.6: loops and clone
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def hook_fn(z, hook, name=name, head=head):
                z = z.clone()
                z[:, :, head] = clean_cache[name][:, :, head]
                return z

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, head] = metric(logits).item()
    return results


# %% right 06.6: partial and torch.where
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    from functools import partial

    def swap(z, hook, clean, head):
        chosen = torch.zeros(z.shape[2], 1, dtype=torch.bool, device=z.device)
        chosen[head] = True
        return torch.where(chosen, clean, z)

    values = []
    with torch.no_grad():
        for layer in range(model.cfg.n_layers):
            name = get_act_name("z", layer)
            for head in range(model.cfg.n_heads):
                patch = partial(swap, clean=clean_cache[name], head=head)
                values.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])))
    return torch.stack(values).reshape(model.cfg.n_layers, model.cfg.n_heads)


# %% wrong 06.7: indexes the pattern's query axis with the head
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def hook_fn(value, hook, name=name, head=head):
                value = value.clone()
                value[:, :, head] = clean_cache[name][:, :, head]
                return value

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.7: of the pattern only the last query's row
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def hook_fn(value, hook, name=name, head=head):
                value = value.clone()
                if part == "pattern":
                    value[:, head, -1] = clean_cache[name][:, head, -1]
                else:
                    value[:, :, head] = clean_cache[name][:, :, head]
                return value

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.7: hooks stay when the metric raises
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def hook_fn(value, hook, name=name, head=head):
                index = (slice(None), head) if part == "pattern" else (slice(None), slice(None), head)
                value = value.clone()
                value[index] = clean_cache[name][index]
                return value

            model.add_hook(name, hook_fn)
            results[layer, head] = metric(model(corrupted_tokens)).item()
            model.reset_hooks()
    return results


# %% wrong 06.7: overwrites the clean cache with the corrupted values of the other heads
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    axis = 1 if part == "pattern" else 2
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def hook_fn(value, hook, name=name, head=head):
                patched = clean_cache[name].movedim(axis, 0)
                value = value.movedim(axis, 0)
                patched[:head] = value[:head]
                patched[head + 1 :] = value[head + 1 :]
                return patched.movedim(0, axis)

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.7: patches queries and keys together
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    parts = ["q", "k"] if part in ("q", "k") else [part]
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def hook_fn(value, hook, head=head):
                value = value.clone()
                clean = clean_cache[hook.name]
                if part == "pattern":
                    value[:, head] = clean[:, head]
                else:
                    value[:, :, head] = clean[:, :, head]
                return value

            hooks = [(get_act_name(p, layer), hook_fn) for p in parts]
            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)
            results[layer, head] = metric(logits).item()
    return results


# %% right 06.7: two ways to index
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name(part, layer)
        for head in range(model.cfg.n_heads):

            def hook_fn(value, hook, name=name, head=head):
                value = value.clone()
                if part == "pattern":
                    value[:, head] = clean_cache[name][:, head]
                else:
                    value[:, :, head] = clean_cache[name][:, :, head]
                return value

            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)])
            results[layer, head] = metric(logits).item()
    return results


# %% right 06.7: index_copy along the head axis
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    axis = {"q": 2, "k": 2, "v": 2, "pattern": 1}[part]

    def patched_metric(layer: int, head: int):
        name = get_act_name(part, layer)

        def hook_fn(value, hook):
            index = torch.tensor([head], device=value.device)
            return value.index_copy(axis, index, clean_cache[name].index_select(axis, index))

        return metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, hook_fn)]))

    with torch.no_grad():
        rows = [
            torch.stack([patched_metric(layer, head) for head in range(model.cfg.n_heads)])
            for layer in range(model.cfg.n_layers)
        ]
    return torch.stack(rows)


# %% wrong 06.8: the other heads run freely
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def send(z, hook, name=name, head=head):
                z = cache[name].clone()
                z[:, :, head] = new_cache[name][:, :, head]
                return z

            hooks = [(name, send)]
            if freeze_mlps and not model.cfg.attn_only:
                for l in range(model.cfg.n_layers):
                    mlp = get_act_name("mlp_out", l)
                    hooks.append((mlp, lambda value, hook, mlp=mlp: cache[mlp]))
            results[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks)).item()
    return results


# %% wrong 06.8: holds the MLPs always
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    kinds = ["z"] if model.cfg.attn_only else ["z", "mlp_out"]
    names = [get_act_name(kind, l) for l in range(model.cfg.n_layers) for kind in kinds]
    for layer in range(model.cfg.n_layers):
        sender = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def hold(value, hook, name, head=head, sender=sender):
                value = cache[name].clone()
                if name == sender:
                    value[:, :, head] = new_cache[name][:, :, head]
                return value

            hooks = [(n, lambda value, hook, n=n, hold=hold: hold(value, hook, n)) for n in names]
            results[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks)).item()
    return results


# %% wrong 06.8: the MLP of the sender's own layer is not held
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    n_layers = model.cfg.n_layers
    results = torch.zeros(n_layers, model.cfg.n_heads)
    for layer in range(n_layers):
        name = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def send(z, hook, name=name, head=head):
                z = cache[name].clone()
                z[:, :, head] = new_cache[name][:, :, head]
                return z

            hooks = [(name, send)]
            for later in range(layer + 1, n_layers):
                held = [get_act_name("z", later)]
                if freeze_mlps and not model.cfg.attn_only:
                    held.append(get_act_name("mlp_out", later))
                hooks += [(n, lambda value, hook, n=n: cache[n]) for n in held]
            results[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks)).item()
    return results


# %% wrong 06.8: puts the new z into the cache itself
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    if freeze_mlps and not model.cfg.attn_only:
        names += [get_act_name("mlp_out", l) for l in range(model.cfg.n_layers)]
    for layer in range(model.cfg.n_layers):
        sender = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def hold(value, hook, sender=sender, head=head):
                value = cache[hook.name]
                if hook.name == sender:
                    value[:, :, head] = new_cache[hook.name][:, :, head]
                return value

            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, hold) for n in names])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.8: sends at the last position only
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    if freeze_mlps and not model.cfg.attn_only:
        names += [get_act_name("mlp_out", l) for l in range(model.cfg.n_layers)]
    for layer in range(model.cfg.n_layers):
        sender = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def hold(value, hook, sender=sender, head=head):
                value = cache[hook.name].clone()
                if hook.name == sender:
                    value[:, -1, head] = new_cache[hook.name][:, -1, head]
                return value

            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, hold) for n in names])
            results[layer, head] = metric(logits).item()
    return results


# %% right 06.8: one function holds everything
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    if freeze_mlps and not model.cfg.attn_only:
        names += [get_act_name("mlp_out", l) for l in range(model.cfg.n_layers)]
    for layer in range(model.cfg.n_layers):
        sender = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):

            def hold(value, hook, sender=sender, head=head):
                value = cache[hook.name].clone()
                if hook.name == sender:
                    value[:, :, head] = new_cache[hook.name][:, :, head]
                return value

            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, hold) for n in names])
            results[layer, head] = metric(logits).item()
    return results


# %% right 06.8: prepared tensors, one for each hook
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    layers, heads = range(model.cfg.n_layers), range(model.cfg.n_heads)

    def give(tensor):
        return lambda value, hook: tensor.clone()

    def run(layer, head):
        fixed = {get_act_name("z", l): cache[get_act_name("z", l)] for l in layers}
        if freeze_mlps and not model.cfg.attn_only:
            fixed |= {get_act_name("mlp_out", l): cache[get_act_name("mlp_out", l)] for l in layers}
        name = get_act_name("z", layer)
        before, new, after = (
            cache[name][:, :, :head],
            new_cache[name][:, :, head : head + 1],
            cache[name][:, :, head + 1 :],
        )
        fixed[name] = torch.cat([before, new, after], dim=2)
        return metric(model.run_with_hooks(tokens, fwd_hooks=[(n, give(t)) for n, t in fixed.items()]))

    with torch.no_grad():
        return torch.stack([torch.stack([run(l, h) for h in heads]) for l in layers])


# %% wrong 06.9: patches that part of all heads in the receivers' layers
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    z_names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    part_names = sorted({get_act_name(part, l) for l, _ in receivers})
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            kept = {}

            def hold(z, hook, layer=layer, head=head):
                z = cache[hook.name].clone()
                if hook.name == get_act_name("z", layer):
                    z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            def keep(value, hook, kept=kept):
                kept[hook.name] = value.clone()

            def put(value, hook, kept=kept):
                return kept[hook.name]

            model.run_with_hooks(
                tokens, fwd_hooks=[(n, hold) for n in z_names] + [(n, keep) for n in part_names]
            )
            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, put) for n in part_names])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.9: heads between sender and receivers are not held in run 2
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    part_names = sorted({get_act_name(part, l) for l, _ in receivers})
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        sender = get_act_name("z", layer)
        for head in range(model.cfg.n_heads):
            kept = {}

            def send(z, hook, head=head):
                z = cache[hook.name].clone()
                z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            def keep(value, hook, kept=kept):
                kept[hook.name] = value.clone()

            def put(value, hook, kept=kept):
                value = value.clone()
                for l, h in receivers:
                    if get_act_name(part, l) == hook.name:
                        value[:, :, h] = kept[hook.name][:, :, h]
                return value

            model.run_with_hooks(tokens, fwd_hooks=[(sender, send)] + [(n, keep) for n in part_names])
            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, put) for n in part_names])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.9: holds the MLPs in run 2
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    if not model.cfg.attn_only:
        names += [get_act_name("mlp_out", l) for l in range(model.cfg.n_layers)]
    part_names = sorted({get_act_name(part, l) for l, _ in receivers})
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            kept = {}

            def hold(value, hook, layer=layer, head=head):
                value = cache[hook.name].clone()
                if hook.name == get_act_name("z", layer):
                    value[:, :, head] = new_cache[hook.name][:, :, head]
                return value

            def keep(value, hook, kept=kept):
                kept[hook.name] = value.clone()

            def put(value, hook, kept=kept):
                value = value.clone()
                for l, h in receivers:
                    if get_act_name(part, l) == hook.name:
                        value[:, :, h] = kept[hook.name][:, :, h]
                return value

            model.run_with_hooks(
                tokens, fwd_hooks=[(n, hold) for n in names] + [(n, keep) for n in part_names]
            )
            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, put) for n in part_names])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.9: senders that reach no receiver get zero instead of the plain metric
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    z_names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    part_names = sorted({get_act_name(part, l) for l, _ in receivers})
    last = max(l for l, _ in receivers)
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(last):
        for head in range(model.cfg.n_heads):
            kept = {}

            def hold(z, hook, layer=layer, head=head):
                z = cache[hook.name].clone()
                if hook.name == get_act_name("z", layer):
                    z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            def keep(value, hook, kept=kept):
                kept[hook.name] = value.clone()

            def put(value, hook, kept=kept):
                value = value.clone()
                for l, h in receivers:
                    if get_act_name(part, l) == hook.name:
                        value[:, :, h] = kept[hook.name][:, :, h]
                return value

            model.run_with_hooks(
                tokens, fwd_hooks=[(n, hold) for n in z_names] + [(n, keep) for n in part_names]
            )
            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, put) for n in part_names])
            results[layer, head] = metric(logits).item()
    return results


# %% wrong 06.9: of two receivers in one layer only the last is patched
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    z_names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    targets = {get_act_name(part, l): h for l, h in receivers}
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            kept = {}

            def hold(z, hook, layer=layer, head=head):
                z = cache[hook.name].clone()
                if hook.name == get_act_name("z", layer):
                    z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            def keep(value, hook, kept=kept):
                kept[hook.name] = value[:, :, targets[hook.name]].clone()

            def put(value, hook, kept=kept):
                value = value.clone()
                value[:, :, targets[hook.name]] = kept[hook.name]
                return value

            model.run_with_hooks(
                tokens, fwd_hooks=[(n, hold) for n in z_names] + [(n, keep) for n in targets]
            )
            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, put) for n in targets])
            results[layer, head] = metric(logits).item()
    return results


# %% right 06.9: two runs for every sender
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    z_names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    part_names = sorted({get_act_name(part, l) for l, _ in receivers})
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            kept = {}

            def hold(z, hook, layer=layer, head=head):
                z = cache[hook.name].clone()
                if hook.name == get_act_name("z", layer):
                    z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            def keep(value, hook, kept=kept):
                kept[hook.name] = value.clone()

            def put(value, hook, kept=kept):
                value = value.clone()
                for l, h in receivers:
                    if get_act_name(part, l) == hook.name:
                        value[:, :, h] = kept[hook.name][:, :, h]
                return value

            model.run_with_hooks(
                tokens, fwd_hooks=[(n, hold) for n in z_names] + [(n, keep) for n in part_names]
            )
            logits = model.run_with_hooks(tokens, fwd_hooks=[(n, put) for n in part_names])
            results[layer, head] = metric(logits).item()
    return results


# %% right 06.9: baseline where nothing arrives, receivers grouped by layer
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    by_layer: dict[int, list[int]] = {}
    for l, h in receivers:
        by_layer.setdefault(l, []).append(h)
    last = max(by_layer, default=0)

    def arriving(sender_layer, sender_head):
        got = {}
        hooks = []
        for l in range(model.cfg.n_layers):
            name = get_act_name("z", l)
            z = cache[name].clone()
            if l == sender_layer:
                z[:, :, sender_head] = new_cache[name][:, :, sender_head]
            hooks.append((name, lambda value, hook, z=z: z))
        for l, heads in by_layer.items():

            def store(value, hook, l=l, heads=heads):
                got[l] = value[:, :, heads].clone()

            hooks.append((get_act_name(part, l), store))
        model.run_with_hooks(tokens, fwd_hooks=hooks)
        return got

    with torch.no_grad():
        plain = metric(model(tokens))
        out = plain.detach().clone().repeat(model.cfg.n_layers, model.cfg.n_heads)
        for layer in range(last):
            for head in range(model.cfg.n_heads):
                hooks = []
                for l, value in arriving(layer, head).items():

                    def put(x, hook, l=l, new=value):
                        x = x.clone()
                        x[:, :, by_layer[l]] = new
                        return x

                    hooks.append((get_act_name(part, l), put))
                out[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return out


# %% wrong 06.10: template means written into z itself
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    for t in templates.unique():
        z[templates == t] = z[templates == t].mean(0)
    return z


def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    _, abc = model.run_with_cache(abc_tokens)
    rows = torch.arange(len(tokens), device=tokens.device)
    hooks = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        means = template_means(abc[name], templates)

        def ablate(z, hook, layer=layer, means=means):
            out = means.clone()
            for role, heads in circuit.items():
                for l, h in heads:
                    if l == layer:
                        out[rows, positions[role], h] = z[rows, positions[role], h]
            return out

        hooks.append((name, ablate))
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: of a head's several roles only the last counts
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = torch.empty_like(z)
    for t in templates.unique():
        out[templates == t] = z[templates == t].mean(0)
    return out


def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    _, abc = model.run_with_cache(abc_tokens)
    rows = torch.arange(len(tokens), device=tokens.device)
    where = {head: positions[role] for role, heads in circuit.items() for head in heads}
    hooks = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        means = template_means(abc[name], templates)

        def ablate(z, hook, layer=layer, means=means):
            out = means.clone()
            for (l, h), pos in where.items():
                if l == layer:
                    out[rows, pos, h] = z[rows, pos, h]
            return out

        hooks.append((name, ablate))
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: every row keeps the positions of all prompts
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = torch.empty_like(z)
    for t in templates.unique():
        out[templates == t] = z[templates == t].mean(0)
    return out


def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    _, abc = model.run_with_cache(abc_tokens)
    hooks = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        means = template_means(abc[name], templates)

        def ablate(z, hook, layer=layer, means=means):
            out = means.clone()
            for role, heads in circuit.items():
                pos = positions[role]
                for l, h in heads:
                    if l == layer:
                        out[:, pos, h] = z[:, pos, h]
            return out

        hooks.append((name, ablate))
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: layers without a circuit head are not ablated
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    same = (templates[:, None] == templates[None, :]).to(z.dtype)
    return torch.einsum("bc,cshe->bshe", same / same.sum(-1, keepdim=True), z)


def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    _, abc = model.run_with_cache(abc_tokens)
    keep = {}
    for role, heads in circuit.items():
        for layer, head in heads:
            keep.setdefault(layer, []).append((head, positions[role]))
    rows = torch.arange(len(tokens), device=tokens.device)
    hooks = []
    for layer, entries in keep.items():
        name = get_act_name("z", layer)

        def ablate(z, hook, entries=entries, means=template_means(abc[name], templates)):
            out = means.clone()
            for head, pos in entries:
                out[rows, pos, head] = z[rows, pos, head]
            return out

        hooks.append((name, ablate))
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% wrong 06.10: means over the positions too
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = torch.empty_like(z)
    for t in templates.unique():
        out[templates == t] = z[templates == t].mean((0, 1), keepdim=True)
    return out


def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    _, abc = model.run_with_cache(abc_tokens)
    rows = torch.arange(len(tokens), device=tokens.device)
    hooks = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        means = template_means(abc[name], templates)

        def ablate(z, hook, layer=layer, means=means):
            out = means.clone()
            for role, heads in circuit.items():
                for l, h in heads:
                    if l == layer:
                        out[rows, positions[role], h] = z[rows, positions[role], h]
            return out

        hooks.append((name, ablate))
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% right 06.10: loop over templates, means cloned in the hook
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    out = torch.empty_like(z)
    for t in templates.unique():
        rows = templates == t
        out[rows] = z[rows].mean(dim=0)
    return out


def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    _, abc = model.run_with_cache(abc_tokens)
    rows = torch.arange(len(tokens), device=tokens.device)
    hooks = []
    for layer in range(model.cfg.n_layers):
        name = get_act_name("z", layer)
        means = template_means(abc[name], templates)

        def ablate(z, hook, layer=layer, means=means):
            out = means.clone()
            for role, heads in circuit.items():
                for l, h in heads:
                    if l == layer:
                        out[rows, positions[role], h] = z[rows, positions[role], h]
            return out

        hooks.append((name, ablate))
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))


# %% right 06.10: averaging matrix and a mask of what stays
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    same = (templates[:, None] == templates[None, :]).to(z)
    return torch.einsum("bc,cshe->bshe", same / same.sum(dim=1, keepdim=True), z)


def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    b, s = tokens.shape
    stays = torch.zeros(model.cfg.n_layers, b, s, model.cfg.n_heads, 1, dtype=torch.bool, device=tokens.device)
    for role, heads in circuit.items():
        for layer, head in heads:
            for row, pos in enumerate(positions[role].tolist()):
                stays[layer, row, pos, head] = True
    with torch.no_grad():
        whole = metric(model(tokens))
        _, abc = model.run_with_cache(abc_tokens)
        hooks = []
        for layer in range(model.cfg.n_layers):
            name = get_act_name("z", layer)
            mean = template_means(abc[name], templates)
            hooks.append((name, lambda z, hook, m=mean, keep=stays[layer]: torch.where(keep, z, m)))
        return metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / whole


# %% wrong 06.11: gradient at the clean run, once more
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    def run(tokens):
        zs = []

        def grab(z, hook):
            if not z.requires_grad:
                z = z.detach().requires_grad_()
            zs.append(z)
            return z

        names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
        logits = model.run_with_hooks(tokens, fwd_hooks=[(n, grab) for n in names])
        return logits, zs

    with torch.enable_grad():
        logits, clean = run(clean_tokens)
        grads = torch.autograd.grad(metric(logits), clean)
    with torch.no_grad():
        corrupted = []
        names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
        model.run_with_hooks(
            corrupted_tokens, fwd_hooks=[(n, lambda z, hook: corrupted.append(z.clone())) for n in names]
        )
    return torch.stack(
        [((c.detach() - k) * g).sum((0, 1, 3)) for c, k, g in zip(clean, corrupted, grads)]
    )


# %% wrong 06.11: fails where gradients are switched off, once more
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    clean, corrupted = {}, {}

    def store_clean(z, hook):
        clean[hook.name] = z.detach().clone()

    def store_corrupted(z, hook):
        if not z.requires_grad:
            z = z.detach().requires_grad_()
        corrupted[hook.name] = z
        return z

    model.run_with_hooks(clean_tokens, fwd_hooks=[(n, store_clean) for n in names])
    logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(n, store_corrupted) for n in names])
    grads = torch.autograd.grad(metric(logits), [corrupted[n] for n in names])
    return torch.stack(
        [((clean[n] - corrupted[n].detach()) * g).sum((0, 1, 3)) for n, g in zip(names, grads)]
    )


# %% wrong 06.11: the result still hangs on the graph
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    clean, corrupted = {}, {}

    def store_clean(z, hook):
        clean[hook.name] = z.clone()

    def store_corrupted(z, hook):
        if not z.requires_grad:
            z = z.detach().requires_grad_()
        corrupted[hook.name] = z
        return z

    with torch.enable_grad():
        model.run_with_hooks(clean_tokens, fwd_hooks=[(n, store_clean) for n in names])
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(n, store_corrupted) for n in names])
        grads = torch.autograd.grad(metric(logits), [corrupted[n] for n in names])
        return torch.stack([((clean[n] - corrupted[n]) * g).sum((0, 1, 3)) for n, g in zip(names, grads)])


# %% wrong 06.11: cuts the graph at each layer, so only direct effects are left
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    clean, corrupted = {}, {}

    def store_clean(z, hook):
        clean[hook.name] = z.detach().clone()

    def store_corrupted(z, hook):
        corrupted[hook.name] = z.detach().clone().requires_grad_()
        return corrupted[hook.name]

    with torch.no_grad():
        model.run_with_hooks(clean_tokens, fwd_hooks=[(n, store_clean) for n in names])
    with torch.enable_grad():
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(n, store_corrupted) for n in names])
        grads = torch.autograd.grad(metric(logits), [corrupted[n] for n in names])
    return torch.stack(
        [((clean[n] - corrupted[n].detach()) * g).sum((0, 1, 3)) for n, g in zip(names, grads)]
    )


# %% wrong 06.11: averages over the batch instead of summing
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    clean, corrupted = {}, {}

    def store_clean(z, hook):
        clean[hook.name] = z.detach().clone()

    def store_corrupted(z, hook):
        if not z.requires_grad:
            z = z.detach().requires_grad_()
        corrupted[hook.name] = z
        return z

    with torch.enable_grad():
        model.run_with_hooks(clean_tokens, fwd_hooks=[(n, store_clean) for n in names])
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(n, store_corrupted) for n in names])
        grads = torch.autograd.grad(metric(logits), [corrupted[n] for n in names])
    return torch.stack(
        [((clean[n] - corrupted[n].detach()) * g).sum((1, 3)).mean(0) for n, g in zip(names, grads)]
    )


# %% right 06.11: gradients of the stored z
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    names = [get_act_name("z", l) for l in range(model.cfg.n_layers)]
    clean, corrupted = {}, {}

    def store_clean(z, hook):
        clean[hook.name] = z.detach().clone()

    def store_corrupted(z, hook):
        if not z.requires_grad:
            z = z.detach().requires_grad_()
        corrupted[hook.name] = z
        return z

    with torch.no_grad():
        model.run_with_hooks(clean_tokens, fwd_hooks=[(n, store_clean) for n in names])
    with torch.enable_grad():
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(n, store_corrupted) for n in names])
        grads = torch.autograd.grad(metric(logits), [corrupted[n] for n in names])
    return torch.stack(
        [((clean[n] - corrupted[n].detach()) * g).sum((0, 1, 3)) for n, g in zip(names, grads)]
    )


# %% right 06.11: a zero added to each z, differentiated by that
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    n_layers = model.cfg.n_layers
    clean, corrupted, deltas = [], [], []

    def add_delta(z, hook):
        delta = torch.zeros_like(z, requires_grad=True)
        corrupted.append(z.detach().clone())
        deltas.append(delta)
        return z + delta

    def note(z, hook):
        clean.append(z.detach().clone())

    with torch.no_grad():
        model.run_with_hooks(clean_tokens, fwd_hooks=[(get_act_name("z", l), note) for l in range(n_layers)])
    with torch.enable_grad():
        value = metric(
            model.run_with_hooks(
                corrupted_tokens, fwd_hooks=[(get_act_name("z", l), add_delta) for l in range(n_layers)]
            )
        )
        grads = torch.autograd.grad(value, deltas)
    change = torch.stack(clean) - torch.stack(corrupted)
    return torch.einsum("lbshe,lbshe->lh", change, torch.stack(grads)).detach()
