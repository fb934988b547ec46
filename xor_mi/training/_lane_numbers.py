"""one lane: exponential and logarithm, activations and their slopes, random bits.

All are float32 and do the same operations for all numbers, so that one instruction serves many
lanes. Exponential and logarithm are polynomials of Cephes' kind (Moshier 1989), because the C
library's take one number at a time. Kernels are not annotated: numba finds the types, and the
checker of shapes must not wrap them.
"""

import math
from typing import no_type_check

import numpy as np

from xor_mi.kernels import part
from xor_mi.training import _arithmetic
from xor_mi.training._noise import SPLITMIX_64, Stream

F = np.float32
ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)

# exponential and logarithm

LOG2_E = F(1.4426950408889634)
LN_2_HIGH, LN_2_LOW = F(0.693359375), F(-2.12194440e-4)  # together ln 2, the first exactly
ROUNDING = F(1.5 * 2**23)  # added and taken away again, it leaves the nearest whole number
LOWEST = F(-87.0)  # exp of smaller numbers is not a normal number; they count as this
# coefficients of exp within half of ln 2 on either side: within 2 units of the last bit
E_2, E_3, E_4, E_5, E_6, E_7 = map(
    F,
    (
        5.0000001201e-1,
        1.6666665459e-1,
        4.1665795894e-2,
        8.3334519073e-3,
        1.3981999507e-3,
        1.9875691500e-4,
    ),
)
# coefficients of log(1 + x) / x, fitted at Chebyshev's points of 0 to 1: within 4 such units
L_1, L_2, L_3, L_4, L_5, L_6, L_7, L_8, L_9 = map(
    F,
    (
        1.0,
        -0.49999502301216125,
        0.33319270610809326,
        -0.24844369292259216,
        0.19111430644989014,
        -0.13674770295619965,
        0.07836166769266129,
        -0.02958850748836994,
        0.005253457929939032,
    ),
)


@part
@no_type_check
def in_powers_of_two(x):
    """The exponential of a number not above 0, as a part near 0 and a power of two.

    exp(x) is (part + 1) * power. NaN stays NaN.
    """
    # NaN has no nearest whole number: it gets one all the same, and the remainder stays NaN
    safe = x if x > LOWEST else LOWEST
    whole = safe * LOG2_E + ROUNDING - ROUNDING
    power = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    given = LOWEST if x < LOWEST else x
    r = given - whole * LN_2_HIGH - whole * LN_2_LOW
    p = ((((E_7 * r + E_6) * r + E_5) * r + E_4) * r + E_3) * r + E_2
    return p * (r * r) + r, power


@part
@no_type_check
def exponential(x):
    """exp of a number not above 0; NaN stays NaN."""
    near_0, power = in_powers_of_two(x)
    return (near_0 + ONE) * power


@part
@no_type_check
def exponential_less_1(x):
    """exp(x) - 1 of a number not above 0, right to its own last bits, however small x is."""
    near_0, power = in_powers_of_two(x)
    return near_0 * power + (power - ONE)


@part
@no_type_check
def log_of_1_and(x):
    """log(1 + x) of a number between 0 and 1."""
    p = (((L_9 * x + L_8) * x + L_7) * x + L_6) * x + L_5
    return ((((p * x + L_4) * x + L_3) * x + L_2) * x + L_1) * x


# activations: (pre-activation, negative slope) -> post-activation

GELU_SCALE, GELU_CUBIC = F(_arithmetic.GELU_SCALE), F(_arithmetic.GELU_CUBIC)
SQRT_HALF, DENSITY_AT_0 = F(math.sqrt(0.5)), F(1 / math.sqrt(2 * math.pi))
SOFTPLUS_IS_STRAIGHT_ABOVE = F(_arithmetic.SOFTPLUS_IS_STRAIGHT_ABOVE)
SIX, THREE, SIXTH = F(6), F(3), F(1 / 6)


@part
@no_type_check
def clamped(x, low, high):
    """A number moved into a range; NaN stays NaN."""
    value = low if x < low else x
    return high if value > high else value


@part
@no_type_check
def identity(x, _):
    return x


@part
@no_type_check
def relu(x, _):
    return ZERO if x < ZERO else x


@part
@no_type_check
def leaky_relu(x, negative_slope):
    return x * negative_slope if x < ZERO else x


