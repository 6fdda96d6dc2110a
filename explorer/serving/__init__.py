"""Pages served to visitors, and JupyterLab, as child processes. Effects: processes, ports, signals."""

from explorer.serving.children import serve, short_folder
from explorer.serving.pages import PAGES, Assets, Say, ServingError, find_assets, notebook_to_edit
from explorer.serving.servers import (
    HOST,
    TOKEN_VARIABLE,
    Server,
    Site,
    choose_port,
    is_loopback,
    lab_server,
    site_server,
)

__all__ = [
    "HOST",
    "PAGES",
    "TOKEN_VARIABLE",
    "Assets",
    "Say",
    "Server",
    "ServingError",
    "Site",
    "choose_port",
    "find_assets",
    "is_loopback",
    "lab_server",
    "notebook_to_edit",
    "serve",
    "short_folder",
    "site_server",
]
