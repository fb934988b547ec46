"""the arithmetic of training, compiled by numba: one network per lane, a step for all at once.

Every loop over lanes is the innermost one and does the same to each: the compiler turns it into
instructions that serve 8 or 16 networks at a time. A lane's numbers are never combined with another
lane's, sums have a fixed order, and a product and a sum are never fused, so a network does not
depend on its neighbours. Nothing is allocated here.

The formulas are those of `_arithmetic`, where the reasons for their form stand, and the numbers of
a lane those of `_lane_numbers`. What PyTorch's own functions give differs in the last bits.
"""

# Kernels are not annotated: numba finds the types, and the checker of shapes must not wrap them.

import math
from typing import NamedTuple, get_args, no_type_check

import numpy as np
from numpy.typing import NDArray

from xor_mi.kernels import compiled, part
from xor_mi.kinds import ActivationName, LossName
from xor_mi.training import _fit
from xor_mi.training._config import OPTIMIZERS
from xor_mi.training._lane_numbers import (
    BATCH,
    DROPOUT,
    NOISE,
    ONE,
    TWO,
    UNIT,
    ZERO,
    F,
    elu,
    elu_slope,
    exponential,
    gelu,
    gelu_slope,
    gelu_tanh,
    gelu_tanh_slope,
    hardsigmoid,
    hardsigmoid_slope,
    hardtanh,
    hardtanh_slope,
    identity,
    leaky_relu,
    leaky_relu_slope,
    log_of_1_and,
    random_bits,
    relu,
    relu6,
    relu6_slope,
    relu_slope,
    sigmoid,
    sigmoid_slope,
    silu,
    silu_slope,
    softplus,
    softplus_slope,
    tanh,
    tanh_slope,
)

Floats = NDArray[np.float32]
Wholes = NDArray[np.int64]

WIDTH = 256
"""The most lanes: the weights and values of this many stay in the cache."""

MULTIPLE = 16
"""Lanes are used in multiples of this: as many numbers as the widest instructions take."""

A_NUMBER = 2
"""The kind of an input that is not a bit."""

NO_STEP = 2**62
"""A step that no network reaches."""

SMALLEST = F(1e-36)
"""A smaller number counts as 0 in the sums of the optimiser; see `flushed`."""

BETA_1, BETA_2 = F(_fit.BETA_1), F(_fit.BETA_2)


class Plan(NamedTuple):
    """What all networks compute. Layer k reads layer k - 1, or the inputs, into `sizes[k]` units.

    Attributes:
        sizes: units per layer after the inputs.
        n_read: how many numbers each unit of a layer reads.
        value_at: where a layer's units begin among all units.
        weight_at: where a layer's parameters begin.
        act_fns: what each layer applies, a number of `ACT_FNS`.
        inputs: [row, d_in], without noise.
        kinds: [row, d_in]: 0 or 1 for a bit, which needs no product; else `A_NUMBER`.
        targets: [row, d_out].
    """

    sizes: Wholes
    n_read: Wholes
    value_at: Wholes
    weight_at: Wholes
    act_fns: Wholes
    negative_slope: np.float32
    inputs: Floats
    kinds: NDArray[np.int8]
    targets: Floats
    loss_fn: int


class Learning(NamedTuple):
    """How all networks learn.

    Attributes:
        adam: [step, 2]: line k has Adam's `adam_factors` of the step after k steps; the last line
            holds for all later steps. SGD has none.
        penalties: [parameter]: the cost of its absolute value.
    """

    max_steps: int
    stop_loss: np.float32
    optimizer: int
    lr: np.float32
    weight_decay: np.float32
    momentum: np.float32
    adam: Floats
    has_penalties: bool
    penalties: Floats
    input_noise: np.float32
    batch_size: int
    dropout: np.float32


