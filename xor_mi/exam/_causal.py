"""a Boolean function -> a causal model of it: variables between its inputs and its output.

A method that aligns a network with a causal model needs one, and a network does not come with one.
The choice depends only on the function, not on how its formula was written:

1. If the function depends only on how many inputs are 1, and changes twice or more as this number
grows, as XOR and parity do: a variable for each count at which it changes, "at least so many are
1". 2. If it depends only on this number and changes once, as the majority of three does: of the
inputs without the last, at least as many are 1, or one fewer and the last input (Pascal's rule for
thresholds). 3. If some inputs matter only through one bit, as x0 ^ x1 in (x0 ^ x1) & x2: that bit
is a variable (a simple disjunctive decomposition: Ashenhurst 1957). 4. Otherwise: a variable for
each prime implicant of two literals or more.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations, product, zip_longest
from typing import NamedTuple

from xor_mi.errors import XorMiError, require_at_most
from xor_mi.interventions import HighLevelModel
from xor_mi.truth import BooleanFunction

MAX_INPUTS = 6
"""The most inputs of a function of which a causal model is made."""


def causal_model(target: BooleanFunction) -> HighLevelModel:
    """The causal model with which networks are aligned; for several outputs, that of the first.

    >>> causal_model(BooleanFunction.named("XOR"))
    HighLevelModel(variables={'either': 'x0 | x1', 'both': 'x0 & x1'}, output='either & ~both', \
inputs=())
    >>> causal_model(BooleanFunction.of("(a ^ b) & c", None)).variables
    {'of_x0_x1': 'x0 ^ x1'}

    Raises:
        XorMiError: a function with no variable between its inputs and its output, such as AND, or a
            function of more than `MAX_INPUTS` inputs.
    """
    function = target.outputs[0]
    require_at_most(
        function.n_inputs,
        MAX_INPUTS,
        what="the inputs of a target of which a causal model is made",
        do="give an AlignedModel with a causal model of your own",
    )
    made = _of_counts(function) or _of_parts(function) or _of_implicants(function)
    if made is None:
        raise XorMiError(
            f"{function.name} has no variable between its inputs and its output, so there is "
            "nothing to align; take a target such as XOR"
        )
    return made


def _of_counts(function: BooleanFunction) -> HighLevelModel | None:
    """If the function counts its inputs: variables that say "at least so many are 1"."""
    n = function.n_inputs
    by_count: dict[int, set[int]] = {}
    for row, bit in zip(function.rows(), function.bits, strict=True):
        by_count.setdefault(sum(row), set()).add(bit)
    if any(len(bits) > 1 for bits in by_count.values()):
        return None
    bits = [by_count[count].copy().pop() for count in range(n + 1)]
    changes = [count for count in range(1, n + 1) if bits[count] != bits[count - 1]]
    if len(changes) >= 2:
        variables = {_name(count, n): _at_least(count, range(n)) for count in changes}
        return HighLevelModel(variables, _in_turns(list(variables), starts=bits[0]))
    if not changes or n < 3:
        return None
    (count,) = changes
    before_last = range(n - 1)
    named = {k: _name(k, n - 1) for k in (count - 1, count) if 1 <= k <= n - 1}
    variables = {name: _at_least(k, before_last) for k, name in named.items()}
    last = f"x{n - 1}"
    # at least 0 is always true, and at least n of n - 1 never is
    with_last = f"{named[count - 1]} & {last}" if count - 1 in named else last
    output = f"{named[count]} | {with_last}" if count in named else with_last
    return HighLevelModel(variables, output if bits[n] else f"~({output})")


def _name(count: int, n_inputs: int) -> str:
    if n_inputs == 2:
        return "either" if count == 1 else "both"
    return f"at_least_{count}"


def _at_least(count: int, inputs: Iterable[int]) -> str:
    """The formula of "at least so many of these inputs are 1"."""
    chosen = [" & ".join(f"x{k}" for k in some) for some in combinations(inputs, count)]
    return _any_of(chosen)


def _any_of(terms: Sequence[str]) -> str:
    """The formula of "one of these", with brackets around terms longer than a word."""
    if len(terms) == 1:
        return terms[0]
    return " | ".join(f"({term})" if " " in term else term for term in terms)


def _in_turns(names: Sequence[str], *, starts: int) -> str:
    """The formula that flips whenever one more of these becomes true, from its value at first."""
    # a stretch of ones begins with a variable, and ends with the next
    begins, ends = names[starts::2], list(names[1 - starts :: 2])
    stretches = [f"~{ends.pop(0)}"] if starts else []
    for begin, end in zip_longest(begins, ends):
        stretches.append(begin if end is None else f"{begin} & ~{end}")
    return _any_of(stretches)


class _Part(NamedTuple):
    """Inputs that matter only through one bit.

    Attributes:
        inputs: their numbers.
        bit: that bit, as a function of these inputs.
    """

    inputs: tuple[int, ...]
    bit: BooleanFunction


def _of_parts(function: BooleanFunction) -> HighLevelModel | None:
    """A variable for each of the disjoint sets of inputs that matter only through one bit."""
    parts: list[_Part] = []
    taken: set[int] = set()
    essential = function.essential_inputs
    for size in range(2, len(essential)):
        for inputs in combinations(essential, size):
            bit = None if taken & set(inputs) else _bit_of(function, inputs)
            if bit is not None:
                parts.append(_Part(inputs, bit))
                taken |= set(inputs)
    if not parts:
        return None
    variables = {
        "of_" + "_".join(f"x{k}" for k in part.inputs): part.bit.formula_over(
            [f"x{k}" for k in part.inputs]
        )
        for part in parts
    }
    direct = [k for k in essential if k not in taken]
    at = dict(zip(function.rows(), function.bits, strict=True))
    bits: list[int] = []
    for read in product((0, 1), repeat=len(parts) + len(direct)):
        row = [0] * function.n_inputs
        for part, wanted in zip(parts, read, strict=False):
            inside = part.bit.rows()[part.bit.bits.index(wanted)]
            for k, value in zip(part.inputs, inside, strict=True):
                row[k] = value
        for k, value in zip(direct, read[len(parts) :], strict=True):
            row[k] = value
        bits.append(at[tuple(row)])
    readout = BooleanFunction(len(parts) + len(direct), bits)
    return HighLevelModel(variables, readout.formula_over([*variables, *(f"x{k}" for k in direct)]))


def _bit_of(function: BooleanFunction, inputs: tuple[int, ...]) -> BooleanFunction | None:
    """The one bit through which these inputs matter, 0 where they are all 0; None without one."""
    at = dict(zip(function.rows(), function.bits, strict=True))
    others = [k for k in range(function.n_inputs) if k not in inputs]
    seen: list[tuple[int, ...]] = []
    for inside in product((0, 1), repeat=len(inputs)):
        of_others: list[int] = []
        for outside in product((0, 1), repeat=len(others)):
            row = dict(zip((*inputs, *others), (*inside, *outside), strict=True))
            of_others.append(at[tuple(row[k] for k in range(function.n_inputs))])
        seen.append(tuple(of_others))
    if len(set(seen)) != 2:
        return None
    return BooleanFunction(len(inputs), [int(one != seen[0]) for one in seen])


def _of_implicants(function: BooleanFunction) -> HighLevelModel | None:
    """A variable for each prime implicant of two literals or more."""
    terms: list[str] = []
    variables: dict[str, str] = {}
    for cube in _prime_implicants(function):
        literals = [f"x{k}" if bit else f"~x{k}" for k, bit in enumerate(cube) if bit is not None]
        if len(literals) < 2:
            terms += literals
            continue
        name = f"term_{len(variables)}"
        variables[name] = " & ".join(literals)
        terms.append(name)
    # a single term would be the output itself
    return HighLevelModel(variables, " | ".join(terms)) if variables and len(terms) > 1 else None


Cube = tuple[int | None, ...]
"""A product of literals: 1, 0, or None for an input that may be either."""


def _prime_implicants(function: BooleanFunction) -> list[Cube]:
    """The products that imply the function and lose that if any literal is left out."""
    ones = [row for row, bit in zip(function.rows(), function.bits, strict=True) if bit]
    zeros = [row for row, bit in zip(function.rows(), function.bits, strict=True) if not bit]

    def implies(cube: Cube) -> bool:
        return bool(ones) and not any(_contains(cube, row) for row in zeros)

    cubes = [cube for cube in product((1, 0, None), repeat=function.n_inputs) if implies(cube)]
    return [cube for cube in cubes if not any(implies(wider) for wider in _without_one(cube))]


def _contains(cube: Cube, row: Sequence[int]) -> bool:
    return all(bit is None or bit == value for bit, value in zip(cube, row, strict=True))


def _without_one(cube: Cube) -> list[Cube]:
    places = [k for k, bit in enumerate(cube) if bit is not None]
    return [(*cube[:k], None, *cube[k + 1 :]) for k in places]
