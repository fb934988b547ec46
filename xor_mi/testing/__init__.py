"""circuit -> a readable record; two records -> the changes, in words; assertions that fail with the
evidence.

    circuit, or any finding -> record -> (baseline) -> differences -> message

What is compared is what stays the same when hidden units are renumbered, rescaled by positive
factors, or joined by dead ones: gates and edges unit by unit, copies included, the verdict, and
numbers that do not depend on a unit's scale. Any other finding, of any model, is compared by its
table: names, gates, decisions and counts exactly, numbers with a tolerance. The pytest fixture
`circuit_regression` compares a circuit or another finding with a stored record; each `assert_...`
function is one line in any test."""

from xor_mi.testing._asserts import assert_acts_as as assert_acts_as
from xor_mi.testing._asserts import assert_computes as assert_computes
from xor_mi.testing._asserts import assert_patch_effect as assert_patch_effect
from xor_mi.testing._asserts import assert_same_circuit as assert_same_circuit
from xor_mi.testing._compare import NUMBERS as NUMBERS
from xor_mi.testing._compare import Differences as Differences
from xor_mi.testing._compare import Tolerance as Tolerance
from xor_mi.testing._compare import compare_records as compare_records
from xor_mi.testing._entries import CircuitRecord as CircuitRecord
from xor_mi.testing._entries import ClaimRecord as ClaimRecord
from xor_mi.testing._entries import ConventionsRecord as ConventionsRecord
from xor_mi.testing._entries import FindingRecord as FindingRecord
from xor_mi.testing._entries import SetsRecord as SetsRecord
from xor_mi.testing._entries import TargetRecord as TargetRecord
from xor_mi.testing._entries import UnitRecord as UnitRecord
from xor_mi.testing._exam_assert import assert_method_passes as assert_method_passes
from xor_mi.testing._finding_compare import FindingDifferences as FindingDifferences
from xor_mi.testing._finding_compare import compare_findings as compare_findings
from xor_mi.testing._finding_record import FindingLike as FindingLike
from xor_mi.testing._finding_record import read_finding_record as read_finding_record
from xor_mi.testing._finding_record import record_of_finding as record_of_finding
from xor_mi.testing._format import read_record as read_record
from xor_mi.testing._format import write_record as write_record
from xor_mi.testing._record import circuit_of as circuit_of
from xor_mi.testing._record import record_of as record_of
