"""What the pages say exists: links, headings, verbs, options, names of the configuration. Needs no MkDocs."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "mkdocs.yml").exists():
    pytest.skip("not a checkout", allow_module_level=True)
sys.path.insert(0, str(ROOT / "docs"))
import hooks  # noqa: E402

from ptychodask.model.config import JobConfig  # noqa: E402

PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = {"--dashboard-prefix", "--dist", "--strict", "--tiny", "--out"}
"""Options of other programs, and of our benchmarks."""
ids = [page.relative_to(ROOT).as_posix() for page in PAGES]


@cache
def generated() -> dict[str, str]:
    return hooks.generated()


@cache
def text_of(page: Path) -> str:
    if page.parent == ROOT / "docs" and page.name in generated():
        return generated()[page.name]
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), flags=re.M)
    plain = [re.sub(r"[^\w\s-]", "", title.lower()) for title in titles]
    return {re.sub(r"\s+", "-", title.strip()) for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        made = file.parent == ROOT / "docs" and file.name in generated()
        assert made or file.exists(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(text_of(file)), f"{target}: no such heading"


@pytest.mark.parametrize("name", hooks.NOTEBOOKS)
def test_pages_that_a_notebook_names_are_there(name):
    page = hooks.notebook(name)
    for target in re.findall(r"\]\((\w+\.md)\)", page):
        assert (ROOT / "docs" / target).exists(), target
    assert page.count("```python") > 4


def inline(text: str) -> list[str]:
    """What is between single backticks, which may go over a line."""
    return [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))]


def said(text: str) -> list[tuple[str, str]]:
    """Verbs of ``ptychodask VERB ...`` and what follows them, in code only."""
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, flags=re.S)
    code = "\n".join(block for language, block in blocks if language in ("", "sh")).replace("\\\n", " ")
    code += "\n" + "\n".join(inline(text))
    lines = [re.sub(r"(#|\s[|&;>]).*", "", line) for line in code.splitlines()]
    found = [re.search(r"(?<![\w/.-])(?:\S*/)?ptychodask ([a-z]+)\b(.*)", line) for line in lines]
    return [(match[1], match[2]) for match in found if match]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_exists_with_its_options(page):
    known = hooks.commands()
    for verb, rest in said(text_of(page)):
        assert verb in known, f"ptychodask {verb}: no such verb"
        options = hooks.options_of(known[verb])
        for option in re.findall(r"(?<=\s)(--?[a-zA-Z][\w-]*)", rest):
            assert option in options, f"ptychodask {verb} {option}: no such option"


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "benchmarks"], ids=lambda p: p.name)
def test_every_option_exists_somewhere(page):
    known = {option for command in hooks.commands().values() for option in hooks.options_of(command)} | OTHERS
    for code in inline(text_of(page)):
        for option in re.findall(r"(?<![\w-])(--[a-z][\w-]+)", code):
            if "pytest" not in code and "pip" not in code:
                assert option in known, f"{option} in `{code}`: no such option"


SECTIONS = {
    name: set(field.annotation.model_fields)
    for name, field in JobConfig.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_name_of_the_configuration_exists(page):
    code = " ".join(re.findall(r"```.*?```|`[^`]+`", text_of(page), flags=re.S))
    pattern = r"(?:--set |`)(object|probe|geometry|solver|data|engine)\.(\w+)(?= ?[=`])"
    for section, option in re.findall(pattern, code):
        if option == "py":  # a file
            continue
        assert option in SECTIONS[section], f"{section}.{option}: no such option"


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "docs"], ids=lambda p: p.name)
def test_every_file_of_the_package_that_is_named_is_there(page):
    for name in re.findall(r"`((?:ptychodask/)?[a-z_]+/[\w/]+\.py)", text_of(page)):
        assert (ROOT / name).exists() or (ROOT / "ptychodask" / name).exists(), name


def test_the_reference_has_every_option_with_a_meaning():
    page = generated()["configuration.md"]
    for section, options in SECTIONS.items():
        for option in options:
            (row,) = re.findall(
                rf"^\| `{section}\.{option}` \| (.*) \| (.*) \| (.*) \|$", page.split("## What presets")[0], re.M
            )
            assert row[0] and row[1] and len(row[2]) > 5, (section, option)
    assert "| `solver.iterations` | whole number ≥ 1, ≤ 100000 | `40` |" in page
    assert page.count("**Changes bits.**") == 4


def test_the_command_line_has_every_verb_and_option():
    page = generated()["command-line.md"]
    for verb, command in hooks.commands().items():
        part = page.split(f"\n## {verb}\n")[1].split("\n## ")[0]
        for option in set(hooks.options_of(command)) - {"--help", "-h"}:
            assert f"`{option}`" in part, (verb, option)


def test_every_page_is_in_the_menu_of_the_site():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} | set(generated())
    assert {name for name in pages if f"- {name}\n" not in menu} == set()


def test_the_public_functions_are_in_the_python_page():
    import ptychodask

    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names = set(ptychodask._FUNCTIONS) | {"DatasetWriter", "Microscope", "Detector", "JobConfig", "PtychodaskWarning"}
    assert {name for name in names if not re.search(rf"^::: \S+\.{name}$", page, re.M)} == set()


def test_the_readme_has_the_two_commands_that_are_run():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.startswith("python3 -m venv")]) == 2
