"""Templates of Ollama's /api/generate: what they make of a prompt, and what is refused by its name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.errors import InvalidRequestError
from shimmy.server.prompt_template import MAX_CHARACTERS, MAX_DEPTH, PromptTemplate

LLAMA3 = (
    "{{ if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}"
    "{{ if .Prompt }}<|start_header_id|>user<|end_header_id|>\n\n{{ .Prompt }}<|eot_id|>{{ end }}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{{ .Response }}<|eot_id|>"
)


def test_a_real_one() -> None:
    template = PromptTemplate(LLAMA3)
    head, tail = "<|start_header_id|>", "<|end_header_id|>\n\n"
    assert template.opening("", "hi") == f"{head}user{tail}hi<|eot_id|>{head}assistant{tail}"
    assert template.turn("s", "hi", "ho") == (
        f"{head}system{tail}s<|eot_id|>{head}user{tail}hi<|eot_id|>{head}assistant{tail}ho<|eot_id|>"
    )


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("a {{- .Prompt -}} b", "aPb"),
        ("a {{ .Prompt }} b", "a P b"),
        ("a\n{{- /* a note: }} */ -}}\n b", "ab"),
        ("{{ if and .System .Prompt }}both{{ else if .Prompt }}prompt{{ else }}none{{ end }}", "prompt"),
        ("{{ if or .System .Prompt }}one{{ end }}", "one"),
        ("{{ if not .System }}none{{ end }}", "none"),
        ("{{ if not (or .System (not .Prompt)) }}deep{{ end }}", "deep"),
        ('{{ if eq .Prompt "P" "Q" }}p{{ end }}{{ if ne .Prompt `P` }}q{{ end }}', "p"),
        ('{{ "a}}b\\n\\u00e4\\"" }}{{ `raw\\n` }}', 'a}}b\nä"raw\\n'),
        ("{{ if .System }}{{ if .Prompt }}x{{ end }}{{ else }}{{ if .Prompt }}y{{ end }}{{ end }}", "y"),
        ("{{.Prompt}}{{ .Response }} gone", "P"),
        ("{{ if .Prompt }}a{{ .Response }}b{{ else }}c{{ end }}d", "a"),
        ("{{ if .Response }}never{{ end }}{{ .Prompt }}", "P"),
        ("} {", "} {"),
    ],
)
def test_what_is_made(source: str, made: str) -> None:
    assert PromptTemplate(source).opening("", "P") == made


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("{{ range .Messages }}{{ end }}", "range"),
        ("{{ .Messages }}", "/api/chat"),
        ("{{ .First }}", ".First"),
        ("{{ .System.Name }}", ".System.Name"),
        ("{{ . }}", "'.'"),
        ("{{ $x := .Prompt }}", "$x"),
        ("{{ .Prompt | upper }}", "'|'"),
        ("{{ printf .Prompt }}", "printf"),
        ("{{ define `x` }}", "define"),
        ("{{ with .Prompt }}", "with"),
        ("{{ if len .Prompt }}x{{ end }}", "'len'"),
        ("{{ if .Prompt }}x", "{{ end }}"),
        ("{{ end }}", "{{ end }}"),
        ("{{ else }}", "{{ else }}"),
        ("{{ if .Prompt }}{{ else }}{{ else }}{{ end }}", "else"),
        ("{{ if .Prompt }}{{ else while }}{{ end }}", "'while'"),
        ("{{ if }}x{{ end }}", "condition"),
        ("{{ if and }}x{{ end }}", "and has 0 values"),
        ("{{ if not .Prompt .System }}x{{ end }}", "not has 2 values"),
        ("{{ if (.Prompt }}x{{ end }}", "a ) is missing"),
        ("{{ if .Prompt) }}x{{ end }}", "')'"),
        ("{{ if .Prompt .System }}x{{ end }}", "'.System'"),
        ("{{ .Prompt", "}}"),
        ("{{}}", "says nothing"),
        ("{{ .Prompt-}}", "space"),
        ('{{ "open }}', "not supported"),
        ('{{ "\\q" }}', "escape"),
        ("{{ 7 }}", "'7'"),
        ("{{ if .Prompt }}" * (MAX_DEPTH + 1), "deep"),
        ("{{ if " + "(" * 5000 + ".Prompt" + ")" * 5000 + " }}x{{ end }}", "deep"),
        ("x" * (MAX_CHARACTERS + 1), "characters"),
    ],
)
def test_what_is_refused_is_named(source: str, named: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        PromptTemplate(source)
    assert refused.value.param == "template"
    assert named in refused.value.message


def test_a_prompt_is_not_multiplied_without_bound() -> None:
    template = PromptTemplate("{{ .Prompt }}" * 4000)
    assert template.opening("", "x") == "x" * 4000
    with pytest.raises(InvalidRequestError, match="too long"):
        template.opening("", "x" * 1_000_000)


WORDS = st.text("ab{ }-\n", max_size=6).filter(lambda text: "{{" not in text and not text.endswith("{"))
FIELDS = st.sampled_from(("System", "Prompt"))
CONDITIONS = st.recursive(
    FIELDS.map(lambda name: (f".{name}", lambda values: bool(values[name]))),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"(not {one[0]})", lambda values: not one[1](values))),
        st.tuples(inner, inner).map(
            lambda two: (f"(and {two[0][0]} {two[1][0]})", lambda values: two[0][1](values) and two[1][1](values))
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"(or {two[0][0]} {two[1][0]})", lambda values: two[0][1](values) or two[1][1](values))
        ),
    ),
    max_leaves=6,
)
TEMPLATES = st.recursive(
    st.one_of(
        WORDS.map(lambda text: (text, lambda values: text)),
        WORDS.map(lambda text: (f"{{{{ {json.dumps(text)} }}}}", lambda values: text)),
        FIELDS.map(lambda name: (f"{{{{ .{name} }}}}", lambda values: values[name])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(
            lambda all_: ("".join(one[0] for one in all_), lambda values: "".join(one[1](values) for one in all_))
        ),
        st.tuples(CONDITIONS, inner, inner).map(
            lambda three: (
                f"{{{{ if {three[0][0]} }}}}{three[1][0]}{{{{else}}}}{three[2][0]}{{{{end}}}}",
                lambda values: (three[1] if three[0][1](values) else three[2])[1](values),
            )
        ),
    ),
    max_leaves=12,
)


@given(TEMPLATES, st.text(max_size=3), st.text(max_size=3))
def test_templates_say_what_they_mean(template: tuple, system: str, prompt: str) -> None:  # type: ignore[type-arg]
    source, meaning = template
    expected = meaning({"System": system, "Prompt": prompt})
    assert PromptTemplate(source).opening(system, prompt) == expected
    assert PromptTemplate(source + "{{ .Response }}rest").opening(system, prompt) == expected
    assert PromptTemplate(source).turn(system, prompt, "R") == expected + "R"


PIECES = st.sampled_from(
    ("{{", "}}", "{{-", "-}}", " ", "if", "else", "end", "and", "not", ".Prompt", ".System", "(", ")", '"', "`", "/*")
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_anything_is_made_or_refused(source: str) -> None:
    try:
        assert isinstance(PromptTemplate(source).opening("s", "p"), str)
    except InvalidRequestError as refused:
        assert refused.param == "template"
