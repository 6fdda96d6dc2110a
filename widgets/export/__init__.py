"""A recorded exploration as one self-contained page: sorted, filtered and hovered offline. (Effect: writes a file.)"""

from __future__ import annotations

from pathlib import Path

import explorer as px
from explorer.errors import BundleError
from widgets.export.document import document_of
from widgets.export.filming import Report, film_page

__all__ = ["LARGEST_BYTES", "export_html"]

LARGEST_BYTES = 48 << 20
"""Of the file: what a browser opens within some seconds, and a mail server still takes."""


def export_html(recorded: px.Recorded, path: str | Path, report: Report | None = None) -> Path:
    """Write the page of a recorded exploration to ``path`` as one file that needs nothing else; return the path.

    It opens from disk: sorting, filtering, hovering, plots and switching among the recorded recipes work without a
    server, and it asks nothing of any host. Raises :class:`BundleError` where the folder is not there, and where the
    file would be larger than 48 MiB.
    """
    path = Path(path)
    asked = f"export a page to {str(path)!r}"
    if path.is_dir() or not path.absolute().parent.is_dir():
        found = "it is a folder" if path.is_dir() else f"there is no folder {str(path.absolute().parent)!r}"
        raise BundleError(asked, found, "a file name in a folder that exists")
    content = document_of(film_page(recorded, report)).encode()
    if len(content) > LARGEST_BYTES:
        found = f"it would have {len(content) / 2**20:.0f} MiB, and browsers open {LARGEST_BYTES >> 20}"
        raise BundleError(asked, found, "explorer show, which sends only what is looked at")
    partly = path.with_name(path.name + ".part")
    partly.write_bytes(content)
    partly.replace(path)
    return path