class Lanes(NamedTuple):
    """What is trained at the moment, a network per lane; the lane is the last axis everywhere.

    Attributes:
        numbers: [3]: the network that is loaded next, how many lanes are in use, and how many of
            them are done.
        network: which network a lane trains, -1 for none.
        seed: its seed.
        step: how many steps it has taken.
        done: whether it is finished, so that another takes its place.
        n_kept: how many of its checkpoints are stored.
        next_kept: the step of the next checkpoint, `NO_STEP` after the last.
        weights, mean, square, gradient: [parameter, lane].
        loss: the mean over all rows.
        scale, rate: of Adam, at each lane's own step.
    """

    numbers: Wholes
    network: Wholes
    seed: Wholes
    step: Wholes
    done: NDArray[np.bool_]
    n_kept: Wholes
    next_kept: Wholes
    weights: Floats
    mean: Floats
    square: Floats
    gradient: Floats
    loss: Floats
    scale: Floats
    rate: Floats


class Values(NamedTuple):
    """What the networks in the lanes have on every row, at one step.

    Attributes:
        inputs: [row, d_in, lane], with noise.
        pre, post, slope: [row, unit, lane].
        read: the values that the next layer reads: post after dropout.
        factors: [row, unit, lane], of dropout.
        is_drawn: [row, lane]: 1 for the rows that a step learns from, else 0.
    """

    inputs: Floats
    pre: Floats
    post: Floats
    read: Floats
    slope: Floats
    factors: Floats
    is_drawn: Floats


class Networks(NamedTuple):
    """All networks of a block: where they start, and what becomes of them.

    Attributes:
        seeds: [network].
        start, final: [parameter, network].
        losses, steps: [network].
        kept_at: [checkpoint]: the steps at which networks are stored, in order.
        kept: [checkpoint, parameter, network]; not filled for a network that finished before.
        kept_losses: [checkpoint, network].
    """

    seeds: Wholes
    start: Floats
    final: Floats
    losses: Floats
    steps: Wholes
    kept_at: Wholes
    kept: Floats
    kept_losses: Floats


ACT_FNS: tuple[ActivationName, ...] = get_args(ActivationName)
IDENTITY = ACT_FNS.index("identity")
RELU = ACT_FNS.index("relu")
LEAKY_RELU = ACT_FNS.index("leaky_relu")
TANH = ACT_FNS.index("tanh")
SIGMOID = ACT_FNS.index("sigmoid")
SOFTPLUS = ACT_FNS.index("softplus")
ELU = ACT_FNS.index("elu")
SILU = ACT_FNS.index("silu")
GELU = ACT_FNS.index("gelu")
GELU_TANH = ACT_FNS.index("gelu_tanh")
RELU6 = ACT_FNS.index("relu6")
HARDTANH = ACT_FNS.index("hardtanh")
HARDSIGMOID = ACT_FNS.index("hardsigmoid")

LOSS_FNS: tuple[LossName, ...] = get_args(LossName)
MSE = LOSS_FNS.index("mse")
CE = LOSS_FNS.index("ce")

ADAM, ADAMW, SGD = range(len(OPTIMIZERS))

# activations


@part
@no_type_check
def activate(act_fn, setting, pre, post, first, end, n):
    """Apply a layer's activation, by its number in `ACT_FNS`, to its units `first` to `end`."""
    for row in range(len(pre)):
        for unit in range(first, end):
            x, y = pre[row, unit], post[row, unit]
            if act_fn == IDENTITY:
                for lane in range(n):
                    y[lane] = identity(x[lane], setting)
            elif act_fn == RELU:
                for lane in range(n):
                    y[lane] = relu(x[lane], setting)
            elif act_fn == LEAKY_RELU:
                for lane in range(n):
                    y[lane] = leaky_relu(x[lane], setting)
            elif act_fn == TANH:
                for lane in range(n):
                    y[lane] = tanh(x[lane], setting)
            elif act_fn == SIGMOID:
                for lane in range(n):
                    y[lane] = sigmoid(x[lane], setting)
            elif act_fn == SOFTPLUS:
                for lane in range(n):
                    y[lane] = softplus(x[lane], setting)
            elif act_fn == ELU:
                for lane in range(n):
                    y[lane] = elu(x[lane], setting)
            elif act_fn == SILU:
                for lane in range(n):
                    y[lane] = silu(x[lane], setting)
            elif act_fn == GELU:
                for lane in range(n):
                    y[lane] = gelu(x[lane], setting)
            elif act_fn == GELU_TANH:
                for lane in range(n):
                    y[lane] = gelu_tanh(x[lane], setting)
            elif act_fn == RELU6:
                for lane in range(n):
                    y[lane] = relu6(x[lane], setting)
            elif act_fn == HARDTANH:
                for lane in range(n):
                    y[lane] = hardtanh(x[lane], setting)
            elif act_fn == HARDSIGMOID:
                for lane in range(n):
                    y[lane] = hardsigmoid(x[lane], setting)


