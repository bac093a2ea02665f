"""Compiled Python code that is the same on every run: a fresh interpreter with fixed hashing
makes it.

``marshal`` writes sets in hash order and marks shared objects, so code compiled inside a
long-lived process
differs from run to run; in a fresh process with ``PYTHONHASHSEED=0`` and a fixed order it does not.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cloudwright._base.environment import inherited
from cloudwright.build.errors import BuildFailed

# Reads [[file, shown path], …]; writes for each a four-byte length and a .pyc as PEP 552 has it:
# magic, flags
# 0b01 (hash-based, unchecked), the source's hash, the code. A file that does not compile has
# length 0.
_COMPILER = """
import importlib.util, json, marshal, sys
for path, shown in json.load(sys.stdin):
    with open(path, 'rb') as file:
        source = file.read()
    try:
        code = compile(source, shown, 'exec', dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        data = b''
    else:
        head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, 'little')
        data = head + importlib.util.source_hash(source) + marshal.dumps(code)
    sys.stdout.buffer.write(len(data).to_bytes(4, 'big') + data)
"""


def compile_all(executable: Path, files: Sequence[tuple[Path, str]]) -> list[bytes]:
    """The ``.pyc`` content of each ``(file, path shown in tracebacks)``; empty where it has a
    syntax error.

    Raises BuildFailed when the interpreter does not run.
    """
    wanted = json.dumps([[str(file), shown] for file, shown in files]).encode()
    command = [str(executable), "-S", "-W", "ignore", "-c", _COMPILER]
    environment = inherited(PYTHONHASHSEED="0")
    # Option -E would ignore the hash seed, so what changes compilation is taken away instead.
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONSTARTUP"):
        environment.pop(name, None)
    answer = subprocess.run(
        command, input=wanted, capture_output=True, check=False, env=environment
    )
    if answer.returncode != 0:
        raise BuildFailed("the code cannot be compiled", cause=answer.stderr.decode()[-300:])
    results, rest = [], memoryview(answer.stdout)
    for _ in files:
        length = int.from_bytes(rest[:4], "big")
        results.append(bytes(rest[4 : 4 + length]))
        rest = rest[4 + length :]
    return results
