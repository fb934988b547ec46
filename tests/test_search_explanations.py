"""Interpretations, formulas, alignments and the report: each against brute force through
TransformerLens' hooks or over plain text.
"""

import json
from collections import Counter
from itertools import combinations, pairwise, product

import numpy as np
import pytest
import torch

from xor_mi import cli, handmade, zoo
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit, name_of_set
from xor_mi.model import HookedMLP
from xor_mi.search import (
    Convention,
    CountStopped,
    Problem,
    SearchStopped,
    _counting,
    _examined,
    _interpretations,
    _searches,
    as_network,
    compare_conventions,
    count_interpretations,
    find_alignments,
    find_subcircuits,
    formulas,
    identifiability_report,
    interpretations,
    node_masks,
)
from xor_mi.training import TrainConfig, train, train_population
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

PAIRS = list(product(range(4), repeat=2))


@pytest.fixture(scope="module")
def wide():
    """A trained 2-3-1 network."""
    return train("XOR", hidden=(3,), seed=3).model


@pytest.fixture(scope="module")
def twice():
    """A trained 2-3-3-1 network with several explanations."""
    return train("XOR", hidden=(3, 3), seed=1).model


# interpretations


def cuts(values, constants):
    """Every way to cut a unit's values in two, as bits; a constant unit is all 0 or all 1, or
    cannot be cut.
    """
    levels = sorted(set(np.round(values, 9)))
    if len(levels) == 1:
        return [tuple(int(levels[0] > 0) for _ in values)] if constants else []
    return [tuple(int(v > (a + b) / 2) for v in values) for a, b in pairwise(levels)]


def naive_interpretations(model, part, convention):
    """Every choice of cuts, and of a table per unit out of all tables over its kept parents, that
    agrees on every row.
    """
    alone = as_network(model, part, convention=convention)
    _, cache = alone.run_with_cache(alone.rows())
    rows = [tuple(int(bit) for bit in row) for row in alone.rows()]
    n_hidden = model.cfg.n_layers
    columns = [
        [cache["post", layer][:, j].tolist() for j in range(size)]
        for layer, size in enumerate(model.cfg.d_hidden)
    ]
    kept = [[j for j, sources in enumerate(layer) if sources] for layer in part.sources]
    target = model.cfg.target
    label = BooleanFunction.of(target).bits
    options = [
        cuts(np.array(columns[layer][j]), convention.constants)
        for layer in range(n_hidden)
        for j in kept[layer]
    ]
    found = set()
    for choice in product(*options):
        names = [(layer, j) for layer in range(n_hidden) for j in kept[layer]]
        bits = {(-1, i): tuple(row[i] for row in rows) for i in range(model.cfg.d_in)} | dict(
            zip(names, choice, strict=True)
        )
        bits[n_hidden, 0] = label
        tables = []
        for layer in range(n_hidden + 1):
            for j in kept[layer]:
                parents = [bits[layer - 1, i] for i in part.sources[layer][j]]
                fitting = []
                for table in product((0, 1), repeat=2 ** len(parents)):
                    ordered = dict(zip(product((0, 1), repeat=len(parents)), table, strict=True))
                    agrees = all(
                        ordered[tuple(p[r] for p in parents)] == bits[layer, j][r] for r in range(4)
                    )
                    parity = (
                        len(parents) == 2 and len({ordered[c] ^ (sum(c) % 2) for c in ordered}) == 1
                    )
                    if agrees and not (parity and convention.ban_parity):
                        fitting.append(table)
                tables.append(fitting)
        found |= {(choice, gates) for gates in product(*tables)}
    return found


@pytest.mark.parametrize(
    "convention", [Convention(), Convention(ban_parity=True), Convention.meloux_paper()]
)
@pytest.mark.parametrize("name", ["or-and", "gt-lt", "redundant-4", "deep-xor"])
def test_interpretations_are_counted_and_listed_as_by_hand(name, convention):
    """Counted in closed form, listed lazily, and found by trying every table: the same number."""
    model = zoo.load(name)
    for part in list(find_subcircuits(model))[:2]:
        naive = naive_interpretations(model, part, convention)
        listed = list(interpretations(model, part, None, convention=convention))
        assert (
            len(set(listed))
            == len(listed)
            == len(naive)
            == count_interpretations(model, part, None, convention=convention)
        )
        tables = {tuple(gate.table for gate in reading.gates) for reading in listed}
        assert tables == {gates for _, gates in naive}


