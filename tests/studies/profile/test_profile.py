"""The profile study: where its clock puts the time, what it counts, and which cases it makes.  No test looks at a real time."""

import contextlib
import json
import sys
from dataclasses import dataclass, replace
from math import prod
from statistics import median
from types import SimpleNamespace

import pytest
import torch

from sdebench._support import clock
from sdebench._support.clock import threads
from sdebench._support.errors import UsageError
from sdebench.catalogue import get_problem, get_solver, list_solvers
from sdebench.engine.suite import Task, expand, measured_alone
from sdebench.grids import uniform_lam
from sdebench.integration.executors import compiled, plan
from sdebench.integration.solver import Node, Solver, Step, StochasticSolver
from sdebench.noise import DATA, WhiteNoise
from sdebench.schedules import VPLinear
from sdebench.studies.profile import ProfileCase, energy
from sdebench.studies.profile import counts as profile_counts
from sdebench.studies.profile import measure as profile
from sdebench.studies.profile import run as profile_run
from sdebench.studies.profile.run import PARTS, Bench
from sdebench.studies.profile.subject import Subject, subject

VP, SPAN, STEPS = VPLinear(), (0.95, 0.02), 5
NETWORK, NOISE, PYTHON, NUMBER, CLOCK = 3.0, 1.0, 0.5, 0.25, 0.01  # seconds of a clock that only moves when it is told to


