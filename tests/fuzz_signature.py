"""Signatures and families of random pairs of netlists against every renumbering. One pair a call."""

import random
from itertools import pairwise, product

from oracles import signature as oracle

from xor_mi.circuits import LocalGate, family_of, signature_of
from xor_mi.graph import layers_of, sources_of

SHAPES = ((2, 2, 1), (3, 2, 1), (4, 3, 1), (4, 1, 1), (2, 2, 2, 1), (3, 3, 2), (2, 1, 2, 1))
TEXTS = ("{0} & {1}", "{0} & {1} & {2}", "~({0} & {1} & {2})", "{0} | {1}", "{0} & ~{1}", "{0}", "~{0}", "0", "1", "{0} ^ {1}",
         "({0} & {1}) | {2}", "{0} | ({1} & {2})", "~({0} | {1})")  # fmt: skip
"""What gates do; few, so that circuits meet whose texts are alike."""


def gate(rng: random.Random, n_read: int) -> dict[tuple[int, ...], int]:
    """A gate over so many places: one of the texts over some of them, or any table."""
    rows = list(product((0, 1), repeat=n_read))
    if rng.random() < 0.15:
        return {row: rng.randint(0, 1) for row in rows}
    text = rng.choice([text for text in TEXTS if max(text.count("{"), 1) <= n_read])
    return of_text(
        text.format(*[f"{{{k}}}" for k in rng.sample(range(n_read), min(n_read, 3))]), n_read
    )


def of_text(text: str, n_read: int) -> dict[tuple[int, ...], int]:
    """A gate of ~ & | ^ over {0}, {1}, ..., by Python's own operators."""
    python = text.format(*[f"row[{k}]" for k in range(n_read)])
    return {row: eval(python, {"row": row}) & 1 for row in product((0, 1), repeat=n_read)}


def netlist(rng: random.Random, sizes: tuple[int, ...], *, direct: bool):
    """Random gates of every hidden unit and output."""
    layers = []
    for number, (before, after) in enumerate(pairwise(sizes)):
        n_read = before + (sizes[0] if direct and number == len(sizes) - 2 else 0)
        layers.append([gate(rng, n_read) for _ in range(after)])
    return layers


def alike(rng: random.Random):
    """Two netlists of 4-4-1 in which the output and one unit, or the output alone, make the same of
    four inputs: different circuits whose texts are easily the same.
    """
    inner = rng.choice([text for text in TEXTS if "{0}" in text])
    outer = rng.choice([text for text in TEXTS if "{1}" in text and "{2}" not in text])
    fourth = rng.choice(("{3}", "~{3}"))
    one = [inner, fourth, "0", "0"], outer
    other = ["{0}", "{1}", "{2}", fourth], outer.format(f"({inner})", "{3}")
    return [
        [[of_text(text, 4) for text in units], [of_text(output, 4)]]
        for units, output in (one, other)
    ]


def changed(rng: random.Random, layers, n_inputs: int):
    """Another way to write the netlist, or one gate of it replaced."""
    units = [(k, unit) for k, layer in enumerate(layers[:-1]) for unit in range(len(layer))]
    orders = [rng.sample(range(len(layer)), len(layer)) for layer in layers[:-1]]
    written = oracle.renumbered(layers, orders, n_inputs)
    if rng.random() < 0.4:
        written = oracle.turned_over(written, {unit: rng.randint(0, 1) for unit in units})
    if rng.random() < 0.3:
        places = rng.sample(range(n_inputs), n_inputs)
        written = oracle.with_inputs_swapped(written, places)
    if rng.random() < 0.4:
        layer = rng.choice(written)
        k = rng.randrange(len(layer))
        layer[k] = gate(rng, len(next(iter(layer[k]))))
    return written


def local_gates(layers, sizes: tuple[int, ...], *, direct: bool) -> tuple[LocalGate, ...]:
    """The same as the package has it."""
    places, sources = layers_of(sizes), sources_of(sizes, direct=direct)
    gates = []
    for units, read, layer in zip(places[1:], sources, layers, strict=True):
        parents = tuple(unit.name for unit in read)
        for unit, one in zip(units, layer, strict=True):
            gates.append(LocalGate(unit, parents, tuple(one[row] for row in sorted(one))))
    return tuple(gates)


def mismatches(rng: random.Random) -> tuple[int, list[str]]:
    """One pair of netlists: texts are equal where they are one circuit, and only there."""
    sizes, direct = rng.choice(SHAPES), rng.random() < 0.15
    if rng.random() < 0.3:
        sizes, direct = (4, 4, 1), False
        a, b = alike(rng)
    else:
        a = netlist(rng, sizes, direct=direct)
        b = changed(rng, a, sizes[0]) if rng.random() < 0.7 else netlist(rng, sizes, direct=direct)
    texts = {}
    for name, text_of in (("signature", signature_of), ("family", family_of)):
        texts[name] = [text_of(local_gates(one, sizes, direct=direct), sizes) for one in (a, b)]
    same = {"signature": oracle.same_circuit(a, b, sizes[0])}
    same["family"] = same["signature"] or oracle.same_family(a, b, sizes[0])
    wrong = []
    for name, (one, other) in texts.items():
        if (one == other) != same[name]:
            wrong.append(f"{sizes}: one {name} is {same[name]}, the texts are {one!r}, {other!r}")
    return 2, wrong