@part
@no_type_check
def go_back(act_fn, setting, pre, post, slope, first, end, n):
    """The loss's slope at a layer's post-activations -> at its pre-activations, in place."""
    for row in range(len(pre)):
        for unit in range(first, end):
            x, y, change = pre[row, unit], post[row, unit], slope[row, unit]
            if act_fn == RELU:
                for lane in range(n):
                    change[lane] *= relu_slope(x[lane], y[lane], setting)
            elif act_fn == LEAKY_RELU:
                for lane in range(n):
                    change[lane] *= leaky_relu_slope(x[lane], y[lane], setting)
            elif act_fn == TANH:
                for lane in range(n):
                    change[lane] *= tanh_slope(x[lane], y[lane], setting)
            elif act_fn == SIGMOID:
                for lane in range(n):
                    change[lane] *= sigmoid_slope(x[lane], y[lane], setting)
            elif act_fn == SOFTPLUS:
                for lane in range(n):
                    change[lane] *= softplus_slope(x[lane], y[lane], setting)
            elif act_fn == ELU:
                for lane in range(n):
                    change[lane] *= elu_slope(x[lane], y[lane], setting)
            elif act_fn == SILU:
                for lane in range(n):
                    change[lane] *= silu_slope(x[lane], y[lane], setting)
            elif act_fn == GELU:
                for lane in range(n):
                    change[lane] *= gelu_slope(x[lane], y[lane], setting)
            elif act_fn == GELU_TANH:
                for lane in range(n):
                    change[lane] *= gelu_tanh_slope(x[lane], y[lane], setting)
            elif act_fn == RELU6:
                for lane in range(n):
                    change[lane] *= relu6_slope(x[lane], y[lane], setting)
            elif act_fn == HARDTANH:
                for lane in range(n):
                    change[lane] *= hardtanh_slope(x[lane], y[lane], setting)
            elif act_fn == HARDSIGMOID:
                for lane in range(n):
                    change[lane] *= hardsigmoid_slope(x[lane], y[lane], setting)
            # the slope of identity is 1


# what is drawn


@part
@no_type_check
def draw_noise(plan, input_noise, lanes, values, n):
    """Every input with its own noise at this step."""
    n_rows, d_in = plan.inputs.shape
    for row in range(n_rows):
        for i in range(d_in):
            noisy = values.inputs[row, i]
            for lane in range(n):
                counter = lanes.step[lane] * (n_rows * d_in) + row * d_in + i
                drawn = random_bits(lanes.seed[lane], NOISE, counter)
                above_0 = F((drawn >> np.uint64(40)) + np.uint64(1)) * UNIT
                turn = F((drawn >> np.uint64(8)) & np.uint64(2**24 - 1)) * UNIT
                radius = np.sqrt(F(-2) * F(np.log(above_0)))
                normal = radius * F(np.cos(F(2 * math.pi) * turn))
                noisy[lane] = plan.inputs[row, i] + normal * input_noise


@part
@no_type_check
def draw_rows(batch_size, lanes, values, n):
    """Draw the rows with the smallest random numbers; of two equal numbers the first."""
    n_rows = len(values.is_drawn)
    if batch_size == n_rows:
        return
    for lane in range(n):
        start = lanes.step[lane] * n_rows
        for row in range(n_rows):
            own = random_bits(lanes.seed[lane], BATCH, start + row) >> np.uint64(1)
            n_before = 0
            for other in range(n_rows):
                number = random_bits(lanes.seed[lane], BATCH, start + other) >> np.uint64(1)
                n_before += number < own or (number == own and other < row)
            values.is_drawn[row, lane] = ONE if n_before < batch_size else ZERO


