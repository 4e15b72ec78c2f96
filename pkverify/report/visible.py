"""Characters that a format cannot show, or that would deceive its reader, as visible code points."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

# Marks that turn the direction of the text after them: shown, since a report must read as it is written.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def visible(text: str, shows: Callable[[str], bool] = lambda _: True) -> str:
    """The text, with what cannot be shown as ``<U+....>``.

    Args:
        text: Any text.
        shows: Whether the format can show a character; control characters and marks that turn the text are never shown.

    Example:
        >>> visible("a" + chr(27) + "b"), visible("né", str.isascii)
        ('a<U+001B>b', 'n<U+00E9>')
    """
    return "".join(c if _is_harmless(c) and (c in "\n\t" or shows(c)) else f"<U+{ord(c):04X}>" for c in text)


def _is_harmless(char: str) -> bool:
    return char in "\n\t" or (unicodedata.category(char) not in {"Cc", "Cs", "Co", "Cn"} and char not in _TURNING)
