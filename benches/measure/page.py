"""The page: what stands between a table's markers is replaced."""

import re

from servers import ROOT

PAGE = ROOT / "docs/performance.md"


def markers(name):
    return f"<!-- bench: {name} -->", f"<!-- end of {name} -->"


def place(name):
    begin, end = markers(name)
    return re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)


def check(names):
    """Ends the program where a table has no place: better now than when it is measured."""
    page = PAGE.read_text()
    for name in names:
        if not place(name).search(page):
            raise SystemExit(f"{PAGE} has no place for the table {name}: {' ... '.join(markers(name))}")


def write(name, text):
    begin, end = markers(name)
    PAGE.write_text(place(name).sub(lambda _: f"{begin}\n{text}\n{end}", PAGE.read_text()))
