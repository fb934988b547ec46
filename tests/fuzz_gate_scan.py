"""Random units on few inputs: every cut, every score and every p-value, against plain Python.

Units are whole numbers with many ties, moved and scaled so that they tie only up to rounding; some
follow a feature. Some inputs are given several times.
"""

from functools import partial
from itertools import product

import torch
from drawn import Tally
from oracles import gate_scan as by_hand
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi.gate_scan import scan_gates


class Table(HookedRootModule):
    """Its units are what a table says of input 0, 1, 2, ..."""

    def __init__(self, values):
        super().__init__()
        self.values, self.hook_units = values, HookPoint()
        self.setup()
        self.eval()

    def forward(self, number):
        """[batch] -> [batch, unit]"""
        return self.hook_units(self.values[number])


def dealt_by_seed(rows, n, seed):
    """The deals of this seed: of a random order, the first inputs have the first combination."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        order = torch.randperm(len(rows), generator=generator).tolist()
        dealt = dict(zip(order, sorted(rows), strict=True))
        yield [dealt[number] for number in range(len(rows))]


def text_of(gate, n_features, seen):
    """The gate as the scan writes it."""
    names = ["".join(bits) for bits in product("01", repeat=n_features)]
    return "".join(str(int(name in gate)) if name in seen else "-" for name in names)


def mismatches(rng):
    """A few units of one drawn set of inputs."""
    tally = Tally()
    n_features, n_inputs = rng.choice((1, 2, 2, 3)), rng.choice((3, 4, 5, 5, 6, 7))
    names = ["".join(bits) for bits in product("01", repeat=n_features)]
    rows = [rng.choice(names) for _ in range(n_inputs)]
    rows[0], rows[1] = names[0], names[-1]
    few = n_inputs < 7 and len(by_hand.every_deal(rows)) <= 90
    if not few:
        # 14 inputs of two combinations: over 1,000 ways, so that a sample is drawn
        rows = [rng.choice((names[0], names[-1])) for _ in range(14)]
        rows[:8] = [names[0], names[-1]] * 4
    most = rng.choice((2, 5, 30))
    columns = [[rng.randint(-most, most) for _ in rows] for _ in range(3)]
    columns[0] = [most * int(row[0]) + value for row, value in zip(rows, columns[0], strict=True)]
    scale, shift = rng.choice(((1.0, 0.0), (0.1, 0.3), (1e-3, -7e-3), (300.0, 0.7)))
    dtype = rng.choice((torch.float32, torch.float64))
    if scale == 1.0:
        # whole numbers are exact however large they are; thresholds are floats
        dtype, shift = rng.choice(((dtype, 0.0), (torch.int32, 1000.0), (torch.int64, 2.0**40)))
    values = torch.tensor(columns, dtype=torch.float64).T * scale + shift
    copies = list(range(len(rows))) + [rng.randrange(len(rows)) for _ in range(rng.choice((0, 4)))]
    features = {f"f{k}": [int(rows[number][k]) for number in copies] for k in range(n_features)}
    seed, n_permutations = rng.randrange(100), 40
    scan = scan_gates(
        Table(values.to(dtype)),
        torch.tensor(copies),
        features,
        "hook_units",
        n_permutations=n_permutations,
        seed=seed,
        progress=False,
    )
    deals = by_hand.every_deal(rows) if few else list(dealt_by_seed(rows, n_permutations, seed))
    what = f"{rows}, {columns}, scale {scale}, {dtype}"
    tally.same(f"{what}: deals", (len(rows), len(deals), few), _size(scan))
    scale_back = partial(_back, scale=scale, shift=shift)
    by_unit, scores = _by_unit(scan.frame()), _by_unit(scan.scores())
    for number, column in enumerate(columns):
        _compare_cuts(tally, f"{what}: unit {number}", column, rows, deals, by_unit, scale_back)
        if max(column) > min(column):
            _compare_scores(tally, f"{what}: unit {number}", column, rows, deals, scores)
        by_unit, scores = by_unit[1:], scores[1:]
    separating = [[by_hand.widest(c, deal) > 0 for c in columns] for deal in deals]
    rate = sum(map(sum, separating)) / (len(deals) * len(columns))
    tally.near(f"{what}: control", rate, 1e-9, scan.control_rate)
    return tally.result


def _size(scan):
    return scan.n_distinct, scan.n_permutations, scan.is_every_permutation


def _back(value, scale, shift):
    return (value - shift) / scale


def _by_unit(frame):
    return [lines.to_dict("records") for _, lines in frame.groupby("index", sort=True)]


def _share(told, is_every):
    """Of the deals that do as well; where they are a sample, the true one counts as one more."""
    return sum(told) / len(told) if is_every else (1 + sum(told)) / (1 + len(told))


def _compare_cuts(tally, what, column, rows, deals, by_unit, scale_back):
    cuts, lines = by_hand.cuts(column, rows), by_unit[0]
    is_every = tuple(rows) in deals
    if not cuts:
        tally.same(f"{what}: no cut", [None], [line["gate"] for line in lines])
        return
    n_features, best = len(rows[0]), max(cut[0] for cut in cuts)
    tally.same(f"{what}: cuts", len(cuts), len(lines))
    chance = [by_hand.widest(column, deal) for deal in deals]
    first = [share for share, _, _ in cuts].index(best)
    for k, ((share, threshold, high), line) in enumerate(zip(cuts, lines, strict=True)):
        tally.near(f"{what}: margin", float(share), 1e-4, line["margin"])
        tally.near(f"{what}: cut", float(threshold), 1e-3, scale_back(line["threshold"]))
        tally.same(f"{what}: table", text_of(high, n_features, set(rows)), line["table"])
        ones = sum(row in high for row in rows)
        tally.same(f"{what}: ones", (ones, len(rows) - ones), (line["n_ones"], line["n_zeros"]))
        tally.same(f"{what}: widest", k == first, line["is_widest"])
        p_value = _share([one >= share for one in chance], is_every)
        tally.near(f"{what}: p", p_value, 1e-9, line["p_value"])


def _compare_scores(tally, what, column, rows, deals, scores):
    expected, lines = by_hand.scored(column, rows), scores[0]
    is_every = tuple(rows) in deals
    tally.same(f"{what}: gates", len(expected) // 2, len(lines))
    by_table = {text_of(gate, len(rows[0]), set(rows)): s for gate, s in expected.items()}
    chance = [by_hand.scored(column, deal).values() for deal in deals]
    best_auc = [max(score[0] for score in one) for one in chance]
    best_share = [max(score[1] for score in one) for one in chance]
    for line in lines:
        auc, share, threshold = by_table[line["table"]]
        other = line["table"].translate(str.maketrans("01", "10"))
        # of a gate and its complement the better one is listed
        tally.same(f"{what}: side", True, (share, auc) >= by_table[other][1::-1])
        tally.near(f"{what}: AUC", float(auc), 1e-9, line["auc"])
        tally.near(f"{what}: share", float(share), 1e-9, line["balanced_accuracy"])
        tally.same(f"{what}: no cut", threshold is None, line["threshold"] != line["threshold"])
        p_values = [
            _share([one >= least for one in told], is_every)
            for told, least in ((best_auc, auc), (best_share, share))
        ]
        tally.near(f"{what}: p", p_values, 1e-9, [line["p_auc"], line["p_balanced"]])
    top = max(line["balanced_accuracy"] for line in lines)
    told = [line["balanced_accuracy"] >= top - 1e-9 for line in lines if line["is_best"]]
    tally.same(f"{what}: best", [True], told)
