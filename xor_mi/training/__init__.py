"""target + seed -> a trained network, or many at once along a seed axis.

Network i of a population is bit for bit the network it would be in any other batch of the same
engine, also alone: its own seed draws its weights, its noise, its batches and what dropout leaves
out, the loss is the mean over its rows, the optimiser works entry by entry, and a network is kept
from the step at which its loss first falls below `stop_loss`. `train` is a population of one, by
PyTorch. `_start` says what is trained and from where, `_engine` which engine does it. `_arithmetic`
writes forward, loss and gradients out by hand, `_fit` is the loop of PyTorch's operations, `_noise`
random numbers by counter; `_lanes`, `_lane_numbers` and `_fit_lanes` do the same in code that numba
compiles.
"""

from xor_mi.training._checkpoints import Checkpoints as Checkpoints
from xor_mi.training._config import TrainConfig as TrainConfig
from xor_mi.training._config import TrainSettings as TrainSettings
from xor_mi.training._population import Population as Population
from xor_mi.training._population import starting_weights as starting_weights
from xor_mi.training._start import Init as Init
from xor_mi.training._train import TrainResult as TrainResult
from xor_mi.training._train import replay as replay
from xor_mi.training._train import train as train
from xor_mi.training._train import train_population as train_population