class Hand:
    """A clock set by hand; reading it takes CLOCK."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += CLOCK
        return self.now

    def passes(self, seconds):
        self.now += seconds


@pytest.fixture
def hand(monkeypatch):
    made = Hand()
    monkeypatch.setattr(profile_run, "perf_counter", made)
    monkeypatch.setattr(clock, "perf_counter", made)
    return made


@dataclass(frozen=True)
class Worker(StochasticSolver):
    """One network call and two draws a step, and an update: PYTHON, and NUMBER for each number but the first."""

    weak_order, nfe_per_step = 1, 1
    hand: object = None

    def step(self, model, x, s, t, past=(), noise=None):
        eps = model(x, t).eps
        noise.normal(s, t, DATA), noise.fresh(t)
        self.hand.passes(PYTHON + NUMBER * (x.numel() - 1))
        return Step(x + eps)


def bench(solver, batch=2, shape=(3,), fn=None, executor="eager", dtype=torch.float32, steps=STEPS):
    at = Subject(fn, VP, "eps", SPAN, shape, dtype, torch.device("cpu"), gamma=lambda t: 0.5)
    return Bench(solver, at, executor, uniform_lam(VP, *SPAN, steps), batch, 0)


@pytest.fixture
def working(hand, monkeypatch):
    """A bench of Worker whose network and noise take their time."""

    def slow(x, t):
        hand.passes(NETWORK)
        return x

    draw = WhiteNoise._draw

    def drawn(self, *parts):
        hand.passes(NOISE)
        return draw(self, *parts)

    monkeypatch.setattr(WhiteNoise, "_draw", drawn)
    return bench(Worker(hand), fn=slow)


def test_the_time_of_a_step_is_put_where_it_was_spent(working):
    parts, copies = profile_run.rounds(working, most=0.0)
    assert set(parts) == set(PARTS)
    assert {len(samples) for samples in parts.values()} == {len(copies)} == {profile_run.LEAST}
    expected = {"network": NETWORK, "noise": 2 * NOISE, "update": NUMBER * 5, "rest": PYTHON}
    for name, seconds in (expected | {"total": sum(expected.values())}).items():  # without what the clock itself costs
        assert parts[name] == pytest.approx([seconds] * len(copies), abs=CLOCK / 2), name
    for total, *rest in zip(*(parts[name] for name in PARTS)):
        assert total == pytest.approx(sum(rest), abs=1e-12)


def test_python_that_a_network_made_cold_is_no_update(hand):
    """COLD seconds more for a step after the network went through the cache, and no vectors to combine: one number."""
    cold, cache = 4.0, []

    def swept(x, t):
        hand.passes(NETWORK)
        cache.clear()
        return x

    @dataclass(frozen=True)
    class Python(Solver):
        order, nfe_per_step = 1, 1

        def step(self, model, x, s, t, past=(), noise=None):
            eps = model(x, t).eps
            hand.passes(PYTHON if cache else PYTHON + cold)
            cache.append("warm")
            return Step(x + eps)

    parts, _ = profile_run.rounds(bench(Python(), batch=1, shape=(1,), fn=swept), most=0.0)
    for name, expected in {"network": NETWORK, "update": 0.0, "rest": PYTHON + cold}.items():
        assert parts[name] == pytest.approx([expected] * profile_run.LEAST, abs=CLOCK / 2), name


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["eager", "fused"])
def test_the_update_of_one_number_is_nothing_beside_a_real_network(executor):
    """Real time: a network that sweeps 8 MB.  Cold Python is in the rest, which the hot loop would put at a third."""
    weights = torch.randn(1400, 1400)

    def swept(x, t):
        weights.sum(), (weights + 1.0).sum()
        return x.clone()

    with threads(1), torch.inference_mode():
        parts, _ = profile_run.rounds(bench(get_solver("ddim"), 1, (1,), swept, executor, steps=20), most=2.0)
    update, rest = (median(parts[name]) for name in ("update", "rest"))
    assert abs(update) < rest / 3


def test_short_runs_are_repeated_until_a_sample_can_be_told(hand, monkeypatch):
    monkeypatch.setattr(profile_run, "_SAMPLE", 0.9)
    assert profile_run.repeated(lambda: hand.passes(0.1 - CLOCK), torch.device("cpu")) == 9
    assert profile_run.repeated(lambda: hand.passes(1.0), torch.device("cpu")) == 1


class Stream:
    """A device beside a host: a launch takes the host LAUNCH seconds and is done once all before it is.  No more than `depth`
    are queued: the host waits for the oldest."""

    def __init__(self, host, launch, depth=1000):
        self.host, self.cost, self.depth, self.done, self.held, self.queue = host, launch, depth, 0.0, [], []

    def launch(self, seconds):
        if len(self.queue) >= self.depth:
            self.host.now = max(self.host.now, self.queue[-self.depth])
        self.host.passes(self.cost)
        self.done = max(self.done, self.host.now) + seconds
        self.queue.append(self.done)

    def wait(self):
        self.host.now = max(self.host.now, self.done)

    def sleep(self, cycles):
        self.held.append(cycles)
        self.done = max(self.done, self.host.now) + cycles / profile_run._CLOCK
        self.queue.append(self.done)

    def event(stream, enable_timing):
        assert enable_timing

        class Event:
            def record(self):
                self.at = max(stream.host.now, stream.done)

            def query(self):
                return stream.host.now >= self.at

            def elapsed_time(self, end):
                return 1e3 * (end.at - self.at)

            def synchronize(self):
                stream.wait()

        return Event()


@dataclass(frozen=True)
class Queued(StochasticSolver):
    """A network call, a draw if it is noisy, and an update."""

    weak_order, nfe_per_step = 1, 1
    stream: object = None
    noisy: bool = True

    def step(self, model, x, s, t, past=(), noise=None):
        eps = model(x, t).eps
        if self.noisy:
            noise.normal(s, t, DATA)
        self.stream.launch(0.5)
        return Step(x + eps)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("depth", [1000, STEPS + 1])
@pytest.mark.parametrize(("launch", "bound"), [(0.25, "the device"), (10.0, "the host")])
def test_on_a_gpu_the_device_has_its_own_clock(launch, bound, depth, noisy, hand, monkeypatch):
    """Noise is drawn on the host and its copy waits for the device; so all is drawn first, or it would seem to take the
    network's time.  And a queue that is too short for a run is long enough for its updates, and for a call."""
    stream, draw = Stream(hand, launch, depth), WhiteNoise._draw

    def drawn(self, *parts):
        hand.passes(NOISE)
        stream.wait()
        return draw(self, *parts)

    def net(x, t):
        stream.launch(5.0)
        return x

    def now(device):
        stream.wait()
        return hand()

    monkeypatch.setattr(WhiteNoise, "_draw", drawn)
    monkeypatch.setattr(profile_run, "now", now)
    monkeypatch.setattr(torch.cuda, "Event", stream.event)
    monkeypatch.setattr(torch.cuda, "_sleep", stream.sleep)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    total, network, noise, update, rest = profile_run.OnCuda(bench(Queued(stream, noisy), fn=net)).round()
    assert (network, update) == pytest.approx((5.0 * STEPS, 0.5 * STEPS))
    assert noise == pytest.approx(NOISE * STEPS if noisy else 0.0, abs=2 * CLOCK)
    waits = launch if bound == "the device" else 2 * launch * STEPS + 0.5 - 5.5 * STEPS  # for the first launch, or for each
    assert rest == pytest.approx(waits, abs=2 * CLOCK)
    assert total == pytest.approx(network + noise + update + rest, abs=1e-9)
    assert min(stream.held[:2]) > (total - noise) * 1e9, "the device must be kept busy while the host queues"
    assert len(stream.held) == (2 if depth > 2 * STEPS else 3)


