"""Where the steps of a run should lie."""
