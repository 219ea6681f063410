"""Tables as text: GitHub markdown, and aligned columns for a terminal or a CI log."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A GitHub table: the first `left` columns align left, the others right."""
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([row(head), "|" + ":--|" * left + "--:|" * (len(head) - left), *(row(line) for line in lines)])


def display_width(text: str) -> int:
    """Terminal cells that a text takes: no escape codes, no combining marks."""
    return sum(not unicodedata.combining(ch) for ch in _ANSI.sub("", text))


def _padded(text: str, width: int, left: bool) -> str:
    space = " " * (width - display_width(text))
    return text + space if left else space + text


def grid(head: Sequence[str], lines: Sequence[Sequence[str]], width: int = 120, keep: int = 1,
         left: Sequence[int] = (0,)) -> str:
    """Aligned columns. Where they do not fit `width`, several blocks, each repeating the first `keep` columns.

    left: columns aligned left; the others align right.
    """
    sizes = [max(display_width(line[c]) for line in [head, *lines]) for c in range(len(head))]
    fixed = list(range(min(keep, len(head))))
    blocks: list[list[int]] = [[]]
    used = base = sum(sizes[c] + 2 for c in fixed)
    for c in range(len(fixed), len(head)):
        if blocks[-1] and used + sizes[c] + 2 > width:
            blocks.append([])
            used = base
        blocks[-1].append(c)
        used += sizes[c] + 2
    out = []
    for block in blocks:
        picked = fixed + block
        for line in [head, ["-" * size for size in sizes], *lines]:
            out.append("  ".join(_padded(line[c], sizes[c], c in left) for c in picked).rstrip())
        out.append("")
    return "\n".join(out[:-1])