@dataclass(frozen=True)
class Arithmetic(Solver):
    """Of known work: two operations of 2 + 1 and 2 + 1 vectors, one that only writes, one that reads and writes, a view."""

    order, nfe_per_step = 1, 1
    reads: int = 0

    def step(self, model, x, s, t, past=(), noise=None):
        eps = model(x, t).eps
        y = torch.add(x, eps)  # 3
        y.add_(eps)  # 3
        z = torch.empty_like(y).copy_(y)  # 2
        z.zero_()  # 1
        y[:1].mul_(1.0)  # of one sample: 2/B
        for _ in range(self.reads):
            bool(z.view(-1)[0] > 0)  # an operation on one number, and a number sent to the host
        return Step(y)


@pytest.mark.parametrize("reads", [0, 2])
def test_operations_bytes_and_synchronisations_are_counted(reads):
    made = bench(Arithmetic(reads), batch=4, shape=(5, 2))
    done, vector = profile_counts.work(made), made.x.nbytes
    assert done.kernels == STEPS * (5 + reads)
    assert done.syncs == STEPS * reads
    extra = reads * (4 + 1)  # one float32, compared with a number, gives one boolean
    assert done.moved == STEPS * ((3 + 3 + 2 + 1) * vector + 2 * vector // 4 + extra)


def test_what_the_network_and_the_noise_do_does_not_count():
    def busy(x, t):
        return (x * 2 + 1).exp()

    quiet, loud = (profile_counts.work(bench(get_solver("ddpm"), fn=fn)) for fn in (None, busy))
    assert quiet == loud
    assert quiet.kernels < 6 * STEPS, "the lines of ddpm, and no drawing of normals"


@pytest.mark.parametrize(("name", "vectors"), [("ddim", 3), ("heun-edm", 7), ("ddpm", 4)])
def test_the_fewest_bytes_are_those_of_the_formula(name, vectors):
    made = bench(get_solver(name))
    assert profile_counts.fewest(made) == STEPS * vectors * made.x.nbytes
    fused = profile_counts.work(bench(get_solver(name), executor="fused"))
    assert fused.moved == profile_counts.fewest(made)
    assert fused.kernels == STEPS * get_solver(name).nfe_per_step


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_run_without_the_kernel_is_counted_as_it_runs(dtype, monkeypatch):
    monkeypatch.setattr(profile_counts.native, "library", lambda: None)
    made = bench(get_solver("dpm-solver++-2m"), shape=(64,), executor="fused", dtype=dtype)
    assert profile_counts.work(made).moved > profile_counts.fewest(made)


def test_no_method_moves_fewer_bytes_than_its_formula_needs():
    seen = 0
    for name in list_solvers():
        solver = get_solver(name)
        if solver.adaptive:
            continue
        made = bench(solver, steps=4)
        least = profile_counts.fewest(made)
        if least is not None:
            seen += 1
            assert profile_counts.work(made).moved >= least, name
    assert seen > 100


@pytest.mark.parametrize(
    ("name", "eager", "fused"),
    [
        ("ddim", 0, 0),
        ("heun-edm", 0, 0),
        ("dpm-solver++-2m", 3, 1),  # a node keeps the state, the answer and the x0 that was formed of them
        ("ipndm-4", 6, 3),
        ("unipc-3", 9, 4),  # of three nodes; the plan keeps the state before the corrector, and an x0 of each
    ],
)
def test_history_is_told_apart(name, eager, fused):
    made = [bench(get_solver(name), executor=executor, steps=8) for executor in ("eager", "fused")]
    assert [profile_counts.history(b) // b.x.nbytes for b in made] == [eager, fused]


@dataclass(frozen=True)
class FirstSameAsLast(Solver):
    """Evaluates at the end of a step, for the next one: the state that its node keeps is the state itself."""

    order, nfe_per_step, memory = 1, 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        y = x + (past[0].prediction if past else model(x, s)).eps
        return Step(y, (Node(t, model(y, t)),))


def test_the_state_is_no_history():
    made = bench(FirstSameAsLast())
    assert profile_counts.history(made) == made.x.nbytes


def test_a_method_without_steps_has_no_history_to_look_at():
    assert profile_counts.history(bench(get_solver("dpm-solver-fast"), steps=8)) is None


def test_peak_memory_is_what_was_alive_at_once():
    def run():
        a = torch.empty(1000)
        b = a + 1
        del a
        c = b + 1
        return c + b  # three vectors

    assert 3 * 4000 <= profile_counts.peak(run, torch.device("cpu")) < 3.1 * 4000


def test_peak_memory_has_what_an_operation_takes_and_gives_back():
    """A convolution in float64 lays its input out as columns, 9 numbers of each channel for each place of the result."""
    x, w = (torch.ones(shape, dtype=torch.float64) for shape in ((2, 3, 16, 16), (4, 3, 3, 3)))
    columns, result = 8 * 2 * 3 * 9 * 14 * 14, 8 * 2 * 4 * 14 * 14
    found = profile_counts.peak(lambda: torch.nn.functional.conv2d(x, w), torch.device("cpu"))
    assert columns + result <= found < 1.1 * (columns + result)


@pytest.mark.parametrize("executor", ["eager", "fused"])
@pytest.mark.parametrize("name", ["ddim", "dpm-solver++-2m", "deis-tab-3", "lms-4", "unipc-3", "sde-dpm-solver++-2m"])
def test_the_memory_of_the_update_has_the_history_in_it(name, executor):
    """Also where the history is the network's answers, which a null model would have before the run."""
    made = bench(get_solver(name), shape=(64,), executor=executor, steps=8)
    memory, vector = profile._memory(made), made.x.nbytes
    assert memory["update"] >= memory["history"] + vector, "the history, and the state"
    assert memory["run"] >= memory["history"]


@pytest.mark.parametrize("made", [torch.zeros_like, torch.ones_like, lambda x: x.new_zeros(x.shape)])
def test_a_vector_that_is_made_like_another_does_not_read_it(made):
    @dataclass(frozen=True)
    class Like(Solver):
        order, nfe_per_step = 1, 1

        def step(self, model, x, s, t, past=(), noise=None):
            made(x)
            return Step(x)

    one = bench(Like())
    assert profile_counts.work(one) == (STEPS, 0, STEPS * one.x.nbytes)


@pytest.mark.parametrize("own", [1, 2])
def test_on_a_gpu_operations_are_what_the_device_did(own, monkeypatch):
    """Ranges of the host, which the profiler draws again on the device's line, are none; nor is what a first run does, nor the
    synchronisations that end the profile."""
    kinds = [("add", "kernel"), ("Memcpy DtoD", "gpu_memcpy"), ("Memset", "gpu_memset"), ("network", "gpu_user_annotation")]
    cuda, cpu = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU
    seen = [SimpleNamespace(name=name, device_type=cuda, activity_type=kind) for name, kind in kinds]
    seen += [
        SimpleNamespace(name=n, device_type=cpu, activity_type="cuda_runtime")
        for n in ["cudaDeviceSynchronize", "cudaStreamSynchronize", *["cudaDeviceSynchronize"] * own]
    ]
    made, warm = bench(get_solver("ddim")), []
    monkeypatch.setattr(made, "on_nulls", lambda x: lambda: warm.append(1))
    monkeypatch.setattr(profile_counts, "_profiled", lambda run, device: (warm and SimpleNamespace(events=lambda: seen), None))
    assert profile_counts._work_on_cuda(made) == (3, 2, None)


def counter(folder, name, joules, most=1000):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{joules * 10**6}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{most * 10**6}\n")


def test_energy_is_read_of_all_packages_and_of_nothing_else(tmp_path):
    for name, joules in (("intel-rapl:0", 3), ("intel-rapl:1", 4), ("intel-rapl:0:0", 100)):
        counter(tmp_path, name, joules)
    read = energy.meter(torch.device("cpu"), tmp_path)
    before = read()
    for name, joules in (("intel-rapl:0", 5), ("intel-rapl:1", 9), ("intel-rapl:0:0", 900)):
        counter(tmp_path, name, joules)
    assert read() - before == pytest.approx(7.0)
    assert energy.meter(torch.device("cpu"), tmp_path / "none") is None
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("")  # as one that may not be read
    assert energy.meter(torch.device("cpu"), tmp_path) is None


@pytest.mark.parametrize(("joules", "most"), [(0, 1000), (3, 0)])
def test_a_counter_that_does_not_count_is_none(joules, most, tmp_path):
    """As virtual machines have them."""
    counter(tmp_path, "intel-rapl:0", joules, most)
    assert energy.meter(torch.device("cpu"), tmp_path) is None


def test_energy_goes_on_where_a_counter_starts_again(tmp_path):
    """From 990 of 1000 J to 5 J: 15 J; and the other package, whose counter has gone on, 1 J."""
    counter(tmp_path, "intel-rapl:0", 990), counter(tmp_path, "intel-rapl:1", 7, most=500)
    read = energy.meter(torch.device("cpu"), tmp_path)
    before = read()
    counter(tmp_path, "intel-rapl:0", 5), counter(tmp_path, "intel-rapl:1", 8, most=500)
    assert read() - before == pytest.approx(16.0)
    counter(tmp_path, "intel-rapl:0", 6)
    assert read() - before == pytest.approx(17.0)


def test_a_gpu_that_tells_is_asked_by_its_name_and_one_that_does_not_is_let_be(monkeypatch):
    """torch's second device may be NVML's first: CUDA_VISIBLE_DEVICES, or an order by speed."""
    found = {"GPU-aa": 1, "GPU-bb": 0}
    told = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=found.__getitem__,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: 1000 * handle + 5000,
    )
    names = {"cuda:0": "aa", "cuda:1": "bb"}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=names[str(device)]))
    monkeypatch.setitem(sys.modules, "pynvml", told)
    assert energy.meter(torch.device("cuda:1"))() == pytest.approx(5.0)
    assert energy.meter(torch.device("cuda:0"))() == pytest.approx(6.0)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.meter(torch.device("cuda:1")) is None


