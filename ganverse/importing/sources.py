"""Sources of files to import: local paths, https addresses, Hugging Face repositories."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any

from ganverse.errors import GanverseError
from ganverse.pretrained import hub_file

MAX_FILE = 4 * 2**30
"""Maximum file size in bytes; the largest published files have about 0.4 GiB, checkpoints with optimizers 1.5."""
_CHUNK = 2**20
_HTTPS, _HUB = "https://", "hf://"


def read_source(source: str, sha256: str | None) -> bytes:
    """The contents of a path, `https://...` or `hf://owner/repository/file`.

    `sha256` is required for an https address and checked wherever given.

    Raises:
        GanverseError: the file is unavailable, larger than `MAX_FILE`, or another one.
    """
    try:
        with _open(source, sha256) as stream:
            data = _limited(stream, source)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        raise GanverseError(f"expected a file at {source}, but it cannot be read ({error})") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise GanverseError(f"expected {source} with sha256 {sha256}, got {found}; nothing was written")
    return data


def file_name(source: str) -> str:
    """The file name of a source, without folder, query and fragment.

    Raises:
        GanverseError: there is none.
    """
    try:
        path = urllib.parse.urlsplit(source).path if source.startswith(_HTTPS) else source
    except ValueError as error:
        raise GanverseError(f"expected an address, got {source} ({error})") from error
    name = path.rsplit("/", 1)[-1] if "://" in source else Path(path).name
    if name in ("", ".", ".."):
        raise GanverseError(f"expected the name of a file at the end of {source}, found none")
    return name


def _open(source: str, sha256: str | None) -> Any:
    """Downloads go to memory, so that an interrupted one leaves nothing behind."""
    if source.startswith(_HTTPS):
        if sha256 is None:
            raise GanverseError(f"expected --sha256 with {source}, to verify the download, got none")
        return _open_https(source)
    if "://" in source and not source.startswith(_HUB):
        raise GanverseError(f"expected a file, https://... or hf://owner/repository/file, got {source}")
    path = _from_hub(source) if source.startswith(_HUB) else Path(source)
    if not path.is_file():
        raise GanverseError(f"expected a file at {source}, found {'a folder' if path.is_dir() else 'none'}")
    return path.open("rb")


def _limited(stream: Any, source: str) -> bytes:
    data = io.BytesIO()
    while chunk := stream.read(_CHUNK):
        if data.tell() + len(chunk) > MAX_FILE:
            raise GanverseError(f"expected at most {MAX_FILE / 2**30:g} GiB, {source} has more")
        data.write(chunk)
    return data.getvalue()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise ValueError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open_https(url: str) -> Any:
    return urllib.request.build_opener(_HttpsOnly).open(url, timeout=60)


def _from_hub(source: str) -> Path:
    parts = source.removeprefix(_HUB).split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise GanverseError(f"expected hf://owner/repository/file, got {source}")
    return hub_file("/".join(parts[:2]), parts[2])
