"""A network whose values on its own rows are not finite is refused at the start, in one sentence."""

import warnings

import pytest

from xor_mi import bench
from xor_mi.circuits import diagnose, identify_circuit, ordered_circuits
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP
from xor_mi.report import find_out

XOR = [([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])]


def scaled(layers, factor, **settings) -> HookedMLP:
    """The same layers, every weight and bias times a number."""
    times = [
        ([[factor * one for one in row] for row in weight], [factor * one for one in bias])
        for weight, bias in layers
    ]
    return HookedMLP.from_weights(times, target="XOR", **settings)


STATIONS = {
    "the bench": bench.bench_spec,
    "identifying a circuit": lambda model: identify_circuit(model, with_evidence=False),
    "diagnosing a network": diagnose,
}


@pytest.mark.parametrize("operation", STATIONS)
def test_what_overflows_is_refused_with_its_unit_and_row(operation):
    """Of weights 1e200 the product of two, on the first row with an input, is 1e400; of 1e30 it is
    1e60, which float32 does not hold (its largest is 3.4e38), and float64 does.
    """
    station = STATIONS[operation]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(XorMiError) as refused:
            station(scaled(XOR, 1e200, dtype="float64"))
        assert str(refused.value) == (
            f"{operation} needs values that float64 can hold; on row 01 y0 adds up to more than "
            "1e+300: make the weights of its layer, or of one before it, smaller"
        )
        with pytest.raises(
            XorMiError, match=r"on row 01 y0 adds up to more than 3.403e\+38.*float64"
        ):
            station(scaled(XOR, 1e30))
        station(scaled(XOR, 1e30, dtype="float64"))


@pytest.mark.parametrize("find", [find_out, ordered_circuits])
def test_a_hidden_unit_is_named_too(find):
    """65504 is the largest number of float16, and h0.1 adds up 120000 on row 11 alone."""
    layers = [([[1, 1], [60000, 60000]], [0, -60000]), ([[1, -2]], [0])]
    with pytest.raises(XorMiError, match=r"on row 01 h0\.1 adds up to more than 6\.55e\+04"):
        find(HookedMLP.from_weights(layers, dtype="float16", target="XOR"))
