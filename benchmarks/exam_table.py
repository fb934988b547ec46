"""The tables of docs/results/exam.md: a folder that `xor-mi exam` wrote -> Markdown.

    python benchmarks/exam_table.py DIR [--versus eap magnitude]

Of every part the board, edges first; with `--versus`, of every part how many more edges the first
method needs than the second, network by network, with Student's 95 % interval of the mean
difference, and on how many networks it needs fewer, as many and more.
"""

import argparse

import pandas as pd

from xor_mi.exam import MEASURES, ExamPart, read_exam
from xor_mi.metrics import mean_interval

COLUMNS = ("size", "finds_minimum", "perfect_share", "cpr", "auroc_union")


def cell(line: pd.Series, measure: str) -> str:
    """'9.23 [8.98, 9.48]', or '40 % [30, 50]' of a share; "" for none."""
    mean, low, high = (line[f"{measure}{end}"] for end in ("", "_low", "_high"))
    if pd.isna(mean):
        return ""
    if MEASURES[measure].is_share:
        return f"{mean:.0%} [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def board_of(part: ExamPart) -> str:
    """One task under one convention."""
    board = part.grades.board()
    there = [name for name in COLUMNS if name in board]
    lines = ["| method | " + " | ".join(there) + " |", "|---" * (1 + len(there)) + "|"]
    for _, line in board[board["gives"].isin(["scores", "set"])].iterrows():
        cells = " | ".join(cell(line, name) for name in there)
        lines.append(f"| `{line['method']}` | {cells} |")
    truth = part.grades.truth_frame()
    of_edges = truth[truth["over"] == "edges"]
    heading = (
        f"{part.heading}: {len(of_edges)} networks; the smallest circuits have "
        f"{of_edges['minimum'].mean():.2f} edges, an order by chance needs "
        f"{board['size_chance'].iloc[0]:.2f}"
    )
    return "\n".join([heading, "", *lines])


def versus(part: ExamPart, first: str, second: str) -> str:
    """A line: how many more edges the first method needs than the second."""
    sizes = part.grades.frame().pivot_table(index="network", columns="method", values="size")
    more = sizes[first] - sizes[second]
    mean, low, high = mean_interval(more.tolist())
    fewer, alike = (more < 0).sum(), (more == 0).sum()
    cells = [
        part.task,
        part.convention,
        f"{len(more)}",
        f"{sizes[first].mean():.2f}",
        f"{sizes[second].mean():.2f}",
        f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]",
        f"{fewer} / {alike} / {len(more) - fewer - alike}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the tables of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--versus", nargs=2, metavar="METHOD")
    asked = parser.parse_args()
    run = read_exam(asked.directory)
    if asked.versus is None:
        print("\n\n".join(map(board_of, run.parts)))
        return
    first, second = asked.versus
    heads = ["task", "a dropped edge carries", "networks", f"`{first}`", f"`{second}`"]
    print("| " + " | ".join([*heads, "more", "fewer / as many / more"]) + " |")
    print("|---" * 7 + "|")
    for part in run.parts:
        print(versus(part, first, second))


if __name__ == "__main__":
    main()