@pytest.mark.parametrize(("device", "least"), [("cpu", 0.5), ("cuda", 2.0)])
def test_joules_of_a_run_are_differences_over_runs(device, least, hand, monkeypatch):
    monkeypatch.setattr(profile, "meter", lambda device: lambda: 2.0 * hand.now)  # two watts
    made = bench(get_solver("ddim"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(made, "x", SimpleNamespace(device=torch.device(device)))
    monkeypatch.setattr(made, "plain", lambda: lambda: hand.passes(0.1 - CLOCK))
    assert profile._joules(made) == pytest.approx(2.0 * 0.1, rel=0.12)
    assert hand.now > 0.9 * least, "shorter than the counter's own pace"


def test_a_trace_opens_and_names_the_parts(tmp_path):
    for executor, combined in (("eager", 0), ("fused", STEPS)):
        made, path = bench(get_solver("ddpm"), executor=executor), tmp_path / f"{executor}.json"
        profile_counts.traced(made, path)
        events = json.loads(path.read_text())["traceEvents"]
        names = [event.get("name") for event in events if event.get("ph") == "X"]
        assert ("aten::add" in names) == (executor == "eager")
        assert [names.count(name) for name in ("network", "noise", "combine")] == [STEPS, STEPS, combined]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["eager.json", "fused.json"]


def test_subjects_answer_as_the_models_that_they_are_made_of():
    at = subject("mixture-2d", "float32", "cpu")
    x = at.initial(4, 0)
    assert (x.dtype, x.shape) == (torch.float32, (4, 2))
    assert torch.equal(at.answers(x)(x, 0.5), get_problem("mixture-2d").model(x, 0.5).eps)
    net = subject("digits", "bfloat16", "cpu")
    assert (net.dtype, net.shape) == (torch.float32, (1, 8, 8))
    assert net.weights == 2 * net.parameters > 100_000
    x = net.initial(2, 0)
    assert net.answers(x)(x, 0.5).shape == x.shape
    null = subject("null[shape=2x5,kind=x0]", "float64", "cpu")
    x = null.initial(3, 0)
    fn = null.answers(x)
    assert (x.dtype, x.shape, null.kind) == (torch.float64, (3, 2, 5), "x0")
    assert len({fn(x, 0.5).data_ptr() for _ in range(8)}) == 4


@pytest.mark.slow
def test_a_compiled_network_answers_the_same_and_its_compilation_is_told_apart():
    (case,) = cases(models=["digits"], batches=[2], executors=["eager"], compiled=[True], seconds=0.01, steps=2)
    plain, made = (subject("digits", "float32", "cpu", compiled) for compiled in (False, True))
    x = plain.initial(2, 0)
    with torch.inference_mode():
        assert torch.allclose(plain.fn(x, 0.5), made.fn(x, 0.5), atol=1e-4)
    data = profile.measure(case).data
    assert data["compile"] > 5 * data["first"] > 0


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nul", "did you mean 'null'"),
        ("null[shape=3x]", "give that of one sample"),
        ("null[shpae=3]", "did you mean 'shape'"),
        ("null[kind=x1]", "give one of x0, eps"),
        ("no/such", "no/such"),
    ],
)
def test_a_model_that_is_none_is_refused(spec, said):
    with pytest.raises(UsageError, match=r"give|there are|it has") as error:
        subject(spec, "float32", "cpu")
    assert said in str(error.value)