def test_open_rows_constants_and_margin(textbook):
    """Rows that never occur may stay open; dead units may have no reading; a wide margin leaves the
    widest gaps only.
    """
    (part,) = find_subcircuits(textbook)
    assert count_interpretations(textbook, part) == 2
    (single,) = interpretations(textbook, part, None, convention=Convention(completion="open"))
    assert str(single) == "h0.0 = x0 | x1; h0.1 = x0 & x1; y0 = 0-10"
    assert (
        count_interpretations(textbook, part, None, convention=Convention(completion="open")) == 1
    )
    dead = zoo.load("dead-4")
    whole = max(find_subcircuits(dead), key=lambda part: len(part.edges))
    assert count_interpretations(dead, whole) > 0
    assert count_interpretations(dead, whole, None, convention=Convention(constants=False)) == 0
    assert (
        count_interpretations(textbook, part, None, convention=Convention(margin=0.6)) == 0
    )  # the OR unit's two gaps are 0.5 each
    with pytest.raises(XorMiError, match="this network is"):
        count_interpretations(dead, part)


# formulas


def skeletons(depth):
    """The ordered enumeration, from its rule: trees of depth d from one of depth d - 1 and one
    below d that is later in the alphabet.
    """
    if depth == 0:
        return ["A", "B"]
    bare = lambda text: text[1:-1] if text[0] == "(" else text  # noqa: E731
    return [
        f"({left}{op}{right})"
        for left in skeletons(depth - 1)
        for level in range(depth)
        for right in skeletons(level)
        if bare(left) < bare(right)
        for op in "*+"
    ]


def negated(text, chosen):
    """A skeleton with NOT before its k-th node, nodes numbered from the left as they open."""
    out, number = [], 0
    for sign in text:
        if sign in "(AB":
            out.append("~" if number in chosen else "")
            number += 1
        out.append({"A": "x0", "B": "x1", "*": " & ", "+": " | "}.get(sign, sign))
    return "".join(out)


def test_the_ordered_formulas_are_those_of_the_paper():
    """56 for XOR at depth 3: the same as trying all sets of negations, fewest first, on every
    skeleton.
    """
    wanted, found = (0, 1, 1, 0), []
    for text in [skeleton for depth in range(1, 4) for skeleton in skeletons(depth)]:
        n_nodes = sum(sign in "(AB" for sign in text)
        tries = (
            negated(text, chosen)
            for size in range(5)
            for chosen in combinations(range(n_nodes), size)
        )
        compiled = next(
            (
                t
                for t in tries
                if tuple(eval(t, {}, {"x0": a, "x1": b}) & 1 for a, b in product((0, 1), repeat=2))
                == wanted
            ),
            None,
        )
        found += [compiled] if compiled else []
    assert len(found) == 56
    bare = lambda text: text.replace("(", "").replace(")", "")  # noqa: E731
    assert [bare(str(formula)) for formula in formulas("XOR", depth=3, enumeration="ordered")] == [
        bare(text) for text in found
    ]


def test_free_formulas_are_every_tree_up_to_negation():
    """Twice enumerated: as unordered pairs of signed parts, and by the library; every one computes
    the target, none is met twice.
    """

    def trees(depth):
        below = trees(depth - 1) if depth else []
        pairs = combinations(below, 2)
        signed = {frozenset({(a, p), (b, q)}) for a, b in pairs for p in (0, 1) for q in (0, 1)}
        return [0, 1] + [tree for tree in signed if tree not in (0, 1)]

    def value(tree, row):
        return (
            row[tree]
            if isinstance(tree, int)
            else int(all(value(part, row) ^ sign for part, sign in tree))
        )

    for target, depth in (("XOR", 2), ("XOR", 3), ("AND", 2), ("OR", 3)):
        bits = BooleanFunction.of(target).bits
        tables = [
            tuple(value(tree, row) for row in product((0, 1), repeat=2)) for tree in trees(depth)
        ]
        expected = sum(table in (bits, tuple(1 - b for b in bits)) for table in tables)
        found = formulas(target, depth=depth)
        assert (
            len(found)
            == len({formula.up_to_negation for formula in found})
            == len({str(formula) for formula in found})
            == expected
        )
        assert all(
            BooleanFunction.from_formula(str(formula), n_inputs=2).bits == bits for formula in found
        )
    assert len(formulas("XOR", depth=3)) == 250


