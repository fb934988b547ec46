"""joint readings of many networks -> their circuits, and how far each is proved, as tensors.

The rules of `identify_circuit` after its joint readings: readings that agree on the live units are
one circuit, and a circuit is compared with every single interchange and every joint one. Joint
interchanges of the last hidden layer are not run: a score is one sum of its units, and the function
of that sum is increasing. So of all joint interchanges in which the variables have certain bits,
the worst takes every variable from the row on which that variable adds least (or most), whatever
the others do.

Axes: as in `_batch_readings`; `circuit` counts the circuits, of all networks one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xor_mi.circuits._batch import (
    Networks,
    Rounding,
    Variables,
    interchanged,
    joint_rows,
    marked,
    near_the_threshold,
    share_of,
)
from xor_mi.circuits._batch_readings import NUMBERS_AT_ONCE, JointReadings
from xor_mi.circuits._facts import PROOF_LEVELS
from xor_mi.circuits._readings import ROUNDING
from xor_mi.metrics import UNDECIDED
from xor_mi.truth import row_numbers, truth_rows

SAME_PLACE = 1e-9
"""A margin this close to `min_margin` may be on either side of it by rounding.

Margins are shares of a unit's range, from 0 to 1.
"""
BITS_PER_NUMBER = 62
"""So many bits are kept in one whole number."""


@dataclass(frozen=True)
class Circuits:
    """The circuits of all networks, without those that are not clear enough.

    Attributes:
        network: whose circuit it is, [circuit], ascending.
        reading: the number of its first joint reading, [circuit].
        circuit_of: the number of the circuit that a joint reading is one of; -1 where that one is
            not clear enough, [joint].
        live_tables: per hidden layer, and of the decisions: the gates of the live units, with
            constant units put in, [circuit, combination, unit]; FALSE for those that are not live.
        n_variables: how many live units there are, copies counted once, [circuit].
        live: per hidden layer, whether the unit is a live variable's, in any of its places,
            [circuit, unit].
        smallest_margin: of a live unit; infinite where there is none, [circuit].
        unsure: [network].
    """

    network: Tensor
    reading: Tensor
    circuit_of: Tensor
    live_tables: tuple[Tensor, ...]
    n_variables: Tensor
    live: tuple[Tensor, ...]
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
    variables: Sequence[Variables],
    joint: JointReadings,
    tables: Sequence[Tensor],
    *,
    min_margin: float,
) -> Circuits:
    """Joint readings with the same live units and the same gates of these are one circuit.

    Args:
        tables: of every hidden layer but the first and of the decisions, as `netlists` gives them.
        min_margin: circuits with a smaller margin of a live unit are left out.
    """
    n_joint = len(joint.network)
    stands_live, live_tables = _live([joint.layers[0].bits.mT, *tables])
    # A table is over all units; it does not change with those that are not live.
    content = [*stands_live, *(table.flatten(1) for table in live_tables)]
    rows = torch.cat([joint.network[:, None], packed(torch.cat(content, dim=1))], dim=1)
    _, circuit_of = torch.unique(rows, dim=0, return_inverse=True)
    n_circuits = int(circuit_of.max()) + 1 if n_joint else 0
    first = torch.full((n_circuits,), n_joint).scatter_reduce(
        0, circuit_of, torch.arange(n_joint), "amin"
    )

    # where the unit that stands for a variable is live, so are all its places that are read
    network = joint.network[first]
    live, smallest = [], torch.full((n_circuits,), torch.inf, dtype=torch.float64)
    for layer, of_layer in enumerate(variables):
        place = of_layer.first[network]  # [circuit, unit]
        is_live = stands_live[layer][first].gather(1, place) & networks.connected[layer][network]
        live.append(is_live)
        # a constant unit has no margin
        margin = joint.layers[layer].margin[first].nan_to_num(torch.inf, posinf=torch.inf)
        smallest = torch.minimum(smallest, margin.masked_fill(~is_live, torch.inf).amin(1))
    on_the_bound = (smallest - min_margin).abs() <= SAME_PLACE

    clear = (smallest >= min_margin).nonzero().flatten()
    renumbered = torch.full((n_circuits,), -1)
    renumbered[clear] = torch.arange(len(clear))
    first_clear = first[clear]
    return Circuits(
        network=network[clear],
        reading=first_clear,
        circuit_of=renumbered[circuit_of],
        live_tables=tuple(table[first_clear] for table in live_tables),
        n_variables=torch.stack([one[first_clear].sum(1) for one in stands_live]).sum(0),
        live=tuple(one[clear] for one in live),
        smallest_margin=smallest[clear],
        unsure=marked(network[on_the_bound], len(networks.sure)),
    )


def packed(bits: Tensor) -> Tensor:
    """Many bits as few whole numbers, [..., bit] -> [..., number]; equal only for equal bits."""
    return torch.stack([row_numbers(some) for some in bits.split(BITS_PER_NUMBER, -1)], dim=-1)


def _live(tables: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Which units stand for a variable that some decision depends on, [joint, unit] per layer.

    Also the gates of these and of the decisions, constant units put in; FALSE for all others.

    Args:
        tables: per hidden layer, and of the decisions, [joint, combination, unit].
    """
    folded = [tables[0]]
    for layer, table in enumerate(tables[1:], start=1):
        # of the first layer a constant unit has one level, so no table depends on it
        folded.append(table if layer == 1 else _with_constants(table, folded[-1]))
    # from the decisions back: what the live units of a layer read is live in the layer before
    live: list[Tensor] = []
    reads = torch.ones_like(folded[-1][:, 0])
    kept = [folded[-1]]
    for layer in reversed(range(len(tables) - 1)):
        reads = (_essential(folded[layer + 1]) & reads[:, None]).any(2)
        live.insert(0, reads)
        kept.insert(0, folded[layer] & reads[:, None])
    return live, kept


