"""Mistakes that an editor must show: `make lint` fails if one of these lines is accepted.

Each says which rule of pyright answers it; in strict mode a comment that nothing needs is an error
itself. Read by pyright, never executed.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import xor_mi
from xor_mi import handmade, interventions, population, testing
from xor_mi.kinds import AblationValue, ActivationName, Direction, SubsetRule, UpTo

model = handmade.textbook_xor()
circuit = xor_mi.identify_circuit(model)

# a word that does not exist
xor_mi.patch_sweep(model, direction="sideways")  # pyright: ignore[reportArgumentType]
xor_mi.patch(model, "01", "11", "h0.1", direction="noise")  # pyright: ignore[reportArgumentType]
xor_mi.ablation_sweep(model, subsets="triples")  # pyright: ignore[reportArgumentType]
xor_mi.ablation_sweep(model, value="median")  # pyright: ignore[reportArgumentType]
interventions.attribute(model, method="guess")  # pyright: ignore[reportArgumentType]
testing.assert_same_circuit(model, circuit, up_to="luck")  # pyright: ignore[reportArgumentType]
xor_mi.TrainConfig(act_fn="rellu")  # pyright: ignore[reportArgumentType]
xor_mi.TrainConfig(optimizer="lion")  # pyright: ignore[reportArgumentType]
xor_mi.HookedMLPConfig(loss_fn="hinge")  # pyright: ignore[reportArgumentType]
handmade.from_formula("x0 ^ x1", act_fn="relu")  # pyright: ignore[reportArgumentType]
way: Direction = "sideways"  # pyright: ignore[reportAssignmentType]
rule: SubsetRule = "triples"  # pyright: ignore[reportAssignmentType]
value: AblationValue = "median"  # pyright: ignore[reportAssignmentType]
name: ActivationName = "rellu"  # pyright: ignore[reportAssignmentType]
bound: UpTo = "luck"  # pyright: ignore[reportAssignmentType]

# a value of another kind
xor_mi.train("XOR", hidden="2")  # pyright: ignore[reportArgumentType]
xor_mi.identify_circuit("model")  # pyright: ignore[reportArgumentType]
population.census(model)  # pyright: ignore[reportArgumentType]

# an option by its place, and one that there is not
xor_mi.train("XOR", (2,))  # pyright: ignore[reportCallIssue]
xor_mi.patch_sweep(model, sits=["h0.0"])  # pyright: ignore[reportCallIssue]
