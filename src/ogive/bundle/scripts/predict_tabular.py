"""Predicts the rows of CSVs with onnxruntime and numpy alone: python predict.py TABLE.csv ..."""

import csv
import io
import json
import re
import sys
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).parent
SPEC = json.loads((HERE / "preprocessing.json").read_text(encoding="utf-8"))
SESSION = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])

BOOLEANS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


def numbers(column, text):
    """What one cell becomes: see the columns in preprocessing.json."""
    text, parts = text.strip(), column.get("parts", [])
    missing = text in SPEC["inputs"]["missing"]
    if column["type"] == "category":
        text, values = re.sub(r"^(-?\d+)\.0$", r"\1", text), column.get("values", [])
        return [1 if missing else values.index(text) + 2 if text in values else 0]
    if column["type"] == "date":
        found = moment(text, column["format"], parts)
    elif column["type"] == "boolean":
        found = [BOOLEANS.get(text.lower(), np.nan)]
    else:
        found = [number(text)]
    return found + [float(np.isnan(found[0]))] * column.get("flag", False)


def number(text):
    """Not a number where it is none, or beyond the largest of the network's."""
    duration = re.fullmatch(SPEC["inputs"]["durations"], text)
    try:
        if duration:
            days, hours, minutes, seconds = map(float, duration.groups("0"))
            return 86400 * days + 3600 * hours + 60 * minutes + seconds
        found = float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        return np.nan
    return found if abs(found) <= float(np.finfo(np.float32).max) else np.nan


def moment(text, form, parts):
    """The parts of a date, in UTC where it has a zone; not numbers where it is none."""
    try:
        when = iso(text) if form == "ISO8601" else datetime.strptime(text, form)
        when = when.replace(tzinfo=when.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return [np.nan] * len(parts)
    special = {"days": when.timestamp() / 86400, "weekday": when.weekday()}
    return [special[part] if part in special else getattr(when, part) for part in parts]


def iso(text):
    """A date in the order of ISO 8601, with any of the marks that the pattern allows."""
    found = re.fullmatch(SPEC["inputs"]["dates"], text)
    if not found:
        raise ValueError(text)
    year, _, month, day, time, zone = found.groups("")
    time = re.sub(r"^(.)(\d)(?=:)", r"\g<1>0\2", time)
    return datetime.fromisoformat(f"{year}-{month:0>2}-{day or 1:0>2}{time}{zone}")


def all_numbers(cells):
    """Whether a line is of numbers only, so that it is hardly a header."""
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False


def rows(path):
    """The cells of each row by column; the mark that divides the first lines is the separator."""
    text = Path(path).read_text(encoding="utf-8-sig")
    first = [line for line in text.splitlines() if line.strip()][:20]
    counts = {mark: [line.count(mark) for line in first] for mark in ",;\t|"}
    divides = {mark: found for mark, found in counts.items() if min(found, default=0)}
    mark = min(
        divides,
        key=lambda m: (sum(a != b for a, b in pairwise(counts[m])), -min(counts[m])),
        default=",",
    )
    lines = [line for line in csv.reader(io.StringIO(text), delimiter=mark) if line]
    while not "".join(lines[0]).strip():
        lines.pop(0)
    names = [
        name.strip() or ("" if i == 0 else f"Unnamed: {i}") for i, name in enumerate(lines[0])
    ]
    counted = [str(i) for i in range(len(names))]
    header = not all_numbers(names) or names == SPEC["inputs"]["names"]
    if names == counted:  # Of one or two, 0 and 1 are values as well.
        header = len(names) > 2
    names, lines = (names, lines[1:]) if header else (counted, lines)
    for line in lines:
        yield dict(zip(names, line, strict=False))


for name in sys.argv[1:] or sys.exit(__doc__):
    for row in rows(name):
        cells = []
        for column in SPEC["inputs"]["columns"]:
            if column["name"] not in row:
                sys.exit(
                    f"The table must have a column {column['name']!r}, but it has {list(row)}."
                )
            cells += numbers(column, row[column["name"]])
        output = SESSION.run(None, {"input": np.array([cells], np.float32)})[0][0]
        print(SPEC["labels"][output.argmax()] if SPEC["labels"] else output[0])