def _essential(table: Tensor) -> Tensor:
    """Which parents each unit depends on, [joint, combination, unit] -> [joint, parent, unit].

    A copy moves with the unit that stands for it, so no table depends on it.
    """
    n_parents = table.shape[1].bit_length() - 1
    essential = []
    for parent in range(n_parents):
        # combinations are in the order of a truth table: the first is the most significant bit
        off, on = table.unflatten(1, (2**parent, 2, -1)).unbind(2)
        essential.append((off != on).flatten(1, 2).any(1))
    return torch.stack(essential, dim=1)


def _with_constants(table: Tensor, before: Tensor) -> Tensor:
    """The gates of a layer with every parent that never changes at its bit.

    Args:
        table: [joint, combination, unit].
        before: the bits of the parents, [joint, place, parent].
    """
    constant = (before == before[:, :1]).all(1)  # [joint, parent]
    for parent in range(before.shape[2]):
        cube = table.unflatten(1, (2**parent, 2, -1))
        its_bit = before[:, 0, parent, None, None, None, None]
        at_it = torch.where(its_bit, cube[:, :, 1:], cube[:, :, :1])
        held = constant[:, parent, None, None, None, None]
        table = torch.where(held, at_it, cube).flatten(1, 3)
    return table


def proofs(
    networks: Networks,
    variables: Sequence[Variables],
    joint: JointReadings,
    circuits: Circuits,
    tables: Sequence[Tensor],
    rounding: Rounding,
) -> Proofs:
    """Every circuit, tested by all interchanges.

    Args:
        joint: the circuits' first readings, one each.
        tables: the gates under these, as `netlists` gives them.
    """
    # Only networks with a circuit; owner: each circuit's network among these, [circuit]
    numbers, owner = circuits.network.unique(return_inverse=True)
    some = networks.take(numbers)
    units = [of_layer.take(numbers) for of_layer in variables]
    error = rounding.scores[numbers].flatten(1).amax(1)
    n_rows = len(networks.goal)
    n_right = torch.zeros(len(owner), dtype=torch.long)
    n_single = torch.zeros(len(numbers), dtype=torch.long)
    passes_joint = torch.ones(len(owner), dtype=torch.bool)
    unsure = torch.zeros(len(numbers), dtype=torch.bool)
    for layer, of_layer in enumerate(units):
        n_single += of_layer.stands.sum(1) * n_rows**2
        bits, later = joint.layers[layer].bits, tables[layer:]
        if layer == networks.n_layers - 1:
            sums = _Sums.of(some, of_layer, error)
            right, unsure_single = _single(sums, bits, later[0], owner)
            passes, unsure_joint = _joint(sums, bits, later[0], owner)
        else:
            runs = _Runs.of(some, layer, of_layer, error)
            right, unsure_single = _single_run(runs, bits, later, owner)
            passes, unsure_joint = _joint_run(runs, bits, later, owner)
        n_right += right
        passes_joint &= passes
        unsure |= unsure_single | unsure_joint
    passes_single = n_right == n_single[owner]
    at_most_single = torch.where(
        passes_single, PROOF_LEVELS.index("single"), PROOF_LEVELS.index("substitution")
    )
    # single interchanges are joint ones too
    level = torch.where(passes_joint & passes_single, PROOF_LEVELS.index("joint"), at_most_single)
    return Proofs(n_right=n_right, level=level, unsure=marked(numbers[unsure], len(networks.sure)))


def _decided(distance: Tensor, scale: Tensor) -> Tensor:
    """Distances to the threshold -> bits; UNDECIDED on it, up to rounding."""
    on_it = share_of(distance.abs(), scale) <= ROUNDING
    return torch.where(on_it, UNDECIDED, (distance > 0).long())


