"""What is packed into a page of ours, unpacked in Python as the page's own script does."""

import base64
import json
import re
import zlib


def unpacked(page: str, name: str) -> str:
    """A packed part of a page as text: base 85 without the signs of HTML, and zlib."""
    (packed,) = re.findall(rf'<script id="packed-{name}" type="text/plain">(.*?)</script>', page)
    assert not set("<>&") & set(packed)
    return zlib.decompress(base64.b85decode(packed.translate(str.maketrans(",:.", "<>&")))).decode()


def drawn_in(page: str) -> dict[str, dict]:
    """Name -> data, layout and frames of every figure of a page."""
    return json.loads(unpacked(page, "figures"))["figures"]
