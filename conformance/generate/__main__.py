"""Writes conformance/cases: python3 conformance/generate [--check].

The modules here hold what is expected, by hand or by small builders that follow SPEC.md. Nothing here runs an implementation, so that
the cases can find one wrong. `--check` compares with what is committed and changes nothing.
"""

import importlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE.parent / "cases"


def rendered(chapter: str, cases: list[dict]) -> str:
    """One case file: a case to a line, so that a change of one shows as one changed line."""
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=True) for case in cases)
    return f'{{"$schema":"../../case.schema.json","chapter":{json.dumps(chapter)},"cases":[\n{lines}\n]}}\n'


def files() -> dict[pathlib.Path, str]:
    """Every case file with its text, from all modules that have a table FILES: {"chapter/name": [case, …]}."""
    found: dict[pathlib.Path, str] = {}
    ids: set[str] = set()
    for module in sorted(HERE.glob("*.py")):
        if module.stem == "__main__":
            continue
        for name, cases in getattr(importlib.import_module(module.stem), "FILES", {}).items():
            for case in cases:
                if case["id"] in ids:
                    raise SystemExit(f"{module.name}: two cases are named {case['id']}")
                ids.add(case["id"])
            found[CASES / f"{name}.json"] = rendered(name.split("/")[0], cases)
    return found


def main() -> int:
    wanted = files()
    present = set(CASES.glob("**/*.json"))
    if "--check" in sys.argv[1:]:
        stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        stale += present - wanted.keys()
        for path in sorted(stale):
            print(f"{path.relative_to(HERE.parent)} is not what conformance/generate writes", file=sys.stderr)
        return 1 if stale else 0
    for path in present - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    count = sum(text.count('"id": ') for text in wanted.values())
    print(f"{count} cases in {len(wanted)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
