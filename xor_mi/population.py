"""many networks -> one finding each, as a table.

One trained network shows one solution. Retraining from other seeds shows which solutions training finds, how often, and how often none.
"""

import pandas as pd
from tqdm import tqdm
from transformer_lens.utilities.statistics import success_rate_ci

from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.training import Population


def census(population: Population, progress: bool = False) -> pd.DataFrame:
    """One line per network: seed, solved, steps, loss, verdict, gates (as '{AND, OR}'; empty without a circuit), readings (how many)."""
    lines = []
    for index in tqdm(range(len(population)), desc="identifying", unit="network", disable=None if progress else True):
        try:
            circuit = identify_circuit(population[index], evidence=False)
            found = {"verdict": circuit.verdict, "gates": circuit.gate_set or "", "readings": len(circuit.readings)}
        except XorMiError as error:  # more readings than are listed: said, and no reason to lose the other networks
            found = {"verdict": f"not tried: {error}", "gates": "", "readings": None}
        line = {"seed": int(population.seeds[index]), "solved": bool(population.solved[index]), "steps": int(population.steps[index])}
        lines.append(line | {"loss": population.losses[index].item()} | found)
    return pd.DataFrame(lines)


def gate_shares(networks: pd.DataFrame) -> pd.DataFrame:
    """A census -> how often each set of hidden gates occurs among the solved networks.

    Columns: gates, n_networks, share (of the solved), ci_low, ci_high (95 % Clopper-Pearson, by TransformerLens' `success_rate_ci`).
    """
    solved = networks[networks["solved"]]
    lines = []
    for gates, count in solved["gates"].value_counts().items():
        interval = success_rate_ci([True] * count + [False] * (len(solved) - count))
        share = {"share": interval.point_estimate, "ci_low": interval.ci_low, "ci_high": interval.ci_high}
        lines.append({"gates": gates or "(no gate reading)", "n_networks": count} | share)
    return pd.DataFrame(lines, columns=["gates", "n_networks", "share", "ci_low", "ci_high"])
