"""Alarms over rows: columns that cannot honestly disagree, and facts that no codec should show.

An alarm says "look here", never "this score is wrong"; scores stay as they are and the table shows a mark. The
thresholds are far outside of what working codecs show: see each alarm's meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.stats.frames import tidy
from bench.stats.labels import system_labels
from bench.stats.parts import GROUP

if TYPE_CHECKING:
    import pandas as pd

INTELLIGIBLE_DWER = 0.2
UNCORRELATED_STOI = 0.4
PESQ_FLOOR = 1.1
HIGH_MOS = {"utmos": 4.0, "distillmos": 4.0, "dnsmos_p808": 3.6, "dnsmos_ovrl": 3.3}
IMPOSTOR = {"sim_resemblyzer": 0.6, "sim": 0.75, "sim_ecapa": 0.25}
"""Cosine that different speakers reach easily, by the column of each model; `sim` is WavLM's."""
UNPAIRED_ENVELOPE = {"clean": 0.65, "noisy": 0.4}
DELAY_MS = 10.0
LEVEL_DB = 3.0
SHORT_S = 0.05
LOST_TAIL_S = 0.15
LOST_SHARE = 0.1
SILENT_DBFS = -70.0
OVERLOAD_SHARE = 0.001
INTEGER_PEAK = 8.0
FRESH_DB = 40.0
"""Below what a second decoding of the same bytes differs: rounding of another batch or processor stays far above."""
HASHES = ("codes", "wave", "input")
"""Columns of which `detail` holds a hash and which have no value."""


@dataclass(frozen=True)
class Alarm:
    """kind: its name in rows and tables. mark: one letter beside the codec. share: least share of utterances that
    earns the mark (0: one is enough)."""

    kind: str
    mark: str
    meaning: str
    share: float = 0.0


ALARMS = {
    alarm.kind: alarm
    for alarm in (
        Alarm("silent", "S", "decoded audio is silent"),
        Alarm("identical", "X", "different inputs gave identical output"),
        Alarm("truncated", "T", "the end of the speech is missing"),
        Alarm("dropouts", "O", "a tenth or more of the speech is missing", 0.1),
        Alarm("unpaired", "W", "the output's level does not follow the original's: wrong pairing or wrong rate", 0.02),
        Alarm("rate", "R", "the output runs at another speed: read at the wrong sample rate", 0.02),
        Alarm(
            "delayed",
            "D",
            "delay of 10 ms or more, half a frame: STOI, SI-SDR and spectral scores suffer by it; the column "
            "stoi_aligned gives STOI without it",
            0.1,
        ),
        Alarm("polarity", "P", "polarity is inverted", 0.02),
        Alarm("level", "L", "level differs by 3 dB or more", 0.1),
        Alarm("uncorrelated", "U", "intelligible, yet uncorrelated with the original (dWER <= 0.2, STOI < 0.4)", 0.1),
        Alarm("unaligned", "A", "PESQ near perfect, STOI poor: PESQ has aligned a delay away", 0.1),
        Alarm("floor", "F", "PESQ at its floor with a high MOS: natural speech, but not this speech", 0.1),
        Alarm("impostor", "I", "speaker similarity at the level of other speakers", 0.1),
        Alarm("overlong", "E", "the output is more than a frame too long; the end was cut"),
        Alarm("offset", "C", "the output has a constant offset, which the facts of level and pairing leave out", 0.02),
        Alarm("overload", "K", "samples beyond full scale were clipped", 0.02),
        Alarm("integers", "N", "samples in the range of integers were clipped: divide by 32768", 0.02),
        Alarm("wrapped", "V", "samples run over full scale and go on at the other end: integers overflowed", 0.02),
        Alarm(
            "hidden", "B", "decoding the same bytes in a fresh codec gives another wave: the bits do not hold all that was used"
        ),
    )
}


