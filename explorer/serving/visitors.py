"""The options of ``explorer serve``, and the site that they describe. (Effect: the environment; draws a token.)"""

from __future__ import annotations

import argparse
import os
import secrets
from dataclasses import replace

from explorer.limits import MIB, VISITOR
from explorer.serving.pages import ServingError
from explorer.serving.servers import HOST, TOKEN_VARIABLE, Site

SEATS = 8
IDLE_SECONDS = 900
DRAW = "draw"
"""What ``--token`` means without a value."""
SHORTEST_TOKEN = 16


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what a server for visitors has beyond the demo: who may enter, and what each may use."""
    where = command.add_argument_group("where, and who may enter")
    where.add_argument("--ip", default=HOST, help=f"the address to listen on (default: {HOST}, this machine only)")
    where.add_argument("--base-url", default="/", metavar="/PATH/", help="the path under which a proxy shows the site")
    where.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="a proxy's host name; may be repeated"
    )
    token = f"ask for a token: this one, or that of ${TOKEN_VARIABLE}, or a fresh one"
    where.add_argument("--token", nargs="?", const=DRAW, metavar="TEXT", help=token)
    open_words = "let anyone in who reaches a public address, without a token"
    where.add_argument("--open-to-all", action="store_true", help=open_words)
    most = command.add_argument_group("what visitors may use")
    most.add_argument("--visitors", type=int, default=SEATS, metavar="N", help=f"at once (default: {SEATS})")
    most.add_argument("--warm", type=int, default=1, metavar="N", help="kernels kept ready for the next (default: 1)")
    idle = f"end a kernel after so long without a message (default: {IDLE_SECONDS})"
    most.add_argument("--idle", type=int, default=IDLE_SECONDS, metavar="SECONDS", help=idle)
    memory = f"memory of each (default: {VISITOR.memory_bytes // MIB}; 0: no limit)"
    most.add_argument("--memory", type=int, default=VISITOR.memory_bytes // MIB, metavar="MIB", help=memory)
    job = f"longest job of each (default: {VISITOR.job_seconds:g}; 0: no limit)"
    most.add_argument("--job-seconds", type=float, default=VISITOR.job_seconds, metavar="SECONDS", help=job)
    upload = f"largest file that may be uploaded (default: {VISITOR.upload_bytes // MIB})"
    most.add_argument("--upload", type=int, default=VISITOR.upload_bytes // MIB, metavar="MIB", help=upload)
    outside = "let visitors have models of hubs fetched to this machine, by name (weights only)"
    most.add_argument("--models-from-outside", action="store_true", help=outside)


def site_of(chosen: argparse.Namespace, port: int) -> Site:
    """Return the site that the options describe; raises ``ServingError`` for a public address without a token."""
    limits = replace(
        VISITOR,
        memory_bytes=chosen.memory * MIB,
        job_seconds=chosen.job_seconds,
        upload_bytes=chosen.upload * MIB,
        models_from_outside=chosen.models_from_outside,
    )
    return Site(
        port=port,
        model=chosen.model,
        ip=chosen.ip,
        base_url=chosen.base_url,
        names=tuple(chosen.name),
        token=_token(chosen.token),
        open_to_all=chosen.open_to_all,
        seats=chosen.visitors,
        warm=chosen.warm,
        idle_seconds=chosen.idle,
        limits=limits,
    )


def _token(asked: str | None) -> str:
    """The token asked for, or the environment's, or a fresh one; empty where nobody asked for any."""
    stated = os.environ.get(TOKEN_VARIABLE, "")
    token = stated if asked in (None, DRAW) else asked
    if asked == DRAW and not token:
        return secrets.token_urlsafe(24)
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or any(sign in token for sign in " &#%?+")):
        found = f"it has {len(token)} characters, or some that an address cannot hold"
        raise ServingError(
            "ask for this token", found, f"{SHORTEST_TOKEN} letters and digits or more, or --token alone"
        )
    return token or ""
