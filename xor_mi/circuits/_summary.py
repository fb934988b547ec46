"""many networks -> what `identify_circuit` says about each, in one line.

`identify_many` decides what it can for all networks together (`_batch`), and gives the rest to
`identify_circuit` one by one: other conventions, very many readings, and numbers so close to a
bound that rounding might decide. The answers are the same, only sooner.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

from xor_mi.circuits._batch import Networks
from xor_mi.circuits._batch_readings import NUMBERS_AT_ONCE
from xor_mi.circuits._batch_summary import summaries_of
from xor_mi.circuits._facts import ProofLevel
from xor_mi.circuits._identify import ALWAYS_LISTED, identify_circuit
from xor_mi.circuits._one_line import Summary, summarize
from xor_mi.circuits._readings import MIN_MARGIN
from xor_mi.circuits._required import Required
from xor_mi.circuits._steps import STEPS
from xor_mi.errors import XorMiError
from xor_mi.finding import ListedList
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.progress import progress_bar
from xor_mi.truth import MONOTONE_ACTIVATIONS

MAX_WIDTH = 12
"""Networks with a wider layer than this go to `identify_circuit` one by one."""
MAX_CHOICES = 2_000_000
"""So do networks with more choices of readings than this in the last hidden layer."""
MAX_RUNS = 4096
"""So do networks with more joint interchanges in an earlier layer, where all of them are run."""
TYPICAL_READINGS = 128
"""Memory is planned for so many joint readings of each network; some tanh networks have more."""


def identify_many(
    models: Callable[[int], HookedMLP],
    layers: Sequence[tuple[Tensor, Tensor]],
    cfg: HookedMLPConfig,
    *,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    progress: bool = True,
) -> list[Summary]:
    """One summary per network.

    Networks are identified together if their shape allows it, and otherwise one by one, with the
    same answers. The shape allows it if the networks decide between two classes, if hidden layers
    have at most 12 units and at most 4,096 joint interchanges each, and if there are no direct
    connections and no steps after the first hidden layer.

    Args:
        models: number -> network, for those that are identified one by one.
        layers: W [network, d_out, d_in] and b [network, d_out] per layer.
        require, min_margin: what a circuit needs in order to count; see `identify_circuit`.

    Raises:
        XorMiError: a level of proof or a margin that does not exist.
    """
    required = Required.of(require, min_margin)
    n_networks = len(layers[0][0])
    summaries: dict[int, Summary] = {}
    with progress_bar(
        doing="identifying", unit="network", total=n_networks, progress=progress
    ) as bar:
        if _covered(cfg):
            at_once = _networks_at_once(cfg)
            for start in range(0, n_networks, at_once):
                numbers = slice(start, start + at_once)
                of_chunk = [(weight[numbers], bias[numbers]) for weight, bias in layers]
                for number, summary in summaries_of(Networks.of(of_chunk, cfg), required):
                    summaries[start + number] = summary
                bar.update(len(summaries) - bar.n)
        # every network that is not sure by now
        for number in range(n_networks):
            if number not in summaries:
                summaries[number] = _alone(models, number, required)
                bar.update()
    return ListedList(summaries[number] for number in range(n_networks))


def _covered(cfg: HookedMLPConfig) -> bool:
    """Whether networks of this shape and these conventions can be identified together."""
    # One step or difference at the output: its scores must be linear in the hidden units, except
    # for an activation that does not jump.
    is_difference = cfg.rule.name == "argmax" and cfg.d_out == 2 and cfg.out_act_fn == "identity"
    is_threshold = cfg.rule.name == "threshold" and cfg.out_act_fn not in STEPS
    # the function of the sum must never fall, so that a sum of extremes is the worst case
    falls = cfg.out_act_fn == "leaky_relu" and cfg.negative_slope < 0
    rises = cfg.out_act_fn in MONOTONE_ACTIVATIONS and not falls
    # if a deeper layer has steps, what is near a step depends on the values that it reads
    steps_later = any(name in STEPS for name in cfg.act_fns[1:])
    *before, last = cfg.d_hidden
    # a unit has at most one reading per gap between neighbouring values
    n_rows, n_cuts = 2**cfg.d_in, 2**cfg.d_in - 1
    return (
        (is_threshold or is_difference)
        and rises
        and not steps_later
        and not cfg.direct
        and cfg.dtype in (torch.float32, torch.float64)
        and cfg.target is not None
        and max(cfg.d_hidden) <= MAX_WIDTH
        and n_cuts**last <= MAX_CHOICES
        and all(n_rows**width <= MAX_RUNS for width in before)
    )


def identified_together(cfg: HookedMLPConfig) -> int:
    """How many networks of this shape are identified at once; 1 if one by one."""
    return _networks_at_once(cfg) if _covered(cfg) else 1


def _networks_at_once(cfg: HookedMLPConfig) -> int:
    """How many networks fit, by the largest tensors that are held for all of them.

    These are their readings with the gates, and all joint interchanges of a layer before the last
    one, in which any two units of a later layer are compared.
    """
    *before, _ = cfg.d_hidden
    widest, n_rows = max(*cfg.d_hidden, cfg.d_out), 2**cfg.d_in
    n_readings = min(TYPICAL_READINGS, prod((n_rows - 1) ** width for width in cfg.d_hidden))
    n_numbers = n_readings * max(n_rows, 2**widest // 8) * widest
    n_runs = sum(n_rows**width for width in before)
    return max(1, NUMBERS_AT_ONCE // max(n_numbers, n_rows**2 * widest, n_runs * widest**2))


def _alone(models: Callable[[int], HookedMLP], number: int, required: Required) -> Summary:
    """One network's summary by `identify_circuit` itself."""
    try:
        circuit = identify_circuit(
            models(number),
            require=required.level,
            min_margin=required.min_margin,
            max_readings=ALWAYS_LISTED,  # many networks wait
            with_evidence=False,
            progress=False,
        )
        return summarize(circuit)
    # Too many readings, or weights that are not finite: the other networks should not be lost.
    except XorMiError as error:
        return Summary(
            verdict=None,
            n_readings=None,
            n_circuits=None,
            n_circuits_single=None,
            n_circuits_joint=None,
            why_not=str(error),
        )
