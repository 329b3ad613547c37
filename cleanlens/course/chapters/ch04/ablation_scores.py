"""Exercise 04.5: What every head is worth."""

from functools import partial

import torch

from ...exercise import exercise
from .helpers import _halve, state_of, tiny_model

ex = exercise(
    "04.5",
    "ablation_scores",
    title="What every head is worth",
    objective="You can measure how much a model's loss depends on each of its heads, one intervention at a time.",
    minutes=20,
    difficulty=3,
    importance=5,
    seeds=2,
    version=2,
    source="Identity: ablating a head's z to zero is setting its W_O to zero (Elhage et al. 2021, 'Attention heads are "
    "independent and additive').",
    hints=[
        "Two loops, layers and heads; in the middle one run with one hook, and that hook gone before the next run.",
        "tokens is BOS and n tokens twice: n = (s - 1) // 2. Column i of the loss per token predicts token i + 1; the second "
        "repeat's tokens are n + 1 to 2n, and of these the first cannot be foreseen. So: columns n + 1 and later.",
        "A function defined in a loop looks up `head` when it runs, not when it was made. Bind it: partial(zero, head=head), "
        "or a default argument.",
    ],
    why="score = loss with the head removed minus loss of the whole model, so a positive number means that the head helps. One head "
    "at a time and a model that is whole again in between: otherwise the last entries are measured on a model in ruins.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    calls = []
    for n_layers, n_heads, n, batch, users_hook in [
        (2, 3, 4, 2, False),
        (3, 2, 3, 2, True),
        (1, 1, 2, 1, False),
    ]:
        model = tiny_model(generator, n_layers, n_heads)
        half = torch.randint(1, 19, (batch, n), generator=generator)
        tokens = torch.cat([torch.zeros(batch, 1, dtype=torch.long), half, half], dim=1)
        if users_hook:
            model.add_hook("blocks.0.hook_resid_pre", _halve)
        calls.append({"model": model, "tokens": tokens})
    return calls


@ex.call
def _(answer, model, tokens):
    return {"scores": answer(model, tokens)} | state_of(model)


@ex.oracle
def _(model, tokens):
    state, n = state_of(model), (tokens.shape[1] - 1) // 2

    def loss():
        log_probs = model(tokens).log_softmax(-1)
        terms = [-log_probs[b, i, tokens[b, i + 1]] for b in range(len(tokens)) for i in range(n + 1, 2 * n)]
        return sum(terms) / len(terms)

    with torch.no_grad():
        whole = loss()
        scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
        for layer, block in enumerate(model.blocks):
            for head in range(model.cfg.n_heads):
                weight = block.attn.W_O[head].clone()
                block.attn.W_O[head] = 0
                scores[layer, head] = loss() - whole
                block.attn.W_O[head] = weight
    return {"scores": scores} | state


@ex.alternative
def one_run_per_head(model, tokens):
    n = (tokens.shape[1] - 1) // 2
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)

    def repeat_loss():
        loss = model(tokens, return_type="loss", loss_per_token=True)
        return loss[:, n + 1 :].mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0.0
        return z

    with torch.no_grad():
        clean = repeat_loss()
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hook = (f"blocks.{layer}.attn.hook_z", partial(zero, head=head))
                with model.hooks(fwd_hooks=[hook]):
                    scores[layer, head] = repeat_loss() - clean
    return scores


@ex.alternative
def through_the_weights(model, tokens):
    n = (tokens.shape[1] - 1) // 2

    @torch.no_grad()
    def second_repeat():
        return model(tokens, return_type="loss", loss_per_token=True)[:, n + 1 :].mean()

    clean, rows = second_repeat(), []
    for block in model.blocks:
        for head in range(model.cfg.n_heads):
            weight = block.attn.W_O.data[head].clone()
            block.attn.W_O.data[head] = 0.0
            rows.append(second_repeat() - clean)
            block.attn.W_O.data[head] = weight
    return torch.stack(rows).reshape(model.cfg.n_layers, model.cfg.n_heads)


@ex.alternative
def with_run_with_hooks(model, tokens):
    n = (tokens.shape[1] - 1) // 2
    per_token = {"return_type": "loss", "loss_per_token": True}
    clean = model(tokens, **per_token)[:, -(n - 1) :].mean()
    scores = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def keep_others(z, hook, head=head):
                return z * (torch.arange(z.shape[2]) != head)[:, None]

            hooks = [(f"blocks.{layer}.attn.hook_z", keep_others)]
            ablated = model.run_with_hooks(tokens, fwd_hooks=hooks, **per_token)[:, -(n - 1) :].mean()
            scores.append((ablated - clean).detach())
    return torch.stack(scores).view(model.cfg.n_layers, -1)


