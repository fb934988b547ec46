"""How a circuit forms while a network trains, against plain arithmetic at every single step."""

import numpy as np
import pytest

from xor_mi import identify_circuit, train, train_population, trajectory
from xor_mi.truth import BooleanFunction

QUIET = {"progress": False}
FAST = {"lr": 0.1, "max_steps": 90}
"""Few steps, in which much happens."""


def values_on_rows(model):
    """Every hidden unit on all rows in NumPy, [unit, row]; of one hidden layer of relu or tanh."""
    rows = np.array([[a, b] for a in (0.0, 1.0) for b in (0.0, 1.0)])
    weight, bias = (part.detach().double().numpy() for part in (model.fc1.weight, model.fc1.bias))
    pre = rows @ weight.T + bias
    return (np.tanh(pre) if model.cfg.act_fn == "tanh" else np.maximum(pre, 0.0)).T


def is_constant(values):
    """Whether a unit has one value on all rows."""
    return np.ptp(values) <= 1e-9 * np.abs(values).max()


def separates(values, bits):
    """Whether the values are clearly higher where the bit is 1 than where it is 0."""
    on, off = values[bits == 1], values[bits == 0]
    return on.min() - off.max() > 1e-6 * np.ptp(values)


def reading(circuit, unit):
    """What the first circuit reads a hidden unit as; "idle", or "" without a circuit."""
    if not circuit.circuits:
        return ""
    return "idle" if circuit.units[unit].idle else circuit.units[unit].gate


def events_by_looking(models, circuits, n_steps, *, names=("h0.0", "h0.1")):
    """Every event but those of rows trained on, by what the sentences in `EVENTS` say.

    Args:
        models, circuits: at every step.
    """
    found = set()
    solved = [circuit.verdict != "not_computing" for circuit in circuits]
    if True in solved:
        found.add((solved.index(True), "first_solved", ""))
    families = [one.family if one.circuits else "" for one in circuits]
    for step in range(1, n_steps + 1):
        if solved[step - 1] and not solved[step]:
            found.add((step, "solution_lost", ""))
    if families[-1]:
        since = max([k + 1 for k, one in enumerate(families) if one != families[-1]], default=0)
        found.add((since, "family_settles", ""))
    for unit, name in enumerate(names):
        values = [values_on_rows(model)[unit] for model in models]
        dead = [False, *map(is_constant, values)]
        readings = ["", *(reading(circuit, unit) for circuit in circuits)]
        for step in range(n_steps + 1):
            if dead[step + 1] != dead[step]:
                event = "unit_dies" if dead[step + 1] else "unit_revives"
                found.add((step, event, name))
            before, after = readings[step : step + 2]
            if before not in ("", "idle", after):
                found.add((step, "reading_lost", name))
        final = readings[-1]
        if final not in ("", "idle"):
            bits = np.array(BooleanFunction.of(final, 2).tables[0])
            appears = next(k for k, one in enumerate(values) if separates(one, bits))
            since = max(k for k, one in enumerate(["", *readings[1:]]) if one != final)
            found |= {
                (appears, "reading_appears", name),
                (readings.index(final) - 1, "reading_first_holds", name),
                (since, "reading_last_changes", name),
            }
    return found


@pytest.mark.parametrize("settings", [{}, {"act_fn": "tanh"}, {"input_noise": 0.2}])
def test_events_are_those_of_every_single_step_looked_at_alone(settings):
    """`identify_circuit` at each step and NumPy's forward say what happened, and when."""
    solved = train_population("XOR", 60, engine="torch", **FAST, **settings, **QUIET).solved
    with_all_right = solved.nonzero().flatten().tolist()[:2]
    assert len(with_all_right) == 2
    for seed in [*with_all_right, int((~solved).nonzero()[0])]:
        found = trajectory("XOR", seed, **FAST, **settings, **QUIET)
        every = train("XOR", seed=seed, checkpoints="every 1", **FAST, **settings, **QUIET)
        models = [every.checkpoints[step] for step in range(every.steps + 1)]
        circuits = [identify_circuit(model, with_evidence=False, **QUIET) for model in models]
        by_looking = events_by_looking(models, circuits, every.steps)
        finished = {(every.steps, "finished", "")} if every.final_loss < 0.01 else set()
        assert {(one.step, one.event, one.unit) for one in found.happened} == by_looking | finished
        assert found.losses == every.loss_history
