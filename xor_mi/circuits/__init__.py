"""a network -> which unit acts as which gate, proved; or why none does.

    values -> readings of each unit -> joint readings that survive substitution -> measured netlist
    -> circuits, counted on their live units -> interchange -> verdict

A *reading* of a unit is a threshold strictly between two neighbouring distinct values it takes on
the input rows; its bits say on which rows the unit is above it. relu(x0 + x1) takes 0, 1, 1, 2, so
it reads as OR at a low threshold and as AND at a high one: its values alone do not settle its gate;
the whole network does. Units of a layer whose values are copies of one another, up to scale, sign
and shift, are one *variable* in several places: they are read alike and moved together. A *joint
reading* gives every unit one reading. It survives *substitution* if it is

- faithful: in each hidden layer in turn, replacing every unit by its two mean levels leaves every
  decision unchanged;
- consistent: every unit's bits are a function of the bits of the layer before;
- composed: the local gates, measured by setting the layer before to *every* combination of its
  levels (not only those that inputs produce, so there are no don't-cares to fill in), give every
  unit the bits it is read as, and the network's decisions, on all rows.

A *circuit* is a netlist on its live units, those that some output depends on; readings that differ
in idle units only are one circuit. It is proved by interchange (Geiger et al. 2025, arXiv
2301.04709), and each level of proof implies the one before:

- `substitution`: as above;
- `single`: with one variable taken from another row, for every variable and all pairs of rows, the
  network decides as the netlist does with that bit taken from there;
- `joint`: the same with all variables of a layer taken from other rows at once, each from its own
  row.

The verdict counts circuits that are proved as far as `require` says, by default jointly. Exactly
one: `identified`. Several: `ambiguous`, all listed, with what tells each apart from the first
(`Circuit.differences`: a unit, an interchange, an input between the rows; of circuits that pass
all joint interchanges no input is decided differently). None, although some survive substitution:
`approximate`, with the closest circuit, the number of interchanges on which it is right, and the
first interchange that contradicts it. If no circuit survives: `no_gate_reading`, with the layer,
units and rows at which the search stops (`Circuit.obstacle`) and the gates of the units that have
only one reading. A network that does not compute its target: `not_computing`, with what it does
compute, and with any single change of reading (input levels, threshold, argmax, the side of a step,
transposed weights, ...) under which it would compute it; see `diagnose`.

A unit that uses three levels, such as a count of two inputs or tanh at -1, 0 and 1, may have no
reading with two levels. If no circuit of two levels is proved far enough, `identify_circuit(...,
levels=3)` reads units with two cuts as well, and tests these readings in the same way:
`Circuit.ordered`, by `ordered_circuits`. A gate's table is over every combination of its parents'
levels, such as 'h0.0 = 1' for XOR by a count, and both cuts of a live unit must matter to some
output. The verdict stays that of two levels. A network of one hidden layer has at most one circuit
that passes joint interchange, however many levels are allowed: two values of a unit are at one
level exactly if no decision changes when the one takes the place of the other. So a third level
describes what the network does, but is weak evidence that training made it: networks that were
never trained have such circuits too, somewhat more rarely.

Where the inputs are connected to the outputs too, an output's gate reads them after the last
layer's units, and the inputs keep their values while a layer is replaced. Two outputs of which the
larger wins are one decision with one gate, which is listed with the output that wins at 1. Steps
whose sum is exactly zero on some row are `Circuit.on_step`.

A layer may have up to 16 units. A unit that has one value or two on the rows has one reading, so
only the other units multiply the joint readings. Exact bounds on what the units still to come can
add exclude most joint readings of a layer before they are tried. Where no bound helps, because an
activation falls somewhere, up to 2,000,000 of them are tried. All that survive are counted and then
listed, and that is the limit: 40,000 joint readings if gates read 10 units, 20,000 for 11, 10,000
for 12, at one to two milliseconds each. Of 10 units of tanh with three readings each, 3^10 / 2 =
29,525 or fewer survive as a rule; of 11 units 64,000 may. Of 120 trained ReLU networks with 16
units, 95 have fewer than 10,000. In a gate that reads more than 12 units, the units with one value
are left out; if more than 12 are left, the gate has a table but no formula. Wider layers:
`scan_gates`, `patch_sweep`, `ablation_sweep` and `contributions` have no such limit. Up to 65,536
joint interchanges of a layer are run. If there are more, a seeded sample is run, and the result
says so. The last hidden layer needs no sample, because the worst of all its interchanges is known
in closed form.
"""

