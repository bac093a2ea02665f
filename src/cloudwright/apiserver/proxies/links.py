"""Links and redirects of proxied answers, so that they stay below the proxy's path. Pure.

The rules are those of ``k8s.io/apimachinery/pkg/util/proxy/transport.go``.
"""

from __future__ import annotations

import posixpath
from html import escape
from html.parser import HTMLParser
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
    """An HTML page with its links rewritten; all else is as it was."""
    parser = _Page(prefix, hosts)
    parser.feed(html)
    parser.close()
    return "".join(parser.out)


class _Page(HTMLParser):
    def __init__(self, prefix: str, hosts: frozenset[str]) -> None:
        super().__init__(convert_charrefs=False)
        self.out: list[str] = []
        self._prefix = prefix
        self._hosts = hosts

    def _start(self, tag: str, attrs: list[tuple[str, str | None]], end: str) -> None:
        links = _ATTRIBUTES.get(tag, frozenset())
        changed = [
            (n, rewritten(v, self._prefix, self._hosts) if n in links and v else v)
            for n, v in attrs
        ]
        if changed == attrs:
            self.out.append(self.get_starttag_text() or "")
            return
        words = [tag, *(n if v is None else f'{n}="{escape(v)}"' for n, v in changed)]
        self.out.append(f"<{' '.join(words)}{end}>")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._start(tag, attrs, "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._start(tag, attrs, "/")

    def handle_endtag(self, tag: str) -> None:
        self.out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.out.append(data)

    def handle_entityref(self, name: str) -> None:
        self.out.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.out.append(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self.out.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.out.append(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self.out.append(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        self.out.append(f"<![{data}]>")
