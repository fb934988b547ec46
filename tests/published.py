"""XOR networks as their authors printed them, each with its author's own conventions.

Weights are facts; where each was printed stands beside it. `gates` is what every hidden unit acts
as on the rows 00, 01, 10, 11, None where there is no one answer. `outputs` are to six digits.
"""

from dataclasses import dataclass

import numpy as np

ROWS = [(0, 0), (0, 1), (1, 0), (1, 1)]

FUNCTIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "identity": lambda z: z,
}


@dataclass(frozen=True)
class Published:
    """One network.

    Attributes:
        layers: (weight [d_out, d_in], bias) layer by layer.
        threshold: what an output is compared with; None where the larger of two outputs decides.
        target: what it is meant to compute, or None where its author says that it fails.
        computes: what it computes, where its author claims the target and is wrong.
        verdict: of `identify_circuit`.
    """

    source: str
    layers: list
    act_fn: str
    out_act_fn: str
    decisions: str
    outputs: list
    gates: list | None = None
    direct: list | None = None
    levels: tuple = (0, 1)
    on_at_zero: bool = False
    threshold: float | None = 0.5
    target: str | None = "XOR"
    computes: str | None = None
    verdict: str = "identified"

    def settings(self):
        """The conventions, as settings of a HookedMLP that weights alone do not say."""
        rule = (
            {"decision_rule": "argmax"}
            if self.threshold is None
            else {"decision_threshold": self.threshold}
        )
        levels = {} if self.levels == (0, 1) else {"input_levels": self.levels}
        return {**rule, **levels, **({} if self.target is None else {"target": self.target})}

    def function(self, name):
        """An activation function in NumPy."""
        if name == "heaviside":
            return lambda z: ((z >= 0) if self.on_at_zero else (z > 0)).astype(float)
        return FUNCTIONS[name]

    def in_numpy(self):
        """(units of the first hidden layer [row, unit], outputs [row, d_out]) at its own levels."""
        inputs = np.array([[self.levels[bit] for bit in row] for row in ROWS], dtype=float)
        value, first = inputs, None
        for number, (weight, bias) in enumerate(self.layers, start=1):
            pre = value @ np.array(weight, dtype=float).T + np.array(bias, dtype=float)
            is_last = number == len(self.layers)
            if is_last and self.direct is not None:
                pre = pre + inputs @ np.array(self.direct, dtype=float).T
            value = self.function(self.out_act_fn if is_last else self.act_fn)(pre)
            first = value if first is None else first
        return first, value


SURE = [[4.5e-05], [0.999955], [0.999955], [4.5e-05]]
STEPS = [[0.0], [1.0], [1.0], [0.0]]

