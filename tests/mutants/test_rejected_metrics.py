"""Every broken metric is rejected by the test named beside it, which ours passes."""

import pytest
from contract import checks_metrics as check
from mutants import metrics as broken

from sdebench.metrics import frechet, inception, kernel, neighbours, sliced
from sdebench.metrics.statistics import Statistics

# mutant, ours, the check that must fail for the one and pass for the other
REJECTED = [
    (broken.biased_covariance, frechet.frechet, check.by_hand),
    (broken.without_the_cross_term, frechet.frechet, check.closed_form_where_they_commute),
    (broken.without_the_mean, frechet.frechet, check.closed_form_where_they_commute),
    (broken.product_of_roots, frechet.frechet, check.closed_form_in_the_plane),
    (broken.product_of_roots, frechet.frechet, check.equals_the_square_root),
    (broken.symmetrised_product, frechet.frechet, check.closed_form_in_the_plane),
    (broken.rounding_under_the_root, frechet.frechet, check.fewer_samples_than_features),
    (broken.regularised, frechet.frechet, check.fewer_samples_than_features),
    (broken.forgets_the_means, Statistics.of, check.merges),
    (broken.drawn_with_replacement, frechet.bootstrap, check.interval_near_the_data),
    (broken.spread_of_the_parts, frechet.bootstrap, check.interval_near_the_data),
    (broken.line_in_the_root, frechet.infinite, check.limit_without_bias),
    (broken.no_line, frechet.infinite, check.limit_without_bias),
    (broken.error_of_the_slope_alone, frechet.infinite, check.limit_without_bias),
    (broken.biased_kernel_distance, kernel.kernel_distance, check.without_bias),
    (broken.half_unbiased_kernel_distance, kernel.kernel_distance, check.without_bias),
    (broken.kernel_without_the_dimension, kernel.kernel_distance, check.without_bias),
    (broken.precision_and_recall_exchanged, neighbours.precision_recall, check.as_defined),
    (broken.itself_as_a_neighbour, neighbours.precision_recall, check.as_defined),
    (broken.density_without_k, neighbours.density_coverage, check.as_defined_over_data),
    (broken.coverage_by_balls_of_samples, neighbours.density_coverage, check.as_defined_over_data),
    (broken.directions_of_any_length, sliced.sliced_wasserstein, check.of_a_shift),
    (broken.directions_of_any_length, sliced.sliced_wasserstein, check.of_a_scaling),
    (broken.unsorted_slices, sliced.sliced_wasserstein, check.of_a_shift),
    (broken.half_pixel_centres, inception.resize, check.resizes_as_tensorflow_did),
    (broken.aligned_corners, inception.resize, check.resizes_as_tensorflow_did),
    (broken.antialiased, inception.resize, check.resizes_as_tensorflow_did),
    (broken.rounded_after_resizing, inception.resize, check.resizes_as_tensorflow_did),
]

# Why the strict checks are there: these mutants pass a weaker one.
INVISIBLE = [
    (broken.product_of_roots, check.closed_form_where_they_commute),
    (broken.symmetrised_product, check.closed_form_where_they_commute),
    (broken.rounding_under_the_root, check.equals_the_square_root),
    (broken.rounding_under_the_root, check.by_hand),
]


@pytest.mark.parametrize(("mutant", "ours", "what"), REJECTED, ids=[f"{m.__name__}-{w.__name__}" for m, _, w in REJECTED])
def test_a_mutant_is_rejected_and_ours_is_not(mutant, ours, what):
    what(ours)
    with pytest.raises(AssertionError):
        what(mutant)


@pytest.mark.parametrize(("mutant", "what"), INVISIBLE, ids=[f"{m.__name__}-{w.__name__}" for m, w in INVISIBLE])
def test_a_weaker_check_does_not_see_it(mutant, what):
    what(mutant)
