"""Tables with Docker's layout, and `--format` in all its forms.

A listing is rows of `Row`: a mapping from Go-template field names to texts, with a header for each.
`table` prints aligned columns three spaces apart, `json` one object a line, anything else is a
template that is rendered once per row.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from tiffin.cli.template import Template, TemplateError, to_json

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
                f'template: :1:2: executing "" at <.{name}>: can\'t evaluate field {name} in type Row'
            )
        value = self._fields[name]
        return value() if callable(value) else value

    def template_json(self) -> dict[str, Any]:
        """Return all fields, sorted as Docker prints them."""
        return {name: self.template_field(name) for name in sorted(self._fields)}


class _Headers(Row):
    """The row of headers: a field without one shows its own name in capitals."""

    def template_field(self, name: str) -> Any:  # noqa: ANN401
        return self._fields.get(name, name.upper())


def print_rows(
    rows: Iterable[Row],
    *,
    format_text: str,
    default: str,
    headers: Mapping[str, str],
    out: TextIO | None = None,
) -> None:
    """Print `rows` in the format that the user asked for, `default` being a `table …` template."""
    out = out or sys.stdout
    chosen = format_text or default
    if chosen == "table":
        chosen = default
    if chosen == "json":
        for row in rows:
            out.write(to_json(row) + "\n")
        return
    is_table = chosen.startswith("table")
    source = _unescape(chosen.removeprefix("table").strip() if is_table else chosen)
    template = Template(source)
    if not is_table:
        for row in rows:
            out.write(template.render(row) + "\n")
        return
    lines = [template.render(_Headers(headers))]
    lines.extend(template.render(row) for row in rows)
    for line in align([line.split("\t") for line in lines]):
        out.write(line + "\n")


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
    render: Callable[[Any], str] = (
        to_json if format_text == "json" else Template(_unescape(format_text)).render
    )
    for item in objects:
        out.write(render(item) + "\n")