def test_formulas_of_three_inputs_and_bad_requests():
    """Other widths work; what cannot be enumerated is refused with the number."""
    parity = BooleanFunction.of("XOR", 3)
    assert formulas(parity, depth=2) == ()
    # a formula says itself how many inputs it has
    assert formulas("a & b & c", depth=2) == formulas("AND", depth=2, n_inputs=3) != ()
    majority = BooleanFunction.from_formula("(x0 & x1) | (x2 & (x0 | x1))")
    of_majority = formulas(majority, depth=3)
    assert len(of_majority) == 312
    assert {BooleanFunction.from_formula(str(one)) for one in of_majority} == {majority}
    with pytest.raises(XorMiError, match="at most 500000: give a smaller depth"):
        formulas("XOR", depth=4)
    with pytest.raises(XorMiError, match="depth must be a whole number of at least 1, not 0"):
        formulas("XOR", depth=0)
    with pytest.raises(XorMiError, match="2 outputs"):
        formulas(BooleanFunction.from_formula("x0, x1"), depth=1)


@pytest.mark.unchecked
def test_wrong_kinds_are_answered_with_what_to_give(textbook):
    """Whoever gives something else than a kind of the signature is told what to give."""
    (part,) = find_subcircuits(textbook)
    for call, message in (
        (lambda: formulas("XOR", enumeration="alphabetical"), "no enumeration 'alphabetical'"),
        (lambda: formulas(6), "6 is not a target; give a gate, a formula or a BooleanFunction"),
        (lambda: formulas("XOR", depth="3"), "depth must be a whole number"),
        (lambda: find_alignments(textbook, output="y0"), "output must be a whole number"),
        (lambda: find_alignments(textbook, depth=True), "depth must be a whole number"),
        (lambda: node_masks(textbook, output=-1), "output must be a whole number"),
        (lambda: identifiability_report("textbook"), "needs a HookedMLP, not str"),
        (lambda: compare_conventions(textbook, conventions={"a": 1}), "no convention '1'"),
        (lambda: interpretations(textbook, [part]), "is not a Subcircuit"),
        (lambda: Problem.of(textbook, 6), "6 is "),
    ):
        with pytest.raises(XorMiError, match=message):
            call()


# alignments


def hooked_decisions(model, units, pairs=PAIRS):
    """One TransformerLens run with a row for each (base, source) pair: the base input with these
    units at their values on the source input.
    """
    bases, sources = map(list, zip(*pairs, strict=True))
    _, cache = model.run_with_cache(model.rows())

    def hook_at(layer):
        mine = [unit.index for unit in units if unit.layer == layer]

        def hook(value, hook):
            value = value.clone()
            value[:, mine] = cache["post", layer][sources][:, mine]
            return value

        return f"blocks.{layer}.mlp.hook_post", hook

    hooks = [hook_at(layer) for layer in sorted({unit.layer for unit in units})]
    outputs = model.run_with_hooks(model.rows()[bases], fwd_hooks=hooks)[:, 0]
    return tuple((outputs > model.threshold).int().tolist())


def text_effect(formula, variable, base, source):
    """The formula's text with the variable's text replaced by its value on the source."""
    rows = list(product((0, 1), repeat=2))
    value = BooleanFunction.from_formula(str(variable), n_inputs=2).bits[source]
    whole, part = str(formula), str(variable)
    text = whole.replace(f"({part})", str(value)).replace(part, str(value))
    return BooleanFunction.from_formula(text, n_inputs=2).bits[base] if "x" in text else eval(
        text.replace("~1", "0").replace("~0", "1")
    ) & 1, rows


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("which", ["all", "unordered"])
def test_alignments_against_one_hooked_run_per_pair(wide, twice, which, across):
    """Every disjoint choice of sets tried, the minimal ones kept: the same alignments."""
    convention = Convention(pairs=which, across_layers=across)
    tried = [pair for pair in PAIRS if which == "all" or pair[1] < pair[0]]
    for model in (wide, twice):
        places = [
            Unit(layer, i) for layer, size in enumerate(model.cfg.d_hidden) for i in range(size)
        ]
        sets = [
            s
            for k in range(1, len(places) + 1)
            for s in combinations(places, k)
            if across or len({u.layer for u in s}) == 1
        ]
        behaviour = {s: hooked_decisions(model, s, tried) for s in sets}
        search = find_alignments(model, "XOR", depth=2, convention=convention)
        expected = set()
        for formula in formulas("XOR", depth=2):
            effects = [
                tuple(text_effect(formula, v, b, s)[0] for b, s in tried) for v in formula.variables
            ]
            options = [[s for s in sets if behaviour[s] == effect] for effect in effects]
            whole = [c for c in product(*options) if len(set().union(*c)) == sum(map(len, c))]
            minimal = [
                c
                for c in whole
                if not any(
                    d != c and all(set(a) <= set(b) for a, b in zip(d, c, strict=True))
                    for d in whole
                )
            ]
            expected |= {(str(formula), c) for c in minimal}
        assert {(str(a.formula), a.units) for a in search} == expected
        assert len(search) == search.n_minimal == len(expected)
        assert sum(map(len, search.merged())) == len(expected)
        assert search.frame()["n_minimal_alignments"].sum() == len(expected)
    assert expected, "not vacuous"


