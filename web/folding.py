"""Templates compiled for one language: what they say the same way each time is worked out once.

A page has some sixty sentences and twenty icons that are the same for everybody. They become text
when its template is compiled: ``_('Pay')``, ``{% trans %}`` around the values that do change, and
what a macro imported from a part says of constants (it sees its arguments and nothing else).
"""

import re
from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator
from jinja2.visitor import NodeTransformer

_PLACE = re.compile(r"%\((\w+)\)s")


class FoldingGenerator(CodeGenerator):
    """Jinja's compiler; its environment's ``gettext_of`` says a sentence in its language."""

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:
        super().visit_Template(_Folding(self.environment, node).visit(node), frame)


class _Folding(NodeTransformer):
    def __init__(self, environment: Environment, template: nodes.Template) -> None:
        self._environment: Any = environment
        self._context = nodes.EvalContext(environment)
        self._imported = dict(_imported(template))

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        """Put a sentence out as what stands before, between and after its values."""
        put_out: list[nodes.Node] = []
        for one in node.nodes:
            put_out += self._sentence(one) or [self.visit(one)]
        node.nodes = put_out  # type: ignore[assignment]
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        """Leave the call of ``{% call %}``, which gets more than its arguments."""
        self.generic_visit(node.call)
        node.body = [self.visit(one) for one in node.body]
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        try:
            return self._constant(node)
        except nodes.Impossible:
            return node

    def _constant(self, node: nodes.Call) -> nodes.Node:
        if not isinstance(node.node, nodes.Name) or node.dyn_args or node.dyn_kwargs:
            return node
        given = [one.as_const(self._context) for one in node.args]
        named = dict(one.as_const(self._context) for one in node.kwargs)
        name = node.node.name
        if name in {"_", "gettext"} and not named:
            return self._text(self._environment.gettext_of(given[0]).replace("%%", "%"))
        if name in self._imported:
            part, macro = self._imported[name]
            return self._text(
                getattr(self._environment.get_template(part).module, macro)(*given, **named)
            )
        return node

    def _sentence(self, node: nodes.Node) -> list[nodes.Node]:
        """Return the parts of a sentence with values; of anything else none."""
        match node:
            case nodes.Call(
                node=nodes.Name(name="_" | "gettext"), args=[nodes.Const(value=words)],
                kwargs=[_, *_] as named,
            ):  # fmt: skip
                values = {one.key: self.visit(one.value) for one in named}
            case _:
                return []
        parts: list[nodes.Node] = []
        for at, part in enumerate(_PLACE.split(self._environment.gettext_of(words))):
            parts.append(values[part] if at % 2 else self._text(part.replace("%%", "%")))
        return parts

    def _text(self, text: str) -> nodes.Node:
        return nodes.TemplateData(str(text), environment=self._environment)


def _imported(template: nodes.Template) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each name a template has imported, with the part and the macro it is."""
    for one in template.find_all(nodes.FromImport):
        if isinstance(one.template, nodes.Const) and not one.with_context:
            for name in one.names:
                macro, alias = name if isinstance(name, tuple) else (name, name)
                yield alias, (one.template.value, macro)
