"""Exercise 07.1: One score for every checkpoint."""

import torch
from torch import nn

from ...exercise import exercise

ex = exercise(
    "07.1",
    "score_checkpoints",
    title="One score for every checkpoint",
    objective="You can follow a number through training: the same question put to every checkpoint, in the order of time.",
    minutes=15,
    version=3,
    difficulty=2,
    importance=4,
    source="Olsson et al. 2022, heading 'Argument 1': scores and losses of the same prompts over many snapshots of one training "
    "run.",
    hints=[
        "Which things must differ from one checkpoint to the next, and which must not? Only the weights may.",
        "Labels are text. sorted(labels, key=int) puts '200' before '1000'.",
        "load() writes into one and the same model: score a checkpoint before you load the next. model.eval(), and "
        "torch.no_grad() around it all.",
    ],
    why="Every difference along the curve should come from training. So the tokens are drawn once, the model is in eval mode, "
    "and each checkpoint is scored while its own weights are in place.",
)


class Snapshots:
    """A model whose training was recorded: `load(label)` puts that moment's weights in and returns the model.

    Its BatchNorm makes the mode matter: in training mode it uses, and changes, other statistics.
    """

    def __init__(self, seed, labels):
        generator = torch.Generator().manual_seed(seed)
        self.model = nn.Sequential(nn.Embedding(11, 6), nn.Flatten(0, 1), nn.BatchNorm1d(6), nn.Linear(6, 4))
        self.states = {}
        for label in labels:
            state = {}
            for name, value in self.model.state_dict().items():
                value = (
                    torch.randn(value.shape, generator=generator)
                    if value.is_floating_point()
                    else value.clone()
                )
                state[name] = value.abs() + 0.5 if name.endswith("running_var") else value
            self.states[label] = state

    def load(self, label):
        if label not in self.states:
            raise KeyError(
                f"load({label!r}): there is no such checkpoint; the labels are {', '.join(self.states)}"
            )
        self.model.load_state_dict(self.states[label])
        return self.model.train()


