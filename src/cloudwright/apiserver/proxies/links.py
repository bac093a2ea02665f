"""Links and redirects of proxied answers, so that they stay below the proxy's path. Pure.

The rules are those of ``k8s.io/apimachinery/pkg/util/proxy/transport.go``.
"""

from __future__ import annotations

import posixpath
import re
from html import escape, unescape
from urllib.parse import urlsplit, urlunsplit

_ATTRIBUTES: dict[str, frozenset[str]] = {
    "a": frozenset({"href"}),
    "applet": frozenset({"codebase"}),
    "area": frozenset({"href"}),
    "audio": frozenset({"src"}),
    "base": frozenset({"href"}),
    "blockquote": frozenset({"cite"}),
    "body": frozenset({"background"}),
    "button": frozenset({"formaction"}),
    "command": frozenset({"icon"}),
    "del": frozenset({"cite"}),
    "embed": frozenset({"src"}),
    "form": frozenset({"action"}),
    "frame": frozenset({"longdesc", "src"}),
    "head": frozenset({"profile"}),
    "html": frozenset({"manifest"}),
    "iframe": frozenset({"longdesc", "src"}),
    "img": frozenset({"longdesc", "src", "usemap"}),
    "input": frozenset({"src", "usemap", "formaction"}),
    "ins": frozenset({"cite"}),
    "link": frozenset({"href"}),
    "object": frozenset({"classid", "codebase", "data", "usemap"}),
    "q": frozenset({"cite"}),
    "script": frozenset({"src"}),
    "source": frozenset({"src"}),
    "track": frozenset({"src"}),
    "video": frozenset({"poster", "src"}),
}


def rewritten(url: str, prefix: str, hosts: frozenset[str]) -> str:
    """A URL of the backend as its client must say it: absolute paths get ``prefix`` (the path of
    the proxy, without a slash at its end); other hosts than ``hosts`` and relative paths stay.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if (parts.netloc and parts.netloc not in hosts) or not parts.path.startswith("/"):
        return url
    path = parts.path
    if not path.startswith(prefix):
        path = prefix + posixpath.normpath("/" + path.lstrip("/"))
        if parts.path.endswith("/") and not path.endswith("/"):
            path += "/"
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def page(html: str, prefix: str, hosts: frozenset[str]) -> str:
    """An HTML page with its links rewritten; all else is as it was.

    Takes time in proportion to the page's length, whatever is in it: what begins and never ends
    (a tag, a comment, a quoted value) is left alone with all that follows.
    """
    out: list[str] = []
    done = at = 0
    while (at := html.find("<", at)) >= 0:
        if html.startswith("<!--", at):
            at = _after(html, "-->", at + 4)
            continue
        tag = _TAG.match(html, at)
        if tag is None:
            at += 1
            continue
        name = tag[1].lower()
        links = _ATTRIBUTES.get(name, frozenset())
        at = tag.end()
        while (found := _ATTRIBUTE.match(html, at)) is not None:
            at = found.end()
            value = found[2]
            if value is None:
                continue
            if value[:1] in ("'", '"') and (len(value) < 2 or value[-1] != value[0]):
                at = len(html)  # its quote never closes
                break
            if found[1].lower() in links:
                plain = unescape(value[1:-1] if value[0] in "'\"" else value)
                changed = rewritten(plain, prefix, hosts)
                if changed != plain:
                    out += (html[done : found.start(2)], f'"{escape(changed)}"')
                    done = at
        if name in _RAW:
            end = _RAW[name].search(html, at)
            at = len(html) if end is None else end.start()
    return "".join((*out, html[done:]))


def _after(html: str, what: str, at: int) -> int:
    found = html.find(what, at)
    return len(html) if found < 0 else found + len(what)


_TAG = re.compile(r"<([a-zA-Z][^\s/>]*+)")
_ATTRIBUTE = re.compile(
    r"""[\s/]*+([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+("[^"]*+(?:"|$)|'[^']*+(?:'|$)|[^\s>"'][^\s>]*+))?+"""
)
_RAW = {
    name: re.compile(f"</{name}(?=[\\s/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}
"""Elements whose content is text, to their end."""
