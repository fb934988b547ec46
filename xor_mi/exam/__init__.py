"""methods for finding circuits -> grades, against the complete truth.

Benchmarks of interpretability methods compare a method with one approximate circuit per model. Here
every set of edges or of units is tried, so all perfect circuits, all minimal ones and all of each
size are known. A *method* is any function of an `ExamProblem` (a network with its rows, pairs,
metric and `Convention`) that returns a score per edge or unit, a set of them, the gates of units,
or the places of the variables of a causal model.
"""

from xor_mi.exam._board_text import board_text as board_text
from xor_mi.exam._circuit_tests import TEST_METHODS as TEST_METHODS
from xor_mi.exam._circuit_tests import AnyCircuit as AnyCircuit
from xor_mi.exam._circuit_tests import CircuitTestLine as CircuitTestLine
from xor_mi.exam._circuit_tests import CircuitTestName as CircuitTestName
from xor_mi.exam._circuit_tests import CircuitTestRates as CircuitTestRates
from xor_mi.exam._circuit_tests import CircuitTests as CircuitTests
from xor_mi.exam._circuit_tests import circuit_tests as circuit_tests
from xor_mi.exam._circuit_tests import circuit_tests_against_truth as circuit_tests_against_truth
from xor_mi.exam._circuit_tests import smallest_by_tests as smallest_by_tests
from xor_mi.exam._conventions import CONVENTIONS as CONVENTIONS
from xor_mi.exam._conventions import ConventionName as ConventionName
from xor_mi.exam._conventions import SomeConvention as SomeConvention
from xor_mi.exam._exam import ExamPart as ExamPart
from xor_mi.exam._exam import ExamRun as ExamRun
from xor_mi.exam._gate_rule import GATE_METHODS as GATE_METHODS
from xor_mi.exam._gate_rule import GateTable as GateTable
from xor_mi.exam._gate_rule import agreement_with_circuit as agreement_with_circuit
from xor_mi.exam._gate_rule import chance_of_agreement as chance_of_agreement
from xor_mi.exam._gate_rule import chen_toy as chen_toy
from xor_mi.exam._gate_rule import gate_rule_chen as gate_rule_chen
from xor_mi.exam._gate_rule import gate_rule_joint as gate_rule_joint
from xor_mi.exam._gate_rule import gate_table as gate_table
from xor_mi.exam._gate_rule import proven_gates as proven_gates
from xor_mi.exam._grade import Networks as Networks
from xor_mi.exam._grade import grade as grade
from xor_mi.exam._grades import ExamNetwork as ExamNetwork
from xor_mi.exam._grades import Grade as Grade
from xor_mi.exam._grades import Grades as Grades
from xor_mi.exam._grades import TruthSummary as TruthSummary
from xor_mi.exam._grades import joined as joined
from xor_mi.exam._measures import MEASURES as MEASURES
from xor_mi.exam._measures import Measure as Measure
from xor_mi.exam._method import AlignedModel as AlignedModel
from xor_mi.exam._method import Answer as Answer
from xor_mi.exam._method import ExamMethod as ExamMethod
from xor_mi.exam._method import Gives as Gives
from xor_mi.exam._method import Method as Method
from xor_mi.exam._methods import METHODS as METHODS
from xor_mi.exam._methods import SomeMethods as SomeMethods
from xor_mi.exam._planted import Planted as Planted
from xor_mi.exam._planted import PlantedActivation as PlantedActivation
from xor_mi.exam._problem import Cost as Cost
from xor_mi.exam._problem import ExamProblem as ExamProblem
from xor_mi.exam._problem import MetricName as MetricName
from xor_mi.exam._problem import Over as Over
from xor_mi.exam._problem import RowMetric as RowMetric
from xor_mi.exam._run import SomeTasks as SomeTasks
from xor_mi.exam._run import read_exam as read_exam
from xor_mi.exam._run import run_exam as run_exam
from xor_mi.exam._sets import acdc as acdc
from xor_mi.exam._sets import edge_pruning as edge_pruning
from xor_mi.exam._sets import subnetwork_probing as subnetwork_probing
from xor_mi.exam._tasks import Task as Task
from xor_mi.exam._tasks import TaskKind as TaskKind
from xor_mi.exam._tasks import TaskNetworks as TaskNetworks
from xor_mi.exam._tasks import Tasks as Tasks
from xor_mi.exam._tasks import task as task
from xor_mi.exam._tasks import tasks as tasks
from xor_mi.exam._truth import Level as Level
from xor_mi.exam._truth import Truth as Truth