def _beside(numbers: Tensor, values: Tensor) -> Tensor:
    """One number for each of the leading axis -> with as many axes as the values."""
    return numbers.reshape(-1, *[1] * (values.dim() - 1))


@dataclass(frozen=True)
class _Runs:
    """A layer that is not the last, whose interchanges are run through the rest of the network.

    Attributes:
        scale: the largest distance to the threshold in any joint interchange, [network].
        decided: in these, [network, run, decision].
        unsure: where rounding might decide one of them, [network].
        error: how far rounding may move a distance, [network].
    """

    networks: Networks
    layer: int
    variables: Variables
    scale: Tensor
    decided: Tensor
    unsure: Tensor
    error: Tensor

    @classmethod
    def of(cls, networks: Networks, layer: int, variables: Variables, error: Tensor) -> "_Runs":
        """All joint interchanges, run."""
        values = interchanged(networks.hidden[layer], variables, move_constants=True)
        distance = networks.outputs(values, layer=layer) - networks.cfg.rule.cut
        scale = distance.flatten(1).abs().amax(1)
        beside = _beside(scale, distance)
        close = near_the_threshold(distance, beside, _beside(error, distance))
        return cls(
            networks=networks,
            layer=layer,
            variables=variables,
            scale=scale,
            decided=_decided(distance, beside),
            unsure=close.flatten(1).any(1),
            error=error,
        )


def _single_run(
    runs: _Runs, bits: Tensor, tables: Sequence[Tensor], owner: Tensor
) -> tuple[Tensor, Tensor]:
    """How many single interchanges are as predicted, [circuit]; which networks are unsure.

    Args:
        bits: of the layer's units under each circuit, [circuit, unit, row].
        tables: of all later layers.
    """
    networks, hidden = runs.networks, runs.networks.hidden[runs.layer]
    n_circuits, n_units, n_rows = bits.shape
    n_right = torch.zeros(n_circuits, dtype=torch.long)
    unsure = torch.zeros(len(runs.scale), dtype=torch.bool)
    for unit in range(n_units):
        # the variable from every source, in all its places, in the run on every base
        moves = (runs.variables.first == unit)[:, None, None]
        values = torch.where(moves, hidden[:, None], hidden[:, :, None])
        distance = networks.outputs(values, layer=runs.layer) - networks.cfg.rule.cut
        scale, error = (_beside(one, distance) for one in (runs.scale, runs.error))
        close = near_the_threshold(distance, scale, error).flatten(1).any(1)
        stands = runs.variables.stands[:, unit]
        unsure |= stands & close
        decided = _decided(distance, scale)  # [network, base, source, decision]
        of_bases = bits.mT[:, :, None].repeat(1, 1, n_rows, 1)  # [circuit, base, source, unit]
        of_bases[..., unit] = bits[:, unit, None]
        predicted = _run_on(of_bases.flatten(1, 2), tables).unflatten(1, (n_rows, n_rows))
        right = (predicted == decided[owner]).all(-1)
        n_right += right.sum((1, 2)) * stands[owner]
    return n_right, unsure


