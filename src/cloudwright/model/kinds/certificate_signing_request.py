"""CertificateSigningRequest: a wish for a certificate, its approval, and what came of it."""

from __future__ import annotations

import base64
import binascii

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, wrong
from cloudwright.model.objects import Object

USAGES = (
    *("any", "cert sign", "client auth", "code signing", "content commitment", "crl sign"),
    *("data encipherment", "decipher only", "digital signature", "email protection"),
    *("encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement"),
    *("key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime"),
    *("server auth", "signing", "timestamping"),
)
_DECISIONS = ("Approved", "Denied", "Failed")
_SECONDS_MIN = 600


def _check(request: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(request, "spec")
    found: list[FieldError] = []
    text = str(spec.get("request") or "")
    problem = _pem_problem(text)
    if problem:
        found.append(fields.invalid("spec.request", text, problem))
    usages = members(spec, "usages")
    if not usages:
        found.append(fields.required("spec.usages"))
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            found.append(fields.not_supported(f"spec.usages[{index}]", usage, USAGES))
        if usage in usages[:index]:
            found.append(fields.duplicate(f"spec.usages[{index}]", usage))
    found += _signer_errors(str(spec.get("signerName") or ""), "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SECONDS_MIN:
        message = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(fields.invalid("spec.expirationSeconds", seconds, message))
    if old is not None and spec != mapping(old, "spec"):
        found.append(fields.invalid("spec", spec, "field is immutable"))
    return found + status_errors(request)


def status_errors(request: Object) -> list[FieldError]:
    """What is wrong with the decisions in a request's status."""
    found: list[FieldError] = []
    conditions = members(mapping(request, "status"), "conditions")
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        path, kind = f"status.conditions[{index}]", str(condition.get("type") or "")
        if not kind:
            found.append(fields.required(f"{path}.type"))
        if kind in _DECISIONS and condition.get("status") != "True":
            where = f"{path}.status"
            found.append(fields.not_supported(where, condition.get("status"), ("True",)))
        if kind in seen:
            found.append(fields.duplicate(f"{path}.type", kind))
        seen.add(kind)
    if {"Approved", "Denied"} <= seen:
        message = "Approved and Denied conditions are mutually exclusive"
        found.append(fields.invalid("status.conditions", fields.OMITTED, message))
    return found


def _pem_problem(text: str) -> str:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in decoded:
        return "PEM block type must be CERTIFICATE REQUEST"
    return ""


def _signer_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [fields.required(path)]
    domain, slash, rest = name.partition("/")
    if not slash or not rest or "/" in rest:
        message = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [fields.invalid(path, name, message)]
    if "." not in domain:
        message = "should be a domain with at least two segments separated by dots"
        return [fields.invalid(path, name, message)]
    return wrong(path, name, names.dns_subdomain_problems(domain))


SPEC = KindSpec(
    resources.CERTIFICATE_SIGNING_REQUEST, check=_check, initial_status=lambda _request: {}
)