from xor_mi.circuits._apart import Difference as Difference
from xor_mi.circuits._candidates import CandidateCircuit as CandidateCircuit
from xor_mi.circuits._candidates import IdleUnit as IdleUnit
from xor_mi.circuits._circuit import VERDICTS as VERDICTS
from xor_mi.circuits._circuit import ActsAs as ActsAs
from xor_mi.circuits._circuit import Circuit as Circuit
from xor_mi.circuits._circuit import CircuitUnit as CircuitUnit
from xor_mi.circuits._controls import ControlRate as ControlRate
from xor_mi.circuits._controls import ControlRates as ControlRates
from xor_mi.circuits._diagnose import Diagnosis as Diagnosis
from xor_mi.circuits._diagnose import ReadingChange as ReadingChange
from xor_mi.circuits._diagnose import diagnose as diagnose
from xor_mi.circuits._evidence import Evidence as Evidence
from xor_mi.circuits._evidence import Proof as Proof
from xor_mi.circuits._evidence import RedundancyGroup as RedundancyGroup
from xor_mi.circuits._evidence import SubsetAblation as SubsetAblation
from xor_mi.circuits._facts import PROOF_LEVELS as PROOF_LEVELS
from xor_mi.circuits._facts import Failing as Failing
from xor_mi.circuits._facts import InterchangeCount as InterchangeCount
from xor_mi.circuits._facts import LookedAt as LookedAt
from xor_mi.circuits._facts import ProofLevel as ProofLevel
from xor_mi.circuits._facts import TellingInput as TellingInput
from xor_mi.circuits._facts import TellingInterchange as TellingInterchange
from xor_mi.circuits._facts import Verdict as Verdict
from xor_mi.circuits._identify import control_rates as control_rates
from xor_mi.circuits._identify import identify_circuit as identify_circuit
from xor_mi.circuits._levels import OrderedReading as OrderedReading
from xor_mi.circuits._netlist import JointReading as JointReading
from xor_mi.circuits._netlist import LocalGate as LocalGate
from xor_mi.circuits._one_line import Summary as Summary
from xor_mi.circuits._one_line import summarize as summarize
from xor_mi.circuits._ordered import OrderedCircuit as OrderedCircuit
from xor_mi.circuits._ordered import OrderedCircuits as OrderedCircuits
from xor_mi.circuits._ordered import OrderedGate as OrderedGate
from xor_mi.circuits._ordered_search import ordered_circuits as ordered_circuits
from xor_mi.circuits._readings import MIN_MARGIN as MIN_MARGIN
from xor_mi.circuits._readings import ROUNDING as ROUNDING
from xor_mi.circuits._readings import Reading as Reading
from xor_mi.circuits._readings import unit_readings as unit_readings
from xor_mi.circuits._shortfall import Shortfall as Shortfall
from xor_mi.circuits._signature import family_of as family_of
from xor_mi.circuits._signature import live_units as live_units
from xor_mi.circuits._signature import signature_of as signature_of
from xor_mi.circuits._summary import identify_many as identify_many
from xor_mi.circuits._tables import MAX_UNITS as MAX_UNITS
from xor_mi.circuits._told import Contradiction as Contradiction
from xor_mi.circuits._told import Obstacle as Obstacle
from xor_mi.circuits._told import OnStep as OnStep
