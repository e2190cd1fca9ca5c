"""Attaching to compiled models takes effect, wherever the compiler was put."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny import make_adapter, tiny_base, tiny_model, tiny_pixels

from lvtune.patcher import routing
from lvtune.patcher.attaching import attach, use_adapter

PIXELS = tiny_pixels(2)


@pytest.fixture(autouse=True)
def _quiet_compiler():
    """Its trace log, which pytest would format in full, is what takes the time."""
    torch.compiler.reset()
    logger = logging.getLogger("torch.__trace")
    logger.disabled = True
    yield
    logger.disabled = False
    torch.compiler.reset()


def heatmaps(target):
    with torch.no_grad():
        out = target(PIXELS)
    return out.heatmaps if hasattr(out, "heatmaps") else out


def compiled_in_place(model):
    model.compile(backend="eager")
    return model


def compiled_part(model):
    model.model.backbone.compile(backend="eager")
    return model


def wrapped_part(model):
    model.model.backbone = torch.compile(model.model.backbone, backend="eager")
    return model


def wrapped(model):
    return torch.compile(model, backend="eager")


CASES = {
    "torch.compile(base)": (tiny_base, wrapped),
    "model.compile()": (tiny_model, compiled_in_place),
    "backbone.compile()": (tiny_base, compiled_part),
    "backbone = torch.compile(backbone)": (tiny_base, wrapped_part),
}


@pytest.mark.parametrize("on", ["what was compiled", "what is inside"])
@pytest.mark.parametrize("case", CASES)
def test_attaching_to_a_compiled_model_takes_effect(case, on):
    make, compile_it = CASES[case]
    plain, inner = make(layers=1), make(layers=1)
    target = compile_it(inner)
    adapter = make_adapter("norm", plain, stirred=0.1)
    bare = heatmaps(plain)
    with attach(plain, adapter):
        adapted = heatmaps(plain)
    assert not torch.equal(adapted, bare)
    torch.testing.assert_close(heatmaps(target), bare)  # compiled before anything is attached
    attachment = attach(target if on == "what was compiled" else inner, adapter)
    torch.testing.assert_close(heatmaps(target), adapted)
    attachment.detach()
    torch.testing.assert_close(heatmaps(target), bare)


@pytest.fixture
def counting():
    """A compiler that changes nothing, and the graphs it was given."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    backend.graphs = graphs
    return backend


def test_kinds_of_adapters_are_swapped_without_compiling_again(counting):
    base = tiny_base(layers=1)
    adapters = {name: make_adapter(name, base, stirred=0.1) for name in ("lora", "norm")}
    expected = {None: heatmaps(base)}
    for name, adapter in adapters.items():
        with attach(base, adapter):
            expected[name] = heatmaps(base)
    compiled = torch.compile(base, backend=counting)
    for name, adapter in adapters.items():
        attach(compiled, adapter, name)
    for turn in range(3):
        for name in ("lora", None, "norm"):
            with use_adapter(compiled, name):
                torch.testing.assert_close(heatmaps(compiled), expected[name])
        if turn == 0:
            compiled_so_far = len(counting.graphs)
    assert len(counting.graphs) == compiled_so_far > 0


@pytest.mark.parametrize("method", ["lora", "vlpose", "vlpose-light", "dora"])
def test_adapters_of_one_shape_share_the_compiled_code(method, counting):
    """Also those that are attached after it was compiled."""
    base = tiny_base(layers=1)
    adapters = {f"a{i}": make_adapter(method, base, stirred=0.1, seed=i) for i in range(12)}
    compiled = torch.compile(base, backend=counting)
    first, *others = adapters
    attach(compiled, adapters[first], first)
    answers = [heatmaps(compiled)]
    compiled_so_far = len(counting.graphs)
    for name in others:  # more than the compiler keeps versions of one function
        attach(compiled, adapters[name], name)
        with use_adapter(compiled, name):
            answers.append(heatmaps(compiled))
    for name in adapters:
        with use_adapter(compiled, name):
            answers.append(heatmaps(compiled))
    assert len(counting.graphs) == compiled_so_far > 0
    for i, name in enumerate(adapters):
        assert torch.equal(answers[i], answers[12 + i])
        with use_adapter(base, name):
            torch.testing.assert_close(answers[i], heatmaps(base))
    assert len({answer.sum().item() for answer in answers}) == 12


