"""Searches and censuses of networks whose inputs are other numbers than 0 and 1, whose largest
output wins, whose layers have activations of their own, or whose steps are on at zero: each against
NumPy.
"""

import json
from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise, product

import numpy as np
import pyarrow.parquet as parquet
import pytest

from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.graph import Subcircuit
from xor_mi.model import HookedMLP
from xor_mi.population import (
    census,
    identity_experiment,
    population_from_census,
    read_census,
    run_census,
    width_study,
    write_census,
)
from xor_mi.population._identity import SEEN_NUMBERS
from xor_mi.search import (
    Convention,
    Problem,
    as_network,
    compare_conventions,
    count_interpretations,
    count_perfect_subcircuits,
    find_alignments,
    find_subcircuits,
    identifiability_report,
    interpretations,
    node_masks,
)
from xor_mi.search import _interchange as interchange
from xor_mi.training import TrainConfig, train_population
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

BITS = np.array(list(product((0, 1), repeat=2)))
ACTS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sign": lambda z: np.where(z > 0, 1.0, -1.0),
    "sign at zero": lambda z: np.where(z >= 0, 1.0, -1.0),
    "identity": lambda z: z,
}


class Plain:
    """A network in NumPy: weights, activations, input levels, and how outputs are decided."""

    def __init__(self, sizes, seed, *, acts, levels, largest_wins=False, whole_numbers=False):
        rng = np.random.default_rng(seed)

        def draw(*shape):
            numbers = 2 * rng.normal(size=shape)
            return numbers.round() if whole_numbers else numbers

        self.sizes, self.acts, self.levels = tuple(sizes), acts, levels
        self.largest_wins = largest_wins
        self.layers = [(draw(b, a), draw(b)) for a, b in pairwise(sizes)]

    @property
    def rows(self):
        """[row, input], in levels."""
        return np.array(self.levels, dtype=float)[BITS]

    def run(self, rows=None, masks=None, replaced=None):
        """Each layer's values on these rows, the outputs last.

        Edges where a mask is 0 carry nothing; `replaced` has (chosen units, values) per layer.
        """
        value, values = self.rows if rows is None else rows, []
        for number, (weight, bias) in enumerate(self.layers):
            kept = weight if masks is None else weight * masks[number]
            value = value @ kept.T + bias
            if number < len(self.layers) - 1:
                value = ACTS[self.acts[number]](value)
                if replaced is not None:
                    chosen, instead = replaced[number]
                    value = np.where(chosen, instead, value)
            values.append(value)
        return values

    def decide(self, outputs):
        """[row, decision]: 1, 0, or -1 for a tie."""
        if not self.largest_wins:
            return np.where(outputs == 0, -1, outputs > 0)
        n = outputs.shape[1]
        others = np.stack([np.delete(outputs, k, axis=1).max(1) for k in range(n)], axis=1)
        decided = np.where(outputs == others, -1, outputs > others)
        return decided[:, 1:] if n == 2 else decided

    @property
    def target(self):
        """What it decides; None where a row is a tie or a decision is the same on all rows."""
        decided = self.decide(self.run()[-1])
        if (decided < 0).any() or (decided == decided[0]).all(0).any():
            return None
        return BooleanFunction(2, tuple(map(tuple, decided.T.tolist())))

    @property
    def model(self):
        """The same network, made as a user makes it."""
        names = [name.removesuffix(" at zero") for name in self.acts]
        return HookedMLP.from_weights(
            self.layers,
            act_fn=tuple(names),
            input_levels=self.levels,
            decision_rule="argmax" if self.largest_wins else "threshold",
            step_at_zero=int(any(name.endswith("at zero") for name in self.acts)),
            target=self.target,
            dtype="float64",
        )


def deciding(sizes, *, acts, seeds=range(200), **settings):
    """The first drawn network whose every decision tells rows apart."""
    drawn = (Plain(sizes, seed, acts=acts, **settings) for seed in seeds)
    return next(network for network in drawn if network.target is not None)


