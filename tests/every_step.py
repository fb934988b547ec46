"""What happens to a network of one hidden layer, by looking at every single step alone."""

import numpy as np

from xor_mi.truth import BooleanFunction


def values_on_rows(flat, cfg):
    """Every hidden unit on all rows in NumPy, [..., unit, row]; of one layer of relu or tanh.

    Args:
        flat: parameters as `Population.flat` has them, [..., parameter].
    """
    n, width = cfg.d_in, cfg.d_hidden[0]
    rows = np.array([[number >> (n - 1 - k) & 1 for k in range(n)] for number in range(2**n)])
    flat = flat.double().numpy()
    weight = flat[..., : n * width].reshape(*flat.shape[:-1], width, n)
    pre = weight @ rows.T + flat[..., n * width : (n + 1) * width, None]
    return np.tanh(pre) if cfg.act_fn == "tanh" else np.maximum(pre, 0.0)


def is_constant(values):
    """Whether a unit has one value on all rows."""
    return np.ptp(values) <= 1e-9 * np.abs(values).max()


def separates(values, bits):
    """Whether the values are clearly higher where the bit is 1 than where it is 0."""
    on, off = values[bits == 1], values[bits == 0]
    return on.min() - off.max() > 1e-6 * np.ptp(values)


def events_by_looking(values, families, readings):
    """(step, event, unit) of every event but the end and those of rows that were trained on.

    Args:
        values: of every unit on all rows at every step, [step, unit, row].
        families: at every step; "" without a circuit, None where some row is decided wrong.
        readings: at every step, per hidden unit.
    """
    found = set()
    solved = [family is not None for family in families]
    if any(solved):
        found.add((solved.index(True), "first_solved", ""))
    for step in range(1, len(values)):
        if solved[step - 1] and not solved[step]:
            found.add((step, "solution_lost", ""))
        if solved[step] and not solved[step - 1] and any(solved[:step]):
            found.add((step, "solved_again", ""))
    if families[-1]:
        found.add((_since(families), "family_settles", ""))
    for unit in range(len(readings[0])):
        of_unit = [of_step[unit] for of_step in readings]
        found |= _of_unit(f"h0.{unit}", values[:, unit], of_unit)
    return found


def _of_unit(name, values, readings):
    """The events of one unit, by its values and readings at every step."""
    found = set()
    dead, before = False, ""
    for step, (of_step, reading) in enumerate(zip(values, readings, strict=True)):
        if is_constant(of_step) != dead:
            dead = not dead
            found.add((step, "unit_dies" if dead else "unit_revives", name))
        if before not in ("", "idle", reading):
            found.add((step, "reading_lost", name))
        before = reading
    final = readings[-1]
    if final in ("", "idle"):
        return found
    n_inputs = len(values[0]).bit_length() - 1
    bits = np.array(BooleanFunction.of(final, n_inputs).tables[0])
    appears = next(step for step, one in enumerate(values) if separates(one, bits))
    return found | {
        (appears, "reading_appears", name),
        (readings.index(final), "reading_first_holds", name),
        (_since(readings), "reading_last_changes", name),
    }


def _since(values):
    """The step from which on it is what it is at the end."""
    return max([step + 1 for step, one in enumerate(values) if one != values[-1]], default=0)
