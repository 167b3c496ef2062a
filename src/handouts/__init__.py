"""The handouts: every figure that they print, what to run for it, and the report on all of them."""
