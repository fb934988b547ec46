"""Whether a tag may be released: `python .ci/check_release.py v0.2.0` says what does not agree."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def disagreements(tag: str, root: Path = ROOT) -> list[str]:
    """What stands against releasing the files in `root` under this tag."""
    source = (root / "xor_mi" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.*)"$', source, flags=re.M)
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, and xor_mi/__init__.py says {version}")
    if not re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", version):
        found.append(f"{version} is not a version to release: write it without .dev")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(
        rf"^## \[?{re.escape(version)}\]? - \d{{4}}-\d\d-\d\d$", changelog, flags=re.M
    ):
        found.append(f"CHANGELOG.md has no section {version} with its date")
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    if not re.search(rf"^version: {re.escape(version)}$", citation, flags=re.M):
        found.append(f"CITATION.cff does not say version: {version}")
    return found


if __name__ == "__main__":
    wrong = disagreements(sys.argv[1])
    print("\n".join(wrong) or f"{sys.argv[1]} may be released")
    sys.exit(bool(wrong))