def test_merging_up_to_negation(textbook):
    """Two formulas of the paper's list differ by a negation only; they place the same two variables
    and are one explanation.
    """
    search = find_alignments(textbook, convention=Convention.meloux_paper())
    assert [str(alignment) for alignment in search] == [
        "~(x0 & x1) & (x0 | x1): ~(x0 & x1) -> h0.1, x0 | x1 -> h0.0",
        "~((x0 & x1) | ~(x0 | x1)): x0 & x1 -> h0.1, ~(x0 | x1) -> h0.0",
    ]
    assert [len(group) for group in search.merged()] == [2]


def test_fewer_pairs_let_more_pass(twice):
    """What all ordered pairs allow, pairs of different rows allow, and what these allow, unordered
    ones do.
    """
    found = {
        which: {str(a) for a in find_alignments(twice, convention=Convention(pairs=which))}
        for which in ("all", "distinct", "unordered")
    }
    formulas_of = {which: {text.split(":")[0] for text in texts} for which, texts in found.items()}
    assert formulas_of["all"] <= formulas_of["distinct"] <= formulas_of["unordered"]
    assert len(found["unordered"]) > len(found["all"]) > 0


def test_a_task_without_inner_gates_and_bad_requests(textbook, deep):
    """AND needs no hidden variable; outputs and targets that are not there, and too many sets, are
    refused.
    """
    model = HookedMLP.from_weights(
        [([[1, 1]], [-1]), ([[1]], [0])], decision_threshold=0.5, target="AND"
    )
    search = find_alignments(model, depth=1)
    assert [str(alignment) for alignment in search] == ["x0 & x1: "]
    with pytest.raises(XorMiError, match="no output 1"):
        find_alignments(textbook, output=1)
    with pytest.raises(XorMiError, match="no target"):
        find_alignments(HookedMLP())
    big = HookedMLP.from_weights(
        [
            (torch.ones(12, 2), torch.zeros(12)),
            (torch.ones(12, 12), torch.zeros(12)),
            (torch.ones(1, 12), torch.zeros(1)),
        ]
    )
    with pytest.raises(XorMiError, match="keep across_layers=False"):
        find_alignments(big, "OR", convention=Convention(across_layers=True))
    assert find_alignments(deep, "x0, x1", depth=1, output=1).target.bits == (
        0,
        0,
        1,
        1,
        0,
        0,
        1,
        1,
    )


# conventions side by side, and the report


def test_conventions_side_by_side(textbook, monkeypatch):
    """The textbook network's known counts; a network too large to list is counted and says nothing
    it does not know, nor one of which only the first are examined: 2,000, and here 200.
    """
    frame = compare_conventions(textbook).frame()
    assert frame["n_subcircuits"].tolist() == [9, 9, 2]
    assert frame["n_perfect"].tolist() == [1, 1, 0]
    assert frame["n_formulas"].tolist() == [250, 56, 56]
    assert frame["n_alignments"].tolist() == [1, 2, 2]
    assert frame["differs_in"].tolist()[0] == "default"
    big = train("XOR", hidden=(5, 5), seed=1).model
    counted = compare_conventions(big, depth=2, conventions={"default": Convention()}).frame()
    assert counted["n_subcircuits"].item() == 7_271_931_361
    assert counted["n_perfect"].item() > 1_000_000
    assert counted["n_interpretations"].isna().all()
    assert "counted, not listed" in counted["why_not"].item()
    report = identifiability_report(big, depth=2, conventions={})
    assert report.n_surviving is None
    assert f"{report.n_perfect:,} perfect ones, too many to examine" in str(report)
    four = train("XOR", hidden=(4, 4), seed=1).model
    assert _examined.MAX_EXAMINED == 2_000
    for module in (_examined, _searches):
        monkeypatch.setattr(module, "MAX_EXAMINED", 200)
    report = identifiability_report(four, depth=2, conventions={})
    assert report.n_perfect == 101_104
    assert report.n_surviving is None
    assert len(report.subcircuits) == 200
    assert "of the first 200" in str(report)


