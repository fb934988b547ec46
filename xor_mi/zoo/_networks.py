"""the table of the zoo: its networks, their purposes, and the circuits that they must have."""

from dataclasses import dataclass
from pathlib import Path

from xor_mi.kinds import ActivationName, Target
from xor_mi.truth import BooleanFunction

DATA = Path(__file__).parent / "data"
"""The folder of the networks, with one folder for each."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """One entry of the table.

    Attributes:
        target: a gate of two inputs, or a function of more.
        hidden, act_fn, seed: as in `train`; all other settings are `TrainConfig`'s defaults.
        gates: the gates that the hidden units must have, layer by layer, in a circuit that is
            identified and whose claims all hold; empty if the network must not compute its target.
        purpose: what the network is for.
        trained: False keeps the weights that the seed draws.
    """

    name: str
    target: Target
    hidden: tuple[int, ...]
    act_fn: ActivationName
    seed: int
    gates: tuple[str, ...]
    purpose: str
    trained: bool = True


_PARITY = BooleanFunction.named("XOR", 3)
_FEW = "~((x0 & x1) ^ (x0 & x2) ^ (x1 & x2))"  # fewer than two of the three inputs
_NOT_ONE = "~(x0 ^ x1 ^ x2 ^ (x0 & x1 & x2))"  # not exactly one of them

# The seed is the smallest that gives such a circuit, with units in any order, found by a search;
# untrained has the seed of or-and.
NETWORKS = (
    Network(
        name="or-and",
        target="XOR",
        hidden=(2,),
        act_fn="relu",
        seed=29,
        gates=("OR", "AND"),
        purpose="OR and not AND, the textbook solution",
    ),
    Network(
        name="nor-and",
        target="XOR",
        hidden=(2,),
        act_fn="relu",
        seed=2,
        gates=("NOR", "AND"),
        purpose="neither NOR nor AND: or-and with the OR unit complemented",
    ),
    Network(
        name="or-nand",
        target="XOR",
        hidden=(2,),
        act_fn="sigmoid",
        seed=91,
        gates=("OR", "NAND"),
        purpose="OR and NAND; two relu units cannot carry this pair",
    ),
    Network(
        name="nor-nand",
        target="XOR",
        hidden=(2,),
        act_fn="relu",
        seed=46,
        gates=("NOR", "NAND"),
        purpose="NAND and not NOR: or-and with both units complemented",
    ),
    Network(
        name="gt-lt",
        target="XOR",
        hidden=(2,),
        act_fn="relu",
        seed=5,
        gates=("x1>x0", "x0>x1"),
        purpose="x0>x1 or x0<x1: one unit for each row that is 1",
    ),
    Network(
        name="ge-gt",
        target="XOR",
        hidden=(2,),
        act_fn="relu",
        seed=15,
        gates=("x0>=x1", "x0>x1"),
        purpose="x0>x1 or not x0>=x1: gt-lt with its lt complemented",
    ),
    Network(
        name="le-lt",
        target="XOR",
        hidden=(2,),
        act_fn="relu",
        seed=11,
        gates=("x1>x0", "x1>=x0"),
        purpose="x0<x1 or not x0<=x1: gt-lt with its gt complemented",
    ),
    Network(
        name="ge-le",
        target="XOR",
        hidden=(2,),
        act_fn="tanh",
        seed=11,
        gates=("x1>=x0", "x0>=x1"),
        purpose="not both x0>=x1 and x0<=x1; two relu units cannot carry this pair",
    ),
    Network(
        name="redundant-4",
        target="XOR",
        hidden=(4,),
        act_fn="relu",
        seed=66,
        gates=("NOR", "NOR", "AND", "AND"),
        purpose="nor-and, each unit twice: either copy will do",
    ),
    Network(
        name="dead-4",
        target="XOR",
        hidden=(4,),
        act_fn="relu",
        seed=4,
        gates=("FALSE", "NOR", "FALSE", "AND"),
        purpose="nor-and beside two dead units, constant on every row",
    ),
    Network(
        name="untrained",
        target="XOR",
        hidden=(2,),
        act_fn="relu",
        seed=29,
        gates=(),
        purpose="the weights that or-and was trained from: nothing to find",
        trained=False,
    ),
    Network(
        name="unsolved",
        target="XOR",
        hidden=(2,),
        act_fn="relu",
        seed=0,
        gates=(),
        purpose="trained, but XOR is not solved: no gate may be claimed",
    ),
    Network(
        name="parity-3",
        target=_PARITY,
        hidden=(3,),
        act_fn="tanh",
        seed=4,
        gates=("NOR", _FEW, "AND"),
        purpose="3-bit parity by counting the ones: at least 1, 2, 3",
    ),
    Network(
        name="deep-parity-3",
        target=_PARITY,
        hidden=(3, 2),
        act_fn="sigmoid",
        seed=3,
        gates=(_FEW, "NAND", "NOR", _NOT_ONE, "AND"),
        purpose="counts the ones, then: one, or all",
    ),
    Network(
        name="deep-xor",
        target="XOR",
        hidden=(2, 2, 2),
        act_fn="relu",
        seed=8,
        gates=("AND", "OR", "XNOR", "FALSE", "XOR", "FALSE"),
        purpose="not XOR, then XOR; two dead",
    ),
)