@part
@no_type_check
def draw_units(plan, learning, lanes, values, n):
    """Draw dropout's factor of every hidden unit: 0, or 1 / (1 - share)."""
    n_rows, n_hidden_layers = len(plan.inputs), len(plan.sizes) - 1
    if learning.dropout == ZERO:
        return
    n_hidden = plan.value_at[n_hidden_layers]
    scale = F(1 / (1 - learning.dropout))
    for lane in range(n):
        start = lanes.step[lane] * (learning.batch_size * n_hidden)
        for layer in range(n_hidden_layers):
            width, first = plan.sizes[layer], plan.value_at[layer]
            n_drawn = 0  # rows that are not drawn have no numbers
            for row in range(n_rows):
                if values.is_drawn[row, lane] == ONE:
                    for unit in range(width):
                        counter = start + learning.batch_size * first + n_drawn * width + unit
                        drawn = random_bits(lanes.seed[lane], DROPOUT, counter)
                        share = F(drawn >> np.uint64(40)) * UNIT
                        is_kept = share >= learning.dropout
                        values.factors[row, first + unit, lane] = scale if is_kept else ZERO
                    n_drawn += 1


# forward


@part
@no_type_check
def add(total, values, n):
    for lane in range(n):
        total[lane] += values[lane]


@part
@no_type_check
def add_product(total, values, others, n):
    for lane in range(n):
        total[lane] += values[lane] * others[lane]


@part
@no_type_check
def put(total, values, n):
    for lane in range(n):
        total[lane] = values[lane]


@part
@no_type_check
def put_product(total, values, others, n):
    for lane in range(n):
        total[lane] = values[lane] * others[lane]


@part
@no_type_check
def set_zero(total, n):
    for lane in range(n):
        total[lane] = ZERO


@part
@no_type_check
def weigh(plan, weights, values, layer, n):
    """What a layer reads -> its pre-activations, on all rows."""
    n_read, first, size = plan.n_read[layer], plan.value_at[layer], plan.sizes[layer]
    n_before = plan.sizes[layer - 1] if layer > 0 else 0
    before = plan.value_at[layer - 1] if layer > 0 else 0
    at = plan.weight_at[layer]
    for row in range(len(plan.inputs)):
        for unit in range(size):
            total = values.pre[row, first + unit]
            put(total, weights[at + size * n_read + unit], n)
            for i in range(n_read):
                weight, number = weights[at + unit * n_read + i], i - n_before
                # beside the layer before: the inputs, for the first layer or by direct connections
                if number < 0:
                    add_product(total, weight, values.read[row, before + i], n)
                elif plan.kinds[row, number] == 1:
                    add(total, weight, n)
                elif plan.kinds[row, number] == A_NUMBER:
                    add_product(total, weight, values.inputs[row, number], n)


@part
@no_type_check
def drop(values, first, end, with_dropout, n):
    """The values that the next layer reads, after dropout."""
    for row in range(len(values.post)):
        for unit in range(first, end):
            read, post = values.read[row, unit], values.post[row, unit]
            if with_dropout:
                put_product(read, post, values.factors[row, unit], n)
            else:
                put(read, post, n)


@part
@no_type_check
def drop_slopes(values, first, end, n):
    for row in range(len(values.slope)):
        for unit in range(first, end):
            slope, factors = values.slope[row, unit], values.factors[row, unit]
            for lane in range(n):
                slope[lane] *= factors[lane]


@part
@no_type_check
def losses(plan, batch_size, loss, values, of_sample, n):
    """The mean loss over all rows, and its slope at the outputs.

    With a sample, only drawn rows have a slope.
    """
    n_rows, d_out = plan.targets.shape
    n_counted = batch_size if of_sample else n_rows
    share = F(1 / n_counted) if plan.loss_fn == CE else F(1 / (n_counted * d_out))
    first = plan.value_at[len(plan.sizes) - 1]
    outputs, slopes = values.post, values.slope
    if not of_sample:
        for lane in range(n):
            loss[lane] = ZERO
    for row in range(n_rows):
        if plan.loss_fn == CE:
            cross_entropy(plan.targets, outputs, slopes, row, first, loss, share, of_sample, n)
        else:
            for k in range(d_out):
                own, target = first + k, plan.targets[row, k]
                if plan.loss_fn == MSE:
                    squared_error(target, outputs, slopes, row, own, loss, share, of_sample, n)
                else:
                    binary_cross_entropy(
                        target, outputs, slopes, row, own, loss, share, of_sample, n
                    )
        if of_sample:
            for k in range(d_out):
                for lane in range(n):
                    slopes[row, first + k, lane] *= values.is_drawn[row, lane]