def test_what_cannot_be_searched_is_said():
    """Formulas too many to try, none that computes the target, one output of several, a network
    that does something else.
    """
    four_inputs = handmade.from_formula("x0 & x1 & x2 & x3")
    frame = compare_conventions(four_inputs, conventions={"default": Convention()}).frame()
    assert frame["n_perfect"].item() > 0
    assert frame["n_aligned"].isna().item()
    assert "give a smaller depth" in frame["why_not"].item()
    assert "alignments: not searched" in str(identifiability_report(four_inputs, conventions={}))
    (parity,) = compare_conventions(
        zoo.load("parity-3"), depth=2, conventions={"code": "meloux_code"}
    ).counts
    assert parity.why_not == "no formula of depth 2 computes the target"
    assert len(find_alignments(handmade.textbook_xor(), "AND", depth=1)) == 0, (
        "the network computes XOR"
    )
    two = handmade.from_gates(["OR", "AND"], "x0 & x1, x0 ^ x1")
    assert "alignments of output y1" in str(identifiability_report(two, depth=2, output=1))
    with pytest.raises(XorMiError, match="no output 2"):
        identifiability_report(two, output=2)


def zeroed_decisions(model, units):
    """One TransformerLens run of all inputs with these units at zero."""

    def hook_at(layer):
        mine = [unit.index for unit in units if unit.layer == layer]

        def hook(value, hook):
            value = value.clone()
            value[:, mine] = 0
            return value

        return f"blocks.{layer}.mlp.hook_post", hook

    hooks = [hook_at(layer) for layer in sorted({unit.layer for unit in units})]
    outputs = model.run_with_hooks(model.rows(), fwd_hooks=hooks)[:, 0]
    return tuple((outputs > model.threshold).int().tolist())


@pytest.mark.parametrize("name", ["redundant-4", "deep-xor"])
def test_what_rules_out_a_subcircuit_does(name):
    """Where the report names units and inputs, network and subcircuit differ there under
    TransformerLens' hooks; where none, nowhere.
    """
    model = zoo.load(name)
    report = identifiability_report(model)
    rows = ["00", "01", "10", "11"]
    units = [Unit(layer, i) for layer, size in enumerate(model.cfg.d_hidden) for i in range(size)]
    sets = sorted((s for k in range(1, len(units) + 1) for s in combinations(units, k)), key=len)
    assert report.sets_tried == f"all {len(sets)} sets of units"
    assert len(report.subcircuits) == report.n_perfect == find_subcircuits(model).n_perfect
    whole = {s: hooked_decisions(model, s) for s in sets}
    zeroed = {s: zeroed_decisions(model, s) for s in sets}
    label = BooleanFunction.of("XOR").bits
    for part, examined in list(zip(find_subcircuits(model), report.subcircuits, strict=True))[:4]:
        assert examined.subcircuit == part
        alone = as_network(model, part)
        kept = {
            s: tuple(unit for unit in s if unit in part.units) for s in sets
        }  # the others are held to have no effect
        in_part = {
            units: hooked_decisions(alone, units) if units else [label[b] for b, _ in PAIRS]
            for units in set(kept.values())
        }
        differs = {
            (s, b, c)
            for s in sets
            for (b, c), found, expected in zip(PAIRS, in_part[kept[s]], whole[s], strict=True)
            if found != expected
        }
        ruling_out = {(name_of_set(s), rows[b], rows[c]): len(s) for s, b, c in differs}
        witness = examined.ruled_out_by_interchange
        assert (witness is not None) == bool(ruling_out)
        if witness:
            size = ruling_out[witness.what, witness.base, witness.source]
            assert size == min(ruling_out.values()), "the smallest set"
        without = {
            units: zeroed_decisions(alone, units) if units else label
            for units in set(kept.values())
        }
        off = {
            (name_of_set(s), rows[b])
            for s in sets
            for b in range(4)
            if zeroed[s][b] != without[kept[s]][b]
        }
        witness = examined.ruled_out_by_ablation
        assert (witness is not None) == bool(off)
        if witness:
            assert (witness.what, witness.base) in off
            assert witness.source is None
        assert examined.survives == (not ruling_out and not off)


@pytest.mark.parametrize("convention", [None, "meloux_paper", Convention(ablation="mean")])
def test_a_report_of_all_is_one_of_each(twice, convention, monkeypatch):
    """Counted and examined together, in batches of any size, the subcircuits come out as each
    does by itself.
    """
    report = identifiability_report(twice, convention=convention, conventions={})
    # so small that each is a batch of its own
    for module in (_examined, _interpretations):
        monkeypatch.setattr(module, "VALUES_AT_ONCE", 1)
    monkeypatch.setattr(_examined, "SETS_AT_ONCE", 5)
    one_by_one = identifiability_report(twice, convention=convention, conventions={})
    assert report.subcircuits == one_by_one.subcircuits
    assert len(report.subcircuits) > 500
    for examined in report.subcircuits[::40]:
        by_itself = count_interpretations(twice, examined.subcircuit, convention=convention)
        assert examined.n_interpretations == by_itself


