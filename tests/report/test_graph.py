"""Graphs of networks, and their pictures."""

import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from ogive.report import draw, network_graph


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.skip = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + self.skip(x))


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        Residual(),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


@pytest.fixture(scope="module")
def graph():
    return network_graph(network(), torch.zeros(2, 1, 8, 8))


def test_layers_their_shapes_and_parameters(graph):
    nodes = {node["name"] or node["type"]: node for node in graph["nodes"]}
    assert nodes["input"]["shape"] == [1, 8, 8]
    assert nodes["0"]["detail"] == "3×3, 1 → 4, stride 2"
    assert nodes["0"]["shape"] == [4, 4, 4]
    assert nodes["6"]["params"] == 15
    assert graph["params"] == sum(node["params"] for node in graph["nodes"])
    assert "3" not in nodes  # the dropout


def test_a_recurrent_layer_is_one_without_a_warning():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = nn.GRU(4, 3, batch_first=True)

        def forward(self, x):
            return self.recurrent(x)[0][:, -1]

    nodes = network_graph(Last(), torch.zeros(2, 5, 4))["nodes"]
    assert [n["params"] for n in nodes if n["type"] == "GRU"] == [81]


def test_shortcuts_are_edges(graph):
    into = {}
    for source, target in graph["edges"]:
        into.setdefault(target, []).append(source)
    (add,) = (node["id"] for node in graph["nodes"] if node["type"] == "add")
    assert len(into[add]) == 2


def test_every_node_but_the_ends_lies_on_a_way_through(graph):
    sources = {source for source, _ in graph["edges"]}
    targets = {target for _, target in graph["edges"]}
    for node in graph["nodes"]:
        assert node["type"] == "output" or node["id"] in sources
        assert node["type"] == "input" or node["id"] in targets


def test_the_mode_of_each_layer_is_put_back():
    module = network().train()
    module[2].norm.eval()
    network_graph(module, torch.zeros(2, 1, 8, 8))
    assert module.training
    assert not module[2].norm.training


def test_the_picture_is_one_element_with_all_its_boxes_inside(graph):
    picture = ET.fromstring(draw(graph))
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    boxes = [element.attrib for element in picture.iter() if element.tag.endswith("rect")]
    assert boxes
    for box in boxes:
        x, y, w, h = (float(box[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_boxes_do_not_overlap(graph):
    boxes = [
        [float(e.attrib[name]) for name in ("x", "y", "width", "height")]
        for e in ET.fromstring(draw(graph)).iter()
        if e.tag.endswith("rect")
    ]
    for i, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_a_graph_without_nodes_has_an_empty_picture():
    assert ET.fromstring(draw({"nodes": [], "edges": []})).attrib["width"] == "0"
