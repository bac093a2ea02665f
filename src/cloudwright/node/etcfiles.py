"""``/etc/resolv.conf``, ``/etc/hosts`` and ``/etc/hostname`` of a pod. Pure."""

from __future__ import annotations

from typing import Any

from cloudwright.model.objects import Object, name_of, namespace_of

HOSTS_HEADER = "# Managed by cloudwright"


def hostname(pod: Object) -> str:
    """``spec.hostname``, else the pod's name, cut to the 63 characters a host name may have."""
    name = str(pod["spec"].get("hostname") or name_of(pod))
    return name[:63].rstrip("-.")


def resolv_conf(pod: Object, dns_address: str, domain: str) -> str:
    """The resolver's file; ``dnsPolicy: None`` leaves only ``dnsConfig``."""
    servers, options = [dns_address], {"ndots": "2"}
    search = [f"{namespace_of(pod)}.svc.{domain}", f"svc.{domain}", domain]
    spec = pod["spec"]
    if spec.get("dnsPolicy") == "None":
        servers, search, options = [], [], {}
    extra: dict[str, Any] = spec.get("dnsConfig") or {}
    servers += [s for s in extra.get("nameservers") or [] if s not in servers]
    search += [s for s in extra.get("searches") or [] if s not in search]
    for option in extra.get("options") or []:
        options[str(option["name"])] = str(option.get("value") or "")
    lines = [f"nameserver {server}" for server in servers]
    if search:
        lines.append(f"search {' '.join(search)}")
    if options:
        words = [f"{name}:{value}" if value else name for name, value in options.items()]
        lines.append(f"options {' '.join(words)}")
    return "\n".join(lines) + "\n"


def hosts(pod: Object, ip: str, domain: str) -> str:
    """The hosts file: loopback, the pod itself, ``hostAliases``."""
    name = hostname(pod)
    names = [name]
    subdomain = pod["spec"].get("subdomain")
    if subdomain:
        names.insert(0, f"{name}.{subdomain}.{namespace_of(pod)}.svc.{domain}")
    lines = [HOSTS_HEADER, "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines.append(f"{ip}\t{' '.join(names)}")
    for alias in pod["spec"].get("hostAliases") or []:
        lines.append(f"{alias['ip']}\t{' '.join(alias.get('hostnames') or [])}")
    return "\n".join(lines) + "\n"
