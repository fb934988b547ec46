"""Circuits written as JSON and read back: equal in every answer, and one sentence for text that
was cut, edited or written of something else.
"""

import copy
import json
from collections.abc import Callable, Iterator

import pytest
import torch
from test_circuits_encodings import stepped
from test_ordered import counting

from xor_mi import HookedMLP, identify_circuit, zoo
from xor_mi.circuits import Circuit, _circuit
from xor_mi.errors import XorMiError

pytestmark = pytest.mark.as_a_user

AMBIGUOUS = [
    ([[1.5, 2.5], [-2.5, 2.5], [-2.5, -2.5]], [-1.5, 0.0, 2.5]),
    ([[-3.75, 2.5, -3.75]], [3.5]),
]
"""Unit 0 may be read as AND or as x1; one of the two passes interchange."""

CIRCUITS: dict[str, Callable[[], Circuit]] = {
    **{name: lambda name=name: identify_circuit(zoo.load(name)) for name in zoo.names()},
    "several circuits": lambda: identify_circuit(
        HookedMLP.from_weights(AMBIGUOUS, target="XOR"), require="substitution"
    ),
    "no evidence": lambda: identify_circuit(zoo.load("or-and"), with_evidence=False),
    "bfloat16": lambda: identify_circuit(zoo.load("or-and").to(torch.bfloat16)),
    "on its step": lambda: identify_circuit(stepped(1)),
    "three levels": lambda: identify_circuit(counting(), levels=3),
    "a margin that is too small": lambda: identify_circuit(zoo.load("or-and"), min_margin=0.9),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_circuit_comes_back_from_its_json(name):
    """Read back it is equal, gives the same answers in text, tables and graphs, and writes the same
    JSON.
    """
    circuit = CIRCUITS[name]()
    text = circuit.to_json()
    back = Circuit.from_json(text)
    assert back == circuit
    assert back.proof == circuit.proof
    assert back.ordered == circuit.ordered
    assert str(back) == str(circuit)
    assert back.explain() == circuit.explain()
    assert back.signature == circuit.signature
    assert back.evidence == circuit.evidence
    assert back.units_acting_as("OR") == circuit.units_acting_as("OR")
    assert back.frame().equals(circuit.frame())
    assert back.to_mermaid() == circuit.to_mermaid()
    assert back.to_json() == text


@pytest.mark.parametrize("name", ["or-and", "ge-le", "deep-xor"])
def test_its_network_comes_back_too(name):
    """The network read back gives the same outputs on every row, to the last bit."""
    model = zoo.load(name)
    back = Circuit.from_dict(zoo.recorded(name)).model
    assert torch.equal(back(model.rows()), model(model.rows()))
    assert back.cfg == model.cfg


def test_a_changed_circuit_is_another():
    """What two circuits differ in they also differ in after they are read back."""
    one, other = (Circuit.from_dict(zoo.recorded(name)) for name in ("or-and", "nor-and"))
    assert one != other
    assert one.signature != other.signature


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[:300], "the text of a circuit cannot be read: "),
        (lambda text: "", "it is empty"),
        (lambda text: "[1]", "the text of a circuit is not an object"),
        (lambda text: "{}", "its 'format' is None"),
        (lambda text: text.replace("Circuit/5", "Circuit/4"), "is of format 4, which does not hold its network; identify the network again"),
        (lambda text: text.replace("Circuit/5", "Circuit/6"), "this xor-mi reads 5: install a later"),
        (lambda text: text.replace("xor_mi.Circuit", "spice.Circuit"), "its 'format' is 'spice.Circuit/5'"),
        (lambda text: text.replace('"fields": {', '"felds": {'), "'fields' is not an object"),
        (lambda text: text.replace('"identified"', '"ambiguous"', 1), "'verdict' is 'ambiguous', and 'fields' says 'identified'"),
        (lambda text: text.replace('"gate": "OR"', '"gate": "NOR"', 1), "'units' is "),
        (lambda text: text.replace('"verdict": "identified", "circuits"', '"verdict": "found", "circuits"'), "'fields.verdict' is 'found', not one of identified, "),
        (lambda text: text.replace("[0, 1, false]", "[0, 1]", 1), "has 2 entries, not 3"),
        (lambda text: text.replace('"d_in": 2', '"d_in": 3'), "a circuit cannot be read: "),
    ],
)  # fmt: skip
def test_damaged_text_is_one_sentence(damage, says):
    """Cut off, of another format or edited, in its readable part or the other: one line that says
    where, and what to give.
    """
    text = identify_circuit(zoo.load("or-and")).to_json()
    damaged = damage(text)
    assert damaged != text
    with pytest.raises(XorMiError) as error:
        Circuit.from_json(damaged)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def places(content: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in lists and objects."""
    entries = content.items() if isinstance(content, dict) else ()
    entries = enumerate(content) if isinstance(content, list) else entries
    for key, value in entries:
        yield (*path, key)
        yield from places(value, (*path, key))


def test_any_edited_value_is_refused_or_makes_a_whole_circuit():
    """Every twentieth value of a circuit's fields, replaced by three others: an `XorMiError`, or a
    circuit that can be printed, tabled and written.
    """
    content = json.loads(identify_circuit(zoo.load("or-and")).to_json())
    n_refused = 0
    for *path, last in list(places(content["fields"]))[::20]:
        for value in (None, 7, []):
            edited = copy.deepcopy(content)
            inside = edited["fields"]
            for key in path:
                inside = inside[key]
            inside[last] = value
            try:
                circuit = Circuit.from_dict(edited)
                assert str(circuit)
                assert len(circuit.frame()) == 2
                assert circuit.to_json()
            except XorMiError:
                n_refused += 1
    assert n_refused > 30


def test_what_was_not_written_is_said(monkeypatch):
    """Of more circuits than are written, the JSON still says what it did; reading it back is one
    sentence that says what to do.
    """
    monkeypatch.setattr(_circuit, "MAX_IN_JSON", 0)
    content = identify_circuit(zoo.load("or-and")).to_dict()
    assert (content["verdict"], content["fields"]) == ("identified", None)
    with pytest.raises(XorMiError, match="cannot be read back; identify the network again"):
        Circuit.from_dict(content)
