"""The entry point: verbs, usage, exit codes, errors, and what it may import."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from cloudwright._base.errors import CloudwrightError, NotFoundError, Place, render
from cloudwright.cli import command, main
from cloudwright.cli.readiness import readiness
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Progress, Terminal
from cloudwright.cli.verbs import complete, wait


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in main.verbs())


def test_no_verb_and_a_wrong_verb_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 2
    assert main.main(["aply"]) == 2
    assert "did you mean `cloudwright apply`" in capsys.readouterr().err


@pytest.mark.parametrize("verb", sorted(main.verbs()))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([verb, "--help"])
    assert ended.value.code == 0
    assert f"usage: cloudwright {verb}" in capsys.readouterr().out


def test_flags_may_stand_before_the_verb() -> None:
    assert main.split(["-n", "x", "get", "pods"]) == ("get", ["-n", "x", "pods"])
    assert main.split(["--no-color", "up"]) == ("up", ["--no-color"])


def test_a_wrong_flag_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["get", "pods", "--wrong"]) == 2
    assert "--wrong" in capsys.readouterr().err


def test_an_unreachable_api_is_exit_code_6(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOUDWRIGHT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert main.main(["get", "pods"]) == 6
    assert "cloudwright up" in capsys.readouterr().err


FORBIDDEN = ("aiohttp", "cryptography", "anyio", "asyncio", "yaml", "orjson", "pyroute2", "wsproto")


@pytest.mark.parametrize("verb", ["", "get", "apply", "logs", "wait"])
def test_a_verb_starts_without_heavy_modules(verb: str) -> None:
    """The budget is counted in modules, not milliseconds: these cost more than all else
    together."""
    program = "import sys; from cloudwright.cli import main, command\n"
    if verb:
        program += f"import cloudwright.cli.verbs.{verb}, cloudwright.cli.sessions\n"
    program += f"print([m for m in {FORBIDDEN!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_error_shows_place_cause_and_hint() -> None:
    error = CloudwrightError(
        "it is wrong", code="CW1", cause="because", hint="do this",
        place=Place("f.yaml", 14, 9, "        memory: 64Gi", 12),
    )  # fmt: skip
    assert render(error).splitlines() == [
        "error: it is wrong",
        "  --> f.yaml:14:9",
        "   |",
        "14 |         memory: 64Gi",
        "   |         ^^^^^^^^^^^^",
        "  = cause: CW1 because",
        "hint: do this",
    ]


def test_exit_codes_come_from_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    class Verb:
        __doc__ = "A verb."

        def add_arguments(self, parser: object) -> None:
            return

        def run(self, args: object, terminal: object) -> int:
            raise NotFoundError("gone")

    monkeypatch.setattr(command, "import_module", lambda _: Verb())
    assert command.run_verb("get", []) == 3


def test_progress_is_one_line_a_change_when_piped() -> None:
    err = io.StringIO()
    progress = Progress(Terminal(io.StringIO(), err))
    progress.show(["a: 1", "b: 1"])
    progress.show(["a: 1", "b: 2"])
    progress.clear()
    assert err.getvalue().splitlines() == ["a: 1", "b: 1", "b: 2"]


def test_readiness_of_a_microservice() -> None:
    obj = {
        "kind": "MicroService",
        "metadata": {"name": "p", "generation": 2},
        "spec": {"replicas": 3},
        "status": {"phase": "Progressing", "readyReplicas": 1, "observedGeneration": 2},
    }
    assert readiness(obj).text == "p: Progressing, 1/3 ready"
    assert not readiness(obj).done
    obj["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    assert readiness(obj).done
    obj["status"]["observedGeneration"] = 1
    assert not readiness(obj).done
    obj["status"] |= {"observedGeneration": 2, "phase": "RolledBack"}
    assert readiness(obj).failed


def test_waiting_for_a_condition_takes_the_observed_generation_into_account() -> None:
    test = wait.parse("condition=Ready")
    obj = {
        "metadata": {"generation": 2},
        "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]},
    }
    assert not test(obj).done
    obj["status"]["conditions"][0]["observedGeneration"] = 2
    assert test(obj).done
    assert wait.parse("delete")(None).done
    assert wait.parse("jsonpath={.status.version}=1.2")({"status": {"version": "1.2"}}).done
    assert not wait.parse("jsonpath={.status.version}")({"status": {}}).done


def test_completion_knows_verbs_flags_and_kinds() -> None:
    parser = command.parser_of("__complete", import_module("cloudwright.cli.verbs.complete"))
    args = parser.parse_args(["1", "cloudwright", ""])
    assert "apply" in complete.candidates([], "", args)
    assert "--watch" in complete.candidates(["get"], "--w", args)
    assert "pods" in complete.candidates(["get"], "", args)


def test_a_category_names_several_kinds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "c", "user": {}}],
            }
        )
    )
    args = argparse.Namespace(kubeconfig=str(file), context=None, state_dir=None)
    kinds = {resource.plural for resource, _ in Session(args).targets(["all"])}
    assert {"pods", "services", "deployments", "microservices"} <= kinds
    assert "secrets" not in kinds


@pytest.mark.parametrize("action", ["certificates", "rotate", "proxies"])
def test_the_words_of_mesh_need_no_step(action: str) -> None:
    import argparse

    from cloudwright.cli.verbs import mesh

    parser = argparse.ArgumentParser()
    mesh.add_arguments(parser)
    # A choice that is optional must not have a text as its default: Python 3.11 refuses it.
    assert not parser.parse_args([action]).step
