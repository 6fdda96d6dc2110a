"""The site: Voila with its doors closed but for pages, widgets' files and widgets' messages. Effects: a server."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.services.kernels.handlers import KernelHandler
from jupyter_server.utils import url_path_join
from jupyterlab_server.themes_handler import ThemesHandler
from tornado.ioloop import IOLoop, PeriodicCallback
from voila.app import Voila
from voila.request_info_handler import RequestInfoSocketHandler
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from widgets.serve.bridge import Bridge, Channels
from widgets.serve.doors import Contents, Health, KernelFacts, Leave, NoSuchPage, Page, Query, arrivals
from widgets.serve.kernels import VisitorKernels
from widgets.serve.rules import MAX_TEXT_BYTES, MESSAGES

KERNEL = "python3"
START = Path(__file__).with_name("__main__.py")
KEPT: dict[type, type] = {
    TemplateStaticFileHandler: TemplateStaticFileHandler,
    MultiStaticFileHandler: MultiStaticFileHandler,
    ThemesHandler: ThemesHandler,
    FileFindHandler: FileFindHandler,
    VoilaShutdownKernelHandler: Leave,
    KernelHandler: KernelFacts,
    VoilaKernelWebsocketHandler: Channels,
    RequestInfoSocketHandler: Query,
}
"""Of Voila's handlers, those that a page needs, and what stands in their place. What is not listed is not served."""
ALONE_MS = 1000
"""How often the site looks whether the command that started it is still there."""
CLIMBING = r"(?i).*(?:\.\.|%2e%2e|%2e\.|\.%2e|%00|%5c|\\|//).*"


class OurKernel(KernelSpecManager):
    """Knows one kernel, ours: whatever kernels are installed on the machine, none of them is a visitor's."""

    def find_kernel_specs(self) -> dict[str, str]:
        return {KERNEL: ""}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        if kernel_name != KERNEL:
            raise NoSuchKernel(kernel_name)
        argv = [sys.executable, str(START), "widgets.serve.kernel", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, name=KERNEL, display_name="Precision Explorer", language="python")


class VisitorSite(Voila):
    """Serves notebooks as pages to visitors, each in a kernel of their own."""

    name = "voila"

    def initialize(self, argv: Any = None) -> None:
        """Read Voila's options and ours, which come in the environment and stay out of the kernels'."""
        super().initialize(argv)
        doors = json.loads(os.environ.pop("EXPLORER_SITE", "{}"))
        self.seats: int = doors.get("seats", 0)
        self.names: list[str] = doors.get("names", [])
        self.any_name: bool = doors.get("any_name", False)
        told: dict[str, dict[str, Any]] = doors.get("pages", {})
        self.pages = {name: page for name, page in told.items() if Path(page["file"]).is_file()}
        self.token = os.environ.pop("EXPLORER_TOKEN", "") or None
        self.began = time.monotonic()
        limits = json.loads(os.environ.get("EXPLORER_LIMITS", "{}"))
        self.most_buffer_bytes = limits.get("upload_bytes", MAX_TEXT_BYTES)
        self.voila_configuration.kernel_spec_manager_class = OurKernel
        self.voila_configuration.multi_kernel_manager_class = VisitorKernels
        self.kernel_websocket_connection_class = Bridge

    def init_settings(self) -> dict[str, Any]:
        """Settings of the web application: our bridge, our error page, whose names are answered to."""
        most = self.most_buffer_bytes + 2 * MAX_TEXT_BYTES
        self.tornado_settings: dict[str, Any] = {**self.tornado_settings, "websocket_max_message_size": most}
        settings: dict[str, Any] = super().init_settings()
        self.kernel_manager.allowed_message_types = list(MESSAGES)
        # A visitor who is gone does not come back to a kernel: nothing is kept for them.
        self.kernel_manager.buffer_offline_messages = False
        names = ["localhost", *self.names]
        ours = {"allow_remote_access": self.any_name, "local_hostnames": names, "arrivals": arrivals()}
        return settings | ours | {"default_handler_class": NoSuchPage, "most_buffer_bytes": self.most_buffer_bytes}

    def init_handlers(self) -> list[Any]:
        """Return what is answered: nothing that climbs, health, Voila's few handlers for widgets, and pages."""
        root = self.server_url
        kept = [(rule[0], KEPT[rule[1]], *rule[2:]) for rule in super().init_handlers() if rule[1] in KEPT]
        doors = [(url_path_join(root, pattern), door) for pattern, door in self.identity_provider.get_handlers()]
        if self.token is None:
            doors = []
        pages = [(self._door(name), Page, self._page(page["file"])) for name, page in self.pages.items()]
        return [
            (CLIMBING, NoSuchPage),
            (url_path_join(root, "/health"), Health),
            (root, Page, self._page(self.notebook_path)),
            (url_path_join(root, "/pages/?"), Contents),
            *pages,
            *doors,
            *kept,
            (r".*", NoSuchPage),
        ]

    def listen(self) -> None:
        """Serve until told to stop; or until the command that started the site is no more, even where it was killed."""
        parent = os.getppid()
        PeriodicCallback(lambda: None if os.getppid() == parent else IOLoop.current().stop(), ALONE_MS).start()
        super().listen()

    def _door(self, name: str) -> str:
        """The address of a page: its name, or its file's, by which notebooks lead to each other everywhere."""
        file = re.escape(Path(self.pages[name]["file"]).name)
        return url_path_join(self.server_url, f"/pages/(?:{re.escape(name)}|{file})")

    def _page(self, notebook: str) -> dict[str, Any]:
        return {
            "notebook_path": os.path.relpath(notebook, self.root_dir),
            "template_paths": self.template_paths,
            "config": self.config,
            "voila_configuration": self.voila_configuration,
        }

    def visitors(self) -> list[str]:
        """The ids of the kernels that visitors sit before: all that run, but for those kept warm."""
        waiting = {found["kernel_id"] for found in self._pool()}
        return [kernel for kernel in self.kernel_manager.list_kernel_ids() if kernel not in waiting]

    def warm(self) -> int:
        """How many kernels wait for a visitor, their page built."""
        return sum(found["task"].done() for found in self._pool())

    def _pool(self) -> list[dict[str, Any]]:
        """What Voila keeps of each kernel that no visitor has yet: its id, and the task that builds its page."""
        heated = getattr(self.kernel_manager, "_pools", {}).values()
        return [task.result() for pool in heated for task in pool if task.done() and not task.exception()]


def main() -> None:
    """Run the site that the command line and the environment describe."""
    VisitorSite.launch_instance()
