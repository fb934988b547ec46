"""an array with an entry per mask -> properties of masks and the masks within them.

Mask m keeps element e where bit e of m is set, so the masks without an element and those with it
are two views of one array.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=np.generic)


def halves(of_masks: NDArray[Kind], element: int) -> tuple[NDArray[Kind], NDArray[Kind]]:
    """Two views of an array [mask]: the masks without an element, and the same masks with it."""
    pairs = of_masks.reshape(-1, 2, 2**element)
    return pairs[:, 0], pairs[:, 1]


def minimal_among(perfect: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which masks are perfect and contain no other perfect one, [mask]."""
    n_elements = len(perfect).bit_length() - 1
    # whether a mask contains a perfect one, itself included: for each element, what holds for a
    # mask without it is passed on to the mask with it
    contains = perfect.copy()
    for element in range(n_elements):
        without, with_it = halves(contains, element)
        with_it |= without
    inside = np.zeros_like(contains)
    for element in range(n_elements):
        without, _ = halves(contains, element)
        _, inside_with = halves(inside, element)
        inside_with |= without
    return perfect & ~inside
