"""Exact networks of images, broken on purpose."""

from sdebench.networks.exact import PosteriorMean


class ForgetsTheBlur(PosteriorMean):
    """The images themselves, as if h were 0 in the mean of each."""

    def forward(self, x, t):
        alpha, sigma = self.schedule.levels(t)
        wide = alpha**2 * self.h**2 + sigma**2
        mean = super().forward(x, t)
        return (mean - alpha * self.h**2 / wide * x) / (1 - alpha**2 * self.h**2 / wide)


class ForgetsTheNorms(PosteriorMean):
    """Weights by products alone: bright images weigh too much."""

    def __init__(self, images, h, schedule):
        super().__init__(images, h, schedule)
        self.norms.zero_()


class VarianceOfTheNoiseAlone(PosteriorMean):
    """Distances over sigma^2, without the variance of the blur."""

    def forward(self, x, t):
        alpha, sigma = self.schedule.levels(t)
        y, images = x.flatten(1) - alpha * self.centre, self._centred(x)
        exponents = (alpha * y @ images.T - 0.5 * alpha**2 * self.norms) / sigma**2
        mean = exponents.softmax(1) @ images
        pull = alpha * self.h**2 / (alpha**2 * self.h**2 + sigma**2)
        return (self.centre + mean + pull * (y - alpha * mean)).view_as(x)


ALL = (ForgetsTheBlur, ForgetsTheNorms, VarianceOfTheNoiseAlone)
