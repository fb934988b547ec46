"""The playground, driven through its sliders: what is shown is what the analyses say of the network
as it then is.
"""

import json
import subprocess
import sys

import pytest
import torch

from xor_mi import handmade, margins, plots
from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP
from xor_mi.widgets import playground

pytestmark = pytest.mark.as_a_user

EXTRA = ("ipywidgets", "anywidget", "traitlets")
"""What the extra `widgets` installs."""

REFUSED = """
from xor_mi import handmade, widgets
model = handmade.textbook_xor()
for call in (widgets.playground, lambda: widgets.Playground(model), lambda: widgets.Board(source="")):
    try:
        call()
    except ValueError as error:
        print(error)
"""
"""Every way to a widget, and what each says."""


LOOKED_AT = """
import inspect, pydoc, xor_mi
print(hasattr(xor_mi, "widgets"))
print("widgets" in dict(inspect.getmembers(xor_mi)))
print("nine weights" in pydoc.render_doc(xor_mi.widgets))
print(issubclass(xor_mi.widgets.Playground, object))
"""
"""What finds the room and looks at it."""

BLOCKED = {("ipywidgets",): REFUSED, ("anywidget",): LOOKED_AT, EXTRA: LOOKED_AT}
"""What cannot be imported -> what is run then, the room being imported anew."""

WITHOUT = f"""
import contextlib, io, json, sys
printed = []
for blocked, code in {BLOCKED!r}.items():
    for name in list(sys.modules):
        if name.split(".")[0] in {EXTRA!r} or name.startswith("xor_mi.widgets"):
            del sys.modules[name]
    vars(sys.modules.get("xor_mi", json)).pop("widgets", None)
    for name in blocked:
        sys.modules[name] = None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code)
    printed.append(out.getvalue().splitlines())
print(json.dumps(printed))
"""


@pytest.fixture(scope="module")
def printed_without():
    """What is blocked -> the lines printed then, all in one process, so that torch is imported
    once.
    """
    command = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(zip(BLOCKED, json.loads(done.stdout), strict=True))


def trace(figure, name):
    """The trace of this name."""
    return next(trace for trace in figure.data if trace.name == name)


def test_nine_sliders_one_per_weight(textbook):
    """Each weight and bias of 2-2-1 has a slider at its value, named by its symbol."""
    play = playground()
    assert [slider.description for slider in play.sliders.values()] == [
        "w11",
        "w12",
        "w21",
        "w22",
        "b1",
        "b2",
        "v1",
        "v2",
        "c",
    ]
    assert [slider.value for slider in play.sliders.values()] == [1, 1, 1, 1, 0, -1, 1, -2, 0]
    assert play.circuit == identify_circuit(textbook, with_evidence=False)


@pytest.mark.parametrize(
    ("parameter", "value", "verdict"),
    [
        ("fc1.weight[0, 1]", 0.25, "not_computing"),
        ("fc1.weight[0, 1]", 0.75, "identified"),
        ("fc2.bias[0]", 0.6, "not_computing"),
    ],
)
def test_everything_moves_along(textbook, parameter, value, verdict):
    """Verdict, gates, boundary and conditions are those of the edited network, held against
    PyTorch's own forward.
    """
    play = playground()
    before = trace(play.plane, "decision boundary").x, play.verdict.value
    play.sliders[parameter].value = value
    edited = handmade.edit(textbook, {parameter: value})
    assert play.circuit.verdict == verdict
    right = (
        torch.nn.Sequential(edited.fc1, torch.nn.ReLU(), edited.fc2)(edited.rows()) > 0.5
    ).ravel().tolist() == [
        False,
        True,
        True,
        False,
    ]
    assert (verdict != "not_computing") == right
    assert verdict in play.verdict.value
    assert (trace(play.plane, "decision boundary").x, play.verdict.value) != before
    slack = {condition.row: condition.slack for condition in margins.conditions(edited, "XOR")}
    bars = {
        play.conditions.layout.yaxis.ticktext[y][:2]: x
        for bar in play.conditions.data
        for x, y in zip(bar.x, bar.y, strict=True)
    }
    assert bars == pytest.approx(slack)
    texts = [annotation.text for annotation in play.network.layout.annotations]
    assert any("OR" in text for text in texts) == (verdict == "identified")
    assert f"{value:+.2f}" in " ".join(texts)


def test_the_words_name_the_gates_of_units_that_matter():
    """A unit that no output reads could have any of its gates, so the words give it none."""
    layers = [([[1, 1], [1, 2], [1, 1]], [0, 0, -1]), ([[1, 0, -2]], [0])]
    play = playground(HookedMLP.from_weights(layers, decision_threshold=0.5, target="XOR"))
    assert play.verdict.value.endswith("<br>gates: h0.0 OR, h0.2 AND</p>")


def test_as_it_was_brings_everything_back(trained):
    """The button restores trained weights to the last digit, and the given network was never
    changed.
    """
    before = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    play = playground(trained.model)
    said = play.verdict.value
    for slider in play.sliders.values():
        slider.value = 0.0
    assert play.circuit.verdict == "not_computing"
    play.reset()
    assert play.verdict.value == said
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in play.model.state_dict().items()
    )
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in trained.model.state_dict().items()
    )


def test_the_board_shows_the_figures_as_they_are():
    """What is sent to the browser is the three figures, after every move."""
    play = playground()
    for value in (0.9, 0.2):
        play.sliders["fc1.bias[1]"].value = value
        assert [json.loads(text) for text in play.board.figures] == [
            json.loads(figure.to_json()) for figure in (play.network, play.plane, play.conditions)
        ]


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            HookedMLP.from_weights([([[1.0] * 3], [0.0]), ([[1.0]], [0.0])], target="x0 & x1 & x2"),
            "this network has 3 and 6",
        ),
        (
            HookedMLP.from_weights(
                [(torch.ones(12, 2), torch.ones(12)), (torch.ones(1, 12), [0.0])], target="XOR"
            ),
            "2 and 49",
        ),
        (torch.nn.Linear(2, 1), "not Linear"),
    ],
)
def test_what_cannot_be_played_with_is_refused(model, message):
    """Three inputs, too many weights, something else."""
    with pytest.raises(XorMiError, match=message):
        playground(model)


def test_without_the_extra_the_error_says_what_to_install(printed_without):
    """No ipywidgets: one line, from this package."""
    message = "the playground needs ipywidgets; pip install 'xor-mi[widgets]'"
    assert printed_without["ipywidgets",] == [message] * 3


@pytest.mark.parametrize("blocked", [("anywidget",), EXTRA])
def test_without_the_extra_the_room_can_still_be_looked_at(printed_without, blocked):
    """`hasattr`, `inspect.getmembers` and `help` find the room, and nothing is raised."""
    assert printed_without[blocked] == ["True"] * 4


def test_the_pictures_are_those_of_plots(textbook):
    """What the playground shows first is what `plots` draws."""
    play = playground(textbook)
    drawn = plots.network_diagram(textbook, identify_circuit(textbook, with_evidence=False))
    assert [note.text for note in play.network.layout.annotations] == [
        note.text for note in drawn.layout.annotations
    ]


def test_a_network_without_a_target():
    """It is held against what is asked, and without that against what it decides itself."""
    model = handmade.textbook_xor().with_target(None)
    assert playground(model).circuit.verdict == "identified"
    assert playground(model, target="XNOR").circuit.verdict == "not_computing"
    with pytest.raises(XorMiError, match="the function has 2 inputs"):
        playground(model, target="x0 & x1 & x2")
