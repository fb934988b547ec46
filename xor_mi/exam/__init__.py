"""methods for finding circuits -> grades, against a truth that is known whole.

Benchmarks of interpretability methods have one approximate circuit per model to hold a method
against. Here every set of edges or of units is tried: all perfect circuits, all minimal ones, all
of each size. A *method* is any function of an `ExamProblem`, a network with its rows, pairs, metric
and `Convention`, that gives back a score per edge or unit, a set of them, the gates of units, or
where the variables of a causal model lie.
"""

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
from xor_mi.exam._problem import Cost as Cost
from xor_mi.exam._problem import ExamProblem as ExamProblem
from xor_mi.exam._problem import MetricName as MetricName
from xor_mi.exam._problem import Over as Over
from xor_mi.exam._problem import RowMetric as RowMetric
from xor_mi.exam._truth import Level as Level
from xor_mi.exam._truth import Truth as Truth
