"""What a third party writes: one solver."""

from dataclasses import dataclass

import sdebench as sb


@dataclass(frozen=True)
class Ralston2(sb.Solver):
    """Ralston's second-order method in t, on dx/dt = f x - g^2/2 score.  Ralston 1962, table 1."""

    order, nfe_per_step, family, reference = 2, 2, "Demo", "Ralston 1962"

    def step(self, model, x, s, t, past=(), noise=None):
        """x + h (k_1 + 3 k_2)/4, with k_2 two thirds of the way."""
        ns, h = model.schedule, t - s

        def slope(x, u):
            return ns.f(u) * x - ns.g2(u) / 2 * model(x, u).score

        k_1 = slope(x, s)
        k_2 = slope(x + 2 / 3 * h * k_1, s + 2 / 3 * h)
        return sb.Step(x + h * (k_1 + 3 * k_2) / 4)
