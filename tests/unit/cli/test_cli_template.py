import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.wire.gotypes import GoMap
from tiffin.wire.template import Template
from tiffin.wire.template_error import TemplateError

DATA = {
    "Id": "abc",
    "Names": ["a", "b"],
    "State": {"Status": "running", "Pid": 7, "OK": True},
    "Labels": GoMap({"x.y": "1"}),
    "None": None,
    "Empty": [],
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.Id}}", "abc"),
        ("{{.State.Status}}:{{.State.Pid}}", "running:7"),
        ("{{json .Names}}", '["a","b"]'),
        ("{{.Names}}", "[a b]"),
        ("{{.Labels}}", "map[x.y:1]"),
        ("{{.None}}", "<no value>"),
        ("{{.State.OK}}", "true"),
        ('{{index .Labels "x.y"}}', "1"),
        ('{{index .Labels "gone"}}', ""),
        ("{{index .Names 1}}", "b"),
        ("{{range .Names}}<{{.}}>{{end}}", "<a><b>"),
        ("{{range $i, $n := .Names}}{{$i}}={{$n}};{{end}}", "0=a;1=b;"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}}{{end}}", "x.y=1"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ('{{if eq .State.Status "running" "paused"}}up{{else}}down{{end}}', "up"),
        ("{{if .Empty}}a{{else if .Id}}b{{else}}c{{end}}", "b"),
        ("{{with .State}}{{.Pid}}{{end}}", "7"),
        ('{{.Id | upper | printf "%q"}}', '"ABC"'),
        ('{{join .Names ","}}', "a,b"),
        ('{{range split "a:b" ":"}}{{.}} {{end}}', "a b "),
        ('{{printf "%-5s|%3d" .Id .State.Pid}}', "abc  |  7"),
        ("{{len .Names}}", "2"),
        ("a {{- .Id -}} b", "aabcb"),
        ("{{/* nothing */}}x", "x"),
        ("{{(index .Names 0)}}", "a"),
        ("{{$x := .Id}}{{$x}}", "abc"),
        ("{{and .Id .Empty | len}}", "0"),
        ("{{println .Id}}", "abc\n"),
    ],
)
def test_rendering(source: str, text: str) -> None:
    assert Template(source).render(DATA) == text


@pytest.mark.parametrize(
    "source", ["{{", "{{.Id", "{{if .Id}}", "{{end}}", "{{nope .Id}}", "{{.Id | }}"]
)
def test_malformed_templates(source: str) -> None:
    with pytest.raises(TemplateError):
        Template(source).render(DATA)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(TemplateError, match="Nope"):
        Template("{{.State.Nope}}").render(DATA)


@given(st.text(alphabet='{}.$| "abIdrange:=(),`-', max_size=30))
def test_any_text_renders_or_is_refused(source: str) -> None:
    try:
        Template(source).render(DATA)
    except TemplateError:
        pass
