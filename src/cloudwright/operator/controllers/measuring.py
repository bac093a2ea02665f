"""What the MicroService controller measures: a canary's answers, and the load on what scales.

Looks are as rare as their interval says, whatever wakes the controller in between: else each look
would change a status, and each changed status would be a reason to look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cloudwright._base import logs
from cloudwright._base.clock import parse_rfc3339
from cloudwright._base.errors import CloudwrightError
from cloudwright.model.objects import Object, key_of, name_of, namespace_of
from cloudwright.model.pods import is_active
from cloudwright.operator.engines import autoscale, judgement
from cloudwright.operator.engines.autoscale import Load
from cloudwright.operator.engines.microservice.canary_children import canary_name
from cloudwright.operator.engines.scaling import Advice
from cloudwright.operator.engines.traffic import Traffic
from cloudwright.operator.ports import Meter

_LOG = logs.get("operator.measuring")
_LOAD_SECONDS = 30.0
"""Load is the mean over this long: shorter than two looks is noise."""


@dataclass(slots=True)
class _Seen:
    """What is remembered of one MicroService."""

    step: str = ""
    traffic: Traffic | None = None
    traffic_due: float = 0.0
    load_due: float = 0.0
    advice: deque[Advice] = field(default_factory=lambda: deque(maxlen=512))


class Measuring:
    """Asks the meter, not too often."""

    def __init__(self, meter: Meter | None, scale_interval: float) -> None:
        self._meter = meter
        self._interval = scale_interval
        self._seen: dict[str, _Seen] = {}

    def forget(self, key: str) -> None:
        """The MicroService is gone."""
        self._seen.pop(key, None)

    def due(self, service: Object, monotonic: float) -> float | None:
        """Seconds until the load should be looked at again; ``None``: never."""
        if not service["spec"].get("autoscaling") or self._meter is None:
            return None
        return max(self._of(service).load_due - monotonic, 0.05)

    def remember(self, service: Object, advice: Advice) -> None:
        """Keep a recommendation for the windows to come."""
        self._of(service).advice.append(advice)

    def advice(self, service: Object, now: datetime) -> Sequence[Advice]:
        """Recommendations within the longest window. Who has just begun takes the present number
        for one, so that a restart of the operator takes no pods away.
        """
        if not service["spec"].get("autoscaling"):
            return ()
        seen = self._of(service)
        if not seen.advice:
            status = (service.get("status") or {}).get("autoscaling") or {}
            known = status.get("desiredReplicas") or service["spec"].get("replicas") or 1
            seen.advice.append(Advice(now, int(known)))
        try:
            window = autoscale.longest_window(service["spec"])
        except ValueError:
            return ()  # the spec is not valid, and is told so elsewhere
        return [a for a in seen.advice if (now - a.at).total_seconds() <= window]

    async def traffic(self, service: Object, now: datetime, monotonic: float) -> Traffic | None:
        """What the canary answered since its present share was set."""
        record = (service.get("status") or {}).get("rollout") or {}
        analysis = (service["spec"].get("rollout") or {}).get("analysis")
        step = str(record.get("stepTime") or "")
        if self._meter is None or not isinstance(analysis, dict) or not record.get("stage"):
            return None
        if int(record.get("weight") or 0) <= 0 or not step:
            return None
        seen = self._of(service)
        if seen.step == step and monotonic < seen.traffic_due:
            return seen.traffic
        elapsed = max((now - parse_rfc3339(step)).total_seconds(), 0.0)
        found = None
        try:
            percentile = judgement.percentile(analysis)
            interval = judgement.interval(analysis)
            found = await self._meter.traffic(
                namespace_of(service), canary_name(service), seconds=elapsed, percentile=percentile
            )
        except ValueError:
            return None  # the spec is not valid, and is told so elsewhere
        except CloudwrightError as error:
            _LOG.warning("%s cannot be judged: %s", key_of(service), error)
        seen.step, seen.traffic, seen.traffic_due = step, found, monotonic + interval
        return found

    async def load(self, service: Object, pods: Sequence[Object], monotonic: float) -> Load | None:
        """The load now, when it is time to look; ``None``: not now."""
        wish = service["spec"].get("autoscaling")
        if not isinstance(wish, dict) or self._meter is None:
            return None
        seen = self._of(service)
        if monotonic < seen.load_due:
            return None
        seen.load_due = monotonic + self._interval
        space = namespace_of(service)
        rate = cores = None
        try:
            if wish.get("requestsPerSecond") is not None:
                rate = await self._rate(service)
            if wish.get("cpu") is not None:
                names = [name_of(pod) for pod in pods if is_active(pod)]
                used = await self._meter.use(space, names)
                cores = sum(one.cores for one in used.values()) if used else None
        except CloudwrightError as error:
            _LOG.warning("the load of %s is not known: %s", key_of(service), error)
        return Load(rate, cores)

    async def _rate(self, service: Object) -> float | None:
        """Requests per second of the stable version and its canary."""
        if self._meter is None:
            return None
        window = max(_LOAD_SECONDS, 2 * self._interval)
        total, known = 0.0, False
        for name in (name_of(service), canary_name(service)):
            found = await self._meter.traffic(
                namespace_of(service), name, seconds=window, percentile=99
            )
            if found is not None and found.seconds > 0:
                total, known = total + found.requests / found.seconds, True
        return total if known else None

    def _of(self, service: Object) -> _Seen:
        return self._seen.setdefault(key_of(service), _Seen())
