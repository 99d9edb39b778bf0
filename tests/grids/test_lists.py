"""A list of one's own: how it is read, and each bad one in one line."""

import pytest

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.schedules import EDM, VPLinear

LIST = "2.7,1.1,0.55,0.22"
SIGMA = EDM()


def made(spec, n, ns=SIGMA, ends=(2.7, 0.22)):
    return grids.get(grids.normal(spec))(ns, *ends, n)


def test_numbers_are_sigmas_at_their_own_number_of_steps():
    assert grids.normal(LIST) == "list[sigmas=2.7 1.1 0.55 0.22]"
    assert made(LIST, 3) == pytest.approx((2.7, 1.1, 0.55, 0.22), rel=1e-14)


def test_between_its_levels_it_is_read_in_lam():
    assert made(LIST, 6)[::2] == pytest.approx((2.7, 1.1, 0.55, 0.22), rel=1e-14)
    assert made(LIST, 6)[1] == pytest.approx((2.7 * 1.1) ** 0.5, rel=1e-14)


def test_times_and_lams():
    ns = VPLinear()
    times = made("times:0.9,0.5,0.2,0.1", 3, ns, (0.9, 0.1))
    assert times == pytest.approx((0.9, 0.5, 0.2, 0.1), rel=1e-12)
    lams = ",".join(str(ns.lam(t)) for t in times)
    assert made(f"lams:{lams}", 3, ns, (0.9, 0.1)) == pytest.approx(times, rel=1e-9)


def test_ends_that_are_rounded_become_those_of_the_run():
    grid = made("2.71,1.1,0.55,0.2207", 3)
    assert (grid[0], grid[-1]) == (2.7, 0.22)


@pytest.mark.parametrize(
    "content", ["2.7\n1.1\n0.55\n0.22\n", "# sigmas\n2.7, 1.1  # a step\n0.55 0.22", "\ufeff2.7 1.1 0.55 0.22"]
)
def test_a_file(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text(content)
    assert grids.normal("mine.txt") == grids.normal(LIST)


def test_a_file_may_say_what_it_holds(tmp_path):
    (tmp_path / "mine.txt").write_text("# times\n0.9 0.5 0.1")
    assert grids.normal(str(tmp_path / "mine.txt")) == "list[times=0.9 0.5 0.1]"
    assert grids.normal(f"lams:{tmp_path / 'mine.txt'}") == "list[lams=0.9 0.5 0.1]"


@pytest.mark.parametrize("spec", ["karras[rho=7]", "uniform_lam", "my_grids:cosine[power=1.5]", "list[sigmas=1 0.5]"])
def test_other_specs_stay_as_they_are(spec):
    assert grids.normal(spec) == spec


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("2.7,1.1,1.5,0.22", "sigmas[1] = 1.1 is followed by 1.5: give levels of falling noise"),
        ("2.7,1.1,1.1,0.22", "sigmas[1] = 1.1 is followed by 1.1"),
        ("times:0.1,0.9", "times[0] = 0.1 is followed by 0.9"),
        ("lams:1,-1", "lams[0] = 1 is followed by -1"),
        ("2.7", "a list of 1 sigmas: give 2 to 10,000 numbers"),
        ("2.7,x,0.22", "'x' stands in a list of sigmas: give numbers"),
        ("2.7,nan,0.22", "'nan' stands in a list of sigmas"),
        ("2.7,1,0", "sigma/alpha = 0 stands in a list: give positive numbers"),
        ("9,1,0.22", "the list begins with 9 and the run with 2.7: give a list with the ends of the run"),
        ("2.7,1,0.5", "the list ends with 0.5 and the run with 0.22"),
        ("times:99,1", "99"),
        ("nothing.txt", "there is no file 'nothing.txt': give a file with a number a line"),
        ("list", "a list of nothing: give one of sigmas, times, lams"),
        ("list[sigmas=1 0.5,lams=1 2]", "a list of sigmas and lams: give one of"),
    ],
)
def test_a_bad_list_gets_one_line(spec, line):
    with pytest.raises(UsageError) as refused:
        made(spec, 3)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_and_a_long_file_are_refused(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "long.txt").write_text("1.0\n" * 400_000)
    for name in ("folder.txt", "long.txt"):
        with pytest.raises(UsageError):
            grids.normal(str(tmp_path / name))