def every_choice_of_edges(sizes):
    """All sets of edges, as one mask [target, source] per layer, that leave nothing unconnected."""
    shapes = [(b, a) for a, b in pairwise(sizes)]
    for bits in product((0, 1), repeat=sum(b * a for b, a in shapes)):
        masks, rest = [], list(bits)
        for b, a in shapes:
            masks.append(np.array(rest[: a * b]).reshape(b, a))
            rest = rest[a * b :]
        is_read = [mask.any(0) for mask in masks]
        reads = [np.ones(sizes[0], dtype=bool), *(mask.any(1) for mask in masks)]
        connected = all((one == two).all() for one, two in zip(is_read, reads, strict=False))
        if connected and reads[-1].all():
            yield masks


def as_subcircuit(sizes, masks):
    """The same choice of edges as the package writes it."""
    return Subcircuit(
        sizes, tuple(tuple(tuple(np.flatnonzero(row).tolist()) for row in mask) for mask in masks)
    )


def perfect_ones(network, target):
    """By running the network in NumPy once for every choice of edges: subcircuit -> its masks."""
    goal = np.array(target.tables).T
    return {
        as_subcircuit(network.sizes, masks): masks
        for masks in every_choice_of_edges(network.sizes)
        if (network.decide(network.run(masks=masks)[-1]) == goal).all()
    }


