"""Exercise 07.4: Train it, and watch."""

import copy

import torch

from cleanlens.training import train as library_train

from ...exercise import exercise
from .helpers import small_model

ex = exercise(
    "07.4",
    "train_induction",
    title="Train it, and watch",
    objective="You can write a training loop that measures the model while it learns, and that trains the same with or without the measuring.",
    minutes=30,
    version=3,
    difficulty=3,
    importance=5,
    source="Loshchilov and Hutter 2019, algorithm 2 (AdamW); warm-up and clipping as in Vaswani et al. 2017, section 5.3, and Pascanu et al. 2013, "
    "section 3.2.",
    atol=2e-4,
    rtol=1e-3,
    may_change_inputs=True,
    seeds=1,
    hints=[
        "Make one optimizer before the loop: torch.optim.AdamW(model.parameters(), lr=..., betas=(0.9, 0.98), weight_decay=0.01).",
        "One update: set the rate in optimizer.param_groups, loss, zero_grad, backward, clip_grad_norm_, step. In this order.",
        "The rate of update number step (from 0) is learning_rate * min(1, (step + 1) / warmup). Score before update number step, and once "
        "more after the last one.",
    ],
    why="A score recorded at step t is that of the weights after exactly t updates: the untrained model is step 0, and the last entry is the model you "
    "keep. Clipping must see finished gradients and come before the step; the optimizer must live as long as the training, because its averages are its "
    "memory.",
)


class Recorded:
    """`make_batch(step)` of the check: a batch that depends on the step, with the steps it was asked for."""

    def __init__(self, seed):
        self.seed, self.asked = seed, []

    def __call__(self, step):
        self.asked.append(int(step))
        generator = torch.Generator().manual_seed(1000 * self.seed + int(step))
        tokens = torch.randint(1, 13, (5, 9), generator=generator)
        return torch.cat([torch.zeros(5, 1, dtype=torch.int64), tokens[:, :4], tokens[:, :4]], dim=1)


def probe(model):
    """A score that every weight has a say in."""
    tokens = torch.arange(27).reshape(3, 9) * 5 % 13
    return model(tokens)[:, :, ::4].square().mean().item()


@torch.no_grad()
def model_to_train(seed, sharpness):
    """A model of its own. The larger its logits, the larger the gradients' norm: 8 keeps it above 1, where clipping matters."""
    model = copy.deepcopy(small_model(seed))
    model.unembed.W_U *= sharpness
    return model


@ex.inputs
def _(seed):
    return [
        {"seed": seed, "sharpness": 8, "steps": 7, "every": 3, "learning_rate": 0.03, "warmup": 4},
        # Gradients now longer than 1 and now shorter: Adam forgets what all of them are multiplied by.
        {"seed": seed + 50, "sharpness": 1, "steps": 6, "every": 2, "learning_rate": 0.05, "warmup": 2},
        {"seed": seed + 100, "sharpness": 8, "steps": 1, "every": 5, "learning_rate": 0.02, "warmup": 1},
    ]


@ex.oracle
def _(seed, sharpness, steps, every, learning_rate, warmup):
    model = model_to_train(seed, sharpness)
    history = {"steps": [], "scores": []}

    def record(step, loss):
        if step % every == 0 or step == steps:
            history["steps"].append(step)
            history["scores"].append(probe(model))

    rate = library_train.warmup_hold_cosine(learning_rate, steps, hold=steps, warmup=warmup)
    library_train.train(model, Recorded(seed), steps, rate, 0.01, record, progress=False)
    return history | {"batches": list(range(steps)), "after": probe(model)}


@ex.call
def _(answer, seed, sharpness, steps, every, learning_rate, warmup):
    model, batches = model_to_train(seed, sharpness), Recorded(seed)
    result = answer(model, batches, steps, probe, every, learning_rate, warmup)
    if not isinstance(result, tuple) or len(result) != 2:
        return result
    return {"steps": result[0], "scores": result[1], "batches": batches.asked, "after": probe(model)}


