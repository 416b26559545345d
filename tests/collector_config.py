"""Checks ``collector-config/*.yaml`` against what the real programs accept, without them: file, line, what is wrong.

``python tests/collector_config.py`` prints what is wrong and exits with 1. The schemas in ``tests/stack/schemas`` are
made from the components' own types by ``make test-stack``, which also proves that they are what was built.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml


ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "collector-config"
SCHEMAS = Path(__file__).parent / "stack" / "schemas"
PAGE = ROOT / "docs" / "collector.md"

# Overlays are read together with what they are put behind.
BASES = {"gateway-secure.yaml": "gateway.yaml", "gateway-sampling.yaml": "gateway.yaml"}

_ENV = re.compile(r"\$\{env:([A-Z][A-Z0-9_]*)(?::-((?:[^{}]|\{[^{}]*\})*))?\}")
_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]*)` \| (?:`(.*?)`|(.*?)) \|", re.MULTILINE)
_DURATION = re.compile(r"-?(0|(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+)")
_TYPES = {
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:null": "null",
}
_COLLECTOR = re.compile(r"^service:$", re.MULTILINE)

Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """Something that the program would refuse, or that nobody could know."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def configurations(folder: Path = FOLDER) -> list[Path]:
    """Return the files in *folder* that configure a collector, or Jaeger, which is one."""
    return [path for path in sorted(folder.glob("*.yaml")) if _COLLECTOR.search(path.read_text(encoding="utf-8"))]


def schema_of(file: str) -> Schema:
    """Return the schema for the *file* of this name."""
    name = "jaeger.json" if file.startswith("jaeger") else "collector.json"
    found: Schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    return found


def documented(page: str) -> dict[str, str | None]:
    """Return the variables in the tables of a *page* with their defaults; None where it says that there is none."""
    return {name: default if given is None or given == "" else None for name, default, given in _ROW.findall(page)}


