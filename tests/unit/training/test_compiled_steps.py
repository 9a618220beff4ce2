"""What is compiled of a training step, by compilers that count or hand back what they are given."""

import pytest
import torch
from training_parts import CPU, Noisy, balanced, everything, loader, objective, stage, trainer, unequal, variable_rate

import lic_exp
from lic_exp.training import compiling
from lic_exp.training.compiling import compile_objective, outermost
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.validation import Validation

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's


class Compiler:
    """graphs: compiled so far. calls: how often one of them ran."""

    def __init__(self):
        self.graphs = self.calls = 0

    def __call__(self, graph, inputs):
        self.graphs += 1

        def run(*values):
            self.calls += 1
            return graph.forward(*values)

        return run


@pytest.fixture(autouse=True)
def _forgotten():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module", params=["dhic_tiny", "hpcm_tiny"])
def of(request):
    codec = lic_exp.create_model(request.param)
    return Objective(codec, variable_rate() if codec.facts.variable_rate else MSE(lmbda=0.01), {})


def test_repeated_blocks_are_compiled_once_for_all_of_a_size(of):
    """And neither validation nor the names of weights see anything of it."""
    keys, x = list(of.state_dict()), torch.rand(1, 3, 128, 128)
    compiler = Compiler()
    blocks = outermost(of.codec, of.codec.repeated)
    compile_objective(of, "blocks", backend=compiler)
    of.train()
    of(x)["loss"].backward()
    graphs, calls = compiler.graphs, compiler.calls
    assert 0 < graphs < len(blocks) <= calls
    of(x)
    assert (compiler.graphs, compiler.calls) == (graphs, 2 * calls)
    assert Validation(of.criterion, [("odd", torch.rand(1, 3, 70, 33))], CPU)(of.codec)["val/rd_loss"] > 0
    assert compiler.calls == 2 * calls
    assert list(of.state_dict()) == keys


def compiled(folder, compiler, steps=6, **changes):
    of = objective()
    of.codec = Noisy()
    compile_objective(of, True, backend=compiler)
    return trainer(folder, of, [stage(of, steps, batches=loader(4))], **changes)


def test_codec_and_criterion_are_one_graph_from_the_first_step_to_the_last(tmp_path):
    compiler = Compiler()
    run = compiled(tmp_path, compiler)
    run.rehearse()
    run.fit()
    assert (compiler.graphs, compiler.calls) == (1, 7)
    eager = objective()
    eager.codec = Noisy()
    plain = trainer(tmp_path / "plain", eager, [stage(eager, 6, batches=loader(4))])
    plain.fit()
    for one, other in zip(run.objective.codec.parameters(), plain.objective.codec.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_second_look_is_compiled_as_the_first_is(tmp_path):
    runs, compiler = [], Compiler()
    for number, backend in enumerate((None, compiler)):
        of = objective()
        of.codec, of.criterion = Noisy(), balanced()
        if backend:
            compile_objective(of, True, backend=backend)
        runs.append(trainer(tmp_path / str(number), of, [stage(of, 6, batches=loader(4))]))
        runs[-1].fit()
    assert (compiler.graphs, compiler.calls) == (2, 12)
    eager, compiled_run = (run.state_dict()["criterion"] for run in runs)
    for name, value in eager.items():
        torch.testing.assert_close(compiled_run[name], value)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_run_that_is_interrupted_within_a_stage_goes_on_bit_by_bit(tmp_path, backend):
    whole = compiled(tmp_path / "whole", backend)
    whole.fit()
    reasons = iter([None, None, None, None, "enough"])
    stopped = compiled(tmp_path / "part", backend)
    stopped.should_stop = lambda: next(reasons)
    with pytest.raises(Exception, match="enough"):
        stopped.fit()
    torch._dynamo.reset()
    again = compiled(tmp_path / "part", backend)
    assert again.resume()
    again.reporter.entries[:] = stopped.reporter.entries
    again.fit()
    assert unequal(whole.state_dict()["codec"], again.state_dict()["codec"]) == []
    assert unequal(whole.state_dict()["optimizers"], again.state_dict()["optimizers"]) == []
    assert everything(again)["step"] == 6


@pytest.mark.parametrize("name", ["combo_kernels", "a_setting_of_another_version", "max_autotune"])
def test_a_setting_that_this_torch_does_not_know_is_left_out(monkeypatch, name):
    """And what it knows reaches the compiler, which refuses anything else."""
    monkeypatch.setattr(compiling, "ON_GPU", {name: True})
    found = compiling.settings("cuda")
    found.pop(compiling.BEFORE_FUSION)
    assert found == ({name: True} if name in torch._inductor.list_options() else {})
    assert compiling.settings("cpu") is None
    torch.compile(lambda x: x + 1, options=found)


@pytest.mark.parametrize("how", [True, "graphs", "blocks"])
def test_settings_are_for_torchs_own_compiler_on_a_gpu(monkeypatch, how):
    """Another's is given none, and a CPU's graphs stay as they are."""
    given = []
    monkeypatch.setattr(torch, "compile", lambda what, **options: given.append(options))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: given.append(options))
    monkeypatch.setattr(compiling, "settings", lambda device: {"asked for": device})
    codec = lic_exp.create_model("dhic_tiny")
    for backend in ("inductor", Compiler()):
        given.clear()
        compile_objective(Objective(codec, variable_rate(), {}), how, backend=backend)
        assert given
        assert {str(one["options"]) for one in given} == {"{'asked for': 'cpu'}" if backend == "inductor" else "None"}
