"""Whether a TIFF file is all there: to its last page, and with the other files that an OME image is spread over.

Where pages or files are gone, tifffile gives what is left, as a smaller image or with zeros in it.
"""

from __future__ import annotations

import os
import struct
from typing import Any
from xml.etree import ElementTree

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._storage.uri import is_local


def check_whole(file: Any, path: str) -> None:
    """Refuses a file that was cut off, or of whose image a file is gone.

    Args:
        file: of tifffile.
        path: path or URI of the file.

    Raises:
        ValueError: names the file.
    """
    _check_pages(file, path)
    others = other_files(file, path)
    if others and not is_local(path):
        mend = "copy all of them to this machine, and name one"
        fail("source", "a TIFF file that holds its whole image", f"one beside {min(others)} at {path!r}", mend)
    for name in sorted(others):
        beside = os.path.join(os.path.dirname(path), name)
        if not os.path.isfile(beside):
            fail("source", f"all files of the OME image at {path!r}", f"no {beside}", "bring it back")
        with require("tifffile", "volume").TiffFile(beside) as other:
            _check_pages(other, beside)


def other_files(file: Any, path: str) -> set[str]:
    """Names of the files beside this one that the first image of an OME file is spread over."""
    try:
        root = ElementTree.fromstring(file.ome_metadata or "")
    except ElementTree.ParseError:
        return set()
    own, pixels = root.get("UUID"), next((each for each in root.iter() if each.tag.endswith("}Pixels")), root)
    named = {each.text: each.get("FileName", "") for each in pixels.iter() if each.tag.endswith("}UUID")}
    if own is None:
        return {name for name in named.values() if name.lower() != os.path.basename(path).lower()} - {""}
    return {name for uuid, name in named.items() if uuid != own} - {""}  # its own name may be an earlier one


def _check_pages(file: Any, path: str) -> None:
    """Follows the chain of pages to its end."""
    if file.is_lsm or file.is_ndpi:  # whose offsets are not what they say in large files
        return
    tiff, handle, seen, offset = file.tiff, file.filehandle, set[int](), int(file.pages.first.offset)
    while offset:
        try:
            if offset in seen:
                raise ValueError("a circle")
            seen.add(offset)
            handle.seek(offset)
            (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
            handle.seek(offset + tiff.tagnosize + tags * tiff.tagsize)
            (offset,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
        except (OSError, ValueError, struct.error):
            found = f"{path!r} of {handle.size} bytes, of which page {len(seen) + 1} is beyond the end or damaged"
            fail("source", "a whole TIFF file", found, "copy it once more from where it was written")
