"""Reading an author's tests before they run: what names they bind, and whether they ask for more than a function."""

from __future__ import annotations

import ast

ONE_FUNCTION = "tests can call one function"


def bound_names(tree: ast.Module) -> frozenset[str]:
    """Names that some statement of the tests binds, in whatever scope; not those that are only read."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.update([node.id] if not isinstance(node.ctx, ast.Load) else [])
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            found.update(node.names)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        else:
            found.update(filter(None, (getattr(node, field, None) for field in ("name", "rest"))))
    return frozenset(found)


def use_as_class(tree: ast.Module, function: str) -> str:
    """How the tests use the function as a class, or "": its answers are plain data, without a class's methods."""
    nodes = list(ast.walk(tree))
    if any(isinstance(node, ast.Name) and node.id in ("hasattr", "getattr") for node in nodes):
        return ""  # they ask first
    made = [node for node in nodes if isinstance(node, ast.Assign) and _calls(node.value, function)]
    holding = {target.id: target for node in made for target in node.targets if isinstance(target, ast.Name)}
    targets = {id(target) for node in made for target in node.targets}
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and id(node) not in targets:
            holding.pop(node.id, None)  # it is something else as well
        elif isinstance(node, ast.arg):
            holding.pop(node.arg, None)
    for node in nodes:
        if isinstance(node, ast.ClassDef) and any(_is(base, function) for base in node.bases):
            return f"{ONE_FUNCTION}, and {function} is used as a class"
        if isinstance(node, ast.Attribute) and node.attr not in PLAIN_NAMES:
            held = isinstance(node.value, ast.Name) and node.value.id in holding
            if held or _calls(node.value, function):
                return f"{ONE_FUNCTION}, and what {function} returns is plain data, without .{node.attr}"
    return ""


def _calls(node: ast.expr, function: str) -> bool:
    return isinstance(node, ast.Call) and _is(node.func, function)


def _is(node: ast.expr, function: str) -> bool:
    return isinstance(node, ast.Name) and node.id in (function, "candidate")


PLAIN_NAMES = frozenset(
    name
    for kind in (str, bytes, int, float, complex, bool, list, tuple, dict, set, frozenset, type(None))
    for name in dir(kind)
)
