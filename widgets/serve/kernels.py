"""The kernels of all visitors: one that ends is not started again, and its page is told why. Effects: kernels."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from widgets.serve.bridge import Bridge

IDLE = "nobody had used it for {minutes}, so that it was stopped to make room for others"
DIED = "its kernel ended by itself: it was killed, or found no more memory"
STOPPED = "the server was stopped"
CLOSED = "its kernel was shut down"


class VisitorKernels(AsyncMappingKernelManager):
    """Starts and ends kernels. A kernel that died stays dead (``voila.json``): a fresh one would hold no page."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reasons: dict[str, str] = {}
        self._stopping = False

    def remove_kernel(self, kernel_id: str) -> Any:
        """Forget a kernel that is gone, and tell the pages before it."""
        reason = STOPPED if self._stopping else self._reasons.pop(kernel_id, CLOSED)
        for connection in list(Bridge._open_sockets):
            if isinstance(connection, Bridge) and connection.kernel_id == kernel_id:
                connection.tell_end(reason)
        return super().remove_kernel(kernel_id)

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel that nobody has used for the idle time."""
        self._reasons[kernel_id] = IDLE.format(minutes=in_words(self.cull_idle_timeout))
        await super().cull_kernel_if_idle(kernel_id)
        self._reasons.pop(kernel_id, None)

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        """End every kernel, for the server stops."""
        self._stopping = True
        await super().shutdown_all(now=now)

    def _handle_kernel_died(self, kernel_id: str) -> None:
        self._reasons[kernel_id] = DIED
        self._take_from_pool(kernel_id)
        super()._handle_kernel_died(kernel_id)

    def _take_from_pool(self, kernel_id: str) -> None:
        """A warm kernel that died is handed to nobody; another is warmed in its place."""
        for notebook, pool in getattr(self, "_pools", {}).items():
            dead = [task for task in pool if _holds(task, kernel_id)]
            for task in dead:
                pool.remove(task)
            if dead:
                self.fill_if_needed(delay=None, notebook_name=notebook)  # type: ignore[attr-defined]


def _holds(task: Any, kernel_id: str) -> bool:
    return task.done() and not task.cancelled() and not task.exception() and task.result()["kernel_id"] == kernel_id


def in_words(seconds: float) -> str:
    """A span of time as a person says it."""
    if seconds < 120:
        return f"{seconds:g} seconds"
    return f"{seconds / 60:.0f} minutes"
