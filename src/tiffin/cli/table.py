"""Tables with Docker's layout, and `--format` in all its forms.

A listing is rows of `Row`: a mapping from Go-template field names to texts, with a header for each.
`table` prints aligned columns three spaces apart, `json` one object a line, anything else is a
template that is rendered once per row.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from tiffin.wire.template_error import TemplateError

GAP = 3
MINIMUM_WIDTH = 10


class Row:
    """One row: values by field name, computed when asked for."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def template_field(self, name: str) -> Any:  # noqa: ANN401
        """Return a field for the template engine."""
        if name not in self._fields:
            raise TemplateError(
                f'template: :1:2: executing "" at <.{name}>: can\'t evaluate field {name} in type row'
            )
        value = self._fields[name]
        return value() if callable(value) and not isinstance(value, Lookup) else value

    def template_json(self) -> dict[str, Any]:
        """Return all fields, sorted as Docker prints them."""
        names = (n for n in sorted(self._fields) if not isinstance(self._fields[n], Lookup))
        return {name: self.template_field(name) for name in names}


class Lookup:
    """A field that takes an argument: `.Label "name"`."""

    def __init__(self, values: Mapping[str, str] | None) -> None:
        self._values = values or {}

    def __call__(self, key: str) -> str:
        """Return the value of one key, "" if it is not there."""
        return self._values.get(key, "")


class _LabelHeader(Lookup):
    """The header of a label's column is the label's last part."""

    def __call__(self, key: str) -> str:
        return key.rpartition(".")[2].replace("-", " ").replace("_", " ")


class _Headers(Row):
    """The row of headers: a field without one shows its own name in capitals."""

    def template_field(self, name: str) -> Any:  # noqa: ANN401
        return _LabelHeader(None) if name == "Label" else self._fields.get(name, name.upper())


def _first(value: Any, *_rest: Any) -> Any:  # noqa: ANN401
    return value


HEADER_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("json", "title", "lower", "upper", "truncate", "split"), _first),
    "join": lambda items, separator="": items if isinstance(items, str) else separator.join(items),
}
"""What would change a value leaves its header alone."""


def print_rows(
    rows: Iterable[Row],
    *,
    format_text: str,
    default: str,
    headers: Mapping[str, str],
    out: TextIO | None = None,
    raw: str = "",
) -> None:
    """Print `rows` in the format that the user asked for, `default` being a `table …` template.

    `raw` lists `label:Field` pairs of the old format of that name. TemplateError.
    """
    out = out or sys.stdout
    chosen = format_text or default
    if chosen == "table":
        chosen = default
    if chosen == default and (names := _plain_columns(default)):
        _print_plain(rows, names, headers, out)
        return
    from tiffin.wire.template import Template, to_json  # 8 ms that default tables do not pay

    if chosen == "json":
        for row in rows:
            out.write(to_json(row) + "\n")
        return
    if chosen == "raw" and raw:
        pairs = (word.partition(":") for word in raw.split())
        chosen = "".join(f"{label}: {{{{.{name}}}}}\n" for label, _, name in pairs)
    is_table = chosen.startswith("table")
    source = _unescape(chosen.removeprefix("table").strip() if is_table else chosen)
    template = Template(source)
    if not is_table:
        for row in rows:
            out.write(template.render(row) + "\n")
        return
    lines = [Template(source, HEADER_FUNCTIONS).render(_Headers(headers))]
    lines.extend(template.render(row) for row in rows)
    for line in align([line.split("\t") for line in lines]):
        out.write(line + "\n")


def _plain_columns(template: str) -> list[str]:
    """Return the fields of a table whose cells are fields and nothing else, [] for any other."""
    cells = template.removeprefix("table ").split("\t")
    names = [cell[3:-2] for cell in cells if cell.startswith("{{.") and cell.endswith("}}")]
    plain = len(names) == len(cells) and all(name.isidentifier() for name in names)
    return names if plain and template.startswith("table ") else []


def _print_plain(
    rows: Iterable[Row], names: Sequence[str], headers: Mapping[str, str], out: TextIO
) -> None:
    cells = [[headers.get(name, name.upper()) for name in names]]
    cells.extend([str(row.template_field(name)) for name in names] for row in rows)
    out.writelines(line + "\n" for line in align(cells))


def align(
    cells: Sequence[Sequence[str]], *, minimum: int = MINIMUM_WIDTH, gap: int = GAP
) -> list[str]:
    """Pad columns as Go's tabwriter does; the last column of a line is never padded."""
    widths: dict[int, int] = {}
    for line in cells:
        for column, text in enumerate(line[:-1]):
            widths[column] = max(widths.get(column, minimum), len(text) + gap)
    return [
        "".join(text.ljust(widths[column]) for column, text in enumerate(line[:-1])) + line[-1]
        for line in cells
    ]


def _unescape(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n")


def print_objects(objects: Sequence[Any], format_text: str, out: TextIO | None = None) -> None:
    """Print what `inspect` got: indented JSON, `json`, or a template per object."""
    import json

    out = out or sys.stdout
    if not format_text:
        out.write(json.dumps(objects, indent=4, ensure_ascii=False) + "\n")
        return
    from tiffin.wire.gotypes import from_json
    from tiffin.wire.template import Template
    from tiffin.wire.template_functions import to_json

    if format_text == "json":
        out.write(to_json(objects) + "\n")
        return
    render = Template(_unescape(format_text)).render
    for item in objects:
        try:
            text = render(from_json(item))
        except TemplateError:
            out.write("\n")
            raise
        out.write(text + "\n")
