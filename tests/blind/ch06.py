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
