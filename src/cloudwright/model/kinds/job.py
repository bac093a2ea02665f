"""Job: pods that run to their end."""

from __future__ import annotations

import copy

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import defaults, job_policies, labels
from cloudwright.model.kinds.pod import template_errors
from cloudwright.model.kinds.spec import (
    KindSpec,
    mapping,
    members,
    not_negative,
    one_of,
    unchanged,
    wrong,
)
from cloudwright.model.objects import Object, name_of, uid_of

_MOST = 2**31 - 1
_PARALLEL_MAX = 100_000
_PREFIX = "batch.kubernetes.io/"
_CONTROLLER, _NAME = "controller-uid", "job-name"
_COUNTS = (
    *("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit"),
    *("ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"),
)
_FIXED = (
    *("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"),
    "successPolicy",
)
# While a job is suspended, its queue may still say where it will run.
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")


def spec_defaults(spec: Object) -> None:
    """Defaults of a job's spec; not of a CronJob's, whose template is left as it is."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    limit = 6 if spec.get("backoffLimitPerIndex") is None else _MOST
    spec.setdefault("backoffLimit", limit)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    policy = "Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", policy)
    spec.setdefault("manualSelector", False)


def template_defaults(spec: Object) -> None:
    """What is defaulted in jobs and in CronJobs' templates of jobs alike."""
    defaults.template(spec)
    for rule in members(mapping(spec, "podFailurePolicy"), "rules"):
        for pattern in members(rule, "onPodConditions"):
            pattern["status"] = pattern.get("status") or "True"


def _defaults(job: Object) -> None:
    spec = job.setdefault("spec", {})
    template_defaults(spec)
    spec_defaults(spec)


def _begin(job: Object) -> None:
    """The pods of a job are found by the job's uid, unless somebody says otherwise."""
    spec = job["spec"]
    metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    found = metadata.get("labels") or {}
    if spec.get("manualSelector"):
        if found and not job["metadata"].get("labels"):
            job["metadata"]["labels"] = dict(found)
        return
    metadata["labels"] = found
    for prefix in ("", _PREFIX):
        found[prefix + _CONTROLLER] = uid_of(job)
        found[prefix + _NAME] = name_of(job)
    if not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(found)
    selector = spec.get("selector") or {}
    spec["selector"] = selector
    selector["matchLabels"] = selector.get("matchLabels") or {}
    selector["matchLabels"].setdefault(_PREFIX + _CONTROLLER, uid_of(job))


def spec_errors(spec: Object, path: str) -> list[FieldError]:
    """What is wrong with the spec of a job or of a CronJob's template, its selector aside."""
    found = not_negative(spec, path, *_COUNTS)
    failed, per_index = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    if failed is not None and per_index is None:
        message = "when maxFailedIndexes is specified"
        found.append(fields.required(f"{path}.backoffLimitPerIndex", message))
    found += one_of(spec, path, "completionMode", ("NonIndexed", "Indexed"))
    if spec.get("completionMode") == "Indexed":
        found += _indexed_errors(spec, path)
    elif spec.get("completionMode", "NonIndexed") == "NonIndexed":
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                message = "requires indexed completion mode"
                found.append(fields.invalid(f"{path}.{key}", spec[key], message))
    found += job_policies.errors(spec, path)
    template = mapping(spec, "template")
    found += template_errors(template, f"{path}.template", "")
    restart = mapping(template, "spec").get("restartPolicy") or "Always"
    where = f"{path}.template.spec.restartPolicy"
    if restart == "Always":
        found.append(fields.required(where, 'valid values: "OnFailure", "Never"'))
    elif restart == "OnFailure" and spec.get("podFailurePolicy") is not None:
        message = 'only "Never" is supported when podFailurePolicy is specified'
        found.append(fields.invalid(where, restart, message))
    return found


def _indexed_errors(spec: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    if completions is None:
        found.append(fields.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _PARALLEL_MAX:
        message = f"must be less than or equal to {_PARALLEL_MAX} when completion mode is Indexed"
        found.append(fields.invalid(f"{path}.parallelism", parallelism, message))
    failed = spec.get("maxFailedIndexes")
    if completions is not None and failed is not None and failed > completions:
        message = "must be less than or equal to completions"
        found.append(fields.invalid(f"{path}.maxFailedIndexes", failed, message))
    return found


def _check(job: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(job, "spec")
    found = spec_errors(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        found.append(fields.required("spec.selector"))
    found += labels.selector_errors(selector, "spec.selector")
    found += labels.template_matches(selector, mapping(spec, "template"), "spec.template")
    if old is None:
        return found + _name_errors(job)
    was = mapping(old, "spec")
    if spec.get("completions") != was.get("completions") and not _elastic(spec, was):
        message = "field is immutable"
        if spec.get("completionMode") == "Indexed" and None not in (
            spec.get("completions"),
            was.get("completions"),
        ):
            message = "can only be modified in tandem with spec.parallelism"
        found.append(fields.invalid("spec.completions", spec.get("completions"), message))
    found += unchanged(spec, was, "spec", "selector")
    found += _template_changes(spec, was)
    for key in _FIXED:
        found += unchanged(spec, was, "spec", key)
    return found


def _name_errors(job: Object) -> list[FieldError]:
    spec = job["spec"]
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or completions <= 0:
        return []
    host = f"{name_of(job)}-{completions - 1}"
    if not names.dns_label_problems(host):
        return []
    message = f"will not able to create pod with invalid DNS label: {host}"
    return wrong("metadata.name", name_of(job), [message])


def _elastic(spec: Object, was: Object) -> bool:
    """An indexed job may grow and shrink with its parallelism."""
    return bool(
        was.get("completionMode") == "Indexed"
        and spec.get("completions") is not None
        and spec.get("completions") == spec.get("parallelism")
    )


def _template_changes(spec: Object, was: Object) -> list[FieldError]:
    template, before = mapping(spec, "template"), copy.deepcopy(mapping(was, "template"))
    if was.get("suspend"):
        old_spec, new_spec = before.setdefault("spec", {}), mapping(template, "spec")
        for key in _SCHEDULING:
            old_spec.pop(key, None)
            if key in new_spec:
                old_spec[key] = new_spec[key]
        affinity = mapping(new_spec, "affinity")
        kept = {k: v for k, v in mapping(old_spec, "affinity").items() if k != "nodeAffinity"}
        if "nodeAffinity" in affinity:
            kept["nodeAffinity"] = affinity["nodeAffinity"]
        old_spec.pop("affinity", None)
        if kept or "affinity" in new_spec:
            old_spec["affinity"] = kept
        before["metadata"] = mapping(template, "metadata")
    if template == before:
        return []
    return [fields.invalid("spec.template", template, "field is immutable")]


SPEC = KindSpec(resources.JOB, _defaults, _check, lambda _job: {}, begin=_begin, late=True)
