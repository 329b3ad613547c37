"""Exercise 01.11: One step of training."""

import copy

import torch
import torch.nn.functional as F

from ...exercise import exercise
from .helpers import hooked, tokens_of, transformer

ex = exercise(
    "01.11",
    "train_step",
    title="One step of training",
    objective="You can make a model a little better on a batch, and count only what is text.",
    minutes=15,
    version=2,
    atol=1e-4,
    rtol=1e-4,
    difficulty=2,
    importance=4,
    source="Radford et al. (2018), section 3.1; Bottou, Curtis and Nocedal (2018), Optimization Methods for Large-Scale Machine Learning, "
    "section 3. The identity: every weight moves by -rate times its gradient, as autograd gives it.",
    hints=[
        "Forward, loss, zero_grad, backward, step, in this order; and loss.item() gives a float that keeps no graph alive.",
        "A prediction counts when its target is real: mask[:, 1:]. Divide by how many those are, not by all.",
        "per_token[mask[:, 1:]].mean() does both at once.",
    ],
    why="backward() adds to the gradients that are there, so they must be set to zero once per step and never between backward and step. Padding "
    "that counts teaches the model to say padding, and makes the loss look lower the more padding a batch has.",
)


@ex.inputs
def _(seed):
    batches = []
    for i, lengths in enumerate(((6, 3, 5), (4, 6, 2))):
        mask = torch.arange(6) < torch.tensor(lengths)[:, None]
        tokens = tokens_of(2 * seed + i, 3, 6, below=16).add(1) * mask
        tokens[i, 1] = 0  # a real one: padding has the id of BOS, and it is the mask that tells them apart
        batches.append((tokens, mask))
    one = tokens_of(2 * seed, 1, 4, below=17)
    return [
        {"weights": seed, "batches": batches},
        {"weights": seed, "batches": [(one, torch.ones(1, 4, dtype=torch.bool))]},  # one text, no padding
    ]


RATE = 0.05


class PlainSGD:
    """weight -= RATE * gradient, and a count of the steps. (torch.optim takes seconds to import.)"""

    def __init__(self, parameters, done):
        self.param_groups, self.done = [{"params": parameters, "lr": RATE}], done

    def zero_grad(self, set_to_none=True):
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None if set_to_none else torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure=None):
        self.done["optimizer steps"] += 1
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter -= RATE * parameter.grad
        return None if closure is None else loss


@ex.oracle
def _(weights, batches):
    model, losses = copy.deepcopy(hooked(weights)), []
    for tokens, mask in batches:
        value = model(tokens, return_type="loss", attention_mask=mask.long())
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(value, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients):
                parameter -= RATE * gradient
        losses.append(value.item())
    return {
        "losses": losses,
        "backward passes": len(batches),
        "optimizer steps": len(batches),
        "W_E afterwards": model.embed.W_E,
        "W_U afterwards": model.unembed.W_U,
    }


@ex.call
def _(answer, weights, batches):
    model = transformer(weights)
    done = {"backward passes": 0, "optimizer steps": 0}

    def count(gradient):
        done["backward passes"] += 1

    model.b_U.register_hook(count)
    optimizer = PlainSGD(list(model.parameters()), done)
    losses = [answer(model, optimizer, batch) for batch in batches]
    return {"losses": losses, **done, "W_E afterwards": model.embed.W_E, "W_U afterwards": model.W_U}


@ex.alternative
def weighted_by_the_mask(model, optimizer, batch):
    tokens, mask = batch
    logits = model(tokens)
    per_token = F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    real = mask[:, 1:]
    mean = (per_token * real).sum() / real.sum()
    optimizer.zero_grad()
    mean.backward()
    optimizer.step()
    return mean.item()


@ex.alternative
def with_ignored_targets(model, optimizer, batch):
    tokens, mask = batch
    targets = tokens.masked_fill(~mask, -100)[:, 1:].flatten()
    mean = F.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), targets)  # -100 is ignored
    mean.backward()
    optimizer.step()
    model.zero_grad()
    return float(mean.detach())


@ex.alternative
def row_by_row(model, optimizer, batch):
    optimizer.zero_grad()
    total, count = 0.0, 0
    for row, real in zip(*batch):
        row = row[: real.sum()]
        total = total + F.cross_entropy(model(row[None])[0, :-1], row[1:], reduction="sum")
        count += len(row) - 1
    (total / count).backward()
    optimizer.step()
    return (total / count).item()


ex.slip(
    "never_steps",
    "The optimizer never took a step: the gradients are there, and the weights are as before. Call optimizer.step().",
    "    optimizer.step()\n",
    "",
)


ex.slip(
    "no_backward",
    "There was no backward pass, so the optimizer had no gradients to follow.",
    "    mean.backward()\n",
    "",
)


ex.slip(
    "zeroed_before_the_step",
    "The gradients were set to zero between backward and step, so the step went nowhere. zero_grad comes before backward.",
    "    optimizer.zero_grad()\n    mean.backward()\n",
    "    mean.backward()\n    optimizer.zero_grad()\n",
)


