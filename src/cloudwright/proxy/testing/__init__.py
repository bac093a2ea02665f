"""Running filters against cases, without a proxy: what ``cloudwright filter test`` does.

- ``matching``  the proxy's predicates, in Python
- ``exchange``  one request and its answer through the filters of a file
- ``cases``     declared cases (``NAME.cases.yaml``) and functions (``_test_NAME.py``)
"""

from cloudwright.proxy.testing.cases import Result, check_file, run_file
from cloudwright.proxy.testing.exchange import Filters, Outcome

__all__ = ["Filters", "Outcome", "Result", "check_file", "run_file"]
