"""A few steps of training, held against the chain rule and the optimisers written out."""

import numpy as np
from drawn import SHAPES, Tally, drawn
from oracles.networks import STEPS, decide, run, scores
from oracles.training import joined, trained, with_layers
from slow_verdicts import net_of

from xor_mi import train, train_population
from xor_mi.errors import XorMiError
from xor_mi.model import ACTIVATIONS
from xor_mi.truth import BooleanFunction

SMOOTH = tuple(name for name in ACTIVATIONS if name not in STEPS)
ERROR = 1e-7
"""Adam divides by the size of the gradient, which makes more of its rounding."""
ERROR_OF_FLOAT32 = 3e-4


def mismatches(rng):
    """One network trained from its weights in float64, or three from their seeds in float32."""
    case, tally = drawn(rng, SHAPES, SMOOTH, SMOOTH, ("float64",), huge=False), Tally()
    net, model = case.net, case.model
    n_decisions, n_rows = model.cfg.n_decisions, len(net.rows)
    tables = [[rng.randrange(2) for _ in range(n_rows)] for _ in range(n_decisions)]
    loss = rng.choice(["bce", "mse"])
    if net.rule == "argmax":
        loss = rng.choice(["ce", "ce", "mse"])
        if n_decisions > 1:  # one class on every row
            winners = [rng.randrange(n_decisions) for _ in range(n_rows)]
            tables = [[int(k == winner) for winner in winners] for k in range(n_decisions)]
    target = BooleanFunction(net.n_inputs, tuple(map(tuple, tables)))
    targets = np.array(tables, dtype=float).T
    if n_decisions < len(net.layers[-1][1]):
        targets = np.concatenate([1 - targets, targets], axis=1)
    optimizer = rng.choice(["adam", "adamw", "sgd"])
    settings = {
        "optimizer": optimizer,
        "lr": rng.choice([0.05, 0.01]),
        "weight_decay": rng.choice([0.0, 0.0, 0.1]),
        "momentum": rng.choice([0.0, 0.9]) if optimizer == "sgd" else 0.0,
        "l1": rng.choice([0.0, 0.0, 0.01]),
        "stop_loss": rng.choice([1e-9, 0.3]),
    }
    n_steps = rng.randrange(1, 9)
    conventions = {
        "act_fn": net.acts,
        "out_act_fn": net.out_act,
        "loss_fn": loss,
        "decision_rule": net.rule,
        "input_levels": net.levels,
        "direct": net.direct is not None,
    }
    asked = settings | conventions | {"max_steps": n_steps, "progress": False}
    text = f"{case.text}, {loss}, {settings}, {n_steps} steps, {tables}"
    by_seed = rng.random() < 0.3 and optimizer == "sgd"
    if by_seed:
        hidden = model.cfg.d_hidden
        engine = rng.choice(["torch", "numba"])
        found = train_population(
            target, 3, hidden=hidden, seed=rng.randrange(99), engine=engine, **asked
        )
        starts, ends = found.start, [found[k] for k in range(3)]
        begins = [
            [(w[k].double().numpy(), b[k].double().numpy()) for w, b in starts] for k in range(3)
        ]
        steps, losses, solved = found.steps.tolist(), found.losses.tolist(), found.solved.tolist()
    else:
        net.slope = 0.01  # what training takes leaky_relu to have
        try:
            result = train(target, init=joined(net), **asked)
        except XorMiError:
            numbers = settings | {"loss": loss, "n_steps": n_steps, "dtype": "float64"}
            with np.errstate(all="ignore"):
                after, _, _ = trained(net, net.inputs(net.rows), targets, **numbers)
            finite = all(np.isfinite(one).all() for pair in joined(after) for one in pair)
            tally.same(f"{text}: diverged", False, finite)
            return tally.result
        ends, begins = [result.model], [joined(net)]
        steps, losses, solved = [result.steps], [result.final_loss], [result.solved]
    dtype, allowed = ("float32", ERROR_OF_FLOAT32) if by_seed else ("float64", ERROR)
    for k, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        start = with_layers(net_of(end), begin)
        after, history, is_sure = trained(
            start,
            net.inputs(net.rows),
            targets,
            loss=loss,
            n_steps=n_steps,
            dtype=dtype,
            **settings,
        )
        error = allowed if is_sure else np.inf
        tally.sure(f"{text}: steps {k}", len(history) - 1, is_sure, steps[k])
        tally.near(f"{text}: loss {k}", history[-1], error * (1 + history[-1]), losses[k])
        if not by_seed:
            tally.near(f"{text}: history", history, error * (1 + max(history)), result.loss_history)
        for (ours, our_bias), (theirs, their_bias) in zip(
            joined(after), joined(net_of(end)), strict=True
        ):
            tally.near(f"{text}: weights {k}", ours, error * (1 + np.abs(ours)), theirs)
            tally.near(f"{text}: biases {k}", our_bias, error * (1 + np.abs(our_bias)), their_bias)
        decided, sure = decide(after, *(one[-1] for one in run(after, net.inputs(net.rows))))
        right = bool((np.array(tables) == decided.T).all())
        # near the cut the two weights may decide differently
        sure = sure.all() and is_clear(after, net, allowed)
        tally.sure(f"{text}: solved {k}", right, is_sure and bool(sure), solved[k])
    return tally.result


def is_clear(after, net, allowed):
    """Whether no decision is near its cut."""
    values, errors = run(after, net.inputs(net.rows))
    score, _ = scores(after, values[-1], errors[-1])
    return bool((np.abs(score) > 100 * allowed * (1 + np.abs(values[-1]).max())).all())