def _joint_run(
    runs: _Runs, bits: Tensor, tables: Sequence[Tensor], owner: Tensor
) -> tuple[Tensor, Tensor]:
    """Whether all joint interchanges are as predicted, [circuit]; which networks are unsure.

    Args:
        bits, tables: as for `_single_run`.
    """
    n_circuits, n_units, n_rows = bits.shape
    sources = joint_rows(n_rows, n_units)
    n_numbers = len(sources) * max(n_units, *(table.shape[2] for table in tables))
    passes = []
    for part in torch.arange(n_circuits).split(max(1, NUMBERS_AT_ONCE // n_numbers)):
        # a copy has the bit of what stands for it, and no gate reads it
        taken = bits[part].mT.gather(1, sources.expand(len(part), -1, -1))
        predicted = _run_on(taken, [table[part] for table in tables])
        agreed = (predicted == runs.decided[owner[part]]).all(2)
        passes.append(agreed.all(1))
    return torch.cat(passes) if passes else torch.ones(0, dtype=torch.bool), runs.unsure


def _run_on(bits: Tensor, tables: Sequence[Tensor]) -> Tensor:
    """Bits of a layer's units [circuit, run, unit] -> decisions, by the gates after it."""
    for table in tables:
        rows = row_numbers(bits)[..., None].expand(-1, -1, table.shape[2])
        bits = table.gather(1, rows)
    return bits


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
    def of(cls, networks: Networks, variables: Variables, rounding: Tensor) -> "_Sums":
        """Networks with the variables of their last hidden layer."""
        of_units = networks.hidden[-1][..., None] * networks.readout.mT[:, None]
        units = torch.arange(variables.first.shape[1])
        # [network, unit, variable]: 1 where the unit is one of the variable's places
        places = (variables.first[..., None] == units).double()
        added = torch.einsum("nrud,nuv->nrvd", of_units, places)

        lowest = networks.readout_bias + added.amin(1).sum(1)
        highest = networks.readout_bias + added.amax(1).sum(1)
        far = _distance(networks, torch.stack([lowest, highest], dim=1)).abs()
        return cls(
            networks=networks,
            added=added,
            stands=variables.stands,
            scale=far.flatten(1).amax(1),
            rounding=rounding,
        )

    def near_the_bound(self, distance: Tensor, owner: Tensor | None = None) -> Tensor:
        """Which distances rounding might move over the bound of what is decided.

        Args:
            distance: [network, ...], or with an owner [circuit, ...].
            owner: each circuit's network, [circuit].
        """
        scale, rounding = self.scale, self.rounding
        if owner is not None:
            scale, rounding = scale[owner], rounding[owner]
        return near_the_threshold(distance, _beside(scale, distance), _beside(rounding, distance))


def _distance(networks: Networks, total: Tensor) -> Tensor:
    """Sums -> how far the scores are above the threshold, of the same shape."""
    return networks.activate(total) - networks.cfg.rule.cut


def _single(sums: _Sums, of_bits: Tensor, tables: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """How many single interchanges are as predicted, [circuit]; which networks are unsure.

    Args:
        of_bits: of the last hidden layer's units, [circuit, unit, row].
        tables: of the decisions, [circuit, combination, decision].
    """
    n_circuits, n_units, _ = of_bits.shape
    each_circuit = torch.arange(n_circuits)[:, None, None]
    on_rows = sums.networks.readout_bias[:, None] + sums.added.sum(2)  # [network, row, decision]
    n_right = torch.zeros(n_circuits, dtype=torch.long)
    unsure = torch.zeros(len(sums.scale), dtype=torch.bool)
    number = row_numbers(of_bits.mT)  # [circuit, row]
    for unit in range(n_units):
        added = sums.added[:, :, unit]
        # the variable from every source, in the run on every base: [network, base, source, ...]
        total = (on_rows - added)[:, :, None] + added[:, None]
        distance = _distance(sums.networks, total)
        unsure |= sums.stands[:, unit] & sums.near_the_bound(distance).flatten(1).any(1)
        decided = _decided(distance, _beside(sums.scale, distance))
        # The same with bits, for the netlist: [circuit, base, source]. It reads no copies.
        own = of_bits[:, unit].long() * 2 ** (n_units - 1 - unit)
        predicted = tables[each_circuit, (number - own)[:, :, None] + own[:, None]]
        right = (predicted == decided[owner]).all(-1)  # [circuit, base, source]
        n_right += right.sum((1, 2)) * sums.stands[owner, unit]
    return n_right, unsure


def _joint(sums: _Sums, bits: Tensor, tables: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Whether all joint interchanges are as predicted, [circuit]; which networks are unsure.

    Args:
        bits, tables: as for `_single`.
    """
    n_circuits, n_units, _ = bits.shape
    n_numbers = 2**n_units * sums.added.shape[3]
    worst = []
    for part in torch.arange(n_circuits).split(max(1, NUMBERS_AT_ONCE // n_numbers)):
        worst.append(_worst(sums, bits[part], tables[part], owner[part]))
    of_circuits = torch.cat(worst) if worst else sums.scale[:0]
    unsure = marked(owner[sums.near_the_bound(of_circuits, owner)], len(sums.scale))
    return of_circuits > ROUNDING * sums.scale[owner], unsure


def _worst(sums: _Sums, bits: Tensor, tables: Tensor, owner: Tensor) -> Tensor:
    """How far the worst decision of any joint interchange is on its side, [circuit]."""
    n_units = bits.shape[1]
    if sums.networks.n_layers > 1:
        # a constant unit keeps its bit in every interchange of its own layer
        tables = _with_constants(tables, bits.mT)
    combinations = torch.tensor(truth_rows(n_units), dtype=torch.bool)
    bias = sums.networks.readout_bias[owner, None]  # [circuit, 1, decision]
    lowest = highest = bias.expand(-1, len(combinations), -1)
    for unit in range(n_units):
        added = sums.added[owner, :, unit]  # [circuit, row, decision]
        least = _at_each_bit(added, bits[:, unit], "amin")
        most = _at_each_bit(added, bits[:, unit], "amax")
        lowest = lowest + least[:, combinations[:, unit].long()]
        highest = highest + most[:, combinations[:, unit].long()]
    # how far the worst decision of each combination is on the side that is predicted
    networks = sums.networks
    on_its_side = torch.where(tables, _distance(networks, lowest), -_distance(networks, highest))
    return on_its_side.flatten(1).amin(1)


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
