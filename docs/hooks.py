"""What the documentation takes from the code itself: options, commands, notebooks and benchmarks; nothing is copied.

MkDocs calls the functions ``on_...``; the functions before them need no MkDocs, and the tests call them.
"""

from __future__ import annotations

import json
import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ("first_image", "cluster", "raw_file", "optics", "believe", "local_structure")
"""In the order in which they are read."""


def configuration() -> str:
    """Every option of a job with its type, default and meaning, from the models that check it."""
    from ptychodask.model.config import JobConfig
    from ptychodask.model.presets import PRESETS, SPECTRAL

    lines = [
        "# Configuration",
        "",
        "Every option has one name: `--set section.option=value` on the command line, `section.option = value` in a"
        ' TOML file (`--config job.toml`), `{"section": {"option": value}}` in Python. `none` unsets what may be unset.'
        " What is not said comes from the preset. `ptychodask config` prints the options of a job in full, and"
        " `ptychodask config --schema` their JSON schema; this page is made from the same models.",
        "",
    ]
    root = JobConfig.model_fields["preset"]
    lines += [f"`preset`: {_kind(root.annotation, root.metadata)}, by default `{root.default}`. {_sentence(root)}", ""]
    for section, field in JobConfig.model_fields.items():
        model: Any = field.annotation
        if not hasattr(model, "model_fields"):
            continue
        lines += [f"## {section}", "", (model.__doc__ or "").strip(), ""]
        lines += ["| option | values | default | meaning |", "|---|---|---|---|"]
        for name, option in model.model_fields.items():
            extra = option.json_schema_extra
            bits = " **Changes bits.**" if isinstance(extra, dict) and extra.get("changes_bits") else ""
            default = "unset" if option.default is None else _shown(option.default)
            kind = _kind(option.annotation, option.metadata).replace("|", "\\|")
            lines.append(f"| `{section}.{name}` | {kind} | {default} | {_sentence(option)}{bits} |")
        lines.append("")
    lines += ["## What presets say", "", f"| option | {' | '.join(PRESETS)} |", f"|---|{'---|' * len(PRESETS)}"]
    said = dict.fromkeys((s, o) for preset in PRESETS.values() for s, options in preset.items() for o in options)
    for section, option in said:
        values = [preset.get(section, {}).get(option, "") for preset in PRESETS.values()]
        lines.append(f"| `{section}.{option}` | {' | '.join(_shown(v) for v in values)} |")
    spectral = ", ".join(f"`{s}.{o}` = {_shown(v)}" for s, options in SPECTRAL.items() for o, v in options.items())
    lines += ["", f"Where `object.regularisation` is `spectral`, over the preset: {spectral}.", ""]
    return "\n".join(lines)


def _sentence(field: Any) -> str:
    text = (field.description or "").replace("|", "\\|")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _shown(value: Any) -> str:
    if value == "":
        return ""
    return "unset" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(annotation: Any, metadata: Any = ()) -> str:
    """A type as people read it, with its bounds."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _kind(parts[0], annotation.__metadata__)
    if origin in (Union, types.UnionType):
        text = " or ".join(_kind(part) for part in parts if part is not type(None))
    elif origin is Literal:
        text = ", ".join(f"`{part}`" for part in parts)
    elif origin is tuple:
        text = f"list of {_kind(parts[0])}" if len(parts) == 2 and parts[1] is ... else ", ".join(map(_kind, parts))
    else:
        text = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}.get(
            annotation, str(annotation)
        )
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    flat = [m for item in metadata for m in getattr(item, "metadata", [item])]
    bounds = [f"{sign} {getattr(m, name):g}" for m in flat for name, sign in words.items() if hasattr(m, name)]
    return f"{text} {', '.join(bounds)}".strip()


def commands() -> dict[str, Any]:
    """Click's commands by their verbs."""
    import typer

    from ptychodask.cli.app import app

    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def options_of(command: Any) -> dict[str, str]:
    """Help by option, of a command; both forms of a switch."""
    found = {}
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("-"):
                found[name] = getattr(parameter, "help", "") or ""
    return {**found, "--help": "Show what is here.", "-h": ""}


