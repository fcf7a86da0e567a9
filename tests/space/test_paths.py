"""The paths of graphs, against counting by hand and against walking every way."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ogive.space import Architecture, Graph, PathEncoder
from ogive.spaces import nasbench201_space


@st.composite
def graphs(draw):
    inner = draw(st.lists(st.sampled_from("abc"), max_size=6))
    nodes = len(inner) + 2
    every = [(start, end) for end in range(nodes) for start in range(end)]
    return Graph.of(["input", *inner, "output"], draw(st.lists(st.sampled_from(every))))


def ways(graph, node=0):
    """Every way from a node to the output, by the nodes."""
    if node == len(graph.operations) - 1:
        return [(node,)]
    return [(node, *w) for start, end in graph.edges if start == node for w in ways(graph, end)]


def test_the_paths_of_a_cell_of_nas_bench_201_by_hand():
    space = nasbench201_space()
    cell = Architecture(
        {
            "0-1": "nor_conv_3x3",
            "0-2": "skip_connect",
            "1-2": "nor_conv_1x1",
            "0-3": "none",
            "1-3": "avg_pool_3x3",
            "2-3": "nor_conv_3x3",
        }
    )
    # 0-1-3, 0-2-3 and 0-1-2-3; nothing comes over 0-3.
    paths = {
        ("nor_conv_3x3", "avg_pool_3x3"),
        ("skip_connect", "nor_conv_3x3"),
        ("nor_conv_3x3", "nor_conv_1x1", "nor_conv_3x3"),
    }
    assert space.graph(cell).paths() == paths
    encoder = PathEncoder(space.graph(a) for a in space.enumerate())
    assert len(encoder.paths) == 4 + 4**2 + 4**3  # of each length, with four operations
    (row,) = encoder([space.graph(cell)])
    assert {encoder.paths[place] for place in np.flatnonzero(row)} == paths
    nothing = Architecture(dict.fromkeys(cell, "none"))
    assert not encoder([space.graph(nothing)]).any()


@given(graphs(), st.integers(0, 12))
def test_all_paths_up_to_some_length_are_found_and_none_that_is_longer(graph, most):
    inner = {tuple(graph.operations[node] for node in way[1:-1]) for way in ways(graph)}
    assert graph.paths() == inner
    found = graph.paths(most)
    assert len(found) <= most
    longest = max(map(len, found), default=-1)
    assert found == {path for path in inner if len(path) <= longest}


def test_a_graph_with_more_ways_than_can_be_counted_gives_the_short_ones():
    """Two layers side by side, sixty times over: 2 ** 60 ways of one length, and a short cut."""
    nodes = [f"{layer}{side}" for layer in range(60) for side in "ab"]
    edges = [(0, 1), (0, 2), (0, 121), (119, 121), (120, 121)]
    edges += [
        (2 * a + 1 + i, 2 * b + 1 + j)
        for a, b in pairwise(range(60))
        for i in (0, 1)
        for j in (0, 1)
    ]
    assert Graph.of(["input", *nodes, "output"], edges).paths() == {()}


def test_the_most_frequent_paths_are_kept():
    one = Graph.of(["input", "a", "output"], [(0, 1), (1, 2)])
    both = Graph.of(["input", "a", "b", "output"], [(0, 1), (1, 3), (0, 2), (2, 3)])
    encoder = PathEncoder([one, both, one], most=1)
    assert encoder.paths == (("a",),)
    assert encoder([both, Graph.of(["input", "b", "output"], [(0, 1), (1, 2)])]).tolist() == [
        [1.0],
        [0.0],
    ]
    assert PathEncoder([both]).paths == (("a",), ("b",))


def test_no_graphs_have_no_rows():
    encoder = PathEncoder([Graph.of(["input", "output"], [(0, 1)])])
    assert encoder([]).shape == (0, 1)
    assert encoder.paths == ((),)
