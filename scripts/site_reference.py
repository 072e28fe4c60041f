"""Pages of the site that are made from the code; a hook of mkdocs.

A page holds ``<!-- generated: NAME -->`` where tables go: the command line, options of recipes and families, metrics.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo, OptionInfo

from gancompress.options import Options
from gancompress.registry import Kind

PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", type(None): "nothing"}
BOUNDS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
TITLES = {
    "steps": "Steps",
    "tasks": "Tasks",
    "data": "Data",
    "terms": "Loss terms",
    "scores": "Importance scores",
    "masks": "Masks",
}
NAMES = {"Pix2Pix": "pix2pix", "Gaugan": "GauGAN", "CycleGan": "CycleGAN", "Sngan": "SNGAN", "StyleGan2": "StyleGAN2"}
_ENTRY = re.compile(r"^ {4}(\w+): ")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the generated tables into a page; called by mkdocs."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda found: GENERATED[found[1]](), markdown)


def commands() -> str:
    """Return a section for each verb of the command line, with all its arguments, options and defaults."""
    from gancompress.cli import app

    return "\n".join(_command(registered.callback) for registered in app.registered_commands if registered.callback)


def verb_options(verb: Callable[..., Any]) -> dict[str, tuple[Any, Any, Any]]:
    """Return the spelling of every argument and option of a verb, with its type, default and Typer's description."""
    hints, found = get_type_hints(verb, include_extras=True), {}
    for name, parameter in inspect.signature(verb).parameters.items():
        annotation, info = hints[name].__origin__, hints[name].__metadata__[0]
        # Within Annotated, Typer keeps the first spelling where it keeps the default otherwise.
        given = [str(each) for each in (info.default, *(info.param_decls or ())) if str(each).startswith("-")]
        argument = info.metavar or name.upper()
        spelled = argument if isinstance(info, ArgumentInfo) else ", ".join(given) or f"--{name.replace('_', '-')}"
        found[spelled] = annotation, parameter.default, info
    return found


def _command(verb: Callable[..., Any]) -> str:
    options = verb_options(verb)
    arguments = [
        spelled if default is inspect.Parameter.empty else f"[{spelled}]"
        for spelled, (_, default, info) in options.items()
        if isinstance(info, ArgumentInfo)
    ]
    rows = [
        _row(f"`{spelled}`", _value(annotation, info), _default_of(default), info.help or "")
        for spelled, (annotation, default, info) in options.items()
    ]
    name = verb.__name__.replace("_", "-")
    usage = " ".join(["gancompress", name, *arguments])
    table = "| argument or option | value | default | meaning |\n|---|---|---|---|\n" + "".join(rows)
    return f"## {name}\n\n```\n{usage} [OPTIONS]\n```\n\n{_prose(verb)}\n\n{table}"


def _value(annotation: Any, info: Any) -> str:
    """Name the value of an option as its help does, with bounds."""
    if annotation is bool:
        return ""
    chosen = [each for each in (annotation, *get_args(annotation)) if get_origin(each) is Literal]
    if chosen:
        return _words(chosen[0])
    bounds = [f"{symbol} {bound:g}" for symbol, bound in (("≥", info.min), ("≤", info.max)) if bound is not None]
    shown = f"`{info.metavar}`" if info.metavar and isinstance(info, OptionInfo) else _words(annotation)
    return " ".join([shown.removesuffix(" or nothing").removeprefix("list of "), *bounds])


