# %% right 07.1: sorted with key int, one set of tokens
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% right 07.1: dictionary by step, then argsort
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    tokens = make_tokens()
    found = {}
    with torch.no_grad():
        for label in labels:
            model = load(label).eval()
            found[int(label)] = score(model, tokens).detach().clone()
    steps = sorted(found)
    return torch.tensor(steps, dtype=torch.long), torch.stack([found[step] for step in steps])


# %% right 07.1: scores in the given order, sorted afterwards by torch
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    tokens = make_tokens()
    values = []
    for label in labels:
        model = load(label)
        was_training = model.training
        model.eval()
        try:
            with torch.inference_mode(False), torch.no_grad():
                values.append(score(model, tokens).detach().clone())
        finally:
            model.train(was_training)
    steps, order = torch.tensor([int(x) for x in labels]).sort()
    return steps, torch.stack(values)[order]


# %% right 07.1: decorated helper, zip at the end
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    tokens = make_tokens()

    @torch.no_grad()
    def one(label):
        model = load(label)
        model.train(False)
        return int(label), torch.clone(score(model, tokens))

    pairs = [one(label) for label in sorted(labels, key=lambda text: int(text))]
    steps, scores = zip(*pairs)
    return torch.tensor(steps), torch.stack(scores)


# %% right 07.1: fills a tensor made after the first score
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    tokens = make_tokens()
    steps = torch.tensor(sorted(map(int, labels)))
    text = {int(label): label for label in labels}
    result = None
    for i, step in enumerate(steps.tolist()):
        model = load(text[step])
        model.eval()
        with torch.no_grad():
            value = score(model, tokens)
        if result is None:
            result = torch.empty(len(steps), *value.shape, dtype=value.dtype, device=value.device)
        result[i] = value
    return steps, result


# %% wrong 07.1: sorts the labels as text, 1000 before 128
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% wrong 07.1: order as given
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = list(labels)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% wrong 07.1: steps sorted, scores in the order given
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in labels:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% wrong 07.1: latest step first
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int, reverse=True)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% wrong 07.1: loads all first: they are one object with the last weights
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    models = [load(label).eval() for label in order]
    with torch.no_grad():
        scores = [score(model, tokens).clone() for model in models]
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% wrong 07.1: no clone: a score that is a view of the weights changes with the next load
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens))
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% wrong 07.1: steps as a list of ints, not a tensor
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return [int(label) for label in order], torch.stack(scores)


# %% wrong 07.1: scores as a list
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), scores


# %% wrong 07.1: turns scores into numbers: fails for scores with axes
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).item())
    return torch.tensor([int(label) for label in order]), torch.tensor(scores)


# %% wrong 07.1: cat instead of stack: the step axis is lost
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), torch.cat([s.reshape(-1) for s in scores])


# %% wrong 07.1: loads by the int, not by the label
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(int(label))
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% wrong 07.1: index of the step instead of the step
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor(list(range(len(order)))), torch.stack(scores)


# %% wrong 07.1: sorts the caller's list in place (fails for a tuple)
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    labels.sort(key=int)
    order = labels
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([int(label) for label in order]), torch.stack(scores)


# %% wrong 07.1: steps are floats
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in order:
        model = load(label)
        model.eval()
        with torch.no_grad():
            scores.append(score(model, tokens).clone())
    return torch.tensor([float(label) for label in order]), torch.stack(scores)


# %% right 07.2: slices
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% right 07.2: plain Python
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    import math

    y = [float(v) for v in scores]
    x = [math.log(1 + float(s)) for s in steps]
    half = window // 2
    smooth = []
    for i in range(len(y)):
        near = [y[j] for j in range(len(y)) if abs(i - j) <= half]
        smooth.append(sum(near) / len(near))
    best, where = -math.inf, None
    for i in range(len(y) - 1):
        slope = (smooth[i + 1] - smooth[i]) / (x[i + 1] - x[i])
        if slope > best:
            best, where = slope, (x[i] + x[i + 1]) / 2
    return math.exp(where) - 1


