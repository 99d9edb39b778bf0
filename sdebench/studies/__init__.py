"""Studies: sets of cases, and what is measured of each.  One module a study; `base` finds them, `runner` runs them."""
