"""Pictures of the documentation that explain: a module each, with a function `draw`."""

# Names of the modules, and of the files in docs/images.
PICTURES = ("workers", "timeline", "ticks", "run_folder", "codes", "halo", "federated_round")
