"""Train the network anew and keep it in network/: `python retrain.py [SEED]`."""

import sys
from pathlib import Path

from xor_mi import train

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 29
train("XOR", seed=seed).model.save_pretrained(Path(__file__).parent / "network")
