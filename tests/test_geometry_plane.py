"""The input plane: grid values against the model, unit lines by hand."""

import pytest
import torch

from xor_mi.errors import XorMiError
from xor_mi.geometry import input_plane
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP


def test_the_grid_agrees_with_the_model(trained):
    """Every grid value is the network's output there, x0 along the first axis."""
    plane = input_plane(trained.model, bounds=((-1.0, 2.0), (-3.0, 0.5)), n_points=13)
    for i, j in ((0, 0), (3, 11), (12, 5)):
        assert plane.outputs[i, j].item() == pytest.approx(
            trained.model([plane.x0[i].item(), plane.x1[j].item()]).item(), abs=1e-4
        )


def test_the_table_has_one_line_per_grid_point(textbook):
    """x0 is the outer axis, as in `outputs`."""
    plane = input_plane(textbook, bounds=(0, 1), n_points=2)
    assert plane.frame().to_numpy().tolist() == [
        [0, 0, 0, 0],
        [0, 1, 0, 1],
        [1, 0, 0, 1],
        [1, 1, 0, 0],
    ]
    assert plane.frame().columns.tolist() == ["x0", "x1", "output", "value"]


def test_unit_lines_by_hand(textbook):
    """relu(x0 + x1) turns on along x1 = -x0, relu(x0 + x1 - 1) along x1 = 1 - x0; ends lie on the
    square's sides.
    """
    assert input_plane(textbook).lines == {
        Unit(0, 0): ((-0.5, 0.5), (0.5, -0.5)),
        Unit(0, 1): ((-0.5, 1.5), (1.5, -0.5)),
    }


def test_lines_outside_the_square_and_units_without_a_line():
    """A vertical line, one outside the square, and a unit that ignores its inputs."""
    model = HookedMLP.from_weights([([[2, 0], [1, 1], [0, 0]], [-1, 9, 1]), ([[1, 1, 1]], [0])])
    assert input_plane(model).lines == {Unit(0, 0): ((0.5, -0.5), (0.5, 1.5))}


def test_the_pre_activation_is_zero_along_each_line(trained):
    """At both ends of a unit's line its pre-activation vanishes."""
    for unit, ends in input_plane(trained.model).lines.items():
        _, cache = trained.model.run_with_cache(torch.tensor(ends))
        assert cache["pre", 0][:, unit.index].abs().max() < 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bounds": (1.0, 1.0)}, "low < high"),
        ({"n_points": 1}, "n_points must be a whole number of at least 2, not 1"),
        ({"bounds": (2.0, 1.0)}, "low < high"),
        ({"output": 1}, "no output 1"),
    ],
)
def test_empty_planes_are_refused(textbook, settings, message):
    """A range or a grid with nothing in it, and an output that is not there."""
    with pytest.raises(XorMiError, match=message):
        input_plane(textbook, **settings)


def test_only_two_inputs_are_drawn(deep):
    """Three inputs have no plane."""
    with pytest.raises(XorMiError, match="2 inputs; this one has 3"):
        input_plane(deep)
