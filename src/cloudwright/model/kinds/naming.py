"""Names with domains in them (``example.com/thing``, ``hook.example.com``), in upstream's words."""

from __future__ import annotations

import re

from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import wrong

_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


def full_name_errors(name: str, path: str) -> list[FieldError]:
    """A name of at least three segments, such as ``hook.example.com``."""
    if not name:
        return [fields.required(path)]
    problems = names.dns_subdomain_problems(name)
    if problems:
        return wrong(path, name, problems)
    if name.count(".") < 2:
        message = "should be a domain with at least three segments separated by dots"
        return [fields.invalid(path, name, message)]
    return []


def prefixed_path_errors(text: str, path: str) -> list[FieldError]:
    """A domain, a slash and a path, such as ``example.com/controller``."""
    if not text:
        return [fields.required(path)]
    domain, slash, rest = text.partition("/")
    if not slash or not domain or not rest:
        message = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [fields.invalid(path, text, message)]
    found = wrong(path, domain, names.dns_subdomain_problems(domain))
    if _PATH.fullmatch(rest) is None:
        message = "Invalid path (e.g. '/path/subpath', regex used for validation is "
        message += r"'[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"
        found.append(fields.invalid(path, rest, message))
    return found


def qualified_errors(name: str, path: str) -> list[FieldError]:
    """A qualified name that must be there."""
    if not name:
        return [fields.required(path)]
    return wrong(path, name, names.qualified_name_problems(name))