def tasks(**settings) -> list[Task]:
    return expand({"study": "profile", "solvers": ["ddim"], "batches": [1], **settings})


def cases(**settings) -> list[ProfileCase]:
    return [task.case for task in tasks(**settings)]


def test_a_case_is_one_of_everything_and_names_its_machine():
    made = tasks(
        solvers=["ddim", "heun-edm"],
        batches=[1, 8],
        executors=["eager", "fused"],
        dtypes=["float32", "float64"],
        repeats=2,
        seconds=2,
    )
    assert len(made) == prod((2, 2, 2, 2, 2))
    assert [task.case.executor for task in made[:4]] == ["eager", "fused"] * 2, "what is compared is measured side by side"
    assert [task.case.repeat for task in made] == [0] * 16 + [1] * 16, "and repeats are far apart"
    assert {task.case.machine for task in made} == {profile.machine("cpu")}
    assert {task.case.seconds for task in made} == {2.0}
    assert measured_alone(made) == "profile"
    assert measured_alone(expand({"study": "floor", "solvers": ["ddim"]})) == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"solvers": ["scipy-rk45"]}, "chooses its own steps"),
        ({"executors": ["graph"]}, "needs a CUDA device"),
        ({"executors": ["fusde"]}, "did you mean 'fused'"),
        ({"devices": ["cuda:7"]}, "no device 'cuda:7' here"),
        ({"dtypes": ["float8"]}, "unknown dtype"),
        ({"compiled": [True]}, "no network to compile"),
        ({"compiled": "yes"}, "give true, false"),
        ({"seconds": 0}, "more than 0"),
        ({"batches": [0]}, "1 or more"),
        ({"solvers": ["analytic-dpm"], "models": ["digits"]}, "gamma"),
        ({"grid": "unform_lam"}, "did you mean"),
    ],
)
def test_a_case_that_cannot_be_run_is_refused(settings, said):
    with pytest.raises(UsageError) as error:
        cases(**settings)
    assert said in str(error.value)