def test_the_report_as_tables(twice):
    """Every table has a row per thing examined and the columns that its docstring names; text is
    empty and `survives` true where nothing rules a thing out.
    """
    report = identifiability_report(twice, conventions={})
    assert report.frame().empty
    parts, placed = report.subcircuits_frame(), report.alignments_frame()
    assert (len(parts), len(placed)) == (584, 30)
    by = parts[["ruled_out_by_interchange", "ruled_out_by_ablation"]]
    assert ((by == "").all(axis=1) == parts["survives"]).all()
    assert parts["survives"].sum() == report.n_surviving == 16
    assert ((placed["ruled_out_by"] == "") == placed["survives"]).all()
    assert placed["survives"].sum() == 19
    assert any(" + " in units for units in placed["units"])
    table = find_subcircuits(twice).frame()
    assert table.equals(parts[["n_units", "n_edges", "edges", "minimal"]])
    assert table["minimal"].sum() == 4


def test_what_rules_out_an_alignment_does(twice):
    """The pair named tells network and formula apart; alignments without one are exactly those that
    all pairs allow.
    """
    report = identifiability_report(twice)
    allowed = {(alignment.formula, alignment.units) for alignment in find_alignments(twice)}
    once = list(find_alignments(twice, convention=Convention(pairs="unordered")))
    assert [examined.alignment for examined in report.alignments] == once
    surviving = {
        (examined.alignment.formula, examined.alignment.units)
        for examined in report.alignments
        if examined.survives
    }
    assert surviving <= allowed
    assert len(surviving) < len(once), "not vacuous"
    for examined in report.alignments[:12]:
        witness, alignment = examined.ruled_out_by, examined.alignment
        if witness:
            base, source = int(witness.base, 2), int(witness.source, 2)
            (index,) = [
                k
                for k, variable in enumerate(alignment.formula.variables)
                if str(variable) == witness.what
            ]
            expected = text_effect(
                alignment.formula, alignment.formula.variables[index], base, source
            )[0]
            units = alignment.units[index]
            assert hooked_decisions(twice, units, [(base, source)]) != (expected,)


