"""Gradients of weights in a compiled backward pass: of many weights, or of many uses of one, by few large products.

Nothing in the backward pass waits for the gradient of a weight. So those of one weight that is used several times,
which are added up in the end, may be made by one product over the rows of all uses; and those of several weights of one
shape together, by one batched product. Biases likewise. Alone, each takes a GPU as long to begin as to compute.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Graph, Node

from lic_exp.private_compiler import sort_graph

aten = torch.ops.aten

VIEWS = (aten.reshape.default, aten.view.default, aten.permute.default)
LIGHT = (*VIEWS, aten.add.Tensor, torch.ops.prims.convert_element_type.default)
"""What stands between the gradients of weights and the results of a graph; nothing else waits for those."""

TOGETHER = 8
"""Most weights whose gradients wait for each other: until then, what they are made of is kept."""

LARGEST = 2**25
"""Most elements of the features of a product that is made together with others: larger ones are worth a launch, and
would be copied."""


def merge_weight_gradients(graph: Graph) -> None:
    """Make the gradients of weights in the graph of a backward pass together. In other graphs there are none."""
    if any(not _is_static(node) for node in graph.nodes):
        return
    graph.eliminate_dead_code()
    joined = _Joined(graph)
    for node in list(graph.nodes):
        if _is_sum(node) and not (len(node.users) == 1 and _is_sum(next(iter(node.users)))):
            _add_up(joined, node)
    graph.eliminate_dead_code()
    late = _late(graph)
    products = [made for node in graph.nodes if node in late and (made := _product(node))]
    _batch(joined, products, late)
    sort_graph(graph)
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if node.target is aten.convolution_backward.default:
            used = {_given(user)[1] for user in node.users}
            node.update_arg(10, [wanted and place in used for place, wanted in enumerate(_given(node)[10])])


class RowSum(NamedTuple):
    """A gradient that is a sum over rows, of one use of a weight.

    node: it. rows: what it is made of, each (R, ...) with as many rows, which are added up. key: what is alike where
    several can be made by `again` from more rows.
    """

    node: Node
    rows: tuple[Node, ...]
    key: tuple[Hashable, ...]


def _product(node: Node) -> RowSum | None:
    """P^T Q of P (R, N) and Q (R, K)."""
    if node.target is not aten.mm.default:
        return None
    turned, other = _given(node)
    if turned.target is not aten.permute.default or _given(turned)[1] != [1, 0]:
        return None
    return _of_rows(node, (_given(turned)[0], other))


def _reduction(node: Node) -> RowSum | None:
    """The sum over the rows, and maybe over more, of (R, ...)."""
    if node.target is not aten.sum.dim_IntList or node.kwargs or not _given(node)[1] or 0 not in _given(node)[1]:
        return None
    return _of_rows(node, (_given(node)[0],), *map(str, _given(node)[1:]))


def _convolved(node: Node) -> RowSum | None:
    """The gradient of the kernel of a convolution, of gradients and features (B, ...)."""
    call = _given(node)[0] if _given(node) and node.op == "call_function" else None
    if not isinstance(call, Node) or call.target is not aten.convolution_backward.default or _given(node)[1] != 1:
        return None
    return _of_rows(node, (_given(call)[0], _given(call)[1]), _given(call)[2], str(_given(call)[3:10]))


def _of_rows(node: Node, rows: tuple[Node, ...], *alike: Hashable) -> RowSum | None:
    if any(_value(one).numel() > LARGEST for one in rows):
        return None
    shapes = tuple((_value(one).shape[1:], _value(one).dtype) for one in rows)
    return RowSum(node, rows, (node.target, shapes, *alike))


def _add_up(joined: "_Joined", root: Node) -> None:
    """Replace what a sum adds by what is made of more rows at once.

    Only what nothing else is made of: then none of it is needed for the others.
    """
    terms = [_looked_through(leaf) for leaf in _leaves(root)]
    groups: dict[Hashable, list[tuple[RowSum, list[Node]]]] = {}
    others: list[Node] = []
    for leaf, views, inner in terms:
        made = next((found for kind in (_product, _reduction, _convolved) if (found := kind(inner))), None)
        if made is None or len(inner.users) > 1:
            others.append(leaf)
        else:
            shown = str([(view.target, _given(view)[1:]) for view in views])
            groups.setdefault((*made.key, shown), []).append((made, views))
    if all(len(group) < 2 for group in groups.values()):
        return
    for group in groups.values():
        several = [made for made, _ in group]
        value = joined.again(several) if len(group) > 1 else several[0].node
        for view in group[0][1]:
            value = joined.call(view.target, value, *_given(view)[1:])
        others.append(value)
    total, *rest = others
    for other in rest:
        total = joined.call(aten.add.Tensor, total, other)
    root.replace_all_uses_with(total)


def _batch(joined: "_Joined", products: Sequence[RowSum], late: set[Node]) -> None:
    """Replace products of one shape by batched ones, and the sums over the same rows by sums of the batch."""
    alike: dict[Hashable, list[RowSum]] = {}
    for made in products:
        alike.setdefault((made.key, len(_value(made.rows[0]))), []).append(made)
    for group in alike.values():
        for first in range(0, len(group), TOGETHER):
            several = group[first : first + TOGETHER]
            if len(several) > 1:
                joined.batched(several)
                _sum_batches(joined, [made.rows[0] for made in several], late)


def _sum_batches(joined: "_Joined", parts: Sequence[Node], late: set[Node]) -> None:
    sums: dict[Hashable, list[tuple[int, RowSum]]] = {}
    for place, part in enumerate(parts):
        for user in part.users:
            made = _reduction(user) if user in late else None
            if made:
                sums.setdefault(made.key, []).append((place, made))
    for group in sums.values():
        if len(group) > 1:
            joined.summed(parts, group)


class _Joined:
    """New nodes of a graph, each where the last of what it is made of is there."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        self.place = {node: max(number, len(inputs) - 1) for number, node in enumerate(graph.nodes)}
        self.newest = {len(inputs) - 1: inputs[-1]} if inputs else {}
        self.rows: dict[tuple[Node, ...], Node] = {}

    def call(self, target: Any, *arguments: Any, behind: Node | None = None) -> Node:
        made_of = [behind] if behind else []

        def value(node: Node) -> Tensor:
            made_of.append(node)
            return _value(node)

        values: Any = torch.fx.node.map_arg(arguments, value)
        last = max(made_of, key=self.place.__getitem__)
        place = self.place[last]
        with self.graph.inserting_after(self.newest.get(place, last)):
            node = self.graph.call_function(target, arguments)
        node.meta["val"] = target(*values)
        self.place[node], self.newest[place] = place, node
        return node

    def all_rows(self, several: Sequence[RowSum]) -> list[Node]:
        """(R_1, ...), (R_2, ...), ... -> (R_1 + R_2 + ..., ...), for each of what the sums are made of.

        All where the last is there, so that copies of features from the forward pass do not take up memory before.
        """
        parts = [tuple(made.rows[number] for made in several) for number in range(len(several[0].rows))]
        last = max((row for rows in parts for row in rows), key=self.place.__getitem__)
        for rows in parts:
            if rows not in self.rows:
                self.rows[rows] = self.call(aten.cat.default, list(rows), behind=last)
        return [self.rows[rows] for rows in parts]

    def again(self, several: Sequence[RowSum]) -> Node:
        """What several alike add up to, made at once."""
        one = several[0].node
        rows = self.all_rows(several)
        if one.target is aten.mm.default:
            return self.call(one.target, self.call(aten.permute.default, rows[0], [1, 0]), rows[1])
        if one.target is aten.sum.dim_IntList:
            return self.call(one.target, *rows, *_given(one)[1:])
        call = _given(one)[0]
        mask = [False, True, False]
        return self.call(one.target, self.call(call.target, *rows, *_given(call)[2:10], mask), 1)

    def batched(self, several: Sequence[RowSum]) -> None:
        """Replace products of one shape."""
        one, other = (self._stacked(rows, len(several)) for rows in self.all_rows(several))
        every = self.call(aten.bmm.default, self.call(aten.permute.default, one, [0, 2, 1]), other)
        for place, made in enumerate(several):
            made.node.replace_all_uses_with(self.call(aten.select.int, every, 0, place))

    def summed(self, parts: Sequence[Node], group: Iterable[tuple[int, RowSum]]) -> None:
        """Replace sums of some of the parts, by place, that are alike."""
        every = None
        for place, made in group:
            if every is None:
                _, dims, *keep = _given(made.node)
                inside = [1 + dim % _value(parts[0]).dim() for dim in dims]
                stacked = self._stacked(self.rows[tuple(parts)], len(parts))
                every = self.call(made.node.target, stacked, inside, *keep)
            made.node.replace_all_uses_with(self.call(aten.select.int, every, 0, place))

    def _stacked(self, rows: Node, count: int) -> Node:
        """(n R, ...) -> (n, R, ...)."""
        return self.call(aten.reshape.default, rows, [count, len(_value(rows)) // count, *_value(rows).shape[1:]])


def _late(graph: Graph) -> set[Node]:
    """What nothing but results of the graph is made of, and that by little."""
    late: set[Node] = set()
    for node in reversed(graph.nodes):
        if node.op != "output" and all(
            user.op == "output" or (user.target in LIGHT and user in late) for user in node.users
        ):
            late.add(node)
    return late


def _is_sum(node: Node) -> bool:
    """Of two of its own shape and numbers."""
    if node.target is not aten.add.Tensor or node.kwargs or not all(isinstance(one, Node) for one in _given(node)):
        return False
    own, *values = (one.meta.get("val") for one in (node, *_given(node)))
    return isinstance(own, Tensor) and all(
        isinstance(value, Tensor) and (value.shape, value.dtype) == (own.shape, own.dtype) for value in values
    )


def _leaves(node: Node) -> list[Node]:
    """What a sum adds up in the end, in order."""
    leaves: list[Node] = []
    waiting = [*reversed(_given(node))]
    while waiting:
        one = waiting.pop()
        if _is_sum(one) and len(one.users) == 1:
            waiting += reversed(_given(one))
        else:
            leaves.append(one)
    return leaves


def _looked_through(leaf: Node) -> tuple[Node, list[Node], Node]:
    """The leaf, the views of which it is the last, and what they show."""
    views: list[Node] = []
    inner = leaf
    while inner.target in VIEWS and len(inner.users) == 1:
        views.insert(0, inner)
        inner = _given(inner)[0]
    return leaf, views, inner


def _given(node: Node) -> Any:
    """Its arguments, which torch types as whatever a graph may hold."""
    return node.args


def _value(node: Node) -> Tensor:
    value: Tensor = node.meta["val"]
    return value


def _is_static(node: Node) -> bool:
    value = node.meta.get("val")
    return not isinstance(value, Tensor) or all(isinstance(size, int) for size in value.shape)
