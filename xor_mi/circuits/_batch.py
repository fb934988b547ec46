"""many networks of one shape -> what `identify_circuit` says of each, for all of them at once.

The same rules, with the networks as leading axis, for one hidden layer and few readings. A number
that lies so close to one of the rules' bounds that the order of additions could decide is not
decided here: that network, like any this module does not cover, is given to `identify_circuit`
itself. So the answers are the same, only sooner."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations, pairwise, product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from xor_mi.circuits._circuit import Circuit
from xor_mi.circuits._identify import identify_circuit
from xor_mi.circuits._netlist import LocalGate
from xor_mi.circuits._readings import ROUNDING
from xor_mi.circuits._signature import Form, family_of, form_of, signature_of_forms
from xor_mi.errors import XorMiError
from xor_mi.graph import layers_of
from xor_mi.metrics import decision
from xor_mi.model import HookedMLP, HookedMLPConfig, activation
from xor_mi.truth import BooleanFunction, name_of_bits, truth_rows
from xor_mi.values import DISTINCT

MAX_CHOICES = 1024
"""Networks with more joint readings than this go to `identify_circuit` one by one."""
CHUNK = 2_000_000
"""Numbers held for one step: networks are taken in chunks of as many as fit."""
SINGLE = 1e-4
"""An output closer to the threshold than this part of its terms may be decided otherwise in
float32.
"""

DOUBLE = 1e-12
"""The same for float64."""


class Summary(NamedTuple):
    """A circuit in one line.

    Attributes:
        verdict: one of `VERDICTS`; None for a network that could not be tried.
        gates, margins: one per hidden unit, NaN for the margin of a constant one; empty without a
            circuit.
        readings: how many joint readings were kept; None for a network that could not be tried.
        why_not: why it could not be tried, else "".
    """

    verdict: str | None
    gates: tuple[str, ...] = ()
    readings: int | None = 0
    margins: tuple[float, ...] = ()
    signature: str = ""
    family: str = ""
    why_not: str = ""


def summarize(circuit: Circuit) -> Summary:
    """Circuit -> its line."""
    margins = (
        tuple(float("nan") if unit.margin is None else unit.margin for unit in circuit.units)
        if circuit.primary
        else ()
    )
    gates = tuple(unit.gate for unit in circuit.units if unit.gate)
    names = [_named(lambda: circuit.signature), _named(lambda: circuit.family)]
    return Summary(circuit.verdict, gates, len(circuit.readings), margins, *names)


def identify_many(
    models: Callable[[int], HookedMLP],
    layers: Sequence[tuple[Tensor, Tensor]],
    cfg: HookedMLPConfig,
    progress: bool = False,
) -> list[Summary]:
    """One summary per network.

    Args:
        models: number -> network, for those that are identified one by one.
        layers: W [seed, d_out, d_in] and b [seed, d_out] per layer.
    """
    found: list[Summary | None] = [None] * len(layers[0][0])
    with tqdm(
        total=len(found), desc="identifying", unit="network", disable=None if progress else True
    ) as bar:
        if _covered(cfg):
            width, n_rows = cfg.layer_sizes[1], 2**cfg.d_in
            each = (n_rows - 1) ** width * n_rows * max(width, cfg.d_out)
            for numbers in torch.arange(len(found)).split(max(1, CHUNK // each)):
                chunk = _Chunk([(w[numbers].double(), b[numbers].double()) for w, b in layers], cfg)
                for number, summary in chunk.summaries():
                    found[int(numbers[number])] = summary
                bar.update(sum(found[int(i)] is not None for i in numbers))
        for number in [k for k, summary in enumerate(found) if summary is None]:
            found[number] = _alone(models, number)
            bar.update()
    return [summary for summary in found if summary is not None]


def _covered(cfg: HookedMLPConfig) -> bool:
    return (
        cfg.n_layers == 1
        and cfg.target is not None
        and cfg.d_hidden[0] <= 12
        and (2**cfg.d_in - 1) ** cfg.d_hidden[0] <= MAX_CHOICES
    )


def _alone(models: Callable[[int], HookedMLP], number: int) -> Summary:
    try:
        return summarize(identify_circuit(models(number), with_evidence=False))
    # More readings than are listed, or weights that are not finite: no reason to lose the others.
    except XorMiError as error:
        return Summary(verdict=None, readings=None, why_not=str(error))


def _named(name: Callable[[], str]) -> str:
    try:
        return name()
    except XorMiError:  # too many orders of interchangeable units for a canonical form
        return ""


def _near(value: Tensor, bound: float) -> Tensor:
    """So close to a bound that rounding might decide."""
    return (value > bound / 2) & (value < bound * 2)


class _Chunk:
    """Networks with one hidden layer, identified step by step; `unsure` collects those to be looked
    at one by one.
    """

    def __init__(self, layers: Sequence[tuple[Tensor, Tensor]], cfg: HookedMLPConfig) -> None:
        self.cfg, self.threshold = cfg, float(cfg.decision_threshold or 0.0)
        self.out_act = activation(cfg.out_act_fn, cfg.negative_slope)
        (weight, bias), (self.readout, self.readout_bias) = layers
        rows = torch.tensor(truth_rows(cfg.d_in), dtype=torch.float64)
        self.hidden = activation(cfg.act_fn, cfg.negative_slope)(
            rows @ weight.mT + bias[:, None]
        )  # [seed, row, unit]
        self.goal = torch.tensor(cfg.target.tables).T
        self.unsure = ~torch.stack(
            [values.flatten(1).isfinite().all(1) for layer in layers for values in layer]
        ).all(0)

    def summaries(self) -> Iterator[tuple[int, Summary]]:
        """(number within the chunk, summary) of every network that is sure."""
        computing, wrong = self._computing()
        for number in wrong.nonzero().flatten().tolist():
            yield (
                number,
                Summary("not_computing", signature="not_computing", family="not_computing"),
            )
        if not computing.any():
            return
        self.which = computing.nonzero().flatten()
        self._read_units(self.hidden[self.which])
        at, choice, worst = self._faithful()
        tables, composes = self._netlists(at, choice)
        kept = composes.nonzero().flatten()
        yield from self._summarized(at[kept], choice[kept], worst[kept], tables[kept])

    def _output(self, values: Tensor, networks: Tensor) -> Tensor:
        """Hidden values [seed, ..., unit] of these networks -> outputs [seed, ..., output]."""
        inner = (1,) * (values.ndim - 2)
        weight, bias = self.readout[networks], self.readout_bias[networks]
        pre = values.flatten(1, -2) @ weight.mT + bias[:, None]
        return self.out_act(pre.view(*values.shape[:-1], -1)) if inner else self.out_act(pre)

    def _close(
        self, values: Tensor, outputs: Tensor, networks: Tensor, part: float = SINGLE
    ) -> Tensor:
        """Outputs so close to the threshold that rounding might decide otherwise."""
        terms = (
            values.abs().flatten(1, -2) @ self.readout[networks].abs().mT
            + self.readout_bias[networks].abs()[:, None]
        )
        scale = (terms + abs(self.threshold)).view(outputs.shape)
        slack = 0.25 if self.cfg.out_act_fn == "sigmoid" else 1.0
        return (outputs - self.threshold).abs() <= part * slack * scale

    def _computing(self) -> tuple[Tensor, Tensor]:
        """Networks that compute the target for sure, and those that do not for sure."""
        everyone = torch.arange(len(self.hidden))
        outputs = self._output(self.hidden, everyone)
        right = decision(outputs, threshold=self.threshold) == self.goal
        wrong = (~right & ~self._close(self.hidden, outputs, everyone, DOUBLE)).flatten(1).any(
            1
        ) & ~self.unsure
        self.unsure |= self._close(self.hidden, outputs, everyone).flatten(1).any(1) & ~wrong
        return ~wrong & ~self.unsure, wrong

    def _read_units(self, hidden: Tensor) -> None:
        """Every reading of every unit: `bits` [seed, unit, cut, row], `low` and `high` and `margin`
        [seed, unit, cut], `valid`.
        """
        values = hidden.mT
        ordered = values.sort(-1).values
        spread, largest = ordered[..., -1] - ordered[..., 0], values.abs().amax(-1)
        self.constant = spread <= ROUNDING * largest
        gaps = ordered.diff(dim=-1)
        part = gaps / spread.clamp(min=1e-300)[..., None]
        self.unsure[self.which] |= (
            _near(spread / largest.clamp(min=1e-300), ROUNDING) | _near(part, DISTINCT).any(-1)
        ).any(-1)
        first = torch.arange(gaps.shape[-1]) == 0
        self.valid = torch.where(
            self.constant[..., None], first, gaps > DISTINCT * spread[..., None]
        )
        cut = (ordered[..., 1:] + ordered[..., :-1]) / 2
        mean, constant = values.mean(-1), self.constant[..., None]
        self.bits = torch.where(
            constant[..., None], (mean > 0)[..., None, None], values[:, :, None] > cut[..., None]
        )
        n_high = self.bits.sum(-1)
        total, high = values.sum(-1)[..., None], (values[:, :, None] * self.bits).sum(-1)
        n_rows = values.shape[-1]
        self.low = torch.where(
            constant, mean[..., None], (total - high) / (n_rows - n_high).clamp(min=1)
        )
        self.high = torch.where(constant, mean[..., None], high / n_high.clamp(min=1))
        self.margin = torch.where(constant, torch.nan, part)

    def _faithful(self) -> tuple[Tensor, Tensor, Tensor]:
        """Joint readings under which two levels per unit keep every decision: network, cut of each
        unit [choice, unit], worst margin.
        """
        levels = torch.where(self.bits, self.high[..., None], self.low[..., None])
        n_units, n_cuts = levels.shape[1:3]
        choices = torch.cartesian_prod(*[torch.arange(n_cuts)] * n_units).view(-1, n_units)
        values = torch.stack(
            [levels[:, u, choices[:, u]] for u in range(n_units)], dim=-1
        )  # [seed, choice, row, unit]
        valid = torch.stack([self.valid[:, u, choices[:, u]] for u in range(n_units)]).all(0)
        distance = (self._output(values, self.which) - self.threshold) * (2 * self.goal - 1)
        worst, scale = distance.flatten(2).amin(2), distance.flatten(2).abs().amax(2)
        self.unsure[self.which] |= (valid & _near(worst / scale.clamp(min=1e-300), ROUNDING)).any(1)
        at, chosen = (valid & (worst > ROUNDING * scale)).nonzero(as_tuple=True)
        return at, choices[chosen], worst[at, chosen]

    def _of(self, values: Tensor, at: Tensor, choice: Tensor) -> Tensor:
        """A property of readings [seed, unit, cut, ...] -> of the readings chosen [reading, unit,
        ...].
        """
        return torch.stack([values[at, u, choice[:, u]] for u in range(choice.shape[1])], dim=1)

    def _netlists(self, at: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """Each output's table over every combination of levels [reading, combination, output], and
        whether it composes to the target.
        """
        width = choice.shape[1]
        combos = torch.tensor(list(product((0, 1), repeat=width)), dtype=torch.bool)
        low, high = self._of(self.low, at, choice), self._of(self.high, at, choice)
        reached = (
            self._output(torch.where(combos, high[:, None], low[:, None]), self.which[at])
            - self.threshold
        )
        share = reached.abs() / reached.abs().amax(1, keepdim=True).clamp(min=1e-300)
        self.unsure[self.which[at[_near(share, ROUNDING).flatten(1).any(1)]]] = True
        tables = (reached > 0) & (share > ROUNDING)
        ties = share <= ROUNDING
        index = self._index(self._of(self.bits, at, choice))
        rows = torch.arange(len(at))[:, None]
        return tables, (
            (tables[rows, index] == self.goal) & ~(ties[rows, index] & (self.goal == 1))
        ).flatten(1).all(1)

    @staticmethod
    def _index(bits: Tensor) -> Tensor:
        """Bits [reading, unit, ...] -> the combination they are."""
        places = 2 ** torch.arange(bits.shape[1] - 1, -1, -1)
        return (bits.long() * places.view(1, -1, *[1] * (bits.ndim - 2))).sum(1)

    def _summarized(
        self, at: Tensor, choice: Tensor, worst: Tensor, tables: Tensor
    ) -> Iterator[tuple[int, Summary]]:
        bits, margins = self._of(self.bits, at, choice), self._of(self.margin, at, choice)
        keys = [
            (tuple(map(tuple, units)), tuple(map(tuple, outputs)))
            for units, outputs in zip(bits.int().tolist(), tables.mT.int().tolist(), strict=True)
        ]
        groups: dict[int, list[int]] = {network: [] for network in range(len(self.which))}
        for reading, network in enumerate(at.tolist()):
            groups[network].append(reading)
        ranks = self._ranks(
            at,
            bits,
            tables,
            [r for members in groups.values() if len(members) > 1 for r in members],
        )
        sizes = self.cfg.layer_sizes
        for network, members in groups.items():
            number = int(self.which[network])
            if not members and not self.unsure[number]:
                yield (
                    number,
                    Summary(
                        "no_gate_reading", signature="no_gate_reading", family="no_gate_reading"
                    ),
                )
            if not members or self.unsure[number]:
                continue
            first = members[0]
            if len(members) > 1:
                best = self._first(members, ranks, worst, keys)
                if best is None:
                    continue
                first = best
            verdict = "identified" if len(members) == 1 else "ambiguous"
            signature = _signature([keys[r] for r in members], sizes)
            gates = tuple(map(name_of_bits, keys[first][0]))
            yield (
                number,
                Summary(
                    verdict,
                    gates,
                    len(members),
                    tuple(margins[first].tolist()),
                    signature,
                    _family(_ordered(keys[first]), sizes),
                ),
            )

    def _first(
        self,
        members: Sequence[int],
        ranks: dict[int, tuple[int, int]],
        worst: Tensor,
        keys: Sequence[Any],
    ) -> int | None:
        """The reading that `identify_circuit` puts first; None where rounding might decide."""
        lead = min(ranks[r] for r in members)
        tied = [r for r in members if ranks[r] == lead]
        margins = worst[tied].tolist()
        if any(
            1e-12 < abs(a - b) / max(abs(a), 1e-300) < 1e-5 for a, b in combinations(margins, 2)
        ):
            return None
        order = {
            r: (-float(f"{margin:.6g}"), tuple(map(name_of_bits, keys[r][0])))
            for r, margin in zip(tied, margins, strict=True)
        }
        return min(tied, key=lambda r: order[r])

    def _ranks(
        self, at: Tensor, bits: Tensor, tables: Tensor, readings: Sequence[int]
    ) -> dict[int, tuple[int, int]]:
        """For the readings of ambiguous networks: (copies read apart, minus the interchanges that
        come out as predicted).
        """
        if not readings:
            return {}
        chosen = torch.tensor(readings)
        networks, place = at[chosen].unique(return_inverse=True)
        hidden, bits, tables = self.hidden[self.which[networks]], bits[chosen], tables[chosen]
        apart = self._told_apart(hidden, networks, place, bits)
        agreed = torch.zeros(len(chosen), dtype=torch.long)
        rows = torch.arange(len(chosen))[:, None, None]
        for u in range(hidden.shape[2]):
            swapped = hidden[:, :, None].repeat(
                1, 1, hidden.shape[1], 1
            )  # [seed, base, source, unit]
            swapped[..., u] = hidden[:, None, :, u]
            outputs = self._output(swapped, self.which[networks])
            close = self._close(swapped, outputs, self.which[networks]).flatten(1).any(1)
            self.unsure[self.which[networks[close]]] = True
            taken = bits[:, :, :, None].repeat(
                1, 1, 1, bits.shape[2]
            )  # [reading, unit, base, source]
            taken[:, u] = bits[:, u, None, :]
            predicted = tables[rows, self._index(taken)]
            agreed += (predicted == (outputs > self.threshold)[place]).all(-1).sum((1, 2))
        return dict(
            zip(readings, zip(apart.tolist(), (-agreed).tolist(), strict=True), strict=True)
        )

    def _told_apart(self, hidden: Tensor, networks: Tensor, place: Tensor, bits: Tensor) -> Tensor:
        """How many pairs of copies (values alike up to scale and shift) each reading gives
        different gates, complements apart.
        """
        centred = hidden - hidden.mean(1, keepdim=True)
        spread = hidden.amax(1) - hidden.amin(1)
        alive, norm = spread > 0, centred.norm(dim=1)
        self.unsure[
            self.which[networks[(alive & (spread < 1e-6 * hidden.abs().amax(1))).any(1)]]
        ] = True
        count = torch.zeros(len(place), dtype=torch.long)
        for a, b in combinations(range(hidden.shape[2]), 2):
            share = (centred[..., a] * centred[..., b]).sum(1).abs() / (
                norm[:, a] * norm[:, b]
            ).clamp(min=1e-300)
            both = alive[:, a] & alive[:, b]
            self.unsure[self.which[networks[both & _near(1 - share, 1e-9)]]] = True
            copies = both & (share >= 1 - 1e-9)
            differ = (bits[:, a] != bits[:, b]).any(1) & (bits[:, a] == bits[:, b]).any(1)
            count += copies[place] & differ
        return count


_Key = tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
"""Bits of the hidden units on the rows, and tables of the outputs over the hidden units: all there
is to a netlist of one hidden layer.
"""


def _netlist(key: _Key, sizes: Sequence[int]) -> tuple[LocalGate, ...]:
    places, gates = layers_of(sizes), []
    for (before, after), tables in zip(pairwise(places), key, strict=True):
        parents = tuple(unit.name for unit in before)
        gates += [
            LocalGate(unit, parents, BooleanFunction(len(before), (table,)))
            for unit, table in zip(after, tables, strict=True)
        ]
    return tuple(gates)


def _signature(keys: Sequence[_Key], sizes: tuple[int, ...]) -> str:
    return _named(lambda: signature_of_forms({_form(_ordered(key), sizes) for key in keys}))


@lru_cache(maxsize=65536)
def _form(key: _Key, sizes: tuple[int, ...]) -> Form:
    return form_of(_netlist(key, sizes), sizes)


@lru_cache(maxsize=65536)
def _family(key: _Key, sizes: tuple[int, ...]) -> str:
    return _named(lambda: family_of(_netlist(key, sizes), sizes))


def _ordered(key: _Key) -> _Key:
    """Hidden units in the order of their bits: fewer different netlists, with the same canonical
    forms.
    """
    bits, tables = key
    order = tuple(sorted(range(len(bits)), key=lambda u: bits[u]))
    picked = _moved(order)
    return tuple(bits[u] for u in order), tuple(tuple(table[i] for i in picked) for table in tables)


@lru_cache(maxsize=1024)
def _moved(order: tuple[int, ...]) -> tuple[int, ...]:
    """Where each combination of the units in a new order stands in a table over the old one."""
    top = len(order) - 1
    return tuple(
        sum(bit << top - u for u, bit in zip(order, combo, strict=True))
        for combo in product((0, 1), repeat=len(order))
    )
