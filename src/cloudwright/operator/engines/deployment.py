"""What a Deployment does next: one step, from its ReplicaSets as they are.

Source: kubernetes ``pkg/controller/deployment`` (``syncDeployment``, ``rolloutRolling``,
``rolloutRecreate``, ``scale``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cloudwright.model.objects import Object, annotations_of, deleting, name_of, namespace_of
from cloudwright.model.pods import condition, is_terminal
from cloudwright.model.resources import DEPLOYMENT, REPLICA_SET
from cloudwright.operator.engines import deployment_status as progress
from cloudwright.operator.engines.actions import Create, Delete, Draft, Patch, Plan, Update
from cloudwright.operator.engines.revisions import (
    DESIRED,
    REVISION,
    annotated,
    forgettable,
    new_replica_set,
    oldest_first,
    replicas_of,
    revision_of,
    selector_labels,
    size_annotations,
    size_of,
    split,
    status_count,
)
from cloudwright.operator.engines.rolling import Fence, fence, new_replicas, shrink_old, spread
from cloudwright.operator.engines.templates import copy


def bounds_of(deployment: Mapping[str, Any]) -> Fence:
    """Replicas, surge and unavailability of a Deployment; Recreate surges by nothing."""
    wished = replicas_of(deployment)
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Fence(wished, 0, 0)
    rolling = strategy.get("rollingUpdate") or {}
    return fence(wished, rolling.get("maxSurge"), rolling.get("maxUnavailable"))


def plan(
    deployment: Object,
    replica_sets: Sequence[Object],
    pods: Sequence[Object],
    now: datetime,
    awake: datetime | None = None,
) -> Plan:
    """The next step. ``replica_sets`` and ``pods`` are those that the Deployment owns; ``awake`` is
    since when somebody has been working on it (see ``deployment_status.timed_out``).
    """
    return _Step(deployment, list(replica_sets), list(pods), now, awake).run()


class _Step:
    """One step being worked out; its fields are the state that the parts of the step share."""

    def __init__(
        self,
        deployment: Object,
        replica_sets: list[Object],
        pods: list[Object],
        now: datetime,
        awake: datetime | None,
    ) -> None:
        self.awake = awake
        self.deployment = deployment
        self.now = now
        self.pods = pods
        self.bounds = bounds_of(deployment)
        self.new, self.old = split(deployment, replica_sets)
        self.draft = Draft()
        self.condition: Object | None = None

    def run(self) -> Plan:
        """Decide; at most one kind of change happens per step, as upstream."""
        if deleting(self.deployment):
            return self._finish()
        if not selector_labels(self.deployment) and not (
            self.deployment["spec"].get("selector", {}).get("matchExpressions")
        ):
            self.draft.note(
                "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.",
                warning=True,
            )
            return self.draft.plan()
        self._note_pause()
        if self.deployment["spec"].get("paused"):
            self._sync_revision(create=False)
            self._scale()
            self._forget()
        elif self._was_scaled():
            self._sync_revision(create=False)
            self._scale()
        elif (self.deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            self._recreate()
        else:
            self._roll()
        return self._finish()

    # -- strategies

    def _roll(self) -> None:
        self._sync_revision(create=True)
        if self.new is None:
            return
        wished = self._wished_new()
        if wished != replicas_of(self.new):
            self._resize(self.new, wished)
            return
        shrunk = shrink_old(self.bounds, size_of(self.new), [size_of(rs) for rs in self.old])
        for replica_set in list(self.old):
            if name_of(replica_set) in shrunk:
                self._resize(replica_set, shrunk[name_of(replica_set)])
        if not shrunk:
            self._forget_when_complete()

    def _recreate(self) -> None:
        self._sync_revision(create=False)
        live = [rs for rs in self.old if replicas_of(rs) > 0]
        for replica_set in live:
            self._resize(replica_set, 0)
        if live or self._old_pods_run():
            return
        self._sync_revision(create=True)
        if self.new is not None and replicas_of(self.new) != self.bounds.replicas:
            self._resize(self.new, self.bounds.replicas)
            return
        self._forget_when_complete()

    def _old_pods_run(self) -> bool:
        new_uid = self.new["metadata"].get("uid") if self.new else None
        for pod in self.pods:
            owners = [r.get("uid") for r in pod["metadata"].get("ownerReferences") or []]
            if new_uid is not None and new_uid in owners:
                continue
            if not is_terminal(pod):
                return True
        return False

    # -- sizes

    def _all(self) -> list[Object]:
        return [*self.old, *([self.new] if self.new else [])]

    def _wished_new(self) -> int:
        current = replicas_of(self.new) if self.new else 0
        if (self.deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            return self.bounds.replicas
        # Stricter than upstream: pods that an old ReplicaSet has yet to delete count as well.
        old = sum(max(replicas_of(rs), status_count(rs, "replicas")) for rs in self.old)
        return new_replicas(self.bounds, current, old + current)

    def _was_scaled(self) -> bool:
        for replica_set in self._all():
            desired = annotations_of(replica_set).get(DESIRED, "")
            active = replicas_of(replica_set) > 0
            if active and desired.isdigit() and int(desired) != self.bounds.replicas:
                return True
        return False

    def _scale(self) -> None:
        live = [rs for rs in self._all() if replicas_of(rs) > 0]
        if len(live) <= 1:
            newest_old = oldest_first(self.old)[-1] if self.old else None
            only = live[0] if live else (self.new or newest_old)
            if only is not None:
                self._resize(only, self.bounds.replicas)
            return
        if self._saturated():
            for replica_set in [rs for rs in self.old if replicas_of(rs) > 0]:
                self._resize(replica_set, 0)
            return
        if (self.deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            return
        shares = spread(
            self.bounds,
            [size_of(rs) for rs in live],
            status_count(self.deployment, "replicas"),
        )
        for replica_set in live:
            self._resize(replica_set, shares[name_of(replica_set)])

    def _saturated(self) -> bool:
        if self.new is None:
            return False
        wished = self.bounds.replicas
        return (
            annotations_of(self.new).get(DESIRED) == str(wished)
            and replicas_of(self.new) == wished
            and status_count(self.new, "availableReplicas") == wished
        )

    def _resize(self, replica_set: Object, wished: int) -> None:
        remembered = size_annotations(self.bounds)
        annotations = annotations_of(replica_set)
        current = replicas_of(replica_set)
        known = all(annotations.get(key) == value for key, value in remembered.items())
        if current == wished and known:
            return
        changed = copy(replica_set)
        changed["spec"]["replicas"] = wished
        changed["metadata"]["annotations"] = {**annotations, **remembered}
        self._replace(replica_set, changed)
        if current != wished:
            way = "up" if wished > current else "down"
            self.draft.note(
                "ScalingReplicaSet",
                f"Scaled {way} replica set {name_of(replica_set)} from {current} to {wished}",
            )

    def _replace(self, before: Object, after: Object) -> None:
        """Ask for an update of a ReplicaSet; later changes of the same step join it."""
        for index, action in enumerate(self.draft.actions):
            if isinstance(action, Update) and name_of(action.obj) == name_of(after):
                self.draft.actions[index] = Update(REPLICA_SET, after)
                break
        else:
            self.draft.actions.append(Update(REPLICA_SET, after))
        if self.new is before:
            self.new = after
        self.old = [after if rs is before else rs for rs in self.old]

    # -- revisions

    def _sync_revision(self, *, create: bool) -> None:
        revision = max((revision_of(rs) for rs in self.old), default=0) + 1
        if self.new is not None:
            current = annotated(self.deployment, self.new, revision)
            if current is not self.new:
                self._replace(self.new, current)
            recorded = self._record_revision(revision_of(self.new))
            # A roll-out to a known template has a deadline of its own (upstream keeps the
            # last one's until something moves).
            if not recorded or condition(self.deployment, "Progressing") is None:
                message = f'Found new replica set "{name_of(self.new)}"'
                self.condition = progress.progressing("True", progress.FOUND, message)
        elif create:
            wished = self._wished_new()
            created = new_replica_set(self.deployment, wished, revision, self.bounds)
            self.draft.actions.append(Create(REPLICA_SET, created))
            self._record_revision(revision)
            message = f'Created new replica set "{name_of(created)}"'
            self.condition = progress.progressing("True", progress.CREATED, message)
            self.draft.note(
                "ScalingReplicaSet",
                f"Scaled up replica set {name_of(created)} from 0 to {wished}",
            )

    def _record_revision(self, revision: int) -> bool:
        """Note the revision on the Deployment; returns whether it stood there already."""
        if annotations_of(self.deployment).get(REVISION) == str(revision):
            return True
        body: Object = {"metadata": {"annotations": {REVISION: str(revision)}}}
        where = namespace_of(self.deployment), name_of(self.deployment)
        self.draft.actions.append(Patch(DEPLOYMENT, *where, body))
        return False

    def _forget_when_complete(self) -> None:
        status = progress.counted(self.deployment, self.new, self._all(), self.bounds)
        if progress.is_complete(self.deployment, status):
            self._forget()

    def _forget(self) -> None:
        for replica_set in forgettable(self.deployment, self.old):
            where = namespace_of(replica_set), name_of(replica_set)
            uid = str(replica_set["metadata"].get("uid", ""))
            self.draft.actions.append(Delete(REPLICA_SET, *where, uid))

    # -- status

    def _note_pause(self) -> None:
        if progress.deadline_of(self.deployment) is None:
            return
        entry = condition(self.deployment, "Progressing") or {}
        paused = bool(self.deployment["spec"].get("paused"))
        if entry.get("reason") == progress.TIMED_OUT:
            return
        if paused and entry.get("reason") != progress.PAUSED:
            self.condition = progress.progressing(
                "Unknown", progress.PAUSED, "Deployment is paused"
            )
        elif not paused and entry.get("reason") == progress.PAUSED:
            self.condition = progress.progressing(
                "Unknown", progress.RESUMED, "Deployment is resumed"
            )

    def _finish(self) -> Plan:
        replica_sets = self._all()
        status = progress.counted(self.deployment, self.new, replica_sets, self.bounds)
        progress.set_available(status, self.bounds, self.now)
        if self.condition is not None:
            fresh = self.condition["reason"] in (progress.CREATED, progress.FOUND)
            progress.set_condition(status, self.condition, self.now, refresh=fresh)
        if not self.deployment["spec"].get("paused"):
            deadline = progress.set_progress(
                self.deployment, status, self.new, self.now, self.awake
            )
            if deadline is not None:
                self.draft.again(deadline)
        progress.set_replica_failure(status, replica_sets, self.now)
        return self.draft.plan(status)
