"""How the interpreter is set while a server starts, and once it serves.

Until it is ready a server makes modules, classes and tables that stay: when the garbage collector
looks through them again and again it finds nothing, and costs a tenth of the start.
"""

from __future__ import annotations

import gc
import sys

_ALLOCATIONS = 10_000
"""How many more objects than before there are when the collector looks at them: by default 700,
which is what two dozen requests under way consist of, and none of that is garbage.
"""
_SWITCH_SECONDS = 0.001
"""After how long a thread that wants the interpreter gets it from the event loop. Mostly it is one
that waits for the disk: it needs it for a moment before and after, and with the default (5 ms) the
disk had nothing to do until the loop ran out of work.
"""


def begin() -> None:
    """Collect nothing until ``ready``. For the program itself, before it loads its parts."""
    gc.disable()


def ready() -> None:
    """Collect from now on, never look at what the start made (``gc.freeze``), and let threads have
    their turn.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, *gc.get_threshold()[1:])
    gc.enable()
