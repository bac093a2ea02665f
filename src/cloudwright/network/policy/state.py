"""What is known of policies, pods and namespaces: fed by watches and by direct reads.

A direct read may be newer than a watch: of two revisions of an object the newer one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address

from cloudwright.client.informer import Handler
from cloudwright.model import pods
from cloudwright.model.objects import Object, key_of, name_of, resource_version, uid_of
from cloudwright.network.policy.engine import Pod, Policy, World, compile_policy, pod_of
from cloudwright.network.policy.notes import useless

Note = tuple[Object, str, str]


class State:
    """``changed`` is called when a decision may be another than before."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.pods: dict[str, Pod] = {}
        self._ended: set[str] = set()
        self._policies: dict[str, tuple[int, str, Policy]] = {}
        self._versions: dict[str, int] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._notes: list[Note] = []
        self._readers = 0
        self._gone: set[str] = set()
        """Uids that watches saw go while somebody was reading."""
        self._changed = changed

    @property
    def handlers(self) -> tuple[Handler, Handler, Handler]:
        """What the informers of pods, namespaces and policies tell."""
        return (
            _Telling(self.put_pod, self._drop_pod),
            _Telling(self._put_namespace, self._drop_namespace),
            _Telling(self.put_policy, self._drop_policy),
        )

    def world(self, addresses: Mapping[str, IPv4Address]) -> World:
        """What decisions depend on, as of now; pods that have ended are nobody's peers."""
        here = {uid: ip for uid, ip in addresses.items() if uid not in self._ended}
        policies = [policy for _, _, policy in self._policies.values()]
        return World(policies, dict(self.pods), here, dict(self._namespaces))

    def take_notes(self) -> list[Note]:
        """Policies with a reason and a message each, told once."""
        notes, self._notes = self._notes, []
        return notes

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While a direct read goes on: what it brings may be deleted already, and be told so."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._gone.clear()

    def _went(self, uid: str) -> None:
        if self._readers:
            self._gone.add(uid)

    def put_pod(self, obj: Object) -> None:
        """A pod as it is; its status matters only in that it has ended."""
        uid, version, pod = uid_of(obj), _version(obj), pod_of(obj)
        if self._versions.get(uid, 0) > version or uid in self._gone:
            return
        self._versions[uid] = version
        if pods.is_terminal(obj) and uid not in self._ended:
            self._ended.add(uid)
            self._changed()
        if self.pods.get(uid) != pod:
            self.pods[uid] = pod
            self._changed()

    def _drop_pod(self, obj: Object) -> None:
        uid = uid_of(obj)
        self._went(uid)
        self._versions.pop(uid, None)
        self._ended.discard(uid)
        if self.pods.pop(uid, None) is not None:
            self._changed()

    def _put_namespace(self, obj: Object) -> None:
        labels = obj["metadata"].get("labels") or {}
        if self._namespaces.get(name_of(obj)) != labels:
            self._namespaces[name_of(obj)] = labels
            self._changed()

    def _drop_namespace(self, obj: Object) -> None:
        self._namespaces.pop(name_of(obj), None)
        self._changed()

    def put_policy(self, obj: Object) -> None:
        """A policy as it is."""
        known, version = self._policies.get(key_of(obj)), _version(obj)
        if (known is not None and known[0] >= version) or uid_of(obj) in self._gone:
            return
        policy = compile_policy(obj)
        self._policies[key_of(obj)] = (version, uid_of(obj), policy)
        if known is None or known[2] != policy:
            self._notes += [(obj, *note) for note in useless(obj)]
            self._changed()

    def _drop_policy(self, obj: Object) -> None:
        self._went(uid_of(obj))
        known = self._policies.get(key_of(obj))
        if known is not None and known[1] == uid_of(obj):
            del self._policies[key_of(obj)]
            self._changed()


class _Telling:
    def __init__(self, put: Callable[[Object], None], drop: Callable[[Object], None]) -> None:
        self._put, self._drop = put, drop

    def on_add(self, obj: Object) -> None:
        self._put(obj)

    def on_update(self, old: Object, new: Object) -> None:
        self._put(new)

    def on_delete(self, obj: Object) -> None:
        self._drop(obj)


def _version(obj: Object) -> int:
    return int(resource_version(obj) or 0)
