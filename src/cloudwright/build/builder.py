"""From a project to a named image: three layers, a configuration, a manifest."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloudwright._base.files import write_atomic
from cloudwright.build import archive, closure, dependencies, interpreter, project, scripts
from cloudwright.build.archive import Tree
from cloudwright.build.errors import BadProject
from cloudwright.build.libraries import is_dynamic
from cloudwright.build.native import compress_layer
from cloudwright.build.ports import ImageSink
from cloudwright.build.project import Project

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
USER = 65532
ACCOUNTS = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/app:/sbin/nologin\n"
GROUP = "root:x:0:\nnonroot:x:65532:\n"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

Json = dict[str, Any]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Layer:
    """A finished layer."""

    title: str
    digest: str
    size: int
    diff_id: str


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made. ``digest`` is the manifest's."""

    reference: str
    digest: str
    size: int
    layers: tuple[Layer, ...]
    bytes: int
    """Size of the manifest itself."""
    cached: bool = False
    """The image was there already, made from the same sources."""


def build(
    path: Path,
    sink: ImageSink,
    *,
    reference: str = "",
    python: Path | None = None,
    env: Mapping[str, str] | None = None,
    epoch: int = 0,
    cache: bool = True,
    progress: Progress = lambda _: None,
) -> Built:
    """Build ``path`` and name the image ``reference`` (default: the project's name and version).

    ``env`` adds to the environment that the image gives its process.
    The same project, interpreter and packages give the same digest. Raises BadProject,
    BuildFailed, OSError;
    no name is given unless the whole image is there.
    """
    what = project.read(path)
    what = replace(what, env={**what.env, **(env or {})})
    name = reference or (f"{what.name}:{what.version}" if what.version else f"{what.name}:latest")
    note = sink.scratch() / f"built-{_inputs(what, name, python, epoch)}.json"
    if cache and (known := _remembered(note, sink)):
        sink.tag(name, {"mediaType": MANIFEST_TYPE, "digest": known.digest, "size": known.bytes})
        return known
    progress(f"building {name} from {path}")
    with tempfile.TemporaryDirectory(dir=sink.scratch()) as folder:
        if what.kind == "program":
            layers = [_pack(sink, "program", _program(what), epoch)]
        else:
            layers = _python_layers(what, sink, Path(folder), python, epoch, progress)
    config = canonical(_config(what, layers, epoch))
    manifest = canonical(_manifest(sink.put(config), len(config), layers, what))
    digest = sink.put(manifest)
    sink.tag(name, {"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(manifest)})
    size = len(config) + sum(layer.size for layer in layers)
    built = Built(name, digest, size, tuple(layers), len(manifest))
    write_atomic(note, json.dumps(asdict(built)).encode())
    progress(f"built {name} ({size / 1e6:.1f} MB)")
    return built


def _inputs(what: Project, name: str, python: Path | None, epoch: int) -> str:
    """A key over everything a build is made from, less what a package index would answer today."""
    executable = (python or interpreter.base_executable()).stat()
    stamp = [executable.st_mtime_ns, executable.st_size]
    source = [source_digest(what), what.command, sorted(what.env.items()), what.requirements]
    facts = json.dumps([name, epoch, stamp, source, what.keep, _own_digest()])
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _own_digest() -> str:
    """A digest over the builder itself: another builder may make another image."""
    hasher = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        hasher.update(file.read_bytes())
    return hasher.hexdigest()


def _remembered(note: Path, sink: ImageSink) -> Built | None:
    if not note.is_file():
        return None
    fields = json.loads(note.read_bytes())
    layers = tuple(Layer(**layer) for layer in fields.pop("layers"))
    known = Built(**{**fields, "layers": layers, "cached": True})
    there = all(sink.has(digest) for digest in (known.digest, *(x.digest for x in layers)))
    return known if there else None


def canonical(value: Json) -> bytes:
    """The one encoding of a JSON document."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _python_layers(
    what: Project,
    sink: ImageSink,
    folder: Path,
    executable: Path | None,
    epoch: int,
    progress: Progress,
) -> list[Layer]:
    python = interpreter.inspect(executable or interpreter.base_executable())
    packages = folder / "packages"
    packages.mkdir()
    if what.requirements:
        progress(f"installing {len(what.requirements)} requirements")
        dependencies.install(what.requirements, packages, python)
    files = _application_files(what)
    sources = [file for file in files if file.suffix == ".py"]
    roots = [*sources, *packages.rglob("*.py")]
    modules = closure.reachable(roots, python.stdlib, what.keep)
    progress(f"Python {python.version} with {len(modules)} reachable modules")
    layers = [_interpreter_layer(sink, python, modules, epoch)]
    if what.requirements:
        tree = Tree()
        dependencies.add(tree, packages, python)
        layers.append(_pack(sink, "dependencies", tree, epoch))
    application = Tree()
    for file in files:
        relative = file.relative_to(what.root)
        application.file(f"/app/{relative}", file, program=os.access(file, os.X_OK))
    compiled = [(file, f"/app/{file.relative_to(what.root)}") for file in sources]
    dependencies.add_compiled(application, compiled, python)
    helpers = scripts.programs([f for f in files if os.access(f, os.X_OK)])
    for target, source in helpers.items():
        application.file(target, source, program=True)
    interpreter.add_libraries(application, list(helpers.values()))
    layers.append(_pack(sink, "application", application, epoch))
    return layers


def _interpreter_layer(
    sink: ImageSink, python: interpreter.Interpreter, modules: set[str], epoch: int
) -> Layer:
    """The interpreter layer, made once for each interpreter and set of modules."""
    stat = python.executable.stat()
    facts = [python.full_version, stat.st_mtime_ns, stat.st_size, epoch, sorted(modules)]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    note = sink.scratch() / f"interpreter-{key}.json"
    if note.is_file():
        layer = Layer(**json.loads(note.read_text()))
        if sink.has(layer.digest):
            return layer
    base = Tree()
    _skeleton(base)
    interpreter.add(base, python, modules)
    layer = _pack(sink, "interpreter", base, epoch)
    write_atomic(note, json.dumps(asdict(layer)).encode())
    return layer


def _application_files(what: Project) -> list[Path]:
    files: list[Path] = []
    for folder, folders, names in os.walk(what.root):
        here = Path(folder)
        folders[:] = sorted(n for n in folders if not _excluded(what, here / n))
        for name in sorted(names):
            file = here / name
            if _excluded(what, file):
                continue
            if file.is_symlink() and not file.resolve().is_relative_to(what.root.resolve()):
                raise BadProject(f"{file} is a link to outside of the project", hint="exclude it")
            files.append(file)
    return files


def _excluded(what: Project, file: Path) -> bool:
    relative = str(file.relative_to(what.root))
    return any(
        fnmatch.fnmatch(file.name, pattern) or fnmatch.fnmatch(relative, pattern)
        for pattern in what.exclude
    )


def _program(what: Project) -> Tree:
    program = what.program
    if program is None:
        raise BadProject(f"{what.root} has no program")
    tree = Tree()
    _skeleton(tree)
    tree.file(f"/app/{program.name}", program, program=True)
    if is_dynamic(program):
        interpreter.add_libraries(tree, [program])
    return tree


def _skeleton(tree: Tree) -> None:
    tree.text("/etc/passwd", ACCOUNTS)
    tree.text("/etc/group", GROUP)
    tree.text("/etc/nsswitch.conf", "hosts: files dns\n")
    tree.directory("/tmp", 0o1777)  # noqa: S108 (a path inside the image)
    for path in ("/app", "/etc/config", "/proc", "/sys", "/dev", "/run", "/var/tmp"):  # noqa: S108
        tree.directory(path)
    tree.link("/bin", "usr/bin")
    tree.link("/lib", "usr/lib")


def _pack(sink: ImageSink, title: str, tree: Tree, epoch: int) -> Layer:
    with (
        tempfile.NamedTemporaryFile(dir=sink.scratch(), suffix=".tar") as plain,
        tempfile.NamedTemporaryFile(dir=sink.scratch(), suffix=".gz", delete=False) as packed,
    ):
        compressed = Path(packed.name)
        try:
            archive.write(tree, plain.file, epoch=epoch)
            plain.flush()
            digest, size, diff_id, _ = compress_layer(plain.name, compressed)
            sink.adopt(compressed, digest)
        finally:
            compressed.unlink(missing_ok=True)
    return Layer(title, digest, size, diff_id)


def _config(what: Project, layers: list[Layer], epoch: int) -> Json:
    env = {"PATH": "/app/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/app", **what.env}
    if what.kind == "python":
        env |= {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        env.setdefault("PYTHONPATH", f"/app:{dependencies.SITE}")
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    machine = os.uname().machine
    return {
        "architecture": _MACHINES.get(machine, machine),
        "os": "linux",
        "created": created,
        "config": {
            "Entrypoint": list(what.command),
            "Env": [f"{key}={value}" for key, value in sorted(env.items())],
            "WorkingDir": "/app",
            "User": f"{USER}:{USER}",
            "Labels": _labels(what),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [
            {"created": created, "created_by": f"cloudwright build: {layer.title}"}
            for layer in layers
        ],
    }


def _labels(what: Project) -> dict[str, str]:
    labels = {"org.opencontainers.image.title": what.name}
    if what.version:
        labels["org.opencontainers.image.version"] = what.version
    return labels


def _manifest(config: str, size: int, layers: list[Layer], what: Project) -> Json:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": config, "size": size},
        "layers": [
            {"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size}
            for layer in layers
        ],
        "annotations": _labels(what),
    }


def source_digest(what: Project) -> str:
    """A digest over names, modes and content of a project's files; tells whether anything
    changed.
    """
    hasher = hashlib.sha256()
    files = [what.program] if what.program else _application_files(what)
    for file in files:
        hasher.update(f"{file.relative_to(what.root)}\0{os.access(file, os.X_OK)}\0".encode())
        hasher.update(hashlib.sha256(file.read_bytes()).digest())
    return hasher.hexdigest()