def problems(path: Path, variables: Mapping[str, str | None], base: Path | None = None) -> list[Problem]:
    """Return what is wrong in the file at *path*, which is put behind *base*; *variables* are those documented."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return [Problem(file=path.name, line=line, what=f"no YAML: {error.problem}")]
    if root is None:
        return [Problem(file=path.name, line=1, what="nothing in it")]
    check = _Check(path.name, schema_of(path.name), variables)
    check.against(root, check.schema, "")
    known = _defined(root) | (
        _defined(yaml.compose(base.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)) if base else set()
    )
    check.references(root, known)
    return sorted(set(check.found))


class _Check:
    """One file under way."""

    def __init__(self, file: str, schema: Schema, variables: Mapping[str, str | None]) -> None:
        self.file = file
        self.schema = schema
        self.variables = variables
        self.found: list[Problem] = []

    def note(self, node: yaml.Node, what: str) -> None:
        self.found.append(Problem(file=self.file, line=node.start_mark.line + 1, what=what))

    def against(self, node: yaml.Node, schema: Schema, where: str) -> None:
        """Check *node* against a *schema*: of what may be one of several, the nearest counts."""
        schema = self.resolved(schema)
        if "anyOf" in schema:
            self.any_of(node, schema["anyOf"], where)
            return
        value = self.substituted(node)
        if value is None or not schema:
            self.inside(node)
            return
        if not _fits(value, node, schema):
            accepted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            wanted = "duration such as 30s" if schema.get("format") == "duration" else " or ".join(accepted)
            self.note(node, f"{where} is {_shown(value)}; it takes {wanted}")
        elif isinstance(value, yaml.MappingNode):
            self.mapping(value, schema, where)
        elif isinstance(value, yaml.SequenceNode):
            for number, item in enumerate(value.value):
                self.against(item, schema.get("items", {}), f"{where}[{number}]")

    def any_of(self, node: yaml.Node, choices: list[Schema], where: str) -> None:
        before = self.found
        tried = []
        for choice in choices:
            self.found = []
            self.against(node, choice, where)
            tried.append(self.found)
        # Null is always a choice, and never what was meant: the last one says what is.
        self.found = before + ([] if [] in tried else tried[-1])

    def mapping(self, node: yaml.MappingNode, schema: Schema, where: str) -> None:
        properties = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        others = schema.get("additionalProperties", True)
        for key, item in _entries(node):
            place = f"{where}.{key.value}" if where else key.value
            matching = [properties[key.value]] if key.value in properties else []
            matching += [one for pattern, one in patterns.items() if re.search(pattern, key.value)]
            if matching:
                self.against(item, matching[0], place)
            elif others is False:
                names = [*properties, *(pattern.strip("^").removesuffix("(/.+)?$") for pattern in patterns)]
                self.note(key, f"unknown key {place}{_nearest(key.value, names)}")
            else:
                self.against(item, {} if others is True else others, place)

    def inside(self, node: yaml.Node) -> None:
        """Look for variables where everything else is accepted."""
        if isinstance(node, yaml.MappingNode):
            for _, item in _entries(node):
                self.inside(item)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self.inside(item)
        else:
            self.substituted(node)

    def substituted(self, node: yaml.Node) -> yaml.Node | None:
        """Return what *node* is with the defaults of its variables; None when there is none to know it by."""
        if not isinstance(node, yaml.ScalarNode) or "${" not in node.value:
            return node
        for name, default in _ENV.findall(node.value):
            self.variable(node, name, default if f"{name}:-" in node.value else None)
        if "${" in _ENV.sub("", node.value):
            self.note(node, f"{node.value} has a reference that is not ${{env:NAME}} or ${{env:NAME:-default}}")
        text = _ENV.sub(lambda match: match[2] or "", node.value)
        if _ENV.fullmatch(node.value) is None:
            return yaml.ScalarNode("tag:yaml.org,2002:str", text, node.start_mark)
        return yaml.compose(text, Loader=yaml.SafeLoader) if text else None

    def variable(self, node: yaml.Node, name: str, default: str | None) -> None:
        if name not in self.variables:
            without = " and has no default" if default is None else ""
            self.note(node, f"variable {name} is in no table of docs/{PAGE.name}{without}")
        elif self.variables[name] != default:
            self.note(node, f"variable {name} is {default!r} here and {self.variables[name]!r} in docs/{PAGE.name}")

    def references(self, root: yaml.Node, known: set[tuple[str, str]]) -> None:
        """Check that pipelines are made of what there is."""
        for _, pipeline in _entries(_at(root, "service", "pipelines")):
            for role, names in _entries(pipeline):
                value = self.substituted(names)
                for name in value.value if isinstance(value, yaml.SequenceNode) else ():
                    sections = {role.value, "connectors"} - ({"connectors"} if role.value == "processors" else set())
                    if not any((section, name.value) in known for section in sections):
                        self.note(names, f"{name.value} is not among the {role.value}")

    def resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self.schema["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return schema


def _fits(value: yaml.Node, node: yaml.Node, schema: Schema) -> bool:
    accepted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if isinstance(value, yaml.MappingNode):
        return "object" in accepted
    if isinstance(value, yaml.SequenceNode):
        return "array" in accepted
    kind = _TYPES.get(value.tag, "string")
    if schema.get("format") == "duration" and kind == "string":
        return _DURATION.fullmatch(value.value) is not None
    # The text of a variable is taken as it is where text is wanted.
    return (
        kind in accepted or (kind == "integer" and "number" in accepted) or (value is not node and "string" in accepted)
    )


def _entries(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Yield the entries of a mapping, with those merged into it that it does not say itself."""
    if not isinstance(node, yaml.MappingNode):
        return
    own = [(key, item) for key, item in node.value if key.tag != "tag:yaml.org,2002:merge"]
    names = {key.value for key, _ in own}
    yield from own
    for key, item in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            yield from ((name, value) for name, value in _entries(item) if name.value not in names)


def _at(node: yaml.Node | None, *names: str) -> yaml.Node | None:
    for name in names:
        node = next((item for key, item in _entries(node) if key.value == name), None)
    return node


def _defined(root: yaml.Node | None) -> set[tuple[str, str]]:
    sections = ("receivers", "processors", "exporters", "connectors")
    return {(section, key.value) for section in sections for key, _ in _entries(_at(root, section))}


def _shown(value: yaml.Node) -> str:
    if isinstance(value, yaml.ScalarNode):
        return repr(value.value)
    return "a mapping" if isinstance(value, yaml.MappingNode) else "a list"


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(names)[:30])}"


def everything() -> list[Problem]:
    """Return what is wrong in all that is shipped."""
    variables = documented(PAGE.read_text(encoding="utf-8"))
    return [
        problem
        for path in configurations()
        for problem in problems(path, variables, FOLDER / BASES[path.name] if path.name in BASES else None)
    ]


def main() -> int:
    """Print what is wrong."""
    found = everything()
    for problem in found:
        print(f"{FOLDER.name}/{problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
