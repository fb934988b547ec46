"""joint readings of many networks -> their circuits, and how far each is proved, as tensors.

The rules of `identify_circuit` after its joint readings: what is the same on the live units is one
circuit, and a circuit is held against every single interchange and every joint one. Between the
hidden units and a score there is one sum, and what comes after it only rises. So of all joint
interchanges in which the variables have certain bits, the worst has every variable at the row that
adds least (or most), each by itself.

Axes: as in `_batch`; `circuit` counts the circuits, of all networks one after the other.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xor_mi.circuits._batch import (
    FLOAT64_ROUNDING,
    SLOPES,
    JointReadings,
    Networks,
    Variables,
    marked,
    near,
    share_of,
)
from xor_mi.circuits._facts import PROOF_LEVELS
from xor_mi.circuits._readings import ROUNDING
from xor_mi.metrics import UNDECIDED
from xor_mi.truth import row_numbers, truth_rows

SAME_PLACE = 1e-9
"""A margin this close to the smallest that is asked for may be on either side of it by rounding.

Margins are shares of a unit's range, from 0 to 1.
"""


@dataclass(frozen=True)
class Circuits:
    """The circuits of all networks, without those that are not clear enough.

    Attributes:
        network: whose circuit it is, [circuit], ascending.
        reading: the number of its first joint reading, [circuit].
        circuit_of: the number of the circuit that a joint reading is one of; -1 where that one is
            not clear enough, [joint].
        stands_live: whether the unit stands for a variable that some output depends on,
            [circuit, unit].
        live: whether the unit is such a variable's, in any of its places, [circuit, unit].
        smallest_margin: of a live unit; infinite where there is none, [circuit].
        unsure: [network].
    """

    network: Tensor
    reading: Tensor
    circuit_of: Tensor
    stands_live: Tensor
    live: Tensor
    smallest_margin: Tensor
    unsure: Tensor


@dataclass(frozen=True)
class Proofs:
    """How far each circuit is proved.

    Attributes:
        n_right: how many single interchanges come out as predicted, [circuit].
        level: the place of its level of proof in `PROOF_LEVELS`, [circuit].
        unsure: [network].
    """

    n_right: Tensor
    level: Tensor
    unsure: Tensor


def circuits_of(
    networks: Networks,
    variables: Variables,
    joint: JointReadings,
    tables: Tensor,
    *,
    min_margin: float,
) -> Circuits:
    """Joint readings with the same live units, bits of these, and gates over them are one circuit.

    Args:
        tables: the outputs' gates under each joint reading, [joint, combination, decision].
        min_margin: circuits with a smaller margin of a live unit are left out.
    """
    essential = _essential(tables, joint.bits.shape[1])  # [joint, unit]
    bits = joint.bits & essential[..., None]
    # A table is over all units; it does not change with those that are not essential.
    content = [joint.network[:, None], essential, bits.flatten(1), tables.flatten(1)]
    rows = torch.cat([part.long() for part in content], dim=1)
    _, circuit_of = torch.unique(rows, dim=0, return_inverse=True)
    n_circuits = int(circuit_of.max()) + 1 if len(circuit_of) else 0
    first = torch.full((n_circuits,), len(rows)).scatter_reduce(
        0, circuit_of, torch.arange(len(rows)), "amin"
    )

    # where the unit that stands for a variable is live, so are all its places that are read
    network = joint.network[first]
    place = variables.first[network]  # [circuit, unit]
    live = essential[first].gather(1, place) & networks.connected[network]
    smallest = joint.margin[first].masked_fill(~live, torch.inf).amin(1)
    on_the_bound = (smallest - min_margin).abs() <= SAME_PLACE

    clear = (smallest >= min_margin).nonzero().flatten()
    renumbered = torch.full((n_circuits,), -1)
    renumbered[clear] = torch.arange(len(clear))
    return Circuits(
        network=network[clear],
        reading=first[clear],
        circuit_of=renumbered[circuit_of],
        stands_live=essential[first][clear],
        live=live[clear],
        smallest_margin=smallest[clear],
        unsure=marked(network[on_the_bound], len(networks.hidden)),
    )


def _essential(tables: Tensor, n_units: int) -> Tensor:
    """Whether some output depends on the unit, [joint, unit].

    A constant unit has one level, and a copy moves with the unit that stands for it, so no table
    depends on either.
    """
    essential = []
    for unit in range(n_units):
        # combinations are in the order of a truth table: the first unit is the most significant bit
        cube = tables.unflatten(1, (2**unit, 2, -1))
        off, on = cube.unbind(2)
        essential.append((off != on).flatten(1).any(1))
    return torch.stack(essential, dim=1)


def proofs(
    networks: Networks,
    variables: Variables,
    joint: JointReadings,
    circuits: Circuits,
    tables: Tensor,
) -> Proofs:
    """Every circuit, held against all interchanges.

    Args:
        joint: the circuits' first readings, one each.
        tables: the outputs' gates under these, [circuit, combination, decision].
    """
    # Only networks with a circuit; owner: each circuit's network among these, [circuit]
    numbers, owner = circuits.network.unique(return_inverse=True)
    sums = _Sums.of(networks.take(numbers), variables.take(numbers))
    n_right, unsure_single = _single(sums, joint, tables, owner)
    passes_joint, unsure_joint = _joint(sums, joint, tables, owner)
    n_single = sums.stands.sum(1) * joint.bits.shape[2] ** 2
    passes_single = n_right == n_single[owner]
    at_most_single = torch.where(
        passes_single, PROOF_LEVELS.index("single"), PROOF_LEVELS.index("substitution")
    )
    # single interchanges are joint ones too
    level = torch.where(passes_joint & passes_single, PROOF_LEVELS.index("joint"), at_most_single)
    unsure = marked(numbers[unsure_single | unsure_joint], len(networks.hidden))
    return Proofs(n_right=n_right, level=level, unsure=unsure)


@dataclass(frozen=True)
class _Sums:
    """What is added up to a score, variable by variable.

    Attributes:
        added: by the variable that the unit stands for, in all its places; zero for a unit that
            stands for none, [network, row, unit, decision].
        stands: whether the unit stands for a variable, [network, unit].
        scale: the largest distance to the threshold in any joint interchange, [network].
        rounding: distances below this may have either sign by rounding alone, [network].
    """

    networks: Networks
    added: Tensor
    stands: Tensor
    scale: Tensor
    rounding: Tensor

    @classmethod
    def of(cls, networks: Networks, variables: Variables) -> "_Sums":
        """Networks with their variables."""
        of_units = networks.hidden[..., None] * networks.readout.mT[:, None]
        units = torch.arange(variables.first.shape[1])
        # [network, unit, variable]: 1 where the unit is one of the variable's places
        places = (variables.first[..., None] == units).double()
        added = torch.einsum("nrud,nuv->nrvd", of_units, places)

        lowest = networks.readout_bias + added.amin(1).sum(1)
        highest = networks.readout_bias + added.amax(1).sum(1)
        far = _distance(networks, torch.stack([lowest, highest], dim=1)).abs()
        largest = networks.hidden.abs().amax(1)[:, None]  # [network, 1, unit]
        terms = (largest @ networks.sizes.mT).flatten(1) + networks.bias_sizes
        slope = SLOPES.get(networks.cfg.out_act_fn, 1.0)
        cut = abs(networks.cfg.rule.cut)
        return cls(
            networks=networks,
            added=added,
            stands=variables.stands,
            scale=far.flatten(1).amax(1),
            rounding=FLOAT64_ROUNDING * slope * (terms.amax(1) + cut),
        )

    def near_the_bound(self, distance: Tensor, owner: Tensor | None = None) -> Tensor:
        """Which distances rounding might move over the bound of what is decided.

        Args:
            distance: [network, ...], or with an owner [circuit, ...].
            owner: each circuit's network, [circuit].
        """
        share = self.share(distance, owner)
        rounding = _beside(self.rounding if owner is None else self.rounding[owner], distance)
        # what lies safely inside the bound is undecided, however large the terms
        by_terms = (distance.abs() <= rounding) & (share > ROUNDING / 2)
        return near(share, ROUNDING) | by_terms

    def share(self, distance: Tensor, owner: Tensor | None = None) -> Tensor:
        """Distances as a part of the largest one."""
        scale = self.scale if owner is None else self.scale[owner]
        return share_of(distance.abs(), _beside(scale, distance))


def _distance(networks: Networks, total: Tensor) -> Tensor:
    """Sums -> how far the scores are above the threshold, of the same shape."""
    return networks.activate(total) - networks.cfg.rule.cut


def _beside(numbers: Tensor, values: Tensor) -> Tensor:
    """One number for each of the leading axis -> with as many axes as the values."""
    return numbers.reshape(-1, *[1] * (values.dim() - 1))


def _single(
    sums: _Sums, joint: JointReadings, tables: Tensor, owner: Tensor
) -> tuple[Tensor, Tensor]:
    """How many single interchanges are as predicted, [circuit]; which networks are unsure."""
    n_circuits, n_units, n_rows = joint.bits.shape
    each_circuit = torch.arange(n_circuits)[:, None, None]
    on_rows = sums.networks.readout_bias[:, None] + sums.added.sum(2)  # [network, row, decision]
    n_right = torch.zeros(n_circuits, dtype=torch.long)
    unsure = torch.zeros(len(sums.scale), dtype=torch.bool)
    for unit in range(n_units):
        added = sums.added[:, :, unit]
        # the variable from every source, in the run on every base: [network, base, source, ...]
        total = (on_rows - added)[:, :, None] + added[:, None]
        distance = _distance(sums.networks, total)
        unsure |= sums.stands[:, unit] & sums.near_the_bound(distance).flatten(1).any(1)
        on_it = sums.share(distance) <= ROUNDING
        decided = torch.where(on_it, UNDECIDED, (distance > 0).long())
        # The same with bits, for the netlist: [circuit, unit, base, source]. It reads no copies.
        bits = joint.bits[:, :, :, None].repeat(1, 1, 1, n_rows)
        bits[:, unit] = joint.bits[:, unit, None, :]
        predicted = tables[each_circuit, row_numbers(bits.movedim(1, -1))]
        right = (predicted == decided[owner]).all(-1)  # [circuit, base, source]
        n_right += right.sum((1, 2)) * sums.stands[owner, unit]
    return n_right, unsure


def _joint(
    sums: _Sums, joint: JointReadings, tables: Tensor, owner: Tensor
) -> tuple[Tensor, Tensor]:
    """Whether all joint interchanges are as predicted, [circuit]; which networks are unsure."""
    n_units = joint.bits.shape[1]
    combinations = torch.tensor(truth_rows(n_units), dtype=torch.bool)
    bias = sums.networks.readout_bias[owner, None]  # [circuit, 1, decision]
    lowest = highest = bias.expand(-1, len(combinations), -1)
    for unit in range(n_units):
        added = sums.added[owner, :, unit]  # [circuit, row, decision]
        least = _at_each_bit(added, joint.bits[:, unit], "amin")
        most = _at_each_bit(added, joint.bits[:, unit], "amax")
        lowest = lowest + least[:, combinations[:, unit].long()]
        highest = highest + most[:, combinations[:, unit].long()]
    # how far the worst decision of each combination is on the side that is predicted
    networks = sums.networks
    on_its_side = torch.where(
        tables == 1, _distance(networks, lowest), -_distance(networks, highest)
    )
    worst = on_its_side.flatten(1).amin(1)
    unsure = marked(owner[sums.near_the_bound(worst, owner)], len(sums.scale))
    return worst > ROUNDING * sums.scale[owner], unsure


def _at_each_bit(added: Tensor, bits: Tensor, extreme: Literal["amin", "amax"]) -> Tensor:
    """The least or most that a variable adds on the rows with each bit, [circuit, bit, decision].

    Of a bit that it never has, being constant, on all rows.

    Args:
        added: [circuit, row, decision].
        bits: [circuit, row].
    """
    beyond = torch.inf if extreme == "amin" else -torch.inf
    found = []
    for has_it in (~bits, bits):
        rows = has_it | ~has_it.any(1, keepdim=True)
        masked = added.masked_fill(~rows[..., None], beyond)
        found.append(masked.amin(1) if extreme == "amin" else masked.amax(1))
    return torch.stack(found, dim=1)
