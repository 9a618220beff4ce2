"""The names that a piece of syntax uses, and those that it binds, by Python's rules of scope."""

import ast
from collections.abc import Iterator

SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def names_used(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """The dotted names that stand in a statement, the longest of each, without what is bound in a function there."""
    if isinstance(node, ast.Name | ast.Attribute) and (chain := _chain(node)):
        yield chain
        return
    bound = _bound_within(node) if isinstance(node, SCOPES) else frozenset[str]()
    for name in node._fields:
        if name in ("annotation", "returns", "ctx"):
            continue
        outside = name == "decorator_list"  # evaluated where the function stands
        value = getattr(node, name, None)
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, ast.arguments):
                for default in (*part.defaults, *part.kw_defaults):
                    yield from names_used(default) if default is not None else ()
            elif isinstance(part, ast.AST):
                yield from (found for found in names_used(part) if outside or found[0] not in bound)
                if isinstance(part, ast.comprehension) and isinstance(value, list) and part is value[0]:
                    yield from names_used(part.iter)  # evaluated outside: [x for x in x]


def _chain(node: ast.AST) -> tuple[str, ...]:
    """The names of `a.b.c`; () of any other node."""
    if isinstance(node, ast.Name):
        return (node.id,)
    above = _chain(node.value) if isinstance(node, ast.Attribute) else ()
    return (*above, node.attr) if above and isinstance(node, ast.Attribute) else ()


def _bound_within(scope: ast.AST) -> set[str]:
    """The names of a function or comprehension that mean nothing of its module."""
    found: set[str] = set()
    arguments = getattr(scope, "args", None)
    if isinstance(arguments, ast.arguments):
        several = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        found |= {part.arg for part in several if part is not None}
    bodies = [getattr(scope, "body", []), [part.target for part in getattr(scope, "generators", [])]]
    left = [part for body in bodies if isinstance(body, list) for part in body]
    free: set[str] = set()
    for part in left:
        found |= names_bound(part)
        free |= {name for node in statements(part) if isinstance(node, ast.Global) for name in node.names}
    return found - free


def names_bound(node: ast.AST) -> set[str]:
    """The names that a node binds where it stands."""
    found: set[str] = set()
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, DEFINED):
            found.add(part.name)
        elif isinstance(part, ast.Name):
            if isinstance(part.ctx, ast.Store):
                found.add(part.id)
        elif not isinstance(part, SCOPES):
            if isinstance(part, ast.ExceptHandler) and part.name:
                found.add(part.name)
            left += children(part)
    return found


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one, as `ast.iter_child_nodes`, which takes three times as long."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            found.append(value)
        elif isinstance(value, list):
            found += [part for part in value if isinstance(part, ast.AST)]
    return found


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all within it but expressions, which hold no statement."""
    left = [node]
    while left:
        part = left.pop()
        yield part
        left += [child for child in children(part) if not isinstance(child, ast.expr)]
