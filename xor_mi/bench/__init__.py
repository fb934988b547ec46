"""a network -> the bench: sliders, diagram, plane, truth table and conditions that move together.

`bench.js` is one JavaScript module without dependencies. A page contains it and computes every
number itself (`bench_html`, `write_bench`); in Jupyter, `widgets.playground` shows the same module,
and the kernel adds the gates and the verdict.
"""

from xor_mi.bench._code import network_code as network_code
from xor_mi.bench._page import bench_html as bench_html
from xor_mi.bench._page import module_text as module_text
from xor_mi.bench._page import write_bench as write_bench
from xor_mi.bench._spec import MOST_INPUTS as MOST_INPUTS
from xor_mi.bench._spec import MOST_WEIGHTS as MOST_WEIGHTS
from xor_mi.bench._spec import bench_spec as bench_spec
from xor_mi.bench._spec import found_spec as found_spec
from xor_mi.bench._spec import preset_models as preset_models