class Unread:
    """A context variable that compiled code cannot read: it would find nothing."""

    def __init__(self, variable):
        self.variable, self.set, self.reset = variable, variable.set, variable.reset

    def get(self):
        return {} if torch.compiler.is_dynamo_compiling() else self.variable.get()


@pytest.fixture
def _no_context_in_graphs(monkeypatch):
    """As with a version of torch whose compiler does not take context variables into a graph."""
    monkeypatch.setattr(routing, "compiler_reads_context", lambda: False)
    for name in ("running", "chosen"):
        monkeypatch.setattr(routing, name, Unread(getattr(routing, name)))


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.usefixtures("_no_context_in_graphs")
@pytest.mark.parametrize("mode", ["a call", "a step"])
def test_an_older_compiler_makes_one_graph_of_the_model(mode, counting):
    base = tiny_base()
    # without the draw of sentences, which is another one in compiled code
    adapter = make_adapter("vlpose-light", base, stirred=0.1, sentence_dropout=0.0)
    compiled = torch.compile(base, backend=counting)
    found = []
    with attach(compiled, adapter), use_adapter(compiled, category="mural"):
        base.train(mode == "a step")
        for model in (base, compiled):
            torch.manual_seed(0)
            found.append(model(PIXELS) if mode == "a step" else heatmaps(model))
        assert len(counting.graphs) == 2
    torch.testing.assert_close(*found)


@pytest.mark.usefixtures("_no_context_in_graphs")
def test_with_an_older_compiler_threads_see_their_own_adapters(counting):
    base = tiny_base(layers=1)
    compiled, expected = torch.compile(base, backend=counting), {}
    for i in range(2):
        attach(compiled, make_adapter("vlpose-light", base, stirred=0.1, seed=i), f"a{i}")
        with use_adapter(base, f"a{i}"):
            expected[f"a{i}"] = heatmaps(base)
            torch.testing.assert_close(heatmaps(compiled), expected[f"a{i}"])

    def answers(name):
        found = []
        for _ in range(20):
            with use_adapter(compiled, name):
                found.append(heatmaps(compiled))
        return found

    with ThreadPoolExecutor(4) as threads:
        names = ["a0", "a1"] * 2
        for name, found in zip(names, threads.map(answers, names), strict=True):
            for one in found:
                torch.testing.assert_close(one, expected[name])


def test_a_mixed_batch_of_a_compiled_model_equals_singles(counting):
    base = tiny_base(layers=1)
    for i, method in enumerate(("lora", "norm")):
        attach(base, make_adapter(method, base, stirred=0.1, seed=i), method)
    singles = {}
    for name in ("lora", None, "norm"):
        with use_adapter(base, name):
            singles[name] = heatmaps(base)
    compiled = torch.compile(base, backend=counting)
    for names in (["lora", "norm"], [None, "lora"], ["norm", None]):
        with use_adapter(compiled, names):
            expected = torch.stack([singles[name][i] for i, name in enumerate(names)])
            torch.testing.assert_close(heatmaps(compiled), expected, atol=1e-5, rtol=0)
    assert counting.graphs


# the compiler itself looks at .grad of what it is given
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_a_compiled_model_tunes():
    gradients = []
    for compile_it in (lambda base: base, wrapped):
        base = compile_it(tiny_base(layers=1))
        adapter = make_adapter("lora", base, stirred=0.1)
        with attach(base, adapter):
            base.train()
            base(PIXELS).square().mean().backward()
        gradients.append([p.grad for p in adapter.parameters()])
    for plain, compiled in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, compiled, atol=1e-6, rtol=1e-4)


def test_a_forward_set_on_a_part_of_a_compiled_model_acts_behind_the_adapter():
    """One that was set while an adapter replaces the part's forward, after the model was compiled with it."""
    base = tiny_base(layers=1)
    adapter = make_adapter("vlpose-light", base, stirred=0.1)
    part = base.blocks[0].fc1
    with attach(base, adapter):
        adapted = heatmaps(base)
        compiled = wrapped(base)
        torch.testing.assert_close(heatmaps(compiled), adapted)
        own = type(part).forward
        part.forward = lambda x: 2 * own(part, x)
        expected = heatmaps(base)
        assert not torch.equal(expected, adapted)
        torch.testing.assert_close(heatmaps(compiled), expected)
        with use_adapter(compiled, None):
            bare = heatmaps(compiled)
    torch.testing.assert_close(heatmaps(base), bare)
    assert not torch.equal(bare, expected)
