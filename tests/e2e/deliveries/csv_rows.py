"""An independent reader of CSV as the oracle: the rows of the splits, in order, are the rows of the source.

    python3 csv_rows.py plain|header SOURCE SPLIT...

With "header" each split begins with the source's first row. Every split is read by itself. Prints how many rows the
source has.
"""

import csv
import sys

csv.field_size_limit(1 << 30)


def rows(path):
    # newline="" leaves line ends to the reader; a byte order mark is no part of the first field.
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, strict=True))


mode, source, *splits = sys.argv[1:]
wanted = rows(source)
found = []
for number, path in enumerate(splits):
    part = rows(path)
    if mode == "header":
        assert part[:1] == wanted[:1], f"{path} begins with {part[:1]}, not {wanted[:1]}"
        if number > 0:
            part = part[1:]
            assert part, f"{path} has a header and nothing else"
    found += part
assert len(found) == len(wanted), f"{len(found)} rows, not {len(wanted)}"
for number, (one, other) in enumerate(zip(found, wanted)):
    assert one == other, f"row {number} is {one}, not {other}"
print(len(wanted))
