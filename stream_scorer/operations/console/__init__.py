"""The page: what a person sees of a worker, and the dead letters with everything that can be done about them."""