def alarms(rows: pd.DataFrame) -> pd.DataFrame:
    """Every alarm of every utterance: columns task, condition, dataset, dataset_sha256, system, codec, weights,
    utterance, alarm, mark, detail, meaning. Empty when nothing is odd."""
    import pandas as pd

    columns = [*GROUP, "system", "codec", "weights", "utterance", "alarm", "mark", "detail", "meaning"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    rows = tidy(rows)
    head = [*GROUP, "system", "codec", "weights", "utterance"]
    labelled = rows.assign(system=system_labels(rows))
    pair, places = pd.factorize(pd.MultiIndex.from_frame(labelled[head]))
    wide = _wide(labelled, pair)
    limit = np.array([envelope_limit(place[head.index("condition")]) for place in places])
    found: list[tuple[int, str, str]] = []
    for kind, (hit, detail) in of_pairs(wide, limit[wide.index]).items():
        found += [(place, kind, detail(wide.loc[place])) for place in wide.index[hit.to_numpy(dtype=bool)]]
    found += [(place, "identical", detail) for place, detail in _identical(labelled, pair)]
    found += [(place, "hidden", detail) for place, detail in _undecodable(labelled, pair)]
    lines = [(*places[place], kind, ALARMS[kind].mark, detail, ALARMS[kind].meaning) for place, kind, detail in found]
    return pd.DataFrame(lines, columns=columns)


def marks(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Alarms per system that are frequent enough for a mark in the table: columns task, condition, dataset,
    dataset_sha256, system, alarm, mark, count, total, meaning."""
    import pandas as pd

    columns = [*GROUP, "system", "alarm", "mark", "count", "total", "meaning"]
    if found.empty:
        return pd.DataFrame(columns=columns)
    rows = tidy(rows)
    keys = [*GROUP, "system"]
    totals = rows.assign(system=system_labels(rows)).groupby(keys, dropna=False)["utterance"].nunique()
    out = found.groupby([*keys, "alarm", "mark", "meaning"], sort=False, dropna=False)["utterance"].nunique()
    table = out.rename("count").reset_index()
    table["total"] = [int(totals.loc[tuple(line)]) for line in table[keys].itertuples(index=False)]
    least = table["alarm"].map(lambda kind: ALARMS[kind].share)
    return table.loc[table["count"] >= least * table["total"], columns].reset_index(drop=True)


def _wide(rows: pd.DataFrame, pair: NDArray[np.intp]) -> pd.DataFrame:
    """Values [pair, column]; a ratio counts as its own quotient."""
    import pandas as pd

    value = (rows["num"] / rows["den"].where(rows["den"] > 0)).where(rows["den"].notna(), rows["value"])
    flat = pd.DataFrame({"pair": pair, "column": rows["column"].to_numpy(), "value": value.to_numpy()})
    return flat.drop_duplicates(["pair", "column"], keep="last").pivot(index="pair", columns="column", values="value")


Detail = Callable[["pd.Series[Any]"], str]


def envelope_limit(condition: str) -> float:
    """Correlation of envelopes below which an output does not belong to its original."""
    return UNPAIRED_ENVELOPE.get(condition, 0.65)


def of_pairs(wide: pd.DataFrame, unpaired: NDArray[np.float64]) -> dict[str, tuple[Any, Detail]]:
    """Alarm -> (hit [pairs], one line of detail for a pair). Comparisons with NaN are False."""
    import pandas as pd

    def get(name: str) -> pd.Series[Any]:
        return wide[name] if name in wide else pd.Series(np.nan, index=wide.index)

    def smallest(*starts: str) -> pd.Series[Any]:
        names = [c for c in wide.columns if c.startswith(starts)]
        return wide[names].min(axis=1) if names else pd.Series(np.nan, index=wide.index)

    def show(*names: str) -> Detail:
        return lambda row: ", ".join(f"{n} {row[n]:.3g}" for n in names if n in row.index and row[n] == row[n])

    # A silent original has no gain, and a quiet one is decoded to something as quiet.
    silent = (get("gain_db") < -40) | ((get("deg_dbfs") < SILENT_DBFS) & (get("deg_dbfs") - get("gain_db") >= SILENT_DBFS))
    missing = pd.concat([get("length_diff") / 16000, get("short_ms") / 1000], axis=1).min(axis=1)
    truncated = ~silent & ((missing < -SHORT_S) | (get("lost_tail_s") >= LOST_TAIL_S) | (get("zero_tail_s") >= 0.1))
    rate = get("rate_ratio").notna() & (get("rate_ratio") != 1)
    stoi, pesq, dwer = get("stoi"), get("pesq_wb"), smallest("dwer")
    high = pd.Series(False, index=wide.index)
    for start, limit in HIGH_MOS.items():
        for name in (c for c in wide.columns if c.startswith(start)):
            high |= wide[name] >= limit
    impostor = pd.Series(False, index=wide.index)
    # A conversion should be as unlike its source as another speaker.
    similarity = [c for c in wide.columns if c.partition("_to_")[0] in IMPOSTOR and not c.endswith("_to_source")]
    for name in similarity:
        impostor |= wide[name] < IMPOSTOR[name.partition("_to_")[0]]
    offset = get("original_offset").notna() | get("decoded_offset").notna()
    integers = get("decoded_peak") > INTEGER_PEAK
    mos = [c for c in wide.columns if c.startswith(tuple(HIGH_MOS))]
    intelligible = [c for c in wide.columns if c.startswith("dwer")]
    return {
        "silent": (silent, show("deg_dbfs", "gain_db")),
        "truncated": (truncated, show("length_diff", "short_ms", "lost_tail_s", "zero_tail_s")),
        "dropouts": (
            ~silent & ~truncated & ~rate & (get("lost_share") >= LOST_SHARE) & (get("envelope") >= unpaired),
            show("lost_share"),
        ),
        "unpaired": (~silent & (get("envelope") < unpaired), show("envelope", "correlation")),
        "rate": (rate, show("rate_ratio", "length_diff")),
        "delayed": (get("delay_ms").abs() >= DELAY_MS, show("delay_ms", "stoi", "stoi_aligned")),
        "polarity": (get("polarity") < 0, show("correlation")),
        "level": (~silent & (get("gain_db").abs() >= LEVEL_DB), show("gain_db")),
        "uncorrelated": ((dwer <= INTELLIGIBLE_DWER) & (stoi < UNCORRELATED_STOI), show(*intelligible, "stoi")),
        "unaligned": ((pesq >= 4.0) & (stoi < 0.8), show("pesq_wb", "stoi", "delay_ms")),
        "floor": ((pesq <= PESQ_FLOOR) & high, show("pesq_wb", *mos)),
        "impostor": (impostor & ~offset, show(*similarity)),
        "overlong": (get("excess_ms") > 0, show("excess_ms")),
        "offset": (get("decoded_offset").notna() & get("original_offset").isna(), show("decoded_offset")),
        "overload": ((get("clipped") > OVERLOAD_SHARE) & ~integers, show("clipped", "decoded_peak")),
        "integers": (integers, show("decoded_peak")),
        "wrapped": ((get("decoded_wraps") > 0) & get("original_wraps").isna(), show("decoded_wraps")),
        "hidden": (get("fresh_db") < FRESH_DB, show("fresh_db")),
    }


def _undecodable(rows: pd.DataFrame, pair: NDArray[np.intp]) -> list[tuple[int, str]]:
    """Pairs whose bytes a fresh codec could not decode at all."""
    failed = ((rows["column"] == "fresh_db") & (rows["failure"] != "")).to_numpy()
    details = rows.loc[failed, "detail"].astype(str)
    return [(int(place), f"a fresh codec fails: {detail[:80]}") for place, detail in zip(pair[failed], details, strict=True)]


def _identical(rows: pd.DataFrame, pair: NDArray[np.intp]) -> list[tuple[int, str]]:
    """Pairs whose codes or decoded wave another utterance shares whose input was another one.

    The hash stands in `detail` of the columns codes, wave and input. A failure has a text there and no hash. Where the input
    is not known, ids stand for it.
    """
    out: dict[int, str] = {}
    chosen = (rows["column"].isin(HASHES) & (rows["failure"] == "") & (rows["detail"] != "")).to_numpy()
    hashed = rows.loc[chosen, [*GROUP, "system", "utterance", "column", "detail"]].assign(pair=pair[chosen])
    hashed = hashed.drop_duplicates(["pair", "column"])
    hashed = hashed.rename(columns={"detail": "hash"})
    table = hashed.drop_duplicates("pair").set_index("pair")[[*GROUP, "system", "utterance"]]
    table = table.join(hashed.pivot(index="pair", columns="column", values="hash"))
    table["input"] = table["input"].fillna(table["utterance"]) if "input" in table else table["utterance"]
    for column in ("codes", "wave"):
        if column not in table:
            continue
        known = table[table[column].notna()]
        same = [*GROUP, "system", column]
        for _, group in known[known.duplicated(same, keep=False)].groupby(same, sort=False, dropna=False):
            if group["input"].nunique() < 2:
                continue
            group = group.sort_values("utterance")
            first = group.iloc[0]
            # The first of another input than the first's own: one of these two is another than any line's.
            second = group[group["input"] != first["input"]].iloc[0]
            for place, given, name in zip(group.index, group["input"], group[column], strict=True):
                other = first if given != first["input"] else second
                out.setdefault(int(place), f"same {column} as {other['utterance']} ({name[:8]}), {len(group)} alike")
    return list(out.items())
