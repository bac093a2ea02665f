"""HorizontalPodAutoscaler → the scale of its target, by what is measured of its pods."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cloudwright._base.errors import CloudwrightError
from cloudwright.model.objects import Object, deleting, labels_of, namespace_of
from cloudwright.model.resources import HORIZONTAL_POD_AUTOSCALER, POD, Resource
from cloudwright.model.selectors import LabelSelector, parse_labels
from cloudwright.operator.engines import horizontal as engine
from cloudwright.operator.engines.actions import Note, Patch
from cloudwright.operator.engines.horizontal import Decision, Scale, World
from cloudwright.operator.engines.scaling import History
from cloudwright.operator.manager import DONE, Controller, Result
from cloudwright.operator.measures import Measures
from cloudwright.operator.ports import Meter


class HorizontalController(Controller):
    """Looks at each autoscaler every ``scale_interval`` seconds."""

    name = "horizontal-pod-autoscaler"

    def __init__(self, meter: Meter | None = None) -> None:
        super().__init__()
        self._meter = meter

    def setup(self) -> None:
        """Autoscalers and pods."""
        self._autoscalers = self.watch(HORIZONTAL_POD_AUTOSCALER)
        self._pods = self.manager.cache(POD)
        self._measures = Measures(self.manager.client, self._meter, self.manager.clock)
        self._histories: dict[str, History] = {}
        self._due: dict[str, tuple[float, int]] = {}
        self._selectors: dict[str, LabelSelector] = {}
        self._kinds: Sequence[Resource] = ()

    async def sync(self, key: str) -> Result:
        """Measure, decide, scale, tell."""
        autoscaler = self._autoscalers.get(key)
        if autoscaler is None or deleting(autoscaler):
            for memory in (self._histories, self._due, self._selectors):
                memory.pop(key, None)
            return DONE
        clock, seen = self.manager.clock.monotonic(), autoscaler["metadata"].get("generation", 0)
        due, known = self._due.get(key, (0.0, -1))
        if clock < due and known == seen:  # woken by its own status: looks are not that cheap
            return Result(due - clock)
        interval = self.manager.config.scale_interval
        self._due[key] = (clock + interval, seen)
        await self._look(key, autoscaler)
        return Result(interval)

    async def _look(self, key: str, autoscaler: Object) -> None:
        reference, namespace = autoscaler["spec"]["scaleTargetRef"], namespace_of(autoscaler)
        try:
            target = await self._target(reference)
            found = await self.api.client.get(
                target, reference["name"], namespace, subresource="scale"
            )
        except CloudwrightError as error:
            lost = engine.unreachable(autoscaler, error.message, self.now())
            await self._tell(autoscaler, [("Warning", "FailedGetScale", error.message)])
            await self.api.write_status(HORIZONTAL_POD_AUTOSCALER, autoscaler, lost)
            return
        spec, status = found.get("spec") or {}, found.get("status") or {}
        scale = Scale(int(spec.get("replicas") or 0), int(status.get("replicas") or 0))
        selector = str(status.get("selector") or "")
        decision = await self._decide(key, autoscaler, scale, selector)
        if decision.replicas is not None:
            await self._scale(key, autoscaler, target, scale.wished, decision)
        await self._tell(autoscaler, decision.notes)
        await self.api.write_status(HORIZONTAL_POD_AUTOSCALER, autoscaler, decision.status)

    async def _decide(self, key: str, autoscaler: Object, scale: Scale, selector: str) -> Decision:
        history = self._histories.setdefault(key, History())
        namespace, pods, measured = namespace_of(autoscaler), [], []
        if engine.needs_measures(autoscaler, scale):
            wrong, chosen = self._selector(key, selector)
            if chosen is None or wrong is not None:
                return _stopped(autoscaler, scale, wrong or _EMPTY, self.now())
            pods = [pod for pod in self._pods.all(namespace) if chosen.matches(labels_of(pod))]
            others = self._others(key, pods)
            if others:
                named = " ".join([key, *others])
                text = f"pods by selector {selector} are controlled by multiple HPAs: [{named}]"
                wrong = ("AmbiguousSelector", text, text)
                return _stopped(autoscaler, scale, wrong, self.now())
            metrics = autoscaler["spec"].get("metrics") or ()
            measured = await self._measures.of(namespace, selector, metrics, pods, self._kinds)
        world = World(autoscaler, scale, pods, measured, self.now())
        return engine.decide(world, history)

    def _selector(self, key: str, text: str) -> tuple[_Wrong | None, LabelSelector | None]:
        """The target's selector, or what is wrong with it."""
        if not text:
            return _EMPTY, None
        try:
            found = self._selectors[key] = parse_labels(text)
        except ValueError as error:
            told = "couldn't convert selector into a corresponding internal selector object"
            return ("InvalidSelector", f"{told}: {error}", f"{told}: {error}"), None
        return None, found

    def _others(self, key: str, pods: Sequence[Object]) -> list[str]:
        """Further autoscalers of these pods."""
        space = key.partition("/")[0]
        return sorted(
            other
            for other, chosen in self._selectors.items()
            if other != key
            and other.partition("/")[0] == space
            and any(chosen.matches(labels_of(pod)) for pod in pods)
        )

    async def _scale(
        self, key: str, autoscaler: Object, target: Resource, current: int, decision: Decision
    ) -> None:
        name, space = autoscaler["spec"]["scaleTargetRef"]["name"], namespace_of(autoscaler)
        body = {"spec": {"replicas": decision.replicas}}
        if self.api.dry_run:
            await self.api.perform(Patch(target, space, name, body))
            return
        try:
            await self.api.client.patch(target, name, body, space, subresource="scale")
        except CloudwrightError as error:
            engine.not_scaled(decision, autoscaler, error.message, self.now())
            return
        engine.scaled(decision, self._histories[key], current, self.now())

    async def _target(self, reference: Object) -> Resource:
        """The kind of a target; the API is asked anew when it is not known."""
        found = _kind(reference, self._kinds)
        if found is None:
            self._kinds = await self.api.discover()
            found = _kind(reference, self._kinds)
        if found is None:
            group = str(reference.get("apiVersion") or "").rpartition("/")[0]
            told = f'no matches for kind "{reference["kind"]}" in group "{group}"'
            raise CloudwrightError(told)
        return found

    async def _tell(self, autoscaler: Object, notes: Sequence[tuple[str, str, str]]) -> None:
        await self.api.tell(autoscaler, [Note(*note) for note in notes])


_Wrong = tuple[str, str, str]
"""Reason of the event, its text, text of the condition."""
_EMPTY: _Wrong = (
    "SelectorRequired",
    "selector is required",
    "the HPA target's scale is missing a selector",
)


def _stopped(autoscaler: Object, scale: Scale, wrong: _Wrong, now: datetime) -> Decision:
    """Nothing can be measured."""
    reason, event, text = wrong
    status = engine.begun(autoscaler, now)
    known = "InvalidSelector" if reason == "SelectorRequired" else reason
    engine.inactive(status, known, text, now)
    before = (autoscaler.get("status") or {}).get("desiredReplicas", 0)
    status |= {"currentReplicas": scale.wished, "desiredReplicas": before}
    notes = [("Warning", reason, event), ("Warning", "FailedComputeMetricsReplicas", event)]
    return Decision(None, status, notes=notes)


def _kind(reference: Object, kinds: Sequence[Resource]) -> Resource | None:
    group = str(reference.get("apiVersion") or "").rpartition("/")[0]
    same = (one for one in kinds if one.kind == reference["kind"] and one.group == group)
    return next(same, None)