def test_the_report_makes_nothing_twice(twice, monkeypatch):
    """One problem per convention, one search for subcircuits each, one interchange of all sets per
    pair set: made once and handed down, whatever asks for them.
    """
    calls = Counter()

    def counting(owner, name):
        function = getattr(owner, name)

        def counted(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    counting(Problem, "of")
    for name in ("search_subcircuits", "placements_of", "n_interpretations_of_all"):
        counting(_searches, name)
    report = identifiability_report(twice)
    assert report.n_perfect == 584
    # of all perfect subcircuits of a convention at once
    assert calls == {
        "of": 3,
        "search_subcircuits": 3,
        "placements_of": 2,
        "n_interpretations_of_all": 3,
    }


def test_the_report_in_words_and_numbers(textbook):
    """One explanation of each kind: the textbook network is identifiable, and the report says
    so.
    """
    report = identifiability_report(textbook)
    assert report.identifiable
    assert "1 of 1 alignment (up to negation) agrees with it" in str(report)
    content = json.loads(json.dumps(report.to_dict()))
    assert content["verdict"] == "identified"
    assert content["counts"][0]["n_perfect"] == content["n_surviving"] == 1
    unsolved = identifiability_report(zoo.load("unsolved"))
    assert not unsolved.identifiable
    assert "not computing" in str(unsolved)


def test_the_report_says_how_far_the_circuit_is_proved(textbook):
    """A margin that no reading has leaves no circuit, so nothing is identifiable."""
    report = identifiability_report(textbook, conventions={}, require="single")
    content = report.to_dict()
    asked = [content[key] for key in ("require", "proof_level", "n_circuits", "n_passing")]
    assert asked == ["single", "joint", 1, 1]
    assert "identified, (x0 | x1) & ~(x0 & x1), proof level joint" in str(report)
    # relu(x0 + x1) takes 0, 1, 2: each threshold sits in half of the range
    strict = identifiability_report(textbook, conventions={}, min_margin=0.6)
    assert (strict.circuit.verdict, strict.identifiable) == ("no_gate_reading", False)


def test_a_set_of_units_is_interchanged_once_for_all_alignments(monkeypatch, textbook):
    """Of a network that computes a constant, in which every alignment passes."""
    with torch.no_grad():
        textbook.linears[-1].bias.fill_(100.0)
    interchanged, tried = _examined.interchanged, []

    def noted(problem, layers, sets, pairs, **how):
        tried.extend(map(tuple, sets.tolist()))
        return interchanged(problem, layers, sets, pairs, **how)

    searches = _searches.Searches(textbook, "TRUE", depth=2, output=0, progress=False)
    searches.alignments(Convention(), "unordered")
    monkeypatch.setattr(_examined, "interchanged", noted)
    examined = _examined.examined_alignments(searches, Convention())
    assert len(set(tried)) == len(tried) < sum(len(one.alignment.units) for one in examined)


def left_by_a_stopped_search(model, folder, monkeypatch):
    """What `xor-mi search` leaves of the one convention at which Ctrl-C stops it."""
    model.save_pretrained(folder)
    monkeypatch.setattr("sys.argv", ["xor-mi", "search", str(folder)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 130
    (left,) = json.loads((folder / "search.json").read_text(encoding="utf-8"))["stopped"]
    return left


def test_ctrl_c_leaves_what_was_found(monkeypatch, tmp_path, twice):
    """Stopped in the middle, the search holds the perfect ones met until then and says that it is
    not whole.
    """
    activate, reached = HookedMLP.activate, Counter()

    def interrupted(model, pre, layer):
        """Ctrl-C when the search comes to the outputs of this network for the third time."""
        reached[layer] += model.layer_sizes == twice.layer_sizes
        if reached[model.cfg.n_layers] == 3:
            reached.clear()
            raise KeyboardInterrupt
        return activate(model, pre, layer)

    whole = find_subcircuits(twice)
    # so small a search is one piece of work otherwise
    monkeypatch.setattr("xor_mi.search._subcircuits.NUMBERS_AT_ONCE", 2**12)
    monkeypatch.setattr(HookedMLP, "activate", interrupted)
    part = find_subcircuits(twice)
    assert not part.complete
    assert 0 < part.total < whole.total
    assert set(part) <= set(whole)
    assert str(part).startswith("stopped early: ")
    with pytest.raises(SearchStopped) as stopped:
        compare_conventions(twice)
    assert stopped.value.search.n_perfect == part.n_perfect
    assert left_by_a_stopped_search(twice, tmp_path, monkeypatch) == {
        "convention": "default",
        "complete": False,
        "n_tried": part.total,
        "n_perfect": part.n_perfect,
    }


def test_ctrl_c_in_a_count_leaves_a_lower_bound(monkeypatch, tmp_path, twice):
    """Of a network whose subcircuits are too many to be listed."""
    whole = find_subcircuits(twice)
    monkeypatch.setattr(_searches, "MAX_LISTED", whole.total - 1)
    monkeypatch.setattr(_counting, "CHOICES_AT_ONCE", 1)
    count_some, n_left = _counting._count_some, [50]

    def interrupted(*work):
        n_left[0] -= 1
        if n_left[0] < 0:
            raise KeyboardInterrupt
        count_some(*work)

    monkeypatch.setattr(_counting, "_count_some", interrupted)
    with pytest.raises(CountStopped) as stopped:
        compare_conventions(twice)
    part = stopped.value.count
    assert 0 < part.at_least < whole.n_perfect
    n_left[0] = 50
    assert left_by_a_stopped_search(twice, tmp_path, monkeypatch) == {
        "convention": "default",
        "n_perfect_at_least": part.at_least,
        "n_done": part.n_done,
        "n_configurations": part.n_configurations,
        "complete": False,
    }


def test_the_command(tmp_path, monkeypatch, capsys, textbook):
    """`xor-mi search DIR` prints the counts, writes search.json, and answers mistakes in one
    line.
    """
    textbook.cfg.target = BooleanFunction.of("XOR")
    textbook.save_pretrained(tmp_path)
    monkeypatch.setattr("sys.argv", ["xor-mi", "search", str(tmp_path), "--depth", "2"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "default: 9 subcircuits, 1 perfect, 1 minimal, 2 interpretations, 2 formulas, 1 aligned, 1 alignment "
        in printed
    )
    content = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    assert [row["convention"] for row in content["counts"]] == [
        "default",
        "meloux_paper",
        "meloux_code",
    ]
    assert content["verdict"] == "identified"
    for arguments, message in (
        (["search", str(tmp_path / "none")], "xor-mi: "),
        (["search", str(tmp_path), "--depth", "0"], "depth must be a whole number"),
        (["search", str(tmp_path), "--out", str(tmp_path)], "cannot write"),
    ):
        monkeypatch.setattr("sys.argv", ["xor-mi", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.unchecked
def test_a_subcircuit_is_a_network(textbook):
    """Hooks, cache and all: what is dropped carries nothing."""
    (part,) = find_subcircuits(textbook)
    assert torch.equal(
        as_network(textbook, part)(textbook.rows()), textbook(textbook.rows()).double()
    )
    on_the_threshold = HookedMLP.from_weights([([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])])
    assert as_network(on_the_threshold, part)([[0, 0]]).item() == 0
    with pytest.raises(XorMiError, match="is not a Subcircuit"):
        as_network(textbook, "x0->h0.0")


def test_a_subcircuit_keeps_the_conventions_of_its_network(textbook):
    """Whoever trains it on trains it as the network was meant to be: same loss, threshold, target,
    activations.
    """
    (part,) = find_subcircuits(textbook)
    alone = as_network(textbook, part)
    assert alone.cfg.loss_fn == textbook.cfg.loss_fn == "mse"
    assert alone.cfg.conventions() == textbook.cfg.conventions() | {"dtype": torch.float64}


# node masks


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_node_masks_against_hooked_runs(ablation):
    """Every score of every set from two TransformerLens runs per pair, and the rows right from one
    run with the rest ablated.
    """
    population = train_population("XOR", 20, hidden=(2, 3), config=TrainConfig(act_fn="tanh"))
    model = population[population.solved.nonzero()[0].item()]
    rows, logits = model.rows(), model(model.rows())[:, 0].double()
    _, cache = model.run_with_cache(rows)
    names = ["blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post"]

    def run(base, chosen, values):
        hooks = []
        for layer, name in enumerate(names):
            mine = [index for where, index in chosen if where == layer]

            def hook(value, hook, layer=layer, mine=mine):
                value = value.clone()
                value[:, mine] = values(layer)[mine]
                return value

            hooks.append((name, hook))
        return model.run_with_hooks(rows[base : base + 1], fwd_hooks=hooks)[0, 0].double().item()

    scored = node_masks(model, convention=Convention(ablation=ablation))
    frame = scored.frame()
    assert [name_of_set(mask.units) for mask in scored] == frame["units"].tolist()
    assert len(frame) == 21
    assert frame["whole"].sum() == 1
    assert 1 < frame["perfect"].sum() < 21, "not vacuous"
    places = [(layer, i) for layer, size in enumerate(model.cfg.d_hidden) for i in range(size)]
    label = [0, 1, 1, 0]
    pairs = [(c, d) for c, d in product(range(4), repeat=2) if label[c] != label[d]]

    def level(layer):
        return cache["post", layer].mean(0) * (ablation == "mean")

    for line in frame.itertuples():
        inside = [place for place in places if f"h{place[0]}.{place[1]}" in line.units.split(" + ")]
        outside = [place for place in places if place not in inside]
        recovered = {}
        for name, units, base_is in (
            ("sufficiency", inside, 1),
            ("completeness", outside, 1),
            ("necessity", inside, 0),
            ("independence", outside, 0),
        ):
            values = []
            for pair in pairs:
                base, source = pair[base_is], pair[1 - base_is]
                patched = run(
                    base, units, lambda layer, source=source: cache["post", layer][source]
                )
                fraction = (
                    (patched - logits[pair[1]]) / (logits[pair[0]] - logits[pair[1]])
                ).item()
                values.append(1 - fraction if name in ("completeness", "necessity") else fraction)
            recovered[name] = values
            assert getattr(line, name) == pytest.approx(np.mean(values), abs=1e-4)
        assert line.worst == pytest.approx(min(map(min, recovered.values())), abs=1e-4)
        decided = [int(run(base, outside, level) > 0) for base in range(4)]
        assert line.n_right_rows == sum(a == b for a, b in zip(decided, label, strict=True))


def test_node_masks_that_make_no_sense():
    """A network that decides all inputs alike has nothing to restore; too many sets are refused."""
    constant = HookedMLP.from_weights(
        [(torch.ones(2, 2), torch.zeros(2)), (torch.ones(1, 2), torch.ones(1))], target="XOR"
    )
    with pytest.raises(XorMiError, match="decides all inputs alike"):
        node_masks(constant)
    with pytest.raises(XorMiError, match="32,767 sets of units"):
        node_masks(
            HookedMLP.from_weights(
                [(torch.ones(15, 2), torch.zeros(15)), (torch.ones(1, 15), torch.ones(1))],
                target="XOR",
            )
        )
