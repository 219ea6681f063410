"""Files of an earlier format, read as today's.

Up to format 2 the field `codec` held how a system was used, too: "focalcodec@12.5 (500 ms chunks)", "lyra@6 (ceiling)",
"reference@target". Today `codec` is the codec, `role` what the row is, and `variant` how the codec was used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PLAIN = 3
"""The format from which on `codec` is the codec alone."""
_USED = re.compile(r"(?P<codec>.+) \((?P<how>[^()]+)\)")
_REFERENCE = re.compile(r"reference@(?P<heard>.+)|(?P<plain>recording)s")
_ROLES: Mapping[tuple[str, str], str] = {
    ("resynthesis", "whole signal"): "ceiling",
    ("resynthesis", "undisturbed"): "resynthesis",
    ("enhanced", "continuous"): "enhanced",
    ("separated", "continuous"): "separated",
    ("probe", "decoded audio"): "probe",
    ("probe", "continuous"): "probe",
}
"""(role, what stood behind the codec) -> role today; chunked and degraded rows had chunks and conditions of every kind."""


def facts(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of itself, as today's files say it."""
    if told.get("format", PLAIN) >= PLAIN or "codec" not in told:
        return dict(told)
    codec, role, variant = parted(str(told["codec"]), str(told.get("role", "")))
    return {**told, "codec": codec, "role": role, "variant": variant}


def is_other(told: Mapping[str, Any]) -> bool:
    """Whether today's files say otherwise which system a file is of."""
    now = facts(told)
    return any(now.get(name) != told.get(name) for name in ("codec", "role"))


def parted(codec: str, role: str) -> tuple[str, str, str]:
    """(codec, role, variant) of a system by its earlier codec and role; what was plain before stays as it is."""
    if role == "reference" and (found := _REFERENCE.fullmatch(codec)):
        return "identity", role, found["heard"] or found["plain"]
    found = _USED.fullmatch(codec)
    if found is None:
        return codec, role, ""
    plain, how = found["codec"], found["how"]
    if role == "ceiling" and how == "ceiling":
        return plain, role, ""
    if role == "resynthesis" and how == "untreated":
        return plain, how, ""
    if role in ("chunked", "degraded"):
        return plain, role, how
    if (role, how) in _ROLES:
        return plain, _ROLES[role, how], how
    return codec, role, ""