@ex.alternative
def plain_loop(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    recorded, scores = [], []
    for step in range(steps):
        if step % every == 0:
            recorded.append(step)
            scores.append(score(model))
        optimizer.param_groups[0]["lr"] = learning_rate * min(1, (step + 1) / warmup)
        loss = model(make_batch(step), return_type="loss")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    recorded.append(steps)
    scores.append(score(model))
    return recorded, scores


@ex.alternative
def with_a_scheduler(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: min(1.0, (done + 1) / warmup))
    history = [(0, score(model))]
    for step in range(steps):
        model(make_batch(step), return_type="loss").backward()
        total = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        for p in model.parameters():
            p.grad *= min(1.0, 1.0 / (total.item() + 1e-6))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if (step + 1) % every == 0 or step + 1 == steps:
            history.append((step + 1, score(model)))
    return [step for step, _ in history], [value for _, value in history]


STEP = "        optimizer.step()"


CLIP = "        torch.nn.utils.clip_grad_norm_(parameters, 1.0)\n"


ex.slip(
    "same_batch",
    "The same batch was used at every step. The model learns those rows by heart, and there is no need for induction: ask "
    "make_batch(step) for a new one each time.",
    "make_batch(step)",
    "make_batch(0)",
)


ex.slip(
    "batches_from_one",
    "The first batch asked for is number 1. Count from 0, so that a run of this seed is the same run for everybody.",
    "make_batch(step)",
    "make_batch(step + 1)",
)


ex.slip(
    "never_steps",
    "The weights never change: optimizer.step() is missing.",
    STEP,
    "        optimizer.zero_grad()",
)


ex.slip(
    "gradients_pile_up",
    "The gradients of all steps so far add up: optimizer.zero_grad() before each backward.",
    "        optimizer.zero_grad()\n",
    "",
)


ex.slip(
    "no_warmup",
    "The full learning rate from the first update on. Adam's averages are still empty then and its first steps are large: start at "
    "learning_rate / warmup.",
    "learning_rate * min(1, (step + 1) / warmup)",
    "learning_rate",
)


ex.slip(
    "first_rate_is_zero",
    "Update 0 has rate 0, and each later one the rate of the update before. Use (step + 1) / warmup.",
    "(step + 1) / warmup",
    "step / warmup",
)


ex.slip(
    "rate_keeps_growing",
    "After the warm-up the rate goes on growing. It should stay: min(1, (step + 1) / warmup).",
    "min(1, (step + 1) / warmup)",
    "((step + 1) / warmup)",
)


ex.slip(
    "no_clipping",
    "The gradients that the optimizer saw were not clipped. Around a phase change one bad batch can throw the weights far off: clip "
    "their norm to 1, after backward() and before optimizer.step().",
    CLIP,
    "",
)


ex.slip(
    "clipped_one_by_one",
    "Each weight's gradient was clipped by itself, which turns the direction of the step. Clip the norm of all gradients together.",
    "torch.nn.utils.clip_grad_norm_(parameters, 1.0)",
    "[torch.nn.utils.clip_grad_norm_([p], 1.0) for p in parameters]",
)


ex.slip(
    "clipped_by_value",
    "The gradients' entries were cut at 1, not their common norm scaled to 1: clip_grad_norm_, not clip_grad_value_.",
    "clip_grad_norm_",
    "clip_grad_value_",
)


ex.slip(
    "new_optimizer_each_step",
    "A new optimizer was made at every step, so Adam never has a past: its averages are one gradient, and each update is as large as the "
    "rate allows. Make it once, before the loop.",
    "        optimizer.zero_grad()",
    "        optimizer = torch.optim.AdamW(parameters, optimizer.param_groups[0]['lr'], betas=(0.9, 0.98), weight_decay=0.01)\n"
    "        optimizer.zero_grad()",
)


ex.slip(
    "plain_adam",
    "That is Adam, which puts the decay into the gradient, where it is divided away again. AdamW takes it off the weights.",
    "torch.optim.AdamW",
    "torch.optim.Adam",
)


ex.slip(
    "sgd",
    "That is plain gradient descent. With one rate for all weights these models take far longer; use AdamW.",
    "torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)",
    "torch.optim.SGD(parameters, lr=learning_rate)",
)


ex.slip(
    "default_betas",
    "The betas are AdamW's default, (0.9, 0.999). The second average then remembers a thousand steps and is slow to notice a phase change: "
    "(0.9, 0.98).",
    " betas=(0.9, 0.98),",
    "",
)


ex.slip(
    "first_layer_only",
    "Only some of the weights were given to the optimizer: those of the first block stay as they were. Hand it all of "
    "model.parameters().",
    "list(model.parameters())",
    "[p for name, p in model.named_parameters() if not name.startswith('blocks.0')]",
)


ex.slip(
    "climbs",
    "The loss goes up: the sign is turned round somewhere. backward() on the loss itself, and the optimizer goes down.",
    "loss.backward()",
    "(-loss).backward()",
)


ex.slip(
    "scored_after_the_update",
    "The score stands beside the wrong step: it was taken after update number step, when the weights have had step + 1 updates.",
    "        if step % every == 0:\n            recorded.append(step)\n            scores.append(score(model))\n",
    "",
    STEP,
    STEP
    + "\n        if step % every == 0:\n            recorded.append(step)\n            scores.append(score(model))",
)


ex.slip(
    "last_score_missing",
    "The finished model was not scored: add an entry for step == steps after the loop.",
    "    recorded.append(steps)\n    scores.append(score(model))\n",
    "",
)


ex.slip(
    "start_missing",
    "The untrained model, step 0, was not scored. Without it there is nothing to compare with.",
    "if step % every == 0:",
    "if step % every == 0 and step > 0:",
)


ex.slip(
    "scored_at_every_step",
    "Every step was scored. The measuring then costs more than the training: score when step % every == 0, and at the end.",
    "if step % every == 0:",
    "if True:",
)


ex.slip(
    "trains_a_copy",
    "The model that you were given was not trained: a copy of it was. Train the model itself.",
    "    parameters = list(model.parameters())",
    "    import copy\n\n    model = copy.deepcopy(model)\n    parameters = list(model.parameters())",
)


ex.slip(
    "last_step_too_small",
    "The finished model's score stands beside step steps - 1. It has had `steps` updates: that is its step.",
    "recorded.append(steps)",
    "recorded.append(steps - 1)",
)


ex.slip(
    "scored_at_the_end_twice",
    "The finished model was scored twice when steps is a multiple of every. Once is enough: inside the loop for the steps before it, after the "
    "loop for the last.",
    "    recorded.append(steps)",
    "    if steps % every == 0:\n        recorded.append(steps)\n        scores.append(score(model))\n    recorded.append(steps)",
)


ex.slip(
    "last_score_only_on_a_multiple",
    "The finished model was scored only when steps is a multiple of every. It is always scored once more, after the last update.",
    "    recorded.append(steps)\n    scores.append(score(model))\n",
    "    if steps % every == 0:\n        recorded.append(steps)\n        scores.append(score(model))\n",
)


ex.slip(
    "no_weight_decay",
    "Weights do not decay, or not by the amount that was asked for: weight_decay=0.01.",
    "weight_decay=0.01",
    "weight_decay=0.0",
)


ex.slip(
    "rate_set_when_scoring",
    "The rate changes only at the steps that are scored. The warm-up raises it before every update, scored or not.",
    "        optimizer.param_groups[0]",
    "        if step % every == 0:\n            optimizer.param_groups[0]",
)


ex.slip(
    "rates_one_step_early",
    "Each update has the rate of the one after it. Update number `step`, counted from 0, has learning_rate * (step + 1) / warmup; a scheduler is "
    "stepped after the optimizer.",
    "(step + 1) / warmup",
    "(step + 2) / warmup",
)


ex.slip(
    "losses_for_scores",
    "The scores are losses of the training batches. What is asked for is score(model), of the same question at every step.",
    "            scores.append(score(model))\n        optimizer.param_groups",
    "            scores.append(model(make_batch(step), return_type='loss').item())\n            make_batch.asked.pop()\n        optimizer.param_groups",
)


ex.slip(
    "pairs_instead_of_lists",
    "A list of pairs came back. Two lists are asked for: when it was scored, and what the scores were.",
    "return recorded, scores",
    "return list(zip(recorded, scores))",
)


ex.equivalent(
    "The rate is set anew before every update.",
    "optimizer = torch.optim.AdamW(parameters, lr=learning_rate, => optimizer = torch.optim.AdamW(parameters,",
    "optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, => optimizer = torch.optim.AdamW(model.parameters(),",
)


ex.equivalent(
    "0.01 is what AdamW decays by when it is not told otherwise.",
    ", weight_decay=0.01 => ",
)


ex.equivalent(
    "There is one group of parameters, so the first is the last.",
    "param_groups[0][ => param_groups[-1][",
    "1) / warmup) => 1) / warmup) break",
)


ex.equivalent(
    "The millionth is there against division by zero only.",
    "item() + 1e-06 => item() - 1e-06",
    "(total.item() + 1e-06 => total.item(",
)


ex.equivalent(
    "A tensor that holds one number multiplies as the number does.",
    "total.item() => total",
)