@part
@no_type_check
def tanh(x, _):
    below_1 = exponential_less_1(-abs(x * TWO))
    size = -below_1 / (below_1 + TWO)
    return -size if x < ZERO else size


@part
@no_type_check
def sigmoid(x, _):
    decay = exponential(-abs(x))
    return (ONE if x > ZERO else decay) / (ONE + decay)


@part
@no_type_check
def softplus(x, _):
    soft = log_of_1_and(exponential(-abs(x))) + (ZERO if x < ZERO else x)
    return x if x > SOFTPLUS_IS_STRAIGHT_ABOVE else soft


@part
@no_type_check
def elu(x, _):
    return exponential_less_1(clamped(x, LOWEST, ZERO)) if x < ZERO else x


@part
@no_type_check
def silu(x, _):
    return sigmoid(x, _) * x


@part
@no_type_check
def normal_cdf(x):
    return (F(math.erf(x * SQRT_HALF)) + ONE) * HALF


@part
@no_type_check
def gelu(x, _):
    return normal_cdf(x) * x


@part
@no_type_check
def tanh_in_gelu(x):
    return tanh((x * x * GELU_CUBIC + ONE) * x * GELU_SCALE, ZERO)


@part
@no_type_check
def gelu_tanh(x, _):
    return (tanh_in_gelu(x) + ONE) * x * HALF


@part
@no_type_check
def relu6(x, _):
    return clamped(x, ZERO, SIX)


@part
@no_type_check
def hardtanh(x, _):
    return clamped(x, -ONE, ONE)


@part
@no_type_check
def hardsigmoid(x, _):
    return clamped(x + THREE, ZERO, SIX) / SIX


# (pre-, post-activation, negative slope) -> the activation's slope; at a kink, PyTorch's


@part
@no_type_check
def relu_slope(_pre, post, _):
    return ONE if post > ZERO else ZERO


@part
@no_type_check
def leaky_relu_slope(pre, _post, negative_slope):
    return ONE if pre > ZERO else negative_slope


@part
@no_type_check
def tanh_slope(_pre, post, _):
    return ONE - post * post


@part
@no_type_check
def sigmoid_slope(_pre, post, _):
    return (ONE - post) * post


@part
@no_type_check
def softplus_slope(pre, _post, _):
    return ONE if pre > SOFTPLUS_IS_STRAIGHT_ABOVE else sigmoid(pre, _)


@part
@no_type_check
def elu_slope(pre, post, _):
    return post + ONE if pre < ZERO else ONE


@part
@no_type_check
def silu_slope(pre, _post, _):
    share = sigmoid(pre, _)
    return ((ONE - share) * pre + ONE) * share


@part
@no_type_check
def gelu_slope(pre, _post, _):
    density = exponential(pre * pre * -HALF) * DENSITY_AT_0
    return density * pre + normal_cdf(pre)


@part
@no_type_check
def gelu_tanh_slope(pre, _post, _):
    inner = tanh_in_gelu(pre)
    slope_inside = (pre * pre * (THREE * GELU_CUBIC) + ONE) * GELU_SCALE
    return (inner + ONE + (ONE - inner * inner) * pre * slope_inside) * HALF


@part
@no_type_check
def relu6_slope(pre, _post, _):
    return ONE if (pre > ZERO) & (pre < SIX) else ZERO


@part
@no_type_check
def hardtanh_slope(pre, _post, _):
    return ONE if (pre > -ONE) & (pre < ONE) else ZERO


@part
@no_type_check
def hardsigmoid_slope(pre, _post, _):
    return SIXTH if (pre > -THREE) & (pre < THREE) else ZERO


# random numbers: those of `_noise`

GOLDEN, FIRST, SECOND = map(np.uint64, SPLITMIX_64)
NOISE, BATCH, DROPOUT = map(np.uint64, Stream)
UNIT = F(2**-24)


@part
@no_type_check
def mixed(z):
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))


@part
@no_type_check
def random_bits(seed, stream, counter):
    """64 bits that depend only on the seed, the stream and the counter."""
    key = mixed(np.uint64(seed) + GOLDEN)
    if stream != NOISE:
        key = mixed(key + stream)
    return mixed(key + np.uint64(counter) * GOLDEN)
