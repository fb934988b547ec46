"""The playground, driven as the browser drives it: what is shown is what the analyses say of the
network as it then is.
"""

import json
import re
import subprocess
import sys

import pytest
import torch

from xor_mi import handmade, margins, zoo
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
for call in (widgets.playground, lambda: widgets.Playground(model)):
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


def test_nine_weights_by_their_symbols(textbook):
    """Each weight and bias of 2-2-1 as it is, in the order that conditions name them."""
    play = playground()
    assert play.weights == {
        "w11": 1,
        "w12": 1,
        "w21": 1,
        "w22": 1,
        "b1": 0,
        "b2": -1,
        "v1": 1,
        "v2": -2,
        "c": 0,
    }
    assert play.circuit == identify_circuit(textbook, with_evidence=False)


@pytest.mark.parametrize(
    ("weight", "value", "verdict"),
    [
        ("fc1.weight[0, 1]", 0.25, "not_computing"),
        ("w12", 0.75, "identified"),
        ("c", 0.6, "not_computing"),
    ],
)
def test_the_answer_is_of_the_weights_as_they_stand(textbook, weight, value, verdict):
    """The circuit is that of the edited network, which is held against PyTorch's own forward, and
    what is sent to the browser says the same.
    """
    play = playground()
    before = play.answered
    play.move(weight, value)
    parameter = margins.weight_symbols(textbook).get(weight, weight)
    edited = handmade.edit(textbook, {parameter: value})
    assert play.circuit == identify_circuit(edited, with_evidence=False)
    assert play.circuit.verdict == play.verdict == verdict
    assert play.reason == play.circuit.reason
    outputs = torch.nn.Sequential(edited.fc1, torch.nn.ReLU(), edited.fc2)(edited.rows()).ravel()
    is_right = (outputs > 0.5).tolist() == [False, True, True, False]
    assert (verdict != "not_computing") == is_right
    assert bool(play.found["gates"]) == is_right
    assert play.answered != before
    made: dict[str, HookedMLP] = {}
    exec(play.code(), made)
    for name, tensor in edited.state_dict().items():
        assert torch.equal(made["model"].state_dict()[name], tensor)


def test_only_what_has_changed_is_sent(monkeypatch):
    """A move that changes no gate sends what it is about, and neither gates nor verdict."""
    play = playground()
    sent: list[set[str]] = []
    monkeypatch.setattr(
        play,
        "send_state",
        lambda key=None: sent.append({key} if isinstance(key, str) else set(key)),
    )
    play.move("w12", 0.75)
    assert set().union(*sent) == {"moves", "answered"}
    sent.clear()
    play.move("w12", 0.25)
    assert set().union(*sent) == {"moves", "answered", "verdict", "reason", "found"}


def test_gates_are_named_of_units_that_matter():
    """A unit that no output reads could have any of its gates, so it is given none."""
    layers = [([[1, 1], [1, 2], [1, 1]], [0, 0, -1]), ([[1, 0, -2]], [0])]
    play = playground(HookedMLP.from_weights(layers, decision_threshold=0.5, target="XOR"))
    assert play.found["gates"] == {"h0.0": "OR", "h0.2": "AND"}
    assert play.found["idle"] == {"h0.1": "idle"}


def test_reset_brings_everything_back(trained):
    """Trained weights come back to the last digit, and the given network was never changed."""
    before = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    play = playground(trained.model)
    said = play.reason
    for symbol in play.weights:
        play.move(symbol, 0.0)
    assert set(play.weights.values()) == {0.0}
    assert play.circuit.verdict == "not_computing"
    play.reset()
    assert play.reason == said
    for state in (play.model.state_dict(), trained.model.state_dict()):
        assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())


def test_a_network_of_the_zoo_is_chosen():
    """As the browser sets it, in one message with a weight that moves."""
    play = playground()
    names = [network["name"] for network in play.spec["networks"]]
    play.set_state({"preset": names.index("nor-and"), "moves": {"c": 9.0}})
    assert play.weights == playground(zoo.load("nor-and")).weights | {"c": 9.0}
    play.reset()
    assert play.circuit == identify_circuit(zoo.load("nor-and"), with_evidence=False)


def test_three_inputs_can_be_played_with():
    """Parity, whose nine weights into three units and four into the output have their symbols."""
    play = playground(zoo.load("parity-3"))
    play.move("w13", -4.0)
    assert play.model.fc1.weight[0, 2].item() == -4.0


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (HookedMLP.from_weights([([[1.0] * 5], [0.0]), ([[1.0]], [0.0])]), "network has 5 and 8"),
        (
            HookedMLP.from_weights(
                [(torch.ones(17, 2), torch.ones(17)), (torch.ones(1, 17), [0.0])], target="XOR"
            ),
            "2 and 69",
        ),
        (torch.nn.Identity(), "not Identity"),
    ],
)
def test_what_cannot_be_played_with_is_refused(model, message):
    """Five inputs, too many weights, something else."""
    with pytest.raises(XorMiError, match=message):
        playground(model)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("weight", "value", "message"),
    [
        ("w13", 1.0, "no weight 'w13'"),
        (None, 1.0, "no weight 'None'"),
        ("w12", float("nan"), "give a finite number"),
        ("w12", "much", "give numbers"),
    ],
)
def test_a_move_that_cannot_be_is_refused(weight, value, message):
    """The weight, or the number; and nothing has moved."""
    play = playground()
    with pytest.raises(XorMiError, match=message):
        play.move(weight, value)
    assert play.moves == {}


def test_without_the_extra_the_error_says_what_to_install(printed_without):
    """No ipywidgets: one line, from this package."""
    message = "the playground needs ipywidgets; pip install 'xor-mi[widgets]'"
    assert printed_without["ipywidgets",] == [message] * 2


@pytest.mark.parametrize("blocked", [("anywidget",), EXTRA])
def test_without_the_extra_the_room_can_still_be_looked_at(printed_without, blocked):
    """`hasattr`, `inspect.getmembers` and `help` find the room, and nothing is raised."""
    assert printed_without[blocked] == ["True"] * 4


def test_beside_the_view_there_is_a_bench_for_pages_without_a_kernel():
    """A notebook that is handed on has the network as it stands, with what was found in it."""
    play = playground()
    play.move("w12", 0.25)
    data, _ = play._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == play.model_id
    assert "mountAll();" in data["text/html"]
    spec = re.search(r'<script type="application/json">(.*?)</script>', data["text/html"])
    own = json.loads(spec[1])["networks"][0]
    assert own["weights"] == [1.0, 0.25, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, 0.0]
    assert own["found"]["verdict"] == "not_computing"


def test_a_network_without_a_target():
    """It is held against what is asked, and without that against what it decides itself."""
    model = handmade.textbook_xor().with_target(None)
    assert playground(model).circuit.verdict == "identified"
    assert playground(model, target="XNOR").circuit.verdict == "not_computing"
    with pytest.raises(XorMiError, match="the function has 2 inputs"):
        playground(model, target="x0 & x1 & x2")
