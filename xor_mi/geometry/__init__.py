"""a network -> how it divides the space of its inputs: paths, affine pieces, the decision boundary.

Between and beyond the corners the inputs are real numbers, whatever levels stand for the bits. A
network of piecewise linear activations (relu, leaky_relu, relu6, hardtanh, hardsigmoid, identity,
heaviside, sign) is affine on convex pieces, so kinks, crossings and boundaries follow in closed
form, in float64. For smooth activations (all others) they are bracketed by enclosures (interval
arithmetic) and then found by `scipy.optimize.elementwise.find_root`. A path may have any number of
inputs; a plane needs a network with two inputs.

If the largest output decides (argmax), the boundary is where two outputs are equal. Direct
connections from the inputs to the outputs are part of every piece.
"""

from xor_mi.geometry._cells import Region as Region
from xor_mi.geometry._cells import Regions as Regions
from xor_mi.geometry._cells import regions as regions
from xor_mi.geometry._contour import Boundary as Boundary
from xor_mi.geometry._contour import boundary as boundary
from xor_mi.geometry._line import DecisionChange as DecisionChange
from xor_mi.geometry._line import InputPath as InputPath
from xor_mi.geometry._line import Kink as Kink
from xor_mi.geometry._line import path as path
from xor_mi.geometry._plane import InputPlane as InputPlane
from xor_mi.geometry._plane import input_plane as input_plane
