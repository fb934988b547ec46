"""many networks -> one finding each, as a table; and what such tables answer.

One trained network shows one solution. Retraining from other seeds shows which solutions training finds, how often, and how often none.
`census` is the table, `shards` the same for more networks than fit in memory, `width` why two hidden units (`one_unit` proves that one is
not enough), `start` what the seed decides, `identity` Marcus' experiment on what training cannot teach.
"""

from xor_mi.population.census import census as census
from xor_mi.population.census import gate_shares as gate_shares
from xor_mi.population.census import population_of as population_of
from xor_mi.population.census import read_census as read_census
from xor_mi.population.census import shares as shares
from xor_mi.population.census import write_census as write_census
from xor_mi.population.identity import identity_experiment as identity_experiment
from xor_mi.population.one_unit import one_unit_functions as one_unit_functions
from xor_mi.population.shards import run_census as run_census
from xor_mi.population.start import by_start as by_start
from xor_mi.population.width import PUBLISHED as PUBLISHED
from xor_mi.population.width import width_study as width_study
