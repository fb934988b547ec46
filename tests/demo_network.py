"""The network released with Meloux, Maniu, Portet and Peyrard 2025 (arXiv 2502.20914), MIT licence.

It is a 2-3-3-1 that computes XOR, leaky ReLU of slope 0.01 on hidden layers and output, threshold
0.5. Weights are facts. What is counted in it was counted independently of this package.
"""

LAYERS = [
    (
        [
            [1.0496739149093628, 1.051720142364502],
            [0.8460784554481506, 0.9669253826141357],
            [0.6563401818275452, 0.20505137741565704],
        ],
        [-0.9601401090621948, 0.386589914560318, 0.4558679759502411],
    ),
    (
        [
            [-1.373306393623352, 0.9750644564628601, 0.23802503943443298],
            [1.656206727027893, -0.20771779119968414, -0.08239325881004333],
            [-0.8113554120063782, 0.630333423614502, 0.224580779671669],
        ],
        [-0.406762957572937, -0.24519804120063782, -0.18624170124530792],
    ),
    (
        [
            [0.911453127861023, -0.8001611232757568, 0.7080386281013489],
        ],
        [-0.3498289883136749],
    ),
]
SLOPE = 0.01
THRESHOLD = 0.5

PAPER = {"subcircuits": 9_625, "perfect": 197, "interpretations": 147_899_020}
"""All node masks; local XOR and XNOR of two parents do not count."""
CODE = {"subcircuits": 3_000, "perfect": 32, "interpretations": 234_700}
"""As the released code: without the mask that keeps every unit, outputs rounded."""
ALIGNED = {"unordered": (7, 42), "all": (2, 2)}
"""Of the 56 formulas those that align, and their minimal alignments, by the pairs that are tried."""
