"""The command line: serve the page, open JupyterLab, sweep cells, say what is here. The one place that prints."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from explorer import serving
from explorer.errors import ExplorerError, ModelError, PrecisionError
from explorer.serving import visitors

if TYPE_CHECKING:
    from explorer.kernels import Option
    from explorer.sweep import SweepResult

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

    serve = commands.add_parser("serve", help="serve the pages to visitors, each in a kernel of their own")
    serve.add_argument("--model", default="digits-vit", help="the model that a visitor meets first")
    _add_server_options(serve, DEMO_PORT)
    visitors.add_options(serve)
    serve.set_defaults(run=_serve_visitors, browser=False)

    lab = commands.add_parser("lab", help="open the notebook in JupyterLab")
    _add_server_options(lab, LAB_PORT)
    lab.add_argument("--folder", type=Path, help="keep a copy of the notebook there, and work on that")
    lab.add_argument("jupyter", nargs="*", metavar="-- JUPYTERLAB OPTIONS", help="what follows -- goes to JupyterLab")
    lab.set_defaults(run=_lab)

    show = commands.add_parser("show", help="open a recorded exploration in the browser: no model, data or GPU needed")
    show.add_argument("bundle", type=Path, metavar="x.pxb", help="a file that session.save() wrote")
    _add_server_options(show, DEMO_PORT)
    show.set_defaults(run=_show)

    page = commands.add_parser("export-html", help="write a recorded exploration as one page that needs no server")
    page.add_argument("bundle", type=Path, metavar="x.pxb", help="a file that session.save() wrote")
    page.add_argument("out", type=Path, metavar="out.html", help="the page to write")
    page.set_defaults(run=_export_html)

    sweep = commands.add_parser("sweep", help="measure what each op costs in each precision, alone")
    _add_sweep_options(sweep)
    sweep.set_defaults(run=_sweep)

    check = commands.add_parser("check", help="say what this machine offers")
    check.set_defaults(run=_check)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _add_server_options(command: argparse.ArgumentParser, port: int) -> None:
    pages = "; ".join(f"{name}: {page.title}" for name, page in serving.PAGES.items())
    command.add_argument("--page", choices=list(serving.PAGES), default="explorer", help=pages)
    command.add_argument("--port", type=int, help=f"default: {port}, or the next that is free")
    command.add_argument("--no-browser", dest="browser", action="store_false", help="only print the address")
    command.add_argument("--verbose", action="store_true", help="show the server's own messages")


def _add_sweep_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", help="a bundled model, or hf:<name>, timm:<name>, ...")
    command.add_argument("--ops", metavar="PATTERN", help="which ops: an id, a layer, 'blocks.*.mlp.*', kind:linear")
    command.add_argument("--precisions", metavar="A,B", help="which precisions (default: those of the page)")
    command.add_argument("--n", type=int, help="on how many samples, the first ones (default: 128)")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="on so many processes of this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="on a Dask cluster: tcp://<host>:8786")
    command.add_argument("--out", type=Path, metavar="FILE", help="write one line for each cell there, as CSV")


def _demo(chosen: argparse.Namespace) -> int:
    assets = serving.find_assets(chosen.page)
    _refuse_unknown(chosen.model)
    port = serving.choose_port(chosen.port, DEMO_PORT, say)
    with serving.short_folder() as folder:
        site = serving.Site(port=port, model=chosen.model)
        return _serve(serving.site_server(assets, site, folder), folder, chosen)


def _show(chosen: argparse.Namespace) -> int:
    import explorer as px

    recorded = px.load(chosen.bundle)  # refused here, in words, rather than on a page
    say(f"{recorded.title}: {recorded.marked}")
    assets = serving.find_assets("explorer")
    port = serving.choose_port(chosen.port, DEMO_PORT, say)
    with serving.short_folder() as folder:
        site = serving.Site(port=port, model=str(chosen.bundle.absolute()))
        return _serve(serving.site_server(assets, site, folder), folder, chosen)


def _export_html(chosen: argparse.Namespace) -> int:
    import explorer as px
    from explorer.progress import terminal_progress

    _refuse_unwritable(chosen.out)
    recorded = px.load(chosen.bundle)
    # By its name: the engine does not depend on the page, which is another package of the same distribution.
    export = importlib.import_module("widgets.export")
    with terminal_progress(None) as report:
        path = export.export_html(recorded, chosen.out, report)
    say(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {recorded.marked}; it opens from disk and needs no network")
    return 0


def _serve_visitors(chosen: argparse.Namespace) -> int:
    assets = serving.find_assets(chosen.page)
    _refuse_unknown(chosen.model)
    # Who may enter is settled before anything is looked for.
    site = visitors.site_of(chosen, DEMO_PORT)
    site = replace(site, port=serving.choose_port(chosen.port, DEMO_PORT, say, site.ip))
    with serving.short_folder() as folder:
        return _serve(serving.site_server(assets, site, folder), folder, chosen)


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


def _sweep(chosen: argparse.Namespace) -> int:
    from explorer.precision import names_of
    from explorer.progress import terminal_progress
    from explorer.sweep import SweepLost, choose_cells, choose_ops, executor_for, sweep

    _refuse_unknown(chosen.model)
    _refuse_unwritable(chosen.out)
    with executor_for(chosen.workers, chosen.scheduler) as executor:
        import explorer as px

        session = px.open(chosen.model)
        named = [name.strip() for name in (chosen.precisions or "").split(",") if name.strip()]
        names, ops = names_of(named or session.precisions), choose_ops(session.subject, chosen.ops)
        cells = choose_cells(session.subject, names, ops)
        if not cells:
            found = f"none of these {len(ops)} ops can run in {', '.join(names)} here"
            raise PrecisionError("sweep", found, "precisions that they can take, such as bf16, or other --ops")
        try:
            with terminal_progress(None) as report:
                swept = sweep(session.subject, cells, chosen.n, executor, report)
        except SweepLost as lost:
            if lost.result.cells:
                _tell_sweep(lost.result.over(ops, names), chosen.out)
            raise
    _tell_sweep(swept.over(ops, names), chosen.out)
    return 0


def _tell_sweep(found: SweepResult, out: Path | None) -> None:
    """Print the table of costs, or write one line for each cell to a file."""
    if out is not None:
        found.records().to_csv(out, index=False)
        say(f"{len(found.cells)} cells written to {out}")
        return
    emulated = sum(cost.emulated for cost in found.cells.values())
    n = max((cost.n for cost in found.cells.values()), default=0)
    say(f"measured cost of each op alone, in {found.unit}, on {n} samples; {emulated} of {len(found.cells)} emulated")
    say(found.table().to_string(float_format=lambda cost: f"{cost:.3g}", na_rep="-"))


def _refuse_unwritable(out: Path | None) -> None:
    """Refuse before the work what could not be written after it."""
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        found = "it is a folder" if out.is_dir() else f"there is no folder {out.absolute().parent}"
        raise ExplorerError(f"write to {str(out)!r}", found, "a file in a folder that exists")


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
