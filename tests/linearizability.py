"""Whether a recorded history of one key is linearizable: is there an order of its operations, each
at some moment between its call and its return, in which every answer is right?

The search is Wing and Gong's with Lowe's cache of what was tried ("Testing for linearizability",
2017), as Porcupine does it. An operation that never returned may have happened at any time after
its call, or not at all.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: what was asked, what was answered (``None`` as ``returned`` is infinite)."""

    called: float
    returned: float
    asked: tuple[Any, ...]
    answered: Any


class Model(Protocol):
    """What each operation does to the state; states are hashable."""

    def step(self, state: Hashable, operation: Operation) -> Sequence[Hashable]:
        """The states that may follow; none when the answer is wrong in this state."""


class Node:
    """A call or a return in the list of what is not linearized yet."""

    __slots__ = ("index", "match", "next", "operation", "previous")

    def __init__(self, operation: Operation | None, index: int) -> None:
        self.operation = operation
        self.index = index
        self.match: Node | None = None
        self.previous: Node | None = None
        self.next: Node | None = None

    def lift(self) -> None:
        """Take a call and its return out of the list."""
        for node in (self, self.match):
            assert node is not None
            assert node.previous is not None
            node.previous.next = node.next
            if node.next is not None:
                node.next.previous = node.previous

    def unlift(self) -> None:
        """Put both back."""
        for node in (self.match, self):
            assert node is not None
            assert node.previous is not None
            node.previous.next = node
            if node.next is not None:
                node.next.previous = node


def linearizable(model: Model, first: Hashable, history: Sequence[Operation]) -> bool:
    """Whether ``history``, from the state ``first`` on, is."""
    head = _listed(history)
    done, state = 0, first
    tried = {(done, state)}
    taken: list[tuple[Node, Hashable, list[Hashable]]] = []
    pending = sum(1 << at for at, one in enumerate(history) if one.returned == INFINITE)
    whole = (1 << len(history)) - 1
    node = head.next
    choices: list[Hashable] | None = None
    while done | pending != whole:
        if node is not None and node.match is not None:  # a call
            operation = node.operation
            assert operation is not None
            if choices is None:
                choices = list(model.step(state, operation))
            moved = False
            while choices:
                following = choices.pop()
                now = done | 1 << node.index
                if (now, following) not in tried:
                    tried.add((now, following))
                    taken.append((node, state, choices))
                    done, state = now, following
                    node.lift()
                    moved = True
                    break
            node = head.next if moved else node.next
            choices = None
            continue
        # A return before its call was linearized: go back to the last choice.
        if not taken:
            return False
        node, state, choices = taken.pop()
        done &= ~(1 << node.index)
        node.unlift()
        if not choices:
            node, choices = node.next, None
    return True


def _listed(history: Sequence[Operation]) -> Node:
    """Calls and returns in the order of time, behind a head."""
    marks: list[tuple[float, int, Node]] = []
    for index, operation in enumerate(history):
        call, back = Node(operation, index), Node(None, index)
        call.match = back
        marks += [(operation.called, 0, call), (operation.returned, 1, back)]
    marks.sort(key=lambda mark: mark[:2])
    head = last = Node(None, -1)
    for _, _, node in marks:
        last.next, node.previous = node, last
        last = node
    return head


class Register:
    """A key: ``("get",)`` → value or ``None``; ``("put", value)``; ``("cas", expected, value)`` →
    whether it was done; ``("delete",)`` → whether there was something. Values are unique.
    """

    def step(self, state: Hashable, operation: Operation) -> Sequence[Hashable]:
        """See ``Model``."""
        known = operation.returned != INFINITE
        kind, *words = operation.asked
        if kind == "get":
            return [state] if not known or operation.answered == state else []
        if kind == "put":
            return [words[0]]
        if kind == "cas":
            holds, value = state == words[0], words[1]
        else:
            holds, value = state is not None, None
        if known and operation.answered != holds:
            return []
        return [value if holds else state]
