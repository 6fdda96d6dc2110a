"""What the site answers over HTTP: pages, their kernels' facts, its health, and errors in words. Effects: kernels."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.handlers import KernelsAPIHandler
from tornado import web
from voila.request_info_handler import RequestInfoSocketHandler
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler

THEMES = ("light", "dark", "JupyterLab Light", "JupyterLab Dark")
ERRORS = {
    403: ("This is not for visitors.", "The page itself needs no permission: go back to the start."),
    404: ("There is no such page.", "The address may be mistyped, or the page may have moved."),
    503: ("Every seat is taken.", "A seat is free again when somebody leaves. Try again in a minute or two."),
}
OTHERWISE = ("Something went wrong here.", "It has been noted in the server's log. Try again from the start.")


class Friendly(web.RequestHandler):
    """Errors as a short page in words, without what an exception says of the server's inside."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write the error's page: what happened, and what to do."""
        title, advice = ERRORS.get(status_code, OTHERWISE)
        words = {"title": title, "advice": advice, "start": self.settings["base_url"], "status_code": status_code}
        self.set_header("Content-Type", "text/html; charset=utf-8")
        if status_code == 503:
            self.set_header("Retry-After", "60")
        self.finish(self.settings["voila_jinja2_env"].get_template("error.html").render(**words))


class NoSuchPage(Friendly):
    """Whatever the site does not serve: notebook files, listings, terminals, and paths that climb out of a folder."""

    def prepare(self) -> None:
        """Answer every method alike, before anything of the request is looked at."""
        raise web.HTTPError(404)


class Page(Friendly, TornadoVoilaHandler):
    """A notebook as a page, in a kernel of its own, while there is a seat."""

    def get_argument(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return an argument of the address; a theme that is not ours is none, for its name becomes a path."""
        found = super().get_argument(name, *args, **kwargs)
        return None if name == "theme" and found not in THEMES else found

    @web.authenticated
    async def get(self, path: str | None = None) -> None:
        """Write the page as it comes; 503 when all seats are taken."""
        site = self.settings["voila"]
        generator = self.get_generator(path=None)
        # One at a time until its kernel is counted: visitors who come together cannot sit on one seat.
        async with self.settings["arrivals"]:
            if site.seats and len(site.visitors()) >= site.seats:
                raise web.HTTPError(503)
            first = await anext(generator, "")
        self.write(first)
        await self.flush()
        async for part in generator:
            self.write(part)
            await self.flush()


class Contents(Friendly, JupyterHandler):
    """The pages in their order, each with its title; opening one starts a kernel, looking at the list none."""

    @web.authenticated
    def get(self) -> None:
        """Write the list."""
        template = self.settings["voila_jinja2_env"].get_template("pages.html")
        self.set_header("Cache-Control", "no-store")
        self.finish(template.render(pages=self.settings["voila"].pages, start=self.settings["base_url"]))


class KernelFacts(KernelsAPIHandler):
    """Name and state of the one kernel whose id a page knows; nobody lists, makes, interrupts or restarts any."""

    @web.authenticated
    @authorized
    async def get(self, kernel_id: str) -> None:
        """Write a kernel's model as JSON."""
        model = await ensure_async(self.kernel_manager.kernel_model(kernel_id))
        self.finish(json.dumps(model, default=str))


class Leave(VoilaShutdownKernelHandler):
    """A page that is left ends its kernel; one whose kernel is no more has nothing to end, which is no error."""

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        """End the kernel, if there is one."""
        if kernel_id in self.kernel_manager:
            await super().post(kernel_id)
        else:
            self.set_status(204)
            self.finish()


class Health(web.RequestHandler):
    """Whether the site lives, for a monitor: counts only, no names."""

    def get(self) -> None:
        """Write ``{status, visitors, seats, warm, seconds}`` as JSON."""
        site = self.settings["voila"]
        taken = len(site.visitors())
        self.set_header("Cache-Control", "no-store")
        full = bool(site.seats) and taken >= site.seats
        facts = {"status": "full" if full else "ok", "visitors": taken, "seats": site.seats, "warm": site.warm()}
        self.finish({**facts, "seconds": round(time.monotonic() - site.began, 1)})


class Query(RequestInfoSocketHandler):
    """Where a warm kernel hears which address its visitor asked for; only kernels that exist may listen."""

    def open(self, kernel_id: str) -> None:
        """Accept a kernel that is running; the connection of any other is closed."""
        self.kernel_id = kernel_id
        if kernel_id in self.settings["kernel_manager"]:
            super().open(kernel_id)
        else:
            self.close(1008, "no such kernel")

    def on_close(self) -> None:
        """Forget this listener, and nobody else's."""
        if self._waiters.get(self.kernel_id) is self:
            del self._waiters[self.kernel_id]


def arrivals() -> asyncio.Lock:
    """The lock that visitors pass one by one."""
    return asyncio.Lock()