def command_line() -> str:
    """Every verb with its arguments, options and examples, from the application."""
    lines = ["# Command line", "", "`ptychodask VERB --help` says the same in a terminal.", ""]
    for verb, command in commands().items():
        text = (command.help or "").strip()
        about, _, examples = text.partition("Examples:")
        arguments = [p for p in command.params if not any(o.startswith("-") for o in p.opts)]
        names = "".join(f" {(p.name or '').upper()}" for p in arguments)
        lines += [f"## {verb}", "", f"`ptychodask {verb}{names}`", "", " ".join(about.split()), ""]
        if runs := [line.strip() for line in examples.splitlines() if line.strip()]:
            lines += ["```sh", *runs, "```", ""]
        lines += ["| option | meaning |", "|---|---|"]
        for parameter in command.params:
            named = [o for o in (*parameter.opts, *parameter.secondary_opts)]
            shown = (
                ", ".join(f"`{o}`" for o in named)
                if named[0].startswith("-")
                else f"`{(parameter.name or '').upper()}`"
            )
            default = parameter.default
            told = (
                "" if default is None or callable(default) or default in (False, (), []) else f" (default `{default}`)"
            )
            words = (getattr(parameter, "help", "") or "").replace("|", "\\|")
            lines.append(f"| {shown} | {words}{told} |")
        lines.append("")
    return "\n".join(lines)


def notebook(name: str) -> str:
    """A notebook as a page; below a cell the picture that it made when pictures were taken last."""
    book = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    parts, count = [], 0
    for cell in book["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text))
            continue
        parts.append(f"```python\n{text}\n```")
        pictures = sorted((ROOT / "docs" / "pictures").glob(f"{name}-{count}-*"))
        parts += [f"![{name}, cell {count}](pictures/{picture.name})" for picture in pictures]
        count += 1
    link = f"notebooks/{name}.ipynb"
    return "\n\n".join([*parts, f"This page is `{link}` of the repository, where it can be run.", ""])


def generated() -> dict[str, str]:
    """Pages that are made, by their names."""
    benchmarks = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    pages = {"configuration.md": configuration(), "command-line.md": command_line()}
    pages |= {"benchmarks.md": benchmarks, "changes.md": changes}
    return pages | {f"notebook-{name.replace('_', '-')}.md": notebook(name) for name in NOTEBOOKS}


def in_site(text: str) -> str:
    """Links to files of the repository, as those of the site."""
    text = re.sub(r"\]\((?:\.\./)?notebooks/(\w+)\.ipynb\)", lambda m: f"](notebook-{m[1].replace('_', '-')}.md)", text)
    text = text.replace("](../benchmarks/README.md", "](benchmarks.md").replace("](../docs/", "](")
    text = text.replace("](../CHANGELOG.md", "](changes.md")
    return re.sub(r"\[([^\]]*)\]\((?:results|peers)/[^)]*\)", r"`\1`", text)


def on_files(files: Any, config: Any) -> Any:
    """MkDocs: add the pages that are made."""
    from mkdocs.structure.files import File

    for name, text in generated().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs: links that are right on GitHub are right in the site."""
    return in_site(markdown)


def on_page_content(html: str, **_: Any) -> str:
    """MkDocs: roles of Sphinx are plain code; defaults are those of the signature.

    In a list such as ``energy_ev, semi_angle_mrad : float`` all would get the default of the first name.
    """
    html = re.sub(r":(?:func|class|mod|meth|data):<code>~?(?:[\w.]+\.)?(\w+)</code>", r"<code>\1</code>", html)
    return re.sub(r",\s*default:\s*<code>.*?</code>\s*(?=\))", "", html, flags=re.S)
