"""The proxies of a row: all started on the one core, measured in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.data_plane.figures import OURS, Figures
from benchmarks.data_plane.process import cores
from tests.peers.build import Unavailable
from tests.peers.data_plane.envoy import Envoy
from tests.peers.data_plane.golang import Golang
from tests.peers.data_plane.haproxy import Haproxy
from tests.peers.data_plane.nginx import Nginx
from tests.peers.data_plane.ours import Mesh, Ours
from tests.peers.data_plane.places import Front, Peer, Running, Task, Unsupported, serving
from tests.peers.data_plane.places import Upstream as Spoken
from tests.peers.data_plane.upstream import Upstream, upstream
from tests.peers.pki import Authority
from tests.peers.processes import NotStarted

KINDS: dict[str, Callable[[], Peer]] = {
    "nginx": Nginx,
    "haproxy": Haproxy,
    "envoy": Envoy,
    "go": Golang,
    OURS: Ours,
    "mesh": Mesh,
}
DIRECT = "direct"


@dataclass(slots=True)
class Bench:
    """One run: which peers, how many rounds, what was found."""

    directory: Path
    peers: Sequence[str]
    rounds: int
    figures: Figures = field(default_factory=Figures)
    _fresh: int = 0

    def __post_init__(self) -> None:
        self.proxy_core, self.load_core = cores()
        self.authority = Authority(self.directory / "pki")

    proxy_core: list[str] = field(init=False)
    load_core: list[str] = field(init=False)
    authority: Authority = field(init=False)

    def fresh(self) -> Path:
        """A directory that nobody used."""
        self._fresh += 1
        return self.directory / f"{self._fresh}"

    @contextmanager
    def upstream(self, hold: str = "3s", size: int = 1024) -> Iterator[Upstream]:
        """The upstream on the load's core."""
        with upstream(self.fresh(), self.authority, self.load_core, hold, size) as made:
            yield made

    def task(self, made: Upstream, front: Front, spoken: Spoken) -> Task:
        """The work of one proxy."""
        return Task(front, spoken, made.clear, made.secure, self.authority, self.fresh())

    @contextmanager
    def proxies(
        self,
        row: str,
        made: Upstream,
        front: Front,
        spoken: Spoken,
        other: Mapping[str, Spoken] | None = None,
    ) -> Iterator[dict[str, Running]]:
        """All that can do the row's work; who cannot is noted. ``other``: peer → its upstream."""
        found: dict[str, Running] = {}
        with ExitStack() as stack:
            for name in self.peers:
                task = self.task(made, front, (other or {}).get(name, spoken))
                try:
                    with_core = serving(KINDS[name](), task, self.proxy_core)
                    found[name] = stack.enter_context(with_core)
                except (Unavailable, Unsupported, NotStarted) as error:
                    self.figures.note(row, f"{name}: {error}")
            yield found

    @property
    def few(self) -> int:
        """Rounds of what hardly varies and takes long: memory."""
        return min(self.rounds, 2)

    def turns(self, names: Sequence[str], rounds: int = 0) -> Iterator[tuple[int, str]]:
        """Round and name, A B C, C B A, …: a change of the machine's speed hits all."""
        for number in range(rounds or self.rounds):
            yield from (
                (number, name) for name in (names if number % 2 == 0 else list(reversed(names)))
            )
