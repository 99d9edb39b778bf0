"""Every broken loss is rejected by the check named beside it, which its original passes."""

import pytest
from contract import checks_matching as check
from mutants import matching as broken

# mutant, the original's name, the check that must fail for the one and pass for the other
REJECTED = [
    (broken.trace_without_its_factor, "implicit", check.exact_minimiser),
    (broken.trace_without_its_factor, "implicit", check.teaches),
    (broken.square_halved, "implicit", check.exact_minimiser),
    (broken.square_halved, "implicit", check.fisher_plus_a_constant),
    (broken.wrong_sign_of_the_trace, "implicit", check.exact_minimiser),
    (broken.wrong_sign_of_the_trace, "implicit", check.teaches),
    (broken.all_entries_of_the_jacobian, "implicit", check.minimiser_in_the_plane),
    (broken.probe_of_unit_length, "sliced-vr", check.minimiser_in_the_plane),
    (broken.sliced_without_its_factor, "sliced", check.exact_minimiser),
    (broken.two_probes, "sliced-vr", check.minimiser_in_the_plane),
    (broken.swapped_alpha_and_sigma, "denoising-x0", check.exact_minimiser),
    (broken.swapped_alpha_and_sigma, "denoising-x0", check.teaches),
    (broken.wrong_sign_of_v, "denoising-v", check.exact_minimiser),
    (broken.printed_weight_of_x0, "denoising-x0", check.fisher_plus_a_constant),
    (broken.weight_not_squared, "denoising-eps", check.fisher_plus_a_constant),
    (broken.score_of_the_wrong_scale, "denoising-score", check.exact_minimiser),
    (broken.noise_of_another_sample, "denoising-eps", check.minimiser_in_the_plane),
]

# Why the strict checks are there: these mutants pass a weaker one.
INVISIBLE = [
    (broken.all_entries_of_the_jacobian, check.exact_minimiser),  # one dimension has one entry
    (broken.probe_of_unit_length, check.exact_minimiser),
    (broken.printed_weight_of_x0, check.exact_minimiser),  # a weight of t moves no minimiser of one t
    (broken.weight_not_squared, check.teaches),
]


@pytest.mark.parametrize(
    ("mutant", "original", "test"), REJECTED, ids=[f"{m.__name__}-{test.__name__}" for m, _, test in REJECTED]
)
def test_a_mutant_is_rejected_and_its_original_is_not(mutant, original, test):
    check.passes(test, original)
    with pytest.raises(AssertionError):
        test(mutant)


@pytest.mark.parametrize(("mutant", "test"), INVISIBLE, ids=[f"{m.__name__}-{test.__name__}" for m, test in INVISIBLE])
def test_a_weaker_check_does_not_see_it(mutant, test):
    test(mutant)
