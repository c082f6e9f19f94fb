"""Templates compiled for one language: what they say the same way each time is worked out once.

A page has some sixty sentences and twenty icons that are the same for everybody. They become text
when its template is compiled: ``_('Pay')``, ``{% trans %}`` around the values that do change, and
what a macro imported from a part says of constants (it sees its arguments and nothing else).

A macro that is called with values is a function called with its arguments in order: what Jinja
does around each such call, to find out what it calls and with what, costs more than what most say.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator, Frame, find_undeclared
from jinja2.visitor import NodeTransformer

_PLACE = re.compile(r"%\((\w+)\)s")


class FoldingGenerator(CodeGenerator):
    """Jinja's compiler; its environment's ``gettext_of`` says a sentence in its language."""

    _put_out: nodes.Node | None = None  # the call of a macro that stands in the text as it is

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:
        self._arguments = dict(_arguments(self.environment, node))
        super().visit_Template(_Folding(self.environment, node).visit(node), frame)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        """Call a macro as the function it is; all else as Jinja does."""
        given = None if forward_caller else self._in_order(node)
        if given is None:
            super().visit_Call(node, frame, forward_caller=forward_caller)
            return
        self.write("(" if node is self._put_out else "Markup(")
        self.visit(node.node, frame)
        self.write("._func(")
        for one in given:
            if one is None:
                self.write("missing")
            else:
                self.visit(one, frame)
            self.write(", ")
        self.write("))")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if self._is_markup(node):
            self._put_out = node
        else:
            super()._output_child_pre(node, frame, finalize)

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if not self._is_markup(node):
            super()._output_child_post(node, frame, finalize)

    def _is_markup(self, node: nodes.Expr) -> bool:
        """Tell whether this is the call of a macro, which has escaped what it was given."""
        return isinstance(node, nodes.Call) and self._in_order(node) is not None

    def _in_order(self, node: nodes.Call) -> list[nodes.Expr | None] | None:
        """Return what a macro is given in the order of its arguments; of another call None."""
        if not isinstance(node.node, nodes.Name) or node.dyn_args or node.dyn_kwargs:
            return None
        names = self._arguments.get(node.node.name)
        if names is None or len(node.args) > len(names):
            return None
        named = {one.key: one.value for one in node.kwargs}
        rest = names[len(node.args) :]
        if not named.keys() <= set(rest):
            return None
        return [*node.args, *(named.get(name) for name in rest)]


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


def _arguments(
    environment: Environment, template: nodes.Template
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each name that is one macro wherever the template says it, with its arguments.

    Macros that get more than their arguments are left out.
    """
    own = {
        one.name: [arg.name for arg in one.args]
        for one in template.find_all(nodes.Macro)
        if not find_undeclared(one.body, ("caller", "kwargs", "varargs"))
    }
    taken = {one.name for one in template.find_all(nodes.Name) if one.ctx != "load"}
    for alias, (part, name) in _imported(template):
        macro = getattr(environment.get_template(part).module, name)
        if alias not in taken and not (macro.caller or macro.catch_kwargs or macro.catch_varargs):
            yield alias, macro.arguments
    yield from ((name, arguments) for name, arguments in own.items() if name not in taken)