def test_a_graph_of_what_the_host_computes_is_left_out():
    """A capture that fails is no case, and may harm the process."""
    case = replace(cases(models=["mixture-1d"])[0], executor="graph", device="cuda:0")
    assert "is computed on the host, which no CUDA graph records: give executor 'fused'" in profile.why_not(case)


def test_what_cannot_be_run_is_left_out_and_said():
    with pytest.warns(UserWarning, match="left out: solver 'scipy-rk45' chooses its own steps"):
        assert {case.solver for case in cases(solvers=["ddim", "scipy-rk45"])} == {"ddim"}


@pytest.mark.parametrize("executor", ["eager", "fused"])
def test_a_record_holds_all_that_was_measured(executor):
    (case,) = cases(solvers=["dpm-solver++-2m"], batches=[3], executors=[executor], seconds=0.01, steps=6)
    threads = torch.get_num_threads()
    made = profile.measure(case)
    arithmetic = made.context.pop("arithmetic")
    assert arithmetic in ([""] if executor == "eager" else ["the kernel in C", "torch's operations"])
    data, vector = made.data, 3 * 3 * 32 * 32 * 4
    assert torch.get_num_threads() == threads
    assert made.context == {"schedule": str(VP), "shape": [3, 32, 32], "kind": "eps", "parameters": 0}
    assert data["nfe"] == 6
    assert all(len(samples) >= profile_run.LEAST for samples in data["seconds"].values())
    assert data["bytes"]["vector"] == vector
    assert data["bytes"]["moved"] >= data["bytes"]["fewest"] > 4 * vector
    assert data["memory"]["update"] >= data["memory"]["history"] >= vector
    assert data["memory"]["run"] > 0 == data["memory"]["weights"] == data["compile"] == data["syncs"]
    assert data["bandwidth"] > 1e8


def test_a_record_says_who_formed_the_combinations(monkeypatch):
    monkeypatch.setattr(profile_counts.native, "library", lambda: None)
    (case,) = cases(executors=["fused"], seconds=0.01, steps=2)
    assert profile.measure(case).context["arithmetic"] == "torch's operations"


def test_the_first_run_makes_its_plan_and_its_kernels():
    made, shape = bench(get_solver("dpm-solver++-2m"), executor="fused"), ((0, (0, 1)),)
    made.plain()()
    kernel = compiled._kernel(shape, made.x.shape, made.x.dtype)
    profile_run.first(made)
    assert plan._remembered.cache_info()[:2] == (0, 1), "(found, made)"
    assert compiled._kernel(shape, made.x.shape, made.x.dtype) is not kernel


def test_the_bandwidth_is_measured_in_each_case(monkeypatch):
    monkeypatch.setattr(profile_run, "_LARGE", {"cpu": 1 << 16})
    found = {profile_run.bandwidth("cpu") for _ in range(20)}
    assert len(found) > 1
    assert min(found) > 1e6


def test_the_clock_waits_for_the_device_that_it_is_asked_of(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: waited.append(device))
    clock.now("cuda:1"), clock.now("cpu")
    assert waited == ["cuda:1"]
