"""What a package index will show and hold: `python .ci/check_dist.py dist` reads the wheel and the
source archive that lie there, and says what is wrong with them.
"""

import re
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

NEEDED = [
    "Makefile",
    "constraints.txt",
    "pyproject.toml",
    "conftest.py",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "CITATION.cff",
    ".gitignore",
    ".ci/run",
    ".ci/venv",
    ".github/workflows/ci.yml",
    "docs/install.md",
    "docs/bench.webp",
    "benchmarks/results.json",
    "examples/circuit_regression/test_circuit.py",
    "notebooks/circuit.png",
    "tests/conftest.py",
    "tests/typing/api.py",
    "xor_mi/py.typed",
]
"""What the commands of README and CONTRIBUTING read, a few of each kind."""

EXTRAS = {"pytest", "widgets", "fast", "exam", "export", "proof"}
"""What a reader may ask for in brackets."""


def problems_of_links(description: str, url: str, files: set[str]) -> list[str]:
    """Every link of the long description is absolute, and one into the project at `url` leads to
    one of its files.
    """
    found = []
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", description):
        inside = re.match(re.escape(url) + r"/(?:blob|raw)/[^/]+/([^#]+)", link)
        if not re.match("https://|#", link):
            found.append(f"the long description has a relative link: {link}")
        elif inside and inside[1] not in files:
            found.append(f"the long description links to what is not there: {link}")
    return found


def problems(dist: Path) -> list[str]:
    """All that is wrong with the one wheel and the one source archive in a folder."""
    (wheel,), (archive,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        files = {name.partition("/")[2] for name in tar.getnames()}
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        about = message_from_string(packed.read(metadata).decode("utf-8"))
    urls = dict(line.split(", ") for line in about.get_all("Project-URL", []))
    found = problems_of_links(about.get_payload(), urls["Homepage"], files)
    found += [f"the source archive lacks {name}" for name in NEEDED if name not in files]
    outside = {name.split("/")[0] for name in names} - {"xor_mi", metadata.split("/")[0]}
    found += [f"the wheel holds {name}, which is not the package" for name in sorted(outside)]
    extras = set(about.get_all("Provides-Extra", []))
    if extras != EXTRAS:
        found.append(f"the extras are {sorted(extras)}")
    return found


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    print("\n".join(wrong) or "wheel and source archive hold what they should; no link is relative")
    sys.exit(bool(wrong))
