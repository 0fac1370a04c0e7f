"""Print the oldest versions that pyproject.toml allows, as constraints for pip."""

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = [project["optional-dependencies"][name] for name in ("simulate", "formats", "tune")]
for text in chain(project["dependencies"], *extras):
    name, _, oldest = re.sub(r"\[.*?\]", "", text.split(";")[0]).partition(">=")
    sys.stdout.write(f"{name.strip()}=={oldest.strip()}\n")
