"""The garbage collector while a server starts.

Until it is ready a server makes modules, classes and tables that stay: looking through them again
and again finds nothing, and costs a tenth of the start.
"""

from __future__ import annotations

import gc

_ALLOCATIONS = 10_000
"""How many more objects than before there are when the collector looks at them: by default 700,
which is what two dozen requests under way consist of, and none of that is garbage.
"""


def begin() -> None:
    """Collect nothing until ``ready``. For the program itself, before it loads its parts."""
    gc.disable()


def ready() -> None:
    """Collect from now on, and never look at what the start made (``gc.freeze``)."""
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, *gc.get_threshold()[1:])
    gc.enable()
