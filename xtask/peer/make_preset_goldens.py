"""Reads the match tables of TextBrewer's examples into crates/brew-testkit/golden/presets.json.

usage: make_preset_goldens.py MATCHES_PY... [--out FILE]        (any Python 3.9 or newer, nothing installed)

MATCHES_PY are files of TextBrewer's repository, such as examples/matches/matches.py and
examples/cmrc2018_example/matches.py: Python that sets `matches`, a dictionary of lists of dictionaries. The tables are
written as they stand. A name of two files must have the same table in both.
"""
import argparse
import json
import pathlib
import runpy

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden" / "presets.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("matches", nargs="+", type=pathlib.Path, metavar="MATCHES_PY")
    parser.add_argument("--out", type=pathlib.Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    tables = {}
    for path in arguments.matches:
        for name, table in runpy.run_path(str(path))["matches"].items():
            if tables.setdefault(name, table) != table:
                parser.error(f"{path}: `{name}` differs from the table of that name in an earlier file")
    lines = []
    for name in sorted(tables):
        rows = ",\n   ".join(json.dumps(row) for row in tables[name])
        lines.append(f'  "{name}": [\n   {rows}]')
    text = '{"source": "TextBrewer, examples/**/matches.py",\n "matches": {\n' + ",\n".join(lines) + "\n }}\n"
    json.loads(text)
    arguments.out.write_text(text, encoding="utf-8")
    print(f"{arguments.out}: {len(tables)} tables, {len(text)} bytes")


if __name__ == "__main__":
    main()
