"""the one small base of everything a person is given: a table, a picture, a notebook cell.

Findings are frozen values. Each has `frame()`, a tidy pandas table; `plot()`, a plotly figure; and
`_repr_html_`, what a notebook cell that ends in it shows. A finding that is not a table or has
no picture says so, with what to do instead. Nothing heavy is imported here.
"""

import html
from typing import TYPE_CHECKING, Any

from xor_mi.errors import XorMiError

__all__ = ["ROWS_SHOWN", "Finding", "number_text"]

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ROWS_SHOWN = 20
"""A notebook cell shows at most so many lines of a finding's table."""

LONG_NUMBER = 1e6
"""From here on a number is written by its power of ten, as it is where decimals show nothing."""


def number_text(value: float, *, decimals: int = 2, signed: bool = False) -> str:
    """A number with so many decimals, or three figures where those would show nothing of it.

    >>> number_text(-0.0), number_text(2 / 3, signed=True), number_text(2e-7), number_text(3e9)
    ('0.00', '+0.67', '2e-07', '3e+09')
    """
    sign = "+" if signed else ""
    # + 0.0: a zero has no minus
    value = float(value) + 0.0
    if value and not 10.0**-decimals <= abs(value) < LONG_NUMBER:
        return f"{value:{sign}.3g}"
    return f"{value:{sign}.{decimals}f}"


class Finding:
    """What an analysis hands back. Subclasses are frozen dataclasses and give `frame()`."""

    def frame(self) -> "pd.DataFrame":
        """The finding as a tidy table.

        Raises:
            XorMiError: a kind of finding that is not a table.
        """
        raise XorMiError(f"a {type(self).__name__} is not a table; print it, or call .plot()")

    def plot(self, **options: Any) -> "go.Figure":
        """The finding as a figure; options are those of its function in `xor_mi.plots`.

        Raises:
            XorMiError: a kind of finding that no figure is drawn of.
        """
        # The one door in the house that points up: pictures stand above findings.
        from xor_mi.plots import figure

        return figure(self, **options)

    def _repr_html_(self) -> str:
        """What a notebook shows: the sentence, then the first lines of the table if it has one."""
        text = f"<pre>{html.escape(str(self))}</pre>"
        # a finding that does not override `frame` is not a table
        if type(self).frame is Finding.frame:
            return text
        table = self.frame()
        first_lines = table.head(ROWS_SHOWN).to_html(index=False, escape=True, border=0)
        n_more = len(table) - ROWS_SHOWN
        note = f"<p>... and {n_more} more lines; .frame() has them all</p>" if n_more > 0 else ""
        return text + first_lines + note
