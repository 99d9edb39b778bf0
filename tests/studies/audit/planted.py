"""A scheduler that is right, and the same with one fault each: what an audit must find."""

import math

import torch


class Right:
    """DDIM on a chain of 1000 steps, with the interface of a scheduler: nothing is wrong with it."""

    init_noise_sigma = 1.0

    def __init__(self, length=1000, trained_betas=None, num_train_timesteps=None, prediction_type="epsilon"):
        length = num_train_timesteps or length
        given = torch.linspace(1e-4, 0.02, length, dtype=torch.float64)
        betas = given if trained_betas is None else torch.tensor(trained_betas, dtype=torch.float64)
        self.config = {"num_train_timesteps": length, "prediction_type": prediction_type}
        self.alphas_cumprod = torch.cumprod(1 - betas, 0)

    def set_timesteps(self, num_inference_steps):
        length = len(self.alphas_cumprod)
        offset = 1 if length == num_inference_steps + 1 else 0
        ratio = (length - offset) / num_inference_steps
        self.steps = num_inference_steps
        self.timesteps = torch.tensor([round((length - offset) - i * ratio) - 1 + offset for i in range(num_inference_steps)])

    def levels(self, t):
        if t < 0:
            return 1.0, 0.0
        bar = float(self.alphas_cumprod[t])
        return math.sqrt(bar), math.sqrt(1 - bar)

    def after(self, t):
        place = self.timesteps.tolist().index(int(t)) + 1
        if place < len(self.timesteps):
            return int(self.timesteps[place])
        return 0 if len(self.alphas_cumprod) == self.steps + 1 else -1

    def scale_model_input(self, x, t):
        return x

    def read(self, output, t, x):
        """x0 and eps of what the network says."""
        a, s = self.levels(int(t))
        kind = self.config["prediction_type"]
        if kind == "sample":
            return output, (x - a * output) / s
        if kind == "v_prediction":
            return a * x - s * output, a * output + s * x
        if kind != "epsilon":
            raise ValueError(f"unknown prediction type {kind}")
        return (x - s * output) / a, output

    def cross(self, x0, eps, t, x):
        a, s = self.levels(self.after(t))
        return a * x0 + s * eps

    def step(self, model_output, timestep, sample):
        x0, eps = self.read(model_output, timestep, sample)
        return (self.cross(x0, eps, timestep, sample),)

    def add_noise(self, original, noise, timesteps):
        a, s = zip(*(self.levels(int(t)) for t in timesteps))
        shape = (-1,) + (1,) * (original.ndim - 1)
        return (
            torch.tensor(a, dtype=original.dtype).view(shape) * original
            + torch.tensor(s, dtype=original.dtype).view(shape) * noise
        )


class Raises(Right):
    """Fails where the steps do not divide its length."""

    def set_timesteps(self, num_inference_steps):
        if 1000 % num_inference_steps and len(self.alphas_cumprod) == 1000:
            raise IndexError("index 1000 is out of bounds")
        super().set_timesteps(num_inference_steps)


class GivesNaN(Right):
    """Divides by the noise of its last level."""

    def cross(self, x0, eps, t, x):
        a, s = self.levels(self.after(t))
        return a * x0 + torch.tensor(s) / torch.tensor(s) * s * eps


class WritesIntoTheState(Right):
    """Changes the state in place."""

    def cross(self, x0, eps, t, x):
        return x.copy_(super().cross(x0, eps, t, x))


class WritesIntoTheAnswer(Right):
    """Changes the network's answer in place."""

    def step(self, model_output, timestep, sample):
        result = super().step(model_output, timestep, sample)
        model_output.zero_()
        return result


class Remembers(Right):
    """Keeps the last answer of the run before."""

    last = None

    def cross(self, x0, eps, t, x):
        if self.last is not None:
            x0 = 0.9 * x0 + 0.1 * self.last
        self.last = x0
        return super().cross(x0, eps, t, x)


class LooksAtTheBatch(Right):
    """Takes the mean of the batch out."""

    def cross(self, x0, eps, t, x):
        return super().cross(x0 - 0.01 * x0.mean(0, keepdim=True), eps, t, x)


class HalfFails(Right):
    """Multiplies by a matrix that there is only in float32."""

    def cross(self, x0, eps, t, x):
        if x.dtype == torch.float16:
            raise RuntimeError("expected Float, got Half")
        return super().cross(x0, eps, t, x)


class StartsTooLoud(Right):
    """Its first noise is that of another convention."""

    init_noise_sigma = 14.6


class LeavesNoise(Right):
    """Ends a step early: the longer the steps, the more noise is left."""

    def after(self, t):
        place = self.timesteps.tolist().index(int(t)) + 1
        return int(self.timesteps[min(place, len(self.timesteps) - 1)])


