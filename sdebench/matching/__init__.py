"""Score matching: losses that are equal up to a weight and a constant, a small network for them, and how well it learnt."""