def _default_of(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    return "" if value is None or value is False or value == [] else f"`{value}`"


def recipe_options() -> str:
    """Return a section for each class of options that a recipe can hold, from the job downwards."""
    from gancompress.jobs.recipe import Job

    return "\n".join(_section(options) for options in option_classes(Job))


def family_options() -> str:
    """Return a section for each configuration of a family, named by its families."""
    from gancompress.networks.registry import FAMILIES

    own = {name: family for name, family in FAMILIES.items() if _is_ours(family.config_type, Options)}
    by_config: dict[type[Options], list[str]] = {}
    for name, family in own.items():
        by_config.setdefault(family.config_type, []).append(f"`{name}`")
    return "\n".join(f"## {', '.join(names)}\n\n{_table(config)}" for config, names in by_config.items())


def metrics() -> str:
    """Return a table of all metrics with the better direction and the protocol."""
    from gancompress.evaluation.registry import METRICS

    rows = [
        _row(f"`{name.replace('{network}', 'NETWORK')}`", metric.better, getattr(metric, "words", ""))
        for name, metric in METRICS.items()
        if ":" not in name
    ]
    return "| metric | better | protocol |\n|---|---|---|\n" + "".join(rows)


def recipes() -> str:
    """Return a table of the shipped recipes for each group, and one of the files that they need."""
    from gancompress.jobs.recipe_text import recipe_names, recipe_summary
    from gancompress.recipes.summary import GROUPS

    summaries = [recipe_summary(name) for name in recipe_names()]
    sections = []
    for group in GROUPS:
        rows = [
            _row(f"`{each.name}`<br>{each.words}", _paths(each.needs), _downloads(each.downloads), each.training)
            for each in summaries
            if each.group == group
        ]
        head = "| recipe | needs | downloads | training |\n|---|---|---|---|\n"
        sections.append(f"## {group}\n\n{head}{''.join(rows)}")
    needs = {need.path: need for each in summaries for need in each.needs}
    rows = [
        _row(
            f"`{path}`",
            need.content,
            f"{need.source}: {need.layout}" if need.is_public else f"not public; {need.instead}",
        )
        for path, need in sorted(needs.items())
    ]
    sections.append(f"## Files to get\n\n| path | content | where, and layout |\n|---|---|---|\n{''.join(rows)}")
    return "\n".join(sections)


def _downloads(files: Iterable[Any]) -> str:
    return ", ".join(f"`{file.name}`" for file in files)


def _paths(needs: Iterable[Any]) -> str:
    return ", ".join(f"`{need.path}`" for need in needs) or "nothing"


def option_classes(first: type[Options]) -> Iterator[type[Options]]:
    """Yield a class of options and all classes in its fields: of a registry its base, and behind it every kind."""
    waiting, seen = [first], set[type[Options]]()
    while waiting:
        options = waiting.pop(0)
        if options in seen:
            continue
        seen.add(options)
        yield options
        inner = [each for field in options.model_fields.values() for each in _classes_in(field.annotation)]
        kinds = [each for each in options.registry.values() if _is_ours(each, Kind)] if _is_base(options) else []
        waiting = [*kinds, *inner, *waiting] if kinds else [*waiting, *inner]


def described(options: type[Options]) -> dict[str, str]:
    """Return the description of every field that the docstrings of a class and its bases describe."""
    found: dict[str, str] = {}
    for base in reversed(options.__mro__):
        name = ""
        for line in inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")[2].split("\n"):
            if entry := _ENTRY.match(line):
                name = entry[1]
                found[name] = line[entry.end() :]
            elif name and line.startswith(" " * 8):
                found[name] += f" {line.strip()}"
            elif line and not line.startswith(" "):
                break
    return found


def _section(options: type[Options]) -> str:
    if _is_base(options):
        group = _group(options)
        return f"## {TITLES[group]} {{ #{group} }}\n\nOne is chosen by its `kind`.\n"
    if issubclass(options, Kind):
        return f"### {options.kind} {{ #{_anchor(options)} }}\n\n{_prose(options)}\n\n{_table(options)}"
    name = options.__name__.removesuffix("Options")
    words = NAMES.get(name) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).capitalize()
    return f"## {words} {{ #{_anchor(options)} }}\n\n{_prose(options)}\n\n{_table(options)}"


def _anchor(options: type[Options]) -> str:
    """Return the anchor of a section on its page."""
    if not issubclass(options, Kind):
        return options.__name__.lower()
    return _group(options) if _is_base(options) else f"{_group(options)}-{options.kind}"


def _table(options: type[Options]) -> str:
    meanings = described(options)
    rows = [
        _row(f"`{name}`", _of_field(field), _default(field), meanings.get(name, ""))
        for name, field in options.model_fields.items()
    ]
    return f"| option | type | default | meaning |\n|---|---|---|---|\n{''.join(rows)}" if rows else "No options.\n"


def _group(options: type[Kind]) -> str:
    return options.registry.group.partition(".")[2]


def _is_ours(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base) and kind.__module__.startswith("gancompress.")


def _is_base(options: type[Options]) -> bool:
    return (
        issubclass(options, Kind)
        and getattr(options, "registry", None) is not None
        and options.registry.base is options
    )


def _classes_in(annotation: Any) -> Iterator[type[Options]]:
    if isinstance(annotation, type) and issubclass(annotation, Options):
        yield annotation
    for inner in get_args(annotation):
        yield from _classes_in(inner)


def _of_field(field: FieldInfo) -> str:
    return " ".join([_words(field.annotation), *_bounds(field.metadata)])


def _bounds(metadata: Any) -> Iterator[str]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _bounds(each.metadata)
        for kind, (symbol, name) in BOUNDS.items():
            if isinstance(each, kind):
                yield f"{symbol} {getattr(each, name)}"


def _words(annotation: Any) -> str:
    """Name a type in plain words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return " ".join([_words(annotation.__origin__), *_bounds(annotation.__metadata__)])
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_words, inner)))
    if origin in (tuple, list):
        return f"list of {_words(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {_words(inner[0])} to {_words(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Options):
        anchor = _anchor(annotation)
        return f"[{TITLES.get(anchor, annotation.__name__.removesuffix('Options')).lower()}](#{anchor})"
    if origin is not None and getattr(origin, "__name__", "") == "Callable":
        return "function"
    return PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = _plain(field.get_default(call_default_factory=True))
    if value is None:
        return "nothing"
    written = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return f"`{written.strip().removesuffix('...').strip()}`"


def _plain(value: Any) -> Any:
    """Convert a default to what a recipe would hold, without options at their own defaults."""
    if isinstance(value, Options):
        rest = {
            name: _plain(getattr(value, name)) for name in value.model_dump(exclude_defaults=True) if name != "kind"
        }
        if isinstance(value, Kind):
            return {"kind": value.kind, **rest} if rest else value.kind
        return rest
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _prose(documented: Any) -> str:
    """Return the text of a docstring above its sections, as Markdown."""
    docstring = inspect.getdoc(documented) or ""
    text = re.split(r"^(?:Attributes|Args|Raises|Returns|Source):", docstring, maxsplit=1, flags=re.MULTILINE)[0]
    return text.replace("``", "`").strip()


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("``", "`").replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "recipe_options": recipe_options,
    "family_options": family_options,
    "metrics": metrics,
    "recipes": recipes,
}