@part
@no_type_check
def binary_cross_entropy(target, outputs, slopes, row, unit, loss, share, of_sample, n):
    """log(1 + exp(wrong)), written with exp(-|wrong|), which never overflows."""
    sign = ONE - TWO * target
    counted = ZERO if of_sample else share
    for lane in range(n):
        wrong = outputs[row, unit, lane] * sign
        decay = exponential(-abs(wrong))
        numerator = ONE if wrong > ZERO else decay
        slopes[row, unit, lane] = numerator / (decay + ONE) * (sign * share)
        loss[lane] += (log_of_1_and(decay) + (ZERO if wrong < ZERO else wrong)) * counted


@part
@no_type_check
def squared_error(target, outputs, slopes, row, unit, loss, share, of_sample, n):
    counted = ZERO if of_sample else share
    for lane in range(n):
        error = outputs[row, unit, lane] - target
        slopes[row, unit, lane] = error * (TWO * share)
        loss[lane] += error * error * counted


@part
@no_type_check
def cross_entropy(targets, outputs, slopes, row, first, loss, share, of_sample, n):
    """Cross-entropy of the class that the one-hot target names, on one row."""
    d_out = targets.shape[1]
    counted = ZERO if of_sample else share
    for lane in range(n):
        largest = outputs[row, first, lane]
        for k in range(1, d_out):
            largest = (
                outputs[row, first + k, lane]
                if outputs[row, first + k, lane] > largest
                else largest
            )
        total, right = ZERO, ZERO
        for k in range(d_out):
            shifted = outputs[row, first + k, lane] - largest
            right += shifted * targets[row, k]
            slopes[row, first + k, lane] = exponential(shifted)
            total += slopes[row, first + k, lane]
        for k in range(d_out):
            slopes[row, first + k, lane] = (
                slopes[row, first + k, lane] / total - targets[row, k]
            ) * share
        loss[lane] += (F(math.log(total)) - right) * counted


# backward


@part
@no_type_check
def backward(plan, weights, gradient, values, layer, n):
    """The slope at a layer's pre-activations -> its gradient, and the slope at what it reads."""
    n_rows = len(plan.inputs)
    n_read, first, size = plan.n_read[layer], plan.value_at[layer], plan.sizes[layer]
    n_before = plan.sizes[layer - 1] if layer > 0 else 0
    before = plan.value_at[layer - 1] if layer > 0 else 0
    at = plan.weight_at[layer]
    for unit in range(size):
        total = gradient[at + size * n_read + unit]
        put(total, values.slope[0, first + unit], n)
        for row in range(1, n_rows):
            add(total, values.slope[row, first + unit], n)
        for i in range(n_read):
            total, number = gradient[at + unit * n_read + i], i - n_before
            if number < 0:
                put_product(total, values.slope[0, first + unit], values.read[0, before + i], n)
                for row in range(1, n_rows):
                    slope, value = values.slope[row, first + unit], values.read[row, before + i]
                    add_product(total, slope, value, n)
                continue
            set_zero(total, n)
            for row in range(n_rows):
                slope = values.slope[row, first + unit]
                if plan.kinds[row, number] == 1:
                    add(total, slope, n)
                elif plan.kinds[row, number] == A_NUMBER:
                    add_product(total, slope, values.inputs[row, number], n)
    for row in range(n_rows):
        for i in range(n_before):
            total = values.slope[row, before + i]
            put_product(total, values.slope[row, first], weights[at + i], n)
            for unit in range(1, size):
                weight = weights[at + unit * n_read + i]
                add_product(total, values.slope[row, first + unit], weight, n)


