"""The gate of every unit and decision, measured on every combination of its parents' levels."""

from itertools import product

import numpy as np

from oracles.cuts import TOLERANCES
from oracles.gates import depends_on


def table_of_distances(distances):
    """Distances on all combinations -> bits; 0 where undecided."""
    undecided = np.abs(distances) <= TOLERANCES["rounding"] * np.abs(distances).max()
    return np.where(undecided, 0, (distances > 0).astype(int))


def measured_tables(net, joint, standing):
    """Per layer after the first hidden one, the table of every unit or decision, [combination].

    A decision's parents are the units of the last hidden layer and, where there are direct
    connections, the inputs after them. Also the joint reading, in which units that never vary have
    one level.

    Args:
        standing: per hidden layer, for each unit the one that stands for it.
    """
    tables, measured = [], [joint[0]]
    for layer in range(len(joint)):
        choice = measured[-1]
        is_last = layer + 1 == len(joint)
        n_inputs = net.n_inputs if is_last and net.direct else 0
        bits = np.array(list(product((0, 1), repeat=len(choice) + n_inputs)))
        values = np.empty((len(bits), len(choice)))
        for k, one in enumerate(choice):
            first = standing[layer][k]
            turned = one.margin is not None and one.bits != choice[first].bits
            values[:, k] = np.where(bits[:, first] ^ turned, one.high, one.low)
        if is_last:
            inputs = net.inputs_at(bits[:, len(choice) :]) if n_inputs else None
            distance = net.after(layer, values, inputs)
            tables.append([table_of_distances(column) for column in distance.T])
            continue
        reached, of_layer, of_next = net.next_values(layer, values), [], []
        for one, column in zip(joint[layer + 1], reached.T, strict=True):
            always = np.full(len(column), one.bits[0])
            table = table_of_distances(column - one.threshold) if one.varies else always
            if one.margin is None and one.varies and np.ptp(table) == 0:
                one = one.at_one_level(table[0])
            of_layer.append(table)
            of_next.append(one)
        tables.append(of_layer)
        measured.append(tuple(of_next))
    return tables, measured


def run_tables(tables, bits, layer, inputs):
    """Bits of a hidden layer, [run, unit] -> the bits of every later layer, the decisions' last.

    Args:
        inputs: the inputs' bits, [run, input], for decisions that read them.
    """
    later = []
    for of_layer in tables[layer:]:
        if len(of_layer[0]) > 2 ** bits.shape[1]:
            bits = np.concatenate([bits, inputs], axis=1)
        number = bits @ (2 ** np.arange(bits.shape[1])[::-1])
        bits = np.stack([table[number] for table in of_layer], axis=1)
        later.append(bits)
    return later


def bits_of(choice):
    """The bits of a layer, [row, unit]."""
    return np.array([one.bits for one in choice]).T


def reduced(table):
    """A table over the parents it depends on."""
    n_parents = int(np.log2(len(table)))
    kept = depends_on(table)
    cube = np.asarray(table).reshape((2,) * n_parents)
    where = tuple(slice(None) if k in kept else 0 for k in range(n_parents))
    return tuple(kept), tuple(cube[where].ravel().tolist())


def live_units(joint, tables):
    """(layer, unit) of those that some output depends on, copies apart."""
    live = set()
    wanted = [depends_on(table) for table in tables[-1]]
    for layer in reversed(range(len(joint))):
        width = len(joint[layer])
        here = {k for of in wanted for k in of if k < width and joint[layer][k].varies}
        live |= {(layer, k) for k in here}
        if layer:
            wanted = [depends_on(tables[layer - 1][k]) for k in here]
    return live