ex.slip(
    "gradients_accumulate",
    "The gradients are never set to zero: the second step follows those of the first batch as well. Call optimizer.zero_grad() in every step.",
    "    optimizer.zero_grad()\n",
    "",
)


ex.slip(
    "returns_the_graph",
    "It returned a tensor, and with it the whole graph of the forward pass, which then cannot be freed. Return loss.item().",
    "return mean.item()",
    "return mean",
)


ex.slip(
    "counts_padding",
    "Padding was counted as text to predict. Leave the predictions out whose target is padding: mask[:, 1:].",
    "real = mask[:, 1:]",
    "real = torch.ones_like(mask[:, 1:])",
)


ex.slip(
    "divides_by_all",
    "The losses of padding were left out of the sum but counted in the number it was divided by. Divide by the number of real predictions.",
    "real.sum()",
    "real.numel()",
)


ex.slip(
    "mask_not_shifted",
    "The mask is off by one: mask[:, :-1] says whether the reading token is real, so the last token of a text still learns to predict padding. "
    "It is the target that must be real: mask[:, 1:].",
    "mask[:, 1:]",
    "mask[:, :-1]",
)


ex.slip(
    "summed",
    "The losses were added up. With a sum the step grows with the size of the batch; take the mean.",
    "(per_token * real).sum() / real.sum()",
    "(per_token * real).sum()",
)


ex.slip(
    "mean_of_means",
    "You averaged each text first and then the texts, so a token of a short text counts more than one of a long text. One mean over all real "
    "predictions.",
    "(per_token * real).sum() / real.sum()",
    "((per_token * real).sum(1) / real.sum(1)).mean()",
)


ex.slip(
    "climbs",
    "The step goes uphill: the gradient of minus the loss was followed.",
    "mean.backward()",
    "(-mean).backward()",
)


ex.slip(
    "no_shift",
    "The targets were not shifted: the model learns to repeat the token it has just read. logits[:, :-1] belongs with tokens[:, 1:].",
    "tokens[:, 1:]",
    "tokens[:, :-1]",
)


ex.slip(
    "loss_after_the_step",
    "The loss was computed anew after the step. What is asked for is the loss that the step was made from; it is there already, and a second "
    "forward pass costs a third of the time.",
    "return mean.item()",
    "logits = model(tokens)\n    per_token = F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction='none')\n"
    "    return ((per_token * real).sum() / real.sum()).item()",
)


@ex.alternative
def through_a_closure(model, optimizer, batch):
    tokens, mask = batch

    def closure():
        optimizer.zero_grad()
        losses = F.cross_entropy(model(tokens)[:, :-1].mT, tokens[:, 1:], reduction="none")
        loss = losses[mask[:, 1:]].mean()
        loss.backward()
        return loss

    return optimizer.step(closure).item()


ex.slip(
    "divides_by_all_real_tokens",
    "The sum was divided by the number of real tokens. Each text has one prediction less than it has tokens: nobody predicts the first.",
    "real.sum()",
    "mask.sum()",
)


ex.slip(
    "padding_by_token_0",
    "Real tokens were told by their id: a real token 0 did not count. BOS, EOS and padding can share an id; the mask knows.",
    "real = mask[:, 1:]",
    "real = tokens[:, 1:] != 0",
)


ex.slip(
    "mask_ignored_from_the_left",
    "The mask was cut at the wrong end or turned round: real predictions were left out. It is the target that must be real: mask[:, 1:].",
    "real = mask[:, 1:]",
    "real = mask.flip(1)[:, 1:]",
)


ex.slip(
    "padding_only",
    "Only padding was counted: the mask is True where a token is real.",
    "real = mask[:, 1:]",
    "real = ~mask[:, 1:]",
    "/ real.sum()",
    "/ real.sum().clamp(min=1)",
)


ex.slip(
    "two_steps",
    "The optimizer took two steps for one batch.",
    "    optimizer.step()\n",
    "    optimizer.step()\n    optimizer.step()\n",
)


ex.slip(
    "returns_nothing",
    "It returned None. Return the loss as a float: loss.item().",
    "return mean.item()",
    "return None",
)


ex.slip(
    "loss_of_the_batch_summed",
    "The step was right, but what came back is the sum of the losses, not their mean.",
    "return mean.item()",
    "return (mean * real.sum()).item()",
)


ex.equivalent(
    "float() takes a tensor with its graph, too, and gives a number without one.", "mean.detach()) => mean)"
)
ex.equivalent(
    "total is a number or a tensor that was made here; nobody else holds it.",
    "total = total + F => total += F",
)
ex.equivalent(
    "The axis has the size 1: its last is its first.",
    "None])[0, :- => None])[-1, :-",
    "None])[..., 0] => None])[..., -1]",
)
ex.equivalent(
    "What the closure hands on is only turned into a float; the gradients are there already.",
    "return loss => return loss.double()",
    "return loss => return loss.squeeze()",
)
ex.equivalent(
    "gather reads as many positions as the index has, and that has s - 1.",
    ", :-1].log_softmax => , :].log_softmax",
)