class ShrinksTheData(Right):
    """Forgets a factor of the last step."""

    def cross(self, x0, eps, t, x):
        x = super().cross(x0, eps, t, x)
        return 0.9 * x if self.after(t) < 0 else x


class TellsTheWrongTime(Right):
    """Asks the network a tenth of the training steps too early."""

    def set_timesteps(self, num_inference_steps):
        super().set_timesteps(num_inference_steps)
        self.true, self.timesteps = self.timesteps, (self.timesteps - 100).clamp(min=0)
        self.count = 0

    def step(self, model_output, timestep, sample):
        shown, self.timesteps = self.timesteps, self.true
        try:
            result = super().step(model_output, self.true[self.count], sample)
        finally:
            self.timesteps = shown
        self.count = (self.count + 1) % len(self.true)
        return result

    def add_noise(self, original, noise, timesteps):
        return super().add_noise(original, noise, self.true[: len(timesteps) // 2].repeat(2))


class NoisesElsewhere(Right):
    """Its add_noise takes the square of sigma."""

    def add_noise(self, original, noise, timesteps):
        a, s = zip(*(self.levels(int(t)) for t in timesteps))
        shape = (-1,) + (1,) * (original.ndim - 1)
        return torch.tensor(a).double().view(shape) * original + torch.tensor(s).double().view(shape) ** 2 * noise


class DoesNotConverge(Right):
    """Multiplies the noise by a factor a step."""

    def cross(self, x0, eps, t, x):
        a, s = self.levels(self.after(t))
        return a * x0 + 0 * eps + s * (0.8 * eps + 0.2 * eps.abs())


class AwkwardNumbers(Right):
    """Steps by a whole stride, where its times are spaced by a broken one."""

    def after(self, t):
        if len(self.alphas_cumprod) != 1000:
            return super().after(t)
        return max(int(t) - 1000 // self.steps, -1)


class WrongV(Right):
    """Reads v with the wrong sign."""

    def read(self, output, t, x):
        if self.config["prediction_type"] == "v_prediction":
            output = -output
        return super().read(output, t, x)


class OverflowsInHalf(Right):
    """Squares a large number on its way."""

    def cross(self, x0, eps, t, x):
        big = torch.full_like(x, 300.0)
        return super().cross(x0, eps, t, x) * (big * big / (big * big))


class Ancestral(Right):
    """DDPM's step, with the small variance."""

    def cross(self, x0, eps, t, x):
        (a, s), (a0, s0) = self.levels(int(t)), self.levels(self.after(t))
        noise = s0 / s * math.sqrt(max(0.0, 1 - (a / a0) ** 2))
        return a0 * x0 + math.sqrt(max(0.0, s0**2 - noise**2)) * eps + noise * torch.randn_like(x)


class TooMuchNoise(Ancestral):
    """Adds noise and takes none of the old away."""

    def cross(self, x0, eps, t, x):
        a0, s0 = self.levels(self.after(t))
        return a0 * x0 + s0 * eps + 0.1 * s0 * torch.randn_like(x)


class OneNoiseForAll(Ancestral):
    """Draws one number for the whole batch."""

    def cross(self, x0, eps, t, x):
        a0, s0 = self.levels(self.after(t))
        return a0 * x0 + s0 * torch.randn(1, *x.shape[1:], dtype=x.dtype) * (s0 > 0)


class Exits(Right):
    """Ends the process that it runs in."""

    def step(self, model_output, timestep, sample):
        raise SystemExit(0)


FAULTS = {  # class -> (check, part of the finding)
    Raises: ("runs", "out of bounds"),
    GivesNaN: ("runs", "NaN"),
    WritesIntoTheState: ("runs", "writes into the state"),
    WritesIntoTheAnswer: ("runs", "writes into the network's answer"),
    Remembers: ("runs", "second run"),
    LooksAtTheBatch: ("runs", "batch"),
    HalfFails: ("runs", "float16"),
    StartsTooLoud: ("levels", "begins with noise times 14.6"),
    LeavesNoise: ("levels", "noise is left"),
    ShrinksTheData: ("levels", "multiplied by 0.9"),
    TellsTheWrongTime: ("levels", "is told"),
    NoisesElsewhere: ("levels", "add_noise"),
    DoesNotConverge: ("ladder", "the error"),
    AwkwardNumbers: ("ladder", "150"),
    WrongV: ("parametrisations", "network of v"),
    OverflowsInHalf: ("formats", "float16"),
    TooMuchNoise: ("law", "does not tend"),
    Exits: ("runs", "SystemExit"),
}
