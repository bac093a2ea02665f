"""The main job, shown: platform up, images built, one YAML applied, requests through the gateway.

Run by ``make demo``; twice in a row it changes nothing and takes seconds. Every command that it
runs is printed, so
that it can be typed again.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from cloudwright._base.paths import Paths

ROOT = Path(__file__).parents[1]
SHOP = ROOT / "examples" / "01-shop"
PAYMENTS = ("1.11.0", "1.12.0", "1.13.0")
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, code: int) -> str:
    """``text`` in a colour, on a terminal."""
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def show(*words: str) -> None:
    """Print a command as it can be typed."""
    print(paint(f"$ {shlex.join(words)}", 1), flush=True)


def run(*words: str) -> None:
    """Show and run one command; its failure ends the demo with its exit code."""
    show(*words)
    done = subprocess.run(words, cwd=ROOT, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


def fetch(path: str) -> None:
    """A request through the gateway, its answer on one line."""
    url = f"http://{gateway()}{path}"
    show("curl", url)
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "10", "--fail-with-body", url],
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"  {(done.stdout or done.stderr).strip()}", flush=True)
    if done.returncode != 0:
        sys.exit(1)


def gateway() -> str:
    """Where the gateway listens."""
    from cloudwright.platform.config import load

    return load(Paths.find().state / "config.toml", {}).gateway


def main() -> None:
    """The whole demo."""
    if os.geteuid() != 0:
        sys.exit("error: the demo makes containers and needs root\nhint: sudo make demo")
    start = time.monotonic()
    run("cloudwright", "up")
    shop = SHOP.relative_to(ROOT)
    for name in ("inventory", "config-sync", "web"):
        run("cloudwright", "build", f"{shop}/{name}", "-t", f"{name}:1.0.0")
    for version in PAYMENTS:
        release = ("--env", f"RELEASE={version}")
        run("cloudwright", "build", f"{shop}/payment", "-t", f"payment:{version}", *release)
    run("cloudwright", "apply", "-f", f"{shop}/shop.yaml", "--wait", "--timeout", "180s")
    run("cloudwright", "get", "ms,pods", "-o", "wide")
    fetch("/web/")
    fetch("/web/checkout?sku=tea&cents=1000")
    fetch("/payment/version")
    kubeconfig = Paths.find().kubeconfig
    patch = "cloudwright patch ms payment -p"
    print(
        f"""
{paint("Done", 32)} in {time.monotonic() - start:.0f} s. Try:
  {patch} '{{"spec":{{"version":"1.11.0"}}}}' && cloudwright rollout status ms/payment
  {patch} '{{"spec":{{"version":"1.13.0"}}}}' && cloudwright get ms -w   # rolls back by itself
  cloudwright why ms/payment          cloudwright logs ms/payment -f      cloudwright top pods
  kubectl --kubeconfig {kubeconfig} get ms,pods -w
  curl http://{gateway()}/payment/pay?sku=coffee
  make clean                          # ends it and removes everything it made
(cloudwright is in {Path(sys.executable).parent}: `source .venv/bin/activate` puts it on PATH)"""
    )


if __name__ == "__main__":
    main()