ex.slip(
    "sign",
    "The sign is turned round: a head that helps should have a positive score. Ablated loss minus clean loss.",
    "repeat_loss() - clean",
    "clean - repeat_loss()",
)


ex.slip(
    "baseline_while_hooked",
    "Everything is zero: the two runs were the same. Either the clean loss was measured while the hook was on (measure it once, "
    "before any hook), or the hook changes nothing (it edits a copy and does not return it).",
    "repeat_loss() - clean",
    "repeat_loss() - repeat_loss()",
)


ex.slip(
    "no_baseline",
    "These are the losses of the ablated models. Subtract the loss of the whole model, so that 0 means 'makes no difference'.",
    "repeat_loss() - clean",
    "repeat_loss()",
)


ex.slip(
    "ratio",
    "That is the ratio of the losses. The difference was asked for: it is in nats and does not depend on how good the model is.",
    "repeat_loss() - clean",
    "repeat_loss() / clean",
)


ex.slip(
    "absolute_value",
    "The sign is lost. A head whose removal lowers the loss is worth knowing about: do not take the absolute value.",
    "repeat_loss() - clean",
    "(repeat_loss() - clean).abs()",
)


@ex.mistake(
    "In each layer every entry is that of the last head, as when a function made in the loop looks up `head` when it runs, and by "
    "then the loop is over. Bind it when you make the function: partial(zero, head=head), or head=head as a default argument."
)
def late_binding(model, tokens):
    n = (tokens.shape[1] - 1) // 2

    def repeat_loss():
        with torch.no_grad():
            return model(tokens, return_type="loss", loss_per_token=True)[:, n + 1 :].mean()

    hooks = {}
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            hooks[layer, head] = lambda z, hook: z * (torch.arange(z.shape[2]) != head)[:, None]  # noqa: B023
    clean, scores = repeat_loss(), torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for (layer, at), hook in hooks.items():
        with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", hook)]):
            scores[layer, at] = repeat_loss() - clean
    return scores


ex.slip(
    "hooks_accumulate",
    "The hooks were never removed: each entry is measured with all heads before it gone as well, and the model is still "
    "ablated now. Use run_with_hooks or `with model.hooks(...)`, which take their hooks away again.",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores",
    "                model.add_hook(*hook)\n                scores",
)


ex.slip(
    "hooks_accumulate_then_reset",
    "The hooks were removed only at the end: each entry is measured with all heads before it gone as well. Every hook must go "
    "before the next run (and reset_hooks() takes other people's hooks with it).",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores",
    "                model.add_hook(*hook)\n                scores",
    "    return scores\n",
    "    model.reset_hooks()\n    return scores\n",
)


ex.slip(
    "resets_everybodys_hooks",
    "A hook that was there before is gone, as model.reset_hooks() takes them all. Use run_with_hooks or `with model.hooks(...)`: they "
    "remove exactly what they added.",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores[layer, head] = repeat_loss() - clean\n",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores[layer, head] = repeat_loss() - clean\n"
    "    model.reset_hooks()\n",
)


ex.slip(
    "last_hook_stays",
    "The scores are right, but the last hook is still attached: the model that you hand back lacks a head. Use run_with_hooks "
    "or `with model.hooks(...)`.",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores[layer, head] = repeat_loss() - clean\n",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores[layer, head] = repeat_loss() - clean\n"
    "    model.add_hook(*hook)\n",
)


ex.slip(
    "first_half_included",
    "The loss was averaged over the whole sequence. On the first repeat there is nothing to copy from, so it dilutes what you "
    "want to see: take the second repeat only.",
    "loss[:, n + 1 :].mean()",
    "loss.mean()",
)


ex.slip(
    "unpredictable_token_included",
    "The first token of the second repeat is counted, which nothing foretells: who knows that the repeat begins there? Column i "
    "of the loss predicts token i + 1, so begin at column n + 1.",
    "n + 1 :",
    "n:",
)


ex.slip(
    "one_prediction_too_few",
    "The second token of the second repeat is left out, and it can be copied already. Column i of the loss predicts token i + 1, "
    "so begin at column n + 1.",
    "n + 1 :",
    "n + 2 :",
)


ex.slip(
    "first_half_only",
    "That is the loss on the first repeat. The second one begins at column n + 1.",
    "n + 1 :",
    ": n",
)


