"""Whether two netlists are one circuit: every renumbering is tried.

A netlist is a list of layers, the outputs last; a layer is a list of gates, and a gate maps every
row of bits of what it reads to a bit. It reads the layer before; an output may read the inputs too,
which then come after the units.
"""

from itertools import permutations, product


def same_circuit(a, b, n_inputs):
    """Whether the netlists are the same after constants are put in, units that no output depends on
    are left out, and the units of each layer are renumbered.
    """
    one, other = live(a, n_inputs), live(b, n_inputs)
    if [len(layer) for layer in one] != [len(layer) for layer in other]:
        return False
    orders = [list(permutations(range(len(layer)))) for layer in one[:-1]]
    return any(renumbered(one, choice, n_inputs) == other for choice in product(*orders))


def same_family(a, b, n_inputs):
    """The same, also after inputs are swapped and hidden units turned over."""
    # neither changes how many units of a layer matter
    if [len(layer) for layer in live(a, n_inputs)] != [len(layer) for layer in live(b, n_inputs)]:
        return False
    for places in permutations(range(n_inputs)):
        swapped = with_inputs_swapped(a, places)
        units = [(k, unit) for k, layer in enumerate(a[:-1]) for unit in range(len(layer))]
        for turned in product((0, 1), repeat=len(units)):
            if same_circuit(
                turned_over(swapped, dict(zip(units, turned, strict=True))), b, n_inputs
            ):
                return True
    return False


def live(netlist, n_inputs):
    """The netlist of what matters: gates over the units that stay, and whatever inputs they read."""
    layers, constants = [], {}
    for number, layer in enumerate(netlist):
        is_first, is_last = number == 0, number == len(netlist) - 1
        n_units = n_inputs if is_first else len(netlist[number - 1])
        n_read = n_units + (
            n_inputs if is_last and not is_first and _reads_inputs(layer, n_units) else 0
        )
        layers.append([_with_held(gate, constants, n_read) for gate in layer])
        constants = {
            k: set(gate.values()).pop()
            for k, gate in enumerate(layers[-1])
            if len(set(gate.values())) == 1
        }
    for number in reversed(range(1, len(layers))):
        before = layers[number - 1]
        n_read = len(next(iter(layers[number][0]))) if layers[number] else 0
        used = [k for k in range(len(before)) if any(_depends(gate, k) for gate in layers[number])]
        kept = [*used, *range(len(before), n_read)]
        layers[number] = [_over(gate, kept, n_read) for gate in layers[number]]
        layers[number - 1] = [before[k] for k in used]
    return layers


def _reads_inputs(layer, n_units):
    return len(next(iter(layer[0]))) > n_units


def _with_held(gate, held, n_read):
    """The gate as if the places held always had their bits."""
    rows = product((0, 1), repeat=n_read)
    return {row: gate[tuple(held.get(k, bit) for k, bit in enumerate(row))] for row in rows}


def _depends(gate, k):
    return any(bit != gate[(*row[:k], 1 - row[k], *row[k + 1 :])] for row, bit in gate.items())


def _over(gate, kept, n_read):
    """The gate over these places alone; it depends on no others."""
    short = {}
    for row in product((0, 1), repeat=len(kept)):
        whole = dict(zip(kept, row, strict=True))
        short[row] = gate[tuple(whole.get(k, 0) for k in range(n_read))]
    return short


def renumbered(netlist, choice, n_inputs):
    """Unit choice[l][k] of layer l becomes unit k of it."""
    layers = []
    for number, layer in enumerate(netlist):
        order = choice[number] if number < len(choice) else range(len(layer))
        before = choice[number - 1] if number else range(n_inputs)
        layers.append([_moved(layer[k], before) for k in order])
    return layers


def _moved(gate, order):
    """What was read at order[k] is read at k; further places stay."""
    moved = {}
    for row, bit in gate.items():
        places = [*order, *range(len(order), len(row))]
        moved[tuple(row[k] for k in places)] = bit
    return moved


def with_inputs_swapped(netlist, places):
    """What was read at input places[k] is read at input k."""
    first, *others = netlist
    swapped = [[_moved(gate, places) for gate in first], *others]
    if others and len(next(iter(others[-1][0]))) > len(netlist[-2]):
        n_units = len(netlist[-2])
        order = [*range(n_units), *[n_units + k for k in places]]
        swapped[-1] = [_moved(gate, order) for gate in others[-1]]
    return swapped


def turned_over(netlist, turned):
    """The netlist with these hidden units complemented, and what reads them turned along."""
    layers = []
    for number, layer in enumerate(netlist):
        signs = (
            [turned.get((number - 1, k), 0) for k in range(len(netlist[number - 1]))]
            if number
            else []
        )
        gates = []
        for k, gate in enumerate(layer):
            flip = turned.get((number, k), 0)
            read = {}
            for row, bit in gate.items():
                signs_of_row = [*signs, *[0] * (len(row) - len(signs))]
                read[tuple(b ^ s for b, s in zip(row, signs_of_row, strict=True))] = bit ^ flip
            gates.append(read)
        layers.append(gates)
    return layers
