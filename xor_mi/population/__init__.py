"""many networks -> one finding each, as a table; and what such tables answer.

One trained network shows one solution. Retraining from other seeds shows which solutions training
finds, how often, and how often none. `census` is the table, `shards` the same for more networks
than fit in memory, `width` why two hidden units (`one_unit` proves that one is not enough), `start`
what the seed decides, `identity` Marcus' experiment on what training cannot teach."""

from xor_mi.population._census import census as census
from xor_mi.population._census import family_shares as family_shares
from xor_mi.population._census import gate_shares as gate_shares
from xor_mi.population._census import population_from_census as population_from_census
from xor_mi.population._census import read_census as read_census
from xor_mi.population._census import write_census as write_census
from xor_mi.population._identity import identity_experiment as identity_experiment
from xor_mi.population._shards import run_census as run_census
from xor_mi.population._start import outcome_by_initial_signs as outcome_by_initial_signs
from xor_mi.population._width import PUBLISHED as PUBLISHED
from xor_mi.population._width import width_study as width_study