# %% right 07.2: matrix of weights, the last of equal slopes
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    place = torch.arange(len(scores))
    near = ((place[:, None] - place).abs() <= window // 2).double()
    smooth = (near / near.sum(1, keepdim=True)) @ scores.detach().cpu().double()
    x = (steps.cpu().double() + 1).log()
    slope = (smooth[1:] - smooth[:-1]) / (x[1:] - x[:-1])
    i = (slope == slope.max()).nonzero()[-1].item()
    return x[i : i + 2].mean().exp().item() - 1


# %% right 07.2: avg_pool1d without counting the padding, geometric mean
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    smooth = torch.nn.functional.avg_pool1d(
        scores.double()[None, None], window, stride=1, padding=window // 2, count_include_pad=False
    )[0, 0]
    s = steps.double() + 1
    i = int((smooth.diff() / s.log().diff()).argmax())
    return float((s[i] * s[i + 1]).sqrt() - 1)


# %% right 07.2: cumulative sums
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = scores.shape[0], window // 2
    total = torch.cat([torch.zeros(1, dtype=torch.double), scores.double().cumsum(0)])
    lo = (torch.arange(n) - half).clamp(min=0)
    hi = (torch.arange(n) + half + 1).clamp(max=n)
    smooth = (total[hi] - total[lo]) / (hi - lo)
    x = torch.log(1 + steps.double())
    k = torch.argmax(torch.diff(smooth) / torch.diff(x)).item()
    return torch.exp(0.5 * (x[k] + x[k + 1])).item() - 1


# %% wrong 07.2: the middle in steps, not in x
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float((steps[i] + steps[i + 1]) / 2)


# %% wrong 07.2: the left end of the interval
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(steps[i])


# %% wrong 07.2: the right end of the interval
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(steps[i + 1])


# %% wrong 07.2: forgets the - 1 when it turns back
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(torch.exp((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: turns nothing back: x
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float((x[i] + x[i + 1]) / 2)


# %% wrong 07.2: log(step), minus infinity for step 0
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: slope in steps
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / steps.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: difference only, not the slope
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: steepest change in either direction
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.abs().argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: window places on each side
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: window to the right is one short
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half].double().sum() / max(1, min(n, i + half) - max(0, i - half)) for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: negative start at the left end
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[i - half : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: zeros beyond the ends
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    padded = torch.nn.functional.pad(scores.double(), (half, half))
    smooth = padded.unfold(0, window, 1).mean(-1)
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: smooths the slopes, not the scores
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    half = window // 2
    x = torch.log1p(steps.double())
    raw = scores.double().diff() / x.diff()
    slopes = torch.stack([raw[max(0, i - half) : i + half + 1].mean() for i in range(len(raw))])
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: drops the ends: valid windows only, and the steps not shifted
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    smooth = scores.double().unfold(0, window, 1).mean(-1)
    x = torch.log1p(steps.double())[: len(smooth)]
    i = int((smooth.diff() / x.diff()).argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: returns a tensor
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return torch.expm1((x[i] + x[i + 1]) / 2)


# %% wrong 07.2: rounded to an int
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].double().mean() for i in range(n)])
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return int(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: running mean in place: smooths with scores already smoothed, and the caller's scores change
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    n, half = len(scores), window // 2
    smooth = scores
    for i in range(n):
        smooth[i] = smooth[max(0, i - half) : i + half + 1].mean()
    x = torch.log1p(steps.double())
    slopes = smooth.diff() / x.diff()
    i = int(slopes.argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% right 07.3: row views filled in place
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% right 07.3: lists
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    result = []
    for _ in range(batch):
        row = [BOS]
        while len(row) < n_ctx:
            length = torch.randint(min_len, max_len + 1, (), generator=generator).item()
            segment = torch.randint(1, d_vocab, (length,), generator=generator).tolist()
            row.extend(segment + segment)
        result.append(row[:n_ctx])
    return torch.tensor(result)


# %% right 07.3: all tokens drawn first, source index per position
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    tokens = torch.randint(1, d_vocab, (batch, n_ctx), generator=generator)
    tokens[:, 0] = BOS
    for b in range(batch):
        start = 1
        while start < n_ctx:
            length = min_len + int(torch.randint(max_len - min_len + 1, (1,), generator=generator))
            for i in range(start + length, min(start + 2 * length, n_ctx)):
                tokens[b, i] = tokens[b, i - length]
            start += 2 * length
    return tokens


# %% right 07.3: cat of pieces, lengths by a random permutation
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    def row():
        pieces = [torch.tensor([BOS])]
        have = 1
        while have < n_ctx:
            length = min_len + int(torch.randperm(max_len - min_len + 1, generator=generator)[0])
            piece = 1 + torch.randint(0, d_vocab - 1, (length,), generator=generator)
            pieces += [piece, piece]
            have += 2 * length
        return torch.cat(pieces)[:n_ctx]

    return torch.stack([row() for _ in range(batch)])


# %% right 07.3: lengths of all segments at once
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    most = n_ctx // (2 * min_len) + 1
    lengths = torch.randint(min_len, max_len + 1, (batch, most), generator=generator)
    out = torch.full((batch, n_ctx), BOS)
    for b in range(batch):
        sequence = [torch.randint(1, d_vocab, (n,), generator=generator) for n in lengths[b].tolist()]
        line = torch.cat([torch.cat((s, s)) for s in sequence])
        out[b, 1:] = line[: n_ctx - 1]
    return out


# %% wrong 07.3: max_len never drawn
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: tokens from 0: BOS within the segments
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(0, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: last token never drawn
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab - 1, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: lengths from the global generator
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,)))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: tokens from the global generator
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,))
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: one length per row
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
        while pos < n_ctx:
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: no BOS
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 0
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: the segment once, then a new one: the copy is another draw
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = torch.cat([segment, torch.randint(1, d_vocab, (length,), generator=generator)])[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: the copy is backwards
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = torch.cat([segment, segment.flip(0)])[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: each token doubled instead of the segment
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat_interleave(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: all rows are the same
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(1, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows.repeat(batch, 1)


# %% wrong 07.3: only whole pairs: the end of the row stays 0
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)
            if pos + len(pair) > n_ctx:
                break
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: float tokens
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: one pair per row, repeated until it is full
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(n_ctx)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: BOS before every pair
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 0
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = torch.cat([torch.tensor([BOS]), segment, segment])[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: lengths of a segment and its copy together: halves, so they are too short
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (max(1, length // 2),), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: the same segment for all rows and pairs: seeds the generator anew
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            generator.manual_seed(0)
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% wrong 07.3: lengths shared by all rows
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    pos = 1
    while pos < n_ctx:
        length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
        segment = torch.randint(1, d_vocab, (batch, length), generator=generator)
        pair = segment.repeat(1, 2)[:, : n_ctx - pos]
        rows[:, pos : pos + pair.shape[1]] = pair
        pos += pair.shape[1]
    return rows


# %% wrong 07.3: shortens the last segment so that its copy just fits: lengths below min_len, the pair is never cut
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = torch.zeros(batch, n_ctx, dtype=torch.long)
    for row in rows:
        pos = 1
        while pos < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            length = min(length, max(1, (n_ctx - pos) // 2))
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            pair = segment.repeat(2)[: n_ctx - pos]
            row[pos : pos + len(pair)] = pair
            pos += len(pair)
    return rows


# %% right 07.4: rate set by hand
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% right 07.4: LambdaLR
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    opt = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: min(1.0, (step + 1) / warmup))
    log = []
    for step in range(steps):
        if step % every == 0:
            log.append((step, score(model)))
        opt.zero_grad()
        model(make_batch(step), return_type="loss").backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        opt.step()
        schedule.step()
    log.append((steps, score(model)))
    return [s for s, _ in log], [v for _, v in log]


# %% right 07.4: loop to steps inclusive, break at the end
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    opt = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    at: list[int] = []
    values: list[float] = []
    for step in range(steps + 1):
        if step == steps or step % every == 0:
            at.append(step)
            values.append(float(score(model)))
        if step == steps:
            break
        opt.param_groups[0]["lr"] = learning_rate if step + 1 >= warmup else learning_rate * (step + 1) / warmup
        with torch.enable_grad():
            loss = model(make_batch(step), return_type="loss")
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=1.0)
        opt.step()
    return at, values


# %% right 07.4: clips by hand
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    results = {}
    for step in range(steps):
        if step % every == 0:
            results[step] = score(model)
        for p in params:
            p.grad = None
        model(make_batch(step), return_type="loss").backward()
        norm = torch.sqrt(sum((p.grad.detach() ** 2).sum() for p in params if p.grad is not None))
        if norm > 1:
            for p in params:
                if p.grad is not None:
                    p.grad.div_(norm)
        for group in opt.param_groups:
            group["lr"] = min(learning_rate, learning_rate * (step + 1) / warmup)
        opt.step()
    results[steps] = score(model)
    return list(results.keys()), list(results.values())


# %% right 07.4: helper functions
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    def rate(step):
        return learning_rate * (step + 1) / warmup if step < warmup else learning_rate

    optimizer = torch.optim.AdamW(
        [{"params": list(model.parameters())}], lr=rate(0), betas=(0.9, 0.98), weight_decay=0.01
    )

    def update(step):
        batch = make_batch(step)
        optimizer.zero_grad(set_to_none=True)
        loss = model(batch, return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0, norm_type=2)
        optimizer.param_groups[0].update(lr=rate(step))
        optimizer.step()

    marks = [*range(0, steps, every), steps]
    scores = []
    done = 0
    for mark in marks:
        while done < mark:
            update(done)
            done += 1
        scores.append(score(model))
    return marks, scores


# %% wrong 07.4: scores after the update
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: no last score
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return when, scores


# %% wrong 07.4: last score is called steps - 1
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps - 1)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: last score only when steps is a multiple of every
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    if steps % every == 0:
        when.append(steps)
        scores.append(score(model))
    return when, scores


# %% wrong 07.4: step / warmup: first rate is 0
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, step / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: the rate goes on rising after the warm-up
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (step + 1) / warmup
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: no warm-up
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: gradients add up over the steps
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: clips before backward
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        loss.backward()
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: clips after the update
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: clips each value
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: clips each parameter by itself
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        for p in model.parameters():
            nn.utils.clip_grad_norm_([p], 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: default betas
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: Adam with L2 instead of AdamW
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: forgets the weight decay (0)
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: the same batch all the time
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(0), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: batches counted from 1
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step + 1), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: a new optimizer in every step loses its moments
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer = torch.optim.AdamW(model.parameters(), lr=optimizer.param_groups[0]["lr"], betas=(0.9, 0.98), weight_decay=0.01)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: zero_grad only after the update: gradients that score left behind take part
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: scheduler stepped before the optimizer: rates one step early
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    opt = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: min(1.0, (step + 1) / warmup))
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        schedule.step()
        opt.zero_grad()
        model(make_batch(step), return_type="loss").backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
    return when + [steps], scores + [score(model)]


# %% wrong 07.4: scheduler-like: rate set when scoring only
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: scored at the end twice when steps is a multiple of every
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    if steps % every == 0:
        when.append(steps)
        scores.append(score(model))
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: pairs instead of two lists
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return list(zip(when, scores))


# %% wrong 07.4: the losses instead of the scores
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores, loss = [], [], None
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(float(model(make_batch(step), return_type="loss")))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% right 07.5: names mapped, writers zeroed first, then copied
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% right 07.5: load_state_dict of a changed copy
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    own = {name: p for name, p in big.named_parameters()}
    state = {name: p.detach().clone() for name, p in own.items()}
    writers = ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out", "pos_embed.W_pos")
    for name in state:
        if name.endswith(writers):
            state[name] = torch.zeros_like(state[name])
    for name, value in small.items():
        parts = name.split(".")
        if parts[0] == "blocks":
            i = int(parts[1])
            if i >= len(layers):
                raise KeyError(name)
            parts[1] = str(layers[i])
        place = ".".join(parts)
        if place not in state:
            raise KeyError(f"{name}: the big model has no place for it")
        state[place] = value.detach().clone()
    big.load_state_dict(state, strict=False)


# %% right 07.5: regular expression, get_parameter
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    import re

    def home(name):
        moved = dict(enumerate(layers))
        return re.sub(r"^blocks\.(\d+)\.", lambda m: f"blocks.{moved.get(int(m[1]))}.", name)

    mine = dict(big.named_parameters())
    todo = [(name, home(name)) for name in small]
    for name, place in todo:
        if place not in mine:
            raise KeyError(name)
    filled = {place for _, place in todo}
    with torch.no_grad():
        for name, p in mine.items():
            if name.split(".")[-1] in {"W_O", "b_O", "W_out", "b_out", "W_pos"} and name not in filled:
                p.fill_(0)
        for name, place in todo:
            big.get_parameter(place).data.copy_(small[name].to(mine[place].device))


# %% right 07.5: block by block
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    here = dict(big.named_parameters())
    with torch.no_grad():
        for block in big.blocks:
            for module in block.children():
                for name, p in module.named_parameters():
                    if name in ("W_O", "b_O", "W_out", "b_out"):
                        p.zero_()
        if "pos_embed.W_pos" in here and "pos_embed.W_pos" not in small:
            here["pos_embed.W_pos"].zero_()
        for name in small:
            words = name.split(".")
            if words[0] == "blocks":
                words[1] = str(dict(enumerate(layers)).get(int(words[1]), "nowhere"))
            try:
                p = here[".".join(words)]
            except KeyError:
                raise KeyError(name) from None
            p.copy_(small[name])


# %% wrong 07.5: the layers as they are in small, `layers` ignored
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{int(layer)}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: reads the layer number from one character: wrong from layer 10 on
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                layer, rest = name[7], name.split(".", 2)[2]
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: renames by replace, one layer after the other: blocks.1 also hits blocks.10, and moved ones move again
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    new = {}
    for name, value in small.items():
        target = name
        for i, layer in enumerate(layers):
            target = target.replace(f"blocks.{i}", f"blocks.{layer}")
        if target not in parameters:
            raise KeyError(name)
        new[target] = value
    with torch.no_grad():
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: b_out of the MLPs forgotten
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: b_O of the other layers forgotten
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: MLPs not silenced
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: other attention layers not silenced
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: silences after copying: the small model's heads too
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, value in new.items():
            parameters[name].copy_(value)
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out")):
                p.zero_()


# %% wrong 07.5: everything in the other layers set to zero, also what reads
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name not in new:
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: weights without a place are skipped
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    continue
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                continue
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: ValueError instead of KeyError
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise ValueError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise ValueError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: a KeyError that names no weight
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError("no place for a weight")
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError("no place for a weight")
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: copies the attention only: embeddings and unembedding stay random
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            if "attn" not in name:
                continue
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: layers read the other way round (big's layer to small's)
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{list(layers).index(int(layer)) if int(layer) in list(layers) else int(layer)}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: silences the reading weights W_Q, W_K, W_in instead
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_Q", "W_K", "W_in", "b_in")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: load_state_dict(strict=False) swallows what has no place
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    state = {}
    for name, value in small.items():
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(layers[int(parts[1])])
        state[".".join(parts)] = value
    with torch.no_grad():
        for name, p in big.named_parameters():
            if name.endswith(("W_O", "b_O", "W_out", "b_out")):
                p.zero_()
    big.load_state_dict(state, strict=False)


# %% wrong 07.5: fills the entries of the names, not the parameters: big does not change
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    state = {name: p.detach().clone() for name, p in big.named_parameters()}
    for name, p in state.items():
        if name.endswith(("W_O", "b_O", "W_out", "b_out")):
            p.zero_()
    for name, value in small.items():
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(layers[int(parts[1])])
        if ".".join(parts) not in state:
            raise KeyError(name)
        state[".".join(parts)] = value


# %% wrong 07.5: random new readers: re-initialises everything of big first
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        for p in parameters.values():
            p.normal_(0, 0.02)
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: only the first small layer is moved
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{layers[0]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% wrong 07.5: layers taken in falling order whatever their order
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    parameters = dict(big.named_parameters())
    with torch.no_grad():
        new = {}
        for name, value in small.items():
            target = name
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                if int(layer) >= len(layers):
                    raise KeyError(name)
                target = f"blocks.{sorted(layers, reverse=True)[int(layer)]}.{rest}"
            if target not in parameters:
                raise KeyError(name)
            new[target] = value
        for name, p in parameters.items():
            if name.endswith(("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos")):
                p.zero_()
        for name, value in new.items():
            parameters[name].copy_(value)


# %% right 07.1: argsort of the labels as numbers
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    order = torch.tensor([int(x) for x in labels]).argsort().tolist()
    tokens = make_tokens()
    rows, steps = [], []
    for i in order:
        model = load(labels[i])
        model.eval()
        with torch.no_grad():
            rows.append(torch.as_tensor(score(model, tokens)).clone())
        model.train()
        steps.append(int(labels[i]))
    return torch.as_tensor(steps, dtype=torch.int64), torch.stack(rows, dim=0)


# %% right 07.2: max over a list of tuples
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    import math

    h = (window - 1) // 2
    values = scores.tolist()
    means = []
    for i, _ in enumerate(values):
        part = values[max(i - h, 0) : min(i + h, len(values) - 1) + 1]
        means.append(math.fsum(part) / len(part))
    xs = [math.log1p(s) for s in steps.tolist()]
    candidates = []
    for (x0, y0), (x1, y1) in zip(zip(xs, means), zip(xs[1:], means[1:])):
        candidates.append(((y1 - y0) / (x1 - x0), 0.5 * (x0 + x1)))
    return math.expm1(max(candidates, key=lambda c: c[0])[1])


# %% right 07.3: one token at a time
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    out = torch.empty(batch, n_ctx, dtype=torch.int64)
    for b in range(batch):
        out[b, 0] = BOS
        segment, left = [], []
        for i in range(1, n_ctx):
            if not left:
                length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
                segment = [int(torch.randint(1, d_vocab, (1,), generator=generator)) for _ in range(length)]
                left = segment + segment
            out[b, i] = left.pop(0)
    return out


# %% right 07.3: a Python generator of tokens, islice, lengths by multinomial
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    from itertools import islice

    weights = torch.ones(max_len - min_len + 1)

    def stream():
        yield BOS
        while True:
            length = min_len + int(torch.multinomial(weights, 1, generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator).tolist()
            yield from segment
            yield from segment

    return torch.tensor([list(islice(stream(), n_ctx)) for _ in range(batch)], dtype=torch.long)


# %% right 07.4: LinearLR-like schedule object made of two
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    class Rate:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        def set(self, step):
            value = learning_rate * (step + 1) / warmup
            for group in self.optimizer.param_groups:
                group["lr"] = value if value < learning_rate else learning_rate

    optimizer = torch.optim.AdamW(params=model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=1e-2)
    rate = Rate(optimizer)
    times, results = [], []

    def note(step):
        times.append(step)
        results.append(score(model))

    step = 0
    while step < steps:
        if not step % every:
            note(step)
        tokens = make_batch(step)
        rate.set(step)
        model.zero_grad()
        model(tokens, return_type="loss").backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
    note(steps)
    return times, results


# %% right 07.4: autograd.grad instead of backward
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    params = list(model.parameters())
    optimizer = torch.optim.AdamW(params, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when += [step]
            scores += [score(model)]
        loss = model(make_batch(step), return_type="loss")
        for p, g in zip(params, torch.autograd.grad(loss, params, allow_unused=True)):
            p.grad = g
        nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.param_groups[0]["lr"] = learning_rate * min(step + 1, warmup) / warmup
        optimizer.step()
    return [*when, steps], [*scores, score(model)]


# %% right 07.5: a map from small names to big names first
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    mapping = {}
    big_names = {name for name, _ in big.named_parameters()}
    for name in small:
        new = name
        for i, layer in enumerate(layers):
            if name.startswith(f"blocks.{i}."):
                new = f"blocks.{layer}." + name[len(f"blocks.{i}.") :]
                break
        else:
            if name.startswith("blocks."):
                raise KeyError(name)
        if new not in big_names:
            raise KeyError(name)
        mapping[new] = name
    for name, p in big.named_parameters():
        last = name.rsplit(".", 1)[-1]
        if name in mapping:
            p.data.copy_(small[mapping[name]])
        elif last in ("W_O", "b_O", "W_out", "b_out", "W_pos", "W_E"):
            p.data.zero_()


# %% right 07.5: multiplies the silenced by zero, sorted names
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    targets = dict(big.named_parameters())
    with torch.no_grad():
        for name in sorted(targets):
            if any(name.endswith("." + end) for end in ("W_O", "b_O", "W_out", "b_out")):
                targets[name].mul_(0.0)
        for name in sorted(small):
            if name.startswith("blocks."):
                head, number, tail = name.split(".", maxsplit=2)
                chosen = list(layers)[int(number)] if int(number) < len(layers) else -1
                goal = f"{head}.{chosen}.{tail}"
            else:
                goal = name
            if goal not in targets:
                raise KeyError(name)
            targets[goal].copy_(small[name])


# %% right 07.1: sorted by int, loop under no_grad
def score_checkpoints(labels, load, make_tokens, score):
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label)
            model.eval()
            scores.append(score(model, tokens).detach())
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% right 07.1: scored in the order given, then permuted with a tensor sort
def score_checkpoints(labels, load, make_tokens, score):
    steps, order = torch.sort(torch.as_tensor([int(label) for label in labels], dtype=torch.long))
    tokens = make_tokens()

    @torch.no_grad()
    def one(label):
        return score(load(label).eval(), tokens.clone()).detach().clone()

    return steps, torch.stack(list(map(one, labels))).index_select(0, order)


# %% wrong 07.1: all checkpoints are loaded first; as load returns the same object, every score is that of the last one
def score_checkpoints(labels, load, make_tokens, score):
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    with torch.no_grad():
        models = [load(label).eval() for label in ordered]
        for model in models:
            scores.append(score(model, tokens).detach())
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% wrong 07.1: eval() is called once, at the first checkpoint; load puts the model back into training mode for the later ones
def score_checkpoints(labels, load, make_tokens, score):
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label)
            if label == ordered[0]:
                model.eval()
            scores.append(score(model, tokens).detach())
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% wrong 07.1: steps are sorted as numbers but scores follow the labels sorted as text
def score_checkpoints(labels, load, make_tokens, score):
    tokens = make_tokens()
    scores = []
    for label in sorted(labels):
        model = load(label).eval()
        with torch.no_grad():
            scores.append(score(model, tokens))
    steps = torch.tensor(sorted(int(label) for label in labels))
    return steps, torch.stack(scores)


# %% wrong 07.1: no no_grad and no detach: scores are part of a graph
def score_checkpoints(labels, load, make_tokens, score):
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    if True:
        for label in ordered:
            model = load(label)
            model.eval()
            scores.append(score(model, tokens))
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% wrong 07.1: load is given str(int(label)) instead of the label itself: breaks for zero-padded labels such as 000512
def score_checkpoints(labels, load, make_tokens, score):
    steps = sorted(int(label) for label in labels)
    tokens = make_tokens()
    scores = []
    with torch.no_grad():
        for step in steps:
            model = load(str(step)).eval()
            scores.append(score(model, tokens))
    return torch.tensor(steps), torch.stack(scores)


# %% right 07.2: plain Python floats and loops
import math


def phase_change_step(steps, scores, window=1):
    x = [math.log1p(int(step)) for step in steps]
    y = [float(score) for score in scores]
    r = window // 2
    smooth = []
    for i in range(len(y)):
        near = y[max(0, i - r) : i + r + 1]
        smooth.append(sum(near) / len(near))
    best, where = -math.inf, 0
    for i in range(len(x) - 1):
        slope = (smooth[i + 1] - smooth[i]) / (x[i + 1] - x[i])
        if slope > best:
            best, where = slope, i
    return math.expm1((x[where] + x[where + 1]) / 2)


# %% right 07.2: avg_pool1d without counting the padding, diff, argmax, expm1 in double
def phase_change_step(steps, scores, window=1):
    y = nn.functional.avg_pool1d(
        scores.detach().double()[None, None], kernel_size=window, stride=1, padding=window // 2, count_include_pad=False
    )[0, 0]
    x = torch.log1p(steps.double())
    i = torch.argmax(torch.diff(y) / torch.diff(x))
    return float(torch.expm1(torch.lerp(x[i], x[i + 1], 0.5)))


# %% wrong 07.2: scores are smoothed in place from left to right: neighbours already smoothed enter the means, and the caller's tensor is changed
def phase_change_step(steps, scores, window=1):
    r = window // 2
    for i in range(len(scores)):
        scores[i] = scores[max(0, i - r) : i + r + 1].mean()
    x = torch.log1p(steps.double())
    i = int(((scores[1:] - scores[:-1]).double() / (x[1:] - x[:-1])).argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


# %% wrong 07.2: at the ends the window shrinks on both sides, instead of averaging all that exist within window // 2
import math


def phase_change_step(steps, scores, window=1):
    x = [math.log1p(int(step)) for step in steps]
    y = [float(score) for score in scores]
    r = window // 2
    smooth = []
    for i in range(len(y)):
        k = min(r, i, len(y) - 1 - i)
        near = y[i - k : i + k + 1]
        smooth.append(sum(near) / len(near))
    best, where = -math.inf, 0
    for i in range(len(x) - 1):
        slope = (smooth[i + 1] - smooth[i]) / (x[i + 1] - x[i])
        if slope > best:
            best, where = slope, i
    return math.expm1((x[where] + x[where + 1]) / 2)


# %% wrong 07.2: at the ends the first and last score are repeated as padding, instead of averaging those that exist
def phase_change_step(steps, scores, window=1):
    r = window // 2
    y = scores.detach().double()
    padded = torch.cat([y[:1].expand(r), y, y[-1:].expand(r)])
    y = padded.unfold(0, window, 1).mean(-1)
    x = torch.log1p(steps.double())
    i = (y.diff() / x.diff()).argmax()
    return torch.expm1((x[i] + x[i + 1]) / 2).item()


# %% wrong 07.2: the best slope starts at 0: when the score falls everywhere, the first interval is given whatever the slopes
import math


def phase_change_step(steps, scores, window=1):
    x = [math.log1p(int(step)) for step in steps]
    y = [float(score) for score in scores]
    r = window // 2
    smooth = []
    for i in range(len(y)):
        near = y[max(0, i - r) : i + r + 1]
        smooth.append(sum(near) / len(near))
    best, where = 0.0, 0
    for i in range(len(x) - 1):
        slope = (smooth[i + 1] - smooth[i]) / (x[i + 1] - x[i])
        if slope > best:
            best, where = slope, i
    return math.expm1((x[where] + x[where + 1]) / 2)


# %% wrong 07.2: the slope with the largest absolute value is taken: finds the steepest fall when that is steeper than the rise
def phase_change_step(steps, scores, window=1):
    r = window // 2
    y = torch.stack([scores[max(0, i - r) : i + r + 1].double().mean() for i in range(len(scores))])
    x = torch.log1p(steps.double())
    i = (y.diff() / x.diff()).abs().argmax()
    return torch.expm1((x[i] + x[i + 1]) / 2).item()


# %% right 07.3: row by row, cat of segments, cut off
def make_batch(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    device = generator.device
    out = torch.full((batch, n_ctx), BOS, dtype=torch.long, device=device)
    for row in out:
        parts, length = [], 0
        while length < n_ctx - 1:
            k = int(torch.randint(min_len, max_len + 1, (1,), generator=generator, device=device))
            segment = torch.randint(1, d_vocab, (k,), generator=generator, device=device)
            parts += [segment, segment]
            length += 2 * k
        if parts:
            row[1:] = torch.cat(parts)[: n_ctx - 1]
    return out


# %% right 07.3: no loop: lengths by cumsum, searchsorted and gather into a table of segments
def make_batch(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    device = generator.device
    n_pairs = n_ctx // (2 * min_len) + 1
    lengths = torch.randint(min_len, max_len + 1, (batch, n_pairs), generator=generator, device=device)
    source = torch.randint(1, d_vocab, (batch, n_pairs, max_len), generator=generator, device=device)
    ends = (2 * lengths).cumsum(1)
    places = torch.arange(n_ctx - 1, device=device).expand(batch, -1).contiguous()
    pair = torch.searchsorted(ends, places, right=True)
    k = lengths.gather(1, pair)
    start = ends.gather(1, pair) - 2 * k
    offset = (places - start) % k
    tokens = source.flatten(1).gather(1, pair * max_len + offset)
    return torch.cat([torch.full((batch, 1), BOS, dtype=torch.long, device=device), tokens], dim=1)


# %% wrong 07.3: the length is a rounded uniform number: min_len and max_len are half as likely as the others
def make_batch(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    device = generator.device
    out = torch.full((batch, n_ctx), BOS, dtype=torch.long, device=device)
    for row in out:
        parts, length = [], 0
        while length < n_ctx - 1:
            k = round(min_len + (max_len - min_len) * float(torch.rand(1, generator=generator, device=device)))
            segment = torch.randint(1, d_vocab, (k,), generator=generator, device=device)
            parts += [segment, segment]
            length += 2 * k
        if parts:
            row[1:] = torch.cat(parts)[: n_ctx - 1]
    return out


# %% wrong 07.3: the last segments are shortened so that the copy still fits, instead of cutting the last pair off at n_ctx: lengths near the end are not equally likely and fall below min_len
def make_batch(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    device = generator.device
    out = torch.full((batch, n_ctx), BOS, dtype=torch.long, device=device)
    for row in out:
        parts, length = [], 0
        while length < n_ctx - 1:
            k = int(torch.randint(min_len, max_len + 1, (1,), generator=generator, device=device))
            k = max(1, min(k, (n_ctx - 1 - length) // 2))
            segment = torch.randint(1, d_vocab, (k,), generator=generator, device=device)
            parts += [segment, segment]
            length += 2 * k
        if parts:
            row[1:] = torch.cat(parts)[: n_ctx - 1]
    return out


# %% wrong 07.3: a new generator is made from generator.initial_seed(): the given one is not advanced and every call gives the same batch
def make_batch(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    device = generator.device
    generator = torch.Generator(device).manual_seed(generator.initial_seed())
    out = torch.full((batch, n_ctx), BOS, dtype=torch.long, device=device)
    for row in out:
        parts, length = [], 0
        while length < n_ctx - 1:
            k = int(torch.randint(min_len, max_len + 1, (1,), generator=generator, device=device))
            segment = torch.randint(1, d_vocab, (k,), generator=generator, device=device)
            parts += [segment, segment]
            length += 2 * k
        if parts:
            row[1:] = torch.cat(parts)[: n_ctx - 1]
    return out


# %% wrong 07.3: segment lengths are drawn once for the whole batch: all rows have the same boundaries
def make_batch(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    tokens = torch.full((batch, 1), BOS, dtype=torch.long)
    while tokens.shape[1] < n_ctx:
        k = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
        segment = torch.randint(1, d_vocab, (batch, k), generator=generator)
        tokens = torch.cat([tokens, segment, segment], dim=1)
    return tokens[:, :n_ctx]


# %% wrong 07.3: randint's upper end is d_vocab - 1: the last token of the vocabulary never comes
def make_batch(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    device = generator.device
    out = torch.full((batch, n_ctx), BOS, dtype=torch.long, device=device)
    for row in out:
        parts, length = [], 0
        while length < n_ctx - 1:
            k = int(torch.randint(min_len, max_len + 1, (1,), generator=generator, device=device))
            segment = torch.randint(1, d_vocab - 1, (k,), generator=generator, device=device)
            parts += [segment, segment]
            length += 2 * k
        if parts:
            row[1:] = torch.cat(parts)[: n_ctx - 1]
    return out


# %% right 07.4: rate set by hand, clip_grad_norm_
def train_induction(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% right 07.4: LambdaLR, clipping written out, scores collected as pairs
def train_induction(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: min(done + 1, warmup) / warmup)
    history = []
    step = 0
    while step < steps:
        if not step % every:
            history.append((step, score(model)))
        model.zero_grad(set_to_none=True)
        optimizer.zero_grad(set_to_none=True)
        model(make_batch(step), return_type="loss").backward()
        grads = [p.grad for p in parameters if p.grad is not None]
        norm = torch.stack([g.pow(2).sum() for g in grads]).sum().sqrt()
        if norm > 1:
            for g in grads:
                g.div_(norm)
        optimizer.step()
        schedule.step()
        step += 1
    history.append((steps, score(model)))
    return [at for at, _ in history], [value for _, value in history]


# %% wrong 07.4: each parameter's gradient is clipped to norm 1 by itself instead of all together
def train_induction(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        for parameter in model.parameters():
            nn.utils.clip_grad_norm_([parameter], 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: weight decay only for parameters with two axes or more; biases and gains are not decayed
def train_induction(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.01},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=(0.9, 0.98))
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: the score after the last update is left out when steps is not a multiple of every
def train_induction(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps + 1):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        model(make_batch(step), return_type="loss").backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return when, scores


# %% wrong 07.4: LambdaLR with step / warmup: the first update has rate 0 and all warmup rates are one step late
def train_induction(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / warmup))
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% wrong 07.4: Adam instead of AdamW: weight decay enters as an L2 term in the gradient
def train_induction(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    when, scores = [], []
    for step in range(steps):
        if step % every == 0:
            when.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    when.append(steps)
    scores.append(score(model))
    return when, scores


# %% right 07.5: check names, silence all writers, then copy
import re


@torch.no_grad()
def grow(big, small, layers):
    places = dict(big.named_parameters())
    targets = {}
    for name in small:
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        target = name
        if match:
            i = int(match[1])
            if i >= len(layers):
                raise KeyError(name)
            target = f"blocks.{layers[i]}.{match[2]}"
        if target not in places:
            raise KeyError(name)
        targets[name] = target
    for name, parameter in places.items():
        if name.rsplit(".", 1)[-1] in ("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos"):
            parameter.zero_()
    for name, target in targets.items():
        places[target].copy_(small[name])


# %% right 07.5: a new state dict built by splitting names, loaded with load_state_dict
def grow(big, small, layers):
    state = {name: value.detach().clone() for name, value in big.state_dict().items()}
    renamed = {}
    for name, weight in small.items():
        pieces = name.split(".")
        if pieces[0] == "blocks":
            try:
                pieces[1] = str(layers[int(pieces[1])])
            except IndexError:
                raise KeyError(f"no layer for {name}") from None
        new_name = ".".join(pieces)
        if new_name not in state:
            raise KeyError(f"{name} has no place in the big model")
        renamed[new_name] = weight.detach()
    for name in state:
        if name in renamed:
            state[name] = renamed[name]
        elif name.endswith((".W_O", ".b_O", ".W_out", ".b_out", ".W_pos", ".W_E")):
            state[name] = torch.zeros_like(state[name])
    big.load_state_dict(state)


# %% wrong 07.5: layer numbers are replaced one after another in the same name: with layers [1, 2], layer 0 becomes 1 and then 2
@torch.no_grad()
def grow(big, small, layers):
    places = dict(big.named_parameters())
    for name, parameter in places.items():
        if name.endswith(("W_O", "b_O", "W_out", "b_out")):
            parameter.zero_()
    for name, weight in small.items():
        target = name
        for i, layer in enumerate(layers):
            target = target.replace(f"blocks.{i}.", f"blocks.{layer}.")
        if target not in places:
            raise KeyError(name)
        places[target].copy_(weight)


# %% wrong 07.5: everything in the blocks is set to zero first, also the weights that read from the stream (W_Q, W_K, W_V, W_in), which should keep their random start
import re


@torch.no_grad()
def grow(big, small, layers):
    places = dict(big.named_parameters())
    targets = {}
    for name in small:
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        target = name
        if match:
            i = int(match[1])
            if i >= len(layers):
                raise KeyError(name)
            target = f"blocks.{layers[i]}.{match[2]}"
        if target not in places:
            raise KeyError(name)
        targets[name] = target
    for name, parameter in places.items():
        if ".attn." in name or ".mlp." in name:
            parameter.zero_()
    for name, target in targets.items():
        places[target].copy_(small[name])


# %% wrong 07.5: only the weights W_O and W_out are silenced; biases b_O of unused layers and b_out go on writing
import re


@torch.no_grad()
def grow(big, small, layers):
    places = dict(big.named_parameters())
    targets = {}
    for name in small:
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        target = name
        if match:
            i = int(match[1])
            if i >= len(layers):
                raise KeyError(name)
            target = f"blocks.{layers[i]}.{match[2]}"
        if target not in places:
            raise KeyError(name)
        targets[name] = target
    for name, parameter in places.items():
        if name.rsplit(".", 1)[-1] in ("W_O", "W_out"):
            parameter.zero_()
    for name, target in targets.items():
        places[target].copy_(small[name])


# %% wrong 07.5: used layers are recognised by prefix without the dot: with layer 1 in use, the attention of layers 10 to 19 is not silenced
import re


@torch.no_grad()
def grow(big, small, layers):
    places = dict(big.named_parameters())
    targets = {}
    for name in small:
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        target = name
        if match:
            i = int(match[1])
            if i >= len(layers):
                raise KeyError(name)
            target = f"blocks.{layers[i]}.{match[2]}"
        if target not in places:
            raise KeyError(name)
        targets[name] = target
    for name, parameter in places.items():
        if name.startswith(tuple(f"blocks.{layer}" for layer in layers)) and ".attn." in name:
            continue
        if name.rsplit(".", 1)[-1] in ("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos"):
            parameter.zero_()
    for name, target in targets.items():
        places[target].copy_(small[name])


# %% wrong 07.5: weights of small that big has no place for are passed over in silence instead of a KeyError
import re


@torch.no_grad()
def grow(big, small, layers):
    places = dict(big.named_parameters())
    targets = {}
    for name in small:
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        target = name
        if match:
            i = int(match[1])
            if i >= len(layers):
                raise KeyError(name)
            target = f"blocks.{layers[i]}.{match[2]}"
        if target not in places:
            continue
        targets[name] = target
    for name, parameter in places.items():
        if name.rsplit(".", 1)[-1] in ("W_O", "b_O", "W_out", "b_out", "W_E", "W_pos"):
            parameter.zero_()
    for name, target in targets.items():
        places[target].copy_(small[name])


# %% wrong 07.1: sorts the labels as text
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    tokens = make_tokens()
    ordered = sorted(labels)
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label).eval()
            scores.append(score(model, tokens).detach())
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% wrong 07.1: new tokens for every checkpoint
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    ordered = sorted(labels, key=int)
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label)
            model.eval()
            scores.append(score(model, make_tokens()).detach())
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% wrong 07.1: loads all checkpoints first, into the same object
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    tokens = make_tokens()
    models = {int(label): load(label).eval() for label in labels}
    steps = sorted(models)
    with torch.no_grad():
        scores = [score(models[step], tokens).detach() for step in steps]
    return torch.tensor(steps), torch.stack(scores)


# %% wrong 07.1: eval mode only once, before the loop
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    model = load(ordered[0])
    model.eval()
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label)
            scores.append(score(model, tokens).detach())
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% wrong 07.1: scores keep their graph
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    for label in ordered:
        model = load(label)
        model.eval()
        scores.append(score(model, tokens))
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% right 07.1: loop under no_grad
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label)
            model.eval()
            scores.append(score(model, tokens).detach())
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


# %% right 07.1: scores in the order given, sorted at the end
def score_checkpoints(
    labels: Sequence[str],
    load: Callable[[str], nn.Module],
    make_tokens: Callable[[], Int[Tensor, "b s"]],
    score: Callable[[nn.Module, Int[Tensor, "b s"]], Float[Tensor, "..."]],
) -> tuple[Int[Tensor, " step"], Float[Tensor, "step ..."]]:
    tokens = make_tokens()

    @torch.no_grad()
    def one(label: str) -> Tensor:
        return score(load(label).eval(), tokens.clone()).detach()

    scores = torch.stack([one(label) for label in labels])
    steps, order = torch.tensor([int(label) for label in labels]).sort()
    return steps, scores[order.to(scores.device)]


# %% wrong 07.2: fills up with zeros at the ends
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    x = torch.log1p(steps.double())
    y = scores.double()
    kernel = torch.full((1, 1, window), 1.0 / window, dtype=torch.double, device=y.device)
    y = torch.nn.functional.conv1d(y[None, None], kernel, padding=window // 2)[0, 0]
    slope = y.diff() / x.diff()
    i = slope.argmax()
    return torch.expm1((x[i] + x[i + 1]) / 2).item()


# %% wrong 07.2: the steepest change, up or down
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    half = window // 2
    y = scores.double()
    y = torch.stack([y[max(0, i - half) : i + half + 1].mean() for i in range(len(y))])
    x = torch.log1p(steps.double())
    i = int((y.diff() / x.diff()).abs().argmax())
    return torch.expm1((x[i] + x[i + 1]) / 2).item()


# %% wrong 07.2: averages over window places to each side
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    y = scores.double()
    if window > 1:
        y = torch.stack([y[max(0, i - window) : i + window + 1].mean() for i in range(len(y))])
    x = torch.log1p(steps.double())
    i = int((y.diff() / x.diff()).argmax())
    return torch.expm1((x[i] + x[i + 1]) / 2).item()


# %% wrong 07.2: the largest difference, whatever the width of the interval
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    half = window // 2
    y = scores.double()
    y = torch.stack([y[max(0, i - half) : i + half + 1].mean() for i in range(len(y))])
    x = torch.log1p(steps.double())
    i = int(y.diff().argmax())
    return torch.expm1((x[i] + x[i + 1]) / 2).item()


# %% wrong 07.2: the middle in steps, not in x, once more
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    half = window // 2
    y = scores.double()
    y = torch.stack([y[max(0, i - half) : i + half + 1].mean() for i in range(len(y))])
    x = torch.log1p(steps.double())
    i = int((y.diff() / x.diff()).argmax())
    return (steps[i] + steps[i + 1]).item() / 2


# %% right 07.2: tensors in double precision
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    half = window // 2
    y = scores.double()
    y = torch.stack([y[max(0, i - half) : i + half + 1].mean() for i in range(len(y))])
    x = torch.log1p(steps.double())
    i = int((y.diff() / x.diff()).argmax())
    return torch.expm1((x[i] + x[i + 1]) / 2).item()


# %% right 07.2: plain python
def phase_change_step(steps: Int[Tensor, " step"], scores: Float[Tensor, " step"], window: int = 1) -> float:
    import math

    xs = [math.log(1 + step) for step in steps.tolist()]
    raw = scores.tolist()
    smooth = []
    for i in range(len(raw)):
        near = [value for j, value in enumerate(raw) if abs(i - j) <= window // 2]
        smooth.append(sum(near) / len(near))
    slopes = [(smooth[i + 1] - smooth[i]) / (xs[i + 1] - xs[i]) for i in range(len(xs) - 1)]
    best = max(range(len(slopes)), key=slopes.__getitem__)
    return math.exp((xs[best] + xs[best + 1]) / 2) - 1


# %% wrong 07.3: max_len is never drawn
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = []
    for _ in range(batch):
        row = [BOS]
        while len(row) < n_ctx:
            length = torch.randint(min_len, max(max_len, min_len + 1), (1,), generator=generator).item()
            segment = torch.randint(1, d_vocab, (length,), generator=generator).tolist()
            row += segment + segment
        rows.append(row[:n_ctx])
    return torch.tensor(rows)


# %% wrong 07.3: the same lengths in all rows
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    parts = [torch.full((batch, 1), BOS)]
    total = 1
    while total < n_ctx:
        length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
        segment = torch.randint(1, d_vocab, (batch, length), generator=generator)
        parts += [segment, segment]
        total += 2 * length
    return torch.cat(parts, dim=1)[:, :n_ctx]


# %% wrong 07.3: one length for all segments of a row
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    tokens = torch.full((batch, n_ctx), BOS)
    for b in range(batch):
        length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
        start = 1
        while start < n_ctx:
            segment = torch.randint(1, d_vocab, (length,), generator=generator).repeat(2)
            end = min(start + 2 * length, n_ctx)
            tokens[b, start:end] = segment[: end - start]
            start = end
    return tokens


# %% wrong 07.3: lengths from python's global random numbers
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    import random

    rows = []
    for _ in range(batch):
        row = [torch.tensor([BOS])]
        total = 1
        while total < n_ctx:
            length = random.randint(min_len, max_len)
            segment = torch.randint(1, d_vocab, (length,), generator=generator)
            row += [segment, segment]
            total += 2 * length
        rows.append(torch.cat(row)[:n_ctx])
    return torch.stack(rows)


# %% wrong 07.3: the last token of the vocabulary is never drawn
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = []
    for _ in range(batch):
        row = torch.tensor([BOS])
        while len(row) < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab - 1, (length,), generator=generator)
            row = torch.cat([row, segment, segment])
        rows.append(row[:n_ctx])
    return torch.stack(rows)


# %% right 07.3: lists of numbers
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    rows = []
    for _ in range(batch):
        row = [BOS]
        while len(row) < n_ctx:
            length = int(torch.randint(min_len, max_len + 1, (1,), generator=generator))
            segment = torch.randint(1, d_vocab, (length,), generator=generator).tolist()
            row += segment + segment
        rows.append(row[:n_ctx])
    return torch.tensor(rows, dtype=torch.long)


# %% right 07.3: all random numbers at once, the copy by index
def make_batch(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 20
) -> Int[Tensor, "batch n_ctx"]:
    most = n_ctx // (2 * min_len) + 1
    lengths = torch.randint(min_len, max_len + 1, (batch, most), generator=generator)
    fresh = torch.randint(1, d_vocab, (batch, n_ctx), generator=generator)
    source = torch.arange(n_ctx).repeat(batch, 1)
    for b, row in enumerate(lengths.tolist()):
        start = 1
        for length in row:
            copy_from, copy_to = start + length, min(start + 2 * length, n_ctx)
            if copy_from < copy_to:
                source[b, copy_from:copy_to] -= length
            start += 2 * length
    tokens = fresh.gather(1, source)
    tokens[:, 0] = BOS
    return tokens


# %% wrong 07.4: clips each parameter's gradient by itself
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    at, scores = [], []
    for step in range(steps):
        if step % every == 0:
            at.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        loss = model(make_batch(step), return_type="loss")
        optimizer.zero_grad()
        loss.backward()
        for p in model.parameters():
            torch.nn.utils.clip_grad_norm_(p, 1.0)
        optimizer.step()
    at.append(steps)
    scores.append(score(model))
    return at, scores


# %% wrong 07.4: the warmup is one update late
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / warmup))
    at, scores = [], []
    for step in range(steps):
        if step % every == 0:
            at.append(step)
            scores.append(score(model))
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    at.append(steps)
    scores.append(score(model))
    return at, scores


# %% wrong 07.4: no last score when steps is a multiple of every
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    at, scores = [], []
    for step in range(steps):
        if step % every == 0:
            at.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        model(make_batch(step), return_type="loss").backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    if steps % every != 0:
        at.append(steps)
        scores.append(score(model))
    return at, scores


# %% wrong 07.4: scores after the update instead of before
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    at, scores = [], []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            at.append(step)
            scores.append(score(model))
    at.append(steps)
    scores.append(score(model))
    return at, scores


# %% wrong 07.4: Adam, where weight decay goes into the gradient
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    at, scores = [], []
    for step in range(steps):
        if step % every == 0:
            at.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        optimizer.zero_grad()
        loss = model(make_batch(step), return_type="loss")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    at.append(steps)
    scores.append(score(model))
    return at, scores


# %% right 07.4: sets the rate by hand
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    at, scores = [], []
    for step in range(steps):
        if step % every == 0:
            at.append(step)
            scores.append(score(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / warmup)
        loss = model(make_batch(step), return_type="loss")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    at.append(steps)
    scores.append(score(model))
    return at, scores


# %% right 07.4: scheduler, pairs collected in a dictionary
def train_induction(
    model: HookedTransformer,
    make_batch: Callable[[int], Int[Tensor, "b s"]],
    steps: int,
    score: Callable[[HookedTransformer], float],
    every: int = 25,
    learning_rate: float = 2e-3,
    warmup: int = 100,
) -> tuple[list[int], list[float]]:
    params = list(model.parameters())
    optimizer = torch.optim.AdamW(params, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / warmup, 1.0))
    history: dict[int, float] = {}
    step = 0
    while step < steps:
        if step % every == 0:
            history[step] = float(score(model))
        model.zero_grad(set_to_none=True)
        model(make_batch(step), return_type="loss").backward()
        torch.nn.utils.clip_grad_norm_(params, max_norm=1.0)
        optimizer.step()
        schedule.step()
        step += 1
    history[steps] = float(score(model))
    return list(history.keys()), list(history.values())


# %% wrong 07.5: MLPs of the layers in use still write
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    params = dict(big.named_parameters())
    with torch.no_grad():
        for name, p in params.items():
            if name.startswith("blocks."):
                layer = int(name.split(".")[1])
                writes = name.endswith(("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out"))
                if layer not in layers and writes:
                    p.zero_()
        for name, value in small.items():
            parts = name.split(".")
            if parts[0] == "blocks":
                i = int(parts[1])
                if i >= len(layers):
                    raise KeyError(name)
                parts[1] = str(layers[i])
            target = ".".join(parts)
            if target not in params:
                raise KeyError(name)
            params[target].copy_(value)


# %% wrong 07.5: silences the weights but not the biases
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    params = dict(big.named_parameters())
    with torch.no_grad():
        for name, p in params.items():
            if name.endswith((".W_O", ".W_out")):
                p.zero_()
        for name, value in small.items():
            parts = name.split(".")
            if parts[0] == "blocks":
                i = int(parts[1])
                if i >= len(layers):
                    raise KeyError(name)
                parts[1] = str(layers[i])
            target = ".".join(parts)
            if target not in params:
                raise KeyError(name)
            params[target].copy_(value)


# %% wrong 07.5: passes over weights that big has no place for
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    state = {name: p.detach().clone() for name, p in big.named_parameters()}
    for name in state:
        if name.endswith((".W_O", ".b_O", ".W_out", ".b_out")):
            state[name] = torch.zeros_like(state[name])
    for name, value in small.items():
        parts = name.split(".")
        if parts[0] == "blocks" and int(parts[1]) < len(layers):
            parts[1] = str(layers[int(parts[1])])
        state[".".join(parts)] = value.detach().clone()
    big.load_state_dict(state, strict=False)


# %% wrong 07.5: renames layer after layer, so that a name may be moved twice
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    params = dict(big.named_parameters())
    with torch.no_grad():
        for name, p in params.items():
            if name.endswith((".W_O", ".b_O", ".W_out", ".b_out")):
                p.zero_()
        for name, value in small.items():
            target = name
            for i, layer in enumerate(layers):
                target = target.replace(f"blocks.{i}.", f"blocks.{layer}.")
            if target not in params:
                raise KeyError(name)
            params[target].copy_(value)


# %% wrong 07.5: zeroes everything that is not copied, what reads too
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    params = dict(big.named_parameters())
    targets = {}
    for name, value in small.items():
        parts = name.split(".")
        if parts[0] == "blocks":
            i = int(parts[1])
            if i >= len(layers):
                raise KeyError(name)
            parts[1] = str(layers[i])
        target = ".".join(parts)
        if target not in params:
            raise KeyError(name)
        targets[target] = value
    with torch.no_grad():
        for name, p in params.items():
            if name in targets:
                p.copy_(targets[name])
            elif "attn" in name or "mlp" in name:
                p.zero_()


# %% right 07.5: silence all that writes, then copy
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    params = dict(big.named_parameters())
    with torch.no_grad():
        for name, p in params.items():
            if name.endswith((".W_O", ".b_O", ".W_out", ".b_out", ".W_E", ".W_pos")):
                p.zero_()
        for name, value in small.items():
            parts = name.split(".")
            if parts[0] == "blocks":
                i = int(parts[1])
                if i >= len(layers):
                    raise KeyError(name)
                parts[1] = str(layers[i])
            target = ".".join(parts)
            if target not in params:
                raise KeyError(name)
            params[target].copy_(value)


# %% right 07.5: a table of new names by regular expression, checked before anything changes
def grow(big: HookedTransformer, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    import re

    place = dict(enumerate(layers))
    own = dict(big.named_parameters())
    source = {}
    for name in small:
        found = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        new = name if found is None else f"blocks.{place.get(int(found[1]))}.{found[2]}"
        if new not in own:
            raise KeyError(name)
        source[new] = small[name]
    writers = {"W_E", "W_pos", "W_O", "b_O", "W_out", "b_out"}
    for name, p in own.items():
        if name in source:
            p.data.copy_(source[name].detach())
        elif name.rsplit(".", 1)[-1] in writers:
            p.data.zero_()
