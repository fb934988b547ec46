"""many networks -> one finding each, as a table; and what such tables answer.

One trained network shows one solution. Retraining from other seeds shows which solutions training
finds, how often, and how often it finds none. `census` makes the table, and `run_census` makes it
of more networks than fit in memory. `verdict_shares` counts how often the circuit is certain,
`family_shares` which circuit it is. `width_study` shows how the number of hidden units matters
(`truth.threshold_functions` proves that one is not enough for XOR), `outcome_by_initial_signs` and
`outcome_by_sign_pattern` what the seed decides, `predict_ending` how early the end is decided,
`stuck_in` and `stuck_shares` what networks that fail are stuck in. `identity_experiment` repeats
Marcus' experiment on what training cannot teach, and `generalising` finds when rows that were never
shown come right.

These functions return plain DataFrames, and not findings with a `frame()`: a table over many
networks is there to be filtered, grouped and joined, and pandas is what people do that with.
"""

from xor_mi.population._census import census as census
from xor_mi.population._census import counted_as as counted_as
from xor_mi.population._census import family_shares as family_shares
from xor_mi.population._census import gate_shares as gate_shares
from xor_mi.population._census import population_from_census as population_from_census
from xor_mi.population._census import verdict_shares as verdict_shares
from xor_mi.population._ending import predict_ending as predict_ending
from xor_mi.population._events import EVENTS as EVENTS
from xor_mi.population._events import Event as Event
from xor_mi.population._generalising import SLOWLY as SLOWLY
from xor_mi.population._generalising import generalising as generalising
from xor_mi.population._identity import identity_experiment as identity_experiment
from xor_mi.population._parquet import CENSUS_COLUMNS as CENSUS_COLUMNS
from xor_mi.population._parquet import write_census as write_census
from xor_mi.population._read import read_census as read_census
from xor_mi.population._shards import run_census as run_census
from xor_mi.population._start import outcome_by_initial_signs as outcome_by_initial_signs
from xor_mi.population._start import outcome_by_sign_pattern as outcome_by_sign_pattern
from xor_mi.population._stuck import Nudge as Nudge
from xor_mi.population._stuck import NudgeKind as NudgeKind
from xor_mi.population._stuck import Stuck as Stuck
from xor_mi.population._stuck import stuck_in as stuck_in
from xor_mi.population._stuck import stuck_shares as stuck_shares
from xor_mi.population._stuck_kinds import STUCK_KINDS as STUCK_KINDS
from xor_mi.population._stuck_kinds import StuckKind as StuckKind
from xor_mi.population._trajectories import gates_over_time as gates_over_time
from xor_mi.population._trajectories import trajectories as trajectories
from xor_mi.population._trajectory import AtStep as AtStep
from xor_mi.population._trajectory import Moment as Moment
from xor_mi.population._trajectory import Trajectory as Trajectory
from xor_mi.population._trajectory import trajectory as trajectory
from xor_mi.population._trajectory_files import TRAJECTORY_COLUMNS as TRAJECTORY_COLUMNS
from xor_mi.population._trajectory_files import read_trajectories as read_trajectories
from xor_mi.population._trajectory_files import write_trajectories as write_trajectories
from xor_mi.population._watch import watch as watch
from xor_mi.population._width import PUBLISHED as PUBLISHED
from xor_mi.population._width import width_study as width_study