PUBLISHED = {
    "textbook-relu": Published(
        "Goodfellow, Bengio and Courville, Deep Learning, section 6.1; regression on 0 and 1",
        [([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])],
        "relu", "identity", "0110", STEPS, ["OR", "AND"],
    ),
    "sigmoid-twenties": Published(
        "an answer on a question site that builds XOR from sigmoids by hand",
        [([[20, 20], [-20, -20]], [-10, 30]), ([[20, 20]], [-30])],
        "sigmoid", "sigmoid", "0110", SURE, ["OR", "NAND"],
    ),
    "step-half": Published(
        "an answer on a question site about how an XOR network works",
        [([[1, 1], [-1, -1]], [-0.5, 1.5]), ([[1, 1]], [-1.5])],
        "heaviside", "heaviside", "0110", STEPS, ["OR", "NAND"],
    ),
    "nand-or-and": Published(
        "Deep Learning from Scratch, its chapter on perceptrons",
        [([[-0.5, -0.5], [0.5, 0.5]], [0.7, -0.2]), ([[0.5, 0.5]], [-0.7])],
        "heaviside", "heaviside", "0110", STEPS, ["NAND", "OR"],
    ),
    "grus-sigmoid": Published(
        "Grus, Data Science from Scratch",
        [([[20, 20], [20, 20]], [-30, -10]), ([[-60, 60]], [-30])],
        "sigmoid", "sigmoid", "0110", STEPS, ["AND", "OR"],
    ),
    "ng-xnor": Published(
        "Ng's course on machine learning",
        [([[20, 20], [-20, -20]], [-30, 10]), ([[20, 20]], [-10])],
        "sigmoid", "sigmoid", "1001", [[0.999955], [4.5e-05], [4.5e-05], [0.999955]],
        ["AND", "NOR"], target="XNOR",
    ),
    "claimed-xor-is-nand": Published(
        "an examination's model answer: XOR out of OR and AND, with the steps made sigmoids",
        [([[1, 1], [1, 1]], [-1, -1.5]), ([[1, -2]], [0.5])],
        "sigmoid", "sigmoid", "1110", [[0.59967], [0.560925], [0.560925], [0.496535]],
        computes="NAND", verdict="not_computing",
    ),
    "keras-trained-relu": Published(
        "a Keras notebook, weights as trained on squared error",
        [([[-1.2098621, 0.6269057], [0.6771087, -0.67710876]], [-0.00021322, 0.00636576]),
         ([[1.6106801, 1.4768674]], [-0.00940184])],
        "relu", "identity", "0110", [[0.0], [0.999999], [0.999999], [-1e-06]],
        ["x1>x0", "x0>x1"],
    ),
    "heaton-relu": Published(
        "Heaton's course on neural networks",
        [([[1.3, 1.3], [1.2, 1.2]], [-1.3, 0]), ([[-1.6, 0.8]], [0])],
        "relu", "relu", "0110", [[0.0], [0.96], [0.96], [0.0]], ["AND", "OR"],
    ),
    "page-2-4-1": Published(
        "a page that prints a trained 2-4-1 network, squared error",
        [([[1.0579, -1.0332], [-0.0502, 0.2102], [-1.0009, 1.0331], [-0.5001, -0.4604]],
          [-6.1993e-08, 0.91451, -1.0491e-08, -0.36663]),
         ([[0.9285, -0.3533, 1.0398, 0.3237]], [0.3231])],
        "relu", "identity", "0110", [[4e-06], [0.999957], [0.999999], [-0.000109]],
        ["x0>x1", "x1>=x0", "x1>x0", "FALSE"],  # the second is idle
    ),
    "page-2-4-4-1": Published(
        "the same page's network of two hidden layers, all digits",
        [([[0.7923692464828491, 0.7923692464828491], [1.2335460186004639, 1.233545184135437],
           [0.5874751210212708, -0.23565196990966797],
           [-0.0039754509925842285, -0.06616699695587158]],
          [-0.792369544506073, 0.1299123913049698, -0.6784002780914307, -0.5370442271232605]),
         ([[-1.0765243768692017, 0.6600565314292908, 0.04654008150100708, 0.49690955877304077],
           [1.441149115562439, 0.34586769342422485, 0.3930438756942749, -0.21143001317977905],
           [-0.8664223551750183, 0.5967109203338623, -0.2611600160598755, -0.4636949896812439],
           [-0.2515183389186859, 0.8050224781036377, 0.06480950117111206, -0.34149622917175293]],
          [0.24961571395397186, -0.4715760350227356, -0.0032494489569216967,
           0.16965673883887786]),
         ([[0.5877380967140198, -0.7923039197921753, 0.2806641757488251, 0.31707826256752014]],
          [-0.3049068748950958])],
        "relu", "identity", "0110", STEPS, verdict="no_gate_reading",
    ),
    "tanh-article": Published(
        "an article about a 2-2-1 network of tanh with targets -1 and 1",
        [([[3.86708593, 3.87053323], [-3.11288071, -3.1126008]], [-1.82562542, 4.58438063]),
         ([[5.19325304, 5.19325304]], [-4.87336922])],
        "tanh", "tanh", "0110", [[-0.999803], [0.99987], [0.99987], [-0.999752]],
        ["OR", "NAND"], threshold=0,
    ),
    "embedded-2-4-1": Published(
        "a demonstration for microcontrollers, 2-4-1 with sigmoids",
        [([[12.615948677062988, -7.768343925476074], [7.087679862976074, -12.084550857543945],
           [-11.11963176727295, -11.39654541015625], [-4.291920185089111, -2.2809126377105713]],
          [2.4230074882507324, -2.3847033977508545, 3.81674861907959, 4.373872756958008]),
         ([[-8.670877456665039, 12.829350471496582, -12.074275970458984, 10.015320777893066]],
          [-0.49907049536705017])],
        "sigmoid", "sigmoid", "0110", [[9.1e-05], [0.999768], [0.999841], [0.000287]],
        verdict="approximate",
    ),
    "step-at-least-zero": Published(
        "a threshold network on a model hub, H(z) = 1 where z >= 0",
        [([[1, 1], [-1, -1]], [-1, 1]), ([[1, 1]], [-2])],
        "heaviside", "heaviside", "0110", STEPS, ["OR", "NAND"], on_at_zero=True,
    ),
    "mcculloch-pitts-applet": Published(
        "an applet of McCulloch and Pitts' neurons, which fire at 1 and above",
        [([[1, -1], [-1, 1]], [-1, -1]), ([[1, 1]], [-1])],
        "heaviside", "heaviside", "0110", STEPS, ["x0>x1", "x1>x0"], on_at_zero=True,
    ),
    "mcculloch-pitts-half": Published(
        "lecture notes on the same neurons, thresholds of one half",
        [([[1, -1], [-1, 1]], [-0.5, -0.5]), ([[1, 1]], [-0.5])],
        "heaviside", "heaviside", "0110", STEPS, ["x0>x1", "x1>x0"],
    ),
    "one-unit-and-direct": Published(
        "textbooks: one hidden unit, and inputs connected to the output too",
        [([[1, 1]], [-1.5]), ([[-2]], [-0.5])],
        "heaviside", "heaviside", "0110", STEPS, ["AND"], direct=[[1, 1]],
    ),
    "rumelhart-2-1-1": Published(
        "Rumelhart, Hinton and Williams 1986, the network with one hidden unit",
        [([[-6.4, -6.4]], [2.2]), ([[-9.4]], [6.3])],
        "sigmoid", "sigmoid", "0110", [[0.103183], [0.876655], [0.876655], [0.109074]],
        ["NOR"], direct=[[-4.2, -4.2]],
    ),
    "bipolar-tanh": Published(
        "a question on a computer-science site: inputs and targets -1 and 1",
        [([[10, 10], [10, 10]], [-10, 10]), ([[-0.5, 1]], [-0.75])],
        "tanh", "tanh", "0110", [[-0.848284], [0.635149], [0.635149], [-0.244919]],
        ["AND", "OR"], levels=(-1, 1), threshold=0,
    ),
    "bipolar-tanh-failing": Published(
        "the same question: the readout that its author could not get to work",
        [([[10, 10], [10, 10]], [-10, 10]), ([[1.5, 5.7]], [0.9])],
        "tanh", "tanh", "0111", [[-0.999993], [0.999926], [0.999926], [1.0]],
        levels=(-1, 1), threshold=0, target=None,
    ),
    "two-logits": Published(
        "a classifier with cross-entropy and two outputs, both biases raised by ten",
        [([[1, 1], [1, 1]], [0, -1]), ([[-1, 2], [1, -2]], [10.5, 9.5])],
        "relu", "identity", "0110", [[10.5, 9.5], [9.5, 10.5], [9.5, 10.5], [10.5, 9.5]],
        ["OR", "AND"], threshold=None,
    ),
}  # fmt: skip
"""Name -> network."""