@part
@no_type_check
def flushed(x):
    """0 for a number so small that processors are slow with it, as the mean of a dead unit's slopes
    becomes.
    """
    return ZERO if abs(x) < SMALLEST else x


@part
@no_type_check
def update(learning, lanes, n):
    """One step of the optimiser, the same as in `_fit`."""
    scale, rate = lanes.scale, lanes.rate
    weights, gradient = lanes.weights, lanes.gradient
    mean, square = lanes.mean, lanes.square
    if learning.optimizer != SGD:
        last = len(learning.adam) - 1
        for lane in range(n):
            step = min(lanes.step[lane], last)
            scale[lane] = learning.adam[step, 0]
            rate[lane] = learning.adam[step, 1]
    for parameter in range(len(lanes.weights)):
        if learning.has_penalties:
            penalty = learning.penalties[parameter]
            for lane in range(n):
                gradient[parameter, lane] += np.sign(weights[parameter, lane]) * penalty
        if learning.weight_decay > ZERO and learning.optimizer == ADAMW:
            kept = F(1 - learning.lr * learning.weight_decay)
            for lane in range(n):
                weights[parameter, lane] *= kept
        elif learning.weight_decay > ZERO:
            for lane in range(n):
                gradient[parameter, lane] += weights[parameter, lane] * learning.weight_decay
        if learning.optimizer == SGD:
            for lane in range(n):
                mean[parameter, lane] = (
                    mean[parameter, lane] * learning.momentum + gradient[parameter, lane]
                )
                weights[parameter, lane] -= mean[parameter, lane] * learning.lr
        else:
            for lane in range(n):
                slope = gradient[parameter, lane]
                new_mean = flushed(mean[parameter, lane] * BETA_1 + slope)
                new_square = flushed(square[parameter, lane] * BETA_2 + slope * slope)
                mean[parameter, lane], square[parameter, lane] = new_mean, new_square
                change = new_mean / (np.sqrt(new_square) + scale[lane]) * rate[lane]
                weights[parameter, lane] -= change


# networks into and out of lanes


@part
@no_type_check
def load(lanes, networks, lane):
    """Load the next network into a lane, if one is left."""
    network = lanes.numbers[0]
    lanes.step[lane] = 0
    if network >= len(networks.seeds):
        lanes.network[lane] = -1
        lanes.next_kept[lane] = NO_STEP
        return
    lanes.numbers[0] += 1
    lanes.network[lane] = network
    lanes.seed[lane] = networks.seeds[network]
    lanes.n_kept[lane] = 0
    lanes.next_kept[lane] = networks.kept_at[0] if len(networks.kept_at) else NO_STEP
    for parameter in range(len(lanes.weights)):
        lanes.weights[parameter, lane] = networks.start[parameter, network]
        lanes.mean[parameter, lane] = ZERO
        lanes.square[parameter, lane] = ZERO


