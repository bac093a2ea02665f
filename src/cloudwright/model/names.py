"""What things may be called (RFC 1123 and 1035 as Kubernetes reads them), and short hashes.

Every ``*_problems`` function returns upstream's messages (``k8s.io/apimachinery`` validation);
none means the text is fine.
"""

from __future__ import annotations

import json
import re
from typing import Any

LABEL_MAX = 63
SUBDOMAIN_MAX = 253
SUFFIX_LENGTH = 5
_SAFE = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no 0/1/3: cannot spell words

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_ENV = r"[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"


def _wrong(message: str, regex: str, *examples: str) -> str:
    shown = ",  or ".join(f"'{example}'" for example in examples)
    return f"{message} (e.g. {shown}, regex used for validation is '{regex}')"


def _too_long(limit: int, unit: str = "characters") -> str:
    return f"must be no more than {limit} {unit}"


class _Rule:
    """What a name must look like, made once: names are checked with every write."""

    __slots__ = ("_limit", "_matches", "_message", "_unit")

    def __init__(
        self, limit: int, message: str, regex: str, *examples: str, unit: str = "characters"
    ) -> None:
        self._limit, self._unit = limit, unit
        self._matches = re.compile(regex).fullmatch
        self._message = _wrong(message, regex, *examples)

    def problems(self, text: str) -> list[str]:
        """None for a text that is fine."""
        fits = self._matches(text) is not None
        if fits and len(text) <= self._limit:  # what matches is ASCII
            return []
        problems = [] if len(text.encode()) <= self._limit else [_too_long(self._limit, self._unit)]
        return problems if fits else [*problems, self._message]


_DNS_LABEL = _Rule(
    LABEL_MAX,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
    " and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_DNS_1035 = _Rule(
    LABEL_MAX,
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-',"
    " start with an alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_DNS_SUBDOMAIN = _Rule(
    SUBDOMAIN_MAX,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters,"
    " '-' or '.', and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_WILDCARD = _Rule(
    SUBDOMAIN_MAX,
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain,"
    " which must consist of lower case alphanumeric characters, '-' or '.' and end with an"
    " alphanumeric character",
    rf"\*\.{_SUBDOMAIN}",
    "*.example.com",
)
_VALUE = _Rule(
    LABEL_MAX,
    "a valid label must be an empty string or consist of alphanumeric characters,"
    " '-', '_' or '.', and must start and end with an alphanumeric character",
    _LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
    unit="bytes",
)
_KEY = _Rule(
    SUBDOMAIN_MAX,
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_NAME = _Rule(
    LABEL_MAX,
    "must consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
    unit="bytes",
)


def dns_label_problems(text: str) -> list[str]:
    """Whether ``text`` is an RFC 1123 label (names of namespaces, containers, volumes)."""
    return _DNS_LABEL.problems(text)


def dns_1035_label_problems(text: str) -> list[str]:
    """Whether ``text`` is an RFC 1035 label (names of Services)."""
    return _DNS_1035.problems(text)


def dns_subdomain_problems(text: str) -> list[str]:
    """Whether ``text`` is an RFC 1123 subdomain (names of most objects)."""
    return _DNS_SUBDOMAIN.problems(text)


def wildcard_problems(text: str) -> list[str]:
    """Whether ``text`` is ``*.`` and an RFC 1123 subdomain."""
    return _WILDCARD.problems(text)


def label_value_problems(text: str) -> list[str]:
    """Whether ``text`` may be a label's value."""
    return _VALUE.problems(text)


def qualified_name_problems(text: str) -> list[str]:
    """Whether ``text`` may be a label's or annotation's key: ``[prefix/]name``."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {_NAME.problems('/')[0]} with an optional DNS subdomain prefix and "
            "'/' (e.g. 'example.com/MyName')"
        ]
    problems = []
    if slash:
        if not prefix:
            problems.append("prefix part must be non-empty")
        else:
            found = dns_subdomain_problems(prefix)
            in_bytes = _too_long(SUBDOMAIN_MAX), _too_long(SUBDOMAIN_MAX, "bytes")
            problems += [f"prefix part {problem.replace(*in_bytes)}" for problem in found]
    if not name:
        problems.append("name part must be non-empty")
    problems += [f"name part {problem}" for problem in _NAME.problems(name)]
    return problems


def env_name_problems(text: str) -> list[str]:
    """Whether ``text`` may be the name of an environment variable."""
    if re.fullmatch(_ENV, text) is None:
        return [
            _wrong(
                "a valid environment variable name must consist of alphabetic characters, digits,"
                " '_', '-', or '.', and must not start with a digit",
                _ENV,
                "my.env-name",
                "MY_ENV.NAME",
                "MyEnvName1",
            )
        ]
    return []


def port_name_problems(text: str) -> list[str]:
    """Whether ``text`` may be a port's name (IANA service name)."""
    problems = []
    if len(text) > 15:
        problems.append("must be no more than 15 characters")
    if re.fullmatch(r"[-a-z0-9]+", text) is None:
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if re.search(r"[a-z]", text) is None:
        problems.append("must contain at least one letter (a-z)")
    if "--" in text:
        problems.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def config_key_problems(text: str) -> list[str]:
    """Whether ``text`` may be a key of a ConfigMap or Secret: a plain file name."""
    problems = _KEY.problems(text)
    if text == ".":
        problems.append("must not be '.'")
    elif text == "..":
        problems.append("must not be '..'")
    elif text.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def port_problems(port: object) -> list[str]:
    """Whether ``port`` is a port number."""
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        return ["must be between 1 and 65535, inclusive"]
    return []


def generate_name(prefix: str, random: bytes) -> str:
    """``prefix`` plus five safe characters chosen by ``random`` (at least five bytes).

    The prefix is cut so that the whole fits a label, as the API server does for
    ``metadata.generateName``.
    """
    if len(random) < SUFFIX_LENGTH:
        raise ValueError(f"need {SUFFIX_LENGTH} random bytes, got {len(random)}")
    return prefix[: LABEL_MAX - SUFFIX_LENGTH] + safe_encode(random[:SUFFIX_LENGTH])


def safe_encode(data: bytes) -> str:
    """One safe character for each byte (``rand.SafeEncodeString``)."""
    return "".join(_SAFE[byte % len(_SAFE)] for byte in data)


def fnv1a_32(data: bytes) -> int:
    """The 32-bit FNV-1a hash."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def short_hash(value: Any) -> str:
    """Up to ten safe characters that tell one JSON value from another (``pod-template-hash``)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return safe_encode(str(fnv1a_32(text.encode())).encode())


def child_name(name: str, suffix: str, limit: int = SUBDOMAIN_MAX) -> str:
    """``name-suffix``, ``name`` cut so that the whole is at most ``limit`` characters."""
    return f"{name[: limit - len(suffix) - 1].rstrip('-.')}-{suffix}"
