"""The command line: serve the page, open JupyterLab, say what this machine offers. The one place that prints."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from explorer import serving
from explorer.errors import ExplorerError, ModelError

if TYPE_CHECKING:
    from explorer.kernels import Option

DEMO_PORT = 8866
LAB_PORT = 8888

say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    chosen = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = chosen.run
    try:
        return run(chosen)
    except ExplorerError as error:
        print(f"explorer: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="explorer", description="See which number formats a PyTorch model can hold, and what each costs and gains."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    demo = commands.add_parser("demo", help="open a page in the browser")
    demo.add_argument("--model", default="digits-vit", help="a bundled model, or hf:<name>, timm:<name>, ...")
    _add_server_options(demo, DEMO_PORT)
    demo.set_defaults(run=_demo)

    lab = commands.add_parser("lab", help="open the notebook in JupyterLab")
    _add_server_options(lab, LAB_PORT)
    lab.add_argument("--folder", type=Path, help="keep a copy of the notebook there, and work on that")
    lab.add_argument("jupyter", nargs="*", metavar="-- JUPYTERLAB OPTIONS", help="what follows -- goes to JupyterLab")
    lab.set_defaults(run=_lab)

    check = commands.add_parser("check", help="say what this machine offers")
    check.set_defaults(run=_check)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _add_server_options(command: argparse.ArgumentParser, port: int) -> None:
    pages = "explorer: a model and its precisions (default); formats: number formats, bit by bit; ranges: a workshop"
    command.add_argument("--page", choices=sorted(serving.PAGES), default="explorer", help=pages)
    command.add_argument("--port", type=int, help=f"default: {port}, or the next that is free")
    command.add_argument("--no-browser", dest="browser", action="store_false", help="only print the address")
    command.add_argument("--verbose", action="store_true", help="show the server's own messages")


def _demo(chosen: argparse.Namespace) -> int:
    assets = serving.find_assets(chosen.page)
    _refuse_unknown(chosen.model)
    port = serving.choose_port(chosen.port, DEMO_PORT, say)
    with serving.short_folder() as folder:
        return _serve(serving.voila_server(assets, port, chosen.model, folder), folder, chosen)


def _lab(chosen: argparse.Namespace) -> int:
    assets = serving.find_assets(chosen.page)
    port = serving.choose_port(chosen.port, LAB_PORT, say)
    notebook = serving.notebook_to_edit(assets.notebook, chosen.folder, say)
    with serving.short_folder() as folder:
        return _serve(serving.lab_server(assets, notebook, port, chosen.jupyter), folder, chosen)


def _serve(server: serving.Server, folder: Path, chosen: argparse.Namespace) -> int:
    log = None if chosen.verbose else folder / "server.log"
    serving.serve(server, say, log=log, browser=chosen.browser)
    say("stopped")
    return 0


def _check(chosen: argparse.Namespace) -> int:
    import platform

    import explorer as px

    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in ("torch", "transformers", "timm", "torchvision", "onnxruntime", "distributed"):
        print(f"{package:<14}{_installed_version(package) or 'not installed'}")
    for model, kind in (("digits-vit", "linear"), ("digits-cnn", "conv2d")):
        session = px.open(model)
        op = str(session.ops.index[session.ops["kind"] == kind][1])
        if kind == "linear":
            print(f"{'device':<14}{session.device.label} ({session.device.name})")
        print(f"\n{kind}, as in {model} at {op}")
        for precision, option in session.options(op).items():
            print(f"  {precision:<12}{_in_words(option)}")
    return 0


def _in_words(option: Option) -> str:
    if not option.possible:
        return f"not possible: {option.reason}"
    return f"emulated: {option.reason}" if option.emulated else option.kernel


def _version(chosen: argparse.Namespace) -> int:
    import explorer as px

    print(px.__version__)
    return 0


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _refuse_unknown(model: str) -> None:
    from explorer.zoo.bundled import BUNDLED
    from explorer.zoo.planted import PLANTED

    if model not in BUNDLED and model not in PLANTED and ":" not in model:
        known = ", ".join((*sorted(BUNDLED), *PLANTED))
        raise ModelError(f"open the model {model!r}", "no bundled model has that name", f"one of {known}")
