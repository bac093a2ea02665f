"""The file of an ``AuthenticationConfiguration`` (``apiserver.config.k8s.io/v1``), checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright.apiserver.authn import expressions
from cloudwright.apiserver.authn.expressions import Expressions, Rule
from cloudwright.apiserver.authn.issuers import Configuration, Issuer, IssuerProblem, Mapped

if TYPE_CHECKING:
    from cloudwright.apiserver import cel


def load(file: Path) -> Configuration:
    """The configuration in a YAML file.

    Raises:
        IssuerProblem: it cannot be read or used.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise IssuerProblem(f"{file} cannot be read", cause=str(error)) from error
    return configuration(content)


def configuration(content: Any) -> Configuration:
    """The configuration in an object. Raises IssuerProblem."""
    if not isinstance(content, dict) or content.get("kind") != "AuthenticationConfiguration":
        raise IssuerProblem("the file holds no AuthenticationConfiguration")
    _only(content, "", "apiVersion", "kind", "jwt", "anonymous")
    entries = content.get("jwt") or []
    issuers = tuple(_issuer(entry, f"jwt[{at}]") for at, entry in enumerate(entries))
    if len({issuer.url for issuer in issuers}) < len(issuers):
        raise IssuerProblem("jwt: two entries have the same issuer.url")
    return Configuration(issuers, _anonymous(content.get("anonymous")))


def _anonymous(given: Any) -> frozenset[str] | None:
    if given is None or not given.get("enabled"):
        return frozenset()
    conditions = given.get("conditions") or []
    return frozenset(str(entry["path"]) for entry in conditions) if conditions else None


def _issuer(entry: Any, path: str) -> Issuer:
    _only(entry, path, "issuer", "claimMappings", "claimValidationRules", "userValidationRules")
    issuer, mappings = entry.get("issuer") or {}, entry.get("claimMappings") or {}
    _only(
        issuer,
        f"{path}.issuer",
        *("url", "audiences", "audienceMatchPolicy", "certificateAuthority", "discoveryURL"),
    )
    url, audiences = str(issuer.get("url") or ""), issuer.get("audiences") or []
    if not url.startswith("https://"):
        raise IssuerProblem(f"{path}.issuer.url: {url!r} must begin with https://")
    if not audiences:
        raise IssuerProblem(f"{path}.issuer.audiences: at least one is required")
    _only(mappings, f"{path}.claimMappings", "username", "groups", "uid", "extra")
    if not mappings.get("username"):
        raise IssuerProblem(f"{path}.claimMappings.username: required")
    uid = mappings.get("uid") or {}
    _only(uid, f"{path}.claimMappings.uid", "claim", "expression")
    made = _expressions(entry, mappings, path)
    return Issuer(
        url,
        tuple(map(str, audiences)),
        _mapped(mappings["username"], f"{path}.claimMappings.username") or Mapped(""),
        _mapped(mappings.get("groups"), f"{path}.claimMappings.groups"),
        str(uid.get("claim") or ""),
        tuple(_required(entry.get("claimValidationRules"), f"{path}.claimValidationRules")),
        str(issuer.get("certificateAuthority") or ""),
        str(issuer.get("discoveryURL") or ""),
        made,
    )


def _expressions(entry: Any, mappings: Any, path: str) -> Expressions:
    """The programs of an entry. Raises IssuerProblem."""
    where = f"{path}.claimMappings"

    def one(name: str) -> cel.Program | None:
        source = (mappings.get(name) or {}).get("expression")
        if not source:
            return None
        return _compiled(expressions.on_claims, str(source), f"{where}.{name}.expression")

    extra: list[tuple[str, cel.Program]] = []
    for at, item in enumerate(mappings.get("extra") or ()):
        place = f"{where}.extra[{at}]"
        _only(item, place, "key", "valueExpression")
        key, source = str(item.get("key") or ""), str(item.get("valueExpression") or "")
        if "/" not in key or key != key.lower() or key in dict(extra):
            raise IssuerProblem(f"{place}.key: must be a lower-case path with a domain, once")
        program = _compiled(expressions.on_claims, source, f"{place}.valueExpression")
        extra.append((key, program))
    rules = _rules(entry, "claimValidationRules", path, _claims_rule)
    made = Expressions(
        one("username"),
        one("groups"),
        one("uid"),
        tuple(extra),
        rules,
        _rules(entry, "userValidationRules", path, expressions.on_user),
    )
    sources = [program.source for _, program in extra] + [rule.program.source for rule in rules]
    if made.username is not None and expressions.unverified(made.username.source, sources):
        raise IssuerProblem(
            f"{where}.username.expression: claims.email_verified must be used in "
            "claimMappings.username.expression or claimMappings.extra[*].valueExpression or "
            "claimValidationRules[*].expression when claims.email is used in "
            "claimMappings.username.expression"
        )
    return made


def _claims_rule(source: str) -> cel.Program:
    return expressions.on_claims(source, "bool")


def _rules(
    entry: Any, name: str, path: str, compiler: Callable[[str], cel.Program]
) -> tuple[Rule, ...]:
    found = []
    for at, rule in enumerate(entry.get(name) or ()):
        where, source = f"{path}.{name}[{at}]", rule.get("expression")
        if name == "userValidationRules":
            _only(rule, where, "expression", "message")
            if not source:
                raise IssuerProblem(f"{where}.expression: required")
        if not source:
            continue
        if rule.get("claim") or rule.get("requiredValue"):
            raise IssuerProblem(f"{where}: claim and expression cannot both be set")
        program = _compiled(compiler, str(source), f"{where}.expression")
        found.append(Rule(program, str(rule.get("message") or "")))
    return tuple(found)


def _compiled(compiler: Callable[[str], cel.Program], source: str, path: str) -> cel.Program:
    from cloudwright.apiserver.cel import CelError

    try:
        return compiler(source)
    except CelError as error:
        raise IssuerProblem(f"{path}: compilation failed: {error.message}") from error


def _required(rules: Any, path: str) -> list[tuple[str, str]]:
    found = []
    for at, rule in enumerate(rules or ()):
        _only(rule, f"{path}[{at}]", "claim", "requiredValue", "expression", "message")
        if rule.get("expression"):
            continue
        found.append((str(rule.get("claim")), str(rule.get("requiredValue") or "")))
    return found


def _mapped(given: Any, path: str) -> Mapped | None:
    if not given:
        return None
    _only(given, path, "claim", "prefix", "expression")
    if given.get("expression"):
        if given.get("claim") or given.get("prefix") is not None:
            raise IssuerProblem(f"{path}: claim or prefix cannot be set beside expression")
        return None
    if not given.get("claim") or given.get("prefix") is None:
        raise IssuerProblem(f"{path}: claim and prefix (which may be empty) are required")
    return Mapped(str(given["claim"]), str(given["prefix"]))


def _only(given: Any, path: str, *known: str) -> None:
    if not isinstance(given, dict):
        raise IssuerProblem(f"{path or 'the file'}: must be an object")
    for key in given:
        if key not in known:
            raise IssuerProblem(f"{path}.{key}: unknown field".lstrip("."))