@part
@no_type_check
def move_together(lanes, n):
    """Move the lanes that train a network to the front; return how many are then in use."""
    n_open = 0
    for lane in range(n):
        if lanes.network[lane] >= 0:
            lanes.network[n_open] = lanes.network[lane]
            lanes.seed[n_open] = lanes.seed[lane]
            lanes.step[n_open] = lanes.step[lane]
            lanes.n_kept[n_open] = lanes.n_kept[lane]
            lanes.next_kept[n_open] = lanes.next_kept[lane]
            for parameter in range(len(lanes.weights)):
                lanes.weights[parameter, n_open] = lanes.weights[parameter, lane]
                lanes.mean[parameter, n_open] = lanes.mean[parameter, lane]
                lanes.square[parameter, n_open] = lanes.square[parameter, lane]
            n_open += 1
    n_used = -(-n_open // MULTIPLE) * MULTIPLE
    for lane in range(n_open, n_used):
        lanes.network[lane] = -1
        lanes.step[lane] = 0
        lanes.next_kept[lane] = NO_STEP
    return n_used


@part
@no_type_check
def store_checkpoints(lanes, networks, n):
    """Store the networks in lanes whose step is a checkpoint, before they take it."""
    n_due = 0
    for lane in range(n):
        n_due += lanes.step[lane] == lanes.next_kept[lane]
    if n_due == 0:
        return
    for lane in range(n):
        if lanes.step[lane] == lanes.next_kept[lane]:
            network, number = lanes.network[lane], lanes.n_kept[lane]
            networks.kept_losses[number, network] = lanes.loss[lane]
            for parameter in range(len(lanes.weights)):
                networks.kept[number, parameter, network] = lanes.weights[parameter, lane]
            number += 1
            lanes.n_kept[lane] = number
            is_last = number == len(networks.kept_at)
            lanes.next_kept[lane] = NO_STEP if is_last else networks.kept_at[number]


@part
@no_type_check
def store_finished(learning, lanes, networks, n):
    """Mark the lanes that are done and store their networks; return how many there are."""
    n_done = 0
    for lane in range(n):
        # NaN is not below: a network that diverged is never done before the last round
        is_last = lanes.step[lane] >= learning.max_steps
        is_done = lanes.network[lane] >= 0 and (is_last or lanes.loss[lane] < learning.stop_loss)
        lanes.done[lane] = is_done
        n_done += is_done
    if n_done:
        for lane in range(n):
            if lanes.done[lane]:
                network = lanes.network[lane]
                networks.losses[network] = lanes.loss[lane]
                networks.steps[network] = lanes.step[lane]
                for parameter in range(len(lanes.weights)):
                    networks.final[parameter, network] = lanes.weights[parameter, lane]
    lanes.numbers[2] = n_done
    return n_done


@part
@no_type_check
def replace_finished(lanes, networks):
    """Load the next networks into lanes that are done; if few lanes train one, move these
    together."""
    n, n_open = lanes.numbers[1], 0
    for lane in range(n):
        if lanes.done[lane]:
            load(lanes, networks, lane)
        n_open += lanes.network[lane] >= 0
    if n_open <= n // 2:
        lanes.numbers[1] = move_together(lanes, n)
    lanes.numbers[2] = 0


@compiled
@no_type_check
def advance(plan, learning, lanes, values, networks, n_rounds):
    """Take this many steps in all lanes; return how many networks finished.

    Networks that finish make room for the next ones.
    """
    n_finished = 0
    setting, n_layers = plan.negative_slope, len(plan.sizes)
    has_dropout = learning.dropout > ZERO
    is_sampled = has_dropout or learning.batch_size < len(plan.inputs)
    has_checkpoints = len(networks.kept_at) > 0
    for _ in range(n_rounds):
        if lanes.numbers[2]:
            replace_finished(lanes, networks)
        n = lanes.numbers[1]
        if n == 0:
            break
        if learning.input_noise > ZERO:
            draw_noise(plan, learning.input_noise, lanes, values, n)
        # the loss that counts is that of all rows and units; a step may learn from fewer
        for of_sample in range(1 + is_sampled):
            if of_sample:
                draw_rows(learning.batch_size, lanes, values, n)
                draw_units(plan, learning, lanes, values, n)
            for layer in range(n_layers):
                act_fn, first = plan.act_fns[layer], plan.value_at[layer]
                end = first + plan.sizes[layer]
                weigh(plan, lanes.weights, values, layer, n)
                activate(act_fn, setting, values.pre, values.post, first, end, n)
                if has_dropout and layer < n_layers - 1:
                    drop(values, first, end, of_sample, n)
            losses(plan, learning.batch_size, lanes.loss, values, of_sample, n)
            if not of_sample:
                if has_checkpoints:
                    store_checkpoints(lanes, networks, n)
                n_finished += store_finished(learning, lanes, networks, n)
        for layer in range(n_layers - 1, -1, -1):
            act_fn, first = plan.act_fns[layer], plan.value_at[layer]
            end = first + plan.sizes[layer]
            if has_dropout and layer < n_layers - 1:
                drop_slopes(values, first, end, n)
            go_back(act_fn, setting, values.pre, values.post, values.slope, first, end, n)
            backward(plan, lanes.weights, lanes.gradient, values, layer, n)
        update(learning, lanes, n)
        for lane in range(n):
            lanes.step[lane] += lanes.network[lane] >= 0
    return n_finished