CASES = {
    "other levels": ((2, 2, 1), {"acts": ("relu",), "levels": (-1, 1)}),
    "levels the other way round": ((2, 2, 1), {"acts": ("tanh",), "levels": (3, 0.5)}),
    "the larger of two": ((2, 2, 2), {"acts": ("relu",), "levels": (0, 1), "largest_wins": True}),
    "both": ((2, 2, 2), {"acts": ("tanh",), "levels": (-1, 1), "largest_wins": True}),
    "the largest of three": (
        (2, 2, 3),
        {"acts": ("tanh",), "levels": (-1, 1), "largest_wins": True},
    ),
    "an activation per layer": ((2, 2, 2, 1), {"acts": ("relu", "tanh"), "levels": (0, 1)}),
    "steps off at zero": (
        (2, 2, 2),
        {"acts": ("sign",), "levels": (-1, 1), "largest_wins": True, "whole_numbers": True},
    ),
    "steps on at zero": (
        (2, 2, 1),
        {"acts": ("sign at zero",), "levels": (-1, 1), "whole_numbers": True},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_subcircuits_against_one_run_per_choice_of_edges(case):
    """The perfect subcircuits are those that NumPy finds, running every choice of edges."""
    sizes, settings = CASES[case]
    network = deciding(sizes, **settings)
    found = find_subcircuits(network.model)
    naive = perfect_ones(network, network.target)
    assert set(found) == set(naive)
    assert len(found) == len(naive)
    assert 0 < len(naive) < found.total, "not vacuous"
    assert found.total == sum(1 for _ in every_choice_of_edges(sizes))
    part, masks = max(naive.items(), key=lambda item: item[1][0].sum())
    alone = as_network(network.model, part)
    assert alone(alone.rows()).detach().numpy() == pytest.approx(network.run(masks=masks)[-1])


def test_levels_and_steps_matter():
    """The same weights have other subcircuits where bits are 0 and 1, and other ones where a step
    is off at zero: the comparison above can fail.
    """
    sizes, settings = CASES["both"]
    network = deciding(sizes, **settings)
    as_bits = HookedMLP.from_weights(
        network.layers, act_fn="tanh", decision_rule="argmax", dtype="float64"
    )
    assert set(find_subcircuits(network.model)) != set(find_subcircuits(as_bits, network.target))
    sizes, settings = CASES["steps on at zero"]
    for seed in range(100):
        network = deciding(sizes, **settings, seeds=range(seed, 300))
        off = network.model.with_weights(network.layers, step_at_zero=0)
        if set(find_subcircuits(network.model)) != set(find_subcircuits(off)):
            return
    raise AssertionError("a step at zero never matters")


@pytest.mark.parametrize("sizes", [(2, 2, 2), (2, 3, 2), (2, 2, 2, 2)])
@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_counting_equals_listing_where_the_larger_output_wins(sizes, ablation):
    """Without a list, the same number of perfect subcircuits, whatever the convention."""
    acts = ("relu", "tanh")[: len(sizes) - 2]
    counts = []
    for seed in range(6):
        network = Plain(sizes, seed, acts=acts, levels=(-1, 1), largest_wins=True)
        model = network.model
        for target, all_units in product(("x0", "x0 | x1", "TRUE"), (True, False)):
            convention = Convention(
                ablation=ablation,
                all_units=all_units,
                biases="drop" if seed == 3 else "keep",
                **({"noise_sd": 0.1, "n_noisy": 2} if seed == 2 else {}),
            )
            goal = BooleanFunction.of(target, 2)
            counted = count_perfect_subcircuits(model, goal, convention=convention)
            assert counted == find_subcircuits(model, goal, convention=convention).n_perfect
            counts.append(counted)
    assert len(set(counts)) > 3, "not vacuous"


def test_what_cannot_be_counted_says_what_to_do():
    """Compared outputs with an activation are listed; where the output's activation increases,
    counting without a list agrees with the list.
    """
    sizes, settings = CASES["both"]
    network = deciding(sizes, **settings)
    squashed = network.model.with_weights(network.layers, out_act_fn="sigmoid")
    with pytest.raises(XorMiError, match="difference of two outputs; use find_subcircuits"):
        count_perfect_subcircuits(squashed)
    assert set(find_subcircuits(squashed)) == set(find_subcircuits(network.model))
    sizes, settings = CASES["the largest of three"]
    model = deciding(sizes, **settings).model
    assert count_perfect_subcircuits(model) == find_subcircuits(model).n_perfect > 0
    for out_act_fn in ("softplus", "elu"):
        sizes, settings = CASES["other levels"]
        network = deciding(sizes, **settings)
        model = network.model.with_weights(
            network.layers, out_act_fn=out_act_fn, decision_threshold=0.3
        )
        n_perfect = find_subcircuits(model).n_perfect
        assert count_perfect_subcircuits(model) == n_perfect > 0


def folded(network):
    """The same network for inputs 0 and 1: levels moved into the first layer."""
    (weight, bias), *later = network.layers
    low, high = network.levels
    first = (weight * (high - low), bias + weight.sum(1) * low)
    return network.model.with_weights([first, *later], input_levels=(0, 1))


@pytest.mark.parametrize("levels", [(-1, 1), (2, -0.5)])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_levels_may_move_into_the_first_layer(levels, n_outputs):
    """Such a network has the same scores of units, alignments and reports; and, where dropped edges
    carry means and noise is in distances between levels, the same subcircuits.
    """
    network = deciding(
        (2, 3, n_outputs), acts=("relu",), levels=levels, largest_wins=n_outputs == 2
    )
    model, plain = network.model, folded(network)
    scores, scores_plain = node_masks(model).frame(), node_masks(plain).frame()
    # the worst pair may be one of two with the same score, up to rounding
    for column in scores.columns.drop("worst_pair"):
        numeric = scores[column].dtype == float
        expected = scores_plain[column].tolist()
        found = scores[column].tolist()
        assert found == (pytest.approx(expected) if numeric else expected)
    assert [str(one) for one in find_alignments(model)] == [
        str(one) for one in find_alignments(plain)
    ]
    noisy = Convention(ablation="mean", noise_sd=0.2, n_noisy=3)
    assert set(find_subcircuits(model, convention=noisy)) == set(
        find_subcircuits(plain, convention=noisy)
    )
    still = replace(noisy, noise_sd=0.0, n_noisy=0)
    assert set(find_subcircuits(model, convention=still)) != set(
        find_subcircuits(model, convention=noisy)
    ), "noise matters"


def test_two_outputs_are_one_decision_by_their_difference():
    """A network whose larger output wins has the scores and alignments of the one whose output is
    the difference; what is added to both outputs changes nothing.
    """
    network = deciding((2, 3, 2), acts=("relu",), levels=(-1, 1), largest_wins=True)
    model = network.model
    *hidden, (weight, bias) = network.layers
    difference = HookedMLP.from_weights(
        [*hidden, (weight[1:] - weight[:1], bias[1:] - bias[:1])],
        input_levels=(-1, 1),
        target=network.target,
        dtype="float64",
    )
    raised = model.with_weights([*hidden, (weight, bias + 10)])
    columns = ["sufficiency", "completeness", "necessity", "independence", "worst"]
    table = node_masks(model).frame()
    for other in (difference, raised):
        of_other = node_masks(other).frame()
        assert table["units"].tolist() == of_other["units"].tolist()
        assert table["perfect"].tolist() == of_other["perfect"].tolist()
        assert table[columns].to_numpy() == pytest.approx(of_other[columns].to_numpy())
        assert list(map(str, find_alignments(model))) == list(map(str, find_alignments(other)))
    assert set(find_subcircuits(model)) == set(find_subcircuits(raised))
    with pytest.raises(XorMiError, match="no output 1"):
        node_masks(model, output=1)


def interchanges(network, masks=None):
    """In NumPy: what is decided with each set of units of the only hidden layer on each base as on
    each source, and with them at zero, [set][pair or row] -> decisions.
    """
    width, n_rows = network.sizes[1], len(BITS)
    sets = [set(s) for k in range(1, width + 1) for s in combinations(range(width), k)]
    kept = range(width) if masks is None else np.flatnonzero(masks[0].any(1))
    hidden = network.run(masks=masks)[0]
    base, source = np.divmod(np.arange(n_rows**2), n_rows)
    exchanged, ablated = [], []
    for units in sets:
        chosen = np.array([j in units and j in kept for j in range(width)])
        swap = [(chosen, hidden[source])]
        exchanged.append(network.decide(network.run(network.rows[base], masks, swap)[-1]))
        zero = [(chosen, 0.0)]
        ablated.append(network.decide(network.run(network.rows, masks, zero)[-1]))
    return np.array(exchanged), np.array(ablated)


@pytest.mark.parametrize("case", ["other levels", "the larger of two", "both", "steps on at zero"])
def test_a_report_against_every_interchange_in_numpy(case):
    """A perfect subcircuit is ruled out where NumPy finds an interchange, or an ablation, that it
    and the whole network decide differently; and survives where there is none.
    """
    sizes, settings = CASES[case]
    network = deciding(sizes, **settings)
    report = identifiability_report(network.model, depth=2)
    whole, whole_ablated = interchanges(network)
    naive = perfect_ones(network, network.target)
    assert len(report.subcircuits) == report.n_perfect == len(naive)
    for examined in report.subcircuits:
        exchanged, ablated = interchanges(network, naive[examined.subcircuit])
        by_interchange = (exchanged != whole).any()
        by_ablation = (ablated != whole_ablated).any()
        assert (examined.ruled_out_by_interchange is not None) == by_interchange
        assert (examined.ruled_out_by_ablation is not None) == by_ablation
        assert examined.survives == (not by_interchange and not by_ablation)
    assert report.n_surviving == sum(examined.survives for examined in report.subcircuits)


@pytest.mark.parametrize("case", ["both", "the largest of three"])
def test_interchange_decides_by_the_networks_rule(case):
    """Every set of units and every pair of inputs, in one call and in NumPy."""
    sizes, settings = CASES[case]
    network = deciding(sizes, **settings)
    problem = Problem.of(network.model)
    sets = np.array([[1, 0], [0, 1], [1, 1]], dtype=bool)
    pairs = interchange.pairs_of(4, "all")
    found = interchange.interchanged(problem, problem.whole, sets, pairs)
    expected, _ = interchanges(network)
    assert (found == expected).all()
    alone = interchange.each_row(4)
    assert (interchange.interchanged(problem, problem.whole, sets, alone) != found[:, :4]).any()


def test_a_tie_between_outputs_is_no_answer():
    """Equal outputs decide nothing, also where rounding alone tells them apart: such a network is
    not perfect, and no reference.
    """
    hidden = ([[1, 0], [0, 1]], [0, 0])
    weight = np.array([[0.1, 0.0], [0.3, 0.0]])
    nearly = HookedMLP.from_weights(
        [hidden, (weight, np.array([0.1 + 0.2, 0.3]))], decision_rule="argmax", target="x0"
    )
    assert nearly.rule.decide(nearly(nearly.rows())).flatten().tolist() == [0, 0, 1, 1]
    assert find_subcircuits(nearly).n_perfect == count_perfect_subcircuits(nearly) == 0
    apart = nearly.with_weights([hidden, (weight, [0.4, 0.3])])
    assert find_subcircuits(apart).n_perfect > 0
    equal = nearly.with_weights([hidden, (weight, [0.3, 0.3])])
    with pytest.raises(XorMiError, match="leaves a row undecided"):
        find_subcircuits(equal, convention=Convention(reference="model"))


def naive_interpretations(network, part, masks):
    """Every cut of every kept unit, and every table per unit and for the decision, which reads what
    both outputs read, that agrees on all rows: how many joint choices there are.
    """
    hidden = network.run(masks=masks)[0].T
    kept = [j for j, sources in enumerate(part.sources[0]) if sources]

    def n_tables(parents, own):
        seen = {}
        for row, bit in zip(zip(*parents, strict=True), own, strict=True):
            if seen.setdefault(row, bit) != bit:
                return 0
        return 2 ** (2 ** len(parents) - len(seen))

    cuts = []
    for j in kept:
        levels = sorted(set(hidden[j].round(9)))
        if len(levels) == 1:
            cuts.append([tuple(int(levels[0] > 0) for _ in BITS)])
        else:
            cuts.append([tuple((hidden[j] > (a + b) / 2) * 1) for a, b in pairwise(levels)])
    read = sorted({j for sources in part.sources[1] for j in sources})
    total = 0
    for choice in product(*cuts):
        bits = dict(zip(kept, choice, strict=True))
        ways = n_tables([bits[j] for j in read], network.target.bits)
        for j in kept:
            ways *= n_tables([tuple(BITS[:, i]) for i in part.sources[0][j]], bits[j])
        total += ways
    return total


def test_a_decision_between_outputs_is_one_gate():
    """It is read as a function of all that the outputs read; counted, listed and found by hand."""
    network = deciding((2, 2, 2), acts=("relu",), levels=(-1, 1), largest_wins=True)
    model = network.model
    counts = []
    for part, masks in perfect_ones(network, network.target).items():
        listed = list(interpretations(model, part))
        naive = naive_interpretations(network, part, masks)
        assert len(set(listed)) == len(listed) == naive == count_interpretations(model, part)
        read = sorted({j for sources in part.sources[1] for j in sources})
        for one in listed[:2]:
            *_, last = one.gates
            assert last.unit == model.decision_units[0]
            assert list(last.parents) == [f"h0.{j}" for j in read]
        counts.append(naive)
    assert sum(counts) > len(counts) > 0


def test_rounding_is_for_outputs_that_stand_alone():
    """Where outputs are compared a convention that rounds is refused with what to take; in a table
    of conventions it has no counts, and the others have.
    """
    network = deciding((2, 2, 2), acts=("relu",), levels=(0, 1), largest_wins=True)
    model = network.model
    for ask in (find_subcircuits, node_masks, find_alignments, identifiability_report):
        with pytest.raises(XorMiError, match="take a convention with decision='threshold'"):
            ask(model, convention="meloux_code")
    table = compare_conventions(model, depth=1).frame().set_index("convention")
    assert table["n_perfect"].isna().tolist() == [False, False, True]
    assert "the largest output" in table.loc["meloux_code", "why_not"]
    assert table.loc["default", "n_perfect"] == len(perfect_ones(network, network.target))
    assert "meloux_code" in str(compare_conventions(model, depth=1))
    as_the_network_decides = replace(Convention.meloux_code(), decision="threshold")
    assert (
        find_subcircuits(model, convention=as_the_network_decides).total
        < table.loc["default", "n_subcircuits"]
    )


def test_direct_connections_are_refused_in_one_sentence():
    """A subcircuit has no edge past the hidden layers, so searches say that they do not cover it."""
    model = HookedMLP.from_weights(
        [([[1, 1]], [-1.5]), ([[-2.0]], [-0.5])],
        direct=[[1.0, 1.0]],
        act_fn="heaviside",
        target="XOR",
    )
    whole = Subcircuit((2, 1, 1), (((0, 1),), ((0,),)))
    for ask in (
        find_subcircuits,
        count_perfect_subcircuits,
        node_masks,
        find_alignments,
        compare_conventions,
        identifiability_report,
        lambda model: as_network(model, whole),
        lambda model: count_interpretations(model, whole),
    ):
        with pytest.raises(XorMiError, match="straight to outputs; identify_circuit") as error:
            ask(model)
        assert "\n" not in str(error.value)


# many networks


CLASSES = TrainConfig(
    act_fn="tanh", input_levels=(-1, 1), decision_rule="argmax", max_steps=300, lr=0.1
)
"""Two outputs of which the larger wins, on inputs of -1 and 1."""


def plain_outputs(weights, number, rows, act):
    """One network of a population in NumPy."""
    value = rows
    for layer, (weight, bias) in enumerate(weights):
        value = value @ weight[number].double().numpy().T + bias[number].double().numpy()
        value = act(value) if layer < len(weights) - 1 else value
    return value


def test_a_census_follows_levels_and_rule():
    """A network is solved where NumPy, fed -1 and 1, has the larger of its two outputs right; each
    line is what the network itself is identified as, and the table gives the networks back.
    """
    population = train_population("XOR", 12, seed=3, config=CLASSES)
    networks = census(population, progress=False)
    rows = np.array([-1.0, 1.0])[BITS]
    for number, line in enumerate(networks.to_dict("records")):
        outputs = plain_outputs(population.weights, number, rows, np.tanh)
        is_right = ((outputs[:, 1] > outputs[:, 0]) == [False, True, True, False]).all()
        assert line["solved"] == is_right
        circuit = identify_circuit(population[number], progress=False)
        assert (line["verdict"], line["family"]) == (circuit.verdict, circuit.family)
    assert networks["solved"].any(), "not vacuous"
    again = population_from_census(networks, population.cfg)
    assert again[5](again[5].rows()).tolist() == population[5](population[5].rows()).tolist()


def test_a_census_on_disk_is_of_one_encoding(tmp_path):
    """The plan says levels and rule; the same call finds nothing to do, one with other levels is
    refused with both.
    """

    def run(config):
        return run_census("XOR", 4, directory=tmp_path, config=config, n_jobs=1, progress=False)

    run(CLASSES)
    plan = json.loads((tmp_path / "_plan.json").read_text(encoding="utf-8"))
    assert plan["config"]["input_levels"] == [-1, 1]
    assert (plan["config"]["decision_rule"], plan["config"]["loss_fn"]) == ("argmax", "ce")
    written = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    run(CLASSES)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == written
    with pytest.raises(XorMiError, match=r"input_levels: \[-1.0, 1.0\] there, \[0.0, 1.0\] asked"):
        run(replace(CLASSES, input_levels=(0, 1)))
    expected = census(train_population("XOR", 4, config=CLASSES), progress=False)
    assert read_census(tmp_path)["loss"].tolist() == expected["loss"].tolist()


NEW_SETTINGS = (
    "momentum",
    "batch_size",
    "l1",
    "dropout",
    "decision_rule",
    "input_levels",
    "direct",
)
"""Settings of training that earlier versions did not write."""


def as_written_before(folder):
    """Take the settings that earlier versions did not have out of a census, in every file."""

    def without(plan):
        for name in NEW_SETTINGS:
            plan["config"].pop(name, None)
        return plan

    plan_file = folder / "_plan.json"
    plan = without(json.loads(plan_file.read_text(encoding="utf-8")))
    plan_file.write_text(json.dumps(plan), encoding="utf-8")
    for file in folder.glob("*.parquet"):
        about = without(json.loads(parquet.read_schema(file).metadata[b"xor_mi"]))
        write_census(read_census(file), file, about=about)


def test_a_census_whose_plan_lacks_later_settings_goes_on(tmp_path):
    """Its plan has none of the new settings: it is read, resumed where they have their defaults,
    and refused where they are others.
    """
    small = TrainConfig(max_steps=20)
    run = partial(run_census, "XOR", directory=tmp_path, shard_size=2, n_jobs=1, progress=False)
    run(4, config=small)
    before = read_census(tmp_path)
    as_written_before(tmp_path)
    assert read_census(tmp_path).equals(before)
    first, second = sorted(tmp_path.glob("*.parquet"))
    second.unlink()
    written = first.stat().st_mtime_ns
    run(4, config=small)
    assert first.stat().st_mtime_ns == written
    assert read_census(tmp_path).equals(before)
    with pytest.raises(XorMiError, match="input_levels"):
        run(4, config=replace(small, input_levels=(-1, 1)))


def test_published_shares_are_of_bits_as_0_and_1():
    """A study at other levels has nothing published to compare with, and other networks."""
    study = partial(width_study, "XOR", 20, widths=[2], act_fns="relu", progress=False)
    plain = study(config=TrainConfig(max_steps=100))
    other = study(config=TrainConfig(max_steps=100, input_levels=(-1, 1)))
    assert plain["published"].item() == 0.28
    assert other["published"].isna().all()
    solved = train_population("XOR", 20, config=TrainConfig(max_steps=100, input_levels=(-1, 1)))
    assert other["n_solved"].item() == int(solved.solved.sum())


def test_the_last_input_learns_where_bit_0_is_not_0():
    """On inputs of 0 and 1 the weights of an input that is always off never move, direct ones
    neither; on -1 and 1 they do. Which numbers are repeated is what NumPy says.
    """
    experiment = partial(identity_experiment, 3, hidden=4, progress=False)
    short = TrainConfig(max_steps=60)
    assert (experiment(config=short)["last_input_moved"] == 0).all()
    assert (experiment(config=replace(short, direct=True))["last_input_moved"] == 0).all()
    other = replace(short, input_levels=(-1, 1))
    found = experiment(config=other)
    assert (found["last_input_moved"] > 0).all()
    numbers = np.array(list(product((0, 1), repeat=4)))
    copy = BooleanFunction(4, tuple(map(tuple, numbers.T.tolist())))
    population = train_population(
        copy, 3, hidden=4, config=other, rows=SEEN_NUMBERS, progress=False
    )
    is_seen = np.array(["".join(map(str, number)) in SEEN_NUMBERS for number in numbers])
    for number in range(3):
        outputs = plain_outputs(population.weights, number, 2.0 * numbers - 1, ACTS["relu"])
        is_repeated = ((outputs > 0) == numbers).all(1)
        assert found["seen"][number] == pytest.approx(is_repeated[is_seen].mean())
        assert found["last_odd"][number] == pytest.approx(outputs[1::2, -1].max(), abs=1e-4)
