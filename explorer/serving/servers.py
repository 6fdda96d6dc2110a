"""The commands and environments of the servers: our site for visitors, JupyterLab for oneself. Effect: ports."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from explorer.limits import VARIABLE, Limits
from explorer.serving.pages import PAGES, Assets, Say, ServingError

HOST = "127.0.0.1"
PORTS_TRIED = 50
TOKEN_VARIABLE = "EXPLORER_TOKEN"  # noqa: S105  the variable's name
NO_SEATS = 0


@dataclass(frozen=True)
class Server:
    """A child process that serves pages, and how to reach it."""

    command: tuple[str, ...]
    environment: dict[str, str]
    probe: str
    """An address that answers as soon as the server listens."""
    address: str
    """The address for a person."""


@dataclass(frozen=True)
class Site:
    """How pages are served: where, to whom, and what each visitor may use."""

    port: int
    model: str
    ip: str = HOST
    base_url: str = "/"
    """The path under which a proxy shows the site."""
    names: tuple[str, ...] = ()
    """Host names of a proxy before the site; others are refused, for a page elsewhere could point its own name here."""
    token: str = field(default="", repr=False)
    open_to_all: bool = False
    """Whether anyone may enter who reaches a public address, without a token."""
    seats: int = NO_SEATS
    """The most visitors at once; 0: no limit."""
    warm: int = 1
    """Kernels kept ready for the next visitors."""
    idle_seconds: int = 900
    """After so long without a message a kernel ends, whether or not its page is still open."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.base_url.startswith("/") or not self.base_url.endswith("/") or "//" in self.base_url:
            found = "a path begins and ends with a slash"
            raise ServingError(f"serve under {self.base_url!r}", found, "--base-url /explorer/")
        if self.idle_seconds < 1 or self.warm < 0 or self.seats < 0:
            found = f"idle {self.idle_seconds} s, warm {self.warm}, visitors {self.seats}"
            raise ServingError("serve pages", found, "an idle time of a second or more, and no negative counts")
        if not (is_loopback(self.ip) or self.token or self.open_to_all):
            raise ServingError(
                f"listen on {self.ip}",
                "whoever reaches this machine could use its processor and memory",
                "--token, which asks visitors for a secret, or --open-to-all, which says that this is meant",
            )


def is_loopback(ip: str) -> bool:
    """Whether only this machine reaches the address; raises ``ServingError`` for what is no address."""
    if ip == "localhost":
        return True
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        found = "it is no IP address"
        raise ServingError(f"listen on {ip!r}", found, "--ip 127.0.0.1, or --ip 0.0.0.0 with --token") from None


def site_server(assets: Assets, site: Site, folder: Path) -> Server:
    """Voila behind our doors, with our notebooks, template and settings, whatever the user's own Jupyter has."""
    folder_of_pages = assets.notebook.parent
    pages = {name: {**asdict(page), "file": str(folder_of_pages / page.file)} for name, page in PAGES.items()}
    command = (
        *(sys.executable, str(assets.site), "widgets.serve.site", str(assets.notebook)),
        *(f"--Voila.ip={site.ip}", f"--Voila.port={site.port}", f"--Voila.base_url={site.base_url}", "--no-browser"),
        f"--Voila.config_file_paths={assets.voila_config}",
        f"--Voila.connection_dir_root={folder}",
        f"--VoilaConfiguration.default_pool_size={site.warm}",
        f"--MappingKernelManager.cull_idle_timeout={site.idle_seconds}",
        # An idle kernel is gone at most a fifth of the idle time late.
        f"--MappingKernelManager.cull_interval={max(1, min(60, site.idle_seconds // 5))}",
    )
    open_door = not is_loopback(site.ip) and not site.names
    doors = {"seats": site.seats, "names": site.names, "any_name": open_door, "pages": pages}
    environment = _environment(EXPLORER_MODEL=site.model, EXPLORER_SITE=json.dumps(doors))
    environment |= {VARIABLE: site.limits.as_text(), TOKEN_VARIABLE: site.token}
    environment["JUPYTER_PATH"] = _before(assets.templates, environment.get("JUPYTER_PATH"))
    host = f"[{site.ip}]" if ":" in site.ip else "127.0.0.1" if site.ip == "0.0.0.0" else site.ip  # noqa: S104
    root = f"http://{host}:{site.port}{site.base_url}"
    address = f"{root}?token={site.token}" if site.token else root
    return Server(command, environment, probe=f"{root}health", address=address)


def lab_server(assets: Assets, notebook: Path, port: int, options: Sequence[str] = ()) -> Server:
    """JupyterLab on the notebook's folder, with our defaults below the user's own settings."""
    environment = _environment()
    token = environment["JUPYTER_TOKEN"] = environment.get("JUPYTER_TOKEN") or secrets.token_urlsafe(24)
    environment["JUPYTER_CONFIG_PATH"] = _before(assets.defaults, environment.get("JUPYTER_CONFIG_PATH"))
    command = (
        *(sys.executable, "-m", "jupyterlab", "--no-browser"),
        *(f"--ServerApp.ip={HOST}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={notebook.parent}", "--ServerApp.answer_yes=True"),
        *options,
    )
    if os.geteuid() == 0:
        # The server listens on this machine only, and its token is asked for; a container has no other user.
        command = (*command, "--allow-root")
    root = f"http://{HOST}:{port}/"
    address = f"{root}lab/tree/{notebook.name}?token={token}"
    return Server(command, environment, probe=f"{root}api", address=address)


def _environment(**more: str) -> dict[str, str]:
    """Our own environment with more in it, and OpenMP's threads told to spin for a short while only.

    A page's kernel shares its cores with a server and a browser. There, threads that spin long at every barrier (the
    default) made an op of 0.25 ms take 8; threads that never spin cost a wake-up for each op. The user's own setting
    comes first.
    """
    short_spin = {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "10000"}
    return {**short_spin, **os.environ, **more}


def _before(folder: Path, others: str | None) -> str:
    return os.pathsep.join([str(folder), others] if others else [str(folder)])


def choose_port(asked: int | None, default: int, say: Say, ip: str = HOST) -> int:
    """The port asked for, or the first free one from the default on; says so when that is another."""
    if asked is not None:
        if not 0 < asked < 65536:
            raise ServingError(f"listen on port {asked}", "a port is a number from 1 to 65535", "--port 8899")
        if not _free(asked, ip):
            raise ServingError(f"listen on port {asked}", "another program uses it", "another --port, or none")
        return asked
    port = next((port for port in range(default, default + PORTS_TRIED) if _free(port, ip)), None)
    if port is None:
        raise ServingError(
            f"listen on port {default}", f"it and the next {PORTS_TRIED - 1} are in use", "--port <free>"
        )
    if port != default:
        say(f"Port {default} is in use: taking {port}.")
    return port


def _free(port: int, ip: str) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError:
            return False
    return True