class Draws:
    """`make_tokens()` of the check: other tokens at each call."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self):
        return torch.randint(0, 11, (3, 5), generator=self.generator)


def mean_output(model, tokens):
    return model(tokens).mean(dim=0)  # four numbers


def largest_output(model, tokens):
    return model(tokens).max()  # one number


SCORES = {"mean": mean_output, "largest": largest_output}


@ex.inputs
def _(seed):
    return [
        {"labels": ["100", "2500", "0", "800", "1000", "30"], "score": "mean", "seed": seed},
        {"labels": ("512", "1024", "2", "64"), "score": "largest", "seed": seed + 50},
        {"labels": ["143000"], "score": "mean", "seed": seed + 100},
        {"labels": ["000512", "064", "8"], "score": "mean", "seed": seed + 150},  # filled up with zeros
    ]


@ex.oracle
def _(labels, score, seed):
    snapshots, tokens = Snapshots(seed, labels), Draws(seed)()
    by_step = {}
    for label in labels:
        state = snapshots.states[label]
        x = state["0.weight"][tokens].flatten(0, 1)
        x = (x - state["2.running_mean"]) / (state["2.running_var"] + 1e-5).sqrt()
        x = x * state["2.weight"] + state["2.bias"]
        x = x @ state["3.weight"].T + state["3.bias"]
        by_step[int(label)] = x.mean(dim=0) if score == "mean" else x.max()
    steps = sorted(by_step)
    return {
        "steps": torch.tensor(steps),
        "scores": torch.stack([by_step[step] for step in steps]),
        "still attached to the graph": False,
    }


@ex.call
def _(answer, labels, score, seed):
    snapshots = Snapshots(seed, labels)
    result = answer(labels, snapshots.load, Draws(seed), SCORES[score])
    if not isinstance(result, tuple) or len(result) != 2:
        return result
    attached = bool(isinstance(result[1], torch.Tensor) and result[1].requires_grad)
    return {"steps": result[0], "scores": result[1], "still attached to the graph": attached}


@ex.alternative
def one_after_the_other(labels, load, make_tokens, score):
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label).eval()
            scores.append(score(model, tokens))
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


@ex.alternative
def sorted_at_the_end(labels, load, make_tokens, score):
    tokens = make_tokens()
    found = {}
    for label in labels:
        model = load(label)
        model.eval()
        found[int(label)] = score(model, tokens).detach().clone()
    steps = torch.tensor(list(found)).sort().values
    return steps, torch.stack([found[int(step)] for step in steps])


ex.slip(
    "string_order",
    "The labels were sorted as text, where '1000' comes before '200'. The curve then runs back and forth in time: sort by "
    "int(label).",
    "sorted(labels, key=int)",
    "sorted(labels)",
)


ex.slip(
    "as_they_came",
    "The checkpoints are in the order in which they were given. Files come in any order; training has only one: sort by "
    "int(label).",
    "sorted(labels, key=int)",
    "list(labels)",
)


ex.slip(
    "latest_first",
    "The checkpoints run backwards, the last step first.",
    "sorted(labels, key=int)",
    "sorted(labels, key=int, reverse=True)",
)


ex.slip(
    "steps_and_scores_in_other_orders",
    "The steps are sorted, the scores are not: each score stands beside another checkpoint's step. Sort once, before the loop.",
    "ordered = sorted(labels, key=int)",
    "ordered = list(labels)",
    "torch.tensor([int(label) for label in ordered])",
    "torch.tensor(sorted(int(label) for label in ordered))",
)


ex.slip(
    "same_weights_every_time",
    "Every score was taken on the first checkpoint's weights. load(label) belongs inside the loop.",
    "    scores = []",
    "    scores = []\n    model = load(ordered[0]).eval()",
    "            model = load(label).eval()\n",
    "",
)


ex.slip(
    "loaded_all_before",
    "All checkpoints were loaded before any was scored. load() returns one and the same model with other weights in it, so "
    "every entry of your list was the last one loaded. Score each before you load the next.",
    "        for label in ordered:\n            model = load(label).eval()\n",
    "        models = [load(label).eval() for label in ordered]\n        for model in models:\n",
)


ex.slip(
    "new_tokens_each_time",
    "Each checkpoint was scored on other random tokens, so that part of every rise and fall is luck. Call make_tokens() once, "
    "before the loop.",
    "            scores.append(score(model, tokens))",
    "            scores.append(score(model, tokens))\n            tokens = make_tokens()",
)


ex.slip(
    "train_mode",
    "The model was scored in training mode. Dropout and batch statistics then change what it computes: call model.eval() after "
    "every load, which returns the model as training left it.",
    "load(label).eval()",
    "load(label)",
)


ex.slip(
    "keeps_the_graph",
    "The scores are right but still hold the graph for backward, so every checkpoint's activations stay in memory. Score under "
    "torch.no_grad() (or detach).",
    "torch.no_grad()",
    "torch.enable_grad()",
)


ex.slip(
    "counts_checkpoints",
    "The steps are 0, 1, 2, ...: the checkpoints' numbers in the list. Checkpoints are not evenly spaced; return what the labels "
    "say.",
    "[int(label) for label in ordered]",
    "list(range(len(ordered)))",
)


ex.slip(
    "averaged_away",
    "A score may have several entries, one per head for instance. All of a checkpoint's were averaged into one; keep them: "
    "[step ...].",
    "score(model, tokens)",
    "score(model, tokens).mean()",
)


ex.slip(
    "steps_last",
    "The steps became the last axis. Stack along the first one: scores[i] belongs to steps[i].",
    "torch.stack(scores)",
    "torch.stack(scores, dim=-1)",
)


ex.slip(
    "joined_end_to_end",
    "The checkpoints' scores were joined end to end, so the axis of the steps is lost. Stack them: scores[i] belongs to steps[i].",
    "torch.stack(scores)",
    "torch.cat([s.reshape(-1) for s in scores])",
)


ex.slip(
    "a_list_of_steps",
    "The steps came back as a list. A tensor of integers is asked for, as long as the scores.",
    "torch.tensor([int(label) for label in ordered])",
    "[int(label) for label in ordered]",
)


ex.slip(
    "a_list_of_scores",
    "The scores came back as a list. Stack them into one tensor, [step ...].",
    "torch.stack(scores)",
    "scores",
)


ex.slip(
    "steps_are_floats",
    "The steps are floats. A step is a count: int(label).",
    "torch.tensor([int(label) for label in ordered])",
    "torch.tensor([float(label) for label in ordered])",
)


ex.slip(
    "sorted_in_place",
    "The answer is right, but the caller's labels were sorted too, and a tuple cannot be sorted like that. Make a new list: sorted(labels, key=int).",
    "sorted(labels, key=int)",
    "labels\n    labels.sort(key=int)",
)


ex.equivalent(
    "The score is a tensor of its own, as the stub says: loading the next checkpoint does not write to it.",
    "detach().clone() => detach()",
)
