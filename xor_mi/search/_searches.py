"""one network -> its searches under several conventions, each made once and looked up from then on.

Counting, comparing and examining need the same subcircuits, interpretations and alignments; they
get them here.
"""

from xor_mi.errors import XorMiError
from xor_mi.kinds import Target
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.progress import progress_bar
from xor_mi.search._alignments import (
    AlignmentSearch,
    Placements,
    align,
    formulas_of,
    placements_of,
    require_few_sets,
)
from xor_mi.search._convention import Convention, PairSet
from xor_mi.search._counting import count_perfect
from xor_mi.search._formulas import TooManyFormulas
from xor_mi.search._interpretations import n_interpretations_of_all
from xor_mi.search._problem import Problem
from xor_mi.search._subcircuits import (
    MAX_LISTED,
    SubcircuitSearch,
    count_subcircuits,
    search_subcircuits,
)

MAX_EXAMINED = 2_000
"""If there are more perfect subcircuits than this, they are counted, but not examined one by one
and not interpreted.
"""


class SearchStopped(KeyboardInterrupt):
    """Ctrl-C in the middle of a search; `search` has what was found until then."""

    def __init__(self, search: SubcircuitSearch) -> None:
        super().__init__(str(search))
        self.search = search


class Searches:
    """One network's searches: each is made when it is first asked for, and only once."""

    def __init__(
        self,
        model: HookedMLP,
        target: Target | None,
        *,
        depth: int,
        output: int,
        progress: bool,
    ) -> None:
        require_plain_mlp(model, "a count of explanations")
        model.require_no_direct("a count of explanations")
        self.model, self.target = model, target
        self.depth, self.progress = depth, progress
        self.output = model.require_output(output)
        self.n_subcircuits = count_subcircuits(model.layer_sizes)
        self._problems: dict[Convention, Problem] = {}
        self._n_perfect: dict[Convention, int] = {}
        self._subcircuits: dict[Convention, SubcircuitSearch] = {}
        self._n_interpretations: dict[Convention, list[int]] = {}
        self._placements: dict[tuple[PairSet, bool], Placements] = {}
        self._alignments: dict[tuple[Convention, PairSet], AlignmentSearch] = {}

    @property
    def can_list(self) -> bool:
        """Whether the network's subcircuits are few enough to be listed."""
        return self.n_subcircuits <= MAX_LISTED

    def problem(self, convention: Convention) -> Problem:
        """The network and its target under a convention, in numbers."""
        if convention not in self._problems:
            self._problems[convention] = Problem.of(self.model, self.target, convention)
        return self._problems[convention]

    def subcircuits(self, convention: Convention) -> SubcircuitSearch:
        """All subcircuits, or `SearchStopped`, because half a search does not give a count."""
        if convention not in self._subcircuits:
            search = search_subcircuits(self.problem(convention), self.progress)
            if not search.complete:
                raise SearchStopped(search)
            self._subcircuits[convention] = search
        return self._subcircuits[convention]

    def n_perfect(self, convention: Convention) -> int:
        """How many subcircuits are perfect, by listing them if possible, else by counting."""
        if convention not in self._n_perfect:
            if self.can_list:
                n_perfect = self.subcircuits(convention).n_perfect
            else:
                n_perfect = count_perfect(self.problem(convention), self.progress)
            self._n_perfect[convention] = n_perfect
        return self._n_perfect[convention]

    def n_interpretations(self, convention: Convention) -> list[int]:
        """How many interpretations each of the first `MAX_EXAMINED` perfect subcircuits has."""
        if convention not in self._n_interpretations:
            problem, search = self.problem(convention), self.subcircuits(convention)
            n_examined = min(len(search), MAX_EXAMINED)
            counted = n_interpretations_of_all(problem, search.kept_edges(slice(n_examined)))
            bar = progress_bar(
                counted,
                doing="interpretations",
                unit="subcircuit",
                total=n_examined,
                progress=self.progress,
            )
            self._n_interpretations[convention] = list(bar)
        return self._n_interpretations[convention]

    def alignments_or_why(
        self, convention: Convention, pairs: PairSet
    ) -> tuple[AlignmentSearch | None, str]:
        """The same, or why there are too many formulas, or sets of units, to try."""
        try:
            require_few_sets(self.problem(convention), pairs)
        except XorMiError as error:
            return None, str(error)
        try:
            return self.alignments(convention, pairs), ""
        except TooManyFormulas as error:
            return None, str(error)

    def alignments(self, convention: Convention, pairs: PairSet) -> AlignmentSearch:
        """The alignments under the convention, but tried on these pairs."""
        if (convention, pairs) not in self._alignments:
            problem = self.problem(convention)
            formulas = formulas_of(problem, self.depth, self.output, progress=self.progress)
            # The effect of an interchange does not depend on any other switch of a convention.
            shared = (pairs, convention.across_layers)
            if shared not in self._placements:
                self._placements[shared] = placements_of(problem, pairs, self.output)
            self._alignments[convention, pairs] = align(
                problem,
                formulas,
                self._placements[shared],
                depth=self.depth,
                output=self.output,
                progress=self.progress,
                pairs=pairs,
            )
        return self._alignments[convention, pairs]
