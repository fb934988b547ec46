"""Networks that are the same but for what no verdict may hang on, and circuits compared as what
they compute: plain NumPy and plain Python, nothing shared with the package.

A network is a list of (weight, bias), the readout last.
"""

from itertools import permutations, product

import numpy as np

ACTS = {"relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh, "sigmoid": lambda x: np.exp(-np.logaddexp(0.0, -x)), "heaviside": lambda x: (x > 0).astype(float)}  # fmt: skip


def copied(layers):
    """The same numbers, to be changed."""
    return [(np.array(weight, dtype=float), np.array(bias, dtype=float)) for weight, bias in layers]


def drawn_layer(rng, layers):
    """The number of one hidden layer."""
    return int(rng.integers(len(layers) - 1))


def renumbered(rng, layers, act):
    """The units of every hidden layer in another order."""
    layers = copied(layers)
    for number in range(len(layers) - 1):
        (weight, bias), (after, shift) = layers[number : number + 2]
        order = rng.permutation(len(bias))
        layers[number : number + 2] = (weight[order], bias[order]), (after[:, order], shift)
    return layers


def rescaled(rng, layers, act):
    """Every relu unit times a positive factor, which what reads it takes back."""
    layers = copied(layers)
    for number in range(len(layers) - 1):
        (weight, bias), (after, shift) = layers[number : number + 2]
        factor = np.exp(rng.uniform(-1.5, 1.5, size=len(bias)))
        layers[number] = weight * factor[:, None], bias * factor
        layers[number + 1] = after / factor, shift
    return layers


def complemented(rng, layers, act):
    """Some units turned over: tanh by its sign, sigmoid to 1 less its value."""
    layers = copied(layers)
    for number in range(len(layers) - 1):
        (weight, bias), (after, shift) = layers[number : number + 2]
        turned = rng.random(len(bias)) < 0.5
        turned[rng.integers(len(bias))] = True
        sign = np.where(turned, -1.0, 1.0)
        if act == "sigmoid":
            shift = shift + after[:, turned].sum(1)
        layers[number] = weight * sign[:, None], bias * sign
        layers[number + 1] = after * sign, shift
    return layers


def swapped(rng, layers, act):
    """The first two inputs exchanged."""
    layers = copied(layers)
    weight, bias = layers[0]
    order = [1, 0, *range(2, weight.shape[1])]
    return [(weight[:, order], bias), *layers[1:]]


def with_dead_unit(rng, layers, act):
    """One more unit, with one value on all rows that the next biases take back."""
    layers, number = copied(layers), drawn_layer(rng, layers)
    (weight, bias), (after, shift) = layers[number : number + 2]
    level, out = rng.normal(), rng.normal(size=len(after))
    place = int(rng.integers(len(bias) + 1))
    nothing = np.zeros(weight.shape[1])
    layers[number] = np.insert(weight, place, nothing, axis=0), np.insert(bias, place, level)
    layers[number + 1] = np.insert(after, place, out, axis=1), shift - out * ACTS[act](level)
    return layers


def dead_units_joined(rng, layers, act):
    """What is constant in a hidden layer is added to the next biases, and left out; of a layer
    that is constant throughout one unit stays.

    Constant whatever the units before are set to within their ranges: a unit that is the same on
    all rows may wake up when units before it take their values from different rows.
    """
    layers = copied(layers)
    low, high = np.zeros(layers[0][0].shape[1]), np.ones(layers[0][0].shape[1])
    for number in range(len(layers) - 1):
        (weight, bias), (after, shift) = layers[number : number + 2]
        up, down = np.maximum(weight, 0), np.minimum(weight, 0)
        low, high = (
            ACTS[act](up @ low + down @ high + bias),
            ACTS[act](up @ high + down @ low + bias),
        )
        dead = high - low <= 1e-12 * np.abs(high)
        if dead.all():
            dead[0] = False
        shift = shift + after[:, dead] @ low[dead]
        layers[number : number + 2] = (weight[~dead], bias[~dead]), (after[:, ~dead], shift)
        low, high = low[~dead], high[~dead]
    return layers


def split(rng, layers, act):
    """One unit in two places, its outgoing weight shared out between them unevenly."""
    layers, number = copied(layers), drawn_layer(rng, layers)
    (weight, bias), (after, shift) = layers[number : number + 2]
    unit, share = int(rng.integers(len(bias))), rng.uniform(0.1, 0.4)
    layers[number] = np.vstack([weight, weight[unit]]), np.append(bias, bias[unit])
    after = np.hstack([after, after[:, [unit]] * share])
    after[:, unit] *= 1 - share
    layers[number + 1] = after, shift
    return layers


CHANGES = {
    "renumbered": renumbered,
    "rescaled": rescaled,
    "complemented": complemented,
    "swapped": swapped,
    "with_dead_unit": with_dead_unit,
    "dead_units_joined": dead_units_joined,
    "split": split,
}


def changes_for(act):
    """Those that leave a network with this activation what it is."""
    left_out = {"relu": {"complemented"}}.get(act, {"rescaled"})
    return [name for name in CHANGES if name not in left_out]


def canonical(circuit, n_inputs, *, any_order_of_inputs=False):
    """A circuit as text that is the same whichever numbers its units have, and whichever of them
    are complements; also whichever the inputs have, if so wanted.

    Of one of the package's circuits; read are the bits of the live units that stand for variables,
    and the tables over them. Every numbering is tried and the least text is taken.
    """
    orders = permutations(range(n_inputs)) if any_order_of_inputs else [tuple(range(n_inputs))]
    return min(_canonical(circuit, n_inputs, order) for order in orders)


def _canonical(circuit, n_inputs, order):
    """The same for one order of the inputs."""
    rows = list(product((0, 1), repeat=n_inputs))
    # the row that has this row's bits in the other order
    rows = [rows.index(tuple(row[k] for k in order)) for row in rows]
    first, layers, outputs = circuit.readings[0], {}, []
    for gate in circuit.netlist:
        if gate.unit.is_output:
            outputs.append(gate)
        else:
            layers.setdefault(gate.unit.layer, []).append(gate)
    bits = {}
    for gate in (gate for of_layer in layers.values() for gate in of_layer):
        of_unit = first.of(gate.unit).bits
        bits[gate.unit.name] = "".join(str(of_unit[row]) for row in rows)
    turned = {name: text[0] == "1" for name, text in bits.items()}
    upright = {name: _turned(text) if turned[name] else text for name, text in bits.items()}
    numberings = [
        [order for order in permutations(gate.unit.name for gate in of_layer)
         if list(map(upright.get, order)) == sorted(upright[gate.unit.name] for gate in of_layer)]
        for of_layer in layers.values()
    ]  # fmt: skip
    texts = []
    for numbering in product(*numberings):
        place = {name: k for order in numbering for k, name in enumerate(order)}
        lines = []
        for order, of_layer in zip(numbering, layers.values(), strict=True):
            gates = {gate.unit.name: gate for gate in of_layer}
            for name in order:
                # a unit of the first layer is told by its bits
                table = "" if of_layer[0].unit.layer == 0 else _table(gates[name], place, turned)
                lines.append(f"{gates[name].unit.layer} {upright[name]} {table}")
        lines += [f"out {_table(gate, place, turned)}" for gate in outputs]
        texts.append("; ".join(lines))
    return min(texts)


def _turned(text):
    """All bits the other way."""
    return text.translate(str.maketrans("01", "10"))


def _table(gate, place, turned):
    """A gate's table over its parents, in their new order and upright."""
    names = sorted(gate.parents, key=place.get)
    table = []
    for combination in product((0, 1), repeat=len(names)):
        bit_of = {name: bit ^ turned[name] for name, bit in zip(names, combination, strict=True)}
        number = int("0" + "".join(str(bit_of[name]) for name in gate.parents), 2)
        table.append(str(gate.table[number] or 0))
    text = "".join(table)
    if turned.get(gate.unit.name):
        text = _turned(text)
    return f"{[place[name] for name in names]} {text}"


def summary(circuit, n_inputs, *, any_order_of_inputs=False):
    """Verdict, circuits with their proof levels, and the first circuit: what no change may touch."""
    texts = [
        (
            canonical(one, n_inputs, any_order_of_inputs=any_order_of_inputs),
            one.proof_level,
            one.single.n - one.single.n_right,
        )
        for one in circuit.circuits
    ]
    return circuit.verdict, sorted(texts), texts[:1]
