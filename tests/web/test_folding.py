"""Templates are compiled with what never changes already worked out, and say what they said."""

import pytest
from jinja2 import DictLoader, Environment, StrictUndefined, UndefinedError
from jinja2.compiler import CodeGenerator

from web.folding import FoldingGenerator

WORDS = {
    "Pay": "支付",
    "Pay %(sum)s now": "现在支付 %(sum)s",
    "100 %% sure": "100 %% 确定",
    "%(count)s of %(all)s": "共 %(all)s 条，第 %(count)s 条",
}
PART = """
{% macro icon(name) %}<svg>{{ name }}</svg>{% endmacro %}
{% macro row(title, size=2, note='') %}<li>{{ icon(title) }}{{ size }}{{ note }}</li>{% endmacro %}
{% macro rest(title) %}{{ title }}{{ varargs|length }}{{ kwargs|length }}{% endmacro %}
{% macro box() %}<p>{{ caller() }}</p>{% endmacro %}
"""


def environment(generator):
    env = Environment(
        loader=DictLoader({"part.html": PART}), autoescape=True, undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )  # fmt: skip
    env.code_generator_class = generator
    env.install_gettext_callables(
        lambda text: WORDS.get(text, text), lambda one, many, n: one if n == 1 else many, True
    )
    env.extend(gettext_of=lambda text: WORDS.get(text, text))
    return env


def said(source, generator=FoldingGenerator, **values):
    return environment(generator).from_string(source).render(**values)


@pytest.mark.parametrize(
    "source",
    [
        "{{ _('Pay') }}",
        "{{ _('Not translated') }}",
        "{{ _('100 %% sure') }}",
        "{% trans %}Pay{% endtrans %}",
        "{% trans sum=sum %}Pay {{ sum }} now{% endtrans %}",
        "{% trans count=1, all=sum %}{{ count }} of {{ all }}{% endtrans %}",
        "{% trans count=n %}{{ count }} bill{% pluralize %}{{ count }} bills{% endtrans %}",
        "{{ _('Pay %(sum)s now', sum=sum) }}",
        "{{ (_('Pay %(sum)s now', sum=sum) if n else _('Pay'))|upper }}",
        "{% from 'part.html' import icon %}{{ icon('<a>') }}{{ icon(sum) }}{{ icon(name='b') }}",
        "{% from 'part.html' import icon as drawn %}{{ drawn(_('Pay')) }}",
        "{% from 'part.html' import box %}{% call box() %}{{ _('Pay') }}{{ sum }}{% endcall %}",
        "{% from 'part.html' import icon %}{% set drawn = icon(sum) %}{{ drawn }}{{ drawn|upper }}",
        "{% from 'part.html' import icon %}{{ icon(sum) ~ sum }}{{ [icon(sum)]|join(sum) }}",
        "{% from 'part.html' import row %}{{ row(sum) }}{{ row(sum, note='<i>') }}",
        "{% from 'part.html' import row %}{{ row(sum, n, sum) }}",
        "{% from 'part.html' import row %}{% for one in [sum, n] %}{{ row(one) }}{% endfor %}",
        "{% from 'part.html' import row %}{{ row(n if n > 2 else sum, note=row(sum)) }}",
        "{% from 'part.html' import row %}{% macro own(f) %}{{ f(1) }}{% endmacro %}{{ own(row) }}",
        "{% from 'part.html' import icon %}{% macro own(icon) %}{{ icon }}{% endmacro %}"
        "{{ own(n) }}",
        "{% from 'part.html' import icon %}{% set icon = icon %}{{ icon(sum) }}",
        "{% from 'part.html' import rest %}{{ rest(sum, n, one=sum) }}",
        "{% macro own(x) %}{{ x }}{{ sum }}{% endmacro %}{{ own('a') }}",
        "{% for one in [1, 2] %}{{ _('Pay %(sum)s now', sum=one) }}{% endfor %}",
    ],
)
def test_a_folded_template_says_what_it_said(source):
    values = {"sum": "<b>¥5</b>", "n": 3}

    assert said(source, **values) == said(source, CodeGenerator, **values)


def test_what_is_put_into_a_sentence_is_escaped():
    source = "{% trans sum=sum %}Pay {{ sum }} now{% endtrans %}"

    assert said(source, sum="<b>") == "现在支付 &lt;b&gt;"


def test_a_sentence_and_an_icon_are_text_once_compiled():
    source = "{% from 'part.html' import icon %}<a>{{ icon('x') }}{{ _('Pay') }}</a>"
    compiled = environment(FoldingGenerator).compile(source, raw=True)

    assert "'<a><svg>x</svg>支付</a>'" in compiled


def test_a_macro_is_called_as_the_function_it_is_and_what_it_lacks_is_said():
    source = "{% from 'part.html' import row %}{{ row(note=n) }}"
    compiled = environment(FoldingGenerator).compile(source, raw=True)

    assert "._func(missing, missing, " in compiled
    with pytest.raises(UndefinedError, match="parameter 'title' was not provided"):
        said(source, n=3)


def test_too_much_for_a_macro_is_refused():
    with pytest.raises(TypeError, match="not more than 1 argument"):
        said("{% from 'part.html' import icon %}{{ icon(sum, sum) }}", sum=1)


def test_a_translation_that_names_no_value_of_the_template_is_found_when_it_is_read(monkeypatch):
    monkeypatch.setitem(WORDS, "Pay %(sum)s now", "%(summe)s")

    with pytest.raises(KeyError, match="summe"):
        environment(FoldingGenerator).from_string(
            "{% trans sum=1 %}Pay {{ sum }} now{% endtrans %}"
        )
