"""Noise levels of the sampler."""


def karras_schedule(num_steps: int, sigma_min: float, sigma_max: float, rho: float) -> list[float]:
    """``num_steps`` levels from sigma_max down to sigma_min, evenly spaced in σ^(1/ρ), then 0.

    Equation 5 of Karras et al. (2022). A single step starts at sigma_max.
    """
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    ramp = [i / max(1, num_steps - 1) for i in range(num_steps)]
    return [*((high + r * (low - high)) ** rho for r in ramp), 0.0]