ex.slip(
    "whole_layer",
    "All heads of the layer were removed, so a row holds one number several times. Remove z[:, :, head] only.",
    "z[:, :, head] = 0.0",
    "z[:] = 0.0",
)


ex.slip(
    "ablates_a_position",
    "z[:, head] is a position, not a head: the axes are batch, position, head, d_head.",
    "z[:, :, head] = 0.0",
    "z[:, head] = 0.0",
)


ex.slip(
    "transposed",
    "The table is turned: the result is [layer, head].",
    "return scores",
    "return scores.T",
)


ex.slip(
    "summed_over_tokens",
    "That is the sum over the predictions of the second repeat. The mean was asked for, in nats for each token.",
    "loss[:, n + 1 :].mean()",
    "loss[:, n + 1 :].sum()",
)


ex.slip(
    "in_bits",
    "These are bits: 1.44 times too large. Nats were asked for, the natural logarithm.",
    "loss[:, n + 1 :].mean()",
    "loss[:, n + 1 :].mean() / 0.6931471805599453",
)


ex.slip(
    "first_prompt_only",
    "Only the first prompt was counted. Take the mean over all of them.",
    "loss[:, n + 1 :].mean()",
    "loss[0, n + 1 :].mean()",
)


@ex.mistake(
    "The model is not as it was: its W_O have changed. `old = W[head]` is a view, and it becomes zero with the rest; keep a clone, or "
    "better use a hook."
)
def weights_left_at_zero(model, tokens):
    n = (tokens.shape[1] - 1) // 2
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)

    @torch.no_grad()
    def second_repeat():
        return model(tokens, return_type="loss", loss_per_token=True)[:, n + 1 :].mean()

    clean = second_repeat()
    for layer, block in enumerate(model.blocks):
        for head in range(model.cfg.n_heads):
            old = block.attn.W_O.data[head]
            block.attn.W_O.data[head] = 0.0
            scores[layer, head] = second_repeat() - clean
            block.attn.W_O.data[head] = old
    return scores


@ex.mistake(
    "The probabilities were compared with the token at the same place. What stands at column i of the logits predicts token i + 1."
)
def not_shifted(model, tokens):
    n = (tokens.shape[1] - 1) // 2

    def loss(logits):
        return -logits.log_softmax(-1).gather(-1, tokens[:, :, None])[:, n + 2 :, 0].mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0.0
        return z

    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        clean = loss(model(tokens))
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hook = (f"blocks.{layer}.attn.hook_z", partial(zero, head=head))
                scores[layer, head] = loss(model.run_with_hooks(tokens, fwd_hooks=[hook])) - clean
    return scores


ex.equivalent(
    "s = 1 + 2n is odd, so half of s, rounded down, is n as well.",
    "(tokens.shape[1] - 1) => tokens.shape[1]",
    "[1] - 1) // 2 => [1] - 0) // 2",
)

ex.equivalent(
    "There are 2n columns: the last n - 1 of them, counted from the end, are those from n + 1 on.",
    "tokens.shape[1] - 1 => 1 - tokens.shape[1]",
)

ex.equivalent(
    "Every entry is written over.",
    "torch.zeros(model => torch.ones(model",
)

ex.equivalent(
    "The mean is one number, without axes, and goes into a table of float32.",
    "+ 1:].mean() => + 1:].mean().double()",
    "+ 1:].mean() => + 1:].mean().squeeze()",
)

ex.equivalent(
    "The run is the answer's own, and its z is in nobody's cache.",
    "z = z.clone() => pass",
    "= z.clone() => = z",
    "return z * (torch.arange(z.shape[2]) != head)[:, None] => z *= (torch.arange(z.shape[2]) != head)[:, None] return z",
)

ex.equivalent(
    "The stub asks for numbers; whether a graph hangs on them it leaves open.",
    "with torch.no_grad(): clean => clean",
    "@torch.no_grad() => ",
    "(ablated - clean).detach() => ablated - clean",
)

ex.equivalent(
    "The hook has done its work before the loop goes on to the next head.",
    "partial(zero, head=head => lambda *more, **named: zero(*more, head=head, **named",
    "hook, head=head) => hook)",
)

ex.equivalent(
    "Such a head adds the same number to every coordinate of the stream, and every LayerNorm takes the mean away.",
    "[head] = 0.0 => [head] = 1.0",
    "[head] = 0.0 => [head] = -1.0",
)

ex.equivalent(
    "The options are read only.",
    "{'return_type': 'loss', 'loss_per_token': True} => globals().setdefault('_kept_per_token', {'return_type': 'loss', 'loss_per_token': True})",
)
