"""Guidance that is wrong.  Each docstring says what is wrong; `test_rejected_guidance` names the test."""

from sdebench.integration.prediction import Prediction, lincomb
from sdebench.problems import GaussianMixture


def _combined(self, x, t, a: float, b: float) -> Prediction:
    cond, uncond = self.cond(x, t), self.uncond(x, t)
    return Prediction(cond.kind, lincomb(a, cond.value, b, uncond.read(cond.kind)), x, t, self.schedule)


def scale_of_libraries(self, x, t) -> Prediction:
    """`uncond + w (cond - uncond)`: w is taken for a library's guidance_scale, so w = 0 is the law without labels."""
    return _combined(self, x, t, self.w, 1 - self.w)


def other_sign(self, x, t) -> Prediction:
    """`(1 - w) cond + w uncond`: away from the label."""
    return _combined(self, x, t, 1 - self.w, self.w)


def weights_not_of_one(self, x, t) -> Prediction:
    """`(1 + w) cond - (1 + w) uncond`: only the part that points to the label, as of a classifier's gradient alone."""
    return _combined(self, x, t, 1 + self.w, -1 - self.w)


def readings_mixed(self, x, t) -> Prediction:
    """The value of uncond is taken as it is, whatever it predicts: eps of the one with x0 of the other."""
    cond, uncond = self.cond(x, t), self.uncond(x, t)
    return Prediction(cond.kind, lincomb(1 + self.w, cond.value, -self.w, uncond.x0), x, t, self.schedule)


def saturated(self, x, t) -> Prediction:
    """w is 5 at most: right for small weights."""
    w = min(self.w, 5.0)
    return _combined(self, x, t, 1 + w, -w)


def without_its_weights(self, label) -> GaussianMixture:
    """The components of a label in equal shares."""
    at = self._of(label)
    return GaussianMixture([1 / len(at)] * len(at), self.law.means[at], self.covs[at])


def first_component_alone(self, label) -> GaussianMixture:
    """A label is its first component."""
    at = self._of(label)[:1]
    return GaussianMixture([1.0], self.law.means[at], self.covs[at])
